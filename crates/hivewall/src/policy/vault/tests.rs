//! The state on disk: a stop after any operation, damage to any file, rights that are too wide.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hivewall_policy::ledger::Outcome;
use hivewall_policy::sign::{Meta, Previous, SecretKey, Signed, Statement, TrustedKeys};
use tempfile::TempDir;

use super::*;

const WHO: &str = "ada";

fn key() -> SecretKey {
    SecretKey::new(&[1; 32], "key").unwrap()
}

fn chain(version: u64) -> Signed {
    let previous = (version > 1).then(|| {
        let signed = chain(version - 1);
        Previous { version: version - 1, digest: signed.statement().digest() }
    });
    let text = format!("kind: Policy\nmetadata: {{name: edge, version: {version}}}\n");
    let header = Meta::of(&text).unwrap().header(previous).unwrap();
    Signed::new(Statement::new(header, text).unwrap(), &key())
}

fn moment() -> Moment {
    Moment { wall: Timestamp::from_secs(1_800_000_000), boot: "a".to_owned(), uptime_ms: 1_000 }
}

fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("policy");
    (directory, path)
}

/// Applies a version and has it enforced, as the agent would.
fn apply(vault: &mut Vault, version: u64) -> Result<(), VaultError> {
    let signed = chain(version);
    vault.step(&moment(), &Request::Apply { bytes: signed.to_text().as_bytes(), confirm: None, who: WHO })?;
    vault.step(&moment(), &Request::Enforced { digest: signed.statement().digest() })?;
    Ok(())
}

/// A state with the key trusted and versions up to this one taken up.
fn filled(path: &Path, version: u64) -> Ledger {
    let mut vault = Vault::open(path).unwrap();
    let keys = TrustedKeys::new(0, 1, vec![key().public()]).unwrap();
    vault.step(&moment(), &Request::Trust { keys, replace: false, who: WHO }).unwrap();
    for version in 1..=version {
        apply(&mut vault, version).unwrap();
    }
    vault.ledger().clone()
}

