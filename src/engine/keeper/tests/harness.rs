//! A keeper on a desk: a clock that stands still, a platform that answers as it is told, snapshots by hand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Clock, ManualClock, SharedClock};
use crate::domain::agents::merge::FeedObservation;
use crate::domain::agents::roster::CachedPlatformPlan;
use crate::domain::agents::state::AgentState;
use crate::domain::changes::policy::{OnContact, PlatformPlan};
use crate::domain::changes::transition::{Transition, TransitionStatus};
use crate::domain::ids::{AgentId, ReasonCode, SubscriptionId, TenantId, TransitionId};
use crate::domain::time::UtcMicros;
use crate::engine::changes::request::{ChangeRequest, RequestedChange};
use crate::engine::keeper::arrival::{Arrival, PlanQueryResult};
use crate::engine::keeper::state::{Keeper, KeeperContext};
use crate::engine::keeper_message::{KeeperMessage, SnapshotObservation};
use crate::engine::live::Live;
use crate::engine::operations::settings::TenantSettings;
use crate::engine::operations::settings::tests::settings;
use crate::engine::platform::link::tests::TenantFixture;
use crate::platform::error::CallSite;
use crate::platform::status::TokenHealth;
use crate::platform::{
    AgentObservation, Answer, Call, CallError, Capabilities, Failure, Feed, Platform, PlatformHealth, SnapshotBody,
    SnapshotReader, Subscription, SubscriptionRequest,
};
use crate::store::{HistoryRow, Store, StoredEvent};

pub(super) use crate::engine::operations::settings::tests::{INTERVAL, TIMEOUT};

/// Instants of a test are seconds after this.
const START: UtcMicros = UtcMicros::from_micros(1_793_000_000_000_000);

/// An instant, in seconds since the start of the test.
pub(super) fn at(second: i64) -> UtcMicros {
    START.offset(second * 1_000_000)
}

/// What the platform does with a state POST.
#[derive(Clone, Debug)]
pub(super) enum ScriptedResponse {
    Accept,
    Fail(Failure),
}

/// A platform that gives prepared answers, and no answer without one.
#[derive(Debug)]
struct ScriptedPlatform {
    clock: SharedClock,
    responses: Mutex<VecDeque<ScriptedResponse>>,
}

