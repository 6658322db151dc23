//! Rows of the fleet's screen, made from what the agent knows of its fleet. Not here: how they look.
//!
//! Invariant: they are of the latest answer about the fleet, whatever snapshot came since.

use hivewall_view::fleet::{FleetTopRow, FleetView, LinkView, MemberView, named};
use serde_json::{Value, json};

use super::{Item, Key, number, term, word};

/// Everything on the fleet's screen that is a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct FleetRows {
    pub(crate) members: Vec<MemberView>,
    pub(crate) sources: Vec<FleetTopRow>,
    pub(crate) destinations: Vec<FleetTopRow>,
    pub(crate) services: Vec<FleetTopRow>,
    pub(crate) links: Vec<LinkView>,
}

impl FleetRows {
    /// Of what is known of the fleet; none where there is none.
    pub(super) fn of(fleet: Option<&FleetView>) -> Self {
        let Some(fleet) = fleet else { return Self::default() };
        let total = fleet.total.clone().unwrap_or_default();
        Self {
            members: fleet.members.clone(),
            sources: total.sources.rows,
            destinations: total.destinations.rows,
            services: total.services.rows,
            links: fleet.links.clone(),
        }
    }
}

impl Item for MemberView {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "host" => word(&named(&self.name, &self.id)),
            "since" => Key::Text(self.since.clone().unwrap_or_default()),
            "policy" => Key::Number(f64::from(self.policy.stand as u8)),
            "agent" => word(&self.agent),
            "address" => word(self.addresses.first().map_or("", String::as_str)),
            // Those that are worth a look stand first, and equals by name.
            _ => Key::Text(format!("{} {}", 9 - self.state as u8, named(&self.name, &self.id).to_lowercase())),
        }
    }

    fn filter(&self) -> Option<String> {
        let address = self.addresses.iter().find_map(|text| text.parse::<std::net::SocketAddr>().ok())?;
        Some(term("ip", &address.ip().to_string()))
    }

    fn text(&self) -> String {
        named(&self.name, &self.id)
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

impl Item for FleetTopRow {
    fn id(&self) -> String {
        self.key.clone()
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "address" | "service" => word(&self.key),
            "host" => word(&self.host),
            _ => number(self.bytes),
        }
    }

    fn filter(&self) -> Option<String> {
        if self.key.parse::<std::net::IpAddr>().is_ok() {
            return Some(term("ip", &self.key));
        }
        let (protocol, port) = self.key.split_once('/')?;
        Some(format!("{} {}", term("proto", protocol), term("port", port)))
    }

    fn json(&self) -> Value {
        json!(self)
    }
}

impl Item for LinkView {
    fn id(&self) -> String {
        format!("{} {}", self.from_id, self.to_id)
    }

    fn key(&self, head: &str) -> Key {
        match head {
            "from" => word(&named(&self.from, &self.from_id)),
            "to" => word(&named(&self.to, &self.to_id)),
            "jitter" => Key::Number(self.jitter_seconds),
            "loss" => Key::Number(self.loss),
            _ => Key::Number(self.rtt_seconds),
        }
    }

    fn text(&self) -> String {
        format!("{} {}", named(&self.from, &self.from_id), named(&self.to, &self.to_id))
    }

    fn json(&self) -> Value {
        json!(self)
    }
}
