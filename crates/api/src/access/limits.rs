//! How often: requests of one peer, and failed logins of one peer and for one user.
//!
//! Both are kept in tables of a fixed size, with a row for each value of a keyed hash. Memory is bounded without anything
//! being pushed out, which an attacker with many addresses could bring about; two that share a row share its limit, and
//! nobody outside knows who does.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Duration;

/// Requests of one peer in a second, in the long run. A page that asks for ten resources each second stays far below.
pub const REQUESTS_PER_SECOND_MAX: u32 = 200;
/// Requests of one peer that may come at once.
pub const REQUESTS_BURST_MAX: u32 = 1_000;
/// Failed logins of one peer before it has to wait.
pub const LOGIN_FAILURES_OF_PEER: u32 = 5;
/// Failed logins for one user before whoever it is has to wait. More, because anybody can bring that about for others.
pub const LOGIN_FAILURES_FOR_USER: u32 = 20;
/// Longest that a peer has to wait; a user waits at most a tenth of it.
pub const LOGIN_WAIT_SECONDS_MAX: u64 = 900;

/// Rows of a table.
const ROWS: usize = 4_096;

/// Addresses that are one peer: of IPv6, all that one host can have.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !(u128::from(u64::MAX))).into()),
        IpAddr::V4(v4) => IpAddr::V4(v4),
    }
}

/// A row for each value of a hash that nobody outside knows.
struct Table<T> {
    rows: Box<[T]>,
    hasher: RandomState,
}

impl<T: Clone + Default> Default for Table<T> {
    fn default() -> Self {
        Self { rows: vec![T::default(); ROWS].into_boxed_slice(), hasher: RandomState::new() }
    }
}

impl<T> Table<T> {
    fn number(&self, key: impl std::hash::Hash) -> usize {
        self.hasher.hash_one(key) as usize % ROWS
    }

    fn row(&mut self, key: impl std::hash::Hash) -> Option<&mut T> {
        let number = self.number(key);
        self.rows.get_mut(number)
    }
}

#[derive(Clone, Copy, Default)]
struct Spent {
    /// Requests that count still.
    requests: f64,
    at: Duration,
}

/// Requests of each peer.
#[derive(Default)]
pub(crate) struct Rates(Table<Spent>);

impl Rates {
    /// Counts a request. An error says how long to wait.
    pub(crate) fn count(&mut self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let Some(spent) = self.0.row(peer(address)) else { return Ok(()) };
        let passed = now.saturating_sub(spent.at).as_secs_f64();
        let left = (spent.requests - passed * f64::from(REQUESTS_PER_SECOND_MAX)).max(0.0);
        let more = left + 1.0;
        if more > f64::from(REQUESTS_BURST_MAX) {
            return Err(Duration::from_secs(1));
        }
        *spent = Spent { requests: more, at: now };
        Ok(())
    }
}

#[derive(Clone, Copy, Default)]
struct Failed {
    times: u32,
    /// Until when no login is tried.
    until: Duration,
    last: Duration,
}

impl Failed {
    fn wait(&self, now: Duration) -> Option<Duration> {
        Some(self.until.saturating_sub(now)).filter(|wait| !wait.is_zero())
    }

    fn note(&mut self, free: u32, longest: Duration, now: Duration) {
        // Who has not failed for twice as long as they could have had to wait begins anew.
        if now.saturating_sub(self.last) >= 2 * longest {
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
        self.last = now;
        if let Some(beyond) = self.times.checked_sub(free) {
            let wait = Duration::from_secs(1_u64 << beyond.min(20));
            self.until = now + wait.min(longest);
        }
    }
}

/// Failed logins.
#[derive(Default)]
pub(crate) struct Lockout {
    peers: Table<Failed>,
    users: Table<Failed>,
}

const PEER_LONGEST: Duration = Duration::from_secs(LOGIN_WAIT_SECONDS_MAX);
const USER_LONGEST: Duration = Duration::from_secs(LOGIN_WAIT_SECONDS_MAX / 10);

impl Lockout {
    /// Begins a login of this peer, for this user: it has failed until [`Lockout::succeeded`] says otherwise, so that many
    /// at once count as well. An error says how long to wait.
    pub(crate) fn attempt(&mut self, address: IpAddr, user: Option<&str>, now: Duration) -> Result<(), Duration> {
        let by_peer = self.peers.row(peer(address)).and_then(|row| row.wait(now));
        let for_user = user.and_then(|user| self.users.row(user)?.wait(now));
        if let Some(wait) = by_peer.max(for_user) {
            return Err(wait);
        }
        if let Some(row) = self.peers.row(peer(address)) {
            row.note(LOGIN_FAILURES_OF_PEER, PEER_LONGEST, now);
        }
        if let Some(row) = user.and_then(|user| self.users.row(user)) {
            row.note(LOGIN_FAILURES_FOR_USER, USER_LONGEST, now);
        }
        Ok(())
    }

