//! Handles snapshots: merges observations. Nothing here queries the platform.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use serde_json::json;

use crate::domain::agents::agent::{Agent, ObservationSource, ObservedState};
use crate::domain::agents::merge::{
    KnownState, MAX_CONTRADICTIONS, MergeResult, SAME_CHANGE_WINDOW, SnapshotRow, merge_snapshot,
    recover_intermediate_state,
};
use crate::domain::agents::roster::{AgentIndex, AgentRecord};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::transition::{Actor, Transition, TransitionStep};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::rules::planner::is_reversal;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AgentReversedChange, PictureStale, SnapshotOversize, SubscriptionNearExpiry};
use crate::engine::keeper::changes::open_transitions::OpenTransition;
use crate::engine::keeper::changes::settle::{began_with_change, observable_from};
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::rules::NewFinding;
use crate::engine::keeper::state::Keeper;
use crate::engine::keeper_message::{SnapshotObservation, SubscriptionNotice};
use crate::engine::platform::calls::real_millis;
use crate::platform::AgentObservation;
use crate::store::{AgentWrite, FindingKind, HistoryWrite};

/// The longest delay of a feed message, in real time; [`SAME_CHANGE_WINDOW`] on our clock applies if it is longer.
const MAX_FEED_DELAY_REAL: Duration = Duration::from_millis(500);

impl Keeper {
    /// Applies one snapshot.
    pub(in crate::engine::keeper) fn apply_observation(
        &mut self,
        pass: &mut Pass,
        mut observation: SnapshotObservation,
    ) {
        // It was generated before now; a later instant means that the clock was set back in between.
        observation.generated_at = observation.generated_at.min(pass.now);
        let absent: HashSet<&AgentId> = observation.absent.iter().collect();
        let mut to_check: BTreeSet<AgentIndex> = BTreeSet::new();
        for observed in observation.changed {
            let Some(index) = self.roster.find(observed.agent.as_str()) else { continue };
            self.update_identity(pass, index, &observed);
            let row = SnapshotRow {
                state: observed.state,
                reason: observed.reason,
                queue: observed.queue,
                changed_at: observed.changed_at.map(|at| at.offset(-observation.offset_us)),
                platform_changed_at: observed.changed_at,
                generated_at: observation.generated_at,
            };
            let tracking = &mut self.agent_tracking[index.position()];
            (tracking.latest_row, tracking.missed_snapshots) = (Some(row), None);
            to_check.insert(index);
        }
        for agent in observation.agents.iter().filter(|agent| !absent.contains(agent)) {
            let Some(index) = self.roster.find(agent.as_str()) else { continue };
            let tracking = &mut self.agent_tracking[index.position()];
            // Without a row, this keeper does not know what is unchanged: the snapshot was meant for its predecessor.
            let Some(row) = &mut tracking.latest_row else { continue };
            self.roster.mark_observed(index, observation.generated_at);
            if self.held_feed.get(agent).is_some_and(|fed| observation.generated_at > fed.received_at) {
                self.held_feed.remove(agent);
            }
            // A snapshot that is served twice counts once.
            if row.generated_at >= observation.generated_at {
                continue;
            }
            row.generated_at = observation.generated_at;
            let estimated =
                self.roster.get(index).and_then(AgentRecord::observed).is_some_and(ObservedState::is_estimate);
            let reappeared = tracking.missed_snapshots.take().is_some();
            if reappeared
                || estimated
                || tracking.contradictions > 0
                || self.open_transitions.of_agent(agent).next().is_some()
            {
                to_check.insert(index);
            }
        }
        for index in to_check {
            self.merge_row(pass, index);
            self.settle_transitions(pass, index);
        }
        let newest = self.newest_observations.entry(observation.slice).or_insert(UtcMicros::EPOCH);
        if *newest < observation.generated_at {
            *newest = observation.generated_at;
            for agent in observation.absent.iter() {
                self.record_absence(pass, agent, observation.generated_at);
            }
            for agent in observation.omitted.iter() {
                self.record_missed_snapshot(pass, agent, observation.generated_at);
            }
        }
    }

