//! Who may use an agent, as every surface shows it: roles, the session, users and their tokens, the trail of what was
//! done. The JSON of `/api/v1/session`, `/api/v1/users` and `/api/v1/audit`.
//!
//! Invariant: no document here that is answered with holds a password or, [`TokenIssued`] and [`CodeIssued`] aside, a token.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Fewest characters of a password.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Most bytes of a password: hashing longer ones would be work for nothing.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// What somebody may do; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// See to alerts, ban, confirm and roll back a policy.
    Operator,
    /// Apply a policy, change the fleet, keep the users.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The name shown everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// How it is known who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Not at all: the agent is asked on its own host.
    Loopback,
    /// By a cookie.
    Session,
    /// By a token.
    Token,
}

/// Who asks, and what they need to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// The user; null when nobody is logged in.
    pub user: Option<String>,
    /// What they may do; null when that is nothing.
    pub role: Option<Role>,
    /// How that is known.
    pub how: Option<How>,
    /// Whether nothing can be read without a login.
    pub login_required: bool,
    /// What commands that a cookie authorises have to carry as `X-Hivewall-CSRF`.
    pub csrf: Option<String>,
    /// When the session ends at the latest, RFC 3339, UTC.
    pub expires: Option<String>,
    /// Whether there are users who could log in.
    pub has_users: bool,
    /// Whether the agent is spoken to over TLS.
    pub tls: bool,
}

/// A login: a user and password, or a one-time code, or a token.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Name of the user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// Their password.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<String>,
    /// What `hivewall login` printed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// A user's token, or the host's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
}

/// A code that logs in once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CodeIssued {
    /// The code.
    pub code: String,
    /// What to open: path and fragment, which browsers keep to themselves.
    pub url_path: String,
    /// Until when it holds, RFC 3339, UTC.
    pub expires: String,
}

/// A token of a user, without what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// What it is taken away by.
    pub id: String,
    /// What it is for.
    pub label: String,
    /// Since when, RFC 3339, UTC.
    pub created: String,
    /// When it was shown last, RFC 3339, UTC, to a few minutes; null when never.
    pub last_used: Option<String>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Since when, RFC 3339, UTC.
    pub created: String,
    /// When they logged in last, RFC 3339, UTC; null when never.
    pub last_login: Option<String>,
    /// Their tokens.
    pub tokens: Vec<TokenView>,
}

/// All users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserPage {
    /// By name.
    pub users: Vec<UserView>,
}

/// A new user.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// Name: letters, digits, `.`, `_`, `-` and `@`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Their password.
    pub password: String,
}

/// A user who is meant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserNamed {
    /// Name.
    pub name: String,
}

/// Another role.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleRequest {
    /// Name of the user.
    pub name: String,
    /// What they may do from now on.
    pub role: Role,
}

/// Another password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// Whose; absent for one's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The present one, which one's own is changed with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub current: Option<String>,
    /// The new one.
    pub password: String,
}

/// A new token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Name of the user.
    pub name: String,
    /// What it is for.
    pub label: String,
}

/// A token that is meant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenNamed {
    /// Name of the user.
    pub name: String,
    /// Id of the token.
    pub id: String,
}

/// A token, shown only now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenIssued {
    /// What it is taken away by.
    pub id: String,
    /// The token.
    pub token: String,
}

/// What was changed about users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserOutcome {
    /// For people.
    pub done: String,
}

/// Something that somebody did or tried to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrailEntry {
    /// When, RFC 3339, UTC.
    pub time: String,
    /// Who; null when that is not known. Of a failed login, whom they said they were, if there is such a user.
    pub user: Option<String>,
    /// What they may do.
    pub role: Option<Role>,
    /// Address they came from.
    pub peer: String,
    /// Method of the request.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Status code of the answer.
    pub status: u16,
    /// What it was about, for people.
    pub detail: String,
}

/// The trail, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrailPage {
    /// Entries.
    pub entries: Vec<TrailEntry>,
}
