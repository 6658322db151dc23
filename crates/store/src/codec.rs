//! Rows of a batch as bytes for the journal, and back.
//!
//! A frame holds rows column by column: for each, the texts that are new to its dictionary, then its values as
//! variable-length numbers (0 is none, else the zigzag number and one), or a mark that there are none. Frames are read in
//! the order they were written, since each builds on the dictionaries of those before. Whatever bytes come, reading ends in
//! an error and not in a panic.

use std::net::IpAddr;

use crate::batch::{Batch, NONE};
use crate::columns::{ALL, Col, Kind};

/// Rows that a frame can hold; a greater number in a frame is damage.
const FRAME_ROWS_MAX: u64 = 1 << 24;

/// How much of a batch is written: rows, and entries of each dictionary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) rows: usize,
    entries: Vec<usize>,
}

impl Written {
    /// All of `batch`.
    pub(crate) fn all(batch: &Batch) -> Self {
        Self { rows: batch.len(), entries: ALL.iter().map(|col| entries(batch, *col)).collect() }
    }
}

fn entries(batch: &Batch, col: Col) -> usize {
    batch.texts(col).len() + batch.addresses(col).len()
}

/// Appends what of `batch` is not in `written` to `out`.
pub(crate) fn encode(batch: &Batch, written: &Written, out: &mut Vec<u8>) {
    put_number(out, (batch.len() - written.rows) as u64);
    for (place, col) in ALL.iter().enumerate() {
        let known = written.entries.get(place).copied().unwrap_or(0);
        match col.column().kind {
            Kind::Text => {
                let new = batch.texts(*col).get(known..).unwrap_or_default();
                put_number(out, new.len() as u64);
                for text in new {
                    put_number(out, text.len() as u64);
                    out.extend_from_slice(text.as_bytes());
                }
            }
            Kind::Address => {
                let new = batch.addresses(*col).get(known..).unwrap_or_default();
                put_number(out, new.len() as u64);
                for address in new {
                    put_address(out, *address);
                }
            }
            _ => {}
        }
        let values = batch.column(*col).get(written.rows..).unwrap_or_default();
        if values.iter().all(|value| *value == NONE) {
            out.push(0);
            continue;
        }
        out.push(1);
        for value in values {
            put_number(out, if *value == NONE { 0 } else { zigzag(*value).wrapping_add(1) });
        }
    }
}

/// Reads one frame's payload into `batch`; `None` for what no [`encode`] wrote, and then `batch` is as it was but for
/// entries of dictionaries that no row uses. `columns` is how many the writer knew.
pub(crate) fn decode(batch: &mut Batch, columns: usize, bytes: &[u8]) -> Option<()> {
    let mut bytes = Bytes(bytes);
    let rows = bytes.number().filter(|rows| *rows <= FRAME_ROWS_MAX)? as usize;
    let mut read = vec![Vec::new(); ALL.len()];
    for (col, values) in ALL.iter().zip(&mut read).take(columns) {
        read_entries(batch, *col, &mut bytes)?;
        if bytes.byte()? == 0 {
            continue;
        }
        // A row takes a byte at least, so damage cannot ask for more memory than it has bytes.
        values.reserve(rows.min(bytes.0.len()));
        let limit = entries(batch, *col);
        let placed = matches!(col.column().kind, Kind::Text | Kind::Address);
        for _ in 0..rows {
            let value = match bytes.number()? {
                0 => NONE,
                number => unzigzag(number.wrapping_sub(1)),
            };
            if placed && value != NONE && usize::try_from(value).ok().is_none_or(|place| place >= limit) {
                return None;
            }
            values.push(value);
        }
    }
    if !bytes.0.is_empty() {
        return None;
    }
    batch.extend(rows, read);
    Some(())
}

fn read_entries(batch: &mut Batch, col: Col, bytes: &mut Bytes<'_>) -> Option<()> {
    match col.column().kind {
        Kind::Text => {
            for _ in 0..bytes.number()? {
                let len = usize::try_from(bytes.number()?).ok()?;
                batch.text_place(col, std::str::from_utf8(bytes.take(len)?).ok()?);
            }
        }
        Kind::Address => {
            for _ in 0..bytes.number()? {
                let address = bytes.address()?;
                batch.address_place(col, address);
            }
        }
        _ => {}
    }
    Some(())
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// LEB128.
pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            out.push(6);
            out.extend_from_slice(&v6.octets());
        }
    }
}

/// Bytes that are read from the front.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    /// One byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// LEB128, at most 64 bits.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// So many bytes.
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn address(&mut self) -> Option<IpAddr> {
        match self.byte()? {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(self.take(4)?).ok()?)),
            6 => Some(IpAddr::from(<[u8; 16]>::try_from(self.take(16)?).ok()?)),
            _ => None,
        }
    }
}
