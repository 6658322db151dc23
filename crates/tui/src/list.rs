//! The lists a cursor can stand in, and what each can be ordered by. Not here: their rows ([`crate::rows`]) and columns
//! ([`crate::screens`]).
//!
//! Invariant: the first order of a list is the one it has at first; the name of an order is the head of its column.

/// A list of rows on a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Flows, ordered by the agent.
    Flows,
    /// Flows on the page added up by process.
    Groups,
    /// Processes.
    Processes,
    /// Addresses.
    Talkers,
    /// DNS look-ups of late.
    Lookups,
    /// Names asked of DNS.
    DnsNames,
    /// HTTP requests of late.
    Requests,
    /// HTTP hosts.
    Hosts,
    /// TLS server names.
    ServerNames,
    /// JA4 fingerprints.
    Fingerprints,
    /// Protocols.
    Protocols,
    /// Application protocols.
    Applications,
    /// Server ports.
    Services,
    /// Interfaces.
    Interfaces,
    /// Peers and their round-trip times.
    Peers,
    /// Sockets and flows by TCP state.
    States,
    /// Targets of half-open connections.
    HalfOpen,
    /// Transitions between states of sockets.
    Transitions,
    /// Packets the kernel dropped.
    KernelDrops,
    /// Losses.
    Losses,
    /// Alerts.
    Alerts,
    /// Rules of the policy.
    Rules,
    /// What was refused, by rule.
    Refused,
    /// Bans.
    Bans,
    /// Hosts of the fleet.
    Members,
    /// Who sent most in the fleet.
    FleetSources,
    /// To whom most was sent in the fleet.
    FleetDestinations,
    /// What was talked to most in the fleet.
    FleetServices,
    /// Links between hosts of the fleet.
    Links,
    /// No list but lines to scroll through.
    Page,
}

impl List {
    /// Every list.
    pub(crate) const ALL: [List; 30] = [
        List::Flows,
        List::Groups,
        List::Processes,
        List::Talkers,
        List::Lookups,
        List::DnsNames,
        List::Requests,
        List::Hosts,
        List::ServerNames,
        List::Fingerprints,
        List::Protocols,
        List::Applications,
        List::Services,
        List::Interfaces,
        List::Peers,
        List::States,
        List::HalfOpen,
        List::Transitions,
        List::KernelDrops,
        List::Losses,
        List::Alerts,
        List::Rules,
        List::Refused,
        List::Bans,
        List::Members,
        List::FleetSources,
        List::FleetDestinations,
        List::FleetServices,
        List::Links,
        List::Page,
    ];

    /// Place in [`List::ALL`].
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|list| *list == self).unwrap_or(0)
    }

    /// Title of the part of the screen that shows it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            List::Flows => "Flows",
            List::Groups => "Flows by process",
            List::Processes => "Processes",
            List::Talkers => "Talkers",
            List::Lookups => "Look-ups",
            List::DnsNames => "DNS names",
            List::Requests => "HTTP requests",
            List::Hosts => "HTTP hosts",
            List::ServerNames => "TLS server names",
            List::Fingerprints => "JA4 fingerprints",
            List::Protocols => "Protocols",
            List::Applications => "Applications",
            List::Services => "Server ports",
            List::Interfaces => "Interfaces",
            List::Peers => "Peers",
            List::States => "States",
            List::HalfOpen => "Half-open targets",
            List::Transitions => "Transitions",
            List::KernelDrops => "Dropped by the kernel",
            List::Losses => "Losses",
            List::Alerts => "Alerts",
            List::Rules => "Rules",
            List::Refused => "Refused",
            List::Bans => "Bans",
            List::Members => "Members",
            List::FleetSources => "Sources",
            List::FleetDestinations => "Destinations",
            List::FleetServices => "Services",
            List::Links => "Links",
            List::Page => "",
        }
    }

    /// Title where there is little room.
    pub(crate) fn short_title(self) -> &'static str {
        match self {
            List::Requests => "HTTP",
            List::Hosts => "hosts",
            List::ServerNames => "TLS",
            List::Fingerprints => "JA4",
            List::DnsNames => "names",
            other => other.title(),
        }
    }

    /// Heads of the columns that it can be ordered by here; flows are ordered by the agent.
    pub(crate) fn orders(self) -> &'static [&'static str] {
        match self {
            List::Flows | List::Page => &[],
            List::Groups => &["rate", "total", "packets", "flows", "process"],
            List::Processes => &["rate", "total", "sent", "received", "packets", "live", "flows", "process", "pid"],
            List::Talkers => &["rate", "total", "sent", "received", "packets", "address"],
            List::Lookups => &["time", "took", "name", "answer", "client", "process"],
            List::Requests => &["time", "took", "status", "host", "target", "client", "process"],
            List::DnsNames | List::Hosts | List::ServerNames | List::Fingerprints => &["count", "name"],
            List::Protocols => &["rate", "total", "packets", "flows", "protocol"],
            List::Applications => &["total", "packets", "flows", "application"],
            List::Services => &["total", "packets", "flows", "port"],
            List::Interfaces => &["captured", "interface", "in", "out", "received", "sent", "errors", "dropped"],
            List::Peers => &["samples", "rtt", "last", "least", "most", "jitter", "peer"],
            List::States => &["state", "sockets", "flows"],
            List::HalfOpen => &["half-open", "target"],
            List::Transitions => &["count", "transition"],
            List::KernelDrops => &["packets", "reason", "interface", "protocol"],
            List::Losses => &["packets", "count", "bytes", "reason"],
            List::Alerts => &["severity", "last", "detector", "source", "signs"],
            List::Rules => &["#", "rate", "packets", "bytes", "flows", "last", "rule", "tier", "action"],
            List::Refused => &["packets", "bytes", "in", "rule"],
            List::Members => &["state", "host", "since", "policy", "address", "agent"],
            List::FleetSources | List::FleetDestinations => &["bytes", "address", "host"],
            List::FleetServices => &["bytes", "service"],
            List::Links => &["rtt", "jitter", "loss", "from", "to"],
            List::Bans => &["since", "left", "prefix", "origin", "reason"],
        }
    }
}

