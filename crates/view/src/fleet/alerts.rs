//! Alerts of all hosts of a fleet: the same alert on many hosts is one row that names them. Deliberately not here: how hosts are asked.
//!
//! Invariant: a row counts every host that raised it, however many it names.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FleetAnswer, named};
use crate::alerts::{Alert, AlertPage, AlertQuery, AlertState, Severity};
use crate::query::LIMIT_MAX;
use crate::table::{Align, Column, render};
use crate::time::to_the_second;

/// Most hosts named in one row.
pub const ALERT_HOSTS_SHOWN: usize = 64;

/// Alerts of all hosts (`GET /api/v1/fleet/alerts`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetAlertPage {
    /// When it was answered, RFC 3339, UTC.
    pub time: String,
    /// Who answered.
    pub answer: FleetAnswer,
    /// Alerts that match at the hosts that answered, those of one row each counted.
    pub matched: u64,
    /// The rows, the latest first.
    pub alerts: Vec<FleetAlertRow>,
}

/// One alert, over all hosts that raised it: what is the same are detector, source, subject and port, and the targets where nobody can be
/// named as the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetAlertRow {
    /// Hosts that raised it.
    pub raised_by_total: u64,
    /// Those with the worst first, at most [`ALERT_HOSTS_SHOWN`].
    pub raised_by: Vec<FleetAlertHost>,
    /// Signs of all of them.
    pub signs_total: u64,
    /// First sign at any host, RFC 3339.
    pub first_at: String,
    /// The alert as the first of the hosts has it.
    pub alert: Alert,
}

/// A host that raised an alert.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetAlertHost {
    /// Name of the host.
    pub host: String,
    /// Its id.
    pub host_id: String,
    /// Id of the alert there.
    pub alert_id: String,
    /// How bad there.
    pub severity: Severity,
    /// Whether it goes on there.
    pub state: AlertState,
    /// Latest sign there, RFC 3339.
    pub last_seen: String,
    /// What was done about it there: `ban done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
}

type Key = (String, Option<String>, Option<String>, Option<u16>, Vec<String>);

fn key(alert: &Alert) -> Key {
    // Who cannot be named is told apart by whom they did it to.
    let targets = if alert.source.is_none() { alert.targets.clone() } else { Vec::new() };
    (alert.detector.clone(), alert.source.clone(), alert.subject.clone(), alert.port, targets)
}

/// What each host is asked: as much as is shown, since any of its alerts may be a row of its own.
pub fn alerts_of_each_host(query: &AlertQuery) -> AlertQuery {
    AlertQuery { limit: query.limit.min(LIMIT_MAX), ..query.clone() }
}

/// The page that was asked for, of what hosts answered: id, name, page.
pub fn merge_alerts(
    query: &AlertQuery,
    time: String,
    answer: FleetAnswer,
    pages: impl IntoIterator<Item = (String, String, AlertPage)>,
) -> FleetAlertPage {
    let mut groups: BTreeMap<Key, Vec<(FleetAlertHost, Alert)>> = BTreeMap::new();
    let mut matched = 0;
    for (host_id, host, page) in pages {
        matched += page.matched;
        for alert in page.alerts {
            let row = FleetAlertHost {
                host: named(&host, &host_id),
                host_id: host_id.clone(),
                alert_id: alert.id.clone(),
                severity: alert.severity,
                state: alert.state,
                last_seen: alert.last_seen.clone(),
                response: alert.response.as_ref().map(|done| format!("{} {}", done.action, done.outcome)),
            };
            groups.entry(key(&alert)).or_default().push((row, alert));
        }
    }
    let mut alerts: Vec<FleetAlertRow> = groups.into_values().filter_map(row).collect();
    // RFC 3339 in UTC with as many digits everywhere: the order of texts is the order of times.
    alerts.sort_by(|one, other| {
        let latest = |row: &FleetAlertRow| Reverse(row.alert.last_seen.clone());
        (latest(one), &one.alert.id).cmp(&(latest(other), &other.alert.id))
    });
    alerts.truncate(query.limit);
    FleetAlertPage { time, answer, matched, alerts }
}

/// One row of what hosts say of one alert. A host that raised it twice is one host.
fn row(mut all: Vec<(FleetAlertHost, Alert)>) -> Option<FleetAlertRow> {
    let rank = |(host, alert): &(FleetAlertHost, Alert)| {
        (alert.state == AlertState::Ended, Reverse(alert.severity), Reverse(alert.last_seen.clone()), host.host.clone())
    };
    all.sort_by_cached_key(rank);
    let signs_total = all.iter().map(|(_, alert)| alert.signs).sum();
    let first_at = all.iter().map(|(_, alert)| alert.first_seen.clone()).min()?;
    let last_seen = all.iter().map(|(_, alert)| alert.last_seen.clone()).max()?;
    let mut hosts = std::collections::BTreeSet::new();
    all.retain(|(host, _)| hosts.insert(host.host_id.clone()));
    let alert = Alert { last_seen, ..all.first()?.1.clone() };
    let raised_by_total = all.len() as u64;
    let raised_by = all.into_iter().take(ALERT_HOSTS_SHOWN).map(|(host, _)| host).collect();
    Some(FleetAlertRow { raised_by_total, raised_by, signs_total, first_at, alert })
}

