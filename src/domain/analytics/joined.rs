//! The parts of a query's result put together again, in an order that does not depend on how they came.

use std::sync::Arc;

use super::row::digest_of;
use super::{AggregationQuery, MOST_ROWS, QuerySpan, ResultFault, ResultFaultKind, ResultRow};
use crate::domain::audit::Hash;
use crate::domain::live::figures::PPM;

/// One part, read whole.
#[derive(Clone, PartialEq, Debug)]
pub struct PartResult {
    /// The part of the query's span.
    pub span: QuerySpan,
    /// Its rows, as they came.
    pub rows: Vec<ResultRow>,
    /// How many rows the platform had promised; where it did, so many came.
    pub promised: Option<u64>,
}

/// A result, whole.
#[derive(Clone, PartialEq, Debug)]
pub struct QueryResult {
    /// The span that was asked for.
    pub span: QuerySpan,
    /// In the order of [`ResultRow::order`].
    pub rows: Vec<ResultRow>,
    /// How many rows the platform had promised; none where it promised nothing for some part.
    pub promised: Option<u64>,
}

/// Puts parts together, in whichever order they are. They must tile the span, and no row may come in two of them.
pub fn join(query: &AggregationQuery, span: QuerySpan, mut parts: Vec<PartResult>) -> Result<QueryResult, ResultFault> {
    let fault = |kind, place: String, what: String| ResultFault { query: Arc::clone(&query.name), place, kind, what };
    parts.sort_by_key(|part| part.span.from);
    let mut reached = span.from;
    for part in &parts {
        if part.span.from != reached || part.span.to <= part.span.from {
            let what = format!("the part does not begin at {reached}, where the one before it ends");
            return Err(fault(ResultFaultKind::Torn, part.span.to_string(), what));
        }
        reached = part.span.to;
    }
    if reached != span.to {
        let what = format!("the parts end at {reached}");
        return Err(fault(ResultFaultKind::Torn, span.to_string(), what));
    }
    for part in &parts {
        if let Some(row) = part.rows.iter().find(|row| !part.span.contains(row.at)) {
            let what = format!("a row of {} is not within its part", row.at);
            return Err(fault(ResultFaultKind::Foreign, part.span.to_string(), what));
        }
    }
    let promised = parts.iter().map(|part| part.promised).sum();
    let mut rows: Vec<ResultRow> = parts.into_iter().flat_map(|part| part.rows).collect();
    if rows.len() > MOST_ROWS {
        let what = format!("{} rows came, and {MOST_ROWS} fit", rows.len());
        return Err(fault(ResultFaultKind::TooMany, span.to_string(), what));
    }
    rows.sort_by(ResultRow::order);
    if let Some([row, _]) = rows.array_windows().find(|[row, next]| row.order(next).is_eq()) {
        let what = format!("the row {} came twice", row.canonical());
        return Err(fault(ResultFaultKind::Repeat, span.to_string(), what));
    }
    Ok(QueryResult { span, rows, promised })
}

impl QueryResult {
    /// How many rows came.
    pub fn received(&self) -> u64 {
        u64::try_from(self.rows.len()).unwrap_or(u64::MAX)
    }

    /// The canonical SHA-256, see [`digest_of`]: the same for every paging and order of the same rows.
    pub fn digest(&self, query: &AggregationQuery) -> Hash {
        digest_of(&query.question(self.span), self.rows.iter().map(ResultRow::canonical))
    }

    /// Rows received ÷ rows promised, in parts per million; none where no count was promised. (Guide 002 calls it accuracy, and has
    /// it always at 1.)
    pub fn completeness_ppm(&self) -> Option<u64> {
        completeness_ppm(self.received(), self.promised)
    }
}

/// Rows received ÷ rows promised, in parts per million, also of a result that is not whole; all of nothing is all.
pub fn completeness_ppm(received: u64, promised: Option<u64>) -> Option<u64> {
    match promised? {
        0 => Some(PPM),
        promised => u64::try_from(u128::from(received) * u128::from(PPM) / u128::from(promised)).ok(),
    }
}
