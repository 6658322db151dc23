//! What each part of the agent is left with once it has started: who holds a capability, who reaches which files.
//!
//! The table is here; how a thread gives something up is `hivewall_host::privileges`. Invariant: a part that reads what came
//! from outside holds no capability; what this kernel does not have is told once, by name, or stops the agent where that
//! was asked for (`privileges.sandbox`).

mod check;
mod places;

use std::path::Path;

use hivewall_config::{Config, Sandboxing};
use hivewall_host::privileges::{Calls, Capability, Confinement, Desk, Files, Gap};

pub(crate) use check::{as_json, told};
pub(crate) use places::Places;

use crate::exit::{Exit, ending};

/// A part of the agent with threads of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The source and the engine: reads rings, sweeps, attaches to interfaces that appear.
    Pipeline,
    /// The policy, its watch over packet filters, and the programs of these.
    Policy,
    /// Captured bytes to names.
    Names,
    /// Requests.
    Api,
    /// The event log.
    Log,
    /// The history.
    History,
    /// Looks at other users' processes for the pipeline.
    Processes,
    /// Lists packet filters for the API.
    Filters,
    /// Detectors.
    Detect,
    /// Who tells people of alerts.
    Delivery,
    /// Flows to collectors.
    Export,
    /// Links to other hosts, and what they agree on.
    Fleet,
    /// What the agent's programs cost in the kernel: a process of its own.
    Meter,
    /// `hivewall guard`.
    Guard,
}

impl Part {
    /// Parts of `run`.
    const OF_AGENT: [Self; 13] = [
        Self::Pipeline,
        Self::Policy,
        Self::Names,
        Self::Api,
        Self::Log,
        Self::History,
        Self::Processes,
        Self::Filters,
        Self::Detect,
        Self::Delivery,
        Self::Export,
        Self::Fleet,
        Self::Meter,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Policy => "policy",
            Self::Names => "names",
            Self::Api => "api",
            Self::Log => "log",
            Self::History => "history",
            Self::Processes => "processes",
            Self::Filters => "filters",
            Self::Detect => "detect",
            Self::Delivery => "delivery",
            Self::Export => "export",
            Self::Fleet => "fleet",
            Self::Meter => "meter",
            Self::Guard => "guard",
        }
    }

    /// What it keeps.
    pub(crate) fn confinement(self, places: &Places) -> Confinement {
        use Capability::{Bpf, DacReadSearch, NetAdmin, NetRaw, Perfmon, SysAdmin, SysPtrace};
        let nothing = || Some(Files { read: Some(Vec::new()), ..Files::default() });
        let within = |write: Vec<_>, read: Vec<_>| Some(Files { write, read: Some(read), start: false });
        let writing = |write: Vec<_>, start| Some(Files { write, read: None, start });
        let (capabilities, files, calls) = match self {
            Self::Pipeline => (vec![Bpf, Perfmon, NetAdmin, NetRaw], writing(places.pins(), false), Calls::NoPrograms),
            Self::Policy => (vec![Bpf, NetAdmin, NetRaw], writing(places.policy(), true), Calls::Ordinary),
            Self::Names => (Vec::new(), nothing(), Calls::Reading),
            Self::Api => (Vec::new(), within(places.access(), places.api()), Calls::Working),
            Self::Log => (Vec::new(), within(places.log(), Places::zones()), Calls::Working),
            Self::History => (Vec::new(), within(places.history(), Places::zones()), Calls::Working),
            // Landlock would hide other processes from it.
            Self::Processes => (vec![SysPtrace, DacReadSearch], None, Calls::Lookups),
            Self::Filters => (vec![NetAdmin, NetRaw], writing(Places::tools(), true), Calls::Ordinary),
            Self::Detect => (Vec::new(), within(places.alerts(), Places::logs_and_zones()), Calls::NoPrograms),
            // Passwords, certificates and the programs of `command:` channels may lie anywhere.
            Self::Delivery => (Vec::new(), writing(places.alerts(), true), Calls::Ordinary),
            Self::Export => (Vec::new(), writing(places.export(), false), Calls::NoPrograms),
            // Names of interfaces and their addresses come over netlink.
            Self::Fleet => (Vec::new(), within(places.fleet(), Places::zones()), Calls::NoPrograms),
            Self::Meter => (vec![SysAdmin], nothing(), Calls::NoPrograms),
            Self::Guard => (vec![Bpf, Perfmon, NetAdmin], writing(Vec::new(), false), Calls::NoPrograms),
        };
        Confinement { capabilities, files, calls }
    }
}

