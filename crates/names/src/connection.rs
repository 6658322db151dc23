//! One TCP connection: its two streams, and what the messages in them are.
//!
//! What a message is, is told by its first bytes wherever one may begin: after the last one, or where a segment does. So TLS
//! after STARTTLS or CONNECT is found, and HTTP goes on behind bodies that nobody copied. Invariant: what is pending
//! is the beginning of one message and no longer than is assembled.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use hivewall_datapath::FlowKey;
use hivewall_model::{Finding, HttpRequest, HttpResponse, Learned, Timestamp, TlsHello};

use crate::conversation::Side;
use crate::counters::{Count, Counts};
use crate::dns::HEADER_BYTES;
use crate::handshake::Start;
use crate::http::{self, Begins, Body, Head, Step};
use crate::limits::{ASSEMBLY_BYTES_MAX, HTTP_REQUESTS_WAITING_MAX};
use crate::stream::{Placed, Segment, Stream};
use crate::{ssh, tls};

const SSH_PORT: u16 = 22;

/// Where findings go, and of which packet they are.
pub(crate) struct Telling<'a> {
    pub(crate) key: &'a FlowKey,
    pub(crate) time: Timestamp,
    pub(crate) out: &'a mut Vec<Finding>,
    pub(crate) counts: &'a mut Counts,
    /// DNS messages of this connection, for whoever knows queries.
    pub(crate) dns: Vec<Vec<u8>>,
}

impl Telling<'_> {
    pub(crate) fn tell(&mut self, learned: Learned) {
        self.out.push(Finding { key: *self.key, time: self.time, learned });
    }
}

#[derive(Debug, Default)]
struct Half {
    stream: Stream,
    /// The beginning of a message that goes on.
    pending: Vec<u8>,
    body: Body,
    /// Some of the stream was read.
    begun: bool,
    /// Nothing but what is pending was read.
    at_start: bool,
    first: Option<Timestamp>,
}

struct Sent {
    request: Arc<HttpRequest>,
    time: Timestamp,
}

/// A TCP connection with payload.
pub(crate) struct Connection {
    client: Option<Side>,
    /// Length-framed DNS rather than anything else.
    is_dns: bool,
    is_ssh_port: bool,
    halves: [Half; 2],
    requests: u32,
    waiting: VecDeque<Sent>,
    server_spoke: bool,
    pub(crate) touched: Timestamp,
}

/// How reading a stretch of bytes ended.
enum End {
    /// All was read or passed over.
    Read,
    /// A message begins at this offset and goes on.
    More(usize),
}

impl Connection {
    /// A connection that begins with the packet of `key`, as far as was seen.
    pub(crate) fn new(key: &FlowKey, start: Option<Start>, is_dns: bool, time: Timestamp) -> Self {
        let first = |of: Side| {
            let start = start?;
            if of == start.client { Some(start.client_first) } else { start.server_first }
        };
        let half = |of: Side| Half { stream: Stream::new(first(of)), at_start: true, ..Half::default() };
        Self {
            client: start.map(|start| start.client),
            is_dns,
            is_ssh_port: key.sport == SSH_PORT || key.dport == SSH_PORT,
            halves: [half(Side::A), half(Side::B)],
            requests: 0,
            waiting: VecDeque::new(),
            server_spoke: false,
            touched: time,
        }
    }

    fn half(&mut self, side: Side) -> &mut Half {
        let [a, b] = &mut self.halves;
        match side {
            Side::A => a,
            Side::B => b,
        }
    }

    /// Bytes that wait for the rest of a message.
    pub(crate) fn held(&self) -> usize {
        self.halves.iter().map(|half| half.pending.len() + half.stream.held()).sum()
    }

    /// Takes a segment with payload.
    pub(crate) fn take(&mut self, side: Side, segment: Segment<'_>, to: &mut Telling<'_>) {
        self.touched = to.time;
        self.time_response(side, to);
        let half = self.half(side);
        let patient = !half.begun || !half.pending.is_empty();
        let mut placed = half.stream.place(segment, to.time, patient);
        if let Placed::Release = placed {
            self.release(side, to);
            placed = self.half(side).stream.place(segment, to.time, false);
        }
        match placed {
            Placed::Old => to.counts.add(Count::Duplicate),
            Placed::Waits | Placed::Release => {}
            Placed::Late(segment) => self.aside(side, segment, to),
            Placed::Now { segment, gap } => {
                self.read(side, segment.bytes, segment.wire, gap, to);
                self.go_on(side, 0, to);
            }
        }
    }

    fn time_response(&mut self, side: Side, to: &mut Telling<'_>) {
        let half = self.half(side);
        if half.first.is_some() {
            return;
        }
        half.first = Some(to.time);
        let Some(client) = self.client.filter(|client| *client != side) else { return };
        if let Some(asked) = self.half(client).first
            && !self.server_spoke
        {
            to.tell(Learned::ServerResponse(to.time.since(asked)));
        }
        self.server_spoke = true;
    }

