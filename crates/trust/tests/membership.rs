//! Who is taken for a member, and who is not: passports, records, charters, invitations, decoders. Handshakes are not here.
//!
//! Invariant: each refusal is tested beside the case that differs from it in one thing and is admitted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hivewall_cluster::{Ban, Claim, NodeId, Policy};
use hivewall_trust::{
    Charter, EnrolRequest, EnrolResponse, HostKey, Identity, Invitation, InvitationBook, PASSPORT_LIFE_S, Passport,
    Root, SKEW_S, TrustError, seal,
};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;

struct Fleet {
    root: Root,
    enroller: Identity,
    member: Identity,
}

fn fleet(seed: u8) -> Fleet {
    let root = Root::from_seed([seed; 32]);
    let enroller = Identity::first(&root, HostKey::from_seed([seed + 1; 32]), NOW).unwrap();
    let member = member_of(&enroller, seed + 2);
    Fleet { root, enroller, member }
}

fn member_of(enroller: &Identity, seed: u8) -> Identity {
    let key = HostKey::from_seed([seed; 32]);
    let papers = enroller.enroller().unwrap().issue(key.public(), NOW).unwrap();
    Identity::new(key, papers, None).unwrap()
}

fn removing(fleet: &Fleet, id: NodeId, since: u64, keeps: &[NodeId]) -> Policy {
    let charter = Charter::first(fleet.root.cluster(), "lab").without(id, since, "lost", keeps.iter().copied());
    fleet.root.sign_charter(&charter).unwrap()
}

fn ban(by: &Identity, issued_unix_s: u64) -> (Ban, Vec<u8>) {
    let expires_unix_s = issued_unix_s.saturating_add(60);
    let body = vec![1];
    let ban =
        Ban { issuer: by.id(), number: 1, issued_unix_s, expires_unix_s, withdrawn: false, body, signature: vec![] };
    let signature = seal(by, &Claim::Ban(&ban).message());
    (ban, signature)
}

#[test]
fn a_host_is_named_by_its_key() {
    let key = HostKey::from_seed([7; 32]);
    assert_eq!(key.id(), NodeId::of_key(&key.public()));
    assert_eq!(HostKey::from_seed(*key.seed()).id(), key.id());
}

#[test]
fn every_field_of_a_passport_is_signed() {
    let Fleet { enroller, member, .. } = fleet(1);
    let roster = enroller.roster().unwrap();
    let good = member.passport();
    assert!(roster.admit(good, NOW).is_ok());
    let changes: [fn(&mut Passport); 8] = [
        |it| it.public[0] ^= 1,
        |it| it.not_before += 1,
        |it| it.not_after += 1,
        |it| it.signature[0] ^= 1,
        |it| it.grant.enroller[0] ^= 1,
        |it| it.grant.not_before -= 1,
        |it| it.grant.not_after += 1,
        |it| it.grant.signature[0] ^= 1,
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(matches!(roster.admit(&bad, NOW), Err(TrustError::Signature { .. })), "change {number}");
    }
}

#[test]
fn a_passport_counts_in_its_time_alone() {
    let Fleet { enroller, member, .. } = fleet(1);
    let (roster, passport) = (enroller.roster().unwrap(), member.passport());
    assert!(roster.admit(passport, NOW + PASSPORT_LIFE_S).is_ok());
    assert!(matches!(roster.admit(passport, NOW + PASSPORT_LIFE_S + 1), Err(TrustError::Ended { seconds: 1, .. })));
    assert!(roster.admit(passport, NOW - 2 * SKEW_S).is_ok());
    assert!(matches!(roster.admit(passport, NOW - 2 * SKEW_S - 1), Err(TrustError::NotYet { .. })));
}

#[test]
fn another_root_and_a_member_that_makes_itself_an_enroller_are_refused() {
    let (ours, theirs) = (fleet(1), fleet(11));
    let roster = ours.enroller.roster().unwrap();
    assert!(matches!(roster.admit(theirs.member.passport(), NOW), Err(TrustError::Signature { .. })));
    assert!(roster.admit(ours.enroller.passport(), NOW).unwrap().is_enroller);
    assert!(!roster.admit(ours.member.passport(), NOW).unwrap().is_enroller);
    let mut risen = ours.member.passport().clone();
    risen.grant.enroller = risen.public;
    assert!(matches!(roster.admit(&risen, NOW), Err(TrustError::Signature { .. })));
}

#[test]
fn a_removed_host_is_refused_at_once_even_by_a_clock_that_is_behind() {
    let fleet = fleet(1);
    let (roster, id) = (fleet.enroller.roster().unwrap(), fleet.member.id());
    roster.admit(fleet.member.passport(), NOW).unwrap();
    assert_eq!(roster.public_of(id), Some(fleet.member.key().public()));
    let claim = Claim::Member(id, b"a record");
    let signature = seal(&fleet.member, &claim.message());
    assert!(roster.holds(&claim, &signature, NOW));
    roster.adopt(&removing(&fleet, id, NOW + 3600, &[])).unwrap();
    assert_eq!(roster.admit(fleet.member.passport(), NOW), Err(TrustError::Revoked { id }));
    assert!(!roster.holds(&claim, &signature, NOW));
    assert_eq!(roster.public_of(id), None);
}

#[test]
fn a_removed_enroller_takes_along_all_but_whom_the_charter_keeps() {
    let fleet = fleet(1);
    let roster = fleet.member.roster().unwrap();
    let other = member_of(&fleet.enroller, 9);
    roster.admit(fleet.member.passport(), NOW).unwrap();
    roster.admit(other.passport(), NOW).unwrap();
    roster.adopt(&removing(&fleet, fleet.enroller.id(), NOW, &[fleet.member.id()])).unwrap();
    assert!(roster.admit(fleet.member.passport(), NOW).is_ok());
    assert!(matches!(roster.admit(other.passport(), NOW), Err(TrustError::EnrollerRevoked { .. })));
    assert_eq!(roster.public_of(other.id()), None);
}

