//! What a host does about an alert by itself: what the document grants, and what nobody may grant.
//!
//! Pure: who is protected and how much is held is asked of the caller. Invariants: nothing is done on evidence that can be
//! spoofed, nor about an address that the host or its fleet depends on, nor for longer or wider than the document says.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::document::{Grade, Reaction, Respond};
use crate::explain::action_word;
use crate::ruleset::{Addresses, Limit, Rule, Ruleset, Stage};

/// Name of the tier of limits, ahead of the document's own.
const TIER: &str = "responses";

/// An alert, as far as responses are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The detector.
    pub detector: &'a str,
    /// How bad it is.
    pub severity: Grade,
    /// Who did it.
    pub source: IpAddr,
    /// Whether the source may be a lie.
    pub is_spoofable: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// `limit` or `ban`.
    pub reaction: Reaction,
    /// For whom.
    pub prefix: IpNet,
    /// How long.
    pub span: Duration,
    /// New flows that a limit lets through.
    pub limit: Limit,
}

/// What comes of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The document grants nothing for it.
    Nothing,
    /// It would, but for this.
    Refused {
        /// What was wanted.
        reaction: Reaction,
        /// Why not.
        reason: String,
    },
    /// It is done.
    Act(Act),
}

/// Decides. `protected` tells what a prefix holds that must not be cut off; `held` is how many of a reaction this host
/// holds by itself already.
pub fn decide(
    responses: &[Respond],
    cause: Cause<'_>,
    protected: impl Fn(IpNet) -> Option<String>,
    held: impl Fn(Reaction) -> usize,
) -> Decision {
    let is_meant = |respond: &&Respond| {
        respond.on.0.iter().any(|name| name == "any" || name == cause.detector) && cause.severity >= respond.severity
    };
    let Some(respond) = responses.iter().find(is_meant) else { return Decision::Nothing };
    let reaction = respond.reaction;
    if reaction == Reaction::Alert {
        return Decision::Nothing;
    }
    let refused = |reason: String| Decision::Refused { reaction, reason };
    if cause.is_spoofable {
        return refused(format!("{} may be a lie: its packets needed no answer", cause.source));
    }
    let address = cause.source;
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return refused(format!("{address} is no host that could be cut off"));
    }
    let length = match address {
        IpAddr::V4(_) => respond.prefix4,
        IpAddr::V6(_) => respond.prefix6,
    };
    let prefix = IpNet::new(address, length).map_or_else(|_| IpNet::from(address), |net| net.trunc());
    // What the whole prefix would take along may be protected while the address alone is not.
    let own = IpNet::from(address);
    let prefix = if protected(prefix).is_some() { own } else { prefix };
    if let Some(what) = protected(prefix) {
        return refused(format!("{address} is {what}"));
    }
    let most = respond.most as usize;
    if held(reaction) >= most {
        return refused(format!("this host holds {most} already, which is what the policy grants at once"));
    }
    Decision::Act(Act { reaction, prefix, span: Duration::from_secs(respond.span.0), limit: respond.limit() })
}

impl Respond {
    fn limit(&self) -> Limit {
        Limit::of_source(self.rate.count, Duration::from_secs(self.rate.unit.seconds()))
    }
}

impl Limit {
    /// So many new flows of somebody who is limited because of an alert; what goes beyond is dropped.
    #[must_use]
    pub fn of_source(count: u32, per: Duration) -> Self {
        Self { count, per, burst: count.max(1), per_source: false, over: crate::Action::Drop }
    }

    /// How far it goes, and what becomes of the rest.
    #[must_use]
    pub fn in_words(&self) -> String {
        let per = match self.per.as_secs() {
            1 => "a second".to_owned(),
            60 => "a minute".to_owned(),
            3600 => "an hour".to_owned(),
            _ => format!("in {} s", self.per.as_secs_f64()),
        };
        let of = if self.per_source { " of each source" } else { "" };
        let over = match self.over {
            crate::Action::Pass => "the next rule is asked",
            over => action_word(over),
        };
        format!("up to {} new flows {per}{of}, {} at once; beyond that: {over}", self.count, self.burst)
    }
}

