//! `hivewall report`: one page for a person who was away, as HTML with charts or as text.
//!
//! Everything comes over the API of a running agent: traffic from its history, alerts from its detectors, the rest from its
//! snapshot. Deliberately not here: how it looks (`html`, `text`). Invariant: what could not be had is named on the page.

mod html;
mod text;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use hivewall_view::alerts::{Alert, AlertPage, Severity};
use hivewall_view::fleet::FleetView;
use hivewall_view::units::parse_duration;
use hivewall_view::{SeriesPage, Snapshot, TopPage};

use crate::cli;
use crate::client::Client;
use crate::exit::{Exit, ending};

/// Points of the chart of traffic, at the most.
const POINTS: u64 = 168;
/// Rows of a table.
const ROWS: usize = 10;
/// Alerts that are asked for.
const ALERTS_MAX: usize = 1000;

/// Everything on the page.
pub(crate) struct Report {
    span: String,
    snapshot: Snapshot,
    fleet: Option<FleetView>,
    traffic: Option<SeriesPage>,
    tops: Vec<(&'static str, TopPage)>,
    alerts: Vec<Alert>,
    alerts_matched: u64,
    /// What could not be had, and why.
    missing: Vec<String>,
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

impl Report {
    /// Alerts of a severity.
    fn count(&self, severity: Severity) -> usize {
        self.alerts.iter().filter(|alert| alert.severity == severity).count()
    }

    /// What a person should know first.
    fn headline(&self) -> String {
        let urgent = self.count(Severity::Critical) + self.count(Severity::High);
        let open = self.alerts.iter().filter(|alert| alert.acknowledged.is_none()).count();
        match (urgent, open) {
            (0, 0) => format!("Nothing happened in the last {} that somebody should look at.", self.span),
            (0, open) => format!("{open} alert{} in the last {}, none high or critical.", plural(open), self.span),
            (urgent, open) => format!(
                "{urgent} alert{} of high or critical severity in the last {}, {open} not acknowledged yet.",
                plural(urgent),
                self.span
            ),
        }
    }

    /// Alerts by detector and severity, the worst first.
    fn kinds(&self) -> Vec<(String, Severity, usize, String)> {
        let mut kinds: Vec<(String, Severity, usize, String)> = Vec::new();
        for alert in &self.alerts {
            match kinds.iter_mut().find(|(title, severity, ..)| *title == alert.title && *severity == alert.severity) {
                Some((_, _, count, _)) => *count += 1,
                None => kinds.push((alert.title.clone(), alert.severity, 1, alert.message.clone())),
            }
        }
        kinds.sort_by(|one, other| other.1.cmp(&one.1).then(other.2.cmp(&one.2)));
        kinds
    }
}

/// The command line.
pub(crate) fn command() -> Command {
    Command::new("report")
        .about("Write one page about what happened while you were away, as HTML with charts or as text")
        .arg(cli::host())
        .arg(
            Arg::new("last")
                .long("last")
                .value_name("SPAN")
                .default_value("7d")
                .help("How far back, such as 24h or 30d"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_parser(["html", "text"])
                .help("html or text [default: by the file's name, text on a terminal, html in a pipe]"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .short('o')
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("File to write [default: standard output]"),
        )
}

/// Asks an agent and writes the page.
pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let span = args.get_one::<String>("last").cloned().unwrap_or_default();
    let length = parse_duration(&span).filter(|length| *length >= Duration::from_secs(60)).ok_or_else(|| {
        ending(
            Exit::Usage,
            format!("--last is {span:?}, which is no time span of a minute or more; write it as 24h or 7d"),
        )
    })?;
    let report = gather(&Client::from(args), &span, length)?;
    let file = args.get_one::<PathBuf>("output");
    let is_html = match (args.get_one::<String>("format").map(String::as_str), file) {
        (Some(format), _) => format == "html",
        (None, Some(file)) => {
            file.extension().is_some_and(|end| end.eq_ignore_ascii_case("html") || end.eq_ignore_ascii_case("htm"))
        }
        (None, None) => !std::io::IsTerminal::is_terminal(&std::io::stdout()),
    };
    let page = if is_html { html::page(&report) } else { text::page(&report) };
    if let Some(file) = file {
        std::fs::write(file, page)
            .map_err(|error| ending(Exit::Unwritable, format!("{} cannot be written: {error}", file.display())))?;
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(page.as_bytes())?;
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What it says, or a line about why not.
fn or_missing<T>(missing: &mut Vec<String>, what: &str, asked: anyhow::Result<T>) -> Option<T> {
    asked.map_err(|error| missing.push(format!("{what}: {error:#}"))).ok()
}

fn gather(client: &Client, span: &str, length: Duration) -> anyhow::Result<Report> {
    let snapshot: Snapshot = client.get("snapshot", &[])?;
    let mut missing = Vec::new();
    let parameter = |name: &str, value: String| (name.to_owned(), value);
    let last = || parameter("last", span.to_owned());
    let step = format!("{}s", (length.as_secs() / POINTS).max(60));
    let series = client.get("series", &[last(), parameter("step", step)]);
    let traffic = or_missing(&mut missing, "traffic over time", series);
    let mut tops = Vec::new();
    if traffic.is_some() {
        for (title, by) in
            [("Addresses", "address"), ("Services", "service"), ("Processes", "process"), ("Protocols", "protocol")]
        {
            let asked = [last(), parameter("by", by.to_owned()), parameter("limit", ROWS.to_string())];
            tops.extend(or_missing(&mut missing, title, client.get("top", &asked)).map(|page| (title, page)));
        }
    }
    let asked = [
        parameter("since", span.to_owned()),
        parameter("severity", "low".to_owned()),
        parameter("all", "true".to_owned()),
        parameter("limit", ALERTS_MAX.to_string()),
    ];
    let alerts: Option<AlertPage> = or_missing(&mut missing, "alerts", client.get("alerts", &asked));
    let alerts = alerts.unwrap_or_default();
    let fleet = or_missing(&mut missing, "the fleet", client.get_where_there_is("fleet")).flatten();
    Ok(Report {
        span: span.to_owned(),
        snapshot,
        fleet,
        traffic,
        tops,
        alerts_matched: alerts.matched,
        alerts: alerts.alerts,
        missing,
    })
}