    /// Counts a snapshot without the agent against the changes that it should have shown. After three of them the
    /// changes are given up, since the agent is no longer observed and other changes must not wait forever.
    fn record_absence(&mut self, pass: &mut Pass, agent: &AgentId, generated_at: UtcMicros) {
        let awaited =
            |open: &&OpenTransition| observable_from(&open.transition.status).is_some_and(|from| generated_at > from);
        let unconfirmed: Vec<TransitionId> =
            self.open_transitions.of_agent(agent).filter(awaited).map(|open| open.transition.id).collect();
        for id in unconfirmed {
            let Some(open) = self.open_transitions.get_mut(id) else { continue };
            open.unconfirmed_snapshots += 1;
            if open.unconfirmed_snapshots >= u32::from(MAX_CONTRADICTIONS) {
                self.apply_step(pass, id, TransitionStep::GiveUp { at: pass.now });
            }
        }
    }

    /// Marks the agent as unobserved from the first of three snapshots in a row without it, unless another source has
    /// shown it meanwhile. Fewer missed snapshots, or a time without any snapshot, change nothing.
    fn record_missed_snapshot(&mut self, pass: &mut Pass, agent: &AgentId, generated_at: UtcMicros) {
        let Some(index) = self.roster.find(agent.as_str()) else { return };
        let known = self.roster.get(index).and_then(AgentRecord::observed);
        // A snapshot from before the known state does not contradict it.
        if known.is_some_and(|known| known.state.is_unobserved() || generated_at <= known.entered_at) {
            return;
        }
        let missed = &mut self.agent_tracking[index.position()].missed_snapshots;
        let (since, count) = missed.map_or((generated_at, 1), |(since, count)| (since, count + 1));
        *missed = Some((since, count));
        if count >= MAX_CONTRADICTIONS {
            self.mark_unobserved(pass, index, AgentState::unobserved(), since);
        }
    }

    /// Fills in the parts of an agent's identity that only the platform knows; imported names and teams are not
    /// overwritten.
    fn update_identity(&mut self, pass: &mut Pass, index: AgentIndex, observed: &AgentObservation) {
        let Some(known) = self.roster.get(index).map(|slot| slot.agent().clone()) else { return };
        let updated = Agent {
            name: known.name.clone().or_else(|| observed.name.clone()),
            team: known.team.clone().or_else(|| observed.team.clone()),
            ..known.clone()
        };
        if updated != known {
            let subject = self.agent_tracking[index.position()].subject;
            pass.commit.agents.push(AgentWrite { tenant: self.link.tenant.clone(), agent: updated.clone(), subject });
            self.roster.upsert(updated);
        }
    }

