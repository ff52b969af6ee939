//! Handles snapshots: merges observations, confirms changes and settles doubt.
//!
//! Only snapshots settle what a state POST did. Nothing here queries the platform.

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
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus, TransitionStep};
use crate::domain::ids::{AgentId, TransitionId};
use crate::domain::rules::planner::is_reversal;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::{AgentReversedChange, PictureStale, SnapshotOversize, SubscriptionNearExpiry};
use crate::engine::keeper::changes::doubt::{ReadBackVerdict, UnansweredPost, read_back};
use crate::engine::keeper::changes::open_transitions::OpenTransition;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::record::shows_target;
use crate::engine::keeper::rules::NewFinding;
use crate::engine::keeper::state::Keeper;
use crate::engine::keeper_message::{SnapshotObservation, SubscriptionNotice};
use crate::engine::platform::calls::real_millis;
use crate::platform::AgentObservation;
use crate::store::{AgentWrite, FindingKind, HistoryWrite};

/// How long a change in doubt waits for any snapshot after it could first have been read back.
const MAX_UNOBSERVED: Duration = Duration::from_secs(15 * 60);

/// How long an accepted change waits for the contact to end.
const MAX_PENDING: Duration = Duration::from_secs(4 * 60 * 60);

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
            (MergeResult::QueueChanged(now), _) => {
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
    fn revert_estimate(&mut self, pass: &mut Pass, index: AgentIndex, posted: &ObservedState, row: &SnapshotRow) {
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

    /// Settles the agent's accepted change and its change in doubt by the newest row.
    fn settle_transitions(&mut self, pass: &mut Pass, index: AgentIndex) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let Some(row) = self.agent_tracking[index.position()].latest_row.clone() else { return };
        let open: Vec<TransitionId> = self.open_transitions.of_agent(&agent).map(|open| open.transition.id).collect();
        for id in open {
            let Some(status) = self.open_transitions.get(id).map(|open| open.transition.status.clone()) else {
                continue;
            };
            match status {
                TransitionStatus::Accepted { at } => self.settle_accepted(pass, id, at, &row),
                TransitionStatus::Pending { accepted_at } => self.settle_pending(pass, id, accepted_at, &row),
                TransitionStatus::InDoubt { sent_at, readable_after } => {
                    self.settle_doubt(pass, id, sent_at, readable_after, &row);
                }
                TransitionStatus::Requested
                | TransitionStatus::Waiting { .. }
                | TransitionStatus::Sending { .. }
                | TransitionStatus::Confirmed { .. }
                | TransitionStatus::Unconfirmed { .. }
                | TransitionStatus::Refused { .. }
                | TransitionStatus::Failed { .. }
                | TransitionStatus::Cancelled { .. }
                | TransitionStatus::Superseded { .. }
                | TransitionStatus::Expired { .. } => {}
            }
        }
    }

    fn settle_accepted(&mut self, pass: &mut Pass, id: TransitionId, accepted_at: UtcMicros, row: &SnapshotRow) {
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        if row.generated_at <= accepted_at {
            return;
        }
        let has_moved_since = row.changed_at.is_some_and(|at| at > accepted_at);
        let is_in_target = row.state == open.transition.target;
        if is_in_target || (has_moved_since && shows_target(&open.transition.target, &row.state)) {
            self.apply_step(pass, id, TransitionStep::Confirm { at: row.generated_at });
            return;
        }
        // A request during a contact sets the agent's next state.
        if row.state.is_on_contact() {
            self.defer(pass, id, row);
            return;
        }
        open.unconfirmed_snapshots += 1;
        if has_moved_since || open.unconfirmed_snapshots >= u32::from(MAX_CONTRADICTIONS) {
            self.apply_step(pass, id, TransitionStep::GiveUp { at: pass.now });
        }
    }

    /// Marks an accepted change as pending. If the live view has the change as an estimate, the contact that the row
    /// shows takes its place.
    fn defer(&mut self, pass: &mut Pass, id: TransitionId, row: &SnapshotRow) {
        self.apply_step(pass, id, TransitionStep::Defer);
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        (open.unconfirmed_snapshots, open.is_in_history) = (0, false);
        let Some(index) = self.roster.find(open.transition.agent.as_str()) else { return };
        let estimate = self.roster.get(index).and_then(AgentRecord::observed).cloned();
        let estimate = estimate.filter(|now| now.source == ObservationSource::Post && now.transition == Some(id));
        if let Some(estimate) = estimate {
            let tracking = &mut self.agent_tracking[index.position()];
            (tracking.contradictions, tracking.doubted_row) = (0, None);
            self.revert_estimate(pass, index, &estimate, row);
        }
    }

    /// Settles a pending change by the newest row: it waits while the agent is on a contact. The platform may show
    /// another state for a moment between the contact and the change.
    fn settle_pending(&mut self, pass: &mut Pass, id: TransitionId, accepted_at: UtcMicros, row: &SnapshotRow) {
        let Some(open) = self.open_transitions.get_mut(id) else { return };
        if row.generated_at <= accepted_at || (row.state.is_on_contact() && open.transition.target != row.state) {
            return;
        }
        if row.state == open.transition.target {
            self.apply_step(pass, id, TransitionStep::Confirm { at: row.generated_at });
            return;
        }
        open.unconfirmed_snapshots += 1;
        if open.unconfirmed_snapshots >= u32::from(MAX_CONTRADICTIONS) {
            self.apply_step(pass, id, TransitionStep::GiveUp { at: pass.now });
        }
    }

    /// Settles a change in doubt by the newest row (design: what must always hold, 2).
    fn settle_doubt(
        &mut self,
        pass: &mut Pass,
        id: TransitionId,
        sent_at: UtcMicros,
        readable_after: UtcMicros,
        row: &SnapshotRow,
    ) {
        let Some(open) = self.open_transitions.get(id) else { return };
        let unanswered = UnansweredPost {
            target: &open.transition.target,
            baseline: open.baseline.as_ref(),
            sent_at,
            readable_after,
        };
        match read_back(unanswered, row) {
            ReadBackVerdict::TooEarly => {}
            ReadBackVerdict::TookEffect => self.apply_step(pass, id, TransitionStep::Confirm { at: row.generated_at }),
            ReadBackVerdict::AgentMoved => self.apply_step(pass, id, TransitionStep::GiveUp { at: pass.now }),
            ReadBackVerdict::NotApplied => {
                let (attempts, has_used_attempts) =
                    (open.transition.attempts, open.has_used_attempts(self.settings.retry.attempts));
                let until = pass.now + self.retry_delay(open.failures, None);
                self.apply_step(pass, id, TransitionStep::ReadBack { until: Some(until) });
                if has_used_attempts {
                    let text =
                        format!("given up after {attempts} attempts: the platform gave no answer and did nothing");
                    self.apply_step(pass, id, TransitionStep::Fail(text));
                }
            }
        }
    }

    /// Gives up changes that no snapshot has settled for too long.
    pub(in crate::engine::keeper) fn give_up_unobserved(&mut self, pass: &mut Pass) {
        let started_at = self.started_at;
        // A snapshot generated in time may take a whole request timeout to arrive.
        let max_accepted = self.settings.decide.stale_after + self.request_timeout();
        let overdue: Vec<TransitionId> = self
            .open_transitions
            .iter()
            .filter(|open| is_overdue(&open.transition.status, started_at, max_accepted, pass.now))
            .map(|open| open.transition.id)
            .collect();
        for id in overdue {
            self.apply_step(pass, id, TransitionStep::GiveUp { at: pass.now });
        }
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

/// Returns whether no snapshot has come for too long. The time counts from `started_at` at the earliest, since none
/// could arrive before.
fn is_overdue(status: &TransitionStatus, started_at: UtcMicros, max_accepted: Duration, now: UtcMicros) -> bool {
    let max_duration = match status {
        TransitionStatus::Pending { .. } => MAX_PENDING,
        _ if status.is_in_flight() => MAX_UNOBSERVED,
        _ => max_accepted,
    };
    observable_from(status).is_some_and(|from| now.since(from.max(started_at)) > max_duration)
}

/// Returns the instant after which a snapshot should show the change; `None` if none is awaited.
fn observable_from(status: &TransitionStatus) -> Option<UtcMicros> {
    match status {
        TransitionStatus::Accepted { at } | TransitionStatus::Pending { accepted_at: at } => Some(*at),
        TransitionStatus::InDoubt { readable_after, .. } => Some(*readable_after),
        TransitionStatus::Requested
        | TransitionStatus::Waiting { .. }
        | TransitionStatus::Sending { .. }
        | TransitionStatus::Confirmed { .. }
        | TransitionStatus::Unconfirmed { .. }
        | TransitionStatus::Refused { .. }
        | TransitionStatus::Failed { .. }
        | TransitionStatus::Cancelled { .. }
        | TransitionStatus::Superseded { .. }
        | TransitionStatus::Expired { .. } => None,
    }
}

/// Returns whether a row in the wanted state that began at `entered_at` can be caused by the change. While in flight it
/// can, unless the agent was in that state before; once accepted, if the row began with the acceptance.
fn began_with_change(open: &OpenTransition, entered_at: UtcMicros) -> bool {
    let was_in_target = open.baseline.as_ref().is_some_and(|baseline| baseline.state == open.transition.target);
    match open.transition.status {
        TransitionStatus::Sending { since: sent_at } | TransitionStatus::InDoubt { sent_at, .. } => {
            !was_in_target && entered_at + SAME_CHANGE_WINDOW >= sent_at
        }
        TransitionStatus::Accepted { at } => at.since(entered_at).max(entered_at.since(at)) <= SAME_CHANGE_WINDOW,
        TransitionStatus::Pending { accepted_at } => entered_at + SAME_CHANGE_WINDOW >= accepted_at,
        TransitionStatus::Requested
        | TransitionStatus::Waiting { .. }
        | TransitionStatus::Confirmed { .. }
        | TransitionStatus::Unconfirmed { .. }
        | TransitionStatus::Refused { .. }
        | TransitionStatus::Failed { .. }
        | TransitionStatus::Cancelled { .. }
        | TransitionStatus::Superseded { .. }
        | TransitionStatus::Expired { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stop_left_unsettled_gets_the_whole_time_after_the_start() {
        let at = |minute: u64| UtcMicros::EPOCH + Duration::from_secs(minute * 60);
        let doubt = TransitionStatus::InDoubt { sent_at: at(0), readable_after: at(1) };
        let accepted = TransitionStatus::Accepted { at: at(1) };
        let limit = Duration::from_secs(60);
        for (status, max_minutes) in [(&doubt, 15), (&accepted, 1)] {
            assert!(!is_overdue(status, at(0), limit, at(1 + max_minutes)));
            assert!(is_overdue(status, at(0), limit, at(2 + max_minutes)));
            assert!(!is_overdue(status, at(600), limit, at(600)), "the daemon stood still for ten hours");
            assert!(is_overdue(status, at(600), limit, at(601 + max_minutes)));
        }
        assert!(!is_overdue(&TransitionStatus::Sending { since: at(0) }, at(0), limit, at(600)));
    }
}
