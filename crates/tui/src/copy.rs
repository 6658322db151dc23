//! Text to the clipboard of the terminal, also over SSH: OSC 52, "Manipulate Selection Data" of xterm's control
//! sequences. Not here: which text ([`crate::app`]) and the writing ([`crate::terminal`]).
//!
//! Invariant: nothing of the text reaches the terminal but as base64, so no text can command it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Most bytes that are copied: terminals drop sequences that are much longer.
pub(crate) const COPY_BYTES_MAX: usize = 48 * 1024;

/// The sequence that puts `text` onto the clipboard; `None` when it is too long.
pub(crate) fn sequence(text: &str) -> Option<String> {
    (text.len() <= COPY_BYTES_MAX).then(|| format!("\x1b]52;c;{}\x07", BASE64_STANDARD.encode(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_wrapped_as_xterm_wants_it() {
        // RFC 4648 §10: "foobar" is "Zm9vYmFy".
        assert_eq!(sequence("foobar").unwrap(), "\x1b]52;c;Zm9vYmFy\x07");
        assert!(!sequence("\x1b[2J\x07").unwrap().contains("\x1b[2J"));
        assert_eq!(sequence(&"x".repeat(COPY_BYTES_MAX + 1)), None);
    }
}
