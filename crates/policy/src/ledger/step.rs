//! The transitions. Every one that changes anything writes it into the trail and asks for [`Effect::Persist`] before
//! anything is enforced, so that what a stop leaves behind is always ahead of the kernel and never behind it.

use std::time::Duration;

use hivewall_model::Timestamp;

use super::LedgerError;
use super::state::{Confirmation, Held, Ledger, Pending};
use super::trail::{Cause, What};
use crate::sign::{Digest, TrustedKeys};

/// Starts of the agent that find a change half done and try it once more; then it is taken back.
const STARTS_MAX: u32 = 1;
/// Who does what nobody asked for.
const ITSELF: &str = "hivewall";

/// Now, by the clocks that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock, for validity.
    pub wall: Timestamp,
    /// Identity of this boot of the machine (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// Milliseconds since the machine started, sleep included (`CLOCK_BOOTTIME`), for confirmation.
    pub uptime_ms: u64,
}

/// What is asked of the ledger. `who` is for the trail.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// The agent starts. Always the first request.
    Start,
    /// Time passes. At least once a second, and before any other request.
    Tick,
    /// Take up a document.
    Apply {
        /// The file: signed, or plain text where that is allowed.
        bytes: &'a [u8],
        /// Take it back when nobody confirms it in this time; good as soon as it is in force when absent.
        confirm: Option<Duration>,
        /// Who asks.
        who: &'a str,
    },
    /// The caller enforces this document: the answer to [`Effect::Enforce`].
    Enforced {
        /// Which.
        digest: Digest,
    },
    /// The caller could not enforce it, and what was in force before still is.
    Failed {
        /// Which.
        digest: Digest,
    },
    /// Keep what waits for confirmation. The caller has made sure that this came over a new connection.
    Confirm {
        /// Only if it is this one.
        digest: Option<Digest>,
        /// Who asks.
        who: &'a str,
    },
    /// Take back what waits for confirmation.
    Revert {
        /// Who asks.
        who: &'a str,
    },
    /// Go back to a document that was good before. The version that counts against replay stays.
    RollBack {
        /// To this version; to the one before the present one when absent.
        to: Option<u64>,
        /// As for `Apply`.
        confirm: Option<Duration>,
        /// Who asks.
        who: &'a str,
    },
    /// Trust keys because somebody on this host says so.
    Trust {
        /// The keys.
        keys: TrustedKeys,
        /// Even if there are some: the way out when keys are lost.
        replace: bool,
        /// Who asks.
        who: &'a str,
    },
    /// Trust other keys because a threshold of the present ones signed it.
    Rotate {
        /// The signed document of keys.
        bytes: &'a [u8],
        /// Who asks.
        who: &'a str,
    },
    /// The host joins a cluster: unsigned text is no longer taken. Needs keys.
    Join {
        /// Who asks.
        who: &'a str,
    },
}

/// What somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alert {
    /// The policy in force has expired. It stays in force.
    Expired {
        /// Which.
        document: Held,
    },
    /// A change was taken back, and nobody asked for it.
    Reverted {
        /// Which.
        document: Held,
        /// Why.
        cause: Cause,
    },
    /// The last good policy cannot be enforced; what the kernel holds stays as it is.
    NotEnforced {
        /// Which.
        document: Held,
    },
}

/// What the caller has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keep these bytes under this digest, durably.
    Store {
        /// The name.
        digest: Digest,
        /// The file.
        bytes: Vec<u8>,
    },
    /// Keep the state of this step, durably, before anything that follows.
    Persist,
    /// Enforce this document, then say [`Request::Enforced`] or [`Request::Failed`].
    Enforce {
        /// Which.
        document: Held,
        /// Time since the machine started at which the kernel has to fall back by itself.
        until_uptime_ms: Option<u64>,
    },
    /// No policy was good before: enforce none.
    Withdraw,
    /// Tell somebody.
    Alert(Alert),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing had to change.
    Unchanged,
    /// This document is being put in force.
    Applying {
        /// Which.
        document: Held,
        /// Versions before it that this host has not seen, so that it could not compare them.
        missed: u64,
    },
    /// The very document that is in force, or pending, was offered again.
    AlreadyThere {
        /// Which.
        document: Held,
    },
    /// In force; it waits for confirmation.
    Waiting {
        /// Which.
        document: Held,
    },
    /// It is the last good one now.
    Good {
        /// Which.
        document: Held,
    },
    /// Taken back.
    Reverted {
        /// Which.
        document: Held,
        /// Why.
        cause: Cause,
    },
    /// Other keys are trusted.
    Keys {
        /// Which.
        keys: TrustedKeys,
    },
    /// The host is in a cluster.
    Joined,
}

