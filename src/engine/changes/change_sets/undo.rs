//! Undo of a change set: returning each agent to the state before the change.
//!
//! The keeper checks, in the preview and again at its start, whether an agent is still in the state that was set.

use std::collections::HashMap;

use super::body::ChangeSetBody;
use super::request::{ChangeSetError, ChangeSetSelection, NewChangeSet, ScopedRequester, UNDO_WINDOW};
use super::view::parse_body;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::{AgentChange, PreviewOutcome};
use crate::domain::changes::policy::OnContact;
use crate::domain::changes::transition::{Transition, TransitionStatus};
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::store::{ChangeSetRow, Reader, StoredChangeSetAgent};

/// Options for undoing a change set.
#[derive(Clone, Default, Debug)]
pub struct UndoOptions {
    /// What to do with agents on a contact; `None` means as in the set to undo.
    pub on_contact: Option<OnContact>,
    /// Whether the set goes ahead of other people's requests.
    pub urgent: bool,
    /// Why skills may fall below their staffing floors; `None` if they may not.
    pub below_floor: Option<String>,
    /// The requester's note.
    pub note: Option<String>,
}

/// Builds the request for the change set that undoes `set`.
///
/// # Errors
/// [`ChangeSetError::NotStarted`], [`ChangeSetError::Unfinished`], [`ChangeSetError::TooLateToUndo`].
pub(super) async fn build_undo_request(
    reader: &Reader,
    set: &ChangeSetRow,
    options: UndoOptions,
    requester: ScopedRequester,
    now: UtcMicros,
) -> Result<NewChangeSet, ChangeSetError> {
    let Some((started_at, _)) = set.started else { return Err(ChangeSetError::NotStarted) };
    let transitions = reader.change_set_transitions(&set.tenant, set.id).await?;
    let unanswered =
        transitions.iter().map(|stored| &stored.transition).filter(|transition| is_unanswered(&transition.status));
    let unanswered: Vec<AgentId> = unanswered.map(|transition| transition.agent.clone()).collect();
    if !unanswered.is_empty() {
        return Err(ChangeSetError::Unfinished { agents: unanswered });
    }
    let ended = transitions.iter().filter_map(|stored| stored.finished_at).max().unwrap_or(started_at);
    let open = transitions.iter().any(|stored| stored.finished_at.is_none());
    if !open && now > ended + UNDO_WINDOW {
        return Err(ChangeSetError::TooLateToUndo { ended });
    }
    let by_agent: HashMap<&AgentId, &Transition> =
        transitions.iter().map(|stored| (&stored.transition.agent, &stored.transition)).collect();
    let agents = reader.change_set_agents(&set.tenant, set.id).await?;
    let undo_changes =
        agents.iter().map(|agent| undo_change(agent, by_agent.get(&agent.previewed.agent).copied())).collect();
    let body: ChangeSetBody = parse_body(set)?;
    Ok(NewChangeSet {
        selection: ChangeSetSelection::PerAgent(undo_changes),
        to: None,
        reason: None,
        on_contact: Some(options.on_contact.unwrap_or(body.on_contact)),
        urgent: options.urgent,
        even_if_in_state: false,
        below_floor: options.below_floor,
        deadline: None,
        note: options.note,
        undoes: Some(set.id),
        requester: requester.requester,
        teams: requester.teams,
    })
}

/// Returns whether a transition has not been sent, or has no known outcome yet.
const fn is_unanswered(status: &TransitionStatus) -> bool {
    status.is_unsent() || status.is_in_flight()
}

fn undo_change(agent: &StoredChangeSetAgent, changed: Option<&Transition>) -> AgentChange {
    let previewed = &agent.previewed;
    let exclude = |outcome, why: Option<String>| AgentChange {
        agent: previewed.agent.clone(),
        target: previewed.state.clone().unwrap_or_else(|| previewed.target.clone()),
        reason: None,
        undoes_transition: None,
        excluded: Some((outcome, why)),
    };
    let Some(transition) = changed else {
        let (outcome, detail) = agent.excluded.clone().unwrap_or((previewed.outcome, previewed.detail.clone()));
        return exclude(PreviewOutcome::NotChanged, Some(detail.unwrap_or_else(|| outcome.name().replace('_', " "))));
    };
    if !took_effect(transition) {
        return exclude(PreviewOutcome::NotChanged, Some(format!("its change is {}", transition.status)));
    }
    let before = match &transition.before {
        None | Some(AgentState::Unknown(_)) => return exclude(PreviewOutcome::CannotGoBack, None),
        // No request can put an agent on a contact; an agent on one was working.
        Some(AgentState::OnContact | AgentState::AfterContactWork) => AgentState::Ready,
        Some(
            before @ (AgentState::Ready
            | AgentState::NotReady
            | AgentState::Paused
            | AgentState::Idle
            | AgentState::LoggedOut),
        ) => before.clone(),
    };
    let mut reason = previewed.state_reason.clone().filter(|_| previewed.state.as_ref() == Some(&before));
    // For a change of the reason alone, restore the previous reason, or the state's default if it is unknown.
    if transition.is_reason_only() {
        reason = reason.or_else(|| Some(before.default_reason()));
        if reason.as_ref() == Some(&transition.reason) {
            return exclude(
                PreviewOutcome::CannotGoBack,
                Some("the agent's previous reason code is unknown".to_owned()),
            );
        }
    }
    AgentChange {
        agent: previewed.agent.clone(),
        target: before,
        reason,
        // A pending change has not changed the state yet, so the state cannot tell whether the agent has moved on since.
        undoes_transition: (!matches!(transition.status, TransitionStatus::Pending { .. })).then_some(transition.id),
        excluded: None,
    }
}

/// Returns whether the platform may have made the change; the live view decides in the end.
const fn took_effect(transition: &Transition) -> bool {
    match transition.status {
        TransitionStatus::Accepted { .. } | TransitionStatus::Pending { .. } | TransitionStatus::Unconfirmed { .. } => {
            true
        }
        TransitionStatus::Confirmed { .. } => transition.attempts > 0,
        TransitionStatus::Requested
        | TransitionStatus::Waiting { .. }
        | TransitionStatus::Sending { .. }
        | TransitionStatus::InDoubt { .. }
        | TransitionStatus::Refused { .. }
        | TransitionStatus::Failed { .. }
        | TransitionStatus::Cancelled { .. }
        | TransitionStatus::Superseded { .. }
        | TransitionStatus::Expired { .. } => false,
    }
}
