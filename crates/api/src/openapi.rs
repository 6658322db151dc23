//! The OpenAPI document. Everything in it comes from the handlers and types themselves; nothing is written twice.

use std::collections::BTreeMap;

use axum::http::header;
use axum::response::IntoResponse;
use hivewall_view::access::Role;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{IntoResponses as _, Modify, OpenApi};

use crate::access::Right;
use crate::error::{Problem, Refusal};
use crate::live::Lagged;
use crate::params::Pairs;
use crate::refusals::{Forbidden, Gate, RoleTooLow, Unknown};
use crate::server::rights;
use crate::{alerts, audit, editing, export, fleet, history, index, live, policy, routes, session, users};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "hivewall agent",
        description = "What one hivewall agent sees and enforces. On loopback reading needs no login, unless \
                       `api.login` is `always`; beyond loopback everything is over TLS and needs one. Whatever changes \
                       something needs a token or a session of the role that its description names; by a session it \
                       needs the header X-Hivewall-CSRF, too. Any request may be answered 429 with Retry-After. Bytes are IP bytes unless a name says \
                       wire; times are RFC 3339 in UTC; every answer that is not 2xx is a Problem, except \
                       the health of a failing agent. Unknown query parameters are \
                       refused. Keys are never renamed or removed within v1, only added.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        index::index,
        routes::snapshot,
        routes::flows,
        live::flows_live,
        editing::fields,
        history::top,
        history::series,
        export::export,
        policy::policy,
        editing::schema,
        editing::check,
        editing::diff,
        editing::statement,
        policy::explain,
        policy::rehearse,
        policy::apply,
        policy::confirm,
        policy::rollback,
        policy::bans,
        policy::ban,
        policy::unban,
        policy::rules,
        alerts::alerts,
        alerts::acknowledge,
        alerts::reopen,
        alerts::capture,
        alerts::mutes,
        alerts::mute,
        alerts::unmute,
        alerts::undo,
        alerts::test,
        alerts::detectors,
        fleet::fleet,
        fleet::members,
        fleet::flows,
        fleet::alerts,
        fleet::snapshot,
        fleet::rules,
        fleet::policy,
        fleet::rehearse,
        fleet::audit,
        fleet::invitations,
        fleet::invite,
        fleet::withdraw,
        fleet::remove,
        fleet::leave,
        session::session,
        session::log_in,
        session::log_out,
        session::code,
        users::users,
        users::add,
        users::remove,
        users::role,
        users::password,
        users::add_token,
        users::remove_token,
        audit::audit,
        routes::health,
        routes::metrics,
        routes::metrics_v1,
        openapi,
    ),
    components(schemas(Lagged, hivewall_view::FlowRow)),
    modifiers(&Token),
    tags(
        (name = "agent", description = "The agent itself."),
        (name = "flows", description = "Conversations."),
        (name = "history", description = "What was, as far back as it is kept."),
        (name = "policy", description = "What is let through: questions and commands."),
        (name = "alerts", description = "What detectors found, who is told, what was done about it."),
        (name = "access", description = "Who may use this agent, and what they did."),
        (name = "fleet", description = "All hosts together: every figure says of how many it is and how old.")
    )
)]
struct Document;

/// How requests show who sends them, and what each needs: the table of routes is the one source.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let cookie = ApiKeyValue::with_description(
            "hivewall-PORT",
            "The session, as POST /api/v1/session sets it; over TLS the name begins with `__Host-`.",
        );
        let csrf = ApiKeyValue::with_description("X-Hivewall-CSRF", "`csrf` of the session.");
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", bearer);
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme("csrf", SecurityScheme::ApiKey(ApiKey::Header(csrf)));
        for (method, path, right) in rights() {
            let item = openapi.paths.paths.get_mut(path);
            let operation = item.and_then(|item| match method.as_str() {
                "GET" => item.get.as_mut(),
                "POST" => item.post.as_mut(),
                "DELETE" => item.delete.as_mut(),
                _ => None,
            });
            if let Some(operation) = operation {
                describe(operation, right);
            }
        }
    }
}

fn describe(operation: &mut Operation, right: Right) {
    let none = || SecurityRequirement::default();
    let need = |name: &str| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    let token = || need("token");
    let (security, told) = match right {
        Right::Anyone => (vec![none()], "Needs no login.".to_owned()),
        Right::Read(Role::Viewer) => {
            let told = "Needs the role viewer where a login is required, and nothing where it is not.";
            (vec![none(), token(), need("session")], told.to_owned())
        }
        Right::Read(role) => (vec![token(), need("session")], format!("Needs the role {}.", role.name())),
        Right::Change(role) => {
            let by_session = need("session").add::<_, [&str; 0], &str>("csrf", []);
            (vec![token(), by_session], format!("Needs the role {}, and is kept in the audit trail.", role.name()))
        }
    };
    let of_right = match right {
        Right::Anyone => BTreeMap::new(),
        Right::Read(Role::Viewer) => Unknown::responses(),
        Right::Read(_) => RoleTooLow::responses(),
        Right::Change(_) => Forbidden::responses(),
    };
    for (status, refusal) in of_right.into_iter().chain(Gate::responses()) {
        operation.responses.responses.entry(status).or_insert(refusal);
    }
    operation.security = Some(security);
    let before = operation.description.take().map(|text| format!("{text}\n\n")).unwrap_or_default();
    operation.description = Some(before + &told);
}

/// The OpenAPI 3.1 document, as JSON text.
pub fn openapi_json() -> String {
    // Serializing plain maps and strings cannot fail; an empty document would fail its test.
    Document::openapi().to_pretty_json().unwrap_or_default()
}

/// Method and path (the path alone for GET) and one-line description of each operation.
pub(crate) fn summaries() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, item) in Document::openapi().paths.paths {
        for (method, operation) in [("", item.get), ("POST ", item.post), ("DELETE ", item.delete)] {
            let summary = operation.map(|operation| operation.summary.unwrap_or_default());
            all.extend(summary.map(|summary| (format!("{method}{path}"), summary)));
        }
    }
    all
}

/// This API, described as an OpenAPI document.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "agent",
    operation_id = "openapi",
    responses(
        (status = 200, description = "The document.", body = Object, content_type = "application/json"),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn openapi(pairs: Pairs) -> Result<impl IntoResponse, Refusal> {
    pairs.expect_none()?;
    Ok(([(header::CONTENT_TYPE, "application/json")], openapi_json()))
}
