//! Publishes committed changes to viewers, and builds snapshots of the live view for them.
//!
//! Nothing is published before its commit, and nothing is computed while there are no viewers. Changes that time alone
//! brings about, such as the start of a shift or the end of a tolerance, are looked for once a second.

use std::sync::Arc;
use std::time::Duration;

use super::published::PublishedAgent;
use super::state::Keeper;
use crate::domain::adherence::CurrentVerdict;
use crate::domain::agents::roster::{AgentIndex, AgentRecord};
use crate::domain::ids::AgentId;
use crate::domain::rules::planner::live_verdict;
use crate::domain::time::UtcMicros;
use crate::engine::agents::agent_list::{AgentList, AgentSummary};
use crate::engine::live::filter::{AgentMembership, MessageSubject};
use crate::engine::live::frame::{Frame, Kind};
use crate::engine::live::message::{
    AdherenceBody, AgentBody, AgentLeftBody, AgentView, FiguresView, Freshness, QueueBody, SkillBody, TransitionBody,
    TransitionView, frame, history_row_frame, membership_of, planned_view,
};
use crate::engine::live::snapshot::{List, Snapshot};
use crate::store::{Commit, HistoryRow, HistoryWrite};

/// How often all verdicts are compared with the published ones.
const VERDICT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The updates to publish once the commit succeeds.
pub(super) struct PendingUpdates {
    /// One row for each history write.
    rows: Vec<PendingRow>,
    transitions: Vec<(Frame, MessageSubject)>,
}

struct PendingRow {
    agent: AgentId,
    at: UtcMicros,
    row: Option<HistoryRow>,
}

impl PendingRow {
    fn of(step: &HistoryWrite) -> Self {
        match step {
            HistoryWrite::Enter(row) => Self { agent: row.agent.clone(), at: row.entered_at, row: Some(row.clone()) },
            HistoryWrite::Retime { agent, to, .. } => Self { agent: agent.clone(), at: *to, row: None },
            HistoryWrite::Remove { agent, entered_at, .. } => Self { agent: agent.clone(), at: *entered_at, row: None },
        }
    }
}

impl Keeper {
    /// Returns the updates that a commit will cause; `None` while there are no viewers.
    pub(super) fn prepare_updates(&self, now: UtcMicros, commit: &Commit) -> Option<PendingUpdates> {
        if !self.link.live.has_viewers() {
            return None;
        }
        let transitions = commit.transitions.iter().map(|transition| {
            let slot = self.roster.agent(transition.agent.as_str());
            let team = slot.and_then(|slot| slot.agent().team.as_ref());
            let body = TransitionBody { transition: TransitionView::of(transition, team) };
            let subject = MessageSubject::agent(slot.map(membership_of).unwrap_or_default());
            (frame(Kind::Transition, &self.link.tenant, None, now, body), subject)
        });
        Some(PendingUpdates {
            rows: commit.history.iter().map(PendingRow::of).collect(),
            transitions: transitions.collect(),
        })
    }

    /// Publishes the updates after the commit. `ids` are the ids of the commit's history writes, in order.
    pub(super) fn publish(
        &mut self,
        now: UtcMicros,
        pending: Option<PendingUpdates>,
        committed: bool,
        ids: &[Option<u64>],
    ) {
        let observed_at = self.observation_ages(now).map(|(_, newest, _)| newest).min().flatten();
        self.link.live.set_freshness(Freshness { observed_at, feed_message_at: self.link.feed().last_message_at });
        let Some(updates) = pending else {
            // Changes brought about by time alone were not published either.
            if committed || !self.published.agents.is_empty() {
                self.link.live.record_gap(ids.iter().flatten().max().copied());
            }
            self.published.agents = Vec::new();
            return;
        };
        let mut messages = Vec::with_capacity(updates.rows.len() + updates.transitions.len());
        for (row, id) in updates.rows.iter().zip(ids) {
            messages.extend(id.and_then(|id| self.history_row_message(row, id, now)));
        }
        messages.extend(updates.transitions);
        self.collect_figure_changes(now, &mut messages);
        if self.published.verdicts_checked_at > now
            || now.since(self.published.verdicts_checked_at) >= VERDICT_CHECK_INTERVAL
        {
            self.collect_view_changes(now, &mut messages);
        }
        self.link.live.publish(messages);
    }

    /// Returns the message for a committed history row; if the row is the agent's latest, the message shows the agent
    /// as it is now.
    fn history_row_message(
        &mut self,
        pending: &PendingRow,
        id: u64,
        now: UtcMicros,
    ) -> Option<(Frame, MessageSubject)> {
        let index = self.roster.find(pending.agent.as_str());
        let slot = index.and_then(|index| self.roster.get(index));
        let is_latest = slot.and_then(AgentRecord::observed).is_some_and(|observed| observed.history_at == pending.at);
        if let Some(index) = index.filter(|_| is_latest) {
            return self.agent_message(index, Some(id), now);
        }
        let (row, agent) = (pending.row.as_ref()?, slot.map(AgentRecord::agent));
        let membership = AgentMembership {
            team: agent.and_then(|agent| agent.team.clone()),
            queue: row.queue.clone(),
            skills: slot.map(|slot| slot.skills().clone()).unwrap_or_default(),
        };
        Some((history_row_frame(id, row, agent, now), MessageSubject::agent(membership)))
    }

