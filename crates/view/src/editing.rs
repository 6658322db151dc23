//! What an editor of policies asks and is told: what is wrong and where, what changes, what is to be signed.
//!
//! Here are shapes only. Invariant: a place is counted in the text that was sent, lines and columns from 1.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::PolicyName;

/// A policy's text, signed or not (`POST /api/v1/policy/check`, `…/diff`, `…/statement`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentRequest {
    /// The text: YAML or JSON.
    pub document: String,
}

/// What is wrong with a document (`POST /api/v1/policy/check`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyCheck {
    /// Whether it can be taken; warnings do not stand against it.
    pub sound: bool,
    /// Whether it carries signatures. Whether they are good is found out when it is applied.
    pub signed: bool,
    /// What it calls itself, where that can be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<PolicyName>,
    /// Everything that is wrong, in the order of the text.
    pub problems: Vec<PolicyFault>,
    /// Problems beyond those.
    pub left_out: u64,
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyFault {
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// What it is and what to write instead.
    pub message: String,
    /// Line, from 1; 0 for what stands nowhere in the text.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// Characters that are meant; 0 for a place between two.
    pub length: u32,
}

/// What changes from the policy in force to a document (`POST /api/v1/policy/diff`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDifferences {
    /// The policy in force; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<PolicyName>,
    /// The document.
    pub to: PolicyName,
    /// Whether both mean the same; another version alone is no difference in meaning.
    pub same: bool,
    /// What changes: settings first, then defaults, tiers, sets and rules.
    pub changes: Vec<PolicyDifference>,
}

/// One thing that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDifference {
    /// `added`, `removed`, `changed` or `moved`.
    pub kind: String,
    /// `setting`, `default`, `tier`, `set` or `rule`.
    pub what: String,
    /// Its name: a rule's id, a set's name, a key.
    pub id: String,
    /// Tier of a rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tier: Option<String>,
    /// As it was, as JSON (which is YAML, too) in one line; absent when it was not there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<String>,
    /// As it is; absent when it is not there any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
}

/// What holders of keys sign (`POST /api/v1/policy/statement`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyStatement {
    /// What the document calls itself.
    pub policy: PolicyName,
    /// The version that it follows on this host, with its digest; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<String>,
    /// Exactly what is to be signed, byte by byte. With a line `#by KEY SIGNATURE` (base64) for each signature, keys
    /// ascending, before the line `#--`, it is the signed document.
    pub statement: String,
    /// SHA-256 of it, hexadecimal: what `hivewall policy sign` and `verify` print as the digest.
    pub digest: String,
}
