//! Conditions with their names resolved: what the planner evaluates.
//!
//! They are made by checking a rule and hold no text that still needs reading.

use std::time::Duration;

use crate::domain::adherence::Verdict;
use crate::domain::agents::sets::{PlanKind, PlanSet, StateSet};
use crate::domain::agents::state::AgentState;

/// One condition: the test, and how a person would write it.
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    /// The key it stands under in a rule, as `planned` or `shift.ended_for`.
    pub name: &'static str,
    /// What it asks for, as text for explanations.
    pub wanted: String,
    /// The test.
    pub test: Test,
}

/// What is tested. Times are "at least" unless their name says otherwise.
#[derive(Clone, PartialEq, Debug)]
pub enum Test {
    /// What is planned.
    Planned(PlanSet),
    /// What came before it.
    After(PlanSet),
    /// What comes next.
    Next(PlanSet),
    /// Time in the planned activity.
    PlannedFor(Duration),
    /// Time that is left of the planned activity.
    PlannedLeft(Duration),
    /// Whether the planned activity is mandatory.
    Mandatory(bool),
    /// The state.
    State(StateSet),
    /// With a contact or wrapping one up.
    OnContact(bool),
    /// Time in the state.
    StateFor(Duration),
    /// A break.
    Break(BreakIs),
    /// Continuous work since the last rest.
    Worked(Duration),
    /// The shift.
    Shift(ShiftIs, Duration),
    /// The adherence verdict.
    Verdict(Vec<Verdict>),
    /// Time since the facts behind the verdict are as they are.
    VerdictFor(Duration),
    /// The team, by its place in [`super::compile::RuleSet::teams`].
    Team(Vec<usize>),
    /// A skill of the agent, by id or name.
    Skill(Vec<String>),
    /// The queue's name.
    Queue(Vec<String>),
    /// Local time of day in seconds, from the first up to but not including the second; it may pass midnight.
    LocalTime(i32, i32),
    /// Local days of the week; bit 0 is Monday.
    Weekdays(u8),
    /// A figure of a skill or queue, by its place in [`super::compile::RuleSet::figures`].
    Figure(usize),
    /// An anomaly of a watched series, by its place in [`super::compile::RuleSet::anomalies`].
    Anomaly(usize),
}

impl Test {
    /// Whether it can hold while a plan of this kind runs. Never false where it can: the planner skips rules by it.
    pub fn can_hold_for(&self, kind: PlanKind) -> bool {
        match self {
            Self::Planned(set) => set.has_kind(kind),
            Self::Mandatory(true) | Self::Worked(_) => kind.is_in_shift(),
            Self::Break(BreakIs::Due | BreakIs::Running) => kind.is_rest(),
            Self::Break(BreakIs::Over) => kind.is_in_shift() && !kind.is_rest(),
            Self::Shift(is, _) => is.asks_for_running() == kind.is_in_shift(),
            Self::Verdict(wanted) => wanted.iter().any(|verdict| match verdict {
                Verdict::In | Verdict::Out | Verdict::Neutral => kind.is_in_shift(),
                Verdict::Unscheduled => kind == PlanKind::Off,
                Verdict::Unknown => true,
            }),
            Self::After(_)
            | Self::Next(_)
            | Self::PlannedFor(_)
            | Self::PlannedLeft(_)
            | Self::Mandatory(false)
            | Self::State(_)
            | Self::OnContact(_)
            | Self::StateFor(_)
            | Self::VerdictFor(_)
            | Self::Team(_)
            | Self::Skill(_)
            | Self::Queue(_)
            | Self::LocalTime(..)
            | Self::Weekdays(_)
            | Self::Figure(_)
            | Self::Anomaly(_) => true,
        }
    }

    /// Whether it looks at what is planned for the agent, or at what adherence makes of that.
    pub const fn looks_at_plan(&self) -> bool {
        match self {
            Self::Planned(_)
            | Self::After(_)
            | Self::Next(_)
            | Self::PlannedFor(_)
            | Self::PlannedLeft(_)
            | Self::Mandatory(_)
            | Self::Break(_)
            | Self::Worked(_)
            | Self::Shift(..)
            | Self::Verdict(_)
            | Self::VerdictFor(_) => true,
            Self::State(_)
            | Self::OnContact(_)
            | Self::StateFor(_)
            | Self::Team(_)
            | Self::Skill(_)
            | Self::Queue(_)
            | Self::LocalTime(..)
            | Self::Weekdays(_)
            | Self::Figure(_)
            | Self::Anomaly(_) => false,
        }
    }

    /// The states in which it can hold; `None` where it can hold for an agent that no sight has shown yet.
    pub fn states(&self) -> Option<StateSet> {
        use AgentState::{AfterContactWork, Idle, LoggedOut, NotReady, OnContact, Paused, Ready};
        Some(match self {
            Self::State(set) => *set,
            Self::OnContact(true) => StateSet::of(&[OnContact, AfterContactWork]),
            Self::OnContact(false) => StateSet::of(&[OnContact, AfterContactWork]).complement(),
            Self::Break(BreakIs::Due) => StateSet::of(&[Ready, OnContact, AfterContactWork]),
            Self::Break(BreakIs::Over) => StateSet::of(&[NotReady, Paused, Idle, LoggedOut]),
            Self::StateFor(_) | Self::Queue(_) => StateSet::default().complement(),
            Self::Break(BreakIs::Running)
            | Self::Worked(_)
            | Self::Shift(..)
            | Self::Verdict(_)
            | Self::VerdictFor(_)
            | Self::Planned(_)
            | Self::After(_)
            | Self::Next(_)
            | Self::PlannedFor(_)
            | Self::PlannedLeft(_)
            | Self::Mandatory(_)
            | Self::Team(_)
            | Self::Skill(_)
            | Self::LocalTime(..)
            | Self::Weekdays(_)
            | Self::Figure(_)
            | Self::Anomaly(_) => return None,
        })
    }
}

/// How a break stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakIs {
    /// Planned now, and the agent does not rest.
    Due,
    /// Planned now.
    Running,
    /// Planned until now, and the agent still rests.
    Over,
}

impl BreakIs {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Due, Self::Running, Self::Over];

    /// The name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Running => "running",
            Self::Over => "over",
        }
    }
}

/// How a shift stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShiftIs {
    /// It has run for at least the time.
    StartedFor,
    /// It has run for at most the time.
    StartedWithin,
    /// It ends in at most the time.
    EndsWithin,
    /// The next starts in at most the time.
    StartsWithin,
    /// The last has been over for at least the time.
    EndedFor,
    /// The last has been over for at most the time.
    EndedWithin,
}

impl ShiftIs {
    /// Whether it asks for a running shift; else it asks for none.
    pub const fn asks_for_running(self) -> bool {
        match self {
            Self::StartedFor | Self::StartedWithin | Self::EndsWithin => true,
            Self::StartsWithin | Self::EndedFor | Self::EndedWithin => false,
        }
    }
}
