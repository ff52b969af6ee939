//! The exceptions in force, their effect on the roster, and requests to change them.
//!
//! An exception begins and ends by the clock alone. Verdicts and rules check the roster in every pass, so no timer is
//! needed.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pass::Pass;
use super::state::Keeper;
use crate::domain::adherence::exception::{Exception, ExceptionScope, exception_spans};
use crate::domain::agents::roster::AgentIndex;
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{AgentId, ExceptionId, TeamName};
use crate::domain::time::UtcMicros;
use crate::engine::rules::{EndException, ExceptionError, MAX_OPEN_EXCEPTIONS, NewException};

impl Keeper {
    /// Reads the exceptions that have not ended from the store.
    pub(super) async fn reload_exceptions(&mut self, now: UtcMicros) -> anyhow::Result<()> {
        self.exceptions = self.link.reader.exceptions_touching(&self.link.tenant, (now, UtcMicros::MAX)).await?;
        self.apply_exceptions_to_roster();
        Ok(())
    }

    /// Removes exceptions that have ended, so that they no longer count against the limit.
    pub(super) fn remove_past_exceptions(&mut self, now: UtcMicros) {
        self.exceptions.retain(|exception| exception.to > now);
        self.apply_exceptions_to_roster();
    }

    /// Updates the exception periods in the roster; needed after any change of exceptions, agents or teams.
    pub(super) fn apply_exceptions_to_roster(&mut self) {
        let mut everyone: Vec<&Exception> = Vec::new();
        let mut teams: HashMap<&TeamName, Vec<&Exception>> = HashMap::new();
        let mut agents: HashMap<&AgentId, Vec<&Exception>> = HashMap::new();
        for exception in &self.exceptions {
            match &exception.scope {
                ExceptionScope::Everyone => everyone.push(exception),
                ExceptionScope::Team(team) => teams.entry(team).or_default().push(exception),
                ExceptionScope::Agents(listed_agents) => {
                    for agent in listed_agents {
                        agents.entry(agent).or_default().push(exception);
                    }
                }
            }
        }
        let mut spans_by_agent = Vec::with_capacity(self.roster.len());
        for (index, slot) in self.roster.iter() {
            let team = slot.agent().team.as_ref();
            let of_team = team.and_then(|team| teams.get(team)).into_iter().flatten();
            let of_agent = agents.get(slot.id()).into_iter().flatten();
            let relevant = everyone.iter().chain(of_team).chain(of_agent).copied();
            spans_by_agent.push((index, exception_spans(relevant, slot.id(), team)));
        }
        for (index, spans) in spans_by_agent {
            self.roster.set_exceptions(index, spans);
        }
    }

    pub(super) fn approve_exception(
        &mut self,
        pass: &mut Pass,
        request: NewException,
    ) -> Result<Exception, ExceptionError> {
        self.check_scope(&request.scope)?;
        self.exceptions.retain(|exception| exception.to > pass.now);
        if request.to > pass.now && self.exceptions.len() >= MAX_OPEN_EXCEPTIONS {
            return Err(ExceptionError::TooMany);
        }
        let exception = Exception {
            id: ExceptionId(self.link.random.time_ordered_id(pass.now)),
            tenant: self.link.tenant.clone(),
            scope: request.scope,
            from: request.from,
            to: request.to,
            reason: request.reason.as_str().into(),
            created_by: request.requester.id.clone(),
            created_at: pass.now,
            early_end: None,
        };
        let details = json!({"from": exception.from, "to": exception.to, "source": request.requester.source});
        self.audit_exception(
            pass,
            &exception,
            &request.requester.id,
            "exception.made",
            &details,
            Some(&request.reason),
        );
        pass.commit.exceptions.push(exception.clone());
        if exception.to > pass.now {
            self.exceptions.push(exception.clone());
            self.apply_exceptions_to_roster();
        }
        Ok(exception)
    }

    fn check_scope(&self, scope: &ExceptionScope) -> Result<(), ExceptionError> {
        match scope {
            ExceptionScope::Everyone => Ok(()),
            ExceptionScope::Team(team) => {
                let known = self.roster.agents().iter().any(|slot| slot.agent().team.as_ref() == Some(team));
                if known { Ok(()) } else { Err(ExceptionError::NoTeam(team.clone())) }
            }
            ExceptionScope::Agents(agents) => {
                let unknown = agents.iter().find(|agent| self.roster.find(agent.as_str()).is_none());
                unknown.map_or(Ok(()), |agent| Err(ExceptionError::NoAgent(agent.clone())))
            }
        }
    }

    pub(super) fn end_exception(
        &mut self,
        pass: &mut Pass,
        request: &EndException,
    ) -> Result<Exception, ExceptionError> {
        let id = request.exception.id;
        let known = self.exceptions.iter().find(|exception| exception.id == id).cloned();
        let (by, why) = (request.requester.id.clone(), request.reason.as_deref().map(Arc::from));
        let ended = if request.revoke {
            known.unwrap_or_else(|| request.exception.clone()).revoke(pass.now, by, why)
        } else {
            known.and_then(|known| known.end(pass.now, by, why))
        };
        let ended = ended.ok_or(ExceptionError::Ended(id))?;
        let details = json!({"from": ended.from, "to": ended.to, "source": request.requester.source});
        self.audit_exception(
            pass,
            &ended,
            &request.requester.id,
            "exception.ended",
            &details,
            request.reason.as_deref(),
        );
        pass.commit.exceptions.push(ended.clone());
        self.exceptions.retain(|exception| exception.id != id);
        self.apply_exceptions_to_roster();
        Ok(ended)
    }

    /// Adds one audit entry for each named agent, so that the agent's entries are complete, or one for a team or
    /// everyone.
    fn audit_exception(
        &self,
        pass: &mut Pass,
        exception: &Exception,
        by: &Arc<str>,
        action: &'static str,
        facts: &Value,
        note_text: Option<&str>,
    ) {
        let note = self.save_note(pass, note_text);
        let index_of = |agent: &AgentId| self.roster.find(agent.as_str());
        let indices: Vec<Option<AgentIndex>> = match &exception.scope {
            ExceptionScope::Agents(agents) => agents.iter().map(index_of).collect(),
            ExceptionScope::Team(_) | ExceptionScope::Everyone => vec![None],
        };
        let mut details = facts.clone();
        details["exception"] = json!(exception.id);
        details["scope"] = json!(exception.scope.name());
        if let ExceptionScope::Team(team) = &exception.scope {
            details["team"] = json!(team);
        }
        for index in indices {
            let subject = index.and_then(|index| self.agent_tracking.get(index.position())).map(|file| file.subject);
            pass.commit.audit.push(AuditDraft {
                subject,
                note_hash: note,
                ..AuditDraft::new(
                    self.link.tenant.clone(),
                    pass.now,
                    Actor::Person { id: by.clone() }.label(),
                    action,
                    details.clone(),
                )
            });
        }
    }
}
