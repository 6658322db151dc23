//! Link speeds, asked of the drivers through the ethtool call. The call belongs to the network namespace that the
//! agent is in, which /sys may not (it shows the namespace it was mounted in).
//!
//! Drivers can be slow to answer and hold a lock that all configuration needs, so an answer is kept until the carrier
//! has changed or [`SPEED_AGE_MAX`] has passed. Invariant: `None` wherever the driver does not name a speed.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::LinkError;
use super::message::LinkFacts;

/// How long an answer is believed: virtual devices may be given another speed without a carrier change.
pub(super) const SPEED_AGE_MAX: Duration = Duration::from_mins(1);

/// `ETHTOOL_GLINKSETTINGS` (linux/ethtool.h, since 4.6).
const GET_LINK_SETTINGS: u32 = 0x4c;
/// The kernel counts the words of a mode mask in a signed byte, and sends three masks.
const MASK_WORDS_MAX: usize = 3 * 127;
/// `SPEED_UNKNOWN`.
const UNKNOWN: u32 = u32::MAX;

/// `struct ethtool_link_settings` with room for its masks.
#[repr(C)]
struct Settings {
    command: u32,
    megabits: u32,
    _duplex_to_mdix_control: [u8; 7],
    mask_words: i8,
    _transceiver_to_matching: [u8; 4],
    _reserved: [u32; 7],
    _masks: [u32; MASK_WORDS_MAX],
}

const _: () = assert!(std::mem::offset_of!(Settings, _masks) == 48);

struct Known {
    name: String,
    up: bool,
    carrier_changes: u32,
    asked: Instant,
    speed: Option<u64>,
}

/// Speeds by interface index.
pub(super) struct Speeds {
    socket: OwnedFd,
    known: HashMap<u32, Known>,
}

impl Speeds {
    pub(super) fn open() -> Result<Self, LinkError> {
        let failed =
            |errno: nix::Error| LinkError::Socket { doing: "open a socket for link speeds", source: errno.into() };
        // Any family's socket takes the call; this one needs neither IPv4 nor IPv6 in the kernel.
        let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).map_err(failed)?;
        Ok(Self { socket, known: HashMap::new() })
    }

    /// Fills in the speed of each interface, and forgets those that are gone.
    pub(super) fn refresh(&mut self, all: &mut [LinkFacts]) {
        let now = Instant::now();
        let mut known = HashMap::with_capacity(all.len());
        for facts in all {
            let interface = &mut facts.interface;
            let old = self.known.remove(&interface.index).filter(|old| {
                old.name == interface.name
                    && old.up == interface.up
                    && old.carrier_changes == facts.carrier_changes
                    && now.duration_since(old.asked) < SPEED_AGE_MAX
            });
            let entry = old.unwrap_or_else(|| Known {
                name: interface.name.clone(),
                up: interface.up,
                carrier_changes: facts.carrier_changes,
                asked: now,
                // Without a carrier there is no speed; some drivers would tell the last one.
                speed: if interface.up { self.ask(&interface.name) } else { None },
            });
            interface.speed = entry.speed;
            known.insert(interface.index, entry);
        }
        self.known = known;
    }

    /// Bits per second. Errors are a driver without the call, or an interface that has just gone: no speed either way.
    fn ask(&self, name: &str) -> Option<u64> {
        let mut settings = Settings {
            command: GET_LINK_SETTINGS,
            megabits: UNKNOWN,
            _duplex_to_mdix_control: [0; 7],
            mask_words: 0,
            _transceiver_to_matching: [0; 4],
            _reserved: [0; 7],
            _masks: [0; MASK_WORDS_MAX],
        };
        // The first answer only tells, as a negative number, how many words the masks have; it must be asked again.
        self.call(name, &mut settings).ok()?;
        if settings.mask_words < 0 {
            settings.mask_words = settings.mask_words.checked_neg()?;
            settings.command = GET_LINK_SETTINGS;
            self.call(name, &mut settings).ok()?;
        }
        match settings.megabits {
            0 | UNKNOWN => None,
            megabits => Some(u64::from(megabits) * 1_000_000),
        }
    }

    fn call(&self, name: &str, settings: &mut Settings) -> io::Result<()> {
        // SAFETY: ifreq is a name and a union of plain values; zero bytes are a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // One byte is left for the closing zero; a longer name cannot be an interface's.
        for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
            *to = from.cast_signed() as libc::c_char;
        }
        request.ifr_ifru.ifru_data = std::ptr::from_mut(settings).cast();
        // SAFETY: the request names an interface and points at settings with room for the largest masks the kernel
        // can have; both outlive the call.
        let status = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
