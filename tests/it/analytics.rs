//! Aggregation queries from the client to the stand-in platform and back, over real HTTP: what comes is whole, or it is an error
//! that names the query.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use shiftkeeper::clock::{ManualClock, SharedClock};
use shiftkeeper::domain::access::secret::Secret;
use shiftkeeper::domain::analytics::series::aggregated::AggregatedMetric;
use shiftkeeper::domain::analytics::trend::{AnomalyKind, Baseline, Sample, TrendSettings, trend};
use shiftkeeper::domain::analytics::{
    Aggregation, AggregationQuery, MetricRequest, PartReader, PartResult, QueryBucket, QueryResult, QuerySpan,
    ReadProgress, ResultError, ResultErrorKind, join_parts,
};
use shiftkeeper::domain::ids::PlatformQueryId;
use shiftkeeper::platform::analytics::{PageRequest, QueryState, RetryDecision, after_page, after_submit};
use shiftkeeper::platform::guide::{ANALYTICS_SCOPES, GuidePlatform, GuideSettings, TokenStyle};
use shiftkeeper::platform::{Failure, Platform};
use shiftkeeper::sim::{Restart, SimOptions, Simulator};

/// What came of one part.
#[derive(Debug)]
enum QueryError {
    Call(Failure),
    Rows(ResultError),
    Failed(String),
    /// It was still running when it should long have been done.
    StillRunning,
}

struct TestPlatform {
    simulator: Simulator,
    clock: ManualClock,
    platform: GuidePlatform,
}

impl TestPlatform {
    async fn new(fault: &str) -> Self {
        let clock = ManualClock::at("2026-10-28T14:00:00Z".parse().expect("valid"));
        let shared: SharedClock = Arc::new(clock.clone());
        let faults = if fault.is_empty() { Vec::new() } else { vec![fault.parse().expect("a fault")] };
        let options = SimOptions {
            agents: 8,
            autonomous_agents: false,
            reporting_per_minute: 10_000,
            faults,
            ..SimOptions::default()
        };
        let simulator = Simulator::start(options, shared.clone()).await.expect("starts");
        let described = simulator.description();
        let tenant = described.tenants.first().expect("a tenant");
        let mut settings = GuideSettings::new(
            described.base_url.parse().expect("a URL"),
            TokenStyle::Basic,
            &tenant.client_id,
            Secret::new(&tenant.client_secret),
        );
        ANALYTICS_SCOPES.clone_into(&mut settings.scope);
        settings.client.request_timeout = Duration::from_secs(2);
        Self { simulator, clock, platform: GuidePlatform::new(settings, shared).expect("a platform") }
    }

    async fn submit(&self, query: &AggregationQuery, part: QuerySpan) -> Result<PlatformQueryId, QueryError> {
        let answer = self.platform.submit_query(query, part, PAGE).await;
        answer.map(|answer| answer.value).map_err(|error| QueryError::Call(error.failure))
    }

    async fn query_state(
        &self,
        query: &AggregationQuery,
        id: &PlatformQueryId,
        offset: u64,
    ) -> Result<QueryState, QueryError> {
        let answer = self.platform.query_page(PageRequest { query, id, offset, limit: PAGE }).await;
        answer.map(|answer| answer.value).map_err(|error| QueryError::Call(error.failure))
    }

    /// Submits one part and reads it to its end.
    async fn fetch_part(&self, query: &AggregationQuery, part: QuerySpan) -> Result<PartResult, QueryError> {
        let id = self.submit(query, part).await?;
        let mut reader = PartReader::new(query, part, PAGE);
        for _ in 0..1_000 {
            match self.query_state(query, &id, reader.next_offset()).await? {
                QueryState::Pending | QueryState::Running => self.clock.advance(Duration::from_secs(1)),
                QueryState::Failed { reason: why } => return Err(QueryError::Failed(why)),
                QueryState::Page(page) => {
                    if reader.add_page(page).map_err(QueryError::Rows)? == ReadProgress::Complete {
                        return reader.finish().map_err(QueryError::Rows);
                    }
                }
            }
        }
        Err(QueryError::StillRunning)
    }

