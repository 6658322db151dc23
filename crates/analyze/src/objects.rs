//! JSON objects, one a line or scattered over a document, and what each of them is.

use std::io::{self, BufRead, Read};

use hivewall_view::FlowRow;
use serde::Deserialize;

use crate::format::bare_object;
use crate::record::{Record, Skip};
use crate::tally::Tally;
use crate::{EVENT_BYTES_MAX, Input, eve, rows};

/// Bytes of an object within which the key stands that tells what it is.
const MARK_BYTES: usize = 1024;
/// Bytes taken from a document at once.
const CHUNK_BYTES: usize = 1 << 16;

/// A page of rows, or a snapshot.
#[derive(Deserialize)]
struct Page {
    flows: Vec<FlowRow>,
}

/// Takes one line of a log that has one object a line.
pub(crate) fn line(line: &[u8], tally: &mut Tally) {
    match bare_object(line) {
        b"" => tally.take(Record::Nothing),
        object => take(object, tally),
    }
}

/// The object is what its own keys say, which stand near its beginning.
fn take(object: &[u8], tally: &mut Tally) {
    let says = |mark: &[u8]| object.windows(mark.len()).take(MARK_BYTES).any(|window| window == mark);
    if says(b"\"event_type\"")
        && let Ok(event) = serde_json::from_slice::<eve::Line>(object)
    {
        tally.take(event.record());
    } else if says(b"\"flow_id\"")
        && let Ok(row) = serde_json::from_slice::<FlowRow>(object)
    {
        tally.take(rows::record(&row));
    } else if let Ok(page) = serde_json::from_slice::<Page>(object) {
        page.flows.iter().for_each(|row| tally.take(rows::record(row)));
    } else {
        tally.take(Record::Skipped(fault(object)));
    }
}

fn fault(object: &[u8]) -> Skip {
    match serde_json::from_slice::<serde_json::Value>(object) {
        Err(_) => Skip::NotJson,
        Ok(value) if value.get("event_type").is_some() => Skip::BadEvent,
        Ok(_) => Skip::UnknownObject,
    }
}

/// Takes every outermost object of a document, wherever its lines are broken.
pub(crate) fn read<R: BufRead>(head: &[Vec<u8>], input: &mut Input<'_, R>, tally: &mut Tally) -> io::Result<()> {
    let mut splitter = Splitter::default();
    for line in head {
        splitter.push(line, tally);
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = input.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        splitter.push(chunk.get(..read).unwrap_or_default(), tally);
    }
    if splitter.depth > 0 {
        tally.take(Record::Skipped(Skip::NotJson));
    }
    Ok(())
}

/// Finds where objects begin and end, by braces outside of strings.
#[derive(Default)]
struct Splitter {
    object: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The object is too long to be kept.
    lost: bool,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8], tally: &mut Tally) {
        for byte in bytes {
            if self.depth > 0 || *byte == b'{' {
                self.keep(*byte);
            }
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' if self.depth > 0 => self.in_string = !self.in_string,
                b'{' if !self.in_string => self.depth += 1,
                b'}' if !self.in_string && self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.end(tally);
                    }
                }
                _ => {}
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.object.len() < EVENT_BYTES_MAX {
            self.object.push(byte);
        } else {
            self.lost = true;
        }
    }

    fn end(&mut self, tally: &mut Tally) {
        if self.lost {
            tally.take(Record::Skipped(Skip::UnknownObject));
        } else {
            take(&self.object, tally);
        }
        self.object.clear();
        self.lost = false;
    }
}
