//! What a snapshot's row tells of a state POST whose answer was lost (design: what must always hold, 2).
//!
//! Pure: it says what the row means; the keeper takes the step.

use crate::domain::agents::agent::Observed;
use crate::domain::agents::merge::{SAME_CHANGE, Sighted};
use crate::domain::agents::state::AgentState;
use crate::domain::time::UtcMicros;

use crate::engine::keeper::record::shows;

/// A POST in doubt.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::keeper) struct Lost<'a> {
    /// What it asked for.
    pub target: &'a AgentState,
    /// What the agent was in when it left.
    pub baseline: Option<&'a Observed>,
    /// When it left.
    pub sent_at: UtcMicros,
    /// Only a row generated after this tells that it did not take effect.
    pub readable_after: UtcMicros,
}

/// What a row tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::engine::keeper) enum Verdict {
    /// Nothing yet.
    TooEarly,
    /// It took effect.
    TookEffect,
    /// The agent has moved since, and nobody can tell.
    Moved,
    /// It did not take effect, and the agent has not moved: it may be sent again.
    NotApplied,
}

/// Reads it off. A row that shows the change settles it at any time; one that does not, only when it was generated late enough.
pub(in crate::engine::keeper) fn read_back(lost: Lost<'_>, row: &Sighted) -> Verdict {
    let since_send = row.changed_at.is_none_or(|at| at + SAME_CHANGE >= lost.sent_at);
    // What looked like the wanted state before the send shows nothing by looking so after it.
    let looked_so = lost.baseline.is_some_and(|baseline| shows(lost.target, &baseline.state));
    if row.generated_at > lost.sent_at && shows(lost.target, &row.state) && since_send && !looked_so {
        return Verdict::TookEffect;
    }
    if row.generated_at <= lost.readable_after {
        return Verdict::TooEarly;
    }
    if row.state == *lost.target {
        return Verdict::TookEffect;
    }
    let unmoved = lost.baseline.is_none_or(|baseline| baseline.state == row.state)
        && row.changed_at.is_some_and(|at| at < lost.sent_at);
    if unmoved { Verdict::NotApplied } else { Verdict::Moved }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agents::agent::Source;
    use crate::domain::agents::state::AgentState::{Idle, OnContact, Paused, Ready};

    fn at(second: i64) -> UtcMicros {
        UtcMicros::from_micros(second * 1_000_000)
    }

    /// Sent at 100, readable after 130.
    fn verdict(baseline: Option<&AgentState>, state: &AgentState, changed_at: Option<i64>, generated: i64) -> Verdict {
        let baseline = baseline.map(|state| Observed {
            state: state.clone(),
            reason: None,
            queue: None,
            entered_at: at(10),
            platform_at: None,
            row_at: at(10),
            source: Source::Snapshot,
            transition: None,
            by_person: false,
        });
        let (changed_at, generated_at) = (changed_at.map(at), at(generated));
        let row = Sighted { state: state.clone(), queue: None, changed_at, platform_at: changed_at, generated_at };
        let lost = Lost { target: &Ready, baseline: baseline.as_ref(), sent_at: at(100), readable_after: at(130) };
        read_back(lost, &row)
    }

    #[test]
    fn a_row_settles_a_lost_answer_only_by_what_it_can_know() {
        use Verdict::{Moved, NotApplied, TooEarly, TookEffect};
        for (baseline, state, changed_at, generated, expected, why) in [
            (Some(&Paused), &Ready, Some(101), 105, TookEffect, "it shows the change"),
            (Some(&Paused), &OnContact, Some(104), 105, TookEffect, "only a ready agent gets a contact"),
            (Some(&Paused), &Ready, Some(101), 99, TooEarly, "generated before the send"),
            (Some(&Paused), &Paused, Some(10), 130, TooEarly, "the POST may still arrive"),
            (Some(&Paused), &Paused, Some(10), 131, NotApplied, "late enough, and not moved"),
            (None, &Paused, Some(10), 131, NotApplied, "never seen before, and not moved since the send"),
            (Some(&Paused), &Paused, Some(120), 131, Moved, "entered again since the send"),
            (Some(&Paused), &Paused, None, 131, Moved, "nobody says since when"),
            (Some(&Paused), &Idle, Some(120), 131, Moved, "another state"),
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
