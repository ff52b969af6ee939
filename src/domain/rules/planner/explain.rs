//! Explains why an agent is or is not changed: every rule with its conditions, the guard that held it or the rule that
//! came first.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::agents::roster::Roster;
use crate::domain::agents::roster::memory::AutomationMemory;
use crate::domain::ids::{AgentId, RuleId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::{CompiledRule, RuleAction, RuleSet};
use crate::domain::rules::rule::condition::Condition;
use crate::domain::time::{UtcMicros, rough_duration_text};

use super::decision::{Decisions, Guard};
use super::facts::{Facts, Finding};
use super::pass::{Pass, Recorder, RuleResult};
use super::settings::DecideSettings;
use super::view::AgentInstant;

/// What all rules decide about one agent at one instant.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explanation {
    /// The agent.
    pub agent: AgentId,
    /// The instant.
    pub at: UtcMicros,
    /// The rules, in the order in which they were tried.
    pub rules: Vec<RuleExplanation>,
}

/// What one rule decides about an agent.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: RuleId,
    /// The version of the rule.
    pub version: Arc<str>,
    /// The mode of the rule.
    pub mode: Mode,
    /// The action that the rule takes if it matches.
    pub wish: RuleAction,
    /// The result of the rule.
    pub outcome: RuleOutcome,
    /// The facts, with the finding for each condition of `when`.
    pub facts: Facts,
    /// The findings for the conditions of `unless`; empty if it was not evaluated.
    pub unless: Vec<Finding>,
}

/// The result of a rule for an agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RuleOutcome {
    /// A condition did not hold.
    NoMatch,
    /// The rule matched, but a guard holds it back.
    Held {
        /// The guard.
        guard: Guard,
        /// The reason as text, with its figures.
        why: String,
    },
    /// The rule matched, but an earlier rule has claimed the agent.
    Taken {
        /// The earlier rule.
        by: RuleId,
    },
    /// The rule led to an intent.
    Decided,
}

/// Explains what [`super::decide`] decides about one agent; `None` if the agent is not on the roster.
///
/// This takes a whole pass, since the limits of a rule depend on all agents before this one.
pub fn explain(
    roster: &Roster,
    agent: &str,
    rules: &RuleSet,
    settings: &DecideSettings,
    now: UtcMicros,
) -> Option<Explanation> {
    explain_with_decisions(roster, agent, rules, settings, now).map(|(explanation, _)| explanation)
}

/// Returns the explanation together with the decisions of the pass.
pub(super) fn explain_with_decisions(
    roster: &Roster,
    agent: &str,
    rules: &RuleSet,
    settings: &DecideSettings,
    now: UtcMicros,
) -> Option<(Explanation, Decisions)> {
    let index = roster.find(agent)?;
    let mut recorder = ExplanationRecorder { rules: Vec::new() };
    let decisions = Pass::new(roster, rules, settings, now).record(Some(index), &mut recorder);
    let agent = roster.get(index)?.id().clone();
    Some((Explanation { agent, at: now, rules: recorder.rules }, decisions))
}

struct ExplanationRecorder {
    rules: Vec<RuleExplanation>,
}

impl Recorder for ExplanationRecorder {
    const RECORDS_ALL: bool = true;

    fn start_rule(&mut self, rule: &CompiledRule, view: &AgentInstant<'_>) {
        self.rules.push(RuleExplanation {
            rule: rule.id.clone(),
            version: rule.version.clone(),
            mode: rule.mode,
            wish: rule.action.clone(),
            outcome: RuleOutcome::NoMatch,
            facts: view.facts(&[]),
            unless: Vec::new(),
        });
    }

    fn record_condition(&mut self, condition: &Condition, in_unless: bool, held: bool, view: &AgentInstant<'_>) {
        let Some(rule) = self.rules.last_mut() else { return };
        let findings = if in_unless { &mut rule.unless } else { &mut rule.facts.conditions };
        findings.push(view.finding(condition, held));
    }

