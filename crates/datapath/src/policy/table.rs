//! The tables a policy is compiled to, as `repr(C)` integers.
//!
//! A rule is a bit. Each field of a packet is mapped to a *row* of bits, which says for every rule whether it can match
//! a packet with that value; the AND of all seven rows has exactly the rules that match, and its lowest bit is the
//! first of them in document order. Rows carry a summary of their 64 words, so that few words are ever looked at.

use crate::{Direction, FlowKey};

/// Rules of one compiled policy: those of the document, defaults, guard and exemptions.
pub const RULES_MAX: usize = 4096;
/// Words of a row.
pub const ROW_WORDS: usize = RULES_MAX / 64;
/// Rows of one compiled policy, all fields together.
pub const ROWS_MAX: usize = 1 << 16;
/// Limits of one compiled policy.
pub const LIMITS_MAX: usize = RULES_MAX;
/// Entries of [`PolicyHead::kinds`]: protocol numbers, for both hooks.
pub const KINDS: usize = 512;

/// Which rules can match a packet with one value of one field. Row 0 of every policy has all rules: it stands for a field
/// that no rule looks at, and for ports that are not known (a later fragment without its first).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Bit `i` is set when `words[i]` is not 0.
    pub summary: u64,
    /// Bit `i % 64` of word `i / 64` is rule `i`.
    pub words: [u64; ROW_WORDS],
}

impl Default for Row {
    fn default() -> Self {
        Self { summary: 0, words: [0; ROW_WORDS] }
    }
}

/// Source or destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Side {
    /// Source.
    From = 0,
    /// Destination.
    To = 1,
}

/// What a packet is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Field {
    /// Source address: longest prefix.
    Source = 0,
    /// Destination address: longest prefix.
    Destination = 1,
    /// Source port, or ICMP type.
    SourcePort = 2,
    /// Destination port, or ICMP code.
    DestinationPort = 3,
    /// Hook and protocol: see [`kind`].
    Kind = 4,
    /// TCP flags; 0 for other protocols.
    Flags = 5,
    /// Interface.
    Interface = 6,
}

/// The index into [`PolicyHead::kinds`].
#[inline(always)]
pub fn kind(direction: Direction, proto: u8) -> usize {
    let hook = if matches!(direction, Direction::Egress) { 256 } else { 0 };
    hook | proto as usize
}

/// An address of a prefix trie: 128 bits, IPv4 mapped, so that an IPv4 prefix of length n has 96 + n.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Address {
    /// Significant bits, 0–128.
    pub prefix_len: u32,
    /// Network byte order.
    pub words: [u32; 4],
}

const _: () = assert!(size_of::<Address>() == 20);

/// What a compiled policy has besides rows, rules and tries.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyHead {
    /// Rules there are; a packet that matches none is accepted.
    pub rules: u32,
    /// Rules before this index are guard and exemptions: they come before bans.
    pub before_bans: u32,
    /// Row of a source that no prefix of the trie holds.
    pub source_else: u32,
    /// Row of a destination that no prefix of the trie holds.
    pub destination_else: u32,
    /// Row of an interface that no rule names.
    pub interface_else: u32,
    /// Bit 0: the trie of sources has entries; bit 1: that of destinations; bit 2: interfaces are named.
    pub uses: u32,
    _pad: [u32; 2],
    /// Row by [`kind`].
    pub kinds: [u16; KINDS],
    /// Row by TCP flags.
    pub flags: [u16; 256],
}

const _: () = assert!(size_of::<PolicyHead>() == 32 + 1024 + 512);

impl PolicyHead {
    /// [`PolicyHead::uses`]: sources are in the trie.
    pub const USES_SOURCES: u32 = 1;
    /// [`PolicyHead::uses`]: destinations are in the trie.
    pub const USES_DESTINATIONS: u32 = 2;
    /// [`PolicyHead::uses`]: interfaces are named.
    pub const USES_INTERFACES: u32 = 4;
}

impl Default for PolicyHead {
    /// No rules: everything is accepted.
    fn default() -> Self {
        Self {
            rules: 0,
            before_bans: 0,
            source_else: 0,
            destination_else: 0,
            interface_else: 0,
            uses: 0,
            _pad: [0; 2],
            kinds: [0; KINDS],
            flags: [0; 256],
        }
    }
}

/// Bits of [`RuleEntry::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleFlags;

impl RuleFlags {
    /// The rule has conditions on ports (or on type and code), so that a packet without them may or may not match.
    pub const PORTS: u8 = 1;
    /// A flow that this rule accepted stays accepted when the policy changes.
    pub const KEEP: u8 = 2;
    /// A TCP flow that this rule accepted is reset when a new policy refuses it.
    pub const RESET: u8 = 4;
}

