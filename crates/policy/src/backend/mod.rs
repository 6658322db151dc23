//! Policies for hosts that must keep the kernel's own packet filters: what a [`crate::Ruleset`] is in nftables and in
//! iptables. Text is made here; nothing is run.
//!
//! Both ask conntrack for the direction of a flow, so that a reply is judged as the flow it belongs to: at the hook of
//! reception by the rules for what is sent, with addresses and ports exchanged, and the other way round. Invariant: the
//! first rule in document order that matches decides, as in the oracle.

mod blocks;
pub mod iptables;
pub mod nft;

use std::time::Duration;

use ipnet::IpNet;

/// A banned prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ban {
    /// Its addresses.
    pub net: IpNet,
    /// When it ends, from now on; never when absent.
    pub expires_in: Option<Duration>,
}

/// How a policy is to be put into the kernel's packet filter.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Interfaces that are judged, by name, `*` at the end stands for anything; all but loopback when empty.
    pub interfaces: Vec<String>,
    /// What rules have counted before, by id: counters go on from there.
    pub carried: Vec<(String, Count)>,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes from the IP header on.
    pub bytes: u64,
}

/// What a packet filter of the kernel cannot do as the document says it, by rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Shortfall {
    /// Conntrack does not know which rule accepted a flow.
    #[error(
        "rule `{rule}` (line {line}): `established` has no effect with this backend, its flows are judged again by every \
         policy; use the backend ebpf, or leave it out"
    )]
    Established {
        /// Id.
        rule: String,
        /// Line of the document.
        line: u32,
    },
    /// The hook after routing cannot send a refusal.
    #[error(
        "rule `{rule}` (line {line}): what it rejects among sent packets is dropped without telling the sender; this \
         backend can only tell senders of received packets"
    )]
    SilentReject {
        /// Id.
        rule: String,
        /// Line of the document.
        line: u32,
    },
    /// A rate that has no exact form.
    #[error(
        "rule `{rule}` (line {line}): its limit has no exact form with this backend and is rounded to {per_day} a day; \
         write it by second, minute, hour or day"
    )]
    RoundedRate {
        /// Id.
        rule: String,
        /// Line of the document.
        line: u32,
        /// The rate that holds.
        per_day: u64,
    },
    /// A condition that this packet filter does not have.
    #[error("rule `{rule}` (line {line}): {what} cannot be expressed with this backend; use the backend ebpf")]
    Condition {
        /// Id.
        rule: String,
        /// Line of the document.
        line: u32,
        /// The condition.
        what: &'static str,
    },
    /// More chains one after another than the kernel allows.
    #[error(
        "the policy needs {chains} chains one behind the other and iptables allows {most}: use fewer tiers, or fewer rules \
         that have long lists of both sources and destinations, or the backend nftables or ebpf"
    )]
    Depth {
        /// Chains on the longest way.
        chains: usize,
        /// Most there can be.
        most: usize,
    },
}

impl Shortfall {
    /// Whether verdicts would be others than those of the document, so that it must not be put in force.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Condition { .. } | Self::Depth { .. })
    }
}
