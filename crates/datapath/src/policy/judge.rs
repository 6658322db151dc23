//! What becomes of a packet whose flow has no verdict in force: bans, what every host needs, connections, rules.
//!
//! Order: guard and exemptions, bans, essentials, the flow's own entry, the tiers. Invariant: with the same tables, bans
//! and connections the answer is the same in the kernel and in user space.

use super::classify::{BROKEN, NO_RULE, Opener, Tables, opposite};
use super::connection::{Connection, ConnectionKey, at_hook};
use super::table::{Limit, LimitKey, PolicyWord, RuleFlags, kind};
use super::{Action, Verdict, VerdictCause};
use crate::key::mapped;
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

/// Where a packet lies while it is judged: too large for the kernel's stack. What it holds is of no use afterwards.
#[derive(Clone, Copy, Debug, Default)]
pub struct Desk {
    /// What is asked of the rules.
    pub opener: Opener,
    conversation: ConnectionKey,
    entry: Connection,
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
    desk: &mut Desk,
    now_s: u32,
) -> Verdict {
    if word.epoch() == 0 {
        return Verdict(0);
    }
    let verdict = decide(bytes, parsed, word, tables, state, desk, now_s).verdict;
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
    desk: &mut Desk,
    now_s: u32,
) -> Judged {
    let packet = &parsed.packet;
    let key = &packet.key;
    if key.ifindex() == LOOPBACK {
        return Judged::holds(word, Action::Accept, VerdictCause::Essential as u32);
    }
    desk.opener = Opener::of(key, packet.tcp_flags);
    if word.has(PolicyWord::BANS) {
        let peer = if matches!(key.direction(), Direction::Ingress) { &key.src } else { &key.dst };
        if state.is_banned(peer) {
            return banned(word, tables, desk);
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
    if key.is_portless() {
        return fragment(word, tables, desk);
    }
    follow(bytes, parsed, word, tables, state, desk, now_s)
}

/// A banned address passes where guard or exemptions hold, for the packet itself or for the one that it answers: else
/// the session they are there for would get no answer.
#[inline(always)]
fn banned<T: Tables>(word: PolicyWord, tables: &T, desk: &mut Desk) -> Judged {
    if word.has(PolicyWord::TABLES)
        && let Some(head) = tables.head()
        && head.before_bans > 0
    {
        let before_bans = head.before_bans;
        for _ in 0..2 {
            let index = tables.classify(&desk.opener, 0, false);
            if index < before_bans
                && let Some(rule) = tables.rule(index)
            {
                return Judged::holds(word, Action::from_number(rule.action), u32::from(rule.counter));
            }
            desk.opener.reverse();
        }
    }
    Judged::holds(word, Action::Drop, VerdictCause::Ban as u32)
}

/// A later fragment whose first one was not seen. It can only complete a datagram whose first fragment passes as well,
/// so that it is let through if the datagram could be accepted, be it as a reply.
#[inline(always)]
fn fragment<T: Tables>(word: PolicyWord, tables: &T, desk: &mut Desk) -> Judged {
    for _ in 0..2 {
        let index = tables.classify(&desk.opener, 0, false);
        if index == BROKEN {
            return Judged::once(Action::Drop, VerdictCause::Broken);
        }
        let Some(rule) = (index != NO_RULE).then(|| tables.rule(index)).flatten() else {
            return Judged::holds(word, Action::Accept, VerdictCause::NoPolicy as u32);
        };
        if Action::from_number(rule.action) == Action::Accept {
            return Judged::holds(word, Action::Accept, u32::from(rule.counter));
        }
        desk.opener.reverse();
    }
    Judged::holds(word, Action::Drop, VerdictCause::Fragment as u32)
}

/// What the rules say about a packet that begins a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The verdict. One that does not hold for the packets that follow has no epoch.
    pub verdict: Verdict,
    /// [`RuleFlags`] of the rule.
    pub flags: u8,
}

impl Said {
    #[inline(always)]
    fn once(action: Action, cause: VerdictCause) -> Self {
        Self { verdict: Judged::once(action, cause).verdict, flags: 0 }
    }
}

/// What the rules say about a packet that begins a flow. Limits count when it is `fresh`.
#[inline(always)]
pub fn by_rules<T: Tables, S: State>(tables: &T, state: &mut S, opener: &Opener, epoch: u16, fresh: bool) -> Said {
    let mut from = 0;
    // A limit that passes goes on behind its rule; a chain of more than a few is refused by the compiler.
    for _ in 0..LIMITS_MET_MAX {
        let index = tables.classify(opener, from, true);
        if index == NO_RULE {
            let verdict = Verdict::new(epoch, Action::Accept, VerdictCause::NoPolicy as u32);
            return Said { verdict, flags: 0 };
        }
        let Some(rule) = tables.rule(index) else { return Said::once(Action::Drop, VerdictCause::Broken) };
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
                    over => return Said::once(over, VerdictCause::OverLimit),
                }
            }
        }
        let action = Action::from_number(rule.action);
        if action == Action::Pass {
            // Within its limit it is for the next tier to decide.
            from = u32::from(rule.next);
            continue;
        }
        let verdict = Verdict::new(epoch, action, u32::from(rule.counter));
        return Said { verdict, flags: rule.flags };
    }
    Said::once(Action::Drop, VerdictCause::OverLimit)
}

