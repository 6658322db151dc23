//! What the agent learns of its host beside packets: sockets and the processes behind them, kernel drops, how busy the
//! host is, and what the agent itself costs.
//!
//! Nothing here is needed to count packets. Whatever cannot be had is left out, said once on standard error, and told in
//! the snapshot by name; the agent goes on.

use std::time::Instant;

use hivewall_config::Config;
use hivewall_host::diag::{DiagWatch, Watched};
use hivewall_host::process::ProcessTable;
use hivewall_host::sockets::{SocketWatch, SocketWatchOptions};
use hivewall_host::source::SourceLoss;
use hivewall_host::system::{ProgramCost, SystemProbe};
use hivewall_model::{KernelDrop, SocketCensus, SocketEvent, SystemReading, Timestamp};
use hivewall_view::{AgentCost, Attribution};

use crate::meter::Meter;

/// The edges at work.
pub(crate) struct Surroundings {
    processes: ProcessTable,
    /// The kernel's word on sockets.
    watch: Option<SocketWatch>,
    /// Polled: what was there before the agent, states, health; and everything where the kernel gives no word.
    diag: Option<DiagWatch>,
    /// Why not by the kernel's word.
    fallback_reason: Option<String>,
    events: Vec<SocketEvent>,
    system: Option<SystemProbe>,
    cost: Cost,
    kernel_ns: Option<f64>,
}

/// Who measures what programs cost.
enum Cost {
    Here(ProgramCost),
    Apart(Meter),
}

impl Cost {
    fn ns_per_packet(&mut self) -> Option<f64> {
        match self {
            // Kernels before 5.8 have no statistics to switch on; the screen then shows none.
            Self::Here(cost) => cost.poll(Instant::now()).ok().flatten().and_then(|reading| reading.ns_per_packet()),
            Self::Apart(meter) => meter.ns_per_packet(),
        }
    }
}

/// What is told once a second.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) census: Option<SocketCensus>,
    pub(crate) drops: Vec<KernelDrop>,
    pub(crate) system: Option<SystemReading>,
    pub(crate) attribution: Attribution,
    pub(crate) agent: AgentCost,
}

/// What there is, or nothing and a warning that says what is missing because of it.
fn or_warn<T, E: std::fmt::Display>(opened: Result<T, E>, missing: &str) -> Option<T> {
    opened.inspect_err(|error| tracing::warn!(%error, "{missing}")).ok()
}

impl Surroundings {
    /// Opens what can be opened.
    pub(crate) fn open(config: &Config, meter: Option<Meter>) -> Self {
        let mut around = Self {
            processes: ProcessTable::new(),
            watch: None,
            diag: None,
            fallback_reason: None,
            events: Vec::new(),
            system: or_warn(SystemProbe::new(), "the host's load is not shown"),
            cost: meter.map_or_else(|| Cost::Here(ProgramCost::new()), Cost::Apart),
            kernel_ns: None,
        };
        if config.processes.enabled {
            match SocketWatch::open(&SocketWatchOptions {
                drops: config.processes.drops,
                ..SocketWatchOptions::default()
            }) {
                Ok(watch) => around.watch = Some(watch),
                Err(error) => {
                    tracing::warn!(%error, "processes are looked up by polling");
                    around.fallback_reason = Some(error.to_string());
                }
            }
            let watched = if around.watch.is_some() { Watched::Older } else { Watched::All };
            around.diag = or_warn(DiagWatch::open(watched), "sockets older than the agent have no process");
        }
        around
    }

    /// What happened to sockets since the last call.
    pub(crate) fn poll(&mut self) -> &[SocketEvent] {
        self.events.clear();
        if let Some(watch) = &mut self.watch {
            watch.poll(&mut self.processes, &mut self.events);
        }
        self.kernel_ns = self.cost.ns_per_packet().or(self.kernel_ns);
        &self.events
    }

    /// Once a second: what is read rather than told. The events are those of sockets that were asked about.
    pub(crate) fn second(&mut self, now: Timestamp) -> (Told, &[SocketEvent]) {
        self.events.clear();
        let census = self.diag.as_mut().and_then(|diag| {
            let polled = diag.poll(&mut self.processes, now, &mut self.events);
            polled.inspect_err(|error| tracing::debug!(%error, "sockets could not be listed")).ok()
        });
        let told = Told {
            census,
            drops: self.watch.as_mut().map(SocketWatch::drops).unwrap_or_default(),
            system: self.system.as_mut().and_then(|probe| probe.read().ok()),
            attribution: self.attribution(),
            agent: AgentCost {
                kernel_ns_per_packet: self.kernel_ns,
                socket_events: self.watch.as_ref().map_or(0, SocketWatch::events),
                ..AgentCost::default()
            },
        };
        (told, &self.events)
    }

    fn attribution(&self) -> Attribution {
        let (source, reason) = match (&self.watch, &self.diag) {
            (Some(watch), _) => watch.source(),
            (None, Some(_)) => ("sock-diag", None),
            (None, None) => ("none", Some("processes.enabled is false".to_owned())),
        };
        Attribution {
            source: source.to_owned(),
            fallback_reason: self.fallback_reason.clone().or(reason),
            processes: self.processes.len() as u64,
            ..Attribution::default()
        }
    }

    /// What was not told.
    pub(crate) fn losses(&self) -> Vec<SourceLoss> {
        self.watch.as_ref().map(SocketWatch::losses).unwrap_or_default()
    }
}
