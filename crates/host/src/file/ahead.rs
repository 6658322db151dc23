//! A thread that reads a file ahead of whoever parses it, so that one core copies while another counts.
//!
//! Only for regular files: a pipe is read as it comes. Invariant: bytes come in file order, an error comes after every
//! byte before it, and the thread ends when the file does or the reader is dropped.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Bytes of one block: few enough wake-ups between the two threads, and a size that a shared cache holds.
const BLOCK_BYTES: usize = 512 << 10;
/// Blocks read ahead.
const BLOCKS: usize = 4;

/// The reading end.
pub(super) struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    used: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
}

impl ReadAhead {
    /// Starts to read. Fails when the system gives no thread.
    pub(super) fn start<R: Read + Send + 'static>(mut file: R) -> Result<Self, io::Error> {
        let (full, blocks) = sync_channel(BLOCKS);
        let (used, empty) = sync_channel::<Vec<u8>>(BLOCKS + 1);
        thread::Builder::new().name("hivewall-read".to_owned()).spawn(move || {
            loop {
                let mut block = empty.try_recv().unwrap_or_default();
                block.resize(BLOCK_BYTES, 0);
                let read = file.read(&mut block);
                let last = !matches!(read, Ok(1..));
                let told = match read {
                    Ok(len) => {
                        block.truncate(len);
                        Ok(block)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                // Fails when nobody reads any more.
                if full.send(told).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self { blocks, used, block: Vec::new(), at: 0 })
    }
}

impl Read for ReadAhead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            // A thread that ended has said all it had to say.
            let next = self.blocks.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
            let old = std::mem::replace(&mut self.block, next);
            self.at = 0;
            // A full channel means that there are blocks enough.
            let _ = self.used.try_send(old);
        }
        let len = self.block.get(self.at..).unwrap_or_default().read(into)?;
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_order_and_whole() {
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|n| (n * 7) as u8).collect();
        let mut got = Vec::new();
        ReadAhead::start(io::Cursor::new(bytes.clone())).unwrap().read_to_end(&mut got).unwrap();
        assert!(got == bytes, "{} bytes", got.len());
    }

    #[test]
    fn an_error_comes_after_the_bytes_before_it() {
        struct Breaks(u32);
        impl Read for Breaks {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 3 {
                    Err(io::Error::other("gone"))
                } else {
                    into.get_mut(..10).map_or(Ok(0), |b| Ok(b.len()))
                }
            }
        }
        let mut got = Vec::new();
        let error = ReadAhead::start(Breaks(0)).unwrap().read_to_end(&mut got).unwrap_err();
        assert_eq!((got.len(), error.to_string().as_str()), (30, "gone"));
    }

    #[test]
    fn a_reader_that_is_dropped_ends_the_thread() {
        struct Endless(#[expect(dead_code, reason = "held: it is dropped with the thread")] SyncSender<()>);
        impl Read for Endless {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                Ok(into.len())
            }
        }
        let (alive, ended) = sync_channel(1);
        drop(ReadAhead::start(Endless(alive)).unwrap());
        // The channel closes when the thread drops its end.
        assert!(ended.recv().is_err());
    }
}
