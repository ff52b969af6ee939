//! The way back: what each agent was in before a set changed it.
//!
//! Whether an agent is still in the state that was set is looked at by the keeper, in the preview and again at its start.

use std::collections::HashMap;

use super::body::SetBody;
use super::view::body_of;
use super::{NewSet, Select, SetError, UNDO_WITHIN, UndoOptions, Who};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::change_set::{Outcome, WantedOf};
use crate::domain::changes::transition::{Status, Transition};
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::store::{ChangeSetRow, Reader, StoredSetAgent};

/// What is wanted of each agent of a set that is to be taken back.
///
/// # Errors
/// [`SetError::NotStarted`], [`SetError::StillLeaving`], [`SetError::TooLateToUndo`].
pub(super) async fn wanted(
    reader: &Reader,
    set: &ChangeSetRow,
    options: UndoOptions,
    who: Who,
    now: UtcMicros,
) -> Result<NewSet, SetError> {
    let Some((started_at, _)) = set.started else { return Err(SetError::NotStarted) };
    let transitions = reader.change_set_transitions(&set.tenant, set.id).await?;
    let unanswered = transitions.iter().map(|stored| &stored.transition).filter(|one| is_unanswered(&one.status));
    let unanswered: Vec<AgentId> = unanswered.map(|one| one.agent.clone()).collect();
    if !unanswered.is_empty() {
        return Err(SetError::StillLeaving { agents: unanswered });
    }
    let ended = transitions.iter().filter_map(|stored| stored.finished_at).max().unwrap_or(started_at);
    let open = transitions.iter().any(|stored| stored.finished_at.is_none());
    if !open && now > ended + UNDO_WITHIN {
        return Err(SetError::TooLateToUndo { ended });
    }
    let by_agent: HashMap<&AgentId, &Transition> =
        transitions.iter().map(|stored| (&stored.transition.agent, &stored.transition)).collect();
    let agents = reader.change_set_agents(&set.tenant, set.id).await?;
    let back = agents.iter().map(|agent| way_back(agent, by_agent.get(&agent.shown.agent).copied())).collect();
    let body: SetBody = body_of(set)?;
    Ok(NewSet {
        select: Select::Each(back),
        to: None,
        reason: None,
        on_contact: Some(options.on_contact.unwrap_or(body.on_contact)),
        urgent: options.urgent,
        even_if_in_state: false,
        below_floor: options.below_floor,
        deadline: None,
        note: options.note,
        undoes: Some(set.id),
        asker: who.asker,
        teams: who.teams,
    })
}

/// Not left, or nobody knows whether it took effect.
const fn is_unanswered(status: &Status) -> bool {
    status.has_not_left() || status.is_in_flight()
}

fn way_back(agent: &StoredSetAgent, changed: Option<&Transition>) -> WantedOf {
    let shown = &agent.shown;
    let aside = |outcome, why: Option<String>| WantedOf {
        agent: shown.agent.clone(),
        to: shown.state.clone().unwrap_or_else(|| shown.to.clone()),
        reason: None,
        takes_back: None,
        aside: Some((outcome, why)),
    };
    let Some(transition) = changed else {
        let (outcome, why) = agent.left_out.clone().unwrap_or((shown.outcome, shown.why.clone()));
        return aside(Outcome::NotChanged, Some(why.unwrap_or_else(|| outcome.name().replace('_', " "))));
    };
    if !took_effect(transition) {
        return aside(Outcome::NotChanged, Some(format!("its change is {}", transition.status)));
    }
    let before = match &transition.before {
        None | Some(AgentState::Unknown(_)) => return aside(Outcome::CannotGoBack, None),
        // Nobody can be put on a contact; who was on one was at work.
        Some(AgentState::OnContact | AgentState::AfterContactWork) => AgentState::Ready,
        Some(
            before @ (AgentState::Ready
            | AgentState::NotReady
            | AgentState::Paused
            | AgentState::Idle
            | AgentState::LoggedOut),
        ) => before.clone(),
    };
    let mut reason = shown.state_reason.clone().filter(|_| shown.state.as_ref() == Some(&before));
    // Of a change of the reason alone the reason is what goes back, to the state's own where nobody knows the one before.
    if transition.is_of_reason_alone() {
        reason = reason.or_else(|| Some(before.default_reason()));
        if reason.as_ref() == Some(&transition.reason) {
            return aside(Outcome::CannotGoBack, Some("nobody knows which reason he had before".to_owned()));
        }
    }
    WantedOf { agent: shown.agent.clone(), to: before, reason, takes_back: Some(transition.id), aside: None }
}

/// Whether the platform may have made the change; what the picture shows decides in the end.
const fn took_effect(transition: &Transition) -> bool {
    match transition.status {
        Status::Accepted { .. } | Status::Unconfirmed { .. } => true,
        Status::Confirmed { .. } => transition.attempts > 0,
        Status::Requested
        | Status::Waiting { .. }
        | Status::Sending { .. }
        | Status::InDoubt { .. }
        | Status::Refused { .. }
        | Status::Failed { .. }
        | Status::Cancelled { .. }
        | Status::Superseded { .. }
        | Status::Expired { .. } => false,
    }
}
