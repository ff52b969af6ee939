//! Dispatch of transitions: policy first, then one at a time per agent, most urgent first, within the budget.
//!
//! Nothing is sent here. Transitions to send are added to the pass and sent after the commit.

use std::time::Duration;

use serde_json::json;

use crate::domain::agents::roster::AgentIndex;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{
    OnContact, PlatformPlan, PolicyDecision, PolicyFacts, RefusedBy, Violation, decide,
};
use crate::domain::changes::transition::{Actor, TransitionStatus, TransitionStep, WaitReason};
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;
use crate::engine::keeper::agents::tracking::PlanQueryState;
use crate::engine::keeper::arrival::{PlanQueryResult, StateChangeResult};
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;
use crate::engine::platform::calls::{CallKind, HeldSlot, call_row, call_within_budget, record_answer};
use crate::engine::platform::link::BudgetKind;
use crate::platform::CallError;
use crate::platform::breaker::Permission;
use crate::platform::budget::Urgency;

/// The largest number of queries to the platform in flight.
const MAX_PARALLEL_QUERIES: usize = 4;

/// What dispatch decides for one transition.
enum DispatchDecision {
    /// Send it now.
    Send(HeldSlot),
    /// Apply this step instead.
    Step(TransitionStep),
    /// Leave it as it is.
    Unchanged,
}

impl Keeper {
    /// Decides on every unsent transition, most urgent first, and selects those to send.
    pub(in crate::engine::keeper) fn dispatch(&mut self, pass: &mut Pass) {
        let queue: Vec<TransitionId> = self.open_transitions.queue().collect();
        let mut capacity = DispatchCapacity {
            sending: self.open_transitions.sending_count(),
            has_urgent_slots: true,
            has_ordinary_slots: true,
            next_slot_at: None,
        };
        for id in queue {
            match self.decide_transition(pass, id, &mut capacity) {
                DispatchDecision::Unchanged => {}
                DispatchDecision::Step(step) => self.apply_step(pass, id, step),
                DispatchDecision::Send(slot) => {
                    capacity.sending += 1;
                    self.prepare_send(pass, id, slot);
                }
            }
        }
        self.next_slot = capacity.next_slot_at;
    }

    fn decide_transition(
        &mut self,
        pass: &mut Pass,
        id: TransitionId,
        capacity: &mut DispatchCapacity,
    ) -> DispatchDecision {
        let Some(open) = self.open_transitions.get(id) else { return DispatchDecision::Unchanged };
        let transition = &open.transition;
        if transition.deadline < pass.now {
            return DispatchDecision::Step(TransitionStep::Expire);
        }
        if let TransitionStatus::Waiting { why, until } = transition.status {
            let must_wait = until.is_some_and(|until| until > pass.now);
            match why {
                // Nobody should approve a change that would end at once.
                WaitReason::Approval => {
                    return self.cancel_if_moved(id).map_or(DispatchDecision::Unchanged, DispatchDecision::Step);
                }
                WaitReason::Retry if must_wait => return DispatchDecision::Unchanged,
                // The platform is queried at once, and its answer may settle the change before the pause ends. An
                // answer that explains nothing does not shorten the pause.
                WaitReason::Conflict if must_wait && !self.is_forbidden(id, pass.now) => {
                    return DispatchDecision::Unchanged;
                }
                _ => {}
            }
        }
        if self.open_transitions.in_flight(&transition.agent).is_some() {
            return self.hold_if_new(id, WaitReason::InFlight, None);
        }
        let Some(index) = self.roster.find(transition.agent.as_str()) else {
            return DispatchDecision::Step(TransitionStep::Cancel("the agent is no longer in the roster".to_owned()));
        };
        if let Some(decision) = self.decide_by_observation(index, id, pass.now) {
            return decision;
        }
        let transition = &open.transition;
        let settable = self.link.platform.check_settable(&transition.agent, &transition.target, &transition.reason);
        if let Err(failure) = settable {
            return DispatchDecision::Step(TransitionStep::Fail(failure.to_string()));
        }
        match self.policy_decision(index, id, pass.now) {
            PolicyDecision::Allow => self.claim_slot(id, capacity),
            // Nothing says that the agent has no shift, and this platform cannot tell.
            PolicyDecision::AskPlatform if !self.link.platform.capabilities().reports_schedule => {
                self.claim_slot(id, capacity)
            }
            PolicyDecision::AskPlatform => {
                pass.plan_queries.push(index);
                self.hold_if_new(id, WaitReason::PlatformAnswer, None)
            }
            PolicyDecision::HoldForBreak(until) => {
                self.record_violation(pass, id, Violation::MandatoryBreakViolation);
                self.hold_if_new(id, WaitReason::MandatoryBreak, until)
            }
            // The platform has only the agent's next state to replace; the contact goes on.
            PolicyDecision::HoldForContact if self.replaces_pending(id) => self.claim_slot(id, capacity),
            PolicyDecision::HoldForContact => self.hold_if_new(id, WaitReason::Contact, None),
            PolicyDecision::Refuse(violation) => {
                self.record_violation(pass, id, violation);
                self.record_refusal_source(index, id, pass.now);
                DispatchDecision::Step(TransitionStep::Refuse(violation))
            }
            PolicyDecision::SkipOnContact => {
                DispatchDecision::Step(TransitionStep::Cancel("the agent is on a contact".to_owned()))
            }
        }
    }

