//! User names by number, from the system's own table, `/etc/passwd`.
//!
//! Directories (LDAP and the like) are deliberately not asked: that would mean loading foreign modules and waiting for a
//! network. Invariant: the table is read again when the file is another one, and only then.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::read::read_state;

/// Longest table that is read.
const PASSWD_BYTES_MAX: u64 = 4 << 20;
/// Most users remembered; later lines are left out.
const USERS_MAX: usize = 1 << 16;

/// What tells one version of the file from another: device, inode, length, time of change.
type Version = (u64, u64, u64, i64, i64);

/// The table.
pub(super) struct Users {
    path: PathBuf,
    version: Option<Version>,
    names: HashMap<u32, Box<str>>,
}

impl Users {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, version: None, names: HashMap::new() }
    }

    /// The name of a user.
    pub(super) fn name(&mut self, uid: u32) -> Option<Box<str>> {
        let meta = fs::metadata(&self.path).ok();
        let version = meta.map(|m| (m.dev(), m.ino(), m.len(), m.ctime(), m.ctime_nsec()));
        if version != self.version {
            // A table that cannot be read leaves numbers, which is what the kernel has.
            let text = read_state(&self.path, PASSWD_BYTES_MAX).unwrap_or_default();
            self.names = parse(&String::from_utf8_lossy(&text));
            self.version = version;
        }
        self.names.get(&uid).cloned()
    }
}

/// passwd(5). Where two lines have one number, the first gives the name, as getpwuid(3) has it.
fn parse(text: &str) -> HashMap<u32, Box<str>> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next().unwrap_or_default(), fields.nth(1).and_then(|uid| uid.parse().ok()));
        let Some(uid) = uid.filter(|_| !name.is_empty() && !name.starts_with(['#', '+', '-'])) else { continue };
        if names.len() >= USERS_MAX {
            break;
        }
        names.entry(uid).or_insert_with(|| name.into());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_first_field_and_numbers_in_the_third() {
        let names =
            parse("root:x:0:0:root:/root:/bin/sh\n\n#c:x:5:\n+nis:x:6:\nbroken\nwww-data:x:33:33::/:/bin/false\n");
        assert_eq!(names.len(), 2);
        assert_eq!(names.get(&33).map(|n| &**n), Some("www-data"));
        assert_eq!(names.get(&0).map(|n| &**n), Some("root"));
    }

    #[test]
    fn the_first_of_two_names_for_a_number_counts() {
        assert_eq!(parse("root:x:0:0\ntoor:x:0:0\n").get(&0).map(|n| &**n), Some("root"));
        assert_eq!(parse("big:x:4294967296:0\nneg:x:-1:0\n").len(), 0);
    }

    #[test]
    fn a_user_added_later_is_known_and_a_missing_table_gives_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        let mut users = Users::new(path.clone());
        assert_eq!(users.name(0), None);
        fs::write(&path, "root:x:0:0\n").unwrap();
        assert_eq!(users.name(0).as_deref(), Some("root"));
        assert_eq!(users.name(7), None);
        fs::write(&path, "root:x:0:0\nann:x:7:7\n").unwrap();
        assert_eq!(users.name(7).as_deref(), Some("ann"));
        fs::remove_file(&path).unwrap();
        assert_eq!(users.name(0), None);
    }
}
