//! What both directions of a conversation have in common here, and where a packet of it was seen.
//!
//! Interfaces, VLANs and tunnels are left out on purpose: a packet that this host forwards or unwraps is seen at several of
//! them and is to be read once. Invariant: swapping source and destination changes the side, never the conversation.

use std::hash::{Hash, Hasher};

use hivewall_datapath::FlowKey;

/// Both ends, the smaller (address, port) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conversation {
    a: [u32; 4],
    b: [u32; 4],
    ports: u32,
    protocol: u8,
}

/// The end that sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    A,
    B,
}

/// A few wide words instead of bytes: this is hashed for every packet.
impl Hash for Conversation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let wide = |[a, b, c, d]: [u32; 4]| [u64::from(a) << 32 | u64::from(b), u64::from(c) << 32 | u64::from(d)];
        for word in wide(self.a).into_iter().chain(wide(self.b)) {
            state.write_u64(word);
        }
        state.write_u64(u64::from(self.ports) << 8 | u64::from(self.protocol));
    }
}

impl Conversation {
    /// The conversation a packet belongs to, and who sent it.
    pub(crate) fn of(key: &FlowKey) -> (Self, Side) {
        Self::between(key, key.sport, key.dport)
    }

    /// The same, of a protocol without ports: `number` stands for the exchange.
    pub(crate) fn numbered(key: &FlowKey, number: u32) -> (Self, Side) {
        let (mut conversation, side) = Self::between(key, 0, 0);
        conversation.ports = number;
        (conversation, side)
    }

    fn between(key: &FlowKey, sport: u16, dport: u16) -> (Self, Side) {
        let forward = (key.src, sport) <= (key.dst, dport);
        let (a, b, first, second, side) =
            if forward { (key.src, key.dst, sport, dport, Side::A) } else { (key.dst, key.src, dport, sport, Side::B) };
        (Self { a, b, ports: u32::from(first) << 16 | u32::from(second), protocol: key.proto() }, side)
    }
}

/// Where a packet was seen: interface, hook, VLANs and tunnel in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Point(u64);

impl Point {
    pub(crate) fn of(key: &FlowKey) -> Self {
        Self(u64::from(key.place) << 32 | u64::from(key.tags))
    }
}
