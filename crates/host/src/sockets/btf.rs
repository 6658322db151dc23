//! The kernel's own description of its types (BTF), read for places of fields and names of numbers.
//!
//! Only what the socket programs need: members of structures and values of enumerations. The format is
//! Documentation/bpf/btf.rst of the kernel. Invariant: no input makes it read beyond the bytes or without end.

use std::path::Path;

/// Where the kernel shows it.
pub(super) const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// More than any kernel's types take (5 to 15 MiB).
const BYTES_MAX: u64 = 64 << 20;
/// Structures without a name inside of one another; the kernel has three.
const NESTING_MAX: u32 = 8;
/// Members looked at for one question; the kernel's largest structures have some hundreds.
const MEMBERS_MAX: u32 = 100_000;
/// First two bytes, in the byte order of the machine.
const MAGIC: u16 = 0xeb9f;

/// Kinds of types.
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;

/// Types of the running kernel.
pub(super) struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Where each type stands; that of id 1 first.
    types: Vec<u32>,
}

/// One type's head.
#[derive(Clone, Copy)]
struct Head {
    name: u32,
    kind: u32,
    /// Members or values.
    count: u32,
    /// Whether member offsets carry the size of a bit field.
    flag: bool,
    /// Where its members begin.
    body: usize,
}

impl Btf {
    /// Reads the running kernel's.
    pub(super) fn of_kernel() -> Result<Self, BtfError> {
        Self::read(Path::new(KERNEL))
    }

