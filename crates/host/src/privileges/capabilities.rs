//! Capabilities of the calling thread, and the bounds of what a program that it starts can gain.
//!
//! Invariant: nothing is ever raised. Before Linux 5.8 CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON; it is kept then,
//! and told.

use caps::errors::CapsError;
use caps::{CapSet, CapsHashSet};

use super::Gap;

/// What the agent has a use for at all (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Maps and programs of the kernel.
    Bpf,
    /// Attaching to interfaces, packet filters.
    NetAdmin,
    /// Packet sockets; iptables speaks through a raw socket.
    NetRaw,
    /// Programs that follow pointers of the kernel.
    Perfmon,
    /// Executables and descriptors of other users' processes.
    SysPtrace,
    /// Files and directories that others may not read; handles of cgroups.
    DacReadSearch,
    /// Files that belong to others.
    DacOverride,
    /// Statistics of programs.
    SysAdmin,
}

impl Capability {
    /// As capabilities(7) has it.
    pub fn name(self) -> String {
        self.of_kernel().to_string()
    }

    fn of_kernel(self) -> caps::Capability {
        match self {
            Self::Bpf => caps::Capability::CAP_BPF,
            Self::NetAdmin => caps::Capability::CAP_NET_ADMIN,
            Self::NetRaw => caps::Capability::CAP_NET_RAW,
            Self::Perfmon => caps::Capability::CAP_PERFMON,
            Self::SysPtrace => caps::Capability::CAP_SYS_PTRACE,
            Self::DacReadSearch => caps::Capability::CAP_DAC_READ_SEARCH,
            Self::DacOverride => caps::Capability::CAP_DAC_OVERRIDE,
            Self::SysAdmin => caps::Capability::CAP_SYS_ADMIN,
        }
    }

    /// Whether the calling thread may use it now.
    pub fn is_effective(self) -> bool {
        caps::has_cap(None, CapSet::Effective, self.of_kernel()).unwrap_or(false)
    }
}

/// What is kept, and whether that is more than was wanted because this kernel knows no less.
fn kept(wanted: &[Capability], known: &CapsHashSet) -> (CapsHashSet, bool) {
    let mut kept: CapsHashSet = wanted.iter().map(|capability| capability.of_kernel()).collect();
    let lacks = kept.iter().any(|capability| !known.contains(capability));
    if lacks {
        kept.retain(|capability| known.contains(capability));
        kept.insert(caps::Capability::CAP_SYS_ADMIN);
    }
    (kept, lacks)
}

/// Keeps these of what the calling thread has, and lets nothing that it starts have more.
pub(super) fn keep(wanted: &[Capability]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let (kept, is_wider) = kept(wanted, &caps::runtime::thread_all_supported());
    if is_wider {
        let why = "this kernel has no CAP_BPF and CAP_PERFMON (they came with 5.8): CAP_SYS_ADMIN is kept for them";
        gaps.push(Gap { name: "capabilities", why: why.to_owned() });
    }
    // The bounding set first: lowering it takes a capability that goes next.
    if let Err(why) = bound(&kept) {
        gaps.push(Gap { name: "bounding", why });
    }
    if let Err(error) = restrict(&kept) {
        gaps.push(Gap { name: "capabilities", why: format!("they could not be given up: {error}") });
    }
    gaps
}

fn bound(kept: &CapsHashSet) -> Result<(), String> {
    let refused = |error: CapsError| format!("the bounding set could not be lowered: {error}");
    let mut above: Vec<caps::Capability> = caps::read(None, CapSet::Bounding).map_err(refused)?.into_iter().collect();
    above.retain(|capability| !kept.contains(capability));
    if above.is_empty() {
        return Ok(());
    }
    if !caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SETPCAP).map_err(refused)? {
        return Err(
            "lowering the bounding set takes CAP_SETPCAP, which this process was not given; no_new_privs keeps \
                    programs from gaining anything all the same"
                .to_owned(),
        );
    }
    above.into_iter().try_for_each(|capability| caps::drop(None, CapSet::Bounding, capability).map_err(refused))
}

/// Ambient capabilities go with the inheritable ones.
fn restrict(kept: &CapsHashSet) -> Result<(), CapsError> {
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        let held = caps::read(None, set)?;
        let rest: CapsHashSet = held.intersection(kept).copied().collect();
        if rest.len() < held.len() {
            caps::set(None, set, &rest)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_new_capabilities_keeps_the_old_one_and_says_so() {
        let wanted = [Capability::Bpf, Capability::NetAdmin];
        let mut known = caps::all();
        assert_eq!(
            kept(&wanted, &known),
            ([caps::Capability::CAP_BPF, caps::Capability::CAP_NET_ADMIN].into_iter().collect(), false)
        );
        known.remove(&caps::Capability::CAP_BPF);
        known.remove(&caps::Capability::CAP_PERFMON);
        assert_eq!(
            kept(&wanted, &known),
            ([caps::Capability::CAP_SYS_ADMIN, caps::Capability::CAP_NET_ADMIN].into_iter().collect(), true)
        );
        assert_eq!(kept(&[], &known), (CapsHashSet::new(), false));
    }
}
