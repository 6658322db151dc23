//! Refusals that many operations share, for the OpenAPI document: each list stands here once. Deliberately not here: refusals that one
//! operation alone has, which stand with it; and how a refusal comes about.
//!
//! Invariant: every refusal is described as a [`Problem`](crate::Problem).

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

const PROBLEM: &str = "Problem";

macro_rules! refusals {
    ($($(#[doc = $about:literal])+ $name:ident { $($status:literal: $what:literal,)+ })+) => {
        $(
            $(#[doc = $about])+
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    BTreeMap::from([$(($status.to_string(), problem($what))),+])
                }
            }
        )+
    };
}

fn problem(what: &str) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM))).build();
    ResponseBuilder::new().description(what).content("application/json", content).build().into()
}

refusals! {
    /// Of everything, before the question is looked at.
    Gate {
        421: "The agent is asked by a name that is not its own.",
        429: "Too many requests come from this address; `Retry-After` says how long to wait.",
    }
    /// Of a question that anybody may ask where no login is required.
    Unknown {
        401: "A login is required, or what was shown is worth nothing.",
    }
    /// Of whatever only who may command is answered.
    Forbidden {
        401: "The token is missing or wrong.",
        403: "No commands are taken, or not from that page.",
    }
    /// Of a command with a body.
    CommandRefused {
        401: "The token is missing or wrong.",
        403: "No commands are taken, or not from that page.",
        415: "The body is not JSON.",
    }
    /// Of a question about alerts.
    AlertsUnasked {
        400: "A parameter is not understood.",
        404: "No detectors work here.",
    }
    /// Of a command about alerts, beside [`CommandRefused`].
    AlertsUndone {
        400: "The request is not understood.",
        404: "There is no such thing here.",
        500: "It could not be done.",
    }
    /// Of a question about the fleet.
    FleetUnasked {
        400: "A parameter is not understood.",
        404: "This agent is in no fleet.",
    }
    /// Of a question about a policy's text.
    DocumentUnread {
        400: "The document is not understood.",
        404: "No policy can be enforced here.",
        415: "The body is not JSON.",
    }
    /// Of a command about users.
    UserUnchanged {
        401: "Nobody is known to ask.",
        403: "The role is too low, or not from that page.",
        415: "The body is not JSON.",
    }
    /// Of a question that not every role may ask.
    RoleTooLow {
        400: "A parameter is not understood.",
        401: "Nobody is known to ask.",
        403: "The role is too low.",
    }
}
