//! A fleet with everything in it, for examples and tests of every surface. Numbers are made up but agree with one another
//! where a reader would compare them.

use std::collections::BTreeMap;

use super::{
    AuditEntryView, Distinct, FleetAlarm, FleetAnswer, FleetBanView, FleetCoverage, FleetLosses, FleetMeter,
    FleetMeterCell, FleetTop, FleetTopRow, FleetTotalView, FleetTraffic, FleetView, HostMissing, InvitationView,
    LinkView, MemberCounts, MemberState, MemberView, PolicyStand, RefusedHost, RolloutView, StandKind,
};

const NOW: &str = "2026-11-26T10:00:09.000000Z";

fn id(number: u64) -> String {
    format!("{:016x}{number:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn member(name: &str, number: u64, state: MemberState, stand: StandKind) -> MemberView {
    let refused = stand == StandKind::Refused;
    MemberView {
        id: id(number),
        name: name.to_owned(),
        state,
        since: Some("2026-11-26T09:12:40.000000Z".to_owned()),
        addresses: vec![format!("10.0.0.{number}:7744")],
        labels: BTreeMap::from([("role".to_owned(), name.split('-').next().unwrap_or(name).to_owned())]),
        agent: "0.5.0".to_owned(),
        protocol: 1,
        flags: if number == 1 { vec!["enroller".to_owned()] } else { Vec::new() },
        is_self: number == 1,
        policy: PolicyStand {
            stand,
            version: 42,
            reason: if refused { "no interface `wan0` here".to_owned() } else { String::new() },
        },
    }
}

/// Twenty hosts of which one is down and two are in doubt.
pub fn example_fleet() -> FleetView {
    let mut members = vec![
        member("db-2", 4, MemberState::Down, StandKind::Unknown),
        member("web-7", 5, MemberState::Suspect, StandKind::Have),
        member("gate-1", 1, MemberState::Alive, StandKind::Enforced),
        member("db-1", 3, MemberState::Alive, StandKind::Refused),
    ];
    members.extend((6..=21).map(|n| member(&format!("web-{n:02}"), n, MemberState::Alive, StandKind::Enforced)));
    FleetView {
        time: NOW.to_owned(),
        cluster: "5eed0c1a57e40000c0ffee00deadbeef".to_owned(),
        own_id: id(1),
        own_name: "gate-1".to_owned(),
        joined: true,
        enroller: true,
        doubt: 0,
        coverage: FleetCoverage::new(17, 19, 179_561_160, 9_000),
        states: MemberCounts::of(&members),
        members,
        rollout: Some(rollout()),
        total: Some(total()),
        links: vec![link("db-1", 3, 0.0123, 0.0021, 0.02), link("web-06", 6, 0.000_42, 0.000_05, 0.0)],
        links_total: 2,
        bans: vec![FleetBanView {
            prefix: "192.0.2.7/32".to_owned(),
            issuer_id: id(3),
            issuer: "db-1".to_owned(),
            number: 5,
            limit: Some("10/m".to_owned()),
            reason: "port scan".to_owned(),
            since: "2026-11-26T09:58:00.000000Z".to_owned(),
            expires: "2026-11-26T10:58:00.000000Z".to_owned(),
        }],
        bans_total: 1,
        audit: vec![AuditEntryView {
            time: "2026-11-26T09:59:00.000000Z".to_owned(),
            author_id: id(1),
            author: "gate-1".to_owned(),
            number: 12,
            actor: "uid 0".to_owned(),
            what: "policy-applied".to_owned(),
            detail: "edge 42".to_owned(),
            hash: "ab".repeat(32),
        }],
        audit_total: 31,
        alarms: vec![FleetAlarm {
            time: "2026-11-26T09:57:00.000000Z".to_owned(),
            kind: "away".to_owned(),
            host: String::new(),
            detail: "this host stood still for 4.1s and accuses nobody for a while".to_owned(),
        }],
        alarms_total: 1,
        meter: meter(),
        losses: FleetLosses {
            core: BTreeMap::from([("unanswered".to_owned(), 14), ("version".to_owned(), 0)]),
            links: BTreeMap::from([("handshake_rate".to_owned(), 3)]),
        },
    }
}

fn rollout() -> RolloutView {
    RolloutView {
        name: "edge".to_owned(),
        version: 42,
        hash: "42".repeat(32),
        hosts: 19,
        have: 1,
        enforced: 17,
        refused: 1,
        unknown: 0,
        refusals: vec![RefusedHost {
            id: id(3),
            name: "db-1".to_owned(),
            reason: "no interface `wan0` here".to_owned(),
        }],
        frozen: false,
        confirm_until: Some("2026-11-26T10:02:00.000000Z".to_owned()),
        age_ms: 1_200,
    }
}

fn total() -> FleetTotalView {
    let top = |hidden: u64, rows: &[(&str, &str, u64)]| FleetTop {
        rows: rows
            .iter()
            .map(|(key, host, bytes)| FleetTopRow {
                key: (*key).to_owned(),
                host: (*host).to_owned(),
                bytes: *bytes,
                bytes_max: bytes + hidden,
            })
            .collect(),
        hidden_bytes_max: hidden,
    };
    let traffic = |protocol: &str, direction: &str, bytes: u64| FleetTraffic {
        protocol: protocol.to_owned(),
        direction: direction.to_owned(),
        packets: bytes / 800,
        bytes,
        flows: bytes / 100_000,
    };
    FleetTotalView {
        time: "2026-11-26T10:00:00.000000Z".to_owned(),
        seconds: 10.0,
        coverage: FleetCoverage::new(17, 19, 179_561_160, 9_000),
        packets: 1_750_000,
        bytes: 1_400_000_000,
        flows: 14_000,
        traffic: vec![
            traffic("tcp", "in", 900_000_000),
            traffic("tcp", "out", 450_000_000),
            traffic("udp", "in", 50_000_000),
        ],
        sources: top(8_400_000, &[("10.0.0.3", "db-1", 600_000_000), ("198.51.100.9", "", 120_000_000)]),
        destinations: top(7_000_000, &[("10.0.0.6", "web-06", 410_000_000), ("203.0.113.80", "", 90_000_000)]),
        services: top(0, &[("tcp/443", "", 800_000_000), ("tcp/5432", "", 500_000_000), ("udp/53", "", 50_000_000)]),
        distinct_sources: Distinct { estimate: 12_300.0, low: 11_920.0, high: 12_690.0 },
        distinct_destinations: Distinct { estimate: 840.0, low: 814.0, high: 867.0 },
        distinct_pairs: Distinct { estimate: 40_500.0, low: 39_250.0, high: 41_800.0 },
    }
}

fn link(to: &str, number: u64, rtt: f64, jitter: f64, loss: f64) -> LinkView {
    LinkView {
        from_id: id(1),
        from: "gate-1".to_owned(),
        to_id: id(number),
        to: to.to_owned(),
        rtt_seconds: rtt,
        jitter_seconds: jitter,
        loss,
        heard_ms: 310,
        how: if number == 3 { "quic" } else { "noise" }.to_owned(),
    }
}

fn meter() -> FleetMeter {
    let cell = |messages: u64, bytes: u64| FleetMeterCell {
        in_messages: messages,
        in_bytes: bytes,
        out_messages: messages + 9,
        out_bytes: bytes + 1200,
    };
    FleetMeter {
        traffic: BTreeMap::from([
            ("datagram".to_owned(), cell(52_000, 6_100_000)),
            ("stream".to_owned(), cell(610, 4_400_000)),
        ]),
        handshakes: 44,
        connections: 6,
        sessions: 18,
    }
}

/// An answer that one host of twenty did not give its part to.
pub fn example_answer() -> FleetAnswer {
    let missing = HostMissing { id: id(5), name: "web-7".to_owned(), reason: "no answer within 5s".to_owned() };
    FleetAnswer::of(19, vec![missing], 5_004)
}

/// An invitation that one of two hosts used.
pub fn example_invitation() -> InvitationView {
    InvitationView {
        id: "7f3a09c2".to_owned(),
        issued: Some("2026-11-26T09:00:00.000000Z".to_owned()),
        expires: "2026-11-27T09:00:00.000000Z".to_owned(),
        uses: 2,
        used: 1,
        state: "open".to_owned(),
        enroller: false,
        labels: BTreeMap::from([("role".to_owned(), "web".to_owned())]),
        note: "rack 4".to_owned(),
    }
}
