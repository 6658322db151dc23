//! What every request has to pass and every response carries, whatever the route. Deliberately not here: limits below
//! HTTP (`connection`). Invariant: a page of another origin learns nothing, neither by script (no CORS header is ever
//! sent) nor by a name that it makes point to loopback (the host has to be one of ours).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::{Rights, pass};
use crate::error::Refusal;
use crate::state::Shared;

/// Most bytes that the names and values of a request's headers, and its path and query, may have together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Sent with every response. A page may load what this agent serves and ask this agent, and nothing else.
const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src \
         'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), \
         magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()",
    ),
];
/// With TLS: a browser that has spoken it goes on to, for a day. Longer would bind every other port of the host as well.
const STRICT_TRANSPORT: &str = "max-age=86400";

/// Checks the request, counts the answer and dresses it.
pub(crate) async fn guard(
    State((shared, rights)): State<(Arc<Shared>, Arc<Rights>)>,
    request: Request,
    next: Next,
) -> Response {
    // What tells of traffic is nowhere kept; a page's own files say for themselves how long they last.
    let is_data = request.uri().path().starts_with("/api") || request.uri().path() == "/metrics";
    let mut response = match check(&request, &shared) {
        Ok(()) => pass(&shared, &rights, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    shared.counts.request(response.status().as_u16());
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if shared.is_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(STRICT_TRANSPORT));
    }
    if is_data || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn check(request: &Request, shared: &Shared) -> Result<(), Refusal> {
    let uri = request.uri();
    let head: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head + uri.path().len() + uri.query().map_or(0, str::len) > HEADER_BYTES_MAX {
        return Err(Refusal::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "request_too_large",
            format!("path, query and headers have more than {HEADER_BYTES_MAX} bytes together"),
            "send fewer or shorter headers; use prefixes instead of long lists of addresses in a filter",
        ));
    }
    let takes_body = !matches!(*request.method(), Method::GET | Method::HEAD);
    if !takes_body && has_body(request.headers()) {
        return Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "unwanted_body",
            "a request that reads takes no body",
            "put what you ask for into the query string",
        ));
    }
    check_host(request, &shared.access.hosts, shared.address.ip())
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    length || headers.contains_key(header::TRANSFER_ENCODING)
}

/// A page in a browser can make a name of its own resolve to 127.0.0.1 and then read what answers as its own origin. It
/// cannot make the browser send another host than that name.
fn check_host(request: &Request, allowed: &[String], listening: IpAddr) -> Result<(), Refusal> {
    let wrong = |detail: String| {
        Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong_host",
            detail,
            "use the agent's address, or localhost on its host; names are refused unless `api.allowed_hosts` has them, so \
             that no web page can reach the agent through a name of its own",
        )
    };
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "no_host",
            "the request needs exactly one Host header",
            "use HTTP/1.1 and send one Host header",
        ));
    };
    let host = host.to_str().map_err(|_| wrong("the Host header is not text".to_owned()))?;
    let authority = request.uri().authority().map(axum::http::uri::Authority::as_str);
    for host in [Some(host), authority].into_iter().flatten() {
        if !is_ours(host, listening) && !is_allowed(host, allowed) {
            return Err(wrong(format!("the host `{host}` is not this agent")));
        }
    }
    Ok(())
}

/// Whether `host`, with or without a port, is one of the names that the operator gave the agent.
fn is_allowed(host: &str, allowed: &[String]) -> bool {
    let name = match host.rfind(':') {
        // Not within an address in brackets.
        Some(colon) if !host.ends_with(']') => {
            let (name, port) = host.split_at(colon);
            if !is_port(port) {
                return false;
            }
            name
        }
        _ => host,
    };
    allowed.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

/// Whether `host`, with or without a port, names this agent. Any port will do: a tunnel changes it, an attacker's page
/// gains nothing by it.
fn is_ours(host: &str, listening: IpAddr) -> bool {
    let (name, rest) = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((address, rest)) => {
                return is_port(rest)
                    && address.parse::<Ipv6Addr>().is_ok_and(|a| is_ours_address(a.into(), listening));
            }
            None => return false,
        },
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    is_port(rest)
        && (name.eq_ignore_ascii_case("localhost")
            || name.parse::<Ipv4Addr>().is_ok_and(|address| is_ours_address(address.into(), listening)))
}

fn is_ours_address(address: IpAddr, listening: IpAddr) -> bool {
    // An agent that listens on all its addresses is reached by any of them. No page has an address for its name unless it
    // was loaded from there.
    address == IpAddr::V4(Ipv4Addr::LOCALHOST)
        || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
        || address == listening
        || listening.is_unspecified()
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_and_the_listening_address_are_ours() {
        let listening = "127.0.0.2".parse().unwrap();
        for host in ["localhost", "LOCALHOST:7733", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:7733", "127.0.0.2:7733"]
        {
            assert!(is_ours(host, listening), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost:7733.evil.example",
            "localhost:",
            "127.0.0.1.evil.example",
            "127.0.0.3",
            "[::1].evil.example",
            "[::1",
            "::1",
            "[127.0.0.1]",
            "user@localhost",
            "2130706433",
            "127.1",
        ] {
            assert!(!is_ours(host, listening), "{host}");
        }
    }

    #[test]
    fn the_operators_names_are_ours_and_all_addresses_where_all_are_listened_on() {
        let allowed = ["web-1.example".to_owned(), "[2001:db8::7]".to_owned()];
        for host in ["web-1.example", "WEB-1.example:7733", "[2001:db8::7]", "[2001:db8::7]:7733"] {
            assert!(is_allowed(host, &allowed), "{host}");
        }
        for host in ["", "web-1.example.evil", "web-1.example:x", "web-1.example:", "a.web-1.example", "2001:db8::7"] {
            assert!(!is_allowed(host, &allowed), "{host}");
        }
        let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert!(is_ours("192.0.2.7:7733", all) && is_ours("[2001:db8::7]", all));
        assert!(!is_ours("evil.example", all) && !is_ours("192.0.2.7.evil.example", all));
    }
}
