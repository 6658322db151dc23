//! The Internet checksum (RFC 1071) and CRC-32C (SCTP, RFC 9260), written for frames a test builds.
//!
//! Not tuned for bulk data. Invariant: both are pure functions of the bytes, and a sum over a buffer that already
//! holds its right checksum gives zero.

/// Adds `bytes` to a running ones'-complement sum; `bytes` starts at an even offset of what is summed.
pub(super) fn add(mut sum: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_be_bytes(*word));
    }
    let (halves, last) = rest.as_chunks::<2>();
    for half in halves {
        sum += u64::from(u16::from_be_bytes(*half));
    }
    if let [byte] = last {
        sum += u64::from(*byte) << 8;
    }
    sum
}

/// The checksum field for a sum.
pub(super) fn finish(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The Internet checksum of `bytes`, its own field being zero in them.
pub fn internet(bytes: &[u8]) -> u16 {
    finish(add(0, bytes))
}

const CASTAGNOLI: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "i is below the length; const code has no get_mut")]
        {
            table[i] = crc;
        }
        i += 1;
    }
    table
};

/// CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let index = (crc as u8 ^ byte) as usize;
        CASTAGNOLI.get(index).copied().unwrap_or_default() ^ (crc >> 8)
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_sums_as_printed() {
        assert_eq!(internet(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn an_odd_last_byte_counts_as_the_high_half() {
        assert_eq!(internet(&[0x12, 0x34, 0x56]), !(0x1234 + 0x5600));
    }

    #[test]
    fn crc32c_gives_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
