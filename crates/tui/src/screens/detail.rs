//! One flow with every field the agent gives. Not here: the table ([`super::flows`]).
//!
//! Invariant: every field is shown. A test takes the row apart without `..`, so one that is added to it cannot be
//! forgotten here.

use hivewall_view::fields::endpoint;
use hivewall_view::time::time_of_day;
use hivewall_view::{FlowRow, PointRow, units};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::format::grouped;
use crate::theme::Theme;

/// Width of the column of labels.
const LABEL: usize = 15;

/// One line: label, value, style of the value; a label without a value is the head of a group.
type Field = (&'static str, String, Style);

/// Draws the details over the screen.
pub(super) fn draw(app: &App, flow: &FlowRow, scroll: usize, listed: bool, frame: &mut Frame<'_>, area: Rect) {
    let client = endpoint(&flow.source_ip, flow.src_port);
    let server = endpoint(&flow.dest_ip, flow.dest_port);
    let arrow = if flow.roles_known { "→" } else { "~" };
    let note = if listed { "Esc closes" } else { "no longer listed · Esc closes" };
    let title = format!("{} {client} {arrow} {server}", flow.protocol);
    let inner = parts::section(app, &title, note, frame, area);
    parts::scrolled(lines(app.theme, flow), scroll, frame, inner);
}

fn lines(theme: Theme, flow: &FlowRow) -> Vec<Line<'static>> {
    let groups = [conversation(theme, flow), traffic(theme, flow), life(theme, flow)];
    let mut lines: Vec<Line<'static>> = groups.into_iter().flatten().map(|field| line(theme, field)).collect();
    lines.push(Line::default());
    lines.push(Line::styled("Seen at", theme.title()));
    lines.extend(flow.interfaces.iter().map(|point| seen_at(theme, point)));
    lines
}

fn line(theme: Theme, (label, value, style): Field) -> Line<'static> {
    if value.is_empty() {
        return Line::styled(label, theme.title());
    }
    Line::from(vec![Span::styled(format!("  {label:<LABEL$} "), theme.dim()), Span::styled(value, style)])
}

fn conversation(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let plain = theme.plain();
    let (roles, roles_style) = roles(theme, flow.roles_known);
    let mut list = vec![
        ("Conversation", String::new(), plain),
        ("client", endpoint(&flow.source_ip, flow.src_port), theme.strong()),
        ("server", endpoint(&flow.dest_ip, flow.dest_port), theme.strong()),
        ("roles", roles, roles_style),
        ("protocol", protocol_text(&flow.protocol, flow.protocol_number), plain),
    ];
    if let (Some(kind), Some(code)) = (flow.icmp_type, flow.icmp_code) {
        list.push(("icmp", format!("type {kind}, code {code}"), plain));
    }
    if flow.ports_unknown {
        list.push(("ports", "unknown: the first fragment was not seen".to_owned(), theme.warn()));
    }
    list.push(("direction", flow.direction.clone(), plain));
    if !flow.vlan.is_empty() {
        list.push(("vlan", flow.vlan.iter().map(u16::to_string).collect::<Vec<_>>().join(", "), plain));
    }
    if let Some(tunnel) = &flow.tunnel {
        list.push(("tunnel", tunnel.clone(), plain));
    }
    list.push(("flow id", flow.flow_id.to_string(), plain));
    list.push(("community id", flow.community_id.clone(), plain));
    list
}

fn traffic(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let plain = theme.plain();
    let wire = |bytes| format!("{} bytes on the wire", grouped(bytes));
    vec![
        ("Traffic", String::new(), plain),
        ("rate now", units::rate(flow.bits_per_second), theme.strong()),
        ("total", amount(flow.packets, flow.bytes), plain),
        ("to server", amount(flow.packets_to_server, flow.bytes_to_server), plain),
        ("", wire(flow.wire_bytes_to_server), theme.dim()),
        ("to client", amount(flow.packets_to_client, flow.bytes_to_client), plain),
        ("", wire(flow.wire_bytes_to_client), theme.dim()),
    ]
}

