//! Why a node does not start or does not go on.
//!
//! Each message says what to do next.

use std::io;
use std::net::SocketAddr;

/// Why a node does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The port could not be bound.
    #[error("cannot listen on UDP {address}: choose another `cluster.listen`, or stop what uses it")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The thread or its runtime could not be started.
    #[error("cannot start the thread of the fleet: the host may be out of threads or file descriptors")]
    Thread(#[source] io::Error),
    /// Certificate and key cannot be used.
    #[error("this host's certificate cannot be used: join the cluster again with a new invitation")]
    Identity,
    /// The roster, certificate and key do not fit together.
    #[error("this host's papers cannot be used")]
    Trust(#[source] hivewall_trust::TrustError),
    /// Something could not be written down, and without that nothing may go on.
    #[error("cannot write the state of the fleet to disk: make room or repair it, then start again")]
    Persist(#[source] io::Error),
    /// The thread ended before it was ready.
    #[error("the thread of the fleet ended before it was ready: its log says why")]
    Ended,
}
