//! Fields of what was learned beyond the packets' headers: processes, names, answers, times.
//!
//! Invariant: what a flow does not have matches no value, so a negated field also matches flows without it.

use super::{Key, ValueKind};
use crate::filter::named::Named;
use crate::filter::term::{self, Op, Quantity, Test};

macro_rules! named {
    ($what:ident $name:literal, $aliases:expr, $example:literal, $doc:literal) => {
        Key {
            name: $name,
            aliases: &$aliases,
            kind: ValueKind::Glob,
            doc: $doc,
            example: $example,
            read: |value, _| term::nonempty(value).map(|pattern| Test::Named(Named::$what, pattern)),
        }
    };
}

/// In the order of the help text.
pub(super) const DEPTH: &[Key] = &[
    named!(Process "process", ["comm", "peer-process"], "process:nginx",
        "Command name of a process of this host at either end."),
    Key {
        name: "pid",
        aliases: &["peer-pid"],
        kind: ValueKind::Number,
        doc: "Process id at either end.",
        example: "pid:4711",
        read: |value, _| value.parse().ok().map(Test::Pid),
    },
    named!(User "user", ["uid"], "user:www-data",
        "User of the process: name, or number where there is no name."),
    named!(Container "container", ["container-id"], "container:web-*",
        "Container of the process: its name, its id, or four or more of the id's first digits."),
    named!(Executable "executable", ["exe"], "executable:/usr/sbin/*",
        "Path of the process's executable, or the file's name."),
    named!(Cgroup "cgroup", [], "cgroup:nginx.service",
        "Path of the process's cgroup, or its last part."),
    named!(Application "application", ["app"], "application:http",
        "Application protocol, as the payload showed or as the server's port suggests."),
    named!(Server "name", ["server-name"], "name:*.example.com",
        "Name of the server, said in the conversation or inferred from an earlier look-up."),
    named!(Sni "sni", [], "sni:*.example.com",
        "Name of the server as the client's TLS hello has it."),
    named!(HttpHost "http-host", [], "http-host:www.example.com",
        "Name of the server as an HTTP request has it."),
    named!(HttpMethod "http-method", ["method"], "http-method:POST",
        "Method of the latest HTTP request."),
    named!(HttpTarget "http-target", ["target", "url"], "http-target:/api/*",
        "Target of the latest HTTP request."),
    Key {
        name: "http-status",
        aliases: &["status"],
        kind: ValueKind::Status,
        doc: "Status of the latest HTTP response.",
        example: "http-status:404,5xx",
        read: |value, _| term::statuses(value).map(Test::HttpStatus),
    },
    named!(TlsVersion "tls-version", ["tls"], "tls-version:*1.3",
        "Greatest TLS version the client offered: `TLS 1.3`, ...."),
    named!(Alpn "alpn", ["tls-alpn"], "alpn:h2",
        "First protocol the client offered by ALPN."),
    named!(Ja4 "ja4", [], "ja4:t13d*",
        "JA4 fingerprint of the client."),
    named!(DnsQuery "dns-query", ["dns", "query"], "dns-query:*.example.com",
        "Name of the latest DNS question."),
    named!(DnsType "dns-type", ["qtype"], "dns-type:AAAA",
        "Type of the latest DNS question."),
    named!(DnsRcode "dns-rcode", ["rcode"], "dns-rcode:NXDOMAIN",
        "Response code of the latest DNS response."),
    named!(Ssh "ssh", ["ssh-client", "ssh-server"], "ssh:*OpenSSH*",
        "SSH identification of either end."),
    Key {
        name: "rtt",
        aliases: &["latency"],
        kind: ValueKind::Comparison(&ValueKind::Duration),
        doc: "Round-trip time: the local socket's own, else of the handshake, else of the latest request and answer.",
        example: "rtt>50ms",
        read: |value, _| term::comparison(Quantity::Rtt, value),
    },
    Key {
        name: "min-rtt",
        aliases: &[],
        kind: ValueKind::Duration,
        doc: "At least so long a round trip.",
        example: "min-rtt:100ms",
        read: |value, _| Some(Test::Compare(Quantity::Rtt, Op::AtLeast, Quantity::Rtt.parse(value)?)),
    },
    Key {
        name: "retransmits",
        aliases: &["retrans"],
        kind: ValueKind::Comparison(&ValueKind::Count),
        doc: "Segments the local TCP socket sent again.",
        example: "retransmits>0",
        read: |value, _| term::comparison(Quantity::Retransmits, value),
    },
    Key {
        name: "out-of-order",
        aliases: &["reordered"],
        kind: ValueKind::Comparison(&ValueKind::Count),
        doc: "Segments the local TCP socket received out of order.",
        example: "out-of-order>=10",
        read: |value, _| term::comparison(Quantity::OutOfOrder, value),
    },
];
