//! The pcapng format: sections of blocks, of which those with packets, interfaces and statistics are read.
//!
//! Name resolution, decryption secrets, custom and unknown blocks are stepped over and counted, whatever their size.
//! Invariant: a block is consumed whole or not at all, and its two lengths agree.

use hivewall_datapath::Direction;

use super::window::{Order, Window};
use super::{
    BUFFER_BYTES, CAPTURED_BYTES_MAX, CaptureInterface, Fault, FileError, INTERFACE_NAME_BYTES_MAX, INTERFACES_MAX,
    Progress, Record, Resolution,
};

/// The same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type, length, and the length again at the end.
const BLOCK_FRAME_BYTES: u32 = 12;

const OPTION_END: u16 = 0;
const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_TSRESOL: u16 = 9;
const OPTION_IF_TSOFFSET: u16 = 14;
const OPTION_PACKET_FLAGS: u16 = 2;
const OPTION_PACKET_DROPS: u16 = 4;
const OPTION_STATISTICS_IF_DROPS: u16 = 5;
const OPTION_STATISTICS_OS_DROPS: u16 = 7;

/// Drops unknown, in the obsolete packet block.
const DROPS_UNKNOWN: u16 = u16::MAX;

/// The section being read.
#[derive(Debug)]
pub(super) struct Section {
    order: Order,
    number: u32,
    /// Index of its first interface among those of the file.
    first: usize,
}

/// The head of a block, checked as far as its length.
#[derive(Clone, Copy)]
struct Block {
    kind: u32,
    total: u32,
    offset: u64,
}

/// A packet block's fields, whichever its kind.
struct Fields {
    interface: u32,
    units: u64,
    captured: u32,
    original: u32,
    /// Where the packet's bytes begin in the block's body.
    data_at: usize,
}

impl Section {
    /// Reads the first section header; the window is at a [`SECTION_HEADER`].
    pub(super) fn start(window: &mut Window, progress: &mut Progress) -> Result<Section, FileError> {
        let mut section = Section { order: Order::Little, number: 0, first: 0 };
        match section.head(window, progress)? {
            Some(block) => section.begin(block, window, progress)?,
            None => return Err(FileError::CutOff { offset: 0, records: 0 }),
        }
        Ok(section)
    }

    /// The next packet, past whatever other blocks come before it.
    #[inline]
    pub(super) fn record(&mut self, window: &mut Window, progress: &mut Progress) -> Result<Option<Record>, FileError> {
        loop {
            let Some(block) = self.head(window, progress)? else { return Ok(None) };
            match block.kind {
                ENHANCED_PACKET => {
                    load(block, self.order, window, progress)?;
                    return self.enhanced(block, window, progress).map(Some);
                }
                SIMPLE_PACKET => {
                    load(block, self.order, window, progress)?;
                    return self.simple(block, window, progress).map(Some);
                }
                OBSOLETE_PACKET => {
                    load(block, self.order, window, progress)?;
                    return self.obsolete(block, window, progress).map(Some);
                }
                SECTION_HEADER => {
                    self.begin(block, window, progress)?;
                    self.number = self.number.saturating_add(1);
                }
                INTERFACE_DESCRIPTION => self.describe(block, window, progress)?,
                INTERFACE_STATISTICS => self.statistics(block, window, progress)?,
                _ => self.step_over(block, window, progress)?,
            }
        }
    }

    /// Type and length of the next block; `None` at the end of the file.
    #[inline]
    fn head(&mut self, window: &mut Window, progress: &Progress) -> Result<Option<Block>, FileError> {
        let offset = window.position();
        let records = progress.records;
        if !window.have(BLOCK_FRAME_BYTES as usize)? {
            return if window.rest().is_empty() { Ok(None) } else { Err(FileError::CutOff { offset, records }) };
        }
        let [mut kind, mut total, magic] = self.order.words::<3>(window.rest()).unwrap_or_default();
        if kind == SECTION_HEADER {
            if magic != BYTE_ORDER_MAGIC {
                self.order = if self.order == Order::Little { Order::Big } else { Order::Little };
                if magic.swap_bytes() != BYTE_ORDER_MAGIC {
                    return Err(FileError::Broken { offset, records, fault: Fault::ByteOrder });
                }
            }
            [kind, total] = self.order.words(window.rest()).unwrap_or_default();
        }
        if total < BLOCK_FRAME_BYTES || !total.is_multiple_of(4) {
            return Err(FileError::Broken { offset, records, fault: Fault::Length { length: total } });
        }
        Ok(Some(Block { kind, total, offset }))
    }

