//! From what people write to what the planner evaluates, one field at a time, complaining of each that cannot be read.
//!
//! Whether fields fit together is for [`super::check`].

use std::time::Duration;

use jiff::civil::Time;

use crate::domain::adherence::Verdict;
use crate::domain::agents::sets::{PlanSet, StateSet};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::TeamName;
use crate::domain::schedules::schedule::{Activity, LOOKS_AHEAD, LOOKS_BACK};
use crate::domain::time::duration_text;
use crate::domain::time::span;

use super::anomaly::read as read_anomaly;
use super::compile::Named;
use super::condition::{BreakIs, Condition, ShiftIs, Test};
use super::figures::{FigureSubject, read as read_figures};
use super::{Complaints, Conditions, LocalTime, Names, ShiftConditions, nearest, suggestion};

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const LONG_WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const SECONDS_OF_DAY: i32 = 24 * 60 * 60;
const LONGEST_SPAN: Duration = Duration::from_hours(7 * 24);

/// Translates `when` or `unless`.
pub(super) struct Translation<'a> {
    /// `when` or `unless`.
    pub prefix: &'static str,
    /// The teams and figures of the rule set; those that are new to it are added.
    pub named: &'a mut Named,
    /// What is wrong.
    pub complaints: &'a mut Complaints,
    /// The result, so far.
    pub found: Vec<Condition>,
}

