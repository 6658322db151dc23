//! Traffic by server port and by application.
//!
//! Which end serves and what it speaks may be learned late; then the whole flow goes over. Invariant: all services
//! together are the traffic of all flows that have ports, and so are all applications.

use std::collections::BTreeMap;

use hivewall_view::names::application_by_port;
use hivewall_view::{ApplicationTraffic, ServiceTraffic, protocol_text};

use crate::entry::Entry;
use crate::ledger::{Account, Ledger, Ticket};
use crate::points::Sum;

/// Server ports counted one by one.
const SERVICES_MAX: usize = 4096;
/// Server ports named in a snapshot.
const SERVICES_SHOWN: usize = 100;
/// Stands for flows with ports that nothing is known of.
const OTHER: &str = "other";

/// Traffic, each packet once, and the flows it was in.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    sum: Sum,
    flows: u64,
}

impl Work {
    fn take_back(&mut self, whole: Sum) {
        self.sum = self.sum.since(whole);
        self.flows = self.flows.saturating_sub(1);
    }
}

impl Account for Work {
    fn weight(&self) -> u64 {
        self.sum.ip_bytes
    }

    fn merge(&mut self, other: &Self) {
        self.sum.add(other.sum);
        self.flows += other.flows;
    }
}

/// An application by the name that is shown; all names are the program's own, so there are few.
#[derive(Clone, Copy, Debug, Default)]
struct Application {
    name: &'static str,
    work: Work,
    guessed: u64,
}

/// Where a flow is booked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Booking {
    service: Ticket,
    application: u8,
    is_guessed: bool,
}

pub(crate) struct ServiceTable {
    services: Ledger<(u8, u16), Work>,
    applications: Vec<Application>,
}

/// All a flow moved, both ways.
fn whole(entry: &Entry) -> Sum {
    let mut sum = entry.outside(true);
    sum.add(entry.outside(false));
    sum
}

impl ServiceTable {
    pub(crate) fn new() -> Self {
        Self { services: Ledger::new(SERVICES_MAX), applications: Vec::new() }
    }

    /// Books a flow, or a piece of one, with all it moved.
    pub(crate) fn book(&mut self, entry: &mut Entry) {
        if !entry.key.has_ports() {
            return;
        }
        let (_, port) = entry.server();
        let service = self.services.open(&(entry.key.protocol, port));
        let (application, is_guessed) = self.application_of(entry, port);
        let whole = whole(entry);
        let work = self.services.at(service);
        work.sum.add(whole);
        work.flows += 1;
        if let Some(row) = self.applications.get_mut(usize::from(application)) {
            row.work.sum.add(whole);
            row.work.flows += 1;
            row.guessed += u64::from(is_guessed);
        }
        entry.booking = Some(Booking { service, application, is_guessed });
    }

    fn application_of(&mut self, entry: &Entry, port: u16) -> (u8, bool) {
        let seen = entry.names().and_then(|names| names.application);
        let guess = application_by_port(entry.key.protocol, port);
        let name = seen.or(guess).unwrap_or(OTHER);
        let at = self.applications.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.applications.push(Application { name, ..Application::default() });
            self.applications.len() - 1
        });
        (at as u8, seen.is_none() && guess.is_some())
    }

    /// Counts what a record was new to its flow.
    #[inline]
    pub(crate) fn count(&mut self, booking: Booking, delta: Sum) {
        self.services.at(booking.service).sum.add(delta);
        if let Some(row) = self.applications.get_mut(usize::from(booking.application)) {
            row.work.sum.add(delta);
        }
    }

    /// Books a living flow anew, since its server or what it speaks turned out to be another.
    pub(crate) fn move_over(&mut self, entry: &mut Entry) {
        let Some(booking) = entry.booking.take() else { return };
        let whole = whole(entry);
        self.services.at(booking.service).take_back(whole);
        if let Some(row) = self.applications.get_mut(usize::from(booking.application)) {
            row.work.take_back(whole);
            row.guessed = row.guessed.saturating_sub(u64::from(booking.is_guessed));
        }
        self.book(entry);
    }

    pub(crate) fn folded(&self) -> u64 {
        self.services.folded()
    }

    /// The busiest server ports; what is left stands under port 0, by no protocol.
    pub(crate) fn services(&self) -> Vec<ServiceTraffic> {
        let (rows, other) = self.services.heaviest(SERVICES_SHOWN, |work| work.sum.ip_bytes);
        let view = |protocol: String, port, application: Option<&str>, work: &Work| ServiceTraffic {
            protocol,
            port,
            application: application.map(str::to_owned),
            bytes: work.sum.ip_bytes,
            packets: work.sum.packets,
            flows: work.flows,
        };
        // A port that was only guessed to serve, and did not, is left without flows.
        let served = rows.into_iter().filter(|(_, work)| work.flows > 0);
        let named = served.map(|((protocol, port), work)| {
            (view)(protocol_text(*protocol), *port, application_by_port(*protocol, *port), work)
        });
        let rest = (other.flows > 0).then(|| view(OTHER.to_owned(), 0, None, &other));
        named.chain(rest).collect()
    }

    pub(crate) fn applications(&self) -> BTreeMap<String, ApplicationTraffic> {
        let served = self.applications.iter().filter(|row| row.work.flows > 0);
        served
            .map(|row| {
                let view = ApplicationTraffic {
                    bytes: row.work.sum.ip_bytes,
                    packets: row.work.sum.packets,
                    flows: row.work.flows,
                    guessed_flows: row.guessed,
                };
                (row.name.to_owned(), view)
            })
            .collect()
    }
}