    /// Reads what has been waiting and is next now.
    fn go_on(&mut self, side: Side, mut gap: u32, to: &mut Telling<'_>) {
        while let Some((wire, bytes)) = self.half(side).stream.continued() {
            self.read(side, &bytes, wire, gap, to);
            gap = 0;
        }
    }

    /// Reads everything that waits, with the gaps as they are.
    fn release(&mut self, side: Side, to: &mut Telling<'_>) {
        while let Some(gap) = self.half(side).stream.release() {
            to.counts.add(Count::Gaps);
            self.go_on(side, gap, to);
        }
    }

    /// Reads a segment that came after its successors were read.
    fn aside(&mut self, side: Side, segment: Segment<'_>, to: &mut Telling<'_>) {
        let half = self.half(side);
        let kept = (std::mem::take(&mut half.pending), std::mem::replace(&mut half.body, Body::Unknown));
        self.read(side, segment.bytes, segment.wire, 0, to);
        self.abandon(side, to);
        let half = self.half(side);
        (half.pending, half.body) = kept;
    }

    /// Reads the next bytes of a stream: `wire` of them, of which `bytes` were copied, after a gap.
    fn read(&mut self, side: Side, bytes: &[u8], wire: u32, gap: u32, to: &mut Telling<'_>) {
        if gap > 0 {
            self.abandon(side, to);
            let half = self.half(side);
            half.body = half.body.after(u64::from(gap));
            half.at_start = false;
        }
        let half = self.half(side);
        half.begun = true;
        let mut pending = std::mem::take(&mut half.pending);
        let data = if pending.is_empty() {
            Cow::Borrowed(bytes)
        } else {
            pending.extend_from_slice(bytes);
            Cow::Owned(pending)
        };
        match self.messages(side, &data, to) {
            End::Read => self.half(side).at_start = false,
            End::More(at) => {
                let rest = data.get(at..).unwrap_or_default();
                let half = self.half(side);
                if rest.len() > ASSEMBLY_BYTES_MAX {
                    half.body = Body::Unknown;
                    half.at_start = false;
                    to.counts.add(Count::Oversize);
                } else {
                    half.pending = rest.to_vec();
                }
            }
        }
        let missing = u64::from(wire).saturating_sub(bytes.len() as u64);
        if missing > 0 {
            self.abandon(side, to);
            let half = self.half(side);
            half.body = half.body.after(missing);
        }
    }

