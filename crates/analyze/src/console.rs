//! Console lines, as far as they go: they carry a time of day without a date, and rounded bytes.
//!
//! Days are counted from the first line on: a time that lies far before the one before it is of the next day.

use std::net::IpAddr;

use hivewall_model::Timestamp;
use hivewall_view::units::parse_size;

use crate::record::{AlertRecord, FlowRecord, NameRecord, Record, Refusal, Skip};
use crate::rows::is_refusal;

const DAY_SECONDS: i64 = 86_400;
/// Lines come in the order of writing, which flows' ends leave by less than this.
const BACK_SECONDS_MAX: i64 = DAY_SECONDS / 2;
/// What was said in a conversation begins with one of these instead of a protocol.
const SAID: [&str; 6] = ["dns", "mdns", "tls", "quic", "http", "ssh"];

/// The time of the line before.
#[derive(Default)]
pub(crate) struct Clock {
    last: Option<i64>,
}

impl Clock {
    /// Seconds from the first line's midnight on.
    fn read(&mut self, time: &str) -> Option<Timestamp> {
        let mut parts = time.split(':').map(|part| part.parse::<i64>().ok());
        let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
        if time.len() != 8 || parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 60 {
            return None;
        }
        let of_day = (hours * 60 + minutes) * 60 + seconds;
        let last = self.last.unwrap_or(of_day);
        let mut now = last - last.rem_euclid(DAY_SECONDS) + of_day;
        if last - now > BACK_SECONDS_MAX {
            now += DAY_SECONDS;
        }
        self.last = Some(now.max(last));
        Some(Timestamp::from_secs(now))
    }
}

/// Whether it may be a line of a console log.
pub(crate) fn looks_like(line: &[u8]) -> bool {
    let record = read(line, &mut Clock::default());
    !matches!(record, Record::Skipped(_) | Record::Nothing)
}

/// Reads one line.
pub(crate) fn read(line: &[u8], clock: &mut Clock) -> Record {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    if text.is_empty() {
        return Record::Nothing;
    }
    said(text, clock).unwrap_or(Record::Skipped(Skip::NotALine))
}

fn said(text: &str, clock: &mut Clock) -> Option<Record> {
    let (time, rest) = text.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    let time = clock.read(time)?;
    if kind == "stats" {
        return Some(Record::Other(kind.to_owned(), Some(time)));
    }
    let mut words = rest.split(' ');
    let (source, _) = endpoint(words.next()?)?;
    if !matches!(words.next()?, "→" | "↔") {
        return None;
    }
    let (destination, port) = endpoint(words.next()?)?;
    let words: Vec<&str> = words.collect();
    if matches!(kind, "drop" | "alert") {
        return Some(Record::Alert(alert(kind, (source, destination, port), &words, time)));
    }
    if SAID.contains(&kind) {
        return Some(Record::Name(name(kind, &words, time)));
    }
    flow(kind, (source, destination, port), &words, time).map(|flow| Record::Flow(Box::new(flow)))
}

/// `10.0.0.1:40000`, `[fe80::1]:443`, or an address alone.
fn endpoint(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse() {
        return Some((address, None));
    }
    let (address, port) = text.rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Some((address.parse().ok()?, Some(port.parse().ok()?)))
}

/// `outbound 1.2 MB in 3.2s (142/98 packets) finished [lan0] ~https www.example.com by curl[4711]`.
fn flow(kind: &str, ends: (IpAddr, IpAddr, Option<u16>), words: &[&str], end: Timestamp) -> Option<FlowRecord> {
    let (source, destination, port) = ends;
    let at = words.iter().position(|word| word.starts_with('('))?;
    let span = words.get(at.checked_sub(1)?)?;
    let unit = words.get(at.checked_sub(3)?)?;
    let number = words.get(at.checked_sub(4)?)?;
    let bytes = parse_size(&format!("{number}{unit}"))?;
    let (to_server, to_client) = words.get(at)?.trim_start_matches('(').split_once('/')?;
    let (to_server, to_client): (u64, u64) = (to_server.parse().ok()?, to_client.parse().ok()?);
    let ended = *words.get(at + 2)?;
    let said = |what: &str| words.iter().find_map(|word| word.strip_prefix(what));
    let blocked = said("verdict:").is_some_and(is_refusal);
    let refusal = match (kind, to_client, ended) {
        _ if blocked => Some(Refusal::Blocked),
        ("tcp", 0, _) => Some(Refusal::NoAnswer),
        // Flags are not shown: one packet of an answer that ended it is a refusal.
        ("tcp", 1, "reset") => Some(Refusal::Reset),
        _ => None,
    };
    Some(FlowRecord {
        start: hivewall_view::units::parse_duration(span).map(|span| end - span),
        end: Some(end),
        protocol: kind.to_owned(),
        source,
        destination,
        port,
        bytes,
        packets: to_server + to_client,
        ip_bytes: true,
        refusal,
        process: process(words),
        name: None,
        // One with blanks is cut at the first.
        rule: said("rule:").filter(|_| blocked).map(|rule| rule.trim_matches(['"', ',']).to_owned()),
    })
}

/// `tcp verdict:drop rule:main:default-in 3 packets, 180 B into [wan0]`.
fn alert(kind: &str, ends: (IpAddr, IpAddr, Option<u16>), words: &[&str], time: Timestamp) -> AlertRecord {
    let (source, destination, port) = ends;
    let rule = words.iter().find_map(|word| word.strip_prefix("rule:")).unwrap_or(kind);
    AlertRecord {
        time: Some(time),
        kind: kind.to_owned(),
        signature: rule.trim_matches(['"', ',']).to_owned(),
        severity: None,
        source: Some(source),
        destination: Some(destination),
        port,
        blocked: kind == "drop",
        is_in_flow: true,
    }
}

/// Behind the last `by`: a command name, which may have spaces, and a process id in brackets.
fn process(words: &[&str]) -> Option<String> {
    let by = words.iter().rposition(|word| *word == "by")?;
    let text = words.get(by + 1..)?.join(" ");
    let (name, pid) = text.strip_suffix(']')?.rsplit_once('[')?;
    pid.bytes().all(|b| b.is_ascii_digit()).then(|| name.to_owned())
}

fn name(kind: &str, words: &[&str], time: Timestamp) -> NameRecord {
    let word = |at: usize| words.get(at).map(|word| (*word).to_owned());
    let is = |at: usize, what: &str| words.get(at).is_none_or(|word| *word == what);
    let (name, answer) = match kind {
        // A response has its code behind the name.
        "dns" | "mdns" if is(2, "by") => (word(1), None),
        "dns" | "mdns" => (None, word(2)),
        "tls" | "quic" => (word(0).filter(|name| !name.starts_with('(')), None),
        "http" => {
            let code = words.iter().find(|word| word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit()));
            let host = word(1).and_then(|target| target.split('/').next().map(str::to_owned));
            (host.filter(|host| !host.is_empty()), code.map(|code| (*code).to_owned()))
        }
        _ => (None, None),
    };
    NameRecord { time: Some(time), kind: kind.to_owned(), name, answer }
}
