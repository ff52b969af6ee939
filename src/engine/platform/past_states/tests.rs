//! The worker with a clock that moves only while it waits, a platform with a prepared history, and a keeper that answers as
//! it is told.

use std::sync::Mutex as SyncMutex;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{ReasonCode, SubscriptionId};
use crate::engine::operations::settings::tests::settings;
use crate::engine::platform::link::tests::TenantFixture;
use crate::platform::error::CallSite;
use crate::platform::{Answer, Call, Capabilities, Platform, PlatformHealth, SnapshotBody, SnapshotReader};
use crate::store::{AdherenceChange, Commit, ObservedSpanRow, Store};

const START: UtcMicros = UtcMicros::from_micros(1_793_000_000_000_000);

fn at(second: u64) -> UtcMicros {
    START + Duration::from_secs(second)
}

/// A platform with a history of so many rows, two on a page.
#[derive(Debug)]
struct HistoryPlatform {
    clock: ManualClock,
    rows: usize,
    /// The number of rows that it announces.
    total: usize,
    is_failing: bool,
    asked: SyncMutex<Vec<((UtcMicros, UtcMicros), usize)>>,
}

impl Platform for HistoryPlatform {
    fn capabilities(&self) -> Capabilities {
        unreachable!("nobody asks")
    }

    fn past_states(&self, span: (UtcMicros, UtcMicros), skip: usize) -> Call<'_, ListPage<PastState>> {
        self.asked.lock().expect("a lock").push((span, skip));
        let now = self.clock.now();
        let row = |index: usize| PastState {
            agent: AgentId::new(format!("a_{}", index % 3)),
            index: Some((1, i64::try_from(index).expect("small"))),
            entered_at: Some(now),
            state: Some(AgentState::Ready),
            reason: None,
        };
        let rows: Vec<PastState> = (skip..self.rows.min(skip + 2)).map(row).collect();
        let page = ListPage { received: rows.len(), rows, total: Some(self.total), polled_at: None, hidden: 0 };
        let failing = self.is_failing;
        Box::pin(async move {
            let answer =
                Answer { value: page, latency: Duration::ZERO, sent_at: now, received_at: now, platform_now: None };
            let site = CallSite { purpose: "read the state history", method: "GET", path: "/".to_owned() };
            let failure = Failure::Server { status: 503, retry_after: None };
            if failing { Err(CallError { site, failure, sent_at: Some(now) }) } else { Ok(answer) }
        })
    }

    fn status(&self) -> PlatformHealth {
        unreachable!("nobody asks")
    }

    fn set_state<'a>(&'a self, _: &'a AgentId, _: &'a AgentState, _: &'a ReasonCode) -> Call<'a, ()> {
        unreachable!("history changes nothing")
    }

    fn snapshot<'a>(&'a self, _: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        unreachable!("nobody asks")
    }

    fn reader(&self, _: &[AgentId]) -> Box<dyn SnapshotReader> {
        unreachable!("nobody asks")
    }
}

/// What the keeper was asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Request {
    /// Fill in the history of agents with so many rows, for the last time or not.
    Fill(Vec<(String, usize)>, bool),
    Close,
}

struct WorkerFixture {
    clock: ManualClock,
    platform: Arc<HistoryPlatform>,
    reader: PastStateReader,
    requests: Arc<SyncMutex<Vec<Request>>>,
    store: Store,
    _keeper: JoinSet<()>,
    _senders: (watch::Sender<Arc<[AgentId]>>, watch::Sender<Arc<TenantSettings>>),
    _folder: tempfile::TempDir,
}