    /// Reads one message after the other.
    fn messages(&mut self, side: Side, data: &[u8], to: &mut Telling<'_>) -> End {
        let mut at = 0;
        while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
            let half = self.half(side);
            match half.body {
                Body::Length(length) => {
                    let skipped = length.min(rest.len() as u64);
                    half.body = half.body.after(skipped);
                    at += skipped as usize;
                    continue;
                }
                // Where the body ends is not known; a message is looked for where a segment begins.
                Body::Unknown if at > 0 => return End::Read,
                Body::Unknown | Body::None => {}
            }
            match self.message(side, rest, to) {
                Step::Done((), used) => {
                    at += used.max(1);
                    self.half(side).at_start = false;
                }
                Step::More => return End::More(at),
                Step::Refused => {
                    self.half(side).body = Body::Unknown;
                    return End::Read;
                }
            }
        }
        End::Read
    }

    /// Reads the message that `bytes` begin with.
    fn message(&mut self, side: Side, bytes: &[u8], to: &mut Telling<'_>) -> Step<()> {
        if self.is_dns {
            return dns_message(bytes, to);
        }
        if let Some(used) = tls::change_cipher_spec(bytes) {
            return Step::Done((), used);
        }
        match tls::begins(bytes) {
            Some(true) => {
                return match tls::hello(bytes) {
                    Step::Done(hello, used) => {
                        tell_hello(hello, to);
                        Step::Done((), used)
                    }
                    Step::More => Step::More,
                    Step::Refused => {
                        to.counts.add(Count::TlsMalformed);
                        Step::Refused
                    }
                };
            }
            None => return Step::More,
            Some(false) => {}
        }
        match http::begins(bytes) {
            Begins::Request | Begins::Response => return self.http_message(side, bytes, to),
            Begins::Perhaps => return Step::More,
            Begins::Otherwise => {}
        }
        // RFC 9112 §2.2: an empty line may stand before a request.
        if !self.waiting.is_empty() || self.requests > 0 {
            match bytes {
                [b'\r', b'\n', ..] => return Step::Done((), 2),
                [b'\r'] => return Step::More,
                _ => {}
            }
        }
        self.ssh_message(side, bytes, to)
    }

    fn ssh_message(&mut self, side: Side, bytes: &[u8], to: &mut Telling<'_>) -> Step<()> {
        if !self.half(side).at_start {
            return Step::Refused;
        }
        // Only a server may send lines before its identification, and only at its port is one looked for behind them.
        let lines_before = self.is_ssh_port && self.client != Some(side);
        match ssh::banner(bytes, lines_before) {
            Step::Done(text, used) => {
                let from_client = self.client.map(|client| client == side);
                to.counts.add(Count::SshBanners);
                to.tell(Learned::SshBanner { text: text.into(), from_client });
                // What follows is SSH's own.
                self.half(side).body = Body::Unknown;
                Step::Done((), used)
            }
            Step::More => Step::More,
            Step::Refused => Step::Refused,
        }
    }

    fn http_message(&mut self, side: Side, bytes: &[u8], to: &mut Telling<'_>) -> Step<()> {
        match http::head(bytes) {
            Step::Done(head, used) => {
                self.tell_head(side, head, to);
                Step::Done((), used)
            }
            Step::More => Step::More,
            Step::Refused => {
                to.counts.add(Count::HttpMalformed);
                Step::Refused
            }
        }
    }

    fn tell_head(&mut self, side: Side, head: Head, to: &mut Telling<'_>) {
        match head {
            Head::Request(mut request, body) => {
                request.index = self.requests;
                self.requests = self.requests.saturating_add(1);
                let request = Arc::new(request);
                if self.waiting.len() >= HTTP_REQUESTS_WAITING_MAX {
                    self.waiting.pop_front();
                    to.counts.add(Count::TableFull);
                }
                self.waiting.push_back(Sent { request: Arc::clone(&request), time: to.time });
                self.half(side).body = body;
                to.counts.add(Count::HttpRequests);
                to.tell(Learned::HttpRequest(request));
            }
            Head::Response(response, body) => self.tell_response(side, response, body, to),
        }
    }

    fn tell_response(&mut self, side: Side, mut response: HttpResponse, body: Body, to: &mut Telling<'_>) {
        // Interim responses leave their request waiting (RFC 9110 §15.2); 101 is the last of its kind.
        let interim = matches!(response.status, 100 | 102..=199);
        let answered = if interim {
            self.waiting.front().map(|sent| (Arc::clone(&sent.request), sent.time))
        } else {
            self.waiting.pop_front().map(|sent| (sent.request, sent.time))
        };
        let method = answered.as_ref().map_or("", |(request, _)| &*request.method);
        let body = match method {
            "HEAD" => Body::None,
            // From here on the connection carries something else.
            "CONNECT" if (200..300).contains(&response.status) => Body::Unknown,
            _ => body,
        };
        self.half(side).body = body;
        response.latency = answered.as_ref().map(|(_, time)| to.time.since(*time));
        response.request = answered.map(|(request, _)| request);
        to.counts.add(Count::HttpResponses);
        to.tell(Learned::HttpResponse(Arc::new(response)));
    }

    /// Gives up a message whose rest will not come; what can be told of it is told.
    fn abandon(&mut self, side: Side, to: &mut Telling<'_>) {
        let half = self.half(side);
        let pending = std::mem::take(&mut half.pending);
        if pending.is_empty() {
            return;
        }
        half.body = Body::Unknown;
        if self.is_dns {
            if let Some(message) = pending.get(2..).filter(|message| message.len() >= HEADER_BYTES) {
                to.dns.push(message.to_vec());
            }
        } else if tls::begins(&pending) == Some(true) {
            to.counts.add(Count::TlsIncomplete);
            if let Some(hello) = tls::cut_hello(&pending) {
                tell_hello(hello, to);
            }
        } else if matches!(http::begins(&pending), Begins::Request | Begins::Response) {
            to.counts.add(Count::HttpIncomplete);
            if let Some(head) = http::cut_head(&pending) {
                self.tell_head(side, head, to);
                self.half(side).body = Body::Unknown;
            }
        }
    }
}

fn tell_hello(hello: TlsHello, to: &mut Telling<'_>) {
    to.counts.add(Count::TlsHellos);
    to.tell(Learned::Tls(Arc::new(hello)));
}

/// A DNS message behind its length (RFC 1035 §4.2.2).
fn dns_message(bytes: &[u8], to: &mut Telling<'_>) -> Step<()> {
    let Some((&[high, low], rest)) = bytes.split_first_chunk::<2>() else { return Step::More };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len < HEADER_BYTES {
        to.counts.add(Count::DnsMalformed);
        return Step::Refused;
    }
    match rest.get(..len) {
        Some(message) => {
            to.dns.push(message.to_vec());
            Step::Done((), 2 + len)
        }
        None => Step::More,
    }
}
