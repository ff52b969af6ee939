//! The sums of one or many days of segments: microseconds by plan, state, reason code and verdict reason, and event
//! counts.
//!
//! Sums are added, never averaged: figures are computed from the sum over their days and agents (`figures`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::VerdictReason;
use super::timeline::TimelineSegment;
use crate::domain::agents::kind_sets::PlanKind;
use crate::domain::agents::state::{AgentState, STATE_KINDS};
use crate::domain::ids::ReasonCode;

/// The key that time is summed by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TimeClass {
    plan_index: u8,
    /// [`AgentState::index`]; `None` if the agent was not observed.
    state_index: Option<u8>,
    verdict_reason: VerdictReason,
    /// The reason code of the state, if known.
    pub reason: Option<ReasonCode>,
}

impl TimeClass {
    /// Returns the class of a segment.
    pub fn from_segment(segment: &TimelineSegment) -> Self {
        let to_u8 = |index: usize| u8::try_from(index).unwrap_or(u8::MAX);
        Self {
            plan_index: to_u8(segment.plan_kind.index()),
            state_index: segment.state.as_ref().map(|state| to_u8(state.index())),
            verdict_reason: segment.verdict_reason,
            reason: segment.reason.clone(),
        }
    }

    /// Returns what was planned.
    pub fn plan_kind(&self) -> PlanKind {
        PlanKind::ALL[usize::from(self.plan_index)]
    }

    /// Returns the state; `None` if the agent was not observed or the state is not in any table.
    pub fn state(&self) -> Option<&'static AgentState> {
        static KNOWN: [AgentState; STATE_KINDS - 1] = AgentState::KNOWN;
        KNOWN.get(usize::from(self.state_index?))
    }

    /// Returns the reason for the verdict.
    pub const fn verdict_reason(&self) -> VerdictReason {
        self.verdict_reason
    }
}

/// Declares the counts, their names in the store and their addition.
macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident),+ $(,)?) => {
        /// Counts of events, and their total durations in microseconds.
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct Counts {
            $($(#[$doc])* pub $field: u64,)+
        }

        impl Counts {
            const NAMES: &[&str] = &[$(stringify!($field)),+];

            fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                Self::NAMES.iter().copied().zip([$(self.$field),+])
            }

            fn named(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)+
                    _ => None,
                }
            }

            /// Adds other counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

counts! {
    /// Shifts that began.
    shifts,
    /// Shifts observed as a whole in which the agent never worked.
    absences,
    /// Shifts that began out of adherence, without the absences.
    late_starts,
    /// The time from the start of the shift to the end of that deviation.
    late_us,
    /// Shifts that ended out of adherence, without the absences.
    early_leaves,
    /// The time from the beginning of that deviation to the end of the shift.
    early_us,
    /// Breaks after whose end the agent kept resting, out of adherence.
    overruns,
    /// The time from the end of the break to the end of that deviation.
    overrun_us,
    /// Planned mandatory breaks, without those under an exception.
    breaks_due,
    /// Mandatory breaks under an exception.
    breaks_excused,
    /// Due breaks that were taken, for any length that counts as a rest.
    breaks_taken,
    /// Taken breaks that were shorter than planned.
    breaks_short,
    /// The time by which they were shorter.
    short_us,
    /// Taken breaks that began later than the tolerance after the planned instant.
    breaks_late,
    /// The time by which they began after the planned instant.
    late_breaks_us,
    /// Due breaks that were not taken.
    breaks_missed,
    /// Due breaks interrupted by another state between two rests within the planned time.
    breaks_interrupted,
    /// Due breaks with too few observations to decide.
    breaks_unknown,
}

/// The sums over some span of some agents.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Sums {
    /// The microseconds by class.
    pub micros_by_class: BTreeMap<TimeClass, u64>,
    /// The event counts.
    pub counts: Counts,
}

impl Sums {
    /// Adds a segment.
    pub fn add_segment(&mut self, segment: &TimelineSegment) {
        *self.micros_by_class.entry(TimeClass::from_segment(segment)).or_default() += segment.micros();
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        for (class, micros) in &other.micros_by_class {
            match self.micros_by_class.get_mut(class) {
                Some(total) => *total += micros,
                None => drop(self.micros_by_class.insert(class.clone(), *micros)),
            }
        }
        self.counts.add(&other.counts);
    }

    /// Returns the total microseconds of all classes that match a predicate.
    pub fn total_micros_where(&self, predicate: impl Fn(&TimeClass) -> bool) -> u64 {
        self.micros_by_class.iter().filter(|(class, _)| predicate(class)).map(|(_, micros)| micros).sum()
    }

