//! Small sets of states and planned activities, so that rules and adherence compare bits instead of names.
//!
//! They only represent what can be distinguished, not what is allowed.

use std::sync::Arc;

use super::state::{AgentState, STATE_KINDS};
use crate::domain::schedules::schedule::{ACTIVITY_KINDS, Activity};
use crate::domain::wording::named_enum;

/// The number of values that [`PlanKind::index`] can return.
pub const PLAN_KINDS: usize = ACTIVITY_KINDS + 2;

named_enum! {
    /// What a plan says about an instant, small enough for tables. All activities with a custom name are `Other`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum PlanKind {
        /// Plain work.
        Work = "work",
        /// A short pause.
        Break = "break",
        /// The meal break.
        Lunch = "lunch",
        /// A meeting.
        Meeting = "meeting",
        /// Training or coaching.
        Training = "training",
        /// An activity with a custom name.
        Other = "other",
        /// The schedule covers the instant and has no shift.
        Off = "off",
        /// The schedule does not cover the instant.
        Uncovered = "uncovered",
    }
}

impl PlanKind {
    /// Returns the kind of an activity.
    pub const fn from_activity(activity: &Activity) -> Self {
        Self::ALL[activity.index()]
    }

    /// Returns a small number for tables.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns whether the kind is within a shift.
    pub const fn is_in_shift(self) -> bool {
        !matches!(self, Self::Off | Self::Uncovered)
    }

    /// Returns whether the kind is a break or lunch.
    pub const fn is_rest(self) -> bool {
        matches!(self, Self::Break | Self::Lunch)
    }
}

/// A set of [`PlanKind`]s, with the names of activities that have a custom one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlanSet {
    bits: u8,
    other_names: Vec<Arc<str>>,
}

impl PlanSet {
    /// Adds a member by the name used in rules: `off`, `uncovered` or any activity.
    pub fn insert(&mut self, name: &str) {
        let kind = match name {
            "off" => PlanKind::Off,
            "uncovered" => PlanKind::Uncovered,
            activity => match Activity::from_name(activity) {
                Activity::Other(custom_name) => {
                    self.other_names.push(custom_name);
                    PlanKind::Other
                }
                known => PlanKind::from_activity(&known),
            },
        };
        self.bits |= 1 << kind.index();
    }

    /// Returns whether some member is of this kind.
    pub const fn has_kind(&self, kind: PlanKind) -> bool {
        self.bits & (1 << kind.index()) != 0
    }

    /// Returns whether `kind` is a member; `activity` returns the activity and is called only if its name decides.
    pub fn contains<'a>(&self, kind: PlanKind, activity: impl FnOnce() -> Option<&'a Activity>) -> bool {
        self.has_kind(kind)
            && (kind != PlanKind::Other
                || activity().is_some_and(|activity| {
                    self.other_names.iter().any(|custom_name| **custom_name == *activity.name())
                }))
    }

    /// Returns whether every member of `other` is a member of this set.
    pub fn covers(&self, other: &Self) -> bool {
        other.bits & !self.bits == 0
            && other.other_names.iter().all(|custom_name| self.other_names.contains(custom_name))
    }
}

/// A set of agent states. All unknown states are one member, which cannot be added by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateSet(u16);

impl StateSet {
    /// Creates a set of the given states.
    pub fn from_states<'a>(states: impl IntoIterator<Item = &'a AgentState>) -> Self {
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

    /// Returns whether `state` is a member.
    pub const fn contains(self, state: &AgentState) -> bool {
        self.contains_index(state.index())
    }

    /// Returns whether the state with this [`AgentState::index`] is a member; `false` for an index out of range.
    pub const fn contains_index(self, index: usize) -> bool {
        index < STATE_KINDS && self.0 & (1 << index) != 0
    }

    /// Returns whether every member of `other` is a member of this set.
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Returns the intersection of both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns every state that is not a member, including unknown ones.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(!self.0 & ((1 << STATE_KINDS) - 1))
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the known members, in the order of [`AgentState::KNOWN`].
    pub fn known_states(self) -> impl Iterator<Item = AgentState> {
        AgentState::KNOWN.into_iter().filter(move |state| self.contains(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_indices_of_activities() {
        for (activity, kind) in Activity::KNOWN.iter().zip(PlanKind::ALL) {
            assert_eq!(PlanKind::from_activity(activity), kind);
            assert_eq!(activity.name(), kind.name());
        }
        assert_eq!(PlanKind::from_activity(&Activity::Other("fire drill".into())), PlanKind::Other);
    }

    #[test]
    fn activities_with_their_own_names_are_distinguished() {
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