    fn record_result(
        &mut self,
        rule: &CompiledRule,
        came: RuleResult,
        rules: &[CompiledRule],
        view: &AgentInstant<'_>,
    ) {
        let Some(explained) = self.rules.last_mut() else { return };
        explained.outcome = match came {
            RuleResult::NoMatch => RuleOutcome::NoMatch,
            RuleResult::Held(guard) => RuleOutcome::Held { guard, why: guard_text(guard, rule, view) },
            RuleResult::Claimed(place) => RuleOutcome::Taken { by: rules[place].id.clone() },
            RuleResult::Decided => RuleOutcome::Decided,
        };
    }
}

/// Returns the reason for a held action as text, with its figures.
fn guard_text(guard: Guard, rule: &CompiledRule, view: &AgentInstant<'_>) -> String {
    let (slot, settings, now) = (view.slot, view.context.settings, view.now());
    match guard {
        Guard::Unless => "its `unless` holds".to_owned(),
        Guard::Excused => match slot.exception(now) {
            Some(span) => format!("the agent has an approved exception until {}", span.end),
            None => "the agent has an approved exception".to_owned(),
        },
        Guard::NeverSeen => "the agent has not been observed yet".to_owned(),
        Guard::StaleSight => {
            let age = slot
                .last_observed_at()
                .map_or_else(|| "unknown".to_owned(), |seen| rough_duration_text(now.since(seen)));
            format!(
                "the last observation is {age} old, at most {} is allowed",
                rough_duration_text(settings.stale_after)
            )
        }
        Guard::UnknownState => "no table knows the agent's state".to_owned(),
        Guard::AsWanted => "the agent is in that state already".to_owned(),
        Guard::LoggedOut => "the agent is logged out".to_owned(),
        Guard::Policy(violation) => format!("policy forbids it: {violation}"),
        Guard::OnContact => "the agent is with a contact".to_owned(),
        Guard::OpenTransition => {
            let open = slot.blocking_transition().map_or("open", |open| open.priority.name());
            format!("a transition of priority {open} is open")
        }
        Guard::SetByPerson => {
            "a person set this state: it is kept until the agent leaves it or the next planned activity begins"
                .to_owned()
        }
        Guard::LeftAlone => match slot.memory().and_then(AutomationMemory::paused_until) {
            Some(until) => format!("the agent reverted a change and is left alone until {until}"),
            None => "the agent is left alone".to_owned(),
        },
        Guard::Flapping => format!("{} automatic changes in the last hour are the most", settings.changes_per_hour),
        Guard::NoShift => "the agent has no shift now, and none is known to come".to_owned(),
        Guard::SaidAlready if matches!(rule.action, RuleAction::Offer { .. }) => {
            "it was proposed already for this shift".to_owned()
        }
        Guard::SaidAlready => "it was said already, and nothing has changed since".to_owned(),
        Guard::Cooldown => {
            let last = slot.memory().and_then(|memory| memory.last_action(&rule.id));
            let since =
                last.map_or_else(|| "lately".to_owned(), |last| rough_duration_text(now.since(last.at)) + " ago");
            format!("it acted on the agent {since}, the cooldown is {}", rough_duration_text(rule.cooldown))
        }
        Guard::PerMinute => {
            format!("its limit of {} a minute is reached", rule.limits.per_minute.unwrap_or_default())
        }
        Guard::ShareOfTeam => {
            format!("its limit of {} of the team a minute is reached", rule.limits.share_of_team.unwrap_or_default())
        }
    }
}

impl RuleExplanation {
    fn fmt_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, wish, facts, .. } = self;
        match &self.outcome {
            RuleOutcome::Decided => write!(f, "{rule} {} {wish}: {facts}", self.mode.verb()),
            RuleOutcome::Held { why, .. } => write!(f, "{rule} wants to {wish} and is held, {why}: {facts}"),
            RuleOutcome::Taken { by } => write!(f, "{rule} wants to {wish}, but {by} has the agent: {facts}"),
            RuleOutcome::NoMatch => {
                write!(f, "{rule} does not match:")?;
                let unmet = facts.conditions.iter().filter(|finding| !finding.held);
                for (n, Finding { condition, wanted, actual, .. }) in unmet.enumerate() {
                    let comma = if n > 0 { "," } else { "" };
                    write!(f, "{comma} {condition} is {actual} (wanted {wanted})")?;
                }
                Ok(())
            }
        }
    }
}

/// Formats one line per rule.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, rule) in self.rules.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}: ", self.agent)?;
            rule.fmt_line(f)?;
        }
        Ok(())
    }
}
