//! The journal of the open segment: rows that are not in Parquet yet, safe on disk about a second after they came.
//!
//! A file is a head (mark, number of columns) and frames: length and CRC-32 of the payload, four bytes each, little end
//! first, then the payload (`codec`). What follows the last whole frame is an end that was never confirmed; it is cut off
//! when the journal is opened.
//!
//! Invariant: a frame that could not be written whole leaves the file as it was before, or the journal is not written to
//! again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::batch::Batch;
use crate::codec::{self, Written};
use crate::columns::ALL;
use crate::error::StoreError;

/// What a journal begins with; the number behind it is that of its form.
const MARK: &[u8; 6] = b"HWJ\x00\x00\x01";
const HEAD_BYTES: usize = MARK.len() + 2;
const FRAME_HEAD_BYTES: usize = 8;

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Where the next frame goes.
    end: u64,
    /// What of the open batch is in it.
    written: Written,
    /// Whether something was written since it was last made durable.
    dirty: bool,
    frame: Vec<u8>,
}

impl Journal {
    /// A new one. Its directory entry is durable with the directory, which the caller syncs.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let at = |source| StoreError::File { path: path.to_path_buf(), source };
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).read(true).open(path).map_err(at)?;
        let mut head = MARK.to_vec();
        head.extend_from_slice(&(ALL.len() as u16).to_le_bytes());
        (&file).write_all(&head).map_err(at)?;
        file.sync_all().map_err(at)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            end: HEAD_BYTES as u64,
            written: Written::default(),
            dirty: false,
            frame: Vec::new(),
        })
    }

    /// Opens one that is there, and gives the rows of its whole frames. Fails where the file is no journal; what a crash
    /// left of the head is an empty one.
    pub(crate) fn recover(path: &Path) -> Result<(Self, Batch), StoreError> {
        let at = |source| StoreError::File { path: path.to_path_buf(), source };
        let mut bytes = Vec::new();
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(at)?;
        let Some((columns, end, batch)) = read(&bytes) else {
            if bytes.len() >= HEAD_BYTES {
                return Err(at(io::Error::new(io::ErrorKind::InvalidData, "not a journal that this version knows")));
            }
            return Ok((Self::create(path)?, Batch::new()));
        };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(at)?;
        file.set_len(end).map_err(at)?;
        let mut journal = Self {
            path: path.to_path_buf(),
            file,
            end,
            written: Written::all(&batch),
            dirty: false,
            frame: Vec::new(),
        };
        if columns != ALL.len() {
            // Frames of this version do not fit behind the old head: all goes into a new file, which takes its place.
            let mut fresh = Self::create(&path.with_extension("journal.tmp"))?;
            fresh.append(&batch)?;
            fresh.sync()?;
            std::fs::rename(&fresh.path, path).map_err(at)?;
            fresh.path = path.to_path_buf();
            journal = fresh;
        }
        Ok((journal, batch))
    }

    /// Rows of the batch that are in it.
    pub(crate) fn rows(&self) -> usize {
        self.written.rows
    }

    /// Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    /// Appends the rows that are not in it yet. They are durable after [`Journal::sync`].
    pub(crate) fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.len() == self.written.rows {
            return Ok(());
        }
        self.frame.clear();
        self.frame.resize(FRAME_HEAD_BYTES, 0);
        codec::encode(batch, &self.written, &mut self.frame);
        let payload = self.frame.get(FRAME_HEAD_BYTES..).unwrap_or_default();
        let (len, crc) = (payload.len() as u32, crc32fast::hash(payload));
        let head = len.to_le_bytes().into_iter().chain(crc.to_le_bytes());
        self.frame.iter_mut().zip(head).for_each(|(to, from)| *to = from);
        if let Err(source) = self.file.write_all_at(&self.frame, self.end) {
            // What was written of it has no matching checksum; the next frame goes to the same place.
            return Err(StoreError::File { path: self.path.clone(), source });
        }
        self.end += self.frame.len() as u64;
        self.written = Written::all(batch);
        self.dirty = true;
        Ok(())
    }

    /// Makes durable what was appended.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if !self.dirty {
            return Ok(());
        }
        let synced = self.file.sync_data().map_err(|source| StoreError::File { path: self.path.clone(), source });
        if synced.is_err() {
            // What the kernel could not write it may have dropped, and the next sync would not say so (fsync(2)): all
            // rows are written again.
            self.end = HEAD_BYTES as u64;
            self.written = Written::default();
        }
        self.dirty = synced.is_err();
        synced
    }

    /// Removes the file: its rows are elsewhere.
    pub(crate) fn remove(self) -> Result<(), StoreError> {
        std::fs::remove_file(&self.path).map_err(|source| StoreError::File { path: self.path, source })
    }
}

