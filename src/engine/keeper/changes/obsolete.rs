//! Ends transitions that are obsolete before the next dispatch: those of rules that no longer request them, changes to a
//! state that the agent is already in, and all transitions of agents that leave the roster.
//!
//! Unsent transitions are cancelled. A pending one is withdrawn by a change to its opposite. Those in flight are settled
//! by answers and snapshots.

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::open_transitions::OpenTransition;
use super::requests::TransitionRequest;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{OnContact, PolicyDecision};
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus, TransitionStep, WaitReason};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::{CompiledRule, RuleSet};
use crate::domain::schedules::schedule::{Activity, PlanAt};
use crate::domain::time::UtcMicros;
use crate::engine::keeper::agents::tracking::PlanQueryState;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;

impl Keeper {
    /// Checks all unsent transitions.
    pub(in crate::engine::keeper) fn end_obsolete_transitions(&mut self, pass: &mut Pass) {
        let queue: Vec<TransitionId> = self.open_transitions.queue().collect();
        let rules = self.settings.rules.clone();
        for id in queue {
            if let Some(step) =
                self.open_transitions.get(id).and_then(|open| self.obsolete_step(open, &rules, pass.now))
            {
                self.apply_step(pass, id, step);
            }
        }
        let pending = self.open_transitions.iter().filter_map(|open| {
            let TransitionStatus::Pending { .. } = open.transition.status else { return None };
            Some((open.transition.id, self.pending_obsolete_reason(open, &rules, pass.now)?))
        });
        for (id, reason) in pending.collect::<Vec<_>>() {
            self.withdraw_pending(pass, id, Actor::Daemon, &reason);
        }
    }

    /// Returns why a rule's pending change has become wrong; `None` if it has not.
    fn pending_obsolete_reason(&self, open: &OpenTransition, rules: &RuleSet, now: UtcMicros) -> Option<String> {
        let transition = &open.transition;
        let Actor::Rule { id, .. } = &transition.actor else { return None };
        if self.finishing.contains(&transition.agent) {
            return None;
        }
        if let Some(TransitionStep::Cancel(reason)) = self.obsolete_step(open, rules, now) {
            return Some(reason);
        }
        let rule = rules.rules().iter().find(|rule| rule.id == *id)?;
        let slot = self.roster.agent(transition.agent.as_str()).filter(|_| rule.depends_on_plan)?;
        let activity_at = |at| match slot.plan_position(at).planned(slot.plan()) {
            PlanAt::In(segment) => Some(segment.activity.clone()),
            PlanAt::Off | PlanAt::NotCovered => None,
        };
        let (before, after) = (activity_at(transition.requested_at), activity_at(now));
        has_plan_moved_on(before.as_ref(), after.as_ref())
            .then(|| "the plan has moved on to another activity".to_owned())
    }

    /// Withdraws a pending change by requesting the state that follows a contact by itself. Returns whether there is
    /// something to withdraw.
    pub(in crate::engine::keeper) fn withdraw_pending(
        &mut self,
        pass: &mut Pass,
        id: TransitionId,
        actor: Actor,
        why: &str,
    ) -> bool {
        let Some(open) = self.open_transitions.get(id) else { return false };
        let (pending, opposite) = (&open.transition, AgentState::Ready);
        // The daemon tries once; a person may try again after a withdrawal that failed.
        let withdrawal = pending.explanation.get(Transition::WITHDRAWN_BY);
        let is_open =
            |id: &Value| TransitionId::deserialize(id).is_ok_and(|id| self.open_transitions.get(id).is_some());
        let is_withdrawn = withdrawal.is_some_and(|id| !actor.is_person() || is_open(id));
        let Some(index) = self.roster.find(pending.agent.as_str()) else { return false };
        if pending.target == opposite || is_withdrawn || self.check_settable(&opposite).is_err() {
            return false;
        }
        let request = TransitionRequest {
            reason: opposite.default_reason(),
            target: opposite,
            priority: pending.priority,
            actor,
            note: None,
            on_contact: OnContact::Now,
            deadline: pass.now + self.settings.policy.deadline,
            explanation: json!({ Transition::WITHDRAWS: id, "because": why }),
            change_set: None,
        };
        let withdrawal = self.open_transition(pass, index, request);
        let note = |mut pending: Transition| {
            if !pending.explanation.is_object() {
                pending.explanation = json!({});
            }
            pending.explanation[Transition::WITHDRAWN_BY] = json!(withdrawal);
            pending
        };
        if let Some(row) = self.open_transitions.replace(id, note) {
            pass.save_row(row);
        }
        true
    }

