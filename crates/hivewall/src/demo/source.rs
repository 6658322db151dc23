//! A host of the demo as a source of packets: the conversations that it takes part in, through the datapath in user space.
//!
//! Invariant: time is the host's own clock, and a second's packets are all made in the first poll after it began.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use hivewall_datapath::{Direction, Frame, FrameBytes, HashSeed, Link, Tally, TallyKey};
use hivewall_host::source::{About, Batch, Progress, Source, SourceError, SourceLoss, wall_clock};
use hivewall_model::{Interface, TickClock, Timestamp};
use hivewall_soft::SoftDatapath;

use super::talk::{Talk, address, of_second};

const TICK_NS: u64 = 1_000_000;
const LINES: u32 = 4096;
/// Lines idle for longer are freed.
const IDLE_TICKS: u32 = 10_000;
const IFINDEX: u32 = 1;
/// Longest a poll sleeps.
const NAP: Duration = Duration::from_millis(50);

/// A host of the demo.
pub(crate) struct DemoSource {
    soft: SoftDatapath,
    own: Ipv4Addr,
    hosts: u64,
    /// The second that was made last.
    second: u64,
    /// Packets and bytes that it received and sent, as a driver counts them.
    received: (u64, u64),
    sent: (u64, u64),
}

impl DemoSource {
    /// Host `number` of so many.
    pub(super) fn new(number: u64, hosts: u64, seed: HashSeed) -> Self {
        let mut soft = SoftDatapath::new(LINES, seed);
        soft.watch(true);
        Self { soft, own: address(number), hosts, second: 0, received: (0, 0), sent: (0, 0) }
    }

    fn make(&mut self, talk: &Talk, now: Timestamp) {
        let ticks = ticks(now);
        self.soft.set_time(now.0.cast_unsigned());
        for (from_client, bytes) in talk.packets() {
            let is_sent = (talk.client == self.own) == from_client;
            let counted = if is_sent { &mut self.sent } else { &mut self.received };
            counted.0 += 1;
            counted.1 += bytes.len() as u64;
            let frame = Frame {
                link: Link::Ip,
                len: bytes.len() as u32,
                stripped: 0,
                segments: 1,
                segment_size: 0,
                vlan: None,
                ifindex: IFINDEX,
                direction: if is_sent { Direction::Egress } else { Direction::Ingress },
            };
            // A refusal has been tallied under its reason.
            let _ = self.soft.observe(&FrameBytes(&bytes), &frame, ticks);
        }
    }
}

fn ticks(now: Timestamp) -> u32 {
    now.0.div_euclid(TICK_NS as i64) as u32
}

impl Source for DemoSource {
    fn poll(&mut self, timeout: Duration, batch: &mut Batch) -> Result<Progress, SourceError> {
        let now = wall_clock();
        let second = now.0.cast_unsigned() / 1_000_000_000;
        if second == self.second {
            let began = Instant::now();
            std::thread::park_timeout(timeout.min(NAP).saturating_sub(began.elapsed()));
        } else {
            self.second = second;
            for talk in of_second(second, self.hosts) {
                if talk.client == self.own || talk.server == self.own {
                    self.make(&talk, now);
                }
            }
            self.soft.sweep(ticks(now), IDLE_TICKS, false);
        }
        self.stamp(now, batch);
        Ok(Progress::Idle)
    }

    fn refresh(&mut self) -> Result<(Vec<Interface>, Vec<u32>), SourceError> {
        let demo = Interface {
            index: IFINDEX,
            name: "demo0".to_owned(),
            up: true,
            mtu: 1500,
            speed: Some(1_000_000_000),
            addresses: vec![IpAddr::V4(self.own)],
            rx_packets: self.received.0,
            rx_bytes: self.received.1,
            tx_packets: self.sent.0,
            tx_bytes: self.sent.1,
            ..Interface::default()
        };
        Ok((vec![demo], vec![IFINDEX]))
    }

    fn tallies(&mut self) -> Result<Vec<(TallyKey, Tally)>, SourceError> {
        Ok(self.soft.tallies())
    }

    fn losses(&self) -> Vec<SourceLoss> {
        Vec::new()
    }

    fn about(&self) -> About {
        About { name: "demo", fallback_reason: None, tick_ns: TICK_NS }
    }

    fn finish(&mut self, batch: &mut Batch) -> Result<(), SourceError> {
        let now = wall_clock();
        self.soft.sweep(ticks(now), IDLE_TICKS, true);
        self.stamp(now, batch);
        Ok(())
    }
}

impl DemoSource {
    fn stamp(&mut self, now: Timestamp, batch: &mut Batch) {
        let ticks = now.0.div_euclid(TICK_NS as i64);
        batch.now = now;
        batch.clock =
            TickClock { ticks: ticks as u64, time: Timestamp(ticks.saturating_mul(TICK_NS as i64)), tick_ns: TICK_NS };
        batch.records.append(self.soft.records());
        for (head, payload) in self.soft.peeks().iter() {
            batch.peeks.push(Timestamp(head.time_ns.cast_signed()), *head, payload);
        }
        self.soft.peeks().clear();
    }
}
