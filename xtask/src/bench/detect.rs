//! `cargo xtask bench detect`: what the detectors say of recorded captures with ground truth, through the real program.
//!
//! Each capture is replayed by `hivewall replay`; the table tells which alerts above `info` came, whether one is of the kind
//! that the ground truth names and names its host, and sums it up as precision and recall. Deliberately not here: what is
//! right, which stands in the captures' own list.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::repo;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory with the captures and their `manifest.tsv`.
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Program to ask; the development build by default.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Print the table as Markdown, as it stands in docs/detection.md.
    #[arg(long)]
    markdown: bool,
    /// Measure what detectors cost, in release form, instead.
    #[arg(long, conflicts_with_all = ["corpus", "binary", "markdown"])]
    cost: bool,
}

/// Kinds of alerts that are right for a class of captures; none for those in which nothing should be found.
fn right_kinds(class: &str) -> &'static [&'static str] {
    match class {
        "scan" => &["scan"],
        "syn-flood" | "udp-flood-amp" | "icmp-flood" => &["flood"],
        "brute-force" => &["brute_force"],
        "dns-tunnel" => &["tunnel"],
        "exfil" => &["exfiltration", "tunnel"],
        "c2" => &["c2"],
        "arp-spoof" => &["spoofing"],
        "invalid" => &["invalid"],
        "spike" => &["spike", "brute_force"],
        _ => &[],
    }
}

/// One capture and what was said of it.
struct Row {
    file: String,
    class: String,
    alerts: Vec<Value>,
    /// Alerts of a right kind that name a host of the ground truth.
    right: usize,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.cost {
        return cost();
    }
    let corpus = match &args.corpus {
        Some(corpus) => corpus.clone(),
        None => repo::root()?.join("../shared/cases"),
    };
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => repo::root()?.join("target/debug/hivewall"),
    };
    ensure!(
        binary.exists(),
        "{} is missing: `cargo build --workspace --bins` makes it, --binary names another",
        binary.display()
    );
    let manifest = std::fs::read_to_string(corpus.join("manifest.tsv")).with_context(|| {
        format!("{} cannot be read; --corpus names another directory", corpus.join("manifest.tsv").display())
    })?;
    let mut rows = Vec::new();
    for line in manifest.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [file, class, .., _, _] = cells.as_slice() else { bail!("a line of the manifest is too short: {line}") };
        let truth = cells.get(7).copied().unwrap_or_default();
        rows.push(judge(&binary, &corpus.join(file), class, truth)?);
    }
    print!("{}", if args.markdown { markdown(&rows) } else { table(&rows) });
    Ok(())
}

/// Nanoseconds of each detector, by its crate's own benchmark, which knows what a pulse is.
fn cost() -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--locked", "--package", "hivewall-detect", "--example", "cost"]);
    let status = command.current_dir(repo::root()?).status().context("cannot start cargo")?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}

/// A word of an alert; empty where it is not there.
fn word_of<'a>(alert: &'a Value, key: &str) -> &'a str {
    alert.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn judge(binary: &Path, capture: &Path, class: &str, truth: &str) -> Result<Row> {
    let output = Command::new(binary).args(["replay", "-o", "json"]).arg(capture).output()?;
    // A capture that is cut off is read as far as it goes.
    let snapshot: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{}: {}", capture.display(), String::from_utf8_lossy(&output.stderr)))?;
    let all = snapshot.pointer("/alerts/latest").and_then(Value::as_array).cloned().unwrap_or_default();
    let alerts: Vec<Value> = all.into_iter().filter(|alert| word_of(alert, "severity") != "info").collect();
    let kinds = right_kinds(class);
    let text = truth.to_ascii_lowercase();
    let is_named = |alert: &Value| {
        let targets = alert.get("targets").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        targets.chain([word_of(alert, "source")]).any(|name| !name.is_empty() && text.contains(name))
            // Some truths tell what, not who.
            || !text.chars().any(|c| c == '.' || c == ':') || !text.contains(|c: char| c.is_ascii_digit())
    };
    let is_right = |alert: &&Value| kinds.contains(&word_of(alert, "kind")) && is_named(alert);
    let right = alerts.iter().filter(is_right).count();
    let file = capture.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Row { file, class: class.to_owned(), alerts, right })
}

impl Row {
    fn is_attack(&self) -> bool {
        !right_kinds(&self.class).is_empty()
    }

    fn verdict(&self) -> &'static str {
        match (self.is_attack(), self.right, self.alerts.len()) {
            (true, 0, _) => "MISSED",
            (true, right, all) if right == all => "found",
            (true, ..) => "found, and more",
            (false, _, 0) => "quiet",
            (false, ..) => "FALSE ALARM",
        }
    }

    fn said(&self) -> String {
        let word = |alert: &Value| {
            let source = Some(word_of(alert, "source")).filter(|source| !source.is_empty()).unwrap_or("-");
            format!("{} {} {source}", word_of(alert, "severity"), word_of(alert, "detector"))
        };
        let mut said: Vec<String> = self.alerts.iter().take(4).map(word).collect();
        if self.alerts.len() > 4 {
            said.push(format!("and {} more", self.alerts.len() - 4));
        }
        said.join("; ")
    }
}

/// What it comes to.
fn sums(rows: &[Row]) -> String {
    let attacks: Vec<&Row> = rows.iter().filter(|row| row.is_attack()).collect();
    let found = attacks.iter().filter(|row| row.right > 0).count();
    let quiet = rows.iter().filter(|row| !row.is_attack() && row.alerts.is_empty()).count();
    let right: usize = rows.iter().map(|row| row.right).sum();
    let all: usize = rows.iter().map(|row| row.alerts.len()).sum();
    format!(
        "recall: {found} of {} attack captures; precision: {right} of {all} alerts above info name what the ground truth names; \
         {quiet} of {} other captures quiet",
        attacks.len(),
        rows.len() - attacks.len(),
    )
}

fn table(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        // Writing to a string cannot fail; here and below.
        let _ = writeln!(out, "{:<15} {:<28} {:<14} {}", row.verdict(), row.file, row.class, row.said());
    }
    let _ = writeln!(out, "{}", sums(rows));
    out
}

fn markdown(rows: &[Row]) -> String {
    let mut out = String::from("| capture | class | | alerts above `info` |\n|---|---|---|---|\n");
    for row in rows {
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", row.file, row.class, row.verdict(), row.said());
    }
    let _ = writeln!(out, "\n{}.", sums(rows));
    out
}
