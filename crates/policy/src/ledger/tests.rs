//! The ledger's steps one by one: what is taken up, what is refused and how that reads, and what is left to do.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use hivewall_model::Timestamp;

use super::*;
use crate::sign::{Digest, Header, Meta, Previous, SecretKey, SignError, Signed, Statement, TrustedKeys};

fn key(number: u8) -> SecretKey {
    SecretKey::new(&[number; 32], &format!("key-{number}")).unwrap()
}

fn keys(version: u64, threshold: usize, numbers: &[u8]) -> TrustedKeys {
    TrustedKeys::new(version, threshold, numbers.iter().map(|number| key(*number).public()).collect()).unwrap()
}

fn plain(version: u64) -> String {
    format!("kind: Policy\nmetadata: {{name: edge, version: {version}}}\n")
}

fn sign(document: &str, previous: Option<Previous>, by: u8) -> Signed {
    let header: Header = Meta::of(document).unwrap().header(previous).unwrap();
    Signed::new(Statement::new(header, document.to_owned()).unwrap(), &key(by))
}

/// A chain: version `n` follows version `n - 1`.
fn chain(version: u64) -> Signed {
    let previous = (version > 1).then(|| follow(&chain(version - 1)));
    sign(&plain(version), previous, 1)
}

fn follow(signed: &Signed) -> Previous {
    Previous { version: signed.statement().header().version, digest: signed.statement().digest() }
}

/// A host: its state, its clock, and what it was told to do.
struct Host {
    ledger: Ledger,
    now: Moment,
    log: String,
}

impl Host {
    fn new() -> Self {
        let now = Moment { wall: Timestamp::from_secs(1_800_000_000), boot: "a".to_owned(), uptime_ms: 60_000 };
        Self { ledger: Ledger::default(), now, log: String::new() }
    }

    fn trusting(numbers: &[u8]) -> Self {
        let mut host = Self::new();
        host.ask(&Request::Trust { keys: keys(0, 1, numbers), replace: false, who: "root" }).unwrap();
        host.log.clear();
        host
    }

    /// Asks, and carries out; what was done goes to the log.
    fn ask(&mut self, request: &Request<'_>) -> Result<Outcome, LedgerError> {
        let step = self.ledger.step(&self.now, request)?;
        self.ledger = step.ledger;
        for effect in &step.effects {
            let _ = match effect {
                Effect::Store { .. } => write!(self.log, "store "),
                Effect::Persist => write!(self.log, "persist "),
                Effect::Enforce { document, until_uptime_ms: None } => {
                    write!(self.log, "enforce-{} ", document.version)
                }
                Effect::Enforce { document, until_uptime_ms: Some(until) } => {
                    write!(self.log, "enforce-{}-until-{until} ", document.version)
                }
                Effect::Withdraw => write!(self.log, "withdraw "),
                Effect::Alert(Alert::Expired { .. }) => write!(self.log, "alert-expired "),
                Effect::Alert(Alert::Reverted { .. }) => write!(self.log, "alert-reverted "),
                Effect::Alert(Alert::NotEnforced { .. }) => write!(self.log, "alert-not-enforced "),
            };
        }
        let enforce = step.effects.iter().find_map(|effect| match effect {
            Effect::Enforce { document, .. } => Some(document.digest),
            _ => None,
        });
        if let Some(digest) = enforce
            && !matches!(request, Request::Enforced { .. })
        {
            let further = self.ask(&Request::Enforced { digest })?;
            return Ok(if further == Outcome::Unchanged { step.outcome } else { further });
        }
        Ok(step.outcome)
    }

    fn apply(&mut self, text: &str, seconds: Option<u64>) -> Result<Outcome, LedgerError> {
        let confirm = seconds.map(Duration::from_secs);
        self.ask(&Request::Apply { bytes: text.as_bytes(), confirm, who: "ada" })
    }

    fn apply_chain(&mut self, version: u64) -> Result<Outcome, LedgerError> {
        self.apply(&chain(version).to_text(), None)
    }

