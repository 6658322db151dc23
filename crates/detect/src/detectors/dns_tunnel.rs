//! Data carried in DNS: many different names under one domain, long or random ones, or in record types that can carry something
//! back.
//!
//! Invariant: per client and domain two windows of fixed size are kept. Not here: names that do not exist (`dga`).

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{DnsMessage, FlowId, Learned, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::distinct::{Distinct, word_of};
use crate::domain::{entropy, is_hash_lookup, is_mail_key, is_reversed_address, split};
use crate::words::Voice;
use crate::{
    Attack, Definition, Detector, Event, Held, SAMPLES_MAX, Said, Settings, Sign, Spoofable, Subject, TARGETS_MAX,
    Threshold,
};

pub(crate) static DEFINITION: Definition = Definition {
    name: "dns_tunnel",
    title: "DNS tunnel",
    kind: "tunnel",
    sees: "A client that asks for many different names under one domain: in record types that carry data back (NULL, TXT, CNAME, MX, \
           SRV, KEY and others), or with long names that look random, within a minute or within half an hour. iodine, dnscat2, \
           dns2tcp, sods and the like, straight to their server or through resolvers.",
    misses: "Tunnels over encrypted DNS, slow exfiltration of a few names an hour, and data hidden in existing names. Behind a resolver \
             or a NAT gateway, the client is the gateway. Look-ups of addresses in lists and of file hashes under the domains of known \
             products are left out.",
    evaded_by: "Few short names under each of many domains, or less than the thresholds within each half hour.",
    technique: Some(Attack { id: "T1071.004", name: "Application Layer Protocol: DNS", tactic: "Command and Control" }),
    severity: Severity::Medium,
    spoofable: Spoofable::Depends,
    quiet_seconds: 900,
    thresholds: &[
        Threshold {
            name: "names",
            unit: "names",
            default: 40.0,
            range: (5.0, 10_000.0),
            doc: "Different names under one domain within a minute, in carrying types. Ordinary programs ask for a handful of TXT or SRV \
                  records under one domain; a tunnel asks several times a second.",
        },
        Threshold {
            name: "slow_names",
            unit: "names",
            default: 150.0,
            range: (20.0, 10_000.0),
            doc: "The same within half an hour, and the least number of long random names in address look-ups, whose servers are many \
                  in content networks: there it takes four times as many, unless they have 50 bytes and more on average.",
        },
        Threshold {
            name: "long_bytes",
            unit: "bytes",
            default: 30.0,
            range: (15.0, 200.0),
            doc: "Mean length of what stands before the domain from which names count as long; host names of content networks have 10 to 25.",
        },
    ],
};

/// Pairs of client and domain held.
const PAIRS_MAX: usize = 32_768;
const FAST: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(1_800);
/// Bits per character from which a long name looks like data: hexadecimal has up to 4, Base32 up to 5, words joined by dashes 3.5.
const ENTROPY_MIN: f64 = 3.2;
/// Mean length of what stands before the domain from which no content network's names are: those have up to 40 bytes.
const VERY_LONG: f64 = 50.0;
/// How many times as many names it takes in address look-ups whose names are shorter.
const ADDRESSES_FACTOR: u64 = 4;
/// What one response brings on average, in text, from which it is data.
const BROUGHT_MIN: u64 = 20;

/// What was asked in a window, which starts anew when it is over.
#[derive(Debug, Default)]
struct Asked {
    since: Timestamp,
    names: Distinct,
    queries: u64,
    carrying: u64,
    name_bytes: u64,
    entropy: f64,
    answers: u64,
    answer_bytes: u64,
}

impl Asked {
    fn turn(&mut self, time: Timestamp, length: Duration) {
        if time.since(self.since) > length {
            *self = Self { since: time, ..Self::default() };
        }
    }

    fn query(&mut self, name: u64, bytes: u64, entropy: f64, carrying: bool) {
        self.names.insert(name);
        self.queries += 1;
        self.carrying += u64::from(carrying);
        self.name_bytes += bytes;
        self.entropy += entropy;
    }

    fn mean_bytes(&self) -> f64 {
        self.name_bytes as f64 / self.queries.max(1) as f64
    }

    /// Whether it looks like a tunnel, for so many names; in address look-ups that bring no text, for so many.
    fn is_tunnel(&self, names: u64, addresses: u64, long: f64) -> bool {
        let count = self.names.count();
        if count < names.min(addresses) {
            return false;
        }
        let addresses = if self.mean_bytes() >= VERY_LONG { addresses } else { ADDRESSES_FACTOR * addresses };
        // A tunnel never asks the same twice; a host that asks for the same TXT again and again is no tunnel.
        let is_new = count * 2 >= self.queries;
        let is_carrying = self.carrying * 2 >= self.queries;
        let is_random = self.mean_bytes() >= long && self.entropy / self.queries.max(1) as f64 >= ENTROPY_MIN;
        let brings = self.answer_bytes / self.answers.max(1) >= BROUGHT_MIN;
        is_new && (is_carrying && count >= names || is_random && (brings && count >= names || count >= addresses))
    }
}

#[derive(Debug)]
struct Pair {
    fast: Asked,
    slow: Asked,
    first: Timestamp,
    queries: u64,
    name_bytes: u64,
    answers: u64,
    answer_bytes: u64,
    samples: Vec<Box<str>>,
    flows: Vec<FlowId>,
    pace: Voice,
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct DnsTunnel {
    pairs: Bounded<(IpAddr, Box<str>), Pair>,
    names: u64,
    slow_names: u64,
    long: f64,
}

/// Types whose answers can carry something: CNAME, NULL, MX, TXT, SIG, KEY, SRV, A6, SPF, private ones. Not PTR, SOA, NS, DNSKEY, HTTPS,
/// which ordinary resolvers and browsers ask for.
fn is_carrying(qtype: u16) -> bool {
    matches!(qtype, 5 | 10 | 15 | 16 | 24 | 25 | 33 | 38 | 99 | 65_280..=65_534)
}

fn brought(message: &DnsMessage) -> u64 {
    message.answers.iter().map(|answer| answer.text.len() as u64).sum()
}

impl DnsTunnel {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            pairs: Bounded::new(PAIRS_MAX, SLOW),
            names: settings.value(&DEFINITION, "names") as u64,
            slow_names: settings.value(&DEFINITION, "slow_names") as u64,
            long: settings.value(&DEFINITION, "long_bytes"),
        })
    }

    fn take(&mut self, now: Timestamp, said: &Said<'_>, message: &DnsMessage, signs: &mut Vec<Sign>) {
        let Some((registered, rest)) = split(&message.name) else { return };
        if message.multicast
            || rest.is_empty()
            || is_mail_key(rest)
            || is_reversed_address(&message.name)
            || is_hash_lookup(registered)
        {
            return;
        }
        let client = if said.from_client == message.response { said.tuple.server } else { said.tuple.client };
        let key = (client, registered.to_ascii_lowercase().into_boxed_str());
        let time = said.time;
        let pair = self.pairs.entry(now, &key, || Pair::new(time));
        pair.fast.turn(time, FAST);
        pair.slow.turn(time, SLOW);
        if message.response {
            let bytes = brought(message);
            pair.answers += 1;
            pair.answer_bytes += bytes;
            for asked in [&mut pair.fast, &mut pair.slow] {
                asked.answers += 1;
                asked.answer_bytes += bytes;
            }
        } else {
            pair.query(said, message, rest);
        }
        let is_fast = pair.fast.is_tunnel(self.names, self.slow_names, self.long);
        let is_tunnel = is_fast || pair.slow.is_tunnel(self.slow_names, self.slow_names, self.long);
        if is_tunnel && pair.pace.is_due(time, 1) {
            signs.push(pair.sign(&key, said));
        }
    }
}

