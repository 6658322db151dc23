//! Bans as the agent keeps them: in the kernel, and with their ends and reasons in a file beside the policy's state. What
//! the policy denies at the front goes through here to the tables that it shares with them.
//!
//! Invariant: the kernel is changed first, so that the file never claims a ban that does not hold; what the file lacks
//! after a crash is found in the kernel again, without an end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hivewall_datapath::policy::Address;
use hivewall_host::bans::{Ban, BanStore, Bans, List, Origin, Prefix};
use hivewall_host::source::wall_clock;
use hivewall_view::policy::{BanView, TableFill};
use hivewall_view::time::{parse_rfc3339, rfc3339};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::vault;

const FILE: &str = "bans.json";

/// Tables of bans: the kernel's, or only ours where a packet filter has its own.
pub(crate) type Store = Box<dyn BanStore + Send>;

/// What a policy denies at the front: prefixes in order, each with the counter of its rule.
#[derive(Default)]
pub(super) struct DenyList(Vec<(Prefix, u16)>);

impl DenyList {
    /// Of a policy.
    pub(super) fn new(hoisted: Vec<(IpNet, u16)>) -> Self {
        let mut all: Vec<(Prefix, u16)> =
            hoisted.into_iter().map(|(net, counter)| (Prefix::from(net), counter)).collect();
        all.sort_unstable();
        all.dedup_by_key(|(prefix, _)| *prefix);
        Self(all)
    }
}

/// The bans of this host.
pub(crate) struct BanBook {
    bans: Bans<Store>,
    state: PathBuf,
}

impl BanBook {
    /// What is in the kernel, with what the file says about it; bans of the file that a reboot took are made again.
    pub(super) fn open(mut bans: Bans<Store>, state: &Path) -> anyhow::Result<Self> {
        let now = wall_clock();
        for (prefix, ban) in read(&state.join(FILE))? {
            if ban.until.is_none_or(|until| until > now) {
                bans.add(prefix, ban).with_context(|| format!("the ban of {prefix} cannot be made again"))?;
            } else {
                bans.remove(prefix)?;
            }
        }
        Ok(Self { bans, state: state.to_owned() })
    }

    pub(super) fn add(&mut self, prefix: IpNet, ttl: Option<Duration>, who: &str, reason: &str) -> anyhow::Result<()> {
        let origin = Arc::new(Origin { issuer: who.to_owned(), reason: reason.to_owned() });
        self.bans.add(Prefix::from(prefix), Ban { until: ttl.map(|ttl| wall_clock() + ttl), origin })?;
        self.write()
    }

    pub(super) fn remove(&mut self, prefix: IpNet) -> anyhow::Result<bool> {
        let was = self.bans.remove(Prefix::from(prefix))?.is_some();
        if was {
            self.write()?;
        }
        Ok(was)
    }

    /// Lifts the ban of a prefix if this one issued it.
    pub(super) fn remove_of(&mut self, prefix: IpNet, issuer: &str) -> anyhow::Result<bool> {
        let wanted = Prefix::from(prefix);
        let is_theirs = self.bans.iter().any(|(held, ban)| held == wanted && ban.origin.issuer == issuer);
        Ok(is_theirs && self.remove(prefix)?)
    }

    /// The port that no deny set at the front cuts off; 0 for none.
    pub(super) fn set_links_port(&mut self, port: u16) {
        self.bans.set_links_port(port);
    }

    /// Lifts what has ended; tells whether anything has.
    pub(super) fn expire(&mut self) -> anyhow::Result<bool> {
        let ended = self.bans.expire(wall_clock())?;
        if ended.is_empty() {
            return Ok(false);
        }
        for (prefix, _) in &ended {
            tracing::info!(%prefix, "the ban has ended");
        }
        self.write()?;
        Ok(true)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bans.len()
    }

    /// Sources behind which nothing is dropped before the policy was asked: these and no others.
    pub(super) fn set_exempt(&mut self, exempt: &[Address]) -> anyhow::Result<()> {
        Ok(self.bans.set_exempt(prefixes(exempt))?)
    }

    /// More such sources.
    pub(super) fn add_exempt(&mut self, exempt: &[Address]) -> anyhow::Result<()> {
        Ok(self.bans.add_exempt(prefixes(exempt))?)
    }

    /// Denies nothing at the front any more but what is in the list.
    pub(super) fn keep_denied(&mut self, denied: &DenyList) -> anyhow::Result<()> {
        Ok(self.bans.keep_denied(&denied.0)?)
    }

    /// Has the front exempt and deny what a policy says that is in force for good. On an error it does less, and the rules
    /// hold all the same.
    pub(super) fn follow(&mut self, exempt: &[Address], denied: &DenyList) -> anyhow::Result<()> {
        self.set_exempt(exempt).context("sources that are no longer exempt still pass the XDP front")?;
        let done = self.bans.deny(&denied.0).context("what the policy denies is not dropped at the XDP front")?;
        let Some((left, why)) = done.left else { return Ok(()) };
        tracing::warn!(left, %why, "prefixes of deny sets found no room at the XDP front");
        anyhow::bail!(
            "{left} prefixes of deny sets found no room at the XDP front and are dropped where packets are judged, which \
             costs more for each packet: join neighbouring prefixes, or put fewer in such rules"
        )
    }

