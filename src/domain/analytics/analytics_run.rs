//! Aggregation queries as they are run: those that the configuration names, what one run asks for, and how it stands.
//!
//! What may be asked and how an answer must hold together is [`super`]'s business; who asks and how often the engine's.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AggregationQuery, Bucket, EqualsFilter, MetricAsk, QueryFault, QuerySpan};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId, JobId, QueryId, TenantId};
use crate::domain::reports::report_run::RunStatus;
use crate::domain::time::UtcMicros;

/// The most queries that the configuration may name for a tenant.
pub const MOST_QUERIES: usize = 50;

/// The most buckets that a span which goes with the clock may have: 27 years of days.
pub const MOST_BUCKETS: u32 = 10_000;

/// The longest that a run may take, from its beginning.
pub const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// The shortest.
pub const SHORTEST_DEADLINE: Duration = Duration::from_secs(10);

/// What it may take where nothing else is said: a hundred thousand rows are two hundred pages, of which ten a minute are read.
pub const USUAL_DEADLINE: Duration = Duration::from_secs(1800);

/// Buckets that are asked for where nothing else is said.
pub const USUAL_BUCKETS: u32 = 30;

/// A query that the configuration names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StandingQuery {
    /// Its id.
    pub id: AnalyticsQueryId,
    /// What is asked.
    pub query: AggregationQuery,
    /// Of when.
    pub over: Over,
    /// A run that takes longer, from its beginning, has failed.
    pub deadline: Duration,
    /// Rows of a page.
    pub page_rows: u32,
}

impl StandingQuery {
    /// The job of the calendar that asks it, where it has a cron.
    pub fn job(&self) -> JobId {
        JobId::new(format!("analytics:{}", self.id))
    }

    /// What a run asks for that is wanted at an instant.
    pub fn request(&self, now: UtcMicros) -> RunRequest {
        RunRequest::of(&self.query, self.over.span(&self.query, now), self.page_rows, self.deadline)
    }
}

/// Of when a query is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// So many whole buckets, the last that have ended.
    Last(u32),
    /// A span that begins at an instant. It is widened to whole buckets.
    Since {
        /// Its first instant.
        from: UtcMicros,
        /// The first instant after it; without one the last bucket that has ended is its end.
        to: Option<UtcMicros>,
    },
}

impl Over {
    /// The span, in whole buckets. One that begins later than it ends is empty, which the check of the request says.
    pub fn span(self, query: &AggregationQuery, now: UtcMicros) -> QuerySpan {
        match self {
            Self::Last(buckets) => query.last(buckets, now),
            Self::Since { from, to: Some(to) } => query.whole_buckets(QuerySpan { from, to }),
            Self::Since { from, to: None } => {
                QuerySpan { from: query.bucket.floor(from, &query.zone), to: query.bucket.floor(now, &query.zone) }
            }
        }
    }
}

/// What a run asks for, whole: it does not change when the configuration does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AnalyticsRequest)]
pub struct RunRequest {
    /// What people call the query.
    pub name: String,
    /// The metrics, with how their values are put together.
    pub metrics: Vec<MetricAsk>,
    /// The dimensions by which values are told apart.
    pub dimensions: Vec<String>,
    /// What is looked at alone; everything where it is null.
    pub filter: Option<EqualsFilter>,
    /// How long the span of each value is.
    pub bucket: Bucket,
    /// By whose calendar: an IANA time zone.
    pub zone: String,
    /// The first instant of the span.
    pub from: UtcMicros,
    /// The first instant after it.
    pub to: UtcMicros,
    /// Rows of a page.
    pub page_rows: u32,
    /// How long the run may take from its beginning, in seconds.
    pub deadline_s: u64,
}

impl RunRequest {
    /// To ask this of a span.
    pub fn of(query: &AggregationQuery, span: QuerySpan, page_rows: u32, deadline: Duration) -> Self {
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

    /// The query; none where no time zone of that name is known any more.
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

    /// Its span.
    pub const fn span(&self) -> QuerySpan {
        QuerySpan { from: self.from, to: self.to }
    }

    /// How long the run may take.
    pub const fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }

