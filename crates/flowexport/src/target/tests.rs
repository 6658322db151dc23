//! Words of targets, good and bad.

use expect_test::{Expect, expect};

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "a picture is made where it is compared")]
fn check(word: &str, expect: Expect) {
    let read = match word.parse::<Target>() {
        Ok(Target { name, kind: Kind::Direct(direct), .. }) => format!("{name} -> {direct:?}"),
        Ok(Target { name, kind: Kind::Durable(durable), .. }) => format!("{name} -> {durable:?}"),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&read);
}

#[test]
fn a_target_says_where_and_how() {
    check(
        "ipfix+udp://h",
        expect![[
            r#"ipfix+udp://h -> Templated { version: Ipfix, place: Udp { host: "h", port: 4739 }, domain: 1, refresh: Some(Refresh { messages: 200, after: 60s }) }"#
        ]],
    );
    check(
        "ipfix+udp://[2001:db8::1]:9995?domain=7&template_seconds=30&template_messages=9",
        expect![[
            r#"ipfix+udp://[2001:db8::1]:9995 -> Templated { version: Ipfix, place: Udp { host: "2001:db8::1", port: 9995 }, domain: 7, refresh: Some(Refresh { messages: 9, after: 30s }) }"#
        ]],
    );
    check(
        "ipfix+tcp://192.0.2.1:4740",
        expect![[
            r#"ipfix+tcp://192.0.2.1:4740 -> Templated { version: Ipfix, place: Tcp { host: "192.0.2.1", port: 4740 }, domain: 1, refresh: None }"#
        ]],
    );
    check(
        "netflow9://h:2055?queue_mb=8",
        expect![[
            r#"netflow9://h:2055 -> Templated { version: Nine, place: Udp { host: "h", port: 2055 }, domain: 1, refresh: Some(Refresh { messages: 200, after: 60s }) }"#
        ]],
    );
    check("netflow5://h", expect![[r#"netflow5://h -> V5 { place: Udp { host: "h", port: 2055 }, domain: 1 }"#]]);
    check("sflow://h", expect![[r#"sflow://h -> Sflow { place: Udp { host: "h", port: 6343 }, domain: 1 }"#]]);
    check(
        "eve+unix:///run/my collector/eve.sock?queue_mb=1",
        expect![[r#"eve+unix:///run/my collector/eve.sock -> Lines { place: Unix("/run/my collector/eve.sock") }"#]],
    );
    check("eve+tcp://h:5170", expect![[r#"eve+tcp://h:5170 -> Lines { place: Tcp { host: "h", port: 5170 } }"#]]);
}

#[test]
fn a_wrong_word_tells_what_to_write() {
    check(
        "collector:4739",
        expect![
            "`collector:4739` is no export target: write one of ipfix+udp://, ipfix+tcp://, netflow9://, netflow5://, sflow://, eve+unix://, eve+tcp://, nats://, clickhouse+http://, clickhouse+https://, then host and port"
        ],
    );
    check(
        "http://h",
        expect![
            "`http://h` is no export target: write one of ipfix+udp://, ipfix+tcp://, netflow9://, netflow5://, sflow://, eve+unix://, eve+tcp://, nats://, clickhouse+http://, clickhouse+https://, then host and port"
        ],
    );
    check("ipfix+udp://", expect!["`ipfix+udp://` names no host: write it like ipfix+udp://collector.example:4739"]);
    check(
        "ipfix+udp://h:99999",
        expect![
            "`ipfix+udp://h:99999` cannot be read (invalid port number): write it like ipfix+udp://collector.example:4739"
        ],
    );
    check(
        "ipfix+udp://h/path",
        expect![
            "`ipfix+udp://h/path` cannot be read (nothing may follow the port, and `/path` does): write it like ipfix+udp://collector.example:4739"
        ],
    );
    check(
        "ipfix+tcp://h?template_seconds=3",
        expect!["`template_seconds` is no parameter of ipfix+tcp: it knows domain, queue_mb"],
    );
    check("netflow9://h?domain=4294967296", expect!["`domain=4294967296`: write a number from 0 to 4294967295"]);
    check("netflow9://h?queue_mb=0", expect!["`queue_mb=0`: write a number from 1 to 65536"]);
    check(
        "netflow9://me:secret@h",
        expect![
            "user and password do not belong into a target's address: write ?user=NAME&password_file=/path, with the password in that file"
        ],
    );
    check(
        "eve+unix://relative/path",
        expect!["`eve+unix://relative/path` names no absolute path: write it like eve+unix:///run/collector/eve.sock"],
    );
    check("eve+tcp://h", expect!["`eve+tcp://h` names no port: write it like eve+tcp://collector.example:5170"]);
}
