//! `hivewall rules`: what stands in this host's packet filters, ours and others', what it would do to a packet, what
//! changes in it, and ours put back. Reading and running them is for the crate `hivewall-host`; here is the terminal.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hivewall_host::rules::{
    Answer, Chain, Inventory, NO_INTERFACE, Packet, Repair, Stop, Table, Traversal, Watch, inventory, repair, walk,
};
use hivewall_model::protocol_by_name;

use crate::client::Client;
use crate::exit::{Exit, ending};
use crate::fleet_client;
use crate::policy::beside::crosses_network;

/// Where the agent keeps what it put into a packet filter.
const DIRECTORY: &str = "/var/lib/hivewall/policy";
/// Numbers of `tcp[13]` by the letters that tools print.
const FLAGS: &[(char, u8)] = &[('F', 1), ('S', 2), ('R', 4), ('P', 8), ('A', 16), ('U', 32)];

/// The command line of `hivewall rules`.
pub(crate) fn command() -> Command {
    Command::new("rules")
        .about("List what stands in nftables and iptables, ours and others', and watch it")
        .long_about(
            "List everything in nftables and in iptables of both variants, with counters, and what of it is ours.\n\n\
             What cannot be listed (a program that is not installed, a missing privilege) is named at the end.",
        )
        .arg(output())
        .arg(crate::cli::host())
        .arg(fleet_client::flag().help("List the rules of the policies that hold on the hosts of the fleet"))
        .arg(Arg::new("ours").long("ours").action(ArgAction::SetTrue).help("Only what is ours"))
        .subcommand(explain())
        .subcommand(
            Command::new("watch")
                .about("Print every change as it happens, with the process that made it where the kernel tells")
                .arg(output())
                .arg(
                    Arg::new("interval")
                        .long("interval")
                        .value_name("SECONDS")
                        .default_value("10")
                        .value_parser(value_parser!(u64).range(1..))
                        .help("Look so often at what announces nothing (iptables-legacy)"),
                ),
        )
        .subcommand(
            Command::new("repair").about("Put our own rules back where somebody changed them").arg(
                Arg::new("directory")
                    .long("directory")
                    .value_name("DIRECTORY")
                    .env("HIVEWALL_POLICY_STATE")
                    .default_value(DIRECTORY)
                    .value_parser(value_parser!(PathBuf))
                    .help("Where the agent keeps what it put there"),
            ),
        )
}

fn output() -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .default_value("table")
        .value_parser(["table", "json"])
        .help("How to print it")
}

fn explain() -> Command {
    let address = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("ADDRESS").required(true).value_parser(value_parser!(IpAddr)).help(help)
    };
    let port = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("PORT").value_parser(value_parser!(u16)).help(help)
    };
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("explain")
        .about("Say what the packet filters would do to a packet, and which rule decides")
        .long_about(
            "Say what the packet filters would do to a packet, and which rule decides.\n\n\
             Chains are asked in the kernel's order. Where it depends on something that cannot be known here (a mark, a \
             rate, an interface that was not given), the answer is that it cannot be told, with the rule that asks.",
        )
        .arg(address("from", "Source"))
        .arg(address("to", "Destination"))
        .arg(text("proto", "PROTOCOL", "Name or number").default_value("tcp"))
        .arg(port("sport", "Source port"))
        .arg(port("dport", "Destination port"))
        .arg(text("icmp", "TYPE[/CODE]", "ICMP type and code"))
        .arg(text("flags", "FLAGS", "TCP flags, of the letters FSRPAU").default_value("S"))
        .arg(text("in", "INTERFACE", "Interface it is received by"))
        .arg(text("out", "INTERFACE", "Interface it is sent through"))
        .arg(
            Arg::new("way")
                .long("way")
                .value_parser(["received", "sent", "forwarded"])
                .help("To this host, from it, or through it [default: by --in and --out]"),
        )
        .arg(Arg::new("established").long("established").action(ArgAction::SetTrue).help("It belongs to a flow that is established"))
        .arg(Arg::new("reply").long("reply").action(ArgAction::SetTrue).help("It is a reply in an established flow"))
        .arg(output())
}

/// Runs what was asked for.
pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    match args.subcommand() {
        Some(("explain", args)) => run_explain(args),
        Some(("watch", args)) => run_watch(args),
        Some(("repair", args)) => run_repair(args),
        _ => run_list(args),
    }
}

fn is_json(args: &ArgMatches) -> bool {
    args.get_one::<String>("output").is_some_and(|format| format == "json")
}

