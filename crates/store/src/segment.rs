//! Segments: closed flows as Parquet files, each written once and never changed.
//!
//! A segment stands under its number, whole or not at all: it is written under another name, made durable, then renamed.
//! Rows are in the order of their beginning; row groups carry the least and greatest time, so that a question about some
//! time opens few of them, and addresses stand in dictionaries, so that a question about one address reads a row group
//! only if the address is in it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Encoding, LogicalType, Repetition, TimeUnit, Type, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type as SchemaType, TypePtr};

use crate::batch::{Batch, NONE, gather};
use crate::columns::{ALL, COLUMNS, Col, Column, Kind};
use crate::error::StoreError;
use crate::pages;

/// Rows of a row group, at most.
pub(crate) const GROUP_ROWS: usize = 131_072;
/// Rows of a page, about: what is unpacked to show one row.
const PAGE_ROWS: usize = 8_192;
/// Dictionaries of this size are left in favour of plain values. Addresses of a row group never get there.
const DICTIONARY_BYTES_MAX: usize = 8 << 20;
/// Level of compression: the fastest. Higher ones were not measured.
const ZSTD_LEVEL: i32 = 1;
/// Ending of a segment's name.
pub(crate) const ENDING: &str = "parquet";

/// One segment on disk, as far as a question needs to know it before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its number: greater is later.
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) span: Span,
}

/// Times of the rows of a segment or row group, microseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first_start: i64,
    pub(crate) last_start: i64,
    pub(crate) first_end: i64,
    pub(crate) last_end: i64,
}

impl Span {
    fn joined(self, other: Self) -> Self {
        Self {
            first_start: self.first_start.min(other.first_start),
            last_start: self.last_start.max(other.last_start),
            first_end: self.first_end.min(other.first_end),
            last_end: self.last_end.max(other.last_end),
        }
    }
}

/// The path of a segment with a number.
pub(crate) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.{ENDING}"))
}

/// Makes a directory's entries durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| StoreError::Directory { path: path.to_path_buf(), source })
}

/// Writes a batch as the segment with a number; where that fails nothing of it stays.
pub(crate) fn write(directory: &Path, number: u64, batch: &Batch) -> Result<Segment, StoreError> {
    let path = path_of(directory, number);
    let temporary = path.with_extension("tmp");
    let written = write_as(&temporary, batch).and_then(|()| {
        std::fs::rename(&temporary, &path).map_err(|source| StoreError::File { path: path.clone(), source })?;
        sync_directory(directory)
    });
    if let Err(error) = written {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
        // Renamed, but not known to be durable: the journal goes on growing, and a segment with its number would hide
        // that.
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Segment::open(number, path)
}

fn write_as(path: &Path, batch: &Batch) -> Result<(), StoreError> {
    let at = |source| StoreError::File { path: path.to_path_buf(), source };
    let file = File::create(path).map_err(at)?;
    let mut out = BufWriter::with_capacity(1 << 18, &file);
    write_to(&mut out, batch, &batch.order_by_start())
        .map_err(|source| StoreError::Segment { path: path.to_path_buf(), source })?;
    out.into_inner().map_err(|error| at(error.into_error()))?;
    file.sync_all().map_err(at)
}

/// Writes rows of a batch as a Parquet file.
pub(crate) fn write_to<W: io::Write + Send>(out: W, batch: &Batch, rows: &[u32]) -> Result<(), ParquetError> {
    let mut writer = SerializedFileWriter::new(out, schema()?, Arc::new(properties()?))?;
    for rows in rows.chunks(GROUP_ROWS) {
        write_group(&mut writer, batch, rows)?;
    }
    writer.close().map(drop)
}

/// Appends a row group.
pub(crate) fn write_group<W: io::Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    batch: &Batch,
    rows: &[u32],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for col in ALL {
        write_column(&mut group, batch, *col, rows)?;
    }
    group.close().map(drop)
}

