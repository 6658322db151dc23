//! The pages made from the table: the sample file and the reference.
//!
//! No text about a single setting is written here. Invariant: the sample file, as it is and with every setting
//! uncommented, parses to the default configuration.

use std::fmt::Write as _;

use crate::{Kind, SECTIONS, Setting};

/// Width of the sample file, characters.
const SAMPLE_WIDTH: usize = 100;

const SAMPLE_HEAD: &str = "Configuration of the hivewall agent. Each setting is shown with its default: remove the \
    `#` in front of one to change it. Environment variables win over this file, and flags of `hivewall run` win over \
    both. `hivewall check` shows each value and where it came from.";

const REFERENCE_HEAD: &str = "# Configuration

<!-- Made from the table of settings in crates/config/src/settings.rs; change it there. -->

One TOML file configures the agent. Every setting has a default, so the file may be empty or missing. Each can also be
given as an environment variable or as a flag of `hivewall run`: variables win over the file, and flags win over both.
In a variable or flag the items of a list are parted by commas; a flag for a list may be repeated, and replaces what
the file says. Unknown keys, wrong types and values out of range are errors, and all of them are told at once.
`hivewall check` shows each value and where it came from.
";

/// Appends `text` as comment lines.
fn comment(out: &mut String, text: &str) {
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width == 0 || width + 1 + length > SAMPLE_WIDTH {
            let _ = write!(out, "{}# {word}", if width == 0 { "" } else { "\n" });
            width = 2 + length;
        } else {
            let _ = write!(out, " {word}");
            width += 1 + length;
        }
    }
    out.push('\n');
}

/// A commented configuration file with every setting at its default.
pub fn sample_toml() -> String {
    let mut out = String::new();
    comment(&mut out, SAMPLE_HEAD);
    for section in SECTIONS {
        out.push('\n');
        comment(&mut out, section.doc);
        let _ = writeln!(out, "[{}]", section.name);
        for setting in section.settings {
            out.push('\n');
            sample_setting(&mut out, setting);
        }
    }
    out
}

fn sample_setting(out: &mut String, setting: &Setting) {
    comment(out, setting.doc);
    if let Kind::Choice(choices) = setting.kind {
        for choice in choices {
            comment(out, &format!("- {}: {}", choice.name, choice.meaning));
        }
    } else {
        comment(out, &format!("Allowed: {}.", setting.kind.allowed()));
    }
    comment(out, &format!("Variable: {}. Flag: --{}.", setting.env(), setting.flag));
    comment(out, &format!("Example: {} = {}", setting.name, setting.example));
    let _ = writeln!(out, "#{} = {}", setting.name, setting.default_value());
}

/// The reference of all settings, in Markdown (`docs/reference/config.md`).
pub fn reference_markdown() -> String {
    let mut out = REFERENCE_HEAD.to_owned();
    for section in SECTIONS {
        let _ = write!(out, "\n## [{}]\n\n{}\n", section.name, section.doc);
        for setting in section.settings {
            reference_setting(&mut out, setting);
        }
    }
    out
}

fn reference_setting(out: &mut String, setting: &Setting) {
    let _ = write!(out, "\n### {}\n\n{}\n\n", setting.key, setting.doc);
    let mut row = |name: &str, value: &str| {
        let bullet = if name.starts_with(' ') { "" } else { "- " };
        let _ = writeln!(out, "{bullet}{name}: {value}");
    };
    row("Type", setting.kind.name());
    row("Default", &format!("`{}`", setting.default_value()));
    row("Allowed", &setting.kind.allowed());
    if let Kind::Choice(choices) = setting.kind {
        for choice in choices {
            row(&format!("  - `{}`", choice.name), choice.meaning);
        }
    }
    row("Example", &format!("`{} = {}`", setting.name, setting.example));
    row("Flag", &format!("`--{}`", setting.flag));
    row("Variable", &format!("`{}`", setting.env()));
}
