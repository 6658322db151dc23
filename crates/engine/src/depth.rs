//! What is known of a flow beyond its counts: processes, names, times. On the heap and only where there is something,
//! since most of a million flows may have nothing.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::{FlowNames, Process, TcpHealth, Timing};

use crate::ledger::Ticket;

/// A process at one end of a flow.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub process: Arc<Process>,
    /// Where its traffic is booked.
    pub ticket: Ticket,
    /// Whether its socket is known to be this conversation's; else it is who waits at the port.
    pub is_exact: bool,
}

impl Owner {
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        is_same(&self.process, &other.process)
    }
}

/// Whether two descriptions are of one run of one program.
pub(crate) fn is_same(one: &Process, other: &Process) -> bool {
    (one.pid, one.started_ns, &one.comm) == (other.pid, other.started_ns, &other.comm)
}

/// All that is known. Pairs are of the ends `a` and `b`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Depth {
    pub owners: [Option<Owner>; 2],
    pub names: Option<Arc<FlowNames>>,
    pub measures: Option<Box<Measures>>,
}

/// A time that may not be known, in eight bytes: nanoseconds and one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span(Option<NonZeroU64>);

impl From<Duration> for Span {
    fn from(time: Duration) -> Self {
        Self(NonZeroU64::new(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).saturating_add(1)))
    }
}

impl From<Option<Duration>> for Span {
    fn from(time: Option<Duration>) -> Self {
        time.map_or_else(Self::default, Self::from)
    }
}

impl Span {
    pub(crate) fn get(self) -> Option<Duration> {
        self.0.map(|ns| Duration::from_nanos(ns.get() - 1))
    }
}

/// What the socket at one end tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    smoothed_rtt: Span,
    rtt_deviation: Span,
    retransmits: u32,
    out_of_order: u32,
    /// Whether `out_of_order` was told.
    knows_order: bool,
}

/// Times of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measures {
    pub handshake_server: Span,
    pub handshake_client: Span,
    pub server_response: Span,
    round_trip: Span,
    jitter: Span,
    health: [Option<Health>; 2],
}

/// How a smoothed mean deviation moves (RFC 3550 §6.4.1): one sixteenth of the way.
pub(crate) fn jitter(before: Option<Duration>, previous: Duration, sample: Duration) -> Duration {
    let before = before.unwrap_or_default();
    let step = previous.abs_diff(sample);
    let (more, less) = (step.saturating_sub(before) / 16, before.saturating_sub(step) / 16);
    before.saturating_add(more).saturating_sub(less)
}

impl Measures {
    pub(crate) fn see_round_trip(&mut self, time: Duration) {
        if let Some(previous) = self.round_trip.get() {
            self.jitter = jitter(self.jitter.get(), previous, time).into();
        }
        self.round_trip = time.into();
    }

    /// Takes what a socket tells; returns how many segments more it sent again.
    pub(crate) fn see_health(&mut self, side: usize, told: &TcpHealth) -> u32 {
        let Some(health) = self.health.get_mut(side) else { return 0 };
        let old = health.unwrap_or_default();
        *health = Some(Health {
            // What is known last is kept: a socket that closes may no longer tell.
            smoothed_rtt: told.smoothed_rtt.map_or(old.smoothed_rtt, Span::from),
            rtt_deviation: told.rtt_deviation.map_or(old.rtt_deviation, Span::from),
            retransmits: told.retransmits.max(old.retransmits),
            out_of_order: told.out_of_order.unwrap_or(old.out_of_order),
            knows_order: told.out_of_order.is_some() || old.knows_order,
        });
        told.retransmits.saturating_sub(old.retransmits)
    }

    /// As everyone else sees it. Where both ends are here, the client's socket speaks.
    pub(crate) fn timing(&self, client: usize) -> Timing {
        let health = [client, 1 - client].into_iter().find_map(|side| *self.health.get(side)?);
        let told = health.unwrap_or_default();
        Timing {
            handshake_server: self.handshake_server.get(),
            handshake_client: self.handshake_client.get(),
            server_response: self.server_response.get(),
            round_trip: self.round_trip.get(),
            jitter: self.jitter.get(),
            smoothed_rtt: told.smoothed_rtt.get(),
            rtt_deviation: told.rtt_deviation.get(),
            retransmits: health.map(|health| health.retransmits),
            out_of_order: health.filter(|health| health.knows_order).map(|health| health.out_of_order),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hivewall_model::TcpHealth;

    use super::{Depth, Measures, Span, jitter};

    #[test]
    fn a_span_holds_every_time_and_none() {
        for time in [None, Some(Duration::ZERO), Some(Duration::from_nanos(1)), Some(Duration::from_secs(1 << 31))] {
            assert_eq!(Span::from(time).get(), time);
        }
        assert!(size_of::<Span>() == 8 && size_of::<Depth>() <= 64 && size_of::<Measures>() <= 104);
    }

    #[test]
    fn jitter_moves_by_a_sixteenth_as_the_standard_says() {
        let ms = Duration::from_millis;
        let mut measures = Measures::default();
        measures.see_round_trip(ms(10));
        assert_eq!(measures.timing(0).jitter, None, "one sample has no deviation");
        measures.see_round_trip(ms(26));
        assert_eq!(measures.timing(0).jitter, Some(ms(1)));
        measures.see_round_trip(ms(26));
        assert_eq!(measures.timing(0).jitter, Some(Duration::from_nanos(937_500)));
        assert_eq!(jitter(Some(ms(16)), ms(0), ms(0)), ms(15));
    }

    #[test]
    fn a_socket_that_no_longer_tells_keeps_what_it_told() {
        let mut measures = Measures::default();
        let told = TcpHealth { smoothed_rtt: Some(Duration::from_millis(3)), retransmits: 2, ..TcpHealth::default() };
        assert_eq!(measures.see_health(1, &told), 2);
        assert_eq!(measures.see_health(1, &TcpHealth { retransmits: 5, ..TcpHealth::default() }), 3);
        assert_eq!(measures.see_health(1, &TcpHealth::default()), 0);
        let timing = measures.timing(0);
        assert_eq!((timing.smoothed_rtt, timing.retransmits), (Some(Duration::from_millis(3)), Some(5)));
        assert_eq!(timing.out_of_order, None);
    }
}
