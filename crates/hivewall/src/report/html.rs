//! The report as one HTML file: no script, no request to anywhere, readable in the dark, printable.
//!
//! Invariant: everything that comes from the network is escaped.

use std::fmt::{self, Write as _};

use hivewall_view::alerts::{Alert, AlertState, Severity};
use hivewall_view::time::to_the_second;
use hivewall_view::{SeriesPage, TopPage, units};

use super::{ROWS, Report};

/// Alerts in full.
const ALERTS_SHOWN: usize = 50;
const WIDE: f64 = 960.0;
const HIGH: f64 = 180.0;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2530; --dim: #5b6875; --line: #d9dfe5; --paper: #fff; --soft: #f4f6f8;
  --bar: #2f6fb3; --critical: #a3122f; --high: #c4480f; --medium: #8a6500; --low: #2f6fb3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --dim: #9aa7b3; --line: #36414c; --paper: #151b21;
  --soft: #1e262e; --bar: #6aa9e9; --critical: #ff8095; --high: #ff9d66; --medium: #e5bf4f; --low: #8dbdf0; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.dim { color: var(--dim); } .lead { font-size: 1.15rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.k { overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 0 2.5rem; }
.s { font-weight: 600; white-space: nowrap; } .critical { color: var(--critical); } .high { color: var(--high); }
.medium { color: var(--medium); } .low, .info { color: var(--low); }
.share { display: block; height: .35rem; background: var(--bar); border-radius: .2rem; min-width: 1px; }
svg { width: 100%; height: auto; } svg text { fill: var(--dim); font: 11px system-ui, sans-serif; }
svg .area { fill: var(--bar); opacity: .25; } svg .line { fill: none; stroke: var(--bar); stroke-width: 1.5; }
svg .axis { stroke: var(--line); } .cards { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.2rem 0; }
.card { background: var(--soft); border-radius: .5rem; padding: .6rem 1rem; min-width: 7rem; }
.card b { display: block; font-size: 1.5rem; }
";

/// Text as HTML.
struct Safe<'a>(&'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() && c != '\n' => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let name = Safe(&report.snapshot.host.name);
    let mut page = String::with_capacity(64 * 1024);
    // Writing to a string cannot fail; here and below.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{name}: the last {}</title><style>{STYLE}</style></head><body>\n\
         <h1>{name}</h1><p class=\"dim\">The last {}, as of {}; hivewall {}</p>\n<p class=\"lead\">{}</p>\n",
        Safe(&report.span),
        Safe(&report.span),
        Safe(&to_the_second(&report.snapshot.time)),
        Safe(&report.snapshot.host.version),
        Safe(&report.headline()),
    );
    cards(report, &mut page);
    if let Some(series) = &report.traffic {
        let _ = write!(page, "<h2>Traffic</h2>\n{}", chart(series));
    }
    alerts(report, &mut page);
    page.push_str("<div class=\"grid\">\n");
    for (title, top) in report.tops.iter().filter(|(_, top)| !top.rows.is_empty()) {
        table(title, top, &mut page);
    }
    page.push_str("</div>\n");
    state(report, &mut page);
    page.push_str("</body></html>\n");
    page
}

fn cards(report: &Report, page: &mut String) {
    let flows: u64 = report.traffic.iter().flat_map(|series| &series.points).map(|point| point.flows).sum();
    let bytes: u64 = report.traffic.iter().flat_map(|series| &series.points).map(|point| point.bytes).sum();
    let mut cards = vec![
        ("critical", report.count(Severity::Critical).to_string()),
        ("high", report.count(Severity::High).to_string()),
        ("medium", report.count(Severity::Medium).to_string()),
        ("low", report.count(Severity::Low).to_string()),
    ];
    if report.traffic.is_some() {
        cards.extend([("traffic", units::bytes(bytes)), ("flows", units::count(flows))]);
    }
    page.push_str("<div class=\"cards\">");
    for (name, value) in cards {
        let _ = write!(page, "<div class=\"card\"><b class=\"{name}\">{}</b>{name}</div>", Safe(&value));
    }
    page.push_str("</div>\n");
}

/// Bits a second over time.
fn chart(series: &SeriesPage) -> String {
    let step = series.step_seconds.max(1.0);
    let rates: Vec<f64> = series.points.iter().map(|point| point.bytes as f64 * 8.0 / step).collect();
    let top = rates.iter().copied().fold(0.0, f64::max);
    if rates.len() < 2 || top <= 0.0 {
        return "<p class=\"dim\">There was no traffic in this time, as far as history goes.</p>\n".to_owned();
    }
    let x = |at: usize| at as f64 * WIDE / (rates.len() - 1) as f64;
    let y = |rate: f64| HIGH - rate / top * (HIGH - 16.0);
    let mut line = String::new();
    for (at, rate) in rates.iter().enumerate() {
        let _ = write!(line, "{}{:.1},{:.1}", if at == 0 { "M" } else { " L" }, x(at), y(*rate));
    }
    let when = |at: usize| series.points.get(at).map_or_else(String::new, |point| to_the_second(&point.time));
    format!(
        "<svg viewBox=\"0 0 {WIDE} {:.0}\" role=\"img\" aria-label=\"Traffic over time, at most {}\">\
         <path class=\"area\" d=\"{line} L{WIDE},{HIGH} L0,{HIGH} Z\"/><path class=\"line\" d=\"{line}\"/>\
         <line class=\"axis\" x1=\"0\" y1=\"{HIGH}\" x2=\"{WIDE}\" y2=\"{HIGH}\"/>\
         <text x=\"0\" y=\"12\">{}</text><text x=\"0\" y=\"{:.0}\">{}</text>\
         <text x=\"{WIDE}\" y=\"{:.0}\" text-anchor=\"end\">{}</text></svg>\n",
        HIGH + 20.0,
        Safe(&units::rate(top)),
        Safe(&units::rate(top)),
        HIGH + 15.0,
        Safe(&when(0)),
        HIGH + 15.0,
        Safe(&when(rates.len() - 1)),
    )
}

