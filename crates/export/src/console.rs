//! Events as lines for people: `10:02:03 tcp 10.0.0.1:40000 → 10.0.0.2:443 outbound 1.2 MB in 3.2s (142/98 packets)
//! finished [eth0]`. Times are UTC, bytes are IP bytes, packets are client/server.
//!
//! Not meant to be parsed: the other formats are. Invariant: one event is one line, whatever an interface is named.

use std::fmt::{self, Write as _};

use hivewall_view::FlowRow;
use hivewall_view::time::time_of_day;
use hivewall_view::units;

use crate::event::{Event, StatsEvent};

/// Appends one event and its line end.
pub(crate) fn write(event: &Event, out: &mut Vec<u8>) -> fmt::Result {
    let mut line = String::with_capacity(160);
    match event {
        Event::Flow(row) => flow(row, &mut line)?,
        Event::Stats(stats) => statistics(stats, &mut line)?,
    }
    // The kernel lets an interface name hold control characters; a terminal would obey them.
    out.extend_from_slice(line.replace(char::is_control, "\u{fffd}").as_bytes());
    out.push(b'\n');
    Ok(())
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
    for vlan in &row.vlan {
        write!(line, " vlan {vlan}")?;
    }
    if let Some(tunnel) = &row.tunnel {
        write!(line, " in {tunnel}")?;
    }
    interfaces(row, line);
    Ok(())
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
