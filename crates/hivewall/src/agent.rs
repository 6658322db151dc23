//! `hivewall run`: the agent on this host.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use hivewall_config::{Backend, Config, Enforcement, Front};
use hivewall_engine::Event;
use hivewall_export::LogWriter;
use hivewall_host::bans::{FrontMode, MemoryStore};
use hivewall_host::link::InterfaceFilter;
use hivewall_host::signal::Signals;
use hivewall_host::source::{EbpfOptions, EbpfSource, Hook, PacketSource, Source, SourceError};

use crate::exit::{Exit, ending};
use crate::history::History;
use crate::meter::Meter;
use crate::pipeline::{Governed, Pipeline};
use crate::policy::answers::Answers;
use crate::policy::bans::Store;
use crate::policy::enforce::Enforce;
use crate::policy::enforcer::{Enforcer, KernelClock};
use crate::policy::fallback::take_away;
use crate::policy::filters::PacketFilter;
use crate::policy::governor::{Governor, Running};
use crate::reading::Reader;
use crate::sandbox::{Part, Sandbox};
use crate::serve::Bound;
use crate::settings;
use crate::surroundings::Surroundings;

/// Longest a poll waits, and so the longest a question does.
const POLL: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, _) = settings::load(args)?;
    settings::start_messages(config.agent.log_level.name());
    let signals = Signals::catch().map_err(|error| ending(Exit::Failed, format!("cannot catch signals: {error}")))?;
    let sandbox = Sandbox::of_agent(&config)?;
    // Before the kernel is touched: a second agent by mistake must not disturb the first.
    let api = if config.api.enabled { Some(Bound::to(config.api.listen)?) } else { None };
    // Before anybody can ask: who finds the port taken finds the token, too.
    let access = access();
    let log = sandbox.enter(Part::Log, || LogWriter::start(&settings::log_options(&config)))??;
    let (source, governor) = open(&config, &sandbox)?;
    let about = source.about();
    if let Some(why) = &about.fallback_reason {
        tracing::warn!(source = about.name, why, "capturing by a lesser way");
    }
    let mut pipeline = Pipeline::new(source, &config, Some(log), false);
    if let Some(confinement) = sandbox.confinement(Part::Names).filter(|_| config.names.enabled) {
        pipeline.read_by(Reader::apart(confinement)?);
    }
    pipeline.look_around(Surroundings::open(&config, sandbox.is_on().then(|| Meter::start(&sandbox)).flatten()));
    let policy = governor.map(|(governor, news)| govern(&mut pipeline, governor, news, &sandbox)).transpose()?;
    if let Some(directory) = config.history.directory() {
        match sandbox.enter(Part::History, || History::open(directory, &config))? {
            Ok(history) => pipeline.keep_history(history),
            // Packets matter more than their history: the agent goes on, and the snapshot says so.
            Err(error) => {
                tracing::warn!(%error, "no history is kept");
                pipeline.miss_history(error.to_string());
            }
        }
    }
    let handle = pipeline.handle();
    let serve = |api: Bound| sandbox.enter(Part::Api, || api.serve(handle, access))?;
    let server = api.map(serve).transpose()?;
    sandbox.open_desks()?;
    sandbox.settle(Part::Pipeline);
    if let Some(server) = &server {
        tracing::info!("the API is at http://{}/ (`hivewall top` shows it, Ctrl-C stops)", server.address);
    }
    let outcome = watch(&mut pipeline, &signals);
    // First who commands, then what carries commands out.
    drop(policy);
    pipeline.finish()?;
    drop(server);
    if let Some(totals) = pipeline.close_log()
        && totals.dropped_total() > 0
    {
        tracing::warn!(events = totals.dropped_total(), "events are missing from the log; see `losses` for why");
    }
    outcome?;
    Ok(ExitCode::SUCCESS)
}

fn watch(pipeline: &mut Pipeline<Box<dyn Source>>, signals: &Signals) -> Result<(), SourceError> {
    loop {
        if signals.stop() {
            tracing::info!("stopping: handing over what the kernel still holds");
            return Ok(());
        }
        if signals.take_reopen() {
            pipeline.reopen_log();
        }
        pipeline.step(POLL)?;
    }
}

/// Who may command.
fn access() -> hivewall_api::Access {
    crate::token::access(crate::token::file()).unwrap_or_else(|error| {
        tracing::warn!("no commands are taken over the API: {error:#}");
        hivewall_api::Access::none()
    })
}

/// Starts the policy's thread beside the pipeline.
fn govern(
    pipeline: &mut Pipeline<Box<dyn Source>>,
    governor: Governor,
    news: Receiver<Event<'static>>,
    sandbox: &Sandbox,
) -> anyhow::Result<Running> {
    let (hold, holds) = channel();
    let running = sandbox.enter(Part::Policy, || governor.run(hold))??;
    pipeline.govern(Governed { news, holds }, Answers::new(running.asks()));
    Ok(running)
}

