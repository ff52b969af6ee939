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

/// The result of a backtest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BacktestResult {
    /// The number of agents in the backtest.
    pub agents: usize,
    /// The time between two evaluations, in seconds.
    pub step_s: u64,
    /// The actions with the tested rule.
    pub replayed: BacktestSide,
    /// The actions with the rule as it is now; null if there is none or it is the same.
    pub present: Option<BacktestSide>,
    /// The changes that the tested rule (or all rules) requested at the time.
    pub really: ActualChanges,
    /// The comparison of `replayed` with `really`.
    pub compared: ComparisonView,
    /// What a backtest cannot take into account, in words.
    pub cannot_know: Vec<String>,
}

/// The actions that a set of rules would have taken.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BacktestSide {
    /// The number of actions.
    pub acts: u64,
    /// The number of agents with an action.
    pub agents: usize,
    /// The number of actions by rule, with its mode in the backtest.
    pub by_rule: Vec<RuleActs>,
    /// The number of actions for each full hour (UTC) of the time range.
    pub by_hour: Vec<HourActs>,
    /// The number of actions by agent, in descending order; at most 200 agents.
    pub by_agent: Vec<AgentActs>,
    /// How often each guard held an action.
    pub held: Vec<GuardCount>,
    /// The first 500 actions.
    pub listed: Vec<ListedAct>,
    /// Whether there were more actions than the comparison keeps (100,000).
    pub truncated: bool,
}

/// The number of actions of a rule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RuleActs {
    /// The id of the rule.
    pub rule: RuleId,
    /// The mode; `enforce` for the tested rule.
    pub mode: Mode,
    /// The number of actions.
    pub acts: u64,
}

/// The number of actions in an hour.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HourActs {
    /// The start of the hour.
    pub from: UtcMicros,
    /// The number of actions.
    pub acts: u64,
}

/// The number of actions on an agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AgentActs {
    /// The id of the agent.
    pub agent: AgentId,
    /// The name of the agent; null if unknown.
    pub name: Option<String>,
    /// The team of the agent; null if unknown.
    pub team: Option<TeamName>,
    /// The number of actions.
    pub acts: u64,
}

/// How often a guard held an action, counted once for each change of the facts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct GuardCount {
    /// The name of the guard.
    pub guard: String,
    /// The number of times.
    pub times: u64,
}

/// An action of a backtest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ListedAct {
    /// When the rule would have acted.
    pub at: UtcMicros,
    /// The id of the rule.
    pub rule: RuleId,
    /// The id of the agent.
    pub agent: AgentId,
    /// The name of the agent; null if unknown.
    pub name: Option<String>,
    /// The action, in words.
    pub wants: String,
    /// The facts behind the action, in words.
    pub because: String,
}

/// The changes that were requested at the time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ActualChanges {
    /// The number of transitions.
    pub acts: u64,
    /// The number of agents with a transition.
    pub agents: usize,
    /// The number of transitions for each full hour (UTC) of the time range.
    pub by_hour: Vec<HourActs>,
}

/// A comparison of the actions with the transitions of the time. An action and a transition match if they are about the
/// same agent and at most five minutes apart.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComparisonView {
    /// The number of matching pairs.
    pub both: u64,
    /// The number of actions without a matching transition.
    pub only_replayed: u64,
    /// The number of transitions without a matching action.
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
        "A change in a backtest takes effect at once and lasts until the agent's next recorded change. What the agent would have \
         done next is unknown."
            .to_owned(),
        "If a change was really made, the backtest finds its reason in the last instant before it. How long the agent would have \
         stayed in that state is unknown, so a rule that waits longer finds fewer agents than it would have found."
            .to_owned(),
        format!(
            "Agents are checked every {} and at the end of each recorded state. The running daemon checks them every second, so \
             shorter conditions may be missed here.",
            duration_text(step)
        ),
        "These are not replayed: the age of each observation, what people had requested, the platform's answers about schedules \
         and breaks, and which changes agents would have reverted."
            .to_owned(),
        "Teams, time zones, guards and adherence settings are the current ones. Schedules and exceptions are those of the time."
            .to_owned(),
        format!("An action and a real change match if they are at most {} apart.", duration_text(SAME_CHANGE_WINDOW)),
    ];
    if input.uses_figures() {
        all.push("Figures of skills and queues are not replayed. Conditions on them are false.".to_owned());
    }
    all
}
