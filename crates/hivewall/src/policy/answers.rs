//! The policy's answers to the API: questions go to the thread that keeps it, or are worked out beside it.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use hivewall_api::{Caller, PolicyCommand, PolicyRefusal, SourceGone};
use hivewall_policy::{Rehearsal, Ruleset};
use hivewall_view::editing::{PolicyDifferences, PolicyStatement};
use hivewall_view::policy as shown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::editing;
use super::governor::Ask;
use super::rehearse::Lines;
use crate::pipeline::beside;

/// Who answers, for everyone who asks.
#[derive(Clone)]
pub(crate) struct Answers {
    asks: Sender<Ask>,
    /// One permit: a rehearsal may read all history, and members of a fleet may ask for one, too.
    rehearsals: Arc<Semaphore>,
}

impl Answers {
    pub(crate) fn new(asks: Sender<Ask>) -> Self {
        Self { asks, rehearsals: Arc::new(Semaphore::new(1)) }
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, PolicyRefusal>>) -> Ask,
    ) -> Result<T, PolicyRefusal> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).map_err(|_| SourceGone)?;
        answered.await.map_err(|_| SourceGone)?
    }

    pub(crate) async fn document(self) -> Result<Option<String>, PolicyRefusal> {
        self.ask(Ask::Document).await
    }

    /// What changes from the policy in force to a document.
    pub(crate) async fn diff(self, document: String) -> Result<PolicyDifferences, PolicyRefusal> {
        let in_force = self.ask(Ask::Document).await?;
        beside(move || editing::diff(in_force.as_deref(), &document)).await?
    }

    /// What is to be signed so that a document can follow the one that is there.
    pub(crate) async fn statement(self, document: String) -> Result<PolicyStatement, PolicyRefusal> {
        let highest = self.ask(Ask::Highest).await?;
        beside(move || editing::statement(highest, document)).await?
    }

    pub(crate) async fn command(
        self,
        command: PolicyCommand,
        caller: Caller,
    ) -> Result<shown::PolicyOutcome, PolicyRefusal> {
        self.ask(|answer| Ask::Command(command, caller, answer)).await
    }

    /// The rules of a document as they hold here, or those in force.
    async fn rules(&self, document: Option<String>) -> Result<Ruleset, PolicyRefusal> {
        self.ask(|answer| Ask::Rules(document, answer)).await
    }

    pub(crate) async fn explain(self, request: shown::ExplainRequest) -> Result<shown::Explanation, PolicyRefusal> {
        let rules = self.rules(request.document.clone()).await?;
        let bans = if request.document.is_none() { self.ask(Ask::Bans).await? } else { Vec::new() };
        let facts =
            super::explain::facts_of(&request).map_err(|error| PolicyRefusal::Invalid { reason: error.to_string() })?;
        // Programs are run to list the packet filters.
        let told = move || super::explain::told(None, &rules, &bans, &facts, true);
        Ok(beside(told).await?)
    }

    /// The turn of a rehearsal, which comes when those before are over.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, PolicyRefusal> {
        Ok(Arc::clone(&self.rehearsals).acquire_owned().await.map_err(|_| SourceGone)?)
    }

    /// The new rules of a rehearsal, and those to compare with.
    pub(crate) async fn rehearsed(
        self,
        request: &shown::RehearseRequest,
    ) -> Result<(Ruleset, Option<Ruleset>), PolicyRefusal> {
        let new = self.rules(Some(request.document.clone())).await?;
        let current = self.rules(request.current.clone()).await?;
        let is_there = request.current.is_some() || !current.name.is_empty();
        let judged = |rules: Ruleset| if request.without_guard { rules.without_hosts_own() } else { rules };
        Ok((judged(new), is_there.then(|| judged(current))))
    }
}

/// Rehearses a policy over closed flows of the history, a JSON line each, as they come. Blocks.
pub(crate) fn rehearse(
    new: &Ruleset,
    current: Option<&Ruleset>,
    mut pieces: hivewall_api::ExportPieces,
) -> Result<shown::Rehearsal, PolicyRefusal> {
    let failed = |reason: String| PolicyRefusal::Failed { reason };
    let mut rehearsal =
        Rehearsal::new(new, current).map_err(|error| PolicyRefusal::Invalid { reason: error.to_string() })?;
    let mut lines = Lines::new(&mut rehearsal);
    while let Some(piece) = pieces.blocking_recv() {
        lines
            .write_all(&piece.map_err(failed)?)
            .map_err(|error| failed(format!("a flow of the history cannot be read: {error}")))?;
    }
    Ok(rehearsal.finish())
}
