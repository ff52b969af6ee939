//! The status of a transition, and the steps between statuses.
//!
//! A step consumes the old status and returns the new one, or an error if the step is not allowed there. Nothing else
//! in the crate writes a status.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::Violation;
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

named_enum! {
    /// Why a transition waits.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum WaitReason {
        /// There is no free slot in the request budget.
        Budget = "budget",
        /// Another change of the same agent is in flight.
        InFlight = "in_flight",
        /// The agent is in a mandatory break.
        MandatoryBreak = "mandatory_break",
        /// The agent is on a contact or in wrap-up.
        Contact = "contact",
        /// An attempt failed, and the next one is not due yet.
        Retry = "retry",
        /// The platform has not answered yet whether the agent is scheduled.
        PlatformAnswer = "platform_answer",
        /// The platform refused the change with 409 and may allow it later.
        Conflict = "conflict",
        /// The circuit breaker has halted all state changes.
        Halted = "halted",
        /// A person has to approve the change.
        Approval = "approval",
        /// The latest observation of the agent is stale.
        Sight = "sight",
    }
}

impl WaitReason {
    /// Returns what the transition waits for, in words for people: `waits for the contact to end`.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Budget => "a free slot of the request budget",
            Self::InFlight => "another change of the agent in progress",
            Self::MandatoryBreak => "the mandatory break to end",
            Self::Contact => "the contact to end",
            Self::Retry => "the next try after a failed one",
            Self::PlatformAnswer => "the platform to say whether the agent is scheduled",
            Self::Conflict => "the platform to allow what it refused (409)",
            Self::Halted => "automation, which is halted, to resume",
            Self::Approval => "a person to approve it",
            Self::Sight => "a fresh observation of the agent",
        }
    }
}

/// The status of a transition. In the store and the API it has the form `{"status": "waiting", "why": "budget", …}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = TransitionStatus)]
pub enum TransitionStatus {
    /// The transition was recorded and not processed yet.
    Requested,
    /// The transition waits to be sent, or to be sent again.
    Waiting {
        /// Why it waits.
        why: WaitReason,
        /// The earliest time at which it may continue; null if unknown.
        until: Option<UtcMicros>,
    },
    /// The attempt is recorded, and the request may be in progress.
    Sending {
        /// When the attempt was recorded.
        since: UtcMicros,
    },
    /// The change was sent, and it is unknown whether it took effect.
    InDoubt {
        /// When it was sent.
        sent_at: UtcMicros,
        /// A snapshot generated after this instant shows whether it took effect.
        readable_after: UtcMicros,
    },
    /// The platform accepted the change with a 2xx response.
    Accepted {
        /// When the platform accepted it.
        at: UtcMicros,
    },
    /// The platform accepted it as the agent's next state: it takes effect when the contact ends.
    Pending {
        /// When the platform accepted it.
        since: UtcMicros,
    },
    /// A snapshot showed the change.
    Confirmed {
        /// When the platform generated the snapshot.
        at: UtcMicros,
    },
    /// No snapshot showed the change in time, or another change replaced it before one could.
    Unconfirmed {
        /// When the daemon stopped waiting for confirmation.
        at: UtcMicros,
    },
    /// Policy refused the change.
    Refused {
        /// The policy.
        #[serde(rename = "policy")]
        violation: Violation,
    },
    /// The change cannot be carried out, or all allowed attempts failed.
    Failed {
        /// What went wrong, for people.
        error: String,
    },
    /// The change was cancelled before it was sent, or a dry run kept it from being sent.
    Cancelled {
        /// Who cancelled it, or why it was not sent.
        by: String,
    },
    /// A newer change of equal or higher priority replaced it.
    Superseded {
        /// The id of the newer transition.
        by: TransitionId,
    },
    /// The deadline passed before the change could be sent.
    Expired {
        /// What it was waiting for; null if it was not waiting.
        waiting_for: Option<WaitReason>,
    },
}

/// The names that [`TransitionStatus::name`] returns.
pub const STATUS_NAMES: [&str; 13] = [
    "requested",
    "waiting",
    "sending",
    "in_doubt",
    "accepted",
    "pending",
    "confirmed",
    "unconfirmed",
    "refused",
    "failed",
    "cancelled",
    "superseded",
    "expired",
];

