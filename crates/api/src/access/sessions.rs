//! Sessions and one-time codes, in memory. Ids are random and never come from the client, so nobody can fix one on another;
//! of an id only its hash is kept.
//!
//! Invariant: a session ends [`SESSION_SECONDS_MAX`] after its login and [`SESSION_IDLE_SECONDS_MAX`] after its last use;
//! however many log in, memory is bounded, and one user cannot push another's sessions out.

use std::collections::HashMap;
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::access::Role;

use super::clock::Moment;
use super::secret::{self, Hash};
use crate::error::Refusal;

/// Longest that a session lasts.
pub const SESSION_SECONDS_MAX: u64 = 12 * 3600;
/// Longest that it lasts unused.
pub const SESSION_IDLE_SECONDS_MAX: u64 = 3600;
/// Sessions at most; beyond, the one that was unused longest ends.
pub const SESSIONS_MAX: usize = 1_024;
/// Sessions of one user at most; beyond, theirs that was unused longest ends.
pub const USER_SESSIONS_MAX: usize = 32;
/// How long a one-time code holds.
pub const CODE_SECONDS: u64 = 300;
/// Codes that may wait to be used; beyond, the oldest no longer holds.
const CODES_MAX: usize = 16;

const LONGEST: Duration = Duration::from_secs(SESSION_SECONDS_MAX);
const IDLE: Duration = Duration::from_secs(SESSION_IDLE_SECONDS_MAX);

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) role: Role,
    pub(crate) csrf: String,
    /// When it ends at the latest.
    pub(crate) expires: Timestamp,
    /// What it is found by.
    key: Hash,
    /// Id of the user's token that it was opened with.
    by: Option<String>,
    opened: Duration,
    used: Duration,
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions(HashMap<Hash, Session>);

impl Sessions {
    /// A new session: its id, which is told once, and what it is.
    pub(crate) fn open(
        &mut self,
        (user, role): (&str, Role),
        by: Option<String>,
        now: Moment,
    ) -> Result<(String, Session), Refusal> {
        self.0.retain(|_, session| session.lasts(now));
        if self.0.values().filter(|session| session.user == user).count() >= USER_SESSIONS_MAX {
            self.end_oldest(|session| session.user == user);
        }
        if self.0.len() >= SESSIONS_MAX {
            self.end_oldest(|_| true);
        }
        let id = secret::random()?;
        let (opened, used, expires) = (now.elapsed, now.elapsed, now.wall + LONGEST);
        let (key, user, csrf) = (secret::hash(&id), user.to_owned(), secret::random()?);
        let session = Session { user, role, csrf, expires, key, by, opened, used };
        self.0.insert(key, session.clone());
        Ok((id, session))
    }

    fn end_oldest(&mut self, of: impl Fn(&Session) -> bool) {
        let oldest = self.0.iter().filter(|(_, session)| of(session)).min_by_key(|(_, session)| session.used);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.0.remove(&id);
        }
    }

    /// The session of this id, which is used by this.
    pub(crate) fn find(&mut self, id: &str, now: Moment) -> Option<Session> {
        let id = secret::hash(id);
        let session = self.0.get_mut(&id)?;
        if !session.lasts(now) {
            self.0.remove(&id);
            return None;
        }
        session.used = now.elapsed;
        Some(session.clone())
    }

    /// Whether it goes on, which is no use of it.
    pub(crate) fn goes_on(&self, session: &Session, now: Moment) -> bool {
        self.0.get(&session.key).is_some_and(|kept| kept.lasts(now))
    }

    /// Ends it, and says whose it was.
    pub(crate) fn end(&mut self, id: &str) -> Option<Session> {
        self.0.remove(&secret::hash(id))
    }

    /// Ends all of a user.
    pub(crate) fn end_of_user(&mut self, user: &str) {
        self.0.retain(|_, session| session.user != user);
    }

    /// Ends those that were opened with this token of a user.
    pub(crate) fn end_of_token(&mut self, user: &str, token: &str) {
        self.0.retain(|_, session| session.user != user || session.by.as_deref() != Some(token));
    }
}

impl Session {
    fn lasts(&self, now: Moment) -> bool {
        now.elapsed.saturating_sub(self.opened) < LONGEST && now.elapsed.saturating_sub(self.used) < IDLE
    }
}

/// Codes that log in once.
#[derive(Default)]
pub(crate) struct Codes(Vec<(Hash, Duration)>);

impl Codes {
    /// A new code and when it ends.
    pub(crate) fn issue(&mut self, now: Moment) -> Result<(String, Timestamp), Refusal> {
        let lasts = Duration::from_secs(CODE_SECONDS);
        self.0.retain(|(_, ends)| now.elapsed < *ends);
        if self.0.len() >= CODES_MAX {
            self.0.remove(0);
        }
        let code = secret::random()?;
        self.0.push((secret::hash(&code), now.elapsed + lasts));
        Ok((code, now.wall + lasts))
    }

