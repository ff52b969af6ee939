//! One pass over the roster: which rule claims which agent, and which guards hold it back.
//!
//! Deciding and explaining share this code and differ only in the recorder.

use std::cell::OnceCell;

use crate::domain::agents::roster::{AgentIndex, Roster, TeamIndex};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{PolicyDecision, PolicyFacts, Violation, decide};
use crate::domain::changes::priority::Priority;
use crate::domain::rules::rule::Mode;
use crate::domain::rules::rule::compile::{CompiledRule, RuleAction, RuleSet};
use crate::domain::rules::rule::condition::Condition;
use crate::domain::time::UtcMicros;

use super::decision::{Decisions, Guard, HeldIntent, Intent};
use super::settings::DecideSettings;
use super::view::{AgentInstant, PassContext};

/// The window of the flapping guard.
const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

/// The result of a rule for an agent. Other rules are given by their index in the set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RuleResult {
    /// A condition did not hold.
    NoMatch,
    /// A guard holds the action back.
    Held(Guard),
    /// An earlier rule has claimed the agent.
    Claimed(usize),
    /// The rule led to an intent.
    Decided,
}

/// Records the findings of a pass about one agent.
pub(super) trait Recorder {
    /// Whether every rule is evaluated to its last condition.
    const RECORDS_ALL: bool;

