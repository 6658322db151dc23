//! Capture files: frames out of pcap and pcapng, from memory, a file, a pipe or standard input.
//!
//! The reader knows the two container formats and takes off the link headers that are not on the wire (Linux cooked,
//! BSD loopback); it does not look into packets, sort them, or turn the capture's interfaces into the host's. Block
//! and record layouts are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
//!
//! Invariant: every whole record is delivered once, in file order, before an error is; no input makes it panic,
//! loop, or hold more than [`BUFFER_BYTES`] of the file (the interface list apart, which [`INTERFACES_MAX`] bounds).
//!
//! The `pcap-parser` crate stands beside this reader as the tests' second opinion and not beneath it, because it
//! refuses time resolutions that are powers of two, reads the time offset of big-endian files as little-endian,
//! does not know the obsolete packet block, and allocates for each packet that has options.

mod ahead;
mod error;
mod link;
mod pcap;
mod pcapng;
mod time;
mod window;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hivewall_datapath::{Direction, Frame, Link};

pub use error::{Fault, FileError, Found};
pub use time::Resolution;

use link::Layout;
use time::Scale;
use window::Window;

/// Most captured bytes one record may hold: libpcap's own limit for network captures (`MAXIMUM_SNAPLEN`).
pub const CAPTURED_BYTES_MAX: u32 = 256 * 1024;

/// Bytes of a file held at a time; also the largest pcapng block that is looked into. A file that was given as bytes
/// is held whole.
pub const BUFFER_BYTES: usize = 1024 * 1024;

/// Interfaces one file may describe, all sections together.
pub const INTERFACES_MAX: usize = 65_536;

/// Bytes of an interface name that are kept.
pub const INTERFACE_NAME_BYTES_MAX: usize = 256;

/// One packet record of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedFrame<'a> {
    /// Nanoseconds since the Unix epoch. A simple packet block has no time: it gets that of the packet before it.
    pub time_ns: i64,
    /// The captured bytes, from behind the link header where that was taken off.
    pub bytes: &'a [u8],
    /// Length on the wire from `bytes[0]`; more than `bytes.len()` when the capture cut the frame.
    pub len: u32,
    /// Bytes of the link header that was taken off.
    pub stripped: u32,
    /// How to read `bytes[0]`; `None` when the link type is not one that can be read. A frame that the capture cut
    /// inside its link header has no bytes and is [`Link::Ip`], which the datapath refuses as snapped.
    pub link: Option<Link>,
    /// Index into [`CaptureFile::interfaces`].
    pub interface: u32,
    /// The capturing host's interface index where the link header carries it (Linux cooked v2), else 0.
    pub ifindex: u32,
    /// Egress only where the file says so.
    pub direction: Direction,
}

impl CapturedFrame<'_> {
    /// What the datapath wants to know besides the bytes, as seen on `ifindex` (at least 1); `None` for an unknown
    /// link.
    #[inline]
    pub fn frame(&self, ifindex: u32) -> Option<Frame> {
        Some(Frame {
            link: self.link?,
            len: self.len,
            stripped: self.stripped,
            segments: 1,
            segment_size: 0,
            vlan: None,
            ifindex,
            direction: self.direction,
        })
    }
}

/// An interface that the file describes; a pcap file has exactly one, without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureInterface {
    /// `if_name`, with control characters replaced.
    pub name: Option<String>,
    /// LINKTYPE_ number (<https://www.tcpdump.org/linktypes.html>).
    pub link_type: u16,
    /// Bytes kept of each packet; 0 when there was no limit.
    pub snaplen: u32,
    /// Unit of its timestamps.
    pub resolution: Resolution,
    /// Seconds to add to its timestamps.
    pub offset_s: i64,
    /// 0-based section of a pcapng file.
    pub section: u32,
    /// Packets that the capturing program lost on it, by its own account (statistics and packet blocks).
    pub dropped: u64,
    layout: Layout,
    scale: Scale,
    dropped_by_packets: u64,
}

impl CaptureInterface {
    fn new(link_type: u16, snaplen: u32, resolution: Resolution) -> Self {
        CaptureInterface {
            name: None,
            link_type,
            snaplen,
            resolution,
            offset_s: 0,
            section: 0,
            dropped: 0,
            layout: Layout::of(link_type),
            scale: resolution.scale(),
            dropped_by_packets: 0,
        }
    }
}

/// What the file does not show, or shows wrongly, though it could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileLosses {
    /// Packets lost by the capturing program, by its own account, over all interfaces.
    pub dropped: u64,
    /// pcapng blocks that carry no packet hivewall can read (name resolution, secrets, custom and unknown ones).
    pub skipped_blocks: u64,
    /// Packets without a time of their own.
    pub untimed: u64,
    /// Packets whose time lies outside the years 1677 to 2262; they are delivered at the nearest time inside.
    pub time_out_of_range: u64,
    /// Packets longer than the snapshot length that the file itself declares; delivered whole.
    pub over_snaplen: u64,
    /// Packets with fewer bytes on the wire than were captured; the captured length is used for both.
    pub length_mended: u64,
}

