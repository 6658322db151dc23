//! The screens, their order, their keys, and the lists on each. Not here: what they draw ([`crate::screens`]).
//!
//! Invariant: no two screens share a key, and no key of a screen is one of another command.

use crate::list::List;

/// A screen of `top`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tab {
    /// Rates, the host, and the busiest of everything.
    #[default]
    Overview,
    /// The table of flows.
    Flows,
    /// Processes of this host and what they sent and received.
    Processes,
    /// Addresses and what they sent and received.
    Talkers,
    /// Names seen: DNS, HTTP, TLS.
    Names,
    /// Traffic by protocol, application and server port.
    Protocols,
    /// Interfaces and their load.
    Interfaces,
    /// Round-trip time and jitter by peer.
    Latency,
    /// Sockets by state, transitions, half-open targets.
    Sockets,
    /// What the kernel dropped, and everything not seen or not kept, by reason.
    Drops,
    /// Security alerts.
    Alerts,
    /// The firewall policy: rules, refusals, bans.
    Policy,
    /// The fleet: members, what all saw together, how the policy spreads, links.
    Fleet,
    /// The agent itself and the host it runs on.
    Own,
}

/// A screen with what is said of it in the tab line.
struct Entry {
    tab: Tab,
    key: char,
    title: &'static str,
    short: &'static str,
    lists: &'static [List],
}

const ENTRIES: [Entry; Tab::ALL.len()] = [
    entry(Tab::Overview, '1', "Overview", "Over", &[]),
    entry(Tab::Flows, '2', "Flows", "Flows", &[List::Flows]),
    entry(Tab::Processes, '3', "Processes", "Proc", &[List::Processes]),
    entry(Tab::Talkers, '4', "Talkers", "Talk", &[List::Talkers]),
    entry(
        Tab::Names,
        '5',
        "Names",
        "Names",
        &[List::Lookups, List::DnsNames, List::Requests, List::Hosts, List::ServerNames, List::Fingerprints],
    ),
    entry(Tab::Protocols, '6', "Protocols", "Proto", &[List::Protocols, List::Applications, List::Services]),
    entry(Tab::Interfaces, '7', "Interfaces", "Iface", &[List::Interfaces]),
    entry(Tab::Latency, '8', "Latency", "Rtt", &[List::Peers]),
    entry(Tab::Sockets, '9', "Sockets", "Socks", &[List::States, List::HalfOpen, List::Transitions]),
    entry(Tab::Drops, '0', "Drops", "Drops", &[List::KernelDrops, List::Losses]),
    entry(Tab::Alerts, 'a', "Alerts", "Alert", &[List::Alerts]),
    entry(Tab::Policy, 'f', "Policy", "Pol", &[List::Rules, List::Refused, List::Bans]),
    entry(
        Tab::Fleet,
        'n',
        "Fleet",
        "Fleet",
        &[List::Members, List::FleetSources, List::FleetDestinations, List::FleetServices, List::Links],
    ),
    entry(Tab::Own, 'i', "Self", "Self", &[]),
];

const fn entry(tab: Tab, key: char, title: &'static str, short: &'static str, lists: &'static [List]) -> Entry {
    Entry { tab, key, title, short, lists }
}

impl Tab {
    /// Every screen, in the order of the tab line.
    pub const ALL: [Tab; 14] = [
        Tab::Overview,
        Tab::Flows,
        Tab::Processes,
        Tab::Talkers,
        Tab::Names,
        Tab::Protocols,
        Tab::Interfaces,
        Tab::Latency,
        Tab::Sockets,
        Tab::Drops,
        Tab::Alerts,
        Tab::Policy,
        Tab::Fleet,
        Tab::Own,
    ];

    fn entry(self) -> &'static Entry {
        let [first, ..] = &ENTRIES;
        ENTRIES.iter().find(|entry| entry.tab == self).unwrap_or(first)
    }

    /// Title in the tab line.
    pub fn title(self) -> &'static str {
        self.entry().title
    }

    /// Title where the tab line is narrow.
    pub(crate) fn short_title(self) -> &'static str {
        self.entry().short
    }

    /// The key that shows it.
    pub(crate) fn key(self) -> char {
        self.entry().key
    }

    /// The lists on it; the first one has the cursor at first. None where there is nothing to select.
    pub(crate) fn lists(self) -> &'static [List] {
        self.entry().lists
    }

    /// The screen with this title in any case, for the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| tab.title().eq_ignore_ascii_case(name))
    }

    /// The screen that `key` shows.
    pub(crate) fn from_key(key: char) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| tab.key() == key)
    }

    /// Place in [`Tab::ALL`].
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0)
    }

    /// The screen `step` places on, going round.
    pub(crate) fn turn(self, step: usize) -> Self {
        Self::ALL.into_iter().cycle().nth(self.index() + step).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_screen_has_its_own_key_and_entry() {
        for tab in Tab::ALL {
            assert_eq!(tab.entry().tab, tab);
            assert_eq!(Tab::from_key(tab.key()), Some(tab));
            assert_eq!(Tab::from_name(&tab.title().to_uppercase()), Some(tab));
            assert!(tab.short_title().len() <= 5);
        }
    }
}
