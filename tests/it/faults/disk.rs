//! A disk that is full or fails, at points all along the way: nothing leaves without a stored intent, `/readyz` names the store
//! and says what to do, reading goes on, and all is well again without a restart when the disk is.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::clock::RealTime;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::SimState;
use shiftkeeper::store::Reader;

use super::shim::{CHECKPOINT_OFTEN, CHECKPOINT_SELDOM, EIO, ENOSPC, Shim};
use super::witness::Witness;
use super::{integrity, print_progress};
use crate::harness::ledger::state_posts;
use crate::harness::process::Server;
use crate::harness::{POLL_INTERVAL, Scenario, Setup, WAIT_TIMEOUT, agent_ids, full_size, send};

const AGENTS: usize = 8;

/// As good as for ever.
const PERMANENT: usize = 1_000_000_000;

/// Where on the way the disk fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The first start, in an empty folder.
    FirstStart,
    /// A start after a kill.
    Start,
    Import,
    /// Amidst changes.
    Running,
    /// The commit of one change of an idle daemon.
    Commit,
    /// The write-ahead log is folded into the database.
    Checkpoint,
    Close,
}

/// What fails there: calls of a kind on a kind of file, after some that go through.
#[derive(Clone, Copy, Debug)]
struct FailurePoint {
    phase: Phase,
    what: &'static str,
    file: &'static str,
    errno: i32,
    skip: usize,
    times: usize,
}

const fn failure_point(
    phase: Phase,
    what: &'static str,
    file: &'static str,
    errno: i32,
    skip: usize,
    times: usize,
) -> FailurePoint {
    FailurePoint { phase, what, file, errno, skip, times }
}

/// The first of each phase, and two more, are the short form.
const FAILURE_POINTS: [FailurePoint; 50] = [
    failure_point(Phase::FirstStart, "all", "any", ENOSPC, 0, PERMANENT),
    failure_point(Phase::FirstStart, "create", "any", ENOSPC, 1, PERMANENT),
    failure_point(Phase::FirstStart, "write", "any", ENOSPC, 0, PERMANENT),
    failure_point(Phase::FirstStart, "write", "any", ENOSPC, 3, PERMANENT),
    failure_point(Phase::FirstStart, "write", "any", ENOSPC, 20, PERMANENT),
    failure_point(Phase::FirstStart, "write", "any", ENOSPC, 60, PERMANENT),
    failure_point(Phase::FirstStart, "write", "any", EIO, 5, PERMANENT),
    failure_point(Phase::FirstStart, "sync", "any", EIO, 0, PERMANENT),
    failure_point(Phase::FirstStart, "sync", "any", EIO, 3, 1),
    failure_point(Phase::Start, "all", "any", ENOSPC, 0, PERMANENT),
    failure_point(Phase::Start, "write", "any", ENOSPC, 1, PERMANENT),
    failure_point(Phase::Start, "write", "any", ENOSPC, 4, PERMANENT),
    failure_point(Phase::Start, "write", "any", ENOSPC, 10, PERMANENT),
    failure_point(Phase::Start, "write", "any", EIO, 0, PERMANENT),
    failure_point(Phase::Start, "write", "any", EIO, 6, 1),
    failure_point(Phase::Start, "sync", "any", EIO, 0, PERMANENT),
    failure_point(Phase::Start, "sync", "any", EIO, 0, 1),
    failure_point(Phase::Import, "write", "wal", ENOSPC, 0, PERMANENT),
    failure_point(Phase::Import, "write", "wal", ENOSPC, 9, PERMANENT),
    failure_point(Phase::Import, "write", "wal", ENOSPC, 12, 1),
    failure_point(Phase::Import, "write", "wal", EIO, 3, PERMANENT),
    failure_point(Phase::Import, "sync", "wal", EIO, 0, PERMANENT),
    failure_point(Phase::Import, "sync", "wal", EIO, 1, PERMANENT),
    failure_point(Phase::Import, "sync", "wal", EIO, 1, 1),
    failure_point(Phase::Running, "all", "any", ENOSPC, 0, PERMANENT),
    failure_point(Phase::Running, "sync", "any", EIO, 0, PERMANENT),
    failure_point(Phase::Running, "write", "any", ENOSPC, 7, PERMANENT),
    failure_point(Phase::Running, "write", "any", ENOSPC, 31, PERMANENT),
    failure_point(Phase::Running, "write", "any", ENOSPC, 90, PERMANENT),
    failure_point(Phase::Running, "write", "any", ENOSPC, 13, 1),
    failure_point(Phase::Running, "write", "any", EIO, 3, PERMANENT),
    failure_point(Phase::Running, "write", "any", EIO, 45, PERMANENT),
    failure_point(Phase::Running, "write", "any", EIO, 22, 1),
    failure_point(Phase::Running, "sync", "any", EIO, 5, PERMANENT),
    failure_point(Phase::Running, "sync", "any", EIO, 2, 1),
    failure_point(Phase::Commit, "write", "wal", ENOSPC, 0, PERMANENT),
    failure_point(Phase::Commit, "write", "wal", ENOSPC, 1, 1),
    failure_point(Phase::Commit, "write", "wal", ENOSPC, 5, PERMANENT),
    failure_point(Phase::Commit, "write", "wal", EIO, 2, PERMANENT),
    failure_point(Phase::Commit, "sync", "wal", EIO, 0, PERMANENT),
    failure_point(Phase::Commit, "sync", "wal", EIO, 0, 1),
    failure_point(Phase::Checkpoint, "write", "db", ENOSPC, 0, PERMANENT),
    failure_point(Phase::Checkpoint, "write", "db", ENOSPC, 4, 1),
    failure_point(Phase::Checkpoint, "write", "db", EIO, 1, PERMANENT),
    failure_point(Phase::Checkpoint, "sync", "db", EIO, 0, PERMANENT),
    failure_point(Phase::Checkpoint, "sync", "db", EIO, 0, 1),
    failure_point(Phase::Close, "all", "any", ENOSPC, 0, PERMANENT),
    failure_point(Phase::Close, "write", "db", ENOSPC, 1, PERMANENT),
    failure_point(Phase::Close, "write", "wal", EIO, 0, PERMANENT),
    failure_point(Phase::Close, "sync", "any", EIO, 0, PERMANENT),
];

