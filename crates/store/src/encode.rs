//! From a flow to a row. The way back is `decode`.
//!
//! What is not kept: fractions of a microsecond, TCP flags per interface, ids of cgroups, and what no row shows of names
//! (DNS answers, further ALPN protocols, HTTP headers). Invariant: `FlowRow` of the row read back equals that of the flow.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use hivewall_model::{
    Direction, EndReason, Fate, Flow, FlowNames, Judgement, Point, Process, Ruling, Side, TcpState, Timestamp, Timing,
    Tunnel,
};
use hivewall_view::{container_text, user_text};

use crate::batch::{Batch, NONE};
use crate::columns::{Col, NAME_SOURCE_ORDER, perspective_word, place};

/// Processes remembered at most, before all are forgotten.
const PROCESSES_MAX: usize = 8_192;
/// Bytes of an Ethernet header, which nearly every packet has.
pub(crate) const ETHERNET_BYTES: i64 = 14;
/// Tunnels, by the word that stands for each.
pub(crate) const TUNNELS: [(Tunnel, &str); 5] = [
    (Tunnel::Ipip, "ipip"),
    (Tunnel::SixInFour, "6in4"),
    (Tunnel::Gre, "gre"),
    (Tunnel::Vxlan, "vxlan"),
    (Tunnel::Geneve, "geneve"),
];

/// Names of interfaces by index, as they were when the flows were handed over.
pub(crate) type InterfaceNames = Vec<(u32, Arc<str>)>;

/// Places of one process's texts.
#[derive(Clone, Copy)]
struct ProcessPlaces {
    comm: i64,
    executable: i64,
    user: i64,
    container: i64,
    container_id: i64,
    cgroup: i64,
}

/// Writes flows into one batch; remembers what many flows share. A new batch takes a new encoder.
#[derive(Default)]
pub(crate) struct Encoder {
    /// By address of the shared value, which is held so that the address stays its own.
    processes: HashMap<usize, (Arc<Process>, ProcessPlaces)>,
    peers: HashMap<usize, (Arc<Process>, i64)>,
    /// Place of the text of a list of points, by the points' numbers.
    shapes: HashMap<Vec<u64>, i64>,
    names: InterfaceNames,
    key: Vec<u64>,
    text: String,
}

impl Encoder {
    /// Appends a row.
    pub(crate) fn push(&mut self, batch: &mut Batch, flow: &Flow) {
        batch.begin_row();
        put_tuple(batch, flow);
        put_counters(batch, flow);
        self.put_points(batch, flow);
        self.put_processes(batch, flow);
        if let Some(names) = &flow.names {
            put_names(batch, names);
        }
        put_timing(batch, &flow.timing);
        if let Some(judgement) = &flow.judgement {
            put_judgement(batch, judgement);
        }
    }

    /// The names of interfaces from here on.
    pub(crate) fn set_names(&mut self, names: &InterfaceNames) {
        if self.names != *names {
            self.names.clone_from(names);
            self.shapes.clear();
        }
    }

    fn put_points(&mut self, batch: &mut Batch, flow: &Flow) {
        if flow.points.is_empty() {
            return;
        }
        self.key.clear();
        self.key.extend(flow.points.iter().map(|point| {
            let tunnel = point.tunnel.map_or(0, |tunnel| 1 + tunnel as u64);
            u64::from(point.ifindex) << 8 | tunnel << 2 | (point.direction as u64 & 1) << 1 | u64::from(point.to_server)
        }));
        let place = match self.shapes.get(self.key.as_slice()) {
            Some(place) => *place,
            None => self.new_shape(batch, flow),
        };
        batch.put(Col::Interfaces, place);
        let side = |point: &Point| if point.to_server { flow.to_server } else { flow.to_client };
        let counts = |side: &Side| (side.packets, side.ip_bytes, side.wire_bytes);
        if flow.points.iter().any(|point| counts(&point.side) != counts(&side(point))) {
            self.text.clear();
            for point in &flow.points {
                let (packets, bytes, wire) = counts(&point.side);
                let gap = if self.text.is_empty() { "" } else { " " };
                // Writing to a string does not fail.
                let _ = write!(self.text, "{gap}{packets}/{bytes}/{wire}");
            }
            let place = batch.text_place(Col::InterfaceCounters, &self.text);
            batch.put(Col::InterfaceCounters, place);
        }
    }

