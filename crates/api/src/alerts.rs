//! Alerts: what detectors found, what is muted, and commands about it. Deliberately not here: what any of it means, which the
//! detectors' thread knows. Invariant: a handler that changes something takes a [`Commander`] before anything else.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hivewall_view::alerts::{
    AcknowledgeRequest, AlertOutcome, AlertPage, ChannelTestRequest, DetectorPage, MutePage, MuteRequest, UndoRequest,
    UnmuteRequest,
};

use crate::access::{Body, Caller, Commander, Detail};
use crate::error::{Problem, Refusal};
use crate::params::{AlertParams, Pairs};
use crate::policy::patiently;
use crate::routes::{in_turn, json};
use crate::source::{AlertCommand, AlertRefusal};
use crate::state::Shared;

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refusal(refusal: AlertRefusal) -> Refusal {
    let detail = refusal.to_string();
    match refusal {
        AlertRefusal::Off => Refusal::new(
            StatusCode::NOT_FOUND,
            "no_detectors",
            detail,
            "set `detect.enabled` to true in its configuration and start it again",
        ),
        AlertRefusal::Invalid { .. } => {
            Refusal::new(StatusCode::BAD_REQUEST, "bad_request", detail, "mend it and send it again")
        }
        AlertRefusal::Unknown { .. } => {
            Refusal::new(StatusCode::NOT_FOUND, "unknown", detail, "see /api/v1/alerts and /api/v1/alerts/mutes")
        }
        AlertRefusal::Failed { .. } => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "alerts_failed",
            detail,
            "see the agent's log and try again",
        ),
        AlertRefusal::Gone(_) => Refusal::engine_gone(),
    }
}

async fn carry_out(shared: &Shared, command: AlertCommand, caller: Caller) -> Result<Response, Refusal> {
    let detail = detail(&command);
    let outcome = patiently(shared.source.alert_command(command, caller)).await?.map_err(refusal)?;
    let mut response = json(StatusCode::OK, Arc::new(outcome)).await?;
    response.extensions_mut().insert(detail);
    Ok(response)
}

/// A command as the trail has it.
fn detail(command: &AlertCommand) -> Detail {
    Detail(match command {
        AlertCommand::Acknowledge(request) => format!("acknowledge {}: {}", request.id, request.note),
        AlertCommand::Mute(request) => {
            let what = request.alert.as_deref().unwrap_or("a pattern");
            let time = request.how_long.as_deref().unwrap_or("ever");
            format!("mute {what} for {time}: {}", request.note)
        }
        AlertCommand::Unmute(request) => format!("unmute {}", request.id),
        AlertCommand::Undo(request) => format!("undo {}", request.id),
        // What stands behind a channel's kind may hold a secret: the path of a webhook.
        AlertCommand::Test(request) => {
            let kind = request.channel.as_deref().and_then(|channel| channel.split(':').next());
            format!("test {}", kind.unwrap_or("all channels"))
        }
    })
}

/// Alerts of this host, the latest first.
#[utoipa::path(
    get,
    path = "/api/v1/alerts",
    tag = "alerts",
    operation_id = "alerts",
    params(AlertParams),
    responses(
        (status = 200, description = "The alerts.", body = AlertPage),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 404, description = "No detectors work here.", body = Problem),
        (status = 503, description = "The agent is busy or has stopped.", body = Problem),
    )
)]
pub(crate) async fn alerts(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let query = pairs.alerts(&shared)?;
    let page = in_turn(&shared, || shared.source.alerts(query)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(page)).await
}

/// What is silenced and excluded.
#[utoipa::path(
    get,
    path = "/api/v1/alerts/mutes",
    tag = "alerts",
    operation_id = "alert_mutes",
    responses(
        (status = 200, description = "The mutes.", body = MutePage),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 404, description = "No detectors work here.", body = Problem),
    )
)]
pub(crate) async fn mutes(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let page = in_turn(&shared, || shared.source.alert_mutes()).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(page)).await
}

