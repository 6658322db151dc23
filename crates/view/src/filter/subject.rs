//! What a test asks a flow, answered by living flows and by rows alike, so that both front ends of the filter run the
//! same tests. Answers of living flows allocate nothing but names of interfaces, and of numbers that have a name.
//!
//! Invariant: a flow and its row give the same answers. Times are therefore cut to the microseconds that rows carry,
//! and rates to whole bits.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use hivewall_model::{
    EndReason, Fate, Flow, FlowNames, NameSource, Perspective, Ruling, TcpState, Timestamp, Tunnel, community_id,
    protocol_name,
};

use super::named::Named;
use super::term::{TUNNELS, by_name};
use crate::FlowRow;
use crate::flow::application;
use crate::names::{dns_rcode, dns_type, tls_version};
use crate::time::{parse_rfc3339, to_micros};

/// One flow, to whoever asks about its fields.
pub(super) trait Subject {
    fn id(&self) -> u64;
    /// Source and destination; `None` for what is no address.
    fn addresses(&self) -> (Option<IpAddr>, Option<IpAddr>);
    /// Source and destination; `None` where the protocol has no ports.
    fn ports(&self) -> Option<(u16, u16)>;
    fn protocol(&self) -> u8;
    fn direction(&self) -> Option<Perspective>;
    /// Zeros stand for none.
    fn vlans(&self) -> [u16; 2];
    fn tunnel(&self) -> Option<Tunnel>;
    fn is_closed(&self) -> bool;
    fn tcp_state(&self) -> Option<TcpState>;
    /// TCP flags of each direction, 0 for what is not TCP.
    fn flags(&self) -> [u8; 2];
    fn end_reason(&self) -> Option<EndReason>;
    /// What became of its packets: those of the client, and those of the server where it is something else.
    fn fates(&self) -> [Option<Fate>; 2];
    fn bytes(&self) -> u64;
    fn packets(&self) -> u64;
    fn duration_micros(&self) -> u64;
    fn bits_per_second(&self) -> u64;
    /// The best round-trip time there is, rounded.
    fn rtt_micros(&self) -> Option<u64>;
    fn retransmits(&self) -> Option<u64>;
    fn out_of_order(&self) -> Option<u64>;
    /// Of the processes at both ends, as far as they are on this host.
    fn pids(&self) -> [Option<u32>; 2];
    fn http_status(&self) -> Option<u16>;
    /// The values of a field of names: most have one, some two.
    fn named(&self, what: Named) -> [Option<Cow<'_, str>>; 2];
    fn start(&self) -> Option<Timestamp>;
    fn last(&self) -> Option<Timestamp>;
    fn community_id_is(&self, id: &str) -> bool;
    fn community_id_begins(&self, text: &str) -> bool;
    fn any_interface(&self, holds: &mut dyn FnMut(&str) -> bool) -> bool;
    /// Whether the text of an address or of the protocol passes.
    fn any_text(&self, holds: &dyn Fn(&str) -> bool) -> bool;
}

/// Whether `text` stands in what is shown of the flow: addresses, protocol, names anywhere; the Community ID from its
/// beginning only, or every third letter would be found in some.
pub(super) fn shown_text_contains(flow: &impl Subject, text: &str) -> bool {
    flow.any_text(&|shown| contains(shown, text))
        || flow.any_interface(&mut |name| contains(name, text))
        || Named::SEARCHED.iter().any(|what| flow.named(*what).iter().flatten().any(|shown| contains(shown, text)))
        || (text.starts_with("1:") && flow.community_id_begins(text))
}

/// Whether `part` stands in `whole`, ASCII letters in either case.
fn contains(whole: &str, part: &str) -> bool {
    whole.as_bytes().windows(part.len().max(1)).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

fn begins(whole: &str, part: &str) -> bool {
    whole.get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part))
}

fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

fn nanos_to_micros(nanos: u128) -> u64 {
    u64::try_from((nanos + 500) / 1000).unwrap_or(u64::MAX)
}

/// A flow of this agent.
pub(super) struct LiveFlow<'a> {
    pub(super) flow: &'a Flow,
    pub(super) name: &'a dyn Fn(u32) -> String,
    /// Names asked for so far.
    pub(super) names: &'a RefCell<Vec<(u32, Box<str>)>>,
}

