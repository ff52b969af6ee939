//! The rules in force, which are those of the configuration overridden by those of the store, and edits by people.
//!
//! An edit takes one pass: the new version, its audit entry and its effects are one commit, and the same pass decides
//! by it.

pub(super) mod approvals;
pub(super) mod catalog;
pub(super) mod decide;
mod offers;

use std::sync::Arc;

use serde_json::{Value, json};

use super::pass::Pass;
use super::state::Keeper;
use crate::domain::agents::roster::AgentIndex;
use crate::domain::agents::roster::memory::AutomationMemory;
use crate::domain::ids::RuleId;
use crate::domain::rules::planner::{Intent, explain};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::rule_text::parse_rule_text;
use crate::domain::time::UtcMicros;
use crate::engine::rules::backtests::BacktestInput;
use crate::engine::rules::{AgentRules, EditResult, RuleEdit, RuleEditError, RuleRequest};
use crate::store::{FindingKind, RuleFinding};

/// A finding of a rule about an agent, to be stored.
pub(super) struct NewFinding {
    pub index: AgentIndex,
    pub kind: FindingKind,
    pub rule: RuleId,
    pub rule_version: Arc<str>,
    pub guard: Option<Arc<str>>,
    pub intended_action: String,
    pub facts: String,
}

impl NewFinding {
    pub(super) fn from_intent(kind: FindingKind, intent: &Intent) -> Self {
        Self {
            index: intent.index,
            kind,
            rule: intent.rule.clone(),
            rule_version: intent.rule_version.clone(),
            guard: None,
            intended_action: intent.action.to_string(),
            facts: intent.facts.to_string(),
        }
    }
}

impl Keeper {
    /// Handles a request about rules or exceptions; edits are answered after their commit.
    pub(super) async fn handle_rule_request(&mut self, pass: &mut Pass, request: RuleRequest) -> anyhow::Result<()> {
        match request {
            RuleRequest::List(reply) => pass.reply_after_commit(reply, self.rule_catalog.entries.clone()),
            RuleRequest::Check(text, reply) => pass.reply_after_commit(reply, self.rule_catalog.check(&text)),
            RuleRequest::Edit(edit, reply) => {
                let result = self.edit_rule(pass, edit).await?;
                pass.reply_after_commit(reply, result);
            }
            RuleRequest::Explain(agent, reply) => {
                let explanation = self.explain_agent(agent.as_str(), pass.now);
                pass.reply_after_commit(reply, explanation);
            }
            RuleRequest::PrepareBacktest(backtest_request, reply) => {
                let input = BacktestInput::prepare(
                    &self.rule_catalog.configured,
                    &self.rule_catalog.newest_versions(),
                    &backtest_request,
                );
                pass.reply_after_commit(reply, input);
            }
            RuleRequest::ApproveException(new, reply) => {
                let approved = self.approve_exception(pass, new);
                pass.reply_after_commit(reply, approved);
            }
            RuleRequest::EndException(end, reply) => {
                let ended = self.end_exception(pass, &end);
                pass.reply_after_commit(reply, ended);
            }
        }
        Ok(())
    }

    async fn edit_rule(
        &mut self,
        pass: &mut Pass,
        edit: RuleEdit,
    ) -> anyhow::Result<Result<EditResult, RuleEditError>> {
        let new_version = match self.rule_catalog.apply_edit(&edit, pass.now) {
            Ok(edition) => edition,
            Err(error) => return Ok(Err(error)),
        };
        let is_new = self.rule_catalog.entry(&edit.rule).is_none();
        let mode = parse_rule_text(&new_version.text).map_or(Mode::default(), |rule| rule.mode);
        let details = json!({
            "rule": new_version.rule,
            "change": edit.change.name(),
            "version": new_version.version,
            "mode": mode,
            "enabled": new_version.enabled,
        });
        let note = self.save_note(pass, edit.reason.as_deref());
        self.audit_person_action(pass, &edit.requester, "rule.changed", details, note);
        pass.commit.editions.push((self.link.tenant.clone(), new_version.clone()));
        self.rule_catalog.stored_versions.insert(new_version.rule.clone(), new_version);
        self.settings = self.rule_catalog.rebuild_settings(&self.link);
        // Intents held by the old version may be held anew and recorded again.
        self.roster.clear_held();
        self.record_rule_versions(pass).await?;
        Ok(Ok(EditResult { rule: self.rule_catalog.entry(&edit.rule).cloned(), is_new }))
    }

    fn explain_agent(&mut self, agent: &str, now: UtcMicros) -> Option<AgentRules> {
        self.roster.advance(now);
        self.refresh_rule_inputs();
        let explanation = explain(&self.roster, agent, &self.settings.rules, &self.settings.decide, now)?;
        let slot = self.roster.agent(agent)?;
        let paused_until = slot.memory().and_then(AutomationMemory::paused_until).filter(|until| *until > now);
        Some(AgentRules { explanation, paused_until, exception: slot.exception(now) })
    }

    /// Returns the version of a rule that is in force; empty if the rule is not in force.
    pub(super) fn version_in_force(&self, rule: &RuleId) -> Arc<str> {
        let found = self.settings.rules.rules().iter().find(|known| known.id == *rule);
        found.map_or_else(|| Arc::from(""), |rule| rule.version.clone())
    }

    /// Records a finding about an agent, under the agent's subject id.
    pub(super) fn record_finding(&self, pass: &mut Pass, finding: &NewFinding) {
        let Some(slot) = self.roster.get(finding.index) else { return };
        pass.commit.findings.push(RuleFinding {
            tenant: self.link.tenant.clone(),
            id: crate::domain::ids::FindingId(self.link.random.time_ordered_id(pass.now)),
            at: pass.now,
            rule: finding.rule.clone(),
            rule_version: finding.rule_version.clone(),
            kind: finding.kind,
            agent: slot.id().clone(),
            guard: finding.guard.clone(),
            intended_action: finding.intended_action.clone(),
            facts: finding.facts.clone(),
        });
    }
}

/// Returns the facts of an intent for the transition's row and the audit chain. They name no agent.
fn intent_explanation(intent: &Intent) -> Value {
    json!({
        "rule": intent.rule,
        "version": intent.rule_version,
        "wanted": intent.action,
        "because": intent.facts.to_string(),
        "facts": intent.facts,
    })
}
