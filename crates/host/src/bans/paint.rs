//! What a prefix means for the table of /24 networks and for the IPv6 filter: drawn when it comes, worked out anew from
//! the set when it goes.
//!
//! Invariant: a word is written once for a change, with its final value, so that no packet meets a state in between.

use std::collections::BTreeMap;

use hivewall_datapath::front::{
    BAN_BLOOM_WORDS, BAN_CELLS, BAN_TABLE_WORDS, BloomPlace, FrontFlags, bloom_32, bloom_48, cell,
};

use super::store::{BanStore, List};
use super::{Ban, BanError, Prefix};

/// How many prefixes there are of each length, so that only lengths in use are looked for.
pub(super) struct Paint {
    v4: [u32; 33],
    v6: [u32; 129],
    /// For each bit of the filter, how many prefixes set it; one that reached the maximum stays there, and its bit is set
    /// for good, which costs a look and is never wrong. Made with the first IPv6 ban.
    bits: Vec<u16>,
}

impl Default for Paint {
    fn default() -> Self {
        Self { v4: [0; 33], v6: [0; 129], bits: Vec::new() }
    }
}

type Set = BTreeMap<Prefix, Ban>;

impl Paint {
    fn lengths(&self, is_v6: bool) -> &[u32] {
        if is_v6 { &self.v6 } else { &self.v4 }
    }

    fn length(&mut self, prefix: Prefix) -> Option<&mut u32> {
        let lengths: &mut [u32] = if prefix.is_v6() { &mut self.v6 } else { &mut self.v4 };
        lengths.get_mut(usize::from(prefix.len()))
    }

    /// Counts a prefix that enters the set.
    pub(super) fn note(&mut self, prefix: Prefix) {
        if let Some(count) = self.length(prefix) {
            *count += 1;
        }
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

    /// The prefixes of the set that hold `prefix`, itself included, the shortest first.
    pub(super) fn holders<'a>(&'a self, set: &'a Set, prefix: Prefix) -> impl Iterator<Item = (Prefix, &'a Ban)> {
        let lengths = self.lengths(prefix.is_v6()).iter().zip(0_u8..=prefix.len());
        let used = lengths.filter_map(|(count, len)| (*count > 0).then_some(len));
        used.filter_map(move |len| set.get_key_value(&prefix.cut(len)).map(|(prefix, ban)| (*prefix, ban)))
    }

    /// Bits of [`FrontFlags`] about bans.
    pub(super) fn flags(&self) -> u64 {
        let any = |lengths: &[u32]| lengths.iter().any(|count| *count > 0);
        let bit = |is: bool, flag| if is { flag } else { 0 };
        let short = self.v6.get(..32).is_some_and(any);
        bit(any(&self.v4), FrontFlags::IPV4) | bit(any(&self.v6), FrontFlags::IPV6) | bit(short, FrontFlags::SHORT)
    }

    /// Writes what a new prefix means. `set` is without it.
    pub(super) fn draw(&self, store: &mut impl BanStore, set: &Set, prefix: Prefix) {
        if let Some(place) = bloom(prefix) {
            let word = store.bloom(place.index);
            if word | place.bits != word {
                store.set_bloom(place.index, word | place.bits);
            }
        }
        if prefix.is_v6() {
            return;
        }
        if prefix.len() <= 24 {
            fill(store, prefix);
        } else if !self.is_covered(set, prefix) {
            set_cell(store, prefix.network_24(), cell::PARTLY);
        }
    }

    /// Writes what the going of a prefix means. `set` is without it.
    pub(super) fn erase(&mut self, store: &mut impl BanStore, set: &Set, prefix: Prefix) {
        if let Some(count) = self.length(prefix) {
            *count = count.saturating_sub(1);
        }
        if let Some(place) = bloom(prefix) {
            self.unset(store, place);
        }
        if prefix.is_v6() || self.is_covered(set, prefix) {
            return;
        }
        if prefix.len() >= 24 {
            let network = prefix.cut(24);
            let mut inside = set.range(network..=network.last_inside());
            let state = if inside.next().is_some() { cell::PARTLY } else { cell::FREE };
            set_cell(store, network.network_24(), state);
            return;
        }
        let first = prefix.network_24();
        let mut cells = vec![cell::FREE as u8; 1 << (24 - prefix.len())];
        for inside in set.range(prefix..=prefix.last_inside()).map(|(inside, _)| *inside) {
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
        write(store, first, &cells);
    }

    /// Whether a prefix of at most 24 bits holds this one; itself does not count, as it is not in the set.
    fn is_covered(&self, set: &Set, prefix: Prefix) -> bool {
        self.holders(set, prefix.cut(24)).next().is_some()
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

fn set_cell(store: &mut impl BanStore, network: u32, state: u64) {
    let (index, shift) = (network / BAN_CELLS, network % BAN_CELLS * 2);
    let word = store.table(index);
    store.set_table(index, word & !(3 << shift) | state << shift);
}

/// Marks all of an IPv4 prefix of at most 24 bits as banned.
fn fill(store: &mut impl BanStore, prefix: Prefix) {
    const ALL: u64 = u64::MAX / 3 * cell::BANNED;
    let (first, count) = (prefix.network_24(), 1_u32 << (24 - prefix.len()));
    if count < BAN_CELLS {
        let mask = (1 << (count * 2)) - 1_u64 << (first % BAN_CELLS * 2);
        let word = store.table(first / BAN_CELLS);
        store.set_table(first / BAN_CELLS, word & !mask | ALL & mask);
        return;
    }
    for index in first / BAN_CELLS..(first + count) / BAN_CELLS {
        store.set_table(index, ALL);
    }
}

/// Writes the states of networks from `first` on: a part of one word, or whole words.
fn write(store: &mut impl BanStore, first: u32, cells: &[u8]) {
    for (index, part) in (first / BAN_CELLS..).zip(cells.chunks(BAN_CELLS as usize)) {
        let shift = first % BAN_CELLS * 2;
        let bits = part.iter().rev().fold(0, |word, state| word << 2 | u64::from(*state));
        let mask = if part.len() < BAN_CELLS as usize { ((1 << (part.len() * 2)) - 1) << shift } else { u64::MAX };
        let word = store.table(index);
        let new = word & !mask | bits << shift;
        if new != word {
            store.set_table(index, new);
        }
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

