//! What outlives the agent: maps and links pinned in a folder of a BPF file system, and the sizes that they were made with.
//!
//! An agent that starts and finds the folder takes the maps over as they are, when its layout is the same, and puts its
//! programs in the place of those behind the links. Invariant: while there is a folder, its links are attached, so that a
//! packet is judged by the old program or by the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Array, Map, MapData};
use hivewall_datapath::{ABI_VERSION, HashSeed};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{FsType, statfs};

use crate::ebpf::{EbpfError, Geometry, map_error};

/// Maps that outlive the agent.
pub const MAPS: &[&str] = &[
    "CACHE",
    "RINGS",
    "RING_CONTROL",
    "FRAGMENTS",
    "TALLIES",
    "POLICY",
    "CONNECTIONS",
    "ROOM",
    "LIMITS",
    "RULE_COUNTERS",
    "POLICY_HEADS",
    "POLICY_ROWS",
    "POLICY_RULES",
    "POLICY_LIMITS",
    "POLICY_PORTS",
    "POLICY_SOURCES",
    "POLICY_DESTINATIONS",
    "POLICY_INTERFACES",
    "BAN_TABLE",
    "BAN_BLOOM",
    "BAN_HOSTS",
    "BAN_NETS",
    "BAN_EXEMPT",
    "DENY_NETS",
    "FRONT",
];

/// `BPF_FS_MAGIC` (linux/magic.h).
const BPF_FS: FsType = FsType(0xcafe_4a11);
const META: &str = "meta";

/// Layout, sizes and hash secret: ABI, CPUs, sets, slots, copies a second, then the secret.
type Meta = [u32; 20];

/// A folder of a BPF file system.
#[derive(Clone, Debug)]
pub struct Pins {
    folder: PathBuf,
}

fn io_error(call: &'static str) -> impl Fn(io::Error) -> EbpfError {
    move |source| EbpfError::System { call, source }
}

impl Pins {
    /// The folder, which need not exist.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Mounts the file system above the folder where it is missing.
    pub fn mount(&self) -> Result<(), EbpfError> {
        let above = self.folder.parent().unwrap_or(Path::new("/")).to_owned();
        fs::create_dir_all(&above).map_err(io_error("making the folder of the BPF file system"))?;
        let is_bpf = statfs(&above).is_ok_and(|facts| facts.filesystem_type() == BPF_FS);
        if !is_bpf {
            mount(Some("bpf"), &above, Some("bpf"), MsFlags::empty(), None::<&str>)
                .map_err(|errno| io_error("mounting a BPF file system for what outlives the agent")(errno.into()))?;
        }
        Ok(())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a map lies.
    pub fn map(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the link of an interface lies.
    pub fn link(&self, ifindex: u32, what: &str) -> PathBuf {
        self.folder.join(format!("link_{ifindex}_{what}"))
    }

    /// Whether there is anything.
    pub fn is_held(&self) -> bool {
        self.folder.join(META).exists()
    }

    /// The sizes and the secret of the maps that are there, when this build can take them over.
    pub fn geometry(&self) -> Option<(Geometry, HashSeed)> {
        let map = Map::Array(MapData::from_pin(self.folder.join(META)).ok()?);
        let meta: Array<MapData, Meta> = Array::try_from(map).ok()?;
        let [abi, cpus, sets, slots, peeks_per_second, low, high, _, words @ ..] = meta.get(&0, 0).ok()?;
        let geometry = Geometry { cpus, sets, slots, peeks_per_second };
        let seed = HashSeed { words, multiplier: u64::from(high) << 32 | u64::from(low) };
        let all_there = MAPS.iter().all(|name| self.map(name).exists());
        (abi == ABI_VERSION && all_there).then_some((geometry, seed))
    }

    /// Makes the folder, with the sizes of what will be pinned there.
    pub fn begin(&self, geometry: Geometry, seed: &HashSeed) -> Result<(), EbpfError> {
        self.mount()?;
        fs::create_dir_all(&self.folder).map_err(io_error("making a folder for pins"))?;
        let mut meta = [0; 20];
        let (low, high) = (seed.multiplier as u32, (seed.multiplier >> 32) as u32);
        let first =
            [ABI_VERSION, geometry.cpus, geometry.sets, geometry.slots, geometry.peeks_per_second, low, high, 0];
        meta.iter_mut().zip(first.iter().chain(&seed.words)).for_each(|(to, from)| *to = *from);
        let mut map: Array<MapData, Meta> = Array::create(1, 0).map_err(map_error)?;
        map.set(0, meta, 0).map_err(map_error)?;
        let place = self.folder.join(META);
        let _ = fs::remove_file(&place);
        map.pin(&place).map_err(|error| map_error(aya::maps::MapError::PinError { name: Some(META.into()), error }))
    }

    /// Removes every pin, or all maps but no link; a link without a pin and an owner is detached by the kernel.
    pub fn clear(&self, links_too: bool) -> Result<Vec<String>, EbpfError> {
        let mut removed = Vec::new();
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(removed) };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if links_too || !name.starts_with("link_") {
                fs::remove_file(entry.path()).map_err(io_error("removing a pin"))?;
                removed.push(name);
            }
        }
        if links_too {
            let _ = fs::remove_dir(&self.folder);
        }
        Ok(removed)
    }
}
