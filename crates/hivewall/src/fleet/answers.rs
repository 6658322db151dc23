//! The fleet's answers to the API: from what the desk shows, from the links, and by asking every host.
//!
//! Invariant: an answer names the hosts that are missing in it, and why.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use hivewall_api::{BoxFuture, Caller, FleetCommand, FleetRefusal, Invite, PageOf, Source as _};
use hivewall_net::{ANSWER_BYTES_MAX, Handle as Node, Life};
use hivewall_trust::{Invitation, Issued};
use hivewall_view::alerts::{AlertPage, AlertQuery};
use hivewall_view::fleet::{
    AuditPage, FleetAlertPage, FleetAnswer, FleetFlowPage, FleetOutcome, FleetRehearsal, FleetRulesPage,
    FleetSnapshotPage, FleetView, HostDigest, HostMissing, InvitationIssued, InvitationPage, InvitationView,
    MemberPage, alerts_of_each_host, merge_alerts, merge_flows, merge_rehearsals, merge_rules, of_each_host,
};
use hivewall_view::policy::{PolicyView, Rehearsal, RehearseRequest};
use hivewall_view::{Filter, FlowPage, Query, Sort};
use tokio::sync::oneshot;

use super::desk::Order;
use super::program::unix_ms;
use super::questions::Question;
use super::view::{hex, name_of, time};
use super::{Fleet, Live, log};
use crate::pipeline::Handle;

/// What a host says of a policy, or why it cannot.
type Rehearsed = Result<Rehearsal, String>;
type Answered<T> = BoxFuture<'static, Result<T, FleetRefusal>>;

/// What this host answers to another member.
pub(super) async fn of_this_host(pipeline: &Handle, question: &Question) -> Option<Vec<u8>> {
    match question {
        Question::Flows { filter, sort, limit, history } => {
            let filter = Filter::parse(filter, pipeline.now()).ok()?;
            let sort = Sort::ALL.iter().find(|(_, name)| name == sort).map(|(sort, _)| *sort)?;
            let query = Query { filter, sort, limit: *limit as usize, offset: 0, history: *history };
            fitting(pipeline.flows(query).await.ok()?)
        }
        Question::Alerts(query) => fitting_alerts(pipeline.alerts((**query).clone()).await.ok()?),
        Question::Digest => serde_json::to_vec(&HostDigest::of(&pipeline.snapshot())).ok(),
        Question::Rules => serde_json::to_vec(&pipeline.snapshot().firewall_rules).ok(),
        Question::Rehearse { document, last, current, without_guard } => {
            let request = RehearseRequest {
                document: document.clone(),
                last: last.clone(),
                current: current.clone(),
                without_guard: *without_guard,
            };
            let said: Rehearsed = pipeline.rehearse(request).await.map_err(|refusal| refusal.to_string());
            serde_json::to_vec(&said).ok()
        }
        _ => None,
    }
}

/// A page as it travels, with as many of its first rows as one answer carries; how many matched it tells all the same.
fn fitting(page: FlowPage) -> Option<Vec<u8>> {
    cut_to_fit(page, |page| &mut page.flows)
}

fn fitting_alerts(page: AlertPage) -> Option<Vec<u8>> {
    cut_to_fit(page, |page| &mut page.alerts)
}

fn cut_to_fit<P: serde::Serialize, R>(mut page: P, rows: impl Fn(&mut P) -> &mut Vec<R>) -> Option<Vec<u8>> {
    loop {
        let bytes = serde_json::to_vec(&page).ok()?;
        if bytes.len() <= ANSWER_BYTES_MAX {
            return Some(bytes);
        }
        // Rows differ in length, so that it may take another round.
        let rows = rows(&mut page);
        let most = rows.len() * ANSWER_BYTES_MAX / bytes.len();
        rows.truncate(most.min(rows.len().saturating_sub(1)));
    }
}

/// What one host said: its id, its name, its answer.
pub(super) type Said<T> = (String, String, T);

/// Asks every host that may be there, this one too.
async fn ask_all<T: serde::de::DeserializeOwned>(
    node: &Node,
    pipeline: &Handle,
    question: &Question,
) -> (Vec<Said<T>>, FleetAnswer) {
    ask_those((node, pipeline), question, |_| true).await
}

