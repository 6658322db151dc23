//! One session: the keys of two hosts for a while, what was sent and received under them, and the link's timing.
//!
//! Invariant: a counter is used once for sealing, and a packet is given out at most once, whatever the order of arrival.

use hivewall_cluster::NodeId;
use snow::StatelessTransportState;

use super::Path;
use super::wire;

/// How far back a packet may come late, in packets.
const WINDOW: u64 = 128;

/// Which packets came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// The highest counter that came, plus one.
    next: u64,
    /// Bit n: `next - 1 - n` came.
    seen: u128,
    /// How many came at all.
    came: u64,
}

impl Window {
    /// Whether a packet with this counter may still be new. Asked before it is opened.
    pub(super) fn is_new(&self, counter: u64) -> bool {
        if counter >= self.next {
            return true;
        }
        let back = self.next - 1 - counter;
        back < WINDOW && self.seen >> back & 1 == 0
    }

    /// Notes a packet that was opened.
    pub(super) fn note(&mut self, counter: u64) {
        self.came += 1;
        if counter >= self.next {
            let by = counter - self.next + 1;
            self.seen = if by >= WINDOW { 0 } else { self.seen << by };
            self.seen |= 1;
            self.next = counter + 1;
        } else {
            let back = self.next - 1 - counter;
            if back < WINDOW {
                self.seen |= 1 << back;
            }
        }
    }

    /// Packets that were sent so far as is known, and those of them that came.
    fn sent_and_came(&self) -> (u64, u64) {
        (self.next, self.came)
    }
}

/// What a link was measured at. From stamps that go with the datagrams, so it costs no packets of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Timing {
    /// Smoothed as TCP does (RFC 6298): an eighth of what is new.
    pub(super) rtt_us: Option<f64>,
    /// Mean difference of one round trip from that before, smoothed by a sixteenth (as RFC 3550, 6.4.1).
    pub(super) jitter_us: f64,
    last_us: Option<f64>,
    /// Share of the peer's packets that did not come, of the last session that was looked at.
    pub(super) loss: f64,
}

impl Timing {
    fn measured(&mut self, rtt_us: f64) {
        if let Some(last) = self.last_us {
            self.jitter_us += ((rtt_us - last).abs() - self.jitter_us) / 16.0;
        }
        self.last_us = Some(rtt_us);
        self.rtt_us = Some(self.rtt_us.map_or(rtt_us, |rtt| rtt + (rtt_us - rtt) / 8.0));
    }

    fn lost(&mut self, window: &Window) {
        let (sent, came) = window.sent_and_came();
        self.loss = 1.0 - came.min(sent) as f64 / sent.max(1) as f64;
    }
}

/// A session.
pub(super) struct Session {
    pub(super) peer: NodeId,
    pub(super) remote_index: u32,
    transport: StatelessTransportState,
    pub(super) is_initiator: bool,
    /// Whether the peer has proved that it is there now: a first message alone could be an old one.
    pub(super) is_confirmed: bool,
    /// Sealed so far.
    pub(super) sent: u64,
    window: Window,
    pub(super) path: Path,
    pub(super) born_us: u64,
    pub(super) heard_us: u64,
    pub(super) sent_us: u64,
    /// Datagram of the first message, kept until the peer has proved that it is there.
    pub(super) held: Option<Vec<u8>>,
    /// Time in the peer's first message, if the peer began.
    pub(super) said_at: Option<u64>,
    /// The same with the answer, which may have been lost. Until the first packet.
    pub(super) answer: Option<(u64, Vec<u8>)>,
    /// The last stamp of the peer and when it came.
    echo: Option<(u32, u64)>,
}

/// Bits of the first byte of what is sealed.
const STAMP: u8 = 1;
const ECHO: u8 = 2;
const BODY: u8 = 4;
const FAREWELL: u8 = 8;

/// What was in a packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) body: Option<Vec<u8>>,
    pub(super) is_farewell: bool,
}

/// What a packet is to say beside its stamps.
#[derive(Clone, Copy, Debug)]
pub(super) enum Say<'a> {
    Body(&'a [u8]),
    Nothing,
    Farewell,
}

impl Session {
    pub(super) fn new(
        peer: NodeId,
        remote_index: u32,
        transport: StatelessTransportState,
        path: Path,
        now_us: u64,
    ) -> Self {
        let is_initiator = transport.is_initiator();
        Self {
            peer,
            remote_index,
            transport,
            is_initiator,
            is_confirmed: is_initiator,
            sent: 0,
            window: Window::default(),
            path,
            born_us: now_us,
            heard_us: now_us,
            sent_us: now_us,
            held: None,
            said_at: None,
            answer: None,
            echo: None,
        }
    }

