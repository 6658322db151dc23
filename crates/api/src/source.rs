//! The seam between the API and the agent. Deliberately not here: who may command, which is `access`. Invariant: no method blocks;
//! what takes time is a future.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::alerts::{
    AcknowledgeRequest, AlertOutcome, AlertPage, AlertQuery, ChannelTestRequest, DetectorPage, MutePage, MuteRequest,
    ReopenRequest, UndoRequest, UnmuteRequest,
};
use hivewall_view::editing::{PolicyCheck, PolicyDifferences, PolicyStatement};
use hivewall_view::fleet::{
    AuditPage, FleetAlertPage, FleetFlowPage, FleetOutcome, FleetRehearsal, FleetRulesPage, FleetSnapshotPage,
    FleetView, InvitationIssued, InvitationPage, MemberPage,
};
use hivewall_view::policy::{ExplainRequest, Explanation, PolicyOutcome, Rehearsal, RehearseRequest};
use hivewall_view::query::ExportFormat;
use hivewall_view::{FlowPage, FlowRow, Query, SeriesPage, SeriesQuery, Snapshot, TopPage, TopQuery};
use ipnet::IpNet;
use tokio::sync::broadcast;

use crate::access::Caller;
use crate::export::ExportPieces;

/// A future that owns what it needs and can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The engine no longer answers: it has stopped, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped; see the agent's log and start it again")]
pub struct SourceGone;

/// Why a question about history has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryRefusal {
    /// The agent keeps no history.
    #[error("this agent keeps no history; give it a directory for one and start it again")]
    Off,
    /// What is kept could not be read.
    #[error("the history could not be read: {reason}; see the agent's log")]
    Unreadable {
        /// As whoever reads it puts it.
        reason: String,
    },
    /// It cannot be answered as it was asked.
    #[error("{reason}")]
    TooMuch {
        /// What is wrong and what to ask instead.
        reason: String,
    },
    /// Who reads it has stopped.
    #[error(transparent)]
    Gone(#[from] SourceGone),
}

/// Why a question about the policy has no answer, or a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyRefusal {
    /// Nothing can be enforced here: a replay, an agent without the means.
    #[error("this agent enforces no policy")]
    Off,
    /// What was sent is wrong: a document, an address.
    #[error("{reason}")]
    Invalid {
        /// What is wrong, where, and what to write instead.
        reason: String,
    },
    /// It does not fit what holds now: nothing to confirm, an older version, a connection that is not new.
    #[error("{reason}")]
    Conflict {
        /// What stands against it.
        reason: String,
    },
    /// It should have worked.
    #[error("{reason}")]
    Failed {
        /// What happened, and what holds now.
        reason: String,
    },
    /// Who answers has stopped.
    #[error(transparent)]
    Gone(#[from] SourceGone),
}

/// Why a question about the fleet has no answer, or a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FleetRefusal {
    /// This host is in no fleet.
    #[error("this agent is in no fleet")]
    Off,
    /// What was sent is wrong: an address, a host that nobody knows.
    #[error("{reason}")]
    Invalid {
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// It does not fit what holds now: a host that may not issue invitations, an invitation that is not there.
    #[error("{reason}")]
    Conflict {
        /// What stands against it, and who or what can help.
        reason: String,
    },
    /// It should have worked.
    #[error("{reason}")]
    Failed {
        /// What happened, and what holds now.
        reason: String,
    },
    /// Who answers has stopped.
    #[error(transparent)]
    Gone(#[from] SourceGone),
}

/// Why a question about alerts has no answer, or a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlertRefusal {
    /// No detectors work here.
    #[error("no detectors work on this agent")]
    Off,
    /// What was sent is wrong.
    #[error("{reason}")]
    Invalid {
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// There is no such alert, mute or channel.
    #[error("{reason}")]
    Unknown {
        /// What there is instead.
        reason: String,
    },
    /// It should have worked.
    #[error("{reason}")]
    Failed {
        /// What happened, and what holds now.
        reason: String,
    },
    /// Who answers has stopped.
    #[error(transparent)]
    Gone(#[from] SourceGone),
}

/// The packets that an alert rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertFile {
    /// What to call it.
    pub name: String,
    /// A capture in the pcapng format.
    pub bytes: Vec<u8>,
}

/// What changes alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertCommand {
    /// Somebody has seen one.
    Acknowledge(AcknowledgeRequest),
    /// That is taken back.
    Reopen(ReopenRequest),
    /// Nothing more is to be heard of something.
    Mute(MuteRequest),
    /// It is to be heard of again.
    Unmute(UnmuteRequest),
    /// What was done about one is taken back.
    Undo(UndoRequest),
    /// Channels are tried.
    Test(ChannelTestRequest),
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageOf {
    /// At most so many.
    pub limit: usize,
    /// To leave out first.
    pub offset: usize,
}

/// An invitation to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// How many hosts may use it, from 1.
    pub uses: u32,
    /// How long it holds.
    pub ttl: Duration,
    /// Whether hosts that use it may issue invitations themselves.
    pub enroller: bool,
    /// Labels for hosts that have none of their own.
    pub labels: BTreeMap<String, String>,
    /// Where a host that joins reaches this one; where it advertises itself when empty.
    pub addresses: Vec<SocketAddr>,
    /// What it is for; may be empty.
    pub note: String,
}

