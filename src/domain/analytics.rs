//! Aggregation queries (guide 002): what may be asked, in which parts, what the answer's pages must hold together as, and the
//! result's canonical form and hash.
//!
//! Pure. Who asks, how often and what becomes of the result is the engine's; how a question and a page look on the wire is the
//! adapter's. Nothing here mends an answer: what does not hold together is a fault that says where.

pub mod analytics_run;
pub mod anomaly;
mod bucket;
mod fault;
mod joined;
mod query;
mod reading;
mod row;
pub mod series;
#[cfg(test)]
mod tests;
pub mod trend;

use std::time::Duration;

pub use bucket::Bucket;
pub use fault::{ResultFault, ResultFaultKind};
pub use joined::{PartResult, QueryResult, completeness_ppm, join};
pub use query::{Aggregation, AggregationQuery, EqualsFilter, MetricAsk, QueryFault, QuerySpan};
pub use reading::{PartReader, Reading};
pub use row::{ResultPage, ResultRow, digest_of};

/// The most metrics of one query (source: guide 002).
pub const MOST_METRICS: usize = 10;

/// The most dimensions of one query (source: guide 002).
pub const MOST_DIMENSIONS: usize = 5;

/// The longest span that one query may have on the platform (source: guide 002: 365 days). A longer one is split.
pub const LONGEST_PART: Duration = Duration::from_secs(365 * 86_400);

/// The most queries that a tenant may have running at once (source: guide 002).
pub const MOST_AT_ONCE: usize = 5;

/// The most parts that a span is split into: twenty years.
pub const MOST_PARTS: usize = 20;

/// Rows of a page where nothing else is said (source: guide 002).
pub const PAGE_ROWS: u32 = 500;

/// The most rows of a page (source: guide 002, whose examples ask for 500 and for 1000).
pub const MOST_PAGE_ROWS: u32 = 1_000;

/// The most rows of one result, all parts together; they are held in memory until they are known to be whole.
pub const MOST_ROWS: usize = 100_000;
