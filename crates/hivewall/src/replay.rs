//! `hivewall replay FILE`: the same pipeline over a capture, in virtual time and without privileges.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ArgMatches;
use hivewall_api::Access;
use hivewall_config::Config;
use hivewall_export::LogWriter;
use hivewall_host::signal::Signals;
use hivewall_host::source::{FileSource, Progress, random_seed};
use hivewall_model::Timestamp;

use crate::exit::{Exit, ending};
use crate::flows::{FlowPrinter, Format, print_snapshot};
use crate::history::History;
use crate::pipeline::Pipeline;
use crate::progress;
use crate::serve::Server;
use crate::settings;
use crate::watch;

/// Lines of the flow cache in user space: 1 MiB, which stays in the processor's own cache.
const LINES: u32 = 1 << 14;

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, _) = settings::load(args)?;
    settings::start_messages(config.agent.log_level.name());
    let Some(path) = args.get_one::<PathBuf>("file") else {
        return Err(ending(Exit::Usage, "no capture file named"));
    };
    let signals = Signals::catch().map_err(|error| ending(Exit::Failed, format!("cannot catch signals: {error}")))?;
    let lines = config.capture.flow_cache_lines().unwrap_or(LINES);
    let seed = random_seed().map_err(hivewall_host::source::SourceError::from)?;
    let mut source = FileSource::open(path, lines, seed).with_context(|| path.display().to_string())?;
    source.peek(config.names.enabled);
    // The log takes standard output only when it was asked for; else the answer is the overview at the end.
    let wants_log =
        args.value_source("log.format") == Some(clap::parser::ValueSource::CommandLine) || config.log.file().is_some();
    let log = if wants_log { Some(LogWriter::start(&settings::log_options(&config))?) } else { None };
    let mut pipeline = Pipeline::new(source, &config, log, true);
    if let Some(mut setting) = watch::Setting::of(&config, None, None)? {
        setting.captures = evidence(&config, args)?;
        pipeline.detect(watch::Watch::here(setting)?);
    }
    // Only where it was asked for: what a capture holds is not this host's history.
    if args.value_source("history.directory") == Some(clap::parser::ValueSource::CommandLine)
        && let Some(directory) = config.history.directory()
    {
        pipeline.keep_history(History::open(directory, &config)?);
    }
    let format = args.get_one::<Format>("output").copied();
    let rows = format.filter(|format| matches!(format, Format::Jsonl | Format::Csv));
    if let Some(format) = rows {
        pipeline.print_flows(FlowPrinter::start(format)?);
    }
    let serve = args.get_flag("serve");
    let server = if serve { Some(Server::start(config.api.listen, pipeline.handle(), Access::none())?) } else { None };
    if let Some(server) = &server {
        tracing::info!("the API is at http://{}/", server.address);
    }
    play(&mut pipeline, args.get_one::<String>("speed").is_some_and(|speed| speed == "real"), &signals)?;
    let failure = pipeline.source.failure();
    pipeline.finish()?;
    pipeline.end_printing()?;
    if rows.is_none() && (!wants_log || format.is_some()) {
        let mut out = std::io::stdout().lock();
        print_snapshot(&mut out, &pipeline.snapshot(), format.unwrap_or(Format::Table))?;
        out.flush()?;
    }
    if serve {
        tracing::info!("the capture is over; the API stays until Ctrl-C");
        while !signals.stop() {
            pipeline.answer_within(Duration::from_millis(200));
        }
    }
    drop(server);
    if let Some(totals) = pipeline.close_log()
        && totals.dropped_total() > 0
    {
        return Err(ending(
            Exit::Unwritable,
            format!("{} of {} events could not be written to the log", totals.dropped_total(), totals.accepted),
        ));
    }
    match failure {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(anyhow::Error::new(hivewall_host::source::SourceError::File(error))
            .context(format!("{} could not be read to its end; everything before was used", path.display()))),
    }
}

/// Where packets that alerts rest on go. Alerts of a replay are kept nowhere, so that their packets are only where it is said.
fn evidence(config: &Config, args: &ArgMatches) -> anyhow::Result<Option<watch::CapturePlace>> {
    let Some(directory) = args.get_one::<PathBuf>("evidence") else { return Ok(None) };
    let place = watch::CapturePlace::of(config.alerts.capture, directory.clone(), false);
    let off = "--evidence writes nothing while alerts.capture is off; set it to headers or peek with --alerts-capture";
    place.map(Some).ok_or_else(|| ending(Exit::Usage, off))
}

fn play(pipeline: &mut Pipeline<FileSource>, real_time: bool, signals: &Signals) -> anyhow::Result<()> {
    let bar = progress::bytes(pipeline.source.position().1.filter(|_| std::io::stderr().is_terminal()));
    let began = Instant::now();
    let mut first: Option<Timestamp> = None;
    loop {
        let progress = pipeline.step(Duration::ZERO)?;
        bar.set_position(pipeline.source.position().0);
        bar.set_message(format!("{} packets", pipeline.source.packets()));
        if progress == Progress::End || signals.stop() {
            break;
        }
        if real_time {
            let now = pipeline.engine.now();
            let due = now.since(*first.get_or_insert(now));
            while began.elapsed() < due && !signals.stop() {
                pipeline.answer_within(due.saturating_sub(began.elapsed()).min(Duration::from_millis(50)));
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}
