//! What every request has to pass and every response carries, whatever the route. Deliberately not here: limits below
//! HTTP (`connection`). Invariant: a page of another origin learns nothing, neither by script (no CORS header is ever
//! sent) nor by a name that it makes point to loopback (the host has to be one of ours).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Refusal;
use crate::state::Shared;

/// Most bytes that the names and values of a request's headers, and its path and query, may have together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Sent with every response.
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Checks the request, counts the answer and dresses it.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = match check(&request, shared.address.ip()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    shared.counts.request(response.status().as_u16());
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check(request: &Request, listening: IpAddr) -> Result<(), Refusal> {
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
    check_host(request, listening)
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    length || headers.contains_key(header::TRANSFER_ENCODING)
}

/// A page in a browser can make a name of its own resolve to 127.0.0.1 and then read what answers as its own origin. It
/// cannot make the browser send another host than that name.
fn check_host(request: &Request, listening: IpAddr) -> Result<(), Refusal> {
    let wrong = |detail: String| {
        Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong_host",
            detail,
            "use http://localhost, http://127.0.0.1 or http://[::1] with the agent's port; other names are refused so \
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
        if !is_ours(host, listening) {
            return Err(wrong(format!("the host `{host}` is not this agent")));
        }
    }
    Ok(())
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
    address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(Ipv6Addr::LOCALHOST) || address == listening
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
}
