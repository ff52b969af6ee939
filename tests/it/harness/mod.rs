//! A whole small world for one test: the simulator and the daemon on one fast clock, real HTTP between them, a database file.
//!
//! Both run in the test's process, so that a kill is a kill (tasks are dropped where they stand) and every clock is the same.
//! What comes out is judged by the simulator's own log, in [`ledger`]. `process` drives the real binary instead.

pub mod ledger;
pub mod process;
mod setup;
pub mod sights;
pub mod times;
pub mod watcher;

use std::future::Future;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use shiftkeeper::app::{App, Importer, Reload};
use shiftkeeper::clock::{RealTime, SharedClock, Stopwatch};
use shiftkeeper::config::{Config, ConfigText, Environment, Loaded};
use shiftkeeper::domain::ids::{AgentId, TenantId};
use shiftkeeper::domain::rights::Right;
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::engine::accounts::Accounts;
use shiftkeeper::engine::door::Door;
use shiftkeeper::engine::supervisor::Ended;
use shiftkeeper::http::{ImportAnswer, WantedImport};
use shiftkeeper::platform::client::{ClientSettings, build};
use shiftkeeper::sim::{AgentScript, LogPage, ScheduleFile, SimOptions, SimState, Simulator, TenantDescription};
use shiftkeeper::store::{OpenError, Reader, Store};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::process::Server;
pub use self::setup::Setup;
use self::times::Times;

/// Where simulated time starts: a Monday afternoon.
pub const START: &str = "2026-10-26T13:30:00Z";

/// From one snapshot to the next.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// How long a condition is waited for, in real time, where the test does not say. Generous: it costs only a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a condition, in real time.
pub const LOOK_EVERY: Duration = Duration::from_millis(10);

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

/// A running daemon.
struct Daemon {
    base: String,
    runs: Runs,
}

/// Where it runs.
enum Runs {
    /// In the test's process.
    Here(Here),
    /// As the real binary.
    Apart(Server),
}

struct Here {
    importer: Importer,
    accounts: Accounts,
    reload: Reload,
    running: Box<Loaded>,
    soft: CancellationToken,
    tasks: JoinSet<Ended>,
}

/// The real binary, instead of a daemon in the test's process.
#[derive(Clone)]
pub struct Binary {
    /// The program.
    pub path: PathBuf,
    /// More of its environment.
    pub environment: Vec<(String, String)>,
}

