//! When a row of calls is done, by the budget as it stands: the honest finish time of a preview.
//!
//! It goes through the calls one by one as the budget itself will: a slot is free again one window after the answer, ordinary calls
//! leave the reserve alone, only so many are under way at once. What nobody can know (failures, contacts that last) is not in it; the
//! later of two times reckons with as many retries as the allowance lets through.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::time::UtcMicros;

/// Rounds over the breaks that begin while the calls go: each only makes it later, and few begin in the last minutes.
const ROUNDS: usize = 4;

/// The budget at an instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slots {
    /// For each slot of the budget after which time it is free, ascending; as many as calls in a window.
    pub free_in: Vec<Duration>,
    /// A slot is free again so long after its answer.
    pub window: Duration,
    /// Slots that these calls leave free, or that come free within `patience`.
    pub reserve: usize,
    /// See `reserve`.
    pub patience: Duration,
    /// From the sending to the answer.
    pub answer_in: Duration,
    /// Calls under way at once, at least one.
    pub parallel: usize,
}

impl Slots {
    /// When the last of so many calls, sent as early as the budget allows, is answered; none for no calls.
    pub fn last_answer(&self, calls: usize) -> Option<Duration> {
        if calls == 0 || self.free_in.is_empty() {
            return None;
        }
        let mut free: VecDeque<Duration> = self.free_in.iter().copied().collect();
        let mut under_way: VecDeque<Duration> = VecDeque::new();
        let reserve = self.reserve.min(free.len() - 1);
        let (mut sent, mut answered) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..calls {
            let leaves_reserve = free[reserve].saturating_sub(self.patience);
            sent = sent.max(free[0]).max(if reserve == 0 { Duration::ZERO } else { leaves_reserve });
            if under_way.len() >= self.parallel.max(1)
                && let Some(ended) = under_way.pop_front()
            {
                sent = sent.max(ended);
            }
            answered = sent + self.answer_in;
            under_way.push_back(answered);
            free.pop_front();
            let again = answered + self.window;
            let place = free.partition_point(|at| *at <= again);
            free.insert(place, again);
        }
        Some(answered)
    }
}

/// What stands before and beside the calls of a set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// State changes of the set.
    pub posts: usize,
    /// Questions that the platform is asked before some of them.
    pub questions: usize,
    /// Questions a minute that the budget allows; at least one.
    pub questions_per_minute: usize,
    /// Calls that wait and go first.
    pub ahead: usize,
    /// Starts of mandatory breaks whose changes go first as well, ascending.
    pub breaks: Vec<UtcMicros>,
    /// Retries may take this share of the calls, in percent.
    pub retry_percent: usize,
    /// Retries a minute that are always allowed.
    pub retries_at_least: usize,
}

/// What a set costs and when it is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Calls, questions included.
    pub calls: usize,
    /// Questions alone.
    pub questions: usize,
    /// Calls that go first, with those of mandatory breaks that begin meanwhile.
    pub ahead: usize,
    /// When the last call is answered if nothing fails; none where nothing is sent.
    pub finish_at: Option<UtcMicros>,
    /// The same with as many retries as are allowed.
    pub finish_at_latest: Option<UtcMicros>,
}

/// Reckons what a set costs from now on.
pub fn cost(slots: &Slots, load: &Load, now: UtcMicros) -> Cost {
    let own = load.posts + load.questions;
    let mut cost =
        Cost { calls: own, questions: load.questions, ahead: load.ahead, finish_at: None, finish_at_latest: None };
    if load.posts == 0 {
        return cost;
    }
    let asked = Duration::from_secs(60) * div_ceil(load.questions, load.questions_per_minute.max(1));
    // The last minute's questions need not use it up.
    let asked = asked.saturating_sub(Duration::from_secs(60));
    let mut breaks = 0;
    let mut ends = None;
    for _ in 0..ROUNDS {
        ends = slots.last_answer(load.ahead + breaks + own).map(|ends| ends.max(asked));
        let until = now + ends.unwrap_or_default();
        let due = load.breaks.iter().filter(|start| **start <= until).count();
        if due == breaks {
            break;
        }
        breaks = due;
    }
    cost.ahead += breaks;
    cost.finish_at = ends.map(|ends| now + ends);
    let all = load.ahead + breaks + own;
    let minutes = ends.map_or(0, |ends| ends.as_secs().div_ceil(60));
    let at_least = load.retries_at_least.saturating_mul(usize::try_from(minutes.max(1)).unwrap_or(usize::MAX));
    // No more than every call once more: what fails again and again is another matter than a slow finish.
    let retries = (all * load.retry_percent / 100).max(at_least).min(all);
    cost.finish_at_latest = slots.last_answer(all + retries).map(|ends| now + ends.max(asked));
    cost
}

fn div_ceil(count: usize, by: usize) -> u32 {
    u32::try_from(count.div_ceil(by)).unwrap_or(u32::MAX)
}
