//! `hivewall policy keygen|sign|verify|keys`: keys, signatures, and whom this host trusts. What a signature means is in
//! `hivewall_policy::sign`, what becomes of a document in `hivewall_policy::ledger`.
//!
//! Invariant: a secret key is read from and written to files that only their owner may use; it is never an argument and
//! never shown.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hivewall_policy::ledger::{Ledger, Outcome, Request};
use hivewall_policy::sign::{
    DOCUMENT_BYTES_MAX, Digest, Header, Meta, Previous, PublicKey, SecretKey, SignError, Signed, Statement,
    TrustedKeys, Verified, is_signed,
};

use super::vault::{self, Finding, read_secret, write_secret};
use crate::exit::{Exit, ending};
use crate::settings;

/// Ending of a signed file's name.
const SIGNED: &str = "signed";

/// The subcommands.
pub(super) fn commands() -> [Command; 4] {
    [keygen_command(), sign_command(), verify_command(), keys_command()]
}

fn path(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
}

fn json() -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .value_parser(["text", "json"])
        .default_value("text")
        .help("Form of the output")
}

fn keygen_command() -> Command {
    Command::new("keygen")
        .about("Make a key to sign policies with")
        .long_about(
            "Make an Ed25519 key to sign policies with: OUT.key, which only you can read, and OUT.pub, which hosts \
             are told to trust. Keep OUT.key off the hosts that it governs.",
        )
        .arg(path("out", "DIR/NAME", "Where the two files go; the name is also the key's").long("out").required(true))
}

fn sign_command() -> Command {
    Command::new("sign")
        .about("Sign a policy or a document of keys")
        .long_about(
            "Sign a document, or sign a signed one once more with another key.\n\n\
             Writes FILE.signed (or OUT). If that is there and holds a lower version, the new one follows it; \
             otherwise name what it follows with --previous, or nothing for the first of all.",
        )
        .arg(path("file", "FILE", "The document, or a signed one").required(true))
        .arg(path("key", "KEY", "File of the secret key").long("key").short('k').required(true))
        .arg(path("out", "OUT", "The signed file [default: FILE.signed]").long("out"))
        .arg(
            Arg::new("previous")
                .long("previous")
                .value_name("FILE|VERSION:SHA256")
                .help("The signed file that this one follows, or its version and digest"),
        )
}

fn verify_command() -> Command {
    let command = Command::new("verify")
        .about("Check the signatures of a document")
        .long_about(
            "Check that trusted keys signed every byte of a document, and that it is valid now.\n\n\
             The keys are those that this host trusts, or those named with --keys.",
        )
        .arg(path("file", "FILE", "The signed document").required(true))
        .arg(path("keys", "PUB", "Public keys to check against, in place of the host's").long("keys").num_args(1..))
        .arg(threshold().requires("keys"))
        .arg(json());
    settings::add(command, &["policy"])
}

fn threshold() -> Arg {
    Arg::new("threshold")
        .long("threshold")
        .value_name("NUMBER")
        .value_parser(value_parser!(usize))
        .default_value("1")
        .help("How many of the keys have to sign")
}

fn keys_command() -> Command {
    let show = Command::new("show").about("Show whom this host trusts").arg(json());
    let trust = Command::new("trust")
        .about("Trust these keys; from then on unsigned policies are refused")
        .arg(path("keys", "PUB", "Public keys").num_args(1..).required(true))
        .arg(threshold())
        .arg(
            Arg::new("replace")
                .long("replace")
                .action(ArgAction::SetTrue)
                .help("Even though there are trusted keys: the way out when those are lost"),
        );
    let rotate = Command::new("rotate")
        .about("Trust the keys in a signed document of keys")
        .arg(path("file", "FILE", "The document, signed by enough of the keys that are trusted now").required(true));
    Command::new("keys")
        .about("Show and change whose signatures this host takes")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([show, trust, rotate].map(|command| settings::add(command, &["policy"])))
}

