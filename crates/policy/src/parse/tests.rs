//! Texts and what is said about them.

use expect_test::{Expect, expect};

use super::{parse, parse_floor};
use crate::problem::pointed;

fn said(text: &str) -> String {
    match parse(text) {
        Ok(parsed) => pointed(&parsed.warnings, "edge.yaml", text),
        Err(error) => error.pointed("edge.yaml", text),
    }
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a picture is written in place")]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&said(text));
}

/// A document with these rules in its one tier.
fn with(rules: &str) -> String {
    format!(
        "kind: Policy\nmetadata: {{name: edge, version: 42}}\nsets:\n  mgmt: {{cidr: [10.9.0.0/24, \"fd00:9::/64\"]}}\n\
         exempt: \"@mgmt\"\ntiers:\n- name: main\n  default: {{in: drop}}\n  rules:\n{rules}"
    )
}

#[track_caller]
fn check_rules(rules: &str, expected: Expect) {
    check(&with(rules), expected);
}

pub(crate) const DESIGN: &str = r#"
kind: Policy
metadata: {name: edge, version: 42}
hosts: "role in {web, db} && env == 'prod'"     # labels of the hosts it is for; empty = all
mode: enforce                                   # observe | enforce
confirm: {within: 120s}                         # revert unless confirmed over a NEW connection
sets:
  mgmt: {cidr: [10.9.0.0/24, "fd00:9::/64"]}
  webs: {hosts: "role == 'web'"}                # addresses of the members with these labels, kept current
  blocklist: {file: /etc/hivewall/blocklist}
tiers:
- name: guard                                   # no default: falls through
  rules:
  - {id: badnets, dir: in, from: "@blocklist", action: drop, log: {rate: 1/s}}
- name: main
  default: {in: drop, out: accept}
  rules:
  - {id: ssh, dir: in, proto: tcp, from: "@mgmt", dport: 22, action: accept}
  - {id: web, dir: in, proto: tcp, dport: [80, 443], action: accept, limit: {rate: 2000/s, per: src, over: drop}}
  - {id: db,  dir: in, proto: tcp, from: "@webs", dport: 5432, action: accept, established: reset}
"#;

