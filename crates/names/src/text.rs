//! Text from the network: made valid UTF-8 and cut to a length, nothing else. Whoever shows it cleans it.

/// At most `max` bytes of `bytes` as text; what is not UTF-8 is replaced.
pub(crate) fn text(bytes: &[u8], max: usize) -> Box<str> {
    let lossy = String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes));
    let mut end = lossy.len().min(max);
    while !lossy.is_char_boundary(end) {
        end -= 1;
    }
    lossy.get(..end).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf8_of_at_most_so_many_bytes() {
        assert_eq!(&*text(b"abc", 2), "ab");
        assert_eq!(&*text("aé".as_bytes(), 2), "a", "half of a character is left out");
        assert_eq!(&*text(b"\xff\xff", 4), "\u{fffd}", "the replacement takes three bytes");
        assert_eq!(&*text(b"", 0), "");
    }
}
