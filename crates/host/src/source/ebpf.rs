//! The kernel's datapath as a source: programs on every wanted interface, rings read by time, shards swept on their
//! own CPUs. No wake-ups from the kernel: an event a packet would cost more than the packet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcError};
use aya::programs::{LinkOrder, ProgramError, ProgramInfo, SchedClassifier, TcAttachType};
use hivewall_datapath::{IFINDEX_MAX, SweepControl, Tally, TallyKey};
use hivewall_model::{Interface, LinkLayer};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::clock::Clock;
use super::qdisc::remove_empty_clsact;
use super::{About, Batch, Progress, Source, SourceError, SourceLoss, random_seed, wall_clock};
use crate::bans::{self, FrontMode, KernelStore, to_io};
use crate::ebpf::{EbpfError, Geometry, Loaded, Object, PeekRing, Rings, SharedArray, TestRun};
use crate::link::{InterfaceFilter, Links};
use crate::policy::{Pins, PolicyMaps};

/// Longest sleep between two looks at the rings. With 64 Ki slots a ring then holds 3 million records a second.
const NAP: Duration = Duration::from_millis(20);
/// Records taken from one ring before the others have their turn.
const TAKE: usize = 16_384;
/// Lines idle for longer are freed. 16 bits of ticks tell 65 s apart at 1000 Hz.
const IDLE: Duration = Duration::from_secs(10);
/// The kernel's name for the programs' first letters, by which leftovers are known.
const PROGRAM_PREFIX: &str = "hivewall_";

/// How programs are hung onto an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Hook {
    /// tcx where the kernel has it (6.6), else clsact.
    #[default]
    Auto,
    /// tcx or nothing.
    Tcx,
    /// A filter on the clsact qdisc.
    Clsact,
}

/// What the source is to do.
#[derive(Clone, Debug, Default)]
pub struct EbpfOptions {
    /// Which interfaces.
    pub filter: InterfaceFilter,
    /// Flow cache lines a CPU; `None` chooses by the number of CPUs.
    pub lines: Option<u32>,
    /// Ring slots a CPU; `None` is the default.
    pub slots: Option<u32>,
    /// Time between sweeps.
    pub sweep: Duration,
    /// How to attach.
    pub hook: Hook,
    /// First bytes of conversations a CPU may copy in a second; 0 for none, `None` for the default.
    pub peeks_per_second: Option<u32>,
    /// Folder of a BPF file system for what is to outlive the agent; `None` when nothing ever is.
    pub pins: Option<PathBuf>,
    /// Where banned sources are dropped before anything else, once there is something to hold; `None`: only where packets
    /// are judged.
    pub front: Option<FrontMode>,
}

/// How a program is kept on its hook.
enum Held {
    /// By the program, in this process.
    Owned(SchedClassifierLinkId),
    /// By its link, in this process.
    Free(SchedClassifierLink),
    /// By a pin.
    Pinned(PathBuf),
}

/// The two programs on one interface.
struct Attached {
    name: String,
    link_layer: LinkLayer,
    links: Vec<(&'static str, Held)>,
    /// The program at the driver, while the datapath is held.
    front: Option<PathBuf>,
    /// A clsact qdisc that was not there before.
    made_qdisc: bool,
}

/// The running datapath.
pub struct EbpfSource {
    loaded: Loaded,
    rings: Rings,
    peeks: PeekRing,
    control: SharedArray<SweepControl>,
    sweep: TestRun,
    options: EbpfOptions,
    links: Links,
    attached: BTreeMap<u32, Attached>,
    /// Interfaces that are wanted but cannot be had, and why; told once each.
    refused: BTreeMap<u32, String>,
    tcx: bool,
    fallback_reason: Option<String>,
    clock: Clock,
    next_sweep: Instant,
    cpus: Vec<usize>,
    pins: Option<Pins>,
    /// Programs and maps outlive this process.
    is_held: bool,
    /// Why there is no program at the driver, by interface.
    no_front: BTreeMap<String, String>,
    /// What was captured when it ended; from then on nothing is attached any more.
    finished: Option<Vec<u32>>,
}

/// Runs `work` on one CPU after the other; CPUs that are offline or forbidden are left out.
fn on_each_cpu(cpus: &[usize], mut work: impl FnMut(usize) -> Result<(), SourceError>) -> Result<(), SourceError> {
    let before = sched_getaffinity(Pid::from_raw(0)).ok();
    let mut outcome = Ok(());
    for cpu in cpus {
        let mut only = CpuSet::new();
        if only.set(*cpu).is_err() || sched_setaffinity(Pid::from_raw(0), &only).is_err() {
            continue;
        }
        outcome = work(*cpu);
        if outcome.is_err() {
            break;
        }
    }
    if let Some(before) = before {
        // The set was this thread's own a moment ago.
        let _ = sched_setaffinity(Pid::from_raw(0), &before);
    }
    outcome
}

impl EbpfSource {
    /// Loads the datapath and attaches to every wanted interface there is.
    pub fn open(options: EbpfOptions) -> Result<Self, SourceError> {
        let mut source = Self::prepare(options)?;
        source.start()?;
        Ok(source)
    }

