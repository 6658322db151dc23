//! What a running agent knows of its fleet, on the terminal: `hivewall cluster members|status|keys`, `--fleet` of other commands,
//! and how a policy spreads after `policy apply`. Deliberately not here: commands that change the fleet, and how a table looks
//! (`view`). Invariant: where hosts are missing in an answer, the last lines name them.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command};
use hivewall_policy::rehearsal_text;
use hivewall_view::fields::{csv_header, csv_line, csv_values};
use hivewall_view::fleet::{
    FleetAlertPage, FleetAnswer, FleetFlowPage, FleetFlowRow, FleetRehearsal, FleetRulesPage, FleetSnapshotPage,
    FleetView, MemberPage, RolloutPage, RolloutView, named, render_digests, render_fleet_alerts, render_fleet_flows,
    render_fleet_rules, render_fleet_status, render_fleet_text, render_keys, render_members, render_rehearsals,
};
use hivewall_view::policy::PolicyOutcome;

use crate::cli;
use crate::client::Client;
use crate::flows::{Format, PIPE_WIDTH, width};

/// How long a roll-out is watched.
const WATCH: Duration = Duration::from_secs(10);
/// How long the fleet may take to take up a policy at all.
const TAKEN_UP: Duration = Duration::from_secs(3);
/// Hosts whose rehearsal is told rule by rule.
const REHEARSALS_TOLD: usize = 5;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// As `-o` has it.
macro_rules! print_as {
    ($args:expr, $document:expr, $table:expr) => {{
        let text = match $args.get_one::<Format>("output") {
            Some(Format::Json) => serde_json::to_string_pretty($document)? + "\n",
            Some(Format::Jsonl) => serde_json::to_string($document)? + "\n",
            _ => $table,
        };
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }};
}

/// Subcommands of `hivewall cluster` that only ask.
pub(crate) fn commands() -> Vec<Command> {
    let asks = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).arg(cli::host()).arg(cli::output("table", &[Format::Table, Format::Json]))
    };
    vec![
        asks("members", "List the hosts of the fleet: state, address, labels, what they do about the policy"),
        asks("status", "Tell how the fleet is: members, coverage, traffic, roll-out, bans, alarms"),
        asks("keys", "List whose key is whose, and who may invite"),
    ]
}

/// The flag that asks the whole fleet.
pub(crate) fn flag() -> Arg {
    Arg::new("fleet")
        .long("fleet")
        .action(ArgAction::SetTrue)
        .help("Ask every host of the fleet, and say which did not answer")
}

/// Whether the whole fleet is asked.
pub(crate) fn asked(args: &ArgMatches) -> bool {
    args.get_flag("fleet")
}

/// Carries out one of [`commands`].
pub(crate) fn run(name: &str, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let client = Client::from(args);
    if name == "status" {
        let fleet: FleetView = client.get("fleet", &[])?;
        print_as!(args, &fleet, render_fleet_status(&fleet));
        return Ok(ExitCode::SUCCESS);
    }
    let page = members(&client)?;
    let table = || match name {
        "keys" => render_keys(&page.members, width()),
        _ => format!("{}{}\n", render_members(&page.members, width()), page.states.words()),
    };
    print_as!(args, &page, table());
    Ok(ExitCode::SUCCESS)
}

/// Every member, however many pages that takes.
fn members(client: &Client) -> anyhow::Result<MemberPage> {
    let page = |offset: u64| -> anyhow::Result<MemberPage> {
        client.get(
            "fleet/members",
            &[("limit".to_owned(), "10000".to_owned()), ("offset".to_owned(), offset.to_string())],
        )
    };
    let mut all = page(0)?;
    while let Some(offset) = all.next_offset {
        let next = page(offset)?;
        all.members.extend(next.members);
        // A page that leads back would be asked for without end.
        all.next_offset = next.next_offset.filter(|further| *further > offset);
    }
    Ok(all)
}

