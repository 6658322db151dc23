//! The allow-list monitor from user space: loading, attaching, the list, what is told. Nothing here looks at a packet.
//!
//! What a line of the log looks like, and when it is written, is not known here. Invariants: the list that holds is never
//! the one that is being filled, and one store makes the other one hold; whatever is attached goes with this process.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use aya::maps::{Array, Map, MapData, RingBuf};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use hivewall_datapath::guard::{
    GUARD_ABI_VERSION, GUARD_PREFIXES_MAX, GUARD_SEEN_MAX, GuardCounts, GuardEvent, GuardKey, GuardSeen, GuardWord,
};
use hivewall_model::{Interface, LinkLayer};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::bans::{BanError, Entries, FrontError, FrontLink, FrontMode, Prefix, attach_program, copy};
use crate::ebpf::{EbpfError, SharedArray, TestRun, load_error, map_error, possible_cpus, xdp};

static OBJECT: &[u8] = include_bytes_aligned!("../../bpf/guard.o");

/// The programs, for frames that begin with an Ethernet header and for those that do not.
const PROGRAMS: [&str; 2] = ["hivewall_guard", "hivewall_guard_ip"];
const LISTS: [&str; 2] = ["GUARD_LIST_A", "GUARD_LIST_B"];
/// `enum bpf_cmd` (linux/bpf.h).
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;

/// What can go wrong with the monitor.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The object cannot be used.
    #[error(transparent)]
    Object(#[from] EbpfError),
    /// A list did not go in.
    #[error("the new list does not hold ({0}); the one before goes on to hold")]
    List(#[source] BanError),
    /// Too long a list.
    #[error("the list has {0} prefixes, and there is room for {GUARD_PREFIXES_MAX}; join neighbouring networks")]
    TooLong(usize),
    /// An interface was refused.
    #[error(transparent)]
    Attach(#[from] FrontError),
    /// What was refused cannot be read.
    #[error("cannot read what was refused: {0}")]
    Seen(#[source] io::Error),
}

/// The loaded monitor.
pub struct Guard {
    ebpf: Ebpf,
    links: Vec<FrontLink>,
    lists: [Entries; 2],
    control: SharedArray<u64>,
    counts: SharedArray<GuardCounts>,
    seen: MapData,
    events: RingBuf<MapData>,
    cpus: usize,
}

impl Guard {
    /// Loads the programs. Until a list is given, nothing is permitted; so give one before attaching.
    pub fn load(drop: bool, ring_bytes: u32) -> Result<Self, GuardError> {
        Self::load_object(OBJECT, drop, ring_bytes)
    }

    fn load_object(object: &[u8], drop: bool, ring_bytes: u32) -> Result<Self, GuardError> {
        let cpus = possible_cpus()?;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("GUARD_COUNTS", cpus)
            .map_max_entries("GUARD_EVENTS", ring_bytes.clamp(1 << 12, 1 << 28).next_power_of_two())
            .load(object)
            .map_err(load_error)?;
        hold_abi(&ebpf)?;
        let of = |name| map(&ebpf, name).and_then(copy);
        let list = |name| Ok::<_, EbpfError>(Entries::trie(of(name)?, "permitted prefixes", GUARD_PREFIXES_MAX));
        let lists = [list(LISTS[0])?, list(LISTS[1])?];
        let seen = of("GUARD_SEEN")?;
        let mut control = SharedArray::<u64>::map(map(&ebpf, "GUARD_CONTROL")?.fd().as_fd(), 1)?;
        let counts = SharedArray::map(map(&ebpf, "GUARD_COUNTS")?.fd().as_fd(), cpus)?;
        control.write(0, if drop { GuardWord::DROP } else { 0 });
        let events = ebpf.take_map("GUARD_EVENTS").ok_or(EbpfError::Missing("map GUARD_EVENTS"))?;
        let events = RingBuf::try_from(events).map_err(map_error)?;
        Ok(Self { ebpf, links: Vec::new(), lists, control, counts, seen, events, cpus: cpus as usize })
    }

    /// Makes these prefixes the permitted ones, all at once.
    pub fn permit(&mut self, prefixes: &[Prefix]) -> Result<(), GuardError> {
        if prefixes.len() > GUARD_PREFIXES_MAX as usize {
            return Err(GuardError::TooLong(prefixes.len()));
        }
        let word = self.control.read(0).unwrap_or(0);
        let aside = if word & GuardWord::LIST == 0 { &self.lists[1] } else { &self.lists[0] };
        // What it held before the last change: no program looks at it any more.
        for old in aside.all()? {
            aside.remove(old).map_err(GuardError::List)?;
        }
        aside.insert(prefixes).map_err(|(_, error)| GuardError::List(error))?;
        self.control.write(0, word ^ GuardWord::LIST);
        Ok(())
    }

    /// Attaches to an interface until this goes.
    pub fn attach(&mut self, interface: &Interface, mode: FrontMode) -> Result<(), GuardError> {
        let program = match interface.link {
            LinkLayer::Ethernet => PROGRAMS[0],
            LinkLayer::Ip => PROGRAMS[1],
            LinkLayer::Other(arphrd) => {
                return Err(FrontError::Layer { interface: interface.name.clone(), arphrd }.into());
            }
        };
        self.links.push(attach_program(&mut self.ebpf, program, interface, mode)?);
        Ok(())
    }

    /// Verifies a program and gives it for running by hand.
    pub fn test_run(&mut self, name: &'static str) -> Result<TestRun, GuardError> {
        let fd = xdp(&mut self.ebpf, name)?.fd();
        let fd = fd.map_err(|source| EbpfError::Program { name: name.to_owned(), source: Box::new(source) })?;
        Ok(TestRun::new(fd.as_fd())?)
    }

    /// Takes the programs off all interfaces.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// Waits until something is told, a signal comes, or time is up.
    pub fn wait(&self, timeout: Duration) -> Result<(), GuardError> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        // SAFETY: the ring's descriptor lives as long as `self`.
        let ring = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.events.as_raw_fd()) };
        match poll(&mut [PollFd::new(ring, PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(GuardError::Seen(errno.into())),
        }
    }

    /// Gives each first packet that was told, at most `limit`.
    pub fn events(&mut self, limit: usize, mut each: impl FnMut(GuardEvent)) {
        for _ in 0..limit {
            let Some(item) = self.events.next() else { return };
            if let Ok(bytes) = <&[u8; size_of::<GuardEvent>()]>::try_from(&item[..]) {
                // SAFETY: integers without padding, of exactly this size.
                each(unsafe { bytes.as_ptr().cast::<GuardEvent>().read_unaligned() });
            }
        }
    }

    /// Takes out what was refused since this was last asked, summed over CPUs.
    pub fn take_seen(&mut self) -> Result<Vec<(GuardKey, GuardSeen)>, GuardError> {
        let fd = self.seen.fd().as_fd().as_raw_fd() as u32;
        let (mut keys, mut all) = (Vec::<GuardKey>::new(), Vec::new());
        loop {
            let mut next = GuardKey::default();
            let from = keys.last().map_or(0, |last| std::ptr::from_ref(last) as u64);
            match call(fd, BPF_MAP_GET_NEXT_KEY, from, &raw mut next as u64) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
                other => other.map_err(GuardError::Seen)?,
            }
            keys.push(next);
            // A table that fills while it is read would keep this loop busy.
            if keys.len() >= GUARD_SEEN_MAX as usize {
                break;
            }
        }
        for key in keys {
            let mut values = vec![GuardSeen::default(); self.cpus];
            match call(fd, BPF_MAP_LOOKUP_AND_DELETE_ELEM, &raw const key as u64, values.as_mut_ptr() as u64) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                other => {
                    other.map_err(GuardError::Seen)?;
                    all.push((key, sum(&values)));
                }
            }
        }
        Ok(all)
    }

    /// What was counted since the load, all CPUs together.
    pub fn counts(&self) -> GuardCounts {
        (0..self.cpus).filter_map(|cpu| self.counts.read(cpu)).fold(GuardCounts::default(), |mut sum, one| {
            sum.permitted_packets += one.permitted_packets;
            sum.permitted_bytes += one.permitted_bytes;
            sum.refused_packets += one.refused_packets;
            sum.refused_bytes += one.refused_bytes;
            sum.discovery_packets += one.discovery_packets;
            sum.other_packets += one.other_packets;
            sum.unkept_packets += one.unkept_packets;
            sum.untold_packets += one.untold_packets;
            sum
        })
    }
}

