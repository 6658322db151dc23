//! From the kernel's notes to events of the model.
//!
//! Invariant: bytes that are no note give nothing, whatever they are.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use hivewall_datapath::socket::{ExecNote, HealthRaw, SocketEndsRaw, SocketNote, SocketOwner, note};
use hivewall_model::{SocketChange, SocketEnds, SocketEvent, SocketState, TcpHealth, Timestamp};

use crate::process::{OwnerSeen, ProcessTable};

/// Adds what one note says; returns whether it was one.
pub(super) fn take(bytes: &[u8], wall_ns: i64, processes: &mut ProcessTable, out: &mut Vec<SocketEvent>) -> bool {
    match bytes.first_chunk().map(|kind| u32::from_ne_bytes(*kind)) {
        Some(note::EXECUTED) => executed(bytes, processes),
        Some(_) => socket(bytes, wall_ns, processes, out),
        None => false,
    }
}

/// A copy of an integer structure at the head of `bytes`.
///
/// # Safety
/// `T` has to be made of integers only.
unsafe fn head<T>(bytes: &[u8]) -> Option<T> {
    // SAFETY: there are as many bytes as `T` has, and any bytes are a `T`, as the caller vouches.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

fn executed(bytes: &[u8], processes: &mut ProcessTable) -> bool {
    // SAFETY: an `ExecNote` holds integers only.
    let Some(note) = (unsafe { head::<ExecNote>(bytes) }) else { return false };
    let path = note.path.split(|byte| *byte == 0).next().unwrap_or_default();
    processes.executed(note.pid, note.started_ns, &String::from_utf8_lossy(path));
    true
}

fn socket(bytes: &[u8], wall_ns: i64, processes: &mut ProcessTable, out: &mut Vec<SocketEvent>) -> bool {
    // SAFETY: a `SocketNote` holds integers only.
    let Some(note) = (unsafe { head::<SocketNote>(bytes) }) else { return false };
    let Some(changes) = changes(&note) else { return false };
    let event = SocketEvent {
        time: Timestamp(wall_ns.saturating_add(i64::try_from(note.time_ns).unwrap_or(i64::MAX))),
        ends: ends(note.protocol, &note.ends),
        change: SocketChange::Measured,
        process: (note.owner.pid != 0).then(|| processes.resolve(&seen(&note.owner))),
        tcp: (note.has_health != 0).then(|| health(&note.health)),
    };
    out.extend(changes.into_iter().flatten().map(|change| SocketEvent { change, ..event.clone() }));
    true
}

/// One note may tell two things: a listener's state, and that it waits.
fn changes(note: &SocketNote) -> Option<[Option<SocketChange>; 2]> {
    let only = |change| Some([Some(change), None]);
    match note.kind {
        note::USED => only(SocketChange::Used),
        note::BOUND => only(SocketChange::Bound),
        note::RELEASED => only(SocketChange::Released),
        note::STATE => {
            let (from, to) = (SocketState::from_number(note.from)?, SocketState::from_number(note.to)?);
            let more = match (from, to) {
                (_, SocketState::Listen) => Some(SocketChange::Bound),
                (SocketState::Listen, SocketState::Close) => Some(SocketChange::Released),
                _ => None,
            };
            Some([Some(SocketChange::State { from, to }), more])
        }
        _ => None,
    }
}

fn seen(owner: &SocketOwner) -> OwnerSeen {
    OwnerSeen {
        pid: owner.pid,
        started_ns: owner.started_ns,
        comm: owner.comm,
        uid: owner.uid,
        cgroup_id: owner.cgroup_id,
    }
}

fn ends(protocol: u8, ends: &SocketEndsRaw) -> SocketEnds {
    SocketEnds { protocol, local: address(ends.local, ends.local_port), remote: address(ends.remote, ends.remote_port) }
}

/// IPv4 where the address is a mapped one.
pub(super) fn address(words: [u32; 4], port: u16) -> SocketAddr {
    let mut bytes = [0; 16];
    for (to, from) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&from.to_ne_bytes());
    }
    SocketAddr::new(Ipv6Addr::from(bytes).to_canonical(), port)
}