/// `hivewall top --fleet --once`.
pub(crate) fn overview(client: &Client) -> anyhow::Result<ExitCode> {
    let fleet: FleetView = client.get("fleet", &[])?;
    let mut out = std::io::stdout().lock();
    write!(out, "{}", render_fleet_text(&fleet, width().unwrap_or(PIPE_WIDTH)))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// `hivewall flows --fleet`, with the parameters of `hivewall flows`.
pub(crate) fn flows(client: &Client, parameters: &[(String, String)], format: Format) -> anyhow::Result<ExitCode> {
    let page: FleetFlowPage = client.get("fleet/flows", parameters)?;
    let mut out = std::io::stdout().lock();
    match format {
        Format::Table => write!(out, "{}", render_fleet_flows(&page.flows, width()))?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&page)?)?,
        Format::Jsonl => {
            for row in &page.flows {
                writeln!(out, "{}", serde_json::to_string(row)?)?;
            }
        }
        Format::Csv => {
            write!(out, "{}", csv_line(std::iter::once("host").chain(csv_header())))?;
            for row in &page.flows {
                write!(out, "{}", csv_row(row))?;
            }
        }
    }
    out.flush()?;
    if format == Format::Table {
        let more = if page.next_offset.is_some() { "; --limit shows more" } else { "" };
        eprintln!("{} of {} matching flows, {} searched{more}", page.flows.len(), page.matched, page.searched);
    }
    tell(&page.answer, format != Format::Json);
    Ok(ExitCode::SUCCESS)
}

fn csv_row(row: &FleetFlowRow) -> String {
    let host = named(&row.host, &row.host_id);
    csv_line(std::iter::once(host).chain(csv_values(&row.flow)))
}

/// `hivewall snapshot --fleet`.
pub(crate) fn snapshot(client: &Client, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let page: FleetSnapshotPage = client.get("fleet/snapshot", &[])?;
    print_as!(args, &page, render_digests(&page.hosts, width()));
    tell(&page.answer, args.get_one::<Format>("output") == Some(&Format::Table));
    Ok(ExitCode::SUCCESS)
}

/// `hivewall alerts --fleet`, with the parameters of `hivewall alerts`.
pub(crate) fn alerts(client: &Client, parameters: &[(String, String)], args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let page: FleetAlertPage = client.get("fleet/alerts", parameters)?;
    let format = args.get_one::<Format>("output");
    if format == Some(&Format::Jsonl) {
        let mut out = std::io::stdout().lock();
        for row in &page.alerts {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        out.flush()?;
    } else {
        print_as!(args, &page, render_fleet_alerts(&page.alerts, width()));
    }
    if format == Some(&Format::Table) {
        eprintln!(
            "{} rows of {} alerts; `hivewall alerts show ID` on one of the hosts tells more",
            page.alerts.len(),
            page.matched
        );
    }
    tell(&page.answer, format != Some(&Format::Json));
    Ok(ExitCode::SUCCESS)
}

/// `hivewall rules --fleet`.
pub(crate) fn rules(client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let page: FleetRulesPage = client.get("fleet/rules", &[])?;
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&page)?)?;
    } else {
        write!(out, "{}", render_fleet_rules(&page.rules, width()))?;
    }
    out.flush()?;
    tell(&page.answer, !as_json);
    Ok(ExitCode::SUCCESS)
}

/// `hivewall policy rehearse --fleet`.
pub(crate) fn rehearsal(client: &Client, request: &serde_json::Value, as_json: bool) -> anyhow::Result<ExitCode> {
    let page: FleetRehearsal = client.post("fleet/rehearse", Some(request.clone()))?;
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&page)?)?;
    } else {
        writeln!(out, "{} version {} {}\n", page.policy.name, page.policy.version, page.words())?;
        write!(out, "{}", render_rehearsals(&page.hosts, width()))?;
        for host in page.hosts.iter().filter(|host| host.cut.flows > 0).take(REHEARSALS_TOLD) {
            write!(out, "\n{}: {}", named(&host.name, &host.id), rehearsal_text(&host.rehearsal))?;
        }
    }
    out.flush()?;
    tell(&page.answer, !as_json);
    Ok(ExitCode::SUCCESS)
}

/// Who answered and who did not, beside the answer; a JSON document has it inside.
fn tell(answer: &FleetAnswer, aloud: bool) {
    if aloud {
        eprintln!("{}", answer.words());
        answer.missing_lines().iter().for_each(|line| eprintln!("{line}"));
    }
}

