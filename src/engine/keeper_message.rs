//! The messages that a keeper receives.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::agents::agent_list::AgentList;
use super::agents::erasure::ErasureRequest;
use super::agents::skills::SkillRequest;
use super::changes::change_sets::ChangeSetCommand;
use super::changes::request::{ChangeRequest, KeeperError, RequestedChange};
use super::live::snapshot::Snapshot;
use super::platform::observation_gap::GapRequest;
use super::rules::RuleRequest;
use super::rules::approvals::DecisionMessage;
use crate::domain::agents::merge::FeedObservation;
use crate::domain::changes::transition::Transition;
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::platform::AgentObservation;

/// The capacity of a keeper's inbox; a sender waits while it is full.
pub const INBOX_CAPACITY: usize = 1024;

/// A message for a keeper, handled in its next pass.
#[derive(Debug)]
pub enum KeeperMessage {
    /// A snapshot was read.
    Observation(SnapshotObservation),
    /// Observations of agents from the live feed, in the order in which they arrived.
    FeedObservations(Vec<(AgentId, FeedObservation)>),
    /// The platform's state history was read for a time without observation.
    ObservationGap(GapRequest),
    /// A problem with a subscription that people should know of.
    SubscriptionNotice(SubscriptionNotice),
    /// A person or a system requests state changes.
    RequestChanges {
        /// The request.
        request: ChangeRequest,
        /// Receives the result after the commit.
        reply: oneshot::Sender<Result<Vec<RequestedChange>, KeeperError>>,
    },
    /// A person or a system cancels a transition.
    CancelTransition {
        /// The transition.
        id: TransitionId,
        /// Who cancels it.
        actor: Arc<str>,
        /// Receives the cancelled transition after the commit; `None` if it could not be cancelled.
        reply: oneshot::Sender<Option<Transition>>,
    },
    /// A request about a bulk change.
    ChangeSet(ChangeSetCommand),
    /// A person's decision on a change that requires approval.
    Approval(DecisionMessage),
    /// A request about skills, their floors or their staffing.
    Skills(SkillRequest),
    /// A schedule was imported.
    ScheduleChanged,
    /// A request about rules or exceptions.
    RuleRequest(Box<RuleRequest>),
    /// A request to erase an agent.
    Erasure(Box<ErasureRequest>),
    /// A request for the live view.
    GetLiveView {
        /// Receives the snapshot after the commit.
        reply: oneshot::Sender<Snapshot>,
    },
    /// A request for the list of agents.
    GetAgents {
        /// Receives the list after the commit.
        reply: oneshot::Sender<AgentList>,
    },
}

/// A snapshot of the platform, with its instant converted to our clock.
#[derive(Debug)]
pub struct SnapshotObservation {
    /// The subscription's number within the tenant.
    pub slice: u32,
    /// When the platform generated the snapshot, by our clock.
    pub generated_at: UtcMicros,
    /// How many microseconds to subtract from the platform's instants to get ours.
    pub offset_us: i64,
    /// The rows that differ from the previous snapshot.
    pub changed: Vec<AgentObservation>,
    /// The agents of the subscription.
    pub agents: Arc<[AgentId]>,
    /// The agents of the subscription that the snapshot does not show.
    pub absent: Arc<[AgentId]>,
    /// The absent agents that the platform is known to have left out.
    pub omitted: Arc<[AgentId]>,
}

/// A problem with a subscription.
#[derive(Debug)]
pub enum SubscriptionNotice {
    /// A snapshot was larger than the limit.
    Oversize {
        /// The subscription's number within the tenant.
        slice: u32,
        /// The snapshot's size in bytes.
        bytes: usize,
    },
    /// The subscription will expire soon and has no successor.
    NearExpiry {
        /// The subscription's number within the tenant.
        slice: u32,
        /// When the subscription was created.
        created_at: UtcMicros,
    },
}
