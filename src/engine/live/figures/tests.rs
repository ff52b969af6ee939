//! The worker with a clock that does not run and a platform with prepared answers.

use std::collections::VecDeque;
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{AgentId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::engine::platform::calls::call_row;
use crate::engine::platform::link::BudgetKind;
use crate::engine::platform::link::tests::TenantFixture;
use crate::platform::budget::Budget;
use crate::platform::error::CallSite;
use crate::platform::{
    Capabilities, Feed, Platform, PlatformHealth, SnapshotBody, SnapshotReader, Subscription, SubscriptionRequest,
};
use crate::store::Store;

const START: UtcMicros = UtcMicros::from_micros(1_793_000_000_000_000);
const INTERVAL: Duration = Duration::from_secs(30);

/// A platform: an answer for each call to come, and what was asked of it. Without an answer it shows everyone asked about.
#[derive(Debug)]
struct ScriptedPlatform {
    clock: ManualClock,
    failures: Mutex<VecDeque<Failure>>,
    listed: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<(Duration, &'static str, Vec<String>)>>,
    queued: Mutex<u64>,
}

impl ScriptedPlatform {
    fn answer<T: Send + 'static>(&self, what: &'static str, ids: Vec<String>, value: T) -> Call<'_, T> {
        Box::pin(async move {
            self.asked.lock().expect("a lock").push((self.clock.monotonic(), what, ids));
            let now = self.clock.now();
            match self.failures.lock().expect("a lock").pop_front() {
                None => Ok(Answer { value, latency: INTERVAL, sent_at: now, received_at: now, platform_now: None }),
                Some(failure) => {
                    let site = CallSite { purpose: what, method: "GET", path: "/".to_owned() };
                    Err(CallError { site, failure, sent_at: Some(now) })
                }
            }
        })
    }

    fn asked(&self) -> Vec<(Duration, &'static str, Vec<String>)> {
        self.asked.lock().expect("a lock").clone()
    }
}

impl Platform for ScriptedPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            settable: Vec::new(),
            can_log_out: false,
            reports_schedule: false,
            reports_breaks: false,
            min_interval: INTERVAL,
            subscription_lifetime: Some(INTERVAL),
            polls_count: false,
            has_directory: false,
            exports_schedules: false,
            has_state_history: false,
            has_feed: false,
        }
    }

    fn skill_figures<'a>(&'a self, skills: &'a [SkillId]) -> Call<'a, FiguresRead<SkillFigures>> {
        let contacts_queued = Some(*self.queued.lock().expect("a lock"));
        let figures =
            skills.iter().map(|id| SkillFigures { contacts_queued, ..SkillFigures::idle(id.clone()) }).collect();
        let ids = skills.iter().map(ToString::to_string).collect();
        self.answer("skills", ids, FiguresRead { figures, ..FiguresRead::default() })
    }

    fn queues(&self) -> Call<'_, Vec<ListedQueue>> {
        let listed =
            self.listed.lock().expect("a lock").iter().map(|id| ListedQueue { id: (*id).into(), name: None }).collect();
        self.answer("list", Vec::new(), listed)
    }

    fn queue_figures<'a>(&'a self, queues: &'a [QueueId]) -> Call<'a, FiguresRead<QueueFigures>> {
        let listed = self.listed.lock().expect("a lock").clone();
        let shown = queues.iter().filter(|id| listed.contains(&id.as_str()));
        let figures =
            shown.map(|id| QueueFigures { calls_waiting: Some(1), ..QueueFigures::unknown(id.clone()) }).collect();
        let ids = queues.iter().map(ToString::to_string).collect();
        self.answer("queues", ids, FiguresRead { figures, ..FiguresRead::default() })
    }

    fn status(&self) -> PlatformHealth {
        unreachable!("nobody asks")
    }

    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        unreachable!("nobody asks")
    }

    fn set_state<'a>(&'a self, _: &'a AgentId, _: &'a AgentState, _: &'a ReasonCode) -> Call<'a, ()> {
        unreachable!("figures change nothing")
    }

    fn is_scheduled<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        unreachable!("nobody asks")
    }

    fn break_required<'a>(&'a self, _: &'a AgentId) -> Call<'a, bool> {
        unreachable!("nobody asks")
    }

    fn subscribe<'a>(&'a self, _: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        unreachable!("nobody asks")
    }

    fn snapshot<'a>(&'a self, _: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        unreachable!("nobody asks")
    }

    fn reader(&self, _: &[AgentId]) -> Box<dyn SnapshotReader> {
        unreachable!("nobody asks")
    }
}

