//! What can be wrong with the policy's state on disk.

use std::io;
use std::path::PathBuf;

use hivewall_policy::ledger::LedgerError;
use thiserror::Error;

/// Why the state could not be read or changed. What the kernel enforces is not touched by any of these.
#[derive(Debug, Error)]
pub(crate) enum VaultError {
    /// The request is refused.
    #[error(transparent)]
    Refused(#[from] LedgerError),
    /// A file could not be read or written. The state on disk is the one before or the one after.
    #[error("{}: {source}; free space or mend its rights, then try again", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could have written it, or can read it.
    #[error("{} has mode {mode:04o} and others than its owner may use it: look at what is in it, then run `chmod {wanted:04o} {}`", path.display(), path.display())]
    Mode {
        /// File or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What it should be.
        wanted: u32,
    },
    /// Somebody else's.
    #[error("{} belongs to user {owner}, and only root's or one's own state is trusted: look at what is in it, then run `chown root {}`", path.display(), path.display())]
    Owner {
        /// File or directory.
        path: PathBuf,
        /// Whose.
        owner: u32,
    },
    /// Not a file, or not a directory.
    #[error("{} is not what it should be (a plain file, or a directory, and no link): take it away and try again", path.display())]
    Unexpected {
        /// The path.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error("{} has form {form}, and this program knows at most {known}; use the newer program", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its form.
        form: u64,
        /// Known.
        known: u64,
    },
    /// All copies and the trail are damaged.
    #[error("the policy's state in {} is lost: both copies and the trail are damaged or missing. What the kernel enforces stays. Put the directory back from a backup; or move it away to begin anew, which forgets the trusted keys and the highest version", directory.display())]
    Lost {
        /// The directory.
        directory: PathBuf,
    },
    /// A document is not there.
    #[error("{} is missing; apply the document again", path.display())]
    NoDocument {
        /// The file.
        path: PathBuf,
    },
    /// A document is not what it was.
    #[error("{} was altered or is damaged and is not used; apply the document again", path.display())]
    Document {
        /// The file.
        path: PathBuf,
    },
    /// The state could not be put into words.
    #[error("the state cannot be written down: {0}")]
    Form(#[source] serde_json::Error),
}

/// Damage that was found, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Finding {
    /// The copy before was taken.
    #[error("{} was {was}: the copy before it was taken and brought up to date with {entries} entries of the trail", path.display())]
    Restored {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        was: &'static str,
        /// Entries that were missing in the copy.
        entries: usize,
    },
    /// Everything was made from the trail.
    #[error("{} was {was}, and so was the copy before it: the state was made anew from the {entries} entries of the trail", path.display())]
    Rebuilt {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        was: &'static str,
        /// Entries.
        entries: usize,
    },
    /// The trail does not hold together.
    #[error("{} was altered at entry {number}, or one before it taken out; find out who did, what comes before is sound", path.display())]
    Trail {
        /// The file.
        path: PathBuf,
        /// Where.
        number: u64,
    },
    /// A line was not written to its end.
    #[error("{} ended in {bytes} bytes of an entry that was not written to its end; they are written anew from the state", path.display())]
    TrailTorn {
        /// The file.
        path: PathBuf,
        /// How many.
        bytes: u64,
    },
    /// A document is damaged or missing.
    #[error("{} is damaged or missing and cannot be enforced or gone back to; apply it again", path.display())]
    Document {
        /// The file.
        path: PathBuf,
    },
}
