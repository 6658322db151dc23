//! Questions about the fleet and commands: who may, what reaches the agent, and what an agent without a fleet says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use hivewall_api::{Access, FleetRefusal};
use serde_json::{Value, json};
use support::{Server, TOKEN};

const COMMANDS: [(&str, &str); 4] = [
    ("POST", "/api/v1/fleet/invitations"),
    ("DELETE", "/api/v1/fleet/invitations"),
    ("POST", "/api/v1/fleet/remove"),
    ("POST", "/api/v1/fleet/leave"),
];

fn asked(server: &Server) -> Vec<String> {
    std::mem::take(&mut server.fake.asked.lock().unwrap())
}

#[test]
fn commands_of_the_fleet_need_the_token() {
    let server = Server::start();
    for (method, path) in COMMANDS {
        let none = server.send(method, path, None, None);
        assert_eq!((none.status, none.error().as_str()), (401, "no_token"), "{method} {path}");
    }
    assert!(asked(&server).is_empty());
    let closed = Server::start_with(Access::none());
    for (method, path) in COMMANDS {
        let answer = closed.send(method, path, Some(TOKEN), None);
        assert_eq!((answer.status, answer.error().as_str()), (403, "commands_off"), "{method} {path}");
    }
    assert!(asked(&closed).is_empty());
}

#[test]
fn commands_of_the_fleet_reach_the_agent_as_they_were_meant() {
    let server = Server::start();
    let send = |method: &str, path: &str, body: Option<Value>| {
        let answer = server.send(method, path, Some(TOKEN), body.as_ref());
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        asked(&server).remove(0)
    };
    assert_eq!(
        send("POST", "/api/v1/fleet/invitations", Some(json!({}))),
        "Invite { uses: 1, ttl: 86400s, enroller: false, labels: {}, addresses: [], note: \"\" }"
    );
    let all = json!({
        "uses": 3, "ttl": "2h", "enroller": true, "labels": { "role": "web" }, "addresses": ["[2001:db8::7]:7744"],
        "note": "rack 4"
    });
    assert_eq!(
        send("POST", "/api/v1/fleet/invitations", Some(all)),
        "Invite { uses: 3, ttl: 7200s, enroller: true, labels: {\"role\": \"web\"}, addresses: [[2001:db8::7]:7744], \
         note: \"rack 4\" }"
    );
    let withdrawn = send("DELETE", "/api/v1/fleet/invitations", Some(json!({ "id": "7f3a09c2" })));
    assert_eq!(withdrawn, "Withdraw { id: \"7f3a09c2\" }");
    let removed = send("POST", "/api/v1/fleet/remove", Some(json!({ "host": " web-7 ", "reason": "sold" })));
    assert_eq!(removed, "Remove { host: \"web-7\", reason: \"sold\" }");
    assert_eq!(send("POST", "/api/v1/fleet/leave", None), "Leave");
}

#[test]
fn an_invitation_that_cannot_be_is_refused_before_the_agent_hears_of_it() {
    let server = Server::start();
    for (body, says) in [
        (json!({ "uses": 0 }), "1 to 10000 hosts"),
        (json!({ "uses": 10_001 }), "1 to 10000 hosts"),
        (json!({ "ttl": "31d" }), "longer than 30 days"),
        (json!({ "ttl": "soon" }), "no time span"),
        (json!({ "addresses": ["192.0.2.7"] }), "`192.0.2.7:7744`"),
        (json!({ "use": 1 }), "not understood"),
    ] {
        let answer = server.send("POST", "/api/v1/fleet/invitations", Some(TOKEN), Some(&body));
        assert!(answer.status == 400 && answer.body.contains(says), "{body}: {}", answer.body);
    }
    let answer = server.send("POST", "/api/v1/fleet/remove", Some(TOKEN), Some(&json!({ "host": " " })));
    assert!(answer.status == 400 && answer.body.contains("give the name or the id"), "{}", answer.body);
    assert!(asked(&server).is_empty());
}

#[test]
fn in_no_fleet_every_path_says_so_and_what_to_do() {
    let server = Server::start();
    *server.fake.fleet.lock().unwrap() = None;
    *server.fake.fleet_refusal.lock().unwrap() = Some(FleetRefusal::Off);
    let paths = ["", "/members", "/flows", "/snapshot", "/rules", "/policy", "/audit", "/invitations"];
    let answers = paths.map(|path| server.get(&format!("/api/v1/fleet{path}")));
    let left = server.send("POST", "/api/v1/fleet/leave", Some(TOKEN), None);
    for answer in answers.iter().chain([&left]) {
        assert_eq!((answer.status, answer.error().as_str()), (404, "no_fleet"), "{}", answer.body);
        assert!(answer.json()["hint"].as_str().unwrap().contains("hivewall cluster init"), "{}", answer.body);
    }
    assert!(!server.get("/metrics").body.contains("hivewall_cluster_"), "in no fleet there is no metric of it");
}

#[test]
fn pages_of_members_and_flows_are_cut_as_asked_and_say_who_is_missing() {
    let server = Server::start();
    let page = server.get("/api/v1/fleet/members?limit=3&offset=18").json();
    assert_eq!((page["members"].as_array().unwrap().len(), &page["next_offset"]), (2, &Value::Null));
    assert_eq!((&page["states"]["alive"], &page["states"]["down"]), (&json!(18), &json!(1)));
    let flows = server.get("/api/v1/fleet/flows?limit=3&proto=tcp").json();
    assert_eq!((flows["flows"].as_array().unwrap().len(), &flows["next_offset"]), (3, &json!(3)));
    assert_eq!((&flows["flows"][0]["host"], &flows["flows"][0]["flow"]["protocol"]), (&json!("web-1"), &json!("tcp")));
    assert_eq!((&flows["answer"]["heard"], &flows["answer"]["complete"]), (&json!(19), &json!(false)));
    assert_eq!(flows["answer"]["missing"][0]["name"], "web-7");
    let unknown = server.get("/api/v1/fleet/members?sort=name");
    assert_eq!((unknown.status, unknown.error().as_str()), (400, "unknown_parameter"));
}

#[test]
fn metrics_of_the_fleet_speak_of_this_hosts_links_and_name_no_host() {
    let server = Server::start();
    let text = server.get("/metrics").body;
    let own: Vec<&str> = text.lines().filter(|line| line.starts_with("hivewall_cluster_")).collect();
    for want in [
        "hivewall_cluster_members{state=\"alive\"} 18",
        "hivewall_cluster_members{state=\"suspect\"} 1",
        "hivewall_cluster_summed_hosts 17",
        "hivewall_cluster_total_age_seconds 9",
        "hivewall_cluster_error_ratio 0.006",
        "hivewall_cluster_bytes_per_second{protocol=\"tcp\",direction=\"in\"} 90000000",
        "hivewall_cluster_policy_hosts{state=\"refused\"} 1",
        "hivewall_cluster_link_rtt_seconds{what=\"max\"} 0.0123",
        "hivewall_cluster_link_rtt_seconds{what=\"median\"} 0.00042",
        "hivewall_cluster_message_bytes_total{kind=\"stream\",direction=\"egress\"} 4401200",
        "hivewall_cluster_losses_total{source=\"links\",reason=\"handshake_rate\"} 3",
    ] {
        assert!(own.contains(&want), "{want}: {own:#?}");
    }
    assert!(!own.iter().any(|line| line.contains("web-") || line.contains("10.0.0.")), "{own:#?}");
}
