//! What stands in the packet filters of a namespace: listed, watched, repaired, asked. Needs root, `nft` and `iptables`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};
use std::time::Duration;

use hivewall_host::rules::{
    Change, Kept, Packet, Repair, Source, Stop, Traversal, Watch, apply_nft, inventory, remove_nft, repair, walk,
};
use hivewall_policy::backend::{Options, nft};
use hivewall_policy::sample::Draws;
use hivewall_testkit::netns::{Host, Lab};
use hivewall_testkit::require_root;

fn run(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn packet(port: u16) -> Packet {
    Packet {
        from: "192.0.2.7".parse().unwrap(),
        to: "10.0.0.1".parse().unwrap(),
        protocol: 6,
        source_port: Some(40_000),
        destination_port: Some(port),
        icmp: None,
        flags: 2,
        in_interface: Some("eth0".to_owned()),
        out_interface: None,
        not_loopback: false,
        new: true,
        original: true,
    }
}

fn in_lab<T: Send>(name: &str, work: impl FnOnce(&Host) -> T + Send) -> T {
    let lab = Lab::new(name).unwrap();
    let host = lab.host("a").unwrap();
    let inside = host.clone();
    host.enter(move || work(&inside)).unwrap()
}

#[test]
fn nftables_and_both_variants_of_iptables_are_in_one_list() {
    require_root!();
    in_lab("list", |_| {
        apply_nft(&nft::compile(&Draws::seeded(3).ruleset(), &[], &Options::default()).text).unwrap();
        run("nft add table inet foreign");
        run("nft add chain inet foreign input { type filter hook input priority 10 ; policy accept ; }");
        run("nft add rule inet foreign input tcp dport 23 counter drop");
        run("iptables-nft -A INPUT -p tcp --dport 22 -j ACCEPT");
        run("iptables-legacy -t mangle -A PREROUTING -s 10.0.0.0/8 -j DROP");
        run("ip6tables-legacy -A FORWARD -j ACCEPT");
        let found = inventory();
        assert_eq!(found.missing, []);
        let own = found.table(Source::Nftables, "inet", "hivewall").unwrap();
        assert!(own.ours && own.chains.iter().all(|chain| chain.ours));
        let foreign = found.table(Source::Nftables, "inet", "foreign").unwrap();
        let rule = &foreign.chains[0].rules[0];
        assert_eq!((rule.text.as_str(), rule.packets, rule.ours), ("tcp dport 23 counter drop", Some(0), false));
        assert_eq!(foreign.chains[0].base.as_ref().unwrap().priority, 10);
        let nft_table = found.table(Source::IptablesNft, "ip", "filter").unwrap();
        assert_eq!(nft_table.chains[0].rules[0].text, "-p tcp -m tcp --dport 22 -j ACCEPT");
        assert!(found.table(Source::Nftables, "ip", "filter").is_none(), "it is listed once");
        let legacy = found.table(Source::IptablesLegacy, "ip", "mangle").unwrap();
        assert_eq!(legacy.chains[0].rules[0].text, "-s 10.0.0.0/8 -j DROP");
        assert_eq!(legacy.chains[0].base.as_ref().unwrap().priority, -150);
        assert!(found.table(Source::IptablesLegacy, "ip6", "filter").is_some());
    });
}

#[test]
fn a_foreign_rule_that_drops_is_named() {
    require_root!();
    in_lab("walk", |_| {
        run("nft add table inet filter");
        run("nft add chain inet filter input { type filter hook input priority 0 ; policy drop ; }");
        run("nft add set inet filter open { type inet_service ; flags interval ; elements = { 80 , 8000-8100 } ; }");
        run("nft add rule inet filter input ct state established,related accept");
        run("nft add rule inet filter input ip saddr 192.0.2.0/24 tcp dport 8050 counter drop");
        run("nft add rule inet filter input tcp dport @open accept");
        run("nft add rule inet filter input tcp dport 99 limit rate 5/second accept");
        run("iptables-legacy -t mangle -A PREROUTING -p tcp -m multiport --dports 70,8001 -j DROP");
        let found = inventory();
        let ask = |port| {
            let answer = walk(&found, &packet(port), Traversal::Received);
            (answer.stop, answer.place)
        };
        let drop = |place: &str| (Stop::Dropped, place.to_owned());
        assert_eq!(ask(8001), drop("iptables-legacy ip mangle PREROUTING rule 1"));
        let (stop, place) = ask(8050);
        assert_eq!(stop, Stop::Dropped);
        assert!(place.starts_with("nftables inet filter input handle "), "{place}");
        assert_eq!(ask(8080), (Stop::Accepted, String::new()));
        assert_eq!(ask(22), drop("nftables inet filter input policy"));
        assert_eq!(ask(99).0, Stop::CannotTell);
        let reply = Packet { new: false, original: false, ..packet(22) };
        assert_eq!(walk(&found, &reply, Traversal::Received).stop, Stop::Accepted);
    });
}

#[test]
fn who_flushed_our_chains_is_told_and_they_are_put_back() {
    require_root!();
    in_lab("drift", |_| {
        let directory = tempfile::tempdir().unwrap();
        let mut ruleset = Draws::seeded(3).ruleset();
        ruleset.rules.retain(|rule| rule.interfaces.is_empty());
        let kept = Kept::Nftables { text: nft::compile(&ruleset, &[], &Options::default()).text };
        kept.apply(directory.path()).unwrap();
        assert_eq!(repair(directory.path()).unwrap(), Repair::Whole);
        let mut watch = Watch::start();
        assert_eq!(watch.wait(Duration::from_millis(1)), []);
        run("nft flush chain inet hivewall prerouting");
        let drift = watch.wait(Duration::from_secs(10));
        assert_eq!(drift.len(), 1, "{drift:#?}");
        assert!(drift[0].ours && matches!(drift[0].change, Change::ChainFlushed { rules: 4 }), "{drift:#?}");
        assert!(drift[0].by.as_ref().is_some_and(|by| by.ends_with("(nft)")), "{drift:#?}");
        assert_eq!(repair(directory.path()).unwrap(), Repair::Repaired);
        assert_eq!(repair(directory.path()).unwrap(), Repair::Whole);
        remove_nft().unwrap();
        remove_nft().unwrap();
        assert_eq!(repair(directory.path()).unwrap(), Repair::Repaired);
        let drift = watch.wait(Duration::from_secs(10));
        assert!(drift.iter().all(|drift| drift.ours), "{drift:#?}");
    });
}
