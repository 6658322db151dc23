//! `hivewall top`: the terminal view of a running agent.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::ArgMatches;
use hivewall_view::Snapshot;

use crate::client::Client;
use crate::exit::{Exit, ending};
use crate::fleet_client;
use crate::flows::{Format, print_snapshot};

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let client = Client::from(args);
    let fleet = fleet_client::asked(args);
    if args.get_flag("once") && fleet {
        return fleet_client::overview(&client);
    }
    if args.get_flag("once") {
        let snapshot: Snapshot = client.get("snapshot", &[])?;
        let mut out = std::io::stdout().lock();
        print_snapshot(&mut out, &snapshot, Format::Table)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    if !std::io::stdout().is_terminal() {
        return Err(ending(
            Exit::Usage,
            "`hivewall top` needs a terminal; `hivewall top --once` prints the same as text",
        ));
    }
    let mut options = hivewall_tui::Options::default();
    if let Some(filter) = args.get_one::<String>("filter") {
        options.filter.clone_from(filter);
    }
    if fleet {
        options.tab = hivewall_tui::Tab::Fleet;
    }
    options.at = args.get_one::<String>("at").cloned();
    if let Some(seconds) = args.get_one::<f64>("interval") {
        options.interval = std::time::Duration::from_secs_f64(seconds.clamp(0.2, 3600.0));
    }
    hivewall_tui::run(Box::new(client), &options)?;
    Ok(ExitCode::SUCCESS)
}
