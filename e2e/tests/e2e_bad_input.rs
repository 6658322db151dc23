//! What is wrong is said clearly, with what to do next and the documented exit code, and nothing is lost by it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use hivewall_e2e::agent::Agent;
use hivewall_e2e::binary;
use hivewall_e2e::books::{Account, number};
use hivewall_e2e::network::Pair;
use hivewall_e2e::tool::{Said, hivewall, run};
use hivewall_testkit::netns::Lab;
use hivewall_testkit::packet::frame;
use hivewall_testkit::pcap::{PcapFormat, pcap_bytes};
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::udp_blast;
use tempfile::TempDir;

/// Exit codes as documented; numbers of their own, since a script has no other.
mod code {
    pub(super) const FAILED: i32 = 1;
    pub(super) const USAGE: i32 = 2;
    pub(super) const PRIVILEGE: i32 = 3;
    pub(super) const NO_INTERFACE: i32 = 4;
    pub(super) const CUT_OFF: i32 = 5;
    pub(super) const UNREACHABLE: i32 = 6;
    pub(super) const UNWRITABLE: i32 = 7;
}

/// `hivewall` where the test runs: for commands that touch no network.
fn here(args: &[&str]) -> Said {
    let mut command = std::process::Command::new(binary::path());
    command.args(args).env_remove("HIVEWALL_HOST");
    run(command)
}

#[test]
fn an_interface_that_is_not_there_is_named_with_those_that_are() {
    require_root!();
    let pair = Pair::new("b-iface");
    let said = hivewall(&pair.a, &["run", "--interface", "wlan9"]);
    said.refused(code::NO_INTERFACE, &["no interface matches wlan9", "eth0", "--interface"]);
}

#[test]
fn a_host_without_interfaces_is_told_about_the_loopback() {
    require_root!();
    let lab = Lab::new("b-none").unwrap();
    let host = lab.host("h").unwrap();
    hivewall(&host, &["run"]).refused(code::NO_INTERFACE, &["there are: lo", "--loopback"]);
}

#[test]
fn without_privileges_the_message_says_which_are_missing() {
    require_root!();
    let pair = Pair::new("b-priv");
    // The binary may lie where others may not look.
    let directory = TempDir::new().unwrap();
    let copy = directory.path().join("hivewall");
    std::fs::copy(binary::path(), &copy).unwrap();
    std::os::unix::fs::chown(directory.path(), Some(65_534), Some(65_534)).unwrap();
    for backend in ["auto", "ebpf", "af-packet"] {
        let mut command = pair.a.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
        command.arg(&copy).args(["run", "--backend", backend]);
        run(command).refused(code::PRIVILEGE, &["root", "CAP_"]);
    }
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused_with_a_suggestion() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("hivewall.toml");
    std::fs::write(&file, "[capture]\nring_slot = 64\n").unwrap();
    let name = file.to_str().unwrap();
    for command in ["run", "check"] {
        here(&[command, "--config", name]).refused(code::USAGE, &["ring_slot", "ring_slots", name, "2"]);
    }
    std::fs::write(&file, "[capture]\nring_slots = 1\n").unwrap();
    here(&["check", "--config", name]).refused(code::USAGE, &["ring_slots", "64"]);
    std::fs::write(&file, "[capture\n").unwrap();
    here(&["check", "--config", name]).refused(code::USAGE, &[name]);
}

#[test]
fn a_configuration_that_is_not_there_is_refused_by_name() {
    here(&["run", "--config", "/nowhere/hivewall.toml"]).refused(code::USAGE, &["/nowhere/hivewall.toml", "--config"]);
    here(&["run", "--ring-slots", "many"]).refused(code::USAGE, &["many"]);
    here(&["run", "--no-such-flag"]).refused(code::USAGE, &["--no-such-flag"]);
    here(&["flows", "--port", "seventy"]).refused(code::UNREACHABLE, &["hivewall run"]);
}

#[test]
fn a_log_that_cannot_be_written_is_refused_before_anything_is_captured() {
    require_root!();
    let pair = Pair::new("b-log");
    let said = hivewall(&pair.a, &["run", "--log-file", "/proc/hivewall.log"]);
    said.refused(code::UNWRITABLE, &["/proc/hivewall.log"]);
    let said = hivewall(&pair.a, &["run", "--log-file", "/nowhere/at/all.log"]);
    said.refused(code::UNWRITABLE, &["/nowhere/at/all.log"]);
}

