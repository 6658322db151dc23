//! The ban tables as maps of the kernel, by descriptors of this process.
//!
//! It holds no programs and attaches nothing. Invariant: words of tables are read and written whole.

use std::os::fd::AsFd as _;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{Map, MapData};
use hivewall_datapath::front::{BAN_BLOOM_WORDS, BAN_TABLE_WORDS, Denial, FrontControl};

use super::entries::{Entries, copy};
use super::store::{BanStore, FrontCounts, List};
use super::{BanError, Prefix};
use crate::ebpf::{EbpfError, SharedArray, map_error, possible_cpus};

/// The maps, by their names in the object and as pins.
pub const MAPS: [&str; 7] = ["BAN_TABLE", "BAN_BLOOM", "BAN_HOSTS", "BAN_NETS", "BAN_EXEMPT", "DENY_NETS", "FRONT"];

/// The maps.
pub struct KernelStore {
    table: SharedArray<u64>,
    bloom: SharedArray<u64>,
    front: SharedArray<u64>,
    cpus: usize,
    hosts: Entries,
    nets: Entries,
    exempt: Entries,
    denied: Entries,
    all: Vec<(&'static str, MapData)>,
}

impl KernelStore {
    /// The maps of a loaded object, which may go on to live elsewhere.
    pub fn of_object(ebpf: &Ebpf) -> Result<Self, EbpfError> {
        Self::from(|name| {
            let Some(Map::Array(map) | Map::HashMap(map) | Map::LpmTrie(map)) = ebpf.map(name) else {
                return Err(EbpfError::Missing(name));
            };
            copy(map)
        })
    }

    /// The maps pinned in a folder under their names.
    pub fn of_pins(folder: &Path) -> Result<Self, EbpfError> {
        Self::from(|name| MapData::from_pin(folder.join(name)).map_err(map_error))
    }

    fn from(mut map: impl FnMut(&'static str) -> Result<MapData, EbpfError>) -> Result<Self, EbpfError> {
        let cpus = possible_cpus()?;
        let words = cpus * FrontControl::WORDS as u32;
        let (table, bloom, front) = (map("BAN_TABLE")?, map("BAN_BLOOM")?, map("FRONT")?);
        let (hosts, nets, exempt) = (map("BAN_HOSTS")?, map("BAN_NETS")?, map("BAN_EXEMPT")?);
        let denied = map("DENY_NETS")?;
        Ok(Self {
            table: SharedArray::map(table.fd().as_fd(), BAN_TABLE_WORDS)?,
            bloom: SharedArray::map(bloom.fd().as_fd(), BAN_BLOOM_WORDS)?,
            front: SharedArray::map(front.fd().as_fd(), words)?,
            cpus: cpus as usize,
            all: vec![
                ("BAN_TABLE", table),
                ("BAN_BLOOM", bloom),
                ("BAN_HOSTS", copy(&hosts)?),
                ("BAN_NETS", copy(&nets)?),
                ("BAN_EXEMPT", copy(&exempt)?),
                ("DENY_NETS", copy(&denied)?),
                ("FRONT", front),
            ],
            hosts: Entries::of(hosts, List::Hosts),
            nets: Entries::of(nets, List::Nets),
            exempt: Entries::of(exempt, List::Exempt),
            denied: Entries::of(denied, List::Denied),
        })
    }

    /// Pins the maps in a folder of a BPF file system, under [`MAPS`]; a pin that is there already is kept.
    pub fn pin(&self, folder: &Path) -> Result<(), EbpfError> {
        for (name, map) in &self.all {
            let place = folder.join(name);
            if !place.exists() {
                map.pin(&place).map_err(|error| {
                    let name = Some((*name).to_owned());
                    map_error(aya::maps::MapError::PinError { name, error })
                })?;
            }
        }
        Ok(())
    }

    fn entries(&self, list: List) -> &Entries {
        match list {
            List::Hosts => &self.hosts,
            List::Nets => &self.nets,
            List::Exempt => &self.exempt,
            List::Denied => &self.denied,
        }
    }
}

impl BanStore for KernelStore {
    fn table(&self, index: u32) -> u64 {
        self.table.read(index as usize).unwrap_or(0)
    }

    fn set_table(&mut self, index: u32, word: u64) {
        self.table.write(index as usize, word);
    }

    fn bloom(&self, index: u32) -> u64 {
        self.bloom.read(index as usize).unwrap_or(0)
    }

    fn set_bloom(&mut self, index: u32, word: u64) {
        self.bloom.write(index as usize, word);
    }

    fn set_flags(&mut self, flags: u64) {
        for cpu in 0..self.cpus {
            self.front.write(cpu * FrontControl::WORDS, flags);
        }
    }

    fn insert(&mut self, list: List, prefixes: &[Prefix]) -> Result<(), (usize, BanError)> {
        self.entries(list).insert(prefixes)
    }

    fn remove(&mut self, list: List, prefix: Prefix) -> Result<(), BanError> {
        self.entries(list).remove(prefix)
    }

    fn list(&self, list: List) -> Result<Vec<Prefix>, BanError> {
        Ok(self.entries(list).all()?)
    }

    fn deny(&mut self, entries: &[(Prefix, u16)]) -> Result<(), (usize, BanError)> {
        let value = |(prefix, counter): &(Prefix, u16)| (*prefix, Denial::new(*counter, prefix.family()).0);
        let entries: Vec<(Prefix, u32)> = entries.iter().map(value).collect();
        self.denied.insert_values(&entries)
    }

    fn denied(&self) -> Result<Vec<(Prefix, u16)>, BanError> {
        let all = self.denied.all_values()?;
        Ok(all.into_iter().map(|(prefix, value)| (prefix, Denial(value).counter() as u16)).collect())
    }

    fn counts(&self) -> FrontCounts {
        let mut sum = FrontCounts::default();
        for cpu in 0..self.cpus {
            // Words as `FrontControl` has them.
            let word = |at| self.front.read(cpu * FrontControl::WORDS + at).unwrap_or(0);
            sum.dropped_packets += word(1);
            sum.dropped_bytes += word(2);
            sum.exempt_packets += word(3);
            sum.observed_packets += word(4);
            sum.denied_packets += word(5);
            sum.denied_bytes += word(6);
        }
        sum
    }
}
