//! Runs of aggregation queries: configured queries, what one run requests, and its status.
//!
//! [`super`] defines which queries are valid and how a result must be consistent; the engine decides who may query and
//! how often.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AggregationQuery, EqualsFilter, MetricRequest, QueryBucket, QueryError, QuerySpan};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, JobId, PlatformQueryId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;

/// The largest number of queries that can be configured for a tenant.
pub const MAX_QUERIES: usize = 50;

/// The largest number of buckets in a relative date range: 27 years of days.
pub const MAX_BUCKETS: u32 = 10_000;

/// The longest deadline of a run, counted from its start.
pub const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// The shortest deadline of a run.
pub const MIN_DEADLINE: Duration = Duration::from_secs(10);

/// The default deadline of a run: 100,000 rows are 200 pages, of which ten per minute are read.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(1800);

/// The default number of buckets.
pub const DEFAULT_BUCKETS: u32 = 30;

/// A configured query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfiguredQuery {
    /// Its id.
    pub id: AnalyticsQueryId,
    /// The query.
    pub query: AggregationQuery,
    /// The date range.
    pub range: QueryRange,
    /// The deadline, counted from the start of a run; a run that takes longer has failed.
    pub deadline: Duration,
    /// The number of rows in a page.
    pub page_rows: u32,
}

impl ConfiguredQuery {
    /// Returns the id of the scheduled job that runs the query, if it has a cron expression.
    pub fn job_id(&self) -> JobId {
        JobId::new(format!("analytics:{}", self.id))
    }

    /// Returns the request of a run that is made at `now`.
    pub fn request(&self, now: UtcMicros) -> RunRequest {
        RunRequest::new(&self.query, self.range.span(&self.query, now), self.page_rows, self.deadline)
    }
}

/// The date range of a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryRange {
    /// The last completed buckets, as many as given.
    Last(u32),
    /// A fixed span, extended to whole buckets.
    Since {
        /// The first instant.
        from: UtcMicros,
        /// The first instant after it; `None` for the end of the last completed bucket.
        to: Option<UtcMicros>,
    },
}

impl QueryRange {
    /// Returns the span in whole buckets. A span that begins after its end is empty, which validation of the request
    /// reports.
    pub fn span(self, query: &AggregationQuery, now: UtcMicros) -> QuerySpan {
        match self {
            Self::Last(buckets) => query.last_buckets(buckets, now),
            Self::Since { from, to: Some(to) } => query.whole_buckets(QuerySpan { from, to }),
            Self::Since { from, to: None } => {
                QuerySpan { from: query.bucket.floor(from, &query.zone), to: query.bucket.floor(now, &query.zone) }
            }
        }
    }
}

/// The complete request of a run, which later changes of the configuration do not affect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AnalyticsRequest)]
pub struct RunRequest {
    /// The display name of the query.
    pub name: String,
    /// The metrics and how their values are aggregated.
    pub metrics: Vec<MetricRequest>,
    /// The dimensions by which values are grouped.
    pub dimensions: Vec<String>,
    /// The condition on the data; null for all data.
    pub filter: Option<EqualsFilter>,
    /// The bucket size of the values.
    pub bucket: QueryBucket,
    /// The IANA time zone that determines hours and days.
    pub zone: String,
    /// The start of the time range (inclusive).
    pub from: UtcMicros,
    /// The end of the time range (exclusive).
    pub to: UtcMicros,
    /// The number of rows per page.
    pub page_rows: u32,
    /// The longest time that the run may take from its start, in seconds.
    pub deadline_s: u64,
}

impl RunRequest {
    /// Creates a request of a query over a span.
    pub fn new(query: &AggregationQuery, span: QuerySpan, page_rows: u32, deadline: Duration) -> Self {
        Self {
            name: query.name.to_string(),
            metrics: query.metrics.clone(),
            dimensions: query.dimensions.clone(),
            filter: query.filter.clone(),
            bucket: query.bucket,
            zone: query.zone_name().to_owned(),
            from: span.from,
            to: span.to,
            page_rows,
            deadline_s: deadline.as_secs(),
        }
    }

    /// Returns the query; `None` if its time zone is no longer known.
    pub fn query(&self) -> Option<AggregationQuery> {
        Some(AggregationQuery {
            name: Arc::from(self.name.as_str()),
            metrics: self.metrics.clone(),
            dimensions: self.dimensions.clone(),
            filter: self.filter.clone(),
            bucket: self.bucket,
            zone: TimeZoneDatabase::bundled().get(&self.zone).ok()?,
        })
    }

    /// Returns the span.
    pub const fn span(&self) -> QuerySpan {
        QuerySpan { from: self.from, to: self.to }
    }

