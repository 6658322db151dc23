//! Alertmanager's API v2: what is active is said again before it would be forgotten, what ended is said once.
//!
//! The form is that of Alertmanager's OpenAPI document (`postableAlerts`). Invariant: an alert that this host no longer
//! speaks of, since it was stopped or cut off, ends there by itself after [`LIFE_IN_RESENDS`] times the resend time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hivewall_outbound::{Client, Failure, HttpOptions};
use hivewall_view::alerts::Alert;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::ChannelError;
use crate::message::{Change, Listed, Message};
use crate::render::line;
use crate::sink::Sink;

/// How often active alerts are said again, unless the line says otherwise. Alertmanager's own limit is five minutes.
const RESEND: Duration = Duration::from_secs(60);
/// An alert ends there when this many resends did not come.
const LIFE_IN_RESENDS: i32 = 4;
/// Alerts in one request.
const REQUEST_ALERTS_MAX: usize = 256;
/// Alerts that are said again. More than that are said once, and end there by themselves.
const ACTIVE_MAX: usize = 10_000;

/// What the line says.
pub(crate) struct Target {
    url: String,
    http: HttpOptions,
    resend: Duration,
}

impl Target {
    pub(crate) fn new(url: &str, http: HttpOptions, resend: Option<Duration>) -> Result<Self, ChannelError> {
        let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
        Client::new(&url, &http)?;
        Ok(Self { url, http, resend: resend.unwrap_or(RESEND).max(Duration::from_millis(10)) })
    }

    pub(crate) fn open(&self, timeout: Duration) -> Result<Alertmanager, ChannelError> {
        let client = Client::new(&self.url, &HttpOptions { timeout, ..self.http.clone() })?;
        Ok(Alertmanager {
            client,
            resend: self.resend,
            kept: Mutex::new(Kept { active: BTreeMap::new(), refresh_at: None }),
        })
    }
}

/// What has to be said again.
struct Kept {
    active: BTreeMap<String, Alert>,
    refresh_at: Option<Instant>,
}

/// One Alertmanager.
pub(crate) struct Alertmanager {
    client: Client,
    resend: Duration,
    kept: Mutex<Kept>,
}

/// One element of `postableAlerts`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Postable {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
}

impl Postable {
    fn of(alert: &Alert, ends_at: Timestamp, is_test: bool) -> Self {
        let (severity, some) = (alert.severity.name(), |text: &Option<String>| text.clone().unwrap_or_default());
        let technique = alert.technique.as_ref().map(|technique| technique.id.clone());
        let labels = [
            ("alertname", line(&alert.detector)),
            ("severity", severity.to_owned()),
            ("instance", line(&alert.host)),
            ("source", line(&some(&alert.source))),
            ("kind", line(&alert.kind)),
            ("technique", line(&some(&technique))),
            // Two alerts of one detector about one source, one after the other, are two.
            ("alert_id", line(&alert.id)),
            ("test", if is_test { "true".to_owned() } else { String::new() }),
        ];
        let listed = Listed { change: Change::Raised, alert: alert.clone() };
        let annotations = [("summary", listed.head()), ("description", line(&alert.message))];
        let starts_at: Timestamp = alert.first_seen.parse().unwrap_or(ends_at);
        Self {
            labels: labels.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            annotations: annotations.into_iter().collect(),
            // It refuses what ends before it starts.
            starts_at: starts_at.min(ends_at).to_string(),
            ends_at: ends_at.to_string(),
        }
    }
}

impl Alertmanager {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When what is said now would be forgotten.
    fn forgotten_at(&self, now: Timestamp) -> Timestamp {
        let life = SignedDuration::try_from(self.resend).unwrap_or(SignedDuration::from_mins(5)) * LIFE_IN_RESENDS;
        now.checked_add(life.max(SignedDuration::from_secs(10))).unwrap_or(now)
    }

    fn post(&self, alerts: &[Postable]) -> Result<(), Failure> {
        // Strings and maps with text as keys can always be written.
        let body = serde_json::to_vec(alerts).unwrap_or_default();
        self.client.post("application/json", &[], &body)?.judge()
    }

    /// What a change says, and what takes back what was said before under another severity.
    fn say(&self, listed: &Listed, now: Timestamp, is_test: bool, alerts: &mut Vec<Postable>) {
        let alert = &listed.alert;
        if let Some(before) = self.kept().active.get(&alert.id).filter(|before| before.severity != alert.severity) {
            alerts.push(Postable::of(before, now, false));
        }
        let ends_at = if listed.change == Change::Ended { now } else { self.forgotten_at(now) };
        alerts.push(Postable::of(alert, ends_at, is_test));
    }
}

impl Sink for Alertmanager {
    fn deliver(&self, message: &Message) -> Result<(), Failure> {
        let now = Timestamp::now();
        for chunk in message.alerts.chunks(REQUEST_ALERTS_MAX / 2) {
            // Of several changes of one alert the last holds, and Alertmanager takes a list in any order.
            let latest: BTreeMap<&str, &Listed> =
                chunk.iter().map(|listed| (listed.alert.id.as_str(), listed)).collect();
            let mut alerts = Vec::new();
            latest.values().for_each(|listed| self.say(listed, now, message.test, &mut alerts));
            self.post(&alerts)?;
            if message.test {
                continue;
            }
            let mut kept = self.kept();
            for listed in latest.into_values() {
                if listed.change == Change::Ended {
                    kept.active.remove(&listed.alert.id);
                } else if kept.active.len() < ACTIVE_MAX || kept.active.contains_key(&listed.alert.id) {
                    kept.active.insert(listed.alert.id.clone(), listed.alert.clone());
                }
            }
            if kept.active.is_empty() {
                kept.refresh_at = None;
            } else {
                kept.refresh_at.get_or_insert_with(|| Instant::now() + self.resend);
            }
        }
        Ok(())
    }

    fn refresh_at(&self) -> Option<Instant> {
        self.kept().refresh_at
    }

    fn refresh(&self) -> Result<(), Failure> {
        let now = Timestamp::now();
        let alerts: Vec<Postable> = {
            let mut kept = self.kept();
            // Set before it is said: whether it succeeds or not, the next time is the next time.
            kept.refresh_at = Some(Instant::now() + self.resend);
            kept.active.values().map(|alert| Postable::of(alert, self.forgotten_at(now), false)).collect()
        };
        alerts.chunks(REQUEST_ALERTS_MAX).try_for_each(|chunk| self.post(chunk))
    }

    fn active(&self) -> u64 {
        self.kept().active.len() as u64
    }
}
