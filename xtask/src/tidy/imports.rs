//! Which crate may import which: the table, its comparison with what cargo sees, and its picture in ARCHITECTURE.md.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata};

use super::Breach;
use super::exceptions::Rule;

/// Marks in ARCHITECTURE.md around the table.
const BEGIN: &str = "<!-- imports: begin, written by `cargo xtask tidy --write` -->";
const END: &str = "<!-- imports: end -->";

/// What a crate may import.
struct Import {
    /// The crate, without the product's prefix.
    name: &'static str,
    /// Crates of the workspace that it may use.
    uses: &'static [&'static str],
    /// Beyond those, in its tests.
    tests: &'static [&'static str],
}

/// From the bottom up: a crate may only name crates above it in this list.
const IMPORTS: &[Import] = &[
    import("testkit", &[], &[]),
    import("datapath", &[], &["testkit"]),
    import("soft", &["datapath"], &["testkit"]),
    import("model", &["datapath"], &["testkit"]),
    import("config", &[], &[]),
    import("view", &["model"], &["testkit"]),
    import("names", &["datapath", "model"], &["soft", "testkit"]),
    import("policy", &["datapath", "soft", "model", "view"], &["testkit"]),
    import("traffic", &[], &[]),
    import("sketch", &[], &[]),
    import("cluster", &["sketch"], &[]),
    import("trust", &["cluster"], &[]),
    import("net", &["cluster", "trust"], &[]),
    import("sim", &["cluster", "sketch"], &[]),
    import("engine", &["datapath", "model", "view"], &["soft", "testkit"]),
    import("export", &["model", "view"], &["testkit"]),
    import("analyze", &["model", "view"], &["export", "testkit"]),
    import("spool", &[], &[]),
    import("outbound", &[], &[]),
    import("flowexport", &["model", "view", "spool", "outbound"], &["testkit"]),
    import("notify", &["view", "spool", "outbound"], &[]),
    import("otlp", &["view", "outbound"], &[]),
    import("store", &["model", "view"], &["testkit"]),
    import("api", &["model", "view"], &["testkit"]),
    import("tui", &["model", "view"], &["testkit"]),
    import("host", &["datapath", "soft", "model"], &["policy", "testkit"]),
    import("detect", &["model", "view"], &["datapath", "names", "engine", "host", "testkit"]),
    import(
        "hivewall",
        &[
            "datapath",
            "soft",
            "model",
            "config",
            "view",
            "names",
            "policy",
            "analyze",
            "traffic",
            "engine",
            "export",
            "store",
            "api",
            "tui",
            "host",
            "detect",
            "outbound",
            "notify",
            "flowexport",
            "otlp",
            "sketch",
            "cluster",
            "trust",
            "net",
        ],
        &["testkit"],
    ),
    import("e2e", &["testkit"], &[]),
    import(
        "xtask",
        &["datapath", "detect", "soft", "testkit", "config", "view", "policy", "api", "host", "sim", "e2e"],
        &[],
    ),
];

const fn import(name: &'static str, uses: &'static [&'static str], tests: &'static [&'static str]) -> Import {
    Import { name, uses, tests }
}

/// Crates outside of the workspace that only the host crate may use.
const SYSTEM_CRATES: &[&str] = &["aya", "aya-obj", "libc"];

fn short(name: &str) -> &str {
    name.strip_prefix("hivewall-").unwrap_or(name)
}

/// What breaks the table.
pub(super) fn check(metadata: &Metadata) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let members = metadata.workspace_packages();
    let is_member = |name: &str| members.iter().any(|member| member.name == name);
    for member in &members {
        let Some(row) = IMPORTS.iter().find(|row| row.name == short(&member.name)) else {
            breaches.push(Breach::plain(&member.name, "is not in the import table of xtask/src/tidy/imports.rs"));
            continue;
        };
        for dependency in &member.dependencies {
            let (name, is_test) = (dependency.name.as_str(), dependency.kind == DependencyKind::Development);
            let allowed = row.uses.contains(&short(name)) || is_test && row.tests.contains(&short(name));
            if is_member(name) && !allowed {
                breaches.push(Breach::plain(
                    &member.name,
                    format!("may not import {name}; see the table in ARCHITECTURE.md"),
                ));
            }
            if SYSTEM_CRATES.contains(&name) && member.name != "hivewall-host" {
                let place = format!("{}:{name}", member.name);
                breaches.push(Breach::of(Rule::SystemCrate, place, "is for the host crate alone"));
            }
        }
        if member.license.is_none() {
            breaches.push(Breach::plain(&member.name, "has no licence; write `license.workspace = true`"));
        }
    }
    breaches
}

/// The table in Markdown.
fn table() -> String {
    let list = |names: &[&str]| match names {
        [] => "—".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    let mut table = "| crate | may import | and in its tests |\n|---|---|---|\n".to_owned();
    for row in IMPORTS {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{}` | {} | {} |", row.name, list(row.uses), list(row.tests));
    }
    table
}

/// ARCHITECTURE.md with the table as it should be.
pub(super) fn quoted(document: &str) -> Result<String> {
    let missing = || format!("ARCHITECTURE.md lacks the lines\n{BEGIN}\n{END}");
    let (before, rest) = document.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", table()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_point_down_only() {
        for (at, row) in IMPORTS.iter().enumerate() {
            for name in row.uses.iter().chain(row.tests) {
                let below = IMPORTS.iter().position(|other| other.name == *name);
                assert!(below.is_some_and(|below| below < at), "{} may not name {name}", row.name);
            }
        }
    }

    #[test]
    fn the_test_kit_is_no_part_of_the_product() {
        let product = IMPORTS.iter().filter(|row| !["e2e", "xtask"].contains(&row.name));
        assert!(product.into_iter().all(|row| !row.uses.contains(&"testkit")));
    }

    #[test]
    fn the_table_replaces_what_stood_between_the_marks() {
        let quoted = quoted(&format!("a\n{BEGIN}\nold\n{END}\nb\n")).unwrap();
        assert!(quoted.starts_with("a\n<!--") && quoted.ends_with("end -->\nb\n") && !quoted.contains("old"));
        assert!(super::quoted("nothing").is_err());
    }
}
