//! Where each value came from.
//!
//! Values themselves live in the configuration. Invariant: a setting that is not listed has its default.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::{Config, Setting, settings};

/// Where one value came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// Nobody gave one.
    #[default]
    Default,
    /// The configuration file.
    File {
        /// Line of the key, from 1.
        line: usize,
    },
    /// The environment variable of this name.
    Environment(String),
    /// The flag of this name, without dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "line {line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The origins of all values of one [`Config`]; the default is that of the default configuration.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origins {
    pub(crate) file_name: String,
    by_key: BTreeMap<&'static str, Origin>,
}

impl Origins {
    pub(crate) fn new(file_name: &str) -> Self {
        Self { file_name: file_name.to_owned(), by_key: BTreeMap::new() }
    }

    pub(crate) fn set(&mut self, setting: &Setting, origin: Origin) {
        self.by_key.insert(setting.key, origin);
    }

    /// Name of the file that was parsed, as it was given; empty when there was none.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Where the value of `key` came from.
    pub fn get(&self, key: &str) -> Origin {
        self.by_key.get(key).cloned().unwrap_or_default()
    }
}

/// One setting as `hivewall check` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Dotted key.
    pub key: &'static str,
    /// Value as it would stand in the file.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// What it does.
    pub doc: &'static str,
}

impl Config {
    /// Every setting with its value and origin, in the order of the documentation.
    pub fn explain(&self, origins: &Origins) -> Vec<Explained> {
        let explained = |setting: &'static Setting| Explained {
            key: setting.key,
            value: setting.value(self),
            origin: origins.get(setting.key),
            doc: setting.doc,
        };
        settings().map(explained).collect()
    }
}
