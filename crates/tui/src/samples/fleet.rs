//! The fleet of the sample agents: none, one host alone, and thousands.

use hivewall_view::fleet::{
    FleetCoverage, FleetTopRow, FleetView, LinkView, MEMBERS_SHOWN, MemberCounts, MemberState, MemberView, PolicyStand,
    StandKind, example_fleet,
};

use super::Load;

/// Hosts of the large fleet.
const HOSTS: u64 = 4321;

pub(crate) fn fleet(load: Load) -> Option<FleetView> {
    let example = example_fleet();
    match load {
        Load::Empty => None,
        Load::One => Some(FleetView {
            joined: false,
            coverage: FleetCoverage::new(1, 1, 179_561_160, 3_000),
            states: MemberCounts { alive: 1, ..MemberCounts::default() },
            members: example.members.iter().filter(|member| member.is_self).cloned().collect(),
            rollout: None,
            total: example.total.clone().map(|mut total| {
                total.coverage = FleetCoverage::new(1, 1, 179_561_160, 3_000);
                for top in [&mut total.sources, &mut total.destinations, &mut total.services] {
                    top.hidden_bytes_max = 0;
                    top.rows.truncate(1);
                    top.rows.iter_mut().for_each(|row| row.bytes_max = row.bytes);
                }
                total
            }),
            links: Vec::new(),
            links_total: 0,
            bans: Vec::new(),
            bans_total: 0,
            alarms: Vec::new(),
            alarms_total: 0,
            ..example
        }),
        Load::Thousands => Some(many(example)),
    }
}

fn many(mut fleet: FleetView) -> FleetView {
    let members: Vec<MemberView> = (0..HOSTS).map(member).collect();
    fleet.states = MemberCounts::of(&members);
    fleet.members = members;
    fleet.members.sort_by_key(|member| member.state == MemberState::Alive);
    fleet.members.truncate(MEMBERS_SHOWN);
    fleet.coverage = FleetCoverage::new(4190, 4296, 179_561_160, 9_000);
    if let Some(rollout) = &mut fleet.rollout {
        (rollout.hosts, rollout.have, rollout.enforced, rollout.unknown) = (4296, 12, 4271, 12);
    }
    if let Some(total) = &mut fleet.total {
        total.coverage = fleet.coverage;
        total.sources.rows.extend((0..100).map(|n| source(n, total.sources.hidden_bytes_max)));
    }
    fleet.links = (0..200).map(link).collect();
    fleet.links_total = HOSTS - 1;
    fleet
}

fn member(n: u64) -> MemberView {
    let state = match n {
        7 | 2001 => MemberState::Down,
        300..=320 => MemberState::Suspect,
        4000 => MemberState::Revoked,
        4001 | 4002 => MemberState::Left,
        _ => MemberState::Alive,
    };
    let stand = match n % 400 {
        5 => StandKind::Refused,
        9 => StandKind::Have,
        _ => StandKind::Enforced,
    };
    MemberView {
        id: format!("{:032x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        // The record of a host may come after the host.
        name: if n == 7 { String::new() } else { format!("node-{n:04}.rack-{}.example.net", n % 40) },
        state,
        since: Some(format!("2026-11-21T09:{:02}:{:02}.000000Z", n % 60, n * 7 % 60)),
        addresses: vec![if n % 3 == 2 {
            format!("[2001:db8:{n:x}::1]:7744")
        } else {
            format!("10.{}.{}.1:7744", n / 250, n % 250)
        }],
        labels: [("env", "prod"), ("role", ["web", "db", "cache"][n as usize % 3])]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        agent: if n % 50 == 3 { "0.4.9" } else { "0.5.0" }.to_owned(),
        protocol: 1,
        flags: if n == 1 { vec!["enroller".to_owned()] } else { Vec::new() },
        is_self: n == 1,
        policy: PolicyStand {
            stand,
            version: 42,
            reason: if stand == StandKind::Refused { "no interface `wan0` here".to_owned() } else { String::new() },
        },
    }
}

fn source(n: u64, hidden: u64) -> FleetTopRow {
    let bytes = 100_000_000 / (n + 2);
    FleetTopRow {
        key: if n % 3 == 2 { format!("2001:db8:{n:x}::1") } else { format!("10.{}.{}.1", n / 250, n % 250) },
        host: format!("node-{n:04}.rack-{}.example.net", n % 40),
        bytes,
        bytes_max: bytes + hidden,
    }
}

fn link(n: u64) -> LinkView {
    LinkView {
        from_id: (n % 2).to_string(),
        from: format!("node-{:04}.rack-{}.example.net", n % 2, n % 2),
        to_id: (n + 2).to_string(),
        to: format!("node-{:04}.rack-{}.example.net", n + 2, (n + 2) % 40),
        rtt_seconds: 0.04 / (n + 1) as f64,
        jitter_seconds: 0.004 / (n + 1) as f64,
        loss: if n % 9 == 4 { 0.03 } else { 0.0 },
        heard_ms: n * 10,
        how: if n.is_multiple_of(5) { "quic" } else { "noise" }.to_owned(),
    }
}
