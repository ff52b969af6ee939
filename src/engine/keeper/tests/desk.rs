//! A keeper on a desk: a clock that stands still, a platform that answers as it is told, snapshots by hand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Clock, ManualClock, SharedClock};
use crate::domain::agents::merge::Fed;
use crate::domain::agents::roster::PlatformAnswers;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::PlatformSays;
use crate::domain::changes::transition::Status;
use crate::domain::ids::{AgentId, ReasonCode, SubscriptionId, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::door::{ChangeRequest, Taken};
use crate::engine::keeper::changes::answers;
use crate::engine::keeper::{Arrival, Keeper, KeeperParts};
use crate::engine::live::Live;
use crate::engine::message::{Message, Sight};
use crate::engine::operations::settings::TenantSettings;
use crate::engine::operations::settings::tests::settings;
use crate::engine::platform::link::tests::Ground;
use crate::platform::error::CallSite;
use crate::platform::vitals::TokenVitals;
use crate::platform::{
    Answer, Call, CallError, Capabilities, Failure, Feed, Platform, Sighting, SnapshotBody, SnapshotReader,
    Subscription, SubscriptionRequest, Vitals,
};
use crate::store::{HistoryRow, Store, StoredEvent};

pub(super) use crate::engine::operations::settings::tests::{INTERVAL, TIMEOUT};

/// Instants of a story are seconds after this.
const START: UtcMicros = UtcMicros::from_micros(1_793_000_000_000_000);

/// So many seconds into the story.
pub(super) fn at(second: i64) -> UtcMicros {
    START.offset(second * 1_000_000)
}

/// What the platform does with a state POST.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Accept,
    Fail(Failure),
}

/// A platform that answers as it is told, and not at all where it is told nothing.
#[derive(Debug)]
struct Puppet {
    clock: SharedClock,
    told: Mutex<VecDeque<Told>>,
}

impl Platform for Puppet {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settable: AgentState::KNOWN.to_vec(),
            can_log_out: true,
            tells_schedule: true,
            tells_breaks: true,
            has_feed: true,
            shortest_interval: INTERVAL,
            subscription_life: Duration::from_secs(86_400),
        }
    }

    fn vitals(&self) -> Vitals {
        Vitals { calls: Arc::default(), token: TokenVitals::default() }
    }

    fn set_state<'a>(&'a self, _: &'a AgentId, _: &'a AgentState, _: &'a ReasonCode) -> Call<'a, ()> {
        let told = self.told.lock().expect("a lock").pop_front();
        let now = self.clock.now();
        Box::pin(async move {
            match told {
                None => std::future::pending().await,
                Some(Told::Accept) => {
                    Ok(Answer { value: (), latency: TIMEOUT, asked_at: now, answered_at: now, platform_now: None })
                }
                Some(Told::Fail(failure)) => {
                    let site = CallSite { purpose: "set the state", method: "POST", path: "/".to_owned() };
                    Err(CallError { site, failure, asked_at: Some(now) })
                }
            }
        })
    }

    fn is_scheduled<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        Box::pin(std::future::pending())
    }

    fn break_required<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        Box::pin(std::future::pending())
    }

    fn subscribe<'a>(&'a self, _: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        Box::pin(std::future::pending())
    }

    fn snapshot<'a>(&'a self, _: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        Box::pin(std::future::pending())
    }

    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        Box::pin(std::future::pending())
    }

    fn reader(&self, _: &[AgentId]) -> Box<dyn SnapshotReader> {
        unreachable!("no worker polls here")
    }
}

/// The desk.
pub(super) struct Desk {
    pub keeper: Keeper,
    pub clock: ManualClock,
    pub store: Store,
    pub live: Live,
    puppet: Arc<Puppet>,
    parts: KeeperParts,
    agents: Vec<AgentId>,
    /// How far our clock was set since the start.
    off_us: i64,
    /// And the platform's, which moves its instants along.
    platform_off_us: i64,
    settings: watch::Sender<Arc<TenantSettings>>,
    _folder: TempDir,
}

impl Desk {
    /// A keeper of these agents, at second 0.
    pub(super) async fn of(agents: &[&str]) -> Self {
        let agents: Vec<AgentId> = agents.iter().copied().map(AgentId::new).collect();
        let ground = Ground::at(START).await;
        let puppet = Arc::new(Puppet { clock: ground.shared_clock(), told: Mutex::default() });
        let (inbox, arrivals) = mpsc::channel(16);
        let link = Arc::new(ground.link(puppet.clone(), inbox));
        let (sender, settings) = watch::channel(Arc::new(settings(&agents)));
        let (roster, _) = watch::channel::<Arc<[AgentId]>>(Arc::from([]));
        let parts = KeeperParts { link, inbox: Arc::new(tokio::sync::Mutex::new(arrivals)), settings, roster };
        let keeper = Keeper::load(&parts).await.expect("loads");
        let Ground { clock, store, live, folder } = ground;
        let mut desk = Self {
            keeper,
            clock,
            store,
            live,
            puppet,
            parts,
            agents,
            off_us: 0,
            platform_off_us: 0,
            settings: sender,
            _folder: folder,
        };
        desk.let_all_be_scheduled();
        desk
    }

