//! Transitions: requested changes of one agent's state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::policy::{OnContact, RefusedBy, Violation};
use super::priority::Priority;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, RuleId, TenantId, TransitionId};
use crate::domain::time::UtcMicros;

pub use super::transition_status::{STATUS_NAMES, StepNotAllowed, TransitionStatus, TransitionStep, WaitReason};

/// Who requested a change.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A rule.
    Rule {
        /// The id of the rule.
        id: RuleId,
        /// The version of the rule that was in force.
        #[schema(value_type = String)]
        version: Arc<str>,
    },
    /// A person, or a system with its own token.
    Person {
        /// The id of the account or token.
        #[schema(value_type = String)]
        id: Arc<str>,
    },
    /// The daemon itself.
    Daemon,
}

impl Actor {
    /// Returns whether the actor is a person, or a system with its own token.
    pub const fn is_person(&self) -> bool {
        matches!(self, Self::Person { .. })
    }

    /// Returns the actor as text: `rule:back-from-break`, `person:anna`, `daemon`.
    pub fn label(&self) -> String {
        match self {
            Self::Rule { id, .. } => format!("rule:{id}"),
            Self::Person { id } => format!("person:{id}"),
            Self::Daemon => "daemon".to_owned(),
        }
    }
}

/// A requested change of one agent's state.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    /// The id of the transition.
    pub id: TransitionId,
    /// The id of the tenant.
    pub tenant: TenantId,
    /// The id of the agent.
    pub agent: AgentId,
    /// The requested state.
    pub target: AgentState,
    /// The requested reason code.
    pub reason: ReasonCode,
    /// The priority.
    pub priority: Priority,
    /// Who requested the change.
    pub actor: Actor,
    /// A note by a person, which is stored apart from the audit chain; null if there is none.
    pub note: Option<String>,
    /// How to treat the agent if the agent is on a contact.
    pub on_contact: OnContact,
    /// When the change was requested.
    pub requested_at: UtcMicros,
    /// The deadline, after which no attempt starts.
    pub deadline: UtcMicros,
    /// The agent's last observed state at the time of the request; null if there was none.
    pub before: Option<AgentState>,
    /// The facts behind the change, or details of the request.
    #[schema(value_type = Value)]
    pub explanation: Value,
    /// The number of recorded attempts.
    pub attempts: u32,
    /// The policy that refused or held the change; null if none did.
    pub violation: Option<Violation>,
    /// Milliseconds of real time from sending the last attempt until the platform's response; null without a response.
    pub latency_ms: Option<u64>,
    /// The id of the change set that the transition belongs to; null if there is none.
    #[serde(default)]
    pub change_set: Option<ChangeSetId>,
    /// The status of the transition.
    #[serde(flatten)]
    pub status: TransitionStatus,
}

impl Transition {
    /// Returns whether the transition is part of a bulk change that is not urgent, which must not use the budget's
    /// reserve.
    pub const fn is_bulk(&self) -> bool {
        self.change_set.is_some() && matches!(self.priority, Priority::Person)
    }

    /// Returns the result, or why the transition waits, in words for people.
    pub fn outcome_text(&self) -> Option<String> {
        match &self.status {
            TransitionStatus::Requested
            | TransitionStatus::Sending { .. }
            | TransitionStatus::InDoubt { .. }
            | TransitionStatus::Accepted { .. } => None,
            TransitionStatus::Pending { .. } => Some("takes effect when the contact ends".to_owned()),
            TransitionStatus::Waiting { why, until } => Some(match until {
                Some(until) => format!("waits for {}, until {until}", why.description()),
                None => format!("waits for {}", why.description()),
            }),
            TransitionStatus::Confirmed { .. } if self.attempts == 0 => {
                Some("the agent was in that state already; nothing was sent".to_owned())
            }
            TransitionStatus::Confirmed { .. } => Some("the platform shows the new state".to_owned()),
            TransitionStatus::Unconfirmed { .. } => Some("the platform never showed the new state".to_owned()),
            TransitionStatus::Refused { violation } => Some(violation.code().to_owned()),
            TransitionStatus::Failed { error } => Some(error.clone()),
            TransitionStatus::Cancelled { by } => Some(format!("called off: {by}")),
            TransitionStatus::Superseded { by } => Some(format!("superseded by {by}")),
            TransitionStatus::Expired { waiting_for } => Some(match waiting_for {
                Some(why) => format!("its deadline passed while it waited for {}", why.description()),
                None => "its deadline passed".to_owned(),
            }),
        }
    }

    /// Returns whether the agent was already in the requested state, so that only the reason code changes.
    pub fn is_reason_only(&self) -> bool {
        self.before.as_ref() == Some(&self.target)
    }

    /// The field of the explanation that says to set the reason even if the agent is already in the state.
    pub const EVEN_IF_IN_STATE: &'static str = "even_if_in_state";

    /// The field of a pending change's explanation with the id of the change that withdraws it.
    pub const WITHDRAWN_BY: &'static str = "withdrawn_by";

    /// The field of the explanation with the id of the pending change that this one withdraws.
    pub const WITHDRAWS: &'static str = "withdraws";

    /// Returns whether the reason is set even if the agent is already in the state. Otherwise the state suffices,
    /// whatever its reason.
    pub fn is_forced(&self) -> bool {
        self.explanation.get(Self::EVEN_IF_IN_STATE).and_then(serde_json::Value::as_bool).unwrap_or_default()
    }

    /// Returns whose answer a policy refusal is based on.
    pub fn refused_by(&self) -> Option<RefusedBy> {
        let by = self
            .explanation
            .get(RefusedBy::FIELD)
            .filter(|_| matches!(self.status, TransitionStatus::Refused { .. }))?;
        RefusedBy::deserialize(by).ok()
    }
}

#[cfg(test)]
mod tests;
