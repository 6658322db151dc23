//! The committed BPF object and what it becomes once loaded.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{Map, MapData, MapError, PerCpuHashMap, RingBuf};
use aya::programs::{Program, ProgramFd, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use hivewall_datapath::{
    Direction, FlowLine, HashSeed, PEEK_WINDOW_NS, PeekControl, RING_SLOTS, Reason, RingControl, SweepControl, Tally,
    TallyKey, WAYS,
};

use super::memory::{Rings, SharedArray};
use super::{EbpfError, PeekRing, TestRun};
use crate::bans::KernelStore;
use crate::policy::{MAPS, Pins, PolicyMaps};

/// An object file built from `datapath-bpf` and committed beside this crate.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    /// The programs the agent attaches.
    Agent,
    /// The programs of tests and benchmarks, from this file's bytes.
    Bytes(&'a [u8]),
}

static AGENT: &[u8] = include_bytes_aligned!("../../bpf/hivewall.o");

/// Bytes all flow caches of a host may take together by default.
const CACHE_BYTES_MAX: usize = 64 << 20;
/// Lines of one CPU's cache by default, where memory allows: beyond this a larger cache costs more time in memory
/// than it saves in evictions (docs/performance.md).
const LINES_DEFAULT: u32 = 1 << 16;
/// Copies of payload a CPU may make in a second by default: what some 3,000 new connections a second need (five or six
/// copies each, half of them without payload), at the price of under one percent of the CPU.
pub const PEEKS_PER_SECOND: u32 = 20_000;
/// Bytes of the ring that carries them, all CPUs together: 50 ms of the largest copies at that rate.
const PEEK_RING_BYTES: u32 = 2 << 20;

/// `BPF_NOEXIST`.
const NO_EXIST: u64 = 1;

/// The least that is of use.
const LINES_MIN: u32 = 1 << 6;

/// Number of CPUs the kernel may ever bring up; maps have a part for each.
pub fn possible_cpus() -> Result<u32, EbpfError> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible")
        .map_err(|source| EbpfError::System { call: "reading the possible CPUs", source })?;
    let last = text.trim().rsplit([',', '-']).next().and_then(|n| n.parse::<u32>().ok());
    last.map(|n| n + 1).ok_or(EbpfError::Missing("readable list of possible CPUs in /sys"))
}

/// Lines a CPU's cache gets when nothing is configured: 64 Ki, fewer on hosts with more than 16 CPUs.
pub fn default_lines(cpus: u32) -> u32 {
    let room = CACHE_BYTES_MAX / size_of::<FlowLine>() / cpus.max(1) as usize;
    let fits = if room.is_power_of_two() { room } else { room.next_power_of_two() / 2 };
    (fits as u32).clamp(4096, LINES_DEFAULT)
}

/// Sizes of the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// CPUs that have a shard.
    pub cpus: u32,
    /// Sets of one shard, a power of two.
    pub sets: u32,
    /// Ring slots of one shard, a power of two.
    pub slots: u32,
    /// Copies of payload a CPU may make in a second; 0 for none.
    pub peeks_per_second: u32,
}

impl Geometry {
    /// For this host; `lines` per CPU are rounded up to a power of two of whole sets.
    pub fn new(lines: u32, slots: u32) -> Result<Self, EbpfError> {
        Ok(Self {
            cpus: possible_cpus()?,
            sets: lines.max(LINES_MIN).div_ceil(WAYS as u32).next_power_of_two(),
            slots: slots.clamp(64, 1 << 22).next_power_of_two(),
            peeks_per_second: PEEKS_PER_SECOND,
        })
    }

    /// For this host, without configuration.
    pub fn host_default() -> Result<Self, EbpfError> {
        Self::new(default_lines(possible_cpus()?), RING_SLOTS)
    }

    /// At least one, unless there are to be none.
    fn peeks_per_window(self) -> u32 {
        let exact = u64::from(self.peeks_per_second) * PEEK_WINDOW_NS;
        u32::try_from(exact.div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
    }

    fn set_shift(self) -> u32 {
        32 - self.sets.trailing_zeros()
    }
}

/// A loaded object: maps made, programs verified, nothing attached yet.
pub struct Loaded {
    ebpf: Ebpf,
    /// Its sizes.
    pub geometry: Geometry,
    /// The secret its hash was given.
    pub seed: HashSeed,
    tallies: PerCpuHashMap<MapData, TallyBytes, TallyValue>,
    /// Handles on the maps that may outlive this process.
    lasting: Vec<(&'static str, MapData)>,
}

/// Another handle on a map of an object, which may go on to live elsewhere.
pub(crate) fn another_handle(ebpf: &Ebpf, name: &'static str) -> Result<MapData, EbpfError> {
    let Some(
        Map::Array(map)
        | Map::HashMap(map)
        | Map::LruHashMap(map)
        | Map::LpmTrie(map)
        | Map::PerCpuArray(map)
        | Map::PerCpuHashMap(map)
        | Map::ArrayOfMaps(map),
    ) = ebpf.map(name)
    else {
        return Err(EbpfError::Missing(name));
    };
    let fd = map.fd().as_fd().try_clone_to_owned();
    let fd = fd.map_err(|source| EbpfError::System { call: "dup of a map", source })?;
    MapData::from_fd(fd).map_err(map_error)
}

/// [`TallyKey`] as the map API wants it.
type TallyBytes = [u32; 2];
/// [`Tally`] as the map API wants it.
type TallyValue = [u64; 2];

impl Loaded {
    /// Loads `object` with these sizes and this hash secret.
    pub fn load(object: Object<'_>, geometry: Geometry, seed: HashSeed) -> Result<Self, EbpfError> {
        Self::load_with(object, geometry, seed, None)
    }

