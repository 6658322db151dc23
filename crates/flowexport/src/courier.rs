//! The thread of one target without acknowledgements: takes from its queue, encodes, sends, and waits while it cannot.
//!
//! What is not yet sent stays in the queue, which is bounded, while the receiver is away. What was sent on a connection
//! that broke within [`UNSURE`] is sent again on the next one: nobody said that it arrived. Invariant: an item is counted
//! as sent when its message is first handed to the system (a datagram: and
//! was not refused at once), as lost when it never will be.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hivewall_model::Timestamp;
use nix::errno::Errno;

use crate::counters::{Counters, LossReason};
use crate::link::{LOOK_UP_EVERY, Link, Place};
use crate::message::{Encoder, Message, NotCarried};
use crate::queue::Queue;
use crate::rest::Rest;

/// How long records wait for others to fill their message.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// What was sent this short before a stream broke is sent again.
const UNSURE: Duration = Duration::from_secs(5);

/// And at most so much of it, bytes.
const UNSURE_BYTES_MAX: usize = 1 << 20;

/// A UDP socket that was refused tells it within this.
const REFUSED_WITHIN: Duration = Duration::from_millis(200);

/// Datagrams in a row, and the pause after them: what a collector's socket holds by default is about a hundred.
const BURST: usize = 32;
const BURST_PAUSE: Duration = Duration::from_millis(4);

/// Messages that are encoded ahead.
const OUTBOX: usize = 64;

/// Before a full socket is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Longest wait without a look at the link.
const IDLE: Duration = Duration::from_millis(500);

/// What became of a try to send.
enum Tried {
    Sent,
    /// The socket is full.
    Full,
    Broken(io::Error),
    /// The message is too long for the socket, and always will be.
    TooLong,
}

pub(crate) struct Courier {
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    place: Place,
    encoder: Box<dyn Encoder>,
    link: Option<Link>,
    opened: Instant,
    looked_up: Instant,
    rest: Rest,
    outbox: VecDeque<Message>,
    /// Of the first in the outbox: whether it is sealed, and how much of it is sent.
    sealed: bool,
    offset: usize,
    /// Sent, and not known to have arrived.
    unsure: VecDeque<(Instant, Message)>,
    unsure_bytes: usize,
    /// Since when the encoder holds records.
    holding: Option<Instant>,
}

pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

impl Courier {
    pub(crate) fn new(queue: Arc<Queue>, counters: Arc<Counters>, place: Place, encoder: Box<dyn Encoder>) -> Self {
        let now = Instant::now();
        Self {
            queue,
            counters,
            place,
            encoder,
            link: None,
            opened: now,
            looked_up: now,
            rest: Rest::default(),
            outbox: VecDeque::new(),
            sealed: false,
            offset: 0,
            unsure: VecDeque::new(),
            unsure_bytes: 0,
            holding: None,
        }
    }

    /// Runs until the queue was closed and everything is sent, or its owner has given up.
    pub(crate) fn run(mut self) {
        while !self.counters.is_closed() {
            let closing = self.queue.is_closing();
            self.look(Instant::now());
            if self.link.is_none() && self.rest.left(Instant::now()).is_zero() {
                self.open();
            }
            let wait = if self.link.is_some() { self.work(closing) } else { self.rest.left(Instant::now()) };
            if closing && self.queue.is_empty() && self.outbox.is_empty() && self.holding.is_none() {
                self.look(Instant::now());
                if self.outbox.is_empty() {
                    if matches!(self.link, Some(Link::Udp(_))) {
                        self.settle();
                    }
                    break;
                }
            }
            let taking = self.link.is_some() && self.outbox.is_empty();
            self.queue.wait(wait.min(IDLE), taking);
        }
    }

