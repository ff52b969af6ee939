//! The running simulator: its socket, its tasks, its orderly stop, and how it goes down and comes back for tests.

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

use super::face::line::{FAREWELL, Line, Socket, Stream};
use super::face::{self, Lobby};
use super::faults::{FaultError, FaultSpec};
use super::journal::LogPage;
use super::options::SimOptions;
use super::roster::{FEWEST_AGENTS, FEWEST_SKILLS, MOST_AGENTS, MOST_SKILLS, MOST_TENANTS};
use super::shifts::{self, FileSchedule, ScheduleError};
use super::stage::{AgentScript, Counts, ScriptError, Stage, WorldView};
use crate::clock::{RealTime, SharedClock};
use crate::domain::ids::{AgentId, TenantId};

/// The most connections at once; more wait in the kernel.
const MOST_CONNECTIONS: usize = 4096;
/// The largest head of a request.
const LARGEST_HEAD: usize = 64 * 1024;
/// How long a connection may take over the head of a request, in real time.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How often the world is moved on when nobody asks.
const TICK: Duration = Duration::from_secs(1);
/// The least time between ticks, in real time: while nobody listens, and while somebody does.
const LEAST_REAL_TICK: Duration = Duration::from_millis(100);
const LEAST_FEED_TICK: Duration = Duration::from_millis(10);
/// How much too early a poll may arrive, in real time: the jitter of the host and its network.
const POLL_TOLERANCE: Duration = Duration::from_millis(100);
/// Between two tries to accept when the system has no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// Listen on a loopback address: the back door needs no token.
    #[error("the simulator listens on loopback alone, and {0} is not: whoever reaches it can do anything in it")]
    NotLoopback(SocketAddr),
    /// Ask for another number of agents.
    #[error("{0} agents per tenant: it must be from {FEWEST_AGENTS} to {MOST_AGENTS}")]
    Agents(usize),
    /// Ask for another number of tenants.
    #[error("{0} tenants: it must be from 1 to {MOST_TENANTS}")]
    Tenants(usize),
    /// Ask for another number of skills.
    #[error("{0} skills: it must be from {FEWEST_SKILLS} to {MOST_SKILLS}")]
    Skills(usize),
    /// Correct the file.
    #[error("the schedule {name} cannot be used")]
    Schedule {
        /// The file.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ScheduleError,
    },
    /// Correct the fault.
    #[error("a fault cannot be used")]
    Fault(#[source] FaultError),
    /// Free the address or choose another.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// What a newcomer needs to use the simulator.
#[derive(Clone, Serialize)]
pub struct Description {
    /// Where it listens.
    pub base_url: String,
    /// Its tenants.
    pub tenants: Vec<TenantDescription>,
}

/// One tenant, with its secret; it cannot be printed, only written out where that is meant.
#[derive(Clone, Serialize)]
pub struct TenantDescription {
    /// The tenant.
    pub id: TenantId,
    /// The credentials' name.
    pub client_id: String,
    /// The credentials' secret.
    pub client_secret: String,
    /// Every agent.
    pub agents: Vec<AgentId>,
    /// An agent in a mandatory break.
    pub break_user: Option<AgentId>,
    /// An agent that is never scheduled.
    pub off_user: Option<AgentId>,
    /// Every skill.
    pub skills: Vec<SkillDescription>,
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
    /// Everything is made anew from the seed, counts and account included.
    FreshWorld,
}

/// A running simulator. Dropping it ends it at once.
pub struct Simulator {
    options: SimOptions,
    schedule: Option<FileSchedule>,
    clock: SharedClock,
    lobby: Lobby,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Simulator {
    /// Checks the options, makes the world, and listens.
    pub async fn start(options: SimOptions, clock: SharedClock) -> Result<Self, SimError> {
        check(&options)?;
        let now = clock.now();
        let schedule = match &options.schedule {
            None => None,
            Some(file) => Some(
                shifts::read(&file.bytes, now)
                    .map_err(|source| SimError::Schedule { name: file.name.clone(), source })?,
            ),
        };
        let stage = new_stage(&options, schedule.as_ref(), &clock)?;
        let listener = listen(options.listen).await?;
        let address = listener.local_addr().map_err(|source| SimError::Listen { address: options.listen, source })?;
        let lobby = Lobby::new(clock.clone(), Arc::from(format!("http://{address}")), stage);
        let stop = CancellationToken::new();
        let mut simulator = Self { options, schedule, clock, lobby, address, stop, tasks: JoinSet::new() };
        simulator.open(listener);
        Ok(simulator)
    }

    /// Where it listens, also while it does not.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a newcomer needs.
    pub fn description(&self) -> Description {
        let stage = self.lobby.stage();
        let skill = |skill: &super::contacts::Skill| SkillDescription {
            id: skill.id,
            queue: skill.queue.clone(),
            name: skill.name.to_string(),
        };
        let tenant = |tenant: &super::stage::Tenant| TenantDescription {
            id: tenant.id.clone(),
            client_id: tenant.client_id.clone(),
            client_secret: tenant.client_secret.clone(),
            agents: tenant.world.roster().iter().map(|who| who.id.clone()).collect(),
            break_user: tenant.break_user.clone(),
            off_user: tenant.off_user.clone(),
            skills: tenant.world.skills().iter().map(skill).collect(),
        };
        Description { base_url: self.lobby.base_url.to_string(), tenants: stage.tenants.iter().map(tenant).collect() }
    }

    /// By how many weeks the schedule file was moved; none without a file.
    pub fn moved_weeks(&self) -> Option<i64> {
        self.schedule.as_ref().map(|schedule| schedule.moved_weeks)
    }

    /// What the platform counted for a tenant up to now.
    pub fn counts(&self, tenant: &TenantId) -> Counts {
        let now = self.clock.now();
        let mut stage = self.lobby.stage();
        stage.advance(now);
        stage.counts(tenant)
    }

    /// Up to `limit` entries of the account after the one with the number `after`.
    pub fn log(&self, after: u64, limit: usize) -> LogPage {
        let now = self.clock.now();
        let mut stage = self.lobby.stage();
        stage.advance(now);
        stage.log(after, limit)
    }

    /// Every tenant's agents as they are now.
    pub fn world(&self) -> Vec<WorldView> {
        let now = self.clock.now();
        let mut stage = self.lobby.stage();
        stage.advance(now);
        stage.view(None)
    }

    /// Adds a fault, or does it at once where it is of a kind that happens once.
    pub fn add_fault(&self, fault: FaultSpec) -> Result<(), FaultError> {
        self.lobby.stage().add_fault(fault)
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        self.lobby.stage().faults.clear();
    }

    /// Puts an agent into a state or changes the facts about it.
    pub fn script(&self, script: &AgentScript) -> Result<(), ScriptError> {
        let now = self.clock.now();
        let mut stage = self.lobby.stage();
        stage.advance(now);
        stage.script(script)
    }

    /// Closes the socket and every connection; answers under way have half a second. The world lives on.
    pub async fn stop_listening(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Listens again on the same port after [`Simulator::stop_listening`], in the same session: tokens are still good.
    pub async fn listen_again(&mut self) -> Result<(), SimError> {
        self.stop_listening().await;
        let listener = listen(self.address).await?;
        self.open(listener);
        Ok(())
    }

    /// Goes down and comes back on the same port. Tokens and subscriptions are forgotten; ids and secrets are the same.
    pub async fn restart(&mut self, restart: Restart) -> Result<(), SimError> {
        self.stop_listening().await;
        match restart {
            Restart::SameWorld => self.lobby.stage().forget_sessions(),
            Restart::FreshWorld => {
                let stage = new_stage(&self.options, self.schedule.as_ref(), &self.clock)?;
                *self.lobby.stage() = stage;
            }
        }
        self.listen_again().await
    }

    /// Serves connections that whoever calls brings, as if they had come over its socket.
    pub fn port(&self) -> Port {
        Port { router: face::router(self.lobby.clone()), stop: self.stop.clone() }
    }

    /// Ends it in order.
    pub async fn stop(mut self) {
        self.stop_listening().await;
    }

    fn open(&mut self, listener: TcpListener) {
        self.stop = CancellationToken::new();
        self.tasks.spawn(accept(listener, face::router(self.lobby.clone()), self.stop.clone()));
        self.tasks.spawn(tick(self.lobby.clone(), self.stop.clone()));
    }
}

/// Where connections arrive that are none of the system's.
#[derive(Clone)]
pub struct Port {
    router: Router,
    stop: CancellationToken,
}

impl Port {
    /// Serves one connection to its end.
    pub fn serve(&self, stream: Box<dyn Stream>) -> impl Future<Output = ()> + Send + use<> {
        converse(stream, self.router.clone(), self.stop.clone())
    }
}

fn check(options: &SimOptions) -> Result<(), SimError> {
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

fn new_stage(options: &SimOptions, schedule: Option<&FileSchedule>, clock: &SharedClock) -> Result<Stage, SimError> {
    Stage::new(options, schedule, clock.span_of_real(POLL_TOLERANCE), clock.now()).map_err(SimError::Fault)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, SimError> {
    TcpListener::bind(address).await.map_err(|source| SimError::Listen { address, source })
}

/// Accepts connections until it is stopped, then waits for them to end.
async fn accept(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let full = connections.len() >= MOST_CONNECTIONS;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, _)) => {
                    // Answers are short and written whole; waiting for more of them to send would only delay them.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(converse(Box::new(stream), router.clone(), stop.clone()));
                }
                Err(_) => RealTime::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection until either side, a fault or the stop ends it.
async fn converse(stream: Box<dyn Stream>, router: Router, stop: CancellationToken) {
    let (line, closed) = (Line { stop: stop.clone(), ..Line::default() }, CancellationToken::new());
    // A feed lives in a task of its own and ends with this one.
    let _end = line.close.clone().drop_guard();
    let service = TowerToHyperService::new(router.layer(Extension(line.clone())));
    let mut connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(Socket::new(stream, &line, &closed)), service)
        .with_upgrades();
    tokio::select! {
        biased;
        _ = &mut connection => {}
        () = line.reset.cancelled() => {}
        () = line.close.cancelled() => {}
        () = stop.cancelled() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                _ = &mut connection => {}
                () = RealTime::sleep(FAREWELL) => {}
            }
        }
    }
    // The socket goes with it, unless a feed has taken it over.
    drop(connection);
    tokio::select! {
        () = closed.cancelled() => {}
        () = async { stop.cancelled().await; RealTime::sleep(FAREWELL).await } => {}
    }
}

/// Moves the world on when nobody asks, so that no single question has to catch up on hours.
async fn tick(lobby: Lobby, stop: CancellationToken) {
    loop {
        let least = if lobby.stage().has_feeds() { LEAST_FEED_TICK } else { LEAST_REAL_TICK };
        let pause = TICK.max(lobby.clock.span_of_real(least));
        tokio::select! {
            () = stop.cancelled() => return,
            () = lobby.clock.sleep(pause) => {
                let now = lobby.clock.now();
                lobby.stage().advance(now);
            }
        }
    }
}
