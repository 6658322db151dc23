//! The host around the flows: load, sockets by state, kernel drops, half-open targets, what the edges tell of themselves.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Desk, host, patient, socket, tcp};
use hivewall_datapath::proto;
use hivewall_engine::{Event, Limits};
use hivewall_model::{CpuTimes, Disk, Filesystem, KernelDrop, SocketCensus, SocketChange, SocketState, SystemReading};
use hivewall_view::{AgentCost, Attribution, FamilyCount, HistoryInfo};

fn reading(uptime: f64, user: f64, idle: f64, busy: f64, read: u64) -> SystemReading {
    SystemReading {
        cpus: 4,
        cpu: CpuTimes { user, idle, iowait: idle / 10.0, ..CpuTimes::default() },
        load: [1.0, 0.5, 0.25],
        disks: vec![Disk { name: "sda".into(), read_bytes: read, written_bytes: 0, busy_seconds: busy }],
        filesystems: vec![Filesystem {
            mount: "/".into(),
            size_bytes: 100,
            available_bytes: 40,
            ..Filesystem::default()
        }],
        conntrack: Some((10, 100)),
        uptime_seconds: uptime,
        ..SystemReading::default()
    }
}

#[test]
fn load_is_what_passed_between_two_readings() {
    let mut desk = Desk::new(patient());
    assert_eq!(desk.snapshot().system, None);
    desk.step(Event::System(reading(100.0, 50.0, 300.0, 5.0, 1000)));
    let first = desk.snapshot().system.unwrap();
    assert_eq!(
        (first.cpu_utilization, first.disks["sda"].utilization, first.disks["sda"].read_bytes),
        (0.0, 0.0, 1000)
    );
    desk.step(Event::System(reading(102.0, 52.0, 305.0, 6.0, 5000)));
    let load = desk.snapshot().system.unwrap();
    // 2 s in programs, 5 s idle, 0.5 s waiting.
    assert_eq!((load.cpu_utilization, load.cpu_modes["idle"], load.cpu_modes["iowait"]), (0.2667, 0.6667, 0.0667));
    assert_eq!((load.disks["sda"].utilization, load.disks["sda"].read_bytes_per_second), (0.5, 2000.0));
    assert_eq!((load.cpu_seconds["user"], load.load_average.len(), load.cpus), (52.0, 3, 4));
    assert_eq!((load.filesystems["/"].available_bytes, load.conntrack.as_ref().unwrap().entries), (40, 10));
    desk.step(Event::System(reading(102.0, 52.0, 305.0, 6.0, 5000)));
    assert_eq!(desk.snapshot().system.unwrap(), load, "the same moment again says nothing new");
}

#[test]
fn sockets_are_those_of_the_latest_census_and_transitions_those_since_the_start() {
    let mut desk = Desk::new(patient());
    let tcp = vec![(SocketState::Listen, [3, 2]), (SocketState::TimeWait, [70, 0])];
    desk.step(Event::Census(SocketCensus { tcp: vec![(SocketState::Listen, [9, 9])], udp: [0, 0] }));
    desk.step(Event::Census(SocketCensus { tcp, udp: [5, 6] }));
    let moves = [(SocketState::SynSent, SocketState::Established), (SocketState::Established, SocketState::FinWait1)];
    for (from, to) in moves.into_iter().chain(moves) {
        desk.sockets([socket(proto::TCP, "10.0.0.1:1", "192.0.2.1:2", SocketChange::State { from, to })]);
    }
    let sockets = desk.snapshot().sockets;
    assert_eq!(sockets.tcp.len(), 2);
    assert_eq!(
        (sockets.tcp["LISTEN"].clone(), sockets.udp),
        (FamilyCount { ipv4: 3, ipv6: 2 }, FamilyCount { ipv4: 5, ipv6: 6 })
    );
    let seen: Vec<(&str, u64)> = sockets.transitions.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(seen, [("ESTABLISHED>FIN_WAIT1", 2), ("SYN_SENT>ESTABLISHED", 2)]);
}

fn dropped(reason: &str, ifindex: u32, protocol: u8, packets: u64) -> KernelDrop {
    KernelDrop { reason: reason.into(), ifindex, protocol, packets, latest: None }
}

