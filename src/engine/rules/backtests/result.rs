//! The result of a backtest, as published in the API.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::input::BacktestInput;
use crate::domain::adherence::timeline::Span;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, RuleId, TeamName};
use crate::domain::rules::replay::{HOUR_US, ReplayResult, SAME_CHANGE_WINDOW, compare_with_actual, hour_of};
use crate::domain::rules::rule::Mode;
use crate::domain::time::{UtcMicros, duration_text};

/// The most agents listed with their counts.
const MAX_AGENTS_LISTED: usize = 200;

/// What came of a trial.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BacktestResult {
    /// Agents that were looked at.
    pub agents: usize,
    /// From one look to the next, in seconds.
    pub step_s: u64,
    /// With the rule as it is tried.
    pub replayed: BacktestSide,
    /// With the rule as it is now; null where there is none, or it is the same.
    pub present: Option<BacktestSide>,
    /// What was really asked for then, by the rule that is tried (or by all rules).
    pub really: ActualChanges,
    /// How `replayed` and `actual` go together.
    pub compared: ComparisonView,
    /// What a replay cannot know.
    pub cannot_know: Vec<String>,
}

/// One set of rules on its way through history.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BacktestSide {
    /// How often it would have acted.
    pub acts: u64,
    /// On how many agents.
    pub agents: usize,
    /// By rule, with its mode in the replay.
    pub by_rule: Vec<RuleActs>,
    /// By full hour (UTC), every one of the span.
    pub by_hour: Vec<HourActs>,
    /// By agent, most first, at most 200.
    pub by_agent: Vec<AgentActs>,
    /// How often each guard held it back.
    pub held: Vec<GuardCount>,
    /// The first 500 acts.
    pub listed: Vec<ListedAct>,
    /// There are more acts than could be kept for the comparison (100,000).
    pub truncated: bool,
}

/// Acts of one rule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RuleActs {
    /// Which.
    pub rule: RuleId,
    /// `enforce` for the one that is tried.
    pub mode: Mode,
    /// How many.
    pub acts: u64,
}

/// Acts of one hour.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HourActs {
    /// Its beginning.
    pub from: UtcMicros,
    /// How many.
    pub acts: u64,
}

/// Acts on one agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AgentActs {
    /// Who.
    pub agent: AgentId,
    /// The name, where one is known.
    pub name: Option<String>,
    /// The team, where it is known.
    pub team: Option<TeamName>,
    /// How many.
    pub acts: u64,
}

/// How often a guard held a rule back, once for each change of the facts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct GuardCount {
    /// Which guard.
    pub guard: String,
    /// How often.
    pub times: u64,
}

/// One act.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ListedAct {
    /// When.
    pub at: UtcMicros,
    /// Of which rule.
    pub rule: RuleId,
    /// On whom.
    pub agent: AgentId,
    /// The name, where one is known.
    pub name: Option<String>,
    /// What it wanted.
    pub wants: String,
    /// The facts.
    pub because: String,
}

/// What was really asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ActualChanges {
    /// How many transitions.
    pub acts: u64,
    /// Of how many agents.
    pub agents: usize,
    /// By full hour (UTC), every one of the span.
    pub by_hour: Vec<HourActs>,
}

/// Acts of the replay and transitions of then, paired where they are of one agent and at most five minutes apart.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComparisonView {
    /// In both.
    pub both: u64,
    /// In the replay alone.
    pub only_replayed: u64,
    /// In what was done alone.
    pub only_really: u64,
}

