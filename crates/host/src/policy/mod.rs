//! The policy in the kernel: compiled tables go into the maps of a slot, and one word makes them hold.
//!
//! Nothing here knows what a rule means. Invariant: a slot that the word in force (or the one it would fall back to) names
//! is never written; after the word changed, a slot is written only when no program can still be reading it.

mod connections;
mod pins;
mod pod;

use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::{Array, ArrayOfMaps, HashMap, InnerMap, LpmTrie, Map, MapData, MapError, PerCpuArray, lpm_trie};
use hivewall_datapath::policy::{COUNTERS_MAX, Connection, ConnectionKey, PolicyControl, PolicyWord};
use hivewall_soft::{PolicyTables, interface_row};

use crate::ebpf::{EbpfError, SharedArray, another_handle, map_error};
pub use connections::ConnectionFill;
use connections::Connections;
pub use pins::{MAPS, Pins};
use pod::{HeadBytes, LimitBytes, RowBytes, RuleBytes};

/// Slots for compiled tables.
pub const SLOTS: u32 = 4;
/// `BPF_F_INNER_MAP` (linux/bpf.h): arrays inside of maps may differ in size.
const INNER: u32 = 1 << 12;
/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;
/// Interfaces that rules of one policy can name.
const INTERFACES_MAX: u32 = 1024;
/// Ports in one value of the map of ports.
const PORTS: usize = 64;

/// Packets and IP bytes of one rule or cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Packets.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

type Words = [u32; 4];

/// Interfaces that the rules of a slot name ([`PolicyTables::interfaces`]), and the map of those that there are.
struct Named {
    by_rules: Vec<(String, u32)>,
    map: HashMap<MapData, u32, u32>,
}

/// The maps of a loaded datapath that a policy lives in. They are the kernel's; several of these may name the same.
pub struct PolicyMaps {
    control: SharedArray<PolicyControl>,
    heads: ArrayOfMaps<MapData, Array<MapData, HeadBytes>>,
    rows: ArrayOfMaps<MapData, Array<MapData, RowBytes>>,
    rules: ArrayOfMaps<MapData, Array<MapData, RuleBytes>>,
    limits: ArrayOfMaps<MapData, Array<MapData, LimitBytes>>,
    ports: ArrayOfMaps<MapData, Array<MapData, [u16; PORTS]>>,
    sources: ArrayOfMaps<MapData, LpmTrie<MapData, Words, u32>>,
    destinations: ArrayOfMaps<MapData, LpmTrie<MapData, Words, u32>>,
    interfaces: ArrayOfMaps<MapData, HashMap<MapData, u32, u32>>,
    /// What was put there by this process, by slot: to open a map by its number takes CAP_SYS_ADMIN.
    named: [Option<Named>; SLOTS as usize],
    connections: Connections,
    counters: PerCpuArray<MapData, [u64; 2]>,
}

fn outer<V: InnerMap>(ebpf: &Ebpf, name: &'static str) -> Result<ArrayOfMaps<MapData, V>, EbpfError> {
    let data = another_handle(ebpf, name)?;
    ArrayOfMaps::try_from(Map::ArrayOfMaps(data)).map_err(map_error)
}

impl PolicyMaps {
    /// The maps of a loaded object.
    pub fn of_object(ebpf: &Ebpf) -> Result<Self, EbpfError> {
        let control = another_handle(ebpf, "POLICY")?;
        Ok(Self {
            control: SharedArray::map(control.fd().as_fd(), 1)?,
            heads: outer(ebpf, "POLICY_HEADS")?,
            rows: outer(ebpf, "POLICY_ROWS")?,
            rules: outer(ebpf, "POLICY_RULES")?,
            limits: outer(ebpf, "POLICY_LIMITS")?,
            ports: outer(ebpf, "POLICY_PORTS")?,
            sources: outer(ebpf, "POLICY_SOURCES")?,
            destinations: outer(ebpf, "POLICY_DESTINATIONS")?,
            interfaces: outer(ebpf, "POLICY_INTERFACES")?,
            named: [const { None }; SLOTS as usize],
            connections: Connections::of_object(ebpf)?,
            counters: PerCpuArray::try_from(Map::PerCpuArray(another_handle(ebpf, "RULE_COUNTERS")?))
                .map_err(map_error)?,
        })
    }

