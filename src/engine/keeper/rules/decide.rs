//! Runs the planner and turns its intents into transitions, in the same way as people's requests.

use serde_json::json;

use super::offers::ProposedOffers;
use super::{NewFinding, intent_explanation};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::transition::{Actor, TransitionStep, WaitReason};
use crate::domain::ids::TransitionId;
use crate::domain::rules::planner::{Guard, HeldIntent, Intent, RuleAction, decide, record_intent};
use crate::domain::rules::rule::Mode;
use crate::domain::webhooks::event::{ApprovalWaiting, RuleTold};
use crate::engine::keeper::changes::requests::TransitionRequest;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;
use crate::store::FindingKind;

impl Keeper {
    /// Runs the rules once.
    pub(in crate::engine::keeper) fn decide(&mut self, pass: &mut Pass) {
        self.roster.advance(pass.now);
        self.refresh_rule_inputs();
        let (rules, settings) = (self.settings.rules.clone(), self.settings.decide.clone());
        let decisions = decide(&self.roster, &rules, &settings, pass.now);
        let mut offers = ProposedOffers::default();
        for intent in &decisions.intents {
            if intent.mode == Mode::Approve && matches!(intent.action, RuleAction::Offer { .. }) {
                self.add_to_offer(pass, &mut offers, intent);
            } else {
                self.apply_intent(pass, intent);
            }
        }
        self.propose_offers(pass, offers);
        for held in decisions.held {
            self.record_held_intent(pass, &held);
        }
    }

    /// Refreshes the rules' inputs other than agents and plans.
    pub(in crate::engine::keeper) fn refresh_rule_inputs(&mut self) {
        self.roster.set_figures(self.link.figures.borrow().clone());
        self.roster.set_anomalies(self.link.anomalies.borrow().clone());
        self.roster.set_team_queues(self.link.team_queues.borrow().clone());
    }

    fn apply_intent(&mut self, pass: &mut Pass, intent: &Intent) {
        let actor = Actor::Rule { id: intent.rule.clone(), version: intent.rule_version.clone() };
        let explanation = intent_explanation(intent);
        if intent.mode == Mode::Watch {
            self.audit_agent(pass, intent.index, &actor, "rule.would_have", explanation);
            self.record_finding(pass, &NewFinding::from_intent(FindingKind::WouldHaveChanged, intent));
            self.record_action(pass, intent);
            return;
        }
        match &intent.action {
            RuleAction::SetState { state, reason, on_contact } => {
                let request = TransitionRequest {
                    target: state.clone(),
                    reason: reason.clone(),
                    priority: intent.priority,
                    actor,
                    note: None,
                    on_contact: *on_contact,
                    deadline: self.intent_deadline(pass, intent),
                    explanation,
                    change_set: None,
                };
                self.open_intent_transition(pass, intent, request);
            }
            RuleAction::LogOut { on_contact } => {
                let request = TransitionRequest {
                    target: AgentState::LoggedOut,
                    reason: AgentState::LoggedOut.default_reason(),
                    priority: intent.priority,
                    actor,
                    note: None,
                    on_contact: *on_contact,
                    deadline: self.intent_deadline(pass, intent),
                    explanation,
                    change_set: None,
                };
                self.open_intent_transition(pass, intent, request);
            }
            RuleAction::Tell(text) | RuleAction::Ask(text) => {
                self.audit_agent(pass, intent.index, &actor, "rule.told", explanation);
                self.record_finding(pass, &NewFinding::from_intent(FindingKind::Notified, intent));
                self.record_agent_event(pass, intent.index, |user_id, sequence| RuleTold {
                    user_id,
                    rule_id: intent.rule.clone(),
                    text: text.to_string(),
                    asks: matches!(intent.action, RuleAction::Ask(_)),
                    sequence,
                });
            }
            // Offers are proposed together, and the check of rules refuses the mode `enforce`.
            RuleAction::Offer { .. } => {}
        }
        self.record_action(pass, intent);
    }

    /// Records a rule's action in its memory, which survives a restart.
    pub(super) fn record_action(&mut self, pass: &mut Pass, intent: &Intent) {
        record_intent(&mut self.roster, intent, pass.now);
        pass.mark_memory_changed(intent.index, &intent.rule);
    }

    fn open_intent_transition(&mut self, pass: &mut Pass, intent: &Intent, request: TransitionRequest) {
        let id = self.open_transition(pass, intent.index, request);
        if intent.mode == Mode::Approve {
            self.apply_step(pass, id, TransitionStep::Hold { why: WaitReason::Approval, until: None });
            self.record_approval_waiting_event(pass, intent, id);
        }
    }

    fn record_approval_waiting_event(&mut self, pass: &mut Pass, intent: &Intent, id: TransitionId) {
        let Some(transition) = self.open_transitions.get(id).map(|open| open.transition.clone()) else { return };
        if transition.status.wait_reason() != Some(WaitReason::Approval) {
            return;
        }
        self.record_agent_event(pass, intent.index, |user_id, sequence| ApprovalWaiting {
            user_id,
            transition_id: id,
            rule_id: intent.rule.clone(),
            target_state: transition.target,
            reason_code: transition.reason,
            because: intent.facts.to_string(),
            expires_at: transition.deadline,
            sequence,
        });
    }

    /// Returns the deadline of an intent; one that follows the plan ends with the planned activity.
    fn intent_deadline(&self, pass: &Pass, intent: &Intent) -> crate::domain::time::UtcMicros {
        let latest = pass.now + self.settings.policy.deadline;
        intent.facts.planned_until.map_or(latest, |until| latest.min(until))
    }

    /// Records an intent held by policy or a flapping guard, once per change of its facts.
    fn record_held_intent(&mut self, pass: &mut Pass, held: &HeldIntent) {
        let is_recorded = match held.guard {
            Guard::Policy(_) | Guard::SetByPerson | Guard::LeftAlone | Guard::Flapping => true,
            Guard::Unless
            | Guard::Excused
            | Guard::NeverSeen
            | Guard::StaleSight
            | Guard::UnknownState
            | Guard::AsWanted
            | Guard::LoggedOut
            | Guard::OnContact
            | Guard::OpenTransition
            | Guard::NoShift
            | Guard::SaidAlready
            | Guard::Cooldown
            | Guard::PerMinute
            | Guard::ShareOfTeam => false,
        };
        if !is_recorded || !self.roster.record_held(held.index, &held.rule, held.fact_key) {
            return;
        }
        pass.mark_memory_changed(held.index, &held.rule);
        let (rules, settings) = (self.settings.rules.clone(), self.settings.decide.clone());
        let facts = held.facts(&self.roster, &rules, &settings, pass.now);
        let actor = Actor::Rule { id: held.rule.clone(), version: held.rule_version.clone() };
        let guard = match held.guard {
            Guard::Policy(violation) => violation.code(),
            other => other.name(),
        };
        let because = facts.as_ref().map(ToString::to_string).unwrap_or_default();
        self.audit_agent(pass, held.index, &actor, "rule.held", json!({"guard": guard, "facts": facts}));
        let rule = self.settings.rules.rules().iter().find(|rule| rule.id == held.rule);
        let intended_action = rule.map(|rule| rule.action.to_string()).unwrap_or_default();
        let (index, rule, rule_version) = (held.index, held.rule.clone(), held.rule_version.clone());
        let guard = Some(guard.into());
        self.record_finding(
            pass,
            &NewFinding { index, kind: FindingKind::Held, rule, rule_version, guard, intended_action, facts: because },
        );
    }
}