    async fn run(&self, query: &AggregationQuery, span: QuerySpan) -> Result<QueryResult, QueryError> {
        let mut parts = Vec::new();
        for part in query.parts(span).expect("a good span") {
            parts.push(self.fetch_part(query, part).await?);
        }
        join_parts(query, span, parts).map_err(QueryError::Rows)
    }
}

/// Rows of a page, so that a month has several.
const PAGE: u32 = 40;

fn query(bucket: QueryBucket, zone: &str) -> AggregationQuery {
    let metric = |name: &str, aggregation| MetricRequest { name: name.to_owned(), aggregation };
    AggregationQuery {
        name: "contacts_daily".into(),
        metrics: vec![metric("count", Aggregation::Sum), metric("duration", Aggregation::Avg)],
        dimensions: vec!["channel".to_owned()],
        filter: None,
        bucket,
        zone: TimeZone::get(zone).expect("a zone"),
    }
}

fn span(from: &str, to: &str) -> QuerySpan {
    QuerySpan { from: from.parse().expect("valid"), to: to.parse().expect("valid") }
}

fn september() -> QuerySpan {
    span("2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z")
}

async fn run_with_fault(fault: &str) -> Result<QueryResult, QueryError> {
    TestPlatform::new(fault).await.run(&query(QueryBucket::Day, "UTC"), september()).await
}

#[tokio::test]
async fn a_long_span_over_clock_changes_is_split_read_and_joined_without_gap_or_overlap() {
    let desk = TestPlatform::new("").await;
    let berlin = query(QueryBucket::Day, "Europe/Berlin");
    let years = berlin.whole_buckets(span("2024-02-28T12:00:00Z", "2026-04-02T12:00:00Z"));
    assert_eq!(berlin.parts(years).expect("good").len(), 3);
    let result = desk.run(&berlin, years).await.expect("whole");
    let mut days: Vec<_> = result.rows.iter().map(|row| row.at).collect();
    days.dedup();
    let mut expected = vec![years.from];
    while let Some(next) =
        expected.last().map(|day| berlin.bucket.next_start(*day, &berlin.zone)).filter(|day| *day < years.to)
    {
        expected.push(next);
    }
    assert_eq!(days, expected);
    assert_eq!((result.received(), result.completeness_ppm()), (3 * expected.len() as u64, Some(1_000_000)));
    let again = desk.run(&berlin, years).await.expect("whole");
    assert_eq!(again.digest(&berlin), result.digest(&berlin));
    // Each of the others over its own clock changes.
    for (bucket, zone, rows) in [
        (QueryBucket::Hour, "UTC", 240),
        (QueryBucket::Week, "America/New_York", 9),
        (QueryBucket::Month, "Asia/Kolkata", 9),
    ] {
        let query = query(bucket, zone);
        let count = match bucket {
            QueryBucket::Hour => 80,
            QueryBucket::Day | QueryBucket::Week | QueryBucket::Month => 3,
        };
        let span = query.last_buckets(count, "2026-11-15T12:34:56Z".parse().expect("valid"));
        assert_eq!(desk.run(&query, span).await.expect("whole").received(), rows, "{bucket}");
    }
}

#[tokio::test]
async fn what_pages_leave_out_repeat_or_do_not_bring_is_an_error_that_names_the_query() {
    for (fault, kind, words) in [
        ("skip_rows:on=analytics_result", ResultErrorKind::CountMismatch, "89 rows of 90 announced rows arrived"),
        ("repeat:on=analytics_result", ResultErrorKind::Duplicate, "the row came before"),
        ("stop_short:on=analytics_result", ResultErrorKind::CountMismatch, "45 rows of 90 announced rows arrived"),
    ] {
        let Err(QueryError::Rows(found)) = run_with_fault(fault).await else { panic!("{fault}: no fault in the rows") };
        assert_eq!(found.kind, kind, "{fault}");
        let text = found.to_string();
        assert!(text.contains("\"contacts_daily\"") && text.contains(words), "{fault}: {text}");
    }
}

