//! Events as lines for people: `10:02:03 tcp 10.0.0.1:40000 → 10.0.0.2:443 outbound 1.2 MB in 3.2s (142/98 packets)
//! finished [eth0] ~https www.example.com by curl[4711]`. Times are UTC, bytes are IP bytes, packets are client/server;
//! `~` marks what is a guess or inferred. What the policy said stands in the words of the filter, `verdict:drop rule:ssh`. What was said in a conversation begins with its kind instead of the protocol.
//!
//! `hivewall analyze` reads them as far as they go; other programs are better served by the other formats. Invariant: one
//! event is one line, whatever an interface, a process or a server is named.

use std::fmt::{self, Write as _};
use std::time::Duration;

use hivewall_model::{DnsMessage, HttpResponse};
use hivewall_view::FlowRow;
use hivewall_view::alerts::Severity;
use hivewall_view::fields::{shown_application, shown_name};
use hivewall_view::names::{dns_rcode, dns_type, tls_version};
use hivewall_view::time::time_of_day;
use hivewall_view::units;

use crate::event::{AlertEvent, Event, NameEvent, RefusalEvent, Said, StatsEvent};

/// Answers of a DNS response that a line shows.
const ANSWERS_MAX: usize = 4;

/// Appends one event and its line end.
pub(crate) fn write(event: &Event, out: &mut Vec<u8>) -> fmt::Result {
    let mut line = String::with_capacity(160);
    match event {
        Event::Flow(row) => flow(row, &mut line)?,
        Event::Stats(stats) => statistics(stats, &mut line)?,
        Event::Name(event) => name(event, &mut line)?,
        Event::Refusal(event) => refusal(event, &mut line)?,
        Event::Alert(event) => alert(event, &mut line)?,
        Event::Firewall(change) => {
            write!(line, "{} {} {}", time_of_day(&change.time), change.kind(), change.text())?;
        }
    }
    // The kernel lets an interface name hold control characters; a terminal would obey them.
    out.extend_from_slice(line.replace(char::is_control, "\u{fffd}").as_bytes());
    out.push(b'\n');
    Ok(())
}

/// The severity first, in capitals where somebody should look: such lines are looked for.
fn alert(event: &AlertEvent, line: &mut String) -> fmt::Result {
    let alert = &event.alert;
    let severity = alert.severity.name();
    let severity = if alert.severity >= Severity::Medium { severity.to_uppercase() } else { severity.to_owned() };
    write!(
        line,
        "{} alert {severity} {} {}: {}",
        time_of_day(&alert.last_seen),
        alert.detector,
        event.change,
        alert.message
    )?;
    if let Some(response) = &alert.response {
        write!(line, "; {} {}", response.action, response.outcome)?;
    }
    write!(line, " [{}]", alert.id)
}

fn flow(row: &FlowRow, line: &mut String) -> fmt::Result {
    write!(line, "{} {} ", time_of_day(&row.end), row.protocol)?;
    endpoint(&row.source_ip, row.src_port, line)?;
    line.push_str(if row.roles_known { " → " } else { " ↔ " });
    endpoint(&row.dest_ip, row.dest_port, line)?;
    if let (Some(kind), Some(code)) = (row.icmp_type, row.icmp_code) {
        write!(line, " type {kind} code {code}")?;
    }
    write!(
        line,
        " {} {} in {} ({}/{} packets) {}",
        row.direction,
        units::bytes(row.bytes),
        units::seconds(row.duration_seconds),
        row.packets_to_server,
        row.packets_to_client,
        row.end_reason.as_deref().unwrap_or("active"),
    )?;
    judgement(row, line)?;
    for vlan in &row.vlan {
        write!(line, " vlan {vlan}")?;
    }
    if let Some(tunnel) = &row.tunnel {
        write!(line, " in {tunnel}")?;
    }
    interfaces(row, line);
    for known in [shown_application(row), shown_name(row)].into_iter().flatten() {
        write!(line, " {known}")?;
    }
    if let Some(process) = &row.process {
        write!(line, " by {process}[{}]", row.pid.unwrap_or(0))?;
    }
    Ok(())
}

/// In the words of the filter, so that they can be asked for.
fn judgement(row: &FlowRow, line: &mut String) -> fmt::Result {
    let Some(verdict) = &row.verdict else { return Ok(()) };
    write!(line, " verdict:{verdict}")?;
    if let Some(rule) = &row.rule {
        ruled(rule, line)?;
    }
    if row.dropped_packets > 0 {
        write!(line, " dropped:{}", row.dropped_packets)?;
    }
    Ok(())
}

fn ruled(rule: &str, line: &mut String) -> fmt::Result {
    if rule.contains(' ') { write!(line, " rule:\"{rule}\"") } else { write!(line, " rule:{rule}") }
}