    fn in_force(&self) -> Option<u64> {
        self.ledger.in_force().map(|held| held.version)
    }

    fn pass(&mut self, seconds: u64) {
        self.now.wall = self.now.wall + Duration::from_secs(seconds);
        self.now.uptime_ms += seconds * 1_000;
        self.ask(&Request::Tick).unwrap();
    }

    #[track_caller]
    fn check_log(&mut self, expected: &Expect) {
        expected.assert_eq(self.log.trim_end());
        self.log.clear();
    }
}

#[track_caller]
fn check_refusal(result: Result<Outcome, LedgerError>, expected: &Expect) {
    match result {
        Ok(outcome) => panic!("not refused: {outcome:?}"),
        Err(error) => expected.assert_eq(&error.to_string()),
    }
}

#[test]
fn a_document_is_stored_and_written_down_before_it_is_enforced() {
    let mut host = Host::trusting(&[1]);
    let outcome = host.apply_chain(1).unwrap();
    assert!(matches!(outcome, Outcome::Good { .. }), "{outcome:?}");
    host.check_log(&expect![["store persist enforce-1 persist"]]);
    assert_eq!((host.in_force(), host.ledger.highest().unwrap().version), (Some(1), 1));
}

#[test]
fn versions_that_were_taken_up_are_refused_ever_after() {
    let mut host = Host::trusting(&[1]);
    for version in 1..=3 {
        host.apply_chain(version).unwrap();
    }
    check_refusal(
        host.apply_chain(2),
        &expect![[
            "version 2 is not above 3, the highest this host has taken up; raise metadata.version above 3 and sign again"
        ]],
    );
    // Also after going back, when version 3 is no longer in force.
    host.ask(&Request::RollBack { to: None, confirm: None, who: "ada" }).unwrap();
    assert_eq!(host.in_force(), Some(2));
    assert!(host.ledger.is_rolled_back());
    check_refusal(
        host.apply_chain(3),
        &expect![[
            "version 3 is not above 3, the highest this host has taken up; raise metadata.version above 3 and sign again"
        ]],
    );
    host.apply_chain(4).unwrap();
    assert_eq!((host.in_force(), host.ledger.is_rolled_back()), (Some(4), false));
}

#[test]
fn what_is_in_force_may_be_offered_again_and_changes_nothing() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    host.log.clear();
    let again = host.apply_chain(1).unwrap();
    assert!(matches!(again, Outcome::AlreadyThere { .. }), "{again:?}");
    host.check_log(&expect![[""]]);
}

#[test]
fn two_documents_with_one_version_are_told_apart() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    let other = sign(&format!("{}tiers: []\n", plain(1)), None, 1).to_text();
    check_refusal(
        host.apply(&other, None),
        &expect![[
            "version 1 was taken up before with other content (c287a0d0e6d126ff1eacbf41b0f6e21ad90cdaa4f631a9135fb5ccb0b34c447b, and this is 7de549a1da4e181969bcd38cede5e956927d4030862105de2dd0af9a5eeffc79): somebody signed two documents with one version; find out who, and sign a higher one"
        ]],
    );
}

#[test]
fn a_fork_is_refused_and_a_gap_is_said() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    host.apply_chain(2).unwrap();
    let forked = |previous| sign(&plain(5), previous, 1).to_text();
    let elsewhere = Previous { version: 2, digest: Digest::of(b"elsewhere") };
    let error = host.apply(&forked(Some(elsewhere)), None).unwrap_err();
    assert!(matches!(error, LedgerError::Forked { version: 2, highest: 2, .. }), "{error}");
    let error = host.apply(&forked(Some(follow(&chain(1)))), None).unwrap_err();
    assert!(matches!(error, LedgerError::Forked { version: 1, highest: 2, .. }), "{error}");
    let error = host.apply(&forked(None), None).unwrap_err();
    assert!(matches!(error, LedgerError::NoPrevious { highest: 2, .. }), "{error}");
    // This host was away for versions 3 and 4.
    let step = host
        .ledger
        .step(&host.now, &Request::Apply { bytes: chain(5).to_text().as_bytes(), confirm: None, who: "ada" });
    assert!(matches!(step.unwrap().outcome, Outcome::Applying { missed: 2, .. }));
}

