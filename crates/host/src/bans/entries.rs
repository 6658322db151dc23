//! One map of addresses or prefixes, entered and read by system calls of its own: the loader's library has no batches.
//!
//! Invariant: an error tells how much of what was asked has been done.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::MapData;
use hivewall_datapath::front::{family, is_ipv4};
use hivewall_datapath::policy::Address;

use super::store::List;
use super::{BanError, Prefix};
use crate::ebpf::batch::BatchAttr;
use crate::ebpf::{EbpfError, map_error};

/// Entries entered by one system call.
const BATCH: usize = 1 << 15;

/// `enum bpf_cmd` (linux/bpf.h).
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
/// The kernel's own number, which libc does not have.
const ENOTSUPP: i32 = 524;

/// Bytes of a key of a trie: length and address.
const KEY_BYTES: usize = size_of::<Address>();

/// Of `union bpf_attr`: commands on elements.
#[repr(C)]
struct ElementAttr {
    fd: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The map: a hash of addresses, or a trie of prefixes; the value is the family.
pub(crate) struct Entries {
    map: MapData,
    /// A hash has no length in its key.
    is_hash: bool,
    name: &'static str,
    max: u32,
}

impl Entries {
    /// A list of the bans.
    pub(super) fn of(map: MapData, list: List) -> Self {
        Self { map, is_hash: list == List::Hosts, name: list.name(), max: list.max() }
    }

    /// A trie for something else; the name is for errors.
    pub(crate) fn trie(map: MapData, name: &'static str, max: u32) -> Self {
        Self { map, is_hash: false, name, max }
    }

    /// Enters prefixes in order, each with its family.
    pub(crate) fn insert(&self, prefixes: &[Prefix]) -> Result<(), (usize, BanError)> {
        let entries: Vec<(Prefix, u32)> = prefixes.iter().map(|prefix| (*prefix, prefix.family())).collect();
        self.insert_values(&entries)
    }

    /// Enters prefixes in order, each with a value whose lowest bit is the family; replaces the value of one that is
    /// there.
    pub(crate) fn insert_values(&self, entries: &[(Prefix, u32)]) -> Result<(), (usize, BanError)> {
        if let [(prefix, value)] = entries {
            return self.one(*prefix, *value).map_err(|error| (0, self.refusal(*prefix, error)));
        }
        for (number, chunk) in entries.chunks(BATCH).enumerate() {
            let before = number * BATCH;
            let (done, outcome) = self.batch(chunk);
            let Err(error) = outcome else { continue };
            // Hashes take batches since 5.6, tries since 5.13.
            if let Some(libc::EINVAL | ENOTSUPP | libc::EOPNOTSUPP) = error.raw_os_error() {
                self.one_by_one(chunk).map_err(|(done, error)| (before + done, error))?;
            } else if let Some((prefix, _)) = chunk.get(done) {
                // The kernel counts what went in before the entry that did not.
                return Err((before + done, self.refusal(*prefix, error)));
            }
        }
        Ok(())
    }

