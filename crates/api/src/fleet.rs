//! The fleet: what is known of it here, questions that all its hosts answer, and commands. Deliberately not here: how hosts
//! are asked, and what a command does. Invariants: where there is no fleet every path says so and what to do; a handler that
//! changes something takes a [`Commander`] before anything else.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hivewall_view::fleet::{
    AuditPage, FleetAlertPage, FleetFlowPage, FleetOutcome, FleetRehearsal, FleetRulesPage, FleetSnapshotPage,
    FleetView, InvitationIssued, InvitationPage, InvitationRequest, InvitationWithdrawal, MemberPage, RemoveRequest,
    RolloutPage,
};
use hivewall_view::policy::RehearseRequest;
use serde::Serialize;

use crate::access::{Body, Caller, Commander, Detail};
use crate::error::{Problem, Refusal};
use crate::params::{AlertParams, FlowParams, PageParams, Pairs};
use crate::policy::{patiently, span};
use crate::refusals::{CommandRefused, FleetUnasked, Forbidden};
use crate::routes::{in_turn, json};
use crate::source::{BoxFuture, FleetCommand, FleetRefusal, Invite};
use crate::state::Shared;

/// How long an invitation holds when nobody says.
pub const INVITATION_SECONDS_DEFAULT: u64 = 24 * 3600;
/// Longest that one can hold.
pub const INVITATION_SECONDS_MAX: u64 = 30 * 24 * 3600;
/// Most hosts that one can be for.
pub const INVITATION_USES_MAX: u32 = 10_000;

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refusal(refusal: FleetRefusal) -> Refusal {
    let detail = refusal.to_string();
    match refusal {
        FleetRefusal::Off => Refusal::new(
            StatusCode::NOT_FOUND,
            "no_fleet",
            detail,
            "begin one with `hivewall cluster init`, or enter one with `hivewall cluster join INVITATION`",
        ),
        FleetRefusal::Invalid { .. } => Refusal::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            detail,
            "mend it and ask again; /api/v1/fleet/members tells who is there",
        ),
        FleetRefusal::Conflict { .. } => {
            Refusal::new(StatusCode::CONFLICT, "conflict", detail, "see /api/v1/fleet for what holds now")
        }
        FleetRefusal::Failed { .. } => {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "fleet_failed", detail, "see the agent's log and try again")
        }
        FleetRefusal::Gone(_) => Refusal::engine_gone(),
    }
}

/// The fleet as this host knows it.
fn known(shared: &Shared) -> Result<Arc<FleetView>, Refusal> {
    shared.source.fleet().ok_or_else(|| refusal(FleetRefusal::Off))
}

async fn answer<T: Serialize + Send + Sync + 'static>(
    shared: &Shared,
    ask: impl FnOnce() -> BoxFuture<'static, Result<T, FleetRefusal>>,
) -> Result<Response, Refusal> {
    let answer = in_turn(shared, ask).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(answer)).await
}

/// The fleet as this host knows it: members, what all saw together, how the policy spreads, links, bans, alarms.
#[utoipa::path(
    get,
    path = "/api/v1/fleet",
    tag = "fleet",
    operation_id = "fleet",
    responses(
        (status = 200, description = "The fleet.", body = FleetView),
        FleetUnasked,
    )
)]
pub(crate) async fn fleet(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    json(StatusCode::OK, known(&shared)?).await
}

/// Every host of the fleet: those that are not alive first, then by name.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/members",
    tag = "fleet",
    operation_id = "fleet_members",
    params(PageParams),
    responses(
        (status = 200, description = "The page.", body = MemberPage),
        FleetUnasked,
    )
)]
pub(crate) async fn members(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let page = pairs.page()?;
    answer(&shared, || shared.source.fleet_members(page)).await
}

/// One page of the flows of all hosts, each row with the host that saw it, and which hosts did not answer.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/flows",
    tag = "fleet",
    operation_id = "fleet_flows",
    params(FlowParams),
    responses(
        (status = 200, description = "The page.", body = FleetFlowPage),
        (status = 400, description = "A parameter or the filter is not understood.", body = Problem),
        (status = 404, description = "This agent is in no fleet.", body = Problem),
        (status = 503, description = "The agent is busy or has stopped.", body = Problem),
    )
)]
pub(crate) async fn flows(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let query = pairs.query(&shared)?;
    answer(&shared, || shared.source.fleet_flows(query)).await
}

