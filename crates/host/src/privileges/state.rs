//! What a thread holds now, as proc_pid_status(5) tells it.
//!
//! Invariant: a line that is not there is an absent answer, never a zero.

use std::fs;

/// Of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Held {
    /// Effective capabilities, a bit each.
    pub effective: Option<u64>,
    /// What a program that it starts could have at most.
    pub bounding: Option<u64>,
    /// Whether it and what it starts can gain nothing.
    pub no_new_privs: Option<bool>,
    /// Filters of system calls that hold for it.
    pub filters: Option<u32>,
}

/// Of the calling thread.
pub fn held() -> Held {
    read(&fs::read_to_string("/proc/thread-self/status").unwrap_or_default())
}

fn read(status: &str) -> Held {
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    let bits = |name| line(name).and_then(|text| u64::from_str_radix(text, 16).ok());
    Held {
        effective: bits("CapEff"),
        bounding: bits("CapBnd"),
        no_new_privs: line("NoNewPrivs").map(|text| text == "1"),
        filters: line("Seccomp_filters").and_then(|text| text.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_status_file_are_read() {
        let held = read("CapEff:\t0000008000001000\nCapBnd:\t1\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n");
        let wanted =
            Held { effective: Some(1 << 39 | 1 << 12), bounding: Some(1), no_new_privs: Some(true), filters: Some(2) };
        assert_eq!(held, wanted);
        assert_eq!(read(""), Held::default());
    }
}
