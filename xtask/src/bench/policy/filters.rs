//! What drops packets at a receiver: ours, and what else the kernel has, each with so many entries of which the last is
//! the one that matches.
//!
//! The peers have the earliest place there is for them, before conntrack, and nothing else to do. Invariant: what was
//! installed is gone when the receiver is.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{LpmTrie, Map, MapData};
use aya::programs::tc::TcAttachOptions;
use aya::programs::xdp::XdpMode;
use aya::programs::{LinkOrder, TcAttachType};
use hivewall_datapath::policy::{PolicyControl, PolicyWord};
use hivewall_datapath::{HashSeed, RING_SLOTS};
use hivewall_host::bans::{Bans, KernelStore};
use hivewall_host::ebpf::{Geometry, Loaded, Object, default_lines, possible_cpus};
use hivewall_policy::{Addresses, Ruleset};
use hivewall_testkit::netns::Host;
use ipnet::{IpNet, Ipv4Net};

use super::bench::{enter, find};
use super::front::{ban, host, open};
use super::rules::{ruleset, tables};

/// The interface of every receiver.
pub(super) const INTERFACE: &str = "eth0";

/// What drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Nothing: packets go to a socket that is full.
    Nothing,
    /// A program at the driver that drops everything unseen.
    DropAll,
    /// Ours at the driver: bans.
    Front,
    /// A program at the driver that has nothing but a trie.
    Trie,
    /// Ours behind the driver: a rule an entry.
    Rules,
    /// Ours behind the driver: a rule with a set.
    Set,
    /// nftables, a set.
    NftSet,
    /// nftables, a rule an entry.
    NftList,
    /// iptables, a rule an entry.
    Iptables,
}

impl Filter {
    /// In the order of the table.
    pub(super) const ALL: &[Self] = &[
        Self::DropAll,
        Self::Front,
        Self::Trie,
        Self::Set,
        Self::Rules,
        Self::NftSet,
        Self::NftList,
        Self::Iptables,
        Self::Nothing,
    ];

    /// For the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no filter, to a full socket",
            Self::DropAll => "XDP: drop everything unseen",
            Self::Front => "XDP: hivewall, bans",
            Self::Trie => "XDP: plain trie",
            Self::Rules => "tcx: hivewall, a policy of so many rules",
            Self::Set => "tcx: hivewall, a rule with a set",
            Self::NftSet => "nftables, a set",
            Self::NftList => "nftables, a list",
            Self::Iptables => "iptables, a list",
        }
    }

    /// Entries beyond which it is not measured: it has no room, takes minutes to load, or does not look at them.
    pub(super) fn max(self) -> usize {
        match self {
            Self::Nothing | Self::DropAll | Self::Front | Self::Trie | Self::Set => usize::MAX,
            Self::Rules => 4_000,
            Self::NftSet => 100_000,
            Self::NftList | Self::Iptables => 10_000,
        }
    }
}

/// The source of the entry of this number.
pub(super) fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x1400_0005 + number as u32 * 16)
}

/// What is in the kernel as long as this lives.
#[expect(dead_code, reason = "held for what goes when it is dropped")]
enum Held {
    Object(Box<Loaded>),
    Bans(Box<Loaded>, Box<Bans<KernelStore>>),
    Peer(Box<Loaded>, LpmTrie<MapData, [u8; 4], u32>),
}

/// A host behind a link of its own.
pub(super) struct Receiver {
    /// What drops there.
    pub(super) filter: Filter,
    host: Host,
    socket: UdpSocket,
    held: Option<Held>,
}

