//! Small sets over states and planned activities, so that rules and adherence compare bits instead of names.
//!
//! They know what can be told apart and nothing of what is allowed.

use std::sync::Arc;

use super::state::{AgentState, STATE_KINDS};
use crate::domain::schedules::schedule::{ACTIVITY_KINDS, Activity};

/// How many indices [`PlanKind::index`] can give.
pub const PLAN_KINDS: usize = ACTIVITY_KINDS + 2;

/// What a plan can say of an instant, small enough for a table. All activities without a name of their own are `Other`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanKind {
    /// Plain work.
    Work,
    /// A short pause.
    Break,
    /// The meal break.
    Lunch,
    /// A meeting.
    Meeting,
    /// Training or coaching.
    Training,
    /// An activity with a name that only the centre knows.
    Other,
    /// The schedule speaks for the instant and has no shift.
    Off,
    /// The schedule does not speak for the instant.
    Uncovered,
}

impl PlanKind {
    /// All of them, in the order of [`PlanKind::index`].
    pub const ALL: [Self; PLAN_KINDS] =
        [Self::Work, Self::Break, Self::Lunch, Self::Meeting, Self::Training, Self::Other, Self::Off, Self::Uncovered];

    /// The kind of an activity.
    pub const fn of(activity: &Activity) -> Self {
        Self::ALL[activity.index()]
    }

    /// A small number for tables.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name as rules and messages use it; `other` for an activity that has its own.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Break => "break",
            Self::Lunch => "lunch",
            Self::Meeting => "meeting",
            Self::Training => "training",
            Self::Other => "other",
            Self::Off => "off",
            Self::Uncovered => "uncovered",
        }
    }

    /// In a shift.
    pub const fn is_in_shift(self) -> bool {
        !matches!(self, Self::Off | Self::Uncovered)
    }

    /// Break or lunch.
    pub const fn is_rest(self) -> bool {
        matches!(self, Self::Break | Self::Lunch)
    }
}

/// A set of [`PlanKind`]s, with the names of those activities that have their own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlanSet {
    bits: u8,
    others: Vec<Arc<str>>,
}

impl PlanSet {
    /// Adds what a rule calls `off`, `uncovered`, or any activity.
    pub fn insert(&mut self, name: &str) {
        let kind = match name {
            "off" => PlanKind::Off,
            "uncovered" => PlanKind::Uncovered,
            activity => match Activity::from_name(activity) {
                Activity::Other(own) => {
                    self.others.push(own);
                    PlanKind::Other
                }
                known => PlanKind::of(&known),
            },
        };
        self.bits |= 1 << kind.index();
    }

    /// Whether some member is of this kind.
    pub const fn has_kind(&self, kind: PlanKind) -> bool {
        self.bits & (1 << kind.index()) != 0
    }

    /// Whether `kind` is a member; `activity` gives the activity's own name and is asked only where names decide.
    pub fn contains<'a>(&self, kind: PlanKind, activity: impl FnOnce() -> Option<&'a Activity>) -> bool {
        self.has_kind(kind)
            && (kind != PlanKind::Other
                || activity().is_some_and(|activity| self.others.iter().any(|own| **own == *activity.name())))
    }

    /// Whether every member of `other` is a member of this set.
    pub fn covers(&self, other: &Self) -> bool {
        other.bits & !self.bits == 0 && other.others.iter().all(|own| self.others.contains(own))
    }
}

/// A set of agent states. All unknown states are one member, which no name can add.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateSet(u16);

impl StateSet {
    /// The set of these states.
    pub fn of<'a>(states: impl IntoIterator<Item = &'a AgentState>) -> Self {
        let mut set = Self::default();
        for state in states {
            set.insert(state);
        }
        set
    }

    /// Adds a state.
    pub const fn insert(&mut self, state: &AgentState) {
        self.0 |= 1 << state.index();
    }

    /// Whether `state` is a member.
    pub const fn contains(self, state: &AgentState) -> bool {
        self.contains_index(state.index())
    }

    /// Whether the state of this [`AgentState::index`] is a member; false beyond the last.
    pub const fn contains_index(self, index: usize) -> bool {
        index < STATE_KINDS && self.0 & (1 << index) != 0
    }

    /// Whether every member of `other` is a member of this set.
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The members of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Every state that is not a member, the unknown ones included.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(!self.0 & ((1 << STATE_KINDS) - 1))
    }

    /// Whether there is no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The known members, in the order of [`AgentState::KNOWN`].
    pub fn known(self) -> impl Iterator<Item = AgentState> {
        AgentState::KNOWN.into_iter().filter(move |state| self.contains(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_indices_of_activities() {
        for (activity, kind) in Activity::KNOWN.iter().zip(PlanKind::ALL) {
            assert_eq!(PlanKind::of(activity), kind);
            assert_eq!(activity.name(), kind.name());
        }
        assert_eq!(PlanKind::of(&Activity::Other("fire drill".into())), PlanKind::Other);
    }

    #[test]
    fn activities_with_their_own_names_are_told_apart() {
        let mut set = PlanSet::default();
        set.insert("Project");
        set.insert("off");
        let (project, drill) = (Activity::Other("project".into()), Activity::Other("drill".into()));
        assert!(set.contains(PlanKind::Other, || Some(&project)));
        assert!(!set.contains(PlanKind::Other, || Some(&drill)));
        assert!(set.contains(PlanKind::Off, || None));
        assert!(!set.contains(PlanKind::Uncovered, || None));
    }
}
