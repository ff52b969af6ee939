//! Live adherence: is the agent in a state that the planned activity allows, and since when is that so.
//!
//! One verdict at one instant, out of the plan and the last sight. Spans of time are cut and added up in the modules below, by the
//! same law.

pub mod course;
pub mod days;
pub mod exception;
pub mod figures;
pub mod ledger;
pub mod sight;
mod stored;
pub mod sums;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::agents::agent::Observed;
use super::agents::sets::{PlanKind, StateSet};
use super::agents::state::AgentState;
use super::schedules::schedule::{ACTIVITY_KINDS, Activity, Planned};
use super::time::UtcMicros;
use super::time::span;

/// What adherence says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// In a state that the planned activity allows, or out of it for no longer than the tolerance.
    In,
    /// In another state for longer than the tolerance.
    Out,
    /// With a contact, or wrapping one up, while something else is planned: a contact cannot be left.
    Neutral,
    /// The schedule speaks for the instant and has no shift there.
    Unscheduled,
    /// Nothing speaks for it: no schedule, no sight, an old sight, or a state that no table knows.
    Unknown,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::In, Self::Out, Self::Neutral, Self::Unscheduled, Self::Unknown];

    /// The name in rules, reports and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Neutral => "neutral",
            Self::Unscheduled => "unscheduled",
            Self::Unknown => "unknown",
        }
    }

    /// The verdict of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a verdict is what it is: each reason belongs to one verdict.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// In: the activity allows the state.
    Allowed,
    /// In: the activity does not allow the state, which lasted no longer than the tolerance.
    Tolerated,
    /// Out: the activity does not allow the state, which lasted longer than the tolerance.
    Deviation,
    /// Neutral: with a contact, which cannot be left.
    Contact,
    /// Neutral: somebody excused it.
    Excused,
    /// Unscheduled: the schedule speaks for the time and has no shift there.
    NoShift,
    /// Unknown: no schedule speaks for the time.
    NoPlan,
    /// Unknown: nobody looked, or nothing was known of the agent yet.
    NotSeen,
    /// Unknown: the platform did not show the agent, or the agent was not in the roster.
    OutOfSight,
    /// Unknown: a state of the platform that no table knows.
    UnknownState,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Allowed,
        Self::Tolerated,
        Self::Deviation,
        Self::Contact,
        Self::Excused,
        Self::NoShift,
        Self::NoPlan,
        Self::NotSeen,
        Self::OutOfSight,
        Self::UnknownState,
    ];

    /// The verdict that it is the reason of.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Allowed | Self::Tolerated => Verdict::In,
            Self::Deviation => Verdict::Out,
            Self::Contact | Self::Excused => Verdict::Neutral,
            Self::NoShift => Verdict::Unscheduled,
            Self::NoPlan | Self::NotSeen | Self::OutOfSight | Self::UnknownState => Verdict::Unknown,
        }
    }

    /// The name in reports and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Tolerated => "tolerated",
            Self::Deviation => "deviation",
            Self::Contact => "contact",
            Self::Excused => "excused",
            Self::NoShift => "no_shift",
            Self::NoPlan => "no_plan",
            Self::NotSeen => "not_seen",
            Self::OutOfSight => "out_of_sight",
            Self::UnknownState => "unknown_state",
        }
    }
}

/// A verdict, and since when the facts behind it are as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LiveVerdict {
    /// What.
    pub verdict: Verdict,
    /// For `In`, `Out` and `Neutral`: when the state or the activity began, whichever was later (so a deviation's time includes
    /// the tolerance). For `Unscheduled`: since when nothing is planned. For `Unknown`: since when nothing speaks, where that
    /// can be said.
    pub since: Option<UtcMicros>,
}

