//! The packet path: from the bytes of a frame to a counted flow.
//!
//! Everything here runs twice: in the kernel, inside the programs of `datapath-bpf`, and in user space over
//! capture files and AF_PACKET. It therefore allocates nothing, calls nothing, and reads frames only through
//! [`Bytes`], whose bounds checks the kernel's verifier can follow.
//!
//! It does not know interfaces' names, wall-clock time, processes or policies; it counts, and hands over
//! [`Record`]s. Invariant: the records handed over, plus the lines resident, plus the counted losses, equal what
//! was observed, packet for packet and byte for byte.
#![no_std]
#![forbid(unsafe_code)]

mod bytes;
pub mod cache;
pub mod front;
pub mod guard;
mod hash;
mod key;
pub mod parse;
mod peek;
pub mod policy;
mod reason;
mod record;
mod shard;
pub mod socket;
mod tunnel;
mod watch;

pub use bytes::{Bytes, FrameBytes};
pub use hash::{HashSeed, Seed, flow_hash};
pub use key::{Direction, FlowKey, FragmentId, IFINDEX_MAX, Tunnel, proto};
pub use parse::{Frame, HEADERS_MAX, Link, Packet};
pub use peek::{PEEK_BYTES_MAX, PeekHead, STRAY_BYTES_MAX};
pub use reason::Reason;
pub use record::{
    ABI_VERSION, Cause, FlowLine, FlowSet, OPENED, PACKETS_MASK, PEEK_WINDOW_NS, PeekControl, RING_SLOTS, Record,
    RingControl, SweepControl, Tally, TallyKey, WAYS,
};
pub use shard::{Fragments, Ring, Sets, Shard, Tallies};
pub use watch::{OPENING_BYTES, Opening, Sight, Watch};
