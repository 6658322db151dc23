//! Talking to the kernel about one namespace: `ip` and `ethtool` to change it, /proc of an entered thread to read it.
//!
//! It keeps no state and owns nothing. Invariant: whatever reads through `/proc/thread-self/net` runs on a thread that
//! has entered the namespace, so it can never read another one's numbers.

use std::io::Write as _;
use std::process::{Command, Stdio};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::{Counters, LabError};

/// Flags of /proc/net/if_inet6 (`IFA_F_*` of linux/if_addr.h).
const TENTATIVE: u32 = 0x40;
const DAD_FAILED: u32 = 0x08;

/// Runs a program to its end; what it printed.
pub(super) fn run(tool: &'static str, args: &[&str], input: Option<&str>) -> Result<String, LabError> {
    let what = || format!("{tool} {}", args.join(" "));
    let io = |source: std::io::Error| match source.kind() {
        // A directory of PATH that may not be searched makes a missing program look forbidden.
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => LabError::ToolMissing { tool },
        _ => LabError::Io { what: format!("run `{}`", what()), source },
    };
    let mut command = Command::new(tool);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(io)?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).map_err(io)?;
    }
    let output = child.wait_with_output().map_err(io)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if let Some(text) = input {
        stderr = format!("{stderr} (input: {})", text.trim().replace('\n', "; "));
    }
    Err(LabError::Refused { command: what(), stderr })
}

/// Kills what still runs in a namespace and deletes it. Everything in it was started by the lab or its tests.
pub(super) fn remove(namespace: &str) {
    let own = std::process::id().to_string();
    // A namespace that is half gone already is no reason to stop removing the rest, so errors end here.
    for pid in run("ip", &["netns", "pids", namespace], None).unwrap_or_default().split_whitespace() {
        if let (true, Ok(pid)) = (pid != own, pid.parse()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
    let _ = run("ip", &["netns", "del", namespace], None);
}

/// Writes a sysctl of the namespace that the calling thread is in.
pub(super) fn write_sysctl(name: &str, value: &str) -> Result<(), LabError> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    std::fs::write(path, value).map_err(|source| LabError::Io { what: format!("set {name} to {value}"), source })
}

/// All interfaces' counters in the namespace that the calling thread is in.
pub(super) fn read_counters() -> Result<Vec<(String, Counters)>, LabError> {
    let path = "/proc/thread-self/net/dev";
    let text = std::fs::read_to_string(path)
        .map_err(|source| LabError::Io { what: "read interface counters".to_owned(), source })?;
    Ok(text.lines().skip(2).filter_map(parse_counters).collect())
}

fn parse_counters(line: &str) -> Option<(String, Counters)> {
    let (name, rest) = line.split_once(':')?;
    let mut fields = rest.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(u64::MAX));
    let mut next = || fields.next();
    let (rx_bytes, rx_packets, rx_errors, rx_dropped) = (next()?, next()?, next()?, next()?);
    let (_fifo, _frame, _compressed, multicast) = (next()?, next()?, next()?, next()?);
    let (tx_bytes, tx_packets, tx_errors, tx_dropped) = (next()?, next()?, next()?, next()?);
    let counters = Counters {
        rx_packets,
        rx_bytes,
        rx_errors,
        rx_dropped,
        multicast,
        tx_packets,
        tx_bytes,
        tx_errors,
        tx_dropped,
    };
    Some((name.trim().to_owned(), counters))
}

/// What the namespace of the calling thread is still waiting for; `None` when it is ready.
pub(super) fn unready() -> Result<Option<String>, LabError> {
    let io = |source| LabError::Io { what: "list interfaces".to_owned(), source };
    for entry in getifaddrs().map_err(|errno| io(errno.into()))? {
        let up = entry.flags.contains(InterfaceFlags::IFF_UP);
        if up && !entry.flags.contains(InterfaceFlags::IFF_RUNNING) {
            return Ok(Some(format!("{} has no carrier", entry.interface_name)));
        }
    }
    let addresses = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    Ok(addresses.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = u32::from_str_radix(fields.get(4)?, 16).ok()?;
        let (address, interface) = (fields.first()?, fields.get(5)?);
        (flags & (TENTATIVE | DAD_FAILED) != 0).then(|| format!("address {address} of {interface} is tentative"))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_net_dev_is_read_field_by_field() {
        let line = "  eth0: 11 12 13 14 15 16 17 18 21 22 23 24 25 26 27 28";
        let (name, counters) = parse_counters(line).unwrap();
        assert_eq!(name, "eth0");
        assert_eq!((counters.rx_bytes, counters.rx_packets, counters.rx_errors, counters.rx_dropped), (11, 12, 13, 14));
        assert_eq!((counters.tx_bytes, counters.tx_packets, counters.tx_errors, counters.tx_dropped), (21, 22, 23, 24));
        assert_eq!(counters.multicast, 18);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run("hivewall-no-such-program", &[], None).unwrap_err();
        assert!(error.to_string().starts_with("`hivewall-no-such-program` was not found: install it"));
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let error = run("sh", &["-c", "echo why >&2; exit 3"], None).unwrap_err();
        assert!(error.to_string().contains("failed: why"), "{error}");
    }
}
