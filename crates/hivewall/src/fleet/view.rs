//! The fleet as it is shown: from the links' picture, the core's total and what the desk remembers.
//!
//! Invariant: what is shown of another host says nothing that this host did not hear.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hivewall_cluster::{Ban, FleetTotal, NodeId, Reason};
use hivewall_model::Timestamp;
use hivewall_net::{Carried, How, Life, LinkReason, MemberState as Member, NodeState};
use hivewall_sketch::{Direction, Distinct as Estimate, Row, Service, Table};
use hivewall_view::fleet::{
    Distinct, FLEET_BANS_SHOWN, FleetBanView, FleetCoverage, FleetLosses, FleetMeter, FleetMeterCell, FleetTop,
    FleetTopRow, FleetTotalView, FleetTraffic, LINKS_SHOWN, LinkView, MemberState, MemberView, PolicyStand, StandKind,
};
use hivewall_view::time::rfc3339;
use hivewall_view::units;

use super::bans::body_of;
use super::questions::Stands;

/// Rows of a top list.
const TOP_ROWS: usize = 20;
/// Length of an epoch.
const EPOCH: Duration = Duration::from_secs(10);

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Milliseconds of the Unix epoch as RFC 3339.
pub(super) fn time(unix_ms: u64) -> String {
    rfc3339(Timestamp(i64::try_from(unix_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX)))
}

/// A host's name, or the beginning of its id.
pub(super) fn name_of(state: &NodeState, id: NodeId) -> String {
    let record = state.member(id).and_then(|member| member.record.as_ref());
    record.map(|record| record.name.clone()).filter(|name| !name.is_empty()).unwrap_or_else(|| {
        let mut id = id.to_string();
        id.truncate(8);
        id
    })
}

pub(super) fn member(
    state: &NodeState,
    member: &Member,
    is_revoked: bool,
    stand: Option<&Stands>,
    head_version: u64,
) -> MemberView {
    let record = member.record.as_deref();
    let life = match member.life {
        _ if is_revoked => MemberState::Revoked,
        Life::Alive => MemberState::Alive,
        Life::Suspect => MemberState::Suspect,
        Life::Down => MemberState::Down,
        Life::Left => MemberState::Left,
    };
    let flags = record.map(|record| record.flags).unwrap_or_default();
    let named = [(flags.battery, "battery"), (flags.enroller, "enroller")];
    MemberView {
        id: member.id.to_string(),
        name: record.map(|record| record.name.clone()).unwrap_or_default(),
        state: life,
        since: Some(time(member.since_unix_ms)),
        addresses: member.addresses().iter().map(ToString::to_string).collect(),
        labels: record.map(|record| record.labels.clone()).unwrap_or_default(),
        agent: record.map(|record| record.agent.clone()).unwrap_or_default(),
        protocol: record.map(|record| record.protocol).unwrap_or_default(),
        flags: named.iter().filter(|(is, _)| *is).map(|(_, name)| (*name).to_owned()).collect(),
        is_self: member.id == state.id,
        policy: stand.map(|stand| policy_stand(stand, head_version)).unwrap_or_default(),
    }
}

/// How a host stands to the version that spreads.
pub(super) fn policy_stand(stand: &Stands, head_version: u64) -> PolicyStand {
    if head_version == 0 {
        return PolicyStand::default();
    }
    let kind = match stand {
        Stands { version, .. } if *version < head_version => StandKind::Unknown,
        Stands { refusal, .. } if !refusal.is_empty() => StandKind::Refused,
        Stands { is_enforced: true, .. } => StandKind::Enforced,
        _ => StandKind::Have,
    };
    PolicyStand { stand: kind, version: stand.version, reason: stand.refusal.clone() }
}

/// This host's links and those that others told of, slowest first.
pub(super) fn links(state: &NodeState, far: &BTreeMap<NodeId, Vec<LinkView>>) -> (Vec<LinkView>, u64) {
    let mut all: Vec<LinkView> = far.values().flatten().cloned().collect();
    all.extend(own_links(state));
    let number = all.len() as u64;
    all.sort_by(|a, b| b.rtt_seconds.total_cmp(&a.rtt_seconds));
    all.truncate(LINKS_SHOWN);
    (all, number)
}

/// The links that this host timed.
pub(super) fn own_links(state: &NodeState) -> Vec<LinkView> {
    let own = name_of(state, state.id);
    let timed = state.members.iter().filter_map(|member| {
        let link = member.link.as_ref()?;
        Some(LinkView {
            from_id: state.id.to_string(),
            from: own.clone(),
            to_id: member.id.to_string(),
            to: name_of(state, member.id),
            rtt_seconds: link.rtt?.as_secs_f64(),
            jitter_seconds: link.jitter.as_secs_f64(),
            loss: link.loss,
            heard_ms: link.heard.map_or(0, |heard| u64::try_from(heard.as_millis()).unwrap_or(u64::MAX)),
            how: match link.how {
                How::Noise => "noise".to_owned(),
                How::Quic => "quic".to_owned(),
            },
        })
    });
    timed.collect()
}

