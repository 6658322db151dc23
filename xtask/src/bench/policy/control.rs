//! How long a change takes, and what the tables take of memory.
//!
//! Times of this process depend on how it was built: the note below the table tells.

use std::time::Instant;

use anyhow::{Result, ensure};
use aya::maps::{MapType, loaded_maps};

use super::Plan;
use super::bench::{Bench, InForce};
use super::front::{Kind, ban, host, open};
use super::rules::{Shape, document, of_set, ruleset, tables};
use crate::bench::datapath::pin;
use crate::bench::report::{Cell, Report};
use crate::bench::sample::Sample;

/// Single changes beside all other bans.
const CHANGES: u32 = 64;

/// Runs this part.
pub(super) fn run(plan: &Plan, object: &[u8], ifindex: u32) -> Result<Vec<Report>> {
    let mut bench = Bench::load(object, pin(plan.cpu)?, ifindex)?;
    let mut reports = vec![policies(plan, &mut bench)?];
    for kind in [Kind::Hosts, Kind::Nets] {
        let mut bench = Bench::load(object, pin(plan.cpu)?, ifindex)?;
        reports.push(bans(plan, &mut bench, kind)?);
    }
    Ok(reports)
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn built() -> &'static str {
    if cfg!(debug_assertions) {
        "built for development (opt-level 1, with checks); a release build is faster"
    } else {
        "built for release"
    }
}

fn policies(plan: &Plan, bench: &mut Bench) -> Result<Report> {
    let columns = ["read", "compile", "fill", "switch", "all", "kernel, MB"];
    let mut report = Report::new("A change of the policy", "ms, least / median; MB", &columns);
    for rules in plan.rules {
        for shape in [Shape::Services, Shape::Dense] {
            let text = document(*rules, shape);
            let name = if shape == Shape::Dense { ", worst case" } else { "" };
            let cells = change(plan.rounds, bench, || ruleset(&text))?;
            report.row(&format!("{rules} rules{name}"), cells);
        }
    }
    if let Some(prefixes) = plan.prefixes.last() {
        let cells = change(plan.rounds.min(3), bench, || of_set(*prefixes))?;
        report.row(&format!("a set of {prefixes} prefixes (made, not read)"), cells);
    }
    report.note(format!("Read: parsed, checked and resolved. {} rounds, {}.", plan.rounds, built()));
    Ok(report)
}

fn change(
    rounds: u32,
    bench: &mut Bench,
    mut read: impl FnMut() -> Result<hivewall_policy::Ruleset>,
) -> Result<Vec<Cell>> {
    let mut samples: [Sample; 5] = Default::default();
    let mut memory = 0;
    for round in 0..rounds {
        let start = Instant::now();
        let ruleset = read()?;
        let was_read = milliseconds(start);
        let tables = tables(&ruleset)?;
        let compiled = milliseconds(start);
        let before = maps_of_slots();
        let filling = Instant::now();
        let slot = 2 + round % 2;
        bench.fill(slot, &tables)?;
        let filled = milliseconds(filling);
        // What a slot had before is gone by now, or in both.
        memory = maps_of_slots().iter().filter(|map| !before.contains(map)).map(|(_, bytes)| bytes).sum();
        let switching = Instant::now();
        bench.enforce(InForce::Slot(slot))?;
        let switched = milliseconds(switching);
        let times = [was_read, compiled - was_read, filled, switched, compiled + filled + switched];
        samples.iter_mut().zip(times).for_each(|(sample, time)| sample.0.push(time));
    }
    let spread = |sample: &Sample| Cell::Spread { min: sample.min(), median: sample.median() };
    let mut cells: Vec<Cell> = samples.iter().map(spread).collect();
    cells.push(Cell::One(memory as f64 / 1e6));
    Ok(cells)
}

/// Number and bytes of all maps that belong to no object: those in the slots, which the loader gives this name.
fn maps_of_slots() -> Vec<(u32, u64)> {
    let mut found = Vec::new();
    for info in loaded_maps() {
        // A map of another process may be gone by now.
        let Ok(info) = info else { continue };
        let of_slots = matches!(info.map_type(), Ok(MapType::Array | MapType::LpmTrie | MapType::Hash));
        if of_slots && info.name().starts_with(b"standalone_") {
            found.push((info.id(), bytes_of(&info).unwrap_or(0)));
        }
    }
    found
}

/// What the kernel accounts to a map.
fn bytes_of(info: &aya::maps::MapInfo) -> Result<u64> {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let fd = info.fd()?;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    Ok(line.and_then(|number| number.trim().parse().ok()).unwrap_or(0))
}

fn bans(plan: &Plan, bench: &mut Bench, kind: Kind) -> Result<Report> {
    let count = plan.prefixes.last().copied().unwrap_or(0) as u32;
    let mut bans = open(bench.loaded.ban_maps()?)?;
    let all: Vec<_> = (0..count).map(|number| kind.prefix(number)).collect();
    let start = Instant::now();
    let outcome = bans.add_all(all, &ban());
    let loaded = milliseconds(start);
    ensure!(outcome.refused.is_empty(), "{} bans were refused", outcome.refused.len());
    let title = format!("Bans beside {count} others ({})", if kind == Kind::Hosts { "addresses" } else { "/24" });
    let mut report = Report::new(&title, "µs, least / median / worst", &["least / median", "worst"]);
    let (mut added, mut removed, mut epoch) = (Sample::default(), Sample::default(), Sample::default());
    for change in 0..CHANGES {
        // Single addresses and networks in turn.
        let prefix = if change % 2 == 0 { host(0x5000_0001 + change * 256) } else { kind.prefix(count + 8 + change) };
        let start = Instant::now();
        bans.add(prefix, ban())?;
        added.0.push(milliseconds(start) * 1e3);
        let start = Instant::now();
        bench.enforce(InForce::Nothing)?;
        epoch.0.push(milliseconds(start) * 1e3);
        let start = Instant::now();
        bans.remove(prefix)?;
        removed.0.push(milliseconds(start) * 1e3);
    }
    for (name, sample) in [("one added", &added), ("one removed", &removed), ("flows told, after either", &epoch)] {
        let worst = sample.0.iter().copied().fold(0.0, f64::max);
        let spread = Cell::Spread { min: sample.min(), median: sample.median() };
        report.row(name, vec![spread, Cell::One(worst)]);
    }
    report.row("all loaded at once, ms", vec![Cell::One(loaded), Cell::None]);
    report.row("tables in the kernel, MB", vec![Cell::One(ban_bytes(bench)? as f64 / 1e6), Cell::None]);
    report.note(format!("Each of {CHANGES} changes alone; {}.", built()));
    Ok(report)
}

fn ban_bytes(bench: &mut Bench) -> Result<u64> {
    let ids = bench.loaded.xdp("front_many")?.info()?.map_ids()?.unwrap_or_default();
    let mut sum = 0;
    for id in ids {
        let info = aya::maps::MapInfo::from_id(id)?;
        if info.name_as_str().is_some_and(|name| name.starts_with("BAN_")) {
            sum += bytes_of(&info)?;
        }
    }
    Ok(sum)
}
