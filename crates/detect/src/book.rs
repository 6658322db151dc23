//! From signs to alerts: what belongs together is one alert, what is muted is none, what is quiet is over.
//!
//! Bounded: at most [`ALERTS_MAX`] alerts are kept, the oldest that is over goes first. Invariant: every sign is in one
//! alert, or counted as muted.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use hashbrown::HashMap;
use hivewall_model::{Timestamp, protocol_name};
use hivewall_view::alerts::{
    Acknowledgement, Alert, AlertQuery, AlertState, Evidence, Mute, MuteAction, OwnersEvidence, Response, Severity,
    Technique,
};
use hivewall_view::time::{parse_rfc3339, rfc3339};

use crate::mutes::Muted;
use crate::{Definition, HOSTS_MAX, SAMPLE_CHARS_MAX, SAMPLES_MAX, Sign, Subject, TARGETS_MAX};

/// Most alerts that are kept, over and going on.
pub const ALERTS_MAX: usize = 10_000;

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Raised,
    /// It is worse than it was.
    Worsened,
    /// It goes on: figures and times are newer.
    Updated,
    /// It is over.
    Ended,
}

/// An alert in the book.
#[derive(Clone, Debug)]
struct Entry {
    alert: Alert,
    subject: Subject,
    detector: &'static Definition,
    last: Timestamp,
}

/// Counts by detector and severity.
pub type Tally = BTreeMap<&'static str, BTreeMap<&'static str, u64>>;

/// All alerts of a host.
#[derive(Debug, Default)]
pub struct Book {
    host: String,
    /// Alerts that go on, by what makes them one.
    live: HashMap<(&'static str, Subject), u64>,
    /// By number, which grows with time.
    entries: BTreeMap<u64, Entry>,
    next: u64,
    mutes: Vec<Muted>,
    next_mute: u64,
    raised: Tally,
    signs: BTreeMap<&'static str, u64>,
    muted: u64,
    forgotten: u64,
    /// Ids of alerts that were forgotten and not asked for yet.
    retired: Vec<String>,
}

fn clip(text: &str, most: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    clean.take(most).collect()
}

/// Adds what is not there yet, up to a limit.
fn merge<T: PartialEq>(into: &mut Vec<T>, more: impl IntoIterator<Item = T>, most: usize) {
    for one in more {
        if into.len() >= most {
            return;
        }
        if !into.contains(&one) {
            into.push(one);
        }
    }
}

impl Book {
    /// Nothing is known yet. Numbers of alerts begin with `next`.
    pub fn new(host: &str, next: u64) -> Self {
        Self { host: host.to_owned(), next, ..Self::default() }
    }

    /// Takes a sign; gives the alert and what became of it, unless it is muted.
    pub fn take(&mut self, now: Timestamp, sign: &Sign, interface: Option<String>) -> Option<(Change, Alert)> {
        *self.signs.entry(sign.detector.name).or_default() += 1;
        let silenced = match self.mute_of(now, sign) {
            Some((MuteAction::Exclude, _)) => {
                self.muted += 1;
                return None;
            }
            Some((MuteAction::Silence, until)) => Some(until),
            None => None,
        };
        let key = (sign.detector.name, sign.subject.clone());
        let known = self.live.get(&key).copied();
        let quiet = std::time::Duration::from_secs(u64::from(sign.detector.quiet_seconds));
        let goes_on =
            known.filter(|number| self.entries.get(number).is_some_and(|entry| sign.last.since(entry.last) <= quiet));
        let (number, change) = match goes_on.and_then(|number| Some((number, self.entries.get_mut(&number)?))) {
            Some((number, entry)) => (number, entry.renew(sign)),
            None => (self.admit(key, sign, interface), Change::Raised),
        };
        let entry = self.entries.get_mut(&number)?;
        entry.alert.silenced_until = silenced;
        let alert = entry.alert.clone();
        if change == Change::Raised {
            *self.raised.entry(sign.detector.name).or_default().entry(alert.severity.name()).or_default() += 1;
        }
        Some((change, alert))
    }

