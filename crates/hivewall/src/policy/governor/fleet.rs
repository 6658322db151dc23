//! The policy's thread as a member of a fleet: documents that come from others, bans of others, sets of hosts; and what an
//! operator does here told on to the fleet.
//!
//! Nothing of the fleet's protocol is known here. Invariant: a document of the fleet is judged by the same ledger as one
//! that an operator applies, and by no weaker rule.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hivewall_api::PolicyRefusal;
use hivewall_policy::document::Reaction;
use hivewall_policy::ledger::{Outcome, Request};
use hivewall_policy::sign::TrustedKeys;
use hivewall_policy::{Document, Members, Ruleset, Selector, SelectorError};
use ipnet::IpNet;
use tokio::sync::mpsc::UnboundedSender;

use super::{Answer, Carry, Governor, Measure, failed, vault};

/// What an operator did through this host, for the fleet.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// A document is in force.
    Applied {
        /// As it was given.
        document: Vec<u8>,
        who: String,
    },
    /// What waited for confirmation is good.
    Confirmed { who: String },
    /// This host went back.
    RolledBack { who: String },
    /// A prefix is banned or limited.
    Banned { prefix: IpNet, measure: Measure, ttl: Option<Duration>, reason: String, who: String },
    /// And no longer; in no way when it is not said in which.
    Unbanned { prefix: IpNet, reaction: Option<Reaction>, who: String },
}

/// What the fleet tells the policy's thread.
pub(crate) enum FromFleet {
    /// This host is a member from now on.
    Enter(Box<Entrance>),
    /// It is none any more.
    Leave,
    /// There is a newer document.
    Take(Vec<u8>, Answer<Taken>),
    /// What waits for confirmation was confirmed for the fleet, and others reach this host.
    Confirm(u64, Answer<()>),
    /// There are other keys.
    Rotate(Vec<u8>, Answer<()>),
    /// Members or their labels changed.
    Members(Arc<Membership>),
    /// Another host banned or limited a prefix.
    Ban(Carry, Answer<()>),
    /// And takes it back, or its time is over.
    Unban {
        prefix: IpNet,
        reaction: Reaction,
        /// Only what this host asked for; whoever did when absent.
        issuer: Option<String>,
    },
}

/// How a host becomes a member.
pub(crate) struct Entrance {
    /// Keys that came with the invitation, if this host has none.
    pub(crate) keys: Option<TrustedKeys>,
    /// The port that no policy may cut off.
    pub(crate) links_port: u16,
    /// This host's labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Where to tell what operators do.
    pub(crate) done: UnboundedSender<Done>,
    /// Where the ledger's keys are to be seen.
    pub(crate) keys_now: KeysNow,
}

/// What became of a document of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// In force, or waiting for confirmation there.
    InForce {
        /// Whether it waits.
        waits: bool,
    },
    /// It is for other hosts: this one accepts everything.
    NotForThisHost,
}

/// The keys that the ledger trusts, for whoever checks signatures elsewhere.
pub(crate) type KeysNow = Arc<RwLock<Option<TrustedKeys>>>;

/// Hosts of the fleet, as sets of a policy name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership(pub(crate) Vec<Host>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) addresses: Vec<IpAddr>,
}

