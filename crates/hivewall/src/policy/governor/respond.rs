//! What this host does about alerts by itself, as the policy in force grants it: bans and limits, who must never be hit by
//! one, and how they are undone.
//!
//! What is granted is decided by `hivewall_policy::respond`; what is kept between two starts is in `acts`. Invariants: every
//! response ends; whatever a detector says, here or on another host, what this host or its fleet depends on stays reachable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hivewall_host::source::wall_clock;
use hivewall_policy::document::{Grade, Reaction};
use hivewall_policy::respond::{Act, Cause, Decision, decide};
use hivewall_policy::{Addresses, Stage};
use hivewall_view::alerts::Response;
use hivewall_view::time::rfc3339;
use ipnet::IpNet;

use super::acts::{Held, Measure};
use super::{Done, Governor, PolicyRefusal, failed, plain};

/// An alert that something may be done about.
#[derive(Clone, Debug)]
pub(crate) struct Respondent {
    /// Id of the alert.
    pub(crate) alert: String,
    pub(crate) detector: String,
    pub(crate) severity: Grade,
    pub(crate) source: IpAddr,
    pub(crate) is_spoofable: bool,
    /// The alert in words.
    pub(crate) message: String,
}

/// Takes what came of it; nothing where the policy grants nothing.
pub(crate) type Told = Box<dyn FnOnce(Option<Response>) + Send>;

/// Prefixes that are limited at once before others are heard: each is a rule, and the rules are put in force anew for each.
const LIMITS_MAX: usize = 256;

/// Begins the name of who banned or limited where no person did: the detector follows.
pub(crate) const BY_ITSELF: &str = "response:";

/// What the fleet asks this host to do about somebody.
#[derive(Clone, Debug)]
pub(crate) struct Carry {
    pub(crate) prefix: IpNet,
    pub(crate) measure: Measure,
    pub(crate) ttl: Duration,
    /// The host that asks.
    pub(crate) issuer: String,
    pub(crate) reason: String,
    /// Because of an alert, not because a person asked for it.
    pub(crate) by_itself: bool,
}

fn word(reaction: Reaction) -> String {
    reaction.word().to_owned()
}

impl Governor {
    pub(super) fn respond(&mut self, to: &Respondent) -> Option<Response> {
        let rules = self.rules.as_ref()?;
        let cause =
            Cause { detector: &to.detector, severity: to.severity, source: to.source, is_spoofable: to.is_spoofable };
        let decision =
            decide(&rules.responses, cause, |prefix| self.protects(prefix), |reaction| self.acts.own(reaction));
        match decision {
            Decision::Nothing => None,
            Decision::Refused { reaction, reason } => {
                tracing::info!(alert = to.alert, reason, "no {} for {}", reaction.word(), to.source);
                Some(Response { action: word(reaction), outcome: "refused".to_owned(), reason, ..Response::default() })
            }
            Decision::Act(act) => Some(self.act(to, act)),
        }
    }

    fn act(&mut self, to: &Respondent, act: Act) -> Response {
        let shown = plain(act.prefix);
        let until = wall_clock() + act.span;
        let measure = Measure::of(&act);
        let before = self.acts.put(act.prefix, Held { until, measure, issuer: None });
        let (reason, who) = (format!("{} ({})", to.message, to.alert), format!("{BY_ITSELF}{}", to.detector));
        let done = match measure {
            Measure::Ban => self.ban_for(&act, &who, &reason),
            Measure::Limit { .. } => self.limit_for(act.prefix),
        };
        let mut response = Response {
            action: word(act.reaction),
            prefix: Some(shown.clone()),
            until: Some(rfc3339(until)),
            ..Response::default()
        };
        match done {
            Ok(()) => {
                self.side.tell(Done::Banned { prefix: act.prefix, measure, ttl: Some(act.span), reason, who });
                tracing::info!(alert = to.alert, prefix = shown, "{}: {}", act.reaction.word(), to.message);
                "done".clone_into(&mut response.outcome);
                response.reason =
                    format!("the policy grants it for {} of severity {} and worse", to.detector, to.severity.word());
                response.undo = Some(format!("hivewall alerts undo {}", to.alert));
            }
            Err(error) => {
                match before {
                    Some(before) => _ = self.acts.put(act.prefix, before),
                    None => _ = self.acts.remove(act.reaction, act.prefix),
                }
                tracing::error!(alert = to.alert, prefix = shown, error, "a response could not be carried out");
                "failed".clone_into(&mut response.outcome);
                response.reason = error;
            }
        }
        self.keep_acts();
        response
    }

