//! The kernel's side of `hivewall_datapath::policy`: compiled tables in slots of maps in maps, and what outlives them.
//! No logic of its own.
//!
//! A policy is changed by filling the maps of a slot that nothing names and then storing one word. Invariant: a program
//! reads the word once for a packet, and all tables of that packet from the slot it names.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INNER_MAP, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{self, ArrayOfMaps, LpmTrie, lpm_trie},
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::{btf_map, map},
    maps::{Array, LruHashMap, PerCpuArray},
};
use hivewall_datapath::{
    Tally,
    parse::Parsed,
    policy::{
        self, COUNTERS_MAX, Connection, ConnectionKey, Desk, LIMITS_MAX, Limit, LimitKey, Opener, PolicyControl, PolicyHead,
        PolicyWord, RULES_MAX, Room, Row, RuleEntry, Said, Side, State, Tables, Verdict,
    },
};

use crate::{front, shell};

/// Slots for compiled tables.
const SLOTS: usize = 4;
/// Ports in one entry of [`POLICY_PORTS`].
const PORTS: usize = 64;
/// Array maps inside of others may differ in their number of entries since 5.10.
const INNER: usize = BPF_F_INNER_MAP as usize;

#[map]
static POLICY: Array<PolicyControl> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// A packet that is being judged, one a CPU. Sized at load.
#[map]
static PENDING: Array<Parsed> = Array::with_max_entries(1, 0);
/// Where that lies then, one a CPU. Sized at load.
#[map]
static DESK: Array<Desk> = Array::with_max_entries(1, 0);
#[map]
static CONNECTIONS: LruHashMap<ConnectionKey, Connection> = LruHashMap::with_max_entries(1 << 17, 0);
/// Room in it, one a CPU. Sized at load.
#[map]
static ROOM: Array<Room> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// When the next flow is due, by limit.
#[map]
static LIMITS: LruHashMap<LimitKey, u64> = LruHashMap::with_max_entries(1 << 16, 0);
/// Packets and IP bytes by rule or cause.
#[map]
static RULE_COUNTERS: PerCpuArray<Tally> = PerCpuArray::with_max_entries(COUNTERS_MAX, 0);

#[btf_map]
static POLICY_HEADS: ArrayOfMaps<btf_maps::Array<PolicyHead, 1>, SLOTS> = ArrayOfMaps::new();
#[btf_map]
static POLICY_ROWS: ArrayOfMaps<btf_maps::Array<Row, 1, INNER>, SLOTS> = ArrayOfMaps::new();
#[btf_map]
static POLICY_RULES: ArrayOfMaps<btf_maps::Array<RuleEntry, RULES_MAX>, SLOTS> = ArrayOfMaps::new();
#[btf_map]
static POLICY_LIMITS: ArrayOfMaps<btf_maps::Array<Limit, LIMITS_MAX>, SLOTS> = ArrayOfMaps::new();
/// 64 rows an entry, source ports first.
#[btf_map]
static POLICY_PORTS: ArrayOfMaps<btf_maps::Array<[u16; PORTS], 2048>, SLOTS> = ArrayOfMaps::new();
#[btf_map]
static POLICY_SOURCES: ArrayOfMaps<LpmTrie<[u32; 4], u32, 1>, SLOTS> = ArrayOfMaps::new();
#[btf_map]
static POLICY_DESTINATIONS: ArrayOfMaps<LpmTrie<[u32; 4], u32, 1>, SLOTS> = ArrayOfMaps::new();
#[btf_map]
static POLICY_INTERFACES: ArrayOfMaps<btf_maps::HashMap<u32, u32, 1024, { BPF_F_NO_PREALLOC as usize }>, SLOTS> =
    ArrayOfMaps::new();

/// What holds now.
#[inline(always)]
pub fn word(ticks: u64) -> PolicyWord {
    let Some(control) = POLICY.get_ptr_mut(0) else { return PolicyWord::default() };
    // SAFETY: a valid value, of which user space replaces one word at a time.
    unsafe { (*control).at(ticks) }
}

/// Counts packets of a rule or cause.
#[inline(always)]
pub fn count(counter: u32, packets: u32, bytes: u32) {
    if let Some(tally) = RULE_COUNTERS.get_ptr_mut(counter) {
        // SAFETY: per-CPU value, bottom halves off.
        let tally = unsafe { &mut *tally };
        tally.packets += u64::from(packets);
        tally.bytes += u64::from(bytes);
    }
}

