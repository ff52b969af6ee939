//! Deliveries: the meaning of answers, the retry schedule, and when deliveries and endpoints are given up.
//!
//! This module reads no clock, draws no random numbers, and sends and stores nothing.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::time::UtcMicros;
use crate::domain::wording::named_enum;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// The pause before each attempt; the first is made at once (source: the schedule suggested by Standard Webhooks).
pub const RETRY_SCHEDULE: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    minutes(5),
    minutes(30),
    minutes(2 * 60),
    minutes(5 * 60),
    minutes(10 * 60),
    minutes(14 * 60),
    minutes(20 * 60),
    minutes(24 * 60),
];

/// The share by which a pause is randomly shortened or lengthened.
pub const JITTER_SHARE: f64 = 0.2;

/// The attempt at which a delivery is parked if the answer says that the request is wrong.
pub const MAX_REFUSED_ATTEMPTS: u32 = 3;

/// How long an endpoint may fail without a success before it is disabled.
pub const DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 3600);

/// The meaning of an answer, regardless of its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseKind {
    /// 2xx: the receiver has accepted the event.
    Delivered,
    /// 410: the receiver wants no more events.
    Gone,
    /// Any other 4xx that says that the request is wrong, so that repeating it is unlikely to help.
    Refused,
    /// Anything else, including no answer: worth another attempt.
    Failed,
}

impl ResponseKind {
    /// Returns the meaning of an HTTP status; `None` means that there was no answer. Redirects are not followed and
    /// count as failed.
    pub const fn from_status_code(status_code: Option<u16>) -> Self {
        match status_code {
            Some(200..=299) => Self::Delivered,
            Some(410) => Self::Gone,
            Some(408 | 425 | 429) => Self::Failed,
            Some(400..=499) => Self::Refused,
            Some(_) | None => Self::Failed,
        }
    }
}

named_enum! {
    /// The reason why a delivery is parked.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum ParkReason {
        /// The receiver refused it three times.
        Refused = "refused",
        /// The retry schedule is exhausted.
        Exhausted = "exhausted",
    }
}

/// The status of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryStatus {
    /// It has not been attempted, and nothing blocks it. This status exists only in memory.
    New,
    /// An earlier event of the same agent has to be delivered first.
    Blocked,
    /// It waits for the next attempt.
    Waiting {
        /// Attempts so far.
        attempts: u32,
        /// When the next attempt is due.
        next_at: UtcMicros,
    },
    /// The receiver has accepted it.
    Delivered {
        /// Attempts that it took.
        attempts: u32,
    },
    /// Its attempts have ended without success, and later events are no longer blocked by it.
    Parked {
        /// Attempts that were made.
        attempts: u32,
        /// The reason.
        reason: ParkReason,
    },
}

/// A step in the life of a delivery.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum DeliveryStep {
    /// An attempt ended.
    AttemptEnded(AttemptResult),
    /// An earlier event of the same agent has failed in the meantime.
    Block,
    /// Nothing blocks it any more, or a person asked to send everything that waits.
    Schedule {
        /// When the next attempt is due.
        at: UtcMicros,
    },
    /// A person resends it, beginning again with the first attempt.
    Resend {
        /// When the next attempt is due.
        at: UtcMicros,
    },
}

/// The result of an attempt.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AttemptResult {
    /// The meaning of the answer.
    pub response: ResponseKind,
    /// The pause that the receiver asked for.
    pub retry_after: Option<Duration>,
    /// When it ended.
    pub at: UtcMicros,
    /// A random number, uniform in `0.0..1.0`.
    pub jitter: f64,
}

/// The error for a step that is not possible in the delivery's status.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[error("a delivery that is {} cannot take the step {step:?}", standing.name())]
pub struct InvalidStep {
    /// The status of the delivery.
    pub standing: DeliveryStatus,
    /// The step.
    pub step: DeliveryStep,
}

/// The names of the statuses of stored deliveries.
pub const STATUS_NAMES: [&str; 3] = ["waiting", "delivered", "parked"];

