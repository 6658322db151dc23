//! Where messages go: one file for each kind. A sink is handed one message at a time and says whether it arrived.

pub(crate) mod alertmanager;
pub(crate) mod command;
pub(crate) mod journald;
pub(crate) mod mail;
pub(crate) mod syslog;
pub(crate) mod webhook;

use std::io;
use std::time::Instant;

use hivewall_outbound::{Failure, Reason};

use crate::channel::{Channel, Kind};
use crate::error::ChannelError;
use crate::message::Message;

/// One receiver. May take as long as the channel's time limit for each exchange with it.
pub(crate) trait Sink: Send + Sync {
    /// Hands a message over. Success means that the receiver has it, as far as its protocol can say so.
    fn deliver(&self, message: &Message) -> Result<(), Failure>;

    /// When what was delivered has to be said again, so that the receiver does not forget it.
    fn refresh_at(&self) -> Option<Instant> {
        None
    }

    /// Says it again.
    fn refresh(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Alerts that are said again and again.
    fn active(&self) -> u64 {
        0
    }
}

impl Channel {
    /// Makes what the line names usable. No connection is made.
    pub(crate) fn open(&self) -> Result<Box<dyn Sink>, ChannelError> {
        Ok(match &self.kind {
            Kind::Alertmanager(target) => Box::new(target.open(self.timeout)?),
            Kind::Webhook(target) => Box::new(target.open(self.timeout)?),
            Kind::Mail(target) => Box::new(target.open(self.timeout)?),
            Kind::Syslog(target) => Box::new(target.open(self.timeout)),
            Kind::Journald(path) => Box::new(journald::Journald::new(path.clone())),
            Kind::Command(path) => Box::new(command::Command::new(path.clone(), self.timeout)),
        })
    }
}

/// What an error of a socket means.
fn socket_failure(what: &str, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Reason::Timeout,
        // EMSGSIZE has no kind of its own.
        _ if error.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32) => {
            return Failure::lasting(Reason::TooLarge, format!("{what}: {error}"));
        }
        _ => Reason::Unreachable,
    };
    Failure::passing(reason, format!("{what}: {error}"))
}
