//! One station that asks by ARP for many addresses fast.
//!
//! Invariant: a router that asks for its neighbours, as the Internet's noise makes it do all day, is no more than `info`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hivewall_model::{Stray, StrayKind, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::attempts::span;
use crate::bounded::Bounded;
use crate::distinct::{Distinct, address_word};
use crate::pace::{News, Pace};
use crate::{
    Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, TARGETS_MAX, Threshold, mac_text,
};

/// Senders that are watched.
const SENDERS_MAX: usize = 8_192;
/// Over how long a slow search is looked at.
const SLOW: Duration = Duration::from_secs(60);
/// So many addresses in that time are worth a line: half of a small network.
const SLOW_ADDRESSES: u64 = 128;

pub(super) static DEFINITION: Definition = Definition {
    name: "arp_scan",
    title: "ARP scan",
    kind: "scan",
    sees: "One station that asks by ARP for many different addresses within seconds, as arp-scan, nmap in its own network, \
           netdiscover and worms do.",
    misses: "Searches as slow as a router's own questions: more than 128 addresses a minute are told as info. What a switch does \
             not hand to this host: requests are broadcast, so that is seldom.",
    evaded_by: "Asking slowly; listening to others' broadcasts instead of asking.",
    technique: Some(Attack { id: "T1018", name: "Remote System Discovery", tactic: "Discovery" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Always,
    quiet_seconds: 120,
    thresholds: &[
        Threshold {
            name: "addresses",
            unit: "addresses",
            default: 60.0,
            range: (5.0, 65_535.0),
            doc: "Different addresses asked for. Twenty a second for three seconds: twice what a busy cable network's router was \
                  seen to ask in one network, an eighth of arp-scan's slowest sensible rate.",
        },
        Threshold { name: "seconds", unit: "seconds", default: 3.0, range: (1.0, 60.0), doc: "Within how long." },
    ],
};

#[derive(Debug)]
struct Sender {
    first: Timestamp,
    last: Timestamp,
    fast: (Timestamp, Distinct),
    slow: (Timestamp, Distinct),
    /// All that were asked for since it was told first.
    all: Distinct,
    is_fast: bool,
    ifindex: u32,
    requests: u64,
    pace: Pace,
}

/// The detector.
#[derive(Debug)]
pub(super) struct ArpScan {
    senders: Bounded<([u8; 6], IpAddr), Sender>,
    news: News<([u8; 6], IpAddr)>,
    addresses: u64,
    window: Duration,
}

impl ArpScan {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            senders: Bounded::new(SENDERS_MAX, Duration::from_secs(u64::from(DEFINITION.quiet_seconds))),
            news: News::default(),
            addresses: settings.value(&DEFINITION, "addresses") as u64,
            window: Duration::from_secs_f64(settings.value(&DEFINITION, "seconds")),
        })
    }

    fn note(&mut self, now: Timestamp, stray: &Stray) {
        let StrayKind::Arp { operation: 1, sender, target } = &stray.kind else { return };
        if sender.1 == target.1 {
            // An announcement, or a probe for its own address (RFC 5227).
            return;
        }
        let key = (sender.0, sender.1);
        let (time, fresh) = (stray.time, || (stray.time, Distinct::default()));
        let make = || Sender {
            first: time,
            last: time,
            fast: fresh(),
            slow: fresh(),
            all: Distinct::default(),
            is_fast: false,
            ifindex: stray.ifindex,
            requests: 0,
            pace: Pace::default(),
        };
        let sender = self.senders.entry(now, &key, make);
        if time.since(sender.fast.0) > self.window {
            sender.fast = fresh();
        }
        if time.since(sender.slow.0) > SLOW {
            sender.slow = fresh();
            if !sender.pace.has_spoken() {
                (sender.first, sender.requests) = (time, 0);
                sender.all.clear();
            }
        }
        let word = address_word(target.1);
        sender.last = sender.last.max(time);
        sender.requests += 1;
        for distinct in [&mut sender.fast.1, &mut sender.slow.1, &mut sender.all] {
            distinct.insert(word);
        }
        sender.is_fast |= sender.fast.1.is_at_least(self.addresses);
        if sender.is_fast || sender.slow.1.is_at_least(SLOW_ADDRESSES) {
            self.news.put(&key, &mut sender.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for key in self.news.take() {
            let Some(sender) = self.senders.get_mut(&key) else { continue };
            sender.pace.unlist();
            if !self.news.is_due(now, &key, &mut sender.pace) {
                continue;
            }
            signs.push(sign(key, sender));
        }
    }
}

fn sign((mac, address): ([u8; 6], IpAddr), sender: &Sender) -> Sign {
    let seconds = sender.last.since(sender.first).as_secs_f64();
    let count = sender.all.count();
    let message =
        format!("{address} ({}) asked by ARP for {} addresses {}", mac_text(mac), units::count(count), span(seconds));
    let subject = Subject { other: Some(mac_text(mac).into()), ..Subject::source(address) };
    let mut sign = Sign::new(&DEFINITION, subject, sender.first, sender.last, message);
    if !sender.is_fast {
        sign.severity = Severity::Info;
    }
    let word = |word: &u64| u32::try_from(*word).ok().map(|word| IpAddr::from(Ipv4Addr::from(word)));
    sign.targets = sender.all.exact().iter().filter_map(word).take(TARGETS_MAX).collect();
    sign.target_count = count;
    sign.source_mac = Some(mac);
    sign.ifindex = Some(sender.ifindex);
    sign.figures = vec![("targets", count as f64), ("requests", sender.requests as f64), ("duration_seconds", seconds)];
    sign
}

impl Detector for ArpScan {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        match event {
            Event::Stray(stray) => self.note(now, stray),
            Event::Tick => self.speak(now, signs),
            _ => {}
        }
    }

    fn held(&self) -> Held {
        self.senders.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Watch, arp, host, ms, s};

    fn ask(watch: &mut Watch, count: u32, step_ms: u64) {
        for number in 0..count {
            watch.stray(&arp(ms(u64::from(number) * step_ms), 1, (7, host(1)), (0, host(100 + number))));
        }
    }

    #[test]
    fn a_fast_search_is_told_within_a_second_and_names_the_station() {
        let mut watch = Watch::new(&DEFINITION);
        ask(&mut watch, 60, 4);
        watch.pass(s(1));
        assert_eq!(watch.lines(), ["medium 10.0.0.1 (02:00:00:00:00:07) asked by ARP for 60 addresses in 0.2 s"]);
        assert_eq!(watch.signs[0].source_mac, Some([2, 0, 0, 0, 0, 7]));
    }

    #[test]
    fn one_address_less_is_none_and_the_same_address_again_is_none() {
        let mut watch = Watch::new(&DEFINITION);
        ask(&mut watch, 59, 4);
        for again in 0..1_000 {
            watch.stray(&arp(ms(300 + again), 1, (7, host(1)), (0, host(100))));
        }
        watch.pass(s(5));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn a_busy_router_is_a_line_at_most() {
        let mut watch = Watch::new(&DEFINITION);
        ask(&mut watch, 6_000, 100);
        assert!(!watch.signs.is_empty());
        assert!(watch.signs.iter().all(|sign| sign.severity == Severity::Info), "{:?}", watch.lines());
    }
}
