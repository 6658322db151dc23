//! How many packets on the wire a buffer stands for, from the virtio header that the kernel puts before a frame.
//!
//! The header names the payload bytes of a segment but not their number. Where the transport header is known to start
//! (its checksum is still to be finished, which is the case for buffers to be cut and for those that GRO joined), the
//! number is exact even inside tunnels; elsewhere it is left to the packet parser, which knows the payload.
//! Invariant: nothing is guessed; a number that is not certain is 0.

use super::ring::Raw;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM` and `VIRTIO_NET_HDR_GSO_*` (linux/virtio_net.h).
const NEEDS_CHECKSUM: u8 = 1;
const NONE: u8 = 0;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
const UDP_SEGMENTS: u8 = 5;
/// `VIRTIO_NET_HDR_GSO_ECN`, a flag beside the type.
const ECN: u8 = 0x80;
const UDP_HEADER_BYTES: usize = 8;

/// Segments (0 for unknown) and payload bytes of one segment (0 for a single packet).
pub(super) fn of(raw: &Raw<'_>) -> (u32, u32) {
    let Some([flags, kind, _, _, s0, s1, c0, c1, _, _]) = raw.virtio else { return (0, 0) };
    // The packet socket writes the header in the machine's own byte order.
    let size = u32::from(u16::from_ne_bytes([s0, s1]));
    let kind = kind & !ECN;
    if kind == NONE || size == 0 {
        return (0, 0);
    }
    // Kernels differ on whether a tag kept in metadata shifts the start, so then it is not used.
    if flags & NEEDS_CHECKSUM == 0 || raw.vlan.is_some() {
        return (0, size);
    }
    let transport = usize::from(u16::from_ne_bytes([c0, c1]));
    let header = match kind {
        TCP_V4 | TCP_V6 => raw.bytes.get(transport + 12).map(|offset| usize::from(offset >> 4) * 4),
        UDP_SEGMENTS => Some(UDP_HEADER_BYTES),
        _ => None,
    };
    let payload = header.and_then(|bytes| (raw.len as usize).checked_sub(transport + bytes));
    (payload.map_or(0, |bytes| (bytes as u32).div_ceil(size).max(1)), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "what a frame has, or has not")]
    fn header(flags: u8, kind: u8, size: u16, start: u16) -> Option<[u8; 10]> {
        let ([s0, s1], [c0, c1]) = (size.to_ne_bytes(), start.to_ne_bytes());
        Some([flags, kind, 0, 0, s0, s1, c0, c1, 0, 0])
    }

    /// `len` bytes on the wire, of which 128 were captured, with a TCP data offset of 32 bytes at transport byte 12.
    fn counted(virtio: Option<[u8; 10]>, transport: usize, len: u32, vlan: Option<u16>) -> (u32, u32) {
        let mut bytes = [0; 128];
        if let Some(offset) = bytes.get_mut(transport + 12) {
            *offset = 8 << 4;
        }
        of(&Raw { time_ns: 0, len, bytes: &bytes, vlan, outgoing: false, virtio })
    }

    #[test]
    fn one_packet_is_one_packet() {
        assert_eq!(counted(None, 34, 1514, None), (0, 0));
        assert_eq!(counted(header(1, 0, 0, 34), 34, 1514, None), (0, 0));
    }

    #[test]
    fn tcp_segments_are_counted_from_the_payload() {
        let whole = 34 + 32 + 3 * 1448;
        for kind in [1, 4, 1 | 0x80] {
            assert_eq!(counted(header(1, kind, 1448, 34), 34, whole, None), (3, 1448));
            assert_eq!(counted(header(1, kind, 1448, 34), 34, whole + 1, None), (4, 1448));
        }
    }

    #[test]
    fn the_inner_transport_of_a_tunnel_decides() {
        assert_eq!(counted(header(1, 1, 1398, 84), 84, 84 + 32 + 2 * 1398, None), (2, 1398));
    }

    #[test]
    fn udp_segments_have_a_header_of_eight_bytes() {
        assert_eq!(counted(header(1, 5, 1200, 34), 34, 34 + 8 + 1201, None), (2, 1200));
    }

    #[test]
    fn what_is_not_certain_is_left_to_the_parser() {
        assert_eq!(counted(header(0, 1, 1448, 34), 34, 9000, None), (0, 1448), "no transport offset");
        assert_eq!(counted(header(1, 1, 1448, 34), 34, 9000, Some(7)), (0, 1448), "a tag in metadata");
        assert_eq!(counted(header(1, 1, 1448, 500), 34, 9000, None), (0, 1448), "header not captured");
        assert_eq!(counted(header(1, 9, 1448, 34), 34, 9000, None), (0, 1448), "another kind");
        assert_eq!(counted(header(1, 5, 1448, 60000), 34, 9000, None), (0, 1448), "offset beyond the frame");
    }
}