    fn obsolete_step(&self, open: &OpenTransition, rules: &RuleSet, now: UtcMicros) -> Option<TransitionStep> {
        if self.finishing.contains(&open.transition.agent) {
            return Some(TransitionStep::Cancel("the agent is no longer in the roster".to_owned()));
        }
        match &open.transition.actor {
            Actor::Rule { id, version } => {
                let rule = rules.rules().iter().find(|rule| rule.id == *id);
                if let Some(withdrawal) = withdrawal_reason(rule, version, &open.transition) {
                    return Some(TransitionStep::Cancel(format!("the rule {withdrawal}")));
                }
                let has_exception = rule.is_some_and(|rule| rule.depends_on_plan)
                    && self
                        .roster
                        .agent(open.transition.agent.as_str())
                        .is_some_and(|slot| slot.exception(now).is_some());
                has_exception.then(|| TransitionStep::Cancel("the agent has an approved exception".to_owned()))
            }
            // A rule that finds the agent in the target state requests nothing.
            Actor::Person { .. } => {
                let reached_at = self.target_observed_at(open, now).filter(|at| *at >= open.transition.requested_at);
                reached_at.map(|at| TransitionStep::Confirm { at })
            }
            Actor::Daemon => None,
        }
    }

    /// Returns when a fresh snapshot was generated that shows the agent in the target state. Snapshots show no reason
    /// codes, so they settle no change of the reason alone. Returns `None` if policy must decide, or while another
    /// change of the agent is in flight, since the shown state is about to change.
    pub(in crate::engine::keeper) fn target_observed_at(
        &self,
        open: &OpenTransition,
        now: UtcMicros,
    ) -> Option<UtcMicros> {
        let transition = &open.transition;
        let index = self.roster.find(transition.agent.as_str())?;
        let observed = self.roster.get(index)?.observed()?;
        let row = self.agent_tracking.get(index.position())?.latest_row.as_ref()?;
        let is_fresh = now.since(row.generated_at) <= self.settings.decide.stale_after;
        let is_in_target = observed.state == transition.target && row.state == transition.target;
        let is_alone = self
            .open_transitions
            .of_agent(&transition.agent)
            .all(|other| other.transition.id == transition.id || other.transition.status.is_unsent());
        let is_unhindered = match self.policy_decision(index, transition.id, now) {
            PolicyDecision::Allow | PolicyDecision::AskPlatform => true,
            PolicyDecision::HoldForBreak(_)
            | PolicyDecision::HoldForContact
            | PolicyDecision::Refuse(_)
            | PolicyDecision::SkipOnContact => false,
        };
        (is_fresh && is_in_target && !transition.is_forced() && is_alone && is_unhindered).then_some(row.generated_at)
    }

    /// Gives up the transitions of leaving agents that no snapshot will settle; agents with nothing left leave with
    /// this commit.
    pub(in crate::engine::keeper) fn release_finishing_agents(&mut self, pass: &mut Pass) {
        for agent in self.finishing.clone() {
            let unconfirmed: Vec<TransitionId> = self
                .open_transitions
                .of_agent(&agent)
                .filter(|open| {
                    matches!(
                        open.transition.status,
                        TransitionStatus::Accepted { .. }
                            | TransitionStatus::Pending { .. }
                            | TransitionStatus::InDoubt { .. }
                    )
                })
                .map(|open| open.transition.id)
                .collect();
            for id in unconfirmed {
                self.apply_step(pass, id, TransitionStep::GiveUp { at: pass.now });
            }
            let Some(index) = self.roster.find(agent.as_str()) else { continue };
            // The answer to a query is still to be written to the call log.
            let is_queried = self.agent_tracking[index.position()].plan_query == PlanQueryState::Running;
            if !is_queried && self.open_transitions.of_agent(&agent).next().is_none() {
                if self.roster.get(index).is_some_and(|slot| slot.observed().is_some()) {
                    self.mark_unobserved(pass, index, AgentState::off_roster(), pass.now);
                }
                self.audit_agent(pass, index, &Actor::Daemon, "agent.left_roster", serde_json::Value::Null);
                pass.finished_agents.push(agent);
            }
        }
    }

    /// Removes the finished agents after the commit. The last agent of the roster takes each free position.
    pub(in crate::engine::keeper) fn remove_finished_agents(&mut self, pass: &Pass) {
        for agent in &pass.finished_agents {
            self.remove_agent(agent, pass.now);
        }
    }

