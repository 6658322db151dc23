//! Traffic of conversations opened by this host, by the address at the other end.
//!
//! Who opened a conversation may be learned late (the reply's record came first), so what was booked is taken back or
//! made up for. Invariant: the table holds the whole of each flow that goes out by what is known, and nothing else.

use hivewall_view::AddressTraffic;

use crate::addresses::AddressTable;
use crate::entry::Entry;
use crate::points::Sum;

pub(crate) struct Outbound {
    table: AddressTable,
}

impl Outbound {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: AddressTable::new(limit, Vec::new()) }
    }

    /// Counts what a record was new to its flow, which it has been added to.
    pub(crate) fn book(&mut self, entry: &mut Entry, a_to_b: bool, delta: Sum) {
        let goes_out = entry.goes_out();
        match (entry.is_outbound, goes_out) {
            (false, false) => return,
            (true, true) => self.count(entry, a_to_b, delta),
            (false, true) => {
                for way in [true, false] {
                    let whole = entry.outside(way);
                    self.count(entry, way, whole);
                }
            }
            (true, false) => self.take_back(entry, a_to_b, delta),
        }
        entry.is_outbound = goes_out;
    }

    fn count(&mut self, entry: &mut Entry, a_to_b: bool, sum: Sum) {
        let client_is_a = entry.a_is_client();
        let (_, remote) = entry.key.ends(client_is_a);
        self.table.count(remote, &mut entry.remote_row, a_to_b != client_is_a, sum);
    }

    /// The roles turned out to be the other way round.
    fn take_back(&mut self, entry: &Entry, a_to_b: bool, delta: Sum) {
        let client_is_a = entry.a_is_client();
        let (remote, _) = entry.key.ends(client_is_a);
        for way in [true, false] {
            let whole = entry.outside(way);
            let booked = if way == a_to_b { whole.since(delta) } else { whole };
            self.table.take_back(remote, way == client_is_a, booked);
        }
    }

    pub(crate) fn busiest(&self, shown: usize) -> impl Iterator<Item = (String, AddressTraffic)> {
        self.table.busiest(shown)
    }
}
