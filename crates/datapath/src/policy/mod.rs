//! Verdicts: what becomes of a packet, by which rule, and for how long the answer holds.
//!
//! Holds the memory that kernel and user space share for a policy, and (in `classify`, `connection`, `judge`) the code
//! that decides, which runs in both. It knows neither the language of policies nor names: rules are bits of rows, and
//! a rule is known by the number of its counter. Invariant: a packet whose line carries the epoch in force pays one
//! comparison; everything else here runs once a flow and policy.

mod classify;
mod connection;
mod judge;
mod reply;
mod table;
mod verdict;

pub use classify::{BROKEN, NO_RULE, Opener, Tables, classify, opposite};
pub use connection::{Connection, ConnectionKey, Room};
pub use judge::{Desk, PASSING_LIMITS_MAX, Said, State, by_rules, decided_elsewhere, judge};
pub use reply::{REPLY_KEY, REPLY_RATE, Reply, Shape, is_reply, reply};
pub use table::{
    Address, Field, KINDS, LIMITS_MAX, Limit, LimitKey, PolicyControl, PolicyHead, PolicyWord, ROW_WORDS, ROWS_MAX,
    RULES_MAX, Row, RuleEntry, RuleFlags, Side, kind,
};
pub use verdict::{Action, COUNTERS_MAX, Cause as VerdictCause, Verdict};
