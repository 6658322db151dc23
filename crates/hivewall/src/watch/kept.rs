//! Alerts and mutes on disk, for after a restart.
//!
//! Invariant: an alert that changed is on disk within about a second; what cannot be written is said once and tried again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hivewall_view::alerts::{Alert, Mute};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

const FILE: &str = "alerts.redb";
/// Alerts by when they began and their id, as JSON.
const ALERTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("alerts");
/// Mutes by id, as JSON.
const MUTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("mutes");
/// Numbers.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// Number of the next alert.
const NEXT: &str = "next";

/// The file.
pub(super) struct Kept {
    database: Database,
    path: PathBuf,
    /// Changed since the last write, by key.
    dirty: BTreeMap<String, Alert>,
    next: u64,
    has_failed: bool,
}

fn key(alert: &Alert) -> String {
    format!("{} {}", alert.first_seen, alert.id)
}

impl Kept {
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("the directory for alerts {} cannot be made", directory.display()))?;
        let path = directory.join(FILE);
        let database = Database::create(&path)
            .with_context(|| format!("{} cannot be opened; is another agent running?", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let write = database.begin_write()?;
        write.open_table(ALERTS)?;
        write.open_table(MUTES)?;
        let next = write.open_table(NUMBERS)?.get(NEXT)?.map_or(0, |number| number.value());
        write.commit()?;
        Ok(Self { database, path, dirty: BTreeMap::new(), next, has_failed: false })
    }

    /// Number of the next alert: ids never repeat.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Alerts of earlier runs, the oldest first, at most as many as a book holds; older ones are removed.
    pub(super) fn alerts(&self) -> anyhow::Result<Vec<Alert>> {
        let write = self.database.begin_write()?;
        let mut all = Vec::new();
        {
            let mut table = write.open_table(ALERTS)?;
            let mut keys = Vec::new();
            for item in table.iter()? {
                let (key, value) = item?;
                match serde_json::from_slice(value.value()) {
                    Ok(alert) => all.push(alert),
                    Err(error) => {
                        tracing::warn!(%error, key = key.value(), "an alert of an earlier version cannot be read");
                    }
                }
                keys.push(key.value().to_owned());
            }
            let surplus = keys.len().saturating_sub(hivewall_detect::ALERTS_MAX / 2);
            for key in keys.iter().take(surplus) {
                table.remove(key.as_str())?;
            }
            all.drain(..surplus.min(all.len()));
        }
        write.commit()?;
        Ok(all)
    }

    pub(super) fn mutes(&self) -> anyhow::Result<Vec<Mute>> {
        let read = self.database.begin_read()?;
        let mut all = Vec::new();
        for item in read.open_table(MUTES)?.iter()? {
            all.push(serde_json::from_slice(item?.1.value()).context("a mute cannot be read")?);
        }
        Ok(all)
    }

    /// With the next write.
    pub(super) fn keep(&mut self, alert: &Alert) {
        self.dirty.insert(key(alert), alert.clone());
    }

    pub(super) fn keep_mute(&mut self, mute: &Mute) {
        let written = self.write_mute(mute);
        self.told(written);
    }

    fn write_mute(&self, mute: &Mute) -> anyhow::Result<()> {
        let write = self.database.begin_write()?;
        write.open_table(MUTES)?.insert(mute.id.as_str(), serde_json::to_vec(mute)?.as_slice())?;
        Ok(write.commit()?)
    }

    pub(super) fn forget_mute(&mut self, id: &str) {
        let written = (|| -> anyhow::Result<()> {
            let write = self.database.begin_write()?;
            write.open_table(MUTES)?.remove(id)?;
            Ok(write.commit()?)
        })();
        self.told(written);
    }

    /// Writes what changed.
    pub(super) fn flush(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let written = self.write();
        if written.is_ok() {
            self.dirty.clear();
        }
        self.told(written);
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(ALERTS)?;
            for (key, alert) in &self.dirty {
                let is_new = table.insert(key.as_str(), serde_json::to_vec(alert)?.as_slice())?.is_none();
                self.next += u64::from(is_new);
            }
            write.open_table(NUMBERS)?.insert(NEXT, self.next)?;
        }
        Ok(write.commit()?)
    }

    /// Once for each trouble.
    fn told(&mut self, written: anyhow::Result<()>) {
        match written {
            Ok(()) => self.has_failed = false,
            Err(error) if !self.has_failed => {
                self.has_failed = true;
                tracing::error!(%error, file = %self.path.display(), "alerts cannot be kept; they are shown all the same");
            }
            Err(_) => {}
        }
    }
}
