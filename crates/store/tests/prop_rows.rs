//! Whatever a flow is like, what is read back shows the same row: from memory, from the journal, from Parquet; and a
//! filter finds in the store what it finds in rows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{any_flow, name, options, push, until};
use hivewall_model::{Flow, FlowId};
use hivewall_store::Store;
use hivewall_view::{Filter, FlowRow, Query, Sort};
use proptest::prelude::*;

fn rows(flows: &[Flow]) -> BTreeMap<u64, FlowRow> {
    flows.iter().map(|flow| (flow.id.0, FlowRow::new(flow, &|index| name(index).to_string()))).collect()
}

fn read(store: &Store) -> BTreeMap<u64, FlowRow> {
    let query = Query { limit: 100_000, sort: Sort::Start, ..Query::default() };
    let page = store.reader().flows(&query, until()).unwrap();
    assert_eq!(page.matched as usize, page.flows.len());
    page.flows.into_iter().map(|row| (row.flow_id, row)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_row_reads_back_as_it_was(flows in proptest::collection::vec(any_flow(), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let flows: Vec<Flow> = flows
            .into_iter()
            .enumerate()
            .map(|(number, flow)| Flow { id: FlowId(flow.id.0 / 64 * 64 + number as u64), ..flow })
            .collect();
        let want = rows(&flows);
        // Nothing here is about age: arbitrary times are centuries away.
        let mut options = options(directory.path());
        options.max_age = std::time::Duration::from_secs(1 << 40);
        let store = Store::open(options.clone()).unwrap();
        push(&store, flows);
        prop_assert_eq!(&read(&store), &want, "from memory");
        drop(store);
        let store = Store::open(options.clone()).unwrap();
        prop_assert_eq!(&read(&store), &want, "from the journal");
        store.seal();
        prop_assert_eq!(store.reader().info().segments, 1);
        prop_assert_eq!(&read(&store), &want, "from Parquet");
    }

    #[test]
    fn a_filter_finds_in_the_store_what_it_finds_in_rows(
        flows in proptest::collection::vec(any_flow(), 1..60),
        terms in proptest::collection::vec(0_usize..12, 1..4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let flows: Vec<Flow> =
            flows.into_iter().enumerate().map(|(number, flow)| Flow { id: FlowId(number as u64), ..flow }).collect();
        let picked = &flows[flows.len() / 2];
        let all = [
            format!("src-ip:{}", picked.tuple.client),
            format!("ip:{},{}", picked.tuple.server, flows[0].tuple.client),
            format!("!dst-ip:{}", picked.tuple.server),
            "ip:0.0.0.0/1".to_owned(),
            format!("from:@{}", picked.last.secs()),
            format!("to:@{}", picked.start.secs()),
            format!("!from:@{}", picked.last.secs()),
            "port:0-32767".to_owned(),
            "interface:eth*".to_owned(),
            "tunnel:any".to_owned(),
            "bytes>1M".to_owned(),
            "direction:inbound".to_owned(),
        ];
        let text = terms.iter().map(|term| all[*term].as_str()).collect::<Vec<_>>().join(" ");
        let filter = Filter::parse(&text, common::now()).unwrap();
        let want: Vec<u64> = rows(&flows).into_values().filter(|row| filter.matches_row(row)).map(|row| row.flow_id).collect();
        let mut options = options(directory.path());
        options.max_age = std::time::Duration::from_secs(1 << 40);
        let store = Store::open(options).unwrap();
        let query = Query { filter, limit: 1000, ..Query::default() };
        push(&store, flows);
        let open = store.reader().flows(&query, until()).unwrap();
        prop_assert_eq!(common::ids(&open), want.clone(), "{} among open rows", text);
        store.seal();
        let sealed = store.reader().flows(&query, until()).unwrap();
        prop_assert_eq!(common::ids(&sealed), want, "{} in a segment", text);
        prop_assert_eq!(sealed.matched, sealed.flows.len() as u64);
    }
}
