//! Which counter is which rule's. A number stays with the id of a rule as long as any policy names that rule, and is
//! given to another only after it was set to zero; so no packet is ever shown under a rule that did not count it.

use std::collections::{BTreeMap, BTreeSet};

use hivewall_datapath::policy::{COUNTERS_MAX, VerdictCause};
use serde::{Deserialize, Serialize};

/// No number is left.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// Every number is taken.
    #[error(
        "rule {id:?} gets no counter: all {} are taken by rules of policies in use; apply a policy with fewer new rules, \
         or let the last one be confirmed first",
        COUNTERS_MAX - VerdictCause::RULES_FROM
    )]
    Full {
        /// The rule without one.
        id: String,
    },
    /// What was kept cannot be read.
    #[error("the kept counter numbers cannot be read ({0}); remove the file, and rules count from zero")]
    Unreadable(#[from] serde_json::Error),
    /// What was kept contradicts itself.
    #[error("the kept counter numbers give {number} twice or out of range; remove the file, and rules count from zero")]
    Contradiction {
        /// The number.
        number: u32,
    },
}

/// Numbers of counters by the ids of rules.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Rules of policies in use.
    used: BTreeMap<String, u16>,
    /// Rules that are in no policy any more, and whose counters still hold what they counted.
    retired: BTreeMap<String, u16>,
}

impl Counters {
    /// Numbers as they were kept.
    pub fn from_json(text: &[u8]) -> Result<Self, CountersError> {
        let counters: Self = serde_json::from_slice(text)?;
        let mut seen = BTreeSet::new();
        for number in counters.used.values().chain(counters.retired.values()) {
            let number = u32::from(*number);
            if !(VerdictCause::RULES_FROM..COUNTERS_MAX).contains(&number) || !seen.insert(number) {
                return Err(CountersError::Contradiction { number });
            }
        }
        Ok(counters)
    }

    /// Numbers to be kept.
    pub fn to_json(&self) -> Result<Vec<u8>, CountersError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Gives every id a number; those that have one, or had one that was not set to zero yet, keep it. Fails without
    /// having changed anything.
    pub fn allocate<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) -> Result<(), CountersError> {
        let mut next = self.clone();
        let taken: BTreeSet<u16> = self.used.values().chain(self.retired.values()).copied().collect();
        let mut free = (VerdictCause::RULES_FROM as u16..COUNTERS_MAX as u16).filter(|number| !taken.contains(number));
        for id in ids {
            if next.used.contains_key(id) {
                continue;
            }
            let number = match next.retired.remove(id) {
                Some(number) => number,
                None => free.next().ok_or_else(|| CountersError::Full { id: id.to_owned() })?,
            };
            next.used.insert(id.to_owned(), number);
        }
        *self = next;
        Ok(())
    }

    /// Tells which rules there still are, in any policy that may come into force without being compiled again. The numbers
    /// of all others are returned: they are to be set to zero and then handed to [`Counters::were_reset`].
    pub fn retire(&mut self, in_use: impl Fn(&str) -> bool) -> Vec<u16> {
        let gone: Vec<String> = self.used.keys().filter(|id| !in_use(id)).cloned().collect();
        for id in gone {
            if let Some((id, number)) = self.used.remove_entry(&id) {
                self.retired.insert(id, number);
            }
        }
        self.retired.values().copied().collect()
    }

    /// Tells that retired counters were set to zero, so that their numbers can be given away.
    pub fn were_reset(&mut self, numbers: &[u16]) {
        self.retired.retain(|_, number| !numbers.contains(number));
    }

    /// The number of a rule's counter.
    pub fn number(&self, id: &str) -> Option<u16> {
        self.used.get(id).copied()
    }

    /// Rules of policies in use with their numbers, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u16)> {
        self.used.iter().map(|(id, number)| (id.as_str(), *number))
    }

    /// The id of the rule with this counter.
    pub fn id(&self, number: u16) -> Option<&str> {
        let mut all = self.used.iter().chain(self.retired.iter());
        all.find(|(_, given)| **given == number).map(|(id, _)| id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(counters: &Counters, ids: &[&str]) -> Vec<Option<u16>> {
        ids.iter().map(|id| counters.number(id)).collect()
    }

    #[test]
    fn a_rule_keeps_its_counter_when_others_come_and_go() {
        let mut counters = Counters::default();
        counters.allocate(["ssh", "web", "db"]).unwrap();
        assert_eq!(numbers(&counters, &["ssh", "web", "db"]), [Some(32), Some(33), Some(34)]);
        assert_eq!(counters.retire(|id| id != "web"), [33]);
        counters.allocate(["mail", "db", "ssh"]).unwrap();
        assert_eq!(numbers(&counters, &["ssh", "web", "db", "mail"]), [Some(32), None, Some(34), Some(35)]);
    }

    #[test]
    fn a_number_is_given_away_only_after_it_was_set_to_zero() {
        let mut counters = Counters::default();
        counters.allocate(["a", "b"]).unwrap();
        let gone = counters.retire(|id| id == "b");
        counters.allocate(["c"]).unwrap();
        assert_eq!(counters.number("c"), Some(34));
        counters.were_reset(&gone);
        counters.allocate(["d"]).unwrap();
        assert_eq!(counters.number("d"), Some(32));
    }

    #[test]
    fn a_rule_that_comes_back_before_that_goes_on_counting() {
        let mut counters = Counters::default();
        counters.allocate(["a", "b"]).unwrap();
        counters.retire(|id| id == "b");
        assert_eq!(counters.id(32), Some("a"));
        counters.allocate(["c", "a"]).unwrap();
        assert_eq!(numbers(&counters, &["a", "c"]), [Some(32), Some(34)]);
    }

    #[test]
    fn numbers_survive_being_kept() {
        let mut counters = Counters::default();
        counters.allocate(["a", "b"]).unwrap();
        counters.retire(|id| id == "b");
        assert_eq!(Counters::from_json(&counters.to_json().unwrap()).unwrap(), counters);
    }

    #[test]
    fn kept_numbers_that_contradict_themselves_are_refused() {
        let twice = br#"{"used":{"a":32,"b":32},"retired":{}}"#;
        assert!(matches!(Counters::from_json(twice), Err(CountersError::Contradiction { number: 32 })));
        let low = br#"{"used":{"a":3},"retired":{}}"#;
        assert!(matches!(Counters::from_json(low), Err(CountersError::Contradiction { number: 3 })));
    }

    #[test]
    fn a_rule_too_many_is_refused_by_name_and_nothing_changes() {
        let mut counters = Counters::default();
        let ids: Vec<String> = (0..COUNTERS_MAX - VerdictCause::RULES_FROM).map(|i| format!("r{i}")).collect();
        counters.allocate(ids.iter().map(String::as_str)).unwrap();
        let before = counters.clone();
        assert!(matches!(counters.allocate(["r1", "more"]), Err(CountersError::Full { id }) if id == "more"));
        assert_eq!(counters, before);
    }
}
