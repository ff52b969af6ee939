//! Calls the planner and carries its intents to the door that people's requests go through too.

use serde_json::{Value, json};

use super::Keeper;
use super::record::Pass;
use super::requests::Wish;
use crate::domain::event::RuleTold;
use crate::domain::planner::{Guard, Held, Intent, Wanted, decide, note};
use crate::domain::rule::Mode;
use crate::domain::state::AgentState;
use crate::domain::transition::{Actor, Step, WaitReason};

impl Keeper {
    /// One decide pass.
    pub(super) fn decide(&mut self, pass: &mut Pass) {
        self.roster.advance(pass.now);
        self.roster.set_figures(self.link.figures.borrow().clone());
        let (rules, settings) = (self.settings.rules.clone(), self.settings.decide.clone());
        let decisions = decide(&self.roster, &rules, &settings, pass.now);
        for intent in decisions.intents {
            self.take_intent(pass, &intent);
        }
        for held in decisions.held {
            self.note_held(pass, &held);
        }
    }

    fn take_intent(&mut self, pass: &mut Pass, intent: &Intent) {
        let actor = Actor::Rule { id: intent.rule.clone(), version: intent.rule_version.clone() };
        let facts = explanation(intent);
        if intent.mode == Mode::Watch {
            self.audit_agent(pass, intent.index, &actor, "rule.would_have", facts);
            self.note(pass, intent);
            return;
        }
        match &intent.action {
            Wanted::SetState { state, reason, on_contact } => {
                let wish = Wish {
                    target: state.clone(),
                    reason: reason.clone(),
                    any_reason: true,
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
                    any_reason: true,
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
        }
    }

    /// A wish that follows the plan is void once the planned activity is over.
    fn deadline(&self, pass: &Pass, intent: &Intent) -> crate::domain::time::UtcMicros {
        let longest = pass.now + self.settings.policy.deadline;
        intent.facts.planned_until.map_or(longest, |until| longest.min(until))
    }

    /// What policy or a flapping guard holds back is recorded once per change of its facts.
    fn note_held(&mut self, pass: &mut Pass, held: &Held) {
        let told = match held.guard {
            Guard::Policy(_) | Guard::LeftAlone | Guard::Flapping => true,
            Guard::Unless
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
        self.audit_agent(pass, held.index, &actor, "rule.held", json!({"guard": guard, "facts": facts}));
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
