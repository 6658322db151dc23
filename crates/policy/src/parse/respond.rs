//! Responses of a document. Which detectors there are is not known here: whoever takes a document up checks their names.

use super::reader::Reader;
use super::scalar;
use super::tree::{Node, Value};
use crate::document::{Detectors, Respond};

/// How long a response may hold.
const SPAN: std::ops::RangeInclusive<u64> = 10..=720 * 3600;
const KEYS: &[&str] = &["on", "do", "for", "severity", "most", "rate", "prefix4", "prefix6"];
const EXAMPLE: &str = "- {on: brute_force, do: ban, for: 1h}";

impl Reader<'_> {
    pub(super) fn responses(&mut self, node: &Node) -> Vec<Respond> {
        let Value::List(items) = &node.value else {
            self.wrong_shape::<()>(node, "a list of responses", EXAMPLE);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.respond(item)).collect()
    }

    fn respond(&mut self, node: &Node) -> Option<Respond> {
        let fields = self.fields(node, "a response", KEYS, EXAMPLE)?;
        let on = self
            .required(&fields, "on", EXAMPLE)
            .and_then(|node| self.each(node, |reader, node| reader.name(node).map(str::to_owned)));
        let reaction = self.required(&fields, "do", EXAMPLE).and_then(|node| self.word(node));
        let span = fields.get("for").map(|node| {
            let text = self.scalar(node, "a span of time", "1h")?;
            self.told(&node.span, scalar::seconds(text, SPAN, "from 10s to 720h"))
        });
        let severity = fields.get("severity").map(|node| self.word(node));
        let rate = fields.get("rate").map(|node| {
            let text = self.scalar(node, "a rate", "10/m")?;
            self.told(&node.span, scalar::rate(text))
        });
        let most = fields.get("most").map(|node| self.number(node, 1, 10_000, "a whole number from 1 to 10000"));
        let prefix4 = fields.get("prefix4").map(|node| self.number(node, 24, 32, "a length from 24 to 32"));
        let prefix6 = fields.get("prefix6").map(|node| self.number(node, 48, 128, "a length from 48 to 128"));
        Some(Respond {
            on: Detectors(on?),
            reaction: reaction?,
            span: span.unwrap_or(Some(Respond::span_default()))?,
            severity: severity.unwrap_or(Some(crate::document::Grade::default()))?,
            most: most.map_or(Some(Respond::most_default()), |most| most.map(|most| most as u32))?,
            rate: rate.unwrap_or(Some(Respond::rate_default()))?,
            prefix4: prefix4.map_or(Some(Respond::prefix4_default()), |length| length.map(|length| length as u8))?,
            prefix6: prefix6.map_or(Some(Respond::prefix6_default()), |length| length.map(|length| length as u8))?,
        })
    }
}
