//! Targets of connections that are not complete, by address and port.
//!
//! Bounded by the flows that live. Invariant: each living flow in SYN_SENT or SYN_RECV is counted at its server, once.

use std::net::IpAddr;

use hashbrown::HashMap;
use hivewall_model::TcpState;
use hivewall_view::HalfOpenTarget;

use crate::entry::Entry;

/// Targets named in a snapshot.
const TARGETS_SHOWN: usize = 10;
/// Memory for so many targets is not worth giving back.
const TARGETS_FEW: usize = 4096;

#[derive(Default)]
pub(crate) struct HalfOpen {
    targets: HashMap<(IpAddr, u16), u64>,
}

impl HalfOpen {
    /// Counts a flow where it belongs now, once its state or its roles may have changed.
    #[inline]
    pub(crate) fn judge(&mut self, entry: &mut Entry) {
        let is_open = matches!(entry.state, Some(TcpState::SynSent | TcpState::SynRecv));
        let wanted = is_open.then(|| entry.a_is_client());
        if wanted != entry.half_open {
            self.book(entry, wanted);
        }
    }

    /// A flow is over.
    pub(crate) fn ended(&mut self, entry: &mut Entry) {
        if entry.half_open.is_some() {
            self.book(entry, None);
        }
    }

    fn book(&mut self, entry: &mut Entry, wanted: Option<bool>) {
        let target = |a_is_client| entry.key.end(usize::from(a_is_client));
        if let Some(target) = entry.half_open.map(target)
            && let Some(count) = self.targets.get_mut(&target)
        {
            *count -= 1;
            if *count == 0 {
                self.targets.remove(&target);
            }
        }
        if let Some(target) = wanted.map(target) {
            *self.targets.entry(target).or_default() += 1;
        }
        entry.half_open = wanted;
    }

    /// Gives back the memory that a flood took.
    pub(crate) fn tick(&mut self) {
        if self.targets.capacity() > TARGETS_FEW && self.targets.len() < self.targets.capacity() / 8 {
            self.targets.shrink_to(TARGETS_FEW);
        }
    }

    pub(crate) fn view(&self) -> Vec<HalfOpenTarget> {
        let mut rows: Vec<(u64, (IpAddr, u16))> =
            self.targets.iter().map(|(target, count)| (*count, *target)).collect();
        let order = |x: &(u64, (IpAddr, u16)), y: &(u64, (IpAddr, u16))| y.0.cmp(&x.0).then(x.1.cmp(&y.1));
        if rows.len() > TARGETS_SHOWN {
            rows.select_nth_unstable_by(TARGETS_SHOWN, order);
            rows.truncate(TARGETS_SHOWN);
        }
        rows.sort_unstable_by(order);
        let target = |(ip, port)| std::net::SocketAddr::new(ip, port).to_string();
        rows.into_iter().map(|(half_open, end)| HalfOpenTarget { target: target(end), half_open }).collect()
    }
}
