//! Every fault of a policy, with its message. A message says what is there and what to write instead.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

use super::{quoted, shown};

fn meant(suggestion: Option<&str>) -> String {
    suggestion.map(|word| format!(" (did you mean {}?)", quoted(word))).unwrap_or_default()
}

/// What is wrong. Lists of what is allowed come ready for the message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// Too long to be a policy.
    #[error(
        "the text has {bytes} bytes, and a policy at most {max}; put large sets into files: `NAME: {{file: PATH}}`"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
        /// Most it may have.
        max: usize,
    },
    /// Not YAML. What may follow from it is not told.
    #[error("this is not valid YAML: {message}; {mend}")]
    Syntax {
        /// What the parser says.
        message: String,
        /// What to do.
        mend: &'static str,
    },
    /// Nothing in it.
    #[error("there is no policy in this text; begin with `kind: Policy`")]
    Empty,
    /// `---` and another document.
    #[error("a second document begins here; write one policy a file")]
    SecondDocument,
    /// Lists within lists within lists.
    #[error("lists or maps stand too deep in one another; no policy needs more than {max}")]
    TooDeep {
        /// How deep they may be.
        max: usize,
    },
    /// `&name` or `*name`.
    #[error("anchors and aliases (`&`, `*`) are no part of a policy: write the value out, or quote it: `\"*\"`")]
    Alias,
    /// `!something`.
    #[error("{} is read as a YAML tag; write it in quotes: `\"!…\"`", quoted(tag))]
    Tag {
        /// As it was written.
        tag: String,
    },
    /// No such key.
    #[error("{what} has no key {}{}; it has {allowed}", quoted(given), meant(*suggestion))]
    UnknownKey {
        /// In what.
        what: &'static str,
        /// As it was written.
        given: String,
        /// What was probably meant.
        suggestion: Option<&'static str>,
        /// Keys there are.
        allowed: String,
    },
    /// The same key twice.
    #[error("{} is here for the second time; keep one of them", quoted(key))]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A key that has to be there.
    #[error("{what} needs {key}; for example `{example}`")]
    Missing {
        /// What lacks it.
        what: &'static str,
        /// The key.
        key: &'static str,
        /// What could stand there.
        example: &'static str,
    },
    /// A list for a text and the like.
    #[error("{found} stands here in place of {expected}; for example `{example}`")]
    WrongShape {
        /// What is there.
        found: &'static str,
        /// What should be.
        expected: &'static str,
        /// What could stand there.
        example: &'static str,
    },
    /// A number, a truth value or nothing, where a text has to be.
    #[error("{} is read as {found}, not as text; write it in quotes: `\"{}\"`", quoted(given), shown(given))]
    NeedsQuotes {
        /// As it was written.
        given: String,
        /// As what it is read.
        found: &'static str,
    },
    /// None of the words there are.
    #[error("{} is not possible here{}; write one of {allowed}", quoted(given), meant(*suggestion))]
    NotPossible {
        /// As it was written.
        given: String,
        /// What was probably meant.
        suggestion: Option<&'static str>,
        /// The words.
        allowed: String,
    },
    /// Not of the form that is needed.
    #[error("{} is not {expected}; for example `{example}`", quoted(given))]
    NotOfForm {
        /// As it was written.
        given: String,
        /// What should be there.
        expected: &'static str,
        /// What could stand there.
        example: &'static str,
    },
    /// Less or more than allowed.
    #[error("{} is out of range; write {allowed}", quoted(given))]
    OutOfRange {
        /// As it was written.
        given: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An IPv6 address that YAML reads as a key and a value.
    #[error("this is read as a key and a value; an IPv6 address in a list needs quotes: `\"{}\"`", shown(given))]
    ColonAddress {
        /// As it was written.
        given: String,
    },
    /// A list without anything in it.
    #[error("the list is empty; {mend}")]
    EmptyList {
        /// What to do.
        mend: &'static str,
    },
    /// A name that cannot be one.
    #[error(
        "{} cannot be a name: letters, digits, `.`, `_` and `-`, at most 63, beginning with a letter or digit",
        quoted(given)
    )]
    BadName {
        /// As it was written.
        given: String,
    },
    /// A network with an address inside it in place of its own.
    #[error(
        "{} has bits set beyond its prefix; write `{network}` for the network, or `{address}` for the address",
        quoted(given)
    )]
    HostBits {
        /// As it was written.
        given: String,
        /// The network it lies in.
        network: IpNet,
        /// The address.
        address: IpAddr,
    },
    /// An IPv4 address in IPv6's clothes.
    #[error("{} is IPv4 written as IPv6 and would match nothing; write `{plain}`", quoted(given))]
    Mapped {
        /// As it was written.
        given: String,
        /// As it has to be.
        plain: IpNet,
    },
    /// `!` before some and not before others.
    #[error("some of these have a `!` and some have not; put it before all of them (all others match) or before none")]
    MixedNegation,
    /// Everything but something is exempt.
    #[error("`!` would exempt nearly every address from bans and rules; name those that are exempt")]
    NegatedExempt,
    /// No such set.
    #[error("there is no set {}{}; {known}", quoted(&format!("@{name}")), meant(suggestion.as_deref()))]
    UnknownSet {
        /// As it was written.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
        /// The sets there are.
        known: String,
    },
    /// Sets where only addresses can be.
    #[error("no sets can be named here; write the addresses")]
    NoSetsHere,
    /// The first port is higher than the last.
    #[error("the range ends before it begins; write `{end}-{start}`")]
    Reversed {
        /// First.
        start: u16,
        /// Last.
        end: u16,
    },
    /// Ports, and no protocol that has them.
    #[error("ports need a protocol that has them; add `proto: tcp`, `proto: udp` or `proto: [tcp, udp]`")]
    PortsWithoutProtocol,
    /// Ports, and a protocol that has none.
    #[error("{protocol} has no ports, so that the rule could never match it; take it out or make it a rule of its own")]
    NoPorts {
        /// The protocol.
        protocol: String,
    },
    /// Types of ICMP, and another protocol or both of them.
    #[error("types differ between icmp and icmpv6; write `proto: icmp` or `proto: icmpv6`, a rule for each")]
    IcmpWithoutProtocol,
    /// Flags, and another protocol.
    #[error("only TCP has flags; write `proto: tcp`")]
    FlagsWithoutTcp,
    /// Flags have to be set that are not looked at.
    #[error("a flag before the `/` is not among those behind it, which are looked at; add it there")]
    FlagsNotLookedAt,
    /// Addresses of one family on one side and of the other on the other.
    #[error("the rule can never match: `from` has {from} addresses only and `to` {to} ones; make them one family")]
    FamiliesApart {
        /// Family of the sources.
        from: &'static str,
        /// Family of the destinations.
        to: &'static str,
    },
    /// ICMP of one family with addresses of the other.
    #[error("the rule can never match: {protocol} has no {family} addresses; write `proto: {instead}`")]
    WrongFamily {
        /// The protocol.
        protocol: &'static str,
        /// The family of the addresses.
        family: &'static str,
        /// The protocol of that family.
        instead: &'static str,
    },
    /// All but everything.
    #[error("the rule can never match: all addresses are excluded; name fewer of them or take the rule out")]
    NothingLeft,
    /// Two rules with one name.
    #[error(
        "the rule {} is there already, on line {line}; counters stay with a name, so each needs its own",
        quoted(id)
    )]
    DuplicateRule {
        /// The name.
        id: String,
        /// Line of the first.
        line: u32,
    },
    /// Two tiers with one name.
    #[error("the tier {} is there already, on line {line}; give each its own name", quoted(name))]
    DuplicateTier {
        /// The name.
        name: String,
        /// Line of the first.
        line: u32,
    },
    /// A limit on what is not accepted.
    #[error("a limit says how many flows a rule accepts, and this one has `action: {action}`; write `action: accept`")]
    LimitOfRefusal {
        /// Its action.
        action: &'static str,
    },
    /// It ends before it begins.
    #[error("notAfter is not later than notBefore, so that the policy would never be in force; correct one of them")]
    NeverInForce,
    /// The selector of hosts cannot be read.
    #[error("the selector of hosts cannot be read: {reason}; for example `role in {{web, db}} && env == 'prod'`")]
    Selector {
        /// Why not.
        reason: String,
    },
    /// A set that no rule names.
    #[error("no rule names the set {}; take it out, or write `@{}` where it was meant", quoted(name), shown(name))]
    UnusedSet {
        /// The set.
        name: String,
    },
    /// A rule that never decides.
    #[error("the rule {} can never match: {by} on line {line} matches all of its packets first; {mend}", quoted(id))]
    Shadowed {
        /// The rule.
        id: String,
        /// What comes before it, as text.
        by: String,
        /// Its line.
        line: u32,
        /// What to do.
        mend: &'static str,
    },
    /// A rule that never decides, since several others do.
    #[error(
        "the rule {} can never match: {by} together match all of its packets first; take it out or move it up",
        quoted(id)
    )]
    ShadowedTogether {
        /// The rule.
        id: String,
        /// Those before it with their lines, as text.
        by: String,
    },
    /// A default that never decides.
    #[error("no packet reaches this default: {by} on line {line} has decided already; take it out")]
    DefaultUnreachable {
        /// What comes before it, as text.
        by: String,
        /// Its line.
        line: u32,
    },
    /// More rules than the tables hold.
    #[error(
        "the policy has {count} rules with its defaults and this host's guard, and at most {max} fit; put addresses into sets"
    )]
    TooManyRules {
        /// How many.
        count: usize,
        /// How many fit.
        max: usize,
    },
    /// More prefixes than the tables hold.
    #[error("the rules name {count} prefixes, and at most {max} fit; leave out sets or use shorter prefixes")]
    TooManyPrefixes {
        /// How many, each set and side once.
        count: usize,
        /// How many fit.
        max: usize,
    },
    /// A set of hosts without members.
    #[error("the set {} has no members here, so that rules with it match nothing until there are some", quoted(name))]
    NoMembers {
        /// The set.
        name: String,
    },
    /// The file of a set cannot be read.
    #[error(
        "the file {} of the set {} cannot be read: {reason}; make it readable or correct the path",
        quoted(path),
        quoted(name)
    )]
    UnreadableFile {
        /// The set.
        name: String,
        /// The path.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A line of a set's file is no prefix.
    #[error(
        "line {line} of the file {}: {} is not an address or a prefix; one a line, `#` begins a comment",
        quoted(path),
        quoted(given)
    )]
    BadFileLine {
        /// The path.
        path: String,
        /// Line in it.
        line: usize,
        /// What stands there.
        given: String,
    },
    /// A rule of the host's floor that does not accept.
    #[error("a rule of the floor can only accept, and this one has `action: {action}`; write `action: accept`")]
    FloorRefuses {
        /// Its action.
        action: &'static str,
    },
}
