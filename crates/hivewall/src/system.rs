//! Facts about this host and this process for the snapshot's head; and the system's randomness.

use std::fs;

use hivewall_view::HostInfo;

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(bytes)
}

/// The host's name and kernel, the agent's version, memory and CPU time.
pub(crate) fn host_info(agent_name: &str) -> HostInfo {
    let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let name = if agent_name.is_empty() { line("/proc/sys/kernel/hostname") } else { agent_name.to_owned() };
    HostInfo {
        name,
        kernel: line("/proc/sys/kernel/osrelease"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: 0.0,
        agent_memory_bytes: resident_bytes(&line("/proc/self/status")),
        agent_cpu_seconds: cpu_seconds(&line("/proc/self/stat")),
    }
}

/// `VmRSS` of proc_pid_status(5), in kB there.
fn resident_bytes(status: &str) -> u64 {
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}

/// `utime` and `stime` of proc_pid_stat(5) over all threads, in clock ticks of 10 ms; behind the command name, which may
/// hold anything but is closed by the last parenthesis.
fn cpu_seconds(stat: &str) -> f64 {
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "1 (a) b) c) S 0 1 1 0 -1 4194560 1 2 3 4 150 50 0 0 20 0";
        assert!((cpu_seconds(stat) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident_bytes("VmPeak:\t  10 kB\nVmRSS:\t    2048 kB\n"), 2048 * 1024);
    }

    #[test]
    fn this_process_has_memory_and_a_kernel() {
        let host = host_info("edge-1");
        assert_eq!(host.name, "edge-1");
        assert!(host.agent_memory_bytes > 0 && !host.kernel.is_empty());
    }
}
