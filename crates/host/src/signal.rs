//! Signals as flags that the main loop looks at. Nothing happens in the handlers but one store.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static STOPS: AtomicU32 = AtomicU32::new(0);
static REOPEN: AtomicBool = AtomicBool::new(false);

extern "C" fn on_stop(_: i32) {
    // The second one means it: `_exit` is async-signal-safe, and the kernel takes our links with the process.
    if STOPS.fetch_add(1, Ordering::Relaxed) > 0 {
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(130) };
    }
}

extern "C" fn on_reopen(_: i32) {
    REOPEN.store(true, Ordering::Relaxed);
}

/// What signals asked for. One for the process.
#[derive(Debug)]
pub struct Signals(());

impl Signals {
    /// Catches SIGINT, SIGTERM (stop) and SIGHUP (open the log file again).
    pub fn catch() -> io::Result<Self> {
        let handle = |signal, handler| {
            let action = SigAction::new(SigHandler::Handler(handler), SaFlags::SA_RESTART, SigSet::empty());
            // SAFETY: the handlers only store to atomics, or end the process.
            unsafe { sigaction(signal, &action) }
        };
        handle(Signal::SIGINT, on_stop)?;
        handle(Signal::SIGTERM, on_stop)?;
        handle(Signal::SIGHUP, on_reopen)?;
        Ok(Self(()))
    }

    /// Whether the process was asked to stop.
    pub fn stop(&self) -> bool {
        STOPS.load(Ordering::Relaxed) > 0
    }

    /// Whether the log is to be opened again; asked once per signal.
    pub fn take_reopen(&self) -> bool {
        REOPEN.swap(false, Ordering::Relaxed)
    }
}
