//! What a newcomer and an enroller say to one another: one question and one answer on a connection of
//! [`crate::tls::ALPN_ENROL`]. A member renews its papers by the same answer, over a connection of members.
//!
//! Invariant: nothing of these is believed before the proof, the certificates and the root's key say so.

use std::net::SocketAddr;

use hivewall_cluster::Policy;
use serde::{Deserialize, Serialize};

use crate::error::TrustError;
use crate::identity::Papers;

/// Longest question or answer, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Label of the key material that binds a proof to its connection (RFC 5705).
pub const fn exporter_label() -> &'static [u8] {
    b"EXPORTER-hivewall-invitation"
}

/// Its context.
pub const fn exporter_context() -> &'static [u8] {
    b""
}

/// The newcomer's question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// Which invitation.
    pub invitation: [u8; 8],
    /// [`crate::Invitation::proof`].
    pub proof: [u8; 32],
    /// The newcomer's public key.
    pub public: [u8; 32],
    /// Name of the host, for people.
    pub name: String,
}

/// The enroller's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on its way to or from the wire")]
pub enum EnrolResponse {
    /// It is a member now.
    Welcome {
        /// Its papers.
        papers: Papers,
        /// The charter that holds.
        charter: Policy,
        /// What hosts need besides to judge policies: opaque here.
        keys: Vec<u8>,
        /// Members to begin with.
        seeds: Vec<SocketAddr>,
    },
    /// It is not, and why, in words for people.
    Refused(String),
}

impl EnrolRequest {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        let request: Self =
            postcard::from_bytes(bytes).map_err(|_| TrustError::Unreadable { what: "request to enrol" })?;
        if request.name.len() > crate::NAME_BYTES_MAX {
            return Err(TrustError::TooLong { what: "name of the host", max: crate::NAME_BYTES_MAX });
        }
        Ok(request)
    }
}

impl EnrolResponse {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(TrustError::TooLong { what: "answer", max: MESSAGE_BYTES_MAX });
        }
        postcard::from_bytes(bytes).map_err(|_| TrustError::Unreadable { what: "answer to a request to enrol" })
    }
}
