//! Two documents and what is said to be different.

use expect_test::{Expect, expect};

use super::diff_documents;
use crate::parse;

const BEFORE: &str = "kind: Policy
metadata: {name: edge, version: 1}
mode: observe
sets:
  mgmt: {cidr: [10.9.0.0/24, 10.9.1.0/24]}
  old: {cidr: 10.0.0.1}
  webs: {cidr: [10.1.0.0/16]}
tiers:
- name: main
  default: {in: drop, out: accept}
  rules:
  - {id: a, dir: in, proto: tcp, from: \"@mgmt\", dport: 22, action: accept}
  - {id: b, dir: in, proto: tcp, dport: 80, action: accept}
  - {id: c, dir: in, proto: tcp, from: \"@webs\", dport: 5432, action: accept}
  - {id: d, dir: in, from: \"@old\", action: accept}
";

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a picture is written in place")]
fn check(after: &str, expected: Expect) {
    let (before, after) = (parse(BEFORE).expect("before"), parse(after).expect("after"));
    let diff = diff_documents(&before.document, &after.document);
    expected.assert_eq(&diff.to_string());
}

#[test]
fn a_document_does_not_differ_from_itself() {
    check(BEFORE, expect![[""]]);
    let newer =
        BEFORE.replace("version: 1", "version: 2").replace("10.9.0.0/24, 10.9.1.0/24", "10.9.1.0/24, 10.9.0.0/24");
    let (before, after) = (parse(BEFORE).expect("before"), parse(&newer).expect("after"));
    assert!(diff_documents(&before.document, &after.document).is_empty());
}

#[test]
fn every_kind_of_difference_is_named() {
    check(
        "kind: Policy
metadata: {name: edge, version: 2}
confirm: {within: 60s}
sets:
  mgmt: {cidr: [10.9.0.0/24, 10.9.2.0/24, 10.9.3.0/24]}
  webs: {hosts: \"role == 'web'\"}
  new: {file: /list}
tiers:
- name: guard
  rules:
  - {id: bad, dir: in, from: \"@new\", action: drop}
  - {id: b, dir: in, proto: tcp, dport: 80, action: accept}
- name: main
  default: {in: reject}
  rules:
  - {id: c, dir: in, proto: tcp, from: \"@webs\", dport: [5432, 5433], action: accept}
  - {id: a, dir: in, proto: tcp, from: \"@mgmt\", dport: 22, action: accept, log: true}
",
        expect![[r#"
            ~ metadata.version: 1 -> 2
            ~ mode: observe -> enforce
            ~ confirm: (none) -> {within: "60s"}
            ~ main.default.in: drop -> reject
            ~ main.default.out: accept -> (none)
            + tier guard
            ~ set @mgmt: 2 added, 1 removed
                + 10.9.2.0/24, 10.9.3.0/24
                - 10.9.1.0/24
            + set @new
            - set @old (1 prefix)
            ~ set @webs: {cidr: 10.1.0.0/16} -> {hosts: "role == 'web'"}
            - rule in main: {id: d, dir: in, from: "@old", action: accept}
            + rule in guard, first: {id: bad, dir: in, from: "@new", action: drop}
            > rule `b` in guard, moved from main (behind `a` -> behind `bad`)
            ~ rule `c` in main, moved (behind `b` -> first)
                dport: 5432 -> [5432, 5433]
            ~ rule `a` in main
                log: (none) -> {rate: "10/s"}
        "#]],
    );
}

#[test]
fn only_what_has_to_move_is_moved() {
    let rule = |id: &str, port: u16| format!("  - {{id: {id}, dir: in, proto: tcp, dport: {port}, action: accept}}\n");
    let text = |ids: &[&str]| {
        let rules: String = ids.iter().map(|id| rule(id, id.bytes().next().map_or(0, u16::from))).collect();
        format!("kind: Policy\nmetadata: {{name: e, version: 1}}\ntiers:\n- name: main\n  rules:\n{rules}")
    };
    let before = parse(&text(&["a", "b", "c", "d", "e"])).expect("before");
    let after = parse(&text(&["e", "a", "b", "c", "d"])).expect("after");
    expect![[r"
        > rule `e` in main, moved (behind `d` -> first)
    "]]
    .assert_eq(&diff_documents(&before.document, &after.document).to_string());
}
