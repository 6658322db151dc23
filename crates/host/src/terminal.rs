//! The terminal that somebody types a secret at. Invariant: its echo is back on, whatever happens meanwhile but a signal that
//! ends the program.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

struct Quiet<'t> {
    terminal: BorrowedFd<'t>,
    before: Termios,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // The terminal may be gone, and its echo with it.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

/// Does `work` while what is typed at the terminal is not shown; the end of a line is.
pub fn without_echo<T>(terminal: &impl AsFd, work: impl FnOnce() -> T) -> io::Result<T> {
    let terminal = terminal.as_fd();
    let before = tcgetattr(terminal)?;
    let mut quiet = before.clone();
    quiet.local_flags.remove(LocalFlags::ECHO);
    quiet.local_flags.insert(LocalFlags::ECHONL);
    tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?;
    let _quiet = Quiet { terminal, before };
    Ok(work())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;

    fn echoes(terminal: &impl AsFd) -> bool {
        tcgetattr(terminal).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    #[test]
    fn nothing_is_shown_while_a_secret_is_typed_and_everything_afterwards() {
        let pty = openpty(None, None).unwrap();
        assert!(echoes(&pty.slave));
        let during = without_echo(&pty.slave, || echoes(&pty.slave)).unwrap();
        assert!(!during && echoes(&pty.slave));
        let file = tempfile::tempfile().unwrap();
        assert!(without_echo(&file, || ()).is_err(), "a file is no terminal");
    }
}
