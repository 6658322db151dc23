//! What authentication logs tell of logins: lines of the usual daemons, from journald, syslog files and btmp.
//!
//! Pure: whoever calls has read the bytes, and says what time it is. Not here: which files and journals there are, rotation,
//! where reading stopped. Text of a log may hold anything that an attacker typed: addresses are taken from where the daemon
//! writes them, never from where a user name could stand. Invariant: no input panics, and what is kept has a limit.

mod btmp;
mod journal;
mod lines;
mod syslog;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::Timestamp;

use crate::Login;

pub use btmp::{BTMP_RECORD_BYTES, logins_of_btmp};
pub use journal::{JOURNAL_ENTRY_BYTES_MAX, JournalEntry, JournalReader};
pub use syslog::{SyslogLine, syslog_line};

/// Failures remembered to tell that two logs speak of the same one.
const RECENT_MAX: usize = 256;
/// Two logs that speak of one failure do so within this time. PAM delays its refusal by two or three seconds.
const SAME_WITHIN: Duration = Duration::from_secs(5);
/// Longest user name and service that is kept; Linux allows 32 bytes, directory services some more.
const NAME_BYTES_MAX: usize = 64;

/// Who wrote it down. The same failure may be told by each, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teller {
    Daemon,
    Pam,
    Btmp,
}

/// What one line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told<'a> {
    pub(crate) service: &'a str,
    pub(crate) user: &'a str,
    pub(crate) from: Option<IpAddr>,
    pub(crate) succeeded: bool,
    pub(crate) user_exists: Option<bool>,
    /// Said when a connection ends, and no news if the same process told of a failure before.
    pub(crate) is_epilogue: bool,
    pub(crate) teller: Teller,
}

#[derive(Debug)]
struct Recent {
    time: Timestamp,
    login: (Arc<str>, Arc<str>, Option<IpAddr>),
    pid: u32,
    teller: Teller,
}

/// Reads lines in the order in which they were written, and tells each attempt once, though PAM, the daemon and btmp may all
/// have written it down.
#[derive(Debug, Default)]
pub struct AuthLog {
    recent: VecDeque<Recent>,
}

impl AuthLog {
    /// With nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One message of a daemon. `program` is its name as logged (`sshd`, `postfix/smtpd`), `pid` 0 where it is not known.
    /// `None` for whatever is no login, or was told before.
    pub fn read(&mut self, time: Timestamp, program: &str, pid: u32, message: &str) -> Option<Login> {
        let told = lines::told(program, message)?;
        self.tell(time, pid, &told)
    }

    /// One line of `auth.log`, `secure`, `mail.log` or the like; see [`syslog_line`] for `now` and `utc_offset_seconds`.
    pub fn read_syslog(&mut self, line: &str, now: Timestamp, utc_offset_seconds: i32) -> Option<Login> {
        let line = syslog_line(line, now, utc_offset_seconds)?;
        self.read(line.time, line.program, line.pid, line.message)
    }

    /// One entry of the journal.
    pub fn read_journal(&mut self, entry: &JournalEntry) -> Option<Login> {
        self.read(entry.time, &entry.program, entry.pid, &entry.message)
    }

    /// Whole records of `/var/log/btmp`, where failed logins are kept. What is left over of a record at the end is not read.
    pub fn read_btmp(&mut self, bytes: &[u8]) -> Vec<Login> {
        let told = |login: Login| {
            let told = Told {
                service: &login.service,
                user: &login.user,
                from: login.from,
                succeeded: false,
                user_exists: None,
                is_epilogue: false,
                teller: Teller::Btmp,
            };
            self.tell(login.time, 0, &told)
        };
        logins_of_btmp(bytes).into_iter().filter_map(told).collect()
    }

    fn tell(&mut self, time: Timestamp, pid: u32, told: &Told<'_>) -> Option<Login> {
        let login = Login {
            time,
            service: cut(told.service).into(),
            user: cut(told.user).into(),
            from: told.from.map(|address| address.to_canonical()),
            succeeded: told.succeeded,
            user_exists: told.user_exists,
        };
        if login.succeeded {
            return Some(login);
        }
        if told.is_epilogue
            && self.recent.iter().any(|recent| pid != 0 && recent.pid == pid && recent.login.0 == login.service)
        {
            return None;
        }
        let same = self.recent.iter().position(|recent| {
            recent.teller != told.teller
                && recent.login.0 == login.service
                && (recent.login.1 == login.user || recent.login.1.is_empty() || login.user.is_empty())
                && recent.login.2 == login.from
                && apart(recent.time, time) <= SAME_WITHIN
        });
        if let Some(same) = same {
            self.recent.remove(same);
            return None;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        let key = (Arc::clone(&login.service), Arc::clone(&login.user), login.from);
        self.recent.push_back(Recent { time, login: key, pid, teller: told.teller });
        Some(login)
    }
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

/// At most [`NAME_BYTES_MAX`] bytes, cut between characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
