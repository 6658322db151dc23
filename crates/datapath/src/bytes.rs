//! The one way to read a frame. Holds the trait and its slice form; the kernel's form lives in `datapath-bpf`.

use crate::parse::{self, Extensions};

/// Bytes of a frame that may be shorter than the frame was on the wire.
///
/// `read` returns `None` past the captured end; it never panics. Every parser here is generic over it, so that the
/// code the kernel runs is the code that unit tests and fuzzers run.
pub trait Bytes: Sized {
    /// The `N` bytes at offset `at`, or `None` when any of them was not captured.
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// One byte.
    #[inline(always)]
    fn u8(&self, at: usize) -> Option<u8> {
        self.read::<1>(at).map(|[byte]| byte)
    }

    /// Walks the IPv6 extension headers that start at `at` with protocol `next`, in a datagram that ends at `end`.
    ///
    /// The kernel's form calls [`parse::extensions`] in a function of its own, which the verifier checks by itself;
    /// inlined, eight steps multiply the states of everything around them.
    #[inline(always)]
    fn extensions(&self, at: u32, end: u32, next: u8) -> Extensions {
        parse::extensions(self, at, end, next)
    }

    /// A 16-bit number in network byte order.
    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        self.read::<2>(at).map(u16::from_be_bytes)
    }
}

/// A captured frame in memory.
#[derive(Clone, Copy, Debug)]
pub struct FrameBytes<'a>(pub &'a [u8]);

impl Bytes for FrameBytes<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk::<N>().copied()
    }
}