    fn agent_message(&mut self, index: AgentIndex, id: Option<u64>, now: UtcMicros) -> Option<(Frame, MessageSubject)> {
        let slot = self.roster.get(index)?;
        let verdict = live_verdict(slot, &self.settings.decide, now);
        let body = AgentBody { agent: self.agent_view(slot, verdict, now) };
        let frame = frame(Kind::Agent, &self.link.tenant, id, now, body);
        let published = PublishedAgent::of(slot, verdict, now);
        let membership = published.membership.clone();
        let before = self.published.agents.get_mut(index.position()).and_then(|known| known.replace(published));
        Some((
            frame,
            before.map_or(MessageSubject::agent(membership.clone()), |before| {
                MessageSubject::moved(membership, before.membership)
            }),
        ))
    }

    fn agent_view<'a>(&'a self, slot: &'a AgentRecord, verdict: CurrentVerdict, now: UtcMicros) -> AgentView<'a> {
        let open = self.open_transitions.of_agent(slot.id()).map(|open| &open.transition).next();
        AgentView::of(slot, verdict, open, now)
    }

    /// Adds messages for all unpublished changes of verdicts, plans and names, and for new agents. The first call after
    /// a time without viewers adds nothing, since new viewers get a snapshot.
    fn collect_view_changes(&mut self, now: UtcMicros, messages: &mut Vec<(Frame, MessageSubject)>) {
        self.published.verdicts_checked_at = now;
        let first = self.published.agents.is_empty();
        self.published.agents.resize(self.roster.len(), None);
        let mut changed_agents = Vec::new();
        for (index, slot) in self.roster.iter() {
            let verdict = live_verdict(slot, &self.settings.decide, now);
            let known = &mut self.published.agents[index.position()];
            if first {
                *known = Some(PublishedAgent::of(slot, verdict, now));
                continue;
            }
            let until = slot.plan_position(now).until();
            match known.as_mut().filter(|known| known.has_same_identity(slot.agent())) {
                None => changed_agents.push(index),
                Some(known) if (known.verdict, known.plan_until) != (verdict.verdict, until) => {
                    (known.verdict, known.plan_until) = (verdict.verdict, until);
                    let (agent, team) = (slot.id(), slot.agent().team.as_ref());
                    let body =
                        AdherenceBody { agent, team, adherence: verdict.into(), planned: planned_view(slot, now) };
                    let frame = frame(Kind::Adherence, &self.link.tenant, None, now, body);
                    messages.push((frame, MessageSubject::agent(membership_of(slot))));
                }
                Some(_) => {}
            }
        }
        for index in changed_agents {
            messages.extend(self.agent_message(index, None, now));
        }
    }

    /// Adds messages for figures that have changed since they were last published.
    fn collect_figure_changes(&mut self, now: UtcMicros, messages: &mut Vec<(Frame, MessageSubject)>) {
        let newest = self.link.figures.borrow().clone();
        if Arc::ptr_eq(&newest, &self.published.figures) {
            return;
        }
        let previous = std::mem::replace(&mut self.published.figures, newest.clone());
        let tenant = &self.link.tenant;
        for skill in newest.skills.iter().filter(|taken| previous.skill(taken.figures.id.as_str()) != Some(*taken)) {
            let figures = FiguresView::of_skill(skill, now);
            messages.push((frame(Kind::Skill, tenant, None, now, SkillBody { skill: &figures }), figures.subject()));
        }
        for queue in newest.queues.iter().filter(|taken| previous.queue(taken.figures.id.as_str()) != Some(*taken)) {
            let figures = FiguresView::of_queue(queue, now);
            messages.push((frame(Kind::Queue, tenant, None, now, QueueBody { queue: &figures }), figures.subject()));
        }
    }

    /// Returns the current live view for viewers.
    pub(super) fn live_view_snapshot(&mut self, now: UtcMicros) -> Snapshot {
        let mut messages = Vec::new();
        self.collect_view_changes(now, &mut messages);
        self.collect_figure_changes(now, &mut messages);
        self.link.live.publish(messages);
        let mut snapshot = self.link.live.begin_snapshot(now);
        for slot in self.roster.agents() {
            let verdict = live_verdict(slot, &self.settings.decide, now);
            snapshot.push(
                List::Agents,
                MessageSubject::agent(membership_of(slot)),
                &self.agent_view(slot, verdict, now),
            );
        }
        for figures in self.published.figures.skills.iter().map(|skill| FiguresView::of_skill(skill, now)) {
            snapshot.push(List::Skills, figures.subject(), &figures);
        }
        for figures in self.published.figures.queues.iter().map(|queue| FiguresView::of_queue(queue, now)) {
            snapshot.push(List::Queues, figures.subject(), &figures);
        }
        snapshot
    }

    /// Returns the agents as they are now.
    pub(super) fn agent_list(&self, now: UtcMicros) -> AgentList {
        let thresholds = self.link.thresholds.borrow().clone();
        let summary = |slot: &AgentRecord| {
            let open = self.open_transitions.of_agent(slot.id()).map(|open| &open.transition).next();
            AgentSummary::from_record(slot, live_verdict(slot, &self.settings.decide, now), open, &thresholds, now)
        };
        let observed_at = self.link.live.freshness().observed_at;
        AgentList::new(now, observed_at, &self.settings.decide, self.roster.agents().iter().map(summary).collect())
    }

    /// Publishes that an agent has left the roster, where the last agent has taken its position.
    pub(super) fn publish_agent_left(&mut self, agent: &AgentId, index: AgentIndex, now: UtcMicros) {
        if self.published.agents.is_empty() {
            return;
        }
        self.published.agents.resize(self.roster.len() + 1, None);
        let published = self.published.agents.swap_remove(index.position());
        let subject = MessageSubject::agent(published.map(|told| told.membership).unwrap_or_default());
        let left_frame = frame(Kind::AgentLeft, &self.link.tenant, None, now, AgentLeftBody { agent });
        self.link.live.publish([(left_frame, subject)]);
    }
}
