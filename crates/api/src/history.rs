//! The handlers of questions that history answers: top lists and series. Deliberately not here: how history is kept.
//! Invariant: as in `routes`, no handler waits longer than a question about flows may.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hivewall_view::{SeriesPage, TopPage};

use crate::error::{Problem, Refusal};
use crate::params::{Pairs, SeriesParams, TopParams};
use crate::routes::{in_turn, json};
use crate::source::HistoryRefusal;
use crate::state::Shared;

/// Who moved most over history: addresses, services, processes or protocols, the most bytes first.
#[utoipa::path(
    get,
    path = "/api/v1/top",
    tag = "history",
    operation_id = "top",
    params(TopParams),
    responses(
        (status = 200, description = "The list, and how far back it reaches.", body = TopPage),
        (status = 400, description = "A parameter or the filter is not understood.", body = Problem),
        (status = 404, description = "The agent keeps no history.", body = Problem),
        (status = 503, description = "The agent is busy, has stopped, or cannot read its history.", body = Problem),
    )
)]
pub(crate) async fn top(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let query = pairs.top(&shared)?;
    let page = in_turn(&shared, || shared.source.top(query)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(page)).await
}

/// Traffic over time, from history: bytes, packets and flows of each step.
#[utoipa::path(
    get,
    path = "/api/v1/series",
    tag = "history",
    operation_id = "series",
    params(SeriesParams),
    responses(
        (status = 200, description = "The series, and how far back it reaches.", body = SeriesPage),
        (status = 400, description = "A parameter or the filter is not understood.", body = Problem),
        (status = 404, description = "The agent keeps no history.", body = Problem),
        (status = 503, description = "The agent is busy, has stopped, or cannot read its history.", body = Problem),
    )
)]
pub(crate) async fn series(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let query = pairs.series(&shared)?;
    let page = in_turn(&shared, || shared.source.series(query)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(page)).await
}

/// What a client is told.
pub(crate) fn refusal(why: HistoryRefusal) -> Refusal {
    match why {
        HistoryRefusal::Gone(_) => Refusal::engine_gone(),
        HistoryRefusal::Off => Refusal::new(
            StatusCode::NOT_FOUND,
            "no_history",
            "this agent keeps no history",
            "give it a directory for history in its configuration and start it again",
        ),
        HistoryRefusal::TooMuch { reason } => {
            Refusal::new(StatusCode::BAD_REQUEST, "too_much", reason, "ask for a shorter time, or with fewer terms")
        }
        HistoryRefusal::Unreadable { reason } => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "history_unreadable",
            format!("the history could not be read: {reason}"),
            "see the agent's log",
        ),
    }
}
