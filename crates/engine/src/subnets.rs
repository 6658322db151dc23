//! Configured prefixes, each counted as a whole; they may lie inside of one another.
//!
//! Addresses that are in the same prefixes share one list of them, so that an address is compared with every prefix
//! once, when it is first seen, and costs two bytes. Invariant: a list's number never changes its meaning.

use std::net::IpAddr;

use hivewall_view::AddressTraffic;
use ipnet::IpNet;

use crate::addresses::Counters;
use crate::points::Sum;

pub(crate) struct Subnets {
    rows: Vec<(IpNet, Counters)>,
    /// Which rows belong together. Prefixes nest or are disjoint, so there are at most as many lists as prefixes, and
    /// the empty one.
    lists: Vec<Vec<usize>>,
}

impl Subnets {
    pub(crate) fn new(all: Vec<IpNet>) -> Self {
        Self { rows: all.into_iter().map(|net| (net, Counters::default())).collect(), lists: vec![Vec::new()] }
    }

    /// The number of the list of prefixes that this address is in.
    pub(crate) fn of(&mut self, ip: IpAddr) -> u16 {
        let within = self.rows.iter().enumerate().filter(|(_, (net, _))| net.contains(&ip));
        let list: Vec<usize> = within.map(|(at, _)| at).collect();
        let known = self.lists.iter().position(|known| *known == list).unwrap_or_else(|| {
            self.lists.push(list);
            self.lists.len() - 1
        });
        known as u16
    }

    pub(crate) fn count(&mut self, list: u16, sent: bool, sum: Sum) {
        for at in self.lists.get(usize::from(list)).into_iter().flatten() {
            if let Some((_, counters)) = self.rows.get_mut(*at) {
                counters.add(sent, sum);
            }
        }
    }

    pub(crate) fn view(&self) -> impl Iterator<Item = (String, AddressTraffic)> {
        self.rows.iter().map(|(net, counters)| (net.to_string(), counters.view()))
    }
}
