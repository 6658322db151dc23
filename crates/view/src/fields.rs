//! The catalogue of a flow row's fields: one table behind CSV, the table view and the reference page; and the table
//! that `-o table` prints.
//!
//! The JSON itself is `FlowRow`'s own. Invariant: the catalogue's names are the row's JSON keys, each once.

use crate::table::{self, Align, Column};
use crate::{FlowRow, units};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text, one of few words or an address.
    Text,
    /// A number.
    Number,
    /// RFC 3339.
    Time,
    /// A number of bytes.
    Bytes,
    /// True or false.
    Flag,
    /// Several values.
    List,
}

/// One field of a flow row.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Key in the JSON, column in CSV.
    pub name: &'static str,
    /// Short column header.
    pub title: &'static str,
    /// What it says, one sentence.
    pub doc: &'static str,
    /// Unit of the number; empty where there is none.
    pub unit: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it stands in CSV.
    pub csv: bool,
    /// The value as CSV has it: plain numbers, `true` or `false`, lists separated by spaces, empty when absent.
    pub get: fn(&FlowRow) -> String,
}

fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Names of the interfaces that saw the flow, each once.
fn interface_names(row: &FlowRow) -> String {
    let mut names: Vec<&str> = Vec::new();
    for point in &row.interfaces {
        if !names.contains(&point.interface.as_str()) {
            names.push(&point.interface);
        }
    }
    names.join(" ")
}

macro_rules! fields {
    ($($name:ident $kind:ident $title:literal $unit:literal $doc:literal $get:expr;)+) => {
        /// Every field, in the order of the JSON document.
        pub const FIELDS: &[Field] = &[$(Field {
            name: stringify!($name),
            title: $title,
            doc: $doc,
            unit: $unit,
            kind: FieldKind::$kind,
            csv: true,
            get: $get,
        }),+];
    };
}

