//! Passes by hand on a clock that stands still, over a real store: what is due once is done once, whatever the clock, the job and
//! the daemon do.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::retention::{Retention, RetentionPeriods};
use super::runner::JobRunner;
use super::*;
use crate::clock::{BoxFuture, Clock as _, ManualClock, SeededRandom};
use crate::domain::ids::TenantId;
use crate::domain::jobs::cron::{Calendar, Pattern};
use crate::domain::jobs::job::{CatchUp, JobOutcome};
use crate::domain::time::UtcMicros;
use crate::store::{JobRun, ProcessIdentity, ProcessRole, Store};

const HOUR: Duration = Duration::from_secs(3600);
const AT_NINE: &str = "2026-11-22T09:00:00Z";

type Work = Arc<dyn Fn(usize) -> BoxFuture<anyhow::Result<String>> + Send + Sync>;

/// A job that notes what it was run for.
#[derive(Clone)]
struct RecordingJob {
    due: Arc<StdMutex<Vec<UtcMicros>>>,
    /// The last failure that each run was given.
    failures: Arc<StdMutex<Vec<Option<String>>>>,
    work: Work,
}

impl RecordingJob {
    fn new(work: impl Fn(usize) -> BoxFuture<anyhow::Result<String>> + Send + Sync + 'static) -> Self {
        Self { due: Arc::default(), failures: Arc::default(), work: Arc::new(work) }
    }

    fn fine() -> Self {
        Self::new(|_| Box::pin(async { Ok("fine".to_owned()) }))
    }

    fn due(&self) -> Vec<String> {
        self.due.lock().expect("a lock").iter().map(ToString::to_string).collect()
    }
}

impl Job for RecordingJob {
    fn run(&self, due: UtcMicros, failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        self.failures.lock().expect("a lock").push(failure);
        let run = {
            let mut all = self.due.lock().expect("a lock");
            all.push(due);
            all.len()
        };
        (self.work)(run)
    }
}

struct Bench {
    clock: ManualClock,
    store: Store,
    parts: JobParts,
    _folder: tempfile::TempDir,
}

fn at(text: &str) -> UtcMicros {
    text.parse().expect("an instant")
}

fn key(tenant: Option<&str>) -> JobKey {
    JobKey { tenant: tenant.map(TenantId::from), job: "tidy".into() }
}

fn spec(cron: &str, catch_up: CatchUp, tenant: Option<&str>, job: &RecordingJob) -> JobSpec {
    let info = JobInfo {
        key: key(tenant),
        kind: "retention",
        calendar: Calendar::new(Pattern::parse(cron).expect("a pattern"), TimeZone::UTC),
        catch_up,
        time_limit_real: Duration::from_secs(60),
        source: None,
    };
    JobSpec { info, job: Arc::new(job.clone()) }
}

/// These jobs, for good.
fn in_force(specs: impl Into<Arc<[JobSpec]>>) -> JobSpecs {
    watch::channel(specs.into()).1
}

