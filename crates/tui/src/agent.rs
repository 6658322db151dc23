//! The seam to a running agent: what `top` asks and where the answers come from. The binary implements [`Agent`] over
//! HTTP, for this host or another; tests implement it in memory. Not here: any I/O, and when to ask ([`crate::app`]).
//!
//! Invariant: the agent is only ever called from the worker thread ([`crate::worker`]), so a call may block.

use hivewall_view::fleet::FleetView;
use hivewall_view::policy::{BanRequest, ExplainRequest, Explanation, PolicyOutcome, UnbanRequest};
use hivewall_view::{FlowPage, Snapshot, Sort};

/// A running agent that can be asked. Every method may block until its own time-out; errors are one line for the
/// operator that says what failed and, where possible, what to do next.
pub trait Agent {
    /// Name of the agent as the title line shows it: host name or URL.
    fn name(&self) -> String;
    /// Everything the agent knows now.
    fn snapshot(&mut self) -> Result<Snapshot, String>;
    /// One page of flows.
    fn flows(&mut self, question: &FlowQuestion) -> Result<FlowPage, String>;
    /// The fleet that the agent is in, as it knows it; none when it is in none.
    fn fleet(&mut self) -> Result<Option<FleetView>, String> {
        Ok(None)
    }
    /// Carries out a command, or answers a question about the policy.
    fn policy(&mut self, action: &PolicyAction) -> Result<PolicyReply, String> {
        Err(format!("this agent cannot be told to {}", action.title()))
    }
}

/// What the agent is told or asked about the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyAction {
    /// What becomes of a packet.
    Explain(ExplainRequest),
    /// Ban a prefix.
    Ban(BanRequest),
    /// Lift a ban.
    Unban(UnbanRequest),
    /// Confirm the change that waits for it, over a connection that is new.
    Confirm,
    /// Bring back what held before.
    Rollback,
    /// Say that an alert has been seen.
    Acknowledge {
        /// Its id.
        id: String,
    },
    /// Take back what was done about an alert by itself.
    Undo {
        /// Its id.
        id: String,
    },
}

impl PolicyAction {
    /// In the words of a question: `ban 192.0.2.0/24 for 1h`.
    pub fn title(&self) -> String {
        match self {
            Self::Explain(request) => format!("explain a packet from {} to {}", request.from, request.to),
            Self::Ban(BanRequest { prefix, ttl: Some(ttl), .. }) => format!("ban {prefix} for {ttl}"),
            Self::Ban(request) => format!("ban {} until it is lifted", request.prefix),
            Self::Unban(request) => format!("lift the ban of {}", request.prefix),
            Self::Confirm => "confirm the change of policy".to_owned(),
            Self::Rollback => "bring back the policy before this one".to_owned(),
            Self::Acknowledge { id } => format!("acknowledge alert {id}"),
            Self::Undo { id } => format!("take back what was done about alert {id}"),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyReply {
    /// It was done.
    Done(PolicyOutcome),
    /// It was done, and this is to be said of it.
    Told(String),
    /// What becomes of the packet.
    Explained(Box<Explanation>),
}

/// Which flows, in which order, how many. The filter travels as text because that is what the API takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowQuestion {
    /// Filter in the language of `hivewall_view::Filter`; empty matches all. Checked before it is asked.
    pub filter: String,
    /// Order of the rows.
    pub sort: Sort,
    /// At most so many rows.
    pub limit: usize,
    /// Whether closed flows are looked for in the history on disk rather than among those lately closed.
    pub history: bool,
}

/// What the worker is to ask in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What to tell it first, if anything.
    pub(crate) action: Option<PolicyAction>,
    /// Whether to fetch the snapshot.
    pub(crate) snapshot: bool,
    /// Whether to fetch the fleet.
    pub(crate) fleet: bool,
    /// Flows to fetch, if any.
    pub(crate) flows: Option<FlowQuestion>,
}

/// What came back for one [`Request`].
#[derive(Debug)]
pub(crate) struct Answer {
    /// What came of what it was told.
    pub(crate) action: Option<Result<PolicyReply, String>>,
    /// The snapshot, where it was asked for.
    pub(crate) snapshot: Option<Result<Snapshot, String>>,
    /// The fleet, where it was asked for and the snapshot did not fail.
    pub(crate) fleet: Option<Result<Option<FleetView>, String>>,
    /// The flows with the question they answer; absent too when the snapshot failed already.
    pub(crate) flows: Option<(FlowQuestion, Result<FlowPage, String>)>,
}
