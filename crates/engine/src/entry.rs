//! A living flow in memory: small, because there may be a million.

use std::net::{IpAddr, Ipv6Addr};

use hivewall_datapath::{Direction, FlowKey, Record, proto};
use hivewall_model::{
    EndReason, Flow, FlowId, Point, Side, TcpFlags, TcpState, Timestamp, Tunnel, Tuple, icmp_counterpart,
};

use crate::interfaces::InterfaceTable;

/// Points of one flow kept in place; more go to the heap.
const POINTS_INLINE: usize = 2;
/// Points of one flow at the most: further interfaces are added to the last one. A packet that crosses more than this
/// many interfaces of one host is not known to exist.
const POINTS_MAX: usize = 16;

/// Both directions of a conversation share this: `a` is the smaller (address, port).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PairKey {
    pub a: [u8; 16],
    pub b: [u8; 16],
    pub a_port: u16,
    pub b_port: u16,
    /// VLAN ids, then bit 24 IPv6 and bit 25 port-less.
    pub tags: u32,
    pub protocol: u8,
}

const V6: u32 = 1 << 24;
const PORTLESS: u32 = 1 << 25;

impl PairKey {
    /// The pair of a one-way key, and whether its packets go from `a` to `b`.
    pub(crate) fn of(key: &FlowKey, interface_vlan: u16) -> (Self, bool) {
        let protocol = key.proto();
        let (src, dst) = (key.src_octets(), key.dst_octets());
        let (sport, dport) = ports(protocol, key.sport, key.dport);
        let forward = (src, sport) <= (dst, dport);
        let (a, b, a_port, b_port) = if forward { (src, dst, sport, dport) } else { (dst, src, dport, sport) };
        let [outer, inner] = key.vlans();
        // An untagged frame on eth0.10 is the frame with tag 10 on eth0.
        let (outer, inner) = if interface_vlan == 0 { (outer, inner) } else { (interface_vlan, outer) };
        let mut tags = u32::from(outer) | u32::from(inner) << 12;
        if key.is_v6() {
            tags |= V6;
        }
        if key.is_portless() {
            tags |= PORTLESS;
        }
        (Self { a, b, a_port, b_port, tags, protocol }, forward)
    }

    fn ip(&self, octets: [u8; 16]) -> IpAddr {
        let v6 = Ipv6Addr::from(octets);
        if self.tags & V6 != 0 { IpAddr::V6(v6) } else { v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4) }
    }

    pub(crate) fn a_ip(&self) -> IpAddr {
        self.ip(self.a)
    }

    pub(crate) fn b_ip(&self) -> IpAddr {
        self.ip(self.b)
    }

    fn vlans(&self) -> [u16; 2] {
        [(self.tags & 0xfff) as u16, (self.tags >> 12 & 0xfff) as u16]
    }
}

/// ICMP pairs a request with its reply: both get the lower of the two types on both ends, so that a swap of ends does
/// not change the key. Types without a counterpart keep type and code.
fn ports(protocol: u8, sport: u16, dport: u16) -> (u16, u16) {
    if !matches!(protocol, proto::ICMP | proto::ICMPV6) {
        return (sport, dport);
    }
    let kind = icmp_counterpart(protocol, sport).map_or(sport, |other| other.min(sport));
    let word = kind << 8 | dport & 0xff;
    (word, word)
}

/// What one interface saw of one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryPoint {
    pub ifindex: u32,
    pub direction: Direction,
    pub a_to_b: bool,
    pub tunnel: Option<Tunnel>,
    pub packets: u64,
    pub ip_bytes: u64,
    pub wire_bytes: u64,
}

impl EntryPoint {
    fn side(&self) -> Side {
        Side {
            packets: self.packets,
            ip_bytes: self.ip_bytes,
            wire_bytes: self.wire_bytes,
            flags: TcpFlags::default(),
        }
    }
}

/// Who opened the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    /// Seen: this end sent the SYN or received its answer.
    Known { a: bool },
    /// Guessed.
    Guess { a: bool },
}

/// A living flow.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: PairKey,
    pub id: FlowId,
    pub start: Timestamp,
    pub last: Timestamp,
    /// First packet of each direction; `i64::MAX` while there is none.
    first: [i64; 2],
    inline: [Option<EntryPoint>; POINTS_INLINE],
    #[expect(clippy::box_collection, reason = "8 bytes in every flow instead of 24, for the few that need it")]
    more: Option<Box<Vec<EntryPoint>>>,
    pub opener: Opener,
    flags: [u8; 2],
    icmp: [u8; 2],
    pub state: Option<TcpState>,
    window_start: Timestamp,
    window_bytes: u64,
    rate: f32,
    /// Where outbound traffic was booked when the flow began: whether `a` or `b` is this host.
    pub local: [bool; 2],
}

/// Packets and bytes that are new to the flow as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub packets: u64,
    pub ip_bytes: u64,
}