/// What each host is like: traffic, flows, policy, losses, what is wrong; and which hosts did not answer.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/snapshot",
    tag = "fleet",
    operation_id = "fleet_snapshot",
    responses(
        (status = 200, description = "The hosts.", body = FleetSnapshotPage),
        FleetUnasked,
    )
)]
pub(crate) async fn snapshot(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    answer(&shared, || shared.source.fleet_snapshot()).await
}

/// Alerts of all hosts: the same alert on many of them is one row that names them; and which hosts did not answer.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/alerts",
    tag = "fleet",
    operation_id = "fleet_alerts",
    params(AlertParams),
    responses(
        (status = 200, description = "The alerts.", body = FleetAlertPage),
        FleetUnasked,
    )
)]
pub(crate) async fn alerts(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let query = pairs.alerts(&shared)?;
    answer(&shared, || shared.source.fleet_alerts(query)).await
}

/// What a policy would have done to the flows that each host keeps, compared with what is in force there.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/rehearse",
    tag = "fleet",
    operation_id = "fleet_rehearse",
    request_body = RehearseRequest,
    responses(
        (status = 200, description = "What it would have done, host by host.", body = FleetRehearsal),
        (status = 400, description = "The document or the time is not understood.", body = Problem),
        (status = 404, description = "This agent is in no fleet.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
    )
)]
pub(crate) async fn rehearse(
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<RehearseRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let _turn = crate::policy::rehearsing(&shared, &request)?;
    let rehearsal = patiently(shared.source.fleet_rehearse(request)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(rehearsal)).await
}

/// The rules that hold on the hosts, counters added up; and which hosts did not answer.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/rules",
    tag = "fleet",
    operation_id = "fleet_rules",
    responses(
        (status = 200, description = "The rules.", body = FleetRulesPage),
        FleetUnasked,
    )
)]
pub(crate) async fn rules(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    answer(&shared, || shared.source.fleet_rules()).await
}

/// How the fleet's policy spreads: how many hosts have it, enforce it, refused it and why.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/policy",
    tag = "fleet",
    operation_id = "fleet_policy",
    responses(
        (status = 200, description = "The roll-out.", body = RolloutPage),
        FleetUnasked,
    )
)]
pub(crate) async fn policy(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let fleet = known(&shared)?;
    let page = RolloutPage { time: fleet.time.clone(), rollout: fleet.rollout.clone() };
    json(StatusCode::OK, Arc::new(page)).await
}

/// The audit log of the fleet: who changed what, latest first.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/audit",
    tag = "fleet",
    operation_id = "fleet_audit",
    params(PageParams),
    responses(
        (status = 200, description = "The page.", body = AuditPage),
        FleetUnasked,
    )
)]
pub(crate) async fn audit(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let page = pairs.page()?;
    answer(&shared, || shared.source.fleet_audit(page)).await
}

/// Invitations that this host issued, without their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/invitations",
    tag = "fleet",
    operation_id = "fleet_invitations",
    responses(
        (status = 200, description = "The invitations.", body = InvitationPage),
        FleetUnasked,
    )
)]
pub(crate) async fn invitations(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    answer(&shared, || shared.source.fleet_invitations()).await
}

/// Issues an invitation; the answer holds the line that `hivewall cluster join` takes, which is shown only now.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/invitations",
    tag = "fleet",
    operation_id = "fleet_invite",
    request_body = InvitationRequest,
    responses(
        (status = 200, description = "It is issued.", body = InvitationIssued),
        (status = 400, description = "The time, the uses or an address is not understood.", body = Problem),
        (status = 404, description = "This agent is in no fleet.", body = Problem),
        (status = 409, description = "This host may not issue invitations.", body = Problem),
        (status = 500, description = "It could not be issued.", body = Problem),
        CommandRefused,
    )
)]
pub(crate) async fn invite(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<InvitationRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let invite = read(request)?;
    let issued = patiently(shared.source.fleet_invite(invite, caller)).await?.map_err(refusal)?;
    let detail = Detail(format!("invitation {}", issued.invitation.id));
    let mut response = json(StatusCode::OK, Arc::new(issued)).await?;
    response.extensions_mut().insert(detail);
    Ok(response)
}

