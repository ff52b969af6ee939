//! Estimates when a series of API calls finishes under the current budget, for the finish time of a preview.
//!
//! The estimate simulates the calls one by one as the budget handles them: a slot becomes free one window after the
//! answer, ordinary calls leave the reserve free, and the number of parallel calls is limited. It leaves out what
//! cannot be known, such as failures and long contacts; the later of the two finish times assumes as many retries as
//! are allowed.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::time::UtcMicros;

/// The number of rounds that add breaks starting while the calls are made. Each round only moves the end later, and few
/// breaks start in the last minutes.
const MAX_ROUNDS: usize = 4;

/// The state of the budget at one instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BudgetSlots {
    /// For each slot, the time until it is free, in ascending order. There are as many slots as calls in a window.
    pub free_after: Vec<Duration>,
    /// The time from the answer to a call until its slot is free again.
    pub window: Duration,
    /// The number of slots that these calls leave free, counting those that become free within `reserve_free_within`.
    pub reserve: usize,
    /// The time limit for `reserve`.
    pub reserve_free_within: Duration,
    /// The time from sending a call to its answer.
    pub response_time: Duration,
    /// The largest number of calls in parallel, at least one.
    pub max_parallel: usize,
    /// How often a poll takes a slot beside these calls; `None` if polls do not count.
    pub poll_every: Option<Duration>,
}

impl BudgetSlots {
    /// Returns the time until the last call is answered if all are sent as early as the budget allows; `None` for no
    /// calls.
    pub fn last_answer_after(&self, calls: usize) -> Option<Duration> {
        if calls == 0 || self.free_after.is_empty() {
            return None;
        }
        let mut free_slots: VecDeque<Duration> = self.free_after.iter().copied().collect();
        let mut under_way: VecDeque<Duration> = VecDeque::new();
        let reserve = self.reserve.min(free_slots.len() - 1);
        let (mut sent, mut answered) = (Duration::ZERO, Duration::ZERO);
        let mut next_poll = self.poll_every;
        for _ in 0..calls {
            sent = sent.max(self.next_call_at(&free_slots, reserve));
            // At most all slots, in case polls alone would use up the budget.
            for _ in 0..free_slots.len() {
                let Some((poll, interval)) = next_poll.filter(|poll| *poll <= sent).zip(self.poll_every) else { break };
                let polled = poll.max(free_slots[0]);
                self.take_slot(&mut free_slots, polled + self.response_time);
                next_poll = Some(poll + interval);
                sent = sent.max(self.next_call_at(&free_slots, reserve));
            }
            if under_way.len() >= self.max_parallel.max(1)
                && let Some(ended) = under_way.pop_front()
            {
                sent = sent.max(ended);
            }
            answered = sent + self.response_time;
            under_way.push_back(answered);
            self.take_slot(&mut free_slots, answered);
        }
        Some(answered)
    }

    /// Returns when the next call can be sent, given when each slot becomes free.
    fn next_call_at(&self, free_slots: &VecDeque<Duration>, reserve: usize) -> Duration {
        let reserve_free_at = free_slots[reserve].saturating_sub(self.reserve_free_within);
        free_slots[0].max(if reserve == 0 { Duration::ZERO } else { reserve_free_at })
    }

    /// Takes the first free slot until a window after the answer.
    fn take_slot(&self, free_slots: &mut VecDeque<Duration>, answered: Duration) {
        free_slots.pop_front();
        let free_again_at = answered + self.window;
        let insert_at = free_slots.partition_point(|at| *at <= free_again_at);
        free_slots.insert(insert_at, free_again_at);
    }
}

/// The calls of a bulk change, and the calls before and beside them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallLoad {
    /// The number of state changes.
    pub state_changes: usize,
    /// The number of queries to the platform needed before some of the changes.
    pub questions: usize,
    /// The number of queries per minute that the budget allows, at least one.
    pub questions_per_minute: usize,
    /// The number of waiting calls that go first.
    pub calls_ahead: usize,
    /// The starts of mandatory breaks whose changes also go first, in ascending order.
    pub breaks: Vec<UtcMicros>,
    /// The share of the calls that may be retried, in percent.
    pub retry_percent: usize,
    /// The number of retries per minute that are always allowed.
    pub min_retries_per_minute: usize,
}

/// The cost and finish time of a bulk change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CostEstimate {
    /// The number of calls, including queries.
    pub calls: usize,
    /// The number of queries.
    pub questions: usize,
    /// The number of calls that go first, including those for mandatory breaks that start meanwhile.
    pub ahead: usize,
    /// When the last call is answered if nothing fails; `None` if nothing is sent.
    pub finish_at: Option<UtcMicros>,
    /// When the last call is answered with as many retries as are allowed.
    pub finish_at_latest: Option<UtcMicros>,
}

/// Estimates the cost of a bulk change that starts now.
pub fn estimate_cost(slots: &BudgetSlots, load: &CallLoad, now: UtcMicros) -> CostEstimate {
    let own_calls = load.state_changes + load.questions;
    let mut cost = CostEstimate {
        calls: own_calls,
        questions: load.questions,
        ahead: load.calls_ahead,
        finish_at: None,
        finish_at_latest: None,
    };
    if load.state_changes == 0 {
        return cost;
    }
    let questions_time = Duration::from_secs(60) * div_ceil(load.questions, load.questions_per_minute.max(1));
    // The queries of the last minute need not take all of it.
    let questions_time = questions_time.saturating_sub(Duration::from_secs(60));
    let mut breaks = 0;
    let mut finish_after = None;
    for _ in 0..MAX_ROUNDS {
        finish_after =
            slots.last_answer_after(load.calls_ahead + breaks + own_calls).map(|ends| ends.max(questions_time));
        let until = now + finish_after.unwrap_or_default();
        let breaks_due = load.breaks.iter().filter(|start| **start <= until).count();
        if breaks_due == breaks {
            break;
        }
        breaks = breaks_due;
    }
    cost.ahead += breaks;
    cost.finish_at = finish_after.map(|ends| now + ends);
    let all_calls = load.calls_ahead + breaks + own_calls;
    let minutes = finish_after.map_or(0, |ends| ends.as_secs().div_ceil(60));
    let min_retries = load.min_retries_per_minute.saturating_mul(usize::try_from(minutes.max(1)).unwrap_or(usize::MAX));
    // At most one retry per call: repeated failures are a different problem from a slow finish.
    let retries = (all_calls * load.retry_percent / 100).max(min_retries).min(all_calls);
    cost.finish_at_latest =
        slots.last_answer_after(all_calls + retries).map(|answered_after| now + answered_after.max(questions_time));
    cost
}

fn div_ceil(count: usize, divisor: usize) -> u32 {
    u32::try_from(count.div_ceil(divisor)).unwrap_or(u32::MAX)
}
