//! From a row back to a flow. The way there is `encode`.
//!
//! Only the columns that were loaded come back; the rest of the flow is empty.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use hivewall_model::{
    Container, Direction, DnsMessage, EndReason, Fate, Flow, FlowId, FlowNames, HttpRequest, Judgement, Point, Process,
    Ruling, Side, TcpFlags, TcpState, Timestamp, Timing, TlsHello, Tunnel, Tuple,
};
use hivewall_view::FlowRow;

use crate::batch::{Batch, NONE};
use crate::columns::{Col, NAME_SOURCE_ORDER, at, perspective_at};
use crate::encode::{ETHERNET_BYTES, TUNNELS};

/// Names of applications that can be told apart; there are some dozens.
const APPLICATIONS_MAX: usize = 1024;

/// A point without its counters; the interface is a place in [`Decoder`]'s names.
#[derive(Clone, Copy)]
struct Shape {
    interface: u32,
    direction: Direction,
    to_server: bool,
    tunnel: Option<Tunnel>,
}

/// Reads rows of one batch.
pub(crate) struct Decoder<'a> {
    batch: &'a Batch,
    /// Interface names; a flow that is read has their places as indexes.
    names: RefCell<Vec<Box<str>>>,
    shapes: RefCell<HashMap<i64, Arc<[Shape]>>>,
    processes: RefCell<HashMap<[i64; 7], Arc<Process>>>,
}

impl<'a> Decoder<'a> {
    /// For the rows of `batch`.
    pub(crate) fn new(batch: &'a Batch) -> Self {
        Self {
            batch,
            names: RefCell::new(Vec::new()),
            shapes: RefCell::new(HashMap::new()),
            processes: RefCell::new(HashMap::new()),
        }
    }

    /// The row as it is shown.
    pub(crate) fn row(&self, row: usize) -> FlowRow {
        FlowRow::new(&self.flow(row), &|index| self.name(index))
    }

    /// The name of an interface of a flow that was read here.
    pub(crate) fn name(&self, index: u32) -> String {
        self.names.borrow().get(index as usize).map(ToString::to_string).unwrap_or_default()
    }

    /// The flow of a row.
    pub(crate) fn flow(&self, row: usize) -> Flow {
        let batch = self.batch;
        let number = |col| batch.value(col, row).unwrap_or(0);
        let (to_server, to_client) = self.sides(row);
        let (client_process, server_process) = self.processes(row);
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Flow {
            id: FlowId(number(Col::FlowId) as u64),
            tuple: Tuple {
                protocol: number(Col::Protocol) as u8,
                client: batch.address(Col::Source, row).unwrap_or(nowhere),
                server: batch.address(Col::Destination, row).unwrap_or(nowhere),
                client_port: number(Col::SourcePort) as u16,
                server_port: number(Col::DestinationPort) as u16,
                vlans: [number(Col::OuterVlan) as u16, number(Col::InnerVlan) as u16],
            },
            roles_known: number(Col::RolesKnown) != 0,
            perspective: perspective_at(number(Col::Direction)),
            to_server,
            to_client,
            start: Timestamp(number(Col::Start).saturating_mul(1000)),
            last: Timestamp(number(Col::End).saturating_mul(1000)),
            tcp_state: at(&TcpState::ALL, batch.get(Col::TcpState, row)),
            ended: at(&EndReason::ALL, batch.get(Col::EndReason, row)),
            portless: number(Col::PortsUnknown) != 0,
            points: self.points(row, [to_client, to_server]),
            rate: number(Col::BitsPerSecond) as f64 / 8.0,
            client_process,
            server_process,
            names: self.flow_names(row),
            timing: self.timing(row),
            judgement: self.judgement(row),
        }
    }

    /// The number of the rule's counter is not kept: its name is.
    fn judgement(&self, row: usize) -> Option<Judgement> {
        let batch = self.batch;
        let number = |col| batch.value(col, row).unwrap_or(0);
        let epoch = number(Col::PolicyEpoch) as u16;
        let ruling = |verdict, rule| {
            let fate = at(&Fate::ALL, batch.get(verdict, row))?;
            let rule = batch.text(rule, row).cloned().unwrap_or_default();
            Some(Ruling { verdict: fate.verdict(epoch, 0), rule })
        };
        Some(Judgement {
            ruling: ruling(Col::Verdict, Col::Rule)?,
            reply: ruling(Col::ReplyVerdict, Col::ReplyRule),
            dropped_packets: number(Col::DroppedPackets) as u64,
            dropped_bytes: number(Col::DroppedBytes) as u64,
        })
    }