impl DeliveryStatus {
    /// Returns the name used in the store and in answers. A blocked delivery counts as waiting.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Blocked | Self::Waiting { .. } => "waiting",
            Self::Delivered { .. } => "delivered",
            Self::Parked { .. } => "parked",
        }
    }

    /// Returns the number of attempts so far.
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::New | Self::Blocked => 0,
            Self::Waiting { attempts, .. } | Self::Delivered { attempts } | Self::Parked { attempts, .. } => *attempts,
        }
    }

    /// Whether no further attempt will be made automatically.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Delivered { .. } | Self::Parked { .. } => true,
            Self::New | Self::Blocked | Self::Waiting { .. } => false,
        }
    }

    /// Returns the status after a step.
    pub fn step(self, step: DeliveryStep) -> Result<Self, InvalidStep> {
        match (self, step) {
            (Self::New, DeliveryStep::AttemptEnded(outcome)) => Ok(state_after_attempt(0, outcome)),
            (Self::Waiting { attempts, .. }, DeliveryStep::AttemptEnded(outcome)) => {
                Ok(state_after_attempt(attempts, outcome))
            }
            (Self::New, DeliveryStep::Block) => Ok(Self::Blocked),
            (Self::Waiting { attempts, .. }, DeliveryStep::Schedule { at }) => {
                Ok(Self::Waiting { attempts, next_at: at })
            }
            (Self::New | Self::Blocked, DeliveryStep::Schedule { at })
            | (
                Self::Blocked | Self::Waiting { .. } | Self::Delivered { .. } | Self::Parked { .. },
                DeliveryStep::Resend { at },
            ) => Ok(Self::Waiting { attempts: 0, next_at: at }),
            (Self::New, DeliveryStep::Resend { .. })
            | (Self::Blocked, DeliveryStep::AttemptEnded(_) | DeliveryStep::Block)
            | (Self::Waiting { .. }, DeliveryStep::Block)
            | (
                Self::Delivered { .. } | Self::Parked { .. },
                DeliveryStep::AttemptEnded(_) | DeliveryStep::Block | DeliveryStep::Schedule { .. },
            ) => Err(InvalidStep { standing: self, step }),
        }
    }
}

/// Returns the status after one more attempt.
fn state_after_attempt(attempts_before: u32, outcome: AttemptResult) -> DeliveryStatus {
    let attempts = attempts_before + 1;
    let retry_pause = match outcome.response {
        ResponseKind::Delivered => return DeliveryStatus::Delivered { attempts },
        ResponseKind::Refused if attempts >= MAX_REFUSED_ATTEMPTS => {
            return DeliveryStatus::Parked { attempts, reason: ParkReason::Refused };
        }
        ResponseKind::Refused | ResponseKind::Gone | ResponseKind::Failed => pause(attempts, outcome.jitter),
    };
    match retry_pause {
        None => DeliveryStatus::Parked { attempts, reason: ParkReason::Exhausted },
        Some(pause) => DeliveryStatus::Waiting {
            attempts,
            next_at: outcome.at + pause.max(outcome.retry_after.unwrap_or_default()),
        },
    }
}

/// Returns the pause after a number of attempts; `None` if no attempt is left.
fn pause(attempts: u32, jitter: f64) -> Option<Duration> {
    let pause = RETRY_SCHEDULE.get(usize::try_from(attempts).unwrap_or(usize::MAX))?;
    Some(pause.mul_f64(1.0 - JITTER_SHARE + 2.0 * JITTER_SHARE * jitter.clamp(0.0, 1.0)))
}

named_enum! {
    /// Why an endpoint is disabled until a person enables it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum DisableReason {
        /// It answered 410.
        Gone = "gone",
        /// Every attempt failed for five days.
        Failing = "failing",
    }
}

impl DisableReason {
    /// Returns the reason in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Gone => "it answered 410 Gone",
            Self::Failing => "it has done nothing but fail for five days",
        }
    }
}

/// The health of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndpointHealth {
    /// The first failure after the last success; `None` if the last attempt succeeded.
    pub failing_since: Option<UtcMicros>,
}

impl EndpointHealth {
    /// Returns the health after one more attempt, and the reason to disable the endpoint, if there is one.
    #[must_use]
    pub fn after_attempt(self, answer: ResponseKind, at: UtcMicros) -> (Self, Option<DisableReason>) {
        match answer {
            ResponseKind::Delivered => (Self { failing_since: None }, None),
            ResponseKind::Gone => {
                (Self { failing_since: Some(self.failing_since.unwrap_or(at)) }, Some(DisableReason::Gone))
            }
            ResponseKind::Refused | ResponseKind::Failed => {
                let since = self.failing_since.unwrap_or(at);
                let disabled = (at.since(since) >= DISABLE_AFTER).then_some(DisableReason::Failing);
                (Self { failing_since: Some(since) }, disabled)
            }
        }
    }
}

#[cfg(test)]
mod tests;
