//! A whole small world for one test: the simulator and the daemon on one fast clock, real HTTP between them, a database file.
//!
//! Both run in the test's process, so that a kill is a kill (tasks are dropped where they stand) and every clock is the same.
//! What comes out is judged by the simulator's own log, in [`ledger`]. `process` drives the real binary instead.

pub mod clocks;
mod daemon;
pub mod ledger;
pub mod observations;
pub mod process;
mod requests;
mod setup;
pub mod viewer;

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use shiftkeeper::clock::{RealTime, SharedClock, Stopwatch};
use shiftkeeper::domain::ids::TenantId;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::platform::client::{ClientSettings, build_client};
use shiftkeeper::sim::{AgentScript, LogPage, ScheduleFile, SimOptions, SimState, Simulator};
use shiftkeeper::store::{Reader, Store};
use tempfile::TempDir;

use self::clocks::TestClocks;
pub use self::daemon::Binary;
use self::daemon::Daemon;
pub(crate) use self::setup::on_both_dialects;
pub use self::setup::{Dialect, Setup};

/// Where simulated time starts: a Monday afternoon.
pub const START: &str = "2026-10-26T13:30:00Z";

/// From one snapshot to the next.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// How long a condition is waited for, in real time, where the test does not say. Generous: it costs only a test that fails.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Between two looks at a condition, in real time.
pub const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Tokens of the API: everything, looking alone, and everything at another tenant.
pub const OPERATOR: &str = "operator-token-of-the-scenario";
pub const VIEWER: &str = "viewer-token-of-the-scenario";

/// Signs deliveries.
pub const HOOK_KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

/// Whether the full-size scenarios were asked for (`SHIFTKEEPER_TEST_FULL=1`); see `docs/testing.md`.
#[expect(clippy::disallowed_methods, reason = "a test's own switch, which the product must not know")]
pub fn full_size() -> bool {
    std::env::var("SHIFTKEEPER_TEST_FULL").is_ok_and(|value| value == "1")
}

/// The start of simulated time.
pub fn start() -> UtcMicros {
    START.parse().expect("a valid instant")
}

/// A world.
pub struct Scenario {
    /// The world's clock, by which the simulator goes too.
    pub clock: SharedClock,
    /// Where the daemon's clock can be set.
    pub clocks: Arc<TestClocks>,
    pub sim: Simulator,
    pub tenant: TenantId,
    pub setup: Setup,
    pub folder: TempDir,
    kills: Vec<UtcMicros>,
    /// What was read of the simulator's log.
    read_log: Mutex<LogPage>,
    daemon: Option<Daemon>,
    http: reqwest::Client,
}

impl Scenario {
    /// The simulator and the daemon, both serving.
    pub async fn start(setup: Setup) -> Self {
        let mut scenario = Self::without_daemon(setup).await;
        scenario.start_daemon().await;
        scenario
    }

    /// A world of [`Setup::team`]: everyone is held not ready, the daemon has the schedule and has seen everyone.
    pub async fn start_team(setup: Setup) -> Self {
        let mut scenario = Self::without_daemon(setup).await;
        for agent in agent_ids(scenario.setup.sim.agents) {
            scenario.set_agent_state(&agent, SimState::Unavailable);
        }
        scenario.start_daemon().await;
        let schedule = scenario.setup.schedule.clone().expect("a team has a schedule");
        scenario.import(&schedule).await;
        scenario.wait_until_observed().await;
        scenario
    }

