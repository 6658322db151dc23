//! A bounded window over the bytes of a capture: what was read and not yet consumed.
//!
//! It knows offsets and byte order, nothing of formats. Invariant: `start <= end <= buffer.len()`, and the buffer
//! never grows: what does not fit into it has to be skipped.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use super::{BUFFER_BYTES, FileError};

/// Byte order of a file or a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    #[inline]
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(super) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Order::Little => u64::from_le_bytes(bytes),
            Order::Big => u64::from_be_bytes(bytes),
        }
    }

    /// The first `N` words, `None` when there are not that many bytes.
    #[inline]
    pub(super) fn words<const N: usize>(self, bytes: &[u8]) -> Option<[u32; N]> {
        let bytes = bytes.get(..N * 4)?;
        let mut words = [0; N];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = self.u32(*chunk);
        }
        Some(words)
    }
}

/// Bytes asked of the reader at once: as much as stays in the processor's cache beside the flow cache. More costs a
/// tenth of the speed of a replay.
const READ_BYTES: usize = 64 << 10;

pub(super) struct Window {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the file of the buffer's first byte.
    base: u64,
    exhausted: bool,
}

impl Window {
    pub(super) fn over(bytes: Vec<u8>) -> Window {
        let end = bytes.len();
        Window { reader: Box::new(io::empty()), buffer: bytes, start: 0, end, base: 0, exhausted: true }
    }

    pub(super) fn streaming(reader: Box<dyn Read + Send>) -> Window {
        Window { reader, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0, base: 0, exhausted: false }
    }

    /// Offset in the file of the next byte.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Where in the buffer the next byte is.
    #[inline]
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Whether `need` bytes follow in the file, which are then in the buffer. It waits for no more than that, so
    /// that a live pipe is not held up. Always false for more than [`BUFFER_BYTES`] of a stream.
    #[inline]
    pub(super) fn have(&mut self, need: usize) -> Result<bool, FileError> {
        if self.end - self.start >= need { Ok(true) } else { self.refill(need) }
    }

    #[cold]
    fn refill(&mut self, need: usize) -> Result<bool, FileError> {
        if self.exhausted || need > self.buffer.len() {
            return Ok(false);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        while self.end < need {
            let until = self.buffer.len().min(need.max(self.end + READ_BYTES));
            let space = self.buffer.get_mut(self.end..until).unwrap_or_default();
            match self.reader.read(space) {
                Ok(0) => {
                    self.exhausted = true;
                    return Ok(false);
                }
                // A reader that claims more than it was given room for is cut to the truth.
                Ok(n) => self.end += n.min(space.len()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(FileError::Read { offset: self.base + self.end as u64, source }),
            }
        }
        Ok(true)
    }

    /// `N` bytes, `at` bytes ahead.
    #[inline]
    pub(super) fn peek<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.rest().get(at..)?.first_chunk().copied()
    }

    /// All that is in the buffer and not consumed.
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Bytes by their place in the buffer; consumed ones stay until more is asked for.
    #[inline]
    pub(super) fn buffered(&self, at: usize, len: usize) -> &[u8] {
        self.buffer.get(at..at + len).unwrap_or_default()
    }

    /// Leaves `n` bytes behind that are in the buffer.
    #[inline]
    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
    }

    /// Leaves `n` bytes behind, wherever they are; false when the file ends before.
    pub(super) fn skip(&mut self, mut n: u64) -> Result<bool, FileError> {
        loop {
            let here = n.min((self.end - self.start) as u64);
            self.consume(here as usize);
            n -= here;
            if n == 0 {
                return Ok(true);
            }
            if !self.have(1)? {
                return Ok(false);
            }
        }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("position", &self.position())
            .field("buffered", &(self.end - self.start))
            .field("exhausted", &self.exhausted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, interrupted before each.
    struct Trickle {
        bytes: Vec<u8>,
        at: usize,
        interrupt: bool,
    }

    impl Read for Trickle {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.interrupt = !self.interrupt;
            if self.interrupt {
                return Err(ErrorKind::Interrupted.into());
            }
            let Some(byte) = self.bytes.get(self.at) else { return Ok(0) };
            into[0] = *byte;
            self.at += 1;
            Ok(1)
        }
    }

    fn trickle(bytes: Vec<u8>) -> Window {
        Window::streaming(Box::new(Trickle { bytes, at: 0, interrupt: false }))
    }

    #[test]
    fn a_trickling_reader_gives_what_is_asked_for() {
        let mut window = trickle((0..100).collect());
        assert!(window.have(10).unwrap());
        assert_eq!(window.rest().len(), 10);
        window.consume(7);
        assert!(window.have(5).unwrap());
        assert_eq!(window.peek::<2>(1), Some([8, 9]));
        assert_eq!(window.position(), 7);
        assert!(!window.have(94).unwrap());
        assert_eq!(window.rest().len(), 93);
    }

    #[test]
    fn skipping_goes_past_the_buffer_and_stops_at_the_end() {
        let far = BUFFER_BYTES as u64 * 3 + 5;
        let mut window = Window::streaming(Box::new(io::repeat(7).take(far + 4)));
        assert!(window.skip(far).unwrap());
        assert_eq!(window.position(), far);
        assert!(window.have(4).unwrap());
        assert!(!window.skip(5).unwrap());
        assert_eq!(window.position(), far + 4);
    }

    #[test]
    fn more_than_the_buffer_is_never_there() {
        let mut window = Window::streaming(Box::new(io::repeat(1)));
        assert!(window.have(BUFFER_BYTES).unwrap());
        assert!(!window.have(BUFFER_BYTES + 1).unwrap());
        assert!(!window.have(usize::MAX).unwrap());
    }

    #[test]
    fn a_failing_reader_is_named_with_its_offset() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("bad sector"))
            }
        }
        let mut window = Window::streaming(Box::new([1u8, 2, 3].chain(Broken)));
        assert!(window.have(3).unwrap());
        let error = window.have(4).unwrap_err();
        assert!(matches!(error, FileError::Read { offset: 3, .. }), "{error}");
    }
}