/// A world with a disk that can fail.
struct FaultyWorld {
    scenario: Scenario,
    shim: Shim,
    witness: Witness,
    point: FailurePoint,
}

impl FaultyWorld {
    async fn new(point: FailurePoint) -> Self {
        let mut scenario = Scenario::without_daemon(Setup { speed: 20, ..Setup::team(AGENTS) }).await;
        let changes: &[_] =
            if point.phase == Phase::Checkpoint { &[(CHECKPOINT_SELDOM, CHECKPOINT_OFTEN)] } else { &[] };
        let shim = Shim::over(scenario.folder.path(), false, changes);
        scenario.setup.binary = Some(shim.binary());
        for agent in agent_ids(AGENTS) {
            scenario.set_agent_state(&agent, SimState::Unavailable);
        }
        Self { scenario, shim, witness: Witness::default(), point }
    }

    /// The disk fails from now on.
    fn start_failing(&self) {
        let FailurePoint { what, file, errno, skip, times, .. } = self.point;
        self.shim.fail_calls(what, file, errno, skip, times);
    }

    fn is_permanent(&self) -> bool {
        self.point.times == PERMANENT
    }

    /// Whether the daemon runs then: a start that fails says why, and leaves the files as they were or whole.
    async fn start_on_the_failing_disk(&mut self) -> bool {
        self.start_failing();
        let command = self.scenario.daemon_command().expect("a process");
        match Server::start_or_end(command).await {
            Ok(server) => {
                self.scenario.adopt_process(server);
                true
            }
            Err(ended) => {
                assert!(self.shim.failed() > 0, "it fails only where the disk does: {ended:?}");
                assert!([Some(1), Some(69)].contains(&ended.code), "{ended:?}");
                assert!(ended.stderr.contains("shiftkeeper.db"), "it names the place: {ended:?}");
                assert!(!ended.stderr.contains("panicked"), "{ended:?}");
                let full = ended.stderr.contains("no space is left");
                assert!(self.point.errno != ENOSPC || full, "it says what is wrong: {ended:?}");
                let database = self.scenario.database();
                if database.metadata().is_ok_and(|file| file.len() > 0) {
                    assert_eq!(integrity(&database), "ok");
                }
                false
            }
        }
    }

    async fn import(&self) -> (StatusCode, Value) {
        let schedule = self.scenario.setup.schedule.clone().expect("a team has one");
        send(self.scenario.import_request(&schedule)).await
    }

