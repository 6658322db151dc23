//! Metrics without a library: what a registry gathers, to be encoded for others.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, and begins with zero when the program starts.
    Counter,
    /// A value of now.
    Gauge,
    /// Counts by size, since the program started.
    Histogram,
}

/// One metric with all its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// `hivewall_flows_total`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it counts, in words.
    pub help: String,
    /// In UCUM, as OpenTelemetry wants it: `By`, `s`, `1`; empty if it has none.
    pub unit: String,
    /// Its values.
    pub samples: Vec<Sample>,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// The value. One that does not fit the family's kind is left out.
    pub value: Value,
}

/// A number, or numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// For counters and gauges.
    Number(f64),
    /// For histograms, as Prometheus gives them.
    Histogram {
        /// How many in all.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Upper bounds, rising, and how many are at most that; the last, infinite one may be there or not.
        buckets: Vec<(f64, u64)>,
    },
}