    fn ban_for(&mut self, act: &Act, who: &str, reason: &str) -> Result<(), String> {
        self.bans.add(act.prefix, Some(act.span), who, reason).map_err(|error| format!("{error:#}"))?;
        self.after_bans(Some(act.prefix));
        Ok(())
    }

    /// Puts the rules in force anew, with the limits that hold now.
    fn limit_for(&mut self, prefix: IpNet) -> Result<(), String> {
        self.settle_anew();
        let id = format!("response:limit:{prefix}");
        let is_there = self.rules.as_ref().is_some_and(|rules| rules.rules.iter().any(|rule| rule.id == id));
        if is_there {
            return Ok(());
        }
        Err("the policy could not be put in force with the limit; a change that waits for confirmation goes first"
            .to_owned())
    }

    /// What another host does about an alert or an operator did there. Where this host has no policy in force, a limit waits
    /// for one.
    pub(super) fn carry(&mut self, to: Carry) -> Result<(), PolicyRefusal> {
        let Carry { prefix, measure, ttl, issuer, reason, by_itself } = to;
        self.side.check_ban(prefix)?;
        // What one host does not depend on, another may.
        if by_itself && let Some(what) = self.protects(prefix) {
            return Err(PolicyRefusal::Conflict { reason: format!("{} is {what}", plain(prefix)) });
        }
        if measure == Measure::Ban {
            self.bans.add(prefix, Some(ttl), &issuer, &reason).map_err(|error| failed(&error))?;
            self.after_bans(Some(prefix));
            return Ok(());
        }
        // This host's own, which ends by what it saw itself, is not replaced.
        if self.acts.is_own(measure.reaction(), prefix) {
            return Ok(());
        }
        if self.acts.limits().count() >= LIMITS_MAX {
            let reason = format!("this host limits {LIMITS_MAX} sources already");
            return Err(PolicyRefusal::Conflict { reason });
        }
        self.acts.put(prefix, Held { until: wall_clock() + ttl, measure, issuer: Some(issuer) });
        self.keep_acts();
        self.settle_anew();
        Ok(())
    }

    /// Ends what another host took back, or whose time is over there.
    pub(super) fn release(&mut self, prefix: IpNet, reaction: Reaction, issuer: Option<&str>) {
        if reaction == Reaction::Limit {
            // Not one that somebody else asked for meanwhile.
            if issuer.is_none_or(|issuer| self.acts.is_of(reaction, prefix, issuer)) {
                self.unlimit(prefix);
            }
            return;
        }
        let removed = match issuer {
            Some(issuer) => self.bans.remove_of(prefix, issuer),
            None => self.bans.remove(prefix),
        };
        match removed {
            Ok(true) => self.after_bans(None),
            Ok(false) => {}
            Err(error) => self.problem(format!("the ban of {prefix} cannot be lifted: {error:#}")),
        }
    }

    /// Lifts the limit of a prefix, if there is one.
    pub(super) fn unlimit(&mut self, prefix: IpNet) -> bool {
        let was = self.acts.remove(Reaction::Limit, prefix).is_some();
        if was {
            self.keep_acts();
            self.settle_anew();
        }
        was
    }

    /// Lifts the ban of a prefix, if there is one.
    pub(super) fn unban(&mut self, prefix: IpNet) -> Result<bool, PolicyRefusal> {
        let was = self.bans.remove(prefix).map_err(|error| failed(&error))?;
        if self.acts.remove(Reaction::Ban, prefix).is_some() {
            self.keep_acts();
        }
        if was {
            self.after_bans(None);
        }
        Ok(was)
    }