    /// Everyone is asked, under a key; what was answered is acknowledged.
    async fn request_changes(&mut self, to: &str, key: &str) -> StatusCode {
        let body = json!({"tenant": self.scenario.tenant, "agents": agent_ids(AGENTS), "to": to});
        let request = self.scenario.request(Method::POST, "/api/v1/transitions").header("idempotency-key", key);
        let (status, told) = send(request.json(&body)).await;
        if status == StatusCode::ACCEPTED {
            let taken = told["transitions"].as_array().expect("an entry per agent");
            self.witness
                .record_accepted(taken.iter().map(|one| one["id"].as_str().expect("an id").parse().expect("an id")));
        }
        status
    }

    async fn record_observed(&mut self) {
        let reader = self.scenario.reader().await;
        self.witness.read_new(&reader, &self.scenario.tenant).await;
        reader.close().await;
    }

    /// Asks for changes until the disk has failed.
    async fn change_until_it_fails(&mut self) {
        let reader = self.scenario.reader().await;
        let mut asked = 0;
        while self.shim.failed() == 0 {
            let open = reader.open_transitions(&self.scenario.tenant).await.expect("readable");
            if open.is_empty() {
                assert!(asked < 200, "{asked} rounds of changes met no fault");
                let to = if asked % 2 == 0 { "Ready" } else { "NotReady" };
                self.request_changes(to, &format!("round {asked}")).await;
                asked += 1;
            }
            self.witness.read_new(&reader, &self.scenario.tenant).await;
            RealTime::sleep(POLL_INTERVAL).await;
        }
        reader.close().await;
    }

    /// While the disk fails: it is said so, reading goes on, changes are turned away where they cannot be recorded, and nothing has
    /// left without its intent.
    async fn assert_reports_failure_and_serves(&mut self) {
        let (path, way_out) = ("shiftkeeper.db", if self.point.errno == ENOSPC { "free some" } else { "disk" });
        let detail = self
            .scenario
            .wait_until("readiness names the store", || async {
                let (status, report) = self.scenario.get("/readyz").await;
                let parts = report["parts"].as_array().cloned().unwrap_or_default();
                let store = parts.into_iter().find(|part| part["name"] == "store" && part["ready"] == false);
                match (status, store) {
                    (StatusCode::SERVICE_UNAVAILABLE, Some(part)) => Ok(part["detail"].to_string()),
                    _ => Err(format!("{status}: {report}")),
                }
            })
            .await;
        assert!(detail.contains(path) && detail.contains(way_out), "{detail}");
        // It says so all the while, not only now and then.
        for _ in 0..50 {
            let (status, report) = self.scenario.get("/readyz").await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{report}");
            RealTime::sleep(POLL_INTERVAL).await;
        }
        let list = format!("/api/v1/transitions?tenant={}", self.scenario.tenant);
        let (status, body) = self.scenario.get(&list).await;
        assert_eq!(status, StatusCode::OK, "reading goes on: {body}");
        if self.point.phase == Phase::Checkpoint {
            // The log beside the database takes them.
            assert_eq!(self.request_changes("Idle", "amidst").await, StatusCode::ACCEPTED);
            self.scenario.wait_until_settled().await;
        } else {
            assert_eq!(self.request_changes("Idle", "amidst").await, StatusCode::SERVICE_UNAVAILABLE);
        }
        let reader = self.scenario.reader().await;
        self.assert_intents(&reader).await;
        reader.close().await;
    }

    /// No state POST reached the platform that is not an attempt in the store.
    async fn assert_intents(&self, reader: &Reader) {
        let mut posts: BTreeMap<_, usize> = BTreeMap::new();
        for post in state_posts(&self.scenario.log()) {
            *posts.entry(post.agent.clone().expect("an agent")).or_default() += 1;
        }
        let calls = reader.recent_calls(&self.scenario.tenant, UtcMicros::EPOCH).await.expect("readable");
        for (agent, posts) in posts {
            let attempts =
                calls.iter().filter(|call| &*call.kind == "state" && call.agent.as_ref() == Some(&agent)).count();
            assert!(posts <= attempts, "{agent}: {posts} POSTs left, {attempts} were stored");
        }
    }

