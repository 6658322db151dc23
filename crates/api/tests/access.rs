//! Who may do what: logins, cookies, sessions, roles over all routes, limits, the trail. A real server on a loopback socket
//! over a fake engine; time passes when a test says so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use hivewall_api::{
    Access, HOST_USER, LOGIN_FAILURES_OF_PEER, REQUESTS_BURST_MAX, Right, SESSION_IDLE_SECONDS_MAX,
    SESSION_SECONDS_MAX, paths, rights,
};
use hivewall_view::access::Role;
use serde_json::{Value, json};
use support::guarded::{Guarded, PASSWORD, Session};
use support::{Server, TOKEN, data};

#[test]
fn a_login_sets_a_cookie_that_scripts_and_other_sites_cannot_have() {
    let guarded = Guarded::start();
    let answer = guarded.post("/api/v1/session", &json!({ "user": "ada", "password": PASSWORD }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cookie = answer.header("set-cookie");
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    let (name, id) = pair.split_once('=').unwrap();
    assert_eq!(name, format!("hivewall-{}", guarded.server.address.port()));
    assert_eq!((id.len(), attributes), (64, "HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"));
    let session = answer.json();
    assert_eq!(
        (&session["user"], &session["role"], &session["how"]),
        (&json!("ada"), &json!("admin"), &json!("session"))
    );
    assert_eq!(
        (&session["login_required"], &session["has_users"], &session["tls"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert!(session["csrf"].as_str().unwrap().len() == 64 && session["expires"].as_str().unwrap().ends_with('Z'));
    assert!(!answer.body.contains(id), "a page must not learn the cookie");
    let again = guarded.ask("GET", "/api/v1/session", &[("cookie", pair)], None);
    assert_eq!(again.json(), session);
}

#[test]
fn wrong_logins_are_told_apart_by_nothing() {
    let guarded = Guarded::start();
    let mut bodies = BTreeSet::new();
    for login in [
        json!({ "user": "ada", "password": "not the password" }),
        json!({ "user": "eve", "password": PASSWORD }),
        json!({ "code": "0" }),
        json!({ "token": "0123456789abcdef0123456789abcdeg" }),
    ] {
        let answer = guarded.post("/api/v1/session", &login);
        assert_eq!(answer.status, 401, "{login}");
        assert!(answer.header("set-cookie").is_empty());
        bodies.insert(answer.body);
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    for login in [json!({}), json!({ "user": "ada" }), json!({ "user": "ada", "password": PASSWORD, "token": TOKEN })] {
        let answer = guarded.post("/api/v1/session", &login);
        assert_eq!((answer.status, answer.error().as_str()), (400, "bad_login"), "{login}");
    }
}

#[test]
fn the_hosts_token_and_a_users_token_log_in_as_theirs() {
    let guarded = Guarded::start();
    let host = guarded.post("/api/v1/session", &json!({ "token": TOKEN })).json();
    assert_eq!((&host["user"], &host["role"]), (&json!(HOST_USER), &json!("admin")));
    let token = guarded.token("bob");
    let bob = guarded.post("/api/v1/session", &json!({ "token": token })).json();
    assert_eq!((&bob["user"], &bob["role"]), (&json!("bob"), &json!("viewer")));
    let by_token = guarded.ask("GET", "/api/v1/session", &[("authorization", &format!("Bearer {token}"))], None).json();
    assert_eq!(
        (&by_token["user"], &by_token["how"], &by_token["csrf"]),
        (&json!("bob"), &json!("token"), &Value::Null)
    );
}

#[test]
fn a_code_of_the_host_logs_in_once_and_within_five_minutes() {
    let guarded = Guarded::start();
    let issue = |token: &str| guarded.server.send("POST", "/api/v1/session/code", Some(token), None);
    let code = issue(TOKEN).json();
    assert_eq!(code["url_path"], json!(format!("/#login={}", code["code"].as_str().unwrap())));
    let login = json!({ "code": code["code"] });
    let first = guarded.post("/api/v1/session", &login);
    assert_eq!((first.status, &first.json()["user"]), (200, &json!(HOST_USER)));
    assert_eq!(guarded.post("/api/v1/session", &login).status, 401);
    let late = json!({ "code": issue(TOKEN).json()["code"] });
    guarded.pass(300);
    assert_eq!(guarded.post("/api/v1/session", &late).status, 401);
    // Neither another admin nor a session of the host is the host.
    assert_eq!(issue(&guarded.token("ada")).error(), "not_the_host");
    let session = Session::of(&guarded, &first);
    assert_eq!(session.post("/api/v1/session/code", None).error(), "not_the_host");
}

#[test]
fn a_command_by_cookie_needs_the_sessions_own_word() {
    let guarded = Guarded::start();
    let (ada, bob) = (guarded.log_in("ada"), guarded.log_in("ada"));
    let ban = json!({ "prefix": "192.0.2.1" });
    let send = |csrf: &[&str]| {
        let headers = csrf.iter().map(|csrf| ("x-hivewall-csrf", *csrf)).chain([("cookie", ada.cookie.as_str())]);
        guarded.ask("POST", "/api/v1/bans", &headers.collect::<Vec<_>>(), Some(&ban))
    };
    for wrong in [&[][..], &[""], &["0"], &[&bob.csrf], &[&ada.csrf, &ada.csrf]] {
        let answer = send(wrong);
        assert_eq!((answer.status, answer.error().as_str()), (403, "no_csrf"), "{wrong:?}");
    }
    assert!(guarded.server.fake.asked.lock().unwrap().is_empty());
    assert_eq!(send(&[&ada.csrf]).status, 200);
    let out = |headers: &[(&str, &str)]| guarded.ask("DELETE", "/api/v1/session", headers, None);
    assert_eq!(out(&[("cookie", &ada.cookie)]).error(), "no_csrf", "nobody else logs a user out");
    assert_eq!(ada.get("/api/v1/snapshot").status, 200);
}

#[test]
fn requests_of_other_sites_are_refused_with_the_cookie_and_the_word() {
    let guarded = Guarded::start();
    let ada = guarded.log_in("ada");
    let login = json!({ "user": "ada", "password": PASSWORD });
    for foreign in [("origin", "http://evil.example"), ("origin", "https://localhost"), ("sec-fetch-site", "same-site")]
    {
        let headers = [("cookie", ada.cookie.as_str()), ("x-hivewall-csrf", &ada.csrf), foreign];
        for (method, path, body) in [
            ("POST", "/api/v1/policy/confirm", None),
            ("DELETE", "/api/v1/session", None),
            ("POST", "/api/v1/session", Some(&login)),
        ] {
            let answer = guarded.ask(method, path, &headers, body);
            assert_eq!((answer.status, answer.error().as_str()), (403, "cross_origin"), "{method} {path} {foreign:?}");
        }
    }
    assert_eq!(ada.post("/api/v1/policy/confirm", None).status, 200);
}

#[test]
fn a_login_gets_an_id_that_nobody_knew_and_ends_the_session_before() {
    let guarded = Guarded::start();
    let name = format!("hivewall-{}", guarded.server.address.port());
    let planted = format!("{name}={}", "0".repeat(64));
    let login = json!({ "user": "ada", "password": PASSWORD });
    let answer = guarded.ask("POST", "/api/v1/session", &[("cookie", &planted)], Some(&login));
    let ada = Session::of(&guarded, &answer);
    assert_ne!(ada.cookie, planted);
    assert_eq!(guarded.ask("GET", "/api/v1/snapshot", &[("cookie", &planted)], None).status, 401);
    let again = guarded.ask("POST", "/api/v1/session", &[("cookie", &ada.cookie)], Some(&login));
    assert_eq!(ada.get("/api/v1/snapshot").status, 401, "the one before has ended");
    let again = Session::of(&guarded, &again);
    assert_eq!(again.get("/api/v1/snapshot").status, 200);
    let both = format!("{}; {}", again.cookie, planted);
    assert_eq!(guarded.ask("GET", "/api/v1/snapshot", &[("cookie", &both)], None).status, 401, "two are none");
}

#[test]
fn sessions_end_by_logout_idle_and_age() {
    let guarded = Guarded::start();
    let (out, idle, old) = (guarded.log_in("ada"), guarded.log_in("ada"), guarded.log_in("ada"));
    let answer =
        guarded.ask("DELETE", "/api/v1/session", &[("cookie", &out.cookie), ("x-hivewall-csrf", &out.csrf)], None);
    assert_eq!((answer.status, &answer.json()["user"]), (200, &Value::Null));
    assert!(answer.header("set-cookie").contains("=; ") && answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(out.get("/api/v1/snapshot").status, 401);
    for _ in 0..SESSION_SECONDS_MAX / SESSION_IDLE_SECONDS_MAX {
        assert_eq!(old.get("/api/v1/snapshot").status, 200);
        guarded.pass(SESSION_IDLE_SECONDS_MAX - 1);
    }
    assert_eq!(idle.get("/api/v1/snapshot").status, 401);
    assert_eq!(old.get("/api/v1/snapshot").status, 200);
    guarded.pass(SESSION_SECONDS_MAX / SESSION_IDLE_SECONDS_MAX);
    assert_eq!(old.get("/api/v1/snapshot").status, 401);
    assert_eq!(old.get("/api/v1/session").json()["user"], Value::Null);
}

/// Every route, method and role; and nobody, where a login is wanted.
#[test]
fn every_route_is_for_the_roles_of_the_table_and_for_no_other() {
    let guarded = Guarded::start();
    let sessions = ["bob", "opal", "ada"].map(|user| guarded.log_in(user));
    let all = rights();
    assert_eq!(all.iter().map(|(_, path, _)| *path).collect::<BTreeSet<_>>(), paths().into_iter().collect());
    for (method, path, right) in &all {
        if path.ends_with("/live") || *path == "/api/v1/session" {
            continue;
        }
        let need = match right {
            Right::Anyone => None,
            Right::Read(role) | Right::Change(role) => Some(*role),
        };
        for (session, role) in sessions.iter().zip(Role::ALL) {
            // A parameter that nobody knows: a handler that runs says so and does nothing.
            let answer = session.send(method, &format!("{path}?nonsense=1"), Some(&json!({})));
            let is_let = !matches!(answer.status, 401 | 403);
            assert_eq!(is_let, need.is_none_or(|need| role >= need), "{method} {path} {role:?}: {}", answer.body);
            if !is_let {
                assert_eq!(answer.error(), "role_too_low", "{method} {path}");
                assert!(answer.json()["detail"].as_str().unwrap().contains(need.unwrap().name()), "{}", answer.body);
            }
        }
        let body = (method != "GET").then(|| json!({}));
        let nobody = guarded.ask(method, path, &[], body.as_ref());
        assert_eq!(nobody.status == 401, need.is_some(), "{method} {path}: {}", nobody.body);
    }
    assert!(guarded.server.fake.asked.lock().unwrap().is_empty());
}

#[test]
fn what_each_role_may_is_what_was_agreed() {
    let of = |role: Role| {
        let all = rights().into_iter().filter(|(_, _, right)| matches!(right, Right::Change(need) if *need == role));
        all.map(|(method, path, _)| format!("{method} {}", path.trim_start_matches("/api/v1/"))).collect::<Vec<_>>()
    };
    assert_eq!(of(Role::Viewer), ["POST users/password"]);
    let operator = [
        "POST policy/confirm",
        "POST policy/rollback",
        "POST bans",
        "DELETE bans",
        "POST alerts/acknowledge",
        "DELETE alerts/acknowledge",
        "POST alerts/mutes",
        "DELETE alerts/mutes",
        "POST alerts/undo",
        "POST alerts/test",
    ];
    assert_eq!(of(Role::Operator), operator);
    // What is no read and no change: questions with a body, and the session itself.
    let others =
        rights().into_iter().filter(|(method, _, right)| method != "GET" && !matches!(right, Right::Change(_)));
    let others: Vec<_> = others.map(|(method, path, _)| format!("{method} {path}")).collect();
    let want = [
        "POST policy/check",
        "POST policy/diff",
        "POST policy/statement",
        "POST policy/explain",
        "POST policy/rehearse",
        "POST session",
        "DELETE session",
        "POST fleet/rehearse",
    ];
    assert_eq!(others, want.map(|want| want.replace(' ', " /api/v1/")));
    let anyone = rights().into_iter().filter(|(.., right)| *right == Right::Anyone).map(|(_, path, _)| path);
    assert_eq!(anyone.collect::<BTreeSet<_>>(), ["/api/v1/session"].into());
}

#[test]
fn where_a_login_is_wanted_nothing_is_told_without_one() {
    let guarded = Guarded::start();
    let public = ["/", "/api/v1/session"];
    for path in paths().into_iter().chain(["/nowhere", "/api/v1/nowhere"]).filter(|path| !public.contains(path)) {
        for (method, want) in [("GET", 401), ("HEAD", 401), ("POST", 401), ("DELETE", 401), ("PUT", 401)] {
            let headers = [("cookie", "hivewall-1=0"), ("authorization", "Basic cm9vdDpyb290")];
            let answer = guarded.ask(method, path, &headers, None);
            assert_eq!(answer.status, want, "{method} {path}: {}", answer.body);
        }
        let wrong = guarded.ask("GET", path, &[("authorization", "Bearer 0123456789abcdef0123456789abcdeg")], None);
        assert_eq!((wrong.status, wrong.error().as_str()), (401, "wrong_token"), "{path}");
    }
    let session = guarded.ask("GET", "/api/v1/session", &[], None);
    assert_eq!(
        (session.status, &session.json()["how"], &session.json()["login_required"]),
        (200, &Value::Null, &json!(true))
    );
    let token = guarded.token("bob");
    let metrics = guarded.ask("GET", "/metrics", &[("authorization", &format!("Bearer {token}"))], None);
    assert_eq!((metrics.status, metrics.media_type()), (200, "text/plain"), "what Prometheus does");
}

#[test]
fn on_loopback_reading_needs_no_login_and_commands_do() {
    let server = Server::start();
    let session = server.get("/api/v1/session").json();
    assert_eq!(
        (&session["role"], &session["how"], &session["user"]),
        (&json!("viewer"), &json!("loopback"), &Value::Null)
    );
    assert_eq!((&session["login_required"], &session["has_users"]), (&json!(false), &json!(false)));
    assert_eq!(server.get("/api/v1/snapshot").status, 200);
    for path in ["/api/v1/users", "/api/v1/audit"] {
        assert_eq!(server.get(path).error(), "no_token", "{path}");
    }
    let rehearsal = json!({ "document": "kind: Policy" });
    assert_eq!(server.send("POST", "/api/v1/policy/rehearse", None, Some(&rehearsal)).error(), "no_token");
    assert_eq!(server.send("POST", "/api/v1/policy/rehearse", Some(TOKEN), Some(&rehearsal)).status, 200);
    assert_eq!(Server::start_with(Access::none()).get("/api/v1/audit").error(), "commands_off");
}

#[test]
fn who_fails_too_often_waits_and_the_right_password_helps_only_afterwards() {
    let guarded = Guarded::start();
    let login = |password: &str| guarded.post("/api/v1/session", &json!({ "user": "ada", "password": password }));
    for _ in 0..LOGIN_FAILURES_OF_PEER {
        assert_eq!(login("not the password").status, 401);
    }
    let limited = login(PASSWORD);
    assert_eq!((limited.status, limited.header("retry-after")), (429, "1"));
    guarded.pass(1);
    assert_eq!(login("not the password").status, 401);
    assert_eq!(login(PASSWORD).header("retry-after"), "2");
    guarded.pass(2);
    assert_eq!(login(PASSWORD).status, 200);
    assert_eq!(login(PASSWORD).status, 200, "a success forgives");
    let metrics = guarded.server.send("GET", "/metrics", Some(TOKEN), None).body;
    for line in ["outcome=\"succeeded\"} 2", "outcome=\"failed\"} 6", "outcome=\"limited\"} 2"] {
        assert!(metrics.contains(&format!("hivewall_api_logins_total{{{line}")), "{line}: {metrics}");
    }
}

#[test]
fn a_peer_that_asks_without_end_is_told_to_wait_and_counted() {
    let guarded = Guarded::start();
    guarded.pass(10);
    let asked = guarded.burst(REQUESTS_BURST_MAX as usize + 10);
    assert_eq!(asked.iter().filter(|status| **status == 429).count(), 10, "time stands still");
    guarded.pass(1);
    let metrics = guarded.server.send("GET", "/metrics", Some(TOKEN), None).body;
    assert!(metrics.contains("\nhivewall_api_requests_limited_total 10\n"), "{metrics}");
    assert!(metrics.contains("hivewall_api_requests_total{code=\"429\"} 10\n"), "{metrics}");
}

#[test]
fn changing_password_role_or_removal_ends_the_users_sessions() {
    let guarded = Guarded::start();
    let ada = guarded.log_in("ada");
    let is_in = |session: &Session<'_>| session.get("/api/v1/snapshot").status == 200;
    let bob = guarded.log_in("bob");
    let new = "a brand new password";
    let own = |current: &str, password: &str| {
        bob.post("/api/v1/users/password", Some(&json!({ "current": current, "password": password })))
    };
    assert_eq!(own("not the password", new).error(), "wrong_password");
    assert_eq!(own(PASSWORD, "short").error(), "bad_password");
    let others = bob.post("/api/v1/users/password", Some(&json!({ "name": "ada", "password": new })));
    assert_eq!(others.error(), "role_too_low");
    assert!(is_in(&bob));
    assert_eq!(own(PASSWORD, new).status, 200);
    assert!(!is_in(&bob) && is_in(&ada));
    let bob = guarded.log_in_with("bob", new);
    assert_eq!(ada.post("/api/v1/users/role", Some(&json!({ "name": "bob", "role": "operator" }))).status, 200);
    assert!(!is_in(&bob));
    let bob = guarded.log_in_with("bob", new);
    assert_eq!(bob.get("/api/v1/session").json()["role"], "operator");
    assert_eq!(ada.post("/api/v1/users/password", Some(&json!({ "name": "bob", "password": PASSWORD }))).status, 200);
    assert!(!is_in(&bob));
    let bob = guarded.log_in("bob");
    assert_eq!(ada.send("DELETE", "/api/v1/users", Some(&json!({ "name": "bob" }))).status, 200);
    assert!(!is_in(&bob));
    assert_eq!(guarded.post("/api/v1/session", &json!({ "user": "bob", "password": PASSWORD })).status, 401);
    let last = ada.send("DELETE", "/api/v1/users", Some(&json!({ "name": "ada" })));
    assert_eq!((last.status, last.error().as_str()), (409, "last_admin"));
    assert!(is_in(&ada), "what was refused ends nothing");
}

#[test]
fn a_token_that_is_taken_away_opens_nothing_and_what_it_opened_ends() {
    let guarded = Guarded::start();
    let ada = guarded.log_in("ada");
    let issued = ada.post("/api/v1/users/tokens", Some(&json!({ "name": "opal", "label": "ci" }))).json();
    let token = issued["token"].as_str().unwrap();
    let ban =
        |prefix: &str| guarded.server.send("POST", "/api/v1/bans", Some(token), Some(&json!({ "prefix": prefix })));
    assert_eq!(ban("192.0.2.1").status, 200, "a bearer needs no word of a session");
    let opened = Session::of(&guarded, &guarded.post("/api/v1/session", &json!({ "token": token })));
    let users = ada.get("/api/v1/users").json();
    let opal = users["users"].as_array().unwrap().iter().find(|user| user["name"] == "opal").unwrap();
    assert_eq!((&opal["tokens"][0]["id"], &opal["tokens"][0]["label"]), (&issued["id"], &json!("ci")));
    assert!(opal["tokens"][0]["last_used"].is_string());
    assert!(!users.to_string().contains("argon2") && !users.to_string().contains(token));
    let away = ada.send("DELETE", "/api/v1/users/tokens", Some(&json!({ "name": "opal", "id": issued["id"] })));
    assert_eq!(away.status, 200, "{}", away.body);
    assert_eq!(ban("192.0.2.2").error(), "wrong_token");
    assert_eq!(opened.get("/api/v1/snapshot").status, 401);
}

#[test]
fn what_is_followed_live_ends_with_the_right_to_see_it() {
    let guarded = Guarded::start();
    let bob = guarded.log_in("bob");
    let token = format!("Bearer {}", guarded.token("opal"));
    let follow = |name: &str, value: &str| {
        let events = guarded.server.follow_as("", &format!("{name}: {value}\r\n"));
        assert!(events.head.starts_with("HTTP/1.1 200"), "{}", events.head);
        events
    };
    let (mut by_cookie, mut by_token) = (follow("cookie", &bob.cookie), follow("authorization", &token));
    let flow = || data::flows().into_iter().take(1);
    guarded.server.fake.close(flow());
    assert_eq!((by_cookie.next().unwrap().name, by_token.next().unwrap().name), ("flow".to_owned(), "flow".to_owned()));
    for name in ["bob", "opal"] {
        let gone = guarded.server.send("DELETE", "/api/v1/users", Some(TOKEN), Some(&json!({ "name": name })));
        assert_eq!(gone.status, 200, "{}", gone.body);
    }
    guarded.server.fake.close(flow());
    assert!(by_cookie.next().is_none() && by_token.next().is_none());
}

#[test]
fn the_trail_has_each_command_login_and_logout_and_no_secret() {
    let guarded = Guarded::start();
    let (bob, opal) = (guarded.log_in("bob"), guarded.log_in("opal"));
    let ban = json!({ "prefix": "192.0.2.1", "ttl": "1h", "reason": "scans" });
    assert_eq!(bob.post("/api/v1/bans", Some(&ban)).status, 403);
    assert_eq!(opal.post("/api/v1/bans", Some(&ban)).status, 200);
    let secret = "the secret of eve is this";
    guarded.post("/api/v1/session", &json!({ "user": secret, "password": secret }));
    guarded.post("/api/v1/session", &json!({ "user": "ada", "password": secret }));
    guarded.ask("POST", "/api/v1/bans", &[], Some(&ban));
    guarded.ask("DELETE", "/api/v1/session", &[("cookie", &bob.cookie), ("x-hivewall-csrf", &bob.csrf)], None);
    assert_eq!(bob.get("/api/v1/audit").status, 401);
    let trail = opal.get("/api/v1/audit?limit=7").json();
    let entry = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {} {} {}",
            text("user"),
            text("role"),
            text("method"),
            text("path"),
            entry["status"],
            text("detail")
        )
    };
    let entries: Vec<String> = trail["entries"].as_array().unwrap().iter().map(entry).collect();
    let want = [
        "bob viewer DELETE /api/v1/session 200 logout",
        "- - POST /api/v1/bans 401 login_required",
        "ada - POST /api/v1/session 401 login by password failed",
        "- - POST /api/v1/session 401 login by password failed",
        "opal operator POST /api/v1/bans 200 ban 192.0.2.1/32 for 3600 s: scans",
        "bob viewer POST /api/v1/bans 403 role_too_low",
        "opal operator POST /api/v1/session 200 login by password",
    ];
    assert_eq!(entries, want);
    assert_eq!(trail["entries"][0]["peer"], "127.0.0.1");
    let file = std::fs::read_to_string(guarded.directory.path().join("audit.jsonl")).unwrap();
    assert!(file.contains("ban 192.0.2.1/32"));
    for hidden in [secret, PASSWORD, TOKEN, &bob.csrf, &opal.cookie] {
        assert!(!file.contains(hidden), "{hidden}");
    }
    assert_eq!(opal.get("/api/v1/audit?limit=0").error(), "bad_parameter");
}

#[test]
fn every_answer_says_what_a_page_may_do() {
    let guarded = Guarded::start();
    for path in ["/", "/nowhere", "/api/v1/session", "/api/v1/snapshot"] {
        let answer = guarded.ask("GET", path, &[], None);
        let csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                   font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
        for (name, value) in [
            ("content-security-policy", csp),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("strict-transport-security", ""),
            ("access-control-allow-origin", ""),
        ] {
            // The page itself is kept, and asked for anew.
            let value = if (path, name) == ("/", "cache-control") { "no-cache" } else { value };
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
        assert!(answer.header("permissions-policy").contains("camera=()"));
    }
}
