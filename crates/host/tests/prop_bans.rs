//! The ban tables against a naive set: whatever is added, lifted and expired, in whatever order, an address is refused by
//! the tables exactly when a prefix of the naive set holds it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hivewall_datapath::front::FrontFlags;
use hivewall_host::bans::{Ban, BanError, Bans, MemoryStore, Origin, Prefix};
use hivewall_model::Timestamp;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

fn ban(until: Option<i64>) -> Ban {
    let origin = Origin { issuer: "test".to_owned(), reason: "because".to_owned() };
    Ban { until: until.map(Timestamp::from_secs), origin: Arc::new(origin) }
}

fn prefix(text: &str) -> Prefix {
    text.parse::<IpNet>().map_or_else(|_| text.parse::<IpAddr>().unwrap().into(), Prefix::from)
}

fn empty() -> Bans<MemoryStore> {
    Bans::open(MemoryStore::default(), &ban(None).origin).unwrap()
}

/// What is done to both.
#[derive(Clone, Debug)]
enum Step {
    Add(IpNet, Option<i64>),
    AddAll(Vec<IpNet>),
    Remove(usize),
    Expire(i64),
    Sync(Vec<IpNet>),
    Restart,
}

/// Few different bits, so that prefixes hold one another and share words of the tables.
fn net() -> impl Strategy<Value = IpNet> {
    let few = prop_oneof![Just(0_u32), Just(1), Just(2), Just(0x80), Just(0xff)];
    let v4 = (prop_oneof![Just(10_u32), Just(11)], few.clone(), few.clone(), few.clone(), 4_u8..=32).prop_map(
        |(a, b, c, d, len)| IpNet::V4(Ipv4Net::new((a << 24 | b << 16 | c << 8 | d).into(), len).unwrap().trunc()),
    );
    let v6 = (few.clone(), few.clone(), few, prop_oneof![0_u8..=128, 28_u8..=52]).prop_map(|(b, c, d, len)| {
        let address = 0x2001_u128 << 112 | u128::from(b) << 96 | u128::from(c) << 80 | u128::from(d);
        IpNet::V6(Ipv6Net::new(address.into(), len).unwrap().trunc())
    });
    prop_oneof![3 => v4, 2 => v6]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (net(), proptest::option::of(0_i64..20)).prop_map(|(net, until)| Step::Add(net, until)),
        2 => prop::collection::vec(net(), 0..8).prop_map(Step::AddAll),
        6 => any::<prop::sample::Index>().prop_map(|index| Step::Remove(index.index(1 << 16))),
        1 => (0_i64..20).prop_map(Step::Expire),
        1 => prop::collection::vec(net(), 0..8).prop_map(Step::Sync),
        1 => Just(Step::Restart),
    ]
}

/// Addresses at and beside the ends of a network.
fn probes(net: &IpNet) -> Vec<IpAddr> {
    match net {
        IpNet::V4(net) => {
            let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
            let at = [first, last, first.wrapping_sub(1), last.wrapping_add(1), first ^ 0x100, last ^ 0x1_0000];
            at.map(|address| IpAddr::V4(Ipv4Addr::from(address))).into()
        }
        IpNet::V6(net) => {
            let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
            let at = [first, last, first.wrapping_sub(1), last.wrapping_add(1), first ^ 1 << 80, last ^ 1 << 96];
            at.map(|address| IpAddr::V6(Ipv6Addr::from(address))).into()
        }
    }
}

fn holds(net: &IpNet, address: IpAddr) -> bool {
    // An address that is IPv4 in its mapped form is judged as IPv4.
    net.contains(&address) && !matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

fn compare(bans: &Bans<MemoryStore>, naive: &BTreeMap<IpNet, Option<i64>>, ever: &[IpNet]) {
    for address in ever.iter().flat_map(probes) {
        let banned = naive.keys().any(|net| holds(net, address));
        assert_eq!(bans.store().is_banned(address), banned, "{address} with {:?}", naive.keys());
        let found: Vec<IpNet> = bans.find(address).into_iter().map(|(prefix, _)| prefix.into()).collect();
        if !matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            assert_eq!(found.len(), naive.keys().filter(|net| holds(net, address)).count(), "{address}: {found:?}");
        }
    }
}