fn run_list(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    if fleet_client::asked(args) {
        return fleet_client::rules(&Client::from(args), is_json(args));
    }
    let mut found = inventory();
    if args.get_flag("ours") {
        for table in &mut found.tables {
            table.chains.retain_mut(|chain| {
                let ours = chain.ours;
                chain.rules.retain(|rule| ours || rule.ours);
                ours || !chain.rules.is_empty()
            });
        }
        found.tables.retain(|table| table.ours || !table.chains.is_empty());
    }
    if is_json(args) {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{}", render(&found));
    }
    let all_missing = found.tables.is_empty() && !found.missing.is_empty();
    Ok(if all_missing { ExitCode::from(Exit::Failed as u8) } else { ExitCode::SUCCESS })
}

/// The inventory as the API has it.
pub(crate) fn as_json() -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::to_value(inventory())?)
}

/// The inventory as one list.
fn render(found: &Inventory) -> String {
    let mut out = String::new();
    for table in &found.tables {
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{} {} {}{}  [{}]",
            table.source.name(),
            table.family,
            table.name,
            mark(table.ours),
            table.hash
        );
        for set in &table.sets {
            let kind = if set.is_map { "map" } else { "set" };
            let _ = writeln!(out, "  {kind} {}: {} elements", set.name, set.elements);
        }
        for chain in &table.chains {
            render_chain(&mut out, table, chain);
        }
    }
    if found.tables.is_empty() {
        out.push_str("no rules in nftables or iptables\n");
    }
    for missing in &found.missing {
        let _ = writeln!(out, "not listed: {}", missing.why);
    }
    out
}

fn render_chain(out: &mut String, table: &Table, chain: &Chain) {
    let _ = write!(out, "  {}{}", chain.name, mark(chain.ours && !table.ours));
    if let Some(base) = &chain.base {
        let _ = write!(out, ": {} at {} {}, policy {}", base.kind, base.hook, base.priority, base.policy);
        if let (Some(packets), Some(bytes)) = (base.packets, base.bytes) {
            let _ = write!(out, " ({packets} packets, {bytes} bytes)");
        }
    }
    out.push('\n');
    for rule in &chain.rules {
        let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let (packets, bytes) = (count(rule.packets), count(rule.bytes));
        let own = mark(rule.ours && !chain.ours);
        let _ = writeln!(out, "    {:>5} {packets:>10} {bytes:>12}  {}{own}", rule.handle, rule.text);
    }
}

fn mark(ours: bool) -> &'static str {
    if ours { " (ours)" } else { "" }
}

