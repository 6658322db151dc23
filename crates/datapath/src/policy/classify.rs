//! From a packet to the first rule that matches it: seven rows of bits, one AND, the lowest bit.
//!
//! Cost: seven look-ups, then as many words as the AND of the summaries has bits before the first match; rules that do
//! not match cost nothing. Invariant: the answer is the one that trying the rules in order would give.

use super::judge::{Said, State, by_rules};
use super::table::{Field, KINDS, PolicyHead, Row, RuleEntry, RuleFlags, Side, kind};
use super::{Action, Limit, RULES_MAX};
use crate::{Direction, FlowKey, proto};

/// The tables of one compiled policy. `None` means that memory is broken, except where it says otherwise.
pub trait Tables {
    /// What there is one of.
    fn head(&self) -> Option<&PolicyHead>;
    /// Row by longest prefix; `None` when no prefix holds the address.
    fn prefix(&self, side: Side, address: &[u32; 4]) -> Option<u32>;
    /// Row by port.
    fn port(&self, side: Side, port: u16) -> Option<u32>;
    /// Row by interface; `None` when no rule names it.
    fn interface(&self, ifindex: u32) -> Option<u32>;
    /// The row with this number.
    fn row(&self, number: u32) -> Option<&Row>;
    /// The rule with this index.
    fn rule(&self, index: u32) -> Option<RuleEntry>;
    /// The limit with this index.
    fn limit(&self, index: u32) -> Option<Limit>;

    /// `word`, which is below [`super::ROW_WORDS`], for the kernel's verifier, which does not know that.
    #[inline(always)]
    fn bound(word: u32) -> u32 {
        word & (super::ROW_WORDS as u32 - 1)
    }

    /// [`classify`], which the kernel has in a function of its own.
    #[inline(always)]
    fn classify(&self, opener: &Opener, from: u32, limits: bool) -> u32
    where
        Self: Sized,
    {
        classify(self, opener, from, limits)
    }

    /// [`by_rules`], which the kernel has in a function of its own as well.
    #[inline(always)]
    fn by_rules<S: State>(&self, state: &mut S, opener: &Opener, epoch: u16, fresh: bool) -> Said
    where
        Self: Sized,
    {
        by_rules(self, state, opener, epoch, fresh)
    }
}

/// What is judged: a packet that begins a flow, at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Opener {
    /// Source address words.
    pub source: [u32; 4],
    /// Destination address words.
    pub destination: [u32; 4],
    /// Source port, or ICMP type.
    pub source_port: u16,
    /// Destination port, or ICMP code.
    pub destination_port: u16,
    /// Protocol number.
    pub proto: u8,
    /// TCP flags; 0 for other protocols.
    pub tcp_flags: u8,
    /// The ports are not known.
    pub portless: bool,
    /// The hook.
    pub direction: Direction,
    /// Interface index.
    pub ifindex: u32,
    /// [`kind`] of hook and protocol: beside them, since the kernel's verifier knows no enums.
    pub kind: u32,
}

impl Opener {
    /// A packet as it is.
    #[inline(always)]
    pub fn of(key: &FlowKey, tcp_flags: u8) -> Self {
        Self {
            source: key.src,
            destination: key.dst,
            source_port: key.sport,
            destination_port: key.dport,
            proto: key.proto(),
            tcp_flags,
            portless: key.is_portless(),
            direction: key.direction(),
            ifindex: key.ifindex(),
            kind: kind(key.direction(), key.proto()) as u32,
        }
    }

    /// Becomes the packet that this one answers, at the opposite hook. Type and code of ICMP do not change places.
    #[inline(always)]
    pub fn reverse(&mut self) {
        core::mem::swap(&mut self.source, &mut self.destination);
        if self.proto != proto::ICMP && self.proto != proto::ICMPV6 {
            core::mem::swap(&mut self.source_port, &mut self.destination_port);
        }
        self.direction = opposite(self.direction);
        self.kind ^= 256;
    }
}

/// The other hook.
#[inline(always)]
pub fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

/// Index that stands for "no rule matches".
pub const NO_RULE: u32 = u32::MAX;
/// Index that stands for tables that could not be read.
pub const BROKEN: u32 = u32::MAX - 1;

/// Matches walked over before a classification is given up: `pass` and port-less fragments walk on.
const STEPS_MAX: u32 = 96;

