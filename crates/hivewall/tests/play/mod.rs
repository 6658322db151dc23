//! A capture played through the library crates in one call: reader, datapath, engine, in the capture's own time.
//!
//! It does what `hivewall replay` does between opening the file and printing, without threads, logs or API. It judges
//! nothing but its own sums: [`Played::check_sums`] is the one place where "no packet is ever uncounted" is written
//! down. Invariant: equal bytes, limits and cache size give equal flows.
#![allow(dead_code, reason = "shared by several tests and by the fuzz targets, each of which uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hivewall_datapath::{HashSeed, Reason, Tally, TallyKey};
use hivewall_engine::{Effects, Engine, Event, Limits};
use hivewall_host::file::{CaptureFile, FileError};
use hivewall_host::source::{Batch, FileSource, Progress, Source as _, SourceLoss};
use hivewall_model::{Flow, Timestamp};
use hivewall_view::Snapshot;

/// Lines of the flow cache in user space, as `hivewall replay` has them.
pub(crate) const LINES: u32 = 1 << 14;

/// The hash's secret: fixed, so that a failure can be repeated.
pub(crate) fn seed() -> HashSeed {
    let mut seed = HashSeed { multiplier: 0x9e37_79b9_7f4a_7c15, ..HashSeed::default() };
    for (word, number) in seed.words.iter_mut().zip(1_u32..) {
        *word = number.wrapping_mul(0x85eb_ca6b);
    }
    seed
}

/// Timeouts that no capture reaches: one flow is one 5-tuple, unless a finished connection's tuple is used again.
pub(crate) fn no_timeouts() -> Limits {
    let never = Duration::from_secs(1_000_000_000);
    Limits { idle: never, tcp_idle: never, icmp_idle: never, active: never, linger: never, ..Limits::default() }
}

/// What came out of a capture.
pub(crate) struct Played {
    /// Every flow, in the order they ended.
    pub(crate) flows: Vec<Arc<Flow>>,
    /// What was counted apart from flows.
    pub(crate) tallies: Vec<(TallyKey, Tally)>,
    /// Packet records read from the file.
    pub(crate) packets: u64,
    /// What the source could not show, or mended.
    pub(crate) losses: Vec<SourceLoss>,
    /// What cut the capture short.
    pub(crate) failure: Option<FileError>,
    /// The document at the end.
    pub(crate) snapshot: Snapshot,
}

/// Plays a capture held in memory; `Err` when it has no header that can be read.
pub(crate) fn play(bytes: Vec<u8>, limits: Limits, lines: u32) -> Result<Played, FileError> {
    let mut source = FileSource::new(CaptureFile::from_bytes(bytes)?, "in".to_owned(), lines, seed());
    let mut engine = Engine::new(limits);
    let (mut batch, mut effects) = (Batch::default(), Effects::default());
    let mut next_second = Timestamp(i64::MIN);
    let mut progress = Progress::More;
    while progress != Progress::End {
        batch.records.clear();
        progress = source.poll(Duration::ZERO, &mut batch).expect("a file's poll keeps its error for later");
        engine.step(batch.now, Event::Records { records: &batch.records, clock: &batch.clock }, &mut effects);
        if batch.now >= next_second {
            next_second = batch.now + Duration::from_secs(1);
            tell(&mut source, &mut engine, batch.now, &mut effects);
            engine.step(batch.now, Event::Tick, &mut effects);
        }
    }
    tell(&mut source, &mut engine, batch.now, &mut effects);
    engine.step(batch.now, Event::Shutdown, &mut effects);
    Ok(Played {
        flows: effects.closed,
        tallies: source.tallies().expect("a file's tallies are in memory"),
        packets: source.packets(),
        losses: source.losses(),
        failure: source.failure(),
        snapshot: engine.snapshot(),
    })
}

fn tell(source: &mut FileSource, engine: &mut Engine, now: Timestamp, effects: &mut Effects) {
    let (all, captured) = source.refresh().expect("a file's interfaces are in memory");
    engine.step(now, Event::Interfaces { all, captured }, effects);
    let tallies = source.tallies().expect("a file's tallies are in memory");
    engine.step(now, Event::Tallies(tallies), effects);
}

/// Flows of one protocol: what is compared with other tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Flows.
    pub(crate) flows: u64,
    /// Packets.
    pub(crate) packets: u64,
    /// IP bytes.
    pub(crate) ip_bytes: u64,
}

impl Played {
    /// The flows of a protocol, what is inside of tunnels too.
    pub(crate) fn sum(&self, protocol: u8) -> Sum {
        let mut sum = Sum::default();
        for flow in self.flows.iter().filter(|flow| flow.tuple.protocol == protocol) {
            sum.flows += 1;
            sum.packets += flow.packets();
            sum.ip_bytes += flow.ip_bytes();
        }
        sum
    }

    /// Distinct 5-tuples of a protocol; both directions are one.
    pub(crate) fn tuples(&self, protocol: u8) -> u64 {
        let flows = self.flows.iter().filter(|flow| flow.tuple.protocol == protocol);
        let ends = |flow: &Arc<Flow>| {
            let t = &flow.tuple;
            let mut ends = [(t.client, t.client_port), (t.server, t.server_port)];
            ends.sort_unstable();
            ends
        };
        flows.map(ends).collect::<std::collections::HashSet<_>>().len() as u64
    }

    /// Packets and link bytes in no flow, by reason; what tells of a packet that is in a flow is left out.
    pub(crate) fn apart(&self) -> BTreeMap<&'static str, Tally> {
        let mut apart: BTreeMap<&'static str, Tally> = BTreeMap::new();
        for (key, tally) in &self.tallies {
            let reason = key.reason().expect("a reason has a name");
            if !matches!(reason, Reason::InnerUnread | Reason::Segments) {
                let sum = apart.entry(reason.label()).or_default();
                sum.packets += tally.packets;
                sum.bytes += tally.bytes;
            }
        }
        apart
    }

    /// Packets and link bytes in flows as the link carried them: those inside of tunnels are in the tunnel's own flow.
    pub(crate) fn outer(&self) -> Tally {
        let mut sum = Tally::default();
        let points = self.flows.iter().flat_map(|flow| &flow.points);
        for point in points.filter(|point| point.tunnel.is_none()) {
            sum.packets += point.side.packets;
            sum.bytes += point.side.wire_bytes;
        }
        sum
    }

    /// Packets and link bytes of the capture, in flows or not.
    pub(crate) fn all(&self) -> Tally {
        self.apart().values().fold(self.outer(), |sum, tally| Tally {
            packets: sum.packets + tally.packets,
            bytes: sum.bytes + tally.bytes,
        })
    }

    /// Every packet of the file is in one flow or under one reason, and the document says the same.
    #[track_caller]
    pub(crate) fn check_sums(&self) {
        let apart: u64 = self.apart().values().map(|tally| tally.packets).sum();
        assert_eq!(self.all().packets, self.packets, "flows, and packets in none: {:?}", self.apart());
        assert_eq!(self.snapshot.capture.packets + apart, self.packets, "the snapshot's sum");
        let empty = self.flows.iter().find(|flow| flow.packets() == 0);
        assert!(empty.is_none(), "a flow without a packet: {empty:?}");
    }

    /// Events of a loss that the source counts.
    pub(crate) fn loss(&self, name: &str) -> u64 {
        self.losses.iter().find(|loss| loss.name == name).map_or(0, |loss| loss.count)
    }
}
