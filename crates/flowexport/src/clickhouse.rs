//! ClickHouse over its HTTP interface: batches of rows as `INSERT … FORMAT JSONEachRow`, each with a token, so that a batch
//! that is sent again because its answer was lost is not inserted twice.
//!
//! Invariant: a row is given up only when the table refuses it alone and has taken others since the start; a table that
//! refuses everything is a mistake for the operator to mend, and the rows wait.

use std::path::PathBuf;
use std::time::Duration;

use hivewall_outbound::{Client, ClientError, Credentials, HttpOptions, Reason};

use crate::durable::{Delivered, Delivery, Numbered};
use crate::id::id_of;

/// Rows of a request.
const BATCH: usize = 5_000;

/// How long a smaller batch waits: ClickHouse likes few large inserts.
const LINGER: Duration = Duration::from_secs(1);

/// For a whole request, from the look-up to the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Codes of errors that lie in a row (ClickHouse, ErrorCodes.cpp): cannot parse text, escape sequence, quoted string,
/// input, date, date and time, number, UUID, IPv4, IPv6; type mismatch, unknown field, incorrect data, value out of range.
const ROW_ERRORS: &[u32] = &[6, 25, 26, 27, 38, 41, 53, 69, 72, 117, 130, 321, 376, 675, 676];

/// Of servers too old for the token: a setting that they do not know, a statement that they cannot read.
const TOO_OLD: &[u32] = &[115, 62];

pub(crate) struct ClickHouse {
    client: Client,
    /// Database and table, checked to be plain names.
    table: String,
    /// Rows of the next request; fewer while a bad one is looked for.
    size: usize,
    has_taken: bool,
    /// Whether the server knows the token.
    tokens: bool,
}

enum Answer {
    Fine,
    /// A code of ClickHouse, 0 where there is none, and what was said.
    Refused(u32, String),
}

impl ClickHouse {
    pub(crate) fn new(
        url: &str,
        table: String,
        credentials: Option<Credentials>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, ClientError> {
        // A table may lack columns that a row has.
        let url = format!("{url}?input_format_skip_unknown_fields=1");
        let client = Client::new(&url, &HttpOptions { timeout: TIMEOUT, ca_file, credentials })?;
        Ok(Self { client, table, size: BATCH, has_taken: false, tokens: true })
    }

    fn insert(&self, items: &[Numbered]) -> (Answer, u64) {
        let token = || format!(" SETTINGS insert_deduplication_token='{}'", id_of(items.iter()));
        let settings = if self.tokens { token() } else { String::new() };
        let mut body = format!("INSERT INTO {}{settings} FORMAT JSONEachRow\n", self.table).into_bytes();
        for (_, row) in items {
            body.extend_from_slice(row);
            body.push(b'\n');
        }
        let answer = match self.client.post("text/plain", &[], &body) {
            // An error after the head was sent stands in the body.
            Ok(answer) if answer.judge().is_ok() && !answer.body.starts_with(b"Code:") => Answer::Fine,
            Ok(answer) => {
                let said = String::from_utf8_lossy(&answer.body);
                let code =
                    said.strip_prefix("Code: ").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
                let code = code.and_then(|code| code.parse().ok()).unwrap_or(0);
                Answer::Refused(code, answer.failure(Reason::Refused, false).text)
            }
            Err(failure) => Answer::Refused(0, failure.text),
        };
        (answer, body.len() as u64)
    }
}

impl Delivery for ClickHouse {
    fn deliver(&mut self, items: &[Numbered]) -> Delivered {
        let items = items.get(..self.size.min(items.len())).unwrap_or(items);
        let (answer, bytes) = self.insert(items);
        match answer {
            Answer::Fine => {
                self.has_taken = true;
                self.size = (self.size * 2).min(BATCH);
                Delivered { done: items.len(), messages: 1, bytes, ..Delivered::default() }
            }
            Answer::Refused(code, _) if TOO_OLD.contains(&code) && self.tokens => {
                tracing::warn!(
                    "this ClickHouse knows no insert_deduplication_token: a batch whose answer is lost may be inserted twice"
                );
                self.tokens = false;
                Delivered::default()
            }
            Answer::Refused(code, _) if ROW_ERRORS.contains(&code) && items.len() > 1 => {
                self.size = items.len() / 2;
                Delivered::default()
            }
            Answer::Refused(code, error) if ROW_ERRORS.contains(&code) && self.has_taken => {
                tracing::warn!(error, "ClickHouse refuses a row, which is given up");
                self.size = BATCH;
                Delivered { done: 1, rejected: 1, ..Delivered::default() }
            }
            Answer::Refused(_, error) => Delivered { error: Some(error), ..Delivered::default() },
        }
    }

    fn batch(&self) -> usize {
        self.size
    }

    fn linger(&self) -> Duration {
        LINGER
    }
}
