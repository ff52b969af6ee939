//! Requested reports: their status, which are open, which have a file, and which are deleted.

use super::{TestDatabase, acme, at, on_each_engine};
use crate::domain::ids::ReportRunId;
use crate::domain::reports::report_run::{ReportFormat, ReportRun, RunFile, RunStatus};
use crate::store::{Commit, PruneSlice, PruneTarget};

on_each_engine!(a_run_is_where_it_was_last_and_found_by_its_standing, what_has_no_file_any_more_goes_after_its_time,);

fn run(n: u32, status: RunStatus) -> ReportRun {
    let ended = status.is_final().then(|| at(i64::from(n)));
    let file = RunFile { exists: true, rows: 3, bytes: 40, sha256: "ab".repeat(32) };
    ReportRun {
        id: ReportRunId(uuid::Uuid::from_u128(u128::from(n))),
        tenant: acme(),
        requested_by: "person:ann".into(),
        requested_at: at(0),
        job: n.is_multiple_of(2).then(|| "report".into()),
        request: "{}".into(),
        format: ReportFormat::Csv,
        section: Some("logs".into()),
        path: "/reports/a.csv".into(),
        status,
        attempts: 1,
        started_at: Some(at(1)),
        ended_at: ended,
        file: (status == RunStatus::Done).then_some(file),
        error: (status == RunStatus::Failed).then(|| "the disk is full".to_owned()),
    }
}

async fn a_run_is_where_it_was_last_and_found_by_its_standing(place: TestDatabase) {
    let store = place.open().await;
    let waiting = ReportRun { started_at: None, attempts: 0, ..run(3, RunStatus::Waiting) };
    let all = [
        run(1, RunStatus::Done),
        run(2, RunStatus::Failed),
        waiting.clone(),
        run(4, RunStatus::Running),
        run(5, RunStatus::Done),
    ];
    let elsewhere = ReportRun { tenant: "globex".into(), ..run(6, RunStatus::Running) };
    let report_runs = all.iter().cloned().chain([elsewhere]).collect();
    store.writer().commit(Commit { report_runs, ..Commit::default() }).await.expect("commits");
    let reader = store.reader();
    assert_eq!(reader.report_run(&acme(), waiting.id).await.expect("reads"), Some(waiting.clone()));
    assert_eq!(reader.report_run(&"globex".into(), waiting.id).await.expect("reads"), None);
    let newest = reader.report_runs(&acme(), None, 2).await.expect("reads");
    assert_eq!(newest, [all[4].clone(), all[3].clone()]);
    let next = reader.report_runs(&acme(), Some(newest[1].id), 10).await.expect("reads");
    assert_eq!(next, [waiting.clone(), all[1].clone(), all[0].clone()]);
    assert_eq!(reader.open_report_runs(&acme()).await.expect("reads"), [waiting.clone(), all[3].clone()]);
    let with_file = async |before| reader.report_runs_with_file(&acme(), at(before), 10).await.expect("reads");
    assert_eq!(with_file(9).await, [all[4].clone(), all[0].clone()]);
    assert_eq!(with_file(5).await, [all[0].clone()]);

    let ended = run(3, RunStatus::Done);
    let report_runs = vec![run(3, RunStatus::Running), ended.clone()];
    store.writer().commit(Commit { report_runs, ..Commit::default() }).await.expect("commits");
    assert_eq!(store.reader().report_run(&acme(), ended.id).await.expect("reads"), Some(ended));
    store.close().await;
}

async fn what_has_no_file_any_more_goes_after_its_time(place: TestDatabase) {
    let store = place.open().await;
    let gone = |n| {
        let run = run(n, RunStatus::Done);
        let file = run.file.clone().map(|file| RunFile { exists: false, ..file });
        ReportRun { file, ..run }
    };
    let report_runs =
        vec![gone(1), run(2, RunStatus::Failed), run(3, RunStatus::Done), run(4, RunStatus::Running), gone(5)];
    store.writer().commit(Commit { report_runs, ..Commit::default() }).await.expect("commits");
    let slice = PruneSlice { tenant: Some(acme()), target: PruneTarget::ReportRuns, before: at(5) };
    assert_eq!(store.writer().prune(slice.clone()).await.expect("prunes"), 2);
    assert_eq!(store.writer().prune(slice).await.expect("prunes"), 0);
    let left: Vec<_> = store.reader().report_runs(&acme(), None, 10).await.expect("reads");
    let left: Vec<_> = left.iter().map(|run| run.id.0.as_u128()).collect();
    assert_eq!(left, [5, 4, 3]);
    store.close().await;
}