impl Entry {
    pub(crate) fn new(key: PairKey, id: FlowId, a_to_b: bool, start: Timestamp, flow_key: &FlowKey) -> Self {
        Self {
            key,
            id,
            start,
            last: start,
            first: [i64::MAX; 2],
            inline: [None; POINTS_INLINE],
            more: None,
            opener: Opener::Guess { a: a_to_b },
            flags: [0; 2],
            icmp: [flow_key.sport as u8, flow_key.dport as u8],
            state: None,
            window_start: start,
            window_bytes: 0,
            rate: 0.0,
            local: [false; 2],
        }
    }

    /// Points in the order they were first seen.
    pub(crate) fn points(&self) -> impl Iterator<Item = &EntryPoint> {
        self.inline.iter().flatten().chain(self.more.iter().flat_map(|more| more.iter()))
    }

    fn point_mut(&mut self, ifindex: u32, direction: Direction, a_to_b: bool, tunnel: Option<Tunnel>) -> &mut EntryPoint {
        let same = |p: &EntryPoint| {
            p.ifindex == ifindex && p.direction == direction && p.a_to_b == a_to_b && p.tunnel == tunnel
        };
        let fresh = EntryPoint { ifindex, direction, a_to_b, tunnel, packets: 0, ip_bytes: 0, wire_bytes: 0 };
        let place = self.inline.iter().position(|p| p.as_ref().is_none_or(same));
        if let Some(slot) = place.and_then(|i| self.inline.get_mut(i)) {
            return slot.get_or_insert(fresh);
        }
        let more = self.more.get_or_insert_default();
        let at = match more.iter().position(same) {
            Some(at) => at,
            None if more.len() < POINTS_MAX => {
                more.push(fresh);
                more.len() - 1
            }
            None => more.len() - 1,
        };
        #[expect(clippy::indexing_slicing, reason = "at < more.len(), which is at least 1 here")]
        &mut more[at]
    }

    /// Adds a record's counters at its observation point; returns what is new to the host as a whole: nothing for
    /// packets inside of a tunnel, whose bytes the tunnel's own flow carries.
    pub(crate) fn add(&mut self, record: &Record, a_to_b: bool, interfaces: &InterfaceTable) -> Delta {
        let key = &record.line.key;
        let before = self.count(a_to_b, false, interfaces);
        let point = self.point_mut(key.ifindex(), key.direction(), a_to_b, key.tunnel());
        point.packets += u64::from(record.line.packets());
        point.ip_bytes += u64::from(record.line.ip_bytes);
        point.wire_bytes += u64::from(record.line.ip_bytes) + u64::from(record.line.link_bytes);
        let after = self.count(a_to_b, false, interfaces);
        Delta {
            packets: after.packets.saturating_sub(before.packets),
            ip_bytes: after.ip_bytes.saturating_sub(before.ip_bytes),
        }
    }

    /// One direction, each packet once.
    pub(crate) fn side(&self, a_to_b: bool, interfaces: &InterfaceTable) -> Side {
        #[expect(clippy::indexing_slicing, reason = "0 or 1 into two")]
        let flags = TcpFlags(self.flags[usize::from(!a_to_b)]);
        Side { flags, ..self.count(a_to_b, true, interfaces) }
    }

    /// One direction, each packet once, with or without what was seen inside of tunnels.
    ///
    /// A packet passes at most one interface of each kind (hook, rank, inside or outside of a tunnel): points of one
    /// kind carry different packets and add up, points of different kinds show the same packets again. So the kind
    /// that saw most is the count.
    fn count(&self, a_to_b: bool, inside: bool, interfaces: &InterfaceTable) -> Side {
        let points = || self.points().filter(move |p| p.a_to_b == a_to_b && (inside || p.tunnel.is_none()));
        let kind = |p: &EntryPoint| (p.direction, interfaces.rank(p.ifindex), p.tunnel.is_some());
        let mut several = points();
        let Some(first) = several.next() else { return Side::default() };
        if several.next().is_none() {
            return first.side();
        }
        let mut best = Side::default();
        for sample in points() {
            let mut sum = Side::default();
            for p in points().filter(|p| kind(p) == kind(sample)) {
                sum.packets += p.packets;
                sum.ip_bytes += p.ip_bytes;
                sum.wire_bytes += p.wire_bytes;
            }
            // A tunnel's inner view has no link bytes: on a tie the outer one tells more.
            if (sum.packets, sum.ip_bytes, sum.wire_bytes) > (best.packets, best.ip_bytes, best.wire_bytes) {
                best = sum;
            }
        }
        best
    }

    /// Notes times, flags and who opened; returns the TCP state before and after.
    pub(crate) fn see(
        &mut self,
        record: &Record,
        a_to_b: bool,
        first: Timestamp,
        last: Timestamp,
    ) -> (Option<TcpState>, Option<TcpState>) {
        self.start = self.start.min(first);
        self.last = self.last.max(last);
        let side = usize::from(!a_to_b);
        #[expect(clippy::indexing_slicing, reason = "0 or 1 into two")]
        {
            self.first[side] = self.first[side].min(first.0);
            self.flags[side] |= record.line.flags();
        }
        let before = self.state;
        self.judge_opener(record, a_to_b);
        if self.key.protocol == proto::TCP {
            let (client, server) = self.flags_by_role();
            self.state = Some(TcpState::from_flags(client, server));
        }
        (before, self.state)
    }

