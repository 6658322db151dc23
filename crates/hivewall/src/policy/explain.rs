//! `hivewall policy explain`: which rule decides about a packet, and why each one before it does not.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hivewall_model::{Direction, TcpFlags, protocol_by_name};
use hivewall_policy::document::{Document, Term};
use hivewall_policy::oracle::{Facts, Transport, has_ports, has_types};
use hivewall_policy::{
    HostFacts, Mode, NoMembers, PASSED_OVER, Rule, Ruleset, explain, explanation_text, parse, resolve,
};
use hivewall_view::policy::{ExplainRequest, Explanation};

use super::facts::Host;
use crate::exit::{Exit, ending};

/// The command line of `policy explain`.
pub(super) fn command() -> Command {
    let arg = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let command = Command::new("explain")
        .about("Tell which rule of a policy decides about a packet, and why those before it do not")
        .long_about(
            "Tell which rule of a policy decides about a packet that begins a flow, and for every rule before it the \
             first of its conditions that fails. Replies are not judged: they follow their flow.\n\n\
             With --live, or without a file, it is about this host: its own guard is counted in, and its nftables and \
             iptables are asked as well, since what we accept they may still drop. Without a file its bans hold, too.",
        )
        .arg(
            Arg::new("policy")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Policy [default: the one in force on this host]"),
        )
        .arg(
            Arg::new("live")
                .long("live")
                .action(ArgAction::SetTrue)
                .help("As on this host: with its guard, and asking its packet filters; for root"),
        )
        .arg(arg("from", "ADDRESS", "Source").required(true).value_parser(value_parser!(IpAddr)))
        .arg(arg("to", "ADDRESS", "Destination").required(true).value_parser(value_parser!(IpAddr)))
        .arg(arg("proto", "NAME", "Protocol, by name or number [default: tcp, icmp with --icmp]"))
        .arg(arg("sport", "PORT", "Source port [default: 40000]").value_parser(value_parser!(u16)))
        .arg(arg("dport", "PORT", "Destination port").value_parser(value_parser!(u16)))
        .arg(arg("icmp", "TYPE[/CODE]", "ICMP type and code, by number"))
        .arg(arg("flags", "FLAGS", "TCP flags, of CEUAPRSF [default: S]"))
        .arg(
            arg("dir", "DIRECTION", "Whether the host receives or sends it")
                .default_value("in")
                .value_parser(PossibleValuesParser::new(["in", "out"])),
        )
        .arg(arg("interface", "NAME", "Interface [default: one that no rule names]"))
        .arg(
            arg("fragment", "", "A later fragment whose first one was not seen").num_args(0).action(ArgAction::SetTrue),
        )
        .arg(
            arg("ban", "PREFIX", "As if this were banned")
                .action(ArgAction::Append)
                .value_parser(value_parser!(ipnet::IpNet)),
        )
        .arg(super::output());
    crate::settings::add(command, &["policy"])
}

