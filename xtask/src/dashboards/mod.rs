//! `cargo xtask dashboards`: the dashboards of deploy/grafana, written from the short definitions in `boards`.
//!
//! Nothing of traffic is known here; what Grafana's form asks for is `json`. Invariants: a file in the repository is what
//! its definition gives now; each panel says its unit and what it shows.

mod boards;
mod json;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::repo;

/// Where the dashboards lie.
const FOLDER: &str = "deploy/grafana/dashboards";

/// One dashboard.
struct Board {
    /// Name of the file and in addresses: `hivewall-host`.
    uid: &'static str,
    title: &'static str,
    about: &'static str,
    /// Whether one chooses interfaces on it.
    has_devices: bool,
    rows: &'static [Row],
}

/// Panels under one heading.
struct Row {
    title: &'static str,
    panels: &'static [Panel],
}

/// How a panel shows its numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One number of each query, as it is now.
    Stat,
    /// Lines over time.
    Lines,
    /// Lines over time, one on top of the other.
    Stack,
    /// Bars, the longest first, as it is now.
    Bars,
    /// Rows of a table, as they are now; a column for each query.
    Table,
}

/// One panel.
struct Panel {
    kind: Kind,
    title: &'static str,
    /// What it shows and how to read it.
    about: &'static str,
    /// Grafana's word for the unit.
    unit: &'static str,
    /// From which value on it is amber, and from which red.
    limits: Option<[f64; 2]>,
    /// Expressions and what their series are called. `@i` stands for the chosen hosts, `@d` for hosts and interfaces.
    queries: &'static [(&'static str, &'static str)],
}

impl Panel {
    /// The same, coloured from these values on.
    const fn warn(self, amber: f64, red: f64) -> Self {
        Self { limits: Some([amber, red]), ..self }
    }
}

type Queries = &'static [(&'static str, &'static str)];

const fn panel(kind: Kind, title: &'static str, unit: &'static str, about: &'static str, queries: Queries) -> Panel {
    Panel { kind, title, about, unit, limits: None, queries }
}

const fn stat(title: &'static str, unit: &'static str, about: &'static str, queries: Queries) -> Panel {
    panel(Kind::Stat, title, unit, about, queries)
}

const fn lines(title: &'static str, unit: &'static str, about: &'static str, queries: Queries) -> Panel {
    panel(Kind::Lines, title, unit, about, queries)
}

const fn stack(title: &'static str, unit: &'static str, about: &'static str, queries: Queries) -> Panel {
    panel(Kind::Stack, title, unit, about, queries)
}

const fn bars(title: &'static str, unit: &'static str, about: &'static str, queries: Queries) -> Panel {
    panel(Kind::Bars, title, unit, about, queries)
}

const fn table(title: &'static str, unit: &'static str, about: &'static str, queries: Queries) -> Panel {
    panel(Kind::Table, title, unit, about, queries)
}

/// Writes the dashboards that differ.
pub(crate) fn run() -> Result<()> {
    let root = repo::root()?;
    std::fs::create_dir_all(root.join(FOLDER))?;
    for (file, board) in stale(&root) {
        let text = format!("{board:#}\n");
        std::fs::write(root.join(&file), text).with_context(|| format!("cannot write {file}"))?;
        println!("{file} is new");
    }
    Ok(())
}

/// The dashboards that are not in the repository as they should be. They are compared as values: the order of keys
/// depends on how serde_json was built.
fn stale(root: &Path) -> Vec<(String, Value)> {
    let file = |board: &Board| format!("{FOLDER}/{}.json", board.uid);
    let all = boards::ALL.iter().map(|board| (file(board), json::dashboard(board)));
    let is_stale = |file: &str, board: &Value| {
        let text = repo::text(root, file).unwrap_or_default();
        serde_json::from_str::<Value>(&text).ok().as_ref() != Some(board)
    };
    all.filter(|(file, board)| is_stale(file, board)).collect()
}

#[cfg(test)]
mod tests;