    /// Takes a prefix out; one that is not there is no error.
    pub(crate) fn remove(&self, prefix: Prefix) -> Result<(), BanError> {
        let key = key(prefix);
        match self.call(BPF_MAP_DELETE_ELEM, self.key_at(&key), 0) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                Err(BanError::Entry { what: "take out", prefix, source: error })
            }
            _ => Ok(()),
        }
    }

    /// All there is.
    pub(crate) fn all(&self) -> Result<Vec<Prefix>, EbpfError> {
        Ok(self.all_values()?.into_iter().map(|(prefix, _)| prefix).collect())
    }

    /// All there is, with the values.
    pub(crate) fn all_values(&self) -> Result<Vec<(Prefix, u32)>, EbpfError> {
        let failed = |source| EbpfError::System { call: "reading a table of prefixes", source };
        let mut found = Vec::new();
        let mut last: Option<[u8; KEY_BYTES]> = None;
        loop {
            let mut next = [0; KEY_BYTES];
            let from = last.as_ref().map_or(0, |last| self.key_at(last));
            let into = next.as_mut_ptr() as u64 + self.skipped() as u64;
            match self.call(BPF_MAP_GET_NEXT_KEY, from, into) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(found),
                other => other.map_err(failed)?,
            }
            last = Some(next);
            let [prefix_len, words @ ..] = words(&next);
            let mut value = if is_ipv4(&words) { family::IPV4 } else { family::IPV6 };
            let address = if self.is_hash {
                Address::host(words)
            } else {
                self.call(BPF_MAP_LOOKUP_ELEM, self.key_at(&next), &raw mut value as u64).map_err(failed)?;
                Address { prefix_len, words }
            };
            found.push((Prefix::of_address(&address, value & 1), value));
        }
    }

    /// Bytes of [`key`] that are not in the map's.
    fn skipped(&self) -> usize {
        if self.is_hash { 4 } else { 0 }
    }

    fn key_at(&self, key: &[u8; KEY_BYTES]) -> u64 {
        key.as_ptr() as u64 + self.skipped() as u64
    }

    fn one(&self, prefix: Prefix, value: u32) -> io::Result<()> {
        let key = key(prefix);
        self.call(BPF_MAP_UPDATE_ELEM, self.key_at(&key), &raw const value as u64)
    }

    fn one_by_one(&self, entries: &[(Prefix, u32)]) -> Result<(), (usize, BanError)> {
        for (done, (prefix, value)) in entries.iter().enumerate() {
            self.one(*prefix, *value).map_err(|error| (done, self.refusal(*prefix, error)))?;
        }
        Ok(())
    }

    fn fd(&self) -> u32 {
        self.map.fd().as_fd().as_raw_fd() as u32
    }

    /// A command on one entry: key, and value or next key, by their addresses.
    fn call(&self, command: libc::c_long, key: u64, value: u64) -> io::Result<()> {
        let mut attr = ElementAttr { fd: self.fd(), _pad: 0, key, value, flags: 0 };
        // SAFETY: the attribute has the kernel's layout; key and value lie in buffers of the map's sizes that outlive the
        // call.
        let status = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<ElementAttr>()) };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Enters many by one call; how many went in, and the error if not all did.
    fn batch(&self, entries: &[(Prefix, u32)]) -> (usize, io::Result<()>) {
        let mut keys = Vec::with_capacity(entries.len() * KEY_BYTES);
        let mut values = Vec::with_capacity(entries.len());
        for (prefix, value) in entries {
            keys.extend(key(*prefix).into_iter().skip(self.skipped()));
            values.push(*value);
        }
        let mut attr = BatchAttr {
            in_batch: 0,
            out_batch: 0,
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: entries.len() as u32,
            map_fd: self.fd(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the attribute has the kernel's layout; keys and values are `count` of the map's sizes each.
        let status =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_UPDATE_BATCH, &raw mut attr, size_of::<BatchAttr>()) };
        let outcome = if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        ((attr.count as usize).min(entries.len()), outcome)
    }

    fn refusal(&self, prefix: Prefix, source: io::Error) -> BanError {
        match source.raw_os_error() {
            // A hash says the one, a trie the other.
            Some(libc::E2BIG | libc::ENOSPC) => BanError::Full { prefix, list: self.name, max: self.max },
            _ => BanError::Entry { what: "enter", prefix, source },
        }
    }
}

/// A prefix as a key: length, then address.
fn key(prefix: Prefix) -> [u8; KEY_BYTES] {
    let Address { prefix_len, words: [a, b, c, d] } = prefix.address();
    let mut bytes = [0; KEY_BYTES];
    for (place, word) in bytes.chunks_exact_mut(4).zip([prefix_len, a, b, c, d]) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// The reverse of [`key`].
fn words(key: &[u8; KEY_BYTES]) -> [u32; 5] {
    let mut words = [0; 5];
    for (word, bytes) in words.iter_mut().zip(key.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}

/// One more descriptor of a map.
pub(crate) fn copy(map: &MapData) -> Result<MapData, EbpfError> {
    let fd = map.fd().as_fd().try_clone_to_owned();
    let fd = fd.map_err(|source| EbpfError::System { call: "dup of a map", source })?;
    MapData::from_fd(fd).map_err(map_error)
}
