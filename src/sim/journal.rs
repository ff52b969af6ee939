//! The simulator's journal: every request, change of state and live feed event, in one order. Tests and the demo
//! judge the daemon by it, so nothing in it comes from the daemon but the requests themselves.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::value::RawValue;

use super::agent::ChangeCause;
use super::faults::FaultKind;
use super::feed_message::FeedEvent;
use super::incontact::operations::Acceptance;
use super::state::SimState;
use super::world::AgentChange;
use crate::domain::ids::{AgentId, SubscriptionId, TenantId};
use crate::domain::time::UtcMicros;

/// The most entries that are kept; older ones are dropped.
const MAX_ENTRIES: usize = 200_000;

/// A request and how it was answered.
#[derive(Clone, Debug, Serialize)]
pub struct RequestEntry {
    /// The entry's number; requests, changes and feed events share one sequence, from 1.
    pub seq: u64,
    /// The instant of arrival.
    pub at: UtcMicros,
    /// The tenant, as far as the token or credentials tell.
    pub tenant: Option<TenantId>,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, without a query.
    pub path: String,
    /// The query of a call of the published services.
    pub query: Option<String>,
    /// The agent in the path.
    pub agent: Option<AgentId>,
    /// The status that was or would have been answered; `None` if there was no answer.
    pub status: Option<u16>,
    /// The fault that the request met.
    pub fault: Option<FaultKind>,
    /// The body of a state change or a new subscription, if it is JSON and not too long.
    pub body: Option<Box<RawValue>>,
    /// The subscription that was created, or whose snapshot was answered.
    pub subscription: Option<SubscriptionId>,
    /// The instant at which the answered snapshot was made.
    pub generated: Option<UtcMicros>,
    /// What became of a request for a state at the published services, if it was accepted.
    pub acceptance: Option<Acceptance>,
}

/// How a request was answered.
#[derive(Debug, Default)]
pub(super) struct RequestOutcome {
    pub(super) status: Option<u16>,
    pub(super) fault: Option<FaultKind>,
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) generated: Option<UtcMicros>,
    pub(super) acceptance: Option<Acceptance>,
}

/// A change of an agent's state.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeEntry {
    /// The entry's number.
    pub seq: u64,
    /// The instant at which it took effect.
    pub at: UtcMicros,
    /// The agent's tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The state before.
    pub from: SimState,
    /// The state after.
    pub to: SimState,
    /// The cause.
    pub cause: ChangeCause,
    /// The number of the request that asked for it.
    pub request_seq: Option<u64>,
}

/// An event on a live feed.
#[derive(Clone, Debug, Serialize)]
pub struct FeedEntry {
    /// The entry's number.
    pub seq: u64,
    /// The instant of the event.
    pub at: UtcMicros,
    /// The feed's tenant.
    pub tenant: TenantId,
    /// The feed's number, counted from 1 for each tenant.
    pub feed: u64,
    /// The event.
    #[serde(flatten)]
    pub event: FeedEvent,
}

#[derive(Debug)]
enum Entry {
    Request(RequestEntry),
    Change(ChangeEntry),
    Feed(FeedEntry),
}

/// A part of the journal.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogPage {
    /// The requests of this part.
    pub requests: Vec<RequestEntry>,
    /// The changes of this part.
    pub changes: Vec<ChangeEntry>,
    /// The live feed events of this part.
    pub feed: Vec<FeedEntry>,
    /// The value of `after` for the next part.
    pub next: u64,
    /// The number of entries dropped since the start, because the journal is limited.
    pub dropped: u64,
}

/// The journal.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: VecDeque<Entry>,
    dropped: u64,
}

impl Journal {
    /// Records a request that just arrived, and assigns its `seq`.
    pub(super) fn record_request(&mut self, entry: RequestEntry) -> u64 {
        let seq = self.next_seq();
        self.push(Entry::Request(RequestEntry { seq, ..entry }));
        seq
    }

    /// Records how a request was answered.
    pub(super) fn record_outcome(&mut self, seq: u64, answered: RequestOutcome) {
        let at = seq.checked_sub(self.dropped + 1).and_then(|at| usize::try_from(at).ok());
        if let Some(Entry::Request(entry)) = at.and_then(|at| self.entries.get_mut(at)) {
            let RequestOutcome { status, fault, subscription, generated, acceptance } = answered;
            (entry.status, entry.fault, entry.acceptance) = (status, fault, acceptance);
            (entry.subscription, entry.generated) = (subscription, generated);
        }
    }

    /// Records a change of state.
    pub(super) fn record_change(&mut self, tenant: &TenantId, change: &AgentChange) {
        let AgentChange { agent, state_change: step } = change;
        let seq = self.next_seq();
        self.push(Entry::Change(ChangeEntry {
            seq,
            at: step.at,
            tenant: tenant.clone(),
            agent: agent.clone(),
            from: step.from,
            to: step.to,
            cause: step.cause,
            request_seq: step.request_seq,
        }));
    }

    /// Records an event on a live feed.
    pub(super) fn record_feed_event(&mut self, tenant: &TenantId, feed: u64, event: FeedEvent, at: UtcMicros) {
        let seq = self.next_seq();
        self.push(Entry::Feed(FeedEntry { seq, at, tenant: tenant.clone(), feed, event }));
    }

    /// Returns up to `limit` entries after the one with the number `after`.
    pub(super) fn page(&self, after: u64, limit: usize) -> LogPage {
        let skip = usize::try_from(after.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let mut page = LogPage { next: after.max(self.dropped), dropped: self.dropped, ..LogPage::default() };
        for entry in self.entries.iter().skip(skip).take(limit) {
            page.next += 1;
            match entry {
                Entry::Request(entry) => page.requests.push(entry.clone()),
                Entry::Change(entry) => page.changes.push(entry.clone()),
                Entry::Feed(entry) => page.feed.push(entry.clone()),
            }
        }
        page
    }

    fn next_seq(&self) -> u64 {
        self.dropped + u64::try_from(self.entries.len()).unwrap_or(u64::MAX) + 1
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        if self.entries.len() > MAX_ENTRIES {
            self.entries.pop_front();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RequestEntry {
        RequestEntry {
            seq: 0,
            at: UtcMicros::EPOCH,
            tenant: None,
            method: "GET",
            path: "/".to_owned(),
            query: None,
            agent: None,
            status: None,
            fault: None,
            body: None,
            subscription: None,
            generated: None,
            acceptance: None,
        }
    }

    #[test]
    fn a_full_account_drops_the_oldest_and_says_so() {
        let mut journal = Journal::default();
        for _ in 0..MAX_ENTRIES + 3 {
            journal.record_request(request());
        }
        journal.record_outcome(2, RequestOutcome { status: Some(500), ..RequestOutcome::default() });
        journal.record_outcome(4, RequestOutcome { status: Some(200), ..RequestOutcome::default() });
        let page = journal.page(0, 2);
        assert_eq!((page.dropped, page.next), (3, 5));
        let found: Vec<_> = page.requests.iter().map(|entry| (entry.seq, entry.status)).collect();
        assert_eq!(found, [(4, Some(200)), (5, None)]);
        let last = journal.page(u64::MAX, 10);
        assert!(last.requests.is_empty());
        assert_eq!(journal.record_request(request()), u64::try_from(MAX_ENTRIES).expect("small") + 4);
    }
}
