//! How long a process lives beside the one that started it: no longer, or on its own.
//!
//! Invariant: what runs between fork and exec is one system call that is safe there.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has the kernel end a child as soon as the thread that starts it ends, however that happens.
pub fn die_with_parent(command: &mut Command) {
    let ask = || {
        // SAFETY: prctl is async-signal-safe and reads no memory with this option.
        let code = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec only prctl is called; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(ask) };
}

/// Leaves the session and process group of whoever started this process, so that signals for those do not reach it.
pub fn leave_session() -> io::Result<()> {
    nix::unistd::setsid().map(drop).map_err(io::Error::from)
}