impl Pair {
    fn new(time: Timestamp) -> Self {
        let window = || Asked { since: time, ..Asked::default() };
        Self {
            fast: window(),
            slow: window(),
            first: time,
            queries: 0,
            name_bytes: 0,
            answers: 0,
            answer_bytes: 0,
            samples: Vec::new(),
            flows: Vec::new(),
            pace: Voice::default(),
        }
    }

    fn query(&mut self, said: &Said<'_>, message: &DnsMessage, rest: &str) {
        // Some resolvers change the case of letters at random (draft-vixie-dnsext-dns0x20); tunnels that use case differ otherwise too.
        let word = word_of(&rest.to_ascii_lowercase());
        let (bytes, carrying) = (rest.len() as u64, is_carrying(message.qtype));
        self.queries += 1;
        self.name_bytes += bytes;
        let entropy = entropy(rest);
        for asked in [&mut self.fast, &mut self.slow] {
            asked.query(word, bytes, entropy, carrying);
        }
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(message.name.clone());
        }
        if let Some(id) = said.flow
            && self.flows.len() < TARGETS_MAX
            && !self.flows.contains(&id)
        {
            self.flows.push(id);
        }
    }

    fn sign(&self, key: &(IpAddr, Box<str>), said: &Said<'_>) -> Sign {
        let (client, domain) = key;
        let server = if said.tuple.client == *client { said.tuple.server } else { said.tuple.client };
        let names = self.slow.names.count();
        let message = format!(
            "{client} asked {server} for {names} different names under {domain} in {}, {} in names and {} of text back: data may pass in DNS",
            units::duration(said.time.since(self.first)),
            units::bytes(self.name_bytes),
            units::bytes(self.answer_bytes),
        );
        let subject = Subject { source: Some(*client), other: Some(domain.clone()), ..Subject::default() };
        let mut sign = Sign::new(&DEFINITION, subject, self.first, said.time, message);
        // Somebody who forges queries sees no answers, but the server would answer them all the same to the one who is blamed.
        sign.spoofable = said.tuple.protocol == 17;
        sign.severity = if self.name_bytes + self.answer_bytes > 100_000 { Severity::High } else { Severity::Medium };
        sign.targets = vec![server];
        sign.target_count = 1;
        sign.protocol = Some(said.tuple.protocol);
        sign.port = Some(said.tuple.server_port);
        sign.process = said.process.cloned();
        sign.figures = vec![
            ("names", names as f64),
            ("queries", self.queries as f64),
            ("answers", self.answers as f64),
            ("name_bytes", self.name_bytes as f64),
            ("answer_bytes", self.answer_bytes as f64),
            ("name_bytes_mean", self.slow.mean_bytes()),
            ("entropy_bits_mean", self.slow.entropy / self.slow.queries.max(1) as f64),
        ];
        sign.flows.clone_from(&self.flows);
        sign.samples = self.samples.iter().map(ToString::to_string).collect();
        sign
    }
}

