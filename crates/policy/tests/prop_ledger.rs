//! Whatever is asked of a host, in whatever order, and wherever its agent or the machine stops: it never takes up a lower
//! version, never opens because something expired, and always has a policy once one was good.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_policy::ledger::{Effect, Ledger, LedgerError, Moment, Outcome, Request, check_trail};
use hivewall_policy::sign::{Digest, Meta, Previous, SecretKey, Signed, Statement, TrustedKeys};
use proptest::prelude::*;

/// Versions there are.
const VERSIONS: u64 = 12;
const BEGIN_S: i64 = 1_800_000_000;

fn key() -> SecretKey {
    SecretKey::new(&[7; 32], "key").unwrap()
}

/// Even versions expire 600 seconds after the beginning.
fn document(version: u64) -> String {
    let until = if version.is_multiple_of(2) { ", notAfter: 2027-01-15T08:10:00Z" } else { "" };
    format!("kind: Policy\nmetadata: {{name: edge, version: {version}{until}}}\n")
}

/// Versions 1 to [`VERSIONS`], each following the one before; and for each a fork that follows something else.
static CHAIN: LazyLock<Vec<[String; 2]>> = LazyLock::new(|| {
    let mut last: Option<Previous> = None;
    let sign = |version: u64, previous: Option<Previous>| {
        let text = document(version);
        let header = Meta::of(&text).unwrap().header(previous).unwrap();
        Signed::new(Statement::new(header, text).unwrap(), &key())
    };
    (1..=VERSIONS)
        .map(|version| {
            let right = sign(version, last);
            let elsewhere = Previous { version: version - 1, digest: Digest::of(b"elsewhere") };
            let fork = sign(version, Some(elsewhere));
            last = Some(Previous { version, digest: right.statement().digest() });
            [right.to_text(), fork.to_text()]
        })
        .collect()
});

#[derive(Clone, Debug)]
enum Act {
    Apply { version: u64, is_fork: bool, confirm: Option<u64> },
    ApplyPlain { version: u64, confirm: Option<u64> },
    Confirm,
    Revert,
    RollBack { to: Option<u64>, confirm: Option<u64> },
    Pass { seconds: u64 },
    RestartAgent,
    RestartMachine,
    Trust,
}

fn act() -> impl Strategy<Value = Act> {
    let confirm = || proptest::option::of(1..200_u64);
    prop_oneof![
        6 => (1..=VERSIONS, proptest::bool::weighted(0.1), confirm())
            .prop_map(|(version, is_fork, confirm)| Act::Apply { version, is_fork, confirm }),
        2 => (1..=VERSIONS, confirm()).prop_map(|(version, confirm)| Act::ApplyPlain { version, confirm }),
        3 => Just(Act::Confirm),
        1 => Just(Act::Revert),
        2 => (proptest::option::of(1..=VERSIONS), confirm()).prop_map(|(to, confirm)| Act::RollBack { to, confirm }),
        3 => (1..400_u64).prop_map(|seconds| Act::Pass { seconds }),
        1 => Just(Act::RestartAgent),
        1 => Just(Act::RestartMachine),
        1 => Just(Act::Trust),
    ]
}

/// A machine: what is on its disk, and what its kernel enforces.
struct Machine {
    now: Moment,
    state: Ledger,
    documents: BTreeMap<Digest, Vec<u8>>,
    kernel: Option<Digest>,
    boots: u32,
}

/// The agent or the machine stopped.
struct Stopped;

impl Machine {
    fn new() -> Self {
        let now = Moment { wall: Timestamp::from_secs(BEGIN_S), boot: "0".to_owned(), uptime_ms: 1_000 };
        Self { now, state: Ledger::default(), documents: BTreeMap::new(), kernel: None, boots: 0 }
    }

    /// Asks and carries out, at most `left` effects.
    fn ask(
        &mut self,
        request: &Request<'_>,
        left: &mut usize,
        can_fail: bool,
    ) -> Result<Result<Outcome, LedgerError>, Stopped> {
        let step = match self.state.step(&self.now, request) {
            Ok(step) => step,
            Err(error) => return Ok(Err(error)),
        };
        let mut enforced = Vec::new();
        for effect in &step.effects {
            if *left == 0 {
                return Err(Stopped);
            }
            *left -= 1;
            match effect {
                Effect::Store { digest, bytes } => drop(self.documents.insert(*digest, bytes.clone())),
                Effect::Persist => self.state = step.ledger.clone(),
                Effect::Enforce { document, .. } => {
                    assert!(self.documents.contains_key(&document.digest), "enforced before it was stored");
                    let pending = step.ledger.pending().is_some_and(|pending| pending.document == *document);
                    if can_fail && pending {
                        enforced.push(Request::Failed { digest: document.digest });
                    } else {
                        self.kernel = Some(document.digest);
                        enforced.push(Request::Enforced { digest: document.digest });
                    }
                }
                Effect::Withdraw => self.kernel = None,
                Effect::Alert(_) => {}
            }
        }
        // What a step changed and did not ask to keep would be lost with the agent.
        assert_eq!(self.state, step.ledger, "changed and not kept: {request:?}");
        for answer in enforced {
            if let Err(error) = self.ask(&answer, left, false)? {
                panic!("an answer was refused: {error}");
            }
        }
        Ok(Ok(step.outcome))
    }

