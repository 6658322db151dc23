//! `hivewall cluster invite`, `remove` and `leave`: what is asked of the running agent, with its token.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hivewall_view::fleet::{FleetOutcome, InvitationIssued, InvitationPage, InvitationView};
use serde_json::json;

use crate::cli;
use crate::client::Client;
use crate::flows::Format;

/// The commands.
pub(crate) fn commands() -> [Command; 3] {
    let output = || cli::output("table", &[Format::Table, Format::Json]);
    let invite = Command::new("invite")
        .about("Print an invitation for another host")
        .long_about(
            "Print an invitation: one line for `hivewall cluster join` on the host that is to become a member. It is a secret \
             until it is used.\n\n\
             The host has to reach this one by UDP at an address of the invitation; a policy that drops what nobody asked \
             for has to let it in (UDP port 7734).",
        )
        .arg(
            Arg::new("uses")
                .long("uses")
                .value_name("HOSTS")
                .value_parser(value_parser!(u32).range(1..))
                .help("How many hosts may use it [default: 1]"),
        )
        .arg(Arg::new("ttl").long("ttl").value_name("TIME").help("How long it holds, such as 15m or 2d [default: 1d]"))
        .arg(
            Arg::new("address")
                .long("address")
                .value_name("ADDRESS:PORT")
                .action(ArgAction::Append)
                .help("Where the host reaches this one [default: where this host says that it is]"),
        )
        .arg(Arg::new("note").long("note").value_name("TEXT").help("What it is for, for the list"))
        .arg(Arg::new("list").long("list").action(ArgAction::SetTrue).help("List those given out instead"))
        .arg(
            Arg::new("withdraw")
                .long("withdraw")
                .value_name("ID")
                .conflicts_with("list")
                .help("Take one back instead"),
        );
    let remove = Command::new("remove")
        .about("Take a host out of the fleet for good")
        .long_about(
            "Take a host out of the fleet for good: every member refuses it from the moment at which it hears of that.\n\n\
             The root's key has to lie in the fleet's directory of this host while the command runs.",
        )
        .arg(Arg::new("member").required(true).value_name("HOST").help("Its name, its id, or the beginning of its id"))
        .arg(Arg::new("reason").long("reason").value_name("TEXT").help("Why, for the log"));
    let leave = Command::new("leave").about("Take this host out of its fleet");
    [invite, remove, leave].map(|command| command.arg(cli::host()).arg(output()))
}

/// Runs one of them.
pub(crate) fn run(name: &str, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let client = Client::from(args);
    let text = |id: &str| args.get_one::<String>(id).cloned();
    let outcome: FleetOutcome = match name {
        "invite" => match text("withdraw") {
            Some(id) => client.delete("fleet/invitations", json!({ "id": id }))?,
            None => return if args.get_flag("list") { list(&client, args) } else { invite(&client, args) },
        },
        "remove" => {
            let body = json!({ "host": text("member"), "reason": text("reason").unwrap_or_default() });
            client.post("fleet/remove", Some(body))?
        }
        _ => client.post("fleet/leave", None)?,
    };
    if is_json(args) {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        println!("{}", outcome.done);
        outcome.notes.iter().for_each(|note| println!("{note}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn is_json(args: &ArgMatches) -> bool {
    args.get_one::<Format>("output") == Some(&Format::Json)
}

fn invite(client: &Client, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let text = |id: &str| args.get_one::<String>(id).cloned();
    let addresses: Vec<String> = args.get_many::<String>("address").into_iter().flatten().cloned().collect();
    let body = json!({
        "uses": args.get_one::<u32>("uses"),
        "ttl": text("ttl"),
        "addresses": addresses,
        "note": text("note").unwrap_or_default(),
    });
    let issued: InvitationIssued = client.post("fleet/invitations", Some(body))?;
    if is_json(args) {
        println!("{}", serde_json::to_string_pretty(&issued)?);
        return Ok(ExitCode::SUCCESS);
    }
    // The line alone goes to standard output, so that it can be sent on.
    eprintln!("on the other host, until {}:\n", issued.invitation.expires);
    eprint!("    hivewall cluster join ");
    println!("{}", issued.line);
    Ok(ExitCode::SUCCESS)
}

fn list(client: &Client, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let page: InvitationPage = client.get("fleet/invitations", &[])?;
    if is_json(args) {
        println!("{}", serde_json::to_string_pretty(&page)?);
        return Ok(ExitCode::SUCCESS);
    }
    if page.invitations.is_empty() {
        println!("no invitation is remembered here");
    }
    for InvitationView { id, state, used, uses, expires, note, .. } in &page.invitations {
        println!("{id}  {state:<9}  {used} of {uses} used  until {expires}  {note}");
    }
    Ok(ExitCode::SUCCESS)
}
