//! Is this source banned, or denied whatever it sends? Asked for each packet at the driver (XDP); of bans again where
//! packets are judged.
//!
//! Holds the layout of the ban tables and the questions asked of them, for kernel and user space alike; who is banned,
//! by whom and until when is kept in user space, and so is which rule denies what. IPv4 costs one load from a table that
//! has two bits for each /24, unless something longer than a /24 is banned there; IPv6 costs two loads from a bloom filter.
//! Deny sets share both. Invariants: the tables in front never say "no" about an address that the tables behind them hold;
//! of a denied source nothing is dropped here that would pass where packets are judged.

use crate::key::{mapped, proto, words};
use crate::parse;
use crate::policy::{Address, ConnectionKey, decided_elsewhere};
use crate::{Bytes, Direction, FragmentId, Fragments, Frame, Link};

/// Words of the table of /24 networks: two bits each, 32 in a word.
pub const BAN_TABLE_WORDS: u32 = (1 << 24) / BAN_CELLS;
/// Networks in one word of that table.
pub const BAN_CELLS: u32 = 32;
/// Words of the bloom filter for IPv6; a power of two.
pub const BAN_BLOOM_WORDS: u32 = 1 << 18;
/// Single addresses there can be among the bans.
pub const BAN_HOSTS_MAX: u32 = 1 << 20;
/// Prefixes there can be among the bans: IPv4 longer than /24, and all of IPv6; single addresses aside.
pub const BAN_NETS_MAX: u32 = 1 << 20;
/// Prefixes that are never refused at the front.
pub const BAN_EXEMPT_MAX: u32 = 1 << 16;
/// Prefixes and single addresses there can be in the deny sets at the front.
pub const DENY_NETS_MAX: u32 = 1 << 20;
/// IPv6 prefixes shorter than this are not looked for before all else: every packet would pay for them.
pub const DENY_V6_MIN: u8 = 32;

/// What the table says of a /24.
pub mod cell {
    /// Nothing in it is banned.
    pub const FREE: u64 = 0;
    /// All of it is banned.
    pub const BANNED: u64 = 1;
    /// Something in it is banned: look further.
    pub const PARTLY: u64 = 2;
    /// Something in it is in a deny set, and something may be banned: look further for both.
    pub const DENIED: u64 = 3;
}

/// The value of a prefix in a trie: of which family it is. Both share a trie, where a short IPv6 prefix would hold mapped
/// IPv4 addresses as well.
pub mod family {
    /// An IPv4 prefix.
    pub const IPV4: u32 = 0;
    /// An IPv6 prefix.
    pub const IPV6: u32 = 1;
}

/// The value of a denied prefix: the counter of the rule that denies it, and of which [`family`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial(pub u32);

impl Denial {
    /// A rule's counter and a family.
    pub fn new(counter: u16, family: u32) -> Self {
        Self(u32::from(counter) << 1 | family & 1)
    }

    /// The rule's counter.
    #[inline(always)]
    pub fn counter(self) -> u32 {
        self.0 >> 1
    }

    /// The [`family`] of the prefix.
    #[inline(always)]
    pub fn family(self) -> u32 {
        self.0 & 1
    }
}

/// Bits of [`FrontControl::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontFlags;

impl FrontFlags {
    /// There are IPv4 bans, or denied IPv4 prefixes.
    pub const IPV4: u64 = 1;
    /// There are IPv6 bans, or denied IPv6 prefixes.
    pub const IPV6: u64 = 2;
    /// There are IPv6 bans shorter than 32 bits, for which the bloom filter cannot speak.
    pub const SHORT: u64 = 4;
    /// There are exempt prefixes.
    pub const EXEMPT: u64 = 8;
    /// Banned sources are counted at the front and not dropped.
    pub const OBSERVE: u64 = 16;
    /// There are denied prefixes.
    pub const DENY: u64 = 32;
    /// The UDP port by which the agent talks to others stands above this bit; 0 for none.
    pub const LINKS_SHIFT: u32 = 48;

