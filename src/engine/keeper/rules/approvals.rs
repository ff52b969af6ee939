//! Approval and denial of rules' changes by people.
//!
//! An approved change continues like any other, through policy, observation, one at a time per agent, and budget. Its
//! actor is still the rule, and it records who approved it. A denied change ends, and the rule leaves the agent alone
//! as after a reversal.

use serde_json::{Value, json};

use crate::domain::access::rights::Requester;
use crate::domain::audit::Hash;
use crate::domain::changes::transition::{Actor, Transition, TransitionStep, WaitReason};
use crate::engine::keeper::changes::change_sets::with_source;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::state::Keeper;
use crate::engine::rules::approvals::{APPROVED_BY, ApprovalError, Decision, DecisionMessage};

impl Keeper {
    /// Handles a decision. It is answered after the commit, with the transition as of the end of this pass.
    pub(in crate::engine::keeper) fn handle_decision(&mut self, pass: &mut Pass, message: DecisionMessage) {
        let DecisionMessage { id, decision, asker, teams, reply } = message;
        let known = self.open_transitions.get(id).map(|open| open.transition.clone());
        let is_visible = |transition: &Transition| {
            let agent = self.roster.agent(transition.agent.as_str());
            let team = agent.and_then(|slot| slot.agent().team.as_ref());
            teams.as_ref().is_none_or(|mine| team.is_some_and(|team| mine.contains(team)))
        };
        let by_rule = |transition: &Transition| matches!(transition.actor, Actor::Rule { .. });
        let Some(transition) = known.filter(|it| by_rule(it) && is_visible(it)) else {
            return pass.reply_after_commit(reply, Err(ApprovalError::NotFound(id)));
        };
        if transition.status.wait_reason() != Some(WaitReason::Approval) {
            return pass.reply_after_commit(reply, Err(ApprovalError::too_late(&transition)));
        }
        match decision {
            Decision::Accept { note } => {
                let note = self.save_note(pass, note.as_deref());
                self.approve_change(pass, &transition, &asker, note);
            }
            Decision::Deny { note } => {
                let note = self.save_note(pass, Some(&note));
                self.deny_change(pass, &transition, &asker, note);
            }
        }
        pass.decision_replies.push((id, reply));
    }

    fn approve_change(&mut self, pass: &mut Pass, transition: &Transition, requester: &Requester, note: Option<Hash>) {
        let approved = json!({"by": &*requester.id, "at": pass.now});
        let id = transition.id;
        let approved_transition = self.open_transitions.replace(id, |mut transition| {
            if let Some(facts) = transition.explanation.as_object_mut() {
                facts.insert(APPROVED_BY.to_owned(), approved.clone());
            }
            transition
        });
        let Some(approved_transition) = approved_transition else { return };
        self.audit_decision(pass, &approved_transition, requester, "transition.approved", note);
        // It now waits like any other; dispatch decides on it in this pass.
        self.apply_step(pass, id, TransitionStep::Hold { why: WaitReason::Budget, until: None });
    }

    fn deny_change(&mut self, pass: &mut Pass, transition: &Transition, requester: &Requester, note: Option<Hash>) {
        let by = Actor::Person { id: requester.id.clone() }.label();
        self.audit_decision(pass, transition, requester, "transition.denied", note);
        self.apply_step(pass, transition.id, TransitionStep::Cancel(format!("denied by {by}")));
        let Actor::Rule { id: rule, .. } = &transition.actor else { return };
        if let Some(index) = self.roster.find(transition.agent.as_str()) {
            self.roster.pause_automation(index, pass.now + self.settings.decide.leave_alone_duration);
            pass.mark_memory_changed(index, rule);
        }
    }

    fn audit_decision(
        &mut self,
        pass: &mut Pass,
        transition: &Transition,
        requester: &Requester,
        action: &'static str,
        note: Option<Hash>,
    ) {
        let rule = match &transition.actor {
            Actor::Rule { id, version } => json!({"rule": id, "version": version}),
            Actor::Person { .. } | Actor::Daemon => Value::Null,
        };
        let details = with_source(rule, requester);
        let actor = Actor::Person { id: requester.id.clone() }.label();
        self.audit_transition_by(pass, transition, action, actor, details, note);
    }

    /// Answers decisions with the resulting transitions.
    pub(in crate::engine::keeper) fn reply_to_decisions(pass: &mut Pass) {
        for (id, reply) in std::mem::take(&mut pass.decision_replies) {
            let result = pass.transition_row(id).cloned().ok_or(ApprovalError::NotFound(id));
            pass.reply_after_commit(reply, result);
        }
    }
}