#[tokio::test]
async fn rows_of_wrong_types_or_of_nonsense_are_an_error_that_names_query_and_field() {
    for fault in ["wrong_types:on=analytics_result", "nonsense:on=analytics_result"] {
        let error = run_with_fault(fault).await.expect_err("hostile");
        let text = match &error {
            QueryError::Call(Failure::Malformed { excerpt, .. }) => excerpt.clone(),
            QueryError::Rows(fault) => fault.to_string(),
            other => panic!("{fault}: {other:?}"),
        };
        assert!(text.contains("\"contacts_daily\"") && text.contains("results["), "{fault}: {text}");
    }
}

#[tokio::test]
async fn failed_endless_and_forgotten_queries_are_distinguished() {
    let failed = run_with_fault("fail_query:on=analytics_query,count=1").await;
    assert!(
        matches!(&failed, Err(QueryError::Failed(why)) if why == "the aggregation ran out of memory"),
        "{failed:?}"
    );
    let stuck = run_with_fault("never_finish:on=analytics_query,count=1").await;
    assert!(matches!(stuck, Err(QueryError::StillRunning)), "{stuck:?}");

    let desk = TestPlatform::new("").await;
    let query = query(QueryBucket::Day, "UTC");
    let id = desk.submit(&query, september()).await.expect("taken");
    assert_eq!(desk.query_state(&query, &id, 0).await.expect("known"), QueryState::Pending);
    desk.simulator.add_fault("forget_queries".parse().expect("a fault")).expect("done");
    let Err(QueryError::Call(failure)) = desk.query_state(&query, &id, 0).await else { panic!("it was forgotten") };
    assert_eq!((&failure, after_page(&failure)), (&Failure::NotFound, RetryDecision::Restart));
    assert!(desk.run(&query, september()).await.is_ok(), "and may be submitted anew");
}

#[tokio::test]
async fn a_restart_of_the_platform_forgets_queries_and_tokens_and_a_new_one_is_whole() {
    let mut desk = TestPlatform::new("").await;
    let query = query(QueryBucket::Day, "UTC");
    let id = desk.submit(&query, september()).await.expect("taken");
    desk.simulator.restart(Restart::SameWorld).await.expect("restarted");
    let Err(QueryError::Call(Failure::Unauthorized)) = desk.query_state(&query, &id, 0).await else {
        panic!("the token is gone")
    };
    let Err(QueryError::Call(Failure::NotFound)) = desk.query_state(&query, &id, 0).await else {
        panic!("so is the query")
    };
    assert!(desk.run(&query, september()).await.is_ok());
}

#[tokio::test]
async fn a_slow_query_and_a_slow_answer_are_waited_for() {
    let slow = run_with_fault("late:on=analytics_query,ms=120000").await;
    assert!(slow.is_ok(), "{slow:?}");
    let tardy = run_with_fault("delay:on=analytics_result,ms=50,count=3").await;
    assert!(tardy.is_ok(), "{tardy:?}");
}

