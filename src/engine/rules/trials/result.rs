//! What a trial shows people, in the shape of the API.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kit::TrialKit;
use super::run::Span;
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, RuleId, TeamName};
use crate::domain::rules::replay::{HOUR_US, SAME_ACT_WITHIN, Tally, compare, hour_of};
use crate::domain::rules::rule::Mode;
use crate::domain::time::{UtcMicros, duration_text};

/// The most agents that are listed with their counts.
const MOST_AGENTS_LISTED: usize = 200;

/// What came of a trial.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrialResult {
    /// Agents that were looked at.
    pub agents: usize,
    /// From one look to the next, in seconds.
    pub step_s: u64,
    /// With the rule as it is tried.
    pub replayed: TrialSide,
    /// With the rule as it is now; null where there is none, or it is the same.
    pub present: Option<TrialSide>,
    /// What was really asked for then, by the rule that is tried (or by all rules).
    pub really: Really,
    /// How `replayed` and `really` go together.
    pub compared: ComparedView,
    /// What a replay cannot know.
    pub cannot_know: Vec<String>,
}

/// One set of rules on its way through history.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrialSide {
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
    pub held: Vec<HeldTimes>,
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
pub struct HeldTimes {
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
pub struct Really {
    /// How many transitions.
    pub acts: u64,
    /// Of how many agents.
    pub agents: usize,
    /// By full hour (UTC), every one of the span.
    pub by_hour: Vec<HourActs>,
}

/// Acts of the replay and transitions of then, paired where they are of one agent and at most five minutes apart.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComparedView {
    /// In both.
    pub both: u64,
    /// In the replay alone.
    pub only_replayed: u64,
    /// In what was done alone.
    pub only_really: u64,
}

/// Puts it together.
pub(super) fn shape(
    kit: &TrialKit,
    agents: &[Agent],
    span: Span,
    step: Duration,
    (replayed, present): (Tally, Option<Tally>),
    really: Vec<(AgentId, UtcMicros)>,
) -> TrialResult {
    let who: HashMap<&AgentId, &Agent> = agents.iter().map(|agent| (&agent.id, agent)).collect();
    let mut times: BTreeMap<AgentId, Vec<UtcMicros>> = BTreeMap::new();
    let mut hours: BTreeMap<UtcMicros, u64> = BTreeMap::new();
    let acts = really.len() as u64;
    for (agent, at) in really {
        *hours.entry(hour_of(at)).or_default() += 1;
        times.entry(agent).or_default().push(at);
    }
    let compared = compare(&replayed.times, &times);
    TrialResult {
        agents: agents.len(),
        step_s: step.as_secs(),
        replayed: side(replayed, span, &who),
        present: present.map(|tally| side(tally, span, &who)),
        really: Really { acts, agents: times.len(), by_hour: every_hour(&hours, span) },
        compared: ComparedView {
            both: compared.both,
            only_replayed: compared.only_replayed,
            only_really: compared.only_really,
        },
        cannot_know: cannot_know(kit, step),
    }
}

fn side(tally: Tally, span: Span, who: &HashMap<&AgentId, &Agent>) -> TrialSide {
    let name = |agent: &AgentId| who.get(agent).and_then(|agent| agent.name.as_deref()).map(str::to_owned);
    let truncated = !tally.is_complete();
    let mut by_agent: Vec<AgentActs> = tally
        .by_agent
        .iter()
        .map(|(agent, acts)| AgentActs {
            agent: agent.clone(),
            name: name(agent),
            team: who.get(agent).and_then(|agent| agent.team.clone()),
            acts: *acts,
        })
        .collect();
    by_agent.sort_by_key(|agent| std::cmp::Reverse(agent.acts));
    by_agent.truncate(MOST_AGENTS_LISTED);
    let listed = tally.listed.into_iter().map(|act| ListedAct {
        at: act.at,
        rule: act.rule,
        name: name(&act.agent),
        agent: act.agent,
        wants: act.wants,
        because: act.because,
    });
    TrialSide {
        acts: tally.acts,
        agents: tally.by_agent.len(),
        by_rule: tally.by_rule.into_iter().map(|(rule, (mode, acts))| RuleActs { rule, mode, acts }).collect(),
        by_hour: every_hour(&tally.by_hour, span),
        by_agent,
        held: tally.held.into_iter().map(|(guard, times)| HeldTimes { guard: guard.to_owned(), times }).collect(),
        listed: listed.collect(),
        truncated,
    }
}

fn every_hour(counted: &BTreeMap<UtcMicros, u64>, (from, to): Span) -> Vec<HourActs> {
    let mut hours = Vec::new();
    let mut hour = hour_of(from);
    while hour < to {
        hours.push(HourActs { from: hour, acts: counted.get(&hour).copied().unwrap_or_default() });
        hour = hour.offset(HOUR_US);
    }
    hours
}

/// Said of every trial, since a figure that looks exact is believed.
fn cannot_know(kit: &TrialKit, step: Duration) -> Vec<String> {
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
        format!("an act and a real change count as the same within {}", duration_text(SAME_ACT_WITHIN)),
    ];
    if kit.looks_at_figures() {
        all.push("figures of skills and queues are not replayed: conditions on them hold for nobody".to_owned());
    }
    all
}
