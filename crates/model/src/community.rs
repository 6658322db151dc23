//! Community ID flow hash, version 1: one string that every tool gives the same conversation.
//! Specification: <https://github.com/corelight/community-id-spec>.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hivewall_datapath::proto;
use sha1::{Digest, Sha1};

use crate::Tuple;

/// The Community ID of a conversation, with seed 0.
pub fn community_id(tuple: &Tuple) -> String {
    let (a_port, b_port, one_way) = ports(tuple);
    let (a, b) = (octets(tuple.client), octets(tuple.server));
    let ordered = one_way || (&a, a_port) < (&b, b_port);
    let (first, second) = if ordered { ((&a, a_port), (&b, b_port)) } else { ((&b, b_port), (&a, a_port)) };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    hash.update(first.0);
    hash.update(second.0);
    hash.update([tuple.protocol, 0]);
    if tuple.has_ports() || tuple.is_icmp() {
        hash.update(first.1.to_be_bytes());
        hash.update(second.1.to_be_bytes());
    }
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// ICMP has no ports: a request's type is paired with its reply's, and a type without a counterpart is one-way.
fn ports(tuple: &Tuple) -> (u16, u16, bool) {
    if !tuple.is_icmp() {
        return (tuple.client_port, tuple.server_port, false);
    }
    match icmp_counterpart(tuple.protocol, tuple.client_port) {
        Some(reply) => (tuple.client_port, reply, false),
        None => (tuple.client_port, tuple.server_port, true),
    }
}

/// The type that answers this ICMP type, where there is one.
pub fn icmp_counterpart(protocol: u8, kind: u16) -> Option<u16> {
    const V4: &[(u16, u16)] = &[(8, 0), (13, 14), (15, 16), (17, 18), (10, 9)];
    const V6: &[(u16, u16)] = &[(128, 129), (133, 134), (135, 136), (130, 131), (139, 140), (144, 145)];
    let pairs = if protocol == proto::ICMP { V4 } else { V6 };
    pairs.iter().find_map(|(a, b)| match kind {
        k if k == *a => Some(*b),
        k if k == *b => Some(*a),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(protocol: u8, a: &str, ap: u16, b: &str, bp: u16) -> String {
        let tuple = Tuple {
            protocol,
            client: a.parse().unwrap(),
            server: b.parse().unwrap(),
            client_port: ap,
            server_port: bp,
            vlans: [0; 2],
        };
        community_id(&tuple)
    }

    // Baselines published with the specification.
    #[test]
    fn published_baselines_hold() {
        assert_eq!(id(6, "128.232.110.120", 34855, "66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id(6, "66.35.250.204", 80, "128.232.110.120", 34855), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id(17, "192.168.1.52", 54585, "8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        assert_eq!(id(1, "192.168.0.89", 8, "192.168.0.1", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        assert_eq!(id(1, "192.168.0.1", 0, "192.168.0.89", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
    }
}
