//! Conditions with all names resolved, as evaluated by the planner.
//!
//! Checking a rule creates them.

use std::time::Duration;

use crate::domain::adherence::Verdict;
use crate::domain::agents::kind_sets::{PlanKind, PlanSet, StateSet};
use crate::domain::agents::state::AgentState;

/// One condition: the test and its text.
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    /// The key in a rule, such as `planned` or `shift.ended_for`.
    pub name: &'static str,
    /// The requirement as text, for explanations.
    pub requirement: String,
    /// The test.
    pub test: ConditionTest,
}

/// The test of a condition. Durations are minimums unless the name says otherwise.
#[derive(Clone, PartialEq, Debug)]
pub enum ConditionTest {
    /// The planned activity.
    Planned(PlanSet),
    /// The previous planned activity.
    After(PlanSet),
    /// The next planned activity.
    Next(PlanSet),
    /// The time in the planned activity.
    PlannedFor(Duration),
    /// The time left of the planned activity.
    PlannedLeft(Duration),
    /// Whether the planned activity is mandatory.
    Mandatory(bool),
    /// The state.
    State(StateSet),
    /// Whether the agent is on a contact or in wrap-up.
    OnContact(bool),
    /// The time in the state.
    StateFor(Duration),
    /// The status of the break.
    Break(BreakCondition),
    /// The continuous work since the last rest.
    Worked(Duration),
    /// The time relative to the shift.
    Shift(ShiftCondition, Duration),
    /// The adherence.
    Verdict(Vec<Verdict>),
    /// The time since the facts behind the adherence last changed.
    VerdictFor(Duration),
    /// The team, by index in [`super::compile::RuleSet::teams`].
    Team(Vec<usize>),
    /// A skill of the agent, by id or name.
    Skill(Vec<String>),
    /// The queue's name.
    Queue(Vec<String>),
    /// The local time of day in seconds, from the first up to but not including the second; it may extend past
    /// midnight.
    LocalTime(i32, i32),
    /// The local days of the week as bits; bit 0 is Monday.
    Weekdays(u8),
    /// A figure of a skill or queue, by index in [`super::compile::RuleSet::figures`].
    Figure(usize),
    /// An anomaly of a monitored series, by index in [`super::compile::RuleSet::anomalies`].
    Anomaly(usize),
}

impl ConditionTest {
    /// Whether the test can hold while a plan of this kind runs. It must not be `false` if it can, because the planner
    /// skips rules by it.
    pub fn can_hold_in(&self, kind: PlanKind) -> bool {
        match self {
            Self::Planned(set) => set.has_kind(kind),
            Self::Mandatory(true) | Self::Worked(_) => kind.is_in_shift(),
            Self::Break(BreakCondition::Due | BreakCondition::Running) => kind.is_rest(),
            Self::Break(BreakCondition::Over) => kind.is_in_shift() && !kind.is_rest(),
            Self::Shift(is, _) => is.requires_running_shift() == kind.is_in_shift(),
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

    /// Whether the test depends on the plan or on adherence.
    pub const fn depends_on_plan(&self) -> bool {
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

    /// Returns the states in which the test can hold; `None` if it can hold for an agent that has not been observed.
    pub fn states(&self) -> Option<StateSet> {
        use AgentState::{AfterContactWork, Idle, LoggedOut, NotReady, OnContact, Paused, Ready};
        Some(match self {
            Self::State(set) => *set,
            Self::OnContact(true) => StateSet::from_states(&[OnContact, AfterContactWork]),
            Self::OnContact(false) => StateSet::from_states(&[OnContact, AfterContactWork]).complement(),
            Self::Break(BreakCondition::Due) => StateSet::from_states(&[Ready, OnContact, AfterContactWork]),
            Self::Break(BreakCondition::Over) => StateSet::from_states(&[NotReady, Paused, Idle, LoggedOut]),
            Self::StateFor(_) | Self::Queue(_) => StateSet::default().complement(),
            Self::Break(BreakCondition::Running)
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

/// The status of a break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakCondition {
    /// The break is planned now, and the agent does not rest.
    Due,
    /// The break is planned now.
    Running,
    /// The break has just ended, and the agent still rests.
    Over,
}

impl BreakCondition {
    /// Every variant.
    pub const ALL: [Self; 3] = [Self::Due, Self::Running, Self::Over];

    /// Returns the name used in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Running => "running",
            Self::Over => "over",
        }
    }
}

/// A condition on the time relative to the shift.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShiftCondition {
    /// The shift has run for at least the duration.
    StartedFor,
    /// The shift has run for at most the duration.
    StartedWithin,
    /// The shift ends within the duration.
    EndsWithin,
    /// The next shift starts within the duration.
    StartsWithin,
    /// The last shift ended at least the duration ago.
    EndedFor,
    /// The last shift ended at most the duration ago.
    EndedWithin,
}

impl ShiftCondition {
    /// Whether the condition requires a running shift; otherwise it requires that there is none.
    pub const fn requires_running_shift(self) -> bool {
        match self {
            Self::StartedFor | Self::StartedWithin | Self::EndsWithin => true,
            Self::StartsWithin | Self::EndedFor | Self::EndedWithin => false,
        }
    }
}