    /// The simulator alone.
    pub async fn without_daemon(setup: Setup) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let times = TestClocks::new(start(), setup.speed);
        let clock = times.world_clock();
        let schedule = setup
            .schedule
            .clone()
            .map(|text| ScheduleFile { name: "schedule.csv".to_owned(), bytes: text.into_bytes() });
        let options = SimOptions { schedule, ..setup.sim.clone() };
        let sim = Simulator::start(options, clock.clone()).await.expect("the simulator starts");
        let tenant = sim.description().tenants.first().expect("a tenant").id.clone();
        // The daemon lets go of an idle connection after ten seconds.
        let (request_timeout, idle) = (Duration::from_secs(30), Duration::from_secs(5));
        let http =
            build_client(&ClientSettings { request_timeout, pool_idle_timeout: idle, ..ClientSettings::default() })
                .expect("a client");
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            clock,
            clocks: times,
            sim,
            tenant,
            setup,
            folder,
            kills: Vec::new(),
            read_log: Mutex::default(),
            daemon: None,
            http,
        }
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("shiftkeeper.db")
    }

    pub fn store_url(&self) -> String {
        format!("sqlite://{}", self.database().display())
    }

    /// Reads the daemon's database beside it.
    pub async fn reader(&self) -> Reader {
        Store::read(&self.store_url()).await.expect("the store can be read")
    }

    /// Waits until a condition holds, for [`WAIT_TIMEOUT`].
    pub async fn wait_until<T, F, L>(&self, what: &str, look: L) -> T
    where
        L: FnMut() -> F,
        F: Future<Output = Result<T, String>>,
    {
        self.wait_until_within(what, WAIT_TIMEOUT, look).await
    }

    /// Waits until a condition holds, at most so long in real time; the look says what it saw instead.
    pub async fn wait_until_within<T, F, L>(&self, what: &str, limit: Duration, look: L) -> T
    where
        L: FnMut() -> F,
        F: Future<Output = Result<T, String>>,
    {
        wait_until(what, limit, look).await
    }

    /// Lets at least so much simulated time pass, where the passing of time is itself the condition.
    pub async fn let_time_pass(&self, time: Duration) {
        let due = self.clock.now() + time;
        let clock = self.clock.clone();
        self.wait_until("time passes", || async {
            if clock.now() >= due { Ok(()) } else { Err(clock.now().to_string()) }
        })
        .await;
    }

    /// Puts an agent of the first tenant into a state, held there.
    pub fn set_agent_state(&self, agent: &str, state: SimState) {
        self.apply_script(&AgentScript { state: Some(state), hold: Some(true), ..Self::agent_script(agent) });
    }

    /// A script that changes nothing yet.
    pub fn agent_script(agent: &str) -> AgentScript {
        AgentScript {
            tenant: None,
            agent: agent.into(),
            state: None,
            hold: None,
            scheduled: None,
            mandatory_break: None,
            active: None,
            hidden: None,
        }
    }

    pub fn apply_script(&self, script: &AgentScript) {
        self.sim.apply_script(script).expect("a known agent");
    }

    /// The state that an agent is in, by the platform.
    pub fn state_of(&self, agent: &str) -> SimState {
        let worlds = self.sim.world_views();
        let world = worlds.iter().find(|world| world.id == self.tenant).expect("the tenant");
        world.agents.iter().find(|view| view.id.as_str() == agent).expect("a known agent").state
    }

    /// Adds a fault, in the short form.
    pub fn add_fault(&self, text: &str) {
        self.sim.add_fault(text.parse().expect("a fault")).expect("a sound fault");
    }

    /// Waits until the daemon has seen every agent and says that it is ready.
    pub async fn wait_until_observed(&self) {
        let reader = self.reader().await;
        let wanted =
            self.sim.world_views().iter().find(|world| world.id == self.tenant).expect("the tenant").agents.len();
        self.wait_until("every agent is seen", || async {
            let seen = reader.latest_states(&self.tenant).await.expect("readable").len();
            if seen >= wanted { Ok(()) } else { Err(format!("{seen} of {wanted}; {}", self.readiness().await)) }
        })
        .await;
        self.wait_for_readiness("ready").await;
    }

    pub fn kills(&self) -> &[UtcMicros] {
        &self.kills
    }
}

/// Waits until a condition holds; looks a bounded number of times.
pub async fn wait_until<T, F, L>(what: &str, limit: Duration, mut check: L) -> T
where
    L: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    let watch = Stopwatch::start();
    loop {
        let seen = match check().await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(
            watch.elapsed() < limit,
            "not within {limit:?}: {what}; instead: {}",
            seen.chars().take(3000).collect::<String>()
        );
        RealTime::sleep(POLL_INTERVAL).await;
    }
}

/// Sends a request; the body is null where it is not JSON.
pub async fn send(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("answered");
    (response.status(), response.json().await.unwrap_or(Value::Null))
}

/// A schedule of one shift a day for each agent over the days around the start, in UTC: the whole day but for what `breaks`
/// name as `(activity, start, end, mandatory)` on the day of the start.
pub fn schedule(agents: impl IntoIterator<Item = String>, breaks: &[(&str, &str, &str, bool)]) -> String {
    let mut lines = vec!["agent_id,agent_name,team,time_zone,activity,start,end,mandatory".to_owned()];
    for (number, agent) in agents.into_iter().enumerate() {
        let who = format!("{agent},Agent {number},Team {},UTC", number % 4);
        lines.push(format!("{who},shift,2026-10-26T00:30,2026-10-26T23:30,false"));
        lines.extend(breaks.iter().map(|(activity, start, end, mandatory)| {
            format!("{who},{activity},2026-10-26T{start},2026-10-26T{end},{mandatory}")
        }));
    }
    lines.join("\n") + "\n"
}

/// `u_0001` to `u_…`.
pub fn agent_ids(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("u_{number:04}")).collect()
}