struct FiguresFixture {
    clock: ManualClock,
    puppet: Arc<ScriptedPlatform>,
    link: Arc<Link>,
    reads: FigureReader,
    _store: Store,
    _folder: TempDir,
}

fn figure_settings(skills: &[&str], queues: &[&str]) -> FigureSettings {
    FigureSettings {
        skills: skills.iter().copied().map(SkillId::new).collect(),
        queues: queues.iter().copied().map(QueueId::new).collect(),
        interval: INTERVAL,
        requests_per_minute: 10,
    }
}

impl FiguresFixture {
    async fn of(wanted: FigureSettings) -> Self {
        let ground = TenantFixture::at(START).await;
        let puppet = Arc::new(ScriptedPlatform {
            clock: ground.clock.clone(),
            failures: Mutex::default(),
            listed: Mutex::new(vec!["q_1", "q_2"]),
            asked: Mutex::default(),
            queued: Mutex::new(7),
        });
        let minute = Duration::from_secs(60);
        let link = Arc::new(Link {
            reporting_budget: Mutex::new(Budget::new(wanted.requests_per_minute, minute, 0)),
            ..ground.link(puppet.clone(), mpsc::channel(1).0)
        });
        let reads = FigureReader::load(link.clone(), wanted).await.expect("loads");
        let TenantFixture { clock, store, folder, .. } = ground;
        Self { clock, puppet, link, reads, _store: store, _folder: folder }
    }

    /// Waits until the next poll is due, and polls.
    async fn poll(&mut self) {
        let wait = self.reads.time_until_poll().expect("something is read");
        self.clock.advance(wait);
        self.reads.poll().await.expect("polls");
    }

    fn fail(&self, failures: impl IntoIterator<Item = Failure>) {
        self.puppet.failures.lock().expect("a lock").extend(failures);
    }

    fn queued(&self, skill: &str) -> Option<(UtcMicros, Option<u64>)> {
        let figures = self.link.figures.borrow();
        figures.skill(skill).map(|taken| (taken.at, taken.figures.contacts_queued))
    }

    /// What readiness says of figures: whether they are as they should be, and why not.
    fn part(&self) -> Option<(bool, String)> {
        let parts = self.link.readiness.report().parts;
        parts.into_iter().find(|part| part.name == "tenant acme: figures").map(|part| (part.ready, part.detail))
    }
}

fn server_error() -> Failure {
    Failure::Server { status: 503, retry_after: None }
}

