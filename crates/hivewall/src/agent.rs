//! `hivewall run`: the agent on this host.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use hivewall_config::{Backend, Config, Enforcement, Front};
use hivewall_engine::{Event, PolicyTold};
use hivewall_export::LogWriter;
use hivewall_host::bans::{FrontMode, MemoryStore};
use hivewall_host::link::InterfaceFilter;
use hivewall_host::signal::Signals;
use hivewall_host::source::{EbpfOptions, EbpfSource, Hook, PacketSource, Source, SourceError};
use hivewall_view::policy::{FirewallChange, PolicyFailure, PolicyView};

use crate::access;
use crate::collectors::{self, Collectors};
use crate::exit::{Exit, ending};
use crate::fleet::{Fleet, Setting};
use crate::history::History;
use crate::meter::Meter;
use crate::pipeline::{Governed, Pipeline};
use crate::policy::answers::Answers;
use crate::policy::bans::Store;
use crate::policy::enforce::Enforce;
use crate::policy::enforcer::{Enforcer, KernelClock};
use crate::policy::fallback::take_away;
use crate::policy::filters::PacketFilter;
use crate::policy::governor::{Governor, Running, Told};
use crate::reading::Reader;
use crate::sandbox::{Part, Sandbox};
use crate::serve::Bound;
use crate::settings;
use crate::surroundings::Surroundings;
use crate::telemetry::{self, Telemetry};
use crate::watch;

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
    let access = access::open(&config)?;
    let scheme = if access.is_tls() { "https" } else { "http" };
    let log = sandbox.enter(Part::Log, || LogWriter::start(&settings::log_options(&config)))??;
    let (source, keeper) = open(&config, &sandbox)?;
    let about = source.about();
    if let Some(why) = &about.fallback_reason {
        tracing::warn!(source = about.name, why, "capturing by a lesser way");
    }
    let mut pipeline = Pipeline::new(source, &config, Some(log), false);
    if let Some(confinement) = sandbox.confinement(Part::Names).filter(|_| config.names.enabled) {
        pipeline.read_by(Reader::apart(confinement)?);
    }
    pipeline.look_around(Surroundings::open(&config, sandbox.is_on().then(|| Meter::start(&sandbox)).flatten()));
    let policy = keeper.map(|kept| govern(&mut pipeline, kept, &sandbox)).transpose()?.flatten();
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
    export(&mut pipeline, &config, &sandbox)?;
    let fleet = Setting::of(&config, policy.as_ref().map(Running::asks)).map(|setting| (setting, Fleet::new()));
    if let Some((_, (fleet, _))) = &fleet {
        pipeline.belong(fleet.clone());
    }
    let asks = policy.as_ref().map(Running::asks);
    detect(&mut pipeline, &config, &sandbox, (asks, fleet.as_ref().map(|(_, (fleet, _))| fleet.clone())))?;
    let handle = pipeline.handle();
    let telemetry = push(&mut pipeline, &config, &sandbox, handle.clone())?;
    let desk = |(setting, (fleet, orders)): (Setting, (Fleet, _))| {
        let pipeline = handle.clone();
        sandbox.enter(Part::Fleet, move || fleet.run(setting, orders, pipeline))?
    };
    let fleet = fleet.map(desk).transpose()?;
    let serve = |api: Bound| sandbox.enter(Part::Api, || api.serve(handle, access))?;
    let server = api.map(serve).transpose()?;
    sandbox.open_desks()?;
    sandbox.settle(Part::Pipeline);
    if let Some(server) = &server {
        tracing::info!("the API is at {scheme}://{}/ (`hivewall top` shows it, Ctrl-C stops)", server.address);
    }
    let outcome = watch(&mut pipeline, &signals);
    // First who commands, then what carries commands out.
    drop(fleet);
    drop(policy);
    pipeline.finish()?;
    drop((server, telemetry));
    if let Some(totals) = pipeline.close_log()
        && totals.dropped_total() > 0
    {
        tracing::warn!(events = totals.dropped_total(), "events are missing from the log; see `losses` for why");
    }
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// Pushes metrics and alerts to the OpenTelemetry collector of the settings.
fn push(
    pipeline: &mut Pipeline<Box<dyn Source>>,
    config: &Config,
    sandbox: &Sandbox,
    handle: crate::pipeline::Handle,
) -> anyhow::Result<Option<Telemetry>> {
    let Some(options) = telemetry::options(config)? else { return Ok(None) };
    let interval = Duration::from_secs(config.otlp.interval_s);
    let begin = || Telemetry::start(&options, interval, Arc::new(handle));
    let telemetry = sandbox.enter(Part::Export, begin)??;
    pipeline.push_to(telemetry.alerts());
    Ok(Some(telemetry))
}

/// Exports flows to the collectors of the settings.
fn export(pipeline: &mut Pipeline<Box<dyn Source>>, config: &Config, sandbox: &Sandbox) -> anyhow::Result<()> {
    let targets = collectors::targets(config)?;
    if !targets.is_empty() {
        let begin = || Collectors::start(targets, Path::new(&config.export.directory));
        pipeline.export_to(sandbox.enter(Part::Export, begin)??);
    }
    Ok(())
}

