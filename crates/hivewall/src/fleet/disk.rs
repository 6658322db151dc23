//! This host's part of the fleet on disk: its identity, and what the fleet agreed on.
//!
//! One directory that only its owner may enter. Invariants: an identity is replaced whole or not at all; what
//! [`Facts::persist`] returned from survives a crash.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use hivewall_cluster::{Ban, Entry, Member, Persist, Policy, Saved, SignedMember};
use hivewall_trust::{Identity, InvitationBook, Root};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

const IDENTITY: &str = "identity";
const ROOT: &str = "root.key";
const OPERATOR: &str = "operator.key";
const INVITATIONS: &str = "invitations";
const KEYS: &str = "keys.json";
const SEEDS: &str = "seeds";
const FACTS: &str = "facts.redb";

/// Numbers: the last life.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// Everything signed, by kind and name.
const SIGNED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("signed");
const GENERATION: &str = "generation";
/// Version of the form, in [`NUMBERS`].
const SCHEMA: &str = "schema";
const SCHEMA_NOW: u64 = 1;

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn at(path: &str) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, and refuses one that others can enter.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        let place = || format!("the fleet's directory {} cannot be made", self.0.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).with_context(place)?;
        let mode = fs::metadata(&self.0).with_context(place)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            bail!("{} can be entered by others (mode {mode:o}); `chmod 700` it: keys are kept there", self.0.display());
        }
        Ok(())
    }

    /// Whether this host has joined a fleet.
    pub(crate) fn has_identity(&self) -> bool {
        self.0.join(IDENTITY).exists()
    }

    pub(crate) fn identity(&self) -> anyhow::Result<Option<Identity>> {
        let Some(bytes) = self.read(IDENTITY)? else { return Ok(None) };
        let why = || format!("{} cannot be used; move it away and join anew", self.0.join(IDENTITY).display());
        Identity::decode(&bytes).map(Some).with_context(why)
    }

    pub(crate) fn keep_identity(&self, identity: &Identity) -> io::Result<()> {
        self.replace(IDENTITY, &identity.encode())
    }

    /// The root's key, where it has not been taken elsewhere.
    pub(crate) fn root(&self) -> anyhow::Result<Option<Root>> {
        let Some(bytes) = self.read(ROOT)? else { return Ok(None) };
        let seed = bytes.as_slice().try_into();
        let seed = seed.map_err(|_| anyhow::anyhow!("{} is no key of 32 bytes", self.0.join(ROOT).display()))?;
        Ok(Some(Root::from_seed(seed)))
    }

    pub(crate) fn keep_root(&self, root: &Root) -> io::Result<()> {
        self.replace(ROOT, &*root.seed())
    }

    pub(crate) fn root_file(&self) -> PathBuf {
        self.0.join(ROOT)
    }

    /// Where the key for policies is that `cluster init` makes.
    pub(crate) fn operator_file(&self) -> PathBuf {
        self.0.join(OPERATOR)
    }

    pub(crate) fn keep_operator(&self, line: &str) -> io::Result<()> {
        self.replace(OPERATOR, line.as_bytes())
    }

    pub(crate) fn invitations(&self) -> anyhow::Result<InvitationBook> {
        match self.read(INVITATIONS)? {
            Some(bytes) => Ok(InvitationBook::decode(&bytes)?),
            None => Ok(InvitationBook::default()),
        }
    }

    pub(crate) fn keep_invitations(&self, book: &InvitationBook) -> io::Result<()> {
        self.replace(INVITATIONS, &book.encode())
    }

    /// Keys of policies, as they came with the invitation.
    pub(crate) fn keys(&self) -> anyhow::Result<Option<Vec<u8>>> {
        self.read(KEYS)
    }

    pub(crate) fn keep_keys(&self, keys: &[u8]) -> io::Result<()> {
        self.replace(KEYS, keys)
    }

    /// Members that the enroller named.
    pub(crate) fn seeds(&self) -> anyhow::Result<Vec<std::net::SocketAddr>> {
        let text = self.read(SEEDS)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()).collect())
    }

    pub(crate) fn keep_seeds(&self, seeds: &[std::net::SocketAddr]) -> io::Result<()> {
        let lines: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        self.replace(SEEDS, lines.join("\n").as_bytes())
    }

    /// Puts everything of this fleet aside, so that the host is in none.
    pub(crate) fn retire(&self) -> io::Result<PathBuf> {
        let aside = self.0.join(format!("left-{}", super::now_unix_s()));
        DirBuilder::new().mode(0o700).create(&aside)?;
        for file in [IDENTITY, ROOT, OPERATOR, INVITATIONS, KEYS, SEEDS, FACTS] {
            match fs::rename(self.0.join(file), aside.join(file)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(aside)
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", self.0.join(name).display())),
        }
    }

    /// Durable when it returns.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (file, beside) = (self.0.join(name), self.0.join(format!(".{name}.new")));
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        open.write_all(bytes)?;
        open.sync_all()?;
        fs::rename(&beside, &file)?;
        File::open(&self.0)?.sync_all()
    }
}

/// What the core has to find again.
pub(crate) struct Facts(Database);

/// In which order kinds are read back.
const POLICY: u8 = b'p';
const BAN: u8 = b'b';
const ENTRY: u8 = b'e';
const MEMBER: u8 = b'm';

fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(io::Error::other)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> anyhow::Result<T> {
    postcard::from_bytes(bytes).context("an entry of the fleet's facts cannot be read")
}

