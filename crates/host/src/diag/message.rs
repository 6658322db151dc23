//! One socket out of its message: `struct inet_diag_msg` and the attributes behind it (linux/inet_diag.h), and of
//! `struct tcp_info` (linux/tcp.h) the fields that are of use.
//!
//! Read by offset instead of by a general parser, because a busy host has tens of thousands of them each second.
//! Invariant: a field that an older kernel does not have yet is `None` or 0, never read from what lies behind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hivewall_model::{SocketEnds, SocketState, TcpHealth};

use super::DiagSocket;

/// `INET_DIAG_INFO`.
const ATTRIBUTE_INFO: u16 = 2;
/// Bytes of `struct inet_diag_msg`.
const MESSAGE_BYTES: usize = 72;
/// Bytes of an attribute's head: length and kind.
const ATTRIBUTE_HEAD_BYTES: usize = 4;

/// Offsets within `struct inet_diag_msg`; ports and addresses are in network order.
mod at {
    pub(super) const FAMILY: usize = 0;
    pub(super) const STATE: usize = 1;
    pub(super) const LOCAL_PORT: usize = 4;
    pub(super) const REMOTE_PORT: usize = 6;
    pub(super) const LOCAL: usize = 8;
    pub(super) const REMOTE: usize = 24;
    pub(super) const COOKIE: usize = 44;
    pub(super) const UID: usize = 64;
    pub(super) const INODE: usize = 68;
}

/// Offsets within `struct tcp_info`; times are in microseconds.
mod info {
    pub(super) const RTT: usize = 68;
    pub(super) const RTT_DEVIATION: usize = 72;
    pub(super) const TOTAL_RETRANSMITS: usize = 100;
    /// Since Linux 4.6.
    pub(super) const MIN_RTT: usize = 148;
    /// Since Linux 5.4.
    pub(super) const OUT_OF_ORDER: usize = 224;
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk::<N>().copied()
}

fn word(from: &[u8], at: usize) -> Option<u32> {
    bytes(from, at).map(u32::from_ne_bytes)
}

/// The socket in a message's payload; the error says what is wrong with it.
pub(super) fn socket(payload: &[u8], protocol: u8) -> Result<DiagSocket, &'static str> {
    const SHORT: &str = "a message that is too short";
    let [family, state] = bytes(payload, at::FAMILY).ok_or(SHORT)?;
    debug_assert_eq!(at::STATE, at::FAMILY + 1);
    let address = |at| match i32::from(family) {
        libc::AF_INET => bytes::<4>(payload, at).map(|b| IpAddr::V4(Ipv4Addr::from(b))).ok_or(SHORT),
        libc::AF_INET6 => bytes::<16>(payload, at).map(|b| IpAddr::V6(Ipv6Addr::from(b))).ok_or(SHORT),
        _ => Err("a socket that is neither IPv4 nor IPv6"),
    };
    let port = |at| bytes(payload, at).map(u16::from_be_bytes).ok_or(SHORT);
    let (local, remote) = canonical(address(at::LOCAL)?, address(at::REMOTE)?);
    let ends = SocketEnds {
        protocol,
        local: SocketAddr::new(local, port(at::LOCAL_PORT)?),
        remote: SocketAddr::new(remote, port(at::REMOTE_PORT)?),
    };
    let [low, high] = [word(payload, at::COOKIE).ok_or(SHORT)?, word(payload, at::COOKIE + 4).ok_or(SHORT)?];
    Ok(DiagSocket {
        ends,
        state: SocketState::from_number(state).unwrap_or(SocketState::Close),
        inode: word(payload, at::INODE).ok_or(SHORT)?.into(),
        uid: word(payload, at::UID).ok_or(SHORT)?,
        cookie: u64::from(high) << 32 | u64::from(low),
        health: attribute(payload.get(MESSAGE_BYTES..).unwrap_or_default(), ATTRIBUTE_INFO).and_then(health),
    })
}

/// An IPv6 socket that talks IPv4 is given as IPv4, both ends: one that is bound to an IPv4-mapped address and has no peer
/// yet has an unspecified IPv6 one.
fn canonical(local: IpAddr, remote: IpAddr) -> (IpAddr, IpAddr) {
    let (local, remote) = (local.to_canonical(), remote.to_canonical());
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match (local.is_ipv4(), remote.is_ipv4()) {
        (true, false) if remote.is_unspecified() => (local, any),
        (false, true) if local.is_unspecified() => (any, remote),
        _ => (local, remote),
    }
}

/// The value of the first attribute of this kind.
fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(bytes(rest, 0)?));
        let kind = u16::from_ne_bytes(bytes(rest, 2)?);
        let value = rest.get(ATTRIBUTE_HEAD_BYTES..len)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
}