pub(super) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let facts = facts(args)?;
    let path = args.get_one::<PathBuf>("policy");
    let is_live = path.is_none() || args.get_flag("live");
    let (config, _) = crate::settings::load(args)?;
    let host = if is_live { Host::of(&config).facts()? } else { HostFacts::default() };
    let (document, ruleset) = match path {
        Some(path) => load(path, &host)?,
        None => in_force(Path::new(&config.policy.state), &host)?
            .ok_or_else(|| ending(Exit::Usage, "no policy is in force on this host; name a file"))?,
    };
    let mut bans: Vec<ipnet::IpNet> = args.get_many("ban").into_iter().flatten().copied().collect();
    let mut ruleset = ruleset;
    if path.is_none() {
        let state = Path::new(&config.policy.state);
        bans.extend(super::bans::kept(state)?);
        ruleset = super::governor::limited_now(state, &ruleset)?;
    }
    let told = told(Some(&document), &ruleset, &bans, &facts, is_live);
    let mut out = std::io::stdout().lock();
    if super::is_json(args) {
        writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
    } else {
        write!(out, "{}", explanation_text(&told))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Explains a packet as every surface shows it; `is_live` asks this host's packet filters, too.
pub(super) fn told(
    document: Option<&Document>,
    rules: &Ruleset,
    bans: &[ipnet::IpNet],
    facts: &Facts,
    is_live: bool,
) -> Explanation {
    let mut told = explain(rules, bans, facts, &|rule, side| written(document?, rule, side));
    if rules.mode == Mode::Observe && told.verdict != "accept" {
        told.notes.push("the policy only observes: the packet is counted as refused, and passes".to_owned());
    }
    let met = told.steps.iter().filter(|step| step.outcome != PASSED_OVER);
    let met = met.filter_map(|step| rules.rules.iter().find(|rule| rule.id == step.rule));
    let limits = met.filter_map(|rule| Some(format!("{}: {}", rule.id, rule.limit?.in_words())));
    told.notes.extend(limits.collect::<Vec<_>>());
    if is_live {
        let beside = super::beside::ask(facts);
        told.notes.extend(beside.notes(&told.verdict, rules.mode));
        told.packet_filters = Some(beside.view());
    }
    told
}

/// The policy that this host's state says is in force.
pub(super) fn in_force(state: &Path, host: &HostFacts) -> anyhow::Result<Option<(Document, Ruleset)>> {
    let (ledger, _) = super::vault::read(state)?;
    let Some(held) = ledger.in_force() else { return Ok(None) };
    let bytes = super::vault::read_document(state, held.digest)?;
    let text = super::governor::text_of(&bytes).map_err(|refusal| ending(Exit::Failed, refusal.to_string()))?;
    read("the policy in force", &text, host).map(Some)
}

/// A policy and its rules on a host without members.
pub(super) fn load(path: &Path, host: &HostFacts) -> anyhow::Result<(Document, Ruleset)> {
    read(&path.display().to_string(), &text(path)?, host)
}

/// The text of a policy, signed or not.
pub(super) fn text(path: &Path) -> anyhow::Result<String> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        ending(Exit::Usage, format!("the policy {name} cannot be read: {error}; name another file"))
    })?;
    super::governor::text_of(&bytes).map_err(|refusal| ending(Exit::Usage, format!("{name}: {refusal}")))
}

fn read(name: &str, text: &str, host: &HostFacts) -> anyhow::Result<(Document, Ruleset)> {
    let refused = |error: hivewall_policy::PolicyError| ending(Exit::Usage, error.pointed(name, text));
    let parsed = parse(text).map_err(refused)?;
    let members = NoMembers(|file: &str| std::fs::read_to_string(file));
    let resolved = resolve(&parsed, host, &members).map_err(refused)?;
    Ok((parsed.document, resolved.ruleset))
}

/// The addresses of a rule as its document has them, where they name sets.
fn written(document: &Document, rule: &Rule, side: hivewall_datapath::policy::Side) -> Option<String> {
    let written = document.tiers.iter().flat_map(|tier| &tier.rules).find(|written| written.id == rule.id)?;
    let addresses = match side {
        hivewall_datapath::policy::Side::From => written.from.as_ref()?,
        hivewall_datapath::policy::Side::To => written.to.as_ref()?,
    };
    if !addresses.terms.iter().any(|term| matches!(term, Term::Set(_))) {
        return None;
    }
    let words = addresses.terms.iter().map(|term| match term {
        Term::Set(name) => format!("@{name}"),
        Term::Net(net) => net.to_string(),
    });
    Some(words.collect::<Vec<_>>().join(", "))
}

/// The packet of a question over the API, read as the command line reads it.
pub(super) fn facts_of(request: &ExplainRequest) -> anyhow::Result<Facts> {
    let mut words = vec!["explain".to_owned(), "policy".to_owned()];
    let mut word = |name: &str, value: Option<String>| {
        words.extend(value.into_iter().flat_map(|value| [format!("--{name}"), value]));
    };
    word("from", Some(request.from.clone()));
    word("to", Some(request.to.clone()));
    word("proto", request.protocol.clone());
    word("sport", request.source_port.map(|port| port.to_string()));
    word("dport", request.destination_port.map(|port| port.to_string()));
    word("icmp", request.icmp.clone());
    word("flags", request.flags.clone());
    word("dir", request.direction.clone());
    word("interface", request.interface.clone());
    facts(&command().try_get_matches_from(words)?)
}

