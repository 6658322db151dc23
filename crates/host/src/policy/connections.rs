//! Who looks after the kernel's table of conversations: takes out what no longer lives, and grants room for new ones.
//!
//! Invariant: while this is done every second, no entry that lives is given up for a new one; what finds no room is counted.

use std::mem::offset_of;
use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use hivewall_datapath::policy::{Connection, ConnectionKey, Room};

use super::pod::{ConnectionBytes, ConnectionKeyBytes};
use crate::ebpf::batch::Walk;
use crate::ebpf::{EbpfError, SharedArray, another_handle, map_error, possible_cpus};

/// Entries read by one call: more than any bucket holds.
const PIECE: usize = 4096;
/// Seconds after which a table that is not half full is walked through again.
const PATIENCE_S: u32 = 10;
/// Seconds for which room is granted: some more than pass between two calls.
const GRANT_S: u32 = 5;
/// Words of a [`Room`]; the kernel writes the first two, the others are written here.
const WORDS: usize = size_of::<Room>() / size_of::<u64>();
const ENTERED: usize = offset_of!(Room, entered) / size_of::<u64>();
const REFUSED: usize = offset_of!(Room, refused) / size_of::<u64>();
const GRANTED: usize = offset_of!(Room, granted) / size_of::<u64>();
const UNTIL: usize = offset_of!(Room, until) / size_of::<u64>();

/// How full the table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFill {
    /// Entries, those included that were entered since the table was last walked through.
    pub entries: u64,
    /// Entries above which nothing is entered.
    pub limit: u64,
    /// Conversations that found no room, since the table was made.
    pub refused: u64,
}

/// The table, and the room in it.
pub(super) struct Connections {
    map: HashMap<MapData, ConnectionKeyBytes, ConnectionBytes>,
    /// The same, as it is read in pieces.
    table: MapData,
    /// Words of one [`Room`] a CPU.
    room: SharedArray<u64>,
    cpus: usize,
    limit: u64,
    /// Second and outcome of the latest walk, and what had been entered before it.
    walked: Option<(u32, u64, u64)>,
}

impl Connections {
    pub(super) fn of_object(ebpf: &Ebpf) -> Result<Self, EbpfError> {
        let table = another_handle(ebpf, "CONNECTIONS")?;
        let most = u64::from(table.info().map_err(map_error)?.max_entries());
        let map = HashMap::try_from(Map::LruHashMap(another_handle(ebpf, "CONNECTIONS")?)).map_err(map_error)?;
        let room = another_handle(ebpf, "ROOM")?;
        let cpus = possible_cpus()?;
        let room = SharedArray::map(room.fd().as_fd(), cpus * WORDS as u32)?;
        // The kernel itself gives entries up when it has few free ones left for a CPU.
        Ok(Self { map, table, room, cpus: cpus as usize, limit: most / 8 * 7, walked: None })
    }

    pub(super) fn enter(&mut self, key: &ConnectionKey, connection: &Connection) -> Result<(), EbpfError> {
        self.map.insert(ConnectionKeyBytes(*key), ConnectionBytes(*connection), 0).map_err(map_error)
    }

    /// To be called every second, with the second of the datapath's clock.
    pub(super) fn look_after(&mut self, now_s: u32) -> Result<ConnectionFill, EbpfError> {
        let is_due =
            |walked: (u32, u64, u64), entries| entries > self.limit / 2 || now_s.wrapping_sub(walked.0) >= PATIENCE_S;
        if self.walked.is_none_or(|walked| is_due(walked, self.entries())) {
            let before = self.sum(ENTERED);
            let live = self.walk(now_s)?;
            self.walked = Some((now_s, live, before));
        }
        let free = self.limit.saturating_sub(self.entries());
        let share = free / self.cpus.max(1) as u64;
        for cpu in 0..self.cpus {
            let entered = self.room.read(cpu * WORDS + ENTERED).unwrap_or(0);
            self.room.write(cpu * WORDS + GRANTED, entered + share);
            self.room.write(cpu * WORDS + UNTIL, u64::from(now_s.saturating_add(GRANT_S)));
        }
        Ok(ConnectionFill { entries: self.entries(), limit: self.limit, refused: self.sum(REFUSED) })
    }

    fn entries(&self) -> u64 {
        self.walked.map_or(0, |(_, live, before)| live + self.sum(ENTERED).saturating_sub(before))
    }

    /// The sum of one word over all CPUs.
    fn sum(&self, word: usize) -> u64 {
        (0..self.cpus).filter_map(|cpu| self.room.read(cpu * WORDS + word)).sum()
    }

    /// Takes out what no longer lives; how much does.
    fn walk(&mut self, now_s: u32) -> Result<u64, EbpfError> {
        let mut keys = vec![ConnectionKeyBytes(ConnectionKey::default()); PIECE];
        let mut values = vec![ConnectionBytes(Connection::default()); PIECE];
        let (mut live, mut dead) = (0, Vec::new());
        let mut walk = Walk::new(self.table.fd().as_fd());
        while let Some(count) = walk.next(&mut keys, &mut values)? {
            for (key, value) in keys.iter().zip(&values).take(count) {
                if value.0.is_live(key.0.proto as u8, now_s) {
                    live += 1;
                } else {
                    dead.push(*key);
                }
            }
        }
        for key in dead {
            match self.map.remove(&key) {
                // Given up by the kernel meanwhile.
                Ok(()) | Err(aya::maps::MapError::KeyNotFound) => {}
                Err(error) => return Err(map_error(error)),
            }
        }
        Ok(live)
    }
}