impl Subject for LiveFlow<'_> {
    fn id(&self) -> u64 {
        self.flow.id.0
    }

    fn addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        (Some(self.flow.tuple.client), Some(self.flow.tuple.server))
    }

    fn ports(&self) -> Option<(u16, u16)> {
        let tuple = &self.flow.tuple;
        tuple.has_ports().then_some((tuple.client_port, tuple.server_port))
    }

    fn protocol(&self) -> u8 {
        self.flow.tuple.protocol
    }

    fn direction(&self) -> Option<Perspective> {
        Some(self.flow.perspective)
    }

    fn vlans(&self) -> [u16; 2] {
        self.flow.tuple.vlans
    }

    fn tunnel(&self) -> Option<Tunnel> {
        self.flow.tunnel()
    }

    fn is_closed(&self) -> bool {
        self.flow.ended.is_some()
    }

    fn tcp_state(&self) -> Option<TcpState> {
        self.flow.tcp_state
    }

    fn flags(&self) -> [u8; 2] {
        match self.flow.tcp_state {
            Some(_) => [self.flow.to_server.flags.0, self.flow.to_client.flags.0],
            None => [0; 2],
        }
    }

    fn end_reason(&self) -> Option<EndReason> {
        self.flow.ended
    }

    fn fates(&self) -> [Option<Fate>; 2] {
        let judgement = self.flow.judgement.as_ref();
        let reply = judgement.and_then(|judgement| judgement.reply.as_ref());
        [judgement.map(|judgement| &judgement.ruling), reply].map(|ruling| ruling.map(Ruling::fate))
    }

    fn bytes(&self) -> u64 {
        self.flow.ip_bytes()
    }

    fn packets(&self) -> u64 {
        self.flow.packets()
    }

    fn duration_micros(&self) -> u64 {
        micros(self.flow.duration().as_secs_f64())
    }

    fn bits_per_second(&self) -> u64 {
        (self.flow.rate * 8.0).round() as u64
    }

    fn rtt_micros(&self) -> Option<u64> {
        self.flow.timing.rtt().map(|rtt| nanos_to_micros(rtt.as_nanos()))
    }

    fn retransmits(&self) -> Option<u64> {
        self.flow.timing.retransmits.map(u64::from)
    }

    fn out_of_order(&self) -> Option<u64> {
        self.flow.timing.out_of_order.map(u64::from)
    }

    fn pids(&self) -> [Option<u32>; 2] {
        [&self.flow.client_process, &self.flow.server_process].map(|process| process.as_ref().map(|p| p.pid))
    }

    fn http_status(&self) -> Option<u16> {
        self.flow.names.as_ref()?.http_status
    }

    fn named(&self, what: Named) -> [Option<Cow<'_, str>>; 2] {
        let process = self.flow.process();
        let ends = [&self.flow.client_process, &self.flow.server_process];
        match what {
            Named::Process => ends.map(|process| process.as_ref().map(|process| Cow::Borrowed(&*process.comm))),
            Named::User => {
                [process.map(|p| p.user.as_deref().map_or_else(|| p.uid.to_string().into(), Cow::Borrowed)), None]
            }
            Named::Container => {
                let container = process.and_then(|process| process.container.as_ref());
                [container.and_then(|c| c.name.as_deref()), container.map(|c| &*c.id)]
                    .map(|text| text.map(Cow::Borrowed))
            }
            Named::Executable => one(process.and_then(|process| process.executable.as_deref())),
            Named::Cgroup => one(process.and_then(|process| process.cgroup.as_deref())),
            Named::Rule => {
                let judgement = self.flow.judgement.as_ref();
                let reply = judgement.and_then(|judgement| judgement.reply.as_ref());
                [judgement.map(|judgement| &judgement.ruling), reply]
                    .map(|ruling| ruling.map(|ruling| Cow::Borrowed(&*ruling.rule)))
            }
            Named::Application => one(application(self.flow).map(|(name, _)| name)),
            what => match self.flow.names.as_deref() {
                Some(names) => said(names, what),
                None => [None, None],
            },
        }
    }

    fn start(&self) -> Option<Timestamp> {
        Some(to_micros(self.flow.start))
    }

    fn last(&self) -> Option<Timestamp> {
        Some(to_micros(self.flow.last))
    }

    fn community_id_is(&self, id: &str) -> bool {
        community_id(&self.flow.tuple) == id
    }

    fn community_id_begins(&self, text: &str) -> bool {
        begins(&community_id(&self.flow.tuple), text)
    }

    fn any_interface(&self, holds: &mut dyn FnMut(&str) -> bool) -> bool {
        let mut previous = None;
        self.flow.points.iter().any(|point| {
            // Both directions of one interface stand side by side.
            if previous.replace(point.ifindex) == Some(point.ifindex) {
                return false;
            }
            let mut names = self.names.borrow_mut();
            let known = names.iter().find(|(index, _)| *index == point.ifindex).map(|(_, name)| holds(name));
            known.unwrap_or_else(|| {
                let name = (self.name)(point.ifindex).into_boxed_str();
                let held = holds(&name);
                names.push((point.ifindex, name));
                held
            })
        })
    }

    fn any_text(&self, holds: &dyn Fn(&str) -> bool) -> bool {
        let tuple = &self.flow.tuple;
        let protocol = match protocol_name(tuple.protocol) {
            Some(name) => holds(name),
            None => holds(ShortText::of(&tuple.protocol).as_str()),
        };
        protocol || [tuple.client, tuple.server].iter().any(|ip| holds(ShortText::of(ip).as_str()))
    }
}

