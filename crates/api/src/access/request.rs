//! What handlers take of a request: whose it is, that it may change something, its body. Deliberately not here: who may what,
//! which the gate has decided before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::serve::IncomingStream;
use serde::de::DeserializeOwned;

use super::gate::Granted;
use super::right::Right;
use crate::connection::GuardedListener;
use crate::error::Refusal;
use crate::state::Shared;

/// Most bytes of a request's body: a policy as text.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bodies that may be read at once.
pub const BODIES_MAX: usize = 4;

/// Whose command it is.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Address of the client.
    pub peer: SocketAddr,
    /// When its connection was accepted: a change of policy is confirmed over a connection that is younger than it.
    pub connected: Instant,
}

impl Connected<IncomingStream<'_, GuardedListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, GuardedListener>) -> Self {
        Self { peer: *stream.remote_addr(), connected: stream.io().connected() }
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let ConnectInfo(caller) = ConnectInfo::<Self>::from_request_parts(parts, shared).await.map_err(|error| {
            tracing::error!(%error, "a connection does not say whose it is");
            Refusal::engine_gone()
        })?;
        Ok(caller)
    }
}

impl FromRequestParts<Arc<Shared>> for Granted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a request came past the gate");
            Refusal::engine_gone()
        })
    }
}

/// The sender of a command, whom the gate let through as such. Taken before the body is read.
pub(crate) struct Commander(pub(crate) Caller);

impl FromRequestParts<Arc<Shared>> for Commander {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let granted = Granted::from_request_parts(parts, shared).await?;
        if !matches!(granted.right, Right::Change(_)) {
            tracing::error!(uri = %parts.uri, "a command stands in the table of routes as something else");
            return Err(Refusal::engine_gone());
        }
        Caller::from_request_parts(parts, shared).await.map(Self)
    }
}

/// A JSON document as a request's body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let bad = |error: &str, detail: String, hint: &str| Refusal::new(StatusCode::BAD_REQUEST, error, detail, hint);
        check_origin(request.headers(), request.uri(), shared.is_tls)?;
        // A form of another page cannot have this type without asking first.
        let kind = request.headers().get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes).unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !kind.eq_ignore_ascii_case(b"application/json") {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "the body is not said to be JSON",
                "send a JSON object with `Content-Type: application/json`",
            ));
        }
        let _place = shared.bodies.try_acquire().map_err(|_| Refusal::busy("too many bodies are being read"))?;
        let bytes = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| {
            Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body has more than {BODY_BYTES_MAX} bytes, or did not come whole"),
                "put large sets of addresses into files of the host, and name those in the document",
            )
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let hint = "see /api/v1/openapi.json for its shape";
            bad("bad_body", format!("the body is not understood: {error}"), hint)
        })
    }
}

/// A browser says of which page a request is. Those of other origins are refused, whatever they know.
pub(crate) fn check_origin(headers: &HeaderMap, uri: &Uri, is_tls: bool) -> Result<(), Refusal> {
    let wrong = |detail: String| {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "cross_origin",
            detail,
            "send it from the command line, or from a page that this agent itself serves",
        )
    };
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return Err(wrong("the request is of a page of another origin".to_owned()));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str)).unwrap_or_default();
    let origin = origin.to_str().unwrap_or_default();
    let scheme = if is_tls { "https://" } else { "http://" };
    if origin.strip_prefix(scheme).is_some_and(|of| of.eq_ignore_ascii_case(host)) {
        Ok(())
    } else {
        Err(wrong(format!("the origin `{origin}` is not this agent")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_origins_are_refused() {
        let check = |values: &[(&'static str, &str)], is_tls| {
            let name = header::HeaderName::from_static;
            let headers = values.iter().map(|(key, value)| (name(key), value.parse().unwrap())).collect();
            check_origin(&headers, &Uri::from_static("/"), is_tls)
        };
        let host = ("host", "127.0.0.1:7733");
        let (plain, tls) = ("http://127.0.0.1:7733", "https://127.0.0.1:7733");
        assert!(check(&[host], false).is_ok());
        for (is_tls, own, other) in [(false, plain, tls), (true, tls, plain)] {
            assert!(check(&[host, ("origin", own), ("sec-fetch-site", "same-origin")], is_tls).is_ok());
            for origin in ["null", "http://evil.example", "http://127.0.0.1:80", other, "", "127.0.0.1:7733"] {
                assert!(check(&[host, ("origin", origin)], is_tls).is_err(), "{origin}");
            }
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(check(&[host, ("sec-fetch-site", site)], false).is_err(), "{site}");
        }
    }
}
