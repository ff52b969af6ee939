//! The life cycle of one wanted state change.
//!
//! A step consumes the old status and gives the new one, or says that the step is not allowed there. Nothing else in the crate
//! writes a status.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::policy::{OnContact, RefusedBy, Violation};
use super::priority::Priority;
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ChangeSetId, ReasonCode, RuleId, TenantId, TransitionId};
use crate::domain::time::UtcMicros;

/// Who or what wanted something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A rule, in the version that was in force.
    Rule {
        /// The rule.
        id: RuleId,
        /// Its version.
        #[schema(value_type = String)]
        version: Arc<str>,
    },
    /// A person or a system with a token of its own, by the token's id.
    Person {
        /// The token's or account's id.
        #[schema(value_type = String)]
        id: Arc<str>,
    },
    /// The daemon itself.
    Daemon,
}

impl Actor {
    /// Whether it is a person, or a system in a person's place.
    pub const fn is_person(&self) -> bool {
        matches!(self, Self::Person { .. })
    }

    /// `rule:back-from-break`, `person:anna`, `daemon`.
    pub fn label(&self) -> String {
        match self {
            Self::Rule { id, .. } => format!("rule:{id}"),
            Self::Person { id } => format!("person:{id}"),
            Self::Daemon => "daemon".to_owned(),
        }
    }
}

/// Why a transition waits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// For a free slot of the request budget.
    Budget,
    /// For another change of the same agent that is under way.
    InFlight,
    /// For a mandatory break to end.
    MandatoryBreak,
    /// For the contact to end.
    Contact,
    /// For the next try after a failed one.
    Retry,
    /// For the platform to answer whether the agent is scheduled.
    PlatformAnswer,
    /// For the platform to allow what it refused with 409.
    Conflict,
    /// For automation, which is halted, to resume.
    Halted,
    /// For a person to approve.
    Approval,
    /// For fresh sight of the agent.
    Sight,
}

impl WaitReason {
    /// The name in messages and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::InFlight => "in_flight",
            Self::MandatoryBreak => "mandatory_break",
            Self::Contact => "contact",
            Self::Retry => "retry",
            Self::PlatformAnswer => "platform_answer",
            Self::Conflict => "conflict",
            Self::Halted => "halted",
            Self::Approval => "approval",
            Self::Sight => "sight",
        }
    }

    /// What it waits for, for a person to read: `waits for the contact to end`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Budget => "a free slot of the request budget",
            Self::InFlight => "another change of the agent that is under way",
            Self::MandatoryBreak => "the mandatory break to end",
            Self::Contact => "the contact to end",
            Self::Retry => "the next try after a failed one",
            Self::PlatformAnswer => "the platform to say whether the agent is scheduled",
            Self::Conflict => "the platform to allow what it refused (409)",
            Self::Halted => "automation, which is halted, to resume",
            Self::Approval => "a person to approve it",
            Self::Sight => "fresh sight of the agent",
        }
    }
}

/// Where a transition stands. The shape in the store and in the API: `{"status": "waiting", "why": "budget", …}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = TransitionStatus)]
pub enum Status {
    /// Taken in; nothing ruled yet.
    Requested,
    /// Not sent yet, or to be sent again.
    Waiting {
        /// For what.
        why: WaitReason,
        /// Not before this instant, where one is known.
        until: Option<UtcMicros>,
    },
    /// The attempt is durable; the POST may be under way.
    Sending {
        /// When the attempt was made durable.
        since: UtcMicros,
    },
    /// Sent, and nobody knows whether it took effect.
    InDoubt {
        /// When it was sent.
        sent_at: UtcMicros,
        /// A snapshot generated after this instant tells.
        readable_after: UtcMicros,
    },
    /// The platform answered 2xx.
    Accepted {
        /// When.
        at: UtcMicros,
    },
    /// A snapshot showed it.
    Confirmed {
        /// When the snapshot was generated.
        at: UtcMicros,
    },
    /// No snapshot showed it in time, or it was overtaken before one could.
    Unconfirmed {
        /// When that was given up.
        at: UtcMicros,
    },
    /// Policy forbade it.
    Refused {
        /// Which policy.
        #[serde(rename = "policy")]
        violation: Violation,
    },
    /// It cannot be done, or was tried as often as allowed.
    Failed {
        /// What went wrong, for a person to read.
        error: String,
    },
    /// Called off before it left, or kept back by a dry run.
    Cancelled {
        /// By whom or for what.
        by: String,
    },
    /// A newer request of equal or higher priority took its place.
    Superseded {
        /// The newer one.
        by: TransitionId,
    },
    /// Its deadline passed before it could be sent.
    Expired {
        /// What it was waiting for.
        waiting_for: Option<WaitReason>,
    },
}

