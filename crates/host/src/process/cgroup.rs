//! The cgroup (version 2) tree: where it is mounted, and which path has which id.
//!
//! The id that kernel programs see (`bpf_get_current_cgroup_id`) is the inode number of the cgroup's directory, and on
//! cgroup2 also the file handle of it, so that a path is found without walking the tree. Invariant: ids are never given
//! again, so a path once learned stays true to its id, even when the cgroup is gone.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::privileges::Desk;

/// Paths remembered.
const PATHS_MAX: usize = 1 << 14;
/// A mount table is longer only on hosts with tens of thousands of mounts.
const MOUNTS_BYTES_MAX: u64 = 16 << 20;
/// `FILEID_KERNFS` (linux/exportfs.h, 5.11; the same number was taken before): a handle that is an inode number.
const FILEID_KERNFS: libc::c_int = 0xfe;

/// Where the cgroup2 tree is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// Mount point.
    pub path: PathBuf,
}

impl CgroupMount {
    /// Looks for it in this process's mount table.
    pub fn find() -> io::Result<Option<Self>> {
        let mut text = String::new();
        File::open("/proc/self/mountinfo")?.take(MOUNTS_BYTES_MAX).read_to_string(&mut text)?;
        Ok(Self::parse(&text))
    }

    /// proc_pid_mountinfo(5). A mount of the whole tree is better than one of a part; the first of several will do.
    fn parse(text: &str) -> Option<Self> {
        let mounts = text.lines().filter_map(|line| {
            let (front, back) = line.split_once(" - ")?;
            let mut fields = front.split(' ').skip(3);
            let (root, point) = (fields.next()?, fields.next()?);
            (back.split(' ').next() == Some("cgroup2")).then(|| (root == "/", unescape(point)))
        });
        let mounts: Vec<_> = mounts.collect();
        let whole = mounts.iter().find(|(whole, _)| *whole).or(mounts.first());
        whole.map(|(_, point)| Self { path: point.into() })
    }
}

/// The kernel writes blanks and backslashes in paths as three octal digits.
pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\').then(|| after.first_chunk::<3>()).flatten().and_then(|digits| {
            digits
                .iter()
                .try_fold(0_u32, |sum, digit| (b'0'..=b'7').contains(digit).then(|| sum * 8 + u32::from(digit - b'0')))
        });
        let byte = code.and_then(|code| u8::try_from(code).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Paths by id.
pub(super) struct Cgroups {
    mount: Option<(PathBuf, Arc<File>)>,
    paths: HashMap<u64, Box<str>>,
    order: VecDeque<u64>,
}

impl Cgroups {
    pub(super) fn new() -> Self {
        let mount = CgroupMount::find().ok().flatten();
        let mount = mount.and_then(|mount| Some((mount.path.clone(), Arc::new(File::open(mount.path).ok()?))));
        Self { mount, paths: HashMap::new(), order: VecDeque::new() }
    }

    /// The path of a cgroup below the root of the tree; `None` when it is gone and was never asked for before.
    pub(super) fn path(&mut self, id: u64) -> Option<Box<str>> {
        if let Some(path) = self.paths.get(&id) {
            return Some(path.clone());
        }
        let (mount, file) = self.mount.as_ref()?;
        let tree = Arc::clone(file);
        let found = Desk::Processes.run(move || open_by_id(&tree, id)).ok()?;
        let path = fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
        let below: Box<str> = below(mount, &path)?.into();
        self.remember(id, &below);
        Some(below)
    }

    /// The id of the cgroup with this path; 0 when there is none.
    pub(super) fn id(&mut self, path: &str) -> u64 {
        let Some((mount, _)) = &self.mount else { return 0 };
        let id = fs::metadata(mount.join(path.trim_start_matches('/'))).map_or(0, |meta| meta.ino());
        if id != 0 {
            self.remember(id, path);
        }
        id
    }

    fn remember(&mut self, id: u64, path: &str) {
        if self.paths.insert(id, path.into()).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > PATHS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.paths.remove(&oldest);
        }
    }
}

/// The path as `/proc/PID/cgroup` would give it: absolute, `/` for the root. A cgroup that was removed while it was
/// looked for is not one.
fn below(mount: &Path, path: &Path) -> Option<String> {
    let rest = path.strip_prefix(mount).ok()?.to_str()?;
    (!rest.ends_with(" (deleted)")).then(|| format!("/{rest}"))
}

/// Opens the directory with this inode number. Takes CAP_DAC_READ_SEARCH.
fn open_by_id(mount: &File, id: u64) -> io::Result<OwnedFd> {
    /// `struct file_handle` with room for one number.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: libc::c_int,
        id: [u8; 8],
    }
    let mut handle = Handle { bytes: 8, kind: FILEID_KERNFS, id: id.to_ne_bytes() };
    // SAFETY: `handle` is laid out as `struct file_handle` with `handle_bytes` bytes behind it, and lives through the
    // call, which only reads it.
    let fd =
        unsafe { libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut handle).cast(), libc::O_PATH | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made for us and that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The path in the unified hierarchy, in the text of `/proc/PID/cgroup`.
pub(super) fn unified(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_at_either_place_and_the_whole_before_a_part() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(CgroupMount::parse(hybrid).unwrap().path, Path::new("/sys/fs/cgroup/unified"));
        let part_first =
            "1 0 0:38 /a /mnt/a\\040b rw - cgroup2 none rw\n2 0 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(CgroupMount::parse(part_first).unwrap().path, Path::new("/sys/fs/cgroup"));
        let part = part_first.lines().next().unwrap();
        assert_eq!(CgroupMount::parse(part).unwrap().path, Path::new("/mnt/a b"));
        assert_eq!(CgroupMount::parse("31 23 0:28 / /sys/fs/cgroup rw - tmpfs cgroup2 rw\nodd\n"), None);
    }

    #[test]
    fn octal_escapes_are_read_and_stray_backslashes_kept() {
        assert_eq!(unescape(r"a\040b\134"), r"a b\");
        assert_eq!(unescape(r"a\04"), r"a\04");
        assert_eq!(unescape(r"a\999\777"), r"a\999\777");
    }

    #[test]
    fn the_unified_line_is_told_from_the_others() {
        assert_eq!(unified("4:memory:/a\n1:name=systemd:/b\n0::/c\n"), Some("/c"));
        assert_eq!(unified("4:memory:/a\n"), None);
    }
}
