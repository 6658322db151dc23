//! The fuzz targets under the plain test runner: every case that once broke one, then seeded noise.
//!
//! It has no feedback from coverage and finds little that is new; `cargo xtask fuzz` does that. Invariant: a case in
//! `fuzz/regressions/<target>/` is named for what it once broke, and each folder there has a target.

mod play;
mod targets;

use std::path::{Path, PathBuf};

use hivewall_testkit::generate::{Generator, Rng};
use hivewall_testkit::pcap::{PcapFormat, pcap_bytes};
use targets::{Body, TARGETS};

/// Inputs of noise for each target.
const INPUTS: u64 = 20_000;

fn fuzz_folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz")).join(name)
}

/// Files below a target's folder, sorted; none when there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    files.sort();
    files
}

fn run(name: &str, input: &[u8], about: &str) {
    let body: Body = TARGETS.iter().find(|(target, _)| *target == name).expect("a target of that name").1;
    if let Err(panic) = std::panic::catch_unwind(|| body(input)) {
        eprintln!("target {name}, {about}, {} bytes: {input:?}", input.len());
        std::panic::resume_unwind(panic);
    }
}

/// A frame of the generator or a text of words of the language, as the target likes it.
fn noise(name: &str, rng: &mut Rng, frames: &mut Generator) -> Vec<u8> {
    match name {
        "parse" => {
            let mut input = rng.bits().to_le_bytes().to_vec();
            input.extend(frames.next_frame());
            input
        }
        "capture_file" | "replay" => capture(rng, frames),
        "names" => payloads(rng),
        "filter" => words(rng, FILTER_WORDS),
        "policy_text" => words(rng, POLICY_WORDS),
        "authlog" => [&[rng.bits() as u8, rng.bits() as u8][..], &words(rng, AUTHLOG_WORDS)].concat(),
        _ => words(rng, CONFIG_WORDS),
    }
}

/// A capture of a few frames, broken in a few places.
fn capture(rng: &mut Rng, frames: &mut Generator) -> Vec<u8> {
    let frames: Vec<Vec<u8>> = (0..rng.below(6)).map(|_| frames.next_frame()).collect();
    let link = rng.pick(&[1, 1, 1, 0, 101, 108, 113, 276, 9]).unwrap_or(1);
    let packets: Vec<(u64, &[u8])> =
        frames.iter().map(|frame| (rng.bits() >> (1 + rng.below(40)), &frame[..])).collect();
    let mut bytes = pcap_bytes(PcapFormat { link, ..PcapFormat::default() }, packets);
    for _ in 0..rng.below(4) {
        let at = rng.below(bytes.len() as u64) as usize;
        if let Some(byte) = bytes.get_mut(at) {
            *byte = rng.bits() as u8;
        }
    }
    bytes.truncate(bytes.len() - rng.below(8) as usize);
    bytes
}

/// Packets of the target `names`: words of its protocols, in pieces.
fn payloads(rng: &mut Rng) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..rng.below(8) {
        let words = (0..rng.below(10)).filter_map(|_| rng.pick(NAMES_WORDS));
        let payload: Vec<u8> = words.flatten().copied().collect();
        input.extend([rng.bits() as u8, rng.below(64) as u8, rng.bits() as u8, 0, payload.len() as u8]);
        input.extend(payload);
    }
    input
}

const NAMES_WORDS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"Host: a.org\r\n",
    b"Content-Length: 5\r\n",
    b"\r\n",
    b"SSH-2.0-x\r\n",
    b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03",
    b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00",
    b"\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00",
    b"\x01a\x03org\x00\x00\x01\x00\x01",
    b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x09\x00\x04",
    b"\x00\x1d",
    b"\xc3\x00\x00\x00\x01\x08",
    b"\x00\x00\x00\x00",
    b"\xff",
    b"a",
];