    fn new_shape(&mut self, batch: &mut Batch, flow: &Flow) -> i64 {
        self.text.clear();
        for point in &flow.points {
            let known = self.names.iter().find(|(index, _)| *index == point.ifindex);
            let gap = if self.text.is_empty() { "" } else { " " };
            self.text.push_str(gap);
            escape(known.map_or("", |(_, name)| name), &mut self.text);
            self.text.push_str(match point.direction {
                Direction::Ingress => "/ingress",
                Direction::Egress => "/egress",
            });
            self.text.push_str(if point.to_server { "/server" } else { "/client" });
            if let Some((_, name)) = TUNNELS.iter().find(|(tunnel, _)| Some(*tunnel) == point.tunnel) {
                self.text.push('/');
                self.text.push_str(name);
            }
        }
        let place = batch.text_place(Col::Interfaces, &self.text);
        self.shapes.insert(self.key.clone(), place);
        place
    }

    fn put_processes(&mut self, batch: &mut Batch, flow: &Flow) {
        let Some(process) = flow.process() else { return };
        if self.processes.len() >= PROCESSES_MAX {
            self.processes.clear();
        }
        let places = self
            .processes
            .entry(Arc::as_ptr(process) as usize)
            .or_insert_with(|| (Arc::clone(process), process_places(batch, process)))
            .1;
        batch.put(Col::ProcessEnd, i64::from(flow.client_process.is_none()));
        batch.put(Col::Pid, i64::from(process.pid));
        batch.put(Col::Process, places.comm);
        batch.put(Col::User, places.user);
        for (col, place) in [
            (Col::Executable, places.executable),
            (Col::Container, places.container),
            (Col::ContainerId, places.container_id),
            (Col::Cgroup, places.cgroup),
        ] {
            if place != NONE {
                batch.put(col, place);
            }
        }
        if let (Some(_), Some(peer)) = (&flow.client_process, &flow.server_process) {
            if self.peers.len() >= PROCESSES_MAX {
                self.peers.clear();
            }
            let place = self
                .peers
                .entry(Arc::as_ptr(peer) as usize)
                .or_insert_with(|| (Arc::clone(peer), batch.text_place(Col::PeerProcess, &peer.comm)))
                .1;
            batch.put(Col::PeerPid, i64::from(peer.pid));
            batch.put(Col::PeerProcess, place);
        }
    }
}

fn process_places(batch: &mut Batch, process: &Process) -> ProcessPlaces {
    let mut optional = |col, text: Option<&str>| text.map_or(NONE, |text| batch.text_place(col, text));
    let container = process.container.as_ref();
    ProcessPlaces {
        comm: optional(Col::Process, Some(&process.comm)),
        executable: optional(Col::Executable, process.executable.as_deref()),
        user: optional(Col::User, Some(&user_text(process))),
        container: optional(Col::Container, container.map(container_text).as_deref()),
        container_id: optional(Col::ContainerId, container.map(|container| &*container.id)),
        cgroup: optional(Col::Cgroup, process.cgroup.as_deref()),
    }
}

/// Slashes and spaces separate; they and the sign itself are written as `%2f`, `%20`, `%25`.
fn escape(name: &str, into: &mut String) {
    for c in name.chars() {
        match c {
            '/' => into.push_str("%2f"),
            ' ' => into.push_str("%20"),
            '%' => into.push_str("%25"),
            c => into.push(c),
        }
    }
}

/// Whole microseconds, rounded down as rows have them.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.0.div_euclid(1000)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn put_tuple(batch: &mut Batch, flow: &Flow) {
    let tuple = &flow.tuple;
    batch.put(Col::FlowId, number(flow.id.0));
    batch.put(Col::Start, micros(flow.start));
    batch.put(Col::End, micros(flow.last));
    batch.put(Col::Protocol, i64::from(tuple.protocol));
    let source = batch.address_place(Col::Source, tuple.client);
    batch.put(Col::Source, source);
    let destination = batch.address_place(Col::Destination, tuple.server);
    batch.put(Col::Destination, destination);
    batch.put(Col::SourcePort, i64::from(tuple.client_port));
    batch.put(Col::DestinationPort, i64::from(tuple.server_port));
    batch.put(Col::Direction, perspective_word(flow.perspective));
    batch.put(Col::RolesKnown, i64::from(flow.roles_known));
    batch.put(Col::PortsUnknown, i64::from(flow.portless));
    for (col, vlan) in [Col::OuterVlan, Col::InnerVlan].into_iter().zip(tuple.vlans) {
        if vlan != 0 {
            batch.put(col, i64::from(vlan));
        }
    }
}

