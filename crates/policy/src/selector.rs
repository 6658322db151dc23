//! Selectors of hosts by their labels: `role in {web, db} && env == 'prod'`.
//!
//! A selector says whether a host is meant and knows no hosts. Invariant: reading takes no deeper recursion than
//! [`DEPTH_MAX`], and a label that a host does not have is unlike every value.

use std::fmt;
use std::str::FromStr;

/// How deep parentheses and negations may stand in one another.
const DEPTH_MAX: usize = 32;

/// A selector of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Expression);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Everything,
    Has(String),
    /// The label has one of the values.
    In(String, Vec<String>),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

/// A selector that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} is missing at character {at}")]
pub struct SelectorError {
    /// The character, from 1.
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

impl Selector {
    /// Whether a host with these labels is meant.
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.0.holds(&label)
    }

    /// Whether every host is meant, whatever its labels.
    pub fn is_everything(&self) -> bool {
        self.0 == Expression::Everything
    }
}

impl Expression {
    fn holds<'l>(&self, label: &impl Fn(&str) -> Option<&'l str>) -> bool {
        match self {
            Self::Everything => true,
            Self::Has(name) => label(name).is_some(),
            Self::In(name, values) => label(name).is_some_and(|has| values.iter().any(|value| value == has)),
            Self::Not(inner) => !inner.holds(label),
            Self::All(parts) => parts.iter().all(|part| part.holds(label)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(label)),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.trim().is_empty() {
            return Ok(Self(Expression::Everything));
        }
        let mut reader = Reader { text, at: 0 };
        let expression = reader.any(0)?;
        reader.space();
        if reader.rest().is_empty() { Ok(Self(expression)) } else { Err(reader.missing("`&&`, `||` or the end")) }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn missing(&self, expected: &'static str) -> SelectorError {
        SelectorError { at: self.text.get(..self.at).unwrap_or_default().chars().count() + 1, expected }
    }

    fn take(&mut self, sign: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// A word that ends where it ends: `in` is not the beginning of `internal`.
    fn take_word(&mut self, word: &str) -> bool {
        let before = self.at;
        if self.name().is_some_and(|name| name == word) {
            return true;
        }
        self.at = before;
        false
    }

    fn any(&mut self, depth: usize) -> Result<Expression, SelectorError> {
        let mut parts = vec![self.all(depth)?];
        while self.take("||") {
            parts.push(self.all(depth)?);
        }
        Ok(joined(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, SelectorError> {
        let mut parts = vec![self.term(depth)?];
        while self.take("&&") {
            parts.push(self.term(depth)?);
        }
        Ok(joined(parts, Expression::All))
    }

    fn term(&mut self, depth: usize) -> Result<Expression, SelectorError> {
        if depth >= DEPTH_MAX {
            return Err(self.missing("a simpler selector (fewer parentheses)"));
        }
        if self.take("!") {
            return Ok(Expression::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.any(depth + 1)?;
            return if self.take(")") { Ok(inner) } else { Err(self.missing("`)`")) };
        }
        let Some(label) = self.name() else { return Err(self.missing("a label")) };
        let label = label.to_owned();
        if self.take("==") {
            return Ok(Expression::In(label, vec![self.value()?]));
        }
        if self.take("!=") {
            return Ok(Expression::Not(Box::new(Expression::In(label, vec![self.value()?]))));
        }
        let before = self.at;
        if self.take_word("not") {
            if self.take_word("in") {
                return Ok(Expression::Not(Box::new(Expression::In(label, self.values()?))));
            }
            self.at = before;
        } else if self.take_word("in") {
            return Ok(Expression::In(label, self.values()?));
        }
        Ok(Expression::Has(label))
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        if !self.take("{") {
            return Err(self.missing("`{`"));
        }
        let mut values = vec![self.value()?];
        while self.take(",") {
            values.push(self.value()?);
        }
        if self.take("}") { Ok(values) } else { Err(self.missing("`,` or `}`")) }
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        for quote in ['\'', '"'] {
            if self.take(quote.encode_utf8(&mut [0; 4])) {
                let Some(end) = self.rest().find(quote) else { return Err(self.missing("the closing quote")) };
                let value = self.rest().get(..end).unwrap_or_default().to_owned();
                self.at += end + 1;
                return Ok(value);
            }
        }
        self.name().map(str::to_owned).ok_or_else(|| self.missing("a value"))
    }

    fn name(&mut self) -> Option<&'t str> {
        self.space();
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')))
            .unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).filter(|name| !name.is_empty())
    }
}

fn joined(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() > 1 { join(parts) } else { parts.pop().unwrap_or(Expression::Everything) }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = |f: &mut fmt::Formatter<'_>, parts: &[Self], sign: &str| {
            for (at, part) in parts.iter().enumerate() {
                write!(f, "{}({part})", if at == 0 { "" } else { sign })?;
            }
            Ok(())
        };
        match self {
            Self::Everything => Ok(()),
            Self::Has(name) => f.write_str(name),
            Self::In(name, values) => {
                let quoted = |value: &String| {
                    let quote = if value.contains('\'') { '"' } else { '\'' };
                    format!("{quote}{value}{quote}")
                };
                write!(f, "{name} in {{{}}}", values.iter().map(quoted).collect::<Vec<_>>().join(", "))
            }
            Self::Not(inner) => write!(f, "!({inner})"),
            Self::All(all) => parts(f, all, " && "),
            Self::Any(any) => parts(f, any, " || "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str) -> bool {
        let labels = [("role", "web"), ("env", "prod")];
        let selector: Selector = selector.parse().expect("a selector");
        let label = |name: &str| labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value);
        let again: Selector = selector.to_string().parse().expect("what is printed can be read");
        assert_eq!(again.matches(label), selector.matches(label), "{selector}");
        selector.matches(label)
    }

    #[test]
    fn a_selector_asks_for_labels() {
        for (selector, expected) in [
            ("", true),
            ("role in {web, db} && env == 'prod'", true),
            ("role == \"web\"", true),
            ("role != web", false),
            ("zone != a", true),
            ("zone == a", false),
            ("role not in {db}", true),
            ("role", true),
            ("internal", false),
            ("!zone && (role == db || env == prod)", true),
            ("role == db || env == test", false),
        ] {
            assert_eq!(matches(selector), expected, "{selector}");
        }
    }

    #[test]
    fn a_selector_that_cannot_be_read_says_where() {
        for (selector, expected) in [
            ("role =", "`&&`, `||` or the end is missing at character 6"),
            ("role ==", "a value is missing at character 8"),
            ("role in web", "`{` is missing at character 9"),
            ("role in {web", "`,` or `}` is missing at character 13"),
            ("(role", "`)` is missing at character 6"),
            ("role == 'web", "the closing quote is missing at character 10"),
            ("&& a", "a label is missing at character 1"),
        ] {
            assert_eq!(selector.parse::<Selector>().expect_err(selector).to_string(), expected);
        }
        let error = "!".repeat(100).parse::<Selector>().expect_err("too deep");
        assert_eq!(error.at, DEPTH_MAX + 1);
    }
}
