//! Where packets come from: the kernel's datapath, AF_PACKET, capture files. One trait, so that nobody behind it can
//! tell the difference: all three hand over the same records.

mod clock;
mod ebpf;
mod file;
mod packet;
mod qdisc;

use std::time::Duration;

use hivewall_datapath::{PeekHead, Record, Tally, TallyKey};
use hivewall_model::{Interface, TickClock, Timestamp};
use hivewall_soft::Copies;

pub use ebpf::{EbpfOptions, EbpfSource, Hook, uninstall};
pub use file::FileSource;
pub use packet::PacketSource;

use crate::ebpf::EbpfError;
use crate::file::FileError;
use crate::link::{InterfaceFilter, LinkError};

/// What one poll gave. Reused from poll to poll; the caller clears `records`.
#[derive(Debug, Default)]
pub struct Batch {
    /// Records, in the order of each ring.
    pub records: Vec<Record>,
    /// The clock their ticks are of.
    pub clock: TickClock,
    /// Time at the end of the batch.
    pub now: Timestamp,
    /// Payload copied for whoever reads names; the caller clears it.
    pub peeks: Peeks,
}

/// Copies of payload, one behind the other. A packet that passes several interfaces, or one of them twice (forwarded,
/// bridged, loopback), is copied at each: whoever reads them takes the first.
#[derive(Clone, Debug, Default)]
pub struct Peeks {
    heads: Vec<(Timestamp, PeekHead, usize)>,
    bytes: Vec<u8>,
}

impl Peeks {
    /// Adds one; `payload` holds as many bytes as the head says were captured.
    pub fn push(&mut self, time: Timestamp, head: PeekHead, payload: &[u8]) {
        self.heads.push((time, head, self.bytes.len()));
        self.bytes.extend_from_slice(payload);
    }

    /// Takes over what the datapath in user space copied, whose times are wall-clock times.
    fn take(&mut self, copies: &mut Copies) {
        for (head, payload) in copies.iter() {
            self.push(Timestamp(head.time_ns.cast_signed()), *head, payload);
        }
        copies.clear();
    }

    /// All of them in order: wall-clock time, head, copied bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, &PeekHead, &[u8])> {
        self.heads.iter().map(|(time, head, at)| {
            let payload = self.bytes.get(*at..at + usize::from(head.captured)).unwrap_or_default();
            (*time, head, payload)
        })
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

/// How a poll went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more at once.
    More,
    /// Nothing more for now.
    Idle,
    /// The source is used up: a file came to its end.
    End,
}

/// Something that was not seen, by reason, since the source was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLoss {
    /// Name in metrics and snapshots.
    pub name: &'static str,
    /// What was lost and what it means.
    pub meaning: &'static str,
    /// Events.
    pub count: u64,
    /// Packets, where that is known.
    pub packets: u64,
    /// Bytes, where that is known.
    pub bytes: u64,
}

/// What a source says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct About {
    /// `ebpf-tcx`, `ebpf-clsact`, `af-packet` or `file`.
    pub name: &'static str,
    /// Why not a better one.
    pub fallback_reason: Option<String>,
    /// Resolution of flow times, nanoseconds.
    pub tick_ns: u64,
}

/// A source of records.
pub trait Source: Send {
    /// Waits at most `timeout` for packets and appends what there is to the batch.
    fn poll(&mut self, timeout: Duration, batch: &mut Batch) -> Result<Progress, SourceError>;

    /// Looks at the host's interfaces anew, begins with those that appeared and lets go of those that went. Returns all
    /// interfaces and the indices of those that are captured. Wanted about once a second.
    fn refresh(&mut self) -> Result<(Vec<Interface>, Vec<u32>), SourceError>;

    /// What was counted apart from flows since the source was opened.
    fn tallies(&mut self) -> Result<Vec<(TallyKey, Tally)>, SourceError>;

    /// What was not seen.
    fn losses(&self) -> Vec<SourceLoss>;

    /// What it is.
    fn about(&self) -> About;

    /// Keeps what it attached after this process, or no longer. Nothing to keep is kept without an error.
    fn hold(&mut self, keep: bool) -> Result<(), SourceError> {
        let _ = keep;
        Ok(())
    }

    /// Interfaces that the front could not be put before, though it was wanted, and why.
    fn without_front(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Stops and hands over everything still held.
    fn finish(&mut self, batch: &mut Batch) -> Result<(), SourceError>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn poll(&mut self, timeout: Duration, batch: &mut Batch) -> Result<Progress, SourceError> {
        (**self).poll(timeout, batch)
    }

    fn refresh(&mut self) -> Result<(Vec<Interface>, Vec<u32>), SourceError> {
        (**self).refresh()
    }

    fn tallies(&mut self) -> Result<Vec<(TallyKey, Tally)>, SourceError> {
        (**self).tallies()
    }

    fn losses(&self) -> Vec<SourceLoss> {
        (**self).losses()
    }

    fn about(&self) -> About {
        (**self).about()
    }

    fn hold(&mut self, keep: bool) -> Result<(), SourceError> {
        (**self).hold(keep)
    }

    fn without_front(&self) -> Vec<(String, String)> {
        (**self).without_front()
    }

    fn finish(&mut self, batch: &mut Batch) -> Result<(), SourceError> {
        (**self).finish(batch)
    }
}

/// What can go wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The kernel's datapath.
    #[error(transparent)]
    Ebpf(#[from] EbpfError),
    /// A link could not be pinned, or taken over.
    #[error("what is to outlive the agent cannot be kept at {place}: {source}; `hivewall uninstall` removes what is there", place = place.display())]
    Pin {
        /// Where.
        place: std::path::PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The interfaces cannot be listed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// AF_PACKET.
    #[error(transparent)]
    Packet(#[from] crate::packet::PacketError),
    /// A capture file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program could not be attached.
    #[error(
        "cannot attach to {interface}: {source}; another program may hold the hook exclusively, or the interface went away"
    )]
    Attach {
        /// Interface name.
        interface: String,
        /// The loader's account.
        source: Box<aya::programs::ProgramError>,
    },
    /// No interface fits the configuration.
    #[error("no interface matches {wanted}; there are: {present}. Name one with --interface, or --loopback for lo")]
    NoInterface {
        /// The patterns.
        wanted: String,
        /// Names of what there is.
        present: String,
    },
}

impl SourceError {
    fn no_interface(filter: &InterfaceFilter, all: &[Interface], why: Option<String>) -> Self {
        let names: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
        let present = names.join(", ");
        Self::NoInterface {
            wanted: if filter.include.is_empty() {
                "the default (all but lo)".to_owned()
            } else {
                filter.include.join(", ")
            },
            present: why.map_or_else(|| present.clone(), |why| format!("{present} ({why})")),
        }
    }
}

/// A secret for the flow hash from the system's random source.
pub fn random_seed() -> Result<hivewall_datapath::HashSeed, EbpfError> {
    let mut bytes = [0_u8; 56];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the pointer and length describe `rest`.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        if got < 0 {
            return Err(EbpfError::last("getrandom"));
        }
        done += got as usize;
    }
    let mut seed = hivewall_datapath::HashSeed::default();
    let (chunks, _) = bytes.as_chunks::<4>();
    for (word, chunk) in seed.words.iter_mut().zip(chunks) {
        *word = u32::from_ne_bytes(*chunk);
    }
    let multiplier = chunks.iter().skip(12).map(|c| u64::from(u32::from_ne_bytes(*c)));
    seed.multiplier = multiplier.fold(0, |sum, word| sum << 32 | word);
    Ok(seed)
}

/// Wall-clock time.
pub fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
