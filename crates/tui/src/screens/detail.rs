//! One flow with every field the agent gives. Not here: the table ([`super::flows`]).
//!
//! Invariant: every field is shown. A test takes the row apart without `..`, so one that is added to it cannot be
//! forgotten here.

use hivewall_view::fields::endpoint;
use hivewall_view::time::time_of_day;
use hivewall_view::{FlowRow, PointRow, units};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::parts;
use crate::app::App;
use crate::format::{grouped, latency};
use crate::paper::Paper;
use crate::theme::Theme;

/// Width of the column of labels.
const LABEL: usize = 16;
/// From this width on, what the flow is stands beside how it went.
const TWO_COLUMNS: u16 = 130;

/// One line: label, value, style of the value; a label without a value is the head of a group.
type Field = (&'static str, String, Style);

/// Draws the details over the screen: in two columns where there is room.
pub(super) fn draw(app: &App, flow: &FlowRow, scroll: usize, listed: bool, paper: &mut Paper<'_, '_>, area: Rect) {
    let client = endpoint(&flow.source_ip, flow.src_port);
    let server = endpoint(&flow.dest_ip, flow.dest_port);
    let arrow = if flow.roles_known { "→" } else { "~" };
    let note = if listed { "y copies · Esc closes" } else { "no longer listed · Esc closes" };
    let title = format!("{} {client} {arrow} {server}", flow.protocol);
    let inner = parts::section(app, &title, note, paper, area);
    if inner.width < TWO_COLUMNS {
        return parts::scrolled(lines(app.theme, flow), scroll, paper, inner);
    }
    let [left, right] = halves(app.theme, flow);
    let [left_area, right_area] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(inner);
    parts::scrolled(left, scroll, paper, left_area);
    parts::scrolled(right, scroll, paper, right_area);
}

/// All of it, one below the other.
fn lines(theme: Theme, flow: &FlowRow) -> Vec<Line<'static>> {
    let [left, right] = halves(theme, flow);
    left.into_iter().chain(right).collect()
}

/// What the flow is, and how it went.
fn halves(theme: Theme, flow: &FlowRow) -> [Vec<Line<'static>>; 2] {
    let all = |groups: Vec<Vec<Field>>| -> Vec<Line<'static>> {
        groups.into_iter().filter(|fields| fields.len() > 1).flatten().map(|field| line(theme, field)).collect()
    };
    let left = all(vec![conversation(theme, flow), process(theme, flow), names(theme, flow), life(theme, flow)]);
    let mut right = all(vec![traffic(theme, flow), policy(theme, flow), timing(theme, flow), tcp(theme, flow)]);
    right.push(Line::styled("Seen at", theme.title()));
    right.extend(flow.interfaces.iter().flat_map(|point| seen_at(theme, point)));
    [left, right]
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

/// Adds a field that is known.
fn push(list: &mut Vec<Field>, label: &'static str, value: Option<impl ToString>, style: Style) {
    list.extend(value.map(|value| (label, value.to_string(), style)).filter(|(_, value, _)| !value.is_empty()));
}

fn process(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let plain = theme.plain();
    let mut list = vec![("Process", String::new(), plain)];
    let named = |name: &Option<String>, pid: Option<u32>| {
        let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        name.as_ref().map(|name| format!("{name}{pid}"))
    };
    push(&mut list, "process", named(&flow.process, flow.pid), theme.strong());
    push(&mut list, "executable", flow.executable.as_ref(), plain);
    push(&mut list, "user", flow.user.as_ref(), plain);
    push(&mut list, "container", flow.container.as_ref(), theme.strong());
    push(&mut list, "container id", flow.container_id.as_ref(), plain);
    push(&mut list, "cgroup", flow.cgroup.as_ref(), plain);
    push(&mut list, "at the other end", named(&flow.peer_process, flow.peer_pid), theme.strong());
    list
}

fn names(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let plain = theme.plain();
    let mut list = vec![("Names", String::new(), plain)];
    let application = flow.application.as_ref().map(|name| {
        if flow.application_guessed {
            (format!("~{name}  guessed from the port"), theme.inferred())
        } else {
            (format!("{name}  as its payload shows"), theme.strong())
        }
    });
    list.extend(application.map(|(text, style)| ("application", text, style)));
    if let Some(name) = &flow.server_name {
        let (how, style) = match flow.server_name_source.as_deref() {
            Some("sni") => ("named in the ClientHello (sni)", theme.strong()),
            Some("host") => ("named in the request (host)", theme.strong()),
            Some("dns") => ("inferred from an earlier look-up (dns)", theme.inferred()),
            other => (other.unwrap_or_default(), plain),
        };
        list.push(("server name", format!("{name}  {how}"), style));
    }
    push(&mut list, "tls", flow.tls_version.as_ref(), plain);
    push(&mut list, "alpn", flow.tls_alpn.as_ref(), plain);
    push(&mut list, "ja4", flow.ja4.as_ref(), plain);
    let request = flow.http_method.as_ref().zip(flow.http_target.as_ref());
    push(&mut list, "http request", request.map(|(method, target)| format!("{method} {target}")), plain);
    let status = flow.http_status.map(|status| status.to_string());
    let style = theme.outcome(status.as_deref());
    push(&mut list, "http status", status, style);
    push(&mut list, "http requests", Some(flow.http_requests).filter(|count| *count > 0), plain);
    let query = flow.dns_query.as_ref().map(|name| format!("{name} {}", flow.dns_type.as_deref().unwrap_or_default()));
    push(&mut list, "dns query", query, plain);
    push(&mut list, "dns answer", flow.dns_rcode.as_ref(), theme.outcome(flow.dns_rcode.as_deref()));
    push(&mut list, "ssh client", flow.ssh_client.as_ref(), plain);
    push(&mut list, "ssh server", flow.ssh_server.as_ref(), plain);
    list
}

