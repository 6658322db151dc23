//! Bans of the fleet: whom an operator or a detector of one host bans or limits is so on all, for as long as the charter allows.
//!
//! Invariants: a ban always ends; a prefix shorter than the charter allows, or one that holds a member's address, is carried
//! out by nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use hivewall_cluster::{Ban, Claim, NodeId};
use hivewall_policy::document::Reaction;
use hivewall_trust::{Charter, Identity, seal};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::policy::governor::Measure;

/// Longest reason that travels, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// Who is banned or limited, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) prefix: IpNet,
    pub(super) reason: String,
    pub(super) who: String,
    pub(super) measure: Measure,
}

pub(super) fn body_of(ban: &Ban) -> Option<Body> {
    postcard::from_bytes(&ban.body).ok()
}

/// A ban of this host. It lives as long as was asked for, at most as long as the charter allows.
pub(super) fn issue(
    identity: &Identity,
    charter: &Charter,
    number: u64,
    now_unix_s: u64,
    (body, ttl): (Body, Option<Duration>),
) -> Result<Ban, String> {
    check_length(charter, body.prefix)?;
    let life_s = ttl.map_or(charter.ban_life_s, |ttl| ttl.as_secs().clamp(1, charter.ban_life_s));
    let reason = body.reason.chars().take(REASON_BYTES_MAX / 4).collect();
    let body = postcard::to_allocvec(&Body { reason, ..body }).unwrap_or_default();
    let ban = Ban {
        issuer: identity.id(),
        number,
        issued_unix_s: now_unix_s,
        expires_unix_s: now_unix_s + life_s,
        withdrawn: false,
        body,
        signature: Vec::new(),
    };
    Ok(signed(identity, ban))
}

/// The same ban, taken back.
pub(super) fn withdrawal(identity: &Identity, ban: &Ban) -> Ban {
    signed(identity, Ban { withdrawn: true, body: Vec::new(), ..ban.clone() })
}

fn signed(identity: &Identity, mut ban: Ban) -> Ban {
    ban.signature = seal(identity, &Claim::Ban(&ban).message());
    ban
}

pub(super) fn check_length(charter: &Charter, prefix: IpNet) -> Result<(), String> {
    let shortest = match prefix {
        IpNet::V4(_) => charter.ban_prefix_v4,
        IpNet::V6(_) => charter.ban_prefix_v6,
    };
    if prefix.prefix_len() >= shortest {
        return Ok(());
    }
    Err(format!("{prefix} is shorter than the /{shortest} that the charter allows for a ban of the whole fleet"))
}

/// Bans that this host carries out for others: of whom, how, and under whose name.
#[derive(Debug, Default)]
pub(super) struct Carried(pub(super) BTreeMap<(NodeId, u64), (IpNet, Reaction, String)>);
