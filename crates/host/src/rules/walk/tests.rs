//! Answers about packets, from listings.

use super::*;
use crate::rules::{iptables as saved, nft as listed};

fn packet() -> Packet {
    Packet {
        from: "192.0.2.7".parse().unwrap(),
        to: "10.0.0.1".parse().unwrap(),
        protocol: 6,
        source_port: Some(40_000),
        destination_port: Some(22),
        icmp: None,
        flags: 2,
        in_interface: Some("eth0".to_owned()),
        out_interface: None,
        not_loopback: false,
        new: true,
        original: true,
    }
}

fn asked(tables: Vec<Table>, packet: &Packet) -> String {
    let inventory = Inventory { tables, missing: Vec::new() };
    let Answer { stop, place, why, .. } = walk(&inventory, packet, Traversal::Received);
    format!("{stop:?} {place} | {why}")
}

/// One rule with these expressions in an input chain whose policy is to accept.
fn by_nft(expressions: &str, packet: &Packet) -> String {
    let json = format!(
        r#"{{"nftables": [{{"table": {{"family": "inet", "name": "t", "handle": 1}}}},
        {{"set": {{"family": "inet", "name": "s", "table": "t", "elem": [{{"prefix": {{"addr": "192.0.2.0", "len": 24}}}}, "10.9.9.9"]}}}},
        {{"chain": {{"family": "inet", "table": "t", "name": "i", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}}},
        {{"chain": {{"family": "inet", "table": "t", "name": "c"}}}},
        {{"rule": {{"family": "inet", "table": "t", "chain": "i", "handle": 12, "expr": {expressions}}}}},
        {{"rule": {{"family": "inet", "table": "t", "chain": "c", "handle": 13, "expr": [{{"drop": null}}]}}}}]}}"#
    );
    asked(listed::read(&json, "").unwrap(), packet)
}

fn by_iptables(rule: &str, packet: &Packet) -> String {
    let text = format!("*filter\n:INPUT ACCEPT [0:0]\n:c - [0:0]\n[1:2] -A INPUT {rule}\n[0:0] -A c -j DROP\nCOMMIT\n");
    asked(saved::read(&text, "ip", Source::IptablesLegacy), packet)
}

fn is_dropped(answer: &str) -> bool {
    answer.starts_with("Dropped")
}

