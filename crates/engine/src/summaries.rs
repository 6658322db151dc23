//! What was asked and answered over the whole host: DNS, HTTP, TLS.
//!
//! Every finding is counted once, when it comes, whether its flow is known or not. Invariant: whatever names and codes
//! come, memory is bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::{DnsAnswer, DnsMessage, HttpRequest, HttpResponse, Timestamp, TlsHello};
use hivewall_view::names::{dns_rcode, dns_type, tls_version};
use hivewall_view::time::rfc3339;
use hivewall_view::{DnsRow, DnsSummary, HttpRow, HttpSummary, TlsSummary};

use crate::latency::{Histogram, round};
use crate::pair::PairKey;
use crate::tallies::{Codes, Recent, TopNames};

/// Answers shown of one look-up.
const ANSWERS_SHOWN: usize = 8;
/// Methods counted by name (RFC 9110 §9, RFC 5789).
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Where and when something was said.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub pair: PairKey,
    pub time: Timestamp,
    pub client: IpAddr,
    pub server: IpAddr,
    /// Command name of the process of this host that took part.
    pub process: Option<&'a str>,
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| round(time.as_secs_f64()))
}

pub(crate) struct DnsTally {
    queries: u64,
    responses: u64,
    multicast: u64,
    rcodes: Codes,
    types: Codes,
    names: TopNames,
    latency: Histogram,
    recent: Recent<(PairKey, u16, u16), DnsRow>,
}

impl DnsTally {
    pub(crate) fn new(names: usize) -> Self {
        Self {
            queries: 0,
            responses: 0,
            multicast: 0,
            rcodes: Codes::default(),
            types: Codes::default(),
            names: TopNames::new(names),
            latency: Histogram::default(),
            recent: Recent::default(),
        }
    }

    pub(crate) fn see(&mut self, said: Said<'_>, message: &DnsMessage) {
        if message.multicast {
            self.multicast += 1;
            return;
        }
        let key = (said.pair, message.id, message.qtype);
        let mut row = DnsRow {
            time: rfc3339(said.time),
            client: said.client.to_string(),
            server: said.server.to_string(),
            name: message.name.to_string(),
            qtype: dns_type(message.qtype),
            process: said.process.map(str::to_owned),
            ..DnsRow::default()
        };
        if message.response {
            self.responses += 1;
            self.rcodes.see(message.rcode);
            if let Some(latency) = message.latency {
                self.latency.add(latency);
            }
            let asked = self.recent.take(&key, |asked| asked.rcode.is_none() && asked.name == row.name);
            row.process = row.process.or_else(|| asked?.process);
            row.rcode = Some(dns_rcode(message.rcode));
            row.answers = message.answers.iter().take(ANSWERS_SHOWN).map(answer_text).collect();
            row.latency_seconds = seconds(message.latency);
        } else {
            self.queries += 1;
            self.types.see(message.qtype);
            self.names.see(&message.name);
        }
        self.recent.push(key, row);
    }

    pub(crate) fn attribute(&mut self, pair: PairKey, process: &str) {
        for row in self.recent.of(|(known, ..)| *known == pair) {
            row.process.get_or_insert_with(|| process.to_owned());
        }
    }

    pub(crate) fn folded(&self) -> u64 {
        self.names.folded()
    }

    pub(crate) fn view(&self) -> DnsSummary {
        DnsSummary {
            queries: self.queries,
            responses: self.responses,
            multicast: self.multicast,
            rcodes: self.rcodes.view(dns_rcode),
            types: self.types.view(dns_type),
            top_names: self.names.view(),
            latency: self.latency.view(),
            recent: self.recent.view(),
        }
    }
}

fn answer_text(answer: &DnsAnswer) -> String {
    answer.address.map_or_else(|| answer.text.to_string(), |address| address.to_string())
}

pub(crate) struct HttpTally {
    requests: u64,
    responses: u64,
    /// As [`METHODS`], and one for all others.
    methods: [u64; METHODS.len() + 1],
    statuses: Codes,
    hosts: TopNames,
    latency: Histogram,
    recent: Recent<(PairKey, u32), HttpRow>,
}

