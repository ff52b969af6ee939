//! Lets transitions go: policy first, then one at a time per agent, the most urgent first, within the budget.
//!
//! Nothing leaves here. What may leave is put down in the pass; it leaves after the commit.

use std::time::Duration;

use serde_json::json;

use super::answers::{Answered, Told};
use crate::domain::agents::roster::AgentIndex;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{OnContact, PlatformSays, PolicyFacts, RefusedBy, Ruling, Violation, rule_on};
use crate::domain::changes::transition::{Actor, Status, Step, WaitReason};
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;
use crate::engine::keeper::Keeper;
use crate::engine::keeper::agents::files::Asked;
use crate::engine::keeper::record::Pass;
use crate::engine::platform::calls::{CallKind, HeldSlot, Purse, budgeted, call_row, note_answer};
use crate::platform::CallError;
use crate::platform::breaker::Permission;
use crate::platform::budget::Urgency;

/// Questions to the platform under way at once.
const PARALLEL_QUESTIONS: usize = 4;

/// What dispatch found for one transition.
enum Verdict {
    /// It may leave now.
    Send(HeldSlot),
    /// It takes this step instead.
    Take(Step),
    /// It stays as it is.
    Stay,
}

impl Keeper {
    /// Rules on every transition that has not left, the most urgent first, and lets go what may.
    pub(in crate::engine::keeper) fn dispatch(&mut self, pass: &mut Pass) {
        let line: Vec<TransitionId> = self.book.line().collect();
        let mut room = Room { sending: self.book.sending(), urgent: true, ordinary: true, next: None };
        for id in line {
            match self.rule_on_transition(pass, id, &mut room) {
                Verdict::Stay => {}
                Verdict::Take(step) => self.step(pass, id, step),
                Verdict::Send(slot) => {
                    room.sending += 1;
                    self.let_go(pass, id, slot);
                }
            }
        }
        self.next_slot = room.next;
    }

    fn rule_on_transition(&mut self, pass: &mut Pass, id: TransitionId, room: &mut Room) -> Verdict {
        let Some(open) = self.book.get(id) else { return Verdict::Stay };
        let transition = &open.transition;
        if transition.deadline < pass.now {
            return Verdict::Take(Step::Expire);
        }
        if let Status::Waiting { why, until } = transition.status {
            let must_wait = until.is_some_and(|until| until > pass.now);
            match why {
                // Nobody is asked about what would end at once.
                WaitReason::Approval => return self.moved_on(id).map_or(Verdict::Stay, Verdict::Take),
                WaitReason::Retry if must_wait => return Verdict::Stay,
                // The platform is asked at once; what it says may settle the change before the pause is over. What explains
                // nothing does not shorten the pause.
                WaitReason::Conflict if must_wait && !self.is_forbidden(id, pass.now) => {
                    return Verdict::Stay;
                }
                _ => {}
            }
        }
        if self.book.in_flight(&transition.agent).is_some() {
            return self.hold(id, WaitReason::InFlight, None);
        }
        let Some(index) = self.roster.find(transition.agent.as_str()) else {
            return Verdict::Take(Step::Cancel("the agent is no longer in the roster".to_owned()));
        };
        if let Some(verdict) = self.rule_on_sight(index, id, pass.now) {
            return verdict;
        }
        match self.ruling(index, id, pass.now) {
            Ruling::Allow => self.find_room(id, room),
            Ruling::AskPlatform => {
                pass.asks.push(index);
                self.hold(id, WaitReason::PlatformAnswer, None)
            }
            Ruling::HoldForBreak(until) => {
                self.note_violation(pass, id, Violation::MandatoryBreakViolation);
                self.hold(id, WaitReason::MandatoryBreak, until)
            }
            Ruling::HoldForContact => self.hold(id, WaitReason::Contact, None),
            Ruling::Refuse(violation) => {
                self.note_violation(pass, id, violation);
                self.note_who_refuses(index, id, pass.now);
                Verdict::Take(Step::Refuse(violation))
            }
            Ruling::SkipOnContact => Verdict::Take(Step::Cancel("the agent is on a contact".to_owned())),
        }
    }

    /// A rule acts on what was seen: not on old sight, and not when the agent has moved since the rule looked. What a person
    /// asks for when the agent seemed to be there already waits for a snapshot made since: it settles whether a call is needed.
    fn rule_on_sight(&self, index: AgentIndex, id: TransitionId, now: UtcMicros) -> Option<Verdict> {
        let (slot, open) = (self.roster.get(index)?, self.book.get(id)?);
        let transition = &open.transition;
        match transition.actor {
            Actor::Person { .. } => return self.shown_there(open, now).map(|_| self.hold(id, WaitReason::Sight, None)),
            Actor::Daemon => return None,
            Actor::Rule { .. } => {}
        }
        if slot.seen_at().is_none_or(|seen_at| now.since(seen_at) > self.settings.decide.stale_after) {
            return Some(self.hold(id, WaitReason::Sight, None));
        }
        self.moved_on(id).map(Verdict::Take)
    }