#[test]
fn expressions_of_nftables_match_or_not() {
    let source = r#"{"payload": {"protocol": "ip", "field": "saddr"}}"#;
    let port = r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#;
    let rule = |left: &str, op: &str, right: &str| {
        format!(r#"[{{"match": {{"op": "{op}", "left": {left}, "right": {right}}}}}, {{"drop": null}}]"#)
    };
    let udp = Packet { protocol: 17, ..packet() };
    for (left, op, right, fits, fits_udp) in [
        (source, "==", r#""@s""#, true, true),
        (source, "!=", r#""@s""#, false, false),
        (source, "==", r#"{"range": ["192.0.2.8", "192.0.2.9"]}"#, false, false),
        (port, "==", r#"{"set": [21, {"range": [22, 23]}]}"#, true, false),
        (port, "!=", "22", false, false),
        (port, ">", "1023", false, false),
        (r#"{"meta": {"key": "l4proto"}}"#, "==", r#"{"set": [6, 47]}"#, true, false),
        (r#"{"meta": {"key": "iifname"}}"#, "==", r#""eth*""#, true, true),
        (r#"{"ct": {"key": "state"}}"#, "in", "[2, 4]", false, false),
        (r#"{"ct": {"key": "state"}}"#, "in", "8", true, true),
        (r#"{"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, [1, 2]]}"#, "==", "2", true, false),
    ] {
        let rule = rule(left, op, right);
        assert_eq!(is_dropped(&by_nft(&rule, &packet())), fits, "{rule}");
        assert_eq!(is_dropped(&by_nft(&rule, &udp)), fits_udp, "{rule} about UDP");
    }
}

#[test]
fn maps_of_concatenations_lead_to_chains() {
    let key = r#"{"concat": [{"meta": {"key": "l4proto"}}, {"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "th", "field": "dport"}}]}"#;
    let map = |port: u16| {
        format!(
            r#"[{{"vmap": {{"key": {key}, "data": {{"set": [[{{"concat": [6, {{"prefix": {{"addr": "192.0.2.0", "len": 24}}}}, {port}]}}, {{"goto": {{"target": "c"}}}}]]}}}}}}]"#
        )
    };
    assert!(by_nft(&map(22), &packet()).starts_with("Dropped nftables inet t c handle 13"));
    assert!(by_nft(&map(23), &packet()).starts_with("Accepted"));
}

#[test]
fn what_is_not_known_is_said_where_it_decides() {
    let mark = r#"{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}"#;
    let counts = format!(r#"[{mark}, {{"counter": {{"packets": 1, "bytes": 2}}}}]"#);
    assert!(by_nft(&counts, &packet()).starts_with("Accepted"));
    let drops = format!(r#"[{mark}, {{"drop": null}}]"#);
    assert!(by_nft(&drops, &packet()).starts_with("CannotTell nftables inet t i handle 12 | uses `meta mark`"));
    let other = format!(
        r#"[{mark}, {{"match": {{"op": "==", "left": {{"payload": {{"protocol": "udp", "field": "dport"}}}}, "right": 1}}}}, {{"drop": null}}]"#
    );
    assert!(by_nft(&other, &packet()).starts_with("Accepted"), "whatever the mark is, it is not UDP");
    let blind = Packet { destination_port: None, ..packet() };
    assert!(
        by_iptables("-p tcp -m tcp --dport 22 -j DROP", &blind)
            .contains("uses the destination port, which was not given")
    );
}

#[test]
fn rules_of_iptables_match_or_not() {
    for (rule, fits) in [
        ("-s 192.0.2.0/24 -p tcp -m multiport --dports 21,22 -j DROP", true),
        ("! -s 192.0.2.0/24 -j DROP", false),
        ("-p udp -j DROP", false),
        ("-p tcp -m tcp ! --dport 22 -j DROP", false),
        ("-i eth+ -m conntrack --ctstate NEW,RELATED -j DROP", true),
        ("-m conntrack ! --ctstate NEW -j DROP", false),
        ("-p tcp -m tcp --tcp-flags FIN,SYN SYN -m comment --comment \"-j ACCEPT \\\" x\" -j c", true),
        ("-p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK -g c", false),
        ("-j LOG --log-prefix \"x -j DROP\"", false),
    ] {
        assert_eq!(is_dropped(&by_iptables(rule, &packet())), fits, "{rule}");
    }
    let limited = by_iptables("-m limit --limit 5/sec -j DROP", &packet());
    assert!(
        limited.starts_with("CannotTell iptables-legacy ip filter INPUT rule 1 | uses `--limit 5/sec`"),
        "{limited}"
    );
}

#[test]
fn rules_for_the_loopback_are_told_without_an_interface_where_it_is_known_not_to_be_that() {
    let unnamed = |not_loopback| Packet { in_interface: None, not_loopback, ..packet() };
    let of = |name: &str, operator: &str| {
        format!(
            r#"[{{"match": {{"op": "{operator}", "left": {{"meta": {{"key": "iifname"}}}}, "right": "{name}"}}}}, {{"drop": null}}]"#
        )
    };
    assert!(by_nft(&of("lo", "=="), &unnamed(true)).starts_with("Accepted"));
    assert!(by_nft(&of("lo", "!="), &unnamed(true)).starts_with("Dropped"));
    assert!(by_nft(&of("lo", "=="), &unnamed(false)).starts_with("CannotTell"));
    assert!(by_nft(&of("eth1", "=="), &unnamed(true)).starts_with("CannotTell"));
}
