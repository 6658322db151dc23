//! A program that looks for its server under names it draws: many random-looking registered domains that do not exist.
//!
//! Not here: tunnels (`dns_tunnel`). Invariant: per client so many domains are kept as decide, and a counter of the rest.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::{DnsMessage, Learned, Timestamp};
use hivewall_view::alerts::Severity;
use hivewall_view::units;

use crate::bounded::Bounded;
use crate::distinct::{Distinct, word_of};
use crate::domain::{is_random, is_reversed_address, split};
use crate::words::Voice;
use crate::{
    Attack, Definition, Detector, Event, Held, SAMPLES_MAX, Said, Settings, Sign, Spoofable, Subject, Threshold,
};

pub(crate) static DEFINITION: Definition = Definition {
    name: "dga",
    title: "Generated domain names",
    kind: "c2",
    sees: "A client whose resolver answers that many different registered domains do not exist, most of which look like drawn letters \
           rather than words: a program that searches for its server.",
    misses: "Generators that put words together, and those that hit early. A mail server that looks up senders of spam may ask for \
             such names too.",
    evaded_by: "Word lists, fewer tries than the threshold within ten minutes, encrypted DNS.",
    technique: Some(Attack {
        id: "T1568.002",
        name: "Dynamic Resolution: Domain Generation Algorithms",
        tactic: "Command and Control",
    }),
    severity: Severity::Medium,
    spoofable: Spoofable::Depends,
    quiet_seconds: 1_800,
    thresholds: &[
        Threshold {
            name: "domains",
            unit: "domains",
            default: 20.0,
            range: (5.0, 250.0),
            doc: "Different random-looking registered domains that do not exist, within ten minutes. A person mistypes one or two; \
                  a search list appends the same domain each time and so counts once.",
        },
        Threshold {
            name: "random_share",
            unit: "",
            default: 0.6,
            range: (0.1, 1.0),
            doc: "Share of random-looking ones among the domains that do not exist; lists of dead sites are mostly words.",
        },
    ],
};

/// Clients held.
const CLIENTS_MAX: usize = 16_384;
const WINDOW: Duration = Duration::from_secs(600);
/// NXDOMAIN (RFC 1035).
const NAME_ERROR: u16 = 3;

#[derive(Debug, Default)]
struct Client {
    since: Timestamp,
    random: Distinct,
    words: Distinct,
    samples: Vec<String>,
    first: Timestamp,
    pace: Voice,
}

/// See [`DEFINITION`].
#[derive(Debug)]
pub(crate) struct Dga {
    clients: Bounded<IpAddr, Client>,
    domains: u64,
    share: f64,
}

impl Dga {
    pub(crate) fn make(settings: &Settings) -> Box<dyn Detector> {
        Box::new(Self {
            clients: Bounded::new(CLIENTS_MAX, WINDOW),
            domains: settings.value(&DEFINITION, "domains") as u64,
            share: settings.value(&DEFINITION, "random_share"),
        })
    }

    fn take(&mut self, now: Timestamp, said: &Said<'_>, message: &DnsMessage, signs: &mut Vec<Sign>) {
        if !message.response || message.rcode != NAME_ERROR || message.multicast || is_reversed_address(&message.name) {
            return;
        }
        let Some((registered, _)) = split(&message.name) else { return };
        let asker = if said.from_client { said.tuple.server } else { said.tuple.client };
        let client = self.clients.entry(now, &asker, Client::default);
        if said.time.since(client.since) > WINDOW {
            let pace = client.pace;
            *client = Client { since: said.time, first: said.time, pace, ..Client::default() };
        }
        let word = word_of(&registered.to_ascii_lowercase());
        let label = registered.split('.').next().unwrap_or_default();
        if !is_random(label) {
            client.words.insert(word);
            return;
        }
        if client.random.insert(word) && client.samples.len() < SAMPLES_MAX {
            client.samples.push(registered.to_owned());
        }
        let (random, words) = (client.random.count(), client.words.count());
        let is_generated = random >= self.domains && random as f64 >= self.share * (random + words) as f64;
        if !is_generated || !client.pace.is_due(said.time, 1) {
            return;
        }
        let message = format!(
            "{asker} asked for {random} random-looking domains that do not exist within {}",
            units::duration(said.time.since(client.first))
        );
        let mut sign = Sign::new(&DEFINITION, Subject::source(asker), client.first, said.time, message);
        sign.spoofable = said.tuple.protocol == 17;
        sign.protocol = Some(said.tuple.protocol);
        sign.process = said.process.cloned();
        sign.figures = vec![("domains", random as f64), ("domains_of_words", words as f64)];
        sign.samples.clone_from(&client.samples);
        sign.flows = said.flow.into_iter().collect();
        signs.push(sign);
    }
}

impl Detector for Dga {
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
        self.clients.held()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hivewall_model::Tuple;

    use super::*;
    use crate::testing::{Watch, host, s};

    fn missing(names: impl IntoIterator<Item = String>) -> Watch {
        let mut watch = Watch::new(&DEFINITION);
        for (n, name) in names.into_iter().enumerate() {
            let tuple = Tuple {
                protocol: 17,
                client: host(1),
                server: host(53),
                client_port: 4,
                server_port: 53,
                vlans: [0; 2],
            };
            let message = DnsMessage { response: true, rcode: 3, name: name.into(), ..DnsMessage::default() };
            watch.said(s(n as u64 * 3), tuple, false, &Learned::Dns(Arc::new(message)));
        }
        watch
    }

    /// Twelve letters drawn from those that words use least.
    fn drawn(n: u64) -> String {
        let mut bits = crate::distinct::mix(n + 1);
        let mut letters = || {
            bits = crate::distinct::mix(bits);
            b"bcdfghjkqvwxzpqmy"[(bits % 17) as usize] as char
        };
        let label: String = (0..12).map(|_| letters()).collect();
        format!("{label}.com")
    }

    #[test]
    fn twenty_drawn_names_that_do_not_exist_are_told_and_nineteen_are_not() {
        assert!(missing((0..19).map(drawn)).signs.is_empty());
        assert_eq!(
            missing((0..20).map(drawn)).lines(),
            ["medium 10.0.0.1 asked for 20 random-looking domains that do not exist within 57.0s"]
        );
    }

    #[test]
    fn search_lists_dead_sites_and_typos_are_not_told() {
        assert!(missing((0..200).map(|n| format!("{}.corp.example.com", drawn(n)))).signs.is_empty());
        let words = ["garden", "market", "online", "travel", "house", "music", "photo", "sport", "hotel", "center"];
        let dead = (0..100).map(|n: usize| format!("{}{}.com", words[n % 10], words[n / 10]));
        assert!(missing(dead).signs.is_empty());
        assert!(missing((0..100).map(|n| format!("qzxvkjw{n}"))).signs.is_empty(), "names of one label");
    }
}
