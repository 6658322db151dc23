//! Network interfaces as the host describes them.

/// How an interface lies among others, which tells when two of them show the same packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Rank {
    /// Neither part of another interface nor made of others.
    #[default]
    Plain,
    /// A port of a bridge, bond or team.
    Port,
    /// A bridge, bond or team.
    Master,
    /// Stacked on a lower interface (VLAN, macvlan, ipvlan).
    Upper,
}

/// What an interface's frames start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum LinkLayer {
    /// An Ethernet header.
    #[default]
    Ethernet,
    /// An IP header (tun, WireGuard, IP tunnels).
    Ip,
    /// Something else, by its ARPHRD number; such an interface is not captured.
    Other(u16),
}

/// One interface. Counters are the kernel's own, since the interface was made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Interface {
    /// Index, unique in its network namespace while the interface lives.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Layout of its frames.
    pub link: LinkLayer,
    /// Place among others.
    pub rank: Rank,
    /// Whether it is the loopback.
    pub loopback: bool,
    /// Kind as netlink tells it (`veth`, `bridge`, `vlan`, …); empty for hardware.
    pub kind: String,
    /// VLAN id it stands for, 0 for none.
    pub vlan: u16,
    /// Administratively up and with carrier.
    pub up: bool,
    /// Maximum transmission unit, bytes.
    pub mtu: u32,
    /// Hardware address, empty when there is none.
    pub mac: Vec<u8>,
    /// Link speed in bits per second; `None` where the driver does not say.
    pub speed: Option<u64>,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Received packets dropped by the driver or the stack before anyone saw them.
    pub rx_dropped: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped on the way out.
    pub tx_dropped: u64,
    /// Transmit errors.
    pub tx_errors: u64,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
}
