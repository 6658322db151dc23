//! Policies: the language, its meaning, what it is compiled to, and what it would do to recorded flows. No I/O, no clock.
//!
//! A document is read into a [`Ruleset`], the one list of rules, in order of judgement, that everything else works on: the
//! tables of the datapath, nftables and iptables, explanations, rehearsals, and the oracle that tests hold them all
//! against.
#![forbid(unsafe_code)]

mod compile;
mod counters;
mod explain;
pub mod ledger;
mod opener;
pub mod oracle;
mod rehearse;
mod ruleset;
pub mod sample;
pub mod sign;

pub use compile::{CompileError, compile};
pub use counters::{Counters, CountersError};
pub use explain::{AddressNames, Asked, Explanation, Step, explain};
pub use hivewall_datapath::policy::Action;
pub use opener::{opener, words};
pub use rehearse::{Cut, Rehearsal, RehearsalReport, RuleReport, Sums};
pub use ruleset::{
    Addresses, Established, FlagsMatch, IcmpMatch, Limit, LogRate, Mode, PortRange, Rule, Ruleset, Stage,
};
