//! How a packet filter goes back when nobody confirmed a change, even if the agent is dead by then.
//!
//! Before the change, the rules that hold are written to `fallback.json` in the policy's state, and a process of our own
//! binary is started that outlives the agent, sleeps until the time is over, and puts them back in one transaction. It
//! asks the ledger first, under the ledger's lock, so that it and the agent never undo one another. Invariant: what is
//! written there is what held before the first attempt at the change, also when the agent begins it again after a restart.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hivewall_host::process::leave_session;
use hivewall_host::rules::{Kept, forget, kept};
use hivewall_policy::ledger::Moment;
use hivewall_policy::sign::Digest;
use serde_json::{Value, json};

use super::vault::{self, Vault};

const FILE: &str = "fallback.json";
/// Longest sleep: so late at most it is noticed that the change was confirmed, or that the machine slept.
const NAP: Duration = Duration::from_secs(1);
/// Attempts, a nap apart, to put the rules back; another program may hold the packet filter's lock.
const ATTEMPTS: u32 = 60;

/// What to go back to, when, and unless what is confirmed.
#[derive(Clone, Debug, PartialEq)]
struct Fallback {
    digest: Digest,
    boot: String,
    until_uptime_ms: u64,
    before: Option<Kept>,
}

impl Fallback {
    fn read(state: &Path) -> anyhow::Result<Option<Self>> {
        let text = match std::fs::read(state.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", state.join(FILE).display())),
        };
        let value: Value =
            serde_json::from_slice(&text).with_context(|| format!("in {}", state.join(FILE).display()))?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let digest = Digest::parse(word("digest")).context("the fallback names no document")?;
        let until_uptime_ms = value.get("until_uptime_ms").and_then(Value::as_u64).unwrap_or_default();
        let before = value.get("before").cloned().unwrap_or_default();
        let before = serde_json::from_value(before).context("the rules to go back to cannot be read")?;
        Ok(Some(Self { digest, boot: word("boot").to_owned(), until_uptime_ms, before }))
    }

    fn write(&self, state: &Path) -> anyhow::Result<()> {
        let text = json!({
            "digest": self.digest.to_string(),
            "boot": self.boot,
            "until_uptime_ms": self.until_uptime_ms,
            "before": self.before,
        });
        let aside = state.join("fallback.json.new");
        std::fs::write(&aside, serde_json::to_vec(&text)?)
            .with_context(|| format!("cannot write {}", aside.display()))?;
        std::fs::rename(&aside, state.join(FILE))
            .with_context(|| format!("cannot write {}", state.join(FILE).display()))
    }

    fn is_of(&self, digest: Digest, boot: &str, until_uptime_ms: u64) -> bool {
        self.digest == digest && self.boot == boot && self.until_uptime_ms == until_uptime_ms
    }
}

/// Writes down what holds now and starts the process that goes back to it.
pub(super) fn arm(state: &Path, digest: Digest, now: &Moment, until_uptime_ms: u64) -> anyhow::Result<()> {
    let is_armed = Fallback::read(state)?.is_some_and(|known| known.is_of(digest, &now.boot, until_uptime_ms));
    if !is_armed {
        Fallback { digest, boot: now.boot.clone(), until_uptime_ms, before: kept(state)? }.write(state)?;
    }
    let status =
        process(state, digest, until_uptime_ms)?.status().context("the process that goes back cannot be started")?;
    if !status.success() {
        bail!("the process that would go back without a confirmation ended with {status}; nothing was changed");
    }
    Ok(())
}

/// The change is settled: nothing is gone back to.
pub(crate) fn disarm(state: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(state.join(FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", state.join(FILE).display()))
        }
        _ => Ok(()),
    }
}

/// Our own binary, also where it was replaced on the disk.
fn process(state: &Path, digest: Digest, until_uptime_ms: u64) -> anyhow::Result<Process> {
    let state = state.canonicalize().with_context(|| format!("cannot find {}", state.display()))?;
    let mut process = Process::new("/proc/self/exe");
    process.args(["policy", "revert-at", "--until-uptime-ms", &until_uptime_ms.to_string()]);
    process.args(["--document", &digest.to_string(), "--state"]).arg(state);
    process.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    Ok(process)
}

