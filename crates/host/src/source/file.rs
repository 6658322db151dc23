//! Capture files as a source: virtual time, the datapath in user space.
//!
//! The clock is the capture's own, in milliseconds, and never runs backwards by less than [`REBASE`]: a record that
//! comes late counts at the time already reached, and is counted as late. A larger leap back starts the clock anew.

use std::path::Path;
use std::time::Duration;

use hivewall_datapath::{Direction, Frame, FrameBytes, HashSeed, Reason, Tally, TallyKey};
use hivewall_model::{Interface, TickClock, Timestamp};
use hivewall_soft::SoftDatapath;

use super::{About, Batch, Progress, Source, SourceError, SourceLoss};
use crate::file::{CaptureFile, FileError};

/// A leap back further than this is another clock, not a late record.
const REBASE: Duration = Duration::from_secs(60);
/// Virtual time between sweeps.
const SWEEP: Duration = Duration::from_secs(1);
/// Lines idle for longer are freed: well under what 16 bits of milliseconds tell apart.
const IDLE_TICKS: u32 = 10_000;
/// Frames one poll reads at the most, so that the caller can look at its clock.
const FRAMES_PER_POLL: usize = 16_384;
const TICK_NS: u64 = 1_000_000;

/// What one record was.
enum Step {
    Counted,
    /// It began another second of virtual time, and what was counted before was handed over.
    Swept,
    /// It came after a leap back and is held.
    Leap,
    End,
}

/// A frame behind a leap back, held until everything before it was handed over by the clock it was counted by.
struct Held {
    bytes: Vec<u8>,
    meta: Meta,
    time_ns: i64,
}

/// A frame but for its bytes.
struct Meta {
    /// `None` when nothing reads its link.
    frame: Option<Frame>,
    ifindex: u32,
    direction: Direction,
    /// Link bytes.
    len: u32,
}

/// A capture file being replayed.
pub struct FileSource {
    file: CaptureFile,
    name: String,
    soft: SoftDatapath,
    /// The time reached; `None` before the first record.
    reached: Option<i64>,
    next_sweep: i64,
    late: u64,
    late_max_ns: i64,
    rebased: u64,
    held: Option<Held>,
    ended: bool,
    /// What cut the capture short, kept until everything before it was handed over.
    failure: Option<FileError>,
}

impl FileSource {
    /// Opens a file (`-` is standard input) with a flow cache of this many lines.
    pub fn open(path: &Path, lines: u32, seed: HashSeed) -> Result<Self, SourceError> {
        let file = CaptureFile::open(path)?;
        let name = path.file_name().map_or_else(|| "-".to_owned(), |name| name.to_string_lossy().into_owned());
        Ok(Self::new(file, name, lines, seed))
    }

    /// The same over a reader that is open already.
    pub fn new(file: CaptureFile, name: String, lines: u32, seed: HashSeed) -> Self {
        Self {
            file,
            name,
            soft: SoftDatapath::new(lines, seed),
            reached: None,
            next_sweep: i64::MIN,
            late: 0,
            late_max_ns: 0,
            rebased: 0,
            held: None,
            ended: false,
            failure: None,
        }
    }

    /// Begins to copy first bytes of conversations, or ends it; a source that was opened just now does not.
    pub fn peek(&mut self, on: bool) {
        self.soft.watch(on);
    }

    /// Bytes of the file read so far, and its size where that is known.
    pub fn position(&self) -> (u64, Option<u64>) {
        (self.file.position(), self.file.size())
    }

    /// Packet records read.
    pub fn packets(&self) -> u64 {
        self.file.records()
    }

    /// What cut the capture short, once [`Progress::End`] was told.
    pub fn failure(&mut self) -> Option<FileError> {
        self.failure.take()
    }

    fn ticks(time_ns: i64) -> u32 {
        time_ns.div_euclid(TICK_NS as i64) as u32
    }

    fn stamp(&mut self, batch: &mut Batch) {
        let now = self.reached.unwrap_or(0);
        batch.now = Timestamp(now);
        let ticks = now.div_euclid(TICK_NS as i64);
        batch.clock =
            TickClock { ticks: ticks as u64, time: Timestamp(ticks.saturating_mul(TICK_NS as i64)), tick_ns: TICK_NS };
        batch.records.append(self.soft.records());
        batch.peeks.take(self.soft.peeks());
    }

    /// Hands over everything and frees every line.
    fn drain(&mut self) {
        sweep(&mut self.soft, Self::ticks(self.reached.unwrap_or(0)), true);
    }

