//! Handles the platform's answers to state POSTs, and to queries about an agent's plan.

use std::time::Duration;

use serde_json::json;

use crate::domain::agents::agent::{ObservationSource, ObservedState};
use crate::domain::agents::roster::{AgentIndex, AgentRecord, CachedPlatformPlan};
use crate::domain::changes::policy::{PlatformPlan, Violation};
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus, TransitionStep, WaitReason};
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AutomationHalted, AutomationResumed};
use crate::engine::keeper::agents::tracking::PlanQueryState;
use crate::engine::keeper::arrival::{PlanQueryResult, StateChangeResult};
use crate::engine::keeper::changes::open_transitions::OpenTransition;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::{AutomaticChange, Keeper};
use crate::engine::platform::calls::real_millis;
use crate::platform::breaker::Change;
use crate::platform::{CallError, Effect, Failure};
use crate::store::{HistoryWrite, TenantStatus};

/// The pause before a conflict without a known cause is tried again; it doubles with each conflict.
const CONFLICT_RETRY_DELAY: Duration = Duration::from_secs(60);

/// The longest such pause: as long as the platform's answers are kept by default.
const MAX_CONFLICT_RETRY_DELAY: Duration = Duration::from_secs(15 * 60);

/// The pause after the platform refused the query itself, for example for credentials or a missing right.
const REFUSED_QUERY_DELAY: Duration = Duration::from_secs(30);

impl Keeper {
    /// Handles the answer to a state POST.
    pub(in crate::engine::keeper) fn handle_state_change_result(
        &mut self,
        pass: &mut Pass,
        completed: StateChangeResult,
    ) {
        let StateChangeResult { id, mut call, result } = completed;
        let answered_at = self.link.clock.now();
        // The call's own instant is by the clock of that time, which may have been set since. Its answer is by the
        // present clock, and a row has one clock.
        if let Some(TransitionStatus::Sending { since }) =
            self.open_transitions.get(id).map(|open| &open.transition.status)
        {
            call.sent_at = *since;
        }
        let sent_at = call.sent_at;
        pass.commit.calls.push(call);
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        if let Ok(answer) = &result {
            open.transition.latency_ms = Some(real_millis(answer.latency));
        }
        let response_time = answered_at.since(sent_at);
        self.mean_response_time =
            Some(self.mean_response_time.map_or(response_time, |known| (known * 7 + response_time) / 8));
        // A probe is sent for the whole tenant, so its failure does not count as an attempt of its own transition.
        open.uncounted_attempts += u32::from(result.is_err() && self.breaker.is_probe(id));
        let agent = open.transition.agent.clone();
        let now = self.link.clock.monotonic();
        match result {
            Ok(answer) => {
                self.link.learn_offset(&answer);
                let change = self.breaker.record_success(now);
                self.handle_breaker_change(pass, change);
                self.handle_accepted(pass, id, sent_at, answered_at);
            }
            Err(error) => {
                tracing::warn!(tenant = %self.link.tenant, transition = %id, agent = %agent, error = %error,
                    class = error.failure.class(), "state change not accepted");
                if let Some(platform_trouble) = error.platform_trouble() {
                    let change = self.breaker.record_failure(&agent, id, platform_trouble, now);
                    self.handle_breaker_change(pass, change);
                } else if !error.failure.was_sent() {
                    self.breaker.probe_withdrawn(id);
                } else {
                    let change = self.breaker.record_success(now);
                    self.handle_breaker_change(pass, change);
                }
                self.handle_not_accepted(pass, id, &error);
            }
        }
    }

