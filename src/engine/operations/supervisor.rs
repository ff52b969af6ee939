//! Spawns the daemon's tasks by name, and decides what happens when one ends.
//!
//! A stop is soft first (the token is cancelled and tasks finish their work), then drains (they have a limited real
//! time for it), then hard (remaining tasks are aborted). Nothing else in the crate spawns a task that outlives its
//! caller.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::readiness::Readiness;
use crate::clock::{BoxFuture, RealTime, Stopwatch};

/// The pause before the first restart of a failed task; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// How long beyond that pause a task must run to count as recovered, so that its next failure is a first one again.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

/// What happens when a task fails or panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// The task is restarted after a pause.
    Restart,
    /// The daemon stops in an orderly way with a failing exit code.
    StopDaemon,
}

/// Creates the task's future at every start.
type Factory = Arc<dyn Fn(CancellationToken) -> BoxFuture<anyhow::Result<()>> + Send + Sync>;

struct Task {
    name: Arc<str>,
    on_failure: OnFailure,
    factory: Factory,
    /// The task runs until all others have ended, and is then told.
    outlives_others: bool,
    failures: u32,
    /// The time since the last start.
    since_start: Stopwatch,
}

/// Why the daemon ended.
#[derive(Debug)]
pub enum SupervisorExit {
    /// A stop was requested.
    Requested,
    /// The named task, which the daemon cannot run without, failed.
    TaskFailed(Arc<str>),
}

/// The tasks of one daemon.
pub struct Supervisor {
    running: JoinSet<anyhow::Result<()>>,
    tasks: BTreeMap<Id, Task>,
    soft: CancellationToken,
    /// Cancelled during a stop, when only lasting tasks are left.
    others_ended: CancellationToken,
    readiness: Readiness,
}

impl Supervisor {
    /// Creates a supervisor whose tasks stop when `soft` is cancelled. Failed tasks are shown in `readiness`.
    pub fn new(soft: CancellationToken, readiness: Readiness) -> Self {
        Self {
            running: JoinSet::new(),
            tasks: BTreeMap::new(),
            soft,
            others_ended: CancellationToken::new(),
            readiness,
        }
    }

    /// Starts a task. `factory` is called again for each restart; the future should end with `Ok` soon after its token
    /// is cancelled, and not before.
    pub fn spawn<F, T>(&mut self, name: impl Into<Arc<str>>, on_failure: OnFailure, factory: F)
    where
        F: Fn(CancellationToken) -> T + Send + Sync + 'static,
        T: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.add(name.into(), on_failure, false, factory);
    }

    /// Starts a task that gets its work from the others as long as they run. During a stop its first token is cancelled
    /// with theirs, and the second one when they have ended.
    pub fn spawn_lasting<F, T>(&mut self, name: impl Into<Arc<str>>, on_failure: OnFailure, factory: F)
    where
        F: Fn(CancellationToken, CancellationToken) -> T + Send + Sync + 'static,
        T: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let others_ended = self.others_ended.clone();
        self.add(name.into(), on_failure, true, move |soft| factory(soft, others_ended.clone()));
    }

    fn add<F, T>(&mut self, name: Arc<str>, on_failure: OnFailure, outlives_others: bool, factory: F)
    where
        F: Fn(CancellationToken) -> T + Send + Sync + 'static,
        T: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let factory: Factory = Arc::new(move |token| Box::pin(factory(token)));
        let task = Task { name, on_failure, factory, outlives_others, failures: 0, since_start: Stopwatch::start() };
        self.start(task, Duration::ZERO);
    }

    fn start(&mut self, task: Task, pause: Duration) {
        let (factory, soft) = (task.factory.clone(), self.soft.clone());
        let (readiness, part) = (self.readiness.clone(), readiness_part(&task.name));
        let handle = self.running.spawn(async move {
            if !pause.is_zero() {
                tokio::select! {
                    () = RealTime::sleep(pause) => {}
                    () = soft.cancelled() => return Ok(()),
                }
            }
            readiness.ready(&part);
            factory(soft).await
        });
        self.tasks.insert(handle.id(), task);
    }

    /// Runs until the soft token is cancelled or a task with [`OnFailure::StopDaemon`] fails. Then stops every task,
    /// with `drain` of real time to finish their work.
    pub async fn run(mut self, drain: Duration) -> SupervisorExit {
        let soft = self.soft.clone();
        let exit = loop {
            tokio::select! {
                () = soft.cancelled() => break SupervisorExit::Requested,
                Some(result) = self.running.join_next_with_id() => {
                    if let Some(ended) = self.handle_task_end(result) {
                        break ended;
                    }
                }
            }
        };
        soft.cancel();
        self.drain(drain).await;
        exit
    }

    /// Handles the end of a task. Returns why the daemon ends, if it has to.
    fn handle_task_end(&mut self, result: Result<(Id, anyhow::Result<()>), JoinError>) -> Option<SupervisorExit> {
        let (id, error) = match result {
            Ok((id, Ok(()))) => (id, "ended by itself".to_owned()),
            Ok((id, Err(error))) => (id, format!("{error:#}")),
            Err(error) => (error.id(), format!("panicked: {error}")),
        };
        let mut task = self.tasks.remove(&id)?;
        if self.soft.is_cancelled() {
            return None;
        }
        tracing::error!(task = &*task.name, error, "task failed");
        self.readiness.not_ready(&readiness_part(&task.name), format!("failed: {error}"));
        match task.on_failure {
            OnFailure::StopDaemon => Some(SupervisorExit::TaskFailed(task.name)),
            OnFailure::Restart => {
                let pause;
                (task.failures, pause) = next_start(task.failures, task.since_start.elapsed());
                task.since_start = Stopwatch::start();
                self.start(task, pause);
                None
            }
        }
    }

    async fn drain(&mut self, limit: Duration) {
        let (running, tasks, rest_ended) = (&mut self.running, &mut self.tasks, &self.others_ended);
        let finish = async {
            loop {
                if tasks.values().all(|task| task.outlives_others) {
                    rest_ended.cancel();
                }
                match running.join_next_with_id().await {
                    None => break,
                    Some(Ok((id, _))) => tasks.remove(&id),
                    Some(Err(error)) => tasks.remove(&error.id()),
                };
            }
        };
        let in_time = tokio::select! {
            () = finish => true,
            () = RealTime::sleep(limit) => false,
        };
        if !in_time {
            tracing::warn!(limit_ms = limit.as_millis(), "tasks did not stop in time and are aborted");
            self.running.shutdown().await;
        }
    }
}