impl Bench {
    /// At 08:30 on a Sunday, with one job.
    async fn with(spec: JobSpec) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::at(at("2026-11-22T08:30:00Z"));
        let url = format!("sqlite://{}", folder.path().join("keeper.db").display());
        let identity = ProcessIdentity { host: "desk".into(), pid: 1, version: "0".into() };
        let store = Store::open(&url, ProcessRole::Daemon, Arc::new(clock.clone()), &identity).await.expect("opens");
        let shared: SharedClock = Arc::new(clock.clone());
        let specs = in_force([spec]);
        let (_, requests) = Jobs::new(specs.clone(), shared.clone());
        let parts = JobParts {
            specs,
            tenants: Tenants::from_ids(["acme".into(), "bravo".into()]),
            writer: store.writer().clone(),
            reader: store.reader().clone(),
            clock: shared.clone(),
            random: Arc::new(SeededRandom::new(1)),
            readiness: Readiness::new(shared),
            requests,
        };
        Self { clock, store, parts, _folder: folder }
    }

    async fn keeper(&self) -> JobRunner {
        let specs = self.parts.specs.borrow().clone();
        let mut keeper = JobRunner::load(self.parts.clone(), &specs).await.expect("loads");
        keeper.pass().await.expect("passes");
        keeper
    }

    /// Passes until nothing runs and nothing is due.
    async fn settle(&self, keeper: &mut JobRunner) {
        keeper.pass().await.expect("passes");
        while let Some(ended) = keeper.next_end().await {
            keeper.finish_run(ended);
            keeper.pass().await.expect("passes");
        }
    }

    async fn advance(&self, keeper: &mut JobRunner, by: Duration) {
        self.clock.advance(by);
        self.settle(keeper).await;
        // A wake-up more does no harm.
        self.settle(keeper).await;
    }

    /// The runs, the oldest first.
    async fn runs(&self) -> Vec<JobRun> {
        let key = self.parts.specs.borrow()[0].info.key.clone();
        let mut runs = self.store.reader().job_runs(&key, 100).await.expect("reads");
        runs.reverse();
        runs
    }

    async fn outcomes(&self) -> Vec<(Option<JobOutcome>, u32, String)> {
        let runs = self.runs().await;
        runs.into_iter().map(|run| (run.outcome, run.attempt, run.message.unwrap_or_default())).collect()
    }

    async fn told(&self, tenant: &str) -> Vec<Value> {
        let events = self.store.reader().events(&tenant.into(), 0, 100).await.expect("reads");
        events.iter().map(|event| serde_json::from_str(&event.body).expect("JSON")).collect()
    }

    fn detail(&self) -> Option<String> {
        let report = self.parts.readiness.report();
        report.parts.iter().find(|part| part.name.starts_with("job ") && !part.ready).map(|part| part.detail.clone())
    }
}

#[tokio::test]
async fn each_due_instant_is_run_once_from_when_the_job_is_first_seen() {
    let job = RecordingJob::fine();
    let bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &job)).await;
    let mut keeper = bench.keeper().await;
    assert!(job.due().is_empty(), "nothing is due yet");
    for _ in 0..6 {
        bench.advance(&mut keeper, HOUR / 2).await;
    }
    assert_eq!(job.due(), ["2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"]);
    // A restart is no reason to do it again.
    drop(keeper);
    let mut again = bench.keeper().await;
    bench.settle(&mut again).await;
    assert_eq!(job.due().len(), 3);
    let runs = bench.runs().await;
    assert!(runs.iter().all(|run| run.outcome == Some(JobOutcome::Done) && run.message.as_deref() == Some("fine")));
    assert_eq!(runs.iter().map(|run| run.run).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn eight_hours_of_a_suspended_host_are_one_catch_up() {
    let job = RecordingJob::fine();
    let bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &job)).await;
    let mut keeper = bench.keeper().await;
    // Suspended: the wall clock moves, monotonic time does not.
    bench.clock.step_to(bench.clock.now() + 8 * HOUR);
    bench.settle(&mut keeper).await;
    assert_eq!(job.due(), ["2026-11-22T16:00:00Z"]);
    assert_eq!(bench.outcomes().await[0].2, "fine (also for 7 missed before it)");
    bench.advance(&mut keeper, HOUR).await;
    assert_eq!(job.due().len(), 2, "and on as usual");
}

#[tokio::test]
async fn a_job_that_leaves_out_what_has_passed_says_so() {
    let job = RecordingJob::fine();
    let bench = Bench::with(spec("0 * * * *", CatchUp::Skip, None, &job)).await;
    drop(bench.keeper().await);
    // The daemon is down for eight hours.
    bench.clock.advance(8 * HOUR);
    let mut keeper = bench.keeper().await;
    bench.settle(&mut keeper).await;
    assert!(job.due().is_empty());
    let outcomes = bench.outcomes().await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(
        (outcomes[0].0, &*outcomes[0].2),
        (Some(JobOutcome::Skipped), "8 due time(s) had passed and were skipped")
    );
    bench.advance(&mut keeper, HOUR / 2).await;
    assert_eq!(job.due(), ["2026-11-22T17:00:00Z"], "in time it runs");
}

