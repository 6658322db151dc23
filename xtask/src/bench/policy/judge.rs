//! A packet of a flow that has its verdict, and the first packet of a flow, under policies of different sizes.
//!
//! Each size is measured beside no policy and beside ten rules, in the same maps: what differs from load to load of an
//! object, as where its memory lies, is in all three.

use anyhow::Result;
use hivewall_soft::PolicyTables;
use hivewall_testkit::generate::Rng;
use hivewall_testkit::packet::{ACK, frame};

use super::Plan;
use super::bench::{Bench, InForce, flow};
use super::rules::{Shape, document, of_set, ruleset, tables};
use crate::bench::datapath::pin;
use crate::bench::report::{Cell, Report};
use crate::bench::sample::Sample;

/// Slots that survive while they take turns.
const BASE: InForce = InForce::Slot(2);
const OTHER: InForce = InForce::Slot(3);
const STATES: [InForce; 3] = [InForce::Nothing, BASE, OTHER];
/// Times [`Plan::packets`] a round.
const STRETCHES: u32 = 4;
const PROGRAM: &str = "observe_many";

/// What flows the packets belong to.
#[derive(Clone, Copy)]
enum Flows {
    /// So many, in random order.
    Known(u32),
    /// Each packet begins another.
    New,
}

impl Flows {
    fn name(self) -> String {
        match self {
            Self::Known(1) => "1 flow".to_owned(),
            Self::Known(count) => format!("{count} flows"),
            Self::New => "new".to_owned(),
        }
    }

    fn choose(self, bench: &mut Bench) -> Result<()> {
        let mut rng = Rng::new(7);
        bench.choose(|at| {
            let number = match self {
                Self::Known(count) => rng.below(u64::from(count)) as u32,
                Self::New => at,
            };
            // Spread over the whole of 10.0.0.0/8; the factor is odd, so that no two flows are one.
            let address = number.wrapping_mul(0x009e_3779) & 0x00ff_ffff;
            flow(0x0a00_0000 | address, 1024 + (number >> 24) as u16 + (number % 1000) as u16)
        })
    }
}

/// Packets of known flows.
pub(super) fn established(plan: &Plan, object: &[u8], ifindex: u32) -> Result<Vec<Report>> {
    let title = "A packet whose flow has its verdict, by the policy in force";
    compare(plan, object, ifindex, title, &[Flows::Known(1), Flows::Known(1000)])
}

/// First packets.
pub(super) fn new(plan: &Plan, object: &[u8], ifindex: u32) -> Result<Vec<Report>> {
    compare(plan, object, ifindex, "The first packet of a flow, by the policy in force", &[Flows::New])
}

fn policies(plan: &Plan) -> Result<Vec<(String, PolicyTables)>> {
    let mut all = Vec::new();
    for rules in plan.rules {
        all.push((format!("{rules} rules"), tables(&ruleset(&document(*rules, Shape::Services))?)?));
    }
    if let Some(rules) = plan.rules.last() {
        all.push((format!("{rules} rules, worst case"), tables(&ruleset(&document(*rules, Shape::Dense))?)?));
    }
    for prefixes in plan.prefixes {
        all.push((format!("a set of {prefixes} prefixes"), tables(&of_set(*prefixes)?)?));
    }
    Ok(all)
}

fn compare(plan: &Plan, object: &[u8], ifindex: u32, title: &str, loads: &[Flows]) -> Result<Vec<Report>> {
    let cpu = pin(plan.cpu)?;
    let mut bench = Bench::load(object, cpu, ifindex)?;
    let columns: Vec<String> = loads.iter().flat_map(|load| columns(*load)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut report = Report::new(title, "ns, least / median", &columns);
    let base = tables(&ruleset(&document(10, Shape::Services))?)?;
    let policies = policies(plan)?;
    let mut rows: Vec<Vec<Cell>> = vec![Vec::new(); policies.len()];
    for load in loads {
        load.choose(&mut bench)?;
        for ((name, tables), row) in policies.iter().zip(&mut rows) {
            eprintln!("{}, {name} …", load.name());
            bench.enforce(InForce::Nothing)?;
            bench.fill(2, &base)?;
            bench.fill(3, tables)?;
            row.extend(cells(&rounds(plan, &mut bench)?));
        }
    }
    for ((name, _), row) in policies.iter().zip(rows) {
        report.row(name, row);
    }
    report.note(format!(
        "CPU {cpu}, {} rounds of {} packets each, all three in turn; parsing and accounting are in it.",
        plan.rounds,
        plan.packets * STRETCHES
    ));
    Ok(vec![report])
}

fn columns(load: Flows) -> [String; 4] {
    let name = load.name();
    [format!("{name}, none"), format!("{name}, 10 rules"), format!("{name}, this"), "this / 10 rules".to_owned()]
}

/// A sample for each of [`STATES`].
fn rounds(plan: &Plan, bench: &mut Bench) -> Result<[Sample; 3]> {
    let program = bench.loaded.test_run(PROGRAM)?;
    let frame = frame().ipv4("10.0.0.1", "192.168.0.1").tcp(1024, 443).flags(ACK).pad_to(64).build();
    let mut samples = [Sample::default(), Sample::default(), Sample::default()];
    for _ in 0..plan.rounds {
        for (state, sample) in STATES.into_iter().zip(&mut samples) {
            bench.enforce(state)?;
            // Every flow is judged anew here, and caches are warm after it.
            bench.classify(&program, &frame, plan.packets * 2)?;
            sample.0.extend(bench.classify(&program, &frame, plan.packets * STRETCHES)?);
        }
    }
    Ok(samples)
}

fn cells([none, base, this]: &[Sample; 3]) -> Vec<Cell> {
    let spread = |sample: &Sample| Cell::Spread { min: sample.min(), median: sample.median() };
    vec![spread(none), spread(base), spread(this), Cell::One(this.min() / base.min().max(0.1))]
}