/// Runs one of [`commands`].
pub(super) fn run(name: &str, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    match (name, args.subcommand()) {
        ("keygen", _) => keygen(args),
        ("sign", _) => sign(args),
        ("verify", _) => verify(args),
        ("keys", Some(("show", args))) => show(args),
        ("keys", Some(("trust", args))) => trust(args),
        ("keys", Some(("rotate", args))) => rotate(args),
        _ => return Ok(ExitCode::from(Exit::Usage as u8)),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// An argument that the command line requires.
fn needed<'a>(args: &'a ArgMatches, id: &str) -> anyhow::Result<&'a Path> {
    let path = args.get_one::<PathBuf>(id).map(PathBuf::as_path);
    path.ok_or_else(|| ending(Exit::Usage, format!("{id} is missing; see --help")))
}

fn keygen(args: &ArgMatches) -> anyhow::Result<()> {
    let out = needed(args, "out")?;
    let name = out.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (secret_path, public_path) = (with_ending(out, "key"), with_ending(out, "pub"));
    for path in [&secret_path, &public_path] {
        if path.exists() {
            let text = format!(
                "{} is there already, and keys are never written over; give the key another name",
                path.display()
            );
            return Err(ending(Exit::Usage, text));
        }
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| ending(Exit::Failed, format!("the system gives no random numbers: {error}")))?;
    let key = SecretKey::new(&random, name)?;
    write_secret(&secret_path, &format!("{}\n", key.to_line()))?;
    write(&public_path, &format!("{}\n", key.public()))?;
    println!("secret  {}  (keep it off the hosts that it governs)", secret_path.display());
    println!("public  {}", public_path.display());
    println!("key     {}", key.public().id());
    println!("{}", key.public());
    Ok(())
}

/// This name and an ending more.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Writes a file that everybody may read, whole or not at all.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let aside = with_ending(path, "new");
    let done = std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, path));
    done.map_err(|error| ending(Exit::Unwritable, format!("{} cannot be written: {error}", path.display())))
}

/// Reads a document, signed or not.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = |error: std::io::Error| ending(Exit::Usage, format!("{} cannot be read: {error}", path.display()));
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > 2 * DOCUMENT_BYTES_MAX as u64 {
        return Err(SignError::TooLong { bytes: usize::try_from(length).unwrap_or(usize::MAX) }.into());
    }
    std::fs::read(path).map_err(failed)
}

fn sign(args: &ArgMatches) -> anyhow::Result<()> {
    let (file, key_path) = (needed(args, "file")?, needed(args, "key")?);
    let key = SecretKey::parse(&read_secret(key_path)?)
        .map_err(|error| ending(Exit::Usage, format!("{}: {error}", key_path.display())))?;
    let bytes = read(file)?;
    let out = args
        .get_one::<PathBuf>("out")
        .cloned()
        .unwrap_or_else(|| if is_signed(&bytes) { file.to_owned() } else { with_ending(file, SIGNED) });
    let signed = if is_signed(&bytes) {
        once_more(Signed::parse(&bytes)?, &key)?
    } else {
        let text =
            String::from_utf8(bytes).map_err(|error| SignError::NotText { at: error.utf8_error().valid_up_to() })?;
        anew(text, &key, &out, args.get_one::<String>("previous").map(String::as_str))?
    };
    write(&out, &signed.to_text())?;
    println!("{} in {}", describe(signed.statement().header()), out.display());
    println!("digest     {}", signed.statement().digest());
    println!("previous   {}", previous_text(signed.statement().header()));
    for id in signed.signers() {
        println!("signed by  {id}");
    }
    Ok(())
}

fn once_more(mut signed: Signed, key: &SecretKey) -> anyhow::Result<Signed> {
    signed.statement().check()?;
    signed.sign(key)?;
    Ok(signed)
}