    fn admit(&mut self, key: (&'static str, Subject), sign: &Sign, interface: Option<String>) -> u64 {
        let number = self.next;
        self.next += 1;
        // One that was quiet for too long without a tick in between is over.
        if let Some(before) = self.live.insert(key.clone(), number)
            && let Some(entry) = self.entries.get_mut(&before)
        {
            entry.alert.state = AlertState::Ended;
        }
        let mut alert = new_alert(&self.host, sign, interface);
        alert.id = id_of(&self.host, number, sign);
        let entry = Entry { alert, subject: key.1, detector: sign.detector, last: sign.last };
        self.entries.insert(number, entry);
        self.make_room();
        number
    }

    /// The oldest goes, one that is over first.
    fn make_room(&mut self) {
        while self.entries.len() > ALERTS_MAX {
            let over = self.entries.iter().find(|(_, entry)| entry.alert.state == AlertState::Ended);
            let Some(number) = over.or_else(|| self.entries.iter().next()).map(|(number, _)| *number) else { return };
            if let Some(entry) = self.entries.remove(&number) {
                let key = (entry.detector.name, entry.subject);
                if self.live.get(&key) == Some(&number) {
                    self.live.remove(&key);
                }
                self.retired.push(entry.alert.id);
            }
            self.forgotten += 1;
        }
    }

    /// Ends what has been quiet, and mutes whose time is over. Wanted about once a second.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Alert> {
        self.mutes.retain(|mute| mute.until.is_none_or(|until| until > now));
        let is_quiet = |entry: &Entry| {
            now.since(entry.last) > std::time::Duration::from_secs(u64::from(entry.detector.quiet_seconds))
        };
        let mut ended = Vec::new();
        let entries = &mut self.entries;
        self.live.retain(|_, number| {
            let Some(entry) = entries.get_mut(number) else { return false };
            if is_quiet(entry) {
                entry.alert.state = AlertState::Ended;
                ended.push(entry.alert.clone());
                return false;
            }
            true
        });
        ended.sort_by(|one, other| one.first_seen.cmp(&other.first_seen).then_with(|| one.id.cmp(&other.id)));
        ended
    }

    /// Those asked for, the latest first, and how many there are.
    pub fn find(&self, query: &AlertQuery) -> (Vec<Alert>, u64) {
        let mut all: Vec<&Alert> =
            self.entries.values().map(|entry| &entry.alert).filter(|alert| query.wants(alert)).collect();
        all.sort_by(|one, other| other.last_seen.cmp(&one.last_seen).then_with(|| other.id.cmp(&one.id)));
        let matched = all.len() as u64;
        (all.into_iter().take(query.limit).cloned().collect(), matched)
    }

    /// Those that go on, the worst first, then the latest of the others.
    pub fn latest(&self, most: usize) -> Vec<Alert> {
        let mut all: Vec<&Alert> = self.entries.values().map(|entry| &entry.alert).collect();
        let rank = |alert: &Alert| (alert.state == AlertState::Ended, std::cmp::Reverse(alert.severity));
        all.sort_by(|one, other| rank(one).cmp(&rank(other)).then_with(|| other.last_seen.cmp(&one.last_seen)));
        all.into_iter().take(most).cloned().collect()
    }

    /// The alert that begins with this id, if it is one alone.
    pub fn get(&self, id: &str) -> Option<&Alert> {
        let mut found = self.entries.values().map(|entry| &entry.alert).filter(|alert| alert.id.starts_with(id));
        let first = found.next().filter(|_| !id.is_empty())?;
        if found.next().is_none() || first.id == id { Some(first) } else { None }
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Alert)) -> Option<Alert> {
        let whole = self.get(id)?.id.clone();
        let entry = self.entries.values_mut().find(|entry| entry.alert.id == whole)?;
        change(&mut entry.alert);
        Some(entry.alert.clone())
    }

    /// Somebody has seen it.
    pub fn acknowledge(&mut self, id: &str, seen: Acknowledgement) -> Option<Alert> {
        self.change(id, |alert| alert.acknowledged = Some(seen))
    }