/// Builds the result.
pub(super) fn build_result(
    input: &BacktestInput,
    agents: &[Agent],
    span: Span,
    step: Duration,
    (replayed, present): (ReplayResult, Option<ReplayResult>),
    actual: Vec<(AgentId, UtcMicros)>,
) -> BacktestResult {
    let agents_by_id: HashMap<&AgentId, &Agent> = agents.iter().map(|agent| (&agent.id, agent)).collect();
    let mut times: BTreeMap<AgentId, Vec<UtcMicros>> = BTreeMap::new();
    let mut hours: BTreeMap<UtcMicros, u64> = BTreeMap::new();
    let acts = actual.len() as u64;
    for (agent, at) in actual {
        *hours.entry(hour_of(at)).or_default() += 1;
        times.entry(agent).or_default().push(at);
    }
    let compared = compare_with_actual(&replayed.times_by_agent, &times);
    BacktestResult {
        agents: agents.len(),
        step_s: step.as_secs(),
        replayed: side_view(replayed, span, &agents_by_id),
        present: present.map(|tally| side_view(tally, span, &agents_by_id)),
        really: ActualChanges { acts, agents: times.len(), by_hour: hourly_counts(&hours, span) },
        compared: ComparisonView {
            both: compared.matched,
            only_replayed: compared.only_replayed,
            only_really: compared.only_actual,
        },
        cannot_know: limitations(input, step),
    }
}

fn side_view(tally: ReplayResult, span: Span, agents_by_id: &HashMap<&AgentId, &Agent>) -> BacktestSide {
    let name = |agent: &AgentId| agents_by_id.get(agent).and_then(|agent| agent.name.as_deref()).map(str::to_owned);
    let truncated = !tally.is_complete();
    let mut by_agent: Vec<AgentActs> = tally
        .by_agent
        .iter()
        .map(|(agent, acts)| AgentActs {
            agent: agent.clone(),
            name: name(agent),
            team: agents_by_id.get(agent).and_then(|agent| agent.team.clone()),
            acts: *acts,
        })
        .collect();
    by_agent.sort_by_key(|agent| std::cmp::Reverse(agent.acts));
    by_agent.truncate(MAX_AGENTS_LISTED);
    let listed = tally.listed_actions.into_iter().map(|act| ListedAct {
        at: act.at,
        rule: act.rule,
        name: name(&act.agent),
        agent: act.agent,
        wants: act.action,
        because: act.facts,
    });
    BacktestSide {
        acts: tally.action_count,
        agents: tally.by_agent.len(),
        by_rule: tally.by_rule.into_iter().map(|(rule, (mode, acts))| RuleActs { rule, mode, acts }).collect(),
        by_hour: hourly_counts(&tally.by_hour, span),
        by_agent,
        held: tally.held.into_iter().map(|(guard, times)| GuardCount { guard: guard.to_owned(), times }).collect(),
        listed: listed.collect(),
        truncated,
    }
}

fn hourly_counts(counted: &BTreeMap<UtcMicros, u64>, (from, to): Span) -> Vec<HourActs> {
    let mut hours = Vec::new();
    let mut hour = hour_of(from);
    while hour < to {
        hours.push(HourActs { from: hour, acts: counted.get(&hour).copied().unwrap_or_default() });
        hour = hour.offset(HOUR_US);
    }
    hours
}

/// Returns the limitations stated in every result, because figures that look exact are easily believed.
fn limitations(input: &BacktestInput, step: Duration) -> Vec<String> {
    let mut all = vec![
        "a change of the replay takes effect at once and lasts until the agent's next recorded change; what the agent would have \
         done after it nobody knows"
            .to_owned(),
        "where a change was really made at that time, history shows what came of it: what it was made for is found in its last instant, \
         but how long it would have lasted nobody knows, so a rule that waits longer finds less than it would have"
            .to_owned(),
        format!(
            "everybody is looked at every {} and at the end of each recorded state, live every second: what lasts shorter and ends \
             otherwise may be missed",
            duration_text(step)
        ),
        "how fresh each sight was, what people had asked for, what the platform said of schedules and breaks, and agents who would \
         have taken a change back are not replayed"
            .to_owned(),
        "teams, zones, guards and adherence are those of now; schedules and exceptions are those of then".to_owned(),
        format!("an act and a real change count as the same within {}", duration_text(SAME_CHANGE_WINDOW)),
    ];
    if input.uses_figures() {
        all.push("figures of skills and queues are not replayed: conditions on them hold for nobody".to_owned());
    }
    all
}
