//! One CPU's share of the datapath: a frame goes in, counters move. The traits are the seams between the kernel's
//! maps and user space's memory; both implement all of them.

use crate::cache::Counted;
use crate::parse::{self, Parsed, wire_len};
use crate::policy::Verdict;
use crate::{
    Bytes, Cause, Direction, FlowKey, FlowLine, FlowSet, Frame, Opening, Packet, PeekHead, Reason, Sight, Tunnel,
    Watch, cache, tunnel,
};

/// Where the flow sets lie.
pub trait Sets {
    /// The set this flow belongs to, by [`crate::flow_hash`]; `None` only when memory is broken.
    fn set(&mut self, key: &FlowKey) -> Option<&mut FlowSet>;
}

/// The way out for records.
pub trait Ring {
    /// Hands a line's counters over as a [`Record`], or counts them as lost.
    fn push(&mut self, line: &FlowLine, now: u32, cause: Cause);
    /// Whether the next `push` will find room.
    fn has_room(&mut self) -> bool;
}

/// Ports of fragmented datagrams, by [`crate::FragmentId`]. May forget.
pub trait Fragments {
    /// Notes the ports of a first fragment (source in the upper half).
    fn remember(&mut self, id: &crate::FragmentId, ports: u32);
    /// The ports its later fragments inherit.
    fn recall(&mut self, id: &crate::FragmentId) -> Option<u32>;
}

/// Counters of what is apart from the flows.
pub trait Tallies {
    /// Adds packets and bytes under a reason, at an interface and direction.
    fn tally(&mut self, ifindex: u32, direction: Direction, reason: Reason, packets: u32, bytes: u32);
}

/// Everything one CPU works on.
pub struct Shard<'a, S, R, F, T> {
    /// Flow cache.
    pub sets: &'a mut S,
    /// Way out.
    pub ring: &'a mut R,
    /// Fragment memory.
    pub fragments: &'a mut F,
    /// Counters by reason.
    pub tallies: &'a mut T,
    /// The clock, in ticks.
    pub now: u32,
    /// Whether first bytes of conversations are copied at all.
    pub watching: bool,
    /// Epoch of the policy in the upper half; 0 when there is none.
    pub epoch: u32,
}