    /// Attaches to every wanted interface there is. Where an agent before this one left its programs to hold, they are
    /// replaced one by one, with no packet in between.
    pub fn start(&mut self) -> Result<(), SourceError> {
        if !self.is_held {
            remove_leftovers();
        }
        let (all, captured) = self.refresh()?;
        if captured.is_empty() {
            let why = self.refused.values().next().cloned();
            return Err(SourceError::no_interface(&self.options.filter, &all, why));
        }
        Ok(())
    }

    /// Loads the datapath, over what an agent before this one left to hold, if it left anything. Nothing is attached yet.
    pub fn prepare(options: EbpfOptions) -> Result<Self, SourceError> {
        let pins = options.pins.clone().map(Pins::at);
        let is_held = pins.as_ref().is_some_and(Pins::is_held);
        let default = Geometry::host_default()?;
        let lines = options.lines.unwrap_or(default.sets * hivewall_datapath::WAYS as u32);
        let mut geometry = Geometry::new(lines, options.slots.unwrap_or(default.slots))?;
        geometry.peeks_per_second = options.peeks_per_second.unwrap_or(default.peeks_per_second);
        let mut loaded = load(geometry, pins.as_ref().filter(|_| is_held))?;
        let sweep = loaded.test_run("hivewall_sweep")?;
        let (rings, peeks, control) = (loaded.rings()?, loaded.peeks()?, loaded.sweep_control()?);
        let cpus: Vec<usize> = (0..geometry.cpus as usize).collect();
        let mut clock = None;
        on_each_cpu(&cpus, |cpu| {
            if clock.is_none() {
                clock = Some(Clock::calibrate(|| {
                    sweep.run(&[0; 64], None, 1)?;
                    let now = control.read(cpu).ok_or(EbpfError::Missing("a sweep word for this CPU"))?;
                    Ok((now.ticks, now.monotonic_ns))
                })?);
            }
            Ok(())
        })?;
        let clock = clock.ok_or(EbpfError::Missing("CPU this process may run on"))?;
        let tcx = options.hook != Hook::Clsact;
        let next_sweep = Instant::now() + options.sweep;
        let links = Links::open()?;
        let (attached, refused) = (BTreeMap::new(), BTreeMap::new());
        let fallback_reason = (!tcx).then(|| "clsact was asked for".to_owned());
        Ok(Self {
            loaded,
            rings,
            peeks,
            control,
            sweep,
            options,
            links,
            attached,
            refused,
            tcx,
            fallback_reason,
            clock,
            next_sweep,
            cpus,
            pins,
            is_held,
            no_front: BTreeMap::new(),
            finished: None,
        })
    }

    /// The maps a policy lives in.
    pub fn policy_maps(&self) -> Result<PolicyMaps, SourceError> {
        Ok(self.loaded.policy_maps()?)
    }

    /// The maps bans live in.
    pub fn ban_maps(&self) -> Result<KernelStore, SourceError> {
        Ok(self.loaded.ban_maps()?)
    }

    /// The datapath's clock now, in ticks, and how many make a second.
    pub fn ticks(&self) -> (u64, u32) {
        let per_second = 1_000_000_000 / self.clock.tick_ns().max(1);
        (self.clock.ticks_now(), per_second as u32)
    }

    /// Whether what is attached outlives this process.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// From now on programs and maps outlive this process, until [`EbpfSource::release`].
    pub fn hold(&mut self) -> Result<(), SourceError> {
        let Some(pins) = self.pins.clone().filter(|_| !self.is_held) else { return Ok(()) };
        pins.begin(self.loaded.geometry, &self.loaded.seed)?;
        self.loaded.pin_maps(&pins)?;
        self.is_held = true;
        let indices: Vec<u32> = self.attached.keys().copied().collect();
        for index in indices {
            if let Some(mut attached) = self.attached.remove(&index) {
                let outcome = self.pin_links(index, &mut attached);
                self.attached.insert(index, attached);
                outcome?;
            }
        }
        Ok(())
    }

