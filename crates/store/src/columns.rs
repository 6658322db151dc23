//! The catalogue of columns: what a flow is on disk, in the journal and in memory alike.
//!
//! Invariants: names never change their meaning and columns are only ever added at the end, so that a segment or journal
//! of an older version reads as one whose later columns are empty.

use hivewall_model::{NameSource, Perspective};

/// What a column holds. In memory every value is an `i64`; see [`crate::batch::Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Microseconds since 1970, UTC. `TIMESTAMP(MICROS, UTC)`.
    Time,
    /// A number below 2³¹. `INT32`.
    Narrow,
    /// Any number. `INT64`.
    Wide,
    /// True or false. `BOOLEAN`.
    Flag,
    /// One of few words; in memory its place in the list. `STRING`.
    Word(&'static [&'static str]),
    /// Text; in memory its place in the column's dictionary. `STRING`.
    Text,
    /// An IP address; in memory its place in the column's dictionary. `STRING`, as people write it.
    Address,
}

impl Kind {
    /// Whether it is text in Parquet.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Word(_) | Self::Text | Self::Address)
    }
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether a value may be missing.
    pub(crate) optional: bool,
    /// What it says, for those who open a segment with other tools.
    pub(crate) doc: &'static str,
}

const PERSPECTIVES: &[&str] = &["inbound", "outbound", "local", "transit"];
const TCP_STATES: &[&str] = &["SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSED", "RESET"];
const END_REASONS: &[&str] =
    &["finished", "reset", "idle_timeout", "active_timeout", "table_full", "reused", "shutdown"];
const NAME_SOURCES: &[&str] = &["sni", "host", "dns"];
const FATES: &[&str] = &["accept", "drop", "reject", "observed"];
const ENDS: &[&str] = &["source", "destination"];

macro_rules! columns {
    ($($id:ident $name:literal $kind:ident $(($words:expr))? $need:ident $doc:literal;)*) => {
        /// A column by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(crate) enum Col { $($id,)* }

        /// Every column, in the order of [`Col`].
        pub(crate) const COLUMNS: &[Column] = &[$(Column {
            name: $name,
            kind: Kind::$kind $(($words))?,
            optional: columns!(@$need),
            doc: $doc,
        },)*];

        /// Every column's name in the code.
        pub(crate) const ALL: &[Col] = &[$(Col::$id,)*];
    };
    (@needed) => { false };
    (@optional) => { true };
}

