//! Users and their tokens, in one file that only its owner can read and that is replaced whole.
//!
//! Deliberately not here: hashing (`password`), sessions. Invariant: what holds in memory is what is on the disk, but for
//! when a token was used last; a file that cannot be read lets nobody in and is not written over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use hivewall_model::Timestamp;
use hivewall_view::access::{Role, TokenIssued, TokenView, UserPage, UserView};
use hivewall_view::time::{parse_rfc3339, rfc3339};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::secret::{self, Hash, hex};
use crate::error::Refusal;

/// Users at most.
pub const USERS_MAX: usize = 1_000;
/// Tokens of one user at most.
pub const USER_TOKENS_MAX: usize = 32;
/// Bytes of a user's name and of a token's label at most.
const NAME_BYTES_MAX: usize = 64;
/// How exactly it is kept when a token was used last: each time would be a write for each request.
const LAST_USED_EVERY: Duration = Duration::from_secs(300);
/// What a user's token begins with, so that who finds one knows what it is.
const TOKEN_PREFIX: &str = "hwt_";
/// Version of the file.
const VERSION: u32 = 1;

/// Why the users cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error("{} can be read by others (mode {mode:o}); `chmod 600` it, and have every password changed", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not what it should be.
    #[error("{} is not understood: {source}; bring back a copy, or remove it and add the users anew", file.display())]
    Garbled {
        /// The file.
        file: PathBuf,
        /// Where it is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It is of a later version.
    #[error("{} is of version {version}, and this agent knows version {VERSION}", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    id: String,
    label: String,
    sha256: String,
    created: String,
    last_used: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    role: Role,
    /// A PHC string.
    password: String,
    created: String,
    last_login: Option<String>,
    tokens: Vec<Token>,
}

/// All users, by name.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    version: u32,
    users: Vec<User>,
}

impl Default for Book {
    fn default() -> Self {
        Self { version: VERSION, users: Vec::new() }
    }
}

/// Whose token it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Id of the token.
    pub(crate) token: String,
    /// Whether it is worth a write that it was used.
    pub(crate) is_news: bool,
}

fn unknown(name: &str) -> Refusal {
    let detail = format!("there is no user `{name}`");
    Refusal::new(StatusCode::NOT_FOUND, "unknown_user", detail, "see /api/v1/users for who there is")
}

fn conflict(error: &str, detail: String, hint: &str) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, error, detail, hint)
}

fn bad_name(detail: String, hint: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_name", detail, hint)
}

/// Whether a user can have this name. Names of the agent's own have other characters.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins_well && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_plain) {
        return Ok(());
    }
    let hint = "begin with a letter or a digit; more of them, `.`, `_`, `-` and `@` may follow, 64 in all";
    Err(bad_name("that is no name that a user can have".to_owned(), hint))
}

impl Book {
    fn user(&mut self, name: &str) -> Result<&mut User, Refusal> {
        self.users.iter_mut().find(|user| user.name == name).ok_or_else(|| unknown(name))
    }

