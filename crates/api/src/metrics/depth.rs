//! Samples of what goes beyond traffic: processes, names, sockets, drops, the host, history. The metrics themselves stand
//! in `table`.
//!
//! Invariant: whatever the network or a user can name without bound is cut to a named number of samples here, the rest
//! under `other`.

use std::collections::BTreeMap;

use hivewall_view::{DiskLoad, FilesystemFill, HistoryInfo, PeerLatency, ProcessTraffic, SystemLoad};

use super::{Samples, Scrape};

/// Most process names in one scrape, `other` aside.
const PROCESSES_MAX: usize = 10;
/// Most peers in one scrape.
const PEERS_MAX: usize = 10;
/// Most targets of half-open connections in one scrape.
const TARGETS_MAX: usize = 10;
/// Most words of one label that the network can choose, `other` aside.
const WORDS_MAX: usize = 50;
/// Most combinations of reason, device and protocol, `other` aside.
const DROPS_MAX: usize = 200;
/// What is not kept apart.
const OTHER: &str = "other";

/// Processes of one name together; the busiest names by what they moved since the start.
pub(super) fn processes(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&ProcessTraffic) -> f64) {
    let mut names: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for process in &scrape.snapshot.processes {
        // No process has the number 0: that row stands for those that are no longer kept apart.
        let name = if process.pid == 0 && process.process == "(other)" { OTHER } else { process.process.as_str() };
        let (bytes, sum) = names.entry(name).or_default();
        *bytes += process.sent_bytes + process.received_bytes;
        *sum += value(process);
    }
    let mut other = names.remove(OTHER).unwrap_or_default().1;
    let mut busiest: Vec<_> = names.into_iter().collect();
    busiest.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
    for (at, (name, (_, sum))) in busiest.into_iter().enumerate() {
        if at < PROCESSES_MAX {
            out.add(&[name], sum);
        } else {
            other += sum;
        }
    }
    out.add(&[OTHER], other);
}

/// Counts by a word; what has no name, and all words beyond the most frequent, are `other`.
pub(super) fn known(out: &mut Samples, counts: &BTreeMap<String, u64>, has_name: fn(&str) -> bool) {
    let (mut words, unnamed): (Vec<(&String, &u64)>, Vec<_>) =
        counts.iter().partition(|(word, _)| word.as_str() != OTHER && has_name(word));
    words.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (word, count) in words.iter().take(WORDS_MAX) {
        out.count(&[word], **count);
    }
    let rest = words.into_iter().skip(WORDS_MAX);
    out.count(&[OTHER], rest.chain(unnamed).map(|(_, count)| count).sum());
}

/// HTTP responses by class of their status.
pub(super) fn classes(scrape: &Scrape<'_>, out: &mut Samples) {
    let mut classes = [("1xx", 0), ("2xx", 0), ("3xx", 0), ("4xx", 0), ("5xx", 0), (OTHER, 0)];
    for (status, count) in &scrape.snapshot.http_requests.statuses {
        let whole = status.len() == 3;
        let of_class = |class: &&mut (&str, u64)| class.0 == OTHER || (whole && status.get(..1) == class.0.get(..1));
        if let Some((_, sum)) = classes.iter_mut().find(of_class) {
            *sum += count;
        }
    }
    for (class, count) in classes {
        out.count(&[class], count);
    }
}

pub(super) fn peers(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&PeerLatency) -> f64) {
    let mut peers: Vec<_> = scrape.snapshot.latency.iter().collect();
    peers.sort_by_key(|(_, peer)| std::cmp::Reverse(peer.samples));
    for (address, peer) in peers.into_iter().take(PEERS_MAX) {
        out.add(&[address], value(peer));
    }
}

pub(super) fn transitions(scrape: &Scrape<'_>, out: &mut Samples) {
    for (transition, count) in &scrape.snapshot.sockets.transitions {
        if let Some((from, to)) = transition.split_once('>') {
            out.count(&[from, to], *count);
        }
    }
}

pub(super) fn half_open_targets(scrape: &Scrape<'_>, out: &mut Samples) {
    for target in scrape.snapshot.half_open_targets.iter().take(TARGETS_MAX) {
        out.count(&[&target.target], target.half_open);
    }
}

pub(super) fn kernel_drops(scrape: &Scrape<'_>, out: &mut Samples) {
    let drops = &scrape.snapshot.kernel_drops;
    for drop in drops.iter().take(DROPS_MAX) {
        let device = if drop.interface.is_empty() { "none" } else { &drop.interface };
        out.count(&[&drop.reason, device, &drop.protocol], drop.packets);
    }
    let rest: u64 = drops.iter().skip(DROPS_MAX).map(|drop| drop.packets).sum();
    if rest > 0 {
        out.count(&[OTHER, OTHER, OTHER], rest);
    }
}

/// Reads the host's load, where it is known.
pub(super) fn system(scrape: &Scrape<'_>, read: impl FnOnce(&SystemLoad)) {
    if let Some(system) = &scrape.snapshot.system {
        read(system);
    }
}

pub(super) fn disks(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&DiskLoad) -> f64) {
    system(scrape, |system| system.disks.iter().for_each(|(name, disk)| out.add(&[name], value(disk))));
}

pub(super) fn filesystems(scrape: &Scrape<'_>, out: &mut Samples, value: fn(&FilesystemFill) -> u64) {
    system(scrape, |system| system.filesystems.iter().for_each(|(mount, fill)| out.count(&[mount], value(fill))));
}

/// Reads what history is kept, where it is.
pub(super) fn history(scrape: &Scrape<'_>, read: impl FnOnce(&HistoryInfo)) {
    if !scrape.snapshot.history.directory.is_empty() {
        read(&scrape.snapshot.history);
    }
}
