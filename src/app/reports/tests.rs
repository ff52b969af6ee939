//! The desk over a store: what becomes of runs, their files and their records.

use std::path::Path;

use super::*;
use crate::app::identity;
use crate::clock::{ManualClock, SystemRandom};
use crate::config::{ConfigText, Environment};
use crate::domain::reports::report_run::{ReportFormat, ReportKind};
use crate::report::verify::{CheckOutcome, verify};
use crate::store::{ProcessRole, Store};

fn now() -> UtcMicros {
    "2026-10-26T12:00:00Z".parse().expect("an instant")
}

struct ReportHarness {
    folder: tempfile::TempDir,
    store: Store,
    desk: ReportRunner,
    tenants: Tenants,
}

impl ReportHarness {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("s.db").display());
        let text = format!(
            "[store]\nurl = {url:?}\n[[tenants]]\nid = \"acme\"\nbase_url = \"http://127.0.0.1:1\"\nclient_id = \"x\"\n\
             client_secret = {{ env = \"SECRET\" }}\n"
        );
        let environment: Environment = [("SECRET".to_owned(), "x".to_owned())].into_iter().collect();
        let texts = [ConfigText { file: "c.toml".into(), text }];
        let config = Config::load_texts(&texts, &environment, &[]).expect("sound").config;
        let clock: SharedClock = Arc::new(ManualClock::at(now()));
        let store = Store::open(&url, ProcessRole::Daemon, clock.clone(), &identity()).await.expect("opens");
        let parts = (store.writer().clone(), store.reader().clone());
        let tenants = Tenants::from_ids(["acme".into()]);
        let desk = ReportRunner::new(&config, tenants.clone(), parts, clock, Arc::new(SystemRandom));
        Self { folder, store, desk, tenants }
    }

    fn order() -> ReportRequest {
        ReportRequest {
            request: Request::whole_tenant(ReportKind::Compliance, "acme".into(), UtcMicros::MAX),
            format: ReportFormat::Json,
            section: None,
            actor: "person:ann".to_owned(),
        }
    }

    /// Runs the desk until the run has ended.
    async fn wait_until_ended(&self, run: &ReportRun) -> ReportRun {
        let soft = CancellationToken::new();
        let ended = async {
            let ended = self.desk.wait_for_end(&run.tenant, run.id).await.expect("it ends");
            soft.cancel();
            ended
        };
        let (stopped, ended) = tokio::join!(self.desk.clone().run(soft.clone()), ended);
        stopped.expect("nothing fails");
        ended
    }

    async fn store_run(&self, run: ReportRun) {
        self.store.writer().commit(Commit { report_runs: vec![run], ..Commit::default() }).await.expect("commits");
    }

    fn file_count(&self) -> usize {
        let of = self.folder.path().join("reports").join("acme");
        std::fs::read_dir(of).map_or(0, Iterator::count)
    }

    async fn actions(&self) -> Vec<(String, Option<String>)> {
        let entries = self.store.reader().audit_entries(&"acme".into(), 0, 100).await.expect("reads");
        let body = |entry: &crate::store::StoredEntry| {
            let body: crate::domain::audit::AuditBody = serde_json::from_str(&entry.body).expect("a body");
            (body.action, body.outcome)
        };
        entries.iter().map(body).collect()
    }
}

