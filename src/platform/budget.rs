//! The request budget: at most so many calls in any window, exact, whatever the network does between sending and arrival.
//!
//! A log, not a bucket (a bucket of 100 a minute lets 199 calls into one window). A call may arrive at any instant between its
//! sending and its answer, so its slot is taken at the sending and free again one window after the answer. Time is the clock's
//! monotonic time; a step of the wall clock changes nothing. Pure: who waits, and in what order, is the engine's business.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A call without an answer for so long is taken as answered then, so that a caller that died cannot hold a slot for ever. Far
/// beyond any request's time limit, on a clock sixty times as fast too.
pub const LONGEST_CALL: Duration = Duration::from_secs(3600);

/// How long an urgent call may have to wait for a slot; see [`Budget::new`].
pub const URGENT_PATIENCE: Duration = Duration::from_secs(2);

/// Which calls may take the last slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// Mandatory breaks and people: every free slot.
    Urgent,
    /// Everything else: leaves the reserve alone.
    Ordinary,
}

/// One call's place in the window. Hand it back to [`Budget::answered`] or [`Budget::release`].
#[must_use = "a slot that is not handed back stays taken for an hour"]
#[derive(Debug, PartialEq, Eq)]
pub struct Slot(u64);

impl Slot {
    /// The call's number, once: the slot is gone.
    fn spent(self) -> u64 {
        self.0
    }
}

/// No slot now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextAt {
    /// When one comes free, in the clock's monotonic time; none when that hangs on a call that is still under way.
    pub at: Option<Duration>,
}

/// The calls of one tenant in the last window.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    window: Duration,
    reserve: usize,
    /// Calls under way, with the time of their sending.
    open: BTreeMap<u64, Duration>,
    /// When the slots of answered calls are free again, ascending.
    free_at: VecDeque<Duration>,
    last_id: u64,
    paused_until: Duration,
}

impl Budget {
    /// `limit` calls (at least one) in any `window`, which is the platform's own plus what the clocks may differ by.
    ///
    /// Ordinary calls leave `urgent_reserve` slots: after each of them so many are free, or come free within
    /// [`URGENT_PATIENCE`]. So an urgent call never waits longer than that behind ordinary ones, and yet no slot lies idle for
    /// long while there is demand. The reserve is held below the limit, so that ordinary calls are never shut out.
    pub fn new(limit: usize, window: Duration, urgent_reserve: usize) -> Self {
        let limit = limit.max(1);
        Self {
            limit,
            window,
            reserve: urgent_reserve.min(limit - 1),
            open: BTreeMap::new(),
            free_at: VecDeque::new(),
            last_id: 0,
            paused_until: Duration::ZERO,
        }
    }

    /// One that has no slot: what an earlier run spent is not known yet.
    pub fn closed() -> Self {
        Self { paused_until: Duration::MAX, ..Self::new(1, Duration::ZERO, 0) }
    }

    /// Takes over the calls of an earlier run: for each the time since its answer, or none when it had no answer (its answer
    /// is then taken to be now).
    pub fn restore(&mut self, now: Duration, calls: impl IntoIterator<Item = Option<Duration>>) {
        for age in calls {
            self.free_later((now + self.window).saturating_sub(age.unwrap_or_default()));
        }
        self.prune(now);
    }

    /// Takes a slot for a call that is sent right after.
    pub fn try_take(&mut self, now: Duration, urgency: Urgency) -> Result<Slot, NextAt> {
        self.prune(now);
        match self.next_free(now, urgency) {
            Some(at) if at <= now => {
                self.last_id += 1;
                self.open.insert(self.last_id, now);
                Ok(Slot(self.last_id))
            }
            at => Err(NextAt { at }),
        }
    }

    /// The call was answered, failed or was given up: its slot is free one window from now.
    pub fn answered(&mut self, slot: Slot, now: Duration) {
        if self.open.remove(&slot.spent()).is_some() {
            self.free_later(now + self.window);
        }
    }

    /// The call certainly never left (see [`super::Failure::was_sent`]): its slot is free at once.
    pub fn release(&mut self, slot: Slot) {
        self.open.remove(&slot.spent());
    }

    /// The platform throttled us all the same (someone shares the tenant): nothing more before `until`.
    pub fn pause_until(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    /// How many calls may be made in any window.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Calls count for so long after their answer.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// For each slot after which time from `now` it is free, ascending; that of a call under way as if it were answered now.
    pub fn free_in(&self, now: Duration) -> Vec<Duration> {
        let paused = self.paused_until.saturating_sub(now);
        let later = self.free_at.iter().filter(|at| **at > now).map(|at| *at - now);
        let mut free: Vec<Duration> = later.chain(self.open.values().map(|_| self.window)).collect();
        free.sort_unstable();
        // A budget that was made smaller has more calls than slots: the last of them to come free are those that count.
        let surplus = free.len().saturating_sub(self.limit);
        free.drain(..surplus);
        let idle = std::iter::repeat_n(Duration::ZERO, self.limit - free.len());
        idle.chain(free).map(|free| free.max(paused)).collect()
    }

    /// How many slots are free at `now`, the reserve included.
    pub fn free(&self, now: Duration) -> usize {
        let later = self.free_at.len() - self.free_at.partition_point(|at| *at <= now);
        self.limit.saturating_sub(self.open.len() + later)
    }

    /// When a call of this urgency can be sent: `now` or earlier when it can at once, none when that hangs on a call that is
    /// still under way.
    pub fn next_free(&self, now: Duration, urgency: Urgency) -> Option<Duration> {
        let at = match urgency {
            Urgency::Urgent => self.when_free(now, 1)?,
            Urgency::Ordinary => {
                let room = self.when_free(now, self.reserve + 1)?.saturating_sub(URGENT_PATIENCE);
                self.when_free(now, 1)?.max(room)
            }
        };
        Some(at.max(self.paused_until))
    }

    /// Calls under way or answered less than a window ago.
    pub fn used(&self, now: Duration) -> usize {
        self.open.len() + self.free_at.len() - self.free_at.partition_point(|at| *at <= now)
    }

    /// When `wanted` slots are free at once, if no call under way has to be answered for it.
    fn when_free(&self, now: Duration, wanted: usize) -> Option<Duration> {
        // So many slots may be taken at that instant; those of the open calls are.
        let room = self.limit.checked_sub(wanted + self.open.len())?;
        match self.free_at.len().checked_sub(room) {
            None | Some(0) => Some(now),
            Some(ahead) => self.free_at.get(ahead - 1).copied(),
        }
    }

    fn free_later(&mut self, at: Duration) {
        let place = self.free_at.partition_point(|other| *other <= at);
        self.free_at.insert(place, at);
    }

    fn prune(&mut self, now: Duration) {
        while self.free_at.front().is_some_and(|at| *at <= now) {
            self.free_at.pop_front();
        }
        while let Some(oldest) = self.open.first_entry().filter(|call| *call.get() + LONGEST_CALL <= now) {
            let given_up = oldest.remove() + LONGEST_CALL;
            self.free_later(given_up + self.window);
        }
    }
}

#[cfg(test)]
mod tests;
