//! What is known about a setting, apart from its value.
//!
//! The settings themselves are in `settings.rs`. Invariant: what [`Kind`] says is allowed is exactly what parsing
//! accepts.

use std::fmt::Write as _;

use crate::problem::Finding;
use crate::value::Input;
use crate::{Choice, Config, SECTIONS};

/// Longest host name, bytes (RFC 1035 §2.3.4, without the root).
pub(crate) const HOST_NAME_BYTES_MAX: usize = 253;
/// Most patterns in one list.
pub(crate) const PATTERNS_MAX: usize = 256;
/// Most networks in one list.
pub(crate) const NETWORKS_MAX: usize = 4_096;
/// Most addresses in one list.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// Most labels of a host.
pub(crate) const LABELS_MAX: usize = 32;
/// Most words in one list.
pub(crate) const WORDS_MAX: usize = 256;
/// Longest name or value of a label, bytes.
pub(crate) const LABEL_BYTES_MAX: usize = 64;

/// A group of settings: one table of the file.
#[derive(Debug)]
pub struct Section {
    /// Name of the table.
    pub name: &'static str,
    /// What it is about.
    pub doc: &'static str,
    /// Its settings, in the order of the documentation.
    pub settings: &'static [Setting],
}

impl Section {
    /// The section of this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        SECTIONS.iter().find(|section| section.name == name)
    }
}

/// The kind of a value, and which values of it are allowed.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Number {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
        /// What 0 means, where it is allowed beside the range.
        zero: Option<&'static str>,
        /// What is counted, in the plural.
        unit: &'static str,
    },
    /// One of these words.
    Choice(&'static [Choice]),
    /// The name of a host.
    HostName {
        /// What the empty text means.
        empty: &'static str,
    },
    /// The path of a file.
    Path {
        /// What the empty text means.
        empty: &'static str,
    },
    /// An address of this host and a TCP port.
    Listen,
    /// Patterns over interface names.
    Patterns,
    /// Networks.
    Networks,
    /// An address and a UDP port, of any network.
    Bind,
    /// Addresses with ports.
    Addresses,
    /// Labels of a host: `name=value`.
    Labels,
    /// Words that are understood elsewhere.
    Words {
        /// What one is, in words.
        what: &'static str,
    },
}

impl Kind {
    /// The type as people call it: `number`, `list`, ….
    pub fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Number { .. } => "number",
            Self::Choice(_) | Self::HostName { .. } | Self::Path { .. } | Self::Listen | Self::Bind => "text",
            Self::Patterns | Self::Networks | Self::Addresses | Self::Labels | Self::Words { .. } => "list of texts",
        }
    }

    /// Whether a value is a list, which a flag given several times adds up.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::Patterns | Self::Networks | Self::Addresses | Self::Labels | Self::Words { .. })
    }

    /// What is allowed, in words.
    pub fn allowed(&self) -> String {
        match self {
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Number { min, max, zero: None, unit } => format!("{min} to {max} {unit}"),
            Self::Number { min, max, zero: Some(zero), unit } => format!("0 ({zero}), or {min} to {max} {unit}"),
            Self::Choice(choices) => one_of(choices),
            Self::HostName { empty } => format!(
                "up to {HOST_NAME_BYTES_MAX} letters, digits, `.`, `-` and `_`, starting with a letter or digit; \
                 empty means {empty}"
            ),
            Self::Path { empty } => format!("the path of a file; empty means {empty}"),
            Self::Listen => "an address of this host and a port, such as `127.0.0.1:7733` or `0.0.0.0:7733`".to_owned(),
            Self::Patterns => {
                format!("up to {PATTERNS_MAX} interface names, or patterns with `*` and `?`; a leading `!` excludes")
            }
            Self::Networks => format!(
                "up to {NETWORKS_MAX} networks such as `10.0.0.0/8` or `2001:db8::/32`; an address alone stands for \
                 itself"
            ),
            Self::Bind => "an address and a port, such as `[::]:7734` for every address of this host".to_owned(),
            Self::Addresses => {
                format!("up to {ADDRESSES_MAX} addresses with ports, such as `192.0.2.1:7734` or `[2001:db8::1]:7734`")
            }
            Self::Labels => format!(
                "up to {LABELS_MAX} labels such as `role=web`, each name once; names and values of up to \
                 {LABEL_BYTES_MAX} letters, digits, `.`, `-`, `_` and `/`"
            ),
            Self::Words { what } => format!("up to {WORDS_MAX} texts without commas, each {what}"),
        }
    }

    /// What one item of a list is allowed to be, in words; of anything else, the whole.
    pub(crate) fn item_allowed(&self) -> String {
        match self {
            Self::Patterns => "an interface name such as `eth0`, or a pattern such as `en*`".to_owned(),
            Self::Networks => "a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address".to_owned(),
            Self::Addresses => "an address with a port, such as `192.0.2.1:7734`".to_owned(),
            Self::Labels => "a label such as `role=web`".to_owned(),
            Self::Words { what } => (*what).to_owned(),
            _ => self.allowed(),
        }
    }
}

fn one_of(choices: &[Choice]) -> String {
    let mut out = String::new();
    for (index, choice) in choices.iter().enumerate() {
        let parting = match index {
            0 => "",
            _ if index + 1 == choices.len() => " or ",
            _ => ", ",
        };
        let _ = write!(out, "{parting}`{}`", choice.name);
    }
    out
}

/// Whether what was written replaces what stood there or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    Replace,
    Append,
}

/// Puts a value into its field, or finds everything that is wrong with it.
pub(crate) type Write = fn(&mut Config, &Input<'_>, &Kind, Fill) -> Result<(), Vec<Finding>>;

/// Everything about one setting.
#[derive(Debug)]
pub struct Setting {
    /// Dotted key: `section.name`.
    pub key: &'static str,
    /// Name of its table.
    pub section: &'static str,
    /// Name within its table.
    pub name: &'static str,
    /// What it does, in one paragraph.
    pub doc: &'static str,
    /// Which values are allowed.
    pub kind: Kind,
    /// Name of the flag of `hivewall run`, without dashes.
    pub flag: &'static str,
    /// A value other than the default, as it would stand in the file.
    pub example: &'static str,
    pub(crate) read: fn(&Config) -> String,
    pub(crate) write: Write,
}

impl Setting {
    /// The setting of this dotted key.
    pub fn by_key(key: &str) -> Option<&'static Self> {
        settings().find(|setting| setting.key == key)
    }

    /// The setting of this flag, named without dashes.
    pub fn by_flag(flag: &str) -> Option<&'static Self> {
        settings().find(|setting| setting.flag == flag)
    }

    /// The value it has in `config`, as it would stand in the file.
    pub fn value(&self, config: &Config) -> String {
        (self.read)(config)
    }

    /// Its default, as it would stand in the file.
    pub fn default_value(&self) -> String {
        self.value(&Config::default())
    }

    /// Its environment variable.
    pub fn env(&self) -> String {
        format!("HIVEWALL_{}_{}", self.section, self.name).to_ascii_uppercase()
    }

    /// What `--help` says: what it does, what is allowed, default and variable. One paragraph.
    pub fn help(&self) -> String {
        let repeat = if self.kind.is_list() { "; repeat the flag or part with commas" } else { "" };
        let (doc, allowed, default, env) = (self.doc, self.kind.allowed(), self.default_value(), self.env());
        format!("{doc} [{allowed}{repeat}] [default: {default}] [env: {env}]")
    }
}

/// All settings, in the order of the documentation.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}