#[tokio::test]
async fn a_read_that_fails_leaves_old_figures_and_says_so_and_never_zero() {
    let mut desk = FiguresFixture::of(figure_settings(&["1"], &[])).await;
    desk.fail([server_error()]);
    desk.poll().await;
    assert_eq!(desk.queued("1"), None);
    let (ready, detail) = desk.part().expect("a part");
    assert!(!ready && detail.contains("figures of 1 skill, never read yet") && detail.contains("503"), "{detail}");

    desk.poll().await;
    let first = desk.clock.now();
    assert_eq!((desk.queued("1"), desk.part()), (Some((first, Some(7))), Some((true, String::new()))));
    desk.fail([server_error(), Failure::Timeout]);
    desk.poll().await;
    desk.poll().await;
    assert_eq!(desk.queued("1"), Some((first, Some(7))), "as old as it is");
    let (ready, detail) = desk.part().expect("a part");
    assert!(!ready && detail.contains(&format!("last read at {first:.0}")), "{detail}");
    assert!(desk.link.figures.borrow().is_fresh(first, desk.clock.now()));
    desk.clock.advance(INTERVAL);
    assert!(!desk.link.figures.borrow().is_fresh(first, desk.clock.now()), "three intervals old");

    *desk.puppet.queued.lock().expect("a lock") = 0;
    desk.poll().await;
    assert_eq!((desk.queued("1"), desk.part()), (Some((desk.clock.now(), Some(0))), Some((true, String::new()))));
    let span = (START, desk.clock.now() + INTERVAL);
    let stored = desk.link.reader.skill_series(&desk.link.tenant, &"1".into(), span, 10).await.expect("reads");
    assert_eq!(
        stored.iter().map(|point| point.stats[0].max).collect::<Vec<_>>(),
        [Some(7), Some(0)],
        "a row for each read"
    );
}

#[tokio::test]
async fn reads_are_an_interval_apart_on_a_grid_and_cost_the_ordinary_budget_nothing() {
    let skills: Vec<String> = (0..=MAX_PER_READ).map(|id| id.to_string()).collect();
    let skills: Vec<&str> = skills.iter().map(String::as_str).collect();
    let mut desk = FiguresFixture::of(figure_settings(&skills, &["q_1"])).await;
    for poll in 0..20_u64 {
        let late = Duration::from_millis(poll * 37 % 500);
        desk.clock.advance(desk.reads.time_until_poll().expect("something is read") + late);
        desk.reads.poll().await.expect("polls");
    }
    let asked = desk.puppet.asked();
    let of = |what: &str| asked.iter().filter(|(_, kind, _)| *kind == what).collect::<Vec<_>>();
    assert_eq!((of("list").len(), of("queues").len()), (1, 20), "the list is read once an hour");
    let batches: Vec<_> = of("skills").iter().map(|(_, _, ids)| ids.len()).collect();
    assert_eq!(batches, [100, 1].repeat(20));
    let polls: Vec<Duration> = of("queues").iter().map(|(at, ..)| *at).collect();
    for pair in polls.windows(2) {
        assert!(pair[1] >= pair[0] + INTERVAL, "{pair:?}");
    }
    let step = PollGrid::new(Duration::ZERO, INTERVAL).step();
    let last = polls.last().copied().unwrap_or_default();
    assert!(last.saturating_sub(polls[0]) < step * 19 + Duration::from_secs(1), "{last:?} is off the grid");
    let now = desk.clock.monotonic();
    assert_eq!(desk.link.budget().used_slots(now), 0);
    assert_eq!(desk.link.budget_of(BudgetKind::Reporting).used_slots(now), 6, "of the last minute");
}

