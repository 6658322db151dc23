//! How a compiled policy comes into the kernel's datapath: slots, epochs, deadlines.
//!
//! Invariant: the kernel holds one whole policy at any time; while a change waits for confirmation, the kernel itself
//! goes back when the deadline passes.

use std::time::{Duration, Instant};

use hivewall_datapath::policy::{Connection, ConnectionKey, PolicyControl, PolicyWord};
use hivewall_host::ebpf::EbpfError;
use hivewall_host::policy::{Hits, PolicyMaps};
use hivewall_policy::Mode;
use hivewall_soft::PolicyTables;

/// A policy, compiled.
pub(crate) struct Plan {
    /// What the kernel gets.
    pub(crate) tables: PolicyTables,
    /// Whether refusals are carried out.
    pub(crate) mode: Mode,
    /// Connections that are there already, for the first policy.
    pub(crate) adopted: Vec<(ConnectionKey, Connection)>,
}

/// The kernel's clock, read once and carried on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelClock {
    /// Ticks at `read`.
    pub(crate) ticks: u64,
    /// Ticks in a second.
    pub(crate) per_second: u32,
    /// When it was read.
    pub(crate) read: Instant,
}

impl KernelClock {
    fn after(&self, wait: Duration) -> u64 {
        let since = self.read.elapsed() + wait;
        self.ticks + since.as_millis() as u64 * u64::from(self.per_second) / 1000
    }

    /// Seconds of the datapath's clock.
    pub(crate) fn seconds(&self) -> u32 {
        (self.after(Duration::ZERO) / u64::from(self.per_second.max(1))) as u32
    }
}

/// The datapath's side of a policy.
pub(crate) struct Enforcer {
    maps: PolicyMaps,
    clock: KernelClock,
    /// Of the latest change.
    epoch: u16,
    /// Tables by slot, for interfaces that come later.
    tables: Vec<Option<PolicyTables>>,
    bans: bool,
    /// Policies put in force since the start.
    changes: u64,
}

impl Enforcer {
    /// Over the maps of a loaded datapath, and what they may already hold.
    pub(crate) fn new(maps: PolicyMaps, clock: KernelClock) -> Self {
        let control = maps.control();
        let word = PolicyWord(control.word);
        let epoch = word.epoch().max(PolicyWord(control.fallback).epoch());
        let tables = vec![None; hivewall_host::policy::SLOTS as usize];
        Self { maps, clock, epoch, tables, bans: word.has(PolicyWord::BANS), changes: 0 }
    }

    /// The clock that connections' ages are told by.
    pub(crate) fn clock(&self) -> KernelClock {
        self.clock
    }

    /// The epoch in force.
    pub(crate) fn epoch(&self) -> u16 {
        PolicyWord(self.maps.control().word).epoch()
    }

    /// Policies put in force since the start.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether a policy is in the kernel.
    pub(crate) fn has_policy(&self) -> bool {
        PolicyWord(self.maps.control().word).has(PolicyWord::TABLES)
    }

    /// Whether anything is to outlive the agent.
    pub(crate) fn holds_anything(&self) -> bool {
        self.maps.control().word != 0
    }

    fn next_epoch(&mut self) -> u16 {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.epoch
    }

    fn control(&self, word: u32, fallback: u32, deadline: u64) -> PolicyControl {
        PolicyControl { word, fallback, deadline, ticks_per_second: self.clock.per_second, ..PolicyControl::default() }
    }

    /// Puts a policy in force; with `within`, the kernel goes back after that time unless [`Enforcer::confirm`] comes.
    pub(crate) fn enforce(
        &mut self,
        plan: &Plan,
        interfaces: &[(u32, String)],
        within: Option<Duration>,
    ) -> Result<(), EbpfError> {
        let slot = self.maps.free_slot();
        self.maps.fill(slot, &plan.tables, interfaces)?;
        if !self.has_policy() {
            for (key, connection) in &plan.adopted {
                self.maps.adopt(key, connection)?;
            }
        }
        let mut word = u32::from(self.next_epoch()) | slot << 16 | PolicyWord::TABLES;
        if plan.mode == Mode::Enforce {
            word |= PolicyWord::ENFORCE;
        }
        if self.bans {
            word |= PolicyWord::BANS;
        }
        let before = self.maps.control().at(self.clock.after(Duration::ZERO)).0;
        let control = match within {
            Some(within) => self.control(word, before, self.clock.after(within).max(1)),
            None => self.control(word, word, 0),
        };
        self.maps.set_control(control)?;
        if let Some(place) = self.tables.get_mut(slot as usize) {
            *place = Some(plan.tables.clone());
        }
        self.changes += 1;
        Ok(())
    }

    /// Keeps what waits for confirmation; `false` when the kernel has gone back already.
    pub(crate) fn confirm(&mut self) -> Result<bool, EbpfError> {
        let control = self.maps.control();
        if control.deadline != 0 && self.clock.after(Duration::ZERO) >= control.deadline {
            return Ok(false);
        }
        self.maps.set_control(self.control(control.word, control.word, 0))?;
        Ok(true)
    }

    /// Enforces no policy; bans stay.
    pub(crate) fn withdraw(&mut self) -> Result<(), EbpfError> {
        let word = if self.bans { u32::from(self.next_epoch()) | PolicyWord::BANS } else { 0 };
        self.maps.set_control(self.control(word, word, 0))
    }

    /// Has every flow judged once more: bans came or went.
    pub(crate) fn bans_changed(&mut self, any: bool) -> Result<(), EbpfError> {
        self.bans = any;
        let control = self.maps.control();
        let mut renewed = |word: u32| {
            let flags = word & !0xffff & !PolicyWord::BANS;
            let bans = if any { PolicyWord::BANS } else { 0 };
            if flags & PolicyWord::TABLES == 0 && !any { 0 } else { u32::from(self.next_epoch()) | flags | bans }
        };
        let fallback = if control.fallback == control.word { None } else { Some(renewed(control.fallback)) };
        let word = renewed(control.word);
        self.maps.set_control(self.control(word, fallback.unwrap_or(word), control.deadline))
    }

    /// Tells the tables in force which interfaces there are now.
    pub(crate) fn name_interfaces(&mut self, interfaces: &[(u32, String)]) -> Result<(), EbpfError> {
        let slot = PolicyWord(self.maps.control().word).slot();
        match self.tables.get(slot as usize) {
            Some(Some(tables)) => self.maps.name_interfaces(slot, tables, interfaces),
            _ => Ok(()),
        }
    }

    /// What a counter has.
    pub(crate) fn hits(&self, counter: u32) -> Result<Hits, EbpfError> {
        self.maps.hits_of(counter)
    }
}
