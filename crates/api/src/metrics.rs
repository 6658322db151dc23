//! Metrics for Prometheus, built from the latest snapshot at each scrape. Deliberately not here: any state; a counter
//! is what the engine counted (and one that can be taken back there is kept from falling by `state`). Invariant: [`METRICS`] is the only list; what is served, and the reference page, come
//! from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hivewall_view::fleet::FleetView;
use hivewall_view::{Latency, Snapshot};
use prometheus::proto::{
    Counter, Gauge, LabelPair, Metric as Sample, MetricFamily, MetricType, Quantile, Summary as SummarySample,
};
use prometheus::{TEXT_FORMAT, TextEncoder};

use crate::state::Shared;

mod alerts;
mod depth;
mod fleet;
mod openmetrics;
mod policy;
mod table;
mod traffic;

use openmetrics::Exemplar;
pub(crate) use openmetrics::is_wanted as is_open_wanted;
pub use table::METRICS;

/// Media type of the text format.
pub(crate) const CONTENT_TYPE: &str = TEXT_FORMAT;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows while the agent lives; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Quantiles, with `_sum` and `_count` that only grow.
    Summary,
}

impl MetricKind {
    /// The name Prometheus gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
        }
    }
}

/// One metric: what it is called, what it means, and where its samples come from.
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: MetricKind,
    /// What is counted; the last word of the name where that is a unit of measure, `1` for shares and yes-or-no.
    pub unit: &'static str,
    /// Its meaning, one sentence.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Appends its samples.
    read: fn(&Scrape<'_>, &mut Samples),
}

/// What samples are read from.
struct Scrape<'a> {
    snapshot: &'a Snapshot,
    /// The fleet, where this host is in one.
    fleet: Option<&'a FleetView>,
    api: &'a Shared,
}

/// What one sample says.
enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a summary.
    Latency(Latency),
}

/// Samples of one metric: label values, in the order of its label names, and what they say; and by place, one thing of what was counted.
#[derive(Default)]
struct Samples(Vec<(Vec<String>, Value)>, BTreeMap<usize, Exemplar>);

impl Samples {
    fn add(&mut self, labels: &[&str], value: f64) {
        // What is no number is no sample.
        if value.is_finite() {
            self.push(labels, Value::Number(value));
        }
    }

    fn latency(&mut self, labels: &[&str], latency: &Latency) {
        self.push(labels, Value::Latency(latency.clone()));
    }

    /// A count, and one thing of what was counted.
    fn count_of(&mut self, labels: &[&str], value: u64, exemplar: Option<Exemplar>) {
        if let Some(exemplar) = exemplar {
            self.1.insert(self.0.len(), exemplar);
        }
        self.count(labels, value);
    }

    fn push(&mut self, labels: &[&str], value: Value) {
        self.0.push((labels.iter().map(|&label| label.to_owned()).collect(), value));
    }

    /// Least, median, 95th of 100 and greatest of many; nothing of none.
    fn spread(&mut self, values: impl Iterator<Item = f64>) {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        for (name, hundredths) in [("min", 0), ("median", 50), ("p95", 95), ("max", 100)] {
            // The smallest value that at least so many of a hundred are not above.
            let rank = (values.len() * hundredths).div_ceil(100).max(1) - 1;
            if let Some(value) = values.get(rank) {
                self.add(&[name], *value);
            }
        }
    }

    /// Counts above 2⁵³ lose their last digits: the text format is read as 64-bit floating point everywhere.
    fn count(&mut self, labels: &[&str], value: u64) {
        self.add(labels, value as f64);
    }
}

/// All metrics in the text format.
pub(crate) fn text(api: &Shared) -> prometheus::Result<String> {
    let snapshot = api.source.snapshot();
    let fleet = api.source.fleet();
    let scrape = Scrape { snapshot: &snapshot, fleet: fleet.as_deref(), api };
    let families: Vec<MetricFamily> = METRICS.iter().filter_map(|metric| family(metric, &scrape)).collect();
    TextEncoder::new().encode_to_string(&families)
}

/// All metrics as OpenMetrics text, and its media type.
pub(crate) fn open_text(api: &Shared) -> (&'static str, String) {
    let snapshot = api.source.snapshot();
    let fleet = api.source.fleet();
    (openmetrics::CONTENT_TYPE, openmetrics::text(&Scrape { snapshot: &snapshot, fleet: fleet.as_deref(), api }))
}

