//! Shell patterns for interface names: `*` is any text, `?` one character. No classes, no braces, no escapes: names
//! need none. Time is bounded by pattern × name, whatever the pattern.

/// Whether `name` as a whole is what `pattern` describes; case matters, as it does in names.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
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
            (Some(want), Some(is)) if want == '?' || want == is => {
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
    use super::matches;

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
}
