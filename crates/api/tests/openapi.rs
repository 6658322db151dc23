//! The OpenAPI document held against the server: every path, status and parameter it names is answered as it says,
//! every answer fits its schema with nothing beside it, and the server has no path that it does not name.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hivewall_api::{
    Access, AlertRefusal, FleetRefusal, HistoryRefusal, LIVE_MAX, PolicyRefusal, REQUESTS_BURST_MAX, Right, SourceGone,
    openapi_json, paths, rights,
};
use hivewall_view::access::Role;
use jsonschema::Validator;
use serde_json::{Value, json};
use support::guarded::{Guarded, PASSWORD};
use support::{Answer, Server, TOKEN, data};

/// The document, with every object closed: a key that a schema does not name is a fault of the document.
fn document() -> Value {
    let mut document: Value = serde_json::from_str(&openapi_json()).unwrap();
    for schema in document["components"]["schemas"].as_object_mut().unwrap().values_mut() {
        if schema.get("properties").is_some() {
            schema["additionalProperties"] = json!(false);
        }
    }
    document
}

fn validator(document: &Value, schema: &Value) -> Validator {
    let mut root = schema.clone();
    root["components"] = document["components"].clone();
    jsonschema::draft202012::new(&root).unwrap()
}

fn hold(document: &Value, schema: &Value, instance: &Value, what: &str) {
    let faults: Vec<String> = validator(document, schema)
        .iter_errors(instance)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{what}: {faults:#?}");
}

fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Method in capitals, path, operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

/// A body that the operation takes; none where it takes none.
fn body(method: &str, path: &str) -> Option<Value> {
    match (method, path) {
        ("POST", "/api/v1/policy/check" | "/api/v1/policy/diff" | "/api/v1/policy/statement") => {
            Some(json!({ "document": "kind: Policy" }))
        }
        ("POST", "/api/v1/policy/explain") => Some(json!({ "from": "10.9.0.4", "to": "10.0.0.2" })),
        ("POST", "/api/v1/policy/rehearse" | "/api/v1/fleet/rehearse") => {
            Some(json!({ "document": "kind: Policy", "last": "24h" }))
        }
        ("POST", "/api/v1/policy/apply") => Some(json!({ "document": "kind: Policy", "confirm": "2m" })),
        ("POST", "/api/v1/bans") => Some(json!({ "prefix": "192.0.2.7/24", "ttl": "1h", "reason": "scans" })),
        ("POST", "/api/v1/fleet/invitations") => Some(json!({ "uses": 2, "ttl": "1h", "labels": { "role": "web" } })),
        ("DELETE", "/api/v1/fleet/invitations") => Some(json!({ "id": "7f3a09c2" })),
        ("POST", "/api/v1/fleet/remove") => Some(json!({ "host": "web-7", "reason": "sold" })),
        ("POST", "/api/v1/alerts/acknowledge") => Some(json!({ "id": "00c0", "by": "ops", "note": "looking" })),
        ("POST", "/api/v1/alerts/mutes") => Some(json!({ "action": "exclude", "alert": "00c0", "for": "2h" })),
        ("DELETE", "/api/v1/alerts/mutes") => Some(json!({ "id": "m1" })),
        ("DELETE", "/api/v1/alerts/acknowledge") | ("POST", "/api/v1/alerts/undo") => Some(json!({ "id": "00c0" })),
        ("POST", "/api/v1/alerts/test") => Some(json!({ "channel": "journald:" })),
        ("DELETE", "/api/v1/bans") => Some(json!({ "prefix": "192.0.2.0/24" })),
        _ => None,
    }
}

#[test]
fn the_document_names_every_path_of_the_server_and_no_other() {
    let documented: BTreeSet<String> = operations(&document()).into_iter().map(|(_, path, _)| path).collect();
    let served: BTreeSet<String> = paths().into_iter().map(str::to_owned).collect();
    assert_eq!(documented, served);
}

#[test]
fn every_operation_says_what_it_does_in_one_line_and_has_an_id_of_its_own() {
    let mut seen = BTreeSet::new();
    for (_, path, operation) in operations(&document()) {
        let summary = operation["summary"].as_str().unwrap();
        assert!(summary.len() > 10 && summary.ends_with('.') && !summary.contains('\n'), "{path}: {summary}");
        assert!(seen.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{path} {status}");
            assert!(
                response["content"].as_object().is_some_and(|content| content.len() == 1 || path == EXPORT),
                "{path} {status}"
            );
        }
    }
}

/// Makes the server answer `path` with `status`; a documented answer that nothing here can bring about fails the test.
fn provoke(path: &str, status: &str) -> Answer {
    if path == CAPTURE {
        return provoke_capture(status);
    }
    let server = Server::start();
    if matches!(path, "/api/v1/rules" | "/api/v1/policy/schema") && status == "404" {
        *server.fake.policy.lock().unwrap() = Some(PolicyRefusal::Off);
        return server.get(path);
    }
    if path.starts_with("/api/v1/fleet") && status == "404" {
        *server.fake.fleet.lock().unwrap() = None;
        *server.fake.fleet_refusal.lock().unwrap() = Some(FleetRefusal::Off);
        return server.get(path);
    }
    if (path.starts_with("/api/v1/alerts") || path == "/api/v1/detectors") && matches!(status, "404" | "503") {
        let refusal = if status == "404" { AlertRefusal::Off } else { AlertRefusal::Gone(SourceGone) };
        *server.fake.alert_refusal.lock().unwrap() = Some(refusal);
        return server.get(path);
    }
    match (path, status) {
        ("/api/v1/fleet/flows", "503") => {
            *server.fake.fleet_refusal.lock().unwrap() = Some(FleetRefusal::Gone(SourceGone));
            server.get(path)
        }
        (_, "200") => server.get(path),
        (_, "400") => server.get(&format!("{path}?nonsense=1")),
        ("/api/v1/flows", "503") => {
            server.fake.gone.store(true, Ordering::SeqCst);
            server.get(path)
        }
        ("/api/v1/top" | "/api/v1/series" | "/api/v1/export", "404") => {
            *server.fake.history.lock().unwrap() = Some(HistoryRefusal::Off);
            server.get(path)
        }
        ("/api/v1/top" | "/api/v1/series" | "/api/v1/export", "503") => {
            let reason = "the disk is gone".to_owned();
            *server.fake.history.lock().unwrap() = Some(HistoryRefusal::Unreadable { reason });
            server.get(path)
        }
        ("/api/v1/health", "503") => {
            *server.fake.now.lock().unwrap() = data::NOW + Duration::from_hours(1);
            server.get(path)
        }
        ("/api/v1/flows/live", "503") => {
            let _subscribers: Vec<_> = (0..LIVE_MAX).map(|_| server.follow("")).collect();
            server.get(path)
        }
        _ => panic!("nothing makes {path} answer {status}: say here what does"),
    }
}

/// The one answer that has several media types.
const EXPORT: &str = "/api/v1/export";
const CAPTURE: &str = "/api/v1/alerts/capture";

/// The one question that is answered only to who may command.
fn provoke_capture(status: &str) -> Answer {
    let server = if status == "403" { Server::start_with(Access::none()) } else { Server::start() };
    let reason = "it is so".to_owned();
    *server.fake.alert_refusal.lock().unwrap() = match status {
        "400" => Some(AlertRefusal::Invalid { reason }),
        "404" => Some(AlertRefusal::Unknown { reason }),
        "500" => Some(AlertRefusal::Failed { reason }),
        "503" => Some(AlertRefusal::Gone(SourceGone)),
        _ => None,
    };
    server.send("GET", &format!("{CAPTURE}?id=00c0"), (status != "401").then_some(TOKEN), None)
}

/// The same for what is not a GET.
fn provoke_command(method: &str, path: &str, status: &str) -> Answer {
    let server = if status == "403" { Server::start_with(Access::none()) } else { Server::start() };
    let reason = "it is so".to_owned();
    let refusal = match status {
        "400" => Some(PolicyRefusal::Invalid { reason }),
        "404" => Some(PolicyRefusal::Off),
        "409" => Some(PolicyRefusal::Conflict { reason }),
        "500" => Some(PolicyRefusal::Failed { reason }),
        _ => None,
    };
    *server.fake.policy.lock().unwrap() = refusal;
    let reason = "it is so".to_owned();
    let refusal = match status {
        "400" => Some(FleetRefusal::Invalid { reason }),
        "404" => Some(FleetRefusal::Off),
        "409" => Some(FleetRefusal::Conflict { reason }),
        "500" => Some(FleetRefusal::Failed { reason }),
        _ => None,
    };
    *server.fake.fleet_refusal.lock().unwrap() = refusal;
    let reason = "it is so".to_owned();
    let refusal = match status {
        "400" => Some(AlertRefusal::Invalid { reason }),
        "404" => Some(AlertRefusal::Unknown { reason }),
        "500" => Some(AlertRefusal::Failed { reason }),
        _ => None,
    };
    *server.fake.alert_refusal.lock().unwrap() = refusal;
    let (token, mut body) = ((status != "401").then_some(TOKEN), body(method, path));
    if status == "415" {
        body = None;
    }
    server.send(method, path, token, body.as_ref())
}

/// The same for who may use the agent.
fn provoke_access(method: &str, path: &str, status: &str) -> Answer {
    if status == "403" && method == "GET" {
        return Server::start_with(Access::none()).get(path);
    }
    if path == "/api/v1/users/tokens" && status == "409" {
        let body = if method == "POST" {
            json!({ "name": "bob", "label": "ci" })
        } else {
            json!({ "name": "bob", "id": "0" })
        };
        return Server::start().send(method, path, Some(TOKEN), Some(&body));
    }
    let guarded = Guarded::start();
    let (ada, bob) = (guarded.token("ada"), guarded.token("bob"));
    let (ada, bob) = (format!("Bearer {ada}"), format!("Bearer {bob}"));
    let tokens = guarded.server.send("GET", "/api/v1/users", Some(TOKEN), None).json();
    let id = tokens["users"].as_array().unwrap().iter().find(|user| user["name"] == "bob").unwrap()["tokens"][0]["id"]
        .clone();
    let wrong = json!({ "user": "ada", "password": "not the password" });
    let own = json!({ "current": "not the password", "password": PASSWORD });
    let body = match (method, path, status) {
        ("GET", ..) | (.., "/api/v1/session/code", _) | ("DELETE", "/api/v1/session", _) | (.., "415") => None,
        ("POST", "/api/v1/session", "200") => Some(json!({ "user": "ada", "password": PASSWORD })),
        (.., "/api/v1/session", "400") => Some(json!({})),
        (.., "/api/v1/session", _) => Some(wrong.clone()),
        ("POST", "/api/v1/users", "400") => Some(json!({ "name": "eve", "role": "viewer", "password": "short" })),
        ("POST", "/api/v1/users", "409") => Some(json!({ "name": "ada", "role": "viewer", "password": PASSWORD })),
        ("POST", "/api/v1/users", _) => Some(json!({ "name": "eve", "role": "viewer", "password": PASSWORD })),
        (.., "400") => Some(json!({})),
        ("POST", "/api/v1/users/password", "404") => Some(json!({ "name": "eve", "password": PASSWORD })),
        ("POST", "/api/v1/users/password", "429") => Some(own.clone()),
        ("POST", "/api/v1/users/password", "403") => Some(json!({ "name": "ada", "password": PASSWORD })),
        ("POST", "/api/v1/users/password", _) => Some(json!({ "name": "bob", "password": PASSWORD })),
        (_, "/api/v1/users/tokens", "404") => Some(json!({ "name": "eve", "label": "x", "id": "0" })),
        ("POST", "/api/v1/users/tokens", _) => Some(json!({ "name": "bob", "label": "ci" })),
        ("DELETE", "/api/v1/users/tokens", _) => Some(json!({ "name": "bob", "id": id })),
        (_, "/api/v1/users/role", "409") => Some(json!({ "name": "ada", "role": "viewer" })),
        (_, "/api/v1/users/role", "404") => Some(json!({ "name": "eve", "role": "viewer" })),
        (_, "/api/v1/users/role", _) => Some(json!({ "name": "bob", "role": "operator" })),
        ("DELETE", "/api/v1/users", "409") => Some(json!({ "name": "ada" })),
        ("DELETE", "/api/v1/users", "404") => Some(json!({ "name": "eve" })),
        ("DELETE", "/api/v1/users", _) => Some(json!({ "name": "bob" })),
        _ => panic!("say here what {method} {path} takes"),
    };
    let body = match (path, status, body) {
        // Each takes keys of its own, and no other.
        ("/api/v1/users/tokens", "404", _) if method == "POST" => Some(json!({ "name": "eve", "label": "x" })),
        ("/api/v1/users/tokens", "404", _) => Some(json!({ "name": "bob", "id": "0" })),
        (.., body) => body,
    };
    if status == "429" {
        let wrong = if path == "/api/v1/session" { &wrong } else { &own };
        for _ in 0..5 {
            guarded.ask("POST", path, &[("authorization", &ada)], Some(wrong));
        }
    }
    let host = format!("Bearer {TOKEN}");
    let mut headers = match (path, status) {
        (_, "401") | ("/api/v1/session", _) => vec![],
        ("/api/v1/session/code", "403") | ("/api/v1/users/password", "429") => vec![("authorization", ada.as_str())],
        (_, "403") => vec![("authorization", bob.as_str())],
        _ => vec![("authorization", host.as_str())],
    };
    if path == "/api/v1/session" && status == "403" {
        headers.push(("origin", "http://evil.example"));
    }
    let is_query = status == "400" && body.is_none();
    let query = if is_query { "?nonsense=1" } else { "" };
    guarded.ask(method, &format!("{path}{query}"), &headers, body.as_ref())
}

/// Servers that nobody passes: one wants to know who asks, of the other too much was asked already.
struct Closed {
    to_strangers: Guarded,
    to_all: Guarded,
}

impl Closed {
    fn start() -> Self {
        let closed = Self { to_strangers: Guarded::start(), to_all: Guarded::start() };
        closed.to_all.burst(REQUESTS_BURST_MAX as usize);
        closed
    }

    /// What the gate answers, where it is the gate that answers so.
    fn provoke(&self, method: &str, path: &str, status: &str, right: Right) -> Option<Answer> {
        let body = body(method, path);
        match status {
            "401" if right == Right::Read(Role::Viewer) => {
                Some(self.to_strangers.ask(method, path, &[], body.as_ref()))
            }
            "421" => Some(self.to_strangers.ask(method, path, &[("host", "evil.example")], body.as_ref())),
            // Too many wrong passwords are another matter.
            "429" if !matches!((method, path), ("POST", "/api/v1/session" | "/api/v1/users/password")) => {
                Some(self.to_all.ask(method, path, &[], body.as_ref()))
            }
            _ => None,
        }
    }
}

fn right_of(method: &str, path: &str) -> Right {
    rights().into_iter().find(|(m, p, _)| (m.as_str(), *p) == (method, path)).unwrap().2
}

#[test]
fn what_an_operation_needs_is_what_the_table_of_routes_says() {
    for (method, path, operation) in operations(&document()) {
        let right = right_of(&method, &path);
        let security = operation["security"].clone();
        let want = match right {
            Right::Anyone => json!([{}]),
            Right::Read(Role::Viewer) => json!([{}, { "token": [] }, { "session": [] }]),
            Right::Read(_) => json!([{ "token": [] }, { "session": [] }]),
            Right::Change(_) => json!([{ "token": [] }, { "session": [], "csrf": [] }]),
        };
        assert_eq!(security, want, "{method} {path}");
    }
    let schemes = &document()["components"]["securitySchemes"];
    assert_eq!(schemes["csrf"]["name"], "X-Hivewall-CSRF");
    assert_eq!((&schemes["token"]["scheme"], &schemes["session"]["in"]), (&json!("bearer"), &json!("cookie")));
}

#[test]
fn every_documented_answer_comes_as_documented() {
    let document = document();
    let closed = Closed::start();
    let mut keys = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let contents = response["content"].as_object().unwrap();
            // This one does not end by itself: it has a test of its own.
            if contents.contains_key("text/event-stream") {
                continue;
            }
            let what = format!("{method} {path} {status}");
            let is_access = operation["tags"] == json!(["access"]);
            let of_gate = closed.provoke(&method, &path, status, right_of(&method, &path));
            let answer = of_gate.unwrap_or_else(|| match method.as_str() {
                _ if is_access => provoke_access(&method, &path, status),
                "GET" => provoke(&path, status),
                _ => provoke_command(&method, &path, status),
            });
            assert_eq!(answer.status.to_string(), *status, "{what}: {}", answer.body);
            let media_type = answer.media_type().to_owned();
            let content = contents.get(&media_type).unwrap_or_else(|| panic!("{what}: {media_type}"));
            let instance = match media_type.as_str() {
                "application/json" => answer.json(),
                _ => Value::from(answer.body),
            };
            hold(&document, &content["schema"], &instance, &what);
            collect_keys(&instance, &mut keys);
        }
    }
    every_documented_key_was_seen(&document, keys);
}

