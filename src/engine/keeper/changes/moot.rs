//! Ends what need not or must not leave any more, before the next dispatch: orders of rules that no longer give them, changes
//! to a state that the agent is in, and everything of agents who leave the roster.
//!
//! It looks at what has not left. What is under way is settled by answers and snapshots.

use super::book::Open;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::Ruling;
use crate::domain::changes::transition::{Actor, Status, Step, Transition, WaitReason};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::{CompiledRule, RuleSet};
use crate::domain::time::UtcMicros;
use crate::engine::keeper::Keeper;
use crate::engine::keeper::agents::files::Asked;
use crate::engine::keeper::record::Pass;

impl Keeper {
    /// Goes over all that has not left.
    pub(in crate::engine::keeper) fn end_what_is_moot(&mut self, pass: &mut Pass) {
        let line: Vec<TransitionId> = self.book.line().collect();
        let rules = self.settings.rules.clone();
        for id in line {
            if let Some(step) = self.book.get(id).and_then(|open| self.end_of(open, &rules, pass.now)) {
                self.step(pass, id, step);
            }
        }
    }

    fn end_of(&self, open: &Open, rules: &RuleSet, now: UtcMicros) -> Option<Step> {
        if self.leaving.contains(&open.transition.agent) {
            return Some(Step::Cancel("the agent is no longer in the roster".to_owned()));
        }
        match &open.transition.actor {
            Actor::Rule { id, version } => {
                let rule = rules.rules().iter().find(|rule| rule.id == *id);
                if let Some(why) = no_longer_given(rule, version, &open.transition) {
                    return Some(Step::Cancel(format!("the rule {why}")));
                }
                let excused = rule.is_some_and(|rule| rule.looks_at_plan)
                    && self
                        .roster
                        .agent(open.transition.agent.as_str())
                        .is_some_and(|slot| slot.excused(now).is_some());
                excused.then(|| Step::Cancel("the agent has an approved exception".to_owned()))
            }
            // A rule that finds the agent there does not ask in the first place.
            Actor::Person { .. } => {
                let shown = self.shown_there(open, now).filter(|at| *at >= open.transition.requested_at);
                shown.map(|at| Step::Confirm { at })
            }
            Actor::Daemon => None,
        }
    }

    /// When a fresh snapshot was generated that shows the agent where the change leads. No snapshot shows a reason code: where the
    /// reason was asked for by itself, that settles nothing. Where policy has something to say it says it, and while another change of the agent is under
    /// way, what is shown is about to change.
    pub(in crate::engine::keeper) fn shown_there(&self, open: &Open, now: UtcMicros) -> Option<UtcMicros> {
        let transition = &open.transition;
        let index = self.roster.find(transition.agent.as_str())?;
        let observed = self.roster.get(index)?.observed()?;
        let row = self.files.get(index.position())?.row.as_ref()?;
        let fresh = now.since(row.generated_at) <= self.settings.decide.stale_after;
        let there = observed.state == transition.target && row.state == transition.target;
        let alone = self
            .book
            .of_agent(&transition.agent)
            .all(|other| other.transition.id == transition.id || other.transition.status.has_not_left());
        let free = match self.ruling(index, transition.id, now) {
            Ruling::Allow | Ruling::AskPlatform => true,
            Ruling::HoldForBreak(_) | Ruling::HoldForContact | Ruling::Refuse(_) | Ruling::SkipOnContact => false,
        };
        (fresh && there && !transition.is_wanted_even_if_in_state() && alone && free).then_some(row.generated_at)
    }

    /// What is left of agents who leave: no snapshot will show what became of it. Who has nothing left goes with this commit.
    pub(in crate::engine::keeper) fn see_off(&mut self, pass: &mut Pass) {
        for agent in self.leaving.clone() {
            let unseen: Vec<TransitionId> = self
                .book
                .of_agent(&agent)
                .filter(|open| matches!(open.transition.status, Status::Accepted { .. } | Status::InDoubt { .. }))
                .map(|open| open.transition.id)
                .collect();
            for id in unseen {
                self.step(pass, id, Step::GiveUp { at: pass.now });
            }
            let Some(index) = self.roster.find(agent.as_str()) else { continue };
            // The answer to a question is written into the log of calls.
            let asked = self.files[index.position()].asked == Asked::UnderWay;
            if !asked && self.book.of_agent(&agent).next().is_none() {
                if self.roster.get(index).is_some_and(|slot| slot.observed().is_some()) {
                    self.lose_sight(pass, index, AgentState::off_roster(), pass.now);
                }
                self.audit_agent(pass, index, &Actor::Daemon, "agent.left_roster", serde_json::Value::Null);
                pass.leavers.push(agent);
            }
        }
    }

    /// After the commit: they are gone. The last agent of the roster takes each free place.
    pub(in crate::engine::keeper) fn forget_leavers(&mut self, pass: &Pass) {
        for agent in &pass.leavers {
            self.forget(agent, pass.now);
        }
    }

    fn forget(&mut self, agent: &AgentId, now: UtcMicros) {
        if let Some(index) = self.roster.find(agent.as_str()) {
            self.roster.remove(agent.as_str());
            self.files.swap_remove(index.position());
            self.tell_gone(agent, index, now);
        }
        self.automatic.remove(agent);
        self.leaving.remove(agent);
        self.held_fed.remove(agent);
    }
}

/// Why a rule, as it is in force now, does not stand by what an older version of it asked for.
fn no_longer_given(rule: Option<&CompiledRule>, version: &str, asked: &Transition) -> Option<&'static str> {
    let Some(rule) = rule else { return Some("is no longer there") };
    if *rule.version == *version {
        return None;
    }
    let for_approval = asked.status.waits_for() == Some(WaitReason::Approval);
    match rule.mode {
        Mode::Watch => Some("only watches now"),
        Mode::Approve if !for_approval => Some("asks a person first now"),
        Mode::Enforce if for_approval => Some("acts by itself now"),
        Mode::Approve | Mode::Enforce => {
            let wants = rule.action.target().map(|(state, _)| state);
            (wants != Some(&asked.target)).then_some("wants something else now")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::changes::policy::OnContact;
    use crate::domain::changes::priority::Priority;
    use crate::domain::rules::rule::check::Capabilities;
    use crate::domain::rules::rule::parse::parse;

    fn asked(status: Status) -> Transition {
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
    fn what_an_older_version_asked_for_stands_only_while_the_rule_would_ask_for_it_the_same_way() {
        let waits = |why| Status::Waiting { why, until: None };
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
            let (rules, _) = parse(&text).expect("TOML");
            let set = RuleSet::compile(&rules, Capabilities::guide()).expect("sound");
            let (rule, asked) = (set.rules().first().expect("one"), asked(status.clone()));
            assert_eq!(no_longer_given(Some(rule), "older", &asked), expected, "{mode} {state} {status:?}");
            assert_eq!(no_longer_given(Some(rule), &rule.version, &asked), None, "the version is the same");
            assert_eq!(no_longer_given(None, "older", &asked), Some("is no longer there"));
        }
    }
}
