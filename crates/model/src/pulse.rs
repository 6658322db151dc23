//! What flows do, told while they do it: the input of everything that judges behaviour.
//!
//! A [`Pulse`] is one flow since it was last told of. Invariant: the steps of all pulses of a flow add up to its counts.

use std::net::IpAddr;
use std::sync::Arc;

use crate::{
    Direction, EndReason, FlowId, FlowNames, Perspective, Process, Reason, Side, TcpState, Timestamp, Tunnel, Tuple,
};

/// What one direction moved since it was last told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Moves {
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub ip_bytes: u64,
}

/// One flow, as it is now, and what is new of it. Told several times a second while packets come, and once at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulse {
    /// Its number.
    pub id: FlowId,
    /// Who talks to whom.
    pub tuple: Tuple,
    /// False when who opened it was guessed (no handshake was seen).
    pub roles_known: bool,
    /// As this host sees it; [`Perspective::Transit`] for everything in a capture file.
    pub perspective: Perspective,
    /// The encapsulation it was inside of; such a flow repeats what an outer one carries.
    pub tunnel: Option<Tunnel>,
    /// An interface that saw it.
    pub ifindex: u32,
    /// First packet.
    pub start: Timestamp,
    /// Latest packet.
    pub last: Timestamp,
    /// From the client, in all.
    pub to_server: Side,
    /// From the server, in all.
    pub to_client: Side,
    /// From the client since the last pulse.
    pub new_to_server: Moves,
    /// From the server since the last pulse.
    pub new_to_client: Moves,
    /// TCP only.
    pub tcp_state: Option<TcpState>,
    /// Whether this is the first pulse of the flow.
    pub is_first: bool,
    /// Why it is over; `None` while it lives.
    pub ended: Option<EndReason>,
    /// What is known of it by name by now.
    pub names: Option<Arc<FlowNames>>,
    /// The process at the client's end, where that end is on this host.
    pub client_process: Option<Arc<Process>>,
    /// The process at the server's end, where that end is on this host.
    pub server_process: Option<Arc<Process>>,
    /// Whether the policy dropped any of it.
    pub is_dropped: bool,
}

impl Pulse {
    /// Whether both ends proved that they are where they say: a TCP connection that was opened in full, or that carries
    /// answers in both directions. Anything less can be sent under any address.
    pub fn is_proven(&self) -> bool {
        matches!(self.tcp_state, Some(TcpState::Established | TcpState::FinWait | TcpState::Closed))
            || self.tcp_state == Some(TcpState::Reset)
                && self.to_server.flags.has(crate::TcpFlags::ACK)
                && self.to_client.flags.has(crate::TcpFlags::SYN | crate::TcpFlags::ACK)
    }
}

/// A frame that is in no flow, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// When it was seen.
    pub time: Timestamp,
    /// Interface that saw it.
    pub ifindex: u32,
    /// Received or sent.
    pub direction: Direction,
    /// Link-layer source; zero where the link has none.
    pub source_mac: [u8; 6],
    /// Link-layer destination.
    pub target_mac: [u8; 6],
    /// What it is.
    pub kind: StrayKind,
}

/// Kinds of frames that are in no flow and worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrayKind {
    /// An ARP message for IPv4.
    Arp {
        /// 1 asks, 2 answers (RFC 826).
        operation: u16,
        /// Who says so: MAC and address that it claims.
        sender: ([u8; 6], IpAddr),
        /// Who is meant.
        target: ([u8; 6], IpAddr),
    },
    /// A packet that breaks a standard.
    Invalid {
        /// How.
        reason: Reason,
        /// Who sent it, by its IP header, where that could be read.
        source: Option<IpAddr>,
        /// Whom it was for.
        target: Option<IpAddr>,
        /// IP protocol number, where it could be read.
        protocol: Option<u8>,
    },
}
