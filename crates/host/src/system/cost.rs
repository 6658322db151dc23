//! What the agent's kernel programs cost, by the kernel's own account.
//!
//! The kernel times programs only while somebody asks for it (`BPF_ENABLE_STATS`, Linux 5.8, or the sysctl
//! `kernel.bpf_stats_enabled`), and the timing itself costs some 20–30 ns a run, more than a program does. So it is held
//! on for [`WINDOW`] out of every [`PERIOD`], 0.7% of the time, which comes to 0.2 ns a packet. About one reading of the
//! clock is inside of what is measured: the figure is an upper bound.
//!
//! Invariant: the statistics are on only from the opening of a window to its closing, and go off with the descriptor,
//! however the agent ends.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

use super::SystemError;

/// How long the statistics stay on. Longer when nobody polls meanwhile.
const WINDOW: Duration = Duration::from_millis(200);
/// From the opening of one window to that of the next.
const PERIOD: Duration = Duration::from_secs(30);
/// How the names of our programs begin. The kernel keeps 15 bytes of a name.
const OURS: &str = "hivewall_";
/// Those that run once for each packet (the sweep is run by hand, socket programs by system calls).
const PER_PACKET: [&str; 2] = ["hivewall_in_", "hivewall_out_"];

/// What one program did in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRuns {
    /// The kernel's number of it.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How long that took, over all CPUs.
    pub time: Duration,
}

impl ProgramRuns {
    fn is_per_packet(&self) -> bool {
        PER_PACKET.iter().any(|prefix| self.name.starts_with(prefix))
    }
}

/// One window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostReading {
    /// How long it was open.
    pub window: Duration,
    /// The agent's programs that ran in it, by name.
    pub programs: Vec<ProgramRuns>,
}

impl CostReading {
    /// Mean nanoseconds of the programs that see packets; `None` when there was no packet.
    pub fn ns_per_packet(&self) -> Option<f64> {
        let (runs, time) = self
            .programs
            .iter()
            .filter(|program| program.is_per_packet())
            .fold((0_u64, Duration::ZERO), |(runs, time), program| (runs + program.runs, time + program.time));
        (runs > 0).then(|| time.as_nanos() as f64 / runs as f64)
    }

    /// Share of one CPU that all of the programs took.
    pub fn cpu_share(&self) -> f64 {
        let time: Duration = self.programs.iter().map(|program| program.time).sum();
        time.as_secs_f64() / self.window.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// An open window: the statistics are on.
struct Open {
    since: Instant,
    before: HashMap<u32, ProgramRuns>,
    _statistics: OwnedFd,
}

/// Takes a sample of the cost now and then.
pub struct ProgramCost {
    window: Duration,
    period: Duration,
    due: Instant,
    open: Option<Open>,
    latest: Option<CostReading>,
}

impl Default for ProgramCost {
    fn default() -> Self {
        Self::new()
    }
}

impl ProgramCost {
    /// With the default times; the first window opens at the first poll.
    pub fn new() -> Self {
        Self::with_times(WINDOW, PERIOD)
    }

    /// With other times.
    pub fn with_times(window: Duration, period: Duration) -> Self {
        Self { window, period, due: Instant::now(), open: None, latest: None }
    }

    /// Opens or closes a window if it is time to, and gives the reading of one that was closed. After a failure the next
    /// try is a period later.
    pub fn poll(&mut self, now: Instant) -> Result<Option<CostReading>, SystemError> {
        if now < self.due {
            return Ok(None);
        }
        match self.open.take() {
            None => {
                self.due = now + self.period;
                let statistics = enable_stats(Stats::RunTime).map_err(|source| SystemError::Statistics { source })?;
                let before = ours()?.into_iter().map(|program| (program.id, program)).collect();
                self.open = Some(Open { since: now, before, _statistics: statistics });
                self.due = now + self.window;
                Ok(None)
            }
            Some(open) => {
                self.due = open.since + self.period;
                let programs = ours()?.into_iter().filter_map(|program| difference(&open.before, program)).collect();
                let reading = CostReading { window: now.duration_since(open.since), programs };
                self.latest = Some(reading.clone());
                Ok(Some(reading))
            }
        }
    }

    /// Whether the statistics are on at this moment, by our doing.
    pub fn held_on(&self) -> bool {
        self.open.is_some()
    }

    /// When [`ProgramCost::poll`] has something to do next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// The latest window.
    pub fn latest(&self) -> Option<&CostReading> {
        self.latest.as_ref()
    }
}

/// What a program did since the window was opened; `None` for one that did not run. One that was loaded since counts from
/// its beginning.
fn difference(before: &HashMap<u32, ProgramRuns>, mut program: ProgramRuns) -> Option<ProgramRuns> {
    if let Some(before) = before.get(&program.id) {
        program.runs = program.runs.saturating_sub(before.runs);
        program.time = program.time.saturating_sub(before.time);
    }
    (program.runs > 0).then_some(program)
}

/// The agent's loaded programs with what they did since their load, while statistics were on.
fn ours() -> Result<Vec<ProgramRuns>, SystemError> {
    let mut found = Vec::new();
    for program in loaded_programs() {
        let program = match program {
            Ok(program) => program,
            // Unloaded between its number and the look at it.
            Err(error) if is_gone(&error) => continue,
            Err(source) => return Err(SystemError::Programs { source }),
        };
        let name = String::from_utf8_lossy(program.name()).into_owned();
        if name.starts_with(OURS) {
            found.push(ProgramRuns { id: program.id(), name, runs: program.run_count(), time: program.run_time() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
    Ok(found)
}

fn is_gone(error: &aya::programs::ProgramError) -> bool {
    matches!(error, aya::programs::ProgramError::SyscallError(error)
        if error.io_error.kind() == std::io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(id: u32, name: &str, runs: u64, nanoseconds: u64) -> ProgramRuns {
        ProgramRuns { id, name: name.to_owned(), runs, time: Duration::from_nanos(nanoseconds) }
    }

    #[test]
    fn only_programs_that_see_packets_count_per_packet() {
        let programs = vec![
            program(1, "hivewall_in_eth", 30, 900),
            program(2, "hivewall_out_et", 10, 500),
            program(3, "hivewall_sweep", 1, 1_000_000),
        ];
        let reading = CostReading { window: Duration::from_millis(200), programs };
        assert_eq!(reading.ns_per_packet(), Some(35.0));
        assert!((reading.cpu_share() - 1_001_400.0 / 200e6).abs() < 1e-12);
        let idle =
            CostReading { window: Duration::from_millis(200), programs: vec![program(3, "hivewall_sweep", 1, 1)] };
        assert_eq!(idle.ns_per_packet(), None);
    }

    #[test]
    fn a_program_is_told_by_what_it_did_in_the_window() {
        let before = HashMap::from([(1, program(1, "hivewall_in_eth", 30, 900)), (2, program(2, "x", 5, 5))]);
        let after = |id, runs, time| difference(&before, program(id, "hivewall_in_eth", runs, time));
        assert_eq!(after(1, 40, 1300), Some(program(1, "hivewall_in_eth", 10, 400)));
        assert_eq!(after(2, 5, 5), None);
        assert_eq!(after(9, 7, 70), Some(program(9, "hivewall_in_eth", 7, 70)));
    }
}