    /// That port, as the flags say it.
    #[inline(always)]
    pub fn links_port(flags: u64) -> u16 {
        (flags >> Self::LINKS_SHIFT) as u16
    }
}

/// What the front of one CPU is told (flags) and tells (the rest).
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontControl {
    /// [`FrontFlags`], written by user space.
    pub flags: u64,
    /// Packets dropped because their source is banned.
    pub dropped_packets: u64,
    /// Their bytes as the driver handed them over, from the link header on (the first buffer of one in several).
    pub dropped_bytes: u64,
    /// Packets of banned sources that passed because they are exempt.
    pub exempt_packets: u64,
    /// Packets that would have been dropped.
    pub observed_packets: u64,
    /// Packets dropped because their source is in a deny set. They are in the counter of the rule as well.
    pub denied_packets: u64,
    /// Their IP bytes.
    pub denied_bytes: u64,
    _pad: u64,
}

const _: () = assert!(size_of::<FrontControl>() == 64);

impl FrontControl {
    /// 64-bit words of one CPU's part.
    pub const WORDS: usize = size_of::<Self>() / 8;

    /// Counts what became of a packet.
    #[inline(always)]
    pub fn count(&mut self, verdict: FrontVerdict, bytes: u64) {
        match verdict {
            FrontVerdict::Pass => {}
            FrontVerdict::Exempt => self.exempt_packets += 1,
            FrontVerdict::Observed => self.observed_packets += 1,
            FrontVerdict::Drop => {
                self.dropped_packets += 1;
                self.dropped_bytes += bytes;
            }
            FrontVerdict::Deny(_, ip_bytes) => {
                self.denied_packets += 1;
                self.denied_bytes += u64::from(ip_bytes);
            }
        }
    }
}

/// Where the ban tables lie.
pub trait BanTables {
    /// A word of the table of /24 networks, below [`BAN_TABLE_WORDS`].
    fn table(&self, index: u32) -> u64;
    /// A word of the bloom filter, below [`BAN_BLOOM_WORDS`].
    fn bloom(&self, index: u32) -> u64;
    /// Whether a single address is banned.
    fn host(&self, words: &[u32; 4]) -> bool;
    /// The [`family`] of the longest banned prefix that holds the address.
    fn net(&self, address: &Address) -> Option<u32>;
    /// The [`family`] of the longest exempt prefix that holds the address.
    fn exempt(&self, address: &Address) -> Option<u32>;
    /// The longest denied prefix that holds the address.
    fn denial(&self, address: &Address) -> Option<Denial>;
}

/// What decides, besides the tables, whether a packet of a denied source is dropped before it is judged.
pub trait FrontState {
    /// Whether there is a policy in force, and its refusals are carried out.
    fn enforces(&self) -> bool;
    /// Whether something is remembered of a conversation, whatever it is.
    fn is_known(&self, conversation: &ConnectionKey) -> bool;
    /// The UDP port by which the agent talks to others, where no policy cuts it off; 0 for none.
    fn links_port(&self) -> u16;
    /// The IP bytes of a packet of a denied source, if it is to be dropped: see [`refuses`]. The kernel's form calls a
    /// function of its own, so that packets of other sources pay nothing for it.
    #[inline(always)]
    fn refuses<B: Bytes>(&self, bytes: &B, len: usize, at: usize, is_v6: bool) -> Option<u32> {
        refuses(bytes, len, at, is_v6, self)
    }
}

/// Whether the words are those of an IPv4 address.
#[inline(always)]
pub fn is_ipv4(words: &[u32; 4]) -> bool {
    (words[0] | words[1]) == 0 && words[2] == 0xffff_u32.to_be()
}

/// Which bits of the bloom filter stand for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BloomPlace {
    /// Index of the word.
    pub index: u32,
    /// One or two bits of it.
    pub bits: u64,
}

/// Where the first 48 bits of an IPv6 address stand in the bloom filter.
#[inline(always)]
pub fn bloom_48(words: &[u32; 4]) -> BloomPlace {
    let upper = u64::from(u32::from_be(words[0])) << 16 | u64::from(u32::from_be(words[1]) >> 16);
    bloom_place(upper | 1 << 63)
}

