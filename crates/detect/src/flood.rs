//! Packets at a target that nobody answers, over the last seconds: the common heart of flood detectors.
//!
//! Invariant: a target takes a few hundred bytes however many sources there are.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, Moves, Pulse, Timestamp};
use hivewall_view::units;

use crate::attempts::span;
use crate::distinct::{Distinct, address_word};
use crate::pace::{Majority, Pace};
use crate::window::Window;
use crate::{Definition, Sign, Subject, TARGETS_MAX};

/// Seconds of the window.
pub(crate) const SECONDS: u64 = 5;
/// So many times the wanted rate, within a single second, is enough without waiting for the window to fill.
const BURST: u64 = 3;
/// Up to so many sources one of them may be the sender; beyond, they are made up or a botnet, and naming one helps nobody.
const NAMED_SOURCES_MAX: u64 = 4;

/// What arrives at one target.
#[derive(Debug)]
pub(crate) struct Flood {
    /// Since when, and the latest.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// Packets that nobody answered, second by second.
    pub(crate) packets: Window<5>,
    /// Packets of conversations.
    pub(crate) answered: Window<5>,
    /// Flows that began.
    pub(crate) flows_new: Window<5>,
    /// In all since it began.
    pub(crate) packets_all: u64,
    pub(crate) bytes_all: u64,
    pub(crate) sources: Distinct,
    pub(crate) majority: Majority<IpAddr>,
    pub(crate) flows: Vec<FlowId>,
    pub(crate) ifindex: u32,
    pub(crate) pace: Pace,
}

impl Flood {
    /// Nothing yet.
    pub(crate) fn new(time: Timestamp) -> Self {
        let window = || Window::new(Duration::from_secs(SECONDS));
        Self {
            first: time,
            last: time,
            packets: window(),
            answered: window(),
            flows_new: window(),
            packets_all: 0,
            bytes_all: 0,
            sources: Distinct::default(),
            majority: Majority::default(),
            flows: Vec::new(),
            ifindex: 0,
            pace: Pace::default(),
        }
    }

    /// Adds what is new of a flow and was not answered. Whether all before was forgotten, as too long ago.
    pub(crate) fn add(&mut self, pulse: &Pulse, source: IpAddr, new: Moves) -> bool {
        let (from, to) = when(pulse);
        let is_anew = !self.pace.has_spoken() && from.since(self.last) > Duration::from_secs(SECONDS);
        if is_anew {
            *self = Self { answered: self.answered.clone(), ..Self::new(from) };
        }
        self.first = self.first.min(from);
        self.last = self.last.max(to);
        self.packets.spread(from, to, new.packets);
        self.packets_all += new.packets;
        self.bytes_all += new.ip_bytes;
        self.ifindex = pulse.ifindex;
        if pulse.is_first {
            self.flows_new.add(to, 1);
            self.sources.insert(address_word(source));
            if self.flows.len() < TARGETS_MAX {
                self.flows.push(pulse.id);
            }
        }
        self.majority.add(source, new.packets);
        is_anew
    }

    /// Whether so many packets a second came, over the whole window or in one burst.
    pub(crate) fn is_at(&self, per_second: u64) -> bool {
        self.packets.total() >= per_second * SECONDS || self.packets.peak() >= per_second * BURST
    }

    /// The sender, where there is one rather than a crowd.
    pub(crate) fn sender(&self) -> Option<IpAddr> {
        (self.sources.count() <= NAMED_SOURCES_MAX).then(|| self.majority.leader()).flatten()
    }

    /// What all floods say: `what` is `UDP packets`, `port` the one that is meant.
    pub(crate) fn sign(&self, definition: &'static Definition, target: IpAddr, port: Option<u16>, what: &str) -> Sign {
        let seconds = self.last.since(self.first).as_secs_f64();
        let sources = self.sources.count();
        let from = match self.sender() {
            Some(sender) if sender == target => format!("that claim to come from {target} itself"),
            Some(sender) => format!("from {sender}"),
            None => format!("from {} sources", units::count(sources)),
        };
        let at = port.map_or_else(String::new, |port| format!(" port {port}"));
        let message = format!(
            "{} {what} at {target}{at} {from} {}, up to {} a second",
            units::count(self.packets_all),
            span(seconds),
            units::count(self.packets.peak()),
        );
        let source = self.sender().filter(|sender| *sender != target);
        let subject = Subject { source, ..Subject::target(target, port) };
        let mut sign = Sign::new(definition, subject, self.first, self.last, message);
        sign.sources = Some(sources);
        sign.spoofable = true;
        sign.ifindex = Some(self.ifindex);
        sign.flows.clone_from(&self.flows);
        sign.figures = vec![
            ("packets", self.packets_all as f64),
            ("bytes", self.bytes_all as f64),
            ("packets_per_second", self.packets.total() as f64 / SECONDS as f64),
            ("packets_per_second_max", self.packets.peak() as f64),
            ("sources", sources as f64),
            ("duration_seconds", seconds),
        ];
        sign
    }
}

/// Over which time what is new of a flow came: since its begin if it is new, else within the last second, which is how
/// often flows are told of.
pub(crate) fn when(pulse: &Pulse) -> (Timestamp, Timestamp) {
    let from = if pulse.is_first { pulse.start } else { pulse.start.max(pulse.last - Duration::from_secs(1)) };
    (from.min(pulse.last), pulse.last)
}
