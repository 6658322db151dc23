//! Pictures of rules.