/// Otherwise part of a schema would pass untested.
fn every_documented_key_was_seen(document: &Value, mut seen: BTreeSet<String>) {
    // In an event only, and only in the error of a filter: their own tests hold them.
    seen.extend(["missed", "position"].map(str::to_owned));
    // Only where the health is not good, and the source not the best.
    seen.extend(["subject", "fallback_reason"].map(str::to_owned));
    // Of bodies that are sent, not answered with.
    seen.extend(
        ["protocol", "source_port", "destination_port", "icmp", "flags", "direction", "interface", "last", "confirm"]
            .map(str::to_owned),
    );
    seen.extend(["ttl", "password", "current"].map(str::to_owned));
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for key in schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
            assert!(seen.contains(key), "{name}.{key} is documented, and in no answer of this test");
        }
    }
}

fn collect_keys(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            keys.insert(key.clone());
            collect_keys(value, keys);
        }),
        Value::Array(items) => items.iter().for_each(|item| collect_keys(item, keys)),
        _ => {}
    }
}

#[test]
fn answers_of_a_degraded_agent_and_of_a_bad_filter_fit_their_schemas() {
    let document = document();
    let server = Server::start();
    server.get("/api/v1/health");
    server.fake.change(|snapshot| {
        snapshot.capture.fallback_reason = Some("the kernel has no BTF".to_owned());
        snapshot.losses.get_mut("ring_full").unwrap().count += 1;
    });
    let health = server.get("/api/v1/health").json();
    assert_eq!(health["reasons"][1]["subject"], "ring_full");
    hold(&document, &component("Health"), &health, "degraded");
    let snapshot = server.get("/api/v1/snapshot").json();
    assert!(snapshot["capture"]["fallback_reason"].is_string());
    hold(&document, &component("Snapshot"), &snapshot, "with a reason");
    let problem = server.get("/api/v1/flows?filter=nonsense:1").json();
    assert!(problem["position"].is_u64(), "{problem}");
    hold(&document, &component("Problem"), &problem, "bad filter");
    let unknown = server.get("/nowhere").json();
    hold(&document, &component("Problem"), &unknown, "unknown path");
}

