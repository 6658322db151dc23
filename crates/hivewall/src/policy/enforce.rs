//! What the policy's thread asks of whatever enforces: our own programs in the kernel, or a packet filter that is there.
//!
//! Both keep what they hold when the agent dies, and go back by themselves when a change was not confirmed. Invariant:
//! one whole policy holds at any time; an error leaves the one before in force.

use hivewall_engine::RuleHits;
use hivewall_policy::ledger::Moment;
use hivewall_policy::sign::Digest;
use hivewall_policy::{Counters, Ruleset};
use hivewall_view::policy::{FirewallChange, FirewallDrift, PolicyFailure, TableFill};
use ipnet::IpNet;

use super::bans::BanBook;

/// A policy to be put in force.
pub(crate) struct Order<'a> {
    /// Its rules, as they hold here.
    pub(crate) rules: &'a Ruleset,
    /// Its document.
    pub(crate) digest: Digest,
    /// Time since the machine started at which the host goes back unless it was confirmed.
    pub(crate) until_uptime_ms: Option<u64>,
    /// Now.
    pub(crate) now: &'a Moment,
}

/// What enforces.
pub(crate) trait Enforce: Send {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// The change in force, in the enforcer's own count; 0 when nothing is judged.
    fn epoch(&self) -> u16;

    /// Policies put in force since the start.
    fn changes(&self) -> u64;

    /// Whether the capturing datapath has to outlive the agent for it.
    fn holds_datapath(&self) -> bool;

    /// Why it cannot enforce these rules as they are meant, if it cannot.
    fn refusal(&self, rules: &Ruleset) -> Option<String>;

    /// Makes ready what follows from the rules alone, and gives each a counter.
    fn prepare(&mut self, rules: &Ruleset, counters: &mut Counters) -> anyhow::Result<()>;

    /// Puts in force what was prepared last.
    fn enforce(&mut self, order: &Order<'_>, bans: &mut BanBook) -> anyhow::Result<()>;

    /// Whether what waits for confirmation can still be kept; `false` when the kernel has gone back already.
    fn confirm(&mut self) -> anyhow::Result<bool>;

    /// Enforces no policy; bans stay.
    fn withdraw(&mut self, bans: &mut BanBook) -> anyhow::Result<()>;

    /// Bans came or went: the one named, or any.
    fn bans_changed(&mut self, bans: &BanBook, one: Option<IpNet>) -> anyhow::Result<()>;

    /// Looks after what is in force, about once a second.
    fn second(&mut self, bans: &BanBook) -> anyhow::Result<()>;

    /// What these counters have, by number and by the id of the rule or the label of the cause.
    fn hits(&mut self, wanted: &[(u32, String)]) -> Vec<RuleHits>;

    /// Its tables that can be full, by name.
    fn tables(&self) -> Vec<(&'static str, TableFill)> {
        Vec::new()
    }

    /// What an operator should know of it now.
    fn problems(&self) -> Vec<String>;

    /// What makes the host less than it is meant to be, now.
    fn failures(&self) -> Vec<PolicyFailure> {
        Vec::new()
    }

    /// What others changed in the host's packet filters, where they are watched.
    fn drift(&self) -> FirewallDrift {
        FirewallDrift::default()
    }

    /// Of that, what is not in the log yet.
    fn take_changes(&mut self) -> Vec<FirewallChange> {
        Vec::new()
    }
}
