//! The parts of a query's result put together again, in an order that does not depend on how they came.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::row::digest_of;
use super::{AggregationQuery, MOST_ROWS, QuerySpan, ResultFault, ResultFaultKind, ResultRow};
use crate::domain::audit::Hash;
use crate::domain::figures::PPM;
use crate::domain::trend::Sample;

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

/// The values of one metric for one combination of dimensions.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// The value of each dimension, in the query's order.
    pub dimensions: Vec<Option<Arc<str>>>,
    /// By time. A bucket that the platform left out is not here, and one without a value is a gap.
    pub samples: Vec<Sample>,
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

    /// The values of the metric at this place of the query, one series per combination of dimensions.
    pub fn series(&self, metric: usize) -> Vec<Series> {
        let mut series: BTreeMap<&[Option<Arc<str>>], Vec<Sample>> = BTreeMap::new();
        for row in &self.rows {
            let value = row.metrics.get(metric).copied().flatten();
            series.entry(&row.dimensions).or_default().push(Sample { at: row.at, value });
        }
        series.into_iter().map(|(dimensions, samples)| Series { dimensions: dimensions.to_vec(), samples }).collect()
    }
}

/// Rows received ÷ rows promised, in parts per million, also of a result that is not whole; all of nothing is all.
pub fn completeness_ppm(received: u64, promised: Option<u64>) -> Option<u64> {
    match promised? {
        0 => Some(PPM),
        promised => u64::try_from(u128::from(received) * u128::from(PPM) / u128::from(promised)).ok(),
    }
}
