//! What became of the items, counted since the spool was opened.

/// Everything counted. Items, where nothing else is said.
///
/// `found + pushed == acked + lost() + len` holds at any time, with `len` of [`crate::Spool::len`], while
/// [`Self::set_aside`] is zero: how much a damaged file held when it was opened nobody can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Found on disk when it was opened, left by an earlier process.
    pub found: u64,
    /// Taken into the queue.
    pub pushed: u64,
    /// Bytes of those.
    pub pushed_bytes: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Gave way, oldest first, to newer ones: the queue was at its limit.
    pub lost_full: u64,
    /// Bytes of those.
    pub lost_full_bytes: u64,
    /// Read back from the disk otherwise than they were written, or gone with a file that was put aside meanwhile.
    pub lost_corrupt: u64,
    /// Gave way, oldest of those in memory first, while the disk would not take them.
    pub lost_unwritten: u64,
    /// Refused, since larger than the whole queue. They were never in it, and are not in `pushed`.
    pub refused_too_large: u64,
    /// Times that something was made durable.
    pub syncs: u64,
    /// Times that the disk refused.
    pub sync_failures: u64,
    /// Damaged files that were put aside; a new one was begun.
    pub set_aside: u64,
}

impl Counters {
    /// Items that were in the queue and left it for nobody.
    pub fn lost(&self) -> u64 {
        self.lost_full + self.lost_corrupt + self.lost_unwritten
    }
}
