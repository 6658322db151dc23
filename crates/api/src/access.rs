//! Who may command: whoever knows the token that the agent keeps in a file, and no page of another origin.
//!
//! Reading needs no token on loopback; what changes something does. Invariants: without a token nobody commands; a
//! comparison takes as long for a wrong token as for the right one; a token is never shown, not even in debug output.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::serve::IncomingStream;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use crate::connection::GuardedListener;
use crate::error::Refusal;
use crate::state::Shared;

/// Most bytes of a request's body: a policy as text.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bodies that may be read at once.
pub const BODIES_MAX: usize = 4;
/// Fewest bytes of a token: 128 bits in hexadecimal digits.
pub const TOKEN_BYTES_MIN: usize = 32;

/// What commands have to show.
#[derive(Clone, Default)]
pub struct Access {
    token: Option<Box<[u8]>>,
    file: PathBuf,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("has_token", &self.token.is_some()).field("file", &self.file).finish()
    }
}

/// A token that is too easily guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token has fewer than {TOKEN_BYTES_MIN} characters; remove its file, and the agent makes a new one")]
pub struct WeakToken;

impl Access {
    /// Nobody commands: every command is refused.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whoever has this token, which is kept in `file`, commands. White space around it does not count.
    pub fn token(token: &str, file: PathBuf) -> Result<Self, WeakToken> {
        let token = token.trim().as_bytes();
        if token.len() < TOKEN_BYTES_MIN {
            return Err(WeakToken);
        }
        Ok(Self { token: Some(token.into()), file })
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "commands_off",
                "this agent takes no commands over its API, because it has no token to know their senders by",
                "use `hivewall policy` on the host itself, or give the agent a token file and start it again",
            ));
        };
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(one), None) = (given.next(), given.next()) else {
            return Err(
                self.unauthorized("no_token", "a command needs one Authorization header with the agent's token")
            );
        };
        // RFC 9110 §11.1: the scheme's name has no case.
        let scheme = "Bearer ";
        let shown = one
            .as_bytes()
            .split_at_checked(scheme.len())
            .filter(|(name, _)| name.eq_ignore_ascii_case(scheme.as_bytes()))
            .map(|(_, shown)| shown.trim_ascii());
        let Some(shown) = shown else {
            return Err(self.unauthorized("no_token", "the Authorization header is not of the scheme Bearer"));
        };
        if bool::from(shown.ct_eq(token)) {
            Ok(())
        } else {
            Err(self.unauthorized("wrong_token", "the token is not the agent's"))
        }
    }

    fn unauthorized(&self, error: &str, detail: &str) -> Refusal {
        let hint = format!("send `Authorization: Bearer TOKEN` with the token from {}", self.file.display());
        Refusal::new(StatusCode::UNAUTHORIZED, error, detail, hint)
    }
}

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

/// The sender of a command, known by the token. Taken before the body is read.
pub(crate) struct Commander(pub(crate) Caller);

impl FromRequestParts<Arc<Shared>> for Commander {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        check_origin(&parts.headers, &parts.uri)?;
        shared.access.check(&parts.headers)?;
        let ConnectInfo(caller) = ConnectInfo::<Caller>::from_request_parts(parts, shared).await.map_err(|error| {
            tracing::error!(%error, "a connection does not say whose it is");
            Refusal::engine_gone()
        })?;
        Ok(Self(caller))
    }
}

/// A JSON document as a request's body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let bad = |error: &str, detail: String, hint: &str| Refusal::new(StatusCode::BAD_REQUEST, error, detail, hint);
        check_origin(request.headers(), request.uri())?;
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
fn check_origin(headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
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
    if origin.strip_prefix("http://").is_some_and(|of| of.eq_ignore_ascii_case(host)) {
        Ok(())
    } else {
        Err(wrong(format!("the origin `{origin}` is not this agent")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn access() -> Access {
        Access::token(&format!("{TOKEN}\n"), PathBuf::from("/run/hivewall/token")).unwrap()
    }

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        values.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_token_alone_commands() {
        let shown = |value: &str| access().check(&headers(&[("authorization", value)]));
        assert!(shown(&format!("Bearer {TOKEN}")).is_ok() && shown(&format!("bearer  {TOKEN}")).is_ok());
        for wrong in ["", "Bearer", "Bearer ", &format!("Basic {TOKEN}"), &format!("Bearer {TOKEN}0"), TOKEN] {
            let refusal = shown(wrong).unwrap_err();
            assert_eq!(refusal.status, StatusCode::UNAUTHORIZED, "{wrong}");
            assert!(refusal.problem.hint.contains("/run/hivewall/token"), "{}", refusal.problem.hint);
            assert!(!format!("{refusal:?}").contains(TOKEN));
        }
        let mut two = headers(&[("authorization", &format!("Bearer {TOKEN}"))]);
        two.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(access().check(&two).is_err(), "two headers are none");
        assert!(!format!("{:?}", access()).contains(TOKEN));
    }

    #[test]
    fn without_a_token_nobody_commands() {
        let shown = headers(&[("authorization", "Bearer ")]);
        assert_eq!(Access::none().check(&shown).unwrap_err().status, StatusCode::FORBIDDEN);
        assert_eq!(Access::token(" \n", PathBuf::new()).unwrap_err(), WeakToken);
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let check = |values: &[(&'static str, &str)]| check_origin(&headers(values), &Uri::from_static("/"));
        let host = ("host", "127.0.0.1:7733");
        assert!(check(&[host]).is_ok());
        assert!(check(&[host, ("origin", "http://127.0.0.1:7733"), ("sec-fetch-site", "same-origin")]).is_ok());
        for origin in ["null", "http://evil.example", "http://127.0.0.1:80", "https://127.0.0.1:7733", ""] {
            assert!(check(&[host, ("origin", origin)]).is_err(), "{origin}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(check(&[host, ("sec-fetch-site", site)]).is_err(), "{site}");
        }
    }
}