    /// Decides by the observed state. A rule's change waits for a fresh observation, and is cancelled if the agent has
    /// moved since the rule matched. A person's change to a state that the agent already seemed to be in waits for a
    /// newer snapshot, which shows whether a call is needed.
    fn decide_by_observation(&self, index: AgentIndex, id: TransitionId, now: UtcMicros) -> Option<DispatchDecision> {
        let (slot, open) = (self.roster.get(index)?, self.open_transitions.get(id)?);
        let transition = &open.transition;
        match transition.actor {
            Actor::Person { .. } => {
                return self.target_observed_at(open, now).map(|_| self.hold_if_new(id, WaitReason::Sight, None));
            }
            Actor::Daemon => return None,
            Actor::Rule { .. } => {}
        }
        if slot.last_observed_at().is_none_or(|observed_at| now.since(observed_at) > self.settings.decide.stale_after) {
            return Some(self.hold_if_new(id, WaitReason::Sight, None));
        }
        self.cancel_if_moved(id).map(DispatchDecision::Step)
    }

    /// Returns the step that cancels a rule's change if the agent has moved since the rule matched.
    fn cancel_if_moved(&self, id: TransitionId) -> Option<TransitionStep> {
        let transition = &self.open_transitions.get(id)?.transition;
        let slot = self.roster.agent(transition.agent.as_str())?;
        let (before, observed) = (transition.before.as_ref()?, &slot.observed()?.state);
        let contact_ended = before.is_on_contact() && transition.on_contact == OnContact::After;
        (before != observed && !contact_ended)
            .then(|| TransitionStep::Cancel(format!("the agent went from {before} to {observed} meanwhile")))
    }

    /// Returns whether the agent has a pending change to another state, which this one would replace.
    fn replaces_pending(&self, id: TransitionId) -> bool {
        self.open_transitions.get(id).is_some_and(|newer| {
            self.open_transitions
                .pending(&newer.transition.agent)
                .is_some_and(|pending| pending.transition.target != newer.transition.target)
        })
    }

    /// Returns whether policy, with the platform's answers, forbids the change. What would forbid another change does
    /// not explain a conflict of this one.
    fn is_forbidden(&self, id: TransitionId, now: UtcMicros) -> bool {
        let index = self.open_transitions.get(id).and_then(|open| self.roster.find(open.transition.agent.as_str()));
        index.is_some_and(|index| match self.policy_decision(index, id, now) {
            PolicyDecision::Refuse(_) | PolicyDecision::HoldForBreak(_) => true,
            PolicyDecision::Allow
            | PolicyDecision::AskPlatform
            | PolicyDecision::HoldForContact
            | PolicyDecision::SkipOnContact => false,
        })
    }

    pub(in crate::engine::keeper) fn policy_decision(
        &self,
        index: AgentIndex,
        id: TransitionId,
        now: UtcMicros,
    ) -> PolicyDecision {
        let (Some(slot), Some(open)) = (self.roster.get(index), self.open_transitions.get(id)) else {
            return PolicyDecision::Allow;
        };
        let plan_position = slot.plan_position(now);
        let facts = PolicyFacts {
            planned: plan_position.planned(slot.plan()),
            platform_plan: slot.platform_plan(now),
            state: slot.observed().map(|observed| &observed.state),
        };
        let transition = &open.transition;
        decide(&transition.target, facts, self.settings.policy.unscheduled_forbids, transition.on_contact)
    }