    fn count(&mut self) -> Result<Step, FileError> {
        let Some(captured) = self.file.next()? else { return Ok(Step::End) };
        let ifindex = captured.interface + 1;
        let meta = Meta {
            frame: captured.frame(ifindex),
            ifindex,
            direction: captured.direction,
            len: captured.len + captured.stripped,
        };
        let reached = self.reached.unwrap_or(captured.time_ns);
        let behind = reached.saturating_sub(captured.time_ns);
        if behind > REBASE.as_nanos() as i64 {
            self.rebased += 1;
            self.held = Some(Held { bytes: captured.bytes.to_vec(), meta, time_ns: captured.time_ns });
            return Ok(Step::Leap);
        }
        if behind > 0 {
            self.late += 1;
            self.late_max_ns = self.late_max_ns.max(behind);
        }
        let now = reached.max(captured.time_ns);
        let is_due = now >= self.next_sweep;
        if is_due {
            // Before this packet, not after: it may come after a silence longer than a line's 16 bits can tell.
            sweep(&mut self.soft, Self::ticks(reached), false);
            self.next_sweep = now.saturating_add(SWEEP.as_nanos() as i64);
        }
        self.reached = Some(now);
        // The record's own time: a copy that comes late does not change how long an answer took.
        self.soft.set_time(captured.time_ns.cast_unsigned());
        observe(&mut self.soft, captured.bytes, &meta, Self::ticks(now));
        Ok(if is_due { Step::Swept } else { Step::Counted })
    }

    /// Starts the clock anew with the frame that leapt back.
    fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.reached = Some(held.time_ns);
        self.next_sweep = held.time_ns.saturating_add(SWEEP.as_nanos() as i64);
        self.soft.set_time(held.time_ns.cast_unsigned());
        observe(&mut self.soft, &held.bytes, &held.meta, Self::ticks(held.time_ns));
    }
}

/// Hands over all counters in order of time: a sweep goes by the hash, which is secret, and the same file shall give the
/// same flows each time. On a tie the packet that opened a connection comes first.
fn sweep(soft: &mut SoftDatapath, now: u32, drain: bool) {
    let from = soft.records().len();
    soft.sweep(now, IDLE_TICKS, drain);
    let base = now.wrapping_sub(1 << 31);
    let swept = soft.records().get_mut(from..).unwrap_or_default();
    swept.sort_by_key(|record| (record.first_ticks().wrapping_sub(base), !record.line.opened()));
}

#[inline]
fn observe(soft: &mut SoftDatapath, bytes: &[u8], meta: &Meta, now: u32) {
    match &meta.frame {
        // A refusal has been tallied under its reason.
        Some(frame) => _ = soft.observe(&FrameBytes(bytes), frame, now),
        None => soft.refuse(meta.ifindex, meta.direction, Reason::UnknownLink, meta.len),
    }
}

impl Source for FileSource {
    fn poll(&mut self, _timeout: Duration, batch: &mut Batch) -> Result<Progress, SourceError> {
        if self.ended {
            return Ok(Progress::End);
        }
        self.release();
        for _ in 0..FRAMES_PER_POLL {
            let step = self.count().unwrap_or_else(|error| {
                self.failure = Some(error);
                Step::End
            });
            match step {
                Step::Counted => continue,
                Step::Swept => {}
                Step::Leap => self.drain(),
                Step::End => {
                    self.ended = true;
                    self.drain();
                }
            }
            break;
        }
        self.stamp(batch);
        Ok(if self.ended { Progress::End } else { Progress::More })
    }

    fn refresh(&mut self) -> Result<(Vec<Interface>, Vec<u32>), SourceError> {
        let described = self.file.interfaces();
        let interfaces: Vec<Interface> = described
            .iter()
            .zip(1..)
            .map(|(interface, index)| Interface {
                index,
                name: match interface.name.as_deref().filter(|name| !name.is_empty()) {
                    Some(name) => name.to_owned(),
                    None if described.len() > 1 => format!("{}#{}", self.name, index - 1),
                    None => self.name.clone(),
                },
                up: true,
                ..Interface::default()
            })
            .collect();
        let captured = interfaces.iter().map(|interface| interface.index).collect();
        Ok((interfaces, captured))
    }

    fn tallies(&mut self) -> Result<Vec<(TallyKey, Tally)>, SourceError> {
        Ok(self.soft.tallies())
    }

    fn losses(&self) -> Vec<SourceLoss> {
        let file = self.file.losses();
        let loss = |name, meaning, count| SourceLoss { name, meaning, count, packets: 0, bytes: 0 };
        vec![
            SourceLoss {
                packets: file.dropped,
                ..loss("capture_dropped", "Packets the capturing program says it dropped.", file.dropped)
            },
            loss(
                "capture_blocks_skipped",
                "Blocks of the file that hold no packets and were passed over.",
                file.skipped_blocks,
            ),
            loss(
                "capture_records_untimed",
                "Records without a time of their own; they got that of the packet before.",
                file.untimed,
            ),
            loss("capture_records_late", "Records out of time order; counted at the time already reached.", self.late),
            loss(
                "capture_clock_restarts",
                "Leaps back of more than a minute; the clock was started anew.",
                self.rebased,
            ),
        ]
    }

    fn about(&self) -> About {
        About { name: "file", fallback_reason: None, tick_ns: TICK_NS }
    }

    fn finish(&mut self, batch: &mut Batch) -> Result<(), SourceError> {
        if !self.ended {
            self.ended = true;
            self.release();
            self.drain();
        }
        self.stamp(batch);
        Ok(())
    }
}
