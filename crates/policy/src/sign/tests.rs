//! Keys, signed files, sets of keys: what is taken, what is refused, and how the refusal reads.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use hivewall_model::Timestamp;

use super::*;

const POLICY: &str = "kind: Policy\nmetadata: {name: edge, version: 42}\ntiers: []\n";

/// The key of this number; the same in every run.
fn key(number: u8) -> SecretKey {
    SecretKey::new(&[number; 32], &format!("key-{number}")).unwrap()
}

fn trusted(threshold: usize, numbers: &[u8]) -> TrustedKeys {
    TrustedKeys::new(0, threshold, numbers.iter().map(|number| key(*number).public()).collect()).unwrap()
}

/// This document, signed by these keys.
fn signed(document: &str, by: &[u8]) -> Signed {
    let header = Meta::of(document).unwrap().header(None).unwrap();
    let statement = Statement::new(header, document.to_owned()).unwrap();
    statement.check().unwrap();
    let mut signed = Signed::new(statement, &key(by[0]));
    for number in &by[1..] {
        signed.sign(&key(*number)).unwrap();
    }
    signed
}

fn verify(text: &str, keys: &TrustedKeys) -> Result<Verified, SignError> {
    keys.verify(Signed::parse(text.as_bytes())?)
}

#[track_caller]
fn check_refusal(result: Result<Verified, SignError>, expected: &Expect) {
    let message = match result {
        Ok(verified) => format!("accepted: {verified:?}"),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&message);
}

#[test]
fn a_signed_file_reads_as_yaml_below_a_head_of_comments() {
    let text = signed(POLICY, &[1]).to_text();
    expect![[r"
        #hivewall-signed 1
        #kind policy
        #name edge
        #version 42
        #previous none
        #not-before none
        #not-after none
        #by 34750f98bd59fcfc xEpj0Xk1GtbGqgk5sGmzNez2UO3u0pgYlDfL5aYy6ZkdLf0XgiEM/F/1SJIxupngRbo463gLFWvs+QPjSSULBQ==
        #--
        kind: Policy
        metadata: {name: edge, version: 42}
        tiers: []
    "]]
    .assert_eq(&text);
    let verified = verify(&text, &trusted(1, &[1])).unwrap();
    assert_eq!(
        (verified.document(), verified.by(), verified.unknown()),
        (POLICY, &[key(1).public().id()][..], &[][..])
    );
}

#[test]
fn the_digest_is_that_of_the_file_without_its_signatures() {
    let text = signed(POLICY, &[1, 2]).to_text();
    let without: String = text.split_inclusive('\n').filter(|line| !line.starts_with("#by ")).collect();
    let verified = verify(&text, &trusted(1, &[1])).unwrap();
    assert_eq!(verified.digest(), Digest::of(without.as_bytes()));
    assert_eq!(verified.digest(), signed(POLICY, &[3]).statement().digest());
}

#[test]
fn every_altered_byte_of_a_signed_file_is_refused() {
    let document = "kind: Policy\nmetadata: {name: edge, version: 42, notAfter: 2027-01-31T00:00:00Z}\ntiers: []\n";
    let header = Header {
        previous: Some(Previous { version: 41, digest: Digest::of(b"before") }),
        ..Meta::of(document).unwrap().header(None).unwrap()
    };
    let mut signed = Signed::new(Statement::new(header, document.to_owned()).unwrap(), &key(1));
    signed.sign(&key(2)).unwrap();
    let text = signed.to_text();
    let keys = trusted(2, &[1, 2, 3]);
    assert!(verify(&text, &keys).is_ok());
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let taken = Signed::parse(&bytes).and_then(|signed| keys.verify(signed));
            assert!(taken.is_err(), "byte {at}, bit {bit}");
        }
        let mut shorter = text.clone().into_bytes();
        shorter.remove(at);
        assert!(Signed::parse(&shorter).and_then(|signed| keys.verify(signed)).is_err(), "byte {at} left out");
        assert!(Signed::parse(&text.as_bytes()[..at]).and_then(|signed| keys.verify(signed)).is_err(), "cut at {at}");
    }
    assert!(verify(&format!("{text}\n"), &keys).is_err(), "a line more");
}

#[test]
fn what_is_read_is_written_back_byte_by_byte() {
    for by in [&[1][..], &[3, 1, 2]] {
        let text = signed(POLICY, by).to_text();
        assert_eq!(Signed::parse(text.as_bytes()).unwrap().to_text(), text);
    }
}

