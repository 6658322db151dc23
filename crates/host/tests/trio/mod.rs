//! The kernel's object, the same code in user space and the oracle, given the same policies, bans, packets and times.
//!
//! Invariant: the thread stays on one CPU, in a network namespace that has the interfaces of the sample world.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

pub(crate) mod fours;
pub(crate) mod sent;

use std::collections::HashMap;
use std::sync::Arc;

use aya::maps::{Array, HashMap as KernelMap};
use hivewall_datapath::policy::{Action, Address, Connection, ConnectionKey, PolicyControl, PolicyWord, VerdictCause};
use hivewall_datapath::{Direction, FrameBytes, Record};
use hivewall_host::bans::{Ban, Bans, KernelStore, Origin, Prefix};
use hivewall_host::ebpf::{Geometry, RingLosses};
use hivewall_host::policy::PolicyMaps;
use hivewall_policy::oracle::Facts;
use hivewall_policy::oracle::stateful::{Decided, Host as Oracle};
use hivewall_policy::sample::INTERFACES;
use hivewall_policy::{Counters, Mode, Ruleset, compile, words};
use hivewall_soft::{Fate, SoftDatapath, SoftPolicy, SoftTables};
use hivewall_testkit::netns::{Host, Lab};
use ipnet::IpNet;

use crate::diff_twins::{Kernel, Meta, hash_seed, pin};
use sent::{Datagram, FIN, RST, SYN, Sent, What};

pub(crate) const TICKS_PER_SECOND: u32 = 1000;
/// Answers of the program.
pub(crate) const PASS: i32 = -1;
pub(crate) const DROP: i32 = 2;
pub(crate) const REJECT: i32 = 3;
/// Small enough that lines are evicted now and then.
const LINES: u32 = 256;
/// Policies at hand at once.
pub(crate) const POLICIES: usize = 3;
/// Rules of the sample world, and more.
const COUNTERS: u32 = VerdictCause::RULES_FROM + 64;

/// A host with the interfaces of the sample world.
pub(crate) fn stage(lab: &Lab) -> Host {
    let host = lab.host("stage").unwrap();
    for name in &INTERFACES[1..] {
        host.ip(&["link", "add", name, "type", "bridge"]).unwrap();
    }
    host
}

/// Its interfaces by index.
pub(crate) fn interfaces(host: &Host) -> Vec<(u32, String)> {
    let text = host.ip(&["-o", "link"]).unwrap();
    let one = |line: &str| {
        let mut words = line.split(": ");
        Some((words.next()?.parse().ok()?, words.next()?.split('@').next()?.to_owned()))
    };
    text.lines().filter_map(one).collect()
}

/// All three.
pub(crate) struct Trio {
    pub(crate) kernel: Kernel,
    pub(crate) maps: PolicyMaps,
    pub(crate) bans: Bans<KernelStore>,
    pub(crate) soft: SoftDatapath,
    oracle: Oracle,
    counters: Counters,
    interfaces: Vec<(u32, String)>,
    rulesets: Vec<Ruleset>,
    tables: [SoftTables; 4],
    banned: Vec<IpNet>,
    slot: usize,
    epoch: u16,
    pub(crate) now: u32,
    /// What was refused in this tick, under a verdict that holds.
    refused: HashMap<(Facts, Vec<u16>), (Action, Decided)>,
    /// Packets by counter, as the oracle has them.
    wanted: HashMap<u32, u64>,
    pub(crate) packets: u64,
    /// Packets by what decided about them, for the test to see that everything was met.
    pub(crate) decided: HashMap<&'static str, u64>,
    pub(crate) turned: u64,
}

impl Trio {
    pub(crate) fn new(interfaces: Vec<(u32, String)>) -> Self {
        let cpu = pin();
        let secret = hash_seed(1);
        let geometry = Geometry { peeks_per_second: 0, ..Geometry::new(LINES, 1 << 14).unwrap() };
        let kernel = Kernel::load_with(geometry, secret, cpu);
        let origin = Arc::new(Origin { issuer: "test".to_owned(), reason: "because".to_owned() });
        Self {
            maps: kernel.loaded.policy_maps().unwrap(),
            bans: Bans::open(kernel.loaded.ban_maps().unwrap(), &origin).unwrap(),
            kernel,
            soft: SoftDatapath::new(LINES, secret),
            oracle: Oracle::new(),
            counters: Counters::default(),
            interfaces,
            rulesets: Vec::new(),
            tables: Default::default(),
            banned: Vec::new(),
            slot: 0,
            epoch: 0,
            now: 1,
            refused: HashMap::new(),
            wanted: HashMap::new(),
            packets: 0,
            decided: HashMap::new(),
            turned: 0,
        }
    }