    /// How a rule's change ends where the agent is in another state than when the rule looked.
    fn moved_on(&self, id: TransitionId) -> Option<Step> {
        let transition = &self.book.get(id)?.transition;
        let slot = self.roster.agent(transition.agent.as_str())?;
        let (before, seen) = (transition.before.as_ref()?, &slot.observed()?.state);
        let contact_ended = before.is_on_contact() && transition.on_contact == OnContact::After;
        (before != seen && !contact_ended)
            .then(|| Step::Cancel(format!("the agent went from {before} to {seen} meanwhile")))
    }

    /// Whether policy, which knows the platform's answers by now, says what stands against the change. What they forbid to
    /// another change explains nothing about this one.
    fn is_forbidden(&self, id: TransitionId, now: UtcMicros) -> bool {
        let index = self.book.get(id).and_then(|open| self.roster.find(open.transition.agent.as_str()));
        index.is_some_and(|index| match self.ruling(index, id, now) {
            Ruling::Refuse(_) | Ruling::HoldForBreak(_) => true,
            Ruling::Allow | Ruling::AskPlatform | Ruling::HoldForContact | Ruling::SkipOnContact => false,
        })
    }

    pub(in crate::engine::keeper) fn ruling(&self, index: AgentIndex, id: TransitionId, now: UtcMicros) -> Ruling {
        let (Some(slot), Some(open)) = (self.roster.get(index), self.book.get(id)) else { return Ruling::Allow };
        let standing = slot.standing(now);
        let facts = PolicyFacts {
            planned: standing.planned(slot.plan()),
            platform: slot.platform(now),
            state: slot.observed().map(|observed| &observed.state),
        };
        let transition = &open.transition;
        rule_on(&transition.target, facts, self.settings.policy.unscheduled_forbids, transition.on_contact)
    }

    /// The row says whose word the refusal rests on: the platform may see no shift where the plan has one.
    fn note_who_refuses(&mut self, index: AgentIndex, id: TransitionId, now: UtcMicros) {
        let Some(slot) = self.roster.get(index) else { return };
        let by = RefusedBy::of(&slot.standing(now).planned(slot.plan()));
        if let Some(facts) = self.book.get_mut(id).and_then(|open| open.transition.explanation.as_object_mut()) {
            facts.insert(RefusedBy::FIELD.to_owned(), json!(by));
        }
    }

    /// A hold is a step only where it says something new.
    fn hold(&self, id: TransitionId, why: WaitReason, until: Option<UtcMicros>) -> Verdict {
        match self.book.get(id).map(|open| open.transition.status.waits_for()) {
            Some(known) if known != Some(why) => Verdict::Take(Step::Hold { why, until }),
            _ => Verdict::Stay,
        }
    }

    /// Breaker, parallel calls, retry allowance, budget.
    fn find_room(&mut self, id: TransitionId, room: &mut Room) -> Verdict {
        let Some(open) = self.book.get(id) else { return Verdict::Stay };
        // Of many at once none is urgent: single changes and urgent sets find a slot all the same.
        let urgent = open.transition.priority.is_urgent() && !open.transition.is_bulk();
        let urgency = if urgent { Urgency::Urgent } else { Urgency::Ordinary };
        let retry = open.transition.attempts > 0;
        let has_room = match urgency {
            Urgency::Urgent => room.urgent,
            Urgency::Ordinary => room.ordinary && room.urgent,
        };
        if !has_room || room.sending >= most_under_way(self.settings.budget.parallel_calls, urgency) {
            return self.hold(id, WaitReason::Budget, None);
        }
        let now = self.link.clock.monotonic();
        match self.breaker.permit(id, now) {
            Permission::Go | Permission::Probe => {}
            Permission::Halted { until } => {
                room.wake_at(until);
                return self.hold(id, WaitReason::Halted, None);
            }
        }
        let take = || HeldSlot::try_take(&self.link, Purse::Ordinary, urgency);
        let slot = if retry { self.retries.take_with(now, take) } else { Some(take()) };
        let Some(slot) = slot else {
            self.breaker.withdrawn(id);
            room.wake_at(self.retries.next_free(now));
            return self.hold(id, WaitReason::Retry, None);
        };
        match slot {
            Ok(slot) => {
                self.retries.note_call(now);
                Verdict::Send(slot)
            }
            Err(next) => {
                self.breaker.withdrawn(id);
                match urgency {
                    Urgency::Urgent => room.urgent = false,
                    Urgency::Ordinary => room.ordinary = false,
                }
                if let Some(at) = next.at {
                    room.wake_at(at);
                }
                self.hold(id, WaitReason::Budget, None)
            }
        }
    }

