//! What a list of sockets says, as the events that every source of such facts tells.
//!
//! Transitions are not made up from two looks: what happened between them is not known.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hivewall_model::{Process, SocketChange, SocketEnds, SocketEvent, SocketState, Timestamp};

use super::DiagSocket;

/// What a socket is there for: [`SocketChange::Used`] or [`SocketChange::Bound`]; `None` for one that is not in use yet
/// (bound to nothing, or a TCP socket that neither listens nor connects) or no longer (it waits for late packets).
pub(super) fn purpose(socket: &DiagSocket) -> Option<SocketChange> {
    match socket.state {
        SocketState::Listen => Some(SocketChange::Bound),
        SocketState::TimeWait | SocketState::SynRecv | SocketState::NewSynRecv => None,
        SocketState::Close if socket.ends.protocol == libc::IPPROTO_TCP as u8 => None,
        _ if socket.ends.remote.port() != 0 => Some(SocketChange::Used),
        _ => (socket.ends.local.port() != 0).then_some(SocketChange::Bound),
    }
}

/// The ends as they are told: nobody is at the other end of a socket that waits.
pub(super) fn told_ends(ends: &SocketEnds, change: SocketChange) -> SocketEnds {
    if change != SocketChange::Bound {
        return *ends;
    }
    let any = match ends.local.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketEnds { remote: SocketAddr::new(any, 0), ..*ends }
}

/// Appends what these sockets tell: of each one with an owner what it is there for, and of each TCP connection how it
/// fares.
pub fn socket_events<S: BuildHasher>(
    sockets: &[DiagSocket],
    owners: &HashMap<u64, Arc<Process>, S>,
    time: Timestamp,
    out: &mut Vec<SocketEvent>,
) {
    for socket in sockets {
        let process = owners.get(&socket.inode);
        if let (Some(process), Some(change)) = (process, purpose(socket)) {
            let (ends, process) = (told_ends(&socket.ends, change), Some(Arc::clone(process)));
            out.push(SocketEvent { time, ends, change, process, tcp: None });
        }
        if let Some(health) = socket.health {
            let (change, process) = (SocketChange::Measured, process.map(Arc::clone));
            out.push(SocketEvent { time, ends: socket.ends, change, process, tcp: Some(health) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(protocol: u8, local: &str, remote: &str, state: SocketState) -> DiagSocket {
        let ends = SocketEnds { protocol, local: local.parse().unwrap(), remote: remote.parse().unwrap() };
        DiagSocket { ends, state, inode: 1, uid: 0, cookie: 1, health: None }
    }

    #[test]
    fn what_a_socket_is_there_for_follows_from_state_and_ends() {
        use SocketState::{Close, CloseWait, Established, Listen, SynRecv, SynSent, TimeWait};
        let (host, peer, any) = ("10.0.0.1:5", "10.0.0.2:80", "0.0.0.0:0");
        for (protocol, remote, state, want) in [
            (6, any, Listen, Some(SocketChange::Bound)),
            (6, peer, Established, Some(SocketChange::Used)),
            (6, peer, SynSent, Some(SocketChange::Used)),
            (6, peer, CloseWait, Some(SocketChange::Used)),
            (6, peer, TimeWait, None),
            (6, peer, SynRecv, None),
            (6, any, Close, None),
            (17, any, Close, Some(SocketChange::Bound)),
            (17, peer, Established, Some(SocketChange::Used)),
        ] {
            assert_eq!(purpose(&socket(protocol, host, remote, state)), want, "{protocol} {state:?}");
        }
        assert_eq!(purpose(&socket(17, any, any, Close)), None);
    }

    #[test]
    fn a_socket_without_owner_is_told_of_only_for_its_health() {
        let mut connection = socket(6, "10.0.0.1:5", "10.0.0.2:80", SocketState::Established);
        let mut out = Vec::new();
        socket_events(&[connection], &HashMap::new(), Timestamp(7), &mut out);
        assert_eq!(out, []);
        connection.health = Some(hivewall_model::TcpHealth::default());
        let owners = HashMap::from([(1, Arc::new(Process { pid: 9, ..Process::default() }))]);
        socket_events(&[connection], &HashMap::new(), Timestamp(7), &mut out);
        socket_events(&[connection], &owners, Timestamp(7), &mut out);
        let told: Vec<_> = out.iter().map(|e| (e.change, e.process.as_ref().map(|p| p.pid), e.tcp.is_some())).collect();
        let want = [
            (SocketChange::Measured, None, true),
            (SocketChange::Used, Some(9), false),
            (SocketChange::Measured, Some(9), true),
        ];
        assert_eq!(told, want);
    }
}