    /// Handles acceptance by the platform: the change enters the history as an estimate, which the next snapshot
    /// settles.
    fn handle_accepted(&mut self, pass: &mut Pass, id: TransitionId, sent_at: UtcMicros, at: UtcMicros) {
        self.apply_step(pass, id, TransitionStep::Accept { at });
        let Some((transition, in_history)) = self.open_transitions.get_mut(id).map(|open| {
            open.failures = 0;
            (open.transition.clone(), open.is_in_history)
        }) else {
            return;
        };
        self.end_overtaken(pass, &transition);
        let Some(index) = self.roster.find(transition.agent.as_str()) else { return };
        self.record_automatic_change(&transition, at);
        let Some(slot) = self.roster.get(index) else { return };
        let (known, observed_at) = (slot.observed().cloned(), slot.last_observed_at());
        // A snapshot may have arrived before the answer, and the agent may have moved since.
        if in_history {
            return;
        }
        if known.as_ref().is_some_and(|known| known.state.is_on_contact()) {
            self.apply_step(pass, id, TransitionStep::Defer);
            return;
        }
        if let Some(known) = known.as_ref().filter(|known| known.state == transition.target) {
            let is_reason_only_request = transition.is_reason_only() && transition.is_forced();
            let is_reason_change = is_reason_only_request && known.entered_at < sent_at;
            if is_reason_change && known.reason.as_ref() != Some(&transition.reason) {
                self.change_reason(pass, index, known, &transition, at);
            } else {
                self.attribute_row(pass, index, known, &transition, sent_at);
            }
            return;
        }
        self.mark_in_history(id);
        let now = ObservedState {
            state: transition.target.clone(),
            reason: Some(transition.reason.clone()),
            queue: known.as_ref().and_then(|known| known.queue.clone()),
            entered_at: at,
            platform_entered_at: None,
            history_at: at,
            source: ObservationSource::Post,
            transition: Some(id),
            requested_by_person: transition.actor.is_person(),
        };
        let now = now.ordered_after(known.as_ref());
        let tracking = &mut self.agent_tracking[index.position()];
        (tracking.before_estimate, tracking.is_reported_by_feed) = (known, false);
        // An answer is not an observation, so the age of the live view stays as it was.
        self.record_state_change(pass, index, now, observed_at.unwrap_or(UtcMicros::EPOCH), transition.latency_ms);
    }

    /// Records a change of the reason alone, when the agent was already in the wanted state at the request. The
    /// interval keeps its start, and the history has the reason from the acceptance on. If the platform starts a new
    /// interval with the reason, its next snapshot corrects the estimate.
    fn change_reason(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        known: &ObservedState,
        transition: &Transition,
        at: UtcMicros,
    ) {
        self.mark_in_history(transition.id);
        let now = ObservedState {
            reason: Some(transition.reason.clone()),
            platform_entered_at: None,
            history_at: at.max(known.history_at.offset(1)),
            source: ObservationSource::Post,
            transition: Some(transition.id),
            requested_by_person: transition.actor.is_person(),
            ..known.clone()
        };
        self.agent_tracking[index.position()].before_estimate = Some(known.clone());
        let observed_at = self.roster.get(index).and_then(AgentRecord::last_observed_at).unwrap_or(UtcMicros::EPOCH);
        self.record_state_change(pass, index, now, observed_at, transition.latency_ms);
    }

    /// Handles an agent that is already in the wanted state. A row that began after the send belongs to this change; an
    /// older one is the agent's own doing. If the agent had left the state unobserved, the next snapshot brings the row
    /// of the change.
    fn attribute_row(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        known: &ObservedState,
        transition: &Transition,
        sent_at: UtcMicros,
    ) {
        if known.transition.is_some() || known.entered_at < sent_at {
            return;
        }
        let (reason, observed_at) =
            (Some(transition.reason.clone()), self.roster.get(index).and_then(AgentRecord::last_observed_at));
        let by_person = transition.actor.is_person();
        let now =
            ObservedState { reason, transition: Some(transition.id), requested_by_person: by_person, ..known.clone() };
        pass.commit.history.push(HistoryWrite::Enter(self.history_row(&transition.agent, &now)));
        self.roster.record_observation(index, now, observed_at.unwrap_or(UtcMicros::EPOCH));
        self.mark_in_history(transition.id);
    }

    /// Marks the change as recorded in the history.
    pub(in crate::engine::keeper) fn mark_in_history(&mut self, id: TransitionId) {
        if let Some(open) = self.open_transitions.get_mut(id) {
            open.is_in_history = true;
        }
    }

    /// Ends an earlier change that the platform accepted: no snapshot will show one that was not pending, and a pending
    /// one is replaced.
    fn end_overtaken(&mut self, pass: &mut Pass, newer: &Transition) {
        let end = |open: &OpenTransition| match open.transition.status {
            _ if open.transition.id == newer.id => None,
            TransitionStatus::Accepted { .. } => Some(TransitionStep::GiveUp { at: pass.now }),
            TransitionStatus::Pending { .. } => Some(TransitionStep::Supersede(newer.id)),
            _ => None,
        };
        let of_agent = self.open_transitions.of_agent(&newer.agent);
        let overtaken: Vec<(TransitionId, TransitionStep)> =
            of_agent.filter_map(|open| Some((open.transition.id, end(open)?))).collect();
        for (id, step) in overtaken {
            self.apply_step(pass, id, step);
        }
    }

