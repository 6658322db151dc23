//! Stations that claim an address by ARP replies that nobody asked for, and addresses that two stations claim in turn.
//!
//! Two definitions over one memory of claims. Invariant: an address that moves once, as it does when a spare takes over or DHCP
//! gives it to another, is no more than `info`.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Stray, StrayKind, Timestamp};
use hivewall_view::alerts::Severity;

use crate::attempts::span;
use crate::bounded::Bounded;
use crate::pace::{News, Pace};
use crate::{Attack, Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, Threshold, mac_text};

/// Addresses whose claims are remembered.
const ADDRESSES_MAX: usize = 16_384;
/// A reply within this time of the question was asked for.
const ASKED: Duration = Duration::from_secs(3);
/// Claims are looked at over this time.
const KEEP: Duration = Duration::from_secs(300);

pub(super) static DEFINITION: Definition = Definition {
    name: "arp_spoof",
    title: "ARP spoofing",
    kind: "spoofing",
    sees: "A station that keeps telling others by ARP replies, which nobody asked for, that an address is its own, as arpspoof, \
           ettercap and bettercap do.",
    misses: "Spoofing that answers questions faster than the owner does (address_conflict sees that), and what a switch does not \
             hand to this host: replies to others.",
    evaded_by: "A reply less often than the threshold, right after a question.",
    technique: Some(Attack { id: "T1557.002", name: "ARP Cache Poisoning", tactic: "Credential Access" }),
    severity: Severity::High,
    spoofable: Spoofable::Always,
    quiet_seconds: 300,
    thresholds: &[Threshold {
        name: "replies",
        unit: "replies",
        default: 6.0,
        range: (2.0, 1_000.0),
        doc: "Replies to one station that nobody asked for, within five minutes. A spare that takes over announces itself to all, \
              and a few times; spoofing has to be repeated, since caches are corrected.",
    }],
};

