//! Two peers and the host between them that forwards what a policy lets through.
//!
//! Frames are put on the wire as they are and recognised by their last eight bytes: a word of ours and a number. (The
//! number alone would not do: a report of the listeners to ff02::2 ends in a 2.) A mark that every policy
//! accepts is sent behind them: frames of one sender arrive in order, so that what has not come before the mark will not
//! come. Invariant: whatever address a packet has, the host sends it out by the other interface.

use std::collections::HashSet;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use hivewall_model::Direction;
use hivewall_policy::oracle::{self, Facts, Transport, has_ports, has_types};
use hivewall_policy::sample::Draws;
use hivewall_policy::{Action, Addresses, Limit, Mode, Rule, Ruleset, Stage};
use hivewall_testkit::netns::{Host, Lab, Offloads};
use hivewall_testkit::packet::{ACK, Packet, SYN, frame};
use hivewall_testkit::traffic::raw_frames;
use ipnet::IpNet;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

/// What the payload of every frame of ours begins with.
const WORD: [u8; 4] = *b"hive";
/// Number of the mark behind every batch.
const MARK: u32 = u32::MAX;
/// UDP port of the mark.
const MARK_PORT: u16 = 7;
const MARK_FROM: &str = "172.31.0.1";
const MARK_TO: &str = "172.31.0.2";

/// Flows that are drawn under each policy.
const FLOWS: usize = 4000;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// Hardware addresses: to, from.
type Macs = ([u8; 6], [u8; 6]);

/// Random policies, each followed by another while flows live: what passes is what the oracle accepts.
pub(crate) fn compare(bench: &Bench, policies: u64, apply: impl Fn(&Bench, &Ruleset, &[IpNet]) -> String) {
    let (mut pairs, mut accepted) = (0, 0);
    for seed in 0..policies {
        let mut draws = Draws::seeded(seed);
        let (first, second) = (with_mark(draws.ruleset()), with_mark(draws.ruleset()));
        let bans = [bans_of(&mut draws), bans_of(&mut draws)];
        let flows = random_flows(&mut draws, FLOWS);
        bench.forget_flows();
        let text = apply(bench, &first, &bans[0]);
        let told =
            |ruleset: &Ruleset, bans: &[IpNet], text: &str| format!("seed {seed}, bans {bans:?}\n{ruleset:#?}\n{text}");
        let passed = bench.send_forth(&flows, false);
        let is_first = |flow: &Flow| is_accepted(&first, &bans[0], flow);
        check_pass("first packets", &passed, &flows, is_first, &|| told(&first, &bans[0], &text));
        let living: Vec<Flow> = flows.iter().filter(|flow| is_first(flow) && flow.is_tracked()).cloned().collect();
        let passed = bench.send_back(&living);
        check_pass("replies", &passed, &living, |_| true, &|| told(&first, &bans[0], &text));
        let reported: Vec<Flow> =
            living.iter().filter(|flow| flow.may_be_reported() && !flow.has_banned_end(&bans[0])).cloned().collect();
        let passed = bench.send_errors(&reported);
        check_pass("errors about flows", &passed, &reported, |_| true, &|| told(&first, &bans[0], &text));
        let strangers: Vec<Flow> =
            flows.iter().filter(|flow| flow.may_be_reported() && !is_first(flow)).cloned().collect();
        let is_error_accepted = |flow: &Flow| is_accepted_error(&first, &bans[0], flow);
        let passed = bench.send_errors(&strangers);
        check_pass("errors about nothing", &passed, &strangers, is_error_accepted, &|| told(&first, &bans[0], &text));
        let text = apply(bench, &second, &bans[1]);
        let is_second = |flow: &Flow| is_accepted(&second, &bans[1], flow);
        let passed = bench.send_back(&living);
        check_pass("replies under the next policy", &passed, &living, is_second, &|| told(&second, &bans[1], &text));
        let passed = bench.send_forth(&living, true);
        check_pass("later packets under the next policy", &passed, &living, is_second, &|| {
            told(&second, &bans[1], &text)
        });
        pairs += flows.len() + 3 * living.len() + reported.len() + strangers.len();
        accepted += living.len();
    }
    assert!(pairs > 100_000, "only {pairs} packets under {policies} pairs of policies");
    assert!(
        accepted * 15 > pairs,
        "{accepted} of {pairs} packets began flows that were accepted: the policies say too little"
    );
}

