//! The classic pcap format: one header, then records of 16 bytes and the packet.
//!
//! It does not look for a lost record boundary: after an impossible record there is only the error. Invariant: a
//! record is consumed whole or not at all.

use hivewall_datapath::Direction;

use super::window::{Order, Window};
use super::{CAPTURED_BYTES_MAX, CaptureInterface, FileError, Progress, Record, Resolution};

const HEADER_BYTES: usize = 24;
const RECORD_BYTES: usize = 16;
/// Alexey Kuznetsov's patch to libpcap appended interface, protocol and packet type to each record header.
const MODIFIED_RECORD_BYTES: usize = 24;

/// What the magic number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    order: Order,
    resolution: Resolution,
    record_bytes: usize,
}

/// Magic numbers as the writing host's words.
pub(super) const MAGICS: [u32; 3] = [0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34];

impl Variant {
    pub(super) fn of(magic: [u8; 4]) -> Option<Variant> {
        [Order::Little, Order::Big].into_iter().find_map(|order| {
            let (resolution, record_bytes) = match order.u32(magic) {
                0xa1b2_c3d4 => (Resolution::MICROSECONDS, RECORD_BYTES),
                0xa1b2_3c4d => (Resolution::NANOSECONDS, RECORD_BYTES),
                0xa1b2_cd34 => (Resolution::MICROSECONDS, MODIFIED_RECORD_BYTES),
                _ => return None,
            };
            Some(Variant { order, resolution, record_bytes })
        })
    }
}

/// The file header, as far as records need it.
#[derive(Debug)]
pub(super) struct Header {
    variant: Variant,
    nanos_per_unit: u32,
    /// Before version 2.4 some writers had the two lengths of a record the other way round.
    lengths_may_be_swapped: bool,
    interface: CaptureInterface,
}

impl Header {
    pub(super) fn read(variant: Variant, window: &mut Window, progress: &mut Progress) -> Result<Header, FileError> {
        if !window.have(HEADER_BYTES)? {
            return Err(FileError::CutOff { offset: 0, records: 0 });
        }
        let order = variant.order;
        let [_, _, _, _, j0, j1, n0, n1] = window.peek::<8>(0).unwrap_or_default();
        let (major, minor) = (order.u16([j0, j1]), order.u16([n0, n1]));
        if major != 2 {
            return Err(FileError::Version { format: "pcap", major, minor });
        }
        let [snaplen, network] = order.words(window.rest().get(16..).unwrap_or_default()).unwrap_or_default();
        // The upper half says whether frames end in a checksum, which is then on the wire like the rest.
        let interface = CaptureInterface::new(network as u16, snaplen, variant.resolution);
        progress.interfaces.push(interface.clone());
        window.consume(HEADER_BYTES);
        let nanos_per_unit = if variant.resolution == Resolution::NANOSECONDS { 1 } else { 1000 };
        Ok(Header { variant, nanos_per_unit, lengths_may_be_swapped: minor < 4, interface })
    }

    #[inline]
    pub(super) fn record(&self, window: &mut Window, progress: &mut Progress) -> Result<Option<Record>, FileError> {
        let header_bytes = self.variant.record_bytes;
        if !window.have(header_bytes)? {
            return if window.rest().is_empty() { Ok(None) } else { Err(cut_off(window, progress)) };
        }
        let words = self.variant.order.words::<4>(window.rest()).unwrap_or_default();
        let [seconds, fraction, mut captured, mut original] = words;
        if self.lengths_may_be_swapped && captured > original {
            (captured, original) = (original, captured);
        }
        if captured > CAPTURED_BYTES_MAX {
            let (offset, records) = (window.position(), progress.records);
            return Err(FileError::TooLong { offset, captured, records });
        }
        if !window.have(header_bytes + captured as usize)? {
            return Err(cut_off(window, progress));
        }
        if captured > self.interface.snaplen && self.interface.snaplen != 0 {
            progress.losses.over_snaplen += 1;
        }
        let at = window.start() + header_bytes;
        window.consume(header_bytes + captured as usize);
        Ok(Some(Record {
            // At most 2^32 * (10^9 + 1000): no overflow, even where the fraction is more than a second.
            time_ns: i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * i64::from(self.nanos_per_unit),
            at,
            captured,
            original,
            interface: 0,
            layout: self.interface.layout,
            direction: Direction::Ingress,
        }))
    }
}

#[cold]
fn cut_off(window: &Window, progress: &Progress) -> FileError {
    FileError::CutOff { offset: window.position(), records: progress.records }
}
