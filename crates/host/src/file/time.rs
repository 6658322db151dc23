//! Timestamps of captures: from units of an interface's resolution to nanoseconds since the Unix epoch.
//!
//! It does not judge whether a time is plausible. Invariant: conversion never wraps; what 64 bits of nanoseconds
//! cannot hold is told apart.

/// Unit of a timestamp (pcapng `if_tsresol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// 10 to the power of minus this many seconds.
    Decimal(u8),
    /// 2 to the power of minus this many seconds.
    Binary(u8),
}

impl Resolution {
    /// Microseconds: pcap's classic unit and pcapng's default.
    pub const MICROSECONDS: Resolution = Resolution::Decimal(6);
    /// Nanoseconds.
    pub const NANOSECONDS: Resolution = Resolution::Decimal(9);

    /// From the value of `if_tsresol`, whose upper bit tells the base.
    pub(super) fn from_option(value: u8) -> Resolution {
        if value & 0x80 == 0 { Resolution::Decimal(value) } else { Resolution::Binary(value & 0x7f) }
    }

    pub(super) fn scale(self) -> Scale {
        match self {
            Resolution::Decimal(n) if n <= 9 => Scale::Multiply(10_u64.pow(9 - u32::from(n))),
            // 64 bits of units are less than 10^20: from 10^-29 s on they come to no nanosecond at all.
            Resolution::Decimal(n) => Scale::Divide(10_u128.saturating_pow(u32::from(n) - 9)),
            Resolution::Binary(n) => Scale::Shift(n),
        }
    }
}

/// How units become nanoseconds, worked out once per interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Multiply(u64),
    Divide(u128),
    Shift(u8),
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;

impl Scale {
    /// The time, or the nearest that fits when it does not.
    #[inline]
    pub(super) fn nanos(self, units: u64, offset_s: i64) -> Result<i64, i64> {
        if let (Scale::Multiply(by), 0) = (self, offset_s)
            && let Some(ns) = units.checked_mul(by)
            && let Ok(ns) = i64::try_from(ns)
        {
            return Ok(ns);
        }
        self.wide(units, offset_s)
    }

    #[inline(never)]
    fn wide(self, units: u64, offset_s: i64) -> Result<i64, i64> {
        let units = u128::from(units);
        // At most 2^64 * 10^9 < 2^94 in each case.
        let ns = match self {
            Scale::Multiply(by) => units * u128::from(by),
            Scale::Divide(by) => units / by,
            Scale::Shift(by) => (units * 1_000_000_000) >> by,
        };
        let ns = ns.cast_signed() + i128::from(offset_s) * NANOS_PER_SECOND;
        i64::try_from(ns).map_err(|_| if ns < 0 { i64::MIN } else { i64::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(option: u8, units: u64, offset_s: i64) -> Result<i64, i64> {
        Resolution::from_option(option).scale().nanos(units, offset_s)
    }

    #[test]
    fn each_resolution_gives_the_same_second() {
        for (option, units) in [
            (0, 3),
            (3, 3_000),
            (6, 3_000_000),
            (9, 3_000_000_000),
            (12, 3_000_000_000_000),
            (0x80, 3),
            (0x8a, 3 << 10),
            (0xa0, 3 << 32),
        ] {
            assert_eq!(nanos(option, units, 0), Ok(3_000_000_000), "if_tsresol {option:#x}");
            assert_eq!(nanos(option, units, 2), Ok(5_000_000_000), "if_tsresol {option:#x}");
            assert_eq!(nanos(option, units, -4), Ok(-1_000_000_000), "if_tsresol {option:#x}");
        }
    }

    #[test]
    fn a_power_of_two_keeps_its_fraction() {
        assert_eq!(nanos(0xa0, (1 << 32) + (1 << 31), 0), Ok(1_500_000_000));
    }

    #[test]
    fn no_resolution_and_no_value_wraps() {
        for option in 0..=255 {
            for units in [0, 1, u64::from(u32::MAX), u64::MAX] {
                for offset_s in [0, 1, -1, i64::MAX, i64::MIN] {
                    let _ = nanos(option, units, offset_s);
                }
            }
        }
        assert_eq!(nanos(6, u64::MAX, 0), Err(i64::MAX));
        assert_eq!(nanos(6, 0, i64::MIN), Err(i64::MIN));
        assert_eq!(nanos(127, u64::MAX, 0), Ok(0));
        assert_eq!(nanos(255, u64::MAX, 0), Ok(0));
    }
}
