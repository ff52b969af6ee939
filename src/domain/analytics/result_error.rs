//! Errors in the result of a query: what is wrong, where, and what to do.

use std::sync::Arc;

use thiserror::Error;

use crate::domain::wording::named_enum;

/// The error for an inconsistent result. Nothing of the result is kept.
#[derive(Error, Clone, PartialEq, Eq, Debug)]
#[error("the answer to the query {query:?}, {location}: {problem}; {}", .kind.suggestion())]
pub struct ResultError {
    /// The query's name.
    pub query: Arc<str>,
    /// The location in the result, as in `rows 500 to 999, results[3].metrics[0].value`.
    pub location: String,
    /// The kind of error.
    pub kind: ResultErrorKind,
    /// The problem.
    pub problem: String,
}

named_enum! {
    /// The kinds of inconsistency in a result.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum ResultErrorKind {
        /// Rows between two pages are missing, or a page begins after the requested position.
        Gap = "gap",
        /// A row came twice, or a page begins before the requested position.
        Duplicate = "repeat",
        /// The number of rows differs from the promised one, or the promised number changed.
        CountMismatch = "count",
        /// A row does not belong to the query: it is outside its span, not at a bucket's start, or has other dimensions.
        ForeignRow = "foreign",
        /// There are more rows than the limit.
        TooMany = "too_many",
        /// A field has an invalid value.
        Unreadable = "unreadable",
        /// The parts do not tile the requested span.
        NotContiguous = "torn",
    }
}

impl ResultErrorKind {
    const fn suggestion(self) -> &'static str {
        match self {
            Self::Gap | Self::Duplicate | Self::CountMismatch => {
                "nothing of it is kept; run the query again, and with another page size if the platform pages wrongly each time"
            }
            Self::ForeignRow => {
                "nothing of it is kept; compare the query's zone, bucket and filter with what the platform offers"
            }
            Self::TooMany => "nothing of it is kept; ask for a shorter span, a longer bucket or fewer dimensions",
            Self::Unreadable => "nothing of it is kept; the platform's answer is not as guide 002 has it",
            Self::NotContiguous => "nothing of it is kept; run the query again",
        }
    }
}
