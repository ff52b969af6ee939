//! A wrapper that reads a platform and never changes it: changes are recorded and fail with [`Failure::DryRun`].
//!
//! They are not reported as accepted, since history, events and figures must not show changes that did not happen.
//!
//! Reads, queries, subscriptions and the feed are passed to the wrapped platform.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;

use crate::clock::SharedClock;
use crate::domain::agents::past_states::PastState;
use crate::domain::agents::state::AgentState;
use crate::domain::agents::unavailable_codes::UnavailableCode;
use crate::domain::analytics::{AggregationQuery, QuerySpan};
use crate::domain::ids::{AgentId, PlatformQueryId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::domain::schedules::platform_schedule::PlatformShift;
use crate::domain::time::UtcMicros;

use super::error::{CallError, Failure};
use super::{
    Call, Capabilities, Feed, FiguresRead, ListPage, ListedAgent, ListedQueue, ListedTeam, PageRequest, Platform,
    PlatformHealth, QueryState, SnapshotBody, SnapshotReader, Subscription, SubscriptionRequest,
};

/// How many changes are remembered; the oldest are dropped first.
pub const MAX_RECORDED: usize = 10_000;

/// A change that would have been sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WithheldChange {
    /// When the change was withheld, by the daemon's clock.
    pub at: UtcMicros,
    /// The agent.
    pub agent: AgentId,
    /// The state.
    pub state: AgentState,
    /// The reason code.
    pub reason: ReasonCode,
}

/// A platform wrapper that withholds changes.
#[derive(Debug)]
pub struct DryRun {
    inner: Arc<dyn Platform>,
    clock: SharedClock,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    recent_changes: VecDeque<WithheldChange>,
    total: u64,
}

impl DryRun {
    /// Creates a wrapper that passes reads to `inner`.
    pub fn new(inner: Arc<dyn Platform>, clock: SharedClock) -> Self {
        Self { inner, clock, record: Mutex::default() }
    }

    /// Returns the latest withheld changes, oldest first, at most [`MAX_RECORDED`].
    pub fn recorded(&self) -> Vec<WithheldChange> {
        self.record().recent_changes.iter().cloned().collect()
    }

    /// Returns how many changes were withheld in all.
    pub fn total(&self) -> u64 {
        self.record().total
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_change(&self, change: WithheldChange) {
        tracing::info!(
            agent = %change.agent, state = %change.state, reason = %change.reason,
            "dry run: would set the state"
        );
        let mut record = self.record();
        record.total += 1;
        if record.recent_changes.len() == MAX_RECORDED {
            record.recent_changes.pop_front();
        }
        record.recent_changes.push_back(change);
    }
}

impl Platform for DryRun {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn status(&self) -> PlatformHealth {
        self.inner.status()
    }

    fn set_state<'a>(&'a self, agent: &'a AgentId, state: &'a AgentState, reason: &'a ReasonCode) -> Call<'a, ()> {
        Box::pin(async move {
            let refused = |failure| Err(CallError::without_request("set the state", failure));
            if let Err(failure) = self.inner.check_settable(agent, state, reason) {
                return refused(failure);
            }
            self.record_change(WithheldChange {
                at: self.clock.now(),
                agent: agent.clone(),
                state: state.clone(),
                reason: reason.clone(),
            });
            refused(Failure::DryRun)
        })
    }

    fn is_scheduled<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        self.inner.is_scheduled(agent)
    }

    fn break_required<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        self.inner.break_required(agent)
    }

    fn subscribe<'a>(&'a self, request: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        self.inner.subscribe(request)
    }

    fn snapshot<'a>(&'a self, subscription: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        self.inner.snapshot(subscription)
    }

    fn teams(&self, skip: usize) -> Call<'_, ListPage<ListedTeam>> {
        self.inner.teams(skip)
    }

    fn unavailable_codes<'a>(&'a self, team: &'a ListedTeam) -> Call<'a, Vec<UnavailableCode>> {
        self.inner.unavailable_codes(team)
    }

    fn listed_agents<'a>(&'a self, since: Option<&'a str>, skip: usize) -> Call<'a, ListPage<ListedAgent>> {
        self.inner.listed_agents(since, skip)
    }

    fn exported_schedule<'a>(&'a self, user_id: &'a str, days: (Date, Date)) -> Call<'a, Vec<PlatformShift>> {
        self.inner.exported_schedule(user_id, days)
    }

    fn past_states(&self, span: (UtcMicros, UtcMicros), skip: usize) -> Call<'_, ListPage<PastState>> {
        self.inner.past_states(span, skip)
    }

    fn check_settable(&self, agent: &AgentId, state: &AgentState, reason: &ReasonCode) -> Result<(), Failure> {
        self.inner.check_settable(agent, state, reason)
    }

    fn code_faults(&self) -> Vec<String> {
        self.inner.code_faults()
    }

    fn is_directory_outdated(&self) -> bool {
        self.inner.is_directory_outdated()
    }

    fn skill_figures<'a>(&'a self, skills: &'a [SkillId]) -> Call<'a, FiguresRead<SkillFigures>> {
        self.inner.skill_figures(skills)
    }

    fn queues(&self) -> Call<'_, Vec<ListedQueue>> {
        self.inner.queues()
    }

    fn queue_figures<'a>(&'a self, queues: &'a [QueueId]) -> Call<'a, FiguresRead<QueueFigures>> {
        self.inner.queue_figures(queues)
    }

    fn submit_query<'a>(
        &'a self,
        query: &'a AggregationQuery,
        part: QuerySpan,
        page_rows: u32,
    ) -> Call<'a, PlatformQueryId> {
        self.inner.submit_query(query, part, page_rows)
    }

    fn query_page<'a>(&'a self, request: PageRequest<'a>) -> Call<'a, QueryState> {
        self.inner.query_page(request)
    }

    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        self.inner.feed()
    }

    fn reader(&self, agents: &[AgentId]) -> Box<dyn SnapshotReader> {
        self.inner.reader(agents)
    }
}