#[test]
fn a_change_that_nobody_confirms_is_taken_back_and_still_counts() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    host.log.clear();
    let outcome = host.apply(&chain(2).to_text(), Some(120)).unwrap();
    assert!(matches!(outcome, Outcome::Waiting { .. }), "{outcome:?}");
    host.pass(119);
    assert_eq!(host.in_force(), Some(2));
    host.pass(1);
    host.check_log(&expect![["store persist enforce-2-until-180000 persist persist enforce-1 alert-reverted"]]);
    check_refusal(
        host.apply_chain(2),
        &expect![[
            "version 2 is not above 2, the highest this host has taken up; raise metadata.version above 2 and sign again"
        ]],
    );
    check_refusal(
        host.ask(&Request::Confirm { digest: None, who: "ada" }),
        &expect![["nothing waits for confirmation"]],
    );
    host.apply_chain(3).unwrap();
}

#[test]
fn a_change_that_is_confirmed_stays() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    host.apply(&chain(2).to_text(), Some(120)).unwrap();
    let named = Request::Confirm { digest: Some(Digest::of(b"another")), who: "ada" };
    assert!(matches!(host.ask(&named), Err(LedgerError::OtherPending { .. })));
    let busy = host.apply_chain(3);
    check_refusal(busy, &expect![["version 2 is not settled yet: confirm or revert it first"]]);
    host.log.clear();
    host.ask(&Request::Confirm { digest: None, who: "ada" }).unwrap();
    host.check_log(&expect![["persist enforce-2"]]);
    host.pass(1_000);
    assert_eq!(host.in_force(), Some(2));
}

#[test]
fn confirmation_counts_by_a_clock_that_nobody_can_set_and_not_over_a_restart_of_the_machine() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    host.apply(&chain(2).to_text(), Some(120)).unwrap();
    host.now.wall = host.now.wall + Duration::from_secs(1_000_000);
    host.ask(&Request::Tick).unwrap();
    assert_eq!(host.in_force(), Some(2));
    host.log.clear();
    // The agent alone starts anew: the change goes on waiting.
    host.ask(&Request::Start).unwrap();
    host.check_log(&expect![["persist enforce-2-until-180000 persist"]]);
    // The machine does: whoever locked himself out turned it off and on.
    host.now.boot = "b".to_owned();
    host.now.uptime_ms = 5_000;
    host.ask(&Request::Start).unwrap();
    host.check_log(&expect![["persist enforce-1 alert-reverted"]]);
    assert_eq!(
        host.ledger.recent().last().unwrap().what,
        What::Reverted {
            document: Held { version: 2, ..host.ledger.good().unwrap().clone() }.with(&chain(2)),
            cause: Cause::Restarted,
        }
    );
}

impl Held {
    fn with(self, signed: &Signed) -> Self {
        Self { digest: signed.statement().digest(), ..self }
    }
}

#[test]
fn a_change_cut_short_is_tried_once_more_and_then_taken_back() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    let apply = Request::Apply { bytes: &chain(2).to_text().into_bytes(), confirm: None, who: "ada" };
    host.ledger = host.ledger.step(&host.now, &apply).unwrap().ledger;
    let once = host.ledger.step(&host.now, &Request::Start).unwrap();
    assert!(matches!(&once.effects[..], [Effect::Persist, Effect::Enforce { document, .. }] if document.version == 2));
    let twice = once.ledger.step(&host.now, &Request::Start).unwrap();
    assert_eq!(twice.ledger.in_force().unwrap().version, 1);
    assert!(matches!(twice.outcome, Outcome::Reverted { cause: Cause::Interrupted, .. }));
}

