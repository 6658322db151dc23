//! Query strings. Deliberately not here: the meaning of a filter, which is `view`'s, fields and spelling included.
//!
//! Invariants: what is not understood is refused, never ignored, because a typo that is ignored answers another
//! question than the one that was asked; and the OpenAPI parameters are made from the same lists as the reading is.

use std::time::Duration;

use axum::extract::{FromRequestParts, Query as QueryString};
use axum::http::StatusCode;
use axum::http::request::Parts;
use hivewall_view::alerts::{AlertQuery, AlertState, Severity};
use hivewall_view::filter::{FilterError, FilterFault, ValueKind, keys};
use hivewall_view::query::{
    ExportFormat, LIMIT_DEFAULT, LIMIT_MAX, SERIES_POINTS_MAX, TOP_LIMIT_DEFAULT, TOP_LIMIT_MAX,
};
use hivewall_view::time::{parse_time, rfc3339};
use hivewall_view::units::parse_duration;
use hivewall_view::{Filter, Query, SeriesQuery, Sort, TopBy, TopQuery};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Array, KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required, Schema};

use crate::access::TRAIL_ENTRIES_MAX;
use crate::error::Refusal;
use crate::source::PageOf;
use crate::state::Shared;

/// Shortest step of a series.
const STEP_MIN: Duration = Duration::from_secs(1);
/// In front of a field's name it asks for what does not match.
const NOT: &str = "not-";
/// The parameters that shape a page; the others say which flows.
const PAGE: [&str; 4] = ["sort", "limit", "offset", "history"];
/// The parameters that shape a top list.
const TOP: [&str; 2] = ["by", "limit"];
/// The parameter of an export.
const EXPORT: [&str; 1] = ["format"];
/// The parameter that shapes a series.
const SERIES: [&str; 1] = ["step"];

/// The parameters that say which alerts.
const ALERTS: [&str; 8] = ["id", "state", "severity", "detector", "source", "since", "all", "limit"];
/// States of an alert.
const STATES: &[(AlertState, &str)] = &[(AlertState::Active, "active"), (AlertState::Ended, "ended")];

/// The parameters of a request, in order, names and values decoded.
pub(crate) struct Pairs(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = QueryString::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        read.map(|QueryString(pairs)| Self(pairs)).map_err(|rejection| {
            let hint = "write it as `?name=value&name=value` with other characters percent-encoded";
            Refusal::new(StatusCode::BAD_REQUEST, "bad_query", rejection.body_text(), hint)
        })
    }
}