    /// The configuration names these agents from now on; the keeper hears of it by a reload, or is not there to hear.
    pub(super) async fn list(&mut self, agents: &[&str], reloads: bool) {
        self.agents = agents.iter().copied().map(AgentId::new).collect();
        let newer = Arc::new(settings(&self.agents));
        self.settings.send_replace(newer.clone());
        if reloads {
            self.keeper.take_settings(newer).await.expect("taken");
        }
    }

    /// The keeper ends where it stands, as at a crash, and another one reads the store.
    pub(super) async fn crash(&mut self) {
        self.keeper = Keeper::load(&self.parts).await.expect("loads");
        self.let_all_be_scheduled();
    }

    pub(super) fn let_all_be_scheduled(&mut self) {
        let says = PlatformSays { scheduled: Some(true), break_required: Some(false) };
        for agent in &self.agents {
            let index = self.keeper.roster.find(agent.as_str()).expect("known");
            self.keeper.roster.set_platform(index, Some(PlatformAnswers { says, good_until: UtcMicros::MAX }));
        }
    }

    /// What the platform said of an agent does not count any more.
    pub(super) fn forget_what_the_platform_said(&mut self, agent: &str) {
        let index = self.keeper.roster.find(agent).expect("known");
        self.keeper.roster.set_platform(index, None);
    }

    /// The platform was asked about an agent, and this came of it.
    pub(super) async fn hear(&mut self, agent: &str, said: Result<PlatformSays, Failure>) {
        let site = CallSite { purpose: "read the schedule", method: "GET", path: "/".to_owned() };
        let says = said.map_err(|failure| CallError { site, failure, asked_at: Some(self.clock.now()) });
        let told = answers::Told { agent: agent.into(), says };
        self.keeper.pass(vec![Arrival::Told(told)]).await.expect("a pass");
    }

    /// Moves the clock to a second of the story, without a pass.
    pub(super) fn go_to(&self, second: i64) {
        let (now, then) = (self.clock.now(), at(second).offset(self.off_us));
        assert!(then >= now, "time does not go back");
        self.clock.advance(then.since(now));
    }

    /// Moves the clock to an instant, where that is not past.
    pub(super) fn wait_until(&self, then: UtcMicros) {
        self.clock.advance(then.since(self.clock.now()));
    }

    /// Sets our clock; seconds of the story are those of a clock that nobody sets.
    pub(super) fn set_clock(&mut self, by_us: i64) {
        self.off_us += by_us;
        self.clock.step_to(self.clock.now().offset(by_us));
    }

    /// Sets the platform's clock.
    pub(super) fn set_platform_clock(&mut self, by_us: i64) {
        self.platform_off_us += by_us;
    }

    /// Since which second of the story an agent is in the present state, by the picture.
    pub(super) fn since(&self, agent: &str) -> i64 {
        let slot = self.keeper.roster.agent(agent).expect("known");
        let entered_at = slot.observed().expect("seen").entered_at;
        (entered_at.as_micros() - at(0).offset(self.off_us).as_micros()) / 1_000_000
    }

    /// Whether a person set the state that an agent is in, by the picture.
    pub(super) fn is_by_person(&self, agent: &str) -> bool {
        self.keeper.roster.agent(agent).and_then(|slot| slot.observed()).expect("seen").by_person
    }

    /// A pass in which nothing arrives.
    pub(super) async fn pass(&mut self) {
        self.keeper.pass(Vec::new()).await.expect("a pass");
    }

    /// What becomes of the next state POST that is told nothing yet.
    pub(super) fn tell(&self, told: Told) {
        self.puppet.told.lock().expect("a lock").push_back(told);
    }

    /// A person asks for a change.
    pub(super) async fn ask(&mut self, agent: &str, target: AgentState) -> Taken {
        self.ask_with(agent, target, None, false).await
    }

    /// The same with a reason, which is wanted by itself or not.
    pub(super) async fn ask_with(
        &mut self,
        agent: &str,
        target: AgentState,
        reason: Option<&str>,
        even_if_in_state: bool,
    ) -> Taken {
        let request = ChangeRequest {
            agents: vec![agent.into()],
            target,
            reason: reason.map(ReasonCode::new),
            even_if_in_state,
            on_contact: None,
            deadline: None,
            note: None,
            actor: "anna".into(),
            idempotency: None,
        };
        let (reply, answered) = oneshot::channel();
        let arrival = Arrival::Message(Message::Request { request, reply });
        self.keeper.pass(vec![arrival]).await.expect("a pass");
        answered.await.expect("answered").expect("taken in").remove(0)
    }

    /// Takes in the next answer of a state POST.
    pub(super) async fn take_answer(&mut self) {
        let answer = self.keeper.sends.join_next().await.expect("a POST is under way").expect("no panic");
        self.keeper.pass(vec![Arrival::Answer(answer)]).await.expect("a pass");
    }

