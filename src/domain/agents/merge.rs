//! Merges the observations of an agent: snapshots, feed messages and our own accepted state POSTs.
//!
//! A change is a new state, or the same state entered again. Timestamp jitter, repeats and older rows are not changes
//! (guide 004's false deltas).
//!
//! A snapshot gives the start of a state on the platform's clock, but is only a sample. The feed reports every change
//! in order, but not its time: receipt minus the duration in the message is an estimate that is never too early, and
//! late by the time the message was under way. If a message may be older than the current state, the feed's own order
//! decides; if that does not decide either, the message is not accepted yet.

use std::sync::Arc;
use std::time::Duration;

use super::agent::{ObservationSource, ObservedState};
use super::state::AgentState;
use crate::domain::ids::ReasonCode;
use crate::domain::time::UtcMicros;

/// The same state entered again within this time is the same change.
pub const SAME_CHANGE_WINDOW: Duration = Duration::from_secs(5);

/// The number of consecutive snapshots after which an older row with another state is accepted.
pub const MAX_CONTRADICTIONS: u8 = 3;

/// What is known of one agent before a merge.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownState<'a> {
    /// The current state in the live view.
    pub current: Option<&'a ObservedState>,
    /// The state before, if `current` is an estimate.
    pub previous: Option<&'a ObservedState>,
    /// Whether the feed reported `current`: its next message is then later.
    pub reported_by_feed: bool,
    /// The number of consecutive snapshots that showed an older row of another state.
    pub contradictions: u8,
    /// How late an estimate may be; at least [`SAME_CHANGE_WINDOW`].
    pub max_delay: Duration,
    /// The current instant on our clock.
    pub clock_now: UtcMicros,
}

/// An agent's row in a snapshot, with instants converted to our clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotRow {
    /// The state shown.
    pub state: AgentState,
    /// The reason shown; the guide dialect shows none.
    pub reason: Option<ReasonCode>,
    /// The queue shown.
    pub queue: Option<Arc<str>>,
    /// When the state was entered, if the platform says so.
    pub changed_at: Option<UtcMicros>,
    /// The same instant on the platform's own clock.
    pub platform_changed_at: Option<UtcMicros>,
    /// When the snapshot was generated.
    pub generated_at: UtcMicros,
}

/// An agent's state from a feed message, on our clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedObservation {
    /// The state reported.
    pub state: AgentState,
    /// When the message arrived.
    pub received_at: UtcMicros,
    /// The time of receipt minus the duration named in the message.
    pub estimated_start: UtcMicros,
    /// How long the message may have waited here before it was processed, in addition to its time under way.
    pub buffered_for: Duration,
    /// The tenant's connection that delivered it. Messages may be lost between two connections.
    pub connection: u64,
}

/// The effect of an observation on the live view and on history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MergeResult {
    /// Nothing new.
    Unchanged,
    /// Only the queue changed, or the reason became known; the history row keeps its instant.
    DetailsChanged(ObservedState),
    /// The instant of the current row was an estimate and is replaced by the platform's own or a better estimate.
    TimeCorrected(ObservedState),
    /// The state changed.
    Changed(ObservedState),
    /// A state interval that ended before the current state began and was not reported until now; history gets it in
    /// between.
    Inserted(ObservedState),
    /// The observation may be older than the current state and is not accepted yet.
    Contradiction,
}

