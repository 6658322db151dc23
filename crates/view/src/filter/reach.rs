//! What a filter says that a store of many flows can use before it looks at single ones: time, addresses, and whether it
//! asks for more than who, when and how much.
//!
//! Invariant: what is said of time and addresses is necessary for a match, and sufficient where [`Filter::is_reach`].

use std::net::IpAddr;

use hivewall_model::Timestamp;
use ipnet::IpNet;

use super::term::{Side, Test};
use super::{Filter, Group};

/// Addresses of which a matching flow has one: see [`Filter::reach`].
#[derive(Clone, Debug, PartialEq)]
pub struct AddressReach {
    /// Whether the client's address counts.
    pub source: bool,
    /// Whether the server's address counts.
    pub destination: bool,
    nets: Vec<IpNet>,
}

impl AddressReach {
    /// Whether it is one of the addresses.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(&address))
    }
}

impl Filter {
    /// The time that matching flows must touch: they are seen at the first moment or later, and began at the second or
    /// before.
    pub fn time_bounds(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        // Tests of one group are alternatives: its widest counts. Of negated ones every test must fail, which bounds the
        // other way and is left out.
        let plain = || self.groups.iter().filter(|group| !group.negated);
        let from = plain().filter_map(|group| {
            group.all(|test| if let Test::From(time) = test { Some(*time) } else { None })?.into_iter().min()
        });
        let to = plain().filter_map(|group| {
            group.all(|test| if let Test::To(time) = test { Some(*time) } else { None })?.into_iter().max()
        });
        (from.max(), to.min())
    }

    /// Addresses that matching flows must have: one of each entry.
    pub fn addresses(&self) -> Vec<AddressReach> {
        let reach = |group: &Group| {
            let tests = group.all(|test| if let Test::Ip(side, net) = test { Some((*side, *net)) } else { None })?;
            let side = tests.first()?.0;
            Some(AddressReach {
                source: side != Side::Destination,
                destination: side != Side::Source,
                nets: tests.into_iter().map(|(_, net)| net).collect(),
            })
        };
        self.groups.iter().filter(|group| !group.negated).filter_map(reach).collect()
    }

    /// Whether [`Filter::time_bounds`] and [`Filter::addresses`] are all that it asks.
    pub fn is_reach(&self) -> bool {
        let reach = |test: &Test| matches!(test, Test::Ip(..) | Test::From(_) | Test::To(_));
        self.groups.iter().all(|group| !group.negated && group.tests.iter().all(reach))
    }

    /// Whether it asks for nothing but what tells who, when and how much: addresses, ports, protocol, direction, VLANs,
    /// state, flags, reason of the end, counters, times, number. A field that is not known here is not plain.
    pub fn is_plain(&self) -> bool {
        let plain = |test: &Test| {
            matches!(
                test,
                Test::Ip(..)
                    | Test::Port(..)
                    | Test::Protocol(_)
                    | Test::Direction(_)
                    | Test::Vlan(_)
                    | Test::State(_)
                    | Test::Flags(_)
                    | Test::EndReason(_)
                    | Test::Verdict(_)
                    | Test::Compare(..)
                    | Test::FlowId(_)
                    | Test::CommunityId(_)
                    | Test::From(_)
                    | Test::To(_)
            )
        };
        self.groups.iter().all(|group| group.tests.iter().all(plain))
    }
}

impl Group {
    /// What `pick` takes of every test, or nothing when it does not take each.
    fn all<T>(&self, pick: impl Fn(&Test) -> Option<T>) -> Option<Vec<T>> {
        self.tests.iter().map(pick).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_255_200);

    fn parse(text: &str) -> Filter {
        Filter::parse(text, NOW).unwrap()
    }

    #[test]
    fn the_widest_of_alternatives_bounds_the_time_and_negated_terms_do_not() {
        let at = Timestamp::from_secs;
        for (text, want) in [
            ("", (None, None)),
            ("from:@100 to:@200", (Some(at(100)), Some(at(200)))),
            ("from:@100 from:@150 to:@200 to:@300", (Some(at(100)), Some(at(300)))),
            ("!from:@100", (None, None)),
            ("last:5m", (Some(NOW - std::time::Duration::from_secs(300)), None)),
        ] {
            assert_eq!(parse(text).time_bounds(), want, "{text}");
        }
    }

    #[test]
    fn each_address_field_is_one_demand() {
        let reach = parse("ip:10.0.0.0/8,192.0.2.1 src-ip:10.1.0.0/16 !dst-ip:10.2.0.1").addresses();
        let sides: Vec<_> = reach.iter().map(|reach| (reach.source, reach.destination)).collect();
        assert_eq!(sides, [(true, true), (true, false)]);
        assert!(reach[0].contains("192.0.2.1".parse().unwrap()) && !reach[0].contains("192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn times_and_addresses_alone_are_reach() {
        assert!(parse("").is_reach() && parse("ip:10.0.0.1 last:1h to:@1").is_reach());
        assert!(!parse("ip:10.0.0.1 port:1").is_reach() && !parse("!ip:10.0.0.1").is_reach());
    }

    #[test]
    fn what_needs_names_or_places_is_not_plain() {
        assert!(parse("ip:10.0.0.1 port:443 bytes>1k state:closed last:1h").is_plain());
        for text in ["interface:eth0", "tunnel:any", "\"10.0\""] {
            assert!(!parse(text).is_plain(), "{text}");
        }
    }
}