/// Where the first 32 bits of an IPv6 address stand in the bloom filter.
#[inline(always)]
pub fn bloom_32(words: &[u32; 4]) -> BloomPlace {
    bloom_place(u64::from(u32::from_be(words[0])))
}

/// Both bits in one word, so that a question costs one load.
#[inline(always)]
fn bloom_place(key: u64) -> BloomPlace {
    let mut hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    let bits = 1 << (hash >> 40 & 63) | 1 << (hash >> 34 & 63);
    BloomPlace { index: (hash >> 46) as u32 & (BAN_BLOOM_WORDS - 1), bits }
}

/// What the tables in front say of an address: a [`cell`].
#[inline(always)]
fn state<T: BanTables>(tables: &T, flags: u64, words: &[u32; 4]) -> u64 {
    if is_ipv4(words) {
        if flags & FrontFlags::IPV4 == 0 {
            return cell::FREE;
        }
        let network = u32::from_be(words[3]) >> 8;
        return tables.table(network / BAN_CELLS) >> (network % BAN_CELLS * 2) & 3;
    }
    if flags & FrontFlags::IPV6 == 0 {
        return cell::FREE;
    }
    let may_be = |place: BloomPlace| tables.bloom(place.index) & place.bits == place.bits;
    if flags & FrontFlags::SHORT == 0 && !may_be(bloom_48(words)) && !may_be(bloom_32(words)) {
        return cell::FREE;
    }
    if flags & FrontFlags::DENY == 0 { cell::PARTLY } else { cell::DENIED }
}

/// Whether an address is banned; exemptions are not asked for. IPv4 addresses are mapped.
#[inline(always)]
pub fn is_banned<T: BanTables>(tables: &T, flags: u64, words: &[u32; 4]) -> bool {
    match state(tables, flags, words) {
        cell::FREE => false,
        cell::BANNED => true,
        _ => is_listed(tables, words),
    }
}

#[inline(always)]
fn family_of(words: &[u32; 4]) -> u32 {
    if is_ipv4(words) { family::IPV4 } else { family::IPV6 }
}

#[inline(always)]
fn is_listed<T: BanTables>(tables: &T, words: &[u32; 4]) -> bool {
    tables.host(words) || tables.net(&Address::host(*words)) == Some(family_of(words))
}

/// The counter of the rule that denies an address, whatever it sends.
#[inline(always)]
pub fn denial<T: BanTables>(tables: &T, words: &[u32; 4]) -> Option<u32> {
    let denial = tables.denial(&Address::host(*words))?;
    (denial.family() == family_of(words)).then_some(denial.counter())
}

/// Whether an address is never refused at the front.
#[inline(always)]
pub fn is_exempt<T: BanTables>(tables: &T, flags: u64, words: &[u32; 4]) -> bool {
    flags & FrontFlags::EXEMPT != 0 && tables.exempt(&Address::host(*words)) == Some(family_of(words))
}

/// What becomes of a packet at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontVerdict {
    /// It goes on.
    Pass,
    /// It goes on although its source is banned, because that is exempt.
    Exempt,
    /// It goes on although its source is banned, because the front only observes.
    Observed,
    /// It is dropped because its source is banned.
    Drop,
    /// It is dropped because its source is in a deny set: the counter of the rule, and the packet's IP bytes.
    Deny(u32, u32),
}