fields! {
    flow_id Number "ID" "" "Number of the flow on its agent; unique since the agent's start." |r| r.flow_id.to_string();
    community_id Text "COMMUNITY ID" "" "Community ID, version 1." |r| r.community_id.clone();
    start Time "START" "" "First packet." |r| r.start.clone();
    end Time "END" "" "Latest packet." |r| r.end.clone();
    duration_seconds Number "DURATION" "s" "From the first packet to the latest." |r| r.duration_seconds.to_string();
    protocol Text "PROTO" "" "Protocol name, or its number where it has no usual name." |r| r.protocol.clone();
    protocol_number Number "PROTO NO" "" "IP protocol number." |r| r.protocol_number.to_string();
    source_ip Text "SOURCE" "" "Client address." |r| r.source_ip.clone();
    src_port Number "SPORT" "" "Client port; absent where the protocol has none." |r| shown(r.src_port.as_ref());
    dest_ip Text "DESTINATION" "" "Server address." |r| r.dest_ip.clone();
    dest_port Number "DPORT" "" "Server port; absent where the protocol has none." |r| shown(r.dest_port.as_ref());
    icmp_type Number "ICMP TYPE" "" "ICMP type of the first packet's direction." |r| shown(r.icmp_type.as_ref());
    icmp_code Number "ICMP CODE" "" "ICMP code." |r| shown(r.icmp_code.as_ref());
    direction Text "DIRECTION" "" "`inbound`, `outbound`, `local` or `transit`, as this host sees it."
        |r| r.direction.clone();
    roles_known Flag "ROLES" "" "False when the roles of client and server were guessed." |r| r.roles_known.to_string();
    bytes Bytes "BYTES" "B" "IP bytes, both directions." |r| r.bytes.to_string();
    packets Number "PACKETS" "packets" "Packets, both directions." |r| r.packets.to_string();
    bytes_to_server Bytes "BYTES OUT" "B" "IP bytes from client to server." |r| r.bytes_to_server.to_string();
    bytes_to_client Bytes "BYTES BACK" "B" "IP bytes from server to client." |r| r.bytes_to_client.to_string();
    packets_to_server Number "PKTS OUT" "packets" "Packets from client to server." |r| r.packets_to_server.to_string();
    packets_to_client Number "PKTS BACK" "packets" "Packets from server to client." |r| r.packets_to_client.to_string();
    wire_bytes_to_server Bytes "WIRE OUT" "B" "Link-layer bytes from client to server."
        |r| r.wire_bytes_to_server.to_string();
    wire_bytes_to_client Bytes "WIRE BACK" "B" "Link-layer bytes from server to client."
        |r| r.wire_bytes_to_client.to_string();
    tcp_flags_to_server Text "FLAGS OUT" "" "TCP flags from the client (`CEUAPRSF`, a dot for each one not seen)."
        |r| shown(r.tcp_flags_to_server.as_ref());
    tcp_flags_to_client Text "FLAGS BACK" "" "TCP flags from the server." |r| shown(r.tcp_flags_to_client.as_ref());
    tcp_state Text "TCP STATE" "" "TCP state as the packets show it." |r| shown(r.tcp_state.as_ref());
    state Text "STATE" "" "`active` while it lives, `closed` after." |r| r.state.clone();
    end_reason Text "ENDED BY" "" "Why it ended." |r| shown(r.end_reason.as_ref());
    bits_per_second Number "RATE" "bit/s" "IP bits per second, both directions, over the latest second."
        |r| r.bits_per_second.to_string();
    vlan List "VLAN" "" "VLAN ids, outer first." |r| r.vlan.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    tunnel Text "TUNNEL" "" "The tunnel its packets were inside of." |r| shown(r.tunnel.as_ref());
    ports_unknown Flag "NO PORTS" "" "Fragments whose first one was not seen: ports are unknown."
        |r| r.ports_unknown.to_string();
    process Text "PROCESS" "" "Command name of the process of this host: the client's, else the server's."
        |r| shown(r.process.as_ref());
    pid Number "PID" "" "Its process id." |r| shown(r.pid.as_ref());
    executable Text "EXECUTABLE" "" "Path of its executable." |r| shown(r.executable.as_ref());
    user Text "USER" "" "Its user: name, or number where there is no name." |r| shown(r.user.as_ref());
    container Text "CONTAINER" "" "Its container: name, or id where the runtime tells no name."
        |r| shown(r.container.as_ref());
    container_id Text "CONTAINER ID" "" "Id of its container." |r| shown(r.container_id.as_ref());
    cgroup Text "CGROUP" "" "Path of its cgroup." |r| shown(r.cgroup.as_ref());
    peer_process Text "PEER PROCESS" "" "Command name of the process at the other end, where both are on this host."
        |r| shown(r.peer_process.as_ref());
    peer_pid Number "PEER PID" "" "Its process id." |r| shown(r.peer_pid.as_ref());
    application Text "APPLICATION" "" "Application protocol: as the payload showed, or guessed from the server's port."
        |r| shown(r.application.as_ref());
    application_guessed Flag "GUESSED" "" "True when the application is a guess from the port; shown as `~https`."
        |r| r.application_guessed.to_string();
    server_name Text "NAME" "" "Name of the server." |r| shown(r.server_name.as_ref());
    server_name_source Text "NAMED BY" "" "How the name became known: `sni`, `host`, or `dns`, which is inferred."
        |r| shown(r.server_name_source.as_ref());
    tls_version Text "TLS" "" "Greatest TLS version the client offered." |r| shown(r.tls_version.as_ref());
    tls_alpn Text "ALPN" "" "First protocol the client offered by ALPN." |r| shown(r.tls_alpn.as_ref());
    ja4 Text "JA4" "" "JA4 fingerprint of the client." |r| shown(r.ja4.as_ref());
    http_method Text "METHOD" "" "Method of the latest HTTP request." |r| shown(r.http_method.as_ref());
    http_target Text "TARGET" "" "Target of the latest HTTP request." |r| shown(r.http_target.as_ref());
    http_status Number "STATUS" "" "Status of the latest HTTP response." |r| shown(r.http_status.as_ref());
    http_requests Number "REQUESTS" "requests" "HTTP requests seen." |r| r.http_requests.to_string();
    dns_query Text "DNS NAME" "" "Name of the latest DNS question." |r| shown(r.dns_query.as_ref());
    dns_type Text "DNS TYPE" "" "Type of the latest DNS question." |r| shown(r.dns_type.as_ref());
    dns_rcode Text "DNS RCODE" "" "Response code of the latest DNS response." |r| shown(r.dns_rcode.as_ref());
    ssh_client Text "SSH CLIENT" "" "SSH identification of the client." |r| shown(r.ssh_client.as_ref());
    ssh_server Text "SSH SERVER" "" "SSH identification of the server." |r| shown(r.ssh_server.as_ref());
    handshake_rtt_seconds Number "HANDSHAKE" "s" "TCP handshake, SYN to the last ACK."
        |r| shown(r.handshake_rtt_seconds.as_ref());
    handshake_server_seconds Number "TO SERVER" "s" "Of the handshake, SYN to SYN-ACK: to the server and back."
        |r| shown(r.handshake_server_seconds.as_ref());
    handshake_client_seconds Number "TO CLIENT" "s" "Of the handshake, SYN-ACK to ACK: to the client and back."
        |r| shown(r.handshake_client_seconds.as_ref());
    server_response_seconds Number "RESPONSE" "s" "From the client's first payload to the server's first."
        |r| shown(r.server_response_seconds.as_ref());
    round_trip_seconds Number "ROUND TRIP" "s" "Latest request-and-answer round trip (DNS, QUIC, ICMP echo)."
        |r| shown(r.round_trip_seconds.as_ref());
    jitter_seconds Number "JITTER" "s" "Jitter of round trips." |r| shown(r.jitter_seconds.as_ref());
    smoothed_rtt_seconds Number "SRTT" "s" "Smoothed round-trip time of the local TCP socket."
        |r| shown(r.smoothed_rtt_seconds.as_ref());
    rtt_deviation_seconds Number "RTT DEV" "s" "Its mean deviation." |r| shown(r.rtt_deviation_seconds.as_ref());
    retransmits Number "RETRANS" "segments" "Segments the local TCP socket sent again."
        |r| shown(r.retransmits.as_ref());
    out_of_order Number "REORDERED" "segments" "Segments the local TCP socket received out of order."
        |r| shown(r.out_of_order.as_ref());
    verdict Text "VERDICT" ""
        "What the policy said of the client's packets: `accept`, `drop`, `reject`, or `observed` (would be refused)."
        |r| shown(r.verdict.as_ref());
    rule Text "RULE" "" "Id of the rule that decided, or in parentheses what decided instead of a rule."
        |r| shown(r.rule.as_ref());
    would_drop Flag "WOULD DROP" "" "True where the verdict is `observed`." |r| r.would_drop.to_string();
    policy_epoch Number "EPOCH" "" "The change of policy that the verdict is of." |r| shown(r.policy_epoch.as_ref());
    reply_verdict Text "REPLY VERDICT" "" "What the policy said of the server's packets, where that is something else."
        |r| shown(r.reply_verdict.as_ref());
    reply_rule Text "REPLY RULE" "" "Id of the rule that decided about them." |r| shown(r.reply_rule.as_ref());
    dropped_packets Number "DROPPED" "packets" "Packets that were dropped, both directions."
        |r| r.dropped_packets.to_string();
    dropped_bytes Bytes "DROPPED BYTES" "B" "IP bytes of those." |r| r.dropped_bytes.to_string();
    interfaces List "INTERFACES" "" "Where it was seen; in CSV the names only." interface_names;
}

