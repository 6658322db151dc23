//! Puts the routes behind the guards and serves them until told to stop. Invariant: every path of [`paths`] is
//! described in the OpenAPI document and the other way round; a test holds them together. No route is without a [`Right`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use hivewall_view::access::Role;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::access::{Access, Caller, Right, Rights, Route, route};
use crate::connection::GuardedListener;
use crate::error::Refusal;
use crate::guard::guard;
use crate::listen::refuse_beyond_loopback;
use crate::source::Source;
use crate::state::Shared;
use crate::{
    alerts, audit, compress, editing, export, fleet, history, index, live, openapi, policy, routes, session, users, web,
};

/// How often losses are looked at between requests, so that their growth is noticed when nobody asks.
const LOSS_LOOK: Duration = Duration::from_secs(5);
/// How long responses under way may take once the server is to stop.
const GOODBYE: Duration = Duration::from_secs(3);

/// Every path, what answers it, and what that needs. Whatever changes nothing is a [`Right::Read`], whatever its method.
fn table() -> Vec<Route> {
    use Right::{Anyone, Change, Read};
    use Role::{Admin, Operator, Viewer};
    const READ: Right = Right::READ;
    let mut routes = vec![
        route("/api/v1").get(READ, index::index),
        route("/metrics").get(READ, routes::metrics),
        route("/api/v1/metrics").get(READ, routes::metrics_v1),
        route("/api/v1/snapshot").get(READ, routes::snapshot),
        route("/api/v1/flows").get(READ, routes::flows),
        route("/api/v1/flows/live").get(READ, live::flows_live),
        route("/api/v1/fields").get(READ, editing::fields),
        route("/api/v1/top").get(READ, history::top),
        route("/api/v1/series").get(READ, history::series),
        route("/api/v1/export").get(READ, export::export),
        route("/api/v1/policy").get(READ, policy::policy),
        route("/api/v1/policy/schema").get(READ, editing::schema),
        route("/api/v1/policy/check").post(READ, editing::check),
        route("/api/v1/policy/diff").post(READ, editing::diff),
        route("/api/v1/policy/statement").post(READ, editing::statement),
        route("/api/v1/policy/explain").post(READ, policy::explain),
        route("/api/v1/policy/rehearse").post(Read(Operator), policy::rehearse),
        route("/api/v1/policy/apply").post(Change(Admin), policy::apply),
        route("/api/v1/policy/confirm").post(Change(Operator), policy::confirm),
        route("/api/v1/policy/rollback").post(Change(Operator), policy::rollback),
        route("/api/v1/bans")
            .get(READ, policy::bans)
            .post(Change(Operator), policy::ban)
            .delete(Change(Operator), policy::unban),
        route("/api/v1/rules").get(READ, policy::rules),
        route("/api/v1/alerts").get(READ, alerts::alerts),
        route("/api/v1/alerts/capture").get(Read(Operator), alerts::capture),
        route("/api/v1/alerts/acknowledge")
            .post(Change(Operator), alerts::acknowledge)
            .delete(Change(Operator), alerts::reopen),
        route("/api/v1/alerts/mutes")
            .get(READ, alerts::mutes)
            .post(Change(Operator), alerts::mute)
            .delete(Change(Operator), alerts::unmute),
        route("/api/v1/alerts/undo").post(Change(Operator), alerts::undo),
        route("/api/v1/alerts/test").post(Change(Operator), alerts::test),
        route("/api/v1/detectors").get(READ, alerts::detectors),
        // Logins and logouts are kept in the trail by what answers them, which knows whose they are.
        route("/api/v1/session")
            .get(Anyone, session::session)
            .post(Anyone, session::log_in)
            .delete(Anyone, session::log_out),
        route("/api/v1/session/code").post(Change(Admin), session::code),
        route("/api/v1/users")
            .get(Read(Admin), users::users)
            .post(Change(Admin), users::add)
            .delete(Change(Admin), users::remove),
        route("/api/v1/users/role").post(Change(Admin), users::role),
        // One's own, with the present one; others' are for admins.
        route("/api/v1/users/password").post(Change(Viewer), users::password),
        route("/api/v1/users/tokens").post(Change(Admin), users::add_token).delete(Change(Admin), users::remove_token),
        route("/api/v1/audit").get(Read(Operator), audit::audit),
        route("/api/v1/health").get(READ, routes::health),
        route("/api/v1/openapi.json").get(READ, openapi::openapi),
    ];
    routes.extend(of_fleet());
    routes
}

/// The same of the fleet.
fn of_fleet() -> Vec<Route> {
    use Right::Change;
    use Role::Admin;
    const READ: Right = Right::READ;
    vec![
        route("/api/v1/fleet").get(READ, fleet::fleet),
        route("/api/v1/fleet/members").get(READ, fleet::members),
        route("/api/v1/fleet/alerts").get(READ, fleet::alerts),
        route("/api/v1/fleet/flows").get(READ, fleet::flows),
        route("/api/v1/fleet/snapshot").get(READ, fleet::snapshot),
        route("/api/v1/fleet/rules").get(READ, fleet::rules),
        route("/api/v1/fleet/policy").get(READ, fleet::policy),
        route("/api/v1/fleet/rehearse").post(Right::Read(Role::Operator), fleet::rehearse),
        route("/api/v1/fleet/audit").get(READ, fleet::audit),
        route("/api/v1/fleet/invitations")
            .get(READ, fleet::invitations)
            .post(Change(Admin), fleet::invite)
            .delete(Change(Admin), fleet::withdraw),
        route("/api/v1/fleet/remove").post(Change(Admin), fleet::remove),
        route("/api/v1/fleet/leave").post(Change(Admin), fleet::leave),
    ]
}

/// Method and path of everything the server answers, and what that needs.
pub fn rights() -> Vec<(String, &'static str, Right)> {
    let of = |route: &Route| {
        let path = route.path();
        route.rights().iter().map(move |(method, right)| (method.to_string(), path, *right)).collect::<Vec<_>>()
    };
    table().iter().flat_map(of).collect()
}

/// Every path the server answers; the OpenAPI document says with which methods.
pub fn paths() -> Vec<&'static str> {
    table().iter().map(Route::path).collect()
}

/// Serves on `listener` (see [`crate::bind`]) until `shutdown` completes; then responses under way have three seconds.
/// Commands are taken from whoever `access` lets.
///
/// Errors when the listener is beyond loopback without TLS, or cannot say where it is.
pub async fn serve(
    listener: TcpListener,
    source: Arc<dyn Source>,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if access.tls.is_none() {
        refuse_beyond_loopback(address).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    }
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared::new(source, access, address, stopping.clone()));
    let listener = GuardedListener::new(listener, Arc::clone(&shared));
    let server = axum::serve(listener, router(&shared).into_make_service_with_connect_info::<Caller>())
        .with_graceful_shutdown(stopped(stopping));
    tracing::info!(%address, "API is served");
    tokio::select! {
        result = server => result,
        () = look_at_losses(&shared) => Ok(()),
        () = watch_certificate(&shared) => Ok(()),
        () = async {
            shutdown.await;
            let _ = stop.send(true);
            tokio::time::sleep(GOODBYE).await;
        } => Ok(()),
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    let (router, rights) = Rights::gather(table());
    router
        .merge(web::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state((Arc::clone(shared), Arc::new(rights)), guard))
        .layer(compress::layer())
        .with_state(Arc::clone(shared))
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the server.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Never ends.
async fn watch_certificate(shared: &Shared) {
    match &shared.access.tls {
        Some(tls) => tls.watch().await,
        None => std::future::pending().await,
    }
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