fn put_counters(batch: &mut Batch, flow: &Flow) {
    let extra = |side: &Side| {
        number(side.wire_bytes)
            .wrapping_sub(number(side.ip_bytes))
            .wrapping_sub(number(side.packets).wrapping_mul(ETHERNET_BYTES))
    };
    let (to_server, to_client) = (&flow.to_server, &flow.to_client);
    batch.put(Col::PacketsToServer, number(to_server.packets));
    batch.put(Col::PacketsToClient, number(to_client.packets));
    batch.put(Col::BytesToServer, number(to_server.ip_bytes));
    batch.put(Col::BytesToClient, number(to_client.ip_bytes));
    batch.put(Col::ExtraToServer, extra(to_server));
    batch.put(Col::ExtraToClient, extra(to_client));
    batch.put(Col::FlagsToServer, i64::from(to_server.flags.0));
    batch.put(Col::FlagsToClient, i64::from(to_client.flags.0));
    batch.put(Col::BitsPerSecond, ((flow.rate * 8.0).round() as i64).max(0));
    if let Some(state) = flow.tcp_state {
        batch.put(Col::TcpState, place(&TcpState::ALL, &state));
    }
    if let Some(reason) = flow.ended {
        batch.put(Col::EndReason, place(&EndReason::ALL, &reason));
    }
}

fn put_text(batch: &mut Batch, col: Col, text: Option<&str>) {
    if let Some(text) = text {
        let place = batch.text_place(col, text);
        batch.put(col, place);
    }
}

fn put_names(batch: &mut Batch, names: &FlowNames) {
    put_text(batch, Col::Application, names.application);
    if let Some((name, source)) = &names.server {
        put_text(batch, Col::ServerName, Some(name));
        batch.put(Col::ServerNameSource, place(&NAME_SOURCE_ORDER, source));
    }
    if let Some(tls) = &names.tls {
        batch.put(Col::TlsVersion, i64::from(tls.version));
        put_text(batch, Col::TlsAlpn, tls.alpn.first().map(|text| &**text));
        put_text(batch, Col::Ja4, Some(&tls.ja4));
    }
    if let Some(http) = &names.http {
        put_text(batch, Col::HttpMethod, Some(&http.method));
        put_text(batch, Col::HttpTarget, Some(&http.target));
    }
    if let Some(status) = names.http_status {
        batch.put(Col::HttpStatus, i64::from(status));
    }
    if names.http_requests != 0 {
        batch.put(Col::HttpRequests, i64::from(names.http_requests));
    }
    if let Some(dns) = &names.dns {
        put_text(batch, Col::DnsQuery, Some(&dns.name));
        batch.put(Col::DnsType, i64::from(dns.qtype));
        if dns.response {
            batch.put(Col::DnsRcode, i64::from(dns.rcode));
        }
    }
    let [client, server] = &names.ssh;
    put_text(batch, Col::SshClient, client.as_deref());
    put_text(batch, Col::SshServer, server.as_deref());
}

fn put_timing(batch: &mut Batch, timing: &Timing) {
    let times: [(Col, Option<Duration>); 7] = [
        (Col::HandshakeServer, timing.handshake_server),
        (Col::HandshakeClient, timing.handshake_client),
        (Col::ServerResponse, timing.server_response),
        (Col::RoundTrip, timing.round_trip),
        (Col::Jitter, timing.jitter),
        (Col::SmoothedRtt, timing.smoothed_rtt),
        (Col::RttDeviation, timing.rtt_deviation),
    ];
    for (col, time) in times {
        if let Some(time) = time {
            batch.put(col, i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
        }
    }
    for (col, count) in [(Col::Retransmits, timing.retransmits), (Col::OutOfOrder, timing.out_of_order)] {
        if let Some(count) = count {
            batch.put(col, i64::from(count));
        }
    }
}

fn put_judgement(batch: &mut Batch, judgement: &Judgement) {
    let fate = |ruling: &Ruling| place(&Fate::ALL, &ruling.fate());
    batch.put(Col::Verdict, fate(&judgement.ruling));
    batch.put(Col::PolicyEpoch, i64::from(judgement.ruling.verdict.epoch()));
    put_text(batch, Col::Rule, Some(&judgement.ruling.rule));
    if let Some(reply) = &judgement.reply {
        batch.put(Col::ReplyVerdict, fate(reply));
        put_text(batch, Col::ReplyRule, Some(&reply.rule));
    }
    for (col, count) in [(Col::DroppedPackets, judgement.dropped_packets), (Col::DroppedBytes, judgement.dropped_bytes)]
    {
        if count != 0 {
            batch.put(col, number(count));
        }
    }
}
