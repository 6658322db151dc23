//! How a compiled policy comes into the kernel's datapath: slots, epochs, deadlines.
//!
//! Invariants: the kernel holds one whole policy at any time; while a change waits for confirmation, the kernel itself
//! goes back when the deadline passes. The front never denies what a policy that may be in force does not, and exempts
//! what any of them does: it is changed to what both agree on before a change, and to what the new one says when that is
//! final.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hivewall_datapath::policy::{PolicyControl, PolicyWord};
use hivewall_engine::RuleHits;
use hivewall_host::ebpf::EbpfError;
use hivewall_host::link::Links;
use hivewall_host::policy::{ConnectionFill, PolicyMaps};
use hivewall_policy::{Counters, Mode, Ruleset, compile, hoisted};
use hivewall_soft::PolicyTables;
use hivewall_view::policy::{PolicyFailure, TableFill};
use ipnet::IpNet;

use super::bans::{BanBook, DenyList};
use super::enforce::{Enforce, Order};
use super::facts::adopted;

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
    fn seconds(&self) -> u32 {
        (self.after(Duration::ZERO) / u64::from(self.per_second.max(1))) as u32
    }
}

/// The datapath's side of a policy.
pub(crate) struct Enforcer {
    maps: PolicyMaps,
    clock: KernelClock,
    /// Of the latest change.
    epoch: u16,
    /// Made ready for the next change: tables, and what the front can deny by itself.
    next: Option<(PolicyTables, DenyList)>,
    /// Why the front denies less than it could.
    front: Option<String>,
    bans: bool,
    /// Policies put in force since the start.
    changes: u64,
    connections: ConnectionFill,
    /// When connections found no room in their table, the latest time.
    crowded: Option<Instant>,
}

/// Name of the table of connections, as it is shown.
const CONNECTIONS: &str = "connections";
/// For how long a table that was full is told of.
const CROWDED: Duration = Duration::from_secs(60);

impl Enforcer {
    /// Over the maps of a loaded datapath, and what they may already hold.
    pub(crate) fn new(maps: PolicyMaps, clock: KernelClock) -> Self {
        let control = maps.control();
        let word = PolicyWord(control.word);
        let epoch = word.epoch().max(PolicyWord(control.fallback).epoch());
        Self {
            maps,
            clock,
            epoch,
            next: None,
            front: None,
            bans: word.has(PolicyWord::BANS),
            changes: 0,
            connections: ConnectionFill::default(),
            crowded: None,
        }
    }

    /// Whether a policy is in the kernel.
    fn has_policy(&self) -> bool {
        PolicyWord(self.maps.control().word).has(PolicyWord::TABLES)
    }

    /// Judges nothing any more: something else does.
    pub(crate) fn clear(&mut self) -> Result<(), EbpfError> {
        self.maps.set_control(self.control(0, 0, 0))
    }

    fn next_epoch(&mut self) -> u16 {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.epoch
    }

    fn control(&self, word: u32, fallback: u32, deadline: u64) -> PolicyControl {
        PolicyControl { word, fallback, deadline, ticks_per_second: self.clock.per_second, ..PolicyControl::default() }
    }
}

