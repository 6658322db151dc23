//! Puts the routes behind the guards and serves them until told to stop. Invariant: every path of [`paths`] is
//! described in the OpenAPI document and the other way round; a test holds them together.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::access::{Access, Caller};
use crate::connection::GuardedListener;
use crate::error::Refusal;
use crate::guard::guard;
use crate::listen::refuse_beyond_loopback;
use crate::source::Source;
use crate::state::Shared;
use crate::{alerts, editing, export, fleet, history, index, live, openapi, policy, routes, web};

/// How often losses are looked at between requests, so that their growth is noticed when nobody asks.
const LOSS_LOOK: Duration = Duration::from_secs(5);
/// How long responses under way may take once the server is to stop.
const GOODBYE: Duration = Duration::from_secs(3);

type Handlers = MethodRouter<Arc<Shared>>;

/// Every path and what answers it.
fn table() -> [(&'static str, Handlers); 42] {
    [
        ("/api/v1", get(index::index)),
        ("/metrics", get(routes::metrics)),
        ("/api/v1/metrics", get(routes::metrics_v1)),
        ("/api/v1/snapshot", get(routes::snapshot)),
        ("/api/v1/flows", get(routes::flows)),
        ("/api/v1/flows/live", get(live::flows_live)),
        ("/api/v1/fields", get(editing::fields)),
        ("/api/v1/top", get(history::top)),
        ("/api/v1/series", get(history::series)),
        ("/api/v1/export", get(export::export)),
        ("/api/v1/policy", get(policy::policy)),
        ("/api/v1/policy/schema", get(editing::schema)),
        ("/api/v1/policy/check", post(editing::check)),
        ("/api/v1/policy/diff", post(editing::diff)),
        ("/api/v1/policy/statement", post(editing::statement)),
        ("/api/v1/policy/explain", post(policy::explain)),
        ("/api/v1/policy/rehearse", post(policy::rehearse)),
        ("/api/v1/policy/apply", post(policy::apply)),
        ("/api/v1/policy/confirm", post(policy::confirm)),
        ("/api/v1/policy/rollback", post(policy::rollback)),
        ("/api/v1/bans", get(policy::bans).post(policy::ban).delete(policy::unban)),
        ("/api/v1/rules", get(policy::rules)),
        ("/api/v1/alerts", get(alerts::alerts)),
        ("/api/v1/alerts/capture", get(alerts::capture)),
        ("/api/v1/alerts/acknowledge", post(alerts::acknowledge)),
        ("/api/v1/alerts/mutes", get(alerts::mutes).post(alerts::mute).delete(alerts::unmute)),
        ("/api/v1/alerts/undo", post(alerts::undo)),
        ("/api/v1/alerts/test", post(alerts::test)),
        ("/api/v1/detectors", get(alerts::detectors)),
        ("/api/v1/fleet", get(fleet::fleet)),
        ("/api/v1/fleet/members", get(fleet::members)),
        ("/api/v1/fleet/alerts", get(fleet::alerts)),
        ("/api/v1/fleet/flows", get(fleet::flows)),
        ("/api/v1/fleet/snapshot", get(fleet::snapshot)),
        ("/api/v1/fleet/rules", get(fleet::rules)),
        ("/api/v1/fleet/policy", get(fleet::policy)),
        ("/api/v1/fleet/audit", get(fleet::audit)),
        ("/api/v1/fleet/invitations", get(fleet::invitations).post(fleet::invite).delete(fleet::withdraw)),
        ("/api/v1/fleet/remove", post(fleet::remove)),
        ("/api/v1/fleet/leave", post(fleet::leave)),
        ("/api/v1/health", get(routes::health)),
        ("/api/v1/openapi.json", get(openapi::openapi)),
    ]
}

/// Every path the server answers; the OpenAPI document says with which methods.
pub fn paths() -> Vec<&'static str> {
    table().into_iter().map(|(path, _)| path).collect()
}

/// Serves on `listener` (see [`crate::bind`]) until `shutdown` completes; then responses under way have three seconds.
/// Commands are taken from whoever `access` lets.
///
/// Errors when the listener is not on loopback or cannot say where it is.
pub async fn serve(
    listener: TcpListener,
    source: Arc<dyn Source>,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    refuse_beyond_loopback(address).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared::new(source, access, address, stopping.clone()));
    let listener = GuardedListener::new(listener, Arc::clone(&shared));
    let server = axum::serve(listener, router(&shared).into_make_service_with_connect_info::<Caller>())
        .with_graceful_shutdown(stopped(stopping));
    tracing::info!(%address, "API is served");
    tokio::select! {
        result = server => result,
        () = look_at_losses(&shared) => Ok(()),
        () = async {
            shutdown.await;
            let _ = stop.send(true);
            tokio::time::sleep(GOODBYE).await;
        } => Ok(()),
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    table()
        .into_iter()
        .fold(Router::new(), |router, (path, handlers)| router.route(path, handlers))
        .merge(web::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(Arc::clone(shared), guard))
        .with_state(Arc::clone(shared))
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the server.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Never ends.
async fn look_at_losses(shared: &Shared) {
    let mut ticks = tokio::time::interval(LOSS_LOOK);
    loop {
        ticks.tick().await;
        shared.observe_losses();
    }
}

async fn unknown_path(uri: Uri) -> Refusal {
    let detail = format!("there is nothing at {}", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, "unknown_path", detail, format!("there are: {}", paths().join(", ")))
}

async fn unknown_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("{method} is not understood at {}", uri.path());
    let hint = "use GET or HEAD to read; /api/v1/openapi.json says what else there is";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", detail, hint)
}
