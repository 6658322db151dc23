//! The file: TOML text to a typed configuration.
//!
//! Syntax is the `toml` crate's; which keys exist and which values are allowed is the table's. Invariant: every
//! problem is told with its line and column, except those that may only follow from an earlier error of syntax.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::problem::{Fault, Finding, PROBLEMS_MAX, shown};
use crate::setting::Fill;
use crate::value::Input;
use crate::{Config, ConfigError, Origin, Origins, Place, Problem, SECTIONS, Section, Setting, suggest};

/// Longest text that is parsed, bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

impl Config {
    /// Reads the text of a configuration file; `file_name` only serves to name it in messages.
    ///
    /// What the text does not set has its default. An error tells everything that is wrong with it.
    pub fn parse(text: &str, file_name: &str) -> Result<(Self, Origins), ConfigError> {
        let mut reader = Reader::new(text, file_name);
        if text.len() > TEXT_BYTES_MAX {
            let place = Place::File { name: file_name.to_owned(), line: 1, column: 0 };
            let fault = Fault::FileTooLong { bytes: text.len(), max: TEXT_BYTES_MAX };
            reader.problems.push(Problem { place, key: String::new(), fault });
        } else {
            let (document, errors) = DeTable::parse_recoverable(text);
            reader.syntax(&errors);
            for (name, value) in in_order(document.get_ref()) {
                reader.section(name, value);
            }
        }
        ConfigError::unless_empty(reader.problems, reader.uncollected)?;
        Ok((reader.config, reader.origins))
    }
}

type Entry<'a> = (&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>);

/// The entries as the file has them; the table itself is sorted by name.
fn in_order<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

struct Reader<'a> {
    text: &'a str,
    /// Offset of the first character of each line.
    lines: Vec<usize>,
    /// Offset of the first error of syntax; what ends beyond it was only guessed by the parser.
    sound: usize,
    config: Config,
    origins: Origins,
    problems: Vec<Problem>,
    /// Problems beyond those.
    uncollected: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, file_name: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let origins = Origins::new(file_name);
        Self {
            text,
            lines,
            sound: usize::MAX,
            config: Config::default(),
            origins,
            problems: Vec::new(),
            uncollected: 0,
        }
    }

    /// Line and column of an offset, from 1; columns are characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }

    /// `fault` is made for what will be told alone: a hostile file would have the closest name sought a million times.
    fn problem(&mut self, at: usize, key: &str, fault: impl FnOnce() -> Fault) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.uncollected += 1;
            return;
        }
        let (line, column) = self.position(at);
        let place = Place::File { name: self.origins.file_name.clone(), line, column };
        self.problems.push(Problem { place, key: key.to_owned(), fault: fault() });
    }

    fn syntax(&mut self, errors: &[toml::de::Error]) {
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.sound = self.sound.min(at);
            self.problem(at, "", || Fault::Syntax { message: shown(error.message()) });
        }
    }

    fn is_sound(&self, key: &Range<usize>, value: &Range<usize>) -> bool {
        // The parser stands in a value at offset 0 where there is none.
        self.sound == usize::MAX || (key.end <= value.start && value.end < self.sound)
    }

    fn section(&mut self, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let at = name.span().start;
        let sound = self.is_sound(&name.span(), &value.span());
        let given: &str = name.get_ref();
        match (Section::by_name(given), value.get_ref()) {
            (Some(section), DeValue::Table(table)) => {
                for (name, value) in in_order(table) {
                    self.setting(section, name, value);
                }
            }
            _ if !sound => {}
            (Some(section), _) => self.problem(at, given, || Fault::NotASection { section: section.name }),
            (None, DeValue::Table(_)) => {
                self.problem(at, given, || Fault::UnknownSection { hint: section_hint(given) });
            }
            (None, _) => {
                let hint = || suggest::key(given).map_or_else(sections, file_hint);
                self.problem(at, given, || Fault::UnknownSetting { hint: hint() });
            }
        }
    }

    fn setting(&mut self, section: &Section, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let sound = self.is_sound(&name.span(), &value.span());
        let given: &str = name.get_ref();
        let at = name.span().start;
        let Some(setting) = section.settings.iter().find(|setting| setting.name == given) else {
            if sound {
                let key = format!("{}.{given}", section.name);
                self.problem(at, &key, || Fault::UnknownSetting { hint: setting_hint(section, given) });
            }
            return;
        };
        match (setting.write)(&mut self.config, &Input::Toml(value), &setting.kind, Fill::Replace) {
            Ok(()) => self.origins.set(setting, Origin::File { line: self.position(at).0 }),
            Err(findings) if sound => {
                for Finding { span, fault } in findings {
                    self.problem(span.unwrap_or_else(|| value.span()).start, setting.key, || fault);
                }
            }
            Err(_) => {}
        }
    }
}

fn file_hint(setting: &Setting) -> String {
    format!("did you mean `{}` in [{}]?", setting.name, setting.section)
}

fn sections() -> String {
    let names: Vec<String> = SECTIONS.iter().map(|section| format!("[{}]", section.name)).collect();
    format!("the sections are {}", names.join(", "))
}

fn section_hint(given: &str) -> String {
    suggest::section(given).map_or_else(sections, |section| format!("did you mean [{}]?", section.name))
}

fn setting_hint(section: &Section, given: &str) -> String {
    match suggest::setting(section.name, given) {
        Some(setting) if setting.section == section.name => format!("did you mean `{}`?", setting.name),
        Some(setting) => file_hint(setting),
        None => {
            let names: Vec<&str> = section.settings.iter().map(|setting| setting.name).collect();
            format!("[{}] has {}", section.name, names.join(", "))
        }
    }
}
