//! What holds for every filter: its text reads back as itself, a flow and its row get the same answer, terms combine as
//! documented, and no input makes the parser panic.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::{
    Container, Direction, DnsMessage, EndReason, Flow, FlowId, FlowNames, HttpRequest, NameSource, Perspective, Point,
    Process, Side, TcpFlags, TcpState, Timestamp, Timing, TlsHello, Tunnel, Tuple, community_id,
};
use hivewall_view::{Filter, FlowRow, filter::keys};
use proptest::prelude::*;
use proptest::sample::select;

const NOW: Timestamp = Timestamp::from_secs(1_795_255_200);

const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.2", "10.1.0.1", "192.0.2.7", "2001:db8::1", "fe80::1"];

fn name(index: u32) -> String {
    ["lo", "eth0", "eth1", "br-lan", "wg 0"].get(index as usize).map_or_else(String::new, |name| (*name).to_owned())
}

fn address() -> impl Strategy<Value = IpAddr> {
    select(&ADDRESSES).prop_map(|text| text.parse().expect("an address"))
}

fn side() -> impl Strategy<Value = Side> {
    (0_u64..20, 0_u64..3000, any::<u8>()).prop_map(|(packets, ip_bytes, flags)| Side {
        packets,
        ip_bytes,
        wire_bytes: ip_bytes + 14 * packets,
        flags: TcpFlags(flags),
    })
}

fn tunnel() -> impl Strategy<Value = Option<Tunnel>> {
    const ALL: [Tunnel; 5] = [Tunnel::Ipip, Tunnel::SixInFour, Tunnel::Gre, Tunnel::Vxlan, Tunnel::Geneve];
    prop_oneof![Just(None), select(&ALL).prop_map(Some)]
}

fn point() -> impl Strategy<Value = Point> {
    (0_u32..5, any::<bool>(), any::<bool>(), tunnel()).prop_map(|(ifindex, egress, to_server, tunnel)| Point {
        ifindex,
        direction: if egress { Direction::Egress } else { Direction::Ingress },
        to_server,
        tunnel,
        side: Side::default(),
    })
}

prop_compose! {
    fn tuple()(
        protocol in select(&[1_u8, 6, 17, 47, 58, 132, 253]),
        client in address(),
        server in address(),
        client_port in select(&[0_u16, 8, 80, 443, 40_000]),
        server_port in select(&[0_u16, 22, 80, 443]),
        vlans in select(&[[0_u16, 0], [100, 0], [100, 7]]),
    ) -> Tuple {
        Tuple { protocol, client, server, client_port, server_port, vlans }
    }
}

fn process() -> impl Strategy<Value = Option<Arc<Process>>> {
    let some = |texts: &'static [&'static str]| {
        prop_oneof![Just(None), select(texts).prop_map(|text| Some(Box::<str>::from(text)))]
    };
    let container = (select(&["0123456789ab", "web", "deadbeef0000"][..]), some(&["web-1", "db"]))
        .prop_map(|(id, name)| Container { runtime: "docker", id: id.into(), name });
    let process = (
        0_u32..4,
        select(&["curl", "nginx: worker", "Ü"][..]),
        some(&["/usr/bin/curl", "/usr/sbin/nginx"]),
        0_u32..3,
        some(&["root", "www-data"]),
        some(&["/system.slice/a.service", "/"]),
        prop::option::of(container),
    )
        .prop_map(|(pid, comm, executable, uid, user, cgroup, container)| Process {
            pid,
            comm: comm.into(),
            executable,
            uid,
            user,
            cgroup,
            container,
            ..Process::default()
        });
    prop::option::of(process.prop_map(Arc::new))
}

