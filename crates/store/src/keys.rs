//! What traffic can be summed up by, and the sums.

use std::net::IpAddr;
use std::ops::AddAssign;
use std::sync::Arc;

use hashbrown::HashMap;
use hivewall_model::{protocol_by_name, protocol_name};

use crate::batch::{Batch, NONE};
use crate::columns::Col;
use crate::decode::sum;

/// What to sum traffic up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum By {
    /// The client's address.
    Source,
    /// The server's address.
    Destination,
    /// Either end's address: a flow counts for both, once where they are the same.
    Address,
    /// Protocol and server port.
    Service,
    /// Command name of the process that the flow belongs to.
    Process,
    /// IP protocol.
    Protocol,
}

impl By {
    /// Every one.
    pub const ALL: [By; 6] =
        [Self::Source, Self::Destination, Self::Address, Self::Service, Self::Process, Self::Protocol];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Address => "address",
            Self::Service => "service",
            Self::Process => "process",
            Self::Protocol => "protocol",
        }
    }

    /// Columns that say it.
    pub(crate) fn columns(self) -> &'static [Col] {
        match self {
            Self::Source => &[Col::Source],
            Self::Destination => &[Col::Destination],
            Self::Address => &[Col::Source, Col::Destination],
            Self::Service => &[Col::Protocol, Col::DestinationPort],
            Self::Process => &[Col::Process],
            Self::Protocol => &[Col::Protocol],
        }
    }
}

/// Columns that sums are made of.
pub(crate) const SUMMED: [Col; 5] =
    [Col::End, Col::PacketsToServer, Col::PacketsToClient, Col::BytesToServer, Col::BytesToClient];

/// Traffic summed up. Bytes are IP bytes, both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sums {
    /// IP bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Flows.
    pub flows: u64,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets = self.packets.saturating_add(other.packets);
        self.flows = self.flows.saturating_add(other.flows);
    }
}

/// One value of what is summed up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Address(IpAddr),
    /// Protocol, and the server's port where it has one.
    Service(u8, Option<u16>),
    /// Empty where it is not known.
    Process(Arc<str>),
    Protocol(u8),
}

/// What stands for traffic without a known process.
const UNKNOWN: &str = "(unknown)";

impl Key {
    /// As it is shown; [`Key::read`] reads it back.
    pub(crate) fn text(&self) -> String {
        let protocol = |number: &u8| protocol_name(*number).map_or_else(|| number.to_string(), str::to_owned);
        match self {
            Self::Address(address) => address.to_string(),
            Self::Service(number, Some(port)) => format!("{}/{port}", protocol(number)),
            Self::Service(number, None) | Self::Protocol(number) => protocol(number),
            Self::Process(name) if name.is_empty() => UNKNOWN.to_owned(),
            Self::Process(name) => name.to_string(),
        }
    }

    /// Reads what [`Key::text`] wrote.
    pub(crate) fn read(by: By, text: &str) -> Option<Self> {
        Some(match by {
            By::Source | By::Destination | By::Address => Self::Address(text.parse().ok()?),
            By::Service => match text.split_once('/') {
                Some((protocol, port)) => Self::Service(protocol_by_name(protocol)?, Some(port.parse().ok()?)),
                None => Self::Service(protocol_by_name(text)?, None),
            },
            By::Process if text == UNKNOWN => Self::Process("".into()),
            By::Process => Self::Process(text.into()),
            By::Protocol => Self::Protocol(protocol_by_name(text)?),
        })
    }
}

/// Bit of a service's code that says that it has a port; the port is below, the protocol above.
const HAS_PORT: i64 = 1 << 16;

/// The keys of a batch's rows as small numbers, for sums over many rows.
pub(crate) struct Keys<'a> {
    by: By,
    batch: &'a Batch,
    first: &'a [i64],
    second: &'a [i64],
    /// For [`By::Address`]: the number of each place in the destinations' dictionary. An address that is in both
    /// dictionaries has its place among the sources.
    destinations: Vec<i64>,
    /// Numbers below this are dense: worth an array.
    dense: usize,
}