/// A step that was taken.
#[derive(Clone, Debug)]
pub struct Step {
    /// The state after it.
    pub ledger: Ledger,
    /// What has to be done, in this order.
    pub effects: Vec<Effect>,
    /// What became of the request.
    pub outcome: Outcome,
}

impl Ledger {
    /// One step. A refusal changes nothing.
    pub fn step(&self, now: &Moment, request: &Request<'_>) -> Result<Step, LedgerError> {
        let mut step = Step { ledger: self.clone(), effects: Vec::new(), outcome: Outcome::Unchanged };
        match request {
            Request::Start => step.start(now),
            Request::Tick => step.tick(now),
            Request::Apply { bytes, confirm, who } => step.apply(now, bytes, *confirm, who)?,
            Request::Enforced { digest } => step.enforced(now, *digest),
            Request::Failed { digest } => step.failed(now, *digest),
            Request::Confirm { digest, who } => step.confirm(now, *digest, who)?,
            Request::Revert { who } => {
                let pending = step.ledger.pending.clone().ok_or(LedgerError::NothingPending)?;
                step.revert(now, who, &pending.document, Cause::Asked);
            }
            Request::RollBack { to, confirm, who } => step.roll_back(now, *to, *confirm, who)?,
            Request::Trust { keys, replace, who } => step.trust(now, keys, *replace, who)?,
            Request::Rotate { bytes, who } => step.rotate(now, bytes, who)?,
            Request::Join { who } => step.join(now, who)?,
        }
        Ok(step)
    }
}

impl Step {
    fn start(&mut self, now: &Moment) {
        match self.ledger.pending.clone() {
            Some(pending) => self.resume(now, pending),
            None if self.ledger.good.is_some() => self.enforce_good(),
            // The agent may have ended between taking back the first policy of all and withdrawing it. A state in which
            // nothing ever happened says nothing about what the kernel holds.
            None if !self.ledger.recent.is_empty() => self.effects.push(Effect::Withdraw),
            None => {}
        }
        // Whoever was told before the agent ended may not have heard it.
        let told = self.ledger.in_force().filter(|document| self.ledger.expiry_told == Some(document.digest));
        self.effects.extend(told.cloned().map(|document| Effect::Alert(Alert::Expired { document })));
        self.tell_expiry(now);
    }

    /// Goes on with a change that the end of the agent interrupted.
    fn resume(&mut self, now: &Moment, mut pending: Pending) {
        let cause = match &pending.confirm {
            Some(confirm) if confirm.boot != now.boot => Some(Cause::Restarted),
            Some(confirm) if confirm.is_over(now) => Some(Cause::NotConfirmed),
            None if pending.starts >= STARTS_MAX => Some(Cause::Interrupted),
            _ => None,
        };
        if let Some(cause) = cause {
            return self.revert(now, ITSELF, &pending.document, cause);
        }
        pending.starts = pending.starts.saturating_add(1);
        pending.in_force = false;
        self.ledger.pending = Some(pending.clone());
        self.effects.push(Effect::Persist);
        self.enforce(&pending);
    }

    fn tick(&mut self, now: &Moment) {
        if let Some(pending) = self.ledger.pending.clone()
            && let Some(confirm) = &pending.confirm
            && confirm.is_over(now)
        {
            let cause = if confirm.boot == now.boot { Cause::NotConfirmed } else { Cause::Restarted };
            self.revert(now, ITSELF, &pending.document, cause);
        }
        self.tell_expiry(now);
    }

