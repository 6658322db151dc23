//! The policy of the datapath in user space: the kernel's tables and what they remember, in memory of this process.
//!
//! Nothing is forgotten here for want of room; the kernel's tables may forget.

use std::collections::HashMap;

use hivewall_datapath::Bytes;
use hivewall_datapath::front::is_ipv4;
use hivewall_datapath::parse::Parsed;
use hivewall_datapath::policy::{
    self, Address, Connection, ConnectionKey, Desk, Limit, LimitKey, PolicyControl, PolicyHead, Row, RuleEntry, Side,
    State, Tables, Verdict,
};

use crate::PolicyTables;

/// Values by longest prefix.
#[derive(Clone, Debug, Default)]
pub struct Prefixes<V> {
    values: HashMap<Address, V>,
    /// How many prefixes of each length there are, the longest first where not 0.
    lengths: Vec<(u32, usize)>,
}

impl<V> Prefixes<V> {
    /// Adds a prefix, or replaces its value.
    pub fn insert(&mut self, prefix: Address, value: V) {
        let prefix = Address::new(prefix.words, prefix.prefix_len);
        if self.values.insert(prefix, value).is_some() {
            return;
        }
        match self.lengths.binary_search_by(|(length, _)| prefix.prefix_len.cmp(length)) {
            Ok(at) => self.lengths.iter_mut().skip(at).take(1).for_each(|(_, count)| *count += 1),
            Err(at) => self.lengths.insert(at, (prefix.prefix_len, 1)),
        }
    }

    /// Takes a prefix away.
    pub fn remove(&mut self, prefix: &Address) -> Option<V> {
        let value = self.values.remove(&Address::new(prefix.words, prefix.prefix_len))?;
        self.lengths.iter_mut().filter(|(length, _)| *length == prefix.prefix_len).for_each(|(_, count)| *count -= 1);
        self.lengths.retain(|(_, count)| *count > 0);
        Some(value)
    }

    /// The value of the longest prefix that holds the address.
    pub fn longest(&self, address: &[u32; 4]) -> Option<&V> {
        self.lengths.iter().find_map(|(length, _)| self.values.get(&Address::new(*address, *length)))
    }

    /// The value of the longest prefix of at least `length` bits that holds the address.
    pub fn longest_from(&self, address: &[u32; 4], length: u32) -> Option<&V> {
        let mut long = self.lengths.iter().take_while(|(known, _)| *known >= length);
        long.find_map(|(known, _)| self.values.get(&Address::new(*address, *known)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl<V> FromIterator<(Address, V)> for Prefixes<V> {
    fn from_iter<I: IntoIterator<Item = (Address, V)>>(pairs: I) -> Self {
        let mut prefixes = Self { values: HashMap::new(), lengths: Vec::new() };
        pairs.into_iter().for_each(|(prefix, value)| prefixes.insert(prefix, value));
        prefixes
    }
}

/// Compiled tables, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct SoftTables {
    tables: PolicyTables,
    sources: Prefixes<u32>,
    destinations: Prefixes<u32>,
    interfaces: HashMap<u32, u32>,
}

impl SoftTables {
    /// Of a compiled policy, on a host that has these interfaces.
    pub fn new(tables: PolicyTables, interfaces: &[(u32, String)]) -> Self {
        let by_index =
            interfaces.iter().filter_map(|(ifindex, name)| Some((*ifindex, interface_row(&tables.interfaces, name)?)));
        Self {
            sources: tables.sources.iter().copied().collect(),
            destinations: tables.destinations.iter().copied().collect(),
            interfaces: by_index.collect(),
            tables,
        }
    }
}

/// The row of an interface, where a rule names it; `interfaces` are [`PolicyTables::interfaces`].
pub fn interface_row(interfaces: &[(String, u32)], name: &str) -> Option<u32> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    interfaces.iter().find(|(pattern, _)| fits(pattern)).map(|(_, row)| *row)
}

impl Tables for SoftTables {
    fn head(&self) -> Option<&PolicyHead> {
        Some(&self.tables.head)
    }

    fn prefix(&self, side: Side, address: &[u32; 4]) -> Option<u32> {
        match side {
            Side::From => self.sources.longest(address).copied(),
            Side::To => self.destinations.longest(address).copied(),
        }
    }

    fn port(&self, side: Side, port: u16) -> Option<u32> {
        let rows = match side {
            Side::From => &self.tables.source_ports,
            Side::To => &self.tables.destination_ports,
        };
        // No rule looks at ports of this side.
        Some(rows.get(usize::from(port)).map_or(0, |row| u32::from(*row)))
    }

    fn interface(&self, ifindex: u32) -> Option<u32> {
        self.interfaces.get(&ifindex).copied()
    }

    fn row(&self, number: u32) -> Option<&Row> {
        self.tables.rows.get(number as usize)
    }

    fn rule(&self, index: u32) -> Option<RuleEntry> {
        self.tables.rules.get(index as usize).copied()
    }

    fn limit(&self, index: u32) -> Option<Limit> {
        self.tables.limits.get(index as usize).copied()
    }
}

/// Bans, connections and limits.
#[derive(Clone, Debug, Default)]
pub struct SoftState {
    /// Banned prefixes.
    pub bans: Prefixes<()>,
    /// Conversations.
    pub connections: HashMap<ConnectionKey, Connection>,
    limits: HashMap<LimitKey, u64>,
    now_ns: u64,
}

impl State for SoftState {
    fn is_over(&mut self, key: &LimitKey, limit: &Limit) -> bool {
        let due = self.limits.entry(*key).or_default();
        match limit.next(*due, self.now_ns) {
            Some(next) => {
                *due = next;
                false
            }
            None => true,
        }
    }

    fn is_banned(&mut self, address: &[u32; 4]) -> bool {
        // A short IPv6 prefix, such as that of everything, holds no IPv4 address although those are mapped into it.
        let least = if is_ipv4(address) { 96 } else { 0 };
        self.bans.longest_from(address, least).is_some()
    }

    fn connection(&mut self, key: &ConnectionKey) -> Option<&mut Connection> {
        self.connections.get_mut(key)
    }

    fn remember(&mut self, key: &ConnectionKey, connection: &Connection) -> bool {
        self.connections.insert(*key, *connection);
        true
    }
}

/// Packets and bytes by counter.
pub type Hits = HashMap<u32, (u64, u64)>;

/// Everything that verdicts come from.
#[derive(Clone, Debug, Default)]
pub struct SoftPolicy {
    /// Which tables hold.
    pub control: PolicyControl,
    /// Tables by slot.
    pub slots: [SoftTables; 4],
    /// What outlives them.
    pub state: SoftState,
}

impl SoftPolicy {
    /// Judges a packet at a time, as the kernel does when no verdict is in force.
    pub fn judge<B: Bytes>(&mut self, bytes: &B, parsed: &Parsed, ticks: u64, now_ns: u64) -> Verdict {
        let word = self.control.at(ticks);
        let now_s = self.control.seconds(ticks);
        self.state.now_ns = now_ns;
        let [a, b, c, d] = &self.slots;
        let tables = match word.slot() {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        policy::judge(bytes, parsed, word, tables, &mut self.state, &mut Desk::default(), now_s)
    }
}