/// Limits with `over: pass` that one packet may meet.
pub const PASSING_LIMITS_MAX: u32 = 4;

/// Those, and one rule that passes with a limit: the compiler lets no packet meet more.
const LIMITS_MET_MAX: u32 = PASSING_LIMITS_MAX + 1;

/// By the flow's entry, or by the rules, which make one. An ICMP error goes by the entry of the flow that it is about.
#[inline(always)]
fn follow<B: Bytes, T: Tables, S: State>(
    bytes: &B,
    parsed: &Parsed,
    word: PolicyWord,
    tables: &T,
    state: &mut S,
    desk: &mut Desk,
    now_s: u32,
) -> Judged {
    let key = &parsed.packet.key;
    let tcp_flags = parsed.packet.tcp_flags;
    let epoch = word.epoch();
    let mut from_high = desk.conversation.set(key);
    let is_error = is_error(key);
    if is_error && !embedded(bytes, parsed, desk, &mut from_high) {
        return Judged { verdict: tables.by_rules(state, &desk.opener, epoch, true).verdict.at(0) };
    }
    let is_syn = desk.opener.proto == proto::TCP && tcp_flags & (SYN | ACK) == SYN;
    let side = if from_high { Connection::FROM_HIGH } else { 0 };
    desk.entry = Connection { verdicts: [0; 2], last: now_s, flags: side };
    if let Some(known) = state.connection(&desk.conversation)
        && known.is_live(desk.opener.proto, now_s)
    {
        let is_initiator = known.flags & Connection::FROM_HIGH == side;
        let hook = if is_initiator { desk.opener.direction } else { opposite(desk.opener.direction) };
        let stands = known.verdict(hook);
        // A SYN begins a connection, unless it is the very one that began this, which when forwarded comes to both hooks.
        let is_old = stands.0 != 0 && stands.epoch() != epoch;
        let begins = is_syn && !is_error && (!is_initiator || known.is_closing() || is_old);
        if stands.0 != 0 && !begins {
            desk.entry = *known;
            let verdict = renewed(tables, state, desk, hook, is_initiator, epoch);
            if !is_error {
                desk.entry.visit(is_initiator, tcp_flags, now_s);
            }
            state.remember(&desk.conversation, &desk.entry);
            if !is_error {
                return Judged { verdict };
            }
            if !verdict.is_refusal() {
                return Judged::once(Action::Accept, VerdictCause::Related);
            }
        } else if stands.0 == 0 && is_initiator && !begins {
            // The same packet at its other hook.
            desk.entry = *known;
        }
    }
    if is_error {
        desk.opener = Opener::of(key, tcp_flags);
        return Judged { verdict: tables.by_rules(state, &desk.opener, epoch, true).verdict.at(0) };
    }
    let said = tables.by_rules(state, &desk.opener, epoch, true);
    // Where refusals are only counted the flow goes on, and its replies are to be counted with it.
    if said.verdict.is_judged() && !(said.verdict.is_refusal() && word.has(PolicyWord::ENFORCE)) {
        let [ingress, egress] = desk.entry.verdicts;
        if ingress | egress == 0 {
            let first = if is_icmp(key.proto()) { key.sport as u8 } else { tcp_flags };
            desk.entry.flags |= u32::from(first) << 16;
        }
        admit(&mut desk.entry, key.direction(), said);
        desk.entry.visit(true, tcp_flags, now_s);
        state.remember(&desk.conversation, &desk.entry);
    }
    Judged { verdict: said.verdict }
}

#[inline(always)]
fn is_icmp(number: u8) -> bool {
    number == proto::ICMP || number == proto::ICMPV6
}

