//! The OpenAPI document. Everything in it comes from the handlers and types themselves; nothing is written twice.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::error::{Problem, Refusal};
use crate::live::Lagged;
use crate::params::Pairs;
use crate::{alerts, editing, export, fleet, history, index, live, policy, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "hivewall agent",
        description = "What one hivewall agent sees and enforces, on loopback. Whatever changes something needs the \
                       agent's token. Bytes are IP bytes unless a name says \
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
        fleet::audit,
        fleet::invitations,
        fleet::invite,
        fleet::withdraw,
        fleet::remove,
        fleet::leave,
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
        (name = "policy", description = "What is let through: questions to anyone, commands to who has the token."),
        (name = "alerts", description = "What detectors found, who is told, what was done about it."),
        (name = "fleet", description = "All hosts together: every figure says of how many it is and how old.")
    )
)]
struct Document;

/// How commands show who sends them.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", bearer);
    }
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