    /// An expired policy is told once and stays.
    fn tell_expiry(&mut self, now: &Moment) {
        let Some(document) = self.ledger.in_force().cloned() else { return };
        if !document.valid.is_over(now.wall) || self.ledger.expiry_told == Some(document.digest) {
            return;
        }
        self.ledger.expiry_told = Some(document.digest);
        self.ledger.record(now, ITSELF, What::Expired { document: document.clone() });
        self.effects.push(Effect::Persist);
        self.effects.push(Effect::Alert(Alert::Expired { document }));
    }

    fn apply(&mut self, now: &Moment, bytes: &[u8], confirm: Option<Duration>, who: &str) -> Result<(), LedgerError> {
        let judged = self.ledger.judge(now, bytes)?;
        let document = judged.document;
        if let Some(pending) = &self.ledger.pending {
            if pending.document.digest != document.digest {
                return Err(LedgerError::Busy { version: pending.document.version });
            }
            self.outcome = Outcome::AlreadyThere { document };
            return Ok(());
        }
        if self.ledger.good == Some(document.digest) {
            self.outcome = Outcome::AlreadyThere { document };
            return Ok(());
        }
        self.effects.push(Effect::Store { digest: document.digest, bytes: bytes.to_vec() });
        self.ledger.raise(&document);
        self.ledger.record(now, who, What::accepted(&document, &judged.by));
        self.outcome = Outcome::Applying { document: document.clone(), missed: judged.missed };
        self.begin(now, document, confirm);
        Ok(())
    }

    fn roll_back(
        &mut self,
        now: &Moment,
        to: Option<u64>,
        confirm: Option<Duration>,
        who: &str,
    ) -> Result<(), LedgerError> {
        if let Some(pending) = &self.ledger.pending {
            return Err(LedgerError::Busy { version: pending.document.version });
        }
        let ledger = &self.ledger;
        let document = if let Some(version) = to {
            let found = ledger.kept.iter().rfind(|held| held.version == version);
            let kept = || ledger.kept.iter().map(|held| held.version).collect();
            found.ok_or_else(|| LedgerError::NotKept { version, kept: kept() })?
        } else {
            ledger.earlier().ok_or(LedgerError::NothingEarlier)?
        };
        let document = document.clone();
        if !document.signed && !ledger.takes_unsigned() {
            return Err(LedgerError::Unsigned);
        }
        if ledger.good == Some(document.digest) {
            self.outcome = Outcome::AlreadyThere { document };
            return Ok(());
        }
        self.ledger.record(now, who, What::RollBack { document: document.clone() });
        self.outcome = Outcome::Applying { document: document.clone(), missed: 0 };
        self.begin(now, document, confirm);
        Ok(())
    }

    /// Puts a document in force, with or without the need to confirm it.
    fn begin(&mut self, now: &Moment, document: Held, confirm: Option<Duration>) {
        let confirm = confirm.map(|within| Confirmation {
            boot: now.boot.clone(),
            until_uptime_ms: now.uptime_ms.saturating_add(u64::try_from(within.as_millis()).unwrap_or(u64::MAX)),
        });
        let pending = Pending { document, confirm, in_force: false, starts: 0 };
        self.ledger.pending = Some(pending.clone());
        self.effects.push(Effect::Persist);
        self.enforce(&pending);
    }

    fn enforce(&mut self, pending: &Pending) {
        let until_uptime_ms = pending.confirm.as_ref().map(|confirm| confirm.until_uptime_ms);
        self.effects.push(Effect::Enforce { document: pending.document.clone(), until_uptime_ms });
    }

    fn enforce_good(&mut self) {
        self.effects
            .extend(self.ledger.good().cloned().map(|document| Effect::Enforce { document, until_uptime_ms: None }));
    }

    fn enforced(&mut self, now: &Moment, digest: Digest) {
        let Some(pending) = self.ledger.pending.as_mut().filter(|pending| pending.document.digest == digest) else {
            return;
        };
        let document = pending.document.clone();
        if pending.confirm.is_none() {
            return self.settle(now, ITSELF, document);
        }
        if !pending.in_force {
            pending.in_force = true;
            self.effects.push(Effect::Persist);
        }
        self.outcome = Outcome::Waiting { document };
    }

