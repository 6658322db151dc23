//! What can go wrong with a spool.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a spool could not be opened, written or read. Nothing that was in it is lost by any of these.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The file or its directory cannot be used.
    #[error("the queue {} cannot be used: {source}; repair its rights or give it another place", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process, or another part of this one, has it.
    #[error("the queue {} is in use; stop the other process or give this one a directory of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error(
        "the queue {} has form {found}, and this program knows {known}; use the newer program, or remove the file and what waits in it",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Form found.
        found: u64,
        /// Form known.
        known: u64,
    },
    /// The disk refused. What was not durable is kept in memory, as far as that reaches, and tried again.
    #[error("the queue {} cannot be written or read: {source}; make room on its disk or repair it", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// An item larger than the whole queue.
    #[error("an item of {bytes} bytes is larger than the whole queue of {bytes_max}; raise the queue's limit")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
}