    /// The parts that the platform takes it in.
    ///
    /// # Errors
    /// Everything that stands against asking it; nothing has left yet.
    pub fn parts(&self) -> Result<Vec<QuerySpan>, Vec<QueryFault>> {
        let fault = |field: &str, what: String, hint: &str| {
            vec![QueryFault { field: field.to_owned(), what, hint: hint.to_owned() }]
        };
        let Some(query) = self.query() else {
            let what = format!("is {:?}, which is no known time zone", self.zone);
            return Err(fault("zone", what, "name an IANA zone, as in Europe/Berlin, or leave it out"));
        };
        let faults = query.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        query.parts(self.span()).map_err(|fault| vec![fault])
    }
}

/// How a part stands on the platform.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AnalyticsPartState)]
pub enum PartState {
    /// It is to be submitted.
    Waiting,
    /// It is being submitted: the platform may have taken it.
    Leaving,
    /// The platform took it and is not known to be done with it.
    Submitted,
    /// The platform is done with it, well or not, or has forgotten it.
    Ended,
}

/// A part of a run's span: one query on the platform.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AnalyticsPart)]
pub struct RunPart {
    /// The first instant of its span.
    pub from: UtcMicros,
    /// The first instant after it.
    pub to: UtcMicros,
    /// How it stands.
    pub state: PartState,
    /// The platform's id of the query; null where it is to be submitted.
    pub query_id: Option<QueryId>,
    /// How often the platform took it.
    pub submissions: u32,
    /// How often it left and was not answered, so that the platform may have taken it.
    #[serde(default)]
    pub unanswered: u32,
    /// Until when the platform may be at queries of this part that nobody follows any more; each takes one of the few places so long.
    #[serde(default)]
    pub holds: Vec<UtcMicros>,
    /// Rows that came, once it is whole.
    pub received: Option<u64>,
    /// Rows that were promised; null where the platform promised no count.
    pub promised: Option<u64>,
}

impl RunPart {
    /// One that was not submitted yet.
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

    /// Its span.
    pub const fn span(&self) -> QuerySpan {
        QuerySpan { from: self.from, to: self.to }
    }

    /// The platform may be working at it.
    const fn is_at_work(&self) -> bool {
        matches!(self.state, PartState::Leaving | PartState::Submitted)
    }
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunResult {
    /// Its rows are there; else they were let go.
    pub there: bool,
    /// Rows that came.
    pub received: u64,
    /// Rows that the platform had promised; none where it promised no count for some part.
    pub promised: Option<u64>,
    /// The canonical SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// Why a run came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunFailure {
    /// A short stable name: `platform_failed`, `forgotten`, `unanswered`, `deadline`, `call_failed`, `request`, or the name of a
    /// [`super::ResultFaultKind`].
    pub class: String,
    /// The same for people: the run, what happened and what to do.
    pub text: String,
}

/// One run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnalyticsRun {
    /// Its id.
    pub id: AnalyticsRunId,
    /// Whose.
    pub tenant: TenantId,
    /// The query of the configuration; none where somebody asked something of his own.
    pub query: Option<AnalyticsQueryId>,
    /// Who asked: `person:anna`, `job:analytics:calls`.
    pub asked_by: Arc<str>,
    /// When.
    pub asked_at: UtcMicros,
    /// The job of the calendar that asked.
    pub job: Option<JobId>,
    /// What was asked for.
    pub request: RunRequest,
    /// How it stands.
    pub status: RunStatus,
    /// The queries that it is made of.
    pub parts: Vec<RunPart>,
    /// When it was begun, the last time where it had to wait for a place once more; its deadline counts from here, over restarts too.
    pub started_at: Option<UtcMicros>,
    /// When it ended.
    pub ended_at: Option<UtcMicros>,
    /// What came of it.
    pub result: Option<RunResult>,
    /// Why it came to nothing.
    pub failure: Option<RunFailure>,
}

