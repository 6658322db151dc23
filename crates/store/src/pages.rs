//! Columns of text straight from Parquet's pages: the dictionary once and a place for every row, where the general reader
//! would hand out a text for every row.
//!
//! Format: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>. Only what segments use: flat columns,
//! data pages of version 1, plain or dictionary encoding.

use hashbrown::HashMap;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};

use crate::batch::NONE;

/// A column of text: its values, each once, and for every row the place of its value or [`NONE`].
#[derive(Debug, Default)]
pub(crate) struct TextColumn {
    pub(crate) values: Vec<Box<[u8]>>,
    pub(crate) places: Vec<i64>,
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(format!("damaged page: {what}"))
}

/// Reads the column's dictionary alone; `None` when there is none, or when some pages do without it.
pub(crate) fn dictionary(mut pages: Box<dyn PageReader>) -> Result<Option<Vec<Box<[u8]>>>> {
    match pages.get_next_page()? {
        Some(Page::DictionaryPage { buf, num_values, .. }) => Ok(Some(plain(&buf, num_values as usize)?)),
        _ => Ok(None),
    }
}

/// Reads a column of one row group. Pages without a row that `wanted` holds for are passed over; their rows have no
/// value. `wanted` is asked for ranges of rows.
pub(crate) fn read(
    mut pages: Box<dyn PageReader>,
    optional: bool,
    wanted: &dyn Fn(usize, usize) -> bool,
) -> Result<TextColumn> {
    let mut column = TextColumn::default();
    let mut known: HashMap<Box<[u8]>, i64> = HashMap::new();
    loop {
        if let Some(rows) = pages.peek_next_page()?.filter(|page| !page.is_dict).and_then(|page| page.num_levels) {
            let end = column.places.len() + rows;
            if !wanted(column.places.len(), end) {
                pages.skip_next_page()?;
                column.places.resize(end, NONE);
                continue;
            }
        }
        let Some(page) = pages.get_next_page()? else { return Ok(column) };
        match page {
            Page::DictionaryPage { buf, num_values, .. } => column.values = plain(&buf, num_values as usize)?,
            Page::DataPage { buf, num_values, encoding, .. } => {
                let rows = num_values as usize;
                let (levels, data) = if optional { levels(&buf, rows)? } else { (None, &buf[..]) };
                let present = levels.as_ref().map_or(rows, |levels| levels.iter().filter(|level| **level != 0).count());
                let places = match encoding {
                    Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY => {
                        let (width, data) = data.split_first().ok_or_else(|| damaged("no bit width"))?;
                        let mut places = Vec::with_capacity(present);
                        hybrid(data, u32::from(*width), present, &mut places)?;
                        if places.iter().any(|place| *place as usize >= column.values.len()) {
                            return Err(damaged("a place beyond the dictionary"));
                        }
                        places
                    }
                    Encoding::PLAIN => {
                        let mut places = Vec::with_capacity(present);
                        for value in plain(data, present)? {
                            let next = column.values.len() as i64;
                            let place = *known.entry(value.clone()).or_insert(next);
                            if place == next {
                                column.values.push(value);
                            }
                            places.push(place);
                        }
                        places
                    }
                    other => return Err(ParquetError::NYI(format!("text in encoding {other}"))),
                };
                spread(levels.as_deref(), places, &mut column.places);
            }
            Page::DataPageV2 { .. } => return Err(ParquetError::NYI("data pages of version 2".to_owned())),
        }
    }
}

/// Appends `values` to `rows`, with [`NONE`] for every level of 0.
fn spread(levels: Option<&[i64]>, mut values: Vec<i64>, rows: &mut Vec<i64>) {
    let Some(levels) = levels else {
        rows.append(&mut values);
        return;
    };
    let mut values = values.into_iter();
    rows.extend(levels.iter().map(|level| if *level == 0 { NONE } else { values.next().unwrap_or(NONE) }));
}

/// Definition levels of at most 1, and what follows them.
fn levels(buf: &[u8], rows: usize) -> Result<(Option<Vec<i64>>, &[u8])> {
    let (len, rest) = buf.split_first_chunk::<4>().ok_or_else(|| damaged("no levels"))?;
    let (data, rest) =
        rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(|| damaged("levels too long"))?;
    let mut levels = Vec::with_capacity(rows);
    hybrid(data, 1, rows, &mut levels)?;
    Ok((Some(levels), rest))
}

/// Values that stand one after the other, each behind its length.
fn plain(mut bytes: &[u8], count: usize) -> Result<Vec<Box<[u8]>>> {
    let mut values = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("a text without a length"))?;
        let (value, rest) =
            rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(|| damaged("a text too long"))?;
        values.push(value.into());
        bytes = rest;
    }
    Ok(values)
}

/// The hybrid of runs and packed groups of eight, `width` bits a value.
fn hybrid(mut bytes: &[u8], width: u32, count: usize, out: &mut Vec<i64>) -> Result<()> {
    if width > 32 {
        return Err(damaged("values too wide"));
    }
    let end = out.len() + count;
    while out.len() < end {
        let head = uleb(&mut bytes).ok_or_else(|| damaged("a run without a head"))?;
        let left = end - out.len();
        if head & 1 == 0 {
            let value_bytes = width.div_ceil(8) as usize;
            let (value, rest) = bytes.split_at_checked(value_bytes).ok_or_else(|| damaged("a run without a value"))?;
            let value = value.iter().rev().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
            let run = usize::try_from(head >> 1).unwrap_or(usize::MAX).min(left);
            if run == 0 {
                return Err(damaged("an empty run"));
            }
            out.resize(out.len() + run, value);
            bytes = rest;
        } else {
            let groups = usize::try_from(head >> 1).unwrap_or(usize::MAX);
            let packed = groups.saturating_mul(width as usize).min(bytes.len());
            let (data, rest) = bytes.split_at(packed);
            let values = groups.saturating_mul(8).min(left);
            if values == 0 || (data.len() as u64) * 8 < values as u64 * u64::from(width) {
                return Err(damaged("a packed group cut short"));
            }
            unpack(data, width, values, out);
            bytes = rest;
        }
    }
    Ok(())
}

/// Values of `width` bits, lowest bits first.
fn unpack(data: &[u8], width: u32, count: usize, out: &mut Vec<i64>) {
    if width == 0 {
        out.resize(out.len() + count, 0);
        return;
    }
    let mask = (1_u64 << width) - 1;
    let (mut held, mut bits) = (0_u64, 0_u32);
    let mut bytes = data.iter();
    out.extend((0..count).map(|_| {
        while bits < width {
            held |= u64::from(bytes.next().copied().unwrap_or(0)) << bits;
            bits += 8;
        }
        let value = held & mask;
        held >>= width;
        bits -= width;
        value as i64
    }));
}

fn uleb(bytes: &mut &[u8]) -> Option<u64> {
    let mut reader = crate::codec::Bytes(bytes);
    let value = reader.number()?;
    *bytes = reader.0;
    Some(value)
}