impl Pairs {
    /// For a path that takes no parameters.
    pub(crate) fn expect_none(&self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(bad("unknown_parameter", format!("there is no parameter `{name}` here"), "this path takes none"))
            }
        }
    }

    /// Which flows, in which order, how many.
    pub(crate) fn query(&self, shared: &Shared) -> Result<Query, Refusal> {
        let sort = match self.once("sort")? {
            None => Sort::default(),
            Some(text) => by_name("sort", text, "no order", Sort::ALL)?,
        };
        let (limit, offset) = (self.limit()?, self.offset()?);
        let history = match self.once("history")? {
            None => false,
            Some(text) => yes_or_no("history", text)?,
        };
        Ok(Query { filter: self.terms(shared, &PAGE)?, sort, limit, offset, history })
    }

    /// By what, when, how many.
    pub(crate) fn top(&self, shared: &Shared) -> Result<TopQuery, Refusal> {
        let by = match self.once("by")? {
            None => TopBy::default(),
            Some(text) => by_name("by", text, "no way to add up", TopBy::ALL)?,
        };
        let limit = match self.once("limit")? {
            None => TOP_LIMIT_DEFAULT,
            Some(text) => number("limit", text, 1, TOP_LIMIT_MAX)?,
        };
        let filter = self.terms(shared, &TOP)?;
        let (from, to) = filter.time_bounds();
        Ok(TopQuery { by, from, to, limit, filter: filter.without_time_bounds() })
    }

    /// When, in which steps.
    pub(crate) fn series(&self, shared: &Shared) -> Result<SeriesQuery, Refusal> {
        let step = match self.once("step")? {
            None => None,
            Some(text) => Some(step(text)?),
        };
        let filter = self.terms(shared, &SERIES)?;
        let (from, to) = filter.time_bounds();
        if let (Some(from), Some(step)) = (from, step) {
            let points = to.unwrap_or_else(|| shared.source.now()).since(from).as_nanos() / step.as_nanos().max(1);
            if points > u128::from(SERIES_POINTS_MAX) {
                let detail = format!("these times in such steps are {points} points");
                let hint = format!("at most {SERIES_POINTS_MAX} are given: take a longer `step` or a shorter time");
                return Err(bad("bad_parameter", detail, hint));
            }
        }
        Ok(SeriesQuery { from, to, step, filter: filter.without_time_bounds() })
    }

    /// Which flows, in which format.
    pub(crate) fn export(&self, shared: &Shared) -> Result<(Query, ExportFormat), Refusal> {
        let format = match self.once("format")? {
            None => ExportFormat::default(),
            Some(text) => by_name("format", text, "no format", ExportFormat::ALL)?,
        };
        Ok((Query { filter: self.terms(shared, &EXPORT)?, history: true, ..Query::default() }, format))
    }

    /// Which part of a list, for a path that takes nothing else.
    pub(crate) fn page(&self) -> Result<PageOf, Refusal> {
        if let Some((name, _)) = self.0.iter().find(|(name, _)| !["limit", "offset"].contains(&name.as_str())) {
            let detail = format!("there is no parameter `{name}` here");
            return Err(bad("unknown_parameter", detail, "there are: limit, offset"));
        }
        Ok(PageOf { limit: self.limit()?, offset: self.offset()? })
    }

    /// Which alerts.
    pub(crate) fn alerts(&self, shared: &Shared) -> Result<AlertQuery, Refusal> {
        if let Some((name, _)) = self.0.iter().find(|(name, _)| !ALERTS.contains(&name.as_str())) {
            let detail = format!("there is no parameter `{name}` here");
            return Err(bad("unknown_parameter", detail, format!("there are: {}", ALERTS.join(", "))));
        }
        let word = |name: &str| self.once(name).map(|text| text.map(str::to_owned));
        let state =
            self.once("state")?.map(|text| by_name("state", text, "no state of an alert", STATES)).transpose()?;
        let severities = Severity::ALL.map(|severity| (severity, severity.name()));
        let severity = |text| by_name("severity", text, "no severity", &severities);
        let since = |text| {
            let hint = "write RFC 3339, a date, or how long ago, such as `2h`";
            let time = parse_time(text, shared.source.now());
            time.map(rfc3339).ok_or_else(|| bad("bad_parameter", format!("`since` cannot be `{text}`"), hint))
        };
        Ok(AlertQuery {
            id: word("id")?,
            state,
            severity: self.once("severity")?.map(severity).transpose()?,
            detector: word("detector")?,
            source: word("source")?,
            since: self.once("since")?.map(since).transpose()?,
            all: self.once("all")?.map_or(Ok(false), |text| yes_or_no("all", text))?,
            limit: self.limit()?,
        })
    }

    /// The one parameter that there has to be.
    pub(crate) fn one(&self, name: &str) -> Result<String, Refusal> {
        if let Some((other, _)) = self.0.iter().find(|(other, _)| other != name) {
            let detail = format!("there is no parameter `{other}` here");
            return Err(bad("unknown_parameter", detail, format!("there is: {name}")));
        }
        let value = self.once(name)?.filter(|value| !value.is_empty()).map(str::to_owned);
        value.ok_or_else(|| bad("bad_parameter", format!("`{name}` is missing"), format!("say which: `?{name}=…`")))
    }

    /// How many entries of the trail.
    pub(crate) fn trail(&self) -> Result<usize, Refusal> {
        if let Some((name, _)) = self.0.iter().find(|(name, _)| name != "limit") {
            let detail = format!("there is no parameter `{name}` here");
            return Err(bad("unknown_parameter", detail, "there is: limit"));
        }
        match self.once("limit")? {
            None => Ok(LIMIT_DEFAULT.min(TRAIL_ENTRIES_MAX)),
            Some(text) => number("limit", text, 1, TRAIL_ENTRIES_MAX),
        }
    }

    fn limit(&self) -> Result<usize, Refusal> {
        match self.once("limit")? {
            None => Ok(LIMIT_DEFAULT),
            Some(text) => number("limit", text, 1, LIMIT_MAX),
        }
    }

    fn offset(&self) -> Result<usize, Refusal> {
        match self.once("offset")? {
            None => Ok(0),
            Some(text) => number("offset", text, 0, usize::MAX),
        }
    }

    /// Which flows, and nothing else.
    pub(crate) fn filter(&self, shared: &Shared) -> Result<Filter, Refusal> {
        self.terms(shared, &[])
    }

    /// The filter that `filter` and the fields make together; names in `others` are someone else's.
    fn terms(&self, shared: &Shared, others: &[&str]) -> Result<Filter, Refusal> {
        let now = shared.source.now();
        let mut filter = match self.once("filter")? {
            None => Filter::default(),
            Some(text) => {
                let snapshot = shared.source.snapshot();
                let interfaces: Vec<&str> = snapshot.capture.interfaces.iter().map(String::as_str).collect();
                Filter::parse_knowing(text, now, &interfaces).map_err(|error| bad_filter("filter", text, &error))?
            }
        };
        for (name, value) in &self.0 {
            if name == "filter" || others.contains(&name.as_str()) {
                continue;
            }
            let (negated, key) = name.strip_prefix(NOT).map_or((false, name.as_str()), |key| (true, key));
            filter.push(negated, key, value, now).map_err(|error| match error.fault {
                FilterFault::UnknownKey { suggestion, .. } => unknown(name, suggestion, others),
                _ => bad_filter(name, value, &error),
            })?;
        }
        Ok(filter)
    }

    fn once(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(bad(
                "repeated_parameter",
                format!("`{name}` is there more than once"),
                "keep the one that is meant",
            )),
        }
    }
}

