//! A policy in the packet filter that the host has already: a table of ours in nftables, or chains of ours in iptables.
//!
//! The text is made by `hivewall_policy::backend`, put there by `hivewall_host::rules`, and kept in the policy's state.
//! Nothing but what is ours is changed. Invariant: rules that would judge otherwise than the document says are refused
//! before anything is changed; what of ours somebody changes is put back and told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hivewall_config::{Config, Enforcement};
use hivewall_datapath::policy::VerdictCause;
use hivewall_engine::RuleHits;
use hivewall_host::rules::{Drift, IptablesVariant, Kept, Watch, apply_nft, iptables_counters, is_whole, nft_counters};
use hivewall_policy::backend::nft::{ban_host, replace_bans};
use hivewall_policy::backend::{Ban, Count, Options, Shortfall, iptables, nft};
use hivewall_policy::sign::Digest;
use hivewall_policy::{Counters, Ruleset};
use hivewall_view::policy::{FirewallChange, FirewallDrift, PolicyFailure};
use ipnet::IpNet;

use super::bans::BanBook;
use super::drift::DriftBook;
use super::enforce::{Enforce, Order};
use super::facts::with_adopted;
use super::fallback::{arm, disarm, take_away};

/// What announces nothing (iptables-legacy) is looked at so often.
const WATCH: Duration = Duration::from_secs(5);
/// Longest time between two looks whether ours is whole, whatever is announced.
const CHECK: Duration = Duration::from_secs(15);
/// Shortest time between two looks at iptables' counters, which are listed with all rules.
const COUNT_IPTABLES: Duration = Duration::from_secs(5);
const COUNT_NFT: Duration = Duration::from_millis(900);

/// Which packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Nftables,
    Iptables(IptablesVariant),
}

/// The packet filter's side of a policy.
pub(crate) struct PacketFilter {
    home: Home,
    state: PathBuf,
    /// Interfaces that are judged; all when empty.
    interfaces: Vec<String>,
    /// The policy in force.
    current: Option<(Digest, Ruleset)>,
    /// Whether this agent has put anything in, or taken it out.
    settled: bool,
    /// Whether something of ours is in the packet filter.
    stands: bool,
    epoch: u16,
    changes: u64,
    /// What was counted by rules that were replaced, where the packet filter does not carry it on.
    base: BTreeMap<String, Count>,
    /// What was counted, by rule.
    counts: BTreeMap<String, Count>,
    counted: Option<Instant>,
    checked: Instant,
    /// Bans that are in the kernel and not yet in the file of what is kept.
    unkept: bool,
    shortfalls: Vec<String>,
    book: DriftBook,
    /// The last repair, or what else happened to ours.
    incident: Option<String>,
    drift: Receiver<Vec<Drift>>,
    stop: Arc<AtomicBool>,
}

