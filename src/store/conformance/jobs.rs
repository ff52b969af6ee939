//! Jobs of the calendar: how far they are, their runs, and the copy of a running store.

use super::{TestDatabase, acme, at, change, on_each_engine, verified_length};
use crate::domain::jobs::job::{JobKey, JobOutcome};
use crate::store::{BackupError, Commit, JobRun, JobState, Store, back_up};

on_each_engine!(
    a_job_is_where_it_was_last_and_its_newest_run_is_found,
    runs_without_an_end_are_found_after_a_crash,
    a_log_that_nobody_reads_is_folded_into_the_file,
);

pub(super) fn key(job: &str) -> JobKey {
    JobKey { tenant: Some(acme()), job: job.into() }
}

pub(super) fn run(job: &str, run: u64, seconds: i64, outcome: Option<JobOutcome>) -> JobRun {
    JobRun {
        key: key(job),
        run,
        due_at: at(seconds),
        attempt: 1,
        requested_by: None,
        started_at: at(seconds),
        finished_at: outcome.map(|_| at(seconds + 1)),
        outcome,
        message: outcome.map(|_| "said".to_owned()),
    }
}

pub(super) fn state(job: &str, seconds: i64) -> JobState {
    JobState {
        key: key(job),
        calendar: "* * * * * UTC".into(),
        handled_through: at(seconds),
        notified_at: None,
        notified_message: None,
    }
}

async fn a_job_is_where_it_was_last_and_its_newest_run_is_found(place: TestDatabase) {
    let store = place.open().await;
    let first = Commit {
        jobs: vec![state("a", 1), state("b", 1)],
        job_runs: vec![run("a", 1, 1, Some(JobOutcome::Done)), run("b", 1, 1, Some(JobOutcome::Failed))],
        ..Commit::default()
    };
    let second = Commit { jobs: vec![state("a", 2)], job_runs: vec![run("a", 2, 2, None)], ..Commit::default() };
    store.writer().commit(first).await.expect("commits");
    store.writer().commit(second).await.expect("commits");
    let ended = Commit { job_runs: vec![run("a", 2, 2, Some(JobOutcome::TimedOut))], ..Commit::default() };
    store.writer().commit(ended).await.expect("commits");
    let reader = store.reader();
    assert_eq!(reader.jobs().await.expect("reads"), [state("a", 2), state("b", 1)]);
    let (a2, b1) = (run("a", 2, 2, Some(JobOutcome::TimedOut)), run("b", 1, 1, Some(JobOutcome::Failed)));
    assert_eq!(reader.last_job_runs().await.expect("reads"), [a2.clone(), b1]);
    assert_eq!(reader.job_runs(&key("a"), 10).await.expect("reads"), [a2, run("a", 1, 1, Some(JobOutcome::Done))]);
    assert_eq!(reader.job_runs(&JobKey { tenant: None, job: "a".into() }, 10).await.expect("reads"), []);
    store.close().await;
}

async fn runs_without_an_end_are_found_after_a_crash(place: TestDatabase) {
    let store = place.open().await;
    let started = Commit {
        jobs: vec![state("a", 2)],
        job_runs: vec![run("a", 1, 1, Some(JobOutcome::Done)), run("a", 2, 2, None)],
        ..Commit::default()
    };
    store.writer().commit(started).await.expect("commits");
    drop(store);
    let reader = Store::read(&place.url).await.expect("opens");
    assert_eq!(reader.unfinished_job_runs().await.expect("reads"), [run("a", 2, 2, None)]);
    reader.close().await;
}

async fn a_log_that_nobody_reads_is_folded_into_the_file(place: TestDatabase) {
    let store = place.open().await;
    for n in 0..20 {
        store.writer().commit(change(n)).await.expect("commits");
    }
    assert!(store.writer().is_idle());
    let done = store.writer().checkpoint().await.expect("folds");
    let is_file = place.url.starts_with("sqlite");
    assert_eq!((done.before_bytes > 0, done.after_bytes, done.held_by_reader), (is_file, 0, false), "{done:?}");
    store.writer().commit(change(21)).await.expect("the writer goes on");
    assert_eq!(verified_length(store.reader()).await, 21);
    store.close().await;
}

#[tokio::test]
async fn a_copy_of_a_running_store_holds_what_was_committed_and_nothing_half_is_left() {
    let place = TestDatabase::sqlite();
    let store = place.open().await;
    for n in 0..20 {
        store.writer().commit(change(n)).await.expect("commits");
    }
    let target = place.folder.path().join("copies/it's.db");
    let made = back_up(&place.url, &target).await.expect("copies");
    assert_eq!((made.entries, made.bytes), (20, target.metadata().expect("a file").len()));
    store.writer().commit(change(21)).await.expect("commits");
    let copy = Store::read(&format!("sqlite://{}", target.display())).await.expect("opens");
    assert_eq!(verified_length(&copy).await, 20);
    copy.close().await;
    let names: Vec<_> = std::fs::read_dir(place.folder.path().join("copies")).expect("a folder").flatten().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(target.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    }
    store.close().await;
}

#[tokio::test]
async fn a_copy_with_an_invalid_chain_is_discarded() {
    let place = TestDatabase::sqlite();
    let store = place.open().await;
    store.writer().commit(change(1)).await.expect("commits");
    place.execute_raw("DROP TRIGGER audit_entries_refuse_update").await.expect("disarmed");
    place.execute_raw("UPDATE audit_entries SET body = body || ' '").await.expect("forged");
    let target = place.folder.path().join("copies/a.db");
    let error = back_up(&place.url, &target).await.expect_err("refused");
    assert!(matches!(&error, BackupError::Damaged { what } if what.contains("entry 1")), "{error}");
    assert_eq!(std::fs::read_dir(target.parent().expect("a folder")).expect("a folder").count(), 0);
    let postgres = back_up("postgres://keeper@db.example/shifts", &target).await.expect_err("refused").to_string();
    assert!(postgres.contains("pg_dump"), "{postgres}");
    store.close().await;
}