fn timing(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let mut list = vec![("Timing", String::new(), theme.plain())];
    let times = [
        ("smoothed rtt", flow.smoothed_rtt_seconds),
        ("  deviation", flow.rtt_deviation_seconds),
        ("handshake", flow.handshake_rtt_seconds),
        ("  to the server", flow.handshake_server_seconds),
        ("  to the client", flow.handshake_client_seconds),
        ("first response", flow.server_response_seconds),
        ("round trip", flow.round_trip_seconds),
        ("jitter", flow.jitter_seconds),
    ];
    for (label, seconds) in times {
        push(&mut list, label, seconds.map(latency), seconds.map_or(theme.plain(), |seconds| theme.latency(seconds)));
    }
    list
}

/// What the policy said, and what was dropped.
fn policy(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let plain = theme.plain();
    let mut list = vec![("Policy", String::new(), plain)];
    let said = |verdict: &Option<String>, rule: &Option<String>| {
        let verdict = verdict.as_ref()?;
        Some(format!("{verdict} by {}", rule.as_deref().unwrap_or("?")))
    };
    let style = match flow.verdict.as_deref() {
        Some("drop" | "reject") => theme.bad(),
        Some("observed") => theme.warn(),
        _ => plain,
    };
    push(&mut list, "verdict", said(&flow.verdict, &flow.rule), style);
    push(&mut list, "of replies", said(&flow.reply_verdict, &flow.reply_rule), theme.warn());
    push(&mut list, "", flow.would_drop.then_some("would be dropped if the policy were enforced"), theme.warn());
    let dropped = (flow.dropped_packets > 0).then(|| amount(flow.dropped_packets, flow.dropped_bytes));
    push(&mut list, "dropped", dropped, theme.bad());
    push(&mut list, "change", flow.policy_epoch, plain);
    list
}

fn tcp(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let plain = theme.plain();
    let mut list = vec![("TCP", String::new(), plain)];
    let state = flow.tcp_state.as_deref().and_then(|state| theme.state(state)).unwrap_or(plain);
    push(&mut list, "state", flow.tcp_state.as_ref(), state);
    push(&mut list, "flags to server", flow.tcp_flags_to_server.as_ref(), plain);
    push(&mut list, "flags to client", flow.tcp_flags_to_client.as_ref(), plain);
    for (label, count) in [("sent again", flow.retransmits), ("out of order", flow.out_of_order)] {
        let style = theme.trouble(count.unwrap_or(0).into());
        push(&mut list, label, count.map(|count| format!("{count} segments")), style);
    }
    list
}

