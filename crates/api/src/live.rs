//! Flows live: server-sent events, one for each flow that closes and matches.
//!
//! Invariant: a subscriber that reads slowly slows nobody. It misses the oldest flows, is told how many in a `lagged`
//! event, and the number is counted. What still lives is not sent here: ask `/api/v1/flows` for it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::Stream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, WatchStream};
use utoipa::ToSchema;

use hivewall_view::{Filter, FlowRow};

use crate::access::Granted;
use crate::error::{Problem, Refusal};
use crate::params::{FilterParams, Pairs};
use crate::state::{Shared, count};

/// Subscribers that may listen at once.
pub const LIVE_MAX: usize = 64;

/// A comment is sent this often when no flow closes, so that both ends notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(3);

/// Data of a `lagged` event: the subscriber read too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lagged {
    /// Closed flows it missed, matching or not.
    pub missed: u64,
}

/// Flows as they close, as server-sent events.
///
/// `event: flow` carries one flow that matches; `event: lagged` says how many flows were missed because the client read
/// too slowly. Comments keep the connection alive. The stream ends when the agent stops. What still lives is at
/// `/api/v1/flows`.
#[utoipa::path(
    get,
    path = "/api/v1/flows/live",
    tag = "flows",
    operation_id = "flows_live",
    params(FilterParams),
    responses(
        (status = 200, description = "Events: `flow` (data: FlowRow) and `lagged` (data: Lagged).",
         body = String, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 503, description = "Too many subscribers.", body = Problem),
    )
)]
pub(crate) async fn flows_live(
    State(shared): State<Arc<Shared>>,
    granted: Granted,
    pairs: Pairs,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let filter = pairs.filter(&shared)?;
    let place = Arc::clone(&shared.subscribers)
        .try_acquire_owned()
        .map_err(|_| Refusal::busy(format!("{LIVE_MAX} subscribers are listening, and no more may")))?;
    let live = Live {
        closed: BroadcastStream::new(shared.source.closed_flows()),
        stop: WatchStream::new(shared.stop.clone()),
        filter,
        greeted: false,
        granted,
        shared,
        _place: place,
    };
    Ok(Sse::new(live).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Live {
    closed: BroadcastStream<Arc<FlowRow>>,
    stop: WatchStream<bool>,
    filter: Filter,
    greeted: bool,
    granted: Granted,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Live {
    fn event(&self, received: Result<Arc<FlowRow>, BroadcastStreamRecvError>) -> Option<Event> {
        match received {
            Ok(row) if self.filter.matches_row(&row) => {
                Event::default().event("flow").id(row.flow_id.to_string()).json_data(&*row).ok()
            }
            Ok(_) => None,
            Err(BroadcastStreamRecvError::Lagged(missed)) => {
                count(&self.shared.counts.live_missed, missed);
                Event::default().event("lagged").json_data(Lagged { missed }).ok()
            }
        }
    }

    fn stopping(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match Pin::new(&mut self.stop).poll_next(cx) {
                Poll::Ready(Some(false)) => {}
                Poll::Ready(Some(true) | None) => return true,
                Poll::Pending => return false,
            }
        }
    }
}

impl Stream for Live {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stopping(cx) {
            return Poll::Ready(None);
        }
        if !self.greeted {
            // The first bytes tell a client that from here on it misses nothing unnoticed.
            self.greeted = true;
            return Poll::Ready(Some(Ok(Event::default().retry(RETRY).comment("listening"))));
        }
        loop {
            match Pin::new(&mut self.closed).poll_next(cx) {
                // Who has lost the right to see, or logged out, sees nothing more.
                Poll::Ready(Some(_)) if !self.shared.access.still_holds(&self.granted) => return Poll::Ready(None),
                Poll::Ready(Some(received)) => {
                    if let Some(event) = self.event(received) {
                        return Poll::Ready(Some(Ok(event)));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