/// The fields that stand in CSV, in their order.
pub fn csv_fields() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(|field| field.csv)
}

/// The column names of CSV.
pub fn csv_header() -> Vec<&'static str> {
    csv_fields().map(|field| field.name).collect()
}

/// The values of a row, one for each column; not quoted yet, see [`csv_line`].
pub fn csv_values(row: &FlowRow) -> Vec<String> {
    csv_fields().map(|field| (field.get)(row)).collect()
}

/// One CSV line after RFC 4180, with a line feed at its end: values with commas, quotes or line breaks are quoted.
pub fn csv_line(values: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut line = String::new();
    for (at, value) in values.into_iter().enumerate() {
        let value = value.as_ref();
        if at > 0 {
            line.push(',');
        }
        if value.contains([',', '"', '\n', '\r']) {
            line.push('"');
            line.push_str(&value.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(value);
        }
    }
    line.push('\n');
    line
}

/// One column of `-o table`.
#[derive(Clone, Copy, Debug)]
pub struct TableField {
    /// Column header.
    pub title: &'static str,
    /// Numbers are flush right.
    pub align: Align,
    /// How soon it goes when the terminal is narrow: higher numbers first, 0 never.
    pub rank: u8,
    /// Whether its texts may lose their middle when nothing else helps.
    pub cut: bool,
    /// The text for people.
    pub text: fn(&FlowRow) -> String,
}

impl TableField {
    const fn left(title: &'static str, rank: u8, text: fn(&FlowRow) -> String) -> Self {
        Self { title, align: Align::Left, rank, cut: false, text }
    }

    const fn right(title: &'static str, rank: u8, text: fn(&FlowRow) -> String) -> Self {
        Self { title, align: Align::Right, rank, cut: false, text }
    }

    const fn cut(title: &'static str, rank: u8, text: fn(&FlowRow) -> String) -> Self {
        Self { title, align: Align::Left, rank, cut: true, text }
    }
}

/// The columns of `-o table`, from left to right.
pub const TABLE_FIELDS: &[TableField] = &[
    TableField::left("START UTC", 10, |row| crate::time::time_of_day(&row.start).to_owned()),
    TableField::left("PROTO", 2, protocol),
    TableField::cut("SOURCE", 0, |row| endpoint(&row.source_ip, row.src_port)),
    TableField::cut("DESTINATION", 0, |row| endpoint(&row.dest_ip, row.dest_port)),
    TableField::cut("NAME", 5, |row| shown_name(row).unwrap_or_default()),
    TableField::cut("PROCESS", 3, |row| shown(row.process.as_ref())),
    TableField::left("APPLICATION", 6, |row| shown_application(row).unwrap_or_default()),
    TableField::left("DIRECTION", 11, |row| row.direction.clone()),
    TableField::left("STATE", 8, state),
    TableField::left("VERDICT", 5, |row| shown(row.verdict.as_ref())),
    TableField::cut("RULE", 8, |row| shown(row.rule.as_ref())),
    TableField::right("PACKETS", 7, |row| units::count(row.packets)),
    TableField::right("BYTES", 1, |row| units::bytes(row.bytes)),
    TableField::right("RATE", 4, |row| units::rate(row.bits_per_second)),
    TableField::right("DURATION", 9, |row| units::seconds(row.duration_seconds)),
    TableField::left("INTERFACES", 12, interface_names),
];

/// `10.0.0.1:443`, `[fe80::1]:443`, or the address alone.
pub fn endpoint(address: &str, port: Option<u16>) -> String {
    match port {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    }
}

/// The server's name, `~` in front where it is inferred from an earlier look-up.
pub fn shown_name(row: &FlowRow) -> Option<String> {
    let name = row.server_name.as_ref()?;
    let inferred = row.server_name_source.as_deref() == Some(hivewall_model::NameSource::Dns.name());
    Some(if inferred { format!("~{name}") } else { name.clone() })
}

/// The application, `~` in front where it is a guess from the port.
pub fn shown_application(row: &FlowRow) -> Option<String> {
    let application = row.application.as_ref()?;
    Some(if row.application_guessed { format!("~{application}") } else { application.clone() })
}

/// `tcp`, or `icmp 8/0` with type and code.
fn protocol(row: &FlowRow) -> String {
    match row.icmp_type.zip(row.icmp_code) {
        Some((kind, code)) => format!("{} {kind}/{code}", row.protocol),
        None => row.protocol.clone(),
    }
}

/// What there is to know in one word: why it ended, else its TCP state, else `active`.
fn state(row: &FlowRow) -> String {
    let word = row.end_reason.as_ref().or(row.tcp_state.as_ref()).unwrap_or(&row.state);
    word.to_ascii_lowercase()
}

/// The table that `-o table` prints: a header and one line for each row. As `width` (terminal cells; `None`
/// for a pipe) shrinks, the least important columns go and long addresses and names lose their middle; on a terminal a
/// column that is empty in every row takes no room.
pub fn render_table(rows: &[FlowRow], width: Option<usize>) -> String {
    let told = |field: &&TableField| {
        width.is_none() || rows.is_empty() || rows.iter().any(|row| !(field.text)(row).is_empty())
    };
    let fields: Vec<&TableField> = TABLE_FIELDS.iter().filter(told).collect();
    let columns: Vec<Column> = fields
        .iter()
        .map(|field| Column { title: field.title, align: field.align, rank: field.rank, cut: field.cut })
        .collect();
    let texts: Vec<Vec<String>> =
        rows.iter().map(|row| fields.iter().map(|field| (field.text)(row)).collect()).collect();
    table::render(&columns, &texts, width)
}

#[cfg(test)]
mod tests;
