//! The packets that an alert rests on, as a small capture file for each alert.
//!
//! The kernel copies the first bytes of conversations and of frames that break a standard, for names and for detectors. Here a
//! bounded number of those is remembered for some minutes; when an alert is raised, those that are of its source, targets, port and
//! protocol go into a file, and so do those of the half minute that follows. Invariants: payload is held only where the settings allow
//! it; every limit has a name, and what did not fit is counted by reason; a file goes with its alert.

mod disk;
mod frame;
mod recent;
#[cfg(test)]
mod testing;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use hivewall_config::AlertCapture;
use hivewall_detect::Sign;
use hivewall_export::{CapturedPacket, Pcapng};
use hivewall_model::{Direction, Timestamp};
use hivewall_view::alerts::{Alert, CaptureSummary};

use disk::Disk;
pub(crate) use recent::Packet;
use recent::Recent;

/// Packets of one alert.
pub(crate) const PACKETS_OF_ALERT_MAX: usize = 100;
/// Of those, packets from before it was raised: the rest of the room is for what follows.
const PACKETS_BEFORE_MAX: usize = 64;
/// Size of one alert's file.
pub(crate) const BYTES_OF_ALERT_MAX: usize = 64 << 10;
/// Payload bytes kept of one packet.
pub(crate) const PACKET_BYTES_MAX: usize = 512;
/// How long packets are added to an alert's file after it was raised.
const FOLLOW: Duration = Duration::from_secs(30);
/// Alerts whose packets are followed at once.
const FOLLOWED_MAX: usize = 64;

/// What of a packet may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    Headers,
    Peek,
}

/// Where captures go.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) holding: Holding,
    /// Whether the directory is the agent's own: files of alerts that nobody knows any more are removed.
    pub(crate) is_own: bool,
}

impl Place {
    /// In this directory, where the settings allow captures at all.
    pub(crate) fn of(allowed: AlertCapture, directory: PathBuf, is_own: bool) -> Option<Self> {
        let holding = match allowed {
            AlertCapture::Off => return None,
            AlertCapture::Headers => Holding::Headers,
            AlertCapture::Peek => Holding::Peek,
        };
        Some(Self { directory, holding, is_own })
    }
}

/// Which packets an alert rests on.
#[derive(Clone, Debug, Default)]
struct Rests {
    source: Option<IpAddr>,
    mac: Option<[u8; 6]>,
    /// One of these has to take part, unless there are none.
    targets: Vec<IpAddr>,
    port: Option<u16>,
    protocol: Option<u8>,
}

impl Rests {
    /// `None` for what no packet can be told by: a new listener, a changed packet filter.
    fn of(sign: &Sign) -> Option<Self> {
        let (source, mac) = (sign.subject.source, sign.source_mac);
        let is_all = sign.targets.len() as u64 >= sign.target_count;
        // Of a source that is named, packets to targets that there was no room to name count as well.
        let targets = if source.is_none() || is_all { sign.targets.clone() } else { Vec::new() };
        if source.is_none() && mac.is_none() && targets.is_empty() {
            return None;
        }
        Some(Self { source, mac, targets, port: sign.port, protocol: sign.protocol })
    }

    fn holds(&self, packet: &Packet) -> bool {
        let ends = &packet.ends;
        let is_end = |address: &IpAddr| ends.addresses.contains(&Some(address.to_canonical()));
        if let Some(mac) = self.mac.filter(|_| packet.head.is_stray != 0) {
            return ends.macs.is_some_and(|macs| macs.contains(&mac));
        }
        let is_named = self.source.is_some() || !self.targets.is_empty();
        is_named
            && self.source.as_ref().is_none_or(is_end)
            && (self.targets.is_empty() || self.targets.iter().any(is_end))
            && self.protocol.is_none_or(|protocol| ends.protocol == Some(protocol))
            && self.port.is_none_or(|port| ends.ports.is_some_and(|ports| ports.contains(&port)))
    }
}

/// A capture in the making.
struct Open {
    rests: Rests,
    until: Timestamp,
    file: Pcapng,
    comment: String,
    packets: usize,
    written: usize,
    /// Whether the file of an earlier alert of this name, in a replay, is to be replaced.
    is_begun: bool,
}

/// Captures of all alerts.
pub(super) struct Evidence {
    holding: Holding,
    recent: Recent,
    open: BTreeMap<String, Open>,
    disk: Disk,
    lost: BTreeMap<&'static str, u64>,
}

