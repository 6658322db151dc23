//! What can be wrong with a capture file, and what to do about it.
//!
//! Messages do not name the file: the caller knows what it asked for. Invariant: an error in the middle of a file says
//! where it is and how many records came before it.

use std::io;
use std::path::PathBuf;

use super::{CAPTURED_BYTES_MAX, INTERFACES_MAX, pcap, pcapng};

/// Leading bytes looked at to tell what a file is that is no capture.
pub(super) const SNIFFED_BYTES: usize = 512;

/// Why a capture cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file could not be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// As given.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading failed.
    #[error("reading failed at byte {offset}: {source}")]
    Read {
        /// Bytes read before.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error(
        "the capture is empty: not even a file header was written; see whether the capturing program still runs, or had \
         the right to write"
    )]
    Empty,
    /// Another format.
    #[error("not a pcap or pcapng capture: {found}")]
    NotACapture {
        /// What it is instead.
        found: Found,
    },
    /// A version that does not exist, or did before 1998.
    #[error("{format} version {major}.{minor} is not known; convert it with `editcap -F pcapng IN OUT`")]
    Version {
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The file ends inside a header, record or block. All whole records were delivered.
    #[error(
        "the capture is cut off: the record or block at byte {offset} is not whole; the {records} records before it \
         were read"
    )]
    CutOff {
        /// Where what is cut begins.
        offset: u64,
        /// Frames delivered before.
        records: u64,
    },
    /// A record claims more captured bytes than any capture has.
    #[error(
        "the record at byte {offset} claims {captured} captured bytes, more than the {CAPTURED_BYTES_MAX} any capture \
         holds: the file is damaged from there on; the {records} records before it were read"
    )]
    TooLong {
        /// Where the record begins.
        offset: u64,
        /// What it claims.
        captured: u32,
        /// Frames delivered before.
        records: u64,
    },
    /// A pcapng block contradicts itself or the file.
    #[error(
        "the pcapng block at byte {offset} {fault}: the file is damaged from there on; the {records} records before it \
         were read"
    )]
    Broken {
        /// Where the block begins.
        offset: u64,
        /// Frames delivered before.
        records: u64,
        /// In which way.
        fault: Fault,
    },
}

/// In which way a pcapng block is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither byte order makes sense of a section header.
    #[error("is a section header of neither byte order")]
    ByteOrder,
    /// An impossible length.
    #[error("claims a length of {length} bytes, which is no multiple of 4 from 12 on")]
    Length {
        /// As written.
        length: u32,
    },
    /// The lengths before and behind the body differ.
    #[error("says at its start that it has {leading} bytes and at its end that it has {trailing}")]
    Lengths {
        /// At the start.
        leading: u32,
        /// At the end.
        trailing: u32,
    },
    /// Too little for what the block has to hold.
    #[error("(type {kind:#x}) is too short for its own fields")]
    Short {
        /// Block type.
        kind: u32,
    },
    /// Too much to look into.
    #[error("claims {length} bytes, more than any block of its type needs")]
    TooLarge {
        /// As written.
        length: u32,
    },
    /// A packet does not fit into its block.
    #[error("has {length} bytes, too few for its packet of {captured}")]
    Overrun {
        /// Captured bytes it claims.
        captured: u32,
        /// Length of the block.
        length: u32,
    },
    /// A packet of an interface nobody described.
    #[error("is a packet of interface {interface}, but its section describes only {described}")]
    NoInterface {
        /// Index in the section.
        interface: u32,
        /// Interfaces described so far in the section.
        described: u32,
    },
    /// More interfaces than can be kept.
    #[error("describes one interface more than the {INTERFACES_MAX} that are kept")]
    TooManyInterfaces,
}

/// What a file is that is not a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A known format.
    Known {
        /// What it is called.
        name: &'static str,
        /// What to do with it.
        advice: &'static str,
    },
    /// Printable text.
    Text,
    /// Something else; its first bytes.
    Unknown(Vec<u8>),
}

