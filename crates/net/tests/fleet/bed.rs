//! What the tests stand on: a cluster with its root, nodes in this process, and waiting for what they show.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hivewall_cluster::{
    BanLimits, Changed, Claim, Flags, Hash, Member, NodeId, Order, Persist, Policy, PolicyHead, Saved, Verifier,
};
use hivewall_net::{Answer, Description, Handle, Limits, Node, NodeState, Program, Settings};
use hivewall_trust::{Charter, HostKey, Identity, Invitation, InvitationBook, Root, Roster};

/// How long anything may take that has no limit of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A cluster's secrets: its root, and its first host, which admits the others.
pub(crate) struct Bed {
    pub(crate) root: Root,
    pub(crate) first: Identity,
}

impl Bed {
    pub(crate) fn new(seed: u8) -> Self {
        let root = Root::from_seed([seed; 32]);
        let first = Identity::first(&root, HostKey::from_seed([1; 32]), unix_s()).unwrap();
        Self { root, first }
    }

    pub(crate) fn identity(&self, number: u8) -> Identity {
        if number == 1 {
            return self.first.clone();
        }
        let key = HostKey::from_seed([number; 32]);
        let papers = self.first.enroller().unwrap().issue(key.public(), unix_s()).unwrap();
        Identity::new(key, papers, None).unwrap()
    }

    pub(crate) fn charter(&self) -> Charter {
        Charter::first(self.root.cluster(), "test")
    }

    /// A disk of a host that knows the first charter.
    pub(crate) fn disk(&self) -> Disk {
        let saved = Saved { policies: vec![self.root.sign_charter(&self.charter()).unwrap()], ..Saved::default() };
        Arc::new(Mutex::new(saved))
    }

    /// Starts a node and waits for nothing.
    pub(crate) fn start(&self, number: u8, listen: &str, seeds: &[SocketAddr]) -> Host {
        self.start_saved(number, listen, seeds, self.disk(), Limits::default())
    }

    pub(crate) fn start_saved(
        &self,
        number: u8,
        listen: &str,
        seeds: &[SocketAddr],
        disk: Disk,
        limits: Limits,
    ) -> Host {
        Self::start_as(self.identity(number), listen, seeds, disk, limits)
    }

    pub(crate) fn start_as(identity: Identity, listen: &str, seeds: &[SocketAddr], disk: Disk, limits: Limits) -> Host {
        let roster = identity.roster().unwrap();
        let is_enroller = identity.enroller().is_some();
        let saved = disk.lock().unwrap().clone();
        let kept = Kept::default();
        let settings = Settings {
            roster: roster.clone(),
            listen: listen.parse().unwrap(),
            member: Description {
                name: format!("host-{:?}", identity.id()),
                flags: Flags { enroller: is_enroller, ..Flags::default() },
                ..Description::default()
            },
            bans: BanLimits::default(),
            verifier: Box::new(Judge(roster)),
            saved,
            seeds: seeds.to_vec(),
            seed: identity.id().prefix(),
            program: Box::new(Recorder { disk: disk.clone(), kept: kept.clone() }),
            enroller: is_enroller.then(InvitationBook::default),
            limits,
            confine: None,
            identity,
        };
        let handle = Node::start(settings).unwrap();
        Host { id: handle.state().id, address: handle.state().listen, handle, disk, kept }
    }

    /// An invitation by the first host.
    pub(crate) fn invite(&self, first: &Host, uses: u32) -> Invitation {
        let (root, address) = (self.root.public(), first.address);
        let issue = move |book: &mut InvitationBook| {
            let random = std::array::from_fn(|at| at as u8 * 7);
            book.issue(random, root, vec![address], (unix_s(), 3600), (uses, String::new())).unwrap()
        };
        first.handle.invitations(issue).unwrap()
    }

    /// So many nodes that join through the first.
    pub(crate) fn fleet(&self, hosts: u8, listen: &str) -> Vec<Host> {
        let first = self.start(1, listen, &[]);
        let seed = first.address;
        let others = (2..=hosts).map(|number| self.start(number, listen, &[seed]));
        let mut all: Vec<Host> = Vec::new();
        all.push(first);
        all.extend(others);
        all
    }
}

/// What a node wrote down.
pub(crate) type Disk = Arc<Mutex<Saved>>;

/// What a node kept of its identity and its book.
pub(crate) type Kept = Arc<Mutex<(Option<Identity>, Option<InvitationBook>)>>;

/// A running node.
pub(crate) struct Host {
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) disk: Disk,
    pub(crate) kept: Kept,
}

impl Host {
    /// Waits until the node shows this.
    pub(crate) fn wait(&self, what: &str, limit: Duration, is_so: impl FnMut(&NodeState) -> bool) -> Arc<NodeState> {
        wait(&self.handle, what, limit, is_so)
    }

