//! Why a packet is accepted or refused: the rule that decides, and each rule before it with the first of its conditions
//! that fails, in words. Read off the oracle, so that it tells what a policy means and not how it is looked up.
//!
//! It is about a packet that begins a flow. Replies follow their flow and have no explanation of their own.

use std::fmt::Write as _;

use hivewall_datapath::policy::Side;
use hivewall_datapath::{policy::Action, proto};
use hivewall_model::{Direction, TcpFlags, protocol_name};
use hivewall_view::policy::{ExplainStep, Explanation};
use ipnet::IpNet;

use crate::oracle::{By, Condition, Facts, Match, has_ports, has_types, judge, matches};
use crate::{Addresses, IcmpMatch, PortRange, Rule, Ruleset, Stage};

/// Members of a list that are shown before the rest is only counted.
const SHOWN_MAX: usize = 4;

/// What came of asking a rule, as it is written: it does not match.
pub const PASSED_OVER: &str = "passed_over";
const UNKNOWN: &str = "unknown";
const SENT_ON: &str = "sent_on";
const DECIDES: &str = "decides";

/// What the document calls the addresses on a side of a rule, such as `@mgmt`.
pub type AddressNames<'a> = &'a dyn Fn(&Rule, Side) -> Option<String>;

/// Explains what becomes of a packet that begins a flow.
pub fn explain(ruleset: &Ruleset, bans: &[IpNet], facts: &Facts, names: AddressNames<'_>) -> Explanation {
    let outcome = judge(ruleset, bans, facts);
    let decides = match outcome.by {
        By::Rule(at) => Some(at),
        By::Ban | By::NoPolicy | By::Fragment => None,
    };
    let mut steps = Vec::new();
    let mut sent_on: Option<Stage> = None;
    for (at, rule) in ruleset.rules.iter().enumerate() {
        if outcome.by == By::Ban && matches!(rule.stage, Stage::Tier(_)) {
            break;
        }
        if sent_on == Some(rule.stage) {
            continue;
        }
        let tier = ruleset.stage_name(rule.stage);
        let step = step((rule, tier), facts, decides == Some(at), names);
        if step.outcome == SENT_ON {
            sent_on = Some(rule.stage);
        }
        steps.push(step);
        if decides == Some(at) {
            break;
        }
    }
    let rule = decides.and_then(|at| ruleset.rules.get(at));
    Explanation {
        packet: packet_in_words(facts),
        verdict: action_word(outcome.action).to_owned(),
        rule: rule.map(|rule| rule.id.clone()),
        because: because(outcome.by, rule, facts),
        steps,
        ..Explanation::default()
    }
}

fn step((rule, tier): (&Rule, String), facts: &Facts, decides: bool, names: AddressNames<'_>) -> ExplainStep {
    let (outcome, why) = match matches(rule, facts) {
        Match::No(condition) => (PASSED_OVER, failed(rule, facts, condition, names)),
        Match::Unknown if decides => {
            (DECIDES, "may match, and is the first that could let the datagram through".to_owned())
        }
        Match::Yes if decides => (DECIDES, format!("matches: {}", action_word(rule.action))),
        Match::Unknown => {
            (UNKNOWN, "may match or not, and without the first fragment nobody can tell: goes on".to_owned())
        }
        Match::Yes if rule.action == Action::Pass => (SENT_ON, "matches: the next tier decides".to_owned()),
        Match::Yes => (DECIDES, "matches, and refuses whatever the first fragment says".to_owned()),
    };
    ExplainStep {
        rule: rule.id.clone(),
        tier,
        line: (rule.line > 0).then_some(rule.line),
        action: action_word(rule.action).to_owned(),
        outcome: outcome.to_owned(),
        why,
    }
}

