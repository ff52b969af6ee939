//! Aggregation queries as a platform is asked them: how a query stands, and what may be done after a call that failed.
//!
//! Waiting, deadlines and how often is the engine's business; whether pages hold together is the domain's
//! ([`crate::domain::analytics::PartReader`]).

use crate::domain::analytics::{AggregationQuery, ResultPage};
use crate::domain::ids::QueryId;

use super::error::Failure;

/// Which page of which query is wanted.
#[derive(Clone, Copy, Debug)]
pub struct PageAsk<'a> {
    /// The query that was submitted; the answer's fields are found by it.
    pub query: &'a AggregationQuery,
    /// The platform's id of it.
    pub id: &'a QueryId,
    /// The place of the first row that is wanted.
    pub offset: u64,
    /// The most rows that are wanted.
    pub limit: u32,
}

/// How a query stands. One that the platform does not know (any more) is none of these, but [`Failure::NotFound`].
#[derive(Clone, PartialEq, Debug)]
pub enum QueryState {
    /// It waits for its turn.
    Pending,
    /// It is worked at.
    Running,
    /// The platform could not answer it.
    Failed {
        /// Why, in the platform's words, cut to what an error shows.
        why: String,
    },
    /// It is done, and these are some of its rows.
    Page(ResultPage),
}

/// What may be done after a call of a query that failed. How often and how long is the caller's; the wait that the platform asked
/// for is [`Failure::retry_after`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// Nothing: repeating does not help, and a person must look.
    No,
    /// The same call, after a wait.
    Same,
    /// The same call, after a wait; but the platform may have taken this one, so that it counts as running there.
    Unanswered,
    /// The query has to be submitted again: the platform has forgotten it.
    Anew,
}

/// After a query could not be submitted. It changes nothing on the platform, so that one whose answer was lost may be submitted again.
/// An error of the platform's own (500, 503) is its answer that it did not take the query; a 502 or 504 is somebody's on the way.
pub const fn after_submit(failure: &Failure) -> Again {
    match failure {
        Failure::Server { status: 502 | 504, .. }
        | Failure::Timeout
        | Failure::Broken { .. }
        | Failure::Nonsense { .. }
        | Failure::TooLarge { .. } => Again::Unanswered,
        Failure::NotSent { .. }
        | Failure::Throttled { .. }
        | Failure::Unauthorized
        | Failure::TokenUnavailable { .. }
        | Failure::CircuitOpen { .. }
        | Failure::Server { .. } => Again::Same,
        Failure::TokenRefused { .. }
        | Failure::Forbidden { .. }
        | Failure::NotFound
        | Failure::Conflict { .. }
        | Failure::Rejected { .. }
        | Failure::DryRun
        | Failure::Unsupported { .. } => Again::No,
    }
}

/// After a page could not be read.
pub const fn after_page(failure: &Failure) -> Again {
    match failure {
        Failure::NotFound => Again::Anew,
        Failure::TooLarge { .. } => Again::No,
        other => match after_submit(other) {
            Again::Unanswered => Again::Same,
            again => again,
        },
    }
}
