//! The captures of `cases/`: what `hivewall replay` makes of each, written down next to it.
//!
//! `UPDATE_EXPECT=1 cargo test -p hivewall --test replay_cases` writes the made captures and every picture anew; what
//! changed is then to be read as a diff. Invariant: a folder in `cases/` has a capture, a `case.toml` that says where it
//! came from and under which licence, the capture's SHA-256 therein, and a picture.

mod made;
mod play;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use hivewall_engine::Limits;
use hivewall_model::{Flow, Side, Timestamp, protocol_name};
use hivewall_view::FlowRow;
use made::{MADE, Made};
use play::{LINES, Played};
use sha2::{Digest as _, Sha256};

/// All captures together.
const CASES_BYTES_MAX: u64 = 6 << 20;
/// Licences that let us pass a capture on; those that want their text kept have it in `cases/LICENSES.md`.
const LICENCES: &[&str] = &["Apache-2.0", "BSD-3-Clause", "BSD-3-Clause (Cisco)"];

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    capture: String,
    origin: String,
    licence: String,
    sha256: String,
}

fn cases_folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases")).to_path_buf()
}

fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn cases() -> Vec<(PathBuf, Case)> {
    let all = folders(&cases_folder()).into_iter().flat_map(|area| folders(&area));
    let read = |folder: PathBuf| {
        let path = folder.join("case.toml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let case = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (folder, case)
    };
    all.map(read).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One line a flow, in the order they began; then what is in none. Times are seconds since the first packet.
fn picture(played: &Played) -> String {
    let start = played.flows.iter().map(|flow| flow.start).min().unwrap_or_default();
    let mut text = format!("{} packets, {} link bytes\n", played.packets, played.all().bytes);
    // Which of two flows of one millisecond has the lower number goes by the hash.
    let mut lines: Vec<(Timestamp, String)> = played.flows.iter().map(|flow| (flow.start, line(flow, start))).collect();
    lines.sort();
    text.extend(lines.into_iter().map(|(_, line)| line));
    for (reason, tally) in played.apart() {
        let _ = writeln!(text, "in no flow: {reason}, {} packets, {} link bytes", tally.packets, tally.bytes);
    }
    for loss in played.losses.iter().filter(|loss| loss.count > 0) {
        let _ = writeln!(text, "told: {} {}", loss.name, loss.count);
    }
    let inside = played.snapshot.losses.get("inner_unread").filter(|loss| loss.count > 0);
    if let Some(loss) = inside {
        let _ = writeln!(text, "told: inner_unread {}, {} bytes", loss.count, loss.bytes);
    }
    text
}

fn line(flow: &Flow, start: Timestamp) -> String {
    let row = FlowRow::new(flow, &|ifindex| ifindex.to_string());
    let tuple = &flow.tuple;
    let end = |ip: &str, port: Option<u16>| port.map_or_else(|| ip.to_owned(), |port| format!("{ip} {port}"));
    let name = protocol_name(tuple.protocol).map_or_else(|| tuple.protocol.to_string(), str::to_owned);
    let mut text = format!("{name} {} > {}", end(&row.source_ip, row.src_port), end(&row.dest_ip, row.dest_port));
    if let (Some(kind), Some(code)) = (row.icmp_type, row.icmp_code) {
        let _ = write!(text, " type {kind} code {code}");
    }
    let side = |side: &Side| format!("{}/{}/{}", side.packets, side.ip_bytes, side.wire_bytes);
    let _ = write!(text, ": {} and {}", side(&flow.to_server), side(&flow.to_client));
    if let Some(state) = flow.tcp_state {
        let _ = write!(text, ", {} {} {}", flow.to_server.flags, flow.to_client.flags, state.name());
    }
    let (from, long) = (flow.start.since(start).as_secs_f64(), flow.duration().as_secs_f64());
    let _ = write!(text, ", at {from:.3} for {long:.3}, {}", row.end_reason.as_deref().unwrap_or("living"));
    if !row.vlan.is_empty() {
        let _ = write!(text, ", vlan {:?}", row.vlan);
    }
    if let Some(tunnel) = &row.tunnel {
        let _ = write!(text, ", inside of {tunnel}");
    }
    for (told, word) in
        [(flow.portless, "ports unknown"), (!flow.roles_known && flow.tcp_state.is_some(), "roles guessed")]
    {
        if told {
            let _ = write!(text, ", {word}");
        }
    }
    if row.interfaces.iter().any(|point| point.interface != "1" || point.direction != "ingress") {
        let points = row.interfaces.iter();
        let mut shown: Vec<_> = points.map(|p| format!("{} {} {}", p.interface, p.direction, p.packets)).collect();
        shown.sort();
        let _ = write!(text, ", seen by [{}]", shown.join(", "));
    }
    text + "\n"
}

fn case_toml(made: &Made, bytes: &[u8]) -> String {
    format!(
        "about = \"{}\"\ncapture = \"{}\"\norigin = \"made by crates/hivewall/tests/made/mod.rs\"\nlicence = \"Apache-2.0\"\nsha256 = \"{}\"\n",
        made.about,
        made.file,
        sha256(bytes),
    )
}

#[test]
fn every_case_gives_its_picture() {
    for made in MADE {
        let (folder, bytes) = (cases_folder().join(made.name), (made.bytes)());
        if updating() {
            std::fs::create_dir_all(&folder).expect("the case's folder can be made");
            std::fs::write(folder.join(made.file), &bytes).expect("the capture can be written");
            std::fs::write(folder.join("case.toml"), case_toml(made, &bytes)).expect("case.toml can be written");
        }
        let committed = std::fs::read(folder.join(made.file)).unwrap_or_default();
        assert!(committed == bytes, "{} is not what made/mod.rs makes; see the head of this file", made.name);
    }
    let cases = cases();
    assert!(cases.len() >= MADE.len());
    let mut total = 0;
    for (folder, case) in cases {
        let path = folder.join(&case.capture);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        total += bytes.len() as u64;
        assert_eq!(sha256(&bytes), case.sha256, "{}", path.display());
        assert!(LICENCES.contains(&case.licence.as_str()), "{}: {}", path.display(), case.licence);
        assert!(!case.about.is_empty() && !case.origin.is_empty(), "{}", folder.display());
        let played =
            play::play(bytes, Limits::default(), LINES).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(played.failure.is_none(), "{}: {:?}", path.display(), played.failure);
        played.check_sums();
        expect_file![folder.join("want.snap")].assert_eq(&picture(&played));
    }
    assert!(total <= CASES_BYTES_MAX, "cases/ holds {total} bytes of captures");
}

#[test]
fn no_cut_through_a_made_case_panics_or_loses_a_packet_before_it() {
    for made in MADE {
        let bytes = (made.bytes)();
        let mut before = 0;
        for cut in 0..bytes.len().min(4096) {
            let Ok(played) = play::play(bytes[..cut].to_vec(), Limits::default(), 8) else { continue };
            played.check_sums();
            assert!(played.packets >= before, "{} cut at {cut}", made.name);
            before = played.packets;
        }
    }
}
