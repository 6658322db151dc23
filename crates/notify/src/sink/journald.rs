//! journald's native protocol: one datagram for each alert, fields as `NAME=value`, and in the binary form where a value
//! has several lines. The source is systemd's page "Native Journal Protocol".

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use hivewall_outbound::Failure;
use hivewall_view::alerts::Severity;

use crate::message::Message;
use crate::sink::syslog::priority;
use crate::sink::{Sink, socket_failure};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The socket that a line names.
pub(crate) fn path(rest: &str) -> PathBuf {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    PathBuf::from(if path.is_empty() { SOCKET } else { path })
}

/// One journal.
pub(crate) struct Journald(PathBuf);

impl Journald {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Sink for Journald {
    fn deliver(&self, message: &Message) -> Result<(), Failure> {
        let failed = |error| socket_failure(&format!("journald at {}", self.0.display()), &error);
        let socket = UnixDatagram::unbound().map_err(failed)?;
        for entry in entries(message) {
            socket.send_to(&entry, &self.0).map_err(failed)?;
        }
        Ok(())
    }
}

fn entries(message: &Message) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    for listed in &message.alerts {
        let alert = &listed.alert;
        let mut entry = begin(&format!("{}: {}", listed.head(), alert.message), alert.severity);
        let mut put = |name: &str, value: Option<&str>| field(&mut entry, name, value.unwrap_or_default());
        put("HIVEWALL_ALERT_ID", Some(&alert.id));
        put("HIVEWALL_CHANGE", Some(listed.change.name()));
        put("HIVEWALL_DETECTOR", Some(&alert.detector));
        put("HIVEWALL_KIND", Some(&alert.kind));
        put("HIVEWALL_SEVERITY", Some(alert.severity.name()));
        put("HIVEWALL_HOST", Some(&alert.host));
        put("HIVEWALL_SOURCE", alert.source.as_deref());
        put("HIVEWALL_TARGETS", Some(&alert.targets.join("\n")));
        put("HIVEWALL_PORT", alert.port.map(|port| port.to_string()).as_deref());
        put("HIVEWALL_TECHNIQUE", alert.technique.as_ref().map(|technique| technique.id.as_str()));
        put("HIVEWALL_FIRST_SEEN", Some(&alert.first_seen));
        put("HIVEWALL_LAST_SEEN", Some(&alert.last_seen));
        put("HIVEWALL_SAMPLES", Some(&alert.evidence.samples.join("\n")));
        put("HIVEWALL_TEST", message.test.then_some("true"));
        entries.push(entry);
    }
    if let Some(more) = message.and_more() {
        let mut entry = begin(&more, message.severity);
        field(&mut entry, "HIVEWALL_MORE", &message.more.to_string());
        entries.push(entry);
    }
    entries
}

fn begin(text: &str, severity: Severity) -> Vec<u8> {
    let mut entry = Vec::new();
    field(&mut entry, "MESSAGE", text);
    field(&mut entry, "PRIORITY", &priority(severity).to_string());
    field(&mut entry, "SYSLOG_IDENTIFIER", "hivewall");
    entry
}

/// An empty value is left out.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}
