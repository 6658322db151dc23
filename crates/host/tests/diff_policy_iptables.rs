//! The policy as both variants of iptables have it against the oracle: random policies, random packets through a host that
//! forwards. Needs root, `iptables-nft` and `iptables-legacy`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "its other half is for nftables")]
mod bench;

use bench::Bench;
use hivewall_host::rules::{IptablesVariant, Source, apply_iptables, inventory, remove_iptables};
use hivewall_policy::Ruleset;
use hivewall_policy::backend::{Ban, Options, Shortfall, iptables};
use hivewall_testkit::require_root;
use ipnet::IpNet;

/// Policies that are tried, each followed by another.
const POLICIES: u64 = 32;

fn apply(variant: IptablesVariant) -> impl Fn(&Bench, &Ruleset, &[IpNet]) -> String {
    move |bench, ruleset, bans| {
        let bans: Vec<Ban> = bans.iter().map(|net| Ban { net: *net, expires_in: None }).collect();
        let program = iptables::compile(ruleset, &bans, &Options::default());
        assert!(!program.shortfalls.iter().any(Shortfall::is_fatal), "{:?}", program.shortfalls);
        let text = format!("{}\n\n{}", program.v4, program.v6);
        let applied = bench.gate.enter(|| apply_iptables(variant, &program.v4, &program.v6)).unwrap();
        applied.unwrap_or_else(|error| panic!("{error}\n{text}"));
        text
    }
}

fn leaves_nothing(bench: &Bench, variant: IptablesVariant, source: Source) {
    let left = || {
        remove_iptables(variant).unwrap();
        remove_iptables(variant).unwrap();
        inventory()
    };
    let left = bench.gate.enter(left).unwrap();
    for table in left.tables.iter().filter(|table| table.source == source) {
        assert!(table.chains.iter().all(|chain| !chain.ours && chain.rules.is_empty()), "{table:#?}");
    }
}

#[test]
fn iptables_in_nftables_lets_through_what_the_oracle_accepts() {
    require_root!();
    let bench = Bench::new("iptnft");
    bench::compare(&bench, POLICIES, apply(IptablesVariant::Nft));
    leaves_nothing(&bench, IptablesVariant::Nft, Source::IptablesNft);
}

#[test]
fn iptables_of_old_lets_through_what_the_oracle_accepts() {
    require_root!();
    let bench = Bench::new("iptleg");
    bench::compare(&bench, POLICIES, apply(IptablesVariant::Legacy));
    leaves_nothing(&bench, IptablesVariant::Legacy, Source::IptablesLegacy);
}

#[test]
fn both_iptables_limit_who_is_limited_because_of_an_alert() {
    require_root!();
    bench::limit_one(&Bench::new("iptone"), apply(IptablesVariant::Nft));
    bench::limit_one(&Bench::new("legone"), apply(IptablesVariant::Legacy));
}
