//! `hivewall cluster init` and `join`: what makes a host a member. Both write the fleet's directory, and the running agent
//! finds it there; what asks the agent is in `fleet_client`.
//!
//! Invariant: a directory that holds an identity is never written over.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command, value_parser};
use hivewall_config::Config;
use hivewall_policy::ledger::Request;
use hivewall_policy::sign::{SecretKey, TrustedKeys};
use hivewall_trust::{Charter, HostKey, Identity, Invitation, Root};

use super::disk::{Directory, Facts};
use super::program::unix_ms;
use super::view::hex;
use crate::policy::vault;
use crate::settings;
use crate::system::random;

/// How long joining may take.
const JOIN_WAIT: Duration = Duration::from_secs(20);
/// How long members on the local network are listened for.
const DISCOVER_WAIT: Duration = Duration::from_secs(3);

/// The commands.
pub(crate) fn commands() -> [Command; 2] {
    let init = Command::new("init")
        .about("Begin a fleet with this host as its first member")
        .long_about(
            "Begin a fleet with this host as its first member.\n\n\
             Makes the root's key, which appoints who may admit hosts and removes members; it is not needed from day to day and \
             is best taken elsewhere. Without trusted keys for policies (`hivewall policy keys`) it makes one, too. A \
             running agent takes its part at once.",
        )
        .arg(
            Arg::new("cluster-name")
                .long("cluster-name")
                .value_name("NAME")
                .default_value("fleet")
                .help("Name of the fleet, for people"),
        );
    let join = Command::new("join")
        .about("Join a fleet with an invitation")
        .arg(Arg::new("invitation").value_name("INVITATION").value_parser(value_parser!(String)).help(
            "The line that `hivewall cluster invite` printed; - reads it from standard input. Without it, members that \
                       announce themselves on the local network are listed",
        ))
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("ADDRESS:PORT")
                .value_parser(value_parser!(std::net::SocketAddr))
                .help("Where the member that invites is, if the addresses in the invitation do not lead there"),
        );
    [init, join].map(|command| settings::add(command, &["policy", "fleet", "agent"]))
}

/// Runs one of them.
pub(crate) fn run(name: &str, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, _) = settings::load(args)?;
    if config.fleet.directory.is_empty() {
        bail!("fleet.directory is empty, so this host takes part in no fleet; set it to a directory");
    }
    let directory = Directory::at(&config.fleet.directory);
    directory.make()?;
    if directory.has_identity() {
        bail!(
            "this host is in a fleet already ({} holds its identity); `hivewall cluster leave` takes it out",
            directory.path().display()
        );
    }
    match name {
        "init" => init(&config, &directory, args)?,
        _ => join(&config, &directory, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn init(config: &Config, directory: &Directory, args: &ArgMatches) -> anyhow::Result<()> {
    let root = Root::from_seed(random()?);
    let key = HostKey::from_seed(random()?);
    let now_s = unix_ms() / 1000;
    let identity = Identity::first(&root, key, now_s)?;
    let name = args.get_one::<String>("cluster-name").map_or("fleet", String::as_str);
    let charter = root.sign_charter(&Charter::first(root.cluster(), name))?;
    let made = trust(config, directory)?;
    directory.keep_root(&root)?;
    Facts::open(directory)?.persist(&hivewall_cluster::Persist::Policy(charter))?;
    // Last: a running agent begins when it finds this.
    directory.keep_identity(&identity)?;
    println!("this host is the first member of the fleet {name} ({})", hex(&root.cluster().0));
    println!(
        "the root's key is {}; take it elsewhere, and bring it back to remove a host",
        directory.root_file().display()
    );
    if let Some(file) = made {
        println!("policies are signed with {file} (`hivewall policy sign`); take it to where policies are written");
    }
    println!("next: `hivewall cluster invite` prints a line for `hivewall cluster join` on another host");
    Ok(())
}

/// Keys for policies: those that are trusted here, or a new one. Where the new one is.
fn trust(config: &Config, directory: &Directory) -> anyhow::Result<Option<String>> {
    if config.policy.state.is_empty() {
        return Ok(None);
    }
    let state = std::path::PathBuf::from(&config.policy.state);
    let (ledger, _) = vault::read(&state)?;
    if let Some(keys) = ledger.keys() {
        directory.keep_keys(&serde_json::to_vec(keys)?)?;
        return Ok(None);
    }
    let secret = SecretKey::new(&random()?, "operator")?;
    let keys = TrustedKeys::new(0, 1, vec![secret.public()])?;
    let request = Request::Trust { keys: keys.clone(), replace: false, who: "cluster init" };
    vault::transact(&state, &vault::now()?, &request)?;
    directory.keep_operator(&format!("{}\n", secret.to_line()))?;
    directory.keep_keys(&serde_json::to_vec(&keys)?)?;
    Ok(Some(directory.operator_file().display().to_string()))
}

/// Who announces itself here. Nobody joins by that.
fn suggest() -> anyhow::Result<()> {
    eprintln!("listening for members on the local network …");
    let hints = hivewall_net::discover(DISCOVER_WAIT)?;
    if hints.is_empty() {
        bail!(
            "nobody announces a fleet here (fleet.discover); ask for an invitation: `hivewall cluster invite` on a member"
        );
    }
    for hint in &hints {
        println!("fleet {}  at {}", hint.cluster, hint.address);
    }
    bail!(
        "to join, ask for an invitation (`hivewall cluster invite` there), and give its line to `hivewall cluster join`"
    )
}

fn join(config: &Config, directory: &Directory, args: &ArgMatches) -> anyhow::Result<()> {
    let line = match args.get_one::<String>("invitation").map(String::as_str) {
        None => return suggest(),
        Some("-") => std::io::read_to_string(std::io::stdin()).context("no invitation on standard input")?,
        Some(line) => line.to_owned(),
    };
    let mut invitation: Invitation = line.parse()?;
    if let Some(at) = args.get_one::<std::net::SocketAddr>("at") {
        invitation.addresses = vec![*at];
    }
    let host = crate::system::host_info(&config.agent.name).name;
    let enrolled = hivewall_net::enrol(&invitation, HostKey::from_seed(random()?), &host, JOIN_WAIT)?;
    if !enrolled.keys.is_empty() {
        directory.keep_keys(&enrolled.keys)?;
    }
    directory.keep_seeds(&enrolled.seeds)?;
    Facts::open(directory)?.persist(&hivewall_cluster::Persist::Policy(enrolled.charter))?;
    directory.keep_identity(&enrolled.identity)?;
    println!("{host} is a member now ({})", enrolled.identity.id());
    println!("next: `hivewall run`, if the agent does not run yet; `hivewall cluster members` lists all");
    Ok(())
}
