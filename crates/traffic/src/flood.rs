//! A short flood: UDP packets to a socket that nobody reads, so that the kernel drops most of them and says so.

use crate::pace::Pace;
use crate::{Done, Limits, Plan, TrafficError, listen};

/// Bytes of one packet's payload.
const PAYLOAD_BYTES: usize = 64;

pub(crate) fn run(plan: &Plan, limits: Limits<'_>) -> Result<Done, TrafficError> {
    let target = plan.options().target;
    let (_sink, address) = listen::udp("the flood's sink", target, &[])?;
    let (source, _) = listen::udp("the flood's source", target, &[])?;
    let mut done = Done::default();
    let mut pace = Pace::new(plan.options().flood_rate);
    while done.tried < plan.options().flood_packets && pace.turn(limits) {
        done.tried += 1;
        if let Ok(sent) = source.send_to(&[0; PAYLOAD_BYTES], address) {
            done.well += 1;
            done.bytes += sent as u64;
        }
    }
    Ok(done)
}
