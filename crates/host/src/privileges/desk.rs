//! Threads that kept what others gave up, and do single errands for them: a look at another user's process, a run of a
//! packet filter's program.
//!
//! An errand is a function of ours with values; nothing that came from outside decides what is run. Invariant: whoever asks
//! waits for the answer. Where no desk is open, the one who asks does it himself, with what he has.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread::Result as Outcome;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::{Confinement, Gap, PrivilegeError};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desk {
    /// Looks at processes and cgroups.
    Processes,
    /// Lists packet filters.
    Filters,
}

type Errand = Box<dyn FnOnce() + Send>;

static PROCESSES: OnceLock<Sender<Errand>> = OnceLock::new();
static FILTERS: OnceLock<Sender<Errand>> = OnceLock::new();

impl Desk {
    fn place(self) -> &'static OnceLock<Sender<Errand>> {
        match self {
            Self::Processes => &PROCESSES,
            Self::Filters => &FILTERS,
        }
    }

    /// Its thread's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Filters => "filters",
        }
    }

    /// Opens it, with a thread confined so, for as long as the process lives. A second time changes nothing.
    pub fn open(self, confinement: &Confinement) -> Result<Vec<Gap>, PrivilegeError> {
        let (errands, asked) = channel::<Errand>();
        let (ready, told) = channel();
        let confinement = confinement.clone();
        std::thread::Builder::new()
            .name(self.name().to_owned())
            .spawn(move || {
                // Whoever opens it waits for this.
                let _ = ready.send(confinement.here());
                for errand in asked {
                    errand();
                }
            })
            .map_err(|source| PrivilegeError::Thread { source })?;
        let gaps = told.recv().unwrap_or_default();
        // The thread of one that was open before ends with its channel.
        let _ = self.place().set(errands);
        Ok(gaps)
    }

    /// Does this there, and waits.
    pub fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.timed(work).0
    }

    /// The same, with the processor time that it took on another thread than the caller's.
    pub fn timed<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> (T, Duration) {
        let Some(errands) = self.place().get() else { return (work(), Duration::ZERO) };
        let (done, answer) = channel::<Outcome<(T, Duration)>>();
        let errand: Errand = Box::new(move || {
            let before = worked();
            // A panic is the asker's, not the desk's.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // Whoever asked waits for it.
            let _ = done.send(outcome.map(|outcome| (outcome, worked().saturating_sub(before))));
        });
        if let Err(back) = errands.send(errand) {
            // The thread is gone: done here, with what the caller has.
            (back.0)();
        }
        match answer.recv() {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(gone) => std::panic::resume_unwind(Box::new(gone)),
        }
    }
}

/// Processor time of the calling thread. Not the wall clock's: on a host under load, waiting is no work.
pub(crate) fn worked() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::super::{Calls, held};
    use super::*;

    #[test]
    fn an_errand_is_done_by_a_confined_thread_and_a_panic_is_the_askers() {
        let me = std::thread::current().id();
        assert_eq!(Desk::Filters.run(|| std::thread::current().id()), me, "nobody has opened it");
        let confinement = Confinement { capabilities: Vec::new(), files: None, calls: Calls::Working };
        Desk::Filters.open(&confinement).unwrap();
        let (there, state) = Desk::Filters.run(|| (std::thread::current().id(), held()));
        assert_ne!(there, me);
        assert_eq!((state.effective, state.no_new_privs), (Some(0), Some(true)));
        let asker = std::thread::spawn(|| Desk::Filters.run(|| panic!("an errand that fails, as a test")));
        assert!(asker.join().is_err());
        assert_eq!(Desk::Filters.run(|| 7), 7, "it goes on");
    }
}
