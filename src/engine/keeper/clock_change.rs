//! Adjusts the keeper's instants when the wall clock is set, so that every age and waiting time stays as it was. Sleep
//! of the host is no such change, because that time has really passed.
//!
//! The new clock is trusted even if it is wrong: plans and later events use it. Monotonic times (budget, breaker,
//! token) need no adjustment.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::pass::Pass;
use super::state::Keeper;
use crate::domain::agents::agent::{ObservationSource, ObservedState};
use crate::domain::agents::roster::memory::AutomationMemory;
use crate::domain::agents::roster::{AgentIndex, AgentRecord};
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus};
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;
use crate::engine::keeper_message::SnapshotObservation;
use crate::platform::AgentObservation;
use crate::store::CallWrite;

/// A smaller difference is clock discipline or a busy host, not a clock change.
const MIN_CLOCK_CHANGE_US: u64 = 2_000_000;

/// How many calls to search for one of this boot of the host; calls of other boots may lie in between.
const MAX_CALLS_CHECKED: usize = 16;

/// The largest number of later calls to examine; with more, the clock counts as possibly changed.
const MAX_CALLS_BETWEEN: usize = 1000;

/// A shorter sleep of the host counts as a late pass, in real time.
const MIN_HOST_SLEEP_REAL: Duration = Duration::from_secs(2);

impl Keeper {
    /// Detects a clock change before a pass, and commits the adjustments separately.
    pub(super) async fn check_clock(&mut self) -> anyhow::Result<()> {
        self.check_host_sleep();
        let Some(ahead_us) = self.link.clock.wall_minus_steady() else { return Ok(()) };
        let Some(before_us) = self.ahead_of_steady_us.replace(ahead_us) else { return Ok(()) };
        let offset_us = ahead_us.saturating_sub(before_us);
        if !is_clock_change(offset_us) {
            return Ok(());
        }
        let mut pass = Pass::new(self.link.clock.now());
        self.report_clock_change(&mut pass, offset_us, "while the daemon ran");
        for id in self.open_transitions.iter().map(|open| open.transition.id).collect::<Vec<_>>() {
            self.shift_transition(&mut pass, id, |transition| {
                // A person's deadline is a duration; a rule's follows the plan, which uses the clock.
                let deadline = match transition.actor {
                    Actor::Person { .. } | Actor::Daemon => transition.deadline.offset(offset_us),
                    Actor::Rule { .. } => transition.deadline,
                };
                let requested_at = transition.requested_at.offset(offset_us);
                let status = transition.status.clone().adjusted_for_clock_change(offset_us);
                Transition { requested_at, deadline, status, ..transition }
            });
        }
        for index in self.roster.iter().map(|(index, _)| index).collect::<Vec<_>>() {
            self.shift_interval(&mut pass, index, offset_us, None).await?;
            let tracking = &mut self.agent_tracking[index.position()];
            tracking.doubted_row = None;
            if let Some(row) = &mut tracking.latest_row {
                row.generated_at = row.generated_at.offset(offset_us);
                row.changed_at = row.changed_at.map(|at| at.offset(offset_us));
            }
        }
        self.roster.adjust_for_clock_change(offset_us, pass.now);
        self.link.figures.send_modify(|figures| Arc::make_mut(figures).adjust_for_clock_change(offset_us, pass.now));
        for (index, _) in self.roster.iter() {
            self.mark_all_memory_changed(&mut pass, index);
        }
        for change in self.automatic_changes.values_mut() {
            change.set_at = change.set_at.offset(offset_us);
        }
        self.newest_observations.clear();
        self.held_feed.clear();
        (self.observing_since, self.started_at, self.plans_read_at) = (pass.now, pass.now, UtcMicros::EPOCH);
        self.commit(&mut pass).await
    }

