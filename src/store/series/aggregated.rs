//! Results of analytics queries as series. Each bucket takes its value from the newest run that requested it; a run is
//! read only where no newer one did, so that overlapping runs are not read twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{SeriesError, SeriesValues};
use crate::domain::adherence::timeline::Span;
use crate::domain::analytics::QuerySpan;
use crate::domain::analytics::analytics_run::{AnalyticsRun, RunRequest};
use crate::domain::analytics::series::SeriesBucket;
use crate::domain::analytics::series::aggregated::{AggregatedMetric, ResultSource, RowSelector};
use crate::domain::analytics::trend::Sample;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::error::ReadError;
use crate::store::reader::Reader;
use crate::store::tables::analytics::ROWS_PAGE_LIMIT;

/// The number of rows at the end of a result that are searched for its groups.
const GROUP_SCAN_ROWS: u32 = 500;

/// The values by the start of their bucket, if known.
type Values = BTreeMap<UtcMicros, Option<f64>>;

impl Reader {
    /// Returns the values of a metric in a period. A bucket that had not ended when its run was requested does not
    /// count; one that a run requested without returning a row is a gap.
    pub(super) async fn aggregation_values(
        &self,
        tenant: &TenantId,
        aggregated: &AggregatedMetric,
        span: Span,
        zone: &TimeZone,
    ) -> Result<SeriesValues, SeriesError> {
        let runs = match &aggregated.source {
            ResultSource::Query(query) => self.stored_analytics_runs(tenant, Some(query), u32::MAX).await?,
            ResultSource::Run(id) => {
                let run = self.analytics_run(tenant, *id).await?;
                run.into_iter().filter(|run| run.result.as_ref().is_some_and(|result| result.has_rows)).collect()
            }
        };
        let Some(newest) = runs.first() else {
            return match &aggregated.source {
                ResultSource::Query(_) => {
                    Ok(SeriesValues { bucket: SeriesBucket::Day, zone: zone.clone(), samples: Vec::new() })
                }
                ResultSource::Run(id) => Err(SeriesError::Unavailable(format!(
                    "analytics run {id} has no rows: it failed, has not ended, or retention has deleted them"
                ))),
            };
        };
        let unavailable =
            |reason| SeriesError::Unavailable(format!("{aggregated} is not in the newest result: {reason}"));
        let pick = aggregated.row_selector(&newest.request.metrics, &newest.request.dimensions).map_err(unavailable)?;
        let query = newest
            .request
            .query()
            .ok_or_else(|| unavailable(format!("its zone {} is not known", newest.request.zone)))?;
        let mut missing = vec![QuerySpan { from: span.0, to: span.1 }];
        let mut values = Values::new();
        for run in runs.iter().filter(|run| is_same_query(&run.request, &newest.request)) {
            let Ok(run_pick) = aggregated.row_selector(&run.request.metrics, &run.request.dimensions) else { continue };
            if !run_pick.combines_like(&pick) {
                continue;
            }
            let ended = query.bucket.floor(run.requested_at, &query.zone);
            let known = QuerySpan { from: run.request.from, to: run.request.to.min(ended) };
            for part in subtract_known(&mut missing, known) {
                self.read_part(run, part, &run_pick, &mut values).await?;
            }
        }
        let next = |at: &UtcMicros| Some(query.bucket.next_start(*at, &query.zone));
        let last = values.last_key_value().map(|(last, _)| *last);
        let starts = std::iter::successors(values.first_key_value().map(|(first, _)| *first), next);
        let sample = |at: UtcMicros| Sample { at, value: values.get(&at).copied().flatten() };
        let samples = starts.take_while(|at| last.is_some_and(|last| *at <= last)).map(sample).collect();
        Ok(SeriesValues { bucket: query.bucket.into(), zone: query.zone, samples })
    }

    /// Reads the rows of a run whose buckets begin in a part of its period.
    async fn read_part(
        &self,
        run: &AnalyticsRun,
        part: QuerySpan,
        pick: &RowSelector,
        values: &mut Values,
    ) -> Result<(), ReadError> {
        let mut index = self.first_row_index(run, part.from).await?;
        loop {
            let rows = self.result_rows(&run.tenant, run.id, index, ROWS_PAGE_LIMIT).await?;
            for row in &rows {
                if row.at >= part.to {
                    return Ok(());
                }
                pick.add_row(values, row);
            }
            let read = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            if read < ROWS_PAGE_LIMIT {
                return Ok(());
            }
            index += u64::from(read);
        }
    }

    /// Returns the index of the first row whose bucket begins at or after a given time. Rows are ordered by time, so a
    /// binary search finds it.
    async fn first_row_index(&self, run: &AnalyticsRun, at: UtcMicros) -> Result<u64, ReadError> {
        let (mut low, mut high) = (0, run.result.as_ref().map_or(0, |result| result.received));
        while at > run.request.from && low < high {
            let middle = low + (high - low) / 2;
            let row = self.result_rows(&run.tenant, run.id, middle, 1).await?.pop();
            if row.is_some_and(|row| row.at < at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Returns at most `limit` groups from the last rows of a result: the values of its dimensions, in the query's
    /// order.
    pub async fn last_groups(&self, run: &AnalyticsRun, limit: usize) -> Result<Vec<Vec<Option<Arc<str>>>>, ReadError> {
        let received = run.result.as_ref().map_or(0, |result| result.received);
        let from = received.saturating_sub(u64::from(GROUP_SCAN_ROWS));
        let rows = self.result_rows(&run.tenant, run.id, from, GROUP_SCAN_ROWS).await?;
        let mut groups: Vec<_> = rows.into_iter().map(|row| row.dimensions).collect();
        groups.sort();
        groups.dedup();
        groups.truncate(limit);
        Ok(groups)
    }
}

/// Returns whether a run made the same request as the newest one, for any period.
fn is_same_query(request: &RunRequest, newest: &RunRequest) -> bool {
    request.bucket == newest.bucket
        && request.zone == newest.zone
        && request.filter == newest.filter
        && request.dimensions == newest.dimensions
}

/// Removes the known period from the missing ones and returns the removed parts.
fn subtract_known(missing: &mut Vec<QuerySpan>, known: QuerySpan) -> Vec<QuerySpan> {
    let (mut covered, mut remaining) = (Vec::new(), Vec::new());
    for gap in missing.drain(..) {
        let part = QuerySpan { from: gap.from.max(known.from), to: gap.to.min(known.to) };
        if part.from >= part.to {
            remaining.push(gap);
            continue;
        }
        let rest = [QuerySpan { from: gap.from, to: part.from }, QuerySpan { from: part.to, to: gap.to }];
        remaining.extend(rest.into_iter().filter(|rest| rest.from < rest.to));
        covered.push(part);
    }
    *missing = remaining;
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_run_asked_for_is_not_read_of_an_older_one() {
        let span = |from, to| QuerySpan { from: UtcMicros::from_micros(from), to: UtcMicros::from_micros(to) };
        let mut missing = vec![span(0, 100)];
        assert_eq!(subtract_known(&mut missing, span(40, 60)), [span(40, 60)]);
        assert_eq!(missing, [span(0, 40), span(60, 100)]);
        assert_eq!(subtract_known(&mut missing, span(30, 70)), [span(30, 40), span(60, 70)]);
        assert_eq!(subtract_known(&mut missing, span(35, 65)), []);
        assert_eq!(subtract_known(&mut missing, span(90, 80)), [], "it asked for what had not ended");
        assert_eq!(subtract_known(&mut missing, span(-50, 500)), [span(0, 30), span(70, 100)]);
        assert_eq!(missing, []);
    }
}