impl HttpTally {
    pub(crate) fn new(names: usize) -> Self {
        Self {
            requests: 0,
            responses: 0,
            methods: [0; METHODS.len() + 1],
            statuses: Codes::default(),
            hosts: TopNames::new(names),
            latency: Histogram::default(),
            recent: Recent::default(),
        }
    }

    pub(crate) fn see_request(&mut self, said: Said<'_>, request: &HttpRequest) {
        self.requests += 1;
        let at = METHODS.iter().position(|method| **method == *request.method).unwrap_or(METHODS.len());
        if let Some(count) = self.methods.get_mut(at) {
            *count += 1;
        }
        if let Some(host) = &request.host {
            self.hosts.see(host);
        }
        self.recent.push((said.pair, request.index), row(said, Some(request)));
    }

    pub(crate) fn see_response(&mut self, said: Said<'_>, response: &HttpResponse) {
        self.responses += 1;
        self.statuses.see(response.status);
        if let Some(latency) = response.latency {
            self.latency.add(latency);
        }
        let request = response.request.as_deref();
        let key = (said.pair, request.map_or(u32::MAX, |request| request.index));
        let asked = self.recent.take(&key, |asked| asked.status.is_none());
        let mut row = row(said, request);
        row.process = row.process.or_else(|| asked?.process);
        row.status = Some(response.status);
        row.latency_seconds = seconds(response.latency);
        self.recent.push(key, row);
    }

    pub(crate) fn attribute(&mut self, pair: PairKey, process: &str) {
        for row in self.recent.of(|(known, _)| *known == pair) {
            row.process.get_or_insert_with(|| process.to_owned());
        }
    }

    pub(crate) fn folded(&self) -> u64 {
        self.hosts.folded()
    }

    pub(crate) fn view(&self) -> HttpSummary {
        let named = METHODS.iter().copied().chain(["other"]).zip(self.methods);
        let methods: BTreeMap<String, u64> =
            named.filter(|(_, count)| *count > 0).map(|(method, count)| (method.to_owned(), count)).collect();
        HttpSummary {
            requests: self.requests,
            responses: self.responses,
            methods,
            statuses: self.statuses.view(|status| status.to_string()),
            top_hosts: self.hosts.view(),
            latency: self.latency.view(),
            recent: self.recent.view(),
        }
    }
}

fn row(said: Said<'_>, request: Option<&HttpRequest>) -> HttpRow {
    let text = |part: fn(&HttpRequest) -> &str| request.map_or_else(String::new, |request| part(request).to_owned());
    HttpRow {
        time: rfc3339(said.time),
        client: said.client.to_string(),
        server: said.server.to_string(),
        method: text(|request| &request.method),
        host: text(|request| request.host.as_deref().unwrap_or_default()),
        target: text(|request| &request.target),
        process: said.process.map(str::to_owned),
        ..HttpRow::default()
    }
}

pub(crate) struct TlsTally {
    hellos: u64,
    quic_hellos: u64,
    versions: Codes,
    names: TopNames,
    ja4: TopNames,
}

impl TlsTally {
    pub(crate) fn new(names: usize) -> Self {
        Self {
            hellos: 0,
            quic_hellos: 0,
            versions: Codes::default(),
            names: TopNames::new(names),
            ja4: TopNames::new(names),
        }
    }

    pub(crate) fn see(&mut self, hello: &Arc<TlsHello>) {
        *(if hello.quic { &mut self.quic_hellos } else { &mut self.hellos }) += 1;
        self.versions.see(hello.version);
        if let Some(name) = &hello.server_name {
            self.names.see(name);
        }
        if !hello.ja4.is_empty() {
            self.ja4.see(&hello.ja4);
        }
    }

    pub(crate) fn folded(&self) -> u64 {
        self.names.folded() + self.ja4.folded()
    }

    pub(crate) fn view(&self) -> TlsSummary {
        TlsSummary {
            hellos: self.hellos,
            quic_hellos: self.quic_hellos,
            versions: self.versions.view(tls_version),
            top_names: self.names.view(),
            top_ja4: self.ja4.view(),
        }
    }
}
