//! Toy signatures: a hash with a secret of the signer. Good enough where nobody tries to break them.
//!
//! Invariant: what one signer signed does not pass for another's.

use hivewall_cluster::{Ban, Claim, Entry, Hash, Member, NodeId, Policy, PolicyHead, SignedMember, Verifier};

/// The operator who signs policies.
const OPERATOR: &[u8] = b"operator";

/// Checks toy signatures.
pub(crate) struct Keys;

fn sign(signer: &[u8], claim: &Claim<'_>) -> Vec<u8> {
    // As long as an Ed25519 signature, so that messages have their real length.
    let hash = Hash::of_parts(&[b"secret of", signer, &claim.message()]);
    [hash.0, hash.0].concat()
}

impl Verifier for Keys {
    fn holds(&self, claim: &Claim<'_>, signature: &[u8]) -> bool {
        let signer: &[u8] = match claim {
            Claim::Member(id, _) => &id.0,
            Claim::Policy(..) => OPERATOR,
            Claim::Ban(ban) => &ban.issuer.0,
            Claim::Entry(entry) => &entry.author.0,
        };
        sign(signer, claim) == signature
    }
}

pub(crate) fn member(member: &Member) -> SignedMember {
    let body = member.encode();
    let signature = sign(&member.id.0, &Claim::Member(member.id, &body));
    SignedMember { body, signature }
}

pub(crate) fn policy(name: &str, version: u64, body: Vec<u8>) -> Policy {
    let head = PolicyHead { name: name.to_owned(), version, hash: Hash::of(&body) };
    let signature = sign(OPERATOR, &Claim::Policy(&head, &body));
    Policy { head, body, signature }
}

pub(crate) fn ban(issuer: NodeId, number: u64, issued_unix_s: u64, expires_unix_s: u64, withdrawn: bool) -> Ban {
    let body = if withdrawn { Vec::new() } else { format!("192.0.2.{}/32", number % 256).into_bytes() };
    let mut ban = Ban { issuer, number, issued_unix_s, expires_unix_s, withdrawn, body, signature: Vec::new() };
    ban.signature = sign(&issuer.0, &Claim::Ban(&ban));
    ban
}

pub(crate) fn entry(author: NodeId, number: u64, before: Hash, unix_ms: u64) -> Entry {
    let body = format!("operator did {number}").into_bytes();
    let mut entry = Entry { author, number, before, unix_ms, body, signature: Vec::new() };
    entry.signature = sign(&author.0, &Claim::Entry(&entry));
    entry
}
