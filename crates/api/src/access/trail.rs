//! The audit trail: each command, each login, failed login and logout, in memory and as JSON lines on the disk.
//!
//! Deliberately not here: what the fleet agrees on, which has a log of its own. Invariants: an entry is on its way to the
//! disk before the answer is on its way to the client; no entry holds what a request's body held but for what
//! `detail` was made of on purpose; what unknown people try cannot push out what users did, because it has a budget.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hivewall_view::access::TrailEntry;

/// Entries that can be asked for.
pub const TRAIL_ENTRIES_MAX: usize = 1_000;
/// Bytes of the file at which it is put aside.
pub const TRAIL_FILE_BYTES_MAX: u64 = 8 << 20;
/// Files put aside that are kept.
pub const TRAIL_FILES_KEPT: u32 = 4;
/// Characters of an entry's detail.
const DETAIL_CHARACTERS_MAX: usize = 200;
/// Entries of people nobody knows, at once.
const STRANGERS_BURST: f64 = 60.0;
/// And for each second.
const STRANGERS_PER_SECOND: f64 = 1.0;
/// Bytes of a line that is read back; longer ones are none of ours.
const LINE_BYTES_MAX: usize = 16 << 10;

/// The trail.
pub(crate) struct Trail {
    /// The latest last.
    entries: VecDeque<TrailEntry>,
    file: Option<Kept>,
    strangers: f64,
    at: Duration,
    left_out: u64,
}

impl Default for Trail {
    fn default() -> Self {
        Self { entries: VecDeque::new(), file: None, strangers: STRANGERS_BURST, at: Duration::ZERO, left_out: 0 }
    }
}

struct Kept {
    path: PathBuf,
    /// Open once something was written.
    open: Option<(File, u64)>,
    bytes_max: u64,
}

