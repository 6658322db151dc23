//! Alerts, mutes and detectors as plain text. Invariants: those of [`crate::table`].

use std::fmt::Write as _;

use super::{Alert, AlertState, DetectorRow, Mute, MuteAction};
use crate::fleet::hosts;
use crate::table::{Align, Column, clean, render};
use crate::time::to_the_second;
use crate::units;

const fn left(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Left, rank, cut: rank == 0 }
}

const fn right(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Right, rank, cut: false }
}

/// What stands for an alert that is hushed or acted on.
fn mark(alert: &Alert) -> String {
    let mut words = vec![if alert.state == AlertState::Active { "active" } else { "ended" }.to_owned()];
    words.extend(alert.acknowledged.is_some().then(|| "ack".to_owned()));
    words.extend(alert.silenced_until.is_some().then(|| "silenced".to_owned()));
    words.extend(alert.response.as_ref().map(|response| format!("{} {}", response.action, response.outcome)));
    words.join(", ")
}

/// One line an alert.
pub fn render_alerts(alerts: &[Alert], width: Option<usize>) -> String {
    let columns = [
        left("ID", 1),
        left("SEEN", 3),
        Column { cut: false, ..left("SEVERITY", 0) },
        Column { cut: false, ..left("DETECTOR", 0) },
        left("SOURCE", 2),
        left("STATE", 3),
        left("WHAT", 0),
    ];
    let rows: Vec<Vec<String>> = alerts
        .iter()
        .map(|alert| {
            vec![
                alert.id.clone(),
                to_the_second(&alert.last_seen),
                alert.severity.name().to_owned(),
                alert.detector.clone(),
                alert.source.clone().unwrap_or_else(|| "-".to_owned()),
                mark(alert),
                alert.message.clone(),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}

/// A figure without needless digits.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value}") } else { format!("{value:.3}") }
}

/// One alert with everything that is known of it.
pub fn render_alert(alert: &Alert) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = writeln!(page, "{name:<13} {}", clean(text));
        }
    };
    line("alert", &format!("{} on {}", alert.id, alert.host));
    line("what", &alert.message);
    line("detector", &format!("{} ({}), {}", alert.title, alert.detector, alert.severity.name()));
    if let Some(technique) = &alert.technique {
        line("ATT&CK", &format!("{} {} ({})", technique.id, technique.name, technique.tactic));
    }
    let doubt = if alert.spoofable { " (may be a lie: no answer from it was needed)" } else { "" };
    let source = match (&alert.source, alert.sources) {
        (Some(source), None) => format!("{source}{doubt}"),
        (Some(source), Some(more)) => format!("{source} and others, {more} in all{doubt}"),
        (None, Some(many)) => format!("{many} sources{doubt}"),
        (None, None) => "nobody can be named".to_owned(),
    };
    line("source", &source);
    let shown = alert.targets.join(", ");
    let more = alert.target_count.saturating_sub(alert.targets.len() as u64);
    line("target", &if more > 0 { format!("{shown} and {more} more") } else { shown });
    let service = [alert.protocol.clone(), alert.port.map(|port| port.to_string())];
    line("service", &service.into_iter().flatten().collect::<Vec<_>>().join(" "));
    line("about", alert.subject.as_deref().unwrap_or_default());
    line("process", alert.process.as_deref().unwrap_or_default());
    line("interface", alert.interface.as_deref().unwrap_or_default());
    let seen = (to_the_second(&alert.first_seen), to_the_second(&alert.last_seen));
    line("seen", &format!("{} to {}, {} signs, {}", seen.0, seen.1, alert.signs, mark(alert)));
    line("hosts", &alert.hosts.join(", "));
    let figures: Vec<String> =
        alert.evidence.figures.iter().map(|(name, value)| format!("{name} {}", figure(*value))).collect();
    line("figures", &figures.join(", "));
    for (index, sample) in alert.evidence.samples.iter().enumerate() {
        line(if index == 0 { "such as" } else { "" }, sample);
    }
    let flows: Vec<String> = alert.evidence.flows.iter().map(u64::to_string).collect();
    line("flows", &flows.join(", "));
    if let Some(of) = &alert.evidence.owners {
        line("asked", &format!("{} that saw it: {}", hosts(of.answer.known), of.answer.words()));
        for owner in &of.owners {
            let numbers: Vec<String> = owner.flow_ids.iter().map(u64::to_string).collect();
            let told = (units::count(owner.flows), units::count(owner.packets), units::bytes(owner.bytes));
            line(
                "",
                &format!(
                    "{}: {} flows, the latest {} packets and {} in {}",
                    owner.host,
                    told.0,
                    told.1,
                    told.2,
                    numbers.join(", ")
                ),
            );
        }
        of.answer.missing_lines().iter().for_each(|missing| line("", missing));
    }
    line("capture", alert.evidence.capture.as_deref().unwrap_or_default());
    if let Some(seen) = &alert.acknowledged {
        line("acknowledged", &format!("{} by {}: {}", to_the_second(&seen.at), seen.by, seen.note));
    }
    line("silenced", alert.silenced_until.as_deref().unwrap_or_default());
    if let Some(response) = &alert.response {
        line("response", &format!("{} {}: {}", response.action, response.outcome, response.reason));
        line("undone by", response.undo.as_deref().unwrap_or_default());
    }
    page
}

/// One line a mute.
pub fn render_mutes(mutes: &[Mute], width: Option<usize>) -> String {
    let columns = [
        left("ID", 1),
        Column { cut: false, ..left("ACTION", 0) },
        left("OF", 0),
        left("UNTIL", 1),
        left("BY", 2),
        right("HITS", 2),
        left("NOTE", 0),
    ];
    let rows: Vec<Vec<String>> = mutes
        .iter()
        .map(|mute| {
            let of = &mute.of;
            let port = of.port.map(|port| port.to_string());
            let parts = [
                ("detector", &of.detector),
                ("source", &of.source),
                ("target", &of.target),
                ("port", &port),
                ("about", &of.subject),
            ];
            let words = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
            vec![
                mute.id.clone(),
                if mute.action == MuteAction::Silence { "silence" } else { "exclude" }.to_owned(),
                words.collect::<Vec<_>>().join(", "),
                mute.until.as_deref().map_or_else(|| "for good".to_owned(), to_the_second),
                mute.by.clone(),
                mute.hits.to_string(),
                mute.note.clone(),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}

/// One line a detector.
pub fn render_detectors(detectors: &[DetectorRow], width: Option<usize>) -> String {
    let columns = [
        Column { cut: false, ..left("DETECTOR", 0) },
        left("ON", 1),
        left("SEVERITY", 3),
        left("ATT&CK", 4),
        right("SIGNS", 2),
        right("HELD", 5),
        left("THRESHOLDS", 0),
        left("SEES", 0),
    ];
    let rows: Vec<Vec<String>> = detectors
        .iter()
        .map(|row| {
            let thresholds: Vec<String> =
                row.thresholds.iter().map(|(name, value)| format!("{name}={value}")).collect();
            vec![
                row.name.clone(),
                if row.on { "yes" } else { "no" }.to_owned(),
                row.severity.name().to_owned(),
                row.technique.as_ref().map_or_else(|| "-".to_owned(), |technique| technique.id.clone()),
                row.signs.to_string(),
                row.entries.to_string(),
                thresholds.join(" "),
                row.sees.clone(),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}
