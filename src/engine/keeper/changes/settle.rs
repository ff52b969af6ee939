//! Settles accepted, pending and doubtful changes by snapshots. Only snapshots settle what a state POST did.

use std::time::Duration;

use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::merge::{MAX_CONTRADICTIONS, SAME_CHANGE_WINDOW, SnapshotRow};
use crate::domain::agents::roster::{AgentIndex, AgentRecord};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::transition::{TransitionStatus, TransitionStep};
use crate::domain::ids::TransitionId;
use crate::domain::time::UtcMicros;
use crate::engine::keeper::changes::doubt::{ReadBackVerdict, UnansweredPost, read_back};
use crate::engine::keeper::changes::open_transitions::OpenTransition;
use crate::engine::keeper::pass::Pass;
use crate::engine::keeper::record::shows_target;
use crate::engine::keeper::state::Keeper;

/// How long a change in doubt waits for any snapshot after it could first have been read back.
const MAX_UNOBSERVED: Duration = Duration::from_secs(15 * 60);

/// How long an accepted change waits for the contact to end.
const MAX_PENDING: Duration = Duration::from_secs(4 * 60 * 60);

impl Keeper {
    /// Settles the agent's accepted change and its change in doubt by the newest row.
    pub(in crate::engine::keeper) fn settle_transitions(&mut self, pass: &mut Pass, index: AgentIndex) {
        let Some(agent) = self.roster.get(index).map(|slot| slot.id().clone()) else { return };
        let Some(row) = self.agent_tracking[index.position()].latest_row.clone() else { return };
        let open: Vec<TransitionId> = self.open_transitions.of_agent(&agent).map(|open| open.transition.id).collect();
        for id in open {
            let Some(status) = self.open_transitions.get(id).map(|open| open.transition.status.clone()) else {
                continue;
            };
            match status {
                TransitionStatus::Accepted { at } => self.settle_accepted(pass, id, at, &row),
                TransitionStatus::Pending { since } => self.settle_pending(pass, id, since, &row),
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
        if row.generated_at <= accepted_at {
            return;
        }
        let is_another_contact =
            row.state == AgentState::OnContact && row.changed_at.is_some_and(|began_at| began_at > accepted_at);
        let target = &open.transition.target;
        if row.state == *target || (is_another_contact && shows_target(target, &row.state)) {
            self.apply_step(pass, id, TransitionStep::Confirm { at: row.generated_at });
            return;
        }
        if row.state.is_on_contact() {
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
pub(in crate::engine::keeper) fn observable_from(status: &TransitionStatus) -> Option<UtcMicros> {
    match status {
        TransitionStatus::Accepted { at } | TransitionStatus::Pending { since: at } => Some(*at),
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
pub(in crate::engine::keeper) fn began_with_change(open: &OpenTransition, entered_at: UtcMicros) -> bool {
    let was_in_target = open.baseline.as_ref().is_some_and(|baseline| baseline.state == open.transition.target);
    match open.transition.status {
        TransitionStatus::Sending { since: sent_at } | TransitionStatus::InDoubt { sent_at, .. } => {
            !was_in_target && entered_at + SAME_CHANGE_WINDOW >= sent_at
        }
        TransitionStatus::Accepted { at } => at.since(entered_at).max(entered_at.since(at)) <= SAME_CHANGE_WINDOW,
        TransitionStatus::Pending { since } => entered_at + SAME_CHANGE_WINDOW >= since,
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
