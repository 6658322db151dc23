//! What a policy has to know of the host: how it is managed, who manages it now, and which connections are there.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use hivewall_config::Config;
use hivewall_datapath::policy::{Action, Connection, ConnectionKey, Verdict, VerdictCause};
use hivewall_host::diag::{DiagSocket, SocketDiag};
use hivewall_model::SocketState;
use hivewall_policy::{HostFacts, Session, words};
use ipnet::IpNet;

/// What the configuration says of the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    ports: Vec<u16>,
    management: Vec<IpNet>,
    exempt: Vec<IpNet>,
    floor: String,
}

impl Host {
    /// As configured.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            ports: vec![config.policy.management_port],
            management: config.policy.management.clone(),
            exempt: config.policy.exempt.clone(),
            floor: config.policy.floor.clone(),
        }
    }

    /// The facts, with the sessions that operators have now.
    pub(crate) fn facts(&self) -> anyhow::Result<HostFacts> {
        let floor = match self.floor.as_str() {
            "" => Vec::new(),
            path => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| anyhow::anyhow!("cannot read the floor's rules at {path}: {error}"))?;
                hivewall_policy::parse_floor(&text)
                    .map_err(|error| anyhow::anyhow!("{}", error.pointed(path, &text)))?
            }
        };
        Ok(HostFacts {
            management_ports: self.ports.clone(),
            management: self.management.clone(),
            sessions: self.sessions(),
            floor,
            exempt: self.exempt.clone(),
        })
    }

    /// Connections to the ports by which the host is managed.
    fn sessions(&self) -> Vec<Session> {
        let sockets = sockets();
        let is_managing = |socket: &&DiagSocket| {
            socket.ends.protocol == 6
                && socket.state == SocketState::Established
                && !socket.ends.remote.ip().is_loopback()
                && self.ports.contains(&socket.ends.local.port())
        };
        let session = |socket: &DiagSocket| Session { peer: socket.ends.remote, port: socket.ends.local.port() };
        sockets.iter().filter(is_managing).map(session).collect()
    }
}

/// Sockets there are; none when the kernel does not tell.
fn sockets() -> Vec<DiagSocket> {
    let mut sockets = Vec::new();
    let listed = SocketDiag::open().and_then(|mut diag| diag.list(false, &mut sockets));
    if let Err(error) = listed {
        tracing::warn!(%error, "connections that are there cannot be listed; a first policy may cut them");
    }
    sockets
}

/// Connections of this host's sockets, for the first policy to leave alone.
pub(crate) fn adopted(now_s: u32) -> Vec<(ConnectionKey, Connection)> {
    let sockets = sockets();
    let listening: HashSet<(u8, u16)> = sockets
        .iter()
        .filter(|socket| socket.state == SocketState::Listen)
        .map(|socket| (socket.ends.protocol, socket.ends.local.port()))
        .collect();
    let is_live = |socket: &&DiagSocket| {
        let remote = socket.ends.remote;
        !matches!(socket.state, SocketState::Listen | SocketState::Close | SocketState::TimeWait)
            && remote.port() != 0
            && !remote.ip().is_loopback()
    };
    sockets
        .iter()
        .filter(is_live)
        .map(|socket| {
            let (local, remote) = (socket.ends.local, socket.ends.remote);
            let began_here = !listening.contains(&(socket.ends.protocol, local.port()));
            let (from, to) = if began_here { (local, remote) } else { (remote, local) };
            conversation(socket.ends.protocol, from, to, now_s)
        })
        .collect()
}

/// A connection as the datapath remembers it.
pub(crate) fn conversation(protocol: u8, from: SocketAddr, to: SocketAddr, now_s: u32) -> (ConnectionKey, Connection) {
    let mut key = ConnectionKey::default();
    let ends = |end: SocketAddr| (words(canonical(end.ip())), end.port());
    let ((source, source_port), (destination, destination_port)) = (ends(from), ends(to));
    let from_high = key.set_ends(source, source_port, destination, destination_port, protocol);
    let verdict = Verdict::new(0, Action::Accept, VerdictCause::Adopted as u32);
    (key, Connection::adopted(verdict, from_high, now_s))
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
