//! Conditions on the figures of a skill or queue: parsing, evaluation and text.
//!
//! They are the same for all agents, so a pass evaluates each only once. A test of an unknown or outdated figure does
//! not hold.

use std::fmt;
use std::time::Duration;

use crate::domain::ids::{QueueId, SkillId};
use crate::domain::live::figures::{Figures, Measure, PPM, QUEUE_MEASURES, SKILL_MEASURES, Unit};
use crate::domain::time::span;
use crate::domain::time::{UtcMicros, duration_text, rough_duration_text};

use super::{Bound, FigureConditions, suggestion};

/// A test that a figure lies within bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FigureTest {
    /// The skill or queue.
    pub subject: FigureSubject,
    /// The index of the figure in the subject's measures.
    measure_index: usize,
    /// The least value, in the unit of the measure.
    at_least: Option<u64>,
    /// The value to stay below, in the unit of the measure.
    below: Option<u64>,
}

/// The skill or queue that figures belong to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FigureSubject {
    /// A skill.
    Skill(SkillId),
    /// A queue.
    Queue(QueueId),
}

impl FigureSubject {
    /// Returns the key used in rules.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Skill(_) => "skill_figures",
            Self::Queue(_) => "queue_figures",
        }
    }

    /// Returns the figures of this kind of subject.
    pub const fn measures(&self) -> &'static [Measure] {
        match self {
            Self::Skill(_) => &SKILL_MEASURES,
            Self::Queue(_) => &QUEUE_MEASURES,
        }
    }
}

/// Formats as `skill 1234`.
impl fmt::Display for FigureSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skill(id) => write!(f, "skill {id}"),
            Self::Queue(id) => write!(f, "queue {id}"),
        }
    }
}

/// The result of looking up a figure.
struct FigureLookup<'f> {
    name: Option<&'f str>,
    read_at: UtcMicros,
    value: Option<u64>,
}

impl FigureTest {
    /// Returns the definition of the figure.
    pub const fn measure(&self) -> &'static Measure {
        &self.subject.measures()[self.measure_index]
    }

    fn look_up<'f>(&self, figures: &'f Figures) -> Option<FigureLookup<'f>> {
        let (taken_at, name, value) = match &self.subject {
            FigureSubject::Skill(id) => {
                let taken = figures.skill(id.as_str())?;
                (taken.at, &taken.figures.name, taken.figures.values()[self.measure_index])
            }
            FigureSubject::Queue(id) => {
                let taken = figures.queue(id.as_str())?;
                (taken.at, &taken.figures.name, taken.figures.values()[self.measure_index])
            }
        };
        Some(FigureLookup { name: name.as_deref(), read_at: taken_at, value })
    }

    /// Whether the test holds at `now`.
    pub fn holds(&self, figures: &Figures, now: UtcMicros) -> bool {
        let found = self.look_up(figures).filter(|found| figures.is_fresh(found.read_at, now));
        found.and_then(|found| found.value).is_some_and(|value| {
            self.at_least.is_none_or(|least| value >= least) && self.below.is_none_or(|bound| value < bound)
        })
    }

    /// Returns the requirement as text, such as `at least 5`.
    pub fn requirement_text(&self) -> String {
        let unit = self.measure().unit;
        let at_least = self.at_least.map(|least| format!("at least {}", value_text(unit, least)));
        let below = self.below.map(|bound| format!("below {}", value_text(unit, bound)));
        at_least.into_iter().chain(below).collect::<Vec<_>>().join(" and ")
    }

    /// Returns the actual value as text, such as `7 for skill 1234 (Tier 1 Voice)`.
    pub fn actual_text(&self, figures: &Figures, now: UtcMicros) -> String {
        let subject = &self.subject;
        let Some(found) = self.look_up(figures) else { return format!("unknown: no figures of {subject} were read") };
        let name = found.name.map(|name| format!(" ({name})")).unwrap_or_default();
        if !figures.is_fresh(found.read_at, now) {
            let age = rough_duration_text(now.since(found.read_at));
            let most = duration_text(figures.fresh_for);
            return format!("unknown: the figures of {subject}{name} are {age} old, at most {most} counts");
        }
        match found.value {
            Some(value) => format!("{} for {subject}{name}", value_text(self.measure().unit, value)),
            None => format!("unknown: the platform gave none for {subject}{name}"),
        }
    }
}

/// Returns a value as text: times with their units, shares in per cent.
fn value_text(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Count => value.to_string(),
        Unit::Seconds => duration_text(Duration::from_secs(value)),
        Unit::Millis => duration_text(Duration::from_millis(value)),
        Unit::Ppm => {
            let (percent, rest) = (value / (PPM / 100), value % (PPM / 100));
            if rest == 0 {
                format!("{percent} %")
            } else {
                format!("{percent}.{} %", format!("{rest:04}").trim_end_matches('0'))
            }
        }
    }
}

