//! Maps of the kernel as memory of this process. The only place that touches memory the kernel writes.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use hivewall_datapath::{Record, RingControl};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{EbpfError, Geometry};

/// An mmapable ARRAY map of `T`, shared with the kernel.
pub struct SharedArray<T> {
    base: NonNull<T>,
    len: usize,
    bytes: NonZeroUsize,
}

// SAFETY: the memory is shared by design; every access is a volatile or atomic one on plain integers.
unsafe impl<T: Send> Send for SharedArray<T> {}

impl<T> SharedArray<T> {
    /// Maps `len` values of the map behind `fd`.
    pub(crate) fn map(fd: BorrowedFd<'_>, len: u32) -> Result<Self, EbpfError> {
        const { assert!(size_of::<T>().is_multiple_of(8), "array values lie 8-byte aligned, without gaps") };
        let len = len as usize;
        let page = 4096;
        let bytes = NonZeroUsize::new((len * size_of::<T>()).next_multiple_of(page))
            .ok_or(EbpfError::Missing("entries in a shared map"))?;
        // SAFETY: a fresh shared mapping of a map that was made mmapable; the kernel checks the length.
        let base =
            unsafe { mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, fd, 0) }
                .map_err(|errno| EbpfError::System { call: "mmap of a map", source: errno.into() })?;
        Ok(Self { base: base.cast(), len, bytes })
    }

    fn at(&self, index: usize) -> Option<NonNull<T>> {
        // SAFETY: index < len, so the place lies in the mapping.
        (index < self.len).then(|| unsafe { self.base.add(index) })
    }

    /// A copy of one value as it is now.
    pub fn read(&self, index: usize) -> Option<T>
    where
        T: Copy,
    {
        // SAFETY: in bounds and aligned; the kernel may write at the same time, hence volatile.
        self.at(index).map(|place| unsafe { place.read_volatile() })
    }

    /// Replaces one value.
    pub fn write(&mut self, index: usize, value: T) {
        if let Some(place) = self.at(index) {
            // SAFETY: as in `read`.
            unsafe { place.write_volatile(value) };
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Drop for SharedArray<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and unmapped once.
        let _ = unsafe { munmap(self.base.cast(), self.bytes.get()) };
    }
}

/// Records and bytes that found a ring full, since the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingLosses {
    /// Records.
    pub records: u64,
    /// Packets in them.
    pub packets: u64,
    /// IP bytes in them.
    pub ip_bytes: u64,
    /// Link bytes in them.
    pub link_bytes: u64,
}

/// The rings of all CPUs, read by one consumer.
pub struct Rings {
    geometry: Geometry,
    control: SharedArray<RingControl>,
    slots: SharedArray<Record>,
}

impl Rings {
    pub(super) fn new(geometry: Geometry, control: SharedArray<RingControl>, slots: SharedArray<Record>) -> Self {
        Self { geometry, control, slots }
    }

    /// Appends what CPU `cpu` has handed over, at most `limit` records; returns how many.
    pub fn read(&mut self, cpu: u32, limit: usize, out: &mut Vec<Record>) -> usize {
        let Some(place) = self.control.at(cpu as usize) else { return 0 };
        // SAFETY: in bounds; `head` and `tail` are atomics, the rest is not touched through this reference.
        let control = unsafe { place.as_ref() };
        let tail = control.tail.load(Ordering::Relaxed);
        let ready = control.head.load(Ordering::Acquire).wrapping_sub(tail).min(limit as u64);
        out.reserve(ready as usize);
        for step in 0..ready {
            let slot = (tail.wrapping_add(step) as u32) & (self.geometry.slots - 1);
            let index = cpu as usize * self.geometry.slots as usize + slot as usize;
            out.extend(self.slots.read(index));
        }
        control.tail.store(tail.wrapping_add(ready), Ordering::Release);
        ready as usize
    }

    /// The fuller of the rings, as a share of its slots.
    pub fn fill(&self) -> f64 {
        let used = (0..self.control.len()).filter_map(|cpu| self.control.at(cpu)).map(|place| {
            // SAFETY: as in `read`.
            let control = unsafe { place.as_ref() };
            control.head.load(Ordering::Relaxed).wrapping_sub(control.tail.load(Ordering::Relaxed))
        });
        used.max().unwrap_or(0) as f64 / f64::from(self.geometry.slots)
    }

    /// What did not fit, over all CPUs.
    pub fn losses(&self) -> RingLosses {
        let mut sum = RingLosses::default();
        for place in (0..self.control.len()).filter_map(|cpu| self.control.at(cpu)) {
            // SAFETY: in bounds; the kernel writes the words, so each is read volatile.
            unsafe {
                let control = place.as_ptr();
                sum.records += (&raw const (*control).lost_records).read_volatile();
                sum.packets += (&raw const (*control).lost_packets).read_volatile();
                sum.ip_bytes += (&raw const (*control).lost_ip_bytes).read_volatile();
                sum.link_bytes += (&raw const (*control).lost_link_bytes).read_volatile();
            }
        }
        sum
    }
}