#[test]
fn a_document_that_cannot_be_enforced_leaves_the_one_before() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    let signed = chain(2);
    let apply = Request::Apply { bytes: &signed.to_text().into_bytes(), confirm: None, who: "ada" };
    host.ledger = host.ledger.step(&host.now, &apply).unwrap().ledger;
    host.log.clear();
    host.ask(&Request::Failed { digest: signed.statement().digest() }).unwrap();
    host.check_log(&expect![["persist enforce-1 alert-reverted"]]);
    let good = host.ledger.good().unwrap().digest;
    host.ask(&Request::Failed { digest: good }).unwrap();
    host.check_log(&expect![["alert-not-enforced"]]);
    assert_eq!(host.in_force(), Some(1));
}

#[test]
fn the_first_policy_of_all_taken_back_leaves_none() {
    let mut host = Host::new();
    host.apply(&plain(1), Some(10)).unwrap();
    host.pass(10);
    host.check_log(&expect![["store persist enforce-1-until-70000 persist persist withdraw alert-reverted"]]);
    assert_eq!(host.in_force(), None);
}

#[test]
fn a_stop_between_taking_back_the_first_policy_and_withdrawing_it_is_made_good_at_the_next_start() {
    let mut host = Host::new();
    host.ask(&Request::Start).unwrap();
    host.check_log(&expect![[""]]);
    host.apply(&plain(1), Some(10)).unwrap();
    host.now.uptime_ms += 10_000;
    host.ledger = host.ledger.step(&host.now, &Request::Tick).unwrap().ledger;
    host.log.clear();
    host.ask(&Request::Start).unwrap();
    host.check_log(&expect![["withdraw"]]);
}

#[test]
fn an_expired_policy_stays_in_force_and_is_told_once() {
    let mut host = Host::trusting(&[1]);
    let document = "kind: Policy\nmetadata: {name: edge, version: 1, notAfter: 2027-01-15T08:01:00Z}\n";
    let text = sign(document, None, 1).to_text();
    host.apply(&text, None).unwrap();
    host.log.clear();
    host.pass(59);
    host.check_log(&expect![[""]]);
    host.pass(1);
    host.check_log(&expect![["persist alert-expired"]]);
    host.pass(1_000);
    host.check_log(&expect![[""]]);
    assert_eq!(host.in_force(), Some(1));
    // After a start it is told again, and enforced all the same.
    host.ask(&Request::Start).unwrap();
    host.check_log(&expect![["enforce-1 alert-expired"]]);
    // A host that does not have it yet does not take it.
    let mut late = Host::trusting(&[1]);
    late.now = host.now.clone();
    assert!(matches!(late.apply(&text, None), Err(LedgerError::Sign(SignError::Expired { .. }))));
}

#[test]
fn unsigned_text_is_taken_until_keys_are_trusted() {
    let mut host = Host::new();
    host.apply(&plain(7), None).unwrap();
    check_refusal(
        host.apply(&plain(6), None),
        &expect![[
            "version 6 is not above 7, the highest this host has taken up; raise metadata.version above 7 and sign again"
        ]],
    );
    check_refusal(
        host.apply_chain(1),
        &expect![["this host trusts no keys yet; name them with `hivewall policy keys trust`"]],
    );
    check_refusal(
        host.ask(&Request::Join { who: "ada" }),
        &expect![["this host trusts no keys yet; name them with `hivewall policy keys trust`"]],
    );
    host.ask(&Request::Trust { keys: keys(0, 1, &[1]), replace: false, who: "root" }).unwrap();
    assert_eq!(host.in_force(), Some(7));
    check_refusal(
        host.apply(&plain(8), None),
        &expect![["this document is not signed, and this host trusts keys; sign it with `hivewall policy sign`"]],
    );
    // Numbers of local text do not stand in the way of signed ones, and there is no way back to unsigned text.
    host.apply_chain(1).unwrap();
    let back = host.ask(&Request::RollBack { to: None, confirm: None, who: "ada" });
    check_refusal(
        back,
        &expect![["this document is not signed, and this host trusts keys; sign it with `hivewall policy sign`"]],
    );
}

