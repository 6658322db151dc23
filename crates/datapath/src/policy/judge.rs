//! What becomes of a packet whose flow has no verdict in force: bans, what every host needs, connections, rules.
//!
//! Order: guard and exemptions, bans, essentials, the flow's own entry, the tiers. Invariant: with the same tables, bans
//! and connections the answer is the same in the kernel and in user space.

use super::classify::{BROKEN, NO_RULE, Opener, Tables, classify, opposite};
use super::connection::{Connection, ConnectionKey, at_hook};
use super::table::{Limit, LimitKey, PolicyWord, RuleFlags};
use super::{Action, Verdict, VerdictCause};
use crate::parse::Parsed;
use crate::{Bytes, Direction, FlowKey, proto};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// The loopback device is the first of every network namespace (net/core/dev.c: LOOPBACK_IFINDEX).
const LOOPBACK: u32 = 1;

/// New essential flows a second, and at once, that pass.
const ESSENTIAL: Limit =
    Limit { interval_ns: 100_000, burst_ns: 1_000_000_000, per_source: 0, over: Action::Drop as u32 };

/// What is remembered beside the tables of a policy, and outlives them.
pub trait State {
    /// Whether one more flow is beyond a limit; if it is not, it is counted.
    fn is_over(&mut self, key: &LimitKey, limit: &Limit) -> bool;
    /// Whether an address is banned.
    fn is_banned(&mut self, address: &[u32; 4]) -> bool;
    /// The entry of a conversation.
    fn connection(&mut self, key: &ConnectionKey) -> Option<&mut Connection>;
    /// Makes or replaces an entry; `false` when there is no room.
    fn remember(&mut self, key: &ConnectionKey, connection: &Connection) -> bool;
}

/// A verdict. One that does not hold for the packets that follow has no epoch.
#[derive(Clone, Copy)]
struct Judged {
    verdict: Verdict,
}

impl Judged {
    #[inline(always)]
    fn holds(word: PolicyWord, action: Action, counter: u32) -> Self {
        Self { verdict: Verdict::new(word.epoch(), action, counter) }
    }

    #[inline(always)]
    fn once(action: Action, cause: VerdictCause) -> Self {
        Self { verdict: Verdict::new(0, action, cause as u32) }
    }
}

/// Judges a packet. `now_s` are seconds of a clock that never goes back.
#[inline(always)]
pub fn judge<B: Bytes, T: Tables, S: State>(
    bytes: &B,
    parsed: &Parsed,
    word: PolicyWord,
    tables: &T,
    state: &mut S,
    now_s: u32,
) -> Verdict {
    if word.epoch() == 0 {
        return Verdict(0);
    }
    let verdict = decide(bytes, parsed, word, tables, state, now_s).verdict;
    if word.has(PolicyWord::ENFORCE) || verdict.counter() == VerdictCause::Ban as u32 {
        verdict
    } else {
        verdict.observed()
    }
}

#[inline(always)]
fn decide<B: Bytes, T: Tables, S: State>(
    bytes: &B,
    parsed: &Parsed,
    word: PolicyWord,
    tables: &T,
    state: &mut S,
    now_s: u32,
) -> Judged {
    let packet = &parsed.packet;
    let key = &packet.key;
    if key.ifindex() == LOOPBACK {
        return Judged::holds(word, Action::Accept, VerdictCause::Essential as u32);
    }
    let opener = Opener::of(key, packet.tcp_flags);
    if word.has(PolicyWord::BANS) {
        let peer = if matches!(opener.direction, Direction::Ingress) { &key.src } else { &key.dst };
        if state.is_banned(peer) {
            return banned(word, tables, &opener);
        }
    }
    if !word.has(PolicyWord::TABLES) {
        return Judged::holds(word, Action::Accept, VerdictCause::NoPolicy as u32);
    }
    if is_essential(bytes, parsed, key) {
        let over =
            state.is_over(&LimitKey { counter: VerdictCause::Essential as u32, ..LimitKey::default() }, &ESSENTIAL);
        return if over {
            Judged::once(Action::Drop, VerdictCause::EssentialOver)
        } else {
            Judged::once(Action::Accept, VerdictCause::Essential)
        };
    }
    if opener.portless {
        return fragment(word, tables, &opener);
    }
    if let Some(judged) = related(bytes, parsed, word, tables, state, &opener, now_s) {
        return judged;
    }
    follow(word, tables, state, key, &opener, now_s)
}

