//! The workbench under measurement: programs run by hand, flows in turn, one policy or another in force.
//!
//! Invariant: rings are read between timed runs, so that nothing is lost and reading is not part of the price.

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, LpmTrie, Map, MapData, MapInfo, lpm_trie};
use hivewall_datapath::policy::{PolicyControl, PolicyWord};
use hivewall_datapath::{HashSeed, RING_SLOTS, Record};
use hivewall_host::ebpf::{Geometry, Loaded, Object, Rings, SkbContext, TestRun, default_lines, possible_cpus};
use hivewall_host::policy::PolicyMaps;
use hivewall_soft::PolicyTables;
use hivewall_testkit::generate::Rng;

/// Entries of the map `FLOW_LIST`.
pub(super) const DRAWS: u32 = 1 << 20;
/// Packets of one timed run, which then is short enough to end undisturbed now and then on a busy machine; a ring has
/// more slots.
const STRETCH: u32 = 1 << 13;

/// A loaded workbench.
pub(super) struct Bench {
    /// The object.
    pub(super) loaded: Loaded,
    /// The maps of its policy.
    pub(super) maps: PolicyMaps,
    rings: Rings,
    flow_list: Array<MapData, u64>,
    context: SkbContext,
    cpu: u32,
    epoch: u16,
    read: Vec<Record>,
}

/// What judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InForce {
    /// Nothing.
    Nothing,
    /// The tables of a slot.
    Slot(u32),
}

impl Bench {
    /// Loads the workbench for packets of one interface; this thread stays on `cpu` already.
    pub(super) fn load(object: &[u8], cpu: u32, ifindex: u32) -> Result<Self> {
        let mut rng = Rng::new(0x706f_6c69);
        let geometry = Geometry::new(default_lines(possible_cpus()?), RING_SLOTS)?;
        let seed = HashSeed { words: std::array::from_fn(|_| rng.bits() as u32), multiplier: rng.bits() };
        let mut loaded = Loaded::load(Object::Bytes(object), geometry, seed)?;
        let ids = loaded.classifier("empty_many")?.info()?.map_ids()?.context("no maps are told")?;
        let flow_list = Array::try_from(Map::Array(find(&ids, "FLOW_LIST")?))?;
        let (rings, maps) = (loaded.rings()?, loaded.policy_maps()?);
        let mut context = SkbContext::default();
        context.ifindex = ifindex;
        Ok(Self { loaded, maps, rings, flow_list, context, cpu, epoch: 0, read: Vec::new() })
    }

    /// The trie of the peer that has nothing else.
    pub(super) fn peer_trie(&mut self) -> Result<LpmTrie<MapData, [u8; 4], u32>> {
        let ids = self.loaded.xdp("peer_trie")?.info()?.map_ids()?.context("no maps are told")?;
        Ok(LpmTrie::try_from(Map::LpmTrie(find(&ids, "PEER_NETS")?))?)
    }

    /// Writes which flows the packets belong to, in turn: source address and port, see [`flow`].
    pub(super) fn choose(&mut self, mut draw: impl FnMut(u32) -> u64) -> Result<()> {
        for at in 0..DRAWS {
            self.flow_list.set(at, draw(at), 0)?;
        }
        Ok(())
    }

    /// Puts a filled slot in force. Flows are judged anew.
    pub(super) fn enforce(&mut self, what: InForce) -> Result<()> {
        let word = match what {
            InForce::Nothing => 0,
            InForce::Slot(slot) => {
                self.epoch = self.epoch.checked_add(1).unwrap_or(1);
                u32::from(self.epoch) | slot << 16 | PolicyWord::TABLES | PolicyWord::ENFORCE
            }
        };
        // Only the age of connections is told by the clock, in seconds; all of them are young.
        let control = PolicyControl { word, fallback: word, ticks_per_second: 250, ..PolicyControl::default() };
        Ok(self.maps.set_control(control)?)
    }

    /// Fills a slot that is not in force.
    pub(super) fn fill(&mut self, slot: u32, tables: &PolicyTables) -> Result<()> {
        Ok(self.maps.fill(slot, tables, &[])?)
    }

    /// Nanoseconds a packet, of a classifier, by stretches.
    pub(super) fn classify(&mut self, program: &TestRun, frame: &[u8], packets: u32) -> Result<Vec<f64>> {
        let context = self.context;
        self.timed(packets, |count| Ok(program.run(frame, Some(&context), count)?.nanoseconds))
    }

    /// The same of a program at the driver that has to answer `wanted`.
    pub(super) fn drive(&mut self, program: &TestRun, frame: &[u8], packets: u32, wanted: i32) -> Result<Vec<f64>> {
        self.timed(packets, |count| {
            let ran = program.run(frame, None, count)?;
            ensure!(ran.value == wanted, "a program answered {}, and {wanted} was to be measured", ran.value);
            Ok(ran.nanoseconds)
        })
    }

    fn timed(&mut self, packets: u32, mut run: impl FnMut(u32) -> Result<u32>) -> Result<Vec<f64>> {
        let (mut left, mut times) = (packets, Vec::new());
        while left > 0 {
            let count = left.min(STRETCH);
            times.push(f64::from(run(count)?));
            left -= count;
            self.read.clear();
            self.rings.read(self.cpu, RING_SLOTS as usize, &mut self.read);
        }
        let losses = self.rings.losses();
        ensure!(losses.records == 0, "a ring overflowed by {} records; the figures would be too good", losses.records);
        Ok(times)
    }
}

/// A flow as [`Bench::choose`] wants it.
pub(super) fn flow(source: u32, port: u16) -> u64 {
    u64::from(source.to_be()) | u64::from(port.to_be()) << 32
}

/// Puts prefixes into the peer's trie.
pub(super) fn enter(
    trie: &mut LpmTrie<MapData, [u8; 4], u32>,
    prefixes: impl IntoIterator<Item = (u32, u32)>,
) -> Result<()> {
    for (first, len) in prefixes {
        trie.insert(&lpm_trie::Key::new(len, first.to_be_bytes()), 1, 0)?;
    }
    Ok(())
}

/// A map of the workbench, by the numbers of those that a program uses.
pub(super) fn find(ids: &[u32], name: &str) -> Result<MapData> {
    for id in ids {
        if MapInfo::from_id(*id)?.name_as_str() == Some(name) {
            return Ok(MapData::from_id(*id)?);
        }
    }
    bail!("workbench.o has no map {name}; run `cargo xtask bpf`")
}