    /// Takes back what was done about a prefix.
    pub(super) fn undo(&mut self, reaction: &str, prefix: IpNet) -> Result<String, PolicyRefusal> {
        let reaction = if reaction == Reaction::Limit.word() { Reaction::Limit } else { Reaction::Ban };
        let (was, done) = match reaction {
            Reaction::Limit => (self.unlimit(prefix), "limited"),
            _ => (self.unban(prefix)?, "banned"),
        };
        self.side.tell(Done::Unbanned { prefix, reaction: Some(reaction), who: "operator".to_owned() });
        Ok(if was {
            format!("{} is no longer {done}", plain(prefix))
        } else {
            format!("{} was not {done} any more", plain(prefix))
        })
    }

    /// Forgets what is over. Bans end by themselves.
    pub(super) fn end_acts(&mut self) {
        let ended = self.acts.end(wall_clock());
        if ended.is_empty() {
            return;
        }
        self.keep_acts();
        if ended.contains(&Reaction::Limit) {
            self.settle_anew();
        }
    }

    fn keep_acts(&mut self) {
        let kept = self.acts.write(&self.state).map_err(|error| {
            format!("what holds because of alerts is not kept, and a limit ends with the agent: {error:#}")
        });
        self.outcome("responses", kept);
    }

    /// What a prefix holds that must never be cut off.
    fn protects(&self, prefix: IpNet) -> Option<String> {
        if let Some(host) = self.side.member_within(prefix) {
            return Some(format!("an address of {host}, a member of the fleet"));
        }
        let meets = |net: &IpNet| net.contains(&prefix) || prefix.contains(net);
        let rules = self.rules.iter().flat_map(|rules| &rules.rules);
        for rule in rules.filter(|rule| matches!(rule.stage, Stage::Guard | Stage::Exempt)) {
            if let Addresses::In(nets) = &rule.from
                && nets.iter().any(meets)
            {
                return Some(format!("let through by {}", rule.id));
            }
        }
        let within = |address: &IpAddr| prefix.contains(address);
        if gateways().iter().any(within) {
            return Some("a gateway of this host".to_owned());
        }
        if resolvers().iter().any(within) {
            return Some("a resolver of this host".to_owned());
        }
        if own().iter().any(within) {
            return Some("an address of this host".to_owned());
        }
        None
    }
}

/// Addresses of this host.
fn own() -> Vec<IpAddr> {
    if_addrs::get_if_addrs().map(|all| all.iter().map(if_addrs::Interface::ip).collect()).unwrap_or_default()
}

/// Next hops of this host's routes.
fn gateways() -> Vec<IpAddr> {
    let v4 = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    v4.lines().skip(1).filter_map(gateway4).chain(v6.lines().filter_map(gateway6)).collect()
}

/// proc_net_route(5): the third field, hexadecimal, as it lies in memory.
fn gateway4(line: &str) -> Option<IpAddr> {
    let word = u32::from_str_radix(line.split_whitespace().nth(2)?, 16).ok()?;
    (word != 0).then(|| IpAddr::from(Ipv4Addr::from(word.to_ne_bytes())))
}

/// The fifth field, 32 hexadecimal digits.
fn gateway6(line: &str) -> Option<IpAddr> {
    let word = u128::from_str_radix(line.split_whitespace().nth(4)?, 16).ok()?;
    (word != 0).then(|| IpAddr::from(Ipv6Addr::from(word)))
}

/// resolv.conf(5).
fn resolvers() -> Vec<IpAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let address = |line: &str| line.trim().strip_prefix("nameserver")?.split('%').next()?.trim().parse().ok();
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_read_as_the_kernel_writes_them() {
        let line = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        let wanted = Ipv4Addr::from(0x0101_a8c0_u32.to_ne_bytes());
        assert_eq!(gateway4(line), Some(IpAddr::from(wanted)));
        assert_eq!(gateway4("eth0\t0000A8C0\t00000000\t0001"), None);
        let zeros = "0".repeat(32);
        let line = format!("{zeros} 00 {zeros} 00 fe800000000000000000000000000001 00000400 1 0 3 eth0");
        assert_eq!(gateway6(&line), Some("fe80::1".parse().unwrap()));
    }
}