/// Notes what the rules said at a hook.
#[inline(always)]
fn admit(entry: &mut Connection, hook: Direction, said: Said) {
    entry.set_verdict(hook, said.verdict);
    if said.flags & RuleFlags::KEEP != 0 {
        entry.flags |= at_hook(Connection::KEEP, hook);
    }
    if said.flags & RuleFlags::RESET != 0 {
        entry.flags |= at_hook(Connection::RESET, hook);
    }
}

/// The verdict of the desk's entry, judged once more when the policy changed since: the desk's packet becomes the flow's
/// first one.
#[inline(always)]
fn renewed<T: Tables, S: State>(
    tables: &T,
    state: &mut S,
    desk: &mut Desk,
    hook: Direction,
    is_initiator: bool,
    epoch: u16,
) -> Verdict {
    let stands = desk.entry.verdict(hook);
    if stands.epoch() == epoch {
        return stands;
    }
    if desk.entry.flags & at_hook(Connection::KEEP, hook) != 0 && !stands.is_refusal() {
        let verdict = stands.at(epoch);
        desk.entry.set_verdict(hook, verdict);
        return verdict;
    }
    if !is_initiator {
        desk.opener.reverse();
    }
    if is_icmp(desk.opener.proto) {
        desk.opener.source_port = u16::from(desk.entry.first_byte());
    } else {
        desk.opener.tcp_flags = desk.entry.first_byte();
    }
    let mut said = tables.by_rules(state, &desk.opener, epoch, false);
    let is_reset = desk.entry.flags & at_hook(Connection::RESET, hook) != 0 && desk.opener.proto == proto::TCP;
    if said.verdict.is_refusal() && is_reset && !stands.is_refusal() {
        said.verdict = Verdict::new(epoch, Action::Reject, said.verdict.counter());
    }
    desk.entry.flags &= !(at_hook(Connection::KEEP, hook) | at_hook(Connection::RESET, hook));
    admit(&mut desk.entry, hook, said);
    said.verdict
}

/// Whether more than the rules and the packet's own conversation decides about a packet: it is a fragment (a later one
/// may go by what is known of the first), an error that may be about an accepted flow, or one that every host needs.
#[inline(always)]
pub fn decided_elsewhere<B: Bytes>(bytes: &B, parsed: &Parsed) -> bool {
    let key = &parsed.packet.key;
    parsed.fragmented || is_error(key) || is_essential(bytes, parsed, key)
}

/// Whether it is an ICMP error (RFC 792: unreachable, quench, parameter problem).
#[inline(always)]
fn is_error(key: &FlowKey) -> bool {
    key.proto() == proto::ICMP && matches!(key.sport, 3 | 4 | 12)
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

/// Turns to the packet that an ICMP error carries, which went the other way; `false` when there is none.
#[inline(always)]
fn embedded<B: Bytes>(bytes: &B, parsed: &Parsed, desk: &mut Desk, from_high: &mut bool) -> bool {
    // A later fragment carries a piece of something, and no header of the error: whatever it says proves nothing.
    if parsed.transport_at == parsed.payload_at {
        return false;
    }
    // Four bytes of type, code and checksum were read as the header; four more are the error's own.
    let at = parsed.payload_at + 4;
    let Some(header) = bytes.read::<20>(at) else { return false };
    let [vihl, _, _, _, _, _, f0, f1, _, number, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let header_len = usize::from(vihl & 0xf) * 4;
    let is_later = u16::from_be_bytes([f0, f1]) & 0x1fff != 0;
    if vihl >> 4 != 4 || header_len < 20 || is_later || at + header_len + 4 > parsed.end {
        return false;
    }
    let Some([p0, p1, q0, q1]) = bytes.read::<4>(at + header_len) else { return false };
    let (source, destination) = (mapped([s0, s1, s2, s3]), mapped([d0, d1, d2, d3]));
    let (mut source_port, mut destination_port) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([q0, q1]));
    match number {
        proto::TCP | proto::UDP | proto::SCTP | proto::DCCP | proto::UDPLITE => {}
        proto::ICMP if p0 == 0 || p0 == 8 => (source_port, destination_port) = (0, 0),
        _ => return false,
    }
    let subject = &mut desk.opener;
    subject.source = source;
    subject.destination = destination;
    subject.source_port = source_port;
    subject.destination_port = destination_port;
    subject.proto = number;
    subject.direction = opposite(subject.direction);
    subject.kind = kind(subject.direction, number) as u32;
    *from_high = desk.conversation.set_ends(source, source_port, destination, destination_port, number);
    true
}
