//! Snapshots independent of the dialect: the observations of agents, and diagnostics.
//!
//! Instants here are the platform's own; [`super::ClockOffset`] converts them.

use std::fmt;
use std::sync::Arc;

use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, SubscriptionId, TeamName};
use crate::domain::time::UtcMicros;

use super::error::CallError;

/// The size, in bytes, above which a snapshot causes an alert and a subscription with fewer fields (source: guide 004).
pub const OVERSIZE_BYTES: usize = 500 * 1000;

/// An unparsed snapshot.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotBody {
    /// The decompressed bytes.
    pub bytes: Vec<u8>,
    /// The platform's clock at the answer, for dialects whose snapshots may not say when they were made.
    pub answered_at: Option<UtcMicros>,
}

impl SnapshotBody {
    /// Creates a snapshot that says itself when it was made.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, answered_at: None }
    }

    /// Returns whether the snapshot is larger than [`OVERSIZE_BYTES`].
    pub const fn is_oversize(&self) -> bool {
        self.bytes.len() > OVERSIZE_BYTES
    }
}

/// Shows the length alone, since the bytes contain names.
impl fmt::Debug for SnapshotBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotBody({} bytes)", self.bytes.len())
    }
}

/// Reads the snapshots of one slice of the roster and returns what changed since the previous one.
///
/// The reader remembers what it returned. If the caller could not keep a delta (its commit failed),
/// [`SnapshotReader::reset`] makes the next snapshot return every agent again; merging repeated observations has no
/// effect.
pub trait SnapshotReader: Send + Sync + fmt::Debug {
    /// Reads one answer of [`super::Platform::snapshot`], which must be of `subscription`. Returns `None` if the snapshot
    /// has further pages; then the next call of `snapshot` fetches the next page.
    fn read(&mut self, subscription: &SubscriptionId, body: SnapshotBody) -> Result<Option<SnapshotDelta>, CallError>;

    /// Forgets what was returned, so that the next snapshot returns every agent.
    fn reset(&mut self);
}

/// What is new in a snapshot.
#[derive(Clone, PartialEq, Debug)]
pub struct SnapshotDelta {
    /// When the platform made the snapshot, by the platform's clock. Also set for a repeated snapshot.
    pub generated_at: UtcMicros,
    /// Whether the snapshot is byte for byte the same as the previous one, so that nothing was read.
    pub repeated: bool,
    /// Agents whose row differs from the previous one, at most once each.
    pub changed: Vec<AgentObservation>,
    /// How many rows the snapshot has, readable or not.
    pub rows: usize,
    /// Agents of the slice without a readable row. All others are still in the state that was last returned for them.
    pub absent: Arc<[AgentId]>,
    /// Those of `absent` that the snapshot certainly leaves out: no row that is unreadable or names an unknown agent
    /// can be theirs.
    pub missing: Arc<[AgentId]>,
    /// Rows that could not be read.
    pub unreadable: UnreadableRows,
    /// The problems of the snapshot, at most [`MAX_DIAGNOSTICS`].
    pub diagnostics: Vec<SnapshotDiagnostic>,
    /// The number of further problems.
    pub more_diagnostics: usize,
}

/// The rows of a snapshot that could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UnreadableRows {
    /// Agents with such a row and no readable one.
    pub agents: Arc<[AgentId]>,
    /// How many such rows name no agent of the slice.
    pub without_id: usize,
}

/// The maximum number of diagnostics in one snapshot's delta.
pub const MAX_DIAGNOSTICS: usize = 20;

/// One agent's row in a snapshot.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentObservation {
    /// The agent, always one of the slice.
    pub agent: AgentId,
    /// The state. A name without a mapping is kept.
    pub state: AgentState,
    /// The reason of the state, if the row says it.
    pub reason: Option<ReasonCode>,
    /// The queue, if the row names one.
    pub queue: Option<Arc<str>>,
    /// When the state began, by the platform's clock. `None` if the row does not say or cannot be understood.
    pub changed_at: Option<UtcMicros>,
    /// The team, if the row names one.
    pub team: Option<TeamName>,
    /// The agent's name, if the row names one: personal data, not for logs.
    pub name: Option<Arc<str>>,
}

/// Leaves out the agent's name.
impl fmt::Debug for AgentObservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentObservation")
            .field("agent", &self.agent)
            .field("state", &self.state)
            .field("reason", &self.reason)
            .field("queue", &self.queue)
            .field("changed_at", &self.changed_at)
            .field("team", &self.team)
            .finish_non_exhaustive()
    }
}

/// A problem of a snapshot that did not prevent it from being read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotDiagnostic {
    /// The row, counted from 0. `None` if the problem concerns the whole snapshot.
    pub row: Option<usize>,
    /// The agent, where the row names one.
    pub agent: Option<AgentId>,
    /// The problem.
    pub fault: SnapshotFault,
}

/// A kind of problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SnapshotFault {
    /// The row is not an object with a state and an agent's id of valid length. It is skipped.
    Unreadable,
    /// An optional field has the wrong type. It counts as missing.
    BadField(&'static str),
    /// The row's instant is not in RFC 3339 format. It counts as missing.
    BadInstant,
    /// The agent has an earlier row; the last one counts.
    Duplicate,
    /// The agent is not in the subscription. The row is skipped.
    UnknownAgent,
    /// The snapshot's status is not the one of an active subscription.
    Status(String),
    /// The snapshot is older than the previous one.
    OlderThanPrevious,
}