impl WorkerFixture {
    /// A worker of three agents. The keeper says of this number of agents that their history is not complete.
    async fn with_platform(rows: usize, total: usize, is_failing: bool, incomplete_agents: usize) -> Self {
        let TenantFixture { clock, store, live, folder } = TenantFixture::at(START).await;
        let asked = SyncMutex::default();
        let platform = Arc::new(HistoryPlatform { clock: clock.clone(), rows, total, is_failing, asked });
        let (inbox, mut messages) = mpsc::channel(16);
        let fixture = TenantFixture { clock, store, live, folder };
        let link = Arc::new(fixture.link(platform.clone(), inbox));
        let agents: Vec<AgentId> = (0..3).map(|number| AgentId::new(format!("a_{number}"))).collect();
        let mut usual = settings(&agents);
        usual.budget.requests_per_minute = 100;
        let (settings_sender, settings) = watch::channel(Arc::new(usual));
        let (roster_sender, roster) = watch::channel::<Arc<[AgentId]>>(agents.into());
        let parts = PastStateParts { link, settings, roster, adherence_days: Arc::default() };
        let requests: Arc<SyncMutex<Vec<Request>>> = Arc::default();
        let received = requests.clone();
        let mut keeper = JoinSet::new();
        keeper.spawn(async move {
            while let Some(KeeperMessage::ObservationGap(request)) = messages.recv().await {
                match request {
                    GapRequest::Fill { agents, is_last_attempt, reply, .. } => {
                        let agents = agents.into_iter().map(|(agent, rows)| (agent.to_string(), rows.len()));
                        received.lock().expect("a lock").push(Request::Fill(agents.collect(), is_last_attempt));
                        let progress = GapProgress { incomplete_agents, ..GapProgress::default() };
                        reply.send(progress).expect("awaited");
                    }
                    GapRequest::Close { reply, .. } => {
                        received.lock().expect("a lock").push(Request::Close);
                        reply.send(()).expect("awaited");
                    }
                }
            }
        });
        let TenantFixture { clock, store, folder, .. } = fixture;
        let reader = PastStateReader { parts, failures: 0 };
        Self {
            clock,
            platform,
            reader,
            requests,
            store,
            _keeper: keeper,
            _senders: (roster_sender, settings_sender),
            _folder: folder,
        }
    }

    async fn observe(&self, spans: &[(u64, u64)]) {
        let tenant = &self.reader.parts.link.tenant;
        let span = |(from, to): &(u64, u64)| ObservedSpanRow {
            tenant: tenant.clone(),
            starts_at: at(*from),
            ends_at: at(*to),
        };
        let observed_spans = spans.iter().map(span).collect();
        let adherence = AdherenceChange { observed_spans, ..AdherenceChange::default() };
        self.store.writer().commit(Commit { adherence, ..Commit::default() }).await.expect("commits");
    }

    /// Lets the worker look for gaps once, and returns how long it waited until it would look again.
    async fn look(&mut self) -> Duration {
        let clock = self.clock.clone();
        let began = clock.monotonic();
        let mut look = std::pin::pin!(self.reader.fill_and_wait());
        loop {
            tokio::select! {
                biased;
                done = &mut look => {
                    done.expect("no fault of the store");
                    return clock.monotonic().saturating_sub(began);
                }
                () = crate::clock::RealTime::sleep(Duration::from_millis(2)) => clock.advance(Duration::from_secs(1)),
            }
        }
    }

    fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().expect("a lock"))
    }

    fn asked(&self) -> Vec<((UtcMicros, UtcMicros), usize)> {
        std::mem::take(&mut *self.platform.asked.lock().expect("a lock"))
    }

    fn degraded(&self) -> Option<String> {
        let parts = self.reader.parts.link.readiness.report().parts;
        parts.into_iter().find(|part| part.name.ends_with(": state history") && !part.ready).map(|part| part.detail)
    }
}

#[tokio::test]
async fn a_gap_is_read_in_pages_a_minute_after_its_end_and_closed() {
    let mut fixture = WorkerFixture::with_platform(5, 5, false, 0).await;
    fixture.observe(&[(0, 100), (500, 510)]).await;
    fixture.clock.advance(Duration::from_secs(559));
    fixture.look().await;
    assert_eq!(fixture.asked(), [], "the platform may not have written it yet");
    let waited = fixture.look().await;
    let span = (at(95), at(505));
    assert_eq!(fixture.asked(), [(span, 0), (span, 2), (span, 4)]);
    let pages = waited.saturating_sub(CHECK_EVERY);
    assert!(pages >= Duration::from_secs(9), "{pages:?}: within a share of the budget");
    let agents = [("a_0", 2), ("a_1", 2), ("a_2", 1)].map(|(agent, rows)| (agent.to_owned(), rows));
    assert_eq!(fixture.requests(), [Request::Fill(agents.to_vec(), false), Request::Close]);
}