pub(super) fn bans(state: &NodeState) -> (Vec<FleetBanView>, u64) {
    let mut holding: Vec<&Ban> = state.bans.iter().filter(|ban| !ban.withdrawn).collect();
    holding.sort_by_key(|ban| std::cmp::Reverse((ban.issued_unix_s, ban.issuer, ban.number)));
    let view = |ban: &&Ban| {
        let body = body_of(ban);
        FleetBanView {
            prefix: body.as_ref().map(|body| body.prefix.to_string()).unwrap_or_default(),
            issuer_id: ban.issuer.to_string(),
            issuer: name_of(state, ban.issuer),
            number: ban.number,
            limit: body.as_ref().and_then(|body| body.measure.rate()),
            reason: body.map(|body| body.reason).unwrap_or_default(),
            since: time(ban.issued_unix_s.saturating_mul(1000)),
            expires: time(ban.expires_unix_s.saturating_mul(1000)),
        }
    };
    (holding.iter().take(FLEET_BANS_SHOWN).map(view).collect(), holding.len() as u64)
}

pub(super) fn meter(state: &NodeState) -> FleetMeter {
    let carried = |what| state.traffic.get(what);
    let cell = |[in_messages, in_bytes, out_messages, out_bytes]: [Carried; 4]| FleetMeterCell {
        in_messages: carried(in_messages),
        in_bytes: carried(in_bytes),
        out_messages: carried(out_messages),
        out_bytes: carried(out_bytes),
    };
    let datagrams = [Carried::DatagramsIn, Carried::DatagramBytesIn, Carried::DatagramsOut, Carried::DatagramBytesOut];
    let streams = [Carried::StreamsIn, Carried::StreamBytesIn, Carried::StreamsOut, Carried::StreamBytesOut];
    FleetMeter {
        traffic: BTreeMap::from([("datagram".to_owned(), cell(datagrams)), ("stream".to_owned(), cell(streams))]),
        handshakes: carried(Carried::NoiseHandshakes) + carried(Carried::QuicHandshakes),
        connections: state.connections as u64,
        sessions: state.sessions as u64,
    }
}

pub(super) fn losses(state: &NodeState) -> FleetLosses {
    FleetLosses {
        core: Reason::ALL.iter().map(|reason| (reason.name().to_owned(), state.losses.get(*reason))).collect(),
        links: LinkReason::ALL
            .iter()
            .map(|reason| (reason.name().to_owned(), state.link_losses.get(*reason)))
            .collect(),
    }
}

pub(super) fn coverage(total: &FleetTotal, unix_ms: u64) -> FleetCoverage {
    FleetCoverage::new(u64::from(total.heard), u64::from(total.known), total.epoch, total.age_ms(unix_ms))
}

/// What all saw, with the names of members beside their addresses.
pub(super) fn total(total: &FleetTotal, names: &BTreeMap<IpAddr, String>, unix_ms: u64) -> FleetTotalView {
    let summary = &total.summary;
    let mut traffic: BTreeMap<(u8, &str), FleetTraffic> = BTreeMap::new();
    for (class, counts) in summary.totals() {
        let direction = match class.direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        let row = traffic.entry((class.protocol, direction)).or_insert_with(|| FleetTraffic {
            protocol: protocol_name(class.protocol),
            direction: direction.to_owned(),
            ..FleetTraffic::default()
        });
        row.packets += counts.packets;
        row.bytes += counts.bytes;
        row.flows += counts.flows;
    }
    let mut traffic: Vec<FleetTraffic> = traffic.into_values().collect();
    traffic.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    let sum = |of: fn(&FleetTraffic) -> u64| traffic.iter().map(of).sum();
    let of_address = |address: IpAddr| (address.to_string(), names.get(&address).cloned().unwrap_or_default());
    FleetTotalView {
        time: time((total.epoch + 1) * 10_000),
        seconds: EPOCH.as_secs_f64(),
        coverage: coverage(total, unix_ms),
        packets: sum(|row| row.packets),
        bytes: sum(|row| row.bytes),
        flows: sum(|row| row.flows),
        sources: top(summary.sources(), of_address),
        destinations: top(summary.destinations(), of_address),
        services: top(summary.services(), |service: Service| (service_name(service), String::new())),
        distinct_sources: distinct(summary.distinct_sources()),
        distinct_destinations: distinct(summary.distinct_destinations()),
        distinct_pairs: distinct(summary.distinct_pairs()),
        traffic,
    }
}

fn protocol_name(number: u8) -> String {
    hivewall_model::protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)
}

fn service_name(service: Service) -> String {
    let protocol = protocol_name(service.protocol);
    if service.port == 0 { protocol } else { format!("{protocol}/{}", service.port) }
}

fn top<K: Copy + Ord>(table: &Table<K>, named: impl Fn(K) -> (String, String)) -> FleetTop {
    let row = |row: Row<K>| {
        let (key, host) = named(row.key);
        FleetTopRow { key, host, bytes: row.bytes, bytes_max: row.bytes_max }
    };
    FleetTop { rows: table.top(TOP_ROWS).into_iter().map(row).collect(), hidden_bytes_max: table.cut() }
}

fn distinct(estimate: &Estimate) -> Distinct {
    let (low, high) = estimate.bounds();
    Distinct { estimate: estimate.estimate(), low, high }
}

/// `2m05s` and the like, for notes.
pub(super) fn span(seconds: u64) -> String {
    units::duration(Duration::from_secs(seconds))
}