    /// A section header: interfaces are numbered anew from here.
    fn begin(&mut self, block: Block, window: &mut Window, progress: &Progress) -> Result<(), FileError> {
        load(block, self.order, window, progress)?;
        let body = body(block, window);
        let Some([_, _, _, _, j0, j1, n0, n1, ..]) = body.first_chunk::<16>() else {
            return Err(block.broken(progress, Fault::Short { kind: block.kind }));
        };
        let (major, minor) = (self.order.u16([*j0, *j1]), self.order.u16([*n0, *n1]));
        if major != 1 {
            return Err(FileError::Version { format: "pcapng", major, minor });
        }
        self.first = progress.interfaces.len();
        window.consume(block.total as usize);
        Ok(())
    }

    fn describe(&self, block: Block, window: &mut Window, progress: &mut Progress) -> Result<(), FileError> {
        load(block, self.order, window, progress)?;
        let body = body(block, window);
        let Some(([l0, l1, _, _, s0, s1, s2, s3], rest)) = body.split_first_chunk::<8>() else {
            return Err(block.broken(progress, Fault::Short { kind: block.kind }));
        };
        if progress.interfaces.len() >= INTERFACES_MAX {
            return Err(block.broken(progress, Fault::TooManyInterfaces));
        }
        let mut name = None;
        let mut resolution = Resolution::MICROSECONDS;
        let mut offset_s = 0;
        for (code, value) in Options::new(rest, self.order) {
            match (code, value) {
                (OPTION_IF_NAME, value) => name = Some(printable(value)),
                (OPTION_IF_TSRESOL, [value, ..]) => resolution = Resolution::from_option(*value),
                (OPTION_IF_TSOFFSET, value) => offset_s = self.u64(value).unwrap_or_default().cast_signed(),
                _ => {}
            }
        }
        let snaplen = self.order.u32([*s0, *s1, *s2, *s3]);
        let mut interface = CaptureInterface::new(self.order.u16([*l0, *l1]), snaplen, resolution);
        interface.name = name;
        interface.offset_s = offset_s;
        interface.section = self.number;
        progress.interfaces.push(interface);
        window.consume(block.total as usize);
        Ok(())
    }

    /// What the capturing program says it lost. Counts are since its start, so that the last block is the whole.
    fn statistics(&self, block: Block, window: &mut Window, progress: &mut Progress) -> Result<(), FileError> {
        load(block, self.order, window, progress)?;
        let body = body(block, window);
        let index = self.order.words::<1>(body).and_then(|[id]| self.index(id));
        let options = Options::new(body.get(12..).unwrap_or_default(), self.order);
        let drops = options
            .filter(|(code, _)| matches!(*code, OPTION_STATISTICS_IF_DROPS | OPTION_STATISTICS_OS_DROPS))
            .filter_map(|(_, value)| self.u64(value))
            .fold(0, u64::saturating_add);
        if let Some(interface) = index.and_then(|i| progress.interfaces.get_mut(i)) {
            let dropped = interface.dropped.max(drops);
            progress.losses.dropped = progress.losses.dropped.saturating_add(dropped - interface.dropped);
            interface.dropped = dropped;
        }
        window.consume(block.total as usize);
        Ok(())
    }

    fn step_over(&self, block: Block, window: &mut Window, progress: &mut Progress) -> Result<(), FileError> {
        let (offset, records) = (block.offset, progress.records);
        if !window.skip(u64::from(block.total) - 4)? || !window.have(4)? {
            return Err(FileError::CutOff { offset, records });
        }
        trailing(block, self.order, window.peek(0), progress)?;
        window.consume(4);
        progress.losses.skipped_blocks += 1;
        Ok(())
    }