fn alerts(report: &Report, page: &mut String) {
    let _ = writeln!(page, "<h2>Alerts</h2>");
    if report.alerts.is_empty() {
        page.push_str("<p class=\"dim\">None.</p>\n");
        return;
    }
    let mut all: Vec<&Alert> = report.alerts.iter().collect();
    all.sort_by_key(|alert| (alert.acknowledged.is_some(), std::cmp::Reverse(alert.severity)));
    page.push_str(
        "<table><tr><th>Severity</th><th>What</th><th class=\"n\">From</th><th class=\"n\">Until</th></tr>\n",
    );
    for alert in all.iter().take(ALERTS_SHOWN) {
        let severity = alert.severity.name();
        let mut notes = vec![alert.id.clone()];
        notes.extend(alert.technique.as_ref().map(|technique| technique.id.clone()));
        notes.extend(alert.response.as_ref().map(|response| format!("{} {}", response.action, response.outcome)));
        notes.extend(alert.acknowledged.as_ref().map(|seen| format!("acknowledged by {}", seen.by)));
        let until = match alert.state {
            AlertState::Active => "goes on".to_owned(),
            AlertState::Ended => to_the_second(&alert.last_seen),
        };
        let _ = writeln!(
            page,
            "<tr><td class=\"s {severity}\">{severity}</td><td class=\"k\">{}: {}<br><span class=\"dim\">{}</span></td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Safe(&alert.title),
            Safe(&alert.message),
            Safe(&notes.join(" · ")),
            Safe(&to_the_second(&alert.first_seen)),
            Safe(&until),
        );
    }
    page.push_str("</table>\n");
    let more = report.alerts_matched.saturating_sub(ALERTS_SHOWN.min(all.len()) as u64);
    if more > 0 {
        let _ =
            writeln!(page, "<p class=\"dim\">and {more} more: hivewall alerts --all --last {}</p>", Safe(&report.span));
    }
}

fn table(title: &str, top: &TopPage, page: &mut String) {
    let most = top.rows.iter().map(|row| row.bytes).max().unwrap_or(1).max(1);
    let _ = writeln!(
        page,
        "<section><h2>{}</h2><table><tr><th>Name</th><th class=\"n\">Traffic</th><th class=\"n\">Flows</th></tr>",
        Safe(title)
    );
    for row in top.rows.iter().take(ROWS) {
        let _ = writeln!(
            page,
            "<tr><td class=\"k\">{}<span class=\"share\" style=\"width:{:.1}%\"></span></td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Safe(&row.key),
            row.bytes as f64 * 100.0 / most as f64,
            Safe(&units::bytes(row.bytes)),
            Safe(&units::count(row.flows)),
        );
    }
    page.push_str("</table></section>\n");
}

fn state(report: &Report, page: &mut String) {
    let snapshot = &report.snapshot;
    let policy = &snapshot.firewall_rules;
    let mut rows: Vec<(&str, String)> = Vec::new();
    rows.push((
        "Policy",
        match policy.name.as_str() {
            "" => "none in force".to_owned(),
            name => format!("{name} version {}, {}; {} bans", policy.version, policy.mode, policy.bans_total),
        },
    ));
    rows.extend(policy.failures.iter().map(|failure| ("", failure.detail.clone())));
    if let Some(fleet) = &report.fleet {
        rows.push(("Fleet", format!("{} members listed", fleet.members.len())));
    }
    for (name, load) in &snapshot.interface_utilization {
        rows.push((
            "Interface",
            format!(
                "{name}: {} in, {} out",
                units::rate(load.in_bits_per_second),
                units::rate(load.out_bits_per_second)
            ),
        ));
    }
    let lost: u64 = snapshot.losses.values().map(|loss| loss.packets).sum();
    rows.push(("Losses", format!("{} packets not seen since the agent began", units::count(lost))));
    rows.extend(report.missing.iter().map(|missing| ("Not on this page", missing.clone())));
    page.push_str("<h2>Now</h2><table>\n");
    for (name, value) in rows {
        let _ = writeln!(page, "<tr><th>{}</th><td class=\"k\">{}</td></tr>", Safe(name), Safe(&value));
    }
    page.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_the_network_is_no_markup() {
        let shown = Safe("<script>alert('x')</script>&\"\u{1b}").to_string();
        assert_eq!(shown, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}");
        let report = Report {
            span: "7d".to_owned(),
            snapshot: hivewall_view::Snapshot::default(),
            fleet: None,
            traffic: None,
            tops: Vec::new(),
            alerts: vec![Alert { message: "<img src=x>".to_owned(), ..Alert::default() }],
            alerts_matched: 1,
            missing: vec!["<b>".to_owned()],
        };
        let page = page(&report);
        assert!(
            !page.contains("<img") && !page.contains("<b>&lt;b&gt;</b>") && page.contains("&lt;img src=x&gt;"),
            "{page}"
        );
    }
}
