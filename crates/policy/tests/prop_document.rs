//! Any document that can be written, printed and read again, is the same document; and what is refused as never matching
//! is never the first match of a packet.

use std::collections::BTreeMap;

use hivewall_policy::document::{
    Action, Addresses, Confirm, Defaults, Dir, Document, Established, IcmpTypes, Interfaces, Kind, Limit, Log,
    Metadata, Mode, Over, Per, Ports, Prefixes, Protocols, Rate, RateUnit, Rule, Seconds, Set, TcpFlags, Term, Tier,
};
use hivewall_policy::{Fault, FlagsMatch, IcmpMatch, Severity, parse, policy_schema};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn net() -> impl Strategy<Value = IpNet> {
    let four =
        (any::<u32>(), 0..=32_u8).prop_map(|(bits, len)| Ipv4Net::new(bits.into(), len).expect("a length").into());
    let six = (1..u128::MAX, 0..=128_u8).prop_map(|(bits, len)| {
        // Away from IPv4 in IPv6, which is refused.
        Ipv6Net::new((bits | 1 << 127).into(), len).expect("a length").into()
    });
    prop_oneof![four, six].prop_map(|net: IpNet| net.trunc())
}

fn name() -> impl Strategy<Value = String> {
    // Words that YAML has for something, and numbers, are names like others.
    prop_oneof![
        "[a-zA-Z0-9][a-zA-Z0-9._-]{0,8}",
        select(vec!["true", "null", "12", "1e3", "0x1f", "1.5", "no"]).prop_map(str::to_owned)
    ]
}

fn addresses() -> impl Strategy<Value = Addresses> {
    let term = prop_oneof![4 => net().prop_map(Term::Net), 1 => Just(Term::Set("s".to_owned()))];
    (any::<bool>(), vec(term, 1..4)).prop_map(|(negated, terms)| Addresses { negated, terms })
}

fn ports() -> impl Strategy<Value = Ports> {
    let range = (any::<u16>(), any::<u16>()).prop_map(|(one, other)| one.min(other)..=one.max(other));
    vec(range, 0..3).prop_map(Ports)
}

fn rate() -> impl Strategy<Value = Rate> {
    let unit = select(vec![RateUnit::Second, RateUnit::Minute, RateUnit::Hour]);
    (1..=1_000_000_000_u32, unit).prop_map(|(count, unit)| Rate { count, unit })
}

fn limit() -> impl Strategy<Value = Limit> {
    let over = select(vec![Over::Drop, Over::Reject, Over::Pass]);
    (rate(), option::of(1..=1_000_000_000_u32), select(vec![Per::Source, Per::Rule]), over)
        .prop_map(|(rate, burst, per, over)| Limit { rate, burst, per, over })
}

