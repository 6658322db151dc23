//! What goes into a detector, and what comes out of it.

use std::fmt;
use std::net::IpAddr;
use std::ops::Add;
use std::sync::Arc;

use hivewall_model::{FlowId, Learned, Process, Pulse, Stray, Timestamp, Tuple};
use hivewall_view::alerts::Severity;

use crate::Definition;

/// A name or message that payload showed, tied to its conversation.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    /// When.
    pub time: Timestamp,
    /// Who talks to whom.
    pub tuple: Tuple,
    /// Whether the client said it.
    pub from_client: bool,
    /// What.
    pub learned: &'a Learned,
    /// Number of the flow, where it is known.
    pub flow: Option<FlowId>,
    /// Process of this host, where one is an end.
    pub process: Option<&'a Arc<Process>>,
}

/// A service that people log in to, as the host's own logs tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// When.
    pub time: Timestamp,
    /// `ssh`, `ftp`, `su`, `sudo`, `login`, `smtp`, `imap`, `mysql`, `postgresql`, …
    pub service: Arc<str>,
    /// Which account was tried.
    pub user: Arc<str>,
    /// From where; `None` for the machine's own terminals.
    pub from: Option<IpAddr>,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Whether such an account exists, where the log says.
    pub user_exists: Option<bool>,
}

/// Something on this host that waits for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// When it was seen.
    pub time: Timestamp,
    /// IP protocol number.
    pub protocol: u8,
    /// The address it waits at; unspecified for all.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Who.
    pub process: Option<Arc<Process>>,
}

/// Something that happened, as detectors see it.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// What a flow did. For flows inside of tunnels see [`Pulse::tunnel`].
    Pulse(&'a Pulse),
    /// What somebody said in one.
    Said(&'a Said<'a>),
    /// A frame that is in no flow: ARP, or a packet that breaks a standard.
    Stray(&'a Stray),
    /// Somebody logged in, or tried to.
    Login(&'a Login),
    /// Something new waits for connections on this host.
    Listener(&'a Listener),
    /// Somebody else changed this host's packet filters.
    Firewall {
        /// One sentence.
        what: &'a str,
        /// Whether what was changed is ours.
        is_ours: bool,
    },
    /// A second is over. Told after everything that belongs to it.
    Tick,
}

/// Who or what an alert is about: signs of one detector with equal subjects are one alert.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Subject {
    /// Who did it.
    pub source: Option<IpAddr>,
    /// To whom, where the target makes it another alert.
    pub target: Option<IpAddr>,
    /// By which port, where that makes it another alert.
    pub port: Option<u16>,
    /// What else tells it apart: a process, a domain, a MAC.
    pub other: Option<Box<str>>,
}

impl Subject {
    /// About a source alone.
    pub fn source(source: IpAddr) -> Self {
        Self { source: Some(source), ..Self::default() }
    }

    /// About a target alone (sources that may be lies).
    pub fn target(target: IpAddr, port: Option<u16>) -> Self {
        Self { target: Some(target), port, ..Self::default() }
    }

    /// About a source and a target.
    pub fn pair(source: IpAddr, target: IpAddr, port: Option<u16>) -> Self {
        Self { source: Some(source), target: Some(target), port, other: None }
    }
}

/// Most targets, flows and samples that a sign carries.
pub const TARGETS_MAX: usize = 16;
/// Most words of evidence.
pub const SAMPLES_MAX: usize = 8;
/// Hosts of a fleet named in a sign, and in an alert.
pub const HOSTS_MAX: usize = 64;
/// Most characters of one.
pub const SAMPLE_CHARS_MAX: usize = 128;

/// A detector says that something is so. Said again while it goes on, at most about once in ten seconds for one subject;
/// later signs carry the sums so far.
#[derive(Clone, Debug)]
pub struct Sign {
    /// Who says so.
    pub detector: &'static Definition,
    /// What it is about.
    pub subject: Subject,
    /// How bad.
    pub severity: Severity,
    /// When what it rests on began.
    pub first: Timestamp,
    /// When it was seen last.
    pub last: Timestamp,
    /// One sentence: who did what to whom, how much.
    pub message: String,
    /// Whether the source may be a lie.
    pub spoofable: bool,
    /// Number of sources, where there is more than one.
    pub sources: Option<u64>,
    /// Link-layer address of the source, where that is who did it.
    pub source_mac: Option<[u8; 6]>,
    /// Some of the targets.
    pub targets: Vec<IpAddr>,
    /// How many there are.
    pub target_count: u64,
    /// IP protocol number; `None` for none or several.
    pub protocol: Option<u8>,
    /// The port that was called, where it is one.
    pub port: Option<u16>,
    /// Interface that saw it.
    pub ifindex: Option<u32>,
    /// Process of this host.
    pub process: Option<Arc<Process>>,
    /// Figures with units in their names.
    pub figures: Vec<(&'static str, f64)>,
    /// Some of the flows.
    pub flows: Vec<FlowId>,
    /// What was seen, in words; not cleaned: it may come from the network.
    pub samples: Vec<String>,
    /// Hosts of the fleet that saw it, where a fleet did, at most [`HOSTS_MAX`](crate::HOSTS_MAX).
    pub hosts: Vec<String>,
}

impl Sign {
    /// A sign with the definition's own severity and nothing more.
    pub fn new(
        detector: &'static Definition,
        subject: Subject,
        first: Timestamp,
        last: Timestamp,
        message: String,
    ) -> Self {
        Self {
            detector,
            severity: detector.severity,
            spoofable: detector.spoofable != crate::Spoofable::Never,
            targets: subject.target.into_iter().collect(),
            target_count: subject.target.into_iter().count() as u64,
            port: subject.port,
            subject,
            first,
            last,
            message,
            sources: None,
            source_mac: None,
            protocol: None,
            ifindex: None,
            process: None,
            figures: Vec::new(),
            flows: Vec::new(),
            samples: Vec::new(),
            hosts: Vec::new(),
        }
    }
}

/// What a detector remembers, for the host's own picture of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Held {
    /// Entries held now.
    pub entries: u64,
    /// Most that it may hold.
    pub entries_max: u64,
    /// Entries that were forgotten before their time because there were too many, since the start.
    pub given_up: u64,
}

impl Add for Held {
    type Output = Self;

    /// Of two tables together.
    fn add(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            entries_max: self.entries_max + other.entries_max,
            given_up: self.given_up + other.given_up,
        }
    }
}

/// One detector at work. Pure: time comes with each call, and goes forward.
pub trait Detector: fmt::Debug + Send {
    /// What it is.
    fn definition(&self) -> &'static Definition;
    /// Takes one event at time `now`.
    fn see(&mut self, now: Timestamp, event: &Event<'_>, signs: &mut Vec<Sign>);
    /// What it remembers.
    fn held(&self) -> Held;
}
