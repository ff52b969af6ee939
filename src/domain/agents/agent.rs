//! An agent and the last observed state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, TeamName, TransitionId};
use crate::domain::time::UtcMicros;

/// An agent as described by the schedule or the platform. The name is personal data: shown, but never logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// The platform's id.
    pub id: AgentId,
    /// The name, where one is known.
    pub name: Option<Arc<str>>,
    /// The agent's team, if known.
    pub team: Option<TeamName>,
    /// The IANA time zone, if known. Without it, no local times can be computed for the agent.
    pub zone: Option<Arc<str>>,
}

/// How a state became known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObservationSource {
    /// A snapshot of the platform, with the platform's own time.
    Snapshot,
    /// A message of the live feed. The time is an estimate: the time of receipt minus the duration in the message.
    Feed,
    /// A state change sent by Shiftkeeper and accepted by the platform. The time is that of the acceptance.
    Post,
    /// Read later from the platform's state history, because nobody observed the agent at the time. The time is the
    /// platform's own.
    History,
}

/// The last observed state of an agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservedState {
    /// The state.
    pub state: AgentState,
    /// The reason, if the platform shows it or one of our own changes set the state.
    pub reason: Option<ReasonCode>,
    /// The queue named by the platform.
    pub queue: Option<Arc<str>>,
    /// When the state was entered: the platform's time converted to our clock.
    pub entered_at: UtcMicros,
    /// The same instant on the platform's clock, if a snapshot gave it. Adjusting our clock does not move it.
    pub platform_entered_at: Option<UtcMicros>,
    /// The instant of the row in history: `entered_at`, but never before the row that it follows. The two differ only
    /// if our clock was set back, since rows keep the order of events.
    pub history_at: UtcMicros,
    /// The source of `entered_at`; snapshots and the platform's history give its own time.
    pub source: ObservationSource,
    /// Our transition that caused the state, if any.
    pub transition: Option<TransitionId>,
    /// Whether a person requested that transition.
    pub requested_by_person: bool,
}

impl ObservedState {
    /// Creates a state that was entered at an instant, and of which nothing else is known.
    pub const fn new(state: AgentState, entered_at: UtcMicros, source: ObservationSource) -> Self {
        Self {
            state,
            reason: None,
            queue: None,
            entered_at,
            platform_entered_at: None,
            history_at: entered_at,
            source,
            transition: None,
            requested_by_person: false,
        }
    }

    /// Returns whether `entered_at` is an estimate instead of the platform's own time.
    pub const fn is_estimate(&self) -> bool {
        match self.source {
            ObservationSource::Post | ObservationSource::Feed => true,
            ObservationSource::Snapshot | ObservationSource::History => false,
        }
    }

    /// Returns the instant from which the state is known, with `now` from our clock. If one of our changes set only the
    /// reason, this is its acceptance, although the state began before. A row ahead of the clock only keeps its place
    /// after rows from before the clock was set back, and its instant says nothing.
    pub fn reliable_from(&self, now: UtcMicros) -> UtcMicros {
        match self.source {
            ObservationSource::Post if self.history_at <= now => self.entered_at.max(self.history_at),
            ObservationSource::Post
            | ObservationSource::Feed
            | ObservationSource::Snapshot
            | ObservationSource::History => self.entered_at,
        }
    }

    /// Returns the same state as the successor of `previous`: entered later, and with its history row after that one's.
    #[must_use]
    pub fn ordered_after(self, previous: Option<&Self>) -> Self {
        let Some(previous) = previous else { return self };
        let entered_at = self.entered_at.max(previous.entered_at.offset(1));
        Self { entered_at, history_at: entered_at.max(previous.history_at.offset(1)), ..self }
    }
}