    /// Refuses what would leave nobody who may keep users, where there are some.
    fn keep_an_admin(&self, but: &str) -> Result<(), Refusal> {
        let is_admin = |user: &User| user.role == Role::Admin;
        let is_last = self.users.iter().any(|user| user.name == but && is_admin(user))
            && !self.users.iter().any(|user| user.name != but && is_admin(user));
        if is_last {
            let detail = format!("`{but}` is the last admin");
            return Err(conflict("last_admin", detail, "make somebody else an admin first"));
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, name: &str, role: Role, password: String, now: Timestamp) -> Result<(), Refusal> {
        check_name(name)?;
        if self.users.iter().any(|user| user.name.eq_ignore_ascii_case(name)) {
            let detail = format!("there is a user `{name}` already");
            return Err(conflict("user_exists", detail, "choose another name, or change that user"));
        }
        if self.users.len() >= USERS_MAX {
            let detail = format!("there are {USERS_MAX} users already");
            return Err(conflict("too_many_users", detail, "remove one that is no longer needed"));
        }
        let (created, tokens) = (rfc3339(now), Vec::new());
        self.users.push(User { name: name.to_owned(), role, password, created, last_login: None, tokens });
        self.users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Refusal> {
        self.user(name)?;
        self.keep_an_admin(name)?;
        self.users.retain(|user| user.name != name);
        Ok(())
    }

    pub(crate) fn set_role(&mut self, name: &str, role: Role) -> Result<(), Refusal> {
        self.user(name)?;
        if role != Role::Admin {
            self.keep_an_admin(name)?;
        }
        self.user(name)?.role = role;
        Ok(())
    }

    pub(crate) fn set_password(&mut self, name: &str, password: String) -> Result<(), Refusal> {
        self.user(name)?.password = password;
        Ok(())
    }

    pub(crate) fn logged_in(&mut self, name: &str, now: Timestamp) -> Result<(), Refusal> {
        self.user(name)?.last_login = Some(rfc3339(now));
        Ok(())
    }

    pub(crate) fn add_token(&mut self, name: &str, label: &str, now: Timestamp) -> Result<TokenIssued, Refusal> {
        let label = label.trim();
        if label.is_empty() || label.len() > NAME_BYTES_MAX || label.chars().any(char::is_control) {
            let detail = format!("a token needs a label of at most {NAME_BYTES_MAX} bytes on one line");
            return Err(bad_name(detail, "say what it is for, such as `prometheus`"));
        }
        let user = self.user(name)?;
        if user.tokens.len() >= USER_TOKENS_MAX {
            let detail = format!("`{name}` has {USER_TOKENS_MAX} tokens already");
            return Err(conflict("too_many_tokens", detail, "take one away that is no longer needed"));
        }
        let token = format!("{TOKEN_PREFIX}{}", secret::random()?);
        let id = secret::random()?.chars().take(12).collect::<String>();
        let sha256 = hex(&secret::hash(&token));
        let (label, created) = (label.to_owned(), rfc3339(now));
        user.tokens.push(Token { id: id.clone(), label, sha256, created, last_used: None });
        Ok(TokenIssued { id, token })
    }

    pub(crate) fn remove_token(&mut self, name: &str, id: &str) -> Result<(), Refusal> {
        let user = self.user(name)?;
        let before = user.tokens.len();
        user.tokens.retain(|token| token.id != id);
        if user.tokens.len() == before {
            let detail = format!("`{name}` has no token `{id}`");
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "unknown_token",
                detail,
                "see /api/v1/users for their ids",
            ));
        }
        Ok(())
    }

    fn holder(&mut self, hash: &Hash, now: Timestamp) -> Option<Holder> {
        let hash = hex(hash);
        for user in &mut self.users {
            for token in &mut user.tokens {
                if !bool::from(token.sha256.as_bytes().ct_eq(hash.as_bytes())) {
                    continue;
                }
                let before = token.last_used.as_deref().and_then(parse_rfc3339);
                let is_news = before.is_none_or(|before| now.since(before) >= LAST_USED_EVERY);
                if is_news {
                    token.last_used = Some(rfc3339(now));
                }
                let (name, token) = (user.name.clone(), token.id.clone());
                return Some(Holder { name, role: user.role, token, is_news });
            }
        }
        None
    }

    fn page(&self) -> UserPage {
        let token = |token: &Token| TokenView {
            id: token.id.clone(),
            label: token.label.clone(),
            created: token.created.clone(),
            last_used: token.last_used.clone(),
        };
        let user = |user: &User| UserView {
            name: user.name.clone(),
            role: user.role,
            created: user.created.clone(),
            last_login: user.last_login.clone(),
            tokens: user.tokens.iter().map(token).collect(),
        };
        UserPage { users: self.users.iter().map(user).collect() }
    }
}

