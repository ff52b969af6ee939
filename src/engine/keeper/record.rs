//! Writes down what follows from a pass: transitions with their audit entries, events with their numbers.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use tokio::sync::oneshot;

use super::Keeper;
use crate::domain::agents::agent::{Observed, Source};
use crate::domain::agents::roster::AgentIndex;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::changes::policy::Violation;
use crate::domain::changes::transition::{Actor, Status, Step, Transition, WaitReason};
use crate::domain::ids::{AgentId, ChangeSetId, EventId, RuleId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AgentStateChanged, Event, EventData, PolicyViolated, TransitionFinished};
use crate::engine::agents::board::Board;
use crate::engine::live::snapshot::Snapshot;
use crate::engine::platform::calls::{HeldSlot, real_millis};
use crate::engine::rules::approvals::ApprovalError;
use crate::store::{AgentCounters, CallWrite, Commit, HistoryRow, HistoryWrite, RemembersWrite};

/// What one pass is about to commit, and what leaves after the commit.
pub(super) struct Pass {
    /// The instant of the pass.
    pub now: UtcMicros,
    /// Everything that is committed together.
    pub commit: Commit,
    /// Rows of transitions as they stand after the pass.
    rows: BTreeMap<TransitionId, Transition>,
    /// Agents whose counts changed.
    counted: BTreeSet<AgentIndex>,
    /// Agents and rules whose memory changed.
    remembered: BTreeSet<(AgentIndex, RuleId)>,
    /// Agents who leave the roster with this commit.
    pub leavers: Vec<AgentId>,
    /// State POSTs to send.
    pub sends: Vec<(TransitionId, CallWrite, HeldSlot)>,
    /// Agents to ask the platform about.
    pub asks: Vec<AgentIndex>,
    /// Answers to give.
    pub replies: Vec<Box<dyn FnOnce() + Send>>,
    /// Who wants to see the picture.
    pub looks: Vec<oneshot::Sender<Snapshot>>,
    /// Previews of bulk changes that it keeps.
    pub previews: u64,
    /// Bulk changes that it starts or calls off.
    pub sets: HashSet<ChangeSetId>,
    /// Transitions that a person decided on, to be answered as the pass leaves them.
    pub decided: Vec<(TransitionId, oneshot::Sender<Result<Transition, ApprovalError>>)>,
    /// Who wants a list of the agents.
    pub boards: Vec<oneshot::Sender<Board>>,
}

impl Pass {
    pub(super) fn new(now: UtcMicros) -> Self {
        Self {
            now,
            commit: Commit::default(),
            rows: BTreeMap::new(),
            counted: BTreeSet::new(),
            remembered: BTreeSet::new(),
            leavers: Vec::new(),
            sends: Vec::new(),
            asks: Vec::new(),
            replies: Vec::new(),
            looks: Vec::new(),
            previews: 0,
            sets: HashSet::new(),
            decided: Vec::new(),
            boards: Vec::new(),
        }
    }

    /// Answers somebody after the commit.
    pub(super) fn answer<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, with: T) {
        // Who asked may be gone.
        self.replies.push(Box::new(move || drop(reply.send(with))));
    }

    /// The row of a transition that this pass touched.
    pub(super) fn row(&self, id: TransitionId) -> Option<&Transition> {
        self.rows.get(&id)
    }

    /// Keeps the counts of an agent for the commit.
    pub(super) fn count(&mut self, index: AgentIndex) {
        self.counted.insert(index);
    }

    /// Keeps what automation remembers of an agent and a rule for the commit.
    pub(super) fn remember(&mut self, index: AgentIndex, rule: &RuleId) {
        self.remembered.insert((index, rule.clone()));
    }

    /// Keeps the row of a transition for the commit.
    pub(super) fn keep_row(&mut self, transition: Transition) {
        self.rows.insert(transition.id, transition);
    }
}

