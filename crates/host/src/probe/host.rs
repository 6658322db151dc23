//! The probes that read what the kernel says about itself and this process, and the one that speaks netlink.
//!
//! Invariant: a file that cannot be read is an answer with its reason, never taken for a "no" or a "yes".

use std::fs;
use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::{Answer, refused};
use crate::process::CgroupMount;

/// Where bpffs is mounted by convention; aya and bpftool look there too.
const BPFFS: &str = "/sys/fs/bpf";
/// Maps of a default agent, generously: what the lock limit has to allow before 5.11.
const MAPS_BYTES: u64 = 256 << 20;

/// Major and minor number of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u32, pub u32);

impl KernelVersion {
    /// The first two numbers of a release such as `6.12.9-amd64`; `0.0` where there are none.
    pub fn parse(release: &str) -> Self {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        Self(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

/// The running kernel's version; `0.0` where it does not say.
pub fn kernel_version() -> KernelVersion {
    release().map_or(KernelVersion(0, 0), |release| KernelVersion::parse(&release))
}

fn release() -> Option<String> {
    Some(nix::sys::utsname::uname().ok()?.release().to_string_lossy().into_owned())
}

pub(super) fn kernel() -> Answer {
    let release = release().ok_or("the kernel does not tell its version")?;
    match KernelVersion::parse(&release) {
        version if version < KernelVersion(5, 8) => {
            Err(format!("{release} is older than 5.8, the oldest that is supported; capture may still work"))
        }
        version if version < KernelVersion(5, 15) => Ok(format!("{release}; 5.15 or newer is recommended")),
        _ => Ok(release),
    }
}

/// Bits of linux/capability.h.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
const SYS_ADMIN: u32 = 21;
const NET_ADMIN: u32 = 12;
const SYS_RESOURCE: u32 = 24;

/// The effective capabilities in the text of /proc/thread-self/status.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Names of what is missing for eBPF. CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON.
fn missing(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    NEEDED
        .iter()
        .filter(|(bit, _)| !has(*bit) && (*bit == NET_ADMIN || !has(SYS_ADMIN)))
        .map(|(_, name)| *name)
        .collect()
}

fn own_capabilities() -> Result<u64, String> {
    let status = fs::read_to_string("/proc/thread-self/status")
        .map_err(|error| refused("read /proc/thread-self/status", &error))?;
    effective(&status).ok_or_else(|| "/proc/thread-self/status has no CapEff line".to_owned())
}

pub(super) fn capabilities() -> Answer {
    let missing = missing(own_capabilities()?);
    if missing.is_empty() {
        return Ok("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON".to_owned());
    }
    let advice = if nix::unistd::geteuid().is_root() {
        "root without them: grant them to the container or service"
    } else {
        "not running as root: use sudo, or `setcap cap_bpf,cap_net_admin,cap_perfmon,cap_net_raw+ep` the binary"
    };
    Err(format!("{} missing; {advice}", missing.join(", ")))
}

pub(super) fn btf() -> Answer {
    use std::io::Read as _;
    let path = super::btf::PATH;
    let failed =
        |error: io::Error| format!("{}; CONFIG_DEBUG_INFO_BTF gives it", refused(&format!("read {path}"), &error));
    let mut magic = [0; 2];
    let mut file = fs::File::open(path).map_err(failed)?;
    file.read_exact(&mut magic).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    if u16::from_ne_bytes(magic) != 0xeb9f {
        return Err(format!("{path} is not BTF"));
    }
    Ok(format!("{} KiB", bytes >> 10))
}

pub(super) fn cgroup2() -> Answer {
    let found = CgroupMount::find().map_err(|error| refused("read the mount table", &error))?;
    let found =
        found.ok_or("no cgroup2 tree is mounted; `mount -t cgroup2 none /sys/fs/cgroup` on hosts without version 1")?;
    Ok(format!("mounted on {}", found.path.display()))
}

pub(super) fn bpffs() -> Answer {
    let found = statfs(BPFFS).map_err(|errno| refused(&format!("look at {BPFFS}"), &errno.into()))?;
    if found.filesystem_type() == BPF_FS_MAGIC {
        return Ok(format!("mounted on {BPFFS}"));
    }
    Err(format!("nothing is mounted on {BPFFS}; `mount -t bpf bpf {BPFFS}`"))
}

pub(super) fn memlock() -> Answer {
    if kernel_version() >= KernelVersion(5, 11) {
        return Ok("not limited: maps are charged to the memory cgroup since 5.11".to_owned());
    }
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|errno| refused("read the limit", &errno.into()))?;
    let may_raise = own_capabilities()? >> SYS_RESOURCE & 1 == 1;
    if hard >= MAPS_BYTES || may_raise {
        return Ok(format!("{soft} bytes now, and may be raised"));
    }
    Err(format!(
        "{hard} bytes may be locked, {MAPS_BYTES} are needed; `ulimit -l unlimited`, or LimitMEMLOCK=infinity in the service"
    ))
}

/// Adds the clsact queueing discipline to an interface of this thread's namespace.
pub(super) fn add_clsact(ifindex: u32) -> Answer {
    let mut message = TcMessage::default();
    message.header.index = ifindex.cast_signed();
    // linux/pkt_sched.h: the handle ffff: is reserved for it, and its parent is TC_H_CLSACT.
    message.header.handle = TcHandle { major: 0xffff, minor: 0 };
    message.header.parent = TcHandle { major: 0xffff, minor: 0xfff1 };
    message.attributes = vec![TcAttribute::Kind("clsact".to_owned())];
    request(RouteNetlinkMessage::NewQueueDiscipline(message))
        .map(|()| "the queueing discipline was added to a loopback".to_owned())
        .map_err(|error| refused("add the clsact queueing discipline", &error))
}

/// Sends one request and waits for its acknowledgement.
fn request(message: RouteNetlinkMessage) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    message.header.sequence_number = 1;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answer = [0; 4096];
    let len = socket.recv(&mut &mut answer[..], 0)?;
    let odd = || io::Error::from(io::ErrorKind::InvalidData);
    let answer = NetlinkBuffer::new_checked(answer.get(..len).ok_or_else(odd)?).map_err(|_| odd())?;
    let code = answer.payload().first_chunk::<4>().map(|word| i32::from_ne_bytes(*word));
    match code {
        Some(0) if i32::from(answer.message_type()) == libc::NLMSG_ERROR => Ok(()),
        Some(code) if code < 0 => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(odd()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(KernelVersion::parse("6.12.9-amd64"), KernelVersion(6, 12));
        assert_eq!(KernelVersion::parse("5.15-rc3"), KernelVersion(5, 15));
        assert_eq!(KernelVersion::parse("odd"), KernelVersion(0, 0));
        assert!(KernelVersion::parse("6.6.1") < KernelVersion::parse("6.12.0"));
        assert!(KernelVersion(5, 15) < KernelVersion(6, 1));
    }

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        assert_eq!(effective("Name:\tx\nCapPrm:\t1\nCapEff:\t000001ffffffffff\nCapBnd:\t2\n"), Some(0x1ff_ffff_ffff));
        assert_eq!(effective("CapEff:\tno\n"), None);
        assert_eq!(effective(""), None);
    }

    #[test]
    fn missing_capabilities_are_named_and_the_old_one_stands_for_the_new() {
        assert_eq!(missing(0), ["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"]);
        assert_eq!(missing(1 << 12 | 1 << 38 | 1 << 39), [""; 0]);
        assert_eq!(missing(1 << 12 | 1 << 21), [""; 0]);
        assert_eq!(missing(1 << 21), ["CAP_NET_ADMIN"]);
        assert_eq!(missing(1 << 12 | 1 << 39), ["CAP_PERFMON"]);
    }
}
