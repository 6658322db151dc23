//! From what payload showed to flows, names and times.

use std::net::IpAddr;
use std::sync::Arc;

use hivewall_model::{Finding, FlowId, Learned, NameSource, Process, Timestamp, Tuple};

use crate::entry::Entry;
use crate::insight::Insight;
use crate::pair::PairKey;
use crate::sockets::{Ends, Life, Seat};
use crate::summaries::Said;
use crate::table::Slot;
use crate::{Effects, Engine};

/// Something that payload showed, tied to its flow: what a log of names needs.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedFinding {
    /// What it is, when and by which packet.
    pub finding: Finding,
    /// Number of the flow; `None` when no record of it came within some seconds.
    pub flow: Option<FlowId>,
    /// Who talks to whom.
    pub tuple: Tuple,
    /// Whether the client sent the packet.
    pub from_client: bool,
    /// Process of this host: the client's, else the server's.
    pub process: Option<Arc<Process>>,
}

/// Whether the packet that showed this came from the server, where the thing itself tells.
fn is_from_server(learned: &Learned) -> bool {
    match learned {
        Learned::Dns(message) => message.response,
        Learned::HttpResponse(_) => true,
        Learned::SshBanner { from_client, .. } => *from_client == Some(false),
        _ => false,
    }
}

/// Whether it is written to the log; times are not.
fn is_logged(learned: &Learned) -> bool {
    !matches!(
        learned,
        Learned::Handshake { .. } | Learned::ServerResponse(_) | Learned::RoundTrip { .. } | Learned::Stray(_)
    )
}

impl Engine {
    pub(crate) fn take_findings(&mut self, findings: &[Finding], effects: &mut Effects) {
        let age = self.age();
        let mut gone = Vec::new();
        for finding in findings {
            if let Learned::Stray(stray) = &finding.learned {
                effects.strays.push((**stray).clone());
                continue;
            }
            let (pair, a_to_b) = PairKey::of(&finding.key, self.interfaces.vlan(finding.key.ifindex()));
            // What came after a connection said its end is of the next one on its tuple.
            let is_of = |slot: &Slot| self.table.get(*slot).is_some_and(|entry| entry.life().reaches(finding.time));
            let slot = self.flow_at(&pair, finding.time).filter(is_of);
            self.summarize(finding, pair, a_to_b, slot);
            match slot.and_then(|slot| self.table.get_mut(slot)) {
                Some(entry) => self.insight.learn(entry, finding, a_to_b, effects),
                None => self.insight.held.put(pair, finding, age, &mut gone),
            }
        }
        self.give_up(gone, effects);
    }

    /// What waited for the first record of this flow.
    pub(crate) fn release(&mut self, slot: Slot, pair: &PairKey, effects: &mut Effects) {
        for finding in self.insight.held.take(pair) {
            let (_, a_to_b) = PairKey::of(&finding.key, self.interfaces.vlan(finding.key.ifindex()));
            if let Some(entry) = self.table.get_mut(slot) {
                self.insight.learn(entry, &finding, a_to_b, effects);
            }
        }
    }

    /// Findings whose flow never showed are logged as they are.
    pub(crate) fn give_up(&self, gone: Vec<Finding>, effects: &mut Effects) {
        for finding in gone.into_iter().filter(|finding| is_logged(&finding.learned)) {
            let (pair, a_to_b) = PairKey::of(&finding.key, self.interfaces.vlan(finding.key.ifindex()));
            let from_client = !is_from_server(&finding.learned);
            let client = usize::from(a_to_b != from_client);
            let ((client, client_port), (server, server_port)) = (pair.end(client), pair.end(1 - client));
            let tuple =
                Tuple { protocol: pair.protocol, client, server, client_port, server_port, vlans: pair.vlans() };
            effects.findings.push(LoggedFinding { finding, flow: None, tuple, from_client, process: None });
        }
    }

    /// Counts it for the host as a whole.
    fn summarize(&mut self, finding: &Finding, pair: PairKey, a_to_b: bool, slot: Option<Slot>) {
        let client = usize::from(a_to_b == is_from_server(&finding.learned));
        if let Learned::Tls(hello) = &finding.learned {
            self.insight.tls.see(hello);
        }
        if !matches!(finding.learned, Learned::Dns(_) | Learned::HttpRequest(_) | Learned::HttpResponse(_)) {
            return;
        }
        let entry = slot.and_then(|slot| self.table.get(slot));
        let known = entry.and_then(|entry| [client, 1 - client].into_iter().find_map(|side| entry.process(side)));
        let process = known.or_else(|| self.process_at(&pair, client, finding.time));
        let (client_ip, server_ip): (IpAddr, IpAddr) = (pair.end(client).0, pair.end(1 - client).0);
        let said = Said {
            pair,
            time: finding.time,
            client: client_ip,
            server: server_ip,
            process: process.as_deref().map(|process| &*process.comm),
        };
        match &finding.learned {
            Learned::Dns(message) => {
                self.insight.dns.see(said, message);
                let asker = (!self.interfaces.is_local(client_ip)).then_some(client_ip);
                self.insight.answers.learn(message, asker, finding.time);
            }
            Learned::HttpRequest(request) => self.insight.http.see_request(said, request),
            Learned::HttpResponse(response) => self.insight.http.see_response(said, response),
            _ => {}
        }
    }

