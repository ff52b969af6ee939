//! Runs of analytics queries: their status, which are open or hold a place, whose rows count, and which are deleted.

use super::{TestDatabase, acme, at, on_each_engine};
use crate::domain::analytics::analytics_run::{
    AnalyticsRun, DEFAULT_DEADLINE, RunFailure, RunPart, RunRequest, RunResult,
};
use crate::domain::analytics::{Aggregation, AggregationQuery, MetricRequest, QueryBucket, QuerySpan, ResultRow};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId};
use crate::domain::reports::report_run::RunStatus;
use crate::store::{AnalyticsRows, Commit, PruneSlice, PruneTarget, Store};

on_each_engine!(
    a_run_is_where_it_was_last_and_found_by_its_standing,
    rows_are_read_in_their_order,
    of_runs_that_overlap_each_bucket_is_of_the_newest,
    a_long_result_is_read_from_where_it_is_wanted,
    results_that_served_their_time_count_no_more_then_go_then_their_runs,
    rows_of_a_result_that_counts_are_never_cleared_away,
);

fn query_id() -> AnalyticsQueryId {
    AnalyticsQueryId::new("calls")
}

fn request() -> RunRequest {
    let metric = |name: &str, aggregation| MetricRequest { name: name.to_owned(), aggregation };
    let query = AggregationQuery {
        name: "calls".into(),
        metrics: vec![metric("duration", Aggregation::Avg), metric("count", Aggregation::Sum)],
        dimensions: vec!["channel".to_owned()],
        filter: None,
        bucket: QueryBucket::Day,
        zone: jiff::tz::TimeZone::UTC,
    };
    RunRequest::new(&query, QuerySpan { from: at(0), to: at(86_400) }, 500, DEFAULT_DEADLINE)
}

fn id(n: u32) -> AnalyticsRunId {
    AnalyticsRunId(uuid::Uuid::from_u128(u128::from(n)))
}

fn run(n: u32, status: RunStatus) -> AnalyticsRun {
    let result = RunResult { has_rows: true, received: 4, promised: Some(4), sha256: "ab".repeat(32) };
    let failure = RunFailure { class: "deadline".to_owned(), text: "it took longer".to_owned() };
    let is_held = status == RunStatus::Cancelled;
    let holds = if is_held { vec![at(100 + i64::from(n)), at(200), at(100)] } else { Vec::new() };
    AnalyticsRun {
        id: id(n),
        tenant: acme(),
        query: n.is_multiple_of(2).then(query_id),
        requested_by: "person:ann".into(),
        requested_at: at(0),
        job: n.is_multiple_of(2).then(|| "analytics:calls".into()),
        request: request(),
        status,
        parts: vec![RunPart {
            query_id: Some("qry_1".into()),
            submissions: 1,
            unanswered: 2,
            holds,
            ..RunPart::new(request().span())
        }],
        started_at: Some(at(1)),
        ended_at: status.is_final().then(|| at(i64::from(n))),
        result: (status == RunStatus::Done).then_some(result),
        failure: (status == RunStatus::Failed).then_some(failure),
    }
}

async fn store_runs(store: &Store, analytics_runs: Vec<AnalyticsRun>) {
    store.writer().commit(Commit { analytics_runs, ..Commit::default() }).await.expect("commits");
}

fn row(day: i64, channel: &str, duration: Option<f64>) -> ResultRow {
    ResultRow { at: at(day * 86_400), dimensions: vec![Some(channel.into())], metrics: vec![duration, Some(7.0)] }
}

/// Four rows of a run, in two slices of which the later comes first.
async fn store_rows(store: &Store, n: u32) {
    let rows =
        [row(0, "chat", Some(0.1)), row(0, "voice", Some(2.0)), row(1, "chat", None), row(1, "voice", Some(4.0))];
    let slice = |first: u64, rows: &[ResultRow]| AnalyticsRows {
        tenant: acme(),
        run: id(n),
        first_index: first,
        rows: rows.iter().map(ResultRow::to_canonical).collect(),
    };
    let analytics_rows = vec![slice(2, &rows[2..]), slice(0, &rows[..2])];
    store.writer().commit(Commit { analytics_rows, ..Commit::default() }).await.expect("commits");
}

