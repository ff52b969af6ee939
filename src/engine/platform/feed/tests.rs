//! The worker with a platform that opens feeds as it is told, on a clock that stands still.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;
use crate::clock::{Clock as _, ManualClock, SharedClock, Stopwatch};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{ReasonCode, SubscriptionId};
use crate::domain::time::UtcMicros;
use crate::engine::operations::readiness::Part;
use crate::engine::platform::link::tests::TenantFixture;
use crate::platform::{
    Answer, Call, Capabilities, FeedCall, Platform, SnapshotBody, SnapshotReader, Subscription, SubscriptionRequest,
};
use crate::store::Store;

const REQUEST_TIMEOUT: Duration = Duration::from_millis(30);
const SILENT_AFTER: Duration = Duration::from_secs(120);

/// Opens a feed for each `Ok`, and none once there is no more.
#[derive(Debug)]
struct ScriptedPlatform {
    clock: SharedClock,
    offers: Mutex<VecDeque<Result<(), Failure>>>,
    /// When each attempt was made.
    attempts: Mutex<Vec<Duration>>,
    lines: mpsc::UnboundedSender<ScriptedConnection>,
    open: Arc<AtomicUsize>,
}

/// The test's end of a feed.
struct ScriptedConnection {
    say: mpsc::UnboundedSender<Result<FeedMessage, CallError>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl ScriptedConnection {
    fn say(&self, message: FeedMessage) {
        self.say.send(Ok(message)).expect("the worker listens");
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().expect("a lock").clone()
    }
}

#[derive(Debug)]
struct ScriptedFeed {
    says: mpsc::UnboundedReceiver<Result<FeedMessage, CallError>>,
    told: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl Feed for ScriptedFeed {
    fn next(&mut self) -> FeedCall<'_, FeedMessage> {
        Box::pin(async { self.says.recv().await.unwrap_or_else(|| Err(connection_lost("broken off".to_owned()))) })
    }

    fn send<'a>(&'a mut self, command: FeedCommand<'a>) -> FeedCall<'a, ()> {
        self.told.lock().expect("a lock").push(format!("{command:?}"));
        if command == FeedCommand::Close {
            self.says.close();
        }
        Box::pin(async { Ok(()) })
    }
}

impl Drop for ScriptedFeed {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Platform for ScriptedPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settable: Vec::new(),
            can_log_out: false,
            reports_schedule: false,
            reports_breaks: false,
            has_directory: false,
            exports_schedules: false,
            has_state_history: false,
            has_feed: true,
            min_interval: Duration::ZERO,
            subscription_lifetime: Some(Duration::ZERO),
            polls_count: false,
        }
    }

    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        self.attempts.lock().expect("a lock").push(self.clock.monotonic());
        let nobody = Err(Failure::NotSent { reason: "connection refused".to_owned() });
        let offer = self.offers.lock().expect("a lock").pop_front().unwrap_or(nobody);
        let now = self.clock.now();
        Box::pin(async move {
            if let Err(failure) = offer {
                let site = CallSite { purpose: "open the feed", method: "GET", path: "/feed".to_owned() };
                return Err(CallError { site, failure, sent_at: Some(now) });
            }
            assert_eq!(self.open.fetch_add(1, Ordering::SeqCst), 0, "there is another one");
            let ((say, says), told) = (mpsc::unbounded_channel(), Arc::<Mutex<Vec<String>>>::default());
            self.lines.send(ScriptedConnection { say, told: told.clone() }).expect("the test lasts");
            let value: Box<dyn Feed> = Box::new(ScriptedFeed { says, told, open: self.open.clone() });
            Ok(Answer { value, latency: Duration::ZERO, sent_at: now, received_at: now, platform_now: None })
        })
    }

    fn status(&self) -> crate::platform::PlatformHealth {
        unreachable!("nobody looks")
    }

    fn set_state<'a>(&'a self, _: &'a AgentId, _: &'a AgentState, _: &'a ReasonCode) -> Call<'a, ()> {
        unreachable!("only the feed is asked for")
    }

    fn is_scheduled<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        unreachable!("only the feed is asked for")
    }

    fn break_required<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        unreachable!("only the feed is asked for")
    }

    fn subscribe<'a>(&'a self, _: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        unreachable!("only the feed is asked for")
    }

    fn snapshot<'a>(&'a self, _: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        unreachable!("only the feed is asked for")
    }

    fn reader(&self, _: &[AgentId]) -> Box<dyn SnapshotReader> {
        unreachable!("only the feed is asked for")
    }
}

