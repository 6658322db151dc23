//! The report as text.

use std::fmt::Write as _;

use hivewall_view::alerts::render_alerts;
use hivewall_view::table::clean;
use hivewall_view::time::to_the_second;
use hivewall_view::units;

use super::{ROWS, Report};
use crate::flows::{PIPE_WIDTH, width};

/// Eighths of a bar, from none to all.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One character a point, the greatest a full one.
fn spark(values: &[u64], most: usize) -> String {
    let each = values.len().div_ceil(most.max(1)).max(1);
    let sums: Vec<u64> = values.chunks(each).map(|chunk| chunk.iter().sum()).collect();
    let top = sums.iter().copied().max().unwrap_or(0).max(1);
    let bar = |value: &u64| BARS.get((value * 8).div_ceil(top) as usize).copied().unwrap_or('█');
    sums.iter().map(bar).collect()
}

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let wide = width().unwrap_or(PIPE_WIDTH);
    let host = &report.snapshot.host;
    let mut page = String::new();
    // Writing to a string cannot fail; here and below.
    let _ = writeln!(
        page,
        "{} — the last {}, as of {}\n",
        clean(&host.name),
        report.span,
        to_the_second(&report.snapshot.time)
    );
    let _ = writeln!(page, "{}", report.headline());
    for (title, severity, count, example) in report.kinds() {
        let _ = writeln!(page, "  {count:>5}  {:<8}  {title}; for example: {}", severity.name(), clean(&example));
    }
    if !report.alerts.is_empty() {
        let worst: Vec<_> =
            report.alerts.iter().filter(|alert| alert.acknowledged.is_none()).take(ROWS).cloned().collect();
        let _ = write!(
            page,
            "\nLatest alerts not acknowledged ({} in all):\n{}",
            report.alerts_matched,
            render_alerts(&worst, Some(wide))
        );
    }
    traffic(report, wide, &mut page);
    state(report, &mut page);
    for missing in &report.missing {
        let _ = writeln!(page, "\nNot on this page — {}", clean(missing));
    }
    page
}

fn traffic(report: &Report, wide: usize, page: &mut String) {
    let Some(series) = &report.traffic else { return };
    let bytes: Vec<u64> = series.points.iter().map(|point| point.bytes).collect();
    let flows: u64 = series.points.iter().map(|point| point.flows).sum();
    let _ = writeln!(
        page,
        "\nTraffic: {} in {} flows\n{}",
        units::bytes(bytes.iter().sum()),
        units::count(flows),
        spark(&bytes, wide)
    );
    for (title, top) in report.tops.iter().filter(|(_, top)| !top.rows.is_empty()) {
        let _ = writeln!(page, "\n{title}");
        for row in &top.rows {
            let _ = writeln!(
                page,
                "  {:>10}  {:>8} flows  {}",
                units::bytes(row.bytes),
                units::count(row.flows),
                clean(&row.key)
            );
        }
    }
}

fn state(report: &Report, page: &mut String) {
    let snapshot = &report.snapshot;
    let policy = &snapshot.firewall_rules;
    let _ = writeln!(page, "\nNow");
    let held = match policy.name.as_str() {
        "" => "none in force".to_owned(),
        name => format!("{} version {}, {}, {} bans", clean(name), policy.version, policy.mode, policy.bans_total),
    };
    let _ = writeln!(page, "  policy   {held}");
    for failure in &policy.failures {
        let _ = writeln!(page, "           {}", clean(&failure.detail));
    }
    if let Some(fleet) = &report.fleet {
        let _ = writeln!(page, "  fleet    {} members listed", fleet.members.len());
    }
    let lost: u64 = snapshot.losses.values().map(|loss| loss.packets).sum();
    let _ = writeln!(page, "  losses   {} packets not seen since the agent began", units::count(lost));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_bars_is_as_high_as_its_greatest_value() {
        assert_eq!(spark(&[0, 1, 4, 8], 10), " ▁▄█");
        assert_eq!(spark(&[1, 1, 2, 2], 2), "▄█");
        assert_eq!(spark(&[], 2), "");
        assert_eq!(spark(&[0, 0], 2), "  ");
    }
}
