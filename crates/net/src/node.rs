//! Starting a node, and the handle to a running one.
//!
//! A node is one thread named `fleet` with a runtime of its own. Invariant: whatever a handle is asked, the node is
//! never waited for by anything but the asker.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hivewall_cluster::{BanLimits, Core, Entry, NodeId, Order, Policy, Saved, Verifier};
use hivewall_trust::{CHARTER_NAME, Identity, InvitationBook, Roster};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Clock, unix_us};
use crate::command::Command;
use crate::driver::{Driver, Parts};
use crate::error::NetError;
use crate::limits::Limits;
use crate::losses::Counters;
use crate::membership::Membership;
use crate::noise::Noise;
use crate::pool::Pool;
use crate::port::{self, Inbox, Port};
use crate::program::{AskError, Description, Program};
use crate::state::NodeState;

/// Commands of tasks that may wait for the driver; their senders wait then.
const COMMANDS: usize = 1024;

/// What a node is made of.
pub struct Settings {
    /// Key, passport and certificates of this host.
    pub identity: Identity,
    /// Who belongs to the cluster. Shared with the verifier.
    pub roster: Roster,
    /// The UDP port. An unspecified IPv6 address (`[::]`) serves IPv4 as well.
    pub listen: SocketAddr,
    /// What this host says of itself.
    pub member: Description,
    /// What bans are allowed.
    pub bans: BanLimits,
    /// Says whether signatures hold.
    pub verifier: Box<dyn Verifier>,
    /// What was written down before.
    pub saved: Saved,
    /// Where to join. Empty: this host is the first, or knows the others from before.
    pub seeds: Vec<SocketAddr>,
    /// Seed of all choices that are not secret. From the system's randomness in earnest.
    pub seed: u64,
    /// The program around the node.
    pub program: Box<dyn Program>,
    /// The book of invitations, where this host may issue certificates.
    pub enroller: Option<InvitationBook>,
    /// Limits of the links.
    pub limits: Limits,
    /// Called in the thread before it does anything, to confine it.
    pub confine: Option<Box<dyn FnOnce() + Send>>,
}

/// A node.
pub struct Node;

/// A running node. When the last handle is dropped the node ends without farewell.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    orders: mpsc::UnboundedSender<Command>,
    pictures: watch::Receiver<Arc<NodeState>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.orders.send(Command::Stop { leave: false });
    }
}

impl Node {
    /// Starts a node; it is listening when this returns.
    pub fn start(settings: Settings) -> Result<Handle, NetError> {
        let listen = settings.listen;
        let socket = port::bind(listen).map_err(|source| NetError::Listen { address: listen, source })?;
        let (orders, from_program) = mpsc::unbounded_channel();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let run = move || run(settings, socket, from_program, &ready);
        let thread = std::thread::Builder::new().name("fleet".to_owned()).spawn(run).map_err(NetError::Thread)?;
        let pictures = started.recv().map_err(|_| NetError::Ended)??;
        Ok(Handle(Arc::new(Inner { orders, pictures, thread: Mutex::new(Some(thread)) })))
    }
}

type Ready = std::sync::mpsc::SyncSender<Result<watch::Receiver<Arc<NodeState>>, NetError>>;

/// The whole life of the thread.
fn run(mut settings: Settings, socket: UdpSocket, mut orders: mpsc::UnboundedReceiver<Command>, ready: &Ready) {
    if let Some(confine) = settings.confine.take() {
        confine();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(NetError::Thread(error)))),
    };
    runtime.block_on(async {
        match assemble(settings, socket) {
            Ok((mut driver, mut inbox, mut tasks, pictures)) => {
                let _ = ready.send(Ok(pictures));
                driver.run(&mut inbox, &mut orders, &mut tasks).await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
    // Whoever still waits for a name or a disk in some task is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
}

type Assembled = (Driver, Inbox, mpsc::Receiver<Command>, watch::Receiver<Arc<NodeState>>);

fn assemble(settings: Settings, socket: UdpSocket) -> Result<Assembled, NetError> {
    let clock = Clock::start();
    let counters = Arc::new(Counters::default());
    let limits = settings.limits;
    let mut secrets = secret_rng()?;
    let id = settings.identity.id();
    let cluster = settings.roster.cluster();
    let membership = Arc::new(Membership::new(settings.identity, settings.roster, &limits)?);
    settings
        .saved
        .policies
        .iter()
        .filter(|policy| policy.head.name == CHARTER_NAME)
        .for_each(|policy| membership.adopt(policy));
    let proof = membership.proof().ok_or(NetError::Identity)?;
    let reset_key = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA256,
        &blake3::derive_key("hivewall 2026 resets of connections", &proof.secret),
    );
    let noise = Noise::new(cluster, proof, limits, secrets.random(), (clock.us(), unix_us()), counters.clone());
    let listen_error = |source| NetError::Listen { address: settings.listen, source };
    let listen = socket.local_addr().map_err(listen_error)?;
    let (port, inbox) = Port::open(socket, counters.clone()).map_err(listen_error)?;
    // A host that restarts can tell its peers at once that the old connections are gone: the key stays the same.
    let mut endpoint_config = quinn::EndpointConfig::new(Arc::new(reset_key));
    let cid_seed: [u8; 32] = secrets.random();
    endpoint_config.grease_quic_bit(false).cid_generator(move || Box::new(ConnectionIds(StdRng::from_seed(cid_seed))));
    let server = membership.server_config()?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint = quinn::Endpoint::new_with_abstract_socket(endpoint_config, Some(server), port.clone(), runtime)
        .map_err(listen_error)?;
    let (from_tasks, tasks) = mpsc::channel(COMMANDS);
    let pool = Pool::new(endpoint, membership.clone(), limits, secrets.random(), counters.clone(), from_tasks.clone());
    tokio::spawn(pool.clone().accept());
    let core_settings =
        hivewall_cluster::Settings { id, seed: settings.seed, bans: settings.bans, verifier: settings.verifier };
    let core = Core::new(core_settings, settings.saved, clock.now());
    let (pictures, watched) = watch::channel(Arc::new(NodeState::empty(id, listen)));
    let mut driver = Driver::new(Parts {
        clock,
        core,
        program: settings.program,
        noise,
        port,
        pool,
        membership,
        counters,
        description: settings.member,
        book: settings.enroller,
        listen,
        from_tasks,
        pictures,
    });
    driver.begin(settings.seeds)?;
    Ok((driver, inbox, tasks, watched))
}

/// Connection ids of eight random bytes. Unlike quinn's own they cannot be told from those of an earlier start: so a
/// packet for a connection of that time is answered with a reset, and the peer opens a new one at once.
struct ConnectionIds(StdRng);

impl quinn::ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        quinn::ConnectionId::new(&self.0.random::<[u8; 8]>())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn secret_rng() -> Result<StdRng, NetError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| NetError::Thread(error.into()))?;
    Ok(StdRng::from_seed(seed))
}

