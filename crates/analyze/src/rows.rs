//! Flow rows: of `flows -o jsonl` as JSON, of a CSV log by the names of its columns.

use std::io::{self, BufRead, Cursor, Read};

use hivewall_view::FlowRow;
use hivewall_view::time::parse_rfc3339;

use crate::Input;
use crate::record::{FlowRecord, Record, Refusal, Skip};
use crate::tally::Tally;

/// The flow of a row; a row that lives counts as well: it is what was asked for.
pub(crate) fn record(row: &FlowRow) -> Record {
    let flags = |picture: &Option<String>| {
        // nfdump's picture, `CEUAPRSF` with dots.
        picture.as_deref().unwrap_or_default().bytes().fold(0_u8, |bits, letter| bits << 1 | u8::from(letter != b'.'))
    };
    let (Ok(source), Ok(destination)) = (row.source_ip.parse(), row.dest_ip.parse()) else {
        return Record::Skipped(Skip::BadRow);
    };
    let tcp = row.tcp_flags_to_server.is_some();
    let (to_server, to_client) = (flags(&row.tcp_flags_to_server), flags(&row.tcp_flags_to_client));
    Record::Flow(Box::new(FlowRecord {
        start: parse_rfc3339(&row.start),
        end: parse_rfc3339(&row.end),
        protocol: row.protocol.clone(),
        source,
        destination,
        port: row.dest_port,
        bytes: row.bytes,
        packets: row.packets,
        ip_bytes: true,
        refusal: if row.verdict.as_deref().is_some_and(is_refusal) {
            Some(Refusal::Blocked)
        } else if tcp {
            Refusal::of_tcp(to_server, to_client, row.packets_to_client)
        } else {
            None
        },
        process: row.process.clone(),
        name: row.server_name.clone(),
        rule: row.rule.clone().filter(|_| row.verdict.as_deref().is_some_and(is_refusal)),
    }))
}

/// Whether a verdict is that packets are dropped.
pub(crate) fn is_refusal(verdict: &str) -> bool {
    matches!(verdict, "drop" | "reject")
}

/// Reads a table; columns are found by their names, so that one with fewer or more is read too.
pub(crate) fn read_csv<R: BufRead>(head: &[Vec<u8>], input: &mut Input<'_, R>, tally: &mut Tally) -> io::Result<()> {
    let all = Cursor::new(head.concat()).chain(input);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(all);
    let columns = reader.byte_headers().map_err(io::Error::from)?.clone();
    let mut record = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {
                let row = row(&columns, &record);
                tally.take(row.map_or(Record::Skipped(Skip::BadRow), |row| self::record(&row)));
            }
            Ok(false) => return Ok(()),
            Err(error) if error.is_io_error() => return Err(io::Error::from(error)),
            Err(_) => tally.take(Record::Skipped(Skip::BadRow)),
        }
    }
}

/// The columns that a report needs, as a row.
fn row(columns: &csv::ByteRecord, record: &csv::ByteRecord) -> Option<FlowRow> {
    if record.len() != columns.len() {
        return None;
    }
    let mut row = FlowRow::default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| text(bytes));
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    for (column, value) in columns.iter().zip(record) {
        match column {
            b"start" => row.start = text(value),
            b"end" => row.end = text(value),
            b"protocol" => row.protocol = text(value),
            b"source_ip" => row.source_ip = text(value),
            b"dest_ip" => row.dest_ip = text(value),
            b"dest_port" if !value.is_empty() => row.dest_port = Some(u16::try_from(number(value)?).ok()?),
            b"bytes" => row.bytes = number(value)?,
            b"packets" => row.packets = number(value)?,
            b"packets_to_client" => row.packets_to_client = number(value)?,
            b"tcp_flags_to_server" => row.tcp_flags_to_server = some(value),
            b"tcp_flags_to_client" => row.tcp_flags_to_client = some(value),
            b"process" => row.process = some(value),
            b"verdict" => row.verdict = some(value),
            b"rule" => row.rule = some(value),
            b"server_name" => row.server_name = some(value),
            _ => {}
        }
    }
    Some(row)
}