/// Merges a row of a snapshot.
pub fn merge_snapshot(known: KnownState<'_>, observation: &SnapshotRow) -> MergeResult {
    // An instant after the snapshot itself can only be a clock error.
    let changed_at = observation.changed_at.unwrap_or(observation.generated_at).min(observation.generated_at);
    let has_valid_instant =
        observation.changed_at.is_some_and(|at| at <= observation.generated_at + SAME_CHANGE_WINDOW);
    let new_state_since = |entered_at| ObservedState {
        state: observation.state.clone(),
        reason: observation.reason.clone(),
        queue: observation.queue.clone(),
        entered_at,
        platform_entered_at: observation.platform_changed_at.filter(|_| has_valid_instant),
        history_at: entered_at,
        source: ObservationSource::Snapshot,
        transition: None,
        requested_by_person: false,
    };
    let Some(current) = known.current else { return MergeResult::Changed(new_state_since(changed_at)) };
    if current.state.is_unobserved() {
        // What the platform says of the unobserved time is accepted; what it says of the time before does not fill it.
        let reappeared = if changed_at > current.entered_at {
            new_state_since(changed_at)
        } else {
            ObservedState { platform_entered_at: None, ..new_state_since(observation.generated_at) }
        };
        return MergeResult::Changed(reappeared.ordered_after(Some(current)));
    }
    // The current instant is ahead of our clock, which was set back since: this observation is later, whatever the
    // instants.
    let clamped = (current.entered_at > known.clock_now)
        .then(|| ObservedState { entered_at: current.entered_at.min(changed_at.offset(-1)), ..current.clone() });
    let current = clamped.as_ref().unwrap_or(current);
    if current.state == observation.state {
        // Without a valid instant, a state that is known already is nothing new.
        return if has_valid_instant {
            merge_same_state(known, current, observation, new_state_since(changed_at))
        } else {
            merge_details(current, observation)
        };
    }
    if is_newer(known, current, observation, changed_at) {
        return MergeResult::Changed(new_state_since(changed_at).ordered_after(Some(current)));
    }
    if is_intermediate(known, current, observation, changed_at) {
        return MergeResult::Inserted(new_state_since(changed_at).ordered_after(known.previous));
    }
    // A snapshot from before the change that it contradicts says nothing, however many preceded it.
    if known.contradictions + 1 >= MAX_CONTRADICTIONS
        && observation.generated_at > current.reliable_from(known.clock_now)
    {
        // The platform's instant is the one that was not accepted.
        let accepted = ObservedState { platform_entered_at: None, ..new_state_since(observation.generated_at) };
        return MergeResult::Changed(accepted.ordered_after(Some(current)));
    }
    MergeResult::Contradiction
}

/// Returns whether a row with another state is newer than the current state. The instants of the two decide, up to
/// jitter. What the feed reported may be late: a row that seems slightly older is newer if its snapshot was made after
/// the estimate and it does not show the previous state. Our own POST is not late by more than its response time: a
/// state that began before the acceptance and is present after it began before the change, which then waits for the end
/// of an unobserved contact.
fn is_newer(known: KnownState<'_>, current: &ObservedState, observation: &SnapshotRow, changed_at: UtcMicros) -> bool {
    match current.source {
        ObservationSource::Snapshot | ObservationSource::History => {
            changed_at + SAME_CHANGE_WINDOW >= current.entered_at
        }
        ObservationSource::Post => changed_at > current.reliable_from(known.clock_now),
        ObservationSource::Feed => {
            let close =
                changed_at + known.max_delay >= current.entered_at && observation.generated_at > current.entered_at;
            changed_at > current.entered_at || (close && !is_earlier_interval(known, observation, changed_at))
        }
    }
}

/// Returns whether a row with another state certainly lies between the current state, an estimate, and the one before:
/// the estimate arrived before the snapshot, and everything known then is older than the row.
fn is_intermediate(
    known: KnownState<'_>,
    current: &ObservedState,
    observation: &SnapshotRow,
    changed_at: UtcMicros,
) -> bool {
    let Some(previous) = known.previous.filter(|previous| previous.state != observation.state) else { return false };
    // Of two snapshots, the later one shows the later state; an estimate may be late, and an instant jitters.
    let follows = if previous.is_estimate() {
        changed_at > previous.entered_at + SAME_CHANGE_WINDOW
    } else {
        changed_at + SAME_CHANGE_WINDOW > previous.entered_at
    };
    let has_instant = observation.changed_at.is_some_and(|at| at == changed_at);
    let known_from = current.reliable_from(known.clock_now);
    let precedes = changed_at + known.max_delay < known_from && observation.generated_at < known_from;
    current.is_estimate() && !previous.state.is_unobserved() && has_instant && follows && precedes
}

/// Returns the state interval of a row that was not accepted beside an estimate, if `corrected`, a better instant of
/// the estimate, proves that it came between: for example an unobserved contact that a change of ours had to wait for.
pub fn recover_intermediate_state(
    known: KnownState<'_>,
    corrected: &ObservedState,
    contradicting_row: &SnapshotRow,
) -> Option<ObservedState> {
    let (entered_at, history_at) = (corrected.entered_at, corrected.history_at);
    let current = ObservedState { entered_at, history_at, ..known.current?.clone() };
    // The platform's own instants jitter but are not late.
    let max_delay = if corrected.is_estimate() { known.max_delay } else { SAME_CHANGE_WINDOW };
    match merge_snapshot(KnownState { current: Some(&current), max_delay, ..known }, contradicting_row) {
        MergeResult::Inserted(inserted) => Some(inserted),
        MergeResult::Unchanged
        | MergeResult::DetailsChanged(_)
        | MergeResult::TimeCorrected(_)
        | MergeResult::Changed(_)
        | MergeResult::Contradiction => None,
    }
}