impl Keeper {
    /// Takes a step of a transition and records what it means. A step that the life cycle does not have is a defect of the
    /// caller: it is reported, and the transition stays as it is.
    #[expect(clippy::needless_pass_by_value, reason = "a step is taken once; callers make it for this call")]
    pub(super) fn step(&mut self, pass: &mut Pass, id: TransitionId, step: Step) {
        let Some(open) = self.book.get(id) else { return };
        let before = open.transition.status.clone();
        let next = match before.clone().step(step.clone()) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(tenant = %self.link.tenant, transition = %id, %error, "defect: wrong step");
                return;
            }
        };
        let Some(transition) = self.book.set_status(id, next) else { return };
        if let Some(action) = audited(&before, &transition.status, &step) {
            self.audit_transition(pass, &transition, action, Value::Null);
        }
        if transition.status.is_final() {
            self.tell_finished(pass, &transition);
        }
        self.mark_busy(&transition.agent);
        let came_back = !before.has_not_left() && transition.status.has_not_left();
        pass.keep_row(transition.clone());
        if came_back {
            self.keep_one_waiting(pass, &transition);
        }
    }

    /// A change that was under way waits again: what was asked for meanwhile takes its place, or gives way to it.
    fn keep_one_waiting(&mut self, pass: &mut Pass, returned: &Transition) {
        let newer = self
            .book
            .of_agent(&returned.agent)
            .find(|open| open.transition.id != returned.id && open.transition.status.has_not_left())
            .map(|open| (open.transition.id, open.transition.priority));
        if let Some((newer, priority)) = newer {
            let (loser, winner) =
                if priority >= returned.priority { (returned.id, newer) } else { (newer, returned.id) };
            self.step(pass, loser, Step::Supersede(winner));
        }
    }

    /// Says in the roster whether the agent still has an open transition.
    pub(super) fn mark_busy(&mut self, agent: &AgentId) {
        if let Some(index) = self.roster.find(agent.as_str()) {
            self.roster.set_busy(index, self.book.busy(agent));
        }
    }

    /// A new transition: its row, its audit entry, its note.
    pub(super) fn record_request(&mut self, pass: &mut Pass, transition: &Transition) {
        let note = self.keep_note(pass, transition.note.as_deref());
        let why = transition.explanation.clone();
        let draft = self.draft(pass, transition, "transition.requested", why);
        pass.commit.audit.push(AuditDraft { note, ..draft });
        pass.keep_row(transition.clone());
    }

    pub(super) fn audit_transition(&self, pass: &mut Pass, transition: &Transition, action: &'static str, why: Value) {
        let draft = self.draft(pass, transition, action, why);
        pass.commit.audit.push(draft);
    }

    /// What a person did with a transition that somebody else wanted.
    pub(super) fn audit_transition_by(
        &self,
        pass: &mut Pass,
        transition: &Transition,
        action: &'static str,
        actor: String,
        why: Value,
        note: Option<Hash>,
    ) {
        let draft = self.draft(pass, transition, action, why);
        pass.commit.audit.push(AuditDraft { actor, note, ..draft });
    }

    fn draft(&self, pass: &Pass, transition: &Transition, action: &'static str, why: Value) -> AuditDraft {
        let index = self.roster.find(transition.agent.as_str());
        AuditDraft {
            tenant: self.link.tenant.clone(),
            at: pass.now,
            actor: transition.actor.label(),
            action,
            subject: index.and_then(|index| self.files.get(index.position())).map(|file| file.subject),
            transition: Some(transition.id),
            before: transition.before.as_ref().map(ToString::to_string),
            after: Some(transition.target.to_string()),
            outcome: transition.outcome(),
            why,
            note: None,
        }
    }

    /// An entry that is about an agent and no transition.
    pub(super) fn audit_agent(
        &self,
        pass: &mut Pass,
        index: AgentIndex,
        actor: &Actor,
        action: &'static str,
        why: Value,
    ) {
        let draft = AuditDraft {
            subject: self.files.get(index.position()).map(|file| file.subject),
            ..AuditDraft::new(self.link.tenant.clone(), pass.now, actor.label(), action, why)
        };
        pass.commit.audit.push(draft);
    }

    /// An entry about the tenant as a whole.
    pub(super) fn audit_tenant(&self, pass: &mut Pass, action: &'static str, why: Value) {
        pass.commit.audit.push(AuditDraft::new(self.link.tenant.clone(), pass.now, Actor::Daemon.label(), action, why));
    }

    /// An event.
    pub(super) fn tell(&self, pass: &mut Pass, data: impl Into<EventData>) {
        pass.commit.events.push(Event {
            id: EventId(self.link.random.id_at(pass.now)),
            tenant: self.link.tenant.clone(),
            at: pass.now,
            data: data.into(),
        });
    }

    /// An event about an agent, with the agent's id and next number.
    pub(super) fn tell_of<D: Into<EventData>>(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        data: impl FnOnce(AgentId, u64) -> D,
    ) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let Some(file) = self.files.get_mut(index.position()) else { return };
        file.sequence += 1;
        let data = data(agent, file.sequence);
        pass.count(index);
        self.tell(pass, data);
    }

    fn tell_finished(&mut self, pass: &mut Pass, transition: &Transition) {
        // Whoever has an open transition is in the roster.
        let Some(index) = self.roster.find(transition.agent.as_str()) else { return };
        self.tell_of(pass, index, |user_id, sequence| TransitionFinished {
            user_id,
            transition_id: transition.id,
            target_state: transition.target.clone(),
            reason_code: transition.reason.clone(),
            outcome: transition.status.name(),
            detail: transition.outcome().unwrap_or_default(),
            actor: transition.actor.label(),
            attempts: transition.attempts,
            latency_ms: transition.latency_ms,
            violation: transition.violation,
            sequence,
        });
    }

    /// Puts a change into history, the picture and the outbox.
    pub(super) fn record_change(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        now: Observed,
        seen_at: UtcMicros,
        latency_ms: Option<u64>,
    ) {
        let Some(slot) = self.roster.get(index) else { return };
        let agent = slot.id().clone();
        let before = slot.observed().cloned();
        pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, &now)));
        self.tell_change(pass, index, before.as_ref(), &now, latency_ms);
        if let Some(file) = self.files.get_mut(index.position()) {
            // What contradicted the state before says nothing against this one.
            (file.contradictions, file.doubted, file.missed) = (0, None, None);
        }
        self.roster.observe(index, now, seen_at);
    }

    /// Nobody sees the agent from an instant on: history, picture and outbox say so instead of going on with what was.
    pub(super) fn lose_sight(&mut self, pass: &mut Pass, index: AgentIndex, unknown: AgentState, since: UtcMicros) {
        let Some(slot) = self.roster.get(index) else { return };
        let (agent, before) = (slot.id().clone(), slot.observed().cloned());
        let now = Observed {
            state: unknown,
            reason: None,
            queue: None,
            entered_at: since,
            platform_at: None,
            row_at: since,
            source: Source::Snapshot,
            transition: None,
            by_person: false,
        }
        .following(before.as_ref());
        pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, &now)));
        self.tell_change(pass, index, before.as_ref(), &now, None);
        if let Some(file) = self.files.get_mut(index.position()) {
            (file.contradictions, file.doubted, file.missed) = (0, None, None);
            (file.before_estimate, file.told_by_feed) = (None, false);
        }
        self.roster.lose_sight(index, now);
    }

    /// The row at `from` gets the instants of `now`.
    pub(super) fn retiming(&self, agent: &AgentId, from: UtcMicros, now: &Observed) -> HistoryWrite {
        HistoryWrite::Retime {
            tenant: self.link.tenant.clone(),
            agent: agent.clone(),
            from,
            to: now.row_at,
            platform_at: now.platform_at,
            source: now.source,
        }
    }

    pub(super) fn history_row(&self, agent: &AgentId, observed: &Observed) -> HistoryRow {
        HistoryRow {
            tenant: self.link.tenant.clone(),
            agent: agent.clone(),
            entered_at: observed.row_at,
            platform_at: observed.platform_at,
            state: observed.state.clone(),
            reason: observed.reason.clone(),
            queue: observed.queue.clone(),
            source: observed.source,
            transition: observed.transition,
            by_person: observed.by_person,
        }
    }

    /// The event of a change, with the counts of the agent's day.
    pub(super) fn tell_change(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        before: Option<&Observed>,
        now: &Observed,
        latency_ms: Option<u64>,
    ) {
        let Some(file) = self.files.get_mut(index.position()) else { return };
        match before {
            Some(left) if left.state.counts_as_not_ready() => file.add_not_ready(left.entered_at, now.entered_at),
            Some(_) | None => file.turn_to(now.entered_at),
        }
        let (idle_time_ms, violation_count) = (real_millis(file.not_ready), file.violations);
        self.tell_of(pass, index, |user_id, sequence| AgentStateChanged {
            user_id,
            new_state: now.state.clone(),
            latency_ms,
            idle_time_ms,
            violation_count,
            previous_state: before.map(|left| left.state.clone()),
            reason_code: now.reason.clone(),
            entered_at: now.entered_at,
            transition_id: now.transition,
            sequence,
        });
    }

    /// Counts a violation, once per transition.
    pub(super) fn note_violation(&mut self, pass: &mut Pass, id: TransitionId, violation: Violation) {
        let Some(open) = self.book.get_mut(id) else { return };
        if open.transition.violation.is_some() {
            return;
        }
        open.transition.violation = Some(violation);
        let transition = open.transition.clone();
        pass.keep_row(transition.clone());
        let Some(index) = self.roster.find(transition.agent.as_str()) else { return };
        let Some(file) = self.files.get_mut(index.position()) else { return };
        file.turn_to(pass.now);
        file.violations += 1;
        let violation_count = file.violations;
        self.tell_of(pass, index, |user_id, sequence| PolicyViolated {
            user_id,
            transition_id: transition.id,
            target_state: transition.target,
            violation,
            actor: transition.actor.label(),
            violation_count,
            sequence,
        });
    }

    /// Makes the commit complete: rows and counts as they stand now.
    pub(super) fn finish_commit(&self, pass: &mut Pass) -> Commit {
        pass.commit.transitions.extend(std::mem::take(&mut pass.rows).into_values());
        for index in &pass.counted {
            let (Some(slot), Some(file)) = (self.roster.get(*index), self.files.get(index.position())) else {
                continue;
            };
            pass.commit.counters.push(AgentCounters {
                tenant: self.link.tenant.clone(),
                agent: slot.id().clone(),
                sequence: file.sequence,
                local_day: file.day_text(),
                violations: file.violations,
                not_ready_us: u64::try_from(file.not_ready.as_micros()).unwrap_or(u64::MAX),
            });
        }
        for (index, rule) in &pass.remembered {
            let Some(slot) = self.roster.get(*index) else { continue };
            let Some(memory) = slot.memory() else { continue };
            pass.commit.memory.push(RemembersWrite {
                tenant: self.link.tenant.clone(),
                agent: slot.id().clone(),
                rule: rule.clone(),
                acted: memory.last_acted(rule).map(|acted| (acted.at, acted.fact_key)),
                held_key: memory.held_key(rule),
                left_alone_until: memory.left_alone_until(),
            });
        }
        std::mem::take(&mut pass.commit)
    }
}

