//! Calls under the request budget: a slot is taken, the call is durable, then it leaves; its answer frees the slot a window
//! later.

use std::sync::Arc;
use std::time::Duration;

use super::link::Link;
use crate::domain::ids::AgentId;
use crate::domain::time::UtcMicros;
use crate::platform::budget::{NextAt, Slot, Urgency};
use crate::platform::{Answer, CallError, Failure};
use crate::store::{CallWrite, Commit, CommitError};

pub use crate::platform::CallKind;

/// The longest wait before the budget is asked again; slots may come free earlier than announced.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Which budget a call counts against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purse {
    /// The one of ordinary requests.
    Ordinary,
    /// The one of figures and aggregation queries.
    Reporting,
}

impl Purse {
    /// The one of a call by its name in the log of calls.
    pub fn of(kind: &str) -> Self {
        let mut reporting = CallKind::FIGURES.iter().chain(&CallKind::ANALYTICS);
        if reporting.any(|known| known.name() == kind) { Self::Reporting } else { Self::Ordinary }
    }
}

/// A taken slot. Dropped unanswered (the caller was cancelled), it counts as answered at that moment.
#[derive(Debug)]
pub struct HeldSlot {
    link: Arc<Link>,
    purse: Purse,
    slot: Option<Slot>,
}

impl HeldSlot {
    /// Takes a slot, or says when one may be free.
    pub fn try_take(link: &Arc<Link>, purse: Purse, urgency: Urgency) -> Result<Self, NextAt> {
        let now = link.clock.monotonic();
        let slot = link.budget_of(purse).try_take(now, urgency)?;
        Ok(Self { link: link.clone(), purse, slot: Some(slot) })
    }

    /// Waits for a slot.
    pub async fn take(link: &Arc<Link>, purse: Purse, urgency: Urgency) -> Self {
        loop {
            match Self::try_take(link, purse, urgency) {
                Ok(held) => return held,
                Err(next) => {
                    let now = link.clock.monotonic();
                    let wait = next.at.map_or(Duration::from_secs(1), |at| at.saturating_sub(now));
                    link.clock.sleep(wait.clamp(Duration::from_millis(10), LONGEST_WAIT)).await;
                }
            }
        }
    }

    /// The call never left: the slot is free at once.
    pub fn release(mut self) {
        if let Some(slot) = self.slot.take() {
            self.link.budget_of(self.purse).release(slot);
        }
    }

    /// The call was answered, or failed: the slot is free a window from now, or at once when the call never left.
    pub fn settle<T>(mut self, result: &Result<Answer<T>, CallError>) {
        let now = self.link.clock.monotonic();
        let Some(slot) = self.slot.take() else { return };
        let mut budget = self.link.budget_of(self.purse);
        match result {
            Err(error) if !error.failure.was_sent() => budget.release(slot),
            Ok(_) | Err(_) => budget.answered(slot, now),
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
            self.link.budget_of(self.purse).answered(slot, now);
        }
    }
}

/// A read or a subscription: takes a slot, makes the call durable, makes it, records the answer.
pub async fn budgeted<T, F>(
    link: &Arc<Link>,
    kind: CallKind,
    urgency: Urgency,
    agent: Option<&AgentId>,
    call: F,
) -> Result<Result<Answer<T>, CallError>, CommitError>
where
    F: Future<Output = Result<Answer<T>, CallError>>,
{
    let slot = HeldSlot::take(link, Purse::of(kind.name()), urgency).await;
    within(slot, link, kind, agent, call).await
}

/// The same with a slot that is taken already.
pub async fn within<T, F>(
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
    note_answer(link, &mut row, link.clock.now(), &result);
    link.writer.commit(Commit { calls: vec![row], ..Commit::default() }).await?;
    Ok(result)
}

/// A call that is about to be made, for the log of calls.
pub fn call_row(link: &Link, kind: CallKind, agent: Option<AgentId>, now: UtcMicros) -> CallWrite {
    CallWrite {
        tenant: link.tenant.clone(),
        id: link.random.id_at(now),
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

/// Now, in microseconds since the host's start.
fn steady_us(link: &Link) -> Option<u64> {
    link.clock.steady().and_then(|since| u64::try_from(since.as_micros()).ok())
}

/// Writes an answer, or what came instead of one, into the row of its call.
pub fn note_answer<T>(link: &Link, row: &mut CallWrite, answered_at: UtcMicros, result: &Result<Answer<T>, CallError>) {
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

/// A span in whole milliseconds.
pub fn real_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
