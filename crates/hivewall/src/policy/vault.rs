//! The policy's state on disk, outside of the configuration: the ledger, the documents it needs, and the trail.
//!
//! ```text
//! /var/lib/hivewall/policy/            0700
//!   lock                               one change at a time
//!   state                              the ledger: a line with the SHA-256 of the rest, then JSON; 0600
//!   state.previous                     the one before
//!   trail.jsonl                        every entry of the trail
//!   documents/SHA256                   signed files, or plain text, as they were applied
//! ```
//!
//! Files are replaced whole (write aside, fsync, rename, fsync of the directory); a document is there before the state
//! that needs it, and goes after the last state that needed it. So a stop between any two operations leaves the old
//! state or the new one. Of a damaged state the one before is taken, brought up to date from the trail; if both are
//! damaged, all of it is made anew from the trail; if that is broken, too, opening fails. Invariant: a state is never
//! made up: where there was one, it is found again or the caller is told that it is lost.

mod disk;
mod error;

use std::fs::File;
use std::path::{Path, PathBuf};

use hivewall_model::Timestamp;
use hivewall_policy::ledger::{Effect, Entry, Ledger, Moment, Request, Step, check_trail, identity};
use hivewall_policy::sign::Digest;

use disk::Disk;
pub(super) use disk::{read_secret, write_secret};
pub(crate) use error::{Finding, VaultError};

/// First word of the state file.
const MAGIC: &str = "hivewall-policy-state";
/// Version of its form.
const FORM: u64 = 1;
const STATE: &str = "state";
const PREVIOUS: &str = "state.previous";
const DAMAGED: &str = "state.damaged";
const TRAIL: &str = "trail.jsonl";
const DOCUMENTS: &str = "documents";

/// The state's directory, held for one change.
#[derive(Debug)]
pub(crate) struct Vault {
    disk: Disk,
    ledger: Ledger,
    /// Number of the last entry in the trail's file.
    trail_end: u64,
    findings: Vec<Finding>,
    /// Held until this is dropped.
    _lock: File,
}

/// What the files say.
struct Found {
    ledger: Ledger,
    trail: Trail,
    findings: Vec<Finding>,
    /// Whether the state's file has to be written anew.
    is_restored: bool,
}

/// The trail's file.
struct Trail {
    /// Entries that hold together.
    sound: Vec<Entry>,
    /// Number of the last entry in the file.
    end: u64,
    /// Length without a line that was not written to its end.
    bytes: u64,
    /// Length.
    all_bytes: u64,
}

impl Vault {
    /// Waits for its turn, reads the state, and repairs what a stop left half done. A directory that is not there is
    /// made, with an empty state.
    pub(crate) fn open(directory: &Path) -> Result<Self, VaultError> {
        Self::on(Disk::make(directory)?)
    }

    fn on(disk: Disk) -> Result<Self, VaultError> {
        let lock = disk.lock()?;
        let found = look(&disk)?;
        let Found { ledger, trail, findings, is_restored } = found;
        let mut vault = Self { disk, ledger, trail_end: trail.end, findings, _lock: lock };
        if trail.bytes < trail.all_bytes {
            vault.disk.cut(TRAIL, trail.bytes)?;
        }
        if is_restored {
            vault.disk.put_aside(STATE, DAMAGED)?;
            vault.disk.replace(STATE, &written(&vault.ledger)?)?;
        }
        vault.append_trail()?;
        Ok(vault)
    }

    /// The state.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What was found to be damaged, and what was done about it.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Takes a step and makes it durable: carries out [`Effect::Store`] and [`Effect::Persist`]. The other effects are
    /// the caller's, afterwards.
    pub(crate) fn step(&mut self, now: &Moment, request: &Request<'_>) -> Result<Step, VaultError> {
        let step = self.ledger.step(now, request)?;
        for effect in &step.effects {
            if let Effect::Store { digest, bytes } = effect {
                self.disk.replace(&document_path(*digest), bytes)?;
            }
        }
        if step.effects.contains(&Effect::Persist) {
            self.persist(&step.ledger)?;
        }
        Ok(step)
    }

    fn persist(&mut self, next: &Ledger) -> Result<(), VaultError> {
        if self.disk.length(STATE)?.is_some() {
            self.disk.replace(PREVIOUS, &written(&self.ledger)?)?;
        }
        self.disk.replace(STATE, &written(next)?)?;
        let before = std::mem::replace(&mut self.ledger, next.clone());
        self.append_trail()?;
        self.remove_documents(&before)
    }

