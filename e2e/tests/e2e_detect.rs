//! Detection and response with real attackers: nmap and hping3 against a running agent, guessing against a fleet that cuts the
//! guesser off, forged floods that cut off nobody.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use hivewall_e2e::agent::Agent;
use hivewall_e2e::fleet::Fleet;
use hivewall_e2e::network::Pair;
use hivewall_e2e::talk::{connect, echo};
use hivewall_e2e::tool::tool;
use hivewall_e2e::{pause, until};
use hivewall_testkit::netns::Host;
use hivewall_testkit::require_root;
use serde_json::Value;

/// Alerts of an agent that are asked for so.
fn alerts(agent: &Agent, query: &str) -> Vec<Value> {
    let page: Value = serde_json::from_str(&agent.get(&format!("/api/v1/alerts?{query}")).unwrap()).unwrap();
    page["alerts"].as_array().unwrap().clone()
}

/// Waits for an alert, and tells how long that took.
fn alert_of(agent: &Agent, query: &str) -> (Value, Duration) {
    let began = Instant::now();
    let alert = until(&format!("an alert {query}"), || {
        alerts(agent, query).pop().ok_or_else(|| format!("there is none, but: {:#?}", alerts(agent, "all=true")))
    });
    (alert, began.elapsed())
}

/// A server that greets like an SSH daemon and sends away whoever comes, as one does after wrong passwords.
fn ssh_that_refuses(host: &Host) {
    let listener = host.enter(|| TcpListener::bind(("::", 22))).unwrap().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                let _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
                let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n");
                // Key exchange, requests and refusals: some kilobytes each way.
                for _ in 0..4 {
                    if !matches!(stream.read(&mut bytes), Ok(1..)) || stream.write_all(&[0x2a; 400]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Connects from this address of a host.
fn connect_as(from: &Host, source: &str, to: &str) -> std::io::Result<std::net::TcpStream> {
    let target: std::net::SocketAddr = to.parse().unwrap();
    let socket = from.enter(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        let own: std::net::SocketAddr = format!("{source}:0").parse().unwrap();
        socket.bind(&own.into())?;
        socket.connect_timeout(&target.into(), Duration::from_millis(500))?;
        std::io::Result::Ok(socket)
    });
    let stream = std::net::TcpStream::from(socket.unwrap()?);
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

/// One attempt at a password.
fn guess(from: &Host, source: &str, to: &str) -> std::io::Result<()> {
    let mut stream = connect_as(from, source, &format!("{to}:22"))?;
    let mut bytes = [0; 1024];
    stream.write_all(b"SSH-2.0-libssh_0.10\r\n")?;
    stream.read(&mut bytes).map(drop)?;
    for _ in 0..4 {
        stream.write_all(&[0x55; 300])?;
        stream.read(&mut bytes).map(drop)?;
    }
    Ok(())
}

#[test]
fn every_kind_of_scan_is_an_alert_that_names_the_scanner() {
    require_root!();
    let pair = Pair::new("scans");
    echo(&pair.a, 80);
    let agent = Agent::start(&pair.a, &["--interface", "eth0"]);
    let kinds: [(&str, &str, &[&str]); 6] = [
        ("SYN", "10.0.0.11", &["-sS", "-p", "1-300"]),
        ("FIN", "10.0.0.12", &["-sF", "-p", "1-300"]),
        ("NULL", "10.0.0.13", &["-sN", "-p", "1-300"]),
        ("XMAS", "10.0.0.14", &["-sX", "-p", "1-300"]),
        ("UDP", "10.0.0.15", &["-sU", "-p", "1-120"]),
        ("ACK", "10.0.0.16", &["-sA", "-p", "1-300"]),
    ];
    for (_, source, _) in kinds {
        pair.b.ip(&["address", "add", &format!("{source}/24"), "dev", "eth0"]).unwrap();
    }
    for (kind, source, flags) in kinds {
        let quick = ["-Pn", "-n", "-T4", "--max-retries", "0", "--min-rate", "300", "-e", "eth0", "-S", source];
        tool(&pair.b, "nmap", &[&quick[..], flags, &["10.0.0.1"]].concat());
        let (alert, took) = alert_of(&agent, &format!("detector=port_scan&source={source}"));
        println!("{kind}: {} after {took:?}", alert["message"].as_str().unwrap());
        assert!(took < Duration::from_secs(2), "{kind} took {took:?}");
        assert_eq!(alert["targets"][0], "10.0.0.1", "{kind}: {alert:#}");
    }
    let quick = ["-sT", "-Pn", "-n", "-T4", "--max-retries", "0", "-p", "1-300", "10.0.0.1"];
    tool(&pair.b, "nmap", &quick);
    alert_of(&agent, "detector=port_scan&source=10.0.0.2");
    let snapshot = agent.until("the counts", |snapshot| match snapshot["suspicious_traffic"]["port_scans"].as_u64() {
        Some(7..) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(snapshot["security_alerts"]["port_scan"], 7, "{:#}", snapshot["security_alerts"]);
    let left = agent.stop();
    let mut written = 0;
    left.each(|event| {
        written += usize::from(event["event_type"] == "alert" && event["hivewall"]["detector"] == "port_scan");
    });
    assert!(written >= 7, "{written} alerts in the log");
}

#[test]
fn a_flood_under_forged_addresses_is_an_alert_and_bans_nobody() {
    require_root!();
    let pair = Pair::new("forged");
    echo(&pair.a, 80);
    let state = tempfile::tempdir().unwrap();
    let agent = Agent::start(
        &pair.a,
        &[
            "--interface",
            "eth0",
            "--policy-state",
            &state.path().join("policy").display().to_string(),
            "--policy-pins",
            "",
        ],
    );
    let body = "responses:\n- {on: any, do: ban, severity: info, for: 1h}\ntiers:\n- name: main\n  default: {in: accept, out: accept}\n";
    agent.tell(&["policy", "apply", &hivewall_e2e::talk::document(state.path(), 1, body)]).fine();
    // Answers to forged sources need a way out.
    pair.a.ip(&["route", "add", "default", "via", "10.0.0.2"]).unwrap();
    tool(&pair.b, "hping3", &["--rand-source", "-S", "-p", "80", "-i", "u100", "-c", "20000", "-q", "10.0.0.1"]);
    let (alert, took) = alert_of(&agent, "detector=syn_flood");
    println!("{} after {took:?}", alert["message"].as_str().unwrap());
    assert_eq!((&alert["source"], &alert["spoofable"]), (&Value::Null, &true.into()), "{alert:#}");
    assert_eq!(alert["targets"][0], "10.0.0.1");
    // What would ban would have done it by now: the alert was there before this was asked.
    pause(Duration::from_secs(2));
    let snapshot = agent.snapshot();
    assert_eq!(snapshot["firewall_rules"]["bans_total"], 0, "{:#}", snapshot["firewall_rules"]["bans"]);
    connect(&pair.b, "10.0.0.1:80").unwrap();
}

/// Hosts of the fleet that cuts a guesser off.
const HOSTS: usize = 8;

/// Guesses at all hosts at once until each has cut the guesser off; how long after `since` that took for each.
fn until_cut_off(fleet: &Fleet, source: &'static str, since: Instant) -> Vec<Duration> {
    let guessing = (1..=HOSTS).map(|n| {
        let switch = fleet.switch.clone();
        std::thread::spawn(move || {
            // A connection that is not answered within this says what half a second of waiting for it would say.
            until(&format!("10.0.0.{n} to be closed to the guesser"), || {
                let began = since.elapsed();
                match connect_as(&switch, source, &format!("10.0.0.{n}:22")) {
                    Ok(_) => Err("it is open"),
                    Err(_) => Ok(began),
                }
            })
        })
    });
    let all: Vec<_> = guessing.collect();
    all.into_iter().map(|one| one.join().unwrap()).collect()
}

#[test]
fn a_guesser_is_cut_off_on_every_host_and_nobody_else_loses_anything() {
    require_root!();
    let fleet = Fleet::formed("cut", HOSTS, |_| "");
    for address in ["10.0.0.200/24", "10.0.0.201/24"] {
        fleet.switch.ip(&["address", "add", address, "dev", "br0"]).unwrap();
    }
    for member in &fleet.members {
        ssh_that_refuses(&member.host);
        echo(&member.host, 8080);
    }
    let body = "responses:\n- {on: brute_force, do: ban, severity: medium, for: 10m}\ntiers:\n- name: main\n  \
                default: {in: accept, out: accept}\n";
    fleet.apply(1, body).fine();
    // Somebody who works all the while, on every host, from an address of its own.
    let switch = fleet.switch.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let working = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut lost = 0;
            let mut done = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for n in 1..=HOSTS {
                    let one = || {
                        let mut stream = connect_as(&switch, "10.0.0.201", &format!("10.0.0.{n}:8080")).ok()?;
                        hivewall_e2e::talk::says(&mut stream, b"work").ok()
                    };
                    done += 1;
                    lost += usize::from(one().is_none());
                }
                pause(Duration::from_millis(50));
            }
            (done, lost)
        })
    };
    let began = Instant::now();
    let mut guesses = 0;
    let alerted = until("an alert about the guesser", || {
        let _ = guess(&fleet.switch, "10.0.0.200", "10.0.0.2");
        guesses += 1;
        alerts(fleet.members[1].agent(), "detector=brute_force&source=10.0.0.200")
            .pop()
            .ok_or_else(|| format!("{guesses} guesses"))
    });
    let raised = Instant::now();
    let cut = until_cut_off(&fleet, "10.0.0.200", raised);
    println!("alert after {guesses} guesses and {:?}, cut off on {HOSTS} hosts {cut:?} later", raised - began);
    assert!(cut.iter().all(|took| *took < Duration::from_secs(2)), "{cut:?}");
    let id = alerted["id"].as_str().unwrap().to_owned();
    let (alert, _) = alert_of(fleet.members[1].agent(), &format!("id={id}&all=true"));
    assert_eq!(alert["response"]["outcome"], "done", "{alert:#}");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (done, lost) = working.join().unwrap();
    assert!(lost == 0 && done > 20, "{lost} of {done} connections of somebody else were lost");
    // One command takes it back, everywhere.
    let said = fleet.members[1].agent().tell(&["alerts", "undo", &id]).fine();
    assert!(said.contains("no longer banned"), "{said}");
    for n in 1..=HOSTS {
        until(&format!("10.0.0.{n} to be open again"), || guess(&fleet.switch, "10.0.0.200", &format!("10.0.0.{n}")));
    }
    let (alert, _) = alert_of(fleet.members[1].agent(), &format!("id={id}&all=true"));
    assert_eq!(alert["response"]["outcome"], "undone", "{alert:#}");
}

/// How many of so many connections of a guesser come through, each waited for.
fn comes_through(fleet: &Fleet, host: usize, tries: usize) -> usize {
    let target = format!("10.0.0.{host}:22");
    (0..tries).filter(|_| connect_as(&fleet.switch, "10.0.0.200", &target).is_ok()).count()
}

#[test]
fn a_limit_holds_on_every_host_that_does_not_need_the_source_until_it_is_taken_back() {
    require_root!();
    let mut fleet = Fleet::formed("limited", 4, |_| "");
    for address in ["10.0.0.200/24", "10.0.0.201/24"] {
        fleet.switch.ip(&["address", "add", address, "dev", "br0"]).unwrap();
    }
    fleet.members.iter().for_each(|member| ssh_that_refuses(&member.host));
    // Who guesses is the way out for one of them.
    fleet.members[3].host.ip(&["route", "add", "default", "via", "10.0.0.200"]).unwrap();
    let body = "responses:\n- {on: brute_force, do: limit, rate: 3/h, severity: medium, for: 10m}\ntiers:\n- name: main\n  \
                default: {in: accept, out: accept}\n";
    fleet.apply(1, body).fine();
    let alerted = until("an alert about the guesser", || {
        let _ = guess(&fleet.switch, "10.0.0.200", "10.0.0.2");
        alerts(fleet.members[1].agent(), "detector=brute_force&source=10.0.0.200").pop().ok_or("there is none")
    });
    let id = alerted["id"].as_str().unwrap();
    let listed = |fleet: &Value| {
        fleet["bans"].as_array().is_some_and(|bans| {
            bans.iter().any(|ban| ban["prefix"] == "10.0.0.200/32" && ban["limit"] == "3/h" && ban["issuer"] == "h2")
        })
    };
    let is_limited = |fleet: &Fleet, host: usize| {
        let policy = fleet.members[host - 1].agent().get("/api/v1/policy").unwrap();
        policy.contains("response:limit:10.0.0.200/32")
    };
    for host in 1..=3 {
        fleet.members[host - 1].until_fleet("the limit", listed);
        // A rule is shown a moment before it holds.
        until(&format!("h{host} to limit"), || {
            if is_limited(&fleet, host) && comes_through(&fleet, host, 1) == 0 { Ok(()) } else { Err("not yet") }
        });
        assert_eq!(comes_through(&fleet, host, 3), 0, "more came through to h{host} once three had");
        connect_as(&fleet.switch, "10.0.0.201", &format!("10.0.0.{host}:22")).unwrap();
    }
    fleet.members[3].until_fleet("a refusal", |fleet| {
        fleet["alarms"].as_array().is_some_and(|alarms| {
            let is_it = |alarm: &Value| {
                let said = alarm["detail"].as_str().unwrap_or_default();
                alarm["kind"] == "ban_refused" && said.contains("10.0.0.200 is a gateway of this host")
            };
            alarms.iter().any(is_it)
        })
    });
    assert_eq!((is_limited(&fleet, 4), comes_through(&fleet, 4, 6)), (false, 6));

    fleet.members[2].kill();
    fleet.members[2].start();
    fleet.members[2].until_in_fleet(4);
    let came = comes_through(&fleet, 3, 6);
    assert!(is_limited(&fleet, 3) && came <= 3, "{came} of 6 came through after the restart");

    let said = fleet.members[1].agent().tell(&["alerts", "undo", id]).fine();
    assert!(said.contains("10.0.0.200 is no longer limited"), "{said}");
    for host in 1..=3 {
        until(&format!("h{host} to limit no more"), || if is_limited(&fleet, host) { Err("it does") } else { Ok(()) });
        assert_eq!(comes_through(&fleet, host, 6), 6, "on h{host}");
    }
    let audit = fleet.members[0].agent().get("/api/v1/fleet/audit").unwrap();
    assert!(audit.contains("\"limit\"") && audit.contains("\"unlimit\""), "{audit}");
}

#[test]
fn alerts_are_acknowledged_silenced_excluded_and_outlive_the_agent() {
    require_root!();
    let pair = Pair::new("acts");
    let kept = tempfile::tempdir().unwrap();
    let directory = kept.path().join("alerts").display().to_string();
    let flags = ["--interface", "eth0", "--alerts-directory", &directory];
    let agent = Agent::start(&pair.a, &flags);
    let scan = |source: &str| {
        pair.b.ip(&["address", "replace", &format!("{source}/24"), "dev", "eth0"]).unwrap();
        let quick = ["-sS", "-Pn", "-n", "-T4", "--max-retries", "0", "--min-rate", "500", "-p", "1-200"];
        tool(&pair.b, "nmap", &[&quick[..], &["-e", "eth0", "-S", source, "10.0.0.1"]].concat());
    };
    scan("10.0.0.21");
    let (first, _) = alert_of(&agent, "detector=port_scan&source=10.0.0.21");
    let id = first["id"].as_str().unwrap();
    let shown = agent.tell(&["alerts", "show", id]).fine();
    assert!(shown.contains("T1046") && shown.contains("10.0.0.21") && shown.contains("10.0.0.1"), "{shown}");
    let listed = agent.tell(&["alerts"]).fine();
    assert!(listed.contains(id) && listed.contains("port_scan"), "{listed}");
    agent.tell(&["alerts", "ack", id, "--note", "our own"]).fine();
    assert!(!agent.tell(&["alerts"]).fine().contains(id));
    let open = agent.tell(&["alerts", "unack", id]).fine();
    assert!(open.contains("is open again") && agent.tell(&["alerts"]).fine().contains(id), "{open}");
    agent.tell(&["alerts", "ack", id, "--note", "our own"]).fine();
    agent.tell(&["alerts", "exclude", "--detector", "port_scan", "--source", "10.0.0.22"]).fine();
    agent.tell(&["alerts", "silence", "--source", "10.0.0.23", "--for", "1h"]).fine();
    scan("10.0.0.22");
    scan("10.0.0.23");
    let (silenced, _) = alert_of(&agent, "detector=port_scan&source=10.0.0.23&all=true");
    assert!(silenced["silenced_until"].is_string(), "{silenced:#}");
    assert!(alerts(&agent, "source=10.0.0.22&all=true").is_empty());
    let mutes = agent.tell(&["alerts", "mutes"]).fine();
    assert!(mutes.contains("m1") && mutes.contains("m2"), "{mutes}");
    agent.tell(&["alerts", "unmute", "m2"]).fine();
    let text = agent.tell(&["report", "--last", "1h", "--format", "text"]).fine();
    assert!(text.contains("Port scan"), "{text}");
    agent.stop();

    let agent = Agent::start(&pair.a, &flags);
    let (again, _) = alert_of(&agent, &format!("id={id}&all=true"));
    assert_eq!((&again["state"], &again["acknowledged"]["note"]), (&"ended".into(), &"our own".into()), "{again:#}");
    let mutes = agent.tell(&["alerts", "mutes"]).fine();
    assert!(mutes.contains("m1") && !mutes.contains("m2"), "{mutes}");
    let bad = agent.tell(&["alerts", "show", "zzz"]);
    assert!(bad.code != Some(0) && bad.err.contains("no alert"), "{bad:?}");
}

/// What tshark reads of a capture file, a line for each packet of TCP.
fn fields(host: &Host, file: &std::path::Path, fields: &[&str]) -> Vec<String> {
    let named = fields.iter().flat_map(|field| ["-e", field]);
    let whole = ["-n", "-r", file.to_str().unwrap(), "-Y", "tcp", "-T", "fields"];
    let args: Vec<&str> = whole.into_iter().chain(named).collect();
    tool(host, "tshark", &args).lines().map(str::to_owned).collect()
}

#[test]
fn the_packets_that_an_alert_rests_on_are_in_a_file_that_tshark_reads() {
    require_root!();
    let pair = Pair::new("evidence");
    echo(&pair.a, 80);
    let kept = tempfile::tempdir().unwrap();
    let directory = kept.path().join("alerts");
    let agent = Agent::start(&pair.a, &["--interface", "eth0", "--alerts-directory", directory.to_str().unwrap()]);
    // Somebody else, whose packets have no business in it.
    pair.b.ip(&["address", "add", "10.0.0.30/24", "dev", "eth0"]).unwrap();
    // It is no neighbour that was entered by hand.
    for host in [&pair.a, &pair.b] {
        host.ip(&["link", "set", "eth0", "arp", "on"]).unwrap();
    }
    let mut other = until("somebody else", || connect_as(&pair.b, "10.0.0.30", "10.0.0.1:80"));
    hivewall_e2e::talk::says(&mut other, b"talk").unwrap();
    let quick = ["-sS", "-Pn", "-n", "-T4", "--max-retries", "0", "--min-rate", "500", "-p", "1-200"];
    pair.b.ip(&["address", "add", "10.0.0.31/24", "dev", "eth0"]).unwrap();
    tool(&pair.b, "nmap", &[&quick[..], &["-e", "eth0", "-S", "10.0.0.31", "10.0.0.1"]].concat());
    let (alert, _) = alert_of(&agent, "detector=port_scan&source=10.0.0.31");
    let id = alert["id"].as_str().unwrap();
    let named = alert["evidence"]["capture"].as_str().unwrap_or_else(|| panic!("no capture: {alert:#}"));
    assert!(named.ends_with(&format!("captures/{id}.pcapng")) && std::path::Path::new(named).exists(), "{named}");

    let file = kept.path().join("scan.pcapng");
    agent.tell(&["alerts", "capture", id, "-w", file.to_str().unwrap()]).fine();
    let lines = fields(&pair.a, &file, &["ip.src", "ip.dst", "tcp.flags.syn", "tcp.len", "frame.interface_name"]);
    println!("{} packets: {:?} …", lines.len(), lines.first());
    assert!((20..=100).contains(&lines.len()), "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains("10.0.0.31") && line.ends_with("eth0")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("10.0.0.31\t10.0.0.1\t")), "{lines:#?}");
    let comments =
        tool(&pair.a, "tshark", &["-n", "-r", file.to_str().unwrap(), "-T", "fields", "-e", "frame.comment"]);
    assert!(comments.contains(&format!("port_scan {id}")), "{comments}");
    // The whole file is sound, and the scan is in it for others as well.
    let wrong = tool(&pair.a, "tshark", &["-n", "-r", file.to_str().unwrap(), "-Y", "_ws.malformed"]);
    assert!(wrong.is_empty(), "{wrong}");
    let times = fields(&pair.a, &file, &["frame.time_epoch"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(times.iter().all(|time| (now - time.parse::<f64>().unwrap()).abs() < 60.0), "{times:?}");

    // Without the token nobody has it.
    let refused = agent.get(&format!("/api/v1/alerts/capture?id={id}")).unwrap_err();
    assert!(refused.starts_with("401"), "{refused}");
    // A snapshot is made anew now and then.
    agent.until("the capture in the snapshot", |snapshot| {
        let captures = &snapshot["alerts"]["captures"];
        if captures["files"].as_u64() >= Some(1) { Ok(()) } else { Err(format!("{captures:#}")) }
    });
}

#[test]
fn payload_is_in_a_capture_only_where_it_is_allowed() {
    require_root!();
    let pair = Pair::new("payload");
    ssh_that_refuses(&pair.a);
    let kept = tempfile::tempdir().unwrap();
    for (mode, is_there) in [("off", false), ("headers", false), ("peek", true)] {
        let directory = kept.path().join(mode);
        let flags =
            ["--interface", "eth0", "--alerts-capture", mode, "--alerts-directory", directory.to_str().unwrap()];
        let agent = Agent::start(&pair.a, &flags);
        let source = "10.0.0.2";
        let alert = until("an alert about the guesser", || {
            let _ = guess(&pair.b, source, "10.0.0.1");
            alerts(&agent, "detector=brute_force").pop().ok_or("none yet")
        });
        let id = alert["id"].as_str().unwrap();
        let file = kept.path().join(format!("{mode}.pcapng"));
        let said = agent.tell(&["alerts", "capture", id, "-w", file.to_str().unwrap()]);
        if mode == "off" {
            assert!(said.code != Some(0) && said.err.contains("alerts.capture"), "{said:?}");
            assert!(!directory.join("captures").exists());
            continue;
        }
        said.fine();
        let bytes = std::fs::read(&file).unwrap();
        let banner = bytes.windows(6).any(|window| window == b"libssh");
        assert_eq!(banner, is_there, "{mode}");
        let lengths = fields(&pair.a, &file, &["frame.cap_len", "frame.len"]);
        assert!(!lengths.is_empty());
        agent.stop();
    }
}

/// A program of a host that is ended with the test.
struct Running(std::process::Child);

impl Running {
    fn start(host: &Host, name: &str, args: &[&str]) -> Self {
        let mut command = host.command(name);
        command.args(args).stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn hydra_against_a_real_ssh_server_is_brute_force() {
    require_root!();
    let pair = Pair::new("hydra");
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    tool(&pair.a, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path("key")]);
    let settings = format!(
        "ListenAddress 10.0.0.1\nHostKey {}\nPidFile {}\nUsePAM no\nPasswordAuthentication yes\nMaxStartups 100\n\
         LogLevel QUIET\n",
        path("key"),
        path("pid")
    );
    std::fs::write(path("sshd_config"), settings).unwrap();
    // Where sshd goes for those who have not logged in yet; a package makes it at boot.
    std::fs::create_dir_all("/run/sshd").unwrap();
    let _server = Running::start(&pair.a, "/usr/sbin/sshd", &["-D", "-f", &path("sshd_config")]);
    until("sshd", || connect(&pair.b, "10.0.0.1:22"));
    // By the shape of its sessions: this host's log of logins has those of every test.
    let agent = Agent::start(&pair.a, &["--interface", "eth0", "--detect-logins=false"]);
    // Without PAM nothing holds a refusal back, and quick sessions count a third: thirty and more of them. A run has few words, since
    // hydra waits for ever once the server has hung up on it.
    let guesser = pair.b.clone();
    let lists: Vec<String> = (0..12).map(|run| path(&format!("words-{run}"))).collect();
    for (run, list) in lists.iter().enumerate() {
        let words: Vec<String> = (0..4).map(|n| format!("wrong-{run}-{n}")).collect();
        std::fs::write(list, words.join("\n")).unwrap();
    }
    let hydra = std::thread::spawn(move || {
        for list in &lists {
            tool(&guesser, "hydra", &["-I", "-l", "root", "-P", list, "-t", "4", "ssh://10.0.0.1"]);
        }
    });
    let (alert, took) = alert_of(&agent, "detector=brute_force&source=10.0.0.2");
    println!("{} after {took:?}", alert["message"].as_str().unwrap());
    assert_eq!((&alert["targets"][0], &alert["port"]), (&"10.0.0.1".into(), &22.into()), "{alert:#}");
    hydra.join().unwrap();
}

#[test]
fn a_tunnel_of_iodine_is_told_from_dns() {
    require_root!();
    let pair = Pair::new("iodine");
    let agent = Agent::start(&pair.b, &["--interface", "eth0"]);
    let _server = Running::start(
        &pair.a,
        "iodined",
        &["-f", "-c", "-P", "secret", "-d", "dns0", "10.99.0.1/24", "t.example.net"],
    );
    until("iodined", || pair.a.ip(&["link", "show", "dns0"]).map(drop));
    let _client =
        Running::start(&pair.b, "iodine", &["-f", "-r", "-P", "secret", "-d", "dns1", "10.0.0.1", "t.example.net"]);
    until("the tunnel", || connect_inside(&pair));
    // What it is for: data, from the inside out.
    echo(&pair.a, 8080);
    let mut stream = connect(&pair.b, "10.99.0.1:8080").unwrap();
    let began = Instant::now();
    let mut found = None;
    while found.is_none() && began.elapsed() < hivewall_e2e::PATIENCE {
        let _ = hivewall_e2e::talk::says(&mut stream, b"data");
        found = alerts(&agent, "detector=dns_tunnel").pop();
    }
    let alert = found.unwrap_or_else(|| panic!("no alert, but {:#?}", alerts(&agent, "all=true")));
    println!("{} after {:?}", alert["message"].as_str().unwrap(), began.elapsed());
    assert!(alert["message"].as_str().unwrap().contains("example.net"), "{alert:#}");
}

/// Whether the tunnel's other end answers.
fn connect_inside(pair: &Pair) -> Result<(), String> {
    let mut ping = pair.b.command("ping");
    ping.args(["-c", "1", "-W", "1", "10.99.0.1"]);
    let said = hivewall_e2e::tool::run(ping);
    if said.code == Some(0) { Ok(()) } else { Err(format!("{said:?}")) }
}

#[test]
fn iperf3_at_two_hundred_megabits_is_high_bandwidth_and_at_eight_it_is_not() {
    require_root!();
    let pair = Pair::new("iperf");
    let agent = Agent::start(&pair.a, &["--interface", "eth0"]);
    let _server = Running::start(&pair.a, "iperf3", &["-s"]);
    until("iperf3", || connect(&pair.b, "10.0.0.1:5201"));
    tool(&pair.b, "iperf3", &["-c", "10.0.0.1", "-b", "8M", "-t", "8"]);
    assert!(
        alerts(&agent, "detector=high_bandwidth&all=true").is_empty(),
        "a megabyte a second is a tenth of the threshold"
    );
    let _client = Running::start(&pair.b, "iperf3", &["-c", "10.0.0.1", "-b", "200M", "-t", "20"]);
    let (alert, took) = alert_of(&agent, "detector=high_bandwidth&all=true");
    println!("{} after {took:?}", alert["message"].as_str().unwrap());
    let bytes = alert["evidence"]["figures"]["bytes_per_second"].as_f64();
    assert!(bytes.is_some_and(|bytes| bytes > 1e7), "{alert:#}");
    assert_eq!(alert["severity"], "info", "{alert:#}");
}

#[test]
fn the_same_scan_of_many_hosts_is_one_row_of_the_fleets_list() {
    require_root!();
    let mut fleet = Fleet::formed("listed", 3, |_| "");
    fleet.switch.ip(&["address", "add", "10.0.0.200/24", "dev", "br0"]).unwrap();
    let quick = ["-sS", "-Pn", "-n", "-T4", "--max-retries", "0", "--min-rate", "500", "-p", "1-200"];
    for n in 1..=3 {
        tool(&fleet.switch, "nmap", &[&quick[..], &["-e", "br0", "-S", "10.0.0.200", &format!("10.0.0.{n}")]].concat());
        alert_of(fleet.members[n - 1].agent(), "detector=port_scan&source=10.0.0.200");
    }
    let ask = |fleet: &Fleet| -> Value {
        let path = "/api/v1/fleet/alerts?detector=port_scan&source=10.0.0.200";
        serde_json::from_str(&fleet.members[1].agent().get(path).unwrap()).unwrap()
    };
    let page = ask(&fleet);
    let rows = page["alerts"].as_array().unwrap();
    assert_eq!((rows.len(), &page["matched"], &rows[0]["raised_by_total"]), (1, &3.into(), &3.into()), "{page:#}");
    let mut hosts: Vec<&str> =
        rows[0]["raised_by"].as_array().unwrap().iter().map(|by| by["host"].as_str().unwrap()).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, ["h1", "h2", "h3"]);
    assert_eq!((&page["answer"]["heard"], &page["answer"]["known"]), (&3.into(), &3.into()), "{page:#}");
    let said = fleet.members[1].agent().tell(&["alerts", "--fleet", "--detector", "port_scan"]);
    assert!(said.err.contains("all 3 hosts answered"), "{said:?}");
    assert!(said.fine().contains("10.0.0.200"));
    let none = fleet.members[1].agent().tell(&["alerts", "--fleet", "--severity", "critical", "-o", "jsonl"]);
    assert_eq!(none.fine(), "");
    // One that is gone is named as missing, or is no longer counted as there.
    fleet.members[2].kill();
    let page = ask(&fleet);
    let heard = page["answer"]["heard"].as_u64().unwrap();
    assert_eq!((heard, page["alerts"][0]["raised_by_total"].as_u64()), (2, Some(2)), "{page:#}");
}