#[test]
fn an_agent_on_a_port_in_use_leaves_the_first_one_alone() {
    require_root!();
    for backend in ["ebpf", "ebpf-clsact"] {
        let pair = Pair::new("b-port");
        let first = Agent::start(&pair.b, &["--backend", backend]);
        let second = hivewall(&pair.b, &["run", "--backend", backend]);
        second.refused(code::FAILED, &["127.0.0.1:7733", "in use"]);
        pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 500, 10, 1)).unwrap().unwrap();
        first.until("traffic after the second agent failed", |snapshot| {
            let seen = Account::of(snapshot, "eth0").flows.rx.packets;
            if seen == 500 { Ok(()) } else { Err(format!("{seen} packets with {backend}")) }
        });
    }
}

#[test]
fn a_question_without_an_agent_says_how_to_start_one() {
    require_root!();
    let lab = Lab::new("b-nobody").unwrap();
    let host = lab.host("h").unwrap();
    for question in [&["flows"][..], &["snapshot"], &["top", "--once"], &["flows", "--follow"]] {
        let said = hivewall(&host, question);
        said.refused(code::UNREACHABLE, &["127.0.0.1:7733", "hivewall run", "--host"]);
    }
}

#[test]
fn a_question_that_is_wrong_is_told_apart_from_an_agent_that_is_silent() {
    require_root!();
    let pair = Pair::new("b-query");
    let _agent = Agent::start(&pair.a, &[]);
    hivewall(&pair.a, &["flows", "--port", "seventy"]).refused(code::USAGE, &["seventy"]);
    hivewall(&pair.a, &["flows", "--proto", "tcpp"]).refused(code::USAGE, &["tcpp", "tcp"]);
    hivewall(&pair.a, &["flows", "--filter", "prot:tcp"]).refused(code::USAGE, &["prot", "proto"]);
    hivewall(&pair.a, &["flows", "--limit", "x"]).refused(code::USAGE, &["limit"]);
}

/// A capture of ten packets of one UDP flow, in which the last packet begins at the returned offset.
fn capture(at: &Path) -> (u64, usize) {
    let packet = |number: u8| {
        let frame = frame().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 2000).payload_len(100 + usize::from(number));
        (1_700_000_000_000_000_000 + u64::from(number) * 1_000_000, frame.build())
    };
    let packets: Vec<_> = (0..10).map(packet).collect();
    let bytes = pcap_bytes(PcapFormat::default(), packets.iter().map(|(time, frame)| (*time, frame.as_slice())));
    std::fs::write(at, &bytes).unwrap();
    // A record is 16 bytes of header and the frame.
    (10, bytes.len() - 16 - packets[9].1.len())
}

#[test]
fn a_capture_cut_in_the_middle_is_used_up_to_the_cut() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("cut.pcap");
    let name = path.to_str().unwrap();
    let (packets, last) = capture(&path);
    let flow = |said: &Said| serde_json::from_str::<serde_json::Value>(said.out.lines().next().unwrap()).unwrap();
    let whole = here(&["replay", "-o", "jsonl", name]);
    assert_eq!((whole.code, flow(&whole)["packets"].as_u64()), (Some(0), Some(packets)));
    let bytes = std::fs::read(&path).unwrap();
    // In the last packet's bytes, in its record header, and behind the first byte of it.
    for length in [bytes.len() - 1, last + 16 + 30, last + 8, last + 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let cut = here(&["replay", "-o", "jsonl", name]);
        cut.refused(code::CUT_OFF, &[name, "everything before"]);
        assert_eq!(flow(&cut)["packets"].as_u64(), Some(packets - 1), "cut at {length}: {cut:?}");
        let log = directory.path().join("eve.jsonl");
        let cut = here(&["replay", "--log-format", "jsonl", "--log-file", log.to_str().unwrap(), name]);
        cut.refused(code::CUT_OFF, &[name]);
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text.matches("\"event_type\":\"flow\"").count(), 1, "{text}");
        std::fs::remove_file(log).unwrap();
    }
}

#[test]
fn a_file_that_is_no_capture_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notes.txt");
    let name = path.to_str().unwrap();
    for content in ["", "x", "Dear diary, today I captured nothing at all.\n"] {
        std::fs::write(&path, content).unwrap();
        let said = here(&["replay", name]);
        assert!(said.code.is_some_and(|code| code != 0), "{said:?}");
        assert!(said.err.contains(name) && !said.err.contains("panicked"), "{said:?}");
    }
    let said = here(&["replay", "/nowhere/x.pcap"]);
    assert!(said.code.is_some_and(|code| code != 0) && said.err.contains("/nowhere/x.pcap"), "{said:?}");
}