#[test]
fn signatures_in_another_order_or_twice_are_refused() {
    let text = signed(POLICY, &[1, 2]).to_text();
    let mut lines: Vec<_> = text.lines().collect();
    lines.swap(7, 8);
    check_refusal(
        verify(&lines.join("\n"), &trusted(1, &[1])),
        &expect![[
            "line 9 of the signed document is not as it was signed: expected `#by KEY SIGNATURE, keys in ascending order`; get the file again from who signed it"
        ]],
    );
    lines[8] = lines[7];
    check_refusal(
        verify(&lines.join("\n"), &trusted(1, &[1])),
        &expect![[
            "line 9 of the signed document is not as it was signed: expected `#by KEY SIGNATURE, keys in ascending order`; get the file again from who signed it"
        ]],
    );
}

#[test]
fn a_key_that_is_not_trusted_is_named_with_those_that_are() {
    check_refusal(
        verify(&signed(POLICY, &[9]).to_text(), &trusted(1, &[1])),
        &expect![[
            "no trusted key signed this: it is signed by dbc298251c51321b, trusted are 34750f98bd59fcfc; see `hivewall policy keys show`"
        ]],
    );
}

#[test]
fn one_of_two_needed_signatures_is_too_few() {
    let keys = trusted(2, &[1, 2, 3]);
    check_refusal(
        verify(&signed(POLICY, &[1]).to_text(), &keys),
        &expect![[
            "signed by 1 of the 2 trusted keys that are needed (34750f98bd59fcfc); let another holder run `hivewall policy sign` on it"
        ]],
    );
    assert!(verify(&signed(POLICY, &[1, 3]).to_text(), &keys).is_ok());
    // A stranger's signature beside a trusted one counts for nothing and harms nothing.
    assert!(verify(&signed(POLICY, &[1, 9]).to_text(), &keys).is_err());
    let both = verify(&signed(POLICY, &[1, 3, 9]).to_text(), &keys).unwrap();
    assert_eq!((both.by().len(), both.unknown()), (2, &[key(9).public().id()][..]));
}

#[test]
fn an_altered_document_is_told_from_an_unknown_key() {
    let text = signed(POLICY, &[1]).to_text().replace("tiers: []", "tiers: [ ]");
    check_refusal(
        verify(&text, &trusted(1, &[1])),
        &expect![[
            "the signature of 34750f98bd59fcfc does not fit: the document, its head or the signature was altered after signing; get the file again, or sign the altered document anew"
        ]],
    );
    check_refusal(
        verify(POLICY, &trusted(1, &[1])),
        &expect![[
            "this is not a signed document: it does not begin with `#hivewall-signed 1`; sign it with `hivewall policy sign`"
        ]],
    );
}

#[test]
fn a_head_that_says_other_than_its_document_is_refused_though_signed() {
    let header = Header { version: 43, ..Meta::of(POLICY).unwrap().header(None).unwrap() };
    let signed = Signed::new(Statement::new(header, POLICY.to_owned()).unwrap(), &key(1));
    check_refusal(
        trusted(1, &[1]).verify(signed),
        &expect![["the head and the document disagree about `version`: 43 and 42; sign the document anew"]],
    );
}

#[test]
fn a_document_that_names_what_it_follows_has_to_be_right() {
    let before = Previous { version: 1, digest: Digest::of(b"before") };
    let document = format!("kind: Policy\nmetadata: {{name: edge, version: 2, previous: {}}}\n", before.digest);
    let check = |previous| {
        let header = Meta::of(&document).unwrap().header(previous).unwrap();
        Statement::new(header, document.clone()).unwrap().check()
    };
    assert!(check(Some(before)).is_ok());
    for other in [None, Some(Previous { digest: Digest::of(b"other"), ..before })] {
        assert!(matches!(check(other), Err(SignError::Disagree { field: "previous", .. })));
    }
}

#[test]
fn validity_is_from_the_first_second_until_before_the_last() {
    let (from, until) = (Timestamp::from_secs(1_000), Timestamp::from_secs(2_000));
    let window = Window { not_before: Some(from), not_after: Some(until) };
    let at = |seconds| window.check(Timestamp::from_secs(seconds)).map_err(|error| error.to_string());
    assert_eq!((at(1_000), at(1_999)), (Ok(()), Ok(())));
    expect![[
        "not valid before 1970-01-01T00:16:40Z, and it is 1970-01-01T00:16:39Z now; check this host's clock or wait"
    ]]
    .assert_eq(&at(999).unwrap_err());
    expect![[
        "expired at 1970-01-01T00:33:20Z, and it is 1970-01-01T00:33:20Z now; sign a new version with a later notAfter"
    ]]
    .assert_eq(&at(2_000).unwrap_err());
    let header = Header {
        window: Window { not_before: Some(until), not_after: Some(from) },
        ..Meta::of(POLICY).unwrap().header(None).unwrap()
    };
    assert!(matches!(Statement::new(header, String::new()), Err(SignError::Window { .. })));
}

