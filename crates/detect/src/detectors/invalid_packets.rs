//! Packets that break a standard, and flags and ports that no stack sends: by who sends them, and by whom they are sent to.
//!
//! Not here: packets that the capture itself cut off, which say nothing of their sender, and broken payload.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{Pulse, Side, StrayKind, TcpFlags, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::attempts::span;
use crate::bounded::Bounded;
use crate::distinct::{Distinct, address_word};
use crate::pace::{News, Pace};
use crate::wire::{TCP, UDP, is_host};
use crate::{Definition, Detector, Event, Held, SAMPLES_MAX, Settings, Sign, Spoofable, Subject, Threshold};

/// Senders, and targets, that are watched.
const ENDS_MAX: usize = 16_384;

/// Senders of few such packets that are noted, as `info`, within [`NOTES_PER`].
const NOTES_MAX: u64 = 16;
const NOTES_PER: Duration = Duration::from_secs(60);
/// What a packet is called whose headers the capture cut off.
const CUT: &str = "snapped";

pub(super) static DEFINITION: Definition = Definition {
    name: "invalid_packets",
    title: "Invalid packets",
    kind: "invalid",
    sees: "Packets with impossible lengths, headers that are cut off or contradict themselves, TCP flags that no stack sends \
           together, port 0, and a source that is its own target: many from one sender, or many at one target. A few are noted as `info`, and so are packets whose headers \
           the capture cut off.",
    misses: "Checksums, which network cards work out, and broken payload (a DNS message that cannot be read, for example).",
    evaded_by: "Sending well-formed packets, or fewer than the threshold.",
    technique: None,
    severity: Severity::Low,
    spoofable: Spoofable::Always,
    quiet_seconds: 120,
    thresholds: &[
        Threshold {
            name: "packets",
            unit: "packets",
            default: 10.0,
            range: (1.0, 1_000_000.0),
            doc: "Such packets from one sender or at one target. A bad cable makes checksum errors, which never get here; ten packets \
                  whose headers lie are no accident of one bit.",
        },
        Threshold { name: "seconds", unit: "seconds", default: 60.0, range: (1.0, 3_600.0), doc: "Within how long." },
    ],
};

/// Who sent, or to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Source(IpAddr),
    Target(IpAddr),
}

#[derive(Debug)]
struct Seen {
    first: Timestamp,
    last: Timestamp,
    packets: u64,
    /// Those that may be sound: the capture cut them off.
    sound: u64,
    /// By reason; a handful at most.
    reasons: Vec<(&'static str, u64)>,
    others: Distinct,
    other: IpAddr,
    ifindex: u32,
    /// Whether more than a note was told.
    is_loud: bool,
    pace: Pace,
}

/// The detector.
#[derive(Debug)]
pub(super) struct InvalidPackets {
    ends: Bounded<End, Seen>,
    news: News<End>,
    packets: u64,
    window: Duration,
    /// Subjects of few packets that were told as a note, and since when these are counted.
    notes: (Timestamp, u64),
}

struct Broken {
    time: Timestamp,
    source: IpAddr,
    target: IpAddr,
    reason: &'static str,
    packets: u64,
    ifindex: u32,
}

impl InvalidPackets {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            ends: Bounded::new(ENDS_MAX, Duration::from_secs(u64::from(DEFINITION.quiet_seconds))),
            news: News::default(),
            packets: settings.value(&DEFINITION, "packets") as u64,
            window: Duration::from_secs_f64(settings.value(&DEFINITION, "seconds")),
            notes: (Timestamp::default(), 0),
        })
    }

    fn note(&mut self, now: Timestamp, broken: &Broken) {
        let ends = [(End::Source(broken.source), broken.target), (End::Target(broken.target), broken.source)];
        for (end, other) in ends {
            let make = || Seen {
                first: broken.time,
                last: broken.time,
                packets: 0,
                sound: 0,
                reasons: Vec::new(),
                others: Distinct::default(),
                other,
                ifindex: broken.ifindex,
                is_loud: false,
                pace: Pace::default(),
            };
            let seen = self.ends.entry(now, &end, make);
            if !seen.pace.has_spoken() && broken.time.since(seen.first) > self.window {
                *seen = make();
            }
            seen.last = seen.last.max(broken.time);
            seen.packets += broken.packets;
            seen.sound += u64::from(broken.reason == CUT) * broken.packets;
            seen.other = other;
            seen.others.insert(address_word(other));
            let kinds = seen.reasons.len();
            match seen.reasons.iter_mut().find(|(reason, _)| *reason == broken.reason) {
                Some((_, count)) => *count += broken.packets,
                None if kinds < SAMPLES_MAX => seen.reasons.push((broken.reason, broken.packets)),
                None => {}
            }
            let is_few = seen.packets - seen.sound < self.packets;
            let is_first = matches!(end, End::Source(_)) && seen.packets == broken.packets;
            if is_few && !(is_first && spare(&mut self.notes, now)) {
                continue;
            }
            self.news.put(&end, &mut seen.pace);
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        for end in self.news.take() {
            let Some(seen) = self.ends.get_mut(&end) else { continue };
            seen.pace.unlist();
            // What one sender sends to one target is told of the sender; of the target when there are many senders.
            if matches!(end, End::Target(_)) && seen.others.count() < 2 {
                continue;
            }
            let is_few = seen.packets - seen.sound < self.packets;
            // A note holds back no alert.
            let is_worse = !is_few && !seen.is_loud;
            if is_worse {
                seen.pace = Pace::default();
            }
            if !self.news.is_due(now, &end, &mut seen.pace) {
                continue;
            }
            seen.is_loud |= !is_few;
            signs.push(Sign { severity: if is_few { Severity::Info } else { DEFINITION.severity }, ..sign(end, seen) });
        }
    }
}

