//! The fleet as plain text: the overview of `hivewall top --fleet --once` and the tables of the commands. Deliberately not here:
//! figures in words, which are in `words`. Invariants: those of [`crate::table`]; a heading says of how many hosts the table
//! below it is.

use std::fmt::Write as _;

use super::{
    FleetFlowRow, FleetRuleRow, FleetTop, FleetTotalView, FleetView, HostDigest, HostRehearsal, LinkView, MemberState,
    MemberView, StandKind, named,
};
use crate::FlowRow;
use crate::fields::render_table;
use crate::policy::{Rehearsal, RehearsalRule};
use crate::table::{Align, Column, clean, cut, render};
use crate::time::{time_of_day, to_the_second};
use crate::units;

/// Rows of a table in the overview.
const ROWS_MAX: usize = 10;
/// Widest column of host names beside flows.
const HOST_COLUMNS_MAX: usize = 24;

const fn left(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Left, rank, cut: rank == 0 }
}

const fn right(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Right, rank, cut: false }
}

/// Everything that is known of the fleet on one page.
pub fn render_fleet_text(fleet: &FleetView, width: usize) -> String {
    let mut page = render_fleet_status(fleet);
    if let Some(total) = &fleet.total {
        let within = |top: &FleetTop| {
            let error = if total.bytes == 0 { 0.0 } else { top.hidden_bytes_max as f64 / total.bytes as f64 };
            total.coverage.words_within(error)
        };
        let tops = [
            ("Largest sources", "SOURCE", &total.sources),
            ("Largest destinations", "DESTINATION", &total.destinations),
            ("Largest services", "SERVICE", &total.services),
        ];
        for (title, head, top) in tops.into_iter().filter(|(.., top)| !top.rows.is_empty()) {
            let _ = write!(page, "\n{title} ({}):\n{}", within(top), render_top(top, head, width));
        }
    }
    let odd: Vec<MemberView> =
        fleet.members.iter().filter(|member| member.state != MemberState::Alive).cloned().collect();
    if !odd.is_empty() {
        let _ = write!(page, "\nMembers that are not alive:\n{}", shortened(&odd, Some(width), render_members));
    }
    if !fleet.links.is_empty() {
        let _ = write!(page, "\nSlowest links:\n{}", shortened(&fleet.links, Some(width), render_links));
    }
    page
}

/// What is known of the whole, in a few lines.
pub fn render_fleet_status(fleet: &FleetView) -> String {
    let mut page = String::new();
    let mut line = |text: String| {
        page.push_str(&text);
        page.push('\n');
    };
    let alone = if fleet.joined { "" } else { " · alone" };
    let enroller = if fleet.enroller { " · may invite" } else { "" };
    let own = clean(&named(&fleet.own_name, &fleet.own_id));
    line(format!("Fleet {} seen from {own}{alone}{enroller}", fleet.cluster));
    line(format!("Members: {}", fleet.states.words()));
    match &fleet.total {
        None => line("Total: none yet; the first comes within half a minute".to_owned()),
        Some(total) => total_lines(total).into_iter().for_each(&mut line),
    }
    rollout_lines(fleet).into_iter().for_each(&mut line);
    let audit = fleet.audit.first().map_or_else(String::new, |entry| {
        format!(", latest {}: {} {}", to_the_second(&entry.time), clean(&entry.what), clean(&entry.detail))
    });
    line(format!("Bans: {} · Log: {} entries{audit}", units::count(fleet.bans_total), units::count(fleet.audit_total)));
    let cells = fleet.meter.traffic.values();
    let (heard, sent) = cells.fold((0, 0), |(heard, sent), cell| (heard + cell.in_bytes, sent + cell.out_bytes));
    let lost: Vec<String> = [("", &fleet.losses.core), ("link ", &fleet.losses.links)]
        .into_iter()
        .flat_map(|(of, losses)| losses.iter().map(move |(reason, count)| (of, reason, *count)))
        .filter(|(.., count)| *count > 0)
        .map(|(of, reason, count)| format!("{of}{reason} {}", units::count(count)))
        .collect();
    let lost = if lost.is_empty() { "nothing".to_owned() } else { lost.join(", ") };
    line(format!(
        "This host: heard {}, sent {}, {} connections, {} sessions · lost: {lost}",
        units::bytes(heard),
        units::bytes(sent),
        fleet.meter.connections,
        fleet.meter.sessions
    ));
    if fleet.doubt > 0 {
        line(format!("This host doubts itself ({} of 8): it is slower than the others expect", fleet.doubt));
    }
    for alarm in &fleet.alarms {
        let host = if alarm.host.is_empty() { String::new() } else { format!("{}: ", clean(&alarm.host)) };
        line(format!("Alarm {}: {host}{}", to_the_second(&alarm.time), clean(&alarm.detail)));
    }
    page
}