    /// From now on nothing outlives this process.
    pub fn release(&mut self) -> Result<(), SourceError> {
        let Some(pins) = self.pins.clone().filter(|_| self.is_held) else { return Ok(()) };
        for attached in self.attached.values_mut() {
            for (_, held) in &mut attached.links {
                if let Held::Pinned(place) = held {
                    *held = Held::Free(open_link(place)?);
                }
            }
            attached.front = None;
        }
        pins.clear(true)?;
        self.is_held = false;
        Ok(())
    }

    /// Pins the links of an interface that are this process's own, and puts the front before them.
    fn pin_links(&mut self, index: u32, attached: &mut Attached) -> Result<(), SourceError> {
        let Some(pins) = self.pins.clone() else { return Ok(()) };
        // clsact filters stay by themselves.
        if self.tcx {
            for (program, held) in &mut attached.links {
                let place = pins.link(index, side_of(program));
                let link = match std::mem::replace(held, Held::Pinned(place.clone())) {
                    Held::Owned(id) => self
                        .loaded
                        .classifier(program)?
                        .take_link(id)
                        .map_err(|source| refusal(&attached.name, source))?,
                    Held::Free(link) => link,
                    Held::Pinned(_) => continue,
                };
                let failed = |source| SourceError::Pin { place: place.clone(), source };
                let link = FdLink::try_from(link).map_err(|error| failed(to_io(&error)))?;
                let _ = std::fs::remove_file(&place);
                // The pin keeps it; this process's handle may go.
                link.pin(&place).map_err(|error| failed(to_io(&error)))?;
            }
        }
        self.put_front(index, attached);
        Ok(())
    }

    /// Puts the front before an interface, or in the place of the one that an agent before this one left there.
    fn put_front(&mut self, index: u32, attached: &mut Attached) {
        let (Some(mode), Some(pins)) = (self.options.front, self.pins.clone()) else { return };
        let place = pins.link(index, "front");
        let outcome = if place.exists() {
            bans::replace_pinned(self.loaded.object(), &place, attached.link_layer)
        } else {
            let interface =
                Interface { index, name: attached.name.clone(), link: attached.link_layer, ..Interface::default() };
            bans::attach(self.loaded.object(), &interface, mode).and_then(|link| link.pin(&place).map(drop))
        };
        match outcome {
            Ok(()) => {
                self.no_front.remove(&attached.name);
                attached.front = Some(place);
            }
            Err(error) => {
                tracing::warn!(interface = attached.name, why = %error, "bans hold where packets are judged, not at the driver");
                self.no_front.insert(attached.name.clone(), error.to_string());
            }
        }
    }

    fn attach(&mut self, interface: &Interface) -> Result<Attached, SourceError> {
        let [ingress, egress] = match interface.link {
            LinkLayer::Ip => ["hivewall_in_ip", "hivewall_out_ip"],
            _ => ["hivewall_in_eth", "hivewall_out_eth"],
        };
        let mut attached = Attached {
            name: interface.name.clone(),
            link_layer: interface.link,
            links: Vec::new(),
            front: None,
            made_qdisc: false,
        };
        // Verifying takes some hundred milliseconds: done before the first is on its hook, so that no flow is seen from one side alone.
        for program in [ingress, egress] {
            self.loaded.classifier(program)?;
        }
        for (program, side) in [(ingress, TcAttachType::Ingress), (egress, TcAttachType::Egress)] {
            if let Some(place) = self.replace(program, interface.index) {
                attached.links.push((program, Held::Pinned(place)));
                continue;
            }
            match self.hang(program, side, &interface.name, &mut attached) {
                Ok(link) => attached.links.push((program, Held::Owned(link))),
                Err(error) => {
                    // Both directions or none.
                    self.take_down(interface.index, attached);
                    return Err(error);
                }
            }
        }
        if self.is_held {
            self.pin_links(interface.index, &mut attached)?;
        }
        Ok(attached)
    }

    /// Puts a program in the place of the one behind a pinned link, where there is one that still is on its interface.
    fn replace(&mut self, program: &'static str, index: u32) -> Option<PathBuf> {
        let place = self.pins.as_ref().filter(|_| self.is_held)?.link(index, side_of(program));
        let link = open_link(&place).ok()?;
        let outcome = self.loaded.classifier(program).ok()?.attach_to_link(link);
        if let Err(error) = outcome {
            // Another interface has its index now.
            tracing::info!(place = %place.display(), %error, "a link that was left has lost its interface");
            let _ = std::fs::remove_file(&place);
            return None;
        }
        Some(place)
    }