/// Judges a frame of `len` bytes by its source. What has no IP source, or none that can be read, passes: it is looked at
/// again where packets are judged.
#[inline(always)]
pub fn judge<B: Bytes, T: BanTables, S: FrontState>(
    bytes: &B,
    len: usize,
    link: Link,
    tables: &T,
    host: &S,
    flags: u64,
) -> FrontVerdict {
    if flags & (FrontFlags::IPV4 | FrontFlags::IPV6) == 0 {
        return FrontVerdict::Pass;
    }
    let Some((at, is_v6)) = network(bytes, link) else { return FrontVerdict::Pass };
    let Some(words) = source_at(bytes, at, is_v6) else { return FrontVerdict::Pass };
    let state = state(tables, flags, &words);
    if state == cell::FREE {
        return FrontVerdict::Pass;
    }
    if state == cell::BANNED || is_listed(tables, &words) {
        return if is_exempt(tables, flags, &words) {
            FrontVerdict::Exempt
        } else if flags & FrontFlags::OBSERVE != 0 {
            FrontVerdict::Observed
        } else {
            FrontVerdict::Drop
        };
    }
    if state == cell::DENIED
        && let Some(counter) = denial(tables, &words)
        && !is_exempt(tables, flags, &words)
        && let Some(ip_bytes) = host.refuses(bytes, len, at, is_v6)
    {
        return FrontVerdict::Deny(counter, ip_bytes);
    }
    FrontVerdict::Pass
}

/// Nothing is known of fragments here.
struct NoFragments;

impl Fragments for NoFragments {
    #[inline(always)]
    fn recall(&mut self, _: &FragmentId) -> Option<u32> {
        None
    }

    #[inline(always)]
    fn remember(&mut self, _: &FragmentId, _: u32) {}
}

/// Whether a packet of a denied source is dropped; if so, its IP bytes. Whatever may pass in spite of the rule goes on to
/// where packets are judged: what every host needs, errors about flows, fragments, what cannot be read, and every
/// packet of a conversation that something is remembered of (replies, and flows that outlive a change of the policy).
#[inline(always)]
pub fn refuses<B: Bytes, S: FrontState + ?Sized>(
    bytes: &B,
    len: usize,
    at: usize,
    is_v6: bool,
    state: &S,
) -> Option<u32> {
    if !state.enforces() {
        return None;
    }
    let frame = Frame {
        link: Link::Ip,
        len: len as u32,
        stripped: 0,
        segments: 1,
        segment_size: 0,
        vlan: None,
        ifindex: 0,
        direction: Direction::Ingress,
    };
    let parsed = parse::ip(bytes, at, len, is_v6, &frame, &mut NoFragments).ok()?;
    if decided_elsewhere(bytes, &parsed) {
        return None;
    }
    let key = &parsed.packet.key;
    if key.proto() == proto::UDP && key.dport == state.links_port() {
        return None;
    }
    let mut conversation = ConnectionKey::default();
    conversation.set(key);
    (!state.is_known(&conversation)).then_some(parsed.packet.ip_bytes)
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Where the IP header of a frame begins, and whether it is one of IPv6; at most two VLAN tags are passed over.
#[inline(always)]
pub fn network<B: Bytes>(bytes: &B, link: Link) -> Option<(usize, bool)> {
    let is_tag = |ethertype| matches!(ethertype, 0x8100 | 0x88a8 | 0x9100);
    let (at, ethertype) = match link {
        Link::Ip => {
            return match bytes.u8(0)? >> 4 {
                4 => Some((0, false)),
                6 => Some((0, true)),
                _ => None,
            };
        }
        Link::After(ethertype) => (0, ethertype),
        Link::Ethernet => match bytes.u16(12)? {
            tag if is_tag(tag) => match bytes.u16(16)? {
                tag if is_tag(tag) => (22, bytes.u16(20)?),
                ethertype => (18, ethertype),
            },
            ethertype => (14, ethertype),
        },
    };
    match ethertype {
        ETHERTYPE_IPV4 => Some((at, false)),
        ETHERTYPE_IPV6 => Some((at, true)),
        _ => None,
    }
}

/// The source address of a frame.
#[inline(always)]
pub fn source<B: Bytes>(bytes: &B, link: Link) -> Option<[u32; 4]> {
    let (at, is_v6) = network(bytes, link)?;
    source_at(bytes, at, is_v6)
}

#[inline(always)]
fn source_at<B: Bytes>(bytes: &B, at: usize, is_v6: bool) -> Option<[u32; 4]> {
    if is_v6 { bytes.read::<16>(at + 8).map(words) } else { bytes.read::<4>(at + 12).map(mapped) }
}
