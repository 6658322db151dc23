//! The OpenAPI document. Everything in it comes from the handlers and types themselves; nothing is written twice.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi;

use crate::error::{Problem, Refusal};
use crate::live::Lagged;
use crate::params::Pairs;
use crate::{history, index, live, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "hivewall agent",
        description = "What one hivewall agent sees, read-only, on loopback. Bytes are IP bytes unless a name says \
                       wire; times are RFC 3339 in UTC; every answer that is not 2xx is a Problem, except \
                       the health of a failing agent. Unknown query parameters are \
                       refused. Keys are never renamed or removed within v1, only added.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        index::index,
        routes::snapshot,
        routes::flows,
        live::flows_live,
        history::top,
        history::series,
        routes::health,
        routes::metrics,
        routes::metrics_v1,
        openapi,
    ),
    components(schemas(Lagged, hivewall_view::FlowRow)),
    tags(
        (name = "agent", description = "The agent itself."),
        (name = "flows", description = "Conversations."),
        (name = "history", description = "What was, as far back as it is kept.")
    )
)]
struct Document;

/// The OpenAPI 3.1 document, as JSON text.
pub fn openapi_json() -> String {
    // Serializing plain maps and strings cannot fail; an empty document would fail its test.
    Document::openapi().to_pretty_json().unwrap_or_default()
}

/// Path and one-line description of each operation.
pub(crate) fn summaries() -> Vec<(String, String)> {
    let summary = |item: utoipa::openapi::PathItem| item.get.and_then(|get| get.summary).unwrap_or_default();
    Document::openapi().paths.paths.into_iter().map(|(path, item)| (path, summary(item))).collect()
}

/// This API, described as an OpenAPI document.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "agent",
    operation_id = "openapi",
    responses(
        (status = 200, description = "The document.", body = Object, content_type = "application/json"),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn openapi(pairs: Pairs) -> Result<impl IntoResponse, Refusal> {
    pairs.expect_none()?;
    Ok(([(header::CONTENT_TYPE, "application/json")], openapi_json()))
}
