//! A bounded generator of test traffic on this host, so that a newcomer sees something at once: pages over HTTP, DNS
//! look-ups, a scan of ports, a short flood of UDP, a bulk transfer over TCP. Its servers are its own and end with it.
//!
//! Invariants: not a packet goes to an address that is not this host's ([`Plan::new`] refuses, whatever the options say);
//! everything has a named limit, and the whole ends after the time that the plan names.
#![forbid(unsafe_code)]

mod browse;
mod bulk;
mod dns;
mod flood;
mod listen;
mod pace;
mod plan;
mod scan;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use plan::{
    BULK_BYTES_MAX, FLOOD_PACKETS_MAX, FLOOD_RATE_MAX, LOOKUPS_MAX, Options, PAGES_MAX, Part, Plan, SCAN_PORTS_MAX,
    SECONDS_MAX,
};

/// Why there is no traffic, or no more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrafficError {
    /// The target is somebody else's.
    #[error(
        "{target} is not an address of this host: test traffic goes to loopback (127.0.0.1, ::1) or to an address of this \
         host, and nowhere else"
    )]
    NotThisHost {
        /// The address asked for.
        target: IpAddr,
    },
    /// More than is allowed.
    #[error("{what} cannot be more than {most}; choose fewer")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// The addresses of this host are not known.
    #[error("the addresses of this host cannot be read")]
    Addresses(#[source] nix::Error),
    /// A server of the generator could not begin.
    #[error("{what} cannot be served at {target}; is the address up?")]
    Serve {
        /// Which server.
        what: &'static str,
        /// Where.
        target: IpAddr,
        /// Why.
        source: io::Error,
    },
}

/// What one part did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Requests, look-ups, ports, packets or transfers that were tried.
    pub tried: u64,
    /// Of them, answered as expected: a page, an address, a refusal; for the flood and the transfer: sent.
    pub well: u64,
    /// Bytes of payload, both ways.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// What all parts did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Each part of the plan, in order; parts that were not reached are missing.
    pub parts: Vec<(Part, Done)>,
    /// Whether it ended before its time, because it was told to.
    pub stopped: bool,
    /// Whether the plan's time was over before all was done.
    pub out_of_time: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, done) in &self.parts {
            let Done { tried, well, bytes, took } = done;
            writeln!(
                f,
                "{:<10}{well} of {tried} {}, {bytes} bytes in {:.1} s",
                part.name(),
                part.unit(),
                took.as_secs_f64()
            )?;
        }
        match (self.stopped, self.out_of_time) {
            (true, _) => writeln!(f, "Stopped."),
            (false, true) => writeln!(f, "The time was over before all was done."),
            (false, false) => writeln!(f, "All done."),
        }
    }
}

/// Until when traffic may be made.
#[derive(Clone, Copy)]
struct Limits<'a> {
    deadline: Instant,
    stop: &'a AtomicBool,
}

impl Limits<'_> {
    fn over(self) -> bool {
        self.stop.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    fn left(self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Makes the traffic of a plan, part after part. `begun` is told of each part as it begins; `stop` ends it early, within
/// a second.
pub fn run(plan: &Plan, stop: &AtomicBool, begun: &mut dyn FnMut(Part)) -> Result<Summary, TrafficError> {
    let limits = Limits { deadline: Instant::now() + plan.time(), stop };
    let mut summary = Summary::default();
    for part in plan.parts() {
        if limits.over() {
            break;
        }
        begun(part);
        let start = Instant::now();
        let mut done = match part {
            Part::Browse => browse::run(plan, limits)?,
            Part::Dns => dns::run(plan, limits)?,
            Part::Scan => scan::run(plan, limits),
            Part::Flood => flood::run(plan, limits)?,
            Part::Bulk => bulk::run(plan, limits)?,
        };
        done.took = start.elapsed();
        summary.parts.push((part, done));
    }
    summary.stopped = stop.load(Ordering::Relaxed);
    summary.out_of_time = Instant::now() >= limits.deadline;
    Ok(summary)
}
