//! Keys, signatures and whom a host trusts, by the real program, as docs/guide/policy-signing.md tells it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hivewall_e2e::binary;
use hivewall_e2e::tool::{Said, run};
use tempfile::TempDir;

/// Exit codes as documented.
mod code {
    pub(super) const FAILED: i32 = 1;
    pub(super) const USAGE: i32 = 2;
}

/// A directory to work in, with a host's state in it.
struct Desk(TempDir);

impl Desk {
    /// With keys ada, grace and edsger.
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        for name in ["ada", "grace", "edsger"] {
            desk.does(&["keygen", "--out", name]);
        }
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// `hivewall policy …`
    fn policy(&self, args: &[&str]) -> Said {
        let mut command = std::process::Command::new(binary::path());
        command.arg("policy").args(args).current_dir(self.path());
        command.env("HIVEWALL_POLICY_STATE", self.path().join("state"));
        run(command)
    }

    /// The same, and it has to work.
    fn does(&self, args: &[&str]) -> String {
        let said = self.policy(args);
        assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
        said.out
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn edge(&self, version: u32) {
        self.write("edge.yaml", format!("kind: Policy\nmetadata: {{name: edge, version: {version}}}\ntiers: []\n"));
    }
}

#[test]
fn a_secret_key_is_for_its_owner_alone_and_never_written_over() {
    let desk = Desk::new();
    let mode = |name: &str| desk.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ada.key"), 0o600);
    let secret = desk.read("ada.key");
    let said = desk.policy(&["keygen", "--out", "ada"]);
    said.refused(code::USAGE, &["ada.key", "another name"]);
    assert_eq!(desk.read("ada.key"), secret);
    let out = desk.does(&["keygen", "--out", "alan"]);
    assert!(out.contains(desk.read("alan.pub").trim()) && !out.contains("secret-ed25519"), "{out}");
    // A key that others can read is not used.
    desk.edge(1);
    std::fs::set_permissions(desk.path().join("ada.key"), std::fs::Permissions::from_mode(0o640)).unwrap();
    desk.policy(&["sign", "edge.yaml", "--key", "ada.key"]).refused(code::FAILED, &["ada.key", "0640", "chmod 0600"]);
    assert!(!desk.path().join("edge.yaml.signed").exists());
}

#[test]
fn a_signed_policy_is_verified_and_every_altered_byte_of_its_head_refused() {
    let desk = Desk::new();
    desk.edge(1);
    desk.does(&["sign", "edge.yaml", "--key", "ada.key"]);
    let out = desk.does(&["verify", "edge.yaml.signed", "--keys", "ada.pub", "grace.pub"]);
    assert!(out.contains("policy edge, version 1") && out.contains("(ada)"), "{out}");
    let json = desk.does(&["verify", "edge.yaml.signed", "--keys", "ada.pub", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["version"].as_u64(), json["signed_by"].as_array().map(Vec::len)), (Some(1), Some(1)));
    desk.policy(&["verify", "edge.yaml.signed", "--keys", "grace.pub"])
        .refused(code::FAILED, &["no trusted key signed this", "edge.yaml.signed"]);
    desk.policy(&["verify", "edge.yaml", "--keys", "ada.pub"]).refused(code::FAILED, &["not a signed document"]);
    let text = desk.read("edge.yaml.signed");
    let head = text.find("\nkind: Policy").unwrap() + 1;
    for at in 0..head {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        desk.write("altered", bytes);
        let said = desk.policy(&["verify", "altered", "--keys", "ada.pub"]);
        assert!(said.code == Some(code::FAILED) && said.err.contains("altered"), "byte {at}: {said:?}");
    }
    desk.write("altered", text.replace("tiers: []", "tiers: [ ]"));
    desk.policy(&["verify", "altered", "--keys", "ada.pub"]).refused(code::FAILED, &["was altered after signing"]);
}

#[test]
fn two_of_three_keys_have_to_sign() {
    let desk = Desk::new();
    desk.edge(1);
    desk.does(&["keys", "trust", "ada.pub", "grace.pub", "edsger.pub", "--threshold", "2"]);
    desk.does(&["sign", "edge.yaml", "--key", "ada.key"]);
    desk.policy(&["verify", "edge.yaml.signed"]).refused(code::FAILED, &["signed by 1 of the 2"]);
    desk.policy(&["sign", "edge.yaml.signed", "--key", "ada.key"]).refused(code::FAILED, &["signed this already"]);
    desk.does(&["sign", "edge.yaml.signed", "--key", "edsger.key"]);
    let out = desk.does(&["verify", "edge.yaml.signed"]);
    assert!(out.contains("(ada)") && out.contains("(edsger)"), "{out}");
}

#[test]
fn a_new_version_follows_the_signed_one_that_is_there() {
    let desk = Desk::new();
    desk.edge(1);
    let first = desk.does(&["sign", "edge.yaml", "--key", "ada.key"]);
    let digest = first.lines().find_map(|line| line.strip_prefix("digest     ")).unwrap().to_owned();
    desk.write("edge.yaml", "kind: Policy\nmetadata: {name: edge, version: 1}\ntiers: [] # other\n");
    desk.policy(&["sign", "edge.yaml", "--key", "ada.key"])
        .refused(code::USAGE, &["version 1", "raise metadata.version"]);
    desk.edge(2);
    let second = desk.does(&["sign", "edge.yaml", "--key", "ada.key"]);
    assert!(second.contains(&format!("previous   1:{digest}")), "{second}");
    desk.edge(3);
    let third =
        desk.does(&["sign", "edge.yaml", "--key", "ada.key", "--out", "x", "--previous", &format!("2:{digest}")]);
    assert!(third.contains(&format!("previous   2:{digest}")), "{third}");
    desk.write("bare.yaml", "kind: Policy\nmetadata: {name: edge}\n");
    desk.policy(&["sign", "bare.yaml", "--key", "ada.key"]).refused(code::FAILED, &["metadata.version"]);
}

#[test]
fn keys_are_rotated_by_those_that_are_trusted_and_never_back() {
    let desk = Desk::new();
    assert!(desk.does(&["keys", "show"]).contains("trusts no keys"));
    desk.does(&["keys", "trust", "ada.pub"]);
    desk.policy(&["keys", "trust", "grace.pub"]).refused(code::FAILED, &["trusts keys already", "rotate"]);
    let set = |version: u32, names: &[&str]| {
        let keys = names.iter().fold(String::new(), |keys, name| keys + "- " + &desk.read(&format!("{name}.pub")));
        desk.write("keys.yaml", format!("kind: Keys\nmetadata: {{name: ops, version: {version}}}\nkeys:\n{keys}"));
    };
    set(1, &["grace"]);
    desk.does(&["sign", "keys.yaml", "--key", "grace.key", "--out", "stranger"]);
    desk.policy(&["keys", "rotate", "stranger"]).refused(code::FAILED, &["no trusted key signed this"]);
    desk.does(&["sign", "keys.yaml", "--key", "ada.key"]);
    std::fs::copy(desk.path().join("keys.yaml.signed"), desk.path().join("first")).unwrap();
    assert!(desk.does(&["keys", "rotate", "keys.yaml.signed"]).contains("grace"));
    // The former key has no say any more, neither about policies nor about keys.
    desk.edge(1);
    desk.does(&["sign", "edge.yaml", "--key", "ada.key"]);
    desk.policy(&["verify", "edge.yaml.signed"]).refused(code::FAILED, &["no trusted key signed this"]);
    set(2, &["grace", "ada"]);
    desk.does(&["sign", "keys.yaml", "--key", "grace.key"]);
    desk.does(&["keys", "rotate", "keys.yaml.signed"]);
    desk.policy(&["keys", "rotate", "first"]).refused(code::FAILED, &["version 1 is not above 2"]);
    let json: serde_json::Value = serde_json::from_str(&desk.does(&["keys", "show", "-o", "json"])).unwrap();
    assert_eq!((json["trusted"]["version"].as_u64(), json["takes_unsigned"].as_bool()), (Some(2), Some(false)));
    desk.does(&["keys", "trust", "edsger.pub", "--replace"]);
    let state = desk.path().join("state");
    assert_eq!(state.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // Whoever finds the state damaged is told, and nothing is forgotten.
    std::fs::write(state.join("state"), "x").unwrap();
    let said = desk.policy(&["keys", "show"]);
    assert!(said.code == Some(0) && said.err.contains("damaged") && said.out.contains("edsger"), "{said:?}");
}

#[test]
fn what_has_expired_or_is_not_valid_yet_is_refused() {
    let desk = Desk::new();
    for (times, word) in
        [("notAfter: 2020-01-01T00:00:00Z", "expired"), ("notBefore: 2200-01-01T00:00:00Z", "not valid before")]
    {
        desk.write("edge.yaml", format!("kind: Policy\nmetadata: {{name: edge, version: 1, {times}}}\n"));
        desk.does(&["sign", "edge.yaml", "--key", "ada.key", "--out", word]);
        desk.policy(&["verify", word, "--keys", "ada.pub"]).refused(code::FAILED, &[word]);
    }
}

#[test]
fn the_commands_of_the_guide_work_as_they_stand_there() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/policy-signing.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let desk = TempDir::new().unwrap();
    let mut script = String::from("set -eu\n");
    let mut count = 0;
    for block in guide.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        count += block.matches("hivewall policy").count();
        script.push_str(block);
    }
    assert!(count >= 10, "only {count} commands in the guide");
    let path = format!("{}:{}", binary::path().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).current_dir(desk.path());
    command.env("PATH", path).env("HIVEWALL_POLICY_STATE", desk.path().join("state"));
    let said = run(command);
    assert_eq!(said.code, Some(0), "{said:?}");
}
