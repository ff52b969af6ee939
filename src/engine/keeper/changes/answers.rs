//! Takes answers in: what a state POST's answer means for its transition, and what the platform says of an agent when asked.

use std::time::Duration;

use serde_json::json;

use crate::domain::agents::agent::{Observed, Source};
use crate::domain::agents::roster::{AgentIndex, AgentSlot, PlatformAnswers};
use crate::domain::changes::policy::{PlatformSays, Violation};
use crate::domain::changes::transition::{Actor, Status, Step, Transition, WaitReason};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AutomationHalted, AutomationResumed};
use crate::engine::keeper::agents::files::Asked;
use crate::engine::keeper::record::Pass;
use crate::engine::keeper::{AutomaticChange, Keeper};
use crate::engine::platform::calls::real_millis;
use crate::platform::breaker::Change;
use crate::platform::{Answer, CallError, Effect, Failure};
use crate::store::{CallWrite, HistoryWrite, TenantStatus};

/// A conflict whose reason the platform's answers do not show is tried again after this; the pause doubles with each one.
const CONFLICT_PAUSE: Duration = Duration::from_secs(60);

/// The longest such pause: as long as the platform's answers are kept by default.
const LONGEST_CONFLICT_PAUSE: Duration = Duration::from_secs(15 * 60);

/// The platform is asked again after this where it refused the question itself: credentials, a right.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// A state POST that came to its end.
#[derive(Debug)]
pub(in crate::engine::keeper) struct Answered {
    pub id: TransitionId,
    pub call: CallWrite,
    pub result: Result<Answer<()>, CallError>,
}

/// What asking the platform about an agent gave.
#[derive(Debug)]
pub(in crate::engine::keeper) struct Told {
    pub agent: AgentId,
    pub says: Result<PlatformSays, CallError>,
}

impl Keeper {
    /// Takes the answer of a state POST in.
    pub(in crate::engine::keeper) fn take_answer(&mut self, pass: &mut Pass, answered: Answered) {
        let Answered { id, call, result } = answered;
        let answered_at = self.link.clock.now();
        let call_sent_at = call.sent_at;
        pass.commit.calls.push(call);
        let Some(open) = self.book.get_mut(id) else { return };
        if let Ok(answer) = &result {
            open.transition.latency_ms = Some(real_millis(answer.latency));
        }
        // The call's own instant is by the clock as it was then, and it may have been set since.
        let sent_at = match open.transition.status {
            Status::Sending { since } => since,
            _ => call_sent_at,
        };
        let took = answered_at.since(sent_at);
        self.answer_in = Some(self.answer_in.map_or(took, |known| (known * 7 + took) / 8));
        // A probe is sent for everyone: its failure does not bring its own change nearer to its end.
        open.unsent += u32::from(result.is_err() && self.breaker.is_probe(id));
        let agent = open.transition.agent.clone();
        let now = self.link.clock.monotonic();
        match result {
            Ok(answer) => {
                self.link.learn_offset(&answer);
                let change = self.breaker.succeeded(now);
                self.breaker_changed(pass, change);
                self.accepted(pass, id, sent_at, answered_at);
            }
            Err(error) => {
                tracing::warn!(tenant = %self.link.tenant, transition = %id, agent = %agent, error = %error,
                    class = error.failure.class(), "state change not accepted");
                if let Some(trouble) = error.trouble() {
                    let change = self.breaker.failed(&agent, id, trouble, now);
                    self.breaker_changed(pass, change);
                } else if !error.failure.was_sent() {
                    self.breaker.withdrawn(id);
                } else {
                    let change = self.breaker.succeeded(now);
                    self.breaker_changed(pass, change);
                }
                self.not_accepted(pass, id, &error);
            }
        }
    }

