//! Whoever is refused by a rule that rejects is told at once, the sender out there as well as the local program. Needs root.
//!
//! Sockets of real hosts are the judges: what they take for an answer is one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use hivewall_datapath::policy::{PolicyControl, PolicyWord, VerdictCause};
use hivewall_host::link::InterfaceFilter;
use hivewall_host::policy::PolicyMaps;
use hivewall_host::source::{Batch, EbpfOptions, EbpfSource, Hook, Source as _};
use hivewall_model::Direction;
use hivewall_policy::{Action, Counters, Established, Mode, Rule, Ruleset, Stage, compile};
use hivewall_testkit::netns::{Host, Lab, Offloads};
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::udp_blast;

const A: &[&str] = &["10.0.0.1/24", "fd00::1/64"];
const B: &[&str] = &["10.0.0.2/24", "fd00::2/64"];
const PATIENCE: Duration = Duration::from_secs(10);
const TCP: u8 = 6;
const UDP: u8 = 17;

fn to(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn rule(direction: Direction, proto: u8, port: u16, action: Action) -> Rule {
    let id = format!("{direction:?}-{proto}-{port}-{action:?}");
    Rule {
        protocols: if proto == 0 { vec![] } else { vec![proto] },
        destination_ports: if port == 0 { vec![] } else { vec![port..=port] },
        action,
        established: Established::Reset,
        ..Rule::plain(id, Stage::Tier(0), Some(direction))
    }
}

/// A host with the datapath on it, and how its policy is changed.
struct Guarded {
    source: EbpfSource,
    maps: PolicyMaps,
    counters: Counters,
    epoch: u32,
}

impl Guarded {
    fn new(host: &Host, interface: &str, hook: Hook) -> Self {
        let options = EbpfOptions {
            filter: InterfaceFilter::new([interface], false).unwrap(),
            lines: Some(64),
            slots: Some(1 << 12),
            sweep: Duration::from_secs(3600),
            hook,
            ..EbpfOptions::default()
        };
        let source = host.enter(|| EbpfSource::open(options).unwrap()).unwrap();
        let maps = source.policy_maps().unwrap();
        Self { source, maps, counters: Counters::default(), epoch: 0 }
    }

    fn enforce(&mut self, rules: Vec<Rule>) {
        self.epoch += 1;
        let ruleset = Ruleset { name: "test".to_owned(), version: 1, mode: Mode::Enforce, rules, ..Ruleset::default() };
        let tables = compile(&ruleset, &mut self.counters).unwrap();
        let slot = self.maps.free_slot();
        self.maps.fill(slot, &tables, &[]).unwrap();
        let control = PolicyControl {
            word: self.epoch | slot << 16 | PolicyWord::ENFORCE | PolicyWord::TABLES,
            ticks_per_second: self.source.ticks().1,
            ..PolicyControl::default()
        };
        self.maps.set_control(control).unwrap();
    }

    fn packets(&self, cause: VerdictCause) -> u64 {
        self.maps.hits_of(cause as u32).unwrap().packets
    }
}

fn pair(lab: &Lab, offloads: Offloads) -> (Host, Host) {
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0").addresses(A, B).offloads(offloads).up().unwrap();
    (a, b)
}

/// How a connection attempt from a host ends.
fn connect(from: &Host, to: SocketAddr) -> Result<(), ErrorKind> {
    let outcome = from.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
    outcome.map(drop).map_err(|error| error.kind())
}

/// What a program is told that sends a datagram and waits for an answer.
fn ask(from: &Host, to: SocketAddr) -> i32 {
    let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
    from.enter(|| {
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(&[7; 300]).unwrap();
        socket.recv(&mut [0; 10]).unwrap_err().raw_os_error().unwrap()
    })
    .unwrap()
}

/// Both families and protocols from `asking` to the other host, where somebody listens on the TCP port.
fn everything_is_refused_at_once(asking: &Host, asked: &Host, addresses: [&str; 2]) {
    for address in addresses {
        let (tcp, udp) = (to(&format!("{address}:80")), to(&format!("{address}:53")));
        let _listener = asked.enter(|| TcpListener::bind(tcp).unwrap()).unwrap();
        assert_eq!(connect(asking, tcp), Err(ErrorKind::ConnectionRefused), "{tcp}");
        // What Linux makes of "administratively prohibited" (icmp_err_convert, icmpv6_err_convert).
        let want = if udp.is_ipv4() { libc_error::EHOSTUNREACH } else { libc_error::EACCES };
        assert_eq!(ask(asking, udp), want, "{udp}");
    }
}

/// Numbers of errors (asm-generic/errno.h).
mod libc_error {
    pub(super) const EACCES: i32 = 13;
    pub(super) const EHOSTUNREACH: i32 = 113;
}

fn rejecting(direction: Direction) -> Vec<Rule> {
    vec![rule(direction, TCP, 80, Action::Reject), rule(direction, UDP, 53, Action::Reject)]
}

#[test]
fn a_remote_sender_is_told_at_once_whatever_may_be_sent_otherwise() {
    require_root!();
    for (offloads, hook) in [(Offloads::NONE, Hook::Tcx), (Offloads::ALL, Hook::Tcx), (Offloads::ALL, Hook::Clsact)] {
        let lab = Lab::new("remote").unwrap();
        let (a, b) = pair(&lab, offloads);
        let mut guarded = Guarded::new(&b, "eth0", hook);
        // Nothing goes out by the rules: the answer is not asked about.
        let mut rules = rejecting(Direction::Ingress);
        rules.push(rule(Direction::Egress, 0, 0, Action::Drop));
        guarded.enforce(rules);
        everything_is_refused_at_once(&a, &b, ["10.0.0.2", "[fd00::2]"]);
        // Counted when they are handed over, as flows of their own.
        let mut batch = Batch::default();
        b.enter(|| guarded.source.finish(&mut batch).unwrap()).unwrap();
        assert_eq!(guarded.packets(VerdictCause::Reply), 4);
        assert_eq!(guarded.packets(VerdictCause::ReplyOver), 0);
    }
}

#[test]
fn a_local_program_is_told_at_once() {
    require_root!();
    for (offloads, hook) in [(Offloads::NONE, Hook::Tcx), (Offloads::ALL, Hook::Tcx), (Offloads::ALL, Hook::Clsact)] {
        let lab = Lab::new("local").unwrap();
        let (a, b) = pair(&lab, offloads);
        let mut guarded = Guarded::new(&b, "eth0", hook);
        let mut rules = rejecting(Direction::Egress);
        rules.push(rule(Direction::Ingress, 0, 0, Action::Drop));
        guarded.enforce(rules);
        everything_is_refused_at_once(&b, &a, ["10.0.0.1", "[fd00::1]"]);
    }
}

#[test]
fn beyond_a_thousand_a_second_refused_packets_are_dropped_in_silence() {
    require_root!();
    let lab = Lab::new("rate").unwrap();
    let (a, b) = pair(&lab, Offloads::NONE);
    let mut guarded = Guarded::new(&b, "eth0", Hook::Tcx);
    guarded.enforce(rejecting(Direction::Ingress));
    let start = std::time::Instant::now();
    a.enter(|| udp_blast(to("10.0.0.2:53"), 20_000, 32, 1).unwrap()).unwrap();
    let mut batch = Batch::default();
    b.enter(|| guarded.source.finish(&mut batch).unwrap()).unwrap();
    let (told, silent) = (guarded.packets(VerdictCause::Reply), guarded.packets(VerdictCause::ReplyOver));
    assert_eq!(told + silent, 20_000);
    let most = 1000 + start.elapsed().as_millis() as u64 + 10;
    assert!((1000..=most).contains(&told), "{told} of at most {most}");
}

#[test]
fn a_connection_that_a_new_policy_refuses_is_reset_at_both_ends() {
    require_root!();
    for (offloads, address) in [(Offloads::NONE, "10.0.0.2:80"), (Offloads::ALL, "[fd00::2]:80")] {
        let lab = Lab::new("reset").unwrap();
        let (a, b) = pair(&lab, offloads);
        let mut guarded = Guarded::new(&b, "eth0", Hook::Tcx);
        guarded.enforce(vec![rule(Direction::Ingress, TCP, 80, Action::Accept)]);
        let listener = b.enter(|| TcpListener::bind(to(address)).unwrap()).unwrap();
        let mut client = a.enter(|| TcpStream::connect(to(address)).unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"before").unwrap();
        server.read_exact(&mut [0; 6]).unwrap();
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        guarded.enforce(vec![rule(Direction::Ingress, TCP, 80, Action::Drop)]);
        // More than a packet holds, so that buffers of many segments are answered too.
        for end in [&mut client, &mut server] {
            end.write_all(&[9; 16_000]).unwrap();
            assert_eq!(end.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionReset, "{address}");
        }
    }
}
