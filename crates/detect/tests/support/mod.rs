//! A capture file through the real datapath, parsers and engine into detectors.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part; a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use hivewall_datapath::HashSeed;
use hivewall_detect::{Detection, Event, Said, Settings, Sign};
use hivewall_engine::{Effects, Engine, Event as Input, Limits};
use hivewall_host::source::{Batch, FileSource, Progress, Source as _};
use hivewall_model::Timestamp;
use hivewall_names::Names;

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
