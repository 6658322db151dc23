//! What is asked of the agent and what its answers change.

use hivewall_view::fleet::FleetView;
use hivewall_view::time::parse_rfc3339;
use hivewall_view::{FlowPage, Snapshot};

use super::{App, Effect, FLOWS_MAX, Overlay};
use crate::agent::{Answer, FlowQuestion, Request};
use crate::history::{trend_in, trend_of_peer, trend_out};
use crate::list::List;
use crate::tab::Tab;

impl App {
    fn question(&self) -> FlowQuestion {
        let filter = self.moment.map_or_else(|| self.filter.clone(), |moment| moment.narrow(&self.filter));
        FlowQuestion { filter, sort: self.sort, limit: FLOWS_MAX, history: self.moment.is_some() }
    }

    /// Asks for flows at once, even when paused: a new question needs an answer.
    pub(super) fn ask_flows(&mut self) -> Effect {
        if self.link.asked.is_some() {
            self.ask_again = true;
            return Effect::None;
        }
        self.link.asked = Some(self.now);
        Effect::Ask(Request { action: None, snapshot: false, fleet: false, flows: Some(self.question()) })
    }

    pub(super) fn ask_if_due(&mut self) -> Effect {
        if self.link.asked.is_some() || self.paused || self.now < self.due {
            return Effect::None;
        }
        self.due = self.now + self.interval;
        // The past does not change: what is there is asked for once, unless that failed.
        let past = self.moment.is_some();
        let snapshot = !past || self.snapshot.is_none();
        let flows = self.tab == Tab::Flows && !(past && self.page.is_some() && self.link.error.is_none());
        let fleet = self.tab == Tab::Fleet && !past;
        if !snapshot && !flows {
            return Effect::None;
        }
        self.link.asked = Some(self.now);
        Effect::Ask(Request { action: None, snapshot, fleet, flows: flows.then(|| self.question()) })
    }

    pub(super) fn answered(&mut self, answer: Answer) -> Effect {
        self.link.asked = None;
        self.link.error = None;
        if let Some(reply) = answer.action {
            self.take_reply(reply);
        }
        if let Some(snapshot) = answer.snapshot {
            self.take_snapshot(snapshot);
        }
        if let Some(fleet) = answer.fleet {
            self.take_fleet(fleet);
        }
        if let Some((question, page)) = answer.flows
            && question == self.question()
        {
            self.take_page(page);
        }
        if self.action.is_some() {
            return self.ask_action();
        }
        if std::mem::take(&mut self.ask_again) && self.tab == Tab::Flows {
            return self.ask_flows();
        }
        Effect::None
    }

    fn take_snapshot(&mut self, answer: Result<Snapshot, String>) {
        match answer {
            Ok(snapshot) => {
                self.link.answered = Some(self.now);
                self.remember(&snapshot);
                self.agent_cpu = self.snapshot.as_deref().and_then(|before| cpu_share(before, &snapshot));
                self.rows.take(&snapshot, &self.trends, self.interval, &self.orders);
                self.snapshot = Some(Box::new(snapshot));
                for list in List::ALL {
                    if !matches!(list, List::Flows | List::Groups | List::Page) {
                        self.follow(list);
                    }
                }
            }
            Err(error) => self.link.error = Some(error),
        }
    }

    fn take_fleet(&mut self, answer: Result<Option<FleetView>, String>) {
        match answer {
            Ok(fleet) => {
                self.rows.take_fleet(fleet.as_ref(), &self.orders);
                self.fleet = fleet.map(Box::new);
                self.fleet_asked = true;
                Tab::Fleet.lists().iter().for_each(|list| self.follow(*list));
            }
            Err(error) => self.link.error = Some(error),
        }
    }

    /// Adds what is drawn as a graph to what is known of the time before.
    fn remember(&mut self, snapshot: &Snapshot) {
        let loads = || snapshot.interface_utilization.iter();
        let captured = || loads().filter(|(_, load)| load.captured).map(|(_, load)| load);
        let rates = [
            captured().map(|load| load.in_bits_per_second).sum::<f64>(),
            captured().map(|load| load.out_bits_per_second).sum(),
        ];
        for (history, rate) in self.rates.iter_mut().zip(rates) {
            history.push(self.now, rate.max(0.0) as u64);
        }
        let received = loads().map(|(name, load)| (trend_in(name), load.in_bits_per_second as u64));
        let sent = loads().map(|(name, load)| (trend_out(name), load.out_bits_per_second as u64));
        let peers = snapshot.latency.iter();
        let times = peers.map(|(peer, latency)| (trend_of_peer(peer), (latency.smoothed_seconds * 1e6) as u64));
        self.trends.push(self.now, received.chain(sent).chain(times));
    }

    fn take_page(&mut self, answer: Result<FlowPage, String>) {
        match answer {
            Ok(page) => {
                self.rows.group(&page, &self.orders);
                self.page = Some(page);
            }
            Err(error) => {
                self.link.error = Some(error);
                return;
            }
        }
        if self.moment.is_some() {
            self.link.answered = Some(self.now);
        }
        self.follow(List::Flows);
        self.follow(List::Groups);
        let flows = self.page.as_ref().map_or(&[][..], |page| &page.flows);
        if let Overlay::Details { row, listed, .. } = &mut self.overlay {
            let latest = flows.iter().find(|flow| flow.flow_id == row.flow_id);
            *listed = latest.is_some();
            if let Some(latest) = latest {
                row.clone_from(&Box::new(latest.clone()));
            }
        }
    }
}

/// CPU seconds used per second between two snapshots of the same agent.
fn cpu_share(before: &Snapshot, after: &Snapshot) -> Option<f64> {
    let (from, to) = (parse_rfc3339(&before.time)?, parse_rfc3339(&after.time)?);
    let seconds = to.0.checked_sub(from.0)? as f64 / 1e9;
    let used = after.host.agent_cpu_seconds - before.host.agent_cpu_seconds;
    (seconds > 0.0 && used >= 0.0).then_some(used / seconds)
}