    /// The same over the maps that lie in a folder of pins; those that do not are made and pinned there.
    pub fn load_with(
        object: Object<'_>,
        geometry: Geometry,
        seed: HashSeed,
        pins: Option<&Pins>,
    ) -> Result<Self, EbpfError> {
        let mut words = [0_u32; 14];
        words[..12].copy_from_slice(&seed.words);
        words[12] = seed.multiplier as u32;
        words[13] = (seed.multiplier >> 32) as u32;
        let bytes = match object {
            Object::Agent => AGENT,
            Object::Bytes(bytes) => bytes,
        };
        let (shift, peeks) = (geometry.set_shift(), geometry.peeks_per_window());
        // A ring is at least a page; nothing comes through it when nothing is copied.
        let peek_bytes = if peeks == 0 { 4096 } else { PEEK_RING_BYTES };
        let mut loader = EbpfLoader::new();
        if let Some(pins) = pins {
            for name in MAPS {
                loader.map_pin_path(name, pins.map(name));
            }
        }
        let mut ebpf = loader
            .override_global("SETS_PER_CPU", &geometry.sets, true)
            .override_global("SET_SHIFT", &shift, true)
            .override_global("RING_SLOTS", &geometry.slots, true)
            .override_global("PEEKS_PER_WINDOW", &peeks, true)
            .override_global("SEED", words.as_slice(), true)
            .map_max_entries("CACHE", geometry.cpus * geometry.sets)
            .map_max_entries("RINGS", geometry.cpus * geometry.slots)
            .map_max_entries("RING_CONTROL", geometry.cpus)
            .map_max_entries("SWEEP", geometry.cpus)
            .map_max_entries("FRONT", geometry.cpus)
            .map_max_entries("PENDING", geometry.cpus)
            .map_max_entries("DESK", geometry.cpus)
            .map_max_entries("ROOM", geometry.cpus)
            .map_max_entries("ASKED", geometry.cpus)
            .map_max_entries("PEEKS", peek_bytes)
            .map_max_entries("PEEK_CONTROL", geometry.cpus)
            .map_max_entries("PEEK_SCRATCH", geometry.cpus)
            .load(bytes)
            .map_err(load_error)?;
        let lasting = MAPS.iter().map(|name| Ok((*name, another_handle(&ebpf, name)?)));
        let lasting = lasting.collect::<Result<_, EbpfError>>()?;
        let map = ebpf.take_map("TALLIES").ok_or(EbpfError::Missing("map TALLIES"))?;
        let mut tallies = PerCpuHashMap::try_from(map).map_err(map_error)?;
        reserve_rows(&mut tallies)?;
        Ok(Self { ebpf, geometry, seed, tallies, lasting })
    }