#[tokio::test]
async fn a_start_waits_for_the_reads_of_the_process_before() {
    let mut desk = FiguresFixture::of(figure_settings(&["1"], &[])).await;
    desk.poll().await;
    let read_at = desk.clock.now();
    desk.clock.advance(Duration::from_secs(4));
    desk.link.figures.send_replace(Arc::default());
    let reads = FigureReader::load(desk.link.clone(), figure_settings(&["1"], &[])).await.expect("loads");
    assert_eq!(reads.time_until_poll(), Some(Duration::from_secs(26)));
    assert_eq!(desk.queued("1"), Some((read_at, Some(7))), "what it knew is taken up with its age");

    // A process that was killed in the middle of a read: nobody knows when it arrived.
    let row = call_row(&desk.link, CallKind::SkillFigures, None, desk.clock.now());
    desk.link.writer.commit(Commit { calls: vec![row], ..Commit::default() }).await.expect("commits");
    desk.clock.advance(Duration::from_secs(10));
    let reads = FigureReader::load(desk.link.clone(), figure_settings(&["1"], &[])).await.expect("loads");
    assert_eq!(reads.time_until_poll(), Some(INTERVAL));
    desk.clock.advance(Duration::from_secs(3600));
    let reads = FigureReader::load(desk.link.clone(), figure_settings(&["1"], &[])).await.expect("loads");
    assert_eq!(reads.time_until_poll(), Some(Duration::ZERO), "long ago");
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named_and_spoils_the_others_once_at_most() {
    let mut desk = FiguresFixture::of(figure_settings(&[], &["q_1", "q_9"])).await;
    *desk.puppet.listed.lock().expect("a lock") = vec!["q_1"];
    // The list is read; the figures are refused as a whole.
    desk.puppet.asked.lock().expect("a lock").clear();
    desk.reads.listed = None;
    desk.reads.next_list = Duration::MAX;
    desk.fail([Failure::NotFound]);
    desk.poll().await;
    assert!(desk.link.figures.borrow().queues.is_empty());
    desk.poll().await;
    let kinds: Vec<_> = desk.puppet.asked().into_iter().map(|(_, kind, ids)| (kind, ids.join(","))).collect();
    let expected = [("queues", "q_1,q_9"), ("list", ""), ("queues", "q_1")].map(|(kind, ids)| (kind, ids.to_owned()));
    assert_eq!(kinds, expected);
    assert!(desk.link.figures.borrow().queue("q_1").is_some());
    let (ready, detail) = desk.part().expect("a part");
    assert!(!ready && detail.contains("the platform knows no queue q_9"), "{detail}");

    // Somebody makes the queue, and the list is read again within the hour.
    *desk.puppet.listed.lock().expect("a lock") = vec!["q_1", "q_9"];
    desk.clock.advance(LIST_INTERVAL);
    desk.poll().await;
    assert_eq!(desk.part(), Some((true, String::new())));
    assert!(desk.link.figures.borrow().queue("q_9").is_some());
}

#[tokio::test]
async fn a_throttled_read_ends_the_poll_and_holds_up_nothing_else() {
    let skills: Vec<String> = (0..=MAX_PER_READ).map(|id| id.to_string()).collect();
    let skills: Vec<&str> = skills.iter().map(String::as_str).collect();
    let mut desk = FiguresFixture::of(figure_settings(&skills, &["q_1"])).await;
    desk.fail([Failure::Throttled { retry_after: Some(Duration::from_secs(120)) }]);
    desk.poll().await;
    assert_eq!(desk.puppet.asked().len(), 1);
    let now = desk.clock.monotonic();
    let free = desk.link.budget_of(BudgetKind::Reporting).next_free(now, Urgency::Ordinary);
    assert_eq!(free, Some(now + Duration::from_secs(120)));
    assert_eq!(desk.link.budget().next_free(now, Urgency::Ordinary), Some(now));
    let (ready, detail) = desk.part().expect("a part");
    assert!(!ready && detail.contains("429"), "{detail}");
}

#[tokio::test]
async fn other_settings_count_from_the_last_read_and_nothing_to_read_leaves_nothing() {
    let mut desk = FiguresFixture::of(figure_settings(&["1", "2"], &[])).await;
    desk.poll().await;
    desk.clock.advance(Duration::from_secs(5));
    let shorter = FigureSettings { interval: Duration::from_secs(15), ..figure_settings(&["2"], &[]) };
    desk.reads.set_settings(shorter);
    assert_eq!(desk.reads.time_until_poll(), Some(Duration::from_secs(10)));
    assert_eq!((desk.queued("1"), desk.queued("2").is_some()), (None, true));
    assert_eq!(desk.link.figures.borrow().fresh_for, Duration::from_secs(45));
    desk.reads.set_settings(figure_settings(&[], &[]));
    assert_eq!((desk.reads.time_until_poll(), desk.part()), (None, None));
    assert_eq!(desk.link.figures.borrow().skills, []);
}
