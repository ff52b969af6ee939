//! What a pass of the keeper handles: messages, and the platform's answers to the keeper's own calls.

use crate::domain::changes::policy::PlatformPlan;
use crate::domain::ids::{AgentId, TransitionId};
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::platform::observation_gap::GapRequest;
use crate::platform::{Answer, CallError};
use crate::store::CallWrite;

/// Something that a pass handles.
pub(super) enum Arrival {
    Message(KeeperMessage),
    StateChangeResult(StateChangeResult),
    PlanQueryResult(PlanQueryResult),
}

impl Arrival {
    /// Returns how many agents the arrival may change.
    pub(super) fn change_count(&self) -> usize {
        match self {
            Self::Message(KeeperMessage::RequestChanges { request, .. }) => request.agents.len(),
            Self::Message(KeeperMessage::Observation(observation)) => observation.changed.len(),
            Self::Message(KeeperMessage::FeedObservations(observations)) => observations.len(),
            Self::Message(KeeperMessage::ChangeSet(request)) => request.agent_count(),
            Self::Message(KeeperMessage::ObservationGap(GapRequest::Fill { agents, .. })) => {
                agents.iter().map(|(_, states)| states.len()).sum()
            }
            Self::Message(
                KeeperMessage::ObservationGap(GapRequest::Close { .. })
                | KeeperMessage::SubscriptionNotice(_)
                | KeeperMessage::CancelTransition { .. }
                | KeeperMessage::Approval(_)
                | KeeperMessage::Skills(_)
                | KeeperMessage::ScheduleChanged
                | KeeperMessage::RuleRequest(_)
                | KeeperMessage::Erasure(_)
                | KeeperMessage::GetLiveView { .. }
                | KeeperMessage::GetAgents { .. },
            )
            | Self::StateChangeResult(_)
            | Self::PlanQueryResult(_) => 0,
        }
    }
}

/// The result of a state POST.
#[derive(Debug)]
pub(super) struct StateChangeResult {
    pub id: TransitionId,
    pub call: CallWrite,
    pub result: Result<Answer<()>, CallError>,
}

/// The result of querying the platform about an agent.
#[derive(Debug)]
pub(super) struct PlanQueryResult {
    pub agent: AgentId,
    pub plan: Result<PlatformPlan, CallError>,
}
