//! A report over a log that this program (`run`, `replay`, `flows`), or Suricata, wrote: who moved what and when, what
//! was refused, who scans, what was asked for.
//!
//! The log is read once, from front to back, and never kept: memory is bounded by the limits of `tally`, whatever the
//! log's size. Invariant: every line is in the report, as an event or as skipped for a named reason.
#![forbid(unsafe_code)]

mod console;
mod eve;
mod format;
mod objects;
mod record;
mod report;
mod rows;
mod tally;
mod text;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

pub use format::LogKind;
pub use report::{
    AlertRow, Count, HourRow, NewSource, Refused, Report, SCAN_HOSTS_MIN, SCAN_PORTS_MIN, Scan, ScanKind, Traffic,
    TrafficRow,
};
pub use text::render_report_text;

use format::Kind;
use tally::Tally;

/// Bytes between two reports of progress.
const PROGRESS_BYTES: u64 = 1 << 20;
/// A longer line, or one object of a document that is longer, is no event of any log.
const EVENT_BYTES_MAX: usize = 64 << 20;
/// Lines looked at to find out what a log is.
const LINES_LOOKED_AT_MAX: usize = 50;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyzeError {
    /// The file cannot be opened.
    #[error("{} cannot be opened; check its name and whether you may read it", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading failed.
    #[error("the log cannot be read to its end")]
    Read(#[from] io::Error),
    /// There is nothing in it.
    #[error("the log is empty; give the file that --log-file named")]
    Empty,
    /// It is no log that is known here.
    #[error(
        "this is no log of hivewall or Suricata (EVE lines, a JSON document, CSV, rows of `flows`, console lines); \
         captures are read by `hivewall replay`"
    )]
    Unknown,
}

/// The report over a file; `progress` is told now and then how many bytes were read.
pub fn analyze_file(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<Report, AnalyzeError> {
    let file = File::open(path).map_err(|source| AnalyzeError::Open { path: path.to_owned(), source })?;
    let mut report = analyze(BufReader::with_capacity(1 << 18, file), progress)?;
    report.file = path.display().to_string();
    Ok(report)
}

/// The report over what `log` gives.
pub fn analyze(log: impl BufRead, progress: &mut dyn FnMut(u64)) -> Result<Report, AnalyzeError> {
    let mut input = Input { log, read: 0, told: 0, progress };
    let head = input.head()?;
    let kind = format::detect(&head).ok_or(AnalyzeError::Unknown)?;
    let mut tally = Tally::new(kind.name());
    match kind {
        Kind::Csv => rows::read_csv(&head, &mut input, &mut tally)?,
        Kind::Objects => objects::read(&head, &mut input, &mut tally)?,
        Kind::Lines => input.each_line(&head, &mut |line| objects::line(line, &mut tally))?,
        Kind::Console => {
            let mut clock = console::Clock::default();
            input.each_line(&head, &mut |line| tally.take(console::read(line, &mut clock)))?;
        }
    }
    (input.progress)(input.read);
    let read = input.read;
    Ok(tally.finish(read))
}

/// The log, how much of it was read, and who wants to know.
struct Input<'a, R> {
    log: R,
    read: u64,
    told: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl<R: BufRead> Input<'_, R> {
    /// The first lines, with their ends: enough to tell what the log is.
    fn head(&mut self) -> Result<Vec<Vec<u8>>, AnalyzeError> {
        let mut head: Vec<Vec<u8>> = Vec::new();
        while head.len() < LINES_LOOKED_AT_MAX {
            let Some(line) = self.line()? else { break };
            head.push(line);
        }
        let blank = |line: &Vec<u8>| line.trim_ascii().is_empty();
        if head.iter().all(blank) { Err(AnalyzeError::Empty) } else { Ok(head) }
    }

    /// The next line with its end; `None` at the end of the log. What is too long for a line comes in pieces.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = io::Read::take(&mut self.log, EVENT_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        self.count(read);
        Ok((read > 0).then_some(line))
    }

    fn each_line(&mut self, head: &[Vec<u8>], each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        for line in head {
            each(line);
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut self.log, EVENT_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            self.count(read);
            each(&line);
        }
    }

    fn count(&mut self, bytes: usize) {
        self.read += bytes as u64;
        if self.read - self.told >= PROGRESS_BYTES {
            self.told = self.read;
            (self.progress)(self.read);
        }
    }
}

impl<R: BufRead> io::Read for Input<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.log.read(buffer)?;
        self.count(read);
        Ok(read)
    }
}
