//! How signs say numbers and times, and what kinds of addresses there are for them. Not for anything that leaves as a figure.

use std::net::IpAddr;
use std::time::Duration;

use hivewall_model::Timestamp;

/// `70 s`, `20 min`, `5 h`.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        0 => "1 s".to_owned(),
        seconds @ 1..=179 => format!("{seconds} s"),
        seconds @ 180..=10_799 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// `516 kB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        10_000_000..=9_999_999_999 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// Whether an address belongs to one host that can be talked to over a network.
pub(crate) fn is_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast)
}

/// Whether an address is of no network that its owner keeps to himself (RFC 1918, 6598, 3927, 4193, 4291).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private() || v4.is_link_local() || v4.is_loopback() || a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments().first().copied().unwrap_or(0);
            !(first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 || v6.is_loopback())
        }
    }
}

/// Middle of the values, which are sorted for it; 0 for none.
pub(crate) fn median(values: &mut [u64]) -> u64 {
    let middle = values.len() / 2;
    values.sort_unstable();
    values.get(middle).copied().unwrap_or(0)
}

/// Lets something be said at most once in ten seconds, and at once when it became worse.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    said: Option<(Timestamp, u8)>,
}

impl Pace {
    /// Whether it is time to say so, at this level (greater is worse).
    pub(crate) fn is_due(&mut self, now: Timestamp, level: u8) -> bool {
        let is_due = match self.said {
            None => true,
            Some((at, before)) => level > before || now.since(at) >= Duration::from_secs(10),
        };
        if is_due {
            self.said = Some((now, level));
        }
        is_due
    }
}
