//! Snapshots in our words, whatever the dialect: what was seen of which agent, and what is wrong with what was said.
//!
//! Instants here are the platform's own; [`super::ClockOffset`] converts them.

use std::fmt;
use std::sync::Arc;

use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, SubscriptionId, TeamName};
use crate::domain::time::UtcMicros;

use super::error::CallError;

/// Above this size a snapshot is worth an alert and a leaner subscription, in bytes (source: guide 004).
pub const OVERSIZE_BYTES: usize = 500 * 1000;

/// A snapshot as it came, unread.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotBody {
    /// The bytes, unpacked.
    pub bytes: Vec<u8>,
}

impl SnapshotBody {
    /// Whether it is over [`OVERSIZE_BYTES`].
    pub const fn is_oversize(&self) -> bool {
        self.bytes.len() > OVERSIZE_BYTES
    }
}

/// Its length alone: the bytes hold names.
impl fmt::Debug for SnapshotBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotBody({} bytes)", self.bytes.len())
    }
}

/// Reads the snapshots of one slice of the roster, and says what is new since the one before.
///
/// It remembers what it yielded. When the caller could not keep a delta (its commit failed), [`SnapshotReader::forget`] makes
/// the next snapshot yield every agent again; the merge takes repeats as nothing.
pub trait SnapshotReader: Send + Sync + fmt::Debug {
    /// Reads one snapshot, which must be of `subscription`. Keeps the body to compare the next one with.
    fn read(&mut self, subscription: &SubscriptionId, body: SnapshotBody) -> Result<SnapshotDelta, CallError>;

    /// Forgets what was yielded, so that the next snapshot yields every agent.
    fn forget(&mut self);
}

/// What a snapshot says, as far as it is new.
#[derive(Clone, PartialEq, Debug)]
pub struct SnapshotDelta {
    /// When the platform made it, by the platform's clock. Also reported for a snapshot that is the last one again.
    pub generated_at: UtcMicros,
    /// Byte for byte the last snapshot again: nothing was read, nothing is new.
    pub repeated: bool,
    /// Agents whose row differs from the last one, at most once each.
    pub changed: Vec<Sighting>,
    /// How many rows the snapshot holds, good or bad.
    pub rows: usize,
    /// Agents of the slice without a good row. All others are still in the state that was last yielded for them.
    pub absent: Arc<[AgentId]>,
    /// Those of them whom the snapshot leaves out: no row that could not be read, or names a stranger, can be theirs.
    pub missing: Arc<[AgentId]>,
    /// Rows that could not be read.
    pub unreadable: UnreadableRows,
    /// What is wrong with the snapshot, at most [`MAX_COMPLAINTS`].
    pub complaints: Vec<Complaint>,
    /// How many more complaints there were.
    pub more_complaints: usize,
}

/// The rows of a snapshot that could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UnreadableRows {
    /// Agents who have such a row, and no good one.
    pub agents: Arc<[AgentId]>,
    /// How many such rows name no agent of the slice.
    pub nameless: usize,
}

/// How many complaints one snapshot's delta holds.
pub const MAX_COMPLAINTS: usize = 20;

/// One agent as a snapshot shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Who; always one of the slice.
    pub agent: AgentId,
    /// The state; a name that no table knows is kept.
    pub state: AgentState,
    /// The queue, if the row names one.
    pub queue: Option<Arc<str>>,
    /// Since when, by the platform's clock; absent when the row does not say or says it illegibly.
    pub changed_at: Option<UtcMicros>,
    /// The team, if the row names one.
    pub team: Option<TeamName>,
    /// The agent's name, if the row names one: personal data, not for logs.
    pub name: Option<Arc<str>>,
}

/// Without the agent's name.
impl fmt::Debug for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sighting")
            .field("agent", &self.agent)
            .field("state", &self.state)
            .field("queue", &self.queue)
            .field("changed_at", &self.changed_at)
            .field("team", &self.team)
            .finish_non_exhaustive()
    }
}

/// Something wrong with a snapshot that did not stop it from being read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// The row, from 0; none when it is about the whole snapshot.
    pub row: Option<usize>,
    /// The agent, where the row names one.
    pub agent: Option<AgentId>,
    /// What.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The row is not an object with an agent's id (of a length that one can have) and a state; it is left out.
    Unreadable,
    /// An optional field has the wrong type; it is taken as missing.
    BadField(&'static str),
    /// The row's instant is no RFC 3339 text; it is taken as missing.
    BadInstant,
    /// The agent has another row before this one; the last counts.
    Duplicate,
    /// The agent is not in the subscription; the row is left out.
    Stranger,
    /// The snapshot's status is not the one of a living subscription.
    Status(String),
    /// The snapshot is older than the last one that was read.
    OlderThanLast,
}