    /// Records whether the refusal rests on the plan or the platform, which may disagree.
    fn record_refusal_source(&mut self, index: AgentIndex, id: TransitionId, now: UtcMicros) {
        let Some(slot) = self.roster.get(index) else { return };
        let by = RefusedBy::for_plan(&slot.plan_position(now).planned(slot.plan()));
        if let Some(facts) =
            self.open_transitions.get_mut(id).and_then(|open| open.transition.explanation.as_object_mut())
        {
            facts.insert(RefusedBy::FIELD.to_owned(), json!(by));
        }
    }

    /// Returns a hold step only if the reason is new.
    fn hold_if_new(&self, id: TransitionId, why: WaitReason, until: Option<UtcMicros>) -> DispatchDecision {
        match self.open_transitions.get(id).map(|open| open.transition.status.wait_reason()) {
            Some(known) if known != Some(why) => DispatchDecision::Step(TransitionStep::Hold { why, until }),
            _ => DispatchDecision::Unchanged,
        }
    }

    /// Claims a slot, subject to the breaker, the limit on calls in flight, the retry allowance and the budget.
    fn claim_slot(&mut self, id: TransitionId, capacity: &mut DispatchCapacity) -> DispatchDecision {
        let Some(open) = self.open_transitions.get(id) else { return DispatchDecision::Unchanged };
        // Ordinary bulk changes are not urgent, so that single changes and urgent sets still find a slot.
        let is_urgent = open.transition.priority.is_urgent() && !open.transition.is_bulk();
        let urgency = if is_urgent { Urgency::Urgent } else { Urgency::Ordinary };
        let is_retry = open.transition.attempts > 0;
        let has_capacity = match urgency {
            Urgency::Poll | Urgency::Urgent => capacity.has_urgent_slots,
            Urgency::Ordinary => capacity.has_ordinary_slots && capacity.has_urgent_slots,
        };
        if !has_capacity || capacity.sending >= max_in_flight(self.settings.budget.parallel_calls, urgency) {
            return self.hold_if_new(id, WaitReason::Budget, None);
        }
        let now = self.link.clock.monotonic();
        match self.breaker.permit(id, now) {
            Permission::Allowed | Permission::Probe => {}
            Permission::Halted { until } => {
                capacity.set_next_slot(until);
                return self.hold_if_new(id, WaitReason::Halted, None);
            }
        }
        let claim = || HeldSlot::try_take(&self.link, BudgetKind::Ordinary, urgency);
        let slot = if is_retry { self.retry_share.try_take_with(now, claim) } else { Some(claim()) };
        let Some(slot) = slot else {
            self.breaker.probe_withdrawn(id);
            capacity.set_next_slot(self.retry_share.next_free(now));
            return self.hold_if_new(id, WaitReason::Retry, None);
        };
        match slot {
            Ok(slot) => {
                self.retry_share.record_call(now);
                DispatchDecision::Send(slot)
            }
            Err(next) => {
                self.breaker.probe_withdrawn(id);
                match urgency {
                    Urgency::Poll | Urgency::Urgent => capacity.has_urgent_slots = false,
                    Urgency::Ordinary => capacity.has_ordinary_slots = false,
                }
                if let Some(at) = next.at {
                    capacity.set_next_slot(at);
                }
                self.hold_if_new(id, WaitReason::Budget, None)
            }
        }
    }

    fn prepare_send(&mut self, pass: &mut Pass, id: TransitionId, slot: HeldSlot) {
        self.apply_step(pass, id, TransitionStep::Send { at: pass.now });
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        open.transition.attempts += 1;
        (open.unconfirmed_snapshots, open.is_in_history) = (0, false);
        let transition = open.transition.clone();
        let index = self.roster.find(transition.agent.as_str());
        let baseline = index.and_then(|index| self.roster.get(index)).and_then(|slot| slot.observed().cloned());
        if let Some(open) = self.open_transitions.get_mut(id) {
            open.baseline = baseline;
        }
        let mut call = call_row(&self.link, CallKind::State, Some(transition.agent.clone()), pass.now);
        (call.transition, call.attempt) = (Some(id), Some(transition.attempts));
        pass.commit.calls.push(call.clone());
        pass.save_row(transition);
        pass.state_changes.push((id, call, slot));
    }