fn bans_of(draws: &mut Draws<'_>) -> Vec<IpNet> {
    if draws.once_in(3) { (0..2).map(|_| draws.net()).filter(|net| net.prefix_len() > 0).collect() } else { Vec::new() }
}

/// Who is limited because of an alert is let through so far as the document lets them, and nobody else is limited.
pub(crate) fn limit_one(bench: &Bench, apply: impl Fn(&Bench, &Ruleset, &[IpNet]) -> String) {
    let closed = Rule { destination_ports: vec![2001..=2001], ..udp_rule("closed", Action::Drop) };
    let rules = vec![closed, udp_rule("open", Action::Accept)];
    let document =
        Ruleset { name: "response".to_owned(), version: 1, mode: Mode::Enforce, rules, ..Ruleset::default() };
    let (net, limit) = ("10.0.0.1/32".parse().unwrap(), Limit::of_source(3, std::time::Duration::from_secs(3600)));
    let told = apply(bench, &with_mark(document).limiting([(&net, &limit)]), &[]);
    let mut flows: Vec<Flow> = (0..6).map(udp_flow).collect();
    flows[0].transport.destination_port = 2001;
    let passed = bench.send_forth(&flows, false);
    assert_eq!(passed, [flows[1].id, flows[2].id], "the first of three is refused by the document\n{told}");
    assert_eq!(bench.send_forth(&flows[1..2], true), [flows[1].id], "what was let through goes on");
    let others: Vec<Flow> = (10..16).map(|n| Flow { from: "10.0.0.3".parse().unwrap(), ..udp_flow(n) }).collect();
    assert_eq!(bench.send_forth(&others, false), others.iter().map(|flow| flow.id).collect::<Vec<_>>());
}

/// The rule that lets the mark of the end through comes before everything.
pub(crate) fn with_mark(mut ruleset: Ruleset) -> Ruleset {
    ruleset.rules.insert(0, mark_rule());
    ruleset
}

fn check_pass(what: &str, passed: &[u32], flows: &[Flow], want: impl Fn(&Flow) -> bool, told: &dyn Fn() -> String) {
    for flow in flows {
        let (got, want) = (passed.contains(&flow.id), want(flow));
        assert_eq!(got, want, "{what}: {flow:?}\n{}", told());
    }
}

/// A flow by its first packet.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) id: u32,
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) transport: Transport,
}

impl Flow {
    /// Whether conntrack and the datapath keep it as a flow that has replies.
    pub(crate) fn is_tracked(&self) -> bool {
        let v4 = self.from.is_ipv4();
        match self.protocol {
            6 => self.transport.flags & 0x17 == 2,
            17 => true,
            1 => v4 && self.transport.source_port == 8,
            58 => !v4 && self.transport.source_port == 128,
            _ => false,
        }
    }

    fn facts(&self, direction: Direction) -> Facts {
        let interface = if direction == Direction::Ingress { "eth0" } else { "eth1" };
        let (from, to, proto, transport) = (self.from, self.to, self.protocol, Some(self.transport));
        Facts { direction, interface: interface.to_owned(), from, to, proto, transport }
    }

    /// A packet of it: as it is, in IPv6 with headers before the transport, or in two fragments.
    fn frames(&self, macs: Macs, back: bool, later: bool) -> Vec<Vec<u8>> {
        let packet = self.network(macs, back);
        if self.protocol == 17 && self.id % 4 == 1 {
            let mut bytes = [0; 32];
            bytes[24..].copy_from_slice(&payload(self.id));
            return self.transport_on(packet, back, later).payload(&bytes).fragments(24, self.id);
        }
        let packet = match (self.from.is_ipv6(), self.id % 4) {
            (true, 2) => packet.destination_options(),
            (true, 3) => packet.hop_by_hop().destination_options(),
            _ => packet,
        };
        vec![self.transport_on(packet, back, later).payload(&payload(self.id)).build()]
    }