#[tokio::test]
async fn a_job_never_runs_twice_at_once_and_missed_due_times_are_caught_up() {
    let release = Arc::new(Notify::new());
    let (waits, at_once, most) = (release.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let job = RecordingJob::new(move |_| {
        let (waits, at_once, most) = (waits.clone(), at_once.clone(), most.clone());
        Box::pin(async move {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            waits.notified().await;
            at_once.fetch_sub(1, Ordering::SeqCst);
            Ok("done".to_owned())
        })
    });
    let bench = Bench::with(spec("*/10 * * * *", CatchUp::Once, None, &job)).await;
    let mut keeper = bench.keeper().await;
    for _ in 0..3 {
        bench.clock.advance(Duration::from_secs(600));
        keeper.pass().await.expect("passes");
    }
    let refused = request_run(&mut keeper, key(None)).await.expect_err("it runs");
    assert!(matches!(refused, RunJobError::Running { run: 1, .. }), "{refused}");
    release.notify_one();
    let ended = keeper.next_end().await.expect("a run");
    keeper.finish_run(ended);
    keeper.pass().await.expect("passes");
    release.notify_one();
    bench.settle(&mut keeper).await;
    assert_eq!(job.due(), ["2026-11-22T08:40:00Z", "2026-11-22T09:00:00Z"]);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// The answer to a person's request to run a job now.
async fn request_run(keeper: &mut JobRunner, key: JobKey) -> Result<u64, RunJobError> {
    let (reply, answer) = oneshot::channel();
    keeper.request_run(RunJobRequest { key, actor: "ops".into(), reply });
    keeper.pass().await.expect("passes");
    answer.await.expect("answered")
}

#[tokio::test]
async fn a_person_may_run_a_job_at_any_time_without_changing_its_schedule() {
    let job = RecordingJob::fine();
    let bench = Bench::with(spec("0 * * * *", CatchUp::Once, Some("acme"), &job)).await;
    let mut keeper = bench.keeper().await;
    assert_eq!(request_run(&mut keeper, key(Some("acme"))).await, Ok(1));
    bench.settle(&mut keeper).await;
    let (reply, left) = oneshot::channel();
    drop(left);
    keeper.request_run(RunJobRequest { key: key(Some("acme")), actor: "gone".into(), reply });
    bench.settle(&mut keeper).await;
    assert_eq!(bench.runs().await.len(), 1, "a wish whose answer nobody waits for is not carried out");
    let unknown = request_run(&mut keeper, key(None)).await.expect_err("another's").to_string();
    assert_eq!(unknown, "there is no job tidy; the jobs are: tidy of acme");
    bench.advance(&mut keeper, HOUR / 2).await;
    assert_eq!(job.due(), ["2026-11-22T08:30:00Z", "2026-11-22T09:00:00Z"]);
    let asked: Vec<_> = bench.runs().await.into_iter().map(|run| run.requested_by).collect();
    assert_eq!(asked, [Some("ops".to_owned()), None]);
}

#[tokio::test]
async fn failures_and_panics_are_recorded_and_reported_until_a_success() {
    let job = RecordingJob::new(|run| {
        Box::pin(async move {
            match run {
                1..=2 => anyhow::bail!("the disk is full"),
                3 => panic!("out of bounds"),
                _ => Ok("fine".to_owned()),
            }
        })
    });
    let bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &job)).await;
    let mut keeper = bench.keeper().await;
    bench.advance(&mut keeper, HOUR).await;
    assert_eq!(bench.detail().as_deref(), Some("failed: the disk is full"));
    bench.advance(&mut keeper, HOUR).await;
    assert_eq!(bench.told("acme").await.len(), 1, "the same again is not told again at once");
    // Also over a restart people see that it failed last.
    drop(keeper);
    let mut keeper = bench.keeper().await;
    assert_eq!(bench.detail().as_deref(), Some("the disk is full"));
    bench.advance(&mut keeper, HOUR).await;
    let told = bench.told("bravo").await;
    assert_eq!(told.len(), 2, "each tenant is told of the daemon's own: {told:?}");
    assert_eq!((&told[0]["event"], &told[0]["data"]["scope"]), (&"JOB_FAILED".into(), &"daemon".into()));
    assert_eq!((&told[0]["data"]["jobId"], &told[0]["data"]["message"]), (&"tidy".into(), &"the disk is full".into()));
    assert_eq!(told[1]["data"]["outcome"], "panicked");
    bench.advance(&mut keeper, HOUR).await;
    assert_eq!(bench.detail(), None);
    let outcomes: Vec<_> = bench.outcomes().await.into_iter().map(|(outcome, ..)| outcome.expect("ended")).collect();
    assert_eq!(outcomes, [JobOutcome::Failed, JobOutcome::Failed, JobOutcome::Panicked, JobOutcome::Done]);
    bench.advance(&mut keeper, HOUR).await;
    let full = Some("the disk is full".to_owned());
    let panicked = Some("it panicked (out of bounds); please report this".to_owned());
    let knew = job.failures.lock().expect("a lock").clone();
    assert_eq!(
        knew,
        [None, full.clone(), full, panicked, None],
        "each run knows which failure stands, also over a restart"
    );
}

