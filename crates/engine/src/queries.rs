//! Answers about flows: filter, order, page, over what lives and what was kept.
//!
//! A million flows are asked about often, so a row is made only of what is shown, and a flow is built only where the
//! filter has to look at it.

use std::cmp::Reverse;

use hivewall_model::{Flow, FlowId, Timestamp};
use hivewall_view::query::{LIMIT_DEFAULT, LIMIT_MAX};
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

impl Engine {
    /// One page of flows.
    pub fn flows(&self, query: &Query) -> FlowPage {
        let name = |ifindex| self.interfaces.name(ifindex);
        let all = query.filter.is_empty();
        let mut found: Vec<(Rank, Found<'_>)> = Vec::new();
        let mut searched = 0;
        for entry in self.living() {
            searched += 1;
            if all || query.filter.matches(&entry.to_flow(&self.interfaces, self.now), &name) {
                found.push(((Reverse(self.weigh_entry(query.sort, entry)), entry.id), Found::Living(entry)));
            }
        }
        for flow in self.kept() {
            searched += 1;
            if all || query.filter.matches(flow, &name) {
                found.push(((Reverse(weigh(query.sort, flow)), flow.id), Found::Kept(flow)));
            }
        }
        let limit = if query.limit == 0 { LIMIT_DEFAULT } else { query.limit.min(LIMIT_MAX) };
        let matched = found.len();
        let end = query.offset.saturating_add(limit);
        if end < matched {
            // Only the part that is shown has to be in order.
            found.select_nth_unstable_by_key(end, |(rank, _)| *rank);
            found.truncate(end);
        }
        found.sort_unstable_by_key(|(rank, _)| *rank);
        let shown = found.iter().skip(query.offset);
        FlowPage {
            time: rfc3339(self.now),
            matched: matched as u64,
            searched,
            flows: shown
                .map(|(_, found)| match found {
                    Found::Living(entry) => FlowRow::new(&entry.to_flow(&self.interfaces, self.now), &name),
                    Found::Kept(flow) => FlowRow::new(flow, &name),
                })
                .collect(),
            next_offset: (end < matched).then_some(end as u64),
            reaches_back_to: if self.discarded_closed == 0 {
                None
            } else {
                self.kept().next().map(|oldest| rfc3339(oldest.last))
            },
        }
    }

    fn weigh_entry(&self, sort: Sort, entry: &Entry) -> u64 {
        match sort {
            Sort::Bytes | Sort::Packets => {
                let (there, back) = (entry.side(true, &self.interfaces), entry.side(false, &self.interfaces));
                if sort == Sort::Bytes { there.ip_bytes + back.ip_bytes } else { there.packets + back.packets }
            }
            Sort::Rate => entry.rate(self.now) as u64,
            Sort::Start => instant(entry.start),
            Sort::Last => instant(entry.last),
            Sort::Duration => entry.last.since(entry.start).as_nanos() as u64,
        }
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
        Sort::Rate => flow.rate as u64,
        Sort::Start => instant(flow.start),
        Sort::Last => instant(flow.last),
        Sort::Duration => flow.duration().as_nanos() as u64,
    }
}

/// Later is larger.
fn instant(time: Timestamp) -> u64 {
    time.0 as u64 ^ 1 << 63
}