    /// How full the table of denied prefixes is.
    pub(super) fn tables(&self) -> BTreeMap<String, TableFill> {
        let fill =
            TableFill { entries: self.bans.denied_len() as u64, limit: u64::from(List::Denied.max()), refused: 0 };
        BTreeMap::from([("deny_sets_in_front".to_owned(), fill)])
    }

    /// What is banned.
    pub(super) fn prefixes(&self) -> Vec<IpNet> {
        self.bans.iter().map(|(prefix, _)| IpNet::from(prefix)).collect()
    }

    /// All, as a packet filter is given them.
    pub(super) fn all(&self) -> Vec<hivewall_policy::backend::Ban> {
        self.bans.iter().map(|(prefix, ban)| given(prefix, ban)).collect()
    }

    /// One of them.
    pub(super) fn one(&self, net: IpNet) -> Option<hivewall_policy::backend::Ban> {
        let wanted = Prefix::from(net);
        self.bans.iter().find(|(prefix, _)| *prefix == wanted).map(|(prefix, ban)| given(prefix, ban))
    }

    /// At most so many, in order.
    pub(super) fn views(&self, most: usize) -> Vec<BanView> {
        let now = wall_clock();
        let view = |(prefix, ban): (Prefix, &Ban)| BanView {
            prefix: prefix.to_string(),
            reason: ban.origin.reason.clone(),
            origin: ban.origin.issuer.clone(),
            since: None,
            seconds_left: ban.until.map(|until| until.since(now).as_secs_f64()),
        };
        self.bans.iter().take(most).map(view).collect()
    }

    fn write(&self) -> anyhow::Result<()> {
        let entry = |(prefix, ban): (Prefix, &Ban)| {
            json!({
                "prefix": prefix.to_string(),
                "until": ban.until.map(rfc3339),
                "issuer": ban.origin.issuer,
                "reason": ban.origin.reason,
            })
        };
        let all: Vec<Value> = self.bans.iter().map(entry).collect();
        Ok(vault::replace(&self.state, FILE, &serde_json::to_vec_pretty(&all)?)?)
    }
}

fn prefixes(addresses: &[Address]) -> impl Iterator<Item = Prefix> {
    addresses.iter().map(|address| Prefix::of_address(address, family(address)))
}

/// What the file in this state says is banned now.
pub(super) fn kept(state: &Path) -> anyhow::Result<Vec<IpNet>> {
    let now = wall_clock();
    let all = read(&state.join(FILE))?;
    let holds = |(_, ban): &(Prefix, Ban)| ban.until.is_none_or(|until| until > now);
    Ok(all.into_iter().filter(holds).map(|(prefix, _)| IpNet::from(prefix)).collect())
}

fn given(prefix: Prefix, ban: &Ban) -> hivewall_policy::backend::Ban {
    let left =
        |until: hivewall_model::Timestamp| Duration::from_secs_f64(until.since(wall_clock()).as_secs_f64().max(0.001));
    hivewall_policy::backend::Ban { net: IpNet::from(prefix), expires_in: ban.until.map(left) }
}

fn family(address: &Address) -> u32 {
    let [a, b, c, _] = address.words;
    let is_v4 = a | b == 0 && c == 0xffff_u32.to_be() && address.prefix_len >= 96;
    if is_v4 { hivewall_datapath::front::family::IPV4 } else { hivewall_datapath::front::family::IPV6 }
}

fn read(file: &Path) -> anyhow::Result<Vec<(Prefix, Ban)>> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let all: Vec<Value> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged; move it away to start without the bans in it", file.display()))?;
    let word = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    all.iter()
        .map(|entry| {
            let text = word(entry, "prefix");
            // A single address is written without a length.
            let prefix: IpNet = text
                .parse()
                .or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)))
                .with_context(|| format!("{text} in {} is no address", file.display()))?;
            let until = match word(entry, "until") {
                text if text.is_empty() => None,
                text => Some(parse_rfc3339(&text).with_context(|| format!("{text} in {} is no time", file.display()))?),
            };
            let origin = Arc::new(Origin { issuer: word(entry, "issuer"), reason: word(entry, "reason") });
            Ok((Prefix::from(prefix), Ban { until, origin }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_of_addresses_and_networks_are_read_as_they_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let texts = ["10.0.0.1", "10.1.0.0/16", "2001:db8::1", "2001:db8:1::/48"];
        let prefixes = texts.map(|text| {
            let net = text.parse().unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().unwrap()));
            Prefix::from(net)
        });
        let all: Vec<Value> = prefixes.iter().map(|prefix| json!({ "prefix": prefix.to_string() })).collect();
        std::fs::write(&file, serde_json::to_vec(&all).unwrap()).unwrap();
        let found: Vec<Prefix> = read(&file).unwrap().into_iter().map(|(prefix, _)| prefix).collect();
        assert_eq!(found, prefixes);
    }
}