#[test]
fn what_was_taken_up_is_there_after_a_restart() {
    let (_directory, path) = place();
    let ledger = filled(&path, 3);
    let vault = Vault::open(&path).unwrap();
    assert_eq!((vault.ledger(), vault.findings()), (&ledger, &[][..]));
    let good = ledger.good().unwrap();
    assert_eq!(vault.document(good.digest).unwrap(), chain(3).to_text().into_bytes());
    drop(vault);
    assert_eq!(read(&path).unwrap(), (ledger.clone(), Vec::new()));
    assert_eq!(read_document(&path, good.digest).unwrap(), chain(3).to_text().into_bytes());
    for (name, mode) in [("", 0o700), ("documents", 0o700), ("state", 0o600), ("trail.jsonl", 0o600), ("lock", 0o600)] {
        assert_eq!(path.join(name).metadata().unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
}

#[test]
fn a_change_is_one_transaction() {
    let (_directory, path) = place();
    filled(&path, 1);
    let text = chain(2).to_text();
    let request = Request::Apply { bytes: text.as_bytes(), confirm: None, who: WHO };
    let (step, findings) = transact(&path, &moment(), &request).unwrap();
    assert!(matches!(step.outcome, Outcome::Applying { .. }) && findings.is_empty());
    assert_eq!(read(&path).unwrap().0, step.ledger);
    let refused = transact(&path, &moment(), &Request::Apply { bytes: b"x", confirm: None, who: WHO });
    assert!(matches!(refused, Err(VaultError::Refused(_))));
}

#[test]
fn a_stop_after_any_operation_leaves_the_old_state_or_the_new_one() {
    let mut stops = 0;
    for operations in 0.. {
        let (_directory, path) = place();
        let old = filled(&path, 9);
        let mut vault = Vault::open(&path).unwrap();
        vault.disk.until_stop.set(Some(operations));
        let done = apply(&mut vault, 10);
        drop(vault);
        let vault = Vault::open(&path).unwrap();
        let ledger = vault.ledger();
        // A half-written line of the trail may be told; nothing else is amiss.
        assert!(vault.findings().iter().all(|finding| matches!(finding, Finding::TrailTorn { .. })), "{operations}");
        let (good, pending) =
            (ledger.good().unwrap().version, ledger.pending().map(|pending| pending.document.version));
        assert!(matches!((good, pending), (9, None | Some(10)) | (10, None)), "{operations}: {good} {pending:?}");
        assert!(ledger.highest().unwrap().version >= old.highest().unwrap().version);
        for digest in ledger.documents() {
            vault.document(digest).unwrap();
        }
        let trail = fs::read_to_string(path.join(TRAIL)).unwrap();
        let entries: Vec<Entry> = trail.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(check_trail(&entries), Ok(()));
        assert_eq!(entries.last().unwrap(), ledger.recent().last().unwrap(), "{operations}");
        stops += 1;
        if done.is_ok() {
            break;
        }
    }
    assert!(stops > 30, "only {stops} operations were stopped at");
}

#[test]
fn a_stop_while_the_first_state_is_written_leaves_none_or_it() {
    for operations in 0.. {
        let (_directory, path) = place();
        let disk = Disk::make(&path).unwrap();
        disk.until_stop.set(Some(operations));
        let mut vault = Vault::on(disk).unwrap();
        let keys = TrustedKeys::new(0, 1, vec![key().public()]).unwrap();
        let done = vault.step(&moment(), &Request::Trust { keys, replace: false, who: WHO });
        drop(vault);
        let vault = Vault::open(&path).unwrap();
        assert!(vault.findings().iter().all(|finding| matches!(finding, Finding::TrailTorn { .. })));
        if done.is_ok() {
            assert!(vault.ledger().keys().is_some());
            break;
        }
    }
}

#[test]
fn a_damaged_state_is_told_and_nothing_is_forgotten() {
    for damage in 0..3 {
        let (_directory, path) = place();
        let ledger = filled(&path, 3);
        let state = path.join(STATE);
        match damage {
            0 => fs::remove_file(&state).unwrap(),
            1 => fs::OpenOptions::new().write(true).open(&state).unwrap().set_len(100).unwrap(),
            _ => {
                let text = fs::read_to_string(&state).unwrap().replace("\"version\":3", "\"version\":2");
                fs::write(&state, text).unwrap();
            }
        }
        // Who only looks changes nothing.
        assert_eq!(read(&path).unwrap().0, ledger);
        let vault = Vault::open(&path).unwrap();
        assert_eq!(vault.ledger(), &ledger, "damage {damage}");
        assert!(matches!(vault.findings(), [Finding::Restored { entries: 1, .. }]), "{:?}", vault.findings());
        drop(vault);
        // And it is mended.
        assert_eq!(Vault::open(&path).unwrap().findings(), []);
    }
}

#[test]
fn a_state_without_any_sound_copy_is_made_from_the_trail() {
    let (_directory, path) = place();
    let ledger = filled(&path, 3);
    fs::write(path.join(STATE), "x").unwrap();
    fs::write(path.join(PREVIOUS), "x").unwrap();
    let vault = Vault::open(&path).unwrap();
    assert!(matches!(vault.findings(), [Finding::Rebuilt { entries: 7, .. }]), "{:?}", vault.findings());
    assert_eq!((vault.ledger().highest(), vault.ledger().keys()), (ledger.highest(), ledger.keys()));
    assert_eq!((vault.ledger().good(), vault.ledger().recent()), (ledger.good(), ledger.recent()));
}

#[test]
fn a_state_that_is_lost_is_never_begun_anew() {
    let (_directory, path) = place();
    filled(&path, 1);
    for name in [STATE, PREVIOUS, TRAIL] {
        fs::write(path.join(name), "x").unwrap();
    }
    assert!(matches!(read(&path), Err(VaultError::Lost { .. })));
    let error = Vault::open(&path).unwrap_err();
    assert!(error.to_string().contains("backup"), "{error}");
    // Even then what is there is not touched.
    assert_eq!(fs::read(path.join(STATE)).unwrap(), b"x");
}

#[test]
fn a_state_put_back_from_a_backup_is_brought_up_to_date_by_its_trail() {
    let (_directory, path) = place();
    filled(&path, 2);
    let backup = fs::read(path.join(STATE)).unwrap();
    let mut vault = Vault::open(&path).unwrap();
    apply(&mut vault, 3).unwrap();
    drop(vault);
    fs::write(path.join(STATE), backup).unwrap();
    let mut vault = Vault::open(&path).unwrap();
    assert!(matches!(vault.findings(), [Finding::Restored { entries: 2, .. }]), "{:?}", vault.findings());
    assert_eq!(vault.ledger().highest().unwrap().version, 3);
    let replay = chain(3).to_text();
    let request = Request::Apply { bytes: replay.as_bytes(), confirm: None, who: WHO };
    assert!(matches!(vault.step(&moment(), &request).unwrap().outcome, Outcome::AlreadyThere { .. }));
}

#[test]
fn a_trail_without_a_state_is_no_beginning() {
    let (_directory, path) = place();
    filled(&path, 1);
    fs::remove_file(path.join(STATE)).unwrap();
    fs::remove_file(path.join(PREVIOUS)).unwrap();
    fs::write(path.join(TRAIL), "x\n").unwrap();
    assert!(matches!(Vault::open(&path), Err(VaultError::Lost { .. })));
}

#[test]
fn a_trail_that_was_altered_is_told_and_goes_on() {
    let (_directory, path) = place();
    let ledger = filled(&path, 2);
    let trail = path.join(TRAIL);
    let text = fs::read_to_string(&trail).unwrap();
    fs::write(&trail, text.replacen("\"ada\"", "\"eve\"", 1)).unwrap();
    let mut vault = Vault::open(&path).unwrap();
    assert!(matches!(vault.findings(), [Finding::Trail { number: 1, .. }]), "{:?}", vault.findings());
    assert_eq!(vault.ledger(), &ledger);
    apply(&mut vault, 3).unwrap();
    drop(vault);
    drop(Vault::open(&path).unwrap());
    // The evidence is still there, and nothing is written twice.
    let text = fs::read_to_string(&trail).unwrap();
    assert_eq!((text.contains("eve"), text.lines().count()), (true, 7));
}

#[test]
fn a_document_that_was_altered_is_told_and_not_given_out() {
    let (_directory, path) = place();
    let ledger = filled(&path, 2);
    let digest = ledger.good().unwrap().digest;
    let file = path.join(document_path(digest));
    fs::write(&file, chain(2).to_text().replace("edge", "gate")).unwrap();
    let vault = Vault::open(&path).unwrap();
    assert_eq!(vault.findings(), [Finding::Document { path: file.clone() }]);
    assert!(matches!(vault.document(digest), Err(VaultError::Document { .. })));
    fs::remove_file(&file).unwrap();
    assert!(matches!(vault.document(digest), Err(VaultError::NoDocument { .. })));
}

#[test]
fn documents_that_nothing_needs_are_removed() {
    let (_directory, path) = place();
    filled(&path, 20);
    let names = fs::read_dir(path.join(DOCUMENTS)).unwrap().count();
    // Those of this state and of the one before, which has one more.
    assert!((8..=9).contains(&names), "{names}");
}

#[test]
fn files_that_others_may_use_are_refused() {
    for (name, mode) in [("", 0o755), ("documents", 0o770), ("state", 0o644), ("trail.jsonl", 0o666)] {
        let (_directory, path) = place();
        filled(&path, 1);
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
        let error = Vault::open(&path).unwrap_err();
        assert!(matches!(error, VaultError::Mode { .. }), "{name}: {error}");
        assert!(error.to_string().contains("chmod 0"), "{error}");
    }
    let (_directory, path) = place();
    filled(&path, 1);
    fs::rename(path.join(STATE), path.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", path.join(STATE)).unwrap();
    assert!(matches!(Vault::open(&path), Err(VaultError::Unexpected { .. })));
}

#[test]
fn a_state_of_a_later_program_is_left_alone() {
    let (_directory, path) = place();
    filled(&path, 1);
    let text = fs::read_to_string(path.join(STATE)).unwrap().replacen("-state 1 ", "-state 2 ", 1);
    fs::write(path.join(STATE), text).unwrap();
    assert!(matches!(Vault::open(&path), Err(VaultError::TooNew { form: 2, .. })));
}

#[test]
fn two_changes_at_once_come_one_after_the_other() {
    let (_directory, path) = place();
    filled(&path, 1);
    let mut held = Vault::open(&path).unwrap();
    let other = std::thread::spawn({
        let path = path.clone();
        move || Vault::open(&path).map(|vault| vault.ledger().highest().unwrap().version).unwrap()
    });
    apply(&mut held, 2).unwrap();
    drop(held);
    // It could open only after that.
    assert_eq!(other.join().unwrap(), 2);
}

#[test]
fn the_clocks_of_this_machine_can_be_read() {
    let first = now().unwrap();
    let second = now().unwrap();
    assert_eq!(first.boot, second.boot);
    assert!(first.uptime_ms > 0 && second.uptime_ms >= first.uptime_ms && first.wall.secs() > 1_700_000_000);
}