    fn read(path: &Path) -> Result<Self, BtfError> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        // The file says how long it is, but sysfs is not to be believed.
        let file = std::fs::File::open(path).map_err(BtfError::Read)?;
        file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(BtfError::Read)?;
        Self::parse(bytes)
    }

    /// Finds where every type stands.
    fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let mut btf = Self { bytes, strings: 0, types: Vec::new() };
        let words = (btf.half(0), btf.word(4), btf.word(8), btf.word(12), btf.word(16));
        let (Some(MAGIC), Some(head), Some(types), Some(types_bytes), Some(strings)) = words else {
            return Err(BtfError::Format);
        };
        let place = |offset: u32| usize::try_from(u64::from(head) + u64::from(offset)).map_err(|_| BtfError::Format);
        btf.strings = place(strings)?;
        let mut at = place(types)?;
        let end = at.saturating_add(types_bytes as usize);
        if end > btf.bytes.len() || btf.strings > btf.bytes.len() {
            return Err(BtfError::Format);
        }
        while at < end {
            let head = btf.head(at).ok_or(BtfError::Format)?;
            btf.types.push(u32::try_from(at).map_err(|_| BtfError::Format)?);
            at = head.body + body_bytes(head).ok_or(BtfError::Format)?;
        }
        Ok(btf)
    }

    /// Bytes from the start of a structure to a member, which may stand in a nameless structure inside of it.
    pub(super) fn member(&self, structure: &str, member: &str) -> Option<u32> {
        let head = self.find(STRUCT, structure)?;
        self.member_bits(head, member, NESTING_MAX, &mut 0).map(|bits| bits / 8)
    }

    fn member_bits(&self, head: Head, member: &str, nesting: u32, seen: &mut u32) -> Option<u32> {
        for index in 0..head.count {
            *seen += 1;
            if *seen > MEMBERS_MAX {
                return None;
            }
            let at = head.body + index as usize * 12;
            let (name, id, mut bits) = (self.word(at)?, self.word(at + 4)?, self.word(at + 8)?);
            if head.flag {
                bits &= 0xff_ffff;
            }
            if name != 0 {
                if self.is_named(name, member) {
                    return Some(bits);
                }
                continue;
            }
            let inner = self.types.get((id as usize).checked_sub(1)?).and_then(|at| self.head(*at as usize))?;
            if nesting > 0
                && matches!(inner.kind, STRUCT | UNION)
                && let Some(more) = self.member_bits(inner, member, nesting - 1, seen)
            {
                return bits.checked_add(more);
            }
        }
        None
    }

    /// Names and numbers of an enumeration; none where the kernel does not have it.
    pub(super) fn values(&self, name: &str) -> Vec<(&str, u32)> {
        let Some(head) = self.find(ENUM, name) else { return Vec::new() };
        let value = |index: u32| {
            let at = head.body + index as usize * 8;
            Some((self.name(self.word(at)?)?, self.word(at + 4)?))
        };
        (0..head.count).filter_map(value).collect()
    }

    /// Whether the kernel has a tracepoint of this name.
    pub(super) fn has_tracepoint(&self, name: &str) -> bool {
        self.find(TYPEDEF, &format!("btf_trace_{name}")).is_some()
    }

    fn find(&self, kind: u32, name: &str) -> Option<Head> {
        let mut heads = self.types.iter().filter_map(|at| self.head(*at as usize));
        heads.find(|head| head.kind == kind && self.is_named(head.name, name))
    }

    fn head(&self, at: usize) -> Option<Head> {
        let (name, info) = (self.word(at)?, self.word(at + 4)?);
        Some(Head { name, kind: info >> 24 & 31, count: info & 0xffff, flag: info >> 31 != 0, body: at + 12 })
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let rest = self.bytes.get(self.strings + offset as usize..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    fn name(&self, offset: u32) -> Option<&str> {
        let rest = self.bytes.get(self.strings + offset as usize..)?;
        std::str::from_utf8(rest.split(|byte| *byte == 0).next()?).ok()
    }

    fn half(&self, at: usize) -> Option<u16> {
        self.bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }
}

/// Bytes between a type's head and the next type.
fn body_bytes(head: Head) -> Option<usize> {
    let count = head.count as usize;
    Some(match head.kind {
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, sections, wide enumerations.
        STRUCT | UNION | 15 | 19 => count * 12,
        // Enumerations, function prototypes.
        ENUM | 13 => count * 8,
        _ => return None,
    })
}

/// Why the kernel's types cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error("{KERNEL} cannot be read: {0}; the kernel needs CONFIG_DEBUG_INFO_BTF")]
    Read(#[source] std::io::Error),
    /// It is not what it should be.
    #[error("{KERNEL} is not in a form this build knows")]
    Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A description with `struct s { int a; struct { union { int x; int b; }; }; }` and `enum e { NO = 0, YES = 7 }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0s\0a\0b\0e\0NO\0YES\0int\0x\0";
        let name = |text: &str| {
            let text = format!("\0{text}\0");
            strings.windows(text.len()).position(|window| window == text.as_bytes()).unwrap() as u32 + 1
        };
        let mut words = [
            // 1: int of 4 bytes
            [name("int"), 1 << 24, 4].to_vec(),
            vec![32],
            // 2: the union
            [0, 5 << 24 | 2, 4].to_vec(),
            vec![name("x"), 1, 0, name("b"), 1, 0],
            // 3: the nameless structure around it
            [0, 4 << 24 | 1, 4].to_vec(),
            vec![0, 2, 0],
            // 4: struct s
            [name("s"), 4 << 24 | 2, 8].to_vec(),
            vec![name("a"), 1, 0, 0, 3, 32],
            // 5: enum e
            [name("e"), 6 << 24 | 2, 4].to_vec(),
            vec![name("NO"), 0, name("YES"), 7],
        ]
        .concat();
        let types_bytes = words.len() as u32 * 4;
        let mut head = vec![u32::from(MAGIC) | 1 << 16, 24, 0, types_bytes, types_bytes, strings.len() as u32];
        head.append(&mut words);
        let mut bytes: Vec<u8> = head.into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend_from_slice(strings);
        bytes
    }

    #[test]
    fn a_member_of_a_nameless_union_in_a_nameless_structure_is_found() {
        let btf = Btf::parse(sample()).unwrap();
        assert_eq!(btf.member("s", "a"), Some(0));
        assert_eq!(btf.member("s", "b"), Some(4));
        assert_eq!(btf.member("s", "c"), None);
        assert_eq!(btf.member("t", "a"), None);
    }

    #[test]
    fn an_enumeration_gives_names_and_numbers() {
        let btf = Btf::parse(sample()).unwrap();
        assert_eq!(btf.values("e"), [("NO", 0), ("YES", 7)]);
        assert!(btf.values("s").is_empty());
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_survived() {
        let whole = sample();
        for length in 0..whole.len() {
            if let Ok(btf) = Btf::parse(whole.get(..length).unwrap().to_vec()) {
                let _ = (btf.member("s", "b"), btf.values("e"));
            }
        }
        for at in 0..whole.len() {
            for value in [0, 1, 4, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                if let Ok(btf) = Btf::parse(changed) {
                    let _ = (btf.member("s", "b"), btf.values("e"));
                }
            }
        }
    }

    #[test]
    fn a_structure_that_contains_itself_ends() {
        let mut bytes = sample();
        // The nameless structure's member becomes the structure itself (type 3 instead of 2).
        let at = bytes.chunks(4).position(|word| word == 2_u32.to_ne_bytes()).unwrap() * 4;
        bytes[at] = 3;
        let btf = Btf::parse(bytes).unwrap();
        assert_eq!(btf.member("s", "b"), None);
    }
}
