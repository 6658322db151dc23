//! One direction of a TCP connection, as far as its segments are copied: in which order they are to be read, what has been
//! read before, what has to wait.
//!
//! It knows no protocol. Segments that are not copied leave gaps; a gap ends what was being assembled, except at the very
//! beginning of a stream and in the middle of a message, where a missing segment is waited for. Invariant: no byte
//! is given out twice, and what waits is bounded in number, bytes and packet time.

use hivewall_model::Timestamp;

use crate::limits::{AHEAD_MAX, ASSEMBLY_BYTES_MAX, GAP_WAIT};

/// Gaps remembered, so that a segment which comes late is known from one sent again.
const HOLES_MAX: usize = 4;
/// A step in sequence numbers that no window allows: another connection with the same addresses and ports.
const STEP_MAX: u32 = 1 << 28;

/// A segment with payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// Sequence number of its first byte.
    pub(crate) seq: u32,
    /// Bytes on the wire.
    pub(crate) wire: u32,
    /// Those that were copied, from the front.
    pub(crate) bytes: &'a [u8],
}

impl Segment<'_> {
    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.wire)
    }

    /// Without its first `count` bytes.
    fn after(&self, count: u32) -> Self {
        Self {
            seq: self.seq.wrapping_add(count),
            wire: self.wire.saturating_sub(count),
            bytes: self.bytes.get(count as usize..).unwrap_or_default(),
        }
    }

    /// Its first `count` bytes.
    fn up_to(&self, count: u32) -> Self {
        Self { wire: self.wire.min(count), bytes: self.bytes.get(..count as usize).unwrap_or(self.bytes), ..*self }
    }
}

#[derive(Debug)]
struct Ahead {
    seq: u32,
    wire: u32,
    bytes: Box<[u8]>,
}

/// What is to be done with a segment.
#[derive(Debug)]
pub(crate) enum Placed<'a> {
    /// All of it was read before.
    Old,
    /// Read it now; before it, `gap` bytes are missing.
    Now { segment: Segment<'a>, gap: u32 },
    /// It fills a gap that was given up: read it by itself.
    Late(Segment<'a>),
    /// It waits for an earlier one, and has been kept.
    Waits,
    /// Nothing can wait any longer: take what waits with [`Stream::release`], then place this segment again.
    Release,
}

/// Order of one direction's segments.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    next: Option<u32>,
    holes: Vec<(u32, u32)>,
    ahead: Vec<Ahead>,
    waiting_since: Timestamp,
}

impl Stream {
    /// A stream whose first byte has this number, or any when that was not seen.
    pub(crate) fn new(first: Option<u32>) -> Self {
        Self { next: first, ..Self::default() }
    }

    /// Bytes that wait for an earlier segment.
    pub(crate) fn held(&self) -> usize {
        self.ahead.iter().map(|ahead| ahead.bytes.len()).sum()
    }

    /// Says where a segment belongs. `patient` when a missing one is worth waiting for.
    pub(crate) fn place<'a>(&mut self, segment: Segment<'a>, time: Timestamp, patient: bool) -> Placed<'a> {
        let Some(next) = self.next else {
            self.next = Some(segment.end());
            return Placed::Now { segment, gap: 0 };
        };
        let step = segment.seq.wrapping_sub(next);
        if step.min(step.wrapping_neg()) > STEP_MAX {
            *self = Self::new(Some(segment.end()));
            return Placed::Now { segment, gap: step };
        }
        if (step as i32) <= 0 {
            let known = step.wrapping_neg();
            if known < segment.wire {
                self.next = Some(segment.end());
                return Placed::Now { segment: segment.after(known), gap: 0 };
            }
            return self.fill(segment);
        }
        if patient {
            return self.wait(segment, time);
        }
        if self.holes.len() >= HOLES_MAX {
            self.holes.remove(0);
        }
        self.holes.push((next, segment.seq));
        self.next = Some(segment.end());
        Placed::Now { segment, gap: step }
    }

    fn wait<'a>(&mut self, segment: Segment<'a>, time: Timestamp) -> Placed<'a> {
        if self.ahead.iter().any(|ahead| ahead.seq == segment.seq && ahead.wire >= segment.wire) {
            return Placed::Old;
        }
        if self.ahead.is_empty() {
            self.waiting_since = time;
        }
        let full = self.ahead.len() >= AHEAD_MAX || self.held() + segment.bytes.len() > ASSEMBLY_BYTES_MAX;
        if full || time.since(self.waiting_since) > GAP_WAIT {
            return Placed::Release;
        }
        self.ahead.push(Ahead { seq: segment.seq, wire: segment.wire, bytes: segment.bytes.into() });
        Placed::Waits
    }

    /// The part of an earlier segment that no one has read.
    fn fill<'a>(&mut self, segment: Segment<'a>) -> Placed<'a> {
        for at in 0..self.holes.len() {
            let Some(&(from, to)) = self.holes.get(at) else { break };
            let skip = from.wrapping_sub(segment.seq);
            let skip = if (skip as i32) < 0 { 0 } else { skip };
            let rest = segment.after(skip);
            let room = to.wrapping_sub(rest.seq);
            if rest.wire == 0 || skip >= segment.wire || (room as i32) <= 0 {
                continue;
            }
            let part = rest.up_to(room);
            self.holes.remove(at);
            for hole in [(from, part.seq), (part.end(), to)] {
                if (hole.1.wrapping_sub(hole.0) as i32) > 0 && self.holes.len() < HOLES_MAX {
                    self.holes.push(hole);
                }
            }
            return Placed::Late(part);
        }
        Placed::Old
    }

    /// Takes the segment that continues the stream, if it has been waiting.
    pub(crate) fn continued(&mut self) -> Option<(u32, Box<[u8]>)> {
        let next = self.next?;
        self.ahead.retain(|ahead| (ahead.seq.wrapping_add(ahead.wire).wrapping_sub(next) as i32) > 0);
        let at = self.ahead.iter().position(|ahead| (ahead.seq.wrapping_sub(next) as i32) <= 0)?;
        let ahead = self.ahead.swap_remove(at);
        let segment = Segment { seq: ahead.seq, wire: ahead.wire, bytes: &ahead.bytes };
        let rest = segment.after(next.wrapping_sub(ahead.seq));
        self.next = Some(rest.end());
        Some((rest.wire, rest.bytes.into()))
    }

    /// Gives up waiting: the first segment that waits is now next. Returns the bytes that are missing before it.
    pub(crate) fn release(&mut self) -> Option<u32> {
        let next = self.next?;
        let first = self.ahead.iter().map(|ahead| ahead.seq.wrapping_sub(next)).min()?;
        self.next = Some(next.wrapping_add(first));
        Some(first)
    }
}
