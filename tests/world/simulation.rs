//! The world itself: its parts, and how its time advances.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use fastrand::Rng;
use serde_json::json;
use shiftkeeper::clock::Clock as _;
use shiftkeeper::domain::ids::{AgentId, TenantId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{LogPage, SimState, Simulator};
use tempfile::TempDir;

use crate::daemon::{Daemon, DaemonHost, Response, Slot};
use crate::disk::{Disk, DiskHealth};
use crate::environment::{ReceiverState, configuration, folder, serve_platform, serve_receiver, simulator};
use crate::host::{Host, Stillness};
use crate::laws::{Laws, Observation};
use crate::network::{Network, Route};
use crate::people::{PersonActions, SharedHistory, break_in_minutes};
use crate::plan::{Break, CALM_AFTER, END, Plan, PlannedEvent, ReceiverMode};
use crate::runtime::SteppedRuntime;

/// Where simulated time starts: a Monday afternoon.
pub const START: &str = "2026-10-26T13:30:00Z";

/// How long an answer of the platform may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// From one snapshot to the next.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// The longest step: timers of the runtimes' own are late by as much at most.
const MAX_STEP: Duration = Duration::from_millis(250);

/// The daemon is killed a few times, and starts every two seconds while its disk fails.
const MAX_RESTARTS: usize = 80;

/// A usual world takes some ten thousand.
const MAX_STEPS: u64 = 1_000_000;

/// From one look at the daemon to the next.
const OBSERVATION_INTERVAL: Duration = Duration::from_secs(5);

/// A person's request, as the API answered it.
#[derive(Clone, Debug)]
pub struct StateRequest {
    pub agent: String,
    pub to: &'static str,
    pub requested_at: Duration,
    pub response: Slot<Response>,
}

pub struct World {
    pub plan: Plan,
    pub now: Duration,
    pub folder: TempDir,
    pub tenant: TenantId,
    pub agents: Vec<AgentId>,
    pub sim: Simulator,
    pub platform_clock: Host,
    pub network: Network,
    pub disk: Disk,
    pub receiver: Arc<Mutex<ReceiverState>>,
    pub requests: Vec<StateRequest>,
    pub people: PersonActions,
    /// Agents that something other than a single request may have changed, and when.
    pub changed_otherwise: Vec<(String, Duration)>,
    /// The plans that may be in force, with when each was given.
    pub plans: Vec<(Duration, Vec<Break>)>,
    pub story: Vec<(Duration, String)>,
    /// When the daemon's clock was put elsewhere than true time, if ever.
    pub clock_was_set: bool,
    others: SteppedRuntime,
    /// For the daemon's lives to come.
    runtimes: Vec<SteppedRuntime>,
    daemon: Option<Daemon>,
    host: DaemonHost,
    rng: Rng,
    restarts: u64,
    scheduled_ends: BTreeMap<(Duration, u64), ScheduledEnd>,
    next_end: u64,
    laws: Laws,
    observations: Vec<Observation>,
    next_observation: Duration,
    pub steps: u64,
    reloads: u32,
    /// What passed for the runtime's own timers while the process was stopped.
    stopped_for: Duration,
}

/// What comes to its end later.
#[derive(Clone, Debug)]
enum ScheduledEnd {
    HostPause,
    Slow(Route),
    Disk,
    Receiver,
    Start,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let seed = plan.seed;
        let start: UtcMicros = START.parse().expect("an instant");
        let (clock, platform_clock) = (Host::at(start), Host::at(start));
        let network = Network::new(seed.wrapping_add(1));
        let others = SteppedRuntime::new();
        // All of them before there is any other thread: what a runtime draws of chance follows from how many were made before.
        let runtimes = (0..MAX_RESTARTS).map(|_| SteppedRuntime::new()).collect();
        let disk = Disk::new(seed.wrapping_add(2), clock.clone());
        let sim = simulator(&others, &plan, &platform_clock);
        let tenant = sim.description().tenants.remove(0);
        serve_platform(&others, &network, &sim);
        let receiver = serve_receiver(&others, &network, &platform_clock);
        let folder = folder();
        let (texts, environment) = configuration(&plan, &sim, &folder);
        let ground = DaemonHost { clock, network: network.clone(), disk: disk.clone(), texts, environment };
        let mut world = Self {
            now: Duration::ZERO,
            tenant: tenant.id.clone(),
            agents: tenant.agents.clone(),
            folder,
            sim,
            platform_clock,
            network,
            disk,
            receiver,
            requests: Vec::new(),
            people: PersonActions { tenant: tenant.id.clone(), history: SharedHistory::default() },
            changed_otherwise: Vec::new(),
            plans: vec![(Duration::ZERO, plan.breaks.clone())],
            story: Vec::new(),
            clock_was_set: false,
            others,
            runtimes,
            daemon: None,
            host: ground,
            rng: Rng::with_seed(seed.wrapping_add(3)),
            restarts: 0,
            scheduled_ends: BTreeMap::new(),
            next_end: 0,
            laws: Laws::default(),
            observations: Vec::new(),
            next_observation: OBSERVATION_INTERVAL,
            plan,
            steps: 0,
            reloads: 0,
            stopped_for: Duration::ZERO,
        };
        world.start_daemon();
        world
    }

    /// Lives the whole plan; the first law that is broken ends it.
    pub fn run(mut self) -> Result<RunResult, BrokenLaw> {
        let happenings = self.plan.events.clone();
        self.run_until(Duration::from_secs(1))?;
        self.import_shifts()?;
        for (at, what) in &happenings {
            self.run_until(*at)?;
            self.log_event(what.to_string());
            self.apply_event(what.clone());
        }
        self.run_until(CALM_AFTER)?;
        self.end_faults();
        self.run_until(END)?;
        self.finish()
    }

    pub fn log_event(&mut self, what: impl Into<String>) {
        self.story.push((self.now, what.into()));
    }

    pub fn clock(&self) -> &Host {
        &self.host.clock
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("world.db")
    }

    pub fn log(&self) -> LogPage {
        self.sim.log(0, usize::MAX)
    }

    pub fn state_of(&self, agent: &AgentId) -> SimState {
        let worlds = self.sim.world_views();
        worlds[0].agents.iter().find(|view| view.id == *agent).expect("an agent").state
    }

    fn broken(&self, law: impl Into<String>) -> BrokenLaw {
        BrokenLaw { law: law.into(), at: self.now, story: self.story.clone() }
    }

    fn start_daemon(&mut self) {
        self.restarts += 1;
        let runtime = self.runtimes.pop().expect("no world has so many lives");
        let seed = self.plan.seed.wrapping_mul(31).wrapping_add(self.restarts);
        self.daemon = Some(Daemon::start(runtime, &self.host, seed));
    }

    /// Gives each agent its day by the API.
    fn import_shifts(&mut self) -> Result<(), BrokenLaw> {
        self.wait_for("the daemon serves", |world| world.daemon.as_ref().is_some_and(Daemon::serves))?;
        for (index, agent) in self.agents.clone().into_iter().enumerate() {
            let (from, to) = break_in_minutes(self.plan.breaks[index]);
            let mandatory = self.plan.breaks[index].2;
            let start: UtcMicros = START.parse().expect("an instant");
            let shifts = json!([{
                "start": (start - Duration::from_secs(3 * 3600)).to_string(),
                "end": (start + Duration::from_secs(3 * 3600)).to_string(),
                "activities": [{
                    "activity": "break",
                    "start": from.to_string(),
                    "end": to.to_string(),
                    "mandatory": mandatory,
                }],
            }]);
            let path = format!("/api/v1/agents/{agent}/shifts/2026-10-26");
            let got = self.send_request(Method::GET, &format!("{path}?tenant={}", self.tenant), None, None)?;
            let body = json!({"tenant": self.tenant, "shifts": shifts});
            let said = self.send_request(Method::PUT, &path, Some(&body), got.body["version"].as_str())?;
            if said.status != 200 {
                return Err(self.broken(format!("the shifts of {agent} are refused: {said:?}")));
            }
        }
        Ok(())
    }

    /// Asks the API and waits for the answer.
    fn send_request(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        if_match: Option<&str>,
    ) -> Result<Response, BrokenLaw> {
        let slot = self.daemon.as_ref().expect("a daemon").send_request(method, path, body, if_match);
        let asked = Arc::clone(&slot);
        self.wait_for(path, move |_| asked.lock().expect("a lock").is_some())?;
        let said = slot.lock().expect("a lock").clone().expect("answered");
        Ok(said)
    }

    fn wait_for(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), BrokenLaw> {
        let limit = self.now + Duration::from_secs(30);
        while !done(self) {
            if self.now > limit {
                return Err(self.broken(format!("not within 30 s: {what}")));
            }
            self.step(limit)?;
        }
        Ok(())
    }

    fn run_until(&mut self, at: Duration) -> Result<(), BrokenLaw> {
        while self.now < at {
            self.step(at)?;
        }
        Ok(())
    }

    /// Advances to whatever comes next, at most to `at`.
    fn step(&mut self, at: Duration) -> Result<(), BrokenLaw> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            let due = (self.network.next_due(), self.platform_clock.next_due(), self.host.clock.next_due());
            return Err(self.broken(format!("something spins: next is due {due:?} (network, platform, daemon)")));
        }
        let still = self.host.clock.stillness();
        let next = [
            self.network.next_due(),
            self.platform_clock.next_due(),
            self.host.clock.next_due().filter(|_| self.daemon.is_some()),
            self.scheduled_ends.keys().next().map(|(due, _)| due.saturating_sub(self.now)),
            Some(self.next_observation.saturating_sub(self.now)),
            Some(at.saturating_sub(self.now).max(Duration::from_micros(1))),
        ];
        let time = next.into_iter().flatten().min().unwrap_or(MAX_STEP).clamp(Duration::from_micros(1), MAX_STEP);
        self.now += time;
        self.platform_clock.advance(time);
        self.host.clock.advance(time);
        let mut due = self.network.advance(time);
        due.extend(self.platform_clock.take_due());
        if still.is_none() {
            due.extend(self.host.clock.take_due());
        }
        // Who is woken first at one instant is chance.
        self.rng.shuffle(&mut due);
        due.into_iter().for_each(std::task::Waker::wake);
        self.others.step(time);
        self.check_law(Laws::on_state_post)?;
        self.run_daemon(time, still)?;
        while let Some((&(due, id), _)) = self.scheduled_ends.first_key_value() {
            if due > self.now {
                break;
            }
            let end = self.scheduled_ends.remove(&(due, id)).expect("it is there");
            self.apply_end(&end);
        }
        if self.now >= self.next_observation {
            self.observe()?;
        }
        Ok(())
    }

    fn run_daemon(&mut self, time: Duration, still: Option<Stillness>) -> Result<(), BrokenLaw> {
        let Some(daemon) = &self.daemon else { return Ok(()) };
        match still {
            None => daemon.runtime.step(time + std::mem::take(&mut self.stopped_for)),
            Some(Stillness::Stopped) => self.stopped_for += time,
            Some(Stillness::Asleep) => {}
        }
        let Some(ended) = daemon.ended() else { return Ok(()) };
        self.daemon = None;
        self.log_event(format!("the daemon has ended: {ended}"));
        // A start on a failing disk may fail; a service manager tries again.
        let may_end = self.scheduled_ends.values().any(|end| matches!(end, ScheduledEnd::Start | ScheduledEnd::Disk));
        if !may_end {
            return Err(self.broken(format!("the daemon ended by itself: {ended}")));
        }
        if !self.scheduled_ends.values().any(|end| matches!(end, ScheduledEnd::Start)) {
            self.schedule_end(Duration::from_secs(2), ScheduledEnd::Start);
        }
        Ok(())
    }

    fn schedule_end(&mut self, span: Duration, end: ScheduledEnd) {
        self.next_end += 1;
        self.scheduled_ends.insert((self.now + span, self.next_end), end);
    }

    fn cancel_ends(&mut self, is: impl Fn(&ScheduledEnd) -> bool) {
        self.scheduled_ends.retain(|_, end| !is(end));
    }

    fn apply_event(&mut self, what: PlannedEvent) {
        match what {
            PlannedEvent::RequestState { agent, to } => self.request_state(agent, to),
            PlannedEvent::RequestWithKey { .. }
            | PlannedEvent::ChangeSet { .. }
            | PlannedEvent::Undo
            | PlannedEvent::EditRule
            | PlannedEvent::ApproveException { .. }
            | PlannedEvent::Import(_)
            | PlannedEvent::Reload => self.apply_person_action(what),
            PlannedEvent::Platform(text) => {
                // A fault too many is none.
                let _ = self.sim.add_fault(text.parse().expect("a fault"));
            }
            PlannedEvent::ClearPlatformFaults => self.sim.clear_faults(),
            PlannedEvent::SetClock(by) => {
                self.clock_was_set = true;
                self.host.clock.set_by(by * 1_000_000);
            }
            PlannedEvent::Drift(daemon, platform) => {
                self.host.clock.drift(daemon);
                self.platform_clock.drift(platform);
            }
            PlannedEvent::PauseHost(how, span) => {
                if self.host.clock.stillness().is_none() {
                    self.host.clock.pause_host(how);
                    self.network.set_daemon_paused(true);
                    self.schedule_end(span, ScheduledEnd::HostPause);
                }
            }
            PlannedEvent::BreakConnections(route) => self.network.break_connections(route),
            PlannedEvent::Stall(route, span) => self.network.stall(route, span),
            PlannedEvent::Refuse(route, span) => self.network.refuse(route, span),
            PlannedEvent::Slow(route, most, span) => {
                self.network.latency(route, Duration::from_millis(1), most);
                self.cancel_ends(|end| matches!(end, ScheduledEnd::Slow(of) if *of == route));
                self.schedule_end(span, ScheduledEnd::Slow(route));
            }
            PlannedEvent::Disk(health, span) => {
                self.disk.set_health(health);
                self.cancel_ends(|end| matches!(end, ScheduledEnd::Disk));
                self.schedule_end(span, ScheduledEnd::Disk);
            }
            PlannedEvent::Receiver(conduct, span) => {
                self.receiver.lock().expect("a lock").mode = conduct;
                self.cancel_ends(|end| matches!(end, ScheduledEnd::Receiver));
                self.schedule_end(span, ScheduledEnd::Receiver);
            }
            PlannedEvent::Kill(down) => {
                if self.daemon.take().is_some() {
                    self.wake_host();
                    self.schedule_end(down, ScheduledEnd::Start);
                }
            }
            PlannedEvent::Restart(down) => {
                if let Some(daemon) = &self.daemon {
                    daemon.stop();
                    self.schedule_end(down + Duration::from_secs(12), ScheduledEnd::Start);
                }
            }
        }
    }

    fn apply_person_action(&mut self, what: PlannedEvent) {
        let Some(daemon) = self.daemon.as_ref().filter(|daemon| daemon.serves()) else { return };
        let id = |agent: usize| self.agents[agent].to_string();
        match what {
            PlannedEvent::RequestWithKey { agent, to, key } => {
                self.changed_otherwise.push((id(agent), self.now));
                self.people.request_with_key(daemon, &id(agent), to, key);
            }
            PlannedEvent::ChangeSet { agents, to } => {
                self.changed_otherwise.extend(agents.iter().map(|agent| (id(*agent), self.now)));
                let chosen: Vec<&AgentId> = agents.iter().map(|agent| &self.agents[*agent]).collect();
                self.people.change_set(daemon, &chosen, to);
            }
            PlannedEvent::Undo => {
                self.changed_otherwise.extend(self.agents.iter().map(|agent| (agent.to_string(), self.now)));
                self.people.undo_change_set(daemon);
            }
            PlannedEvent::EditRule => self.people.edit_rule(daemon),
            PlannedEvent::ApproveException { agent, span } => {
                self.people.approve_exception(daemon, &id(agent), self.host.clock.now(), span);
            }
            PlannedEvent::Import(breaks) => {
                self.people.import(daemon, &breaks);
                self.plans.push((self.now, breaks));
            }
            PlannedEvent::Reload => {
                self.reloads += 1;
                let main = self.host.texts.first_mut().expect("the main text");
                // Another time limit needs another client: the tenant's workers stop in order and start again.
                let (now, then) = if self.reloads % 2 == 1 { (5000, 4000) } else { (4000, 5000) };
                main.text = main.text.replace(&format!("\"{now}ms\""), &format!("\"{then}ms\""));
                daemon.reload(&self.host);
            }
            trouble => unreachable!("{trouble} is nobody's work"),
        }
    }

    fn apply_end(&mut self, end: &ScheduledEnd) {
        match end {
            ScheduledEnd::HostPause => self.wake_host(),
            ScheduledEnd::Slow(route) => {
                self.network.latency(*route, Duration::from_millis(1), Duration::from_millis(5));
            }
            ScheduledEnd::Disk => self.disk.set_health(DiskHealth::Healthy),
            ScheduledEnd::Receiver => self.receiver.lock().expect("a lock").mode = ReceiverMode::Accept,
            ScheduledEnd::Start => {
                if self.daemon.is_none() {
                    self.log_event("the daemon is started");
                    self.start_daemon();
                } else {
                    self.schedule_end(Duration::from_secs(1), ScheduledEnd::Start);
                }
            }
        }
    }

    fn wake_host(&mut self) {
        self.cancel_ends(|end| matches!(end, ScheduledEnd::HostPause));
        self.host.clock.resume_host();
        self.network.set_daemon_paused(false);
        self.log_event("the daemon's host goes on");
    }

    /// Ends what is wrong. A wall clock that was set is put right, as an operator or NTP would.
    fn end_faults(&mut self) {
        self.log_event("all faults end");
        self.sim.clear_faults();
        self.disk.set_health(DiskHealth::Healthy);
        self.receiver.lock().expect("a lock").mode = ReceiverMode::Accept;
        self.cancel_ends(|end| matches!(end, ScheduledEnd::Disk | ScheduledEnd::Receiver));
        self.host.clock.drift(0);
        self.platform_clock.drift(0);
        if self.daemon.is_none() && !self.scheduled_ends.values().any(|end| matches!(end, ScheduledEnd::Start)) {
            self.schedule_end(Duration::ZERO, ScheduledEnd::Start);
        }
    }

    fn request_state(&mut self, agent: usize, to: &'static str) {
        let Some(daemon) = self.daemon.as_ref().filter(|daemon| daemon.serves()) else { return };
        let agent = self.agents[agent].to_string();
        let body = json!({"tenant": self.tenant, "agents": [&agent], "to": to});
        let answer = daemon.send_request(Method::POST, "/api/v1/transitions", Some(&body), None);
        self.requests.push(StateRequest { agent, to, requested_at: self.now, response: answer });
    }

    /// Has a law judge the world.
    fn check_law(&mut self, law: impl FnOnce(&mut Laws, &Self) -> Result<(), String>) -> Result<(), BrokenLaw> {
        let mut laws = std::mem::take(&mut self.laws);
        let judged = law(&mut laws, self);
        self.laws = laws;
        judged.map_err(|law| self.broken(law))
    }

    /// Looks at what the daemon shows, and at what it showed at the look before.
    fn observe(&mut self) -> Result<(), BrokenLaw> {
        self.next_observation = self.now + OBSERVATION_INTERVAL;
        let watched = std::mem::take(&mut self.observations);
        self.check_law(|laws, world| laws.check_observations(world, &watched))?;
        if let Some(daemon) = self.daemon.as_ref().filter(|daemon| daemon.serves()) {
            let path = format!("/api/v1/agents?tenant={}&limit=100", self.tenant);
            let agents = daemon.send_request(Method::GET, &path, None, None);
            let ready = daemon.send_request(Method::GET, "/readyz", None, None);
            let truth = self.sim.world_views().remove(0).agents;
            let truth = truth.into_iter().map(|view| (view.id.to_string(), (view.state, view.since))).collect();
            let platform_now = self.platform_clock.now();
            self.observations.push(Observation { at: self.now, platform_now, actual_states: truth, agents, ready });
        }
        Ok(())
    }

    /// Stops the daemon in order, and judges what is left.
    fn finish(mut self) -> Result<RunResult, BrokenLaw> {
        let laws = std::mem::take(&mut self.laws);
        laws.check_settled(&self).map_err(|law| self.broken(law))?;
        if let Some(daemon) = &self.daemon {
            daemon.stop();
        }
        self.schedule_end(Duration::from_secs(60), ScheduledEnd::Start);
        let limit = self.now + Duration::from_secs(30);
        while self.daemon.is_some() {
            if self.now > limit {
                return Err(self.broken("the daemon does not stop within 30 s"));
            }
            self.step(limit)?;
        }
        let (hash, trace) = Laws::check_at_end(&self).map_err(|law| self.broken(law))?;
        Ok(RunResult { hash, trace, steps: self.steps, coverage: laws.coverage(&self) })
    }

    pub fn platform_clock_now(&self) -> UtcMicros {
        self.platform_clock.now()
    }

    /// The instant of the world, by a clock that nobody sets.
    pub fn true_time(at: Duration) -> UtcMicros {
        START.parse::<UtcMicros>().expect("an instant") + at
    }

    pub fn serving(&self) -> bool {
        self.daemon.as_ref().is_some_and(Daemon::serves)
    }
}

/// A world that kept every law.
#[derive(Debug, Clone)]
pub struct RunResult {
    pub hash: String,
    /// Every line that the hash is of.
    pub trace: Vec<String>,
    pub steps: u64,
    pub coverage: BTreeMap<String, u64>,
}

/// A law that was broken.
#[derive(Debug, Clone)]
pub struct BrokenLaw {
    pub law: String,
    pub at: Duration,
    pub story: Vec<(Duration, String)>,
}
