//! What we last put into a packet filter, kept in a file, so that it can be put there again when somebody took it away.
//!
//! Bans are in it with the time that they had left when it was written. Invariant: the file is replaced as a whole, and
//! only after the kernel has taken the rules.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::inventory::{Inventory, Source, inventory};
use super::{IptablesVariant, RulesError, apply_iptables, apply_nft};

/// Name of the file in the agent's directory.
const FILE: &str = "rules.json";

/// Rules of ours as they were put into the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "backend", rename_all = "kebab-case")]
pub enum Kept {
    /// One transaction of nft.
    Nftables {
        /// What it was given.
        text: String,
    },
    /// Chains in one of iptables' two homes.
    Iptables {
        /// Whether that is the older one.
        legacy: bool,
        /// For IPv4.
        v4: String,
        /// For IPv6.
        v6: String,
    },
}

/// A kept program with the hashes of what it became.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    #[serde(flatten)]
    kept: Kept,
    /// Of our tables or chains, in order of the inventory.
    hashes: Vec<String>,
}

/// What a repair found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// This host keeps no rules in nftables or iptables.
    NothingKept,
    /// All is as it was put there.
    Whole,
    /// Something had changed, and is as it was put there again.
    Repaired,
}

impl Kept {
    /// Which packet filter it is for.
    pub fn backend(&self) -> &'static str {
        match self {
            Self::Nftables { .. } => "nftables",
            Self::Iptables { .. } => "iptables",
        }
    }

    /// Takes out of the packet filter what this put there.
    pub fn remove(&self) -> Result<(), RulesError> {
        match self {
            Self::Nftables { .. } => super::remove_nft(),
            Self::Iptables { legacy: true, .. } => super::remove_iptables(IptablesVariant::Legacy),
            Self::Iptables { .. } => super::remove_iptables(IptablesVariant::Nft),
        }
    }

    fn put(&self) -> Result<(), RulesError> {
        match self {
            Self::Nftables { text } => apply_nft(text),
            Self::Iptables { legacy, v4, v6 } => {
                let variant = if *legacy { IptablesVariant::Legacy } else { IptablesVariant::Nft };
                apply_iptables(variant, v4, v6)
            }
        }
    }

    /// Hashes of what is ours, and of the jumps that lead there.
    fn hashes(&self, inventory: &Inventory) -> Vec<String> {
        let wanted = match self {
            Self::Nftables { .. } => Source::Nftables,
            Self::Iptables { legacy: true, .. } => Source::IptablesLegacy,
            Self::Iptables { .. } => Source::IptablesNft,
        };
        let mut out = Vec::new();
        for table in inventory.tables.iter().filter(|table| table.source == wanted) {
            if table.ours {
                out.push(table.hash.clone());
            }
            for chain in &table.chains {
                let jumps = chain.rules.iter().filter(|rule| rule.ours && !chain.ours).map(|rule| rule.text.clone());
                out.extend(jumps);
                if chain.ours && !table.ours {
                    out.push(chain.hash.clone());
                }
            }
        }
        out
    }

    /// Puts the rules into the kernel and remembers them in this directory. What another packet filter has of ours goes
    /// once these hold.
    pub fn apply(&self, directory: &Path) -> Result<(), RulesError> {
        let before = kept(directory)?;
        self.put()?;
        self.keep(directory)?;
        match before {
            Some(before) if !before.is_replaced_by(self) => before.remove(),
            _ => Ok(()),
        }
    }

    fn is_replaced_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Iptables { legacy: a, .. }, Self::Iptables { legacy: b, .. }) => a == b,
            _ => self.backend() == other.backend(),
        }
    }

    /// Remembers rules that are in the kernel.
    pub fn keep(&self, directory: &Path) -> Result<(), RulesError> {
        let document = Document { kept: self.clone(), hashes: self.hashes(&inventory()) };
        let io = |source| RulesError::Io { tool: FILE, source };
        let text = serde_json::to_string(&document).map_err(|source| RulesError::Json { tool: FILE, source })?;
        let beside = directory.join("rules.json.new");
        std::fs::create_dir_all(directory).map_err(io)?;
        std::fs::write(&beside, text).map_err(io)?;
        std::fs::rename(&beside, directory.join(FILE)).map_err(io)
    }
}

fn read(directory: &Path) -> Result<Option<Document>, RulesError> {
    let text = match std::fs::read_to_string(directory.join(FILE)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| RulesError::Io { tool: FILE, source })?,
    };
    serde_json::from_str(&text).map(Some).map_err(|source| RulesError::Json { tool: FILE, source })
}

/// What is kept in this directory.
pub fn kept(directory: &Path) -> Result<Option<Kept>, RulesError> {
    Ok(read(directory)?.map(|document| document.kept))
}

/// Whether the kernel still has what is kept in this directory; none when nothing is.
pub fn is_whole(directory: &Path) -> Result<Option<bool>, RulesError> {
    let Some(document) = read(directory)? else { return Ok(None) };
    Ok(Some(document.kept.hashes(&inventory()) == document.hashes))
}

/// Puts our rules back where something of them was changed.
pub fn repair(directory: &Path) -> Result<Repair, RulesError> {
    let Some(document) = read(directory)? else { return Ok(Repair::NothingKept) };
    if document.kept.hashes(&inventory()) == document.hashes {
        return Ok(Repair::Whole);
    }
    document.kept.apply(directory)?;
    Ok(Repair::Repaired)
}

/// Forgets what was kept: nothing is to be repaired any more.
pub fn forget(directory: &Path) -> Result<(), RulesError> {
    match std::fs::remove_file(directory.join(FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(RulesError::Io { tool: FILE, source: error }),
        _ => Ok(()),
    }
}
