//! A policy on its way through the fleet, as this host takes part in it: taking it up, confirming it, and knowing how the
//! others stand.
//!
//! Invariant: a policy that has to be confirmed is confirmed here only when it was confirmed for the fleet and another host
//! could open a new connection to where this one is managed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::Sender;
use std::time::Duration;

use hivewall_cluster::NodeId;
use hivewall_net::{Handle, Life, NodeState};
use hivewall_view::fleet::{REFUSED_SHOWN, RefusedHost, RolloutView, StandKind};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::questions::{Question, Reached, Stands, decode};
use super::view::{hex, name_of, policy_stand, time};
use super::{ANSWER_WAIT, POLICY};
use crate::policy::governor::{Answer, Ask, FromFleet};

/// How long a connection may take to be opened.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// How many others are asked whether they reach this host.
const WITNESSES: usize = 3;
/// How long an answer about a stand is taken for true.
const STAND_WAIT: Duration = Duration::from_millis(800);

/// Asks the policy's thread, and waits for its answer.
pub(super) async fn governor<T>(
    governor: Option<&Sender<Ask>>,
    ask: impl FnOnce(Answer<T>) -> FromFleet,
) -> Result<T, String> {
    let (answer, answered) = oneshot::channel();
    let governor = governor.ok_or("this host enforces no policy")?;
    governor.send(Ask::Fleet(ask(answer))).map_err(|_| "the policy's thread has stopped")?;
    answered.await.map_err(|_| "the policy's thread has stopped")?.map_err(|refusal| refusal.to_string())
}

/// Whether some other host can open a new connection to this one's management port.
pub(super) async fn is_reached(node: &Handle, port: u16) -> Result<(), String> {
    let state = node.state();
    let others = state.members.iter().filter(|member| member.id != state.id && member.life == Life::Alive);
    let others: Vec<NodeId> = others.map(|member| member.id).take(WITNESSES).collect();
    if others.is_empty() {
        return Err("no other member is there to say whether this host can still be reached".to_owned());
    }
    let question = Question::Reach { port, listens: listens(port).await };
    for id in others {
        let answer = node.ask_async(id, question.encode(), ANSWER_WAIT, true).await;
        if answer.ok().and_then(|bytes| decode(&bytes)) == Some(Reached(true)) {
            return Ok(());
        }
    }
    Err(format!("no other member could open a new connection to port {port} of this host"))
}

/// Tries to open a connection to another host's port, for [`is_reached`] there.
pub(super) async fn reach(addresses: Vec<IpAddr>, port: u16, listens: bool) -> Reached {
    for address in addresses {
        if opens(SocketAddr::new(address, port), listens).await {
            return Reached(true);
        }
    }
    Reached(false)
}

/// Whether a connection opens there; or, where nothing listens, whether that is said.
async fn opens(address: SocketAddr, listens: bool) -> bool {
    match timeout(CONNECT_WAIT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => !listens && error.kind() == std::io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}

/// Whether something listens at a port of this host.
async fn listens(port: u16) -> bool {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    matches!(timeout(CONNECT_WAIT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// How everybody stands, as far as this host was told.
#[derive(Default)]
pub(super) struct Everybody {
    stands: BTreeMap<NodeId, (Stands, Instant)>,
}

impl Everybody {
    pub(super) fn get(&self, id: NodeId) -> Option<&Stands> {
        self.stands.get(&id).map(|(stands, _)| stands)
    }

    pub(super) fn heard(&mut self, id: NodeId, stands: Stands) {
        self.stands.insert(id, (stands, Instant::now()));
    }

    /// Whom to ask again: whoever did not say for good what it does about this version.
    pub(super) fn unsettled(&self, state: &NodeState, version: u64, most: usize) -> Vec<NodeId> {
        let is_settled = |id: NodeId| {
            self.get(id).is_some_and(|stands| {
                stands.version >= version
                    && stands.waits_s.is_none()
                    && (stands.is_enforced || !stands.refusal.is_empty())
            })
        };
        let alive = state.members.iter().filter(|member| matches!(member.life, Life::Alive | Life::Suspect));
        alive.map(|member| member.id).filter(|id| *id != state.id && !is_settled(*id)).take(most).collect()
    }

    pub(super) fn forget_the_gone(&mut self, state: &NodeState) {
        self.stands.retain(|id, _| state.member(*id).is_some());
    }

    /// How the fleet's policy spreads; nothing while there is none.
    pub(super) fn view(&self, state: &NodeState, own: &Stands) -> Option<RolloutView> {
        let held = state.policies.get(POLICY)?;
        let (head, now) = (held.head(), Instant::now());
        let signed = hivewall_policy::sign::Signed::parse(&held.policy.body).ok();
        let name = signed.map(|signed| signed.statement().header().name.clone()).unwrap_or_default();
        let mut view = RolloutView {
            name,
            version: head.version,
            hash: hex(&head.hash.0),
            frozen: held.is_frozen,
            confirm_until: own.waits_s.map(|left| time(super::program::unix_ms() + left * 1000)),
            ..RolloutView::default()
        };
        let alive = state.members.iter().filter(|member| matches!(member.life, Life::Alive | Life::Suspect));
        for member in alive {
            let (stands, at) = if member.id == state.id {
                (Some(own), Some(now))
            } else {
                let known = self.stands.get(&member.id);
                (known.map(|(stands, _)| stands), known.map(|(_, at)| *at))
            };
            view.hosts += 1;
            let stand = stands.map(|stands| policy_stand(stands, head.version)).unwrap_or_default();
            match stand.stand {
                StandKind::Unknown => view.unknown += 1,
                StandKind::Have => view.have += 1,
                StandKind::Enforced => view.enforced += 1,
                StandKind::Refused => {
                    view.refused += 1;
                    if view.refusals.len() < REFUSED_SHOWN {
                        let (id, name) = (member.id.to_string(), name_of(state, member.id));
                        view.refusals.push(RefusedHost { id, name, reason: stand.reason });
                    }
                }
            }
            let age = at.map_or(0, |at| u64::try_from(now.duration_since(at).as_millis()).unwrap_or(u64::MAX));
            view.age_ms = view.age_ms.max(age);
        }
        Some(view)
    }
}

/// Asks a host how it stands.
pub(super) async fn ask_stand(node: Handle, id: NodeId) -> Option<(NodeId, Stands)> {
    let answer = node.ask_async(id, Question::Stand.encode(), STAND_WAIT, false).await.ok()?;
    Some((id, decode(&answer)?))
}
