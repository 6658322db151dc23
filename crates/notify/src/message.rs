//! What waits in a queue and what is sent: notices, and messages made of them. The JSON of webhooks and commands.

use std::collections::BTreeMap;

use hivewall_view::alerts::{Alert, Severity};
use serde::{Deserialize, Serialize};

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Raised,
    /// Its severity rose.
    Worsened,
    /// It has not been seen for its quiet time.
    Ended,
}

impl Change {
    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Worsened => "worsened",
            Self::Ended => "ended",
        }
    }
}

/// An alert and what happened to it, as it waits in a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) change: Change,
    /// When it was told, milliseconds since 1970.
    pub(crate) told_ms: u64,
    pub(crate) alert: Alert,
}

/// An alert within a message.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Listed {
    pub(crate) change: Change,
    #[serde(flatten)]
    pub(crate) alert: Alert,
}

/// What is sent at once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Message {
    /// Version of this form.
    pub(crate) version: u8,
    /// The same for every attempt, so that a receiver can tell doubles.
    pub(crate) id: String,
    /// Whether somebody tries whether messages arrive.
    pub(crate) test: bool,
    /// The host that sends.
    pub(crate) host: String,
    /// The worst of them.
    pub(crate) severity: Severity,
    /// Alerts that are listed.
    pub(crate) alerts: Vec<Listed>,
    /// Alerts in all.
    pub(crate) total: u64,
    /// Those that are not listed.
    pub(crate) more: u64,
    /// All, by detector.
    pub(crate) detectors: BTreeMap<String, u64>,
}

impl Message {
    /// One of notices in their order, at least one; the worst `list_max` of them are listed.
    pub(crate) fn of(number: u64, mut notices: Vec<Notice>, list_max: usize) -> Self {
        let total = notices.len() as u64;
        let mut detectors = BTreeMap::new();
        for notice in &notices {
            *detectors.entry(notice.alert.detector.clone()).or_default() += 1;
        }
        let host = notices.first().map(|notice| notice.alert.host.clone()).unwrap_or_default();
        let severity = notices.iter().map(|notice| notice.alert.severity).max().unwrap_or_default();
        if notices.len() > list_max {
            // Stable: among equals the order they came in stays.
            notices.sort_by_key(|notice| std::cmp::Reverse(notice.alert.severity));
            notices.truncate(list_max.max(1));
        }
        let alerts: Vec<_> =
            notices.into_iter().map(|notice| Listed { change: notice.change, alert: notice.alert }).collect();
        let more = total - alerts.len() as u64;
        Self {
            version: 1,
            id: format!("{host}-{number:x}"),
            test: false,
            host,
            severity,
            alerts,
            total,
            more,
            detectors,
        }
    }

    /// The one that `hivewall alerts test` sends.
    pub(crate) fn test(now: jiff::Timestamp) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        let alert = Alert {
            id: "000000000000".to_owned(),
            host: if host.is_empty() { "localhost".to_owned() } else { host },
            detector: "test".to_owned(),
            kind: "test".to_owned(),
            title: "Test alert".to_owned(),
            severity: Severity::Medium,
            message: "This is a test: somebody tried whether alerts arrive here. Nothing was detected.".to_owned(),
            first_seen: now.to_string(),
            last_seen: now.to_string(),
            signs: 1,
            ..Alert::default()
        };
        let number = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let notice = Notice { change: Change::Raised, told_ms: number, alert };
        let message = Self::of(number, vec![notice], 1);
        Self { test: true, id: format!("test-{}", message.id), ..message }
    }

    /// As the bytes of a request.
    pub(crate) fn json(&self) -> Vec<u8> {
        // Strings, numbers and maps with text as keys can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
