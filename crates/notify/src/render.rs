//! A message in words: for mail, chat and logs. All text of alerts may come from the network: control characters are
//! taken out here, and what a form needs escaped is escaped where that form is made.

use std::fmt::Write as _;

use hivewall_view::alerts::Alert;
use minijinja::HtmlEscape;

use crate::message::{Change, Listed, Message};

/// Text in one line without control characters.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `1,234`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Message {
    /// One line: how bad, where, what.
    pub(crate) fn subject(&self) -> String {
        let severity = self.severity.name().to_uppercase();
        let test = if self.test { "TEST " } else { "" };
        let what = match self.alerts.as_slice() {
            [one] if self.total == 1 => format!("{}{}", one.alert.title, one.aside()),
            _ => format!("{} alerts ({})", thousands(self.total), self.by_detector()),
        };
        line(&format!("[hivewall] {test}{severity} on {}: {what}", self.host))
    }

    /// `port_scan 1,200, brute_force 34`, the most first.
    pub(crate) fn by_detector(&self) -> String {
        let mut counts: Vec<_> = self.detectors.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let words: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {}", thousands(**count))).collect();
        line(&words.join(", "))
    }

    /// `and 1,234 more (…)`, when there are more than are listed.
    pub(crate) fn and_more(&self) -> Option<String> {
        (self.more > 0).then(|| {
            let (more, all, host) = (thousands(self.more), self.by_detector(), line(&self.host));
            format!("and {more} more (in all: {all}); `hivewall alerts` on {host} lists them")
        })
    }

    /// For people, as plain text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for listed in &self.alerts {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(text, "{}", listed.head());
            let _ = writeln!(text, "{}", line(&listed.alert.message));
            for (name, value) in facts(&listed.alert) {
                let _ = writeln!(text, "  {name}: {value}");
            }
            text.push('\n');
        }
        if let Some(more) = self.and_more() {
            let _ = writeln!(text, "{more}");
        }
        text
    }

    /// For people, as HTML.
    pub(crate) fn html(&self) -> String {
        let mut html = "<!doctype html><html><body style=\"font-family:sans-serif\">".to_owned();
        for listed in &self.alerts {
            let _ = write!(html, "<h3>{}</h3>", HtmlEscape(&listed.head()));
            let _ = write!(html, "<p>{}</p><table>", HtmlEscape(&line(&listed.alert.message)));
            for (name, value) in facts(&listed.alert) {
                let (name, value) = (HtmlEscape(name), HtmlEscape(&value));
                let _ = write!(html, "<tr><td style=\"color:#666;padding-right:1em\">{name}</td><td>{value}</td></tr>");
            }
            html.push_str("</table>");
        }
        if let Some(more) = self.and_more() {
            let _ = write!(html, "<p>{}</p>", HtmlEscape(&more));
        }
        html.push_str("</body></html>\n");
        html
    }
}

impl Listed {
    /// How bad, what, where, and whether it is new.
    pub(crate) fn head(&self) -> String {
        let Alert { severity, title, host, .. } = &self.alert;
        line(&format!("{} {title} on {host}{}", severity.name().to_uppercase(), self.aside()))
    }

    fn aside(&self) -> &'static str {
        match self.change {
            Change::Raised => "",
            Change::Worsened => " (worse)",
            Change::Ended => " (ended)",
        }
    }
}

/// What an alert says beside its sentence, with names, without what is empty.
fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let mut targets = alert.targets.join(", ");
    if alert.target_count > alert.targets.len() as u64 {
        let _ = write!(targets, " and {} more", thousands(alert.target_count - alert.targets.len() as u64));
    }
    let source = alert.source.clone().unwrap_or_default();
    let source = if alert.spoofable && !source.is_empty() { format!("{source} (may be spoofed)") } else { source };
    let technique = alert.technique.as_ref().map(|technique| format!("{} {}", technique.id, technique.name));
    let figures: Vec<_> = alert.evidence.figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let response = alert.response.as_ref().map(|response| {
        let undo = response.undo.as_ref().map(|undo| format!("; undo with `{undo}`")).unwrap_or_default();
        format!("{} {}: {}{undo}", response.action, response.outcome, response.reason)
    });
    let facts = [
        ("source", source),
        ("target", targets),
        ("port", alert.port.map(|port| port.to_string()).unwrap_or_default()),
        ("process", alert.process.clone().unwrap_or_default()),
        ("first seen", alert.first_seen.clone()),
        ("last seen", alert.last_seen.clone()),
        ("technique", technique.unwrap_or_default()),
        ("evidence", figures.join(", ")),
        ("response", response.unwrap_or_default()),
        ("alert", format!("{} ({})", alert.id, alert.detector)),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, line(&value))).collect()
}