fn names() -> impl Strategy<Value = Option<Arc<FlowNames>>> {
    let text = |texts: &'static [&'static str]| select(texts).prop_map(Box::<str>::from);
    let server = (
        select(&["www.example.com", "Example.COM", ""][..]).prop_map(Arc::<str>::from),
        select(&[NameSource::Sni, NameSource::Host, NameSource::Dns][..]),
    );
    let tls = (prop::collection::vec(text(&["h2", "http/1.1"]), 0..3), any::<u16>(), text(&["t13d", ""]))
        .prop_map(|(alpn, version, ja4)| Arc::new(TlsHello { alpn, version, ja4, ..TlsHello::default() }));
    let http = (text(&["GET", "POST"]), text(&["/", "/a,b"]))
        .prop_map(|(method, target)| Arc::new(HttpRequest { method, target, ..HttpRequest::default() }));
    let dns =
        (any::<bool>(), text(&["a.example", ""]), 0_u16..30, 0_u16..20).prop_map(|(response, name, qtype, rcode)| {
            Arc::new(DnsMessage { response, name, qtype, rcode, ..DnsMessage::default() })
        });
    let banner = || prop::option::of(select(&["SSH-2.0-OpenSSH_9.6", "SSH-2.0-x"][..]).prop_map(Arc::<str>::from));
    let names = (
        prop::option::of(select(&["dns", "http", "tls"][..])),
        prop::option::of(server),
        prop::option::of(tls),
        prop::option::of(http),
        prop::option::of(100_u16..600),
        prop::option::of(dns),
        [banner(), banner()],
    )
        .prop_map(|(application, server, tls, http, http_status, dns, ssh)| FlowNames {
            application,
            server,
            tls,
            http,
            http_status,
            http_requests: 0,
            dns,
            ssh,
        });
    prop::option::of(names.prop_map(Arc::new))
}

fn timing() -> impl Strategy<Value = Timing> {
    // To the nanosecond, from none to days.
    let time =
        || prop::option::of(prop_oneof![0_u64..3_000, 0_u64..400_000_000_000_000].prop_map(Duration::from_nanos));
    let count = || prop::option::of(0_u32..4);
    (time(), time(), time(), time(), count(), count()).prop_map(
        |(handshake_server, handshake_client, smoothed_rtt, round_trip, retransmits, out_of_order)| Timing {
            handshake_server,
            handshake_client,
            smoothed_rtt,
            round_trip,
            retransmits,
            out_of_order,
            ..Timing::default()
        },
    )
}

prop_compose! {
    fn flow()(
        id in 0_u64..4,
        tuple in tuple(),
        perspective in select(&[Perspective::Inbound, Perspective::Outbound, Perspective::Local, Perspective::Transit]),
        to_server in side(),
        to_client in side(),
        // Down to the nanosecond, and before 1970.
        start in prop_oneof![NOW.0 - 600_000_000_000..NOW.0, -3_000_i64..3_000],
        lasted in prop_oneof![0_i64..5_000, 0_i64..600_000_000_000],
        state in select(&TcpState::ALL),
        ended in prop_oneof![Just(None), select(&EndReason::ALL).prop_map(Some)],
        points in prop::collection::vec(point(), 0..4),
        rate in prop_oneof![Just(0.0), 0.0..1e6],
        processes in [process(), process()],
        names in names(),
        timing in timing(),
    ) -> Flow {
        let [client_process, server_process] = processes;
        Flow {
            id: FlowId(id), tuple, roles_known: true, perspective, to_server, to_client,
            start: Timestamp(start), last: Timestamp(start + lasted),
            tcp_state: (tuple.protocol == 6).then_some(state),
            ended, portless: false, points, rate, client_process, server_process, names, timing,
            judgement: None,
        }
    }
}

