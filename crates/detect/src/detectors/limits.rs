//! The stated limit of each detector against a million of whatever it remembers: one row a detector.
//!
//! Invariant: a detector without a row fails the test, so a new one states what floods it.

use std::sync::Arc;

use hivewall_model::{DnsMessage, EndReason, Learned, Perspective, Process, Pulse, Reason, TcpFlags, Tuple};

use super::ALL;
use crate::testing::{Make, Watch, arp, host, invalid, public, s};
use crate::{Event, Held, Listener, Login};

const MILLION: u32 = 1_000_000;
/// No detector may state more; at some hundred bytes an entry that is some ten megabytes each.
const ENTRIES_MAX: u64 = 1 << 16;

/// What floods a detector.
enum Flood {
    /// A flow from another client to another server each time, otherwise like this one.
    Flows(Pulse),
    /// Anything else, by number.
    Events(fn(&mut Watch, u32)),
}
use Flood::{Events, Flows};

/// A detector's name, what floods it, and what it has to say of that.
type Row = (&'static str, Flood, fn(Held) -> bool);

/// Remembers nothing of whom it has not room for, and counts each.
fn counted(held: Held) -> bool {
    held.entries > held.entries_max / 4 && held.entries + held.given_up >= MILLION.into()
}

fn tcp(port: u16, up: u64, down: u64) -> Flood {
    Flows(Make::tcp((host(0), 40_000), (host(1), port), up, down).at(s(1)).ended(EndReason::Finished).0)
}

fn udp(port: u16, up: (u64, u64), down: (u64, u64)) -> Flood {
    Flows(Make::udp((host(0), 40_000), (host(1), port), up, down).at(s(1)).0)
}

fn login(watch: &mut Watch, number: u32) {
    let (user, from) = (format!("user{number}").into(), Some(public(number)));
    let login = Login { time: s(1), service: "ssh".into(), user, from, succeeded: false, user_exists: None };
    watch.event(s(1), &Event::Login(&login));
}

fn name(watch: &mut Watch, number: u32) {
    let client = host(number);
    let tuple = Tuple { protocol: 17, client, server: host(53), client_port: 4, server_port: 53, vlans: [0; 2] };
    let name = format!("qxzkvbw{number:07}.qxz{number}.com").into();
    let message = DnsMessage { response: true, rcode: 3, qtype: 16, name, ..DnsMessage::default() };
    watch.said(s(1), tuple, false, &Learned::Dns(Arc::new(message)));
}

fn process(number: u32) -> Arc<Process> {
    let executable = Some(format!("/opt/{number}").into());
    Arc::new(Process { pid: number, comm: "x".into(), executable, ..Process::default() })
}

fn listener(watch: &mut Watch, number: u32) {
    let (port, protocol, process) =
        (number as u16, if number.is_multiple_of(2) { 6 } else { 17 }, Some(process(number)));
    let listener = Listener { time: s(1), protocol, address: host(1), port, process };
    watch.event(s(1), &Event::Listener(&listener));
}

fn program(watch: &mut Watch, number: u32) {
    let mut made = Make::tcp((host(1), 40_000), (public(1), 443), 100, 100).at(s(1));
    (made.0.client_process, made.0.perspective) = (Some(process(number)), Perspective::Outbound);
    watch.pulse(&made);
}

fn firewall(watch: &mut Watch, number: u32) {
    watch.event(s(1), &Event::Firewall { what: "a table is new", is_ours: number.is_multiple_of(2) });
    watch.signs.clear();
}

fn rows() -> Vec<Row> {
    let syn = || Flows(Make::syn(host(0), 40_000, host(1), 80).at(s(1)).0);
    let refused = || Flows(Make::refused(host(0), 40_000, host(1), 80).at(s(1)).0);
    let ack = Make::flow(6, host(0), 40_000, host(1), 80).roles_guessed().client_says(1, 40, TcpFlags::ACK).at(s(1));
    let address: fn(&mut Watch, u32) = |watch, number| watch.stray(&arp(s(1), 2, (7, host(number)), (1, host(1))));
    vec![
        ("port_scan", syn(), counted),
        ("slow_scan", refused(), counted),
        ("host_sweep", syn(), counted),
        ("arp_scan", Events(|watch, number| watch.stray(&arp(s(1), 1, (7, host(number)), (0, public(5))))), counted),
        ("syn_flood", syn(), counted),
        ("tcp_flood", Flows(ack.0), counted),
        ("udp_flood", udp(80, (1, 128), (0, 0)), counted),
        ("icmp_flood", Flows(Make::ping(host(0), host(1), 1, 0).at(s(1)).0), counted),
        ("amplification", udp(53, (0, 0), (1, 400)), counted),
        ("arp_spoof", Events(address), counted),
        ("address_conflict", Events(address), counted),
        (
            "invalid_packets",
            Events(|watch, number| {
                watch.stray(&invalid(s(1), Reason::BadUdpHeader, Some(host(number)), Some(public(number))));
            }),
            counted,
        ),
        ("traffic_spike", udp(53, (1, 60), (1, 60)), counted),
        ("high_bandwidth", udp(53, (1, 60), (1, 60)), counted),
        ("heavy_talker", udp(53, (1, 60), (1, 60)), counted),
        ("brute_force", tcp(22, 2_000, 2_500), counted),
        ("failed_logins", Events(login), counted),
        ("password_spray", Events(login), counted),
        ("dns_tunnel", Events(name), counted),
        ("dga", Events(name), counted),
        ("icmp_tunnel", Flows(Make::ping(host(0), host(1), 1, 1).at(s(1)).0), counted),
        ("beacon", tcp(443, 300, 300), counted),
        ("exfiltration", tcp(4_444, 9_000, 90), counted),
        ("lateral_movement", tcp(445, 300, 300), counted),
        // A host has no more ports than it has: the programs at those that are handed out are what is many.
        ("new_listener", Events(listener), |held| held.entries > 1_000 && held.given_up > 100_000),
        ("new_outbound", Events(program), counted),
        // Two counters.
        ("firewall_tampering", Events(firewall), |held| held.entries == 0),
    ]
}

/// What is wrong with a detector that was flooded; nothing if nothing is.
fn fault((name, flood, is_right): &Row) -> Option<String> {
    let Some((definition, _)) = ALL.iter().find(|(definition, _)| definition.name == *name) else {
        return Some(format!("there is no detector {name}"));
    };
    let mut watch = Watch::new(definition);
    let mut made = Make::flow(0, host(0), 0, host(1), 0);
    for number in 0..MILLION {
        match flood {
            Flows(pulse) => {
                if number == 0 {
                    made.0 = pulse.clone();
                }
                (made.0.tuple.client, made.0.tuple.server) = (host(number), host(0xff_ffff - number));
                made.0.id.0 = number.into();
                watch.pulse(&made);
            }
            Events(event) => event(&mut watch, number),
        }
        let held = watch.held();
        if held.entries > held.entries_max {
            return Some(format!("{name} exceeds its limit after {number}: {held:?}"));
        }
    }
    // A tick speaks of whoever has news, and no more than that may have been kept for it.
    watch.pass(s(3));
    let held = watch.held();
    let is_stated = held.entries_max <= ENTRIES_MAX;
    (!is_stated || !is_right(held)).then(|| format!("{name}: {held:?}, {} signs", watch.signs.len()))
}

#[test]
fn a_million_of_anything_stay_within_the_limit_of_every_detector() {
    let rows = rows();
    let named: Vec<&str> = rows.iter().map(|(name, ..)| *name).collect();
    let all: Vec<&str> = ALL.iter().map(|(definition, _)| definition.name).collect();
    assert_eq!(named, all, "each detector has a row, in the order of the list");
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let faults: Vec<String> = std::thread::scope(|scope| {
        let part = |worker| rows.iter().skip(worker).step_by(workers).filter_map(fault).collect::<Vec<_>>();
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || part(worker))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