    fn hang(
        &mut self,
        program: &'static str,
        side: TcAttachType,
        interface: &str,
        attached: &mut Attached,
    ) -> Result<SchedClassifierLinkId, SourceError> {
        let refuse = |source| SourceError::Attach { interface: interface.to_owned(), source: Box::new(source) };
        let classifier = self.loaded.classifier(program)?;
        if self.tcx {
            // First on the hook: what a later program drops has been seen all the same.
            match classifier.attach_with_options(interface, side, TcAttachOptions::TcxOrder(LinkOrder::first())) {
                Ok(link) => return Ok(link),
                Err(error) if self.options.hook == Hook::Auto && self.attached.is_empty() && is_unsupported(&error) => {
                    self.tcx = false;
                    self.fallback_reason = Some(format!("this kernel has no tcx (it came with 6.6): {error}"));
                }
                Err(error) => return Err(refuse(error)),
            }
        }
        match tc::qdisc_add_clsact(interface) {
            Ok(()) => attached.made_qdisc = true,
            Err(TcError::AlreadyAttached) => {}
            // Our own from the other direction, or somebody else's.
            Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => return Err(refuse(ProgramError::TcError(error))),
        }
        let classifier: &mut SchedClassifier = self.loaded.classifier(program)?;
        let options = NlOptions { priority: 1, ..NlOptions::default() };
        classifier.attach_with_options(interface, side, TcAttachOptions::Netlink(options)).map_err(refuse)
    }

    fn let_go(&mut self, index: u32) {
        if let Some(attached) = self.attached.remove(&index) {
            self.take_down(index, attached);
        }
    }

    fn take_down(&mut self, index: u32, attached: Attached) {
        for (program, link) in attached.links {
            match link {
                Held::Owned(link) => {
                    if let Ok(classifier) = self.loaded.classifier(program) {
                        // Fails only when the interface took its hooks with it.
                        let _ = classifier.detach(link);
                    }
                }
                Held::Free(link) => drop(link),
                Held::Pinned(place) => _ = std::fs::remove_file(place),
            }
        }
        if let Some(place) = attached.front {
            let _ = std::fs::remove_file(place);
        }
        if attached.made_qdisc {
            // Gone with the interface, or in use by others meanwhile.
            let _ = remove_empty_clsact(index);
        }
    }

    /// Hands over every counter that moved; `drain` also empties the cache.
    fn sweep(&mut self, drain: bool, batch: &mut Batch) -> Result<(), SourceError> {
        let runs = self.loaded.geometry.sets.div_ceil(64) + 1;
        let idle_ticks = (IDLE.as_nanos() as u64 / self.clock.tick_ns()) as u32;
        let (cpus, control, sweep, rings) = (&self.cpus, &mut self.control, &self.sweep, &mut self.rings);
        let clock = &mut self.clock;
        on_each_cpu(cpus, |cpu| {
            control.write(cpu, SweepControl::begin(idle_ticks, drain));
            loop {
                let ran = sweep.run(&[0; 64], None, runs)?;
                while rings.read(cpu as u32, TAKE, &mut batch.records) == TAKE {}
                if ran.value == 1 {
                    if let Some(now) = control.read(cpu) {
                        clock.hold(now.ticks, now.monotonic_ns);
                    }
                    return Ok(());
                }
            }
        })
    }

    fn take(&mut self, batch: &mut Batch) -> bool {
        let mut took = 0;
        for cpu in &self.cpus {
            took += self.rings.read(*cpu as u32, TAKE, &mut batch.records);
        }
        let (clock, peeks) = (&self.clock, &mut batch.peeks);
        took += self.peeks.read(TAKE, |head, payload| peeks.push(clock.wall_time(head.time_ns), head, payload));
        took > 0
    }
}

fn is_unsupported(error: &ProgramError) -> bool {
    let code = match error {
        ProgramError::SyscallError(call) => call.io_error.raw_os_error(),
        _ => None,
    };
    matches!(code, Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS))
}

