//! A flow: one conversation, both directions, folded from all interfaces and CPUs that saw it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_datapath::{Direction, Tunnel, proto};

use crate::{FlowNames, Judgement, Process, Timestamp, Timing};

/// Number of a flow on this agent, unique since its start; below 2⁵³, so that JSON numbers hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FlowId(pub u64);

/// Who talks to whom. The client is who opened the conversation (see [`Flow::roles_known`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// IP protocol number.
    pub protocol: u8,
    /// Client address.
    pub client: IpAddr,
    /// Server address.
    pub server: IpAddr,
    /// Client port; the type for ICMP; 0 where the protocol has none.
    pub client_port: u16,
    /// Server port; the code for ICMP.
    pub server_port: u16,
    /// VLAN ids, outer first; 0 is none.
    pub vlans: [u16; 2],
}

impl Tuple {
    /// Whether ports mean ports.
    pub fn has_ports(&self) -> bool {
        matches!(self.protocol, proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP | proto::DCCP)
    }

    /// Whether ports mean ICMP type and code.
    pub fn is_icmp(&self) -> bool {
        matches!(self.protocol, proto::ICMP | proto::ICMPV6)
    }
}

/// TCP flags seen, ORed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// Connection end.
    pub const FIN: u8 = 0x01;
    /// Connection start.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// Acknowledgement.
    pub const ACK: u8 = 0x10;
    /// Urgent.
    pub const URG: u8 = 0x20;
    /// ECN echo.
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced.
    pub const CWR: u8 = 0x80;

    /// Whether all of `flags` were seen.
    pub fn has(self, flags: u8) -> bool {
        self.0 & flags == flags
    }
}

impl fmt::Display for TcpFlags {
    /// nfdump's way: `CEUAPRSF` with a dot for what was not seen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [7, 6, 5, 4, 3, 2, 1, 0].into_iter().zip("CEUAPRSF".chars()) {
            write!(f, "{}", if self.0 >> bit & 1 == 1 { letter } else { '.' })?;
        }
        Ok(())
    }
}

/// State of a TCP connection as its packets show it, by the names of the kernel's own states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TcpState {
    /// A SYN without an answer.
    SynSent,
    /// SYN and SYN-ACK, no third packet yet.
    SynRecv,
    /// Data may flow; also a connection that was already there when watching began.
    Established,
    /// One side said FIN.
    FinWait,
    /// Both sides said FIN.
    Closed,
    /// One side said RST.
    Reset,
}

impl TcpState {
    /// Every state.
    pub const ALL: [TcpState; 6] =
        [Self::SynSent, Self::SynRecv, Self::Established, Self::FinWait, Self::Closed, Self::Reset];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::Closed => "CLOSED",
            Self::Reset => "RESET",
        }
    }

    /// The state of a connection with these flags in either direction.
    pub fn from_flags(to_server: TcpFlags, to_client: TcpFlags) -> Self {
        let both = TcpFlags(to_server.0 | to_client.0);
        if both.has(TcpFlags::RST) {
            return Self::Reset;
        }
        match (to_server.has(TcpFlags::FIN), to_client.has(TcpFlags::FIN)) {
            (true, true) => return Self::Closed,
            (true, false) | (false, true) => return Self::FinWait,
            (false, false) => {}
        }
        if !to_server.has(TcpFlags::SYN) && !to_client.has(TcpFlags::SYN) {
            return Self::Established;
        }
        // The third packet of the handshake, and all after it, carry ACK without SYN; flags are ORed, so the client's
        // side shows both.
        if to_server.has(TcpFlags::ACK) {
            Self::Established
        } else if to_client.has(TcpFlags::SYN | TcpFlags::ACK) {
            Self::SynRecv
        } else if to_client.has(TcpFlags::ACK) {
            Self::Established
        } else {
            Self::SynSent
        }
    }
}

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndReason {
    /// Both sides said FIN.
    Finished,
    /// RST.
    Reset,
    /// Nothing was seen for the idle timeout.
    Idle,
    /// Cut by the active timeout; the conversation may go on as a new flow.
    Active,
    /// The flow table was full and this one was the quietest of those looked at.
    TableFull,
    /// A new connection began on the same tuple.
    Reused,
    /// The agent stopped or the capture ended.
    Shutdown,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [EndReason; 7] =
        [Self::Finished, Self::Reset, Self::Idle, Self::Active, Self::TableFull, Self::Reused, Self::Shutdown];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Reset => "reset",
            Self::Idle => "idle_timeout",
            Self::Active => "active_timeout",
            Self::TableFull => "table_full",
            Self::Reused => "reused",
            Self::Shutdown => "shutdown",
        }
    }
}

