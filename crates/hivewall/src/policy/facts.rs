//! What a policy has to know of the host: how it is managed, who manages it now, and which connections are there.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use hivewall_config::Config;
use hivewall_datapath::policy::{Action, Connection, ConnectionKey, Verdict, VerdictCause};
use hivewall_host::diag::{DiagSocket, SocketDiag};
use hivewall_model::SocketState;
use hivewall_policy::{Addresses, HostFacts, Rule, Ruleset, Session, Stage, words};
use ipnet::IpNet;

/// Connections that a first policy in a packet filter leaves alone: each is two rules of it.
const ADOPTED_MAX: usize = 1024;

/// What the configuration says of the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    ports: Vec<u16>,
    management: Vec<IpNet>,
    exempt: Vec<IpNet>,
    floor: String,
    /// Set while the host is in a fleet.
    pub(super) links_port: Option<u16>,
}

impl Host {
    /// As configured.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            ports: vec![config.policy.management_port],
            management: config.policy.management.clone(),
            exempt: config.policy.exempt.clone(),
            floor: config.policy.floor.clone(),
            links_port: None,
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
            links_port: self.links_port,
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
    connections().into_iter().map(|(protocol, from, to)| conversation(protocol, from, to, now_s)).collect()
}

/// The same for a packet filter: rules before those of the first tier, so that bans still hold. Which end conntrack takes
/// for the one that began is not known: the first packet that it sees decides, so each connection has a rule either way.
pub(super) fn with_adopted(rules: &Ruleset) -> Ruleset {
    adopting(rules, &connections())
}

fn adopting(rules: &Ruleset, connections: &[(u8, SocketAddr, SocketAddr)]) -> Ruleset {
    let mut rules = rules.clone();
    let Some(at) = rules.rules.iter().position(|rule| matches!(rule.stage, Stage::Tier(_))) else { return rules };
    let Some(stage) = rules.rules.get(at).map(|rule| rule.stage) else { return rules };
    if connections.len() > ADOPTED_MAX {
        tracing::warn!(
            connections = connections.len(),
            adopted = ADOPTED_MAX,
            "more connections are open than a first policy in a packet filter leaves alone; the others may be cut"
        );
    }
    let both =
        connections.iter().take(ADOPTED_MAX).flat_map(|(protocol, a, b)| [(*protocol, *a, *b), (*protocol, *b, *a)]);
    let adopted: Vec<Rule> = both.map(|(protocol, from, to)| adopting_rule(stage, protocol, from, to)).collect();
    drop(rules.rules.splice(at..at, adopted));
    rules
}

fn adopting_rule(stage: Stage, protocol: u8, from: SocketAddr, to: SocketAddr) -> Rule {
    let only = |end: SocketAddr| Addresses::In(vec![IpNet::from(canonical(end.ip()))]);
    let port = |end: SocketAddr| std::iter::once(end.port()..=end.port()).collect();
    Rule {
        protocols: vec![protocol],
        from: only(from),
        to: only(to),
        source_ports: port(from),
        destination_ports: port(to),
        ..Rule::plain(format!("{} {protocol} {from} {to}", VerdictCause::Adopted.label()), stage, None)
    }
}

/// Connections of this host's sockets: protocol, who began, with whom.
fn connections() -> Vec<(u8, SocketAddr, SocketAddr)> {
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
            (socket.ends.protocol, from, to)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_connections_are_accepted_either_way_behind_the_guard_and_before_the_tiers() {
        let (a, b): (SocketAddr, SocketAddr) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:8081".parse().unwrap());
        let rule = |id: &str, stage| Rule { id: id.to_owned(), ..adopting_rule(stage, 6, a, b) };
        let rules = vec![rule("guard:ssh", Stage::Guard), rule("web", Stage::Tier(0)), rule("db", Stage::Tier(1))];
        let rules = Ruleset { rules, ..Ruleset::default() };
        let adopted = adopting(&rules, &[(6, a, b)]);
        let ids: Vec<&str> = adopted.rules.iter().map(|rule| rule.id.as_str()).collect();
        let [forth, back] = ["(adopted) 6 10.0.0.1:40000 10.0.0.2:8081", "(adopted) 6 10.0.0.2:8081 10.0.0.1:40000"];
        assert_eq!(ids, ["guard:ssh", forth, back, "web", "db"]);
        assert!(adopted.rules.iter().map(|rule| rule.stage).is_sorted());
        assert_eq!(adopting(&Ruleset::default(), &[(6, a, b)]), Ruleset::default());
    }
}
