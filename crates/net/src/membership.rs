//! Where the links ask who is a member: this host's identity and the roster of the cluster, as both kinds of links
//! need them. No rules of its own: those are in the crate `trust`.
//!
//! Invariant: a key or name is given out only after the roster has admitted it with the present charter and time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hivewall_cluster::{Claim, Member, NodeId, Policy, SignedMember};
use hivewall_trust::{Enroller, Identity, Passport, Roster, noise_public, tls};
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, ServerConfig, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;

use crate::clock::unix_s;
use crate::error::NetError;
use crate::frames::QUESTION_BYTES_MAX;
use crate::limits::Limits;
use crate::noise::{Directory, Proof};

/// An unused connection ends after this time.
const IDLE: Duration = Duration::from_secs(30);
/// What a peer may have sent on a connection that was not read yet, in bytes.
const UNREAD_BYTES_MAX: u32 = 1 << 20;
/// Handshakes that quinn keeps until they are looked at.
const INCOMING_MAX: usize = 256;
/// Bytes of packets kept for those, in all.
const INCOMING_BYTES_MAX: u64 = 1 << 20;

/// Who is at the other end of a connection, as its handshake settled it.
pub(crate) fn peer_of(connection: &Connection) -> Option<tls::Peer> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    let chain = connection.peer_identity().and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    tls::Peer::of(data.protocol.as_deref(), chain.as_ref().map(|chain| chain.as_slice())).ok()
}

/// What is in use now.
struct Held {
    identity: Identity,
    client: ClientConfig,
}

/// Identity and roster.
pub(crate) struct Membership {
    roster: Roster,
    transport: Arc<TransportConfig>,
    held: RwLock<Held>,
}

fn client_config(
    identity: &Identity,
    roster: &Roster,
    transport: &Arc<TransportConfig>,
) -> Result<ClientConfig, NetError> {
    let tls = tls::client(identity, roster).map_err(NetError::Trust)?;
    let crypto = QuicClientConfig::try_from(tls).map_err(|_| NetError::Identity)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport.clone());
    Ok(config)
}

pub(crate) fn transport_config(limits: &Limits) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams_open))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(QUESTION_BYTES_MAX as u32 + 1024))
        .receive_window(VarInt::from_u32(UNREAD_BYTES_MAX))
        .send_window(u64::from(UNREAD_BYTES_MAX))
        .initial_rtt(Duration::from_millis(50))
        .max_idle_timeout(IDLE.try_into().ok());
    Arc::new(transport)
}

impl Membership {
    pub(crate) fn new(identity: Identity, roster: Roster, limits: &Limits) -> Result<Self, NetError> {
        let transport = transport_config(limits);
        let client = client_config(&identity, &roster, &transport)?;
        Ok(Self { roster, transport, held: RwLock::new(Held { identity, client }) })
    }

    fn with<T>(&self, read: impl FnOnce(&Held) -> T) -> T {
        read(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What this host proves itself with on Noise links.
    pub(crate) fn proof(&self) -> Option<Proof> {
        self.with(|held| {
            let public = noise_public(&held.identity.key().public())?;
            let passport = held.identity.passport().encode();
            Some(Proof { secret: *held.identity.key().noise_secret(), public, passport })
        })
    }

    pub(crate) fn client_config(&self) -> Option<ClientConfig> {
        self.with(|held| Some(held.client.clone()))
    }

    pub(crate) fn server_config(&self) -> Result<ServerConfig, NetError> {
        let tls = self.with(|held| tls::server(&held.identity, &self.roster)).map_err(NetError::Trust)?;
        let crypto = QuicServerConfig::try_from(tls).map_err(|_| NetError::Identity)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(self.transport.clone())
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_MAX)
            .migration(true);
        Ok(config)
    }

    /// Which member is at the other end, if it is one that may be talked to now.
    pub(crate) fn member_at(&self, connection: &Connection) -> Option<NodeId> {
        match peer_of(connection)? {
            tls::Peer::Member(id) => Some(id).filter(|id| !self.roster.is_revoked(*id)),
            tls::Peer::Newcomer => None,
        }
    }

    /// The public key of a member that was admitted before.
    pub(crate) fn public_of(&self, id: NodeId) -> Option<[u8; 32]> {
        self.roster.public_of(id)
    }

    pub(crate) fn is_revoked(&self, id: NodeId) -> bool {
        self.roster.is_revoked(id)
    }

    /// A charter. One that is no news changes nothing: the program may have shown it to the roster before.
    pub(crate) fn adopt(&self, charter: &Policy) {
        if let Err(error) = self.roster.adopt(charter) {
            tracing::debug!(%error, "the charter is not adopted");
        }
    }

    /// The identity in use.
    pub(crate) fn identity(&self) -> Identity {
        self.with(|held| held.identity.clone())
    }

    /// Uses papers of a later day from now on.
    pub(crate) fn replace(&self, identity: Identity) -> Result<(), NetError> {
        let client = client_config(&identity, &self.roster, &self.transport)?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held { identity, client };
        Ok(())
    }

    /// What issues papers, where this host may.
    pub(crate) fn enroller(&self) -> Option<Enroller> {
        self.with(|held| held.identity.enroller())
    }

    /// From when the papers should be renewed, in seconds since the Unix epoch.
    pub(crate) fn renew_at_unix_s(&self) -> u64 {
        self.with(|held| held.identity.renew_at_unix_s())
    }

    pub(crate) fn sign_member(&self, member: &Member) -> SignedMember {
        let body = member.encode();
        let message = Claim::Member(member.id, &body).message();
        let signature = self.with(|held| hivewall_trust::seal(&held.identity, &message));
        SignedMember { body, signature }
    }

    pub(crate) fn ends_unix_s(&self) -> u64 {
        self.with(|held| held.identity.passport().not_after)
    }
}

impl Directory for Membership {
    fn noise_key(&self, id: NodeId) -> Option<[u8; 32]> {
        self.roster.public_of(id).and_then(|public| noise_public(&public))
    }

    fn admit(&self, passport: &[u8]) -> Option<(NodeId, [u8; 32])> {
        let admitted = self.roster.admit(&Passport::decode(passport).ok()?, unix_s()).ok()?;
        Some((admitted.id, noise_public(&admitted.public)?))
    }
}

/// What is bound to this very connection, for the proof of an invitation.
pub(crate) fn exporter_of(connection: &Connection) -> Option<[u8; 32]> {
    let mut exported = [0; 32];
    let (label, context) = (hivewall_trust::exporter_label(), hivewall_trust::exporter_context());
    connection.export_keying_material(&mut exported, label, context).ok()?;
    Some(exported)
}
