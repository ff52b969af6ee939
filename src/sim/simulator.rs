//! The running simulator: its socket and tasks, its orderly stop, and its restart for tests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::accept::accept_connections;
use super::faults::{FaultError, FaultSpec};
use super::incontact::codes::{Code, CodeScript};
use super::incontact::trap::Trap;
use super::journal::LogPage;
use super::options::SimOptions;
use super::platform_state::{AgentScript, PlatformState, ScriptError, TenantCounts, WorldView};
use super::roster::{FEWEST_AGENTS, FEWEST_SKILLS, MOST_AGENTS, MOST_SKILLS, MOST_TENANTS};
use super::server;
use super::server::connection::{ConnectionSignals, ConnectionStream, SHUTDOWN_GRACE, Socket};
use super::server::context::ServerContext;
use super::shifts::{self, FileSchedule, ScheduleError};
use super::state::SimState;
use crate::clock::{RealTime, SharedClock};
use crate::domain::ids::{AgentId, TenantId};

/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The longest time to receive the head of a request, in real time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval at which the world advances without requests.
const TICK: Duration = Duration::from_secs(1);
/// The shortest interval between ticks, in real time: while no feed is open, and while one is.
const MIN_TICK_REAL: Duration = Duration::from_millis(100);
const MIN_FEED_TICK_REAL: Duration = Duration::from_millis(10);
/// How much too early a poll may arrive, in real time, because of the jitter of the host and its network.
const POLL_TOLERANCE: Duration = Duration::from_millis(100);

/// The reason why a simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address is not on loopback, which is required since the control API under `/_sim` needs no token.
    #[error("the simulator listens on loopback alone, and {0} is not: whoever reaches it can do anything in it")]
    NotLoopback(SocketAddr),
    /// The number of agents is out of range.
    #[error("{0} agents per tenant: it must be from {FEWEST_AGENTS} to {MOST_AGENTS}")]
    Agents(usize),
    /// The number of tenants is out of range.
    #[error("{0} tenants: it must be from 1 to {MOST_TENANTS}")]
    Tenants(usize),
    /// The number of skills is out of range.
    #[error("{0} skills: it must be from {FEWEST_SKILLS} to {MOST_SKILLS}")]
    Skills(usize),
    /// The schedule file cannot be used.
    #[error("the schedule {name} cannot be used")]
    Schedule {
        /// The file's name.
        name: String,
        /// The error in the file.
        #[source]
        source: ScheduleError,
    },
    /// A fault is not valid.
    #[error("a fault cannot be used")]
    Fault(#[source] FaultError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

/// What a client needs to use the simulator.
#[derive(Clone, Serialize)]
pub struct Description {
    /// The base URL.
    pub base_url: String,
    /// The tenants.
    pub tenants: Vec<TenantDescription>,
}

/// One tenant with its secret. It does not implement `Debug`, so that the secret is not printed by accident.
#[derive(Clone, Serialize)]
pub struct TenantDescription {
    /// The tenant's id.
    pub id: TenantId,
    /// The client id of its credentials.
    pub client_id: String,
    /// The client secret of its credentials.
    pub client_secret: String,
    /// The client id of the application that is registered at the published services. Their access key is
    /// `client_id` with `client_secret`.
    pub app_id: String,
    /// The client secret of the application.
    pub app_secret: String,
    /// All agents.
    pub agents: Vec<AgentId>,
    /// The agent in a mandatory break, if there is one.
    pub break_user: Option<AgentId>,
    /// The agent that is never scheduled, if there is one.
    pub off_user: Option<AgentId>,
    /// All skills.
    pub skills: Vec<SkillDescription>,
    /// The unavailable codes that every team has, for the same state.
    pub codes: Vec<CodeDescription>,
}

/// An unavailable code of the published services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CodeDescription {
    /// The code's number.
    pub id: i64,
    /// The code's name.
    pub name: String,
    /// The state that it stands for.
    pub state: SimState,
}

/// A skill and the queue of its contacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkillDescription {
    /// The skill's number.
    pub id: u32,
    /// The queue's id.
    pub queue: String,
    /// The name of both.
    pub name: String,
}

/// What a restart keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Agents stay as they are; tokens and subscriptions are forgotten.
    SameWorld,
    /// Everything is made anew from the seed, including counts and journal.
    FreshWorld,
}

