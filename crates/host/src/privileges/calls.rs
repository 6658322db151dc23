//! System calls a thread can make, by seccomp: what is refused gets EPERM, and the kernel logs it.
//!
//! Parts that start other people's programs, or that run on an asynchronous runtime, have a list of what is refused, for
//! what they need differs from one library version to the next. The reader of captured bytes needs memory and locks, and
//! has a list of what is permitted. Invariant: no list has a way around itself: other architectures end the process, x32
//! numbers are refused, and clone3, whose flags a filter cannot see, is told to be missing, so that clone is used.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::Gap;

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Everything.
    Any,
    /// All but what changes the machine or looks into other processes.
    Ordinary,
    /// Of those, none that starts a program.
    NoPrograms,
    /// The same, but cgroups can be found by their numbers, and nothing is loaded into the kernel.
    Lookups,
    /// Of ordinary calls, none that starts a program or speaks to the kernel's networking or BPF.
    Working,
    /// Memory, locks, clocks and messages.
    Reading,
}

/// Refused to every part (the names are those of syscalls(2)).
const REFUSED: &[libc::c_long] = &[
    // Into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // Another kernel, or more of it.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Another view of the file system, or around the one there is.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Other namespaces.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Keys, accounts, clocks, names, the kernel's messages.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_personality,
    // Calls that pass by a filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Ports of the machine.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

const PROGRAMS: &[libc::c_long] = &[libc::SYS_execve, libc::SYS_execveat];

/// Namespaces of its own give a program every capability in them (clone(2)).
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Families of sockets by which the kernel's networking is seen and changed.
const KERNEL_FAMILIES: [libc::c_int; 2] = [libc::AF_NETLINK, libc::AF_PACKET];

/// Permitted to the reader: what threads of the standard library need, to the end of a panic.
const READING: &[libc::c_long] = &[
    libc::SYS_futex,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// A place in the numbers of `x86_64` from which on those of x32 lie (arch/x86/entry/syscalls).
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

impl Calls {
    /// Confines the calling thread.
    pub(super) fn confine(self) -> Option<Gap> {
        let gap = |why| Some(Gap { name: "seccomp", why });
        if self == Self::Any {
            return None;
        }
        match self.program() {
            Err(error) => gap(format!("no filter for this machine: {error}")),
            Ok(program) => match install(&program) {
                Ok(()) => None,
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    gap("this kernel was built without CONFIG_SECCOMP_FILTER".to_owned())
                }
                Err(error) => gap(format!("the kernel refuses the filter: {error}")),
            },
        }
    }

    fn rules(self) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
        let mut rules = BTreeMap::new();
        if self == Self::Reading {
            rules.extend(READING.iter().map(|call| (*call, Vec::new())));
            return Ok(rules);
        }
        rules.extend(REFUSED.iter().map(|call| (*call, Vec::new())));
        let flags = NAMESPACES.iter().map(|flag| {
            let flag = *flag as u64;
            SeccompRule::new(vec![SeccompCondition::new(
                0,
                SeccompCmpArgLen::Qword,
                SeccompCmpOp::MaskedEq(flag),
                flag,
            )?])
        });
        rules.insert(libc::SYS_clone, flags.collect::<Result<_, _>>()?);
        if self != Self::Ordinary {
            rules.extend(PROGRAMS.iter().map(|call| (*call, Vec::new())));
        }
        if self == Self::Lookups {
            rules.remove(&libc::SYS_open_by_handle_at);
        }
        if matches!(self, Self::Lookups | Self::Working) {
            rules.insert(libc::SYS_bpf, Vec::new());
            let families = KERNEL_FAMILIES.iter().map(|family| {
                let family = *family as u64;
                SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family)?])
            });
            rules.insert(libc::SYS_socket, families.collect::<Result<_, _>>()?);
        }
        Ok(rules)
    }

    fn program(self) -> Result<Vec<libc::sock_filter>, seccompiler::BackendError> {
        let refuse = SeccompAction::Errno(libc::EPERM as u32);
        let (otherwise, listed) = match self {
            Self::Reading => (refuse, SeccompAction::Allow),
            _ => (SeccompAction::Allow, refuse),
        };
        let filter = SeccompFilter::new(self.rules()?, otherwise, listed, std::env::consts::ARCH.try_into()?)?;
        let rest: BpfProgram = filter.try_into()?;
        let rest =
            rest.into_iter().map(|step| libc::sock_filter { code: step.code, jt: step.jt, jf: step.jf, k: step.k });
        Ok(before().into_iter().chain(rest).collect())
    }
}

/// What a list of numbers cannot say; steps of a classic BPF program over `struct seccomp_data`.
fn before() -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let answer = |errno: libc::c_int| step(ANSWER, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32);
    let mut steps = vec![step(LOAD, 0, 0, 0)];
    #[cfg(target_arch = "x86_64")]
    {
        const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
        // Minus one is what a tracer leaves of a call that it skips.
        steps.extend([step(EQUAL, 2, 0, u32::MAX), step(AT_LEAST, 0, 1, X32), answer(libc::EPERM)]);
    }
    steps.extend([step(EQUAL, 0, 1, libc::SYS_clone3 as u32), answer(libc::ENOSYS)]);
    steps
}

/// Installs a filter for the calling thread, whose refusals the kernel logs (4.14).
fn install(steps: &[libc::sock_filter]) -> std::io::Result<()> {
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_ptr().cast_mut() };
    // SAFETY: the program's steps outlive the call, which copies them; the kernel checks each of them.
    let status = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_LOG,
            &raw const program,
        )
    };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_a_program_that_the_kernel_takes() {
        for calls in [Calls::Ordinary, Calls::NoPrograms, Calls::Lookups, Calls::Working, Calls::Reading] {
            let outcome = std::thread::spawn(move || {
                nix::sys::prctl::set_no_new_privs().unwrap();
                install(&calls.program().unwrap()).map_err(|error| error.to_string())
            });
            assert_eq!(outcome.join().unwrap(), Ok(()), "{calls:?}");
        }
    }

    #[test]
    fn only_lookups_open_by_handle_and_only_the_ordinary_start_programs() {
        let has = |calls: Calls, call| calls.rules().unwrap().contains_key(&call);
        assert!(has(Calls::Ordinary, libc::SYS_open_by_handle_at) && !has(Calls::Lookups, libc::SYS_open_by_handle_at));
        assert!(!has(Calls::Ordinary, libc::SYS_execve) && has(Calls::NoPrograms, libc::SYS_execve));
        assert!(!has(Calls::NoPrograms, libc::SYS_bpf) && has(Calls::Working, libc::SYS_bpf));
        assert!(has(Calls::Working, libc::SYS_ptrace) && has(Calls::Lookups, libc::SYS_ptrace));
        // This list is of what is permitted.
        assert!(!has(Calls::Reading, libc::SYS_openat) && has(Calls::Reading, libc::SYS_futex));
    }
}