    /// Begins the record of a rule.
    fn start_rule(&mut self, rule: &CompiledRule, view: &AgentInstant<'_>);
    /// Records a condition of `when` or `unless`.
    fn record_condition(&mut self, condition: &Condition, in_unless: bool, held: bool, view: &AgentInstant<'_>);
    /// Records the result of the rule.
    fn record_result(&mut self, rule: &CompiledRule, came: RuleResult, rules: &[CompiledRule], view: &AgentInstant<'_>);
}

/// A recorder that records nothing.
struct NullRecorder;

impl Recorder for NullRecorder {
    const RECORDS_ALL: bool = false;

    fn start_rule(&mut self, _: &CompiledRule, _: &AgentInstant<'_>) {}
    fn record_condition(&mut self, _: &Condition, _: bool, _: bool, _: &AgentInstant<'_>) {}
    fn record_result(&mut self, _: &CompiledRule, _: RuleResult, _: &[CompiledRule], _: &AgentInstant<'_>) {}
}

/// The actions that a rule has taken within the last minute.
#[derive(Debug, Default)]
struct Quota {
    acts: usize,
    /// Actions by team; empty if the rule has no limit by team.
    by_team: Vec<usize>,
}

/// The rules that have claimed the agent.
#[derive(Default)]
struct AgentClaims {
    acting: Option<usize>,
    watching: Option<usize>,
}

impl AgentClaims {
    /// Claims the agent for a rule; the error is the earlier rule that has claimed it.
    fn claim(&mut self, rule_index: usize, mode: Mode) -> Result<(), usize> {
        let (earlier, claim) = match mode {
            Mode::Watch => (self.acting.or(self.watching), &mut self.watching),
            Mode::Enforce | Mode::Approve => (self.acting, &mut self.acting),
        };
        earlier.map_or_else(
            || {
                *claim = Some(rule_index);
                Ok(())
            },
            Err,
        )
    }
}

/// One pass over the roster.
pub(super) struct Pass<'a> {
    roster: &'a Roster,
    rules: &'a RuleSet,
    context: PassContext<'a>,
    quotas: Vec<Quota>,
    /// The number of agents at work by team, counted when first needed.
    at_work: OnceCell<Vec<usize>>,
    decisions: Decisions,
}

impl<'a> Pass<'a> {
    pub(super) fn new(roster: &'a Roster, rules: &'a RuleSet, settings: &'a DecideSettings, now: UtcMicros) -> Self {
        let context = PassContext::new(roster, rules, settings, now);
        let quotas = rules.rules().iter().map(|rule| quota(rule, roster, now)).collect();
        Self { roster, rules, context, quotas, at_work: OnceCell::new(), decisions: Decisions::default() }
    }

    /// Evaluates all agents.
    pub(super) fn run(self) -> Decisions {
        self.record(None, &mut NullRecorder)
    }

    /// Evaluates one agent only.
    pub(super) fn run_for(mut self, agent: AgentIndex) -> Decisions {
        let Some(slot) = self.roster.get(agent) else { return self.decisions };
        let (context, mut turn) = self.split_evaluator();
        turn.evaluate_agent(agent, &AgentInstant::of(slot, context), &mut NullRecorder);
        self.decisions
    }

    /// Evaluates all agents and records the findings about `agent`.
    pub(super) fn record<R: Recorder>(mut self, agent: Option<AgentIndex>, recorder: &mut R) -> Decisions {
        let roster = self.roster;
        let (context, mut turn) = self.split_evaluator();
        for (index, slot) in roster.iter() {
            let view = AgentInstant::of(slot, context);
            if agent == Some(index) {
                turn.evaluate_agent(index, &view, recorder);
            } else {
                turn.evaluate_agent(index, &view, &mut NullRecorder);
            }
        }
        self.decisions
    }

    fn split_evaluator(&mut self) -> (&PassContext<'a>, AgentEvaluator<'_>) {
        let Self { roster, rules, context, quotas, at_work, decisions } = self;
        (context, AgentEvaluator { roster, rules, quotas, at_work, decisions })
    }
}

/// The state of a pass while agents are evaluated.
struct AgentEvaluator<'a> {
    roster: &'a Roster,
    rules: &'a RuleSet,
    quotas: &'a mut [Quota],
    at_work: &'a OnceCell<Vec<usize>>,
    decisions: &'a mut Decisions,
}

impl AgentEvaluator<'_> {
    fn evaluate_agent<R: Recorder>(&mut self, index: AgentIndex, view: &AgentInstant<'_>, recorder: &mut R) {
        let state = view.slot.observed().map(|observed| &observed.state);
        let mut candidates = if R::RECORDS_ALL { u64::MAX } else { self.rules.candidates(view.standing.kind(), state) };
        let mut claims = AgentClaims::default();
        while candidates != 0 {
            let rule_index = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let Some(rule) = self.rules.rules().get(rule_index) else { return };
            recorder.start_rule(rule, view);
            let result = self.evaluate_rule(rule_index, rule, index, view, &mut claims, recorder);
            recorder.record_result(rule, result, self.rules.rules(), view);
        }
    }

    fn evaluate_rule<R: Recorder>(
        &mut self,
        rule_index: usize,
        rule: &CompiledRule,
        index: AgentIndex,
        view: &AgentInstant<'_>,
        claims: &mut AgentClaims,
        recorder: &mut R,
    ) -> RuleResult {
        if !all_hold(&rule.when, false, view, recorder) {
            return RuleResult::NoMatch;
        }
        if rule.unless.as_ref().is_some_and(|unless| all_hold(unless, true, view, recorder)) {
            return self.hold_intent(rule, Guard::Unless, index, view);
        }
        // An agent with an approved exception is only considered by rules that do not depend on the plan.
        if rule.depends_on_plan && view.slot.exception(view.now()).is_some() {
            return self.hold_intent(rule, Guard::Excused, index, view);
        }
        if rule.action.target().is_some()
            && let Err(earlier) = claims.claim(rule_index, rule.mode)
        {
            return RuleResult::Claimed(earlier);
        }
        let key = view.fact_key(rule, "");
        let team = view.slot.team();
        let blocking_guard =
            check_guards(rule, key, view).or_else(|| self.check_limits(rule_index, rule, team, view.now()));
        if let Some(guard) = blocking_guard {
            return self.hold_intent(rule, guard, index, view);
        }
        let quota = &mut self.quotas[rule_index];
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
            facts: view.facts(&rule.when),
            fact_key: key,
        });
        RuleResult::Decided
    }

    fn hold_intent(
        &mut self,
        rule: &CompiledRule,
        guard: Guard,
        index: AgentIndex,
        view: &AgentInstant<'_>,
    ) -> RuleResult {
        if guard.is_listed() {
            self.decisions.held.push(HeldIntent {
                index,
                agent: view.slot.id().clone(),
                rule: rule.id.clone(),
                rule_version: rule.version.clone(),
                mode: rule.mode,
                guard,
                fact_key: view.fact_key(rule, guard.name()),
            });
        }
        RuleResult::Held(guard)
    }

    fn check_limits(&self, rule_index: usize, rule: &CompiledRule, team: TeamIndex, now: UtcMicros) -> Option<Guard> {
        let quota = &self.quotas[rule_index];
        if rule.limits.per_minute.is_some_and(|most| quota.acts >= most) {
            return Some(Guard::PerMinute);
        }
        let share = rule.limits.share_of_team?;
        let at_work = self.at_work.get_or_init(|| agents_at_work_by_team(self.roster, now));
        let at_work = at_work.get(team.position()).copied().unwrap_or(0);
        let acts = quota.by_team.get(team.position()).copied().unwrap_or(0);
        (acts >= max_agents_for_share(at_work, share)).then_some(Guard::ShareOfTeam)
    }
}

/// Returns how many agents a share allows: rounded down, but at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share in 0 to 1 of a count of agents is a count of agents"
)]
fn max_agents_for_share(agents: usize, share: f64) -> usize {
    ((agents as f64 * share) as usize).max(1)
}