/// Whether one more note of few packets is to be made: a flood of odd packets from many sources is no flood of notes.
fn spare(notes: &mut (Timestamp, u64), now: Timestamp) -> bool {
    if now.since(notes.0) > NOTES_PER {
        *notes = (now, 0);
    }
    notes.1 += 1;
    notes.1 <= NOTES_MAX
}

fn sign(end: End, seen: &Seen) -> Sign {
    let reasons: Vec<_> = seen.reasons.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
    let seconds = seen.last.since(seen.first).as_secs_f64();
    let (count, others) = (units::count(seen.packets), seen.others.count());
    let tail = format!("{} ({})", span(seconds), reasons.join(", "));
    let (subject, message) = match end {
        End::Source(source) => (Subject::source(source), format!("{source} sent {count} invalid packets {tail}")),
        End::Target(target) => {
            let message = format!("{} senders sent {target} {count} invalid packets {tail}", units::count(others));
            (Subject::target(target, None), message)
        }
    };
    let mut sign = Sign::new(&DEFINITION, subject, seen.first, seen.last, message);
    match end {
        End::Source(_) => {
            sign.targets = vec![seen.other];
            sign.target_count = others;
        }
        End::Target(_) => sign.sources = Some(others),
    }
    sign.ifindex = Some(seen.ifindex);
    sign.figures = vec![("packets", seen.packets as f64), ("duration_seconds", seconds)];
    sign.samples = reasons;
    sign
}

/// What is impossible of one side of a flow.
fn fault(pulse: &Pulse, side: &Side) -> Option<&'static str> {
    let (tuple, flags) = (&pulse.tuple, side.flags);
    if side.packets == 0 {
        return None;
    }
    if tuple.client == tuple.server && tuple.client_port == tuple.server_port && tuple.has_ports() {
        return Some("source is its own target");
    }
    let is_zero = (tuple.client_port == 0) != (tuple.server_port == 0);
    if is_zero && matches!(tuple.protocol, TCP | UDP) {
        return Some("port 0");
    }
    // Flags of several packets are one word: only a single packet's are told for certain.
    if tuple.protocol != TCP || (side.packets > 1 && flags.0 != 0) {
        return None;
    }
    match flags.0 {
        0 => Some("TCP without flags"),
        f if f & TcpFlags::SYN != 0 && f & TcpFlags::FIN != 0 => Some("TCP SYN with FIN"),
        f if f & TcpFlags::SYN != 0 && f & TcpFlags::RST != 0 => Some("TCP SYN with RST"),
        f if f & (TcpFlags::ACK | TcpFlags::SYN | TcpFlags::RST) == 0 => Some("TCP without ACK"),
        _ => None,
    }
}

