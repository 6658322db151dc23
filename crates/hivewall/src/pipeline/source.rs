//! The pipeline's answers to the API: from the latest snapshot, from the thread that owns the flows, and from whoever keeps
//! policy, history and fleet.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use hivewall_api::{
    AlertCommand, AlertFile, AlertRefusal, BoxFuture, Caller, ExportPieces, FleetCommand, FleetRefusal, HistoryRefusal,
    Invite, PageOf, PolicyCommand, PolicyRefusal, SourceGone,
};
use hivewall_host::privileges::Desk;
use hivewall_model::Timestamp;
use hivewall_view::alerts::{AlertOutcome, AlertPage, AlertQuery, DetectorPage, MutePage};
use hivewall_view::editing::{PolicyCheck, PolicyDifferences, PolicyStatement};
use hivewall_view::fleet::{
    AuditPage, FleetAlertPage, FleetFlowPage, FleetOutcome, FleetRehearsal, FleetRulesPage, FleetSnapshotPage,
    FleetView, InvitationIssued, InvitationPage, MemberPage,
};
use hivewall_view::policy::{ExplainRequest, Explanation, PolicyOutcome, Rehearsal, RehearseRequest};
use hivewall_view::query::{ExportFormat, SeriesPage, SeriesQuery, TopPage, TopQuery};
use hivewall_view::{Filter, FlowPage, FlowRow, Query, Snapshot};
use tokio::sync::{broadcast, oneshot};

use super::{Handle, Question};
use crate::fleet::Fleet;
use crate::policy::{answers, editing};
use crate::watch::Alerts;

impl Handle {
    /// The fleet's answer, or that there is no fleet.
    fn of_fleet<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Fleet) -> BoxFuture<'static, Result<T, FleetRefusal>>,
    ) -> BoxFuture<'static, Result<T, FleetRefusal>> {
        match &self.fleet {
            Some(fleet) => ask(fleet),
            None => Box::pin(std::future::ready(Err(FleetRefusal::Off))),
        }
    }
}

impl Handle {
    /// The detectors' answer, or that there are none.
    fn of_detectors<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Alerts) -> BoxFuture<'static, Result<T, AlertRefusal>>,
    ) -> BoxFuture<'static, Result<T, AlertRefusal>> {
        match &self.alerts {
            Some(alerts) => ask(alerts),
            None => Box::pin(std::future::ready(Err(AlertRefusal::Off))),
        }
    }
}

