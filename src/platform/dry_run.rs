//! A platform that is read but never changed: what would have been sent is recorded and refused as [`Failure::DryRun`].
//!
//! It is no acceptance: history, events and figures must not tell of changes that did not happen.
//!
//! Reads, queries, subscriptions and the feed pass through to the platform behind it. It never sends a state.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::SharedClock;
use crate::domain::agents::state::AgentState;
use crate::domain::analytics::{AggregationQuery, QuerySpan};
use crate::domain::ids::{AgentId, QueryId, QueueId, ReasonCode, SkillId, SubscriptionId};
use crate::domain::live::figures::{QueueFigures, SkillFigures};
use crate::domain::time::UtcMicros;

use super::error::{CallError, CallSite, Failure};
use super::{
    Call, Capabilities, Feed, FiguresRead, ListedQueue, PageAsk, Platform, QueryState, SnapshotBody, SnapshotReader,
    Subscription, SubscriptionRequest, Vitals,
};

/// How many changes are remembered; the oldest go first.
pub const MOST_RECORDED: usize = 10_000;

/// A change that would have been sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WouldSend {
    /// When, by our clock.
    pub at: UtcMicros,
    /// To whom.
    pub agent: AgentId,
    /// The state.
    pub state: AgentState,
    /// The reason code.
    pub reason: ReasonCode,
}

/// Wraps a platform and keeps changes from it.
#[derive(Debug)]
pub struct DryRun {
    inner: Arc<dyn Platform>,
    clock: SharedClock,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    latest: VecDeque<WouldSend>,
    total: u64,
}

impl DryRun {
    /// Reads go to `inner`.
    pub fn new(inner: Arc<dyn Platform>, clock: SharedClock) -> Self {
        Self { inner, clock, record: Mutex::default() }
    }

    /// The latest changes that would have been sent, oldest first, at most [`MOST_RECORDED`].
    pub fn would_have_sent(&self) -> Vec<WouldSend> {
        self.record().latest.iter().cloned().collect()
    }

    /// How many changes would have been sent in all.
    pub fn total(&self) -> u64 {
        self.record().total
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: WouldSend) {
        tracing::info!(
            agent = %change.agent, state = %change.state, reason = %change.reason,
            "dry run: would set the state"
        );
        let mut record = self.record();
        record.total += 1;
        if record.latest.len() == MOST_RECORDED {
            record.latest.pop_front();
        }
        record.latest.push_back(change);
    }
}

impl Platform for DryRun {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn vitals(&self) -> Vitals {
        self.inner.vitals()
    }

    fn set_state<'a>(&'a self, agent: &'a AgentId, state: &'a AgentState, reason: &'a ReasonCode) -> Call<'a, ()> {
        Box::pin(async move {
            if !self.inner.capabilities().settable.contains(state) {
                let site = CallSite { purpose: "set the state", method: "", path: String::new() };
                return Err(CallError { site, failure: Failure::cannot_set(state), asked_at: None });
            }
            let at = self.clock.now();
            self.note(WouldSend { at, agent: agent.clone(), state: state.clone(), reason: reason.clone() });
            let site = CallSite { purpose: "set the state", method: "", path: String::new() };
            Err(CallError { site, failure: Failure::DryRun, asked_at: None })
        })
    }

    fn is_scheduled<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        self.inner.is_scheduled(agent)
    }

    fn break_required<'a>(&'a self, agent: &'a AgentId) -> Call<'a, bool> {
        self.inner.break_required(agent)
    }

    fn subscribe<'a>(&'a self, wanted: SubscriptionRequest<'a>) -> Call<'a, Subscription> {
        self.inner.subscribe(wanted)
    }

    fn snapshot<'a>(&'a self, subscription: &'a SubscriptionId) -> Call<'a, SnapshotBody> {
        self.inner.snapshot(subscription)
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

    fn submit_query<'a>(&'a self, query: &'a AggregationQuery, part: QuerySpan, page_rows: u32) -> Call<'a, QueryId> {
        self.inner.submit_query(query, part, page_rows)
    }

    fn query_page<'a>(&'a self, ask: PageAsk<'a>) -> Call<'a, QueryState> {
        self.inner.query_page(ask)
    }

    fn feed(&self) -> Call<'_, Box<dyn Feed>> {
        self.inner.feed()
    }

    fn reader(&self, agents: &[AgentId]) -> Box<dyn SnapshotReader> {
        self.inner.reader(agents)
    }
}
