//! Who may do what: the host's token, users with roles, sessions, and what was done.
//!
//! On loopback whoever is on this host may read; what changes something needs a token or a session. Beyond loopback, and
//! where `always` says so, nothing is read without either. Invariants: without a token and without users nobody commands;
//! a comparison takes as long for a wrong secret as for the right one; no secret is ever shown in debug output.

mod clock;
mod gate;
mod limits;
mod password;
mod request;
mod right;
mod secret;
mod sessions;
mod trail;
mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use hivewall_view::access::{How, Role};
use subtle::ConstantTimeEq as _;

pub use clock::{Clock, Moment};
pub use limits::{
    LOGIN_FAILURES_FOR_USER, LOGIN_FAILURES_OF_PEER, LOGIN_WAIT_SECONDS_MAX, REQUESTS_BURST_MAX,
    REQUESTS_PER_SECOND_MAX,
};
pub use request::{BODIES_MAX, BODY_BYTES_MAX, Caller};
pub use right::Right;
pub use sessions::{CODE_SECONDS, SESSION_IDLE_SECONDS_MAX, SESSION_SECONDS_MAX, SESSIONS_MAX, USER_SESSIONS_MAX};
pub use trail::{TRAIL_ENTRIES_MAX, TRAIL_FILE_BYTES_MAX, TRAIL_FILES_KEPT};
pub use users::{USER_TOKENS_MAX, USERS_MAX, UsersError};

pub(crate) use gate::{Detail, Granted, check_csrf, pass, too_low};
pub(crate) use limits::{Lockout, Rates};
pub(crate) use password::{Hasher, fits};
pub(crate) use request::{Body, Commander, check_origin};
pub(crate) use right::{Rights, Route, route};
pub(crate) use secret::hex;
pub(crate) use sessions::{Codes, Session, Sessions};
pub(crate) use trail::Trail;
pub(crate) use users::{Users, check_name};

use crate::tls::Tls;

/// Fewest bytes of a token: 128 bits in hexadecimal digits.
pub const TOKEN_BYTES_MIN: usize = 32;
/// Who has the host's token: no user can have this name.
pub const HOST_USER: &str = "root (host)";

/// Name of the file of users in the directory of [`Access::keep_in`].
const USERS_FILE: &str = "users.json";
/// Name of the audit trail there.
const TRAIL_FILE: &str = "audit.jsonl";

/// What access is decided by.
#[derive(Default)]
pub struct Access {
    token: Option<Box<[u8]>>,
    file: PathBuf,
    always: bool,
    pub(crate) hosts: Vec<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) clock: Clock,
    pub(crate) hasher: Hasher,
    pub(crate) users: Users,
    keeps_users: bool,
    sessions: Mutex<Sessions>,
    codes: Mutex<Codes>,
    lockout: Mutex<Lockout>,
    rates: Mutex<Rates>,
    trail: Mutex<Trail>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("has_token", &self.token.is_some())
            .field("file", &self.file)
            .field("always", &self.always)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// A token that is too easily guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token has fewer than {TOKEN_BYTES_MIN} characters; remove its file, and the agent makes a new one")]
pub struct WeakToken;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Nobody in particular on loopback.
    pub(crate) user: Option<String>,
    pub(crate) role: Role,
    pub(crate) how: How,
}

impl Identity {
    fn host() -> Self {
        Self { user: Some(HOST_USER.to_owned()), role: Role::Admin, how: How::Token }
    }

    /// Whether they showed the host's own token.
    pub(crate) fn is_host(&self) -> bool {
        self.user.as_deref() == Some(HOST_USER) && self.how == How::Token
    }
}

impl Access {
    /// Nobody commands: every command is refused.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whoever has this token, which is kept in `file`, may do everything. White space around it does not count.
    pub fn token(token: &str, file: PathBuf) -> Result<Self, WeakToken> {
        let token = token.trim().as_bytes();
        if token.len() < TOKEN_BYTES_MIN {
            return Err(WeakToken);
        }
        Ok(Self { token: Some(token.into()), file, ..Self::default() })
    }