    /// Puts policies into the slots, the first of which is in force in the next sequence.
    pub(crate) fn fill(&mut self, rulesets: Vec<Ruleset>) {
        self.write(PolicyControl::default());
        let compiled: Vec<_> = rulesets.iter().map(|ruleset| compile(ruleset, &mut self.counters).unwrap()).collect();
        // Side by side, because most of the time is the kernel's, waiting for programs that may still read the slots.
        std::thread::scope(|scope| {
            for (slot, tables) in (0..).zip(&compiled) {
                let mut maps = self.kernel.loaded.policy_maps().unwrap();
                let interfaces = &self.interfaces;
                scope.spawn(move || maps.fill(slot, tables, interfaces).unwrap());
            }
        });
        for (slot, tables) in compiled.into_iter().enumerate() {
            self.tables[slot] = SoftTables::new(tables, &self.interfaces);
        }
        self.rulesets = rulesets;
    }

    /// Forgets flows, connections, bans and times, and puts the first policy into force.
    pub(crate) fn begin(&mut self) {
        self.soft.govern(SoftPolicy { slots: self.tables.clone(), ..SoftPolicy::default() });
        self.oracle = Oracle::new();
        self.now = 1;
        self.banned.clear();
        self.bans.sync([]);
        self.change(0);
    }

    /// Puts a policy into force.
    pub(crate) fn change(&mut self, slot: usize) {
        self.slot = slot;
        self.oracle.apply(self.rulesets[slot].clone());
        self.renew();
    }

    /// Ends the sequence and begins another one under another policy.
    pub(crate) fn begin_again(&mut self, slot: usize) {
        self.finish(&HashMap::new());
        self.begin();
        self.change(slot);
    }

    /// Bans these and no others.
    pub(crate) fn ban(&mut self, bans: Vec<IpNet>) {
        let origin = Arc::new(Origin { issuer: "test".to_owned(), reason: "because".to_owned() });
        let ban = Ban { until: None, origin };
        self.bans.sync(bans.iter().map(|net| (Prefix::from(*net), ban.clone())));
        let prefix = |net: &IpNet| {
            let before = if net.addr().is_ipv4() { 96 } else { 0 };
            (Address::new(words(net.network()), u32::from(net.prefix_len()) + before), ())
        };
        self.soft.policy().unwrap().state.bans = bans.iter().map(prefix).collect();
        self.banned.clone_from(&bans);
        self.oracle.ban(bans);
        self.renew();
    }

    fn enforces(&self) -> bool {
        self.rulesets[self.slot].mode == Mode::Enforce
    }

    /// A new epoch.
    fn renew(&mut self) {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.refused.clear();
        let mut word = u32::from(self.epoch) | (self.slot as u32) << 16 | PolicyWord::TABLES;
        word |= if self.enforces() { PolicyWord::ENFORCE } else { 0 };
        word |= if self.banned.is_empty() { 0 } else { PolicyWord::BANS };
        let control = PolicyControl { word, ticks_per_second: TICKS_PER_SECOND, ..PolicyControl::default() };
        self.soft.policy().unwrap().control = control;
        self.write(control);
    }

    /// Stores the control words without waiting, as [`PolicyMaps::set_control`] would, until no program runs: none does.
    fn write(&mut self, control: PolicyControl) {
        let map = self.kernel.loaded.ebpf().map_mut("POLICY").unwrap();
        let mut words = [0_u32; 16];
        (words[0], words[1], words[4]) = (control.word, control.fallback, control.ticks_per_second);
        Array::<_, [u32; 16]>::try_from(map).unwrap().set(0, words, 0).unwrap();
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, ticks: u32) {
        if ticks > 0 {
            self.now += ticks;
            self.refused.clear();
        }
    }

    /// Sweeps, as the agent does once a second.
    pub(crate) fn sweep(&mut self) {
        let mut records = Vec::new();
        let resident = self.kernel.sweep(self.now, 30_000, false, &mut records);
        assert_eq!(resident, self.soft.sweep(self.now, 30_000, false));
        self.compare_records(&records);
        self.refused.clear();
    }