/// A worker that runs.
struct FeedFixture {
    clock: ManualClock,
    puppet: Arc<ScriptedPlatform>,
    link: Arc<Link>,
    lines: mpsc::UnboundedReceiver<ScriptedConnection>,
    inbox: mpsc::Receiver<KeeperMessage>,
    settings: watch::Sender<Arc<TenantSettings>>,
    soft: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
    _store: Store,
    _folder: TempDir,
}

impl FeedFixture {
    async fn new(skills: &[&str], offers: impl IntoIterator<Item = Result<(), Failure>>) -> Self {
        let ground = TenantFixture::at(UtcMicros::EPOCH + Duration::from_secs(1_000_000)).await;
        let (lines_in, lines) = mpsc::unbounded_channel();
        let puppet = Arc::new(ScriptedPlatform {
            clock: ground.shared_clock(),
            offers: Mutex::new(offers.into_iter().collect()),
            attempts: Mutex::default(),
            lines: lines_in,
            open: Arc::default(),
        });
        let (inbox_in, inbox) = mpsc::channel(4);
        let link = Arc::new(ground.link(puppet.clone(), inbox_in));
        let (settings_in, settings) = watch::channel(Arc::new(settings(skills)));
        let (soft, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(run(link.clone(), settings, soft.clone()));
        let TenantFixture { clock, store, folder, .. } = ground;
        Self { clock, puppet, link, lines, inbox, settings: settings_in, soft, task, _store: store, _folder: folder }
    }

    async fn line(&mut self) -> ScriptedConnection {
        self.lines.recv().await.expect("the worker lasts")
    }

    /// Three heartbeats half a minute apart, and half a minute after them.
    async fn hear_three_heartbeats(&self, line: &ScriptedConnection) {
        for _ in 0..3 {
            line.say(FeedMessage::Heartbeat);
            settle().await;
            self.clock.advance(Duration::from_secs(30));
            settle().await;
        }
    }

    fn attempts(&self) -> Vec<Duration> {
        self.puppet.attempts.lock().expect("a lock").clone()
    }

    fn part(&self) -> Option<Part> {
        self.link.readiness.report().parts.into_iter().find(|part| part.name == "tenant acme: feed")
    }

    /// Moves the clock on until something holds.
    async fn advance_until(&self, step: Duration, what: impl Fn() -> bool) {
        let watch = Stopwatch::start();
        settle().await;
        while !what() {
            assert!(watch.elapsed() < Duration::from_secs(20), "it never comes");
            self.clock.advance(step);
            settle().await;
        }
    }
}

/// Lets the worker do what it can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Waits until something holds, with the clock standing still.
async fn until(what: impl Fn() -> bool) {
    let watch = Stopwatch::start();
    while !what() {
        assert!(watch.elapsed() < Duration::from_secs(20), "it never comes");
        RealTime::sleep(Duration::from_millis(1)).await;
    }
}

fn settings(skills: &[&str]) -> TenantSettings {
    let mut settings = crate::engine::operations::settings::tests::settings(&[]);
    settings.skills = skills.iter().copied().map(SkillId::from).collect();
    settings.feed = FeedSettings { enabled: true, silent_after: SILENT_AFTER };
    settings.budget.request_timeout_real = REQUEST_TIMEOUT;
    settings
}

fn ready(agent: &str, lasted_s: u64) -> FeedMessage {
    FeedMessage::AgentState { agent: agent.into(), state: AgentState::Ready, elapsed: Duration::from_secs(lasted_s) }
}

#[tokio::test]
async fn it_subscribes_answers_heartbeats_and_hands_on_what_is_told_of_agents() {
    let mut stage = FeedFixture::new(&["1", "2"], [Ok(())]).await;
    let line = stage.line().await;
    settle().await;
    let now = stage.clock.now();
    assert_eq!(stage.link.feed().connection, FeedConnection::Connecting { since: now, attempt: 1 });
    assert!(stage.part().is_none(), "nothing has gone wrong, and nothing is known to be well");
    for message in [
        FeedMessage::Heartbeat,
        ready("u_1", 3),
        FeedMessage::Unreadable("nonsense".to_owned()),
        FeedMessage::ContactQueued("1".into()),
        ready("u_2", 0),
    ] {
        line.say(message);
    }
    let Some(KeeperMessage::FeedObservations(told)) = stage.inbox.recv().await else { panic!("no messages") };
    let told: Vec<_> = told.iter().map(|(agent, fed)| (agent.as_str(), fed.estimated_start, fed.received_at)).collect();
    assert_eq!(told, [("u_1", now - Duration::from_secs(3), now), ("u_2", now, now)], "at once, in order");
    assert_eq!(line.told(), [r#"Subscribe(["1", "2"])"#, "Pong"]);
    let expected = FeedState {
        connection: FeedConnection::Live { since: now },
        last_message_at: Some(now),
        losses: 0,
        messages: 5,
        invalid_messages: 1,
    };
    assert_eq!(stage.link.feed(), expected);
    assert!(stage.part().is_some_and(|part| part.ready));
}

#[tokio::test]
async fn pauses_double_to_half_a_minute_until_a_connection_has_said_something() {
    let refused = || Err(Failure::NotSent { reason: "refused".to_owned() });
    // The fourth is taken and breaks off without a word, the sixth says something.
    let offers = [refused(), refused(), refused(), Ok(()), refused(), Ok(()), refused()];
    let mut stage = FeedFixture::new(&["1"], offers).await;
    let step = Duration::from_millis(50);
    stage.advance_until(step, || stage.attempts().len() == 4).await;
    drop(stage.line().await);
    stage.advance_until(step, || stage.attempts().len() == 6).await;
    let line = stage.line().await;
    let part = stage.part().expect("complained");
    assert!(!part.ready && part.since == UtcMicros::EPOCH + Duration::from_secs(1_000_000), "{part:?}");
    line.say(FeedMessage::Heartbeat);
    settle().await;
    assert!(stage.part().is_some_and(|part| part.ready));
    drop(line);
    stage.advance_until(step, || stage.attempts().len() == 13).await;
    let attempts = stage.attempts();
    let pauses: Vec<f64> = attempts.windows(2).map(|two| two[1].abs_diff(two[0]).as_secs_f64()).collect();
    for (pause, most) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
        assert!((most / 2.0..=most + 0.2).contains(pause), "{pause} of {most}: {pauses:?}");
    }
    let FeedConnection::Connecting { since, attempt } = stage.link.feed().connection else { panic!("it is not there") };
    assert_eq!((since.since(UtcMicros::EPOCH + Duration::from_secs(1_000_000)), attempt), (attempts[5], 8));
    assert_eq!(stage.link.feed().losses, 13);
}

#[tokio::test]
async fn two_minutes_of_silence_bring_a_ping_and_then_the_end() {
    let mut stage = FeedFixture::new(&["1"], [Ok(()), Ok(())]).await;
    let line = stage.line().await;
    line.say(FeedMessage::Heartbeat);
    settle().await;
    stage.clock.advance(SILENT_AFTER.saturating_sub(Duration::from_secs(1)));
    line.say(FeedMessage::Activity);
    settle().await;
    assert_eq!(line.told().last().map(String::as_str), Some("Pong"), "not yet");
    stage.clock.advance(Duration::from_secs(1));
    until(|| line.told().last().is_some_and(|told| told == "Ping")).await;
    line.say(FeedMessage::Heartbeat);
    until(|| line.told().last().is_some_and(|told| told == "Pong")).await;
    assert!(stage.part().is_some_and(|part| part.ready), "the ping brought it back");
    // That the line lives is not enough.
    stage.clock.advance(SILENT_AFTER);
    until(|| line.told().last().is_some_and(|told| told == "Ping")).await;
    line.say(FeedMessage::Activity);
    until(|| line.told().last().is_some_and(|told| told == "Close")).await;
    let part = stage.part().expect("complained");
    assert!(part.detail.contains("nothing for 2m, although the line answers a ping"), "{part:?}");
    stage.clock.advance(Duration::from_secs(1));
    stage.line().await;
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_replaced_at_once_and_then_not_in_haste() {
    let refused = || Err(Failure::Unauthorized);
    let stage = FeedFixture::new(&["1"], [refused(), refused(), refused()]).await;
    until(|| stage.attempts().len() == 2).await;
    settle().await;
    assert_eq!(stage.attempts(), [Duration::ZERO; 2], "the third waits");
    stage.advance_until(Duration::from_millis(50), || stage.attempts().len() == 3).await;
    assert!(stage.attempts()[2] >= Duration::from_millis(500));
}

#[tokio::test]
async fn other_skills_make_another_connection_after_the_first_has_ended() {
    let mut stage = FeedFixture::new(&["1"], [Ok(()), Ok(()), Ok(())]).await;
    let first = stage.line().await;
    first.say(FeedMessage::Heartbeat);
    settle().await;
    stage.settings.send_replace(Arc::new(TenantSettings { agents: vec!["u_9".into()], ..settings(&["1"]) }));
    settle().await;
    assert_eq!(stage.attempts().len(), 1, "it has nothing to do with the agents");
    stage.settings.send_replace(Arc::new(settings(&["1", "2"])));
    let second = stage.line().await;
    until(|| !second.told().is_empty()).await;
    assert_eq!(
        (first.told().last().map(String::as_str), second.told()[0].as_str()),
        (Some("Close"), r#"Subscribe(["1", "2"])"#)
    );
    for (other, why) in [
        (settings(&[]), "the tenant has no skills"),
        (
            TenantSettings { feed: FeedSettings { enabled: false, silent_after: SILENT_AFTER }, ..settings(&["1"]) },
            "the configuration has it switched off",
        ),
    ] {
        stage.settings.send_replace(Arc::new(other));
        until(|| stage.link.feed().connection == FeedConnection::Off(why)).await;
        assert_eq!((stage.part(), stage.puppet.open.load(Ordering::SeqCst)), (None, 0), "{why}");
    }
    stage.settings.send_replace(Arc::new(settings(&["1"])));
    stage.line().await;
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let mut stage = FeedFixture::new(&["1"], [Ok(())]).await;
    let line = stage.line().await;
    settle().await;
    stage.soft.cancel();
    stage.task.join_next().await.expect("a task").expect("no panic").expect("in order");
    assert_eq!(line.told().last().map(String::as_str), Some("Close"));
    assert_eq!(stage.puppet.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_waits_for_a_busy_keeper_says_how_long_it_may_have_waited() {
    let mut stage = FeedFixture::new(&["1"], [Ok(())]).await;
    let line = stage.line().await;
    // The inbox is full after four, and the fifth waits with the worker.
    for agent in ["u_1", "u_2", "u_3", "u_4", "u_5"] {
        line.say(ready(agent, 0));
        settle().await;
    }
    line.say(ready("u_6", 0));
    stage.clock.advance(Duration::from_secs(60));
    let mut waited = Vec::new();
    while waited.len() < 6 {
        let Some(KeeperMessage::FeedObservations(told)) = stage.inbox.recv().await else { panic!("no messages") };
        waited.extend(told.into_iter().map(|(_, fed)| fed.buffered_for.as_secs()));
    }
    assert_eq!(waited, [0, 0, 0, 0, 0, 60]);
}

#[tokio::test]
async fn nothing_that_waited_while_the_host_slept_is_handed_on() {
    let mut stage = FeedFixture::new(&["1"], [Ok(()), Ok(())]).await;
    let line = stage.line().await;
    line.say(ready("u_1", 0));
    settle().await;
    stage.clock.suspend(Duration::from_secs(40));
    line.say(ready("u_2", 0));
    line.say(ready("u_3", 0));
    settle().await;
    stage.advance_until(Duration::from_secs(1), || stage.attempts().len() == 2).await;
    stage.line().await.say(ready("u_4", 0));
    let mut told = Vec::new();
    while told.len() < 2 {
        let Some(KeeperMessage::FeedObservations(fed)) = stage.inbox.recv().await else { panic!("no messages") };
        told.extend(fed.into_iter().map(|(agent, _)| agent.to_string()));
    }
    assert_eq!(told, ["u_1", "u_4"], "another connection tells of what comes after");
}

#[tokio::test]
async fn nothing_that_comes_after_missing_heartbeats_is_handed_on() {
    let mut stage = FeedFixture::new(&["1"], [Ok(()), Ok(())]).await;
    let line = stage.line().await;
    stage.hear_three_heartbeats(&line).await;
    line.say(ready("u_1", 0));
    settle().await;
    stage.clock.advance(Duration::from_secs(60));
    line.say(ready("u_2", 0));
    settle().await;
    stage.advance_until(Duration::from_secs(1), || stage.attempts().len() == 2).await;
    let Some(KeeperMessage::FeedObservations(told)) = stage.inbox.recv().await else { panic!("no messages") };
    assert_eq!(told.iter().map(|(agent, _)| agent.as_str()).collect::<Vec<_>>(), ["u_1"]);
    assert!(stage.inbox.try_recv().is_err(), "what the link held back is not of now");
}

/// The interval is the platform's, so that a new connection knows it before its own second heartbeat. A platform that lengthens it
/// loses one connection.
#[tokio::test]
async fn the_interval_of_heartbeats_outlives_the_connection_that_taught_it() {
    let mut stage = FeedFixture::new(&["1"], [Ok(()), Ok(()), Ok(())]).await;
    let line = stage.line().await;
    stage.hear_three_heartbeats(&line).await;
    drop(line);
    for (attempts, expected) in [(2, None), (3, Some("u_2"))] {
        stage.advance_until(Duration::from_millis(100), || stage.attempts().len() == attempts).await;
        let line = stage.line().await;
        line.say(FeedMessage::Heartbeat);
        settle().await;
        stage.clock.advance(Duration::from_secs(60));
        line.say(ready("u_2", 0));
        settle().await;
        let told = match stage.inbox.try_recv() {
            Ok(KeeperMessage::FeedObservations(told)) => told.first().map(|(agent, _)| agent.to_string()),
            Ok(_) | Err(_) => None,
        };
        assert_eq!(told.as_deref(), expected, "connection {attempts}");
    }
}