fn write_column<W: io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    batch: &Batch,
    col: Col,
    rows: &[u32],
) -> Result<(), ParquetError> {
    let mut values = gather(batch.column(col), rows);
    if values.is_empty() {
        values.resize(rows.len(), NONE);
    }
    let column = col.column();
    match column.kind {
        Kind::Time | Kind::Wide => write_values::<Int64Type, W>(group, column, &values, |value| value),
        Kind::Narrow => write_values::<Int32Type, W>(group, column, &values, |value| value as i32),
        Kind::Flag => write_values::<BoolType, W>(group, column, &values, |value| value != 0),
        Kind::Word(words) => {
            let texts: Vec<ByteArray> = words.iter().map(|word| ByteArray::from(*word)).collect();
            write_texts(group, column, &values, &texts)
        }
        Kind::Text => {
            let texts = batch.texts(col).iter().map(|text| ByteArray::from(text.as_bytes().to_vec()));
            write_texts(group, column, &values, &texts.collect::<Vec<_>>())
        }
        Kind::Address => {
            let texts = batch.addresses(col).iter().map(|address| ByteArray::from(address.to_string().into_bytes()));
            write_texts(group, column, &values, &texts.collect::<Vec<_>>())
        }
    }
}

fn write_texts<W: io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column,
    places: &[i64],
    texts: &[ByteArray],
) -> Result<(), ParquetError> {
    let empty = ByteArray::from("");
    let text = |place: i64| usize::try_from(place).ok().and_then(|place| texts.get(place)).unwrap_or(&empty).clone();
    write_values::<ByteArrayType, W>(group, column, places, text)
}

fn write_values<T: DataType, W: io::Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column,
    values: &[i64],
    convert: impl Fn(i64) -> T::T,
) -> Result<(), ParquetError> {
    let mut writer = group.next_column()?.ok_or_else(|| ParquetError::General("too few columns".to_owned()))?;
    if column.optional {
        let levels: Vec<i16> = values.iter().map(|value| i16::from(*value != NONE)).collect();
        let present: Vec<T::T> = values.iter().filter(|value| **value != NONE).map(|value| convert(*value)).collect();
        writer.typed::<T>().write_batch(&present, Some(&levels), None)?;
    } else {
        let present: Vec<T::T> = values.iter().map(|value| convert(if *value == NONE { 0 } else { *value })).collect();
        writer.typed::<T>().write_batch(&present, None, None)?;
    }
    writer.close()
}

