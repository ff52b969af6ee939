//! The change of one agent as it is printed: its status, and the policy that holds or refuses it and why.

use serde::Serialize;

use crate::domain::changes::policy::{RefusedBy, Violation};
use crate::domain::changes::transition::{Transition, TransitionStatus, WaitReason};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::request::RequestedChange;

/// One agent of the request. Its JSON format is part of the command's interface.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub(super) struct Row {
    /// The transition; `None` if the agent is unknown.
    pub(super) id: Option<TransitionId>,
    pub(super) agent: AgentId,
    pub(super) status: String,
    /// The policy that holds or refuses the change with its reason, or another error.
    pub(super) error: Option<String>,
    #[serde(skip)]
    pub(super) outcome: RowOutcome,
}

/// The part of a row's status that matters to the exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RowOutcome {
    Open,
    Confirmed,
    Unsuccessful,
}

impl Row {
    /// Creates a row from the daemon's answer to the request. The answer names the policy; the words are added here.
    pub(super) fn from_accepted(accepted: RequestedChange) -> Self {
        let unsuccessful = accepted.id.is_none()
            || ["refused", "failed", "cancelled", "superseded", "expired"].contains(&&*accepted.status);
        let error = accepted.error.map(|error| match Violation::from_code(&error) {
            Some(violation) => {
                format!("{violation}: {}", refusal_text(violation, &accepted.agent, accepted.refused_by))
            }
            None => error,
        });
        let standing = if unsuccessful { RowOutcome::Unsuccessful } else { RowOutcome::Open };
        Self { id: accepted.id, status: accepted.status, error, outcome: standing, agent: accepted.agent }
    }

    /// Adds the error of the last attempt, if the change waits or waited because of it.
    pub(super) fn with_last_error(mut self, status: &TransitionStatus, last_error: Option<&str>) -> Self {
        let (TransitionStatus::Waiting { why, .. } | TransitionStatus::Expired { waiting_for: Some(why) }) = status
        else {
            return self;
        };
        if matches!(why, WaitReason::Retry | WaitReason::Conflict)
            && let (Some(words), Some(last)) = (&mut self.error, last_error)
        {
            words.push_str("; the last try: ");
            words.push_str(last);
        }
        self
    }

    /// Creates a row from the current transition.
    pub(super) fn from_transition(transition: &Transition) -> Self {
        Self {
            id: Some(transition.id),
            agent: transition.agent.clone(),
            status: transition.status.name().to_owned(),
            error: obstacle_text(transition),
            outcome: match transition.status {
                TransitionStatus::Confirmed { .. } => RowOutcome::Confirmed,
                TransitionStatus::Requested
                | TransitionStatus::Waiting { .. }
                | TransitionStatus::Sending { .. }
                | TransitionStatus::InDoubt { .. }
                | TransitionStatus::Accepted { .. }
                | TransitionStatus::Pending { .. } => RowOutcome::Open,
                TransitionStatus::Unconfirmed { .. }
                | TransitionStatus::Refused { .. }
                | TransitionStatus::Failed { .. }
                | TransitionStatus::Cancelled { .. }
                | TransitionStatus::Superseded { .. }
                | TransitionStatus::Expired { .. } => RowOutcome::Unsuccessful,
            },
        }
    }
}

/// Describes what holds or ended a change, preceded by the code of the policy if it was one. Returns `None` if
/// nothing did.
fn obstacle_text(transition: &Transition) -> Option<String> {
    let reason = match &transition.status {
        TransitionStatus::Requested
        | TransitionStatus::Sending { .. }
        | TransitionStatus::Accepted { .. }
        | TransitionStatus::Confirmed { .. } => return None,
        TransitionStatus::Waiting { why, until } => waiting_text(*why, *until, transition.deadline),
        TransitionStatus::InDoubt { .. } => {
            "sent, and not known yet whether it took effect; the next snapshot will show".to_owned()
        }
        TransitionStatus::Pending { .. } => {
            "the agent is on a contact; it takes effect when the contact ends".to_owned()
        }
        TransitionStatus::Unconfirmed { .. } => "the platform accepted it, and no snapshot showed it".to_owned(),
        TransitionStatus::Refused { violation } => {
            return Some(format!(
                "{violation}: {}",
                refusal_text(*violation, &transition.agent, transition.refused_by())
            ));
        }
        TransitionStatus::Failed { error } => error.clone(),
        TransitionStatus::Cancelled { by } => format!("cancelled: {by}"),
        TransitionStatus::Superseded { by } => format!("superseded by a newer change: {by}"),
        TransitionStatus::Expired { waiting_for } => match waiting_for {
            Some(why) => {
                format!("its deadline {:.0} passed while it waited for {}", transition.deadline, why.description())
            }
            None => format!("its deadline {:.0} passed", transition.deadline),
        },
    };
    Some(match transition.violation.filter(|violation| explains_status(*violation, &transition.status)) {
        Some(violation) => format!("{violation}: {reason}"),
        None => reason,
    })
}

/// Returns whether a violation counted for a transition explains its present status. A transition held by a break may
/// now wait for the budget, for example.
const fn explains_status(violation: Violation, status: &TransitionStatus) -> bool {
    let (TransitionStatus::Waiting { why, .. } | TransitionStatus::Expired { waiting_for: Some(why) }) = status else {
        return matches!(status, TransitionStatus::Failed { .. });
    };
    match violation {
        Violation::MandatoryBreakViolation => {
            matches!(why, WaitReason::MandatoryBreak | WaitReason::Conflict | WaitReason::Retry)
        }
        Violation::AgentNotScheduled | Violation::PlatformConflict => {
            matches!(why, WaitReason::Conflict | WaitReason::Retry)
        }
    }
}

fn refusal_text(violation: Violation, agent: &AgentId, by: Option<RefusedBy>) -> String {
    match violation {
        Violation::AgentNotScheduled => match by {
            None | Some(RefusedBy::Plan) => format!("{agent} has no shift now"),
            Some(RefusedBy::Platform) => format!("the platform says that {agent} has no shift now"),
            Some(RefusedBy::PlatformAgainstPlan) => {
                format!("the platform says that {agent} has no shift now, although the imported plan has one")
            }
        },
        Violation::MandatoryBreakViolation => format!("{agent} is in a mandatory break"),
        Violation::PlatformConflict => format!("the platform does not allow it for {agent} now (409)"),
    }
}

fn waiting_text(why: WaitReason, until: Option<UtcMicros>, deadline: UtcMicros) -> String {
    let object = why.description();
    match until {
        Some(until) => format!("waits for {object}, until {until:.0} (expires at {deadline:.0})"),
        None => format!("waits for {object} (expires at {deadline:.0})"),
    }
}
