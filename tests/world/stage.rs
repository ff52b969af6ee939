//! The world itself: who is in it, and how its time goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use fastrand::Rng;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use shiftkeeper::clock::Clock as _;
use shiftkeeper::domain::ids::{AgentId, TenantId};
use shiftkeeper::domain::time::UtcMicros;
use shiftkeeper::sim::{LogPage, SimState, Simulator};
use tempfile::TempDir;

use crate::daemon::{Daemon, Ground, Said, Slot};
use crate::disk::{Disk, Health};
use crate::host::{Host, Stillness};
use crate::laws::{Laws, Watched};
use crate::network::{Network, Route};
use crate::people::{Memory, People, in_minutes};
use crate::plan::{Break, CALM, Conduct, END, Happening, Plan};
use crate::runtime::Stepped;
use crate::setting::{configuration, folder, receive, serve_platform, simulator};

/// Where simulated time starts: a Monday afternoon.
pub const START: &str = "2026-10-26T13:30:00Z";

/// How long an answer of the platform may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// From one snapshot to the next.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// The longest step: timers of the runtimes' own are late by as much at most.
const STEP: Duration = Duration::from_millis(250);

/// The daemon is killed a few times, and starts every two seconds while its disk fails.
const MOST_LIVES: usize = 80;

/// A usual world takes some ten thousand.
const MOST_STEPS: u64 = 1_000_000;

/// From one look at the daemon to the next.
const LOOK: Duration = Duration::from_secs(5);

/// A delivery as the receiver saw it.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "part of the trace, by its `Debug`")]
pub struct Receipt {
    pub at: Duration,
    pub id: String,
    pub agent: Option<String>,
    pub sequence: Option<u64>,
    pub taken: bool,
    pub answered: bool,
}

/// What the receiver does, and what it saw.
#[derive(Debug)]
pub struct Inbox {
    pub conduct: Conduct,
    pub receipts: Vec<Receipt>,
}

/// A wish of a person, as the API answered it.
#[derive(Clone, Debug)]
pub struct Wish {
    pub agent: String,
    pub to: &'static str,
    pub asked_at: Duration,
    pub answer: Slot<Said>,
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
    pub inbox: Arc<Mutex<Inbox>>,
    pub wishes: Vec<Wish>,
    pub people: People,
    /// Agents whom something other than a single wish may have changed, and when.
    pub touched: Vec<(String, Duration)>,
    /// The plans that may be in force, with when each was given.
    pub plans: Vec<(Duration, Vec<Break>)>,
    pub told: Vec<(Duration, String)>,
    /// When the daemon's clock was put elsewhere than true time, if ever.
    pub clock_was_set: bool,
    others: Stepped,
    /// For the daemon's lives to come.
    runtimes: Vec<Stepped>,
    daemon: Option<Daemon>,
    ground: Ground,
    rng: Rng,
    lives: u64,
    ends: BTreeMap<(Duration, u64), End>,
    next_end: u64,
    laws: Laws,
    watched: Vec<Watched>,
    next_look: Duration,
    pub steps: u64,
    reloads: u32,
    /// What passed for the runtime's own timers while the process was stopped.
    stopped_for: Duration,
}