    /// The platform accepted: history knows the change from now on, as an estimate that the next snapshot settles.
    fn accepted(&mut self, pass: &mut Pass, id: TransitionId, sent_at: UtcMicros, at: UtcMicros) {
        self.step(pass, id, Step::Accept { at });
        let Some((transition, shown)) = self.book.get_mut(id).map(|open| {
            open.failures = 0;
            (open.transition.clone(), open.shown)
        }) else {
            return;
        };
        self.overtake_accepted(pass, &transition);
        let Some(index) = self.roster.find(transition.agent.as_str()) else { return };
        self.remember_automatic(&transition, at);
        let Some(slot) = self.roster.get(index) else { return };
        let (known, seen_at) = (slot.observed().cloned(), slot.seen_at());
        // A snapshot may have been quicker than the answer, and the agent may have moved on since.
        if shown {
            return;
        }
        if let Some(known) = known.as_ref().filter(|known| known.state == transition.target) {
            let wanted_alone = transition.is_of_reason_alone() && transition.is_wanted_even_if_in_state();
            let of_reason_alone = wanted_alone && known.entered_at < sent_at;
            if of_reason_alone && known.reason.as_ref() != Some(&transition.reason) {
                self.give_reason(pass, index, known, &transition, at);
            } else {
                self.claim_row(pass, index, known, &transition, sent_at);
            }
            return;
        }
        self.set_shown(id);
        let now = Observed {
            state: transition.target.clone(),
            reason: Some(transition.reason.clone()),
            queue: known.as_ref().and_then(|known| known.queue.clone()),
            entered_at: at,
            platform_at: None,
            row_at: at,
            source: Source::Post,
            transition: Some(id),
            by_person: transition.actor.is_person(),
        };
        let now = now.following(known.as_ref());
        let file = &mut self.files[index.position()];
        (file.before_estimate, file.told_by_feed) = (known, false);
        // An answer is no sight: how fresh the picture is stays as it was.
        self.record_change(pass, index, now, seen_at.unwrap_or(UtcMicros::EPOCH), transition.latency_ms);
    }

    /// The agent was in the wanted state when it was asked for, so that the reason is all that changes: the stay goes on since when it
    /// began, and history has the reason from the acceptance on. A platform that begins a stay anew with a reason says so in its next
    /// snapshot, as of any estimate.
    fn give_reason(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        known: &Observed,
        transition: &Transition,
        at: UtcMicros,
    ) {
        self.set_shown(transition.id);
        let now = Observed {
            reason: Some(transition.reason.clone()),
            platform_at: None,
            row_at: at.max(known.row_at.offset(1)),
            source: Source::Post,
            transition: Some(transition.id),
            by_person: transition.actor.is_person(),
            ..known.clone()
        };
        self.files[index.position()].before_estimate = Some(known.clone());
        let seen_at = self.roster.get(index).and_then(AgentSlot::seen_at).unwrap_or(UtcMicros::EPOCH);
        self.record_change(pass, index, now, seen_at, transition.latency_ms);
    }

    /// The agent is in the wanted state by the picture already. A row that began since the send is this change's. An older one is
    /// the agent's own doing; where the agent had left that state unseen, the next snapshot brings the change's row.
    fn claim_row(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        known: &Observed,
        transition: &Transition,
        sent_at: UtcMicros,
    ) {
        if known.transition.is_some() || known.entered_at < sent_at {
            return;
        }
        let (reason, seen_at) = (Some(transition.reason.clone()), self.roster.get(index).and_then(AgentSlot::seen_at));
        let by_person = transition.actor.is_person();
        let now = Observed { reason, transition: Some(transition.id), by_person, ..known.clone() };
        pass.commit.history.push(HistoryWrite::Enter(self.history_row(&transition.agent, &now)));
        self.roster.observe(index, now, seen_at.unwrap_or(UtcMicros::EPOCH));
        self.set_shown(transition.id);
    }

    /// History has the row of a change from now on.
    pub(in crate::engine::keeper) fn set_shown(&mut self, id: TransitionId) {
        if let Some(open) = self.book.get_mut(id) {
            open.shown = true;
        }
    }

    /// A change that was accepted before and that no snapshot has shown will not be shown any more.
    fn overtake_accepted(&mut self, pass: &mut Pass, newer: &Transition) {
        let overtaken: Vec<TransitionId> = self
            .book
            .of_agent(&newer.agent)
            .filter(|open| open.transition.id != newer.id && open.transition.status.name() == "accepted")
            .map(|open| open.transition.id)
            .collect();
        for id in overtaken {
            self.step(pass, id, Step::GiveUp { at: pass.now });
        }
    }

    fn remember_automatic(&mut self, transition: &Transition, at: UtcMicros) {
        match &transition.actor {
            Actor::Rule { id: rule, .. } => {
                let change = AutomaticChange { transition: transition.id, rule: rule.clone(), set_at: at };
                self.automatic.insert(transition.agent.clone(), change);
            }
            Actor::Person { .. } | Actor::Daemon => {
                self.automatic.remove(&transition.agent);
            }
        }
    }