impl Enforce for Enforcer {
    fn name(&self) -> &'static str {
        "ebpf"
    }

    fn epoch(&self) -> u16 {
        PolicyWord(self.maps.control().word).epoch()
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn holds_datapath(&self) -> bool {
        self.maps.control().word != 0
    }

    fn refusal(&self, _: &Ruleset) -> Option<String> {
        None
    }

    fn prepare(&mut self, rules: &Ruleset, counters: &mut Counters) -> anyhow::Result<()> {
        let tables = compile(rules, counters)?;
        self.next = Some((tables, DenyList::new(hoisted(rules, counters))));
        Ok(())
    }

    /// While the change is to be confirmed, the kernel goes back by itself when the time is over.
    fn enforce(&mut self, order: &Order<'_>, bans: &mut BanBook) -> anyhow::Result<()> {
        let (tables, denied) = self.next.take().context("no policy was made ready")?;
        let left = |until: u64| Duration::from_millis(until.saturating_sub(order.now.uptime_ms));
        let within = order.until_uptime_ms.map(left);
        let slot = self.maps.free_slot();
        self.maps.fill(slot, &tables, &interfaces())?;
        if !self.has_policy() {
            for (key, connection) in adopted(self.clock.seconds()) {
                self.maps.adopt(&key, &connection)?;
            }
        }
        let mut word = u32::from(self.next_epoch()) | slot << 16 | PolicyWord::TABLES;
        if order.rules.mode == Mode::Enforce {
            word |= PolicyWord::ENFORCE;
        }
        if self.bans {
            word |= PolicyWord::BANS;
        }
        // What both policies exempt, and deny: whichever is in force, and whoever is left to look after it.
        bans.add_exempt(&tables.exempt)?;
        bans.keep_denied(&denied)?;
        let before = self.maps.control().at(self.clock.after(Duration::ZERO)).0;
        let control = match within {
            Some(within) => self.control(word, before, self.clock.after(within).max(1)),
            None => self.control(word, word, 0),
        };
        self.maps.set_control(control)?;
        self.changes += 1;
        if within.is_none() {
            self.front = bans.follow(&tables.exempt, &denied).err().map(|error| format!("{error:#}"));
        }
        Ok(())
    }

    fn confirm(&mut self) -> anyhow::Result<bool> {
        let control = self.maps.control();
        if control.deadline != 0 && self.clock.after(Duration::ZERO) >= control.deadline {
            return Ok(false);
        }
        self.maps.set_control(self.control(control.word, control.word, 0))?;
        Ok(true)
    }

    fn withdraw(&mut self, bans: &mut BanBook) -> anyhow::Result<()> {
        bans.keep_denied(&DenyList::default())?;
        self.front = None;
        let word = if self.bans { u32::from(self.next_epoch()) | PolicyWord::BANS } else { 0 };
        self.maps.set_control(self.control(word, word, 0))?;
        bans.set_exempt(&[])
    }

    /// Has every flow judged once more.
    fn bans_changed(&mut self, bans: &BanBook, _: Option<IpNet>) -> anyhow::Result<()> {
        let any = !bans.is_empty();
        self.bans = any;
        let control = self.maps.control();
        let mut renewed = |word: u32| {
            let flags = word & !0xffff & !PolicyWord::BANS;
            let bans = if any { PolicyWord::BANS } else { 0 };
            if flags & PolicyWord::TABLES == 0 && !any { 0 } else { u32::from(self.next_epoch()) | flags | bans }
        };
        let fallback = if control.fallback == control.word { None } else { Some(renewed(control.fallback)) };
        let word = renewed(control.word);
        Ok(self.maps.set_control(self.control(word, fallback.unwrap_or(word), control.deadline))?)
    }

    fn second(&mut self, _: &BanBook) -> anyhow::Result<()> {
        if self.has_policy() {
            let before = self.connections.refused;
            self.connections = self.maps.look_after_connections(self.clock.seconds())?;
            if self.connections.refused > before {
                self.crowded = Some(Instant::now());
            }
        }
        // For rules that name some of those that came meanwhile.
        let slot = PolicyWord(self.maps.control().word).slot();
        Ok(self.maps.name_interfaces(slot, interfaces)?)
    }

    fn tables(&self) -> Vec<(&'static str, TableFill)> {
        let ConnectionFill { entries, limit, refused } = self.connections;
        if limit == 0 { Vec::new() } else { vec![(CONNECTIONS, TableFill { entries, limit, refused })] }
    }

    fn hits(&mut self, wanted: &[(u32, String)]) -> Vec<RuleHits> {
        let hits = wanted.iter().filter_map(|(counter, _)| {
            let hits = self.maps.hits_of(*counter).ok()?;
            Some(RuleHits { counter: *counter, packets: hits.packets, bytes: hits.bytes })
        });
        hits.collect()
    }

    fn problems(&self) -> Vec<String> {
        self.front.iter().cloned().collect()
    }

    fn failures(&self) -> Vec<PolicyFailure> {
        let is_told = self.crowded.is_some_and(|at| at.elapsed() < CROWDED);
        let told = is_told.then(|| PolicyFailure {
            kind: "table_full".to_owned(),
            subject: Some(CONNECTIONS.to_owned()),
            detail: format!(
                "the table of connections is full ({} of {} entries): {} new ones were judged and not remembered, so that \
                 their replies are judged like new flows; see who opens so many with `hivewall top`, and limit it by rule",
                self.connections.entries, self.connections.limit, self.connections.refused
            ),
        });
        told.into_iter().collect()
    }
}

fn interfaces() -> Vec<(u32, String)> {
    let all = Links::open().and_then(|mut links| links.dump()).unwrap_or_default();
    all.into_iter().map(|interface| (interface.index, interface.name)).collect()
}
