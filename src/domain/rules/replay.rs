//! Replays rules over recorded history: the planner that decides live, fed with what was seen and planned then, look by look.
//!
//! Who feeds it (`engine::rules::trials`) hands in what the agents were in, in order, and says when to look. Besides, an agent is looked at
//! just before what was recorded of it next, so that nothing is missed that held to the end of a state: what a rule really changed
//! then would otherwise hide what it changed it for. A change that a rule asks for takes effect at once, and lasts until the next
//! change that was recorded of the agent: what the agent would have done instead nobody knows. A change during a contact waits for its
//! end, as it does live. Known states count as freshly seen.
//!
//! Not replayed, since the record does not have it: how old a sight was, figures of skills and queues, what the platform said of
//! schedules and breaks, transitions of people that were open, and whether an agent would have taken a change back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::planner::{DecideSettings, Decisions, Intent, decide, decide_one, note};
use super::rule::Mode;
use super::rule::compile::RuleSet;
use crate::domain::agents::agent::{Agent, Observed, Source};
use crate::domain::agents::roster::{AgentIndex, Busy, Roster};
use crate::domain::agents::state::AgentState;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, RuleId, TenantId};
use crate::domain::schedules::schedule::{AgentPlan, Coverage};
use crate::domain::time::UtcMicros;

/// The most acts that are listed one by one.
pub const MOST_LISTED: usize = 500;
/// The most acts whose instants are kept for a comparison; later ones are counted alone.
pub const MOST_COMPARED: usize = 100_000;
/// An act and a change that was really asked for are the same when they lie no further apart: a rule's usual cooldown.
pub const SAME_ACT_WITHIN: Duration = Duration::from_mins(5);
/// An hour, in microseconds.
pub const HOUR_US: i64 = 3_600_000_000;

/// The full hour that an instant lies in.
pub const fn hour_of(at: UtcMicros) -> UtcMicros {
    UtcMicros::from_micros(at.as_micros().div_euclid(HOUR_US) * HOUR_US)
}

/// The pause between two looks: the planner's work over the whole span is held to a bound, so that a large roster is looked at more
/// rarely.
pub fn step_for(agents: usize, span: Duration) -> Duration {
    const MOST_AGENT_LOOKS: u64 = 200_000_000;
    const STEPS_S: [u64; 5] = [30, 60, 120, 300, 600];
    let looks = |step: u64| span.as_secs() / step * agents as u64;
    let step = STEPS_S.into_iter().find(|step| looks(*step) <= MOST_AGENT_LOOKS).unwrap_or(STEPS_S[4]);
    Duration::from_secs(step)
}

/// One thing that a rule would have done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// When.
    pub at: UtcMicros,
    /// Which rule.
    pub rule: RuleId,
    /// To whom.
    pub agent: AgentId,
    /// What it wanted, as `set Ready (WORKING)`.
    pub wants: String,
    /// The facts, for a person.
    pub because: String,
}

/// What came of a replay.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// How often a rule would have acted.
    pub acts: u64,
    /// The same by rule, with its mode in the replay.
    pub by_rule: BTreeMap<RuleId, (Mode, u64)>,
    /// By full hour (UTC).
    pub by_hour: BTreeMap<UtcMicros, u64>,
    /// By agent.
    pub by_agent: BTreeMap<AgentId, u64>,
    /// How often each guard held a rule back, once for each change of the facts.
    pub held: BTreeMap<&'static str, u64>,
    /// The first acts, in order.
    pub listed: Vec<Act>,
    /// The instants of acts by agent, in order.
    pub times: BTreeMap<AgentId, Vec<UtcMicros>>,
    /// How many of them are kept.
    kept: usize,
}

