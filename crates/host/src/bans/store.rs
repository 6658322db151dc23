//! Where the ban tables lie: the kernel's maps, or memory of this process for captures and tests.
//!
//! A store does as it is told; what has to be written is decided in the parent module. Invariant: an entry that did not
//! fit has changed nothing.

use std::collections::{BTreeMap, HashSet};

use hivewall_datapath::front::{
    self, BAN_BLOOM_WORDS, BAN_EXEMPT_MAX, BAN_HOSTS_MAX, BAN_NETS_MAX, BAN_TABLE_WORDS, DENY_NETS_MAX, Denial,
};
use hivewall_datapath::policy::{Address, ConnectionKey};
use hivewall_datapath::{FrameBytes, Link};

use super::{BanError, Prefix};

/// The lists besides table and filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Single banned addresses.
    Hosts,
    /// Banned prefixes.
    Nets,
    /// Prefixes never refused at the front.
    Exempt,
    /// Prefixes and single addresses that a rule denies, whatever a packet is.
    Denied,
}

impl List {
    /// Entries it can have.
    pub fn max(self) -> u32 {
        match self {
            Self::Hosts => BAN_HOSTS_MAX,
            Self::Nets => BAN_NETS_MAX,
            Self::Exempt => BAN_EXEMPT_MAX,
            Self::Denied => DENY_NETS_MAX,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hosts => "single addresses",
            Self::Nets => "prefixes",
            Self::Exempt => "exempt prefixes",
            Self::Denied => "deny sets at the front",
        }
    }
}

/// What the front counted since it was loaded, all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontCounts {
    /// Packets dropped because their source is banned.
    pub dropped_packets: u64,
    /// Their bytes, from the link header on.
    pub dropped_bytes: u64,
    /// Packets of banned sources that passed as exempt.
    pub exempt_packets: u64,
    /// Packets that would have been dropped if the front did not only observe.
    pub observed_packets: u64,
    /// Packets dropped because their source is in a deny set; the rules' counters have them as well.
    pub denied_packets: u64,
    /// Their IP bytes.
    pub denied_bytes: u64,
}

/// Tables that can be written.
pub trait BanStore {
    /// A word of the table of /24 networks.
    fn table(&self, index: u32) -> u64;
    /// Replaces one.
    fn set_table(&mut self, index: u32, word: u64);
    /// A word of the IPv6 filter.
    fn bloom(&self, index: u32) -> u64;
    /// Replaces one.
    fn set_bloom(&mut self, index: u32, word: u64);
    /// Replaces [`front::FrontFlags`].
    fn set_flags(&mut self, flags: u64);
    /// Enters prefixes in order. On an error, tells how many went in before it.
    fn insert(&mut self, list: List, prefixes: &[Prefix]) -> Result<(), (usize, BanError)>;
    /// Takes a prefix out; one that is not there is no error.
    fn remove(&mut self, list: List, prefix: Prefix) -> Result<(), BanError>;
    /// What is in a list.
    fn list(&self, list: List) -> Result<Vec<Prefix>, BanError>;
    /// Enters prefixes in order, each with the counter of the rule that denies it, or gives those that are there another
    /// counter. On an error, tells how many went in before it.
    fn deny(&mut self, entries: &[(Prefix, u16)]) -> Result<(), (usize, BanError)>;
    /// What is denied, with the rules' counters.
    fn denied(&self) -> Result<Vec<(Prefix, u16)>, BanError>;
    /// What was counted.
    fn counts(&self) -> FrontCounts;
}

impl<S: BanStore + ?Sized> BanStore for Box<S> {
    fn table(&self, index: u32) -> u64 {
        (**self).table(index)
    }

    fn set_table(&mut self, index: u32, word: u64) {
        (**self).set_table(index, word);
    }

    fn bloom(&self, index: u32) -> u64 {
        (**self).bloom(index)
    }

    fn set_bloom(&mut self, index: u32, word: u64) {
        (**self).set_bloom(index, word);
    }

    fn set_flags(&mut self, flags: u64) {
        (**self).set_flags(flags);
    }