const KNOWN: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "gzip", "unpack it on the way: `zcat FILE | hivewall replay -`"),
    (b"\xfd7zXZ\0", "xz", "unpack it on the way: `xzcat FILE | hivewall replay -`"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unpack it on the way: `zstdcat FILE | hivewall replay -`"),
    (b"BZh", "bzip2", "unpack it on the way: `bzcat FILE | hivewall replay -`"),
    (b"\x04\x22\x4d\x18", "lz4", "unpack it on the way: `lz4cat FILE | hivewall replay -`"),
    (b"PK\x03\x04", "a zip archive", "unpack it on the way: `unzip -p FILE | hivewall replay -`"),
    (b"snoop\0\0\0", "a Solaris snoop capture", "convert it: `editcap -F pcapng FILE OUT`"),
    (b"GMBU", "a Microsoft Network Monitor capture", "convert it: `editcap -F pcapng FILE OUT`"),
    (b"RTSS", "a Microsoft Network Monitor 1.x capture", "convert it: `editcap -F pcapng FILE OUT`"),
    (b"\x0c\xa5", "an nfdump flow file", "it holds no packets; give the capture it was made from"),
    (b"\x7fELF", "an ELF program", "give the capture, not the program"),
];

impl Found {
    /// Judges by the first bytes.
    pub(super) fn of(bytes: &[u8]) -> Found {
        if let Some((_, name, advice)) = KNOWN.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
            return Found::Known { name, advice };
        }
        let text = bytes.iter().all(|&b| b >= 0x80 || b.is_ascii_graphic() || b.is_ascii_whitespace());
        // The last character may have been cut by where the look ended.
        let utf8 = str::from_utf8(bytes).map_or_else(|e| e.error_len().is_none(), |_| true);
        if text && utf8 { Found::Text } else { Found::Unknown(bytes.iter().take(4).copied().collect()) }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::Known { name, advice } => write!(f, "this is {name}; {advice}"),
            Found::Text => f.write_str("this is text; give the file that `tcpdump -w FILE` or a like program wrote"),
            Found::Unknown(bytes) => {
                f.write_str("it starts with the bytes")?;
                for byte in bytes {
                    write!(f, " {byte:02x}")?;
                }
                f.write_str("; if Wireshark opens it, convert it with `editcap -F pcapng FILE OUT`")
            }
        }
    }
}

/// The error for a file of fewer than four bytes: empty, the beginning of a capture, or something else.
pub(super) fn no_magic(bytes: &[u8]) -> FileError {
    if bytes.is_empty() {
        return FileError::Empty;
    }
    let mut magics = pcap::MAGICS.into_iter().chain([pcapng::SECTION_HEADER]);
    if magics.any(|m| m.to_le_bytes().starts_with(bytes) || m.to_be_bytes().starts_with(bytes)) {
        FileError::CutOff { offset: 0, records: 0 }
    } else {
        FileError::NotACapture { found: Found::of(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_named_with_what_to_do() {
        let found = |bytes: &[u8]| Found::of(bytes).to_string();
        assert_eq!(
            found(b"\x1f\x8b\x08\x00rest"),
            "this is gzip; unpack it on the way: `zcat FILE | hivewall replay -`"
        );
        assert!(found(b"snoop\0\0\0\0\0\0\x02").contains("snoop"));
        assert!(found("10:00:01 IP 10.0.0.1 > 10.0.0.2: größer".as_bytes()).contains("text"));
        assert!(found(b"\x01\x02\x03\x04\x05").contains("01 02 03 04;"));
    }

    #[test]
    fn text_cut_inside_a_character_is_still_text() {
        let mut text = "ü".repeat(10).into_bytes();
        text.pop();
        assert_eq!(Found::of(&text), Found::Text);
    }

    #[test]
    fn three_bytes_of_a_magic_number_are_a_capture_cut_off() {
        for magic in pcap::MAGICS.into_iter().chain([pcapng::SECTION_HEADER]) {
            for bytes in [magic.to_le_bytes(), magic.to_be_bytes()] {
                for n in 1..4 {
                    assert!(matches!(no_magic(&bytes[..n]), FileError::CutOff { offset: 0, records: 0 }));
                }
            }
        }
        assert!(matches!(no_magic(b""), FileError::Empty));
        assert!(matches!(no_magic(b"hi"), FileError::NotACapture { found: Found::Text }));
    }
}
