//! The daemon of a world: its configuration, how it is started, reloaded, stopped and killed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use shiftkeeper::app::{App, Importer, Reload};
use shiftkeeper::clock::{RealTime, Stopwatch};
use shiftkeeper::config::{Config, ConfigText, Environment, LoadedConfig};
use shiftkeeper::domain::access::rights::Right;
use shiftkeeper::domain::ids::AgentId;
use shiftkeeper::engine::access::accounts::Accounts;
use shiftkeeper::engine::operations::supervisor::SupervisorExit;
use shiftkeeper::sim::TenantDescription;
use shiftkeeper::store::OpenError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::process::Server;
use super::{HOOK_KEY, OPERATOR, POLL_INTERVAL, Scenario, VIEWER, WAIT_TIMEOUT};

/// A running daemon.
pub(super) struct Daemon {
    pub(super) base: String,
    pub(super) mode: RunMode,
}

/// Where it runs.
pub(super) enum RunMode {
    /// In the test's process.
    InProcess(InProcessDaemon),
    /// As the real binary.
    SeparateProcess(Server),
}

pub(super) struct InProcessDaemon {
    pub(super) importer: Importer,
    pub(super) accounts: Accounts,
    reload: Reload,
    running: Box<LoadedConfig>,
    shutdown: CancellationToken,
    tasks: JoinSet<SupervisorExit>,
}

/// The real binary, instead of a daemon in the test's process.
#[derive(Clone)]
pub struct Binary {
    /// The program.
    pub path: PathBuf,
    /// More of its environment.
    pub environment: Vec<(String, String)>,
}

impl Scenario {
    /// The configuration, as an operator would write it.
    pub fn configuration(&self) -> LoadedConfig {
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
        let served = |tenant: &&TenantDescription| !self.setup.unconfigured_tenants.contains(&tenant.id.as_str());
        for tenant in description.tenants.iter().filter(served) {
            let secret = format!("SECRET_{}", tenant.id.as_str().to_uppercase());
            let mut agents = if self.setup.lists_all_agents { tenant.agents.clone() } else { Vec::new() };
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
        let own = self.setup.keys_by_tenant.iter().filter(|(of, _)| *of == tenant.id.as_str());
        let own: Vec<_> = own.map(|(_, keys)| *keys).collect();
        format!(
            "[[tenants]]\nid = {id:?}\nbase_url = {base:?}\nclient_id = {client:?}\nclient_secret = {{ env = {secret:?} }}\n\
             request_timeout = \"{timeout}ms\"\nagents = {agents}\n{keys}\n{dialect}\n{own}\n{tables}\n",
            id = tenant.id.as_str(),
            client = tenant.client_id,
            timeout = self.setup.request_timeout.as_millis(),
            agents = json!(agents),
            keys = self.setup.tenant_keys,
            dialect = self.setup.dialect.keys(),
            own = own.join("\n"),
            tables = self.setup.tenant_tables,
        ) + self.setup.dialect.tables()
    }

    /// Starts the daemon on the database; the one before may still be letting go of it.
    pub async fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs");
        if let Some(command) = self.daemon_command() {
            return self.adopt_process(Server::start(command).await);
        }
        let running = self.configuration();
        let config = running.config.clone();
        let watch = Stopwatch::start();
        let (app, soft) = loop {
            let soft = CancellationToken::new();
            match App::start(config.clone(), self.clocks.daemon_clock(), soft.clone()).await {
                Ok(app) => break (app, soft),
                Err(error)
                    if matches!(error.downcast_ref(), Some(OpenError::InUse { .. }))
                        && watch.elapsed() < WAIT_TIMEOUT =>
                {
                    RealTime::sleep(POLL_INTERVAL).await;
                }
                Err(error) => panic!("the daemon does not start: {error:#}"),
            }
        };
        let (base, importer, reload) = (format!("http://{}", app.listen), app.importer(), app.reload());
        let accounts = app.accounts();
        let mut tasks = JoinSet::new();
        tasks.spawn(app.run());
        let here = InProcessDaemon { importer, accounts, reload, running: Box::new(running), shutdown: soft, tasks };
        self.daemon = Some(Daemon { base, mode: RunMode::InProcess(here) });
    }

    /// Puts the configuration in force as the setup now has it, as a SIGHUP would.
    pub fn reload(&mut self) {
        let newer = self.configuration();
        self.try_reload(newer).expect("a sound configuration");
    }

    /// Puts a configuration in force, where it can be.
    pub fn try_reload(&mut self, newer: LoadedConfig) -> anyhow::Result<()> {
        let RunMode::InProcess(here) = &mut self.daemon.as_mut().expect("the daemon runs").mode else {
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
    pub fn adopt_process(&mut self, server: Server) {
        let listen = server.ready["listen"].as_str().expect("an address").to_owned();
        self.daemon = Some(Daemon { base: format!("http://{listen}"), mode: RunMode::SeparateProcess(server) });
    }

    /// Ends the daemon in order.
    pub async fn stop_daemon(&mut self) {
        match self.daemon.take().expect("a daemon").mode {
            RunMode::InProcess(InProcessDaemon { shutdown: soft, mut tasks, .. }) => {
                soft.cancel();
                let ended = tasks.join_next().await.expect("its task").expect("no panic");
                assert!(matches!(ended, SupervisorExit::Requested), "{ended:?}");
            }
            RunMode::SeparateProcess(server) => {
                server.signal("TERM");
                let (status, _, said) = server.wait_for_exit().await;
                assert!(status.success(), "{status}: {said}");
            }
        }
        self.kills.push(self.clock.now());
    }

    /// Ends the daemon where it stands, as a crash would: nothing is drained, closed or said. A process gets SIGKILL.
    pub async fn kill_daemon(&mut self) {
        match self.daemon.take().expect("a daemon").mode {
            RunMode::InProcess(InProcessDaemon { mut tasks, .. }) => tasks.shutdown().await,
            RunMode::SeparateProcess(server) => drop(server),
        }
        self.kills.push(self.clock.now());
    }

    /// The daemon's process, to end it in a way of its own.
    pub fn take_process(&mut self) -> Server {
        self.kills.push(self.clock.now());
        match self.daemon.take().expect("a daemon").mode {
            RunMode::SeparateProcess(server) => server,
            RunMode::InProcess(_) => panic!("the daemon runs in the test's process"),
        }
    }

    /// The most memory that the daemon's process has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        match &self.daemon().mode {
            RunMode::SeparateProcess(server) => server.peak_memory(),
            RunMode::InProcess(_) => panic!("the daemon runs in the test's process"),
        }
    }
}