    /// Returns the sums as one line of text: `plan,state,verdict_reason,micros[,reason];…|count=n;…`. Numbers are
    /// positions in the lists of the types; a state of `-` is none. Equal sums give the same text, which contains no
    /// line feed.
    pub fn to_stored(&self) -> String {
        let mut text = String::with_capacity(self.micros_by_class.len() * 24);
        for (class, micros) in &self.micros_by_class {
            let state = class.state_index.map_or_else(|| "-".to_owned(), |state| state.to_string());
            // Writing to a String cannot fail.
            let _ = write!(text, "{},{state},{},{micros}", class.plan_index, class.verdict_reason as u8);
            if let Some(reason) = &class.reason {
                text.push(',');
                text.extend(
                    reason.as_str().chars().map(|c| if c.is_control() { ' ' } else { c }).flat_map(escape_char),
                );
            }
            text.push(';');
        }
        text.push('|');
        for (name, count) in self.counts.each().filter(|(_, count)| *count > 0) {
            let _ = write!(text, "{name}={count};");
        }
        text
    }

    /// Reads the sums from a text that [`Self::to_stored`] returned; `None` for any other text.
    pub fn from_stored(text: &str) -> Option<Self> {
        let (micros_by_class, counts) = text.split_once('|')?;
        let mut sums = Self::default();
        for entry in micros_by_class.split_terminator(';') {
            let mut parts = entry.splitn(5, ',');
            let plan: u8 = parts.next()?.parse().ok()?;
            let state = match parts.next()? {
                "-" => None,
                state => Some(state.parse::<u8>().ok().filter(|state| usize::from(*state) < STATE_KINDS)?),
            };
            let verdict_reason = *VerdictReason::ALL.get(parts.next()?.parse::<usize>().ok()?)?;
            let micros: u64 = parts.next()?.parse().ok()?;
            let reason = parts.next().map(|reason| ReasonCode::new(unescape(reason)));
            PlanKind::ALL.get(usize::from(plan))?;
            *sums
                .micros_by_class
                .entry(TimeClass { plan_index: plan, state_index: state, verdict_reason, reason })
                .or_default() += micros;
        }
        for entry in counts.split_terminator(';') {
            let (name, count) = entry.split_once('=')?;
            *sums.counts.named(name)? = count.parse().ok()?;
        }
        Some(sums)
    }
}

/// Characters that would end an entry or the list, and the escape character itself.
const ESCAPES: [(char, char); 3] = [('%', 'p'), (';', 's'), ('|', 'b')];

fn escape_char(c: char) -> impl Iterator<Item = char> {
    let special = ESCAPES.iter().find(|(special, _)| *special == c);
    let (first, second) = special.map_or((c, None), |(_, name)| ('%', Some(*name)));
    std::iter::once(first).chain(second)
}

fn unescape(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut chars = text.chars();
    let mut unescaped = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        let name = if c == '%' { chars.next() } else { None };
        let special = ESCAPES.iter().find(|(_, known)| Some(*known) == name);
        unescaped.push(special.map_or(c, |(special, _)| *special));
    }
    unescaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(plan: u8, state: Option<u8>, reason_index: usize, reason: Option<&str>) -> TimeClass {
        TimeClass {
            plan_index: plan,
            state_index: state,
            verdict_reason: VerdictReason::ALL[reason_index],
            reason: reason.map(ReasonCode::new),
        }
    }

    #[test]
    fn the_text_of_sums_is_pinned_since_stores_hold_it() {
        let micros_by_class =
            [(class(0, Some(0), 0, None), 60_000_000), (class(1, None, 7, Some("a;b|c%d,e")), 1)].into();
        let counts = Counts { shifts: 2, late_us: 600_000_000, ..Counts::default() };
        let sums = Sums { micros_by_class, counts };
        assert_eq!(sums.to_stored(), "0,0,0,60000000;1,-,7,1,a%sb%bc%pd,e;|shifts=2;late_us=600000000;");
        assert_eq!(Sums::from_stored(&sums.to_stored()), Some(sums));
        for broken in ["", "0,0,0", "8,0,0,1;|", "0,8,0,1;|", "0,0,10,1;|", "0,0,0,x;|", "|shifts", "|what=1;"] {
            assert_eq!(Sums::from_stored(broken), None, "{broken}");
        }
    }

    #[test]
    fn whys_are_stored_by_their_place() {
        for (index, reason) in VerdictReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
    }

    proptest! {
        #[test]
        fn sums_survive_the_store_and_add_up(
            entries in prop::collection::vec((0_u8..8, prop::option::of(0_u8..8), 0_usize..10,
                prop::option::of("[A-Z%;|, ]{0,6}"), 1_u64..1_000_000_000_000), 0..20),
        ) {
            let (mut whole, mut total) = (Sums::default(), 0);
            for (plan, state, why, reason, micros) in entries {
                let one = Sums { micros_by_class: [(class(plan, state, why, reason.as_deref()), micros)].into(), ..Sums::default() };
                whole.add(&one);
                total += micros;
            }
            prop_assert_eq!(whole.total_micros_where(|_| true), total);
            prop_assert_eq!(Sums::from_stored(&whole.to_stored()), Some(whole));
        }
    }
}
