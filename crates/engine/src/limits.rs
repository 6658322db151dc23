//! Bounds and timeouts of the engine. Everything it keeps is bounded by one of these.

use std::time::Duration;

use hivewall_datapath::proto;
use ipnet::IpNet;

/// Bounds and timeouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Flows that live at once. One more ends the quietest of some that are looked at.
    pub flows_max: usize,
    /// Closed flows kept for questions.
    pub closed_keep: usize,
    /// Quiet time after which a UDP or other flow is over.
    pub idle: Duration,
    /// The same for a TCP connection that has not said its end.
    pub tcp_idle: Duration,
    /// The same for ICMP.
    pub icmp_idle: Duration,
    /// Age at which a living flow is cut in two.
    pub active: Duration,
    /// How long a finished TCP connection waits for late packets.
    pub linger: Duration,
    /// Addresses counted one by one.
    pub addresses_max: usize,
    /// Prefixes counted as wholes.
    pub subnets: Vec<IpNet>,
    /// Processes counted one by one.
    pub processes_max: usize,
    /// Sockets remembered, closed ones for a while included.
    pub sockets_max: usize,
    /// Addresses remembered with the name that DNS gave for them, for each client that asked.
    pub answers_max: usize,
    /// Names of each kind (asked for, connected to, …) counted one by one.
    pub names_max: usize,
    /// Peers whose round-trip time is remembered.
    pub peers_max: usize,
    /// Findings that wait for the first record of their flow.
    pub findings_max: usize,
    /// Addresses shown in a snapshot; the others are added up under `other`.
    pub addresses_shown: usize,
    /// Flows shown in a snapshot.
    pub flows_shown: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows_max: 1_000_000,
            closed_keep: 10_000,
            idle: Duration::from_secs(60),
            tcp_idle: Duration::from_secs(300),
            icmp_idle: Duration::from_secs(15),
            active: Duration::from_secs(1800),
            linger: Duration::from_secs(2),
            addresses_max: 65_536,
            subnets: Vec::new(),
            processes_max: 4096,
            sockets_max: 262_144,
            answers_max: 65_536,
            names_max: 4096,
            peers_max: 16_384,
            findings_max: 65_536,
            addresses_shown: 1000,
            flows_shown: 100,
        }
    }
}

impl Limits {
    pub(crate) fn idle_for(&self, protocol: u8) -> Duration {
        match protocol {
            proto::TCP => self.tcp_idle,
            proto::ICMP | proto::ICMPV6 => self.icmp_idle,
            _ => self.idle,
        }
    }
}
