//! Classes of addresses. All prefixes that rules name on one side are sorted and walked with a stack of those that hold
//! the present one: a prefix gets the row of the shorter one around it, with the rules turned that name it. Which rules
//! those are is worked out once for each combination, so that a million prefixes of one set cost two rows.
//!
//! An IPv4 prefix of length n is a mapped one of 96 + n, and the families never mix: what an IPv6 prefix around the
//! mapped addresses says is taken back for them.

use std::collections::HashMap as StdMap;

use hashbrown::HashMap;
use hivewall_datapath::policy::{Address, Row, Side};
use ipnet::IpNet;

use super::rows::{Rows, clear, set};
use super::{CompileError, List, Part};
use crate::Addresses;

/// The first IPv4-mapped address, and how many bits all of them share.
const MAPPED: u128 = 0xffff << 32;
const MAPPED_LEN: u32 = 96;

/// Rows by prefix.
pub(crate) type Classes = Vec<(Address, u32)>;

/// A list of prefixes, and the parts that begin (`true`) or cease to match inside of them.
struct Turn<'a> {
    list: List<'a>,
    parts: Vec<(usize, bool)>,
}

/// One prefix of one list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    first: u128,
    len: u32,
    list: u32,
}

/// Rows by prefix on one side, and the row of addresses that none holds.
pub(crate) fn classes(parts: &[Part<'_>], side: Side, rows: &mut Rows) -> Result<(Classes, u32), CompileError> {
    let mut outside = Row::default();
    let mut turns: Vec<Turn<'_>> = Vec::new();
    let mut known: HashMap<List<'_>, usize> = HashMap::new();
    for (at, part) in parts.iter().enumerate() {
        let (list, inside) = match part.addresses(side) {
            Addresses::Any => {
                set(&mut outside, at);
                continue;
            }
            Addresses::In(list) => (list.as_slice(), true),
            Addresses::NotIn(list) => {
                set(&mut outside, at);
                (list.as_slice(), false)
            }
        };
        let number = *known.entry(list).or_insert_with(|| {
            turns.push(Turn { list, parts: Vec::new() });
            turns.len() - 1
        });
        if let Some(turn) = turns.get_mut(number) {
            turn.parts.push((at, inside));
        }
    }
    let outside = rows.number(&outside)?;
    let (v4, v6) = prefixes(&turns);
    let mut walk = Walk { turns: &turns, rows, combinations: StdMap::new(), rows_inside: HashMap::new(), outside };
    let mut classes = Vec::with_capacity(v4.len() + v6.len());
    walk.family(&v6, &mut classes)?;
    let covered = classes.iter().any(|(address, _)| holds_mapped(address));
    let v6_end = classes.len();
    walk.family(&v4, &mut classes)?;
    let has_root = classes.iter().skip(v6_end).any(|(address, _)| address.prefix_len == MAPPED_LEN);
    if covered && !has_root {
        classes.push((address(MAPPED, MAPPED_LEN), outside));
    }
    Ok((classes, outside))
}

/// All prefixes by family, sorted: shorter ones first among those that begin at one address.
fn prefixes(turns: &[Turn<'_>]) -> (Vec<Prefix>, Vec<Prefix>) {
    let all: usize = turns.iter().map(|turn| turn.list.len()).sum();
    let (mut v4, mut v6) = (Vec::with_capacity(all), Vec::new());
    for (turn, list) in turns.iter().zip(0..) {
        for net in turn.list {
            if let Some((first, len)) = bits(net) {
                let family = if matches!(net, IpNet::V4(_)) { &mut v4 } else { &mut v6 };
                family.push(Prefix { first, len, list });
            }
        }
    }
    for family in [&mut v4, &mut v6] {
        family.sort_unstable();
        family.dedup();
    }
    (v4, v6)
}

struct Walk<'a> {
    turns: &'a [Turn<'a>],
    rows: &'a mut Rows,
    /// Lists that name one and the same prefix, by number.
    combinations: StdMap<Vec<u32>, u32>,
    /// The row inside, by the row around and the combination.
    rows_inside: HashMap<(u32, u32), u32>,
    outside: u32,
}

impl Walk<'_> {
    fn family(&mut self, prefixes: &[Prefix], classes: &mut Classes) -> Result<(), CompileError> {
        // The last address and the row of each prefix that may hold the next one.
        let mut around: Vec<(u128, u32)> = Vec::new();
        let mut lists = Vec::new();
        for same in prefixes.chunk_by(|a, b| (a.first, a.len) == (b.first, b.len)) {
            let Some(prefix) = same.first() else { continue };
            while around.last().is_some_and(|(last, _)| *last < prefix.first) {
                around.pop();
            }
            let outer = around.last().map_or(self.outside, |(_, row)| *row);
            lists.clear();
            lists.extend(same.iter().map(|prefix| prefix.list));
            let inner = self.inside(outer, &lists)?;
            // A prefix that changes nothing is not worth a look-up.
            if inner != outer {
                classes.push((address(prefix.first, prefix.len), inner));
                around.push((prefix.first | host_bits(prefix.len), inner));
            }
        }
        Ok(())
    }

    /// The row inside of a prefix that these lists name.
    fn inside(&mut self, outer: u32, lists: &[u32]) -> Result<u32, CompileError> {
        let combination = if let Some(number) = self.combinations.get(lists) {
            *number
        } else {
            let number = self.combinations.len() as u32;
            self.combinations.insert(lists.to_vec(), number);
            number
        };
        if let Some(row) = self.rows_inside.get(&(outer, combination)) {
            return Ok(*row);
        }
        let mut row = self.rows.row(outer);
        for turn in lists.iter().filter_map(|list| self.turns.get(*list as usize)) {
            for (part, inside) in &turn.parts {
                if *inside { set(&mut row, *part) } else { clear(&mut row, *part) }
            }
        }
        let number = self.rows.number(&row)?;
        self.rows_inside.insert((outer, combination), number);
        Ok(number)
    }
}

/// A prefix as the datapath has it; `None` for an IPv6 prefix of mapped addresses, which no packet has.
pub(crate) fn prefix(net: &IpNet) -> Option<Address> {
    bits(net).map(|(first, len)| address(first, len))
}

pub(super) fn bits(net: &IpNet) -> Option<(u128, u32)> {
    let (first, len) = match net {
        IpNet::V4(net) => (MAPPED | u128::from(u32::from(net.network())), MAPPED_LEN + u32::from(net.prefix_len())),
        IpNet::V6(net) => (u128::from(net.network()), u32::from(net.prefix_len())),
    };
    let is_mapped = matches!(net, IpNet::V6(_)) && len >= MAPPED_LEN && first >> 32 == MAPPED >> 32;
    (!is_mapped).then_some((first, len))
}

fn holds_mapped(address: &Address) -> bool {
    let first = address.words.iter().fold(0u128, |bits, word| bits << 32 | u128::from(u32::from_be(*word)));
    address.prefix_len < MAPPED_LEN && first & !host_bits(address.prefix_len) == MAPPED & !host_bits(address.prefix_len)
}

fn host_bits(len: u32) -> u128 {
    u128::MAX.checked_shr(len).unwrap_or(0)
}

fn address(first: u128, prefix_len: u32) -> Address {
    let words = [96, 64, 32, 0].map(|shift| ((first >> shift) as u32).to_be());
    Address { prefix_len, words }
}