#[tokio::test]
async fn a_lasting_failure_is_reported_each_night() {
    let job = RecordingJob::new(|_| Box::pin(async { anyhow::bail!("no folder") }));
    let bench = Bench::with(spec("30 2 * * *", CatchUp::Once, Some("acme"), &job)).await;
    let mut keeper = bench.keeper().await;
    for _ in 0..3 {
        bench.advance(&mut keeper, 24 * HOUR).await;
    }
    assert_eq!((bench.told("acme").await.len(), bench.told("bravo").await.len()), (3, 0));
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped() {
    let job = RecordingJob::new(|_| Box::pin(std::future::pending()));
    let mut spec = spec("0 * * * *", CatchUp::Once, None, &job);
    spec.info.time_limit_real = Duration::from_millis(20);
    let bench = Bench::with(spec).await;
    let mut keeper = bench.keeper().await;
    bench.advance(&mut keeper, HOUR).await;
    let outcomes = bench.outcomes().await;
    assert_eq!(outcomes[0].0, Some(JobOutcome::TimedOut));
    assert!(outcomes[0].2.contains("time_limit"), "{outcomes:?}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_run_anything_twice() {
    let job = RecordingJob::fine();
    let bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &job)).await;
    let mut keeper = bench.keeper().await;
    bench.advance(&mut keeper, HOUR).await;
    assert_eq!(job.due(), ["2026-11-22T09:00:00Z"]);
    for back in [Duration::from_secs(40 * 60), HOUR] {
        bench.clock.step_to(bench.clock.now() - back);
        bench.settle(&mut keeper).await;
        bench.advance(&mut keeper, back).await;
    }
    assert_eq!(job.due().len(), 1, "09:00 came again and was done");
    // A day forward by mistake, and back: that day is caught up once, and its 24 instants do not come again.
    let noon = bench.clock.now();
    bench.clock.step_to(noon + 24 * HOUR);
    bench.settle(&mut keeper).await;
    assert_eq!(job.due().len(), 2);
    bench.clock.step_to(noon);
    for _ in 0..24 {
        bench.advance(&mut keeper, HOUR).await;
    }
    assert_eq!(job.due().len(), 2, "{:?}", job.due());
    bench.advance(&mut keeper, HOUR).await;
    assert_eq!(job.due().len(), 3, "then it goes on");
}

#[tokio::test]
async fn a_clock_that_was_wrong_by_years_does_not_silence_a_job_for_years() {
    let job = RecordingJob::fine();
    let bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &job)).await;
    let mut keeper = bench.keeper().await;
    let now = bench.clock.now();
    bench.clock.step_to(at("2036-01-01T00:30:00Z"));
    bench.settle(&mut keeper).await;
    bench.clock.step_to(now);
    bench.settle(&mut keeper).await;
    bench.advance(&mut keeper, HOUR).await;
    assert_eq!(job.due(), ["2036-01-01T00:00:00Z", "2026-11-22T09:00:00Z"]);
}

