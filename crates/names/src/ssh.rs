//! SSH identification lines (RFC 4253 §4.2), with the lines that a server may send before its own.

use crate::http::Step;
use crate::text::text;

/// Longest identification line, line end included.
const LINE_BYTES_MAX: usize = 255;
/// Most that is looked through for it.
const LINES_BYTES_MAX: usize = 4096;
const PREFIX: &[u8] = b"SSH-";

/// The identification line in the first bytes of a direction. `lines_before` when other lines may precede it.
pub(crate) fn banner(bytes: &[u8], lines_before: bool) -> Step<Box<str>> {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(PREFIX) {
            let line = rest.get(..LINE_BYTES_MAX).unwrap_or(rest);
            return match line.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let line = line.get(..end).unwrap_or_default();
                    Step::Done(text(line.strip_suffix(b"\r").unwrap_or(line), LINE_BYTES_MAX), at + end + 1)
                }
                None if line.len() < LINE_BYTES_MAX => Step::More,
                None => Step::Refused,
            };
        }
        if PREFIX.starts_with(rest) {
            return Step::More;
        }
        if !lines_before || at > LINES_BYTES_MAX {
            return Step::Refused;
        }
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => at += end + 1,
            None => return if is_text(rest) && rest.len() < LINES_BYTES_MAX { Step::More } else { Step::Refused },
        }
    }
    // What is here so far is whole lines, of text.
    if lines_before && is_text(bytes) { Step::More } else { Step::Refused }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..))
}