#[test]
fn a_record_counts_only_with_its_own_hosts_passport_and_signature() {
    let fleet = fleet(1);
    let roster = fleet.enroller.roster().unwrap();
    let other = member_of(&fleet.enroller, 9);
    let claim = Claim::Member(fleet.member.id(), b"a record");
    assert!(roster.holds(&claim, &seal(&fleet.member, &claim.message()), NOW));
    assert!(!roster.holds(&claim, &seal(&other, &claim.message()), NOW), "another host's");
    assert!(!roster.holds(&claim, &seal(&fleet.member, b"something else"), NOW), "over other bytes");
}

#[test]
fn a_ban_from_the_end_of_time_is_judged_without_overflow() {
    let fleet = fleet(1);
    let roster = fleet.enroller.roster().unwrap();
    let (good, signature) = ban(&fleet.member, NOW);
    assert!(roster.holds(&Claim::Ban(&good), &signature, NOW));
    let (late, signature) = ban(&fleet.member, u64::MAX);
    assert!(!roster.holds(&Claim::Ban(&late), &signature, NOW));
}

#[test]
fn a_charter_only_gets_newer_and_is_the_roots() {
    let fleet = fleet(1);
    let roster = fleet.enroller.roster().unwrap();
    let first = fleet.root.sign_charter(&Charter::first(fleet.root.cluster(), "lab")).unwrap();
    let second = removing(&fleet, NodeId([1; 16]), NOW, &[]);
    assert_eq!(roster.adopt(&second), Ok(true));
    assert_eq!(roster.adopt(&second), Ok(false));
    assert_eq!(roster.adopt(&first), Err(TrustError::CharterVersion { offered: 1, held: 2 }));
    let rival = removing(&fleet, NodeId([2; 16]), NOW, &[]);
    assert_eq!(roster.adopt(&rival), Err(TrustError::CharterVersion { offered: 2, held: 2 }));
    let stranger = Root::from_seed([99; 32]);
    let foreign = stranger.sign_charter(&Charter::first(stranger.cluster(), "lab").without(NodeId([1; 16]), 0, "", []));
    assert!(matches!(roster.adopt(&foreign.unwrap()), Err(TrustError::Signature { .. })));
    assert!(!roster.is_revoked(NodeId([2; 16])));
}

fn invite(book: &mut InvitationBook, root: &Root) -> Invitation {
    let addresses = vec!["192.0.2.1:7734".parse().unwrap()];
    book.issue([5; 24], root.public(), addresses, (NOW, 600), (1, "db-1".to_owned())).unwrap()
}

#[test]
fn an_invitation_survives_its_line_of_text_and_a_damaged_one_says_so() {
    let invitation = invite(&mut InvitationBook::default(), &Root::from_seed([1; 32]));
    let line = invitation.to_string();
    assert_eq!(format!(" {line}\n").parse::<Invitation>().unwrap(), invitation);
    assert_eq!("join me".parse::<Invitation>(), Err(TrustError::NoInvitation));
    let garbled = Err(TrustError::Unreadable { what: "whole invitation" });
    assert_eq!(line[..line.len() - 3].parse::<Invitation>(), garbled);
    let swapped = if line.as_bytes()[30] == b'A' { 'B' } else { 'A' };
    assert_eq!(format!("{}{swapped}{}", &line[..30], &line[31..]).parse::<Invitation>(), garbled);
}

#[test]
fn an_invitation_is_good_once_in_its_time_on_the_connection_of_its_proof() {
    let mut book = InvitationBook::default();
    let it = invite(&mut book, &Root::from_seed([1; 32]));
    let (here, elsewhere, newcomer, second) = ([1; 32], [2; 32], [3; 32], [4; 32]);
    let proof = it.proof(&here, &newcomer);
    assert_eq!(book.redeem(&it.id, &[0; 32], &here, &newcomer, NOW), Err(TrustError::InvitationProof));
    assert_eq!(book.redeem(&it.id, &proof, &elsewhere, &newcomer, NOW), Err(TrustError::InvitationProof));
    assert_eq!(book.redeem(&it.id, &proof, &here, &second, NOW), Err(TrustError::InvitationProof));
    let ended = Err(TrustError::InvitationEnded { seconds: 1 });
    assert_eq!(book.redeem(&it.id, &proof, &here, &newcomer, NOW + 601), ended);
    assert_eq!(book.redeem(&it.id, &proof, &here, &newcomer, NOW + 600), Ok(()));
    let mut kept = InvitationBook::decode(&book.encode()).unwrap();
    assert_eq!(kept.redeem(&it.id, &proof, &here, &newcomer, NOW), Ok(()), "the answer may have got lost");
    let again = it.proof(&elsewhere, &second);
    assert_eq!(kept.redeem(&it.id, &again, &elsewhere, &second, NOW), Err(TrustError::InvitationUsed));
    assert!(kept.withdraw(&it.id));
    assert_eq!(kept.redeem(&it.id, &proof, &here, &newcomer, NOW), Err(TrustError::InvitationUnknown));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..600), text in ".{0,200}") {
        let _ = Passport::decode(&bytes);
        let _ = Identity::decode(&bytes);
        let _ = Charter::decode(&bytes);
        let _ = InvitationBook::decode(&bytes);
        let _ = EnrolRequest::decode(&bytes);
        let _ = EnrolResponse::decode(&bytes);
        let _ = text.parse::<Invitation>();
        let _ = format!("hivewall-{text}").parse::<Invitation>();
    }
}