impl Facts {
    pub(crate) fn open(directory: &Directory) -> anyhow::Result<Self> {
        let path = directory.path().join(FACTS);
        let database = Database::create(&path)
            .with_context(|| format!("{} cannot be opened; is another agent running?", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let begin = database.begin_write()?;
        {
            let mut numbers = begin.open_table(NUMBERS)?;
            begin.open_table(SIGNED)?;
            let schema = numbers.get(SCHEMA)?.map(|number| number.value());
            match schema {
                None => _ = numbers.insert(SCHEMA, SCHEMA_NOW)?,
                Some(SCHEMA_NOW) => {}
                Some(other) => {
                    bail!("{} has schema {other}, and this version reads {SCHEMA_NOW}; update it", path.display())
                }
            }
        }
        begin.commit()?;
        Ok(Self(database))
    }

    pub(crate) fn saved(&self) -> anyhow::Result<Saved> {
        let read = self.0.begin_read()?;
        let generation = read.open_table(NUMBERS)?.get(GENERATION)?.map_or(0, |number| number.value());
        let mut saved = Saved { generation: u32::try_from(generation).unwrap_or(u32::MAX), ..Saved::default() };
        let mut entries: Vec<Entry> = Vec::new();
        for item in read.open_table(SIGNED)?.iter()? {
            let (key, value) = item?;
            match key.value().first() {
                Some(&POLICY) => saved.policies.push(decode::<Policy>(value.value())?),
                Some(&BAN) => saved.bans.push(decode::<Ban>(value.value())?),
                Some(&ENTRY) => entries.push(decode(value.value())?),
                Some(&MEMBER) => {
                    let signed: SignedMember = decode(value.value())?;
                    saved.members.extend(Member::decode(&signed.body).map(|member| (0, Arc::new((member, signed)))));
                }
                _ => {}
            }
        }
        entries.sort_by_key(|entry| (entry.author, entry.number));
        saved.entries = entries;
        Ok(saved)
    }

    /// Durable when it returns; of records of hosts that is not asked.
    pub(crate) fn persist(&self, what: &Persist) -> io::Result<()> {
        let failed = |error: redb::Error| io::Error::other(error);
        let mut write = self.0.begin_write().map_err(|error| failed(error.into()))?;
        if matches!(what, Persist::Member(_)) {
            write.set_durability(Durability::None).map_err(io::Error::other)?;
        }
        match what {
            Persist::Generation(generation) => put_generation(&write, *generation).map_err(failed)?,
            Persist::Policy(policy) => {
                let key = [&[POLICY], policy.head.name.as_bytes()].concat();
                put(&write, &key, &encode(policy)?).map_err(failed)?;
            }
            Persist::Ban(ban) => {
                let key = [&[BAN], ban.issuer.0.as_slice(), &ban.number.to_be_bytes()].concat();
                put(&write, &key, &encode(ban)?).map_err(failed)?;
            }
            Persist::Entry(entry) => {
                let key = [&[ENTRY], entry.author.0.as_slice(), &entry.number.to_be_bytes()].concat();
                put(&write, &key, &encode(entry)?).map_err(failed)?;
            }
            Persist::Member(signed) => {
                if let Some(member) = Member::decode(&signed.body) {
                    let key = [&[MEMBER], member.id.0.as_slice()].concat();
                    put(&write, &key, &encode(signed)?).map_err(failed)?;
                }
            }
        }
        write.commit().map_err(|error| failed(error.into()))
    }
}

fn put(write: &WriteTransaction, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
    write.open_table(SIGNED)?.insert(key, value)?;
    Ok(())
}

fn put_generation(write: &WriteTransaction, generation: u32) -> Result<(), redb::Error> {
    write.open_table(NUMBERS)?.insert(GENERATION, u64::from(generation))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use hivewall_cluster::{Hash, NodeId, PolicyHead};

    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory(temporary.path().join("fleet"));
        directory.make().unwrap();
        (temporary, directory)
    }

    #[test]
    fn what_was_persisted_is_there_again_and_the_newest_of_a_name_alone() {
        let (_temporary, directory) = directory();
        let policy = |version| Policy {
            head: PolicyHead { name: "policy".to_owned(), version, hash: Hash::of(b"x") },
            body: b"x".to_vec(),
            signature: Vec::new(),
        };
        let entry = |number| Entry {
            author: NodeId([1; 16]),
            number,
            before: Hash::of(b""),
            unix_ms: 5,
            body: Vec::new(),
            signature: Vec::new(),
        };
        let facts = Facts::open(&directory).unwrap();
        for what in [
            Persist::Generation(7),
            Persist::Policy(policy(1)),
            Persist::Policy(policy(2)),
            Persist::Entry(entry(1)),
            Persist::Entry(entry(2)),
        ] {
            facts.persist(&what).unwrap();
        }
        drop(facts);
        let saved = Facts::open(&directory).unwrap().saved().unwrap();
        assert_eq!((saved.generation, saved.policies), (7, vec![policy(2)]));
        assert_eq!(saved.entries, [entry(1), entry(2)]);
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused_and_one_that_was_left_is_put_aside() {
        let (_temporary, directory) = directory();
        directory.keep_keys(b"{}").unwrap();
        let aside = directory.retire().unwrap();
        assert_eq!((directory.keys().unwrap(), fs::read(aside.join(KEYS)).unwrap()), (None, b"{}".to_vec()));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(directory.make().unwrap_err().to_string().contains("chmod 700"));
    }
}
