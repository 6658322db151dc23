//! Webhooks on loopback, and with them what holds for all channels: hanging receivers, retries, restarts, storms, limits.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{LIMIT, OK, Web, alert, certificate, secret, start, until};
use hivewall_notify::{Change, Channel, Error, Notifier};
use hivewall_view::alerts::{Acknowledgement, Severity};
use serde_json::Value;

#[test]
fn an_alert_arrives_as_json_with_what_happened_to_it() {
    let web = Web::start(&[OK]);
    let notifier = start(&[&format!("webhook+http://{}/in?group_wait=0s", web.address)], None);
    notifier.tell(&alert("0000000000aa", Severity::High), Change::Raised);
    let request = web.next();
    assert_eq!(request.line, "POST /in HTTP/1.1");
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((body["version"].as_u64(), body["total"].as_u64(), body["more"].as_u64()), (Some(1), Some(1), Some(0)));
    assert_eq!((&body["host"], &body["severity"], &body["test"]), (&"web1".into(), &"high".into(), &false.into()));
    let listed = &body["alerts"][0];
    assert_eq!(
        (&listed["change"], &listed["id"], &listed["source"]),
        (&"raised".into(), &"0000000000aa".into(), &"198.51.100.7".into())
    );
    assert_eq!(body["id"].as_str(), Some(request.headers["x-hivewall-id"].as_str()));
    let counters = until(&notifier, 0, |counters| counters.delivered == 1);
    assert_eq!((counters.taken, counters.messages, counters.queued), (1, 1, 0));
    assert!(counters.last_success.is_some() && counters.last_error.is_none());
    assert_eq!(notifier.close(LIMIT), 0);
}

#[test]
fn a_receiver_that_hangs_delays_no_other() {
    // Accepts, reads, and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let web = Web::start(&[OK]);
    let lines = [
        format!("webhook+http://{}/?name=hangs&group_wait=0s&timeout=1h", hanging.local_addr().unwrap()),
        format!("webhook+http://{}/?name=well&group_wait=0s", web.address),
    ];
    let notifier = start(&[&lines[0], &lines[1]], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let (mut held, _) = hanging.accept().unwrap();
    assert_eq!(held.read(&mut [0]).unwrap(), 1, "it is in the midst of the first message");
    for id in ["2", "3"] {
        notifier.tell(&alert(id, Severity::High), Change::Raised);
    }
    for id in ["1", "2", "3"] {
        assert!(web.next().text().contains(&format!("\"id\":\"{id}\"")), "the other channel goes on, in order");
    }
    until(&notifier, 1, |counters| counters.delivered == 3);
    let hangs = &notifier.counters()[0];
    assert_eq!((hangs.taken, hangs.delivered, hangs.queued), (3, 0, 3));
    let begun = Instant::now();
    assert_eq!(notifier.close(Duration::ZERO), 3, "kept for the next start");
    assert!(begun.elapsed() < LIMIT);
}

#[test]
fn what_could_not_be_delivered_arrives_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let line = format!("webhook+http://{address}/?group_wait=0s&retry=10ms");
    let notifier = start(&[&line], Some(directory.path()));
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let counters = until(&notifier, 0, |counters| counters.retried.get("unreachable").is_some_and(|tries| *tries > 1));
    assert!(counters.last_error.unwrap().1.contains("refused"));
    assert_eq!(notifier.close(Duration::ZERO), 1);

    let web = Web::on(TcpListener::bind(address).unwrap(), &[OK], None);
    let notifier = start(&[&line], Some(directory.path()));
    assert!(web.next().text().contains("\"id\":\"1\""));
    let counters = until(&notifier, 0, |counters| counters.delivered == 1);
    assert_eq!((counters.taken, counters.queued), (1, 0));
    assert_eq!(notifier.close(LIMIT), 0);
    let notifier = start(&[&line], Some(directory.path()));
    assert_eq!(notifier.counters()[0].taken, 0, "it is not delivered twice");
}

