//! One agent at one instant, as conditions see it: whether each holds, and what was found there.

use std::sync::Arc;

use crate::domain::adherence::{LiveVerdict, PlannedNow};
use crate::domain::agents::agent::Observed;
use crate::domain::agents::roster::standing::Standing;
use crate::domain::agents::roster::{AgentSlot, Roster, TeamIndex};
use crate::domain::agents::sets::PlanKind;
use crate::domain::agents::skill::Skill;
use crate::domain::analytics::anomaly::Anomalies;
use crate::domain::live::figures::Figures;
use crate::domain::rules::rule::anomaly::AnomalyTest;
use crate::domain::rules::rule::compile::RuleSet;
use crate::domain::rules::rule::condition::{BreakIs, Condition, ShiftIs, Test};
use crate::domain::rules::rule::figures::FigureTest;
use crate::domain::schedules::breaks;
use crate::domain::schedules::schedule::Activity;
use crate::domain::time::{UtcMicros, rough_duration_text};

use super::DecideSettings;
use super::facts::Finding;

const SECONDS_OF_DAY: i64 = 24 * 60 * 60;
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What is the same for all agents of a pass.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub now: UtcMicros,
    pub settings: &'a DecideSettings,
    zone_offsets: Vec<i32>,
    /// The roster's number for each team that the rules name.
    teams: Vec<Option<TeamIndex>>,
    /// The figures that the rules look at, and whether each is as it should be.
    figures: Vec<(&'a FigureTest, bool)>,
    latest: &'a Figures,
    /// The same of anomalies.
    anomalies: Vec<(&'a AnomalyTest, bool)>,
    known: &'a Anomalies,
}

impl<'a> Context<'a> {
    pub(super) fn new(roster: &'a Roster, rules: &'a RuleSet, settings: &'a DecideSettings, now: UtcMicros) -> Self {
        let (latest, tests) = (roster.figures(), rules.figures().iter());
        let (known, odd) = (roster.anomalies(), rules.anomalies().iter());
        Self {
            now,
            settings,
            zone_offsets: roster.zone_offsets(now),
            teams: rules.teams().iter().map(|team| roster.team(team)).collect(),
            figures: tests.map(|test| (test, test.holds(latest, now))).collect(),
            latest,
            anomalies: odd.map(|test| (test, test.holds(known, now))).collect(),
            known,
        }
    }
}

/// One agent at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub slot: &'a AgentSlot,
    pub standing: Standing,
    pub context: &'a Context<'a>,
}

impl<'a> View<'a> {
    pub(super) fn of(slot: &'a AgentSlot, context: &'a Context<'a>) -> Self {
        Self { slot, standing: slot.standing(context.now), context }
    }

    pub(super) fn now(&self) -> UtcMicros {
        self.context.now
    }

    /// Local time's offset from UTC in seconds, where the agent's zone is known.
    pub(super) fn utc_offset(&self) -> Option<i32> {
        Roster::offset_of(self.slot, &self.context.zone_offsets)
    }

    /// The local second of the day, and the local day of the week from Monday.
    fn local(&self) -> Option<(i64, i64)> {
        let seconds = self.now().as_micros().div_euclid(1_000_000) + i64::from(self.utc_offset()?);
        // 1970-01-01 was a Thursday.
        let weekday = (seconds.div_euclid(SECONDS_OF_DAY) + 3).rem_euclid(7);
        Some((seconds.rem_euclid(SECONDS_OF_DAY), weekday))
    }

    fn verdict(&self) -> LiveVerdict {
        judged(self.slot, self.standing, self.context.settings, self.now())
    }

    fn observed(&self, holds: impl FnOnce(&Observed) -> bool) -> bool {
        self.slot.observed().is_some_and(holds)
    }