    fn record_automatic_change(&mut self, transition: &Transition, at: UtcMicros) {
        match &transition.actor {
            Actor::Rule { id: rule, .. } => {
                let change = AutomaticChange { transition: transition.id, rule: rule.clone(), set_at: at };
                self.automatic_changes.insert(transition.agent.clone(), change);
            }
            Actor::Person { .. } | Actor::Daemon => {
                self.automatic_changes.remove(&transition.agent);
            }
        }
    }

    fn handle_not_accepted(&mut self, pass: &mut Pass, id: TransitionId, error: &CallError) {
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        if error.effect() == Effect::Unknown {
            open.failures += 1;
            // The POST was sent before the failure. If the clock was set forward or the host slept meanwhile, the
            // timeout alone ends too early, so it counts from the failure.
            let asked_at = error.sent_at.unwrap_or(pass.now).min(pass.now);
            let readable_after = self.readable_after(asked_at).max(pass.now + self.settings.observation.interval);
            self.apply_step(pass, id, TransitionStep::Doubt { readable_after });
            return;
        }
        match &error.failure {
            Failure::Conflict { code } => self.handle_conflict(pass, id, code.as_deref()),
            Failure::DryRun => self.apply_step(pass, id, TransitionStep::Cancel("dry run".to_owned())),
            Failure::Forbidden { .. } | Failure::NotFound | Failure::Rejected { .. } | Failure::Unsupported { .. } => {
                self.apply_step(pass, id, TransitionStep::Fail(error.to_string()));
            }
            Failure::CircuitOpen { until } => {
                let until = Some(*until);
                self.apply_step(pass, id, TransitionStep::NotApplied { why: WaitReason::Retry, until });
            }
            Failure::NotSent { .. }
            | Failure::Throttled { .. }
            | Failure::Unauthorized
            | Failure::TokenRefused { .. }
            | Failure::TokenUnavailable { .. }
            | Failure::Server { .. }
            | Failure::Timeout
            | Failure::ConnectionBroken { .. }
            | Failure::Malformed { .. }
            | Failure::TooLarge { .. } => self.retry_later(pass, id, error),
        }
    }

    fn retry_later(&mut self, pass: &mut Pass, id: TransitionId, error: &CallError) {
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        open.failures += 1;
        let failures = open.failures;
        if !error.failure.was_sent() {
            open.uncounted_attempts += 1;
        } else if open.has_used_attempts(self.settings.retry.attempts) {
            let text = format!("given up after {} attempts: {error}", open.transition.attempts);
            self.apply_step(pass, id, TransitionStep::Fail(text));
            return;
        }
        // After a first refusal the next attempt uses a new token, so it need not wait.
        let is_first_refusal = matches!(error.failure, Failure::Unauthorized) && failures == 1;
        let delay =
            if is_first_refusal { Duration::ZERO } else { self.retry_delay(failures, error.failure.retry_after()) };
        let until = Some(pass.now + delay);
        self.apply_step(pass, id, TransitionStep::NotApplied { why: WaitReason::Retry, until });
    }

    pub(in crate::engine::keeper) fn retry_delay(&self, failures: u32, floor: Option<Duration>) -> Duration {
        self.settings.retry.curve.delay(failures.max(1), floor, &*self.link.random)
    }

    /// Handles a conflict (409): the change is held, and the platform is queried for the cause.
    fn handle_conflict(&mut self, pass: &mut Pass, id: TransitionId, code: Option<&str>) {
        let violation = code.and_then(Violation::from_code).unwrap_or(Violation::PlatformConflict);
        self.record_violation(pass, id, violation);
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        let pause =
            CONFLICT_RETRY_DELAY.saturating_mul(2_u32.saturating_pow(open.failures)).min(MAX_CONFLICT_RETRY_DELAY);
        open.failures = open.failures.saturating_add(1);
        let until = Some(pass.now + pause);
        self.apply_step(pass, id, TransitionStep::NotApplied { why: WaitReason::Conflict, until });
        let agent = self.open_transitions.get(id).map(|open| open.transition.agent.clone());
        if let Some(index) = agent.and_then(|agent| self.roster.find(agent.as_str())) {
            self.roster.set_platform_plan(index, None);
            self.agent_tracking[index.position()].plan_query = PlanQueryState::Allowed;
            pass.plan_queries.push(index);
        }
    }

