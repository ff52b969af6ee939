//! Records the effects of a pass: transitions with their audit entries, events with their sequence numbers, and the
//! spans in which the whole roster is observed.

use std::time::Duration;

use serde_json::Value;

use super::agents::observed_span::OpenObservedSpan;
use super::pass::Pass;
use super::state::Keeper;
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::agent::{ObservationSource, ObservedState};
use crate::domain::agents::roster::AgentIndex;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::{AuditDraft, Hash};
use crate::domain::changes::policy::Violation;
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus, TransitionStep, WaitReason};
use crate::domain::ids::{AgentId, EventId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AgentStateChanged, Event, EventData, PolicyViolated, TransitionFinished};
use crate::engine::platform::calls::real_millis;
use crate::store::{AgentCounters, Commit, HistoryRow, HistoryWrite, ObservedSpanRow, RuleMemoryWrite};

/// How often an observed span is stored if nothing else is committed; the longer of clock time and real time applies.
const STORE_INTERVAL: Duration = Duration::from_secs(30);
const STORE_INTERVAL_REAL: Duration = Duration::from_secs(2);

impl Keeper {
    /// Applies a step to a transition and records its effects. A step that the life cycle does not allow is a defect of
    /// the caller: it is reported, and the transition stays as it is.
    #[expect(clippy::needless_pass_by_value, reason = "a step is taken once; callers make it for this call")]
    pub(super) fn apply_step(&mut self, pass: &mut Pass, id: TransitionId, step: TransitionStep) {
        let Some(open) = self.open_transitions.get(id) else { return };
        let before = open.transition.status.clone();
        let next = match before.clone().step(step.clone()) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(tenant = %self.link.tenant, transition = %id, %error, "defect: wrong step");
                return;
            }
        };
        let Some(transition) = self.open_transitions.set_status(id, next) else { return };
        if let Some(action) = audit_action(&before, &transition.status, &step) {
            self.audit_transition(pass, &transition, action, Value::Null);
        }
        if transition.status.is_final() {
            self.record_finished_event(pass, &transition);
        }
        self.update_blocking_transition(&transition.agent);
        let waits_again = !before.is_unsent() && transition.status.is_unsent();
        pass.save_row(transition.clone());
        if waits_again {
            self.supersede_waiting(pass, &transition);
        }
    }

    /// Resolves the conflict when a sent change returns to waiting while a newer change of the same agent waits: one of
    /// the two is superseded.
    fn supersede_waiting(&mut self, pass: &mut Pass, returned: &Transition) {
        let newer = self
            .open_transitions
            .of_agent(&returned.agent)
            .find(|open| open.transition.id != returned.id && open.transition.status.is_unsent())
            .map(|open| (open.transition.id, open.transition.priority));
        if let Some((newer, priority)) = newer {
            let (loser, winner) =
                if priority >= returned.priority { (returned.id, newer) } else { (newer, returned.id) };
            self.apply_step(pass, loser, TransitionStep::Supersede(winner));
        }
    }

    /// Updates the agent's blocking transition in the roster.
    pub(super) fn update_blocking_transition(&mut self, agent: &AgentId) {
        if let Some(index) = self.roster.find(agent.as_str()) {
            self.roster.set_blocking_transition(index, self.open_transitions.blocking_transition(agent));
        }
    }

    /// Records a new transition: its row, its audit entry and its note.
    pub(super) fn record_request(&mut self, pass: &mut Pass, transition: &Transition) {
        let note = self.save_note(pass, transition.note.as_deref());
        let details = transition.explanation.clone();
        let draft = self.audit_draft(pass, transition, "transition.requested", details);
        pass.commit.audit.push(AuditDraft { note_hash: note, ..draft });
        pass.save_row(transition.clone());
    }

    pub(super) fn audit_transition(
        &self,
        pass: &mut Pass,
        transition: &Transition,
        action: &'static str,
        details: Value,
    ) {
        let draft = self.audit_draft(pass, transition, action, details);
        pass.commit.audit.push(draft);
    }

    /// Adds an audit entry for what a person did with somebody else's transition.
    pub(super) fn audit_transition_by(
        &self,
        pass: &mut Pass,
        transition: &Transition,
        action: &'static str,
        actor: String,
        details: Value,
        note: Option<Hash>,
    ) {
        let draft = self.audit_draft(pass, transition, action, details);
        pass.commit.audit.push(AuditDraft { actor, note_hash: note, ..draft });
    }

    fn audit_draft(&self, pass: &Pass, transition: &Transition, action: &'static str, details: Value) -> AuditDraft {
        let index = self.roster.find(transition.agent.as_str());
        AuditDraft {
            tenant: self.link.tenant.clone(),
            at: pass.now,
            actor: transition.actor.label(),
            action,
            subject: index.and_then(|index| self.agent_tracking.get(index.position())).map(|file| file.subject),
            transition: Some(transition.id),
            before: transition.before.as_ref().map(ToString::to_string),
            after: Some(transition.target.to_string()),
            outcome: transition.outcome_text(),
            facts: details,
            note_hash: None,
        }
    }

    /// Adds an audit entry about an agent without a transition.
    pub(super) fn audit_agent(
        &self,
        pass: &mut Pass,
        index: AgentIndex,
        actor: &Actor,
        action: &'static str,
        details: Value,
    ) {
        let draft = AuditDraft {
            subject: self.agent_tracking.get(index.position()).map(|file| file.subject),
            ..AuditDraft::new(self.link.tenant.clone(), pass.now, actor.label(), action, details)
        };
        pass.commit.audit.push(draft);
    }

    /// Adds an audit entry about the whole tenant.
    pub(super) fn audit_tenant(&self, pass: &mut Pass, action: &'static str, details: Value) {
        pass.commit.audit.push(AuditDraft::new(
            self.link.tenant.clone(),
            pass.now,
            Actor::Daemon.label(),
            action,
            details,
        ));
    }

    /// Adds an event to the commit.
    pub(super) fn record_event(&self, pass: &mut Pass, data: impl Into<EventData>) {
        pass.commit.events.push(Event {
            id: EventId(self.link.random.time_ordered_id(pass.now)),
            tenant: self.link.tenant.clone(),
            at: pass.now,
            data: data.into(),
        });
    }

    /// Adds an event about an agent, with the agent's id and next sequence number.
    pub(super) fn record_agent_event<D: Into<EventData>>(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        data: impl FnOnce(AgentId, u64) -> D,
    ) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let Some(tracking) = self.agent_tracking.get_mut(index.position()) else { return };
        tracking.sequence += 1;
        let data = data(agent, tracking.sequence);
        pass.mark_counters_changed(index);
        self.record_event(pass, data);
    }

    fn record_finished_event(&mut self, pass: &mut Pass, transition: &Transition) {
        // An agent with an open transition is always in the roster.
        let Some(index) = self.roster.find(transition.agent.as_str()) else { return };
        self.record_agent_event(pass, index, |user_id, sequence| TransitionFinished {
            user_id,
            transition_id: transition.id,
            target_state: transition.target.clone(),
            reason_code: transition.reason.clone(),
            outcome: transition.status.name(),
            detail: transition.outcome_text().unwrap_or_default(),
            actor: transition.actor.label(),
            attempts: transition.attempts,
            latency_ms: transition.latency_ms,
            violation: transition.violation,
            sequence,
        });
    }

    /// Records a state change in the history, the live view and the outbox.
    pub(super) fn record_state_change(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        now: ObservedState,
        observed_at: UtcMicros,
        latency_ms: Option<u64>,
    ) {
        let Some(slot) = self.roster.get(index) else { return };
        let agent = slot.id().clone();
        let before = slot.observed().cloned();
        pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, &now)));
        self.record_state_change_event(pass, index, before.as_ref(), &now, latency_ms);
        if let Some(tracking) = self.agent_tracking.get_mut(index.position()) {
            // What contradicted the previous state does not contradict this one.
            (tracking.contradictions, tracking.doubted_row, tracking.missed_snapshots) = (0, None, None);
        }
        self.roster.record_observation(index, now, observed_at);
    }

    /// Marks an agent as unobserved from an instant on, in the history, the live view and the outbox, so that the last
    /// state does not seem to continue.
    pub(super) fn mark_unobserved(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        unknown: AgentState,
        since: UtcMicros,
    ) {
        let Some(slot) = self.roster.get(index) else { return };
        let (agent, before) = (slot.id().clone(), slot.observed().cloned());
        let now = ObservedState {
            state: unknown,
            reason: None,
            queue: None,
            entered_at: since,
            platform_entered_at: None,
            history_at: since,
            source: ObservationSource::Snapshot,
            transition: None,
            requested_by_person: false,
        }
        .ordered_after(before.as_ref());
        pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, &now)));
        self.record_state_change_event(pass, index, before.as_ref(), &now, None);
        if let Some(tracking) = self.agent_tracking.get_mut(index.position()) {
            (tracking.contradictions, tracking.doubted_row, tracking.missed_snapshots) = (0, None, None);
            (tracking.before_estimate, tracking.is_reported_by_feed) = (None, false);
        }
        self.roster.mark_unobserved(index, now);
    }

    /// Returns the write that gives the history row at `from` the instants of `now`.
    pub(super) fn history_retiming(&self, agent: &AgentId, from: UtcMicros, now: &ObservedState) -> HistoryWrite {
        HistoryWrite::Retime {
            tenant: self.link.tenant.clone(),
            agent: agent.clone(),
            from,
            to: now.history_at,
            platform_at: now.platform_entered_at,
            source: now.source,
        }
    }

    pub(super) fn history_row(&self, agent: &AgentId, observed: &ObservedState) -> HistoryRow {
        HistoryRow {
            tenant: self.link.tenant.clone(),
            agent: agent.clone(),
            entered_at: observed.history_at,
            platform_at: observed.platform_entered_at,
            state: observed.state.clone(),
            reason: observed.reason.clone(),
            queue: observed.queue.clone(),
            source: observed.source,
            transition: observed.transition,
            by_person: observed.requested_by_person,
        }
    }

    /// Adds the event of a state change, with the agent's counters for the day.
    pub(super) fn record_state_change_event(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        before: Option<&ObservedState>,
        now: &ObservedState,
        latency_ms: Option<u64>,
    ) {
        let Some(tracking) = self.agent_tracking.get_mut(index.position()) else { return };
        match before {
            Some(previous) if previous.state.is_not_ready() => {
                tracking.add_not_ready(previous.entered_at, now.entered_at);
            }
            Some(_) | None => tracking.start_day_of(now.entered_at),
        }
        let (idle_time_ms, violation_count) = (real_millis(tracking.not_ready), tracking.violations);
        self.record_agent_event(pass, index, |user_id, sequence| AgentStateChanged {
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

    /// Records a violation, at most one per transition.
    pub(super) fn record_violation(&mut self, pass: &mut Pass, id: TransitionId, violation: Violation) {
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        if open.transition.violation.is_some() {
            return;
        }
        open.transition.violation = Some(violation);
        let transition = open.transition.clone();
        pass.save_row(transition.clone());
        let Some(index) = self.roster.find(transition.agent.as_str()) else { return };
        let Some(tracking) = self.agent_tracking.get_mut(index.position()) else { return };
        tracking.start_day_of(pass.now);
        tracking.violations += 1;
        let violation_count = tracking.violations;
        self.record_agent_event(pass, index, |user_id, sequence| PolicyViolated {
            user_id,
            transition_id: transition.id,
            target_state: transition.target,
            violation,
            actor: transition.actor.label(),
            violation_count,
            sequence,
        });
    }

    /// Extends the span by the newest observation of the whole roster. It is stored at once if `at_once` is set, and
    /// now and then otherwise. A gap that is too long for decisions begins a new span.
    pub(in crate::engine::keeper) fn record_observed_span(&mut self, pass: &mut Pass, at_once: bool) {
        let Some(observed_until) = self.roster_observed_until(pass.now) else { return };
        let tenant = &self.link.tenant;
        let span = |(starts_at, ends_at): Span| ObservedSpanRow { tenant: tenant.clone(), starts_at, ends_at };
        let every = STORE_INTERVAL.max(self.link.clock.scale_real(STORE_INTERVAL_REAL));
        let mut current = match self.observed_span.take() {
            Some(known) if observed_until.since(known.observed_until) <= self.settings.decide.stale_after => known,
            known => {
                // Store the end of the previous span before a new one begins.
                pass.commit
                    .adherence
                    .observed_spans
                    .extend(known.filter(OpenObservedSpan::has_unstored_part).map(|known| span(known.span())));
                OpenObservedSpan { from: observed_until, observed_until, stored_until: None }
            }
        };
        current.observed_until = current.observed_until.max(observed_until);
        let due = match current.stored_until {
            None => true,
            Some(kept) => at_once || !pass.commit.history.is_empty() || current.observed_until.since(kept) >= every,
        };
        if due && current.has_unstored_part() {
            pass.commit.adherence.observed_spans.push(span(current.span()));
            current.stored_until = Some(current.observed_until);
        }
        self.observed_span = Some(current);
    }

    /// Returns the instant up to which all subscriptions have shown their agents; `None` if one has shown nothing yet.
    fn roster_observed_until(&self, now: UtcMicros) -> Option<UtcMicros> {
        let newest: Option<Vec<UtcMicros>> = self.observation_ages(now).map(|(_, newest, _)| newest).collect();
        newest?.into_iter().min()
    }

    /// Completes the commit with the current rows and counters.
    pub(super) fn finish_commit(&self, pass: &mut Pass) -> Commit {
        pass.commit.transitions.extend(std::mem::take(&mut pass.transition_rows).into_values());
        for index in &pass.changed_counters {
            let (Some(slot), Some(tracking)) = (self.roster.get(*index), self.agent_tracking.get(index.position()))
            else {
                continue;
            };
            pass.commit.counters.push(AgentCounters {
                tenant: self.link.tenant.clone(),
                agent: slot.id().clone(),
                sequence: tracking.sequence,
                local_day: tracking.day_text(),
                violations: tracking.violations,
                not_ready_us: u64::try_from(tracking.not_ready.as_micros()).unwrap_or(u64::MAX),
            });
        }
        for (index, rule) in &pass.changed_memory {
            let Some(slot) = self.roster.get(*index) else { continue };
            let Some(memory) = slot.memory() else { continue };
            pass.commit.memory.push(RuleMemoryWrite {
                tenant: self.link.tenant.clone(),
                agent: slot.id().clone(),
                rule: rule.clone(),
                last_action: memory.last_action(rule).map(|acted| (acted.at, acted.fact_key)),
                held_key: memory.held_key(rule),
                left_alone_until: memory.paused_until(),
            });
        }
        std::mem::take(&mut pass.commit)
    }
}

/// Returns the audit action of a step; `None` for steps such as waiting for the budget, which only the call log shows.
fn audit_action(before: &TransitionStatus, after: &TransitionStatus, step: &TransitionStep) -> Option<&'static str> {
    match step {
        TransitionStep::Hold { why, .. } | TransitionStep::NotApplied { why, .. } => {
            let is_audited = match why {
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
            (is_audited && before.wait_reason() != after.wait_reason()).then_some("transition.held")
        }
        TransitionStep::Send { .. } => None,
        TransitionStep::Doubt { .. } => Some("transition.in_doubt"),
        TransitionStep::Accept { .. } => Some("transition.accepted"),
        TransitionStep::Defer => Some("transition.pending"),
        TransitionStep::Confirm { .. } => Some("transition.confirmed"),
        TransitionStep::GiveUp { .. } => Some("transition.unconfirmed"),
        TransitionStep::ReadBack { .. } => Some("transition.read_back"),
        TransitionStep::Refuse(_) => Some("transition.refused"),
        TransitionStep::Fail(_) => Some("transition.failed"),
        TransitionStep::Cancel(_) => Some("transition.cancelled"),
        TransitionStep::Supersede(_) => Some("transition.superseded"),
        TransitionStep::Expire => Some("transition.expired"),
    }
}

/// Returns whether a row in this state shows that a change to `target` took effect. The row must show the target
/// itself, or a contact if the target is ready, since only a ready agent gets a contact.
pub(super) fn shows_target(target: &AgentState, state: &AgentState) -> bool {
    target == state || (*target == AgentState::Ready && state.is_on_contact())
}