/// What changes the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetCommand {
    /// Withdraws an invitation.
    Withdraw {
        /// Its id.
        id: String,
    },
    /// Takes a host out of the fleet for good: its certificate is revoked.
    Remove {
        /// Its name, its id, or the beginning of its id.
        host: String,
        /// Why; may be empty.
        reason: String,
    },
    /// Takes this host out of the fleet.
    Leave,
}

/// What changes the policy or the bans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyCommand {
    /// Brings a document into force.
    Apply {
        /// Its text.
        document: String,
        /// Time in which it has to be confirmed; as the document says when absent.
        confirm: Option<Duration>,
    },
    /// Confirms the change that waits for it. The caller's connection has to be younger than the change.
    Confirm,
    /// Brings back what held before.
    Rollback,
    /// Bans a prefix.
    Ban {
        /// Which, no bits beyond its length.
        prefix: IpNet,
        /// How long; until it is lifted when absent.
        ttl: Option<Duration>,
        /// Why; may be empty.
        reason: String,
    },
    /// Lifts a ban.
    Unban {
        /// Of which.
        prefix: IpNet,
    },
}

/// What the API asks the agent. The binary implements it over the engine's thread, tests over fixed data.
pub trait Source: Send + Sync + 'static {
    /// The latest snapshot. Cheap: the engine publishes one per tick and this clones a pointer.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// One page of flows: living ones, and closed ones either of late or of history, as the query says.
    fn flows(&self, query: Query) -> BoxFuture<'static, Result<FlowPage, HistoryRefusal>>;

    /// Who moved most, over history. An agent without history need not say anything about it.
    fn top(&self, query: TopQuery) -> BoxFuture<'static, Result<TopPage, HistoryRefusal>> {
        drop(query);
        Box::pin(std::future::ready(Err(HistoryRefusal::Off)))
    }

    /// Traffic over time, over history.
    fn series(&self, query: SeriesQuery) -> BoxFuture<'static, Result<SeriesPage, HistoryRefusal>> {
        drop(query);
        Box::pin(std::future::ready(Err(HistoryRefusal::Off)))
    }

    /// Closed flows of history that match, as one file.
    fn export(&self, query: Query, format: ExportFormat) -> BoxFuture<'static, Result<ExportPieces, HistoryRefusal>> {
        drop((query, format));
        Box::pin(std::future::ready(Err(HistoryRefusal::Off)))
    }

    /// The document in force, as it was given. What else is known of the policy is in the snapshot.
    fn policy_document(&self) -> BoxFuture<'static, Result<Option<String>, PolicyRefusal>> {
        Box::pin(std::future::ready(Err(PolicyRefusal::Off)))
    }

    /// The JSON Schema of policies, where they are read at all.
    fn policy_schema(&self) -> Option<serde_json::Value> {
        None
    }

    /// What is wrong with a document.
    fn policy_check(&self, _: String) -> BoxFuture<'static, Result<PolicyCheck, PolicyRefusal>> {
        no_policy()
    }

    /// What changes from the policy in force to a document.
    fn policy_diff(&self, _: String) -> BoxFuture<'static, Result<PolicyDifferences, PolicyRefusal>> {
        no_policy()
    }

    /// What is to be signed so that a document can follow the one that is there.
    fn policy_statement(&self, _: String) -> BoxFuture<'static, Result<PolicyStatement, PolicyRefusal>> {
        no_policy()
    }

    /// What becomes of a packet, and why.
    fn explain(&self, request: ExplainRequest) -> BoxFuture<'static, Result<Explanation, PolicyRefusal>> {
        drop(request);
        Box::pin(std::future::ready(Err(PolicyRefusal::Off)))
    }

    /// What a policy would have done to the flows of history.
    fn rehearse(&self, request: RehearseRequest) -> BoxFuture<'static, Result<Rehearsal, PolicyRefusal>> {
        drop(request);
        Box::pin(std::future::ready(Err(PolicyRefusal::Off)))
    }

    /// The host's packet filters, as one JSON document.
    fn inventory(&self) -> BoxFuture<'static, Result<serde_json::Value, PolicyRefusal>> {
        Box::pin(std::future::ready(Err(PolicyRefusal::Off)))
    }

    /// Carries out a command of someone who may command.
    fn command(
        &self,
        command: PolicyCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<PolicyOutcome, PolicyRefusal>> {
        drop((command, caller));
        Box::pin(std::future::ready(Err(PolicyRefusal::Off)))
    }

    /// Alerts of this host.
    fn alerts(&self, query: AlertQuery) -> BoxFuture<'static, Result<AlertPage, AlertRefusal>> {
        drop(query);
        no_alerts()
    }

    /// The packets that an alert rests on; `id` is how its id begins.
    fn alert_capture(&self, id: String) -> BoxFuture<'static, Result<AlertFile, AlertRefusal>> {
        drop(id);
        no_alerts()
    }

    /// What is silenced and excluded.
    fn alert_mutes(&self) -> BoxFuture<'static, Result<MutePage, AlertRefusal>> {
        no_alerts()
    }

    /// Detectors and how they fare.
    fn detectors(&self) -> BoxFuture<'static, Result<DetectorPage, AlertRefusal>> {
        no_alerts()
    }

    /// Carries out a command of someone who may command.
    fn alert_command(
        &self,
        command: AlertCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<AlertOutcome, AlertRefusal>> {
        drop((command, caller));
        no_alerts()
    }

    /// The fleet as this host knows it; `None` when it is in none. Cheap, as [`Source::snapshot`] is.
    fn fleet(&self) -> Option<Arc<FleetView>> {
        None
    }

    /// Members of the fleet, all of them in pages: those that are not alive first, then by name.
    fn fleet_members(&self, page: PageOf) -> BoxFuture<'static, Result<MemberPage, FleetRefusal>> {
        let _ = page;
        no_fleet()
    }

    /// One page of the flows of all hosts, who are asked for it.
    fn fleet_flows(&self, query: Query) -> BoxFuture<'static, Result<FleetFlowPage, FleetRefusal>> {
        drop(query);
        no_fleet()
    }

    /// What each host is like, asked of all.
    fn fleet_snapshot(&self) -> BoxFuture<'static, Result<FleetSnapshotPage, FleetRefusal>> {
        no_fleet()
    }

    /// The rules that hold on the hosts, asked of all.
    fn fleet_rules(&self) -> BoxFuture<'static, Result<FleetRulesPage, FleetRefusal>> {
        no_fleet()
    }

    /// Alerts of all hosts.
    fn fleet_alerts(&self, query: AlertQuery) -> BoxFuture<'static, Result<FleetAlertPage, FleetRefusal>> {
        drop(query);
        no_fleet()
    }

    /// What a policy would have done to the flows of each host's history.
    fn fleet_rehearse(&self, request: RehearseRequest) -> BoxFuture<'static, Result<FleetRehearsal, FleetRefusal>> {
        drop(request);
        no_fleet()
    }

    /// The audit log, latest first.
    fn fleet_audit(&self, page: PageOf) -> BoxFuture<'static, Result<AuditPage, FleetRefusal>> {
        let _ = page;
        no_fleet()
    }

    /// Invitations that this host issued, without their secrets.
    fn fleet_invitations(&self) -> BoxFuture<'static, Result<InvitationPage, FleetRefusal>> {
        no_fleet()
    }

    /// Issues an invitation for someone who may command.
    fn fleet_invite(
        &self,
        invite: Invite,
        caller: Caller,
    ) -> BoxFuture<'static, Result<InvitationIssued, FleetRefusal>> {
        drop((invite, caller));
        no_fleet()
    }

    /// Carries out a command of someone who may command.
    fn fleet_command(
        &self,
        command: FleetCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<FleetOutcome, FleetRefusal>> {
        drop((command, caller));
        no_fleet()
    }

    /// Every flow that closes from now on. The sender never waits: a receiver that falls behind misses the oldest and
    /// is told how many. While nobody listens (`receiver_count() == 0`) the rows need not be built.
    fn closed_flows(&self) -> broadcast::Receiver<Arc<FlowRow>>;

    /// The engine's time: the wall clock of a live agent, virtual in a replay. The age of the snapshot is judged by it.
    fn now(&self) -> Timestamp;
}

/// The answer of an agent that is in no fleet.
fn no_fleet<T: Send + 'static>() -> BoxFuture<'static, Result<T, FleetRefusal>> {
    Box::pin(std::future::ready(Err(FleetRefusal::Off)))
}

/// The answer of an agent without detectors.
fn no_alerts<T: Send + 'static>() -> BoxFuture<'static, Result<T, AlertRefusal>> {
    Box::pin(std::future::ready(Err(AlertRefusal::Off)))
}

fn no_policy<T: Send + 'static>() -> BoxFuture<'static, Result<T, PolicyRefusal>> {
    Box::pin(std::future::ready(Err(PolicyRefusal::Off)))
}
