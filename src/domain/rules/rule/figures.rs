//! Conditions on the figures of a skill or queue: how they are read, when they hold, and how both is said.
//!
//! They are the same for all agents, so a pass looks at each once. What is not known, or too old to tell anything of now, does
//! not hold.

use std::fmt;
use std::time::Duration;

use crate::domain::ids::{QueueId, SkillId};
use crate::domain::live::figures::{Figures, Measure, PPM, QUEUE_MEASURES, SKILL_MEASURES, Unit};
use crate::domain::time::span;
use crate::domain::time::{UtcMicros, duration_text, rough_duration_text};

use super::{Bound, FigureConditions, suggestion};

/// A figure and the bounds that it must lie between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FigureTest {
    /// Whose figure.
    pub subject: FigureSubject,
    /// Which, by its place in the subject's measures.
    place: usize,
    /// It must be this or more, in the measure's unit.
    at_least: Option<u64>,
    /// It must be less than this, in the measure's unit.
    below: Option<u64>,
}

/// Whose figures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FigureSubject {
    /// A skill's.
    Skill(SkillId),
    /// A queue's.
    Queue(QueueId),
}

impl FigureSubject {
    /// The key in rules.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Skill(_) => "skill_figures",
            Self::Queue(_) => "queue_figures",
        }
    }

    /// The figures that it has.
    pub const fn measures(&self) -> &'static [Measure] {
        match self {
            Self::Skill(_) => &SKILL_MEASURES,
            Self::Queue(_) => &QUEUE_MEASURES,
        }
    }
}

/// `skill 1234`
impl fmt::Display for FigureSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skill(id) => write!(f, "skill {id}"),
            Self::Queue(id) => write!(f, "queue {id}"),
        }
    }
}

/// What is known of a figure.
struct Found<'f> {
    name: Option<&'f str>,
    taken_at: UtcMicros,
    value: Option<u64>,
}

impl FigureTest {
    /// Which figure.
    pub const fn measure(&self) -> &'static Measure {
        &self.subject.measures()[self.place]
    }

    fn look<'f>(&self, figures: &'f Figures) -> Option<Found<'f>> {
        let (taken_at, name, value) = match &self.subject {
            FigureSubject::Skill(id) => {
                let taken = figures.skill(id.as_str())?;
                (taken.at, &taken.figures.name, taken.figures.values()[self.place])
            }
            FigureSubject::Queue(id) => {
                let taken = figures.queue(id.as_str())?;
                (taken.at, &taken.figures.name, taken.figures.values()[self.place])
            }
        };
        Some(Found { name: name.as_deref(), taken_at, value })
    }

    /// Whether it holds at `now`.
    pub fn holds(&self, figures: &Figures, now: UtcMicros) -> bool {
        let found = self.look(figures).filter(|found| figures.fresh(found.taken_at, now));
        found.and_then(|found| found.value).is_some_and(|value| {
            self.at_least.is_none_or(|least| value >= least) && self.below.is_none_or(|bound| value < bound)
        })
    }

    /// What it asks for: `at least 5`.
    pub fn wanted(&self) -> String {
        let unit = self.measure().unit;
        let at_least = self.at_least.map(|least| format!("at least {}", text(unit, least)));
        let below = self.below.map(|bound| format!("below {}", text(unit, bound)));
        at_least.into_iter().chain(below).collect::<Vec<_>>().join(" and ")
    }

    /// What was found: `7 for skill 1234 (Tier 1 Voice)`.
    pub fn actual(&self, figures: &Figures, now: UtcMicros) -> String {
        let subject = &self.subject;
        let Some(found) = self.look(figures) else { return format!("unknown: no figures of {subject} were read") };
        let name = found.name.map(|name| format!(" ({name})")).unwrap_or_default();
        if !figures.fresh(found.taken_at, now) {
            let age = rough_duration_text(now.since(found.taken_at));
            let most = duration_text(figures.good_for);
            return format!("unknown: the figures of {subject}{name} are {age} old, at most {most} counts");
        }
        match found.value {
            Some(value) => format!("{} for {subject}{name}", text(self.measure().unit, value)),
            None => format!("unknown: the platform gave none for {subject}{name}"),
        }
    }
}

