//! Secrets: read from files that nobody but their owner can read, never shown, and wiped when they are no longer needed.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// A secret is no longer than this.
const BYTES_MAX: u64 = 64 << 10;

/// Why a secret could not be read.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret's file {} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error("{} can be read or written by others (mode {mode:o}); `chmod 600` it: a secret is kept there", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds no line of text.
    #[error("{} holds no secret: one line of text is expected, of at most 64 KiB", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

/// One line that must not be seen.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Reads a file's text without the white space around it. Refused when its group or others have any right to it.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::File { path: path.to_path_buf(), source };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Mode { path: path.to_path_buf(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        let length = file.by_ref().take(BYTES_MAX + 1).read_to_string(&mut text);
        let content = || SecretError::Content { path: path.to_path_buf() };
        match length {
            Ok(length) if length as u64 <= BYTES_MAX => {}
            Ok(_) => return Err(content()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(content()),
            Err(error) => return Err(failed(error)),
        }
        let line = text.trim();
        if line.is_empty() || line.contains(['\n', '\r', '\0']) {
            return Err(content());
        }
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    /// One that was made of others.
    pub(crate) fn from_line(line: String) -> Self {
        Self(Zeroizing::new(line))
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_secret_is_its_line_and_is_not_shown() {
        let (_directory, path) = file(b"  hunter2\n", 0o600);
        let secret = Secret::read(&path).unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("hunter2", "Secret"));
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let (_directory, path) = file(b"hunter2", mode);
            let error = Secret::read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:o}")) && error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_line_of_text_is_refused() {
        let long = vec![b'a'; 70_000];
        for text in [b"".as_slice(), b" \n", b"two\nlines", b"\xff\xfe", &long] {
            let (_directory, path) = file(text, 0o600);
            assert!(matches!(Secret::read(&path), Err(SecretError::Content { .. })), "{} bytes", text.len());
        }
    }
}