/// A banned address passes where guard or exemptions hold.
#[inline(always)]
fn banned<T: Tables>(word: PolicyWord, tables: &T, opener: &Opener) -> Judged {
    if word.has(PolicyWord::TABLES)
        && let Some(head) = tables.head()
        && head.before_bans > 0
    {
        let index = classify(tables, opener, 0);
        if index < head.before_bans
            && let Some(rule) = tables.rule(index)
        {
            return Judged::holds(word, Action::from_number(rule.action), u32::from(rule.counter));
        }
    }
    Judged::holds(word, Action::Drop, VerdictCause::Ban as u32)
}

/// A later fragment whose first one was not seen. It can only complete a datagram whose first fragment passes as well,
/// so that it is let through if the datagram could be accepted, be it as a reply.
#[inline(always)]
fn fragment<T: Tables>(word: PolicyWord, tables: &T, opener: &Opener) -> Judged {
    for opener in [*opener, opener.reversed()] {
        let index = classify(tables, &opener, 0);
        if index == BROKEN {
            return Judged::once(Action::Drop, VerdictCause::Broken);
        }
        let Some(rule) = (index != NO_RULE).then(|| tables.rule(index)).flatten() else {
            return Judged::holds(word, Action::Accept, VerdictCause::NoPolicy as u32);
        };
        if Action::from_number(rule.action) == Action::Accept {
            return Judged::holds(word, Action::Accept, u32::from(rule.counter));
        }
    }
    Judged::holds(word, Action::Drop, VerdictCause::Fragment as u32)
}

/// What the rules say about a packet that begins a flow. Limits count when it is `fresh`.
#[inline(always)]
fn by_rules<T: Tables, S: State>(
    word: PolicyWord,
    tables: &T,
    state: &mut S,
    opener: &Opener,
    fresh: bool,
) -> (Judged, u8) {
    let mut from = 0;
    // A limit that passes goes on behind its rule; a chain of more than a few is refused by the compiler.
    for _ in 0..PASSING_LIMITS_MAX {
        let index = classify(tables, opener, from);
        if index == NO_RULE {
            return (Judged::holds(word, Action::Accept, VerdictCause::NoPolicy as u32), 0);
        }
        let Some(rule) = tables.rule(index) else {
            return (Judged::once(Action::Drop, VerdictCause::Broken), 0);
        };
        if fresh
            && rule.limit != 0
            && let Some(limit) = tables.limit(u32::from(rule.limit) - 1)
        {
            let source = if limit.per_source == 0 { [0; 4] } else { opener.source };
            if state.is_over(&LimitKey { source, counter: u32::from(rule.counter), pad: 0 }, &limit) {
                match Action::from_number(limit.over as u8) {
                    Action::Pass => {
                        from = index + 1;
                        continue;
                    }
                    over => return (Judged::once(over, VerdictCause::OverLimit), 0),
                }
            }
        }
        return (Judged::holds(word, Action::from_number(rule.action), u32::from(rule.counter)), rule.flags);
    }
    (Judged::once(Action::Drop, VerdictCause::OverLimit), 0)
}

/// Limits with `over: pass` that one packet may meet.
pub const PASSING_LIMITS_MAX: u32 = 4;

