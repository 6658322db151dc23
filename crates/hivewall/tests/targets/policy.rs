//! The bodies of targets about policies.

use hivewall_policy::{HostFacts, NoMembers, PolicyError, Problem, Severity, parse, pointed, resolve};

/// Text as a policy: it is taken, or every problem points into the text and says something on one line; what was taken
/// is printed and read again as the same.
pub(crate) fn policy_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse(text) {
        Ok(parsed) => {
            check_problems(&parsed.warnings, text);
            for printed in [parsed.document.to_yaml(), parsed.document.to_json()] {
                let again = parse(&printed).unwrap_or_else(|error| panic!("{}", error.pointed("printed", &printed)));
                assert_eq!(again.document, parsed.document, "{printed}");
            }
            let no_files = NoMembers(|_: &str| Err(std::io::ErrorKind::NotFound.into()));
            if let Err(error) = resolve(&parsed, &HostFacts::default(), &no_files) {
                check_error(&error, text);
            }
        }
        Err(error) => check_error(&error, text),
    }
}

fn check_error(error: &PolicyError, text: &str) {
    assert!(error.problems.iter().any(|problem| problem.severity == Severity::Error));
    check_problems(&error.problems, text);
}

fn check_problems(problems: &[Problem], text: &str) {
    for problem in problems {
        let place = &problem.place;
        assert!(text.get(place.span.clone()).is_some(), "{place:?} is no part of the text");
        let before = text.get(..place.span.start).expect("checked above");
        assert_eq!(place.line as usize, before.matches('\n').count() + 1);
        assert!(!problem.fault.to_string().contains('\n'));
    }
    assert_eq!(pointed(problems, "a", text).lines().filter(|line| line.starts_with("  -->")).count(), problems.len());
}