    /// Whether a condition holds.
    pub(super) fn holds(&self, test: &Test) -> bool {
        let (standing, now) = (&self.standing, self.now());
        let plan = self.slot.plan();
        match test {
            Test::Planned(set) => set.contains(standing.kind(), || standing.activity(plan)),
            Test::After(set) => set.contains(standing.before(), || standing.activity_before(plan)),
            Test::Next(set) => set.contains(standing.next(), || standing.activity_next(plan)),
            Test::PlannedFor(least) => standing.since().is_some_and(|since| now.since(since) >= *least),
            Test::PlannedLeft(least) => standing.until().since(now) >= *least,
            Test::Mandatory(wanted) => standing.mandatory() == *wanted,
            Test::State(set) => self.observed(|observed| set.contains(&observed.state)),
            Test::OnContact(wanted) => self.observed(|observed| observed.state.is_on_contact() == *wanted),
            Test::StateFor(least) => self.observed(|observed| now.since(observed.entered_at) >= *least),
            Test::Break(BreakIs::Due) => breaks::is_overdue(self.slot, now),
            Test::Break(BreakIs::Running) => standing.kind().is_rest(),
            Test::Break(BreakIs::Over) => breaks::over_since(self.slot, now).is_some(),
            Test::Worked(least) => breaks::worked(self.slot, now) >= *least,
            Test::Shift(is, span) => match is {
                ShiftIs::StartedFor => standing.shift().is_some_and(|(start, _)| now.since(start) >= *span),
                ShiftIs::StartedWithin => standing.shift().is_some_and(|(start, _)| now.since(start) <= *span),
                ShiftIs::EndsWithin => standing.shift().is_some_and(|(_, end)| end.since(now) <= *span),
                ShiftIs::StartsWithin => standing.next_shift_start().is_some_and(|start| start.since(now) <= *span),
                ShiftIs::EndedFor => standing.last_shift_end().is_some_and(|end| now.since(end) >= *span),
                ShiftIs::EndedWithin => standing.last_shift_end().is_some_and(|end| now.since(end) <= *span),
            },
            Test::Verdict(wanted) => wanted.contains(&self.verdict().verdict),
            Test::VerdictFor(least) => self.verdict().since.is_some_and(|since| now.since(since) >= *least),
            Test::Team(wanted) => wanted.iter().any(|place| self.context.teams[*place] == Some(self.slot.team())),
            Test::Skill(wanted) => {
                self.slot.skills().iter().any(|skill| wanted.iter().any(|word| skill.is_called(word)))
            }
            Test::Queue(wanted) => self.observed(|observed| {
                observed.queue.as_deref().is_some_and(|queue| wanted.iter().any(|name| name == queue))
            }),
            Test::LocalTime(from, to) => self.local().is_some_and(|(second, _)| {
                let (from, to) = (i64::from(*from), i64::from(*to));
                if from < to { (from..to).contains(&second) } else { second >= from || second < to }
            }),
            Test::Weekdays(bits) => self.local().is_some_and(|(_, weekday)| bits & (1 << weekday) != 0),
            Test::Figure(place) => self.context.figures[*place].1,
            Test::Anomaly(place) => self.context.anomalies[*place].1,
        }
    }

    /// What was found where a condition looked.
    pub(super) fn finding(&self, condition: &Condition, held: bool) -> Finding {
        Finding {
            condition: condition.name.into(),
            wanted: condition.wanted.clone(),
            actual: self.actual(&condition.test),
            held,
        }
    }