/// How many outcomes and open standings [`Status::name`] tells apart.
pub const STATUS_NAMES: [&str; 12] = [
    "requested",
    "waiting",
    "sending",
    "in_doubt",
    "accepted",
    "confirmed",
    "unconfirmed",
    "refused",
    "failed",
    "cancelled",
    "superseded",
    "expired",
];

/// What happens to a transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// It has to wait.
    Hold {
        /// For what.
        why: WaitReason,
        /// Not before this instant.
        until: Option<UtcMicros>,
    },
    /// It is about to be sent.
    Send {
        /// Now.
        at: UtcMicros,
    },
    /// The platform surely did not apply it; it waits for another try.
    NotApplied {
        /// For what.
        why: WaitReason,
        /// Not before this instant.
        until: Option<UtcMicros>,
    },
    /// Nobody knows whether it was applied.
    Doubt {
        /// A snapshot generated after this instant tells.
        readable_after: UtcMicros,
    },
    /// 2xx.
    Accept {
        /// When.
        at: UtcMicros,
    },
    /// A snapshot showed that it took effect, or that the agent was there already.
    Confirm {
        /// When that snapshot was generated.
        at: UtcMicros,
    },
    /// No snapshot will show it any more.
    GiveUp {
        /// Now.
        at: UtcMicros,
    },
    /// A snapshot showed that it did not take effect and that the agent has not moved: it may be sent again.
    ReadBack {
        /// Not before this instant.
        until: Option<UtcMicros>,
    },
    /// Policy forbids it.
    Refuse(Violation),
    /// It cannot be done.
    Fail(String),
    /// Somebody calls it off.
    Cancel(String),
    /// A newer request takes its place.
    Supersede(TransitionId),
    /// Its deadline passed.
    Expire,
}

impl Step {
    const fn name(&self) -> &'static str {
        match self {
            Self::Hold { .. } => "hold",
            Self::Send { .. } => "send",
            Self::NotApplied { .. } => "not applied",
            Self::Doubt { .. } => "doubt",
            Self::Accept { .. } => "accept",
            Self::Confirm { .. } => "confirm",
            Self::GiveUp { .. } => "give up",
            Self::ReadBack { .. } => "read back",
            Self::Refuse(_) => "refuse",
            Self::Fail(_) => "fail",
            Self::Cancel(_) => "cancel",
            Self::Supersede(_) => "supersede",
            Self::Expire => "expire",
        }
    }
}

/// A step that the life cycle does not have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a transition that is {from} cannot take the step \"{step}\"")]
pub struct NotAllowed {
    from: &'static str,
    step: &'static str,
}

