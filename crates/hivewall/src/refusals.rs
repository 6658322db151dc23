//! Refused flows on their way from the engine to the log.

use hivewall_engine::{Engine, Refusal};
use hivewall_export::{Event, RefusalEvent};
use hivewall_model::Direction;

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