    fn sides(&self, row: usize) -> (Side, Side) {
        let number = |col| self.batch.value(col, row).unwrap_or(0);
        let side = |packets: i64, bytes: i64, extra: i64, flags: i64| Side {
            packets: packets as u64,
            ip_bytes: bytes as u64,
            wire_bytes: extra.wrapping_add(bytes).wrapping_add(packets.wrapping_mul(ETHERNET_BYTES)) as u64,
            flags: TcpFlags(flags as u8),
        };
        (
            side(
                number(Col::PacketsToServer),
                number(Col::BytesToServer),
                number(Col::ExtraToServer),
                number(Col::FlagsToServer),
            ),
            side(
                number(Col::PacketsToClient),
                number(Col::BytesToClient),
                number(Col::ExtraToClient),
                number(Col::FlagsToClient),
            ),
        )
    }

    /// `sides`: to the client, to the server.
    fn points(&self, row: usize, sides: [Side; 2]) -> Vec<Point> {
        let Some(place) = self.batch.value(Col::Interfaces, row) else { return Vec::new() };
        let shapes = self.shapes(place);
        let counters = self.batch.text(Col::InterfaceCounters, row);
        let mut counters = counters.map(|text| text.split(' ').map(counters_of));
        let [to_client, to_server] = sides;
        shapes
            .iter()
            .map(|shape| {
                let whole = if shape.to_server { to_server } else { to_client };
                let own = counters.as_mut().map_or(Some(whole), |counters| counters.next().flatten());
                Point {
                    ifindex: shape.interface,
                    direction: shape.direction,
                    to_server: shape.to_server,
                    tunnel: shape.tunnel,
                    side: own.unwrap_or_default(),
                }
            })
            .collect()
    }

    fn shapes(&self, place: i64) -> Arc<[Shape]> {
        let mut known = self.shapes.borrow_mut();
        let shapes = known.entry(place).or_insert_with(|| {
            let text = usize::try_from(place).ok().and_then(|at| self.batch.texts(Col::Interfaces).get(at));
            text.map(|text| text.split(' ').map(|one| self.shape(one)).collect()).unwrap_or_default()
        });
        Arc::clone(shapes)
    }

    fn shape(&self, text: &str) -> Shape {
        let mut parts = text.split('/');
        let name = unescape(parts.next().unwrap_or_default());
        let mut names = self.names.borrow_mut();
        let interface = names.iter().position(|known| **known == *name).unwrap_or_else(|| {
            names.push(name.into_boxed_str());
            names.len() - 1
        });
        let direction = if parts.next() == Some("egress") { Direction::Egress } else { Direction::Ingress };
        let to_server = parts.next() == Some("server");
        let word = parts.next();
        let tunnel = TUNNELS.iter().find(|(_, name)| Some(*name) == word).map(|(tunnel, _)| *tunnel);
        Shape { interface: interface as u32, direction, to_server, tunnel }
    }

    fn processes(&self, row: usize) -> (Option<Arc<Process>>, Option<Arc<Process>>) {
        let batch = self.batch;
        let Some(pid) = batch.value(Col::Pid, row) else { return (None, None) };
        let get = |col| batch.get(col, row);
        let own = self.process([
            pid,
            get(Col::Process),
            get(Col::Executable),
            get(Col::User),
            get(Col::Container),
            get(Col::ContainerId),
            get(Col::Cgroup),
        ]);
        let peer = batch.value(Col::PeerPid, row).map(|pid| {
            let comm = batch.text(Col::PeerProcess, row).map_or("", |text| text);
            Arc::new(Process { pid: pid as u32, comm: comm.into(), ..Process::default() })
        });
        if get(Col::ProcessEnd) == 1 { (None, Some(own)) } else { (Some(own), peer) }
    }