    /// Whether it holds; it does not any more afterwards.
    pub(crate) fn take(&mut self, code: &str, now: Moment) -> bool {
        let hash = secret::hash(code);
        let found = self.0.iter().position(|(kept, _)| *kept == hash);
        found.is_some_and(|at| now.elapsed < self.0.remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        let elapsed = Duration::from_secs(seconds);
        Moment { elapsed, wall: Timestamp::from_secs(1_700_000_000) + elapsed }
    }

    fn open(sessions: &mut Sessions, user: &str, now: u64) -> String {
        sessions.open((user, Role::Viewer), None, at(now)).unwrap().0
    }

    #[test]
    fn a_session_ends_unused_after_an_hour_and_used_after_twelve() {
        let mut sessions = Sessions::default();
        let idle = open(&mut sessions, "ada", 0);
        assert!(sessions.find(&idle, at(SESSION_IDLE_SECONDS_MAX - 1)).is_some());
        assert!(sessions.find(&idle, at(2 * SESSION_IDLE_SECONDS_MAX - 1)).is_none(), "an hour after its last use");
        assert!(sessions.find(&idle, at(0)).is_none(), "what has ended stays ended");
        let used = open(&mut sessions, "ada", 0);
        for now in (0..SESSION_SECONDS_MAX).step_by(1800) {
            assert!(sessions.find(&used, at(now)).is_some(), "{now}");
        }
        assert!(sessions.find(&used, at(SESSION_SECONDS_MAX)).is_none());
    }

    #[test]
    fn ids_are_random_and_those_that_clients_make_up_mean_nothing() {
        let mut sessions = Sessions::default();
        let (first, second) = (open(&mut sessions, "ada", 0), open(&mut sessions, "ada", 0));
        assert_ne!(first, second);
        let csrf = |sessions: &mut Sessions, id: &str| sessions.find(id, at(0)).unwrap().csrf;
        assert_ne!(csrf(&mut sessions, &first), csrf(&mut sessions, &second));
        for made_up in ["", "0", &"0".repeat(64), &first.to_uppercase()] {
            assert!(sessions.find(made_up, at(0)).is_none(), "{made_up}");
        }
    }

    #[test]
    fn sessions_end_by_id_by_user_and_by_token() {
        let mut sessions = Sessions::default();
        let (ada, bob) = (open(&mut sessions, "ada", 0), open(&mut sessions, "bob", 0));
        let (by_token, _) = sessions.open(("bob", Role::Viewer), Some("t1".to_owned()), at(0)).unwrap();
        sessions.end_of_token("ada", "t1");
        sessions.end_of_token("bob", "t2");
        assert!(sessions.find(&by_token, at(0)).is_some());
        sessions.end_of_token("bob", "t1");
        assert!(sessions.find(&by_token, at(0)).is_none() && sessions.find(&bob, at(0)).is_some());
        sessions.end_of_user("bob");
        assert!(sessions.find(&bob, at(0)).is_none() && sessions.find(&ada, at(0)).is_some());
        let still = sessions.find(&ada, at(0)).unwrap();
        assert!(sessions.goes_on(&still, at(0)) && !sessions.goes_on(&still, at(SESSION_IDLE_SECONDS_MAX)));
        assert_eq!(sessions.end(&ada).unwrap().user, "ada");
        assert!(!sessions.goes_on(&still, at(0)));
        assert!(sessions.find(&ada, at(0)).is_none() && sessions.end(&ada).is_none());
    }

    #[test]
    fn one_user_pushes_out_only_their_own_and_all_together_are_bounded() {
        let mut sessions = Sessions::default();
        let ada = open(&mut sessions, "ada", 0);
        let mut bobs: Vec<String> = Vec::new();
        for now in 1..=u64::try_from(USER_SESSIONS_MAX).unwrap() + 1 {
            bobs.push(open(&mut sessions, "bob", now));
        }
        assert!(sessions.find(&ada, at(100)).is_some());
        assert!(sessions.find(&bobs[0], at(100)).is_none() && sessions.find(&bobs[1], at(100)).is_some());
        for user in 0..SESSIONS_MAX {
            open(&mut sessions, &user.to_string(), 200);
        }
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        open(&mut sessions, "late", 200 + SESSION_IDLE_SECONDS_MAX);
        assert_eq!(sessions.0.len(), 1, "those that ended make room");
    }

    #[test]
    fn a_code_holds_once_and_for_five_minutes() {
        let mut codes = Codes::default();
        let (code, expires) = codes.issue(at(0)).unwrap();
        assert_eq!(expires, at(CODE_SECONDS).wall);
        assert!(!codes.take("", at(0)) && !codes.take(&"0".repeat(64), at(0)));
        assert!(codes.take(&code, at(CODE_SECONDS - 1)) && !codes.take(&code, at(CODE_SECONDS - 1)));
        let (late, _) = codes.issue(at(0)).unwrap();
        assert!(!codes.take(&late, at(CODE_SECONDS)));
        let first = codes.issue(at(0)).unwrap().0;
        for _ in 0..CODES_MAX {
            codes.issue(at(0)).unwrap();
        }
        assert!(!codes.take(&first, at(0)) && codes.0.len() == CODES_MAX);
    }
}
