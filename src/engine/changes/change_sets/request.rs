//! Requests to the keeper about bulk changes, the reasons why they fail, and the limits of previews.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::access::rights::{Requester, TeamScope};
use crate::domain::agents::state::AgentState;
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::{
    AgentChange, MAX_AGENTS_PER_SET, PreviewOutcome, PreviewedAgent, SelectionCriteria,
};
use crate::domain::changes::policy::OnContact;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode};
use crate::domain::time::UtcMicros;
use crate::domain::wording::{count_with_noun, list_names};
use crate::engine::changes::request::KeeperError;
use crate::store::ReadError;

/// How long a preview can be started. Later the situation is different and the preview out of date.
pub const PREVIEW_LIFETIME: Duration = Duration::from_secs(600);

/// The largest number of previews of a tenant that wait to be started; each holds at most ten thousand rows.
pub const MAX_PREVIEWS: u64 = 50;

/// How long after its last change ended a set can be undone. Later the agents have moved on.
pub const UNDO_WINDOW: Duration = Duration::from_secs(3600);

/// Which agents a change set is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangeSetSelection {
    /// These agents, in this order.
    Agents(Vec<AgentId>),
    /// The agents that match a filter, ordered by id.
    Filter(SelectionCriteria),
    /// These agents, each with a target of its own.
    PerAgent(Vec<AgentChange>),
}

/// A request for a change set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewChangeSet {
    /// Which agents to change.
    pub selection: ChangeSetSelection,
    /// The wanted state; `None` if each agent has a target of its own.
    pub to: Option<AgentState>,
    /// The reason code; `None` means the state's default.
    pub reason: Option<ReasonCode>,
    /// What to do with agents on a contact; `None` means the tenant's setting.
    pub on_contact: Option<OnContact>,
    /// Whether the set goes ahead of other people's requests.
    pub urgent: bool,
    /// Whether agents that are already in the state get the named reason too.
    pub even_if_in_state: bool,
    /// Why skills may fall below their staffing floors; `None` if they may not.
    pub below_floor: Option<String>,
    /// How long a change may wait to be sent; `None` means long enough for the finish that the preview shows.
    pub deadline: Option<Duration>,
    /// The requester's note, stored apart from the audit chain.
    pub note: Option<String>,
    /// The set that this one undoes.
    pub undoes: Option<ChangeSetId>,
    /// Who requests the set.
    pub requester: Requester,
    /// The requester's teams; agents of other teams count as unknown.
    pub teams: TeamScope,
}

/// A request to start a change set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartChangeSet {
    /// The change set.
    pub id: ChangeSetId,
    /// The hash of the preview that the requester saw.
    pub hash: Hash,
    /// The agents that the preview shows as changed, with their positions in the set.
    pub agents: Vec<(usize, PreviewedAgent)>,
    /// The agents that the preview shows as unchanged, if it shows none as changed.
    pub unchanged: Vec<UnchangedAgent>,
    /// Who starts it.
    pub requester: Requester,
    /// The requester's teams.
    pub teams: TeamScope,
}

/// A request about change sets, answered after the commit.
#[derive(Debug)]
pub enum ChangeSetCommand {
    /// Compute a preview and store it.
    Preview {
        /// The requested change set.
        request: Box<NewChangeSet>,
        /// Receives the id of the preview.
        reply: oneshot::Sender<Result<ChangeSetId, ChangeSetError>>,
    },
    /// Start a change set.
    Start {
        /// Which change set, and who starts it.
        start: Box<StartChangeSet>,
        /// Receives the result.
        reply: oneshot::Sender<Result<(), ChangeSetError>>,
    },
    /// Discard a preview, or cancel what has not been sent.
    Cancel {
        /// The change set.
        id: ChangeSetId,
        /// Who cancels it.
        requester: Requester,
        /// Why, in the requester's words.
        note: Option<String>,
        /// Receives the result.
        reply: oneshot::Sender<Result<(), ChangeSetError>>,
    },
}