fn because(by: By, rule: Option<&Rule>, facts: &Facts) -> String {
    match (by, rule) {
        (By::Rule(_), Some(rule)) if rule.line > 0 => format!("rule {} (line {})", rule.id, rule.line),
        (By::Rule(_), Some(rule)) => format!("rule {}", rule.id),
        (By::Ban, _) => {
            let peer = if facts.direction == Direction::Ingress { facts.from } else { facts.to };
            format!("{peer} is banned, and no rule of guard or exemptions is for it")
        }
        (By::Fragment, _) => "a later fragment without its first one, which no rule could accept".to_owned(),
        _ => "no rule matches, and what no rule decides is accepted".to_owned(),
    }
}

/// Why a rule does not match, in words.
fn failed(rule: &Rule, facts: &Facts, condition: Condition, names: AddressNames<'_>) -> String {
    let transport = facts.transport.unwrap_or_default();
    let protocol = protocol_word(facts.proto);
    match condition {
        Condition::Direction => format!("is for what is {}", direction_word(opposite(facts.direction))),
        Condition::Interface => {
            format!("interface {} is not {}", facts.interface, list(&rule.interfaces, Clone::clone))
        }
        Condition::Protocol => {
            format!("protocol {protocol} is not {}", list(&rule.protocols, |number| protocol_word(*number)))
        }
        Condition::Source => address("source", facts.from, &rule.from, names(rule, Side::From)),
        Condition::Destination => address("destination", facts.to, &rule.to, names(rule, Side::To)),
        Condition::Icmp if !has_types(facts.proto) => format!("asks for an ICMP type, and {protocol} has none"),
        Condition::Icmp => format!(
            "ICMP type {} code {} is not {}",
            transport.source_port,
            transport.destination_port,
            list(&rule.icmp, |wanted| icmp_word(*wanted))
        ),
        Condition::SourcePort | Condition::DestinationPort if !has_ports(facts.proto) => {
            format!("asks for a port, and {protocol} has none")
        }
        Condition::SourcePort => {
            format!("source port {} is not {}", transport.source_port, list(&rule.source_ports, range_word))
        }
        Condition::DestinationPort => {
            format!(
                "destination port {} is not {}",
                transport.destination_port,
                list(&rule.destination_ports, range_word)
            )
        }
        Condition::Flags if facts.proto != proto::TCP => format!("asks for TCP flags, and {protocol} has none"),
        Condition::Flags => {
            let wanted = rule.flags.map_or((0, 0), |flags| (flags.value, flags.mask));
            format!("TCP flags are {}, not {} of {}", TcpFlags(transport.flags), TcpFlags(wanted.0), TcpFlags(wanted.1))
        }
    }
}

fn address(side: &str, address: std::net::IpAddr, wanted: &Addresses, name: Option<String>) -> String {
    let (word, nets) = match wanted {
        Addresses::NotIn(nets) => ("is in", nets.as_slice()),
        Addresses::In(nets) => ("is not in", nets.as_slice()),
        Addresses::Any => ("is not in", [].as_slice()),
    };
    let listed = if nets.is_empty() { "a set without members".to_owned() } else { list(nets, ToString::to_string) };
    format!("{side} {} {word} {}", address.to_canonical(), name.unwrap_or(listed))
}

fn list<T>(items: &[T], word: impl Fn(&T) -> String) -> String {
    let shown: Vec<String> = items.iter().take(SHOWN_MAX).map(word).collect();
    let mut text = shown.join(", ");
    if let Some(more) = items.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        // Writing to a string cannot fail.
        let _ = write!(text, " … ({more} more)");
    }
    text
}

fn icmp_word(wanted: IcmpMatch) -> String {
    wanted.code.map_or_else(|| wanted.kind.to_string(), |code| format!("{}/{code}", wanted.kind))
}

fn range_word(range: &PortRange) -> String {
    if range.start() == range.end() { range.start().to_string() } else { format!("{}-{}", range.start(), range.end()) }
}

fn protocol_word(number: u8) -> String {
    protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "received",
        Direction::Egress => "sent",
    }
}