impl Translation<'_> {
    /// Reads everything that is named.
    pub(super) fn read(&mut self, conditions: &Conditions) {
        self.plan_set("planned", conditions.planned.as_ref(), Test::Planned);
        self.states(conditions.state.as_ref());
        self.time("for", conditions.state_for.as_deref(), Test::StateFor);
        self.plan_set("after", conditions.after.as_ref(), Test::After);
        self.plan_set("next", conditions.next.as_ref(), Test::Next);
        self.time("planned_for", conditions.planned_for.as_deref(), Test::PlannedFor);
        self.time("planned_left", conditions.planned_left.as_deref(), Test::PlannedLeft);
        self.flag("mandatory", conditions.mandatory, Test::Mandatory);
        self.flag("on_contact", conditions.on_contact, Test::OnContact);
        if let Some(shift) = &conditions.shift {
            self.shift(shift);
        }
        self.break_is(conditions.break_is.as_deref());
        self.time("worked", conditions.worked.as_deref(), Test::Worked);
        self.verdicts(conditions.verdict.as_ref());
        self.time("verdict_for", conditions.verdict_for.as_deref(), Test::VerdictFor);
        self.team(conditions.team.as_ref());
        self.skill(conditions.skill.as_ref());
        self.queue(conditions.queue.as_ref());
        self.local_time(conditions.local_time.as_ref());
        self.weekdays(conditions.weekdays.as_ref());
        self.figures(conditions);
        self.anomaly(conditions);
    }

    fn complain(&mut self, field: &str, reason: impl Into<String>) {
        self.complaints.add(format!("{}.{field}", self.prefix), reason);
    }

    fn add(&mut self, name: &'static str, wanted: String, test: Test) {
        self.found.push(Condition { name, wanted, test });
    }

    fn names<'n>(&mut self, field: &str, names: Option<&'n Names>) -> Option<&'n [String]> {
        let names = &names?.0;
        if names.is_empty() {
            self.complain(field, "the list is empty, so nothing can match; name something, or leave it out");
            return None;
        }
        if names.iter().any(|name| name.trim().is_empty()) {
            self.complain(field, "an empty name matches nothing");
            return None;
        }
        Some(names)
    }

    fn plan_set(&mut self, field: &'static str, names: Option<&Names>, test: fn(PlanSet) -> Test) {
        let Some(names) = self.names(field, names) else { return };
        let known = || Activity::KNOWN.iter().map(Activity::name).chain(["off", "uncovered"]).collect::<Vec<_>>();
        let mut set = PlanSet::default();
        for name in names {
            let folded = name.trim().to_lowercase();
            // A centre may name activities as it likes, so only what looks like a slip of the pen is refused.
            if !known().contains(&folded.as_str())
                && let Some(near) = nearest(&folded, known())
            {
                self.complain(
                    field,
                    format!("`{name}` is not an activity that Shiftkeeper knows; did you mean `{near}`?"),
                );
            }
            set.insert(&folded);
        }
        self.add(field, any_of(names), test(set));
    }

    fn states(&mut self, names: Option<&Names>) {
        let Some(names) = self.names("state", names) else { return };
        let mut set = StateSet::default();
        for name in names {
            match AgentState::from_name(name) {
                Some(state) => set.insert(&state),
                None => self.complain("state", unknown_state(name)),
            }
        }
        if !set.is_empty() {
            self.add("state", any_of(names), Test::State(set));
        }
    }

    fn span(&mut self, field: &str, text: Option<&str>) -> Option<Duration> {
        match span::parse(text?) {
            Ok(span) if span.is_zero() => self.complain(field, "a time of zero says nothing; leave it out"),
            Ok(span) if within_plans(field).is_some_and(|(most, _)| span > most) => {
                let (most, way) = within_plans(field).unwrap_or_default();
                let most = duration_text(most);
                self.complain(field, format!("plans are held {most} {way}, so a time may be {most} at most here"));
            }
            Ok(span) if span > LONGEST_SPAN => self.complain(field, "a time may be 168h (a week) at most"),
            Ok(span) => return Some(span),
            Err(reason) => self.complain(field, reason),
        }
        None
    }

    fn time(&mut self, field: &'static str, text: Option<&str>, test: fn(Duration) -> Test) {
        if let Some(span) = self.span(field, text) {
            self.add(field, format!("at least {}", duration_text(span)), test(span));
        }
    }

    fn flag(&mut self, field: &'static str, wanted: Option<bool>, test: fn(bool) -> Test) {
        if let Some(wanted) = wanted {
            self.add(field, wanted.to_string(), test(wanted));
        }
    }

    fn shift(&mut self, shift: &ShiftConditions) {
        let before = self.found.len();
        for (name, text, is) in [
            ("shift.started_for", &shift.started_for, ShiftIs::StartedFor),
            ("shift.started_within", &shift.started_within, ShiftIs::StartedWithin),
            ("shift.ends_within", &shift.ends_within, ShiftIs::EndsWithin),
            ("shift.starts_within", &shift.starts_within, ShiftIs::StartsWithin),
            ("shift.ended_for", &shift.ended_for, ShiftIs::EndedFor),
            ("shift.ended_within", &shift.ended_within, ShiftIs::EndedWithin),
        ] {
            if let Some(span) = self.span(name, text.as_deref()) {
                let bound = match is {
                    ShiftIs::StartedFor | ShiftIs::EndedFor => "at least",
                    ShiftIs::StartedWithin | ShiftIs::EndsWithin | ShiftIs::StartsWithin | ShiftIs::EndedWithin => {
                        "at most"
                    }
                };
                self.add(name, format!("{bound} {}", duration_text(span)), Test::Shift(is, span));
            }
        }
        if self.found.len() == before && *shift == ShiftConditions::default() {
            self.complain("shift", "nothing is asked of the shift; name one of its times, or leave it out");
        }
    }

    fn break_is(&mut self, text: Option<&str>) {
        let Some(text) = text else { return };
        if let Some(is) = BreakIs::ALL.into_iter().find(|is| is.name() == text) {
            self.add("break", text.to_owned(), Test::Break(is));
        } else {
            let near = suggestion(text, BreakIs::ALL.map(BreakIs::name));
            self.complain("break", format!("`{text}` is not one of due, running, over{near}"));
        }
    }

    fn verdicts(&mut self, names: Option<&Names>) {
        let Some(names) = self.names("verdict", names) else { return };
        let mut verdicts = Vec::new();
        for name in names {
            if let Some(verdict) = Verdict::from_name(name) {
                verdicts.push(verdict);
            } else {
                let near = suggestion(name, Verdict::ALL.map(Verdict::name));
                self.complain("verdict", format!("`{name}` is not a verdict{near}"));
            }
        }
        if !verdicts.is_empty() {
            self.add("verdict", any_of(names), Test::Verdict(verdicts));
        }
    }

    fn team(&mut self, names: Option<&Names>) {
        let Some(names) = self.names("team", names) else { return };
        let places = names.iter().map(|name| place_of(&mut self.named.teams, TeamName::new(name))).collect();
        self.add("team", any_of(names), Test::Team(places));
    }

    fn skill(&mut self, names: Option<&Names>) {
        if let Some(names) = self.names("skill", names) {
            self.add("skill", any_of(names), Test::Skill(names.to_vec()));
        }
    }

    fn queue(&mut self, names: Option<&Names>) {
        if let Some(names) = self.names("queue", names) {
            self.add("queue", any_of(names), Test::Queue(names.to_vec()));
        }
    }

    fn local_time(&mut self, local: Option<&LocalTime>) {
        let Some(local) = local else { return };
        match (seconds_of_day(&local.from), seconds_of_day(&local.to)) {
            (Some(from), Some(to)) if from == to => {
                self.complain("local_time", "from and to are the same, so no time lies between them");
            }
            (Some(from), Some(to)) => {
                let wanted = format!("{} to {}", local.from, local.to);
                self.add("local_time", wanted, Test::LocalTime(from, to));
            }
            (from, to) => {
                for (field, text, read) in [("local_time.from", &local.from, from), ("local_time.to", &local.to, to)] {
                    if read.is_none() {
                        self.complain(field, format!("`{text}` is not a time of day; write it as 08:30"));
                    }
                }
            }
        }
    }

    fn weekdays(&mut self, names: Option<&Names>) {
        let Some(names) = self.names("weekdays", names) else { return };
        let mut bits = 0;
        for name in names {
            let folded = name.to_lowercase();
            let day = (0..7).find(|day| WEEKDAYS[*day] == folded || LONG_WEEKDAYS[*day] == folded);
            if let Some(day) = day {
                bits |= 1 << day;
            } else {
                let near = suggestion(name, WEEKDAYS.into_iter().chain(LONG_WEEKDAYS));
                self.complain("weekdays", format!("`{name}` is not a day; write mon to sun{near}"));
            }
        }
        if bits != 0 {
            self.add("weekdays", any_of(names), Test::Weekdays(bits));
        }
    }

    fn figures(&mut self, conditions: &Conditions) {
        let skill =
            conditions.skill_figures.as_ref().map(|asked| (asked, FigureSubject::Skill(asked.id.0.as_str().into())));
        let queue =
            conditions.queue_figures.as_ref().map(|asked| (asked, FigureSubject::Queue(asked.id.0.as_str().into())));
        for (asked, subject) in skill.into_iter().chain(queue) {
            match read_figures(asked, &subject) {
                Err(complaints) => {
                    for (field, reason) in complaints {
                        self.complain(&field, reason);
                    }
                }
                Ok(tests) => {
                    for test in tests {
                        let (name, wanted) = (test.measure().condition, test.wanted());
                        let place = place_of(&mut self.named.figures, test);
                        self.add(name, wanted, Test::Figure(place));
                    }
                }
            }
        }
    }

    fn anomaly(&mut self, conditions: &Conditions) {
        let Some(asked) = &conditions.anomaly else { return };
        match read_anomaly(asked) {
            Err(complaints) => {
                for (field, reason) in complaints {
                    self.complain(field, reason);
                }
            }
            Ok(test) => {
                let wanted = test.wanted();
                let place = place_of(&mut self.named.anomalies, test);
                self.add("anomaly", wanted, Test::Anomaly(place));
            }
        }
    }
}

/// The place of something in a list that it is added to where it is new.
fn place_of<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    let known = all.iter().position(|known| *known == one);
    known.unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}

/// How far a condition can see in the plan, and which way; `None` for what does not look at other days.
fn within_plans(field: &str) -> Option<(Duration, &'static str)> {
    match field {
        "planned_for" | "verdict_for" | "shift.ended_for" | "shift.ended_within" => Some((LOOKS_BACK, "back")),
        "planned_left" | "shift.starts_within" => Some((LOOKS_AHEAD, "ahead")),
        _ => None,
    }
}

/// What to say of a name that is no state.
pub(super) fn unknown_state(name: &str) -> String {
    let near = suggestion(name, AgentState::KNOWN.iter().map(AgentState::name));
    format!("`{name}` is not a state{near}")
}

fn any_of(names: &[String]) -> String {
    names.join(" or ")
}

/// `HH:MM`, and `24:00` for the end of the day.
fn seconds_of_day(text: &str) -> Option<i32> {
    if text == "24:00" {
        return Some(SECONDS_OF_DAY);
    }
    let time = Time::strptime("%H:%M", text).ok()?;
    Some((i32::from(time.hour()) * 60 + i32::from(time.minute())) * 60)
}
