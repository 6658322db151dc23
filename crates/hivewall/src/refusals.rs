//! Refused flows on their way from the engine to the log, and interfaces where the first of refusals does not stand.

use hivewall_engine::{Engine, Refusal};
use hivewall_export::{Event, RefusalEvent};
use hivewall_host::source::Source;
use hivewall_model::Direction;
use hivewall_view::policy::PolicyFailure;

/// Interfaces that the source could not put its front before, each as a failure.
pub(crate) fn without_front(source: &impl Source) -> impl Iterator<Item = PolicyFailure> {
    source.without_front().into_iter().map(|(interface, why)| PolicyFailure {
        kind: "no_front".to_owned(),
        detail: format!("bans on {interface} are dropped later than at the driver: {why}"),
        subject: Some(interface),
    })
}

/// The log's event of a refusal.
pub(crate) fn event(engine: &Engine, refusal: &Refusal) -> Event {
    Event::Refusal(Box::new(RefusalEvent {
        row: engine.row(&refusal.flow),
        verdict: refusal.ruling.fate().name(),
        rule: refusal.ruling.rule.to_string(),
        rule_number: refusal.ruling.verdict.counter(),
        interface: engine.interface_name(refusal.ifindex),
        received: refusal.direction == Direction::Ingress,
        to_server: refusal.to_server,
        packets: refusal.packets,
        ip_bytes: refusal.ip_bytes,
        not_logged: refusal.not_logged,
    }))
}