#[tokio::test]
async fn a_history_that_lags_is_read_again_and_the_last_attempt_closes_the_gap() {
    let mut fixture = WorkerFixture::with_platform(3, 3, false, 1).await;
    fixture.observe(&[(0, 100), (500, 510)]).await;
    fixture.clock.advance(Duration::from_secs(600));
    let (mut looks, mut waits) = (Vec::new(), Vec::new());
    while !looks.contains(&Request::Close) {
        assert!(looks.len() < 100, "{looks:?}");
        waits.push(fixture.look().await);
        looks.extend(fixture.requests());
    }
    let is_last = |request: &Request| matches!(request, Request::Fill(_, true));
    let last = looks.iter().position(is_last).expect("a last attempt");
    assert!(last > 1 && looks[last + 1] == Request::Close, "{looks:?}");
    assert!(fixture.clock.now() >= at(500) + LAST_READ_AFTER);
    assert_eq!(fixture.reader.failures, 0);
    assert!(waits[1] < waits[last - 1], "the pauses become longer: {waits:?}");
}

#[tokio::test]
async fn a_gap_of_long_ago_is_read_some_times_before_the_last_attempt() {
    let mut fixture = WorkerFixture::with_platform(3, 3, false, 1).await;
    fixture.observe(&[(0, 100), (500, 510)]).await;
    // The codes that say what states stand for may not be known at the start.
    fixture.clock.advance(Duration::from_hours(2));
    let mut looks = Vec::new();
    for _ in 0..=LEAST_RETRIES {
        fixture.look().await;
        looks.extend(fixture.requests());
    }
    let attempts = looks.iter().filter(|request| matches!(request, Request::Fill(_, false))).count();
    assert_eq!((attempts, looks.last()), (3, Some(&Request::Close)), "{looks:?}");
}

#[tokio::test]
async fn a_read_that_fails_or_lacks_rows_fills_nothing_and_is_repeated() {
    for (total, is_failing) in [(3, true), (4, false)] {
        let mut fixture = WorkerFixture::with_platform(3, total, is_failing, 0).await;
        fixture.observe(&[(0, 100), (500, 510)]).await;
        fixture.clock.advance(Duration::from_secs(600));
        for look in 0..2 {
            fixture.look().await;
            assert!(!fixture.asked().is_empty(), "look {look}");
            assert_eq!(fixture.requests(), [], "look {look}");
        }
        let detail = fixture.degraded();
        assert_eq!(detail.is_some(), is_failing, "{detail:?}");
    }
}

#[tokio::test]
async fn only_the_last_day_is_filled_in() {
    let fixture = WorkerFixture::with_platform(0, 0, false, 0).await;
    let day = LOOKBACK.as_secs();
    fixture.observe(&[(0, 100), (200, 300), (300 + day + 50, 300 + day + 60), (2 * day, 2 * day)]).await;
    let gaps = fixture.reader.gaps(at(2 * day + 10)).await.expect("readable");
    let found: Vec<_> = gaps.iter().map(|gap| (gap.span, gap.is_cut)).collect();
    let long = ((at(350), at(300 + day + 50)), true);
    assert_eq!(found, [long, ((at(300 + day + 60), at(2 * day)), false)], "the first one ended long ago");
}

#[test]
fn agents_are_divided_by_their_number_and_their_rows() {
    let agent = |rows: usize| {
        let row = PastState { agent: AgentId::new("a"), index: None, entered_at: None, state: None, reason: None };
        (AgentId::new("a"), vec![row; rows])
    };
    let sizes = |rows: &[usize]| groups(rows.iter().map(|rows| agent(*rows))).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&[0; 120]), [50, 50, 20]);
    assert_eq!(sizes(&[600, 400, 1, 2000, 1, 999]), [2, 1, 1, 2]);
    assert_eq!(sizes(&[]), [0; 0]);
}
