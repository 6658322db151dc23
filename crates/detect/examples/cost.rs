//! Measures the detectors: nanoseconds for each pulse and for each flow, one by one and together, and what they hold.
//!
//! `cargo run --release -p hivewall-detect --example cost`. Two kinds of traffic, made up beforehand, 5,000 pulses to the second:
//! *everyday* (connections of three pulses, look-ups and pings of 2,000 clients at 200 servers) and *flood* (a SYN or a datagram
//! from another address each). Ticks are included. Times are those of the processor, not of the clock, so that a busy machine disturbs
//! less; each figure is the best of three runs over new detectors.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program: it prints, and may stop")]

use std::net::IpAddr;
use std::time::Duration;

use hivewall_detect::{Detector, Event, Settings, Sign, all};
use hivewall_model::{EndReason, FlowId, Moves, Perspective, Pulse, Side, TcpFlags, TcpState, Timestamp, Tuple};

const PULSES: u32 = 300_000;
const PER_SECOND: u32 = 5_000;
const RUNS: usize = 3;

fn address(net: u8, number: u32) -> IpAddr {
    let [_, a, b, c] = number.to_be_bytes();
    IpAddr::from([net, a, b, c])
}

fn at(number: u32) -> Timestamp {
    Timestamp::from_secs(1_800_000_000) + Duration::from_secs(1) * number / PER_SECOND
}

/// A number that looks drawn.
fn mix(number: u32) -> u32 {
    let word = number.wrapping_mul(0x9e37_79b1);
    word ^ word >> 15
}

/// The first pulse of a flow with so many packets each way.
fn flow(number: u32, protocol: u8, ends: (IpAddr, IpAddr), ports: (u16, u16), packets: (u64, u64)) -> Pulse {
    let side = |packets: u64| Side { packets, ip_bytes: packets * 400, wire_bytes: packets * 414, flags: TcpFlags(0) };
    let new = |packets: u64| Moves { packets, ip_bytes: packets * 400 };
    Pulse {
        id: FlowId(number.into()),
        tuple: Tuple {
            protocol,
            client: ends.0,
            server: ends.1,
            client_port: ports.0,
            server_port: ports.1,
            vlans: [0; 2],
        },
        roles_known: protocol != 17,
        perspective: Perspective::Inbound,
        tunnel: None,
        ifindex: 2,
        start: at(number),
        last: at(number),
        to_server: side(packets.0),
        to_client: side(packets.1),
        new_to_server: new(packets.0),
        new_to_client: new(packets.1),
        tcp_state: None,
        is_first: true,
        ended: None,
        names: None,
        client_process: None,
        server_process: None,
        is_dropped: false,
    }
}

fn with_flags(mut pulse: Pulse, up: u8, down: u8) -> Pulse {
    (pulse.to_server.flags, pulse.to_client.flags) = (TcpFlags(up), TcpFlags(down));
    pulse.tcp_state = Some(TcpState::from_flags(pulse.to_server.flags, pulse.to_client.flags));
    pulse
}

/// Connections in three pulses, look-ups in two, pings in one; and how many flows that is.
fn everyday() -> (Vec<Pulse>, u32) {
    let (mut pulses, mut flows) = (Vec::new(), 0);
    while (pulses.len() as u32) < PULSES {
        let number = pulses.len() as u32;
        let ends = (address(50, mix(number) % 2_000), address(10, mix(number + 7) % 200));
        let port = 1024 + (number % 60_000) as u16;
        flows += 1;
        match number % 5 {
            0..=2 => {
                let service = match mix(number + 9) % 4 {
                    0 => 443,
                    1 => 80,
                    2 => 22,
                    _ => 5432,
                };
                let open = with_flags(flow(number, 6, ends, (port, service), (3, 3)), 0x1a, 0x1a);
                let later = Pulse { is_first: false, last: at(number + 1), ..open.clone() };
                let end = Pulse {
                    last: at(number + 2),
                    ended: Some(EndReason::Finished),
                    ..with_flags(later.clone(), 0x1b, 0x1b)
                };
                pulses.extend([open, later, end]);
            }
            3 => {
                let asked = flow(number, 17, ends, (port, 53), (1, 1));
                let end =
                    Pulse { is_first: false, ended: Some(EndReason::Idle), last: at(number + 1), ..asked.clone() };
                pulses.extend([asked, end]);
            }
            _ => pulses.push(flow(number, 1, ends, (8, 0), (1, 1))),
        }
    }
    (pulses, flows)
}

/// A SYN or a datagram each, from addresses that are made up.
fn flood() -> (Vec<Pulse>, u32) {
    let one = |number: u32| {
        let ends = (address(60, mix(number)), address(10, 1));
        if number.is_multiple_of(2) {
            with_flags(flow(number, 6, ends, (1024, 443), (1, 0)), TcpFlags::SYN, 0)
        } else {
            flow(number, 17, ends, (1024, 9000), (1, 0))
        }
    };
    ((0..PULSES).map(one).collect(), PULSES)
}

/// Time for all pulses and the ticks between them, the best of some runs.
fn time(pulses: &[Pulse], make: impl Fn() -> Vec<Box<dyn Detector>>) -> (Duration, Vec<Box<dyn Detector>>, usize) {
    let run = || {
        let (mut detectors, mut signs, mut said) = (make(), Vec::<Sign>::new(), 0);
        let begun = on_processor();
        for (number, pulse) in pulses.iter().enumerate() {
            let now = pulse.last;
            let is_tick = (number as u32).is_multiple_of(PER_SECOND);
            for detector in &mut detectors {
                detector.see(now, &Event::Pulse(pulse), &mut signs);
                if is_tick {
                    detector.see(now, &Event::Tick, &mut signs);
                }
            }
            said += signs.drain(..).count();
        }
        (on_processor().saturating_sub(begun), detectors, said)
    };
    (0..RUNS).map(|_| run()).min_by_key(|(time, ..)| *time).unwrap()
}

/// Time that this thread was on a processor so far (proc(5), `schedstat`: nanoseconds come first).
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Resident memory, kilobytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn main() {
    let settings = Settings::default();
    let names: Vec<&str> = all(&settings).iter().map(|detector| detector.definition().name).collect();
    let mixes = [("everyday", everyday()), ("flood", flood())];
    println!("{:<20} {:>12} {:>12}   ns for each pulse", "detector", "everyday", "flood");
    for (index, name) in names.iter().enumerate() {
        let one = || all(&settings).into_iter().skip(index).take(1).collect();
        let [a, b] =
            mixes.each_ref().map(|(_, (pulses, _))| time(pulses, one).0.as_nanos() as f64 / pulses.len() as f64);
        println!("{name:<20} {a:>12.0} {b:>12.0}");
    }
    for (name, (pulses, flows)) in &mixes {
        let before = resident();
        let (time, detectors, said) = time(pulses, || all(&settings));
        let each = |count: usize| time.as_nanos() as f64 / count as f64;
        let held: u64 = detectors.iter().map(|detector| detector.held().entries).sum();
        println!(
            "all together, {name}: {:.0} ns for each of {} pulses, {:.0} ns for each of {flows} flows; {said} signs, {held} entries held, \
             {} MB more resident",
            each(pulses.len()),
            pulses.len(),
            each(*flows as usize),
            resident().saturating_sub(before) / 1024,
        );
    }
}
