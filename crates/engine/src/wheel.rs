//! A wheel of deadlines, one list for each second.
//!
//! The lists run through the slab's own cells, so that an entry that goes leaves nothing behind: with lists of
//! references, a flood of short flows would leave five minutes of them. Invariant: a cell is in one list or in none.

/// Seconds the wheel reaches ahead; later deadlines are looked at again when it comes round.
const REACH: u32 = 1024;
const NONE: u32 = u32::MAX;
/// `Link::bucket` of a cell in no list.
const IDLE: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
    bucket: u16,
}

const FREE: Link = Link { previous: NONE, next: NONE, bucket: IDLE };

pub(crate) struct Wheel {
    heads: Vec<u32>,
    links: Vec<Link>,
    /// The next second to look at.
    second: u32,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { heads: vec![NONE; REACH as usize], links: Vec::new(), second: 0 }
    }

    /// Puts the cell into the list of this second, out of the one it is in.
    pub(crate) fn arm(&mut self, cell: u32, second: u32) {
        self.disarm(cell);
        let bucket = second.clamp(self.second, self.second.saturating_add(REACH - 1)) % REACH;
        let at = cell as usize;
        if at >= self.links.len() {
            self.links.resize(at + 1, FREE);
        }
        let Some(head) = self.heads.get_mut(bucket as usize) else { return };
        let next = std::mem::replace(head, cell);
        if let Some(link) = self.links.get_mut(at) {
            *link = Link { previous: NONE, next, bucket: bucket as u16 };
        }
        if let Some(link) = self.links.get_mut(next as usize) {
            link.previous = cell;
        }
    }

    /// Takes the cell out of the list it is in.
    pub(crate) fn disarm(&mut self, cell: u32) {
        let Some(link) = self.links.get_mut(cell as usize) else { return };
        let Link { previous, next, bucket } = std::mem::replace(link, FREE);
        if bucket == IDLE {
            return;
        }
        if let Some(link) = self.links.get_mut(previous as usize) {
            link.next = next;
        } else if let Some(head) = self.heads.get_mut(usize::from(bucket)) {
            *head = next;
        }
        if let Some(link) = self.links.get_mut(next as usize) {
            link.previous = previous;
        }
    }

    /// Takes out the next cell whose second is `now` or before; some may only have been out of reach.
    pub(crate) fn due(&mut self, now: u32) -> Option<u32> {
        // The last second is never over: there is none after it to look at next.
        let now = now.min(u32::MAX - 1);
        // After a leap in time one round shows every list.
        self.second = self.second.max(now.saturating_sub(REACH - 1));
        while self.second <= now {
            let cell = self.heads.get((self.second % REACH) as usize).copied().unwrap_or(NONE);
            if cell != NONE {
                self.disarm(cell);
                return Some(cell);
            }
            self.second += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, now: u32) -> Vec<u32> {
        let mut cells: Vec<u32> = std::iter::from_fn(|| wheel.due(now)).collect();
        cells.sort_unstable();
        cells
    }

    #[test]
    fn cells_come_at_their_second_and_once() {
        let mut wheel = Wheel::new();
        for (cell, at) in [(0, 5), (1, 5), (2, 6), (3, 900)] {
            wheel.arm(cell, at);
        }
        assert!(due(&mut wheel, 4).is_empty());
        assert_eq!(due(&mut wheel, 5), [0, 1]);
        assert_eq!(due(&mut wheel, 899), [2]);
        assert_eq!(due(&mut wheel, 900), [3]);
        assert!(due(&mut wheel, 5000).is_empty());
    }

    #[test]
    fn a_cell_that_is_armed_again_moves_and_one_disarmed_never_comes() {
        let mut wheel = Wheel::new();
        (0..4).for_each(|cell| wheel.arm(cell, 7));
        wheel.arm(1, 3);
        wheel.arm(0, 9);
        wheel.disarm(2);
        wheel.disarm(2);
        assert_eq!(due(&mut wheel, 3), [1]);
        assert_eq!(due(&mut wheel, 7), [3]);
        assert_eq!(due(&mut wheel, 9), [0]);
    }

    #[test]
    fn what_is_beyond_reach_comes_early_to_be_armed_again() {
        let mut wheel = Wheel::new();
        wheel.arm(0, 5000);
        assert!(due(&mut wheel, REACH - 2).is_empty());
        assert_eq!(due(&mut wheel, REACH - 1), [0]);
    }

    #[test]
    fn what_is_past_comes_at_the_next_second() {
        let mut wheel = Wheel::new();
        assert!(due(&mut wheel, 100).is_empty());
        wheel.arm(0, 3);
        assert!(due(&mut wheel, 100).is_empty());
        assert_eq!(due(&mut wheel, 101), [0]);
    }

    #[test]
    fn a_leap_of_any_length_shows_every_list() {
        let mut wheel = Wheel::new();
        (0..2000).for_each(|cell| wheel.arm(cell, cell));
        assert_eq!(due(&mut wheel, 4_000_000_000).len(), 2000);
        wheel.arm(7, u32::MAX);
        assert_eq!(due(&mut wheel, u32::MAX), [7]);
        assert!(wheel.heads.iter().all(|head| *head == NONE));
    }
}