    fn process(&self, key: [i64; 7]) -> Arc<Process> {
        let make = || {
            let [pid, comm, executable, user, container, container_id, cgroup] = key;
            let text = |col: Col, place: i64| -> Option<Box<str>> {
                let place = usize::try_from(place).ok()?;
                self.batch.texts(col).get(place).map(|text| Box::from(&**text))
            };
            Arc::new(Process {
                pid: pid as u32,
                comm: text(Col::Process, comm).unwrap_or_default(),
                executable: text(Col::Executable, executable),
                user: text(Col::User, user),
                cgroup: text(Col::Cgroup, cgroup),
                container: text(Col::ContainerId, container_id).map(|id| Container {
                    runtime: "",
                    id,
                    name: text(Col::Container, container),
                }),
                ..Process::default()
            })
        };
        Arc::clone(self.processes.borrow_mut().entry(key).or_insert_with(make))
    }

    fn flow_names(&self, row: usize) -> Option<Arc<FlowNames>> {
        let batch = self.batch;
        let number = |col| batch.value(col, row);
        let text = |col| batch.text(col, row).cloned();
        let owned = |col| text(col).map(|text| Box::from(&*text));
        let names = FlowNames {
            application: text(Col::Application).and_then(|name| application(&name)),
            server: text(Col::ServerName).zip(at(&NAME_SOURCE_ORDER, batch.get(Col::ServerNameSource, row))),
            tls: number(Col::TlsVersion).map(|version| {
                Arc::new(TlsHello {
                    version: version as u16,
                    alpn: owned(Col::TlsAlpn).into_iter().collect(),
                    ja4: owned(Col::Ja4).unwrap_or_default(),
                    ..TlsHello::default()
                })
            }),
            http: owned(Col::HttpMethod).map(|method| {
                let target = owned(Col::HttpTarget).unwrap_or_default();
                Arc::new(HttpRequest { method, target, ..HttpRequest::default() })
            }),
            http_status: number(Col::HttpStatus).map(|status| status as u16),
            http_requests: number(Col::HttpRequests).unwrap_or(0) as u32,
            dns: number(Col::DnsType).map(|qtype| {
                let rcode = number(Col::DnsRcode);
                Arc::new(DnsMessage {
                    name: owned(Col::DnsQuery).unwrap_or_default(),
                    qtype: qtype as u16,
                    response: rcode.is_some(),
                    rcode: rcode.unwrap_or(0) as u16,
                    ..DnsMessage::default()
                })
            }),
            ssh: [text(Col::SshClient), text(Col::SshServer)],
        };
        (names != FlowNames::default()).then(|| Arc::new(names))
    }

    fn timing(&self, row: usize) -> Timing {
        let time = |col| self.batch.value(col, row).map(|micros| Duration::from_micros(micros as u64));
        let count = |col| self.batch.value(col, row).map(|count| count as u32);
        Timing {
            handshake_server: time(Col::HandshakeServer),
            handshake_client: time(Col::HandshakeClient),
            server_response: time(Col::ServerResponse),
            round_trip: time(Col::RoundTrip),
            jitter: time(Col::Jitter),
            smoothed_rtt: time(Col::SmoothedRtt),
            rtt_deviation: time(Col::RttDeviation),
            retransmits: count(Col::Retransmits),
            out_of_order: count(Col::OutOfOrder),
        }
    }
}

fn counters_of(text: &str) -> Option<Side> {
    let mut numbers = text.split('/').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    Some(Side { packets: next()?, ip_bytes: next()?, wire_bytes: next()?, flags: TcpFlags::default() })
}

fn unescape(text: &str) -> String {
    text.replace("%2f", "/").replace("%20", " ").replace("%25", "%")
}

/// A shared name for an application; flows carry names that live for ever.
fn application(name: &str) -> Option<&'static str> {
    static KNOWN: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = known.iter().find(|known| **known == name) {
        return Some(same);
    }
    if known.len() >= APPLICATIONS_MAX {
        return None;
    }
    // Bounded by the limit above.
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    known.push(name);
    Some(name)
}

/// The value of an order's key; `NONE` sorts last.
pub(crate) fn sum(a: i64, b: i64) -> i64 {
    if a == NONE || b == NONE { a.max(b).max(0) } else { a.saturating_add(b) }
}