#[tokio::test]
async fn each_transport_error_says_whether_to_retry() {
    for (fault, submits, again) in [
        ("status:on=analytics_query,code=503,retry_after=7", true, RetryDecision::Retry),
        ("status:on=analytics_query,code=400", true, RetryDecision::Never),
        ("status:on=analytics_query,code=502", true, RetryDecision::RetryUnanswered),
        ("status:on=analytics_query,code=504", true, RetryDecision::RetryUnanswered),
        ("html:on=analytics_query", true, RetryDecision::RetryUnanswered),
        ("lost_answer:on=analytics_query", true, RetryDecision::RetryUnanswered),
        ("delay:on=analytics_query,ms=60000", true, RetryDecision::RetryUnanswered),
        ("reset_before:on=analytics_query", true, RetryDecision::RetryUnanswered),
        ("status:on=analytics_result,code=500", false, RetryDecision::Retry),
        ("truncated:on=analytics_result", false, RetryDecision::Retry),
        ("reset_mid:on=analytics_result", false, RetryDecision::Retry),
        ("delay:on=analytics_result,ms=60000", false, RetryDecision::Retry),
    ] {
        let Err(QueryError::Call(failure)) = run_with_fault(fault).await else { panic!("{fault}: no failure") };
        let found = if submits { after_submit(&failure) } else { after_page(&failure) };
        assert_eq!(found, again, "{fault}: {failure:?}");
    }
}

#[tokio::test]
async fn a_sixth_query_is_told_when_to_retry() {
    let desk = TestPlatform::new("").await;
    let query = query(QueryBucket::Day, "UTC");
    for _ in 0..5 {
        desk.submit(&query, september()).await.expect("taken");
    }
    let Err(QueryError::Call(failure)) = desk.submit(&query, september()).await else { panic!("there is no room") };
    assert_eq!(failure, Failure::Throttled { retry_after: Some(Duration::from_secs(4)) });
    assert_eq!(after_submit(&failure), RetryDecision::Retry);
}

#[tokio::test]
async fn the_known_spikes_and_drops_are_found_in_the_series_and_mondays_are_not() {
    let desk = TestPlatform::new("").await;
    let mut query = query(QueryBucket::Day, "UTC");
    query.dimensions.clear();
    let result = desk.run(&query, span("2026-03-01T00:00:00Z", "2026-10-01T00:00:00Z")).await.expect("whole");
    let settings = TrendSettings { zone: Some(TimeZone::UTC), ..TrendSettings::default() };
    let odd = |metric: usize| -> Vec<(String, AnomalyKind)> {
        let series: AggregatedMetric = format!("analytics:q:{}", query.metrics[metric].name).parse().expect("a series");
        let pick = series.row_selector(&query.metrics, &query.dimensions).expect("of the result");
        let mut values = BTreeMap::new();
        for row in &result.rows {
            pick.add_row(&mut values, row);
        }
        let samples: Vec<_> = values.into_iter().map(|(at, value)| Sample { at, value }).collect();
        let points = trend(&samples, &settings).into_iter();
        let anomalies = points.filter_map(|point| Some((point.at, point.anomaly?)));
        let by_season = anomalies.filter(|(_, anomaly)| anomaly.baseline == Baseline::Season);
        by_season.map(|(at, anomaly)| (at.to_string()[..10].to_owned(), anomaly.kind)).collect()
    };
    // The first weeks know too little of a weekday.
    let months = ["04", "05", "06", "07", "08", "09"];
    let (spike, drop) = (AnomalyKind::Spike, AnomalyKind::Drop);
    for (metric, known) in [(0, vec![("13", spike), ("21", drop)]), (1, vec![("07", spike)])] {
        let mut found = odd(metric);
        for (day, kind) in known {
            for month in months {
                let expected = (format!("2026-{month}-{day}"), kind);
                let at = found.iter().position(|one| *one == expected);
                found.remove(at.unwrap_or_else(|| panic!("{expected:?} is not among {found:?}")));
            }
        }
        // A few weeks may be alike by chance, and what follows them then looks odd; but what comes with each Monday does not.
        assert!(found.len() <= 6, "of 214 days: {found:?}");
        let mondays = |(day, _): &&(String, AnomalyKind)| {
            day.parse::<jiff::civil::Date>().expect("a day").weekday() == jiff::civil::Weekday::Monday
        };
        assert!(metric > 0 || !found.iter().any(|one| mondays(&one)), "{found:?}");
    }
}