/// What a person should know of a step; waits for the budget and the like are in the rows of calls.
fn audited(before: &Status, after: &Status, step: &Step) -> Option<&'static str> {
    match step {
        Step::Hold { why, .. } | Step::NotApplied { why, .. } => {
            let told = match why {
                WaitReason::MandatoryBreak
                | WaitReason::Contact
                | WaitReason::Conflict
                | WaitReason::Halted
                | WaitReason::Approval => true,
                WaitReason::Budget
                | WaitReason::InFlight
                | WaitReason::Retry
                | WaitReason::PlatformAnswer
                | WaitReason::Sight => false,
            };
            (told && before.waits_for() != after.waits_for()).then_some("transition.held")
        }
        Step::Send { .. } => None,
        Step::Doubt { .. } => Some("transition.in_doubt"),
        Step::Accept { .. } => Some("transition.accepted"),
        Step::Confirm { .. } => Some("transition.confirmed"),
        Step::GiveUp { .. } => Some("transition.unconfirmed"),
        Step::ReadBack { .. } => Some("transition.read_back"),
        Step::Refuse(_) => Some("transition.refused"),
        Step::Fail(_) => Some("transition.failed"),
        Step::Cancel(_) => Some("transition.cancelled"),
        Step::Supersede(_) => Some("transition.superseded"),
        Step::Expire => Some("transition.expired"),
    }
}

/// Whether a row of this state shows that a change to `target` took effect: the state itself, or a contact, which only an
/// agent who was made ready can have got.
pub(super) fn shows(target: &AgentState, state: &AgentState) -> bool {
    target == state || (*target == AgentState::Ready && state.is_on_contact())
}