/// Parses the conditions on one skill or queue; the errors are given by field.
pub(super) fn parse(
    conditions: &FigureConditions,
    subject: &FigureSubject,
) -> Result<Vec<FigureTest>, Vec<(String, String)>> {
    let (key, measures) = (subject.key(), subject.measures());
    let (mut tests, mut errors) = (Vec::new(), Vec::new());
    if conditions.id.0.trim().is_empty() {
        errors.push((format!("{key}.id"), "an empty id names nothing".to_owned()));
    }
    if conditions.figures.is_empty() {
        errors.push((key.to_owned(), format!("names no figure; name one of {}", measure_names(measures))));
    }
    for (name, bounds) in &conditions.figures {
        let field = format!("{key}.{name}");
        let Some(place) = measures.iter().position(|measure| measure.name == name) else {
            let near = suggestion(name, measures.iter().map(|measure| measure.name));
            errors.push((field, format!("`{name}` is not known here{near}")));
            continue;
        };
        let mut bound = |edge: &str, bound: Option<&Bound>| match bound_in_unit(bound?, measures[place].unit) {
            Ok(value) => Some(value),
            Err(reason) => {
                errors.push((format!("{field}.{edge}"), reason));
                None
            }
        };
        let (at_least, below) = (bound("at_least", bounds.at_least.as_ref()), bound("below", bounds.below.as_ref()));
        match (at_least, below) {
            (None, None) if bounds.at_least.is_none() && bounds.below.is_none() => {
                errors.push((field, "names no bound; name at_least or below".to_owned()));
            }
            (Some(least), Some(bound)) if least >= bound => {
                errors.push((field, "no value is at_least the one and below the other".to_owned()));
            }
            (at_least, below) => {
                tests.push(FigureTest { subject: subject.clone(), measure_index: place, at_least, below });
            }
        }
    }
    if errors.is_empty() { Ok(tests) } else { Err(errors) }
}

fn measure_names(measures: &[Measure]) -> String {
    measures.iter().map(|measure| measure.name).collect::<Vec<_>>().join(", ")
}

/// Converts a bound to the unit of its figure.
fn bound_in_unit(bound: &Bound, unit: Unit) -> Result<u64, String> {
    let value = match (unit, bound) {
        (Unit::Count, Bound::Number(number)) if number.fract() == 0.0 => to_whole_number(*number),
        (Unit::Count, _) => return Err("is a count; write a whole number, as in 5".to_owned()),
        (Unit::Ppm, Bound::Number(share)) if *share <= 1.0 => to_whole_number((share * 1e6).round()),
        (Unit::Ppm, _) => return Err("is a share of 1; write 0.8 for 80 %".to_owned()),
        (Unit::Seconds | Unit::Millis, Bound::Number(_)) => {
            return Err("is a time; write it as text with its unit, as in \"2m\"".to_owned());
        }
        (Unit::Seconds, Bound::Time(text)) => {
            let span = span::parse(text)?;
            if span.subsec_nanos() > 0 {
                return Err("is counted in whole seconds".to_owned());
            }
            Some(span.as_secs())
        }
        (Unit::Millis, Bound::Time(text)) => u64::try_from(span::parse(text)?.as_millis()).ok(),
    };
    match value {
        Some(0) => Err("zero has no effect: no figure is below it, and every figure is at least it".to_owned()),
        Some(value) if value <= unit.max_value() => Ok(value),
        Some(_) => Err(format!("may be {} at most", value_text(unit, unit.max_value()))),
        None => Err("must not be negative".to_owned()),
    }
}

/// Returns a number without its fraction; `None` if it is negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and held to what u64 holds")]
fn to_whole_number(number: f64) -> Option<u64> {
    (number >= 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::live::figures::SkillFigures;
    use crate::domain::rules::rule::Conditions;

    fn parse_figure_test(text: &str) -> FigureTest {
        let conditions: Conditions = toml::from_str(text).expect("TOML");
        let asked = conditions.skill_figures.expect("figures");
        let subject = FigureSubject::Skill(asked.id.0.as_str().into());
        parse(&asked, &subject).expect("good").remove(0)
    }

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn figures_are_compared_in_their_own_units_while_they_are_fresh() {
        let mut figures = Figures { fresh_for: Duration::from_secs(90), ..Figures::default() };
        let figure = SkillFigures {
            name: Some("Voice".into()),
            contacts_queued: Some(5),
            longest_queue_duration_s: Some(245),
            service_level_ppm: Some(795_000),
            ..SkillFigures::unknown("12".into())
        };
        figures.put_skill(at(0), figure);
        for (condition, holds, wanted, actual) in [
            ("contacts_queued = { at_least = 5 }", true, "at least 5", "5 for skill 12 (Voice)"),
            ("contacts_queued = { below = 5 }", false, "below 5", "5 for skill 12 (Voice)"),
            ("contacts_queued = { at_least = 2, below = 6 }", true, "at least 2 and below 6", "5 for skill 12 (Voice)"),
            ("longest_queue_duration = { at_least = '4m' }", true, "at least 4m", "4m5s for skill 12 (Voice)"),
            ("longest_queue_duration = { at_least = '246s' }", false, "at least 4m6s", "4m5s for skill 12 (Voice)"),
            ("service_level = { below = 0.8 }", true, "below 80 %", "79.5 % for skill 12 (Voice)"),
            ("service_level = { below = 0.7945 }", false, "below 79.45 %", "79.5 % for skill 12 (Voice)"),
            (
                "agents_staffed = { below = 3 }",
                false,
                "below 3",
                "unknown: the platform gave none for skill 12 (Voice)",
            ),
        ] {
            let test = parse_figure_test(&format!("skill_figures = {{ id = 12, {condition} }}"));
            assert_eq!(test.holds(&figures, at(90)), holds, "{condition}");
            assert_eq!(
                (test.requirement_text().as_str(), test.actual_text(&figures, at(90)).as_str()),
                (wanted, actual)
            );
            assert!(!test.holds(&figures, at(91)), "{condition}: too old");
        }
        let queued = parse_figure_test("skill_figures = { id = '12', contacts_queued = { at_least = 1 } }");
        let old = "unknown: the figures of skill 12 (Voice) are 1m31s old, at most 1m30s counts";
        assert_eq!(queued.actual_text(&figures, at(91)), old);
        let other = parse_figure_test("skill_figures = { id = '13', contacts_queued = { below = 1 } }");
        assert!(!other.holds(&figures, at(1)), "what is not known is not below anything");
        assert_eq!(other.actual_text(&figures, at(1)), "unknown: no figures of skill 13 were read");
    }
}