impl Ruleset {
    /// The same rules behind a tier that lets of each of these prefixes only so many new flows through.
    #[must_use]
    pub fn limiting<'a>(&self, limited: impl IntoIterator<Item = (&'a IpNet, &'a Limit)>) -> Self {
        let rule = |(prefix, limit): (&IpNet, &Limit)| Rule {
            from: Addresses::In(vec![*prefix]),
            limit: Some(*limit),
            action: crate::Action::Pass,
            ..Rule::plain(format!("response:limit:{prefix}"), Stage::Tier(0), Some(hivewall_model::Direction::Ingress))
        };
        let own: Vec<Rule> = limited.into_iter().map(rule).collect();
        if own.is_empty() || self.rules.is_empty() {
            return self.clone();
        }
        let behind = |rule: &Rule| match rule.stage {
            Stage::Tier(at) => Rule { stage: Stage::Tier(at + 1), ..rule.clone() },
            _ => rule.clone(),
        };
        let (before, after): (Vec<Rule>, Vec<Rule>) =
            self.rules.iter().map(behind).partition(|rule| !matches!(rule.stage, Stage::Tier(_)));
        let tiers = std::iter::once(TIER.to_owned()).chain(self.tiers.iter().cloned()).collect();
        Self { rules: before.into_iter().chain(own).chain(after).collect(), tiers, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Seconds;

    fn granted(text: &str) -> Vec<Respond> {
        let text = format!(
            "kind: Policy\nmetadata: {{name: a, version: 1}}\nresponses:\n{text}\ntiers: [{{name: main, default: {{in: accept, out: accept}}}}]\n"
        );
        crate::parse(&text).unwrap_or_else(|error| panic!("{}", error.pointed("policy", &text))).document.responses
    }

    fn cause<'a>(detector: &'a str, severity: Grade, source: &str) -> Cause<'a> {
        Cause { detector, severity, source: source.parse().unwrap(), is_spoofable: false }
    }

    fn decided(responses: &[Respond], cause: Cause<'_>) -> Decision {
        decide(
            responses,
            cause,
            |net| net.contains(&"192.0.2.1".parse::<IpAddr>().unwrap()).then(|| "a member".into()),
            |_| 0,
        )
    }

    #[test]
    fn nothing_is_done_that_the_document_does_not_grant() {
        let responses = granted("- {on: brute_force, do: ban, for: 10m}");
        assert_eq!(decided(&[], cause("brute_force", Grade::High, "192.0.2.7")), Decision::Nothing);
        assert_eq!(decided(&responses, cause("port_scan", Grade::High, "192.0.2.7")), Decision::Nothing);
        assert_eq!(decided(&responses, cause("brute_force", Grade::Medium, "192.0.2.7")), Decision::Nothing);
        let Decision::Act(act) = decided(&responses, cause("brute_force", Grade::High, "192.0.2.7")) else { panic!() };
        assert_eq!((act.prefix.to_string(), act.span.as_secs()), ("192.0.2.7/32".to_owned(), 600));
    }

    #[test]
    fn the_first_response_that_is_meant_decides() {
        let responses = granted("- {on: [beacon], do: alert}\n- {on: any, do: limit, rate: 5/m, severity: low}");
        assert_eq!(decided(&responses, cause("beacon", Grade::Critical, "192.0.2.7")), Decision::Nothing);
        let Decision::Act(act) = decided(&responses, cause("port_scan", Grade::Low, "192.0.2.7")) else { panic!() };
        assert_eq!((act.reaction, act.limit.count, act.limit.per.as_secs()), (Reaction::Limit, 5, 60));
    }

    #[test]
    fn what_may_be_a_lie_is_protected_or_is_too_much_is_refused_with_a_reason() {
        let responses = granted("- {on: any, do: ban, most: 2, prefix4: 24, prefix6: 64}");
        let reason = |decision| match decision {
            Decision::Refused { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        let spoofed = Cause { is_spoofable: true, ..cause("x", Grade::High, "192.0.2.7") };
        assert!(reason(decided(&responses, spoofed)).contains("may be a lie"));
        assert!(reason(decided(&responses, cause("x", Grade::High, "192.0.2.1"))).contains("a member"));
        assert!(reason(decided(&responses, cause("x", Grade::High, "127.0.0.1"))).contains("no host"));
        let many = decide(&responses, cause("x", Grade::High, "192.0.2.7"), |_| None, |_| 2);
        assert!(reason(many).contains("holds 2 already"));
        let prefix = |source| match decided(&responses, cause("x", Grade::High, source)) {
            Decision::Act(act) => act.prefix.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(prefix("192.0.2.7"), "192.0.2.7/32", "beside a member only the address itself");
        assert_eq!(prefix("198.51.100.7"), "198.51.100.0/24");
        assert_eq!(prefix("2001:db8::7"), "2001:db8::/64");
    }

    #[test]
    fn limits_stand_between_bans_and_the_documents_own_tiers() {
        let rule = |stage| Rule::plain(format!("{stage:?}"), stage, None);
        let rules = Ruleset {
            rules: vec![rule(Stage::Guard), rule(Stage::Tier(0)), rule(Stage::Tier(1))],
            tiers: vec!["platform".to_owned(), "apps".to_owned()],
            ..Ruleset::default()
        };
        let limit = Respond { span: Seconds(60), ..granted("- {on: any, do: limit, rate: 3/s}").remove(0) }.limit();
        let net: IpNet = "192.0.2.7/32".parse().unwrap();
        let limited = rules.limiting([(&net, &limit)]);
        let shown: Vec<String> = limited.rules.iter().map(|rule| format!("{} {:?}", rule.id, rule.stage)).collect();
        let wanted = ["Guard Guard", "response:limit:192.0.2.7/32 Tier(0)", "Tier(0) Tier(1)", "Tier(1) Tier(2)"];
        assert_eq!(shown, wanted);
        assert_eq!(limited.tiers, ["responses", "platform", "apps"]);
        assert_eq!(rules.limiting([]), rules);
        assert_eq!(limit.in_words(), "up to 3 new flows a second, 3 at once; beyond that: drop");
        let each = Limit { per_source: true, over: crate::Action::Pass, per: Duration::from_secs(90), ..limit };
        assert_eq!(
            each.in_words(),
            "up to 3 new flows in 90 s of each source, 3 at once; beyond that: the next rule is asked"
        );
    }
}
