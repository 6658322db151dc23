//! The fuzz targets of the fleet under the plain test runner: seeded noise around messages that are nearly right.
//!
//! It has no feedback from coverage; `cargo xtask fuzz` does that. Invariant: the inputs depend on the seed alone.

mod targets;

use hivewall_cluster::wire::{Datagram, Join, Members, Part, Pull, Request, Response, SumPut};
use hivewall_cluster::{Ban, Digest, Entry, Fact, Hash, NodeId, PolicyHead, SignedMember, zones::Zone};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

const INPUTS: u64 = 3000;

fn samples() -> Vec<(u8, Vec<u8>)> {
    let head = PolicyHead { name: "edge".to_owned(), version: 3, hash: Hash::of(b"x") };
    let ban = Ban {
        issuer: NodeId([1; 16]),
        number: 1,
        issued_unix_s: 1_800_000_000,
        expires_unix_s: 1_800_000_100,
        withdrawn: false,
        body: vec![1, 2, 3],
        signature: vec![1; 64],
    };
    let entry = Entry {
        author: NodeId([1; 16]),
        number: 1,
        before: Hash([0; 32]),
        unix_ms: 5,
        body: vec![7; 10],
        signature: vec![1; 64],
    };
    let facts = vec![Fact::Policy(head.clone()), Fact::Ban(ban), Fact::Entry(entry)];
    // A ping of foca's: source life, incarnation, destination life, kind, number, no updates.
    let ping = [&[1; 16][..], &[0, 0, 0, 1, 0, 0], &[9; 16], &[0, 0, 0, 1, 0, 4, 0, 0]].concat();
    let put = SumPut {
        epoch: 179_999_999,
        to: Zone::ALL,
        of: Part::Node(NodeId([1; 16])),
        heard: 1,
        known: 1,
        body: vec![0; 20],
    };
    let record = SignedMember { body: vec![3; 30], signature: vec![1; 64] };
    vec![
        (0, Datagram::Announce(facts.clone()).encode()),
        (0, Datagram::Swim(ping).encode()),
        (2, Request::Join(Join { after: None, record: Some(record) }).encode()),
        (2, Request::Members(u64::MAX).encode()),
        (2, Request::Bans(Digest::default()).encode()),
        (2, Request::Audit(Vec::new()).encode()),
        (2, Request::Pull(Pull { head, offset: 0 }).encode()),
        (2, Request::SumPut(put).encode()),
        (4, Response::Facts(facts).encode()),
        (4, Response::Members(Members::default()).encode()),
        (7, Vec::new()),
    ]
}

#[test]
fn nearly_right_messages_are_refused_or_understood() {
    let samples = samples();
    for seed in 0..INPUTS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut sequence = Vec::new();
        for _ in 0..rng.random_range(1..12) {
            let (kind, sample) = &samples[rng.random_range(0..samples.len())];
            let mut bytes = sample.clone();
            for _ in 0..rng.random_range(0..4) {
                if !bytes.is_empty() {
                    let at = rng.random_range(0..bytes.len());
                    bytes[at] = rng.random();
                }
            }
            if rng.random_bool(0.2) {
                bytes.truncate(rng.random_range(0..=bytes.len()));
            }
            targets::fleet_message(&bytes);
            let kind = kind | if rng.random_bool(0.3) { 0x80 } else { 0 } | rng.random_range(0..16_u8) << 3;
            sequence.push(kind);
            sequence.extend((bytes.len() as u16).to_le_bytes());
            sequence.extend(bytes);
        }
        let holds = std::panic::catch_unwind(|| targets::fleet_core(&sequence)).is_ok();
        assert!(holds, "seed {seed}: {sequence:?}");
    }
}