    /// It is to be looked at again.
    pub fn reopen(&mut self, id: &str) -> Option<Alert> {
        self.change(id, |alert| alert.acknowledged = None)
    }

    /// What was done about it.
    pub fn respond(&mut self, id: &str, response: Response) -> Option<Alert> {
        self.change(id, |alert| alert.response = Some(response))
    }

    /// Where its capture lies; `None` where it is gone.
    pub fn capture(&mut self, id: &str, path: Option<String>) -> Option<Alert> {
        self.change(id, |alert| alert.evidence.capture = path)
    }

    /// What hosts of the fleet have of it.
    pub fn owners(&mut self, id: &str, owners: OwnersEvidence) -> Option<Alert> {
        self.change(id, |alert| alert.evidence.owners = Some(owners))
    }

    /// Ids of alerts that were forgotten for want of room since this was asked last.
    pub fn take_retired(&mut self) -> Vec<String> {
        std::mem::take(&mut self.retired)
    }

    /// Takes up an alert of an earlier run: as history, since nobody knows whether it went on.
    pub fn restore(&mut self, mut alert: Alert) {
        let Some(detector) = crate::definitions().into_iter().find(|definition| definition.name == alert.detector)
        else {
            return;
        };
        alert.state = AlertState::Ended;
        let last = parse_rfc3339(&alert.last_seen).unwrap_or_default();
        let entry = Entry { alert, subject: Subject::default(), detector, last };
        self.entries.insert(self.next, entry);
        self.next += 1;
        self.make_room();
    }

    /// Takes up a mute, one of an earlier run or a new one, and gives it its name where it has none.
    pub fn mute(&mut self, mut mute: Mute) -> Result<Mute, crate::MuteError> {
        if mute.id.is_empty() {
            self.next_mute += 1;
            mute.id = format!("m{}", self.next_mute);
        } else if let Some(number) = mute.id.strip_prefix('m').and_then(|number| number.parse().ok()) {
            self.next_mute = self.next_mute.max(number);
        }
        let muted = Muted::new(mute)?;
        let told = muted.mute.clone();
        self.mutes.push(muted);
        Ok(told)
    }

    /// Ends a mute; `None` when there is none of that name.
    pub fn unmute(&mut self, id: &str) -> Option<Mute> {
        let at = self.mutes.iter().position(|muted| muted.mute.id == id)?;
        Some(self.mutes.remove(at).mute)
    }

    /// All mutes.
    pub fn mutes(&self) -> Vec<Mute> {
        self.mutes.iter().map(|muted| muted.mute.clone()).collect()
    }

    fn mute_of(&mut self, now: Timestamp, sign: &Sign) -> Option<(MuteAction, String)> {
        let holds = |muted: &&mut Muted| muted.until.is_none_or(|until| until > now) && muted.is_of(sign);
        let mut found: Option<&mut Muted> = None;
        for muted in self.mutes.iter_mut().filter(holds) {
            let is_stronger = found.as_ref().is_none_or(|_| muted.mute.action == MuteAction::Exclude);
            if is_stronger {
                found = Some(muted);
            }
        }
        let muted = found?;
        muted.mute.hits += 1;
        Some((muted.mute.action, muted.mute.until.clone().unwrap_or_else(|| "forever".to_owned())))
    }

    /// Alerts that go on, by detector and severity.
    pub fn active(&self) -> Tally {
        let mut tally = Tally::new();
        for number in self.live.values() {
            if let Some(entry) = self.entries.get(number) {
                *tally.entry(entry.detector.name).or_default().entry(entry.alert.severity.name()).or_default() += 1;
            }
        }
        tally
    }

    /// Alerts raised since the start, by detector and severity.
    pub fn raised(&self) -> &Tally {
        &self.raised
    }

    /// Signs since the start, by detector.
    pub fn signs(&self) -> &BTreeMap<&'static str, u64> {
        &self.signs
    }

    /// Signs that were excluded, and alerts that were forgotten for want of room, since the start.
    pub fn left_out(&self) -> (u64, u64) {
        (self.muted, self.forgotten)
    }
}

