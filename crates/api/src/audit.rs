//! The audit trail of this agent's API. Deliberately not here: what is kept, which is `access::trail`, and the log that a
//! fleet agrees on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hivewall_view::access::TrailPage;

use crate::error::Refusal;
use crate::params::{Pairs, TrailParams};
use crate::refusals::RoleTooLow;
use crate::routes::json;
use crate::state::Shared;

/// Commands, logins, failed logins and logouts, the latest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    tag = "access",
    operation_id = "audit",
    params(TrailParams),
    responses(
        (status = 200, description = "The entries.", body = TrailPage),
        RoleTooLow,
    )
)]
pub(crate) async fn audit(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let limit = pairs.trail()?;
    let entries = shared.access.trail().latest(limit);
    json(StatusCode::OK, Arc::new(TrailPage { entries })).await
}
