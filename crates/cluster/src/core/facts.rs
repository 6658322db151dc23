//! Taking facts up: each is looked at for limits, news, signature, in that order, kept, written down and told on.
//!
//! Invariant: a fact that this host has taken is written down before anybody is told of it.

use std::sync::Arc;

use super::{Core, RECORDS_MAX, Tick};
use crate::audit::Fit;
use crate::event::{Alarm, Changed, Effect, Persist, Stand};
use crate::facts::{Ban, Claim, Entry, Fact, Policy, PolicyHead};
use crate::id::NodeId;
use crate::losses::Reason;
use crate::member::{Member, SignedMember};
use crate::policies::{Interest, Taken};

impl Core {
    /// Looks at a fact; `from` is who told, or nobody when it is this host's own. Whether it was news.
    pub(super) fn learn(&mut self, fact: Fact, from: Option<NodeId>) -> bool {
        if !fact.fits() {
            self.losses.count(Reason::Malformed);
            return false;
        }
        let taken = match &fact {
            Fact::Policy(head) => {
                if let Some(from) = from {
                    self.consider_policy(head, from);
                }
                return false;
            }
            Fact::Member(record) => self.take_record(record),
            Fact::Ban(ban) => self.take_ban(ban),
            Fact::Entry(entry) => self.take_entry(entry, from),
        };
        match taken {
            Ok(true) => {
                self.tell_on(fact);
                true
            }
            Ok(false) => false,
            Err(reason) => {
                self.losses.count(reason);
                false
            }
        }
    }

    pub(super) fn tell_on(&mut self, fact: Fact) {
        if !self.rumors.tell(self.now.ms, fact) {
            self.losses.count(Reason::Full);
        }
    }

    /// Takes a host's record. Whether it was news.
    pub(super) fn take_record(&mut self, record: &SignedMember) -> Result<bool, Reason> {
        let member = Member::decode(&record.body).ok_or(Reason::Malformed)?;
        let id = member.id;
        if self.revision(id) >= member.revision {
            return Ok(false);
        }
        if self.records.len() >= RECORDS_MAX && !self.records.contains_key(&id) {
            return Err(Reason::Full);
        }
        if !self.verifier.holds(&Claim::Member(id, &record.body), &record.signature) {
            return Err(Reason::Signature);
        }
        self.records.insert(id, Arc::new((member, record.clone())));
        self.out.push(Effect::Persist(Persist::Member(record.clone())));
        self.changed(Changed::Record(id));
        Ok(true)
    }

    fn take_ban(&mut self, ban: &Ban) -> Result<bool, Reason> {
        match self.bans.is_wanted(ban, &self.ban_limits, self.now.unix_s()) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(Reason::Quota) => {
                // Only what the issuer itself signed is held against it.
                if !self.verifier.holds(&Claim::Ban(ban), &ban.signature) {
                    return Err(Reason::Signature);
                }
                self.changed(Changed::Alarm(Alarm::TooManyBans(ban.issuer)));
                return Err(Reason::Quota);
            }
            Err(reason) => return Err(reason),
        }
        if !self.verifier.holds(&Claim::Ban(ban), &ban.signature) {
            return Err(Reason::Signature);
        }
        self.out.push(Effect::Persist(Persist::Ban(ban.clone())));
        let (issuer, number) = (ban.issuer, ban.number);
        let ends_one = self.bans.take(ban.clone());
        if !ban.withdrawn {
            self.changed(Changed::Banned(issuer, number));
        } else if ends_one {
            self.changed(Changed::Unbanned(issuer, number));
        }
        Ok(true)
    }

    fn take_entry(&mut self, entry: &Entry, from: Option<NodeId>) -> Result<bool, Reason> {
        match self.audit.fit(entry)? {
            Fit::Known => return Ok(false),
            Fit::Gap => {
                if let Some(from) = from {
                    self.ask_for_audit(from);
                }
                return Ok(false);
            }
            fit @ (Fit::Next | Fit::Fork) => {
                if !self.verifier.holds(&Claim::Entry(entry), &entry.signature) {
                    return Err(Reason::Signature);
                }
                if fit == Fit::Fork {
                    self.changed(Changed::Alarm(Alarm::TwoEntries(entry.author, entry.number)));
                    return Err(Reason::Conflict);
                }
            }
        }
        self.audit.take(entry.clone());
        self.out.push(Effect::Persist(Persist::Entry(entry.clone())));
        self.changed(Changed::Audit(entry.author, entry.number));
        Ok(true)
    }

    /// Somebody has a policy.
    pub(super) fn consider_policy(&mut self, head: &PolicyHead, from: NodeId) {
        match self.policies.interest(head) {
            Interest::None => {}
            Interest::Older => self.losses.count(Reason::Rollback),
            Interest::Wanted => {
                if self.policies.want(head, from) {
                    self.fetch(&head.name);
                }
            }
        }
    }

    /// Takes a whole policy, from a peer or from this host's operator.
    pub(super) fn take_policy(&mut self, policy: Policy) {
        if !policy.is_whole() {
            self.losses.count(Reason::WrongBody);
            return;
        }
        if self.policies.interest(&policy.head) == Interest::Older {
            self.losses.count(Reason::Rollback);
            return;
        }
        if !self.verifier.holds(&Claim::Policy(&policy.head, &policy.body), &policy.signature) {
            self.losses.count(Reason::Signature);
            return;
        }
        let head = policy.head.clone();
        match self.policies.take(policy.clone()) {
            Ok(Taken::New) => {
                self.out.push(Effect::Persist(Persist::Policy(policy)));
                self.stands.retain(|other, _| other.name != head.name);
                self.report(head.clone(), Stand::Have);
                self.changed(Changed::Policy(head.clone()));
                self.tell_on(Fact::Policy(head));
            }
            Ok(Taken::Rival(held)) => {
                self.losses.count(Reason::Conflict);
                // Those that hold the other one have to see it too.
                self.tell_on(Fact::Policy(held.clone()));
                self.changed(Changed::Alarm(Alarm::TwoPolicies(held, head)));
            }
            Ok(Taken::Known) => {}
            Err(reason) => self.losses.count(reason),
        }
    }

    /// Remembers what this host does about a policy, for the next total.
    pub(super) fn report(&mut self, head: PolicyHead, stand: Stand) {
        let is_held = self.policies.get(&head.name).is_some_and(|(policy, _)| policy.head == head);
        if is_held {
            self.stands.insert(head, stand);
        }
    }

    /// Asks for the next piece of a policy that is wanted.
    pub(super) fn fetch(&mut self, name: &str) {
        let Some(fetch) = self.policies.fetch(name).filter(|fetch| fetch.token.is_none()) else { return };
        let Some((to, offset)) = fetch.question() else {
            self.policies.end_fetch(name);
            return;
        };
        let head = fetch.head.clone();
        let token = self.ask_for_piece(to, head, offset);
        if let Some(fetch) = self.policies.fetch(name) {
            fetch.token = Some(token);
        }
    }

    /// A source did not give what it announced: the next one, a little later.
    pub(super) fn fetch_failed(&mut self, name: &str, is_busy: bool) {
        let Some(fetch) = self.policies.fetch(name) else { return };
        if fetch.failed(is_busy) {
            let wait = 20 + self.random_below(if is_busy { 150 } else { 20 });
            self.timers.put(self.now.ms + wait, Tick::Fetch(name.to_owned()));
        } else {
            self.policies.end_fetch(name);
        }
    }
}
