//! The fleet that this host belongs to, if it does: wiring between links, policy, pipeline and API. What members say to one
//! another is `cluster`'s and `net`'s.
//!
//! A thread of its own, the desk, does all of it. Invariant: without an identity on disk nothing listens, and every
//! question is answered with "no fleet".

mod answers;
mod bans;
pub(crate) mod commands;
mod desk;
pub(crate) mod disk;
mod log;
pub(crate) mod orders;
mod owners;
mod program;
mod questions;
mod removal;
mod rollout;
mod sums;
mod view;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hivewall_config::Config;
use hivewall_engine::Moved;
use hivewall_net::{Description, Handle};
use hivewall_view::alerts::OwnersEvidence;
use hivewall_view::fleet::FleetView;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::desk::{Desk, Order};
use self::disk::Directory;
pub(crate) use self::owners::Owners;
use crate::policy::governor::Ask;

/// Name of the document of policies.
const POLICY: &str = "policy";
/// Name of the document of the keys that policies are signed with.
const KEYS: &str = "keys";
/// Length of an epoch.
const EPOCH_MS: u64 = 10_000;
/// Longest wait for another host's answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for another host's rehearsal of a policy, which may read all its history. A link that is silent for longer is closed.
const REHEARSAL_WAIT: Duration = Duration::from_secs(25);

/// The fleet, for whoever asks. Clones share.
#[derive(Clone)]
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    desk: UnboundedSender<Order>,
}

/// What the desk shows.
#[derive(Default)]
struct Shared {
    live: Mutex<Option<Live>>,
    view: Mutex<Option<Arc<FleetView>>>,
}

/// A running membership.
#[derive(Clone)]
struct Live {
    node: Handle,
    /// The root's public key.
    root: [u8; 32],
    is_enroller: bool,
}

/// What the desk is started with.
pub(crate) struct Setting {
    pub(crate) directory: Directory,
    pub(crate) listen: SocketAddr,
    pub(crate) seeds: Vec<SocketAddr>,
    pub(crate) about: Description,
    /// Whether the local network is told of it.
    pub(crate) discover: bool,
    /// By which this host is managed.
    pub(crate) management_port: u16,
    /// The policy's thread, where there is one.
    pub(crate) governor: Option<Sender<Ask>>,
}

impl Setting {
    /// As configured; none where no fleet is wanted.
    pub(crate) fn of(config: &Config, governor: Option<Sender<Ask>>) -> Option<Self> {
        if config.fleet.directory.is_empty() {
            return None;
        }
        let labels: BTreeMap<String, String> =
            config.fleet.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect();
        let mut name = crate::system::host_info(&config.agent.name).name;
        name.truncate(hivewall_cluster::NAME_BYTES_MAX);
        let about = Description {
            name,
            labels,
            flags: hivewall_cluster::Flags { battery: config.fleet.battery, enroller: false },
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            advertise: config.fleet.advertise.clone(),
        };
        Some(Self {
            directory: Directory::at(&config.fleet.directory),
            listen: config.fleet.listen,
            seeds: config.fleet.seeds.clone(),
            about,
            discover: config.fleet.discover,
            management_port: config.policy.management_port,
            governor,
        })
    }
}

/// The epoch of the fleet that it is now: Unix seconds by tens.
pub(crate) fn epoch_now() -> u64 {
    program::unix_ms() / EPOCH_MS
}

/// Seconds since the Unix epoch, by this host's clock.
pub(crate) fn now_unix_s() -> u64 {
    program::unix_ms() / 1000
}

/// Ends the desk when it goes.
pub(crate) struct Running {
    desk: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.desk.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Fleet {
    /// The fleet before its desk is there: [`Fleet::run`] starts it.
    pub(crate) fn new() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Order>) {
        let (desk, orders) = unbounded_channel();
        (Self { shared: Arc::default(), desk }, orders)
    }

    /// Starts the desk.
    pub(crate) fn run(
        &self,
        setting: Setting,
        orders: tokio::sync::mpsc::UnboundedReceiver<Order>,
        pipeline: crate::pipeline::Handle,
    ) -> anyhow::Result<Running> {
        let desk = Desk::new(setting, Arc::clone(&self.shared), pipeline);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            runtime.block_on(desk.work(orders));
            runtime.shutdown_timeout(Duration::from_millis(200));
        };
        let thread = std::thread::Builder::new().name("fleet-desk".into()).spawn(work)?;
        Ok(Running { desk: self.desk.clone(), thread: Some(thread) })
    }

    /// What this host's flows moved in an epoch, for the sums of the fleet.
    pub(crate) fn contribute(&self, epoch: u64, moved: Vec<Moved>, left_out: u64) {
        let _ = self.desk.send(Order::Moved { epoch, moved, left_out });
    }

    /// What this host saw in an epoch, for the keepers of its sources.
    pub(crate) fn sight(&self, told: crate::watch::Sightings) {
        let _ = self.desk.send(Order::Sightings(Box::new(told)));
    }

    /// Has hosts asked what they have of something that the fleet saw.
    pub(crate) fn owners(&self, owners: Owners, done: Box<dyn FnOnce(OwnersEvidence) + Send>) {
        let _ = self.desk.send(Order::Owners(owners, done));
    }

    fn live(&self) -> Option<Live> {
        self.shared.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this host is a member now.
    pub(crate) fn is_member(&self) -> bool {
        self.shared.live.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The latest picture.
    fn view(&self) -> Option<Arc<FleetView>> {
        self.shared.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn show(&self, view: Option<FleetView>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view.map(Arc::new);
    }

    fn set_live(&self, live: Option<Live>) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = live;
    }
}
