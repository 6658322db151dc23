//! Metrics as OpenMetrics 1.0 text, for who asks for it: the same numbers as the text format of Prometheus, and beside some counters an
//! *exemplar*, the id of one thing that was counted. Deliberately not here: which numbers. Invariant: whoever does not ask for this form by
//! name gets the other.

use std::fmt::Write as _;

use axum::http::{HeaderMap, header};

use super::{METRICS, Metric, MetricKind, Samples, Scrape, Value};

/// Media type of the form.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const MEDIA_TYPE: &str = "application/openmetrics-text";
/// Its section on exemplars: names and values of labels together.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// One thing that was counted.
pub(super) struct Exemplar {
    pub(super) label: &'static str,
    pub(super) value: String,
    /// When, in seconds of the Unix epoch.
    pub(super) seconds: f64,
}

/// Whether it is asked for, and no less than the text format of Prometheus.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let (mut open, mut plain) = (0.0_f64, 0.0_f64);
    for value in headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            // RFC 9110 §12.4.2: what says nothing of its weight has the greatest.
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |text| text.parse().ok());
            let weight = weight.unwrap_or(0.0);
            match name.as_str() {
                MEDIA_TYPE => open = open.max(weight),
                "text/plain" => plain = plain.max(weight),
                _ => {}
            }
        }
    }
    open > 0.0 && open >= plain
}

/// All metrics that have samples.
pub(super) fn text(scrape: &Scrape<'_>) -> String {
    let mut page = String::new();
    for metric in METRICS {
        let mut samples = Samples::default();
        (metric.read)(scrape, &mut samples);
        if !samples.0.is_empty() {
            family(&mut page, metric, &samples);
        }
    }
    page.push_str("# EOF\n");
    page
}

/// A counter is named without the ending of its samples.
fn family_name(metric: &Metric) -> &'static str {
    match metric.kind {
        MetricKind::Counter => metric.name.strip_suffix("_total").unwrap_or(metric.name),
        MetricKind::Gauge | MetricKind::Summary => metric.name,
    }
}

// Writing to a string cannot fail.
fn family(page: &mut String, metric: &Metric, samples: &Samples) {
    let name = family_name(metric);
    let _ = writeln!(page, "# TYPE {name} {}", metric.kind.name());
    let _ = writeln!(page, "# HELP {name} {}", escaped(metric.help));
    for (place, (labels, value)) in samples.0.iter().enumerate() {
        let pairs: Vec<(&str, &str)> = metric.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
        match value {
            Value::Number(number) => {
                let _ = write!(page, "{}{} {}", metric.name, set(&pairs), canonical(*number));
                if let Some(exemplar) = samples.1.get(&place).filter(|_| metric.kind == MetricKind::Counter) {
                    page.push_str(&exemplar.text());
                }
                page.push('\n');
            }
            Value::Latency(latency) => {
                for (rank, seconds) in [("0.5", latency.median_seconds), ("0.95", latency.p95_seconds)] {
                    let seconds = if latency.samples > 0 { seconds } else { f64::NAN };
                    let pairs = [&pairs[..], &[("quantile", rank)]].concat();
                    let _ = writeln!(page, "{name}{} {}", set(&pairs), canonical(seconds));
                }
                let _ = writeln!(page, "{name}_sum{} {}", set(&pairs), canonical(latency.sum_seconds));
                let _ = writeln!(page, "{name}_count{} {}", set(&pairs), latency.samples);
            }
        }
    }
}

impl Exemplar {
    fn text(&self) -> String {
        if self.label.len() + self.value.chars().count() > EXEMPLAR_CHARS_MAX {
            return String::new();
        }
        format!(" # {} 1 {:.3}", set(&[(self.label, &self.value)]), self.seconds)
    }
}

fn set(pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let each: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", each.join(","))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn canonical(number: f64) -> String {
    if number.is_nan() { "NaN".to_owned() } else { format!("{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn wanted(accept: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        is_wanted(&headers)
    }

    #[test]
    fn only_who_asks_for_it_by_name_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert!(wanted(prometheus) && wanted("Application/OpenMetrics-Text"));
        for other in ["*/*", "text/plain", "text/html, */*;q=0.1", "application/openmetrics-text;q=0", ""] {
            assert!(!wanted(other), "{other}");
        }
        assert!(!wanted("application/openmetrics-text;q=0.1, text/plain;q=0.9"));
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[test]
    fn no_two_families_have_one_name() {
        let mut names: Vec<&str> = METRICS.iter().map(family_name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_exemplar_that_is_too_long_is_left_out_and_labels_are_escaped() {
        let exemplar = |value: &str| Exemplar { label: "alert_id", value: value.to_owned(), seconds: 1.5 }.text();
        assert_eq!(exemplar("00aa"), " # {alert_id=\"00aa\"} 1 1.500");
        assert_eq!(exemplar(&"a".repeat(200)), "");
        assert_eq!(set(&[("a", "\"\\\n")]), "{a=\"\\\"\\\\\\n\"}");
    }
}
