//! The kernel's datapath and its user-space twin, fed the same frames at the same ticks, and held against each other.
//!
//! What `BPF_PROG_TEST_RUN` cannot give a buffer is not covered here and needs real interfaces: a VLAN tag in metadata
//! (the kernel wants 0 there) and headers outside the linear part (it copies all into it, so a page is the limit).
//! Invariant: the thread stays on one CPU, since the shard is per CPU.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test program uses its part")]

use aya::include_bytes_aligned;
use hivewall_datapath::{
    Direction, FlowSet, Frame, FrameBytes, HashSeed, Link, PeekHead, Record, SweepControl, Tally, TallyKey,
};
use hivewall_host::ebpf::{
    Geometry, Loaded, Object, PeekLosses, PeekRing, RingLosses, Rings, SharedArray, SkbContext, TestRun,
};
use hivewall_soft::SoftDatapath;
use hivewall_testkit::generate::Rng;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

static WORKBENCH: &[u8] = include_bytes_aligned!("../../bpf/workbench.o");

/// Least a test run takes: the kernel reads an Ethernet header from every frame.
pub(crate) const FRAME_MIN: usize = 14;
/// Most it takes: a page less headroom and `struct skb_shared_info`.
pub(crate) const FRAME_MAX: usize = 3500;

/// Whether a test run takes these bytes. From 6.18 on it also wants a whole IP header where the bytes that it takes for
/// an EtherType announce one (net/bpf/test_run.c); behind a VLAN tag, or with other bytes there, it does not look.
pub(crate) fn runnable(frame: &[u8]) -> bool {
    let least = match frame.get(12..14) {
        Some([0x08, 0x00]) => FRAME_MIN + 20,
        Some([0x86, 0xdd]) => FRAME_MIN + 40,
        _ => FRAME_MIN,
    };
    (least..=FRAME_MAX).contains(&frame.len())
}

/// Interface a test run takes its buffers for: loopback, which is 1 in every network namespace.
pub(crate) const IFINDEX: u32 = 1;

/// Facts of a frame that are not in its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meta {
    pub(crate) egress: bool,
    pub(crate) bare_ip: bool,
    pub(crate) segments: u32,
    pub(crate) segment_size: u32,
    /// An interface of this network namespace; 0 is loopback.
    pub(crate) ifindex: u32,
}

impl Meta {
    /// Both directions; one buffer in six stands for several segments, with or without a count.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let (segments, segment_size) = match rng.below(24) {
            0 => (rng.below(45) as u32, rng.below(1449) as u32),
            1 => (0, 1 + rng.below(1448) as u32),
            2 => (2 + rng.below(43) as u32, 1448),
            3 => (1, 0),
            _ => (0, 0),
        };
        Self { egress: rng.below(2) == 1, segments, segment_size, ..Self::default() }
    }

    pub(crate) fn frame(self, len: usize) -> Frame {
        Frame {
            link: if self.bare_ip { Link::Ip } else { Link::Ethernet },
            len: len as u32,
            stripped: 0,
            segments: self.segments,
            segment_size: self.segment_size,
            vlan: None,
            ifindex: self.ifindex.max(IFINDEX),
            direction: if self.egress { Direction::Egress } else { Direction::Ingress },
        }
    }
}

/// Secrets of the flow hash, from a seed.
pub(crate) fn hash_seed(seed: u64) -> HashSeed {
    let mut rng = Rng::new(seed);
    HashSeed { words: std::array::from_fn(|_| rng.bits() as u32), multiplier: rng.bits() }
}

/// Keeps this thread on the last CPU that it may use (so that shard 0 is not the only one ever tried).
pub(crate) fn pin() -> u32 {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let cpu = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu).unwrap()).unwrap();
    let mut one = CpuSet::new();
    one.set(cpu).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    cpu as u32
}

/// The loaded object by itself.
pub(crate) struct Kernel {
    pub(crate) loaded: Loaded,
    pub(crate) rings: Rings,
    pub(crate) peeks: PeekRing,
    observe: TestRun,
    sweep: TestRun,
    sweep_control: SharedArray<SweepControl>,
    cache: SharedArray<FlowSet>,
    cpu: u32,
}