/// The command line of `policy revert-at`, which only the agent uses.
pub(super) fn command() -> Command {
    Command::new("revert-at")
        .about("Go back to the rules before, at a time, unless the change was confirmed")
        .hide(true)
        .arg(
            Arg::new("until")
                .long("until-uptime-ms")
                .required(true)
                .value_parser(value_parser!(u64))
                .help("Time since the machine started, ms"),
        )
        .arg(Arg::new("document").long("document").required(true).help("Digest of what has to be confirmed"))
        .arg(
            Arg::new("state")
                .long("state")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("Directory of the policy's state"),
        )
        .arg(Arg::new("stay").long("stay").action(ArgAction::SetTrue).help("Be the process that waits"))
}

pub(super) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let state = args.get_one::<PathBuf>("state").context("no directory")?;
    let until = *args.get_one::<u64>("until").context("no time")?;
    let digest = args.get_one::<String>("document").and_then(|text| Digest::parse(text)).context("no document")?;
    if !args.get_flag("stay") {
        // Forked twice: the one that waits is nobody's child, so the agent need not reap it.
        process(state, digest, until)?.arg("--stay").spawn().context("the process that waits cannot be started")?;
        return Ok(ExitCode::SUCCESS);
    }
    leave_session().context("cannot leave the agent's session")?;
    let boot = vault::now()?.boot;
    let is_ours = || anyhow::Ok(Fallback::read(state)?.is_some_and(|known| known.is_of(digest, &boot, until)));
    loop {
        if !is_ours()? {
            return Ok(ExitCode::SUCCESS);
        }
        let left = Duration::from_millis(until.saturating_sub(vault::now()?.uptime_ms));
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(NAP));
    }
    for _ in 1..ATTEMPTS {
        match go_back(state, digest, until) {
            Ok(()) => return Ok(ExitCode::SUCCESS),
            Err(error) => eprintln!("hivewall: going back to the rules before: {error:#}; trying again"),
        }
        std::thread::sleep(NAP);
    }
    go_back(state, digest, until)?;
    Ok(ExitCode::SUCCESS)
}

/// Puts back what held before, unless the ledger says that the change is settled.
fn go_back(state: &Path, digest: Digest, until_uptime_ms: u64) -> anyhow::Result<()> {
    let vault = Vault::open(state)?;
    let boot = vault::now()?.boot;
    let Some(fallback) = Fallback::read(state)?.filter(|known| known.is_of(digest, &boot, until_uptime_ms)) else {
        return Ok(());
    };
    let waits = vault.ledger().pending().is_some_and(|pending| pending.document.digest == digest);
    if waits {
        match fallback.before {
            Some(before) => before.apply(state)?,
            None => take_away(state)?,
        }
        eprintln!("hivewall: nobody confirmed the policy in time; the rules before it are in force again");
    }
    disarm(state)
}

/// Takes our rules out of the packet filter that has them; nothing is to be repaired any more.
pub(crate) fn take_away(state: &Path) -> anyhow::Result<()> {
    if let Some(present) = kept(state)? {
        present.remove()?;
        forget(state)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fallback(text: &str) -> Fallback {
        let before = Some(Kept::Nftables { text: text.to_owned() });
        Fallback { digest: Digest::of(b"new"), boot: "a".to_owned(), until_uptime_ms: 12, before }
    }

    #[test]
    fn a_fallback_is_read_as_it_was_written_and_gone_when_disarmed() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Fallback::read(state.path()).unwrap(), None);
        for before in [fallback("table inet hivewall {}"), Fallback { before: None, ..fallback("") }] {
            before.write(state.path()).unwrap();
            assert_eq!(Fallback::read(state.path()).unwrap(), Some(before));
        }
        disarm(state.path()).unwrap();
        disarm(state.path()).unwrap();
        assert_eq!(Fallback::read(state.path()).unwrap(), None);
    }

    #[test]
    fn another_document_another_start_or_another_time_is_another_fallback() {
        let known = fallback("");
        assert!(known.is_of(Digest::of(b"new"), "a", 12));
        assert!(!known.is_of(Digest::of(b"old"), "a", 12));
        assert!(!known.is_of(Digest::of(b"new"), "b", 12));
        assert!(!known.is_of(Digest::of(b"new"), "a", 13));
    }

    #[test]
    fn what_is_settled_is_not_gone_back_from() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o700);
        let state = tempfile::Builder::new().permissions(mode).tempdir().unwrap();
        let boot = vault::now().unwrap().boot;
        // Rules that no packet filter would take: an attempt to put them back would fail.
        Fallback { boot, ..fallback("nonsense") }.write(state.path()).unwrap();
        go_back(state.path(), Digest::of(b"new"), 12).unwrap();
        assert_eq!(Fallback::read(state.path()).unwrap(), None);
    }
}
