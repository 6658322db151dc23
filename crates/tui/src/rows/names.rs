//! Rows of names: what was asked of DNS, of HTTP hosts and of TLS servers.

use hivewall_view::{DnsRow, HttpRow, NameCount};
use serde_json::{Value, json};

use super::{Item, Key, number, seconds, share, term, word};

/// What kind of name it is: it decides which flows are behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asked of DNS.
    Dns,
    /// Of a server.
    Name,
    /// A JA4 fingerprint.
    Ja4,
}

/// A name and how often it was seen.
#[derive(Clone, Debug)]
pub(crate) struct NameRow {
    /// The name.
    pub(crate) name: String,
    /// How often.
    pub(crate) count: u64,
    /// Count as a share of the most frequent one's.
    pub(crate) share: f64,
    kind: Kind,
}

impl Item for NameRow {
    fn id(&self) -> String {
        self.name.clone()
    }

    fn key(&self, head: &str) -> Key {
        if head == "name" { word(&self.name) } else { number(self.count) }
    }

    fn filter(&self) -> Option<String> {
        let key = match self.kind {
            Kind::Dns | Kind::Name => "name",
            Kind::Ja4 => "ja4",
        };
        Some(term(key, &self.name))
    }

    fn json(&self) -> Value {
        json!({"name": self.name, "count": self.count})
    }
}

pub(super) fn counted(names: &[NameCount], kind: Kind) -> Vec<NameRow> {
    let most = names.iter().map(|name| name.count).max().unwrap_or(0) as f64;
    let row = |name: &NameCount| NameRow {
        name: name.name.clone(),
        count: name.count,
        share: share(name.count as f64, most),
        kind,
    };
    names.iter().map(row).collect()
}

impl Item for DnsRow {
    fn id(&self) -> String {
        format!("{} {} {} {}", self.time, self.client, self.name, self.qtype)
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "took" => seconds(self.latency_seconds),
            "name" => word(&self.name),
            "answer" => word(self.rcode.as_deref().unwrap_or_default()),
            "client" => word(&self.client),
            "process" => word(self.process.as_deref().unwrap_or("~")),
            _ => latest(&self.time),
        }
    }

    fn filter(&self) -> Option<String> {
        Some(term("name", &self.name))
    }

    fn text(&self) -> String {
        self.name.clone()
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

impl Item for HttpRow {
    fn id(&self) -> String {
        format!("{} {} {} {}", self.time, self.client, self.host, self.target)
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "took" => seconds(self.latency_seconds),
            "status" => number(u64::from(self.status.unwrap_or(0))),
            "host" => word(&self.host),
            "target" => word(&self.target),
            "client" => word(&self.client),
            "process" => word(self.process.as_deref().unwrap_or("~")),
            _ => latest(&self.time),
        }
    }

    fn filter(&self) -> Option<String> {
        (!self.host.is_empty()).then(|| term("name", &self.host))
    }

    fn text(&self) -> String {
        format!("http://{}{}", self.host, self.target)
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

/// The latest first.
fn latest(time: &str) -> Key {
    Key::Number(hivewall_view::time::parse_rfc3339(time).map_or(0.0, |time| time.0 as f64))
}