#[tokio::test]
async fn a_run_that_the_daemon_did_not_survive_shows_as_cut_off_and_is_done_again_but_not_for_ever() {
    let job = RecordingJob::new(|_| Box::pin(std::future::pending()));
    let bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &job)).await;
    let mut keeper = bench.keeper().await;
    bench.clock.advance(HOUR);
    keeper.pass().await.expect("passes");
    for _ in 0..4 {
        // As a crash does: nothing is written any more.
        drop(keeper);
        keeper = bench.keeper().await;
    }
    tokio::task::yield_now().await;
    let outcomes = bench.outcomes().await;
    let cut_off = Some(JobOutcome::CutOff);
    assert_eq!(
        outcomes.iter().map(|(outcome, attempt, _)| (*outcome, *attempt)).collect::<Vec<_>>(),
        [(cut_off, 1), (cut_off, 2), (cut_off, 3)]
    );
    assert!(
        outcomes[1].2.ends_with("it is done again") && outcomes[2].2.ends_with("it is not tried again"),
        "{outcomes:?}"
    );
    assert!(bench.runs().await.iter().all(|run| run.due_at == at("2026-11-22T09:00:00Z")));
}

#[tokio::test]
async fn a_changed_calendar_starts_afresh() {
    let job = RecordingJob::fine();
    let mut bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &job)).await;
    drop(bench.keeper().await);
    bench.clock.advance(5 * HOUR);
    bench.parts.specs = in_force([spec("15 * * * *", CatchUp::Once, None, &job)]);
    let mut keeper = bench.keeper().await;
    bench.settle(&mut keeper).await;
    assert!(job.due().is_empty(), "what the new calendar would have asked for in the past is not due");
    bench.advance(&mut keeper, HOUR).await;
    assert_eq!(job.due(), ["2026-11-22T14:15:00Z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_wakes_by_itself_runs_requested_jobs_and_stops_on_request() {
    let ran = Arc::new(Notify::new());
    let told = ran.clone();
    let job = RecordingJob::new(move |_| {
        told.notify_one();
        Box::pin(async { Ok("fine".to_owned()) })
    });
    let mut bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &job)).await;
    let (way_in, requests) = Jobs::new(bench.parts.specs.clone(), bench.parts.clock.clone());
    bench.parts.requests = requests;
    let soft = CancellationToken::new();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(run(bench.parts.clone(), soft.clone()));
    assert_eq!(way_in.run_now(key(None), "ops".into()).await, Ok(1));
    ran.notified().await;
    bench.clock.advance(HOUR);
    ran.notified().await;
    assert_eq!(job.due()[1], "2026-11-22T09:00:00Z");
    soft.cancel();
    task.join_next().await.expect("a task").expect("no panic").expect("ends well");
    let views = way_in.views(bench.store.reader()).await.expect("reads");
    assert_eq!(views[0].next_due_at, Some(at("2026-11-22T10:00:00Z")));
    assert_eq!(views[0].last.as_ref().map(|run| (run.run, &*run.outcome)), Some((2, "done")));
}

