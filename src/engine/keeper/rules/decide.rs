//! Calls the planner and carries its intents to the door that people's requests go through too.

use serde_json::{Value, json};

use super::Found;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::transition::{Actor, Step, WaitReason};
use crate::domain::ids::TransitionId;
use crate::domain::rules::planner::{Guard, Held, Intent, Wanted, decide, note};
use crate::domain::rules::rule::Mode;
use crate::domain::webhooks::event::{ApprovalWaiting, RuleTold};
use crate::engine::keeper::Keeper;
use crate::engine::keeper::changes::requests::Wish;
use crate::engine::keeper::record::Pass;
use crate::store::FindingKind;

impl Keeper {
    /// One decide pass.
    pub(in crate::engine::keeper) fn decide(&mut self, pass: &mut Pass) {
        self.roster.advance(pass.now);
        self.look_around();
        let (rules, settings) = (self.settings.rules.clone(), self.settings.decide.clone());
        let decisions = decide(&self.roster, &rules, &settings, pass.now);
        for intent in decisions.intents {
            self.take_intent(pass, &intent);
        }
        for held in decisions.held {
            self.note_held(pass, &held);
        }
    }

    /// What rules see beside agents and plans.
    pub(in crate::engine::keeper) fn look_around(&mut self) {
        self.roster.set_figures(self.link.figures.borrow().clone());
        self.roster.set_anomalies(self.link.anomalies.borrow().clone());
    }

    fn take_intent(&mut self, pass: &mut Pass, intent: &Intent) {
        let actor = Actor::Rule { id: intent.rule.clone(), version: intent.rule_version.clone() };
        let facts = explanation(intent);
        if intent.mode == Mode::Watch {
            self.audit_agent(pass, intent.index, &actor, "rule.would_have", facts);
            self.find(pass, &Found::of_intent(FindingKind::Would, intent));
            self.note(pass, intent);
            return;
        }
        match &intent.action {
            Wanted::SetState { state, reason, on_contact } => {
                let wish = Wish {
                    target: state.clone(),
                    reason: reason.clone(),
                    priority: intent.priority,
                    actor,
                    note: None,
                    on_contact: *on_contact,
                    deadline: self.deadline(pass, intent),
                    explanation: facts,
                    change_set: None,
                };
                self.open_intent(pass, intent, wish);
            }
            Wanted::LogOut { on_contact } => {
                let wish = Wish {
                    target: AgentState::LoggedOut,
                    reason: AgentState::LoggedOut.default_reason(),
                    priority: intent.priority,
                    actor,
                    note: None,
                    on_contact: *on_contact,
                    deadline: self.deadline(pass, intent),
                    explanation: facts,
                    change_set: None,
                };
                self.open_intent(pass, intent, wish);
            }
            Wanted::Tell(text) | Wanted::Ask(text) => {
                self.audit_agent(pass, intent.index, &actor, "rule.told", facts);
                self.find(pass, &Found::of_intent(FindingKind::Told, intent));
                self.tell_of(pass, intent.index, |user_id, sequence| RuleTold {
                    user_id,
                    rule_id: intent.rule.clone(),
                    text: text.to_string(),
                    asks: matches!(intent.action, Wanted::Ask(_)),
                    sequence,
                });
            }
        }
        self.note(pass, intent);
    }

    /// Remembers the act, over a restart too.
    fn note(&mut self, pass: &mut Pass, intent: &Intent) {
        note(&mut self.roster, intent, pass.now);
        pass.remember(intent.index, &intent.rule);
    }

    fn open_intent(&mut self, pass: &mut Pass, intent: &Intent, wish: Wish) {
        let id = self.open(pass, intent.index, wish);
        if intent.mode == Mode::Approve {
            self.step(pass, id, Step::Hold { why: WaitReason::Approval, until: None });
            self.tell_approvers(pass, intent, id);
        }
    }

    fn tell_approvers(&mut self, pass: &mut Pass, intent: &Intent, id: TransitionId) {
        let Some(asked) = self.book.get(id).map(|open| open.transition.clone()) else { return };
        if asked.status.waits_for() != Some(WaitReason::Approval) {
            return;
        }
        self.tell_of(pass, intent.index, |user_id, sequence| ApprovalWaiting {
            user_id,
            transition_id: id,
            rule_id: intent.rule.clone(),
            target_state: asked.target,
            reason_code: asked.reason,
            because: intent.facts.to_string(),
            expires_at: asked.deadline,
            sequence,
        });
    }

    /// A wish that follows the plan is void once the planned activity is over.
    fn deadline(&self, pass: &Pass, intent: &Intent) -> crate::domain::time::UtcMicros {
        let longest = pass.now + self.settings.policy.deadline;
        intent.facts.planned_until.map_or(longest, |until| longest.min(until))
    }

    /// What policy or a flapping guard holds back is recorded once per change of its facts.
    fn note_held(&mut self, pass: &mut Pass, held: &Held) {
        let told = match held.guard {
            Guard::Policy(_) | Guard::SetByPerson | Guard::LeftAlone | Guard::Flapping => true,
            Guard::Unless
            | Guard::Excused
            | Guard::NeverSeen
            | Guard::StaleSight
            | Guard::UnknownState
            | Guard::AsWanted
            | Guard::OnContact
            | Guard::OpenTransition
            | Guard::SaidAlready
            | Guard::Cooldown
            | Guard::PerMinute
            | Guard::ShareOfTeam => false,
        };
        if !told || !self.roster.note_held(held.index, &held.rule, held.fact_key) {
            return;
        }
        pass.remember(held.index, &held.rule);
        let (rules, settings) = (self.settings.rules.clone(), self.settings.decide.clone());
        let facts = held.facts(&self.roster, &rules, &settings, pass.now);
        let actor = Actor::Rule { id: held.rule.clone(), version: held.rule_version.clone() };
        let guard = match held.guard {
            Guard::Policy(violation) => violation.code(),
            other => other.name(),
        };
        let because = facts.as_ref().map(ToString::to_string).unwrap_or_default();
        self.audit_agent(pass, held.index, &actor, "rule.held", json!({"guard": guard, "facts": facts}));
        let wants = self.settings.rules.rules().iter().find(|rule| rule.id == held.rule);
        let wants = wants.map(|rule| rule.action.to_string()).unwrap_or_default();
        let (index, rule, rule_version) = (held.index, held.rule.clone(), held.rule_version.clone());
        let guard = Some(guard.into());
        self.find(pass, &Found { index, kind: FindingKind::Held, rule, rule_version, guard, wants, because });
    }
}

/// The facts of an intent for the row and the audit chain. They name no agent.
fn explanation(intent: &Intent) -> Value {
    json!({
        "rule": intent.rule,
        "version": intent.rule_version,
        "wanted": intent.action,
        "because": intent.facts.to_string(),
        "facts": intent.facts,
    })
}
