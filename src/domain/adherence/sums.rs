//! What one or many days of segments add up to: microseconds by plan, state, reason code and why, and counts of what happened.
//!
//! Sums are added, never averaged: figures are made of the sum of whatever days and agents they are of (`figures`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Why;
use super::course::Piece;
use crate::domain::agents::sets::PlanKind;
use crate::domain::agents::state::{AgentState, STATE_KINDS};
use crate::domain::ids::ReasonCode;

/// What time is summed by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Class {
    plan: u8,
    /// [`AgentState::index`]; nothing where nobody saw the agent.
    state: Option<u8>,
    why: Why,
    /// The state's reason code, where one is known.
    pub reason: Option<ReasonCode>,
}

impl Class {
    /// The class of a piece.
    pub fn of(piece: &Piece) -> Self {
        let small = |index: usize| u8::try_from(index).unwrap_or(u8::MAX);
        Self {
            plan: small(piece.kind.index()),
            state: piece.state.as_ref().map(|state| small(state.index())),
            why: piece.why,
            reason: piece.reason.clone(),
        }
    }

    /// What was planned.
    pub fn plan(&self) -> PlanKind {
        PlanKind::ALL[usize::from(self.plan)]
    }

    /// The state; nothing where nobody saw the agent, or saw a state that no table knows.
    pub fn state(&self) -> Option<&'static AgentState> {
        static KNOWN: [AgentState; STATE_KINDS - 1] = AgentState::KNOWN;
        KNOWN.get(usize::from(self.state?))
    }

    /// Why the verdict is what it is.
    pub const fn why(&self) -> Why {
        self.why
    }
}

