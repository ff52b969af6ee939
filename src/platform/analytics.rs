//! Aggregation queries on a platform: their status, and what may be done after a failed call.
//!
//! The engine decides about waits, deadlines and numbers of attempts. The domain checks that pages are consistent
//! ([`crate::domain::analytics::PartReader`]).

use crate::domain::analytics::{AggregationQuery, ResultPage};
use crate::domain::ids::PlatformQueryId;

use super::error::Failure;

/// A request for one page of a query's result.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// The submitted query, which tells the fields of the answer.
    pub query: &'a AggregationQuery,
    /// The platform's id of the query.
    pub id: &'a PlatformQueryId,
    /// The index of the first row to return.
    pub offset: u64,
    /// The maximum number of rows to return.
    pub limit: u32,
}

/// The status of a query. A query that the platform does not know (any more) is [`Failure::NotFound`] instead.
#[derive(Clone, PartialEq, Debug)]
pub enum QueryState {
    /// The query waits for its turn.
    Pending,
    /// The query is running.
    Running,
    /// The platform could not answer the query.
    Failed {
        /// The platform's reason, shortened for errors.
        reason: String,
    },
    /// The query is done, and this is a page of its rows.
    Page(ResultPage),
}

/// What may be done after a failed call of a query. The caller limits attempts and time; [`Failure::retry_after`] is
/// the wait that the platform asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryDecision {
    /// Repeating does not help, and a person must look.
    Never,
    /// Repeat the call after a wait.
    Retry,
    /// Repeat the call after a wait, but count this one as running, since the platform may have accepted it.
    RetryUnanswered,
    /// Submit the query again: the platform has forgotten it.
    Restart,
}

/// Returns what may be done after a query could not be submitted.
///
/// A query changes nothing on the platform, so it may be submitted again after a lost answer. The platform's own errors
/// (500, 503) mean that it did not accept the query, whereas a 502 or 504 comes from an intermediary.
pub const fn after_submit(failure: &Failure) -> RetryDecision {
    match failure {
        Failure::Server { status: 502 | 504, .. }
        | Failure::Timeout
        | Failure::ConnectionBroken { .. }
        | Failure::Malformed { .. }
        | Failure::TooLarge { .. } => RetryDecision::RetryUnanswered,
        Failure::NotSent { .. }
        | Failure::Throttled { .. }
        | Failure::Unauthorized
        | Failure::TokenUnavailable { .. }
        | Failure::CircuitOpen { .. }
        | Failure::Server { .. } => RetryDecision::Retry,
        Failure::TokenRefused { .. }
        | Failure::Forbidden { .. }
        | Failure::NotFound
        | Failure::Conflict { .. }
        | Failure::Rejected { .. }
        | Failure::DryRun
        | Failure::Unsupported { .. } => RetryDecision::Never,
    }
}

/// Returns what may be done after a page could not be read.
pub const fn after_page(failure: &Failure) -> RetryDecision {
    match failure {
        Failure::NotFound => RetryDecision::Restart,
        Failure::TooLarge { .. } => RetryDecision::Never,
        other => match after_submit(other) {
            RetryDecision::RetryUnanswered => RetryDecision::Retry,
            again => again,
        },
    }
}