impl ChangeSetCommand {
    /// Returns how many agents the request is about.
    pub fn agent_count(&self) -> usize {
        match self {
            Self::Preview { request: wanted, .. } => match &wanted.selection {
                ChangeSetSelection::Agents(agents) => agents.len(),
                ChangeSetSelection::PerAgent(agents) => agents.len(),
                // The number is not known yet; most filters select a team.
                ChangeSetSelection::Filter(_) => 100,
            },
            Self::Start { start, .. } => start.agents.len(),
            Self::Cancel { .. } => 0,
        }
    }
}

/// Why a request about a change set failed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeSetError {
    /// The keeper could not be reached or rejected the request.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no such set within the requester's teams.
    #[error("there is no change set {0}")]
    NotFound(ChangeSetId),
    /// The selection contains no agent.
    #[error("the selection contains no agent; check the filter, or name agents")]
    NoAgents,
    /// The selection contains too many agents.
    #[error("{count} agents in one change set; the limit is {MAX_AGENTS_PER_SET}")]
    TooMany {
        /// How many agents the set would have.
        count: usize,
    },
    /// Too many previews are waiting to be started.
    #[error(
        "{waiting} previews wait to be started, which is the limit; start or cancel one, or wait ten minutes until the \
         oldest have expired"
    )]
    TooManyPreviews {
        /// How many previews wait.
        waiting: u64,
    },
    /// The hash is not that of the set's preview.
    #[error("the hash is not that of this change set's preview: start what you were shown, or create a new preview")]
    HashMismatch,
    /// The preview has expired.
    #[error("the preview expired at {at}: create a new one, since agents may have changed state in the meantime")]
    Expired {
        /// When it expired.
        at: UtcMicros,
    },
    /// Somebody else has already started the set.
    #[error("{by} started the change set at {at}")]
    AlreadyStarted {
        /// Who started it.
        by: Arc<str>,
        /// When it was started.
        at: UtcMicros,
    },
    /// The set has already been discarded or cancelled.
    #[error("{by} cancelled the change set at {at}")]
    AlreadyCancelled {
        /// Who cancelled it.
        by: Arc<str>,
        /// When it was cancelled.
        at: UtcMicros,
    },
    /// Nothing is left to cancel.
    #[error("nothing can be cancelled: every change of the set has been sent or has ended")]
    NothingToCancel,
    /// The set was never started, so there is nothing to undo.
    #[error("the change set was never started, so there is nothing to undo")]
    NotStarted,
    /// Some changes have not been sent yet, or are in flight.
    #[error(
        "not answered yet: {} of the set, for {}; cancel the set, or wait",
        count_with_noun(.agents.len(), "change"),
        list_names(.agents)
    )]
    Unfinished {
        /// The agents of these changes.
        agents: Vec<AgentId>,
    },
    /// No agent would be changed.
    #[error("no agent would be changed, so nothing was started: {}; select other agents, or create a new preview later", list_names(.why))]
    NothingToChange {
        /// The agents, each with the reason why it would not be changed.
        why: Vec<UnchangedAgent>,
    },
    /// The set ended too long ago to be undone.
    #[error(
        "the change set ended at {ended}, more than an hour ago, and can no longer be undone: make a new change instead"
    )]
    TooLateToUndo {
        /// When the set ended.
        ended: UtcMicros,
    },
    /// The set's body could not be converted to or from JSON.
    #[error("the preview cannot be stored: {0}")]
    InvalidBody(String),
}

/// An agent that is not changed, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnchangedAgent {
    agent: AgentId,
    outcome: PreviewOutcome,
    detail: Option<String>,
}

impl From<&PreviewedAgent> for UnchangedAgent {
    fn from(previewed: &PreviewedAgent) -> Self {
        Self { agent: previewed.agent.clone(), outcome: previewed.outcome, detail: previewed.detail.clone() }
    }
}

impl fmt::Display for UnchangedAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.agent, self.outcome.name().replace('_', " "))?;
        match &self.detail {
            Some(why) => write!(f, ": {why})"),
            None => f.write_str(")"),
        }
    }
}

/// A requester together with the teams that it may see.
#[derive(Clone, Debug)]
pub struct ScopedRequester {
    /// The person or system.
    pub requester: Requester,
    /// The teams that the requester is restricted to.
    pub teams: TeamScope,
}
