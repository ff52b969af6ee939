//! Conditions with all names resolved, as evaluated by the planner.
//!
//! Checking a rule creates them.

use std::time::Duration;

use crate::domain::adherence::Verdict;
use crate::domain::agents::kind_sets::{PlanKind, PlanSet, StateSet};
use crate::domain::agents::state::AgentState;
use crate::domain::wording::named_enum;

use super::staffing::StaffingTest;

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

/// The test of a condition.
#[derive(Clone, PartialEq, Debug)]
pub enum ConditionTest {
    /// The planned activity.
    Planned(PlanSet),
    /// The previous planned activity.
    After(PlanSet),
    /// The next planned activity.
    Next(PlanSet),
    /// Whether the planned activity is mandatory.
    Mandatory(bool),
    /// The state.
    State(StateSet),
    /// Whether the agent is on a contact or in wrap-up.
    OnContact(bool),
    /// A time is at least this long.
    AtLeast(ConditionTime, Duration),
    /// A time is at most this long.
    AtMost(ConditionTime, Duration),
    /// The status of the break.
    Break(BreakCondition),
    /// The adherence.
    Verdict(Vec<Verdict>),
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
    /// The planned staffing of the agent's team.
    Staffing(StaffingTest),
}

impl ConditionTest {
    /// Whether the test can hold while a plan of this kind runs. It must not be `false` if it can, because the planner
    /// skips rules by it.
    pub fn can_hold_in(&self, kind: PlanKind) -> bool {
        match self {
            Self::Planned(set) => set.has_kind(kind),
            Self::Mandatory(true) => kind.is_in_shift(),
            Self::AtLeast(time, _) | Self::AtMost(time, _) => time.exists_in(kind),
            Self::Break(BreakCondition::Due | BreakCondition::Running) => kind.is_rest(),
            Self::Break(BreakCondition::Over) => kind.is_in_shift() && !kind.is_rest(),
            Self::Verdict(wanted) => wanted.iter().any(|verdict| match verdict {
                Verdict::In | Verdict::Out | Verdict::Neutral => kind.is_in_shift(),
                Verdict::Unscheduled => kind == PlanKind::Off,
                Verdict::Unknown => true,
            }),
            Self::After(_)
            | Self::Next(_)
            | Self::Mandatory(false)
            | Self::State(_)
            | Self::OnContact(_)
            | Self::Team(_)
            | Self::Skill(_)
            | Self::Queue(_)
            | Self::LocalTime(..)
            | Self::Weekdays(_)
            | Self::Figure(_)
            | Self::Anomaly(_)
            | Self::Staffing(_) => true,
        }
    }

    /// Whether the test depends on the plan or on adherence.
    pub const fn depends_on_plan(&self) -> bool {
        match self {
            Self::AtLeast(time, _) | Self::AtMost(time, _) => !matches!(time, ConditionTime::InState),
            Self::Planned(_)
            | Self::After(_)
            | Self::Next(_)
            | Self::Mandatory(_)
            | Self::Break(_)
            | Self::Verdict(_) => true,
            Self::State(_)
            | Self::OnContact(_)
            | Self::Team(_)
            | Self::Skill(_)
            | Self::Queue(_)
            | Self::LocalTime(..)
            | Self::Weekdays(_)
            | Self::Figure(_)
            | Self::Anomaly(_)
            | Self::Staffing(_) => false,
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
            Self::AtLeast(ConditionTime::InState, _) | Self::AtMost(ConditionTime::InState, _) | Self::Queue(_) => {
                StateSet::default().complement()
            }
            Self::AtLeast(..)
            | Self::AtMost(..)
            | Self::Break(BreakCondition::Running)
            | Self::Verdict(_)
            | Self::Planned(_)
            | Self::After(_)
            | Self::Next(_)
            | Self::Mandatory(_)
            | Self::Team(_)
            | Self::Skill(_)
            | Self::LocalTime(..)
            | Self::Weekdays(_)
            | Self::Figure(_)
            | Self::Anomaly(_)
            | Self::Staffing(_) => return None,
        })
    }
}

named_enum! {
    /// The status of a break.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum BreakCondition {
        /// The break is planned now, and the agent does not rest.
        Due = "due",
        /// The break is planned now.
        Running = "running",
        /// The break has just ended, and the agent still rests.
        Over = "over",
    }
}

/// A time that a condition compares with a duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConditionTime {
    /// In the state.
    InState,
    /// In the planned activity.
    InActivity,
    /// To the end of the planned activity.
    LeftOfActivity,
    /// Of continuous work since the last rest.
    Worked,
    /// Since the facts behind the adherence last changed.
    InVerdict,
    /// Since the start of the running shift.
    SinceShiftStart,
    /// To the end of the running shift.
    ToShiftEnd,
    /// To the start of the next shift, outside of shifts.
    ToShiftStart,
    /// Since the end of the last shift, outside of shifts.
    SinceShiftEnd,
}

impl ConditionTime {
    /// Whether there can be such a time while a plan of this kind runs.
    const fn exists_in(self, kind: PlanKind) -> bool {
        match self {
            Self::Worked | Self::SinceShiftStart | Self::ToShiftEnd => kind.is_in_shift(),
            Self::ToShiftStart | Self::SinceShiftEnd => !kind.is_in_shift(),
            Self::InState | Self::InActivity | Self::LeftOfActivity | Self::InVerdict => true,
        }
    }
}
