//! The policy's answers to the API: questions go to the thread that keeps it, or are worked out beside it.

use std::sync::mpsc::Sender;

use hivewall_api::{Caller, PolicyCommand, PolicyRefusal, SourceGone};
use hivewall_policy::{Asked, Rehearsal, Ruleset, Sums, explain};
use hivewall_view::FlowRow;
use hivewall_view::policy as shown;
use tokio::sync::oneshot;

use super::governor::Ask;

/// Who answers, for everyone who asks.
#[derive(Clone)]
pub(crate) struct Answers {
    asks: Sender<Ask>,
}

impl Answers {
    pub(crate) fn new(asks: Sender<Ask>) -> Self {
        Self { asks }
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

    pub(crate) async fn command(
        self,
        command: PolicyCommand,
        caller: Caller,
    ) -> Result<shown::PolicyOutcome, PolicyRefusal> {
        self.ask(|answer| Ask::Command(command, caller, answer)).await
    }

    /// The rules of a document as they hold here, or those in force.
    pub(crate) async fn rules(&self, document: Option<String>) -> Result<Ruleset, PolicyRefusal> {
        self.ask(|answer| Ask::Rules(document, answer)).await
    }

    pub(crate) async fn explain(self, request: shown::ExplainRequest) -> Result<shown::Explanation, PolicyRefusal> {
        let rules = self.rules(request.document.clone()).await?;
        let facts =
            super::explain::facts_of(&request).map_err(|error| PolicyRefusal::Invalid { reason: error.to_string() })?;
        let told = explain(&rules, &[], &facts, &|_, _| None);
        let step = |step: hivewall_policy::Step| shown::ExplainStep {
            rule: step.rule,
            tier: step.stage,
            line: (step.line > 0).then_some(step.line),
            action: step.action.to_owned(),
            outcome: match step.outcome {
                Asked::PassedOver => "passed_over",
                Asked::Unknown => "unknown",
                Asked::SentOn => "sent_on",
                Asked::Decides => "decides",
            }
            .to_owned(),
            why: step.why,
        };
        Ok(shown::Explanation {
            packet: told.packet,
            verdict: told.verdict.to_owned(),
            rule: told.rule,
            because: told.because,
            steps: told.steps.into_iter().map(step).collect(),
            notes: vec!["bans are not asked here; they come before the tiers".to_owned()],
        })
    }
}

/// Rehearses a policy over closed flows of the history, a JSON line each, as they come. Blocks.
pub(crate) fn rehearse(
    new: &Ruleset,
    current: &Ruleset,
    mut pieces: hivewall_api::ExportPieces,
) -> Result<shown::Rehearsal, PolicyRefusal> {
    let invalid = |error: &dyn std::fmt::Display| PolicyRefusal::Invalid { reason: error.to_string() };
    let failed = |reason: String| PolicyRefusal::Failed { reason };
    let present = (!current.rules.is_empty()).then_some(current);
    let mut rehearsal = Rehearsal::new(new, present).map_err(|error| invalid(&error))?;
    let (mut rest, mut from, mut to) = (Vec::new(), None, None);
    while let Some(piece) = pieces.blocking_recv() {
        rest.extend(piece.map_err(failed)?);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let row: FlowRow = serde_json::from_slice(&line)
                .map_err(|error| failed(format!("a flow of the history cannot be read: {error}")))?;
            from = Some(from.map_or_else(|| row.start.clone(), |from: String| from.min(row.start.clone())));
            to = Some(to.map_or_else(|| row.end.clone(), |to: String| to.max(row.end.clone())));
            rehearsal.take(&row);
        }
    }
    let report = rehearsal.finish();
    let sum = |sums: Sums| shown::RehearsalSum { flows: sums.flows, packets: sums.packets, bytes: sums.bytes };
    let rule = |rule: &hivewall_policy::RuleReport| shown::RehearsalRule {
        rule: rule.rule.clone(),
        action: rule.action.to_owned(),
        refused: sum(rule.sums),
    };
    let left_out = report.left_out.iter().map(|cut| format!("{}: {} flows not judged", cut.name, cut.sums.flows));
    Ok(shown::Rehearsal {
        policy: shown::PolicyName { name: report.policy, version: report.version },
        compared_with: present.map(|rules| shown::PolicyName { name: rules.name.clone(), version: rules.version }),
        from,
        to,
        seen: sum(report.judged),
        refused: sum(report.refused),
        newly_refused: sum(report.newly_refused.unwrap_or(report.refused)),
        newly_accepted: sum(report.newly_accepted.unwrap_or_default()),
        rules: report.rules.iter().filter(|report| report.action != "accept").map(rule).collect(),
        cut: Vec::new(),
        notes: left_out.collect(),
    })
}