fn facts(args: &ArgMatches) -> anyhow::Result<Facts> {
    let text = |name: &str| args.get_one::<String>(name).map(String::as_str);
    let from = *args.get_one::<IpAddr>("from").context("no source")?;
    let to = *args.get_one::<IpAddr>("to").context("no destination")?;
    if from.is_ipv4() != to.is_ipv4() {
        return Err(ending(Exit::Usage, format!("{from} and {to} are not of one family; no packet has both")));
    }
    let usual = match text("icmp") {
        None => "tcp",
        Some(_) if from.is_ipv4() => "icmp",
        Some(_) => "ipv6-icmp",
    };
    let name = text("proto").unwrap_or(usual);
    let proto = protocol(name)
        .ok_or_else(|| ending(Exit::Usage, format!("{name} is no protocol; use tcp, udp, icmp, or a number to 255")))?;
    let transport = if args.get_flag("fragment") { None } else { Some(transport(args, proto)?) };
    Ok(Facts {
        direction: if text("dir") == Some("out") { Direction::Egress } else { Direction::Ingress },
        interface: text("interface").unwrap_or_default().to_owned(),
        from,
        to,
        proto,
        transport,
    })
}

fn protocol(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    let number = name.parse().ok().or_else(|| protocol_by_name(&name));
    // As the language of policies has it.
    number.or_else(|| (name == "icmpv6").then_some(58))
}

fn transport(args: &ArgMatches, proto: u8) -> anyhow::Result<Transport> {
    let (sport, dport) = (args.get_one::<u16>("sport").copied(), args.get_one::<u16>("dport").copied());
    let (icmp, flags) = (args.get_one::<String>("icmp"), args.get_one::<String>("flags"));
    let refused = |what: &str| Err(ending(Exit::Usage, what));
    if (sport.is_some() || dport.is_some()) && !has_ports(proto) {
        return refused("--sport and --dport are for protocols with ports: tcp, udp, sctp, dccp, udplite");
    }
    if icmp.is_some() && !has_types(proto) {
        return refused("--icmp is for --proto icmp or icmpv6");
    }
    if flags.is_some() && proto != 6 {
        return refused("--flags is for --proto tcp");
    }
    if has_ports(proto) {
        let Some(destination_port) = dport else { return refused("a packet of this protocol has a port: add --dport") };
        let flags = if proto == 6 { tcp_flags(flags.map_or("S", String::as_str))? } else { 0 };
        return Ok(Transport { source_port: sport.unwrap_or(40000), destination_port, flags });
    }
    if has_types(proto) {
        let Some(text) = icmp else { return refused("a packet of this protocol has a type: add --icmp TYPE[/CODE]") };
        let (kind, code) = text.split_once('/').unwrap_or((text, "0"));
        let (Ok(kind), Ok(code)) = (kind.parse::<u8>(), code.parse::<u8>()) else {
            return refused("--icmp takes numbers to 255, such as 8 or 3/4");
        };
        return Ok(Transport { source_port: kind.into(), destination_port: code.into(), flags: 0 });
    }
    Ok(Transport::default())
}

fn tcp_flags(text: &str) -> anyhow::Result<u8> {
    let letters = [
        ('F', TcpFlags::FIN),
        ('S', TcpFlags::SYN),
        ('R', TcpFlags::RST),
        ('P', TcpFlags::PSH),
        ('A', TcpFlags::ACK),
        ('U', TcpFlags::URG),
        ('E', TcpFlags::ECE),
        ('C', TcpFlags::CWR),
    ];
    text.chars().filter(|letter| *letter != '.').try_fold(0, |flags, letter| {
        let bit = letters.iter().find(|(known, _)| known.eq_ignore_ascii_case(&letter)).map(|(_, bit)| flags | bit);
        bit.ok_or_else(|| ending(Exit::Usage, format!("{letter} is no TCP flag; they are C, E, U, A, P, R, S, F")))
    })
}
