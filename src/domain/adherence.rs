//! Live adherence: whether the agent is in a state that the planned activity allows, and since when.
//!
//! The verdict is for one instant, from the plan and the last observation. The modules below split spans of time and
//! add them up by the same rules.

pub mod coverage;
pub mod days;
pub mod exception;
pub mod figures;
pub mod ledger;
mod stored;
pub mod sums;
pub mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::agents::agent::ObservedState;
use super::agents::kind_sets::{PlanKind, StateSet};
use super::agents::state::AgentState;
use super::schedules::schedule::{ACTIVITY_KINDS, Activity, PlanAt};
use super::time::UtcMicros;
use super::time::span;
use crate::domain::wording::named_enum;

named_enum! {
    /// The adherence verdict.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum Verdict {
        /// In adherence: in a state that the planned activity allows, or out of it for no longer than the tolerance.
        In = "in",
        /// Out of adherence: in another state for longer than the tolerance.
        Out = "out",
        /// Neither in nor out of adherence: on a contact or in wrap-up while something else is planned, or with an
        /// exception.
        Neutral = "neutral",
        /// Without a shift, although the schedule covers the time.
        Unscheduled = "unscheduled",
        /// Unknown: no schedule covers the time, the agent was not observed recently, or the state is not known.
        Unknown = "unknown",
    }
}

named_enum! {
    /// The reason for a verdict. Each reason belongs to one verdict.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum VerdictReason {
        /// In: the activity allows the state.
        Allowed = "allowed",
        /// In: the activity does not allow the state, which has lasted no longer than the tolerance.
        Tolerated = "tolerated",
        /// Out: the activity does not allow the state, which has lasted longer than the tolerance.
        Deviation = "deviation",
        /// Neutral: the agent is on a contact or in wrap-up, which cannot be interrupted.
        Contact = "contact",
        /// Neutral: an exception applies.
        Excused = "excused",
        /// Unscheduled: the schedule covers the time and has no shift then.
        NoShift = "no_shift",
        /// Unknown: no schedule covers the time.
        NoPlan = "no_plan",
        /// Unknown: there was no observation, or nothing was known about the agent yet.
        NotSeen = "not_seen",
        /// Unknown: the platform did not show the agent, or the agent was not in the roster.
        OutOfSight = "out_of_sight",
        /// Unknown: the platform showed a state that is not known.
        UnknownState = "unknown_state",
    }
}

impl VerdictReason {
    /// Returns the verdict that the reason belongs to.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Allowed | Self::Tolerated => Verdict::In,
            Self::Deviation => Verdict::Out,
            Self::Contact | Self::Excused => Verdict::Neutral,
            Self::NoShift => Verdict::Unscheduled,
            Self::NoPlan | Self::NotSeen | Self::OutOfSight | Self::UnknownState => Verdict::Unknown,
        }
    }
}

/// A verdict, and since when the facts behind it have held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CurrentVerdict {
    /// The verdict.
    pub verdict: Verdict,
    /// For `In`, `Out` and `Neutral`, when the state or the activity began, whichever is later; the time of a deviation
    /// thus includes the tolerance. For `Unscheduled`, since when nothing is planned. For `Unknown`, since when plan or
    /// observation has been missing, if known.
    pub since: Option<UtcMicros>,
}

impl CurrentVerdict {
    /// Returns the verdict for the same agent under an exception that began at `start`: `Neutral` instead of `In` or
    /// `Out`.
    #[must_use]
    pub fn with_exception_since(self, start: UtcMicros) -> Self {
        match self.verdict {
            Verdict::In | Verdict::Out | Verdict::Neutral => {
                Self { verdict: Verdict::Neutral, since: Some(self.since.map_or(start, |since| since.max(start))) }
            }
            Verdict::Unscheduled | Verdict::Unknown => self,
        }
    }
}

/// The states and the tolerance that one activity allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActivityAllowance {
    /// The states that are in adherence.
    pub states: StateSet,
    /// How long another state may last before it counts as a deviation.
    pub tolerance: Duration,
    /// Whether a contact makes the verdict neutral instead of out of adherence.
    pub contact_is_neutral: bool,
}

