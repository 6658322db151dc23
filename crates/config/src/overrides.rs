//! Values from the environment and from flags, laid over those of the file.
//!
//! Reading the environment and the command line is the caller's business. Invariant: either all overrides are taken
//! over, or none and every problem is told.

use std::collections::BTreeSet;

use crate::problem::{Fault, Finding};
use crate::setting::Fill;
use crate::value::Input;
use crate::{Config, ConfigError, LogFormat, Origin, Origins, Place, Problem, SECTIONS, Setting, settings, suggest};

impl Config {
    /// Lays `overrides`, each a dotted key, a value as text and where it came from, over these values, in order.
    ///
    /// List items are parted by commas; a list that one flag or variable gives several times adds up, and replaces
    /// what stood there before. Call it even with nothing to lay over: it also checks that the values go together.
    /// On an error nothing was changed.
    pub fn apply<K: AsRef<str>, V: AsRef<str>>(
        &mut self,
        origins: &mut Origins,
        overrides: impl IntoIterator<Item = (K, V, Origin)>,
    ) -> Result<(), ConfigError> {
        let (mut config, mut laid) = (self.clone(), origins.clone());
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (key, value, origin) in overrides {
            let key = key.as_ref();
            let mut problem = |fault| {
                let place = Place::of(&origin, &laid.file_name);
                problems.push(Problem { place, key: key.to_owned(), fault });
            };
            let Some(setting) = Setting::by_key(key) else {
                problem(Fault::UnknownSetting { hint: hint(key, &origin) });
                continue;
            };
            let again = !seen.insert(key.to_owned()) && laid.get(key) == origin;
            let fill = if again { Fill::Append } else { Fill::Replace };
            match (setting.write)(&mut config, &Input::Text(value.as_ref()), &setting.kind, fill) {
                Ok(()) => laid.set(setting, origin),
                Err(findings) => findings.into_iter().for_each(|Finding { fault, .. }| problem(fault)),
            }
        }
        if problems.is_empty() {
            problems.extend(config.contradiction(&laid));
        }
        ConfigError::unless_empty(problems, 0)?;
        (*self, *origins) = (config, laid);
        Ok(())
    }

    /// Values that are each allowed and make no sense together.
    fn contradiction(&self, origins: &Origins) -> Option<Problem> {
        let problem = |key: &str, fault| Problem {
            place: Place::of(&origins.get(key), &origins.file_name),
            key: key.to_owned(),
            fault,
        };
        if self.log.format == LogFormat::Csv && !self.log.flows {
            return Some(problem("log.flows", Fault::NothingToLog));
        }
        match (self.api.tls_cert.is_empty(), self.api.tls_key.is_empty()) {
            (true, false) => Some(problem("api.tls_key", Fault::Alone { other: "api.tls_cert" })),
            (false, true) => Some(problem("api.tls_cert", Fault::Alone { other: "api.tls_key" })),
            _ => None,
        }
    }
}

fn hint(key: &str, origin: &Origin) -> String {
    let Some(setting) = suggest::key(key) else {
        return "`hivewall check` shows every setting there is".to_owned();
    };
    match origin {
        Origin::Environment(_) => format!("did you mean {}?", setting.env()),
        Origin::Flag(_) => format!("did you mean --{}?", setting.flag),
        Origin::Default | Origin::File { .. } => format!("did you mean `{}`?", setting.key),
    }
}

/// The overrides in an environment, for [`Config::apply`].
///
/// `HIVEWALL_` followed by a section is a setting, an unknown one too, so that a slip of the pen is told; any other
/// variable is not the configuration's and is left out. Sorted by name.
pub fn from_environment<K: AsRef<str>, V: Into<String>>(
    variables: impl IntoIterator<Item = (K, V)>,
) -> Vec<(String, String, Origin)> {
    let of_variable = |(name, value): (K, V)| {
        let name = name.as_ref();
        let key = match settings().find(|setting| setting.env() == name) {
            Some(setting) => setting.key.to_owned(),
            None => unknown_key(name)?,
        };
        Some((key, value.into(), Origin::Environment(name.to_owned())))
    };
    let mut overrides: Vec<_> = variables.into_iter().filter_map(of_variable).collect();
    overrides.sort_by(|a, b| a.0.cmp(&b.0));
    overrides
}

/// The key that a variable of one of the sections would stand for.
fn unknown_key(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix("HIVEWALL_")?.to_ascii_lowercase();
    let (section, name) = rest.split_once('_')?;
    SECTIONS.iter().any(|known| known.name == section).then(|| format!("{section}.{name}"))
}
