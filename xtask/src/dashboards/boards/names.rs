//! DNS, HTTP, TLS: what the first bytes of conversations show.
//!
//! Invariant: no name that was asked for is a label; names are on the agents' own pages.

use super::super::{Board, Row, bars, lines, stack, stat};

pub(super) const BOARD: Board = Board {
    uid: "hivewall-names",
    title: "DNS, HTTP, TLS",
    about: "Look-ups, requests and handshakes that passed: how many, of what kind, how they ended, how long they took.",
    has_devices: false,
    rows: &[
        Row {
            title: "DNS",
            panels: &[
                stat("Queries", "ops", "DNS queries a second.", &[
                    ("sum(rate(hivewall_dns_queries_total{@i}[$__rate_interval]))", ""),
                ]),
                stat("Failures", "percentunit", "Share of answers that are SERVFAIL, REFUSED, FORMERR or NOTIMP.", &[(
                    "(sum(rate(hivewall_dns_responses_total{@i,rcode=~\"SERVFAIL|REFUSED|FORMERR|NOTIMP\"}[$__rate_interval])) or vector(0)) \
                     / (sum(rate(hivewall_dns_responses_total{@i}[$__rate_interval])) > 0) or vector(0)",
                    "",
                )])
                .warn(0.05, 0.2),
                stat("Multicast DNS", "ops", "Messages of multicast DNS and LLMNR a second.", &[
                    ("sum(rate(hivewall_dns_multicast_total{@i}[$__rate_interval]))", ""),
                ]),
                lines("Time to the answer", "s", "Half and 95 of 100 of all look-ups since the start; a quantile is exact to a factor of √2.", &[
                    ("hivewall_dns_latency_seconds{@i}", "{{instance}} {{quantile}}"),
                    (
                        "rate(hivewall_dns_latency_seconds_sum{@i}[$__rate_interval]) / (rate(hivewall_dns_latency_seconds_count{@i}[$__rate_interval]) > 0)",
                        "{{instance}} mean of late",
                    ),
                ]),
                stack("Queries by type", "ops", "Types without a name are other.", &[
                    ("sum by (type) (rate(hivewall_dns_queries_total{@i}[$__rate_interval]))", "{{type}}"),
                ]),
                stack("Answers by code", "ops", "Response codes; NXDOMAIN is a name that does not exist.", &[
                    ("sum by (rcode) (rate(hivewall_dns_responses_total{@i}[$__rate_interval]))", "{{rcode}}"),
                ]),
            ],
        },
        Row {
            title: "HTTP/1.x in the clear",
            panels: &[
                stack("Requests by method", "reqps", "Requests a second.", &[
                    ("sum by (method) (rate(hivewall_http_requests_total{@i}[$__rate_interval]))", "{{method}}"),
                ]),
                stack("Answers by class of the status", "reqps", "2xx is success, 4xx the client's fault, 5xx the server's.", &[
                    ("sum by (code) (rate(hivewall_http_responses_total{@i}[$__rate_interval]))", "{{code}}"),
                ]),
                lines("Time to the head of the answer", "s", "Half and 95 of 100 of all requests since the start.", &[
                    ("hivewall_http_latency_seconds{@i}", "{{instance}} {{quantile}}"),
                    (
                        "rate(hivewall_http_latency_seconds_sum{@i}[$__rate_interval]) / (rate(hivewall_http_latency_seconds_count{@i}[$__rate_interval]) > 0)",
                        "{{instance}} mean of late",
                    ),
                ]),
                lines("Share of errors", "percentunit", "Answers of class 4xx and 5xx among all.", &[(
                    "sum by (instance, code) (rate(hivewall_http_responses_total{@i,code=~\"4xx|5xx\"}[$__rate_interval])) \
                     / on (instance) group_left () sum by (instance) (rate(hivewall_http_responses_total{@i}[$__rate_interval]))",
                    "{{instance}} {{code}}",
                )]),
            ],
        },
        Row {
            title: "TLS and QUIC",
            panels: &[
                stack("Handshakes by version", "ops", "The greatest version that the client offered; a version without a name is other.", &[
                    ("sum by (version) (rate(hivewall_tls_handshakes_total{@i}[$__rate_interval]))", "{{version}}"),
                ]),
                lines("QUIC handshakes", "ops", "Of them, those in QUIC.", &[
                    ("sum by (instance) (rate(hivewall_quic_handshakes_total{@i}[$__rate_interval]))", "{{instance}}"),
                ]),
                bars("Versions since the start", "short", "How many handshakes of each version.", &[
                    ("sum by (version) (hivewall_tls_handshakes_total{@i})", "{{version}}"),
                ]),
                lines("Copies of first bytes", "ops", "How many payloads were looked at for names, a second.", &[
                    ("rate(hivewall_payload_copies_total{@i}[$__rate_interval])", "{{instance}}"),
                ]),
            ],
        },
    ],
};