columns! {
    FlowId "flow_id" Wide needed "Number of the flow on its agent; unique since the agent's start.";
    Start "start" Time needed "First packet.";
    End "end" Time needed "Latest packet.";
    Protocol "protocol_number" Narrow needed "IP protocol number.";
    Source "source_ip" Address needed "Client address.";
    Destination "dest_ip" Address needed "Server address.";
    SourcePort "src_port" Narrow needed "Client port; the type for ICMP; 0 where the protocol has none.";
    DestinationPort "dest_port" Narrow needed "Server port; the code for ICMP.";
    Direction "direction" Word(PERSPECTIVES) needed "From where to where it goes, as the host sees it.";
    RolesKnown "roles_known" Flag needed "False when client and server were guessed.";
    PacketsToServer "packets_to_server" Wide needed "Packets from client to server.";
    PacketsToClient "packets_to_client" Wide needed "Packets from server to client.";
    BytesToServer "bytes_to_server" Wide needed "IP bytes from client to server.";
    BytesToClient "bytes_to_client" Wide needed "IP bytes from server to client.";
    ExtraToServer "extra_wire_bytes_to_server" Wide needed
        "Wire bytes from client to server beyond bytes_to_server + 14 * packets_to_server.";
    ExtraToClient "extra_wire_bytes_to_client" Wide needed
        "Wire bytes from server to client beyond bytes_to_client + 14 * packets_to_client.";
    FlagsToServer "tcp_flags_to_server" Narrow needed "TCP flags from the client, ORed.";
    FlagsToClient "tcp_flags_to_client" Narrow needed "TCP flags from the server, ORed.";
    TcpState "tcp_state" Word(TCP_STATES) optional "TCP state at the end.";
    EndReason "end_reason" Word(END_REASONS) optional "Why it ended.";
    BitsPerSecond "bits_per_second" Wide needed "IP bits per second over its latest second.";
    OuterVlan "vlan_outer" Narrow optional "Outer VLAN id.";
    InnerVlan "vlan_inner" Narrow optional "Inner VLAN id.";
    PortsUnknown "ports_unknown" Flag needed "Fragments whose first one was not seen.";
    Interfaces "interfaces" Text optional
        "Where it was seen: name/ingress|egress/server|client[/tunnel], one after the other.";
    InterfaceCounters "interface_counters" Text optional
        "packets/bytes/wire_bytes for each of interfaces; empty where each saw what the flow counts.";
    ProcessEnd "process_end" Word(ENDS) optional "The end at which the process is.";
    Pid "pid" Wide optional "Process id of the client's process, else the server's.";
    Process "process" Text optional "Command name of that process.";
    Executable "executable" Text optional "Path of its executable.";
    User "user" Text optional "Its user: name, or number.";
    Container "container" Text optional "Its container: name, or id.";
    ContainerId "container_id" Text optional "Id of its container.";
    Cgroup "cgroup" Text optional "Path of its cgroup.";
    PeerPid "peer_pid" Wide optional "Process id at the server's end, where both ends are on this host.";
    PeerProcess "peer_process" Text optional "Command name of that process.";
    Application "application" Text optional "Application protocol that the payload showed.";
    ServerName "server_name" Text optional "Name of the server.";
    ServerNameSource "server_name_source" Word(NAME_SOURCES) optional "How that name became known.";
    TlsVersion "tls_version" Narrow optional "Greatest TLS version the client offered: 772 is TLS 1.3.";
    TlsAlpn "tls_alpn" Text optional "First protocol the client offered by ALPN.";
    Ja4 "ja4" Text optional "JA4 fingerprint of the client.";
    HttpMethod "http_method" Text optional "Method of the latest HTTP request.";
    HttpTarget "http_target" Text optional "Target of the latest HTTP request.";
    HttpStatus "http_status" Narrow optional "Status of the latest HTTP response.";
    HttpRequests "http_requests" Wide optional "HTTP requests seen.";
    DnsQuery "dns_query" Text optional "Name of the latest DNS question.";
    DnsType "dns_type" Narrow optional "Type of the latest DNS question, by number.";
    DnsRcode "dns_rcode" Narrow optional "Response code of the latest DNS response, by number.";
    SshClient "ssh_client" Text optional "SSH identification of the client.";
    SshServer "ssh_server" Text optional "SSH identification of the server.";
    HandshakeServer "handshake_server_us" Wide optional "SYN to SYN-ACK, microseconds.";
    HandshakeClient "handshake_client_us" Wide optional "SYN-ACK to ACK, microseconds.";
    ServerResponse "server_response_us" Wide optional "Client's first payload to the server's first, microseconds.";
    RoundTrip "round_trip_us" Wide optional "Latest request-and-answer round trip, microseconds.";
    Jitter "jitter_us" Wide optional "Jitter of round trips, microseconds.";
    SmoothedRtt "smoothed_rtt_us" Wide optional "Smoothed round-trip time of the local TCP socket, microseconds.";
    RttDeviation "rtt_deviation_us" Wide optional "Its mean deviation, microseconds.";
    Retransmits "retransmits" Wide optional "Segments the local TCP socket sent again.";
    OutOfOrder "out_of_order" Wide optional "Segments the local TCP socket received out of order.";
    Verdict "verdict" Word(FATES) optional
        "What the policy said of the client's packets; observed: they passed and would be refused if it were enforced.";
    Rule "rule" Text optional "Id of the rule that decided, or in parentheses what decided instead of a rule.";
    PolicyEpoch "policy_epoch" Narrow optional "The change of policy that the verdict is of.";
    ReplyVerdict "reply_verdict" Word(FATES) optional
        "What the policy said of the server's packets, where that is something else.";
    ReplyRule "reply_rule" Text optional "Id of the rule that decided about them.";
    DroppedPackets "dropped_packets" Wide optional "Packets that were dropped, both directions.";
    DroppedBytes "dropped_bytes" Wide optional "IP bytes of those.";
}