    /// The process of a conversation that has no flow yet.
    fn process_at(&self, pair: &PairKey, client: usize, time: Timestamp) -> Option<Arc<Process>> {
        let life = Life { start: time, last: time, is_opened: false, is_finished: false };
        [client, 1 - client].into_iter().find_map(|side| {
            let ends = Ends { protocol: pair.protocol, local: pair.end(side), remote: pair.end(1 - side) };
            let seat = Seat {
                is_local: self.interfaces.is_local(ends.local.0),
                faces_local: self.interfaces.is_local(ends.remote.0),
                is_client: side == client,
            };
            self.insight.sockets.find(ends, life, seat)?.process
        })
    }
}

impl Insight {
    /// Takes over into a living flow what was learned of it.
    fn learn(&mut self, entry: &mut Entry, finding: &Finding, a_to_b: bool, effects: &mut Effects) {
        let application = entry.names().and_then(|names| names.application);
        self.note(entry, finding, a_to_b);
        if entry.names().and_then(|names| names.application) != application {
            self.services.move_over(entry);
        }
        if !is_logged(&finding.learned) {
            return;
        }
        let ((client, _), (server, _)) = (entry.client(), entry.server());
        let sides = [entry.client_side(), 1 - entry.client_side()];
        let process = sides.into_iter().find_map(|side| entry.process(side));
        if let Some(process) = &process {
            match &finding.learned {
                Learned::Dns(_) => self.dns.attribute(entry.key, &process.comm),
                Learned::HttpRequest(_) | Learned::HttpResponse(_) => self.http.attribute(entry.key, &process.comm),
                _ => {}
            }
        }
        effects.findings.push(LoggedFinding {
            finding: finding.clone(),
            flow: Some(entry.id),
            tuple: entry.tuple(client, server),
            from_client: a_to_b == entry.a_is_client(),
            process,
        });
    }

    fn note(&mut self, entry: &mut Entry, finding: &Finding, a_to_b: bool) {
        match &finding.learned {
            Learned::Dns(message) => {
                let names = entry.names_mut();
                names.application = Some(match (message.multicast, finding.key.dport) {
                    (false, _) => "dns",
                    (true, 5355) => "llmnr",
                    (true, _) => "mdns",
                });
                names.dns = Some(Arc::clone(message));
            }
            Learned::Tls(hello) => {
                let names = entry.names_mut();
                names.application = Some(if hello.quic { "quic" } else { "tls" });
                names.tls = Some(Arc::clone(hello));
                name_server(entry, hello.server_name.as_deref(), NameSource::Sni);
            }
            Learned::HttpRequest(request) => {
                let names = entry.names_mut();
                names.application = Some("http");
                names.http = Some(Arc::clone(request));
                names.http_requests = names.http_requests.saturating_add(1);
                name_server(entry, request.host.as_deref(), NameSource::Host);
            }
            Learned::HttpResponse(response) => {
                let names = entry.names_mut();
                names.application = Some("http");
                names.http_status = Some(response.status);
                if names.http.is_none() {
                    names.http.clone_from(&response.request);
                }
            }
            Learned::SshBanner { text, from_client } => {
                let from_client = from_client.unwrap_or(a_to_b == entry.a_is_client());
                let names = entry.names_mut();
                names.application = Some("ssh");
                let [client, server] = &mut names.ssh;
                *(if from_client { client } else { server }) = Some(Arc::clone(text));
            }
            Learned::Handshake { .. } | Learned::ServerResponse(_) | Learned::RoundTrip { .. } => {
                self.time(entry, &finding.learned);
            }
            Learned::Stray(_) => {}
        }
    }

    fn time(&mut self, entry: &mut Entry, learned: &Learned) {
        let client_side = entry.client_side();
        // A round trip is with the end that is not here.
        let away = |entry: &Entry, side: usize| (!entry.is_local(side)).then(|| entry.key.end(side).0);
        let (client, server) = (away(entry, client_side), away(entry, 1 - client_side));
        match *learned {
            Learned::Handshake { server: to_server, client: to_client } => {
                let measures = entry.measures_mut();
                measures.handshake_server = to_server.into();
                measures.handshake_client = to_client.into();
                for (peer, time) in [(client, to_client), (server, to_server)] {
                    if let Some(peer) = peer {
                        self.peers.see(peer, time);
                    }
                }
            }
            Learned::ServerResponse(time) => entry.measures_mut().server_response = time.into(),
            Learned::RoundTrip { time, .. } => {
                entry.measures_mut().see_round_trip(time);
                if let Some(peer) = server {
                    self.peers.see(peer, time);
                }
            }
            _ => {}
        }
    }
}

/// What the client says itself stands above what is inferred, and its ClientHello above a header on the way (CONNECT).
fn name_server(entry: &mut Entry, name: Option<&str>, source: NameSource) {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return };
    let names = entry.names_mut();
    let is_said = names.server.as_ref().is_some_and(|(_, known)| *known == NameSource::Sni);
    if is_said && source != NameSource::Sni {
        return;
    }
    if names.server.as_ref().is_none_or(|(known, by)| **known != *name || *by != source) {
        names.server = Some((Arc::from(name), source));
    }
}