/// The parts' confinement, decided.
pub(crate) struct Sandbox {
    mode: Sandboxing,
    places: Places,
}

impl Sandbox {
    /// Of `run`, before anything else is started: makes the places that parts are confined to, and tells what cannot be had.
    pub(crate) fn of_agent(config: &Config) -> anyhow::Result<Self> {
        let sandbox = Self { mode: config.privileges.sandbox, places: Places::of(config) };
        if sandbox.is_on() {
            sandbox.places.make();
        }
        sandbox.begin(&Part::OF_AGENT)
    }

    /// Of `guard`.
    pub(crate) fn of_guard(mode: Sandboxing, log: Option<&Path>) -> anyhow::Result<Self> {
        let places = Places::of_log(log);
        Self { mode, places }.begin(&[Part::Guard, Part::Log])
    }

    fn begin(self, parts: &[Part]) -> anyhow::Result<Self> {
        if !self.is_on() {
            tracing::warn!("privileges.sandbox is off: every part of the agent keeps all that it was started with");
            return Ok(self);
        }
        let gaps = gaps(parts, &self.places)?;
        if gaps.is_empty() {
            tracing::info!("sandbox: privileges are given up part by part (`hivewall check` lists them)");
            return Ok(self);
        }
        let told = gaps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if self.mode == Sandboxing::Require {
            let advice = "privileges.sandbox is `require`, and not all of it can be had here";
            return Err(ending(Exit::Unsupported, format!("{advice}: {told}; set it to `auto` to go without")));
        }
        tracing::warn!("sandbox: the agent goes on without what this host does not have: {told}");
        Ok(self)
    }

    /// Whether anything is given up.
    pub(crate) fn is_on(&self) -> bool {
        self.mode != Sandboxing::Off
    }

    /// Runs `work` as a part; threads that it starts belong to the part.
    pub(crate) fn enter<T: Send>(&self, part: Part, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        if !self.is_on() {
            return Ok(work());
        }
        let (outcome, gaps) = part.confinement(&self.places).around(work)?;
        tell(part, &gaps);
        Ok(outcome)
    }

    /// The calling thread is this part from now on.
    pub(crate) fn settle(&self, part: Part) {
        if self.is_on() {
            tell(part, &part.confinement(&self.places).here());
        }
    }

    /// What a thread is to settle as, for who starts it elsewhere.
    pub(crate) fn confinement(&self, part: Part) -> Option<Confinement> {
        self.is_on().then(|| part.confinement(&self.places))
    }

    /// Opens the desks for what the other parts give up.
    pub(crate) fn open_desks(&self) -> anyhow::Result<()> {
        for (desk, part) in [(Desk::Processes, Part::Processes), (Desk::Filters, Part::Filters)] {
            if self.is_on() {
                tell(part, &desk.open(&part.confinement(&self.places))?);
            }
        }
        Ok(())
    }
}

/// They were told as warnings at the start.
fn tell(part: Part, gaps: &[Gap]) {
    for gap in gaps {
        tracing::debug!(part = part.name(), %gap, "not given up");
    }
}

/// What cannot be had for any of these parts, each once.
fn gaps(parts: &[Part], places: &Places) -> anyhow::Result<Vec<Gap>> {
    let mut all: Vec<Gap> = Vec::new();
    for part in parts {
        for gap in part.confinement(places).gaps()? {
            if !all.contains(&gap) {
                all.push(gap);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_what_came_from_outside_holds_no_capability_and_starts_no_program() {
        let places = Places::of(&Config::default());
        for part in [Part::Names, Part::Api, Part::Log, Part::History, Part::Detect, Part::Fleet] {
            let confinement = part.confinement(&places);
            assert_eq!(confinement.capabilities, [], "{part:?}");
            assert!(matches!(confinement.calls, Calls::Working | Calls::Reading | Calls::NoPrograms), "{part:?}");
            assert!(confinement.files.is_some_and(|files| files.read.is_some() && !files.start), "{part:?}");
        }
    }

    #[test]
    fn the_agents_own_process_never_keeps_cap_sys_admin() {
        let places = Places::of(&Config::default());
        for part in Part::OF_AGENT.into_iter().filter(|part| *part != Part::Meter) {
            assert!(!part.confinement(&places).capabilities.contains(&Capability::SysAdmin), "{part:?}");
        }
    }
}