/// Signs a document that is not signed, or that is the very one whose signed file is there already.
fn anew(text: String, key: &SecretKey, out: &Path, named: Option<&str>) -> anyhow::Result<Signed> {
    let meta = Meta::of(&text)?;
    let there = if out.exists() { Some(Signed::parse(&read(out)?)?) } else { None };
    if let Some(there) = &there
        && there.statement().document() == text
    {
        return once_more(there.clone(), key);
    }
    let there = there.map(|there| of(there.statement()));
    let previous = match named {
        Some(named) => Some(previous(named)?),
        None => there,
    };
    let header = meta.header(previous)?;
    if let Some(there) = there
        && there.version >= header.version
    {
        let (path, version) = (out.display(), there.version);
        let text = format!("{path} holds version {version} with other content; raise metadata.version and sign again");
        return Err(ending(Exit::Usage, text));
    }
    let statement = Statement::new(header, text)?;
    statement.check()?;
    Ok(Signed::new(statement, key))
}

fn of(statement: &Statement) -> Previous {
    Previous { version: statement.header().version, digest: statement.digest() }
}

/// `--previous`: a file, or `VERSION:SHA256`.
fn previous(named: &str) -> anyhow::Result<Previous> {
    if let Some((version, digest)) = named.split_once(':')
        && let (Ok(version), Some(digest)) = (version.parse(), Digest::parse(digest))
    {
        return Ok(Previous { version, digest });
    }
    let signed = Signed::parse(&read(Path::new(named))?)
        .map_err(|error| ending(Exit::Usage, format!("--previous {named}: {error}")))?;
    Ok(of(signed.statement()))
}

fn describe(header: &Header) -> String {
    format!("{} {}, version {}", header.kind, header.name, header.version)
}

fn previous_text(header: &Header) -> String {
    header.previous.map_or_else(|| "none".to_owned(), |previous| format!("{}:{}", previous.version, previous.digest))
}

/// The public keys in these files, one a line.
fn public_keys(args: &ArgMatches) -> anyhow::Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for path in args.get_many::<PathBuf>("keys").into_iter().flatten() {
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let key = PublicKey::parse(line);
            keys.push(key.map_err(|error| ending(Exit::Usage, format!("{}: {error}", path.display())))?);
        }
    }
    Ok(keys)
}

fn set_of_keys(args: &ArgMatches) -> anyhow::Result<TrustedKeys> {
    let threshold = args.get_one::<usize>("threshold").copied().unwrap_or(1);
    Ok(TrustedKeys::new(0, threshold, public_keys(args)?)?)
}

/// The directory of this host's policy state.
fn directory(args: &ArgMatches) -> anyhow::Result<PathBuf> {
    Ok(PathBuf::from(settings::load(args)?.0.policy.state))
}

/// This host's state; what was found damaged goes to standard error.
fn host_state(args: &ArgMatches) -> anyhow::Result<Ledger> {
    let (ledger, findings) = vault::read(&directory(args)?)?;
    warn(&findings);
    Ok(ledger)
}

fn warn(findings: &[Finding]) {
    for finding in findings {
        eprintln!("hivewall: {finding}");
    }
}

fn verify(args: &ArgMatches) -> anyhow::Result<()> {
    let file = needed(args, "file")?;
    let keys = if args.get_one::<PathBuf>("keys").is_some() {
        set_of_keys(args)?
    } else {
        let keys = host_state(args)?.keys().cloned();
        keys.ok_or_else(|| ending(Exit::Usage, "this host trusts no keys; name public keys with --keys"))?
    };
    let refused = |error: SignError| ending(Exit::Failed, format!("{}: {error}", file.display()));
    let verified = keys.verify(Signed::parse(&read(file)?).map_err(refused)?).map_err(refused)?;
    verified.header().window.check(vault::now()?.wall).map_err(refused)?;
    if is_json(args) {
        println!("{}", serde_json::to_string_pretty(&verified_json(&verified))?);
        return Ok(());
    }
    println!("{}: {}", file.display(), describe(verified.header()));
    println!("digest     {}", verified.digest());
    println!("previous   {}", previous_text(verified.header()));
    let [from, until] = <[Option<String>; 2]>::from(verified.header().window);
    println!("valid      from {} until {}", from.as_deref().unwrap_or("ever"), until.as_deref().unwrap_or("ever"));
    for id in verified.by() {
        let name = keys.keys().iter().find(|key| key.id() == *id).map_or("", PublicKey::name);
        println!("signed by  {id} ({name})");
    }
    for id in verified.unknown() {
        println!("ignored    {id}, which is not trusted");
    }
    Ok(())
}