impl Drop for PacketFilter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl PacketFilter {
    /// For the packet filter that is configured. What it holds is left as it is.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let home = if config.policy.backend == Enforcement::Iptables {
            Home::Iptables(IptablesVariant::of_host().context(
                "policy.backend is iptables and `iptables` cannot be run; install it, or set policy.backend to nftables or ebpf",
            )?)
        } else {
            nft_counters().context("policy.backend is nftables; install it, or set policy.backend to ebpf")?;
            Home::Nftables
        };
        let (interfaces, shortfalls) = judged(config);
        let stop = Arc::new(AtomicBool::new(false));
        let (send, drift) = channel();
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new().name("policy-watch".into()).spawn(move || watch(&send, &stopped))?;
        Ok(Self {
            home,
            state: PathBuf::from(&config.policy.state),
            interfaces,
            current: None,
            settled: false,
            stands: false,
            epoch: 0,
            changes: 0,
            base: BTreeMap::new(),
            counts: BTreeMap::new(),
            counted: None,
            checked: Instant::now(),
            unkept: false,
            shortfalls,
            book: DriftBook::default(),
            incident: None,
            drift,
            stop,
        })
    }

    fn compile(&self, rules: &Ruleset, bans: &[Ban]) -> (Kept, Vec<Shortfall>) {
        let carried = self.counts.iter().map(|(id, count)| (id.clone(), *count)).collect();
        let options = Options { interfaces: self.interfaces.clone(), carried };
        match self.home {
            Home::Nftables => {
                let program = nft::compile(rules, bans, &options);
                (Kept::Nftables { text: program.text }, program.shortfalls)
            }
            Home::Iptables(variant) => {
                let program = iptables::compile(rules, bans, &options);
                let legacy = variant == IptablesVariant::Legacy;
                (Kept::Iptables { legacy, v4: program.v4, v6: program.v6 }, program.shortfalls)
            }
        }
    }

    /// Replaces all of ours.
    fn put(&mut self, rules: &Ruleset, bans: &BanBook) -> anyhow::Result<()> {
        let (kept, shortfalls) = self.compile(rules, &bans.all());
        if let Some(fatal) = shortfalls.iter().find(|shortfall| shortfall.is_fatal()) {
            bail!("{fatal}");
        }
        kept.apply(&self.state)?;
        if self.home != Home::Nftables {
            self.base.clone_from(&self.counts);
        }
        (self.stands, self.settled, self.unkept) = (true, true, false);
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.shortfalls.retain(|note| note.starts_with(INTERFACES_NOTE));
        self.shortfalls.extend(shortfalls.iter().map(ToString::to_string));
        Ok(())
    }

    fn take_away(&mut self) -> anyhow::Result<()> {
        take_away(&self.state)?;
        (self.stands, self.settled, self.unkept, self.epoch) = (false, true, false, 0);
        Ok(())
    }

    fn rules(&self) -> Ruleset {
        self.current.as_ref().map(|(_, rules)| rules.clone()).unwrap_or_default()
    }

    /// Reads what was counted. A counter that is gone keeps what it had.
    fn count(&mut self) -> anyhow::Result<()> {
        self.counted = Some(Instant::now());
        let (listed, is_carried) = match self.home {
            Home::Nftables => (nft_counters()?, true),
            Home::Iptables(variant) => (iptables_counters(variant)?, false),
        };
        for (id, packets, bytes) in listed {
            let base = if is_carried { Count::default() } else { self.base.get(&id).copied().unwrap_or_default() };
            let known = self.counts.entry(id).or_default();
            known.packets = known.packets.max(base.packets + packets);
            known.bytes = known.bytes.max(base.bytes + bytes);
        }
        Ok(())
    }

    /// Puts ours back where somebody changed it; `seen` is what of ours was announced.
    fn check(&mut self, bans: &BanBook, seen: &[Drift]) -> anyhow::Result<()> {
        self.checked = Instant::now();
        if !self.stands {
            return Ok(());
        }
        let name = self.name();
        match is_whole(&self.state)? {
            // What was announced are changes of our own making.
            Some(true) => self.book.is_whole(),
            Some(false) => {
                seen.iter().for_each(|drift| self.book.changed(drift));
                let put = self.put(&self.rules(), bans);
                self.book.answered(name, put.as_ref().map(drop).map_err(|error| format!("{error:#}")));
                put?;
                let by = seen.iter().find_map(|drift| drift.by.as_deref());
                let by = by.map_or_else(|| "another program".to_owned(), |process| format!("process {process}"));
                let times = match self.book.repairs() {
                    1 => "once".to_owned(),
                    times => format!("{times} times"),
                };
                let incident =
                    format!("{by} changed our rules in {name}; they were put back ({times} since the agent's start)");
                tracing::warn!(incident, "policy");
                self.incident = Some(incident);
            }
            None => {
                (self.stands, self.current) = (false, None);
                let incident = format!(
                    "our rules were taken out of {name} by `hivewall uninstall`: nothing is enforced; apply a policy, or \
                     stop the agent"
                );
                tracing::warn!(incident, "policy");
                self.incident = Some(incident);
            }
        }
        Ok(())
    }

    /// Bans as they are now, in the file that rules are put back from.
    fn keep_bans(&mut self, bans: &BanBook) -> anyhow::Result<()> {
        self.unkept = false;
        let (kept, _) = self.compile(&self.rules(), &bans.all());
        Ok(kept.keep(&self.state)?)
    }
}

