//! YAML as a tree of values with places.
//!
//! The events come from a maintained parser. What makes a text read as something else than what stands there (anchors,
//! aliases, tags, several documents) is refused. Invariant: the tree is as deep as [`DEPTH_MAX`] at most, so that walking
//! it needs no care.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::problem::Fault;

/// How deep lists and maps may stand in one another.
pub(super) const DEPTH_MAX: usize = 12;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// A text without quotes, which may stand for a number.
    Plain(Box<str>),
    /// A text in quotes.
    Quoted(Box<str>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// What stopped the reading.
pub(super) type Stop = (Range<usize>, Fault);

/// The one document of a text.
pub(super) fn tree(text: &str) -> Result<Node, Stop> {
    let mut events = Events { parser: Parser::new_from_str(text), text };
    let mut root = None;
    loop {
        let (event, span) = events.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if root.is_some() => return Err((span, Fault::SecondDocument)),
            event => root = Some(events.node(event, span, 0)?),
        }
    }
    match root {
        Some(Node { value: Value::Plain(plain), span }) if plain.is_empty() => Err((span, Fault::Empty)),
        Some(root) => Ok(root),
        None => Err((0..0, Fault::Empty)),
    }
}

struct Events<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    text: &'t str,
}

impl<'t> Events<'t> {
    /// The next event that is no comment.
    fn next(&mut self) -> Result<(Event<'t>, Range<usize>), Stop> {
        loop {
            match self.parser.next_event() {
                None => return Ok((Event::StreamEnd, self.text.len()..self.text.len())),
                Some(Err(error)) => return Err(self.syntax(&error)),
                Some(Ok((event, span))) => {
                    if let Some(tag) = span.tag_span() {
                        let span = bytes(&tag);
                        let tag = self.text.get(span.clone()).unwrap_or_default().to_owned();
                        return Err((span, Fault::Tag { tag }));
                    }
                    let span = bytes(&span);
                    match event {
                        Event::Alias(_) | Event::UnresolvedAlias(_) => return Err((span, Fault::Alias)),
                        Event::Scalar(_, _, anchor, _)
                        | Event::SequenceStart(_, anchor, _)
                        | Event::MappingStart(_, anchor, _)
                            if anchor > 0 =>
                        {
                            return Err((span, Fault::Alias));
                        }
                        event if event.is_node() || is_structure(&event) => return Ok((event, span)),
                        _ => {}
                    }
                }
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Range<usize>, depth: usize) -> Result<Node, Stop> {
        if depth > DEPTH_MAX {
            return Err((span, Fault::TooDeep { max: DEPTH_MAX }));
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let text = text.into_owned().into_boxed_str();
                let value = if style == ScalarStyle::Plain { Value::Plain(text) } else { Value::Quoted(text) };
                Ok(Node { span, value })
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => {
                            return Ok(Node { span: span.start..end.end.max(span.end), value: Value::List(items) });
                        }
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, end) => {
                            return Ok(Node { span: span.start..end.end.max(span.end), value: Value::Map(entries) });
                        }
                        (event, span) => self.node(event, span, depth + 1)?,
                    };
                    let (event, span) = self.next()?;
                    entries.push((key, self.node(event, span, depth + 1)?));
                }
            }
            // The parser closes what it opened; should it not, the text is still refused.
            _ => Err((span, Fault::Empty)),
        }
    }

    fn syntax(&self, error: &ScanError) -> Stop {
        let at = error.marker().byte_offset().unwrap_or_default().min(self.text.len());
        let at = self.text.floor_char_boundary(at);
        let rest = self.text.get(at..).unwrap_or_default();
        let before = self.text.get(..at).unwrap_or_default();
        let message = error.info().lines().next().unwrap_or_default().to_owned();
        let width = rest.chars().next().map_or(0, char::len_utf8);
        let span = at..at + width;
        if message.contains("recursion limit") {
            return (span, Fault::TooDeep { max: DEPTH_MAX });
        }
        let mend = match rest.chars().next() {
            _ if message.contains("unclosed quote") => "write the quote that closes it",
            _ if message.contains("unclosed bracket") => "write the bracket that closes it",
            _ if message.contains("tabs") => "indent with spaces",
            Some('@' | '`' | '%') => "a text that begins with this sign needs quotes: `\"@NAME\"`",
            Some('*' | '&') => "a text that begins with this sign needs quotes: `\"*\"`",
            None => "something that was opened before is not closed: a quote, `[` or `{`",
            _ if before.trim_end().ends_with(':') || rest.starts_with(':') => {
                "a text with a colon in it, such as an IPv6 address, needs quotes"
            }
            _ => "look for a missing comma, quote or bracket before this place, or an indentation that differs",
        };
        (span, Fault::Syntax { message, mend })
    }
}

fn is_structure(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd
    )
}

fn bytes(span: &Span) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or_default();
    start..span.end.byte_offset().unwrap_or(start).max(start)
}
