//! The file behind a spool: opened with every page checked, read and written in whole transactions, and put aside when it
//! is damaged.
//!
//! It holds no policy: what is kept and what goes is decided in `spool`. Invariant: [`QueueFile::commit`] returns after
//! everything it was given is on the disk, or nothing of it counts.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::error::SpoolError;

/// Memory for its pages.
const CACHE_BYTES: usize = 2 << 20;
/// A file is rewritten when it is opened if it is larger than this and more than four times what it holds.
const COMPACT_BYTES_MIN: u64 = 4 << 20;
/// Form of the file.
const FORM: u64 = 1;
/// Numbers given out by one opening: the next opening's begin above them.
const NUMBERS_PER_OPENING: u64 = 1 << 32;

/// Number to checksum and item.
const ITEMS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("items");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const FORM_KEY: &str = "form";
const OPENED_KEY: &str = "opened_at_number";

/// Numbers with their items; none for one that is not there as it was written.
pub(crate) type Found = Vec<(u64, Option<Vec<u8>>)>;

/// The file.
pub(crate) struct QueueFile {
    path: PathBuf,
    /// None after a failure: a database that failed once refuses all work until it is opened anew.
    database: Option<Database>,
}

/// What came of opening.
pub(crate) struct Opened {
    pub(crate) file: QueueFile,
    /// Number and size of every item that is whole, oldest first.
    pub(crate) items: Vec<(u64, u32)>,
    /// How many were not.
    pub(crate) damaged: u64,
    /// Whether a damaged file was put aside.
    pub(crate) set_aside: bool,
    /// The first number to give out.
    pub(crate) next: u64,
}

/// Why a file could not be opened.
enum Refusal {
    /// It is not what was written: put aside.
    Damaged(String),
    /// Something else is wrong, and the file may be well.
    Error(SpoolError),
}

impl QueueFile {
    /// Opens or makes it; a damaged one is put aside as `NAME.damaged`, in place of an earlier one.
    pub(crate) fn open(path: &Path) -> Result<Opened, SpoolError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|source| SpoolError::File { path: path.to_path_buf(), source })?;
        }
        let why = match Self::open_whole(path) {
            Ok(opened) => return Ok(opened),
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::Damaged(why)) => why,
        };
        let aside = aside(path);
        std::fs::rename(path, &aside).map_err(|source| SpoolError::File { path: path.to_path_buf(), source })?;
        tracing::warn!(
            file = %path.display(), aside = %aside.display(), why,
            "a queue's file is damaged and was put aside; what waited in it is lost, and a new one is begun"
        );
        match Self::open_whole(path) {
            Ok(opened) => Ok(Opened { set_aside: true, ..opened }),
            Err(Refusal::Error(error)) => Err(error),
            Err(Refusal::Damaged(why)) => {
                Err(SpoolError::File { path: path.to_path_buf(), source: io::Error::new(ErrorKind::InvalidData, why) })
            }
        }
    }

    fn open_whole(path: &Path) -> Result<Opened, Refusal> {
        let mut database = open_database(path)?;
        let failed = |error: redb::Error| refusal(path, error);
        let next = begin(path, &database)?;
        let (items, damaged) = list(&database).map_err(failed)?;
        let live: u64 = items.iter().map(|(_, bytes)| u64::from(*bytes)).sum();
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if size > COMPACT_BYTES_MIN.max(live * 4) {
            database.compact().map_err(|error| failed(error.into()))?;
        }
        let file = Self { path: path.to_path_buf(), database: Some(database) };
        Ok(Opened { file, items, damaged, set_aside: false, next })
    }

    /// Whether it has to be opened anew before it is used.
    pub(crate) fn has_failed(&self) -> bool {
        self.database.is_none()
    }

    /// The path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all items below a number and adds others. Durable when it returns.
    pub(crate) fn commit<'a>(
        &mut self,
        gone_below: u64,
        items: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> Result<(), SpoolError> {
        self.with(|database| {
            let write = database.begin_write()?;
            {
                let mut table = write.open_table(ITEMS)?;
                table.retain_in(..gone_below, |_, _| false)?;
                let mut framed = Vec::new();
                for (number, item) in items {
                    framed.clear();
                    framed.extend_from_slice(&crc32fast::hash(item).to_le_bytes());
                    framed.extend_from_slice(item);
                    table.insert(number, framed.as_slice())?;
                }
            }
            write.commit()?;
            Ok(())
        })
    }

    /// The items of these numbers.
    pub(crate) fn read(&mut self, numbers: impl Iterator<Item = u64>) -> Result<Found, SpoolError> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(ITEMS)?;
            let mut found = Found::new();
            for number in numbers {
                let value = table.get(number)?;
                found.push((number, value.and_then(|value| unframe(value.value()).map(<[u8]>::to_vec))));
            }
            Ok(found)
        })
    }

    fn with<T>(&mut self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, SpoolError> {
        let disk = |source: redb::Error| SpoolError::Disk { path: self.path.clone(), source: Box::new(source) };
        let Some(database) = &self.database else { return Err(disk(redb::Error::PreviousIo)) };
        let result = act(database).map_err(disk);
        if result.is_err() {
            self.database = None;
        }
        result
    }
}

