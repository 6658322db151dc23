//! What hosts that saw something of an alert of the fleet have of it: their flows, asked of them when the alert is raised.
//!
//! Invariant: at most [`OWNERS_MAX`] hosts are asked of one alert, and the others are named as not asked, up to what is shown.

use std::net::IpAddr;

use hivewall_net::Handle as Node;
use hivewall_view::FlowPage;
use hivewall_view::alerts::{OwnerEvidence, OwnersEvidence};
use hivewall_view::fleet::{FleetAnswer, HostMissing};
use tokio::sync::Semaphore;

use super::answers::ask_those;
use super::questions::Question;
use crate::pipeline::Handle;

/// Hosts asked of one alert.
pub(crate) const OWNERS_MAX: usize = 16;
/// Flows that each of them tells.
const FLOWS_MAX: u32 = 8;
/// Alerts that are asked about at once.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Who is asked, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owners {
    /// Names of hosts that saw it.
    pub(crate) hosts: Vec<String>,
    /// Whom it is about.
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

impl Owners {
    fn question(&self) -> Question {
        let port = self.port.map(|port| format!(" port:{port}")).unwrap_or_default();
        Question::Flows {
            filter: format!("ip:{}{port} last:1h", self.address),
            sort: "last".to_owned(),
            limit: FLOWS_MAX,
            history: true,
        }
    }
}

/// Asks them.
pub(super) async fn ask(node: &Node, pipeline: &Handle, owners: &Owners) -> OwnersEvidence {
    // Never closed.
    let _turn = TURNS.acquire().await;
    let asked = owners.hosts.get(..OWNERS_MAX).unwrap_or(&owners.hosts);
    let is_meant = |name: &str| asked.iter().any(|host| host == name);
    let (said, answer) = ask_those::<FlowPage>((node, pipeline), &owners.question(), is_meant).await;
    evidence(owners, said, answer)
}

fn evidence(owners: &Owners, said: Vec<super::answers::Said<FlowPage>>, answer: FleetAnswer) -> OwnersEvidence {
    let mut missing = answer.missing;
    let is_heard = |name: &str| said.iter().any(|(_, host, _)| host == name);
    for (place, host) in owners.hosts.iter().enumerate() {
        if is_heard(host) || missing.iter().any(|one| one.name == *host) {
            continue;
        }
        let reason = if place < OWNERS_MAX { "it is not there" } else { "not asked: others are enough" };
        missing.push(HostMissing { id: String::new(), name: host.clone(), reason: reason.to_owned() });
    }
    let answer = FleetAnswer::of(said.len(), missing, answer.took_ms);
    let mut told: Vec<OwnerEvidence> = said
        .into_iter()
        .take(OWNERS_MAX)
        .map(|(_, host, page)| OwnerEvidence {
            host,
            flows: page.matched,
            packets: page.flows.iter().map(|flow| flow.packets).sum(),
            bytes: page.flows.iter().map(|flow| flow.bytes).sum(),
            flow_ids: page.flows.iter().take(FLOWS_MAX as usize).map(|flow| flow.flow_id).collect(),
        })
        .collect();
    told.sort_by(|one, other| one.host.cmp(&other.host));
    OwnersEvidence { answer, owners: told }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewall_view::{Filter, FlowRow};

    fn owners(hosts: usize) -> Owners {
        let hosts = (0..hosts).map(|n| format!("h{n:02}")).collect();
        Owners { hosts, address: "192.0.2.7".parse().unwrap(), port: Some(22) }
    }

    #[test]
    fn the_question_is_one_that_every_host_understands() {
        let Question::Flows { filter, sort, .. } = owners(1).question() else { panic!() };
        assert_eq!(Filter::parse(&filter, hivewall_model::Timestamp::from_secs(9)).map(drop), Ok(()), "{filter}");
        assert!(hivewall_view::Sort::ALL.iter().any(|(_, name)| *name == sort), "{sort}");
    }

    #[test]
    fn what_hosts_have_is_added_up_for_each_and_who_was_not_heard_is_named_with_why() {
        let row = |flow_id, packets| FlowRow { flow_id, packets, bytes: packets * 60, ..FlowRow::default() };
        let page = FlowPage { matched: 30, flows: vec![row(7, 1), row(8, 2)], ..FlowPage::default() };
        let said =
            vec![("bb".to_owned(), "h01".to_owned(), page), ("aa".to_owned(), "h00".to_owned(), FlowPage::default())];
        let silent = HostMissing { id: "cc".to_owned(), name: "h02".to_owned(), reason: "no answer".to_owned() };
        let found = evidence(&owners(20), said, FleetAnswer::of(2, vec![silent], 9));
        assert_eq!((found.answer.heard, found.answer.known, found.answer.complete), (2, 20, false));
        let why = |name: &str| found.answer.missing.iter().find(|one| one.name == name).map(|one| one.reason.as_str());
        assert_eq!(
            [why("h02"), why("h03"), why("h16")],
            [Some("no answer"), Some("it is not there"), Some("not asked: others are enough")]
        );
        assert_eq!(
            found.owners[1],
            OwnerEvidence { host: "h01".into(), flows: 30, packets: 3, bytes: 180, flow_ids: vec![7, 8] }
        );
    }
}
