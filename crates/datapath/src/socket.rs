//! What the kernel tells of sockets: the memory that its programs and user space share, and the little logic in them.
//!
//! Not here: reading kernel structures, and what a process or a container is. Change a layout, change
//! [`SOCKET_ABI_VERSION`]. Invariant: a note that finds the ring full is counted under its kind.

/// Number of this layout; compared when the programs are loaded.
pub const SOCKET_ABI_VERSION: u32 = 1;

/// Most bytes of an executable's path that are handed over.
pub const PATH_BYTES_MAX: usize = 256;

/// Facts of one socket that are remembered as told.
pub const TOLD_MAX: usize = 8;

/// Notes of use that one socket may cause in a second; what is beyond is counted ([`STAT_WITHHELD`]). A resolver that asks
/// many servers from one socket stays below, a server that answers a flood of strangers from one does not fill the ring.
pub const TELLS_PER_SECOND_MAX: u32 = 256;

/// Kinds of [`SocketNote`] and [`ExecNote`]; also the counter of those lost. A note opens with its kind.
pub mod note {
    /// A TCP socket changed its state.
    pub const STATE: u32 = 1;
    /// A process uses a socket to talk to a peer.
    pub const USED: u32 = 2;
    /// A socket waits for peers.
    pub const BOUND: u32 = 3;
    /// A UDP socket is closed.
    pub const RELEASED: u32 = 4;
    /// A process became another program.
    pub const EXECUTED: u32 = 5;
}

/// Counter of notes of use that were withheld because one socket caused too many.
pub const STAT_WITHHELD: u32 = 6;
/// Counter of dropped packets that found the table of drops full.
pub const STAT_DROPS_UNTABLED: u32 = 7;
/// Counters, by [`note`] kind and the two above.
pub const STATS: u32 = 8;

/// The process behind a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SocketOwner {
    /// Thread group id in the first PID namespace; 0 when nobody is known.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Id of its cgroup (version 2).
    pub cgroup_id: u64,
    /// When it started, nanoseconds since boot; 0 where the kernel does not let it be read.
    pub started_ns: u64,
    /// Command name, padded with zeros.
    pub comm: [u8; 16],
}

const _: () = assert!(size_of::<SocketOwner>() == 40);

/// Both ends of a socket. Addresses are 16 bytes in network order, IPv4 in its mapped form (`::ffff:a.b.c.d`); ports are in
/// host order; all zero where it is not known.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SocketEndsRaw {
    /// This host's address, as four words in memory order.
    pub local: [u32; 4],
    /// The peer's address.
    pub remote: [u32; 4],
    /// This host's port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

const _: () = assert!(size_of::<SocketEndsRaw>() == 36);

/// How a connection fares, in the kernel's units.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HealthRaw {
    /// Smoothed round-trip time in eighths of a microsecond; 0 without a sample.
    pub srtt_us8: u32,
    /// Mean deviation in quarters of a microsecond.
    pub mdev_us4: u32,
    /// Least round-trip time of late in microseconds; all ones without a sample.
    pub min_rtt_us: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Segments received out of order; all ones where the kernel does not count them.
    pub out_of_order: u32,
}

const _: () = assert!(size_of::<HealthRaw>() == 20);

/// Something that happened to a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SocketNote {
    /// One of [`note`].
    pub kind: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// State before.
    pub from: u8,
    /// State after.
    pub to: u8,
    /// 1 when `health` is filled.
    pub has_health: u8,
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// The process.
    pub owner: SocketOwner,
    /// The ends.
    pub ends: SocketEndsRaw,
    /// How the connection fares.
    pub health: HealthRaw,
}

const _: () = assert!(size_of::<SocketNote>() == 112);

/// A process became another program.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecNote {
    /// [`note::EXECUTED`].
    pub kind: u32,
    /// Thread group id in the first PID namespace.
    pub pid: u32,
    /// When it started, nanoseconds since boot.
    pub started_ns: u64,
    /// Path of the executable as it was given; ends with a zero, what follows that is undefined.
    pub path: [u8; PATH_BYTES_MAX],
}

const _: () = assert!(size_of::<ExecNote>() == 16 + PATH_BYTES_MAX);

/// Which drops are counted together.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DropKey {
    /// Number of the reason on this kernel.
    pub reason: u32,
    /// Interface, 0 when there was none in the agent's namespace.
    pub ifindex: u32,
    /// IP protocol number, 0 when the packet was not IP.
    pub protocol: u32,
}

