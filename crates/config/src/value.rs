//! From what was written to a typed value, and back to how the file would write it.
//!
//! Two sources, one meaning: a TOML value, or the text of a flag or variable, in which list items are parted by
//! commas. Ranges come from the setting's [`Kind`]. Invariant: what [`Value::to_toml`] writes, [`Value::from_input`]
//! reads as the same value, and nothing outside the range gets through.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;

use crate::problem::{Fault, Finding, quoted, shown};
use crate::setting::{ADDRESSES_MAX, Fill, HOST_NAME_BYTES_MAX, LABELS_MAX, NETWORKS_MAX, PATTERNS_MAX, WORDS_MAX};
use crate::{
    AlertCapture, Backend, Choice, Enforcement, Front, Kind, Label, LogFormat, LogLevel, Login, Pattern, Sandboxing,
    Word,
};

/// Longest path Linux takes, bytes (`PATH_MAX` less the closing zero).
const PATH_BYTES_MAX: usize = 4_095;

/// What was written.
pub(crate) enum Input<'a> {
    /// In the file.
    Toml(&'a Spanned<DeValue<'a>>),
    /// In a flag or variable.
    Text(&'a str),
}

impl Input<'_> {
    /// As messages show it.
    fn given(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Toml(value) => match value.get_ref() {
                DeValue::String(text) => quoted(text),
                DeValue::Integer(number) => shown(&number.to_string()),
                DeValue::Float(number) => shown(&number.to_string()),
                DeValue::Boolean(value) => value.to_string(),
                DeValue::Datetime(value) => value.to_string(),
                DeValue::Array(_) => "[…]".to_owned(),
                DeValue::Table(_) => "{…}".to_owned(),
            },
        }
    }

    fn found(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Toml(value) => match value.get_ref() {
                DeValue::String(_) => "text",
                DeValue::Integer(_) => "a number",
                DeValue::Float(_) => "a fraction",
                DeValue::Boolean(_) => "a boolean",
                DeValue::Datetime(_) => "a date or time",
                DeValue::Array(_) => "a list",
                DeValue::Table(_) => "a table",
            },
        }
    }

    fn wrong_type(&self, kind: &Kind) -> Fault {
        Fault::WrongType { given: self.given(), found: self.found(), expected: kind.name(), allowed: kind.allowed() }
    }

    fn wrong_item(&self, kind: &Kind) -> Fault {
        Fault::WrongType { given: self.given(), found: self.found(), expected: "text", allowed: kind.item_allowed() }
    }

    /// The text, where it is one.
    fn text(&self, kind: &Kind) -> Result<&str, Fault> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml(value) => value.get_ref().as_str().ok_or_else(|| self.wrong_type(kind)),
        }
    }

    fn not_possible(&self, kind: &Kind) -> Fault {
        Fault::NotPossible { given: self.given(), allowed: kind.allowed(), suggestion: None }
    }

    fn out_of_range(&self, kind: &Kind) -> Fault {
        Fault::OutOfRange { given: self.given(), allowed: kind.allowed() }
    }
}

/// A type that settings have.
pub(crate) trait Value: Clone {
    /// Reads it; every item that is wrong is a finding.
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>>;

    /// As it stands in the file.
    fn to_toml(&self) -> String;

    /// Adds to what is there, where that means anything.
    fn append(&mut self, more: Self) {
        *self = more;
    }

    /// Whether a list has grown beyond its limit.
    fn is_too_long(&self) -> bool {
        false
    }
}

/// Puts what was written into `field`, or leaves it as it was.
pub(crate) fn fill<V: Value>(field: &mut V, input: &Input<'_>, kind: &Kind, fill: Fill) -> Result<(), Vec<Finding>> {
    let given = V::from_input(input, kind)?;
    let mut value = field.clone();
    match fill {
        Fill::Replace => value = given,
        Fill::Append => value.append(given),
    }
    if value.is_too_long() {
        return Err(whole(input.out_of_range(kind)));
    }
    *field = value;
    Ok(())
}

fn whole(fault: Fault) -> Vec<Finding> {
    vec![Finding { span: None, fault }]
}

/// A text as TOML writes it.
fn literal(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Value for bool {
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
        match input {
            Input::Toml(value) => value.get_ref().as_bool().ok_or_else(|| whole(input.wrong_type(kind))),
            Input::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(whole(input.not_possible(kind))),
            },
        }
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// The number, if it is one and in range.
fn number(input: &Input<'_>, kind: &Kind) -> Result<u64, Fault> {
    let number = match input {
        Input::Toml(value) => {
            let number = value.get_ref().as_integer().ok_or_else(|| input.wrong_type(kind))?;
            // TOML has no integers that are not digits, so what does not parse is too large.
            i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX)
        }
        Input::Text(text) => {
            let digits = text.trim().replace('_', "");
            let plain = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
            if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(input.not_possible(kind));
            }
            digits.parse::<i128>().unwrap_or(i128::MAX)
        }
    };
    let Kind::Number { min, max, zero, .. } = kind else { return Err(input.wrong_type(kind)) };
    let number = u64::try_from(number).map_err(|_| input.out_of_range(kind))?;
    if (*min..=*max).contains(&number) || (number == 0 && zero.is_some()) {
        Ok(number)
    } else {
        Err(input.out_of_range(kind))
    }
}

macro_rules! number_value {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
                let number = number(input, kind).map_err(whole)?;
                Self::try_from(number).map_err(|_| whole(input.out_of_range(kind)))
            }

            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

number_value!(u16, u32, u64, usize);