/// By the flow's entry, or by the rules, which make one.
#[inline(always)]
fn follow<T: Tables, S: State>(
    word: PolicyWord,
    tables: &T,
    state: &mut S,
    key: &FlowKey,
    opener: &Opener,
    now_s: u32,
) -> Judged {
    let (conversation, from_high) = ConnectionKey::of(key);
    let is_syn = opener.proto == proto::TCP && opener.tcp_flags & (SYN | ACK) == SYN;
    let known = state.connection(&conversation).map(|entry| *entry).filter(|entry| entry.is_live(opener.proto, now_s));
    if let Some(mut entry) = known {
        let is_initiator = (entry.flags & Connection::FROM_HIGH != 0) == from_high;
        let hook = if is_initiator { opener.direction } else { opposite(opener.direction) };
        let stands = entry.verdict(hook);
        // A SYN begins a connection, unless it is the very one that began this.
        let begins = is_syn && (!is_initiator || entry.is_closing() || stands.epoch() != word.epoch());
        if stands.0 != 0 && !begins {
            let verdict = renewed(word, tables, state, &mut entry, hook, is_initiator, opener);
            entry.visit(is_initiator, opener.tcp_flags, now_s);
            state.remember(&conversation, &entry);
            return Judged { verdict };
        }
        if stands.0 == 0 && is_initiator && !begins {
            // The same packet at its other hook.
            let (judged, flags) = by_rules(word, tables, state, opener, true);
            admit(&mut entry, opener.direction, judged, flags);
            entry.visit(true, opener.tcp_flags, now_s);
            state.remember(&conversation, &entry);
            return judged;
        }
    }
    let (judged, flags) = by_rules(word, tables, state, opener, true);
    // Where refusals are only counted the flow goes on, and its replies are to be counted with it.
    if judged.verdict.is_judged() && !(judged.verdict.is_refusal() && word.has(PolicyWord::ENFORCE)) {
        let side = if from_high { Connection::FROM_HIGH } else { 0 };
        let first = if is_icmp(opener.proto) { opener.source_port as u8 } else { opener.tcp_flags };
        let mut entry = Connection { verdicts: [0; 2], last: now_s, flags: side | u32::from(first) << 16 };
        admit(&mut entry, opener.direction, judged, flags);
        entry.visit(true, opener.tcp_flags, now_s);
        state.remember(&conversation, &entry);
    }
    judged
}

#[inline(always)]
fn is_icmp(number: u8) -> bool {
    number == proto::ICMP || number == proto::ICMPV6
}

/// Notes what the rules said at a hook.
#[inline(always)]
fn admit(entry: &mut Connection, hook: Direction, judged: Judged, flags: u8) {
    entry.set_verdict(hook, judged.verdict);
    if flags & RuleFlags::KEEP != 0 {
        entry.flags |= at_hook(Connection::KEEP, hook);
    }
    if flags & RuleFlags::RESET != 0 {
        entry.flags |= at_hook(Connection::RESET, hook);
    }
}

/// The verdict of an entry, judged once more when the policy changed since.
#[inline(always)]
fn renewed<T: Tables, S: State>(
    word: PolicyWord,
    tables: &T,
    state: &mut S,
    entry: &mut Connection,
    hook: Direction,
    is_initiator: bool,
    opener: &Opener,
) -> Verdict {
    let stands = entry.verdict(hook);
    if stands.epoch() == word.epoch() {
        return stands;
    }
    if entry.flags & at_hook(Connection::KEEP, hook) != 0 && !stands.is_refusal() {
        let verdict = stands.at(word.epoch());
        entry.set_verdict(hook, verdict);
        return verdict;
    }
    let mut first = if is_initiator { *opener } else { opener.reversed() };
    if is_icmp(first.proto) {
        first.source_port = u16::from(entry.first_byte());
    } else {
        first.tcp_flags = entry.first_byte();
    }
    let (judged, flags) = by_rules(word, tables, state, &first, false);
    let mut verdict = judged.verdict;
    let is_reset = entry.flags & at_hook(Connection::RESET, hook) != 0 && first.proto == proto::TCP;
    if verdict.is_refusal() && is_reset && !stands.is_refusal() {
        verdict = Verdict::new(word.epoch(), Action::Reject, verdict.counter());
    }
    entry.flags &= !(at_hook(Connection::KEEP, hook) | at_hook(Connection::RESET, hook));
    admit(entry, hook, Judged { verdict }, flags);
    verdict
}

