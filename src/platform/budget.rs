//! The request budget: an exact limit of calls in any window, whatever the network does between sending and arrival.
//!
//! It is a log and not a token bucket, since a bucket of 100 a minute lets 199 calls into one window. A call may arrive
//! at any instant between its sending and its answer, so its slot is taken at the sending and freed one window after
//! the answer. Times are the clock's monotonic time, unaffected by changes of the wall clock. The module does no I/O;
//! the engine decides who waits and in what order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A call without an answer counts as answered after this time, so that a caller that died cannot hold a slot for ever.
/// Far beyond any request's time limit, even on a clock sixty times as fast.
pub const MAX_CALL: Duration = Duration::from_secs(3600);

/// The longest time that an urgent call may have to wait for a slot; see [`Budget::new`].
pub const URGENT_MAX_WAIT: Duration = Duration::from_secs(2);

/// Whether a call may take the reserved slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// Polls of agents' states, which may take every free slot: all decisions rest on them.
    Poll,
    /// Mandatory breaks and people's changes, which leave only the polls' reserve free.
    Urgent,
    /// Everything else, which leaves the reserve free.
    Ordinary,
}

/// One call's place in the window. Return it with [`Budget::record_answer`] or [`Budget::release`].
#[must_use = "a slot that is not handed back stays taken for an hour"]
#[derive(Debug, PartialEq, Eq)]
pub struct Slot(u64);

impl Slot {
    /// Consumes the slot and returns the call's number.
    fn into_id(self) -> u64 {
        self.0
    }
}

/// The error when no slot is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextSlot {
    /// When a slot becomes free, in the clock's monotonic time. `None` if that depends on a call in flight.
    pub at: Option<Duration>,
}

/// The calls of one tenant in the last window.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    window: Duration,
    reserve: usize,
    /// The part of `reserve` that only polls may take.
    poll_reserve: usize,
    /// Calls in flight, with the time of their sending.
    in_flight: BTreeMap<u64, Duration>,
    /// When the slots of answered calls become free, in ascending order.
    free_at: VecDeque<Duration>,
    last_id: u64,
    paused_until: Duration,
}

impl Budget {
    /// Creates a budget of `limit` calls (at least one) in any `window`, which is the platform's own window plus the
    /// possible difference of the clocks.
    ///
    /// Ordinary calls leave `urgent_reserve` slots: after each of them, that many are free or become free within
    /// [`URGENT_MAX_WAIT`]. So an urgent call never waits longer than that because of ordinary ones, and no slot stays
    /// idle for long while there is demand. The reserve is kept below the limit, so that ordinary calls are never shut
    /// out.
    pub fn new(limit: usize, window: Duration, urgent_reserve: usize) -> Self {
        let limit = limit.max(1);
        Self {
            limit,
            window,
            reserve: urgent_reserve.min(limit - 1),
            poll_reserve: 0,
            in_flight: BTreeMap::new(),
            free_at: VecDeque::new(),
            last_id: 0,
            paused_until: Duration::ZERO,
        }
    }

    /// Reserves `slots` more for polls, which then never wait longer than [`URGENT_MAX_WAIT`] because of other calls.
    #[must_use]
    pub fn with_poll_reserve(mut self, slots: usize) -> Self {
        let total = (self.reserve + slots).min(self.limit - 1);
        (self.poll_reserve, self.reserve) = (slots.min(total), total);
        self
    }

    /// Returns a budget without slots, for use until the calls of an earlier run are known.
    pub fn closed() -> Self {
        Self { paused_until: Duration::MAX, ..Self::new(1, Duration::ZERO, 0) }
    }

    /// Adds the calls of an earlier run. Each item is the time since the call's answer, or `None` for a call without
    /// one, which counts as answered now.
    pub fn restore(&mut self, now: Duration, calls: impl IntoIterator<Item = Option<Duration>>) {
        for age in calls {
            self.add_release((now + self.window).saturating_sub(age.unwrap_or_default()));
        }
        self.prune(now);
    }

    /// Takes a slot for a call that is sent right afterwards, or returns when the next one is free.
    pub fn try_take(&mut self, now: Duration, urgency: Urgency) -> Result<Slot, NextSlot> {
        self.prune(now);
        match self.next_free(now, urgency) {
            Some(at) if at <= now => {
                self.last_id += 1;
                self.in_flight.insert(self.last_id, now);
                Ok(Slot(self.last_id))
            }
            at => Err(NextSlot { at }),
        }
    }

