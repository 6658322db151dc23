//! Login and logout. Deliberately not here: what a session is, which is `access::sessions`. Invariants: a login gets an id
//! that nobody knew before it; whether a user or only the password is unknown shows neither in the answer nor in its time.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use hivewall_view::access::{CodeIssued, How, LoginRequest, Role, SessionView};
use hivewall_view::time::rfc3339;

use crate::access::{
    Body, Caller, Commander, Granted, HOST_USER, Identity, SESSION_SECONDS_MAX, Session, check_csrf, check_origin,
    cookie,
};
use crate::error::{Problem, Refusal};
use crate::params::Pairs;
use crate::routes::json;
use crate::state::{Shared, count};

const PATH: &str = "/api/v1/session";
/// Most bytes of a name that somebody says they have.
const CLAIMED_BYTES_MAX: usize = 64;

fn view(shared: &Shared, identity: Option<&Identity>, session: Option<&Session>) -> SessionView {
    SessionView {
        user: identity.and_then(|identity| identity.user.clone()),
        role: identity.map(|identity| identity.role),
        how: identity.map(|identity| identity.how),
        login_required: shared.access.is_login_required(shared.address.ip()),
        csrf: session.map(|session| session.csrf.clone()),
        expires: session.map(|session| rfc3339(session.expires)),
        has_users: !shared.access.users.is_empty(),
        tls: shared.is_tls,
    }
}

/// Who asks, what they may do, and whether they have to log in. Never refused.
#[utoipa::path(
    get,
    path = "/api/v1/session",
    tag = "access",
    operation_id = "session",
    responses(
        (status = 200, description = "Who asks.", body = SessionView),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn session(
    State(shared): State<Arc<Shared>>,
    Granted { identity, session, .. }: Granted,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    json(StatusCode::OK, Arc::new(view(&shared, identity.as_ref(), session.as_ref()))).await
}

/// What somebody shows at a login.
enum Shown {
    Password { user: String, password: String },
    Code(String),
    Token(String),
}

impl Shown {
    fn read(request: LoginRequest) -> Result<Self, Refusal> {
        match request {
            LoginRequest { user: Some(user), password: Some(password), code: None, token: None } => {
                Ok(Self::Password { user, password })
            }
            LoginRequest { user: None, password: None, code: Some(code), token: None } => Ok(Self::Code(code)),
            LoginRequest { user: None, password: None, code: None, token: Some(token) } => Ok(Self::Token(token)),
            _ => {
                let detail = "a login needs `user` and `password`, or `code`, or `token`, and nothing beside it";
                Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_login", detail, "send one of them"))
            }
        }
    }

    const fn way(&self) -> &'static str {
        match self {
            Self::Password { .. } => "password",
            Self::Code(_) => "one-time code",
            Self::Token(_) => "token",
        }
    }

    /// Whose login it is meant to be, cut so that nobody fills memory or a file with it.
    fn claimed(&self) -> Option<&str> {
        match self {
            Self::Password { user, .. } => Some(user.get(..CLAIMED_BYTES_MAX).unwrap_or(user)),
            _ => None,
        }
    }
}

/// Logs in with a user and password, a one-time code, or a token, and sets a cookie.
#[utoipa::path(
    post,
    path = "/api/v1/session",
    tag = "access",
    operation_id = "log_in",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "It is a session from now on; the cookie is set.", body = SessionView),
        (status = 400, description = "The request is not understood.", body = Problem),
        (status = 401, description = "It is wrong.", body = Problem),
        (status = 403, description = "Not from that page.", body = Problem),
        (status = 415, description = "The body is not JSON.", body = Problem),
        (status = 429, description = "Too many logins failed: wait as long as Retry-After says.", body = Problem),
    )
)]
pub(crate) async fn log_in(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    headers: HeaderMap,
    pairs: Pairs,
    Body(request): Body<LoginRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let shown = Shown::read(request)?;
    let (access, peer, way) = (&shared.access, caller.peer.ip(), shown.way());
    let claimed = shown.claimed().map(str::to_owned);
    // Only a name that there is: people type passwords into the wrong field.
    let known = claimed.as_deref().filter(|name| access.users.kept(name).is_some()).map(str::to_owned);
    let note = |status: u16, detail: &str| access.note(peer, ("POST", PATH), (known.clone(), None), (status, detail));
    let now = access.clock.now();
    if let Err(wait) = access.lockout().attempt(peer, claimed.as_deref(), now.elapsed) {
        count(&shared.counts.logins_limited, 1);
        note(429, &format!("login by {way} not tried: too many failed"));
        return Err(Refusal::too_many("too many logins failed", wait));
    }
    let Some((identity, by)) = check(&shared, shown).await? else {
        count(&shared.counts.logins_failed, 1);
        note(401, &format!("login by {way} failed"));
        let detail = "the user, the password, the code or the token is wrong";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "wrong_login", detail, "try again, or ask an admin"));
    };
    access.lockout().succeeded(peer, claimed.as_deref());
    count(&shared.counts.logins, 1);
    let user = identity.user.clone().unwrap_or_default();
    if let Some(before) = cookie(&headers, &shared.cookie_name()) {
        access.sessions().end(before);
    }
    let (id, session) = access.sessions().open((&user, identity.role), by, access.clock.now())?;
    access.note(peer, ("POST", PATH), (Some(user.clone()), Some(identity.role)), (200, &format!("login by {way}")));
    if user != HOST_USER {
        let wall = access.clock.now().wall;
        // A disk that is full must not lock anybody out; that it failed is in the log.
        let _ = access.users.change(|book| book.logged_in(&user, wall)).await;
    }
    let identity = Identity { how: How::Session, ..identity };
    let mut response = json(StatusCode::OK, Arc::new(view(&shared, Some(&identity), Some(&session)))).await?;
    set_cookie(&shared, &mut response, &id, SESSION_SECONDS_MAX);
    Ok(response)
}

