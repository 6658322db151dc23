//! Shell patterns for names: `*` is any text, `?` one character. No classes, no braces, no escapes: names need none.
//! Time is bounded by pattern × name, whatever the pattern.

/// Whether `name` as a whole is what `pattern` describes; case matters, as it does in names of this host's things.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    walk(pattern, name, |want, is| want == is)
}

/// The same, ASCII letters in either case: for names that protocols carry.
pub(crate) fn matches_in_any_case(pattern: &str, name: &str) -> bool {
    walk(pattern, name, |want, is| want.eq_ignore_ascii_case(&is))
}

fn walk(pattern: &str, name: &str, same: impl Fn(char, char) -> bool) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    // Where to go on after a mismatch: behind the latest star, with one more character given to it.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut rest = pattern.clone();
        match (rest.next(), name.clone().next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((rest.clone(), name.clone()));
                pattern = rest;
                continue;
            }
            (Some(want), Some(is)) if want == '?' || same(want, is) => {
                pattern = rest;
                name.next();
                continue;
            }
            _ => {}
        }
        let Some((behind_star, mut given)) = retry else { return false };
        if given.next().is_none() {
            return false;
        }
        pattern = behind_star.clone();
        name = given.clone();
        retry = Some((behind_star, given));
    }
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_in_any_case};

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, name, want) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth0", true),
            ("eth*", "eth", true),
            ("eth?", "eth", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*.100", "eth0.100", true),
            ("*.100", "eth0.1000", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbX", false),
            ("br-?*", "br-", false),
            ("ETH*", "eth0", false),
            ("é?", "éö", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }
    #[test]
    fn case_can_be_left_out_of_account() {
        assert!(matches_in_any_case("*.EXAMPLE.com", "www.example.Com"));
        assert!(!matches_in_any_case("*.example.com", "example.com"));
    }
}
