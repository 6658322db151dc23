//! Where a flow was seen, and how often each packet was.
//!
//! A packet passes at most one interface of each kind (hook, rank, inside or outside of a tunnel): points of one kind
//! carry different packets and add up, points of different kinds show the same packets again. So the kind that saw
//! most is the count. Packets for many (multicast, broadcast) are the exception: a bridge sends the same one out of
//! every port, so there each point shows the same packets and the one that saw most is the count.
//!
//! Invariant: counts never shrink, each is the sum of what [`Points::add`] returned, and the points add up to what was
//! put in.

use hivewall_datapath::{Direction, Record, Tunnel};
use hivewall_model::{Rank, Side};

/// Points of one flow at the most, as a multicast group's may be many; further interfaces of a kind it already has
/// share one under [`OTHERS`].
const POINTS_MAX: usize = 32;
/// No interface has this index.
pub(crate) const OTHERS: u32 = 0;

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub packets: u64,
    pub ip_bytes: u64,
    pub wire_bytes: u64,
}

impl Sum {
    pub(crate) fn of(record: &Record) -> Self {
        let ip_bytes = u64::from(record.line.ip_bytes);
        Self {
            packets: u64::from(record.line.packets()),
            ip_bytes,
            wire_bytes: ip_bytes + u64::from(record.line.link_bytes),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.ip_bytes += other.ip_bytes;
        self.wire_bytes += other.wire_bytes;
    }

    /// The greater of each: kinds see the same packets, but an upper interface none of the tags below it, and a
    /// tunnel's inside no link at all.
    fn max(self, other: Self) -> Self {
        Self {
            packets: self.packets.max(other.packets),
            ip_bytes: self.ip_bytes.max(other.ip_bytes),
            wire_bytes: self.wire_bytes.max(other.wire_bytes),
        }
    }

    /// What was added since it was `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets - before.packets,
            ip_bytes: self.ip_bytes - before.ip_bytes,
            wire_bytes: self.wire_bytes - before.wire_bytes,
        }
    }

    pub(crate) fn side(self) -> Side {
        Side { packets: self.packets, ip_bytes: self.ip_bytes, wire_bytes: self.wire_bytes, ..Side::default() }
    }
}

/// An interface, one of its hooks, and a direction of the flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub ifindex: u32,
    pub direction: Direction,
    /// As it was when the flow was first seen there: a count must not shrink when an interface joins a bridge.
    pub rank: Rank,
    pub tunnel: Option<Tunnel>,
    pub a_to_b: bool,
}

impl Place {
    fn is(self, other: Self) -> bool {
        self.ifindex == other.ifindex && self.is_beside(other)
    }

    /// The same but for the interface.
    fn is_beside(self, other: Self) -> bool {
        self.direction == other.direction && self.tunnel == other.tunnel && self.a_to_b == other.a_to_b
    }

    /// Whether two points of one direction carry different packets.
    fn adds_to(self, other: Self) -> bool {
        self.direction == other.direction && self.rank == other.rank && self.tunnel.is_some() == other.tunnel.is_some()
    }
}

/// What one interface saw of one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryPoint {
    pub place: Place,
    pub sum: Sum,
}

/// All points of a flow, in the order they were first seen: two in place, which most flows need, the others on the
/// heap, two by two.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points {
    pair: [Option<EntryPoint>; 2],
    more: Option<Box<Points>>,
}

impl Points {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EntryPoint> {
        std::iter::successors(Some(self), |points| points.more.as_deref())
            .flat_map(|points| points.pair.iter().flatten())
    }

    fn find(&mut self, is: impl Fn(Place) -> bool + Copy) -> Option<&mut EntryPoint> {
        let found = self.pair.iter().position(|point| point.as_ref().is_some_and(|point| is(point.place)));
        match found {
            Some(at) => self.pair.get_mut(at)?.as_mut(),
            None => self.more.as_mut()?.find(is),
        }
    }

    fn push(&mut self, place: Place) -> Option<&mut EntryPoint> {
        match self.pair.iter().position(Option::is_none) {
            Some(at) => Some(self.pair.get_mut(at)?.insert(EntryPoint { place, sum: Sum::default() })),
            None => self.more.get_or_insert_default().push(place),
        }
    }

    fn point(&mut self, mut place: Place) -> Option<&mut EntryPoint> {
        // Looked for twice, since a borrow that may be returned lasts to the end.
        if self.iter().any(|point| point.place.is(place)) {
            return self.find(|known| known.is(place));
        }
        if self.iter().count() >= POINTS_MAX && self.iter().any(|point| point.place.is_beside(place)) {
            place.ifindex = OTHERS;
            if self.iter().any(|point| point.place.is(place)) {
                return self.find(|known| known.is(place));
            }
        }
        self.push(place)
    }

    /// Adds at one point; returns what is new to the host as a whole: nothing for packets inside of a tunnel, whose
    /// bytes the tunnel's own flow carries.
    pub(crate) fn add(&mut self, place: Place, sum: Sum, to_many: bool) -> Sum {
        if let Some(point) = self.only(place) {
            point.sum.add(sum);
            return sum;
        }
        let inside = place.tunnel.is_some();
        let before = if inside { Sum::default() } else { self.outside(place.a_to_b, to_many) };
        if let Some(point) = self.point(place) {
            point.sum.add(sum);
        }
        if inside { Sum::default() } else { self.outside(place.a_to_b, to_many).since(before) }
    }

    /// The point of this place, where it is the only one of its direction: what is new there is new, and most flows
    /// have no others.
    fn only(&mut self, place: Place) -> Option<&mut EntryPoint> {
        if self.more.is_some() || place.tunnel.is_some() {
            return None;
        }
        let apart = |other: &EntryPoint| other.place.a_to_b != place.a_to_b;
        let at = match &self.pair {
            [Some(one), None] if one.place.is(place) => 0,
            [Some(one), Some(other)] if one.place.is(place) && apart(other) => 0,
            [Some(other), Some(one)] if one.place.is(place) && apart(other) => 1,
            _ => return None,
        };
        self.pair.get_mut(at)?.as_mut()
    }

    /// One direction, each packet once, but for what was seen inside of tunnels.
    pub(crate) fn outside(&self, a_to_b: bool, to_many: bool) -> Sum {
        self.count(to_many, |place| place.a_to_b == a_to_b && place.tunnel.is_none())
    }

    /// One direction, each packet once.
    pub(crate) fn all(&self, a_to_b: bool, to_many: bool) -> Sum {
        self.count(to_many, |place| place.a_to_b == a_to_b)
    }

    fn count(&self, to_many: bool, wanted: impl Fn(Place) -> bool + Copy) -> Sum {
        let points = || self.iter().filter(move |point| wanted(point.place));
        let mut several = points();
        let Some(first) = several.next() else { return Sum::default() };
        if several.next().is_none() {
            return first.sum;
        }
        if to_many {
            return points().filter(|p| p.place.ifindex != OTHERS).fold(Sum::default(), |most, p| most.max(p.sum));
        }
        points().fold(Sum::default(), |most, sample| {
            let mut sum = Sum::default();
            points().filter(|p| p.place.adds_to(sample.place)).for_each(|p| sum.add(p.sum));
            most.max(sum)
        })
    }

    /// Keeps the places, forgets the counts.
    pub(crate) fn clear(&mut self) {
        self.pair.iter_mut().flatten().for_each(|point| point.sum = Sum::default());
        if let Some(more) = &mut self.more {
            more.clear();
        }
    }
}