impl Kernel {
    pub(crate) fn load(lines: u32, slots: u32, seed: HashSeed) -> Self {
        let cpu = pin();
        let geometry = Geometry { peeks_per_second: u32::MAX, ..Geometry::new(lines, slots).unwrap() };
        Self::load_with(geometry, seed, cpu)
    }

    pub(crate) fn load_with(geometry: Geometry, seed: HashSeed, cpu: u32) -> Self {
        let mut loaded = Loaded::load(Object::Bytes(WORKBENCH), geometry, seed).unwrap();
        Self {
            observe: loaded.test_run("observe_at").unwrap(),
            sweep: loaded.test_run("sweep_at").unwrap(),
            rings: loaded.rings().unwrap(),
            peeks: loaded.peeks().unwrap(),
            sweep_control: loaded.sweep_control().unwrap(),
            cache: loaded.cache().unwrap(),
            loaded,
            cpu,
        }
    }

    pub(crate) fn observe(&self, frame: &[u8], meta: Meta, now: u32) {
        // The upper half must not matter where nothing is judged, and 0 would mean "no time stamp".
        self.judge(frame, meta, 7 << 32 | u64::from(now));
    }

    /// The same at a time of 64 bits, which is not 0; what the program answered.
    pub(crate) fn judge(&self, frame: &[u8], meta: Meta, ticks: u64) -> i32 {
        let mut context = SkbContext::default();
        context.mark = u32::from(meta.egress) | u32::from(meta.bare_ip) << 1;
        context.gso_segs = meta.segments;
        context.gso_size = meta.segment_size;
        context.ifindex = meta.ifindex;
        context.tstamp = ticks;
        let ran = self.observe.run(frame, Some(&context), 1);
        ran.unwrap_or_else(|error| panic!("{} bytes, {meta:?}: {error}: {frame:02x?}", frame.len())).value
    }

    /// Sweeps the whole shard, reading the ring whenever it is full; lines that stay occupied.
    pub(crate) fn sweep(&mut self, now: u32, idle_ticks: u32, drain: bool, out: &mut Vec<Record>) -> u32 {
        let mut control = SweepControl::default();
        control.idle_ticks = idle_ticks;
        control.drain = u32::from(drain);
        self.sweep_control.write(self.cpu as usize, control);
        let mut context = SkbContext::default();
        context.tstamp = 7 << 32 | u64::from(now);
        while self.sweep.run(&[0; FRAME_MIN], Some(&context), 1).unwrap().value != 1 {
            self.read_ring(out);
        }
        self.read_ring(out);
        self.sweep_control.read(self.cpu as usize).unwrap().resident
    }

    pub(crate) fn read_ring(&mut self, out: &mut Vec<Record>) {
        while self.rings.read(self.cpu, 4096, out) > 0 {}
    }

    /// Copies handed over since the last call, without their times.
    pub(crate) fn copies(&mut self) -> Vec<Copy> {
        let mut copies = Vec::new();
        self.peeks.read(usize::MAX, |head, payload| copies.push(timeless(&head, payload)));
        copies
    }

    /// This CPU's sets.
    pub(crate) fn sets(&self) -> Vec<FlowSet> {
        let sets = self.loaded.geometry.sets;
        (0..sets).map(|set| self.cache.read((self.cpu * sets + set) as usize).unwrap()).collect()
    }

    pub(crate) fn tallies(&self) -> Vec<(TallyKey, Tally)> {
        sorted(self.loaded.tallies().unwrap())
    }
}

/// A copy but for its time, which is the kernel's own.
pub(crate) type Copy = (PeekHead, Vec<u8>);

fn timeless(head: &PeekHead, payload: &[u8]) -> Copy {
    let mut head = *head;
    head.time_ns = 0;
    (head, payload.to_vec())
}