/// Every detector: what it sees and misses, its thresholds here, what it has seen and holds.
#[utoipa::path(
    get,
    path = "/api/v1/detectors",
    tag = "alerts",
    operation_id = "detectors",
    responses(
        (status = 200, description = "The detectors.", body = DetectorPage),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 404, description = "No detectors work here.", body = Problem),
    )
)]
pub(crate) async fn detectors(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let page = in_turn(&shared, || shared.source.detectors()).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(page)).await
}

/// Says that somebody has seen an alert: it is no longer listed unless asked for, and nobody is told of it.
#[utoipa::path(
    post,
    path = "/api/v1/alerts/acknowledge",
    tag = "alerts",
    operation_id = "alert_acknowledge",
    request_body = AcknowledgeRequest,
    responses(
        (status = 200, description = "It is acknowledged.", body = AlertOutcome),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 401, description = "The token is missing or wrong.", body = Problem),
        (status = 403, description = "No commands are taken, or not from that page.", body = Problem),
        (status = 404, description = "There is no such thing here.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
        (status = 500, description = "It could not be done.", body = Problem),
    )
)]
pub(crate) async fn acknowledge(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<AcknowledgeRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, AlertCommand::Acknowledge(request), caller).await
}

/// Silences or excludes what an alert is about, or what is named.
#[utoipa::path(
    post,
    path = "/api/v1/alerts/mutes",
    tag = "alerts",
    operation_id = "alert_mute",
    request_body = MuteRequest,
    responses(
        (status = 200, description = "It is muted.", body = AlertOutcome),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 401, description = "The token is missing or wrong.", body = Problem),
        (status = 403, description = "No commands are taken, or not from that page.", body = Problem),
        (status = 404, description = "There is no such thing here.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
        (status = 500, description = "It could not be done.", body = Problem),
    )
)]
pub(crate) async fn mute(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<MuteRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, AlertCommand::Mute(request), caller).await
}

/// Ends a mute.
#[utoipa::path(
    delete,
    path = "/api/v1/alerts/mutes",
    tag = "alerts",
    operation_id = "alert_unmute",
    request_body = UnmuteRequest,
    responses(
        (status = 200, description = "It is heard of again.", body = AlertOutcome),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 401, description = "The token is missing or wrong.", body = Problem),
        (status = 403, description = "No commands are taken, or not from that page.", body = Problem),
        (status = 404, description = "There is no such thing here.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
        (status = 500, description = "It could not be done.", body = Problem),
    )
)]
pub(crate) async fn unmute(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<UnmuteRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, AlertCommand::Unmute(request), caller).await
}

/// Takes back what was done about an alert by itself: the ban or limit is lifted, and not made again for this alert.
#[utoipa::path(
    post,
    path = "/api/v1/alerts/undo",
    tag = "alerts",
    operation_id = "alert_undo",
    request_body = UndoRequest,
    responses(
        (status = 200, description = "It is taken back.", body = AlertOutcome),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 401, description = "The token is missing or wrong.", body = Problem),
        (status = 403, description = "No commands are taken, or not from that page.", body = Problem),
        (status = 404, description = "There is no such thing here.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
        (status = 500, description = "It could not be done.", body = Problem),
    )
)]
pub(crate) async fn undo(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<UndoRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, AlertCommand::Undo(request), caller).await
}

/// Sends a test alert over one channel or all, and tells how each did.
#[utoipa::path(
    post,
    path = "/api/v1/alerts/test",
    tag = "alerts",
    operation_id = "alert_test",
    request_body = ChannelTestRequest,
    responses(
        (status = 200, description = "They were tried; each says how it did.", body = AlertOutcome),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 401, description = "The token is missing or wrong.", body = Problem),
        (status = 403, description = "No commands are taken, or not from that page.", body = Problem),
        (status = 404, description = "There is no such thing here.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
        (status = 500, description = "It could not be done.", body = Problem),
    )
)]
pub(crate) async fn test(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<ChannelTestRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, AlertCommand::Test(request), caller).await
}
