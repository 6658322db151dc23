//! A few cores on a perfect network, for tests that look at one thing: every message arrives at once.
//!
//! Signatures are a hash with the signer's name. Invariant: what a core sends is decoded by the one it is sent to.

use std::collections::VecDeque;

use hivewall_cluster::{
    Alarm, Ban, BanLimits, Changed, Claim, Core, Effect, Entry, Event, Flags, Hash, Member, NodeId, Now, Order, Peer,
    Persist, Policy, PolicyHead, Saved, Settings, SignedMember, Verifier,
};

pub(crate) struct Keys;

pub(crate) fn sign(signer: &[u8], claim: &Claim<'_>) -> Vec<u8> {
    Hash::of_parts(&[signer, &claim.message()]).0.to_vec()
}

impl Verifier for Keys {
    fn holds(&self, claim: &Claim<'_>, signature: &[u8]) -> bool {
        let signer: &[u8] = match claim {
            Claim::Member(id, _) => &id.0,
            Claim::Policy(..) => b"operator",
            Claim::Ban(ban) => &ban.issuer.0,
            Claim::Entry(entry) => &entry.author.0,
        };
        sign(signer, claim) == signature
    }
}

pub(crate) fn policy(version: u64, text: &str) -> Policy {
    let head = PolicyHead { name: "edge".to_owned(), version, hash: Hash::of(text.as_bytes()) };
    let signature = sign(b"operator", &Claim::Policy(&head, text.as_bytes()));
    Policy { head, body: text.as_bytes().to_vec(), signature }
}

pub(crate) fn ban(issuer: NodeId, number: u64, lives_s: u64, withdrawn: bool) -> Ban {
    let issued_unix_s = 1_800_000_000;
    let body = if withdrawn { Vec::new() } else { b"192.0.2.1/32".to_vec() };
    let expires_unix_s = issued_unix_s + lives_s;
    let mut ban = Ban { issuer, number, issued_unix_s, expires_unix_s, withdrawn, body, signature: Vec::new() };
    ban.signature = sign(&issuer.0, &Claim::Ban(&ban));
    ban
}

pub(crate) fn entry(author: NodeId, number: u64, before: Hash, text: &str) -> Entry {
    let mut entry =
        Entry { author, number, before, unix_ms: number, body: text.as_bytes().to_vec(), signature: Vec::new() };
    entry.signature = sign(&author.0, &Claim::Entry(&entry));
    entry
}

pub(crate) struct Fleet {
    pub(crate) cores: Vec<Core>,
    pub(crate) ms: u64,
    pub(crate) notices: Vec<(usize, Changed)>,
    pub(crate) written: Vec<(usize, Persist)>,
    /// Datagrams and requests between these do not arrive.
    pub(crate) cut: Vec<usize>,
    wakes: Vec<Option<u64>>,
    queue: VecDeque<(usize, Event)>,
    streams: Vec<(usize, u64)>,
}

impl Fleet {
    /// So many cores that know one another.
    pub(crate) fn new(hosts: u8) -> Self {
        let ids: Vec<NodeId> = (1..=hosts).map(|n| NodeId([n; 16])).collect();
        let mut fleet = Self {
            cores: Vec::new(),
            ms: 0,
            notices: Vec::new(),
            written: Vec::new(),
            cut: Vec::new(),
            wakes: vec![None; ids.len()],
            queue: VecDeque::new(),
            streams: Vec::new(),
        };
        for id in ids {
            let bans = BanLimits { per_issuer: 3, life_s: 3600, total: 100 };
            let settings = Settings { id, seed: 7, bans, verifier: Box::new(Keys) };
            fleet.cores.push(Core::new(settings, Saved::default(), fleet.now()));
        }
        for at in 0..usize::from(hosts) {
            let id = fleet.cores[at].id();
            fleet.order(at, Order::Describe(record(id, 1)));
            if at > 0 {
                fleet.order(at, Order::Join(vec![Peer::Node(NodeId([1; 16]))]));
            }
        }
        fleet.run(3000);
        assert!(fleet.cores.iter().all(|core| core.alive().len() == usize::from(hosts)));
        fleet
    }

    pub(crate) fn now(&self) -> Now {
        Now { ms: self.ms, unix_ms: 1_800_000_000_000 + self.ms }
    }

    pub(crate) fn order(&mut self, at: usize, order: Order) {
        self.give(at, Event::Order(order));
    }

    pub(crate) fn give(&mut self, at: usize, event: Event) {
        self.queue.push_back((at, event));
        while let Some((at, event)) = self.queue.pop_front() {
            let (mut effects, now) = (Vec::new(), self.now());
            self.cores[at].step(now, event, &mut effects);
            effects.into_iter().for_each(|effect| self.carry_out(at, effect));
        }
    }

    /// Lets time pass, in milliseconds.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.ms += 10;
            for at in 0..self.cores.len() {
                if self.wakes[at].is_some_and(|due| due <= self.ms) {
                    self.wakes[at] = None;
                    self.give(at, Event::Wake);
                }
            }
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect) {
        let from = self.cores[at].id();
        let place = |id: NodeId| usize::from(id.0[0] - 1);
        match effect {
            Effect::Datagram { to, bytes } => {
                if !self.cut.contains(&at) && !self.cut.contains(&place(to)) {
                    self.queue.push_back((place(to), Event::Datagram { from, bytes }));
                }
            }
            Effect::Request { to: Peer::Node(to), token, bytes } => {
                if !self.cut.contains(&at) && !self.cut.contains(&place(to)) {
                    self.streams.push((at, token));
                    let token = self.streams.len() as u64 - 1;
                    self.queue.push_back((place(to), Event::Request { from, token, bytes }));
                }
            }
            Effect::Request { .. } => {}
            Effect::Respond { token, bytes } => {
                if let Some((to, token)) = self.streams.get(token as usize).copied() {
                    self.queue.push_back((to, Event::Response { token, bytes: Some(bytes) }));
                }
            }
            Effect::WakeAt(ms) => self.wakes[at] = Some(ms),
            Effect::Persist(what) => self.written.push((at, what)),
            Effect::Changed(changed) => self.notices.push((at, changed)),
        }
    }

    pub(crate) fn alarms(&self, at: usize) -> Vec<&Alarm> {
        let alarm = |(host, changed): &'_ &(usize, Changed)| *host == at && matches!(changed, Changed::Alarm(_));
        self.notices
            .iter()
            .filter(alarm)
            .filter_map(|(_, changed)| match changed {
                Changed::Alarm(alarm) => Some(alarm),
                _ => None,
            })
            .collect()
    }
}

pub(crate) fn record(id: NodeId, revision: u64) -> SignedMember {
    let member = Member {
        id,
        revision,
        name: format!("host-{}", id.0[0]),
        addresses: vec![([10, 0, 0, id.0[0]], 7734).into()],
        labels: [("role".to_owned(), "web".to_owned())].into(),
        flags: Flags::default(),
        agent: "0.1.0".to_owned(),
        protocol: 1,
    };
    let body = member.encode();
    let signature = sign(&id.0, &Claim::Member(id, &body));
    SignedMember { body, signature }
}