    /// What holds, as the kernel has it.
    pub fn control(&self) -> PolicyControl {
        self.control.read(0).unwrap_or_default()
    }

    /// Replaces what holds. The word is stored last, in one piece: until then everything is as it was, unless a deadline
    /// passes meanwhile, which may only be given together with the word that is in force as the fallback.
    pub fn set_control(&mut self, control: PolicyControl) -> Result<(), EbpfError> {
        let now = self.control();
        // First what must stand when the new word is read; a deadline that runs goes on without a gap.
        if control.deadline != now.deadline {
            self.control.write(0, PolicyControl { word: now.word, deadline: 0, ..control });
        }
        self.control.write(0, PolicyControl { word: now.word, ..control });
        self.control.write(0, control);
        // Whoever still goes by the words before reads slots that stay as they are.
        let slots = |control: PolicyControl| [control.word, control.fallback].map(|word| PolicyWord(word).slot());
        if slots(now).iter().all(|slot| slots(control).contains(slot)) {
            return Ok(());
        }
        self.settle()
    }

    /// Looks after the table of connections, once a second: takes out what no longer lives, and grants room. `now_s` is of
    /// the datapath's clock.
    pub fn look_after_connections(&mut self, now_s: u32) -> Result<ConnectionFill, EbpfError> {
        self.connections.look_after(now_s)
    }

    /// A slot that neither word names.
    pub fn free_slot(&self) -> u32 {
        let control = self.control();
        let (held, fallback) = (PolicyWord(control.word), PolicyWord(control.fallback));
        (0..SLOTS).find(|slot| *slot != held.slot() && *slot != fallback.slot()).unwrap_or(0)
    }

    /// Fills a slot that is not in use.
    pub fn fill(&mut self, slot: u32, tables: &PolicyTables, interfaces: &[(u32, String)]) -> Result<(), EbpfError> {
        let head: Array<MapData, HeadBytes> = array(1, 0, [HeadBytes(tables.head)])?;
        let rows = tables.rows.iter().map(|row| RowBytes(*row));
        let rows: Array<MapData, RowBytes> = array(tables.rows.len().max(1), INNER, rows)?;
        let rules = tables.rules.iter().map(|rule| RuleBytes(*rule));
        let rules: Array<MapData, RuleBytes> = array(hivewall_datapath::policy::RULES_MAX, 0, rules)?;
        let limits = tables.limits.iter().map(|limit| LimitBytes(*limit));
        let limits: Array<MapData, LimitBytes> = array(hivewall_datapath::policy::LIMITS_MAX, 0, limits)?;
        let ports: Array<MapData, [u16; PORTS]> =
            array(2 * 65536 / PORTS, 0, packed(&tables.source_ports).chain(packed(&tables.destination_ports)))?;
        let named = HashMap::create(INTERFACES_MAX, NO_PREALLOC).map_err(map_error)?;
        let (from, to) = (trie(&tables.sources)?, trie(&tables.destinations)?);
        let outer = &mut *self;
        // Each of these waits until every running program has ended: side by side, they wait together.
        let outcomes = std::thread::scope(|scope| {
            [
                scope.spawn(|| outer.heads.set(slot, &head, 0)),
                scope.spawn(|| outer.rows.set(slot, &rows, 0)),
                scope.spawn(|| outer.rules.set(slot, &rules, 0)),
                scope.spawn(|| outer.limits.set(slot, &limits, 0)),
                scope.spawn(|| outer.ports.set(slot, &ports, 0)),
                scope.spawn(|| outer.sources.set(slot, &from, 0)),
                scope.spawn(|| outer.destinations.set(slot, &to, 0)),
                scope.spawn(|| outer.interfaces.set(slot, &named, 0)),
            ]
            .map(std::thread::ScopedJoinHandle::join)
        });
        for outcome in outcomes {
            outcome.map_err(|_| EbpfError::Missing("thread that fills a slot"))?.map_err(map_error)?;
        }
        if let Some(place) = self.named.get_mut(slot as usize) {
            *place = Some(Named { by_rules: tables.interfaces.clone(), map: named });
        }
        self.name_interfaces(slot, || interfaces.to_vec())
    }

