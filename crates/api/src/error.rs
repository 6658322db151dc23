//! Errors as clients see them: a status code and one JSON shape. Deliberately not here: what went wrong inside, which
//! goes to the log. Invariant: every answer that is not 2xx carries a [`Problem`], unknown paths included. Two do not:
//! the health of a failing agent, which is a health document, and bytes that are not HTTP, which get a bare 400.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Detail;

/// What was wrong with a request, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A fixed word for programs, such as `bad_filter` or `unknown_parameter`.
    pub error: String,
    /// What was wrong, for people.
    pub detail: String,
    /// What to do next, for people.
    pub hint: String,
    /// Where in the filter's text, in bytes from its start; absent when the problem is not in a filter.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<u64>,
}

/// A [`Problem`] and its status code.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) problem: Problem,
    /// When to come again.
    wait: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        let problem = Problem { error: error.to_owned(), detail: detail.into(), hint: hint.into(), position: None };
        Self { status, problem, wait: None }
    }

    pub(crate) fn at(mut self, position: usize) -> Self {
        self.problem.position = Some(position as u64);
        self
    }

    /// The engine does not answer (any more).
    pub(crate) fn engine_gone() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "engine_stopped",
            "the engine has stopped",
            "see the agent's log for the reason and start it again",
        )
    }

    /// A program is in the way of itself or of others: try again later.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail, "try again in a second, or ask for less")
    }

    /// Too often: come again when this has passed.
    pub(crate) fn too_many(detail: &str, wait: Duration) -> Self {
        let seconds = wait.as_secs_f64().ceil().max(1.0);
        let hint = format!("wait {seconds} s");
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail, hint);
        Self { wait: Some(Duration::from_secs_f64(seconds)), ..refusal }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let busy = self.status == StatusCode::SERVICE_UNAVAILABLE;
        let wait = self.wait.or(busy.then_some(Duration::from_secs(1)));
        let detail = Detail(self.problem.error.clone());
        let unauthorized = self.status == StatusCode::UNAUTHORIZED;
        let mut response = (self.status, Json(self.problem)).into_response();
        response.extensions_mut().insert(detail);
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        if unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
