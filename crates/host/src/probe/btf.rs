//! Looking a type up in the kernel's own description of itself (BTF; the kernel's Documentation/bpf/btf.rst).
//!
//! Only names and numbers: what a type consists of is for loaders. Invariant: a description that is cut or odd gives "not
//! there", never a wrong number.

use std::fs;

use super::refused;

/// Where the kernel keeps it.
pub(super) const PATH: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
/// Bytes of a type without what follows it.
const TYPE_BYTES: usize = 12;

/// Kinds of types that are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A raw tracepoint is known by the typedef `btf_trace_NAME`.
    Typedef = 8,
    /// A function that can be traced.
    Function = 12,
}

/// The description.
pub(super) struct Btf {
    bytes: Vec<u8>,
}

impl Btf {
    pub(super) fn read() -> Result<Self, String> {
        let bytes = fs::read(PATH).map_err(|error| refused(&format!("read {PATH}"), &error))?;
        Ok(Self { bytes })
    }

    /// The number of the type with this name and kind.
    pub(super) fn id(&self, kind: Kind, name: &str) -> Option<u32> {
        let word = |at: usize| Some(u32::from_ne_bytes(*self.bytes.get(at..)?.first_chunk()?));
        let magic = u16::from_ne_bytes(*self.bytes.first_chunk()?);
        let header = word(4)? as usize;
        let (types, types_len, names) = (word(8)? as usize, word(12)? as usize, word(16)? as usize);
        let names = self.bytes.get(header.checked_add(names)?..).filter(|_| magic == MAGIC)?;
        let mut at = header.checked_add(types)?;
        let end = at.checked_add(types_len)?;
        // Number 0 is void, which has no entry.
        let mut id = 1;
        while at < end {
            let (name_at, about) = (word(at)? as usize, word(at + 4)?);
            if about >> 24 & 0x1f == kind as u32 {
                let after = names.get(name_at..)?.strip_prefix(name.as_bytes());
                if after.is_some_and(|after| after.first() == Some(&0)) {
                    return Some(id);
                }
            }
            at += TYPE_BYTES + rest_bytes(about >> 24 & 0x1f, (about & 0xffff) as usize)?;
            id += 1;
        }
        None
    }
}

/// Bytes behind a type of this kind with so many members; `None` for a kind that is not known.
fn rest_bytes(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Struct, union, section, 64-bit enum.
        4 | 5 | 15 | 19 => members * 12,
        // Enum, prototype.
        6 | 13 => members * 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `int`, a struct with one member, and the typedef `wanted`, in this machine's byte order.
    fn sample() -> Vec<u8> {
        let names = b"\0int\0wanted\0";
        let types: [u32; 13] = [1, 1 << 24, 4, 32, 0, 4 << 24 | 1, 4, 1, 1, 0, 5, 8 << 24, 1];
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, types.len() as u32 * 4, types.len() as u32 * 4, names.len() as u32] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(names);
        bytes
    }

    #[test]
    fn a_type_is_found_by_kind_and_whole_name() {
        let btf = Btf { bytes: sample() };
        assert_eq!(btf.id(Kind::Typedef, "wanted"), Some(3));
        assert_eq!(btf.id(Kind::Typedef, "want"), None);
        assert_eq!(btf.id(Kind::Function, "wanted"), None);
        assert_eq!(btf.id(Kind::Typedef, "int"), None);
    }

    #[test]
    fn a_cut_description_has_nothing_in_it() {
        let whole = sample();
        // The last two bytes only end the name that is looked for.
        for len in 0..whole.len() - 1 {
            assert_eq!(Btf { bytes: whole[..len].to_vec() }.id(Kind::Typedef, "wanted"), None, "{len}");
        }
        assert_eq!(Btf { bytes: vec![0xff; 200] }.id(Kind::Typedef, "wanted"), None);
    }
}
