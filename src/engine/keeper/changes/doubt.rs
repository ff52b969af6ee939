//! What a snapshot row tells about a state POST whose answer was lost (design: what must always hold, 2).
//!
//! Pure: this module interprets the row, and the keeper applies the step.

use crate::domain::agents::agent::ObservedState;
use crate::domain::agents::merge::{SAME_CHANGE_WINDOW, SnapshotRow};
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;

use crate::engine::keeper::record::shows_target;

/// A state POST in doubt.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::keeper) struct UnansweredPost<'a> {
    /// The requested state.
    pub target: &'a AgentState,
    /// The agent's state when the POST was sent.
    pub baseline: Option<&'a ObservedState>,
    /// When the POST was sent.
    pub sent_at: UtcMicros,
    /// Only a row generated after this instant can show that the POST did not take effect.
    pub readable_after: UtcMicros,
}

/// What a row tells about the POST.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::engine::keeper) enum ReadBackVerdict {
    /// Nothing yet.
    TooEarly,
    /// The POST took effect.
    TookEffect,
    /// The agent has moved since, so that the effect cannot be determined.
    AgentMoved,
    /// The POST did not take effect and the agent has not moved, so it may be sent again.
    NotApplied,
}

/// Interprets a row. A row that shows the change settles it at any time; one that does not must have been generated
/// late enough.
pub(in crate::engine::keeper) fn read_back(unanswered: UnansweredPost<'_>, row: &SnapshotRow) -> ReadBackVerdict {
    let is_since_send = row.changed_at.is_none_or(|at| at + SAME_CHANGE_WINDOW >= unanswered.sent_at);
    // If the baseline already looked like the target, looking like it afterwards proves nothing.
    let showed_before = unanswered.baseline.is_some_and(|baseline| shows_target(unanswered.target, &baseline.state));
    if row.generated_at > unanswered.sent_at
        && shows_target(unanswered.target, &row.state)
        && is_since_send
        && !showed_before
    {
        return ReadBackVerdict::TookEffect;
    }
    if row.generated_at <= unanswered.readable_after {
        return ReadBackVerdict::TooEarly;
    }
    if row.state == *unanswered.target {
        return ReadBackVerdict::TookEffect;
    }
    let unmoved = unanswered.baseline.is_none_or(|baseline| baseline.state == row.state)
        && row.changed_at.is_some_and(|at| at < unanswered.sent_at);
    if unmoved { ReadBackVerdict::NotApplied } else { ReadBackVerdict::AgentMoved }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::agent::ObservationSource;
    use crate::domain::agents::state::AgentState::{Idle, OnContact, Paused, Ready};

    fn at(second: i64) -> UtcMicros {
        UtcMicros::from_micros(second * 1_000_000)
    }

    /// Sent at 100, readable after 130.
    fn verdict(
        baseline: Option<&AgentState>,
        state: &AgentState,
        changed_at: Option<i64>,
        generated: i64,
    ) -> ReadBackVerdict {
        let baseline = baseline.map(|state| ObservedState {
            state: state.clone(),
            reason: None,
            queue: None,
            entered_at: at(10),
            platform_entered_at: None,
            history_at: at(10),
            source: ObservationSource::Snapshot,
            transition: None,
            requested_by_person: false,
        });
        let (changed_at, generated_at) = (changed_at.map(at), at(generated));
        let row = SnapshotRow {
            state: state.clone(),
            reason: None,
            queue: None,
            changed_at,
            platform_changed_at: changed_at,
            generated_at,
        };
        let unanswered =
            UnansweredPost { target: &Ready, baseline: baseline.as_ref(), sent_at: at(100), readable_after: at(130) };
        read_back(unanswered, &row)
    }

    #[test]
    fn a_row_settles_a_lost_answer_only_by_what_it_can_know() {
        use ReadBackVerdict::{AgentMoved, NotApplied, TooEarly, TookEffect};
        for (baseline, state, changed_at, generated, expected, why) in [
            (Some(&Paused), &Ready, Some(101), 105, TookEffect, "it shows the change"),
            (Some(&Paused), &OnContact, Some(104), 105, TookEffect, "only a ready agent gets a contact"),
            (Some(&Paused), &Ready, Some(101), 99, TooEarly, "generated before the send"),
            (Some(&Paused), &Paused, Some(10), 130, TooEarly, "the POST may still arrive"),
            (Some(&Paused), &Paused, Some(10), 131, NotApplied, "late enough, and not moved"),
            (None, &Paused, Some(10), 131, NotApplied, "never seen before, and not moved since the send"),
            (Some(&Paused), &Paused, Some(120), 131, AgentMoved, "entered again since the send"),
            (Some(&Paused), &Paused, None, 131, AgentMoved, "nobody says since when"),
            (Some(&Paused), &Idle, Some(120), 131, AgentMoved, "another state"),
            (Some(&Ready), &Ready, Some(98), 105, TooEarly, "it was there already"),
            (Some(&Ready), &Ready, Some(10), 131, TookEffect, "it is there all the same"),
            (Some(&OnContact), &OnContact, Some(98), 105, TooEarly, "a contact from before the send shows nothing"),
            (Some(&OnContact), &OnContact, None, 105, TooEarly, "nor one of unknown age"),
            (Some(&OnContact), &OnContact, Some(98), 131, NotApplied, "the same contact after all that time"),
        ] {
            assert_eq!(verdict(baseline, state, changed_at, generated), expected, "{why}");
        }
    }
}
