//! All detectors, in the order of the documentation.

mod amplification;
mod arp_scan;
mod arp_spoof;
mod beacon;
mod brute_force;
mod dga;
mod dns_tunnel;
mod exfiltration;
mod failed_logins;
mod firewall_tampering;
mod heavy_talker;
mod high_bandwidth;
mod host_sweep;
mod icmp_flood;
mod icmp_tunnel;
mod invalid_packets;
mod lateral_movement;
#[cfg(test)]
mod limits;
mod new_listener;
mod new_outbound;
mod password_spray;
mod port_scan;
mod slow_scan;
mod syn_flood;
mod tcp_flood;
mod traffic_spike;
mod udp_flood;

use crate::{Definition, Detector, Settings};

/// What a detector's file offers: its definition, and how to make one.
type Made = (&'static Definition, fn(&Settings) -> Box<dyn Detector>);

static ALL: &[Made] = &[
    (&port_scan::DEFINITION, port_scan::PortScan::make),
    (&slow_scan::DEFINITION, slow_scan::SlowScan::make),
    (&host_sweep::DEFINITION, host_sweep::HostSweep::make),
    (&arp_scan::DEFINITION, arp_scan::ArpScan::make),
    (&syn_flood::DEFINITION, syn_flood::SynFlood::make),
    (&tcp_flood::DEFINITION, tcp_flood::TcpFlood::make),
    (&udp_flood::DEFINITION, udp_flood::UdpFlood::make),
    (&icmp_flood::DEFINITION, icmp_flood::IcmpFlood::make),
    (&amplification::DEFINITION, amplification::Amplification::make),
    (&arp_spoof::DEFINITION, arp_spoof::Claimed::spoof),
    (&arp_spoof::CONFLICT, arp_spoof::Claimed::conflict),
    (&invalid_packets::DEFINITION, invalid_packets::InvalidPackets::make),
    (&traffic_spike::DEFINITION, traffic_spike::TrafficSpike::make),
    (&high_bandwidth::DEFINITION, high_bandwidth::HighBandwidth::make),
    (&heavy_talker::DEFINITION, heavy_talker::HeavyTalker::make),
    (&brute_force::DEFINITION, brute_force::BruteForce::make),
    (&failed_logins::DEFINITION, failed_logins::FailedLogins::make),
    (&password_spray::DEFINITION, password_spray::PasswordSpray::make),
    (&dns_tunnel::DEFINITION, dns_tunnel::DnsTunnel::make),
    (&dga::DEFINITION, dga::Dga::make),
    (&icmp_tunnel::DEFINITION, icmp_tunnel::IcmpTunnel::make),
    (&beacon::DEFINITION, beacon::Beacon::make),
    (&exfiltration::DEFINITION, exfiltration::Exfiltration::make),
    (&lateral_movement::DEFINITION, lateral_movement::LateralMovement::make),
    (&new_listener::DEFINITION, new_listener::NewListener::make),
    (&new_outbound::DEFINITION, new_outbound::NewOutbound::make),
    (&firewall_tampering::DEFINITION, firewall_tampering::FirewallTampering::make),
];

/// Every detector's definition, those of the fleet last.
pub fn definitions() -> Vec<&'static Definition> {
    ALL.iter().map(|(definition, _)| *definition).chain(crate::fleet::definitions()).collect()
}

/// Every detector that is on.
pub fn all(settings: &Settings) -> Vec<Box<dyn Detector>> {
    ALL.iter().filter(|(definition, _)| settings.is_on(definition)).map(|(_, make)| make(settings)).collect()
}
