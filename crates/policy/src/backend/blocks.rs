//! Rules as blocks of a space with five axes (protocol, source, destination, source port, destination port), cut so that
//! blocks of one layer never meet.
//!
//! nftables' interval maps refuse elements that overlap, and a look-up in one costs the same however many elements it
//! has. So the rules of a run become few maps, asked one after another: a block goes into the last layer that holds an
//! earlier block it meets, less what it shares with those there; where that would make too many pieces it opens the next
//! layer instead. Invariant: for every point, the first layer that has a block there has one of the first rule in order
//! that matches.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::Addresses;

/// Values of one axis, both ends included. IPv4 addresses are their 32 bits.
pub(super) type Span = (u128, u128);

/// Pieces a block may be cut into before it opens a layer of its own.
const PIECES_MAX: usize = 12;

/// All values of an axis of so many bits.
pub(super) const fn whole(bits: u32) -> Span {
    (0, if bits == 128 { u128::MAX } else { (1 << bits) - 1 })
}

/// Part of the space, and the rule that matches there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Protocol, source, destination, source port (ICMP: type and code), destination port.
    pub(super) spans: [Span; 5],
    /// Index of the rule.
    pub(super) rule: usize,
}

fn meets(a: Span, b: Span) -> bool {
    a.0 <= b.1 && b.0 <= a.1
}

impl Block {
    fn meets(&self, other: &Self) -> bool {
        self.spans.iter().zip(&other.spans).all(|(a, b)| meets(*a, *b))
    }

    /// What of this block is outside of `other`; at most two pieces an axis.
    fn without(self, other: &Self, pieces: &mut Vec<Self>) {
        if !self.meets(other) {
            pieces.push(self);
            return;
        }
        let mut rest = self;
        for (axis, (from, to)) in other.spans.into_iter().enumerate() {
            let Some(span) = rest.spans.get_mut(axis) else { continue };
            let (low, high) = *span;
            let inside = (low.max(from), high.min(to));
            *span = inside;
            let mut put = |piece: Span| {
                let mut block = rest;
                if let Some(span) = block.spans.get_mut(axis) {
                    *span = piece;
                }
                pieces.push(block);
            };
            if low < inside.0 {
                put((low, inside.0 - 1));
            }
            if high > inside.1 {
                put((inside.1 + 1, high));
            }
        }
    }
}

/// Blocks in order of their rules, as layers without overlaps.
pub(super) fn layers(blocks: impl IntoIterator<Item = Block>) -> Vec<Vec<Block>> {
    let mut layers: Vec<Layer> = Vec::new();
    for block in blocks {
        let mut at = 0;
        // The last layer with a block that this one meets.
        for (index, layer) in layers.iter().enumerate().rev() {
            let met = layer.met_by(&block);
            if met.is_empty() {
                continue;
            }
            match cut(block, &met) {
                Some(pieces) => {
                    if let Some(layer) = layers.get_mut(index) {
                        pieces.into_iter().for_each(|piece| layer.put(piece));
                    }
                    at = usize::MAX;
                }
                None => at = index + 1,
            }
            break;
        }
        match layers.get_mut(at) {
            Some(layer) => layer.put(block),
            None if at == usize::MAX => {}
            None => {
                let mut layer = Layer::default();
                layer.put(block);
                layers.push(layer);
            }
        }
    }
    layers.into_iter().map(|layer| layer.blocks).collect()
}

/// Axes by which blocks are found again: source, destination, destination port.
const FINDERS: [(usize, u128); 3] = [(1, 1 << 16), (2, 1 << 16), (4, 64)];

/// Blocks that do not meet. Those that are narrow on an axis are found by where they begin on it.
#[derive(Debug, Default)]
struct Layer {
    blocks: Vec<Block>,
    /// By [`FINDERS`]: where a block begins, and which it is.
    finders: [BTreeSet<(u128, usize)>; 3],
    /// Blocks that are wide on all of these axes.
    wide: Vec<usize>,
}

impl Layer {
    fn put(&mut self, block: Block) {
        let number = self.blocks.len();
        self.blocks.push(block);
        for ((axis, narrow), finder) in FINDERS.iter().zip(&mut self.finders) {
            if let Some((from, to)) = block.spans.get(*axis).filter(|(from, to)| to - from < *narrow) {
                debug_assert!(from <= to, "a span is in order");
                finder.insert((*from, number));
                return;
            }
        }
        self.wide.push(number);
    }

    fn met_by(&self, block: &Block) -> Vec<Block> {
        let mut numbers = self.wide.clone();
        for ((axis, narrow), finder) in FINDERS.iter().zip(&self.finders) {
            if let Some((from, to)) = block.spans.get(*axis) {
                let near = finder.range((from.saturating_sub(*narrow), 0)..=(*to, usize::MAX));
                numbers.extend(near.map(|(_, number)| *number));
            }
        }
        numbers.sort_unstable();
        numbers
            .into_iter()
            .filter_map(|number| self.blocks.get(number))
            .filter(|other| other.meets(block))
            .copied()
            .collect()
    }
}