impl Tally {
    /// Counts one act.
    fn act(&mut self, intent: &Intent, now: UtcMicros) {
        self.acts += 1;
        self.by_rule.entry(intent.rule.clone()).or_insert((intent.mode, 0)).1 += 1;
        *self.by_hour.entry(hour_of(now)).or_default() += 1;
        *self.by_agent.entry(intent.agent.clone()).or_default() += 1;
        if self.listed.len() < MOST_LISTED {
            self.listed.push(Act {
                at: now,
                rule: intent.rule.clone(),
                agent: intent.agent.clone(),
                wants: intent.action.to_string(),
                because: intent.facts.to_string(),
            });
        }
        if self.kept < MOST_COMPARED {
            self.kept += 1;
            self.times.entry(intent.agent.clone()).or_default().push(now);
        }
    }

    /// Whether everything that was counted is also kept for comparison.
    pub fn is_complete(&self) -> bool {
        self.acts == self.kept as u64
    }
}

/// A change that waits for the end of a contact.
struct Waiting {
    state: AgentState,
    until: UtcMicros,
}

/// One set of rules on its way through history.
pub struct Replay {
    roster: Roster,
    rules: Arc<RuleSet>,
    settings: DecideSettings,
    /// Of which rule acts are counted; of all of them without one.
    subject: Option<RuleId>,
    waiting: HashMap<AgentIndex, Waiting>,
    /// The last look at everybody.
    looked_at: Option<UtcMicros>,
    tally: Tally,
}

impl Replay {
    /// Of these agents, of whom nothing is known yet.
    pub fn new(
        tenant: TenantId,
        agents: impl IntoIterator<Item = Agent>,
        rules: Arc<RuleSet>,
        settings: &DecideSettings,
        subject: Option<RuleId>,
    ) -> Self {
        let mut roster = Roster::new(tenant);
        for agent in agents {
            roster.upsert(agent);
        }
        // Nobody recorded how old a sight was.
        let settings = DecideSettings { stale_after: Duration::MAX, ..settings.clone() };
        Self { roster, rules, settings, subject, waiting: HashMap::new(), looked_at: None, tally: Tally::default() }
    }

    /// The plans of the days around; who has none is planned by nobody.
    pub fn set_plans(&mut self, plans: &HashMap<AgentId, Arc<AgentPlan>>) {
        for (index, agent) in self.indices() {
            self.roster.set_plan(index, plans.get(&agent).cloned().unwrap_or_default());
        }
    }

    /// When each agent is excused.
    pub fn set_excused(&mut self, spans_of: impl Fn(&Agent) -> Vec<Coverage>) {
        for (index, agent) in self.indices() {
            let spans = self.roster.agent(agent.as_str()).map(|slot| spans_of(slot.agent())).unwrap_or_default();
            self.roster.set_excused(index, spans);
        }
    }

    /// The anomalies of watched series; which of them were found when decides at each look.
    pub fn set_anomalies(&mut self, anomalies: Arc<Anomalies>) {
        self.roster.set_anomalies(anomalies);
    }

    fn indices(&self) -> Vec<(AgentIndex, AgentId)> {
        self.roster.iter().map(|(index, slot)| (index, slot.id().clone())).collect()
    }

    /// What was recorded of an agent next. After the first look the rules are also asked about the instant before it. An agent whom the
    /// roster does not have is passed over.
    pub fn observe(&mut self, agent: &AgentId, observed: Observed) {
        let Some(index) = self.roster.find(agent.as_str()) else { return };
        let at = observed.entered_at;
        if let Some(end) = self.looked_at.map(|looked_at| looked_at.max(at.offset(-1))) {
            self.drop_overdue(end);
            let decisions = decide_one(&self.roster, &self.rules, &self.settings, index, end);
            self.take_up(decisions, end);
        }
        let on_contact = observed.state.is_on_contact();
        let there_already = self.waiting.get(&index).is_some_and(|waiting| waiting.state == observed.state);
        self.roster.observe(index, observed, at);
        if on_contact {
            return;
        }
        let Some(waiting) = self.waiting.remove(&index) else { return };
        self.roster.set_busy(index, None);
        if !there_already && at < waiting.until {
            self.take_effect(index, waiting.state, at);
        }
    }