impl Evidence {
    /// `known` are alerts of earlier runs; what is said of captures that are gone is told by [`Evidence::gone`].
    pub(super) fn open<'a>(place: Place, known: impl Iterator<Item = &'a Alert>) -> Self {
        Self {
            holding: place.holding,
            recent: Recent::default(),
            open: BTreeMap::new(),
            disk: Disk::open(place, known),
            lost: BTreeMap::new(),
        }
    }

    /// Takes a packet as it is seen.
    pub(super) fn see(&mut self, packet: &Packet, interfaces: &HashMap<u32, String>) {
        for open in self.open.values_mut().filter(|open| packet.time <= open.until && open.rests.holds(packet)) {
            if !open.add(packet, interfaces) {
                *self.lost.entry("full").or_default() += 1;
            }
        }
        self.recent.push(packet.clone());
    }

    /// An alert was raised: gives the file's path where there are packets that it rests on.
    pub(super) fn raise(
        &mut self,
        now: Timestamp,
        (alert, sign): (&Alert, &Sign),
        interfaces: &HashMap<u32, String>,
    ) -> Option<String> {
        let rests = Rests::of(sign)?;
        if self.open.len() >= FOLLOWED_MAX {
            *self.lost.entry("busy").or_default() += 1;
            return None;
        }
        let mut before: Vec<&Packet> =
            self.recent.iter().rev().filter(|packet| rests.holds(packet)).take(PACKETS_BEFORE_MAX).collect();
        before.reverse();
        let mut open = Open::new(alert, rests, now + FOLLOW, self.holding);
        for packet in before {
            open.add(packet, interfaces);
        }
        self.open.insert(alert.id.clone(), open);
        self.disk.is_at(now);
        self.flush(&alert.id)
    }

    /// Writes what is to be written of one alert; gives the path where there is a file.
    fn flush(&mut self, id: &str) -> Option<String> {
        let open = self.open.get_mut(id)?;
        if open.packets == 0 {
            return None;
        }
        let bytes = open.file.take();
        let is_new = !std::mem::replace(&mut open.is_begun, true);
        let Ok(path) = self.disk.write(id, &bytes, is_new) else {
            *self.lost.entry("unwritten").or_default() += 1;
            self.open.remove(id);
            return None;
        };
        Some(path)
    }

    /// Once a second: writes what followed. Gives alerts that have a capture since, with its path, and those whose capture is gone.
    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<(String, Option<String>)> {
        let mut changed = Vec::new();
        let due: Vec<String> =
            self.open.iter().filter(|(_, open)| open.file.pending() > 0).map(|(id, _)| id.clone()).collect();
        for id in due {
            let is_first = self.open.get(&id).is_some_and(|open| !open.is_begun);
            let path = self.flush(&id);
            changed.extend(path.filter(|_| is_first).map(|path| (id, Some(path))));
        }
        let none = self.open.values().filter(|open| open.until < now && open.packets == 0).count() as u64;
        if none > 0 {
            *self.lost.entry("unseen").or_default() += none;
        }
        self.open.retain(|_, open| open.until >= now);
        changed.extend(self.gone(now));
        changed
    }

    /// Alerts whose capture had to go.
    pub(super) fn gone(&mut self, now: Timestamp) -> Vec<(String, Option<String>)> {
        let (gone, for_room) = self.disk.tidy(now);
        if for_room > 0 {
            *self.lost.entry("removed").or_default() += for_room;
        }
        gone.into_iter().map(|id| (id, None)).collect()
    }

    /// An alert is forgotten, and its capture with it.
    pub(super) fn retire(&mut self, id: &str) {
        self.open.remove(id);
        self.disk.remove(id);
    }

    /// The file of an alert.
    pub(super) fn read(&mut self, id: &str) -> std::io::Result<Vec<u8>> {
        self.flush(id);
        self.disk.read(id)
    }

    /// For whoever looks.
    pub(super) fn summary(&self) -> CaptureSummary {
        let (files, bytes) = self.disk.size();
        let lost = self.lost.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        CaptureSummary { files, bytes, lost }
    }
}

impl Open {
    fn new(alert: &Alert, rests: Rests, until: Timestamp, holding: Holding) -> Self {
        let held = match holding {
            Holding::Headers => "Headers alone.",
            Holding::Peek => "Headers and the first bytes of payload.",
        };
        let about = format!(
            "{}: {} (alert {} of {}, {}). {held} Packets of flows are as the kernel copied their fields: IP options, time to live, \
             identification and transport checksums are not the wire's.",
            alert.detector, alert.message, alert.id, alert.host, alert.first_seen
        );
        let file = Pcapng::new(concat!("hivewall ", env!("CARGO_PKG_VERSION")), &about);
        let comment = format!("{} {}", alert.detector, alert.id);
        let written = file.pending();
        Self { rests, until, file, comment, packets: 0, written, is_begun: false }
    }

    /// Whether there was room.
    fn add(&mut self, packet: &Packet, interfaces: &HashMap<u32, String>) -> bool {
        let frame = frame::frame(&packet.head, &packet.bytes);
        // A block around it, and an interface's, which may be new.
        let most = frame.bytes.len() + self.comment.len() + 160;
        if self.packets >= PACKETS_OF_ALERT_MAX || self.written + most > BYTES_OF_ALERT_MAX {
            return false;
        }
        let before = self.file.pending();
        let ifindex = packet.head.key.ifindex();
        let unknown = || format!("interface {ifindex}");
        let comment = match packet.head.key.tunnel() {
            Some(tunnel) => format!("{}, inside of {tunnel:?}", self.comment),
            None => self.comment.clone(),
        };
        self.file.add(&CapturedPacket {
            time_ns: packet.time.0.cast_unsigned(),
            interface: &interfaces.get(&ifindex).cloned().unwrap_or_else(unknown),
            link: frame.link,
            is_sent: packet.head.key.direction() == Direction::Egress,
            bytes: &frame.bytes,
            length: frame.length,
            comment: &comment,
        });
        self.packets += 1;
        self.written += self.file.pending() - before;
        true
    }
}

#[cfg(test)]
mod tests;