/// The schema that every segment has.
pub(crate) fn schema() -> Result<TypePtr, ParquetError> {
    let fields = COLUMNS.iter().map(|column| {
        let (physical, logical) = match column.kind {
            Kind::Time => (Type::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Kind::Wide => (Type::INT64, None),
            Kind::Narrow => (Type::INT32, None),
            Kind::Flag => (Type::BOOLEAN, None),
            Kind::Word(_) | Kind::Text | Kind::Address => (Type::BYTE_ARRAY, Some(LogicalType::String)),
        };
        SchemaType::primitive_type_builder(column.name, physical)
            .with_repetition(if column.optional { Repetition::OPTIONAL } else { Repetition::REQUIRED })
            .with_converted_type(ConvertedType::NONE)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    SchemaType::group_type_builder("flow").with_fields(fields).build().map(Arc::new)
}

/// How columns are packed. Chosen by what the values are like; other encodings were not measured against these.
pub(crate) fn properties() -> Result<WriterProperties, ParquetError> {
    let docs = COLUMNS.iter().map(|column| KeyValue::new(format!("column:{}", column.name), column.doc.to_owned()));
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("hivewall ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_key_value_metadata(Some(docs.collect()));
    for col in ALL {
        let path = ColumnPath::from(col.column().name);
        if matches!(col, Col::Start | Col::End) {
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk);
        }
        if let Some(encoding) = encoding(*col) {
            properties =
                properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
        }
    }
    Ok(properties.build())
}

/// The encoding of columns of which nearly every value is another, so that a dictionary would be as long as the column.
fn encoding(col: Col) -> Option<Encoding> {
    match col {
        Col::FlowId | Col::Start | Col::End => Some(Encoding::DELTA_BINARY_PACKED),
        Col::SourcePort
        | Col::HandshakeServer
        | Col::HandshakeClient
        | Col::ServerResponse
        | Col::RoundTrip
        | Col::Jitter
        | Col::SmoothedRtt
        | Col::RttDeviation => Some(Encoding::BYTE_STREAM_SPLIT),
        _ => None,
    }
}

impl Segment {
    /// Reads a segment's foot.
    pub(crate) fn open(number: u64, path: PathBuf) -> Result<Self, StoreError> {
        let reader = SegmentReader::open(&path)?;
        let spans = (0..reader.groups()).filter_map(|group| reader.span(group));
        let Some(span) = spans.reduce(Span::joined) else {
            let source = ParquetError::General("no times in its foot".to_owned());
            return Err(StoreError::Segment { path, source });
        };
        let rows = (0..reader.groups()).map(|group| reader.rows(group) as u64).sum();
        Ok(Self { number, rows, bytes: reader.bytes, span, path })
    }
}

/// An open segment.
pub(crate) struct SegmentReader {
    path: PathBuf,
    bytes: u64,
    reader: SerializedFileReader<File>,
    /// Place of each column in this file; older files have fewer.
    places: Vec<Option<usize>>,
}

impl SegmentReader {
    /// Opens it and reads its foot.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let at = |source| StoreError::File { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(at)?;
        let bytes = file.metadata().map_err(at)?.len();
        let reader = SerializedFileReader::new(file)
            .map_err(|source| StoreError::Segment { path: path.to_path_buf(), source })?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let place = |column: &Column| schema.columns().iter().position(|known| known.name() == column.name);
        let places = COLUMNS.iter().map(place).collect();
        Ok(Self { path: path.to_path_buf(), bytes, reader, places })
    }

    /// Row groups.
    pub(crate) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Rows of a row group.
    pub(crate) fn rows(&self, group: usize) -> usize {
        self.reader.metadata().row_groups().get(group).map_or(0, |group| group.num_rows().max(0) as usize)
    }

    /// Times of a row group's rows.
    pub(crate) fn span(&self, group: usize) -> Option<Span> {
        let group = self.reader.metadata().row_groups().get(group)?;
        let range = |col: Col| {
            let place = (*self.places.get(col as usize)?)?;
            match group.columns().get(place)?.statistics()? {
                Statistics::Int64(range) => Some((*range.min_opt()?, *range.max_opt()?)),
                _ => None,
            }
        };
        let ((first_start, last_start), (first_end, last_end)) = (range(Col::Start)?, range(Col::End)?);
        Some(Span { first_start, last_start, first_end, last_end })
    }

    /// Loads columns of a row group.
    pub(crate) fn load(&self, group: usize, cols: &[Col]) -> Result<Batch, StoreError> {
        let mut batch = Batch::new();
        self.load_into(&mut batch, group, cols)?;
        Ok(batch)
    }

    /// Loads further columns of the same row group.
    pub(crate) fn load_into(&self, batch: &mut Batch, group: usize, cols: &[Col]) -> Result<(), StoreError> {
        cols.iter()
            .try_for_each(|col| self.column(batch, group, *col, None))
            .map_err(|source| StoreError::Segment { path: self.path.clone(), source })
    }

    /// Loads every column of some rows, given in ascending order; pages without one of them stay packed.
    pub(crate) fn load_rows(&self, group: usize, rows: &[u32]) -> Result<Batch, StoreError> {
        let mut batch = Batch::new();
        ALL.iter()
            .try_for_each(|col| self.column(&mut batch, group, *col, Some(rows)))
            .map_err(|source| StoreError::Segment { path: self.path.clone(), source })?;
        Ok(batch)
    }

    /// The addresses that a column of a row group holds, or `None` where only reading it would tell.
    pub(crate) fn address_dictionary(&self, group: usize, col: Col) -> Result<Option<Vec<Box<[u8]>>>, StoreError> {
        let read = || {
            let Some(place) = self.places.get(col as usize).copied().flatten() else { return Ok(None) };
            let values = pages::dictionary(self.reader.get_row_group(group)?.get_column_page_reader(place)?)?;
            // A dictionary that was left when it got too large does not know every value.
            let bytes = |values: &Vec<Box<[u8]>>| values.iter().map(|value| value.len() + 4).sum::<usize>();
            Ok(values.filter(|values| bytes(values) < DICTIONARY_BYTES_MAX))
        };
        read().map_err(|source| StoreError::Segment { path: self.path.clone(), source })
    }

    fn column(&self, batch: &mut Batch, group: usize, col: Col, wanted: Option<&[u32]>) -> Result<(), ParquetError> {
        let Some(place) = self.places.get(col as usize).copied().flatten() else { return Ok(()) };
        let column = col.column();
        if column.kind.is_text() {
            let pages = self.reader.get_row_group(group)?.get_column_page_reader(place)?;
            let asked = |from: usize, to: usize| {
                wanted.is_none_or(|rows| {
                    let first = rows.partition_point(|row| (*row as usize) < from);
                    rows.get(first).is_some_and(|row| (*row as usize) < to)
                })
            };
            let mut text = pages::read(pages, column.optional, &asked)?;
            if let Some(rows) = wanted {
                text.places = gather(&text.places, rows);
            }
            return set_text(batch, col, text);
        }
        let runs = Runs { all: self.rows(group), wanted };
        let reader = self.reader.get_row_group(group)?.get_column_reader(place)?;
        let values = match column.kind {
            Kind::Time | Kind::Wide => read_values::<Int64Type>(reader, column, &runs, |value| *value),
            Kind::Narrow => read_values::<Int32Type>(reader, column, &runs, |value| i64::from(*value)),
            _ => read_values::<BoolType>(reader, column, &runs, |value| i64::from(*value)),
        }?;
        batch.set_column(col, values);
        Ok(())
    }
}

/// Rows to read, as runs of neighbours.
struct Runs<'a> {
    all: usize,
    wanted: Option<&'a [u32]>,
}

impl Runs<'_> {
    /// (rows to pass over, rows to read), one after the other.
    fn each(&self) -> Vec<(usize, usize)> {
        let Some(wanted) = self.wanted else { return vec![(0, self.all)] };
        let mut runs: Vec<(usize, usize)> = Vec::new();
        let mut at = 0;
        for row in wanted.iter().map(|row| *row as usize) {
            match runs.last_mut() {
                Some((_, rows)) if row == at => *rows += 1,
                _ => runs.push((row.saturating_sub(at), 1)),
            }
            at = row + 1;
        }
        runs
    }
}

