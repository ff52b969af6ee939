//! A person accepts or denies what a rule wants.
//!
//! An accepted change goes the way of every other from where it waited: policy, sight, one at a time, budget. It keeps the rule as the
//! one who wanted it, and says who let it go. A denied one ends, and the rule leaves the agent alone as after a reversal.

use serde_json::{Value, json};

use crate::domain::access::rights::Asker;
use crate::domain::audit::Hash;
use crate::domain::changes::transition::{Actor, Step, Transition, WaitReason};
use crate::engine::keeper::Keeper;
use crate::engine::keeper::changes::sets::with_source;
use crate::engine::keeper::record::Pass;
use crate::engine::rules::approvals::{APPROVED_BY, ApprovalError, Decision, DecisionMessage};

impl Keeper {
    /// Takes a decision in; answered after the commit, with the transition as this pass leaves it.
    pub(in crate::engine::keeper) fn take_decision(&mut self, pass: &mut Pass, message: DecisionMessage) {
        let DecisionMessage { id, decision, asker, teams, reply } = message;
        let known = self.book.get(id).map(|open| open.transition.clone());
        let within_reach = |transition: &Transition| {
            let agent = self.roster.agent(transition.agent.as_str());
            let team = agent.and_then(|slot| slot.agent().team.as_ref());
            teams.as_ref().is_none_or(|mine| team.is_some_and(|team| mine.contains(team)))
        };
        let by_rule = |transition: &Transition| matches!(transition.actor, Actor::Rule { .. });
        let Some(transition) = known.filter(|it| by_rule(it) && within_reach(it)) else {
            return pass.answer(reply, Err(ApprovalError::NotFound(id)));
        };
        if transition.status.waits_for() != Some(WaitReason::Approval) {
            return pass.answer(reply, Err(ApprovalError::too_late(&transition)));
        }
        match decision {
            Decision::Accept { note } => {
                let note = self.keep_note(pass, note.as_deref());
                self.accept(pass, &transition, &asker, note);
            }
            Decision::Deny { note } => {
                let note = self.keep_note(pass, Some(&note));
                self.deny(pass, &transition, &asker, note);
            }
        }
        pass.decided.push((id, reply));
    }

    fn accept(&mut self, pass: &mut Pass, transition: &Transition, asker: &Asker, note: Option<Hash>) {
        let approved = json!({"by": &*asker.id, "at": pass.now});
        let id = transition.id;
        let with = self.book.replace(id, |mut transition| {
            if let Some(facts) = transition.explanation.as_object_mut() {
                facts.insert(APPROVED_BY.to_owned(), approved.clone());
            }
            transition
        });
        let Some(with) = with else { return };
        self.audit_decision(pass, &with, asker, "transition.approved", note);
        // In line like any other now; dispatch of this pass rules on it.
        self.step(pass, id, Step::Hold { why: WaitReason::Budget, until: None });
    }

    fn deny(&mut self, pass: &mut Pass, transition: &Transition, asker: &Asker, note: Option<Hash>) {
        let by = Actor::Person { id: asker.id.clone() }.label();
        self.audit_decision(pass, transition, asker, "transition.denied", note);
        self.step(pass, transition.id, Step::Cancel(format!("denied by {by}")));
        let Actor::Rule { id: rule, .. } = &transition.actor else { return };
        if let Some(index) = self.roster.find(transition.agent.as_str()) {
            self.roster.note_reversal(index, pass.now + self.settings.decide.left_alone_for);
            pass.remember(index, rule);
        }
    }

    fn audit_decision(
        &mut self,
        pass: &mut Pass,
        transition: &Transition,
        asker: &Asker,
        action: &'static str,
        note: Option<Hash>,
    ) {
        let rule = match &transition.actor {
            Actor::Rule { id, version } => json!({"rule": id, "version": version}),
            Actor::Person { .. } | Actor::Daemon => Value::Null,
        };
        let why = with_source(rule, asker);
        let actor = Actor::Person { id: asker.id.clone() }.label();
        self.audit_transition_by(pass, transition, action, actor, why, note);
    }

    /// Answers decisions with what this pass made of them.
    pub(in crate::engine::keeper) fn finish_decisions(pass: &mut Pass) {
        for (id, reply) in std::mem::take(&mut pass.decided) {
            let decided = pass.row(id).cloned().ok_or(ApprovalError::NotFound(id));
            pass.answer(reply, decided);
        }
    }
}