/// The states that are in adherence with each activity, and the tolerances.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "AdherenceText")]
pub struct AdherenceSettings {
    known: [ActivityAllowance; ACTIVITY_KINDS],
    named: BTreeMap<Activity, ActivityAllowance>,
}

/// The default tolerance: planners commonly grant two minutes, since a contact may run over.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_mins(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AdherenceText {
    #[serde(with = "span")]
    tolerance: Duration,
    activities: BTreeMap<Activity, ActivityText>,
}

impl Default for AdherenceText {
    fn default() -> Self {
        Self { tolerance: DEFAULT_TOLERANCE, activities: BTreeMap::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityText {
    allowed: Option<Vec<String>>,
    tolerance: Option<String>,
}

impl Default for AdherenceSettings {
    fn default() -> Self {
        use AgentState::{AfterContactWork, Idle, LoggedOut, NotReady, OnContact, Paused, Ready};
        let allowance = |states: &[AgentState], contact_is_neutral| ActivityAllowance {
            states: StateSet::from_states(states),
            tolerance: DEFAULT_TOLERANCE,
            contact_is_neutral,
        };
        let work = allowance(&[Ready, OnContact, AfterContactWork], false);
        let rest = allowance(&[NotReady, Paused, Idle, LoggedOut], true);
        let away = allowance(&[NotReady, Paused, Idle], true);
        // In the order of `Activity::index`: work, break, lunch, meeting, training, any other.
        Self { known: [work, rest, rest, away, away, away], named: BTreeMap::new() }
    }
}

impl TryFrom<AdherenceText> for AdherenceSettings {
    type Error = String;

    fn try_from(text: AdherenceText) -> Result<Self, String> {
        let mut settings = Self::default();
        for allowance in &mut settings.known {
            allowance.tolerance = text.tolerance;
        }
        for (activity, overrides) in text.activities {
            let mut allowance = *settings.allowance(&activity);
            if let Some(names) = overrides.allowed {
                allowance.states = StateSet::default();
                for name in names {
                    let state = AgentState::from_name(&name).ok_or_else(|| format!("`{name}` is not a state"))?;
                    allowance.states.insert(&state);
                }
            }
            if let Some(tolerance) = overrides.tolerance {
                allowance.tolerance = span::parse(&tolerance)?;
            }
            match activity {
                Activity::Other(_) => {
                    settings.named.insert(activity, allowance);
                }
                known_activity => settings.known[known_activity.index()] = allowance,
            }
        }
        Ok(settings)
    }
}

impl AdherenceSettings {
    /// Returns what an activity allows.
    pub fn allowance(&self, activity: &Activity) -> &ActivityAllowance {
        match activity {
            Activity::Other(_) => self.named.get(activity).unwrap_or(&self.known[activity.index()]),
            known_activity => &self.known[known_activity.index()],
        }
    }

    /// Returns the same for a plan kind; `activity` is called only if the activity's own name decides. `None` outside
    /// shifts.
    fn allowance_for_plan<'p>(
        &self,
        kind: PlanKind,
        activity: impl FnOnce() -> Option<&'p Activity>,
    ) -> Option<&ActivityAllowance> {
        match kind {
            PlanKind::Off | PlanKind::Uncovered => None,
            PlanKind::Other => activity().map(|activity| self.allowance(activity)),
            PlanKind::Work | PlanKind::Break | PlanKind::Lunch | PlanKind::Meeting | PlanKind::Training => {
                Some(&self.known[kind.index()])
            }
        }
    }

    /// Returns the verdict at `now` for an agent observed just now.
    pub fn judge(
        &self,
        planned: PlanAt<'_>,
        planned_since: Option<UtcMicros>,
        observed: &ObservedState,
        now: UtcMicros,
    ) -> CurrentVerdict {
        let (kind, activity) = match planned {
            PlanAt::NotCovered => (PlanKind::Uncovered, None),
            PlanAt::Off => (PlanKind::Off, None),
            PlanAt::In(segment) => (PlanKind::from_activity(&segment.activity), Some(&segment.activity)),
        };
        let planned = CurrentPlan { kind, activity: || activity, since: planned_since };
        self.judge_state(planned, observed, now)
    }

    /// Returns the verdict at `now`: `Unknown` if the observation is missing or older than `stale_after`.
    pub fn judge_observation<'p>(
        &self,
        planned: CurrentPlan<impl FnOnce() -> Option<&'p Activity>>,
        observation: (Option<&ObservedState>, Option<UtcMicros>),
        stale_after: Duration,
        now: UtcMicros,
    ) -> CurrentVerdict {
        let (Some(observed), Some(observed_at)) = observation else {
            return CurrentVerdict { verdict: Verdict::Unknown, since: None };
        };
        if now.since(observed_at) > stale_after {
            return CurrentVerdict { verdict: Verdict::Unknown, since: Some(observed_at + stale_after) };
        }
        self.judge_state(planned, observed, now)
    }

    fn judge_state<'p>(
        &self,
        planned: CurrentPlan<impl FnOnce() -> Option<&'p Activity>>,
        observed: &ObservedState,
        now: UtcMicros,
    ) -> CurrentVerdict {
        let (reason, since) = self.judge_with_reason(planned, (&observed.state, observed.entered_at), now);
        CurrentVerdict { verdict: reason.verdict(), since }
    }