    fn network(&self, macs: Macs, back: bool) -> Packet {
        let (from, to) = if back { (self.to, self.from) } else { (self.from, self.to) };
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => frame().mac(macs.0, macs.1).ipv4(from, to),
            (IpAddr::V6(from), IpAddr::V6(to)) => frame().mac(macs.0, macs.1).ipv6(from, to),
            _ => panic!("one family"),
        }
    }

    /// What its responder says of its first packet: that it found no place.
    fn error(&self, macs: Macs) -> Vec<Vec<u8>> {
        let subject = self.transport_on(self.network(macs, false), false, false).payload(&payload(self.id)).build();
        vec![self.network(macs, true).icmp(3, 3, 0).payload(&subject[ETHERNET..]).build()]
    }

    fn has_banned_end(&self, bans: &[IpNet]) -> bool {
        bans.iter().any(|net| net.contains(&self.from) || net.contains(&self.to))
    }

    /// Whether an error about it can be told from what passes anyway.
    fn may_be_reported(&self) -> bool {
        self.from.is_ipv4() && matches!(self.protocol, 6 | 17)
    }

    fn transport_on(&self, packet: Packet, back: bool, later: bool) -> Packet {
        let Transport { source_port: a, destination_port: b, flags } = self.transport;
        let (source, destination) = if back { (b, a) } else { (a, b) };
        match self.protocol {
            6 => {
                let flags = match (back, later) {
                    (true, _) => SYN | ACK,
                    (false, true) => ACK,
                    (false, false) => u16::from(flags),
                };
                packet.tcp(source, destination).flags(flags).numbers(1000, 1001)
            }
            17 => packet.udp(source, destination),
            132 => packet.sctp(source, destination, 1),
            1 => packet.icmp(if back { 0 } else { a as u8 }, b as u8, self.id << 16),
            58 => packet.icmp6(if back { 129 } else { a as u8 }, b as u8, self.id << 16),
            47 => packet.gre(),
            number => packet.protocol(number.into()),
        }
    }
}

/// Flows whose packets do not take one another for replies.
pub(crate) fn random_flows(draws: &mut Draws<'_>, count: usize) -> Vec<Flow> {
    let (mut flows, mut seen): (Vec<Flow>, HashSet<_>) = (Vec::new(), HashSet::new());
    for id in 0..count as u32 {
        let facts = draws.facts();
        let (from, to) = (facts.from, facts.to);
        // ICMP belongs to its own version: the kernel's stack judges the other before a policy does.
        let fits = match facts.proto {
            1 => from.is_ipv4(),
            58 => from.is_ipv6(),
            _ => true,
        };
        if from.is_ipv4() != to.is_ipv4() || from == to || !fits {
            continue;
        }
        let mut transport = draws.transport(facts.proto);
        if facts.proto == 6 && !draws.once_in(4) {
            transport.flags = 2;
        }
        let ports = (has_ports(facts.proto)).then_some((transport.source_port, transport.destination_port));
        let ends = [(from, ports.map(|ports| ports.0)), (to, ports.map(|ports| ports.1))];
        let ends = if ends[0] < ends[1] { ends } else { [ends[1], ends[0]] };
        // ICMP conversations are told apart by their identifiers, which are all different.
        let number = if has_types(facts.proto) { id } else { 0 };
        if seen.insert((facts.proto, ends, number)) {
            flows.push(Flow { id: id + 1, from, to, protocol: facts.proto, transport });
        }
    }
    flows
}

/// Whether a flow's first packet passes both hooks.
pub(crate) fn is_accepted(ruleset: &Ruleset, bans: &[IpNet], flow: &Flow) -> bool {
    [Direction::Ingress, Direction::Egress].into_iter().all(|direction| {
        let facts = flow.facts(direction);
        let is_banned = oracle::is_banned(bans, &facts);
        let outcome = oracle::judge(ruleset, bans, &facts);
        outcome.accepts() || !is_banned && is_essential(flow)
    })
}

