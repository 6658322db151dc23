//! What editors ask while a policy is written: the fields of filters, the schema, what is wrong, what changes, what is to
//! be signed. Deliberately not here: what a policy means. Invariant: nothing here changes anything.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use hivewall_view::catalogue::FieldCatalogue;
use hivewall_view::editing::{DocumentRequest, PolicyCheck, PolicyDifferences, PolicyStatement};

use crate::access::Body;
use crate::error::{Problem, Refusal};
use crate::params::Pairs;
use crate::policy::{patiently, refusal};
use crate::refusals::DocumentUnread;
use crate::routes::json;
use crate::source::PolicyRefusal;
use crate::state::Shared;

/// The fields that filters can name, and the columns of flows: for completion and choosers.
#[utoipa::path(
    get,
    path = "/api/v1/fields",
    tag = "flows",
    operation_id = "fields",
    responses(
        (status = 200, description = "All of them.", body = FieldCatalogue),
        (status = 400, description = "A parameter is not understood.", body = Problem),
    )
)]
pub(crate) async fn fields(pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    json(StatusCode::OK, Arc::new(FieldCatalogue::new())).await
}

/// The JSON Schema of policies, for editors.
#[utoipa::path(
    get,
    path = "/api/v1/policy/schema",
    tag = "policy",
    operation_id = "policy_schema",
    responses(
        (status = 200, description = "The schema (draft 2020-12).", body = serde_json::Value),
        (status = 400, description = "A parameter is not understood.", body = Problem),
        (status = 404, description = "No policies are read here.", body = Problem),
    )
)]
pub(crate) async fn schema(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let schema = shared.source.policy_schema().ok_or_else(|| refusal(PolicyRefusal::Off))?;
    json(StatusCode::OK, Arc::new(schema)).await
}

/// What is wrong with a document, each with its place. Files of sets are not opened.
#[utoipa::path(
    post,
    path = "/api/v1/policy/check",
    tag = "policy",
    operation_id = "policy_check",
    request_body = DocumentRequest,
    responses(
        (status = 200, description = "What is wrong, perhaps nothing.", body = PolicyCheck),
        DocumentUnread,
    )
)]
pub(crate) async fn check(
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(DocumentRequest { document }): Body<DocumentRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let check = patiently(shared.source.policy_check(document)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(check)).await
}

/// What changes from the policy in force to a document.
#[utoipa::path(
    post,
    path = "/api/v1/policy/diff",
    tag = "policy",
    operation_id = "policy_diff",
    request_body = DocumentRequest,
    responses(
        (status = 200, description = "What changes, perhaps nothing.", body = PolicyDifferences),
        DocumentUnread,
    )
)]
pub(crate) async fn diff(
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(DocumentRequest { document }): Body<DocumentRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let changes = patiently(shared.source.policy_diff(document)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(changes)).await
}

/// What is to be signed so that this host takes a document after the one it has.
#[utoipa::path(
    post,
    path = "/api/v1/policy/statement",
    tag = "policy",
    operation_id = "policy_statement",
    request_body = DocumentRequest,
    responses(
        (status = 200, description = "The bytes to be signed.", body = PolicyStatement),
        DocumentUnread,
    )
)]
pub(crate) async fn statement(
    State(shared): State<Arc<Shared>>,
    pairs: Pairs,
    Body(DocumentRequest { document }): Body<DocumentRequest>,
) -> Result<Response, Refusal> {
    pairs.expect_none()?;
    let statement = patiently(shared.source.policy_statement(document)).await?.map_err(refusal)?;
    json(StatusCode::OK, Arc::new(statement)).await
}
