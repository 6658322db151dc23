//! Answers about flows: filter, order, page, over what lives and what was kept.
//!
//! A million flows are asked about often, so a row is made only of what is shown, and a flow is built only where the
//! filter has to look at it.

use std::cmp::Reverse;

use hivewall_model::{Flow, FlowId, Perspective, Timestamp, Tuple};
use hivewall_view::time::rfc3339;
use hivewall_view::{FlowPage, FlowRow, Query, Sort};

use crate::Engine;
use crate::entry::Entry;

/// Where a candidate is.
#[derive(Clone, Copy)]
enum Found<'a> {
    Living(&'a Entry),
    Kept(&'a Flow),
}

/// Largest first; among equals the older flow first, so that pages do not shuffle.
type Rank = (Reverse<u64>, FlowId);

/// The best of many, without holding more than twice as many as are wanted.
struct Best<'a> {
    wanted: usize,
    found: Vec<(Rank, Found<'a>)>,
    matched: usize,
}

impl<'a> Best<'a> {
    fn new(wanted: usize) -> Self {
        Self { wanted, found: Vec::new(), matched: 0 }
    }

    fn offer(&mut self, weight: u64, id: FlowId, found: Found<'a>) {
        self.matched += 1;
        self.found.push(((Reverse(weight), id), found));
        if self.found.len() >= self.wanted.saturating_mul(2).max(1024) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.found.len() > self.wanted {
            self.found.select_nth_unstable_by_key(self.wanted, |(rank, _)| *rank);
            self.found.truncate(self.wanted);
        }
    }

    fn sorted(&mut self) -> &[(Rank, Found<'a>)] {
        self.cut();
        self.found.sort_unstable_by_key(|(rank, _)| *rank);
        &self.found
    }
}

impl Engine {
    /// One page of flows.
    pub fn flows(&self, query: &Query) -> FlowPage {
        let name = |ifindex| self.interfaces.name(ifindex);
        let all = query.filter.is_empty();
        let limit = query.page_limit();
        let end = query.offset.saturating_add(limit);
        let mut best = Best::new(end);
        let mut searched = 0;
        for entry in self.table.iter() {
            searched += 1;
            if all || query.filter.matches(&entry.to_flow(&self.interfaces, &self.rulings.names, self.now), &name) {
                best.offer(self.weigh_entry(query.sort, entry), entry.id, Found::Living(entry));
            }
        }
        // A question into history finds them there.
        for flow in self.kept().filter(|_| !query.history) {
            searched += 1;
            if all || query.filter.matches(flow, &name) {
                best.offer(weigh(query.sort, flow), flow.id, Found::Kept(flow));
            }
        }
        let shown = best.sorted().iter().skip(query.offset).map(|(_, found)| match found {
            Found::Living(entry) => {
                FlowRow::new(&entry.to_flow(&self.interfaces, &self.rulings.names, self.now), &name)
            }
            Found::Kept(flow) => FlowRow::new(flow, &name),
        });
        FlowPage {
            time: rfc3339(self.now),
            flows: shown.collect(),
            matched: best.matched as u64,
            searched,
            next_offset: (end < best.matched).then_some(end as u64),
            reaches_back_to: (self.discarded_closed > 0).then(|| rfc3339(self.discarded_until)),
        }
    }

    fn weigh_entry(&self, sort: Sort, entry: &Entry) -> u64 {
        match sort {
            Sort::Bytes => entry.side(true).ip_bytes + entry.side(false).ip_bytes,
            Sort::Packets => entry.side(true).packets + entry.side(false).packets,
            Sort::Rate => bits(entry.rate(self.now)),
            Sort::Start => instant(entry.start()),
            Sort::Last => instant(entry.last),
            Sort::Duration => entry.last.since(entry.start()).as_nanos() as u64,
        }
    }

    /// From where to where a conversation goes, as this host sees it.
    pub fn perspective(&self, tuple: &Tuple) -> Perspective {
        self.interfaces.perspective(tuple.client, tuple.server)
    }

    /// An interface's name, by its index.
    pub fn interface_name(&self, ifindex: u32) -> String {
        self.interfaces.name(ifindex)
    }

    /// The row of a flow, with this engine's interface names.
    pub fn row(&self, flow: &Flow) -> FlowRow {
        FlowRow::new(flow, &|ifindex| self.interfaces.name(ifindex))
    }
}

fn weigh(sort: Sort, flow: &Flow) -> u64 {
    match sort {
        Sort::Bytes => flow.ip_bytes(),
        Sort::Packets => flow.packets(),
        Sort::Rate => bits(flow.rate),
        Sort::Start => instant(flow.start),
        Sort::Last => instant(flow.last),
        Sort::Duration => flow.duration().as_nanos() as u64,
    }
}

/// As shown: whole bits.
fn bits(bytes: f64) -> u64 {
    (bytes * 8.0).round() as u64
}

/// Later is larger.
fn instant(time: Timestamp) -> u64 {
    time.0 as u64 ^ 1 << 63
}