impl<S: Sets, R: Ring, F: Fragments, T: Tallies> Shard<'_, S, R, F, T> {
    /// Reads and counts one frame; what it may carry inside is [`Parsed::tunnel`]. Where the watch is not
    /// [`Watch::NONE`], the packet is one for [`Shard::look`]; where it [`Counted::is_unjudged`], it is one to judge, and
    /// for [`Shard::settle`]. `Err` tells why it is in no flow; it has been tallied, except for [`Reason::Snapped`], which
    /// the caller tallies when it cannot supply more bytes.
    #[inline(always)]
    pub fn observe<B: Bytes>(&mut self, bytes: &B, frame: &Frame) -> Result<(Parsed, Counted), Reason> {
        match parse::parse(bytes, frame, self.fragments) {
            Ok(parsed) => {
                let counted = self.count(&parsed, frame, self.epoch, None);
                if !counted.is_unjudged() {
                    self.tally_segments(&parsed.packet, frame);
                }
                Ok((parsed, counted))
            }
            Err(Reason::Snapped) => Err(Reason::Snapped),
            Err(reason) => {
                self.tallies.tally(frame.ifindex, frame.direction, reason, 1, wire_len(frame));
                Err(reason)
            }
        }
    }

    /// Counts a packet that has been judged.
    #[inline(always)]
    pub fn settle(&mut self, parsed: &Parsed, frame: &Frame, verdict: Verdict) -> Counted {
        let counted = self.count(parsed, frame, self.epoch, Some(verdict));
        self.tally_segments(&parsed.packet, frame);
        counted
    }

    /// Tallies what a buffer of several packets has beyond its first.
    #[inline(always)]
    fn tally_segments(&mut self, packet: &Packet, frame: &Frame) {
        if packet.packets > 1 {
            let extra = packet.ip_bytes + packet.link_bytes - wire_len(frame);
            self.tallies.tally(frame.ifindex, frame.direction, Reason::Segments, packet.packets - 1, extra);
        }
    }

    /// Tallies a frame whose headers were not captured.
    pub fn tally_snapped(&mut self, frame: &Frame) {
        self.tallies.tally(frame.ifindex, frame.direction, Reason::Snapped, 1, wire_len(frame));
    }

    /// Counts a packet that was read before.
    #[inline(always)]
    fn count(&mut self, parsed: &Parsed, frame: &Frame, epoch: u32, judged: Option<Verdict>) -> Counted {
        let packet = &parsed.packet;
        let Some(set) = self.sets.set(&packet.key) else {
            let bytes = packet.ip_bytes + packet.link_bytes;
            self.tallies.tally(frame.ifindex, frame.direction, Reason::NoCache, packet.packets, bytes);
            return Counted::PASSED;
        };
        let has_payload = parsed.end > parsed.payload_at;
        let sight = match (self.watching, has_payload) {
            (false, _) => Sight::Off,
            (true, false) => Sight::Bare,
            (true, true) => Sight::Payload,
        };
        let counted = cache::account(set, packet, self.now, sight, self.ring, epoch, judged);
        if counted.watch().wants(has_payload) { counted } else { counted.unwatched() }
    }

    /// Decides whether a packet that was counted just now, and told to be one to look at by `watch`, is copied, and how
    /// closely to look at the flow from now on. `opening` are its first payload bytes. Gives the head of the copy,
    /// without a time; the payload begins at the offset.
    #[inline(always)]
    pub fn look<B: Bytes>(
        &mut self,
        bytes: &B,
        parsed: &Parsed,
        watch: Watch,
        opening: Opening,
    ) -> Option<(PeekHead, usize)> {
        let packet = &parsed.packet;
        // What a later fragment begins with is no beginning.
        if parsed.fragmented && parsed.transport_at == parsed.payload_at {
            return None;
        }
        let line = cache::find(self.sets.set(&packet.key)?, packet)?;
        let payload = parsed.end.saturating_sub(parsed.payload_at) as u32;
        let (is_wanted, next) = watch.look(packet, payload, opening);
        line.set_watch(next);
        is_wanted.then(|| PeekHead::of(bytes, parsed, opening))
    }

    /// Reads and counts the packet inside a tunnel whose payload spans `at..end`. It crossed no link of its own, so it
    /// has no link bytes, and what cannot be read of it is tallied without touching the outer packet's flow; except,
    /// as in [`Shard::observe`], for [`Reason::Snapped`]. `Ok(None)` when there is none to look for.
    #[inline(always)]
    pub fn observe_inner<B: Bytes>(
        &mut self,
        bytes: &B,
        frame: &Frame,
        tunnel: Tunnel,
        at: usize,
        end: usize,
    ) -> Result<Option<(Parsed, Watch)>, Reason> {
        match tunnel::inner(bytes, frame, tunnel, at, end, self.fragments) {
            Ok(Some(inner)) => {
                // A policy judges what the link carries, not what is inside of it.
                let counted = self.count(&inner, frame, 0, None);
                Ok(Some((inner, counted.watch())))
            }
            Ok(None) => Ok(None),
            Err(Reason::Snapped) => Err(Reason::Snapped),
            Err(reason) => {
                self.tally_inner(frame, at, end);
                Err(reason)
            }
        }
    }

    /// Reads once more what was counted just now, the frame itself or what lies `inside` of it, for [`Shard::look`].
    #[inline(always)]
    pub fn read_again<B: Bytes>(
        &mut self,
        bytes: &B,
        frame: &Frame,
        inside: Option<(Tunnel, usize, usize)>,
    ) -> Option<Parsed> {
        match inside {
            Some((tunnel, at, end)) => tunnel::inner(bytes, frame, tunnel, at, end, self.fragments).ok().flatten(),
            None => parse::parse(bytes, frame, self.fragments).ok(),
        }
    }

    /// For a buffer of several segments that is a tunnel's: adds the headers inside, which each segment beyond the
    /// first repeats too, to the outer packet, which has been counted just now.
    #[inline(always)]
    pub fn repeat_inner_headers(&mut self, outer: &Packet, frame: &Frame, headers: u32) {
        let bytes = outer.packets.saturating_sub(1) * headers;
        if bytes == 0 {
            return;
        }
        if let Some(set) = self.sets.set(&outer.key) {
            cache::enlarge(set, outer, bytes);
        }
        self.tallies.tally(frame.ifindex, frame.direction, Reason::Segments, 0, bytes);
    }

    /// Bytes from the tunnel payload at `at` to the inner packet's payload; 0 where nothing inside is segmented.
    #[inline(always)]
    pub fn inner_headers<B: Bytes>(&mut self, bytes: &B, frame: &Frame, tunnel: Tunnel, at: usize, end: usize) -> u32 {
        match tunnel::inner(bytes, frame, tunnel, at, end, self.fragments) {
            Ok(Some(inner)) if inner.packet.packets > 1 => (inner.payload_at - at) as u32,
            _ => 0,
        }
    }

    /// Tallies a tunnel's payload that could not be read.
    #[inline(always)]
    pub fn tally_inner(&mut self, frame: &Frame, at: usize, end: usize) {
        self.tallies.tally(frame.ifindex, frame.direction, Reason::InnerUnread, 1, end.saturating_sub(at) as u32);
    }

    /// Sweeps one set; see [`cache::sweep`].
    #[inline(always)]
    pub fn sweep(&mut self, set: &mut FlowSet, idle_ticks: u32, drain: bool) -> cache::Swept {
        cache::sweep(set, self.now, idle_ticks, drain, self.ring)
    }
}

impl Cause {
    /// The cause with this number, as a [`Record`] carries it.
    pub fn from_number(number: u32) -> Option<Cause> {
        match number {
            0 => Some(Cause::Evicted),
            1 => Some(Cause::Swept),
            2 => Some(Cause::Full),
            3 => Some(Cause::Reused),
            4 => Some(Cause::Judged),
            _ => None,
        }
    }
}