impl AnalyticsRun {
    /// Nobody follows its queries any more. Whatever the platform may be at takes its place until then, since a query cannot be stopped.
    pub fn let_go_of_queries(&mut self, until: UtcMicros) {
        for part in self.parts.iter_mut().filter(|part| part.is_at_work()) {
            part.holds.push(until);
        }
    }

    /// A part was submitted and nobody knows whether the platform took it: the run waits for another place, and what may have been taken
    /// keeps this one as long as a run may take.
    pub fn was_not_answered(&mut self, place: usize, now: UtcMicros) {
        let until = now + self.request.deadline();
        self.status = RunStatus::Waiting;
        if let Some(part) = self.parts.get_mut(place) {
            part.state = PartState::Waiting;
            part.unanswered += 1;
            part.holds.push(until);
        }
    }

    /// Until when the last of the places is kept that queries have which nobody follows any more.
    pub fn holds_until(&self) -> Option<UtcMicros> {
        self.parts.iter().flat_map(|part| &part.holds).max().copied()
    }

    /// How long it took, or was at work when it came to nothing, by the daemon's clock; over a restart with the time in between.
    pub fn latency(&self) -> Option<Duration> {
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
            metrics: vec![MetricAsk { name: "duration".to_owned(), aggregation: Aggregation::Avg }],
            dimensions: vec!["channel".to_owned()],
            filter: None,
            bucket: Bucket::Day,
            zone: TimeZoneDatabase::bundled().get("Europe/Berlin").expect("known"),
        }
    }

    fn at(text: &str) -> UtcMicros {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_span_goes_with_the_clock_in_whole_local_days() {
        let now = at("2026-10-26T13:30:00Z");
        for (over, from, to) in [
            (Over::Last(2), "2026-10-23T22:00:00Z", "2026-10-25T23:00:00Z"),
            (
                Over::Since { from: at("2026-10-25T12:00:00Z"), to: None },
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            (
                Over::Since { from: at("2026-10-01T00:00:00Z"), to: Some(at("2026-10-02T00:00:00Z")) },
                "2026-09-30T22:00:00Z",
                "2026-10-02T22:00:00Z",
            ),
        ] {
            assert_eq!(over.span(&query(), now), QuerySpan { from: at(from), to: at(to) }, "{over:?}");
        }
    }

    #[test]
    fn a_request_gives_back_what_it_was_made_of_and_says_what_stands_against_it() {
        let span = Over::Last(30).span(&query(), at("2026-10-26T13:30:00Z"));
        let request = RunRequest::of(&query(), span, 500, USUAL_DEADLINE);
        assert_eq!(request.query(), Some(query()));
        assert_eq!(request.parts(), Ok(vec![span]));
        let text = serde_json::to_string(&request).expect("plain data");
        assert_eq!(serde_json::from_str::<RunRequest>(&text).expect("the same"), request);

        let fields = |request: &RunRequest| {
            let faults = request.parts().expect_err("refused");
            faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
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
            asked_by: "person:ann".into(),
            asked_at: UtcMicros::EPOCH,
            job: None,
            request: RunRequest::of(&query(), part.span(), 500, USUAL_DEADLINE),
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
            run.let_go_of_queries(now);
            assert_eq!(run.holds_until(), is_kept.then_some(now), "{state:?}");
        }
        let mut lost = run(PartState::Leaving);
        lost.was_not_answered(0, now);
        assert_eq!((lost.status, lost.parts[0].state), (RunStatus::Waiting, PartState::Waiting));
        assert_eq!((lost.parts[0].unanswered, lost.holds_until()), (1, Some(now + USUAL_DEADLINE)));
        // Begun again and let go of: two places, of which the second is free earlier.
        lost.parts[0].state = PartState::Submitted;
        lost.let_go_of_queries(now);
        assert_eq!((lost.parts[0].holds.len(), lost.holds_until()), (2, Some(now + USUAL_DEADLINE)));
        let ended = AnalyticsRun { ended_at: Some(later), ..lost };
        assert_eq!(ended.latency(), Some(Duration::from_secs(3600)));
    }
}