    /// Returns the reason for the verdict at `now`, and [`CurrentVerdict::since`]. All other verdicts rest on this
    /// function.
    fn judge_with_reason<'p>(
        &self,
        planned: CurrentPlan<impl FnOnce() -> Option<&'p Activity>>,
        (state, entered_at): (&AgentState, UtcMicros),
        now: UtcMicros,
    ) -> (VerdictReason, Option<UtcMicros>) {
        if matches!(state, AgentState::Unknown(_)) {
            let reason = if state.is_unobserved() { VerdictReason::OutOfSight } else { VerdictReason::UnknownState };
            return (reason, Some(entered_at));
        }
        let Some(allowance) = self.allowance_for_plan(planned.kind, planned.activity) else {
            let reason = if planned.kind == PlanKind::Off { VerdictReason::NoShift } else { VerdictReason::NoPlan };
            return (reason, planned.since);
        };
        let since = planned.since.map_or(entered_at, |start| start.max(entered_at));
        let reason = if allowance.states.contains(state) {
            VerdictReason::Allowed
        } else if allowance.contact_is_neutral && state.is_on_contact() {
            VerdictReason::Contact
        } else if now.since(since) > allowance.tolerance {
            VerdictReason::Deviation
        } else {
            VerdictReason::Tolerated
        };
        (reason, Some(since))
    }

    /// Returns the verdict for a state that lasts longer than any tolerance under the given plan.
    pub fn judge_lasting_state(&self, kind: PlanKind, activity: Option<&Activity>, state: &AgentState) -> Verdict {
        let planned = CurrentPlan { kind, activity: || activity, since: None };
        self.judge_with_reason(planned, (state, UtcMicros::EPOCH), UtcMicros::MAX).0.verdict()
    }

    /// Returns the longest tolerance of any activity. How long a state lasts beyond a span by more than this does not
    /// change any verdict within the span.
    pub fn max_tolerance(&self) -> Duration {
        self.known.iter().chain(self.named.values()).map(|allowed| allowed.tolerance).max().unwrap_or_default()
    }
}

/// What is planned now, as far as a verdict needs it.
#[derive(Clone, Copy, Debug)]
pub struct CurrentPlan<F> {
    /// The plan kind.
    pub kind: PlanKind,
    /// Returns the activity. Called only for an activity with its own name, so that most verdicts need not look into
    /// the plan.
    pub activity: F,
    /// Since when it is planned, if known.
    pub since: Option<UtcMicros>,
}

#[cfg(test)]
mod tests;
