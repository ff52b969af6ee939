//! Compiles the conditions of a rule field by field and reports each field that cannot be parsed.
//!
//! [`super::check`] checks whether the fields fit together.

use std::time::Duration;

use jiff::civil::Time;

use crate::domain::adherence::Verdict;
use crate::domain::agents::kind_sets::{PlanSet, StateSet};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::TeamName;
use crate::domain::schedules::schedule::{Activity, PLAN_LOOKAHEAD, PLAN_LOOKBACK};
use crate::domain::time::duration_text;
use crate::domain::time::span;

use super::anomaly::parse as read_anomaly;
use super::compiled_rule::RuleReferences;
use super::condition::{BreakCondition, Condition, ConditionTest, ConditionTime};
use super::figures::{FigureSubject, parse as read_figures};
use super::staffing::parse as read_staffing;
use super::{Conditions, DiagnosticCollector, LocalTime, Names, ShiftConditions, nearest, suggestion};

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const LONG_WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const SECONDS_OF_DAY: i32 = 24 * 60 * 60;
const MAX_DURATION: Duration = Duration::from_hours(7 * 24);

/// A parser for the conditions of `when` or `unless`.
pub(super) struct ConditionParser<'a> {
    /// `when` or `unless`.
    pub prefix: &'static str,
    /// The teams, figures and anomalies of the rule set, to which new ones are added.
    pub references: &'a mut RuleReferences,
    /// The errors found so far.
    pub diagnostics: &'a mut DiagnosticCollector,
    /// The conditions parsed so far.
    pub conditions: Vec<Condition>,
}