    /// Sends a frame through all three; what they all answered.
    pub(crate) fn send(&mut self, sent: &Sent) -> i32 {
        let found = self.interfaces.iter().find(|(_, name)| *name == sent.interface);
        let egress = sent.direction == Direction::Egress;
        let meta = Meta { egress, ifindex: found.unwrap().0, ..Meta::default() };
        let before = self.soft.policy().unwrap().state.connections.clone();
        let kernel = self.kernel.judge(&sent.bytes, meta, self.now.into());
        self.soft.set_time(u64::from(self.now) * 1_000_000);
        let soft = self.soft.observe(&FrameBytes(&sent.bytes), &meta.frame(sent.bytes.len()), self.now);
        let soft = match soft {
            Ok(Fate::Dropped) => DROP,
            Ok(Fate::Rejected) => REJECT,
            Err(reason) if reason.is_refused() && self.enforces() => DROP,
            Ok(Fate::Passed) | Err(_) => PASS,
        };
        let (wanted, why) = self.wanted(sent);
        self.packets += 1;
        assert_eq!(
            (kernel, soft),
            (wanted, wanted),
            "packet {}, wanted by {why}\n{sent:?}\nbefore: {:?}\n{:#?}",
            self.packets,
            match &sent.what {
                What::Packet(seen) => self.oracle.remembered(&seen.facts),
                _ => String::new(),
            },
            self.rulesets[self.slot]
        );
        if self.has_turned(&before) {
            self.turned += 1;
            self.sweep();
        }
        kernel
    }

    /// Packets that a rule has counted, all of them handed over.
    pub(crate) fn count(&mut self, id: &str) -> u64 {
        self.sweep();
        self.maps.hits_of(self.counters.number(id).unwrap().into()).unwrap().packets
    }

    /// What is to become of a frame, and why.
    fn wanted(&mut self, sent: &Sent) -> (i32, String) {
        let (what, action, counter, name) = match &sent.what {
            What::NotIp => return (PASS, "not IP".to_owned()),
            What::Unreadable => (Decided::NoPolicy, Action::Drop, VerdictCause::Invalid as u32, "unreadable"),
            What::Packet(seen) => {
                let mut key = (seen.facts.clone(), sent.vlans.clone());
                let flags = seen.facts.transport.map_or(0, |transport| transport.flags);
                key.0.transport.iter_mut().for_each(|transport| transport.flags = 0);
                let known = self.refused.get(&key).filter(|_| flags & (FIN | SYN | RST) == 0).cloned();
                let (action, decided) = known.unwrap_or_else(|| self.oracle.packet(seen));
                let is_error = seen.facts.proto == 1
                    && seen.facts.transport.is_some_and(|header| matches!(header.source_port, 3 | 4 | 12));
                let drops = action != Action::Accept && (self.enforces() || decided == Decided::Ban);
                if drops && (!is_error || decided == Decided::Ban) {
                    self.refused.insert(key, (action, decided.clone()));
                } else {
                    self.refused.remove(&key);
                }
                let (counter, name) = self.counter(&decided);
                (decided, action, counter, name)
            }
        };
        *self.wanted.entry(counter).or_default() += 1;
        *self.decided.entry(name).or_default() += 1;
        let why = format!("{name} {what:?}");
        match action {
            Action::Drop | Action::Reject if !self.enforces() && what != Decided::Ban => (PASS, why),
            Action::Drop => (DROP, why),
            Action::Reject => (REJECT, why),
            _ => (PASS, why),
        }
    }

    fn counter(&self, decided: &Decided) -> (u32, &'static str) {
        let cause = |cause: VerdictCause| (cause as u32, cause.label());
        match decided {
            Decided::Rule(id) => (self.counters.number(id).unwrap().into(), "rule"),
            Decided::Ban => cause(VerdictCause::Ban),
            Decided::NoPolicy => cause(VerdictCause::NoPolicy),
            Decided::Essential => cause(VerdictCause::Essential),
            Decided::Related => cause(VerdictCause::Related),
            Decided::Fragment => cause(VerdictCause::Fragment),
        }
    }