fn all_hold<R: Recorder>(conditions: &[Condition], in_unless: bool, view: &AgentInstant<'_>, recorder: &mut R) -> bool {
    let mut all = true;
    for condition in conditions {
        let held = view.holds(&condition.test);
        recorder.record_condition(condition, in_unless, held, view);
        all &= held;
        if !all && !R::RECORDS_ALL {
            return false;
        }
    }
    all
}

/// Checks the guards that depend on the agent alone, in the order in which they are reported.
fn check_guards(rule: &CompiledRule, key: u64, view: &AgentInstant<'_>) -> Option<Guard> {
    let (slot, settings, now) = (view.slot, view.context.settings, view.now());
    let (Some(observed), Some(seen_at)) = (slot.observed(), slot.last_observed_at()) else {
        return Some(Guard::NeverSeen);
    };
    if now.since(seen_at) > settings.stale_after {
        return Some(Guard::StaleSight);
    }
    if matches!(observed.state, AgentState::Unknown(_)) {
        return Some(Guard::UnknownState);
    }
    let changes = rule.action.target().is_some();
    if changes && let Some(guard) = check_change_guards(rule, &observed.state, view) {
        return Some(guard);
    }
    let is_offer = matches!(rule.action, RuleAction::Offer { .. });
    if is_offer && view.standing.current_or_next_shift_start().is_none() {
        return Some(Guard::NoShift);
    }
    let last = slot.memory().and_then(|memory| memory.last_action(&rule.id));
    let is_enforced_change = changes && rule.mode == Mode::Enforce;
    if !is_enforced_change && last.is_some_and(|last| last.fact_key == key) {
        return Some(Guard::SaidAlready);
    }
    last.is_some_and(|last| now.since(last.at) < rule.cooldown).then_some(Guard::Cooldown)
}

fn check_change_guards(rule: &CompiledRule, state: &AgentState, view: &AgentInstant<'_>) -> Option<Guard> {
    let (slot, settings, now) = (view.slot, view.context.settings, view.now());
    let (target, on_contact) = rule.action.target()?;
    if state == target {
        return Some(Guard::AsWanted);
    }
    // Nobody can be logged in, and whoever left or was logged out by the platform is not to be corrected.
    if *state == AgentState::LoggedOut {
        return Some(Guard::LoggedOut);
    }
    if slot.blocking_transition().is_some_and(|open| open.blocks(rule.class.priority())) {
        return Some(Guard::OpenTransition);
    }
    let facts = PolicyFacts {
        planned: view.standing.planned(slot.plan()),
        platform_plan: slot.platform_plan(now),
        state: Some(state),
    };
    match decide(target, facts, settings.unscheduled_forbids, on_contact) {
        // The change is checked again when it is sent: then the platform is asked, or the end of the contact awaited.
        PolicyDecision::Allow | PolicyDecision::AskPlatform | PolicyDecision::HoldForContact => {}
        PolicyDecision::HoldForBreak(_) => return Some(Guard::Policy(Violation::MandatoryBreakViolation)),
        PolicyDecision::Refuse(violation) => return Some(Guard::Policy(violation)),
        PolicyDecision::SkipOnContact => return Some(Guard::OnContact),
    }
    if rule.class.priority() < Priority::Urgent && is_set_by_person(view) {
        return Some(Guard::SetByPerson);
    }
    let memory = slot.memory()?;
    if memory.paused_until().is_some_and(|until| now < until) {
        return Some(Guard::LeftAlone);
    }
    (memory.changes_within(HOUR, now) >= settings.changes_per_hour).then_some(Guard::Flapping)
}

/// Whether a person set the agent's state. It is kept until the agent leaves it or the next planned activity begins.
fn is_set_by_person(view: &AgentInstant<'_>) -> bool {
    let planned_since = view.standing.since();
    view.slot.observed().is_some_and(|observed| {
        observed.requested_by_person && planned_since.is_none_or(|since| since <= observed.reliable_from(view.now()))
    })
}

fn quota(rule: &CompiledRule, roster: &Roster, now: UtcMicros) -> Quota {
    let mut quota = Quota::default();
    if rule.limits.share_of_team.is_some() {
        quota.by_team = vec![0; roster.team_count()];
    }
    for team in roster.rule_memory(&rule.id).into_iter().flat_map(|memory| memory.recent_action_teams(now)) {
        quota.acts += 1;
        if let Some(acts) = quota.by_team.get_mut(team.position()) {
            *acts += 1;
        }
    }
    quota
}

fn agents_at_work_by_team(roster: &Roster, now: UtcMicros) -> Vec<usize> {
    let mut counts = vec![0; roster.team_count()];
    for slot in roster.agents() {
        counts[slot.team().position()] += usize::from(slot.is_at_work(slot.plan_position(now).kind()));
    }
    counts
}
