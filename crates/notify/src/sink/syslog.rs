//! Syslog by RFC 5424 with structured data: UDP (RFC 5426), TCP with octet counting (RFC 6587), the local socket.
//!
//! UDP and the local socket say nothing of whether it arrived. TCP is a connection for each message, closed by us first: a
//! receiver that closes after us has read it.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use hivewall_outbound::Failure;
use hivewall_view::alerts::{Alert, Severity};
use jiff::Timestamp;

use crate::channel::parse_url;
use crate::error::ChannelError;
use crate::line::{Settings, nearest};
use crate::message::Message;
use crate::render::line;
use crate::sink::{Sink, socket_failure};

/// A record is cut to this; RFC 5424 asks receivers for 2,048 at least.
const RECORD_BYTES_MAX: usize = 8192;
/// For the structured data. RFC 5612 keeps this enterprise number for what has none of its own.
const SD_ID: &str = "hivewall@32473";
/// By their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

#[derive(Clone, Debug)]
enum Place {
    Udp { host: String, port: u16 },
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// What the line says.
pub(crate) struct Target {
    place: Place,
    facility: u8,
}

impl Target {
    pub(crate) fn new(word: &str, rest: &str, settings: &mut Settings) -> Result<Self, ChannelError> {
        let place = if word == "syslog" {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            Place::Unix(PathBuf::from(if path.is_empty() { "/dev/log" } else { path }))
        } else {
            let url = parse_url(&format!("{word}:{rest}"))?;
            let example = "syslog+udp://logs.example.org:514";
            let missing = || ChannelError::Missing { what: "the host", example };
            let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(missing)?;
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            match word {
                "syslog+udp" => Place::Udp { host, port: url.port().unwrap_or(514) },
                _ => Place::Tcp { host, port: url.port().unwrap_or(601) },
            }
        };
        let facility = settings.take("facility").unwrap_or_else(|| "daemon".to_owned());
        let number = FACILITIES.iter().position(|name| *name == facility).ok_or_else(|| {
            let nearest = nearest(&facility, &FACILITIES).unwrap_or_default();
            let value = if nearest.is_empty() { facility.clone() } else { format!("{facility} (for {nearest}?)") };
            ChannelError::Value {
                name: "facility".to_owned(),
                value,
                expected: "daemon, auth, local0 to local7, or another",
            }
        })?;
        Ok(Self { place, facility: number as u8 })
    }

    /// For the channel's name.
    pub(crate) fn host(&self) -> &str {
        match &self.place {
            Place::Udp { host, .. } | Place::Tcp { host, .. } => host,
            Place::Unix(_) => "",
        }
    }

    pub(crate) fn open(&self, timeout: Duration) -> Syslog {
        Syslog { place: self.place.clone(), facility: self.facility, timeout }
    }
}

/// One receiver.
pub(crate) struct Syslog {
    place: Place,
    facility: u8,
    timeout: Duration,
}

/// The numbers of RFC 5424, section 6.2.1.
pub(crate) fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

impl Syslog {
    fn records(&self, message: &Message) -> Vec<String> {
        let mut records: Vec<_> = message
            .alerts
            .iter()
            .map(|listed| {
                let alert = &listed.alert;
                let data = data(alert, listed.change.name(), message);
                let at = alert.last_seen.parse().unwrap_or_else(|_| Timestamp::now());
                self.record(alert.severity, at, &alert.host, &data, &format!("{}: {}", listed.head(), alert.message))
            })
            .collect();
        if let Some(more) = message.and_more() {
            let data = format!("[{SD_ID} id=\"{}\" more=\"{}\"]", escape(&message.id), message.more);
            records.push(self.record(message.severity, Timestamp::now(), &message.host, &data, &more));
        }
        records
    }

    fn record(&self, severity: Severity, at: Timestamp, host: &str, data: &str, text: &str) -> String {
        let priority = self.facility * 8 + priority(severity);
        let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
        let host = if host.is_empty() { "-" } else { &host };
        // At most six digits of a second, says section 6.2.3. The byte order mark says that the text is UTF-8.
        let mut record = format!("<{priority}>1 {at:.6} {host} hivewall {} alert {data} \u{feff}", std::process::id());
        record.push_str(&line(text));
        while record.len() > RECORD_BYTES_MAX {
            record.pop();
        }
        record
    }

    fn send(&self, records: &[String]) -> io::Result<()> {
        match &self.place {
            Place::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(self.timeout))?;
                records.iter().try_for_each(|record| socket.send_to(record.as_bytes(), path).map(|_| ()))
            }
            Place::Udp { host, port } => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    let sent = UdpSocket::bind(any).and_then(|socket| {
                        socket.connect(address)?;
                        records.iter().try_for_each(|record| socket.send(record.as_bytes()).map(|_| ()))
                    });
                    match sent {
                        Ok(()) => return Ok(()),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Place::Tcp { host, port } => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, self.timeout) {
                        Ok(stream) => return self.send_tcp(stream, records),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn send_tcp(&self, mut stream: TcpStream, records: &[String]) -> io::Result<()> {
        stream.set_write_timeout(Some(self.timeout))?;
        stream.set_read_timeout(Some(self.timeout))?;
        let mut bytes = String::new();
        for record in records {
            // Writing to a string cannot fail.
            let _ = write!(bytes, "{} {record}", record.len());
        }
        stream.write_all(bytes.as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        // Until it closes as well. One that never reads is found out by this, as a timeout.
        let mut rest = [0; 256];
        while stream.read(&mut rest)? > 0 {}
        Ok(())
    }
}

impl Sink for Syslog {
    fn deliver(&self, message: &Message) -> Result<(), Failure> {
        self.send(&self.records(message)).map_err(|error| socket_failure("syslog", &error))
    }
}

/// The structured data of an alert.
fn data(alert: &Alert, change: &str, message: &Message) -> String {
    let port = alert.port.map(|port| port.to_string());
    let technique = alert.technique.as_ref().map(|technique| technique.id.as_str());
    let pairs = [
        ("id", Some(alert.id.as_str())),
        ("change", Some(change)),
        ("detector", Some(&alert.detector)),
        ("kind", Some(&alert.kind)),
        ("severity", Some(alert.severity.name())),
        ("source", alert.source.as_deref()),
        ("target", alert.targets.first().map(String::as_str)),
        ("port", port.as_deref()),
        ("technique", technique),
        ("test", message.test.then_some("true")),
    ];
    let mut data = format!("[{SD_ID}");
    for (name, value) in pairs {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            // Writing to a string cannot fail.
            let _ = write!(data, " {name}=\"{}\"", escape(value));
        }
    }
    data.push(']');
    data
}

/// Section 6.3.3: these three are escaped in values.
fn escape(value: &str) -> String {
    let mut escaped = String::new();
    for c in line(value).chars().take(256) {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