/// A running simulator. Dropping it ends it at once.
pub struct Simulator {
    options: SimOptions,
    schedule: Option<FileSchedule>,
    clock: SharedClock,
    context: ServerContext,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Simulator {
    /// Checks the options, creates the world and starts to listen.
    pub async fn start(options: SimOptions, clock: SharedClock) -> Result<Self, SimError> {
        validate(&options)?;
        let now = clock.now();
        let schedule = match &options.schedule {
            None => None,
            Some(file) => Some(
                shifts::parse(&file.bytes, now)
                    .map_err(|source| SimError::Schedule { name: file.name.clone(), source })?,
            ),
        };
        let state = new_state(&options, schedule.as_ref(), &clock)?;
        let listener = listen(options.listen).await?;
        let address = listener.local_addr().map_err(|source| SimError::Listen { address: options.listen, source })?;
        let context = ServerContext::new(clock.clone(), Arc::from(format!("http://{address}")), state);
        let stop = CancellationToken::new();
        let mut simulator = Self { options, schedule, clock, context, address, stop, tasks: JoinSet::new() };
        simulator.start_tasks(listener);
        Ok(simulator)
    }

    /// Returns the address, also while the simulator does not listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what a client needs to use the simulator.
    pub fn description(&self) -> Description {
        let state = self.context.lock_state();
        let skill = |skill: &super::contacts::Skill| SkillDescription {
            id: skill.id,
            queue: skill.queue.clone(),
            name: skill.name.to_string(),
        };
        let code = |code: &Code| CodeDescription { id: code.id, name: code.name.to_string(), state: code.state };
        let tenant = |tenant: &super::platform_state::Tenant| TenantDescription {
            id: tenant.id.clone(),
            client_id: tenant.client_id.clone(),
            client_secret: tenant.client_secret.clone(),
            app_id: tenant.app_id.clone(),
            app_secret: tenant.app_secret.clone(),
            agents: tenant.world.roster().iter().map(|who| who.id.clone()).collect(),
            break_user: tenant.break_user.clone(),
            off_user: tenant.off_user.clone(),
            skills: tenant.world.skills().iter().map(skill).collect(),
            codes: tenant.common_codes().map(code).collect(),
        };
        Description { base_url: self.context.base_url.to_string(), tenants: state.tenants.iter().map(tenant).collect() }
    }

    /// Returns by how many weeks the schedule file was moved, or `None` without a file.
    pub fn moved_weeks(&self) -> Option<i64> {
        self.schedule.as_ref().map(|schedule| schedule.moved_weeks)
    }

    /// Returns the platform's counts for a tenant up to now.
    pub fn counts(&self, tenant: &TenantId) -> TenantCounts {
        self.context.lock_current_state().counts(tenant)
    }

    /// Returns up to `limit` entries of the journal after the entry with the number `after`.
    pub fn log(&self, after: u64, limit: usize) -> LogPage {
        self.context.lock_current_state().journal.page(after, limit)
    }

    /// Returns the current agents of every tenant.
    pub fn world_views(&self) -> Vec<WorldView> {
        self.context.lock_current_state().world_views(None)
    }

    /// Adds a fault, or carries it out at once if its kind happens only once.
    pub fn add_fault(&self, fault: FaultSpec) -> Result<(), FaultError> {
        self.context.lock_state().add_fault(fault)
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.context.lock_state().faults.clear();
    }

    /// Puts an agent into a state, or overrides facts about it.
    pub fn apply_script(&self, script: &AgentScript) -> Result<(), ScriptError> {
        self.context.lock_current_state().apply_script(script)
    }

    /// Changes an unavailable code of the published services.
    pub fn apply_code_script(&self, script: &CodeScript) -> Result<(), ScriptError> {
        self.context.lock_current_state().apply_code_script(script)
    }

    /// Switches these traps of the published services on, and all others off.
    pub fn set_traps(&self, traps: &[Trap]) {
        self.context.lock_current_state().set_traps(traps.iter().copied().collect());
    }

    /// Closes the socket and all connections; answers under way get half a second. The world goes on.
    pub async fn stop_listening(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Listens on the same port again after [`Simulator::stop_listening`], in the same session: tokens stay valid.
    pub async fn resume_listening(&mut self) -> Result<(), SimError> {
        self.stop_listening().await;
        let listener = listen(self.address).await?;
        self.start_tasks(listener);
        Ok(())
    }

    /// Stops and starts again on the same port. Tokens and subscriptions are forgotten; ids and secrets stay the
    /// same.
    pub async fn restart(&mut self, restart: Restart) -> Result<(), SimError> {
        self.stop_listening().await;
        match restart {
            Restart::SameWorld => self.context.lock_state().clear_sessions(),
            Restart::FreshWorld => {
                let state = new_state(&self.options, self.schedule.as_ref(), &self.clock)?;
                *self.context.lock_state() = state;
            }
        }
        self.resume_listening().await
    }

    /// Returns a port for connections that the caller brings, as if they had come over the socket.
    pub fn virtual_port(&self) -> VirtualPort {
        VirtualPort { router: server::router(self.context.clone()), stop: self.stop.clone() }
    }

    /// Stops the simulator in order.
    pub async fn stop(mut self) {
        self.stop_listening().await;
    }

    fn start_tasks(&mut self, listener: TcpListener) {
        self.stop = CancellationToken::new();
        let (router, stop) = (server::router(self.context.clone()), self.stop.clone());
        self.tasks.spawn(accept_connections(listener, self.stop.clone(), move |stream| {
            serve_connection(Box::new(stream), router.clone(), stop.clone())
        }));
        self.tasks.spawn(tick(self.context.clone(), self.stop.clone()));
    }
}

/// A port for connections that do not come from the system's network.
#[derive(Clone)]
pub struct VirtualPort {
    router: Router,
    stop: CancellationToken,
}

impl VirtualPort {
    /// Serves one connection to its end.
    pub fn serve(&self, stream: Box<dyn ConnectionStream>) -> impl Future<Output = ()> + Send + use<> {
        serve_connection(stream, self.router.clone(), self.stop.clone())
    }
}

fn validate(options: &SimOptions) -> Result<(), SimError> {
    if !options.listen.ip().is_loopback() {
        return Err(SimError::NotLoopback(options.listen));
    }
    if !(FEWEST_AGENTS..=MOST_AGENTS).contains(&options.agents) {
        return Err(SimError::Agents(options.agents));
    }
    if !(1..=MOST_TENANTS).contains(&options.tenants) {
        return Err(SimError::Tenants(options.tenants));
    }
    if !(FEWEST_SKILLS..=MOST_SKILLS).contains(&options.skills) {
        return Err(SimError::Skills(options.skills));
    }
    Ok(())
}

fn new_state(
    options: &SimOptions,
    schedule: Option<&FileSchedule>,
    clock: &SharedClock,
) -> Result<PlatformState, SimError> {
    PlatformState::new(options, schedule, clock.scale_real(POLL_TOLERANCE), clock.now()).map_err(SimError::Fault)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, SimError> {
    TcpListener::bind(address).await.map_err(|source| SimError::Listen { address, source })
}

/// Serves one connection until either side, a fault or the stop ends it.
async fn serve_connection(stream: Box<dyn ConnectionStream>, router: Router, stop: CancellationToken) {
    let (signals, closed) =
        (ConnectionSignals { stop: stop.clone(), ..ConnectionSignals::default() }, CancellationToken::new());
    // A feed runs in a task of its own and ends with this one.
    let _end = signals.close.clone().drop_guard();
    let service = TowerToHyperService::new(router.layer(Extension(signals.clone())));
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(Socket::new(stream, &signals, &closed)), service)
        .with_upgrades();
    tokio::select! {
        biased;
        _ = &mut connection => {}
        () = signals.reset.cancelled() => {}
        () = signals.close.cancelled() => {}
        () = stop.cancelled() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                _ = &mut connection => {}
                () = RealTime::sleep(SHUTDOWN_GRACE) => {}
            }
        }
    }
    // This closes the socket, unless a feed has taken it over.
    drop(connection);
    tokio::select! {
        () = closed.cancelled() => {}
        () = async { stop.cancelled().await; RealTime::sleep(SHUTDOWN_GRACE).await } => {}
    }
}

/// Advances the world when there are no requests, so that no single request has to catch up on hours.
async fn tick(context: ServerContext, stop: CancellationToken) {
    loop {
        let min_tick = if context.lock_state().has_feeds() { MIN_FEED_TICK_REAL } else { MIN_TICK_REAL };
        let pause = TICK.max(context.clock.scale_real(min_tick));
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.clock.sleep(pause) => drop(context.lock_current_state()),
        }
    }
}
