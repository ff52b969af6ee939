//! One agent at one instant, as seen by conditions: whether each holds, and the actual value.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::adherence::{CurrentPlan, CurrentVerdict};
use crate::domain::agents::agent::ObservedState;
use crate::domain::agents::kind_sets::PlanKind;
use crate::domain::agents::roster::plan_position::PlanPosition;
use crate::domain::agents::roster::{AgentRecord, Roster, TeamIndex};
use crate::domain::agents::skill::Skill;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::live::figures::Figures;
use crate::domain::rules::rule::anomaly::AnomalyTest;
use crate::domain::rules::rule::compile::{CompiledRule, RuleAction, RuleSet};
use crate::domain::rules::rule::condition::{BreakCondition, Condition, ConditionTest, ConditionTime};
use crate::domain::rules::rule::figures::FigureTest;
use crate::domain::rules::rule::staffing::MAX_STAFFING_AHEAD;
use crate::domain::schedules::breaks;
use crate::domain::schedules::schedule::Activity;
use crate::domain::schedules::staffing::{STAFFING_INTERVAL, StaffingInterval, StaffingSums};
use crate::domain::time::{UtcMicros, rough_duration_text};

use super::facts::{Facts, Finding};
use super::settings::DecideSettings;

const SECONDS_OF_DAY: i64 = 24 * 60 * 60;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The values shared by all agents of a pass.
#[derive(Debug)]
pub(super) struct PassContext<'a> {
    pub now: UtcMicros,
    pub settings: &'a DecideSettings,
    zone_offsets: Vec<i32>,
    /// The roster's index of each team named by the rules.
    teams: Vec<Option<TeamIndex>>,
    /// The figure tests of the rules, and whether each holds.
    figures: Vec<(&'a FigureTest, bool)>,
    current_figures: &'a Figures,
    /// The anomaly tests of the rules, and whether each holds.
    anomalies: Vec<(&'a AnomalyTest, bool)>,
    known_anomalies: &'a Anomalies,
    roster: &'a Roster,
    /// The planned staffing by the number of the compared team, computed when first needed; at
    /// [`TeamIndex::NONE`] that of all agents and queues.
    staffing: Vec<OnceCell<Vec<StaffingInterval>>>,
}

impl<'a> PassContext<'a> {
    pub(super) fn new(roster: &'a Roster, rules: &'a RuleSet, settings: &'a DecideSettings, now: UtcMicros) -> Self {
        let (current_figures, figure_tests) = (roster.figures(), rules.figures().iter());
        let (known_anomalies, anomaly_tests) = (roster.anomalies(), rules.anomalies().iter());
        Self {
            now,
            settings,
            zone_offsets: roster.utc_offsets(now),
            teams: rules.teams().iter().map(|team| roster.team(team)).collect(),
            figures: figure_tests.map(|test| (test, test.holds(current_figures, now))).collect(),
            current_figures,
            anomalies: anomaly_tests.map(|test| (test, test.holds(known_anomalies, now))).collect(),
            known_anomalies,
            roster,
            staffing: vec![OnceCell::new(); roster.team_count()],
        }
    }

    /// Returns the planned staffing of an agent's team from the present quarter hour on.
    fn staffing(&self, slot: &AgentRecord) -> &[StaffingInterval] {
        let queues = self.roster.team_queues();
        let team = queues.compared_team(slot.agent().team.as_ref());
        let index = if team.is_some() { slot.team() } else { TeamIndex::NONE };
        let compute = || {
            let length = i64::try_from(STAFFING_INTERVAL.as_micros()).unwrap_or(i64::MAX);
            let start = UtcMicros::from_micros(self.now.as_micros().div_euclid(length) * length);
            let mut sums = StaffingSums::new((start, start + MAX_STAFFING_AHEAD + STAFFING_INTERVAL));
            let compared = team.and_then(|team| queues.0.get(team));
            for required in self.roster.required_staffing() {
                if compared.is_none_or(|queues| queues.contains(&required.queue)) {
                    sums.add_required(required);
                }
            }
            for agent in self.roster.agents().iter().filter(|agent| team.is_none() || agent.team() == index) {
                sums.add_plan(agent.plan());
            }
            sums.intervals(start)
        };
        self.staffing.get(index.position()).map(|cell| cell.get_or_init(compute).as_slice()).unwrap_or_default()
    }
}

/// One agent at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentInstant<'a> {
    pub slot: &'a AgentRecord,
    pub standing: PlanPosition,
    pub context: &'a PassContext<'a>,
}