    fn failed(&mut self, now: &Moment, digest: Digest) {
        if let Some(pending) = self.ledger.pending.clone()
            && pending.document.digest == digest
        {
            return self.revert(now, ITSELF, &pending.document, Cause::Failed);
        }
        if let Some(document) = self.ledger.good().filter(|good| good.digest == digest).cloned() {
            self.effects.push(Effect::Alert(Alert::NotEnforced { document }));
        }
    }

    fn confirm(&mut self, now: &Moment, digest: Option<Digest>, who: &str) -> Result<(), LedgerError> {
        let pending = self.ledger.pending.clone().ok_or(LedgerError::NothingPending)?;
        let version = pending.document.version;
        if let Some(named) = digest
            && named != pending.document.digest
        {
            return Err(LedgerError::OtherPending { pending: pending.document.digest, named });
        }
        let confirm = pending.confirm.as_ref().ok_or(LedgerError::NothingPending)?;
        if confirm.is_over(now) {
            return Err(LedgerError::TooLate { version });
        }
        if !pending.in_force {
            return Err(LedgerError::NotInForce { version });
        }
        self.settle(now, who, pending.document);
        // The kernel still has the time at which it would fall back.
        self.enforce_good();
        Ok(())
    }

    fn settle(&mut self, now: &Moment, who: &str, document: Held) {
        self.ledger.settle(&document);
        self.ledger.record(now, who, What::Good { document: document.clone() });
        self.effects.push(Effect::Persist);
        self.outcome = Outcome::Good { document };
    }

    /// Takes a pending document back, in favour of the last good one.
    fn revert(&mut self, now: &Moment, who: &str, document: &Held, cause: Cause) {
        self.ledger.pending = None;
        self.ledger.record(now, who, What::Reverted { document: document.clone(), cause });
        self.effects.push(Effect::Persist);
        match self.ledger.good() {
            Some(_) => self.enforce_good(),
            None => self.effects.push(Effect::Withdraw),
        }
        let document = document.clone();
        if cause != Cause::Asked {
            self.effects.push(Effect::Alert(Alert::Reverted { document: document.clone(), cause }));
        }
        self.outcome = Outcome::Reverted { document, cause };
    }

    fn trust(&mut self, now: &Moment, keys: &TrustedKeys, replace: bool, who: &str) -> Result<(), LedgerError> {
        if self.ledger.keys.is_some() && !replace {
            return Err(LedgerError::KeysAreSet);
        }
        // Documents of keys that were signed for the former set must not come back.
        let version = self.ledger.keys.as_ref().map_or(0, TrustedKeys::version).max(keys.version());
        let keys = TrustedKeys::new(version, keys.threshold(), keys.keys().to_vec())?;
        self.set_keys(now, keys, None, who);
        Ok(())
    }

    fn rotate(&mut self, now: &Moment, bytes: &[u8], who: &str) -> Result<(), LedgerError> {
        let (keys, mark) = self.ledger.judge_keys(now, bytes)?;
        self.ledger.keys_highest = Some(mark);
        self.set_keys(now, keys, Some(mark.digest), who);
        Ok(())
    }

    fn set_keys(&mut self, now: &Moment, keys: TrustedKeys, document: Option<Digest>, who: &str) {
        self.ledger.keys = Some(keys.clone());
        self.ledger.record(now, who, What::Keys { keys: keys.clone(), document });
        self.effects.push(Effect::Persist);
        self.outcome = Outcome::Keys { keys };
    }

    fn join(&mut self, now: &Moment, who: &str) -> Result<(), LedgerError> {
        if self.ledger.keys.is_none() {
            return Err(LedgerError::NoKeys);
        }
        if !self.ledger.joined {
            self.ledger.joined = true;
            self.ledger.record(now, who, What::Joined);
            self.effects.push(Effect::Persist);
            self.outcome = Outcome::Joined;
        }
        Ok(())
    }
}