/// Whether an ICMP error about something that is not there passes, from behind the host to before it.
fn is_accepted_error(ruleset: &Ruleset, bans: &[IpNet], flow: &Flow) -> bool {
    let transport = Transport { source_port: 3, destination_port: 3, flags: 0 };
    [(Direction::Ingress, "eth1"), (Direction::Egress, "eth0")].into_iter().all(|(direction, interface)| {
        let (from, to) = (flow.to, flow.from);
        let facts =
            Facts { direction, interface: interface.to_owned(), from, to, proto: 1, transport: Some(transport) };
        oracle::judge(ruleset, bans, &facts).accepts()
    })
}

/// Those kinds of what every host needs that the flows have.
fn is_essential(flow: &Flow) -> bool {
    let (kind, code) = (flow.transport.source_port, flow.transport.destination_port);
    match flow.protocol {
        1 => kind == 3 && code == 4 || kind == 11,
        58 => matches!(kind, 1..=4),
        _ => false,
    }
}

fn rule(id: &str, stage: Stage, action: Action) -> Rule {
    Rule { protocols: vec![17], action, ..Rule::plain(id, stage, None) }
}

/// Accepts the mark.
pub(crate) fn mark_rule() -> Rule {
    let from = Addresses::In(vec!["172.31.0.0/30".parse().unwrap()]);
    Rule { from, destination_ports: vec![MARK_PORT..=MARK_PORT], ..rule("guard:mark", Stage::Guard, Action::Accept) }
}

/// About every UDP packet.
pub(crate) fn udp_rule(id: &str, action: Action) -> Rule {
    rule(id, Stage::Tier(0), action)
}

/// One of many UDP flows.
pub(crate) fn udp_flow(number: u32) -> Flow {
    let transport = Transport { source_port: 1000 + number as u16, destination_port: 2000, flags: 0 };
    let [from, to] = ["10.0.0.1", "10.1.0.1"].map(|text| text.parse().unwrap());
    Flow { id: number + 1, from, to, protocol: 17, transport }
}

/// The peers and the host between them.
pub(crate) struct Bench {
    left: Peer,
    right: Peer,
    pub(crate) gate: Host,
    /// Its namespaces go with it.
    _lab: Lab,
}

struct Peer {
    host: Host,
    own: [u8; 6],
    gate: [u8; 6],
    wire: OwnedFd,
}

impl Bench {
    pub(crate) fn new(name: &str) -> Self {
        let lab = Lab::new(name).unwrap();
        let [left, gate, right] = ["left", "gate", "right"].map(|name| lab.host(name).unwrap());
        for (peer, interface, net) in [(&left, "eth0", 1), (&right, "eth1", 2)] {
            let ends = [format!("172.30.{net}.1/24"), format!("fd77:{net}::1/64")];
            let others = [format!("172.30.{net}.2/24"), format!("fd77:{net}::2/64")];
            let list = |ends: &'_ [String; 2]| ends.clone();
            let (ends, others) = (list(&ends), list(&others));
            lab.link(peer, "eth0", &gate, interface)
                .addresses(&[&ends[0], &ends[1]], &[&others[0], &others[1]])
                .offloads(Offloads::NONE)
                .up()
                .unwrap();
        }
        for (key, value) in [
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.eth0.rp_filter", "0"),
            ("net.ipv4.conf.eth1.rp_filter", "0"),
            ("net.ipv4.conf.all.send_redirects", "0"),
        ] {
            gate.sysctl(key, value).unwrap();
        }
        let mut lines = Vec::new();
        for (version, left, right) in [("-4", "172.30.1.1", "172.30.2.1"), ("-6", "fd77:1::1", "fd77:2::1")] {
            for (from, to, via, table) in [("eth0", "eth1", right, 100), ("eth1", "eth0", left, 101)] {
                lines.push(format!("{version} rule add iif {from} lookup {table}"));
                lines.push(format!("{version} route add default via {via} dev {to} table {table}"));
            }
        }
        // `ip -batch` reads the options of each line only from newer versions on.
        for line in &lines {
            gate.ip(&line.split(' ').collect::<Vec<_>>()).unwrap();
        }
        lab.settle().unwrap();
        let peer = |host: Host, interface| Peer {
            own: mac(&host, "eth0"),
            gate: mac(&gate, interface),
            wire: wire(&host),
            host,
        };
        let (left, right) = (peer(left, "eth0"), peer(right, "eth1"));
        Self { left, right, gate, _lab: lab }
    }