/// A metric with its samples, for who pushes metrics rather than being scraped.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// Which metric. Summaries are not among those scraped.
    pub metric: &'static Metric,
    /// Label values in the order of the metric's label names, and the value.
    pub samples: Vec<(Vec<String>, f64)>,
}

/// Scrapes as the server does, without one. Counters that the engine can take back do not fall here either.
pub struct Scraper(Shared);

impl Scraper {
    /// Of this agent.
    pub fn new(source: std::sync::Arc<dyn crate::Source>) -> Self {
        // Nobody asks over it and nothing ends it.
        let (_, stop) = tokio::sync::watch::channel(false);
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        Self(Shared::new(source, crate::Access::none(), nowhere, stop))
    }

    /// All counters and gauges that have samples now.
    pub fn scrape(&self) -> Vec<Scraped> {
        let (snapshot, fleet) = (self.0.source.snapshot(), self.0.source.fleet());
        let scrape = Scrape { snapshot: &snapshot, fleet: fleet.as_deref(), api: &self.0 };
        let scraped = |metric: &'static Metric| {
            let mut samples = Samples::default();
            (metric.read)(&scrape, &mut samples);
            let number = |(labels, value)| match value {
                Value::Number(number) => Some((labels, number)),
                Value::Latency(_) => None,
            };
            let samples: Vec<_> = samples.0.into_iter().filter_map(number).collect();
            (!samples.is_empty()).then_some(Scraped { metric, samples })
        };
        METRICS.iter().filter_map(scraped).collect()
    }
}

impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The family of one metric; none when it has no samples, because an empty one cannot be written.
fn family(metric: &Metric, scrape: &Scrape<'_>) -> Option<MetricFamily> {
    let mut samples = Samples::default();
    (metric.read)(scrape, &mut samples);
    let samples: Vec<Sample> = samples.0.into_iter().map(|(labels, value)| sample(metric, labels, &value)).collect();
    if samples.is_empty() {
        return None;
    }
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        MetricKind::Counter => MetricType::COUNTER,
        MetricKind::Gauge => MetricType::GAUGE,
        MetricKind::Summary => MetricType::SUMMARY,
    });
    family.set_metric(samples);
    Some(family)
}

fn sample(metric: &Metric, labels: Vec<String>, value: &Value) -> Sample {
    let pairs = metric.labels.iter().zip(labels).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value);
        pair
    });
    let mut sample = Sample::from_label(pairs.collect());
    match value {
        Value::Latency(latency) => sample.set_summary(summary(latency)),
        Value::Number(value) if metric.kind == MetricKind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(*value);
            sample.set_counter(counter);
        }
        Value::Number(value) => {
            let mut gauge = Gauge::default();
            gauge.set_value(*value);
            sample.set_gauge(gauge);
        }
    }
    sample
}

fn summary(latency: &Latency) -> SummarySample {
    let quantile = |rank, seconds| {
        let mut quantile = Quantile::default();
        quantile.set_quantile(rank);
        // Nothing measured is no quantile; Prometheus writes that as NaN.
        quantile.set_value(if latency.samples > 0 { seconds } else { f64::NAN });
        quantile
    };
    let mut summary = SummarySample::default();
    summary.set_sample_count(latency.samples);
    summary.set_sample_sum(latency.sum_seconds);
    summary.set_quantile(vec![quantile(0.5, latency.median_seconds), quantile(0.95, latency.p95_seconds)]);
    summary
}

/// The reference page of all metrics, in Markdown.
pub fn metrics_reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed at `/metrics` and `/api/v1/metrics` in the text format of Prometheus. Bytes are IP\n\
         bytes (from the IP header to the end of the datagram) unless the meaning says wire bytes, which add link\n\
         headers, VLAN tags and padding. A metric without samples is left out. Addresses are a label of\n\
         `hivewall_top_talker_*`, `hivewall_peer_*` and `hivewall_half_open_target_flows` only, which never have more than\n\
         ten and `other`; server ports are one of `hivewall_service_*` only, with as many. Quantiles of summaries are over all since the start, to a factor of √2.\n\n\
         Who asks for `application/openmetrics-text`, as Prometheus does, gets the same as OpenMetrics 1.0, where `hivewall_alerts_total` and\n\
         `hivewall_responses_total` have an exemplar: `alert_id`, for `hivewall alerts show`. Round trips are summaries, which can have none.\n\n\
         | Metric | Type | Unit | Labels | Meaning |\n|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, unit) = (metric.name, metric.kind.name(), metric.unit);
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{name}` | {kind} | {unit} | {} | {} |", labels.join(", "), metric.help);
    }
    page
}
