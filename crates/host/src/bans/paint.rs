//! What a prefix means for the table of /24 networks and for the IPv6 filter: drawn when it comes, worked out anew from
//! the set when it goes.
//!
//! Two owners share the table and the filter: bans, and what the policy denies. Invariant: a word is written once for a
//! change, with its final value, so that no packet meets a state in between.

use std::collections::BTreeMap;

use hivewall_datapath::front::{
    BAN_BLOOM_WORDS, BAN_CELLS, BAN_TABLE_WORDS, BloomPlace, FrontFlags, bloom_32, bloom_48, cell,
};

use super::store::{BanStore, List};
use super::{Ban, BanError, Prefix};

/// How many prefixes there are of each length, so that only lengths in use are looked for.
struct Lengths {
    v4: [u32; 33],
    v6: [u32; 129],
}

impl Default for Lengths {
    fn default() -> Self {
        Self { v4: [0; 33], v6: [0; 129] }
    }
}

impl Lengths {
    fn of(&self, is_v6: bool) -> &[u32] {
        if is_v6 { &self.v6 } else { &self.v4 }
    }

    fn count(&mut self, prefix: Prefix, change: impl Fn(u32) -> u32) {
        let lengths: &mut [u32] = if prefix.is_v6() { &mut self.v6 } else { &mut self.v4 };
        if let Some(count) = lengths.get_mut(usize::from(prefix.len())) {
            *count = change(*count);
        }
    }

    /// The prefixes of the set that hold `prefix`, itself included, the shortest first.
    fn holders<'a, V>(&'a self, set: &'a BTreeMap<Prefix, V>, prefix: Prefix) -> impl Iterator<Item = (Prefix, &'a V)> {
        let lengths = self.of(prefix.is_v6()).iter().zip(0_u8..=prefix.len());
        let used = lengths.filter_map(|(count, len)| (*count > 0).then_some(len));
        used.filter_map(move |len| set.get_key_value(&prefix.cut(len)).map(|(prefix, value)| (*prefix, value)))
    }

    /// Whether a prefix of at most 24 bits holds this one.
    fn is_covered<V>(&self, set: &BTreeMap<Prefix, V>, prefix: Prefix) -> bool {
        self.holders(set, prefix.cut(24)).next().is_some()
    }

    /// Bits of [`FrontFlags`].
    fn flags(&self) -> u64 {
        let any = |lengths: &[u32]| lengths.iter().any(|count| *count > 0);
        let bit = |is: bool, flag| if is { flag } else { 0 };
        let short = self.v6.get(..32).is_some_and(any);
        bit(any(&self.v4), FrontFlags::IPV4) | bit(any(&self.v6), FrontFlags::IPV6) | bit(short, FrontFlags::SHORT)
    }
}

/// What was drawn.
#[derive(Default)]
pub(super) struct Paint {
    banned: Lengths,
    denied: Lengths,
    /// For each word of the table, the networks in which something is denied. Made with the first denied prefix.
    denied_in: Vec<u32>,
    /// For each bit of the filter, how many prefixes set it; one that reached the maximum stays there, and its bit is set
    /// for good, which costs a look and is never wrong. Made with the first IPv6 prefix.
    bits: Vec<u16>,
}

type Set = BTreeMap<Prefix, Ban>;
type DenySet = BTreeMap<Prefix, u16>;

impl Paint {
    /// Counts a prefix that enters the set.
    pub(super) fn note(&mut self, prefix: Prefix) {
        self.banned.count(prefix, |count| count + 1);
        self.note_bits(prefix);
    }