    /// Detects, while loading, a clock change that happened when no keeper was running. Each attempt was recorded with
    /// the host's steady time, which gives its instant by the current clock unless the host has rebooted.
    pub(super) async fn check_clock_since_attempts(&mut self, pass: &mut Pass) -> anyhow::Result<()> {
        (self.ahead_of_steady_us, self.total_host_sleep) =
            (self.link.clock.wall_minus_steady(), self.measure_host_sleep());
        let sent = self.open_transitions.iter().filter(|open| open.transition.attempts > 0);
        let sent = sent.map(|open| (open.transition.id, open.transition.status.clone()));
        let mut offsets: Vec<(TransitionId, i64)> = Vec::new();
        for (id, status) in sent.collect::<Vec<_>>() {
            let attempts = self.link.reader.attempts(&self.link.tenant, id).await?;
            let last_attempt = attempts.iter().filter(|call| call.steady_us.is_some()).max_by_key(|call| call.attempt);
            let remaining_us = last_attempt
                .and_then(|call| Some(remaining_offset(&status, call, self.clock_change_since(call)?, pass.now)));
            offsets.extend(remaining_us.map(|by_us| (id, by_us)));
        }
        offsets.retain(|(_, by_us)| is_clock_change(*by_us));
        let Some(offset_us) = offsets.iter().map(|(_, offset_us)| *offset_us).max_by_key(|by_us| by_us.unsigned_abs())
        else {
            return Ok(());
        };
        self.report_clock_change(pass, offset_us, "after changes were sent that are still open");
        for (id, by_us) in offsets {
            self.shift_transition(pass, id, |transition| Transition {
                status: transition.status.clone().adjusted_for_clock_change(by_us),
                ..transition
            });
        }
        Ok(())
    }

    /// Returns how far our clock was set since a call, in microseconds, by steady time; `None` if steady time cannot
    /// tell.
    fn clock_change_since(&self, call: &CallWrite) -> Option<i64> {
        let (ahead_us, steady) = (self.ahead_of_steady_us?, self.link.clock.steady()?);
        let then_us = call.steady_us.filter(|us| Duration::from_micros(*us) <= steady)?;
        let current_us = ahead_us.saturating_add(i64::try_from(then_us).unwrap_or(i64::MAX));
        let recorded_us = call.answered_at.unwrap_or(call.sent_at).as_micros();
        (call.host_start == self.link.clock.host_start()).then(|| current_us.saturating_sub(recorded_us))
    }

    /// Returns whether a call from before `steady_us` shows that our clock has not been set since then.
    async fn is_clock_unchanged_since(&mut self, steady_us: i64) -> anyhow::Result<bool> {
        if self.clock_unchanged_since_us.is_some_and(|since| since <= steady_us) {
            return Ok(true);
        }
        let Ok(before) = u64::try_from(steady_us) else { return Ok(false) };
        let calls = self.link.reader.steady_calls(&self.link.tenant, (0, before), MAX_CALLS_CHECKED).await?;
        let of_this_start = calls.iter().find_map(|call| Some((call.steady_us?, self.clock_change_since(call)?)));
        let is_unchanged = |by_us: i64| !is_clock_change(by_us);
        let Some((since_us, _)) = of_this_start.filter(|(_, by_us)| is_unchanged(*by_us)) else { return Ok(false) };
        // The clock may have been set and set back in the meantime.
        let later = self.link.reader.steady_calls(&self.link.tenant, (since_us, u64::MAX), MAX_CALLS_BETWEEN).await?;
        let is_unchanged_since = later.len() < MAX_CALLS_BETWEEN
            && later.iter().filter_map(|call| self.clock_change_since(call)).all(is_unchanged);
        if is_unchanged_since {
            self.clock_unchanged_since_us = i64::try_from(since_us).ok();
        }
        Ok(is_unchanged_since)
    }

    fn report_clock_change(&self, pass: &mut Pass, offset_us: i64, since: &'static str) {
        let by_ms = offset_us / 1000;
        tracing::warn!(tenant = %self.link.tenant, by_ms, now = %pass.now,
            "the wall clock was set {} {since}; waiting times do not change",
            if offset_us < 0 { "back" } else { "forward" });
        self.audit_tenant(pass, "clock.set", json!({"by_ms": by_ms, "since": since}));
    }

