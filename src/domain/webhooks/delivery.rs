//! The life of one delivery: what an answer means, when the next try is due, when it is given up, and when an endpoint is.
//!
//! Pure: the instant and the jitter are arguments. It sends nothing and stores nothing.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::time::UtcMicros;

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// From one try to the next: the first is at once (source: Standard Webhooks' suggested schedule).
pub const SCHEDULE: [Duration; 10] = [
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

/// A pause is drawn from this share below the schedule's to the same share above.
pub const JITTER_SHARE: f64 = 0.2;

/// An answer that says the request itself is wrong parks the delivery at this try.
pub const TRIES_OF_A_REFUSED: u32 = 3;

/// An endpoint that has done nothing but fail for this long is disabled.
pub const FAILING_LIMIT: Duration = Duration::from_secs(5 * 24 * 3600);

/// What an answer means, whatever its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 2xx: the receiver has it.
    Delivered,
    /// 410: the receiver wants nothing more, ever.
    Gone,
    /// A 4xx that says that the request itself is wrong; repeating it will hardly help.
    Refused,
    /// Everything else, also no answer at all: worth another try.
    Failed,
}

impl Answer {
    /// By the HTTP status; `None` where there was no answer. Redirects are not followed and count as failed.
    pub const fn of(status_code: Option<u16>) -> Self {
        match status_code {
            Some(200..=299) => Self::Delivered,
            Some(410) => Self::Gone,
            Some(408 | 425 | 429) => Self::Failed,
            Some(400..=499) => Self::Refused,
            Some(_) | None => Self::Failed,
        }
    }
}

/// Why a delivery is not tried any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParkedFor {
    /// The receiver refused it three times.
    Refused,
    /// The schedule of tries is exhausted.
    Exhausted,
}

impl ParkedFor {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Refused, Self::Exhausted];

    /// The name in the store and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Exhausted => "exhausted",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.name() == name)
    }
}

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It was never tried, and nothing before it is in its way; only in memory.
    New,
    /// An earlier event of the same agent has to go first.
    Behind,
    /// The next try is due at an instant.
    Waiting {
        /// Tries so far.
        attempts: u32,
        /// When the next is due.
        next_at: UtcMicros,
    },
    /// The receiver has it.
    Delivered {
        /// Tries that it took.
        attempts: u32,
    },
    /// It is not tried any more, and the next one goes on.
    Parked {
        /// Tries that were made.
        attempts: u32,
        /// Why.
        why: ParkedFor,
    },
}

/// What happens to a delivery.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Step {
    /// An attempt ended.
    Answered(Outcome),
    /// An earlier event of the same agent failed meanwhile.
    FallBehind,
    /// Nothing is before it any more, or a person asked to try all that waits.
    BecomeDue {
        /// From when on.
        at: UtcMicros,
    },
    /// A person asks for it again: from the first try on.
    Revive {
        /// From when on.
        at: UtcMicros,
    },
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outcome {
    /// What the answer means.
    pub answer: Answer,
    /// What the receiver asked for.
    pub retry_after: Option<Duration>,
    /// When it ended.
    pub at: UtcMicros,
    /// Uniform in `0.0..1.0`.
    pub jitter: f64,
}

/// A step that a delivery cannot take where it stands.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[error("a delivery that is {} cannot take the step {step:?}", standing.name())]
pub struct WrongStep {
    /// Where it stands.
    pub standing: Standing,
    /// What was tried.
    pub step: Step,
}

/// The names of what a delivery in the store can be.
pub const STATUS_NAMES: [&str; 3] = ["waiting", "delivered", "parked"];