    fn let_go(&mut self, pass: &mut Pass, id: TransitionId, slot: HeldSlot) {
        self.step(pass, id, Step::Send { at: pass.now });
        let Some(open) = self.book.get_mut(id) else { return };
        open.transition.attempts += 1;
        (open.unshown, open.shown) = (0, false);
        let transition = open.transition.clone();
        let index = self.roster.find(transition.agent.as_str());
        let baseline = index.and_then(|index| self.roster.get(index)).and_then(|slot| slot.observed().cloned());
        if let Some(open) = self.book.get_mut(id) {
            open.baseline = baseline;
        }
        let mut call = call_row(&self.link, CallKind::State, Some(transition.agent.clone()), pass.now);
        (call.transition, call.attempt) = (Some(id), Some(transition.attempts));
        pass.commit.calls.push(call.clone());
        pass.keep_row(transition);
        pass.sends.push((id, call, slot));
    }

    /// After the commit: the POSTs of the pass leave.
    pub(in crate::engine::keeper) fn send(&mut self, pass: &mut Pass) {
        for (id, mut call, slot) in std::mem::take(&mut pass.sends) {
            let Some(open) = self.book.get(id) else { continue };
            let (link, transition) = (self.link.clone(), open.transition.clone());
            self.sends.spawn(async move {
                let wanted = (&transition.target, &transition.reason);
                let result = link.platform.set_state(&transition.agent, wanted.0, wanted.1).await;
                // Now, and not when the keeper comes to it: the slot's minute begins with the answer.
                slot.settle(&result);
                note_answer(&link, &mut call, link.clock.now(), &result);
                Answered { id, call, result }
            });
        }
    }

    /// After the commit: the questions of the pass leave, as far as their share of the budget allows.
    pub(in crate::engine::keeper) fn ask(&mut self, pass: &mut Pass) {
        let now = self.link.clock.monotonic();
        for agent in std::mem::take(&mut pass.asks) {
            let Some(file) = self.files.get_mut(agent.position()) else { continue };
            let may = match file.asked {
                Asked::Never => true,
                Asked::UnderWay => false,
                Asked::NotBefore(at) => at <= now,
            };
            if !may || self.questions.len() >= PARALLEL_QUESTIONS {
                continue;
            }
            let Some(slot) = self.roster.get(agent) else { continue };
            let wants_ready =
                self.book.waiting(slot.id()).is_some_and(|open| open.transition.target == AgentState::Ready);
            if !self.reads.try_take(now) || (wants_ready && !self.reads.try_take(now)) {
                file.asked = Asked::NotBefore(self.reads.next_free(now).max(now + Duration::from_millis(100)));
                continue;
            }
            file.asked = Asked::UnderWay;
            let (link, id) = (self.link.clone(), slot.id().clone());
            self.questions.spawn(async move {
                let scheduled =
                    budgeted(&link, CallKind::Schedule, Urgency::Ordinary, Some(&id), link.platform.is_scheduled(&id));
                let scheduled = scheduled.await?.map(|answer| answer.value);
                let break_required = match &scheduled {
                    Ok(true) if wants_ready => {
                        let call = link.platform.break_required(&id);
                        let answer = budgeted(&link, CallKind::Break, Urgency::Ordinary, Some(&id), call).await?;
                        answer.map(|answer| Some(answer.value))
                    }
                    Ok(_) | Err(_) => Ok(None),
                };
                Ok(Told { agent: id, says: said(scheduled, break_required) })
            });
        }
    }
}

fn said(
    scheduled: Result<bool, CallError>,
    break_required: Result<Option<bool>, CallError>,
) -> Result<PlatformSays, CallError> {
    Ok(PlatformSays { scheduled: Some(scheduled?), break_required: break_required? })
}

/// How many POSTs may be under way at once: ordinary ones leave some room, so that an urgent one does not wait behind answers
/// that are slow to come.
pub(in crate::engine::keeper) const fn most_under_way(parallel_calls: usize, urgency: Urgency) -> usize {
    match urgency {
        Urgency::Urgent => parallel_calls,
        Urgency::Ordinary => parallel_calls - parallel_calls / 4,
    }
}

/// What is left to give in one pass.
struct Room {
    sending: usize,
    urgent: bool,
    ordinary: bool,
    /// When something may come free, in monotonic time.
    next: Option<Duration>,
}

impl Room {
    fn wake_at(&mut self, at: Duration) {
        self.next = Some(self.next.map_or(at, |known| known.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_calls_leave_room_for_urgent_ones_and_always_have_some() {
        assert_eq!((most_under_way(32, Urgency::Ordinary), most_under_way(32, Urgency::Urgent)), (24, 32));
        assert_eq!(most_under_way(1, Urgency::Ordinary), 1);
    }
}