/// Where a damaged file goes: one, so that they cannot fill the disk.
fn aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".damaged");
    name.into()
}

fn open_database(path: &Path) -> Result<Database, Refusal> {
    // Made here, since only its owner may read what waits to be sent.
    let made = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|source| Refusal::Error(SpoolError::File { path: path.to_path_buf(), source }))?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder.create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => Refusal::Error(SpoolError::InUse { path: path.to_path_buf() }),
        DatabaseError::RepairAborted | DatabaseError::UpgradeRequired(_) => Refusal::Damaged(error.to_string()),
        error => refusal(path, error.into()),
    })
}

/// What an error of the database means for its file.
fn refusal(path: &Path, error: redb::Error) -> Refusal {
    let is_damage = match &error {
        redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => true,
        redb::Error::Io(io) => matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
    };
    if is_damage {
        return Refusal::Damaged(error.to_string());
    }
    Refusal::Error(SpoolError::Disk { path: path.to_path_buf(), source: Box::new(error) })
}

/// Checks the form, and gives the first number of this opening: above those of every earlier one, and by the clock above
/// those of a file that was put aside.
fn begin(path: &Path, database: &Database) -> Result<u64, Refusal> {
    let failed = |error: redb::Error| refusal(path, error);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let act = || -> Result<Result<u64, u64>, redb::Error> {
        let write = database.begin_write()?;
        let next = {
            let mut numbers = write.open_table(NUMBERS)?;
            let items = write.open_table(ITEMS)?;
            let form = numbers.get(FORM_KEY)?.map_or(FORM, |form| form.value());
            if form != FORM {
                return Ok(Err(form));
            }
            let last = numbers.get(OPENED_KEY)?.map_or(0, |number| number.value());
            let used = items.last()?.map_or(0, |(number, _)| number.value());
            let next =
                last.max(used).saturating_add(NUMBERS_PER_OPENING).max(now_s.saturating_mul(NUMBERS_PER_OPENING));
            numbers.insert(FORM_KEY, FORM)?;
            numbers.insert(OPENED_KEY, next)?;
            next
        };
        write.commit()?;
        Ok(Ok(next))
    };
    let form = act().map_err(failed)?;
    form.map_err(|found| Refusal::Error(SpoolError::TooNew { path: path.to_path_buf(), found, known: FORM }))
}

fn list(database: &Database) -> Result<(Vec<(u64, u32)>, u64), redb::Error> {
    let (mut items, mut damaged) = (Vec::new(), 0);
    for row in database.begin_read()?.open_table(ITEMS)?.iter()? {
        let (number, value) = row?;
        match unframe(value.value()) {
            Some(item) => items.push((number.value(), u32::try_from(item.len()).unwrap_or(u32::MAX))),
            None => damaged += 1,
        }
    }
    Ok((items, damaged))
}

/// The item behind its checksum, if they agree.
fn unframe(value: &[u8]) -> Option<&[u8]> {
    let (sum, item) = value.split_first_chunk::<4>()?;
    (crc32fast::hash(item) == u32::from_le_bytes(*sum)).then_some(item)
}

/// For the tests of `spool`: changes what is stored under a number without its checksum.
#[cfg(test)]
pub(crate) fn damage(path: &Path, number: u64) {
    let database = Database::create(path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(ITEMS).unwrap().insert(number, [1_u8, 2, 3, 4, 5].as_slice()).unwrap();
    write.commit().unwrap();
}
