//! The token that commands over the API have to show: a file that only its owner can read, made when there is none.
//!
//! Invariant: a token never stands in a log, an argument or a file that others can read.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use hivewall_api::Access;

/// Where the token is, unless the variable says otherwise.
const FILE: &str = "/run/hivewall/token";
/// Says where.
const VARIABLE: &str = "HIVEWALL_TOKEN_FILE";
/// Random bytes of a token; it has two characters for each.
const RANDOM_BYTES: usize = 32;

/// Where the token is.
pub(crate) fn file() -> PathBuf {
    named().unwrap_or_else(|| FILE.into())
}

/// Where somebody wants it to be.
pub(crate) fn named() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// The token, where this user can read it.
pub(crate) fn read() -> Option<String> {
    let token = fs::read_to_string(file()).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Commands are taken from whoever has the token in `file`, which is made when there is none.
pub(crate) fn access(file: PathBuf) -> anyhow::Result<Access> {
    let token = match OpenOptions::new().read(true).open(&file) {
        Ok(open) => checked(&open, &file)?,
        Err(error) if error.kind() == ErrorKind::NotFound => made(&file)?,
        Err(error) => return Err(error).with_context(|| format!("the token in {} cannot be read", file.display())),
    };
    Ok(Access::token(&token, file)?)
}

fn checked(mut open: &File, file: &Path) -> anyhow::Result<String> {
    let mode = open.metadata().with_context(|| format!("{} cannot be looked at", file.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(
            "{} can be read by others (mode {:o}); `chmod 600` it, or remove it and a new one is made",
            file.display(),
            mode & 0o777
        );
    }
    let mut token = String::new();
    open.read_to_string(&mut token).with_context(|| format!("the token in {} cannot be read", file.display()))?;
    Ok(token)
}

fn made(file: &Path) -> anyhow::Result<String> {
    let random: [u8; RANDOM_BYTES] = crate::system::random()?;
    let token = random.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let place = || format!("the token cannot be kept in {}", file.display());
    if let Some(directory) = file.parent().filter(|directory| !directory.exists()) {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(directory).with_context(place)?;
    }
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(place)?;
    writeln!(open, "{token}").with_context(place)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("run/token");
        access(file.clone()).unwrap();
        let token = fs::read_to_string(&file).unwrap();
        assert_eq!(token.trim().len(), 2 * RANDOM_BYTES);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        access(file.clone()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), token);
    }

    #[test]
    fn a_token_that_others_can_read_or_guess_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        access(file.clone()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(access(file.clone()).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "short\n").unwrap();
        assert!(access(file).is_err());
    }
}