impl Standing {
    /// The name in the store and in answers; what is behind another waits too.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Behind | Self::Waiting { .. } => "waiting",
            Self::Delivered { .. } => "delivered",
            Self::Parked { .. } => "parked",
        }
    }

    /// Tries so far.
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::New | Self::Behind => 0,
            Self::Waiting { attempts, .. } | Self::Delivered { attempts } | Self::Parked { attempts, .. } => *attempts,
        }
    }

    /// Nothing more will be tried by itself.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Delivered { .. } | Self::Parked { .. } => true,
            Self::New | Self::Behind | Self::Waiting { .. } => false,
        }
    }

    /// Takes a step.
    pub fn step(self, step: Step) -> Result<Self, WrongStep> {
        match (self, step) {
            (Self::New, Step::Answered(outcome)) => Ok(after(0, outcome)),
            (Self::Waiting { attempts, .. }, Step::Answered(outcome)) => Ok(after(attempts, outcome)),
            (Self::New, Step::FallBehind) => Ok(Self::Behind),
            (Self::Waiting { attempts, .. }, Step::BecomeDue { at }) => Ok(Self::Waiting { attempts, next_at: at }),
            (Self::New | Self::Behind, Step::BecomeDue { at })
            | (
                Self::Behind | Self::Waiting { .. } | Self::Delivered { .. } | Self::Parked { .. },
                Step::Revive { at },
            ) => Ok(Self::Waiting { attempts: 0, next_at: at }),
            (Self::New, Step::Revive { .. })
            | (Self::Behind, Step::Answered(_) | Step::FallBehind)
            | (Self::Waiting { .. }, Step::FallBehind)
            | (
                Self::Delivered { .. } | Self::Parked { .. },
                Step::Answered(_) | Step::FallBehind | Step::BecomeDue { .. },
            ) => Err(WrongStep { standing: self, step }),
        }
    }
}

/// Where a delivery stands after one more attempt.
fn after(attempts_before: u32, outcome: Outcome) -> Standing {
    let attempts = attempts_before + 1;
    let again = match outcome.answer {
        Answer::Delivered => return Standing::Delivered { attempts },
        Answer::Refused if attempts >= TRIES_OF_A_REFUSED => {
            return Standing::Parked { attempts, why: ParkedFor::Refused };
        }
        Answer::Refused | Answer::Gone | Answer::Failed => pause(attempts, outcome.jitter),
    };
    match again {
        None => Standing::Parked { attempts, why: ParkedFor::Exhausted },
        Some(pause) => {
            Standing::Waiting { attempts, next_at: outcome.at + pause.max(outcome.retry_after.unwrap_or_default()) }
        }
    }
}

/// The pause after so many tries; `None` when none is left.
fn pause(attempts: u32, jitter: f64) -> Option<Duration> {
    let pause = SCHEDULE.get(usize::try_from(attempts).unwrap_or(usize::MAX))?;
    Some(pause.mul_f64(1.0 - JITTER_SHARE + 2.0 * JITTER_SHARE * jitter.clamp(0.0, 1.0)))
}

/// Why an endpoint gets nothing any more, until a person says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisabledFor {
    /// It answered 410.
    Gone,
    /// It did nothing but fail for five days.
    Failing,
}

impl DisabledFor {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Gone, Self::Failing];

    /// The name in the store, in events and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.name() == name)
    }

    /// For a person to read.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Gone => "it answered 410 Gone",
            Self::Failing => "it has done nothing but fail for five days",
        }
    }
}

/// What is known of an endpoint's health: since when it has done nothing but fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// The first failure after the last success.
    pub failing_since: Option<UtcMicros>,
}

impl Health {
    /// After one more attempt; says why the endpoint is to be disabled, if it is.
    #[must_use]
    pub fn after(self, answer: Answer, at: UtcMicros) -> (Self, Option<DisabledFor>) {
        match answer {
            Answer::Delivered => (Self { failing_since: None }, None),
            Answer::Gone => (Self { failing_since: Some(self.failing_since.unwrap_or(at)) }, Some(DisabledFor::Gone)),
            Answer::Refused | Answer::Failed => {
                let since = self.failing_since.unwrap_or(at);
                let disabled = (at.since(since) >= FAILING_LIMIT).then_some(DisabledFor::Failing);
                (Self { failing_since: Some(since) }, disabled)
            }
        }
    }
}

#[cfg(test)]
mod tests;
