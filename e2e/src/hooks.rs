//! What hangs in the kernel, by the kernel's own account: `tc` for queueing disciplines and filters, /proc for the links
//! that a process holds (tools older than tcx do not show them), `bpftool` for programs.
//!
//! It asks nothing of the product. Invariant: text compared before and after holds no counters and no times.

use hivewall_testkit::netns::Host;
use nix::unistd::Pid;

use crate::tool::{run, tool};

/// Queueing disciplines and filters of an interface.
#[track_caller]
pub fn filters(host: &Host, interface: &str) -> String {
    let mut all = tool(host, "tc", &["qdisc", "show", "dev", interface]);
    for side in ["ingress", "egress"] {
        all += &tool(host, "tc", &["filter", "show", "dev", interface, side]);
    }
    all
}

/// How many of an interface's filters are ours.
#[track_caller]
pub fn our_filters(host: &Host, interface: &str) -> usize {
    filters(host, interface).lines().filter(|line| line.contains(" name hivewall_")).count()
}

/// Programs and links that a process holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Ids of programs.
    pub programs: Vec<u32>,
    /// Interface of each link; 0 where a link has been detached.
    pub links: Vec<u32>,
}

/// What a process holds now; nothing when it has ended.
pub fn held(pid: Pid) -> Held {
    let mut held = Held::default();
    let files = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten();
    for text in files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok()) {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok());
        match (value("link_id:"), value("prog_id:")) {
            (Some(_), _) => held.links.extend(value("ifindex:")),
            (None, Some(program)) => held.programs.push(program),
            _ => {}
        }
    }
    held.programs.sort_unstable();
    held.programs.dedup();
    held
}

/// Whether a program is loaded, by whomever.
pub fn is_loaded(program: u32) -> bool {
    let mut command = std::process::Command::new("bpftool");
    command.args(["prog", "show", "id", &program.to_string()]);
    run(command).code == Some(0)
}