    /// A change that the platform accepts at once.
    pub(super) async fn ask_and_accept(&mut self, agent: &str, target: AgentState) -> TransitionId {
        self.tell(Told::Accept);
        let id = self.ask(agent, target).await.id.expect("an id");
        self.take_answer().await;
        id
    }

    /// A snapshot of the first subscription, generated at this second: who is in which state since which second. Who is not in
    /// it is absent.
    pub(super) async fn see(&mut self, second: i64, rows: &[(&str, AgentState, i64)]) {
        self.see_slice(0, second, rows, self.agents.clone()).await;
    }

    /// The same of a snapshot that was generated before this second.
    pub(super) async fn see_late(&mut self, second: i64, generated: i64, rows: &[(&str, AgentState, i64)]) {
        if at(second).offset(self.off_us) > self.clock.now() {
            self.go_to(second);
        }
        let sight = self.sight(0, generated, rows, self.agents.clone());
        self.take(Message::Sight(sight)).await;
    }

    /// The same of one agent in a queue.
    pub(super) async fn see_queue(&mut self, second: i64, agent: &str, state: AgentState, since: i64, queue: &str) {
        self.go_to(second);
        let mut sight = self.sight(0, second, &[(agent, state, since)], self.agents.clone());
        sight.changed[0].queue = Some(queue.into());
        self.take(Message::Sight(sight)).await;
    }

    /// The same of any subscription, whose agents are `agents`.
    pub(super) async fn see_slice(
        &mut self,
        slice: u32,
        second: i64,
        rows: &[(&str, AgentState, i64)],
        agents: Vec<AgentId>,
    ) {
        self.go_to(second);
        let sight = self.sight(slice, second, rows, agents);
        self.take(Message::Sight(sight)).await;
    }

    fn sight(&self, slice: u32, generated: i64, rows: &[(&str, AgentState, i64)], agents: Vec<AgentId>) -> Sight {
        let changed: Vec<Sighting> = rows
            .iter()
            .map(|(agent, state, since)| Sighting {
                agent: (*agent).into(),
                state: state.clone(),
                queue: None,
                changed_at: Some(at(*since).offset(self.platform_off_us)),
                team: None,
                name: None,
            })
            .collect();
        let absent: Arc<[AgentId]> =
            agents.iter().filter(|agent| changed.iter().all(|row| row.agent != **agent)).cloned().collect();
        let (generated_at, offset_us) = (at(generated).offset(self.off_us), self.platform_off_us - self.off_us);
        Sight { slice, generated_at, offset_us, changed, agents: agents.into(), missing: absent.clone(), absent }
    }

    /// Messages of the feed that arrive at this second: who is in which state for how many seconds.
    pub(super) async fn hear_feed(&mut self, second: i64, messages: &[(&str, AgentState, u64)]) {
        self.feed_after_a_wait(second, 0, messages).await;
    }

    /// The same after they may have waited here for so long.
    pub(super) async fn feed_after_a_wait(&mut self, second: i64, waited_s: u64, messages: &[(&str, AgentState, u64)]) {
        self.go_to(second);
        let (received_at, waited) = (self.clock.now(), Duration::from_secs(waited_s));
        let connection = self.keeper.link.feed().losses;
        let fed = |(agent, state, lasted_s): &(&str, AgentState, u64)| {
            let began_at = received_at - Duration::from_secs(*lasted_s);
            (AgentId::new(agent), Fed { state: state.clone(), received_at, began_at, waited, connection })
        };
        self.take(Message::Fed(messages.iter().map(fed).collect())).await;
    }

    /// A pass with one message.
    pub(super) async fn take(&mut self, message: Message) {
        self.keeper.pass(vec![Arrival::Message(message)]).await.expect("a pass");
    }

    /// Where a transition stands, by the store.
    pub(super) async fn status(&self, id: TransitionId) -> Status {
        let tenant = TenantId::from("acme");
        let stored = self.store.reader().transition(&tenant, id).await.expect("readable").expect("stored");
        stored.transition.status
    }

    /// The history of an agent, by the store.
    pub(super) async fn history(&self, agent: &str) -> Vec<HistoryRow> {
        let ever = (UtcMicros::EPOCH, UtcMicros::MAX);
        let rows = self.store.reader().agent_history(&"acme".into(), &agent.into(), ever, None, 100).await;
        rows.expect("readable").into_iter().map(|stored| stored.row).collect()
    }

    /// What the picture complains of.
    pub(super) fn complaint(&self) -> Option<String> {
        let report = self.parts.link.readiness.report();
        report.parts.into_iter().find(|part| part.name.ends_with(": picture") && !part.ready).map(|part| part.detail)
    }

    /// What the keeper would take in, did it run by itself.
    pub(super) fn inbox(&self) -> Arc<tokio::sync::Mutex<mpsc::Receiver<Message>>> {
        self.parts.inbox.clone()
    }

    /// The events so far.
    pub(super) async fn events(&self) -> Vec<StoredEvent> {
        self.store.reader().events(&"acme".into(), 0, 1000).await.expect("readable")
    }
}
