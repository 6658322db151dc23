//! Lines of the configuration: what they mean, and what is said of those that mean nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::secret;
use hivewall_notify::{Channel, Rate};
use hivewall_view::alerts::Severity;

fn error(line: &str) -> String {
    Channel::parse(line).unwrap_err().to_string()
}

#[test]
fn names_and_defaults_come_from_the_kind_and_the_host() {
    let per_minute = |messages| Some(Rate { messages, per: Duration::from_secs(60) });
    for (line, name, group_wait_s, rate) in [
        ("alertmanager+http://am.example.org:9093", "alertmanager-am.example.org", 0, None),
        ("webhook+http://127.0.0.1:9/x", "webhook-127.0.0.1", 10, per_minute(30)),
        ("smtp+none://localhost?from=a@b.c&to=d@e.f", "smtp-localhost", 30, per_minute(10)),
        ("syslog+udp://[::1]:514", "syslog-1", 0, per_minute(600)),
        ("syslog:", "syslog", 0, per_minute(600)),
        ("journald:", "journald", 0, per_minute(600)),
        ("command:/bin/true", "command-true", 0, per_minute(30)),
    ] {
        let channel = Channel::parse(line).unwrap();
        let found = (channel.name.as_str(), channel.group_wait.as_secs(), channel.rate);
        assert_eq!(found, (name, group_wait_s, rate), "{line}");
        assert_eq!((channel.min, channel.ended, channel.timeout.as_secs()), (Severity::Low, true, 10), "{line}");
    }
}

#[test]
fn settings_are_taken() {
    let line = "syslog:/dev/log?name=../odd name&min=high&ended=no&rate=5/h&timeout=1m30s&retry=100ms";
    let channel = Channel::parse(line).unwrap();
    assert_eq!((channel.name.as_str(), channel.min, channel.ended), ("odd-name", Severity::High, false));
    assert_eq!(channel.rate, Some(Rate { messages: 5, per: Duration::from_secs(3600) }));
    assert_eq!((channel.timeout, channel.retry), (Duration::from_secs(90), Duration::from_millis(100)));
    assert_eq!(Channel::parse("journald:?rate=none").unwrap().rate, None);
}

#[test]
fn errors_say_what_to_write() {
    for (line, part) in [
        ("webhok+https://x/", "(did you mean `webhook+http"),
        ("https://x/", "`https` is no kind of channel; lines begin with alertmanager+http(s)://"),
        ("", "is no kind of channel"),
        ("webhook+http://127.0.0.1/?presett=slack", "(did you mean `preset`?)"),
        ("journald:?group_wait=1s", "journald has no setting `group_wait`"),
        ("journald:?min=worst", "min=worst: info, low, medium, high or critical is expected"),
        ("journald:?ended=maybe", "ended=maybe: yes or no is expected"),
        ("journald:?rate=fast", "such as 30/1m, or none is expected"),
        ("journald:?rate=0/1m", "such as 30/1m, or none is expected"),
        ("journald:?timeout=soon", "a time such as 500ms, 10s, 1m or 1h is expected"),
        ("webhook+https://u:p@example.org/", "password_file=/path"),
        ("webhook+https://u@example.org/", "the password is missing; write for example"),
        ("webhook+http://127.0.0.1/?preset=teams", "json or slack"),
        ("webhook+file:relative", "webhook+file:///etc/hivewall/slack.url?preset=slack"),
        ("smtp+none://mail.example.org?from=a@b.c&to=d@e.f", "mail.example.org is none; use smtp+starttls://"),
        ("smtp+tls://mail.example.org?to=d@e.f", "from is missing; write for example smtp+starttls://"),
        ("smtp+tls://mail.example.org?from=a@b.c", "to is missing"),
        ("smtp+tls://mail.example.org?from=a&to=d@e.f", "from=a: an address such as ops@example.org is expected"),
        ("smtp+tls://u@mail.example.org?from=a@b.c&to=d@e.f", "password_file is missing"),
        ("syslog+udp://", "the host is missing"),
        ("syslog:?facility=demon", "demon (for daemon?)"),
        ("command:on-alert", "write its whole path"),
        ("command:/no/such/file", "there is no such file"),
        ("command:/etc/passwd", "`chmod 700` it"),
    ] {
        let error = error(line);
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn secrets_that_others_can_read_are_refused_when_the_line_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = secret(directory.path(), "secret", "x");
    let line = format!("webhook+http://127.0.0.1/?secret_file={file}");
    assert!(Channel::parse(&line).is_ok());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(error(&line).contains("(mode 640); `chmod 600` it"), "{}", error(&line));
    // An address can be a secret itself: neither an error nor a picture of the channel shows it.
    let file = secret(directory.path(), "bad", "hooks.example.org/T/B/hunter2");
    let shown = error(&format!("webhook+file://{file}"));
    assert!(shown.contains("an http:// or https:// address is expected") && !shown.contains("hunter2"), "{shown}");
    let file = secret(directory.path(), "url", "https://hooks.example.org/T/B/x?their=own\n");
    let channel = Channel::parse(&format!("webhook+file://{file}?preset=slack"));
    match channel {
        Ok(channel) => {
            assert_eq!(channel.name, "webhook-hooks.example.org");
            assert!(!format!("{channel:?}").contains("their"), "{channel:?}");
        }
        // A host without certificate authorities says so.
        Err(error) => assert!(error.to_string().contains("ca-certificates"), "{error}"),
    }
}
