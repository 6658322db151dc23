//! Words of nft: spans, sets, names in quotes.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::backend::blocks::{Family, Span};

/// A span of addresses.
pub(super) fn addresses(span: Span, family: Family) -> String {
    let one = |bits: u128| match family {
        Family::V4 => Ipv4Addr::from(bits as u32).to_string(),
        Family::V6 => Ipv6Addr::from(bits).to_string(),
    };
    if span.0 == span.1 { one(span.0) } else { format!("{}-{}", one(span.0), one(span.1)) }
}

/// A span of numbers.
pub(super) fn numbers(span: Span) -> String {
    if span.0 == span.1 { span.0.to_string() } else { format!("{}-{}", span.0, span.1) }
}

/// One thing as itself, several as a set.
pub(super) fn any_of(items: &[String]) -> String {
    match items {
        [one] => one.clone(),
        _ => format!("{{ {} }}", items.join(", ")),
    }
}

/// Names of interfaces; none when every name fits. What another pattern holds is left out, since nft refuses overlaps.
pub(super) fn names(interfaces: &[String]) -> Option<String> {
    let holds =
        |pattern: &str, name: &str| pattern.strip_suffix('*').is_some_and(|beginning| name.starts_with(beginning));
    if interfaces.iter().any(|pattern| pattern == "*") {
        return None;
    }
    let mut kept: Vec<&String> = interfaces.iter().collect();
    kept.sort();
    kept.dedup();
    let all = kept.clone();
    kept.retain(|name| !all.iter().any(|pattern| pattern != name && holds(pattern, name)));
    Some(any_of(&kept.iter().map(|name| format!("\"{}\"", clean(name, 16))).collect::<Vec<_>>()))
}

/// Text that may stand between quotes: nft has no way to write a quote inside of them. At most so many bytes.
pub(in crate::backend) fn clean(text: &str, bytes: usize) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let character = if character == '"' || character == '\\' || character.is_control() { '_' } else { character };
        if out.len() + character.len_utf8() > bytes {
            break;
        }
        out.push(character);
    }
    out
}
