//! `hivewall policy show|apply|confirm|rollback|ban|unban`: commands to a running agent, over its API.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use hivewall_view::Snapshot;
use hivewall_view::policy::{PolicyOutcome, PolicyView, RuleView};
use hivewall_view::time::to_the_second;
use hivewall_view::units::{bytes as bytes_text, count as count_text};
use ipnet::IpNet;
use serde_json::json;

use crate::cli::host;
use crate::client::Client;
use crate::exit::{Exit, ending};
use crate::fleet_client::{self, Spread};

/// The subcommands.
pub(super) fn commands() -> Vec<Command> {
    let prefix =
        || Arg::new("prefix").required(true).value_name("PREFIX").value_parser(prefix_of).help("Address or prefix");
    let with_output = |command: Command| command.arg(host()).arg(super::output());
    vec![
        with_output(Command::new("show").about("Show the policy in force, its rules with their counters, and bans")),
        with_output(
            Command::new("apply")
                .about("Put a policy in force on this host")
                .long_about(
                    "Put a policy in force on this host. With --confirm (or `confirm` in the document) the host goes back \
                     by itself unless `hivewall policy confirm` comes in time, over a connection that is younger than the \
                     change. Sessions that are open now are never cut by it.",
                )
                .arg(Arg::new("policy").required(true).value_name("FILE").value_parser(value_parser!(PathBuf)).help("Policy, signed or not"))
                .arg(Arg::new("confirm").long("confirm").value_name("TIME").help("Time in which it has to be confirmed, such as 120s; as the document says when absent")),
        ),
        with_output(Command::new("confirm").about("Keep the policy that waits for it")),
        with_output(Command::new("rollback").about("Take back the change that waits, or go back to the policy before")),
        with_output(
            Command::new("ban")
                .about("Drop everything from and to a prefix")
                .arg(prefix())
                .arg(Arg::new("ttl").long("ttl").value_name("TIME").help("How long, such as 10m [default: until it is lifted]"))
                .arg(Arg::new("reason").long("reason").value_name("TEXT").default_value("").hide_default_value(true).help("Why")),
        ),
        with_output(Command::new("unban").about("Lift a ban").arg(prefix())),
    ]
}

fn prefix_of(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map(|net| net.trunc())
        .map_err(|_| "write an address or a prefix, such as 192.0.2.0/24 or 2001:db8::1".to_owned())
}