    /// Whether a conversation is another than it was, or its other end's: what was accepted as the old one's is accepted
    /// until a sweep, which is therefore due here.
    fn has_turned(&mut self, before: &HashMap<ConnectionKey, Connection>) -> bool {
        let epoch = u32::from(self.epoch);
        let now = &self.soft.policy().unwrap().state.connections;
        before.iter().any(|(key, old)| {
            let new = &now[key];
            let hooks = old.verdicts.iter().zip(&new.verdicts);
            let side = (old.flags ^ new.flags) & Connection::FROM_HIGH != 0;
            old.verdicts.iter().any(|old| old >> 16 == epoch)
                && (side || hooks.clone().any(|(old, new)| old >> 16 == epoch && old != new))
        })
    }

    fn compare_records(&mut self, records: &[Record]) {
        let soft = std::mem::take(self.soft.records());
        let different = (0..soft.len().max(records.len())).find(|&at| soft.get(at) != records.get(at));
        if let Some(at) = different {
            panic!("record {at}\n kernel     {:?}\n user space {:?}", records.get(at), soft.get(at));
        }
    }

    /// Ends a sequence: lines, records, connections and counters are equal.
    pub(crate) fn finish(&mut self, datagrams: &HashMap<Datagram, hivewall_policy::oracle::Transport>) {
        for (at, (kernel, soft)) in self.kernel.sets().iter().zip(self.soft.sets()).enumerate() {
            assert_eq!(kernel, soft, "set {at}");
        }
        let mut records = Vec::new();
        self.kernel.sweep(self.now, 0, true, &mut records);
        self.soft.sweep(self.now, 0, true);
        self.compare_records(&records);
        assert_eq!(self.kernel.rings.losses(), RingLosses::default());
        self.forget_connections();
        self.forget_datagrams(datagrams);
        let mut different = Vec::new();
        for counter in 0..COUNTERS {
            let kernel = self.maps.hits_of(counter).unwrap();
            let wanted = self.wanted.get(&counter).copied().unwrap_or_default();
            let soft = self.soft.hits().get(&counter).copied().unwrap_or_default();
            // What cannot be read is counted by the kernel's program itself, user space leaves it to its caller.
            let like_soft = counter == VerdictCause::Invalid as u32 || (kernel.packets, kernel.bytes) == soft;
            if kernel.packets != wanted || !like_soft {
                different.push((counter, self.counters.id(counter as u16), kernel, soft, wanted));
            }
        }
        assert!(different.is_empty(), "counter, rule, kernel, user space, wanted: {different:#?}");
    }

    fn forget_connections(&mut self) {
        let connections = std::mem::take(&mut self.soft.policy().unwrap().state.connections);
        let map = self.kernel.loaded.ebpf().map_mut("CONNECTIONS").unwrap();
        let mut map = KernelMap::<_, [u32; 10], [u32; 4]>::try_from(map).unwrap();
        for (key, wanted) in connections {
            let mut bytes = [0; 10];
            bytes[..4].copy_from_slice(&key.low);
            bytes[4..8].copy_from_slice(&key.high);
            (bytes[8], bytes[9]) = (key.ports, key.proto);
            let [ingress, egress, last, flags] = map.get(&bytes, 0).unwrap();
            assert_eq!(Connection { verdicts: [ingress, egress], last, flags }, wanted, "{key:?}");
            map.remove(&bytes).unwrap();
        }
        assert_eq!(map.keys().count(), 0, "the kernel knows connections that user space does not");
    }

    fn forget_datagrams(&mut self, datagrams: &HashMap<Datagram, hivewall_policy::oracle::Transport>) {
        let map = self.kernel.loaded.ebpf().map_mut("FRAGMENTS").unwrap();
        let mut map = KernelMap::<_, [u32; 10], u32>::try_from(map).unwrap();
        for ((from, to, id, interface, proto), ports) in datagrams {
            let (index, _) = self.interfaces.iter().find(|(_, name)| name == interface).unwrap();
            let mut key = [0; 10];
            key[..4].copy_from_slice(&words(*from));
            key[4..8].copy_from_slice(&words(*to));
            (key[8], key[9]) = (*id, index << 8 | u32::from(*proto));
            let kernel = map.get(&key, 0).unwrap();
            if hivewall_policy::oracle::has_ports(*proto) {
                assert_eq!(kernel, u32::from(ports.source_port) << 16 | u32::from(ports.destination_port));
            }
            map.remove(&key).unwrap();
        }
        assert_eq!(map.keys().count(), 0, "the kernel knows datagrams that nobody sent");
    }
}