/// A field and a value that it takes; half of the values are drawn so that generated flows often match.
fn term() -> impl Strategy<Value = (&'static str, String)> {
    let ports = prop_oneof![
        select(&["0", "80,443", "1-1023", "40000", "22-80,8"]).prop_map(str::to_owned),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ];
    let nets = prop_oneof![
        select(&ADDRESSES).prop_map(str::to_owned),
        (any::<u32>(), 0_u8..=32).prop_map(|(ip, len)| format!("{}/{len}", std::net::Ipv4Addr::from(ip))),
        (any::<u128>(), 0_u8..=128).prop_map(|(ip, len)| format!("{}/{len}", std::net::Ipv6Addr::from(ip))),
        select(&["10.0.0.0/24", "2001:db8::/32", "0.0.0.0/0", "::ffff:10.0.0.0/112"]).prop_map(str::to_owned),
    ];
    let words = |key: &'static str| {
        let key = keys().find(|one| one.name == key).expect("a field");
        select(key.kind.choices()).prop_map(move |word| (key.name, word.to_owned()))
    };
    let sign = || select(&[">", ">=", "<", "<=", "="][..]);
    let size = prop_oneof![(0_u64..4000).prop_map(|n| n.to_string()), any::<u64>().prop_map(|n| n.to_string())];
    let time = prop_oneof![
        (-2_000_i64..2_000).prop_map(|us| hivewall_view::time::rfc3339(Timestamp(us * 1000))),
        (0_u64..700).prop_map(|s| format!("{s}s")),
        any::<i64>().prop_map(|ns| hivewall_view::time::rfc3339(Timestamp(ns))),
    ];
    prop_oneof![
        (select(&["ip", "src-ip", "dst-ip"][..]), nets),
        (select(&["port", "src-port", "dst-port"][..]), ports),
        (Just("proto"), any::<u8>().prop_map(|n| n.to_string())),
        (
            Just("interface"),
            prop_oneof![select(&["eth*", "lo", "*", "wg 0", "br?lan"]).prop_map(str::to_owned), "[^,]{0,6}[^,\\s]"]
        ),
        words("direction"),
        words("tunnel"),
        words("state"),
        words("end-reason"),
        (Just("vlan"), select(&["100", "7", "1-4095"]).prop_map(str::to_owned)),
        (Just("flags"), "[CEUAPRSF]{1,4}"),
        (select(&["bytes", "packets"][..]), (sign(), size).prop_map(|(sign, n)| format!("{sign}{n}"))),
        (Just("rate"), (sign(), 0_u32..8_000_000).prop_map(|(sign, n)| format!("{sign}{n}"))),
        (Just("duration"), (sign(), 0_u64..1_000_000_000).prop_map(|(sign, us)| format!("{sign}{us}us"))),
        (select(&["from", "to"][..]), time),
        (Just("last"), (0_u64..700).prop_map(|s| format!("{s}s"))),
        (
            select(
                &[
                    "process",
                    "user",
                    "container",
                    "executable",
                    "cgroup",
                    "application",
                    "name",
                    "sni",
                    "http-host",
                    "http-method",
                    "http-target",
                    "tls-version",
                    "alpn",
                    "ja4",
                    "dns-query",
                    "dns-type",
                    "dns-rcode",
                    "ssh"
                ][..]
            ),
            prop_oneof![
                select(&[
                    "*",
                    "curl",
                    "www-data",
                    "1",
                    "web-1",
                    "dead",
                    "0123456",
                    "a.service",
                    "https",
                    "dns",
                    "*.example.com",
                    "get",
                    "/*",
                    "tls ?.?",
                    "h2",
                    "T13D",
                    "A",
                    "TYPE1",
                    "NXDOMAIN",
                    "*OpenSSH*",
                    "~https"
                ])
                .prop_map(str::to_owned),
                "[^,]{0,6}[^,\\s]",
            ]
        ),
        (Just("pid"), (0_u32..4).prop_map(|n| n.to_string())),
        (Just("http-status"), select(&["404", "2xx", "100-299", "5XX,404"]).prop_map(str::to_owned)),
        (select(&["retransmits", "out-of-order"][..]), (sign(), 0_u64..4).prop_map(|(sign, n)| format!("{sign}{n}"))),
        (
            Just("rtt"),
            (sign(), prop_oneof![0_u64..4, 0_u64..1_000_000_000]).prop_map(|(sign, us)| format!("{sign}{us}us"))
        ),
        (Just("min-rtt"), (0_u64..1_000_000).prop_map(|us| format!("{us}us"))),
        (Just("flow-id"), (0_u64..4).prop_map(|n| n.to_string())),
        (Just("community-id"), tuple().prop_map(|tuple| community_id(&tuple))),
        (
            Just("text"),
            prop_oneof![
                select(&["10.0", "TCP", "eth", "wg 0", "db8", "1:", "25", "curl", "example", "http"])
                    .prop_map(str::to_owned),
                "\\PC{1,5}"
            ]
        ),
    ]
}

