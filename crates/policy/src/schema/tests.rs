//! The schema takes what the reader takes.

use serde_json::Value;

use super::policy_schema;
use crate::parse::{self, tests::DESIGN};

fn refusals(instance: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(&policy_schema()).expect("a schema");
    validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn examples() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/policy");
    let mut all = vec![("the design".to_owned(), DESIGN.to_owned())];
    for entry in std::fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            all.push((path.display().to_string(), std::fs::read_to_string(&path).expect("an example")));
        }
    }
    assert!(all.len() > 4, "the examples are there");
    all
}

#[test]
fn examples_are_read_and_the_schema_takes_them() {
    for (name, text) in examples() {
        let parsed = parse::parse(&text).unwrap_or_else(|error| panic!("{}", error.pointed(&name, &text)));
        assert_eq!(parsed.warnings, [], "{name}");
        assert_eq!(refusals(&parse::json_of(&text)), Vec::<String>::new(), "{name} as it is written");
        let printed = serde_json::to_value(&parsed.document).expect("a document");
        assert_eq!(refusals(&printed), Vec::<String>::new(), "{name} as it is printed");
        assert_eq!(parse::parse(&parsed.document.to_yaml()).expect(&name).document, parsed.document);
    }
}

#[test]
fn the_schema_refuses_slips() {
    let text = DESIGN.replace("action: drop", "acton: drop").replace("dir: in, proto", "dir: inn, proto");
    assert_eq!(refusals(&parse::json_of(&text)).len(), 5);
}
