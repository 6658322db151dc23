//! The bodies of the fuzz targets of the fleet: bytes in, a panic out when something does not hold.
//!
//! `fuzz/fuzz_targets/fleet_*.rs` feed them what coverage suggests, the plain test `fuzz_corpus` seeded noise. Invariant:
//! a body depends on its input alone.
#![allow(dead_code, reason = "each fuzz target uses one of them")]

use hivewall_cluster::wire::{DATAGRAM_BYTES_MAX, Datagram, Request, Response, STREAM_BYTES_MAX};
use hivewall_cluster::{
    BanLimits, Claim, Core, Effect, Event, Member, NodeId, Now, Order, Reason, Saved, Settings, SignedMember, Verifier,
};

/// Any bytes as each kind of message: refused with a reason, or the same again after encoding.
pub(crate) fn fleet_message(data: &[u8]) {
    if let Ok(datagram) = Datagram::decode(data) {
        assert_eq!(Datagram::decode(&datagram.encode()), Ok(datagram));
    }
    if let Ok(request) = Request::decode(data) {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(response) = Response::decode(data) {
        assert_eq!(Response::decode(&response.encode()), Ok(response));
    }
    if let Some(member) = Member::decode(data) {
        assert_eq!(Member::decode(&member.encode()), Some(member));
    }
}

/// Believes a signature that begins with a one.
struct Gullible;

impl Verifier for Gullible {
    fn holds(&self, _: &Claim<'_>, signature: &[u8]) -> bool {
        signature.first() == Some(&1)
    }
}

/// A core that is told all sorts of things by two peers: it never panics, answers each question once, keeps to the
/// limits of the wire, and counts what it refuses.
///
/// The input is a list of events: a kind, a length of two bytes, and as many bytes.
pub(crate) fn fleet_core(data: &[u8]) {
    let settings = Settings { id: NodeId([9; 16]), seed: 1, bans: BanLimits::default(), verifier: Box::new(Gullible) };
    let mut now = Now { ms: 1000, unix_ms: 1_800_000_000_000 };
    let mut core = Core::new(settings, Saved::default(), now);
    let (mut effects, mut rest, mut asked) = (Vec::new(), data, Vec::new());
    while let [kind, low, high, tail @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (bytes, next) = tail.split_at(len);
        rest = next;
        let bytes = bytes.to_vec();
        let from = NodeId([1 + (kind >> 7); 16]);
        let event = match kind & 7 {
            0 | 1 => Event::Datagram { from, bytes },
            2 | 3 => Event::Request { from, token: 5, bytes },
            4 => Event::Response { token: asked.pop().unwrap_or(77), bytes: Some(bytes) },
            5 => Event::Order(Order::Describe(SignedMember { body: bytes, signature: vec![1] })),
            6 => Event::Order(Order::Contribute { epoch: now.unix_ms / 10_000 - 1, summary: bytes }),
            _ => Event::Wake,
        };
        let (is_question, is_bad) = match &event {
            Event::Request { bytes, .. } => (true, Request::decode(bytes).is_err()),
            Event::Datagram { bytes, .. } => (false, Datagram::decode(bytes).is_err()),
            _ => (false, false),
        };
        let lost = |core: &Core| core.losses().iter().map(|(_, number)| number).sum::<u64>();
        let lost_before = lost(&core);
        let step = u64::from(*kind) << 3;
        now = Now { ms: now.ms + step, unix_ms: now.unix_ms + step };
        effects.clear();
        core.step(now, event, &mut effects);
        let answers = effects.iter().filter(|effect| matches!(effect, Effect::Respond { token: 5, .. })).count();
        assert_eq!(answers, usize::from(is_question));
        assert!(!is_bad || lost(&core) > lost_before, "refused, but not counted");
        check(&effects);
        asked.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Request { token, .. } => Some(*token),
            _ => None,
        }));
    }
    assert!(core.losses().get(Reason::Version) <= data.len() as u64);
    assert!(core.alive().contains(&core.id()));
}

fn check(effects: &[Effect]) {
    for effect in effects {
        match effect {
            Effect::Datagram { bytes, .. } => {
                assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
                assert!(Datagram::decode(bytes).is_ok(), "we would not read what we send");
            }
            Effect::Request { bytes, .. } => assert!(bytes.len() <= STREAM_BYTES_MAX && Request::decode(bytes).is_ok()),
            Effect::Respond { bytes, .. } => {
                assert!(bytes.len() <= STREAM_BYTES_MAX && Response::decode(bytes).is_ok());
            }
            Effect::WakeAt(_) | Effect::Persist(_) | Effect::Changed(_) => {}
        }
    }
}