fn life(theme: Theme, flow: &FlowRow) -> Vec<Field> {
    let plain = theme.plain();
    vec![
        ("Life", String::new(), plain),
        ("state", ended(&flow.state, flow.end_reason.as_deref()), plain),
        ("first packet", format!("{}  ({})", time_of_day(&flow.start), flow.start), plain),
        ("latest packet", format!("{}  ({})", time_of_day(&flow.end), flow.end), plain),
        ("lasted", units::seconds(flow.duration_seconds), plain),
    ]
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

fn seen_at(theme: Theme, point: &PointRow) -> [Line<'static>; 2] {
    let PointRow { interface, direction, to_server, packets, bytes, wire_bytes, tunnel } = point;
    let way = if *to_server { "to server" } else { "to client" };
    let tunnel = tunnel.as_deref().map(|tunnel| format!(", in {tunnel}")).unwrap_or_default();
    [
        Line::from(vec![
            Span::styled(format!("  {interface:<LABEL$} "), theme.strong()),
            Span::raw(amount(*packets, *bytes)),
        ]),
        Line::from(vec![
            Span::styled(format!("  {:<LABEL$} ", format!("  {direction}")), theme.dim()),
            Span::styled(format!("{way}, {} bytes on the wire{tunnel}", grouped(*wire_bytes)), theme.dim()),
        ]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{flow, known};
    use crate::theme::Palette;

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
            verdict: Some("observed".to_owned()),
            rule: Some("main:default-in".to_owned()),
            would_drop: true,
            policy_epoch: Some(61_007),
            reply_verdict: Some("drop".to_owned()),
            reply_rule: Some("out-web".to_owned()),
            dropped_packets: 4_711,
            dropped_bytes: 815_000,
            ..known(flow(5))
        };
        let shown = lines(Theme::new(Palette::Many), &row).iter().map(Line::to_string).collect::<Vec<_>>().join("\n");
        for text in texts(row.clone()).into_iter().chain(depth_texts(row)) {
            assert!(shown.contains(&text), "{text} is not in:\n{shown}");
        }
    }

    #[test]
    fn a_flow_of_which_little_is_known_has_no_empty_groups() {
        let row = FlowRow { interfaces: vec![], ..FlowRow::default() };
        let shown = lines(Theme::new(Palette::Many), &row).iter().map(Line::to_string).collect::<Vec<_>>().join("\n");
        for head in ["Process", "Names", "Policy", "Timing", "TCP"] {
            assert!(!shown.contains(head), "{head} is in:\n{shown}");
        }
    }

    /// What must be seen of each field that packets alone tell. None may be left out: those of [`depth_texts`] are named
    /// here and there.
    #[rustfmt::skip]
    fn texts(row: FlowRow) -> Vec<String> {
        let FlowRow {
            flow_id, community_id, start, end, duration_seconds, protocol, protocol_number, source_ip, src_port, dest_ip,
            dest_port, icmp_type, icmp_code, direction, roles_known, bytes, packets, bytes_to_server, bytes_to_client,
            packets_to_server, packets_to_client, wire_bytes_to_server, wire_bytes_to_client, tcp_flags_to_server,
            tcp_flags_to_client, tcp_state, state, end_reason, bits_per_second, vlan, tunnel, ports_unknown, interfaces,
            process: _, pid: _, executable: _, user: _, container: _, container_id: _, cgroup: _, peer_process: _,
            peer_pid: _, application: _, application_guessed: _, server_name: _, server_name_source: _, tls_version: _,
            tls_alpn: _, ja4: _, http_method: _, http_target: _, http_status: _, http_requests: _, dns_query: _,
            dns_type: _, dns_rcode: _, ssh_client: _, ssh_server: _, handshake_rtt_seconds: _,
            handshake_server_seconds: _, handshake_client_seconds: _, server_response_seconds: _, round_trip_seconds: _,
            jitter_seconds: _, smoothed_rtt_seconds: _, rtt_deviation_seconds: _, retransmits: _, out_of_order: _,
            verdict, rule, would_drop, policy_epoch, reply_verdict, reply_rule, dropped_packets, dropped_bytes,
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
        assert!(would_drop);
        texts.extend([
            format!("{} by {}", verdict.unwrap(), rule.unwrap()), "if the policy were enforced".to_owned(),
            format!("{} by {}", reply_verdict.unwrap(), reply_rule.unwrap()), grouped(dropped_packets),
            grouped(dropped_bytes), policy_epoch.unwrap().to_string(),
        ]);
        assert_eq!(vlan, [101, 7]);
        texts.extend([
            bytes, packets, bytes_to_server, bytes_to_client, packets_to_server, packets_to_client,
            wire_bytes_to_server, wire_bytes_to_client,
        ].map(grouped));
        texts.extend(interfaces.into_iter().flat_map(|point| [point.interface, point.direction, grouped(point.wire_bytes)]));
        texts
    }

    /// What must be seen of the fields beyond packets.
    #[rustfmt::skip]
    fn depth_texts(row: FlowRow) -> Vec<String> {
        assert!(!row.application_guessed);
        let mut texts = vec![
            format!("{} (pid {})", row.process.unwrap(), row.pid.unwrap()), row.executable.unwrap(), row.user.unwrap(),
            row.container.unwrap(), row.container_id.unwrap(), row.cgroup.unwrap(),
            format!("{} (pid {})", row.peer_process.unwrap(), row.peer_pid.unwrap()),
            format!("{}  as its payload", row.application.unwrap()),
            row.server_name.unwrap(), format!("({})", row.server_name_source.unwrap()),
            row.tls_version.unwrap(), row.tls_alpn.unwrap(), row.ja4.unwrap(),
            format!("{} {}", row.http_method.unwrap(), row.http_target.unwrap()), row.http_status.unwrap().to_string(),
            format!("http requests    {}", row.http_requests),
            format!("{} {}", row.dns_query.unwrap(), row.dns_type.unwrap()), row.dns_rcode.unwrap(),
            row.ssh_client.unwrap(), row.ssh_server.unwrap(),
            format!("{} segments", row.retransmits.unwrap()), format!("{} segments", row.out_of_order.unwrap()),
        ];
        texts.extend([
            row.handshake_rtt_seconds, row.handshake_server_seconds, row.handshake_client_seconds,
            row.server_response_seconds, row.round_trip_seconds, row.jitter_seconds, row.smoothed_rtt_seconds,
            row.rtt_deviation_seconds,
        ].map(|seconds| latency(seconds.unwrap())));
        texts
    }
}
