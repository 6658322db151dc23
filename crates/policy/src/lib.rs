//! Policies: the language, its meaning, what it is compiled to, and what it would do to recorded flows. No I/O, no clock.
//!
//! A document is read into a [`Ruleset`], the one list of rules, in order of judgement, that everything else works on: the
//! tables of the datapath, nftables and iptables, explanations, rehearsals, and the oracle that tests hold them all
//! against.
#![forbid(unsafe_code)]

pub mod backend;
mod check;
mod compile;
mod counters;
mod diff;
pub mod document;
mod explain;
pub mod ledger;
mod opener;
pub mod oracle;
mod parse;
mod problem;
mod rehearse;
mod resolve;
pub mod respond;
mod ruleset;
pub mod sample;
mod schema;
mod selector;
pub mod sign;

pub use compile::{CompileError, compile, hoisted};
pub use counters::{Counters, CountersError};
pub use diff::{Change, DocumentDiff, Moved, RuleChange, SetChange, diff_documents};
pub use document::Document;
pub use explain::{AddressNames, PASSED_OVER, explain, explanation_text};
pub use hivewall_datapath::policy::Action;
pub use opener::{opener, words};
pub use parse::{Parsed, Places, TEXT_BYTES_MAX, TierPlaces, parse, parse_floor};
pub use problem::{Fault, PROBLEMS_MAX, Place, PolicyError, Problem, Severity, pointed};
pub use rehearse::{Rehearsal, rehearsal_text};
pub use resolve::{HostFacts, Members, NoMembers, PREFIXES_MAX, Resolved, Session, resolve};
pub use ruleset::{
    Addresses, Established, FlagsMatch, IcmpMatch, Limit, LogRate, Mode, PortRange, Rule, Ruleset, Stage,
};
pub use schema::policy_schema;
pub use selector::{Selector, SelectorError};
