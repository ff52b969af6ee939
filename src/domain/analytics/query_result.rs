//! Joins the parts of a query's result, in an order that does not depend on how they arrived.

use std::sync::Arc;

use super::row::result_digest;
use super::{AggregationQuery, MAX_RESULT_ROWS, QuerySpan, ResultError, ResultErrorKind, ResultRow};
use crate::domain::audit::Hash;
use crate::domain::live::figures::PPM;

/// One part that was read completely.
#[derive(Clone, PartialEq, Debug)]
pub struct PartResult {
    /// The part of the query's span.
    pub span: QuerySpan,
    /// The rows, in the order received.
    pub rows: Vec<ResultRow>,
    /// The number of rows promised by the platform, equal to the number received.
    pub promised: Option<u64>,
}

/// A complete result.
#[derive(Clone, PartialEq, Debug)]
pub struct QueryResult {
    /// The span that was requested.
    pub span: QuerySpan,
    /// The rows, in the order of [`ResultRow::compare`].
    pub rows: Vec<ResultRow>,
    /// The number of rows promised by the platform; `None` if it gave no count for some part.
    pub promised: Option<u64>,
}

/// Joins parts given in any order. They must tile the span, and no row may occur in two of them.
pub fn join_parts(
    query: &AggregationQuery,
    span: QuerySpan,
    mut parts: Vec<PartResult>,
) -> Result<QueryResult, ResultError> {
    let error = |kind, location: String, problem: String| ResultError {
        query: Arc::clone(&query.name),
        location,
        kind,
        problem,
    };
    parts.sort_by_key(|part| part.span.from);
    let mut covered_to = span.from;
    for part in &parts {
        if part.span.from != covered_to || part.span.to <= part.span.from {
            let problem = format!("the part does not begin at {covered_to}, where the one before it ends");
            return Err(error(ResultErrorKind::NotContiguous, part.span.to_string(), problem));
        }
        covered_to = part.span.to;
    }
    if covered_to != span.to {
        let problem = format!("the parts end at {covered_to}");
        return Err(error(ResultErrorKind::NotContiguous, span.to_string(), problem));
    }
    for part in &parts {
        if let Some(row) = part.rows.iter().find(|row| !part.span.contains(row.at)) {
            let problem = format!("a row of {} is not within its part", row.at);
            return Err(error(ResultErrorKind::ForeignRow, part.span.to_string(), problem));
        }
    }
    let promised = parts.iter().map(|part| part.promised).sum();
    let mut rows: Vec<ResultRow> = parts.into_iter().flat_map(|part| part.rows).collect();
    if rows.len() > MAX_RESULT_ROWS {
        let problem = format!("{} rows came, and {MAX_RESULT_ROWS} fit", rows.len());
        return Err(error(ResultErrorKind::TooMany, span.to_string(), problem));
    }
    rows.sort_by(ResultRow::compare);
    if let Some([row, _]) = rows.array_windows().find(|[row, next]| row.compare(next).is_eq()) {
        let problem = format!("the row {} came twice", row.to_canonical());
        return Err(error(ResultErrorKind::Duplicate, span.to_string(), problem));
    }
    Ok(QueryResult { span, rows, promised })
}

impl QueryResult {
    /// Returns the number of rows received.
    pub fn received(&self) -> u64 {
        u64::try_from(self.rows.len()).unwrap_or(u64::MAX)
    }

    /// Returns the canonical SHA-256, see [`result_digest`]: the same for any paging and order of the same rows.
    pub fn digest(&self, query: &AggregationQuery) -> Hash {
        result_digest(&query.canonical_request(self.span), self.rows.iter().map(ResultRow::to_canonical))
    }

    /// Returns rows received ÷ rows promised, in parts per million; `None` if no count was promised. (Guide 002 calls
    /// this accuracy, and it is always 1 there.)
    pub fn completeness_ppm(&self) -> Option<u64> {
        completeness_ppm(self.received(), self.promised)
    }
}

/// Returns rows received ÷ rows promised, in parts per million, also for an incomplete result. Zero of zero is
/// complete.
pub fn completeness_ppm(received: u64, promised: Option<u64>) -> Option<u64> {
    match promised? {
        0 => Some(PPM),
        promised => u64::try_from(u128::from(received) * u128::from(PPM) / u128::from(promised)).ok(),
    }
}