    /// Handles the platform's answer about an agent; the next dispatch decides by it.
    pub(in crate::engine::keeper) fn handle_plan_query_result(&mut self, pass: &mut Pass, result: PlanQueryResult) {
        let now = self.link.clock.monotonic();
        let PlanQueryResult { agent, plan } = result;
        let Some(index) = self.roster.find(agent.as_str()) else { return };
        let Some(slot) = self.roster.get(index) else { return };
        match plan {
            Ok(answers) => {
                let edge = slot.plan().next_boundary(pass.now).unwrap_or(UtcMicros::MAX);
                let valid_until = edge.min(pass.now + self.settings.policy.answer_lifetime);
                self.report_disagreement(pass, index, answers);
                self.roster.set_platform_plan(index, Some(CachedPlatformPlan { plan: answers, valid_until }));
                self.agent_tracking[index.position()].plan_query = PlanQueryState::Allowed;
            }
            // The answer is still unknown: the change waits for it, until its deadline at most.
            Err(error) if error.is_retryable_read() => {
                tracing::warn!(tenant = %self.link.tenant, agent = %agent, error = %error, "could not ask the platform");
                let floor = match &error.failure {
                    Failure::CircuitOpen { until } => Some(until.since(pass.now)),
                    // A person has to repair this; a reload or restart queries again at once.
                    Failure::TokenRefused { .. } | Failure::Forbidden { .. } | Failure::TooLarge { .. } => {
                        Some(REFUSED_QUERY_DELAY)
                    }
                    failure => failure.retry_after(),
                };
                let pause = self.retry_delay(1, floor).max(Duration::from_secs(1));
                self.agent_tracking[index.position()].plan_query = PlanQueryState::NotBefore(now + pause);
            }
            Err(error) => {
                self.agent_tracking[index.position()].plan_query = PlanQueryState::Allowed;
                let waiting = self
                    .open_transitions
                    .waiting(&agent)
                    .filter(|open| open.transition.status.wait_reason() == Some(WaitReason::PlatformAnswer));
                if let Some(id) = waiting.map(|open| open.transition.id) {
                    self.apply_step(pass, id, TransitionStep::Fail(format!("no plan covers this time, and {error}")));
                }
            }
        }
    }

    /// Reports that the plan and the platform disagree.
    fn report_disagreement(&mut self, pass: &mut Pass, index: AgentIndex, platform_plan: PlatformPlan) {
        use crate::domain::schedules::schedule::PlanAt;
        let Some(slot) = self.roster.get(index) else { return };
        let plan_position = slot.plan_position(pass.now);
        let our_plan = match plan_position.planned(slot.plan()) {
            PlanAt::NotCovered => return,
            PlanAt::Off => (false, false),
            PlanAt::In(segment) => (true, segment.mandatory),
        };
        let scheduled = platform_plan.scheduled.filter(|said| *said != our_plan.0);
        let break_required = platform_plan.break_required.filter(|said| *said != our_plan.1);
        if scheduled.is_none() && break_required.is_none() {
            return;
        }
        tracing::warn!(tenant = %self.link.tenant, agent = %slot.id(), plan_scheduled = our_plan.0, plan_break = our_plan.1,
            ?scheduled, ?break_required, "the imported plan and the platform disagree");
        let details = json!({
            "plan": {"scheduled": our_plan.0, "break_required": our_plan.1},
            "platform": {"scheduled": platform_plan.scheduled, "break_required": platform_plan.break_required},
        });
        self.audit_agent(pass, index, &Actor::Daemon, "schedule.disagreement", details);
    }

    /// Reports that automation has halted or resumed, and records it in the tenant's row.
    fn handle_breaker_change(&mut self, pass: &mut Pass, change: Option<Change>) {
        let part = self.link.part("automation");
        match change {
            None => {}
            Some(Change::Opened { agents }) => {
                let reason = format!("state changes keep failing for {} agents", agents.len());
                tracing::error!(tenant = %self.link.tenant, ?agents, "automation halted: {reason}");
                self.link.readiness.degraded(&part, format!("halted: {reason}; probes will resume it"));
                self.audit_tenant(pass, "automation.halted", json!({"failing_agents": agents.len()}));
                self.record_event(pass, AutomationHalted { reason: reason.clone(), user_ids: agents });
                self.record_halted(pass, Some((pass.now, reason)));
            }
            Some(Change::Resumed { after }) => {
                tracing::info!(tenant = %self.link.tenant, after_ms = after.as_millis(), "automation resumed");
                self.link.readiness.restored(&part);
                self.audit_tenant(pass, "automation.resumed", json!({"after_ms": real_millis(after)}));
                self.record_event(pass, AutomationResumed { after_ms: real_millis(after) });
                self.record_halted(pass, None);
            }
        }
    }

    pub(in crate::engine::keeper) fn record_halted(&self, pass: &mut Pass, halted: Option<(UtcMicros, String)>) {
        let (halted_since, reason) = halted.unzip();
        let tenant = self.link.tenant.clone();
        pass.commit.tenant_status.push(TenantStatus { tenant, halted_since, reason });
    }
}
