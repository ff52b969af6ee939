//! Figures of skills and queues as the platform counts them: how many wait, how long, how many agents there are for them.
//!
//! A figure that the platform did not give, or gave as something that it cannot be, is none; it is never taken as zero. How old
//! figures are is for whoever looks at them: see [`Figures::fresh`]. Nothing here is added up from state history.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::{QueueId, SkillId};
use crate::domain::time::UtcMicros;

/// What a figure is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Contacts or agents.
    Count,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Parts per million of 1.
    Ppm,
}

impl Unit {
    /// More than this is a mistake of whoever gave it: a hundred million, a year, or the whole.
    pub const fn most(self) -> u64 {
        match self {
            Self::Count => 100_000_000,
            Self::Seconds => 366 * 86_400,
            Self::Millis => 366 * 86_400_000,
            Self::Ppm => PPM,
        }
    }
}

/// The whole, in parts per million.
pub const PPM: u64 = 1_000_000;

/// One figure of a skill or of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measure {
    /// The name in rules, where values have their units with them.
    pub name: &'static str,
    /// The same with the key of its kind before it, as explanations name it.
    pub condition: &'static str,
    /// The name in the store and in code, with its unit.
    pub column: &'static str,
    /// What it is counted in.
    pub unit: Unit,
}

/// One list says what figures there are: the fields, their names and units, and their order in tables and in [`Stat`]s.
macro_rules! figures {
    (
        $(#[$doc:meta])* $name:ident of $id:ident, $count:literal in $measures:ident, $key:literal:
        $($(#[$field_doc:meta])* $field:ident as $short:literal in $unit:ident,)+
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name {
            /// Whose.
            pub id: $id,
            /// Its name on the platform, where it said one.
            pub name: Option<Arc<str>>,
            $($(#[$field_doc])* pub $field: Option<u64>,)+
        }

        /// What it has, in the order of its values.
        pub const $measures: [Measure; $count] =
            [$(Measure {
                name: $short,
                condition: concat!($key, ".", $short),
                column: stringify!($field),
                unit: Unit::$unit,
            },)+];

        impl $name {
            /// No figure is known.
            pub const fn unknown(id: $id) -> Self {
                Self { id, name: None, $($field: None,)+ }
            }

            /// From values in the order of its measures.
            pub const fn of(id: $id, name: Option<Arc<str>>, values: [Option<u64>; $count]) -> Self {
                let [$($field,)+] = values;
                Self { id, name, $($field,)+ }
            }

            /// The values in the order of its measures.
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
    /// What a skill has to do, and who is there for it (source: guide 000).
    SkillFigures of SkillId, 9 in SKILL_MEASURES, "skill_figures":
    /// Contacts that wait.
    contacts_queued as "contacts_queued" in Count,
    /// Contacts that are being handled.
    contacts_active as "contacts_active" in Count,
    /// How long the longest of those that wait has waited.
    longest_queue_duration_s as "longest_queue_duration" in Seconds,
    /// The share of contacts that were answered in time.
    service_level_ppm as "service_level" in Ppm,
    /// Agents who could take a contact now.
    agents_available as "agents_available" in Count,
    /// Agents who are logged in with the skill.
    agents_staffed as "agents_staffed" in Count,
    /// Agents on a contact.
    agents_on_contact as "agents_on_contact" in Count,
    /// Agents in after-contact work.
    agents_in_acw as "agents_in_acw" in Count,
    /// How long a contact that comes now will wait, as the platform estimates.
    estimated_wait_time_s as "estimated_wait_time" in Seconds,
}

figures! {
    /// What a queue has to do, and who is there for it (source: guide 001).
    QueueFigures of QueueId, 6 in QUEUE_MEASURES, "queue_figures":
    /// Agents who are logged in.
    agents_logged_on as "agents_logged_on" in Count,
    /// Agents who could take a call now.
    agents_available as "agents_available" in Count,
    /// Agents on a call or in after-call work.
    agents_busy as "agents_busy" in Count,
    /// Calls that wait.
    calls_waiting as "calls_waiting" in Count,
    /// How long those that wait have waited on average.
    average_wait_time_ms as "average_wait_time" in Millis,
    /// The share of calls that were answered in time.
    service_level_ppm as "service_level" in Ppm,
}

impl SkillFigures {
    /// Whether nothing goes on: nobody waits, no contact is active, nobody is staffed.
    pub fn is_idle(&self) -> bool {
        [self.contacts_queued, self.contacts_active, self.agents_staffed] == [Some(0); 3]
    }

    /// As the platform's row says, but without a service level where nothing goes on: a share of no contacts is none. Platforms
    /// leave such a row out or give some share in it, from one answer to the next, and both are to be the same.
    #[must_use]
    pub fn settled(self) -> Self {
        let service_level_ppm = self.service_level_ppm.filter(|_| !self.is_idle());
        Self { service_level_ppm, ..self }
    }

    /// A skill that the platform left out because nothing goes on: nobody waits and nobody is there. It has no service level,
    /// since a share of no contacts is none; as zero it would look like the worst of all days.
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
    /// Whether nothing goes on: nobody waits, nobody is busy, nobody is logged on.
    pub fn is_idle(&self) -> bool {
        [self.calls_waiting, self.agents_busy, self.agents_logged_on] == [Some(0); 3]
    }

    /// As the platform's row says, but without a service level where nothing goes on, as for skills.
    #[must_use]
    pub fn settled(self) -> Self {
        let service_level_ppm = self.service_level_ppm.filter(|_| !self.is_idle());
        Self { service_level_ppm, ..self }
    }
}

/// Figures, and when they were read by our clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken<T> {
    /// When the answer was whole.
    pub at: UtcMicros,
    /// What it said.
    pub figures: T,
}

/// The newest figures of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    /// Older than this they tell nothing of now: three intervals.
    pub good_for: Duration,
    /// Of skills that were ever read, by id.
    pub skills: Vec<Taken<SkillFigures>>,
    /// Of queues that were ever read, by id.
    pub queues: Vec<Taken<QueueFigures>>,
}

impl Default for Figures {
    fn default() -> Self {
        Self { good_for: Duration::ZERO, skills: Vec::new(), queues: Vec::new() }
    }
}

impl Figures {
    /// The newest of a skill, however old they are.
    pub fn skill(&self, id: &str) -> Option<&Taken<SkillFigures>> {
        find(&self.skills, id).ok().and_then(|place| self.skills.get(place))
    }

    /// The newest of a queue, however old they are.
    pub fn queue(&self, id: &str) -> Option<&Taken<QueueFigures>> {
        find(&self.queues, id).ok().and_then(|place| self.queues.get(place))
    }

    /// Whether figures of that instant tell anything of `now`.
    pub fn fresh(&self, taken_at: UtcMicros, now: UtcMicros) -> bool {
        now.since(taken_at) <= self.good_for
    }

    /// Puts newer figures of a skill in. A name that was known stays where the newer ones say none.
    pub fn put_skill(&mut self, at: UtcMicros, figures: SkillFigures) {
        put(&mut self.skills, at, figures);
    }

    /// Puts newer figures of a queue in. A name that was known stays where the newer ones say none.
    pub fn put_queue(&mut self, at: UtcMicros, figures: QueueFigures) {
        put(&mut self.queues, at, figures);
    }

    /// Keeps those of these skills and queues alone.
    pub fn retain(&mut self, skills: &[SkillId], queues: &[QueueId]) {
        self.skills.retain(|taken| skills.contains(&taken.figures.id));
        self.queues.retain(|taken| queues.contains(&taken.figures.id));
    }

    /// The wall clock was set by so many microseconds and stands at `now`: they are as old as before.
    pub fn clock_set(&mut self, by_us: i64, now: UtcMicros) {
        let instants = self.skills.iter_mut().map(|taken| &mut taken.at);
        for at in instants.chain(self.queues.iter_mut().map(|taken| &mut taken.at)) {
            *at = at.offset(by_us).min(now);
        }
    }
}

/// What has an id and may have a name.
trait Subject {
    fn id(&self) -> &str;
    fn name(&mut self) -> &mut Option<Arc<str>>;
}

fn find<T: Subject>(sorted: &[Taken<T>], id: &str) -> Result<usize, usize> {
    sorted.binary_search_by(|taken| taken.figures.id().cmp(id))
}

fn put<T: Subject>(sorted: &mut Vec<Taken<T>>, at: UtcMicros, mut figures: T) {
    match find(sorted, figures.id()) {
        Ok(place) => {
            let known = sorted[place].figures.name().take();
            let name = figures.name();
            *name = name.take().or(known);
            sorted[place] = Taken { at, figures };
        }
        Err(place) => sorted.insert(place, Taken { at, figures }),
    }
}

/// One measure over some polls: enough for a mean that stays right when spans are put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Of the values.
    pub sum: u64,
    /// How many polls gave a value.
    pub count: u64,
    /// The greatest; `None` where no poll gave one.
    pub max: Option<u64>,
}

impl Stat {
    /// The mean of the values, rounded down.
    pub const fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
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
    fn where_nothing_goes_on_no_share_is_believed() {
        let skill = |staffed| SkillFigures {
            service_level_ppm: Some(PPM),
            agents_staffed: staffed,
            ..SkillFigures::idle("1".into())
        };
        assert_eq!(skill(Some(0)).settled(), SkillFigures::idle("1".into()), "as if the row were left out");
        assert_eq!(skill(Some(1)).settled(), skill(Some(1)));
        assert_eq!(skill(None).settled(), skill(None), "nobody says that nothing goes on");
        let queue = |waiting| QueueFigures {
            calls_waiting: waiting,
            agents_busy: Some(0),
            agents_logged_on: Some(0),
            service_level_ppm: Some(PPM),
            ..QueueFigures::unknown("q".into())
        };
        assert_eq!(queue(Some(0)).settled().service_level_ppm, None);
        assert_eq!(queue(Some(2)).settled(), queue(Some(2)));
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
    fn newer_figures_take_the_place_of_older_ones_and_a_known_name_stays() {
        let mut figures = Figures { good_for: Duration::from_secs(90), ..Figures::default() };
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
        assert!(figures.fresh(at(10), at(100)) && !figures.fresh(at(10), at(101)));
        figures.retain(&["3".into()], &[]);
        assert_eq!(figures.skills.len(), 1);
    }

    #[test]
    fn figures_are_as_old_as_before_after_the_clock_was_set() {
        let mut figures = Figures::default();
        figures.put_queue(at(1000), QueueFigures::unknown("q".into()));
        figures.clock_set(-3_600_000_000, at(-2_590));
        assert_eq!(figures.queue("q").map(|taken| taken.at), Some(at(-2_600)));
    }

    #[test]
    fn a_mean_over_spans_is_the_mean_over_their_polls() {
        let busy = Stat { sum: 30, count: 3, max: Some(20) };
        let quiet = Stat { sum: 0, count: 27, max: Some(0) };
        assert_eq!(busy.and(quiet), Stat { sum: 30, count: 30, max: Some(20) });
        assert_eq!((busy.and(quiet).mean(), Stat::default().mean()), (Some(1), None));
    }
}