impl hivewall_api::Source for Handle {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn flows(&self, query: Query) -> BoxFuture<'static, Result<FlowPage, HistoryRefusal>> {
        let archive = self.archive.clone().filter(|_| query.history);
        let (answer, page) = oneshot::channel();
        let of_engine = match archive {
            // All living flows that could be on the page: where history's stand among them is not known yet.
            Some(_) => Query { limit: query.offset.saturating_add(query.page_limit()), offset: 0, ..query.clone() },
            None => Query { history: false, ..query.clone() },
        };
        let asked = self.questions.send(Question { query: of_engine, answer });
        Box::pin(async move {
            asked.map_err(|_| SourceGone)?;
            let living = page.await.map_err(|_| SourceGone)?;
            match archive {
                Some(archive) => beside(move || archive.flows(&query, living)).await?,
                None => Ok(living),
            }
        })
    }

    fn top(&self, query: TopQuery) -> BoxFuture<'static, Result<TopPage, HistoryRefusal>> {
        let (archive, now) = (self.archive.clone(), self.now());
        Box::pin(async move {
            let archive = archive.ok_or(HistoryRefusal::Off)?;
            beside(move || archive.top(&query, now)).await?
        })
    }

    fn export(&self, query: Query, format: ExportFormat) -> BoxFuture<'static, Result<ExportPieces, HistoryRefusal>> {
        let archive = self.archive.clone();
        Box::pin(async move { Ok(archive.ok_or(HistoryRefusal::Off)?.export(query, format)) })
    }

    fn series(&self, query: SeriesQuery) -> BoxFuture<'static, Result<SeriesPage, HistoryRefusal>> {
        let (archive, now) = (self.archive.clone(), self.now());
        Box::pin(async move {
            let archive = archive.ok_or(HistoryRefusal::Off)?;
            beside(move || archive.series(&query, now)).await?
        })
    }

    fn policy_document(&self) -> BoxFuture<'static, Result<Option<String>, PolicyRefusal>> {
        match self.answers.clone() {
            Some(answers) => Box::pin(answers.document()),
            None => Box::pin(std::future::ready(Err(self.no_policy()))),
        }
    }

    fn policy_schema(&self) -> Option<serde_json::Value> {
        Some(hivewall_policy::policy_schema())
    }

    fn policy_check(&self, document: String) -> BoxFuture<'static, Result<PolicyCheck, PolicyRefusal>> {
        Box::pin(async move { Ok(beside(move || editing::check(&document)).await?) })
    }

    fn policy_diff(&self, document: String) -> BoxFuture<'static, Result<PolicyDifferences, PolicyRefusal>> {
        match self.answers.clone() {
            Some(answers) => Box::pin(answers.diff(document)),
            None => Box::pin(std::future::ready(Err(self.no_policy()))),
        }
    }

    fn policy_statement(&self, document: String) -> BoxFuture<'static, Result<PolicyStatement, PolicyRefusal>> {
        match self.answers.clone() {
            Some(answers) => Box::pin(answers.statement(document)),
            None => Box::pin(std::future::ready(Err(self.no_policy()))),
        }
    }

    fn explain(&self, request: ExplainRequest) -> BoxFuture<'static, Result<Explanation, PolicyRefusal>> {
        match self.answers.clone() {
            Some(answers) => Box::pin(answers.explain(request)),
            None => Box::pin(std::future::ready(Err(self.no_policy()))),
        }
    }

    fn rehearse(&self, request: RehearseRequest) -> BoxFuture<'static, Result<Rehearsal, PolicyRefusal>> {
        let (answers, archive, now) = (self.answers.clone(), self.archive.clone(), self.now());
        let no_policy = self.no_policy();
        Box::pin(async move {
            let answers = answers.ok_or(no_policy)?;
            let no_history = "there is no history to rehearse over; see `hivewall policy rehearse --pcap`";
            let _turn = answers.turn().await?;
            let archive = archive.ok_or_else(|| PolicyRefusal::Conflict { reason: no_history.to_owned() })?;
            let (new, current) = answers.rehearsed(&request).await?;
            let line = format!("last:{}", request.last.as_deref().unwrap_or("24h"));
            let filter =
                Filter::parse(&line, now).map_err(|error| PolicyRefusal::Invalid { reason: error.to_string() })?;
            let pieces = archive.export(Query { filter, history: true, ..Query::default() }, ExportFormat::Jsonl);
            beside(move || answers::rehearse(&new, current.as_ref(), pieces)).await?
        })
    }

    fn inventory(&self) -> BoxFuture<'static, Result<serde_json::Value, PolicyRefusal>> {
        Box::pin(async {
            // Whoever serves requests has no privilege to list them.
            beside(|| Desk::Filters.run(crate::rules::as_json))
                .await?
                .map_err(|error| PolicyRefusal::Failed { reason: error.to_string() })
        })
    }

    fn command(
        &self,
        command: PolicyCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<PolicyOutcome, PolicyRefusal>> {
        match self.answers.clone() {
            Some(answers) => Box::pin(answers.command(command, caller)),
            None => Box::pin(std::future::ready(Err(self.no_policy()))),
        }
    }

    fn alerts(&self, query: AlertQuery) -> BoxFuture<'static, Result<AlertPage, AlertRefusal>> {
        self.of_detectors(|alerts| alerts.find(query))
    }

    fn alert_capture(&self, id: String) -> BoxFuture<'static, Result<AlertFile, AlertRefusal>> {
        self.of_detectors(|alerts| alerts.capture(id))
    }

    fn alert_mutes(&self) -> BoxFuture<'static, Result<MutePage, AlertRefusal>> {
        self.of_detectors(Alerts::mutes)
    }

    fn detectors(&self) -> BoxFuture<'static, Result<DetectorPage, AlertRefusal>> {
        self.of_detectors(Alerts::detectors)
    }

    fn alert_command(
        &self,
        command: AlertCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<AlertOutcome, AlertRefusal>> {
        self.of_detectors(|alerts| alerts.command(command, &caller))
    }

    fn closed_flows(&self) -> broadcast::Receiver<Arc<FlowRow>> {
        self.live.subscribe()
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    fn fleet(&self) -> Option<Arc<FleetView>> {
        self.fleet.as_ref()?.looked_at()
    }

    fn fleet_members(&self, page: PageOf) -> BoxFuture<'static, Result<MemberPage, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.members(page))
    }

    fn fleet_flows(&self, query: Query) -> BoxFuture<'static, Result<FleetFlowPage, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.flows(query, self.clone()))
    }

    fn fleet_snapshot(&self) -> BoxFuture<'static, Result<FleetSnapshotPage, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.digests(self.clone()))
    }

    fn fleet_rules(&self) -> BoxFuture<'static, Result<FleetRulesPage, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.rules(self.clone()))
    }

    fn fleet_alerts(&self, query: AlertQuery) -> BoxFuture<'static, Result<FleetAlertPage, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.alerts(query, self.clone()))
    }

    fn fleet_rehearse(&self, request: RehearseRequest) -> BoxFuture<'static, Result<FleetRehearsal, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.rehearse(request, self.clone()))
    }

    fn fleet_audit(&self, page: PageOf) -> BoxFuture<'static, Result<AuditPage, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.audit(page))
    }

    fn fleet_invitations(&self) -> BoxFuture<'static, Result<InvitationPage, FleetRefusal>> {
        self.of_fleet(Fleet::invitations)
    }

    fn fleet_invite(
        &self,
        invite: Invite,
        caller: Caller,
    ) -> BoxFuture<'static, Result<InvitationIssued, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.invite(invite, &caller))
    }

    fn fleet_command(
        &self,
        command: FleetCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<FleetOutcome, FleetRefusal>> {
        self.of_fleet(|fleet| fleet.command(command, &caller))
    }
}

/// Works beside the threads that serve.
pub(crate) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SourceGone> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SourceGone)
}