    fn flags_by_role(&self) -> (TcpFlags, TcpFlags) {
        let [a, b] = self.flags.map(TcpFlags);
        if self.a_is_client() { (a, b) } else { (b, a) }
    }

    pub(crate) fn a_is_client(&self) -> bool {
        match self.opener {
            Opener::Known { a } | Opener::Guess { a } => a,
        }
    }

    fn judge_opener(&mut self, record: &Record, a_to_b: bool) {
        if matches!(self.opener, Opener::Known { .. }) {
            return;
        }
        if record.line.opened() {
            self.opener = Opener::Known { a: a_to_b };
        } else if self.key.protocol == proto::TCP && TcpFlags(record.line.flags()).has(TcpFlags::SYN | TcpFlags::ACK) {
            self.opener = Opener::Known { a: !a_to_b };
        } else {
            self.opener = Opener::Guess { a: self.guess_a() };
        }
    }

    /// The end with a privileged port serves, when only one has one; else who spoke first asked; else the lower port
    /// serves.
    fn guess_a(&self) -> bool {
        let (a, b) = (self.key.a_port, self.key.b_port);
        let ports = matches!(self.key.protocol, proto::TCP | proto::UDP | proto::SCTP | proto::DCCP | proto::UDPLITE);
        if ports && self.key.tags & PORTLESS == 0 && (a < 1024) != (b < 1024) {
            return b < 1024;
        }
        let [first_a, first_b] = self.first;
        match first_a.cmp(&first_b) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => a >= b,
        }
    }

    /// Counts bytes for the rate and closes the window when it is old enough.
    pub(crate) fn count_rate(&mut self, ip_bytes: u64) {
        let age = self.last.since(self.window_start).as_secs_f32();
        self.window_bytes += ip_bytes;
        if age >= 0.9 {
            self.rate = self.window_bytes as f32 / age;
            self.window_start = self.last;
            self.window_bytes = 0;
        }
    }

    /// IP bytes per second now: 0 when the flow has been quiet for more than two seconds.
    pub(crate) fn rate(&self, now: Timestamp) -> f64 {
        if now.since(self.last).as_secs_f64() > 2.5 {
            return 0.0;
        }
        let age = now.since(self.window_start).as_secs_f64();
        if self.rate == 0.0 && age > 0.0 { self.window_bytes as f64 / age.max(1.0) } else { f64::from(self.rate) }
    }

    /// How a TCP connection ended by its own word.
    pub(crate) fn finished(&self) -> Option<EndReason> {
        match self.state {
            Some(TcpState::Closed) => Some(EndReason::Finished),
            Some(TcpState::Reset) => Some(EndReason::Reset),
            _ => None,
        }
    }

    /// The flow as everyone else sees it.
    pub(crate) fn to_flow(&self, interfaces: &InterfaceTable, now: Timestamp) -> Flow {
        let a_client = self.a_is_client();
        let (a, b) = (self.key.a_ip(), self.key.b_ip());
        let (client, server) = if a_client { (a, b) } else { (b, a) };
        let (mut client_port, mut server_port) =
            if a_client { (self.key.a_port, self.key.b_port) } else { (self.key.b_port, self.key.a_port) };
        if matches!(self.key.protocol, proto::ICMP | proto::ICMPV6) {
            (client_port, server_port) = (u16::from(self.icmp_request()), u16::from(self.icmp[1]));
        }
        let points = self
            .points()
            .map(|p| Point {
                ifindex: p.ifindex,
                direction: p.direction,
                to_server: p.a_to_b == a_client,
                tunnel: p.tunnel,
                side: p.side(),
            })
            .collect();
        Flow {
            id: self.id,
            tuple: Tuple {
                protocol: self.key.protocol,
                client,
                server,
                client_port,
                server_port,
                vlans: self.key.vlans(),
            },
            roles_known: matches!(self.opener, Opener::Known { .. }),
            perspective: interfaces.perspective(client, server),
            to_server: self.side(a_client, interfaces),
            to_client: self.side(!a_client, interfaces),
            start: self.start,
            last: self.last,
            tcp_state: self.state,
            ended: None,
            portless: self.key.tags & PORTLESS != 0,
            points,
            rate: self.rate(now),
        }
    }

    /// The type the opener sent: of a request and its reply, the request.
    fn icmp_request(&self) -> u8 {
        let kind = self.icmp[0];
        match (self.key.protocol, kind) {
            (proto::ICMP, 0) => 8,
            (proto::ICMP, 14 | 16 | 18) | (proto::ICMPV6, 129 | 134 | 136) => kind - 1,
            _ => kind,
        }
    }

    /// Begins anew after the active timeout: same conversation, fresh counters.
    pub(crate) fn restart(&mut self, id: FlowId) {
        self.id = id;
        self.start = self.last;
        self.window_start = self.last;
        self.window_bytes = 0;
        for point in self.inline.iter_mut().flatten().chain(self.more.iter_mut().flat_map(|more| more.iter_mut())) {
            point.packets = 0;
            point.ip_bytes = 0;
            point.wire_bytes = 0;
        }
    }
}
