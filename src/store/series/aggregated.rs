//! Results of analytics queries as series. Of each bucket counts what the newest run brought that asked for it; a run is read only where no
//! newer one has asked, so that nothing is read twice however much runs overlap.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::{SeriesError, SeriesValues};
use crate::domain::adherence::course::Span;
use crate::domain::analytics::QuerySpan;
use crate::domain::analytics::analytics_run::{AnalyticsRun, RunRequest};
use crate::domain::analytics::series::Bucket;
use crate::domain::analytics::series::aggregated::{Aggregated, Pick, Results};
use crate::domain::analytics::trend::Sample;
use crate::domain::ids::TenantId;
use crate::domain::time::UtcMicros;
use crate::store::error::ReadError;
use crate::store::reader::Reader;
use crate::store::tables::analytics::ROWS_PAGE_LIMIT;

/// Rows at the end of a result in which its groups are looked for.
const ROWS_OF_GROUPS: u32 = 500;

/// A value of each bucket, as far as one is known.
type Values = BTreeMap<UtcMicros, Option<f64>>;

impl Reader {
    /// The values of a metric from one instant up to another. A bucket that had not ended when its run was asked for does not count; one
    /// that a run asked for and has no row of is a gap.
    pub(super) async fn aggregated(
        &self,
        tenant: &TenantId,
        of: &Aggregated,
        span: Span,
        zone: &TimeZone,
    ) -> Result<SeriesValues, SeriesError> {
        let runs = match &of.of {
            Results::Query(query) => self.stored_analytics_runs(tenant, Some(query), u32::MAX).await?,
            Results::Run(id) => {
                let run = self.analytics_run(tenant, *id).await?;
                run.into_iter().filter(|run| run.result.as_ref().is_some_and(|result| result.there)).collect()
            }
        };
        let Some(newest) = runs.first() else {
            return match &of.of {
                Results::Query(_) => Ok(SeriesValues { bucket: Bucket::Day, zone: zone.clone(), samples: Vec::new() }),
                Results::Run(id) => Err(SeriesError::Unfit(format!(
                    "there are no rows of an analytics run {id}: it came to nothing, goes on, or they were let go"
                ))),
            };
        };
        let unfit = |why| SeriesError::Unfit(format!("{of} is not in the newest result: {why}"));
        let pick = of.pick(&newest.request.metrics, &newest.request.dimensions).map_err(unfit)?;
        let query =
            newest.request.query().ok_or_else(|| unfit(format!("its zone {} is not known", newest.request.zone)))?;
        let mut missing = vec![QuerySpan { from: span.0, to: span.1 }];
        let mut values = Values::new();
        for run in runs.iter().filter(|run| is_alike(&run.request, &newest.request)) {
            let Ok(own) = of.pick(&run.request.metrics, &run.request.dimensions) else { continue };
            if !own.is_like(&pick) {
                continue;
            }
            let ended = query.bucket.floor(run.asked_at, &query.zone);
            let known = QuerySpan { from: run.request.from, to: run.request.to.min(ended) };
            for part in take_out(&mut missing, known) {
                self.read_part(run, part, &own, &mut values).await?;
            }
        }
        let next = |at: &UtcMicros| Some(query.bucket.next(*at, &query.zone));
        let last = values.last_key_value().map(|(last, _)| *last);
        let starts = std::iter::successors(values.first_key_value().map(|(first, _)| *first), next);
        let sample = |at: UtcMicros| Sample { at, value: values.get(&at).copied().flatten() };
        let samples = starts.take_while(|at| last.is_some_and(|last| *at <= last)).map(sample).collect();
        Ok(SeriesValues { bucket: query.bucket.into(), zone: query.zone, samples })
    }

    /// Takes in the rows of a run whose buckets begin in a part of its span.
    async fn read_part(
        &self,
        run: &AnalyticsRun,
        part: QuerySpan,
        pick: &Pick,
        values: &mut Values,
    ) -> Result<(), ReadError> {
        let mut place = self.first_place(run, part.from).await?;
        loop {
            let rows = self.result_rows(&run.tenant, run.id, place, ROWS_PAGE_LIMIT).await?;
            for row in &rows {
                if row.at >= part.to {
                    return Ok(());
                }
                pick.take(values, row);
            }
            let read = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            if read < ROWS_PAGE_LIMIT {
                return Ok(());
            }
            place += u64::from(read);
        }
    }

    /// The place of the first row of a bucket that begins at an instant or later. Rows are in the order of time, so that a few looks find it.
    async fn first_place(&self, run: &AnalyticsRun, at: UtcMicros) -> Result<u64, ReadError> {
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

    /// The groups in the last rows of a result (the values of its dimensions, in the query's order), in order, as many as `most`.
    pub async fn last_groups(&self, run: &AnalyticsRun, most: usize) -> Result<Vec<Vec<Option<Arc<str>>>>, ReadError> {
        let received = run.result.as_ref().map_or(0, |result| result.received);
        let from = received.saturating_sub(u64::from(ROWS_OF_GROUPS));
        let rows = self.result_rows(&run.tenant, run.id, from, ROWS_OF_GROUPS).await?;
        let mut groups: Vec<_> = rows.into_iter().map(|row| row.dimensions).collect();
        groups.sort();
        groups.dedup();
        groups.truncate(most);
        Ok(groups)
    }
}

/// Whether a run asked the same as the newest, of whatever span.
fn is_alike(request: &RunRequest, newest: &RunRequest) -> bool {
    request.bucket == newest.bucket
        && request.zone == newest.zone
        && request.filter == newest.filter
        && request.dimensions == newest.dimensions
}

/// Takes what is known out of what is missing; gives what of it was missing.
fn take_out(missing: &mut Vec<QuerySpan>, known: QuerySpan) -> Vec<QuerySpan> {
    let (mut found, mut left) = (Vec::new(), Vec::new());
    for gap in missing.drain(..) {
        let part = QuerySpan { from: gap.from.max(known.from), to: gap.to.min(known.to) };
        if part.from >= part.to {
            left.push(gap);
            continue;
        }
        let rest = [QuerySpan { from: gap.from, to: part.from }, QuerySpan { from: part.to, to: gap.to }];
        left.extend(rest.into_iter().filter(|rest| rest.from < rest.to));
        found.push(part);
    }
    *missing = left;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_run_asked_for_is_not_read_of_an_older_one() {
        let span = |from, to| QuerySpan { from: UtcMicros::from_micros(from), to: UtcMicros::from_micros(to) };
        let mut missing = vec![span(0, 100)];
        assert_eq!(take_out(&mut missing, span(40, 60)), [span(40, 60)]);
        assert_eq!(missing, [span(0, 40), span(60, 100)]);
        assert_eq!(take_out(&mut missing, span(30, 70)), [span(30, 40), span(60, 70)]);
        assert_eq!(take_out(&mut missing, span(35, 65)), []);
        assert_eq!(take_out(&mut missing, span(90, 80)), [], "it asked for what had not ended");
        assert_eq!(take_out(&mut missing, span(-50, 500)), [span(0, 30), span(70, 100)]);
        assert_eq!(missing, []);
    }
}
