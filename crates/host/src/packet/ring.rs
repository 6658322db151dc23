//! The memory that a packet socket shares with the kernel, and the only code that touches it.
//!
//! The ring is an array of blocks; a block belongs to the kernel until it sets the "user" bit of the block's status,
//! and then to us until we clear it. Within a block each frame gives the distance to the next. It knows nothing of
//! packets. Invariant: no byte of a block is read before its status says that it is ours, none after we have given it
//! back, and no offset that the kernel wrote is followed out of its block.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{PacketOptions, socket};

/// `struct virtio_net_hdr` (linux/virtio_net.h), which the kernel puts right before the frame.
const VIRTIO_HEADER_BYTES: usize = 10;
/// What the kernel asks of a frame size, which TPACKET_V3 otherwise ignores: frames lie as close as they fit.
const FRAME_BYTES: u32 = 2048;
/// Space around a frame in a block: the block's header, the frame's header with its address, the virtio header, the
/// gap that aligns the IP header, and the alignment of the next frame, generously.
const FRAME_ROOM_BYTES: u32 = 512;

pub(super) fn block_bytes_min(snap_bytes: u32) -> u32 {
    snap_bytes.saturating_add(FRAME_ROOM_BYTES).max(FRAME_BYTES)
}

/// A frame as the kernel left it.
pub(super) struct Raw<'a> {
    pub(super) time_ns: i64,
    /// Length on the wire.
    pub(super) len: u32,
    /// The leading bytes.
    pub(super) bytes: &'a [u8],
    /// The tag that was taken out of the frame.
    pub(super) vlan: Option<u16>,
    /// Sent, not received.
    pub(super) outgoing: bool,
    /// What the kernel knows of segments, if it was asked for.
    pub(super) virtio: Option<[u8; VIRTIO_HEADER_BYTES]>,
}

/// The ring contradicts itself.
#[derive(Debug)]
pub(super) struct Broken;

/// The mapped ring.
pub(super) struct Ring {
    base: NonNull<u8>,
    bytes: NonZeroUsize,
    block_bytes: usize,
    blocks: usize,
    /// The block that the kernel hands over next.
    next: usize,
    has_virtio: bool,
}

// SAFETY: the mapping belongs to this value alone; nothing in it is tied to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Makes and maps the ring of a socket that speaks TPACKET_V3.
    pub(super) fn map(fd: BorrowedFd<'_>, options: &PacketOptions, has_virtio: bool) -> io::Result<Self> {
        let frames_per_block = options.block_bytes / FRAME_BYTES;
        let request = libc::tpacket_req3 {
            tp_block_size: options.block_bytes,
            tp_block_nr: options.blocks,
            tp_frame_size: FRAME_BYTES,
            tp_frame_nr: frames_per_block * options.blocks,
            tp_retire_blk_tov: options.timeout_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        socket::set(fd, libc::PACKET_RX_RING, &request)?;
        let (block_bytes, blocks) = (options.block_bytes as usize, options.blocks as usize);
        let bytes = NonZeroUsize::new(block_bytes * blocks).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a fresh shared mapping of exactly the ring that was just made; the kernel checks the length.
        let base =
            unsafe { mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { base: base.cast(), bytes, block_bytes, blocks, next: 0, has_virtio })
    }

    /// Gives each frame of the blocks that are ready, at most one turn of the ring, to `each`; how many there were.
    pub(super) fn drain(&mut self, each: &mut dyn FnMut(&Raw<'_>)) -> Result<usize, Broken> {
        let mut count = 0;
        for _ in 0..self.blocks {
            // SAFETY: `next` is below `blocks`, so the block lies in the mapping.
            let block = unsafe { self.base.add(self.next * self.block_bytes) }.cast::<libc::tpacket_block_desc>();
            // SAFETY: the descriptor opens the block, which is page-aligned; the status word is only ever accessed
            // atomically on our side, and the union has one member.
            let status = unsafe { AtomicU32::from_ptr(&raw mut (*block.as_ptr()).hdr.bh1.block_status) };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                break;
            }
            // SAFETY: the status says that the whole block is ours until we say otherwise, and the acquiring load has
            // ordered the kernel's writes before; the block lies in the mapping.
            let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr().cast::<u8>(), self.block_bytes) };
            let frames = walk(bytes, self.has_virtio, each);
            // Also after an error: a block that is kept would stop the ring for good.
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % self.blocks;
            count += frames?;
        }
        Ok(count)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and unmapped once; no slice of it outlives `drain`.
        let _ = unsafe { munmap(self.base.cast(), self.bytes.get()) };
    }
}

