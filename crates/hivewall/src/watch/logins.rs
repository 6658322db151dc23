//! The host's own word on logins: the journal, auth.log or secure, btmp. Read from their ends on; what they say is
//! `hivewall_detect`'s to know.
//!
//! A thread looks at the files twice a second, and one reads from `journalctl` where there is a journal. Invariant: a file that
//! was put aside and begun anew is read to its end and then from the beginning of the new one.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hivewall_detect::Login;
use hivewall_detect::authlog::{AuthLog, BTMP_RECORD_BYTES, JournalReader};
use hivewall_host::source::wall_clock;

use super::Order;

const LOOK: Duration = Duration::from_millis(500);
/// Read at once of one file.
const PIECE_BYTES: u64 = 1 << 20;
/// A line longer than this is no log's.
const LINE_BYTES_MAX: usize = 64 * 1024;
const TEXT_LOGS: [&str; 2] = ["/var/log/auth.log", "/var/log/secure"];
const BTMP: &str = "/var/log/btmp";

/// A file that grows.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    inode: u64,
    rest: Vec<u8>,
}

impl Tail {
    /// From its end on; one that is not there yet, from its beginning.
    fn new(path: &Path) -> Self {
        let mut tail = Self { path: path.to_owned(), file: None, at: 0, inode: 0, rest: Vec::new() };
        if let Ok((file, about)) = tail.open() {
            (tail.at, tail.inode) = (about.len(), about.ino());
            tail.file = Some(file);
        }
        tail
    }

    fn open(&self) -> io::Result<(File, Metadata)> {
        let file = File::open(&self.path)?;
        let about = file.metadata()?;
        Ok((file, about))
    }

    /// What was added since.
    fn read(&mut self) -> io::Result<()> {
        self.take()?;
        let now = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if now.ino() != self.inode || now.len() < self.at {
            let (file, about) = self.open()?;
            (self.at, self.inode) = (0, about.ino());
            self.file = Some(file);
            self.rest.clear();
            self.take()?;
        }
        Ok(())
    }

    fn take(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(self.at))?;
        self.at += file.take(PIECE_BYTES).read_to_end(&mut self.rest)? as u64;
        Ok(())
    }

    /// Whole lines of what was read.
    fn lines(&mut self) -> Vec<String> {
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        if self.rest.len() > LINE_BYTES_MAX {
            self.rest.clear();
        }
        whole.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// Whole records of so many bytes.
    fn records(&mut self, length: usize) -> Vec<u8> {
        let whole = self.rest.len() / length.max(1) * length;
        self.rest.drain(..whole).collect()
    }
}

/// The readers at work; they end when this goes.
pub(super) struct Logins {
    stop: Arc<AtomicBool>,
    journal: Option<Child>,
    threads: Vec<JoinHandle<()>>,
}

/// Both readers tell of the same attempts: one memory tells each once.
type Shared = Arc<Mutex<AuthLog>>;

fn tell(orders: &Sender<Order>, logins: Vec<Login>) {
    if !logins.is_empty() {
        // The desk is gone when the agent stops.
        let _ = orders.send(Order::Logins(logins));
    }
}

/// Seconds by which this host's clock is ahead of UTC: syslog's older lines have no offset of their own.
fn utc_offset() -> i32 {
    jiff::tz::TimeZone::system().to_offset(jiff::Timestamp::now()).seconds()
}

/// Follows the journal, where there is one. To be called as a part that may start programs and holds no capability: who
/// reads what attackers wrote has neither.
pub(crate) fn follow_journal() -> Option<Child> {
    let mut follow = Command::new("journalctl");
    follow.args(["--follow", "--lines=0", "--output=export", "--quiet"]);
    // Only what logins are written with: authpriv and auth, and daemons that use their own.
    follow.args(["SYSLOG_FACILITY=10", "+", "SYSLOG_FACILITY=4", "+", "_COMM=sshd", "+", "_COMM=vsftpd"]);
    follow.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
}

impl Logins {
    /// Begins to read, also what `journal` tells.
    pub(super) fn begin(orders: &Sender<Order>, journal: Option<Child>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let log: Shared = Arc::default();
        let mut logins = Self { stop: Arc::clone(&stop), journal, threads: Vec::new() };
        logins.follow_journal(orders, &log);
        let orders = orders.clone();
        let work = move || {
            let mut texts = TEXT_LOGS.map(|path| Tail::new(Path::new(path)));
            let mut btmp = Tail::new(Path::new(BTMP));
            while !stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(LOOK);
                let mut found = Vec::new();
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                for tail in &mut texts {
                    told_once(tail.read(), &tail.path);
                    for line in tail.lines() {
                        found.extend(log.read_syslog(&line, wall_clock(), utc_offset()));
                    }
                }
                told_once(btmp.read(), &btmp.path);
                found.extend(log.read_btmp(&btmp.records(BTMP_RECORD_BYTES)));
                drop(log);
                tell(&orders, found);
            }
        };
        logins.threads.extend(std::thread::Builder::new().name("logins".to_owned()).spawn(work));
        logins
    }

    fn follow_journal(&mut self, orders: &Sender<Order>, log: &Shared) {
        let Some(mut output) = self.journal.as_mut().and_then(|journal| journal.stdout.take()) else { return };
        let (orders, log) = (orders.clone(), Arc::clone(log));
        let work = move || {
            let mut reader = JournalReader::default();
            let mut bytes = [0; 16 * 1024];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let mut entries = Vec::new();
                reader.push(bytes.get(..count).unwrap_or_default(), &mut entries);
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                let found = entries.iter().filter_map(|entry| log.read_journal(entry)).collect();
                drop(log);
                tell(&orders, found);
            }
        };
        self.threads.extend(std::thread::Builder::new().name("journal".to_owned()).spawn(work));
    }
}

/// A file that cannot be read is no reason to stop: the next look may find it readable.
fn told_once(read: io::Result<()>, path: &Path) {
    if let Err(error) = read {
        tracing::debug!(%error, path = %path.display(), "logins are not read from there");
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(journal) = &mut self.journal {
            let _ = journal.kill();
            let _ = journal.wait();
        }
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_added_is_read_once_also_across_a_file_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.log");
        std::fs::write(&path, "old\n").unwrap();
        let mut tail = Tail::new(&path);
        let mut read = || {
            tail.read().unwrap();
            tail.lines().into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>()
        };
        assert!(read().is_empty(), "what was there before is not read");
        let append = |text: &str| {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("one\ntw");
        assert_eq!(read(), ["one"]);
        append("o\n");
        assert_eq!(read(), ["two"]);
        append("three\n");
        std::fs::rename(&path, directory.path().join("auth.log.1")).unwrap();
        append("four\n");
        assert_eq!(read(), ["four"], "the new file is read from its beginning");
        std::fs::write(&path, "5\n").unwrap();
        assert_eq!(read(), ["5"], "one that was cut short, too");
    }
}
