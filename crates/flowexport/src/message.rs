//! What every format has in common: items that come in, messages that go out, and the encoder between them.
//!
//! Encoders are pure: the time is an argument, and what is sent when is their courier's business.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use hivewall_model::{Flow, Interface, Timestamp};

/// Flows with the names of the interfaces they were seen on.
pub(crate) struct Batch {
    pub(crate) flows: Vec<Arc<Flow>>,
    pub(crate) names: HashMap<u32, Box<str>>,
}

impl Batch {
    pub(crate) fn new(flows: &[Arc<Flow>], name: &dyn Fn(u32) -> String) -> Self {
        let mut names = HashMap::new();
        for point in flows.iter().flat_map(|flow| &flow.points) {
            names.entry(point.ifindex).or_insert_with(|| name(point.ifindex).into_boxed_str());
        }
        Self { flows: flows.to_vec(), names }
    }

    pub(crate) fn name(&self, ifindex: u32) -> String {
        self.names.get(&ifindex).map_or_else(String::new, ToString::to_string)
    }
}

/// What is handed to a target.
#[derive(Clone)]
pub(crate) enum Item {
    /// The first `count` flows of a batch; the others found no room.
    Flows { batch: Arc<Batch>, count: usize },
    /// Every interface with its counters.
    Interfaces(Arc<[Interface]>),
    /// One encoded event without its line end.
    Line(Arc<[u8]>),
}

/// What of these a target is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carries {
    pub(crate) flows: bool,
    pub(crate) interfaces: bool,
    pub(crate) lines: bool,
    /// Whether interfaces count as something given, or only explain the flows.
    pub(crate) counts_interfaces: bool,
}

/// One message: a datagram, or a piece of a stream that means something on its own.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    /// Flows, lines or interfaces whose last record is in it.
    pub(crate) items: u64,
    /// Data records of the format in it, those of options among them.
    pub(crate) records: u64,
    /// Whether it was handed over before, on a connection that broke.
    pub(crate) again: bool,
}

/// An item that a format cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotCarried(pub(crate) u64);

/// Turns items into messages.
pub(crate) trait Encoder: Send {
    /// Takes an item; messages that became full come out.
    fn push(&mut self, item: &Item, out: &mut Vec<Message>) -> Result<(), NotCarried>;

    /// What waits for more, as a message.
    fn flush(&mut self) -> Option<Message>;

    /// What a collector has to know first: after a connection was made, and again whenever it is time.
    fn announce(&mut self, _now: Timestamp, _out: &mut Vec<Message>) {}

    /// A new connection, from this address of the host: sequence numbers begin again where the format says so.
    fn begin(&mut self, _local: Option<IpAddr>) {}

    /// Writes time and sequence number into a message that leaves now.
    fn seal(&mut self, _message: &mut Message, _now: Timestamp) {}

    /// Takes a seal back: the message, the latest that was sealed, is known not to have arrived and will be sealed again.
    fn unseal(&mut self, _message: &Message) {}
}