    fn not_accepted(&mut self, pass: &mut Pass, id: TransitionId, error: &CallError) {
        let Some(open) = self.book.get_mut(id) else { return };
        if error.effect() == Effect::Unknown {
            open.failures += 1;
            // It left not after the failure; and where the clock was set forward or the host slept meanwhile, the time limit
            // alone is over too soon: it counts from the failure then.
            let asked_at = error.asked_at.unwrap_or(pass.now).min(pass.now);
            let readable_after = self.readable_after(asked_at).max(pass.now + self.settings.sight.interval);
            self.step(pass, id, Step::Doubt { readable_after });
            return;
        }
        match &error.failure {
            Failure::Conflict { code } => self.conflicted(pass, id, code.as_deref()),
            Failure::DryRun => self.step(pass, id, Step::Cancel("dry run".to_owned())),
            Failure::Forbidden { .. } | Failure::NotFound | Failure::Rejected { .. } | Failure::Unsupported { .. } => {
                self.step(pass, id, Step::Fail(error.to_string()));
            }
            Failure::CircuitOpen { until } => {
                let until = Some(*until);
                self.step(pass, id, Step::NotApplied { why: WaitReason::Retry, until });
            }
            Failure::NotSent { .. }
            | Failure::Throttled { .. }
            | Failure::Unauthorized
            | Failure::TokenRefused { .. }
            | Failure::TokenUnavailable { .. }
            | Failure::Server { .. }
            | Failure::Timeout
            | Failure::Broken { .. }
            | Failure::Nonsense { .. }
            | Failure::TooLarge { .. } => self.try_later(pass, id, error),
        }
    }

    fn try_later(&mut self, pass: &mut Pass, id: TransitionId, error: &CallError) {
        let Some(open) = self.book.get_mut(id) else { return };
        open.failures += 1;
        let failures = open.failures;
        if !error.failure.was_sent() {
            open.unsent += 1;
        } else if open.has_spent(self.settings.retry.attempts) {
            let text = format!("given up after {} attempts: {error}", open.transition.attempts);
            self.step(pass, id, Step::Fail(text));
            return;
        }
        // A token that was refused once is new at the next try; that one need not wait.
        let first_refusal = matches!(error.failure, Failure::Unauthorized) && failures == 1;
        let delay =
            if first_refusal { Duration::ZERO } else { self.retry_delay(failures, error.failure.retry_after()) };
        let until = Some(pass.now + delay);
        self.step(pass, id, Step::NotApplied { why: WaitReason::Retry, until });
    }

    pub(in crate::engine::keeper) fn retry_delay(&self, failures: u32, floor: Option<Duration>) -> Duration {
        self.settings.retry.curve.delay(failures.max(1), floor, &*self.link.random)
    }

    /// 409: the change is held, and the platform is asked what stands against it.
    fn conflicted(&mut self, pass: &mut Pass, id: TransitionId, code: Option<&str>) {
        let violation = code.and_then(Violation::from_code).unwrap_or(Violation::PlatformConflict);
        self.note_violation(pass, id, violation);
        let Some(open) = self.book.get_mut(id) else { return };
        let pause = CONFLICT_PAUSE.saturating_mul(2_u32.saturating_pow(open.failures)).min(LONGEST_CONFLICT_PAUSE);
        open.failures = open.failures.saturating_add(1);
        let until = Some(pass.now + pause);
        self.step(pass, id, Step::NotApplied { why: WaitReason::Conflict, until });
        let agent = self.book.get(id).map(|open| open.transition.agent.clone());
        if let Some(index) = agent.and_then(|agent| self.roster.find(agent.as_str())) {
            self.roster.set_platform(index, None);
            self.files[index.position()].asked = Asked::Never;
            pass.asks.push(index);
        }
    }

