//! Heads of HTTP/1.x messages: request line or status line, the headers that are of interest, and how long the body is.
//!
//! `httparse` reads them, told to be lenient where clients and servers are. It keeps no state; which response answers which
//! request is for `connection`.

use hivewall_model::{HttpRequest, HttpResponse};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};

use crate::text::text;

/// Headers of one head that are read.
const HEADERS_MAX: usize = 128;
const TARGET_BYTES_MAX: usize = 1024;
const VALUE_BYTES_MAX: usize = 256;
const TYPE_BYTES_MAX: usize = 128;
const METHOD_BYTES_MAX: usize = 32;
const HOST_BYTES_MAX: usize = 255;

/// Methods that begin a request (IANA "HTTP Method Registry", UPnP, and RPC over HTTP).
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"PATCH ",
    b"TRACE ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"MERGE ",
    b"CHECKOUT ",
    b"MKACTIVITY ",
    b"NOTIFY ",
    b"SUBSCRIBE ",
    b"UNSUBSCRIBE ",
    b"PURGE ",
    b"BREW ",
    b"RPC_IN_DATA ",
    b"RPC_OUT_DATA ",
    b"BITS_POST ",
    b"CCM_POST ",
    b"SUBSCRIBE ",
    b"VERSION-CONTROL ",
    b"BASELINE-CONTROL ",
    b"UPDATE ",
    b"LINK ",
    b"UNLINK ",
    b"ACL ",
    b"BIND ",
    b"UNBIND ",
    b"MKCALENDAR ",
    b"QUERY ",
    b"TRACK ",
    b"DEBUG ",
];
const STATUS_LINE: &[u8] = b"HTTP/1.";

/// What bytes at the beginning of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    Request,
    Response,
    /// Too few to tell.
    Perhaps,
    Otherwise,
}

/// How many bytes follow a head before the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Body {
    /// None: a head is next.
    #[default]
    None,
    /// So many.
    Length(u64),
    /// Not known: the next head is found where a segment begins with one.
    Unknown,
}

impl Body {
    /// After `count` bytes that nobody looked at.
    pub(crate) fn after(self, count: u64) -> Self {
        match self {
            Self::Length(length) if length == count => Self::None,
            Self::Length(length) if length > count => Self::Length(length - count),
            _ if count == 0 => self,
            _ => Self::Unknown,
        }
    }
}

/// A head that was read.
#[derive(Debug)]
pub(crate) enum Head {
    Request(HttpRequest, Body),
    /// The body as the head tells it; what the request says about it is not in it yet.
    Response(HttpResponse, Body),
}

/// How reading a message went.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// The message, and how many bytes it took.
    Done(T, usize),
    /// It goes on.
    More,
    /// It is none.
    Refused,
}

/// Whether these bytes begin a head.
pub(crate) fn begins(bytes: &[u8]) -> Begins {
    let is = |word: &[u8]| bytes.starts_with(word);
    let may_be = |word: &[u8]| word.starts_with(bytes);
    if is(STATUS_LINE) {
        Begins::Response
    } else if METHODS.iter().any(|word| is(word)) {
        Begins::Request
    } else if !bytes.is_empty() && (may_be(STATUS_LINE) || METHODS.iter().any(|word| may_be(word))) {
        Begins::Perhaps
    } else {
        Begins::Otherwise
    }
}

/// Reads the head that `bytes` begin with.
pub(crate) fn head(bytes: &[u8]) -> Step<Head> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_space_before_first_header_name(true)
        .ignore_invalid_headers_in_requests(true)
        .ignore_invalid_headers_in_responses(true);
    if begins(bytes) == Begins::Response {
        let mut response = httparse::Response::new(&mut headers);
        return match config.parse_response(&mut response, bytes) {
            Ok(Status::Complete(used)) => Step::Done(read_response(&response), used),
            Ok(Status::Partial) => Step::More,
            Err(_) => Step::Refused,
        };
    }
    let mut request = httparse::Request::new(&mut headers);
    match config.parse_request(&mut request, bytes) {
        Ok(Status::Complete(used)) => Step::Done(read_request(&request), used),
        Ok(Status::Partial) => Step::More,
        Err(_) => Step::Refused,
    }
}

/// What can be read of a head whose end is missing: everything up to its last whole line.
pub(crate) fn cut_head(bytes: &[u8]) -> Option<Head> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let mut whole = bytes.get(..=end)?.to_vec();
    whole.extend_from_slice(b"\r\n");
    match head(&whole) {
        Step::Done(Head::Request(request, _), _) => Some(Head::Request(request, Body::Unknown)),
        Step::Done(Head::Response(response, _), _) => Some(Head::Response(response, Body::Unknown)),
        Step::More | Step::Refused => None,
    }
}

fn value<'h>(headers: &[Header<'h>], name: &str) -> Option<&'h [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
}

fn length(headers: &[Header<'_>]) -> Option<u64> {
    std::str::from_utf8(value(headers, "content-length")?).ok()?.parse().ok()
}

fn body(headers: &[Header<'_>], without: Body) -> Body {
    if value(headers, "transfer-encoding").is_some() {
        return Body::Unknown;
    }
    match length(headers) {
        Some(0) => Body::None,
        Some(length) => Body::Length(length),
        None => without,
    }
}

/// The host of an authority, without user and port.
fn host(authority: &[u8]) -> Option<Box<str>> {
    let authority = authority.rsplit(|byte| *byte == b'@').next()?;
    let host = if authority.first() == Some(&b'[') {
        authority.get(1..authority.iter().position(|byte| *byte == b']')?)?
    } else {
        authority.split(|byte| *byte == b':').next()?
    };
    (!host.is_empty()).then(|| text(host, HOST_BYTES_MAX))
}

/// The authority of a target such as `http://host:8080/path`.
fn target_authority(target: &[u8]) -> Option<&[u8]> {
    let at = target.windows(3).position(|part| part == b"://")?;
    target.get(at + 3..)?.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next()
}

fn read_request(request: &httparse::Request<'_, '_>) -> Head {
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default().as_bytes();
    let connect = method == "CONNECT";
    let authority = if connect {
        Some(target)
    } else if target.first() == Some(&b'/') {
        None
    } else {
        target_authority(target)
    };
    let headers = &*request.headers;
    let short = |name| value(headers, name).map(|value| text(value, VALUE_BYTES_MAX));
    let read = HttpRequest {
        method: text(method.as_bytes(), METHOD_BYTES_MAX),
        target: text(target, TARGET_BYTES_MAX),
        minor: request.version.unwrap_or_default(),
        host: authority.and_then(host).or_else(|| value(headers, "host").and_then(host)),
        user_agent: short("user-agent"),
        referer: short("referer"),
        index: 0,
    };
    let body = if connect { Body::Unknown } else { body(headers, Body::None) };
    Head::Request(read, body)
}

fn read_response(response: &httparse::Response<'_, '_>) -> Head {
    let status = response.code.unwrap_or_default();
    let headers = &*response.headers;
    let read = HttpResponse {
        status,
        content_type: value(headers, "content-type").map(|value| text(value, TYPE_BYTES_MAX)),
        content_length: length(headers),
        request: None,
        latency: None,
    };
    // RFC 9112 §6.3: these have no body, whatever their headers say; 101 changes the protocol.
    let body = match status {
        101 => Body::Unknown,
        100..=199 | 204 | 304 => Body::None,
        _ => body(headers, Body::Unknown),
    };
    Head::Response(read, body)
}
