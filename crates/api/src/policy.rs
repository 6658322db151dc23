//! The policy: what holds, questions about it, and commands. Deliberately not here: what any of it means, which whoever
//! answers knows. Invariant: a handler that changes something takes a [`Commander`] before anything else.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hivewall_view::policy::{
    ApplyRequest, BanPage, BanRequest, ExplainRequest, Explanation, PolicyOutcome, PolicyPage, Rehearsal,
    RehearseRequest, UnbanRequest,
};
use hivewall_view::units::parse_duration;
use ipnet::IpNet;
use tokio::sync::SemaphorePermit;

use crate::access::{Body, Commander, Detail};
use crate::error::{Problem, Refusal};
use crate::params::Pairs;
use crate::refusals::{CommandRefused, Forbidden};
use crate::routes::{in_turn, json};
use crate::source::{BoxFuture, PolicyCommand, PolicyRefusal};
use crate::state::Shared;

/// Longest that a command or a rehearsal may take: it compiles a policy, or reads all history.
pub const COMMAND_SECONDS_MAX: u64 = 120;

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn refusal(refusal: PolicyRefusal) -> Refusal {
    let detail = refusal.to_string();
    match refusal {
        PolicyRefusal::Off => Refusal::new(
            StatusCode::NOT_FOUND,
            "no_policy_here",
            detail,
            "ask an agent that captures live traffic, with eBPF or with a firewall backend",
        ),
        PolicyRefusal::Invalid { .. } => {
            Refusal::new(StatusCode::BAD_REQUEST, "bad_policy", detail, "mend it and send it again")
        }
        PolicyRefusal::Conflict { .. } => {
            Refusal::new(StatusCode::CONFLICT, "conflict", detail, "see /api/v1/policy for what holds now")
        }
        PolicyRefusal::Failed { .. } => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "policy_failed",
            detail,
            "see the agent's log; what held before still holds",
        ),
        PolicyRefusal::Gone(_) => Refusal::engine_gone(),
    }
}

/// Waits for an answer that may take a while.
pub(crate) async fn patiently<T>(answer: BoxFuture<'static, T>) -> Result<T, Refusal> {
    tokio::time::timeout(Duration::from_secs(COMMAND_SECONDS_MAX), answer).await.map_err(|_| {
        Refusal::busy(format!("no answer came within {COMMAND_SECONDS_MAX} s; it may still be carried out"))
    })
}

/// The policy in force: its state, its rules with their counters, and its text.
#[utoipa::path(
    get,
    path = "/api/v1/policy",
    tag = "policy",
    operation_id = "policy",
    responses(
        (status = 200, description = "What holds.", body = PolicyPage),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn policy(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let document = in_turn(&shared, || shared.source.policy_document()).await?;
    let document = match document {
        Ok(document) => document,
        // Where nothing can hold, nothing holds.
        Err(PolicyRefusal::Off) => None,
        Err(other) => return Err(refusal(other)),
    };
    let snapshot = shared.source.snapshot();
    let page = PolicyPage { time: snapshot.time.clone(), policy: snapshot.firewall_rules.clone(), document };
    json(StatusCode::OK, Arc::new(page)).await
}

/// What becomes of one packet, by which rule, and why not by the rules before it.
#[utoipa::path(
    post,
    path = "/api/v1/policy/explain",
    tag = "policy",
    operation_id = "policy_explain",
    request_body = ExplainRequest,
    responses(
        (status = 200, description = "What becomes of it.", body = Explanation),
        (status = 400, description = "The packet or the document is not understood.", body = Problem),
        (status = 404, description = "There is no policy here.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
    )
)]
pub(crate) async fn explain(
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<ExplainRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let explanation = in_turn(&shared, || shared.source.explain(request)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(explanation)).await
}

/// What a policy would have done to the flows that are kept, compared with the one in force.
#[utoipa::path(
    post,
    path = "/api/v1/policy/rehearse",
    tag = "policy",
    operation_id = "policy_rehearse",
    request_body = RehearseRequest,
    responses(
        (status = 200, description = "What it would have done.", body = Rehearsal),
        (status = 400, description = "The document is not understood.", body = Problem),
        (status = 404, description = "There is no policy, or no history, here.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
    )
)]
pub(crate) async fn rehearse(
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<RehearseRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let _turn = rehearsing(&shared, &request)?;
    let rehearsal = patiently(shared.source.rehearse(request)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(rehearsal)).await
}

/// The turn of a rehearsal that can be understood: one at a time.
pub(crate) fn rehearsing<'a>(shared: &'a Shared, request: &RehearseRequest) -> Result<SemaphorePermit<'a>, Refusal> {
    if let Some(last) = &request.last {
        span("last", last)?;
    }
    shared.rehearsals.try_acquire().map_err(|_| Refusal::busy("another rehearsal is under way"))
}

/// Brings a policy into force, to be confirmed over a new connection where it says so.
#[utoipa::path(
    post,
    path = "/api/v1/policy/apply",
    tag = "policy",
    operation_id = "policy_apply",
    request_body = ApplyRequest,
    responses(
        (status = 200, description = "It is in force.", body = PolicyOutcome),
        (status = 400, description = "The document is refused.", body = Problem),
        (status = 404, description = "No policy can be enforced here.", body = Problem),
        (status = 409, description = "It does not fit what holds now.", body = Problem),
        (status = 500, description = "It could not be brought into force.", body = Problem),
        CommandRefused,
    )
)]
pub(crate) async fn apply(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<ApplyRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let confirm = request.confirm.as_deref().map(|text| span("confirm", text)).transpose()?;
    let command = PolicyCommand::Apply { document: request.document, confirm };
    carry_out(&shared, command, caller).await
}