fn run_explain(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (packet, traversal) = packet(args)?;
    let found = inventory();
    let answer = walk(&found, &packet, traversal);
    if is_json(args) {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print!("{}", told(&answer));
    }
    for missing in &found.missing {
        eprintln!("hivewall: not asked: {}", missing.why);
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer in a sentence, and what let the packet pass before.
fn told(answer: &Answer) -> String {
    let is_ours = |place: &&String| place.contains(" hivewall ") || place.contains("HIVEWALL-");
    let by_us = answer.accepted_by.iter().any(|place| is_ours(&place));
    let before = if by_us && answer.stop != Stop::Accepted { "accepted by us, " } else { "" };
    let own = mark(answer.ours);
    let mut out = match answer.stop {
        Stop::Accepted => "accepted: no rule drops it\n".to_owned(),
        Stop::Dropped => format!("{before}dropped by {}{own}: {}\n", answer.place, answer.why),
        Stop::Rejected => format!("{before}rejected by {}{own}: {}\n", answer.place, answer.why),
        Stop::CannotTell => format!("{before}cannot tell: {}{own} {}\n", answer.place, answer.why),
    };
    if answer.stop == Stop::CannotTell && answer.why.contains(NO_INTERFACE) {
        out.push_str("  name it with --in, or --out for what is sent\n");
    }
    for place in &answer.accepted_by {
        let _ = writeln!(out, "  passed {place}");
    }
    out
}

fn packet(args: &ArgMatches) -> anyhow::Result<(Packet, Traversal)> {
    let usage = |message: String| ending(Exit::Usage, message);
    let address = |name: &str| args.get_one::<IpAddr>(name).copied();
    let text = |name: &str| args.get_one::<String>(name).cloned();
    let (from, to) = address("from").zip(address("to")).context("--from and --to are needed")?;
    if from.is_ipv4() != to.is_ipv4() {
        return Err(usage("--from and --to have to be of one IP version".to_owned()));
    }
    let name = text("proto").unwrap_or_default();
    let protocol =
        protocol_by_name(&name).ok_or_else(|| usage(format!("`{name}` is no protocol: give its name or number")))?;
    let icmp = text("icmp")
        .map(|given| read_icmp(&given).ok_or_else(|| usage(format!("`{given}` is no ICMP type: write 8 or 3/4"))));
    let letters = text("flags").unwrap_or_default();
    let flags =
        read_flags(&letters).ok_or_else(|| usage(format!("`{letters}` are no TCP flags: use the letters FSRPAU")))?;
    let (in_interface, out_interface) = (text("in"), text("out"));
    let traversal = match text("way").as_deref() {
        Some("received") => Traversal::Received,
        Some("sent") => Traversal::Sent,
        Some(_) => Traversal::Forwarded,
        None if in_interface.is_some() && out_interface.is_some() => Traversal::Forwarded,
        None if out_interface.is_some() => Traversal::Sent,
        None => Traversal::Received,
    };
    let reply = args.get_flag("reply");
    let packet = Packet {
        from,
        to,
        protocol,
        source_port: args.get_one::<u16>("sport").copied(),
        destination_port: args.get_one::<u16>("dport").copied(),
        icmp: icmp.transpose()?,
        flags: if protocol == 6 { flags } else { 0 },
        in_interface,
        out_interface,
        not_loopback: crosses_network(from, to, traversal),
        new: !reply && !args.get_flag("established"),
        original: !reply,
    };
    Ok((packet, traversal))
}

fn read_icmp(given: &str) -> Option<(u8, u8)> {
    let (kind, code) = given.split_once('/').unwrap_or((given, "0"));
    Some((kind.parse().ok()?, code.parse().ok()?))
}

fn read_flags(letters: &str) -> Option<u8> {
    let bit = |letter: char| FLAGS.iter().find(|(known, _)| *known == letter.to_ascii_uppercase()).map(|(_, bit)| *bit);
    letters.chars().try_fold(0, |bits, letter| Some(bits | bit(letter)?))
}

fn run_watch(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let interval = Duration::from_secs(args.get_one::<u64>("interval").copied().unwrap_or(10));
    let mut watch = Watch::start();
    let tables = watch.last().tables.len();
    eprintln!("hivewall: watching {tables} tables; Ctrl-C ends");
    loop {
        for drift in watch.wait(interval) {
            if is_json(args) {
                println!("{}", serde_json::to_string(&drift)?);
            } else {
                println!("{drift}");
            }
        }
    }
}

fn run_repair(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let directory = args.get_one::<PathBuf>("directory").cloned().unwrap_or_else(|| PathBuf::from(DIRECTORY));
    println!(
        "{}",
        match repair(&directory)? {
            Repair::NothingKept => "nothing to repair: no rules were put into nftables or iptables by this agent",
            Repair::Whole => "all rules are as they were put there",
            Repair::Repaired => "rules had been changed and are as they were put there again",
        }
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> anyhow::Result<(Packet, Traversal)> {
        let words = ["explain", "--from", "192.0.2.1", "--to", "192.0.2.2"].iter().chain(words);
        packet(&explain().try_get_matches_from(words).map_err(anyhow::Error::from)?)
    }

    #[test]
    fn interfaces_tell_which_way_a_packet_goes() {
        let way = |words: &[&str]| asked(words).unwrap().1;
        assert_eq!(way(&[]), Traversal::Received);
        assert_eq!(way(&["--out", "eth0"]), Traversal::Sent);
        assert_eq!(way(&["--in", "eth0", "--out", "eth1"]), Traversal::Forwarded);
        assert_eq!(way(&["--in", "eth0", "--way", "forwarded"]), Traversal::Forwarded);
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        assert!(asked(&["--proto", "tpc"]).unwrap_err().to_string().contains("`tpc` is no protocol"));
        assert!(asked(&["--flags", "SX"]).unwrap_err().to_string().contains("FSRPAU"));
        assert!(asked(&["--icmp", "echo"]).unwrap_err().to_string().contains("write 8 or 3/4"));
    }

    #[test]
    fn a_foreign_rule_behind_ours_is_told_as_such() {
        let answer = Answer {
            stop: Stop::Dropped,
            place: "nftables inet filter input handle 12".to_owned(),
            ours: false,
            why: "tcp dport 22 drop".to_owned(),
            accepted_by: vec!["nftables inet hivewall r3 handle 9".to_owned()],
        };
        assert_eq!(
            told(&answer),
            "accepted by us, dropped by nftables inet filter input handle 12: tcp dport 22 drop\n  passed nftables inet hivewall r3 handle 9\n"
        );
    }
}