    /// Sends the state POSTs of the pass, after the commit.
    pub(in crate::engine::keeper) fn send_state_changes(&mut self, pass: &mut Pass) {
        for (id, mut call, slot) in std::mem::take(&mut pass.state_changes) {
            let Some(open) = self.open_transitions.get(id) else { continue };
            let (link, transition) = (self.link.clone(), open.transition.clone());
            self.state_change_tasks.spawn(async move {
                let target_and_reason = (&transition.target, &transition.reason);
                let result = link.platform.set_state(&transition.agent, target_and_reason.0, target_and_reason.1).await;
                // Settled here and not in the keeper: the slot's minute begins with the answer.
                slot.settle(&result);
                record_answer(&link, &mut call, link.clock.now(), &result);
                StateChangeResult { id, call, result }
            });
        }
    }

    /// Sends the queries of the pass after the commit, within their share of the budget.
    pub(in crate::engine::keeper) fn send_plan_queries(&mut self, pass: &mut Pass) {
        let now = self.link.clock.monotonic();
        for agent in std::mem::take(&mut pass.plan_queries) {
            let Some(tracking) = self.agent_tracking.get_mut(agent.position()) else { continue };
            let is_allowed = match tracking.plan_query {
                PlanQueryState::Allowed => true,
                PlanQueryState::Running => false,
                PlanQueryState::NotBefore(at) => at <= now,
            };
            if !is_allowed || self.plan_query_tasks.len() >= MAX_PARALLEL_QUERIES {
                continue;
            }
            let Some(slot) = self.roster.get(agent) else { continue };
            let is_ready_requested = self
                .open_transitions
                .waiting(slot.id())
                .is_some_and(|open| open.transition.target == AgentState::Ready);
            if !self.read_share.try_take(now) || (is_ready_requested && !self.read_share.try_take(now)) {
                tracking.plan_query =
                    PlanQueryState::NotBefore(self.read_share.next_free(now).max(now + Duration::from_millis(100)));
                continue;
            }
            tracking.plan_query = PlanQueryState::Running;
            let (link, id) = (self.link.clone(), slot.id().clone());
            self.plan_query_tasks.spawn(async move {
                let scheduled = call_within_budget(
                    &link,
                    CallKind::Schedule,
                    Urgency::Ordinary,
                    Some(&id),
                    link.platform.is_scheduled(&id),
                );
                let scheduled = scheduled.await?.map(|answer| answer.value);
                let break_required = match &scheduled {
                    Ok(true) if is_ready_requested => {
                        let call = link.platform.break_required(&id);
                        let answer =
                            call_within_budget(&link, CallKind::Break, Urgency::Ordinary, Some(&id), call).await?;
                        answer.map(|answer| Some(answer.value))
                    }
                    Ok(_) | Err(_) => Ok(None),
                };
                Ok(PlanQueryResult { agent: id, plan: platform_plan(scheduled, break_required) })
            });
        }
    }
}

fn platform_plan(
    scheduled: Result<bool, CallError>,
    break_required: Result<Option<bool>, CallError>,
) -> Result<PlatformPlan, CallError> {
    Ok(PlatformPlan { scheduled: Some(scheduled?), break_required: break_required? })
}

/// Returns how many POSTs may be in flight. Ordinary ones leave some room, so that urgent ones do not wait behind slow
/// answers.
pub(in crate::engine::keeper) const fn max_in_flight(parallel_calls: usize, urgency: Urgency) -> usize {
    match urgency {
        Urgency::Poll | Urgency::Urgent => parallel_calls,
        Urgency::Ordinary => parallel_calls - parallel_calls / 4,
    }
}

/// What is left to use in one pass.
struct DispatchCapacity {
    sending: usize,
    has_urgent_slots: bool,
    has_ordinary_slots: bool,
    /// When something may become available, in monotonic time.
    next_slot_at: Option<Duration>,
}

impl DispatchCapacity {
    fn set_next_slot(&mut self, at: Duration) {
        self.next_slot_at = Some(self.next_slot_at.map_or(at, |known| known.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_calls_leave_room_for_urgent_ones_and_always_have_some() {
        assert_eq!((max_in_flight(32, Urgency::Ordinary), max_in_flight(32, Urgency::Urgent)), (24, 32));
        assert_eq!(max_in_flight(1, Urgency::Ordinary), 1);
    }
}