    /// Writes the entries that the state has and the file lacks.
    fn append_trail(&mut self) -> Result<(), VaultError> {
        let mut lines = Vec::new();
        for entry in self.ledger.recent().iter().filter(|entry| entry.number > self.trail_end) {
            serde_json::to_writer(&mut lines, entry).map_err(VaultError::Form)?;
            lines.push(b'\n');
        }
        if !lines.is_empty() {
            self.disk.append(TRAIL, &lines)?;
        }
        self.trail_end = self.ledger.recent().last().map_or(self.trail_end, |entry| entry.number.max(self.trail_end));
        Ok(())
    }

    /// Removes documents that neither this state nor the one before needs.
    fn remove_documents(&self, before: &Ledger) -> Result<(), VaultError> {
        let needed: Vec<String> = self.ledger.documents().chain(before.documents()).map(|d| d.to_string()).collect();
        for name in self.disk.names(DOCUMENTS)? {
            if !needed.contains(&name) {
                self.disk.remove(&format!("{DOCUMENTS}/{name}"))?;
            }
        }
        Ok(())
    }

    /// A document, exactly as it was applied.
    pub(crate) fn document(&self, digest: Digest) -> Result<Vec<u8>, VaultError> {
        document(&self.disk, digest)
    }
}

/// One change from beginning to end: opens, steps, makes durable, lets go. What is left to do are the step's
/// [`Effect::Enforce`], [`Effect::Withdraw`] and [`Effect::Alert`].
pub(crate) fn transact(
    directory: &Path,
    now: &Moment,
    request: &Request<'_>,
) -> Result<(Step, Vec<Finding>), VaultError> {
    let mut vault = Vault::open(directory)?;
    let step = vault.step(now, request)?;
    Ok((step, std::mem::take(&mut vault.findings)))
}

/// Replaces a file beside the state, durably.
pub(super) fn replace(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
    Disk::make(directory)?.replace(name, bytes)
}

/// Looks at the state without changing or locking anything.
pub(crate) fn read(directory: &Path) -> Result<(Ledger, Vec<Finding>), VaultError> {
    let Some(disk) = Disk::at(directory)? else { return Ok((Ledger::default(), Vec::new())) };
    let found = look(&disk)?;
    Ok((found.ledger, found.findings))
}

/// Reads a document without locking anything.
pub(crate) fn read_document(directory: &Path, digest: Digest) -> Result<Vec<u8>, VaultError> {
    let disk = Disk::at(directory)?.ok_or_else(|| VaultError::NoDocument { path: directory.to_owned() })?;
    document(&disk, digest)
}

fn document_path(digest: Digest) -> String {
    format!("{DOCUMENTS}/{digest}")
}

fn document(disk: &Disk, digest: Digest) -> Result<Vec<u8>, VaultError> {
    let path = document_path(digest);
    let bytes = disk.read(&path)?.ok_or_else(|| VaultError::NoDocument { path: disk.path(&path) })?;
    match identity(&bytes) {
        Ok(found) if found == digest => Ok(bytes),
        _ => Err(VaultError::Document { path: disk.path(&path) }),
    }
}

/// Reads everything, from the best copy there is.
fn look(disk: &Disk) -> Result<Found, VaultError> {
    let mut findings = Vec::new();
    let trail = trail(disk, &mut findings)?;
    let (state, previous) = (copy(disk, STATE)?, copy(disk, PREVIOUS)?);
    let (ledger, is_restored) = match (state, previous) {
        (Copy::Sound(mut ledger), _) => {
            // The state is written before the trail: one that is behind was put back by somebody.
            let entries = if joins(&ledger, &trail.sound) { ledger.recall(&trail.sound) } else { 0 };
            if entries > 0 {
                findings.push(Finding::Restored { path: disk.path(STATE), was: "older than its trail", entries });
            }
            (ledger, entries > 0)
        }
        (Copy::Absent, Copy::Absent) if trail.all_bytes == 0 => (Box::default(), false),
        (damaged, Copy::Sound(mut ledger)) => {
            let entries = if joins(&ledger, &trail.sound) { ledger.recall(&trail.sound) } else { 0 };
            findings.push(Finding::Restored { path: disk.path(STATE), was: damaged.name(), entries });
            (ledger, true)
        }
        (damaged, _) if trail.sound.first().is_some_and(|entry| entry.number == 1) => {
            let mut ledger = Box::<Ledger>::default();
            let entries = ledger.recall(&trail.sound);
            findings.push(Finding::Rebuilt { path: disk.path(STATE), was: damaged.name(), entries });
            (ledger, true)
        }
        _ => return Err(VaultError::Lost { directory: disk.path("") }),
    };
    for digest in ledger.documents() {
        if let Err(VaultError::Document { path } | VaultError::NoDocument { path }) = document(disk, digest) {
            findings.push(Finding::Document { path });
        }
    }
    Ok(Found { ledger: *ledger, trail, findings, is_restored })
}