    fn shift_transition(&mut self, pass: &mut Pass, id: TransitionId, shift: impl Fn(Transition) -> Transition) {
        if let Some(transition) = self.open_transitions.replace(id, shift) {
            pass.save_row(transition);
        }
    }

    /// Returns a value that grows by the time for which the host sleeps.
    fn measure_host_sleep(&self) -> Option<Duration> {
        let monotonic = self.link.clock.monotonic();
        self.link.clock.steady().map(|steady| steady.saturating_sub(monotonic))
    }

    /// Restarts the observation timeouts after the host slept: no snapshot could arrive, so none is overdue.
    fn check_host_sleep(&mut self) {
        let Some(total_sleep) = self.measure_host_sleep() else { return };
        let sleep = self
            .total_host_sleep
            .replace(total_sleep)
            .map_or(Duration::ZERO, |before| total_sleep.saturating_sub(before));
        if sleep < self.link.clock.scale_real(MIN_HOST_SLEEP_REAL) {
            return;
        }
        let now = self.link.clock.now();
        tracing::warn!(tenant = %self.link.tenant, slept_ms = sleep.as_millis(), %now,
            "the host slept; automation waits for fresh observations, and changes in progress are read back");
        (self.observing_since, self.started_at, self.plans_read_at) = (now, now, UtcMicros::EPOCH);
    }

    /// Realigns stored state intervals before the first observation of an agent since the load, since the clock may
    /// have been set after they were stored. The platform's own instant of the interval tells by how much.
    pub(super) async fn realign_intervals(
        &mut self,
        pass: &mut Pass,
        observation: &SnapshotObservation,
    ) -> anyhow::Result<()> {
        for observed in &observation.changed {
            let Some(index) = self.roster.find(observed.agent.as_str()) else { continue };
            if self.agent_tracking[index.position()].latest_row.is_some() {
                continue;
            }
            let by_us = match self.clock_change_since_stored(index, observed, observation.offset_us) {
                Some((entered_at, by_us)) if !self.is_platform_clock_changed(entered_at, by_us).await? => by_us,
                Some(_) | None => 0,
            };
            if by_us != 0 {
                let accepted_at = self.estimate_accepted_at(index);
                self.shift_interval(pass, index, by_us, accepted_at).await?;
                self.mark_all_memory_changed(pass, index);
            }
            self.roster.adjust_agent_for_clock_change(index, by_us, pass.now);
        }
        Ok(())
    }

    /// Returns whether the platform's clock was set rather than ours since an interval began at `entered_at`, judging
    /// by steady time.
    async fn is_platform_clock_changed(&mut self, entered_at: UtcMicros, offset_us: i64) -> anyhow::Result<bool> {
        let Some(ahead_us) = self.ahead_of_steady_us else { return Ok(false) };
        let steady_us = entered_at.as_micros().saturating_sub(ahead_us);
        // If our clock had been set, `entered_at` would be by the clock before that.
        self.is_clock_unchanged_since(steady_us.min(steady_us.saturating_add(offset_us))).await
    }

    /// Returns how far our clock seems to have been set since the agent's interval was stored, and the interval's
    /// stored start; `None` if it was not set or nobody can tell.
    fn clock_change_since_stored(
        &self,
        index: AgentIndex,
        observed: &AgentObservation,
        offset_us: i64,
    ) -> Option<(UtcMicros, i64)> {
        let known = self.roster.get(index)?.observed()?;
        if self.agent_tracking[index.position()].is_reported_by_feed {
            return None;
        }
        // An estimate has no platform instant; the interval before it is off by as much.
        let mut intervals =
            [Some(known), self.agent_tracking[index.position()].before_estimate.as_ref()].into_iter().flatten();
        let (interval, platform_at) = intervals.find_map(|interval| Some((interval, interval.platform_entered_at?)))?;
        let off_us = |platform_at: UtcMicros| {
            platform_at.offset(-offset_us).as_micros().saturating_sub(interval.entered_at.as_micros())
        };
        // A platform that shifts its instants with its clock shows the same interval with a shifted instant.
        let is_as_stored = observed.changed_at.is_some_and(|at| !is_clock_change(off_us(at)));
        let change_us = off_us(platform_at);
        let is_set = is_clock_change(change_us) && !(is_as_stored && observed.state == interval.state);
        is_set.then_some((interval.entered_at, change_us))
    }

