//! What a log is, told from its first lines.

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// One JSON object a line, or one a line within a document.
    JsonLines,
    /// A JSON document laid out otherwise.
    JsonDocument,
    /// Comma-separated values with a header.
    Csv,
    /// Lines for people.
    Console,
}

impl LogKind {
    /// The name shown everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "json lines",
            Self::JsonDocument => "json document",
            Self::Csv => "csv",
            Self::Console => "console",
        }
    }
}

/// The same, as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lines,
    Objects,
    Csv,
    Console,
}

impl Kind {
    pub(crate) fn name(self) -> LogKind {
        match self {
            Self::Lines => LogKind::JsonLines,
            Self::Objects => LogKind::JsonDocument,
            Self::Csv => LogKind::Csv,
            Self::Console => LogKind::Console,
        }
    }
}

/// What these first lines are the beginning of.
pub(crate) fn detect(head: &[Vec<u8>]) -> Option<Kind> {
    let lines = || head.iter().map(|line| line.trim_ascii()).filter(|line| !line.is_empty());
    let first = lines().next()?;
    if first.starts_with(b"{") || first.starts_with(b"[") {
        // Our own documents, and most others, have one event a line; then a broken one costs no more than itself.
        let whole = |line: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bare_object(line)).is_ok();
        let one_a_line = lines().map(bare_object).find(|line| !line.is_empty()).is_some_and(whole);
        return Some(if one_a_line && !is_page(first) { Kind::Lines } else { Kind::Objects });
    }
    let text = std::str::from_utf8(first).ok()?;
    if ["source_ip", "dest_ip"].iter().all(|column| text.split(',').any(|is| is.trim_matches('"') == *column)) {
        return Some(Kind::Csv);
    }
    // The first lines of a console log may be of something else that wrote to the same terminal.
    lines().any(crate::console::looks_like).then_some(Kind::Console)
}

/// Whether a whole page of flows, or a snapshot, stands in the first line.
fn is_page(first: &[u8]) -> bool {
    const MARK: &[u8] = b"\"flows\":[";
    first.windows(MARK.len()).any(|window| window == MARK)
}

/// The object on a line, without what stands around it in a document.
pub(crate) fn bare_object(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii();
    line = line.strip_prefix(b"[").unwrap_or(line).trim_ascii();
    for close in [b",".as_slice(), b"]", b","] {
        // `]` belongs to the object where one ends with it.
        if line.ends_with(b"]") && line.starts_with(b"{") && !line.ends_with(b"}]") {
            break;
        }
        line = line.strip_suffix(close).unwrap_or(line).trim_ascii();
    }
    line
}
