//! The seam between the API and the agent. Deliberately not here: any way to change something. Invariant: no method
//! blocks; what takes time is a future.

use std::pin::Pin;
use std::sync::Arc;

use hivewall_model::Timestamp;
use hivewall_view::{FlowPage, FlowRow, Query, Snapshot};
use tokio::sync::broadcast;

/// A future that owns what it needs and can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The engine no longer answers: it has stopped, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped; see the agent's log and start it again")]
pub struct SourceGone;

/// What the API asks the agent. The binary implements it over the engine's thread, tests over fixed data.
pub trait Source: Send + Sync + 'static {
    /// The latest snapshot. Cheap: the engine publishes one per tick and this clones a pointer.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// One page of flows, living and lately closed.
    fn flows(&self, query: Query) -> BoxFuture<'static, Result<FlowPage, SourceGone>>;

    /// Every flow that closes from now on. The sender never waits: a receiver that falls behind misses the oldest and
    /// is told how many. While nobody listens (`receiver_count() == 0`) the rows need not be built.
    fn closed_flows(&self) -> broadcast::Receiver<Arc<FlowRow>>;

    /// The engine's time: the wall clock of a live agent, virtual in a replay. The age of the snapshot is judged by it.
    fn now(&self) -> Timestamp;
}
