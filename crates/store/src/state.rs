//! The small state beside the segments, in one transactional file: schema version, the store's id, marks, roll-ups.
//!
//! Whatever has to change together changes in one transaction: a segment's roll-ups and the note that they were made, a
//! migration and the version it leads to.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use crate::error::{StoreError, state as failed};
use crate::keys::By;
use crate::rollup::{Level, Place, Table, Tables};

/// Name of the file.
pub(crate) const FILE: &str = "state.redb";
/// Memory for its pages.
const CACHE_BYTES: usize = 8 << 20;

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const MARKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("marks");
/// Level, thing, bucket.
const ROLLUPS: TableDefinition<'_, (u8, u8, i64), &[u8]> = TableDefinition::new("rollups");

const SCHEMA_VERSION: &str = "schema_version";
const ROLLED_THROUGH: &str = "rolled_through";
const STORE_ID: &str = "store_id";

/// Leads from one version to the next, in one transaction with the version's number.
type Migration = fn(&WriteTransaction) -> Result<(), StoreError>;

/// What leads from each version to the next, the first from version 1. A new version is one more entry.
const MIGRATIONS: &[Migration] = &[add_rollups];
/// The version that this program writes.
pub const SCHEMA: u64 = 1 + MIGRATIONS.len() as u64;

/// Version 2: roll-ups. Those of the segments that are there are made when the store is opened.
fn add_rollups(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(ROLLUPS).map_err(failed)?;
    let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
    numbers.insert(ROLLED_THROUGH, 0).map_err(failed)?;
    Ok(())
}

/// The open state. After a failure it is opened again at the next use.
#[derive(Debug)]
pub(crate) struct State {
    directory: PathBuf,
    database: Mutex<Held>,
    id: u64,
}

/// The database, as far as there is one.
#[derive(Debug)]
enum Held {
    Open(Database),
    /// Something failed: it is opened again when it is needed.
    Failed,
    /// The store is closed: another process may have it.
    Closed,
}

