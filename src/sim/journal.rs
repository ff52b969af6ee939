//! The simulator's own account: every request it saw, every change of state and every word on a live feed, in one order. It is what tests and the demo
//! judge the daemon by, so nothing in it comes from the daemon's words but the request itself.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::value::RawValue;

use super::agent::Cause;
use super::faults::Kind;
use super::feed::FeedEvent;
use super::state::SimState;
use super::world::Change;
use crate::domain::ids::{AgentId, SubscriptionId, TenantId};
use crate::domain::time::UtcMicros;

/// The most entries that are kept; older ones are dropped.
const MOST_ENTRIES: usize = 200_000;

/// A request as it came in, and how it was answered.
#[derive(Clone, Debug, Serialize)]
pub struct RequestEntry {
    /// Its place in the account; requests, changes and what happens on feeds share one count, from 1.
    pub seq: u64,
    /// When it arrived.
    pub at: UtcMicros,
    /// Whose it is, as far as its token or credentials say.
    pub tenant: Option<TenantId>,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, without a query.
    pub path: String,
    /// The agent that the path names.
    pub agent: Option<AgentId>,
    /// The status that was answered or would have been; none where no answer was made.
    pub status: Option<u16>,
    /// The fault that the request met.
    pub fault: Option<Kind>,
    /// The body of a state change or a new subscription, where it is JSON and not long.
    pub body: Option<Box<RawValue>>,
    /// The subscription that was made, or whose snapshot was answered.
    pub subscription: Option<SubscriptionId>,
    /// When the snapshot that was answered was made.
    pub generated: Option<UtcMicros>,
}

/// How a request was answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) status: Option<u16>,
    pub(super) fault: Option<Kind>,
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) generated: Option<UtcMicros>,
}

/// A change of an agent's state.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeEntry {
    /// Its place in the account.
    pub seq: u64,
    /// When it took effect.
    pub at: UtcMicros,
    /// The agent's tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The state before.
    pub from: SimState,
    /// The state after.
    pub to: SimState,
    /// What brought it about.
    pub cause: Cause,
    /// The request that asked for it.
    pub request_seq: Option<u64>,
}

/// Something that happened on a live feed.
#[derive(Clone, Debug, Serialize)]
pub struct FeedEntry {
    /// Its place in the account.
    pub seq: u64,
    /// When it happened.
    pub at: UtcMicros,
    /// Whose feed it is.
    pub tenant: TenantId,
    /// The feed's number; a tenant's feeds are counted from 1.
    pub feed: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: FeedEvent,
}

#[derive(Debug)]
enum Entry {
    Request(RequestEntry),
    Change(ChangeEntry),
    Feed(FeedEntry),
}

/// A part of the account.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogPage {
    /// The requests of this part.
    pub requests: Vec<RequestEntry>,
    /// The changes of this part.
    pub changes: Vec<ChangeEntry>,
    /// What happened on live feeds in this part.
    pub feed: Vec<FeedEntry>,
    /// What to give as `after` to read on.
    pub next: u64,
    /// How many entries were dropped since the start, because the account holds a limited number.
    pub dropped: u64,
}

/// The account.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: VecDeque<Entry>,
    dropped: u64,
}

impl Journal {
    /// Notes a request that just arrived; its `seq` is given here.
    pub(super) fn request(&mut self, entry: RequestEntry) -> u64 {
        let seq = self.next_seq();
        self.push(Entry::Request(RequestEntry { seq, ..entry }));
        seq
    }

    /// Notes how a request was answered.
    pub(super) fn answered(&mut self, seq: u64, answered: Answered) {
        let at = seq.checked_sub(self.dropped + 1).and_then(|at| usize::try_from(at).ok());
        if let Some(Entry::Request(entry)) = at.and_then(|at| self.entries.get_mut(at)) {
            let Answered { status, fault, subscription, generated } = answered;
            (entry.status, entry.fault) = (status, fault);
            (entry.subscription, entry.generated) = (subscription, generated);
        }
    }

    /// Notes a change of state.
    pub(super) fn change(&mut self, tenant: &TenantId, change: &Change) {
        let Change { agent, step } = change;
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

    /// Notes something that happened on a live feed.
    pub(super) fn feed(&mut self, tenant: &TenantId, feed: u64, event: FeedEvent, at: UtcMicros) {
        let seq = self.next_seq();
        self.push(Entry::Feed(FeedEntry { seq, at, tenant: tenant.clone(), feed, event }));
    }

    /// Up to `limit` entries after the one with the number `after`.
    pub(super) fn page(&self, after: u64, limit: usize) -> LogPage {
        let skip = usize::try_from(after.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let mut page = LogPage { next: after.max(self.dropped), dropped: self.dropped, ..LogPage::default() };
        for entry in self.entries.iter().skip(skip).take(limit) {
            match entry {
                Entry::Request(entry) => {
                    page.next = entry.seq;
                    page.requests.push(entry.clone());
                }
                Entry::Change(entry) => {
                    page.next = entry.seq;
                    page.changes.push(entry.clone());
                }
                Entry::Feed(entry) => {
                    page.next = entry.seq;
                    page.feed.push(entry.clone());
                }
            }
        }
        page
    }

    fn next_seq(&self) -> u64 {
        self.dropped + u64::try_from(self.entries.len()).unwrap_or(u64::MAX) + 1
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        if self.entries.len() > MOST_ENTRIES {
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
            agent: None,
            status: None,
            fault: None,
            body: None,
            subscription: None,
            generated: None,
        }
    }

    #[test]
    fn a_full_account_drops_the_oldest_and_says_so() {
        let mut journal = Journal::default();
        for _ in 0..MOST_ENTRIES + 3 {
            journal.request(request());
        }
        journal.answered(2, Answered { status: Some(500), ..Answered::default() });
        journal.answered(4, Answered { status: Some(200), ..Answered::default() });
        let page = journal.page(0, 2);
        assert_eq!((page.dropped, page.next), (3, 5));
        let found: Vec<_> = page.requests.iter().map(|entry| (entry.seq, entry.status)).collect();
        assert_eq!(found, [(4, Some(200)), (5, None)]);
        let last = journal.page(u64::MAX, 10);
        assert!(last.requests.is_empty());
        assert_eq!(journal.request(request()), u64::try_from(MOST_ENTRIES).expect("small") + 4);
    }
}