fn refusal(event: &RefusalEvent, line: &mut String) -> fmt::Result {
    let row = &event.row;
    write!(line, "{} {} ", time_of_day(&row.end), event.kind())?;
    let (client, server) = ((&row.source_ip, row.src_port), (&row.dest_ip, row.dest_port));
    let (from, to) = if event.to_server { (client, server) } else { (server, client) };
    endpoint(from.0, from.1, line)?;
    line.push_str(" → ");
    endpoint(to.0, to.1, line)?;
    write!(line, " {} verdict:{}", row.protocol, event.verdict)?;
    ruled(&event.rule, line)?;
    let way = if event.received { "into" } else { "out of" };
    write!(line, " {} packets, {} {way} [{}]", event.packets, units::bytes(event.ip_bytes), event.interface)?;
    if event.not_logged > 0 {
        write!(line, " ({} more not logged)", event.not_logged)?;
    }
    if let Some(process) = &row.process {
        write!(line, " by {process}[{}]", row.pid.unwrap_or(0))?;
    }
    Ok(())
}

fn name(event: &NameEvent, line: &mut String) -> fmt::Result {
    let tuple = &event.tuple;
    let port = |port| tuple.has_ports().then_some(port);
    write!(line, "{} {} ", time_of_day(&event.time), event.said.kind())?;
    endpoint(&tuple.client.to_string(), port(tuple.client_port), line)?;
    line.push_str(" → ");
    endpoint(&tuple.server.to_string(), port(tuple.server_port), line)?;
    match &event.said {
        Said::Dns(message) => dns(message, line)?,
        Said::Tls(hello) => {
            write!(line, " {} {}", hello.server_name.as_deref().unwrap_or("(no name)"), tls_version(hello.version))?;
            if let Some(alpn) = hello.alpn.first() {
                write!(line, " {alpn}")?;
            }
            write!(line, " {}", hello.ja4)?;
        }
        Said::Http(response) => http(response, line)?,
        Said::Ssh { text, from_client } => {
            let who = match from_client {
                Some(true) => "client",
                Some(false) => "server",
                None => "either",
            };
            write!(line, " {who} {text}")?;
        }
    }
    if let Some(process) = &event.process {
        write!(line, " by {}[{}]", process.comm, process.pid)?;
    }
    Ok(())
}

fn dns(message: &DnsMessage, line: &mut String) -> fmt::Result {
    let asked = if message.name.is_empty() { "." } else { &message.name };
    write!(line, " {} {asked}", dns_type(message.qtype))?;
    if !message.response {
        return Ok(());
    }
    write!(line, " {}", dns_rcode(message.rcode))?;
    for answer in message.answers.iter().take(ANSWERS_MAX) {
        match answer.address {
            Some(address) => write!(line, " {address}")?,
            None => write!(line, " {}", answer.text)?,
        }
    }
    if message.answers.len() > ANSWERS_MAX {
        write!(line, " and {} more", message.answers.len() - ANSWERS_MAX)?;
    }
    waited(message.latency, line)
}

fn http(response: &HttpResponse, line: &mut String) -> fmt::Result {
    if let Some(request) = &response.request {
        write!(line, " {} {}{}", request.method, request.host.as_deref().unwrap_or_default(), request.target)?;
    }
    write!(line, " {}", response.status)?;
    waited(response.latency, line)
}

fn waited(latency: Option<Duration>, line: &mut String) -> fmt::Result {
    latency.map_or(Ok(()), |latency| write!(line, " in {}", units::duration(latency)))
}

/// Each interface once, in the order they saw the flow.
fn interfaces(row: &FlowRow, line: &mut String) {
    let mut names: Vec<&str> = Vec::new();
    for point in &row.interfaces {
        if !names.contains(&point.interface.as_str()) {
            names.push(&point.interface);
        }
    }
    if !names.is_empty() {
        line.push_str(" [");
        line.push_str(&names.join(", "));
        line.push(']');
    }
}

fn endpoint(address: &str, port: Option<u16>, line: &mut String) -> fmt::Result {
    match port {
        Some(port) if address.contains(':') => write!(line, "[{address}]:{port}"),
        Some(port) => write!(line, "{address}:{port}"),
        None => line.write_str(address),
    }
}

fn statistics(stats: &StatsEvent, line: &mut String) -> fmt::Result {
    let flows = &stats.flows;
    write!(
        line,
        "{} stats after {}: {} packets, {}; {} flows now, {} in all, {:.1} new a second; {} packets invalid, {} lost",
        time_of_day(&stats.time),
        units::seconds(stats.uptime_seconds),
        stats.packets,
        units::bytes(stats.wire_bytes),
        flows.active,
        flows.total,
        flows.new_per_second,
        stats.invalid,
        stats.lost_packets(),
    )
}