/// What user space copied since the last call.
pub(crate) fn soft_copies(soft: &mut SoftDatapath) -> Vec<Copy> {
    let copies = soft.peeks().iter().map(|(head, payload)| timeless(head, payload)).collect();
    soft.peeks().clear();
    copies
}

fn sorted(mut rows: Vec<(TallyKey, Tally)>) -> Vec<(TallyKey, Tally)> {
    rows.sort_by_key(|(key, _)| (key.ifindex, key.reason));
    rows
}

/// Both of them.
pub(crate) struct Twins {
    pub(crate) kernel: Kernel,
    pub(crate) soft: SoftDatapath,
    /// All records that both handed over.
    pub(crate) records: Vec<Record>,
    from_kernel: Vec<Record>,
    name: String,
    pub(crate) frames: u64,
    /// Copies that both made.
    pub(crate) copies: Vec<Copy>,
}

impl Twins {
    pub(crate) fn new(name: String, lines: u32, slots: u32, seed: u64) -> Self {
        let secret = hash_seed(seed);
        let mut soft = SoftDatapath::new(lines, secret);
        soft.watch(true);
        Self {
            kernel: Kernel::load(lines, slots, secret),
            soft,
            records: Vec::new(),
            from_kernel: Vec::new(),
            name,
            frames: 0,
            copies: Vec::new(),
        }
    }

    pub(crate) fn observe(&mut self, frame: &[u8], meta: Meta, now: u32) {
        self.kernel.observe(frame, meta, now);
        let _ = self.soft.observe(&FrameBytes(frame), &meta.frame(frame.len()), now);
        self.frames += 1;
    }

    pub(crate) fn sweep(&mut self, now: u32, idle_ticks: u32, drain: bool) {
        let resident = self.kernel.sweep(now, idle_ticks, drain, &mut self.from_kernel);
        assert_eq!(resident, self.soft.sweep(now, idle_ticks, drain), "{}: occupied lines after a sweep", self.name);
        self.compare_records();
    }

    /// What was handed over since the last call is equal, and in the same order.
    pub(crate) fn compare_records(&mut self) {
        self.kernel.read_ring(&mut self.from_kernel);
        let soft = self.soft.records();
        if let Some(at) =
            (0..soft.len().max(self.from_kernel.len())).find(|&at| soft.get(at) != self.from_kernel.get(at))
        {
            panic!(
                "{}, before frame {}: record {at} since the last comparison\n kernel     {:?}\n user space {:?}",
                self.name,
                self.frames,
                self.from_kernel.get(at),
                soft.get(at)
            );
        }
        self.records.append(soft);
        self.from_kernel.clear();
        self.compare_copies();
    }

    /// What was copied since the last call is equal, and in the same order.
    fn compare_copies(&mut self) {
        let kernel = self.kernel.copies();
        let soft = soft_copies(&mut self.soft);
        if let Some(at) = (0..soft.len().max(kernel.len())).find(|&at| soft.get(at) != kernel.get(at)) {
            panic!(
                "{}, before frame {}: copy {at} since the last comparison\n kernel     {:?}\n user space {:?}",
                self.name,
                self.frames,
                kernel.get(at),
                soft.get(at)
            );
        }
        self.copies.extend(kernel);
        assert_eq!(self.kernel.peeks.losses(), PeekLosses::default(), "{}: every copy found room", self.name);
    }

    /// Caches, counters and rings are equal.
    pub(crate) fn compare_all(&mut self) {
        self.compare_records();
        for (at, (kernel, soft)) in self.kernel.sets().iter().zip(self.soft.sets()).enumerate() {
            assert_eq!(kernel, soft, "{}, before frame {}: set {at}", self.name, self.frames);
        }
        assert_eq!(self.kernel.sets().len(), self.soft.sets().len(), "{}: sets", self.name);
        assert_eq!(self.kernel.tallies(), sorted(self.soft.tallies()), "{}, before frame {}", self.name, self.frames);
        assert_eq!(self.kernel.rings.losses(), RingLosses::default(), "{}: nothing is lost", self.name);
    }
}
