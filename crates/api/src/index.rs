//! The page at `/api/v1`, for people who look around by hand: what there is, as plain text. The web page is `web`.

use std::fmt::Write as _;

use axum::http::header;
use axum::response::IntoResponse;

use crate::error::{Problem, Refusal};
use crate::openapi::summaries;
use crate::params::Pairs;

/// A list of what this server answers, as plain text.
#[utoipa::path(
    get,
    path = "/api/v1",
    tag = "agent",
    operation_id = "index",
    responses(
        (status = 200, description = "Every path and what it gives.", body = String, content_type = "text/plain"),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn index(pairs: Pairs) -> Result<impl IntoResponse, Refusal> {
    pairs.expect_none()?;
    let mut text = String::from("hivewall agent: what it answers to GET, and to what else\n\n");
    let summaries = summaries();
    let width = summaries.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    for (path, summary) in summaries {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{path:width$}  {summary}");
    }
    text.push_str("\nFor example: /api/v1/flows?sort=rate&limit=10\n");
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}