impl Receiver {
    /// With a socket that packets would arrive at.
    pub(super) fn new(filter: Filter, host: Host, socket: UdpSocket) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { filter, host, socket, held: None })
    }

    /// Whether anything arrived.
    pub(super) fn has_received(&self) -> bool {
        self.socket.recv(&mut [0; 64]).is_ok()
    }

    /// Puts `entries` of them in place.
    pub(super) fn install(&mut self, entries: usize, workbench: &[u8]) -> Result<()> {
        let all = || (0..entries).map(source);
        self.held = match self.filter {
            Filter::Nothing => None,
            Filter::DropAll => {
                let mut loaded = load(Object::Bytes(workbench))?;
                self.attach_xdp(&mut loaded, "drop_all")?;
                Some(Held::Object(Box::new(loaded)))
            }
            Filter::Trie => {
                let mut loaded = load(Object::Bytes(workbench))?;
                let ids = loaded.xdp("peer_trie")?.info()?.map_ids()?.context("no maps are told")?;
                let mut trie = LpmTrie::try_from(Map::LpmTrie(find(&ids, "PEER_NETS")?))?;
                enter(&mut trie, all().map(|address| (address.into(), 32)))?;
                self.attach_xdp(&mut loaded, "peer_trie")?;
                Some(Held::Peer(Box::new(loaded), trie))
            }
            Filter::Front => {
                let mut loaded = load(Object::Agent)?;
                let mut bans = open(loaded.ban_maps()?)?;
                let outcome = bans.add_all(all().map(|address| host(address.into())), &ban());
                ensure!(outcome.refused.is_empty(), "{} bans were refused", outcome.refused.len());
                self.attach_xdp(&mut loaded, "hivewall_front")?;
                Some(Held::Bans(Box::new(loaded), Box::new(bans)))
            }
            Filter::Rules => Some(self.enforce(&drop_by_rules(all())?)?),
            Filter::Set => Some(self.enforce(&drop_by_set(all())?)?),
            Filter::NftSet => self.tell("nft", &["-f", "-"], &nft_set(all()))?,
            Filter::NftList => self.tell("nft", &["-f", "-"], &nft_list(all()))?,
            Filter::Iptables => self.tell(iptables(), &[], &iptables_list(all()))?,
        };
        Ok(())
    }

    /// Takes them away.
    pub(super) fn remove(&mut self) -> Result<()> {
        self.held = match self.filter {
            Filter::NftSet | Filter::NftList => self.tell("nft", &["-f", "-"], "flush ruleset\n")?,
            Filter::Iptables => self.tell(iptables(), &[], &iptables_list([]))?,
            _ => None,
        };
        Ok(())
    }

    /// Has a program of the kernel's packet filter do something; this process holds nothing of it.
    fn tell(&self, program: &str, args: &[&str], text: &str) -> Result<Option<Held>> {
        feed(self.host.command(program), args, text)?;
        Ok(None)
    }

    fn attach_xdp(&self, loaded: &mut Loaded, name: &'static str) -> Result<()> {
        let program = loaded.xdp(name)?;
        self.host.enter(|| -> Result<()> {
            let index = nix::net::if_::if_nametoindex(INTERFACE)?;
            program.attach_to_if_index(index, XdpMode::Driver)?;
            Ok(())
        })?
    }

    fn enforce(&self, ruleset: &Ruleset) -> Result<Held> {
        let mut loaded = load(Object::Agent)?;
        let mut maps = loaded.policy_maps()?;
        maps.fill(1, &tables(ruleset)?, &[])?;
        let word = 1 | 1 << 16 | PolicyWord::TABLES | PolicyWord::ENFORCE;
        maps.set_control(PolicyControl { word, fallback: word, ticks_per_second: 250, ..PolicyControl::default() })?;
        let program = loaded.classifier("hivewall_in_eth")?;
        self.host.enter(|| -> Result<()> {
            let order = TcAttachOptions::TcxOrder(LinkOrder::first());
            program.attach_with_options(INTERFACE, TcAttachType::Ingress, order)?;
            Ok(())
        })??;
        Ok(Held::Object(Box::new(loaded)))
    }
}

fn load(object: Object<'_>) -> Result<Loaded> {
    let geometry = Geometry::new(default_lines(possible_cpus()?), RING_SLOTS)?;
    let seed = HashSeed { words: [0x9e37_79b1; 12], multiplier: 0x9e37_79b9_7f4a_7c15 };
    Ok(Loaded::load(object, geometry, seed)?)
}

const HEAD: &str = "kind: Policy\nmetadata: {name: bench, version: 1}\ntiers:\n- name: main\n  default: {in: accept, out: accept}\n  rules:\n";

fn drop_by_rules(sources: impl Iterator<Item = Ipv4Addr>) -> Result<Ruleset> {
    let mut text = HEAD.to_owned();
    for (number, source) in sources.enumerate() {
        let _ = writeln!(text, "  - {{id: r{number}, dir: in, from: \"{source}/32\", action: drop}}");
    }
    ruleset(&text)
}

fn drop_by_set(sources: impl Iterator<Item = Ipv4Addr>) -> Result<Ruleset> {
    let mut ruleset = drop_by_rules(std::iter::once(source(0)))?;
    let rule = ruleset.rules.iter_mut().find(|rule| rule.id == "r0").context("the benchmark's policy has a rule r0")?;
    rule.from = Addresses::In(sources.map(|source| IpNet::from(Ipv4Net::from(source))).collect());
    Ok(ruleset)
}

fn nft_set(sources: impl Iterator<Item = Ipv4Addr>) -> String {
    let list: Vec<String> = sources.map(|source| source.to_string()).collect();
    format!(
        "table ip bench {{\nset banned {{ type ipv4_addr; elements = {{ {} }} }}\nchain in {{ type filter hook prerouting \
         priority -300; ip saddr @banned drop; }}\n}}\n",
        list.join(", ")
    )
}

fn nft_list(sources: impl Iterator<Item = Ipv4Addr>) -> String {
    let mut text = "table ip bench {\nchain in { type filter hook prerouting priority -300;\n".to_owned();
    for source in sources {
        let _ = writeln!(text, "ip saddr {source} drop");
    }
    text + "}\n}\n"
}

fn iptables_list(sources: impl IntoIterator<Item = Ipv4Addr>) -> String {
    let mut text = "*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n".to_owned();
    for source in sources {
        let _ = writeln!(text, "-A PREROUTING -s {source}/32 -j DROP");
    }
    text + "COMMIT\n"
}

/// iptables with lists of its own, or where that is no more, the one that writes lists of nftables.
fn iptables() -> &'static str {
    let legacy = "iptables-legacy-restore";
    let mut command = Command::new(legacy);
    let is_there = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if is_there.is_ok_and(|status| status.success()) { legacy } else { "iptables-restore" }
}

/// Runs a program with a text on its standard input.
fn feed(mut command: Command, args: &[&str], text: &str) -> Result<()> {
    let mut child = command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run ip")?;
    child.stdin.take().context("standard input was asked for")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
