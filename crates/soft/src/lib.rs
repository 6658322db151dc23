//! The datapath in user space: the kernel's code over memory of this process. Capture files and AF_PACKET feed it, and
//! tests hold the kernel's programs against it.
//!
//! Time comes from the caller, in ticks. Nothing is lost here: the ring is a vector that the caller empties.
#![forbid(unsafe_code)]

mod policy;
mod tables;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use hivewall_datapath::{
    Cause, Direction, FlowKey, FlowLine, FlowSet, FragmentId, Fragments, Frame, FrameBytes, HashSeed, OPENING_BYTES,
    Opening, PeekHead, Reason, Record, Ring, STRAY_BYTES_MAX, Sets, Shard, Tallies, Tally, TallyKey, WAYS, Watch,
    cache, flow_hash, parse::LEN_MAX, parse::Parsed, policy::Verdict,
};

pub use policy::{Hits, Prefixes, SoftPolicy, SoftState, SoftTables, interface_row};
pub use tables::{PolicyTables, PortRows};

/// Fragmented datagrams remembered at once, as in the kernel's table.
pub const FRAGMENTS_MAX: usize = 8192;

struct Memory {
    sets: Vec<FlowSet>,
    shift: u32,
    seed: HashSeed,
}

impl Sets for Memory {
    #[inline]
    fn set(&mut self, key: &FlowKey) -> Option<&mut FlowSet> {
        self.sets.get_mut((flow_hash(key, &self.seed) >> self.shift) as usize)
    }
}

#[derive(Default)]
struct Out {
    records: Vec<Record>,
    hits: Hits,
}

impl Ring for Out {
    #[inline]
    fn push(&mut self, line: &FlowLine, now: u32, cause: Cause) {
        if line.verdict != 0 {
            let hits = self.hits.entry(Verdict(line.verdict).counter()).or_default();
            hits.0 += u64::from(line.packets());
            hits.1 += u64::from(line.ip_bytes);
        }
        self.records.push(Record { line: *line, now, cause: cause as u32 });
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        true
    }
}

#[derive(Default)]
struct FragmentTable {
    ports: HashMap<FragmentId, u32>,
    order: VecDeque<FragmentId>,
}

impl Fragments for FragmentTable {
    fn remember(&mut self, id: &FragmentId, ports: u32) {
        if self.ports.insert(*id, ports).is_some() {
            return;
        }
        self.order.push_back(*id);
        if self.order.len() > FRAGMENTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ports.remove(&oldest);
        }
    }

    fn recall(&mut self, id: &FragmentId) -> Option<u32> {
        self.ports.get(id).copied()
    }
}

#[derive(Default)]
struct TallyTable(HashMap<TallyKey, Tally>);

impl Tallies for TallyTable {
    fn tally(&mut self, ifindex: u32, direction: Direction, reason: Reason, packets: u32, bytes: u32) {
        let tally = match self.0.entry(TallyKey::new(ifindex, direction, reason)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Tally::default()),
        };
        tally.packets += u64::from(packets);
        tally.bytes += u64::from(bytes);
    }
}

/// Copies of payload, one behind the other.
#[derive(Debug, Default)]
pub struct Copies {
    heads: Vec<(PeekHead, usize)>,
    bytes: Vec<u8>,
}

impl Copies {
    fn push(&mut self, mut head: PeekHead, payload: &[u8]) {
        let payload = payload.get(..usize::from(head.captured)).unwrap_or(payload);
        head.captured = payload.len() as u16;
        self.heads.push((head, self.bytes.len()));
        self.bytes.extend_from_slice(payload);
    }

    /// All of them in order, with the bytes that were copied.
    pub fn iter(&self) -> impl Iterator<Item = (&PeekHead, &[u8])> {
        self.heads
            .iter()
            .map(|(head, at)| (head, self.bytes.get(*at..at + usize::from(head.captured)).unwrap_or_default()))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.bytes.clear();
    }
}

/// What becomes of a frame that is in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Passed,
    /// It is dropped.
    Dropped,
    /// It is dropped, and its sender told.
    Rejected,
}

/// One shard of the datapath.
pub struct SoftDatapath {
    memory: Memory,
    out: Out,
    fragments: FragmentTable,
    tallies: TallyTable,
    copies: Copies,
    watching: bool,
    time_ns: u64,
    policy: Option<Box<SoftPolicy>>,
}

impl SoftDatapath {
    /// A shard of at least `lines` cache lines (rounded up to a power of two of whole sets).
    pub fn new(lines: u32, seed: HashSeed) -> Self {
        let sets = lines.max(2 * WAYS as u32).div_ceil(WAYS as u32).next_power_of_two();
        Self {
            memory: Memory { sets: vec![FlowSet::default(); sets as usize], shift: 32 - sets.trailing_zeros(), seed },
            out: Out::default(),
            fragments: FragmentTable::default(),
            tallies: TallyTable::default(),
            copies: Copies::default(),
            watching: false,
            time_ns: 0,
            policy: None,
        }
    }

    /// Judges packets from now on.
    pub fn govern(&mut self, policy: SoftPolicy) {
        self.policy = Some(Box::new(policy));
    }

    /// What packets are judged by.
    pub fn policy(&mut self) -> Option<&mut SoftPolicy> {
        self.policy.as_deref_mut()
    }

    /// Packets and IP bytes handed over so far, by counter of the rule or cause.
    pub fn hits(&self) -> &Hits {
        &self.out.hits
    }

    /// Begins to copy first bytes of conversations, or ends it. The caller empties [`SoftDatapath::peeks`].
    pub fn watch(&mut self, on: bool) {
        self.watching = on;
    }

