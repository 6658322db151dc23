//! Who is told of alerts: the channels of the settings, and how they fare.
//!
//! Delivery itself is `hivewall_notify`'s. Invariant: whoever raises an alert never waits for a receiver.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hivewall_config::Config;
use hivewall_detect::Change;
use hivewall_notify::{Channel, ChannelCounters, Notifier};
use hivewall_view::alerts::{Alert, AlertOutcome, ChannelRow, ChannelTest};

/// How long messages under way may take once the agent stops; what is left waits on disk.
const GOODBYE: Duration = Duration::from_secs(2);

/// The channels at work. Clones share.
#[derive(Clone)]
pub(crate) struct Delivery(Arc<Notifier>);

/// The channels of the settings. Read before anything is started: a mistake is told at once.
pub(crate) fn channels(config: &Config) -> anyhow::Result<Vec<Channel>> {
    let lines = config.alerts.channels.iter().map(hivewall_config::Word::as_str);
    Ok(lines.map(Channel::parse).collect::<Result<_, _>>()?)
}

impl Delivery {
    /// Starts a thread for each channel; what waits is kept in this directory.
    pub(crate) fn start(channels: Vec<Channel>, directory: Option<&Path>) -> anyhow::Result<Self> {
        let queues = directory.map(|directory| directory.join("delivery"));
        Ok(Self(Arc::new(Notifier::start(channels, queues.as_deref())?)))
    }

    pub(super) fn tell(&self, alert: &Alert, change: Change) {
        let change = match change {
            Change::Raised => hivewall_notify::Change::Raised,
            Change::Worsened => hivewall_notify::Change::Worsened,
            Change::Ended => hivewall_notify::Change::Ended,
            Change::Updated => return,
        };
        self.0.tell(alert, change);
    }

    /// Tries channels. Blocks for some seconds at the most.
    pub(super) fn test(&self, channel: Option<&str>) -> AlertOutcome {
        let tests: Vec<ChannelTest> = self.0.test(channel).into_iter().map(tested).collect();
        let failed = tests.iter().filter(|test| test.error.is_some()).count();
        let message = format!("{} of {} channels delivered the test alert", tests.len() - failed, tests.len());
        AlertOutcome { message, tests, ..AlertOutcome::default() }
    }

    pub(super) fn rows(&self) -> Vec<ChannelRow> {
        self.0.counters().iter().map(row).collect()
    }

    /// Sends what can be sent.
    pub(super) fn close(self) {
        if let Ok(notifier) = Arc::try_unwrap(self.0) {
            let left = notifier.close(GOODBYE);
            if left > 0 {
                tracing::warn!(left, "alerts are not delivered yet; they wait for the next start");
            }
        }
    }
}

fn tested((channel, outcome): (String, Result<Duration, String>)) -> ChannelTest {
    match outcome {
        Ok(took) => ChannelTest { channel, error: None, seconds: took.as_secs_f64() },
        Err(error) => ChannelTest { channel, error: Some(error), seconds: 0.0 },
    }
}

fn row(counters: &ChannelCounters) -> ChannelRow {
    let lost = counters.lost_intake_full + counters.lost_queue_full + counters.lost_corrupt + counters.lost_unwritten;
    let counts = [
        ("taken", counters.taken),
        ("delivered", counters.delivered),
        ("retried", counters.retried.values().sum()),
        ("failed", counters.failed.values().sum()),
        ("lost", lost),
        ("grouped", counters.grouped),
        ("summed_up", counters.summed_up),
        ("suppressed", counters.below_min + counters.silenced + counters.ends_unwanted),
    ];
    ChannelRow {
        channel: counters.channel.clone(),
        counts: counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect::<BTreeMap<_, _>>(),
        queued: counters.queued,
        last_error: counters.last_error.as_ref().map(|(when, why)| format!("{when}: {why}")),
        last_success: counters.last_success.clone(),
    }
}