impl Entry {
    /// Takes a later sign of the same; tells whether it is worse.
    fn renew(&mut self, sign: &Sign) -> Change {
        let alert = &mut self.alert;
        alert.signs += 1;
        self.last = self.last.max(sign.last);
        alert.last_seen = rfc3339(self.last);
        alert.message = clip(&sign.message, 500);
        alert.sources = sign.sources.or(alert.sources);
        alert.target_count = alert.target_count.max(sign.target_count);
        alert.spoofable &= sign.spoofable;
        merge(&mut alert.targets, sign.targets.iter().map(IpAddr::to_string), TARGETS_MAX);
        merge(&mut alert.evidence.flows, sign.flows.iter().map(|flow| flow.0), TARGETS_MAX);
        let samples = sign.samples.iter().map(|sample| clip(sample, SAMPLE_CHARS_MAX));
        merge(&mut alert.evidence.samples, samples, SAMPLES_MAX);
        if !sign.hosts.is_empty() {
            // A detector of the fleet tells of all it remembers each time.
            alert.hosts = hosts_of(sign);
        }
        alert.evidence.figures.extend(sign.figures.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        if sign.severity > alert.severity {
            alert.severity = sign.severity;
            return Change::Worsened;
        }
        Change::Updated
    }
}

fn hosts_of(sign: &Sign) -> Vec<String> {
    let mut hosts: Vec<String> = sign.hosts.iter().take(HOSTS_MAX).map(|host| clip(host, SAMPLE_CHARS_MAX)).collect();
    hosts.sort();
    hosts
}

fn id_of(host: &str, number: u64, sign: &Sign) -> String {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    (host, number, sign.detector.name, &sign.subject, sign.first.0).hash(&mut hasher);
    format!("{:012x}", hasher.finish() & 0xffff_ffff_ffff)
}

/// FNV-1a: the same on every machine and in every run, which the library's own hasher does not promise.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        // FNV mixes its last bytes badly into the lower bits.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// `00:11:22:33:44:55`.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn new_alert(host: &str, sign: &Sign, interface: Option<String>) -> Alert {
    let definition = sign.detector;
    let technique = definition.technique.map(|attack| Technique {
        id: attack.id.to_owned(),
        name: attack.name.to_owned(),
        tactic: attack.tactic.to_owned(),
    });
    let named = sign.subject.source.map(|source| source.to_string());
    let protocol = sign.protocol.map(|number| protocol_name(number).map_or_else(|| number.to_string(), str::to_owned));
    let mut samples = Vec::new();
    merge(&mut samples, sign.samples.iter().map(|sample| clip(sample, SAMPLE_CHARS_MAX)), SAMPLES_MAX);
    let mut targets = Vec::new();
    merge(&mut targets, sign.targets.iter().map(IpAddr::to_string), TARGETS_MAX);
    Alert {
        id: String::new(),
        host: host.to_owned(),
        detector: definition.name.to_owned(),
        kind: definition.kind.to_owned(),
        title: definition.title.to_owned(),
        severity: sign.severity,
        message: clip(&sign.message, 500),
        technique,
        source: named.or_else(|| sign.source_mac.map(mac_text)),
        sources: sign.sources,
        spoofable: sign.spoofable,
        subject: sign.subject.other.as_deref().map(|subject| clip(subject, SAMPLE_CHARS_MAX)),
        target_count: sign.target_count.max(targets.len() as u64),
        targets,
        protocol,
        port: sign.port,
        process: sign.process.as_ref().map(|process| format!("{} ({})", clip(&process.comm, 32), process.pid)),
        interface,
        first_seen: rfc3339(sign.first),
        last_seen: rfc3339(sign.last),
        signs: 1,
        state: AlertState::Active,
        evidence: Evidence {
            figures: sign.figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            flows: sign.flows.iter().take(TARGETS_MAX).map(|flow| flow.0).collect(),
            samples,
            capture: None,
            owners: None,
        },
        hosts: hosts_of(sign),
        acknowledged: None,
        silenced_until: None,
        response: None,
    }
}

/// Whether a severity is one that people are told of.
pub fn is_told(severity: Severity) -> bool {
    severity > Severity::Info
}