    /// Decides at an instant; instants come in order, and everything recorded up to this one has been observed.
    pub fn look(&mut self, now: UtcMicros) {
        self.roster.advance(now);
        self.drop_overdue(now);
        self.looked_at = Some(now);
        let decisions = decide(&self.roster, &self.rules, &self.settings, now);
        self.take_up(decisions, now);
    }

    fn take_up(&mut self, decisions: Decisions, now: UtcMicros) {
        for intent in decisions.intents {
            note(&mut self.roster, &intent, now);
            if self.subject.as_ref().is_none_or(|subject| *subject == intent.rule) {
                self.tally.act(&intent, now);
            }
            if intent.mode == Mode::Enforce {
                self.carry_out(&intent, now);
            }
        }
        for held in decisions.held {
            let is_news = self.roster.note_held(held.index, &held.rule, held.fact_key);
            if is_news && self.subject.as_ref().is_none_or(|subject| *subject == held.rule) {
                *self.tally.held.entry(held.guard.name()).or_default() += 1;
            }
        }
    }

    /// A change that waited beyond the planned activity that it was for is void.
    fn drop_overdue(&mut self, now: UtcMicros) {
        let overdue: Vec<AgentIndex> =
            self.waiting.iter().filter(|(_, waiting)| waiting.until <= now).map(|(index, _)| *index).collect();
        for index in overdue {
            self.waiting.remove(&index);
            self.roster.set_busy(index, None);
        }
    }

    fn carry_out(&mut self, intent: &Intent, now: UtcMicros) {
        let Some((state, on_contact)) = intent.action.target() else { return };
        let talks = self
            .roster
            .get(intent.index)
            .and_then(|slot| slot.observed())
            .is_some_and(|observed| observed.state.is_on_contact());
        if talks && on_contact == OnContact::After {
            let until = intent.facts.planned_until.unwrap_or(UtcMicros::MAX);
            self.waiting.insert(intent.index, Waiting { state: state.clone(), until });
            self.roster.set_busy(intent.index, Some(Busy { priority: intent.priority, goes_on: true }));
        } else {
            self.take_effect(intent.index, state.clone(), now);
        }
    }

    fn take_effect(&mut self, index: AgentIndex, state: AgentState, at: UtcMicros) {
        let observed = Observed {
            state,
            reason: None,
            queue: None,
            entered_at: at,
            platform_at: None,
            row_at: at,
            source: Source::Post,
            transition: None,
            by_person: false,
        };
        self.roster.observe(index, observed, at);
    }

    /// What came of it.
    pub fn finish(self) -> Tally {
        self.tally
    }
}

/// How what would have been done and what was done go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compared {
    /// Acts that have a change of their own.
    pub both: u64,
    /// Acts that nothing was done for.
    pub only_replayed: u64,
    /// Changes that the replay knows nothing of.
    pub only_really: u64,
}

/// Pairs acts with changes of the same agent that lie close by ([`SAME_ACT_WITHIN`]), each once. All instants in order.
pub fn compare(replayed: &BTreeMap<AgentId, Vec<UtcMicros>>, really: &BTreeMap<AgentId, Vec<UtcMicros>>) -> Compared {
    let mut compared = Compared::default();
    let none = Vec::new();
    for (agent, acts) in replayed {
        let (mut acts, mut changes) = (acts.iter().peekable(), really.get(agent).unwrap_or(&none).iter().peekable());
        while let (Some(act), Some(change)) = (acts.peek(), changes.peek()) {
            if act.since(**change).max(change.since(**act)) <= SAME_ACT_WITHIN {
                compared.both += 1;
                acts.next();
                changes.next();
            } else if act < change {
                compared.only_replayed += 1;
                acts.next();
            } else {
                compared.only_really += 1;
                changes.next();
            }
        }
        compared.only_replayed += acts.count() as u64;
        compared.only_really += changes.count() as u64;
    }
    let of_others = really.iter().filter(|(agent, _)| !replayed.contains_key(*agent));
    compared.only_really += of_others.map(|(_, changes)| changes.len() as u64).sum::<u64>();
    compared
}

#[cfg(test)]
mod tests;
