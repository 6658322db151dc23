//! What can go wrong with the history.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the history could not be opened, asked or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The directory could not be made or read.
    #[error("the history's directory {} cannot be used: {source}; give it another place or repair its rights", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the history in {} is in use by another process; stop that one or give this one a directory of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error("the history in {} has schema version {found}, and this program knows at most {known}; use the newer program", path.display())]
    TooNew {
        /// The directory.
        path: PathBuf,
        /// Version found.
        found: u64,
        /// Greatest version known.
        known: u64,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A segment is not what it should be; nothing of it was used.
    #[error("the segment {} cannot be read or written: {source}", path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        source: parquet::errors::ParquetError,
    },
    /// The small state could not be read or written.
    #[error("the state beside the segments: {0}")]
    State(#[source] Box<redb::Error>),
    /// The store was closed; what is in segments can still be read.
    #[error("the history was closed")]
    Closed,
    /// The question took longer than it was given.
    #[error("the question reaches over more history than can be read in time; narrow its time or its addresses")]
    Late,
    /// Whoever wanted the export cannot take it.
    #[error("the export cannot be written: {0}")]
    Export(#[source] io::Error),
    /// The thread that writes could not be started.
    #[error("no thread for the history: {0}")]
    Thread(#[source] io::Error),
}

impl StoreError {
    /// Whether it is that the disk (or a quota) is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        let io = |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            Self::Directory { source, .. } | Self::File { source, .. } => io(source),
            Self::Segment { source, .. } => {
                // The Parquet library boxes what the file said.
                let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source);
                while let Some(error) = cause {
                    if error.downcast_ref::<io::Error>().is_some_and(io) {
                        return true;
                    }
                    cause = error.source();
                }
                false
            }
            Self::State(error) => matches!(&**error, redb::Error::Io(source) if io(source)),
            _ => false,
        }
    }

    /// The file that is gone, when that is what is wrong: retention may have taken it meanwhile.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// For `map_err` behind calls of the state's database.
pub(crate) fn state(error: impl Into<redb::Error>) -> StoreError {
    StoreError::State(Box::new(error.into()))
}