/// Has the kernel verify the programs of an object, and attaches none. Gives their names.
pub fn verify(object: &[u8]) -> Result<Vec<&'static str>, GuardError> {
    let mut guard = Guard::load_object(object, false, 0)?;
    for name in PROGRAMS {
        xdp(&mut guard.ebpf, name)?;
    }
    Ok(PROGRAMS.into())
}

fn sum(values: &[GuardSeen]) -> GuardSeen {
    values.iter().filter(|one| one.packets > 0).fold(GuardSeen::default(), |sum, one| GuardSeen {
        packets: sum.packets + one.packets,
        bytes: sum.bytes + one.bytes,
        tcp_flags: sum.tcp_flags | one.tcp_flags,
        ..*one
    })
}

fn map<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a MapData, EbpfError> {
    match ebpf.map(name) {
        Some(Map::Array(map) | Map::LpmTrie(map) | Map::PerCpuHashMap(map)) => Ok(map),
        _ => Err(EbpfError::Missing(name)),
    }
}

fn hold_abi(ebpf: &Ebpf) -> Result<(), GuardError> {
    let map = ebpf.map(".rodata.abi").ok_or(EbpfError::Missing("ABI number"))?;
    let abi: Array<&MapData, u32> = Array::try_from(map).map_err(map_error)?;
    match abi.get(&0, 0).map_err(map_error)? {
        GUARD_ABI_VERSION => Ok(()),
        found => Err(EbpfError::Abi { found, wanted: GUARD_ABI_VERSION }.into()),
    }
}

/// Of `union bpf_attr`: commands on elements.
#[repr(C)]
struct ElementAttr {
    fd: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn call(fd: u32, command: libc::c_long, key: u64, value: u64) -> io::Result<()> {
    let mut attr = ElementAttr { fd, _pad: 0, key, value, flags: 0 };
    // SAFETY: the attribute has the kernel's layout; key and value lie in buffers of the map's sizes, a value for each
    // possible CPU, that outlive the call.
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<ElementAttr>()) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
