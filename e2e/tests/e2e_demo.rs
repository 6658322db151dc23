//! `hivewall demo`: a whole fleet in one process; and whether what all hosts saw together is what they saw one by one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hivewall_e2e::{binary, pause};
use serde_json::Value;

/// Longest wait for an epoch that was seen whole.
const WHOLE_EPOCH_MAX: Duration = Duration::from_secs(90);

/// A running demo; it ends with the value.
struct Demo {
    child: Child,
    api: String,
}

impl Demo {
    fn start(hosts: &str) -> Self {
        let mut command = Command::new(binary::path());
        command.args(["demo", "--hosts", hosts, "--seconds", "120", "--api-listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first line is the first host's, with its address.
        let first = lines.next().expect("the demo says something").unwrap();
        let api = first.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, api }
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        let mut answer = ureq::get(format!("{}{path}", self.api)).call().map_err(|error| error.to_string())?;
        let text =
            answer.body_mut().with_config().limit(1 << 30).read_to_string().map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }
}

impl Demo {
    /// The fleet when it has seen an epoch from all of so many hosts: the epoch under way, a whole one, and what it takes to
    /// sum that up.
    fn whole_epoch(&self, hosts: u64) -> Value {
        let began = Instant::now();
        loop {
            let fleet = self.get("/api/v1/fleet");
            let is_whole = |fleet: &Value| fleet["coverage"]["complete"] == true && fleet["coverage"]["heard"] == hosts;
            if let Ok(fleet) = &fleet
                && is_whole(fleet)
            {
                return fleet.clone();
            }
            assert!(began.elapsed() < WHOLE_EPOCH_MAX, "{fleet:#?}");
            pause(Duration::from_millis(200));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes by key, and how many different keys.
fn sums<'f>(flows: &[&'f Value], key: impl Fn(&'f Value) -> String) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for flow in flows {
        *sums.entry(key(flow)).or_insert(0) += flow["bytes"].as_u64().unwrap();
    }
    sums
}

#[test]
fn what_all_hosts_saw_together_is_what_they_saw_one_by_one() {
    let demo = Demo::start("4");
    let fleet = demo.whole_epoch(4);
    let total = &fleet["total"];
    let epoch = total["coverage"]["epoch"].as_u64().unwrap();
    let page = demo.get("/api/v1/fleet/flows?limit=10000").unwrap();
    assert_eq!(page["answer"]["heard"], 4, "{}", page["answer"]);
    let rows = page["flows"].as_array().unwrap();
    assert!(page.get("next_offset").is_none(), "all flows are on the page");
    // A flow is on both its hosts; here it counts once. Each lasts for a moment, so its beginning tells its epoch.
    let mut seen = BTreeSet::new();
    let in_epoch = |flow: &Value| {
        let start = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.fZ", flow["start"].as_str().unwrap());
        let start: jiff::Timestamp = start.unwrap_or_else(|_| flow["start"].as_str().unwrap().parse().unwrap());
        start.as_second().cast_unsigned() / 10 == epoch
    };
    let flows: Vec<&Value> = rows
        .iter()
        .map(|row| &row["flow"])
        .filter(|flow| in_epoch(flow))
        .filter(|flow| seen.insert(flow["community_id"].to_string() + &flow["start"].as_str().unwrap()[..19]))
        .collect();
    let bytes: u64 = flows.iter().map(|flow| flow["bytes"].as_u64().unwrap()).sum();
    assert_eq!(total["flows"].as_u64(), Some(flows.len() as u64), "{total:#}");
    assert_eq!(total["bytes"].as_u64(), Some(bytes), "{total:#}");
    let address = |name: &'static str| move |flow: &Value| flow[name].as_str().unwrap().to_owned();
    for (list, distinct, truth) in [
        ("sources", "distinct_sources", sums(&flows, address("source_ip"))),
        ("destinations", "distinct_destinations", sums(&flows, address("dest_ip"))),
    ] {
        let mut exact: Vec<(&String, &u64)> = truth.iter().collect();
        exact.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
        for (key, bytes) in exact.iter().take(10) {
            let rows = total[list]["rows"].as_array().unwrap();
            let row = rows.iter().find(|row| row["key"] == key.as_str());
            let row = row.unwrap_or_else(|| panic!("{key} is one of the ten largest {list}: {rows:#?}"));
            let (least, most) = (row["bytes"].as_u64().unwrap(), row["bytes_max"].as_u64().unwrap());
            assert!((least..=most).contains(bytes), "{key}: {bytes} is not within {least} to {most}");
        }
        let (low, high) = (total[distinct]["low"].as_f64().unwrap(), total[distinct]["high"].as_f64().unwrap());
        let count = truth.len() as f64;
        assert!((low.floor()..=high.ceil()).contains(&count), "{distinct}: {count} is not within {low} to {high}");
    }
}