impl Enforce for PacketFilter {
    fn name(&self) -> &'static str {
        if self.home == Home::Nftables { "nftables" } else { "iptables" }
    }

    fn epoch(&self) -> u16 {
        self.epoch
    }

    fn changes(&self) -> u64 {
        self.changes
    }

    fn holds_datapath(&self) -> bool {
        false
    }

    fn refusal(&self, rules: &Ruleset) -> Option<String> {
        let (_, shortfalls) = self.compile(rules, &[]);
        let fatal: Vec<String> = shortfalls.iter().filter(|s| s.is_fatal()).map(ToString::to_string).collect();
        (!fatal.is_empty()).then(|| fatal.join("\n"))
    }

    fn prepare(&mut self, rules: &Ruleset, counters: &mut Counters) -> anyhow::Result<()> {
        Ok(counters.allocate(rules.rules.iter().map(|rule| rule.id.as_str()))?)
    }

    fn enforce(&mut self, order: &Order<'_>, bans: &mut BanBook) -> anyhow::Result<()> {
        let is_there = self.current.as_ref().is_some_and(|(digest, _)| *digest == order.digest);
        if is_there && order.until_uptime_ms.is_none() && is_whole(&self.state)? == Some(true) {
            // It was confirmed.
            return disarm(&self.state);
        }
        if let Some(until) = order.until_uptime_ms {
            arm(&self.state, order.digest, order.now, until)?;
        }
        self.count()?;
        // Conntrack may know nothing of connections that are open while nothing of ours stands, or that the policy before
        // this agent had left alone.
        let rules = if self.current.is_none() { with_adopted(order.rules) } else { order.rules.clone() };
        self.put(&rules, bans)?;
        if order.until_uptime_ms.is_none() {
            disarm(&self.state)?;
        }
        self.current = Some((order.digest, rules));
        self.incident = None;
        self.changes += 1;
        Ok(())
    }

    /// The time itself is the ledger's to judge; nothing in the kernel has to change.
    fn confirm(&mut self) -> anyhow::Result<bool> {
        Ok(true)
    }

    fn withdraw(&mut self, bans: &mut BanBook) -> anyhow::Result<()> {
        self.current = None;
        if bans.is_empty() {
            self.take_away()?;
        } else {
            self.count()?;
            self.put(&Ruleset::default(), bans)?;
        }
        disarm(&self.state)
    }

    fn bans_changed(&mut self, bans: &BanBook, one: Option<IpNet>) -> anyhow::Result<()> {
        // Where the last good policy could not be put in anew, what is there goes on to hold, with other bans.
        let is_left = !self.settled && is_whole(&self.state)? == Some(true);
        if self.current.is_none() && !is_left && bans.is_empty() {
            return if self.stands { self.take_away() } else { Ok(()) };
        }
        match self.home {
            Home::Nftables if self.stands || is_left => {
                let host = one.and_then(|net| bans.one(net)).and_then(|ban| ban_host(&ban));
                apply_nft(&host.unwrap_or_else(|| replace_bans(&bans.all())))?;
                self.unkept = self.stands;
                Ok(())
            }
            Home::Iptables(_) if is_left => Ok(()),
            _ => {
                self.count()?;
                self.put(&self.rules(), bans)
            }
        }
    }

    fn second(&mut self, bans: &BanBook) -> anyhow::Result<()> {
        let drifts: Vec<Drift> = self.drift.try_iter().flatten().collect();
        let is_quiet = drifts.is_empty();
        let (ours, others): (Vec<Drift>, Vec<Drift>) = drifts.into_iter().partition(|drift| drift.ours);
        for drift in &others {
            tracing::info!(%drift, "another program changed the packet filters");
            self.book.changed(drift);
        }
        if !is_quiet || self.unkept || self.checked.elapsed() >= CHECK {
            self.check(bans, &ours)?;
        }
        if self.unkept { self.keep_bans(bans) } else { Ok(()) }
    }

    fn hits(&mut self, wanted: &[(u32, String)]) -> Vec<RuleHits> {
        let pause = if self.home == Home::Nftables { COUNT_NFT } else { COUNT_IPTABLES };
        if self.stands
            && self.counted.is_none_or(|counted| counted.elapsed() >= pause)
            && let Err(error) = self.count()
        {
            tracing::warn!(error = format!("{error:#}"), "the rules' counters cannot be read");
        }
        let adopted = VerdictCause::Adopted.label();
        let of_adopted = self.counts.iter().filter(|(id, _)| id.starts_with(adopted));
        let sum = of_adopted.fold(Count::default(), |sum, (_, count)| Count {
            packets: sum.packets + count.packets,
            bytes: sum.bytes + count.bytes,
        });
        let hits = wanted.iter().filter_map(|(counter, id)| {
            let Count { packets, bytes } = if id == adopted { sum } else { *self.counts.get(id)? };
            Some(RuleHits { counter: *counter, packets, bytes })
        });
        hits.collect()
    }

    fn problems(&self) -> Vec<String> {
        self.shortfalls.iter().chain(&self.incident).cloned().collect()
    }

    fn failures(&self) -> Vec<PolicyFailure> {
        self.book.failure().into_iter().collect()
    }

    fn drift(&self) -> FirewallDrift {
        self.book.view()
    }

    fn take_changes(&mut self) -> Vec<FirewallChange> {
        self.book.take()
    }
}