/// Asks hosts of these names that may be there, this one too.
pub(super) async fn ask_those<T: serde::de::DeserializeOwned>(
    (node, pipeline): (&Node, &Handle),
    question: &Question,
    is_meant: impl Fn(&str) -> bool,
) -> (Vec<Said<T>>, FleetAnswer) {
    let began = Instant::now();
    let state = node.state();
    let there = state
        .members
        .iter()
        .filter(|member| matches!(member.life, Life::Alive | Life::Suspect) && is_meant(&name_of(&state, member.id)));
    let asked = there.map(|member| {
        let (id, name) = (member.id, name_of(&state, member.id));
        let own = id == state.id;
        async move {
            let bytes = if own {
                of_this_host(pipeline, question).await.ok_or_else(|| "it has no answer".to_owned())
            } else {
                node.ask_async(id, question.encode(), question.wait(), false).await.map_err(|error| error.to_string())
            };
            let read = bytes.and_then(|bytes| {
                serde_json::from_slice(&bytes)
                    .map_err(|_| "its answer cannot be read; is it of another version?".to_owned())
            });
            (id.to_string(), name, read)
        }
    });
    let (mut said, mut missing) = (Vec::new(), Vec::new());
    for (id, name, read) in join_all(asked).await {
        match read {
            Ok(answer) => said.push((id, name, answer)),
            Err(reason) => missing.push(HostMissing { id, name, reason }),
        }
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let answer = FleetAnswer::of(said.len(), missing, took_ms);
    (said, answer)
}

fn now_text() -> String {
    time(unix_ms())
}

impl Fleet {
    fn started(&self) -> Result<(Live, Arc<FleetView>), FleetRefusal> {
        Ok((self.live().ok_or(FleetRefusal::Off)?, self.view().ok_or(FleetRefusal::Off)?))
    }

    /// The picture, for whoever looks at it: how a policy spreads is asked for while somebody does.
    pub(crate) fn looked_at(&self) -> Option<Arc<FleetView>> {
        let _ = self.desk.send(Order::Looked);
        self.view()
    }

    pub(crate) fn members(&self, of: PageOf) -> Answered<MemberPage> {
        self.of_desk(|answer| Order::Members(of, answer))
    }

    pub(crate) fn flows(&self, query: Query, pipeline: Handle) -> Answered<FleetFlowPage> {
        let started = self.started();
        Box::pin(async move {
            let (live, _) = started?;
            let each = of_each_host(&query);
            let sort = Sort::ALL.iter().find(|(sort, _)| *sort == each.sort).map_or("bytes", |(_, name)| name);
            let question = Question::Flows {
                filter: each.filter.to_string(),
                sort: sort.to_owned(),
                limit: u32::try_from(each.page_limit()).unwrap_or(u32::MAX),
                history: each.history,
            };
            let (said, answer) = ask_all::<FlowPage>(&live.node, &pipeline, &question).await;
            Ok(merge_flows(&query, now_text(), answer, said))
        })
    }

    pub(crate) fn digests(&self, pipeline: Handle) -> Answered<FleetSnapshotPage> {
        let started = self.started();
        Box::pin(async move {
            let (live, _) = started?;
            let (said, answer) = ask_all::<HostDigest>(&live.node, &pipeline, &Question::Digest).await;
            let mut hosts: Vec<HostDigest> =
                said.into_iter().map(|(id, name, digest)| HostDigest { id, name, ..digest }).collect();
            let moved = |host: &HostDigest| host.in_bits_per_second + host.out_bits_per_second;
            hosts.sort_by(|a, b| moved(b).total_cmp(&moved(a)).then_with(|| a.name.cmp(&b.name)));
            Ok(FleetSnapshotPage { time: now_text(), answer, hosts })
        })
    }

    pub(crate) fn rules(&self, pipeline: Handle) -> Answered<FleetRulesPage> {
        let started = self.started();
        Box::pin(async move {
            let (live, _) = started?;
            let (said, answer) = ask_all::<PolicyView>(&live.node, &pipeline, &Question::Rules).await;
            Ok(merge_rules(now_text(), answer, said.iter().map(|(_, _, view)| view)))
        })
    }

    pub(crate) fn alerts(&self, query: AlertQuery, pipeline: Handle) -> Answered<FleetAlertPage> {
        let started = self.started();
        Box::pin(async move {
            let (live, _) = started?;
            let question = Question::Alerts(Box::new(alerts_of_each_host(&query)));
            let (said, answer) = ask_all::<AlertPage>(&live.node, &pipeline, &question).await;
            Ok(merge_alerts(&query, now_text(), answer, said))
        })
    }

    pub(crate) fn rehearse(&self, request: RehearseRequest, pipeline: Handle) -> Answered<FleetRehearsal> {
        let started = self.started();
        Box::pin(async move {
            let (live, _) = started?;
            let RehearseRequest { document, last, current, without_guard } = request;
            // What is wrong with the text is told once, and not by every host.
            let readable = crate::policy::editing::readable(&document);
            readable.map_err(|refusal| FleetRefusal::Invalid { reason: refusal.to_string() })?;
            let question = Question::Rehearse { document, last, current, without_guard };
            let (said, answer) = ask_all::<Rehearsed>(&live.node, &pipeline, &question).await;
            Ok(merge_rehearsals(now_text(), &answer, said))
        })
    }

    pub(crate) fn audit(&self, of: PageOf) -> Answered<AuditPage> {
        self.of_desk(|answer| Order::Audit(of, answer))
    }

    /// What the desk answers; while this host is no member, it drops the question.
    fn of_desk<T: Send + 'static>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Order) -> Answered<T> {
        let (answer, answered) = oneshot::channel();
        let _ = self.desk.send(ask(answer));
        Box::pin(async move { answered.await.map_err(|_| FleetRefusal::Off) })
    }

    pub(crate) fn invitations(&self) -> Answered<InvitationPage> {
        let started = self.started();
        Box::pin(async move {
            let (live, _) = started?;
            let now_s = unix_ms() / 1000;
            let node = live.node.clone();
            let listed = move || {
                node.invitations(move |book| {
                    let mut all: Vec<InvitationView> =
                        book.list().map(|(id, issued)| invitation_view(*id, issued, now_s)).collect();
                    all.sort_by(|a, b| b.issued.cmp(&a.issued));
                    all
                })
            };
            let invitations = beside(listed).await?.unwrap_or_default();
            Ok(InvitationPage { time: now_text(), invitations })
        })
    }

    pub(crate) fn invite(&self, invite: Invite, caller: &Caller) -> Answered<InvitationIssued> {
        let (started, desk) = (self.started(), self.desk.clone());
        let actor = format!("API {}", caller.peer);
        Box::pin(async move {
            let (live, view) = started?;
            if !live.is_enroller {
                return Err(FleetRefusal::Conflict { reason: no_enroller(&view) });
            }
            if invite.enroller || !invite.labels.is_empty() {
                let reason = "an invitation gives no labels and no right to admit others: set fleet.labels on the host that joins";
                return Err(FleetRefusal::Invalid { reason: reason.to_owned() });
            }
            let random = crate::system::random().map_err(|error| FleetRefusal::Failed { reason: error.to_string() })?;
            let addresses = if invite.addresses.is_empty() { own_addresses(&live.node) } else { invite.addresses };
            if addresses.is_empty() {
                let reason = "this host knows no address of its own that others reach: give one with --address, or set \
                              fleet.advertise";
                return Err(FleetRefusal::Conflict { reason: reason.to_owned() });
            }
            let (node, root) = (live.node.clone(), live.root);
            let now_s = unix_ms() / 1000;
            let (life_s, uses, note) = (invite.ttl.as_secs(), invite.uses, invite.note);
            let issue = move || {
                node.invitations(move |book| {
                    let issued = book.issue(random, root, addresses, (now_s, life_s), (uses, note))?;
                    let kept = book.list().find(|(id, _)| **id == issued.id);
                    let shown = kept.map(|(id, kept)| invitation_view(*id, kept, now_s)).unwrap_or_default();
                    Ok::<(Invitation, InvitationView), hivewall_trust::TrustError>((issued, shown))
                })
            };
            let issued = beside(issue).await?.ok_or(FleetRefusal::Off)?;
            let (line, invitation) = issued.map_err(|error| FleetRefusal::Conflict { reason: error.to_string() })?;
            let detail = format!("{} for {} hosts, until {}", invitation.id, invitation.uses, invitation.expires);
            let _ = desk.send(Order::Note { what: log::INVITED, actor, detail });
            Ok(InvitationIssued { line: line.to_string(), invitation })
        })
    }

    pub(crate) fn command(&self, command: FleetCommand, caller: &Caller) -> Answered<FleetOutcome> {
        let (started, desk) = (self.started(), self.desk.clone());
        let actor = format!("API {}", caller.peer);
        Box::pin(async move {
            let (live, _) = started?;
            match command {
                FleetCommand::Withdraw { id } => {
                    let wanted = id.clone();
                    let node = live.node.clone();
                    let withdraw = move || {
                        node.invitations(move |book| {
                            let found = book.list().map(|(id, _)| *id).find(|id| hex(id) == wanted);
                            found.is_some_and(|id| book.withdraw(&id))
                        })
                    };
                    if !beside(withdraw).await?.unwrap_or(false) {
                        return Err(FleetRefusal::Conflict { reason: format!("there is no invitation {id} here") });
                    }
                    let _ = desk.send(Order::Note { what: log::WITHDRAWN, actor, detail: id.clone() });
                    Ok(FleetOutcome { done: format!("invitation {id} is withdrawn"), notes: Vec::new() })
                }
                FleetCommand::Remove { host, reason } => {
                    // Only the desk may read the root's key.
                    let (answer, answered) = oneshot::channel();
                    let _ = desk.send(Order::Remove { host, reason, actor, answer });
                    answered.await.map_err(|_| FleetRefusal::Off)?
                }
                FleetCommand::Leave => {
                    let _ = desk.send(Order::Leave { actor });
                    let notes = vec![
                        "the policy that is in force stays; `hivewall policy rollback` or a policy of its own replaces it"
                            .to_owned(),
                    ];
                    Ok(FleetOutcome { done: "this host leaves the fleet".to_owned(), notes })
                }
            }
        })
    }
}