/// Columns that tell who, when and how much: what most questions are about.
pub(crate) const PLAIN: &[Col] = &[
    Col::FlowId,
    Col::Start,
    Col::End,
    Col::Protocol,
    Col::Source,
    Col::Destination,
    Col::SourcePort,
    Col::DestinationPort,
    Col::Direction,
    Col::RolesKnown,
    Col::PacketsToServer,
    Col::PacketsToClient,
    Col::BytesToServer,
    Col::BytesToClient,
    Col::FlagsToServer,
    Col::FlagsToClient,
    Col::TcpState,
    Col::EndReason,
    Col::BitsPerSecond,
    Col::OuterVlan,
    Col::InnerVlan,
    Col::PortsUnknown,
    Col::Verdict,
    Col::ReplyVerdict,
];

impl Col {
    /// What it is.
    pub(crate) fn column(self) -> &'static Column {
        const NOTHING: &Column = &Column { name: "", kind: Kind::Wide, optional: true, doc: "" };
        // The macro writes both lists from one, so the place exists.
        COLUMNS.get(self as usize).unwrap_or(NOTHING)
    }
}

/// The place of a perspective in its word list.
pub(crate) fn perspective_word(value: Perspective) -> i64 {
    match value {
        Perspective::Inbound => 0,
        Perspective::Outbound => 1,
        Perspective::Local => 2,
        Perspective::Transit => 3,
    }
}

/// The perspective at a place.
pub(crate) fn perspective_at(word: i64) -> Perspective {
    match word {
        0 => Perspective::Inbound,
        1 => Perspective::Outbound,
        2 => Perspective::Local,
        _ => Perspective::Transit,
    }
}

/// The place of `value` in `all`, which is the order of its word list.
pub(crate) fn place<T: PartialEq>(all: &[T], value: &T) -> i64 {
    all.iter().position(|one| one == value).map_or(-1, |at| at as i64)
}

/// The value at a place.
pub(crate) fn at<T: Copy>(all: &[T], word: i64) -> Option<T> {
    usize::try_from(word).ok().and_then(|word| all.get(word)).copied()
}

/// Sources of names in the order of their word list.
pub(crate) const NAME_SOURCE_ORDER: [NameSource; 3] = [NameSource::Sni, NameSource::Host, NameSource::Dns];

#[cfg(test)]
mod tests {
    use super::*;
    use hivewall_model::{EndReason, Fate, TcpState};

    #[test]
    fn word_lists_are_the_names_that_are_shown_everywhere() {
        assert_eq!(TCP_STATES, TcpState::ALL.map(TcpState::name));
        assert_eq!(END_REASONS, EndReason::ALL.map(EndReason::name));
        assert_eq!(FATES, Fate::ALL.map(Fate::name));
        assert_eq!(NAME_SOURCES, NAME_SOURCE_ORDER.map(NameSource::name));
        for (place, name) in PERSPECTIVES.iter().enumerate() {
            assert_eq!(perspective_at(place as i64).name(), *name);
            assert_eq!(perspective_word(perspective_at(place as i64)), place as i64);
        }
    }

    #[test]
    fn every_column_stands_where_its_name_says_and_has_a_name_of_its_own() {
        for (place, col) in ALL.iter().enumerate() {
            assert_eq!(*col as usize, place);
            assert!(COLUMNS.iter().filter(|other| other.name == col.column().name).count() == 1);
            assert!(col.column().doc.ends_with('.'), "{}", col.column().name);
        }
    }
}