async fn a_run_is_where_it_was_last_and_found_by_its_standing(place: TestDatabase) {
    let store = place.open().await;
    let all = [
        run(1, RunStatus::Done),
        run(2, RunStatus::Failed),
        run(3, RunStatus::Waiting),
        run(4, RunStatus::Running),
        run(5, RunStatus::Cancelled),
        run(6, RunStatus::Done),
    ];
    let of_other_tenant = AnalyticsRun { tenant: "globex".into(), ..run(7, RunStatus::Running) };
    store_runs(&store, all.iter().cloned().chain([of_other_tenant]).collect()).await;
    let reader = store.reader();
    assert_eq!(reader.analytics_run(&acme(), id(2)).await.expect("reads"), Some(all[1].clone()));
    assert_eq!(reader.analytics_run(&"globex".into(), id(2)).await.expect("reads"), None);
    let newest = reader.analytics_runs(&acme(), None, None, 2).await.expect("reads");
    assert_eq!(newest, [all[5].clone(), all[4].clone()]);
    let of_query = reader.analytics_runs(&acme(), Some(&query_id()), Some(id(6)), 10).await.expect("reads");
    assert_eq!(of_query, [all[3].clone(), all[1].clone()]);
    assert_eq!(reader.open_analytics_runs(&acme()).await.expect("reads"), [all[2].clone(), all[3].clone()]);
    assert_eq!(reader.occupied_slots_until(&acme(), at(104)).await.expect("reads"), [at(105), at(200)]);
    assert!(reader.occupied_slots_until(&acme(), at(200)).await.expect("reads").is_empty());
    assert_eq!(reader.stored_analytics_runs(&acme(), None, 9).await.expect("reads"), [all[0].clone()]);
    assert_eq!(reader.last_analytics_run(&acme(), &query_id()).await.expect("reads"), Some(all[5].clone()));

    store_runs(&store, vec![run(4, RunStatus::Running), run(4, RunStatus::Done)]).await;
    let last = store.reader().analytics_run(&acme(), id(4)).await.expect("reads");
    assert_eq!(last, Some(run(4, RunStatus::Done)));
    store.close().await;
}

async fn rows_are_read_in_their_order(place: TestDatabase) {
    let store = place.open().await;
    store_runs(&store, vec![run(2, RunStatus::Running)]).await;
    store_rows(&store, 2).await;
    let reader = store.reader();
    store_runs(&store, vec![run(2, RunStatus::Done)]).await;
    let texts = reader.analytics_rows(&acme(), id(2), 1, 2).await.expect("reads");
    assert_eq!(texts, [row(0, "voice", Some(2.0)).to_canonical(), row(1, "chat", None).to_canonical()]);
    let rows = reader.result_rows(&acme(), id(2), 1, 2).await.expect("reads");
    assert_eq!(rows, [row(0, "voice", Some(2.0)), row(1, "chat", None)]);
    let groups = reader.last_groups(&run(2, RunStatus::Done), 9).await.expect("reads");
    assert_eq!(groups, [[Some("chat".into())], [Some("voice".into())]]);
    store.close().await;
}

/// A run over some days that came out well and was asked for at an instant; with a row for each of two channels, but of some days none.
async fn store_result(
    store: &Store,
    (n, asked_at): (u32, i64),
    days: std::ops::Range<i64>,
    value: i32,
    without: &[i64],
) -> AnalyticsRun {
    let (from, to) = (at(days.start * 86_400), at(days.end * 86_400));
    let of_day = |day: i64| Some(f64::from(value + i32::try_from(day).expect("few")));
    let rows: Vec<ResultRow> = days
        .filter(|day| !without.contains(day))
        .flat_map(|day| ["chat", "voice"].map(|channel| row(day, channel, of_day(day))))
        .collect();
    let done = run(n, RunStatus::Done);
    let request = RunRequest { from, to, ..done.request.clone() };
    let received = u64::try_from(rows.len()).expect("few");
    let result = done.result.clone().map(|result| RunResult { received, ..result });
    let run = AnalyticsRun { requested_at: at(asked_at), request, result, ..done };
    for (first, some) in (0..).step_by(1_000).zip(rows.chunks(1_000)) {
        let rows = some.iter().map(ResultRow::to_canonical).collect();
        let analytics_rows = vec![AnalyticsRows { tenant: acme(), run: id(n), first_index: first, rows }];
        store.writer().commit(Commit { analytics_rows, ..Commit::default() }).await.expect("commits");
    }
    store_runs(store, vec![run.clone()]).await;
    run
}

/// When all days of these tests are over.
const AFTER_ALL_DAYS: i64 = 2_000 * 86_400;

/// The values of a series over some days.
async fn values(store: &Store, series: &str, days: std::ops::Range<i64>) -> Vec<Option<f64>> {
    let (source, span) = (series.parse().expect(series), (at(days.start * 86_400), at(days.end * 86_400)));
    let values = store.reader().series_values(&acme(), &source, span, &jiff::tz::TimeZone::UTC).await.expect("reads");
    assert!(values.samples.array_windows().all(|[one, next]| next.at.since(one.at).as_secs() == 86_400));
    values.samples.iter().map(|sample| sample.value).collect()
}