    /// The time that copies are stamped with from now on, in nanoseconds.
    #[inline]
    pub fn set_time(&mut self, time_ns: u64) {
        self.time_ns = time_ns;
    }

    /// Copies made since they were last cleared.
    pub fn peeks(&mut self) -> &mut Copies {
        &mut self.copies
    }

    /// Reads, judges and counts one frame at a time given in ticks; what is inside of a tunnel is counted too. Tells whether
    /// the frame passes and its sender is to be told otherwise.
    #[inline]
    pub fn observe(&mut self, bytes: &FrameBytes<'_>, frame: &Frame, now: u32) -> Result<Fate, Reason> {
        if frame.len > LEN_MAX {
            self.refuse(frame.ifindex, frame.direction, Reason::ImpossibleLength, frame.len);
            return Err(Reason::ImpossibleLength);
        }
        let mut shard = Shard {
            sets: &mut self.memory,
            ring: &mut self.out,
            fragments: &mut self.fragments,
            tallies: &mut self.tallies,
            now,
            watching: self.watching,
            epoch: self.policy.as_deref().map_or(0, |policy| policy.control.at(u64::from(now)).0 << 16),
        };
        match shard.observe(bytes, frame) {
            Ok((parsed, mut counted)) => {
                if counted.is_unjudged() {
                    let judge = |policy: &mut SoftPolicy| policy.judge(bytes, &parsed, u64::from(now), self.time_ns);
                    let verdict = self.policy.as_deref_mut().map_or(Verdict(0), judge);
                    counted = shard.settle(&parsed, frame, verdict);
                }
                if counted.drops() {
                    return Ok(if counted.rejects() { Fate::Rejected } else { Fate::Dropped });
                }
                let watch = counted.watch();
                if watch != Watch::NONE {
                    copy(&mut shard, &mut self.copies, bytes, &parsed, watch, self.time_ns);
                }
                if let Some(tunnel) = parsed.tunnel() {
                    let (at, end) = (parsed.payload_at, parsed.end);
                    if parsed.packet.packets > 1 {
                        let headers = shard.inner_headers(bytes, frame, tunnel, at, end);
                        shard.repeat_inner_headers(&parsed.packet, frame, headers);
                    }
                    match shard.observe_inner(bytes, frame, tunnel, at, end) {
                        Ok(Some((inner, watch))) if watch != Watch::NONE => {
                            copy(&mut shard, &mut self.copies, bytes, &inner, watch, self.time_ns);
                        }
                        Err(Reason::Snapped) => shard.tally_inner(frame, at, end),
                        // What else is wrong inside has been tallied, and the packet that carries it is in its flow.
                        _ => {}
                    }
                }
                Ok(Fate::Passed)
            }
            Err(Reason::Snapped) => {
                shard.tally_snapped(frame);
                self.copy_stray(bytes, frame, Reason::Snapped);
                Err(Reason::Snapped)
            }
            Err(reason) => {
                self.copy_stray(bytes, frame, reason);
                Err(reason)
            }
        }
    }

    /// Copies a frame that is in no flow, for whoever looks for who sends such frames.
    fn copy_stray(&mut self, bytes: &FrameBytes<'_>, frame: &Frame, reason: Reason) {
        if self.watching && reason.is_stray() {
            let mut head = PeekHead::stray(frame, bytes.0.len());
            head.time_ns = self.time_ns;
            self.copies.push(head, bytes.0.get(..STRAY_BYTES_MAX).unwrap_or(bytes.0));
        }
    }

    /// Counts a frame that no parser is for (a link layer that cannot be read).
    pub fn refuse(&mut self, ifindex: u32, direction: Direction, reason: Reason, bytes: u32) {
        self.tallies.tally(ifindex, direction, reason, 1, bytes);
    }

    /// Hands over every line's counters and frees lines idle for more than `idle_ticks`, or all of them to `drain`.
    /// Returns how many lines stay occupied.
    pub fn sweep(&mut self, now: u32, idle_ticks: u32, drain: bool) -> u32 {
        let mut resident = 0;
        for set in &mut self.memory.sets {
            if let cache::Swept::Done(lines) = cache::sweep(set, now, idle_ticks, drain, &mut self.out) {
                resident += lines;
            }
        }
        resident
    }

    /// Records handed over since they were last cleared.
    pub fn records(&mut self) -> &mut Vec<Record> {
        &mut self.out.records
    }

    /// What was counted apart from flows since the start.
    pub fn tallies(&self) -> Vec<(TallyKey, Tally)> {
        self.tallies.0.iter().map(|(key, tally)| (*key, *tally)).collect()
    }

    /// The flow sets as they are (tests).
    pub fn sets(&self) -> &[FlowSet] {
        &self.memory.sets
    }
}

/// Copies a packet of a watched flow, where the rules want it.
#[inline(never)]
fn copy<S: Sets, R: Ring, F: Fragments, T: Tallies>(
    shard: &mut Shard<'_, S, R, F, T>,
    copies: &mut Copies,
    bytes: &FrameBytes<'_>,
    parsed: &Parsed,
    watch: Watch,
    time_ns: u64,
) {
    let captured = |at: usize| bytes.0.get(at..parsed.end.min(bytes.0.len())).unwrap_or_default();
    let mut opening = [0; OPENING_BYTES];
    opening.iter_mut().zip(captured(parsed.payload_at)).for_each(|(to, from)| *to = *from);
    if let Some((mut head, at)) = shard.look(bytes, parsed, watch, Opening(opening)) {
        head.time_ns = time_ns;
        copies.push(head, captured(at));
    }
}