/// One direction's counters. `ip_bytes` run from the IP header to the end of the datagram; `wire_bytes` add the link
/// header, VLAN tags and padding (no preamble, no checksum trailer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Side {
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub ip_bytes: u64,
    /// Link-layer bytes.
    pub wire_bytes: u64,
    /// TCP flags.
    pub flags: TcpFlags,
}

/// What one interface saw of one direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Interface index.
    pub ifindex: u32,
    /// Received or sent by that interface.
    pub direction: Direction,
    /// True for packets from the client.
    pub to_server: bool,
    /// The encapsulation the packets were inside of.
    pub tunnel: Option<Tunnel>,
    /// Counters at this point.
    pub side: Side,
}

/// From where to where a conversation goes, as this host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Perspective {
    /// Opened by someone else, served here.
    Inbound,
    /// Opened here.
    Outbound,
    /// Between two addresses of this host.
    Local,
    /// Passing through, or seen on the wire.
    Transit,
}

impl Perspective {
    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Local => "local",
            Self::Transit => "transit",
        }
    }
}

/// One conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Its number.
    pub id: FlowId,
    /// Who talks to whom.
    pub tuple: Tuple,
    /// False when the roles were guessed (no handshake was seen).
    pub roles_known: bool,
    /// As this host sees it.
    pub perspective: Perspective,
    /// From the client, each packet once however many interfaces saw it.
    pub to_server: Side,
    /// From the server.
    pub to_client: Side,
    /// First packet.
    pub start: Timestamp,
    /// Latest packet.
    pub last: Timestamp,
    /// TCP only.
    pub tcp_state: Option<TcpState>,
    /// `None` while it lives.
    pub ended: Option<EndReason>,
    /// Fragments whose ports are unknown: the ports shown are 0.
    pub portless: bool,
    /// Where it was seen.
    pub points: Vec<Point>,
    /// IP bytes per second, both directions, over the latest second or so; 0 when quiet.
    pub rate: f64,
    /// The process at the client's end, where that end is on this host.
    pub client_process: Option<Arc<Process>>,
    /// The process at the server's end, where that end is on this host.
    pub server_process: Option<Arc<Process>>,
    /// What is known of it by name; `None` for nothing.
    pub names: Option<Arc<FlowNames>>,
    /// How fast its ends answer.
    pub timing: Timing,
    /// What the policy said of it; `None` where none judged it.
    pub judgement: Option<Judgement>,
}

impl Flow {
    /// The process of this host that the flow belongs to: the client's, else the server's.
    pub fn process(&self) -> Option<&Arc<Process>> {
        self.client_process.as_ref().or(self.server_process.as_ref())
    }

    /// Packets, both directions.
    pub fn packets(&self) -> u64 {
        self.to_server.packets + self.to_client.packets
    }

    /// IP bytes, both directions.
    pub fn ip_bytes(&self) -> u64 {
        self.to_server.ip_bytes + self.to_client.ip_bytes
    }

    /// From the first packet to the latest.
    pub fn duration(&self) -> Duration {
        self.last.since(self.start)
    }

    /// The tunnel all of it was inside of, if it was never seen outside of one.
    pub fn tunnel(&self) -> Option<Tunnel> {
        let first = self.points.first()?.tunnel?;
        self.points.iter().all(|point| point.tunnel.is_some()).then_some(first)
    }
}