/// Leaves a packet for [`hivewall_judge`].
#[inline(always)]
pub fn leave(parsed: &Parsed) -> bool {
    // SAFETY: no arguments; the entry is this CPU's own.
    let pending = PENDING.get_ptr_mut(unsafe { bpf_get_smp_processor_id() });
    // SAFETY: as above, bottom halves off.
    let Some(pending) = pending.map(|pending| unsafe { &mut *pending }) else { return false };
    // Word by word: a copy of the whole would first be put together on the stack, which has no room for it.
    let (to, from) = (&mut pending.packet, &parsed.packet);
    ([to.key.src[0], to.key.src[1]], [to.key.src[2], to.key.src[3]]) =
        ([from.key.src[0], from.key.src[1]], [from.key.src[2], from.key.src[3]]);
    ([to.key.dst[0], to.key.dst[1]], [to.key.dst[2], to.key.dst[3]]) =
        ([from.key.dst[0], from.key.dst[1]], [from.key.dst[2], from.key.dst[3]]);
    (to.key.sport, to.key.dport, to.key.place, to.key.tags) =
        (from.key.sport, from.key.dport, from.key.place, from.key.tags);
    (to.packets, to.ip_bytes, to.link_bytes, to.tcp_flags) =
        (from.packets, from.ip_bytes, from.link_bytes, from.tcp_flags);
    (pending.ip_at, pending.transport_at, pending.payload_at, pending.end) =
        (parsed.ip_at, parsed.transport_at, parsed.payload_at, parsed.end);
    pending.fragmented = parsed.fragmented;
    true
}

/// The packet that was left.
#[inline(always)]
pub fn left() -> Option<&'static Parsed> {
    // SAFETY: no arguments; the entry is this CPU's own, and nothing writes it until the packet is done with.
    PENDING.get_ptr(unsafe { bpf_get_smp_processor_id() }).map(|pending| unsafe { &*pending })
}

/// The tables of one slot.
struct Slot(u32);

impl Tables for Slot {
    #[inline(always)]
    fn head(&self) -> Option<&PolicyHead> {
        // A variable: a reference to the literal would be a constant, which the compiler merges with another of the same
        // value, and that may be one of those that the loader replaces.
        let first = 0;
        POLICY_HEADS.get_value(self.0, &first)
    }

    #[inline(always)]
    fn prefix(&self, side: Side, address: &[u32; 4]) -> Option<u32> {
        let key = lpm_trie::Key::new(128, *address);
        let row = match side {
            Side::From => POLICY_SOURCES.get_value_ptr_mut(self.0, &key),
            Side::To => POLICY_DESTINATIONS.get_value_ptr_mut(self.0, &key),
        };
        // SAFETY: one aligned word; the trie of a slot in use does not change.
        row.map(|row| unsafe { *row })
    }

    #[inline(always)]
    fn port(&self, side: Side, port: u16) -> Option<u32> {
        let entry = side as u32 * 1024 + u32::from(port) / PORTS as u32;
        let rows = POLICY_PORTS.get_value(self.0, &entry)?;
        rows.get(port as usize % PORTS).map(|row| u32::from(*row))
    }

    #[inline(always)]
    fn interface(&self, ifindex: u32) -> Option<u32> {
        // SAFETY: one aligned word.
        POLICY_INTERFACES.get_value_ptr_mut(self.0, &ifindex).map(|row| unsafe { *row })
    }

    #[inline(always)]
    fn row(&self, number: u32) -> Option<&Row> {
        POLICY_ROWS.get_value(self.0, &number)
    }

    #[inline(always)]
    fn rule(&self, index: u32) -> Option<RuleEntry> {
        POLICY_RULES.get_value(self.0, &index).copied()
    }

    #[inline(always)]
    fn limit(&self, index: u32) -> Option<Limit> {
        POLICY_LIMITS.get_value(self.0, &index).copied()
    }

    #[inline(always)]
    fn bound(word: u32) -> u32 {
        let mut bounded = u64::from(word);
        // In assembler, because the compiler would drop a mask that it can foresee and the verifier cannot.
        // SAFETY: arithmetic on one register.
        unsafe {
            core::arch::asm!("{bounded} &= 63", bounded = inout(reg) bounded, options(pure, nomem, nostack));
        }
        bounded as u32
    }

    #[inline(always)]
    fn classify(&self, _on_desk: &Opener, from: u32, limits: bool) -> u32 {
        hivewall_classify(self.0, from, limits.into())
    }

    #[inline(always)]
    fn by_rules<S: State>(&self, _memory: &mut S, _on_desk: &Opener, epoch: u16, fresh: bool) -> Said {
        let said = hivewall_rules(self.0, epoch.into(), fresh.into());
        Said { verdict: Verdict(said as u32), flags: (said >> 32) as u8 }
    }
}

/// What [`hivewall_is_over`] and [`hivewall_is_banned`] are asked about, one a CPU: a function of its own takes no pointer,
/// and its answer is one word whatever way it took, which spares the verifier every combination of ways.
#[map]
static ASKED: Array<(LimitKey, Limit)> = Array::with_max_entries(1, 0);

#[inline(always)]
fn limit_desk() -> Option<&'static mut (LimitKey, Limit)> {
    // SAFETY: no arguments; the entry is this CPU's own, bottom halves off.
    ASKED.get_ptr_mut(unsafe { bpf_get_smp_processor_id() }).map(|asked| unsafe { &mut *asked })
}

