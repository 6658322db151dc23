//! What `hivewall check` says of privileges: what every part of the agent would be left with on this host.
//!
//! Invariant: nothing is changed by asking; what is tried is tried on threads that end with it.

use hivewall_config::{Config, Sandboxing};
use hivewall_host::privileges::{Calls, Confinement, Gap};
use serde_json::{Value, json};

use super::{Part, Places, gaps};

fn capabilities(confinement: &Confinement) -> Vec<String> {
    confinement.capabilities.iter().map(|capability| capability.name()).collect()
}

fn writes(confinement: &Confinement) -> Option<Vec<String>> {
    let files = confinement.files.as_ref()?;
    Some(files.write.iter().map(|path| path.display().to_string()).collect())
}

fn reads(confinement: &Confinement) -> Option<Vec<String>> {
    let read = confinement.files.as_ref()?.read.as_ref()?;
    Some(read.iter().map(|path| path.display().to_string()).collect())
}

const fn calls(calls: Calls) -> &'static str {
    match calls {
        Calls::Any => "any",
        Calls::Ordinary => "ordinary",
        Calls::NoPrograms => "ordinary, no programs",
        Calls::Lookups => "ordinary, no programs, no bpf, cgroups by handle",
        Calls::Working => "ordinary, no programs, no bpf, no netlink",
        Calls::Reading => "memory and locks alone",
    }
}

fn parts(config: &Config) -> Vec<(Part, Confinement)> {
    let places = Places::of(config);
    Part::OF_AGENT.into_iter().map(|part| (part, part.confinement(&places))).collect()
}

fn missing(config: &Config) -> Vec<Gap> {
    gaps(&Part::OF_AGENT, &Places::of(config))
        .unwrap_or_else(|error| vec![Gap { name: "threads", why: error.to_string() }])
}

/// As lines, and whether all of it can be had (or is switched off).
pub(crate) fn told(config: &Config) -> (Vec<String>, bool) {
    let mode = config.privileges.sandbox;
    let mut lines = vec![format!("  sandbox = {mode}")];
    if mode == Sandboxing::Off {
        lines.push("  every part keeps all that the agent is started with".to_owned());
        return (lines, true);
    }
    for (part, confinement) in parts(config) {
        let list = |texts: Vec<String>| if texts.is_empty() { "nothing".to_owned() } else { texts.join(" ") };
        lines.push(format!("  {:<11} keeps {}", part.name(), list(capabilities(&confinement))));
        let writes = writes(&confinement).map_or_else(|| "as owner and mode let".to_owned(), list);
        let reads = reads(&confinement).map_or_else(|| "as owner and mode let".to_owned(), list);
        lines.push(format!("  {:<11} writes {writes}; reads {reads}; calls: {}", "", calls(confinement.calls)));
    }
    let missing = missing(config);
    for gap in &missing {
        lines.push(format!("  NO  {:<24} {}", gap.name, gap.why));
    }
    (lines, missing.is_empty())
}

/// As JSON.
pub(crate) fn as_json(config: &Config) -> Value {
    let part = |(part, confinement): &(Part, Confinement)| {
        json!({
            "part": part.name(),
            "capabilities": capabilities(confinement),
            "writes": writes(confinement),
            "reads": reads(confinement),
            "calls": calls(confinement.calls),
        })
    };
    let is_on = config.privileges.sandbox != Sandboxing::Off;
    let (parts, gaps) = if is_on { (parts(config), missing(config)) } else { (Vec::new(), Vec::new()) };
    json!({
        "sandbox": config.privileges.sandbox.name(),
        "parts": parts.iter().map(part).collect::<Vec<_>>(),
        "missing": gaps.iter().map(|gap| json!({"name": gap.name, "why": gap.why})).collect::<Vec<_>>(),
    })
}