    /// Returns how long the run may take.
    pub const fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }

    /// Returns the parts into which the span is split for the platform.
    ///
    /// # Errors
    /// Returns every reason why the query is invalid. Nothing has been sent then.
    pub fn parts(&self) -> Result<Vec<QuerySpan>, Vec<QueryError>> {
        let error = |field: &str, problem: String, hint: &str| {
            vec![QueryError { field: field.to_owned(), problem, hint: hint.to_owned() }]
        };
        let Some(query) = self.query() else {
            let problem = format!("is {:?}, which is not a known time zone", self.zone);
            return Err(error("zone", problem, "name an IANA zone, as in Europe/Berlin, or leave it out"));
        };
        let errors = query.validation_errors();
        if !errors.is_empty() {
            return Err(errors);
        }
        query.parts(self.span()).map_err(|error| vec![error])
    }
}

/// The progress of a part of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AnalyticsPartState)]
pub enum PartState {
    /// The part has not been sent to the platform.
    Waiting,
    /// The part is being sent; the platform may have accepted it.
    Leaving,
    /// The platform has accepted the part and may still be working on it.
    Submitted,
    /// The platform has finished the part, successfully or not, or no longer knows it.
    Ended,
}

/// A part of a run, which is one query on the platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AnalyticsPart)]
pub struct RunPart {
    /// The start of the part's time range (inclusive).
    pub from: UtcMicros,
    /// The end of the part's time range (exclusive).
    pub to: UtcMicros,
    /// The progress of the part.
    pub state: PartState,
    /// The platform's id of the query; null if it has not been accepted.
    pub query_id: Option<PlatformQueryId>,
    /// How many times the platform accepted the part.
    pub submissions: u32,
    /// How many times the part was sent without an answer, so that the platform may have accepted it.
    #[serde(default)]
    pub unanswered: u32,
    /// The times until which abandoned queries of this part may still run on the platform. Until then, each of them
    /// counts against the limit of active queries.
    #[serde(default)]
    pub holds: Vec<UtcMicros>,
    /// The number of rows received; null until the part is complete.
    pub received: Option<u64>,
    /// The number of rows that the platform announced; null if it announced none.
    pub promised: Option<u64>,
}

impl RunPart {
    /// Creates a part that has not been submitted yet.
    pub const fn new(span: QuerySpan) -> Self {
        Self {
            from: span.from,
            to: span.to,
            state: PartState::Waiting,
            query_id: None,
            submissions: 0,
            unanswered: 0,
            holds: Vec::new(),
            received: None,
            promised: None,
        }
    }

    /// Returns the span.
    pub const fn span(&self) -> QuerySpan {
        QuerySpan { from: self.from, to: self.to }
    }

    /// Returns whether the platform may be working on it.
    const fn is_active(&self) -> bool {
        matches!(self.state, PartState::Leaving | PartState::Submitted)
    }
}

/// The result of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunResult {
    /// Whether the rows are available; otherwise they were deleted.
    pub has_rows: bool,
    /// The number of rows received.
    pub received: u64,
    /// The number of rows promised by the platform; `None` if it gave no count for some part.
    pub promised: Option<u64>,
    /// The canonical SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// The reason why a run failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunFailure {
    /// A short stable name: `platform_failed`, `forgotten`, `unanswered`, `deadline`, `call_failed`, `request`, or the
    /// name of a [`super::ResultErrorKind`].
    pub class: String,
    /// The explanation for people: the run, what happened and what to do.
    pub text: String,
}

/// One run of a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnalyticsRun {
    /// Its id.
    pub id: AnalyticsRunId,
    /// The tenant.
    pub tenant: TenantId,
    /// The configured query; `None` for an ad-hoc query.
    pub query: Option<AnalyticsQueryId>,
    /// Who requested it: `person:anna`, `job:analytics:calls`.
    pub requested_by: Arc<str>,
    /// When it was requested.
    pub requested_at: UtcMicros,
    /// The scheduled job that requested it.
    pub job: Option<JobId>,
    /// What was requested.
    pub request: RunRequest,
    /// The status.
    pub status: RunStatus,
    /// The parts, each one query on the platform.
    pub parts: Vec<RunPart>,
    /// When it was started, or started again after it had to wait for another place. The deadline counts from here,
    /// also across restarts.
    pub started_at: Option<UtcMicros>,
    /// When it ended.
    pub ended_at: Option<UtcMicros>,
    /// The result.
    pub result: Option<RunResult>,
    /// The reason why it failed.
    pub failure: Option<RunFailure>,
}

impl AnalyticsRun {
    /// Stops following the run's queries. Since a query cannot be stopped, those the platform may be working on keep
    /// their places until `until`.
    pub fn abandon_queries(&mut self, until: UtcMicros) {
        for part in self.parts.iter_mut().filter(|part| part.is_active()) {
            part.holds.push(until);
        }
    }

    /// Records that it is unknown whether the platform accepted a submitted part. The run waits for another place, and
    /// what may have been accepted keeps this place for as long as a run may take.
    pub fn record_unanswered(&mut self, part_index: usize, now: UtcMicros) {
        let until = now + self.request.deadline();
        self.status = RunStatus::Waiting;
        if let Some(part) = self.parts.get_mut(part_index) {
            part.state = PartState::Waiting;
            part.unanswered += 1;
            part.holds.push(until);
        }
    }

