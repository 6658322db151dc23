//! The journal's export format (systemd, "Journal Export Formats"): fields by line, entries parted by an empty line, values
//! with line ends or control characters given with their length.
//!
//! Not here: who runs `journalctl`, and from which cursor. Invariant: a half entry waits for its rest, up to a limit, and no
//! input panics.

use std::time::Duration;

use hivewall_model::Timestamp;

/// Longest entry that is read; longer ones are passed over.
pub const JOURNAL_ENTRY_BYTES_MAX: usize = 64 * 1024;

/// What is wanted of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JournalEntry {
    /// `__REALTIME_TIMESTAMP`.
    pub time: Timestamp,
    /// `SYSLOG_IDENTIFIER`, else `_COMM`.
    pub program: String,
    /// `SYSLOG_PID`, else `_PID`; 0 where neither is there.
    pub pid: u32,
    /// `MESSAGE`.
    pub message: String,
    /// `__CURSOR`: where to go on from.
    pub cursor: String,
}

impl JournalEntry {
    /// From fields by name, as `journalctl -o json` or any other reader gives them. `None` without a message or a time.
    pub fn from_fields<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let microseconds: u64 = field("__REALTIME_TIMESTAMP")?.parse().ok()?;
        let pid = field("SYSLOG_PID").or_else(|| field("_PID")).and_then(|pid| pid.trim().parse().ok());
        Some(Self {
            time: Timestamp::default() + Duration::from_micros(microseconds),
            program: field("SYSLOG_IDENTIFIER").or_else(|| field("_COMM")).unwrap_or_default().to_owned(),
            pid: pid.unwrap_or(0),
            message: field("MESSAGE")?.to_owned(),
            cursor: field("__CURSOR").unwrap_or_default().to_owned(),
        })
    }
}

/// Takes the export format in pieces of any size.
#[derive(Debug, Default)]
pub struct JournalReader {
    waiting: Vec<u8>,
    fields: Vec<(String, String)>,
    /// Bytes of a value too long, still to come.
    skip: u64,
    passed_over: u64,
}

/// What stands at the front of the bytes.
enum Piece {
    /// More bytes are needed.
    Wait,
    End,
    Field(String, String, usize),
    /// A value of so many bytes behind so many others, too long to be kept.
    TooLong(usize, u64),
}

impl JournalReader {
    /// Entries and values that were too long and were not read, since the start.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Takes more bytes; entries that are whole by now go to the end of `entries`.
    pub fn push(&mut self, mut bytes: &[u8], entries: &mut Vec<JournalEntry>) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        bytes = bytes.get(skipped..).unwrap_or_default();
        self.waiting.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            match piece(self.waiting.get(at..).unwrap_or_default()) {
                Piece::Wait => break,
                Piece::End => {
                    at += 1;
                    let fields = std::mem::take(&mut self.fields);
                    let find = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
                    entries.extend(JournalEntry::from_fields(find));
                }
                Piece::Field(name, value, length) => {
                    at += length;
                    if is_wanted(&name) && self.fields.len() < 8 {
                        self.fields.push((name, value));
                    }
                }
                Piece::TooLong(head, value) => {
                    self.passed_over += 1;
                    let there = self.waiting.len().saturating_sub(at + head) as u64;
                    self.skip = value.saturating_sub(there);
                    at += head + usize::try_from(value.min(there)).unwrap_or(0);
                }
            }
        }
        self.waiting.drain(..at.min(self.waiting.len()));
        if self.waiting.len() > JOURNAL_ENTRY_BYTES_MAX {
            // A line without an end: not the format, or a field nobody wants.
            self.waiting.clear();
            self.passed_over += 1;
        }
    }
}

fn is_wanted(name: &str) -> bool {
    matches!(
        name,
        "__REALTIME_TIMESTAMP" | "__CURSOR" | "MESSAGE" | "SYSLOG_IDENTIFIER" | "_COMM" | "SYSLOG_PID" | "_PID"
    )
}

fn piece(bytes: &[u8]) -> Piece {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Piece::Wait };
    let line = bytes.get(..end).unwrap_or_default();
    if line.is_empty() {
        return Piece::End;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
        let (name, value) = line.split_at(equals);
        return Piece::Field(text(name), text(value.get(1..).unwrap_or_default()), end + 1);
    }
    // A name alone: the value's length (64 bits, little-endian), the value, a line end.
    let Some(length) = bytes.get(end + 1..end + 9).and_then(|length| length.try_into().ok()) else {
        return Piece::Wait;
    };
    let length = u64::from_le_bytes(length);
    if length > JOURNAL_ENTRY_BYTES_MAX as u64 / 2 {
        return Piece::TooLong(end + 9, length.saturating_add(1));
    }
    let length = length as usize;
    match bytes.get(end + 9..end + 9 + length + 1) {
        Some(value) => Piece::Field(text(line), text(value.get(..length).unwrap_or_default()), end + 9 + length + 1),
        None => Piece::Wait,
    }
}