    /// Tells a slot that this process filled which interfaces there are, some of which may have come since. They are asked
    /// for only if rules name any.
    pub fn name_interfaces(
        &mut self,
        slot: u32,
        interfaces: impl FnOnce() -> Vec<(u32, String)>,
    ) -> Result<(), EbpfError> {
        let named = self.named.get_mut(slot as usize).and_then(Option::as_mut);
        let Some(Named { by_rules, map }) = named.filter(|named| !named.by_rules.is_empty()) else { return Ok(()) };
        for (index, name) in interfaces() {
            if let Some(row) = interface_row(by_rules, &name) {
                map.insert(index, row, 0).map_err(interface_error)?;
            }
        }
        Ok(())
    }

    /// Waits until no program works with what the words named before. An update of a map of maps does: the kernel lets
    /// every running program end before it answers (kernel/bpf/syscall.c, maybe_wait_bpf_programs).
    fn settle(&mut self) -> Result<(), EbpfError> {
        let slot = self.free_slot();
        let empty: Array<MapData, HeadBytes> = array(1, 0, [])?;
        self.heads.set(slot, &empty, 0).map_err(map_error)
    }

    /// Adds a connection that was there before the first policy.
    pub fn adopt(&mut self, key: &ConnectionKey, connection: &Connection) -> Result<(), EbpfError> {
        self.connections.enter(key, connection)
    }

    /// What was counted so far, by counter; zero where nothing was.
    pub fn hits(&self) -> Result<Vec<Hits>, EbpfError> {
        (0..COUNTERS_MAX).map(|counter| self.hits_of(counter)).collect()
    }

    /// What one counter has.
    pub fn hits_of(&self, counter: u32) -> Result<Hits, EbpfError> {
        let values = self.counters.get(&counter, 0).map_err(map_error)?;
        Ok(values.iter().fold(Hits::default(), |sum, [packets, bytes]| Hits {
            packets: sum.packets + packets,
            bytes: sum.bytes + bytes,
        }))
    }
}

/// A full map is told from what else may go wrong.
fn interface_error(error: MapError) -> EbpfError {
    match &error {
        MapError::SyscallError(call) if call.io_error.raw_os_error() == Some(libc::E2BIG) => {
            EbpfError::TooManyInterfaces { max: INTERFACES_MAX }
        }
        _ => map_error(error),
    }
}

/// An array with its first values.
fn array<V: aya::Pod>(
    len: usize,
    flags: u32,
    values: impl IntoIterator<Item = V>,
) -> Result<Array<MapData, V>, EbpfError> {
    let mut array = Array::create(len as u32, flags).map_err(map_error)?;
    for (index, value) in (0..).zip(values) {
        array.set(index, value, 0).map_err(map_error)?;
    }
    Ok(array)
}

fn trie(prefixes: &[(hivewall_datapath::policy::Address, u32)]) -> Result<LpmTrie<MapData, Words, u32>, EbpfError> {
    let mut trie = LpmTrie::create(prefixes.len().max(1) as u32, NO_PREALLOC).map_err(map_error)?;
    for (prefix, row) in prefixes {
        trie.insert(&lpm_trie::Key::new(prefix.prefix_len, prefix.words), row, 0).map_err(map_error)?;
    }
    Ok(trie)
}

/// Rows by port, 64 a value; row 0 for all where no rule looks at ports.
fn packed(rows: &[u16]) -> impl Iterator<Item = [u16; PORTS]> {
    (0..65536 / PORTS).map(move |at| {
        let mut value = [0; PORTS];
        let from = rows.iter().skip(at * PORTS);
        value.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        value
    })
}