impl LiveVerdict {
    /// The verdict on the same agent, who has been excused since an instant: neutral wherever there was something to judge.
    #[must_use]
    pub fn excused_since(self, start: UtcMicros) -> Self {
        match self.verdict {
            Verdict::In | Verdict::Out | Verdict::Neutral => {
                Self { verdict: Verdict::Neutral, since: Some(self.since.map_or(start, |since| since.max(start))) }
            }
            Verdict::Unscheduled | Verdict::Unknown => self,
        }
    }
}

/// What one activity allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowed {
    /// States that are in adherence.
    pub states: StateSet,
    /// How long another state may last before it is a deviation.
    pub tolerance: Duration,
    /// Whether a contact makes the verdict neutral instead of a deviation.
    pub contact_is_neutral: bool,
}

/// Which states are in adherence with which activity, and how long a deviation may last before it counts.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "AdherenceText")]
pub struct AdherenceSettings {
    known: [Allowed; ACTIVITY_KINDS],
    named: BTreeMap<Activity, Allowed>,
}

/// The tolerance where nobody sets one: planners commonly grant two minutes, since a contact may run over.
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
        let allowed = |states: &[AgentState], contact_is_neutral| Allowed {
            states: StateSet::of(states),
            tolerance: DEFAULT_TOLERANCE,
            contact_is_neutral,
        };
        let work = allowed(&[Ready, OnContact, AfterContactWork], false);
        let rest = allowed(&[NotReady, Paused, Idle, LoggedOut], true);
        let away = allowed(&[NotReady, Paused, Idle], true);
        // In the order of `Activity::index`: work, break, lunch, meeting, training, any other.
        Self { known: [work, rest, rest, away, away, away], named: BTreeMap::new() }
    }
}

impl TryFrom<AdherenceText> for AdherenceSettings {
    type Error = String;

    fn try_from(text: AdherenceText) -> Result<Self, String> {
        let mut settings = Self::default();
        for allowed in &mut settings.known {
            allowed.tolerance = text.tolerance;
        }
        for (activity, own) in text.activities {
            let mut allowed = *settings.allowed(&activity);
            if let Some(names) = own.allowed {
                allowed.states = StateSet::default();
                for name in names {
                    let state = AgentState::from_name(&name).ok_or_else(|| format!("`{name}` is not a state"))?;
                    allowed.states.insert(&state);
                }
            }
            if let Some(tolerance) = own.tolerance {
                allowed.tolerance = span::parse(&tolerance)?;
            }
            match activity {
                Activity::Other(_) => {
                    settings.named.insert(activity, allowed);
                }
                known => settings.known[known.index()] = allowed,
            }
        }
        Ok(settings)
    }
}

impl AdherenceSettings {
    /// What an activity allows.
    pub fn allowed(&self, activity: &Activity) -> &Allowed {
        match activity {
            Activity::Other(_) => self.named.get(activity).unwrap_or(&self.known[activity.index()]),
            known => &self.known[known.index()],
        }
    }

