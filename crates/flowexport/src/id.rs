//! Ids by which a receiver tells that it has something already.
//!
//! Invariant: the same items of the same host give the same id, also after a restart, and others do not.

use crate::durable::Numbered;

/// Bytes of an id, written as twice as many hexadecimal digits.
const ID_BYTES: usize = 16;

/// The id of items in their order.
pub(crate) fn id_of<'a>(items: impl Iterator<Item = &'a Numbered>) -> String {
    let mut hash = blake3::Hasher::new();
    // Two hosts may number equal items alike. Without the file (machine-id(5)) the items alone have to tell.
    hash.update(&std::fs::read("/etc/machine-id").unwrap_or_default());
    for (number, item) in items {
        hash.update(&number.to_le_bytes());
        hash.update(&(item.len() as u64).to_le_bytes());
        hash.update(item);
    }
    let mut id = hash.finalize().to_hex().to_string();
    id.truncate(ID_BYTES * 2);
    id
}