fn total_lines(total: &FleetTotalView) -> Vec<String> {
    let by: Vec<String> = total
        .traffic
        .iter()
        .take(4)
        .map(|row| format!("{} {} {}", clean(&row.protocol), row.direction, units::bytes(row.bytes)))
        .collect();
    let by = if by.is_empty() { String::new() } else { format!(": {}", by.join(", ")) };
    vec![
        format!(
            "Traffic: {}, {} packets, {} flows in {} ({}){by}",
            units::rate(total.bits_per_second()),
            units::count(total.packets),
            units::count(total.flows),
            units::seconds(total.seconds),
            total.coverage.words()
        ),
        format!(
            "Different: {} sources, {} destinations, {} pairs",
            total.distinct_sources.words(),
            total.distinct_destinations.words(),
            total.distinct_pairs.words()
        ),
    ]
}

fn rollout_lines(fleet: &FleetView) -> Vec<String> {
    let Some(rollout) = &fleet.rollout else { return vec!["Policy: none in the fleet".to_owned()] };
    let mut lines = vec![format!("Policy {}", clean(&rollout.words()))];
    if rollout.frozen {
        lines.push("  frozen: two documents of this version are about; publish a newer one".to_owned());
    }
    if let Some(until) = &rollout.confirm_until {
        lines.push(format!("  not confirmed: taken back at {}", to_the_second(until)));
    }
    lines.extend(
        rollout
            .refusals
            .iter()
            .map(|host| format!("  {} refused it: {}", clean(&named(&host.name, &host.id)), clean(&host.reason))),
    );
    lines
}

/// The first rows, and how many more there are.
fn shortened<R>(rows: &[R], width: Option<usize>, table: impl Fn(&[R], Option<usize>) -> String) -> String {
    let shown = rows.get(..ROWS_MAX).unwrap_or(rows);
    let mut text = table(shown, width);
    if rows.len() > shown.len() {
        let _ = writeln!(text, "… and {} more", units::count((rows.len() - shown.len()) as u64));
    }
    text
}

fn render_top(top: &FleetTop, head: &'static str, width: usize) -> String {
    let columns = [left(head, 0), left("HOST", 2), right("BYTES", 0), right("BOUND", 1)];
    let rows: Vec<Vec<String>> = top
        .rows
        .iter()
        .take(ROWS_MAX)
        .map(|row| vec![row.key.clone(), row.host.clone(), units::bytes(row.bytes), row.bound_words()])
        .collect();
    // A service is of no host.
    if top.rows.iter().all(|row| row.host.is_empty()) {
        let rows: Vec<Vec<String>> = rows.into_iter().map(|row| without(row, 1)).collect();
        let [key, _, bytes, bound] = columns;
        return render(&[key, bytes, bound], &rows, Some(width));
    }
    render(&columns, &rows, Some(width))
}

fn without(mut row: Vec<String>, at: usize) -> Vec<String> {
    row.remove(at);
    row
}