    /// The same for a kind of plan; `activity` is asked only where its own name decides. `None` outside of shifts.
    fn allowed_for<'p>(&self, kind: PlanKind, activity: impl FnOnce() -> Option<&'p Activity>) -> Option<&Allowed> {
        match kind {
            PlanKind::Off | PlanKind::Uncovered => None,
            PlanKind::Other => activity().map(|activity| self.allowed(activity)),
            PlanKind::Work | PlanKind::Break | PlanKind::Lunch | PlanKind::Meeting | PlanKind::Training => {
                Some(&self.known[kind.index()])
            }
        }
    }

    /// The verdict at `now` on an agent who was seen just now.
    pub fn judge(
        &self,
        planned: Planned<'_>,
        planned_since: Option<UtcMicros>,
        observed: &Observed,
        now: UtcMicros,
    ) -> LiveVerdict {
        let (kind, activity) = match planned {
            Planned::NotCovered => (PlanKind::Uncovered, None),
            Planned::Off => (PlanKind::Off, None),
            Planned::In(segment) => (PlanKind::of(&segment.activity), Some(&segment.activity)),
        };
        self.judge_seen(PlannedNow { kind, activity: || activity, since: planned_since }, observed, now)
    }

    /// The verdict at `now`. Sight that is missing, or older than `stale_after`, gives `Unknown`.
    pub fn judge_sight<'p>(
        &self,
        planned: PlannedNow<impl FnOnce() -> Option<&'p Activity>>,
        sight: (Option<&Observed>, Option<UtcMicros>),
        stale_after: Duration,
        now: UtcMicros,
    ) -> LiveVerdict {
        let (Some(observed), Some(seen_at)) = sight else {
            return LiveVerdict { verdict: Verdict::Unknown, since: None };
        };
        if now.since(seen_at) > stale_after {
            return LiveVerdict { verdict: Verdict::Unknown, since: Some(seen_at + stale_after) };
        }
        self.judge_seen(planned, observed, now)
    }

    fn judge_seen<'p>(
        &self,
        planned: PlannedNow<impl FnOnce() -> Option<&'p Activity>>,
        observed: &Observed,
        now: UtcMicros,
    ) -> LiveVerdict {
        self.judge_state(planned, (&observed.state, observed.entered_at), now)
    }

    /// The verdict at `now` on a state that was entered at an instant and is known to last.
    fn judge_state<'p>(
        &self,
        planned: PlannedNow<impl FnOnce() -> Option<&'p Activity>>,
        stay: (&AgentState, UtcMicros),
        now: UtcMicros,
    ) -> LiveVerdict {
        let (why, since) = self.weigh(planned, stay, now);
        LiveVerdict { verdict: why.verdict(), since }
    }

    /// The law itself: why the verdict at `now` is what it is, and [`LiveVerdict::since`].
    fn weigh<'p>(
        &self,
        planned: PlannedNow<impl FnOnce() -> Option<&'p Activity>>,
        (state, entered_at): (&AgentState, UtcMicros),
        now: UtcMicros,
    ) -> (Why, Option<UtcMicros>) {
        if matches!(state, AgentState::Unknown(_)) {
            let why = if state.is_out_of_sight() { Why::OutOfSight } else { Why::UnknownState };
            return (why, Some(entered_at));
        }
        let Some(allowed) = self.allowed_for(planned.kind, planned.activity) else {
            let why = if planned.kind == PlanKind::Off { Why::NoShift } else { Why::NoPlan };
            return (why, planned.since);
        };
        let since = planned.since.map_or(entered_at, |start| start.max(entered_at));
        let why = if allowed.states.contains(state) {
            Why::Allowed
        } else if allowed.contact_is_neutral && state.is_on_contact() {
            Why::Contact
        } else if now.since(since) > allowed.tolerance {
            Why::Deviation
        } else {
            Why::Tolerated
        };
        (why, Some(since))
    }

    /// The verdict on a state that goes on for longer than any tolerance, while this is planned.
    pub fn judge_lasting(&self, kind: PlanKind, activity: Option<&Activity>, state: &AgentState) -> Verdict {
        let planned = PlannedNow { kind, activity: || activity, since: None };
        self.weigh(planned, (state, UtcMicros::EPOCH), UtcMicros::MAX).0.verdict()
    }

    /// The longest tolerance of any activity: a stay that goes on beyond a span by more than this cannot change a verdict in it.
    pub fn longest_tolerance(&self) -> Duration {
        self.known.iter().chain(self.named.values()).map(|allowed| allowed.tolerance).max().unwrap_or_default()
    }
}

/// What is planned now, as far as a verdict needs it.
#[derive(Clone, Copy, Debug)]
pub struct PlannedNow<F> {
    /// What.
    pub kind: PlanKind,
    /// Gives the activity; asked only for one with a name of its own, so that most verdicts need not look into the plan.
    pub activity: F,
    /// Since when, where that can be said.
    pub since: Option<UtcMicros>,
}

#[cfg(test)]
mod tests;