#[tokio::test]
async fn retention_lets_go_of_everything_that_has_served_its_time() {
    use crate::domain::audit::Hash;
    use crate::domain::audit::head::HeadSigningKey;
    use crate::domain::ids::EventId;
    use crate::domain::webhooks::event::{Details as _, Event, ScheduleImported};
    use crate::engine::audit::heads::{HeadParts, HeadSettings};
    use crate::store::{Commit, IdempotencyRow};

    let bench = Bench::with(spec("0 * * * *", CatchUp::Once, None, &RecordingJob::fine())).await;
    let now = bench.clock.now();
    let event = |n: u64, age: Duration| Event {
        id: EventId(uuid::Uuid::from_u128(u128::from(n))),
        tenant: "acme".into(),
        at: now - age,
        data: ScheduleImported::example().into(),
    };
    let events = (0..700).map(|n| event(n, 31 * 24 * HOUR)).chain([event(800, HOUR)]).collect();
    let answer = |tenant: Option<&str>, age: u32| IdempotencyRow {
        tenant: tenant.map(TenantId::from),
        token: "ops".into(),
        key: age.to_string().into(),
        request_hash: Hash::of(b"what was asked"),
        status: 200,
        response_body: "{}".to_owned(),
        at: now - age * HOUR,
    };
    let idempotency = [(Some("acme"), 25), (Some("acme"), 23), (None, 25), (None, 23)];
    let idempotency = idempotency.map(|(tenant, age)| answer(tenant, age)).into();
    let commit = Commit { events, idempotency, ..Commit::default() };
    bench.store.writer().commit(commit).await.expect("commits");
    let retention = Retention {
        writer: bench.store.writer().clone(),
        reader: bench.store.reader().clone(),
        clock: bench.parts.clock.clone(),
        tenants: bench.parts.tenants.clone(),
        heads: HeadParts {
            writer: bench.store.writer().clone(),
            reader: bench.store.reader().clone(),
            clock: bench.parts.clock.clone(),
            random: Arc::new(SeededRandom::new(1)),
            key: HeadSigningKey::from_seed([1; 32]),
            tenants: bench.parts.tenants.clone(),
            settings: HeadSettings { entries: 1000, folder: None },
            signing_lock: Arc::default(),
        },
        periods: RetentionPeriods {
            history: 400 * 24 * HOUR,
            audit: 1461 * 24 * HOUR,
            deliveries: 30 * 24 * HOUR,
            job_runs: 30 * 24 * HOUR,
        },
    };
    assert_eq!(retention.run(now, None).await.expect("lets go"), "deleted 2 answers, 700 events");
    assert_eq!(retention.run(now, None).await.expect("lets go"), "nothing had served its time");
    assert_eq!(bench.told("acme").await.len(), 1);
}

#[tokio::test]
async fn a_reload_brings_jobs_and_takes_them_and_what_runs_comes_to_its_end() {
    let gate = Arc::new(Notify::new());
    let waits = gate.clone();
    let slow = RecordingJob::new(move |_| {
        let gate = waits.clone();
        Box::pin(async move {
            gate.notified().await;
            anyhow::bail!("as asked")
        })
    });
    let (leaves, stays) = (spec("0 * * * *", CatchUp::Once, Some("acme"), &slow), RecordingJob::fine());
    let bench = Bench::with(leaves.clone()).await;
    let mut keeper = bench.keeper().await;
    bench.clock.advance(HOUR);
    keeper.pass().await.expect("passes");
    let comes = spec("0 * * * *", CatchUp::Once, Some("bravo"), &stays);
    keeper.set_specs(std::slice::from_ref(&comes)).await.expect("follows");
    let (reply, answer) = oneshot::channel();
    keeper.request_run(RunJobRequest { key: key(Some("acme")), actor: "ops".into(), reply });
    assert!(matches!(answer.await, Ok(Err(RunJobError::Unknown { known, .. })) if known == "tidy of bravo"));
    bench.clock.advance(HOUR);
    keeper.pass().await.expect("passes");
    gate.notify_one();
    bench.settle(&mut keeper).await;
    assert_eq!((slow.due(), stays.due()), (vec![AT_NINE.to_owned()], vec!["2026-11-22T10:00:00Z".to_owned()]));
    let runs = bench.store.reader().job_runs(&key(Some("acme")), 10).await.expect("reads");
    assert_eq!(runs.iter().map(|run| run.outcome).collect::<Vec<_>>(), [Some(JobOutcome::Failed)]);
    let shown: Vec<_> = bench.parts.readiness.report().parts.into_iter().map(|part| part.name).collect();
    assert_eq!(shown, ["job tidy of bravo"], "a job that is gone does not show");

    // Back again, it goes on where it stood: what came due meanwhile is made up for as its calendar says.
    keeper.set_specs(&[leaves, comes]).await.expect("follows");
    gate.notify_one();
    bench.settle(&mut keeper).await;
    assert_eq!(slow.due(), [AT_NINE, "2026-11-22T10:00:00Z"]);
}
