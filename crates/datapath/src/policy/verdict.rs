//! A verdict in one word, as a line of the flow cache carries it.

/// Counters there are: one for each cause that is no rule, then one for each rule that ever was.
pub const COUNTERS_MAX: u32 = 1 << 13;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Action {
    /// The packet passes.
    Accept = 0,
    /// It is dropped without a word.
    Drop = 1,
    /// It is dropped, and its sender told: a TCP reset, or ICMP "administratively prohibited".
    Reject = 2,
    /// The next tier decides.
    Pass = 3,
}

impl Action {
    /// The action with this number; `Drop` for a number that is none.
    #[inline(always)]
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Accept,
            2 => Self::Reject,
            3 => Self::Pass,
            _ => Self::Drop,
        }
    }
}

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $label:literal;)+) => {
        /// What decides besides a policy's rules. Its number is its counter, and none is 0, so that a verdict without an
        /// epoch still differs from none; rules' counters begin at [`Cause::RULES_FROM`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Cause {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Cause {
            /// All of them, by number.
            pub const ALL: &'static [Cause] = &[$(Cause::$name,)+];

            /// The label shown everywhere, as if it were a rule's id.
            pub fn label(self) -> &'static str {
                match self { $(Cause::$name => $label,)+ }
            }

            /// One sentence for the documentation.
            pub fn doc(self) -> &'static str {
                match self { $(Cause::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The cause with this number.
            pub fn from_number(number: u32) -> Option<Cause> {
                match number { $($number => Some(Cause::$name),)+ _ => None }
            }
        }
    };
}

causes! {
    /// The address at the other end is banned: dropped.
    Ban = 1, "(ban)";
    /// The packet cannot be read or breaks a standard: dropped where a policy is enforced.
    Invalid = 2, "(invalid)";
    /// What every host needs: ICMP errors, neighbour discovery, multicast listeners, DHCP, the agent's own links: accepted.
    Essential = 3, "(essential)";
    /// Beyond the rate at which essential packets are accepted: dropped.
    EssentialOver = 4, "(essential, over its rate)";
    /// Beyond a rule's limit, where the limit drops.
    OverLimit = 5, "(over limit)";
    /// A connection that was there before the first policy: accepted until it ends.
    Adopted = 6, "(adopted)";
    /// An ICMP error about a flow that is accepted: accepted.
    Related = 7, "(related)";
    /// A later fragment that came before its first one, and that no rule could accept: dropped.
    Fragment = 8, "(fragment)";
    /// The tables of the policy could not be read: a defect. Dropped where a policy is enforced; must stay 0.
    Broken = 9, "(broken tables)";
    /// What the agent sent to tell the sender of a refused packet: accepted.
    Reply = 10, "(reply)";
    /// Beyond the rate at which senders of refused packets are told: these were dropped silently.
    ReplyOver = 11, "(reply, over its rate)";
    /// No policy selects this host, or no rule and no default of it matched: accepted.
    NoPolicy = 12, "(no policy)";
}

impl Cause {
    /// The first counter of a rule.
    pub const RULES_FROM: u32 = 32;
}

/// Counter in bits 0–12, action bits in 13–15, epoch of the policy in 16–31. 0: not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Verdict(pub u32);

impl Verdict {
    const COUNTER: u32 = COUNTERS_MAX - 1;
    const DROP: u32 = 1 << 13;
    const REJECT: u32 = 1 << 14;
    const OBSERVED: u32 = 1 << 15;

    /// A verdict of this epoch.
    #[inline(always)]
    pub fn new(epoch: u16, action: Action, counter: u32) -> Self {
        let bits = match action {
            Action::Accept | Action::Pass => 0,
            Action::Drop => Self::DROP,
            Action::Reject => Self::DROP | Self::REJECT,
        };
        Self(u32::from(epoch) << 16 | bits | counter & Self::COUNTER)
    }

    /// The same, of a policy that only observes: what would be dropped passes.
    #[inline(always)]
    #[must_use]
    pub fn observed(self) -> Self {
        if self.0 & Self::DROP == 0 { self } else { Self(self.0 | Self::OBSERVED) }
    }

    /// The same verdict, given again in another epoch.
    #[inline(always)]
    #[must_use]
    pub fn at(self, epoch: u16) -> Self {
        Self(self.0 & 0xffff | u32::from(epoch) << 16)
    }

    /// Whether it was judged at all.
    #[inline(always)]
    pub fn is_judged(self) -> bool {
        self.0 >> 16 != 0
    }

    /// The epoch of the policy that it is of.
    #[inline(always)]
    pub fn epoch(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Whether the policy says drop or reject, even if it only observes.
    #[inline(always)]
    pub fn is_refusal(self) -> bool {
        self.0 & Self::DROP != 0
    }

    /// Whether the packet is to be dropped.
    #[inline(always)]
    pub fn drops(self) -> bool {
        self.0 & (Self::DROP | Self::OBSERVED) == Self::DROP
    }

    /// Whether the sender is to be told.
    #[inline(always)]
    pub fn rejects(self) -> bool {
        self.0 & (Self::REJECT | Self::OBSERVED) == Self::REJECT
    }

    /// Whether it would be dropped if the policy were enforced.
    #[inline(always)]
    pub fn is_observed(self) -> bool {
        self.0 & Self::OBSERVED != 0
    }

    /// What the rule says.
    #[inline(always)]
    pub fn action(self) -> Action {
        match self.0 & (Self::DROP | Self::REJECT) {
            0 => Action::Accept,
            Self::DROP => Action::Drop,
            _ => Action::Reject,
        }
    }

    /// The counter of the rule, or the number of a [`Cause`].
    #[inline(always)]
    pub fn counter(self) -> u32 {
        self.0 & Self::COUNTER
    }

    /// What decided, when it was no rule.
    pub fn cause(self) -> Option<Cause> {
        Cause::from_number(self.counter())
    }
}
