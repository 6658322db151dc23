//! The handlers of what is answered at once: snapshot, flows, health, metrics. Deliberately not here: the live stream
//! (`live`), checks that every request passes (`guard`). Invariant: a handler waits for the engine at most
//! [`FLOW_ANSWER_SECONDS_MAX`] and never runs long on a thread that serves others.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hivewall_view::{FlowPage, Snapshot};
use serde::Serialize;

use crate::error::{Problem, Refusal};
use crate::health::{Health, HealthStatus};
use crate::history::refusal;
use crate::metrics;
use crate::params::{FlowParams, Pairs};
use crate::source::BoxFuture;
use crate::state::Shared;

/// Questions about flows that may be with the engine at once; more wait their turn.
pub const FLOW_QUESTIONS_MAX: usize = 4;
/// Longest that a question about flows may take, its wait included.
pub const FLOW_ANSWER_SECONDS_MAX: u64 = 10;

/// Everything the agent knows now, as one document.
#[utoipa::path(
    get,
    path = "/api/v1/snapshot",
    tag = "agent",
    operation_id = "snapshot",
    responses(
        (status = 200, description = "The snapshot.", body = Snapshot),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn snapshot(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let snapshot = shared.source.snapshot();
    json(StatusCode::OK, snapshot).await
}

/// One page of flows, living and closed (of late, or of all history): those that match, largest or latest first.
#[utoipa::path(
    get,
    path = "/api/v1/flows",
    tag = "flows",
    operation_id = "flows",
    params(FlowParams),
    responses(
        (status = 200, description = "The page.", body = FlowPage),
        (status = 400, description = "A parameter or the filter is not understood.", body = Problem),
        (status = 503, description = "The engine is busy or has stopped.", body = Problem),
    )
)]
pub(crate) async fn flows(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let query = pairs.query(&shared)?;
    let page = in_turn(&shared, || shared.source.flows(query)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(page)).await
}

/// Asks when it is this question's turn, and waits for the answer for no longer than is bearable, the turn included.
pub(crate) async fn in_turn<T>(shared: &Shared, ask: impl FnOnce() -> BoxFuture<'static, T>) -> Result<T, Refusal> {
    let limit = Duration::from_secs(FLOW_ANSWER_SECONDS_MAX);
    let asked = async {
        // The semaphore is never closed; if it were, nobody would be there to answer either.
        let _turn = shared.questions.acquire().await.map_err(|_| Refusal::engine_gone())?;
        Ok(ask().await)
    };
    tokio::time::timeout(limit, asked)
        .await
        .map_err(|_| Refusal::busy(format!("the engine did not answer within {FLOW_ANSWER_SECONDS_MAX} s")))?
}

/// Whether the agent sees everything it should, and if not, why.
#[utoipa::path(
    get,
    path = "/api/v1/health",
    tag = "agent",
    operation_id = "health",
    responses(
        (status = 200, description = "It works; `degraded` comes with reasons.", body = Health),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 503, description = "It does not: the status is `failing`.", body = Health),
    )
)]
pub(crate) async fn health(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    shared.observe_losses();
    let fleet = shared.source.fleet().is_some();
    let health = Health::new(&shared.source.snapshot(), shared.source.now(), &shared.losses(), fleet);
    let failing = health.status == HealthStatus::Failing;
    let status = if failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    json(status, Arc::new(health)).await
}

/// The agent's metrics in the text format of Prometheus, or as OpenMetrics for who accepts `application/openmetrics-text`.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "agent",
    operation_id = "metrics",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn metrics(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    if metrics::is_open_wanted(&headers) {
        let (kind, text) = metrics::open_text(&shared);
        return Ok(([(header::CONTENT_TYPE, kind), (header::VARY, "accept")], text).into_response());
    }
    let text = metrics::text(&shared).map_err(|error| {
        tracing::error!(%error, "metrics could not be written");
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "metrics_failed",
            "the metrics could not be written",
            "see the agent's log, and report it as a fault of hivewall",
        )
    })?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE), (header::VARY, "accept")], text).into_response())
}

/// The same as `/metrics`.
#[utoipa::path(
    get,
    path = "/api/v1/metrics",
    tag = "agent",
    operation_id = "metrics_v1",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn metrics_v1(
    state: State<Arc<Shared>>,
    headers: HeaderMap,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    metrics(state, headers, pairs).await
}

/// A page of a hundred thousand rows takes a good part of a second to write, so that is done beside the threads that
/// serve.
pub(crate) async fn json<T: Serialize + Send + Sync + 'static>(
    status: StatusCode,
    document: Arc<T>,
) -> Result<Response, Refusal> {
    let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&*document)).await;
    match written {
        Ok(Ok(bytes)) => Ok((status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()),
        failed => {
            tracing::error!(?failed, "an answer could not be written as JSON");
            Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "answer_failed",
                "the answer could not be written as JSON",
                "see the agent's log, and report it as a fault of hivewall",
            ))
        }
    }
}