/// Whether the trail goes through the state's last entry, so that it can bring the state up to date.
fn joins(ledger: &Ledger, trail: &[Entry]) -> bool {
    ledger.recent().last().is_none_or(|last| trail.iter().any(|entry| entry.hash == last.hash))
}

/// One of the two copies of the state.
enum Copy {
    Sound(Box<Ledger>),
    Damaged,
    Absent,
}

impl Copy {
    fn name(&self) -> &'static str {
        if matches!(self, Self::Absent) { "missing" } else { "damaged" }
    }
}

fn copy(disk: &Disk, name: &str) -> Result<Copy, VaultError> {
    let Some(bytes) = disk.read(name)? else { return Ok(Copy::Absent) };
    let Some((form, rest)) = std::str::from_utf8(&bytes).ok().and_then(|text| {
        let (head, rest) = text.strip_prefix(MAGIC)?.split_once('\n')?;
        let (form, digest) = head.trim_ascii_start().split_once(' ')?;
        (Digest::parse(digest)? == Digest::of(rest.as_bytes())).then_some((form.parse::<u64>().ok()?, rest))
    }) else {
        return Ok(Copy::Damaged);
    };
    if form > FORM {
        return Err(VaultError::TooNew { path: disk.path(name), form, known: FORM });
    }
    Ok(serde_json::from_str(rest).map_or(Copy::Damaged, |ledger| Copy::Sound(Box::new(ledger))))
}

fn written(ledger: &Ledger) -> Result<Vec<u8>, VaultError> {
    let mut json = serde_json::to_string(ledger).map_err(VaultError::Form)?;
    json.push('\n');
    Ok(format!("{MAGIC} {FORM} {}\n{json}", Digest::of(json.as_bytes())).into_bytes())
}

fn trail(disk: &Disk, findings: &mut Vec<Finding>) -> Result<Trail, VaultError> {
    let file = disk.read(TRAIL)?.unwrap_or_default();
    let all_bytes = file.len() as u64;
    let (mut sound, mut bytes) = (Vec::new(), 0);
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let entry = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Entry>(line).ok());
        let Some(entry) = entry else { break };
        sound.push(entry);
        bytes += line.len() as u64;
    }
    let end = sound.last().map_or(0, |entry| entry.number);
    // Only a last line can have been cut off by a stop; anything else that is no entry was done by somebody, and stays.
    let torn = file.len() as u64 - bytes;
    let is_torn = torn > 0 && !file.ends_with(b"\n") && file.split(|byte| *byte == b'\n').count() == sound.len() + 1;
    if let Err(broken) = check_trail(&sound) {
        findings.push(Finding::Trail { path: disk.path(TRAIL), number: broken.number });
        sound.retain(|entry| entry.number < broken.number);
    } else if torn > 0 && !is_torn {
        findings.push(Finding::Trail { path: disk.path(TRAIL), number: end + 1 });
    }
    if is_torn {
        findings.push(Finding::TrailTorn { path: disk.path(TRAIL), bytes: torn });
    }
    Ok(Trail { sound, end, bytes: if is_torn { bytes } else { all_bytes }, all_bytes })
}

/// Now, by this machine's clocks.
pub(crate) fn now() -> Result<Moment, VaultError> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|source| VaultError::File { path: PathBuf::from(path), source })
    };
    let boot = read("/proc/sys/kernel/random/boot_id")?.trim_ascii().to_owned();
    // Seconds of CLOCK_BOOTTIME with two digits behind the point (proc(5)).
    let uptime = read("/proc/uptime")?;
    let digits: String = uptime.split(' ').next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    let uptime_ms = digits.parse::<u64>().unwrap_or_default().saturating_mul(10);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let wall = Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
    Ok(Moment { wall, boot, uptime_ms })
}

#[cfg(test)]
mod tests;