    fn actual(&self, test: &Test) -> String {
        let (standing, now, plan) = (&self.standing, self.now(), self.slot.plan());
        let lasted =
            |since: Option<UtcMicros>| since.map_or_else(unknown, |since| rough_duration_text(now.since(since)));
        match test {
            Test::Planned(_) => planned_name(standing.kind(), standing.activity(plan)),
            Test::After(_) => planned_name(standing.before(), standing.activity_before(plan)),
            Test::Next(_) => planned_name(standing.next(), standing.activity_next(plan)),
            Test::PlannedFor(_) => lasted(standing.since()),
            Test::PlannedLeft(_) if standing.until() == UtcMicros::MAX => "no end".to_owned(),
            Test::PlannedLeft(_) => rough_duration_text(standing.until().since(now)),
            Test::Mandatory(_) => standing.mandatory().to_string(),
            Test::State(_) => self.slot.observed().map_or_else(unknown, |observed| observed.state.to_string()),
            Test::OnContact(_) => {
                self.slot.observed().map_or_else(unknown, |observed| observed.state.is_on_contact().to_string())
            }
            Test::StateFor(_) => lasted(self.slot.observed().map(|observed| observed.entered_at)),
            Test::Break(_) => self.break_text().to_owned(),
            Test::Worked(_) => rough_duration_text(breaks::worked(self.slot, now)),
            Test::Shift(is, _) => self.shift_text(*is),
            Test::Verdict(_) => self.verdict().verdict.to_string(),
            Test::VerdictFor(_) => lasted(self.verdict().since),
            Test::Team(_) => self.slot.agent().team.as_ref().map_or_else(unknown, ToString::to_string),
            Test::Skill(_) => skill_text(self.slot.skills()),
            Test::Queue(_) => {
                self.slot.observed().and_then(|observed| observed.queue.as_deref()).map_or_else(unknown, str::to_owned)
            }
            Test::LocalTime(..) => {
                self.local().map_or_else(unknown, |(second, _)| format!("{:02}:{:02}", second / 3600, second / 60 % 60))
            }
            Test::Weekdays(_) => {
                let day = self.local().and_then(|(_, weekday)| usize::try_from(weekday).ok());
                day.map_or_else(unknown, |day| WEEKDAYS[day].to_owned())
            }
            Test::Figure(place) => self.context.figures[*place].0.actual(self.context.latest, now),
            Test::Anomaly(place) => self.context.anomalies[*place].0.actual(self.context.known, now),
        }
    }

    fn break_text(&self) -> &'static str {
        if breaks::is_overdue(self.slot, self.now()) {
            BreakIs::Due.name()
        } else if self.standing.kind().is_rest() {
            BreakIs::Running.name()
        } else if breaks::over_since(self.slot, self.now()).is_some() {
            BreakIs::Over.name()
        } else {
            "none"
        }
    }

    fn shift_text(&self, is: ShiftIs) -> String {
        let (standing, now) = (&self.standing, self.now());
        let span = match is {
            ShiftIs::StartedFor | ShiftIs::StartedWithin => standing.shift().map(|(start, _)| now.since(start)),
            ShiftIs::EndsWithin => standing.shift().map(|(_, end)| end.since(now)),
            ShiftIs::StartsWithin => standing.next_shift_start().map(|start| start.since(now)),
            ShiftIs::EndedFor | ShiftIs::EndedWithin => standing.last_shift_end().map(|end| now.since(end)),
        };
        span.map_or_else(|| if is.asks_for_running() { "no shift".to_owned() } else { unknown() }, rough_duration_text)
    }
}

/// The verdict on an agent at `now`.
pub fn verdict(slot: &AgentSlot, settings: &DecideSettings, now: UtcMicros) -> LiveVerdict {
    judged(slot, slot.standing(now), settings, now)
}

fn judged(slot: &AgentSlot, standing: Standing, settings: &DecideSettings, now: UtcMicros) -> LiveVerdict {
    let sight = (slot.observed(), slot.seen_at());
    // What was excused before does not make a deviation longer.
    let since = standing.since().map(|since| slot.excused_until(now).map_or(since, |end| since.max(end)));
    let planned = PlannedNow { kind: standing.kind(), since, activity: || standing.activity(slot.plan()) };
    let judged = settings.adherence.judge_sight(planned, sight, settings.stale_after, now);
    match slot.excused(now) {
        Some(span) => judged.excused_since(span.start),
        None => judged,
    }
}

/// The skills of an agent as people call them.
fn skill_text(skills: &[Arc<Skill>]) -> String {
    let names: Vec<&str> =
        skills.iter().map(|skill| skill.name.as_deref().unwrap_or_else(|| skill.id.as_str())).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The name of what is planned.
pub(super) fn planned_name(kind: PlanKind, activity: Option<&Activity>) -> String {
    activity.map_or_else(|| kind.name().to_owned(), |activity| activity.name().to_owned())
}
