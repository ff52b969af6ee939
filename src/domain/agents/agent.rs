//! What is known of one agent: who, and the state that was last observed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, TeamName, TransitionId};
use crate::domain::time::UtcMicros;

/// An agent as the schedule or the platform describes them. The name is personal data: shown, never logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// The platform's id.
    pub id: AgentId,
    /// The name, where one is known.
    pub name: Option<Arc<str>>,
    /// The one team, where it is known.
    pub team: Option<TeamName>,
    /// The IANA zone, where it is known; else shift arithmetic has nothing to do with this agent.
    pub zone: Option<Arc<str>>,
}

/// Where the knowledge of a state comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A snapshot of a subscription, with the platform's own instant.
    Snapshot,
    /// A message of the live feed: the instant is receipt minus the duration it names.
    Feed,
    /// An accepted state POST of ours: the instant is the acceptance.
    Post,
}

/// The state that an agent was last observed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    /// What.
    pub state: AgentState,
    /// Why; known only after a change of our own (snapshots carry no reason).
    pub reason: Option<ReasonCode>,
    /// The queue that the platform names.
    pub queue: Option<Arc<str>>,
    /// Since when, by the platform's clock converted to ours.
    pub entered_at: UtcMicros,
    /// The same by the platform's clock itself, where a snapshot said it: no setting of our clock moves it.
    pub platform_at: Option<UtcMicros>,
    /// The instant of the row in history: `entered_at`, and never before the row that it follows. Only where our clock was set
    /// back are the two apart, since rows keep the order in which things happened.
    pub row_at: UtcMicros,
    /// Where `entered_at` comes from; only a snapshot's is the platform's own.
    pub source: Source,
    /// The transition of ours that brought it about, if one did.
    pub transition: Option<TransitionId>,
    /// Whether a person asked for that transition.
    pub by_person: bool,
}

impl Observed {
    /// Whether `entered_at` is not the platform's own.
    pub const fn is_estimate(&self) -> bool {
        match self.source {
            Source::Post | Source::Feed => true,
            Source::Snapshot => false,
        }
    }

    /// From when on it is known, `now` being our clock: where a change of ours brought a reason alone, its acceptance; the stay began
    /// before. A row that lies ahead of the clock only keeps its place behind rows of a clock that was set back, and says nothing of
    /// when.
    pub fn known_from(&self, now: UtcMicros) -> UtcMicros {
        match self.source {
            Source::Post if self.row_at <= now => self.entered_at.max(self.row_at),
            Source::Post | Source::Feed | Source::Snapshot => self.entered_at,
        }
    }

    /// The same as what follows `before`: later than that, and its row behind that one's.
    #[must_use]
    pub fn following(self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        let entered_at = self.entered_at.max(before.entered_at.offset(1));
        Self { entered_at, row_at: entered_at.max(before.row_at.offset(1)), ..self }
    }
}