/// Of a listener there is nothing to tell: its times are zero, and the fields of others mean something else.
fn health(info: &[u8]) -> Option<TcpHealth> {
    let state = SocketState::from_number(*info.first()?)?;
    if matches!(state, SocketState::Listen | SocketState::Close) {
        return None;
    }
    let time = |at| word(info, at).filter(|micros| *micros != 0).map(|micros| Duration::from_micros(micros.into()));
    let smoothed_rtt = time(info::RTT);
    Some(TcpHealth {
        smoothed_rtt,
        // Before the first measurement the kernel has a guess here (1 s / 4).
        rtt_deviation: smoothed_rtt
            .and_then(|_| word(info, info::RTT_DEVIATION))
            .map(|us| Duration::from_micros(us.into())),
        // All bits set means that nothing was measured yet.
        min_rtt: time(info::MIN_RTT).filter(|least| *least != Duration::from_micros(u32::MAX.into())),
        retransmits: word(info, info::TOTAL_RETRANSMITS).unwrap_or(0),
        out_of_order: word(info, info::OUT_OF_ORDER),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The struct of the kernel's interface, which the C library has too, as far as it goes.
    #[test]
    fn offsets_are_those_of_the_c_librarys_struct() {
        assert_eq!(info::RTT, std::mem::offset_of!(libc::tcp_info, tcpi_rtt));
        assert_eq!(info::RTT_DEVIATION, std::mem::offset_of!(libc::tcp_info, tcpi_rttvar));
        assert_eq!(info::TOTAL_RETRANSMITS, std::mem::offset_of!(libc::tcp_info, tcpi_total_retrans));
    }

    fn message(family: i32, local: &[u8], remote: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; MESSAGE_BYTES];
        bytes[at::FAMILY] = family as u8;
        bytes[at::STATE] = 1;
        bytes[at::LOCAL..at::LOCAL + local.len()].copy_from_slice(local);
        bytes[at::REMOTE..at::REMOTE + remote.len()].copy_from_slice(remote);
        bytes[at::LOCAL_PORT..at::LOCAL_PORT + 4].copy_from_slice(&[0x1f, 0x90, 0, 80]);
        bytes[at::COOKIE] = 5;
        bytes[at::COOKIE + 4] = 1;
        bytes[at::INODE..].copy_from_slice(&77_u32.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_mapped_socket_is_given_as_ipv4_on_both_ends() {
        let mapped = |last: u8| Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().octets();
        let connected = socket(&message(libc::AF_INET6, &mapped(1), &mapped(2)), 6).unwrap();
        assert_eq!(connected.ends.local, "10.0.0.1:8080".parse().unwrap());
        assert_eq!(connected.ends.remote, "10.0.0.2:80".parse().unwrap());
        assert_eq!((connected.inode, connected.cookie), (77, 1 << 32 | 5));
        let bound = socket(&message(libc::AF_INET6, &mapped(1), &[0; 16]), 17).unwrap();
        assert_eq!(bound.ends.remote.ip(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let any = socket(&message(libc::AF_INET6, &[0; 16], &[0; 16]), 17).unwrap();
        assert!(any.ends.local.is_ipv6());
    }

    #[test]
    fn messages_that_are_cut_or_foreign_are_refused() {
        let whole = message(libc::AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 2]);
        assert!(socket(&whole, 6).is_ok());
        for len in 0..whole.len() {
            assert!(socket(&whole[..len], 6).is_err(), "{len}");
        }
        assert!(socket(&message(libc::AF_UNIX, &[], &[]), 6).is_err());
    }

    #[test]
    fn fields_that_an_older_kernel_lacks_are_none() {
        let mut old = vec![0_u8; 104];
        old[0] = 1;
        old[info::RTT..info::RTT + 4].copy_from_slice(&1500_u32.to_ne_bytes());
        old[info::RTT_DEVIATION..info::RTT_DEVIATION + 4].copy_from_slice(&40_u32.to_ne_bytes());
        old[info::TOTAL_RETRANSMITS..].copy_from_slice(&3_u32.to_ne_bytes());
        let want = TcpHealth {
            smoothed_rtt: Some(Duration::from_micros(1500)),
            rtt_deviation: Some(Duration::from_micros(40)),
            min_rtt: None,
            retransmits: 3,
            out_of_order: None,
        };
        assert_eq!(health(&old), Some(want));
        old[0] = SocketState::Listen as u8;
        assert_eq!(health(&old), None);
        assert_eq!(health(&[]), None);
    }

    #[test]
    fn attributes_are_walked_by_their_length_and_broken_ones_end_the_walk() {
        let two = [5, 0, 1, 0, 9, 0, 0, 0, 6, 0, 2, 0, 7, 8, 0, 0];
        let wanted = if cfg!(target_endian = "little") { Some(&[7, 8][..]) } else { None };
        assert_eq!(attribute(&two, 2), wanted);
        assert_eq!(attribute(&two, 3), None);
        assert_eq!(attribute(&[0, 0, 1, 0, 0, 0, 2, 0], 2), None);
        assert_eq!(attribute(&[200, 0, 2, 0], 2), None);
    }
}