    /// Takes what the platform says of an agent in; the next dispatch rules on it.
    pub(in crate::engine::keeper) fn take_told(&mut self, pass: &mut Pass, told: Told) {
        let now = self.link.clock.monotonic();
        let Told { agent, says } = told;
        let Some(index) = self.roster.find(agent.as_str()) else { return };
        let Some(slot) = self.roster.get(index) else { return };
        match says {
            Ok(says) => {
                let edge = slot.plan().next_edge(pass.now).unwrap_or(UtcMicros::MAX);
                let good_until = edge.min(pass.now + self.settings.policy.answers_kept);
                self.report_disagreement(pass, index, says);
                self.roster.set_platform(index, Some(PlatformAnswers { says, good_until }));
                self.files[index.position()].asked = Asked::Never;
            }
            // Nobody knows yet what the platform says: the change waits for it, until its deadline at most.
            Err(error) if error.is_retryable_read() => {
                tracing::warn!(tenant = %self.link.tenant, agent = %agent, error = %error, "could not ask the platform");
                let floor = match &error.failure {
                    Failure::CircuitOpen { until } => Some(until.since(pass.now)),
                    // A person has to mend it, and a reload or restart asks at once.
                    Failure::TokenRefused { .. } | Failure::Forbidden { .. } | Failure::TooLarge { .. } => {
                        Some(REFUSED_PAUSE)
                    }
                    failure => failure.retry_after(),
                };
                let pause = self.retry_delay(1, floor).max(Duration::from_secs(1));
                self.files[index.position()].asked = Asked::NotBefore(now + pause);
            }
            Err(error) => {
                self.files[index.position()].asked = Asked::Never;
                let waiting = self
                    .book
                    .waiting(&agent)
                    .filter(|open| open.transition.status.waits_for() == Some(WaitReason::PlatformAnswer));
                if let Some(id) = waiting.map(|open| open.transition.id) {
                    self.step(pass, id, Step::Fail(format!("no plan speaks for now, and {error}")));
                }
            }
        }
    }

    /// The plan and the platform may disagree; that is reported, not guessed away.
    fn report_disagreement(&mut self, pass: &mut Pass, index: AgentIndex, says: PlatformSays) {
        use crate::domain::schedules::schedule::Planned;
        let Some(slot) = self.roster.get(index) else { return };
        let standing = slot.standing(pass.now);
        let ours = match standing.planned(slot.plan()) {
            Planned::NotCovered => return,
            Planned::Off => (false, false),
            Planned::In(segment) => (true, segment.mandatory),
        };
        let scheduled = says.scheduled.filter(|said| *said != ours.0);
        let break_required = says.break_required.filter(|said| *said != ours.1);
        if scheduled.is_none() && break_required.is_none() {
            return;
        }
        tracing::warn!(tenant = %self.link.tenant, agent = %slot.id(), plan_scheduled = ours.0, plan_break = ours.1,
            ?scheduled, ?break_required, "the imported plan and the platform disagree");
        let facts = json!({
            "plan": {"scheduled": ours.0, "break_required": ours.1},
            "platform": {"scheduled": says.scheduled, "break_required": says.break_required},
        });
        self.audit_agent(pass, index, &Actor::Daemon, "schedule.disagreement", facts);
    }

    /// Automation halted or resumed: people are told, and the row of the tenant says so.
    fn breaker_changed(&mut self, pass: &mut Pass, change: Option<Change>) {
        let part = self.link.part("automation");
        match change {
            None => {}
            Some(Change::Opened { agents }) => {
                let reason = format!("state changes keep failing for {} agents", agents.len());
                tracing::error!(tenant = %self.link.tenant, ?agents, "automation halted: {reason}");
                self.link.readiness.degraded(&part, format!("halted: {reason}; probes will resume it"));
                self.audit_tenant(pass, "automation.halted", json!({"failing_agents": agents.len()}));
                self.tell(pass, AutomationHalted { reason: reason.clone(), user_ids: agents });
                self.set_halted(pass, Some((pass.now, reason)));
            }
            Some(Change::Resumed { after }) => {
                tracing::info!(tenant = %self.link.tenant, after_ms = after.as_millis(), "automation resumed");
                self.link.readiness.restored(&part);
                self.audit_tenant(pass, "automation.resumed", json!({"after_ms": real_millis(after)}));
                self.tell(pass, AutomationResumed { after_ms: real_millis(after) });
                self.set_halted(pass, None);
            }
        }
    }

    pub(in crate::engine::keeper) fn set_halted(&self, pass: &mut Pass, halted: Option<(UtcMicros, String)>) {
        let (halted_since, reason) = halted.unzip();
        let tenant = self.link.tenant.clone();
        pass.commit.tenant_status.push(TenantStatus { tenant, halted_since, reason });
    }
}
