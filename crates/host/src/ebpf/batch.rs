//! Commands on many elements of a map by one call, and a hash map read so, where one call an entry would take too long.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::EbpfError;

/// `BPF_MAP_LOOKUP_BATCH` of `enum bpf_cmd` (linux/bpf.h); for hash maps since 5.6.
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;

/// The `batch` member of `union bpf_attr`: commands on many elements.
#[repr(C)]
pub(crate) struct BatchAttr {
    pub(crate) in_batch: u64,
    pub(crate) out_batch: u64,
    pub(crate) keys: u64,
    pub(crate) values: u64,
    pub(crate) count: u32,
    pub(crate) map_fd: u32,
    pub(crate) elem_flags: u64,
    pub(crate) flags: u64,
}

/// Entries of a hash map, piece by piece. What is entered meanwhile may be missed.
pub(crate) struct Walk<'fd> {
    map: BorrowedFd<'fd>,
    /// The kernel's own mark; for hash maps the number of a bucket.
    mark: Option<u32>,
    is_over: bool,
}

impl<'fd> Walk<'fd> {
    /// From the first entry of a hash map on.
    pub(crate) fn new(map: BorrowedFd<'fd>) -> Self {
        Self { map, mark: None, is_over: false }
    }

    /// Reads the next entries into both slices, which are of one length and hold more than a bucket does; how many there
    /// were, and `None` behind the last. Keys and values have to be of the map's sizes.
    pub(crate) fn next<K: aya::Pod, V: aya::Pod>(
        &mut self,
        keys: &mut [K],
        values: &mut [V],
    ) -> Result<Option<usize>, EbpfError> {
        if self.is_over {
            return Ok(None);
        }
        let mut out = 0_u32;
        let mut attr = BatchAttr {
            in_batch: self.mark.as_ref().map_or(0, |mark| std::ptr::from_ref(mark) as u64),
            out_batch: &raw mut out as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: keys.len().min(values.len()) as u32,
            map_fd: self.map.as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: `attr` has the kernel's layout; the buffers live through the call and hold `count` entries, of sizes that
        // the caller vouches for; any bytes make a `Pod`.
        let status = unsafe {
            libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_BATCH, &raw mut attr, size_of::<BatchAttr>() as libc::c_long)
        };
        if status != 0 {
            let source = std::io::Error::last_os_error();
            if source.raw_os_error() != Some(libc::ENOENT) {
                return Err(EbpfError::System { call: "BPF_MAP_LOOKUP_BATCH", source });
            }
            self.is_over = true;
        }
        self.mark = Some(out);
        Ok(Some(attr.count as usize))
    }
}