    fn insert(&mut self, list: List, prefixes: &[Prefix]) -> Result<(), (usize, BanError)> {
        (**self).insert(list, prefixes)
    }

    fn remove(&mut self, list: List, prefix: Prefix) -> Result<(), BanError> {
        (**self).remove(list, prefix)
    }

    fn list(&self, list: List) -> Result<Vec<Prefix>, BanError> {
        (**self).list(list)
    }

    fn deny(&mut self, entries: &[(Prefix, u16)]) -> Result<(), (usize, BanError)> {
        (**self).deny(entries)
    }

    fn denied(&self) -> Result<Vec<(Prefix, u16)>, BanError> {
        (**self).denied()
    }

    fn counts(&self) -> FrontCounts {
        (**self).counts()
    }
}

/// Tables in memory.
pub struct MemoryStore {
    table: Vec<u64>,
    bloom: Vec<u64>,
    flags: u64,
    hosts: HashSet<[u32; 4]>,
    nets: BTreeMap<u32, HashSet<([u32; 4], u32)>>,
    exempt: BTreeMap<u32, HashSet<([u32; 4], u32)>>,
    denied: BTreeMap<Prefix, u16>,
    /// Entries a list can have, for tests of full ones.
    max: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_max(BAN_HOSTS_MAX)
    }
}

impl MemoryStore {
    /// Lists of at most `max` entries.
    pub fn with_max(max: u32) -> Self {
        Self {
            table: vec![0; BAN_TABLE_WORDS as usize],
            bloom: vec![0; BAN_BLOOM_WORDS as usize],
            flags: 0,
            hosts: HashSet::new(),
            nets: BTreeMap::new(),
            exempt: BTreeMap::new(),
            denied: BTreeMap::new(),
            max: max as usize,
        }
    }

    /// The [`front::FrontFlags`] in force.
    pub fn flags(&self) -> u64 {
        self.flags
    }

    /// Whether an address is banned, as the kernel would say.
    pub fn is_banned(&self, address: std::net::IpAddr) -> bool {
        front::is_banned(self, self.flags, &Prefix::from(address).address().words)
    }

    /// What the front would say of a frame that begins with an IP header; `enforces` is whether a policy's refusals are
    /// carried out, and nothing is remembered of any conversation.
    pub fn judge(&self, bytes: &[u8], enforces: bool) -> front::FrontVerdict {
        let host = Enforcing { enforces, links_port: front::FrontFlags::links_port(self.flags) };
        front::judge(&FrameBytes(bytes), bytes.len(), Link::Ip, self, &host, self.flags)
    }

    fn nets(&mut self, list: List) -> &mut BTreeMap<u32, HashSet<([u32; 4], u32)>> {
        if list == List::Exempt { &mut self.exempt } else { &mut self.nets }
    }
}

fn longest(nets: &BTreeMap<u32, HashSet<([u32; 4], u32)>>, address: &Address) -> Option<u32> {
    nets.iter().rev().find_map(|(len, set)| {
        let cut = |of| Prefix::of_address(&Address { prefix_len: *len, words: address.words }, of).address().words;
        // A mapped prefix and an IPv6 one of the same bits are one entry of the kernel's trie.
        [front::family::IPV4, front::family::IPV6].into_iter().find(|of| set.contains(&(cut(*of), *of)))
    })
}

impl front::BanTables for MemoryStore {
    fn table(&self, index: u32) -> u64 {
        BanStore::table(self, index)
    }

    fn bloom(&self, index: u32) -> u64 {
        BanStore::bloom(self, index)
    }

    fn host(&self, words: &[u32; 4]) -> bool {
        self.hosts.contains(words)
    }

    fn net(&self, address: &Address) -> Option<u32> {
        longest(&self.nets, address)
    }

    fn exempt(&self, address: &Address) -> Option<u32> {
        longest(&self.exempt, address)
    }

    fn denial(&self, address: &Address) -> Option<Denial> {
        let of = if front::is_ipv4(&address.words) { front::family::IPV4 } else { front::family::IPV6 };
        let host = Prefix::of_address(address, of);
        let mut holders = (0..=host.len()).rev().filter_map(|len| self.denied.get(&host.cut(len)));
        holders.next().map(|counter| Denial::new(*counter, of))
    }
}

