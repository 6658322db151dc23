//! Commands and questions about the policy: who may, what reaches the agent, and what is answered.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use hivewall_api::{Access, BODY_BYTES_MAX};
use serde_json::{Value, json};
use support::{Server, TOKEN};

const COMMANDS: [(&str, &str); 5] = [
    ("POST", "/api/v1/policy/apply"),
    ("POST", "/api/v1/policy/confirm"),
    ("POST", "/api/v1/policy/rollback"),
    ("POST", "/api/v1/bans"),
    ("DELETE", "/api/v1/bans"),
];

fn asked(server: &Server) -> Vec<String> {
    std::mem::take(&mut server.fake.asked.lock().unwrap())
}

#[test]
fn a_command_without_the_token_reaches_nobody_and_is_told_where_it_is() {
    let server = Server::start();
    for (method, path) in COMMANDS {
        let none = server.send(method, path, None, None);
        assert_eq!((none.status, none.error().as_str()), (401, "no_token"), "{method} {path}");
        assert!(none.json()["hint"].as_str().unwrap().contains("/run/hivewall/token"), "{}", none.body);
        assert_eq!(none.header("www-authenticate"), "Bearer");
        let wrong = server.send(method, path, Some("0123456789abcdef0123456789abcdeg"), None);
        assert_eq!((wrong.status, wrong.error().as_str()), (401, "wrong_token"), "{method} {path}");
    }
    assert!(asked(&server).is_empty());
}

#[test]
fn an_agent_without_a_token_takes_no_commands_at_all() {
    let server = Server::start_with(Access::none());
    for (method, path) in COMMANDS {
        let answer = server.send(method, path, Some(TOKEN), None);
        assert_eq!((answer.status, answer.error().as_str()), (403, "commands_off"), "{method} {path}");
    }
    assert!(asked(&server).is_empty());
    let question = json!({ "from": "10.9.0.4", "to": "10.0.0.2" });
    assert_eq!(server.send("POST", "/api/v1/policy/explain", None, Some(&question)).status, 200, "a question is none");
}

#[test]
fn commands_reach_the_agent_as_they_were_meant() {
    let server = Server::start();
    let send = |method: &str, path: &str, body: Option<Value>| {
        let answer = server.send(method, path, Some(TOKEN), body.as_ref());
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        asked(&server).remove(0)
    };
    let ban = send("POST", "/api/v1/bans", Some(json!({ "prefix": "192.0.2.7/24", "ttl": "1h", "reason": "scans" })));
    assert_eq!(ban, "Ban { prefix: 192.0.2.0/24, ttl: Some(3600s), reason: \"scans\" }");
    let ban = send("POST", "/api/v1/bans", Some(json!({ "prefix": "2001:db8::1" })));
    assert_eq!(ban, "Ban { prefix: 2001:db8::1/128, ttl: None, reason: \"\" }");
    let unban = send("DELETE", "/api/v1/bans", Some(json!({ "prefix": "192.0.2.7" })));
    assert_eq!(unban, "Unban { prefix: 192.0.2.7/32 }");
    assert_eq!(send("POST", "/api/v1/policy/confirm", None), "Confirm");
    assert_eq!(send("POST", "/api/v1/policy/rollback", None), "Rollback");
    let apply = send("POST", "/api/v1/policy/apply", Some(json!({ "document": "kind: Policy", "confirm": "2m" })));
    assert_eq!(apply, "Apply { document: \"kind: Policy\", confirm: Some(120s) }");
}

#[test]
fn what_is_not_understood_is_refused_before_the_agent_hears_of_it() {
    let server = Server::start();
    for (body, error) in [
        (json!({ "prefix": "example.org" }), "bad_prefix"),
        (json!({ "prefix": "192.0.2.0/33" }), "bad_prefix"),
        (json!({ "prefix": "192.0.2.1", "ttl": "soon" }), "bad_span"),
        (json!({ "prefix": "192.0.2.1", "ttl": "0s" }), "bad_span"),
        (json!({ "prefix": "192.0.2.1", "for": "1h" }), "bad_body"),
        (json!({}), "bad_body"),
        (json!("192.0.2.1"), "bad_body"),
    ] {
        let answer = server.send("POST", "/api/v1/bans", Some(TOKEN), Some(&body));
        assert_eq!((answer.status, answer.error().as_str()), (400, error), "{body}");
    }
    let answer = server.send("POST", "/api/v1/bans?ttl=1h", Some(TOKEN), Some(&json!({ "prefix": "192.0.2.1" })));
    assert_eq!((answer.status, answer.error().as_str()), (400, "unknown_parameter"));
    assert!(asked(&server).is_empty());
}

#[test]
fn pages_of_other_origins_and_forms_are_refused_even_with_the_token() {
    let server = Server::start();
    let close = "host: localhost\r\nconnection: close\r\ncontent-length: 2\r\n";
    let token = format!("authorization: Bearer {TOKEN}\r\n");
    let ask =
        |path: &str, headers: &str| server.raw(&format!("POST {path} HTTP/1.1\r\n{close}{token}{headers}\r\n{{}}"));
    for headers in ["origin: http://evil.example\r\n", "origin: null\r\n", "sec-fetch-site: cross-site\r\n"] {
        for path in ["/api/v1/policy/confirm", "/api/v1/policy/explain"] {
            let text = ask(path, headers);
            assert!(text.starts_with("HTTP/1.1 403 ") && text.contains("cross_origin"), "{path} {headers}: {text}");
        }
    }
    let own = ask("/api/v1/policy/confirm", "origin: http://localhost\r\nsec-fetch-site: same-origin\r\n");
    assert!(own.starts_with("HTTP/1.1 200 "), "{own}");
    let form = ask("/api/v1/bans", "content-type: application/x-www-form-urlencoded\r\n");
    assert!(form.starts_with("HTTP/1.1 415 ") && form.contains("not_json"), "{form}");
}

#[test]
fn a_document_may_be_long_and_not_endless() {
    let server = Server::start();
    let document = |bytes: usize| json!({ "document": "x".repeat(bytes) });
    let long = server.send("POST", "/api/v1/policy/apply", Some(TOKEN), Some(&document(BODY_BYTES_MAX / 2)));
    assert_eq!(long.status, 200, "{}", long.body);
    let body = document(BODY_BYTES_MAX).to_string();
    let head = format!(
        "authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    let text = server.raw(&format!(
        "POST /api/v1/policy/apply HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}\r\n{body}"
    ));
    assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("body_too_large"), "{text}");
}

#[test]
fn the_policy_is_shown_with_its_text_and_bans() {
    let server = Server::start();
    let page = server.get("/api/v1/policy").json();
    assert_eq!((&page["policy"]["name"], &page["document"]), (&json!("edge"), &json!("kind: Policy\n")));
    assert_eq!(page["policy"]["pending"]["seconds_left"], json!(61.0));
    let bans = server.get("/api/v1/bans").json();
    assert_eq!((&bans["total"], &bans["bans"][0]["prefix"]), (&json!(1), &json!("192.0.2.0/24")));
    assert_eq!(server.get("/api/v1/rules").json(), json!({ "tables": [] }));
}