async fn of_runs_that_overlap_each_bucket_is_of_the_newest(place: TestDatabase) {
    let store = place.open().await;
    let older = store_result(&store, (2, AFTER_ALL_DAYS), 0..6, 10, &[]).await;
    store_result(&store, (4, AFTER_ALL_DAYS), 2..8, 100, &[3]).await;
    // Of another question: its rows are of something else.
    let filter = Some(crate::domain::analytics::EqualsFilter { field: "group.id".to_owned(), value: "a".to_owned() });
    let other = AnalyticsRun { request: RunRequest { filter, ..older.request.clone() }, ..older.clone() };
    store_runs(&store, vec![AnalyticsRun { id: id(3), query: Some(query_id()), ..other }]).await;
    let voice = "analytics:calls:duration:channel=voice";
    let all = [Some(10.0), Some(11.0), Some(102.0), None, Some(104.0), Some(105.0), Some(106.0), Some(107.0)];
    assert_eq!(values(&store, voice, 0..30).await, all, "a day that the newest has no row of is a gap");
    assert_eq!(values(&store, voice, 1..3).await, all[1..3]);
    assert_eq!(values(&store, "analytics:calls:count", 0..3).await, [Some(14.0); 3], "both channels");
    assert_eq!(values(&store, &format!("analytics-run:{}:duration:channel=chat", id(2)), 0..9).await.len(), 6);
    // What had not ended when it was asked for is no whole value.
    store_result(&store, (6, 6 * 86_400), 5..8, 200, &[]).await;
    let newest = [&all[..5], &[Some(205.0), Some(106.0), Some(107.0)]].concat();
    assert_eq!(values(&store, voice, 0..30).await, newest);
    let (reader, unknown) = (store.reader(), format!("analytics-run:{}:count", id(1)));
    for (series, part) in [
        ("analytics:calls:colour", "there are duration, count"),
        ("analytics:calls:duration", "name one"),
        (&*unknown, "has no rows"),
    ] {
        let (source, utc) = (series.parse().expect(series), jiff::tz::TimeZone::UTC);
        let refused =
            reader.series_values(&acme(), &source, (at(0), at(86_400)), &utc).await.expect_err(series).to_string();
        assert!(refused.contains(part), "{series}: {refused}");
    }
    assert_eq!(values(&store, "analytics:never:count", 0..30).await, []);
    store.close().await;
}

async fn a_long_result_is_read_from_where_it_is_wanted(place: TestDatabase) {
    let store = place.open().await;
    store_result(&store, (2, AFTER_ALL_DAYS), 0..1_600, 0, &[]).await;
    store_result(&store, (4, AFTER_ALL_DAYS), 0..1_500, 5_000, &[]).await;
    let chat = values(&store, "analytics:calls:duration:channel=chat", 100..1_600).await;
    let expected = (100..1_600).map(|day| Some(f64::from(day) + if day < 1_500 { 5_000.0 } else { 0.0 }));
    assert_eq!(chat, expected.collect::<Vec<_>>());
    store.close().await;
}

async fn results_that_served_their_time_count_no_more_then_go_then_their_runs(place: TestDatabase) {
    let store = place.open().await;
    store_runs(
        &store,
        vec![run(2, RunStatus::Done), run(3, RunStatus::Failed), run(4, RunStatus::Running), run(6, RunStatus::Done)],
    )
    .await;
    store_rows(&store, 2).await;
    store_rows(&store, 6).await;
    let prune = async |what| {
        let slice = PruneSlice { tenant: Some(acme()), target: what, before: at(5) };
        store.writer().prune(slice).await.expect("prunes")
    };
    assert_eq!(prune(PruneTarget::AnalyticsRows).await, 0, "rows that count stay");
    assert_eq!(prune(PruneTarget::AnalyticsRuns).await, 1, "the failed one has none");
    assert_eq!(prune(PruneTarget::AnalyticsResults).await, 1);
    let gone = store.reader().analytics_run(&acme(), id(2)).await.expect("reads").expect("still there");
    assert_eq!(gone.result.map(|result| result.has_rows), Some(false));
    assert_eq!(prune(PruneTarget::AnalyticsRuns).await, 0, "not before its rows");
    assert_eq!(prune(PruneTarget::AnalyticsRows).await, 4);
    assert_eq!(prune(PruneTarget::AnalyticsRuns).await, 1);
    let left = store.reader().analytics_runs(&acme(), None, None, 9).await.expect("reads");
    assert_eq!(left.iter().map(|run| run.id).collect::<Vec<_>>(), [id(6), id(4)]);
    assert_eq!(store.reader().analytics_rows(&acme(), id(6), 0, 9).await.expect("reads").len(), 4);
    store.close().await;
}

async fn rows_of_a_result_that_counts_are_never_cleared_away(place: TestDatabase) {
    let store = place.open().await;
    store_runs(&store, vec![run(2, RunStatus::Running), run(4, RunStatus::Done)]).await;
    store_rows(&store, 2).await;
    store_rows(&store, 4).await;
    for (n, gone) in [(2, 4), (2, 0), (4, 0)] {
        let slice = PruneSlice { tenant: Some(acme()), target: PruneTarget::AnalyticsRowsOf(id(n)), before: at(9) };
        assert_eq!(store.writer().prune(slice).await.expect("prunes"), gone, "{n}");
    }
    store.close().await;
}
