//! Values in the form that the rest of the agent works with: durations, bytes, yes or no.
//!
//! No defaults and no ranges: those are in `settings.rs`. Invariant: a special 0 or empty text is an `Option` here.

use std::path::Path;
use std::time::Duration;

use crate::{Capture, Flows, History, Log};

/// Bytes in what the configuration calls a megabyte.
const MEGABYTE: u64 = 1_000_000;
const DAY_S: u64 = 86_400;

impl Capture {
    /// Lines of the flow cache for each CPU; `None` when the host is to decide.
    pub fn flow_cache_lines(&self) -> Option<u32> {
        Some(self.flow_cache_lines).filter(|lines| *lines != 0)
    }

    /// Time between two sweeps.
    pub fn sweep_interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.sweep_interval_ms))
    }
}

impl Flows {
    /// Silence that ends a flow of UDP or of any protocol without a timeout of its own.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_s)
    }

    /// Silence that ends a TCP flow.
    pub fn tcp_idle_timeout(&self) -> Duration {
        Duration::from_secs(self.tcp_idle_timeout_s)
    }

    /// Silence that ends an ICMP or ICMPv6 flow.
    pub fn icmp_idle_timeout(&self) -> Duration {
        Duration::from_secs(self.icmp_idle_timeout_s)
    }

    /// Age at which a flow is reported and begun anew.
    pub fn active_timeout(&self) -> Duration {
        Duration::from_secs(self.active_timeout_s)
    }

    /// How long a finished TCP flow waits for late packets.
    pub fn closed_linger(&self) -> Duration {
        Duration::from_secs(self.closed_linger_s)
    }
}

impl History {
    /// Where it is kept; `None` for nowhere.
    pub fn directory(&self) -> Option<&Path> {
        Some(Path::new(&self.directory)).filter(|path| !path.as_os_str().is_empty())
    }

    /// Age at which flows are removed.
    pub fn max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_age_days) * DAY_S)
    }

    /// Bytes of flows beyond which the oldest are removed.
    pub fn max_bytes(&self) -> u64 {
        self.max_size_mb * MEGABYTE
    }

    /// Age at which summaries are removed.
    pub fn rollup_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.rollup_age_days) * DAY_S)
    }
}

impl Log {
    /// The file; `None` for standard output.
    pub fn file(&self) -> Option<&Path> {
        Some(Path::new(&self.file)).filter(|path| !path.as_os_str().is_empty())
    }

    /// Bytes at which the file is put aside; `None` when size does not matter.
    pub fn rotate_size_bytes(&self) -> Option<u64> {
        Some(self.rotate_size_mb * MEGABYTE).filter(|bytes| *bytes != 0)
    }

    /// Age at which the file is put aside; `None` when age does not matter.
    pub fn rotate_interval(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.rotate_interval_s)).filter(|interval| !interval.is_zero())
    }

    /// Time between two statistics events; `None` when there are none.
    pub fn stats_interval(&self) -> Option<Duration> {
        self.stats.then(|| Duration::from_secs(self.stats_interval_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_or_empty_text_with_a_meaning_is_none() {
        let log = Log::default();
        assert_eq!((log.file(), log.rotate_interval()), (None, None));
        assert_eq!(log.rotate_size_bytes(), Some(100_000_000));
        assert_eq!(Capture::default().flow_cache_lines(), None);
        assert_eq!(Log { stats: false, ..log }.stats_interval(), None);
    }
}