fn life(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let plain = theme.plain();
    let mut list =
        vec![("Life", String::new(), plain), ("state", ended(&flow.state, flow.end_reason.as_deref()), plain)];
    if let Some(tcp) = &flow.tcp_state {
        list.push(("tcp state", tcp.clone(), theme.state(tcp).unwrap_or(plain)));
    }
    if let Some(flags) = &flow.tcp_flags_to_server {
        list.push(("flags to server", flags.clone(), plain));
    }
    if let Some(flags) = &flow.tcp_flags_to_client {
        list.push(("flags to client", flags.clone(), plain));
    }
    list.push(("first packet", format!("{}  ({})", time_of_day(&flow.start), flow.start), plain));
    list.push(("latest packet", format!("{}  ({})", time_of_day(&flow.end), flow.end), plain));
    list.push(("lasted", units::seconds(flow.duration_seconds), plain));
    list
}

fn roles(theme: Theme, known: bool) -> (String, Style) {
    if known {
        ("known".to_owned(), theme.plain())
    } else {
        ("~ guessed: no handshake was seen".to_owned(), theme.inferred())
    }
}

/// The name and the number, unless the name is the number.
fn protocol_text(name: &str, number: u8) -> String {
    if name.parse::<u8>().is_ok() { name.to_owned() } else { format!("{name} ({number})") }
}

fn ended(state: &str, reason: Option<&str>) -> String {
    reason.map_or_else(|| state.to_owned(), |reason| format!("{state}: {}", reason.replace('_', " ")))
}

/// Packets and bytes, exact and rounded.
fn amount(packets: u64, bytes: u64) -> String {
    format!("{} packets, {} bytes ({})", grouped(packets), grouped(bytes), units::bytes(bytes))
}

fn seen_at(theme: Theme, point: &PointRow) -> Line<'static> {
    let PointRow { interface, direction, to_server, packets, bytes, wire_bytes, tunnel } = point;
    let way = if *to_server { "to server" } else { "to client" };
    let tunnel = tunnel.as_deref().map(|tunnel| format!(", in {tunnel}")).unwrap_or_default();
    Line::from(vec![
        Span::styled(format!("  {interface:<LABEL$} "), theme.strong()),
        Span::styled(format!("{direction:<8} {way}  "), theme.dim()),
        Span::raw(format!("{}, {} on the wire{tunnel}", amount(*packets, *bytes), grouped(*wire_bytes))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::flow;

    #[test]
    fn every_field_is_shown() {
        let row = FlowRow {
            icmp_type: Some(8),
            icmp_code: Some(250),
            ports_unknown: true,
            vlan: vec![101, 7],
            tunnel: Some("geneve".to_owned()),
            end_reason: Some("table_full".to_owned()),
            wire_bytes_to_client: 987_654_321,
            ..flow(5)
        };
        let shown = lines(Theme::new(true), &row).iter().map(Line::to_string).collect::<Vec<_>>().join("\n");
        for text in texts(row) {
            assert!(shown.contains(&text), "{text} is not in:\n{shown}");
        }
    }

    /// What must be seen of each field.
    #[rustfmt::skip]
    fn texts(row: FlowRow) -> Vec<String> {
        let FlowRow {
            flow_id, community_id, start, end, duration_seconds, protocol, protocol_number, source_ip, src_port, dest_ip,
            dest_port, icmp_type, icmp_code, direction, roles_known, bytes, packets, bytes_to_server, bytes_to_client,
            packets_to_server, packets_to_client, wire_bytes_to_server, wire_bytes_to_client, tcp_flags_to_server,
            tcp_flags_to_client, tcp_state, state, end_reason, bits_per_second, vlan, tunnel, ports_unknown, interfaces, ..
        } = row;
        assert!(ports_unknown && !roles_known);
        let mut texts = vec![
            community_id, start, end, protocol, source_ip, dest_ip, direction, state,
            units::seconds(duration_seconds), units::rate(bits_per_second),
            flow_id.to_string(), format!("({protocol_number})"), "guessed".to_owned(), "first fragment".to_owned(),
            format!("type {}", icmp_type.unwrap()), format!("code {}", icmp_code.unwrap()),
            format!(":{}", src_port.unwrap()), format!(":{}", dest_port.unwrap()),
            tcp_flags_to_server.unwrap(), tcp_flags_to_client.unwrap(), tcp_state.unwrap(), tunnel.unwrap(),
            end_reason.unwrap().replace('_', " "), "101, 7".to_owned(),
        ];
        assert_eq!(vlan, [101, 7]);
        texts.extend([
            bytes, packets, bytes_to_server, bytes_to_client, packets_to_server, packets_to_client,
            wire_bytes_to_server, wire_bytes_to_client,
        ].map(grouped));
        texts.extend(interfaces.into_iter().flat_map(|point| [point.interface, point.direction, grouped(point.wire_bytes)]));
        texts
    }
}