fn choice<T>(
    input: &Input<'_>,
    kind: &Kind,
    by_name: fn(&str) -> Option<T>,
    choices: &'static [Choice],
) -> Result<T, Vec<Finding>> {
    let word = input.text(kind).map_err(whole)?;
    by_name(word).ok_or_else(|| whole(Fault::not_a_choice(word, choices, kind.allowed())))
}

macro_rules! choice_value {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
                choice(input, kind, Self::by_name, Self::CHOICES)
            }

            fn to_toml(&self) -> String {
                literal(self.name())
            }
        }
    )+};
}

choice_value!(AlertCapture, Backend, Enforcement, Front, LogFormat, LogLevel, Login, Sandboxing);

impl Value for String {
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
        let text = input.text(kind).map_err(whole)?;
        let possible = text.is_empty()
            || match kind {
                Kind::HostName { .. } => is_host_name(text),
                // A path with a control character is a slip of the pen, and would break the lines of messages.
                Kind::Path { .. } => {
                    text.len() <= PATH_BYTES_MAX && !text.ends_with('/') && !text.contains(char::is_control)
                }
                _ => false,
            };
        if possible { Ok(text.to_owned()) } else { Err(whole(input.not_possible(kind))) }
    }

    fn to_toml(&self) -> String {
        literal(self)
    }
}

fn is_host_name(text: &str) -> bool {
    text.len() <= HOST_NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

impl Value for SocketAddr {
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
        let text = input.text(kind).map_err(whole)?;
        text.trim().parse().map_err(|_| whole(input.not_possible(kind)))
    }

    fn to_toml(&self) -> String {
        literal(&self.to_string())
    }
}

/// Reads every item with `read`; all that are wrong are found.
fn list<T>(input: &Input<'_>, kind: &Kind, read: fn(&str, &Kind) -> Result<T, Fault>) -> Result<Vec<T>, Vec<Finding>> {
    let mut items = Vec::new();
    let mut findings = Vec::new();
    let mut take = |span, item: Result<T, Fault>| match item {
        Ok(item) => items.push(item),
        Err(fault) => findings.push(Finding { span, fault }),
    };
    match input {
        Input::Text(text) => {
            for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                take(None, read(item, kind));
            }
        }
        Input::Toml(value) => {
            let array = value.get_ref().as_array().ok_or_else(|| whole(input.wrong_type(kind)))?;
            for item in array {
                let text = item.get_ref().as_str().ok_or_else(|| Input::Toml(item).wrong_item(kind));
                take(Some(item.span()), text.and_then(|text| read(text, kind)));
            }
        }
    }
    if findings.is_empty() { Ok(items) } else { Err(findings) }
}

fn list_literal<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| literal(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

impl Value for Vec<Pattern> {
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
        list(input, kind, |text, _| text.parse().map_err(|reason| Fault::NotAPattern { given: quoted(text), reason }))
    }

    fn to_toml(&self) -> String {
        list_literal(self)
    }

    fn append(&mut self, more: Self) {
        self.extend(more);
    }

    fn is_too_long(&self) -> bool {
        self.len() > PATTERNS_MAX
    }
}

impl Value for Vec<SocketAddr> {
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
        list(input, kind, item)
    }

    fn to_toml(&self) -> String {
        list_literal(self)
    }

    fn append(&mut self, more: Self) {
        self.extend(more);
    }

    fn is_too_long(&self) -> bool {
        self.len() > ADDRESSES_MAX
    }
}

impl Value for Vec<Label> {
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
        let labels: Self = list(input, kind, item)?;
        let has_twin = |at: usize, label: &Label| labels.iter().take(at).any(|other| other.name == label.name);
        if labels.iter().enumerate().any(|(at, label)| has_twin(at, label)) {
            return Err(whole(input.not_possible(kind)));
        }
        Ok(labels)
    }

    fn to_toml(&self) -> String {
        list_literal(self)
    }

    /// A label given again has the later value.
    fn append(&mut self, more: Self) {
        self.retain(|label| more.iter().all(|other| other.name != label.name));
        self.extend(more);
    }

    fn is_too_long(&self) -> bool {
        self.len() > LABELS_MAX
    }
}

impl Value for Vec<Word> {
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
        list(input, kind, item)
    }

    fn to_toml(&self) -> String {
        list_literal(self)
    }

    fn append(&mut self, more: Self) {
        self.extend(more);
    }

    fn is_too_long(&self) -> bool {
        self.len() > WORDS_MAX
    }
}

/// An item that reads itself.
fn item<T: std::str::FromStr>(text: &str, kind: &Kind) -> Result<T, Fault> {
    let fault = || Fault::NotPossible { given: quoted(text), allowed: kind.item_allowed(), suggestion: None };
    text.trim().parse().map_err(|_| fault())
}

impl Value for Vec<IpNet> {
    fn from_input(input: &Input<'_>, kind: &Kind) -> Result<Self, Vec<Finding>> {
        list(input, kind, network)
    }

    fn to_toml(&self) -> String {
        list_literal(self)
    }

    fn append(&mut self, more: Self) {
        self.extend(more);
    }

    fn is_too_long(&self) -> bool {
        self.len() > NETWORKS_MAX
    }
}

fn network(text: &str, kind: &Kind) -> Result<IpNet, Fault> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().ok().map(IpNet::from);
    let not_possible = || Fault::NotPossible { given: quoted(text), allowed: kind.item_allowed(), suggestion: None };
    let network = address.or_else(|| text.parse().ok()).ok_or_else(not_possible)?;
    if network == network.trunc() {
        return Ok(network);
    }
    Err(Fault::HostBits { given: quoted(text), network: network.trunc(), address: network.addr() })
}