    fn start(&mut self) {
        assert!(matches!(self.ask(&Request::Start, &mut { usize::MAX }, false), Ok(Ok(_))));
    }

    fn act(&mut self, act: &Act, left: &mut usize, can_fail: bool) -> Result<(), Stopped> {
        let seconds = |confirm: &Option<u64>| confirm.map(Duration::from_secs);
        let who = "ada";
        let highest = self.state.highest().map_or(0, |mark| mark.version);
        match act {
            Act::Apply { version, is_fork, confirm } => {
                let bytes = CHAIN[*version as usize - 1][usize::from(*is_fork)].as_bytes();
                let outcome = self.ask(&Request::Apply { bytes, confirm: seconds(confirm), who }, left, can_fail)?;
                if let Ok(Outcome::Applying { document, .. }) = outcome {
                    assert!(document.version > highest, "{} after {highest}", document.version);
                }
            }
            Act::ApplyPlain { version, confirm } => {
                let (text, may) = (document(*version), self.state.takes_unsigned());
                let request = Request::Apply { bytes: text.as_bytes(), confirm: seconds(confirm), who };
                let outcome = self.ask(&request, left, can_fail)?;
                assert!(may || outcome.is_err(), "unsigned text was taken");
            }
            Act::Confirm => drop(self.ask(&Request::Confirm { digest: None, who }, left, false)?),
            Act::Revert => drop(self.ask(&Request::Revert { who }, left, false)?),
            Act::RollBack { to, confirm } => {
                drop(self.ask(&Request::RollBack { to: *to, confirm: seconds(confirm), who }, left, can_fail)?);
            }
            Act::Pass { seconds } => {
                self.now.wall = self.now.wall + Duration::from_secs(*seconds);
                self.now.uptime_ms += seconds * 1_000;
                drop(self.ask(&Request::Tick, left, false)?);
            }
            Act::RestartAgent => drop(self.ask(&Request::Start, left, false)?),
            Act::RestartMachine => {
                self.reboot();
                drop(self.ask(&Request::Start, left, false)?);
            }
            Act::Trust => {
                let keys = TrustedKeys::new(0, 1, vec![key().public()]).unwrap();
                drop(self.ask(&Request::Trust { keys, replace: false, who }, left, false)?);
            }
        }
        Ok(())
    }

    fn reboot(&mut self) {
        self.boots += 1;
        self.now = Moment { boot: self.boots.to_string(), uptime_ms: 500, ..self.now.clone() };
        self.kernel = None;
    }

    /// What holds whenever nothing is half done.
    fn check(&self) {
        assert_eq!(self.kernel, self.state.in_force().map(|held| held.digest), "the kernel and the state");
        assert!(self.state.documents().all(|digest| self.documents.contains_key(&digest)));
        assert_eq!(check_trail(self.state.recent()), Ok(()));
        let text = serde_json::to_string(&self.state).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), self.state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_sequence_lowers_a_version_opens_by_expiry_or_loses_the_last_good_policy(
        acts in proptest::collection::vec((act(), proptest::option::weighted(0.3, 0..6_usize), any::<bool>(), proptest::bool::weighted(0.1)), 1..40)
    ) {
        let mut machine = Machine::new();
        let (mut highest, mut had_good) = (None, false);
        for (act, stop, whole_machine, can_fail) in &acts {
            let before = machine.kernel;
            let good_before = machine.state.good().map(|held| held.digest);
            let mut left = stop.unwrap_or(usize::MAX);
            if machine.act(act, &mut left, *can_fail).is_err() {
                if *whole_machine {
                    machine.reboot();
                }
                machine.start();
                // Old or new: what was in force or good before, or what this act was about; and never none.
                let about = machine.state.in_force().map(|held| held.digest);
                prop_assert_eq!(machine.kernel, about);
                prop_assert!(good_before.is_none() || machine.kernel.is_some(), "{:?} left none of {:?}", act, before);
            }
            machine.check();
            let mark = machine.state.highest().map(|mark| mark.version);
            prop_assert!(mark >= highest, "{:?} lowered {:?} to {:?}", act, highest, mark);
            highest = mark;
            had_good |= machine.state.good().is_some();
            prop_assert!(!had_good || machine.kernel.is_some(), "{:?} opened", act);
        }
    }

    #[test]
    fn an_older_copy_and_the_trail_never_take_up_what_was_refused(
        acts in proptest::collection::vec(act(), 1..20), copied_at in 0..20_usize
    ) {
        let mut machine = Machine::new();
        let mut copy = machine.state.clone();
        for (number, act) in acts.iter().enumerate() {
            if number == copied_at {
                copy = machine.state.clone();
            }
            let _ = machine.act(act, &mut { usize::MAX }, false);
        }
        prop_assume!(machine.state.recent().first().is_none_or(|first| first.number == 1));
        copy.recall(machine.state.recent());
        prop_assert_eq!(copy.highest(), machine.state.highest());
        prop_assert_eq!(copy.keys(), machine.state.keys());
        prop_assert_eq!(copy.good(), machine.state.good());
        prop_assert_eq!(copy.in_force(), machine.state.in_force());
        prop_assert_eq!(copy.recent(), machine.state.recent());
    }
}
