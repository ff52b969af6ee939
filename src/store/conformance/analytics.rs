//! Runs of analytics queries: how each stands, which are open or hold a place, whose rows count, and which are let go of.

use super::{Place, acme, at, on_each_engine};
use crate::domain::analytics::{Aggregation, AggregationQuery, Bucket, MetricAsk, QuerySpan, ResultRow};
use crate::domain::analytics_run::{AnalyticsRun, RunFailure, RunPart, RunRequest, RunResult, USUAL_DEADLINE};
use crate::domain::ids::{AnalyticsQueryId, AnalyticsRunId};
use crate::domain::report_run::RunStatus;
use crate::store::{AnalyticsRows, Commit, Pruned, Slice, Store};

on_each_engine!(
    a_run_is_where_it_was_last_and_found_by_its_standing,
    rows_are_read_in_their_order_and_as_series,
    results_that_served_their_time_count_no_more_then_go_then_their_runs,
    rows_of_a_result_that_counts_are_never_cleared_away,
);

fn calls() -> AnalyticsQueryId {
    AnalyticsQueryId::new("calls")
}

fn request() -> RunRequest {
    let metric = |name: &str, aggregation| MetricAsk { name: name.to_owned(), aggregation };
    let query = AggregationQuery {
        name: "calls".into(),
        metrics: vec![metric("duration", Aggregation::Avg), metric("count", Aggregation::Sum)],
        dimensions: vec!["channel".to_owned()],
        filter: None,
        bucket: Bucket::Day,
        zone: jiff::tz::TimeZone::UTC,
    };
    RunRequest::of(&query, QuerySpan { from: at(0), to: at(86_400) }, 500, USUAL_DEADLINE)
}

fn id(n: u32) -> AnalyticsRunId {
    AnalyticsRunId(uuid::Uuid::from_u128(u128::from(n)))
}

fn run(n: u32, status: RunStatus) -> AnalyticsRun {
    let result = RunResult { there: true, received: 4, promised: Some(4), sha256: "ab".repeat(32) };
    let failure = RunFailure { class: "deadline".to_owned(), text: "it took longer".to_owned() };
    AnalyticsRun {
        id: id(n),
        tenant: acme(),
        query: n.is_multiple_of(2).then(calls),
        asked_by: "person:ann".into(),
        asked_at: at(0),
        job: n.is_multiple_of(2).then(|| "analytics:calls".into()),
        request: request(),
        status,
        parts: vec![RunPart { query_id: Some("qry_1".into()), submissions: 1, ..RunPart::new(request().span()) }],
        started_at: Some(at(1)),
        ended_at: status.is_final().then(|| at(i64::from(n))),
        holds_until: (status == RunStatus::Cancelled).then(|| at(100 + i64::from(n))),
        result: (status == RunStatus::Done).then_some(result),
        failure: (status == RunStatus::Failed).then_some(failure),
    }
}

async fn put(store: &Store, analytics_runs: Vec<AnalyticsRun>) {
    store.writer().commit(Commit { analytics_runs, ..Commit::default() }).await.expect("commits");
}

fn row(day: i64, channel: &str, duration: Option<f64>) -> ResultRow {
    ResultRow { at: at(day * 86_400), dimensions: vec![Some(channel.into())], metrics: vec![duration, Some(7.0)] }
}

/// Four rows of a run, in two slices of which the later comes first.
async fn put_rows(store: &Store, n: u32) {
    let rows =
        [row(0, "chat", Some(0.1)), row(0, "voice", Some(2.0)), row(1, "chat", None), row(1, "voice", Some(4.0))];
    let slice = |first: u64, rows: &[ResultRow]| AnalyticsRows {
        tenant: acme(),
        run: id(n),
        first,
        rows: rows.iter().map(ResultRow::canonical).collect(),
    };
    let analytics_rows = vec![slice(2, &rows[2..]), slice(0, &rows[..2])];
    store.writer().commit(Commit { analytics_rows, ..Commit::default() }).await.expect("commits");
}

