//! `cargo xtask testbed N`: N hosts in namespaces on one switch, a real agent on each, all in one fleet, traffic among them,
//! and a shell on the first. What builds it is what the end-to-end tests use.
//!
//! Invariant: everything ends with the shell.

use std::io::IsTerminal as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hivewall_e2e::binary;
use hivewall_e2e::fleet::Fleet;
use hivewall_e2e::talk::{connect, echo, says};
use hivewall_testkit::netns::Host;

/// Most hosts: each is an agent with programs in the kernel.
const HOSTS_MAX: usize = 64;
/// Ports that every host serves.
const PORTS: [u16; 4] = [22, 80, 443, 5432];
/// Time between two conversations of a host.
const PAUSE: Duration = Duration::from_millis(200);

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Hosts.
    #[arg(default_value_t = 4)]
    hosts: usize,
    /// End after so many seconds, without a shell; the default without a terminal is 30.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!((1..=HOSTS_MAX).contains(&args.hosts), "give 1 to {HOSTS_MAX} hosts");
    ensure!(nix::unistd::geteuid().is_root(), "namespaces and programs in the kernel need root: run it as root");
    let label = |n: usize| if n.is_multiple_of(2) { "role=web" } else { "role=db" };
    let began = Instant::now();
    let fleet = Fleet::formed("testbed", args.hosts, label);
    println!("{} hosts in one fleet after {:.1} s", args.hosts, began.elapsed().as_secs_f64());
    for (member, n) in fleet.members.iter().zip(1..) {
        PORTS.iter().for_each(|port| echo(&member.host, *port));
        println!("  {}  10.0.0.{n}  ip netns exec {} …", member.name, member.host.namespace());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let speakers: Vec<_> = fleet.members.iter().map(|member| speak(&member.host, args.hosts, &stop)).collect();
    let outcome = match args.seconds {
        None if std::io::stdin().is_terminal() => shell(&fleet),
        seconds => {
            std::thread::sleep(Duration::from_secs(seconds.unwrap_or(30)));
            let first = fleet.members.first().context("a host")?;
            print!("{}", first.agent().tell(&["top", "--fleet", "--once"]).fine());
            Ok(())
        }
    };
    stop.store(true, Ordering::Relaxed);
    for speaker in speakers {
        let _ = speaker.join();
    }
    outcome
}

/// Talks to one host after another.
fn speak(host: &Host, hosts: usize, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (host, stop) = (host.clone(), Arc::clone(stop));
    std::thread::spawn(move || {
        let targets = (1..=hosts).flat_map(|n| PORTS.map(|port| format!("10.0.0.{n}:{port}")));
        for target in targets.collect::<Vec<_>>().iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // A policy may have closed it.
            if let Ok(mut stream) = connect(&host, target) {
                let _ = says(&mut stream, b"ping");
            }
            std::thread::sleep(PAUSE);
        }
    })
}

fn shell(fleet: &Fleet) -> Result<()> {
    let first = fleet.members.first().context("a host")?;
    let binaries = binary::path();
    let directory = binaries.parent().context("the binary is in a directory")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::join_paths(std::iter::once(directory.to_path_buf()).chain(std::env::split_paths(&path)))?;
    println!(
        "a shell on {}: try `hivewall cluster status`, `hivewall top --fleet`; `exit` ends everything",
        first.name
    );
    let mut command: Command = first.host.command(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    command.env("PATH", paths).envs(first.environment());
    command.status().context("the shell cannot be started")?;
    Ok(())
}
