//! The gate that every request passes: how often its peer asks, who it is of, whether that is enough, and what is kept of
//! it. Invariant: no handler runs before; what a handler finds as [`Granted`] is decided.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hivewall_view::access::{How, Role, TrailEntry};
use hivewall_view::time::rfc3339;
use subtle::ConstantTimeEq as _;

use super::clock::Moment;
use super::request::{Caller, check_origin};
use super::right::{Right, Rights};
use super::sessions::Session;
use super::{Access, Identity, cookie};
use crate::error::Refusal;
use crate::state::{Shared, count};

/// The header that commands authorised by a cookie need: a page of another origin can send a cookie, and not this.
pub(crate) const CSRF_HEADER: &str = "x-hivewall-csrf";

/// What the gate found.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    /// Nobody, where that is enough.
    pub(crate) identity: Option<Identity>,
    /// Their session, where it is by a cookie.
    pub(crate) session: Option<Session>,
    /// Id of their token, where it is by a user's.
    pub(crate) token: Option<String>,
    pub(crate) right: Right,
}

/// What the trail says of an answer; never of what a body held as a secret.
#[derive(Clone, Debug)]
pub(crate) struct Detail(pub(crate) String);

/// Lets a request through to its handler, or not.
pub(crate) async fn pass(shared: &Arc<Shared>, rights: &Rights, mut request: Request, next: Next) -> Response {
    let Some(ConnectInfo(caller)) = request.extensions().get::<ConnectInfo<Caller>>().copied() else {
        tracing::error!("a connection does not say whose it is");
        return Refusal::engine_gone().into_response();
    };
    let (access, now) = (&shared.access, shared.access.clock.now());
    if let Err(wait) = access.rates().count(caller.peer.ip(), now.elapsed) {
        count(&shared.counts.requests_limited, 1);
        return Refusal::too_many("too many requests come from this address", wait).into_response();
    }
    let pattern = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let right = rights.of(pattern, request.method());
    let known = who_is(shared, request.headers(), now);
    let decided = decide(shared, &request, right, known);
    if !matches!(right, Right::Change(_)) {
        return match decided {
            Ok(granted) => {
                request.extensions_mut().insert(granted);
                next.run(request).await
            }
            Err((refusal, _)) => refusal.into_response(),
        };
    }
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let note = move |shared: &Shared, who: Option<&Identity>, response: &Response| {
        let (status, detail) = (response.status().as_u16(), detail(response));
        let who = (who.and_then(|who| who.user.clone()), who.map(|who| who.role));
        shared.access.note(caller.peer.ip(), (&method, &path), who, (status, &detail));
    };
    match decided {
        Err((refusal, who)) => {
            let response = refusal.into_response();
            note(shared, who.as_ref(), &response);
            response
        }
        Ok(granted) => {
            let (shared, who) = (Arc::clone(shared), granted.identity.clone());
            request.extensions_mut().insert(granted);
            // On its own: who hangs up before the answer has commanded all the same, and that is kept.
            let answered = tokio::spawn(async move {
                let response = next.run(request).await;
                note(&shared, who.as_ref(), &response);
                response
            });
            answered.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a command was not carried out to its end");
                Refusal::engine_gone().into_response()
            })
        }
    }
}

fn detail(response: &Response) -> String {
    response.extensions().get::<Detail>().map(|Detail(text)| text.clone()).unwrap_or_default()
}

/// Who a request is of, if anybody; the error is for those who show something that is wrong.
fn who_is(shared: &Arc<Shared>, headers: &HeaderMap, now: Moment) -> Result<Option<Known>, Refusal> {
    let access = &shared.access;
    match bearer(headers) {
        Err(refusal) => return Err(access.unauthorized(shared, "no_token", refusal)),
        Ok(Some(shown)) => {
            let Some((identity, holder)) = access.holder(shown) else {
                let detail = "the token is neither the agent's nor a user's";
                return Err(access.unauthorized(shared, "wrong_token", detail));
            };
            let token = holder.as_ref().map(|holder| holder.token.clone());
            if holder.is_some_and(|holder| holder.is_news) {
                let shared = Arc::clone(shared);
                // When it was used is set in memory; a change of nothing writes it down. That it failed is logged there.
                tokio::spawn(async move { shared.access.users.change(|_| Ok(())).await.is_ok() });
            }
            return Ok(Some(Known { identity, session: None, token }));
        }
        Ok(None) => {}
    }
    let session = cookie(headers, &shared.cookie_name()).and_then(|id| access.sessions().find(id, now));
    if let Some(session) = session {
        let identity = Identity { user: Some(session.user.clone()), role: session.role, how: How::Session };
        return Ok(Some(Known { identity, session: Some(session), token: None }));
    }
    let is_free = !access.is_login_required(shared.address.ip());
    let anybody = Identity { user: None, role: Role::Viewer, how: How::Loopback };
    Ok(is_free.then_some(Known { identity: anybody, session: None, token: None }))
}

/// The one bearer token of a request. Other schemes are a proxy's business.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let one = match (given.next(), given.next()) {
        (None, _) => return Ok(None),
        (Some(one), None) => one,
        _ => return Err("there is more than one Authorization header"),
    };
    // RFC 9110 §11.1: the scheme's name has no case.
    let scheme = "Bearer ";
    let shown = one.as_bytes().split_at_checked(scheme.len());
    let Some((_, shown)) = shown.filter(|(name, _)| name.eq_ignore_ascii_case(scheme.as_bytes())) else {
        return Ok(None);
    };
    std::str::from_utf8(shown.trim_ascii()).map(Some).map_err(|_| "the token is not text")
}