    /// Returns when the last place held by abandoned queries becomes free.
    pub fn last_hold_until(&self) -> Option<UtcMicros> {
        self.parts.iter().flat_map(|part| &part.holds).max().copied()
    }

    /// Returns how long the run took, or was active before it failed, on the daemon's clock and including restarts.
    pub fn duration(&self) -> Option<Duration> {
        Some(self.ended_at?.since(self.started_at?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analytics::Aggregation;

    fn query() -> AggregationQuery {
        AggregationQuery {
            name: "calls".into(),
            metrics: vec![MetricRequest { name: "duration".to_owned(), aggregation: Aggregation::Avg }],
            dimensions: vec!["channel".to_owned()],
            filter: None,
            bucket: QueryBucket::Day,
            zone: TimeZoneDatabase::bundled().get("Europe/Berlin").expect("known"),
        }
    }

    fn at(text: &str) -> UtcMicros {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_span_follows_the_clock_in_whole_local_days() {
        let now = at("2026-10-26T13:30:00Z");
        for (range, from, to) in [
            (QueryRange::Last(2), "2026-10-23T22:00:00Z", "2026-10-25T23:00:00Z"),
            (
                QueryRange::Since { from: at("2026-10-25T12:00:00Z"), to: None },
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            (
                QueryRange::Since { from: at("2026-10-01T00:00:00Z"), to: Some(at("2026-10-02T00:00:00Z")) },
                "2026-09-30T22:00:00Z",
                "2026-10-02T22:00:00Z",
            ),
        ] {
            assert_eq!(range.span(&query(), now), QuerySpan { from: at(from), to: at(to) }, "{range:?}");
        }
    }

    #[test]
    fn a_request_survives_a_round_trip_and_lists_its_errors() {
        let span = QueryRange::Last(30).span(&query(), at("2026-10-26T13:30:00Z"));
        let request = RunRequest::new(&query(), span, 500, DEFAULT_DEADLINE);
        assert_eq!(request.query(), Some(query()));
        assert_eq!(request.parts(), Ok(vec![span]));
        let text = serde_json::to_string(&request).expect("plain data");
        assert_eq!(serde_json::from_str::<RunRequest>(&text).expect("the same"), request);

        let fields = |request: &RunRequest| {
            let errors = request.parts().expect_err("refused");
            errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(&RunRequest { zone: "Mars/Base".to_owned(), ..request.clone() }), ["zone"]);
        assert_eq!(fields(&RunRequest { metrics: Vec::new(), ..request.clone() }), ["metrics"]);
        assert_eq!(fields(&RunRequest { to: request.from, ..request.clone() }), ["span"]);
        assert_eq!(fields(&RunRequest { to: request.to.offset(-1), ..request }), ["to"]);
    }

    #[test]
    fn what_nobody_follows_keeps_its_place_where_the_platform_may_be_at_it() {
        let part = RunPart::new(QuerySpan { from: UtcMicros::EPOCH, to: at("1970-01-02T00:00:00Z") });
        let run = |state: PartState| AnalyticsRun {
            id: AnalyticsRunId(uuid::Uuid::nil()),
            tenant: "acme".into(),
            query: None,
            requested_by: "person:ann".into(),
            requested_at: UtcMicros::EPOCH,
            job: None,
            request: RunRequest::new(&query(), part.span(), 500, DEFAULT_DEADLINE),
            status: RunStatus::Running,
            parts: vec![RunPart { state, ..part.clone() }],
            started_at: Some(UtcMicros::EPOCH),
            ended_at: None,
            result: None,
            failure: None,
        };
        let (now, later) = (at("1970-01-01T00:00:02Z"), at("1970-01-01T01:00:00Z"));
        for (state, is_kept) in [
            (PartState::Waiting, false),
            (PartState::Leaving, true),
            (PartState::Submitted, true),
            (PartState::Ended, false),
        ] {
            let mut run = run(state);
            run.abandon_queries(now);
            assert_eq!(run.last_hold_until(), is_kept.then_some(now), "{state:?}");
        }
        let mut unanswered = run(PartState::Leaving);
        unanswered.record_unanswered(0, now);
        assert_eq!((unanswered.status, unanswered.parts[0].state), (RunStatus::Waiting, PartState::Waiting));
        assert_eq!((unanswered.parts[0].unanswered, unanswered.last_hold_until()), (1, Some(now + DEFAULT_DEADLINE)));
        // Begun again and let go of: two places, of which the second is free earlier.
        unanswered.parts[0].state = PartState::Submitted;
        unanswered.abandon_queries(now);
        assert_eq!((unanswered.parts[0].holds.len(), unanswered.last_hold_until()), (2, Some(now + DEFAULT_DEADLINE)));
        let ended = AnalyticsRun { ended_at: Some(later), ..unanswered };
        assert_eq!(ended.duration(), Some(Duration::from_secs(3600)));
    }
}
