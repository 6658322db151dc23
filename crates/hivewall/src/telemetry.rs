//! Push of metrics and alerts to an OpenTelemetry collector. The form is `hivewall_otlp`'s.
//!
//! A thread of its own scrapes as a server of Prometheus would. Invariant: nobody waits for the collector.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::bail;
use hivewall_api::{MetricKind, Scraped, Scraper};
use hivewall_config::Config;
use hivewall_otlp::{Family, Kind, Otlp, OtlpOptions, Sample, Value};
use hivewall_outbound::HttpOptions;
use hivewall_view::alerts::Alert;

/// Longest that a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take once the agent stops.
const GOODBYE: Duration = Duration::from_secs(2);

/// Who pushes alerts. Clones share.
pub(crate) type Alerts = Arc<Mutex<Option<Otlp>>>;

/// The push at work; it ends when this goes.
pub(crate) struct Telemetry {
    otlp: Alerts,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is configured; none where nothing is pushed.
pub(crate) fn options(config: &Config) -> anyhow::Result<Option<OtlpOptions>> {
    let endpoint = match config.otlp.endpoint.as_slice() {
        [] => return Ok(None),
        [endpoint] => endpoint.as_str().to_owned(),
        more => bail!("`otlp.endpoint` names {} collectors; give one, which can pass on to others", more.len()),
    };
    let host = crate::system::host_info(&config.agent.name);
    let attribute = |name: &str, value: String| (name.to_owned(), value);
    let resource = vec![
        attribute("service.name", "hivewall".to_owned()),
        attribute("service.version", host.version),
        attribute("host.name", host.name),
    ];
    let http = HttpOptions { timeout: TIMEOUT, ca_file: None, credentials: None };
    Ok(Some(OtlpOptions { endpoint, http, gzip: true, resource, retry: None }))
}

impl Telemetry {
    /// Begins to push what `source` knows.
    pub(crate) fn start(
        options: &OtlpOptions,
        interval: Duration,
        source: Arc<dyn hivewall_api::Source>,
    ) -> anyhow::Result<Self> {
        let otlp: Alerts = Arc::new(Mutex::new(Some(Otlp::start(options)?)));
        let stop = Arc::new(AtomicBool::new(false));
        let (pushed, over) = (Arc::clone(&otlp), Arc::clone(&stop));
        let work = move || {
            let scraper = Scraper::new(source);
            while !over.load(Ordering::Relaxed) {
                std::thread::park_timeout(interval);
                let families: Vec<Family> = scraper.scrape().iter().map(family).collect();
                if let Some(otlp) = pushed.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                    otlp.metrics(&families);
                }
            }
        };
        let thread = std::thread::Builder::new().name("telemetry".to_owned()).spawn(work)?;
        Ok(Self { otlp, stop, thread: Some(thread) })
    }

    /// For who has alerts.
    pub(crate) fn alerts(&self) -> Alerts {
        Arc::clone(&self.otlp)
    }
}

/// Pushes an alert, unless the push has ended.
pub(crate) fn push(alerts: &Alerts, alert: &Alert, change: &str) {
    if let Some(otlp) = alerts.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        otlp.alert(alert, change);
    }
}

fn family(scraped: &Scraped) -> Family {
    let metric = scraped.metric;
    let sample = |(labels, value): &(Vec<String>, f64)| Sample {
        labels: metric.labels.iter().map(|name| (*name).to_owned()).zip(labels.iter().cloned()).collect(),
        value: Value::Number(*value),
    };
    Family {
        name: metric.name.to_owned(),
        kind: if metric.kind == MetricKind::Counter { Kind::Counter } else { Kind::Gauge },
        help: metric.help.to_owned(),
        unit: match metric.unit {
            "bytes" => "By".to_owned(),
            "seconds" => "s".to_owned(),
            "1" => "1".to_owned(),
            other => format!("{{{other}}}"),
        },
        samples: scraped.samples.iter().map(sample).collect(),
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        if let Some(otlp) = self.otlp.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let left = otlp.close(GOODBYE);
            if left > 0 {
                tracing::warn!(left, "telemetry was not delivered when the agent stopped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_collector_is_pushed_to_and_two_are_refused() {
        let mut config = Config::default();
        assert!(options(&config).unwrap().is_none());
        config.otlp.endpoint = vec!["http://192.0.2.9:4318".parse().unwrap()];
        let found = options(&config).unwrap().unwrap();
        assert_eq!(found.endpoint, "http://192.0.2.9:4318");
        assert!(found.resource.iter().any(|(name, value)| name == "service.name" && value == "hivewall"));
        config.otlp.endpoint.push("http://192.0.2.8:4318".parse().unwrap());
        assert!(options(&config).unwrap_err().to_string().contains("give one"));
    }
}
