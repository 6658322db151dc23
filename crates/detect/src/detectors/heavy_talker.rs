//! Addresses that move a great part of all traffic within a minute and never did before, or far more than they ever did.
//!
//! Each address is held against its own past, which is learned with some delay so that a rise does not hide itself. Invariant:
//! nothing is said before the warm-up is over, and nothing of what went on at such a rate while it lasted.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{FlowId, Perspective, Pulse, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::flood::when;
use crate::pace::{News, Pace};
use crate::window::Window;
use crate::wire::is_host;
use crate::{Definition, Detector, Event, Held, Settings, Sign, Spoofable, Subject, Threshold};

/// Addresses whose past is remembered.
const TALKERS_MAX: usize = 16_384;
/// For so long after their last packet, at least: what is done once a week is nothing new.
const KEEP: Duration = Duration::from_secs(8 * 86_400);
/// What an address moves becomes its past one to two such periods later.
const PERIOD_SECONDS: i64 = 600;
/// In so many seconds without it the past counts half.
const HALF_LIFE_SECONDS: f64 = 7.0 * 86_400.0;
/// So many times the floor is more than a note.
const LARGE: f64 = 10.0;
/// An address with such a minute outlives a full table.
const RICH_BYTES: f64 = 1_048_576.0;

pub(super) static DEFINITION: Definition = Definition {
    name: "heavy_talker",
    title: "New heavy talker",
    kind: "bandwidth",
    sees: "An address that within a minute moves a great part of all traffic, and never was heard of before or moved far less in every \
           minute so far. On a host that is the address at the other end, both directions together; where packets only pass \
           through, who sends them. A note, and low from ten times the floor. high_bandwidth tells of every pair above a rate, now \
           and again each day; this tells of who is new among the heavy ones, whatever the rate and however many flows, once.",
    misses: "Whoever was heavy while the agent learned, and whoever is heavy beside others that are heavier. What was learned is lost \
             when the agent restarts. A new client with a large download is told of as well, and so is a known one under a new \
             address, as with the temporary addresses of IPv6: which is why it is a note.",
    evaded_by: "Rising slowly, over some twenty minutes for each step; sharing the traffic among many addresses.",
    technique: None,
    severity: Severity::Info,
    spoofable: Spoofable::Depends,
    quiet_seconds: 300,
    thresholds: &[
        Threshold {
            name: "bytes_per_minute",
            unit: "bytes",
            default: 100_000_000.0,
            range: (10_000.0, 1e13),
            doc: "IP bytes within a minute: less is not heavy. A minute of video has 30 to 60 million at most, a large web page five.",
        },
        Threshold {
            name: "traffic_share",
            unit: "",
            default: 0.3,
            range: (0.001, 1.0),
            doc: "Share of all traffic of that minute: on a busy host only who stands out.",
        },
        Threshold {
            name: "times_past",
            unit: "",
            default: 4.0,
            range: (1.0, 100_000.0),
            doc: "How many times the greatest minute of its past.",
        },
        Threshold {
            name: "warm_up_seconds",
            unit: "seconds",
            default: 3_600.0,
            range: (60.0, 604_800.0),
            doc: "For how long it is learned at the start who is heavy here anyway.",
        },
    ],
};

#[derive(Debug)]
struct Talker {
    since: Timestamp,
    last: Timestamp,
    minute: Window<6>,
    bytes: u64,
    /// Greatest minute: of the past, of the period before this one, of this one.
    past: f64,
    before: f64,
    current: f64,
    period: i64,
    flow: FlowId,
    port: u16,
    protocol: u8,
    ifindex: u32,
    is_proven: bool,
    pace: Pace,
}

impl Talker {
    fn new(pulse: &Pulse, from: Timestamp) -> Self {
        Self {
            since: from,
            last: from,
            minute: minute(),
            bytes: 0,
            past: 0.0,
            before: 0.0,
            current: 0.0,
            period: from.secs().div_euclid(PERIOD_SECONDS),
            flow: pulse.id,
            port: pulse.tuple.server_port,
            protocol: pulse.tuple.protocol,
            ifindex: pulse.ifindex,
            is_proven: false,
            pace: Pace::default(),
        }
    }

    fn add(&mut self, pulse: &Pulse, bytes: u64) {
        let (from, to) = when(pulse);
        self.turn(to);
        self.minute.spread(from, to, bytes);
        self.bytes += bytes;
        self.last = self.last.max(to);
        self.is_proven |= pulse.is_proven();
        let sum = self.minute.total();
        self.current = self.current.max(sum as f64);
        if 2 * bytes > sum {
            (self.flow, self.port, self.protocol) = (pulse.id, pulse.tuple.server_port, pulse.tuple.protocol);
        }
    }