/// Declares the counts, their names in the store and what adds them up.
macro_rules! counts {
    ($($(#[$doc:meta])* $field:ident),+ $(,)?) => {
        /// What happened, and for how long. Spans in microseconds.
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

            /// Adds what happened elsewhere.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

counts! {
    /// Shifts that began.
    shifts,
    /// Shifts that were seen whole and in which the agent never worked.
    absences,
    /// Shifts that began out, without the absences.
    late_starts,
    /// From their beginning to the end of that deviation.
    late_us,
    /// Shifts that ended out, without the absences.
    early_leaves,
    /// From the beginning of that deviation to their end.
    early_us,
    /// Breaks after whose end the agent rested on, out.
    overruns,
    /// From their end to the end of that deviation.
    overrun_us,
    /// Mandatory breaks that were planned, without those excused.
    breaks_due,
    /// Mandatory breaks that an exception lies over.
    breaks_excused,
    /// Of those due: taken, in whatever length from the shortest rest on.
    breaks_taken,
    /// Of those taken: shorter than planned.
    breaks_short,
    /// By so much.
    short_us,
    /// Of those taken: begun later than the tolerance after the planned instant.
    breaks_late,
    /// By so much after the planned instant.
    late_breaks_us,
    /// Of those due: not taken.
    breaks_missed,
    /// Of those due: with a spell of something else between two rests within the planned time.
    breaks_interrupted,
    /// Of those due: too little was seen to say.
    breaks_unknown,
}

/// Sums over some span of some agents.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Sums {
    /// Microseconds by class.
    pub held: BTreeMap<Class, u64>,
    /// What happened.
    pub counts: Counts,
}

impl Sums {
    /// Adds a piece.
    pub fn take(&mut self, piece: &Piece) {
        *self.held.entry(Class::of(piece)).or_default() += piece.micros();
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        for (class, micros) in &other.held {
            match self.held.get_mut(class) {
                Some(held) => *held += micros,
                None => drop(self.held.insert(class.clone(), *micros)),
            }
        }
        self.counts.add(&other.counts);
    }

    /// Microseconds of all classes that a test holds of.
    pub fn micros(&self, is_meant: impl Fn(&Class) -> bool) -> u64 {
        self.held.iter().filter(|(class, _)| is_meant(class)).map(|(_, micros)| micros).sum()
    }

    /// The sums as one line of text: `plan,state,why,micros[,reason];…|count=n;…`. Numbers are places in the lists of the types, a state of
    /// `-` is none. Equal sums give the same text; no character of it is a line feed.
    pub fn to_stored(&self) -> String {
        let mut text = String::with_capacity(self.held.len() * 24);
        for (class, micros) in &self.held {
            let state = class.state.map_or_else(|| "-".to_owned(), |state| state.to_string());
            // Writing to a String cannot fail.
            let _ = write!(text, "{},{state},{},{micros}", class.plan, class.why as u8);
            if let Some(reason) = &class.reason {
                text.push(',');
                text.extend(reason.as_str().chars().map(|c| if c.is_control() { ' ' } else { c }).flat_map(escaped));
            }
            text.push(';');
        }
        text.push('|');
        for (name, count) in self.counts.each().filter(|(_, count)| *count > 0) {
            let _ = write!(text, "{name}={count};");
        }
        text
    }

    /// The sums of a text that [`Self::to_stored`] gave; `None` of any other.
    pub fn from_stored(text: &str) -> Option<Self> {
        let (held, counts) = text.split_once('|')?;
        let mut sums = Self::default();
        for entry in held.split_terminator(';') {
            let mut parts = entry.splitn(5, ',');
            let plan: u8 = parts.next()?.parse().ok()?;
            let state = match parts.next()? {
                "-" => None,
                state => Some(state.parse::<u8>().ok().filter(|state| usize::from(*state) < STATE_KINDS)?),
            };
            let why = *Why::ALL.get(parts.next()?.parse::<usize>().ok()?)?;
            let micros: u64 = parts.next()?.parse().ok()?;
            let reason = parts.next().map(|reason| ReasonCode::new(unescaped(reason)));
            PlanKind::ALL.get(usize::from(plan))?;
            *sums.held.entry(Class { plan, state, why, reason }).or_default() += micros;
        }
        for entry in counts.split_terminator(';') {
            let (name, count) = entry.split_once('=')?;
            *sums.counts.named(name)? = count.parse().ok()?;
        }
        Some(sums)
    }
}

/// What would end an entry or the list, and the sign that stands before such.
const SPECIAL: [(char, char); 3] = [('%', 'p'), (';', 's'), ('|', 'b')];

fn escaped(c: char) -> impl Iterator<Item = char> {
    let special = SPECIAL.iter().find(|(special, _)| *special == c);
    let (first, second) = special.map_or((c, None), |(_, name)| ('%', Some(*name)));
    std::iter::once(first).chain(second)
}

fn unescaped(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        let name = if c == '%' { chars.next() } else { None };
        let special = SPECIAL.iter().find(|(_, known)| Some(*known) == name);
        plain.push(special.map_or(c, |(special, _)| *special));
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(plan: u8, state: Option<u8>, why: usize, reason: Option<&str>) -> Class {
        Class { plan, state, why: Why::ALL[why], reason: reason.map(ReasonCode::new) }
    }

    #[test]
    fn the_text_of_sums_is_pinned_since_stores_hold_it() {
        let held = [(class(0, Some(0), 0, None), 60_000_000), (class(1, None, 7, Some("a;b|c%d,e")), 1)].into();
        let counts = Counts { shifts: 2, late_us: 600_000_000, ..Counts::default() };
        let sums = Sums { held, counts };
        assert_eq!(sums.to_stored(), "0,0,0,60000000;1,-,7,1,a%sb%bc%pd,e;|shifts=2;late_us=600000000;");
        assert_eq!(Sums::from_stored(&sums.to_stored()), Some(sums));
        for broken in ["", "0,0,0", "8,0,0,1;|", "0,8,0,1;|", "0,0,10,1;|", "0,0,0,x;|", "|shifts", "|what=1;"] {
            assert_eq!(Sums::from_stored(broken), None, "{broken}");
        }
    }

    #[test]
    fn whys_are_stored_by_their_place() {
        for (place, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, place, "{why:?}");
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
                let one = Sums { held: [(class(plan, state, why, reason.as_deref()), micros)].into(), ..Sums::default() };
                whole.add(&one);
                total += micros;
            }
            prop_assert_eq!(whole.micros(|_| true), total);
            prop_assert_eq!(Sums::from_stored(&whole.to_stored()), Some(whole));
        }
    }
}
