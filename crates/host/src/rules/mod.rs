//! What stands in the kernel's packet filters, ours or not: put there, taken away, listed, watched, repaired, asked.
//!
//! The text of our own rules is made elsewhere; here the system's own programs (`nft`, `iptables…-restore`, `…-save`) are
//! run and what they print is read into one [`Inventory`]. Invariant: nothing but our own table and chains is ever
//! changed, and a change is one transaction of those programs.

mod apply;
mod clear;
mod drift;
mod error;
mod inventory;
mod iptables;
mod keep;
mod nft;
mod run;
mod walk;
mod watch;

pub use apply::{
    IptablesVariant, apply_iptables, apply_nft, iptables_counters, load_iptables, nft_counters, remove_iptables,
    remove_nft,
};
pub use clear::clear;
pub use drift::{Change, Drift, compare};
pub use error::RulesError;
pub use inventory::{Base, Chain, Inventory, Missing, Rule, Set, Source, Table, inventory};
pub use keep::{Kept, Repair, forget, is_whole, kept, repair};
pub use run::TOOL_TIME_MAX;
pub use walk::{Answer, NO_INTERFACE, Packet, Stop, Traversal, walk};
pub use watch::Watch;
