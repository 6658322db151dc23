//! What a thread of the agent may still do once it has started: capabilities, files, system calls.
//!
//! On Linux all three belong to a thread, and threads and programs that it starts afterwards inherit them. So each part of
//! the agent is started by a thread that was confined before ([`Confinement::around`]), and whoever needs a little of what
//! was given up asks the one thread that kept it ([`desk`]). Which part gets what is decided by the agent. Invariant: no
//! step widens anything, and what this kernel does not have is told by name ([`Gap`]), never passed over.

mod calls;
mod capabilities;
mod desk;
mod files;
mod state;

use std::fmt;
use std::path::PathBuf;

pub use calls::Calls;
pub use capabilities::Capability;
pub use desk::Desk;
pub(crate) use desk::worked;
pub use files::Files;
pub use state::{Held, held};

/// What a thread is left with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Capabilities it keeps, as far as it has them.
    pub capabilities: Vec<Capability>,
    /// Files it can reach; `None` leaves that to their owners and modes.
    pub files: Option<Files>,
    /// System calls it can make.
    pub calls: Calls,
}

/// Something that could not be given up here, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// `no_new_privs`, `capabilities`, `bounding`, `landlock` or `seccomp`.
    pub name: &'static str,
    /// What is missing, and what would help.
    pub why: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

/// A thread could not be started or has failed.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The system refused.
    #[error("a confined thread cannot be started: {source}; see `ulimit -u`")]
    Thread {
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A path that has to be reachable is not there.
    #[error("{} cannot be looked at to confine the agent to it: {source}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

impl Confinement {
    /// Confines the calling thread, for good, and tells what could not be had. What it starts from now on inherits it.
    pub fn here(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        // First of all: it takes nothing, and the others rest on it.
        if let Err(errno) = nix::sys::prctl::set_no_new_privs() {
            gaps.push(Gap { name: "no_new_privs", why: format!("the kernel refuses it: {errno}") });
        }
        if let Some(files) = &self.files {
            gaps.extend(files.confine());
        }
        gaps.extend(capabilities::keep(&self.capabilities));
        gaps.extend(self.calls.confine());
        gaps
    }

    /// Runs `work` on a thread of its own that is confined first; threads and programs that it starts inherit that.
    pub fn around<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<(T, Vec<Gap>), PrivilegeError> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("confined".to_owned())
                .spawn_scoped(scope, || {
                    let gaps = self.here();
                    (work(), gaps)
                })
                .map_err(|source| PrivilegeError::Thread { source })?;
            Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// What could not be had of this here; tried on a thread that ends with it.
    pub fn gaps(&self) -> Result<Vec<Gap>, PrivilegeError> {
        self.around(|| ()).map(|((), gaps)| gaps)
    }
}
