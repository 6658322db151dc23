//! Everything of ours taken out of the packet filters, whatever agent put it there.
//!
//! Only what is listed as ours is removed. Invariant: what is kept in files is not asked; a table without a file goes, too.

use super::inventory::{Source, Table, inventory};
use super::{IptablesVariant, RulesError, remove_iptables, remove_nft};

/// Removes our table and our chains; a line for each packet filter that had any.
pub fn clear() -> Result<Vec<String>, RulesError> {
    let found = inventory();
    let has = |source: Source| {
        let is_ours = |table: &Table| table.ours || table.chains.iter().any(|chain| chain.ours);
        found.tables.iter().any(|table| table.source == source && is_ours(table))
    };
    let mut done = Vec::new();
    if has(Source::Nftables) {
        remove_nft()?;
        done.push("removed the table inet hivewall from nftables".to_owned());
    }
    let variants = [(Source::IptablesNft, IptablesVariant::Nft), (Source::IptablesLegacy, IptablesVariant::Legacy)];
    for (source, variant) in variants {
        if has(source) {
            remove_iptables(variant)?;
            let name = if variant == IptablesVariant::Nft { "iptables" } else { "iptables-legacy" };
            done.push(format!("removed the chains HIVEWALL-* from {name} and its IPv6 twin"));
        }
    }
    Ok(done)
}