pub(super) fn run(name: &str, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let client = Client::from(args);
    if name == "show" {
        let snapshot: Snapshot = client.get("snapshot", &[])?;
        if super::is_json(args) {
            println!("{}", serde_json::to_string_pretty(&snapshot.firewall_rules)?);
        } else {
            print!("{}", shown(&snapshot.firewall_rules));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let prefix = || args.get_one::<IpNet>("prefix").map(ToString::to_string).unwrap_or_default();
    let text = |name: &str| args.get_one::<String>(name).cloned();
    let outcome: PolicyOutcome = match name {
        "apply" => {
            let path = args.get_one::<PathBuf>("policy").context("no policy named")?;
            client.post("policy/apply", Some(json!({ "document": document(path)?, "confirm": text("confirm") })))?
        }
        "confirm" => {
            check_session(&client)?;
            client.post("policy/confirm", None)?
        }
        "rollback" => client.post("policy/rollback", None)?,
        "ban" => {
            let reason = text("reason").unwrap_or_default();
            client.post("bans", Some(json!({ "prefix": prefix(), "ttl": text("ttl"), "reason": reason })))?
        }
        _ => client.delete("bans", json!({ "prefix": prefix() }))?,
    };
    let is_json = super::is_json(args);
    if !is_json {
        println!("{}", outcome.message);
    }
    let spread = if name == "apply" { fleet_client::watch(&client, &outcome, !is_json)? } else { None };
    if is_json {
        println!("{}", serde_json::to_string_pretty(&with_fleet(&outcome, spread.as_ref()))?);
        return Ok(ExitCode::SUCCESS);
    }
    spread.iter().flat_map(Spread::lines).for_each(|line| println!("{line}"));
    // A ban has nothing to do with what waits.
    if let Some(pending) = outcome.pending.filter(|_| matches!(name, "apply" | "confirm" | "rollback")) {
        println!(
            "{:.0} s are left: open a new connection to this host and run `hivewall policy confirm` there",
            pending.seconds_left
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The outcome, and in a fleet how far it came: `fleet` is null where the fleet does not spread it.
fn with_fleet(outcome: &PolicyOutcome, spread: Option<&Spread>) -> serde_json::Value {
    let mut told = json!(outcome);
    if let (Some(spread), Some(keys)) = (spread, told.as_object_mut()) {
        keys.insert("fleet".to_owned(), json!(spread.rollout()));
    }
    told
}

fn document(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| ending(Exit::Usage, format!("the policy {} cannot be read: {error}", path.display())))
}

/// An ssh session that was open before the change proves nothing: it would live on whatever the policy says of new ones.
fn check_session(client: &Client) -> anyhow::Result<()> {
    let Some(words) = std::env::var("SSH_CONNECTION").ok() else { return Ok(()) };
    let words: Vec<&str> = words.split_whitespace().collect();
    let [peer, peer_port, _, port] = words.as_slice() else { return Ok(()) };
    let snapshot: Snapshot = client.get("snapshot", &[])?;
    let Some(since) = snapshot.firewall_rules.since else { return Ok(()) };
    let filter = format!("ip:{peer} port:{peer_port} port:{port} tcp");
    let page: hivewall_view::FlowPage = client.get("flows", &[("filter".to_owned(), filter)])?;
    let old = page.flows.iter().any(|flow| {
        flow.start < since
            && flow.source_ip == *peer
            && flow.src_port.map(|port| port.to_string()).as_deref() == Some(*peer_port)
    });
    if old {
        let text = "this ssh session is older than the change, so it does not show that a new one can be opened; open \
                    another session and confirm there";
        return Err(ending(Exit::Failed, text));
    }
    Ok(())
}

/// Who signed it, whose signatures it takes here, and what it can go back to.
fn of_trust(view: &PolicyView) -> Vec<String> {
    let signed = (!view.signed_by.is_empty()).then(|| format!("signed by {}", view.signed_by.join(", ")));
    let trust = view.trust.as_ref().map(|trust| {
        let keys: Vec<String> = trust.keys.iter().map(|key| format!("{} ({})", key.name, key.id)).collect();
        let above = trust.highest.map_or_else(String::new, |highest| format!("; the next version is above {highest}"));
        format!("takes policies signed by {} of {}{above}", trust.threshold, keys.join(", "))
    });
    let before = view
        .previous
        .as_ref()
        .map(|before| format!("a rollback brings back {} version {}", before.name, before.version));
    signed.into_iter().chain(trust).chain(before).collect()
}

/// The policy as people read it.
fn shown(view: &PolicyView) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    if view.name.is_empty() {
        line("no policy is in force: everything is accepted".to_owned());
    } else {
        let how = if view.mode == "observe" { "observed only" } else { "enforced" };
        let since = view.since.as_deref().map_or_else(String::new, |since| format!(" since {}", to_the_second(since)));
        line(format!("{} version {}, {how} by {}{since}", view.name, view.version, view.backend));
    }
    of_trust(view).into_iter().for_each(&mut line);
    if let Some(until) = &view.not_after {
        line(format!("meant to hold until {}", to_the_second(until)));
    }
    if let Some(pending) = &view.pending {
        let back = pending.falls_back_to.as_ref().map_or_else(
            || "nothing is enforced".to_owned(),
            |name| format!("{} version {} comes back", name.name, name.version),
        );
        line(format!("waits for confirmation: in {:.0} s {back}", pending.seconds_left));
    }
    for problem in &view.problems {
        line(format!("problem: {problem}"));
    }
    for failure in view.all_failures().iter().filter(|failure| !view.problems.contains(&failure.detail)) {
        line(format!("problem: {}", failure.detail));
    }
    let width = view.rules.iter().map(|rule| rule.id.len()).max().unwrap_or(0).max(4);
    if !view.rules.is_empty() {
        line(format!(
            "{:>12}  {:>10}  {:<8} {:<width$} {:<4} {}",
            "packets", "bytes", "action", "rule", "way", "conditions"
        ));
    }
    for RuleView { id, direction, action, conditions, packets, bytes, .. } in &view.rules {
        let (packets, bytes) = (count_text(*packets), bytes_text(*bytes));
        let conditions = if conditions.is_empty() { "everything else" } else { conditions };
        line(format!("{packets:>12}  {bytes:>10}  {action:<8} {id:<width$} {direction:<4} {conditions}"));
    }
    for cause in view.causes.iter().filter(|cause| cause.packets > 0) {
        let (packets, bytes) = (count_text(cause.packets), bytes_text(cause.bytes));
        line(format!("{packets:>12}  {bytes:>10}  {:<8} {:<width$} {}", "", cause.cause, cause.meaning));
    }
    for ban in &view.bans {
        let left = ban.seconds_left.map_or_else(|| "until it is lifted".to_owned(), |left| format!("{left:.0} s left"));
        let why = if ban.reason.is_empty() { String::new() } else { format!(": {}", ban.reason) };
        line(format!("banned: {} ({left}) by {}{why}", ban.prefix, ban.origin));
    }
    if view.bans_total > view.bans.len() as u64 {
        line(format!("and {} bans more", view.bans_total - view.bans.len() as u64));
    }
    if !view.drift.is_empty() {
        line(format!("packet filters changed: {}", view.drift.summary()));
    }
    for change in &view.drift.last {
        line(format!("  {} {}", to_the_second(&change.time), change.text()));
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use hivewall_view::policy::{
        DriftCount, FirewallDrift, PolicyFailure, PolicyKey, PolicyTrust, example_change, example_policy,
    };

    use super::*;

    #[test]
    fn what_holds_and_what_is_wrong_is_shown_in_lines() {
        let (mut view, _) = example_policy();
        view.drift = FirewallDrift {
            changes: [("chain-flushed".to_owned(), DriftCount { ours: 1, others: 2 })].into(),
            repairs: 1,
            repairs_failed: 0,
            last: vec![example_change()],
        };
        view.signed_by = vec!["0011223344556677".to_owned()];
        view.trust = Some(PolicyTrust {
            threshold: 1,
            keys: vec![PolicyKey { id: "0011223344556677".to_owned(), name: "ops".to_owned() }],
            highest: Some(42),
        });
        let detail = "bans on eth0 are dropped later than at the driver: busy".to_owned();
        view.failures = vec![PolicyFailure { kind: "no_front".to_owned(), subject: Some("eth0".to_owned()), detail }];
        expect![[r"
            edge version 42, enforced by ebpf since 2026-11-21T09:59:00Z
            signed by 0011223344556677
            takes policies signed by 1 of ops (0011223344556677); the next version is above 42
            a rollback brings back edge version 41
            meant to hold until 2027-01-01T00:00:00Z
            waits for confirmation: in 61 s edge version 41 comes back
            problem: bans on eth0 are dropped later than at the driver: busy
                 packets       bytes  action   rule            way  conditions
                       0         0 B  accept   guard:ssh       both tcp to port 22 from 10.9.0.0/24
                    1.2k     72.0 kB  accept   web             in   tcp to port 80,443
                      30      1.8 kB  drop     main:default-in in   everything else
                       4       240 B           (ban)           The address at the other end is banned: dropped.
                      12       720 B           (essential)     What every host needs: accepted.
            banned: 192.0.2.0/24 (1800 s left) by operator: scans
            packet filters changed: 1 of ours, 2 of others', put back once
              2026-11-26T10:00:00Z nftables inet hivewall input (ours): flushed, 3 rules are gone, by nft[4706]
        "]]
        .assert_eq(&shown(&view));
    }
}