#[test]
fn a_document_without_a_version_cannot_be_signed() {
    let meta = Meta::of("kind: Policy\nmetadata: {name: edge}\n").unwrap();
    expect![["the document has no metadata.version; write it, for example `metadata: {name: edge, version: 1}`"]]
        .assert_eq(&meta.header(None).unwrap_err().to_string());
    let meta = Meta::of(r#"{"kind": "Policy", "metadata": {"name": "edge", "version": 7}, "tiers": [{"name": "x"}]}"#);
    assert_eq!(meta.unwrap().version, Some(7));
}

#[test]
fn a_document_of_a_million_prefixes_can_be_signed() {
    let mut prefixes = String::new();
    for number in 0..1_000_000_u32 {
        writeln!(prefixes, "\"{}/32\",", std::net::Ipv4Addr::from(number)).unwrap();
    }
    let document = format!("kind: Policy\nmetadata: {{name: edge, version: 1}}\nsets: {{x: {{cidr: [{prefixes}]}}}}\n");
    let text = signed(&document, &[1]).to_text();
    assert!(verify(&text, &trusted(1, &[1])).is_ok());
}

#[test]
fn keys_go_through_their_lines_and_secrets_are_not_shown() {
    let secret = SecretKey::parse(&key(1).to_line()).unwrap();
    assert_eq!(secret.to_line(), key(1).to_line());
    assert_eq!(format!("{secret:?}"), "secret half of 34750f98bd59fcfc (key-1)");
    let line = secret.public().to_string();
    expect![["hivewall-public-ed25519 iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w= key-1"]].assert_eq(&line);
    assert_eq!(PublicKey::parse(&line).unwrap(), secret.public());
    // One half is not taken for the other.
    assert!(PublicKey::parse(&secret.to_line()).is_err() && SecretKey::parse(&line).is_err());
    for wrong in ["", "hivewall-public-ed25519", "hivewall-public-ed25519 AAAA x", &format!("{line} more")] {
        assert!(matches!(PublicKey::parse(wrong), Err(SignError::Key { .. })), "{wrong}");
    }
}

#[test]
fn a_weak_public_key_is_refused() {
    // The neutral point: a signature that fits every message can be made for it.
    let weak = "hivewall-public-ed25519 AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= weak";
    assert!(matches!(PublicKey::parse(weak), Err(SignError::WeakKey)));
}

#[test]
fn the_signature_is_that_of_rfc_8032() {
    // Section 7.1, test 1: the public key of this secret one.
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let key = SecretKey::new(&hex(secret).unwrap(), "rfc").unwrap();
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(hex::<32>(public).unwrap());
    assert_eq!(key.public().to_string(), format!("hivewall-public-ed25519 {base64} rfc"));
}

#[test]
fn a_set_of_keys_has_each_key_once_and_a_threshold_it_can_reach() {
    let public = |number| key(number).public();
    assert!(matches!(TrustedKeys::new(0, 1, vec![public(1), public(1)]), Err(SignError::TwoOfAKey { .. })));
    for threshold in [0, 3] {
        assert!(matches!(TrustedKeys::new(0, threshold, vec![public(1), public(2)]), Err(SignError::Reach { .. })));
    }
    assert!(matches!(TrustedKeys::new(0, 1, Vec::new()), Err(SignError::Reach { .. })));
}

#[test]
fn a_document_of_keys_names_the_next_set() {
    let document = format!(
        "kind: Keys\nmetadata: {{name: ops, version: 2}}\nthreshold: 2\nkeys:\n- {}\n- {}\n",
        key(4).public(),
        key(5).public()
    );
    let verified = verify(&signed(&document, &[1]).to_text(), &trusted(1, &[1])).unwrap();
    let keys = verified.keys().unwrap();
    assert_eq!((keys.version(), keys.threshold(), keys.keys().len()), (2, 2, 2));
    let policy = verify(&signed(POLICY, &[1]).to_text(), &trusted(1, &[1])).unwrap();
    assert!(matches!(policy.keys(), Err(SignError::Kind { .. })));
}

#[test]
fn a_document_of_keys_that_names_none_cannot_be_signed() {
    for keys in ["keys: []", "threshold: 2\nkeys: [nonsense]", "key: []"] {
        let document = format!("kind: Keys\nmetadata: {{name: ops, version: 2}}\n{keys}\n");
        let header = Meta::of(&document).unwrap().header(None).unwrap();
        assert!(Statement::new(header, document).unwrap().check().is_err(), "{keys}");
    }
}