    /// Pins every map that is to outlive this process, under its name.
    pub fn pin_maps(&self, pins: &Pins) -> Result<(), EbpfError> {
        for (name, map) in &self.lasting {
            let place = pins.map(name);
            if !place.exists() {
                let failed = |error| map_error(MapError::PinError { name: Some((*name).to_owned()), error });
                map.pin(&place).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The maps of the policy.
    pub fn policy_maps(&self) -> Result<PolicyMaps, EbpfError> {
        PolicyMaps::of_object(&self.ebpf)
    }

    /// The maps of the bans.
    pub fn ban_maps(&self) -> Result<KernelStore, EbpfError> {
        KernelStore::of_object(&self.ebpf)
    }

    /// The object itself, for what attaches programs of its own kind.
    pub(crate) fn object(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Verifies a program and gives it for attaching.
    pub fn classifier(&mut self, name: &'static str) -> Result<&mut SchedClassifier, EbpfError> {
        let Some(Program::SchedClassifier(program)) = self.ebpf.program_mut(name) else {
            return Err(EbpfError::Missing(name));
        };
        if program.fd().is_err() {
            program.load().map_err(|source| EbpfError::Program { name: name.to_owned(), source: Box::new(source) })?;
        }
        Ok(program)
    }

    /// Verifies a program of the driver's hook and gives it for attaching.
    pub fn xdp(&mut self, name: &'static str) -> Result<&mut Xdp, EbpfError> {
        xdp(&mut self.ebpf, name)
    }

    /// Verifies a program and gives it for running by hand.
    pub fn test_run(&mut self, name: &'static str) -> Result<TestRun, EbpfError> {
        let is_xdp = matches!(self.ebpf.program(name), Some(Program::Xdp(_)));
        let fd: Result<&ProgramFd, _> = if is_xdp { self.xdp(name)?.fd() } else { self.classifier(name)?.fd() };
        let fd = fd.map_err(|source| EbpfError::Program { name: name.to_owned(), source: Box::new(source) })?;
        TestRun::new(fd.as_fd())
    }

    /// The object with its maps, for parts that have a module of their own.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    fn map_fd(&self, name: &'static str) -> Result<BorrowedFd<'_>, EbpfError> {
        match self.ebpf.map(name) {
            Some(Map::Array(data)) => Ok(data.fd().as_fd()),
            _ => Err(EbpfError::Missing(name)),
        }
    }

    /// Maps the rings into this process.
    pub fn rings(&self) -> Result<Rings, EbpfError> {
        let control = SharedArray::<RingControl>::map(self.map_fd("RING_CONTROL")?, self.geometry.cpus)?;
        let slots = SharedArray::map(self.map_fd("RINGS")?, self.geometry.cpus * self.geometry.slots)?;
        Ok(Rings::new(self.geometry, control, slots))
    }

    /// The way of copies of payload. It can be had once.
    pub fn peeks(&mut self) -> Result<PeekRing, EbpfError> {
        let map = self.ebpf.take_map("PEEKS").ok_or(EbpfError::Missing("map PEEKS"))?;
        let ring = RingBuf::try_from(map).map_err(map_error)?;
        let control = SharedArray::<PeekControl>::map(self.map_fd("PEEK_CONTROL")?, self.geometry.cpus)?;
        Ok(PeekRing::new(ring, control))
    }

    /// Maps the sweep's words into this process.
    pub fn sweep_control(&self) -> Result<SharedArray<SweepControl>, EbpfError> {
        SharedArray::map(self.map_fd("SWEEP")?, self.geometry.cpus)
    }

    /// Maps the flow caches into this process (tests; the agent has no need to look).
    pub fn cache(&self) -> Result<SharedArray<hivewall_datapath::FlowSet>, EbpfError> {
        SharedArray::map(self.map_fd("CACHE")?, self.geometry.cpus * self.geometry.sets)
    }

    /// What was counted apart from flows since the load, summed over CPUs.
    pub fn tallies(&self) -> Result<Vec<(TallyKey, Tally)>, EbpfError> {
        let mut rows = Vec::new();
        for row in &self.tallies {
            let ([ifindex, reason], values) = row.map_err(map_error)?;
            let mut sum = Tally::default();
            for [packets, bytes] in values.iter() {
                sum.packets += packets;
                sum.bytes += bytes;
            }
            if sum.packets > 0 {
                rows.push((TallyKey { ifindex, reason }, sum));
            }
        }
        Ok(rows)
    }
}

/// A program of the driver's hook, verified.
pub(crate) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, EbpfError> {
    let Some(Program::Xdp(program)) = ebpf.program_mut(name) else {
        return Err(EbpfError::Missing(name));
    };
    if program.fd().is_err() {
        program.load().map_err(|source| EbpfError::Program { name: name.to_owned(), source: Box::new(source) })?;
    }
    Ok(program)
}

/// `EPERM` on the first map or program means that the process may not do this at all.
pub(crate) fn load_error(error: aya::EbpfError) -> EbpfError {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(now) = cause {
        if now.downcast_ref::<std::io::Error>().is_some_and(|io| io.raw_os_error() == Some(libc::EPERM)) {
            return EbpfError::Privilege(Box::new(error));
        }
        cause = now.source();
    }
    EbpfError::Load(Box::new(error))
}

pub(crate) fn map_error(error: MapError) -> EbpfError {
    EbpfError::Map(Box::new(error))
}

/// Rows without an interface, so that a full table still counts every reason.
fn reserve_rows(tallies: &mut PerCpuHashMap<MapData, TallyBytes, TallyValue>) -> Result<(), EbpfError> {
    let cpus = aya::util::nr_cpus().map_err(|(_, source)| EbpfError::System { call: "counting CPUs", source })?;
    for reason in Reason::ALL {
        for hook in [Direction::Ingress, Direction::Egress] {
            let zero = aya::maps::PerCpuValues::try_from(vec![[0_u64; 2]; cpus])
                .map_err(|source| EbpfError::System { call: "making per-CPU values", source })?;
            let key = TallyKey::new(0, hook, *reason);
            match tallies.insert([key.ifindex, key.reason], zero, NO_EXIST) {
                // A map that an agent before this one made.
                Err(MapError::SyscallError(call)) if call.io_error.raw_os_error() == Some(libc::EEXIST) => {}
                outcome => outcome.map_err(map_error)?,
            }
        }
    }
    Ok(())
}