const _: () = assert!(size_of::<DropKey>() == 12);

/// Drops on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DropCount {
    /// Packets.
    pub packets: u64,
    /// CLOCK_MONOTONIC of the latest one whose ends could be read, coarse; 0 when there was none.
    pub latest_ns: u64,
    /// Its source (`local`) and destination (`remote`).
    pub latest: SocketEndsRaw,
    /// Named so that no byte is left unwritten.
    pub(crate) _pad: u32,
}

const _: () = assert!(size_of::<DropCount>() == 56);

/// A field of a kernel structure whose place is looked up at load, since it differs from kernel to kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// `sock_common.skc_family`
    Family,
    /// `sock_common.skc_num`
    LocalPort,
    /// `sock_common.skc_dport`
    RemotePort,
    /// `sock_common.skc_rcv_saddr`
    LocalIpv4,
    /// `sock_common.skc_daddr`
    RemoteIpv4,
    /// `sock_common.skc_v6_rcv_saddr`
    LocalIpv6,
    /// `sock_common.skc_v6_daddr`
    RemoteIpv6,
    /// `sock_common.skc_net`
    SockNet,
    /// `sock.sk_protocol`
    Protocol,
    /// `inet_sock.inet_sport`
    BoundPort,
    /// `tcp_sock.srtt_us`
    SmoothedRtt,
    /// `tcp_sock.mdev_us`
    RttDeviation,
    /// `tcp_sock.rtt_min`
    MinRtt,
    /// `tcp_sock.total_retrans`
    Retransmits,
    /// `tcp_sock.rcv_ooopack`
    OutOfOrder,
    /// `task_struct.group_leader`
    GroupLeader,
    /// `task_struct.start_boottime`
    StartBoottime,
    /// `linux_binprm.interp`
    Interpreter,
    /// `sk_buff.dev`
    BufferDevice,
    /// `sk_buff.sk`
    BufferSock,
    /// `sk_buff.skb_iif`
    BufferInterface,
    /// `sk_buff.head`
    BufferHead,
    /// `sk_buff.network_header`
    NetworkHeader,
    /// `sk_buff.protocol`
    BufferProtocol,
    /// `net_device.ifindex`
    DeviceIndex,
    /// `net_device.nd_net`
    DeviceNet,
    /// `net.ns`
    NetNs,
    /// `ns_common.inum`
    NsNumber,
}

impl Field {
    /// All of them, in order.
    pub const ALL: [(Field, &'static str, &'static str); Field::COUNT] = [
        (Field::Family, "sock_common", "skc_family"),
        (Field::LocalPort, "sock_common", "skc_num"),
        (Field::RemotePort, "sock_common", "skc_dport"),
        (Field::LocalIpv4, "sock_common", "skc_rcv_saddr"),
        (Field::RemoteIpv4, "sock_common", "skc_daddr"),
        (Field::LocalIpv6, "sock_common", "skc_v6_rcv_saddr"),
        (Field::RemoteIpv6, "sock_common", "skc_v6_daddr"),
        (Field::SockNet, "sock_common", "skc_net"),
        (Field::Protocol, "sock", "sk_protocol"),
        (Field::BoundPort, "inet_sock", "inet_sport"),
        (Field::SmoothedRtt, "tcp_sock", "srtt_us"),
        (Field::RttDeviation, "tcp_sock", "mdev_us"),
        (Field::MinRtt, "tcp_sock", "rtt_min"),
        (Field::Retransmits, "tcp_sock", "total_retrans"),
        (Field::OutOfOrder, "tcp_sock", "rcv_ooopack"),
        (Field::GroupLeader, "task_struct", "group_leader"),
        (Field::StartBoottime, "task_struct", "start_boottime"),
        (Field::Interpreter, "linux_binprm", "interp"),
        (Field::BufferDevice, "sk_buff", "dev"),
        (Field::BufferSock, "sk_buff", "sk"),
        (Field::BufferInterface, "sk_buff", "skb_iif"),
        (Field::BufferHead, "sk_buff", "head"),
        (Field::NetworkHeader, "sk_buff", "network_header"),
        (Field::BufferProtocol, "sk_buff", "protocol"),
        (Field::DeviceIndex, "net_device", "ifindex"),
        (Field::DeviceNet, "net_device", "nd_net"),
        (Field::NetNs, "net", "ns"),
        (Field::NsNumber, "ns_common", "inum"),
    ];

    /// How many there are.
    pub const COUNT: usize = Field::NsNumber as usize + 1;

