//! Why an agent is or is not changed: every rule, every condition, the guard that stopped it or the rule that went before.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::agents::roster::Roster;
use crate::domain::agents::roster::memory::AutomationMemory;
use crate::domain::ids::{AgentId, RuleId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::{CompiledRule, RuleSet};
use crate::domain::rules::rule::condition::Condition;
use crate::domain::time::{UtcMicros, rough_duration_text};

use super::facts::{Facts, Finding};
use super::pass::{Came, Pass, Recorder};
use super::view::View;
use super::{DecideSettings, Decisions, Guard, Wanted};

/// What all rules say of one agent at one instant.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explanation {
    /// The agent.
    pub agent: AgentId,
    /// When.
    pub at: UtcMicros,
    /// The rules, in the order in which they were tried.
    pub rules: Vec<RuleExplanation>,
}

/// What one rule says of an agent.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: RuleId,
    /// Its version.
    pub version: Arc<str>,
    /// Whether it acts.
    pub mode: Mode,
    /// What it wants where it matches.
    pub wish: Wanted,
    /// How it came out.
    pub outcome: Outcome,
    /// The facts, with what each condition of `when` found.
    pub facts: Facts,
    /// What each condition of `unless` found; empty where it was not looked at.
    pub unless: Vec<Finding>,
}

/// How a rule came out for an agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A condition did not hold.
    NoMatch,
    /// It wants the agent and is held back.
    Held {
        /// By what.
        guard: Guard,
        /// In words, with the figures.
        why: String,
    },
    /// It wants the agent, and an earlier rule has it.
    Taken {
        /// Which.
        by: RuleId,
    },
    /// It became an intent.
    Decided,
}

/// Explains what [`super::decide`] does with one agent. `None` when the roster does not hold the agent. Costs a whole pass, since
/// the limits of a rule depend on every agent before.
pub fn explain(
    roster: &Roster,
    agent: &str,
    rules: &RuleSet,
    settings: &DecideSettings,
    now: UtcMicros,
) -> Option<Explanation> {
    explain_with_decisions(roster, agent, rules, settings, now).map(|(explanation, _)| explanation)
}

/// The explanation, and the decisions of the pass that it was taken down in.
pub(super) fn explain_with_decisions(
    roster: &Roster,
    agent: &str,
    rules: &RuleSet,
    settings: &DecideSettings,
    now: UtcMicros,
) -> Option<(Explanation, Decisions)> {
    let index = roster.find(agent)?;
    let mut recorder = Notebook { rules: Vec::new() };
    let decisions = Pass::new(roster, rules, settings, now).record(Some(index), &mut recorder);
    let agent = roster.get(index)?.id().clone();
    Some((Explanation { agent, at: now, rules: recorder.rules }, decisions))
}

struct Notebook {
    rules: Vec<RuleExplanation>,
}

impl Recorder for Notebook {
    const WHOLE: bool = true;

    fn rule(&mut self, rule: &CompiledRule, view: &View<'_>) {
        self.rules.push(RuleExplanation {
            rule: rule.id.clone(),
            version: rule.version.clone(),
            mode: rule.mode,
            wish: rule.action.clone(),
            outcome: Outcome::NoMatch,
            facts: Facts::of(view, &[]),
            unless: Vec::new(),
        });
    }

    fn condition(&mut self, condition: &Condition, in_unless: bool, held: bool, view: &View<'_>) {
        let Some(rule) = self.rules.last_mut() else { return };
        let findings = if in_unless { &mut rule.unless } else { &mut rule.facts.conditions };
        findings.push(view.finding(condition, held));
    }

    fn came(&mut self, rule: &CompiledRule, came: Came, rules: &[CompiledRule], view: &View<'_>) {
        let Some(explained) = self.rules.last_mut() else { return };
        explained.outcome = match came {
            Came::NoMatch => Outcome::NoMatch,
            Came::Held(guard) => Outcome::Held { guard, why: why(guard, rule, view) },
            Came::Taken(place) => Outcome::Taken { by: rules[place].id.clone() },
            Came::Decided => Outcome::Decided,
        };
    }
}

/// A guard in words, with its figures.
fn why(guard: Guard, rule: &CompiledRule, view: &View<'_>) -> String {
    let (slot, settings, now) = (view.slot, view.context.settings, view.now());
    match guard {
        Guard::Unless => "its `unless` holds".to_owned(),
        Guard::Excused => match slot.excused(now) {
            Some(span) => format!("the agent has an approved exception until {}", span.end),
            None => "the agent has an approved exception".to_owned(),
        },
        Guard::NeverSeen => "the agent has not been observed yet".to_owned(),
        Guard::StaleSight => {
            let age = slot.seen_at().map_or_else(|| "unknown".to_owned(), |seen| rough_duration_text(now.since(seen)));
            format!(
                "the last observation is {age} old, at most {} is allowed",
                rough_duration_text(settings.stale_after)
            )
        }
        Guard::UnknownState => "no table knows the agent's state".to_owned(),
        Guard::AsWanted => "the agent is in that state already".to_owned(),
        Guard::Policy(violation) => format!("policy forbids it: {violation}"),
        Guard::OnContact => "the agent is with a contact".to_owned(),
        Guard::OpenTransition => {
            let open = slot.busy().map_or("open", |open| open.priority.name());
            format!("a transition of priority {open} is open")
        }
        Guard::SetByPerson => {
            "a person set this state: it stays until the agent leaves it or the next planned activity begins".to_owned()
        }
        Guard::LeftAlone => match slot.memory().and_then(AutomationMemory::left_alone_until) {
            Some(until) => format!("the agent reverted a change and is left alone until {until}"),
            None => "the agent is left alone".to_owned(),
        },
        Guard::Flapping => format!("{} automatic changes in the last hour are the most", settings.changes_per_hour),
        Guard::SaidAlready => "it was said already, and nothing has changed since".to_owned(),
        Guard::Cooldown => {
            let last = slot.memory().and_then(|memory| memory.last_acted(&rule.id));
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

/// The word before what a rule wants.
pub const fn auxiliary(mode: Mode) -> &'static str {
    match mode {
        Mode::Watch => "would",
        Mode::Enforce => "will",
        Mode::Approve => "asks to",
    }
}

impl RuleExplanation {
    fn line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, wish, facts, .. } = self;
        match &self.outcome {
            Outcome::Decided => write!(f, "{rule} {} {wish}: {facts}", auxiliary(self.mode)),
            Outcome::Held { why, .. } => write!(f, "{rule} wants to {wish} and is held, {why}: {facts}"),
            Outcome::Taken { by } => write!(f, "{rule} wants to {wish}, but {by} has the agent: {facts}"),
            Outcome::NoMatch => {
                write!(f, "{rule} does not match:")?;
                let missed = facts.conditions.iter().filter(|finding| !finding.held);
                for (n, Finding { condition, wanted, actual, .. }) in missed.enumerate() {
                    let comma = if n > 0 { "," } else { "" };
                    write!(f, "{comma} {condition} is {actual} (wanted {wanted})")?;
                }
                Ok(())
            }
        }
    }
}

/// One line for each rule.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, rule) in self.rules.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}: ", self.agent)?;
            rule.line(f)?;
        }
        Ok(())
    }
}