/// Columns the writer knew, the end of the last whole frame, and the rows up to there; `None` without a whole head.
fn read(bytes: &[u8]) -> Option<(usize, u64, Batch)> {
    let columns = bytes.strip_prefix(MARK)?.first_chunk::<2>().map(|number| u16::from_le_bytes(*number))?;
    let columns = usize::from(columns);
    let mut rest = bytes.get(HEAD_BYTES..)?;
    let mut batch = Batch::new();
    while let Some((payload, next)) = frame(rest) {
        // The checksum holds, so only another program's frame can fail here; a later frame would build on it.
        if codec::decode(&mut batch, columns, payload).is_none() {
            break;
        }
        rest = next;
    }
    Some((columns, (bytes.len() - rest.len()) as u64, batch))
}

/// The payload of the frame at the front, if it is whole, and what follows.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    // Zeros after a crash of the machine would be an empty frame with the checksum of nothing.
    (!payload.is_empty() && crc32fast::hash(payload) == u32::from_le_bytes(*crc)).then_some((payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Col;
    use crate::decode::Decoder;
    use crate::encode::Encoder;
    use hivewall_model::FlowId;

    /// Batches of 1, 2, 3, … flows; the journal's length after each.
    fn written(path: &Path, frames: usize) -> (Batch, Vec<u64>) {
        let mut journal = Journal::create(path).unwrap();
        let (mut batch, mut encoder) = (Batch::new(), Encoder::default());
        let mut ends = vec![journal.bytes()];
        for frame in 1..=frames {
            for _ in 0..frame {
                let mut flow = hivewall_view::example_flow();
                flow.id = FlowId(batch.len() as u64);
                flow.tuple.client = [10, 0, frame as u8, 7].into();
                encoder.push(&mut batch, &flow);
            }
            journal.append(&batch).unwrap();
            ends.push(journal.bytes());
        }
        journal.sync().unwrap();
        (batch, ends)
    }

    #[test]
    fn a_journal_cut_at_any_byte_gives_its_whole_frames_and_goes_on_behind_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("whole");
        let (batch, ends) = written(&path, 4);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(*ends.last().unwrap(), bytes.len() as u64);
        let cut_path = directory.path().join("cut");
        for cut in 0..=bytes.len() {
            std::fs::write(&cut_path, &bytes[..cut]).unwrap();
            let (mut journal, mut found) = Journal::recover(&cut_path).unwrap();
            let frames = ends.iter().filter(|end| **end <= cut as u64).count().saturating_sub(1);
            let rows = frames * (frames + 1) / 2;
            assert_eq!(found.len(), rows, "cut at {cut}");
            for row in 0..rows {
                assert_eq!(Decoder::new(&found).row(row), Decoder::new(&batch).row(row), "cut at {cut}");
            }
            let mut flow = hivewall_view::example_flow();
            flow.id = FlowId(77);
            Encoder::default().push(&mut found, &flow);
            journal.append(&found).unwrap();
            drop(journal);
            let (_, again) = Journal::recover(&cut_path).unwrap();
            assert_eq!((again.len(), again.get(Col::FlowId, rows)), (rows + 1, 77), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_journal_before_its_frame() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (_, ends) = written(&path, 3);
        let bytes = std::fs::read(&path).unwrap();
        for at in ends[1]..ends[2] {
            let mut bytes = bytes.clone();
            bytes[at as usize] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Journal::recover(&path).unwrap().1.len(), 1, "byte {at}");
        }
    }
}