impl Status {
    /// One of [`STATUS_NAMES`].
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Waiting { .. } => "waiting",
            Self::Sending { .. } => "sending",
            Self::InDoubt { .. } => "in_doubt",
            Self::Accepted { .. } => "accepted",
            Self::Confirmed { .. } => "confirmed",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Superseded { .. } => "superseded",
            Self::Expired { .. } => "expired",
        }
    }

    /// Nothing more will happen to it.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Requested
            | Self::Waiting { .. }
            | Self::Sending { .. }
            | Self::InDoubt { .. }
            | Self::Accepted { .. } => false,
            Self::Confirmed { .. }
            | Self::Unconfirmed { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Superseded { .. }
            | Self::Expired { .. } => true,
        }
    }

    /// Not sent, so that a newer request may take its place and a person may call it off.
    pub const fn has_not_left(&self) -> bool {
        matches!(self, Self::Requested | Self::Waiting { .. })
    }

    /// On the way or in doubt: no other change of the agent may leave meanwhile.
    pub const fn is_in_flight(&self) -> bool {
        matches!(self, Self::Sending { .. } | Self::InDoubt { .. })
    }

    /// Takes a step.
    ///
    /// # Errors
    /// [`NotAllowed`] where the life cycle does not have the step; the status is then unchanged in the store, and the caller
    /// has a defect.
    pub fn step(self, step: Step) -> Result<Self, NotAllowed> {
        let refusal = NotAllowed { from: self.name(), step: step.name() };
        let next = match (&self, step) {
            (Self::Requested | Self::Waiting { .. }, step) => Self::before_leaving(&self, step),
            (Self::Sending { since }, step) => Self::after_sending(*since, step),
            (Self::InDoubt { .. }, step) => Self::after_doubt(&step),
            (Self::Accepted { .. }, Step::Confirm { at }) => Some(Self::Confirmed { at }),
            (Self::Accepted { .. }, Step::GiveUp { at }) => Some(Self::Unconfirmed { at }),
            (
                Self::Accepted { .. }
                | Self::Confirmed { .. }
                | Self::Unconfirmed { .. }
                | Self::Refused { .. }
                | Self::Failed { .. }
                | Self::Cancelled { .. }
                | Self::Superseded { .. }
                | Self::Expired { .. },
                _,
            ) => None,
        };
        next.ok_or(refusal)
    }

    fn before_leaving(&self, step: Step) -> Option<Self> {
        match step {
            Step::Hold { why, until } => Some(Self::Waiting { why, until }),
            Step::Send { at } => Some(Self::Sending { since: at }),
            Step::Refuse(violation) => Some(Self::Refused { violation }),
            Step::Fail(error) => Some(Self::Failed { error }),
            Step::Cancel(by) => Some(Self::Cancelled { by }),
            Step::Supersede(by) => Some(Self::Superseded { by }),
            Step::Expire => Some(Self::Expired { waiting_for: self.waits_for() }),
            // The agent is there already.
            Step::Confirm { at } => Some(Self::Confirmed { at }),
            Step::NotApplied { .. }
            | Step::Doubt { .. }
            | Step::Accept { .. }
            | Step::GiveUp { .. }
            | Step::ReadBack { .. } => None,
        }
    }

    fn after_sending(sent_at: UtcMicros, step: Step) -> Option<Self> {
        match step {
            Step::NotApplied { why, until } => Some(Self::Waiting { why, until }),
            Step::Doubt { readable_after } => Some(Self::InDoubt { sent_at, readable_after }),
            Step::Accept { at } => Some(Self::Accepted { at }),
            Step::Refuse(violation) => Some(Self::Refused { violation }),
            Step::Fail(error) => Some(Self::Failed { error }),
            Step::Cancel(by) => Some(Self::Cancelled { by }),
            Step::Hold { .. }
            | Step::Send { .. }
            | Step::Confirm { .. }
            | Step::GiveUp { .. }
            | Step::ReadBack { .. }
            | Step::Supersede(_)
            | Step::Expire => None,
        }
    }

    fn after_doubt(step: &Step) -> Option<Self> {
        match step {
            Step::Confirm { at } => Some(Self::Confirmed { at: *at }),
            Step::GiveUp { at } => Some(Self::Unconfirmed { at: *at }),
            Step::ReadBack { until } => Some(Self::Waiting { why: WaitReason::Retry, until: *until }),
            Step::Hold { .. }
            | Step::Send { .. }
            | Step::NotApplied { .. }
            | Step::Doubt { .. }
            | Step::Accept { .. }
            | Step::Refuse(_)
            | Step::Fail(_)
            | Step::Cancel(_)
            | Step::Supersede(_)
            | Step::Expire => None,
        }
    }

    /// The same standing after the wall clock was set by so many microseconds: what began as long ago before, and what waits
    /// waits as long as before. An instant of the plan stays, and so does an outcome.
    #[must_use]
    pub fn after_clock_set(self, by_us: i64) -> Self {
        match self {
            Self::Waiting { why: why @ (WaitReason::Retry | WaitReason::Conflict), until } => {
                Self::Waiting { why, until: until.map(|until| until.offset(by_us)) }
            }
            Self::Sending { since } => Self::Sending { since: since.offset(by_us) },
            Self::InDoubt { sent_at, readable_after } => {
                Self::InDoubt { sent_at: sent_at.offset(by_us), readable_after: readable_after.offset(by_us) }
            }
            Self::Accepted { at } => Self::Accepted { at: at.offset(by_us) },
            Self::Requested
            | Self::Waiting {
                why:
                    WaitReason::Budget
                    | WaitReason::InFlight
                    | WaitReason::MandatoryBreak
                    | WaitReason::Contact
                    | WaitReason::PlatformAnswer
                    | WaitReason::Halted
                    | WaitReason::Approval
                    | WaitReason::Sight,
                ..
            }
            | Self::Confirmed { .. }
            | Self::Unconfirmed { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Superseded { .. }
            | Self::Expired { .. } => self,
        }
    }

    /// What it waits for, where it waits.
    pub const fn waits_for(&self) -> Option<WaitReason> {
        match self {
            Self::Waiting { why, .. } => Some(*why),
            _ => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One wanted state change of one agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    /// Its id.
    pub id: TransitionId,
    /// Whose.
    pub tenant: TenantId,
    /// For whom.
    pub agent: AgentId,
    /// The wanted state.
    pub target: AgentState,
    /// With this reason code.
    pub reason: ReasonCode,
    /// How urgent.
    pub priority: Priority,
    /// Who or what wanted it.
    pub actor: Actor,
    /// A person's words; kept apart from the audit chain.
    pub note: Option<String>,
    /// What to do when the agent is on a contact.
    pub on_contact: OnContact,
    /// When it was requested.
    pub requested_at: UtcMicros,
    /// No attempt starts after this instant.
    pub deadline: UtcMicros,
    /// The state the agent was last seen in when it was requested.
    pub before: Option<AgentState>,
    /// The facts that led to it, or the request's own words.
    #[schema(value_type = Value)]
    pub explanation: Value,
    /// Attempts made durable so far.
    pub attempts: u32,
    /// The policy that refused or held it, if one did; counted once.
    pub violation: Option<Violation>,
    /// Real milliseconds from the attempt's send to the platform's answer, of the last attempt.
    pub latency_ms: Option<u64>,
    /// The bulk change that it is a part of.
    #[serde(default)]
    pub change_set: Option<ChangeSetId>,
    /// Where it stands.
    #[serde(flatten)]
    pub status: Status,
}

impl Transition {
    /// One of many that a person asked for at once and that can wait: it leaves the reserve of the budget to what cannot.
    pub const fn is_bulk(&self) -> bool {
        self.change_set.is_some() && matches!(self.priority, Priority::Person)
    }

    /// How it ended or what it waits for, in words for a person.
    pub fn outcome(&self) -> Option<String> {
        match &self.status {
            Status::Requested | Status::Sending { .. } | Status::InDoubt { .. } | Status::Accepted { .. } => None,
            Status::Waiting { why, until } => Some(match until {
                Some(until) => format!("waits for {}, until {until}", why.words()),
                None => format!("waits for {}", why.words()),
            }),
            Status::Confirmed { .. } if self.attempts == 0 => {
                Some("the agent was in that state already; nothing was sent".to_owned())
            }
            Status::Confirmed { .. } => Some("a snapshot showed it".to_owned()),
            Status::Unconfirmed { .. } => Some("no snapshot showed it".to_owned()),
            Status::Refused { violation } => Some(violation.code().to_owned()),
            Status::Failed { error } => Some(error.clone()),
            Status::Cancelled { by } => Some(format!("called off: {by}")),
            Status::Superseded { by } => Some(format!("superseded by {by}")),
            Status::Expired { waiting_for } => Some(match waiting_for {
                Some(why) => format!("its deadline passed while it waited for {}", why.words()),
                None => "its deadline passed".to_owned(),
            }),
        }
    }

    /// The agent was in the wanted state already when it was asked for: the reason is all that it changes.
    pub fn is_of_reason_alone(&self) -> bool {
        self.before.as_ref() == Some(&self.target)
    }

    /// Where the explanation says that the agent gets the reason even when already in the state.
    pub const EVEN_IF_IN_STATE: &'static str = "even_if_in_state";

    /// Whether the agent gets the reason even when already in the state. Otherwise the state is enough, whatever its reason.
    pub fn is_wanted_even_if_in_state(&self) -> bool {
        self.explanation.get(Self::EVEN_IF_IN_STATE).and_then(serde_json::Value::as_bool).unwrap_or_default()
    }

    /// Whose word the refusal rests on, where policy refused it.
    pub fn refused_by(&self) -> Option<RefusedBy> {
        let by = self.explanation.get(RefusedBy::FIELD).filter(|_| matches!(self.status, Status::Refused { .. }))?;
        RefusedBy::deserialize(by).ok()
    }
}

#[cfg(test)]
mod tests;
