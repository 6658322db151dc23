//! Capture files of alerts on disk.
//!
//! Invariant: their number, size and age are bounded; a file that is not of an alert is never touched in a directory that is not the
//! agent's own.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::alerts::Alert;
use hivewall_view::time::parse_rfc3339;

use super::{BYTES_OF_ALERT_MAX, Place};

/// All captures together.
pub(super) const TOTAL_BYTES_MAX: u64 = 64 << 20;
/// How old one may be.
pub(super) const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
const ENDING: &str = "pcapng";

/// What is there.
struct Kept {
    since: Timestamp,
    bytes: u64,
}

pub(super) struct Disk {
    directory: PathBuf,
    files: BTreeMap<String, Kept>,
    bytes: u64,
    /// The latest time that was heard of.
    now: Timestamp,
    /// Alerts of earlier runs that name a file that is not there.
    missing: Vec<String>,
    has_failed: bool,
}

impl Disk {
    pub(super) fn open<'a>(place: Place, known: impl Iterator<Item = &'a Alert>) -> Self {
        let mut new = Self {
            directory: place.directory,
            files: BTreeMap::new(),
            bytes: 0,
            now: Timestamp::default(),
            missing: Vec::new(),
            has_failed: false,
        };
        for alert in known.filter(|alert| alert.evidence.capture.is_some()) {
            match fs::metadata(new.path(&alert.id)) {
                Ok(found) if found.is_file() => {
                    let since = parse_rfc3339(&alert.first_seen).unwrap_or_default();
                    new.bytes += found.len();
                    new.files.insert(alert.id.clone(), Kept { since, bytes: found.len() });
                }
                _ => new.missing.push(alert.id.clone()),
            }
        }
        if place.is_own {
            new.sweep();
        }
        new
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.{ENDING}"))
    }

    /// It is now.
    pub(super) fn is_at(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Removes captures of alerts that are forgotten.
    fn sweep(&self) {
        let Ok(all) = fs::read_dir(&self.directory) else { return };
        for path in all.filter_map(Result::ok).map(|entry| entry.path()) {
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if path.extension().is_some_and(|ending| ending == ENDING) && !self.files.contains_key(name) {
                // It is tried again at the next start.
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Appends to an alert's file, or begins it; gives its path. What went wrong is told once for each trouble.
    pub(super) fn write(&mut self, id: &str, bytes: &[u8], is_new: bool) -> Result<String, ()> {
        let path = self.path(id);
        match self.append(&path, bytes, is_new) {
            Ok(()) => {
                self.has_failed = false;
                let now = self.now;
                let kept = self.files.entry(id.to_owned()).or_insert(Kept { since: now, bytes: 0 });
                if is_new {
                    self.bytes -= std::mem::take(&mut kept.bytes);
                }
                kept.bytes += bytes.len() as u64;
                self.bytes += bytes.len() as u64;
                Ok(path.display().to_string())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::error!(%error, file = %path.display(), "the packets of an alert cannot be kept");
                }
                Err(())
            }
        }
    }

    fn append(&self, path: &PathBuf, bytes: &[u8], is_new: bool) -> io::Result<()> {
        if is_new {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        }
        let mut options = OpenOptions::new();
        options.create(is_new).append(!is_new).write(true).truncate(is_new).mode(0o600);
        options.open(path)?.write_all(bytes)
    }

    /// Removes what is too old, then the oldest while there is too much. Gives all alerts whose capture is gone, and how many of them for
    /// want of room.
    pub(super) fn tidy(&mut self, now: Timestamp) -> (Vec<String>, u64) {
        self.is_at(now);
        let mut gone = std::mem::take(&mut self.missing);
        let old = self.files.iter().filter(|(_, kept)| now.since(kept.since) > AGE_MAX);
        let old: Vec<String> = old.map(|(id, _)| id.clone()).collect();
        old.iter().for_each(|id| self.remove(id));
        gone.extend(old);
        let mut for_room = 0;
        while self.bytes > TOTAL_BYTES_MAX {
            let oldest = self.files.iter().min_by_key(|(_, kept)| kept.since).map(|(id, _)| id.clone());
            let Some(id) = oldest else { break };
            self.remove(&id);
            for_room += 1;
            gone.push(id);
        }
        (gone, for_room)
    }

    pub(super) fn remove(&mut self, id: &str) {
        let Some(kept) = self.files.remove(id) else { return };
        self.bytes -= kept.bytes;
        // What cannot be removed now is at the next start.
        let _ = fs::remove_file(self.path(id));
    }

    pub(super) fn read(&self, id: &str) -> io::Result<Vec<u8>> {
        if !self.files.contains_key(id) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut bytes = Vec::new();
        File::open(self.path(id))?.take(2 * BYTES_OF_ALERT_MAX as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Files and bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.files.len() as u64, self.bytes)
    }
}
