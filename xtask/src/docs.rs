//! `cargo xtask docs`: the pages of docs/reference, each written by the crate that owns what the page lists.
//!
//! Nothing is described here but the order of the pages. Invariant: a page in the repository is what its function gives
//! now; a plain test compares them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use hivewall_datapath::Reason;
use hivewall_view::fields::{FIELDS, FieldKind};

use crate::repo;

/// Where the pages lie.
const FOLDER: &str = "docs/reference";

/// File names and what is in them.
fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("settings.md", hivewall_config::reference_markdown()),
        ("metrics.md", hivewall_api::metrics_reference()),
        ("flow-fields.md", flow_fields()),
        ("reasons.md", reasons()),
        ("openapi.json", hivewall_api::openapi_json() + "\n"),
    ]
}

/// The page on detection, whose part about each detector is written from their definitions.
const DETECTION: &str = "docs/detection.md";
const BEGIN: &str = "<!-- detectors: begin, written by `cargo xtask docs` -->";
const END: &str = "<!-- detectors: end -->";

/// Writes the pages that differ.
pub(crate) fn run() -> Result<()> {
    let root = repo::root()?;
    std::fs::create_dir_all(root.join(FOLDER))?;
    for (name, text) in stale(&root) {
        std::fs::write(root.join(FOLDER).join(name), text).with_context(|| format!("cannot write {FOLDER}/{name}"))?;
        println!("{FOLDER}/{name} is new");
    }
    let detection = repo::text(&root, DETECTION)?;
    let wanted = with_detectors(&detection)?;
    if wanted != detection {
        std::fs::write(root.join(DETECTION), wanted).with_context(|| format!("cannot write {DETECTION}"))?;
        println!("{DETECTION} is new");
    }
    Ok(())
}

/// The page with the part about each detector as it is now.
fn with_detectors(page: &str) -> Result<String> {
    let missing = || format!("{DETECTION} lacks the lines\n{BEGIN}\n{END}");
    let (before, rest) = page.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", detectors()))
}

fn detectors() -> String {
    let mut page = String::new();
    for definition in hivewall_detect::definitions() {
        // Writing to a string cannot fail; here and below.
        let _ = writeln!(page, "\n### `{}`: {}\n", definition.name, definition.title);
        let technique = definition.technique.map_or_else(
            || "no technique of ATT&CK".to_owned(),
            |attack| format!("{} {} ({})", attack.id, attack.name, attack.tactic),
        );
        let spoofable = match definition.spoofable {
            hivewall_detect::Spoofable::Never => "its source is proven: it can lead to a response",
            hivewall_detect::Spoofable::Depends => "each sign says whether its source is proven",
            hivewall_detect::Spoofable::Always => "its source may be a lie: it never leads to a response",
        };
        let _ = writeln!(
            page,
            "Kind `{}`, severity {}; {technique}; {spoofable}.\n",
            definition.kind,
            definition.severity.name()
        );
        let _ = writeln!(page, "- **Catches:** {}", definition.sees);
        let _ = writeln!(page, "- **Misses:** {}", definition.misses);
        let _ = writeln!(page, "- **Evaded by:** {}", definition.evaded_by);
        for threshold in definition.thresholds {
            let unit = if threshold.unit.is_empty() { String::new() } else { format!(" {}", threshold.unit) };
            let _ = writeln!(
                page,
                "- `{}.{}` = {}{unit}: {}",
                definition.name, threshold.name, threshold.default, threshold.doc
            );
        }
    }
    page
}

/// The pages that are not in the repository as they should be.
fn stale(root: &Path) -> Vec<(&'static str, String)> {
    let differs = |name: &str, text: &str| repo::text(root, &format!("{FOLDER}/{name}")).ok().as_deref() != Some(text);
    pages().into_iter().filter(|(name, text)| differs(name, text)).collect()
}

fn flow_fields() -> String {
    let mut page = "# Fields of a flow\n\nThe keys of a flow in JSON (`-o json`, `-o jsonl`, the API) and the columns of CSV, in this order. A field that\n\
         does not apply is left out of the JSON and empty in CSV.\n\n| Field | Holds | Unit | CSV | Meaning |\n|---|---|---|---|---|\n"
        .to_owned();
    for field in FIELDS {
        let kind = match field.kind {
            FieldKind::Text => "text",
            FieldKind::Number => "number",
            FieldKind::Time => "time, RFC 3339",
            FieldKind::Bytes => "number of bytes",
            FieldKind::Flag => "true or false",
            FieldKind::List => "list",
        };
        let csv = if field.csv { "yes" } else { "no" };
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{}` | {kind} | {} | {csv} | {} |", field.name, field.unit, field.doc);
    }
    page
}

fn reasons() -> String {
    let mut page = "# Reasons\n\nEvery frame, or part of one, that is in no flow is counted under one of these, for each interface and direction: in\n\
         the metric `hivewall_frames_not_in_flows_total`, the snapshot and the terminal view. *Invalid* ones break a standard\n\
         and are also counted as invalid packets.\n\n| Reason | Number | Invalid | Meaning |\n|---|---|---|---|\n"
        .to_owned();
    for reason in Reason::ALL {
        let invalid = if reason.is_invalid() { "yes" } else { "no" };
        let _ = writeln!(page, "| `{}` | {} | {invalid} | {} |", reason.label(), *reason as u32, reason.doc());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_pages_are_what_the_code_says() {
        let stale: Vec<_> = stale(&repo::root().unwrap()).into_iter().map(|(name, _)| name).collect();
        assert!(stale.is_empty(), "run `cargo xtask docs` and commit {FOLDER}: {stale:?} differ");
    }

    #[test]
    fn the_page_on_detection_is_what_the_detectors_say_of_themselves() {
        let page = repo::text(&repo::root().unwrap(), DETECTION).unwrap();
        assert!(with_detectors(&page).unwrap() == page, "run `cargo xtask docs` and commit {DETECTION}");
    }

    #[test]
    fn every_detector_says_what_it_misses_and_how_it_is_evaded() {
        for definition in hivewall_detect::definitions() {
            for text in [definition.sees, definition.misses, definition.evaded_by] {
                assert!(text.len() > 10 && text.ends_with('.'), "{}: {text}", definition.name);
            }
            for threshold in definition.thresholds {
                let (least, most) = threshold.range;
                let is_within = (least..=most).contains(&threshold.default);
                assert!(is_within && threshold.doc.len() > 10, "{}.{}", definition.name, threshold.name);
            }
        }
    }

    #[test]
    fn every_reason_has_a_sentence_of_its_own() {
        for reason in Reason::ALL {
            assert!(reason.doc().ends_with('.'), "{}", reason.label());
        }
    }
}