fn apply(bans: &mut Bans<MemoryStore>, naive: &mut BTreeMap<IpNet, Option<i64>>, step: &Step) {
    match step {
        Step::Add(net, until) => {
            let before = bans.add((*net).into(), ban(*until)).unwrap();
            assert_eq!(before.is_some(), naive.insert(*net, *until).is_some());
        }
        Step::AddAll(nets) => {
            let outcome = bans.add_all(nets.iter().map(|net| (*net).into()), &ban(None));
            assert!(outcome.refused.is_empty());
            naive.extend(nets.iter().map(|net| (*net, None)));
        }
        Step::Remove(index) => {
            let Some(net) = naive.keys().nth(index % naive.len().max(1)).copied() else { return };
            assert!(bans.remove(net.into()).unwrap().is_some());
            naive.remove(&net);
        }
        Step::Expire(now) => {
            let ended = bans.expire(Timestamp::from_secs(*now)).unwrap();
            let before = naive.len();
            naive.retain(|_, until| until.is_none_or(|until| until > *now));
            assert_eq!(ended.len(), before - naive.len());
        }
        Step::Sync(nets) => {
            assert!(bans.sync(nets.iter().map(|net| ((*net).into(), ban(None)))).refused.is_empty());
            *naive = nets.iter().map(|net| (*net, None)).collect();
        }
        // What tables tell of a set: the same addresses, if not always the same prefixes.
        Step::Restart => {
            let store = std::mem::replace(bans, empty()).into_store();
            *bans = Bans::open(store, &ban(None).origin).unwrap();
            let found: Vec<IpNet> = bans.iter().map(|(prefix, _)| prefix.into()).collect();
            for address in naive.keys().chain(&found).flat_map(probes) {
                assert_eq!(bans.store().is_banned(address), naive.keys().any(|net| holds(net, address)), "{address}");
            }
            bans.sync(naive.iter().map(|(net, until)| ((*net).into(), ban(*until))));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn tables_refuse_what_a_naive_set_refuses(steps in prop::collection::vec(step(), 1..60)) {
        let (mut bans, mut naive, mut ever) = (empty(), BTreeMap::new(), Vec::new());
        for step in &steps {
            if let Step::Add(net, _) = step { ever.push(*net) }
            if let Step::AddAll(nets) | Step::Sync(nets) = step { ever.extend(nets) }
            apply(&mut bans, &mut naive, step);
            assert_eq!(bans.len(), naive.len());
            compare(&bans, &naive, &ever);
        }
        bans.sync([]);
        assert_eq!(bans.store().flags(), 0);
        compare(&bans, &BTreeMap::new(), &ever);
    }
}

#[test]
fn what_lies_in_a_network_stays_banned_when_the_network_is_lifted() {
    let mut bans = empty();
    for text in ["10.1.0.0/16", "10.1.2.0/24", "10.1.3.77", "10.1.4.0/25", "2001:db8::/32", "2001:db8:5::/48"] {
        bans.add(prefix(text), ban(None)).unwrap();
    }
    bans.remove(prefix("10.1.0.0/16")).unwrap();
    bans.remove(prefix("2001:db8::/32")).unwrap();
    let is = |text: &str| bans.store().is_banned(text.parse().unwrap());
    assert!(is("10.1.2.9") && is("10.1.3.77") && is("10.1.4.5") && is("2001:db8:5::1"));
    assert!(!is("10.1.3.78") && !is("10.1.4.200") && !is("10.1.9.9") && !is("2001:db8:6::1"));
}

#[test]
fn a_short_ipv6_ban_does_not_reach_ipv4() {
    let mut bans = empty();
    bans.add(prefix("::/0"), ban(None)).unwrap();
    bans.add(prefix("10.0.0.1"), ban(None)).unwrap();
    let is = |bans: &Bans<MemoryStore>, text: &str| bans.store().is_banned(text.parse().unwrap());
    assert!(is(&bans, "2001:db8::1") && is(&bans, "10.0.0.1") && !is(&bans, "10.0.0.2") && !is(&bans, "192.0.2.1"));
    bans.remove(prefix("::/0")).unwrap();
    assert!(!is(&bans, "2001:db8::1") && is(&bans, "10.0.0.1"));
}

#[test]
fn a_ban_that_was_renewed_ends_with_its_new_time() {
    let mut bans = empty();
    bans.add(prefix("192.0.2.1"), ban(Some(10))).unwrap();
    bans.add(prefix("192.0.2.1"), ban(Some(20))).unwrap();
    assert!(bans.expire(Timestamp::from_secs(15)).unwrap().is_empty());
    assert_eq!(bans.next_end(), Some(Timestamp::from_secs(20)));
    assert_eq!(bans.expire(Timestamp::from_secs(20)).unwrap().len(), 1);
    assert!(bans.is_empty() && bans.next_end().is_none());
}

#[test]
fn a_full_table_refuses_the_new_and_keeps_the_old() {
    let mut bans = Bans::open(MemoryStore::with_max(3), &ban(None).origin).unwrap();
    let outcome = bans.add_all((1..=5).map(|host| prefix(&format!("10.0.0.{host}"))), &ban(None));
    assert_eq!((outcome.added, outcome.refused.len(), bans.len()), (3, 2, 3));
    let error = bans.add(prefix("10.0.0.9"), ban(None)).unwrap_err();
    assert!(matches!(error, BanError::Full { max: 3, .. }), "{error}");
    assert!(error.to_string().starts_with("10.0.0.9 was not entered: the table of single addresses has its 3 entries"));
    let is = |text: &str| bans.store().is_banned(text.parse().unwrap());
    assert!(is("10.0.0.1") && is("10.0.0.3") && !is("10.0.0.4") && !is("10.0.0.9"));
}

#[test]
fn exempt_prefixes_set_their_flag_and_are_taken_out_again() {
    let mut bans = empty();
    bans.set_exempt([prefix("10.9.0.0/24"), prefix("fd00::/8")]).unwrap();
    assert_eq!(bans.store().flags(), FrontFlags::EXEMPT);
    bans.set_exempt([]).unwrap();
    assert_eq!(bans.store().flags(), 0);
}