fn bad(error: &str, detail: String, hint: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error, detail, hint)
}

fn unknown(name: &str, suggestion: Option<&str>, others: &[&str]) -> Refusal {
    let fields: Vec<&str> = keys().map(|key| key.name).collect();
    let not = if name.starts_with(NOT) { NOT } else { "" };
    let hint = match suggestion {
        Some(meant) => format!("did you mean `{not}{meant}`?"),
        None => format!(
            "there are: filter{}{}, {}; and each of the latter with `{NOT}` in front",
            if others.is_empty() { "" } else { ", " },
            others.join(", "),
            fields.join(", ")
        ),
    };
    bad("unknown_parameter", format!("there is no parameter `{name}` here"), hint)
}

fn bad_filter(name: &str, text: &str, error: &FilterError) -> Refusal {
    let before = text.get(..error.at).unwrap_or(text).chars().count();
    let detail = format!("`{name}` is not understood at character {}", before + 1);
    bad("bad_filter", detail, error.to_string()).at(error.at)
}

fn by_name<T: Copy>(name: &str, text: &str, what: &str, all: &[(T, &str)]) -> Result<T, Refusal> {
    let found = all.iter().find(|(_, name)| *name == text);
    found.map(|(one, _)| *one).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(_, name)| *name).collect();
        bad("bad_parameter", format!("`{text}` is {what}"), format!("`{name}` is one of {}", names.join(", ")))
    })
}

fn yes_or_no(name: &str, text: &str) -> Result<bool, Refusal> {
    by_name(name, text, "neither yes nor no", &[(true, "true"), (false, "false")])
}

fn step(text: &str) -> Result<Duration, Refusal> {
    parse_duration(text).filter(|step| *step >= STEP_MIN).ok_or_else(|| {
        let hint = "`step` is a time span of at least one second, such as `60s`, `5m` or `1h`";
        bad("bad_parameter", format!("`step` cannot be `{text}`"), hint)
    })
}

fn number(name: &str, text: &str, least: usize, most: usize) -> Result<usize, Refusal> {
    let found = text.parse::<usize>().ok().filter(|number| (least..=most).contains(number));
    found.ok_or_else(|| {
        let detail = format!("`{name}` cannot be `{text}`");
        let hint = match most {
            usize::MAX => format!("`{name}` is a whole number from {least}"),
            _ => format!("`{name}` is a whole number from {least} to {most}"),
        };
        bad("bad_parameter", detail, hint)
    })
}

/// The parameters that say which flows: `filter` and one for each field.
pub(crate) struct FilterParams;

/// Which part of a list.
pub(crate) struct PageParams;

/// How much of the audit trail.
pub(crate) struct TrailParams;

/// Which alerts.
pub(crate) struct AlertParams;

/// [`FilterParams`], and order and page.
pub(crate) struct FlowParams;

/// [`FilterParams`], and how a top list is made.
pub(crate) struct TopParams;

/// [`FilterParams`], and the format of an export.
pub(crate) struct ExportParams;

/// [`FilterParams`], and the steps of a series.
pub(crate) struct SeriesParams;