/// One rule as the datapath has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RuleEntry {
    /// An [`crate::policy::Action`].
    pub action: u8,
    /// [`RuleFlags`].
    pub flags: u8,
    /// Index into the limits, plus 1; 0 for none.
    pub limit: u16,
    /// For `pass`: the rule at which the next tier begins.
    pub next: u16,
    /// Its counter, from [`crate::policy::VerdictCause::RULES_FROM`] on. It stays with the rule's id over all updates.
    pub counter: u16,
}

/// A limit: new flows a second. A flow that was let through is not limited again.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limit {
    /// Nanoseconds between two flows at the limit's rate, at least 1.
    pub interval_ns: u64,
    /// How far ahead of that rate a burst may run, nanoseconds: (burst − 1) × interval.
    pub burst_ns: u64,
    /// 1: each source address has a limit of its own; 0: one for the rule.
    pub per_source: u32,
    /// An [`crate::policy::Action`] for what is beyond; `Pass` goes on to the rules behind this one.
    pub over: u32,
}

impl Limit {
    /// One more flow at `now_ns`: when the next one is due after it, or `None` when it is beyond the limit. `due` is what
    /// the flow before was told, 0 for the first one. (The generic cell rate algorithm, ITU-T I.371.)
    #[inline(always)]
    pub fn next(&self, due: u64, now_ns: u64) -> Option<u64> {
        let due = if due > now_ns { due } else { now_ns };
        (due - now_ns <= self.burst_ns).then_some(due + self.interval_ns)
    }
}

/// Whose limit it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct LimitKey {
    /// Source address words, 0 when the limit is the rule's.
    pub source: [u32; 4],
    /// The rule's counter.
    pub counter: u32,
    /// 0.
    pub pad: u32,
}

/// Which tables hold, and since when: epoch in bits 0–15 (0: nothing is judged), slot of the tables in 16–17, then flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PolicyWord(pub u32);

impl PolicyWord {
    /// Refusals are carried out; otherwise only counted.
    pub const ENFORCE: u32 = 1 << 20;
    /// There are tables in the slot; otherwise only bans hold.
    pub const TABLES: u32 = 1 << 21;
    /// There are bans.
    pub const BANS: u32 = 1 << 22;

    /// The epoch.
    #[inline(always)]
    pub fn epoch(self) -> u16 {
        self.0 as u16
    }

    /// The slot of the tables.
    #[inline(always)]
    pub fn slot(self) -> u32 {
        self.0 >> 16 & 3
    }

    /// Whether one of the flags is set.
    #[inline(always)]
    pub fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// What decides which tables hold. User space writes it; a change of `word` is one store, and with it the change of the
/// policy.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PolicyControl {
    /// The [`PolicyWord`] in force.
    pub word: u32,
    /// The one that is in force again when `deadline` has passed.
    pub fallback: u32,
    /// Ticks of the kernel's clock (64 bits) until which `word` has to be confirmed; 0 when it need not be. The datapath
    /// itself looks at it, so that a change is taken back even when no agent runs.
    pub deadline: u64,
    /// Ticks by which a second is counted.
    pub ticks_per_second: u32,
    _pad: [u32; 11],
}

const _: () = assert!(size_of::<PolicyControl>() == 64);

impl PolicyControl {
    /// Seconds of the kernel's clock.
    #[inline(always)]
    pub fn seconds(&self, ticks: u64) -> u32 {
        let per_second = if self.ticks_per_second == 0 { 1 } else { self.ticks_per_second };
        (ticks / u64::from(per_second)) as u32
    }

    /// What holds at a time.
    #[inline(always)]
    pub fn at(&self, ticks: u64) -> PolicyWord {
        let late = self.deadline != 0 && ticks >= self.deadline;
        PolicyWord(if late { self.fallback } else { self.word })
    }
}

impl Address {
    /// A prefix: `prefix_len` counts from the first of 128 bits; bits beyond it are cleared.
    pub fn new(words: [u32; 4], prefix_len: u32) -> Self {
        let mut left = prefix_len;
        let words = words.map(|word| {
            let bits = left.min(32);
            left -= bits;
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            word & mask.to_be()
        });
        Self { prefix_len, words }
    }

    /// A whole address.
    #[inline(always)]
    pub fn host(words: [u32; 4]) -> Self {
        Self { prefix_len: 128, words }
    }
}

impl Side {
    /// The address on this side of a flow.
    #[inline(always)]
    pub fn of(self, key: &FlowKey) -> [u32; 4] {
        match self {
            Self::From => key.src,
            Self::To => key.dst,
        }
    }
}