const FILTER_WORDS: &[&str] = &[
    "ip:",
    "port:",
    "proto:",
    "!",
    "bytes>",
    "last:5m",
    "10.0.0.0/8",
    "::1",
    "443",
    "80,443",
    "1-1024",
    "udp",
    "\"",
    "\\",
    " ",
    " ",
    "-",
    "text:",
    "state:",
    "iface:",
    "vlan:",
    "*",
    "?",
    "é",
    "1M",
    ">=",
    "<",
    "=",
    "dns",
    "2026-01-01T00:00:00Z",
];
const CONFIG_WORDS: &[&str] = &[
    "[capture]",
    "[flows]",
    "[log]",
    "[api]",
    "[traffic]",
    "[agent]",
    "\n",
    "\n",
    "=",
    " ",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "max",
    "idle_timeout_s",
    "interfaces",
    "level",
    "1",
    "-1",
    "99999999999999999999",
    "true",
    "\"eth*\"",
    "#",
    ".",
    ",",
    "1.5",
];

/// Of all four forms.
const AUTHLOG_WORDS: &[&str] = &[
    "Failed password for ",
    "invalid user ",
    "root",
    " from ",
    "192.0.2.7",
    "::ffff:192.0.2.7",
    " port 4242 ssh2",
    "Connection closed by authenticating user ",
    " [preauth]",
    "Nov 14 22:13:20 box ",
    "2023-11-14T22:13:20+01:00 box ",
    "sshd[12]: ",
    "[bob] FAIL LOGIN: Client \"",
    "(to root) bob on ",
    "user=<bob>, ",
    "rip=",
    "auth failed, ",
    "rhost=",
    "authentication failure; ",
    "pam_unix(sshd:auth): ",
    "MESSAGE\n\u{5}\0\0\0\0\0\0\0",
    "MESSAGE=",
    "__REALTIME_TIMESTAMP=1700000000000000\n",
    "SYSLOG_IDENTIFIER=sshd\n",
    "_PID=7\n",
    "\n",
    "\n",
    "\n\n",
    "\0",
    "é",
    ": ",
    "[",
    "]",
];

const POLICY_WORDS: &[&str] = &[
    "kind: Policy\n",
    "metadata: {name: e, version: 1}\n",
    "hosts: a in {b}\n",
    "sets: {s: {cidr: [10.0.0.0/8, \"::/0\"]}}\n",
    "exempt: \"@s\"\n",
    "tiers:\n- name: main\n",
    "  default: {in: drop}\n",
    "  rules:\n",
    "  - {id: a, dir: in, action: accept}\n",
    "  - {id: b, dir: both, proto: tcp, from: \"!@s\", dport: [1-9, 22], action: pass}\n",
    "  - {id: c, dir: out, proto: icmp, icmp: 3/4, action: reject, log: true}\n",
    "{",
    "}",
    "[",
    "]",
    ": ",
    ", ",
    "- ",
    "\n",
    "\"",
    "'",
    "&a ",
    "*a",
    "!b ",
    "|\n",
    "#",
    "\t",
    "\u{feff}",
    "ä",
];

fn words(rng: &mut Rng, list: &[&str]) -> Vec<u8> {
    let words = (0..rng.below(12)).filter_map(|_| rng.pick(list));
    words.collect::<String>().into_bytes()
}

#[test]
fn what_once_broke_a_target_holds_now() {
    for folder in files(&fuzz_folder("regressions")) {
        let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        for case in files(&folder) {
            run(&name, &std::fs::read(&case).expect("a case can be read"), &case.display().to_string());
        }
    }
}

#[test]
fn seeds_hold() {
    for (name, _) in TARGETS {
        let seeds = files(&fuzz_folder("seeds").join(name));
        assert!(!seeds.is_empty(), "fuzz/seeds/{name} is empty");
        for seed in seeds {
            run(name, &std::fs::read(&seed).expect("a seed can be read"), &seed.display().to_string());
        }
    }
}

#[test]
fn noise_breaks_no_target() {
    for (name, _) in TARGETS {
        let (mut rng, mut frames) = (Rng::new(20), Generator::new(20).flows(4).mutated(0.5));
        for number in 0..INPUTS {
            let input = noise(name, &mut rng, &mut frames);
            run(name, &input, &format!("input {number} of noise"));
        }
    }
}

#[test]
fn every_target_has_its_program() {
    let programs = files(&fuzz_folder("fuzz_targets"));
    let mut programs: Vec<_> = programs.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    // Those of the fleet are beside its crates.
    programs.retain(|name| !name.starts_with("fleet_"));
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    programs.sort_unstable();
    targets.sort_unstable();
    assert_eq!(programs, targets);
}