    #[inline]
    fn enhanced(&self, block: Block, window: &mut Window, progress: &mut Progress) -> Result<Record, FileError> {
        let Some([interface, high, low, captured, original]) = self.order.words(body(block, window)) else {
            return Err(block.broken(progress, Fault::Short { kind: block.kind }));
        };
        let units = u64::from(high) << 32 | u64::from(low);
        self.packet(block, &Fields { interface, units, captured, original, data_at: 20 }, window, progress)
    }

    fn obsolete(&self, block: Block, window: &mut Window, progress: &mut Progress) -> Result<Record, FileError> {
        let body = body(block, window);
        let (Some([i0, i1, d0, d1]), Some([_, high, low, captured, original])) =
            (body.first_chunk::<4>(), self.order.words(body))
        else {
            return Err(block.broken(progress, Fault::Short { kind: block.kind }));
        };
        let interface = u32::from(self.order.u16([*i0, *i1]));
        let drops = self.order.u16([*d0, *d1]);
        if drops != DROPS_UNKNOWN {
            self.dropped(interface, u64::from(drops), progress);
        }
        let units = u64::from(high) << 32 | u64::from(low);
        self.packet(block, &Fields { interface, units, captured, original, data_at: 20 }, window, progress)
    }

    #[inline]
    fn packet(
        &self,
        block: Block,
        fields: &Fields,
        window: &mut Window,
        progress: &mut Progress,
    ) -> Result<Record, FileError> {
        let &Fields { interface, units, captured, original, data_at } = fields;
        let Some((index, described)) = self.index(interface).and_then(|i| Some((i, progress.interfaces.get(i)?)))
        else {
            let described = (progress.interfaces.len() - self.first) as u32;
            return Err(block.broken(progress, Fault::NoInterface { interface, described }));
        };
        let body = body(block, window);
        let data_end = data_at.saturating_add(captured as usize);
        check_length(block, captured, body.len(), data_end, progress)?;
        let layout = described.layout;
        let over_snaplen = captured > described.snaplen && described.snaplen != 0;
        let time = described.scale.nanos(units, described.offset_s);
        let mut direction = Direction::Ingress;
        // Where there are no options the block ends with the padding.
        let options = body.get(data_end.next_multiple_of(4)..).unwrap_or_default();
        if !options.is_empty() {
            direction = self.packet_options(options, interface, progress);
        }
        progress.losses.over_snaplen += u64::from(over_snaplen);
        let time_ns = time.unwrap_or_else(|nearest| {
            progress.losses.time_out_of_range += 1;
            nearest
        });
        progress.last_ns = time_ns;
        let at = window.start() + 8 + data_at;
        window.consume(block.total as usize);
        Ok(Record { time_ns, at, captured, original, interface: index as u32, layout, direction })
    }

    fn simple(&self, block: Block, window: &mut Window, progress: &mut Progress) -> Result<Record, FileError> {
        let body = body(block, window);
        let Some([original]) = self.order.words(body) else {
            return Err(block.broken(progress, Fault::Short { kind: block.kind }));
        };
        let Some(described) = progress.interfaces.get(self.first) else {
            return Err(block.broken(progress, Fault::NoInterface { interface: 0, described: 0 }));
        };
        // The captured length is not written down: it is the original one, unless the snapshot length is less.
        let captured = if described.snaplen == 0 { original } else { original.min(described.snaplen) };
        check_length(block, captured, body.len(), 4_usize.saturating_add(captured as usize), progress)?;
        let layout = described.layout;
        progress.losses.untimed += 1;
        let at = window.start() + 12;
        window.consume(block.total as usize);
        let (time_ns, interface) = (progress.last_ns, self.first as u32);
        Ok(Record { time_ns, at, captured, original, interface, layout, direction: Direction::Ingress })
    }

