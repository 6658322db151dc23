//! The formats of a log: what stands before, between and after the events of one file, and each event itself.
//!
//! It writes to memory only. Invariant: a file made of [`Encoder::opening`], events with [`Encoder::between`] between
//! them, and [`Encoder::closing`] is valid in its format.

use std::fmt;
use std::str::FromStr;

use hivewall_view::fields;

use crate::event::Event;
use crate::{console, eve};

/// How a log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Console,
    /// One JSON document: an array of EVE events, valid once the log is closed or rotated.
    Json,
    /// RFC 4180 with a header, flows only: a file of one table has no place for statistics and names.
    Csv,
    /// EVE, one JSON object a line.
    Jsonl,
}

impl LogFormat {
    /// Every format.
    pub const ALL: [LogFormat; 4] = [Self::Console, Self::Json, Self::Csv, Self::Jsonl];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// Whether the format has a place for this event; what it has no place for is left out, not lost.
    pub fn carries(self, event: &Event) -> bool {
        self != Self::Csv || matches!(event, Event::Flow(_))
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no log format {0:?}: choose console, json, csv or jsonl")]
pub struct UnknownFormat(pub String);

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// An event that could not be written to memory; none of the formats has a reason to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// As JSON.
    #[error("the event cannot be written as JSON; please report this")]
    Json(#[from] serde_json::Error),
    /// As CSV.
    #[error("the event cannot be written as CSV; please report this")]
    Csv(#[from] csv::Error),
    /// As a line.
    #[error("the event cannot be written as a line; please report this")]
    Line(#[from] fmt::Error),
}

/// Writes events in one format.
pub struct Encoder {
    format: LogFormat,
    table: Table,
    header: Vec<u8>,
}

impl Encoder {
    /// For a format.
    pub fn new(format: LogFormat) -> Self {
        let mut header = Vec::new();
        match format {
            // Writing a record of plain strings to memory has nothing that can fail.
            LogFormat::Csv => Table::default().write(fields::csv_header(), &mut header).unwrap_or_default(),
            LogFormat::Json => header.extend_from_slice(b"[\n"),
            LogFormat::Console | LogFormat::Jsonl => {}
        }
        Self { format, table: Table::default(), header }
    }

    /// What a new file starts with.
    pub fn opening(&self) -> &[u8] {
        &self.header
    }

    /// What stands between two events.
    pub fn between(&self) -> &'static [u8] {
        if self.format == LogFormat::Json { b",\n" } else { b"" }
    }

    /// What a file ends with, after at least one event.
    pub fn closing(&self) -> &'static [u8] {
        if self.format == LogFormat::Json { b"\n]\n" } else { b"" }
    }

    /// Appends one event, its line end included. Nothing is appended for an event the format does not carry, nor on
    /// an error.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = match (self.format, event) {
            (LogFormat::Console, _) => console::write(event, out).map_err(EncodeError::from),
            (LogFormat::Json, _) => eve::write(event, out).map_err(EncodeError::from),
            (LogFormat::Jsonl, _) => eve::write(event, out).map(|()| out.push(b'\n')).map_err(EncodeError::from),
            (LogFormat::Csv, Event::Flow(row)) => {
                self.table.write(fields::csv_values(row), out).map_err(EncodeError::from)
            }
            (LogFormat::Csv, _) => Ok(()),
        };
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

/// Bytes a table keeps before it lets go of them.
const TABLE_KEEP_BYTES: usize = 256 * 1024;

/// Records as CSV. The writer of the csv crate owns its output and cannot be emptied, so it is replaced now and then.
struct Table {
    writer: csv::Writer<Vec<u8>>,
}

impl Default for Table {
    fn default() -> Self {
        let writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        Self { writer }
    }
}

impl Table {
    fn write<T: AsRef<[u8]>>(
        &mut self,
        record: impl IntoIterator<Item = T>,
        out: &mut Vec<u8>,
    ) -> Result<(), csv::Error> {
        let start = self.writer.get_ref().len();
        self.writer.write_record(record)?;
        self.writer.flush().map_err(csv::Error::from)?;
        out.extend_from_slice(self.writer.get_ref().get(start..).unwrap_or_default());
        if self.writer.get_ref().len() > TABLE_KEEP_BYTES {
            *self = Self::default();
        }
        Ok(())
    }
}