    /// The place of a field that the kernel does not have.
    pub const ABSENT: u32 = u32::MAX;
}

/// What is remembered with a socket, in the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Known {
    /// Who made it, connected it, or was last seen to use it.
    pub owner: SocketOwner,
    /// Digests of what was told already.
    pub told: [u32; TOLD_MAX],
    /// Where the next one goes.
    pub next: u32,
    /// The second in which `tells` counts.
    pub second: u32,
    /// Notes of use in that second.
    pub tells: u32,
    /// 1 once somebody was seen to use this very socket, and did not merely inherit it from a listener.
    pub used: u32,
    /// The user and peer of the latest use, to pass quickly over the same again.
    pub latest: u32,
    /// IP protocol number, 0 until somebody was seen to send or receive.
    pub protocol: u32,
    /// Address family, 0 until then.
    pub family: u32,
    /// Named so that no byte is left unwritten.
    pub(crate) _pad: u32,
}

const _: () = assert!(size_of::<Known>() == 104);

/// Whether something is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It was told before.
    Already,
    /// Now.
    Now,
    /// It is new, but this socket has told too much in this second.
    Withheld,
}

impl Known {
    /// Decides about a fact with this digest, and remembers it when it is to be told.
    #[inline(always)]
    pub fn tell(&mut self, digest: u32, second: u32) -> Telling {
        let mut told = false;
        for old in &self.told {
            told |= *old == digest;
        }
        if told {
            return Telling::Already;
        }
        if self.second != second {
            self.second = second;
            self.tells = 0;
        }
        if self.tells >= TELLS_PER_SECOND_MAX {
            return Telling::Withheld;
        }
        self.tells += 1;
        if let Some(place) = self.told.get_mut(self.next as usize % TOLD_MAX) {
            *place = digest;
        }
        self.next = self.next.wrapping_add(1);
        Telling::Now
    }
}

/// Digest of a fact: who, and with which ends. Never 0, which marks a free place.
#[inline(always)]
pub fn told_digest(pid: u32, ends: &SocketEndsRaw) -> u32 {
    let ports = u32::from(ends.local_port) << 16 | u32::from(ends.remote_port);
    let mut digest = mix(mix(0x811c_9dc5, pid), ports);
    for word in &ends.remote {
        digest = mix(digest, *word);
    }
    digest | 1
}

#[inline(always)]
fn mix(digest: u32, word: u32) -> u32 {
    let mixed = (digest ^ word).wrapping_mul(0x9e37_79b1);
    mixed ^ mixed >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(remote_port: u16) -> SocketEndsRaw {
        SocketEndsRaw {
            remote: [0, 0, 0xffff_0000, 0x0100_000a],
            local_port: 40_000,
            remote_port,
            ..Default::default()
        }
    }

    #[test]
    fn the_fields_stand_in_the_order_of_their_numbers() {
        for (index, (field, _, _)) in Field::ALL.iter().enumerate() {
            assert_eq!(*field as usize, index);
        }
    }

    #[test]
    fn a_steady_sender_is_told_once_and_another_peer_or_process_again() {
        let mut known = Known::default();
        let facts = [(7, 53, Telling::Now), (7, 53, Telling::Already), (7, 54, Telling::Now), (8, 53, Telling::Now)];
        for (pid, port, want) in facts.into_iter().chain([(7, 53, Telling::Already)]) {
            assert_eq!(known.tell(told_digest(pid, &ends(port)), 1), want, "{pid} to {port}");
        }
    }

    #[test]
    fn a_socket_with_very_many_peers_is_held_back_until_the_next_second() {
        let mut known = Known::default();
        for port in 0..TELLS_PER_SECOND_MAX as u16 {
            assert_eq!(known.tell(told_digest(7, &ends(port)), 1), Telling::Now);
        }
        let one_more = told_digest(7, &ends(60_000));
        assert_eq!(known.tell(one_more, 1), Telling::Withheld);
        assert_eq!(known.tell(one_more, 2), Telling::Now);
    }

    #[test]
    fn the_ninth_fact_takes_the_place_of_the_first() {
        let mut known = Known::default();
        let told: [u32; 9] = core::array::from_fn(|port| told_digest(7, &ends(port as u16)));
        for digest in told {
            assert_eq!(known.tell(digest, 1), Telling::Now);
        }
        assert_eq!(known.tell(told[8], 1), Telling::Already);
        assert_eq!(known.tell(told[1], 1), Telling::Already);
        assert_eq!(known.tell(told[0], 1), Telling::Now);
    }
}