/// Where others can find a host that listens here: the addresses of its interfaces, if it listens on all.
pub(crate) fn own_addresses(listen: SocketAddr) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let is_good = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => listen.is_ipv6() && !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).filter(is_good).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(hivewall_cluster::ADDRESSES_MAX);
    addresses.into_iter().map(|ip| SocketAddr::new(ip, listen.port())).collect()
}

impl Handle {
    /// Hands an order to the core. Never waits; an ended node ignores it.
    pub fn order(&self, order: Order) {
        let _ = self.0.orders.send(Command::Order(order));
    }

    /// Describes this host anew: the record is signed and spread.
    pub fn describe(&self, member: Description) {
        let _ = self.0.orders.send(Command::Describe(member));
    }

    /// Asks a member's program. Blocks; not to be called from inside a tokio runtime nor from [`Program`]'s methods.
    pub fn ask(&self, to: NodeId, question: Vec<u8>, timeout: Duration) -> Result<Vec<u8>, AskError> {
        self.send_ask(to, question, timeout, false).blocking_recv().unwrap_or(Err(AskError::Ended))
    }

    /// The same over a connection that is opened for this question: what firewalls do to new connections shows.
    pub fn ask_anew(&self, to: NodeId, question: Vec<u8>, timeout: Duration) -> Result<Vec<u8>, AskError> {
        self.send_ask(to, question, timeout, true).blocking_recv().unwrap_or(Err(AskError::Ended))
    }

    /// [`Self::ask`] for asynchronous callers; `is_anew` as in [`Self::ask_anew`].
    pub async fn ask_async(
        &self,
        to: NodeId,
        question: Vec<u8>,
        timeout: Duration,
        is_anew: bool,
    ) -> Result<Vec<u8>, AskError> {
        self.send_ask(to, question, timeout, is_anew).await.unwrap_or(Err(AskError::Ended))
    }

    fn send_ask(
        &self,
        to: NodeId,
        question: Vec<u8>,
        timeout: Duration,
        is_anew: bool,
    ) -> oneshot::Receiver<Result<Vec<u8>, AskError>> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.orders.send(Command::Ask { to, question, timeout, is_anew, answer });
        answered
    }

    /// The latest picture.
    pub fn state(&self) -> Arc<NodeState> {
        self.0.pictures.borrow().clone()
    }

    /// Pictures as they come, for whoever waits for something.
    pub fn states(&self) -> watch::Receiver<Arc<NodeState>> {
        self.0.pictures.clone()
    }

    /// The policy that is held under a name.
    pub fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        self.0.pictures.borrow().policies.get(name).map(|held| held.policy.clone())
    }

    /// An author's chain of the audit log. Blocks as [`Self::ask`] does; empty when the node has ended.
    pub fn audit(&self, author: NodeId) -> Vec<Entry> {
        let (back, chain) = oneshot::channel();
        let _ = self.0.orders.send(Command::Audit(author, back));
        chain.blocking_recv().unwrap_or_default()
    }

    /// Works on the enroller's book of invitations; the result comes when the change is durable. `None`: this host issues
    /// no certificates, or has ended. Blocks as [`Self::ask`] does.
    pub fn invitations<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut InvitationBook) -> T + Send + 'static,
    ) -> Option<T> {
        let (back, done) = oneshot::channel();
        let work = move |book: &mut InvitationBook| -> Box<dyn FnOnce() + Send> {
            let result = work(book);
            Box::new(move || drop(back.send(result)))
        };
        let _ = self.0.orders.send(Command::Invitations(Box::new(work)));
        done.blocking_recv().ok()
    }

    /// Ends the node and waits for its thread. With a farewell, the others know at once.
    pub fn stop(&self, leave: bool) {
        let _ = self.0.orders.send(Command::Stop { leave });
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