#[test]
fn a_log_on_a_full_disk_never_stops_the_agent_and_is_counted() {
    require_root!();
    let pair = Pair::new("b-full");
    let directory = TempDir::new().unwrap();
    let args = ["--interface", "eth0", "--log-format", "jsonl", "--log-file", "/dev/full", "--idle-timeout-s", "1"];
    let agent = Agent::start_bare(&pair.b, directory, &args);
    pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 5_000, 10, 10)).unwrap().unwrap();
    let snapshot = agent.until("ten flows that ended and could not be logged", |snapshot| {
        let losses = snapshot["losses"].as_object().unwrap();
        let lost = losses.iter().filter(|(name, _)| name.starts_with("log_")).map(|(_, loss)| loss["count"].as_u64());
        let lost: u64 = lost.map(Option::unwrap).sum();
        if lost >= 10 { Ok(()) } else { Err(format!("{:#}", snapshot["losses"])) }
    });
    assert_eq!(Account::of(&snapshot, "eth0").flows.rx.packets, 5_000);
    pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 5_000, 10, 1)).unwrap().unwrap();
    agent.until("traffic that is counted as before", |snapshot| {
        let seen = Account::of(snapshot, "eth0").flows.rx.packets;
        if seen == 10_000 { Ok(()) } else { Err(format!("{seen}")) }
    });
    assert_eq!(agent.stop().code, Some(0));
}

#[test]
fn a_reader_that_does_not_read_never_stops_the_agent() {
    require_root!();
    let pair = Pair::new("b-slow");
    let directory = TempDir::new().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let name = pipe.display().to_string();
    let args = ["--interface", "eth0", "--log-format", "jsonl", "--log-file", &name, "--idle-timeout-s", "1"];
    let args = [&args[..], &["--log-buffer-size", "16"]].concat();
    let agent = Agent::start_bare(&pair.b, directory, &args);
    // A thousand flows are far more than a pipe of 64 KiB and a queue of 16 events hold.
    pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 1_000, 10, 1_000)).unwrap().unwrap();
    agent.until("events that found no room", |snapshot| {
        let lost = |(name, loss): (&String, &serde_json::Value)| name.starts_with("log_") && loss["count"] != 0;
        let seen = Account::of(snapshot, "eth0").flows.rx.packets;
        let counted = snapshot["losses"].as_object().unwrap().iter().any(lost);
        if counted && seen == 1_000 { Ok(()) } else { Err(format!("{seen}; {:#}", snapshot["losses"])) }
    });
    // And it still ends in time, though its log can not.
    let left = agent.stop();
    assert_eq!(left.code, Some(0), "{}", left.messages);
}

#[test]
fn a_log_file_moved_away_goes_on_after_a_hangup() {
    require_root!();
    let pair = Pair::new("b-hup");
    let agent = Agent::start(&pair.b, &["--interface", "eth0", "--idle-timeout-s", "1"]);
    let moved = agent.log().with_extension("1");
    let send = || pair.a.enter(|| udp_blast("10.0.0.2:9".parse().unwrap(), 7, 10, 1)).unwrap().unwrap();
    let in_file = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.contains("\"event_type\":\"flow\"") { Ok(()) } else { Err("no flow yet") }
    };
    send();
    hivewall_e2e::until("a flow in the log", || in_file(&agent.log()));
    std::fs::rename(agent.log(), &moved).unwrap();
    nix::sys::signal::kill(agent.pid(), nix::sys::signal::Signal::SIGHUP).unwrap();
    hivewall_e2e::until("a new log file", || agent.log().metadata().map(drop));
    send();
    hivewall_e2e::until("a flow in the new log", || in_file(&agent.log()));
    let left = agent.stop();
    // The port is closed: the datagrams are answered by ICMP, at a rate of the kernel's own choosing.
    let flows = left.flows();
    let udp: Vec<_> = flows.iter().filter(|flow| flow["proto"] == "UDP").collect();
    assert_eq!(udp.len(), 1, "{udp:#?}");
    assert_eq!(number(udp[0], "/flow/pkts_toserver"), 7);
}
