//! What to send next of what waits: groups, the limit of the rate, and the summary of a storm. Pure: time is an argument.
//!
//! Invariant: whatever waits is in exactly one message, in the order of the first of each group.

use crate::channel::Rate;
use crate::message::Notice;

/// How a channel's messages are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) group_wait_ms: u64,
    /// Everything that waits goes together, whatever it is: the receiver does its own grouping.
    pub(crate) together: bool,
}

/// The messages of the current time span.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    begun_ms: u64,
    sent: u32,
    /// Whether something had to wait for its end.
    held: bool,
}

/// What the rate allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// A message.
    Open,
    /// One message for all that waits.
    Summary,
    /// Nothing before.
    Closed { until_ms: u64 },
}

impl Window {
    /// What may be sent now, when something waits.
    pub(crate) fn gate(&mut self, rate: Option<Rate>, now_ms: u64) -> Gate {
        let Some(rate) = rate else { return Gate::Open };
        let end_ms = self.begun_ms.saturating_add(rate.per.as_millis() as u64);
        // A clock that was put back ends it as well.
        if now_ms >= end_ms || now_ms < self.begun_ms {
            return if self.held { Gate::Summary } else { Gate::Open };
        }
        if self.sent < rate.messages {
            return Gate::Open;
        }
        self.held = true;
        Gate::Closed { until_ms: end_ms }
    }

    /// Counts a message.
    pub(crate) fn count(&mut self, rate: Option<Rate>, now_ms: u64) {
        let Some(rate) = rate else { return };
        let end_ms = self.begun_ms.saturating_add(rate.per.as_millis() as u64);
        if now_ms >= end_ms || now_ms < self.begun_ms {
            *self = Self { begun_ms: now_ms, sent: 0, held: false };
        }
        self.sent += 1;
    }
}

/// What to do with those that wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Send these, by place.
    Send(Vec<usize>),
    /// Nothing before.
    Wait { until_ms: u64 },
    /// Nothing waits.
    Idle,
}

/// The next group of those that wait, oldest first. At the end of the program nothing waits for company.
pub(crate) fn next(waiting: &[&Notice], shape: Shape, now_ms: u64, at_end: bool) -> Plan {
    let Some(first) = waiting.first() else { return Plan::Idle };
    let due_ms = first.told_ms.saturating_add(shape.group_wait_ms);
    // A notice from the future has seen another clock.
    if now_ms < due_ms && now_ms >= first.told_ms && !at_end {
        return Plan::Wait { until_ms: due_ms };
    }
    if shape.together {
        return Plan::Send((0..waiting.len()).collect());
    }
    if shape.group_wait_ms == 0 {
        return Plan::Send(vec![0]);
    }
    let is_same = |other: &Notice| other.alert.detector == first.alert.detector && other.alert.kind == first.alert.kind;
    Plan::Send(waiting.iter().enumerate().filter(|(_, other)| is_same(other)).map(|(place, _)| place).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hivewall_view::alerts::Alert;

    use super::*;
    use crate::message::Change;

    fn notice(detector: &str, told_ms: u64) -> Notice {
        let alert = Alert { detector: detector.to_owned(), ..Alert::default() };
        Notice { change: Change::Raised, told_ms, alert }
    }

    fn plan(waiting: &[Notice], group_wait_ms: u64, together: bool, now_ms: u64) -> Plan {
        let waiting: Vec<_> = waiting.iter().collect();
        next(&waiting, Shape { group_wait_ms, together }, now_ms, false)
    }

    #[test]
    fn what_comes_in_time_for_the_same_detector_is_one_message() {
        let waiting = [notice("scan", 1000), notice("flood", 1001), notice("scan", 1099), notice("scan", 5000)];
        assert_eq!(plan(&waiting, 100, false, 1050), Plan::Wait { until_ms: 1100 });
        assert_eq!(plan(&waiting[..3], 100, false, 1100), Plan::Send(vec![0, 2]));
        assert_eq!(plan(&waiting[1..2], 100, false, 1100), Plan::Wait { until_ms: 1101 });
        assert_eq!(plan(&[], 100, false, 1100), Plan::Idle);
    }

    #[test]
    fn without_a_wait_each_is_its_own() {
        let waiting = [notice("scan", 1000), notice("scan", 1000)];
        assert_eq!(plan(&waiting, 0, false, 1000), Plan::Send(vec![0]));
        assert_eq!(plan(&waiting, 0, true, 1000), Plan::Send(vec![0, 1]), "unless the receiver groups");
    }

    #[test]
    fn a_clock_put_back_holds_nothing_up() {
        assert_eq!(plan(&[notice("scan", 9_000_000)], 100, false, 1000), Plan::Send(vec![0]));
    }

    #[test]
    fn after_as_many_messages_as_allowed_the_rest_is_one_summary() {
        let rate = Some(Rate { messages: 2, per: Duration::from_secs(60) });
        let mut window = Window::default();
        for now_ms in [100_000, 101_000] {
            assert_eq!(window.gate(rate, now_ms), Gate::Open);
            window.count(rate, now_ms);
        }
        assert_eq!(window.gate(rate, 102_000), Gate::Closed { until_ms: 160_000 });
        assert_eq!(window.gate(rate, 159_999), Gate::Closed { until_ms: 160_000 });
        assert_eq!(window.gate(rate, 160_000), Gate::Summary);
        window.count(rate, 160_000);
        assert_eq!(window.gate(rate, 160_001), Gate::Open, "the summary was the first of the next span");
        window.count(rate, 160_001);
        assert_eq!(window.gate(rate, 170_000), Gate::Closed { until_ms: 220_000 });
    }

    #[test]
    fn a_full_span_that_nobody_waited_for_ends_without_a_summary() {
        let rate = Some(Rate { messages: 1, per: Duration::from_secs(60) });
        let mut window = Window::default();
        window.count(rate, 100_000);
        assert_eq!(window.gate(rate, 160_000), Gate::Open);
    }
}