/// Works where waiting does no harm.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FleetRefusal> {
    let gone = |_| FleetRefusal::Failed { reason: "the agent is stopping".to_owned() };
    tokio::task::spawn_blocking(work).await.map_err(gone)
}

fn no_enroller(view: &FleetView) -> String {
    let enrollers = view.members.iter().filter(|member| member.flags.iter().any(|flag| flag == "enroller"));
    let names: Vec<&str> = enrollers.map(|member| member.name.as_str()).collect();
    format!("this host may not admit others; ask one that may: {}", names.join(", "))
}

fn own_addresses(node: &Node) -> Vec<std::net::SocketAddr> {
    let state = node.state();
    state.member(state.id).map(|own| own.addresses().to_vec()).unwrap_or_default()
}

fn invitation_view(id: [u8; 8], issued: &Issued, now_s: u64) -> InvitationView {
    let used = u32::try_from(issued.used_by.len()).unwrap_or(u32::MAX);
    let state = if issued.expires_unix_s < now_s {
        "expired"
    } else if issued.uses_left == 0 {
        "used_up"
    } else {
        "open"
    };
    InvitationView {
        id: hex(&id),
        issued: Some(time(issued.issued_unix_s * 1000)),
        expires: time(issued.expires_unix_s.saturating_mul(1000)),
        uses: issued.uses_left.saturating_add(used),
        used,
        state: state.to_owned(),
        enroller: false,
        labels: std::collections::BTreeMap::new(),
        note: issued.note.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewall_view::FlowRow;

    #[test]
    fn a_page_that_is_too_long_for_an_answer_travels_with_its_first_rows() {
        let row = |flow_id| FlowRow { flow_id, state: "x".repeat(2000), ..FlowRow::default() };
        let page = |rows: u64| FlowPage { matched: rows, flows: (0..rows).map(row).collect(), ..FlowPage::default() };
        let short: FlowPage = serde_json::from_slice(&fitting(page(3)).unwrap()).unwrap();
        assert_eq!(short.flows.len(), 3);
        let bytes = fitting(page(20_000)).unwrap();
        let cut: FlowPage = serde_json::from_slice(&bytes).unwrap();
        assert!(bytes.len() <= ANSWER_BYTES_MAX && cut.flows.len() > 1000, "{} rows", cut.flows.len());
        assert_eq!((cut.matched, cut.flows.last().unwrap().flow_id), (20_000, cut.flows.len() as u64 - 1));
    }
}