type Terms = Vec<(bool, &'static str, String)>;

fn terms() -> impl Strategy<Value = Terms> {
    prop::collection::vec((any::<bool>(), term()).prop_map(|(not, (key, value))| (not, key, value)), 0..5)
}

fn built(terms: &Terms) -> Filter {
    Filter::from_terms(terms.iter().map(|(not, key, value)| (*not, *key, value)), NOW)
        .unwrap_or_else(|error| panic!("{terms:?}: {error}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_text_of_a_filter_reads_as_the_same_filter(terms in terms()) {
        let filter = built(&terms);
        let text = filter.to_string();
        let again = Filter::parse(&text, NOW);
        prop_assert_eq!(again.as_ref(), Ok(&filter), "{}", text);
        prop_assert_eq!(again.unwrap().to_string(), text);
    }

    #[test]
    fn a_flow_and_its_row_get_the_same_answer(terms in terms(), flow in flow()) {
        let filter = built(&terms);
        let row = FlowRow::new(&flow, &name);
        let held = filter.matches(&flow, &name);
        prop_assert_eq!(held, filter.matches_row(&row), "{} on {:?}", filter, row);
        prop_assert_eq!(held, filter.matcher(&name).matches(&flow));
        let json = serde_json::to_string(&row).unwrap();
        let received: FlowRow = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(held, filter.matches_row(&received), "the row that came as JSON");
    }

    #[test]
    fn a_negated_term_matches_what_the_term_does_not((key, value) in term(), flow in flow()) {
        let holds = |not| built(&vec![(not, key, value.clone())]).matches(&flow, &name);
        prop_assert_ne!(holds(false), holds(true));
    }

    #[test]
    fn the_same_field_is_or_and_different_fields_are_and(a in term(), b in term(), flow in flow()) {
        let holds = |terms: Terms| built(&terms).matches(&flow, &name);
        let alone = |(key, value): &(&'static str, String)| holds(vec![(false, *key, value.clone())]);
        let both = holds(vec![(false, a.0, a.1.clone()), (false, b.0, b.1.clone())]);
        // `last` is another spelling of `from` and `min-rtt` of a comparison of `rtt`. Comparisons are one field for
        // each bound, and texts narrow: two terms of one such field are told apart by other tests.
        let field = |key: &'static str| match key {
            "last" => "from",
            "min-rtt" => "rtt",
            key => key,
        };
        let same = field(a.0) == field(b.0);
        let compares = |(key, value): &(&'static str, String)| key.starts_with("min-") || value.starts_with(['<', '>', '=']);
        prop_assume!(!same || !(compares(&a) || compares(&b) || a.0 == "text"));
        let want = if same { alone(&a) || alone(&b) } else { alone(&a) && alone(&b) };
        prop_assert_eq!(both, want);
    }

    #[test]
    fn joining_is_writing_one_behind_the_other(a in terms(), b in terms()) {
        let line = format!("{} {}", built(&a), built(&b));
        prop_assert_eq!(Filter::parse(&line, NOW).unwrap(), built(&a).joined(built(&b)));
    }

    #[test]
    fn no_line_makes_the_parser_panic_and_errors_point_into_it(line in "\\PC{0,40}") {
        if let Err(error) = Filter::parse(&line, NOW) {
            prop_assert!(line.is_char_boundary(error.at), "{} at {}", line, error.at);
            prop_assert!(!error.pointed(&line).is_empty());
        }
    }

    #[test]
    fn lines_made_of_the_languages_own_pieces_read_back_when_they_are_read(
        pieces in prop::collection::vec(
            select(&["ip", "port", "bytes", "text", "tcp", "-", "!", ":", ">", "=", ",", "\"", "\\", " ", "1", "80",
                "10.0.0.1", "::", "/8", "eth*", "active", "1M", "5m", "état"][..]), 0..12),
    ) {
        let line = pieces.concat();
        match Filter::parse(&line, NOW) {
            Ok(filter) => {
                let text = filter.to_string();
                prop_assert_eq!(Filter::parse(&text, NOW), Ok(filter), "{} became {}", line, text);
            }
            Err(error) => prop_assert!(line.is_char_boundary(error.at), "{} at {}", line, error.at),
        }
    }
}
