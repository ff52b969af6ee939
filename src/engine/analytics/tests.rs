//! Which results are kept, and that a run that has ended does not change.

use std::sync::Arc;

use super::*;
use crate::clock::{ManualClock, SeededRandom};
use crate::domain::analytics::analytics_run::{DEFAULT_DEADLINE, QueryRange, RunResult};
use crate::domain::analytics::{Aggregation, AggregationQuery, MetricRequest, QueryBucket};
use crate::store::{AnalyticsRows, ProcessIdentity, ProcessRole, Store};

struct Bench {
    clock: ManualClock,
    analytics: Analytics,
    store: Store,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let clock = ManualClock::at("2026-10-26T13:30:00Z".parse().expect("an instant"));
    let shared: SharedClock = Arc::new(clock.clone());
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("s.db").display());
    let identity = ProcessIdentity { host: "desk".to_owned(), pid: 1, version: "0".to_owned() };
    let store = Store::open(&url, ProcessRole::Daemon, shared.clone(), &identity).await.expect("opens");
    let analytics =
        Analytics::new(store.writer().clone(), store.reader().clone(), shared, Arc::new(SeededRandom::new(1)));
    Bench { clock, analytics, store, _folder: folder }
}

fn run_request(analytics: &Analytics) -> AnalyticsRunRequest {
    let query = AggregationQuery {
        name: "calls".into(),
        metrics: vec![MetricRequest { name: "count".to_owned(), aggregation: Aggregation::Sum }],
        dimensions: Vec::new(),
        filter: None,
        bucket: QueryBucket::Day,
        zone: jiff::tz::TimeZone::UTC,
    };
    AnalyticsRunRequest {
        tenant: "acme".into(),
        query: Some("calls".into()),
        request: RunRequest::new(&query, QueryRange::Last(2).span(&query, analytics.now()), 500, DEFAULT_DEADLINE),
        actor: "person:ann".to_owned(),
        job: None,
    }
}

#[tokio::test]
async fn no_more_runs_than_may_be_are_taken_in() {
    let Bench { analytics: desk, store, _folder, .. } = bench().await;
    for _ in 0..MAX_OPEN_RUNS {
        desk.request_run(run_request(&desk)).await.expect("taken");
    }
    assert!(matches!(desk.request_run(run_request(&desk)).await, Err(AnalyticsError::TooMany)));
    let open = store.reader().open_analytics_runs(&"acme".into()).await.expect("reads");
    desk.cancel(&"acme".into(), open[0].id, "person:ann").await.expect("called off");
    desk.request_run(run_request(&desk)).await.expect("there is room again");
    store.close().await;
}

#[tokio::test]
async fn the_second_change_finds_the_run_ended() {
    let Bench { analytics: desk, store, _folder, .. } = bench().await;
    let run = desk.request_run(run_request(&desk)).await.expect("taken");
    let cancelled = desk.cancel(&run.tenant, run.id, "person:bea").await.expect("called off").expect("known");
    assert_eq!((cancelled.status, cancelled.last_hold_until()), (RunStatus::Cancelled, None), "it never left");
    let late = desk.update_run(&run.tenant, run.id, None, |run| run.status = RunStatus::Done).await.expect("reads");
    assert_eq!(late, None);
    assert_eq!(desk.wait_for_end(&run.tenant, run.id).await.expect("there"), cancelled);
    let unknown = desk.cancel(&"globex".into(), run.id, "person:bea").await.expect("reads");
    assert_eq!(unknown, None);
    store.close().await;
}

#[tokio::test]
async fn the_oldest_results_go_where_there_are_more_than_may_be() {
    let Bench { clock, analytics: desk, store, _folder } = bench().await;
    let mut ids = Vec::new();
    // The fourth-newest is so large that it and what is older do not fit.
    for received in [1, MAX_STORED_ROWS, 1, 1, 1] {
        clock.advance(std::time::Duration::from_secs(1));
        let run = desk.request_run(run_request(&desk)).await.expect("taken");
        let done = |run: &mut AnalyticsRun| {
            run.status = RunStatus::Done;
            run.result = Some(RunResult { has_rows: true, received, promised: None, sha256: "ab".repeat(32) });
        };
        desk.update_run(&run.tenant, run.id, None, done).await.expect("writes");
        let rows = vec!["{\"at\":\"2026-10-25T00:00:00Z\",\"dimensions\":[],\"metrics\":[1.0]}".to_owned()];
        let analytics_rows = vec![AnalyticsRows { tenant: run.tenant.clone(), run: run.id, first_index: 0, rows }];
        store.writer().commit(Commit { analytics_rows, ..Commit::default() }).await.expect("commits");
        ids.push(run.id);
    }
    desk.discard_old_results(&"acme".into(), Some(&"calls".into())).await.expect("lets go");
    for (place, id) in ids.iter().enumerate() {
        let run = store.reader().analytics_run(&"acme".into(), *id).await.expect("reads").expect("there");
        let rows = store.reader().analytics_rows(&"acme".into(), *id, 0, 9).await.expect("reads");
        let is_kept = place >= 2;
        assert_eq!(
            (run.result.map(|result| result.has_rows), rows.len()),
            (Some(is_kept), usize::from(is_kept)),
            "{place}"
        );
    }
    store.close().await;
}