impl ConditionParser<'_> {
    /// Parses all conditions that are set.
    pub(super) fn parse(&mut self, conditions: &Conditions) {
        self.parse_plan_set("planned", conditions.planned.as_ref(), ConditionTest::Planned);
        self.parse_states(conditions.state.as_ref());
        self.parse_least("for", conditions.state_for.as_deref(), ConditionTime::InState);
        self.parse_plan_set("after", conditions.after.as_ref(), ConditionTest::After);
        self.parse_plan_set("next", conditions.next.as_ref(), ConditionTest::Next);
        self.parse_least("planned_for", conditions.planned_for.as_deref(), ConditionTime::InActivity);
        self.parse_least("planned_left", conditions.planned_left.as_deref(), ConditionTime::LeftOfActivity);
        self.parse_flag("mandatory", conditions.mandatory, ConditionTest::Mandatory);
        self.parse_flag("on_contact", conditions.on_contact, ConditionTest::OnContact);
        if let Some(shift) = &conditions.shift {
            self.parse_shift(shift);
        }
        self.parse_break(conditions.break_is.as_deref());
        self.parse_least("worked", conditions.worked.as_deref(), ConditionTime::Worked);
        self.parse_verdicts(conditions.verdict.as_ref());
        self.parse_least("verdict_for", conditions.verdict_for.as_deref(), ConditionTime::InVerdict);
        self.parse_team(conditions.team.as_ref());
        self.parse_names("skill", conditions.skill.as_ref(), ConditionTest::Skill);
        self.parse_names("queue", conditions.queue.as_ref(), ConditionTest::Queue);
        self.parse_local_time(conditions.local_time.as_ref());
        self.parse_weekdays(conditions.weekdays.as_ref());
        self.parse_figures(conditions);
        self.parse_anomaly(conditions);
        self.parse_staffing(conditions);
    }

    fn report_error(&mut self, field: &str, reason: impl Into<String>) {
        self.diagnostics.add(format!("{}.{field}", self.prefix), reason);
    }

    fn push_condition(&mut self, name: &'static str, requirement: String, test: ConditionTest) {
        self.conditions.push(Condition { name, requirement, test });
    }

    fn check_names<'n>(&mut self, field: &str, names: Option<&'n Names>) -> Option<&'n [String]> {
        let names = &names?.0;
        if names.is_empty() {
            self.report_error(field, "the list is empty, so nothing can match; name something, or leave it out");
            return None;
        }
        if names.iter().any(|name| name.trim().is_empty()) {
            self.report_error(field, "an empty name matches nothing");
            return None;
        }
        Some(names)
    }

    fn parse_plan_set(&mut self, field: &'static str, names: Option<&Names>, test: fn(PlanSet) -> ConditionTest) {
        let Some(names) = self.check_names(field, names) else { return };
        let known = || Activity::KNOWN.iter().map(Activity::name).chain(["off", "uncovered"]).collect::<Vec<_>>();
        let mut set = PlanSet::default();
        for name in names {
            let folded = name.trim().to_lowercase();
            // A centre may name activities as it likes, so only likely typing errors are refused.
            if !known().contains(&folded.as_str())
                && let Some(near) = nearest(&folded, known())
            {
                self.report_error(
                    field,
                    format!("`{name}` is not an activity that Shiftkeeper knows; did you mean `{near}`?"),
                );
            }
            set.insert(&folded);
        }
        self.push_condition(field, join_alternatives(names), test(set));
    }

    fn parse_states(&mut self, names: Option<&Names>) {
        let Some(names) = self.check_names("state", names) else { return };
        let mut set = StateSet::default();
        for name in names {
            match AgentState::from_name(name) {
                Some(state) => set.insert(&state),
                None => self.report_error("state", unknown_state_text(name)),
            }
        }
        if !set.is_empty() {
            self.push_condition("state", join_alternatives(names), ConditionTest::State(set));
        }
    }

    fn parse_span(&mut self, field: &str, text: Option<&str>) -> Option<Duration> {
        match span::parse(text?) {
            Ok(span) if span.is_zero() => self.report_error(field, "a time of zero has no effect; leave it out"),
            Ok(span) if plan_horizon(field).is_some_and(|(most, _)| span > most) => {
                let (most, way) = plan_horizon(field).unwrap_or_default();
                let most = duration_text(most);
                self.report_error(field, format!("plans are held {most} {way}, so a time may be {most} at most here"));
            }
            Ok(span) if span > MAX_DURATION => self.report_error(field, "a time may be 168h (a week) at most"),
            Ok(span) => return Some(span),
            Err(reason) => self.report_error(field, reason),
        }
        None
    }

    fn parse_least(&mut self, field: &'static str, text: Option<&str>, time: ConditionTime) {
        if let Some(span) = self.parse_span(field, text) {
            self.push_condition(field, format!("at least {}", duration_text(span)), ConditionTest::AtLeast(time, span));
        }
    }

    fn parse_most(&mut self, field: &'static str, text: Option<&str>, time: ConditionTime) {
        if let Some(span) = self.parse_span(field, text) {
            self.push_condition(field, format!("at most {}", duration_text(span)), ConditionTest::AtMost(time, span));
        }
    }

    fn parse_flag(&mut self, field: &'static str, wanted: Option<bool>, test: fn(bool) -> ConditionTest) {
        if let Some(wanted) = wanted {
            self.push_condition(field, wanted.to_string(), test(wanted));
        }
    }

    fn parse_shift(&mut self, shift: &ShiftConditions) {
        let before = self.conditions.len();
        self.parse_least("shift.started_for", shift.started_for.as_deref(), ConditionTime::SinceShiftStart);
        self.parse_most("shift.started_within", shift.started_within.as_deref(), ConditionTime::SinceShiftStart);
        self.parse_most("shift.ends_within", shift.ends_within.as_deref(), ConditionTime::ToShiftEnd);
        self.parse_most("shift.starts_within", shift.starts_within.as_deref(), ConditionTime::ToShiftStart);
        self.parse_least("shift.ended_for", shift.ended_for.as_deref(), ConditionTime::SinceShiftEnd);
        self.parse_most("shift.ended_within", shift.ended_within.as_deref(), ConditionTime::SinceShiftEnd);
        if self.conditions.len() == before && *shift == ShiftConditions::default() {
            self.report_error("shift", "no time of the shift is given; name one, or leave it out");
        }
    }

    fn parse_break(&mut self, text: Option<&str>) {
        let Some(text) = text else { return };
        if let Some(is) = BreakCondition::ALL.into_iter().find(|is| is.name() == text) {
            self.push_condition("break", text.to_owned(), ConditionTest::Break(is));
        } else {
            let near = suggestion(text, BreakCondition::ALL.map(BreakCondition::name));
            self.report_error("break", format!("`{text}` is not one of due, running, over{near}"));
        }
    }

    fn parse_verdicts(&mut self, names: Option<&Names>) {
        let Some(names) = self.check_names("verdict", names) else { return };
        let mut verdicts = Vec::new();
        for name in names {
            if let Some(verdict) = Verdict::from_name(name) {
                verdicts.push(verdict);
            } else {
                let near = suggestion(name, Verdict::ALL.map(Verdict::name));
                self.report_error("verdict", format!("`{name}` is not a verdict{near}"));
            }
        }
        if !verdicts.is_empty() {
            self.push_condition("verdict", join_alternatives(names), ConditionTest::Verdict(verdicts));
        }
    }

    fn parse_team(&mut self, names: Option<&Names>) {
        let Some(names) = self.check_names("team", names) else { return };
        let places =
            names.iter().map(|name| index_or_insert(&mut self.references.teams, TeamName::new(name))).collect();
        self.push_condition("team", join_alternatives(names), ConditionTest::Team(places));
    }

    fn parse_names(&mut self, field: &'static str, names: Option<&Names>, test: fn(Vec<String>) -> ConditionTest) {
        if let Some(names) = self.check_names(field, names) {
            self.push_condition(field, join_alternatives(names), test(names.to_vec()));
        }
    }

    fn parse_local_time(&mut self, local: Option<&LocalTime>) {
        let Some(local) = local else { return };
        match (seconds_of_day(&local.from), seconds_of_day(&local.to)) {
            (Some(from), Some(to)) if from == to => {
                self.report_error("local_time", "from and to are the same, so no time lies between them");
            }
            (Some(from), Some(to)) => {
                let wanted = format!("{} to {}", local.from, local.to);
                self.push_condition("local_time", wanted, ConditionTest::LocalTime(from, to));
            }
            (from, to) => {
                for (field, text, read) in [("local_time.from", &local.from, from), ("local_time.to", &local.to, to)] {
                    if read.is_none() {
                        self.report_error(field, format!("`{text}` is not a time of day; write it as 08:30"));
                    }
                }
            }
        }
    }

    fn parse_weekdays(&mut self, names: Option<&Names>) {
        let Some(names) = self.check_names("weekdays", names) else { return };
        let mut bits = 0;
        for name in names {
            let folded = name.to_lowercase();
            let day = (0..7).find(|day| WEEKDAYS[*day] == folded || LONG_WEEKDAYS[*day] == folded);
            if let Some(day) = day {
                bits |= 1 << day;
            } else {
                let near = suggestion(name, WEEKDAYS.into_iter().chain(LONG_WEEKDAYS));
                self.report_error("weekdays", format!("`{name}` is not a day; write mon to sun{near}"));
            }
        }
        if bits != 0 {
            self.push_condition("weekdays", join_alternatives(names), ConditionTest::Weekdays(bits));
        }
    }

    fn parse_figures(&mut self, conditions: &Conditions) {
        let skill =
            conditions.skill_figures.as_ref().map(|asked| (asked, FigureSubject::Skill(asked.id.0.as_str().into())));
        let queue =
            conditions.queue_figures.as_ref().map(|asked| (asked, FigureSubject::Queue(asked.id.0.as_str().into())));
        for (asked, subject) in skill.into_iter().chain(queue) {
            match read_figures(asked, &subject) {
                Err(complaints) => {
                    for (field, reason) in complaints {
                        self.report_error(&field, reason);
                    }
                }
                Ok(tests) => {
                    for test in tests {
                        let (name, wanted) = (test.measure().condition, test.requirement_text());
                        let place = index_or_insert(&mut self.references.figures, test);
                        self.push_condition(name, wanted, ConditionTest::Figure(place));
                    }
                }
            }
        }
    }

    fn parse_anomaly(&mut self, conditions: &Conditions) {
        let Some(asked) = &conditions.anomaly else { return };
        match read_anomaly(asked) {
            Err(complaints) => {
                for (field, reason) in complaints {
                    self.report_error(field, reason);
                }
            }
            Ok(test) => {
                let wanted = test.requirement_text();
                let place = index_or_insert(&mut self.references.anomalies, test);
                self.push_condition("anomaly", wanted, ConditionTest::Anomaly(place));
            }
        }
    }

    fn parse_staffing(&mut self, conditions: &Conditions) {
        let Some(asked) = &conditions.staffing else { return };
        match read_staffing(asked) {
            Err(complaints) => {
                for (field, reason) in complaints {
                    self.report_error(field, reason);
                }
            }
            Ok(test) => {
                self.push_condition("staffing.net", test.requirement_text(), ConditionTest::Staffing(test));
            }
        }
    }
}

