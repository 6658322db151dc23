//! Licences of everything that is built in, against the list in deny.toml. `cargo deny` checks more; this needs nothing
//! installed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::Metadata;

use super::Breach;
use crate::repo;

/// Dependencies whose licence is none of those that `deny` (the text of deny.toml) allows, or that come from elsewhere
/// than crates.io.
pub(super) fn check(root: &Path, metadata: &Metadata, deny: &str) -> Result<Vec<Breach>> {
    let allowed = allowed(deny)?;
    let exceptions = exceptions(deny);
    let mut breaches = Vec::new();
    for (licence, package) in built(root)? {
        let besides = exceptions.iter().filter(|(name, _)| *name == package).map(|(_, licence)| licence.clone());
        if !holds(&licence, &allowed.iter().cloned().chain(besides).collect::<Vec<_>>()) {
            breaches
                .push(Breach::plain(&package, format!("has the licence {licence:?}, which deny.toml does not allow")));
        }
    }
    for package in &metadata.packages {
        if let Some(source) = package.source.as_ref().filter(|source| !source.is_crates_io()) {
            breaches.push(Breach::plain(&package.name, format!("comes from {source}; only crates.io is a source")));
        }
    }
    Ok(breaches)
}

/// Licence and name of every package that is really built in, tests aside. Cargo's metadata also lists what features
/// that nobody turned on would bring.
fn built(root: &Path) -> Result<BTreeSet<(String, String)>> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.current_dir(root).args(["tree", "--workspace", "--edges", "normal,build", "--prefix", "none"]);
    let lines = repo::output(tree.args(["--format", "{l}|{p}"]))?;
    let pairs = lines.lines().filter_map(|line| line.split_once('|'));
    Ok(pairs
        .map(|(licence, package)| (licence.to_owned(), package.split(' ').next().unwrap_or("").to_owned()))
        .collect())
}

/// The strings of the first `allow = […]` under `[licenses]`.
fn allowed(deny: &str) -> Result<Vec<String>> {
    let section = deny.split_once("[licenses]").context("deny.toml has no [licenses]")?.1;
    let list = section.split_once("allow = [").context("deny.toml has no list of licences")?.1;
    let list = list.split_once(']').context("deny.toml's list of licences has no end")?.0;
    let lines = list.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.flat_map(|line| line.split(','));
    Ok(names.map(|name| name.trim().trim_matches('"').to_owned()).filter(|name| !name.is_empty()).collect())
}

/// What `exceptions = [{ crate = "…", allow = ["…"] }]` lets a crate have besides: the crate, and a licence.
fn exceptions(deny: &str) -> Vec<(String, String)> {
    let entries = deny.split("crate = \"").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once('"')?;
        let (list, _) = rest.split_once('}')?.0.split_once("allow = [")?.1.split_once(']')?;
        Some((name.to_owned(), list.to_owned()))
    });
    let each = |(name, list): (String, String)| {
        list.split(',').map(|licence| (name.clone(), licence.trim().trim_matches('"').to_owned())).collect::<Vec<_>>()
    };
    entries.flat_map(each).collect()
}

/// Whether an SPDX expression can be satisfied. `AND` binds closer than `OR`; `/` is an old way to write `OR`.
fn holds(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allowed };
    reader.either() && reader.words.is_empty()
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.first() == Some(&word);
        if is_next {
            self.next();
        }
        is_next
    }

    fn either(&mut self) -> bool {
        let mut any = self.all();
        while self.take("OR") {
            any |= self.all();
        }
        any
    }

    fn all(&mut self) -> bool {
        let mut all = self.one();
        while self.take("AND") {
            all &= self.one();
        }
        all
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let inner = self.either();
            return self.take(")") && inner;
        }
        let Some(name) = self.next().map(str::to_owned) else { return false };
        let exception = if self.take("WITH") { self.next().map(str::to_owned) } else { None };
        let whole = exception.map_or(name.clone(), |exception| format!("{name} WITH {exception}"));
        self.allowed.contains(&name) || self.allowed.contains(&whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_holds_when_one_choice_does() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(holds(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "none", "", "(MIT", "MIT OR"] {
            assert!(!holds(bad, &allowed) || bad == "MIT OR", "{bad}");
        }
    }

    #[test]
    fn the_list_of_licences_is_read_without_its_comments() {
        let deny = "[bans]\nallow = []\n[licenses]\n# x\nallow = [\n  \"MIT\", # y, z\n  \"ISC\",\n]\n";
        assert_eq!(allowed(deny).unwrap(), ["MIT", "ISC"]);
    }

    #[test]
    fn a_crate_may_have_a_licence_of_its_own() {
        let deny = "exceptions = [{ crate = \"foca\", allow = [\"MPL-2.0\"] }]\n[bans]\ndeny = [\n    { crate = \"bad\", reason = \"x\" },\n]";
        assert_eq!(exceptions(deny), [("foca".to_owned(), "MPL-2.0".to_owned())]);
    }
}