/// A world.
pub struct Scenario {
    /// The world's clock, by which the simulator goes too.
    pub clock: SharedClock,
    /// Where the daemon's clock can be set.
    pub times: Arc<Times>,
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
        for agent in agents(scenario.setup.sim.agents) {
            scenario.put(&agent, SimState::Unavailable);
        }
        scenario.start_daemon().await;
        let schedule = scenario.setup.schedule.clone().expect("a team has a schedule");
        scenario.import(&schedule).await;
        scenario.until_in_sight().await;
        scenario
    }

    /// The simulator alone.
    pub async fn without_daemon(setup: Setup) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let times = Times::new(start(), setup.speed);
        let clock = times.of_the_world();
        let schedule = setup
            .schedule
            .clone()
            .map(|text| ScheduleFile { name: "schedule.csv".to_owned(), bytes: text.into_bytes() });
        let options = SimOptions { schedule, ..setup.sim.clone() };
        let sim = Simulator::start(options, clock.clone()).await.expect("the simulator starts");
        let tenant = sim.description().tenants.first().expect("a tenant").id.clone();
        let http = build(&ClientSettings { request_timeout: Duration::from_secs(30), ..ClientSettings::default() })
            .expect("a client");
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            clock,
            times,
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

    /// The configuration, as an operator would write it.
    pub fn configuration(&self) -> Loaded {
        let (texts, environment) = self.configuration_texts();
        let environment: Environment = environment.into_iter().collect();
        Config::load_texts(&texts, &environment, &[])
            .unwrap_or_else(|refused| panic!("the scenario's configuration:\n{refused}"))
    }

    /// Its files, and the environment that holds its secrets.
    fn configuration_texts(&self) -> ([ConfigText; 2], Vec<(String, String)>) {
        let description = self.sim.description();
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n\
             [[server.tokens]]\nid = \"operator\"\ntoken = {{ env = \"OPERATOR\" }}\nmay = {all}\n\
             [[server.tokens]]\nid = \"viewer\"\ntoken = {{ env = \"VIEWER\" }}\ntenants = [{first:?}]\nmay = [{may:?}]\n\
             [clock]\nspeed = {speed}\n[store]\nurl = {url:?}\n[log]\nlevel = \"error\"\n",
            port = self.setup.listen_port.unwrap_or(0),
            all = json!(Right::ALL.iter().map(|right| right.name()).collect::<Vec<_>>()),
            first = description.tenants.first().expect("a tenant").id.as_str(),
            may = self.setup.viewer_may,
            speed = self.setup.speed,
            url = self.store_url(),
        );
        let mut environment =
            vec![("OPERATOR".to_owned(), OPERATOR.to_owned()), ("VIEWER".to_owned(), VIEWER.to_owned())];
        text.push_str(&self.setup.webhooks);
        environment.push(("HOOK".to_owned(), HOOK_KEY.to_owned()));
        let served = |tenant: &&TenantDescription| !self.setup.unserved.contains(&tenant.id.as_str());
        for tenant in description.tenants.iter().filter(served) {
            let secret = format!("SECRET_{}", tenant.id.as_str().to_uppercase());
            let mut agents = if self.setup.listed { tenant.agents.clone() } else { Vec::new() };
            agents.retain(|agent| !self.setup.unlisted.contains(&agent.as_str()));
            text.push_str(&self.tenant_text(tenant, &description.base_url, &secret, &agents));
            environment.push((secret, tenant.client_secret.clone()));
        }
        let texts = [
            ConfigText { file: PathBuf::from("scenario.toml"), text },
            ConfigText { file: PathBuf::from("rules.toml"), text: self.setup.rules.to_owned() },
        ];
        (texts, environment)
    }

    fn tenant_text(&self, tenant: &TenantDescription, base: &str, secret: &str, agents: &[AgentId]) -> String {
        let own = self.setup.keys_of.iter().filter(|(of, _)| *of == tenant.id.as_str());
        let own: Vec<_> = own.map(|(_, keys)| *keys).collect();
        format!(
            "[[tenants]]\nid = {id:?}\nbase_url = {base:?}\nclient_id = {client:?}\nclient_secret = {{ env = {secret:?} }}\n\
             request_timeout = \"{timeout}ms\"\nagents = {agents}\n{keys}\n{own}\n{tables}\n",
            id = tenant.id.as_str(),
            client = tenant.client_id,
            timeout = self.setup.request_timeout.as_millis(),
            agents = json!(agents),
            keys = self.setup.tenant_keys,
            own = own.join("\n"),
            tables = self.setup.tenant_tables,
        )
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("shiftkeeper.db")
    }

    pub fn store_url(&self) -> String {
        format!("sqlite://{}", self.database().display())
    }

    /// Starts the daemon on the database; the one before may still be letting go of it.
    pub async fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs");
        if let Some(command) = self.daemon_command() {
            return self.adopt(Server::start(command).await);
        }
        let running = self.configuration();
        let config = running.config.clone();
        let watch = Stopwatch::start();
        let (app, soft) = loop {
            let soft = CancellationToken::new();
            match App::start(config.clone(), self.times.of_the_daemon(), soft.clone()).await {
                Ok(app) => break (app, soft),
                Err(error)
                    if matches!(error.downcast_ref(), Some(OpenError::Held { .. })) && watch.elapsed() < PATIENCE =>
                {
                    RealTime::sleep(LOOK_EVERY).await;
                }
                Err(error) => panic!("the daemon does not start: {error:#}"),
            }
        };
        let (base, importer, reload) = (format!("http://{}", app.listen), app.importer(), app.reload());
        let accounts = app.accounts();
        let mut tasks = JoinSet::new();
        tasks.spawn(app.run());
        let here = Here { importer, accounts, reload, running: Box::new(running), soft, tasks };
        self.daemon = Some(Daemon { base, runs: Runs::Here(here) });
    }

    /// Puts the configuration in force as the setup now has it, as a SIGHUP would.
    pub fn reload(&mut self) {
        let newer = self.configuration();
        self.try_reload(newer).expect("a sound configuration");
    }

    /// Puts a configuration in force, where it can be.
    pub fn try_reload(&mut self, newer: Loaded) -> anyhow::Result<()> {
        let Runs::Here(here) = &mut self.daemon.as_mut().expect("the daemon runs").runs else {
            panic!("the daemon is a process of its own")
        };
        here.reload.apply(&mut here.running, newer)
    }

    /// The command that starts the real binary on the world's clock as it stands now; none where the daemon is to run here.
    pub fn daemon_command(&self) -> Option<Command> {
        let binary = self.setup.binary.as_ref()?;
        let (texts, environment) = self.configuration_texts();
        let mut command = Command::new(&binary.path);
        command.arg("run").env_clear().stdin(Stdio::null()).current_dir(self.folder.path());
        for ConfigText { file, text } in texts {
            let file = self.folder.path().join(file);
            std::fs::write(&file, text).expect("written");
            command.arg("--config").arg(file);
        }
        command.arg("--set").arg(format!("clock.start={}", self.clock.now()));
        command.envs(environment).envs(binary.environment.iter().cloned());
        Some(command)
    }

    /// Takes a process that [`Scenario::daemon_command`] made as the daemon.
    pub fn adopt(&mut self, server: Server) {
        let listen = server.ready["listen"].as_str().expect("an address").to_owned();
        self.daemon = Some(Daemon { base: format!("http://{listen}"), runs: Runs::Apart(server) });
    }

    /// Ends the daemon in order.
    pub async fn stop_daemon(&mut self) {
        match self.daemon.take().expect("a daemon").runs {
            Runs::Here(Here { soft, mut tasks, .. }) => {
                soft.cancel();
                let ended = tasks.join_next().await.expect("its task").expect("no panic");
                assert!(matches!(ended, Ended::Asked), "{ended:?}");
            }
            Runs::Apart(server) => {
                server.signal("TERM");
                let (status, _, said) = server.ended().await;
                assert!(status.success(), "{status}: {said}");
            }
        }
        self.kills.push(self.clock.now());
    }

    /// Ends the daemon where it stands, as a crash would: nothing is drained, closed or said. A process gets SIGKILL.
    pub async fn kill_daemon(&mut self) {
        match self.daemon.take().expect("a daemon").runs {
            Runs::Here(Here { mut tasks, .. }) => tasks.shutdown().await,
            Runs::Apart(server) => drop(server),
        }
        self.kills.push(self.clock.now());
    }

    /// The daemon's process, to end it in a way of its own.
    pub fn take_process(&mut self) -> Server {
        self.kills.push(self.clock.now());
        match self.daemon.take().expect("a daemon").runs {
            Runs::Apart(server) => server,
            Runs::Here(_) => panic!("the daemon runs in the test's process"),
        }
    }

    /// The most memory that the daemon's process has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        match &self.daemon().runs {
            Runs::Apart(server) => server.peak_memory(),
            Runs::Here(_) => panic!("the daemon runs in the test's process"),
        }
    }

    /// Reads the daemon's database beside it.
    pub async fn reader(&self) -> Reader {
        Store::read(&self.store_url()).await.expect("the store can be read")
    }

    /// Imports a schedule into the daemon that runs.
    pub async fn import(&self, csv: &str) -> ImportAnswer {
        self.import_as(csv, false).await
    }

    /// Imports a schedule, as the whole one of its days or as one of several.
    pub async fn import_as(&self, csv: &str, whole: bool) -> ImportAnswer {
        let Runs::Here(Here { importer, .. }) = &self.daemon().runs else {
            let (status, body) = answer(self.import_request(csv)).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            return serde_json::from_value(body).expect("the answer of an import");
        };
        let wanted = WantedImport {
            tenant: self.tenant.clone(),
            name: "schedule.csv".to_owned(),
            bytes: csv.as_bytes().into(),
            move_weeks: 0,
            whole,
            actor: "person:scenario".to_owned(),
        };
        importer.run(wanted).await.expect("the schedule is sound")
    }

    /// An import by HTTP.
    pub fn import_request(&self, csv: &str) -> reqwest::RequestBuilder {
        let path = format!("/api/v1/schedule-imports?tenant={}&name=schedule.csv", self.tenant);
        self.request(reqwest::Method::POST, &path).body(csv.to_owned())
    }

    /// The way in for changes, without HTTP.
    pub fn door(&self) -> Door {
        match &self.daemon().runs {
            Runs::Here(Here { importer, .. }) => importer.door.clone(),
            Runs::Apart(_) => panic!("the daemon is a process of its own"),
        }
    }

    /// The address of a page, as a browser on this machine opens it.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.daemon().base)
    }

    /// Who may use the daemon, without HTTP.
    pub fn accounts(&self) -> Accounts {
        match &self.daemon().runs {
            Runs::Here(Here { accounts, .. }) => accounts.clone(),
            Runs::Apart(_) => panic!("the daemon is a process of its own"),
        }
    }

    /// A request to the daemon by nobody in particular.
    pub fn anonymous(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.daemon().base))
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the daemon runs")
    }

    /// What asks the daemon.
    pub fn client(&self) -> reqwest::Client {
        self.http.clone()
    }

    /// Where the daemon is.
    pub fn base(&self) -> &str {
        &self.daemon().base
    }

    /// A request to the daemon's API with the operator's token.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.request_as(OPERATOR, method, path)
    }

    /// A request to the daemon's API with a token.
    pub fn request_as(&self, token: &str, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.daemon().base)).bearer_auth(token)
    }

    /// `GET` with the operator's token.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(reqwest::Method::GET, path)).await
    }

    /// Asks for a change and gives what became of each agent, in the order asked.
    pub async fn change(&self, agents: &[impl AsRef<str>], to: &str) -> Vec<Value> {
        let agents: Vec<&str> = agents.iter().map(AsRef::as_ref).collect();
        let body = json!({"tenant": self.tenant, "agents": agents, "to": to});
        let (status, answer) = answer(self.request(reqwest::Method::POST, "/api/v1/transitions").json(&body)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let taken = answer["transitions"].as_array().expect("an entry per agent").clone();
        assert_eq!(taken.len(), agents.len());
        taken
    }

    /// One transition as the API shows it.
    pub async fn transition(&self, taken: &Value) -> Value {
        let id = taken["id"].as_str().expect("an id");
        let (status, body) = self.get(&format!("/api/v1/transitions/{id}?tenant={}", self.tenant)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Waits until a transition stands somewhere.
    pub async fn until_status(&self, taken: &Value, status: &str) -> Value {
        let what = format!("{} is {status}", taken["agent"]);
        self.until(&what, || async {
            let now = self.transition(taken).await;
            if now["status"] == status { Ok(now) } else { Err(now.to_string()) }
        })
        .await
    }

    /// Waits until every one of these stands somewhere; looks at the store, since there may be many.
    pub async fn until_all(&self, taken: &[Value], status: &str) {
        let reader = self.reader().await;
        let ids: Vec<_> = taken.iter().map(|one| one["id"].as_str().expect("an id").parse().expect("an id")).collect();
        let look = || async {
            let mut others = std::collections::BTreeMap::<String, usize>::new();
            for id in &ids {
                let stored = reader.transition(&self.tenant, *id).await.expect("readable").expect("stored");
                if stored.transition.status.name() != status {
                    *others.entry(format!("{}", stored.transition.status)).or_default() += 1;
                }
            }
            if others.is_empty() { Ok(()) } else { Err(format!("{others:?}")) }
        };
        self.until_within(&format!("{} transitions are {status}", ids.len()), PATIENCE * 4, look).await;
    }

    /// The body of `/readyz`, whatever its status.
    pub async fn readiness(&self) -> Value {
        self.get("/readyz").await.1
    }

    /// Waits until the daemon says that it is `ready`, `degraded` or `not_ready`; gives the report.
    pub async fn until_readiness(&self, status: &str) -> Value {
        self.until(&format!("readiness is {status}"), || async {
            let report = self.readiness().await;
            if report["status"] == status { Ok(report) } else { Err(report.to_string()) }
        })
        .await
    }

    /// Waits until a part that is not ready says something with `words` in it.
    pub async fn until_complaint(&self, words: &str) -> Value {
        self.until(&format!("readiness complains of {words:?}"), || async {
            let report = self.readiness().await;
            let complains = |part: &Value| {
                part["ready"] == false && part["detail"].as_str().is_some_and(|detail| detail.contains(words))
            };
            if report["parts"].as_array().is_some_and(|parts| parts.iter().any(complains)) {
                Ok(report)
            } else {
                Err(report.to_string())
            }
        })
        .await
    }

    /// Waits until a condition holds, for [`PATIENCE`].
    pub async fn until<T, F, L>(&self, what: &str, look: L) -> T
    where
        L: FnMut() -> F,
        F: Future<Output = Result<T, String>>,
    {
        self.until_within(what, PATIENCE, look).await
    }

    /// Waits until a condition holds, at most so long in real time; the look says what it saw instead.
    pub async fn until_within<T, F, L>(&self, what: &str, limit: Duration, look: L) -> T
    where
        L: FnMut() -> F,
        F: Future<Output = Result<T, String>>,
    {
        until(what, limit, look).await
    }

    /// Lets at least so much simulated time pass, where the passing of time is itself the condition.
    pub async fn pass(&self, time: Duration) {
        let due = self.clock.now() + time;
        let clock = self.clock.clone();
        self.until("time passes", || async { if clock.now() >= due { Ok(()) } else { Err(clock.now().to_string()) } })
            .await;
    }

    /// Puts an agent of the first tenant into a state, held there.
    pub fn put(&self, agent: &str, state: SimState) {
        self.script(&AgentScript { state: Some(state), hold: Some(true), ..Self::script_of(agent) });
    }

    /// A script that changes nothing yet.
    pub fn script_of(agent: &str) -> AgentScript {
        AgentScript {
            tenant: None,
            agent: agent.into(),
            state: None,
            hold: None,
            scheduled: None,
            mandatory_break: None,
        }
    }

    pub fn script(&self, script: &AgentScript) {
        self.sim.script(script).expect("a known agent");
    }

    /// The state that an agent is in, by the platform.
    pub fn state_of(&self, agent: &str) -> SimState {
        let worlds = self.sim.world();
        let world = worlds.iter().find(|world| world.id == self.tenant).expect("the tenant");
        world.agents.iter().find(|view| view.id.as_str() == agent).expect("a known agent").state
    }

    /// Adds a fault, in the short form.
    pub fn fault(&self, text: &str) {
        self.sim.add_fault(text.parse().expect("a fault")).expect("a sound fault");
    }

    /// Waits until the daemon has seen every agent and says that it is ready.
    pub async fn until_in_sight(&self) {
        let reader = self.reader().await;
        let wanted = self.sim.world().iter().find(|world| world.id == self.tenant).expect("the tenant").agents.len();
        self.until("every agent is seen", || async {
            let seen = reader.latest_states(&self.tenant).await.expect("readable").len();
            if seen >= wanted { Ok(()) } else { Err(format!("{seen} of {wanted}; {}", self.readiness().await)) }
        })
        .await;
        self.until_readiness("ready").await;
    }

    pub fn kills(&self) -> &[UtcMicros] {
        &self.kills
    }
}

/// Waits until a condition holds; looks a bounded number of times.
pub async fn until<T, F, L>(what: &str, limit: Duration, mut look: L) -> T
where
    L: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    let watch = Stopwatch::start();
    loop {
        let seen = match look().await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(
            watch.elapsed() < limit,
            "not within {limit:?}: {what}; instead: {}",
            seen.chars().take(3000).collect::<String>()
        );
        RealTime::sleep(LOOK_EVERY).await;
    }
}

/// Sends a request; the body is null where it is not JSON.
pub async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
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
pub fn agents(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("u_{number:04}")).collect()
}
