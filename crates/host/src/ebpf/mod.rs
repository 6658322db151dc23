//! The kernel's datapath, from user space: loading, attaching, sweeping, reading. Nothing here looks at a packet.
//!
//! Invariant: a record is read once, and `tail` moves only after it was copied.

pub(crate) mod batch;
mod leftovers;
mod memory;
mod object;
mod peeks;
mod test_run;

pub use leftovers::detach_links;
pub use memory::{RingLosses, Rings, SharedArray};
pub use object::{Geometry, Loaded, Object, PEEKS_PER_SECOND, default_lines, possible_cpus};
pub(crate) use object::{another_handle, load_error, map_error, xdp};
pub use peeks::{PeekLosses, PeekRing};
pub use test_run::{SkbContext, TestRun};

use std::io;

/// What can go wrong between the agent and the kernel's datapath.
#[derive(Debug, thiserror::Error)]
pub enum EbpfError {
    /// The kernel or the verifier refused the object.
    #[error("the kernel refused the eBPF datapath: {0}; run `hivewall check` to see which feature is missing")]
    Load(#[source] Box<aya::EbpfError>),
    /// Not allowed to load programs.
    #[error(
        "loading eBPF programs needs privileges: run as root, or give the program CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON ({0})"
    )]
    Privilege(#[source] Box<aya::EbpfError>),
    /// A program was refused.
    #[error("the kernel refused the eBPF program {name}: {source}")]
    Program {
        /// Program name in the object.
        name: String,
        /// The loader's account, with the verifier's log.
        source: Box<aya::programs::ProgramError>,
    },
    /// The object lacks a part: it was not built from these sources.
    #[error("the eBPF object has no {0}; rebuild it with `cargo xtask bpf`")]
    Missing(&'static str),
    /// The object's record layout is another than this build's.
    #[error("the eBPF object speaks ABI {found}, this build {wanted}; rebuild it with `cargo xtask bpf`")]
    Abi {
        /// Number in the object.
        found: u32,
        /// Number of this build.
        wanted: u32,
    },
    /// More interfaces than a policy can name. The policy in force is still the one before.
    #[error(
        "the interfaces that rules of the policy name are more than {max}, and no more fit; let rules name fewer, or none, \
         which is every interface"
    )]
    TooManyInterfaces {
        /// As many as fit.
        max: u32,
    },
    /// A map could not be reached.
    #[error("a map of the eBPF datapath cannot be used: {0}")]
    Map(#[source] Box<aya::maps::MapError>),
    /// A system call failed.
    #[error("{call} failed: {source}")]
    System {
        /// What was tried.
        call: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl EbpfError {
    pub(crate) fn last(call: &'static str) -> Self {
        Self::System { call, source: io::Error::last_os_error() }
    }
}
