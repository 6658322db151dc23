//! A compiled policy as plain memory: what the compiler writes, the kernel's maps are filled from, and the datapath in
//! user space judges by.

use hivewall_datapath::policy::{Address, Limit, PolicyHead, Row, RuleEntry};

/// Row by port (or ICMP type, or code), for all 65,536.
pub type PortRows = Vec<u16>;

/// A compiled policy.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PolicyTables {
    /// Everything small.
    pub head: PolicyHead,
    /// Rows, the first of which has all rules; the numbers below are indices into it.
    pub rows: Vec<Row>,
    /// Rules in order.
    pub rules: Vec<RuleEntry>,
    /// Row by longest prefix of the source address. Each prefix once.
    pub sources: Vec<(Address, u32)>,
    /// Row by longest prefix of the destination address.
    pub destinations: Vec<(Address, u32)>,
    /// Row by source port (ICMP type); empty when no rule looks at it, and then row 0 stands for all.
    pub source_ports: PortRows,
    /// Row by destination port (ICMP code).
    pub destination_ports: PortRows,
    /// Row by name of interface, `*` at the end stands for anything; the first that fits.
    pub interfaces: Vec<(String, u32)>,
    /// Limits that rules name.
    pub limits: Vec<Limit>,
    /// Sources behind which no packet is dropped before the guard and exemptions were asked.
    pub exempt: Vec<Address>,
}