/// By the units of `struct tcp_sock` (include/linux/tcp.h).
fn health(raw: &HealthRaw) -> TcpHealth {
    let sampled = raw.srtt_us8 != 0;
    let micros = |us: u32| Duration::from_micros(us.into());
    TcpHealth {
        smoothed_rtt: sampled.then(|| Duration::from_nanos(u64::from(raw.srtt_us8) * 125)),
        rtt_deviation: sampled.then(|| Duration::from_nanos(u64::from(raw.mdev_us4) * 250)),
        min_rtt: (sampled && raw.min_rtt_us != u32::MAX).then(|| micros(raw.min_rtt_us)),
        retransmits: raw.retransmits,
        out_of_order: (raw.out_of_order != u32::MAX).then_some(raw.out_of_order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> [u32; 4] {
        let bytes = text.parse::<Ipv6Addr>().unwrap().octets();
        std::array::from_fn(|word| u32::from_ne_bytes(std::array::from_fn(|byte| bytes[word * 4 + byte])))
    }

    fn bytes(note: &SocketNote) -> Vec<u8> {
        // SAFETY: integers without gaps, for as long as the note lives.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(note).cast::<u8>(), size_of::<SocketNote>()) }.to_vec()
    }

    fn events(note: &SocketNote) -> Vec<SocketEvent> {
        let mut out = Vec::new();
        take(&bytes(note), 1_000, &mut ProcessTable::new(), &mut out);
        out
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_others_are_left() {
        assert_eq!(address(words("::ffff:10.0.0.1"), 80), "10.0.0.1:80".parse().unwrap());
        assert_eq!(address(words("fd00::1"), 80), "[fd00::1]:80".parse().unwrap());
        assert_eq!(address(words("::"), 0), "[::]:0".parse().unwrap());
    }

    #[test]
    fn a_listener_is_told_by_its_state_and_as_bound() {
        let note = SocketNote { kind: note::STATE, protocol: 6, from: 7, to: 10, time_ns: 5, ..SocketNote::default() };
        let told: Vec<_> = events(&note).iter().map(|event| (event.time, event.change)).collect();
        let state = SocketChange::State { from: SocketState::Close, to: SocketState::Listen };
        assert_eq!(told, [(Timestamp(1_005), state), (Timestamp(1_005), SocketChange::Bound)]);
    }

    #[test]
    fn health_is_in_the_kernels_units() {
        let raw = HealthRaw { srtt_us8: 801, mdev_us4: 10, min_rtt_us: 90, retransmits: 3, out_of_order: u32::MAX };
        let note =
            SocketNote { kind: note::STATE, from: 1, to: 7, has_health: 1, health: raw, ..SocketNote::default() };
        let want = TcpHealth {
            smoothed_rtt: Some(Duration::from_nanos(100_125)),
            rtt_deviation: Some(Duration::from_nanos(2_500)),
            min_rtt: Some(Duration::from_micros(90)),
            retransmits: 3,
            out_of_order: None,
        };
        assert_eq!(events(&note)[0].tcp, Some(want));
    }

    #[test]
    fn what_is_no_note_gives_nothing() {
        let good = SocketNote { kind: note::USED, ..SocketNote::default() };
        assert_eq!(events(&good).len(), 1);
        assert!(events(&SocketNote { kind: 99, ..good }).is_empty());
        assert!(events(&SocketNote { kind: note::STATE, from: 0, to: 77, ..good }).is_empty());
        let whole = bytes(&good);
        let mut out = Vec::new();
        for length in 0..whole.len() {
            assert!(!take(whole.get(..length).unwrap(), 0, &mut ProcessTable::new(), &mut out));
        }
        assert!(out.is_empty());
    }
}