    /// Periods that are over become the past.
    fn turn(&mut self, now: Timestamp) {
        let passed = now.secs().div_euclid(PERIOD_SECONDS) - self.period;
        if passed <= 0 {
            return;
        }
        self.period += passed;
        self.past *= (-(passed * PERIOD_SECONDS) as f64 / HALF_LIFE_SECONDS).exp2();
        self.past = self.past.max(self.before);
        self.before = std::mem::take(&mut self.current);
        if passed > 1 {
            self.past = self.past.max(std::mem::take(&mut self.before));
        }
    }

    fn is_rich(&self) -> bool {
        self.past.max(self.before).max(self.current) >= RICH_BYTES
    }
}

fn minute() -> Window<6> {
    Window::new(Duration::from_secs(60))
}

/// The detector.
#[derive(Debug)]
pub(super) struct HeavyTalker {
    talkers: Bounded<IpAddr, Talker>,
    news: News<IpAddr>,
    all: Window<6>,
    warm_until: Option<Timestamp>,
    floor: f64,
    share: f64,
    times: f64,
    warm_up: Duration,
}

/// Who talks in what is new of a flow, with how many bytes; up to two where it passes through.
fn talkers(pulse: &Pulse) -> [(IpAddr, u64); 2] {
    let (client, server) = (pulse.tuple.client, pulse.tuple.server);
    let (up, down) = (pulse.new_to_server.ip_bytes, pulse.new_to_client.ip_bytes);
    match pulse.perspective {
        Perspective::Inbound => [(client, up + down), (server, 0)],
        Perspective::Outbound => [(server, up + down), (client, 0)],
        Perspective::Transit => [(client, up), (server, down)],
        Perspective::Local => [(client, 0), (server, 0)],
    }
}

impl HeavyTalker {
    pub(super) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            talkers: Bounded::with_rich(TALKERS_MAX, KEEP, Talker::is_rich),
            news: News::default(),
            all: minute(),
            warm_until: None,
            floor: settings.value(&DEFINITION, "bytes_per_minute"),
            share: settings.value(&DEFINITION, "traffic_share"),
            times: settings.value(&DEFINITION, "times_past"),
            warm_up: Duration::from_secs_f64(settings.value(&DEFINITION, "warm_up_seconds")),
        })
    }

    fn note(&mut self, now: Timestamp, pulse: &Pulse) {
        if pulse.tunnel.is_some() {
            return;
        }
        let warm_until = *self.warm_until.get_or_insert(pulse.start + self.warm_up);
        let (from, to) = when(pulse);
        for (address, bytes) in talkers(pulse) {
            if bytes == 0 || !is_host(address) {
                continue;
            }
            self.all.spread(from, to, bytes);
            let talker = self.talkers.entry(now, &address, || Talker::new(pulse, from));
            talker.add(pulse, bytes);
            if to < warm_until {
                // What goes on while it is learned is usual at once.
                talker.past = talker.past.max(talker.current);
            } else if talker.minute.total() as f64 >= self.floor {
                self.news.put(&address, &mut talker.pace);
            }
        }
    }

    fn speak(&mut self, now: Timestamp, signs: &mut Vec<Sign>) {
        let all = self.all.sum(now) as f64;
        for address in self.news.take() {
            let Some(talker) = self.talkers.get_mut(&address) else { continue };
            talker.pace.unlist();
            talker.turn(now);
            let minute = talker.minute.sum(now) as f64;
            let is_new = minute >= self.floor.max(self.times * talker.past) && minute >= self.share * all;
            if !is_new || !self.news.is_due(now, &address, &mut talker.pace) {
                continue;
            }
            let severity = if minute >= LARGE * self.floor { Severity::Low } else { DEFINITION.severity };
            signs.push(Sign { severity, ..sign(address, talker, minute, minute / all.max(1.0)) });
        }
    }
}

fn sign(address: IpAddr, talker: &Talker, minute: f64, share: f64) -> Sign {
    let past = if talker.past < 1.0 {
        "was not heard of before".to_owned()
    } else {
        format!("moved {} at most in one before", units::bytes(talker.past as u64))
    };
    let message = format!(
        "{address} moves {} within a minute, {:.0}% of all traffic here, and {past}",
        units::bytes(minute as u64),
        100.0 * share.min(1.0),
    );
    let first = talker.since.max(talker.last - Duration::from_secs(60));
    let mut sign = Sign::new(&DEFINITION, Subject::source(address), first, talker.last, message);
    sign.spoofable = !talker.is_proven;
    sign.port = Some(talker.port);
    sign.protocol = Some(talker.protocol);
    sign.ifindex = Some(talker.ifindex);
    sign.flows = vec![talker.flow];
    sign.figures = vec![
        ("bytes_per_minute", minute),
        ("bytes_per_minute_max_before", talker.past),
        ("traffic_ratio", share.min(1.0)),
        ("bytes", talker.bytes as f64),
    ];
    sign
}