    /// Sends a packet of each flow and tells which of them arrived.
    pub(crate) fn send_forth(&self, flows: &[Flow], later: bool) -> Vec<u32> {
        exchange(&self.left, &self.right, flows, |flow, macs| flow.frames(macs, false, later), (MARK_FROM, MARK_TO))
    }

    /// Sends an ICMP error about each flow and tells which of them arrived.
    pub(crate) fn send_errors(&self, flows: &[Flow]) -> Vec<u32> {
        exchange(&self.right, &self.left, flows, Flow::error, (MARK_TO, MARK_FROM))
    }

    /// Sends a reply in each flow and tells which of them arrived.
    pub(crate) fn send_back(&self, flows: &[Flow]) -> Vec<u32> {
        exchange(&self.right, &self.left, flows, |flow, macs| flow.frames(macs, true, false), (MARK_TO, MARK_FROM))
    }

    /// Empties conntrack (ctnetlink's IPCTNL_MSG_CT_DELETE without a tuple).
    pub(crate) fn forget_flows(&self) {
        let message: [u8; 20] = [20, 0, 0, 0, 2, 1, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let flush = || {
            let socket =
                socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter)
                    .unwrap();
            connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
            send(socket.as_raw_fd(), &message, MsgFlags::empty()).unwrap();
            let mut answer = [0; 64];
            let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty()).unwrap();
            assert!(length >= 20 && answer[16..20] == [0; 4], "conntrack was not emptied: {answer:?}");
        };
        self.gate.enter(flush).unwrap();
    }
}

fn payload(id: u32) -> [u8; 8] {
    let [a, b, c, d] = id.to_be_bytes();
    let [h, i, v, e] = WORD;
    [h, i, v, e, a, b, c, d]
}

/// The number of a frame of ours.
fn number(frame: &[u8]) -> Option<u32> {
    let (rest, id) = frame.split_last_chunk::<4>()?;
    (rest.last_chunk::<4>() == Some(&WORD)).then(|| u32::from_be_bytes(*id))
}

fn exchange(
    from: &Peer,
    to: &Peer,
    flows: &[Flow],
    frames_of: impl Fn(&Flow, Macs) -> Vec<Vec<u8>>,
    mark: (&str, &str),
) -> Vec<u32> {
    let macs = (from.gate, from.own);
    let mut frames: Vec<Vec<u8>> = flows.iter().flat_map(|flow| frames_of(flow, macs)).collect();
    frames.push(
        frame().mac(macs.0, macs.1).ipv4(mark.0, mark.1).udp(MARK_PORT, MARK_PORT).payload(&payload(MARK)).build(),
    );
    let send = || {
        // One processor carries them all, so that they stay in order.
        let mut one = nix::sched::CpuSet::new();
        one.set(0).unwrap();
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).unwrap();
        raw_frames("eth0", &frames).unwrap();
    };
    from.host.enter(send).unwrap();
    let (mut passed, mut buffer) = (Vec::new(), [0; 2048]);
    loop {
        let length = recv(to.wire.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("the mark arrives");
        let bytes = &buffer[..length];
        let is_from_gate = bytes.get(6..12) == Some(&to.gate[..]);
        let Some(id) = number(bytes).filter(|_| is_from_gate) else { continue };
        if id == MARK {
            return passed;
        }
        passed.push(id);
    }
}

/// Everything that passes the interfaces of a host.
fn wire(host: &Host) -> OwnedFd {
    let open = || {
        let wire = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll).unwrap();
        setsockopt(&wire, sockopt::RcvBufForce, &(8 << 20)).unwrap();
        setsockopt(&wire, sockopt::ReceiveTimeout, &TimeVal::new(10, 0)).unwrap();
        wire
    };
    host.enter(open).unwrap()
}

fn mac(host: &Host, interface: &str) -> [u8; 6] {
    let text = host.ip(&["-o", "link", "show", interface]).unwrap();
    let mac = text.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
    let octets: Vec<u8> = mac.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    octets.try_into().unwrap()
}