/// Confirms the change of policy that waits for it, over a connection made after the change.
#[utoipa::path(
    post,
    path = "/api/v1/policy/confirm",
    tag = "policy",
    operation_id = "policy_confirm",
    responses(
        (status = 200, description = "It stays in force.", body = PolicyOutcome),
        (status = 404, description = "No policy can be enforced here.", body = Problem),
        (status = 409, description = "Nothing waits, or the connection is older than the change.", body = Problem),
        Forbidden,
    )
)]
pub(crate) async fn confirm(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, PolicyCommand::Confirm, caller).await
}

/// Brings back the policy that held before.
#[utoipa::path(
    post,
    path = "/api/v1/policy/rollback",
    tag = "policy",
    operation_id = "policy_rollback",
    responses(
        (status = 200, description = "The one before is in force.", body = PolicyOutcome),
        (status = 404, description = "No policy can be enforced here.", body = Problem),
        (status = 409, description = "There was none before.", body = Problem),
        Forbidden,
    )
)]
pub(crate) async fn rollback(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, PolicyCommand::Rollback, caller).await
}

/// Bans that hold, the latest first.
#[utoipa::path(
    get,
    path = "/api/v1/bans",
    tag = "policy",
    operation_id = "bans",
    responses(
        (status = 200, description = "The bans.", body = BanPage),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn bans(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let snapshot = shared.source.snapshot();
    let policy = &snapshot.firewall_rules;
    let page = BanPage { time: snapshot.time.clone(), bans: policy.bans.clone(), total: policy.bans_total };
    json(StatusCode::OK, Arc::new(page)).await
}

/// Bans an address or a prefix.
#[utoipa::path(
    post,
    path = "/api/v1/bans",
    tag = "policy",
    operation_id = "ban",
    request_body = BanRequest,
    responses(
        (status = 200, description = "It is banned.", body = PolicyOutcome),
        (status = 400, description = "The prefix or the time is not understood.", body = Problem),
        (status = 404, description = "Nothing can be banned here.", body = Problem),
        (status = 409, description = "It is exempt, or there is no room for more bans.", body = Problem),
        CommandRefused,
    )
)]
pub(crate) async fn ban(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<BanRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let ttl = request.ttl.as_deref().map(|text| span("ttl", text)).transpose()?;
    let command =
        PolicyCommand::Ban { prefix: prefix(&request.prefix)?, ttl, reason: request.reason.unwrap_or_default() };
    carry_out(&shared, command, caller).await
}

/// Lifts a ban.
#[utoipa::path(
    delete,
    path = "/api/v1/bans",
    tag = "policy",
    operation_id = "unban",
    request_body = UnbanRequest,
    responses(
        (status = 200, description = "It is no longer banned.", body = PolicyOutcome),
        (status = 400, description = "The prefix is not understood.", body = Problem),
        (status = 404, description = "Nothing can be banned here.", body = Problem),
        (status = 409, description = "It was not banned.", body = Problem),
        CommandRefused,
    )
)]
pub(crate) async fn unban(
    Commander(caller): Commander,
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(request): Body<UnbanRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    carry_out(&shared, PolicyCommand::Unban { prefix: prefix(&request.prefix)? }, caller).await
}

/// Every packet filter of this host, ours and others', with counters.
#[utoipa::path(
    get,
    path = "/api/v1/rules",
    tag = "policy",
    operation_id = "rules",
    responses(
        (status = 200, description = "The inventory.", body = Object, content_type = "application/json"),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 404, description = "This agent takes no inventory.", body = Problem),
    )
)]
pub(crate) async fn rules(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let inventory = in_turn(&shared, || shared.source.inventory()).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(inventory)).await
}

async fn carry_out(
    shared: &Shared,
    command: PolicyCommand,
    caller: crate::access::Caller,
) -> Result<Response, Refusal> {
    let detail = detail(&command);
    let outcome = patiently(shared.source.command(command, caller)).await?.map_err(refusal)?;
    let mut response = json(StatusCode::OK, Arc::new(outcome)).await?;
    response.extensions_mut().insert(detail);
    Ok(response)
}

/// A command as the trail has it; of a document only how long it is.
fn detail(command: &PolicyCommand) -> Detail {
    Detail(match command {
        PolicyCommand::Apply { document, .. } => format!("apply a document of {} bytes", document.len()),
        PolicyCommand::Confirm => "confirm".to_owned(),
        PolicyCommand::Rollback => "roll back".to_owned(),
        PolicyCommand::Ban { prefix, ttl, reason } => {
            let time = ttl.map_or_else(|| "until lifted".to_owned(), |ttl| format!("for {} s", ttl.as_secs()));
            format!("ban {prefix} {time}: {reason}")
        }
        PolicyCommand::Unban { prefix } => format!("unban {prefix}"),
    })
}

pub(crate) fn span(name: &str, text: &str) -> Result<Duration, Refusal> {
    parse_duration(text).filter(|span| !span.is_zero()).ok_or_else(|| {
        let detail = format!("`{name}` is `{text}`, which is no time span");
        Refusal::new(StatusCode::BAD_REQUEST, "bad_span", detail, "write it as `90s`, `15m`, `1h` or `7d`")
    })
}

/// An address is the prefix that holds it alone; bits beyond a prefix are cut off.
fn prefix(text: &str) -> Result<IpNet, Refusal> {
    let net = text.parse::<IpNet>().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)));
    net.map(|net| net.trunc()).ok_or_else(|| {
        let detail = format!("`{text}` is not an address or a prefix");
        Refusal::new(StatusCode::BAD_REQUEST, "bad_prefix", detail, "write it as `192.0.2.7` or `2001:db8::/32`")
    })
}