impl Detector for InvalidPackets {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        match event {
            Event::Stray(stray) => {
                if let StrayKind::Invalid { reason, source: Some(source), target: Some(target), .. } = stray.kind {
                    let (time, ifindex, reason) = (stray.time, stray.ifindex, reason.label());
                    self.note(now, &Broken { time, source, target, reason, packets: 1, ifindex });
                }
            }
            Event::Pulse(pulse) => {
                let (time, ifindex, ends) = (pulse.last, pulse.ifindex, (pulse.tuple.client, pulse.tuple.server));
                if !is_host(ends.0) || !is_host(ends.1) {
                    return;
                }
                let sides = [
                    (&pulse.to_server, pulse.new_to_server, ends.0, ends.1),
                    (&pulse.to_client, pulse.new_to_client, ends.1, ends.0),
                ];
                for (side, new, source, target) in sides {
                    if new.packets > 0
                        && let Some(reason) = fault(pulse, side)
                    {
                        self.note(now, &Broken { time, source, target, reason, packets: new.packets, ifindex });
                    }
                }
            }
            Event::Tick => self.speak(now, signs),
            _ => {}
        }
    }

    fn held(&self) -> Held {
        self.ends.held()
    }
}

#[cfg(test)]
mod tests {
    use hivewall_model::Reason;

    use super::*;
    use crate::testing::{Make, Watch, host, invalid, ms, public, s};

    #[test]
    fn a_sender_is_noted_at_its_first_broken_packet_and_told_at_its_tenth() {
        for (count, found) in [(9, 0), (10, 1)] {
            let mut watch = Watch::new(&DEFINITION);
            for number in 0..count {
                watch.stray(&invalid(ms(number), Reason::BadIpv4Length, Some(host(9)), Some(host(1))));
            }
            watch.pass(s(2));
            let loud = watch.signs.iter().filter(|sign| sign.severity > Severity::Info).count();
            assert_eq!((watch.signs.len(), loud), (1, found), "{:?}", watch.lines());
        }
    }

    #[test]
    fn a_note_a_second_ago_holds_back_no_alert() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..12 {
            let time = s(2) + Duration::from_millis(if number == 0 { 0 } else { 2_000 + number });
            watch.stray(&invalid(time, Reason::BadTcpHeader, Some(host(9)), Some(host(1))));
        }
        watch.pass(s(5));
        let told: Vec<_> = watch.signs.iter().map(|sign| sign.severity).collect();
        assert_eq!(told, [Severity::Info, Severity::Low], "{:?}", watch.lines());
    }

    #[test]
    fn many_senders_at_one_target_are_told_of_the_target() {
        let mut watch = Watch::new(&DEFINITION);
        for number in 0..12_u32 {
            watch.stray(&invalid(ms(number.into()), Reason::BadUdpHeader, Some(public(number)), Some(host(1))));
        }
        watch.pass(s(2));
        let loud: Vec<_> = watch.signs.iter().filter(|sign| sign.severity > Severity::Info).collect();
        assert_eq!((loud.len(), loud[0].subject.target), (1, Some(host(1))));
        assert_eq!(watch.signs.len(), 13, "each sender is noted: {:?}", watch.lines());
    }

    #[test]
    fn impossible_flags_count_and_those_of_connections_do_not() {
        let mut watch = Watch::new(&DEFINITION);
        for port in 1..=12 {
            watch.pulse(&Make::refused(host(8), 50_000 + port, host(1), port).at(ms(5)));
            let odd = Make::flow(TCP, host(9), 50_000, host(1), port).roles_guessed();
            watch.pulse(&odd.client_says(1, 40, TcpFlags::SYN | TcpFlags::FIN).at(ms(5)));
        }
        watch.pass(s(2));
        assert_eq!((watch.signs.len(), watch.signs[0].subject.source), (1, Some(host(9))), "{:?}", watch.lines());
    }
}
