//! Requests to the keeper to fill a gap in observation with what the platform's state history says of it.

use tokio::sync::oneshot;

use crate::domain::adherence::timeline::Span;
use crate::domain::agents::past_states::{ObservationGap, PastState};
use crate::domain::ids::AgentId;

/// A request about a gap in observation.
#[derive(Debug)]
pub enum GapRequest {
    /// Fills the gap in the history of some agents.
    Fill {
        /// The gap.
        gap: ObservationGap,
        /// The agents with their rows in the platform's history.
        agents: Vec<(AgentId, Vec<PastState>)>,
        /// Whether the platform's history will not be read again, so that what it does not say stays unknown.
        is_last_attempt: bool,
        /// Receives the progress after the commit.
        reply: oneshot::Sender<GapProgress>,
    },
    /// Records that the gap is filled as far as possible. From then on its time counts as observed.
    Close {
        /// The gap.
        span: Span,
        /// What was filled in.
        progress: GapProgress,
        /// Receives an answer after the commit.
        reply: oneshot::Sender<()>,
    },
}

/// How far a gap is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GapProgress {
    /// The number of states that were inserted.
    pub rows: usize,
    /// The number of agents whose history has such states.
    pub agents: usize,
    /// The number of agents of whom the platform's history is not complete.
    pub incomplete_agents: usize,
}

impl std::ops::AddAssign for GapProgress {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.agents += other.agents;
        self.incomplete_agents += other.incomplete_agents;
    }
}