/// Somebody, and by what.
struct Known {
    identity: Identity,
    session: Option<Session>,
    token: Option<String>,
}

/// Whether that is enough. The error carries who was refused, where that is known.
#[expect(clippy::result_large_err, reason = "made and taken apart once a request")]
fn decide(
    shared: &Shared,
    request: &Request,
    right: Right,
    known: Result<Option<Known>, Refusal>,
) -> Result<Granted, (Refusal, Option<Identity>)> {
    let (need, changes) = match right {
        Right::Anyone => {
            let granted = match known.ok().flatten() {
                Some(Known { identity, session, token }) => Granted { identity: Some(identity), session, token, right },
                None => Granted { identity: None, session: None, token: None, right },
            };
            return Ok(granted);
        }
        Right::Read(need) => (need, false),
        Right::Change(need) => (need, true),
    };
    let access = &shared.access;
    if changes {
        check_origin(request.headers(), request.uri(), shared.is_tls).map_err(|refusal| (refusal, None))?;
    }
    if (changes || need > Role::Viewer) && !access.knows_somebody() {
        return Err((commands_off(), None));
    }
    let Some(Known { identity, session, token }) = known.map_err(|refusal| (refusal, None))? else {
        let detail = "nothing is told here without a login";
        return Err((access.unauthorized(shared, "login_required", detail), None));
    };
    if identity.how == How::Loopback && (changes || need > Role::Viewer) {
        let detail = "this needs a session, or one Authorization header with the agent's token or a user's";
        return Err((access.unauthorized(shared, "no_token", detail), None));
    }
    if identity.role < need {
        let refusal = too_low(need, &identity);
        return Err((refusal, Some(identity)));
    }
    if changes && let Some(session) = &session {
        check_csrf(request.headers(), session).map_err(|refusal| (refusal, Some(identity.clone())))?;
    }
    Ok(Granted { identity: Some(identity), session, token, right })
}

fn commands_off() -> Refusal {
    Refusal::new(
        StatusCode::FORBIDDEN,
        "commands_off",
        "this agent takes no commands over its API, because it has no token to know their senders by",
        "use `hivewall policy` on the host itself, or give the agent a token file and start it again",
    )
}

pub(crate) fn too_low(need: Role, identity: &Identity) -> Refusal {
    let user = identity.user.as_deref().unwrap_or("whoever asks");
    let detail = format!("this needs the role {}, and {user} has the role {}", need.name(), identity.role.name());
    Refusal::new(StatusCode::FORBIDDEN, "role_too_low", detail, "ask an admin to do it, or for another role")
}

/// Whether a command by cookie is of a page that could read the session.
pub(crate) fn check_csrf(headers: &HeaderMap, session: &Session) -> Result<(), Refusal> {
    let mut shown = headers.get_all(CSRF_HEADER).iter();
    let is_right = match (shown.next(), shown.next()) {
        (Some(one), None) => bool::from(one.as_bytes().ct_eq(session.csrf.as_bytes())),
        _ => false,
    };
    if is_right {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "no_csrf",
        "a command that a cookie authorises needs the session's own word in the header X-Hivewall-CSRF",
        "read `csrf` of /api/v1/session and send it along",
    ))
}

impl Access {
    fn unauthorized(&self, shared: &Shared, error: &str, detail: &str) -> Refusal {
        let hint = if self.is_login_required(shared.address.ip()) {
            "log in on the page at /, or send `Authorization: Bearer TOKEN` with a user's token".to_owned()
        } else {
            format!(
                "send `Authorization: Bearer TOKEN` with the token from {} or a user's, or log in",
                self.file.display()
            )
        };
        Refusal::new(StatusCode::UNAUTHORIZED, error, detail, hint)
    }

    /// Whether what was granted is still: for answers that go on.
    pub(crate) fn still_holds(&self, granted: &Granted) -> bool {
        let user = granted.identity.as_ref().and_then(|identity| identity.user.as_deref());
        match (&granted.session, &granted.token, user) {
            (Some(session), ..) => self.sessions().goes_on(session, self.clock.now()),
            (None, Some(token), Some(user)) => self.users.has_token(user, token),
            _ => true,
        }
    }

    /// Keeps in the trail what somebody did or tried to do.
    pub(crate) fn note(
        &self,
        peer: IpAddr,
        (method, path): (&str, &str),
        (user, role): (Option<String>, Option<Role>),
        (status, detail): (u16, &str),
    ) {
        let now = self.clock.now();
        let entry = TrailEntry {
            time: rfc3339(now.wall),
            user,
            role,
            peer: peer.to_canonical().to_string(),
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            detail: detail.to_owned(),
        };
        self.trail().note(entry, now.elapsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_scheme_has_no_case_and_other_schemes_are_none_of_ours() {
        let shown = |values: &[&str]| {
            let pairs = values.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
            bearer(&pairs.collect()).map(|shown| shown.map(str::to_owned))
        };
        assert_eq!(shown(&["Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(shown(&["bearer  abc "]), Ok(Some("abc".to_owned())));
        for none in ["", "Bearer", "Basic abc", "abc"] {
            assert_eq!(shown(&[none]), Ok(None), "{none}");
        }
        assert_eq!(shown(&[]), Ok(None));
        assert!(shown(&["Bearer abc", "Bearer abc"]).is_err(), "two headers are none");
    }
}
