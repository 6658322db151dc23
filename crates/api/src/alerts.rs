//! Alerts: what detectors found, what is muted, and commands about it. Deliberately not here: what any of it means, which the
//! detectors' thread knows. Invariant: a handler that changes something takes a [`Commander`] before anything else.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hivewall_view::alerts::{
    AcknowledgeRequest, AlertOutcome, AlertPage, ChannelTestRequest, DetectorPage, MutePage, MuteRequest,
    ReopenRequest, UndoRequest, UnmuteRequest,
};

use crate::access::{Body, Caller, Commander, Detail};
use crate::error::{Problem, Refusal};
use crate::params::{AlertParams, Pairs};
use crate::policy::patiently;
use crate::refusals::{AlertsUnasked, AlertsUndone, CommandRefused, Forbidden};
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
        AlertCommand::Reopen(request) => format!("reopen {}", request.id),
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
        (status = 503, description = "The agent is busy or has stopped.", body = Problem),
        AlertsUnasked,
    )
)]
pub(crate) async fn alerts(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let query = pairs.alerts(&shared)?;
    let page = in_turn(&shared, || shared.source.alerts(query)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(page)).await
}

/// The packets that an alert rests on, as a capture file. Needs the role operator, since payload may be in it.
#[utoipa::path(
    get,
    path = "/api/v1/alerts/capture",
    tag = "alerts",
    operation_id = "alert_capture",
    params(("id" = String, Query, description = "Id of the alert, or how it begins.", example = "3fa")),
    security(("token" = [])),
    responses(
        (status = 200, description = "The file.", body = String, content_type = "application/x-pcapng"),
        (status = 503, description = "The agent is busy or has stopped.", body = Problem),
        AlertsUndone,
        Forbidden,
    )
)]
pub(crate) async fn capture(
    caller: Caller,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    let id = pairs.one("id")?;
    let file = in_turn(&shared, || shared.source.alert_capture(id)).await?.map_err(refusal)?;
    // Whoever takes packets away stands in the agent's log.
    tracing::info!(peer = %caller.peer, file = file.name, "the packets of an alert are handed out");
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    let headers =
        [(header::CONTENT_TYPE, "application/x-pcapng".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, file.bytes).into_response())
}

/// What is silenced and excluded.
#[utoipa::path(
    get,
    path = "/api/v1/alerts/mutes",
    tag = "alerts",
    operation_id = "alert_mutes",
    responses(
        (status = 200, description = "The mutes.", body = MutePage),
        AlertsUnasked,
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
        AlertsUnasked,
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
        AlertsUndone,
        CommandRefused,
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

/// Takes back that somebody has seen an alert: it is listed again.
#[utoipa::path(
    delete,
    path = "/api/v1/alerts/acknowledge",
    tag = "alerts",
    operation_id = "alert_reopen",
    request_body = ReopenRequest,
    responses(
        (status = 200, description = "It is open again.", body = AlertOutcome),
        AlertsUndone,
        CommandRefused,
    )
)]
pub(crate) async fn reopen(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<ReopenRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, AlertCommand::Reopen(request), caller).await
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
        AlertsUndone,
        CommandRefused,
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
        AlertsUndone,
        CommandRefused,
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
        AlertsUndone,
        CommandRefused,
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
        AlertsUndone,
        CommandRefused,
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
