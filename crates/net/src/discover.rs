//! Hints by mDNS: which hosts of which cluster are on this network. Opt-in, and only a suggestion: whoever answers proves
//! itself as any other, and joining always takes an invitation.
//!
//! Invariant: nothing that comes by mDNS reaches more than an address to try.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hivewall_cluster::{ClusterId, NodeId};
use mdns_sd::{Receiver, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo};

/// The service (RFC 6763).
const SERVICE: &str = "_hivewall._udp.local.";
/// Most hints that are kept: a network full of liars costs no more.
const HINTS_MAX: usize = 256;

/// A host that says it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint {
    /// Of which cluster, as it says: the name in hexadecimal digits.
    pub cluster: String,
    /// Where.
    pub address: SocketAddr,
}

/// Why there is no mDNS.
#[derive(Debug, thiserror::Error)]
#[error("mDNS cannot be used here: give the address of a host instead")]
pub struct DiscoverError(#[from] mdns_sd::Error);

/// Announces this host until it is dropped.
pub struct Announcement(ServiceDaemon);

impl Drop for Announcement {
    fn drop(&mut self) {
        let _ = self.0.shutdown();
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Tells the local network that a host of this cluster listens on this port.
pub fn announce(cluster: ClusterId, id: NodeId, port: u16) -> Result<Announcement, DiscoverError> {
    let daemon = ServiceDaemon::new()?;
    let name = id.to_string();
    let properties = [("cluster", hex(&cluster.0))];
    let host = format!("{name}.local.");
    let service = ServiceInfo::new(SERVICE, &name, &host, "", port, &properties[..])?.enable_addr_auto();
    daemon.register(service)?;
    Ok(Announcement(daemon))
}

/// Listens for so long. Blocks.
pub fn discover(patience: Duration) -> Result<Vec<Hint>, DiscoverError> {
    let daemon = ServiceDaemon::new()?;
    let events = daemon.browse(SERVICE)?;
    let hints = collect(&events, patience);
    let _ = daemon.shutdown();
    Ok(hints)
}

fn collect(events: &Receiver<ServiceEvent>, patience: Duration) -> Vec<Hint> {
    let end = Instant::now() + patience;
    let mut hints = Vec::new();
    while let Ok(event) = events.recv_timeout(end.saturating_duration_since(Instant::now())) {
        let ServiceEvent::ServiceResolved(service) = event else { continue };
        let cluster = service.get_property_val_str("cluster").unwrap_or_default().to_owned();
        let is_cluster = cluster.len() == 32 && cluster.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_usable = |ip: &IpAddr| match ip {
            IpAddr::V4(_) => true,
            // Such an address means nothing without the interface it came by.
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        };
        let ips = service.get_addresses().iter().map(ScopedIp::to_ip_addr).filter(is_usable);
        let found = ips.map(|ip| Hint { cluster: cluster.clone(), address: SocketAddr::new(ip, service.get_port()) });
        hints.extend(found.filter(|_| is_cluster));
        hints.sort_unstable();
        hints.dedup();
        hints.truncate(HINTS_MAX);
    }
    hints
}