/// Starts the detectors and who tells people, with whom they work: who carries responses out, and the fleet.
fn detect(
    pipeline: &mut Pipeline<Box<dyn Source>>,
    config: &Config,
    sandbox: &Sandbox,
    (governor, fleet): (Option<Sender<crate::policy::governor::Ask>>, Option<Fleet>),
) -> anyhow::Result<()> {
    let alerts = Some(PathBuf::from(&config.alerts.directory)).filter(|_| !config.alerts.directory.is_empty());
    if let Some(mut setting) = watch::Setting::of(config, alerts, governor)? {
        let channels = watch::channels(config)?;
        let begin = || watch::Delivery::start(channels, setting.directory.as_deref());
        setting.delivery = Some(sandbox.enter(Part::Delivery, begin)??);
        setting.fleet = fleet;
        if setting.logins {
            // It reads what attackers wrote: no right of the agent's may be left to it.
            setting.journal = sandbox.enter(Part::Delivery, watch::follow_journal)?;
        }
        pipeline.detect(sandbox.enter(Part::Detect, || watch::Watch::apart(setting))??);
    }
    Ok(())
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

/// Starts the policy's thread beside the pipeline.
fn govern(
    pipeline: &mut Pipeline<Box<dyn Source>>,
    Kept { governor, news, changes }: Kept,
    sandbox: &Sandbox,
) -> anyhow::Result<Option<Running>> {
    let (hold, holds) = channel();
    let running =
        governor.map(|governor| sandbox.enter(Part::Policy, || governor.run(hold))).transpose()?.transpose()?;
    let answers = running.as_ref().map(|running| Answers::new(running.asks()));
    pipeline.govern(Governed { news, holds, changes }, answers);
    Ok(running)
}

/// The policy's keeper, or none where that failed, and what it tells.
struct Kept {
    governor: Option<Governor>,
    news: Receiver<Event<'static>>,
    changes: Receiver<FirewallChange>,
}

/// None where no policy is wanted.
type Keeper = Option<Kept>;

fn governor(keeper: &Keeper) -> Option<&Governor> {
    keeper.as_ref()?.governor.as_ref()
}

/// Begins to keep a policy, by this and with bans in that.
fn keep(config: &Config, enforcer: anyhow::Result<Box<dyn Enforce>>, bans: Store) -> Kept {
    let ((news, told_news), (changes, told_changes)) = (channel(), channel());
    let told = Told { news: news.clone(), changes };
    let governor = enforcer.and_then(|enforcer| Governor::begin(config, enforcer, bans, told));
    let governor = governor.map_err(|error| {
        // Packets are seen all the same, and what the kernel holds goes on to hold.
        let detail = format!("no policy can be changed until this is mended, what the kernel holds stays: {error:#}");
        tracing::error!("{detail}");
        let failure = PolicyFailure { kind: "not_kept".to_owned(), subject: None, detail: detail.clone() };
        let view = PolicyView { problems: vec![detail], failures: vec![failure], ..PolicyView::default() };
        // The other end is below.
        let _ = news.send(Event::Policy(Box::new(PolicyTold { view, ..PolicyTold::default() })));
    });
    Kept { governor: governor.ok(), news: told_news, changes: told_changes }
}

/// The policy in a packet filter, where that is configured: in force before anything is captured.
fn keep_by_filter(config: &Config) -> Keeper {
    if config.policy.state.is_empty() || config.policy.backend == Enforcement::Ebpf {
        return None;
    }
    let filter = PacketFilter::open(config).map(|filter| -> Box<dyn Enforce> { Box::new(filter) });
    Some(keep(config, filter, Box::new(MemoryStore::default())))
}

/// Attaches to the interfaces there are. Where a policy holds, none need be there yet: at boot the agent comes before
/// the network, and each interface is attached to when it appears.
fn start(source: &mut EbpfSource, keeper: &Keeper) -> Result<(), SourceError> {
    match source.start() {
        Err(error @ SourceError::NoInterface { .. }) if governor(keeper).is_some_and(Governor::has_policy) => {
            tracing::warn!(%error, "waiting for an interface; each is attached to when it appears, and the policy holds from then on");
            Ok(())
        }
        other => other,
    }
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
        if governor(by_filter).is_some() {
            // What an agent before this one left to hold: the packet filter has the policy now.
            enforcer.clear()?;
            source.release()?;
        }
        start(&mut source, by_filter)?;
        return Ok((Box::new(source), None));
    }
    let keeper = Some(keep(config, Ok(Box::new(enforcer)), Box::new(source.ban_maps()?)));
    if governor(&keeper).is_some_and(Governor::holds_datapath) {
        source.hold()?;
    }
    start(&mut source, &keeper)?;
    if let Some(governor) = governor(&keeper) {
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