    /// Whether this node shows that one as alive with its record.
    pub(crate) fn knows(state: &NodeState, id: NodeId) -> bool {
        state.member(id).is_some_and(|member| member.life == hivewall_net::Life::Alive && member.record.is_some())
    }
}

pub(crate) fn wait(
    handle: &Handle,
    what: &str,
    limit: Duration,
    mut is_so: impl FnMut(&NodeState) -> bool,
) -> Arc<NodeState> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut states = handle.states();
    let seen = runtime.block_on(async {
        tokio::time::timeout(limit, states.wait_for(|state| is_so(state))).await.map(|seen| seen.unwrap().clone())
    });
    seen.unwrap_or_else(|_| panic!("{what}: not within {limit:?}; last seen {}", brief(&handle.state())))
}

/// Waits until all know all.
pub(crate) fn wait_for_all(hosts: &[Host], limit: Duration) {
    let ids: Vec<NodeId> = hosts.iter().map(|host| host.id).collect();
    let end = std::time::Instant::now() + limit;
    for host in hosts.iter().rev() {
        let left = end.saturating_duration_since(std::time::Instant::now());
        let is_so = |state: &NodeState| ids.iter().all(|id| Host::knows(state, *id));
        if std::panic::catch_unwind(|| host.wait("all know all", left, is_so)).is_err() {
            let all: Vec<String> = hosts.iter().map(|host| brief(&host.handle.state())).collect();
            panic!("not all know all within {limit:?}: {}", all.join("\n"));
        }
    }
}

/// Believes the roster, and that documents named `policy` are good: their signatures are the program's matter.
pub(crate) struct Judge(pub(crate) Roster);

impl Verifier for Judge {
    fn holds(&self, claim: &Claim<'_>, signature: &[u8]) -> bool {
        match claim {
            Claim::Policy(head, _) if head.name == "policy" => true,
            _ => self.0.holds(claim, signature, unix_s()),
        }
    }
}

/// Keeps in memory what a program keeps on disk; answers with the question, turned around.
pub(crate) struct Recorder {
    pub(crate) disk: Disk,
    pub(crate) kept: Kept,
}

impl Program for Recorder {
    fn persist(&mut self, what: &Persist) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        match what.clone() {
            Persist::Generation(generation) => disk.generation = generation,
            Persist::Policy(policy) => {
                disk.policies.retain(|held| held.head.name != policy.head.name);
                disk.policies.push(policy);
            }
            Persist::Ban(ban) => disk.bans.push(ban),
            Persist::Entry(entry) => disk.entries.push(entry),
            Persist::Member(record) => {
                let member = Member::decode(&record.body).unwrap();
                disk.members.retain(|(_, held)| held.0.id != member.id);
                disk.members.push((0, Arc::new((member, record))));
            }
        }
        Ok(())
    }

    fn keep_identity(&mut self, identity: &Identity) -> io::Result<()> {
        self.kept.lock().unwrap().0 = Some(identity.clone());
        Ok(())
    }

    fn keep_invitations(&mut self, book: &InvitationBook) -> io::Result<()> {
        self.kept.lock().unwrap().1 = Some(book.clone());
        Ok(())
    }

    fn keys(&mut self) -> Vec<u8> {
        b"keys of the operators".to_vec()
    }

    fn changed(&mut self, _what: &Changed) {}

    fn asked(&mut self, _from: NodeId, mut question: Vec<u8>, answer: Answer) {
        if question == b"refuse" {
            return;
        }
        question.reverse();
        answer.send(question);
    }
}

/// A document that the tests' verifier takes.
pub(crate) fn policy(version: u64, bytes: usize) -> Policy {
    let body: Vec<u8> = (0..bytes).map(|at| (at as u64 * version) as u8).collect();
    Policy {
        head: PolicyHead { name: "policy".to_owned(), version, hash: Hash::of(&body) },
        body,
        signature: Vec::new(),
    }
}

pub(crate) fn publish(host: &Host, policy: Policy) {
    host.handle.order(Order::Publish(policy));
}

/// A picture in one line each.
fn brief(state: &NodeState) -> String {
    let members = state.members.iter().map(|member| {
        format!("{:?} {:?} record {} {:?}\n", member.id, member.life, member.record.is_some(), member.link)
    });
    let links: Vec<_> = state.link_losses.iter().collect();
    let core: Vec<_> = state.losses.iter().collect();
    let traffic: Vec<_> = state.traffic.iter().collect();
    format!("\n{}{links:?}\n{core:?}\n{traffic:?} {:?}", members.collect::<String>(), state.failed)
}