/// Returns the index of a value in a list, adding it if it is new.
fn index_or_insert<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    let known = all.iter().position(|known| *known == one);
    known.unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}

/// Returns how far a condition can look in the plan and in which direction; `None` if it does not look at other days.
fn plan_horizon(field: &str) -> Option<(Duration, &'static str)> {
    match field {
        "planned_for" | "verdict_for" | "shift.ended_for" | "shift.ended_within" => Some((PLAN_LOOKBACK, "back")),
        "planned_left" | "shift.starts_within" => Some((PLAN_LOOKAHEAD, "ahead")),
        _ => None,
    }
}

/// Returns the error text for an unknown state.
pub(super) fn unknown_state_text(name: &str) -> String {
    let near = suggestion(name, AgentState::KNOWN.iter().map(AgentState::name));
    format!("`{name}` is not a state{near}")
}

fn join_alternatives(names: &[String]) -> String {
    names.join(" or ")
}

/// Parses `HH:MM` as seconds of the day; `24:00` is the end of the day.
fn seconds_of_day(text: &str) -> Option<i32> {
    if text == "24:00" {
        return Some(SECONDS_OF_DAY);
    }
    let time = Time::strptime("%H:%M", text).ok()?;
    Some((i32::from(time.hour()) * 60 + i32::from(time.minute())) * 60)
}
