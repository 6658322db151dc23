//! Random policies and random sequences of packets, through the datapath's judgement (parser, bans, connections, tables)
//! and through the oracle: new flows, replies, forwarded packets, fragments, ICMP errors, policies and bans that
//! change in between. The packets are bytes here; what they say is told to the oracle beside. The flow cache, which gives a
//! verdict once more without asking, is left out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::IpAddr;

use hivewall_datapath::policy::{Action, PolicyWord, VerdictCause, opposite};
use hivewall_datapath::{FragmentId, Fragments, Frame, FrameBytes, Link, parse, proto};
use hivewall_policy::oracle::stateful::{Decided, Host, Seen};
use hivewall_policy::oracle::{Facts, Transport};
use hivewall_policy::sample::{Draws, INTERFACES, answer, header, ifindex};
use hivewall_policy::{Counters, Ruleset, compile, words};
use hivewall_soft::{PolicyTables, SoftPolicy, SoftTables};
use proptest::prelude::*;

const SYN: u8 = 2;
const ACK: u8 = 16;

/// The bytes of a transport header, with a payload behind it.
fn transport(facts: &Facts, about: Option<&Facts>) -> Vec<u8> {
    let Some(mut bytes) = header(facts) else { return vec![0xee; 32] };
    if let Some(about) = about {
        let inner = transport(about, None);
        bytes.extend(ip(about, 60, &inner[..8]));
    }
    bytes
}

fn ip(facts: &Facts, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let is_later = facts.transport.is_none();
    match (facts.from, facts.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let len = (20 + payload.len() as u16).to_be_bytes();
            let offset = if is_later { 100u16 } else { 0 }.to_be_bytes();
            let mut bytes = vec![0x45, 0, len[0], len[1], 0, 7, offset[0], offset[1], hop_limit, facts.proto, 0, 0];
            bytes.extend(from.octets().iter().chain(&to.octets()).chain(payload));
            bytes
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let fragment = [facts.proto, 0, 3, 0x20, 0, 0, 0, 7];
            let extension: &[u8] = if is_later { &fragment } else { &[] };
            let len = ((extension.len() + payload.len()) as u16).to_be_bytes();
            let next = if is_later { 44 } else { facts.proto };
            let mut bytes = vec![0x60, 0, 0, 0, len[0], len[1], next, hop_limit];
            bytes.extend(from.octets().iter().chain(&to.octets()).chain(extension).chain(payload));
            bytes
        }
        _ => panic!("one family"),
    }
}

/// Both sides of the comparison.
struct Pair {
    soft: SoftPolicy,
    oracle: Host,
    counters: Counters,
    epoch: u16,
    bans: bool,
}

impl Pair {
    fn new(ruleset: &Ruleset) -> Self {
        let mut pair = Self {
            soft: SoftPolicy::default(),
            oracle: Host::new(),
            counters: Counters::default(),
            epoch: 0,
            bans: false,
        };
        pair.apply(ruleset);
        pair
    }

    fn apply(&mut self, ruleset: &Ruleset) {
        let tables: PolicyTables = compile(ruleset, &mut self.counters).unwrap();
        let interfaces: Vec<(u32, String)> = (1..).zip(INTERFACES).map(|(at, name)| (at, (*name).into())).collect();
        self.soft.slots[0] = SoftTables::new(tables, &interfaces);
        self.next_epoch();
        self.oracle.apply(ruleset.clone());
    }

    fn ban(&mut self, bans: &[ipnet::IpNet]) {
        let state = &mut self.soft.state;
        state.bans = bans
            .iter()
            .map(|net| {
                let v4 = if net.addr().is_ipv4() { 96 } else { 0 };
                (hivewall_datapath::policy::Address::new(words(net.network()), u32::from(net.prefix_len()) + v4), ())
            })
            .collect();
        self.bans = !bans.is_empty();
        self.next_epoch();
        self.oracle.ban(bans.to_vec());
    }

    fn next_epoch(&mut self) {
        self.epoch += 1;
        let bans = if self.bans { PolicyWord::BANS } else { 0 };
        self.soft.control.word = u32::from(self.epoch) | PolicyWord::ENFORCE | PolicyWord::TABLES | bans;
    }

