//! What can be asked about flows and what is told of them, as a document: the filter's fields and a flow's columns. For
//! pages and editors that complete what somebody types.
//!
//! Invariant: everything here comes from the tables that read filters and write rows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fields::{FIELDS, FieldKind};
use crate::filter::keys;

/// Fields of filters, and columns of flows (`GET /api/v1/fields`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldCatalogue {
    /// What a filter can name, in the order of the reference.
    pub filter: Vec<FilterField>,
    /// What a flow has, in the order of the JSON document.
    pub columns: Vec<FlowColumn>,
}

/// A field that a filter can name, also with `-` before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilterField {
    /// What stands before the colon.
    pub name: String,
    /// What is to be written behind it, as a noun phrase.
    pub expects: String,
    /// What it does, one sentence.
    pub doc: String,
    /// Values that can stand there, for example.
    pub examples: Vec<String>,
    /// The words it takes, where it takes only some.
    pub words: Vec<String>,
}

/// One column of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowColumn {
    /// Key in the JSON.
    pub name: String,
    /// Short header.
    pub title: String,
    /// What it says, one sentence.
    pub doc: String,
    /// Unit of the number; empty where there is none.
    pub unit: String,
    /// `text`, `number`, `time`, `bytes`, `flag` or `list`.
    pub kind: String,
}

impl FieldCatalogue {
    /// All of them.
    pub fn new() -> Self {
        let filter = keys().map(|key| FilterField {
            name: key.name.to_owned(),
            expects: key.kind.expects().to_owned(),
            doc: key.doc.to_owned(),
            examples: key
                .example
                .strip_prefix(key.name)
                .map(|value| value.trim_start_matches(':').to_owned())
                .into_iter()
                .collect(),
            words: key.kind.choices().iter().map(|word| (*word).to_owned()).collect(),
        });
        let columns = FIELDS.iter().map(|field| FlowColumn {
            name: field.name.to_owned(),
            title: field.title.to_owned(),
            doc: field.doc.to_owned(),
            unit: field.unit.to_owned(),
            kind: kind(field.kind).to_owned(),
        });
        Self { filter: filter.collect(), columns: columns.collect() }
    }
}

fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Number => "number",
        FieldKind::Time => "time",
        FieldKind::Bytes => "bytes",
        FieldKind::Flag => "flag",
        FieldKind::List => "list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;
    use hivewall_model::Timestamp;

    #[test]
    fn every_example_and_every_word_makes_a_filter() {
        let catalogue = FieldCatalogue::new();
        assert!(catalogue.filter.len() > 40 && catalogue.columns.len() > 40);
        for field in catalogue.filter {
            let values: Vec<&String> = field.examples.iter().chain(&field.words).collect();
            assert!(!values.is_empty(), "{}: nothing to offer", field.name);
            for value in values {
                for sign in ["", "-"] {
                    let line = format!("{sign}{}:{value}", field.name);
                    assert!(Filter::parse(&line, Timestamp(0)).is_ok(), "{line}");
                }
            }
        }
    }
}