/// The policy's keeper, and what it will tell.
type Keeper = Option<(Governor, Receiver<Event<'static>>)>;

/// Begins to keep a policy, by this and with bans in that.
fn keep(config: &Config, enforcer: anyhow::Result<Box<dyn Enforce>>, bans: Store) -> Keeper {
    let (news, told) = channel();
    match enforcer.and_then(|enforcer| Governor::begin(config, enforcer, bans, news)) {
        Ok(governor) => Some((governor, told)),
        Err(error) => {
            // Packets are seen all the same, and what the kernel holds goes on to hold.
            tracing::error!(error = format!("{error:#}"), "no policy can be changed until this is mended");
            None
        }
    }
}

/// The policy in a packet filter, where that is configured: in force before anything is captured.
fn keep_by_filter(config: &Config) -> Keeper {
    if config.policy.state.is_empty() || config.policy.backend == Enforcement::Ebpf {
        return None;
    }
    let filter = PacketFilter::open(config).map(|filter| -> Box<dyn Enforce> { Box::new(filter) });
    keep(config, filter, Box::new(MemoryStore::default()))
}

/// Loads the datapath, puts the last good policy into it, and only then attaches it: from its first packet on it judges.
fn open_governed(
    config: &Config,
    options: EbpfOptions,
    by_filter: &Keeper,
) -> anyhow::Result<(Box<dyn Source>, Keeper)> {
    let mut source = EbpfSource::prepare(options)?;
    if config.policy.state.is_empty() {
        source.start()?;
        return Ok((Box::new(source), None));
    }
    let (ticks, per_second) = source.ticks();
    let clock = KernelClock { ticks, per_second, read: Instant::now() };
    let mut enforcer = Enforcer::new(source.policy_maps()?, clock);
    if config.policy.backend != Enforcement::Ebpf {
        if by_filter.is_some() {
            // What an agent before this one left to hold: the packet filter has the policy now.
            enforcer.clear()?;
            source.release()?;
        }
        source.start()?;
        return Ok((Box::new(source), None));
    }
    let keeper = keep(config, Ok(Box::new(enforcer)), Box::new(source.ban_maps()?));
    if keeper.as_ref().is_some_and(|(governor, _)| governor.holds_datapath()) {
        source.hold()?;
    }
    source.start()?;
    if let Some((governor, _)) = &keeper {
        if !governor.holds_datapath() {
            // What an agent before this one left to hold was taken back meanwhile.
            source.release()?;
        }
        if let Err(error) = take_away(Path::new(&config.policy.state)) {
            let error = format!("{error:#}");
            tracing::error!(error, "what an agent before this one put into the packet filter is still there");
        }
    }
    Ok((Box::new(source), keeper))
}

/// The best source there is, or the one that was asked for.
fn open(config: &Config, sandbox: &Sandbox) -> anyhow::Result<(Box<dyn Source>, Keeper)> {
    let by_filter = sandbox.enter(Part::Policy, || keep_by_filter(config))?;
    let patterns = config.capture.interfaces.iter().map(ToString::to_string);
    let filter = InterfaceFilter::new(patterns, config.capture.loopback).map_err(|error| ending(Exit::Usage, error))?;
    let hook = match config.capture.backend {
        Backend::Auto => Hook::Auto,
        Backend::Ebpf | Backend::EbpfTcx => Hook::Tcx,
        Backend::EbpfClsact => Hook::Clsact,
        Backend::AfPacket => {
            let source = PacketSource::open(filter, config.capture.sweep_interval(), None)?;
            return Ok((packets(source, config), by_filter));
        }
    };
    let options = EbpfOptions {
        filter: filter.clone(),
        lines: config.capture.flow_cache_lines(),
        slots: Some(config.capture.ring_slots),
        sweep: config.capture.sweep_interval(),
        hook: if config.capture.backend == Backend::Ebpf { Hook::Auto } else { hook },
        peeks_per_second: Some(peeks(config)),
        pins: Some(PathBuf::from(&config.policy.pins)).filter(|_| !config.policy.pins.is_empty()),
        front: match config.policy.front {
            Front::Native => Some(FrontMode::Native),
            Front::Generic => Some(FrontMode::Generic),
            Front::Off => None,
        },
    };
    match open_governed(config, options, &by_filter) {
        Ok((source, keeper)) => Ok((source, keeper.or(by_filter))),
        Err(error) if matches!(error.downcast_ref(), Some(SourceError::NoInterface { .. })) => Err(error),
        Err(error) if config.capture.backend == Backend::Auto => {
            let why = format!("eBPF is not to be had: {}", first_line(&error.to_string()));
            match PacketSource::open(filter, config.capture.sweep_interval(), Some(why)) {
                Ok(source) => Ok((packets(source, config), by_filter)),
                // Both ways fail for want of privilege: say so once, by the better way's name.
                Err(_) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn packets(mut source: PacketSource, config: &Config) -> Box<dyn Source> {
    source.peek(config.names.enabled);
    Box::new(source)
}

/// Packets whose first bytes are copied, for each CPU and second; 0 for none.
fn peeks(config: &Config) -> u32 {
    if config.names.enabled { config.names.peeks_per_second } else { 0 }
}

/// A verifier's log can be long; its place is `--log-level debug`.
fn first_line(text: &str) -> &str {
    tracing::debug!(text);
    text.lines().next().unwrap_or(text)
}
