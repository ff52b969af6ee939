//! A person's decision on a change that waits for approval, and the reasons why it is not carried out.

use tokio::sync::oneshot;

use crate::domain::access::rights::{Requester, TeamScope};
use crate::domain::changes::transition::Transition;
use crate::domain::ids::TransitionId;
use crate::engine::changes::request::{KeeperError, describe_obstacle};
use crate::store::ReadError;

/// The field of a transition's explanation that says who approved it.
pub(in crate::engine) const APPROVED_BY: &str = "approved_by";

/// A person's decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The change goes ahead.
    Accept {
        /// The person's comment.
        note: Option<String>,
    },
    /// The change ends, and the rule leaves the agent alone for a while.
    Deny {
        /// The reason.
        note: String,
    },
}

/// A decision sent to the keeper. The reply comes after the commit, with the transition as it then is.
#[derive(Debug)]
pub struct DecisionMessage {
    /// The transition.
    pub id: TransitionId,
    /// The decision.
    pub decision: Decision,
    /// Who decided.
    pub asker: Requester,
    /// The teams that this person may decide about.
    pub teams: TeamScope,
    /// The channel for the reply.
    pub reply: oneshot::Sender<Result<Transition, ApprovalError>>,
}

/// Why a decision was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// The keeper could not be reached.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no such transition, or its agent is outside of the caller's teams.
    #[error("there is no change {0} that waits or waited for approval")]
    NotFound(TransitionId),
    /// The change was already decided, or its time is over.
    #[error("the change no longer waits for approval: it is {stands}")]
    TooLate {
        /// Its present status, and who or what caused it.
        stands: String,
    },
}

impl ApprovalError {
    /// Returns the error for a transition that no longer waits for a decision.
    pub(in crate::engine) fn too_late(transition: &Transition) -> Self {
        let approved = transition.explanation.get(APPROVED_BY).and_then(|approved| approved["by"].as_str());
        let approved = approved.map(|by| format!("approved by {by}"));
        let more: Vec<String> = describe_obstacle(transition).into_iter().chain(approved).collect();
        let name = transition.status.name();
        let stands = if more.is_empty() { name.to_owned() } else { format!("{name} ({})", more.join("; ")) };
        Self::TooLate { stands }
    }
}