/// Where users are kept.
#[derive(Default)]
enum Place {
    /// Nowhere: there are none.
    #[default]
    Nowhere,
    File(PathBuf),
    /// In a file that cannot be read: nobody gets in, and nothing is changed.
    Broken(String),
}

/// The users of an agent.
#[derive(Default)]
pub(crate) struct Users {
    place: Place,
    book: Arc<Mutex<Book>>,
    changing: tokio::sync::Mutex<()>,
}

impl Users {
    /// Those in `file`; none where there is no such file.
    pub(crate) fn of(file: PathBuf) -> Result<Self, UsersError> {
        let book = read(&file)?.unwrap_or_default();
        Ok(Self { place: Place::File(file), book: Arc::new(Mutex::new(book)), ..Self::default() })
    }

    /// Nobody, for this reason.
    pub(crate) fn broken(error: &UsersError) -> Self {
        Self { place: Place::Broken(error.to_string()), ..Self::default() }
    }

    // A panic while it was held leaves nothing half done: changes are made to a copy.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.book().users.is_empty()
    }

    pub(crate) fn page(&self) -> UserPage {
        self.book().page()
    }

    /// What is kept of a user's password, and their role.
    pub(crate) fn kept(&self, name: &str) -> Option<(String, Role)> {
        let book = self.book();
        let user = book.users.iter().find(|user| user.name == name)?;
        Some((user.password.clone(), user.role))
    }

    /// Whose token this is.
    pub(crate) fn holder(&self, token: &str, now: Timestamp) -> Option<Holder> {
        if !token.starts_with(TOKEN_PREFIX) {
            return None;
        }
        let hash = secret::hash(token);
        self.book().holder(&hash, now)
    }

    /// Whether this token, by its id, is still this user's.
    pub(crate) fn has_token(&self, name: &str, id: &str) -> bool {
        let book = self.book();
        let user = book.users.iter().find(|user| user.name == name);
        user.is_some_and(|user| user.tokens.iter().any(|token| token.id == id))
    }

    /// Changes a copy, keeps it, and only then lets it hold.
    pub(crate) async fn change<T>(&self, change: impl FnOnce(&mut Book) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let file = match &self.place {
            Place::File(file) => file.clone(),
            Place::Nowhere => {
                let hint = "give the agent an `api.directory` to keep them in, and start it again";
                return Err(conflict("no_users_here", "this agent keeps no users".to_owned(), hint));
            }
            Place::Broken(why) => {
                return Err(conflict("users_broken", why.clone(), "mend the file, and start the agent again"));
            }
        };
        let _turn = self.changing.lock().await;
        let mut book = self.book().clone();
        let outcome = change(&mut book)?;
        let kept = book.clone();
        let written = tokio::task::spawn_blocking(move || write(&file, &kept)).await;
        match written {
            Ok(Ok(())) => {
                *self.book() = book;
                Ok(outcome)
            }
            failed => {
                tracing::error!(?failed, "the users could not be kept; what held before still holds");
                Err(Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "users_not_kept",
                    "the change could not be kept; what held before still holds",
                    "see the agent's log, and whether the disk is full",
                ))
            }
        }
    }
}

fn read(file: &Path) -> Result<Option<Book>, UsersError> {
    let failed = |source| UsersError::Read { file: file.to_path_buf(), source };
    let mut open = match File::open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = open.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(UsersError::Open { file: file.to_path_buf(), mode });
    }
    let text = io::read_to_string(&mut open).map_err(failed)?;
    let book: Book =
        serde_json::from_str(&text).map_err(|source| UsersError::Garbled { file: file.to_path_buf(), source })?;
    if book.version != VERSION {
        return Err(UsersError::Version { file: file.to_path_buf(), version: book.version });
    }
    Ok(Some(book))
}

fn write(file: &Path, book: &Book) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(book)?;
    replace(file, &text)
}

/// Puts a new file, which its owner alone can read, into the place of the old one: whoever reads sees one or the other.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    // One that was left behind may have another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests;