/// The word of the language for what a rule says.
pub(crate) fn action_word(action: Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Drop => "drop",
        Action::Reject => "reject",
        Action::Pass => "pass",
    }
}

fn packet_in_words(facts: &Facts) -> String {
    let (from, to) = (facts.from.to_canonical(), facts.to.to_canonical());
    let end = |address: std::net::IpAddr, port: u16| std::net::SocketAddr::new(address, port).to_string();
    let ends = match facts.transport {
        Some(transport) if has_ports(facts.proto) => {
            format!("{} → {}", end(from, transport.source_port), end(to, transport.destination_port))
        }
        Some(transport) if has_types(facts.proto) => {
            format!("{from} → {to} type {} code {}", transport.source_port, transport.destination_port)
        }
        Some(_) => format!("{from} → {to}"),
        None => format!("{from} → {to} (later fragment)"),
    };
    let interface = if facts.interface.is_empty() { String::new() } else { format!(" on {}", facts.interface) };
    let flags = facts.transport.filter(|_| facts.proto == proto::TCP).map(|transport| TcpFlags(transport.flags));
    let flags = flags.map_or_else(String::new, |flags| format!(" {flags}"));
    format!("{} {ends}{flags}, {}{interface}", protocol_word(facts.proto), direction_word(facts.direction))
}

