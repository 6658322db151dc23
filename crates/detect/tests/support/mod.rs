//! A capture file through the real datapath, parsers and engine into detectors.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part; a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hivewall_datapath::HashSeed;
use hivewall_detect::{Detection, Event, Said, Settings, Sign};
use hivewall_engine::{Effects, Engine, Event as Input, Limits};
use hivewall_host::source::{Batch, FileSource, Progress, Source as _};
use hivewall_model::Timestamp;
use hivewall_names::Names;
use hivewall_view::alerts::Severity;

/// Recorded captures that may not be part of the repository lie beside the checkout.
pub(crate) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases")
}

/// What all detectors (or those given) say of a capture.
pub(crate) fn replay(path: &Path, mut detection: Detection) -> Vec<Sign> {
    let mut source = FileSource::open(path, 1 << 14, HashSeed { words: [7; 12], multiplier: 9 }).unwrap();
    source.peek(true);
    let mut names = Names::new(hivewall_names::Limits::default());
    let mut engine = Engine::new(Limits::default());
    engine.watch_flows();
    let (mut batch, mut signs, mut effects) = (Batch::default(), Vec::new(), Effects::default());
    let mut next = Timestamp(i64::MIN);
    loop {
        batch.records.clear();
        batch.peeks.clear();
        let progress = source.poll(Duration::ZERO, &mut batch).unwrap();
        let is_due = batch.now >= next;
        if is_due {
            let (all, captured) = source.refresh().unwrap();
            engine.step(batch.now, Input::Interfaces { all, captured }, &mut effects);
        }
        engine.step(batch.now, Input::Records { records: &batch.records, clock: &batch.clock }, &mut effects);
        let mut findings = Vec::new();
        for (time, head, payload) in batch.peeks.iter() {
            names.take(time, head, payload, &mut findings);
        }
        engine.step(batch.now, Input::Findings(&findings), &mut effects);
        if is_due {
            next = batch.now + Duration::from_secs(1);
            names.tick(batch.now);
            engine.step(batch.now, Input::Tick, &mut effects);
        }
        show(&mut detection, batch.now, &mut effects, is_due, &mut signs);
        if progress == Progress::End {
            break;
        }
    }
    batch.records.clear();
    source.finish(&mut batch).unwrap();
    engine.step(batch.now, Input::Records { records: &batch.records, clock: &batch.clock }, &mut effects);
    engine.step(batch.now, Input::Shutdown, &mut effects);
    show(&mut detection, batch.now, &mut effects, true, &mut signs);
    signs
}

fn show(detection: &mut Detection, now: Timestamp, effects: &mut Effects, tick: bool, signs: &mut Vec<Sign>) {
    for pulse in effects.pulses.drain(..) {
        detection.see(now, &Event::Pulse(&pulse), signs);
    }
    for found in effects.findings.drain(..) {
        let said = Said {
            time: found.finding.time,
            tuple: found.tuple,
            from_client: found.from_client,
            learned: &found.finding.learned,
            flow: found.flow,
            process: found.process.as_ref(),
        };
        detection.see(now, &Event::Said(&said), signs);
    }
    for stray in effects.strays.drain(..) {
        detection.see(now, &Event::Stray(&stray), signs);
    }
    effects.closed.clear();
    effects.refusals.clear();
    if tick {
        detection.see(now, &Event::Tick, signs);
    }
}

/// All detectors with their defaults.
pub(crate) fn everything() -> Detection {
    Detection::new(&Settings::default())
}

/// What a capture has to raise: see [`hold`].
pub(crate) struct Row {
    /// File of the corpus.
    pub(crate) file: &'static str,
    /// Detectors of which each has to say something above `info`; empty for a clean capture, which may have nothing above it.
    pub(crate) detectors: &'static [&'static str],
    /// Who does it: `source` of a sign or among its samples (a MAC); `None` where sources are made up.
    pub(crate) source: Option<&'static str>,
    /// To whom: among a sign's targets, or its subject.
    pub(crate) target: Option<&'static str>,
    /// Detectors that may say something above `info` as well, with good reason.
    pub(crate) allowed: &'static [&'static str],
}

/// A capture that has to raise nothing above `info`.
pub(crate) const fn clean(file: &'static str) -> Row {
    Row { file, detectors: &[], source: None, target: None, allowed: &[] }
}

/// Replays every file and panics with all rows that do not hold.
///
/// A corpus that is missing is told on standard error, and is a failure where `HIVEWALL_REQUIRE_CORPUS=1` is set.
pub(crate) fn hold(rows: &[Row]) {
    let folder = corpus();
    if !folder.join("manifest.tsv").exists() {
        let text = "NOT RUN: there is no corpus at ../shared/cases beside the checkout; no capture was tried";
        assert!(std::env::var_os("HIVEWALL_REQUIRE_CORPUS").is_none_or(|value| value != "1"), "{text}");
        // Not eprintln!: the test runner keeps that to itself when a test passes.
        std::io::stderr().write_all(format!("\n{text}\n\n").as_bytes()).unwrap();
        return;
    }
    let wrong: Vec<String> =
        rows.iter().flat_map(|row| faults(row, &replay(&folder.join(row.file), everything()))).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn faults(row: &Row, signs: &[Sign]) -> Vec<String> {
    let mut wrong = Vec::new();
    let loud = || signs.iter().filter(|sign| sign.severity > Severity::Info);
    for name in row.detectors {
        let of_it: Vec<_> = loud().filter(|sign| sign.detector.name == *name).collect();
        if of_it.is_empty() {
            wrong.push(format!("{}: {name} says nothing above info", row.file));
        } else if !of_it.iter().any(|sign| names(row, sign)) {
            let said: Vec<_> = of_it.iter().take(3).map(|sign| sign.message.as_str()).collect();
            wrong.push(format!("{}: {name} names others: {said:?}", row.file));
        }
    }
    let other = loud()
        .filter(|sign| !row.detectors.contains(&sign.detector.name) && !row.allowed.contains(&sign.detector.name));
    wrong.extend(other.take(5).map(|sign| {
        format!("{}: {} is {} without need: {}", row.file, sign.detector.name, sign.severity.name(), sign.message)
    }));
    wrong
}

fn names(row: &Row, sign: &Sign) -> bool {
    let mac = sign.source_mac.map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":"));
    let is_source = |text: &str| {
        sign.subject.source.is_some_and(|source| source.to_string() == text) || mac.as_deref() == Some(text)
    };
    let is_target =
        |text: &str| sign.subject.target.iter().chain(&sign.targets).any(|target| target.to_string() == text);
    row.source.is_none_or(is_source) && row.target.is_none_or(is_target)
}