/// A step in the life cycle of a transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransitionStep {
    /// It has to wait.
    Hold {
        /// Why it waits.
        why: WaitReason,
        /// The earliest instant to continue, if known.
        until: Option<UtcMicros>,
    },
    /// It is about to be sent.
    Send {
        /// The current instant.
        at: UtcMicros,
    },
    /// The platform certainly did not apply it; it waits for another attempt.
    NotApplied {
        /// Why it waits.
        why: WaitReason,
        /// The earliest instant to continue, if known.
        until: Option<UtcMicros>,
    },
    /// It is unknown whether it was applied.
    Doubt {
        /// A snapshot generated after this instant shows whether it was applied.
        readable_after: UtcMicros,
    },
    /// The platform accepted it with 2xx.
    Accept {
        /// When it was accepted.
        at: UtcMicros,
    },
    /// The agent is on a contact, so it takes effect when the contact ends.
    Defer,
    /// A snapshot showed that it was applied, or that the agent was already in the state.
    Confirm {
        /// When that snapshot was generated.
        at: UtcMicros,
    },
    /// No snapshot will confirm it any more.
    GiveUp {
        /// The current instant.
        at: UtcMicros,
    },
    /// A snapshot showed that it was not applied and that the agent's state has not changed: it may be sent again.
    ReadBack {
        /// The earliest instant to send it again, if known.
        until: Option<UtcMicros>,
    },
    /// Policy forbids it.
    Refuse(Violation),
    /// It cannot be carried out.
    Fail(String),
    /// It is cancelled.
    Cancel(String),
    /// A newer request replaces it.
    Supersede(TransitionId),
    /// Its deadline passed.
    Expire,
}

