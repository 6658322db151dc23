//! The JSON Schema of policies, for editors. It comes from the types of `document`; a test holds examples against it.
//!
//! A schema knows shapes and words. What a document means (sets that exist, ports that need a protocol, rules that can
//! match) only the reader checks: what the reader takes the schema takes too, and not the other way round.

#[cfg(test)]
mod tests;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::Document;

/// The schema of `kind: Policy`, JSON Schema draft 2020-12.
pub fn policy_schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>();
    let mut schema = schema.to_value();
    if let Value::Object(map) = &mut schema {
        map.insert("title".to_owned(), "Hivewall policy".into());
    }
    schema
}