#[test]
fn the_design_is_read_and_printed() {
    let parsed = parse(DESIGN).expect("the design");
    assert_eq!(parsed.warnings, []);
    expect![[r#"
        kind: Policy
        metadata: {name: edge, version: 42}
        hosts: "role in {web, db} && env == 'prod'"
        mode: enforce
        confirm: {within: "120s"}
        sets:
          blocklist: {file: "/etc/hivewall/blocklist"}
          mgmt: {cidr: [10.9.0.0/24, "fd00:9::/64"]}
          webs: {hosts: "role == 'web'"}
        tiers:
        - name: guard
          rules:
          - {id: badnets, dir: in, from: "@blocklist", action: drop, log: {rate: "1/s"}}
        - name: main
          default: {in: drop, out: accept}
          rules:
          - {id: ssh, dir: in, proto: tcp, from: "@mgmt", dport: 22, action: accept}
          - {id: web, dir: in, proto: tcp, dport: [80, 443], action: accept, limit: {rate: "2000/s", per: src, over: drop}}
          - {id: db, dir: in, proto: tcp, from: "@webs", dport: 5432, action: accept, established: reset}
    "#]].assert_eq(&parsed.document.to_yaml());
    for text in [parsed.document.to_yaml(), parsed.document.to_json()] {
        assert_eq!(parse(&text).expect("what was printed").document, parsed.document, "{text}");
    }
}

#[test]
fn slips_of_keys_are_named_all_at_once() {
    check(
        "kind: Polcy\nmetadata: {nam: edge, version: \"42\"}\nmoed: observe\nmode: enforced\ntiers:\n- name: main\n  defaults: {in: drop}\n  rules:\n  - {id: ssh, dir: inn, proto: tcpp, dport: 22, acton: accept}\n",
        expect![[r#"
            error: `Polcy` is not possible here (did you mean `Policy`?); write one of Policy
              --> edge.yaml:1:7
               1 | kind: Polcy
                 |       ^^^^^
            error: metadata has no key `nam` (did you mean `name`?); it has name, version, description, notBefore, notAfter, previous
              --> edge.yaml:2:12
               2 | metadata: {nam: edge, version: "42"}
                 |            ^^^
            error: metadata needs a `name`; for example `metadata: {name: edge, version: 1}`
              --> edge.yaml:2:12
               2 | metadata: {nam: edge, version: "42"}
                 |            ^^^
            error: `"42"` is out of range; write a whole number without quotes, from 1 on
              --> edge.yaml:2:32
               2 | metadata: {nam: edge, version: "42"}
                 |                                ^^^^
            error: a policy has no key `moed` (did you mean `mode`?); it has kind, metadata, hosts, mode, confirm, sets, exempt, responses, tiers
              --> edge.yaml:3:1
               3 | moed: observe
                 | ^^^^
            error: `enforced` is not possible here (did you mean `enforce`?); write one of observe, enforce
              --> edge.yaml:4:7
               4 | mode: enforced
                 |       ^^^^^^^^
            error: a tier has no key `defaults` (did you mean `default`?); it has name, default, rules
              --> edge.yaml:7:3
               7 |   defaults: {in: drop}
                 |   ^^^^^^^^
            error: a rule needs an `action`; for example `{id: ssh, dir: in, proto: tcp, dport: 22, action: accept}`
              --> edge.yaml:9:6
               9 |   - {id: ssh, dir: inn, proto: tcpp, dport: 22, acton: accept}
                 |      ^^
            error: `inn` is not possible here (did you mean `in`?); write one of in, out, both
              --> edge.yaml:9:20
               9 |   - {id: ssh, dir: inn, proto: tcpp, dport: 22, acton: accept}
                 |                    ^^^
            error: `tcpp` is not possible here (did you mean `tcp`?); write one of tcp, udp, icmp, icmpv6, sctp, gre, esp, ah, ospf, vrrp, any or a number
              --> edge.yaml:9:32
               9 |   - {id: ssh, dir: inn, proto: tcpp, dport: 22, acton: accept}
                 |                                ^^^^
            error: a rule has no key `acton` (did you mean `action`?); it has id, dir, proto, from, to, sport, dport, icmp, flags, interface, action, established, limit, log
              --> edge.yaml:9:49
               9 |   - {id: ssh, dir: inn, proto: tcpp, dport: 22, acton: accept}
                 |                                                 ^^^^^
        "#]],
    );
}

#[test]
fn what_is_missing_is_named() {
    check(
        "kind: Policy\n",
        expect![[r"
        error: a policy needs `metadata`; for example `metadata: {name: edge, version: 1}`
          --> edge.yaml:1:1
           1 | kind: Policy
             | ^^^^
        error: a policy needs `tiers`; for example `tiers: [{name: main, default: {in: drop}, rules: []}]`
          --> edge.yaml:1:1
           1 | kind: Policy
             | ^^^^
    "]],
    );
    check_rules(
        "  - {proto: tcp}\n",
        expect![[r"
        error: a rule needs an `id`; for example `{id: ssh, dir: in, proto: tcp, dport: 22, action: accept}`
          --> edge.yaml:10:6
          10 |   - {proto: tcp}
             |      ^^^^^
        error: a rule needs `dir` (in, out or both); for example `{id: ssh, dir: in, proto: tcp, dport: 22, action: accept}`
          --> edge.yaml:10:6
          10 |   - {proto: tcp}
             |      ^^^^^
        error: a rule needs an `action`; for example `{id: ssh, dir: in, proto: tcp, dport: 22, action: accept}`
          --> edge.yaml:10:6
          10 |   - {proto: tcp}
             |      ^^^^^
    "]],
    );
    check(
        "",
        expect![[r"
        error: there is no policy in this text; begin with `kind: Policy`
          --> edge.yaml:1:1
           1 | 
             | ^
    "]],
    );
    check(
        "# nothing\n",
        expect![[r"
        error: there is no policy in this text; begin with `kind: Policy`
          --> edge.yaml:1:1
           1 | # nothing
             | ^
    "]],
    );
    check(
        "- a\n",
        expect![[r"
        error: a list stands here in place of a map of keys and values; for example `kind: Policy`
          --> edge.yaml:1:1
           1 | - a
             | ^
    "]],
    );
}

#[test]
fn yaml_that_cannot_be_read_says_how_to_mend_it() {
    for (rules, expected) in [
        (
            "  - {id: a, dir: in, from: @mgmt, action: accept}\n",
            expect![[r#"
            error: this is not valid YAML: unexpected character: `@'; a text that begins with this sign needs quotes: `"@NAME"`
              --> edge.yaml:10:28
              10 |   - {id: a, dir: in, from: @mgmt, action: accept}
                 |                            ^
        "#]],
        ),
        (
            "  - {id: a, dir: in, from: !@mgmt, action: accept}\n",
            expect![[r#"
            error: `!@mgmt` is read as a YAML tag; write it in quotes: `"!…"`
              --> edge.yaml:10:28
              10 |   - {id: a, dir: in, from: !@mgmt, action: accept}
                 |                            ^^^^^^
        "#]],
        ),
        (
            "  - {id: a, dir: in, from: !10.0.0.0/8, action: accept}\n",
            expect![[r#"
            error: `!10.0.0.0/8` is read as a YAML tag; write it in quotes: `"!…"`
              --> edge.yaml:10:28
              10 |   - {id: a, dir: in, from: !10.0.0.0/8, action: accept}
                 |                            ^^^^^^^^^^^
        "#]],
        ),
        (
            "  - {id: a, dir: in, interface: *, action: accept}\n",
            expect![[r#"
            error: this is not valid YAML: while scanning an anchor or alias, did not find expected alphabetic or numeric character; a text that begins with this sign needs quotes: `"*"`
              --> edge.yaml:10:33
              10 |   - {id: a, dir: in, interface: *, action: accept}
                 |                                 ^
        "#]],
        ),
        (
            "  - {id: a, dir: in, from: [fd00::], action: accept}\n",
            expect![[r#"
            error: this is read as a key and a value; an IPv6 address in a list needs quotes: `"fd00::"`
              --> edge.yaml:10:29
              10 |   - {id: a, dir: in, from: [fd00::], action: accept}
                 |                             ^^^^^^
        "#]],
        ),
        (
            "  - {id: a, dir: in, action: accept\n",
            expect![[r"
            error: this is not valid YAML: unclosed bracket '{'; write the bracket that closes it
              --> edge.yaml:10:5
              10 |   - {id: a, dir: in, action: accept
                 |     ^
        "]],
        ),
        (
            "  - {id: a, dir: in, action: \"accept}\n",
            expect![[r#"
            error: this is not valid YAML: unclosed quote; write the quote that closes it
              --> edge.yaml:10:30
              10 |   - {id: a, dir: in, action: "accept}
                 |                              ^
        "#]],
        ),
        (
            "\t- {id: a, dir: in, action: accept}\n",
            expect![[r"
            error: this is not valid YAML: tabs disallowed within this context (block indentation); indent with spaces
              --> edge.yaml:10:2
              10 |  - {id: a, dir: in, action: accept}
                 |  ^
        "]],
        ),
        (
            "  - &x {id: a, dir: in, action: accept}\n",
            expect![[r#"
            error: anchors and aliases (`&`, `*`) are no part of a policy: write the value out, or quote it: `"*"`
              --> edge.yaml:10:8
              10 |   - &x {id: a, dir: in, action: accept}
                 |        ^
        "#]],
        ),
        (
            "---\nkind: Policy\n",
            expect![[r"
            error: a second document begins here; write one policy a file
              --> edge.yaml:11:1
              11 | kind: Policy
                 | ^
        "]],
        ),
    ] {
        check_rules(rules, expected);
    }
    check(
        &format!("kind: {}", "[".repeat(300)),
        expect![[r"
        error: lists or maps stand too deep in one another; no policy needs more than 12
          --> edge.yaml:1:262
           1 | …[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
             |                                          ^
    "]],
    );
    check(
        &format!("kind: {}{}", "[".repeat(20), "]".repeat(20)),
        expect![[r"
        error: lists or maps stand too deep in one another; no policy needs more than 12
          --> edge.yaml:1:19
           1 | kind: [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]
             |                   ^
    "]],
    );
}

#[test]
fn addresses_that_cannot_be_meant_are_refused() {
    check_rules(
        r#"  - {id: a, dir: in, from: 10.9.0.5/24, action: accept}
  - {id: b, dir: in, from: [10.0.0.300, "@mgnt", "fd00::/129"], action: accept}
  - {id: c, dir: in, from: ["!@mgmt", 10.0.0.0/8], action: accept}
  - {id: d, dir: in, from: [], action: accept}
  - {id: e, dir: in, from: {cidr: 10.0.0.0/8}, action: accept}
  - {id: f, dir: in, from: "::ffff:10.0.0.1", action: accept}
  - {id: g, dir: in, from: 10.0.0.0/8, to: "fd00::1", action: accept}
  - {id: h, dir: in, proto: icmp, from: "fd00::1", action: accept}
"#,
        expect![[r#"
            error: `10.9.0.5/24` has bits set beyond its prefix; write `10.9.0.0/24` for the network, or `10.9.0.5` for the address
              --> edge.yaml:10:28
              10 |   - {id: a, dir: in, from: 10.9.0.5/24, action: accept}
                 |                            ^^^^^^^^^^^
            error: `10.0.0.300` is not an address or a prefix; for example `10.0.0.0/8`
              --> edge.yaml:11:29
              11 |   - {id: b, dir: in, from: [10.0.0.300, "@mgnt", "fd00::/129"], action: accept}
                 |                             ^^^^^^^^^^
            error: there is no set `@mgnt` (did you mean `@mgmt`?); the sets are mgmt
              --> edge.yaml:11:41
              11 |   - {id: b, dir: in, from: [10.0.0.300, "@mgnt", "fd00::/129"], action: accept}
                 |                                         ^^^^^^^
            error: `fd00::/129` is not an address or a prefix; for example `10.0.0.0/8`
              --> edge.yaml:11:50
              11 |   - {id: b, dir: in, from: [10.0.0.300, "@mgnt", "fd00::/129"], action: accept}
                 |                                                  ^^^^^^^^^^^^
            error: some of these have a `!` and some have not; put it before all of them (all others match) or before none
              --> edge.yaml:12:28
              12 |   - {id: c, dir: in, from: ["!@mgmt", 10.0.0.0/8], action: accept}
                 |                            ^^^^^^^^^^^^^^^^^^^^^^
            error: the list is empty; leave the key out for every address
              --> edge.yaml:13:28
              13 |   - {id: d, dir: in, from: [], action: accept}
                 |                            ^^
            error: a map stands here in place of an address, a prefix or a set; for example `[10.0.0.0/8, "@mgmt"]`
              --> edge.yaml:14:28
              14 |   - {id: e, dir: in, from: {cidr: 10.0.0.0/8}, action: accept}
                 |                            ^
            error: `::ffff:10.0.0.1` is IPv4 written as IPv6 and would match nothing; write `10.0.0.1/32`
              --> edge.yaml:15:28
              15 |   - {id: f, dir: in, from: "::ffff:10.0.0.1", action: accept}
                 |                            ^^^^^^^^^^^^^^^^^
            error: the rule can never match: `from` has IPv4 addresses only and `to` IPv6 ones; make them one family
              --> edge.yaml:16:44
              16 |   - {id: g, dir: in, from: 10.0.0.0/8, to: "fd00::1", action: accept}
                 |                                            ^^^^^^^^^
            error: the rule can never match: icmp has no IPv6 addresses; write `proto: icmpv6`
              --> edge.yaml:17:29
              17 |   - {id: h, dir: in, proto: icmp, from: "fd00::1", action: accept}
                 |                             ^^^^
        "#]],
    );
}

#[test]
fn ports_protocols_types_and_flags_have_to_fit() {
    check_rules(
        r#"  - {id: a, dir: in, dport: 22, action: accept}
  - {id: b, dir: in, proto: [tcp, icmp], dport: 22, action: accept}
  - {id: c, dir: in, proto: tcp, dport: [443, 90-80, 70000, ssh], action: accept}
  - {id: d, dir: in, proto: 300, action: accept}
  - {id: e, dir: in, proto: icmp, icmp: echo-requst, action: accept}
  - {id: f, dir: in, proto: [icmp, icmpv6], icmp: echo-request, action: accept}
  - {id: g, dir: in, proto: udp, flags: syn, action: accept}
  - {id: h, dir: in, proto: tcp, flags: "syn/ack", action: accept}
  - {id: i, dir: in, proto: tcp, flags: "sync/syn,ack", action: accept}
  - {id: j, dir: in, proto: icmp, icmp: 3/400, action: accept}
"#,
        expect![[r#"
            error: ports need a protocol that has them; add `proto: tcp`, `proto: udp` or `proto: [tcp, udp]`
              --> edge.yaml:10:29
              10 |   - {id: a, dir: in, dport: 22, action: accept}
                 |                             ^^
            error: icmp has no ports, so that the rule could never match it; take it out or make it a rule of its own
              --> edge.yaml:11:29
              11 |   - {id: b, dir: in, proto: [tcp, icmp], dport: 22, action: accept}
                 |                             ^^^^^^^^^^^
            error: the range ends before it begins; write `80-90`
              --> edge.yaml:12:47
              12 |   - {id: c, dir: in, proto: tcp, dport: [443, 90-80, 70000, ssh], action: accept}
                 |                                               ^^^^^
            error: `70000` is not a port from 0 to 65535 or a range of them; for example `8000-8099`
              --> edge.yaml:12:54
              12 |   - {id: c, dir: in, proto: tcp, dport: [443, 90-80, 70000, ssh], action: accept}
                 |                                                      ^^^^^
            error: `ssh` is not a port from 0 to 65535 or a range of them; for example `8000-8099`
              --> edge.yaml:12:61
              12 |   - {id: c, dir: in, proto: tcp, dport: [443, 90-80, 70000, ssh], action: accept}
                 |                                                             ^^^
            error: `300` is out of range; write a protocol number from 0 to 255
              --> edge.yaml:13:29
              13 |   - {id: d, dir: in, proto: 300, action: accept}
                 |                             ^^^
            error: `echo-requst` is not possible here (did you mean `echo-request`?); write one of echo-reply, destination-unreachable, source-quench, redirect, echo-request, router-advertisement, router-solicitation, time-exceeded, parameter-problem, timestamp-request, timestamp-reply or a number
              --> edge.yaml:14:41
              14 |   - {id: e, dir: in, proto: icmp, icmp: echo-requst, action: accept}
                 |                                         ^^^^^^^^^^^
            error: types differ between icmp and icmpv6; write `proto: icmp` or `proto: icmpv6`, a rule for each
              --> edge.yaml:15:51
              15 |   - {id: f, dir: in, proto: [icmp, icmpv6], icmp: echo-request, action: accept}
                 |                                                   ^^^^^^^^^^^^
            error: only TCP has flags; write `proto: tcp`
              --> edge.yaml:16:41
              16 |   - {id: g, dir: in, proto: udp, flags: syn, action: accept}
                 |                                         ^^^
            error: a flag before the `/` is not among those behind it, which are looked at; add it there
              --> edge.yaml:17:41
              17 |   - {id: h, dir: in, proto: tcp, flags: "syn/ack", action: accept}
                 |                                         ^^^^^^^^^
            error: `sync` is not possible here (did you mean `syn`?); write one of fin, syn, rst, psh, ack, urg, ece, cwr
              --> edge.yaml:18:41
              18 |   - {id: i, dir: in, proto: tcp, flags: "sync/syn,ack", action: accept}
                 |                                         ^^^^^^^^^^^^^^
            error: `400` is out of range; write a code from 0 to 255
              --> edge.yaml:19:41
              19 |   - {id: j, dir: in, proto: icmp, icmp: 3/400, action: accept}
                 |                                         ^^^^^
        "#]],
    );
}

#[test]
fn other_values_have_to_fit_as_well() {
    check_rules(
        r#"  - {id: "a b", dir: in, action: accept}
  - {id: 22, dir: in, action: accept}
  - {id: c, dir: in, action: allow}
  - {id: d, dir: in, action: accept, limit: {rate: 5}}
  - {id: e, dir: in, action: accept, limit: {rate: 0/s, burst: 0, per: source}}
  - {id: f, dir: in, action: drop, limit: {rate: 1/s}}
  - {id: g, dir: in, action: drop, log: yes}
  - {id: h, dir: in, action: drop, interface: eth*0}
  - {id: c, dir: out, action: drop, established: kep}
  - {id: i, dir: out, id: j, action: drop}
"#,
        expect![[r#"
            error: `a b` cannot be a name: letters, digits, `.`, `_` and `-`, at most 63, beginning with a letter or digit
              --> edge.yaml:10:10
              10 |   - {id: "a b", dir: in, action: accept}
                 |          ^^^^^
            error: `22` is read as a number, not as text; write it in quotes: `"22"`
              --> edge.yaml:11:10
              11 |   - {id: 22, dir: in, action: accept}
                 |          ^^
            error: `allow` is not possible here; write one of accept, drop, reject, pass
              --> edge.yaml:12:30
              12 |   - {id: c, dir: in, action: allow}
                 |                              ^^^^^
            error: `5` is not a rate: a number, `/`, and s, m or h; for example `2000/s`
              --> edge.yaml:13:52
              13 |   - {id: d, dir: in, action: accept, limit: {rate: 5}}
                 |                                                    ^
            error: `0/s` is out of range; write a rate from 1/h to 1000000000/s
              --> edge.yaml:14:52
              14 |   - {id: e, dir: in, action: accept, limit: {rate: 0/s, burst: 0, per: source}}
                 |                                                    ^^^
            error: `0` is out of range; write a whole number without quotes, from 1 on
              --> edge.yaml:14:64
              14 |   - {id: e, dir: in, action: accept, limit: {rate: 0/s, burst: 0, per: source}}
                 |                                                                ^
            error: `source` is not possible here; write one of src, rule
              --> edge.yaml:14:72
              14 |   - {id: e, dir: in, action: accept, limit: {rate: 0/s, burst: 0, per: source}}
                 |                                                                        ^^^^^^
            error: a limit says how many flows a rule accepts, and this one has `action: drop`; write `action: accept`
              --> edge.yaml:15:43
              15 |   - {id: f, dir: in, action: drop, limit: {rate: 1/s}}
                 |                                           ^^^^^^^^^^^
            error: a single value stands here in place of a map of keys and values; for example `log: true, or log: {rate: 1/s}`
              --> edge.yaml:16:41
              16 |   - {id: g, dir: in, action: drop, log: yes}
                 |                                         ^^^
            error: `eth*0` is not a name of an interface (at most 15 bytes, `*` only at the end); for example `eth0`
              --> edge.yaml:17:47
              17 |   - {id: h, dir: in, action: drop, interface: eth*0}
                 |                                               ^^^^^
            error: the rule `c` is there already, on line 12; counters stay with a name, so each needs its own
              --> edge.yaml:18:10
              18 |   - {id: c, dir: out, action: drop, established: kep}
                 |          ^
              12 |   - {id: c, dir: in, action: allow}
                 |          ^ the first
            error: `kep` is not possible here (did you mean `keep`?); write one of reeval, keep, reset
              --> edge.yaml:18:50
              18 |   - {id: c, dir: out, action: drop, established: kep}
                 |                                                  ^^^
            error: `id` is here for the second time; keep one of them
              --> edge.yaml:19:23
              19 |   - {id: i, dir: out, id: j, action: drop}
                 |                       ^^
        "#]],
    );
}

#[test]
fn the_frame_has_to_fit() {
    check(
        "kind: Policy\nmetadata: {name: e, version: 0, notBefore: 2026-02-01T00:00:00Z, notAfter: 2026-01-01T00:00:00Z, previous: abc}\nhosts: role = web\nconfirm: {within: 1s}\nsets:\n  a: {cidr: [10.0.0.0/8], hosts: x}\n  b: {hosts: \"role ==\"}\n  c: {file: blocklist}\n  d: [10.0.0.0/8]\nexempt: \"!10.0.0.0/8\"\ntiers: []\n",
        expect![[r#"
            error: `0` is out of range; write a whole number without quotes, from 1 on
              --> edge.yaml:2:30
               2 | metadata: {name: e, version: 0, notBefore: 2026-02-01T00:00:00Z, notAfter: 2026-01-01T00:00:00Z, previous: abc…
                 |                              ^
            error: notAfter is not later than notBefore, so that the policy would never be in force; correct one of them
              --> edge.yaml:2:76
               2 | metadata: {name: e, version: 0, notBefore: 2026-02-01T00:00:00Z, notAfter: 2026-01-01T00:00:00Z, previous: abc…
                 |                                                                            ^^^^^^^^^^^^^^^^^^^^
            error: `abc` is not a SHA-256 in 64 small hexadecimal digits (`policy sign` writes it); for example `e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`
              --> edge.yaml:2:108
               2 | metadata: {name: e, version: 0, notBefore: 2026-02-01T00:00:00Z, notAfter: 2026-01-01T00:00:00Z, previous: abc…
                 |                                                                                                            ^^^
            error: the selector of hosts cannot be read: `&&`, `||` or the end is missing at character 6; for example `role in {web, db} && env == 'prod'`
              --> edge.yaml:3:8
               3 | hosts: role = web
                 |        ^^^^^^^^^^
            error: `1s` is out of range; write from 5s to 24h
              --> edge.yaml:4:19
               4 | confirm: {within: 1s}
                 |                   ^^
            error: a map stands here in place of exactly one of cidr, hosts and file; for example `{cidr: [10.9.0.0/24]}, {hosts: "role == 'web'"} or {file: /etc/hivewall/blocklist}`
              --> edge.yaml:6:6
               6 |   a: {cidr: [10.0.0.0/8], hosts: x}
                 |      ^
            error: the selector of hosts cannot be read: a value is missing at character 8; for example `role in {web, db} && env == 'prod'`
              --> edge.yaml:7:14
               7 |   b: {hosts: "role =="}
                 |              ^^^^^^^^^
            error: `blocklist` is not a path from `/` on; for example `/etc/hivewall/blocklist`
              --> edge.yaml:8:13
               8 |   c: {file: blocklist}
                 |             ^^^^^^^^^
            error: a list stands here in place of a map of keys and values; for example `{cidr: [10.9.0.0/24]}, {hosts: "role == 'web'"} or {file: /etc/hivewall/blocklist}`
              --> edge.yaml:9:6
               9 |   d: [10.0.0.0/8]
                 |      ^
            error: `!` would exempt nearly every address from bans and rules; name those that are exempt
              --> edge.yaml:10:9
              10 | exempt: "!10.0.0.0/8"
                 |         ^^^^^^^^^^^^^
            error: the list is empty; write a tier, for example `- {name: main, default: {in: drop, out: accept}, rules: []}`
              --> edge.yaml:11:8
              11 | tiers: []
                 |        ^^
        "#]],
    );
    check(
        "kind: Policy\nmetadata: {name: e, version: 1}\nsets: {a: {cidr: [10.0.0.0/8]}}\ntiers:\n- name: a\n- name: a\n",
        expect![[r"
            error: the tier `a` is there already, on line 5; give each its own name
              --> edge.yaml:6:9
               6 | - name: a
                 |         ^
               5 | - name: a
                 |         ^ the first
        "]],
    );
}

#[test]
fn a_set_that_is_not_used_is_a_warning() {
    check(
        "kind: Policy\nmetadata: {name: e, version: 1}\nsets: {a: {cidr: [10.0.0.0/8]}}\ntiers:\n- name: a\n",
        expect![[r"
            warning: no rule names the set `a`; take it out, or write `@a` where it was meant
              --> edge.yaml:3:8
               3 | sets: {a: {cidr: [10.0.0.0/8]}}
                 |        ^
        "]],
    );
}

#[test]
fn a_floor_only_accepts_and_names_no_sets() {
    let floor = "- {id: a, dir: in, from: 10.0.0.9, action: accept}\n- {id: b, dir: in, from: \"@x\", action: accept}\n- {id: c, dir: in, action: drop}\n";
    expect![[r#"
        error: no sets can be named here; write the addresses
          --> floor.yaml:2:26
           2 | - {id: b, dir: in, from: "@x", action: accept}
             |                          ^^^^
        error: a rule of the floor can only accept, and this one has `action: drop`; write `action: accept`
          --> floor.yaml:3:8
           3 | - {id: c, dir: in, action: drop}
             |        ^
    "#]]
    .assert_eq(&parse_floor(floor).expect_err("a floor").pointed("floor.yaml", floor));
    assert_eq!(parse_floor("- {id: a, dir: in, from: 10.0.0.9, action: accept}").map(|rules| rules.len()), Ok(1));
}

#[test]
fn long_lines_are_shown_around_the_place() {
    let many: Vec<String> = (0..60).map(|n| format!("10.0.{n}.0/24")).collect();
    check_rules(
        &format!("  - {{id: a, dir: in, from: [{}, 10.0.0.300, 10.1.0.0/16], action: accept}}\n", many.join(", ")),
        expect![[r"
            error: `10.0.0.300` is not an address or a prefix; for example `10.0.0.0/8`
              --> edge.yaml:10:859
              10 | ….0.57.0/24, 10.0.58.0/24, 10.0.59.0/24, 10.0.0.300, 10.1.0.0/16], action: accept}
                 |                                          ^^^^^^^^^^
        "]],
    );
}

#[test]
fn what_is_repeated_from_the_text_cannot_break_the_message() {
    check_rules(
        "  - {id: \"a\\e[31m\\u202e\", dir: in, action: accept}\n",
        expect![[r#"
        error: `a\u{1b}[31m\u{202e}` cannot be a name: letters, digits, `.`, `_` and `-`, at most 63, beginning with a letter or digit
          --> edge.yaml:10:10
          10 |   - {id: "a\e[31m\u202e", dir: in, action: accept}
             |          ^^^^^^^^^^^^^^^
    "#]],
    );
}
