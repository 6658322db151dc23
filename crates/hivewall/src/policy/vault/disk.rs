//! Files of one directory that only their owner may use, replaced whole. Which files there are is the vault's matter.
//!
//! Invariant: what has a final name was on the disk in full before it got it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::VaultError;

/// Rights of a file and of a directory.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// Ending of a file that is being written.
const ASIDE: &str = ".new";

#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    /// Operations until the machine stops, for tests.
    #[cfg(test)]
    pub(super) until_stop: std::cell::Cell<Option<usize>>,
}

impl Disk {
    fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            #[cfg(test)]
            until_stop: std::cell::Cell::new(None),
        }
    }

    /// This directory, made when it is not there.
    pub(super) fn make(directory: &Path) -> Result<Self, VaultError> {
        let disk = Self::new(directory);
        for path in [directory.to_owned(), directory.join(super::DOCUMENTS)] {
            DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&path).map_err(at(&path))?;
            check_directory(&path)?;
        }
        Ok(disk)
    }

    /// This directory, if it is there.
    pub(super) fn at(directory: &Path) -> Result<Option<Self>, VaultError> {
        if !directory.try_exists().map_err(at(directory))? {
            return Ok(None);
        }
        check_directory(directory)?;
        Ok(Some(Self::new(directory)))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.directory.clone() } else { self.directory.join(name) }
    }

    /// Waits until nobody else changes anything.
    pub(super) fn lock(&self) -> Result<File, VaultError> {
        let path = self.path("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(&path);
        let file = file.map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        Ok(file)
    }

    /// The whole file, if it is there and nobody else could have written it.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let path = self.path(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
            Ok(metadata) => check_file(&path, &metadata)?,
        }
        fs::read(&path).map(Some).map_err(at(&path))
    }

    pub(super) fn length(&self, name: &str) -> Result<Option<u64>, VaultError> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Files in a directory below.
    pub(super) fn names(&self, directory: &str) -> Result<Vec<String>, VaultError> {
        let path = self.path(directory);
        let entries = fs::read_dir(&path).map_err(at(&path))?;
        entries.map(|entry| Ok(entry.map_err(at(&path))?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Replaces or makes a file.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let path = self.path(name);
        let aside = self.path(&format!("{name}{ASIDE}"));
        self.go_on(&aside)?;
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&aside)(error)),
            _ => {}
        }
        self.go_on(&aside)?;
        let mut file =
            OpenOptions::new().create_new(true).write(true).mode(FILE_MODE).open(&aside).map_err(at(&aside))?;
        self.write(&mut file, &aside, bytes)?;
        self.go_on(&aside)?;
        file.sync_all().map_err(at(&aside))?;
        self.go_on(&path)?;
        fs::rename(&aside, &path).map_err(at(&path))?;
        self.sync_directory(&path)
    }

    /// Adds to the end of a file.
    pub(super) fn append(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let path = self.path(name);
        self.go_on(&path)?;
        let mut file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(&path).map_err(at(&path))?;
        self.write(&mut file, &path, bytes)?;
        self.go_on(&path)?;
        file.sync_all().map_err(at(&path))?;
        self.sync_directory(&path)
    }

    /// Cuts a file to this length.
    pub(super) fn cut(&self, name: &str, length: u64) -> Result<(), VaultError> {
        let path = self.path(name);
        self.go_on(&path)?;
        let file = OpenOptions::new().write(true).open(&path).map_err(at(&path))?;
        file.set_len(length).and_then(|()| file.sync_all()).map_err(at(&path))
    }

    /// Gives a file that may not be there another name, over what had it.
    pub(super) fn put_aside(&self, name: &str, to: &str) -> Result<(), VaultError> {
        let path = self.path(name);
        self.go_on(&path)?;
        match fs::rename(&path, self.path(to)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), VaultError> {
        let path = self.path(name);
        self.go_on(&path)?;
        fs::remove_file(&path).map_err(at(&path))
    }

    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
        #[cfg(test)]
        if self.until_stop.get() == Some(0) {
            // A machine that stops here leaves any part of it.
            file.write_all(bytes.split_at(bytes.len() / 2).0).map_err(at(path))?;
        }
        self.go_on(path)?;
        file.write_all(bytes).map_err(at(path))
    }

    fn sync_directory(&self, path: &Path) -> Result<(), VaultError> {
        self.go_on(path)?;
        let directory = path.parent().unwrap_or(&self.directory);
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(at(directory))
    }

    /// Comes before each operation: the place at which tests stop the machine.
    #[cfg(test)]
    fn go_on(&self, path: &Path) -> Result<(), VaultError> {
        match self.until_stop.get() {
            Some(0) => Err(at(path)(io::Error::other("the machine stopped"))),
            left => {
                self.until_stop.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "only tests stop the machine")]
    fn go_on(&self, _path: &Path) -> Result<(), VaultError> {
        Ok(())
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> VaultError + use<> {
    let path = path.to_owned();
    move |source| VaultError::File { path, source }
}

fn check_directory(path: &Path) -> Result<(), VaultError> {
    let metadata = fs::metadata(path).map_err(at(path))?;
    if !metadata.is_dir() {
        return Err(VaultError::Unexpected { path: path.to_owned() });
    }
    check(path, &metadata, DIRECTORY_MODE)
}

fn check_file(path: &Path, metadata: &Metadata) -> Result<(), VaultError> {
    if !metadata.is_file() {
        return Err(VaultError::Unexpected { path: path.to_owned() });
    }
    check(path, metadata, FILE_MODE)
}

/// Whether only root or who runs this may use it.
fn check(path: &Path, metadata: &Metadata, wanted: u32) -> Result<(), VaultError> {
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if mode & 0o077 != 0 {
        return Err(VaultError::Mode { path: path.to_owned(), mode, wanted });
    }
    // The owner of one's own entry in /proc is one's effective user (proc(5)).
    let me = fs::metadata("/proc/self").map_err(at(Path::new("/proc/self")))?.uid();
    if owner == 0 || owner == me { Ok(()) } else { Err(VaultError::Owner { path: path.to_owned(), owner }) }
}

/// Reads a file that holds a secret: refuses one that others may use.
pub(in crate::policy) fn read_secret(path: &Path) -> Result<String, VaultError> {
    let metadata = fs::metadata(path).map_err(at(path))?;
    check_file(path, &metadata)?;
    fs::read_to_string(path).map_err(at(path))
}

/// Makes a file that holds a secret; never over another.
pub(in crate::policy) fn write_secret(path: &Path, text: &str) -> Result<(), VaultError> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(FILE_MODE).open(path).map_err(at(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at(path))
}