impl Members for Membership {
    fn hosts(&self, selector: &str) -> Vec<IpNet> {
        // A selector that cannot be read was refused with its document.
        let Ok(selector) = selector.parse::<Selector>() else { return Vec::new() };
        let meant = self.0.iter().filter(|host| selector.matches(|label| host.labels.get(label).map(String::as_str)));
        meant.flat_map(|host| host.addresses.iter().map(|address| IpNet::from(*address))).collect()
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

impl Membership {
    /// The member that has an address within a prefix.
    fn within(&self, prefix: IpNet) -> Option<&Host> {
        self.0.iter().find(|host| host.addresses.iter().any(|address| prefix.contains(address)))
    }
}

/// What the policy's thread knows of the fleet; nothing while there is none.
#[derive(Default)]
pub(super) struct Side {
    pub(super) members: Arc<Membership>,
    entered: Option<Entered>,
}

struct Entered {
    labels: BTreeMap<String, String>,
    done: UnboundedSender<Done>,
    keys_now: KeysNow,
}

impl Side {
    /// Tells the fleet what an operator did.
    pub(super) fn tell(&self, done: Done) {
        if let Some(entered) = &self.entered {
            // The fleet's thread is gone when the agent stops.
            let _ = entered.done.send(done);
        }
    }

    pub(super) fn is_member(&self) -> bool {
        self.entered.is_some()
    }

    /// Whether a document is for this host. On its own, a host that is not meant is told so: whoever applies the document
    /// here means something else.
    pub(super) fn is_selected(&self, hosts: &str) -> Result<bool, PolicyRefusal> {
        let invalid = |error: SelectorError| PolicyRefusal::Invalid { reason: error.to_string() };
        let selector: Selector = hosts.parse().map_err(invalid)?;
        let labels = self.entered.as_ref().map(|entered| &entered.labels);
        if selector.matches(|label| labels?.get(label).map(String::as_str)) {
            return Ok(true);
        }
        if labels.is_some() {
            return Ok(false);
        }
        let reason = format!(
            "the policy is for the hosts where {hosts}, and this one has no labels; leave `hosts` out to apply it here"
        );
        Err(PolicyRefusal::Conflict { reason })
    }

    /// In a fleet every host has to wait for the same confirmation, so its time has to stand in what is signed.
    pub(super) fn check_confirm(&self, confirm: Option<Duration>) -> Result<(), PolicyRefusal> {
        if confirm.is_none() || !self.is_member() {
            return Ok(());
        }
        let reason = "in a fleet the time to confirm stands in the document, so that every host waits for it: write \
                      `confirm: {within: 120s}`, sign it, and apply it without --confirm";
        Err(PolicyRefusal::Conflict { reason: reason.to_owned() })
    }

    /// The name of the member that has an address within a prefix.
    pub(super) fn member_within(&self, prefix: IpNet) -> Option<&str> {
        self.members.within(prefix).map(|host| host.name.as_str())
    }

    /// A host that another depends on is not banned.
    pub(super) fn check_ban(&self, prefix: IpNet) -> Result<(), PolicyRefusal> {
        match self.members.within(prefix) {
            Some(host) => Err(PolicyRefusal::Conflict {
                reason: format!(
                    "{prefix} holds an address of {}, which is a member; `hivewall cluster remove` takes it out first",
                    host.name
                ),
            }),
            None => Ok(()),
        }
    }
}

impl Governor {
    pub(super) fn hear_fleet(&mut self, told: FromFleet) {
        match told {
            FromFleet::Enter(entrance) => self.enter(*entrance),
            FromFleet::Leave => {
                self.side = Side::default();
                self.set_links_port(None);
                self.settle_anew();
            }
            FromFleet::Take(document, answer) => _ = answer.send(self.take(&document)),
            FromFleet::Confirm(version, answer) => _ = answer.send(self.confirm_for_fleet(version)),
            FromFleet::Rotate(document, answer) => {
                let rotated = self.request(&Request::Rotate { bytes: &document, who: "fleet" });
                self.show_keys();
                let _ = answer.send(rotated.map(drop));
            }
            FromFleet::Members(members) => {
                self.side.members = members;
                self.settle_anew();
            }
            FromFleet::Ban(carry, answer) => _ = answer.send(self.carry(carry)),
            FromFleet::Unban { prefix, reaction, issuer } => self.release(prefix, reaction, issuer.as_deref()),
        }
        self.tell();
    }

    fn enter(&mut self, entrance: Entrance) {
        let Entrance { keys, links_port, labels, done, keys_now } = entrance;
        self.side.entered = Some(Entered { labels, done, keys_now });
        if let Some(keys) = keys.filter(|_| self.ledger.keys().is_none()) {
            let trusted = self.request(&Request::Trust { keys, replace: false, who: "invitation" });
            if let Err(refusal) = trusted {
                self.problem(format!("the keys of the fleet are not trusted: {refusal}"));
            }
        }
        match self.request(&Request::Join { who: "fleet" }) {
            Ok(_) => {}
            Err(refusal) => self.problem(format!("unsigned policies are still taken here: {refusal}")),
        }
        self.show_keys();
        self.set_links_port(Some(links_port));
        self.settle_anew();
    }

    /// Lets others see which keys the ledger trusts.
    pub(super) fn show_keys(&self) {
        if let Some(entered) = &self.side.entered {
            *entered.keys_now.write().unwrap_or_else(PoisonError::into_inner) = self.ledger.keys().cloned();
        }
    }

    fn set_links_port(&mut self, port: Option<u16>) {
        self.host.links_port = port;
        self.bans.set_links_port(port.unwrap_or(0));
    }

    /// A document that came from the fleet.
    fn take(&mut self, document: &[u8]) -> Result<Taken, PolicyRefusal> {
        let (parsed, rules) = self.read(document)?;
        if let Some(reason) = self.enforcer.refusal(&rules) {
            return Err(PolicyRefusal::Invalid { reason });
        }
        let is_selected = self.side.is_selected(&parsed.hosts)?;
        let confirm = parsed.confirm.map(|confirm| Duration::from_secs(confirm.within.0));
        // Where it changes nothing there is nothing to confirm.
        let confirm = confirm.filter(|_| is_selected || self.rules.is_some());
        let outcome = self.request(&Request::Apply { bytes: document, confirm, who: "fleet" })?;
        Ok(match outcome {
            _ if !is_selected => Taken::NotForThisHost,
            Outcome::Waiting { .. } => Taken::InForce { waits: true },
            _ => Taken::InForce { waits: self.ledger.pending().is_some() },
        })
    }

    fn confirm_for_fleet(&mut self, version: u64) -> Result<(), PolicyRefusal> {
        let Some(pending) = self.ledger.pending().filter(|pending| pending.document.version == version) else {
            return Ok(());
        };
        let digest = pending.document.digest;
        if !self.enforcer.confirm().map_err(|error| failed(&error))? {
            let reason = "the time to confirm is over, and the kernel has gone back already".to_owned();
            return Err(PolicyRefusal::Conflict { reason });
        }
        self.request(&Request::Confirm { digest: Some(digest), who: "fleet" })?;
        self.confirmed();
        Ok(())
    }

    /// The rules of a document on this host; none, which accept everything, where it is for others.
    pub(super) fn of_this_host(&self, document: &Document, rules: Ruleset) -> Ruleset {
        if !self.side.is_member() || self.side.is_selected(&document.hosts).unwrap_or(true) {
            return rules;
        }
        Ruleset { name: rules.name, version: rules.version, mode: rules.mode, ..Ruleset::default() }
    }

    /// Sets of hosts, or what the guard lets through, may have changed: the same document holds with other addresses.
    pub(super) fn settle_anew(&mut self) {
        // What waits for confirmation keeps its way back; its addresses are brought up to date when it is confirmed.
        let held = self.ledger.in_force().cloned().filter(|_| self.ledger.pending().is_none());
        let (Some(held), Some(before)) = (held, &self.rules) else { return };
        let again = vault::read_document(&self.state, held.digest)
            .map_err(|error| failed(&error))
            .and_then(|bytes| self.read(&bytes));
        let outcome = match again {
            Ok((_, rules)) if rules == *before => Ok(()),
            Ok((_, rules)) => {
                vault::now().map_err(|error| failed(&error)).and_then(|now| self.put_in_force(rules, &held, None, &now))
            }
            Err(refusal) => Err(refusal),
        };
        self.outcome("host_sets", outcome.map_err(|refusal| format!("sets of hosts are out of date: {refusal}")));
    }
}
