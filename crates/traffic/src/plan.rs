//! What is to be made, checked before anything is.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::TrafficError;

/// Longest time of a run, seconds.
pub const SECONDS_MAX: u64 = 300;
/// Most pages asked for.
pub const PAGES_MAX: u64 = 10_000;
/// Most names looked up.
pub const LOOKUPS_MAX: u64 = 10_000;
/// Most ports scanned.
pub const SCAN_PORTS_MAX: u64 = 1024;
/// Most packets of the flood.
pub const FLOOD_PACKETS_MAX: u64 = 1_000_000;
/// Most packets of the flood in one second.
pub const FLOOD_RATE_MAX: u64 = 100_000;
/// Most bytes of the bulk transfer.
pub const BULK_BYTES_MAX: u64 = 10_000_000_000;

/// What is asked for. Zero of something leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where servers listen and packets go: loopback, or an address of this host.
    pub target: IpAddr,
    /// Seconds after which all of it ends.
    pub seconds: u64,
    /// Pages to ask for.
    pub pages: u64,
    /// Names to look up.
    pub lookups: u64,
    /// Ports to scan, from 1 up.
    pub scan_ports: u64,
    /// Packets of the flood.
    pub flood_packets: u64,
    /// Packets of the flood in one second.
    pub flood_rate: u64,
    /// Bytes of the bulk transfer.
    pub bulk_bytes: u64,
}

impl Default for Options {
    /// Enough to see in every view, in less than half a minute.
    fn default() -> Self {
        Self {
            target: IpAddr::from([127, 0, 0, 1]),
            seconds: 30,
            pages: 60,
            lookups: 40,
            scan_ports: 200,
            flood_packets: 20_000,
            flood_rate: 10_000,
            bulk_bytes: 200_000_000,
        }
    }
}

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Look-ups of names.
    Dns,
    /// Pages over HTTP.
    Browse,
    /// Connections to ports that are mostly closed.
    Scan,
    /// UDP packets that nobody reads.
    Flood,
    /// One long TCP transfer.
    Bulk,
}

impl Part {
    /// Every part, in the order of a run.
    pub const ALL: [Part; 5] = [Self::Dns, Self::Browse, Self::Scan, Self::Flood, Self::Bulk];

    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Browse => "browse",
            Self::Scan => "scan",
            Self::Flood => "flood",
            Self::Bulk => "bulk",
        }
    }

    /// What is counted.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Dns => "look-ups answered",
            Self::Browse => "pages got",
            Self::Scan => "ports refused",
            Self::Flood => "packets sent",
            Self::Bulk => "transfers finished",
        }
    }
}

/// Options that were found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    options: Options,
}

impl Plan {
    /// Checks the options against the limits, and the target against the addresses of this host.
    pub fn new(options: Options) -> Result<Self, TrafficError> {
        for (what, asked, most) in [
            ("seconds", options.seconds, SECONDS_MAX),
            ("pages", options.pages, PAGES_MAX),
            ("look-ups", options.lookups, LOOKUPS_MAX),
            ("ports to scan", options.scan_ports, SCAN_PORTS_MAX),
            ("packets of the flood", options.flood_packets, FLOOD_PACKETS_MAX),
            ("packets a second", options.flood_rate, FLOOD_RATE_MAX),
            ("bytes of the transfer", options.bulk_bytes, BULK_BYTES_MAX),
        ] {
            if asked > most {
                return Err(TrafficError::TooMuch { what, most });
            }
        }
        if is_of_this_host(options.target)? {
            Ok(Self { options })
        } else {
            Err(TrafficError::NotThisHost { target: options.target })
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }

    /// The parts that are asked for, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let options = self.options;
        Part::ALL.into_iter().filter(move |part| {
            0 < match part {
                Part::Dns => options.lookups,
                Part::Browse => options.pages,
                Part::Scan => options.scan_ports,
                Part::Flood => options.flood_packets.min(options.flood_rate),
                Part::Bulk => options.bulk_bytes,
            }
        })
    }
}

/// Loopback, or what an interface of this network namespace carries. Neither a group nor the unspecified address is.
fn is_of_this_host(target: IpAddr) -> Result<bool, TrafficError> {
    let target = target.to_canonical();
    if target.is_loopback() {
        return Ok(true);
    }
    if target.is_multicast() || target.is_unspecified() {
        return Ok(false);
    }
    let mut addresses = nix::ifaddrs::getifaddrs().map_err(TrafficError::Addresses)?;
    Ok(addresses.any(|interface| {
        let Some(address) = interface.address else { return false };
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        let v6 = address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip()));
        v4.or(v6) == Some(target)
    }))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { target, seconds, pages, lookups, scan_ports, flood_packets, flood_rate, bulk_bytes } =
            self.options;
        writeln!(f, "Test traffic to {target} alone, from this host, for at most {seconds} s:")?;
        for part in self.parts() {
            match part {
                Part::Dns => writeln!(f, "  dns     {lookups} look-ups at a responder of its own")?,
                Part::Browse => writeln!(f, "  browse  {pages} pages from a server of its own")?,
                Part::Scan => writeln!(f, "  scan    connections to ports 1 to {scan_ports}")?,
                Part::Flood => writeln!(f, "  flood   {flood_packets} UDP packets, {flood_rate} a second")?,
                Part::Bulk => writeln!(f, "  bulk    {bulk_bytes} bytes over one TCP connection")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(change: impl FnOnce(&mut Options)) -> Result<Plan, TrafficError> {
        let mut options = Options::default();
        change(&mut options);
        Plan::new(options)
    }

    #[test]
    fn addresses_of_others_are_refused_whatever_they_are() {
        for target in
            ["192.0.2.1", "8.8.8.8", "2001:db8::1", "255.255.255.255", "224.0.0.1", "ff02::1", "0.0.0.0", "::"]
        {
            let target: IpAddr = target.parse().unwrap();
            let refused = plan(|options| options.target = target).unwrap_err();
            assert!(matches!(refused, TrafficError::NotThisHost { target: is } if is == target), "{target}: {refused}");
        }
    }

    #[test]
    fn loopback_and_addresses_of_this_host_are_taken() {
        for target in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(plan(|options| options.target = target.parse().unwrap()).is_ok(), "{target}");
        }
        let own = nix::ifaddrs::getifaddrs().unwrap().filter_map(|interface| interface.address);
        for address in own.filter_map(|address| address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()))) {
            assert!(plan(|options| options.target = address).is_ok(), "{address}");
        }
    }

    #[test]
    fn more_than_a_limit_is_refused_by_name() {
        let refused = plan(|options| options.scan_ports = SCAN_PORTS_MAX + 1).unwrap_err();
        assert_eq!(refused.to_string(), "ports to scan cannot be more than 1024; choose fewer");
        assert!(plan(|options| options.seconds = SECONDS_MAX + 1).is_err());
        assert!(plan(|options| options.flood_rate = FLOOD_RATE_MAX + 1).is_err());
        assert!(plan(|options| options.bulk_bytes = BULK_BYTES_MAX).is_ok());
    }

    #[test]
    fn the_plan_says_what_will_be_done_and_leaves_out_what_will_not() {
        let page = plan(|options| (options.pages, options.flood_rate) = (0, 0)).unwrap().to_string();
        let words: Vec<&str> = page.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(words, ["dns", "scan", "bulk"]);
        assert!(page.starts_with("Test traffic to 127.0.0.1 alone"), "{page}");
    }
}
