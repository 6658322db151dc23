//! Files a thread can reach, by Landlock (5.13): a right that is handled holds only beneath the paths that name it.
//!
//! Mounting is refused to a thread that is confined so, whatever is named, and so is a look at processes outside of its
//! domain (`/proc/PID/exe`, `/proc/PID/fd`): see landlock(7). TCP is not handled: the agent's own listener and whatever
//! `nft` resolves go on. Invariant: a path that is not there grants nothing.

use std::path::PathBuf;

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    path_beneath_rules,
};

use super::Gap;

/// Rights that are named here: those of Linux 6.10 (ABI 5). Kernels with fewer are told by name.
const NEWEST: ABI = ABI::V5;

/// What can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Files {
    /// Files and directories with all beneath them that can be read, written, made, renamed and removed.
    pub write: Vec<PathBuf>,
    /// Those that can be read only; `None`: everything that owner and mode let read.
    pub read: Option<Vec<PathBuf>>,
    /// Whether programs can be started, where owner and mode let.
    pub start: bool,
}

impl Files {
    fn handled(&self) -> BitFlags<AccessFs> {
        let mut handled = AccessFs::from_write(NEWEST);
        if self.read.is_some() {
            handled |= AccessFs::ReadFile | AccessFs::ReadDir;
        }
        if !self.start {
            handled |= AccessFs::Execute;
        }
        handled
    }

    fn apply(&self) -> Result<(), RulesetError> {
        let reading = AccessFs::ReadFile | AccessFs::ReadDir;
        let handled = self.handled();
        let written = (AccessFs::from_write(NEWEST) | reading) & handled & !BitFlags::from(AccessFs::IoctlDev);
        let mut rules =
            Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(handled)?.create()?;
        rules = rules.add_rules(path_beneath_rules(&self.write, written))?;
        if let Some(read) = &self.read {
            rules = rules.add_rules(path_beneath_rules(read, reading))?;
        }
        rules.restrict_self().map(drop)
    }

    /// Confines the calling thread.
    pub(super) fn confine(&self) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = lacks(abi()).into_iter().collect();
        if let Err(error) = self.apply() {
            gaps.push(Gap { name: "landlock", why: format!("the kernel refuses it: {error}") });
        }
        gaps
    }
}

/// The version of Landlock that this kernel has, or why it has none.
pub(super) fn abi() -> Result<u32, std::io::Error> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag and no attributes the call reads no memory and answers with a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION) };
    u32::try_from(version).map_err(|_| std::io::Error::last_os_error())
}

/// What a version leaves open.
fn lacks(abi: Result<u32, std::io::Error>) -> Option<Gap> {
    let why = match abi {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            "Landlock is switched off on this kernel: add `landlock` to `lsm=` on its command line".to_owned()
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            "this kernel has no Landlock (it came with 5.13): files are left to their owners and modes".to_owned()
        }
        Err(error) => format!("Landlock cannot be asked for: {error}"),
        Ok(version) if version < 3 => {
            format!("version {version} of Landlock does not keep files from being cut short (6.2 does)")
        }
        Ok(version) if version < 5 => {
            format!("version {version} of Landlock does not keep devices from being controlled (6.10 does)")
        }
        Ok(_) => return None,
    };
    Some(Gap { name: "landlock", why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use landlock::Access as _;

    #[test]
    fn each_version_tells_what_it_leaves_open() {
        let told = |abi: Result<u32, i32>| lacks(abi.map_err(std::io::Error::from_raw_os_error)).map(|gap| gap.why);
        assert!(told(Err(libc::ENOSYS)).unwrap().contains("5.13"));
        assert!(told(Err(libc::EOPNOTSUPP)).unwrap().contains("lsm="));
        assert!(told(Ok(2)).unwrap().contains("cut short"));
        assert!(told(Ok(4)).unwrap().contains("devices"));
        assert_eq!(told(Ok(5)), None);
    }

    #[test]
    fn what_is_not_restricted_is_not_handled() {
        let free = Files { start: true, ..Files::default() };
        assert!(!free.handled().intersects(AccessFs::from_read(NEWEST)));
        let narrow = Files { read: Some(Vec::new()), ..Files::default() };
        assert_eq!(narrow.handled(), AccessFs::from_all(NEWEST));
    }
}