#[test]
fn kernel_drops_come_most_first_with_names_and_the_rest_is_added_up() {
    let mut desk = Desk::new(patient());
    desk.know(host(&["10.0.0.1"]));
    let latest = Some(("192.0.2.1:5".parse().unwrap(), "10.0.0.1:0".parse().unwrap()));
    let mut drops = vec![
        dropped("no_socket", 1, 17, 5),
        KernelDrop { latest, ..dropped("tcp_csum", 0, 6, 9) },
        dropped("not_specified", 7, 0, 0),
        dropped("unhandled_proto", 7, 0, 1),
    ];
    desk.step(Event::Drops(drops.clone()));
    let rows = desk.snapshot().kernel_drops;
    let text: Vec<String> =
        rows.iter().map(|row| format!("{} {:?} {} {}", row.reason, row.interface, row.protocol, row.packets)).collect();
    assert_eq!(text, ["tcp_csum \"\" tcp 9", "no_socket \"eth0\" udp 5", "unhandled_proto \"if7\" other 1"]);
    assert_eq!(
        (rows[0].last_source.as_deref(), rows[0].last_destination.as_deref()),
        (Some("192.0.2.1:5"), Some("10.0.0.1"))
    );
    drops.extend((0..500).map(|n| dropped(&format!("r{n}"), 1, 6, 3)));
    desk.step(Event::Drops(drops));
    let rows = desk.snapshot().kernel_drops;
    assert_eq!((rows.len(), rows[200].reason.as_str()), (201, "(other)"));
    assert_eq!(rows.iter().map(|row| row.packets).sum::<u64>(), 5 + 9 + 1 + 1500);
}

#[test]
fn half_open_targets_follow_the_handshake() {
    let mut desk = Desk::new(Limits::default());
    let targets = |desk: &Desk| -> Vec<(String, u64)> {
        desk.snapshot().half_open_targets.into_iter().map(|row| (row.target, row.half_open)).collect()
    };
    let victim = "10.0.0.1:80";
    desk.feed((0..50).map(|n| tcp(&format!("192.0.2.{n}:1000"), victim).flags("SO").at(0)));
    desk.feed((0..20).map(|n| tcp("[fd00::9]:1", &format!("[fd00::1]:{}", 1 + n)).flags("SO").at(0)));
    let rows = targets(&desk);
    assert_eq!(
        (rows.len(), rows[0].clone(), rows[1].clone()),
        (10, (victim.to_owned(), 50), ("[fd00::1]:1".to_owned(), 1))
    );
    desk.feed([tcp(victim, "192.0.2.7:1000").flags("SA").at(1)]);
    assert_eq!(targets(&desk)[0].1, 50, "answered and not confirmed");
    desk.feed([tcp("192.0.2.7:1000", victim).flags("A").at(2), tcp(victim, "192.0.2.8:1000").flags("RA").at(2)]);
    assert_eq!(targets(&desk)[0].1, 48);
    desk.run(400_000);
    assert_eq!(targets(&desk), []);
}

#[test]
fn what_the_edges_tell_of_themselves_is_shown_with_what_the_engine_counts() {
    let mut desk = Desk::new(patient());
    assert_eq!(desk.snapshot().attribution.source, "none", "a replay has no sockets");
    let attribution =
        Attribution { source: "kernel-events".into(), processes: 12, attributed_flows: 99, ..Attribution::default() };
    let agent = AgentCost { cpu_share: 0.25, peeks: 3, ..AgentCost::default() };
    let history = HistoryInfo { directory: "/var/lib/x".into(), flows: 7, ..HistoryInfo::default() };
    desk.step(Event::AboutSelf { attribution, agent, history });
    let snapshot = desk.snapshot();
    assert_eq!((snapshot.attribution.source.as_str(), snapshot.attribution.processes), ("kernel-events", 12));
    assert_eq!(snapshot.attribution.attributed_flows, 0, "counted here");
    assert_eq!((snapshot.agent.cpu_share, snapshot.agent.peeks, snapshot.history.flows), (0.25, 3, 7));
    assert!(snapshot.security_alerts.is_empty());
}