impl<'a> AgentInstant<'a> {
    pub(super) fn of(slot: &'a AgentRecord, context: &'a PassContext<'a>) -> Self {
        Self { slot, standing: slot.plan_position(context.now), context }
    }

    pub(super) fn now(&self) -> UtcMicros {
        self.context.now
    }

    /// Returns the offset of local time from UTC in seconds; `None` if the agent's zone is unknown.
    pub(super) fn utc_offset(&self) -> Option<i32> {
        Roster::utc_offset_of(self.slot, &self.context.zone_offsets)
    }

    /// Returns the local second of the day and the local weekday, from 0 for Monday.
    fn local_second_and_weekday(&self) -> Option<(i64, i64)> {
        let seconds = self.now().as_micros().div_euclid(1_000_000) + i64::from(self.utc_offset()?);
        // 1970-01-01 was a Thursday.
        let weekday = (seconds.div_euclid(SECONDS_OF_DAY) + 3).rem_euclid(7);
        Some((seconds.rem_euclid(SECONDS_OF_DAY), weekday))
    }

    fn verdict(&self) -> CurrentVerdict {
        judge_agent(self.slot, self.standing, self.context.settings, self.now())
    }

    fn is_observed_and(&self, predicate: impl FnOnce(&ObservedState) -> bool) -> bool {
        self.slot.observed().is_some_and(predicate)
    }

    /// Whether a condition holds.
    pub(super) fn holds(&self, test: &ConditionTest) -> bool {
        let (standing, now) = (&self.standing, self.now());
        let plan = self.slot.plan();
        match test {
            ConditionTest::Planned(set) => set.contains(standing.kind(), || standing.activity(plan)),
            ConditionTest::After(set) => set.contains(standing.previous_kind(), || standing.previous_activity(plan)),
            ConditionTest::Next(set) => set.contains(standing.next_kind(), || standing.next_activity(plan)),
            ConditionTest::AtLeast(time, least) => self.time(*time).is_some_and(|time| time >= *least),
            ConditionTest::AtMost(time, most) => self.time(*time).is_some_and(|time| time <= *most),
            ConditionTest::Mandatory(wanted) => standing.is_mandatory() == *wanted,
            ConditionTest::State(set) => self.is_observed_and(|observed| set.contains(&observed.state)),
            ConditionTest::OnContact(wanted) => {
                self.is_observed_and(|observed| observed.state.is_on_contact() == *wanted)
            }
            ConditionTest::Break(BreakCondition::Due) => breaks::is_overdue(self.slot, now),
            ConditionTest::Break(BreakCondition::Running) => standing.kind().is_rest(),
            ConditionTest::Break(BreakCondition::Over) => breaks::over_since(self.slot, now).is_some(),
            ConditionTest::Verdict(wanted) => wanted.contains(&self.verdict().verdict),
            ConditionTest::Team(wanted) => {
                wanted.iter().any(|place| self.context.teams[*place] == Some(self.slot.team()))
            }
            ConditionTest::Skill(wanted) => {
                self.slot.skills().iter().any(|skill| wanted.iter().any(|word| skill.matches_name(word)))
            }
            ConditionTest::Queue(wanted) => self.is_observed_and(|observed| {
                observed.queue.as_deref().is_some_and(|queue| wanted.iter().any(|name| name == queue))
            }),
            ConditionTest::LocalTime(from, to) => self.local_second_and_weekday().is_some_and(|(second, _)| {
                let (from, to) = (i64::from(*from), i64::from(*to));
                if from < to { (from..to).contains(&second) } else { second >= from || second < to }
            }),
            ConditionTest::Weekdays(bits) => {
                self.local_second_and_weekday().is_some_and(|(_, weekday)| bits & (1 << weekday) != 0)
            }
            ConditionTest::Figure(place) => self.context.figures[*place].1,
            ConditionTest::Anomaly(place) => self.context.anomalies[*place].1,
            ConditionTest::Staffing(test) => test.holds(self.context.staffing(self.slot), now),
        }
    }