#[tokio::test]
async fn a_run_leaves_a_file_that_holds_an_entry_and_an_event() {
    let scene = ReportHarness::new().await;
    let run = scene.desk.submit(ReportHarness::order(), None).await.expect("taken");
    assert_eq!(run.status, RunStatus::Waiting);
    let ended = scene.wait_until_ended(&run).await;
    let file = ended.file.as_ref().expect("a file");
    assert!(file.exists && ended.status == RunStatus::Done && ended.attempts == 1, "{ended:?}");
    assert_eq!(scene.file_count(), 2, "the file and its manifest");
    let verdict = verify(scene.store.reader(), Path::new(&*ended.path)).await.expect("checked");
    assert!(verdict.checks.iter().all(|check| check.outcome == CheckOutcome::Holds), "{verdict:?}");
    assert_eq!(scene.actions().await, [("report.completed".to_owned(), Some("done".to_owned()))]);
    let events = scene.store.reader().event_counts(&"acme".into()).await.expect("reads");
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn a_cancelled_report_leaves_no_file_and_too_many_reports_are_refused() {
    let scene = ReportHarness::new().await;
    let mut taken = Vec::new();
    for _ in 0..MAX_OPEN {
        taken.push(scene.desk.submit(ReportHarness::order(), None).await.expect("taken"));
    }
    assert!(matches!(
        scene.desk.submit(ReportHarness::order(), None).await,
        Err(ReportRequestError::TooMany(MAX_OPEN))
    ));
    for run in &taken {
        let cancelled = scene.desk.cancel(&run.tenant, run.id).await.expect("recorded").expect("it is there");
        assert_eq!((cancelled.status, &cancelled.file), (RunStatus::Cancelled, &None));
    }
    assert!(scene.desk.cancel(&"acme".into(), ReportRunId(uuid::Uuid::nil())).await.expect("reads").is_none());
    assert_eq!(scene.file_count(), 0);
    assert_eq!(scene.actions().await.len(), MAX_OPEN);
    // There is room again, and a report that has ended does not change.
    let run = scene.desk.submit(ReportHarness::order(), None).await.expect("taken");
    scene.wait_until_ended(&run).await;
    let late = scene.desk.cancel(&run.tenant, run.id).await.expect("reads").expect("it is there");
    assert_eq!((late.status, scene.file_count()), (RunStatus::Done, 2));
}

#[tokio::test]
async fn a_run_that_was_cut_off_is_made_again_and_not_for_ever() {
    let scene = ReportHarness::new().await;
    let run = scene.desk.submit(ReportHarness::order(), None).await.expect("taken");
    let cut_off = |attempts| ReportRun { status: RunStatus::Running, attempts, ..run.clone() };
    for (attempts, status) in [(1, RunStatus::Done), (MAX_ATTEMPTS, RunStatus::Failed)] {
        let row = ReportRun { ended_at: None, file: None, ..cut_off(attempts) };
        scene.store_run(row).await;
        let partial = crate::report::export::partial_path(Path::new(&*run.path));
        std::fs::create_dir_all(partial.parent().expect("a folder")).expect("made");
        std::fs::write(&partial, "half").expect("written");
        let ended = scene.wait_until_ended(&run).await;
        assert_eq!((ended.status, ended.attempts), (status, attempts + 1), "{ended:?}");
        assert!(!partial.exists());
    }
}

#[tokio::test]
async fn what_was_cut_off_is_taken_up_when_its_tenant_is_served_again() {
    let scene = ReportHarness::new().await;
    let first = scene.desk.submit(ReportHarness::order(), None).await.expect("taken");
    let cut_off = ReportRun { id: ReportRunId(uuid::Uuid::from_u128(7)), tenant: "bravo".into(), ..first.clone() };
    let request = Request { tenant: "bravo".into(), ..ReportHarness::order().request };
    let request = serde_json::to_string(&request).expect("it can be written").into();
    scene.store_run(ReportRun { request, ..cut_off.clone() }).await;
    let soft = CancellationToken::new();
    let reload = async {
        scene.desk.wait_for_end(&first.tenant, first.id).await.expect("it ends");
        let waits =
            scene.store.reader().report_run(&cut_off.tenant, cut_off.id).await.expect("reads").expect("it is there");
        assert_eq!(waits.status, RunStatus::Waiting, "its tenant is not served");
        scene.tenants.set_ids(["acme".into(), "bravo".into()]);
        let ended = scene.desk.wait_for_end(&cut_off.tenant, cut_off.id).await.expect("it ends");
        soft.cancel();
        ended
    };
    let (stopped, ended) = tokio::join!(scene.desk.clone().run(soft.clone()), reload);
    stopped.expect("nothing fails");
    assert_eq!((ended.status, ended.attempts), (RunStatus::Done, 1));
    let again = scene.store.reader().report_run(&first.tenant, first.id).await.expect("reads").expect("it is there");
    assert_eq!(again.attempts, 1, "what is done is not begun again");
}

#[tokio::test]
async fn a_request_that_cannot_be_answered_is_refused_and_leaves_no_row() {
    let scene = ReportHarness::new().await;
    let wrong = Request { zone: "Mars/Base".to_owned(), ..ReportHarness::order().request };
    let refused = scene.desk.submit(ReportRequest { request: wrong, ..ReportHarness::order() }, None).await;
    assert!(matches!(refused, Err(ReportRequestError::InvalidRequest(why)) if why.contains("Europe/Berlin")));
    let refused =
        scene.desk.submit(ReportRequest { section: Some("logs".to_owned()), ..ReportHarness::order() }, None).await;
    assert!(matches!(refused, Err(ReportRequestError::InvalidRequest(_))), "JSON holds all sections");
    assert_eq!(scene.store.reader().report_runs(&"acme".into(), None, 10).await.expect("reads"), []);
}