    /// Marks the memory of all rules for an agent to be stored again.
    fn mark_all_memory_changed(&self, pass: &mut Pass, index: AgentIndex) {
        for rule in
            self.roster.get(index).and_then(AgentRecord::memory).into_iter().flat_map(AutomationMemory::acting_rules)
        {
            pass.mark_memory_changed(index, rule);
        }
    }

    /// Returns when the change behind the current estimate was accepted, by the current clock; the estimate itself may
    /// be from before or after the clock change.
    fn estimate_accepted_at(&self, index: AgentIndex) -> Option<UtcMicros> {
        let estimate = self.roster.get(index)?.observed().filter(|known| known.source == ObservationSource::Post)?;
        let TransitionStatus::Accepted { at } = self.open_transitions.get(estimate.transition?)?.transition.status
        else {
            return None;
        };
        Some(at)
    }

    /// Moves the start of the current interval to `since`, or keeps its age. The history row moves along, but not to
    /// before the previous row.
    async fn shift_interval(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        offset_us: i64,
        since: Option<UtcMicros>,
    ) -> anyhow::Result<()> {
        if let Some(before) = &mut self.agent_tracking[index.position()].before_estimate {
            before.entered_at = before.entered_at.offset(offset_us);
        }
        let Some(slot) = self.roster.get(index) else { return Ok(()) };
        let (agent, observed_at) = (slot.id().clone(), slot.last_observed_at());
        let Some(known) = slot.observed().cloned() else { return Ok(()) };
        let entered_at = since.unwrap_or_else(|| known.entered_at.offset(offset_us));
        let mut shifted = ObservedState { entered_at, history_at: entered_at, ..known.clone() };
        if shifted.history_at < known.history_at {
            let just_before = (known.history_at.offset(-1), known.history_at);
            let before = self.link.reader.agent_history(&self.link.tenant, &agent, just_before, None, 1).await?;
            let before = before.first().map(|stored| stored.row.entered_at).filter(|at| *at < known.history_at);
            shifted.history_at = before.map_or(entered_at, |before| entered_at.max(before.offset(1)));
        }
        pass.commit.history.push(self.history_retiming(&agent, known.history_at, &shifted));
        self.roster.record_observation(index, shifted, observed_at.unwrap_or(UtcMicros::EPOCH));
        Ok(())
    }
}

/// Returns whether a difference is more than clock discipline or a busy host.
const fn is_clock_change(by_us: i64) -> bool {
    by_us.unsigned_abs() >= MIN_CLOCK_CHANGE_US
}

/// Returns by how much the instants of a change still have to be moved if the clock was set by `offset_us` since its
/// last attempt. The previous keeper may have moved them already, and the attempt keeps its recorded instants.
fn remaining_offset(status: &TransitionStatus, last_attempt: &CallWrite, offset_us: i64, now: UtcMicros) -> i64 {
    // What waits has no instant of its attempt.
    let Some(current_at) = status.sent_at() else { return offset_us };
    let recorded_at = match last_attempt.answered_at {
        Some(answered_at) if !status.is_in_flight() => answered_at,
        _ => last_attempt.sent_at,
    };
    let remaining_us = recorded_at.offset(offset_us).as_micros().saturating_sub(current_at.as_micros());
    // An instant after the answer, but not in the future, may only mean that the answer was handled late.
    let was_handled_late =
        !status.is_in_flight() && !is_clock_change(offset_us) && remaining_us < 0 && current_at <= now;
    if was_handled_late { 0 } else { remaining_us }
}