/// An explanation as text for a terminal. Rules behind the one that decides were not asked, and are not shown.
pub fn explanation_text(told: &Explanation) -> String {
    let width = told.steps.iter().map(|step| step.rule.chars().count()).max().unwrap_or(0);
    let lines =
        told.steps.iter().filter_map(|step| step.line).map(|line| format!("line {line}").len()).max().unwrap_or(0);
    let mut text = format!("{}\n", told.packet);
    let mut tier = "";
    for step in &told.steps {
        if tier != step.tier {
            tier = &step.tier;
            let _ = writeln!(text, "\n{tier}");
        }
        let mark = match step.outcome.as_str() {
            UNKNOWN => '?',
            SENT_ON => '>',
            DECIDES => '*',
            _ => ' ',
        };
        let _ = write!(text, "{mark} {:width$}  ", step.rule);
        if lines > 0 {
            let line = step.line.map_or_else(String::new, |line| format!("line {line}"));
            let _ = write!(text, "{line:lines$}  ");
        }
        let _ = writeln!(text, "{}", step.why);
    }
    let _ = writeln!(text, "\n{}: {}", told.verdict, told.because);
    for note in &told.notes {
        let _ = writeln!(text, "{note}");
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::oracle::Transport;
    use crate::sample::Draws;

    fn rule(id: &str, stage: Stage, action: Action) -> Rule {
        let plain = Draws::from_bytes(&[]).rule(stage, 0);
        let addresses = (Addresses::Any, Addresses::Any);
        Rule {
            id: id.into(),
            action,
            protocols: Vec::new(),
            from: addresses.0,
            to: addresses.1,
            source_ports: Vec::new(),
            flags: None,
            interfaces: Vec::new(),
            ..plain
        }
    }

    fn ruleset() -> Ruleset {
        let mgmt: Vec<IpNet> = ["10.9.0.0/24", "fd00:9::/64"].iter().map(|net| net.parse().unwrap()).collect();
        let rules = vec![
            Rule {
                protocols: vec![proto::TCP],
                from: Addresses::In(mgmt.clone()),
                destination_ports: vec![22..=22],
                ..rule("guard:ssh", Stage::Guard, Action::Accept)
            },
            Rule { direction: Some(Direction::Egress), line: 4, ..rule("out", Stage::Tier(0), Action::Pass) },
            Rule { protocols: vec![proto::TCP], flags: None, line: 5, ..rule("tcp", Stage::Tier(0), Action::Pass) },
            Rule {
                destination_ports: vec![80..=80, 443..=443, 8000..=8100],
                line: 9,
                ..rule("web", Stage::Tier(1), Action::Accept)
            },
            Rule {
                icmp: vec![IcmpMatch { kind: 8, code: None }],
                line: 10,
                ..rule("ping", Stage::Tier(1), Action::Accept)
            },
            rule("main:default-in", Stage::Tier(1), Action::Drop),
        ];
        Ruleset { rules, ..Ruleset::default() }
    }

    fn facts(from: &str, port: u16) -> Facts {
        Facts {
            direction: Direction::Ingress,
            interface: "eth0".into(),
            from: from.parse().unwrap(),
            to: "10.0.0.1".parse().unwrap(),
            proto: proto::TCP,
            transport: Some(Transport { source_port: 40000, destination_port: port, flags: TcpFlags::SYN }),
        }
    }

    fn check(facts: &Facts, bans: &[&str], expect: &Expect) {
        let bans: Vec<IpNet> = bans.iter().map(|net| net.parse().unwrap()).collect();
        let name = |rule: &Rule, side| (rule.id == "guard:ssh" && side == Side::From).then(|| "@mgmt".to_owned());
        expect.assert_eq(&explanation_text(&explain(&ruleset(), &bans, facts, &name)));
    }

    #[test]
    fn each_rule_passed_over_is_told_with_the_condition_that_fails() {
        check(
            &facts("10.1.2.3", 22),
            &[],
            &expect![[r"
                tcp 10.1.2.3:40000 → 10.0.0.1:22 ......S., received on eth0

                guard
                  guard:ssh                 source 10.1.2.3 is not in @mgmt

                tier 1
                  out              line 4   is for what is sent
                > tcp              line 5   matches: the next tier decides

                tier 2
                  web              line 9   destination port 22 is not 80, 443, 8000-8100
                  ping             line 10  asks for an ICMP type, and tcp has none
                * main:default-in           matches: drop

                drop: rule main:default-in
            "]],
        );
    }

    #[test]
    fn the_rule_that_decides_ends_the_explanation() {
        check(
            &facts("10.9.0.7", 22),
            &["10.0.0.0/8"],
            &expect![[r"
            tcp 10.9.0.7:40000 → 10.0.0.1:22 ......S., received on eth0

            guard
            * guard:ssh  matches: accept

            accept: rule guard:ssh
        "]],
        );
    }

    #[test]
    fn a_ban_stands_before_the_tiers() {
        check(
            &facts("10.1.2.3", 443),
            &["10.0.0.0/8"],
            &expect![[r"
            tcp 10.1.2.3:40000 → 10.0.0.1:443 ......S., received on eth0

            guard
              guard:ssh  source 10.1.2.3 is not in @mgmt

            drop: 10.1.2.3 is banned, and no rule of guard or exemptions is for it
        "]],
        );
    }

    #[test]
    fn a_later_fragment_is_accepted_by_the_first_rule_that_could() {
        check(
            &Facts { transport: None, ..facts("10.1.2.3", 0) },
            &[],
            &expect![[r"
                tcp 10.1.2.3 → 10.0.0.1 (later fragment), received on eth0

                guard
                  guard:ssh          source 10.1.2.3 is not in @mgmt

                tier 1
                  out        line 4  is for what is sent
                > tcp        line 5  matches: the next tier decides

                tier 2
                * web        line 9  may match, and is the first that could let the datagram through

                accept: rule web (line 9)
            "]],
        );
    }

    #[test]
    fn the_explanation_is_a_document_too() {
        let explanation = explain(&ruleset(), &[], &facts("10.1.2.3", 80), &|_, _| None);
        let json = serde_json::to_value(&explanation).unwrap();
        assert_eq!(json["verdict"], "accept");
        assert_eq!(json["rule"], "web");
        assert_eq!(json["steps"][0]["outcome"], "passed_over");
        assert_eq!(json["steps"][0]["why"], "source 10.1.2.3 is not in 10.9.0.0/24, fd00:9::/64");
    }
}
