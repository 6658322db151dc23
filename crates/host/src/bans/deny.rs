//! What the policy denies at the front: prefixes from which nothing is accepted, whatever it is, each with the counter of
//! the rule that says so. They share the tables with the bans and nothing else: a ban and a denied prefix come and go
//! independently, also when they are the same.
//!
//! What is denied here is refused where packets are judged as well, so that the front may always hold less than the policy
//! says, and never more. Invariant: every call leaves it so, also one that fails.

use super::store::{BanStore, List};
use super::{BanError, Bans, Prefix};

/// What a call did to the denied prefixes at the front.
#[derive(Debug, Default)]
pub struct Denied {
    /// Prefixes that came, or got another counter.
    pub entered: usize,
    /// Prefixes that found no room, with the reason for the first of them. Their rules hold where packets are judged.
    pub left: Option<(usize, BanError)>,
}

impl<S: BanStore> Bans<S> {
    /// Lets go of every denied prefix that is not among these, and gives the others their counters: for before another
    /// policy comes into force. Sorted, each prefix once.
    pub fn keep_denied(&mut self, wanted: &[(Prefix, u16)]) -> Result<(), BanError> {
        let of = |prefix: &Prefix| {
            let at = wanted.binary_search_by_key(prefix, |(prefix, _)| *prefix).ok()?;
            wanted.get(at).map(|(_, counter)| *counter)
        };
        let gone: Vec<Prefix> = self.denied.keys().filter(|prefix| of(prefix).is_none()).copied().collect();
        for prefix in gone {
            self.store.remove(List::Denied, prefix)?;
            self.denied.remove(&prefix);
            self.paint.erase_denied(&mut self.store, &self.set, &self.denied, prefix);
        }
        self.write_flags();
        let changed = |(prefix, counter): (&Prefix, &u16)| {
            let wanted = of(prefix)?;
            (wanted != *counter).then_some((*prefix, wanted))
        };
        let changed: Vec<(Prefix, u16)> = self.denied.iter().filter_map(changed).collect();
        self.store.deny(&changed).map_err(|(_, error)| error)?;
        self.denied.extend(changed);
        Ok(())
    }

    /// Makes these the denied prefixes: for after the policy that denies them has come into force. Sorted, each prefix
    /// once. What finds no room is left to where packets are judged.
    pub fn deny(&mut self, wanted: &[(Prefix, u16)]) -> Result<Denied, BanError> {
        self.keep_denied(wanted)?;
        let new: Vec<(Prefix, u16)> =
            wanted.iter().filter(|(prefix, _)| !self.denied.contains_key(prefix)).copied().collect();
        let (entered, left) = match self.store.deny(&new) {
            Ok(()) => (new.len(), None),
            Err((done, error)) => (done, Some((new.len() - done, error))),
        };
        for (prefix, counter) in new.into_iter().take(entered) {
            self.denied.insert(prefix, counter);
            self.paint.draw_denied(&mut self.store, prefix);
        }
        self.write_flags();
        Ok(Denied { entered, left })
    }

    /// How many prefixes are denied at the front.
    pub fn denied_len(&self) -> usize {
        self.denied.len()
    }

    /// Finds what is in the tables already, as after a restart of the agent.
    pub(super) fn read_denied(&mut self) -> Result<(), BanError> {
        for (prefix, counter) in self.store.denied()? {
            self.denied.insert(prefix, counter);
            self.paint.draw_denied(&mut self.store, prefix);
        }
        self.paint.clear_stale(&mut self.store, &self.set);
        Ok(())
    }
}
