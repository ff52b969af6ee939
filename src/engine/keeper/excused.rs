//! Exceptions in force: who is excused when, marked on the roster, and the changes that people make to them.
//!
//! An exception begins and ends by the clock alone: verdicts and rules ask the roster at each pass, so that its edges need no wake of
//! their own.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Keeper;
use super::record::Pass;
use crate::domain::adherence::exception::{Exception, Whom, excused_spans};
use crate::domain::agents::roster::AgentIndex;
use crate::domain::audit::AuditDraft;
use crate::domain::changes::transition::Actor;
use crate::domain::ids::{AgentId, ExceptionId, TeamName};
use crate::domain::time::UtcMicros;
use crate::engine::rules::{EndException, ExceptionRefused, MOST_OPEN_EXCEPTIONS, NewException};

impl Keeper {
    /// The exceptions that are not over, from the store.
    pub(super) async fn read_exceptions(&mut self, now: UtcMicros) -> anyhow::Result<()> {
        self.exceptions = self.link.reader.exceptions_touching(&self.link.tenant, (now, UtcMicros::MAX)).await?;
        self.mark_excused();
        Ok(())
    }

    /// What is over excuses nobody any more, and its place is free.
    pub(super) fn forget_past_exceptions(&mut self, now: UtcMicros) {
        self.exceptions.retain(|exception| exception.to > now);
        self.mark_excused();
    }

    /// Says on the roster who is excused when: after any change of exceptions, agents or teams.
    pub(super) fn mark_excused(&mut self) {
        let mut everyone: Vec<&Exception> = Vec::new();
        let mut teams: HashMap<&TeamName, Vec<&Exception>> = HashMap::new();
        let mut agents: HashMap<&AgentId, Vec<&Exception>> = HashMap::new();
        for exception in &self.exceptions {
            match &exception.whom {
                Whom::Everyone => everyone.push(exception),
                Whom::Team(team) => teams.entry(team).or_default().push(exception),
                Whom::Agents(named) => {
                    for agent in named {
                        agents.entry(agent).or_default().push(exception);
                    }
                }
            }
        }
        let mut marked = Vec::with_capacity(self.roster.len());
        for (index, slot) in self.roster.iter() {
            let team = slot.agent().team.as_ref();
            let of_team = team.and_then(|team| teams.get(team)).into_iter().flatten();
            let of_agent = agents.get(slot.id()).into_iter().flatten();
            let about = everyone.iter().chain(of_team).chain(of_agent).copied();
            marked.push((index, excused_spans(about, slot.id(), team)));
        }
        for (index, spans) in marked {
            self.roster.set_excused(index, spans);
        }
    }

    pub(super) fn excuse(&mut self, pass: &mut Pass, new: NewException) -> Result<Exception, ExceptionRefused> {
        self.check_whom(&new.whom)?;
        self.exceptions.retain(|exception| exception.to > pass.now);
        if new.to > pass.now && self.exceptions.len() >= MOST_OPEN_EXCEPTIONS {
            return Err(ExceptionRefused::TooMany);
        }
        let exception = Exception {
            id: ExceptionId(self.link.random.id_at(pass.now)),
            tenant: self.link.tenant.clone(),
            whom: new.whom,
            from: new.from,
            to: new.to,
            reason: new.reason.as_str().into(),
            made_by: new.asker.id.clone(),
            made_at: pass.now,
            ended: None,
        };
        let facts = json!({"from": exception.from, "to": exception.to, "source": new.asker.source});
        self.audit_exception(pass, &exception, &new.asker.id, "exception.made", &facts, Some(&new.reason));
        pass.commit.exceptions.push(exception.clone());
        if exception.to > pass.now {
            self.exceptions.push(exception.clone());
            self.mark_excused();
        }
        Ok(exception)
    }

    fn check_whom(&self, whom: &Whom) -> Result<(), ExceptionRefused> {
        match whom {
            Whom::Everyone => Ok(()),
            Whom::Team(team) => {
                let known = self.roster.slots().iter().any(|slot| slot.agent().team.as_ref() == Some(team));
                if known { Ok(()) } else { Err(ExceptionRefused::NoTeam(team.clone())) }
            }
            Whom::Agents(agents) => {
                let unknown = agents.iter().find(|agent| self.roster.find(agent.as_str()).is_none());
                unknown.map_or(Ok(()), |agent| Err(ExceptionRefused::NoAgent(agent.clone())))
            }
        }
    }

    pub(super) fn end_exception(&mut self, pass: &mut Pass, end: &EndException) -> Result<Exception, ExceptionRefused> {
        let id = end.exception.id;
        let known = self.exceptions.iter().find(|exception| exception.id == id).cloned();
        let (by, why) = (end.asker.id.clone(), end.why.as_deref().map(Arc::from));
        let ended = if end.whole {
            known.unwrap_or_else(|| end.exception.clone()).take_back(pass.now, by, why)
        } else {
            known.and_then(|known| known.end(pass.now, by, why))
        };
        let ended = ended.ok_or(ExceptionRefused::Over(id))?;
        let facts = json!({"from": ended.from, "to": ended.to, "source": end.asker.source});
        self.audit_exception(pass, &ended, &end.asker.id, "exception.ended", &facts, end.why.as_deref());
        pass.commit.exceptions.push(ended.clone());
        self.exceptions.retain(|exception| exception.id != id);
        self.mark_excused();
        Ok(ended)
    }

    /// An entry for each agent who is named, so that an agent's entries tell of it; one for a team or everyone.
    fn audit_exception(
        &self,
        pass: &mut Pass,
        exception: &Exception,
        by: &Arc<str>,
        action: &'static str,
        facts: &Value,
        words: Option<&str>,
    ) {
        let note = self.keep_note(pass, words);
        let index_of = |agent: &AgentId| self.roster.find(agent.as_str());
        let indices: Vec<Option<AgentIndex>> = match &exception.whom {
            Whom::Agents(agents) => agents.iter().map(index_of).collect(),
            Whom::Team(_) | Whom::Everyone => vec![None],
        };
        let mut why = facts.clone();
        why["exception"] = json!(exception.id);
        why["scope"] = json!(exception.whom.scope());
        if let Whom::Team(team) = &exception.whom {
            why["team"] = json!(team);
        }
        for index in indices {
            let subject = index.and_then(|index| self.files.get(index.position())).map(|file| file.subject);
            pass.commit.audit.push(AuditDraft {
                subject,
                note,
                ..AuditDraft::new(
                    self.link.tenant.clone(),
                    pass.now,
                    Actor::Person { id: by.clone() }.label(),
                    action,
                    why.clone(),
                )
            });
        }
    }
}
