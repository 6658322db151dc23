//! What is asked of a fleet's member to be done, and what it answers. Deliberately not here: who may ask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An invitation to issue (`POST /api/v1/fleet/invitations`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationRequest {
    /// How many hosts may use it; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uses: Option<u32>,
    /// How long it holds, as `1h`; a day when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ttl: Option<String>,
    /// Whether hosts that use it may issue invitations themselves.
    #[serde(default)]
    pub enroller: bool,
    /// Labels that hosts which use it are given unless they have their own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub labels: BTreeMap<String, String>,
    /// Addresses with ports where a host that joins reaches this one; those it advertises when empty.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub addresses: Vec<String>,
    /// What it is for; for people.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

/// An invitation that was issued. Its line is shown once and never again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationIssued {
    /// One line of text, for `hivewall cluster join`. It is a secret.
    pub line: String,
    /// What else there is to know of it.
    pub invitation: InvitationView,
}

/// An invitation, without its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationView {
    /// Its id, by which it is withdrawn.
    pub id: String,
    /// When it was issued, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issued: Option<String>,
    /// Until when it holds, RFC 3339, UTC.
    pub expires: String,
    /// How many hosts may use it.
    pub uses: u32,
    /// How many did.
    pub used: u32,
    /// `open`, `used_up`, `expired` or `withdrawn`.
    pub state: String,
    /// Whether hosts that use it may issue invitations themselves.
    pub enroller: bool,
    /// Labels that it gives.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub labels: BTreeMap<String, String>,
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

/// Invitations of this host, the latest first (`GET /api/v1/fleet/invitations`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// All that are remembered.
    pub invitations: Vec<InvitationView>,
}

/// An invitation to withdraw (`DELETE /api/v1/fleet/invitations`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationWithdrawal {
    /// Its id.
    pub id: String,
}

/// A host to take out of the fleet for good (`POST /api/v1/fleet/remove`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// Its name, its id, or the beginning of its id.
    pub host: String,
    /// Why; for the log.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
}

/// What came of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetOutcome {
    /// What was done, for people.
    pub done: String,
    /// What else is to be known or done, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}