/// Reads a plain structure at an offset of the block.
///
/// # Safety
/// Any bytes must be a value of `T`.
unsafe fn read<T: Copy>(block: &[u8], at: usize) -> Result<T, Broken> {
    let bytes = block.get(at..).and_then(|rest| rest.get(..size_of::<T>())).ok_or(Broken)?;
    // SAFETY: `bytes` has the size of `T`, the read asks for no alignment, and the caller vouches for `T`.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Follows the frames of one block.
fn walk(block: &[u8], has_virtio: bool, each: &mut dyn FnMut(&Raw<'_>)) -> Result<usize, Broken> {
    let header_at = std::mem::offset_of!(libc::tpacket_block_desc, hdr);
    // SAFETY: tpacket_hdr_v1 is integers.
    let header = unsafe { read::<libc::tpacket_hdr_v1>(block, header_at) }?;
    let mut at = header.offset_to_first_pkt as usize;
    for number in 1..=header.num_pkts {
        // SAFETY: tpacket3_hdr is integers.
        let head = unsafe { read::<libc::tpacket3_hdr>(block, at) }?;
        each(&frame(block, at, &head, has_virtio)?);
        // Only the last frame has none after it; elsewhere a zero would show the same frame for ever.
        if head.tp_next_offset == 0 && number < header.num_pkts {
            return Err(Broken);
        }
        at = at.checked_add(head.tp_next_offset as usize).ok_or(Broken)?;
    }
    Ok(header.num_pkts as usize)
}

fn frame<'a>(block: &'a [u8], at: usize, head: &libc::tpacket3_hdr, has_virtio: bool) -> Result<Raw<'a>, Broken> {
    let address_at = at + size_of::<libc::tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);
    // SAFETY: sockaddr_ll is integers and a byte array.
    let address = unsafe { read::<libc::sockaddr_ll>(block, address_at) }?;
    let start = at + usize::from(head.tp_mac);
    let bytes = block.get(start..).and_then(|rest| rest.get(..head.tp_snaplen as usize)).ok_or(Broken)?;
    let virtio = if has_virtio {
        let before = start.checked_sub(VIRTIO_HEADER_BYTES).ok_or(Broken)?;
        // SAFETY: bytes are bytes.
        Some(unsafe { read::<[u8; VIRTIO_HEADER_BYTES]>(block, before) }?)
    } else {
        None
    };
    let tagged = head.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
    Ok(Raw {
        time_ns: i64::from(head.tp_sec) * 1_000_000_000 + i64::from(head.tp_nsec),
        len: head.tp_len,
        bytes,
        vlan: tagged.then_some(head.hv1.tp_vlan_tci as u16),
        outgoing: address.sll_pkttype == libc::PACKET_OUTGOING,
        virtio,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with one frame of four bytes after its headers, as the kernel lays it out.
    fn block() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(12, &1_u32.to_ne_bytes()); // num_pkts
        put(16, &48_u32.to_ne_bytes()); // offset_to_first_pkt
        put(48 + 4, &7_u32.to_ne_bytes()); // tp_sec
        put(48 + 8, &9_u32.to_ne_bytes()); // tp_nsec
        put(48 + 12, &4_u32.to_ne_bytes()); // tp_snaplen
        put(48 + 16, &1500_u32.to_ne_bytes()); // tp_len
        put(48 + 20, &(1_u32 | libc::TP_STATUS_VLAN_VALID).to_ne_bytes()); // tp_status
        put(48 + 24, &82_u16.to_ne_bytes()); // tp_mac
        put(48 + 32, &0x2064_u32.to_ne_bytes()); // tp_vlan_tci
        put(48 + 48 + 10, &[libc::PACKET_OUTGOING]); // sll_pkttype
        put(48 + 72, &[1; 10]); // virtio header
        put(48 + 82, b"data");
        bytes
    }

    #[test]
    fn a_frame_is_read_where_the_kernel_puts_it() {
        let mut seen = 0;
        let count = walk(&block(), true, &mut |raw| {
            assert_eq!((raw.time_ns, raw.len, raw.bytes), (7_000_000_009, 1500, &b"data"[..]));
            assert_eq!((raw.vlan, raw.outgoing, raw.virtio), (Some(0x2064), true, Some([1; 10])));
            seen += 1;
        });
        assert_eq!((count.unwrap(), seen), (1, 1));
    }

    #[test]
    fn offsets_that_leave_the_block_are_refused_and_not_followed() {
        for at in [16, 48 + 12] {
            let mut bytes = block();
            bytes[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            assert!(walk(&bytes, true, &mut |_| ()).is_err(), "offset {at}");
        }
        let mut bytes = block();
        bytes[12..16].copy_from_slice(&2_u32.to_ne_bytes());
        bytes[48..52].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(walk(&bytes, false, &mut |_| ()).is_err(), "next frame");
    }

    #[test]
    fn any_changed_byte_of_the_headers_gives_frames_or_a_refusal() {
        for at in 0..140 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = block();
                bytes[at] = value;
                let _ = walk(&bytes, true, &mut |_| ());
            }
        }
    }
}
