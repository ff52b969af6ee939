//! One pass over the roster: which rule has which agent, and what the guards say.
//!
//! Deciding and explaining run through the same lines; only the recorder differs.

use std::cell::OnceCell;

use crate::domain::agents::roster::{AgentIndex, AgentSlot, Roster, TeamIndex};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{PolicyFacts, Ruling, Violation, rule_on};
use crate::domain::changes::priority::Priority;
use crate::domain::ids::{AgentId, RuleId};
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::{CompiledRule, RuleSet};
use crate::domain::rules::rule::condition::Condition;
use crate::domain::time::UtcMicros;

use super::facts::{Facts, fact_key};
use super::view::{Context, View};
use super::{DecideSettings, Decisions, Guard, Held, Intent};

/// The flapping guard's window.
const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

/// How a rule came out for an agent; rules by their place in the set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// A condition did not hold.
    NoMatch,
    /// A guard holds it back.
    Held(Guard),
    /// An earlier rule has the agent.
    Taken(usize),
    /// It became an intent.
    Decided,
}

/// Takes down what a pass finds of one agent.
pub(super) trait Recorder {
    /// Whether every rule is gone through to its last condition.
    const WHOLE: bool;

    /// A rule's turn starts.
    fn rule(&mut self, rule: &CompiledRule, view: &View<'_>);
    /// A condition of `when`, or of `unless`.
    fn condition(&mut self, condition: &Condition, in_unless: bool, held: bool, view: &View<'_>);
    /// How the rule came out.
    fn came(&mut self, rule: &CompiledRule, came: Came, rules: &[CompiledRule], view: &View<'_>);
}

/// Takes down nothing.
struct Silent;

impl Recorder for Silent {
    const WHOLE: bool = false;

    fn rule(&mut self, _: &CompiledRule, _: &View<'_>) {}
    fn condition(&mut self, _: &Condition, _: bool, _: bool, _: &View<'_>) {}
    fn came(&mut self, _: &CompiledRule, _: Came, _: &[CompiledRule], _: &View<'_>) {}
}

/// What a rule may still do in this minute.
#[derive(Debug, Default)]
struct Quota {
    acts: usize,
    /// By team; empty where the rule has no limit that asks for it.
    by_team: Vec<usize>,
}

/// Which rules have the agent.
#[derive(Default)]
struct Taken {
    live: Option<usize>,
    watching: Option<usize>,
}

impl Taken {
    /// Gives the agent to the rule at `place`, unless an earlier one has it.
    fn take(&mut self, place: usize, mode: Mode) -> Result<(), usize> {
        let (earlier, taken) = match mode {
            Mode::Watch => (self.live.or(self.watching), &mut self.watching),
            Mode::Enforce | Mode::Approve => (self.live, &mut self.live),
        };
        earlier.map_or_else(
            || {
                *taken = Some(place);
                Ok(())
            },
            Err,
        )
    }
}

/// One pass.
pub(super) struct Pass<'a> {
    roster: &'a Roster,
    rules: &'a RuleSet,
    context: Context<'a>,
    quotas: Vec<Quota>,
    /// Agents at work by team, once a rule asks for it.
    at_work: OnceCell<Vec<usize>>,
    decisions: Decisions,
}

impl<'a> Pass<'a> {
    pub(super) fn new(roster: &'a Roster, rules: &'a RuleSet, settings: &'a DecideSettings, now: UtcMicros) -> Self {
        let context = Context::new(roster, rules, settings, now);
        let quotas = rules.rules().iter().map(|rule| quota(rule, roster, now)).collect();
        Self { roster, rules, context, quotas, at_work: OnceCell::new(), decisions: Decisions::default() }
    }

    /// Goes over all agents.
    pub(super) fn run(self) -> Decisions {
        self.record(None, &mut Silent)
    }

    /// Looks at one agent only.
    pub(super) fn run_for(mut self, agent: AgentIndex) -> Decisions {
        let Some(slot) = self.roster.get(agent) else { return self.decisions };
        let (context, mut turn) = self.turn();
        turn.consider(agent, &View::of(slot, context), &mut Silent);
        self.decisions
    }

    /// Goes over all agents and takes down what is found of `agent`.
    pub(super) fn record<R: Recorder>(mut self, agent: Option<AgentIndex>, recorder: &mut R) -> Decisions {
        let roster = self.roster;
        let (context, mut turn) = self.turn();
        for (index, slot) in roster.iter() {
            let view = View::of(slot, context);
            if agent == Some(index) {
                turn.consider(index, &view, recorder);
            } else {
                turn.consider(index, &view, &mut Silent);
            }
        }
        self.decisions
    }

    fn turn(&mut self) -> (&Context<'a>, Turn<'_>) {
        let Self { roster, rules, context, quotas, at_work, decisions } = self;
        (context, Turn { roster, rules, quotas, at_work, decisions })
    }
}

/// What is counted and gathered while agents are considered.
struct Turn<'a> {
    roster: &'a Roster,
    rules: &'a RuleSet,
    quotas: &'a mut [Quota],
    at_work: &'a OnceCell<Vec<usize>>,
    decisions: &'a mut Decisions,
}

impl Turn<'_> {
    fn consider<R: Recorder>(&mut self, index: AgentIndex, view: &View<'_>, recorder: &mut R) {
        let state = view.slot.observed().map(|observed| &observed.state);
        let mut candidates = if R::WHOLE { u64::MAX } else { self.rules.candidates(view.standing.kind(), state) };
        let mut taken = Taken::default();
        while candidates != 0 {
            let place = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let Some(rule) = self.rules.rules().get(place) else { return };
            recorder.rule(rule, view);
            let came = self.try_rule(place, rule, index, view, &mut taken, recorder);
            recorder.came(rule, came, self.rules.rules(), view);
        }
    }

    fn try_rule<R: Recorder>(
        &mut self,
        place: usize,
        rule: &CompiledRule,
        index: AgentIndex,
        view: &View<'_>,
        taken: &mut Taken,
        recorder: &mut R,
    ) -> Came {
        if !all_hold(&rule.when, false, view, recorder) {
            return Came::NoMatch;
        }
        if rule.unless.as_ref().is_some_and(|unless| all_hold(unless, true, view, recorder)) {
            return self.hold(rule, Guard::Unless, index, view);
        }
        // Who is excused from the plan is nobody's by the plan: the rules that do not look at it go on.
        if rule.looks_at_plan && view.slot.excused(view.now()).is_some() {
            return self.hold(rule, Guard::Excused, index, view);
        }
        if rule.action.target().is_some()
            && let Err(earlier) = taken.take(place, rule.mode)
        {
            return Came::Taken(earlier);
        }
        let key = fact_key(view, (&rule.id, &rule.version), "");
        let team = view.slot.team();
        let held = guard(rule, key, view).or_else(|| self.limited(place, rule, team, view.now()));
        if let Some(guard) = held {
            return self.hold(rule, guard, index, view);
        }
        let quota = &mut self.quotas[place];
        quota.acts += 1;
        if let Some(acts) = quota.by_team.get_mut(team.position()) {
            *acts += 1;
        }
        self.decisions.intents.push(Intent {
            index,
            agent: view.slot.id().clone(),
            rule: rule.id.clone(),
            rule_version: rule.version.clone(),
            priority: rule.class.priority(),
            mode: rule.mode,
            action: rule.action.clone(),
            facts: Facts::of(view, &rule.when),
            fact_key: key,
        });
        Came::Decided
    }

    fn hold(&mut self, rule: &CompiledRule, guard: Guard, index: AgentIndex, view: &View<'_>) -> Came {
        if guard.is_listed() {
            self.decisions.held.push(Held {
                index,
                agent: view.slot.id().clone(),
                rule: rule.id.clone(),
                rule_version: rule.version.clone(),
                mode: rule.mode,
                guard,
                fact_key: fact_key(view, (&rule.id, &rule.version), guard.name()),
            });
        }
        Came::Held(guard)
    }

    fn limited(&self, place: usize, rule: &CompiledRule, team: TeamIndex, now: UtcMicros) -> Option<Guard> {
        let quota = &self.quotas[place];
        if rule.limits.per_minute.is_some_and(|most| quota.acts >= most) {
            return Some(Guard::PerMinute);
        }
        let share = rule.limits.share_of_team?;
        let at_work = self.at_work.get_or_init(|| at_work(self.roster, now));
        let at_work = at_work.get(team.position()).copied().unwrap_or(0);
        let acts = quota.by_team.get(team.position()).copied().unwrap_or(0);
        (acts >= share_of(at_work, share)).then_some(Guard::ShareOfTeam)
    }
}

/// How many agents a share allows: rounded down, and at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share in 0 to 1 of a count of agents is a count of agents"
)]
fn share_of(agents: usize, share: f64) -> usize {
    ((agents as f64 * share) as usize).max(1)
}

fn all_hold<R: Recorder>(conditions: &[Condition], in_unless: bool, view: &View<'_>, recorder: &mut R) -> bool {
    let mut all = true;
    for condition in conditions {
        let held = view.holds(&condition.test);
        recorder.condition(condition, in_unless, held, view);
        all &= held;
        if !all && !R::WHOLE {
            return false;
        }
    }
    all
}

/// The guards that look at the agent alone, in the order in which they are named to people.
fn guard(rule: &CompiledRule, key: u64, view: &View<'_>) -> Option<Guard> {
    let (slot, settings, now) = (view.slot, view.context.settings, view.now());
    let (Some(observed), Some(seen_at)) = (slot.observed(), slot.seen_at()) else { return Some(Guard::NeverSeen) };
    if now.since(seen_at) > settings.stale_after {
        return Some(Guard::StaleSight);
    }
    if matches!(observed.state, AgentState::Unknown(_)) {
        return Some(Guard::UnknownState);
    }
    let changes = rule.action.target().is_some();
    if changes && let Some(guard) = change_guard(rule, &observed.state, view) {
        return Some(guard);
    }
    let last = slot.memory().and_then(|memory| memory.last_acted(&rule.id));
    let carried_out = changes && rule.mode == Mode::Enforce;
    if !carried_out && last.is_some_and(|last| last.fact_key == key) {
        return Some(Guard::SaidAlready);
    }
    last.is_some_and(|last| now.since(last.at) < rule.cooldown).then_some(Guard::Cooldown)
}

fn change_guard(rule: &CompiledRule, state: &AgentState, view: &View<'_>) -> Option<Guard> {
    let (slot, settings, now) = (view.slot, view.context.settings, view.now());
    let (target, on_contact) = rule.action.target()?;
    if state == target {
        return Some(Guard::AsWanted);
    }
    if slot.busy().is_some_and(|open| open.keeps_off(rule.class.priority())) {
        return Some(Guard::OpenTransition);
    }
    let facts =
        PolicyFacts { planned: view.standing.planned(slot.plan()), platform: slot.platform(now), state: Some(state) };
    match rule_on(target, facts, settings.unscheduled_forbids, on_contact) {
        // The door asks the platform, or waits for the contact's end.
        Ruling::Allow | Ruling::AskPlatform | Ruling::HoldForContact => {}
        Ruling::HoldForBreak(_) => return Some(Guard::Policy(Violation::MandatoryBreakViolation)),
        Ruling::Refuse(violation) => return Some(Guard::Policy(violation)),
        Ruling::SkipOnContact => return Some(Guard::OnContact),
    }
    if rule.class.priority() < Priority::Urgent && is_set_by_person(view) {
        return Some(Guard::SetByPerson);
    }
    let memory = slot.memory()?;
    if memory.left_alone_until().is_some_and(|until| now < until) {
        return Some(Guard::LeftAlone);
    }
    (memory.changes_within(HOUR, now) >= settings.changes_per_hour).then_some(Guard::Flapping)
}

/// What a person set stands until the agent leaves it or the next planned activity begins.
fn is_set_by_person(view: &View<'_>) -> bool {
    let planned_since = view.standing.since();
    view.slot.observed().is_some_and(|observed| {
        observed.by_person && planned_since.is_none_or(|since| since <= observed.known_from(view.now()))
    })
}

fn quota(rule: &CompiledRule, roster: &Roster, now: UtcMicros) -> Quota {
    let mut quota = Quota::default();
    if rule.limits.share_of_team.is_some() {
        quota.by_team = vec![0; roster.team_count()];
    }
    for team in roster.rule_memory(&rule.id).into_iter().flat_map(|memory| memory.acts(now)) {
        quota.acts += 1;
        if let Some(acts) = quota.by_team.get_mut(team.position()) {
            *acts += 1;
        }
    }
    quota
}

fn at_work(roster: &Roster, now: UtcMicros) -> Vec<usize> {
    let mut counts = vec![0; roster.team_count()];
    for slot in roster.slots() {
        counts[slot.team().position()] += usize::from(slot.is_at_work(slot.standing(now).kind()));
    }
    counts
}

/// What a rule finds of an agent, whether or not it matches.
pub(super) fn facts_of(
    agent: &AgentId,
    rule: &RuleId,
    roster: &Roster,
    rules: &RuleSet,
    settings: &DecideSettings,
    now: UtcMicros,
) -> Option<Facts> {
    let slot: &AgentSlot = roster.agent(agent.as_str())?;
    let rule = rules.rules().iter().find(|known| known.id == *rule)?;
    let context = Context::new(roster, rules, settings, now);
    Some(Facts::of(&View::of(slot, &context), &rule.when))
}