    /// A packet with this in it.
    pub(super) fn seal(&mut self, say: Say<'_>, now_us: u64) -> Option<Vec<u8>> {
        let body = if let Say::Body(body) = say { body } else { &[] };
        let mut plain = Vec::with_capacity(13 + body.len());
        plain.push(STAMP);
        plain.extend((now_us as u32).to_le_bytes());
        let mut flags = STAMP;
        if let Some((stamp, came_us)) = self.echo.take() {
            flags |= ECHO;
            plain.extend(stamp.to_le_bytes());
            plain.extend((now_us.saturating_sub(came_us).min(u64::from(u32::MAX)) as u32).to_le_bytes());
        }
        match say {
            Say::Body(body) => {
                flags |= BODY;
                plain.extend(body);
            }
            Say::Nothing => {}
            Say::Farewell => flags |= FAREWELL,
        }
        if let Some(first) = plain.first_mut() {
            *first = flags;
        }
        let sealed_bytes = plain.len() + wire::TAG_BYTES;
        let mut packet = wire::data(self.remote_index, self.sent, sealed_bytes);
        packet.resize(wire::DATA_HEAD + sealed_bytes, 0);
        let counter = self.sent;
        self.sent += 1;
        self.sent_us = now_us;
        self.transport.write_message(counter, &plain, packet.get_mut(wire::DATA_HEAD..)?).ok()?;
        Some(packet)
    }

    /// Whether a packet may be new.
    pub(super) fn is_new(&self, counter: u64) -> bool {
        self.window.is_new(counter)
    }

    /// Opens a packet that came over this path; `None` if it is not the peer's.
    pub(super) fn open(
        &mut self,
        counter: u64,
        sealed: &[u8],
        path: Path,
        timing: &mut Timing,
        now_us: u64,
    ) -> Option<Opened> {
        let mut plain = vec![0; sealed.len()];
        let length = self.transport.read_message(counter, sealed, &mut plain).ok()?;
        plain.truncate(length);
        let is_latest = counter >= self.window.next;
        self.window.note(counter);
        self.heard_us = now_us;
        self.answer = None;
        if is_latest {
            // A peer whose address changed (another network, another mapping of its router) is answered there.
            self.path = path;
        }
        timing.lost(&self.window);
        self.read(&plain, is_latest, timing, now_us)
    }

    fn read(&mut self, plain: &[u8], is_latest: bool, timing: &mut Timing, now_us: u64) -> Option<Opened> {
        let (flags, mut rest) = plain.split_first()?;
        if flags & STAMP != 0 {
            let (stamp, after) = rest.split_first_chunk::<4>()?;
            if is_latest {
                self.echo = Some((u32::from_le_bytes(*stamp), now_us));
            }
            rest = after;
        }
        if flags & ECHO != 0 {
            let (stamp, after) = rest.split_first_chunk::<4>()?;
            let (held, after) = after.split_first_chunk::<4>()?;
            let passed = (now_us as u32).wrapping_sub(u32::from_le_bytes(*stamp));
            let rtt = passed.saturating_sub(u32::from_le_bytes(*held));
            // The stamps wrap after 71 minutes; what took over a minute is not a round trip.
            if passed < 60_000_000 {
                timing.measured(f64::from(rtt));
            }
            rest = after;
        }
        let body = (flags & BODY != 0).then(|| rest.to_vec());
        Some(Opened { body, is_farewell: flags & FAREWELL != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_new_once_in_whatever_order_they_come() {
        let mut window = Window::default();
        for counter in [0, 5, 3, 4, 200, 100, 199] {
            assert!(window.is_new(counter), "{counter}");
            window.note(counter);
            assert!(!window.is_new(counter), "{counter}");
        }
        assert!(window.is_new(73), "127 back");
        assert!(!window.is_new(72), "128 back is too old");
        assert!(!window.is_new(5));
        window.note(u64::from(u32::MAX));
        assert!(!window.is_new(200));
        assert!(window.is_new(u64::from(u32::MAX) - 1));
    }

    #[test]
    fn jitter_is_none_on_an_even_link_and_grows_on_an_uneven_one() {
        let mut timing = Timing::default();
        (0..50).for_each(|_| timing.measured(500.0));
        assert_eq!((timing.rtt_us, timing.jitter_us), (Some(500.0), 0.0));
        (0..50).for_each(|at| timing.measured(if at % 2 == 0 { 1000.0 } else { 0.0 }));
        assert!(timing.jitter_us > 800.0, "{}", timing.jitter_us);
    }
}
