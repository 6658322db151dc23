//! The text form of a filter: words with quotes, each a bare value or a field with a value.
//!
//! What a field takes is not known here; see `keys`. Errors carry the byte offset of what is wrong.

use hivewall_model::{Timestamp, protocol_by_name};

use super::Filter;
use super::error::{FilterError, FilterFault};
use super::keys::{self, Key, ValueKind};
use super::term::{self, Side, Test};

/// Reads a line of terms; a bare word that is one of `interfaces` means that interface.
pub(super) fn parse(text: &str, now: Timestamp, interfaces: &[&str]) -> Result<Filter, FilterError> {
    let mut filter = Filter::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let end = word_end(rest).ok_or_else(|| FilterError::new(at + quote_at(rest), FilterFault::OpenQuote))?;
        let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = behind.trim_start();
        term(&mut filter, word, now, interfaces).map_err(|error| error.moved(at))?;
    }
    Ok(filter)
}

/// Where the first word ends: at white space outside of quotes. `None` if a quote stays open.
fn word_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            // The next character stands for itself.
            '\\' if quoted => drop(chars.next()),
            c if c.is_whitespace() && !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

/// The quotation mark that stays open in `text`, which has one.
fn quote_at(text: &str) -> usize {
    let mut open = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => open = if open.is_some() { None } else { Some(at) },
            '\\' if open.is_some() => drop(chars.next()),
            _ => {}
        }
    }
    open.unwrap_or(0)
}

/// The text without its quotation marks and the backslashes within them.
fn unquoted(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

fn term(filter: &mut Filter, word: &str, now: Timestamp, interfaces: &[&str]) -> Result<(), FilterError> {
    let positive = word.strip_prefix(['!', '-']);
    let (negated, item) = (positive.is_some(), positive.unwrap_or(word));
    let skipped = word.len() - item.len();
    if item.is_empty() {
        return Err(FilterError::new(0, FilterFault::LoneNegation));
    }
    if let Some(tests) = bare(item, interfaces) {
        for test in tests {
            filter.add(negated, test);
        }
        return Ok(());
    }
    let Some((name, behind)) = split_name(item) else {
        return free_text(filter, negated, item);
    };
    let Some(key) = keys::find(name) else {
        // The beginning of an IPv6 address is text, not a field.
        return if item.bytes().all(|b| b.is_ascii_hexdigit() || b":./".contains(&b)) {
            free_text(filter, negated, item)
        } else {
            Err(FilterError::new(skipped, FilterFault::unknown_key(name)))
        };
    };
    let (unequal, value) = operand(key, behind).map_err(|error| error.moved(skipped + name.len()))?;
    let value_at = word.len() - value.len();
    let read = key.read(&unquoted(value), now).map_err(|mut error| {
        // Offsets within a quoted value are those of the text without its quotation marks.
        error.at = if value.contains('"') { 0 } else { error.at };
        error.moved(value_at)
    })?;
    for test in read {
        filter.add(negated != unequal, test);
    }
    Ok(())
}

/// What a word without a field means, if it is anything but text.
fn bare(item: &str, interfaces: &[&str]) -> Option<Vec<Test>> {
    if let Some(name) = interfaces.iter().find(|name| **name == item) {
        // A name is a pattern that means itself; what would mean more stands for one character.
        return Some(vec![Test::Interface(name.replace(['*', ','], "?").into())]);
    }
    if let Some(net) = term::network(item) {
        return Some(vec![Test::Ip(Side::Either, net)]);
    }
    if let Some(ports) = item.split(',').map(term::ports).collect::<Option<Vec<_>>>() {
        return Some(ports.into_iter().map(|range| Test::Port(Side::Either, range)).collect());
    }
    if let Some(id) = term::community(item) {
        return Some(vec![Test::CommunityId(id)]);
    }
    // Numbers that are no ports are no protocols either.
    let named = item.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    named.then(|| protocol_by_name(item))?.map(|number| vec![Test::Protocol(number)])
}

fn free_text(filter: &mut Filter, negated: bool, item: &str) -> Result<(), FilterError> {
    if ["and", "or", "not", "&&", "||", "&", "|"].iter().any(|word| word.eq_ignore_ascii_case(item)) {
        return Err(FilterError::new(0, FilterFault::Connective { word: item.to_owned() }));
    }
    let text = unquoted(item);
    // Empty quotes say nothing, as an empty line does.
    if let Some(text) = term::nonempty(&text) {
        filter.add(negated, Test::Text(text));
    }
    Ok(())
}

/// Splits `name>value` before its sign; `None` for a word that has no sign behind a name.
fn split_name(item: &str) -> Option<(&str, &str)> {
    let end = item.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))?;
    let (name, behind) = item.split_at_checked(end)?;
    let signed = behind.starts_with([':', '=', '<', '>']) || behind.starts_with("!=");
    (signed && !name.is_empty()).then_some((name, behind))
}

/// What stands behind the name, as the field's reader takes it, and whether the sign negates.
fn operand<'a>(key: &'static Key, behind: &'a str) -> Result<(bool, &'a str), FilterError> {
    let (unequal, signed) = match behind.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, behind),
    };
    if matches!(key.kind, ValueKind::Comparison(_)) {
        // A comparison keeps its sign, which is part of the value; `:` before it is for those who are used to it.
        return Ok((unequal, signed.strip_prefix(':').unwrap_or(signed)));
    }
    if let Some(value) = signed.strip_prefix([':', '=']) {
        return Ok((unequal, value));
    }
    let sign = if signed.starts_with('<') { "<" } else { ">" };
    Err(FilterError::new(0, FilterFault::NotComparable { key, sign }))
}
