//! Made-up events for the tests of detectors: pulses, names, strays, and a detector fed with them second by second.
//!
//! Invariant: what is built here keeps the rules of [`hivewall_model::Pulse`]: steps add up to counts, states follow from
//! flags.
#![allow(dead_code, clippy::unwrap_used, reason = "each detector's tests use a part; a test fails by panicking")]

use std::net::IpAddr;
use std::time::Duration;

use hivewall_datapath::proto;
use hivewall_model::{
    Direction, EndReason, FlowId, Learned, Moves, Perspective, Pulse, Reason, Side, Stray, StrayKind, TcpFlags,
    TcpState, Timestamp, Tuple,
};

use crate::{Definition, Detector, Event, Said, Settings, Sign};

/// When made-up traffic begins.
pub(crate) const T0: Timestamp = Timestamp::from_secs(1_800_000_000);

/// So many milliseconds after [`T0`].
pub(crate) fn ms(milliseconds: u64) -> Timestamp {
    T0 + Duration::from_millis(milliseconds)
}

/// So many seconds after [`T0`].
pub(crate) fn s(seconds: u64) -> Timestamp {
    T0 + Duration::from_secs(seconds)
}

/// An address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An IPv4 address by number: `10.0.0.0` and so many further.
pub(crate) fn host(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

/// A public IPv4 address by number.
pub(crate) fn public(number: u32) -> IpAddr {
    IpAddr::from((0x3200_0000 + number).to_be_bytes())
}

fn side(packets: u64, ip_bytes: u64, flags: u8) -> Side {
    Side { packets, ip_bytes, wire_bytes: ip_bytes + 14 * packets, flags: TcpFlags(flags) }
}

/// The first pulse of a flow, to be changed by the methods below.
#[derive(Clone, Debug)]
pub(crate) struct Make(pub(crate) Pulse);

impl Make {
    /// A flow without packets yet.
    pub(crate) fn flow(protocol: u8, client: IpAddr, client_port: u16, server: IpAddr, server_port: u16) -> Self {
        let id = u64::from(client_port) << 32 | u64::from(server_port) << 8 | u64::from(protocol);
        Self(Pulse {
            id: FlowId(id),
            tuple: Tuple { protocol, client, server, client_port, server_port, vlans: [0; 2] },
            roles_known: protocol == proto::TCP,
            perspective: Perspective::Transit,
            tunnel: None,
            ifindex: 1,
            start: T0,
            last: T0,
            to_server: Side::default(),
            to_client: Side::default(),
            new_to_server: Moves::default(),
            new_to_client: Moves::default(),
            tcp_state: None,
            is_first: true,
            ended: None,
            names: None,
            client_process: None,
            server_process: None,
            is_dropped: false,
        })
    }

    /// A SYN that nobody answers (yet).
    pub(crate) fn syn(client: IpAddr, client_port: u16, server: IpAddr, server_port: u16) -> Self {
        Self::flow(proto::TCP, client, client_port, server, server_port).client_says(1, 44, TcpFlags::SYN)
    }

    /// A SYN that is refused by a RST.
    pub(crate) fn refused(client: IpAddr, client_port: u16, server: IpAddr, server_port: u16) -> Self {
        let flags = TcpFlags::RST | TcpFlags::ACK;
        Self::syn(client, client_port, server, server_port).server_says(1, 40, flags).ended(EndReason::Reset)
    }

    /// A TCP connection that was opened in full and carried so many bytes each way.
    pub(crate) fn tcp(client: (IpAddr, u16), server: (IpAddr, u16), up: u64, down: u64) -> Self {
        let (data, open) = (TcpFlags::PSH | TcpFlags::ACK, TcpFlags::SYN | TcpFlags::ACK);
        Self::syn(client.0, client.1, server.0, server.1).client_says(2 + up.div_ceil(1400), 80 + up, data).server_says(
            2 + down.div_ceil(1400),
            80 + down,
            open | data,
        )
    }

    /// A UDP flow with so many packets and bytes each way.
    pub(crate) fn udp(client: (IpAddr, u16), server: (IpAddr, u16), up: (u64, u64), down: (u64, u64)) -> Self {
        Self::flow(proto::UDP, client.0, client.1, server.0, server.1)
            .client_says(up.0, up.1, 0)
            .server_says(down.0, down.1, 0)
    }

    /// Echo requests, and how many of them were answered.
    pub(crate) fn ping(client: IpAddr, server: IpAddr, asked: u64, answered: u64) -> Self {
        let mut ping = Self::flow(proto::ICMP, client, 8, server, 0).client_says(asked, 84 * asked, 0).server_says(
            answered,
            84 * answered,
            0,
        );
        ping.0.roles_known = true;
        ping
    }

    /// More packets from the client.
    pub(crate) fn client_says(mut self, packets: u64, ip_bytes: u64, flags: u8) -> Self {
        add(&mut self.0.to_server, &mut self.0.new_to_server, side(packets, ip_bytes, flags));
        self.state()
    }

    /// More packets from the server.
    pub(crate) fn server_says(mut self, packets: u64, ip_bytes: u64, flags: u8) -> Self {
        add(&mut self.0.to_client, &mut self.0.new_to_client, side(packets, ip_bytes, flags));
        self.state()
    }

    /// At one moment.
    pub(crate) fn at(mut self, time: Timestamp) -> Self {
        (self.0.start, self.0.last) = (time, time);
        self
    }

    /// From here to there.
    pub(crate) fn between(mut self, start: Timestamp, last: Timestamp) -> Self {
        (self.0.start, self.0.last) = (start, last);
        self
    }

    /// Over.
    pub(crate) fn ended(mut self, reason: EndReason) -> Self {
        self.0.ended = Some(reason);
        self
    }

    /// Who opened it was not seen.
    pub(crate) fn roles_guessed(mut self) -> Self {
        self.0.roles_known = false;
        self
    }

    /// A later pulse of the same flow, in which nothing is new yet.
    pub(crate) fn later(mut self, time: Timestamp) -> Self {
        (self.0.new_to_server, self.0.new_to_client) = (Moves::default(), Moves::default());
        (self.0.is_first, self.0.last) = (false, time);
        self
    }

    /// A later pulse in which so many packets each way, of those there are, are new.
    pub(crate) fn later_with(mut self, time: Timestamp, up: u64, down: u64) -> Self {
        let share =
            |side: &Side, packets: u64| Moves { packets, ip_bytes: side.ip_bytes * packets / side.packets.max(1) };
        self.0.new_to_server = share(&self.0.to_server, up);
        self.0.new_to_client = share(&self.0.to_client, down);
        (self.0.is_first, self.0.last) = (false, time);
        self
    }

    fn state(mut self) -> Self {
        if self.0.tuple.protocol == proto::TCP {
            self.0.tcp_state = Some(TcpState::from_flags(self.0.to_server.flags, self.0.to_client.flags));
        }
        self
    }
}

fn add(all: &mut Side, new: &mut Moves, more: Side) {
    all.packets += more.packets;
    all.ip_bytes += more.ip_bytes;
    all.wire_bytes += more.wire_bytes;
    all.flags.0 |= more.flags.0;
    new.packets += more.packets;
    new.ip_bytes += more.ip_bytes;
}

/// An ARP message: operation, sender and target as MAC's last byte and address.
pub(crate) fn arp(time: Timestamp, operation: u16, sender: (u8, IpAddr), target: (u8, IpAddr)) -> Stray {
    let mac = |last| if last == 0 { [0; 6] } else { [2, 0, 0, 0, 0, last] };
    Stray {
        time,
        ifindex: 1,
        direction: Direction::Ingress,
        source_mac: mac(sender.0),
        target_mac: if target.0 == 0 { [0xff; 6] } else { mac(target.0) },
        kind: StrayKind::Arp { operation, sender: (mac(sender.0), sender.1), target: (mac(target.0), target.1) },
    }
}

/// A packet that breaks a standard.
pub(crate) fn invalid(time: Timestamp, reason: Reason, source: Option<IpAddr>, target: Option<IpAddr>) -> Stray {
    Stray {
        time,
        ifindex: 1,
        direction: Direction::Ingress,
        source_mac: [2, 0, 0, 0, 0, 1],
        target_mac: [2, 0, 0, 0, 0, 2],
        kind: StrayKind::Invalid { reason, source, target, protocol: Some(proto::TCP) },
    }
}

/// One detector, and what it said so far.
#[derive(Debug)]
pub(crate) struct Watch {
    detector: Box<dyn Detector>,
    now: Timestamp,
    /// What it said.
    pub(crate) signs: Vec<Sign>,
}

impl Watch {
    /// The detector of this name with its defaults.
    pub(crate) fn new(definition: &'static Definition) -> Self {
        Self::with(definition, [])
    }

    /// The detector of this name with `threshold=value` words.
    pub(crate) fn with<'a>(definition: &'static Definition, thresholds: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Vec<_> = thresholds.into_iter().map(|word| format!("{}.{word}", definition.name)).collect();
        let settings = Settings::read([], words.iter().map(String::as_str)).unwrap();
        let made = crate::all(&settings).into_iter().find(|made| made.definition().name == definition.name);
        Self { detector: made.unwrap(), now: T0, signs: Vec::new() }
    }

    /// A pulse, at the time of its last packet; ticks for the seconds in between come before it.
    pub(crate) fn pulse(&mut self, made: &Make) {
        self.pass(made.0.last);
        self.detector.see(self.now, &Event::Pulse(&made.0), &mut self.signs);
    }

    /// A frame that is in no flow.
    pub(crate) fn stray(&mut self, stray: &Stray) {
        self.pass(stray.time);
        self.detector.see(self.now, &Event::Stray(stray), &mut self.signs);
    }

    /// A name or message.
    pub(crate) fn said(&mut self, time: Timestamp, tuple: Tuple, from_client: bool, learned: &Learned) {
        self.pass(time);
        let said = Said { time, tuple, from_client, learned, flow: Some(FlowId(1)), process: None };
        self.detector.see(self.now, &Event::Said(&said), &mut self.signs);
    }

    /// Anything else.
    pub(crate) fn event(&mut self, time: Timestamp, event: &Event<'_>) {
        self.pass(time);
        self.detector.see(self.now, event, &mut self.signs);
    }

    /// Time passes: a tick each second, as many as matter (a pause of more than two hours has ticks in its first and last
    /// only).
    pub(crate) fn pass(&mut self, until: Timestamp) {
        const HOUR: i64 = 3600;
        while self.now.secs() < until.secs() {
            let left = until.secs() - self.now.secs();
            let step = if left > 2 * HOUR { left - HOUR } else { 1 };
            self.now = Timestamp::from_secs(self.now.secs() + step);
            self.detector.see(self.now, &Event::Tick, &mut self.signs);
        }
        self.now = self.now.max(until);
    }

    /// What it remembers.
    pub(crate) fn held(&self) -> crate::Held {
        self.detector.held()
    }

    /// Severities and messages so far, one line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.signs.iter().map(|sign| format!("{} {}", sign.severity.name(), sign.message)).collect()
    }
}
