//! Figures of skills and queues as the platform reports them, such as contacts waiting and agents available.
//!
//! A figure that the platform did not report, or reported with an impossible value, is `None` and never zero. Callers
//! decide how old figures may be; see [`Figures::is_fresh`]. Nothing here is calculated from the state history.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::{QueueId, SkillId};
use crate::domain::time::UtcMicros;

/// The unit of a figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// A number of contacts or agents.
    Count,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Parts per million of 1.
    Ppm,
}

impl Unit {
    /// Returns the largest plausible value: a hundred million, a year, or 100 %. Larger values are errors of the
    /// source.
    pub const fn max_value(self) -> u64 {
        match self {
            Self::Count => 100_000_000,
            Self::Seconds => 366 * 86_400,
            Self::Millis => 366 * 86_400_000,
            Self::Ppm => PPM,
        }
    }
}

/// The whole (100 %) in parts per million.
pub const PPM: u64 = 1_000_000;

/// The definition of one figure of a skill or a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measure {
    /// The name in rules, where values carry their units.
    pub name: &'static str,
    /// The name with the key of its kind in front, as used in explanations.
    pub condition: &'static str,
    /// The name in the store and in code, including the unit.
    pub column: &'static str,
    /// The unit.
    pub unit: Unit,
}

/// Defines the figures of one kind of subject: fields, names, units, and their order in tables and in [`Stat`]s.
macro_rules! figures {
    (
        $(#[$doc:meta])* $name:ident of $id:ident, $count:literal in $measures:ident, $key:literal:
        $($(#[$field_doc:meta])* $field:ident as $short:literal in $unit:ident,)+
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name {
            /// The id of the skill or queue.
            pub id: $id,
            /// The name on the platform, if reported.
            pub name: Option<Arc<str>>,
            $($(#[$field_doc])* pub $field: Option<u64>,)+
        }

        /// The figures, in the order of the values.
        pub const $measures: [Measure; $count] =
            [$(Measure {
                name: $short,
                condition: concat!($key, ".", $short),
                column: stringify!($field),
                unit: Unit::$unit,
            },)+];

        impl $name {
            /// Creates a value in which no figure is known.
            pub const fn unknown(id: $id) -> Self {
                Self { id, name: None, $($field: None,)+ }
            }

            /// Creates a value from figures in the order of the measures.
            pub const fn of(id: $id, name: Option<Arc<str>>, values: [Option<u64>; $count]) -> Self {
                let [$($field,)+] = values;
                Self { id, name, $($field,)+ }
            }

            /// Returns the figures in the order of the measures.
            pub const fn values(&self) -> [Option<u64>; $count] {
                [$(self.$field,)+]
            }
        }

        impl Subject for $name {
            fn id(&self) -> &str {
                self.id.as_str()
            }

            fn name(&mut self) -> &mut Option<Arc<str>> {
                &mut self.name
            }
        }
    };
}

figures! {
    /// The workload of a skill and the agents available for it (source: guide 000).
    SkillFigures of SkillId, 9 in SKILL_MEASURES, "skill_figures":
    /// Contacts waiting.
    contacts_queued as "contacts_queued" in Count,
    /// Contacts being handled.
    contacts_active as "contacts_active" in Count,
    /// The wait of the longest waiting contact so far.
    longest_queue_duration_s as "longest_queue_duration" in Seconds,
    /// The share of contacts answered within the set time.
    service_level_ppm as "service_level" in Ppm,
    /// Agents who could take a contact now.
    agents_available as "agents_available" in Count,
    /// Agents logged in with the skill.
    agents_staffed as "agents_staffed" in Count,
    /// Agents on a contact.
    agents_on_contact as "agents_on_contact" in Count,
    /// Agents in wrap-up.
    agents_in_acw as "agents_in_acw" in Count,
    /// The wait that the platform estimates for a contact arriving now.
    estimated_wait_time_s as "estimated_wait_time" in Seconds,
}

figures! {
    /// The workload of a queue and the agents available for it (source: guide 001).
    QueueFigures of QueueId, 6 in QUEUE_MEASURES, "queue_figures":
    /// Agents logged in.
    agents_logged_on as "agents_logged_on" in Count,
    /// Agents who could take a call now.
    agents_available as "agents_available" in Count,
    /// Agents on a call or in wrap-up.
    agents_busy as "agents_busy" in Count,
    /// Calls waiting.
    calls_waiting as "calls_waiting" in Count,
    /// The average wait of the waiting calls so far.
    average_wait_time_ms as "average_wait_time" in Millis,
    /// The share of calls answered within the set time.
    service_level_ppm as "service_level" in Ppm,
}

impl SkillFigures {
    /// Whether the skill is idle: no contact waits or is active, and no agent is staffed.
    pub fn is_idle(&self) -> bool {
        [self.contacts_queued, self.contacts_active, self.agents_staffed] == [Some(0); 3]
    }

    /// Removes the service level if the skill is idle, since a share of no contacts is undefined.
    ///
    /// Platforms leave out the row of an idle skill or report an arbitrary share in it; both are to give the same
    /// result.
    #[must_use]
    pub fn without_idle_service_level(self) -> Self {
        let service_level_ppm = self.service_level_ppm.filter(|_| !self.is_idle());
        Self { service_level_ppm, ..self }
    }

    /// Creates the figures of a skill that the platform left out because it is idle.
    ///
    /// It has no service level, since a share of no contacts is undefined and zero would look like a very bad day.
    pub const fn idle(id: SkillId) -> Self {
        Self {
            id,
            name: None,
            contacts_queued: Some(0),
            contacts_active: Some(0),
            longest_queue_duration_s: Some(0),
            service_level_ppm: None,
            agents_available: Some(0),
            agents_staffed: Some(0),
            agents_on_contact: Some(0),
            agents_in_acw: Some(0),
            estimated_wait_time_s: Some(0),
        }
    }
}

impl QueueFigures {
    /// Whether the queue is idle: no call waits, and no agent is busy or logged in.
    pub fn is_idle(&self) -> bool {
        [self.calls_waiting, self.agents_busy, self.agents_logged_on] == [Some(0); 3]
    }

    /// Removes the service level if the queue is idle, as for skills.
    #[must_use]
    pub fn without_idle_service_level(self) -> Self {
        let service_level_ppm = self.service_level_ppm.filter(|_| !self.is_idle());
        Self { service_level_ppm, ..self }
    }
}

/// Figures with the time at which they were read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimedFigures<T> {
    /// When the platform's answer was complete, by the daemon's clock.
    pub at: UtcMicros,
    /// The figures.
    pub figures: T,
}

/// The newest figures of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    /// The age up to which figures count as current: three polling intervals.
    pub fresh_for: Duration,
    /// Figures of the skills read so far, by id.
    pub skills: Vec<TimedFigures<SkillFigures>>,
    /// Figures of the queues read so far, by id.
    pub queues: Vec<TimedFigures<QueueFigures>>,
}

impl Default for Figures {
    fn default() -> Self {
        Self { fresh_for: Duration::ZERO, skills: Vec::new(), queues: Vec::new() }
    }
}

impl Figures {
    /// Returns the newest figures of a skill, of any age.
    pub fn skill(&self, id: &str) -> Option<&TimedFigures<SkillFigures>> {
        find(&self.skills, id).ok().and_then(|place| self.skills.get(place))
    }

    /// Returns the newest figures of a queue, of any age.
    pub fn queue(&self, id: &str) -> Option<&TimedFigures<QueueFigures>> {
        find(&self.queues, id).ok().and_then(|place| self.queues.get(place))
    }

    /// Whether figures read at `read_at` are still current at `now`.
    pub fn is_fresh(&self, read_at: UtcMicros, now: UtcMicros) -> bool {
        now.since(read_at) <= self.fresh_for
    }

    /// Stores newer figures of a skill. A known name is kept if the newer figures have none.
    pub fn put_skill(&mut self, at: UtcMicros, figures: SkillFigures) {
        insert_newer(&mut self.skills, at, figures);
    }

    /// Stores newer figures of a queue. A known name is kept if the newer figures have none.
    pub fn put_queue(&mut self, at: UtcMicros, figures: QueueFigures) {
        insert_newer(&mut self.queues, at, figures);
    }

    /// Removes the figures of all skills and queues that are not listed.
    pub fn retain(&mut self, skills: &[SkillId], queues: &[QueueId]) {
        self.skills.retain(|taken| skills.contains(&taken.figures.id));
        self.queues.retain(|taken| queues.contains(&taken.figures.id));
    }

    /// Adjusts the read times after the wall clock was changed by `by_us` microseconds to `now`, so that ages stay the
    /// same.
    pub fn adjust_for_clock_change(&mut self, by_us: i64, now: UtcMicros) {
        let instants = self.skills.iter_mut().map(|taken| &mut taken.at);
        for at in instants.chain(self.queues.iter_mut().map(|taken| &mut taken.at)) {
            *at = at.offset(by_us).min(now);
        }
    }
}

/// Something with an id and an optional name.
trait Subject {
    fn id(&self) -> &str;
    fn name(&mut self) -> &mut Option<Arc<str>>;
}

fn find<T: Subject>(sorted: &[TimedFigures<T>], id: &str) -> Result<usize, usize> {
    sorted.binary_search_by(|taken| taken.figures.id().cmp(id))
}

fn insert_newer<T: Subject>(sorted: &mut Vec<TimedFigures<T>>, at: UtcMicros, mut figures: T) {
    match find(sorted, figures.id()) {
        Ok(place) => {
            let known = sorted[place].figures.name().take();
            let name = figures.name();
            *name = name.take().or(known);
            sorted[place] = TimedFigures { at, figures };
        }
        Err(place) => sorted.insert(place, TimedFigures { at, figures }),
    }
}

/// The values of one figure over several polls, kept so that the mean stays correct when periods are merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// The sum of the values.
    pub sum: u64,
    /// The number of polls that gave a value.
    pub count: u64,
    /// The largest value; `None` if no poll gave one.
    pub max: Option<u64>,
}

impl Stat {
    /// Returns the mean of the values, rounded down; `None` if there are none.
    pub const fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }

    /// Returns the statistics of both periods together.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, count: self.count + other.count, max: self.max.max(other.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn an_idle_skill_has_zeros_and_no_service_level() {
        let idle = SkillFigures::idle("1".into());
        for (measure, value) in SKILL_MEASURES.iter().zip(idle.values()) {
            let expected = if measure.unit == Unit::Ppm { None } else { Some(0) };
            assert_eq!(value, expected, "{}", measure.column);
        }
    }

    #[test]
    fn without_activity_no_share_is_reported() {
        let skill = |staffed| SkillFigures {
            service_level_ppm: Some(PPM),
            agents_staffed: staffed,
            ..SkillFigures::idle("1".into())
        };
        assert_eq!(
            skill(Some(0)).without_idle_service_level(),
            SkillFigures::idle("1".into()),
            "as if the row were left out"
        );
        assert_eq!(skill(Some(1)).without_idle_service_level(), skill(Some(1)));
        assert_eq!(skill(None).without_idle_service_level(), skill(None), "nobody says that nothing goes on");
        let queue = |waiting| QueueFigures {
            calls_waiting: waiting,
            agents_busy: Some(0),
            agents_logged_on: Some(0),
            service_level_ppm: Some(PPM),
            ..QueueFigures::unknown("q".into())
        };
        assert_eq!(queue(Some(0)).without_idle_service_level().service_level_ppm, None);
        assert_eq!(queue(Some(2)).without_idle_service_level(), queue(Some(2)));
    }

    #[test]
    fn values_go_there_and_back_and_names_tell_their_units() {
        let values = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(Some);
        let figures = SkillFigures::of("1".into(), None, values);
        assert_eq!((figures.longest_queue_duration_s, figures.values()), (Some(3), values));
        for measure in SKILL_MEASURES.iter().chain(&QUEUE_MEASURES) {
            let suffix = match measure.unit {
                Unit::Count => "",
                Unit::Seconds => "_s",
                Unit::Millis => "_ms",
                Unit::Ppm => "_ppm",
            };
            assert_eq!(format!("{}{suffix}", measure.name), measure.column);
        }
    }

    #[test]
    fn newer_figures_replace_older_ones_and_a_known_name_is_kept() {
        let mut figures = Figures { fresh_for: Duration::from_secs(90), ..Figures::default() };
        for id in ["20", "3", "100"] {
            figures.put_skill(at(10), SkillFigures { name: Some(id.into()), ..SkillFigures::idle(id.into()) });
        }
        figures.put_skill(at(40), SkillFigures { contacts_queued: Some(7), ..SkillFigures::idle("3".into()) });
        let three = figures.skill("3").expect("there");
        assert_eq!(
            (three.at, three.figures.contacts_queued, three.figures.name.as_deref()),
            (at(40), Some(7), Some("3"))
        );
        assert_eq!(figures.skill("20").map(|taken| taken.at), Some(at(10)));
        assert!(figures.skill("2").is_none());
        assert!(figures.is_fresh(at(10), at(100)) && !figures.is_fresh(at(10), at(101)));
        figures.retain(&["3".into()], &[]);
        assert_eq!(figures.skills.len(), 1);
    }

    #[test]
    fn figures_are_as_old_as_before_after_the_clock_was_set() {
        let mut figures = Figures::default();
        figures.put_queue(at(1000), QueueFigures::unknown("q".into()));
        figures.adjust_for_clock_change(-3_600_000_000, at(-2_590));
        assert_eq!(figures.queue("q").map(|taken| taken.at), Some(at(-2_600)));
    }

    #[test]
    fn a_mean_over_spans_is_the_mean_over_their_polls() {
        let busy = Stat { sum: 30, count: 3, max: Some(20) };
        let quiet = Stat { sum: 0, count: 27, max: Some(0) };
        assert_eq!(busy.merge(quiet), Stat { sum: 30, count: 30, max: Some(20) });
        assert_eq!((busy.merge(quiet).mean(), Stat::default().mean()), (Some(1), None));
    }
}