    /// Records that the call was answered, failed or was given up. Its slot becomes free one window from now.
    pub fn record_answer(&mut self, slot: Slot, now: Duration) {
        if self.in_flight.remove(&slot.into_id()).is_some() {
            self.add_release(now + self.window);
        }
    }

    /// Records that the call certainly was not sent (see [`super::Failure::was_sent`]). Its slot is free at once.
    pub fn release(&mut self, slot: Slot) {
        self.in_flight.remove(&slot.into_id());
    }

    /// Allows no calls before `until`, because the platform throttled the tenant despite the budget (another client
    /// shares it).
    pub fn pause_until(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    /// Returns the number of calls allowed in any window.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Returns how long a call counts after its answer.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// Returns the time from `now` until each slot is free, in ascending order. A call in flight counts as if it were
    /// answered now.
    pub fn slot_waits(&self, now: Duration) -> Vec<Duration> {
        let paused = self.paused_until.saturating_sub(now);
        let later = self.free_at.iter().filter(|at| **at > now).map(|at| at.saturating_sub(now));
        let mut free: Vec<Duration> = later.chain(self.in_flight.values().map(|_| self.window)).collect();
        free.sort_unstable();
        // A budget that was made smaller has more calls than slots: only those that become free last count.
        let surplus = free.len().saturating_sub(self.limit);
        free.drain(..surplus);
        let idle = std::iter::repeat_n(Duration::ZERO, self.limit - free.len());
        idle.chain(free).map(|free| free.max(paused)).collect()
    }

    /// Returns how many slots are free at `now`, including the reserve.
    pub fn free_slots(&self, now: Duration) -> usize {
        let later = self.free_at.len() - self.free_at.partition_point(|at| *at <= now);
        self.limit.saturating_sub(self.in_flight.len() + later)
    }

    /// Returns when a call of this urgency can be sent: `now` or earlier if it can be sent at once, and `None` if that
    /// depends on a call in flight.
    pub fn next_free(&self, now: Duration, urgency: Urgency) -> Option<Duration> {
        let at = match urgency {
            Urgency::Poll => self.next_free_for(now, 1)?,
            Urgency::Urgent => self.next_free_beside(now, self.poll_reserve)?,
            Urgency::Ordinary => self.next_free_beside(now, self.reserve)?,
        };
        Some(at.max(self.paused_until))
    }

    /// Returns the number of calls in flight or answered less than a window ago.
    pub fn used_slots(&self, now: Duration) -> usize {
        self.in_flight.len() + self.free_at.len() - self.free_at.partition_point(|at| *at <= now)
    }

    /// Returns when a slot is free while `reserve` further ones are free or become free within [`URGENT_MAX_WAIT`].
    fn next_free_beside(&self, now: Duration, reserve: usize) -> Option<Duration> {
        let one = self.next_free_for(now, 1)?;
        if reserve == 0 {
            return Some(one);
        }
        Some(one.max(self.next_free_for(now, reserve + 1)?.saturating_sub(URGENT_MAX_WAIT)))
    }

    /// Returns when `slots` slots are free at the same time, if that needs no answer to a call in flight.
    fn next_free_for(&self, now: Duration, slots: usize) -> Option<Duration> {
        // The number of slots that may still be occupied at that instant, apart from those of calls in flight.
        let room = self.limit.checked_sub(slots + self.in_flight.len())?;
        match self.free_at.len().checked_sub(room) {
            None | Some(0) => Some(now),
            Some(ahead) => self.free_at.get(ahead - 1).copied(),
        }
    }

    fn add_release(&mut self, at: Duration) {
        let place = self.free_at.partition_point(|other| *other <= at);
        self.free_at.insert(place, at);
    }

    fn prune(&mut self, now: Duration) {
        while self.free_at.front().is_some_and(|at| *at <= now) {
            self.free_at.pop_front();
        }
        while let Some(oldest) = self.in_flight.first_entry().filter(|call| *call.get() + MAX_CALL <= now) {
            let given_up = oldest.remove() + MAX_CALL;
            self.add_release(given_up + self.window);
        }
    }
}

#[cfg(test)]
mod tests;
