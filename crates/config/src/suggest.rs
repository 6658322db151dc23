//! What was probably meant by a name that does not exist.
//!
//! Only settings and words of this crate are ever suggested. Invariant: an existing name is suggested for itself,
//! and nothing is suggested that shares too little with what was written.

use crate::{Section, Setting, settings};

/// Longer names are not compared: the comparison takes the product of both lengths.
const COMPARED_BYTES_MAX: usize = 64;

/// Edits between two names, unless they are too many for one to be meant by the other.
fn distance(given: &str, name: &str) -> Option<usize> {
    if given.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let given = given.to_ascii_lowercase().replace('-', "_");
    let edits = strsim::damerau_levenshtein(&given, &name.replace('-', "_"));
    // A unit left out (`idle_timeout` for `idle_timeout_s`) or a word written in full (`maximum`) is no slip of a key.
    let begins = given.len() >= 4 && name.starts_with(given.as_str()) || name.len() >= 3 && given.starts_with(name);
    (begins || edits <= given.chars().count() / 3).then_some(edits)
}

/// The closest of `names`.
pub(crate) fn closest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names.filter_map(|name| Some((distance(given, name)?, name))).min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// The section that was meant by `given`.
pub(crate) fn section(given: &str) -> Option<&'static Section> {
    closest(given, crate::SECTIONS.iter().map(|section| section.name)).and_then(Section::by_name)
}

/// The setting that was meant by `given` within `section`; one of another section when none here is as close.
pub(crate) fn setting(section: &str, given: &str) -> Option<&'static Setting> {
    let rank = |setting: &'static Setting| Some((distance(given, setting.name)?, setting.section != section, setting));
    settings().filter_map(rank).min_by_key(|(edits, elsewhere, _)| (*edits, *elsewhere)).map(|(_, _, setting)| setting)
}

/// The setting that was meant by a dotted key.
pub(crate) fn key(given: &str) -> Option<&'static Setting> {
    let (section, name) = given.split_once('.').unwrap_or(("", given));
    closest(given, settings().map(|setting| setting.key)).and_then(Setting::by_key).or_else(|| setting(section, name))
}
