//! The screens and their order. Not here: what they draw ([`crate::screens`]).
//!
//! Invariant: the digit of a screen is its place in [`Tab::ALL`], counted from one.

/// A screen of `top`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tab {
    /// Rates, shares, busiest addresses, interfaces.
    #[default]
    Overview,
    /// The table of flows.
    Flows,
    /// Addresses and what they sent and received.
    Talkers,
    /// Traffic by protocol.
    Protocols,
    /// Interfaces and their load.
    Interfaces,
    /// Everything not seen or not kept, by reason, and the state of the agent.
    Losses,
}

impl Tab {
    /// Every screen, in the order of the tab line.
    pub const ALL: [Tab; 6] = [Tab::Overview, Tab::Flows, Tab::Talkers, Tab::Protocols, Tab::Interfaces, Tab::Losses];

    /// Title in the tab line.
    pub fn title(self) -> &'static str {
        match self {
            Tab::Overview => "Overview",
            Tab::Flows => "Flows",
            Tab::Talkers => "Talkers",
            Tab::Protocols => "Protocols",
            Tab::Interfaces => "Interfaces",
            Tab::Losses => "Losses",
        }
    }

    /// The screen with this title in any case, for the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| tab.title().eq_ignore_ascii_case(name))
    }

    /// Place in [`Tab::ALL`].
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0)
    }

    /// The screen of a digit key, `1` being the first.
    pub(crate) fn from_digit(digit: char) -> Option<Self> {
        let place = digit.to_digit(10)?.checked_sub(1)?;
        Self::ALL.get(place as usize).copied()
    }

    /// The screen `step` places on, going round.
    pub(crate) fn turn(self, step: usize) -> Self {
        Self::ALL.into_iter().cycle().nth(self.index() + step).unwrap_or_default()
    }
}
