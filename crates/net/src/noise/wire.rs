//! The packets of the Noise links as they stand on the wire, before anything in them is proved.
//!
//! The first byte is the version of the link protocol, with the two highest bits clear: QUIC version 1 always sets the
//! second highest (RFC 9000, 17.2 and 17.3), so one socket serves both. Invariant: reading takes no memory, and every
//! slice of bytes either is one of these packets or is refused with a reason.

use crate::losses::LinkReason;

/// First byte of every packet.
pub(crate) const LINK_PROTOCOL: u8 = 1;
/// Longest packet that is looked at.
pub(crate) const PACKET_BYTES_MAX: usize = 1452;
/// Bytes that a seal adds.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes before the handshake in a first message.
const HELLO_HEAD: usize = 22;
/// A first message without payload: an ephemeral key, a sealed static key, a seal.
const HELLO_NOISE_MIN: usize = 32 + 48 + 16;
/// The answer to it: an ephemeral key and a seal.
const REPLY_NOISE: usize = 32 + 16;

const HELLO: u8 = 1;
const REPLY: u8 = 2;
const DATA: u8 = 3;
const COOKIE: u8 = 4;
const UNKNOWN: u8 = 5;

/// Whether a packet is for QUIC.
pub(crate) fn is_quic(first: u8) -> bool {
    first & 0x40 != 0
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// A host wants a session. `mac` proves that it knows this host's key, `cookie` that it gets what is sent to its address.
    Hello {
        /// The sender's number for the session.
        index: u32,
        cookie: [u8; 16],
        noise: &'a [u8],
        /// What the mac is over.
        covered: &'a [u8],
        mac: [u8; 16],
    },
    /// The answer: `index` is the answerer's number, `to` the asker's.
    Reply { index: u32, to: u32, noise: &'a [u8] },
    /// Something sealed within a session.
    Data { to: u32, counter: u64, sealed: &'a [u8] },
    /// Ask again, with this cookie. `echo` is the mac of the first message.
    Cookie { to: u32, echo: [u8; 16], cookie: [u8; 16] },
    /// The sender has no such session (any more); both numbers are those of the packet that it could not open.
    Unknown { to: u32, counter: u64 },
}

fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    Some((*head, rest))
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, LinkReason> {
        if bytes.first().is_some_and(|version| *version != LINK_PROTOCOL) {
            return Err(LinkReason::Version);
        }
        Self::read_known(bytes).ok_or(LinkReason::Malformed)
    }

    fn read_known(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > PACKET_BYTES_MAX {
            return None;
        }
        let ([_, kind], rest) = take::<2>(bytes)?;
        let (index, rest) = take::<4>(rest)?;
        let index = u32::from_le_bytes(index);
        match kind {
            HELLO => {
                let (cookie, rest) = take::<16>(rest)?;
                let (noise, mac) = rest.split_last_chunk::<16>()?;
                let covered = bytes.get(..HELLO_HEAD + noise.len())?;
                (noise.len() >= HELLO_NOISE_MIN).then_some(Self::Hello { index, cookie, noise, covered, mac: *mac })
            }
            REPLY => {
                let (to, noise) = take::<4>(rest)?;
                (noise.len() == REPLY_NOISE).then_some(Self::Reply { index, to: u32::from_le_bytes(to), noise })
            }
            DATA => {
                let (counter, sealed) = take::<8>(rest)?;
                let counter = u64::from_le_bytes(counter);
                (sealed.len() > TAG_BYTES).then_some(Self::Data { to: index, counter, sealed })
            }
            COOKIE => {
                let (echo, rest) = take::<16>(rest)?;
                let (cookie, rest) = take::<16>(rest)?;
                rest.is_empty().then_some(Self::Cookie { to: index, echo, cookie })
            }
            UNKNOWN => {
                let (counter, rest) = take::<8>(rest)?;
                rest.is_empty().then_some(Self::Unknown { to: index, counter: u64::from_le_bytes(counter) })
            }
            _ => None,
        }
    }
}

fn head(kind: u8, index: u32, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.extend([LINK_PROTOCOL, kind]);
    bytes.extend(index.to_le_bytes());
    bytes
}

/// A first message. Its mac is over all before it.
pub(crate) fn hello(index: u32, cookie: &[u8; 16], noise: &[u8], mac_key: &[u8; 32]) -> Vec<u8> {
    let mut bytes = head(HELLO, index, HELLO_HEAD + noise.len() + 16);
    bytes.extend(cookie);
    bytes.extend(noise);
    let mac = mac_of(mac_key, &bytes);
    bytes.extend(mac);
    bytes
}

/// The mac of a first message.
pub(crate) fn mac_of(key: &[u8; 32], covered: &[u8]) -> [u8; 16] {
    half(blake3::keyed_hash(key, covered).as_bytes())
}

pub(crate) fn half(hash: &[u8; 32]) -> [u8; 16] {
    let (half, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    *half
}

pub(crate) fn reply(index: u32, to: u32, noise: &[u8]) -> Vec<u8> {
    let mut bytes = head(REPLY, index, 10 + noise.len());
    bytes.extend(to.to_le_bytes());
    bytes.extend(noise);
    bytes
}

/// The head of a sealed packet; what is sealed is put behind it.
pub(crate) fn data(to: u32, counter: u64, sealed_bytes: usize) -> Vec<u8> {
    let mut bytes = head(DATA, to, DATA_HEAD + sealed_bytes);
    bytes.extend(counter.to_le_bytes());
    bytes
}

/// Bytes before what is sealed.
pub(crate) const DATA_HEAD: usize = 14;

pub(crate) fn cookie(to: u32, echo: &[u8; 16], cookie: &[u8; 16]) -> Vec<u8> {
    let mut bytes = head(COOKIE, to, 38);
    bytes.extend(echo);
    bytes.extend(cookie);
    bytes
}

pub(crate) fn unknown(to: u32, counter: u64) -> Vec<u8> {
    let mut bytes = head(UNKNOWN, to, 14);
    bytes.extend(counter.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_as_they_were_written() {
        let noise = [3; 120];
        let bytes = hello(7, &[1; 16], &noise, &[9; 32]);
        let Ok(Packet::Hello { index: 7, cookie: baked, noise: read, covered, mac }) = Packet::read(&bytes) else {
            panic!()
        };
        assert_eq!((baked, read, mac), ([1; 16], noise.as_slice(), mac_of(&[9; 32], covered)));
        let read = reply(1, 2, &[0; 48]);
        assert_eq!(Packet::read(&read), Ok(Packet::Reply { index: 1, to: 2, noise: &[0; 48] }));
        let mut bytes = data(5, 6, 20);
        bytes.extend([8; 20]);
        assert_eq!(Packet::read(&bytes), Ok(Packet::Data { to: 5, counter: 6, sealed: &[8; 20] }));
        assert_eq!(Packet::read(&unknown(3, 4)), Ok(Packet::Unknown { to: 3, counter: 4 }));
        let read = cookie(3, &[1; 16], &[2; 16]);
        assert_eq!(Packet::read(&read), Ok(Packet::Cookie { to: 3, echo: [1; 16], cookie: [2; 16] }));
    }

    #[test]
    fn other_versions_and_broken_packets_are_told_apart() {
        for version in [0, 2, 3, 63] {
            assert_eq!(Packet::read(&[version, DATA, 0, 0, 0, 0]), Err(LinkReason::Version));
        }
        assert_eq!(Packet::read(&[]), Err(LinkReason::Malformed));
        assert_eq!(Packet::read(&[1, 99, 0, 0, 0, 0, 0]), Err(LinkReason::Malformed));
        assert_eq!(Packet::read(&[1; PACKET_BYTES_MAX + 1]), Err(LinkReason::Malformed));
        let whole = hello(7, &[1; 16], &[3; HELLO_NOISE_MIN], &[9; 32]);
        for end in 1..whole.len() {
            assert_eq!(Packet::read(&whole[..end]), Err(LinkReason::Malformed), "{end}");
        }
    }

    #[test]
    fn no_answer_is_longer_than_the_first_message_that_caused_it() {
        let shortest = hello(7, &[1; 16], &[3; HELLO_NOISE_MIN], &[9; 32]).len();
        assert!(reply(1, 2, &[0; REPLY_NOISE]).len() <= shortest);
        assert!(cookie(3, &[1; 16], &[2; 16]).len() <= shortest);
    }
}
