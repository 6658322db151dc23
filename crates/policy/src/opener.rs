//! What is known of a packet, as the datapath has it. The one place where addresses and hooks are turned into its words.

use std::net::IpAddr;

use hivewall_datapath::policy::{Opener, kind};

use crate::oracle::Facts;

/// What the datapath judges of a packet, on an interface with this index.
pub fn opener(facts: &Facts, ifindex: u32) -> Opener {
    let transport = facts.transport.unwrap_or_default();
    Opener {
        source: words(facts.from),
        destination: words(facts.to),
        source_port: transport.source_port,
        destination_port: transport.destination_port,
        proto: facts.proto,
        tcp_flags: transport.flags,
        portless: facts.transport.is_none(),
        direction: facts.direction,
        ifindex,
        kind: kind(facts.direction, facts.proto) as u32,
    }
}

/// An address in network byte order, IPv4 mapped.
pub fn words(address: IpAddr) -> [u32; 4] {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    };
    [96, 64, 32, 0].map(|shift| ((bits >> shift) as u32).to_be())
}