/// A line for each member.
pub fn render_members(members: &[MemberView], width: Option<usize>) -> String {
    let columns = [
        left("HOST", 0),
        left("STATE", 0),
        left("SINCE UTC", 3),
        left("POLICY", 2),
        left("ADDRESS", 1),
        left("LABELS", 5),
        left("AGENT", 4),
        left("FLAGS", 6),
        left("ID", 7),
    ];
    let rows: Vec<Vec<String>> = members
        .iter()
        .map(|member| {
            let labels: Vec<String> = member.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let own = if member.is_self { " (this one)" } else { "" };
            let policy = match (&member.policy.stand, member.policy.reason.as_str()) {
                (StandKind::Unknown, _) => String::new(),
                (stand, "") => format!("{} {}", stand.name(), member.policy.version),
                (stand, reason) => format!("{} {}: {reason}", stand.name(), member.policy.version),
            };
            vec![
                format!("{}{own}", named(&member.name, &member.id)),
                member.state.name().to_owned(),
                member.since.as_deref().map(to_the_second).unwrap_or_default(),
                policy,
                member.addresses.first().cloned().unwrap_or_default(),
                labels.join(","),
                member.agent.clone(),
                member.flags.join(","),
                member.id.clone(),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}

/// Whose key is whose: each member's id, which is the hash of its key, and what it may do.
pub fn render_keys(members: &[MemberView], width: Option<usize>) -> String {
    let columns = [left("HOST", 0), left("KEY", 1), left("MAY", 2), left("STATE", 3), right("PROTOCOL", 4)];
    let rows: Vec<Vec<String>> = members
        .iter()
        .map(|member| {
            let may = if member.flags.iter().any(|flag| flag == "enroller") { "invite" } else { "" };
            let state = member.state.name().to_owned();
            let name = named(&member.name, &member.id);
            vec![name, member.id.clone(), may.to_owned(), state, member.protocol.to_string()]
        })
        .collect();
    render(&columns, &rows, width)
}

/// A line for each link.
pub fn render_links(links: &[LinkView], width: Option<usize>) -> String {
    let columns = [
        left("FROM", 0),
        left("TO", 0),
        right("RTT", 1),
        right("JITTER", 2),
        right("LOSS", 3),
        right("HEARD AGO", 5),
        left("HOW", 4),
    ];
    let rows: Vec<Vec<String>> = links
        .iter()
        .map(|link| {
            vec![
                named(&link.from, &link.from_id),
                named(&link.to, &link.to_id),
                units::seconds(link.rtt_seconds),
                units::seconds(link.jitter_seconds),
                units::percent(link.loss),
                units::seconds(link.heard_ms as f64 / 1e3),
                link.how.clone(),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}

/// The table of `hivewall flows` with the host that saw each flow in front.
pub fn render_fleet_flows(rows: &[FleetFlowRow], width: Option<usize>) -> String {
    let names: Vec<String> = rows.iter().map(|row| clean(&named(&row.host, &row.host_id))).collect();
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(4, HOST_COLUMNS_MAX);
    let flows: Vec<FlowRow> = rows.iter().map(|row| row.flow.clone()).collect();
    let table = render_table(&flows, width.map(|width| width.saturating_sub(wide + 2)));
    let names = std::iter::once("HOST".to_owned()).chain(names);
    let mut page = String::new();
    for (name, line) in names.zip(table.lines()) {
        let name = cut(&name, wide);
        let _ = writeln!(page, "{name:wide$}  {line}");
    }
    page
}

/// A line for each host.
pub fn render_digests(hosts: &[HostDigest], width: Option<usize>) -> String {
    let columns = [
        left("HOST", 0),
        right("IN", 1),
        right("OUT", 1),
        right("FLOWS", 2),
        left("POLICY", 2),
        right("REFUSED", 4),
        right("LOST", 3),
        left("SOURCE", 6),
        left("VERSION", 7),
        right("UP", 8),
        Column { cut: true, ..left("PROBLEM", 5) },
    ];
    let rows: Vec<Vec<String>> = hosts
        .iter()
        .map(|host| {
            let policy = if host.policy.is_empty() {
                "none".to_owned()
            } else {
                format!("{} {} {}", host.policy, host.policy_version, host.policy_mode)
            };
            vec![
                named(&host.name, &host.id),
                units::rate(host.in_bits_per_second),
                units::rate(host.out_bits_per_second),
                units::count(host.flows),
                policy,
                units::count(host.refused_packets),
                units::count(host.lost_packets),
                host.source.clone(),
                host.version.clone(),
                units::seconds(host.uptime_seconds),
                host.problems.first().cloned().unwrap_or_default(),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}

/// A line for each host.
pub fn render_rehearsals(hosts: &[HostRehearsal], width: Option<usize>) -> String {
    let columns = [
        left("HOST", 0),
        right("FLOWS", 2),
        right("CUT", 0),
        right("BYTES", 3),
        right("ACCEPTED", 4),
        left("NOW", 5),
        Column { cut: true, ..left("MOST CUT", 1) },
    ];
    let rows: Vec<Vec<String>> = hosts
        .iter()
        .map(|host| {
            let report = &host.rehearsal;
            let now = report
                .compared_with
                .as_ref()
                .map_or_else(|| "no policy".to_owned(), |policy| format!("{} {}", policy.name, policy.version));
            vec![
                named(&host.name, &host.id),
                units::count(report.seen.flows),
                units::count(host.cut.flows),
                units::bytes(host.cut.bytes),
                report.newly_accepted.map(|sum| units::count(sum.flows)).unwrap_or_default(),
                now,
                most_cut(report),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}

/// The rule that cuts most, and whom.
fn most_cut(report: &Rehearsal) -> String {
    let cuts = |rule: &RehearsalRule| rule.changed.unwrap_or(rule.decided).flows;
    let refusing = report.rules.iter().filter(|rule| !rule.peers.is_empty());
    let Some(rule) = refusing.max_by_key(|rule| cuts(rule)) else { return String::new() };
    let peer = rule.peers.first().map(|peer| peer.name.as_str()).unwrap_or_default();
    format!("{}: {peer}", rule.rule)
}

/// A line for each rule.
pub fn render_fleet_rules(rules: &[FleetRuleRow], width: Option<usize>) -> String {
    let columns = [
        left("POLICY", 2),
        left("RULE", 0),
        left("ACTION", 1),
        left("WAY", 5),
        right("HOSTS", 1),
        right("HIT", 3),
        right("PACKETS", 1),
        right("BYTES", 3),
        right("RATE", 4),
        left("LAST UTC", 6),
        Column { cut: true, ..left("MATCHES", 7) },
    ];
    let rows: Vec<Vec<String>> = rules
        .iter()
        .map(|row| {
            let policy = if row.policy.is_empty() { String::new() } else { format!("{} {}", row.policy, row.version) };
            vec![
                policy,
                row.rule.id.clone(),
                row.rule.action.clone(),
                row.rule.direction.clone(),
                units::count(row.hosts),
                units::count(row.hosts_hit),
                units::count(row.rule.packets),
                units::bytes(row.rule.bytes),
                units::per_second(row.rule.packets_per_second),
                row.rule.last_hit.as_deref().map(time_of_day).unwrap_or_default().to_owned(),
                row.rule.conditions.clone(),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}

#[cfg(test)]
mod tests;