    fn packet_options(&self, options: &[u8], interface: u32, progress: &mut Progress) -> Direction {
        let mut direction = Direction::Ingress;
        for (code, value) in Options::new(options, self.order) {
            match code {
                // The two lowest bits: 1 is inbound, 2 outbound.
                OPTION_PACKET_FLAGS if self.order.words::<1>(value).is_some_and(|[flags]| flags & 3 == 2) => {
                    direction = Direction::Egress;
                }
                OPTION_PACKET_DROPS => self.dropped(interface, self.u64(value).unwrap_or_default(), progress),
                _ => {}
            }
        }
        direction
    }

    /// Adds what a packet block says was lost before it; the statistics block counts the same packets again.
    fn dropped(&self, interface: u32, drops: u64, progress: &mut Progress) {
        let Some(interface) = self.index(interface).and_then(|i| progress.interfaces.get_mut(i)) else { return };
        interface.dropped_by_packets = interface.dropped_by_packets.saturating_add(drops);
        let dropped = interface.dropped.max(interface.dropped_by_packets);
        progress.losses.dropped = progress.losses.dropped.saturating_add(dropped - interface.dropped);
        interface.dropped = dropped;
    }

    #[inline]
    fn index(&self, interface: u32) -> Option<usize> {
        self.first.checked_add(interface as usize)
    }

    fn u64(&self, value: &[u8]) -> Option<u64> {
        value.first_chunk().map(|bytes| self.order.u64(*bytes))
    }
}

impl Block {
    #[cold]
    fn broken(self, progress: &Progress, fault: Fault) -> FileError {
        FileError::Broken { offset: self.offset, records: progress.records, fault }
    }
}

/// Gets a block into the buffer as a whole and compares its lengths.
#[inline]
fn load(block: Block, order: Order, window: &mut Window, progress: &Progress) -> Result<(), FileError> {
    let total = block.total as usize;
    if total > BUFFER_BYTES {
        return Err(block.broken(progress, Fault::TooLarge { length: block.total }));
    }
    if !window.have(total)? {
        return Err(FileError::CutOff { offset: block.offset, records: progress.records });
    }
    trailing(block, order, window.peek(total - 4), progress)
}

#[inline]
fn trailing(block: Block, order: Order, bytes: Option<[u8; 4]>, progress: &Progress) -> Result<(), FileError> {
    let trailing = order.u32(bytes.unwrap_or_default());
    if trailing == block.total {
        return Ok(());
    }
    Err(block.broken(progress, Fault::Lengths { leading: block.total, trailing }))
}

/// What lies between the lengths of a loaded block.
#[inline]
fn body(block: Block, window: &Window) -> &[u8] {
    window.rest().get(8..block.total as usize - 4).unwrap_or_default()
}

#[inline]
fn check_length(
    block: Block,
    captured: u32,
    body_len: usize,
    data_end: usize,
    progress: &Progress,
) -> Result<(), FileError> {
    if captured > CAPTURED_BYTES_MAX {
        return Err(FileError::TooLong { offset: block.offset, captured, records: progress.records });
    }
    if data_end > body_len {
        return Err(block.broken(progress, Fault::Overrun { captured, length: block.total }));
    }
    Ok(())
}

/// An interface name fit to be shown: it comes from outside and goes to terminals.
fn printable(name: &[u8]) -> String {
    let name = name.get(..INTERFACE_NAME_BYTES_MAX).unwrap_or(name);
    let name = String::from_utf8_lossy(name);
    name.trim_end_matches('\0').replace(char::is_control, "\u{fffd}")
}

/// Code and value of each option, up to the end mark or the first that is cut.
struct Options<'a> {
    rest: &'a [u8],
    order: Order,
}

impl<'a> Options<'a> {
    fn new(rest: &'a [u8], order: Order) -> Self {
        Options { rest, order }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([c0, c1, l0, l1], rest) = self.rest.split_first_chunk::<4>()?;
        let code = self.order.u16([*c0, *c1]);
        let len = usize::from(self.order.u16([*l0, *l1]));
        if code == OPTION_END {
            return None;
        }
        let value = rest.get(..len)?;
        self.rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    }
}