/// What is learnt on the way through a file.
#[derive(Debug, Default)]
struct Progress {
    interfaces: Vec<CaptureInterface>,
    losses: FileLosses,
    records: u64,
    last_ns: i64,
}

/// A packet record as the container describes it, before its link header is read.
#[derive(Clone, Copy)]
struct Record {
    time_ns: i64,
    /// Where its bytes start in the window's buffer.
    at: usize,
    captured: u32,
    original: u32,
    interface: u32,
    layout: Layout,
    direction: Direction,
}

#[derive(Debug)]
enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

/// A capture being read, frame by frame.
#[derive(Debug)]
pub struct CaptureFile {
    window: Window,
    format: Format,
    progress: Progress,
    size: Option<u64>,
    /// The end was reached or an error given; there is nothing more to come.
    done: bool,
}

impl CaptureFile {
    /// Opens a capture; `-` is standard input. Reads as far as the file header.
    pub fn open(path: impl AsRef<Path>) -> Result<CaptureFile, FileError> {
        let path = path.as_ref();
        if path.as_os_str() == "-" {
            return CaptureFile::from_reader(io::stdin(), None);
        }
        let refused = |source| FileError::Open { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(refused)?;
        let meta = file.metadata().map_err(refused)?;
        if meta.is_file() {
            let size = Some(meta.len());
            return CaptureFile::from_reader(ahead::ReadAhead::start(file).map_err(refused)?, size);
        }
        CaptureFile::from_reader(file, None)
    }

    /// Reads a capture that is in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<CaptureFile, FileError> {
        let size = bytes.len() as u64;
        CaptureFile::start(Window::over(bytes), Some(size))
    }

    /// Reads a capture as it arrives; `size` in bytes when it is known beforehand.
    pub fn from_reader(reader: impl Read + Send + 'static, size: Option<u64>) -> Result<CaptureFile, FileError> {
        CaptureFile::start(Window::streaming(Box::new(reader)), size)
    }

    fn start(mut window: Window, size: Option<u64>) -> Result<CaptureFile, FileError> {
        let mut progress = Progress::default();
        if !window.have(4)? {
            return Err(error::no_magic(window.rest()));
        }
        let magic = window.peek::<4>(0).unwrap_or_default();
        let format = if magic == pcapng::SECTION_HEADER.to_le_bytes() {
            Format::Pcapng(pcapng::Section::start(&mut window, &mut progress)?)
        } else if let Some(variant) = pcap::Variant::of(magic) {
            Format::Pcap(pcap::Header::read(variant, &mut window, &mut progress)?)
        } else {
            window.have(error::SNIFFED_BYTES)?;
            return Err(FileError::NotACapture { found: Found::of(window.rest()) });
        };
        Ok(CaptureFile { window, format, progress, size, done: false })
    }

    /// The next frame, in file order; `None` at the end. Each error is given once, after all the frames before it;
    /// after it there is `None`.
    #[expect(clippy::should_implement_trait, reason = "the frame is lent from the buffer, which Iterator cannot say")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<CapturedFrame<'_>>, FileError> {
        if self.done {
            return Ok(None);
        }
        let read = match &mut self.format {
            Format::Pcap(header) => header.record(&mut self.window, &mut self.progress),
            Format::Pcapng(section) => section.record(&mut self.window, &mut self.progress),
        };
        match read {
            Ok(Some(record)) => {
                self.progress.records += 1;
                Ok(Some(frame(record, &self.window, &mut self.progress.losses)))
            }
            end => {
                self.done = true;
                end.map(|_| None)
            }
        }
    }

    /// The interfaces described so far: one for pcap, any number for pcapng, where they may come between packets.
    pub fn interfaces(&self) -> &[CaptureInterface] {
        &self.progress.interfaces
    }

    /// Frames delivered so far.
    pub fn records(&self) -> u64 {
        self.progress.records
    }

    /// Bytes of the file behind us.
    pub fn position(&self) -> u64 {
        self.window.position()
    }

    /// Bytes of the whole file; `None` for a pipe.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// What could not be read, or was mended, so far.
    pub fn losses(&self) -> &FileLosses {
        &self.progress.losses
    }
}

#[inline]
fn frame<'a>(record: Record, window: &'a Window, losses: &mut FileLosses) -> CapturedFrame<'a> {
    let bytes = window.buffered(record.at, record.captured as usize);
    let mut original = record.original;
    if original < record.captured {
        losses.length_mended += 1;
        original = record.captured;
    }
    let head = record.layout.read(bytes);
    // A header that the capture cut short is longer than the bytes there are.
    let stripped = head.size.min(original);
    CapturedFrame {
        time_ns: record.time_ns,
        bytes: bytes.get(head.size as usize..).unwrap_or_default(),
        len: original - stripped,
        stripped,
        link: head.link,
        interface: record.interface,
        ifindex: head.ifindex,
        direction: if head.outgoing { Direction::Egress } else { record.direction },
    }
}
