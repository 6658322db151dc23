//! Where a log goes: a file that can be rotated, cut and opened again, or a stream (standard output, a pipe, a device)
//! that can only be written.
//!
//! It knows no formats and no events. Invariant: `length` is what the file holds, so that a write that failed halfway
//! can be taken back.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// New files: who talked to whom is nobody's business but the owner's and the group's.
const MODE: u32 = 0o640;

/// How long to wait for a stream that someone else made non-blocking.
const STREAM_RETRY: Duration = Duration::from_millis(10);

pub(crate) struct Destination {
    path: Option<PathBuf>,
    file: File,
    /// An ordinary file, which can be cut and rotated.
    ordinary: bool,
    length: u64,
    since: Instant,
}

/// A write that did not get through.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Bytes that did, from the start.
    pub(crate) written: usize,
    pub(crate) error: io::Error,
}

impl Destination {
    /// Opens a file for appending, or makes it.
    pub(crate) fn open(path: &Path, now: Instant) -> io::Result<Self> {
        // A named pipe is opened for both ways: opening for writing alone waits for a reader, and this way what is
        // written while the reader restarts stays in the pipe. One without a name (/dev/stdout) has no real path.
        let pipe = fs::canonicalize(path).and_then(fs::metadata).is_ok_and(|metadata| metadata.file_type().is_fifo());
        let mut options = OpenOptions::new();
        if pipe {
            options.read(true).write(true);
        } else {
            options.append(true).create(true).mode(MODE);
        }
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        let ordinary = metadata.is_file();
        let length = if ordinary { metadata.len() } else { 0 };
        let age = if length == 0 { Duration::ZERO } else { age(&metadata) };
        let since = now.checked_sub(age).unwrap_or(now);
        Ok(Self { path: Some(path.to_owned()), file, ordinary, length, since })
    }

    /// Standard output, past the buffer of the standard library.
    pub(crate) fn standard_output(now: Instant) -> io::Result<Self> {
        Ok(Self::stream(File::from(io::stdout().as_fd().try_clone_to_owned()?), now))
    }

    /// Something already open, never cut nor rotated.
    pub(crate) fn stream(file: File, now: Instant) -> Self {
        Self { path: None, file, ordinary: false, length: 0, since: now }
    }

    /// Bytes the file holds; for a stream, those written so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Whether it can be rotated.
    pub(crate) fn is_ordinary(&self) -> bool {
        self.ordinary
    }

    /// Time since the file was made (or since it became this log's, where the file system does not know).
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// An empty file has no age: it starts with the first event.
    pub(crate) fn restart_age(&mut self, now: Instant) {
        self.since = now;
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
    }

    /// Writes all of `bytes`, however long a stream takes, unless `give_up` says to stop.
    pub(crate) fn write(&mut self, bytes: &[u8], give_up: impl Fn() -> bool) -> Result<(), Cut> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return Err(Cut { written, error: ErrorKind::WriteZero.into() }),
                Ok(n) => {
                    written += n;
                    self.length += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !give_up() => std::thread::sleep(STREAM_RETRY),
                Err(error) => return Err(Cut { written, error }),
            }
        }
        Ok(())
    }

    /// Takes the last `bytes` of an ordinary file back; says whether it could. Counted from the file's true end, so
    /// that a file someone else emptied meanwhile is not stretched.
    pub(crate) fn take_back(&mut self, bytes: u64) -> bool {
        let length = self.file.metadata().map_or(0, |metadata| metadata.len()).checked_sub(bytes);
        let Some(length) = length.filter(|length| self.ordinary && self.file.set_len(*length).is_ok()) else {
            return false;
        };
        self.length = length;
        true
    }

    /// Looks again how long an ordinary file is: someone may have emptied it.
    pub(crate) fn measure(&mut self) {
        if self.ordinary
            && let Ok(metadata) = self.file.metadata()
        {
            self.length = metadata.len();
        }
    }

    /// The last byte of an ordinary file that was there before.
    pub(crate) fn last_byte(&self) -> Option<u8> {
        let mut byte = [0];
        let path = self.path.as_ref().filter(|_| self.ordinary && self.length > 0)?;
        File::open(path).ok()?.read_exact_at(&mut byte, self.length - 1).ok()?;
        Some(byte[0])
    }

    /// Whether an ordinary file that was there before starts with `bytes`.
    pub(crate) fn starts_with(&self, bytes: &[u8]) -> bool {
        let Some(path) = self.path.as_ref().filter(|_| self.ordinary) else { return true };
        let mut start = Vec::with_capacity(bytes.len());
        let read = File::open(path).and_then(|file| file.take(bytes.len() as u64).read_to_end(&mut start));
        read.is_ok() && start == bytes
    }

    /// Whether the path still leads to the file that is open.
    pub(crate) fn is_in_place(&self) -> bool {
        let Some(path) = &self.path else { return true };
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        match (fs::metadata(path), self.file.metadata()) {
            (Ok(there), Ok(open)) => identity(there) == identity(open),
            _ => false,
        }
    }

    /// Opens the path again, for after someone else renamed the file. A stream stays as it is.
    pub(crate) fn reopen(&mut self, now: Instant) -> io::Result<()> {
        if let Some(path) = &self.path {
            *self = Self::open(path, now)?;
        }
        Ok(())
    }

    /// Renames the file to `.1`, the former `.1` to `.2` and so on up to `keep`, whose former holder goes; then opens a
    /// new file. With `keep` 0 the old file goes at once. On an error the file stays open and in use.
    pub(crate) fn rotate(&mut self, keep: usize, now: Instant) -> io::Result<()> {
        let Some(link) = self.path.clone().filter(|_| self.ordinary) else { return Ok(()) };
        // A symbolic link stays and what it leads to is renamed, or the numbered files would all be the same link.
        let path = fs::canonicalize(&link)?;
        for number in (1..keep).rev() {
            if let Err(error) = fs::rename(numbered(&path, number), numbered(&path, number + 1))
                && error.kind() != ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        if keep == 0 {
            fs::remove_file(&path)?;
        } else {
            fs::rename(&path, numbered(&path, 1))?;
        }
        *self = Self::open(&link, now)?;
        Ok(())
    }
}

/// `eve.jsonl` → `eve.jsonl.3`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Age of a file that was there before; zero where the file system keeps no time of birth.
fn age(metadata: &Metadata) -> Duration {
    metadata.created().ok().and_then(|born| SystemTime::now().duration_since(born).ok()).unwrap_or_default()
}
