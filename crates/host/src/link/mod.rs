//! The host's network interfaces over netlink: what they are, what they have counted, and when any of them changes.
//!
//! It reads only; nothing here configures an interface. Messages are decoded in `message`, the meaning of an
//! interface (its framing, its place among others) is in `layer`, and which ones the operator wants in `filter`.
//! Invariant: a change that happens after [`Links::open`] is either in the next [`Links::dump`] or makes
//! [`Links::wait`] return `true`, so "dump, wait, dump" misses nothing.

mod filter;
mod layer;
mod message;
mod netlink;
mod speed;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use hivewall_model::Interface;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;

pub use filter::{InterfaceFilter, PatternError};
use message::{LinkFacts, address, link};
use netlink::{Dumps, Events};
use speed::Speeds;

/// What can go wrong between the agent and the kernel's list of interfaces.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No socket.
    #[error(
        "cannot {doing}: {source}; interfaces cannot be listed without netlink, check seccomp and open-file limits"
    )]
    Socket {
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel answered a request with an error.
    #[error("the kernel refused to list {what}: {source}; check that no seccomp or LSM profile forbids netlink")]
    Refused {
        /// Links or addresses.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A message is not built as netlink messages are.
    #[error("the kernel's list of {what} has a message that cannot be read ({why}); please report it with `uname -r`")]
    Malformed {
        /// Links or addresses.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// An open view of this network namespace's interfaces. The namespace is that of the thread that opened it.
pub struct Links {
    dumps: Dumps,
    events: Events,
    speeds: Speeds,
}

impl Links {
    /// Opens the sockets and subscribes to changes of links and addresses. Needs no privilege.
    pub fn open() -> Result<Self, LinkError> {
        // Subscribed before anyone can dump, so that no change falls between the two.
        let events = Events::subscribe()?;
        Ok(Self { dumps: Dumps::open()?, events, speeds: Speeds::open()? })
    }

    /// All interfaces with their counters and addresses as they are now, in the kernel's order.
    ///
    /// `rx_dropped` includes what the hardware missed for want of buffers, as /proc/net/dev has it. An interface that
    /// appears or goes while the list is read makes the kernel say so, and the list is read again; under constant
    /// change the last try is returned, and [`Links::wait`] asks for another soon after.
    pub fn dump(&mut self) -> Result<Vec<Interface>, LinkError> {
        // RTEXT_FILTER_SKIP_STATS would spare the kernel the IPv6 statistics, but newer kernels take it to mean the
        // interface's counters as well.
        let mut facts: Vec<LinkFacts> = Vec::new();
        self.dumps.run("links", || RouteNetlinkMessage::GetLink(LinkMessage::default()), &mut |entry| match entry {
            netlink::Entry::Restart => {
                facts.clear();
                Ok(())
            }
            netlink::Entry::Message(payload) => link(payload).map(|one| facts.push(one)),
        })?;
        let mut addresses: HashMap<u32, Vec<IpAddr>> = HashMap::new();
        self.dumps.run("addresses", || RouteNetlinkMessage::GetAddress(AddressMessage::default()), &mut |entry| {
            match entry {
                netlink::Entry::Restart => {
                    addresses.clear();
                    Ok(())
                }
                netlink::Entry::Message(payload) => {
                    let found = address(payload)?;
                    if let Some((index, ip)) = found {
                        addresses.entry(index).or_default().push(ip);
                    }
                    Ok(())
                }
            }
        })?;
        // An interrupted list that was kept may name an interface twice.
        let mut seen = HashSet::with_capacity(facts.len());
        facts.retain(|one| seen.insert(one.interface.index));
        let masters: HashSet<u32> = facts.iter().filter_map(|one| one.master).collect();
        self.speeds.refresh(&mut facts);
        Ok(facts.into_iter().map(|one| finish(one, &masters, &mut addresses)).collect())
    }

    /// Which XDP program each interface has, by index of the interface and number of the program.
    pub fn xdp_programs(&mut self) -> Result<HashMap<u32, u32>, LinkError> {
        let mut programs = HashMap::new();
        self.dumps.run("links", || RouteNetlinkMessage::GetLink(LinkMessage::default()), &mut |entry| {
            match entry {
                netlink::Entry::Restart => programs.clear(),
                netlink::Entry::Message(payload) => programs.extend(message::xdp_program(payload)?),
            }
            Ok(())
        })?;
        Ok(programs)
    }

    /// Waits, at most `timeout`, for a link or an address to appear, change or go; whether one did. What is pending is
    /// consumed. A signal ends the wait early with `false`.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, LinkError> {
        self.events.wait(timeout)
    }
}

impl AsFd for Links {
    /// Readable when [`Links::wait`] would return at once, for callers that wait for several things.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

fn finish(facts: LinkFacts, masters: &HashSet<u32>, addresses: &mut HashMap<u32, Vec<IpAddr>>) -> Interface {
    let rank = layer::rank(&facts, masters.contains(&facts.interface.index));
    let mut interface = facts.interface;
    interface.rank = rank;
    interface.addresses = addresses.remove(&interface.index).unwrap_or_default();
    interface
}