fn is_json(args: &ArgMatches) -> bool {
    args.get_one::<String>("output").is_some_and(|output| output == "json")
}

fn verified_json(verified: &Verified) -> serde_json::Value {
    let header = verified.header();
    let ids = |ids: &[hivewall_policy::sign::KeyId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let [not_before, not_after] = <[Option<String>; 2]>::from(header.window);
    serde_json::json!({
        "kind": header.kind, "name": header.name, "version": header.version, "digest": verified.digest(),
        "previous": header.previous, "not_before": not_before, "not_after": not_after,
        "signed_by": ids(verified.by()), "ignored": ids(verified.unknown()),
    })
}

fn show(args: &ArgMatches) -> anyhow::Result<()> {
    let ledger = host_state(args)?;
    if is_json(args) {
        let keys = ledger.keys().map(|set| {
            let keys = set.keys().iter();
            let keys: Vec<_> = keys
                .map(|key| serde_json::json!({"id": key.id().to_string(), "name": key.name(), "key": key.to_string()}))
                .collect();
            serde_json::json!({"version": set.version(), "threshold": set.threshold(), "keys": keys})
        });
        let shown = serde_json::json!({
            "trusted": keys, "takes_unsigned": ledger.takes_unsigned(), "highest": ledger.highest(),
        });
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(());
    }
    match ledger.keys() {
        None => println!("this host trusts no keys and takes unsigned policies; see `hivewall policy keys trust`"),
        Some(keys) => print_keys(keys),
    }
    if let Some(highest) = ledger.highest() {
        println!("highest version taken up: {}:{}", highest.version, highest.digest);
    }
    Ok(())
}

fn print_keys(keys: &TrustedKeys) {
    let (needed, count, version) = (keys.threshold(), keys.keys().len(), keys.version());
    println!("{needed} of {count} keys have to sign (version {version} of the keys)");
    for key in keys.keys() {
        println!("{}  {key}", key.id());
    }
}

fn trust(args: &ArgMatches) -> anyhow::Result<()> {
    let keys = set_of_keys(args)?;
    change(args, &Request::Trust { keys, replace: args.get_flag("replace"), who: &who() })
}

fn rotate(args: &ArgMatches) -> anyhow::Result<()> {
    let bytes = read(needed(args, "file")?)?;
    change(args, &Request::Rotate { bytes: &bytes, who: &who() })
}

fn change(args: &ArgMatches, request: &Request<'_>) -> anyhow::Result<()> {
    let (step, findings) = vault::transact(&directory(args)?, &vault::now()?, request)?;
    warn(&findings);
    if let Outcome::Keys { keys } = &step.outcome {
        print_keys(keys);
    }
    Ok(())
}

/// Who this is, for the trail: the user before `sudo`, too.
fn who() -> String {
    let name = |variable: &str| std::env::var(variable).ok().filter(|name| !name.is_empty());
    // The owner of one's own entry in /proc is one's effective user (proc(5)).
    let number = || std::fs::metadata("/proc/self").map_or(String::new(), |me| format!("user {}", me.uid()));
    let user = name("USER").or_else(|| name("LOGNAME")).unwrap_or_else(number);
    name("SUDO_USER").map_or_else(|| user.clone(), |before| format!("{before} as {user}"))
}
