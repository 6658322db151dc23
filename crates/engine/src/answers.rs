//! Names that DNS gave for addresses, to name the flows that follow.
//!
//! A name is for whoever asked: the same address may be another site for another client. What this host asked serves
//! for all, since containers ask through it. Invariant: a flow is never named by an answer that came after it began.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::{DnsMessage, Timestamp};

use crate::bounded::Bounded;
use crate::sockets::SLACK;

/// Programs keep addresses longer than they may: browsers for a minute whatever the answer says.
const GRACE: Duration = Duration::from_secs(60);
/// No answer is believed for longer.
const TTL_MAX: Duration = Duration::from_secs(86_400);
const CNAME: u16 = 5;

/// Who asked; `None` for this host.
type Asker = Option<IpAddr>;

#[derive(Clone)]
struct Answer {
    name: Arc<str>,
    from: Timestamp,
    until: Timestamp,
}

impl Answer {
    fn fits(&self, start: Timestamp) -> bool {
        // A packet's time may be early by a tick of the datapath's clock.
        self.from <= start + SLACK && start <= self.until
    }
}

struct Known {
    now: Answer,
    /// What the address was called before.
    before: Option<Answer>,
}

pub(crate) struct AnswerTable {
    known: Bounded<(Asker, IpAddr), Known>,
    /// Given up while they still held.
    pub(crate) evicted: u64,
}

/// Addresses that the message gives for the name asked, over any number of aliases, with how long they hold.
fn addresses(message: &DnsMessage) -> Vec<(IpAddr, u32)> {
    let mut names = vec![&*message.name];
    let mut ttl = u32::MAX;
    loop {
        let of = |known: &[&str], name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        let is_next = |alias: &&hivewall_model::DnsAnswer| {
            alias.rtype == CNAME && of(&names, &alias.name) && !alias.text.is_empty() && !of(&names, &alias.text)
        };
        let Some(alias) = message.answers.iter().find(is_next) else {
            let given = message.answers.iter().filter(|answer| of(&names, &answer.name));
            return given.filter_map(|answer| Some((answer.address?, answer.ttl.min(ttl)))).collect();
        };
        names.push(&alias.text);
        ttl = ttl.min(alias.ttl);
    }
}

impl AnswerTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self { known: Bounded::new(limit), evicted: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Learns from a response that came at this time.
    pub(crate) fn learn(&mut self, message: &DnsMessage, asker: Asker, time: Timestamp) {
        if !message.response || message.multicast || message.rcode != 0 || message.name.is_empty() {
            return;
        }
        let mut name: Option<Arc<str>> = None;
        for (address, ttl) in addresses(message) {
            let name = name.get_or_insert_with(|| Arc::from(&*message.name));
            let holds = Duration::from_secs(u64::from(ttl)).min(TTL_MAX) + GRACE;
            self.put((asker, address), Answer { name: Arc::clone(name), from: time, until: time + holds });
        }
    }

    fn put(&mut self, key: (Asker, IpAddr), answer: Answer) {
        let Some(known) = self.known.touch(&key) else {
            let from = answer.from;
            let gone = self.known.insert(key, Known { now: answer, before: None });
            self.evicted += u64::from(gone.is_some_and(|(_, gone)| gone.now.until >= from));
            return;
        };
        if known.now.name == answer.name && answer.from <= known.now.until {
            known.now.until = known.now.until.max(answer.until);
        } else {
            known.before = Some(std::mem::replace(&mut known.now, answer));
        }
    }

    /// The name by which a client reached a server, if it had asked before.
    pub(crate) fn find(&self, client: IpAddr, is_local: bool, server: IpAddr, start: Timestamp) -> Option<Arc<str>> {
        let own = if is_local { None } else { self.look((Some(client), server), start) };
        own.or_else(|| self.look((None, server), start))
    }

    fn look(&self, key: (Asker, IpAddr), start: Timestamp) -> Option<Arc<str>> {
        let known = self.known.get(&key)?;
        let answer = [Some(&known.now), known.before.as_ref()].into_iter().flatten().find(|one| one.fits(start))?;
        Some(Arc::clone(&answer.name))
    }
}