#[test]
fn a_storm_of_ten_thousand_is_a_few_messages_that_say_how_many() {
    let web = Web::start(&[OK]);
    let line = format!("webhook+http://{}/?group_wait=0s&rate=3/2s", web.address);
    let notifier = start(&[&line], None);
    let begun = Instant::now();
    for number in 0..10_000 {
        notifier.tell(&alert(&format!("{number:012x}"), Severity::Medium), Change::Raised);
    }
    let (mut told, mut messages, mut largest) = (0, 0, 0);
    while told < 10_000 {
        let body: Value = serde_json::from_slice(&web.next().body).unwrap();
        let (total, more) = (body["total"].as_u64().unwrap(), body["more"].as_u64().unwrap());
        let listed = body["alerts"].as_array().unwrap().len() as u64;
        assert_eq!((listed + more, body["detectors"]["port_scan"].as_u64()), (total, Some(total)));
        assert!(listed <= 20, "{listed} are listed");
        told += total;
        messages += 1;
        largest = largest.max(more);
    }
    assert_eq!(told, 10_000, "each is counted once");
    let spans = begun.elapsed().as_secs() / 2 + 1;
    assert!(messages <= 3 * spans, "{messages} messages in {spans} spans of 2 s");
    assert!(largest > 1000, "the summary says of {largest} more");
    let counters = until(&notifier, 0, |counters| counters.delivered == 10_000);
    assert_eq!((counters.messages, counters.lost_intake_full), (messages, 0));
    assert!(counters.summed_up >= largest);
}