impl Platform for ScriptedPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settable: AgentState::KNOWN.to_vec(),
            can_log_out: true,
            reports_schedule: true,
            reports_breaks: true,
            has_directory: false,
            exports_schedules: false,
            has_state_history: false,
            has_feed: true,
            min_interval: INTERVAL,
            subscription_lifetime: Some(Duration::from_secs(86_400)),
            polls_count: false,
        }
    }

    fn status(&self) -> PlatformHealth {
        PlatformHealth { calls: Arc::default(), token: TokenHealth::default() }
    }

    fn set_state<'a>(&'a self, _: &'a AgentId, _: &'a AgentState, _: &'a ReasonCode) -> Call<'a, ()> {
        let response = self.responses.lock().expect("a lock").pop_front();
        let now = self.clock.now();
        Box::pin(async move {
            match response {
                None => std::future::pending().await,
                Some(ScriptedResponse::Accept) => {
                    Ok(Answer { value: (), latency: TIMEOUT, sent_at: now, received_at: now, platform_now: None })
                }
                Some(ScriptedResponse::Fail(failure)) => {
                    let site = CallSite { purpose: "set the state", method: "POST", path: "/".to_owned() };
                    Err(CallError { site, failure, sent_at: Some(now) })
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
pub(super) struct KeeperHarness {
    pub keeper: Keeper,
    pub clock: ManualClock,
    pub store: Store,
    pub live: Live,
    platform: Arc<ScriptedPlatform>,
    context: KeeperContext,
    agents: Vec<AgentId>,
    /// How far our clock was set since the start.
    clock_offset_us: i64,
    /// And the platform's, which moves its instants along.
    platform_offset_us: i64,
    settings: watch::Sender<Arc<TenantSettings>>,
    _folder: TempDir,
}

impl KeeperHarness {
    /// A keeper of these agents, at second 0.
    pub(super) async fn with_agents(agents: &[&str]) -> Self {
        let agents: Vec<AgentId> = agents.iter().copied().map(AgentId::new).collect();
        let tenant_fixture = TenantFixture::at(START).await;
        let platform = Arc::new(ScriptedPlatform { clock: tenant_fixture.shared_clock(), responses: Mutex::default() });
        let (inbox, arrivals) = mpsc::channel(16);
        let link = Arc::new(tenant_fixture.link(platform.clone(), inbox));
        let (sender, settings) = watch::channel(Arc::new(settings(&agents)));
        let (roster, _) = watch::channel::<Arc<[AgentId]>>(Arc::from([]));
        let context = KeeperContext { link, inbox: Arc::new(tokio::sync::Mutex::new(arrivals)), settings, roster };
        let keeper = Keeper::load(&context).await.expect("loads");
        let TenantFixture { clock, store, live, folder } = tenant_fixture;
        let mut harness = Self {
            keeper,
            clock,
            store,
            live,
            platform,
            context,
            agents,
            clock_offset_us: 0,
            platform_offset_us: 0,
            settings: sender,
            _folder: folder,
        };
        harness.schedule_everyone();
        harness
    }

    /// The configuration names these agents from now on; the keeper hears of it by a reload, or is not there to hear.
    pub(super) async fn configure_agents(&mut self, agents: &[&str], reloads: bool) {
        self.agents = agents.iter().copied().map(AgentId::new).collect();
        let newer = Arc::new(settings(&self.agents));
        self.settings.send_replace(newer.clone());
        if reloads {
            self.keeper.apply_settings(newer).await.expect("taken");
        }
    }

    /// The keeper ends where it stands, as at a crash, and another one reads the store.
    pub(super) async fn crash(&mut self) {
        self.keeper = Keeper::load(&self.context).await.expect("loads");
        self.schedule_everyone();
    }

    pub(super) fn schedule_everyone(&mut self) {
        let answers = PlatformPlan { scheduled: Some(true), break_required: Some(false) };
        for agent in &self.agents {
            let index = self.keeper.roster.find(agent.as_str()).expect("known");
            self.keeper
                .roster
                .set_platform_plan(index, Some(CachedPlatformPlan { plan: answers, valid_until: UtcMicros::MAX }));
        }
    }

    /// What the platform said of an agent does not count any more.
    pub(super) fn clear_plan_answers(&mut self, agent: &str) {
        let index = self.keeper.roster.find(agent).expect("known");
        self.keeper.roster.set_platform_plan(index, None);
    }

    /// The platform was asked about an agent, and this came of it.
    pub(super) async fn answer_plan_query(&mut self, agent: &str, answer: Result<PlatformPlan, Failure>) {
        let site = CallSite { purpose: "read the schedule", method: "GET", path: "/".to_owned() };
        let plan = answer.map_err(|failure| CallError { site, failure, sent_at: Some(self.clock.now()) });
        let result = PlanQueryResult { agent: agent.into(), plan };
        self.keeper.run_pass(vec![Arrival::PlanQueryResult(result)]).await.expect("a pass");
    }

    /// Moves the clock to a second of the test, without a pass.
    pub(super) fn advance_to_second(&self, second: i64) {
        let (now, then) = (self.clock.now(), at(second).offset(self.clock_offset_us));
        assert!(then >= now, "time does not go back");
        self.clock.advance(then.since(now));
    }

    /// Moves the clock to an instant, where that is not past.
    pub(super) fn advance_to(&self, then: UtcMicros) {
        self.clock.advance(then.since(self.clock.now()));
    }

    /// Sets our clock; seconds of the test are those of a clock that is never set.
    pub(super) fn set_clock(&mut self, by_us: i64) {
        self.clock_offset_us += by_us;
        self.clock.step_to(self.clock.now().offset(by_us));
    }

    /// Sets the platform's clock.
    pub(super) fn set_platform_clock(&mut self, by_us: i64) {
        self.platform_offset_us += by_us;
    }

    /// The second of the test since which an agent has been in the current state, by the live view.
    pub(super) fn state_since(&self, agent: &str) -> i64 {
        let slot = self.keeper.roster.agent(agent).expect("known");
        let entered_at = slot.observed().expect("seen").entered_at;
        (entered_at.as_micros() - at(0).offset(self.clock_offset_us).as_micros()) / 1_000_000
    }

    /// Whether a person set the agent's current state, by the live view.
    pub(super) fn is_by_person(&self, agent: &str) -> bool {
        self.keeper.roster.agent(agent).and_then(|slot| slot.observed()).expect("seen").requested_by_person
    }

    /// A pass in which nothing arrives.
    pub(super) async fn pass(&mut self) {
        self.keeper.run_pass(Vec::new()).await.expect("a pass");
    }

    /// The prepared answer to the next state POST without one.
    pub(super) fn script_response(&self, response: ScriptedResponse) {
        self.platform.responses.lock().expect("a lock").push_back(response);
    }

    /// A person asks for a change.
    pub(super) async fn request_change(&mut self, agent: &str, target: AgentState) -> RequestedChange {
        self.request_change_with(agent, target, None, false).await
    }

    /// The same with a reason, which is wanted by itself or not.
    pub(super) async fn request_change_with(
        &mut self,
        agent: &str,
        target: AgentState,
        reason: Option<&str>,
        even_if_in_state: bool,
    ) -> RequestedChange {
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
        let (reply, response) = oneshot::channel();
        let arrival = Arrival::Message(KeeperMessage::RequestChanges { request, reply });
        self.keeper.run_pass(vec![arrival]).await.expect("a pass");
        response.await.expect("answered").expect("taken in").remove(0)
    }

    /// Sets what happens with requests for agents on a contact.
    pub(super) fn set_on_contact(&mut self, on_contact: OnContact) {
        Arc::make_mut(&mut self.keeper.settings).policy.on_contact = on_contact;
    }

    /// A person cancels a transition; returns it if that was possible.
    pub(super) async fn cancel(&mut self, id: TransitionId) -> Option<Transition> {
        let (reply, response) = oneshot::channel();
        self.send_message(KeeperMessage::CancelTransition { id, actor: "anna".into(), reply }).await;
        response.await.expect("answered")
    }

    /// Takes in the next answer of a state POST.
    pub(super) async fn complete_next_change(&mut self) {
        let answer = self.keeper.state_change_tasks.join_next().await.expect("a POST is under way").expect("no panic");
        self.keeper.run_pass(vec![Arrival::StateChangeResult(answer)]).await.expect("a pass");
    }

    /// A change that the platform accepts at once.
    pub(super) async fn request_accepted_change(&mut self, agent: &str, target: AgentState) -> TransitionId {
        self.script_response(ScriptedResponse::Accept);
        let id = self.request_change(agent, target).await.id.expect("an id");
        self.complete_next_change().await;
        id
    }

    /// A snapshot of the first subscription, generated at this second: who is in which state since which second. Who is not in
    /// it is absent.
    pub(super) async fn observe(&mut self, second: i64, rows: &[(&str, AgentState, i64)]) {
        self.observe_subscription(0, second, rows, self.agents.clone()).await;
    }

    /// The same of a snapshot that was generated before this second.
    pub(super) async fn observe_late(&mut self, second: i64, generated: i64, rows: &[(&str, AgentState, i64)]) {
        if at(second).offset(self.clock_offset_us) > self.clock.now() {
            self.advance_to_second(second);
        }
        let observation = self.observation(0, generated, rows, self.agents.clone());
        self.send_message(KeeperMessage::Observation(observation)).await;
    }

    /// The same of one agent in a queue.
    pub(super) async fn observe_in_queue(
        &mut self,
        second: i64,
        agent: &str,
        state: AgentState,
        since: i64,
        queue: &str,
    ) {
        self.advance_to_second(second);
        let mut observation = self.observation(0, second, &[(agent, state, since)], self.agents.clone());
        observation.changed[0].queue = Some(queue.into());
        self.send_message(KeeperMessage::Observation(observation)).await;
    }

    /// The same of any subscription, whose agents are `agents`.
    pub(super) async fn observe_subscription(
        &mut self,
        slice: u32,
        second: i64,
        rows: &[(&str, AgentState, i64)],
        agents: Vec<AgentId>,
    ) {
        self.advance_to_second(second);
        let observation = self.observation(slice, second, rows, agents);
        self.send_message(KeeperMessage::Observation(observation)).await;
    }

    fn observation(
        &self,
        slice: u32,
        generated: i64,
        rows: &[(&str, AgentState, i64)],
        agents: Vec<AgentId>,
    ) -> SnapshotObservation {
        let changed: Vec<AgentObservation> = rows
            .iter()
            .map(|(agent, state, since)| AgentObservation {
                agent: (*agent).into(),
                state: state.clone(),
                reason: None,
                queue: None,
                changed_at: Some(at(*since).offset(self.platform_offset_us)),
                team: None,
                name: None,
            })
            .collect();
        let absent: Arc<[AgentId]> =
            agents.iter().filter(|agent| changed.iter().all(|row| row.agent != **agent)).cloned().collect();
        let (generated_at, offset_us) =
            (at(generated).offset(self.clock_offset_us), self.platform_offset_us - self.clock_offset_us);
        SnapshotObservation {
            slice,
            generated_at,
            offset_us,
            changed,
            agents: agents.into(),
            omitted: absent.clone(),
            absent,
        }
    }

    /// Messages of the feed that arrive at this second: who is in which state for how many seconds.
    pub(super) async fn receive_feed(&mut self, second: i64, messages: &[(&str, AgentState, u64)]) {
        self.receive_buffered_feed(second, 0, messages).await;
    }

    /// The same after they may have waited here for so long.
    pub(super) async fn receive_buffered_feed(
        &mut self,
        second: i64,
        waited_s: u64,
        messages: &[(&str, AgentState, u64)],
    ) {
        self.advance_to_second(second);
        let (received_at, waited) = (self.clock.now(), Duration::from_secs(waited_s));
        let connection = self.keeper.link.feed().losses;
        let observation = |(agent, state, lasted_s): &(&str, AgentState, u64)| {
            let began_at = received_at - Duration::from_secs(*lasted_s);
            (
                AgentId::new(agent),
                FeedObservation {
                    state: state.clone(),
                    received_at,
                    estimated_start: began_at,
                    buffered_for: waited,
                    connection,
                },
            )
        };
        self.send_message(KeeperMessage::FeedObservations(messages.iter().map(observation).collect())).await;
    }

    /// A pass with one message.
    pub(super) async fn send_message(&mut self, message: KeeperMessage) {
        self.keeper.run_pass(vec![Arrival::Message(message)]).await.expect("a pass");
    }

    /// Where a transition stands, by the store.
    pub(super) async fn status(&self, id: TransitionId) -> TransitionStatus {
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

    /// The faults of the live view that readiness reports.
    pub(super) fn readiness_detail(&self) -> Option<String> {
        let report = self.context.link.readiness.report();
        report.parts.into_iter().find(|part| part.name.ends_with(": picture") && !part.ready).map(|part| part.detail)
    }

    /// What the keeper would take in, did it run by itself.
    pub(super) fn inbox(&self) -> Arc<tokio::sync::Mutex<mpsc::Receiver<KeeperMessage>>> {
        self.context.inbox.clone()
    }

    /// The events so far.
    pub(super) async fn events(&self) -> Vec<StoredEvent> {
        self.store.reader().events(&"acme".into(), 0, 1000).await.expect("readable")
    }
}