/// What comes to its end later.
#[derive(Clone, Debug)]
enum End {
    Still,
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
        let others = Stepped::new();
        // All of them before there is any other thread: what a runtime draws of chance follows from how many were made before.
        let runtimes = (0..MOST_LIVES).map(|_| Stepped::new()).collect();
        let disk = Disk::new(seed.wrapping_add(2), clock.clone());
        let sim = simulator(&others, &plan, &platform_clock);
        let tenant = sim.description().tenants.remove(0);
        serve_platform(&others, &network, &sim);
        let inbox = Arc::new(Mutex::new(Inbox { conduct: Conduct::Takes, receipts: Vec::new() }));
        let folder = folder();
        let (texts, environment) = configuration(&plan, &sim, &folder);
        let ground = Ground { clock, network: network.clone(), disk: disk.clone(), texts, environment };
        let mut world = Self {
            now: Duration::ZERO,
            tenant: tenant.id.clone(),
            agents: tenant.agents.clone(),
            folder,
            sim,
            platform_clock,
            network,
            disk,
            inbox,
            wishes: Vec::new(),
            people: People { tenant: tenant.id.clone(), memory: Memory::default() },
            touched: Vec::new(),
            plans: vec![(Duration::ZERO, plan.breaks.clone())],
            told: Vec::new(),
            clock_was_set: false,
            others,
            runtimes,
            daemon: None,
            ground,
            rng: Rng::with_seed(seed.wrapping_add(3)),
            lives: 0,
            ends: BTreeMap::new(),
            next_end: 0,
            laws: Laws::default(),
            watched: Vec::new(),
            next_look: LOOK,
            plan,
            steps: 0,
            reloads: 0,
            stopped_for: Duration::ZERO,
        };
        world.serve_receiver();
        world.start_daemon();
        world
    }

    /// Lives the whole plan; the first law that is broken ends it.
    pub fn live(mut self) -> Result<Lived, Broken> {
        let happenings = self.plan.happenings.clone();
        self.until(Duration::from_secs(1))?;
        self.give_shifts()?;
        for (at, what) in &happenings {
            self.until(*at)?;
            self.tell(what.to_string());
            self.happens(what.clone());
        }
        self.until(CALM)?;
        self.calm();
        self.until(END)?;
        self.finish()
    }

    pub fn tell(&mut self, what: impl Into<String>) {
        self.told.push((self.now, what.into()));
    }

    pub fn clock(&self) -> &Host {
        &self.ground.clock
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("world.db")
    }

    pub fn log(&self) -> LogPage {
        self.sim.log(0, usize::MAX)
    }

    pub fn state_of(&self, agent: &AgentId) -> SimState {
        let worlds = self.sim.world();
        worlds[0].agents.iter().find(|view| view.id == *agent).expect("an agent").state
    }

    fn broken(&self, law: impl Into<String>) -> Broken {
        Broken { law: law.into(), at: self.now, told: self.told.clone() }
    }

    fn start_daemon(&mut self) {
        self.lives += 1;
        let runtime = self.runtimes.pop().expect("no world has so many lives");
        let seed = self.plan.seed.wrapping_mul(31).wrapping_add(self.lives);
        self.daemon = Some(Daemon::start(runtime, &self.ground, seed));
    }

    /// Gives each agent its day by the API.
    fn give_shifts(&mut self) -> Result<(), Broken> {
        self.wait_for("the daemon serves", |world| world.daemon.as_ref().is_some_and(Daemon::serves))?;
        for (index, agent) in self.agents.clone().into_iter().enumerate() {
            let (from, to) = in_minutes(self.plan.breaks[index]);
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
            let got = self.ask(Method::GET, &format!("{path}?tenant={}", self.tenant), None, None)?;
            let body = json!({"tenant": self.tenant, "shifts": shifts});
            let said = self.ask(Method::PUT, &path, Some(&body), got.body["version"].as_str())?;
            if said.status != 200 {
                return Err(self.broken(format!("the shifts of {agent} are refused: {said:?}")));
            }
        }
        Ok(())
    }

    /// Asks the API and waits for the answer.
    fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        if_match: Option<&str>,
    ) -> Result<Said, Broken> {
        let slot = self.daemon.as_ref().expect("a daemon").ask(method, path, body, if_match);
        let asked = Arc::clone(&slot);
        self.wait_for(path, move |_| asked.lock().expect("a lock").is_some())?;
        let said = slot.lock().expect("a lock").clone().expect("answered");
        Ok(said)
    }

    fn wait_for(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Broken> {
        let limit = self.now + Duration::from_secs(30);
        while !done(self) {
            if self.now > limit {
                return Err(self.broken(format!("not within 30 s: {what}")));
            }
            self.step(limit)?;
        }
        Ok(())
    }

    fn until(&mut self, at: Duration) -> Result<(), Broken> {
        while self.now < at {
            self.step(at)?;
        }
        Ok(())
    }

    /// Goes on to whatever comes next, at most to `at`.
    fn step(&mut self, at: Duration) -> Result<(), Broken> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            let due = (self.network.next_due(), self.platform_clock.next_due(), self.ground.clock.next_due());
            return Err(self.broken(format!("something spins: next is due {due:?} (network, platform, daemon)")));
        }
        let still = self.ground.clock.stillness();
        let next = [
            self.network.next_due(),
            self.platform_clock.next_due(),
            self.ground.clock.next_due().filter(|_| self.daemon.is_some()),
            self.ends.keys().next().map(|(due, _)| due.saturating_sub(self.now)),
            Some(self.next_look.saturating_sub(self.now)),
            Some(at.saturating_sub(self.now).max(Duration::from_micros(1))),
        ];
        let time = next.into_iter().flatten().min().unwrap_or(STEP).clamp(Duration::from_micros(1), STEP);
        self.now += time;
        self.platform_clock.pass(time);
        self.ground.clock.pass(time);
        let mut due = self.network.pass(time);
        due.extend(self.platform_clock.due());
        if still.is_none() {
            due.extend(self.ground.clock.due());
        }
        // Who is woken first at one instant is chance.
        self.rng.shuffle(&mut due);
        due.into_iter().for_each(std::task::Waker::wake);
        self.others.step(time);
        self.judge(Laws::arrived)?;
        self.run_daemon(time, still)?;
        while let Some((&(due, id), _)) = self.ends.first_key_value() {
            if due > self.now {
                break;
            }
            let end = self.ends.remove(&(due, id)).expect("it is there");
            self.ends_now(&end);
        }
        if self.now >= self.next_look {
            self.look()?;
        }
        Ok(())
    }

    fn run_daemon(&mut self, time: Duration, still: Option<Stillness>) -> Result<(), Broken> {
        let Some(daemon) = &self.daemon else { return Ok(()) };
        match still {
            None => daemon.runtime.step(time + std::mem::take(&mut self.stopped_for)),
            Some(Stillness::Stopped) => self.stopped_for += time,
            Some(Stillness::Asleep) => {}
        }
        let Some(ended) = daemon.ended() else { return Ok(()) };
        self.daemon = None;
        self.tell(format!("the daemon has ended: {ended}"));
        // A start on a failing disk may fail; a service manager tries again.
        let may_end = self.ends.values().any(|end| matches!(end, End::Start | End::Disk));
        if !may_end {
            return Err(self.broken(format!("the daemon ended by itself: {ended}")));
        }
        if !self.ends.values().any(|end| matches!(end, End::Start)) {
            self.later(Duration::from_secs(2), End::Start);
        }
        Ok(())
    }

    fn later(&mut self, span: Duration, end: End) {
        self.next_end += 1;
        self.ends.insert((self.now + span, self.next_end), end);
    }

    fn forget(&mut self, is: impl Fn(&End) -> bool) {
        self.ends.retain(|_, end| !is(end));
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Ask { agent, to } => self.wish(agent, to),
            Happening::AskUnderKey { .. }
            | Happening::ChangeSet { .. }
            | Happening::Undo
            | Happening::EditRule
            | Happening::Excuse { .. }
            | Happening::Import(_)
            | Happening::Reload => self.people_work(what),
            Happening::Platform(text) => {
                // A fault too many is none.
                let _ = self.sim.add_fault(text.parse().expect("a fault"));
            }
            Happening::PlatformHeals => self.sim.clear_faults(),
            Happening::SetClock(by) => {
                self.clock_was_set = true;
                self.ground.clock.set_by(by * 1_000_000);
            }
            Happening::Drift(daemon, platform) => {
                self.ground.clock.drift(daemon);
                self.platform_clock.drift(platform);
            }
            Happening::Still(how, span) => {
                if self.ground.clock.stillness().is_none() {
                    self.ground.clock.stand_still(how);
                    self.network.daemon_stands_still(true);
                    self.later(span, End::Still);
                }
            }
            Happening::Cut(route) => self.network.cut(route),
            Happening::Stall(route, span) => self.network.stall(route, span),
            Happening::Refuse(route, span) => self.network.refuse(route, span),
            Happening::Slow(route, most, span) => {
                self.network.latency(route, Duration::from_millis(1), most);
                self.forget(|end| matches!(end, End::Slow(of) if *of == route));
                self.later(span, End::Slow(route));
            }
            Happening::Disk(health, span) => {
                self.disk.becomes(health);
                self.forget(|end| matches!(end, End::Disk));
                self.later(span, End::Disk);
            }
            Happening::Receiver(conduct, span) => {
                self.inbox.lock().expect("a lock").conduct = conduct;
                self.forget(|end| matches!(end, End::Receiver));
                self.later(span, End::Receiver);
            }
            Happening::Kill(down) => {
                if self.daemon.take().is_some() {
                    self.wake_host();
                    self.later(down, End::Start);
                }
            }
            Happening::Restart(down) => {
                if let Some(daemon) = &self.daemon {
                    daemon.stop();
                    self.later(down + Duration::from_secs(12), End::Start);
                }
            }
        }
    }

    fn people_work(&mut self, what: Happening) {
        let Some(daemon) = self.daemon.as_ref().filter(|daemon| daemon.serves()) else { return };
        let id = |agent: usize| self.agents[agent].to_string();
        match what {
            Happening::AskUnderKey { agent, to, key } => {
                self.touched.push((id(agent), self.now));
                self.people.ask_under_key(daemon, &id(agent), to, key);
            }
            Happening::ChangeSet { agents, to } => {
                self.touched.extend(agents.iter().map(|agent| (id(*agent), self.now)));
                let chosen: Vec<&AgentId> = agents.iter().map(|agent| &self.agents[*agent]).collect();
                self.people.change_set(daemon, &chosen, to);
            }
            Happening::Undo => {
                self.touched.extend(self.agents.iter().map(|agent| (agent.to_string(), self.now)));
                self.people.undo(daemon);
            }
            Happening::EditRule => self.people.edit_rule(daemon),
            Happening::Excuse { agent, span } => {
                self.people.excuse(daemon, &id(agent), self.ground.clock.now(), span);
            }
            Happening::Import(breaks) => {
                self.people.import(daemon, &breaks);
                self.plans.push((self.now, breaks));
            }
            Happening::Reload => {
                self.reloads += 1;
                let main = self.ground.texts.first_mut().expect("the main text");
                // Another time limit makes another client: the tenant's workers stop in order and start anew.
                let (now, then) = if self.reloads % 2 == 1 { (5000, 4000) } else { (4000, 5000) };
                main.text = main.text.replace(&format!("\"{now}ms\""), &format!("\"{then}ms\""));
                daemon.reload(&self.ground);
            }
            trouble => unreachable!("{trouble} is nobody's work"),
        }
    }

    fn ends_now(&mut self, end: &End) {
        match end {
            End::Still => self.wake_host(),
            End::Slow(route) => self.network.latency(*route, Duration::from_millis(1), Duration::from_millis(5)),
            End::Disk => self.disk.becomes(Health::Well),
            End::Receiver => self.inbox.lock().expect("a lock").conduct = Conduct::Takes,
            End::Start => {
                if self.daemon.is_none() {
                    self.tell("the daemon is started");
                    self.start_daemon();
                } else {
                    self.later(Duration::from_secs(1), End::Start);
                }
            }
        }
    }

    fn wake_host(&mut self) {
        self.forget(|end| matches!(end, End::Still));
        self.ground.clock.go_on();
        self.network.daemon_stands_still(false);
        self.tell("the daemon's host goes on");
    }

    /// Ends what is wrong. A wall clock that was set is put right, as an operator or NTP would.
    fn calm(&mut self) {
        self.tell("all faults end");
        self.sim.clear_faults();
        self.disk.becomes(Health::Well);
        self.inbox.lock().expect("a lock").conduct = Conduct::Takes;
        self.forget(|end| matches!(end, End::Disk | End::Receiver));
        self.ground.clock.drift(0);
        self.platform_clock.drift(0);
        if self.daemon.is_none() && !self.ends.values().any(|end| matches!(end, End::Start)) {
            self.later(Duration::ZERO, End::Start);
        }
    }

    fn wish(&mut self, agent: usize, to: &'static str) {
        let Some(daemon) = self.daemon.as_ref().filter(|daemon| daemon.serves()) else { return };
        let agent = self.agents[agent].to_string();
        let body = json!({"tenant": self.tenant, "agents": [&agent], "to": to});
        let answer = daemon.ask(Method::POST, "/api/v1/transitions", Some(&body), None);
        self.wishes.push(Wish { agent, to, asked_at: self.now, answer });
    }

    /// Has a law judge the world.
    fn judge(&mut self, law: impl FnOnce(&mut Laws, &Self) -> Result<(), String>) -> Result<(), Broken> {
        let mut laws = std::mem::take(&mut self.laws);
        let judged = law(&mut laws, self);
        self.laws = laws;
        judged.map_err(|law| self.broken(law))
    }

    /// Looks at what the daemon shows, and at what it showed at the look before.
    fn look(&mut self) -> Result<(), Broken> {
        self.next_look = self.now + LOOK;
        let watched = std::mem::take(&mut self.watched);
        self.judge(|laws, world| laws.look(world, &watched))?;
        if let Some(daemon) = self.daemon.as_ref().filter(|daemon| daemon.serves()) {
            let path = format!("/api/v1/agents?tenant={}&limit=100", self.tenant);
            let agents = daemon.ask(Method::GET, &path, None, None);
            let ready = daemon.ask(Method::GET, "/readyz", None, None);
            let truth = self.sim.world().remove(0).agents;
            let truth = truth.into_iter().map(|view| (view.id.to_string(), (view.state, view.since))).collect();
            let platform_now = self.platform_clock.now();
            self.watched.push(Watched { at: self.now, platform_now, truth, agents, ready });
        }
        Ok(())
    }

    /// Stops the daemon in order, and judges what is left.
    fn finish(mut self) -> Result<Lived, Broken> {
        let laws = std::mem::take(&mut self.laws);
        laws.settled(&self).map_err(|law| self.broken(law))?;
        if let Some(daemon) = &self.daemon {
            daemon.stop();
        }
        self.later(Duration::from_secs(60), End::Start);
        let limit = self.now + Duration::from_secs(30);
        while self.daemon.is_some() {
            if self.now > limit {
                return Err(self.broken("the daemon does not stop within 30 s"));
            }
            self.step(limit)?;
        }
        let (hash, trace) = Laws::at_the_end(&self).map_err(|law| self.broken(law))?;
        Ok(Lived { hash, trace, steps: self.steps, covered: laws.covered(&self) })
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

    fn serve_receiver(&self) {
        let (mut arrivals, inbox) = (self.network.arrivals(Route::Receiver), Arc::clone(&self.inbox));
        let clock = self.platform_clock.clone();
        self.others.spawn(async move {
            while let Some(end) = arrivals.recv().await {
                let (inbox, clock) = (Arc::clone(&inbox), clock.clone());
                let service = service_fn(move |request| receive(request, Arc::clone(&inbox), clock.clone()));
                #[expect(clippy::disallowed_methods, reason = "a server of the world's own")]
                tokio::spawn(async move {
                    // Its end shows in the receipts.
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(end), service).await;
                });
            }
        });
    }
}

/// A world that kept every law.
#[derive(Debug, Clone)]
pub struct Lived {
    pub hash: String,
    /// Every line that the hash is of.
    pub trace: Vec<String>,
    pub steps: u64,
    pub covered: BTreeMap<String, u64>,
}

/// A law that was broken.
#[derive(Debug, Clone)]
pub struct Broken {
    pub law: String,
    pub at: Duration,
    pub told: Vec<(Duration, String)>,
}
