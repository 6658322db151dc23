//! The bytes of requests. The source is the OpenTelemetry protocol's definitions, and for severities its log data model.

use hivewall_view::alerts::{Alert, Severity};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use crate::family::{Family, Kind, Sample, Value};

/// Who says it, in every request.
pub(crate) fn resource(attributes: &[(String, String)]) -> Resource {
    Resource { attributes: attributes.iter().map(|(name, value)| text(name, value)).collect(), ..Resource::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "the form in which it is used")]
fn scope() -> Option<InstrumentationScope> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Some(InstrumentationScope { name: "hivewall".to_owned(), version, ..InstrumentationScope::default() })
}

fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, any_value::Value::StringValue(value.to_owned()))
}

fn attribute(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A request with metrics, and how many data points are in it. Times are nanoseconds since 1970.
pub(crate) fn metrics(families: &[Family], resource: &Resource, start_ns: u64, now_ns: u64) -> (Vec<u8>, u64) {
    let metrics: Vec<Metric> = families.iter().map(|family| metric(family, start_ns, now_ns)).collect();
    let points = metrics.iter().map(points).sum();
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics: vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    };
    (request.encode_to_vec(), points)
}

fn points(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    };
    points as u64
}

fn metric(family: &Family, start_ns: u64, now_ns: u64) -> Metric {
    let cumulative = AggregationTemporality::Cumulative as i32;
    let numbers = |start_ns| family.samples.iter().filter_map(|sample| number(sample, start_ns, now_ns)).collect();
    let data = match family.kind {
        // A gauge has no beginning.
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers(0) }),
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(start_ns),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: family.samples.iter().filter_map(|sample| histogram(sample, start_ns, now_ns)).collect(),
            aggregation_temporality: cumulative,
        }),
    };
    Metric {
        name: family.name.clone(),
        description: family.help.clone(),
        unit: family.unit.clone(),
        data: Some(data),
        ..Metric::default()
    }
}

fn labels(sample: &Sample) -> Vec<KeyValue> {
    sample.labels.iter().map(|(name, value)| text(name, value)).collect()
}

fn number(sample: &Sample, start_time_unix_nano: u64, time_unix_nano: u64) -> Option<NumberDataPoint> {
    let Value::Number(value) = sample.value else { return None };
    Some(NumberDataPoint {
        attributes: labels(sample),
        start_time_unix_nano,
        time_unix_nano,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    })
}

fn histogram(sample: &Sample, start_time_unix_nano: u64, time_unix_nano: u64) -> Option<HistogramDataPoint> {
    let Value::Histogram { count, sum, buckets } = &sample.value else { return None };
    let mut bucket_counts = Vec::new();
    let mut explicit_bounds = Vec::new();
    let mut below = 0;
    // Prometheus adds buckets up, OpenTelemetry does not.
    for (bound, so_far) in buckets.iter().filter(|(bound, _)| bound.is_finite()) {
        explicit_bounds.push(*bound);
        bucket_counts.push(so_far.saturating_sub(below));
        below = below.max(*so_far);
    }
    bucket_counts.push(count.saturating_sub(below));
    Some(HistogramDataPoint {
        attributes: labels(sample),
        start_time_unix_nano,
        time_unix_nano,
        count: *count,
        sum: Some(*sum),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    })
}

/// A request with one alert. Such requests may be put one behind the other: that is a request with all of them.
pub(crate) fn log(alert: &Alert, change: &str, resource: &Resource, now_ns: u64) -> Vec<u8> {
    let record = LogRecord {
        time_unix_nano: nanoseconds(&alert.last_seen).unwrap_or(now_ns),
        observed_time_unix_nano: now_ns,
        severity_number: severity(alert.severity) as i32,
        severity_text: alert.severity.name().to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(alert.message.clone())) }),
        attributes: attributes(alert, change),
        event_name: "hivewall.alert".to_owned(),
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource.clone()),
            scope_logs: vec![ScopeLogs { scope: scope(), log_records: vec![record], ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    };
    request.encode_to_vec()
}

fn nanoseconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

/// The ranges of the log data model: INFO, WARN, ERROR, FATAL.
fn severity(severity: Severity) -> SeverityNumber {
    match severity {
        Severity::Info => SeverityNumber::Info,
        Severity::Low => SeverityNumber::Warn,
        Severity::Medium => SeverityNumber::Warn3,
        Severity::High => SeverityNumber::Error,
        Severity::Critical => SeverityNumber::Fatal,
    }
}

/// Names of the semantic conventions where there is one.
fn attributes(alert: &Alert, change: &str) -> Vec<KeyValue> {
    let mut attributes = vec![
        text("hivewall.alert.id", &alert.id),
        text("hivewall.alert.change", change),
        text("hivewall.alert.detector", &alert.detector),
        text("hivewall.alert.kind", &alert.kind),
        text("hivewall.alert.title", &alert.title),
        text("host.name", &alert.host),
        attribute("hivewall.alert.spoofable", any_value::Value::BoolValue(alert.spoofable)),
        attribute("hivewall.alert.signs", any_value::Value::IntValue(alert.signs as i64)),
        attribute("hivewall.alert.target_count", any_value::Value::IntValue(alert.target_count as i64)),
    ];
    let technique = alert.technique.as_ref().map(|technique| &technique.id);
    let some = [
        ("source.address", alert.source.as_ref()),
        ("network.transport", alert.protocol.as_ref()),
        ("hivewall.alert.technique", technique),
        ("hivewall.alert.process", alert.process.as_ref()),
        ("network.interface.name", alert.interface.as_ref()),
    ];
    attributes.extend(some.into_iter().filter_map(|(name, value)| value.map(|value| text(name, value))));
    if let Some(port) = alert.port {
        attributes.push(attribute("destination.port", any_value::Value::IntValue(i64::from(port))));
    }
    if !alert.targets.is_empty() {
        let value = |target: &String| AnyValue { value: Some(any_value::Value::StringValue(target.clone())) };
        let values = alert.targets.iter().map(value).collect();
        attributes.push(attribute("hivewall.alert.targets", any_value::Value::ArrayValue(ArrayValue { values })));
    }
    for (name, value) in &alert.evidence.figures {
        attributes.push(attribute(&format!("hivewall.alert.evidence.{name}"), any_value::Value::DoubleValue(*value)));
    }
    attributes
}