impl Trail {
    /// In this file, and what is in there and the one before.
    pub(crate) fn of(path: PathBuf) -> Self {
        let mut trail = Self::default();
        for file in [aside(&path, 1), path.clone()] {
            if let Err(error) = trail.read(&file)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(file = %file.display(), %error, "the audit trail cannot be read back");
            }
        }
        trail.file = Some(Kept { path, open: None, bytes_max: TRAIL_FILE_BYTES_MAX });
        trail
    }

    fn read(&mut self, file: &Path) -> io::Result<()> {
        for line in BufReader::new(File::open(file)?).split(b'\n') {
            let line = line?;
            // A line that a crash cut short is left out.
            if line.len() <= LINE_BYTES_MAX
                && let Ok(entry) = serde_json::from_slice(&line)
            {
                self.push(entry);
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: TrailEntry) {
        if self.entries.len() >= TRAIL_ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Keeps an entry. That it could not be written is an error in the agent's log; it is in memory all the same.
    pub(crate) fn note(&mut self, mut entry: TrailEntry, now: Duration) {
        if entry.role.is_none() && !self.is_within_budget(now) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        if entry.detail.chars().nth(DETAIL_CHARACTERS_MAX).is_some() {
            entry.detail = entry.detail.chars().take(DETAIL_CHARACTERS_MAX - 1).chain(['…']).collect();
        }
        if self.left_out > 0 {
            let more = format!(" (and {} attempts of strangers were left out before)", self.left_out);
            entry.detail.push_str(&more);
            self.left_out = 0;
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write(&entry)
        {
            file.open = None;
            tracing::error!(file = %file.path.display(), %error, "an entry of the audit trail could not be written");
        }
        self.push(entry);
    }

    fn is_within_budget(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.strangers = (self.strangers + passed * STRANGERS_PER_SECOND).min(STRANGERS_BURST);
        self.at = now;
        let is_within = self.strangers >= 1.0;
        if is_within {
            self.strangers -= 1.0;
        }
        is_within
    }

    /// The latest first.
    pub(crate) fn latest(&self, limit: usize) -> Vec<TrailEntry> {
        self.entries.iter().rev().take(limit).cloned().collect()
    }
}

impl Kept {
    fn write(&mut self, entry: &TrailEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if self.open.as_ref().is_some_and(|(_, bytes)| bytes + line.len() as u64 > self.bytes_max) {
            self.put_aside()?;
        }
        let (file, bytes) = match &mut self.open {
            Some(open) => open,
            none => {
                let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
                let mut bytes = file.metadata()?.len();
                // A line that a crash cut short must not take the next one with it.
                if bytes > 0 && last_byte(&mut file)? != b'\n' {
                    file.write_all(b"\n")?;
                    bytes += 1;
                }
                none.insert((file, bytes))
            }
        };
        file.write_all(&line)?;
        *bytes += line.len() as u64;
        Ok(())
    }

    fn put_aside(&mut self) -> io::Result<()> {
        self.open = None;
        for number in (1..TRAIL_FILES_KEPT).rev() {
            match fs::rename(aside(&self.path, number), aside(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, aside(&self.path, 1))
    }
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewall_view::access::Role;
    use std::os::unix::fs::PermissionsExt as _;

    fn entry(role: Option<Role>, detail: &str) -> TrailEntry {
        TrailEntry {
            time: "2026-11-27T10:00:00.000000Z".to_owned(),
            user: role.map(|_| "ada".to_owned()),
            role,
            peer: "192.0.2.1".to_owned(),
            method: "POST".to_owned(),
            path: "/api/v1/bans".to_owned(),
            status: 200,
            detail: detail.to_owned(),
        }
    }

    fn details(trail: &Trail) -> Vec<String> {
        trail.latest(TRAIL_ENTRIES_MAX).into_iter().map(|entry| entry.detail).collect()
    }

    #[test]
    fn the_latest_come_first_and_outlive_the_agent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let mut trail = Trail::of(path.clone());
        for detail in ["one", "two\nlines", "three"] {
            trail.note(entry(Some(Role::Operator), detail), Duration::ZERO);
        }
        assert_eq!(details(&trail), ["three", "two\nlines", "one"]);
        assert_eq!(trail.latest(1).len(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3, "an entry is one line");
        // A crash in the middle of a line.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"time\":").unwrap();
        let mut again = Trail::of(path.clone());
        assert_eq!(details(&again), details(&trail));
        again.note(entry(Some(Role::Operator), "four"), Duration::ZERO);
        assert_eq!(details(&Trail::of(path)), ["four", "three", "two\nlines", "one"]);
    }

    #[test]
    fn the_file_is_put_aside_and_the_disk_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let mut trail = Trail::of(path.clone());
        let line = serde_json::to_vec(&entry(Some(Role::Admin), "000")).unwrap().len() as u64 + 1;
        trail.file.as_mut().unwrap().bytes_max = 3 * line;
        for n in 100..140 {
            trail.note(entry(Some(Role::Admin), &n.to_string()), Duration::ZERO);
        }
        let mut files: Vec<u64> =
            fs::read_dir(directory.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).collect();
        files.sort_unstable();
        assert_eq!(files, [line, 3 * line, 3 * line, 3 * line, 3 * line]);
        let again = Trail::of(path);
        assert_eq!(details(&again), ["139", "138", "137", "136"]);
    }

    #[test]
    fn memory_is_bounded_and_so_is_an_entry() {
        let mut trail = Trail::default();
        for n in 0..TRAIL_ENTRIES_MAX + 10 {
            trail.note(entry(Some(Role::Admin), &n.to_string()), Duration::ZERO);
        }
        assert_eq!(trail.entries.len(), TRAIL_ENTRIES_MAX);
        trail.note(entry(Some(Role::Admin), &"ä".repeat(10_000)), Duration::ZERO);
        assert_eq!(trail.latest(1)[0].detail.chars().count(), DETAIL_CHARACTERS_MAX);
    }

    #[test]
    fn strangers_cannot_push_out_what_users_did() {
        let mut trail = Trail::default();
        trail.note(entry(Some(Role::Admin), "precious"), Duration::ZERO);
        for _ in 0..100_000 {
            trail.note(entry(None, "noise"), Duration::from_secs(1));
        }
        trail.note(entry(Some(Role::Admin), "after"), Duration::from_secs(1));
        let details = details(&trail);
        assert_eq!(details.last().unwrap(), "precious");
        assert_eq!(details.len(), 2 + STRANGERS_BURST as usize);
        assert_eq!(details[0], "after (and 99940 attempts of strangers were left out before)");
        trail.note(entry(None, "a little later"), Duration::from_secs(3));
        assert_eq!(trail.latest(1)[0].detail, "a little later");
    }
}