    fn open(&mut self) {
        match self.place.open() {
            Ok(link) => {
                self.encoder.begin(link.local());
                self.link = Some(link);
                self.opened = Instant::now();
                self.looked_up = self.opened;
                self.counters.reached();
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let wait = self.rest.fail(Instant::now());
        tracing::debug!(place = ?self.place, %error, ?wait, "a flow export target cannot be reached");
        self.counters.fail(error.to_string());
    }

    /// Learns what has become of the link, and forgets what must have arrived.
    fn look(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        if let Some(error) = link.trouble() {
            self.broken(&error);
            return;
        }
        let keep = match link {
            Link::Udp(_) => REFUSED_WITHIN,
            _ => UNSURE,
        };
        while let Some((at, message)) = self.unsure.front() {
            if now.saturating_duration_since(*at) < keep && self.unsure_bytes <= UNSURE_BYTES_MAX {
                break;
            }
            self.unsure_bytes = self.unsure_bytes.saturating_sub(message.bytes.len());
            if let (Link::Udp(_), Some((_, message))) = (&link, self.unsure.pop_front()) {
                self.counters.sent(message.items, message.records, message.bytes.len() as u64);
            }
        }
        self.rest.well_since(self.opened, now);
        if now.saturating_duration_since(self.looked_up) >= LOOK_UP_EVERY {
            self.looked_up = now;
            if self.place.has_moved(link) {
                self.link = None;
            }
        }
    }

    /// The link is gone: what may not have arrived goes back in front.
    fn broken(&mut self, error: &io::Error) {
        self.fail(error);
        let datagram = matches!(self.link, Some(Link::Udp(_)));
        if std::mem::take(&mut self.sealed)
            && let Some(front) = self.outbox.front()
        {
            self.encoder.unseal(front);
        }
        self.offset = 0;
        while let Some((_, mut message)) = self.unsure.pop_back() {
            self.encoder.unseal(&message);
            message.again = !datagram;
            self.outbox.push_front(message);
        }
        self.unsure_bytes = 0;
        self.link = None;
    }

    /// Encodes and sends; says how long nothing needs doing.
    fn work(&mut self, closing: bool) -> Duration {
        self.encode(closing);
        self.announce();
        let datagrams = self.link.as_ref().is_some_and(Link::is_datagram);
        for sent in 0.. {
            if self.outbox.is_empty() {
                self.encode(closing);
            }
            if self.outbox.is_empty() {
                break;
            }
            if datagrams && sent >= BURST {
                return BURST_PAUSE;
            }
            if !self.sealed {
                self.announce();
            }
            match self.send() {
                Tried::Sent => {}
                Tried::Full => return FULL_PAUSE,
                Tried::TooLong => self.discard(),
                Tried::Broken(error) => {
                    self.broken(&error);
                    return self.rest.left(Instant::now());
                }
            }
        }
        match self.holding {
            Some(since) => (since + FLUSH_AFTER).saturating_duration_since(Instant::now()),
            None if datagrams && !self.unsure.is_empty() => REFUSED_WITHIN,
            None => IDLE,
        }
    }

    /// Templates go before what needs them; never between the parts of a message.
    fn announce(&mut self) {
        if self.sealed {
            return;
        }
        let mut news = Vec::new();
        self.encoder.announce(wall_clock(), &mut news);
        for message in news.into_iter().rev() {
            self.outbox.push_front(message);
        }
    }

    fn encode(&mut self, closing: bool) {
        let mut out = Vec::new();
        while self.outbox.len() + out.len() < OUTBOX {
            let Some(item) = self.queue.pop() else { break };
            if let Err(NotCarried(count)) = self.encoder.push(&item, &mut out) {
                self.counters.lose(LossReason::NotCarried, count);
            }
            self.holding = self.holding.or(Some(Instant::now()));
        }
        self.outbox.extend(out);
        let due = self.holding.is_some_and(|since| closing || since.elapsed() >= FLUSH_AFTER);
        if due && self.outbox.len() < OUTBOX {
            self.holding = None;
            self.outbox.extend(self.encoder.flush());
        }
    }

    fn send(&mut self) -> Tried {
        let (Some(link), Some(front)) = (&mut self.link, self.outbox.front_mut()) else { return Tried::Full };
        if !self.sealed {
            self.encoder.seal(front, wall_clock());
            self.sealed = true;
        }
        match link.send(front.bytes.get(self.offset..).unwrap_or_default()) {
            Ok(length) => {
                self.offset += length;
                if self.offset >= front.bytes.len() || link.is_datagram() {
                    self.done();
                }
                Tried::Sent
            }
            Err(error) if is_full(&error) => Tried::Full,
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => Tried::TooLong,
            Err(error) => Tried::Broken(error),
        }
    }

    /// The first in the outbox is with the system.
    fn done(&mut self) {
        self.sealed = false;
        self.offset = 0;
        let Some(message) = self.outbox.pop_front() else { return };
        // A refusal is of the latest datagram; the ones before it were taken, or lost without a word.
        let datagram = matches!(self.link, Some(Link::Udp(_)));
        if datagram {
            self.settle();
        } else if message.again {
            self.counters.resent(message.bytes.len() as u64);
        } else {
            self.counters.sent(message.items, message.records, message.bytes.len() as u64);
        }
        if !matches!(self.link, Some(Link::Datagram(_))) {
            self.unsure_bytes += message.bytes.len();
            self.unsure.push_back((Instant::now(), message));
        }
    }

    /// Datagrams count as sent once nobody has refused them.
    fn settle(&mut self) {
        for (_, message) in self.unsure.drain(..) {
            self.counters.sent(message.items, message.records, message.bytes.len() as u64);
        }
        self.unsure_bytes = 0;
    }

    fn discard(&mut self) {
        self.sealed = false;
        self.offset = 0;
        if let Some(message) = self.outbox.pop_front() {
            self.encoder.unseal(&message);
            self.counters.lose(LossReason::Rejected, message.items);
            self.counters.fail(format!("a message of {} bytes is too long for the socket", message.bytes.len()));
            self.counters.reached();
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
        || error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}