impl State {
    /// Opens or makes it, and brings it to the version of this program.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        let database = open(directory)?;
        let id = migrate(&database, directory)?;
        Ok(Self { directory: directory.to_path_buf(), database: Mutex::new(Held::Open(database)), id })
    }

    /// A number that tells this store from others.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Number of the last segment whose roll-ups were made.
    pub(crate) fn rolled_through(&self) -> Result<u64, StoreError> {
        self.with(|database| {
            let read = database.begin_read().map_err(failed)?;
            let numbers = read.open_table(NUMBERS).map_err(failed)?;
            Ok(numbers.get(ROLLED_THROUGH).map_err(failed)?.map_or(0, |number| number.value()))
        })
    }

    /// Adds a segment's tables to the roll-ups, unless that was done.
    pub(crate) fn roll_up(&self, number: u64, tables: Tables) -> Result<(), StoreError> {
        let mut new: Vec<(Place, Table)> = tables.into_iter().collect();
        new.sort_by_key(|(place, _)| *place);
        self.with(|database| {
            let write = database.begin_write().map_err(failed)?;
            {
                let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
                if numbers.get(ROLLED_THROUGH).map_err(failed)?.is_some_and(|done| done.value() >= number) {
                    return Ok(());
                }
                numbers.insert(ROLLED_THROUGH, number).map_err(failed)?;
                let mut rollups = write.open_table(ROLLUPS).map_err(failed)?;
                for ((level, by, bucket), table) in new {
                    let place = (level as u8, by as u8, bucket);
                    let known = rollups.get(place).map_err(failed)?.and_then(|bytes| Table::decode(by, bytes.value()));
                    let mut merged = known.unwrap_or_default();
                    merged.merge(table, level.keys_max());
                    rollups.insert(place, merged.encode().as_slice()).map_err(failed)?;
                }
            }
            write.commit().map_err(failed)
        })
    }

    /// The number up to which segments are rolled up, and the tables of some buckets (the last one left out), from the
    /// same moment.
    pub(crate) fn rollups(
        &self,
        level: Level,
        by: By,
        from: i64,
        to: i64,
    ) -> Result<(u64, Vec<(i64, Table)>), StoreError> {
        self.with(|database| {
            let read = database.begin_read().map_err(failed)?;
            let numbers = read.open_table(NUMBERS).map_err(failed)?;
            let through = numbers.get(ROLLED_THROUGH).map_err(failed)?.map_or(0, |number| number.value());
            let rollups = read.open_table(ROLLUPS).map_err(failed)?;
            let mut found = Vec::new();
            for entry in rollups.range((level as u8, by as u8, from)..(level as u8, by as u8, to)).map_err(failed)? {
                let (place, bytes) = entry.map_err(failed)?;
                found.extend(Table::decode(by, bytes.value()).map(|table| (place.value().2, table)));
            }
            Ok((through, found))
        })
    }

    /// The first bucket that is kept at a level.
    pub(crate) fn first_bucket(&self, level: Level) -> Result<Option<i64>, StoreError> {
        self.with(|database| {
            let read = database.begin_read().map_err(failed)?;
            let rollups = read.open_table(ROLLUPS).map_err(failed)?;
            let by = By::Protocol as u8;
            let mut range = rollups.range((level as u8, by, i64::MIN)..=(level as u8, by, i64::MAX)).map_err(failed)?;
            Ok(range.next().transpose().map_err(failed)?.map(|(place, _)| place.value().2))
        })
    }

    /// Forgets the buckets before `bucket`; says how many tables that were.
    pub(crate) fn forget(&self, level: Level, bucket: i64) -> Result<u64, StoreError> {
        if self.first_bucket(level)?.is_none_or(|first| first >= bucket) {
            return Ok(0);
        }
        self.with(|database| {
            let write = database.begin_write().map_err(failed)?;
            let mut forgotten = 0;
            {
                let mut rollups = write.open_table(ROLLUPS).map_err(failed)?;
                let before = rollups.len().map_err(failed)?;
                for by in By::ALL {
                    let range = (level as u8, by as u8, i64::MIN)..(level as u8, by as u8, bucket);
                    rollups.retain_in(range, |_, _| false).map_err(failed)?;
                }
                forgotten += before - rollups.len().map_err(failed)?;
            }
            write.commit().map_err(failed)?;
            Ok(forgotten)
        })
    }

    /// Bytes kept under a name.
    pub(crate) fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let read = database.begin_read().map_err(failed)?;
            let marks = read.open_table(MARKS).map_err(failed)?;
            Ok(marks.get(name).map_err(failed)?.map(|bytes| bytes.value().to_vec()))
        })
    }

    /// Keeps bytes under a name, durably; empty bytes remove it.
    pub(crate) fn set_mark(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.with(|database| {
            let write = database.begin_write().map_err(failed)?;
            {
                let mut marks = write.open_table(MARKS).map_err(failed)?;
                if bytes.is_empty() {
                    marks.remove(name).map_err(failed)?;
                } else {
                    marks.insert(name, bytes).map_err(failed)?;
                }
            }
            write.commit().map_err(failed)
        })
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        std::fs::metadata(self.directory.join(FILE)).map_or(0, |file| file.len())
    }

    /// Lets go of the file.
    pub(crate) fn close(&self) {
        *self.lock() = Held::Closed;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut held = self.lock();
        let database = match std::mem::replace(&mut *held, Held::Failed) {
            Held::Open(database) => database,
            Held::Failed => open(&self.directory)?,
            Held::Closed => {
                *held = Held::Closed;
                return Err(StoreError::Closed);
            }
        };
        let result = act(&database);
        // After a failed write the database refuses all work until it is opened anew.
        if result.is_ok() {
            *held = Held::Open(database);
        }
        result
    }
}

fn open(directory: &Path) -> Result<Database, StoreError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.create(directory.join(FILE)).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: directory.to_path_buf() },
        error => failed(error),
    })
}

/// Brings the state to this program's version, and gives the store's id.
fn migrate(database: &Database, directory: &Path) -> Result<u64, StoreError> {
    let write = database.begin_write().map_err(failed)?;
    let (version, id) = {
        let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
        write.open_table(MARKS).map_err(failed)?;
        let version = numbers.get(SCHEMA_VERSION).map_err(failed)?.map(|version| version.value());
        let id = numbers.get(STORE_ID).map_err(failed)?.map(|id| id.value());
        // The hash of nothing under a random secret.
        let id = id.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        numbers.insert(STORE_ID, id).map_err(failed)?;
        numbers.insert(SCHEMA_VERSION, SCHEMA).map_err(failed)?;
        (version, id)
    };
    // A new state is that of the first version, brought to this one like any other; nobody needs to hear of it.
    let (is_new, version) = (version.is_none(), version.unwrap_or(1));
    if version > SCHEMA {
        return Err(StoreError::TooNew { path: directory.to_path_buf(), found: version, known: SCHEMA });
    }
    for (step, migration) in MIGRATIONS.iter().enumerate() {
        if step as u64 + 1 >= version {
            migration(&write)?;
            if !is_new {
                tracing::info!(from = step + 1, to = step + 2, "history brought to a newer schema");
            }
        }
    }
    write.commit().map_err(failed)?;
    Ok(id)
}