    /// The disk is well again: so is the daemon, by itself where it runs, and the books are true.
    async fn heal(mut self, runs: bool) {
        self.shim.stop_failing();
        if !runs {
            self.scenario.start_daemon().await;
        }
        self.scenario.wait_for_readiness("ready").await;
        let (status, body) = self.import().await;
        assert_eq!(status, StatusCode::OK, "{body}");
        self.scenario.wait_until_observed().await;
        self.scenario.wait_until_settled().await;
        for (to, key) in [("Paused", "healed"), ("NotReady", "healed again")] {
            assert_eq!(self.request_changes(to, key).await, StatusCode::ACCEPTED);
            self.scenario.wait_until_settled().await;
        }
        for agent in agent_ids(AGENTS) {
            assert_eq!(self.scenario.state_of(&agent), SimState::Unavailable, "{agent} is where it was wanted last");
        }
        self.record_observed().await;
        self.scenario.stop_daemon().await;
        assert_eq!(integrity(&self.scenario.database()), "ok");
        let reader = self.scenario.reader().await;
        assert_eq!(self.witness.loss(self.witness.extent(), &reader, &self.scenario.tenant).await, None);
        self.assert_intents(&reader).await;
        reader.close().await;
        self.scenario.check_consistency().await;
        self.scenario.sim.stop().await;
    }

    /// A daemon that runs, has its schedule and sees everyone.
    async fn run_healthy(&mut self) {
        self.scenario.start_daemon().await;
        let (status, body) = self.import().await;
        assert_eq!(status, StatusCode::OK, "{body}");
        self.scenario.wait_until_observed().await;
        self.record_observed().await;
    }

    /// The way to the point, the failing there; whether the daemon still runs.
    async fn reach_failure_point(&mut self) -> bool {
        match self.point.phase {
            Phase::FirstStart => self.start_on_the_failing_disk().await,
            Phase::Start => {
                self.run_healthy().await;
                assert_eq!(self.request_changes("Ready", "before the kill").await, StatusCode::ACCEPTED);
                self.record_observed().await;
                self.scenario.kill_daemon().await;
                self.start_on_the_failing_disk().await
            }
            Phase::Import => {
                self.scenario.start_daemon().await;
                self.scenario.wait_until_observed().await;
                self.start_failing();
                let (status, body) = self.import().await;
                // Another commit may have met the fault instead.
                assert!(self.shim.failed() > 0, "the import met no fault");
                if status != StatusCode::OK {
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
                    let told = body["detail"].as_str().unwrap_or_default();
                    assert!(told.contains("nothing was changed"), "{body}");
                }
                self.reports_permanent_failure().await
            }
            Phase::Running | Phase::Checkpoint => {
                self.run_healthy().await;
                assert_eq!(self.request_changes("Ready", "at first").await, StatusCode::ACCEPTED);
                self.start_failing();
                self.change_until_it_fails().await;
                self.reports_permanent_failure().await
            }
            Phase::Commit => {
                self.run_healthy().await;
                self.start_failing();
                self.change_until_it_fails().await;
                self.reports_permanent_failure().await
            }
            Phase::Close => {
                self.run_healthy().await;
                assert_eq!(self.request_changes("Ready", "at first").await, StatusCode::ACCEPTED);
                self.start_failing();
                let server = self.scenario.take_process();
                server.signal("TERM");
                let (status, took, said) = server.wait_for_exit().await;
                assert!(took < WAIT_TIMEOUT && status.code().is_some(), "{status} after {took:?}: {said}");
                assert!(!said.contains("panicked"), "{said}");
                assert!(self.shim.failed() > 0, "the stop met no fault");
                false
            }
        }
    }

    async fn reports_permanent_failure(&mut self) -> bool {
        if self.is_permanent() {
            self.assert_reports_failure_and_serves().await;
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_failing_disk_stops_changes_and_nothing_else() {
    let first =
        |at: usize| at == 0 || FAILURE_POINTS[at - 1].phase != FAILURE_POINTS[at].phase || [16, 25].contains(&at);
    let only = super::only();
    let chosen = (0..FAILURE_POINTS.len()).filter(|at| only.map_or(full_size() || first(*at), |only| only == *at));
    for at in chosen {
        print_progress(format!("{at}: {:?}", FAILURE_POINTS[at]));
        let mut world = FaultyWorld::new(FAILURE_POINTS[at]).await;
        let runs = world.reach_failure_point().await;
        print_progress(format!(
            "{at}: {} calls failed, and it {}",
            world.shim.failed(),
            if runs { "runs" } else { "ended" }
        ));
        world.heal(runs).await;
    }
}