/// A host of which only this is known, and whose conversations nobody remembers.
struct Enforcing {
    enforces: bool,
    links_port: u16,
}

impl front::FrontState for Enforcing {
    fn enforces(&self) -> bool {
        self.enforces
    }

    fn is_known(&self, _: &ConnectionKey) -> bool {
        false
    }

    fn links_port(&self) -> u16 {
        self.links_port
    }
}

impl BanStore for MemoryStore {
    fn table(&self, index: u32) -> u64 {
        self.table.get(index as usize).copied().unwrap_or(0)
    }

    fn set_table(&mut self, index: u32, word: u64) {
        if let Some(place) = self.table.get_mut(index as usize) {
            *place = word;
        }
    }

    fn bloom(&self, index: u32) -> u64 {
        self.bloom.get(index as usize).copied().unwrap_or(0)
    }

    fn set_bloom(&mut self, index: u32, word: u64) {
        if let Some(place) = self.bloom.get_mut(index as usize) {
            *place = word;
        }
    }

    fn set_flags(&mut self, flags: u64) {
        self.flags = flags;
    }

    fn insert(&mut self, list: List, prefixes: &[Prefix]) -> Result<(), (usize, BanError)> {
        let max = self.max;
        for (done, prefix) in prefixes.iter().enumerate() {
            let address = prefix.address();
            let has = match list {
                List::Hosts => self.hosts.len(),
                _ => self.nets(list).values().map(HashSet::len).sum(),
            };
            if has >= max {
                return Err((done, BanError::Full { prefix: *prefix, list: list.name(), max: max as u32 }));
            }
            match list {
                List::Hosts => self.hosts.insert(address.words),
                _ => self.nets(list).entry(address.prefix_len).or_default().insert((address.words, prefix.family())),
            };
        }
        Ok(())
    }

    fn remove(&mut self, list: List, prefix: Prefix) -> Result<(), BanError> {
        let address = prefix.address();
        if list == List::Denied {
            self.denied.remove(&prefix);
        } else if list == List::Hosts {
            self.hosts.remove(&address.words);
        } else if let Some(nets) = self.nets(list).get_mut(&address.prefix_len) {
            nets.remove(&(address.words, prefix.family()));
        }
        Ok(())
    }

    fn list(&self, list: List) -> Result<Vec<Prefix>, BanError> {
        let nets = match list {
            List::Hosts => {
                let of =
                    |words: &[u32; 4]| if front::is_ipv4(words) { front::family::IPV4 } else { front::family::IPV6 };
                let prefix = |words: &[u32; 4]| Prefix::of_address(&Address::host(*words), of(words));
                return Ok(self.hosts.iter().map(prefix).collect());
            }
            List::Nets => &self.nets,
            List::Exempt => &self.exempt,
            List::Denied => return Ok(self.denied.keys().copied().collect()),
        };
        let of_len = |(len, set): (&u32, &HashSet<([u32; 4], u32)>)| {
            let len = *len;
            set.iter()
                .map(move |(words, of)| Prefix::of_address(&Address { prefix_len: len, words: *words }, *of))
                .collect::<Vec<_>>()
        };
        Ok(nets.iter().flat_map(of_len).collect())
    }

    fn deny(&mut self, entries: &[(Prefix, u16)]) -> Result<(), (usize, BanError)> {
        for (done, (prefix, counter)) in entries.iter().enumerate() {
            if self.denied.len() >= self.max && !self.denied.contains_key(prefix) {
                let (list, max) = (List::Denied.name(), self.max as u32);
                return Err((done, BanError::Full { prefix: *prefix, list, max }));
            }
            self.denied.insert(*prefix, *counter);
        }
        Ok(())
    }

    fn denied(&self) -> Result<Vec<(Prefix, u16)>, BanError> {
        Ok(self.denied.iter().map(|(prefix, counter)| (*prefix, *counter)).collect())
    }

    fn counts(&self) -> FrontCounts {
        FrontCounts::default()
    }
}