impl TransitionStep {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Hold { .. } => "hold",
            Self::Send { .. } => "send",
            Self::NotApplied { .. } => "not applied",
            Self::Doubt { .. } => "doubt",
            Self::Accept { .. } => "accept",
            Self::Defer => "defer",
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

/// The error for a step that is not allowed in the current status.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a transition that is {from} cannot take the step \"{step}\"")]
pub struct StepNotAllowed {
    from: &'static str,
    step: &'static str,
}

impl TransitionStatus {
    /// Returns the name of the status, one of [`STATUS_NAMES`].
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Waiting { .. } => "waiting",
            Self::Sending { .. } => "sending",
            Self::InDoubt { .. } => "in_doubt",
            Self::Accepted { .. } => "accepted",
            Self::Pending { .. } => "pending",
            Self::Confirmed { .. } => "confirmed",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Superseded { .. } => "superseded",
            Self::Expired { .. } => "expired",
        }
    }

    /// Returns whether the status is final.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Requested
            | Self::Waiting { .. }
            | Self::Sending { .. }
            | Self::InDoubt { .. }
            | Self::Accepted { .. }
            | Self::Pending { .. } => false,
            Self::Confirmed { .. }
            | Self::Unconfirmed { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Superseded { .. }
            | Self::Expired { .. } => true,
        }
    }

    /// Returns when the change was sent or, once the platform has accepted it, when that was; `None` before and after.
    pub const fn sent_at(&self) -> Option<UtcMicros> {
        match self {
            Self::Sending { since: at }
            | Self::InDoubt { sent_at: at, .. }
            | Self::Accepted { at }
            | Self::Pending { since: at } => Some(*at),
            Self::Requested
            | Self::Waiting { .. }
            | Self::Confirmed { .. }
            | Self::Unconfirmed { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Superseded { .. }
            | Self::Expired { .. } => None,
        }
    }

    /// Returns whether the transition is unsent, so that it can be superseded or cancelled.
    pub const fn is_unsent(&self) -> bool {
        matches!(self, Self::Requested | Self::Waiting { .. })
    }

    /// Returns whether the transition is being sent or in doubt: no other change of the agent may be sent meanwhile.
    pub const fn is_in_flight(&self) -> bool {
        matches!(self, Self::Sending { .. } | Self::InDoubt { .. })
    }

    /// Takes a step.
    ///
    /// # Errors
    /// Returns [`StepNotAllowed`] if the step is not allowed in this status. The stored status is then unchanged, and
    /// the caller has a bug.
    pub fn step(self, step: TransitionStep) -> Result<Self, StepNotAllowed> {
        let refusal = StepNotAllowed { from: self.name(), step: step.name() };
        let next = match (&self, step) {
            (Self::Requested | Self::Waiting { .. }, step) => Self::step_before_sending(&self, step),
            (Self::Sending { since }, step) => Self::step_after_sending(*since, step),
            (Self::InDoubt { .. }, step) => Self::step_after_doubt(&step),
            (Self::Accepted { at }, TransitionStep::Defer) => Some(Self::Pending { since: *at }),
            (Self::Accepted { .. } | Self::Pending { .. }, TransitionStep::Confirm { at }) => {
                Some(Self::Confirmed { at })
            }
            (Self::Accepted { .. } | Self::Pending { .. }, TransitionStep::GiveUp { at }) => {
                Some(Self::Unconfirmed { at })
            }
            // A newer request replaces the agent's next state.
            (Self::Pending { .. }, TransitionStep::Supersede(by)) => Some(Self::Superseded { by }),
            (
                Self::Accepted { .. }
                | Self::Pending { .. }
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

    fn step_before_sending(&self, step: TransitionStep) -> Option<Self> {
        match step {
            TransitionStep::Hold { why, until } => Some(Self::Waiting { why, until }),
            TransitionStep::Send { at } => Some(Self::Sending { since: at }),
            TransitionStep::Refuse(violation) => Some(Self::Refused { violation }),
            TransitionStep::Fail(error) => Some(Self::Failed { error }),
            TransitionStep::Cancel(by) => Some(Self::Cancelled { by }),
            TransitionStep::Supersede(by) => Some(Self::Superseded { by }),
            TransitionStep::Expire => Some(Self::Expired { waiting_for: self.wait_reason() }),
            // The agent is in the state already.
            TransitionStep::Confirm { at } => Some(Self::Confirmed { at }),
            TransitionStep::NotApplied { .. }
            | TransitionStep::Doubt { .. }
            | TransitionStep::Accept { .. }
            | TransitionStep::Defer
            | TransitionStep::GiveUp { .. }
            | TransitionStep::ReadBack { .. } => None,
        }
    }

    fn step_after_sending(sent_at: UtcMicros, step: TransitionStep) -> Option<Self> {
        match step {
            TransitionStep::NotApplied { why, until } => Some(Self::Waiting { why, until }),
            TransitionStep::Doubt { readable_after } => Some(Self::InDoubt { sent_at, readable_after }),
            TransitionStep::Accept { at } => Some(Self::Accepted { at }),
            TransitionStep::Refuse(violation) => Some(Self::Refused { violation }),
            TransitionStep::Fail(error) => Some(Self::Failed { error }),
            TransitionStep::Cancel(by) => Some(Self::Cancelled { by }),
            TransitionStep::Hold { .. }
            | TransitionStep::Send { .. }
            | TransitionStep::Defer
            | TransitionStep::Confirm { .. }
            | TransitionStep::GiveUp { .. }
            | TransitionStep::ReadBack { .. }
            | TransitionStep::Supersede(_)
            | TransitionStep::Expire => None,
        }
    }

    fn step_after_doubt(step: &TransitionStep) -> Option<Self> {
        match step {
            TransitionStep::Confirm { at } => Some(Self::Confirmed { at: *at }),
            TransitionStep::GiveUp { at } => Some(Self::Unconfirmed { at: *at }),
            TransitionStep::ReadBack { until } => Some(Self::Waiting { why: WaitReason::Retry, until: *until }),
            TransitionStep::Hold { .. }
            | TransitionStep::Send { .. }
            | TransitionStep::NotApplied { .. }
            | TransitionStep::Doubt { .. }
            | TransitionStep::Accept { .. }
            | TransitionStep::Defer
            | TransitionStep::Refuse(_)
            | TransitionStep::Fail(_)
            | TransitionStep::Cancel(_)
            | TransitionStep::Supersede(_)
            | TransitionStep::Expire => None,
        }
    }

    /// Returns the status after the wall clock was adjusted by `offset_us` microseconds: what has lasted or is waited
    /// for keeps its duration. Instants of the plan and final results are not moved.
    #[must_use]
    pub fn adjusted_for_clock_change(self, offset_us: i64) -> Self {
        match self {
            Self::Waiting { why: why @ (WaitReason::Retry | WaitReason::Conflict), until } => {
                Self::Waiting { why, until: until.map(|until| until.offset(offset_us)) }
            }
            Self::Sending { since } => Self::Sending { since: since.offset(offset_us) },
            Self::InDoubt { sent_at, readable_after } => {
                Self::InDoubt { sent_at: sent_at.offset(offset_us), readable_after: readable_after.offset(offset_us) }
            }
            Self::Accepted { at } => Self::Accepted { at: at.offset(offset_us) },
            Self::Pending { since } => Self::Pending { since: since.offset(offset_us) },
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

    /// Returns why the transition waits, or `None` if it does not.
    pub const fn wait_reason(&self) -> Option<WaitReason> {
        match self {
            Self::Waiting { why, .. } => Some(*why),
            _ => None,
        }
    }
}

impl fmt::Display for TransitionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