impl Detector for DnsTunnel {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>) {
        if let Event::Said(said) = event
            && let Learned::Dns(message) = said.learned
        {
            self.take(now, said, message, signs);
        }
    }

    fn held(&self) -> Held {
        self.pairs.held()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hivewall_model::{DnsAnswer, Tuple};

    use super::*;
    use crate::testing::{Watch, host, ms};

    fn tuple(client: IpAddr) -> Tuple {
        Tuple { protocol: 17, client, server: host(53), client_port: 4_000, server_port: 53, vlans: [0; 2] }
    }

    /// Asks for a name, and has it answered with a text.
    fn ask(watch: &mut Watch, at: u64, client: IpAddr, name: &str, qtype: u16, answer: &str) {
        let query = DnsMessage { name: name.into(), qtype, ..DnsMessage::default() };
        let record = DnsAnswer { name: name.into(), rtype: qtype, ttl: 1, address: None, text: answer.into() };
        let response = DnsMessage { response: true, answers: vec![record], ..query.clone() };
        watch.said(ms(at), tuple(client), true, &Learned::Dns(Arc::new(query)));
        watch.said(ms(at + 5), tuple(client), false, &Learned::Dns(Arc::new(response)));
    }

    fn hash(n: u64) -> String {
        format!("{:016x}{:016x}", crate::distinct::mix(n + 1), crate::distinct::mix(n + 7))
    }

    fn asked(count: u64, gap: u64, qtype: u16, name: impl Fn(u64) -> String, answer: &str) -> Watch {
        let mut watch = Watch::new(&DEFINITION);
        for n in 0..count {
            ask(&mut watch, n * gap, host(1), &name(n), qtype, answer);
        }
        watch
    }

    #[test]
    fn forty_names_in_a_minute_in_a_carrying_type_are_told_and_39_are_not() {
        let tunnel = |count| asked(count, 250, 10, |n| format!("p{}.t.example.org", hash(n)), "");
        assert!(tunnel(39).signs.is_empty());
        let watch = tunnel(40);
        assert_eq!(watch.signs.len(), 1);
        let sign = &watch.signs[0];
        assert_eq!((sign.subject.source, sign.subject.other.as_deref()), (Some(host(1)), Some("example.org")));
        assert_eq!((sign.targets.clone(), sign.port), (vec![host(53)], Some(53)));
    }

    #[test]
    fn a_slow_one_is_told_within_half_an_hour() {
        let watch = asked(200, 8_000, 16, |n| format!("{}.example.org", hash(n)), "aGVsbG8gd29ybGQgaGVsbG8");
        assert_eq!(watch.signs[0].figures[0], ("names", 150.0));
    }

    #[test]
    fn long_names_with_answers_that_carry_are_told_whatever_the_type() {
        let watch = asked(
            60,
            500,
            1,
            |n| format!("{}{}.example.org", hash(n), hash(n + 9)),
            "aGVsbG8gd29ybGQgaGVsbG8.example.org",
        );
        assert!(!watch.signs.is_empty());
    }

    #[test]
    fn very_long_names_that_bring_nothing_but_addresses_are_told_at_150_and_shorter_ones_at_600() {
        let asked = |count, name: fn(u64) -> String| asked(count, 2_000, 1, name, "").signs.len();
        let very_long: fn(u64) -> String = |n| format!("{}.{}.example.org", hash(n), hash(n + 9));
        let long: fn(u64) -> String = |n| format!("{}.example.org", hash(n));
        assert_eq!((asked(149, very_long), asked(150, very_long).min(1)), (0, 1));
        // So many are counted by a sketch.
        assert_eq!((asked(500, long), asked(700, long).min(1)), (0, 1));
    }

    #[test]
    fn what_looks_alike_and_is_clean_is_not_told() {
        type Name = fn(u64) -> String;
        let clean: [(&str, u16, Name); 7] = [
            ("content network", 1, |n| format!("r{n}---sn-{}.googlevideo.com", &hash(n)[..8])),
            ("address list", 1, |n| format!("{}.{}.2.1.zen.spamhaus.org", n % 256, n / 256)),
            ("reverse", 12, |n| format!("{}.{}.0.10.in-addr.arpa", n % 256, n / 256)),
            ("virus scanner", 1, |n| format!("{}.avqs.mcafee.com", hash(n))),
            ("signatures of mail", 16, |n| format!("{}._domainkey.sender.example", hash(n))),
            ("directory", 33, |n| format!("_ldap._tcp.site{}._sites.corp.example", n % 5)),
            ("the same again", 16, |_| "status.example.org".to_owned()),
        ];
        for (what, qtype, name) in clean {
            let watch = asked(400, 100, qtype, name, "");
            assert!(watch.signs.is_empty(), "{what}: {:?}", watch.lines());
        }
    }
}