/// Returns whether a row shows the state interval that the estimate followed.
fn is_earlier_interval(known: KnownState<'_>, observation: &SnapshotRow, changed_at: UtcMicros) -> bool {
    known.previous.is_some_and(|previous| {
        previous.state == observation.state && changed_at <= previous.entered_at + SAME_CHANGE_WINDOW
    })
}

fn merge_same_state(
    known: KnownState<'_>,
    current: &ObservedState,
    observation: &SnapshotRow,
    observed: ObservedState,
) -> MergeResult {
    // Right after a start the offset of the platform's clock is known badly: if its own instant is the same, so is the
    // state.
    let has_same_instant =
        current.platform_entered_at.is_some() && current.platform_entered_at == observation.platform_changed_at;
    let is_close = has_same_instant || observed.entered_at <= current.entered_at + SAME_CHANGE_WINDOW;
    // An earlier interval of the same state says nothing of this one.
    let is_older = known.previous.is_some_and(|previous| {
        observation.generated_at < previous.entered_at || observed.entered_at + known.max_delay < previous.entered_at
    });
    let is_earlier_interval = is_older || is_earlier_interval(known, observation, observed.entered_at);
    match current.source {
        ObservationSource::Post | ObservationSource::Feed if is_earlier_interval => MergeResult::Unchanged,
        // A change that waited for the end of a contact took effect long after it was accepted.
        ObservationSource::Post => time_corrected(current, observed),
        ObservationSource::Feed if is_close => time_corrected(current, observed),
        ObservationSource::Feed | ObservationSource::Snapshot | ObservationSource::History if !is_close => {
            MergeResult::Changed(observed.ordered_after(Some(current)))
        }
        ObservationSource::Feed | ObservationSource::Snapshot | ObservationSource::History => {
            merge_details(current, observation)
        }
    }
}

/// Corrects the time of the current state, of which the cause stays known.
fn time_corrected(current: &ObservedState, observed: ObservedState) -> MergeResult {
    MergeResult::TimeCorrected(ObservedState {
        reason: current.reason.clone().or(observed.reason),
        transition: current.transition,
        requested_by_person: current.requested_by_person,
        ..observed
    })
}

/// Merges the queue, which may have changed, and a reason that was unknown. The reason of our own change stays.
fn merge_details(current: &ObservedState, observation: &SnapshotRow) -> MergeResult {
    let reason = current.reason.as_ref().or(observation.reason.as_ref());
    if current.queue == observation.queue && current.reason.as_ref() == reason {
        return MergeResult::Unchanged;
    }
    MergeResult::DetailsChanged(ObservedState {
        reason: reason.cloned(),
        queue: observation.queue.clone(),
        ..current.clone()
    })
}

/// Merges a feed message.
pub fn merge_feed(known: KnownState<'_>, observation: &FeedObservation) -> MergeResult {
    let observed = ObservedState::new(observation.state.clone(), observation.estimated_start, ObservationSource::Feed);
    let Some(current) = known.current else { return MergeResult::Changed(observed) };
    if current.state.is_unobserved() {
        let entered_at = if observation.estimated_start > current.entered_at {
            observation.estimated_start
        } else {
            observation.received_at
        };
        return MergeResult::Changed(ObservedState { entered_at, ..observed }.ordered_after(Some(current)));
    }
    let max_delay = known.max_delay + observation.buffered_for;
    if current.state == observation.state {
        return match current.source {
            _ if observation.estimated_start <= current.entered_at + max_delay => MergeResult::Unchanged,
            ObservationSource::Post => time_corrected(current, observed),
            ObservationSource::Feed | ObservationSource::Snapshot | ObservationSource::History => {
                MergeResult::Changed(observed.ordered_after(Some(current)))
            }
        };
    }
    if observation.estimated_start + max_delay < current.entered_at {
        return MergeResult::Unchanged;
    }
    // A message sent after the current state began is newer, however long it was under way.
    if known.reported_by_feed || observation.received_at - max_delay > current.entered_at {
        return MergeResult::Changed(observed.ordered_after(Some(current)));
    }
    MergeResult::Contradiction
}

#[cfg(test)]
mod tests;