    fn merge_row(&mut self, pass: &mut Pass, index: AgentIndex) {
        let Some(slot) = self.roster.get(index) else { return };
        let known = slot.observed().cloned();
        let Some(row) = self.agent_tracking[index.position()].latest_row.clone() else { return };
        let merged = merge_snapshot(self.known_state(index), &row);
        let tracking = &mut self.agent_tracking[index.position()];
        if merged == MergeResult::Contradiction {
            // A snapshot from before the known state does not contradict it.
            if known.is_some_and(|known| row.generated_at > known.entered_at) {
                tracking.contradictions += 1;
            }
            tracking.doubted_row = Some(row);
            return;
        }
        if let (MergeResult::Inserted(interval), Some(known)) = (&merged, &known) {
            if let Some(before) = tracking.before_estimate.clone() {
                self.insert_interval(pass, index, &before, interval, known);
            }
            return;
        }
        let disproved = tracking.contradictions + 1 >= MAX_CONTRADICTIONS;
        tracking.contradictions = 0;
        match (merged, known) {
            (MergeResult::Unchanged | MergeResult::Contradiction | MergeResult::Inserted(_), _)
            | (MergeResult::TimeCorrected(_), None) => {}
            (MergeResult::DetailsChanged(now), _) => {
                let agent = slot.id().clone();
                pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, &now)));
                self.roster.record_observation(index, now, row.generated_at);
            }
            (MergeResult::TimeCorrected(now), Some(estimate)) => {
                self.settle_instant(pass, index, &estimate, now, row.generated_at);
            }
            (MergeResult::Changed(_), Some(known)) if disproved && known.source == ObservationSource::Post => {
                self.revert_estimate(pass, index, &known, &row);
            }
            (MergeResult::Changed(now), known) => self.enter_state(pass, index, known.as_ref(), now, row.generated_at),
        }
    }

    /// Returns what is known of an agent, as input of the merge.
    pub(in crate::engine::keeper) fn known_state(&self, index: AgentIndex) -> KnownState<'_> {
        let tracking = &self.agent_tracking[index.position()];
        KnownState {
            current: self.roster.get(index).and_then(AgentRecord::observed),
            previous: tracking.before_estimate.as_ref(),
            reported_by_feed: tracking.is_reported_by_feed,
            contradictions: tracking.contradictions,
            max_delay: self.max_delay(),
            clock_now: self.link.clock.now(),
        }
    }

    /// Returns by how much an estimated instant may be late.
    pub(in crate::engine::keeper) fn max_delay(&self) -> Duration {
        SAME_CHANGE_WINDOW.max(self.link.clock.scale_real(MAX_FEED_DELAY_REAL))
    }

    /// Replaces an estimated instant by the platform's own or a better one.
    pub(in crate::engine::keeper) fn settle_instant(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        estimate: &ObservedState,
        now: ObservedState,
        observed_at: UtcMicros,
    ) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let doubted = self.agent_tracking[index.position()].doubted_row.take();
        let interval_between = doubted.and_then(|row| recover_intermediate_state(self.known_state(index), &now, &row));
        let tracking = &mut self.agent_tracking[index.position()];
        let before = if now.is_estimate() { tracking.before_estimate.clone() } else { tracking.before_estimate.take() };
        // A jittering instant must not put a change before the one that it followed.
        let mut now = now.ordered_after(before.as_ref());
        if before.is_none() && estimate.history_at > estimate.entered_at {
            // The estimate had replaced a disproved change, and its row is later than its own instant because the clock
            // was set back. The state before it is no longer known, so the row keeps its place.
            now.history_at = now.history_at.max(estimate.history_at);
        }
        if let Some(before) = before.as_ref().filter(|before| before.state.is_not_ready()) {
            tracking.subtract_not_ready(before.entered_at, estimate.entered_at);
            tracking.add_not_ready(before.entered_at, now.entered_at);
            pass.mark_counters_changed(index);
        }
        pass.commit.history.push(self.history_retiming(&agent, estimate.history_at, &now));
        if now.queue != estimate.queue {
            pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, &now)));
        }
        self.roster.record_observation(index, now.clone(), observed_at);
        if let (Some(interval), Some(before)) = (interval_between, before) {
            self.insert_interval(pass, index, &before, &interval, &now);
        }
    }

    /// Inserts an interval that ended before the known one began into the history.
    fn insert_interval(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        before: &ObservedState,
        interval: &ObservedState,
        now: &ObservedState,
    ) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        // There may be no room if a clock was set in between.
        if interval.history_at >= now.history_at {
            return;
        }
        let tracking = &mut self.agent_tracking[index.position()];
        tracking.before_estimate = now.is_estimate().then(|| interval.clone());
        if before.state.is_not_ready() {
            tracking.subtract_not_ready(before.entered_at, now.entered_at);
        }
        pass.commit.history.push(HistoryWrite::Enter(self.history_row(&agent, interval)));
        self.record_state_change_event(pass, index, Some(before), interval, None);
        // The known interval is still the latest; retiming gives it the newest id, so that readers that follow ids see
        // it last.
        pass.commit.history.push(self.history_retiming(&agent, now.history_at, now));
        self.record_state_change_event(pass, index, Some(interval), now, None);
    }

    /// Reverts an accepted POST that three snapshots disprove: its row is removed, and the previous state is merged
    /// with the shown row.
    pub(in crate::engine::keeper) fn revert_estimate(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        posted: &ObservedState,
        row: &SnapshotRow,
    ) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let (tenant, entered_at) = (self.link.tenant.clone(), posted.history_at);
        pass.commit.history.push(HistoryWrite::Remove { tenant, agent: agent.clone(), entered_at });
        let tracking = &mut self.agent_tracking[index.position()];
        let before = tracking.before_estimate.take();
        if let Some(before) = before.as_ref().filter(|before| before.state.is_not_ready()) {
            tracking.subtract_not_ready(before.entered_at, posted.entered_at);
            pass.mark_counters_changed(index);
        }
        let known_before = KnownState {
            current: before.as_ref(),
            max_delay: SAME_CHANGE_WINDOW,
            clock_now: pass.now,
            ..KnownState::default()
        };
        match (merge_snapshot(known_before, row), before) {
            (MergeResult::Changed(now), before) => {
                // The state before is the one that ends.
                if let Some(before) = &before {
                    self.roster.record_observation(index, before.clone(), row.generated_at);
                }
                self.enter_state(pass, index, before.as_ref(), now, row.generated_at);
            }
            (_, Some(before)) => {
                // It is the latest again; retiming gives its row a new id, so that readers that follow ids see it.
                pass.commit.history.push(self.history_retiming(&agent, before.history_at, &before));
                self.record_state_change_event(pass, index, Some(posted), &before, None);
                self.roster.record_observation(index, before, row.generated_at);
            }
            (_, None) => {}
        }
    }

    pub(in crate::engine::keeper) fn enter_state(
        &mut self,
        pass: &mut Pass,
        index: AgentIndex,
        known: Option<&ObservedState>,
        mut now: ObservedState,
        observed_at: UtcMicros,
    ) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        if let Some(transition) = self.causing_transition(&agent, &now) {
            (now.transition, now.reason) = (Some(transition.id), Some(transition.reason.clone()));
            now.requested_by_person = transition.actor.is_person();
            self.mark_in_history(transition.id);
        }
        if let Some(known) = known
            && now.transition.is_none()
        {
            self.detect_reversal(pass, index, known, &now);
        }
        let tracking = &mut self.agent_tracking[index.position()];
        tracking.before_estimate = known.filter(|_| now.is_estimate()).cloned();
        tracking.is_reported_by_feed = now.source == ObservationSource::Feed;
        self.record_state_change(pass, index, now, observed_at, None);
    }

    /// Returns the transition that caused a row and is not in the history yet: one in flight, or one accepted while the
    /// agent was already in the wanted state.
    fn causing_transition(&self, agent: &AgentId, now: &ObservedState) -> Option<Transition> {
        let is_cause = |open: &&OpenTransition| {
            !open.is_in_history && open.transition.target == now.state && began_with_change(open, now.entered_at)
        };
        self.open_transitions.of_agent(agent).find(is_cause).map(|open| open.transition.clone())
    }

    /// Detects that an agent reverts an automatic change. The agent is then left alone for a while, and people are
    /// notified.
    fn detect_reversal(&mut self, pass: &mut Pass, index: AgentIndex, known: &ObservedState, now: &ObservedState) {
        let Some(slot) = self.roster.get(index) else { return };
        let automatic =
            self.automatic_changes.get(slot.id()).filter(|change| known.transition == Some(change.transition));
        let Some(automatic) = automatic else { return };
        let (rule, transition, set_at) = (automatic.rule.clone(), automatic.transition, automatic.set_at);
        if !is_reversal(known, set_at, now, slot.plan(), self.settings.decide.reversal_window) {
            return;
        }
        let until = pass.now + self.settings.decide.leave_alone_duration;
        self.roster.pause_automation(index, until);
        pass.mark_memory_changed(index, &rule);
        let facts = json!({"rule": rule, "set": known.state, "back_to": now.state, "left_alone_until": until});
        self.audit_agent(pass, index, &Actor::Daemon, "agent.reversed_change", facts);
        let rule_version = self.version_in_force(&rule);
        self.record_finding(
            pass,
            &NewFinding {
                index,
                kind: FindingKind::RevertedByAgent,
                rule: rule.clone(),
                rule_version,
                guard: None,
                intended_action: format!("set {}", known.state),
                facts: format!("the agent went back to {} and is left alone until {until}", now.state),
            },
        );
        self.record_agent_event(pass, index, |user_id, sequence| AgentReversedChange {
            user_id,
            rule_id: rule,
            transition_id: transition,
            previous_state: known.state.clone(),
            new_state: now.state.clone(),
            left_alone_until: until,
            sequence,
        });
    }

    pub(in crate::engine::keeper) fn handle_subscription_notice(&self, pass: &mut Pass, notice: &SubscriptionNotice) {
        match notice {
            SubscriptionNotice::Oversize { slice, bytes } => {
                let limit_bytes = self.settings.observation.oversize_bytes;
                tracing::warn!(tenant = %self.link.tenant, slice, bytes, limit_bytes, "the snapshot is larger than the limit");
                self.record_event(pass, SnapshotOversize { subscription: *slice, bytes: *bytes, limit_bytes });
            }
            SubscriptionNotice::NearExpiry { slice, created_at } => {
                tracing::warn!(tenant = %self.link.tenant, slice, %created_at, "the subscription nears its end");
                self.record_event(pass, SubscriptionNearExpiry { subscription: *slice, created_at: *created_at });
            }
        }
    }

    /// Returns the age of each subscription's observations, with the subscription's number and its newest observation.
    /// If there is none, the age counts from the start of observing.
    pub(in crate::engine::keeper) fn observation_ages(
        &self,
        now: UtcMicros,
    ) -> impl Iterator<Item = (u32, Option<UtcMicros>, Duration)> + use<'_> {
        let slices = self.roster.len().div_ceil(self.settings.observation.agents_per_subscription.max(1));
        (0_u32..).take(slices).map(move |slice| {
            let newest = self.newest_observations.get(&slice).copied();
            (slice, newest, now.since(newest.unwrap_or(self.observing_since).max(self.observing_since)))
        })
    }

    /// Reports once when a subscription's observations become too old for decisions, and when all are fresh again.
    pub(in crate::engine::keeper) fn report_staleness(&mut self, pass: &mut Pass) {
        let limit = self.settings.decide.stale_after;
        let stale: Vec<_> = self.observation_ages(pass.now).filter(|(_, _, age)| *age > limit).collect();
        let part = self.link.part("picture");
        if let Some((slice, _, age)) = stale.iter().max_by_key(|(_, _, age)| *age) {
            let age_s = age.as_secs();
            let detail = format!(
                "what subscription {slice} shows is {age_s} s old; automation of its agents waits for a fresh observation"
            );
            self.link.readiness.degraded(&part, detail);
        } else if !self.reported_stale.is_empty() {
            self.link.readiness.restored(&part);
        }
        let reported = std::mem::replace(&mut self.reported_stale, stale.iter().map(|(slice, _, _)| *slice).collect());
        for (slice, newest, age) in stale.into_iter().filter(|(slice, _, _)| !reported.contains(slice)) {
            tracing::warn!(tenant = %self.link.tenant, slice, age_ms = age.as_millis(), "the live view is stale");
            let age_ms = real_millis(age);
            self.record_event(pass, PictureStale { subscription: slice, newest_sight_at: newest, age_ms });
        }
    }
}
