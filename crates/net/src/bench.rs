//! Doors for `examples/link_cost.rs` and the fuzzer to parts that are private otherwise. Not for programs.
//!
//! Invariant: nothing here is used by a node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_cluster::{ClusterId, NodeId};
use hivewall_trust::{HostKey, noise_public};

use crate::limits::Limits;
use crate::noise::{Directory, Noise, Path, Proof};

/// Two hosts, each with a passport of one byte.
struct Two;

fn key(number: u8) -> HostKey {
    HostKey::from_seed([number; 32])
}

impl Directory for Two {
    fn noise_key(&self, id: NodeId) -> Option<[u8; 32]> {
        let NodeId([number, ..]) = id;
        noise_public(&key(number).public())
    }

    fn admit(&self, passport: &[u8]) -> Option<(NodeId, [u8; 32])> {
        let number = *passport.first().filter(|number| **number < 3)?;
        Some((NodeId([number; 16]), noise_public(&key(number).public())?))
    }
}

fn host(number: u8) -> Option<Noise> {
    let (secret, public) = (*key(number).noise_secret(), noise_public(&key(number).public())?);
    let proof = Proof { secret, public, passport: vec![number; 230] };
    let endless = u32::MAX / 2;
    let limits = Limits {
        datagrams_s: endless,
        datagram_bytes_s: endless,
        handshakes_s: endless,
        handshakes_source_s: endless,
        ..Limits::default()
    };
    Some(Noise::new(ClusterId([1; 16]), proof, limits, [number; 32], (0, 0), Arc::default()))
}

fn path(number: u8) -> Path {
    Path { remote: SocketAddr::new([127, 0, 0, number].into(), 1), local: None }
}

/// Carries all packets between two hosts.
fn settle(one: &mut Noise, two: &mut Noise, now_us: u64) {
    loop {
        let (of_one, of_two) = (one.take_out(), two.take_out());
        if of_one.is_empty() && of_two.is_empty() {
            return;
        }
        of_one.iter().for_each(|(_, packet)| two.receive(path(1), packet, &Two, now_us));
        of_two.iter().for_each(|(_, packet)| one.receive(path(2), packet, &Two, now_us));
    }
}

/// Time of a datagram of 200 bytes, sealed and opened, and of a handshake (the passport's signatures aside), both ends.
pub fn noise(datagrams: u32, handshakes: u32) -> [Duration; 2] {
    let (Some(mut one), Some(mut two)) = (host(1), host(2)) else { return [Duration::ZERO; 2] };
    let to = NodeId([2; 16]);
    let addresses = [path(2).remote];
    let began = Instant::now();
    for at in 0..handshakes {
        one.close(to);
        one.send(to, &addresses, vec![7; 200], &Two, u64::from(at) + 1);
        settle(&mut one, &mut two, u64::from(at) + 1);
    }
    let handshake = began.elapsed() / handshakes.max(1);
    let began = Instant::now();
    for at in 0..datagrams {
        one.send(to, &addresses, vec![7; 200], &Two, u64::from(handshakes + at));
        settle(&mut one, &mut two, u64::from(handshakes + at));
    }
    let datagram = began.elapsed() / datagrams.max(1);
    // Both would be zero without a session, and the figures those of nothing.
    if two.take_given().len() < (datagrams + handshakes) as usize / 2 {
        return [Duration::ZERO; 2];
    }
    [datagram, handshake]
}

/// Gives bytes to a host as packets, each with its length before it: nothing may be given out, kept or broken by them.
/// Panics if so.
pub fn packets(bytes: &[u8]) {
    let Some(mut host) = host(2) else { return };
    let mut rest = bytes;
    let mut now_us = 1;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (packet, after) = after.split_at(length);
        host.receive(path(1), packet, &Two, now_us);
        let _ = crate::frames::read_head([packet.first().copied().unwrap_or(0), packet.get(1).copied().unwrap_or(0)]);
        now_us += 1000;
        rest = after;
    }
    assert!(host.take_given().is_empty(), "bytes without a key were given out");
    assert!(host.sessions() == 0, "bytes without a key took memory");
}