/// What a list is ordered by: a number from the greatest down, a text from A to Z, unless reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Head of the column.
    pub(crate) column: &'static str,
    /// The other way round.
    pub(crate) reversed: bool,
}

/// The order of every list.
#[derive(Clone, Debug)]
pub(crate) struct Orders([Order; List::ALL.len()]);

impl Default for Orders {
    fn default() -> Self {
        Self(
            List::ALL.map(|list| Order { column: list.orders().first().copied().unwrap_or_default(), reversed: false }),
        )
    }
}

impl Orders {
    /// The order of `list`.
    pub(crate) fn of(&self, list: List) -> Order {
        self.0.get(list.index()).copied().unwrap_or(Order { column: "", reversed: false })
    }

    /// Orders `list` by the column `head`; by the same column the other way round when it is that already and `turn`
    /// says so. Whether anything changed.
    pub(crate) fn choose(&mut self, list: List, head: &str, turn: bool) -> bool {
        let Some(column) = list.orders().iter().copied().find(|column| *column == head) else { return false };
        let Some(order) = self.0.get_mut(list.index()) else { return false };
        let same = order.column == column;
        *order = Order { column, reversed: same && turn && !order.reversed };
        !same || turn
    }

    /// Orders `list` by the column `step` places on, going round.
    pub(crate) fn step(&mut self, list: List, step: isize) -> bool {
        let columns = list.orders();
        let Some(at) = columns.iter().position(|column| *column == self.of(list).column) else { return false };
        let next = (at as isize + step).rem_euclid(columns.len() as isize);
        columns.get(next as usize).is_some_and(|head| self.choose(list, head, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_has_its_own_place() {
        assert!(List::ALL.iter().enumerate().all(|(at, list)| list.index() == at));
    }

    #[test]
    fn the_same_head_twice_turns_the_order_around_and_an_unknown_one_does_nothing() {
        let mut orders = Orders::default();
        assert!(orders.choose(List::Talkers, "sent", true));
        assert_eq!(orders.of(List::Talkers), Order { column: "sent", reversed: false });
        assert!(orders.choose(List::Talkers, "sent", true));
        assert!(orders.of(List::Talkers).reversed);
        assert!(!orders.choose(List::Talkers, "no such head", true));
        assert!(!orders.choose(List::Flows, "rate", true), "the agent orders flows");
    }

    #[test]
    fn stepping_goes_round_in_both_directions() {
        let mut orders = Orders::default();
        orders.step(List::DnsNames, -1);
        assert_eq!(orders.of(List::DnsNames).column, "name");
        orders.step(List::DnsNames, 1);
        assert_eq!(orders.of(List::DnsNames).column, "count");
        assert!(!orders.step(List::Page, 1));
    }
}
