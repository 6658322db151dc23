//! All detectors, in the order of the documentation.

mod amplification;
mod arp_scan;
mod arp_spoof;
mod high_bandwidth;
mod host_sweep;
mod icmp_flood;
mod invalid_packets;
mod port_scan;
mod slow_scan;
mod syn_flood;
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
    (&udp_flood::DEFINITION, udp_flood::UdpFlood::make),
    (&icmp_flood::DEFINITION, icmp_flood::IcmpFlood::make),
    (&amplification::DEFINITION, amplification::Amplification::make),
    (&arp_spoof::DEFINITION, arp_spoof::Claimed::spoof),
    (&arp_spoof::CONFLICT, arp_spoof::Claimed::conflict),
    (&invalid_packets::DEFINITION, invalid_packets::InvalidPackets::make),
    (&traffic_spike::DEFINITION, traffic_spike::TrafficSpike::make),
    (&high_bandwidth::DEFINITION, high_bandwidth::HighBandwidth::make),
];

/// Every detector's definition.
pub fn definitions() -> Vec<&'static Definition> {
    ALL.iter().map(|(definition, _)| *definition).collect()
}

/// Every detector that is on.
pub fn all(settings: &Settings) -> Vec<Box<dyn Detector>> {
    ALL.iter().filter(|(definition, _)| settings.is_on(definition)).map(|(_, make)| make(settings)).collect()
}