/// Withdraws an invitation: nobody joins with it from now on.
#[utoipa::path(
    delete,
    path = "/api/v1/fleet/invitations",
    tag = "fleet",
    operation_id = "fleet_withdraw",
    request_body = InvitationWithdrawal,
    responses(
        (status = 200, description = "It is withdrawn.", body = FleetOutcome),
        (status = 400, description = "The id is not understood.", body = Problem),
        (status = 404, description = "This agent is in no fleet.", body = Problem),
        (status = 409, description = "This host issued no such invitation.", body = Problem),
        CommandRefused,
    )
)]
pub(crate) async fn withdraw(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<InvitationWithdrawal>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, FleetCommand::Withdraw { id: request.id }, caller).await
}

/// Takes a host out of the fleet for good: its certificate is revoked, and nobody talks to it any more.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/remove",
    tag = "fleet",
    operation_id = "fleet_remove",
    request_body = RemoveRequest,
    responses(
        (status = 200, description = "It is removed.", body = FleetOutcome),
        (status = 400, description = "No host, or more than one, is meant by that.", body = Problem),
        (status = 404, description = "This agent is in no fleet.", body = Problem),
        (status = 409, description = "This host cannot remove others, or not that one.", body = Problem),
        (status = 500, description = "It could not be removed.", body = Problem),
        CommandRefused,
    )
)]
pub(crate) async fn remove(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<RemoveRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    if request.host.trim().is_empty() {
        let reason = "`host` is empty: give the name or the id of a member".to_owned();
        return Err(refusal(FleetRefusal::Invalid { reason }));
    }
    let command = FleetCommand::Remove { host: request.host.trim().to_owned(), reason: request.reason };
    carry_out(&shared, command, caller).await
}

/// Takes this host out of the fleet; the others are told that it goes.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/leave",
    tag = "fleet",
    operation_id = "fleet_leave",
    responses(
        (status = 200, description = "It has left.", body = FleetOutcome),
        (status = 404, description = "This agent is in no fleet.", body = Problem),
        (status = 500, description = "It could not leave in order.", body = Problem),
        Forbidden,
    )
)]
pub(crate) async fn leave(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, FleetCommand::Leave, caller).await
}

async fn carry_out(shared: &Shared, command: FleetCommand, caller: Caller) -> Result<Response, Refusal> {
    let detail = Detail(match &command {
        FleetCommand::Withdraw { id } => format!("withdraw invitation {id}"),
        FleetCommand::Remove { host, reason } => format!("remove {host}: {reason}"),
        FleetCommand::Leave => "leave".to_owned(),
    });
    let outcome = patiently(shared.source.fleet_command(command, caller)).await?.map_err(refusal)?;
    let mut response = json(StatusCode::OK, Arc::new(outcome)).await?;
    response.extensions_mut().insert(detail);
    Ok(response)
}

/// What an invitation is to be like, within its limits.
fn read(request: InvitationRequest) -> Result<Invite, Refusal> {
    let bad = |reason: String| refusal(FleetRefusal::Invalid { reason });
    let uses = request.uses.unwrap_or(1);
    if !(1..=INVITATION_USES_MAX).contains(&uses) {
        return Err(bad(format!("`uses` is {uses}: an invitation is for 1 to {INVITATION_USES_MAX} hosts")));
    }
    let ttl = match &request.ttl {
        None => Duration::from_secs(INVITATION_SECONDS_DEFAULT),
        Some(text) => span("ttl", text)?,
    };
    if ttl > Duration::from_secs(INVITATION_SECONDS_MAX) {
        let days = INVITATION_SECONDS_MAX / (24 * 3600);
        return Err(bad(format!("`ttl` is longer than {days} days: issue another invitation when this one is over")));
    }
    let addresses = request.addresses.iter().map(|text| {
        text.parse().map_err(|_| {
            bad(format!("`{text}` is no address with a port: write it as `192.0.2.7:7744` or `[2001:db8::7]:7744`"))
        })
    });
    Ok(Invite {
        uses,
        ttl,
        enroller: request.enroller,
        addresses: addresses.collect::<Result<_, _>>()?,
        labels: request.labels,
        note: request.note,
    })
}
