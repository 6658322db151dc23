//! The edges to the machine: kernel programs, AF_PACKET, capture files, netlink, sockets and processes, clocks. The only
//! user-space crate that may be unsafe.
pub mod bans;
pub mod diag;
pub mod ebpf;
pub mod file;
pub mod guard;
pub mod link;
pub mod packet;
pub mod policy;
pub mod privileges;
pub mod probe;
pub mod process;
pub mod rules;
pub mod signal;
pub mod sockets;
pub mod source;
pub mod system;
pub mod terminal;
