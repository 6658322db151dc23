//! Capture files as a source: virtual time, the datapath in user space.
//!
//! The clock is the capture's own, in milliseconds, and never runs backwards by less than [`REBASE`]: a record that
//! comes late counts at the time already reached, and is counted as late. A larger leap back starts the clock anew.

use std::path::Path;
use std::time::Duration;

use hivewall_datapath::{FrameBytes, HashSeed, Reason, Tally, TallyKey};
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
            ended: false,
            failure: None,
        }
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
        batch.clock = TickClock {
            ticks: ticks as u64,
            time: Timestamp(ticks.saturating_mul(TICK_NS as i64)),
            tick_ns: TICK_NS,
        };
        batch.records.append(self.soft.records());
    }

    fn sweep(&mut self, drain: bool) {
        let now = self.reached.unwrap_or(0);
        self.soft.sweep(Self::ticks(now), IDLE_TICKS, drain);
        self.next_sweep = now.saturating_add(SWEEP.as_nanos() as i64);
    }

    fn count(&mut self) -> Result<bool, FileError> {
        let Some(captured) = self.file.next()? else { return Ok(false) };
        let reached = self.reached.unwrap_or(captured.time_ns);
        let behind = reached.saturating_sub(captured.time_ns);
        let now = if behind <= 0 {
            captured.time_ns
        } else if behind <= REBASE.as_nanos() as i64 {
            self.late += 1;
            self.late_max_ns = self.late_max_ns.max(behind);
            reached
        } else {
            self.rebased += 1;
            captured.time_ns
        };
        self.reached = Some(now);
        let ifindex = captured.interface + 1;
        match captured.frame(ifindex) {
            // A refusal has been tallied under its reason.
            Some(frame) => _ = self.soft.observe(&FrameBytes(captured.bytes), &frame, Self::ticks(now)),
            None => self.soft.refuse(ifindex, captured.direction, Reason::UnknownLink, captured.len + captured.stripped),
        }
        Ok(true)
    }
}

impl Source for FileSource {
    fn poll(&mut self, _timeout: Duration, batch: &mut Batch) -> Result<Progress, SourceError> {
        if self.ended {
            return Ok(Progress::End);
        }
        for _ in 0..FRAMES_PER_POLL {
            let (before, rebased) = (self.reached, self.rebased);
            let more = self.count().unwrap_or_else(|error| {
                self.failure = Some(error);
                false
            });
            if !more {
                self.ended = true;
                self.sweep(true);
                break;
            }
            let now = self.reached.unwrap_or(0);
            if before.is_none() {
                self.next_sweep = now.saturating_add(SWEEP.as_nanos() as i64);
            }
            if now >= self.next_sweep || rebased != self.rebased {
                self.sweep(false);
                break;
            }
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
            loss("capture_blocks_skipped", "Blocks of the file that hold no packets and were passed over.", file.skipped_blocks),
            loss("capture_records_untimed", "Records without a time of their own; they got that of the packet before.", file.untimed),
            loss("capture_records_late", "Records out of time order; counted at the time already reached.", self.late),
            loss("capture_clock_restarts", "Leaps back of more than a minute; the clock was started anew.", self.rebased),
        ]
    }

    fn about(&self) -> About {
        About { name: "file", fallback_reason: None, tick_ns: TICK_NS }
    }

    fn finish(&mut self, batch: &mut Batch) -> Result<(), SourceError> {
        if !self.ended {
            self.ended = true;
            self.sweep(true);
        }
        self.stamp(batch);
        Ok(())
    }
}