/// The rows of one packet.
struct Rows<'a> {
    rows: [&'a Row; 7],
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn of<T: Tables>(tables: &'a T, head: &PolicyHead, opener: &Opener) -> Option<Self> {
        let source = if head.uses & PolicyHead::USES_SOURCES == 0 {
            head.source_else
        } else {
            tables.prefix(Side::From, &opener.source).unwrap_or(head.source_else)
        };
        let destination = if head.uses & PolicyHead::USES_DESTINATIONS == 0 {
            head.destination_else
        } else {
            tables.prefix(Side::To, &opener.destination).unwrap_or(head.destination_else)
        };
        let (source_port, destination_port) = if opener.portless {
            (0, 0)
        } else {
            (tables.port(Side::From, opener.source_port)?, tables.port(Side::To, opener.destination_port)?)
        };
        let interface = if head.uses & PolicyHead::USES_INTERFACES == 0 {
            head.interface_else
        } else {
            tables.interface(opener.ifindex).unwrap_or(head.interface_else)
        };
        let kind = head.kinds.get(opener.kind as usize & (KINDS - 1))?;
        // Flags are as unknown as ports are: row 0 has all rules.
        let flags = if opener.portless { 0 } else { *head.flags.get(opener.tcp_flags as usize & 255)? };
        Some(Self {
            rows: [
                tables.row(source)?,
                tables.row(destination)?,
                tables.row(source_port)?,
                tables.row(destination_port)?,
                tables.row(u32::from(*kind))?,
                tables.row(u32::from(flags))?,
                tables.row(interface)?,
            ],
        })
    }

    /// Words that may have a match.
    #[inline(always)]
    fn summary(&self) -> u64 {
        let [a, b, c, d, e, f, g] = &self.rows;
        a.summary & b.summary & c.summary & d.summary & e.summary & f.summary & g.summary
    }

    /// Rules of one word that match.
    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        let [a, b, c, d, e, f, g] = &self.rows;
        word(a, at) & word(b, at) & word(c, at) & word(d, at) & word(e, at) & word(f, at) & word(g, at)
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "masked; the verifier wants to see the mask, not a branch to a panic")]
fn word(row: &Row, at: usize) -> u64 {
    row.words[at & (super::ROW_WORDS - 1)]
}

/// The first rule at or behind `from` that decides about `opener`: its index, [`NO_RULE`] or [`BROKEN`]. With `limits` also one
/// that passes and has a limit, whose flows beyond the limit it decides about.
///
/// A packet whose ports are not known is decided by the first rule that would accept it whatever its ports are, unless a
/// rule without conditions on ports refuses it before.
#[inline(always)]
pub fn classify<T: Tables>(tables: &T, opener: &Opener, from: u32, limits: bool) -> u32 {
    let Some(head) = tables.head() else { return BROKEN };
    let Some(rows) = Rows::of(tables, head, opener) else { return BROKEN };
    let summary = rows.summary();
    let mut from = from;
    // Where a packet without ports may have gone on to by a `pass` that asks for ports.
    let mut may_pass_to = 0;
    for _ in 0..STEPS_MAX {
        if from >= RULES_MAX as u32 || from >= head.rules {
            return NO_RULE;
        }
        let first = from >> 6;
        let words = summary & (u64::MAX << (first & 63));
        if words == 0 {
            return NO_RULE;
        }
        let at = T::bound(words.trailing_zeros());
        let mut bits = rows.word(at as usize);
        if at == first {
            bits &= u64::MAX << (from & 63);
        }
        if bits == 0 {
            from = (at + 1) << 6;
            continue;
        }
        let index = at << 6 | T::bound(bits.trailing_zeros());
        let Some(rule) = tables.rule(index) else { return BROKEN };
        let is_unknown = opener.portless && rule.flags & RuleFlags::PORTS != 0;
        match Action::from_number(rule.action) {
            Action::Pass if is_unknown => {
                may_pass_to = u32::from(rule.next);
                from = index + 1;
            }
            Action::Pass if limits && rule.limit != 0 => return index,
            Action::Pass => from = u32::from(rule.next),
            Action::Drop | Action::Reject if is_unknown => from = index + 1,
            Action::Drop | Action::Reject if may_pass_to > index => from = may_pass_to,
            _ => return index,
        }
    }
    BROKEN
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Source,
        Self::Destination,
        Self::SourcePort,
        Self::DestinationPort,
        Self::Kind,
        Self::Flags,
        Self::Interface,
    ];
}