const fn left(title: &'static str, rank: u8) -> Column {
    Column { title, align: Align::Left, rank, cut: rank == 0 }
}

/// One line an alert, with the hosts that raised it.
pub fn render_fleet_alerts(alerts: &[FleetAlertRow], width: Option<usize>) -> String {
    let columns = [
        left("SEEN", 3),
        Column { cut: false, ..left("SEVERITY", 0) },
        Column { cut: false, ..left("DETECTOR", 0) },
        left("SOURCE", 2),
        left("HOSTS", 1),
        left("ID", 3),
        left("WHAT", 0),
    ];
    let rows: Vec<Vec<String>> = alerts
        .iter()
        .map(|row| {
            vec![
                to_the_second(&row.alert.last_seen),
                row.alert.severity.name().to_owned(),
                row.alert.detector.clone(),
                row.alert.source.clone().unwrap_or_else(|| "-".to_owned()),
                hosts_in_words(row),
                row.alert.id.clone(),
                row.alert.message.clone(),
            ]
        })
        .collect();
    render(&columns, &rows, width)
}

/// `web-1`, or `web-1, web-2 and 6 more`.
fn hosts_in_words(row: &FleetAlertRow) -> String {
    let shown: Vec<&str> = row.raised_by.iter().take(2).map(|host| host.host.as_str()).collect();
    let more = row.raised_by_total.saturating_sub(shown.len() as u64);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: &str, source: Option<&str>, second: u8, severity: Severity) -> Alert {
        Alert {
            id: id.to_owned(),
            detector: "port_scan".to_owned(),
            source: source.map(str::to_owned),
            severity,
            targets: vec![format!("10.0.0.{second}")],
            first_seen: format!("2026-11-27T10:00:{:02}.000000Z", second - 1),
            last_seen: format!("2026-11-27T10:00:{second:02}.000000Z"),
            signs: 2,
            message: "a scan".to_owned(),
            ..Alert::default()
        }
    }

    fn page(host: &str, alerts: Vec<Alert>) -> (String, String, AlertPage) {
        let matched = alerts.len() as u64;
        (format!("{host}00"), host.to_owned(), AlertPage { alerts, matched, ..AlertPage::default() })
    }

    fn merged(limit: usize, pages: Vec<(String, String, AlertPage)>) -> FleetAlertPage {
        let query = AlertQuery { limit, ..AlertQuery::default() };
        merge_alerts(&query, String::new(), FleetAnswer::of(pages.len(), Vec::new(), 1), pages)
    }

    #[test]
    fn the_same_alert_on_many_hosts_is_one_row_that_names_them_the_worst_first() {
        let source = Some("192.0.2.7");
        let page = merged(
            50,
            vec![
                page("a", vec![alert("1", source, 10, Severity::Low)]),
                page(
                    "b",
                    vec![alert("2", source, 20, Severity::High), alert("3", Some("192.0.2.8"), 5, Severity::Low)],
                ),
                page("c", vec![alert("4", source, 30, Severity::Low), alert("5", source, 9, Severity::Low)]),
            ],
        );
        let rows: Vec<_> = page.alerts.iter().map(|row| (row.raised_by_total, row.alert.id.as_str())).collect();
        assert_eq!((page.matched, rows), (5, vec![(3, "2"), (1, "3")]));
        let first = &page.alerts[0];
        let hosts: Vec<_> = first.raised_by.iter().map(|host| (host.host.as_str(), host.alert_id.as_str())).collect();
        assert_eq!(hosts, [("b", "2"), ("c", "4"), ("a", "1")]);
        assert_eq!((first.signs_total, first.first_at.as_str()), (8, "2026-11-27T10:00:08.000000Z"));
        assert_eq!(first.alert.last_seen, "2026-11-27T10:00:30.000000Z");
        let text = render_fleet_alerts(&page.alerts, None);
        assert!(text.contains("b, c and 1 more") && text.contains("192.0.2.8"), "{text}");
    }

    #[test]
    fn where_nobody_can_be_named_the_targets_tell_alerts_apart() {
        let one = |host, second| page(host, vec![alert("1", None, second, Severity::Low)]);
        assert_eq!(merged(50, vec![one("a", 10), one("b", 20)]).alerts.len(), 2);
        assert_eq!(merged(50, vec![one("a", 10), one("b", 10)]).alerts.len(), 1);
    }

    #[test]
    fn a_page_and_the_hosts_of_a_row_have_their_limits_and_what_is_beyond_is_counted() {
        let host = |n: usize| page(&format!("h{n:03}"), vec![alert("1", Some("192.0.2.7"), 9, Severity::Low)]);
        let all = merged(50, (0..100).map(host).collect());
        assert_eq!((all.alerts[0].raised_by_total, all.alerts[0].raised_by.len()), (100, ALERT_HOSTS_SHOWN));
        let many = (1..50).map(|n| alert("1", Some(&format!("192.0.2.{n}")), n, Severity::Low)).collect();
        let few = merged(3, vec![page("a", many)]);
        assert_eq!((few.alerts.len(), few.matched), (3, 49));
        assert_eq!(few.alerts[0].alert.source.as_deref(), Some("192.0.2.49"));
    }
}