/// Who showed that, and by which token of a user.
async fn check(shared: &Shared, shown: Shown) -> Result<Option<(Identity, Option<String>)>, Refusal> {
    let access = &shared.access;
    match shown {
        Shown::Code(code) => {
            let is_right = access.codes().take(&code, access.clock.now());
            let host = Identity { user: Some(HOST_USER.to_owned()), role: Role::Admin, how: How::Session };
            Ok(is_right.then_some((host, None)))
        }
        Shown::Token(token) => {
            let held = access.holder(token.trim());
            Ok(held.map(|(identity, holder)| (identity, holder.map(|holder| holder.token))))
        }
        Shown::Password { user, password } => {
            let kept = access.users.kept(&user);
            let hash = kept.as_ref().map(|(hash, _)| hash.clone());
            let is_right = access.hasher.is_right(password, hash).await?;
            // Meanwhile the user may have been removed, or have got another password or role.
            let still = access.users.kept(&user).filter(|still| Some(still) == kept.as_ref());
            Ok(still
                .filter(|_| is_right)
                .map(|(_, role)| (Identity { user: Some(user), role, how: How::Session }, None)))
        }
    }
}

/// Ends the session of this cookie.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    tag = "access",
    operation_id = "log_out",
    responses(
        (status = 200, description = "Nobody is logged in any more; the cookie is taken back.", body = SessionView),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 403, description = "Not from that page.", body = Problem),
    )
)]
pub(crate) async fn log_out(
    State(shared): State<Arc<Shared>>,
    Granted { session, .. }: Granted,
    caller: Caller,
    headers: HeaderMap,
    uri: axum::http::Uri,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    check_origin(&headers, &uri, shared.is_tls)?;
    let access = &shared.access;
    if let Some(session) = &session {
        check_csrf(&headers, session)?;
        if let Some(id) = cookie(&headers, &shared.cookie_name()) {
            access.sessions().end(id);
        }
        let who = (Some(session.user.clone()), Some(session.role));
        access.note(caller.peer.ip(), ("DELETE", PATH), who, (200, "logout"));
    }
    let is_free = !access.is_login_required(shared.address.ip());
    let anybody = is_free.then_some(Identity { user: None, role: Role::Viewer, how: How::Loopback });
    let mut response = json(StatusCode::OK, Arc::new(view(&shared, anybody.as_ref(), None))).await?;
    set_cookie(&shared, &mut response, "", 0);
    Ok(response)
}

fn set_cookie(shared: &Shared, response: &mut Response, id: &str, seconds: u64) {
    let secure = if shared.is_tls { "; Secure" } else { "" };
    let name = shared.cookie_name();
    let text = format!("{name}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}");
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

/// A code that logs in once, as the host's admin, within five minutes. Only for who shows the host's own token.
#[utoipa::path(
    post,
    path = "/api/v1/session/code",
    tag = "access",
    operation_id = "session_code",
    responses(
        (status = 200, description = "The code, shown only now.", body = CodeIssued),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 401, description = "The token is missing or wrong.", body = Problem),
        (status = 403, description = "It is not the host's token.", body = Problem),
    )
)]
pub(crate) async fn code(
    _commander: Commander,
    State(shared): State<Arc<Shared>>,
    Granted { identity, .. }: Granted,
    pairs: Pairs,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    if !identity.is_some_and(|identity| identity.is_host()) {
        let (detail, hint) = ("only the host's own token is worth a code", "use `hivewall login` on the host");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not_the_host", detail, hint));
    }
    let (code, expires) = shared.access.codes().issue(shared.access.clock.now())?;
    let url_path = format!("/#login={code}");
    json(StatusCode::OK, Arc::new(CodeIssued { code, url_path, expires: rfc3339(expires) })).await
}
