//! A server with users, where a login is wanted and time passes when a test says so.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hivewall_api::{Access, Clock, Moment};
use hivewall_model::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Server, TOKEN};

/// Everybody's.
pub const PASSWORD: &str = "correct horse battery";

/// The server: `bob` views, `opal` operates, `ada` administers.
pub struct Guarded {
    pub server: Server,
    pub directory: TempDir,
    seconds: Arc<AtomicU64>,
}

/// A clock that stands, and its seconds.
pub fn clock() -> (Clock, Arc<AtomicU64>) {
    let seconds = Arc::new(AtomicU64::new(1_000));
    let told = Arc::clone(&seconds);
    let clock = Clock::new(move || {
        let elapsed = Duration::from_secs(told.load(Ordering::SeqCst));
        Moment { elapsed, wall: Timestamp::from_secs(1_700_000_000) + elapsed }
    });
    (clock, seconds)
}

/// The file of users, once they were added: each costs as much time as a password has to.
static USERS: OnceLock<String> = OnceLock::new();

impl Guarded {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("users.json");
        if let Some(users) = USERS.get() {
            let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).unwrap();
            open.write_all(users.as_bytes()).unwrap();
        }
        let (clock, seconds) = clock();
        let access = Access::token(TOKEN, "/run/hivewall/token".into()).unwrap();
        let (access, error) = access.always(true).clock(clock).keep_in(directory.path());
        assert!(error.is_none(), "{error:?}");
        let guarded = Self { server: Server::start_with(access), directory, seconds };
        if USERS.get().is_some() {
            return guarded;
        }
        for (name, role) in [("bob", "viewer"), ("opal", "operator"), ("ada", "admin")] {
            let user = json!({ "name": name, "role": role, "password": PASSWORD });
            let answer = guarded.server.send("POST", "/api/v1/users", Some(TOKEN), Some(&user));
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        USERS.get_or_init(|| std::fs::read_to_string(file).unwrap());
        guarded
    }

    pub fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        self.server.ask(method, path, headers, body)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], Some(body))
    }

    pub fn log_in(&self, user: &str) -> Session<'_> {
        self.log_in_with(user, PASSWORD)
    }

    pub fn log_in_with(&self, user: &str, password: &str) -> Session<'_> {
        Session::of(self, &self.post("/api/v1/session", &json!({ "user": user, "password": password })))
    }

    /// A token of this user.
    pub fn token(&self, name: &str) -> String {
        let request = json!({ "name": name, "label": "test" });
        let issued = self.server.send("POST", "/api/v1/users/tokens", Some(TOKEN), Some(&request));
        issued.json()["token"].as_str().unwrap_or_else(|| panic!("{}", issued.body)).to_owned()
    }

    /// So many requests over one connection, and their status codes.
    pub fn burst(&self, requests: usize) -> Vec<u16> {
        let mut stream = self.server.connect();
        let mut statuses = Vec::new();
        let mut rest = Vec::new();
        while statuses.len() < requests {
            stream.write_all(b"GET /api/v1/session HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            let (head, length) = loop {
                if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
                    let head = String::from_utf8(rest.drain(..end + 4).collect()).unwrap();
                    let length = head.to_ascii_lowercase().split("content-length: ").nth(1).unwrap().to_owned();
                    break (head, length.split('\r').next().unwrap().parse::<usize>().unwrap());
                }
                let mut some = [0; 4096];
                let read = stream.read(&mut some).unwrap();
                assert!(read > 0);
                rest.extend_from_slice(&some[..read]);
            };
            while rest.len() < length {
                let mut some = [0; 4096];
                let read = stream.read(&mut some).unwrap();
                assert!(read > 0);
                rest.extend_from_slice(&some[..read]);
            }
            rest.drain(..length);
            statuses.push(head.split(' ').nth(1).unwrap().parse().unwrap());
        }
        statuses
    }
}

/// Somebody who is logged in by cookie.
pub struct Session<'g> {
    guarded: &'g Guarded,
    pub cookie: String,
    pub csrf: String,
}

impl<'g> Session<'g> {
    /// Of the answer to a login.
    pub fn of(guarded: &'g Guarded, answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { guarded, cookie, csrf: answer.json()["csrf"].as_str().unwrap().to_owned() }
    }

    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let headers = [("cookie", self.cookie.as_str()), ("x-hivewall-csrf", self.csrf.as_str())];
        // What reads takes no body.
        self.guarded.ask(method, path, &headers, body.filter(|_| method != "GET"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: Option<&Value>) -> Answer {
        self.send("POST", path, body)
    }
}