/// Whether a packet is one that every host needs, whatever its policy says.
#[inline(always)]
fn is_essential<B: Bytes>(bytes: &B, parsed: &Parsed, key: &FlowKey) -> bool {
    if key.is_portless() {
        return false;
    }
    let (kind, code) = (key.sport, key.dport);
    match key.proto() {
        // RFC 792: fragmentation needed, time exceeded.
        proto::ICMP => kind == 3 && code == 4 || kind == 11,
        proto::ICMPV6 => match kind {
            // RFC 4443: errors. RFC 2710, RFC 3810: multicast listeners.
            1..=4 | 130..=132 | 143 => true,
            // RFC 4861 §6.1, §7.1: neighbour discovery comes from the link, or it is none.
            133..=136 => bytes.read::<1>(parsed.ip_at + 7) == Some([255]),
            _ => false,
        },
        // RFC 2131, RFC 8415: this host as a client.
        proto::UDP => {
            let (client, server) = match key.direction() {
                Direction::Ingress => (key.dport, key.sport),
                Direction::Egress => (key.sport, key.dport),
            };
            if key.is_v6() { client == 546 && server == 547 } else { client == 68 && server == 67 }
        }
        _ => false,
    }
}

/// An ICMP error (RFC 792: unreachable, quench, parameter problem) about a packet of a flow that is accepted.
#[inline(always)]
fn related<B: Bytes, T: Tables, S: State>(
    bytes: &B,
    parsed: &Parsed,
    word: PolicyWord,
    tables: &T,
    state: &mut S,
    opener: &Opener,
    now_s: u32,
) -> Option<Judged> {
    if opener.proto != proto::ICMP || !matches!(opener.source_port, 3 | 4 | 12) {
        return None;
    }
    let (conversation, from_high, inner) = embedded(bytes, parsed, opener)?;
    let mut entry = *state.connection(&conversation)?;
    if !entry.is_live(inner.proto, now_s) {
        return None;
    }
    let is_initiator = (entry.flags & Connection::FROM_HIGH != 0) == from_high;
    // `inner` went the other way: it passed the other hook.
    let hook = if is_initiator { inner.direction } else { opposite(inner.direction) };
    if entry.verdict(hook).0 == 0 {
        return None;
    }
    let verdict = renewed(word, tables, state, &mut entry, hook, is_initiator, &inner);
    state.remember(&conversation, &entry);
    (!verdict.is_refusal()).then(|| Judged::once(Action::Accept, VerdictCause::Related))
}

/// The packet that an ICMP error carries.
#[inline(always)]
fn embedded<B: Bytes>(bytes: &B, parsed: &Parsed, opener: &Opener) -> Option<(ConnectionKey, bool, Opener)> {
    // Four bytes of type, code and checksum were read as the header; four more are the error's own.
    let at = parsed.payload_at + 4;
    let [vihl, _, _, _, _, _, f0, f1, _, number, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = bytes.read::<20>(at)?;
    let header = usize::from(vihl & 0xf) * 4;
    let is_later = u16::from_be_bytes([f0, f1]) & 0x1fff != 0;
    if vihl >> 4 != 4 || header < 20 || is_later || at + header + 4 > parsed.end {
        return None;
    }
    let [p0, p1, q0, q1] = bytes.read::<4>(at + header)?;
    let mut inner = Opener {
        source: crate::key::mapped([s0, s1, s2, s3]),
        destination: crate::key::mapped([d0, d1, d2, d3]),
        source_port: u16::from_be_bytes([p0, p1]),
        destination_port: u16::from_be_bytes([q0, q1]),
        proto: number,
        tcp_flags: 0,
        portless: false,
        direction: opposite(opener.direction),
        ifindex: opener.ifindex,
    };
    let (mut source_port, mut destination_port) = (inner.source_port, inner.destination_port);
    match number {
        proto::TCP | proto::UDP | proto::SCTP | proto::DCCP | proto::UDPLITE => {}
        proto::ICMP if matches!(p0, 0 | 8) => {
            (source_port, destination_port) = (0, 0);
            (inner.source_port, inner.destination_port) = (u16::from(p0), 0);
        }
        _ => return None,
    }
    let (key, from_high) = ConnectionKey::new(inner.source, source_port, inner.destination, destination_port, number);
    Some((key, from_high, inner))
}