    /// What becomes of a packet: by the datapath, and by the oracle.
    fn judge(&mut self, seen: &Seen) -> ((Action, Option<u32>), (Action, Option<u32>)) {
        let facts = &seen.facts;
        let payload = transport(facts, seen.about.as_ref());
        let packet = ip(facts, seen.hop_limit, &payload);
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        bytes.extend(if facts.from.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
        bytes.extend(packet);
        let ifindex = ifindex(&facts.interface);
        let frame = Frame {
            link: Link::Ethernet,
            len: bytes.len() as u32,
            stripped: 0,
            segments: 0,
            segment_size: 0,
            vlan: None,
            ifindex,
            direction: facts.direction,
        };
        let bytes = FrameBytes(&bytes);
        let parsed =
            parse::parse(&bytes, &frame, &mut NoFragments).unwrap_or_else(|reason| panic!("{reason:?} {seen:?}"));
        let verdict = self.soft.judge(&bytes, &parsed, 1, 1);
        let (action, decided) = self.oracle.packet(seen);
        let counter = match decided {
            Decided::Rule(id) => self.counters.number(&id).map(u32::from),
            Decided::Ban => Some(VerdictCause::Ban as u32),
            Decided::NoPolicy => Some(VerdictCause::NoPolicy as u32),
            Decided::Essential => Some(VerdictCause::Essential as u32),
            Decided::Related => Some(VerdictCause::Related as u32),
            Decided::Fragment => Some(VerdictCause::Fragment as u32),
        };
        ((verdict.action(), Some(verdict.counter())), (action, counter))
    }
}

/// Every later fragment comes without its first.
struct NoFragments;

impl Fragments for NoFragments {
    fn remember(&mut self, _: &FragmentId, _: u32) {}

    fn recall(&mut self, _: &FragmentId) -> Option<u32> {
        None
    }
}

/// A packet that begins something.
fn fresh(draws: &mut Draws<'_>) -> Facts {
    let mut facts = draws.facts();
    while facts.from.is_ipv4() != facts.to.is_ipv4() {
        facts.to = draws.address();
    }
    // Nothing of a protocol without ports can be unknown.
    if facts.proto == proto::GRE {
        facts.transport = Some(Transport::default());
    }
    if let Some(transport) = &mut facts.transport
        && facts.proto == proto::TCP
    {
        // A null or other impossible combination of flags is refused by the parser's rules, not by the policy's.
        transport.flags = if draws.once_in(4) { ACK } else { SYN };
    }
    facts
}

/// Whether hosts send errors about such a packet (RFC 1122 §3.2.2: none about errors, nor about later fragments).
fn may_be_reported(facts: &Facts) -> bool {
    facts.transport.is_some_and(|transport| match facts.proto {
        proto::ICMP => matches!((transport.source_port, transport.destination_port), (0 | 8, 0)),
        proto::GRE | proto::ICMPV6 => false,
        _ => true,
    })
}

/// What comes next, seen what came before.
fn next(draws: &mut Draws<'_>, before: &[Facts]) -> Seen {
    let hop_limit = if draws.once_in(3) { 255 } else { 64 };
    let last =
        before.len().checked_sub(1 + draws.below(before.len().clamp(1, 6) as u32) as usize).map(|at| &before[at]);
    let (Some(last), false) = (last, draws.once_in(4)) else {
        return Seen { facts: fresh(draws), hop_limit, about: None };
    };
    let mut facts = last.clone();
    let mut about = None;
    match draws.below(6) {
        0 => {}
        1 => {
            facts.direction = opposite(facts.direction);
            facts.interface = INTERFACES[1 + draws.below(2) as usize].into();
        }
        2 if last.from.is_ipv4() && may_be_reported(last) => {
            let code = [0, 1, 3, 13][draws.below(4) as usize];
            let transport = Transport { source_port: 3, destination_port: code, flags: 0 };
            facts = Facts { proto: proto::ICMP, transport: Some(transport), ..answer(last) };
            about = Some(last.clone());
        }
        _ => facts = answer(last),
    }
    if let Some(transport) = &mut facts.transport
        && facts.proto == proto::TCP
    {
        transport.flags = [ACK, ACK, SYN | ACK, SYN, ACK | 1, ACK | 4][draws.below(6) as usize];
    }
    Seen { facts, hop_limit, about }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_datapath_does_with_sequences_what_the_oracle_says(seed: u64) {
        let mut draws = Draws::seeded(seed);
        let mut ruleset = draws.ruleset();
        let mut pair = Pair::new(&ruleset);
        let mut before: Vec<Facts> = Vec::new();
        for _ in 0..100 {
            match draws.below(20) {
                0 => {
                    ruleset = draws.ruleset();
                    pair.apply(&ruleset);
                }
                1 => {
                    let mut bans = if draws.once_in(2) { vec![draws.net()] } else { Vec::new() };
                    // The datapath in user space keeps bans of both families in one table; the kernel does not.
                    bans.retain(|ban| !ban.contains(&"::ffff:0:0".parse::<IpAddr>().unwrap()));
                    pair.ban(&bans);
                }
                _ => {}
            }
            let seen = next(&mut draws, &before);
            let known = pair.oracle.remembered(&seen.facts);
            let (found, wanted) = pair.judge(&seen);
            prop_assert_eq!(found, wanted, "{:?}\nafter {}\nunder {:#?}", seen, known, ruleset);
            before.push(seen.facts);
        }
    }
}