fn one(text: Option<&str>) -> [Option<Cow<'_, str>>; 2] {
    [text.map(Cow::Borrowed), None]
}

/// What the conversation itself told.
fn said(names: &FlowNames, what: Named) -> [Option<Cow<'_, str>>; 2] {
    let server = |wanted: Option<NameSource>| {
        let (name, source) = names.server.as_ref()?;
        wanted.is_none_or(|wanted| wanted == *source).then_some(Cow::Borrowed(&**name))
    };
    let (tls, http, dns) = (names.tls.as_deref(), names.http.as_deref(), names.dns.as_deref());
    let text = match what {
        Named::Server => server(None),
        Named::Sni => server(Some(NameSource::Sni)),
        Named::HttpHost => server(Some(NameSource::Host)),
        Named::HttpMethod => http.map(|http| Cow::Borrowed(&*http.method)),
        Named::HttpTarget => http.map(|http| Cow::Borrowed(&*http.target)),
        Named::TlsVersion => tls.map(|tls| tls_version(tls.version).into()),
        // Rows carry the first one only.
        Named::Alpn => tls.and_then(|tls| tls.alpn.first()).map(|alpn| Cow::Borrowed(&**alpn)),
        Named::Ja4 => tls.map(|tls| Cow::Borrowed(&*tls.ja4)),
        Named::DnsQuery => dns.map(|dns| Cow::Borrowed(&*dns.name)),
        Named::DnsType => dns.map(|dns| dns_type(dns.qtype).into()),
        Named::DnsRcode => dns.filter(|dns| dns.response).map(|dns| dns_rcode(dns.rcode).into()),
        Named::Ssh => return [0, 1].map(|end| names.ssh.get(end)?.as_deref().map(Cow::Borrowed)),
        Named::Process
        | Named::User
        | Named::Container
        | Named::Executable
        | Named::Cgroup
        | Named::Application
        | Named::Rule => None,
    };
    [text, None]
}

impl Subject for FlowRow {
    fn id(&self) -> u64 {
        self.flow_id
    }

