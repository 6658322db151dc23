//! DNS queries and their responses: which message is new, how long an answer took.
//!
//! A message is known by conversation, id and content. At another interface within a short time it is the same message on
//! its way; at the same one it was sent again, and is a message of its own. Invariant: one look-up a message, in a table of
//! fixed size.

use std::time::Duration;

use hivewall_model::Timestamp;

use crate::conversation::{Conversation, Point, Side};
use crate::counters::{Count, Counts};
use crate::limits::{ANSWER_WAIT, PASSAGE};
use crate::table::Recent;

#[derive(Clone, Copy)]
struct Sight {
    side: Side,
    at: Point,
    time: Timestamp,
    content: u64,
}

#[derive(Clone, Copy, Default)]
struct Transaction {
    /// The latest query and the latest response.
    last: [Option<Sight>; 2],
    /// The query that is not answered yet: when, by whom, what for.
    asked: Option<(Timestamp, Side, Option<u64>)>,
}

/// A message, as far as matters here.
pub(crate) struct Sent {
    pub(crate) conversation: Conversation,
    pub(crate) side: Side,
    pub(crate) at: Point,
    pub(crate) time: Timestamp,
    pub(crate) id: u16,
    pub(crate) response: bool,
    /// Stands for the question.
    pub(crate) question: Option<u64>,
    /// Stands for all of the message; `None` over TCP, where the stream tells what was seen before.
    pub(crate) content: Option<u64>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was seen before, at another place.
    Again,
    /// It is new; a response took so long, where its query was seen.
    New(Option<Duration>),
}

/// Transactions of late.
pub(crate) struct Transactions {
    recent: Recent<(Conversation, u16), Transaction>,
}

impl Transactions {
    pub(crate) fn new(entries: usize) -> Self {
        Self { recent: Recent::new(entries) }
    }

    pub(crate) fn take(&mut self, sent: &Sent, counts: &mut Counts) -> Known {
        let key = (sent.conversation, sent.id);
        let Some(transaction) = self.recent.get(&key) else {
            let mut transaction = Transaction::default();
            transaction.note(sent);
            let gone = self.recent.insert(key, sent.time, transaction);
            let waited = gone.and_then(|gone| gone.asked).filter(|(asked, ..)| sent.time.since(*asked) < ANSWER_WAIT);
            if waited.is_some() {
                counts.add(Count::TableFull);
            }
            return Known::New(None);
        };
        if transaction.has_seen(sent) {
            return Known::Again;
        }
        let latency = transaction.note(sent);
        Known::New(latency)
    }
}

impl Transaction {
    fn has_seen(&self, sent: &Sent) -> bool {
        let [query, response] = self.last;
        let last = if sent.response { response } else { query };
        last.is_some_and(|last| {
            let apart = last.time.since(sent.time).max(sent.time.since(last.time));
            last.at != sent.at && last.side == sent.side && Some(last.content) == sent.content && apart <= PASSAGE
        })
    }

    fn note(&mut self, sent: &Sent) -> Option<Duration> {
        let sight = Sight { side: sent.side, at: sent.at, time: sent.time, content: sent.content.unwrap_or_default() };
        let [query, response] = &mut self.last;
        if !sent.response {
            *query = Some(sight);
            let open = self.asked.is_some_and(|(asked, side, question)| {
                side == sent.side && question == sent.question && sent.time.since(asked) < ANSWER_WAIT
            });
            // Sent again, it has been waited for since the first time.
            if !open {
                self.asked = Some((sent.time, sent.side, sent.question));
            }
            return None;
        }
        *response = Some(sight);
        let (asked, side, question) = self.asked?;
        let fits = side != sent.side && (sent.question.is_none() || question == sent.question);
        let latency = sent.time.since(asked);
        if !fits || latency > ANSWER_WAIT {
            return None;
        }
        self.asked = None;
        Some(latency)
    }
}