#[test]
fn going_back_goes_on_from_where_it_is_and_forward_by_number() {
    let mut host = Host::trusting(&[1]);
    check_refusal(
        host.ask(&Request::RollBack { to: None, confirm: None, who: "ada" }),
        &expect![["no earlier policy is kept to go back to"]],
    );
    for version in 1..=3 {
        host.apply_chain(version).unwrap();
    }
    let mut back = |to| {
        let outcome = host.ask(&Request::RollBack { to, confirm: None, who: "ada" });
        outcome.map(|_| host.in_force().unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!((back(None), back(None)), (Ok(2), Ok(1)));
    assert_eq!(back(Some(3)), Ok(3));
    expect![["version 9 is not kept here; kept are 1, 2, 3"]].assert_eq(&back(Some(9)).unwrap_err());
}

#[test]
fn what_a_rollback_would_bring_back_is_known_before_and_who_signed_what_holds() {
    let mut host = Host::trusting(&[1]);
    let previous = |host: &Host| host.ledger.previous().map(|held| held.version);
    assert_eq!((previous(&host), host.ledger.signed_by().len()), (None, 0));
    host.apply_chain(1).unwrap();
    assert_eq!((previous(&host), host.ledger.signed_by()), (None, &[key(1).public().id().to_string()][..]));
    host.apply_chain(2).unwrap();
    assert_eq!(previous(&host), Some(1));
    // Of a change that waits, the last good one comes back.
    host.apply(&chain(3).to_text(), Some(60)).unwrap();
    assert_eq!((previous(&host), host.ledger.signed_by().len()), (Some(2), 1));
    host.ask(&Request::Revert { who: "ada" }).unwrap();
    host.ask(&Request::RollBack { to: None, confirm: None, who: "ada" }).unwrap();
    assert_eq!((host.in_force(), previous(&host)), (Some(1), None));
}

#[test]
fn only_so_many_documents_are_kept_and_the_good_one_always_is() {
    let mut host = Host::trusting(&[1]);
    for version in 1..=20 {
        host.apply_chain(version).unwrap();
    }
    let kept: Vec<_> = host.ledger.kept().iter().map(|held| held.version).collect();
    assert_eq!(kept, (13..=20).collect::<Vec<_>>());
    host.ask(&Request::RollBack { to: Some(13), confirm: None, who: "ada" }).unwrap();
    host.apply_chain(21).unwrap();
    assert_eq!(host.ledger.good().unwrap().version, 21);
}

/// A document of keys of this version, signed by `by`.
fn rotation(version: u64, names: &[u8], previous: Option<Previous>, by: u8) -> Signed {
    let mut document = format!("kind: Keys\nmetadata: {{name: ops, version: {version}}}\nkeys:\n");
    for number in names {
        let _ = writeln!(document, "- {}", key(*number).public());
    }
    sign(&document, previous, by)
}

#[test]
fn keys_are_changed_by_those_who_are_trusted_and_never_back() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    let rotate = |host: &mut Host, signed: &Signed| {
        let text = signed.to_text();
        host.ask(&Request::Rotate { bytes: text.as_bytes(), who: "ada" })
    };
    let second = rotation(2, &[2], None, 1);
    assert!(matches!(
        rotate(&mut host, &rotation(2, &[2], None, 2)),
        Err(LedgerError::Sign(SignError::UnknownKey { .. }))
    ));
    rotate(&mut host, &second).unwrap();
    // The policy in force stays; the former key has no say any more.
    assert_eq!(host.in_force(), Some(1));
    assert!(matches!(host.apply_chain(2), Err(LedgerError::Sign(SignError::UnknownKey { .. }))));
    host.apply(&sign(&plain(2), Some(follow(&chain(1))), 2).to_text(), None).unwrap();
    let third = rotation(3, &[3, 2], Some(follow(&second)), 2);
    rotate(&mut host, &third).unwrap();
    // Signed by a key that is trusted, and still no way back.
    let replayed = rotation(2, &[2], None, 2);
    assert!(matches!(rotate(&mut host, &replayed), Err(LedgerError::NotAbove { version: 2, highest: 3 })));
    let again = Request::Trust { keys: keys(0, 1, &[1]), replace: false, who: "root" };
    assert!(matches!(host.ask(&again), Err(LedgerError::KeysAreSet)));
    // The way out when keys are lost does not open the way for documents of old.
    host.ask(&Request::Trust { keys: keys(0, 1, &[2]), replace: true, who: "root" }).unwrap();
    assert!(matches!(rotate(&mut host, &replayed), Err(LedgerError::NotAbove { version: 2, highest: 3 })));
    assert_eq!(host.ledger.keys().unwrap().version(), 3);
}

#[test]
fn a_document_of_keys_is_no_policy_and_a_policy_no_document_of_keys() {
    let mut host = Host::trusting(&[1]);
    let error = host.apply(&rotation(2, &[2], None, 1).to_text(), None).unwrap_err();
    assert!(matches!(error, LedgerError::Sign(SignError::Kind { .. })), "{error}");
    let text = chain(1).to_text();
    let error = host.ask(&Request::Rotate { bytes: text.as_bytes(), who: "ada" }).unwrap_err();
    assert!(matches!(error, LedgerError::Sign(SignError::Kind { .. })), "{error}");
}

#[test]
fn the_trail_tells_who_did_what_and_cannot_be_altered_unseen() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    host.apply(&chain(2).to_text(), Some(60)).unwrap();
    host.ask(&Request::Revert { who: "grace" }).unwrap();
    let entries = host.ledger.recent().to_vec();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let json = serde_json::to_value(entry).unwrap();
            format!("{} {} {}", entry.number, entry.who, json["what"].as_str().unwrap())
        })
        .collect();
    expect![["1 root keys, 2 ada accepted, 3 hivewall good, 4 ada accepted, 5 grace reverted"]]
        .assert_eq(&told.join(", "));
    assert_eq!(check_trail(&entries), Ok(()));
    let read: Vec<Entry> =
        entries.iter().map(|e| serde_json::from_str(&serde_json::to_string(e).unwrap()).unwrap()).collect();
    assert_eq!(read, entries);
    for at in 0..entries.len() {
        let mut altered = entries.clone();
        altered[at].who = "nobody".to_owned();
        assert_eq!(check_trail(&altered), Err(TrailError { number: entries[at].number }));
        let mut taken = entries.clone();
        taken.remove(at);
        // The first and the last can be taken off; the state has their number.
        assert_eq!(check_trail(&taken).is_err(), at != 0 && at != entries.len() - 1, "entry {at} taken out");
    }
}

#[test]
fn an_older_copy_with_the_trail_refuses_what_the_state_refused() {
    let mut host = Host::trusting(&[1]);
    host.apply_chain(1).unwrap();
    let old = host.ledger.clone();
    let second = rotation(2, &[2, 1], None, 1);
    host.ask(&Request::Rotate { bytes: second.to_text().as_bytes(), who: "ada" }).unwrap();
    host.apply_chain(2).unwrap();
    host.apply(&chain(3).to_text(), Some(60)).unwrap();
    let mut recalled = old;
    assert_eq!(recalled.recall(host.ledger.recent()), 4);
    assert_eq!((recalled.highest(), recalled.keys()), (host.ledger.highest(), host.ledger.keys()));
    assert_eq!((recalled.good(), recalled.recent()), (host.ledger.good(), host.ledger.recent()));
    // By when version 3 had to be confirmed is not known any more: it is taken back.
    let started = recalled.step(&host.now, &Request::Start).unwrap();
    assert_eq!(started.ledger.in_force().unwrap().version, 2);
}