#[test]
fn live_events_fit_their_schemas() {
    let document = document();
    let server = Server::start();
    let mut events = server.follow("");
    assert!(events.head.to_ascii_lowercase().contains("content-type: text/event-stream"));
    let flows = data::flows();
    let mut lagged = false;
    while !lagged {
        server.fake.close(flows.iter().cycle().take(400).cloned());
        let mut accounted = 0;
        while accounted < 400 {
            let event = events.next().unwrap();
            let data = event.json();
            match event.name.as_str() {
                "flow" => {
                    hold(&document, &component("FlowRow"), &data, "flow");
                    accounted += 1;
                }
                "lagged" => {
                    hold(&document, &component("Lagged"), &data, "lagged");
                    accounted += data["missed"].as_u64().unwrap();
                    lagged = true;
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn every_documented_parameter_is_understood_with_its_example() {
    let document = document();
    let server = Server::start();
    for (_, path, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let what = format!("{path}?{name}");
            assert_eq!(
                (parameter["in"].as_str(), parameter["required"].as_bool()),
                // Only a file has to be named.
                (Some("query"), Some(path == "/api/v1/alerts/capture")),
                "{what}"
            );
            assert!(parameter["description"].as_str().unwrap().ends_with('.'), "{what}");
            let example = encode(parameter["example"].as_str().unwrap());
            let answer = if path.ends_with("/live") {
                server.follow(&format!("?{name}={example}")).head
            } else {
                let answer = server.send("GET", &format!("{path}?{name}={example}"), Some(TOKEN), None);
                format!("HTTP/1.1 {} {}", answer.status, answer.body)
            };
            assert!(answer.starts_with("HTTP/1.1 200"), "{what}={example}: {answer}");
        }
    }
}

/// Percent-encodes everything but letters and digits.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[test]
fn head_is_answered_as_get_is_without_the_body() {
    let server = Server::start();
    let answered_to_get = operations(&document()).into_iter().filter(|(method, ..)| method == "GET");
    for (_, path, _) in answered_to_get {
        let headers = format!("host: localhost\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n");
        let query = if path == "/api/v1/alerts/capture" { "?id=3fa" } else { "" };
        let head = server.raw(&format!("HEAD {path}{query} HTTP/1.1\r\n{headers}\r\n"));
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        assert!(head.ends_with("\r\n\r\n"), "{path}: {head}");
    }
}