    fn addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        (self.source_ip.parse().ok(), self.dest_ip.parse().ok())
    }

    fn ports(&self) -> Option<(u16, u16)> {
        self.src_port.zip(self.dest_port)
    }

    fn protocol(&self) -> u8 {
        self.protocol_number
    }

    fn direction(&self) -> Option<Perspective> {
        let all = [Perspective::Inbound, Perspective::Outbound, Perspective::Local, Perspective::Transit];
        by_name(all, Perspective::name, &self.direction)
    }

    fn vlans(&self) -> [u16; 2] {
        let id = |at| self.vlan.get(at).copied().unwrap_or(0);
        [id(0), id(1)]
    }

    fn tunnel(&self) -> Option<Tunnel> {
        let shown = self.tunnel.as_deref()?;
        TUNNELS.iter().find(|(_, name)| *name == shown).map(|(tunnel, _)| *tunnel)
    }

    fn is_closed(&self) -> bool {
        self.state == "closed"
    }

    fn tcp_state(&self) -> Option<TcpState> {
        by_name(TcpState::ALL, TcpState::name, self.tcp_state.as_deref()?)
    }

    fn flags(&self) -> [u8; 2] {
        // Eight places, bit 7 first; a dot is a flag that was not seen.
        let bits = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            text.bytes().fold(0_u8, |bits, letter| bits << 1 | u8::from(letter != b'.'))
        };
        [bits(&self.tcp_flags_to_server), bits(&self.tcp_flags_to_client)]
    }

    fn end_reason(&self) -> Option<EndReason> {
        by_name(EndReason::ALL, EndReason::name, self.end_reason.as_deref()?)
    }

    fn fates(&self) -> [Option<Fate>; 2] {
        [&self.verdict, &self.reply_verdict].map(|name| by_name(Fate::ALL, Fate::name, name.as_deref()?))
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn packets(&self) -> u64 {
        self.packets
    }

    fn duration_micros(&self) -> u64 {
        micros(self.duration_seconds)
    }

    fn bits_per_second(&self) -> u64 {
        self.bits_per_second as u64
    }

    fn rtt_micros(&self) -> Option<u64> {
        let seconds = self.smoothed_rtt_seconds.or(self.handshake_rtt_seconds).or(self.round_trip_seconds)?;
        Some(nanos_to_micros((seconds * 1e9).round() as u128))
    }

    fn retransmits(&self) -> Option<u64> {
        self.retransmits.map(u64::from)
    }

    fn out_of_order(&self) -> Option<u64> {
        self.out_of_order.map(u64::from)
    }

    fn pids(&self) -> [Option<u32>; 2] {
        [self.pid, self.peer_pid]
    }

    fn http_status(&self) -> Option<u16> {
        self.http_status
    }

    fn named(&self, what: Named) -> [Option<Cow<'_, str>>; 2] {
        let server = |source: &str| {
            let named = self.server_name.as_ref();
            named.filter(|_| self.server_name_source.as_deref() == Some(source))
        };
        let none = None;
        let (first, second) = match what {
            Named::Process => (self.process.as_ref(), self.peer_process.as_ref()),
            Named::User => (self.user.as_ref(), none),
            Named::Container => (self.container.as_ref(), self.container_id.as_ref()),
            Named::Executable => (self.executable.as_ref(), none),
            Named::Cgroup => (self.cgroup.as_ref(), none),
            Named::Application => (self.application.as_ref(), none),
            Named::Server => (self.server_name.as_ref(), none),
            Named::Sni => (server("sni"), none),
            Named::HttpHost => (server("host"), none),
            Named::HttpMethod => (self.http_method.as_ref(), none),
            Named::HttpTarget => (self.http_target.as_ref(), none),
            Named::TlsVersion => (self.tls_version.as_ref(), none),
            Named::Alpn => (self.tls_alpn.as_ref(), none),
            Named::Ja4 => (self.ja4.as_ref(), none),
            Named::DnsQuery => (self.dns_query.as_ref(), none),
            Named::DnsType => (self.dns_type.as_ref(), none),
            Named::DnsRcode => (self.dns_rcode.as_ref(), none),
            Named::Ssh => (self.ssh_client.as_ref(), self.ssh_server.as_ref()),
            Named::Rule => (self.rule.as_ref(), self.reply_rule.as_ref()),
        };
        [first, second].map(|text| text.map(|text| Cow::Borrowed(text.as_str())))
    }

    fn start(&self) -> Option<Timestamp> {
        parse_rfc3339(&self.start)
    }

    fn last(&self) -> Option<Timestamp> {
        parse_rfc3339(&self.end)
    }

    fn community_id_is(&self, id: &str) -> bool {
        self.community_id == id
    }

    fn community_id_begins(&self, text: &str) -> bool {
        begins(&self.community_id, text)
    }

    fn any_interface(&self, holds: &mut dyn FnMut(&str) -> bool) -> bool {
        self.interfaces.iter().any(|point| holds(&point.interface))
    }

    fn any_text(&self, holds: &dyn Fn(&str) -> bool) -> bool {
        [&self.protocol, &self.source_ip, &self.dest_ip].into_iter().any(|text| holds(text))
    }
}

/// The text of an address or a number, without an allocation: 45 characters are the longest address.
struct ShortText {
    bytes: [u8; 48],
    len: usize,
}

impl ShortText {
    fn of(value: &dyn fmt::Display) -> Self {
        let mut text = Self { bytes: [0; 48], len: 0 };
        // It fails only on what is too long, which then is cut.
        let _ = write!(text, "{value}");
        text
    }

    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