    /// Returns the finding for a condition.
    pub(super) fn finding(&self, condition: &Condition, held: bool) -> Finding {
        Finding {
            condition: condition.name.into(),
            wanted: condition.requirement.clone(),
            actual: self.actual_text(&condition.test),
            held,
        }
    }

    /// Returns the facts about the agent, with the findings for these conditions.
    pub(super) fn facts(&self, when: &[Condition]) -> Facts {
        let standing = &self.standing;
        let observed = self.slot.observed();
        Facts {
            at: self.now(),
            planned: planned_name(standing.kind(), standing.activity(self.slot.plan())),
            planned_since: standing.since(),
            planned_until: Some(standing.until()).filter(|until| *until != UtcMicros::MAX),
            mandatory: standing.is_mandatory(),
            state: observed.map(|observed| observed.state.clone()),
            state_since: observed.map(|observed| observed.entered_at),
            seen_at: self.slot.last_observed_at(),
            utc_offset_s: self.utc_offset(),
            conditions: when.iter().map(|condition| self.finding(condition, self.holds(&condition.test))).collect(),
        }
    }

    /// Returns a key (FNV-1a) over everything that identifies a decision.
    ///
    /// It is implemented here because the key must be the same in every build and release, which the standard library's
    /// hasher does not guarantee.
    pub(super) fn fact_key(&self, rule: &CompiledRule, guard: &str) -> u64 {
        let since = |instant: Option<UtcMicros>| instant.map_or(i64::MIN, UtcMicros::as_micros).to_le_bytes();
        // An offer is made once for each shift, whatever the agent does.
        let (planned_since, observed, kind) = match rule.action {
            RuleAction::Offer { .. } => (self.standing.current_or_next_shift_start(), None, ""),
            RuleAction::SetState { .. } | RuleAction::LogOut { .. } | RuleAction::Tell(_) | RuleAction::Ask(_) => {
                (self.standing.since(), self.slot.observed(), self.standing.kind().name())
            }
        };
        let planned = since(planned_since);
        let entered = since(observed.map(|observed| observed.entered_at));
        let state = observed.map_or("", |observed| observed.state.name());
        let texts = [self.slot.id().as_str(), rule.id.as_str(), &rule.version, guard, state, kind];
        let parts = texts.iter().map(|text| text.as_bytes()).chain([planned.as_slice(), entered.as_slice()]);
        let mut key: u64 = 0xcbf2_9ce4_8422_2325;
        for part in parts {
            // The byte 0xff never occurs in UTF-8, so it separates the parts.
            for byte in part.iter().chain(&[0xff]) {
                key = (key ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        key
    }

    fn actual_text(&self, test: &ConditionTest) -> String {
        let (standing, now, plan) = (&self.standing, self.now(), self.slot.plan());
        match test {
            ConditionTest::Planned(_) => planned_name(standing.kind(), standing.activity(plan)),
            ConditionTest::After(_) => planned_name(standing.previous_kind(), standing.previous_activity(plan)),
            ConditionTest::Next(_) => planned_name(standing.next_kind(), standing.next_activity(plan)),
            ConditionTest::AtLeast(time, _) | ConditionTest::AtMost(time, _) => self.time_text(*time),
            ConditionTest::Mandatory(_) => standing.is_mandatory().to_string(),
            ConditionTest::State(_) => {
                self.slot.observed().map_or_else(unknown_text, |observed| observed.state.to_string())
            }
            ConditionTest::OnContact(_) => {
                self.slot.observed().map_or_else(unknown_text, |observed| observed.state.is_on_contact().to_string())
            }
            ConditionTest::Break(_) => self.break_text().to_owned(),
            ConditionTest::Verdict(_) => self.verdict().verdict.to_string(),
            ConditionTest::Team(_) => self.slot.agent().team.as_ref().map_or_else(unknown_text, ToString::to_string),
            ConditionTest::Skill(_) => skill_text(self.slot.skills()),
            ConditionTest::Queue(_) => self
                .slot
                .observed()
                .and_then(|observed| observed.queue.as_deref())
                .map_or_else(unknown_text, str::to_owned),
            ConditionTest::LocalTime(..) => self
                .local_second_and_weekday()
                .map_or_else(unknown_text, |(second, _)| format!("{:02}:{:02}", second / 3600, second / 60 % 60)),
            ConditionTest::Weekdays(_) => {
                let day = self.local_second_and_weekday().and_then(|(_, weekday)| usize::try_from(weekday).ok());
                day.map_or_else(unknown_text, |day| WEEKDAYS[day].to_owned())
            }
            ConditionTest::Figure(place) => {
                self.context.figures[*place].0.actual_text(self.context.current_figures, now)
            }
            ConditionTest::Anomaly(place) => {
                self.context.anomalies[*place].0.actual_text(self.context.known_anomalies, now)
            }
            ConditionTest::Staffing(test) => test.actual_text(self.context.staffing(self.slot), now),
        }
    }

    fn break_text(&self) -> &'static str {
        if breaks::is_overdue(self.slot, self.now()) {
            BreakCondition::Due.name()
        } else if self.standing.kind().is_rest() {
            BreakCondition::Running.name()
        } else if breaks::over_since(self.slot, self.now()).is_some() {
            BreakCondition::Over.name()
        } else {
            "none"
        }
    }

    /// Returns a time; `None` if it is unknown or there is no such time now.
    fn time(&self, time: ConditionTime) -> Option<Duration> {
        let (standing, now) = (&self.standing, self.now());
        match time {
            ConditionTime::InState => self.slot.observed().map(|observed| now.since(observed.entered_at)),
            ConditionTime::InActivity => standing.since().map(|since| now.since(since)),
            ConditionTime::LeftOfActivity => Some(standing.until().since(now)),
            ConditionTime::Worked => Some(breaks::worked(self.slot, now)),
            ConditionTime::InVerdict => self.verdict().since.map(|since| now.since(since)),
            ConditionTime::SinceShiftStart => standing.shift().map(|(start, _)| now.since(start)),
            ConditionTime::ToShiftEnd => standing.shift().map(|(_, end)| end.since(now)),
            ConditionTime::ToShiftStart => standing.next_shift_start().map(|start| start.since(now)),
            ConditionTime::SinceShiftEnd => standing.last_shift_end().map(|end| now.since(end)),
        }
    }

    fn time_text(&self, time: ConditionTime) -> String {
        match (time, self.time(time)) {
            (ConditionTime::LeftOfActivity, _) if self.standing.until() == UtcMicros::MAX => "no end".to_owned(),
            (_, Some(time)) => rough_duration_text(time),
            (ConditionTime::SinceShiftStart | ConditionTime::ToShiftEnd, None) => "no shift".to_owned(),
            (_, None) => unknown_text(),
        }
    }
}

/// Returns the adherence of an agent at `now`.
pub fn live_verdict(slot: &AgentRecord, settings: &DecideSettings, now: UtcMicros) -> CurrentVerdict {
    judge_agent(slot, slot.plan_position(now), settings, now)
}

fn judge_agent(
    slot: &AgentRecord,
    standing: PlanPosition,
    settings: &DecideSettings,
    now: UtcMicros,
) -> CurrentVerdict {
    let observation = (slot.observed(), slot.last_observed_at());
    // Time before the end of an approved exception does not count towards a deviation.
    let since = standing.since().map(|since| slot.last_exception_ended_at(now).map_or(since, |end| since.max(end)));
    let planned = CurrentPlan { kind: standing.kind(), since, activity: || standing.activity(slot.plan()) };
    let verdict = settings.adherence.judge_observation(planned, observation, settings.stale_after, now);
    match slot.exception(now) {
        Some(span) => verdict.with_exception_since(span.start),
        None => verdict,
    }
}

/// Returns the names of the agent's skills, or their ids where they have no name.
fn skill_text(skills: &[Arc<Skill>]) -> String {
    let names: Vec<&str> =
        skills.iter().map(|skill| skill.name.as_deref().unwrap_or_else(|| skill.id.as_str())).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn unknown_text() -> String {
    "unknown".to_owned()
}

/// Returns the name of what is planned.
fn planned_name(kind: PlanKind, activity: Option<&Activity>) -> String {
    activity.map_or_else(|| kind.name().to_owned(), |activity| activity.name().to_owned())
}