    /// It was right after all.
    pub(crate) fn succeeded(&mut self, address: IpAddr, user: Option<&str>) {
        if let Some(row) = self.peers.row(peer(address)) {
            *row = Failed::default();
        }
        if let Some(row) = user.and_then(|user| self.users.row(user)) {
            *row = Failed::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Another peer than `ours`, whose row is not the same.
    fn other<T>(table: &Table<T>, ours: IpAddr) -> IpAddr {
        let others = (0..).map(|n| IpAddr::V4((0xc633_6400_u32 + n).into()));
        others.into_iter().find(|other| table.number(*other) != table.number(ours)).unwrap()
    }

    #[test]
    fn a_burst_and_then_so_many_in_a_second() {
        let mut rates = Rates::default();
        let ours = address("192.0.2.1");
        let other = other(&rates.0, ours);
        for n in 0..REQUESTS_BURST_MAX {
            assert!(rates.count(ours, seconds(100)).is_ok(), "{n}");
        }
        assert!(rates.count(ours, seconds(100)).is_err());
        assert!(rates.count(other, seconds(100)).is_ok(), "one peer does not count for another");
        let later = (0..2 * REQUESTS_PER_SECOND_MAX).filter(|_| rates.count(ours, seconds(101)).is_ok()).count();
        assert_eq!(later, REQUESTS_PER_SECOND_MAX as usize);
        // Ten a second for ever.
        for tenth in 0..10_000 {
            assert!(rates.count(ours, seconds(200) + Duration::from_millis(100 * tenth)).is_ok());
        }
    }

    #[test]
    fn a_hosts_many_addresses_are_one_peer() {
        let mut rates = Rates::default();
        for n in 0..REQUESTS_BURST_MAX {
            rates.count(address(&format!("2001:db8::{n:x}")), seconds(1)).unwrap();
        }
        assert!(rates.count(address("2001:db8:0:0:ffff::1"), seconds(1)).is_err());
        let next = (1..).map(|n| address(&format!("2001:db8:0:{n:x}::1")));
        let next = next.into_iter().find(|next| rates.0.number(peer(*next)) != rates.0.number(address("2001:db8::")));
        assert!(rates.count(next.unwrap(), seconds(1)).is_ok());
        assert_eq!(peer(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn a_peer_that_fails_waits_longer_each_time_and_up_to_a_bound() {
        let mut lockout = Lockout::default();
        let (ours, mut now) = (address("192.0.2.1"), seconds(1000));
        for n in 1..LOGIN_FAILURES_OF_PEER {
            assert_eq!(lockout.attempt(ours, None, now), Ok(()), "{n}");
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(lockout.attempt(ours, None, now), Ok(()));
            let wait = lockout.attempt(ours, None, now).unwrap_err();
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        lockout.succeeded(ours, None);
        assert_eq!(lockout.attempt(ours, None, now), Ok(()), "a success forgives");
    }

    #[test]
    fn a_user_is_guarded_against_many_peers_and_never_shut_out_for_long() {
        let mut lockout = Lockout::default();
        let now = seconds(1000);
        let from = |n: u32| IpAddr::V4((0xc000_0200 + n).into());
        for n in 0..LOGIN_FAILURES_FOR_USER {
            lockout.attempt(from(n), Some("ada"), now).unwrap();
        }
        assert!(lockout.attempt(from(900), Some("ada"), now).is_err());
        let bob = (0..100)
            .map(|n| format!("bob{n}"))
            .find(|bob| lockout.users.number(&bob[..]) != lockout.users.number("ada"));
        assert_eq!(lockout.attempt(from(901), bob.as_deref(), now), Ok(()));
        let (mut later, mut longest) = (now, Duration::ZERO);
        for n in 0..40 {
            // The first is tried and fails where none has to wait; then all have to.
            let _ = lockout.attempt(from(1_000 + n), Some("ada"), later);
            let wait = lockout.attempt(from(2_000 + n), Some("ada"), later).unwrap_err();
            (later, longest) = (later + wait, longest.max(wait));
        }
        assert_eq!(longest.as_secs(), LOGIN_WAIT_SECONDS_MAX / 10);
    }

    #[test]
    fn old_failures_are_forgotten() {
        let mut lockout = Lockout::default();
        let ours = address("192.0.2.1");
        for n in 0..100 {
            assert_eq!(lockout.attempt(ours, None, seconds(10_000 + 2 * n * LOGIN_WAIT_SECONDS_MAX)), Ok(()), "{n}");
        }
    }
}