const INTERFACES_NOTE: &str = "capture.interfaces";

/// Interfaces that are judged: those that are captured, as far as a packet filter can name them.
fn judged(config: &Config) -> (Vec<String>, Vec<String>) {
    let patterns: Vec<String> = config.capture.interfaces.iter().map(ToString::to_string).collect();
    let is_plain = |pattern: &String| {
        !pattern.starts_with('!') && !pattern.contains('?') && !pattern.trim_end_matches('*').contains('*')
    };
    if patterns.iter().all(is_plain) {
        return (patterns, Vec::new());
    }
    let note = format!(
        "{INTERFACES_NOTE} has patterns that a packet filter cannot have (`!`, `?`, `*` within): the policy holds on all \
         interfaces but the loopback; name them in full, or with `*` at the end"
    );
    (Vec::new(), vec![note])
}

/// Tells what changes, until the policy's thread is gone.
fn watch(send: &Sender<Vec<Drift>>, stop: &AtomicBool) {
    let mut watch = Watch::start();
    while !stop.load(Ordering::Relaxed) {
        let drift = watch.wait(WATCH);
        if !drift.is_empty() && send.send(drift).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged_of(patterns: &[&str]) -> (Vec<String>, usize) {
        let mut config = Config::default();
        config.capture.interfaces = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let (interfaces, notes) = judged(&config);
        (interfaces, notes.len())
    }

    #[test]
    fn patterns_that_a_packet_filter_lacks_widen_the_policy_to_all_interfaces_and_are_told() {
        assert_eq!(judged_of(&[]), (vec![], 0));
        assert_eq!(judged_of(&["eth0", "wg*"]), (vec!["eth0".to_owned(), "wg*".to_owned()], 0));
        for pattern in ["!docker0", "eth?", "e*0"] {
            assert_eq!(judged_of(&["eth1", pattern]), (vec![], 1), "{pattern}");
        }
    }
}