/// How a policy that was just applied spreads, told live on a terminal until every known host has answered or the time is
/// over. `None` in no fleet.
pub(crate) fn watch(client: &Client, outcome: &PolicyOutcome, live: bool) -> anyhow::Result<Option<Spread>> {
    let Some(page) = client.get_where_there_is::<RolloutPage>("fleet/policy")? else { return Ok(None) };
    let live = live && std::io::stderr().is_terminal();
    let begin = Instant::now();
    let mut latest = of(page, outcome);
    loop {
        let waited = begin.elapsed();
        if live {
            let text = latest.as_ref().map_or_else(|| "the fleet takes it up …".to_owned(), RolloutView::words);
            // Back to the first column, and what stood there before is gone.
            eprint!("\r\x1b[K{text}");
        }
        let settled = latest.as_ref().is_some_and(RolloutView::is_settled);
        if settled || waited >= WATCH || (latest.is_none() && waited >= TAKEN_UP) {
            break;
        }
        std::thread::sleep(LOOK);
        latest = client.get_where_there_is::<RolloutPage>("fleet/policy")?.and_then(|page| of(page, outcome));
    }
    if live {
        eprint!("\r\x1b[K");
    }
    Ok(Some(latest.map_or(Spread::NotTakenUp, |rollout| Spread::To(Box::new(rollout)))))
}

/// The roll-out of the very policy that was applied.
fn of(page: RolloutPage, outcome: &PolicyOutcome) -> Option<RolloutView> {
    let applied = &outcome.policy;
    page.rollout.filter(|rollout| rollout.name == applied.name && rollout.version == applied.version)
}

/// How far a policy came.
pub(crate) enum Spread {
    /// The fleet spreads another, or none.
    NotTakenUp,
    /// So far.
    To(Box<RolloutView>),
}

impl Spread {
    /// For people: how many hosts, and who refused it and why.
    pub(crate) fn lines(&self) -> Vec<String> {
        let rollout = match self {
            Self::NotTakenUp => {
                return vec![
                    "the fleet does not spread it: it holds on this host alone; `hivewall cluster status` tells what the \
                     fleet has"
                        .to_owned(),
                ];
            }
            Self::To(rollout) => rollout,
        };
        let mut lines = vec![rollout.words()];
        lines.extend(
            rollout.refusals.iter().map(|host| format!("{} refused it: {}", named(&host.name, &host.id), host.reason)),
        );
        let more = rollout.refused.saturating_sub(rollout.refusals.len() as u64);
        if more > 0 {
            lines.push(format!("and {more} more refused it"));
        }
        if rollout.frozen {
            lines.push("two documents of this version are about: publish a newer one, which replaces both".to_owned());
        }
        if !rollout.is_settled() {
            lines.push("the others have not answered yet; `hivewall cluster status` tells when they have".to_owned());
        }
        lines
    }

    /// For programs.
    pub(crate) fn rollout(&self) -> Option<&RolloutView> {
        match self {
            Self::NotTakenUp => None,
            Self::To(rollout) => Some(rollout),
        }
    }
}

#[cfg(test)]
mod tests {
    use hivewall_view::fleet::example_fleet;
    use hivewall_view::policy::PolicyName;

    use super::*;

    #[test]
    fn a_roll_out_is_told_with_who_refused_it_and_why() {
        let rollout = example_fleet().rollout.unwrap();
        let lines = Spread::To(Box::new(rollout)).lines();
        assert_eq!(
            lines,
            [
                "edge 42: enforced by 17 of 19 hosts, 1 has it, 1 refused it",
                "db-1 refused it: no interface `wan0` here",
                "the others have not answered yet; `hivewall cluster status` tells when they have",
            ]
        );
        assert!(Spread::NotTakenUp.lines()[0].contains("this host alone"));
    }

    #[test]
    fn only_the_policy_that_was_applied_is_watched() {
        let page = || RolloutPage { rollout: example_fleet().rollout, ..RolloutPage::default() };
        let outcome = |version| PolicyOutcome {
            policy: PolicyName { name: "edge".to_owned(), version },
            ..PolicyOutcome::default()
        };
        assert!(of(page(), &outcome(42)).is_some() && of(page(), &outcome(43)).is_none());
    }
}