/// Whether the limit that is asked about is used up.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_is_over() -> u32 {
    let Some((key, limit)) = limit_desk() else { return 1 };
    // SAFETY: no arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let Some(due) = LIMITS.get_ptr_mut(&*key) else {
        let first = limit.next(0, now_ns).unwrap_or(0);
        let _ = LIMITS.insert(&*key, first, 0);
        return 0;
    };
    // SAFETY: one aligned word. Two CPUs may read it at once and then let one flow too many pass.
    unsafe {
        match limit.next(*due, now_ns) {
            Some(next) => {
                *due = next;
                0
            }
            None => 1,
        }
    }
}

/// Whether a limit is used up.
#[inline(always)]
pub fn is_over(key: &LimitKey, limit: &Limit) -> bool {
    let Some(desk) = limit_desk() else { return true };
    *desk = (*key, *limit);
    hivewall_is_over() != 0
}

/// Whether the address that is asked about is banned.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_is_banned() -> u32 {
    limit_desk().map_or(0, |(key, _)| front::is_banned(&key.source).into())
}

/// The maps that outlive a policy.
struct Memory {
    /// Seconds of the datapath's clock.
    now_s: u32,
}

impl State for Memory {
    #[inline(always)]
    fn is_over(&mut self, key: &LimitKey, limit: &Limit) -> bool {
        is_over(key, limit)
    }

    #[inline(always)]
    fn is_banned(&mut self, address: &[u32; 4]) -> bool {
        let Some((key, _)) = limit_desk() else { return false };
        key.source = *address;
        hivewall_is_banned() != 0
    }

    #[inline(always)]
    fn connection(&mut self, key: &ConnectionKey) -> Option<&mut Connection> {
        // SAFETY: plain words; two CPUs that visit one connection at once write the same, or one visit is forgotten.
        CONNECTIONS.get_ptr_mut(key).map(|entry| unsafe { &mut *entry })
    }

    #[inline(always)]
    fn remember(&mut self, key: &ConnectionKey, connection: &Connection) -> bool {
        if let Some(entry) = CONNECTIONS.get_ptr_mut(key) {
            // SAFETY: as above.
            unsafe { *entry = *connection };
            return true;
        }
        enter(key, connection, self.now_s)
    }
}

/// Enters a conversation that is new, where there is room.
#[inline(always)]
fn enter(key: &ConnectionKey, connection: &Connection, now_s: u32) -> bool {
    // SAFETY: no arguments; the entry is this CPU's own, bottom halves off; user space writes other words of it.
    let Some(room) = ROOM.get_ptr_mut(unsafe { bpf_get_smp_processor_id() }).map(|room| unsafe { &mut *room }) else {
        return false;
    };
    let is_in = room.has_some(now_s) && CONNECTIONS.insert(key, connection, 0).is_ok();
    if is_in {
        room.entered += 1;
    } else {
        room.refused += 1;
    }
    is_in
}

/// Whether anything is remembered of a conversation.
#[inline(always)]
pub fn is_known(conversation: &ConnectionKey) -> bool {
    CONNECTIONS.get_ptr(conversation).is_some()
}

/// The desk of this CPU.
#[inline(always)]
fn desk() -> Option<&'static mut Desk> {
    // SAFETY: no arguments; the entry is this CPU's own, bottom halves off.
    DESK.get_ptr_mut(unsafe { bpf_get_smp_processor_id() }).map(|desk| unsafe { &mut *desk })
}

/// What the rules of a slot say about what lies on the desk: the verdict in the lower half, the rule's flags in the upper.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_rules(slot: u32, epoch: u32, fresh: u32) -> u64 {
    let Some(desk) = desk() else { return 0 };
    let said = policy::by_rules(&Slot(slot), &mut Memory { now_s: 0 }, &desk.opener, epoch as u16, fresh != 0);
    u64::from(said.verdict.0) | u64::from(said.flags) << 32
}

/// Classifies what lies on the desk: a function of its own, so that the verifier goes through it once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_classify(slot: u32, from: u32, limits: u32) -> u32 {
    let Some(desk) = desk() else { return policy::BROKEN };
    policy::classify(&Slot(slot), &desk.opener, from, limits != 0)
}

/// Judges the packet that was left; the answer is a [`Verdict`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hivewall_judge(skb: *mut __sk_buff, word: u32, ticks: u64) -> u32 {
    let (Some(parsed), Some(desk)) = (left(), desk()) else {
        return Verdict::new(0, policy::Action::Drop, policy::VerdictCause::Broken as u32).0;
    };
    let word = PolicyWord(word);
    let now_s = POLICY.get_ptr(0).map_or(0, |control| {
        // SAFETY: a valid value; the word read does not change.
        unsafe { (*control).seconds(ticks) }
    });
    policy::judge(&shell::bytes(skb), parsed, word, &Slot(word.slot()), &mut Memory { now_s }, desk, now_s).0
}