/// The block less all of these; none when that takes too many pieces.
fn cut(block: Block, others: &[Block]) -> Option<Vec<Block>> {
    let mut pieces = vec![block];
    for other in others {
        let mut next = Vec::with_capacity(pieces.len());
        for piece in pieces {
            piece.without(other, &mut next);
        }
        if next.len() > PIECES_MAX {
            return None;
        }
        pieces = next;
    }
    Some(pieces)
}

/// Spans in order, those that meet or touch as one.
pub(super) fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match out.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

/// What of an axis is in none of these, which are merged.
pub(super) fn others(spans: &[Span], whole: Span) -> Vec<Span> {
    let (mut out, mut next) = (Vec::new(), Some(whole.0));
    for (from, to) in spans {
        match next {
            Some(at) if at < *from => out.push((at, from - 1)),
            _ => {}
        }
        next = to.checked_add(1);
    }
    out.extend(next.filter(|at| *at <= whole.1).map(|at| (at, whole.1)));
    out
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// All its addresses.
    pub(super) fn whole(self) -> Span {
        whole(if self == Self::V4 { 32 } else { 128 })
    }

    /// The prefix as a span, when it is of this family.
    pub(super) fn span(self, net: &IpNet) -> Option<Span> {
        match (self, net) {
            (Self::V4, IpNet::V4(net)) => {
                Some((u128::from(u32::from(net.network())), u128::from(u32::from(net.broadcast()))))
            }
            (Self::V6, IpNet::V6(net)) => Some((u128::from(net.network()), u128::from(net.broadcast()))),
            _ => None,
        }
    }
}

/// A rule's addresses of one family as spans; none at all when it matches no address of it.
pub(super) fn addresses(addresses: &Addresses, family: Family) -> Vec<Span> {
    let spans = |nets: &[IpNet]| merged(nets.iter().filter_map(|net| family.span(net)).collect());
    match addresses {
        Addresses::Any => vec![family.whole()],
        Addresses::In(nets) => spans(nets),
        Addresses::NotIn(nets) => others(&spans(nets), family.whole()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(rule: usize, source: Span, port: Span) -> Block {
        Block { spans: [(6, 6), source, whole(32), whole(16), port], rule }
    }

    /// The rule at a point.
    fn at(layers: &[Vec<Block>], source: u128, port: u128) -> Option<usize> {
        let point = block(0, (source, source), (port, port));
        layers.iter().find_map(|layer| layer.iter().find(|block| block.meets(&point)).map(|block| block.rule))
    }

    fn assert_disjoint(layers: &[Vec<Block>]) {
        for layer in layers {
            for (index, a) in layer.iter().enumerate() {
                assert!(layer[index + 1..].iter().all(|b| !a.meets(b)), "{layer:?}");
            }
        }
    }

    #[test]
    fn the_first_block_wins_at_every_point_and_no_two_of_a_layer_meet() {
        let blocks = [
            block(0, (10, 20), (80, 80)),
            block(1, (15, 30), (70, 90)),
            block(2, (0, 100), (80, 85)),
            block(3, (0, 255), (0, 65535)),
        ];
        let layers = layers(blocks);
        assert_disjoint(&layers);
        for source in 0..=256 {
            for port in [0, 69, 70, 75, 79, 80, 81, 85, 86, 90, 91, 65535] {
                let point = block(0, (source, source), (port, port));
                let want = blocks.iter().find(|block| block.meets(&point)).map(|block| block.rule);
                assert_eq!(at(&layers, source, port), want, "{source} {port}");
            }
        }
    }

    #[test]
    fn what_would_take_too_many_pieces_opens_a_layer() {
        let holes = (0..100).map(|n| block(n as usize, (n * 4, n * 4 + 1), (n, n)));
        let layers = layers(holes.chain([block(100, (0, 1000), (0, 1000))]));
        assert_eq!(layers.iter().map(Vec::len).collect::<Vec<_>>(), [100, 1]);
        assert_disjoint(&layers);
    }

    #[test]
    fn what_is_in_no_span_is_found_at_both_ends() {
        assert_eq!(others(&[], whole(8)), [(0, 255)]);
        assert_eq!(others(&[(0, 255)], whole(8)), []);
        assert_eq!(others(&[(3, 3), (9, 255)], whole(8)), [(0, 2), (4, 8)]);
        assert_eq!(others(&[(0, u128::MAX)], whole(128)), []);
        assert_eq!(merged(vec![(5, 6), (1, 2), (3, 3), (8, 9)]), [(1, 3), (5, 6), (8, 9)]);
    }
}
