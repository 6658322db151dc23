//! Exports: matching flows as Parquet, CSV or JSON lines, in the order of the history.

use std::io::{self, Write};
use std::sync::Arc;

use hivewall_view::fields::{csv_header, csv_line, csv_values};
use hivewall_view::query::ExportFormat;
use hivewall_view::{FlowRow, Query};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use crate::decode::Decoder;
use crate::error::StoreError;
use crate::flows::each_match;
use crate::kept::Shared;
use crate::scan::Deadline;
use crate::segment;

/// Writes the flows that match; limit, offset and order of the query do not count. Says how many there were.
pub(crate) fn export(
    shared: &Shared,
    query: &Query,
    format: ExportFormat,
    out: &mut (dyn Write + Send),
    deadline: Deadline,
) -> Result<u64, StoreError> {
    match format {
        ExportFormat::Parquet => export_parquet(shared, query, out, deadline),
        ExportFormat::Csv => export_csv(shared, query, out, deadline),
        ExportFormat::Jsonl => export_rows(shared, query, deadline, &mut |row| {
            serde_json::to_writer(&mut *out, row).map_err(io::Error::from)?;
            out.write_all(b"\n")
        }),
    }
}

fn export_parquet(
    shared: &Shared,
    query: &Query,
    out: &mut (dyn Write + Send),
    deadline: Deadline,
) -> Result<u64, StoreError> {
    let failed = |error: ParquetError| StoreError::Export(io::Error::other(error));
    let (schema, properties) = (segment::schema().map_err(failed)?, segment::properties().map_err(failed)?);
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(failed)?;
    let mut count = 0;
    each_match(shared, query, deadline, &mut |batch, rows| {
        count += rows.len() as u64;
        rows.chunks(segment::GROUP_ROWS)
            .try_for_each(|rows| segment::write_group(&mut writer, batch, rows))
            .map_err(failed)
    })?;
    writer.close().map_err(failed)?;
    Ok(count)
}

fn export_csv(
    shared: &Shared,
    query: &Query,
    out: &mut (dyn Write + Send),
    deadline: Deadline,
) -> Result<u64, StoreError> {
    out.write_all(csv_line(csv_header()).as_bytes()).map_err(StoreError::Export)?;
    export_rows(shared, query, deadline, &mut |row| out.write_all(csv_line(csv_values(row)).as_bytes()))
}

fn export_rows(
    shared: &Shared,
    query: &Query,
    deadline: Deadline,
    write: &mut dyn FnMut(&FlowRow) -> io::Result<()>,
) -> Result<u64, StoreError> {
    let mut count = 0;
    each_match(shared, query, deadline, &mut |batch, rows| {
        let decoder = Decoder::new(batch);
        count += rows.len() as u64;
        rows.iter().try_for_each(|row| write(&decoder.row(*row as usize)).map_err(StoreError::Export))
    })?;
    Ok(count)
}