pub(super) static CONFLICT: Definition = Definition {
    name: "address_conflict",
    title: "Address conflict",
    kind: "spoofing",
    sees: "Two stations that claim one IPv4 address in turn, whether by mistake or to deceive.",
    misses: "A second station that is silent while this host listens; IPv6, whose neighbour messages are not read.",
    evaded_by: "Silencing the owner first.",
    technique: Some(Attack { id: "T1557.002", name: "ARP Cache Poisoning", tactic: "Credential Access" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Always,
    quiet_seconds: 300,
    thresholds: &[Threshold {
        name: "changes",
        unit: "changes",
        default: 3.0,
        range: (2.0, 100.0),
        doc: "How often the address goes from one station to the other within five minutes. A fail-over is one change, and one back \
              is two; an address that returns to a station a second time belongs to two.",
    }],
};

#[derive(Debug)]
struct Claims {
    first: Timestamp,
    last: Timestamp,
    owner: [u8; 6],
    other: Option<[u8; 6]>,
    changes: u64,
    /// Who told others so without being asked, how often, whom, and since when.
    liar: Option<([u8; 6], u64, IpAddr, Timestamp)>,
    asked: Option<Timestamp>,
    ifindex: u32,
    pace: Pace,
}

/// Either detector.
#[derive(Debug)]
pub(super) struct Claimed {
    definition: &'static Definition,
    addresses: Bounded<IpAddr, Claims>,
    /// When an address was asked for that nobody claimed yet.
    questions: Bounded<IpAddr, Timestamp>,
    news: News<IpAddr>,
    least: u64,
}

impl Claimed {
    pub(super) fn spoof(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self::new(&DEFINITION, settings.value(&DEFINITION, "replies")))
    }

    pub(super) fn conflict(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self::new(&CONFLICT, settings.value(&CONFLICT, "changes")))
    }

    fn new(definition: &'static Definition, least: f64) -> Self {
        let addresses =
            Bounded::with_rich(ADDRESSES_MAX, KEEP, |claims: &Claims| claims.changes > 0 || claims.liar.is_some());
        let questions = Bounded::new(ADDRESSES_MAX, ASKED * 2);
        Self { definition, addresses, questions, news: News::default(), least: least as u64 }
    }

    fn note(&mut self, now: Timestamp, stray: &Stray) {
        let StrayKind::Arp { operation, sender: (mac, address), target } = &stray.kind else { return };
        let (time, is_gratuitous) = (stray.time, *address == target.1);
        if *operation == 1 && !is_gratuitous {
            *self.questions.entry(now, &target.1, || time) = time;
            if let Some(claims) = self.addresses.get_mut(&target.1) {
                claims.asked = Some(time);
            }
        }
        if address.is_unspecified() || *mac == [0; 6] {
            return;
        }
        let asked = self.questions.get(address).copied();
        let make = || Claims {
            first: time,
            last: time,
            owner: *mac,
            other: None,
            changes: 0,
            liar: None,
            asked,
            ifindex: stray.ifindex,
            pace: Pace::default(),
        };
        let claims = self.addresses.entry(now, address, make);
        if time.since(claims.last) > KEEP {
            *claims = make();
        }
        claims.last = claims.last.max(time);
        if claims.owner != *mac {
            claims.other = Some(std::mem::replace(&mut claims.owner, *mac));
            claims.changes += 1;
        }
        let was_asked = claims.asked.is_some_and(|asked| time.since(asked) <= ASKED);
        if *operation == 2 && !is_gratuitous && !was_asked {
            claims.liar = match claims.liar {
                Some((liar, count, _, since)) if liar == *mac && time.since(since) <= KEEP => {
                    Some((liar, count + 1, target.1, since))
                }
                _ => Some((*mac, 1, target.1, time)),
            };
        }
        let replies = claims.liar.map_or(0, |(_, count, ..)| count);
        let is_spoof = self.definition.name == DEFINITION.name;
        if if is_spoof { replies >= self.least } else { claims.changes > 0 } {
            self.news.put(address, &mut claims.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for address in self.news.take() {
            let Some(claims) = self.addresses.get_mut(&address) else { continue };
            claims.pace.unlist();
            if !self.news.is_due(now, &address, &mut claims.pace) {
                continue;
            }
            let is_spoof = self.definition.name == DEFINITION.name;
            signs.extend(if is_spoof { spoof(address, claims) } else { conflict(address, claims, self.least) });
        }
    }
}

fn spoof(address: IpAddr, claims: &Claims) -> Option<Sign> {
    let (liar, count, whom, since) = claims.liar?;
    let against = match claims.other.into_iter().chain([claims.owner]).find(|mac| *mac != liar) {
        Some(other) => format!(", which {} claims as well", mac_text(other)),
        None => String::new(),
    };
    let seconds = claims.last.since(since).as_secs_f64();
    let message = format!(
        "{} told {whom} {count} times {} without being asked that it has {address}{against}",
        mac_text(liar),
        span(seconds),
    );
    let subject = Subject { other: Some(mac_text(liar).into()), ..Subject::target(address, None) };
    let mut sign = Sign::new(&DEFINITION, subject, since, claims.last, message);
    sign.source_mac = Some(liar);
    sign.ifindex = Some(claims.ifindex);
    sign.targets.push(whom);
    sign.target_count = 2;
    sign.figures = vec![("replies", count as f64), ("changes", claims.changes as f64), ("duration_seconds", seconds)];
    if against.is_empty() {
        sign.severity = Severity::Medium;
    }
    Some(sign)
}

fn conflict(address: IpAddr, claims: &Claims, least: u64) -> Option<Sign> {
    let other = claims.other?;
    let is_conflict = claims.changes >= least;
    let message = if is_conflict {
        let (one, two) = (mac_text(claims.owner), mac_text(other));
        format!("{one} and {two} claim {address} in turn: {} changes", claims.changes)
    } else {
        format!("{address} moved from {} to {}", mac_text(other), mac_text(claims.owner))
    };
    let mut sign = Sign::new(&CONFLICT, Subject::target(address, None), claims.first, claims.last, message);
    if !is_conflict {
        sign.severity = Severity::Info;
    }
    sign.source_mac = Some(claims.owner);
    sign.ifindex = Some(claims.ifindex);
    sign.figures = vec![("changes", claims.changes as f64)];
    Some(sign)
}

impl Detector for Claimed {
    fn definition(&self) -> &'static Definition {
        self.definition
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        match event {
            Event::Stray(stray) => self.note(now, stray),
            Event::Tick => self.speak(now, signs),
            _ => {}
        }
    }

    fn held(&self) -> Held {
        self.addresses.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Watch, arp, host, s};

    #[test]
    fn replies_that_nobody_asked_for_name_the_station_that_sends_them() {
        let mut watch = Watch::new(&DEFINITION);
        for second in 0..6 {
            watch.stray(&arp(s(second * 2), 2, (7, host(4)), (1, host(1))));
            assert!(watch.signs.is_empty(), "{second}");
        }
        watch.pass(s(12));
        assert_eq!((watch.signs.len(), watch.signs[0].source_mac), (1, Some([2, 0, 0, 0, 0, 7])));
        assert_eq!(watch.signs[0].subject.target, Some(host(4)));
    }

    #[test]
    fn answers_to_questions_and_announcements_of_a_fail_over_are_none() {
        let mut watch = Watch::new(&DEFINITION);
        for round in 0..20 {
            watch.stray(&arp(s(round * 4), 1, (1, host(1)), (0, host(4))));
            watch.stray(&arp(s(round * 4), 2, (7, host(4)), (1, host(1))));
            watch.stray(&arp(s(round * 4), 2, (8, host(5)), (0, host(5))));
        }
        watch.pass(s(100));
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn an_address_that_moves_is_info_and_one_that_alternates_is_a_conflict() {
        let mut watch = Watch::new(&CONFLICT);
        watch.stray(&arp(s(0), 1, (7, host(4)), (0, host(1))));
        watch.stray(&arp(s(5), 2, (8, host(4)), (0, host(4))));
        watch.pass(s(20));
        assert_eq!(watch.lines(), ["info 10.0.0.4 moved from 02:00:00:00:00:07 to 02:00:00:00:00:08"]);
        watch.stray(&arp(s(21), 1, (7, host(4)), (0, host(1))));
        watch.stray(&arp(s(22), 1, (8, host(4)), (0, host(1))));
        watch.pass(s(40));
        assert_eq!(watch.signs.last().map(|sign| sign.severity), Some(Severity::Medium), "{:?}", watch.lines());
    }
}