impl Source for EbpfSource {
    fn poll(&mut self, timeout: Duration, batch: &mut Batch) -> Result<Progress, SourceError> {
        let deadline = Instant::now() + timeout;
        let progress = loop {
            if Instant::now() >= self.next_sweep {
                self.next_sweep = Instant::now() + self.options.sweep;
                self.sweep(false, batch)?;
            }
            if self.links.wait(Duration::ZERO)? {
                // Programs are on a new interface within one nap of its appearance.
                self.refresh()?;
            }
            if self.take(batch) || !batch.records.is_empty() {
                break Progress::More;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Progress::Idle;
            }
            std::thread::sleep(left.min(NAP).min(self.next_sweep.saturating_duration_since(Instant::now())));
        };
        batch.clock = self.clock.now_in_wall_time();
        batch.now = wall_clock();
        Ok(progress)
    }

    fn refresh(&mut self) -> Result<(Vec<Interface>, Vec<u32>), SourceError> {
        let all = self.links.dump()?;
        if let Some(captured) = &self.finished {
            return Ok((all, captured.clone()));
        }
        let gone: Vec<u32> =
            self.attached.keys().copied().filter(|index| !all.iter().any(|i| i.index == *index)).collect();
        for index in gone {
            self.let_go(index);
        }
        self.refused.retain(|index, _| all.iter().any(|interface| interface.index == *index));
        for interface in &all {
            if self.attached.contains_key(&interface.index)
                || self.refused.contains_key(&interface.index)
                || !self.options.filter.wants(interface)
            {
                continue;
            }
            let outcome = match interface.link {
                LinkLayer::Other(kind) => Err(format!("its link layer (ARPHRD {kind}) is not one that can be read")),
                _ if interface.index > IFINDEX_MAX => Err("its index is beyond 24 bits".to_owned()),
                _ => self.attach(interface).map_err(|error| error.to_string()),
            };
            match outcome {
                Ok(attached) => {
                    tracing::info!(interface = interface.name, "watching");
                    self.attached.insert(interface.index, attached);
                }
                Err(why) => {
                    tracing::warn!(interface = interface.name, why, "not watching");
                    self.refused.insert(interface.index, why);
                }
            }
        }
        // An interface that went away may come back under the same name while a later one has its old index.
        for interface in &all {
            if let Some(attached) = self.attached.get_mut(&interface.index) {
                attached.name.clone_from(&interface.name);
            }
        }
        Ok((all, self.attached.keys().copied().collect()))
    }

    fn tallies(&mut self) -> Result<Vec<(TallyKey, Tally)>, SourceError> {
        Ok(self.loaded.tallies()?)
    }

    fn losses(&self) -> Vec<SourceLoss> {
        let (lost, not_copied) = (self.rings.losses(), self.peeks.losses());
        let peek_loss = |name, meaning, count| SourceLoss { name, meaning, count, packets: 0, bytes: 0 };
        let flows = SourceLoss {
            name: "ring_full",
            meaning: "Flow records the kernel could not hand over because the agent did not read in time; their \
                      packets are in no flow (raise capture.ring_slots).",
            count: lost.records,
            packets: lost.packets,
            bytes: lost.ip_bytes + lost.link_bytes,
        };
        let ring_full = peek_loss(
            "peek_ring_full",
            "First bytes of conversations the kernel could not hand over because the agent did not read in time; names \
             and times in them are not known. Flows are not affected.",
            not_copied.ring_full,
        );
        let budget = peek_loss(
            "peek_budget",
            "First bytes of conversations that were not copied because a CPU had copied as many as it may; names and \
             times in them are not known. Flows are not affected.",
            not_copied.over_budget,
        );
        vec![flows, ring_full, budget]
    }

    fn without_front(&self) -> Vec<(String, String)> {
        self.no_front.clone().into_iter().collect()
    }

    fn hold(&mut self, keep: bool) -> Result<(), SourceError> {
        if keep { Self::hold(self) } else { self.release() }
    }

    fn about(&self) -> About {
        About {
            name: if self.tcx { "ebpf-tcx" } else { "ebpf-clsact" },
            fallback_reason: self.fallback_reason.clone(),
            tick_ns: self.clock.tick_ns(),
        }
    }

    fn finish(&mut self, batch: &mut Batch) -> Result<(), SourceError> {
        let attached: Vec<u32> = self.attached.keys().copied().collect();
        // What is held goes on to hold.
        if !self.is_held {
            for index in &attached {
                self.let_go(*index);
            }
        }
        self.finished = Some(attached);
        self.sweep(true, batch)?;
        while self.take(batch) {}
        batch.clock = self.clock.now_in_wall_time();
        batch.now = wall_clock();
        Ok(())
    }
}

