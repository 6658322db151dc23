//! This host's share in what the fleet saw in an epoch.
//!
//! A flow between two members is on both; the host that opened it sums it up. Invariant: a flow whose ends are members counts
//! once in the fleet, whoever saw it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hivewall_datapath::proto;
use hivewall_engine::Moved;
use hivewall_sketch::{Class, Direction, Encoded, Flow, Service, Summary};

use crate::policy::governor::Membership;

/// Kind of interface where none is told apart.
const ANY_INTERFACE: u8 = 0;

/// What goes to the leaders of the zone.
pub(super) fn summary(moved: &[Moved], members: &Membership) -> Encoded {
    let addresses: BTreeSet<IpAddr> = members.0.iter().flat_map(|host| host.addresses.iter().copied()).collect();
    Summary::of(moved.iter().filter(|moved| is_ours(moved, &addresses)).map(flow)).encode()
}

/// Whether this host sums it up: it opened it; or another that is no member did, and it was for this host, or passed through.
fn is_ours(moved: &Moved, members: &BTreeSet<IpAddr>) -> bool {
    let is_member = |address: IpAddr| members.contains(&address.to_canonical());
    match moved.is_local {
        [true, _] => true,
        _ if is_member(moved.client) => false,
        [_, true] => true,
        _ => !is_member(moved.server),
    }
}

fn flow(moved: &Moved) -> Flow {
    let has_ports = !matches!(moved.protocol, proto::ICMP | proto::ICMPV6);
    Flow {
        source: moved.client.to_canonical(),
        destination: moved.server.to_canonical(),
        service: Service { protocol: moved.protocol, port: if has_ports { moved.server_port } else { 0 } },
        class: Class {
            protocol: moved.protocol,
            interface: ANY_INTERFACE,
            direction: if moved.is_local == [false, true] { Direction::In } else { Direction::Out },
        },
        packets: moved.packets,
        bytes: moved.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::governor::FleetHost;

    fn moved(client: &str, server: &str, is_local: [bool; 2]) -> Moved {
        Moved {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            protocol: proto::TCP,
            server_port: 443,
            is_local,
            packets: 2,
            bytes: 100,
        }
    }

    #[test]
    fn of_two_members_the_one_that_began_sums_up_and_of_strangers_whoever_saw_it() {
        let host = |name: &str, address: &str| FleetHost {
            name: name.to_owned(),
            labels: std::collections::BTreeMap::new(),
            addresses: vec![address.parse().unwrap()],
        };
        let members = Membership(vec![host("a", "10.0.0.1"), host("b", "10.0.0.2")]);
        // As `a` sees them: its own, one of `b` to it, one of a stranger to it, one it passes on, one between others to `b`.
        let seen = [
            moved("10.0.0.1", "10.0.0.2", [true, false]),
            moved("10.0.0.2", "10.0.0.1", [false, true]),
            moved("192.0.2.9", "10.0.0.1", [false, true]),
            moved("192.0.2.9", "192.0.2.8", [false, false]),
            moved("192.0.2.9", "10.0.0.2", [false, false]),
        ];
        let summary = Summary::decode(&summary(&seen, &members)).unwrap();
        let totals: Vec<(Direction, u64, u64)> =
            summary.totals().iter().map(|(class, counts)| (class.direction, counts.flows, counts.bytes)).collect();
        assert_eq!(totals, [(Direction::In, 1, 100), (Direction::Out, 2, 200)]);
        assert_eq!(summary.sources().get("192.0.2.9".parse().unwrap()).bytes, 200);
    }
}
