//! nftables: what `nft` lists.
//!
//! Structure, counters and expressions come from its JSON, the words of a rule from its text, joined by handles. It knows
//! no expression: that is for `walk`. Invariant: a rule that the JSON has and the text has not is still listed.

use std::collections::HashMap;

use serde_json::Value;

use super::inventory::{Base, Chain, Rule, Set, Source, Table};
use super::{RulesError, run::run};

/// Our own table.
pub(super) const OWN: (&str, &str) = ("inet", "hivewall");

/// All tables.
pub(super) fn list() -> Result<Vec<Table>, RulesError> {
    let json = run("nft", &["-j", "-n", "list", "ruleset"], None)?;
    let text = run("nft", &["-a", "-s", "-t", "list", "ruleset"], None)?;
    read(&json, &text)
}

/// Where a rule is: family, table, handle (which is unique in its table).
type Place = (String, String, u64);

/// What `nft -j list ruleset` and `nft -a -s -t list ruleset` printed.
pub(super) fn read(json: &str, text: &str) -> Result<Vec<Table>, RulesError> {
    let document: Value = serde_json::from_str(json).map_err(|source| RulesError::Json { tool: "nft", source })?;
    let words = words(text);
    let mut tables: Vec<Table> = Vec::new();
    // Counters with names, which are listed before the rules that count with them.
    let mut counters: HashMap<(String, String, String), Value> = HashMap::new();
    for entry in document.get("nftables").and_then(Value::as_array).into_iter().flatten() {
        let Some((kind, body)) = entry.as_object().and_then(|object| object.iter().next()) else { continue };
        let (family, name) = (string(body, "family"), string(body, if kind == "table" { "name" } else { "table" }));
        if kind == "table" {
            let ours = (family.as_str(), name.as_str()) == OWN;
            let (chains, sets, hash) = (Vec::new(), Vec::new(), String::new());
            tables.push(Table { source: Source::Nftables, family, name, ours, chains, sets, hash });
            continue;
        }
        let Some(table) = tables.iter_mut().find(|table| table.family == family && table.name == name) else {
            continue;
        };
        match kind.as_str() {
            "chain" => table.chains.push(chain(body, table.ours)),
            "set" | "map" => table.sets.push(set(body, kind == "map")),
            "counter" => drop(counters.insert((family, name, string(body, "name")), body.clone())),
            "rule" => {
                let named = |counter: &str| counters.get(&(family.clone(), name.clone(), counter.to_owned()));
                let counter = body
                    .get("expr")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .find_map(|part| part.get("counter"));
                let counter = counter.and_then(|counter| counter.as_str().map_or(Some(counter), named)).cloned();
                let rule = rule(body, counter.as_ref(), &words, table.ours, (family, name));
                let chain = string(body, "chain");
                if let Some(chain) = table.chains.iter_mut().find(|known| known.name == chain) {
                    chain.rules.push(rule);
                }
            }
            _ => {}
        }
    }
    Ok(tables)
}

fn string(body: &Value, key: &str) -> String {
    body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn chain(body: &Value, ours: bool) -> Chain {
    let base = body.get("hook").map(|_| Base {
        kind: string(body, "type"),
        hook: string(body, "hook"),
        priority: body.get("prio").and_then(Value::as_i64).unwrap_or_default() as i32,
        policy: body.get("policy").and_then(Value::as_str).unwrap_or("accept").to_owned(),
        packets: None,
        bytes: None,
    });
    Chain { name: string(body, "name"), base, ours, rules: Vec::new(), hash: String::new() }
}

fn set(body: &Value, is_map: bool) -> Set {
    let values = body.get("elem").and_then(Value::as_array).cloned().unwrap_or_default();
    let flags = body.get("flags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let expires = flags.into_iter().any(|flag| matches!(flag, "timeout" | "dynamic"));
    let name = string(body, "name");
    Set { name, expires, is_map, elements: values.len(), hash: String::new(), values }
}

fn rule(
    body: &Value,
    counter: Option<&Value>,
    words: &HashMap<Place, String>,
    ours: bool,
    (family, table): (String, String),
) -> Rule {
    let handle = body.get("handle").and_then(Value::as_u64).unwrap_or_default();
    let expressions = body.get("expr").cloned().unwrap_or_default();
    let count = |key| counter.and_then(|counter| counter.get(key)).and_then(Value::as_u64);
    let mut text = words.get(&(family, table, handle)).cloned().unwrap_or_else(|| expressions.to_string());
    // The comment of one of our counters is the id of the policy's rule.
    if let Some(id) = counter.and_then(|counter| counter.get("comment")).and_then(Value::as_str).filter(|_| ours) {
        text.push_str(" # ");
        text.push_str(id);
    }
    Rule { handle, text, packets: count("packets"), bytes: count("bytes"), ours, expressions }
}

/// The words of each rule.
fn words(text: &str) -> HashMap<Place, String> {
    let (mut words, mut table) = (HashMap::new(), (String::new(), String::new()));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("table ") {
            let mut names = rest.split_whitespace().map(str::to_owned);
            table = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
            continue;
        }
        let Some((rule, handle)) = line.rsplit_once(" # handle ") else { continue };
        // `chain`, `set` and `counter` have handles of their own, and open a brace.
        let (true, Ok(handle)) = (line.starts_with("\t\t"), handle.trim().parse()) else { continue };
        let rule = rule.split_whitespace().collect::<Vec<_>>().join(" ");
        words.insert((table.0.clone(), table.1.clone(), handle), rule);
    }
    words
}
