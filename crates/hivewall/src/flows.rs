//! `hivewall flows` and `hivewall snapshot`: questions to a running agent, and how rows are printed.

use std::io::{BufRead as _, BufWriter, IsTerminal as _, Stdout, Write};
use std::process::ExitCode;
use std::sync::mpsc::Sender;

use anyhow::Context as _;
use clap::{ArgMatches, ValueEnum};
use hivewall_view::fields::{csv_header, csv_line, csv_values, render_table};
use hivewall_view::{FlowPage, FlowRow, Snapshot, render_snapshot_text};

use crate::cli;
use crate::client::Client;
use crate::fleet_client;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
}

/// Columns of an overview that does not go to a terminal.
pub(crate) const PIPE_WIDTH: usize = 100;

/// Width of the terminal, or none when the output goes elsewhere.
pub(crate) fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    hivewall_tui::terminal_width()
}

pub(crate) fn print_snapshot(out: &mut dyn Write, snapshot: &Snapshot, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => write!(out, "{}", render_snapshot_text(snapshot, width().unwrap_or(PIPE_WIDTH)))?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(snapshot)?)?,
        Format::Jsonl => writeln!(out, "{}", serde_json::to_string(snapshot)?)?,
        Format::Csv => anyhow::bail!("a snapshot has no CSV form; use -o json, or `hivewall flows -o csv` for flows"),
    }
    Ok(())
}

pub(crate) fn print_flows(out: &mut dyn Write, flows: &[FlowRow], format: Format, header: bool) -> anyhow::Result<()> {
    match format {
        Format::Table => write!(out, "{}", render_table(flows, width()))?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(flows)?)?,
        Format::Jsonl => {
            for flow in flows {
                writeln!(out, "{}", serde_json::to_string(flow)?)?;
            }
        }
        Format::Csv => {
            if header {
                write!(out, "{}", csv_line(csv_header()))?;
            }
            for flow in flows {
                write!(out, "{}", csv_line(csv_values(flow)))?;
            }
        }
    }
    Ok(())
}

/// Flows row by row as they close: their number is bounded by nothing kept in memory.
pub(crate) struct FlowPrinter(Printed);

/// Where they go.
enum Printed {
    Text(BufWriter<Stdout>, Format),
    Rows(Sender<FlowRow>),
}

impl FlowPrinter {
    /// Begins on standard output, with a header where the format has one.
    pub(crate) fn start(format: Format) -> anyhow::Result<Self> {
        let mut out = BufWriter::new(std::io::stdout());
        print_flows(&mut out, &[], format, true)?;
        Ok(Self(Printed::Text(out, format)))
    }

    /// Hands rows to whoever takes them at the other end.
    pub(crate) fn to(rows: Sender<FlowRow>) -> Self {
        Self(Printed::Rows(rows))
    }

    /// Prints one row.
    pub(crate) fn print(&mut self, row: &FlowRow) -> anyhow::Result<()> {
        match &mut self.0 {
            Printed::Text(out, format) => print_flows(out, std::slice::from_ref(row), *format, false),
            Printed::Rows(rows) => rows.send(row.clone()).context("nobody takes the flows any more"),
        }
    }

    /// Writes what is still held.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self.0 {
            Printed::Text(mut out, _) => Ok(out.flush()?),
            Printed::Rows(_) => Ok(()),
        }
    }
}

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let client = Client::from(args);
    let format = args.get_one::<Format>("output").copied().unwrap_or(Format::Table);
    let mut parameters = cli::filter_parameters(args)?;
    let mut out = std::io::stdout().lock();
    if args.get_flag("follow") {
        return follow(&client, &parameters, format, &mut out);
    }
    for name in ["sort", "limit", "offset"] {
        if let Some(value) = args.get_one::<String>(name) {
            parameters.push((name.to_owned(), value.clone()));
        }
    }
    // Whoever asks about a time means all of it, however little of it is still in memory.
    if args.get_flag("history") || parameters.iter().any(|(name, _)| matches!(name.as_str(), "from" | "to" | "last")) {
        parameters.push(("history".to_owned(), "true".to_owned()));
    }
    if fleet_client::asked(args) {
        drop(out);
        return fleet_client::flows(&client, &parameters, format);
    }
    let page: FlowPage = client.get("flows", &parameters)?;
    print_flows(&mut out, &page.flows, format, true)?;
    out.flush()?;
    tell_rest(&page, format);
    Ok(ExitCode::SUCCESS)
}

/// On a terminal: what is not on this page, and how far back the answer goes.
fn tell_rest(page: &FlowPage, format: Format) {
    if format != Format::Table {
        return;
    }
    let shown = page.flows.len() as u64;
    let mut line = format!("{shown} of {} matching flows, {} searched", page.matched, page.searched);
    if page.matched > shown {
        line.push_str("; --limit shows more");
    }
    if let Some(oldest) = &page.reaches_back_to {
        line.push_str("; closed flows are kept since ");
        line.push_str(oldest);
    }
    eprintln!("{line}");
}

/// Prints flows as they close, until the agent or the user stops.
fn follow(
    client: &Client,
    parameters: &[(String, String)],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut first = true;
    let mut event = String::new();
    for line in client.stream("flows/live", parameters)?.lines() {
        let line = line.context("the agent stopped answering")?;
        if let Some(name) = line.strip_prefix("event:") {
            name.trim().clone_into(&mut event);
        } else if let Some(data) = line.strip_prefix("data:") {
            match event.as_str() {
                "flow" => {
                    let flow: FlowRow =
                        serde_json::from_str(data.trim()).context("the agent sent a flow that cannot be read")?;
                    print_one(out, &flow, format, first)?;
                    first = false;
                }
                "lagged" => eprintln!("hivewall: too slow, flows are missing: {}", data.trim()),
                _ => {}
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_one(out: &mut dyn Write, flow: &FlowRow, format: Format, first: bool) -> anyhow::Result<()> {
    let rows = std::slice::from_ref(flow);
    match format {
        // One array cannot be written piece by piece: each flow is a document of its own.
        Format::Json => print_flows(out, rows, Format::Jsonl, first)?,
        Format::Table => {
            let table = render_table(rows, width());
            let skip = usize::from(!first);
            for line in table.lines().skip(skip) {
                writeln!(out, "{line}")?;
            }
        }
        _ => print_flows(out, rows, format, first)?,
    }
    out.flush()?;
    Ok(())
}

pub(crate) fn snapshot(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let client = Client::from(args);
    let format = args.get_one::<Format>("output").copied().unwrap_or(Format::Json);
    if fleet_client::asked(args) {
        return fleet_client::snapshot(&client, args);
    }
    let snapshot: Snapshot = client.get("snapshot", &[])?;
    let mut out = std::io::stdout().lock();
    print_snapshot(&mut out, &snapshot, format)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
