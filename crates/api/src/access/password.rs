//! Passwords: argon2id with the parameters that OWASP gives (19 MiB, two passes, one lane), a few at a time and beside the
//! threads that serve.
//!
//! Invariant: to learn that there is no such user takes as long as to learn that the password is wrong.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use axum::http::StatusCode;
use hivewall_view::access::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN};
use tokio::sync::Semaphore;

use crate::error::Refusal;

/// Passwords that are hashed at once.
const AT_ONCE: usize = 2;
/// Those that wait their turn; beyond, a login is told to come again.
const WAITING_MAX: usize = 16;
/// Bytes of a salt.
const SALT_BYTES: usize = 16;

/// The one place where passwords are hashed.
#[derive(Debug)]
pub(crate) struct Hasher {
    turns: Semaphore,
    places: Semaphore,
    /// What the password of a user who does not exist is compared with.
    nobody: String,
}

fn argon2() -> Result<Argon2<'static>, Refusal> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|error| broken(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn broken(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "a password could not be hashed");
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "password_failed",
        "the password could not be hashed",
        "see the agent's log and try again",
    )
}

impl Default for Hasher {
    fn default() -> Self {
        let random = SaltString::encode_b64(&[7; SALT_BYTES]).ok();
        let nobody = argon2().ok().zip(random).and_then(|(argon2, salt)| Some(phc(&argon2, b"", &salt)?.to_string()));
        Self {
            turns: Semaphore::new(AT_ONCE),
            places: Semaphore::new(AT_ONCE + WAITING_MAX),
            nobody: nobody.unwrap_or_default(),
        }
    }
}

fn phc<'s>(argon2: &Argon2<'_>, password: &[u8], salt: &'s SaltString) -> Option<PasswordHash<'s>> {
    argon2.hash_password(password, salt).ok()
}

impl Hasher {
    /// What is kept of a new password: a PHC string.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Refusal> {
        self.in_turn(move || {
            let mut salt = [0; SALT_BYTES];
            getrandom::fill(&mut salt).map_err(|error| broken(&error))?;
            let salt = SaltString::encode_b64(&salt).map_err(|error| broken(&error))?;
            let hash = argon2()?.hash_password(password.as_bytes(), &salt).map_err(|error| broken(&error))?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` is the one that `kept` was made of; never, and as slowly, where nothing is kept.
    pub(crate) async fn is_right(&self, password: String, kept: Option<String>) -> Result<bool, Refusal> {
        let is_somebody = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobody.clone());
        let is_right = self
            .in_turn(move || {
                if password.len() > PASSWORD_BYTES_MAX {
                    return Ok(false);
                }
                let hash = PasswordHash::new(&kept).map_err(|error| broken(&error))?;
                Ok(argon2()?.verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(is_right && is_somebody)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let _place = self.places.try_acquire().map_err(|_| Refusal::busy("too many logins are under way"))?;
        let _turn = self.turns.acquire().await.map_err(|error| broken(&error))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))?
    }
}

/// Whether a password can be had at all.
pub(crate) fn fits(password: &str, name: &str) -> Result<(), Refusal> {
    let bad = |detail: String| {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_password", detail, "choose a longer one: a few words do well")
    };
    if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(bad(format!("the password has fewer than {PASSWORD_CHARACTERS_MIN} characters")));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(bad(format!("the password has more than {PASSWORD_BYTES_MAX} bytes")));
    }
    if password.eq_ignore_ascii_case(name) {
        return Err(bad("the password is the user's name".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn the_password_alone_is_right_and_the_hash_says_how_it_was_made() {
        let hasher = Hasher::default();
        let kept = hasher.hash("correct horse".to_owned()).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, hasher.hash("correct horse".to_owned()).await.unwrap(), "each has a salt of its own");
        assert!(hasher.is_right("correct horse".to_owned(), Some(kept.clone())).await.unwrap());
        for wrong in ["correct hors", "Correct horse", ""] {
            assert!(!hasher.is_right(wrong.to_owned(), Some(kept.clone())).await.unwrap(), "{wrong}");
        }
        assert!(!hasher.is_right(String::new(), None).await.unwrap(), "nobody has no password");
    }

    #[tokio::test]
    async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
        let hasher = Hasher::default();
        let kept = hasher.hash("correct horse".to_owned()).await.unwrap();
        let mut least = [Duration::MAX; 2];
        for _ in 0..5 {
            for (least, kept) in least.iter_mut().zip([Some(kept.clone()), None]) {
                let begin = Instant::now();
                assert!(!hasher.is_right("wrong".to_owned(), kept).await.unwrap());
                *least = begin.elapsed().min(*least);
            }
        }
        let [known, unknown] = least;
        assert!(known < 3 * unknown && unknown < 3 * known, "{least:?}");
    }

    #[tokio::test]
    async fn more_logins_than_can_wait_are_told_to_come_again() {
        let hasher = std::sync::Arc::new(Hasher::default());
        let (mut busy, mut set) = (0, tokio::task::JoinSet::new());
        for _ in 0..3 * WAITING_MAX {
            let hasher = std::sync::Arc::clone(&hasher);
            set.spawn(async move { hasher.is_right("wrong".to_owned(), None).await.map_err(|refusal| refusal.status) });
        }
        while let Some(login) = set.join_next().await {
            match login.unwrap() {
                Ok(is_right) => assert!(!is_right),
                Err(status) => {
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                    busy += 1;
                }
            }
        }
        assert_eq!(busy, 3 * WAITING_MAX - AT_ONCE - WAITING_MAX);
    }

    #[test]
    fn short_endless_and_obvious_passwords_are_refused() {
        for bad in ["", "eleven char", "administrator", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert!(fits(bad, "Administrator").is_err(), "{bad}");
        }
        // Characters, not bytes.
        assert!(fits("äöüäöüäöüäö", "ada").is_err() && fits("äöüäöüäöüäöü", "ada").is_ok());
    }
}
