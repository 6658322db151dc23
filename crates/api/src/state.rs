//! What the request handlers share: the source, the limits in use, and counts of the API's own work. Deliberately not
//! here: anything about traffic, which is the engine's. Invariant: no lock is held across an await.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::access::{Access, BODIES_MAX};
use crate::health::LossWatch;
use crate::live::LIVE_MAX;
use crate::routes::FLOW_QUESTIONS_MAX;
use crate::source::Source;

/// One per server.
pub(crate) struct Shared {
    pub(crate) source: Arc<dyn Source>,
    /// What commands have to show.
    pub(crate) access: Access,
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// Whether it speaks TLS.
    pub(crate) is_tls: bool,
    /// Becomes true when the server is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) counts: Counts,
    /// One permit per question about flows that may be with the engine at once.
    pub(crate) questions: Semaphore,
    /// One permit per live subscriber.
    pub(crate) subscribers: Arc<Semaphore>,
    /// One permit per body that is being read.
    pub(crate) bodies: Semaphore,
    /// One permit: a rehearsal may read all history.
    pub(crate) rehearsals: Semaphore,
    losses: Mutex<LossWatch>,
    highest: Mutex<BTreeMap<(&'static str, String), u64>>,
}

impl Shared {
    pub(crate) fn new(
        source: Arc<dyn Source>,
        access: Access,
        address: SocketAddr,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            source,
            is_tls: access.tls.is_some(),
            access,
            address,
            stop,
            counts: Counts::default(),
            questions: Semaphore::new(FLOW_QUESTIONS_MAX),
            subscribers: Arc::new(Semaphore::new(LIVE_MAX)),
            bodies: Semaphore::new(BODIES_MAX),
            rehearsals: Semaphore::new(1),
            losses: Mutex::default(),
            highest: Mutex::default(),
        }
    }

    /// Cookies know no ports: each agent of a host has a name of its own. Over TLS the name is one that a browser takes of
    /// nobody else.
    pub(crate) fn cookie_name(&self) -> String {
        let prefix = if self.is_tls { "__Host-" } else { "" };
        format!("{prefix}hivewall-{}", self.address.port())
    }

    /// What is known of the growth of losses. A panic while it was held leaves nothing half done, so poison is ignored.
    pub(crate) fn losses(&self) -> MutexGuard<'_, LossWatch> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The greatest count that `row` of `table` ever had. The engine takes back what turns out to be another row's, and a
    /// counter that falls is read as one that started anew, with all it says as growth. Rows have to be few.
    pub(crate) fn highest(&self, table: &'static str, row: &str, count: u64) -> u64 {
        let mut all = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = all.entry((table, row.to_owned())).or_default();
        *highest = count.max(*highest);
        *highest
    }

    /// Notes the losses of the latest snapshot.
    pub(crate) fn observe_losses(&self) {
        let snapshot = self.source.snapshot();
        self.losses().observe(self.source.now(), &snapshot.losses);
    }

    pub(crate) fn live_subscribers(&self) -> u64 {
        LIVE_MAX.saturating_sub(self.subscribers.available_permits()) as u64
    }
}

/// The API's own work since it started. All but `connections` only grow.
#[derive(Default)]
pub(crate) struct Counts {
    /// Connections open now.
    pub(crate) connections: AtomicU64,
    /// Connections turned away because too many were open.
    pub(crate) connections_refused: AtomicU64,
    /// Requests refused because too many came from one address.
    pub(crate) requests_limited: AtomicU64,
    /// Connections on which no TLS came about.
    pub(crate) handshakes_failed: AtomicU64,
    /// Logins that succeeded.
    pub(crate) logins: AtomicU64,
    /// Logins that failed.
    pub(crate) logins_failed: AtomicU64,
    /// Logins that were not tried, because too many had failed.
    pub(crate) logins_limited: AtomicU64,
    /// Closed flows that live subscribers missed because they read too slowly.
    pub(crate) live_missed: AtomicU64,
    requests: Mutex<BTreeMap<u16, u64>>,
}

impl Counts {
    pub(crate) fn request(&self, status: u16) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    /// Outcome → logins.
    pub(crate) fn logins(&self) -> [(&'static str, u64); 3] {
        [
            ("succeeded", counted(&self.logins)),
            ("failed", counted(&self.logins_failed)),
            ("limited", counted(&self.logins_limited)),
        ]
    }

    /// Status code → requests answered with it.
    pub(crate) fn requests(&self) -> BTreeMap<u16, u64> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Adds one to a counter that nothing is ordered by.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Reads a counter that nothing is ordered by.
pub(crate) fn counted(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