/// What depends on the protocol.
fn protocol() -> impl Strategy<Value = (Protocols, Ports, Ports, IcmpTypes, Option<TcpFlags>)> {
    let flags = option::of((any::<u8>(), any::<u8>()).prop_filter_map("looks at nothing", |(mask, value)| {
        (mask != 0).then_some(TcpFlags(FlagsMatch { mask, value: value & mask }))
    }));
    let icmp = vec((any::<u8>(), option::of(any::<u8>())).prop_map(|(kind, code)| IcmpMatch { kind, code }), 0..3);
    let none = || (Just(Ports::default()), Just(Ports::default()));
    prop_oneof![
        (ports(), ports(), flags).prop_map(|(sport, dport, flags)| {
            // Looking at set flags for none of them to be set is written `none/…`; `x/x` is written `x`.
            (Protocols(vec![6]), sport, dport, IcmpTypes::default(), flags)
        }),
        (ports(), ports()).prop_map(|(sport, dport)| (
            Protocols(vec![17, 132]),
            sport,
            dport,
            IcmpTypes::default(),
            None
        )),
        icmp.prop_map(|types| (Protocols(vec![1]), Ports::default(), Ports::default(), IcmpTypes(types), None)),
        (vec(any::<u8>(), 0..3), none()).prop_map(|(numbers, (sport, dport))| (
            Protocols(numbers),
            sport,
            dport,
            IcmpTypes::default(),
            None
        )),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let dir = select(vec![Dir::In, Dir::Out, Dir::Both]);
    let action = select(vec![Action::Accept, Action::Drop, Action::Reject, Action::Pass]);
    let established = select(vec![Established::Reeval, Established::Keep, Established::Reset]);
    let interface = vec("[a-z]{1,8}[0-9]{0,3}\\*?", 0..3).prop_map(Interfaces);
    (
        (name(), dir, protocol(), option::of(addresses()), option::of(addresses())),
        (interface, action, established, option::of(limit()), option::of(rate().prop_map(|rate| Log { rate }))),
    )
        .prop_map(
            |(
                (id, dir, (proto, sport, dport, icmp, flags), from, to),
                (interface, action, established, limit, log),
            )| {
                let limit = limit.filter(|_| action == Action::Accept);
                Rule { id, dir, proto, from, to, sport, dport, icmp, flags, interface, action, established, limit, log }
            },
        )
}

fn sets() -> impl Strategy<Value = BTreeMap<String, Set>> {
    let set = prop_oneof![
        vec(net(), 0..4).prop_map(|nets| Set::Cidr(Prefixes(nets))),
        Just(Set::Hosts("role in {web, 'a b'}".to_owned())),
        "/[a-z#: \"'-]{1,10}".prop_map(Set::File),
    ];
    btree_map(name(), set, 0..3).prop_map(|mut sets| {
        sets.insert("s".to_owned(), Set::Hosts("role == 'web'".to_owned()));
        sets
    })
}

fn document() -> impl Strategy<Value = Document> {
    let action = || option::of(select(vec![Action::Accept, Action::Drop, Action::Reject, Action::Pass]));
    let defaults = (action(), action()).prop_map(|(received, sent)| Defaults { received, sent });
    let tiers = vec((name(), defaults, vec(rule(), 0..4)), 1..3);
    let metadata = (
        name(),
        1..=i64::MAX as u64,
        option::of("[ -~äé]{1,40}"),
        option::of("[0-9a-f]{64}"),
        option::of(0..4_000_000_000_i64),
    )
        .prop_map(|(name, version, description, previous, before)| {
            let not_before = before.map(|seconds| jiff::Timestamp::from_second(seconds).expect("a time"));
            Metadata { name, version, description, not_before, not_after: None, previous }
        });
    let confirm = option::of((5..86_400_u64).prop_map(|seconds| Confirm { within: Seconds(seconds) }));
    let exempt = option::of(addresses().prop_map(|addresses| Addresses { negated: false, ..addresses }));
    (metadata, any::<bool>(), confirm, sets(), exempt, tiers).prop_map(
        |(metadata, observe, confirm, sets, exempt, tiers)| {
            let mode = if observe { Mode::Observe } else { Mode::Enforce };
            let tiers = tiers.into_iter().enumerate().map(|(at, (name, default, rules))| Tier {
                name: format!("{name}.{at}"),
                default,
                // Names are unique.
                rules: rules
                    .into_iter()
                    .enumerate()
                    .map(|(rule, body)| Rule { id: format!("{}.{at}.{rule}", body.id), ..body })
                    .collect(),
            });
            Document {
                kind: Kind::Policy,
                metadata,
                hosts: String::new(),
                mode,
                confirm,
                sets,
                exempt,
                responses: Vec::new(),
                tiers: tiers.collect(),
            }
        },
    )
}

/// Problems of a document that comes from chance: its rules may hide one another or never match, its words are right.
fn is_by_chance(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Shadowed { .. }
            | Fault::ShadowedTogether { .. }
            | Fault::DefaultUnreachable { .. }
            | Fault::FamiliesApart { .. }
            | Fault::WrongFamily { .. }
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_document_that_is_printed_is_read_as_the_same(document in document()) {
        for text in [document.to_yaml(), document.to_json()] {
            match parse(&text) {
                Ok(parsed) => prop_assert_eq!(&parsed.document, &document),
                Err(error) => {
                    let errors = error.problems.iter().filter(|problem| problem.severity == Severity::Error);
                    let mut wrong = errors.filter(|problem| !is_by_chance(&problem.fault));
                    prop_assert_eq!(wrong.next(), None, "{}", error.pointed("printed", &text));
                }
            }
        }
    }

    #[test]
    fn the_schema_takes_every_document(document in document()) {
        let validator = jsonschema::validator_for(&policy_schema()).expect("a schema");
        let printed = serde_json::to_value(&document).expect("a document");
        let refusals: Vec<String> =
            validator.iter_errors(&printed).map(|error| format!("{}: {error}", error.instance_path())).collect();
        prop_assert_eq!(refusals, Vec::<String>::new());
    }
}
