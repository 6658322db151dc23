//! `hivewall demo`: a small fleet in one process, without privileges: made-up traffic through the datapath in user space,
//! the real engine, real links and gossip on loopback, and everybody's API.
//!
//! Invariant: nothing leaves the loopback, and nothing of it is left behind.

mod source;
mod talk;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use hivewall_api::Access;
use hivewall_cluster::{Flags, Persist};
use hivewall_config::Config;
use hivewall_host::signal::Signals;
use hivewall_host::source::random_seed;
use hivewall_net::Description;
use hivewall_trust::{Charter, HostKey, Identity, Root};

use self::source::DemoSource;
use self::talk::address;
use crate::exit::{Exit, ending};
use crate::fleet::disk::{Directory, Facts};
use crate::fleet::{Fleet, Running, Setting};
use crate::history::History;
use crate::pipeline::Pipeline;
use crate::serve::Server;
use crate::settings;
use crate::system::random;
use crate::token;
use crate::watch::{self, Watch};

/// Most hosts: each is a handful of threads.
const HOSTS_MAX: u16 = 32;
/// How long a poll of a host may wait.
const POLL: Duration = Duration::from_millis(50);
/// What hosts are called, and their labels.
const ROLES: [&str; 4] = ["web", "db", "cache", "edge"];

/// The command line.
pub(crate) fn command() -> Command {
    let command = Command::new("demo")
        .about("Run a small fleet with made-up traffic in one process, without privileges")
        .long_about(
            "Run a small fleet in one process: made-up traffic, real flows, real gossip on loopback. Needs no privileges and leaves \
             nothing behind. Try `hivewall top --fleet`, `hivewall cluster status`, `hivewall flows --fleet` beside it.",
        )
        .arg(
            Arg::new("hosts")
                .long("hosts")
                .value_name("NUMBER")
                .default_value("5")
                .value_parser(value_parser!(u16).range(1..=i64::from(HOSTS_MAX)))
                .help("How many hosts"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64))
                .help("End after so long [default: at Ctrl-C]"),
        );
    settings::add(command, &["api", "agent"])
}

/// Keeps the state of all hosts while the demo runs.
struct State(PathBuf);

impl State {
    /// Where the token of the first host is, for whoever logs in or commands.
    fn token(&self) -> PathBuf {
        token::named().unwrap_or_else(|| self.0.join("token"))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One host.
struct Host {
    name: String,
    server: Server,
    running: Option<Running>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, _) = settings::load(args)?;
    settings::start_messages(config.agent.log_level.name());
    let signals = Signals::catch().map_err(|error| ending(Exit::Failed, format!("cannot catch signals: {error}")))?;
    let number = args.get_one::<u16>("hosts").copied().unwrap_or(5);
    let end = args.get_one::<u64>("seconds").map(|seconds| Instant::now() + Duration::from_secs(*seconds));
    let state = State(std::env::temp_dir().join(format!("hivewall-demo-{}", std::process::id())));
    let identities = identities(number)?;
    let ports = free_ports(number)?;
    let mut hosts = Vec::new();
    for (at, identity) in identities.into_iter().enumerate() {
        let host =
            start(&config, &state, at, identity, &ports).with_context(|| format!("host {} of the demo", at + 1))?;
        println!("{:<8} http://{}/", host.name, host.server.address);
        hosts.push(host);
    }
    println!("{number} hosts; `hivewall top --fleet` shows them together, Ctrl-C ends them");
    println!("logging in at the first takes the token in {}", state.token().display());
    while !signals.stop() && end.is_none_or(|end| Instant::now() < end) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    drop(hosts);
    drop(state);
    Ok(ExitCode::SUCCESS)
}

/// Members of a cluster of their own, with its charter.
fn identities(number: u16) -> anyhow::Result<Vec<(Identity, hivewall_cluster::Policy)>> {
    let root = Root::from_seed(random()?);
    let now_s = crate::fleet::now_unix_s();
    let first = Identity::first(&root, HostKey::from_seed(random()?), now_s)?;
    let enroller = first.enroller().context("the first host may admit others")?;
    let charter = root.sign_charter(&Charter::first(root.cluster(), "demo"))?;
    let mut all = vec![(first, charter.clone())];
    for _ in 1..number {
        let key = HostKey::from_seed(random()?);
        let papers = enroller.issue(key.public(), now_s)?;
        all.push((Identity::new(key, papers, None)?, charter.clone()));
    }
    Ok(all)
}

/// UDP ports of the loopback that nobody uses now.
fn free_ports(number: u16) -> anyhow::Result<Vec<u16>> {
    let sockets: Vec<UdpSocket> =
        (0..number).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    Ok(sockets.iter().map(|socket| socket.local_addr().map(|address| address.port())).collect::<Result<_, _>>()?)
}

fn start(
    config: &Config,
    state: &State,
    at: usize,
    (identity, charter): (Identity, hivewall_cluster::Policy),
    ports: &[u16],
) -> anyhow::Result<Host> {
    let role = ROLES.get(at % ROLES.len()).copied().unwrap_or("web");
    let name = format!("{role}-{}", at / ROLES.len() + 1);
    let directory = Directory::at(&state.0.join(&name).display().to_string());
    directory.make()?;
    Facts::open(&directory)?.persist(&Persist::Policy(charter))?;
    directory.keep_identity(&identity)?;
    let loopback = |port: &u16| SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
    let listen = ports.get(at).map(loopback).context("a port for each host")?;
    let setting = Setting {
        directory,
        listen,
        seeds: ports.first().map(loopback).into_iter().filter(|seed| *seed != listen).collect(),
        about: Description {
            name: name.clone(),
            labels: [("role".to_owned(), role.to_owned()), ("env".to_owned(), "demo".to_owned())].into(),
            flags: Flags::default(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            // The second is where its traffic is; nobody reaches it there.
            advertise: vec![listen, SocketAddr::from((address(at as u64), listen.port()))],
        },
        discover: false,
        management_port: 22,
        governor: None,
    };
    let mut own = config.clone();
    own.agent.name.clone_from(&name);
    // The host's own log of logins has nothing to do with the demo.
    own.detect.logins = false;
    let seed = random_seed().map_err(hivewall_host::source::SourceError::from)?;
    let mut pipeline = Pipeline::new(DemoSource::new(at as u64, ports.len() as u64, seed), &own, None, false);
    let (fleet, orders) = Fleet::new();
    pipeline.belong(fleet.clone());
    let kept = state.0.join(&name);
    pipeline.keep_history(History::open(&kept.join("history"), &own)?);
    if let Some(mut setting) = watch::Setting::of(&own, Some(kept.join("alerts")), None)? {
        setting.fleet = Some(fleet.clone());
        pipeline.detect(Watch::here(setting)?);
    }
    let handle = pipeline.handle();
    let running = fleet.run(setting, orders, handle.clone())?;
    // The first is where every command looks, and the one that takes commands; the others wherever there is room.
    let (api, access) = if at == 0 {
        (config.api.listen, token::access(state.token())?)
    } else {
        (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Access::none())
    };
    let server = Server::start(api, handle, access)?;
    let stop = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            if let Err(error) = pipeline.step(POLL) {
                tracing::error!(%error, "a host of the demo has ended");
                return;
            }
        }
    })?;
    Ok(Host { name, server, running: Some(running), stop, thread: Some(thread) })
}

impl Drop for Host {
    fn drop(&mut self) {
        self.running = None;
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
