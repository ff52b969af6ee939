//! What is wrong with the answer to a query, where, and what to do about it.

use std::sync::Arc;

use thiserror::Error;

/// An answer that does not hold together. Nothing of it is kept.
#[derive(Error, Clone, PartialEq, Eq, Debug)]
#[error("the answer to the query {query:?}, {place}: {what}; {}", .kind.way_out())]
pub struct ResultFault {
    /// The query's name.
    pub query: Arc<str>,
    /// Where in the answer, as in `rows 500 to 999, results[3].metrics[0].value`.
    pub place: String,
    /// Of which kind.
    pub kind: ResultFaultKind,
    /// What is wrong there.
    pub what: String,
}

/// In which way an answer does not hold together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResultFaultKind {
    /// Rows between two pages were not sent, or a page begins after where it was asked to.
    Gap,
    /// A row came twice, or a page begins before where it was asked to.
    Repeat,
    /// Fewer or more rows came than were promised, or the promise changed.
    Count,
    /// A row that is not of this query: outside its span, off its buckets, of other dimensions.
    Foreign,
    /// More than fits.
    TooMany,
    /// A field that is not what it must be.
    Unreadable,
    /// Parts that do not tile the span which was asked for.
    Torn,
}

impl ResultFaultKind {
    /// Its short stable name, for the store, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Repeat => "repeat",
            Self::Count => "count",
            Self::Foreign => "foreign",
            Self::TooMany => "too_many",
            Self::Unreadable => "unreadable",
            Self::Torn => "torn",
        }
    }

    const fn way_out(self) -> &'static str {
        match self {
            Self::Gap | Self::Repeat | Self::Count => {
                "nothing of it is kept; run the query again, and with another page size if the platform pages wrongly each time"
            }
            Self::Foreign => {
                "nothing of it is kept; compare the query's zone, bucket and filter with what the platform offers"
            }
            Self::TooMany => "nothing of it is kept; ask for a shorter span, a longer bucket or fewer dimensions",
            Self::Unreadable => "nothing of it is kept; the platform's answer is not as guide 002 has it",
            Self::Torn => "nothing of it is kept; run the query again",
        }
    }
}
