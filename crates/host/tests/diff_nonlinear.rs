//! Buffers whose headers lie outside the linear part: the kernel's program fetches them and counts as user space does.
//!
//! A test run cannot make such a buffer, so these are sent over a packet socket with a `virtio_net_hdr`: its `hdr_len`
//! tells the kernel how much to keep linear (net/packet/af_packet.c, `packet_alloc_skb`). Invariant: every frame is
//! larger than a page, below which the kernel keeps all of it linear.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod diff_twins;

use std::collections::BTreeMap;
use std::io::Error;
use std::os::fd::{AsRawFd, OwnedFd};

use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, TcAttachType};
use diff_twins::{Kernel, hash_seed, soft_copies};
use hivewall_datapath::{Direction, FlowKey, FlowSet, Frame, FrameBytes, Link, PEEK_BYTES_MAX};
use hivewall_soft::SoftDatapath;
use hivewall_testkit::netns::Lab;
use hivewall_testkit::packet::{Packet, frame};
use hivewall_testkit::require_root;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const INTERFACE: &str = "eth0";
const PAYLOAD: usize = 5000;
/// `struct virtio_net_hdr`: flags, gso_type, then hdr_len, gso_size, csum_start, csum_offset in host order.
const VNET_HEADER: usize = 10;

fn packet_socket() -> OwnedFd {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let on: libc::c_int = 1;
    // SAFETY: an open socket, and an option value that lives through the call.
    let status = unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_VNET_HDR, value, size_of_val(&on) as u32)
    };
    assert_eq!(status, 0, "{}", Error::last_os_error());
    socket
}

/// Sends one frame of which the kernel keeps `linear` bytes in the linear part.
fn send(socket: &OwnedFd, ifindex: u32, frame: &[u8], linear: usize) {
    let mut message = vec![0; VNET_HEADER];
    message[2..4].copy_from_slice(&(linear as u16).to_ne_bytes());
    message.extend_from_slice(frame);
    // SAFETY: an address of zeros is a valid one; then an open socket and buffers that live through the call.
    let sent = unsafe {
        let mut to: libc::sockaddr_ll = std::mem::zeroed();
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_ifindex = i32::try_from(ifindex).unwrap();
        let (bytes, address) = (message.as_ptr().cast(), (&raw const to).cast());
        libc::sendto(socket.as_raw_fd(), bytes, message.len(), 0, address, size_of_val(&to) as u32)
    };
    assert_eq!(sent, message.len().cast_signed(), "{linear}: {}", Error::last_os_error());
}

/// Each frame as often as there are places for the linear part to end; ports tell the sendings apart.
fn frames() -> Vec<(usize, Vec<u8>)> {
    let kinds: [fn(u16) -> Packet; 5] = [
        |port| frame().ipv4("10.0.0.1", "10.0.0.2").tcp(port, 80),
        |port| frame().vlan(7).ipv6("fd00::1", "fd00::2").hop_by_hop().routing().udp(port, 53),
        |port| frame().ipv4("10.0.0.1", "10.0.0.2").vxlan(1).ethernet().ipv6("fd00::1", "fd00::2").tcp(port, 80),
        |port| frame().ipv6("fd00::1", "fd00::2").gre().gre_key(1).ipv4("10.0.0.1", "10.0.0.2").udp(port, 53),
        |port| {
            frame()
                .ipv6("fd00::1", "fd00::2")
                .extension(60, &[0; 406])
                .geneve(1)
                .ipv4("10.0.0.1", "10.0.0.2")
                .udp(port, 53)
        },
    ];
    let mut frames = Vec::new();
    for (kind, linear) in kinds.iter().flat_map(|kind| (14..180).step_by(4).map(move |linear| (kind, linear))) {
        frames.push((linear, kind(linear as u16).payload_len(PAYLOAD).build()));
    }
    frames
}

type Counted = BTreeMap<String, [u32; 4]>;

/// Counters by flow; the clock is left out, which is the kernel's own here.
fn flows(sets: &[FlowSet]) -> Counted {
    let name = |key: &FlowKey| format!("{key:?}");
    let lines = sets.iter().flat_map(|set| &set.lines).filter(|line| !line.is_free());
    lines.map(|line| (name(&line.key), [line.packets(), line.ip_bytes, line.link_bytes, line.flags().into()])).collect()
}

#[test]
fn headers_outside_the_linear_part_are_fetched_and_counted_once() {
    require_root!();
    let lab = Lab::new("nonlinear").unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, INTERFACE, &b, INTERFACE).mtu(9000).up().unwrap();
    a.enter(|| {
        // Loading pins this thread, and with it the egress hook of what it sends.
        let mut kernel = Kernel::load(8192, 64, hash_seed(31));
        let program = kernel.loaded.classifier("observe").unwrap();
        program
            .attach_with_options(INTERFACE, TcAttachType::Egress, TcAttachOptions::TcxOrder(LinkOrder::default()))
            .unwrap();
        let (socket, ifindex) = (packet_socket(), if_nametoindex(INTERFACE).unwrap());
        let mut soft = SoftDatapath::new(8192, hash_seed(31));
        soft.watch(true);
        for (linear, bytes) in frames() {
            send(&socket, ifindex, &bytes, linear);
            let facts = Frame {
                link: Link::Ethernet,
                len: bytes.len() as u32,
                stripped: 0,
                segments: 0,
                segment_size: 0,
                vlan: None,
                ifindex,
                direction: Direction::Ingress,
            };
            soft.observe(&FrameBytes(&bytes), &facts, 1).unwrap();
        }
        assert_eq!(flows(&kernel.sets()), flows(soft.sets()));
        assert_eq!(kernel.tallies(), [], "nothing was refused, inside or outside");
        let copies = soft_copies(&mut soft);
        assert!(copies.len() > 100 && copies.iter().all(|(_, payload)| payload.len() == PEEK_BYTES_MAX));
        assert_eq!(kernel.copies(), copies, "payload is copied wherever it lies");
    })
    .unwrap();
}
