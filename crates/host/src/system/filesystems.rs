//! Filesystems that hold files, one entry for each, however often it is mounted.
//!
//! Invariant: only kinds that are known to answer from memory are asked. statfs(2) on a network or FUSE mount waits for
//! whoever serves it, possibly for ever.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::os::fd::AsFd as _;

use hivewall_model::Filesystem;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::SystemError;
use crate::process::unescape;

/// Filesystems told of.
const FILESYSTEMS_MAX: usize = 128;
/// Longest mount table that is read.
const MOUNTS_BYTES_MAX: u64 = 16 << 20;
const MOUNTS: &str = "/proc/self/mountinfo";
/// Kinds that hold files, on a block device or in memory. Images that are full by nature (squashfs, iso9660, erofs) are
/// left out.
const KINDS: [&str; 17] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "nilfs2", "reiserfs", "vfat", "exfat",
    "ntfs3", "hfsplus", "ufs", "tmpfs",
];

/// One mount worth asking.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    point: String,
    device: String,
    kind: String,
    /// Whether all of the filesystem is mounted here.
    is_whole: bool,
}

/// The mount table, read again when it has changed.
pub(super) struct Mounts {
    file: File,
    mounts: Option<Vec<Mount>>,
}

impl Mounts {
    pub(super) fn open() -> Result<Self, SystemError> {
        let file = File::open(MOUNTS);
        let failed = |source| SystemError::System { doing: "open the mount table", source };
        Ok(Self { file: file.map_err(failed)?, mounts: None })
    }

    pub(super) fn read(&mut self) -> Result<Vec<Filesystem>, SystemError> {
        if self.has_changed() || self.mounts.is_none() {
            let failed = |source| SystemError::System { doing: "read the mount table", source };
            self.file.rewind().map_err(failed)?;
            let mut text = Vec::new();
            BufReader::new(&self.file).take(MOUNTS_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
            self.mounts = Some(select(&String::from_utf8_lossy(&text)));
        }
        Ok(self.mounts.iter().flatten().filter_map(ask).take(FILESYSTEMS_MAX).collect())
    }

    /// proc_pid_mounts(5): the file polls as an error after a change.
    fn has_changed(&self) -> bool {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLPRI)];
        let polled = poll(&mut fds, PollTimeout::ZERO);
        let [fd] = fds;
        polled.is_err() || fd.revents().is_none_or(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLPRI))
    }
}

/// The mounts worth asking, by proc_pid_mountinfo(5), read here because a general parser makes two maps for each of what
/// may be thousands of lines.
fn select(table: &str) -> Vec<Mount> {
    // What is mounted over a mount point hides what was there before.
    let mut visible: BTreeMap<String, (&str, Mount)> = BTreeMap::new();
    for line in table.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let (mut front, mut back) = (front.split(' ').skip(2), back.split(' '));
        let (Some(number), Some(root), Some(point)) = (front.next(), front.next(), front.next()) else { continue };
        let (Some(kind), Some(device)) = (back.next(), back.next()) else { continue };
        let point = unescape(point);
        let (device, kind) = (unescape(device), kind.to_owned());
        visible.insert(point.clone(), (number, Mount { point, device, kind, is_whole: root == "/" }));
    }
    let mut chosen: BTreeMap<&str, Mount> = BTreeMap::new();
    for (number, mount) in visible.into_values() {
        // A container's root is all that it sees of its disk; others' are directories of a disk that is listed itself.
        let is_own_root = mount.kind == "overlay" && mount.point == "/";
        if !is_own_root && !KINDS.contains(&mount.kind.as_str()) {
            continue;
        }
        let is_better = chosen
            .get(number)
            .is_none_or(|other| (!mount.is_whole, mount.point.len()) < (!other.is_whole, other.point.len()));
        if is_better {
            chosen.insert(number, mount);
        }
    }
    let mut mounts: Vec<_> = chosen.into_values().collect();
    mounts.sort_by(|a, b| a.point.cmp(&b.point));
    mounts
}

/// Asks one; `None` where it may not be looked at, is gone, holds nothing, or is memory that nobody may write to (how
/// container hosts mount credentials).
fn ask(mount: &Mount) -> Option<Filesystem> {
    let found = statvfs(mount.point.as_str()).ok()?;
    let unit = found.fragment_size() as u64;
    let size_bytes = (found.blocks() as u64).saturating_mul(unit);
    if size_bytes == 0 || (mount.kind == "tmpfs" && found.flags().contains(FsFlags::ST_RDONLY)) {
        return None;
    }
    Some(Filesystem {
        mount: mount.point.clone(),
        device: mount.device.clone(),
        kind: mount.kind.clone(),
        size_bytes,
        available_bytes: (found.blocks_available() as u64).saturating_mul(unit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(table: &str) -> Vec<(String, String)> {
        select(table).into_iter().map(|mount| (mount.point, mount.device)).collect()
    }

    #[test]
    fn a_filesystem_mounted_twice_is_told_once_by_its_whole_and_shortest_mount() {
        let table = "1 0 8:1 /data /mnt/bind rw - ext4 /dev/sda1 rw\n\
                     2 0 8:1 / /mnt/long/whole rw - ext4 /dev/sda1 rw\n\
                     3 0 8:1 / /srv rw,relatime shared:4 - ext4 /dev/sda1 rw\n\
                     4 0 8:2 / / rw - xfs /dev/sda2 rw\n";
        assert_eq!(points(table), [("/".into(), "/dev/sda2".into()), ("/srv".into(), "/dev/sda1".into())]);
    }

    #[test]
    fn what_may_hang_or_holds_no_files_is_not_asked() {
        let table = "1 0 0:5 / /proc rw - proc proc rw\n\
                     2 0 0:6 / /home rw - nfs4 nas:/home rw\n\
                     3 0 0:7 / /mnt rw - fuse.sshfs host: rw\n\
                     4 0 0:8 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n\
                     5 0 0:9 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n\
                     6 0 7:0 / /snap/x ro - squashfs /dev/loop0 ro\n";
        assert_eq!(points(table), []);
        assert_eq!(points("5 0 0:9 / / rw - overlay overlay rw\n"), [("/".into(), "overlay".into())]);
    }

    #[test]
    fn what_is_mounted_over_a_mount_point_hides_it() {
        let table = "1 0 8:1 / /data rw - ext4 /dev/sda1 rw\n2 0 0:6 / /data rw - nfs nas:/x rw\n";
        assert_eq!(points(table), []);
        assert_eq!(points("1 0 8:1 / /my\\040disk rw - ext4 /dev/sda1 rw\nodd line - x\n")[0].0, "/my disk");
    }

    #[test]
    fn the_root_of_this_machine_is_told_and_a_second_reading_is_the_same() {
        let mut mounts = Mounts::open().unwrap();
        let first = mounts.read().unwrap();
        assert!(first.iter().any(|fs| fs.mount == "/" && fs.size_bytes >= fs.available_bytes), "{first:?}");
        let second = mounts.read().unwrap();
        let names = |all: &[Filesystem]| all.iter().map(|fs| fs.mount.clone()).collect::<Vec<_>>();
        assert_eq!(names(&first), names(&second));
    }
}
