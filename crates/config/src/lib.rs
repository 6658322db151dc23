//! The configuration of the agent: one TOML file, every value also as an environment variable or a flag.
//!
//! One table ([`SECTIONS`]) says everything about every setting: name, type, default, range, what it does, example,
//! flag and variable. The typed [`Config`], the defaults, parsing, help, the sample file, the reference page and
//! `hivewall check` all come from it. Nothing here reads a file, the environment or the clock: whoever calls brings
//! the text. Invariant: a [`Config`] that came out of this crate holds only values within their ranges, and a failed
//! call leaves the one it was called on as it was.
#![forbid(unsafe_code)]

mod choice;
mod label;
mod meaning;
mod origin;
mod overrides;
mod pages;
mod parse;
mod pattern;
mod problem;
mod setting;
mod settings;
mod suggest;
mod value;
mod word;

#[cfg(test)]
mod tests;

pub use choice::{AlertCapture, Backend, Choice, Enforcement, Front, LogFormat, LogLevel, Login, Sandboxing};
pub use label::{Label, NoLabel};
pub use origin::{Explained, Origin, Origins};
pub use overrides::from_environment;
pub use pages::{reference_markdown, sample_toml};
pub use parse::TEXT_BYTES_MAX;
pub use pattern::{NAME_BYTES_MAX, Pattern, PatternError};
pub use problem::{ConfigError, Fault, PROBLEMS_MAX, Place, Problem};
pub use setting::{Kind, Section, Setting, settings};
pub use settings::{
    Agent, Alerts, Api, Capture, Config, Detect, Export, Fleet, Flows, History, Log, Names, Otlp, Privileges,
    Processes, SECTIONS, Traffic,
};
pub use word::{NoWord, Word};
