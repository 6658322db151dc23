//! One direction of a flow, in the terms of the flow formats: what an exporter on a router would have metered.
//!
//! A conversation leaves as two records, one for each direction that had packets, and not as one biflow (RFC 5103):
//! NetFlow v5 and v9 know no biflow, several collectors count only its forward half, and the same two records in all
//! three formats give the same totals everywhere. The two halves share `flowId`. Nothing is encoded here.

use std::net::IpAddr;

use hivewall_model::{Direction, EndReason, Fate, Flow, Point, Side, Tuple, icmp_counterpart};

/// One direction of a flow. Units are in the names; numbers are those of IANA's IPFIX registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// 0 where the protocol has none, also for ICMP.
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// Type and code.
    pub(crate) icmp: Option<(u8, u8)>,
    pub(crate) protocol: u8,
    pub(crate) packets: u64,
    /// IP bytes.
    pub(crate) bytes: u64,
    pub(crate) tcp_flags: u8,
    /// Since 1970; of the conversation, because the directions are not timed apart.
    pub(crate) start_ms: u64,
    pub(crate) end_ms: u64,
    /// `flowEndReason`.
    pub(crate) end_reason: u8,
    /// `flowDirection`: 0 is received, 1 sent.
    pub(crate) direction: u8,
    /// Interface that received it, 0 where none did.
    pub(crate) ingress: u32,
    /// Interface that sent it, 0 where none did.
    pub(crate) egress: u32,
    /// Outer first.
    pub(crate) vlans: [u16; 2],
    /// As the payload showed it; empty where it did not.
    pub(crate) application: &'static str,
    pub(crate) flow_id: u64,
    /// `forwardingStatus`.
    pub(crate) forwarding: u8,
    /// `firewallEvent`.
    pub(crate) firewall_event: u8,
}

impl Record {
    /// The records of a flow, the client's direction first. A direction without packets has none; a flow without any
    /// packet has its client's.
    pub(crate) fn of(flow: &Flow) -> impl Iterator<Item = Self> {
        let forward = flow.to_server.packets > 0 || flow.to_client.packets == 0;
        let back = flow.to_client.packets > 0;
        let forward = forward.then(|| Self::new(flow, true));
        forward.into_iter().chain(back.then(|| Self::new(flow, false)))
    }

    fn new(flow: &Flow, to_server: bool) -> Self {
        let Ends { source, destination, source_port, destination_port, icmp } = Ends::new(&flow.tuple, to_server);
        let side: &Side = if to_server { &flow.to_server } else { &flow.to_client };
        let ingress = main_point(flow, to_server, Direction::Ingress);
        let egress = main_point(flow, to_server, Direction::Egress);
        let fate = fate(flow, to_server);
        Self {
            source,
            destination,
            source_port,
            destination_port,
            icmp,
            protocol: flow.tuple.protocol,
            packets: side.packets,
            bytes: side.ip_bytes,
            tcp_flags: side.flags.0,
            start_ms: millis(flow.start.0),
            end_ms: millis(flow.last.0.max(flow.start.0)),
            end_reason: end_reason(flow.ended),
            direction: u8::from(ingress == 0 && egress != 0),
            ingress,
            egress,
            vlans: flow.tuple.vlans,
            application: flow.names.as_ref().and_then(|names| names.application).unwrap_or_default(),
            flow_id: flow.id.0,
            forwarding: forwarding_status(fate),
            firewall_event: firewall_event(fate, flow.ended),
        }
    }
}

struct Ends {
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    destination_port: u16,
    icmp: Option<(u8, u8)>,
}

impl Ends {
    fn new(tuple: &Tuple, to_server: bool) -> Self {
        let (source, destination) = if to_server { (tuple.client, tuple.server) } else { (tuple.server, tuple.client) };
        if tuple.is_icmp() {
            let kind = tuple.client_port;
            // What comes back is the answer to what was asked; a type that has none is shown as it is.
            let reply = icmp_counterpart(tuple.protocol, kind).unwrap_or(kind);
            let kind = if to_server { kind } else { reply };
            let icmp = Some((kind as u8, tuple.server_port as u8));
            return Self { source, destination, source_port: 0, destination_port: 0, icmp };
        }
        let (client, server) = if tuple.has_ports() { (tuple.client_port, tuple.server_port) } else { (0, 0) };
        let (source_port, destination_port) = if to_server { (client, server) } else { (server, client) };
        Self { source, destination, source_port, destination_port, icmp: None }
    }
}

/// The interface that saw most of a direction on that hook: bridges, bonds and tunnels show packets more than once, and
/// outside of a tunnel they are what the link carried.
fn main_point(flow: &Flow, to_server: bool, direction: Direction) -> u32 {
    let seen = flow.points.iter().filter(|point| point.to_server == to_server && point.direction == direction);
    let order = |point: &&Point| (point.tunnel.is_none(), point.side.packets, std::cmp::Reverse(point.ifindex));
    seen.max_by_key(order).map_or(0, |point| point.ifindex)
}

fn millis(ns: i64) -> u64 {
    u64::try_from(ns / 1_000_000).unwrap_or(0)
}

fn fate(flow: &Flow, to_server: bool) -> Option<Fate> {
    let judgement = flow.judgement.as_ref()?;
    let reply = judgement.reply.as_ref().filter(|_| !to_server);
    Some(reply.unwrap_or(&judgement.ruling).fate())
}

/// IANA IPFIX "flowEndReason (Value 136)".
fn end_reason(ended: Option<EndReason>) -> u8 {
    match ended {
        Some(EndReason::Idle) => 1,
        Some(EndReason::Active) | None => 2,
        Some(EndReason::Finished | EndReason::Reset | EndReason::Reused) => 3,
        Some(EndReason::Shutdown) => 4,
        Some(EndReason::TableFull) => 5,
    }
}

/// IANA IPFIX "forwardingStatus (Value 89)": status in the upper two bits, reason in the lower six.
fn forwarding_status(fate: Option<Fate>) -> u8 {
    match fate {
        None => 0,
        Some(Fate::Accept | Fate::Observed) => 64,
        Some(Fate::Reject) => 129,
        Some(Fate::Drop) => 130,
    }
}

/// IANA IPFIX "firewallEvent (Value 233)".
fn firewall_event(fate: Option<Fate>, ended: Option<EndReason>) -> u8 {
    match (fate, ended) {
        (Some(Fate::Drop | Fate::Reject), _) => 3,
        (Some(Fate::Observed), _) => 4,
        (_, Some(EndReason::Active) | None) => 5,
        _ => 2,
    }
}