    fn remove_agent(&mut self, agent: &AgentId, now: UtcMicros) {
        if let Some(index) = self.roster.find(agent.as_str()) {
            self.roster.remove(agent.as_str());
            self.agent_tracking.swap_remove(index.position());
            self.publish_agent_left(agent, index, now);
        }
        self.automatic_changes.remove(agent);
        self.finishing.remove(agent);
        self.held_feed.remove(agent);
    }
}

/// Returns whether what was planned at the request of a change is over. A change that was requested during work may have
/// been requested ahead of the activity that it is for.
fn has_plan_moved_on(before: Option<&Activity>, after: Option<&Activity>) -> bool {
    before.is_some_and(|activity| *activity != Activity::Work) && before != after
}

/// Returns why the current version of a rule no longer supports a change requested by an older version; `None` if it
/// does.
fn withdrawal_reason(rule: Option<&CompiledRule>, version: &str, transition: &Transition) -> Option<&'static str> {
    let Some(rule) = rule else { return Some("no longer exists") };
    if *rule.version == *version {
        return None;
    }
    let awaits_approval = transition.status.wait_reason() == Some(WaitReason::Approval);
    match rule.mode {
        Mode::Watch => Some("only watches now"),
        Mode::Approve if !awaits_approval => Some("asks a person first now"),
        Mode::Enforce if awaits_approval => Some("acts by itself now"),
        Mode::Approve | Mode::Enforce => {
            let target = rule.action.target().map(|(state, _)| state);
            (target != Some(&transition.target)).then_some("wants something else now")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::changes::policy::OnContact;
    use crate::domain::changes::priority::Priority;
    use crate::domain::rules::rule::check::Capabilities;
    use crate::domain::rules::rule::parse::parse_rules;

    fn transition(status: TransitionStatus) -> Transition {
        Transition {
            id: TransitionId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            agent: "u_1".into(),
            target: AgentState::Ready,
            reason: AgentState::Ready.default_reason(),
            priority: Priority::Schedule,
            actor: Actor::Daemon,
            note: None,
            on_contact: OnContact::After,
            requested_at: UtcMicros::EPOCH,
            deadline: UtcMicros::MAX,
            before: None,
            explanation: serde_json::Value::Null,
            attempts: 0,
            violation: None,
            latency_ms: None,
            change_set: None,
            status,
        }
    }

    #[test]
    fn a_pending_change_for_a_break_is_wrong_after_the_break_and_right_before_it() {
        let (work, rest, meeting) = (Activity::Work, Activity::Break, Activity::Meeting);
        for (before, after, expected) in [
            (Some(&rest), Some(&rest), false),
            (Some(&rest), Some(&work), true),
            (Some(&rest), Some(&meeting), true),
            (Some(&rest), None, true),
            (Some(&work), Some(&rest), false),
            (Some(&work), Some(&work), false),
            (None, Some(&work), false),
        ] {
            assert_eq!(has_plan_moved_on(before, after), expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_change_by_an_older_rule_version_is_kept_only_if_the_rule_would_still_request_it() {
        let waits = |why| TransitionStatus::Waiting { why, until: None };
        let (budget, approval) = (waits(WaitReason::Budget), waits(WaitReason::Approval));
        for (mode, state, status, expected) in [
            ("enforce", "Ready", &budget, None),
            ("approve", "Ready", &approval, None),
            ("watch", "Ready", &budget, Some("only watches now")),
            ("watch", "Ready", &approval, Some("only watches now")),
            ("approve", "Ready", &budget, Some("asks a person first now")),
            ("enforce", "Ready", &approval, Some("acts by itself now")),
            ("enforce", "Idle", &budget, Some("wants something else now")),
        ] {
            let text = format!(
                "[[rules]]\nid = \"r\"\nwhen = {{ state = \"Paused\" }}\nthen = {{ set_state = \"{state}\" }}\nmode = \"{mode}\"\n"
            );
            let (rules, _) = parse_rules(&text).expect("TOML");
            let set = RuleSet::compile(&rules, Capabilities::guide()).expect("sound");
            let (rule, transition) = (set.rules().first().expect("one"), transition(status.clone()));
            assert_eq!(withdrawal_reason(Some(rule), "older", &transition), expected, "{mode} {state} {status:?}");
            assert_eq!(withdrawal_reason(Some(rule), &rule.version, &transition), None, "the version is the same");
            assert_eq!(withdrawal_reason(None, "older", &transition), Some("no longer exists"));
        }
    }
}