async fn a_run_is_where_it_was_last_and_found_by_its_standing(place: Place) {
    let store = place.open().await;
    let all = [
        run(1, RunStatus::Done),
        run(2, RunStatus::Failed),
        run(3, RunStatus::Waiting),
        run(4, RunStatus::Running),
        run(5, RunStatus::Cancelled),
        run(6, RunStatus::Done),
    ];
    let elsewhere = AnalyticsRun { tenant: "globex".into(), ..run(7, RunStatus::Running) };
    put(&store, all.iter().cloned().chain([elsewhere]).collect()).await;
    let reader = store.reader();
    assert_eq!(reader.analytics_run(&acme(), id(2)).await.expect("reads"), Some(all[1].clone()));
    assert_eq!(reader.analytics_run(&"globex".into(), id(2)).await.expect("reads"), None);
    let newest = reader.analytics_runs(&acme(), None, None, 2).await.expect("reads");
    assert_eq!(newest, [all[5].clone(), all[4].clone()]);
    let of_query = reader.analytics_runs(&acme(), Some(&calls()), Some(id(6)), 10).await.expect("reads");
    assert_eq!(of_query, [all[3].clone(), all[1].clone()]);
    assert_eq!(reader.open_analytics_runs(&acme()).await.expect("reads"), [all[2].clone(), all[3].clone()]);
    assert_eq!(reader.analytics_holds(&acme(), at(104)).await.expect("reads"), [at(105)]);
    assert!(reader.analytics_holds(&acme(), at(105)).await.expect("reads").is_empty());
    assert_eq!(reader.stored_analytics_runs(&acme(), None, 9).await.expect("reads"), [all[0].clone()]);
    assert_eq!(reader.last_analytics_run(&acme(), &calls()).await.expect("reads"), Some(all[5].clone()));

    put(&store, vec![run(4, RunStatus::Running), run(4, RunStatus::Done)]).await;
    let last = store.reader().analytics_run(&acme(), id(4)).await.expect("reads");
    assert_eq!(last, Some(run(4, RunStatus::Done)));
    store.close().await;
}

async fn rows_are_read_in_their_order_and_as_series(place: Place) {
    let store = place.open().await;
    put(&store, vec![run(2, RunStatus::Running)]).await;
    put_rows(&store, 2).await;
    let reader = store.reader();
    assert_eq!(
        reader.analytics_series(&acme(), &calls(), "duration", None).await.expect("reads"),
        None,
        "not whole yet"
    );
    put(&store, vec![run(2, RunStatus::Done)]).await;
    let texts = reader.analytics_rows(&acme(), id(2), 1, 2).await.expect("reads");
    assert_eq!(texts, [row(0, "voice", Some(2.0)).canonical(), row(1, "chat", None).canonical()]);
    let series = reader.analytics_series(&acme(), &calls(), "duration", None).await.expect("reads").expect("a result");
    let shown: Vec<_> = series
        .iter()
        .map(|series| (series.dimensions[0].as_deref(), series.samples.iter().map(|s| s.value).collect::<Vec<_>>()))
        .collect();
    assert_eq!(shown, [(Some("chat"), vec![Some(0.1), None]), (Some("voice"), vec![Some(2.0), Some(4.0)])]);
    let voice = reader.analytics_series(&acme(), &calls(), "duration", Some(&[Some("voice")])).await.expect("reads");
    assert_eq!(voice, Some(vec![series[1].clone()]));
    assert_eq!(reader.analytics_series(&acme(), &calls(), "colour", None).await.expect("reads"), None);
    store.close().await;
}

async fn results_that_served_their_time_count_no_more_then_go_then_their_runs(place: Place) {
    let store = place.open().await;
    put(
        &store,
        vec![run(2, RunStatus::Done), run(3, RunStatus::Failed), run(4, RunStatus::Running), run(6, RunStatus::Done)],
    )
    .await;
    put_rows(&store, 2).await;
    put_rows(&store, 6).await;
    let prune = async |what| {
        let slice = Slice { tenant: Some(acme()), what, before: at(5) };
        store.writer().prune(slice).await.expect("prunes")
    };
    assert_eq!(prune(Pruned::AnalyticsRows).await, 0, "rows that count stay");
    assert_eq!(prune(Pruned::AnalyticsRuns).await, 1, "the failed one has none");
    assert_eq!(prune(Pruned::AnalyticsResults).await, 1);
    let gone = store.reader().analytics_run(&acme(), id(2)).await.expect("reads").expect("still there");
    assert_eq!(gone.result.map(|result| result.there), Some(false));
    assert_eq!(prune(Pruned::AnalyticsRuns).await, 0, "not before its rows");
    assert_eq!(prune(Pruned::AnalyticsRows).await, 4);
    assert_eq!(prune(Pruned::AnalyticsRuns).await, 1);
    let left = store.reader().analytics_runs(&acme(), None, None, 9).await.expect("reads");
    assert_eq!(left.iter().map(|run| run.id).collect::<Vec<_>>(), [id(6), id(4)]);
    assert_eq!(store.reader().analytics_rows(&acme(), id(6), 0, 9).await.expect("reads").len(), 4);
    store.close().await;
}

async fn rows_of_a_result_that_counts_are_never_cleared_away(place: Place) {
    let store = place.open().await;
    put(&store, vec![run(2, RunStatus::Running), run(4, RunStatus::Done)]).await;
    put_rows(&store, 2).await;
    put_rows(&store, 4).await;
    for (n, gone) in [(2, 4), (2, 0), (4, 0)] {
        let slice = Slice { tenant: Some(acme()), what: Pruned::AnalyticsRowsOf(id(n)), before: at(9) };
        assert_eq!(store.writer().prune(slice).await.expect("prunes"), gone, "{n}");
    }
    store.close().await;
}
