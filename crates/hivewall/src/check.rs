//! `hivewall check` and `hivewall uninstall`: what is configured, what this kernel offers, and how to leave no trace.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use hivewall_config::Config;
use hivewall_host::probe::probe_kernel;
use hivewall_host::rules;
use hivewall_host::source::uninstall as remove_all;

use crate::exit::Exit;
use crate::flows::Format;
use crate::policy::fallback;
use crate::{sandbox, settings};

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (config, origins) = settings::load(args)?;
    // Words whose meaning the settings do not know.
    crate::watch::Setting::of(&config, None, None)?;
    crate::watch::channels(&config)?;
    crate::collectors::targets(&config)?;
    crate::telemetry::options(&config)?;
    let explained = config.explain(&origins);
    let probes = probe_kernel();
    if args.get_one::<Format>("output") == Some(&Format::Json) {
        let probes: Vec<_> = probes
            .iter()
            .map(|p| {
                serde_json::json!({
                    "name": p.name, "ok": p.ok, "detail": p.detail, "needed_for": p.needed_for, "since": p.since,
                })
            })
            .collect();
        let settings: Vec<_> = explained
            .iter()
            .map(|e| serde_json::json!({"key": e.key, "value": e.value, "origin": e.origin.to_string(), "doc": e.doc}))
            .collect();
        println!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({
                "settings": settings, "kernel": probes, "privileges": sandbox::as_json(&config),
            }))?
        );
        return Ok(code(probes.iter().all(|probe| probe["ok"] == true)));
    }
    let file = origins.file_name();
    println!("Configuration{}", if file.is_empty() { String::new() } else { format!(" ({file})") });
    for row in &explained {
        println!("  {:<28} {:<24} {}", row.key, row.value, row.origin);
    }
    println!("\nKernel");
    for probe in &probes {
        println!("  {} {:<24} {}", if probe.ok { "yes" } else { "NO " }, probe.name, probe.detail);
        if !probe.ok {
            println!("      {:<24} needed for {} (since {})", "", probe.needed_for, probe.since);
        }
    }
    let (lines, is_whole) = sandbox::told(&config);
    println!("\nPrivileges, once the agent has started");
    for line in &lines {
        println!("{line}");
    }
    Ok(code(is_whole && probes.iter().all(|probe| probe.ok)))
}

/// A missing feature is a finding, not a failure: the agent degrades by name. Still, a script can tell.
fn code(all: bool) -> ExitCode {
    let exit = if all { Exit::Done } else { Exit::Unsupported };
    ExitCode::from(exit as u8)
}

pub(crate) fn uninstall() -> anyhow::Result<ExitCode> {
    let configured = Config::default().policy;
    let path = |variable: &str, usual: String| std::env::var_os(variable).map_or_else(|| usual.into(), PathBuf::from);
    let pins = path("HIVEWALL_POLICY_PINS", configured.pins);
    let state = path("HIVEWALL_POLICY_STATE", configured.state);
    // First what would put it back: the file that a running agent repairs from, and the process that waits to go back.
    rules::forget(&state)?;
    fallback::disarm(&state)?;
    let mut done = rules::clear()?;
    done.extend(remove_all(Some(&pins))?);
    for line in &done {
        println!("{line}");
    }
    if done.is_empty() {
        println!("nothing of hivewall is in this kernel");
    }
    Ok(ExitCode::SUCCESS)
}
