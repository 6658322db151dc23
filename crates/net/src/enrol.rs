//! How a host becomes a member: one question to an enroller, from a port of its own that is closed again.
//!
//! Keeps nothing; the program does. Invariant: the secret of the invitation never leaves this host, and papers are only
//! given back if they are of this host's key and the root that the invitation names.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hivewall_cluster::Policy;
use hivewall_trust::{EnrolRequest, EnrolResponse, HostKey, Identity, Invitation, TrustError, tls};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};
use tokio::task::JoinSet;

use crate::frames::{Kind, read_answer, write_question};
use crate::limits::Limits;
use crate::membership::{exporter_of, transport_config};

/// The next address is tried so long after the one before.
const STAGGER: Duration = Duration::from_millis(300);

/// What a new member has.
pub struct Enrolled {
    /// Key and papers: a secret, to be kept.
    pub identity: Identity,
    /// The charter that holds; goes into `Saved::policies`.
    pub charter: Policy,
    /// What the program of the enroller gave: the keys that policies are signed with.
    pub keys: Vec<u8>,
    /// Members to join through.
    pub seeds: Vec<SocketAddr>,
}

/// Why a host did not become a member.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The invitation names no address.
    #[error("the invitation names no address: let it be made with `--address` of a host that issues certificates")]
    NoAddress,
    /// No socket or runtime.
    #[error("cannot open a UDP socket to enrol: the host may be out of file descriptors")]
    Socket(#[source] std::io::Error),
    /// Nobody answered.
    #[error("no address of the invitation answered ({tried}): see that the agent runs there and UDP gets through")]
    Unreachable {
        /// Which were tried.
        tried: String,
    },
    /// Who answered is not of the cluster that invites, or refuses all.
    #[error("{address} answered, but is not of the cluster that the invitation is for, or does not enrol: {reason}")]
    OtherCluster {
        /// Where.
        address: SocketAddr,
        /// What TLS says.
        reason: String,
    },
    /// The enroller refused.
    #[error("the enroller refused: {0}")]
    Refused(String),
    /// Papers that cannot be used.
    #[error("the enroller's answer cannot be used")]
    Trust(#[source] TrustError),
}

/// Becomes a member. Blocks, at most as long as said; not to be called from inside a tokio runtime.
pub fn enrol(invitation: &Invitation, key: HostKey, name: &str, timeout: Duration) -> Result<Enrolled, EnrolError> {
    if invitation.addresses.is_empty() {
        return Err(EnrolError::NoAddress);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(EnrolError::Socket)?;
    runtime.block_on(async {
        let unreachable = || EnrolError::Unreachable {
            tried: invitation.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", "),
        };
        let enrolled = tokio::time::timeout(timeout, enrol_at_any(invitation, key, name));
        enrolled.await.unwrap_or_else(|_| Err(unreachable())).map_err(|error| match error {
            EnrolError::NoAddress => unreachable(),
            other => other,
        })
    })
}

async fn enrol_at_any(invitation: &Invitation, key: HostKey, name: &str) -> Result<Enrolled, EnrolError> {
    let tls = tls::newcomer(invitation.root).map_err(EnrolError::Trust)?;
    let crypto = QuicClientConfig::try_from(tls).map_err(|_| EnrolError::NoAddress)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport_config(&Limits::default()));
    let mut tries = JoinSet::new();
    for (at, address) in invitation.addresses.iter().copied().enumerate() {
        let config = config.clone();
        tries.spawn(async move {
            tokio::time::sleep(STAGGER * at as u32).await;
            connect(address, config).await.map_err(|error| (address, error))
        });
    }
    // Who answers but is somebody else tells more than who does not answer.
    let mut worst = EnrolError::NoAddress;
    while let Some(tried) = tries.join_next().await {
        match tried {
            Ok(Ok((endpoint, connection))) => {
                tries.abort_all();
                let enrolled = ask(&connection, invitation, key, name).await;
                connection.close(crate::pool::CLOSED_ENDED, b"");
                let _ = tokio::time::timeout(Duration::from_millis(200), endpoint.wait_idle()).await;
                return enrolled;
            }
            Ok(Err((_, Tried::Socket(error)))) => worst = EnrolError::Socket(error),
            Ok(Err((address, Tried::Refused(reason)))) => worst = EnrolError::OtherCluster { address, reason },
            _ => {}
        }
    }
    Err(worst)
}

enum Tried {
    Socket(std::io::Error),
    Refused(String),
    Unreachable,
}

async fn connect(address: SocketAddr, config: ClientConfig) -> Result<(Endpoint, Connection), Tried> {
    let local: SocketAddr =
        if address.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
    let endpoint = Endpoint::client(local).map_err(Tried::Socket)?;
    let connecting = endpoint.connect_with(config, address, tls::SERVER_NAME).map_err(|_| Tried::Unreachable)?;
    match connecting.await {
        Ok(connection) => Ok((endpoint, connection)),
        Err(error @ (quinn::ConnectionError::TransportError(_) | quinn::ConnectionError::ConnectionClosed(_))) => {
            Err(Tried::Refused(error.to_string()))
        }
        Err(_) => Err(Tried::Unreachable),
    }
}

async fn ask(
    connection: &Connection,
    invitation: &Invitation,
    key: HostKey,
    name: &str,
) -> Result<Enrolled, EnrolError> {
    let broken = || EnrolError::Refused("the connection broke before the answer came; try again".to_owned());
    let exporter = exporter_of(connection).ok_or_else(broken)?;
    let public = key.public();
    let request = EnrolRequest {
        invitation: invitation.id,
        proof: invitation.proof(&exporter, &public),
        public,
        name: name.to_owned(),
    };
    let (mut send, mut receive) = connection.open_bi().await.map_err(|_| broken())?;
    write_question(&mut send, Kind::Enrol, &request.encode()).await.map_err(|_| broken())?;
    let answer = read_answer(&mut receive, Kind::Enrol).await.ok().flatten().ok_or_else(broken)?;
    match EnrolResponse::decode(&answer).map_err(EnrolError::Trust)? {
        EnrolResponse::Refused(why) => Err(EnrolError::Refused(why)),
        EnrolResponse::Welcome { papers, charter, keys, seeds } => {
            if papers.root != invitation.root {
                return Err(EnrolError::Trust(TrustError::OtherKey));
            }
            let identity = Identity::new(key, papers, None).map_err(EnrolError::Trust)?;
            let roster = identity.roster().map_err(EnrolError::Trust)?;
            roster.adopt(&charter).map_err(EnrolError::Trust)?;
            Ok(Enrolled { identity, charter, keys, seeds })
        }
    }
}