/// Returns the number of failures in a row of a task that has run this long and failed again, and the pause before its
/// next start.
fn next_start(failures: u32, run_time: Duration) -> (u32, Duration) {
    let before = if run_time >= MAX_PAUSE + RECOVERED_AFTER { 0 } else { failures };
    (before + 1, (FIRST_PAUSE * 2_u32.saturating_pow(before.min(16))).min(MAX_PAUSE))
}

fn readiness_part(task: &str) -> String {
    format!("task {task}")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::time::UtcMicros;

    fn parts() -> (CancellationToken, Readiness) {
        (CancellationToken::new(), Readiness::new(Arc::new(ManualClock::at(UtcMicros::EPOCH))))
    }

    #[test]
    fn pauses_grow_while_a_task_fails_and_are_reset_after_it_has_run_well() {
        let soon = Duration::from_secs(1);
        let pauses = |failures| next_start(failures, soon).1;
        assert_eq!([0, 1, 2, 10].map(pauses), [250, 500, 1000, 15_000].map(Duration::from_millis));
        assert_eq!(next_start(10, soon).0, 11);
        assert_eq!(next_start(10, Duration::from_secs(3600)), (1, FIRST_PAUSE));
    }

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_and_shows_ready() {
        let (soft, readiness) = parts();
        let mut supervisor = Supervisor::new(soft.clone(), readiness.clone());
        let starts = Arc::new(AtomicU32::new(0));
        let counted = starts.clone();
        supervisor.spawn("poller", OnFailure::Restart, move |token| {
            let start = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(start > 0, "the first start panics");
                token.cancel();
                Ok(())
            }
        });
        assert!(matches!(supervisor.run(Duration::from_secs(5)).await, SupervisorExit::Requested));
        assert_eq!(starts.load(Ordering::SeqCst), 2);
        assert!(readiness.report().ready, "{:?}", readiness.report());
    }

    #[tokio::test]
    async fn a_task_that_must_not_fail_stops_the_others_in_order() {
        let (soft, readiness) = parts();
        let mut supervisor = Supervisor::new(soft, readiness.clone());
        let stopped = Arc::new(AtomicU32::new(0));
        let counted = stopped.clone();
        supervisor.spawn("other", OnFailure::Restart, move |token| {
            let stopped = counted.clone();
            async move {
                token.cancelled().await;
                stopped.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        });
        supervisor.spawn("writer", OnFailure::StopDaemon, |_| async { anyhow::bail!("disk gone") });
        let ended = supervisor.run(Duration::from_secs(5)).await;
        assert!(matches!(ended, SupervisorExit::TaskFailed(name) if &*name == "writer"));
        assert_eq!(stopped.load(Ordering::SeqCst), 1);
        let report = readiness.report();
        assert!(!report.ready);
        assert!(report.parts.iter().any(|part| part.name == "task writer" && part.detail.contains("disk gone")));
    }

    #[tokio::test]
    async fn a_lasting_task_is_stopped_after_the_others() {
        let (soft, readiness) = parts();
        let mut supervisor = Supervisor::new(soft.clone(), readiness);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (first, last) = (order.clone(), order.clone());
        supervisor.spawn_lasting("deliver", OnFailure::Restart, move |_, rest_ended| {
            let order = last.clone();
            async move {
                rest_ended.cancelled().await;
                order.lock().expect("whole").push("deliver");
                Ok(())
            }
        });
        supervisor.spawn("keeper", OnFailure::Restart, move |soft| {
            let order = first.clone();
            async move {
                soft.cancelled().await;
                tokio::task::yield_now().await;
                order.lock().expect("whole").push("keeper");
                Ok(())
            }
        });
        soft.cancel();
        assert!(matches!(supervisor.run(Duration::from_secs(5)).await, SupervisorExit::Requested));
        assert_eq!(*order.lock().expect("whole"), ["keeper", "deliver"]);
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_aborted_after_the_drain() {
        let (soft, readiness) = parts();
        let mut supervisor = Supervisor::new(soft.clone(), readiness);
        supervisor.spawn("stuck", OnFailure::Restart, |_| std::future::pending());
        soft.cancel();
        let watch = Stopwatch::start();
        supervisor.run(Duration::from_millis(50)).await;
        assert!(watch.elapsed() < Duration::from_secs(5));
    }
}