fn read_values<T: DataType>(
    reader: parquet::column::reader::ColumnReader,
    column: &Column,
    runs: &Runs<'_>,
    convert: impl Fn(&T::T) -> i64,
) -> Result<Vec<i64>, ParquetError> {
    let mut reader = parquet::column::reader::get_typed_column_reader::<T>(reader);
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for (over, rows) in runs.each() {
        reader.skip_records(over)?;
        let mut left = rows;
        while left > 0 {
            let levels = column.optional.then_some(&mut levels);
            let (read, _, _) = reader.read_records(left, levels, None, &mut values)?;
            if read == 0 {
                return Err(ParquetError::EOF(format!("column {} is short", column.name)));
            }
            left -= read;
        }
    }
    if !column.optional {
        return Ok(values.iter().map(convert).collect());
    }
    let mut present = values.iter();
    let value = |level: i16| if level == 0 { NONE } else { present.next().map_or(NONE, &convert) };
    Ok(levels.into_iter().map(value).collect())
}

fn set_text(batch: &mut Batch, col: Col, text: pages::TextColumn) -> Result<(), ParquetError> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match col.column().kind {
        Kind::Word(words) => {
            let word = |bytes: &[u8]| words.iter().position(|word| word.as_bytes() == bytes);
            let places: Vec<i64> =
                text.values.iter().map(|bytes| word(bytes).map_or(NONE, |place| place as i64)).collect();
            let place = |at: &i64| usize::try_from(*at).ok().and_then(|at| places.get(at)).copied().unwrap_or(NONE);
            batch.set_column(col, text.places.iter().map(place).collect());
        }
        Kind::Address => {
            let address = |bytes: &[u8]| {
                let shown = shown(bytes);
                shown.parse().map_err(|_| ParquetError::General(format!("`{shown}` is no address")))
            };
            batch.set_addresses(col, text.values.iter().map(|bytes| address(bytes)).collect::<Result<_, _>>()?);
            batch.set_column(col, text.places);
        }
        _ => {
            batch.set_texts(col, text.values.iter().map(|bytes| shown(bytes).into()).collect());
            batch.set_column(col, text.places);
        }
    }
    Ok(())
}
