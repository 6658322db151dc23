//! A veth pair between two hosts: addresses, MTU, offloads, neighbours.
//!
//! It is a description until [`Link::up`] makes it. Invariant: with neighbours entered by hand (the default), the link
//! carries no frame that a test did not send; addresses given to it later are found only with
//! [`Link::resolve_neighbours`] or an `ip neigh` entry of their own.

use std::sync::atomic::{AtomicU16, Ordering};

use super::{Host, LabError, check_name, kernel};

/// Makes hardware addresses unique within this process.
static NEXT_PAIR: AtomicU16 = AtomicU16::new(1);

/// Which offloads an interface uses. The kernel's own default for veth is everything but GRO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `ethtool -K`")]
pub struct Offloads {
    pub tso: bool,
    pub gso: bool,
    pub gro: bool,
}

impl Offloads {
    /// One buffer, one packet.
    pub const NONE: Self = Self { tso: false, gso: false, gro: false };
    /// Buffers of many segments in both directions.
    pub const ALL: Self = Self { tso: true, gso: true, gro: true };
}

/// A link to be made. See [`super::Lab::link`].
#[derive(Debug)]
#[must_use = "a link exists only after `up`"]
pub struct Link<'a> {
    ends: [End<'a>; 2],
    mtu: u32,
    offloads: Option<Offloads>,
    resolve: bool,
}

#[derive(Debug)]
struct End<'a> {
    host: &'a Host,
    interface: &'a str,
    addresses: Vec<String>,
    mac: String,
}

impl<'a> Link<'a> {
    pub(super) fn new(a: (&'a Host, &'a str), b: (&'a Host, &'a str)) -> Self {
        let pair = NEXT_PAIR.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let end = |(host, interface), side: u8| {
            let mac = format!("02:68:77:{:02x}:{:02x}:{side:02x}", pair[0], pair[1]);
            End { host, interface, addresses: Vec::new(), mac }
        };
        Self { ends: [end(a, 1), end(b, 2)], mtu: 1500, offloads: None, resolve: false }
    }

    /// Addresses with prefix length, of both families, for either end.
    pub fn addresses(mut self, a: &[&str], b: &[&str]) -> Self {
        for (end, list) in self.ends.iter_mut().zip([a, b]) {
            end.addresses.extend(list.iter().map(|text| (*text).to_owned()));
        }
        self
    }

    /// The largest IP packet in bytes, both ends; 1500 by default.
    pub fn mtu(mut self, bytes: u32) -> Self {
        self.mtu = bytes;
        self
    }

    /// Offloads of both ends; the kernel's defaults otherwise.
    pub fn offloads(mut self, offloads: Offloads) -> Self {
        self.offloads = Some(offloads);
        self
    }

    /// Lets the hosts find one another by ARP and neighbour discovery, as real ones do; they then announce
    /// themselves by MLD too.
    pub fn resolve_neighbours(mut self) -> Self {
        self.resolve = true;
        self
    }

    /// Makes the pair, brings it up and waits until it carries.
    pub fn up(self) -> Result<(), LabError> {
        let [a, b] = &self.ends;
        check_name(a.interface)?;
        check_name(b.interface)?;
        let mtu = self.mtu.to_string();
        let pair = [
            &["link", "add", a.interface, "address", &a.mac, "mtu", &mtu, "netns", a.host.namespace(), "type", "veth"],
            &["peer", "name", b.interface, "address", &b.mac, "mtu", &mtu, "netns", b.host.namespace()][..],
        ];
        kernel::run("ip", &pair.concat(), None)?;
        for end in &self.ends {
            end.configure(self.resolve, self.offloads)?;
        }
        for end in &self.ends {
            end.host.settle()?;
        }
        if !self.resolve {
            a.meet(b)?;
            b.meet(a)?;
        }
        Ok(())
    }
}

impl End<'_> {
    fn configure(&self, resolve: bool, offloads: Option<Offloads>) -> Result<(), LabError> {
        let name = self.interface;
        let mut lines = Vec::new();
        if !resolve {
            // Without ARP the kernel joins no solicited-node groups either, so MLD has nothing to report. It stays
            // off: switching it on again makes the kernel join them after all (addrconf_notify, seen on 6.18).
            lines.push(format!("link set {name} arp off"));
        }
        for address in &self.addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            lines.push(format!("addr add {address} dev {name}{nodad}"));
        }
        if let Some(Offloads { tso, gso, gro }) = offloads {
            let word = |on| if on { "on" } else { "off" };
            let namespace = self.host.namespace();
            let words = ["-K", name, "tso", word(tso), "gso", word(gso), "gro", word(gro)];
            let command = [&["netns", "exec", namespace, "ethtool"][..], &words[..]].concat();
            kernel::run("ip", &command, None)?;
        }
        lines.push(format!("link set {name} up"));
        self.host.ip_batch(&lines.join("\n")).map(drop)
    }

    /// Enters the other end as a neighbour for good.
    fn meet(&self, peer: &Self) -> Result<(), LabError> {
        let name = self.interface;
        let mut lines = Vec::new();
        for address in &peer.addresses {
            let address = address.split('/').next().unwrap_or_default();
            lines.push(format!("neigh replace {address} lladdr {} dev {name} nud permanent", peer.mac));
        }
        self.host.ip_batch(&lines.join("\n")).map(drop)
    }
}
