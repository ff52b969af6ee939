//! Calls within the request budget: a slot is taken, the call is recorded, and then it is sent. The slot becomes free
//! one window after the answer.

use std::sync::Arc;
use std::time::Duration;

use super::link::{BudgetKind, Link};
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::platform::budget::{NextSlot, Slot, Urgency};
use crate::platform::{Answer, Call, CallError, Failure, ListPage, read_pages};
use crate::store::{CallWrite, Commit, CommitError};

pub use crate::platform::CallKind;

/// The longest wait before the budget is checked again; slots may become free earlier than announced.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A taken slot. Dropping it without an answer (when the caller was cancelled) counts as an answer at that moment.
#[derive(Debug)]
pub struct HeldSlot {
    link: Arc<Link>,
    budget_kind: BudgetKind,
    slot: Option<Slot>,
}

impl HeldSlot {
    /// Takes a slot, or returns when one may be free.
    pub fn try_take(link: &Arc<Link>, budget_kind: BudgetKind, urgency: Urgency) -> Result<Self, NextSlot> {
        let now = link.clock.monotonic();
        let slot = link.budget_of(budget_kind).try_take(now, urgency)?;
        Ok(Self { link: link.clone(), budget_kind, slot: Some(slot) })
    }

    /// Waits for a slot.
    pub async fn take(link: &Arc<Link>, budget_kind: BudgetKind, urgency: Urgency) -> Self {
        loop {
            match Self::try_take(link, budget_kind, urgency) {
                Ok(held) => return held,
                Err(next) => {
                    let now = link.clock.monotonic();
                    let wait = next.at.map_or(Duration::from_secs(1), |at| at.saturating_sub(now));
                    link.clock.sleep(wait.clamp(Duration::from_millis(10), MAX_WAIT)).await;
                }
            }
        }
    }

    /// Frees the slot at once, because the call was never sent.
    pub fn release(mut self) {
        if let Some(slot) = self.slot.take() {
            self.link.budget_of(self.budget_kind).release(slot);
        }
    }

    /// Records the answer or failure of the call: the slot becomes free one window from now, or at once if the call was
    /// never sent.
    pub fn settle<T>(mut self, result: &Result<Answer<T>, CallError>) {
        let now = self.link.clock.monotonic();
        let Some(slot) = self.slot.take() else { return };
        let mut budget = self.link.budget_of(self.budget_kind);
        match result {
            Err(error) if !error.failure.was_sent() => budget.release(slot),
            Ok(_) | Err(_) => budget.record_answer(slot, now),
        }
        if let Err(CallError { failure: Failure::Throttled { retry_after: Some(wait) }, .. }) = result {
            budget.pause_until(now + *wait);
        }
    }
}

impl Drop for HeldSlot {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let now = self.link.clock.monotonic();
            self.link.budget_of(self.budget_kind).record_answer(slot, now);
        }
    }
}

/// Makes a call: takes a slot, records the call, sends it and records the answer.
pub async fn call_within_budget<T, F>(
    link: &Arc<Link>,
    kind: CallKind,
    urgency: Urgency,
    agent: Option<&AgentId>,
    call: F,
) -> Result<Result<Answer<T>, CallError>, CommitError>
where
    F: Future<Output = Result<Answer<T>, CallError>>,
{
    let slot = HeldSlot::take(link, BudgetKind::of(kind.name()), urgency).await;
    call_with_slot(slot, link, kind, agent, call).await
}

/// Makes a call with a slot that was already taken.
pub async fn call_with_slot<T, F>(
    slot: HeldSlot,
    link: &Arc<Link>,
    kind: CallKind,
    agent: Option<&AgentId>,
    call: F,
) -> Result<Result<Answer<T>, CallError>, CommitError>
where
    F: Future<Output = Result<Answer<T>, CallError>>,
{
    let mut row = call_row(link, kind, agent.cloned(), link.clock.now());
    let durable = link.writer.commit(Commit { calls: vec![row.clone()], ..Commit::default() }).await;
    if let Err(error) = durable {
        slot.release();
        return Err(error);
    }
    let result = call.await;
    slot.settle(&result);
    if let Ok(answer) = &result {
        link.learn_offset(answer);
    }
    record_answer(link, &mut row, link.clock.now(), &result);
    link.writer.commit(Commit { calls: vec![row], ..Commit::default() }).await?;
    Ok(result)
}

/// Reads all pages of a list, each within the budget and with a pause after it. A store that does not record a call is
/// the outer error.
pub async fn read_list_within_budget<'a, T: PartialEq + Send>(
    link: &'a Arc<Link>,
    kind: CallKind,
    pause: Duration,
    page_from: impl Fn(usize) -> Call<'a, ListPage<T>>,
) -> anyhow::Result<Result<ListPage<T>, CallError>> {
    let read = read_pages(|skip| {
        let call = page_from(skip);
        async {
            let read = call_within_budget(link, kind, Urgency::Ordinary, None, call).await;
            link.clock.sleep(pause).await;
            match read {
                Ok(Ok(answer)) => Ok(answer.value),
                Ok(Err(error)) => Err(Ok(error)),
                Err(error) => Err(Err(error)),
            }
        }
    });
    match read.await {
        Ok(list) => Ok(Ok(list)),
        Err(Ok(error)) => Ok(Err(error)),
        Err(Err(error)) => Err(error.into()),
    }
}

/// Returns the call log's row for a call that is about to be made.
pub fn call_row(link: &Link, kind: CallKind, agent: Option<AgentId>, now: UtcMicros) -> CallWrite {
    CallWrite {
        tenant: link.tenant.clone(),
        id: link.random.time_ordered_id(now),
        kind: kind.name().into(),
        agent,
        transition: None,
        attempt: None,
        sent_at: now,
        answered_at: None,
        outcome: None,
        status_code: None,
        latency_ms: None,
        error: None,
        steady_us: steady_us(link),
        host_start: link.clock.host_start(),
    }
}

/// Returns the time since the host's start, in microseconds.
fn steady_us(link: &Link) -> Option<u64> {
    link.clock.steady().and_then(|since| u64::try_from(since.as_micros()).ok())
}

/// Writes an answer or failure into the row of its call.
pub fn record_answer<T>(
    link: &Link,
    row: &mut CallWrite,
    answered_at: UtcMicros,
    result: &Result<Answer<T>, CallError>,
) {
    (row.answered_at, row.steady_us) = (Some(answered_at), steady_us(link));
    match result {
        Ok(answer) => {
            row.outcome = Some("ok".into());
            row.latency_ms = Some(real_millis(answer.latency));
        }
        Err(error) => {
            row.outcome = Some(error.failure.class().into());
            row.error = Some(error.to_string());
        }
    }
}

/// Returns a duration in whole milliseconds.
pub fn real_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
