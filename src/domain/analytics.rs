//! Aggregation queries (guide 002): validation, splitting into parts, consistency checks of the result pages, and the
//! canonical form and hash of the result.
//!
//! This module is pure. The engine decides who may query, how often, and what happens to a result; the adapter knows
//! the wire format. An inconsistent result is never repaired: it is an error that names the location.

pub mod analytics_run;
pub mod anomaly;
mod bucket;
mod part_reader;
mod query;
mod query_result;
mod result_error;
mod row;
pub mod series;
#[cfg(test)]
mod tests;
pub mod trend;

use std::time::Duration;

pub use bucket::QueryBucket;
pub use part_reader::{PartReader, ReadProgress};
pub use query::{Aggregation, AggregationQuery, EqualsFilter, MetricRequest, QueryError, QuerySpan};
pub use query_result::{PartResult, QueryResult, completeness_ppm, join_parts};
pub use result_error::{ResultError, ResultErrorKind};
pub use row::{ResultPage, ResultRow, result_digest};

/// The largest number of metrics in one query (source: guide 002).
pub const MAX_METRICS: usize = 10;

/// The largest number of dimensions in one query (source: guide 002).
pub const MAX_DIMENSIONS: usize = 5;

/// The longest span of one query on the platform (source: guide 002: 365 days). A longer span is split.
pub const MAX_PART_DURATION: Duration = Duration::from_secs(365 * 86_400);

/// The largest number of queries that a tenant may have running at once (source: guide 002).
pub const MAX_RUNNING_QUERIES: usize = 5;

/// The largest number of parts that a span is split into: twenty years.
pub const MAX_PARTS: usize = 20;

/// The default number of rows in a page (source: guide 002).
pub const DEFAULT_PAGE_ROWS: u32 = 500;

/// The largest number of rows in a page (source: guide 002, whose examples use 500 and 1000).
pub const MAX_PAGE_ROWS: u32 = 1_000;

/// The largest number of rows in one result, over all parts. They are held in memory until the result is complete.
pub const MAX_RESULT_ROWS: usize = 100_000;