    /// Keeps users and the audit trail in this directory, which has to be there.
    ///
    /// The error says why the users that are there cannot be had: then nobody logs in as one of them, and the rest holds.
    pub fn keep_in(self, directory: &Path) -> (Self, Option<UsersError>) {
        let trail = Mutex::new(Trail::of(directory.join(TRAIL_FILE)));
        let (users, error) = match Users::of(directory.join(USERS_FILE)) {
            Ok(users) => (users, None),
            Err(error) => (Users::broken(&error), Some(error)),
        };
        (Self { users, trail, keeps_users: true, ..self }, error)
    }

    /// Whether a login is wanted on loopback, too.
    #[must_use]
    pub fn always(self, always: bool) -> Self {
        Self { always, ..self }
    }

    /// Names, beyond loopback's and the address itself, that requests may be for.
    #[must_use]
    pub fn hosts(self, hosts: Vec<String>) -> Self {
        Self { hosts, ..self }
    }

    /// Speaks TLS.
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Another clock than this host's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Whether anybody at all can show who they are.
    fn knows_somebody(&self) -> bool {
        self.token.is_some() || self.keeps_users
    }

    /// Whether nothing is to be read without a login at this address.
    pub(crate) fn is_login_required(&self, listening: std::net::IpAddr) -> bool {
        self.always || !listening.to_canonical().is_loopback()
    }

    /// Whose token this is, and its id where it is a user's.
    pub(crate) fn holder(&self, shown: &str) -> Option<(Identity, Option<users::Holder>)> {
        if self.token.as_ref().is_some_and(|token| bool::from(shown.as_bytes().ct_eq(token))) {
            return Some((Identity::host(), None));
        }
        let holder = self.users.holder(shown, self.clock.now().wall)?;
        let identity = Identity { user: Some(holder.name.clone()), role: holder.role, how: How::Token };
        Some((identity, Some(holder)))
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        locked(&self.sessions)
    }

    pub(crate) fn codes(&self) -> MutexGuard<'_, Codes> {
        locked(&self.codes)
    }

    pub(crate) fn lockout(&self) -> MutexGuard<'_, Lockout> {
        locked(&self.lockout)
    }

    pub(crate) fn rates(&self) -> MutexGuard<'_, Rates> {
        locked(&self.rates)
    }

    pub(crate) fn trail(&self) -> MutexGuard<'_, Trail> {
        locked(&self.trail)
    }
}

/// A panic while one of these was held leaves nothing half done that matters, so poison is ignored.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one value of a cookie; none where there are several, for one of them is somebody else's.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(axum::http::header::COOKIE).iter().filter_map(|header| header.to_str().ok());
    let mut values = all.flat_map(|header| header.split(';')).filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    });
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_hosts_token_alone_is_the_hosts() {
        let access = Access::token(&format!("{TOKEN}\n"), PathBuf::from("/run/hivewall/token")).unwrap();
        assert!(access.holder(TOKEN).is_some_and(|(identity, _)| identity.is_host() && identity.role == Role::Admin));
        for wrong in ["", " ", &format!("{TOKEN}0"), &TOKEN.to_uppercase(), TOKEN.trim_end_matches('f')] {
            assert_eq!(access.holder(wrong).map(|(identity, _)| identity), None, "{wrong}");
        }
        assert!(!format!("{access:?}").contains(TOKEN));
        assert!(Access::none().holder("").is_none());
        assert_eq!(Access::token(" \n", PathBuf::new()).unwrap_err(), WeakToken);
    }

    #[test]
    fn of_two_cookies_of_one_name_neither_counts() {
        let headers = |cookies: &[&str]| {
            let pairs = cookies.iter().map(|cookie| (axum::http::header::COOKIE, cookie.parse().unwrap()));
            pairs.collect::<HeaderMap>()
        };
        assert_eq!(cookie(&headers(&["a=1; s=2"]), "s"), Some("2"));
        assert_eq!(cookie(&headers(&["a=1", "s=2;b=3"]), "s"), Some("2"));
        for cookies in [&["s=1; s=2"][..], &["s=1", "s=1"], &["xs=1"], &["s"], &[]] {
            assert_eq!(cookie(&headers(cookies), "s"), None, "{cookies:?}");
        }
    }
}