/// A value as people read it: times with their units, shares in percent.
fn text(unit: Unit, value: u64) -> String {
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

/// Reads what a rule asks of one skill or queue, or says what is wrong with it, field by field.
pub(super) fn read(
    asked: &FigureConditions,
    subject: &FigureSubject,
) -> Result<Vec<FigureTest>, Vec<(String, String)>> {
    let (key, measures) = (subject.key(), subject.measures());
    let (mut tests, mut wrong) = (Vec::new(), Vec::new());
    if asked.id.0.trim().is_empty() {
        wrong.push((format!("{key}.id"), "an empty id names nothing".to_owned()));
    }
    if asked.figures.is_empty() {
        wrong.push((key.to_owned(), format!("names no figure; name one of {}", names(measures))));
    }
    for (name, bounds) in &asked.figures {
        let field = format!("{key}.{name}");
        let Some(place) = measures.iter().position(|measure| measure.name == name) else {
            let near = suggestion(name, measures.iter().map(|measure| measure.name));
            wrong.push((field, format!("`{name}` is not known here{near}")));
            continue;
        };
        let mut bound = |edge: &str, bound: Option<&Bound>| match in_unit(bound?, measures[place].unit) {
            Ok(value) => Some(value),
            Err(reason) => {
                wrong.push((format!("{field}.{edge}"), reason));
                None
            }
        };
        let (at_least, below) = (bound("at_least", bounds.at_least.as_ref()), bound("below", bounds.below.as_ref()));
        match (at_least, below) {
            (None, None) if bounds.at_least.is_none() && bounds.below.is_none() => {
                wrong.push((field, "names no bound; name at_least or below".to_owned()));
            }
            (Some(least), Some(bound)) if least >= bound => {
                wrong.push((field, "no value is at_least the one and below the other".to_owned()));
            }
            (at_least, below) => tests.push(FigureTest { subject: subject.clone(), place, at_least, below }),
        }
    }
    if wrong.is_empty() { Ok(tests) } else { Err(wrong) }
}

fn names(measures: &[Measure]) -> String {
    measures.iter().map(|measure| measure.name).collect::<Vec<_>>().join(", ")
}

/// A bound in the unit of its figure.
fn in_unit(bound: &Bound, unit: Unit) -> Result<u64, String> {
    let value = match (unit, bound) {
        (Unit::Count, Bound::Number(number)) if number.fract() == 0.0 => whole(*number),
        (Unit::Count, _) => return Err("is a count; write a whole number, as in 5".to_owned()),
        (Unit::Ppm, Bound::Number(share)) if *share <= 1.0 => whole((share * 1e6).round()),
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
        Some(0) => Err("zero says nothing: no figure is below it, and each is at least it".to_owned()),
        Some(value) if value <= unit.most() => Ok(value),
        Some(_) => Err(format!("may be {} at most", text(unit, unit.most()))),
        None => Err("must not be negative".to_owned()),
    }
}

/// A number without a fraction; `None` for one below zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and held to what u64 holds")]
fn whole(number: f64) -> Option<u64> {
    (number >= 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::live::figures::SkillFigures;
    use crate::domain::rules::rule::Conditions;

    fn test(text: &str) -> FigureTest {
        let conditions: Conditions = toml::from_str(text).expect("TOML");
        let asked = conditions.skill_figures.expect("figures");
        let subject = FigureSubject::Skill(asked.id.0.as_str().into());
        read(&asked, &subject).expect("good").remove(0)
    }

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn figures_are_compared_in_their_own_units_while_they_are_fresh() {
        let mut figures = Figures { good_for: Duration::from_secs(90), ..Figures::default() };
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
            let test = test(&format!("skill_figures = {{ id = 12, {condition} }}"));
            assert_eq!(test.holds(&figures, at(90)), holds, "{condition}");
            assert_eq!((test.wanted().as_str(), test.actual(&figures, at(90)).as_str()), (wanted, actual));
            assert!(!test.holds(&figures, at(91)), "{condition}: too old");
        }
        let queued = test("skill_figures = { id = '12', contacts_queued = { at_least = 1 } }");
        let old = "unknown: the figures of skill 12 (Voice) are 1m31s old, at most 1m30s counts";
        assert_eq!(queued.actual(&figures, at(91)), old);
        let other = test("skill_figures = { id = '13', contacts_queued = { below = 1 } }");
        assert!(!other.holds(&figures, at(1)), "what is not known is not below anything");
        assert_eq!(other.actual(&figures, at(1)), "unknown: no figures of skill 13 were read");
    }
}