#[test]
fn what_comes_together_for_one_detector_is_one_message() {
    let web = Web::start(&[OK]);
    let notifier = start(&[&format!("webhook+http://{}/?group_wait=1h", web.address)], None);
    for id in ["1", "2", "3"] {
        notifier.tell(&alert(id, Severity::Medium), Change::Raised);
    }
    let mut other = alert("4", Severity::Critical);
    other.detector = "syn_flood".to_owned();
    notifier.tell(&other, Change::Raised);
    until(&notifier, 0, |counters| counters.queued == 4);
    assert!(web.is_quiet(), "they wait for company");
    // At the end nothing waits for company.
    assert_eq!(notifier.close(LIMIT), 0);
    let totals: Vec<_> = (0..2)
        .map(|_| serde_json::from_slice::<Value>(&web.next().body).unwrap())
        .map(|body| (body["total"].as_u64().unwrap(), body["severity"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(totals, [(3, "medium".to_owned()), (1, "critical".to_owned())]);
}

#[test]
fn errors_that_heal_are_tried_again_and_others_are_given_up() {
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
    let bad = "HTTP/1.1 400 Bad\r\ncontent-length: 7\r\n\r\nno room";
    let moved = "HTTP/1.1 302 Moved\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n";
    let web = Web::start(&[busy, busy, OK, bad, moved, OK]);
    let notifier = start(&[&format!("webhook+http://{}/?group_wait=0s&retry=1ms", web.address)], None);
    for id in ["1", "2", "3", "4"] {
        notifier.tell(&alert(id, Severity::High), Change::Raised);
    }
    let requests: Vec<_> = (0..6).map(|_| web.next()).collect();
    assert!(requests.iter().all(|request| request.line == "POST / HTTP/1.1"), "no redirect is followed");
    let ids: Vec<_> = requests.iter().map(|request| request.headers["x-hivewall-id"].clone()).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "another attempt has the same number: {ids:?}");
    let counters = until(&notifier, 0, |counters| counters.delivered == 2);
    assert_eq!(
        (counters.retried.get("busy"), counters.failed.get("refused"), counters.failed.get("redirected")),
        (Some(&2), Some(&1), Some(&1))
    );
    assert_eq!((counters.taken, counters.queued), (4, 0));
}

#[test]
fn mild_silenced_and_acknowledged_alerts_are_not_sent() {
    let web = Web::start(&[OK]);
    let notifier = start(&[&format!("webhook+http://{}/?group_wait=0s&min=medium&ended=no", web.address)], None);
    notifier.tell(&alert("mild", Severity::Low), Change::Raised);
    let mut seen = alert("seen", Severity::High);
    seen.acknowledged = Some(Acknowledgement::default());
    notifier.tell(&seen, Change::Worsened);
    let mut silenced = alert("silenced", Severity::High);
    silenced.silenced_until = Some("2999-01-01T00:00:00Z".to_owned());
    notifier.tell(&silenced, Change::Raised);
    notifier.tell(&alert("ended", Severity::High), Change::Ended);
    let mut no_longer = alert("told", Severity::High);
    no_longer.silenced_until = Some("2001-01-01T00:00:00Z".to_owned());
    notifier.tell(&no_longer, Change::Raised);
    assert!(web.next().text().contains("\"id\":\"told\""));
    let counters = until(&notifier, 0, |counters| counters.delivered == 1);
    assert_eq!((counters.below_min, counters.silenced, counters.ends_unwanted, counters.taken), (1, 2, 1, 1));
}

#[test]
fn a_signature_is_what_openssl_makes_of_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let web = Web::start(&[OK]);
    let file = secret(directory.path(), "secret", "it is a secret\n");
    let notifier = start(&[&format!("webhook+http://{}/?group_wait=0s&secret_file={file}", web.address)], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let request = web.next();
    let timestamp = &request.headers["x-hivewall-timestamp"];
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "it is a secret", "-r"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = openssl.stdin.take().unwrap();
    stdin.write_all(format!("{timestamp}.").as_bytes()).unwrap();
    stdin.write_all(&request.body).unwrap();
    drop(stdin);
    let output = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(request.headers["x-hivewall-signature"], format!("v1={}", output.split_whitespace().next().unwrap()));
    let age = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "the time is that of sending");
}

#[test]
fn slack_gets_its_form_and_nothing_an_attacker_wrote_makes_a_link() {
    let web = Web::start(&[OK]);
    let notifier = start(&[&format!("webhook+http://{}/?group_wait=0s&preset=slack", web.address)], None);
    let mut evil = alert("1", Severity::Critical);
    evil.message = "asked for <https://evil.example|click> & <!channel>".to_owned();
    notifier.tell(&evil, Change::Worsened);
    let body: Value = serde_json::from_slice(&web.next().body).unwrap();
    assert_eq!(body["text"], "[hivewall] CRITICAL on web1: Port scan (worse)");
    let text = body["attachments"][0]["text"].as_str().unwrap();
    assert!(text.contains("asked for &lt;https://evil.example|click&gt; &amp; &lt;!channel&gt;"), "{text}");
}

#[test]
fn a_template_makes_any_form_and_a_mistake_in_it_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("template");
    std::fs::write(
        &template,
        "{% for a in alerts %}{{ a.severity }} {{ a.title|tojson }} {{ a.change }}{% endfor %}+{{ more }}",
    )
    .unwrap();
    let web = Web::start(&[OK]);
    let line = format!(
        "webhook+http://{}/?group_wait=0s&content_type=text/plain&template_file={}",
        web.address,
        template.display()
    );
    let notifier = start(&[&line], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let request = web.next();
    assert_eq!(
        (request.text().as_str(), request.headers["content-type"].as_str()),
        ("high \"Port scan\" raised+0", "text/plain")
    );
    std::fs::write(&template, "{{ alerts[0].titel|upper }}").unwrap();
    let error = Channel::parse(&line).unwrap_err().to_string();
    assert!(error.contains("undefined value"), "{error}");
}

#[test]
fn https_is_checked_against_the_named_file() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = certificate(directory.path());
    let web = Web::with_tls(&[OK], certificate.config);
    let port = web.address.port();
    let lines = [
        format!("webhook+https://localhost:{port}/?name=right&group_wait=0s&ca_file={}", certificate.file.display()),
        format!(
            "webhook+https://127.0.0.1:{port}/?name=wrong&group_wait=0s&retry=1ms&ca_file={}",
            certificate.file.display()
        ),
    ];
    let notifier = start(&[&lines[0]], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    assert!(web.next().text().contains("\"id\":\"1\""));
    drop(notifier);
    // The certificate is for another name than this address.
    let notifier = start(&[&lines[1]], None);
    notifier.tell(&alert("2", Severity::High), Change::Raised);
    let counters = until(&notifier, 0, |counters| counters.retried.contains_key("tls"));
    assert_eq!(counters.delivered, 0);
    assert!(web.is_quiet());
}

#[test]
fn a_test_says_of_each_channel_whether_it_arrived() {
    let (well, ill) = (Web::start(&[OK]), Web::start(&["HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"]));
    let lines =
        [format!("webhook+http://{}/?name=well", well.address), format!("webhook+http://{}/?name=ill", ill.address)];
    let notifier = start(&[&lines[0], &lines[1]], None);
    let results = notifier.test(None);
    assert!(matches!(&results[0], (name, Ok(took)) if name == "well" && *took < LIMIT), "{results:?}");
    assert_eq!(results[1], ("ill".to_owned(), Err("answered 500".to_owned())));
    let body: Value = serde_json::from_slice(&well.next().body).unwrap();
    assert_eq!((&body["test"], &body["alerts"][0]["detector"]), (&true.into(), &"test".into()));
    let results = notifier.test(Some("none"));
    assert_eq!(results[0].1, Err("there is no channel of that name; there are: well, ill".to_owned()));
}

#[test]
fn two_channels_of_one_name_are_refused() {
    let channel = || Channel::parse("journald:").unwrap();
    let error = Notifier::start(vec![channel(), channel()], None).unwrap_err();
    assert!(matches!(&error, Error::Name { name } if name == "journald"), "{error}");
}