impl IntoParams for FilterParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text =
            parameter("filter", string(), "Which flows, in the filter language, on one line.", "proto:tcp port:443");
        let fields = keys().flat_map(|key| {
            let repeated = if key.kind == ValueKind::Text { "all" } else { "any" };
            let plain = format!("{} Repeated: {repeated} of them; different fields: all of them.", key.doc);
            // The catalogue's examples are terms of the text form: `port:443`, `bytes>1M`.
            let example = key.example.trim_start_matches(key.name).trim_start_matches(':');
            let negated = format!("Leaves out what `{}` would ask for.", key.name);
            [
                parameter(key.name, list(), &plain, example),
                parameter(&format!("{NOT}{}", key.name), list(), &negated, example),
            ]
        });
        std::iter::once(text).chain(fields).collect()
    }
}

impl IntoParams for FlowParams {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = FilterParams::into_params(place);
        all.push(parameter("sort", one_of(Sort::ALL), "Order, largest or latest first; bytes when absent.", "rate"));
        all.extend(PageParams::into_params(|| Some(ParameterIn::Query)));
        let history = "Whether closed flows are looked for in history, where it is kept, rather than among those lately \
                       closed; `from`, `to` and `last` say how far back. False when absent.";
        all.push(parameter("history", one_of(&[(true, "true"), (false, "false")]), history, "true"));
        all
    }
}

impl IntoParams for PageParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = format!("Most rows of the page; {LIMIT_DEFAULT} when absent.");
        let offset = "Rows to leave out first: `next_offset` of the page before.";
        vec![
            parameter("limit", integer(1, Some(LIMIT_MAX)), &limit, "20"),
            parameter("offset", integer(0, None), offset, "0"),
        ]
    }
}

impl IntoParams for TrailParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = format!("Most entries; {LIMIT_DEFAULT} when absent.");
        vec![parameter("limit", integer(1, Some(TRAIL_ENTRIES_MAX)), &limit, "20")]
    }
}

impl IntoParams for AlertParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = || Schema::Object(ObjectBuilder::new().schema_type(Type::String).build());
        let severities = Severity::ALL.map(|severity| (severity, severity.name()));
        let limit = format!("Most alerts of the page; {LIMIT_DEFAULT} when absent.");
        let since = "Seen at this time or later: RFC 3339, a date, or how long ago.";
        let all = "Whether acknowledged and silenced alerts are wanted, too. False when absent.";
        vec![
            parameter("id", text(), "Id of the alert, or how it begins.", "3fa"),
            parameter("state", one_of(STATES), "Going on, or over.", "active"),
            parameter("severity", one_of(&severities), "This severity or a worse one.", "medium"),
            parameter("detector", text(), "The detector.", "port_scan"),
            parameter("source", text(), "The source, as it stands in the alert.", "192.0.2.7"),
            parameter("since", text(), since, "2h"),
            parameter("all", one_of(&[(true, "true"), (false, "false")]), all, "true"),
            parameter("limit", integer(1, Some(LIMIT_MAX)), &limit, "20"),
        ]
    }
}

impl IntoParams for TopParams {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = FilterParams::into_params(place);
        all.push(parameter("by", one_of(TopBy::ALL), "What is added up by; address when absent.", "service"));
        let limit = format!("Most rows of the list; {TOP_LIMIT_DEFAULT} when absent.");
        all.push(parameter("limit", integer(1, Some(TOP_LIMIT_MAX)), &limit, "20"));
        all
    }
}

impl IntoParams for ExportParams {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = FilterParams::into_params(place);
        all.push(parameter("format", one_of(ExportFormat::ALL), "Form of the file; parquet when absent.", "csv"));
        all
    }
}

impl IntoParams for SeriesParams {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = FilterParams::into_params(place);
        let step = format!("Time of one point, at least 1s; at most {SERIES_POINTS_MAX} points. Chosen when absent.");
        all.push(parameter("step", string(), &step, "5m"));
        all
    }
}

/// One of these words.
fn one_of<T>(all: &[(T, &str)]) -> Schema {
    let names: Vec<&str> = all.iter().map(|(_, name)| *name).collect();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build().into()
}

fn parameter(name: &str, schema: Schema, description: &str, example: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(RefOr::T(schema)))
        .example(Some(serde_json::Value::from(example)))
        .build()
}

fn string() -> Schema {
    Object::with_type(Type::String).into()
}

fn list() -> Schema {
    Array::new(RefOr::T(string())).into()
}

fn integer(least: usize, most: Option<usize>) -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least as f64))
        .maximum(most.map(|most| most as f64))
        .build()
        .into()
}