impl<'a> Keys<'a> {
    /// Of a batch that has the columns of `by`.
    pub(crate) fn new(by: By, batch: &'a Batch) -> Self {
        let [first, second] = match by {
            By::Source => [Col::Source, Col::Source],
            By::Destination => [Col::Destination, Col::Destination],
            By::Address => [Col::Source, Col::Destination],
            By::Service => [Col::Protocol, Col::DestinationPort],
            By::Process => [Col::Process, Col::Process],
            By::Protocol => [Col::Protocol, Col::Protocol],
        };
        let mut keys = Self {
            by,
            batch,
            first: batch.column(first),
            second: batch.column(second),
            destinations: Vec::new(),
            dense: match by {
                By::Source | By::Destination => batch.addresses(first).len(),
                By::Address => batch.addresses(Col::Source).len() + batch.addresses(Col::Destination).len(),
                By::Process => batch.texts(Col::Process).len() + 1,
                By::Protocol => 256,
                By::Service => 0,
            },
        };
        if by == By::Address {
            let sources = batch.addresses(Col::Source);
            let places: HashMap<&IpAddr, i64> = sources.iter().zip(0..).collect();
            keys.destinations = (batch.addresses(Col::Destination).iter().zip(sources.len() as i64..))
                .map(|(address, own)| places.get(address).copied().unwrap_or(own))
                .collect();
        }
        keys
    }

    /// How many numbers there are where they are dense; 0 where they are not.
    pub(crate) fn dense(&self) -> usize {
        self.dense
    }

    /// The number of a row's key, and of its second one, which is [`NONE`] where there is none.
    pub(crate) fn of(&self, row: usize) -> (i64, i64) {
        let first = self.first.get(row).copied().unwrap_or(NONE);
        match self.by {
            By::Source | By::Destination | By::Protocol => (first, NONE),
            By::Process => (if first == NONE { self.batch.texts(Col::Process).len() as i64 } else { first }, NONE),
            By::Service => {
                let port = self.second.get(row).copied().unwrap_or(0);
                (first << 17 | if has_ports(first) { HAS_PORT | port } else { 0 }, NONE)
            }
            By::Address => {
                let place = self.second.get(row).copied().unwrap_or(NONE);
                let second = usize::try_from(place).ok().and_then(|place| self.destinations.get(place)).copied();
                (first, second.filter(|second| *second != first).unwrap_or(NONE))
            }
        }
    }

    /// The key behind a number.
    pub(crate) fn key(&self, number: i64) -> Option<Key> {
        let place = usize::try_from(number).ok()?;
        Some(match self.by {
            By::Source => Key::Address(*self.batch.addresses(Col::Source).get(place)?),
            By::Destination => Key::Address(*self.batch.addresses(Col::Destination).get(place)?),
            By::Address => {
                let sources = self.batch.addresses(Col::Source);
                let destination = || self.batch.addresses(Col::Destination).get(place - sources.len());
                Key::Address(*sources.get(place).or_else(destination)?)
            }
            By::Process => Key::Process(self.batch.texts(Col::Process).get(place).cloned().unwrap_or_default()),
            By::Protocol => Key::Protocol(number as u8),
            By::Service => Key::Service((number >> 17) as u8, (number & HAS_PORT != 0).then_some(number as u16)),
        })
    }
}

/// Whether ports mean ports; as `Tuple::has_ports`.
fn has_ports(protocol: i64) -> bool {
    matches!(protocol, 6 | 17 | 33 | 132 | 136)
}

/// The sums of single rows.
pub(crate) struct RowSums<'a> {
    columns: [&'a [i64]; 5],
}

impl<'a> RowSums<'a> {
    /// Of a batch that has [`SUMMED`].
    pub(crate) fn new(batch: &'a Batch) -> Self {
        Self { columns: SUMMED.map(|col| batch.column(col)) }
    }

    /// When a row's flow ended, microseconds, and what it moved.
    pub(crate) fn of(&self, row: usize) -> (i64, Sums) {
        let [end, packets, packets_back, bytes, bytes_back] =
            self.columns.map(|column| column.get(row).copied().unwrap_or(0));
        let sums = Sums { bytes: sum(bytes, bytes_back) as u64, packets: sum(packets, packets_back) as u64, flows: 1 };
        (end, sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_reads_back_from_its_text() {
        for (by, key, text) in [
            (By::Source, Key::Address([10, 0, 0, 1].into()), "10.0.0.1"),
            (By::Service, Key::Service(6, Some(443)), "tcp/443"),
            (By::Service, Key::Service(1, None), "icmp"),
            (By::Service, Key::Service(253, None), "253"),
            (By::Process, Key::Process("nginx".into()), "nginx"),
            (By::Process, Key::Process("".into()), "(unknown)"),
            (By::Protocol, Key::Protocol(17), "udp"),
        ] {
            assert_eq!(key.text(), text);
            assert_eq!(Key::read(by, text), Some(key));
        }
    }

    #[test]
    fn ports_mean_ports_for_the_protocols_of_the_tuple() {
        let mut tuple = hivewall_view::example_flow().tuple;
        for protocol in 0..=255 {
            tuple.protocol = protocol;
            assert_eq!(has_ports(i64::from(protocol)), tuple.has_ports(), "{protocol}");
        }
    }
}