    fn note_bits(&mut self, prefix: Prefix) {
        if let Some(place) = bloom(prefix) {
            if self.bits.is_empty() {
                self.bits = vec![0; BAN_BLOOM_WORDS as usize * 64];
            }
            for bit in bits_of(place) {
                if let Some(count) = self.bits.get_mut(bit) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    /// The bans that hold `prefix`, its own included, the shortest prefix first.
    pub(super) fn holders<'a>(&'a self, set: &'a Set, prefix: Prefix) -> impl Iterator<Item = (Prefix, &'a Ban)> {
        self.banned.holders(set, prefix)
    }

    /// Bits of [`FrontFlags`] about bans and denied prefixes.
    pub(super) fn flags(&self) -> u64 {
        let denied = self.denied.flags();
        self.banned.flags() | denied | if denied == 0 { 0 } else { FrontFlags::DENY }
    }

    /// Writes what a new ban means. `set` is without it.
    pub(super) fn draw(&self, store: &mut impl BanStore, set: &Set, prefix: Prefix) {
        draw_bits(store, prefix);
        if prefix.is_v6() {
            return;
        }
        if prefix.len() <= 24 {
            fill(store, prefix);
        } else if !self.banned.is_covered(set, prefix) {
            self.set_cell(store, prefix.network_24(), cell::PARTLY);
        }
    }

    /// Writes what the going of a ban means. `set` is without it.
    pub(super) fn erase(&mut self, store: &mut impl BanStore, set: &Set, prefix: Prefix) {
        self.banned.count(prefix, |count| count.saturating_sub(1));
        if let Some(place) = bloom(prefix) {
            self.unset(store, place);
        }
        if !prefix.is_v6() && !self.banned.is_covered(set, prefix) {
            let around = prefix.cut(24);
            self.write(store, around.network_24(), &cells_inside(set, around));
        }
    }

    /// Writes what a newly denied prefix means.
    pub(super) fn draw_denied(&mut self, store: &mut impl BanStore, prefix: Prefix) {
        self.denied.count(prefix, |count| count + 1);
        self.note_bits(prefix);
        draw_bits(store, prefix);
        if prefix.is_v6() {
            return;
        }
        if self.denied_in.is_empty() {
            self.denied_in = vec![0; BAN_TABLE_WORDS as usize];
        }
        for (index, mask) in words_of(prefix.cut(24)) {
            if let Some(denied) = self.denied_in.get_mut(index as usize) {
                *denied |= mask;
            }
            let word = store.table(index);
            self.put(store, index, word);
        }
    }

    /// Writes what it means that a prefix is denied no longer. `denied` is without it.
    pub(super) fn erase_denied(&mut self, store: &mut impl BanStore, banned: &Set, denied: &DenySet, prefix: Prefix) {
        self.denied.count(prefix, |count| count.saturating_sub(1));
        if let Some(place) = bloom(prefix) {
            self.unset(store, place);
        }
        if prefix.is_v6() || self.denied.is_covered(denied, prefix) {
            return;
        }
        let around = prefix.cut(24);
        let first = around.network_24();
        for (network, state) in (first..).zip(cells_inside(denied, around)) {
            if u64::from(state) == cell::FREE
                && let Some(denied) = self.denied_in.get_mut((network / BAN_CELLS) as usize)
            {
                *denied &= !(1 << (network % BAN_CELLS));
            }
        }
        // Where a ban covers all of it, the table says so already.
        if !self.banned.is_covered(banned, around) {
            self.write(store, first, &cells_inside(banned, around));
        }
    }

    /// Takes back from the table what says that something is denied where nothing is: an agent before this one was killed
    /// half way.
    pub(super) fn clear_stale(&self, store: &mut impl BanStore, banned: &Set) {
        for index in 0..BAN_TABLE_WORDS {
            let word = store.table(index);
            let said = word & word >> 1 & EACH;
            let meant = spread(self.denied_in.get(index as usize).copied().unwrap_or(0));
            if said & !meant == 0 {
                continue;
            }
            for at in (0..BAN_CELLS).filter(|at| (said & !meant) >> (at * 2) & 1 != 0) {
                let network = index * BAN_CELLS + at;
                let around = Prefix::from(std::net::IpAddr::V4((network << 8).into())).cut(24);
                // No ban covers it, for that would be what the table says.
                self.write(store, network, &cells_inside(banned, around));
            }
        }
    }

    /// Replaces a word of the table. Where something is denied and not all is banned, the cell says that.
    fn put(&self, store: &mut impl BanStore, index: u32, word: u64) {
        let denied = spread(self.denied_in.get(index as usize).copied().unwrap_or(0));
        let banned = word & !(word >> 1) & EACH;
        let new = word | ((denied & !banned) * cell::DENIED);
        if new != store.table(index) {
            store.set_table(index, new);
        }
    }

    fn set_cell(&self, store: &mut impl BanStore, network: u32, state: u64) {
        self.write(store, network, &[state as u8]);
    }

    /// Writes the states of networks from `first` on: a part of one word, or whole words.
    fn write(&self, store: &mut impl BanStore, first: u32, cells: &[u8]) {
        for (index, part) in (first / BAN_CELLS..).zip(cells.chunks(BAN_CELLS as usize)) {
            let shift = first % BAN_CELLS * 2;
            let bits = part.iter().rev().fold(0, |word, state| word << 2 | u64::from(*state));
            let mask = if part.len() < BAN_CELLS as usize { ((1 << (part.len() * 2)) - 1) << shift } else { u64::MAX };
            let word = store.table(index);
            self.put(store, index, word & !mask | bits << shift);
        }
    }

    fn unset(&mut self, store: &mut impl BanStore, place: BloomPlace) {
        let mut word = store.bloom(place.index);
        for bit in bits_of(place) {
            let Some(count) = self.bits.get_mut(bit) else { continue };
            if *count != u16::MAX {
                *count = count.saturating_sub(1);
            }
            if *count == 0 {
                word &= !(1 << (bit % 64));
            }
        }
        store.set_bloom(place.index, word);
    }
}

/// The bits of the filter that a prefix sets.
fn bloom(prefix: Prefix) -> Option<BloomPlace> {
    let words = prefix.address().words;
    match prefix.len() {
        _ if !prefix.is_v6() => None,
        48.. => Some(bloom_48(&words)),
        32.. => Some(bloom_32(&words)),
        _ => None,
    }
}

fn bits_of(place: BloomPlace) -> impl Iterator<Item = usize> {
    (0..64).filter(move |bit| place.bits >> bit & 1 != 0).map(move |bit| place.index as usize * 64 + bit)
}

fn draw_bits(store: &mut impl BanStore, prefix: Prefix) {
    if let Some(place) = bloom(prefix) {
        let word = store.bloom(place.index);
        if word | place.bits != word {
            store.set_bloom(place.index, word | place.bits);
        }
    }
}

/// The lower bit of each cell of a word.
const EACH: u64 = u64::MAX / 3;

/// The lower bits of the cells of a word whose bits are set here.
fn spread(mask: u32) -> u64 {
    let mut word = u64::from(mask);
    for (shift, kept) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, EACH),
    ] {
        word = (word | word << shift) & kept;
    }
    word
}