/// Loads the datapath: over the maps that are held, where this build can, else over new ones in their place.
fn load_held(pins: &Pins) -> Option<Result<Loaded, SourceError>> {
    let (geometry, seed) = pins.geometry()?;
    Some(Loaded::load_with(Object::Agent, geometry, seed, Some(pins)).map_err(SourceError::from))
}

fn load(geometry: Geometry, held: Option<&Pins>) -> Result<Loaded, SourceError> {
    let Some(pins) = held else { return Ok(Loaded::load(Object::Agent, geometry, random_seed()?)?) };
    if let Some(loaded) = load_held(pins) {
        return loaded;
    }
    // Another layout: the programs that are attached keep their maps, and hold until they are replaced.
    tracing::warn!("the datapath that was left has another layout; what it counted last is lost");
    pins.clear(false)?;
    let seed = random_seed()?;
    pins.begin(geometry, &seed)?;
    Ok(Loaded::load_with(Object::Agent, geometry, seed, Some(pins))?)
}

/// The hook of a program, as the name of its pin has it.
fn side_of(program: &str) -> &'static str {
    if program.starts_with("hivewall_in") { "in" } else { "out" }
}

fn open_link(place: &Path) -> Result<SchedClassifierLink, SourceError> {
    let failed = |source| SourceError::Pin { place: place.to_owned(), source };
    let pinned = PinnedLink::from_pin(place).map_err(|error| failed(to_io(&error)))?;
    let link: FdLink = pinned.into();
    SchedClassifierLink::try_from(link).map_err(|error| failed(to_io(&error)))
}

fn refusal(interface: &str, source: ProgramError) -> SourceError {
    SourceError::Attach { interface: interface.to_owned(), source: Box::new(source) }
}

/// Removes filters that an agent killed before it could, on kernels without tcx; tcx links die with their owner.
fn remove_leftovers() {
    let Ok(all) = Links::open().and_then(|mut links| links.dump()) else { return };
    for interface in &all {
        remove_filters(interface);
    }
}

const PROGRAMS: [(&str, TcAttachType); 4] = [
    ("hivewall_in_eth", TcAttachType::Ingress),
    ("hivewall_out_eth", TcAttachType::Egress),
    ("hivewall_in_ip", TcAttachType::Ingress),
    ("hivewall_out_ip", TcAttachType::Egress),
];

/// Removes our filters from an interface's clsact qdisc; returns how many there were.
fn remove_filters(interface: &Interface) -> usize {
    let removed = PROGRAMS
        .into_iter()
        .filter(|(program, side)| tc::qdisc_detach_program(&interface.name, *side, program).is_ok())
        .count();
    if removed > 0 {
        let _ = remove_empty_clsact(interface.index);
    }
    removed
}

/// Takes everything of hivewall off the interfaces of this network namespace, whoever put it there: filters, and the
/// links of a running agent. Returns a line for each thing removed.
pub fn uninstall(pins: Option<&Path>) -> Result<Vec<String>, SourceError> {
    let mut done = Vec::new();
    if let Some(folder) = pins.filter(|folder| folder.exists()) {
        let removed = Pins::at(folder).clear(true)?;
        done.extend(removed.into_iter().map(|name| format!("removed the pin {name}")));
    }
    let mut links = Links::open()?;
    let at_drivers: BTreeSet<u32> = links.xdp_programs().unwrap_or_default().into_values().collect();
    let ours = |program: &ProgramInfo| program.name().starts_with(PROGRAM_PREFIX.as_bytes());
    let mut programs: BTreeSet<u32> = if at_drivers.is_empty() {
        BTreeSet::new()
    } else {
        let listed = aya::programs::loaded_programs().flatten();
        listed
            .filter(|program| at_drivers.contains(&program.id()) && ours(program))
            .map(|program| program.id())
            .collect()
    };
    for interface in links.dump()? {
        let removed = remove_filters(&interface);
        if removed > 0 {
            done.push(format!("removed {removed} filters from {}", interface.name));
        }
        for side in [TcAttachType::Ingress, TcAttachType::Egress] {
            // A kernel without tcx has nothing there.
            let Ok((_, all)) = SchedClassifier::query_tcx(&interface.name, side) else { continue };
            programs.extend(all.iter().filter(|program| ours(program)).map(ProgramInfo::id));
        }
    }
    done.extend(crate::ebpf::detach_links(&programs)?);
    Ok(done)
}