impl Detector for HeavyTalker {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        match event {
            Event::Pulse(pulse) => self.note(now, pulse),
            Event::Tick => self.speak(now, signs),
            _ => {}
        }
    }

    fn held(&self) -> Held {
        self.talkers.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Make, Watch, host, public, s};

    const HOUR: u64 = 3_600;
    const MB: u64 = 1_000_000;

    /// What a server hears of clients: so many bytes each ten seconds, for so long.
    fn serve(watch: &mut Watch, from: u64, seconds: u64, clients: &[(u32, u64)]) {
        for second in (from..from + seconds).step_by(10) {
            for (client, bytes) in clients {
                let mut flow = Make::tcp((public(*client), 50_000), (host(1), 443), 0, *bytes).at(s(second));
                flow.0.perspective = Perspective::Inbound;
                watch.pulse(&flow);
            }
        }
        watch.pass(s(from + seconds));
    }

    #[test]
    fn a_new_address_with_most_of_the_traffic_is_told_after_the_warm_up_and_not_before() {
        for (start, found) in [(HOUR + 60, true), (HOUR / 2, false)] {
            let mut watch = Watch::new(&DEFINITION);
            serve(&mut watch, 0, start, &[(1, 2 * MB)]);
            serve(&mut watch, start, 180, &[(1, 2 * MB), (2, 20 * MB)]);
            assert_eq!(!watch.signs.is_empty(), found, "{:?}", watch.lines());
            assert!(watch.signs.iter().all(|sign| sign.subject == Subject::source(public(2)) && !sign.spoofable));
            assert!(watch.signs.iter().all(|sign| sign.severity == Severity::Info));
        }
    }

    #[test]
    fn a_steady_heavy_talker_of_the_first_hour_is_never_told() {
        let mut watch = Watch::new(&DEFINITION);
        serve(&mut watch, 0, 5 * HOUR, &[(1, 100 * MB), (2, MB)]);
        // Nor after a night's pause, nor at three times its rate.
        serve(&mut watch, 15 * HOUR, HOUR, &[(1, 100 * MB)]);
        serve(&mut watch, 17 * HOUR, HOUR, &[(1, 300 * MB)]);
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn what_is_new_is_told_for_half_an_hour_at_most_and_is_known_then() {
        let mut watch = Watch::new(&DEFINITION);
        serve(&mut watch, 0, 2 * HOUR, &[(1, MB)]);
        serve(&mut watch, 2 * HOUR, 6 * HOUR, &[(2, 50 * MB)]);
        let last = watch.signs.last().unwrap().last;
        assert!(last < s(2 * HOUR + 1_800), "{:?}", watch.lines().last());
        let told = watch.signs.len();
        serve(&mut watch, 30 * HOUR, HOUR, &[(2, 50 * MB)]);
        assert_eq!(watch.signs.len(), told, "the next day it is known");
    }

    #[test]
    fn a_known_address_at_many_times_its_past_is_told_and_low_when_it_is_large() {
        let mut watch = Watch::new(&DEFINITION);
        serve(&mut watch, 0, 2 * HOUR, &[(1, 5 * MB), (2, 5 * MB)]);
        serve(&mut watch, 2 * HOUR, 120, &[(1, 5 * MB), (2, 300 * MB)]);
        let worst = watch.signs.iter().max_by_key(|sign| sign.severity).unwrap();
        assert_eq!((worst.severity, worst.subject.source), (Severity::Low, Some(public(2))));
        assert!(worst.message.contains("at most in one before"), "{}", worst.message);
    }

    #[test]
    fn less_than_the_floor_or_a_small_share_is_none() {
        let mut watch = Watch::new(&DEFINITION);
        serve(&mut watch, 0, 2 * HOUR, &[(1, 200 * MB)]);
        serve(&mut watch, 2 * HOUR, 300, &[(1, 200 * MB), (2, 60 * MB)]);
        serve(&mut watch, 3 * HOUR, 300, &[(3, 15 * MB)]);
        assert!(watch.signs.is_empty(), "{:?}", watch.lines());
    }

    #[test]
    fn where_packets_pass_through_the_sender_is_told_and_not_both_ends() {
        let mut watch = Watch::new(&DEFINITION);
        serve(&mut watch, 0, 2 * HOUR, &[(1, MB)]);
        for second in (2 * HOUR..2 * HOUR + 120).step_by(10) {
            watch.pulse(&Make::tcp((host(5), 50_000), (public(9), 443), 10_000, 40 * MB).at(s(second)));
        }
        watch.pass(s(2 * HOUR + 130));
        assert!(!watch.signs.is_empty());
        assert!(watch.signs.iter().all(|sign| sign.subject == Subject::source(public(9))), "{:?}", watch.lines());
    }
}