/// The words of the table in which an IPv4 prefix of at most 24 bits lies, and its networks in each.
fn words_of(prefix: Prefix) -> impl Iterator<Item = (u32, u32)> {
    let (first, count) = (prefix.network_24(), 1_u32 << (24 - prefix.len()));
    let mask = if count < BAN_CELLS { ((1 << count) - 1) << (first % BAN_CELLS) } else { u32::MAX };
    (first / BAN_CELLS..(first + count).div_ceil(BAN_CELLS)).map(move |index| (index, mask))
}

/// What the prefixes of a set that lie in one of at most 24 bits, or are it, mean for its networks.
fn cells_inside<V>(set: &BTreeMap<Prefix, V>, around: Prefix) -> Vec<u8> {
    let first = around.network_24();
    let mut cells = vec![cell::FREE as u8; 1 << (24 - around.len())];
    for inside in set.range(around..=around.last_inside()).map(|(inside, _)| *inside) {
        let at = (inside.network_24() - first) as usize;
        if inside.len() <= 24 {
            let len = 1_usize << (24 - inside.len());
            if let Some(part) = cells.get_mut(at..at + len) {
                part.fill(cell::BANNED as u8);
            }
        } else if let Some(one) = cells.get_mut(at)
            && u64::from(*one) == cell::FREE
        {
            *one = cell::PARTLY as u8;
        }
    }
    cells
}

/// Marks all of an IPv4 prefix of at most 24 bits as banned.
fn fill(store: &mut impl BanStore, prefix: Prefix) {
    const ALL: u64 = u64::MAX / 3 * cell::BANNED;
    let (first, count) = (prefix.network_24(), 1_u32 << (24 - prefix.len()));
    if count < BAN_CELLS {
        let mask = ((1 << (count * 2)) - 1_u64) << (first % BAN_CELLS * 2);
        let word = store.table(first / BAN_CELLS);
        store.set_table(first / BAN_CELLS, word & !mask | ALL & mask);
        return;
    }
    for index in first / BAN_CELLS..(first + count) / BAN_CELLS {
        store.set_table(index, ALL);
    }
}

/// The set that tables stand for: lists as they are, and the fewest prefixes for the /24 networks that are banned.
pub(super) fn read_back(store: &impl BanStore) -> Result<Vec<Prefix>, BanError> {
    let mut found = store.list(List::Hosts)?;
    found.extend(store.list(List::Nets)?);
    let (mut begin, mut network) = (None, 0_u32);
    let run = |from: u32, to: u32| {
        let address = |network: u32, host: u32| std::net::IpAddr::V4((network << 8 | host).into());
        Prefix::range(address(from, 0), address(to - 1, 255))
    };
    for index in 0..BAN_TABLE_WORDS {
        let word = store.table(index);
        if word == 0 && begin.is_none() {
            network += BAN_CELLS;
            continue;
        }
        for at in 0..BAN_CELLS {
            let is_banned = word >> (at * 2) & 3 == cell::BANNED;
            match begin {
                None if is_banned => begin = Some(network),
                Some(from) if !is_banned => {
                    found.extend(run(from, network));
                    begin = None;
                }
                _ => {}
            }
            network += 1;
        }
    }
    found.extend(begin.map(|from| run(from, network)).unwrap_or_default());
    Ok(found)
}
