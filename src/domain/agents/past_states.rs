//! Fills a gap in observation with what the platform's state history says of it.
//!
//! What was observed stays as it is: states that were read later only come between the row that was current when the
//! gap began and the row that was current when it ended. Where the platform's history does not lead up to that second
//! row, it is not complete, and nothing is filled in.

use std::collections::BTreeMap;

use super::agent::{ObservationSource, ObservedState};
use super::merge::SAME_CHANGE_WINDOW;
use super::state::AgentState;
use crate::domain::adherence::timeline::Span;
use crate::domain::ids::{AgentId, ReasonCode};
use crate::domain::time::UtcMicros;

/// A row of the platform's state history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastState {
    /// The agent.
    pub agent: AgentId,
    /// The agent's session, and the number of the row. A row with the same two corrects an earlier one.
    pub index: Option<(i64, i64)>,
    /// When the agent entered the state, on the platform's clock; `None` if the row does not say it.
    pub entered_at: Option<UtcMicros>,
    /// The state; `None` if the row does not say it, or if nobody knows what its code stands for.
    pub state: Option<AgentState>,
    /// The reason of the state, if the row says it.
    pub reason: Option<ReasonCode>,
}

/// A gap in observation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObservationGap {
    /// From the last observation before the gap, or the earliest instant that is still filled in, to the first
    /// observation after it, by our clock.
    pub span: Span,
    /// Whether the gap began earlier than the span, so that the state at the beginning of the span is unknown.
    pub is_cut: bool,
}

/// What fills a gap in one agent's history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GapFill {
    /// The states to insert, in order.
    pub inserted: Vec<ObservedState>,
    /// Whether the gap is filled; otherwise the platform's history is not complete.
    pub is_complete: bool,
}

/// Returns what fills a gap in an agent's history. `known` are the rows that are stored, from the one that was current
/// when the gap began, in order; `read` are the agent's rows in the platform's history, in the order in which they were
/// read; `offset_us` is what to subtract from the platform's instants to get ours. In the last attempt, what the
/// platform does not say is filled with an unknown state.
pub fn fill_gap(
    known: &[ObservedState],
    read: &[PastState],
    gap: ObservationGap,
    offset_us: i64,
    is_last_attempt: bool,
) -> GapFill {
    let Some((before, after)) = around(known, gap) else {
        // The state lasted through the gap, or the agent was not on the roster.
        return GapFill { inserted: Vec::new(), is_complete: true };
    };
    let (rows, is_readable) = newest_rows(read, is_last_attempt);
    let local = |platform: UtcMicros| platform.offset(-offset_us);
    let is_same = |known: &ObservedState, row: &ReadableRow<'_>| {
        let at = local(row.entered_at);
        let apart = known.entered_at.since(at).max(at.since(known.entered_at));
        known.platform_entered_at == Some(row.entered_at) || (known.state == row.state && apart <= SAME_CHANGE_WINDOW)
    };
    let leads_up = match after.platform_entered_at {
        Some(_) => rows.iter().any(|row| is_same(after, row)),
        // Nothing says since when the platform shows the state, or it does not show the agent.
        None => !rows.is_empty(),
    };
    let unknown = || before.and_then(|before| unknown_from(before, after, gap));
    if !(is_readable && leads_up) {
        let inserted = is_last_attempt.then(unknown).flatten().into_iter().collect();
        return GapFill { inserted, is_complete: false };
    }
    let earliest = gap.span.0 - SAME_CHANGE_WINDOW;
    let follows = |at: UtcMicros| match before.and_then(|before| before.platform_entered_at) {
        Some(known_at) => at > known_at && local(at) >= earliest,
        None => local(at) >= earliest && before.is_none_or(|before| local(at) > before.history_at),
    };
    let precedes = |at: UtcMicros| match after.platform_entered_at {
        Some(known_at) => at < known_at,
        None => local(at) < after.history_at,
    };
    let mut inserted: Vec<ObservedState> = gap.is_cut.then(unknown).flatten().into_iter().collect();
    for row in &rows {
        let at = row.entered_at;
        if !follows(at) || !precedes(at) || known.iter().any(|known| is_same(known, row)) {
            continue;
        }
        let state = ObservedState::new(row.state.clone(), local(at), ObservationSource::History);
        let row = ObservedState { reason: row.reason.cloned(), platform_entered_at: Some(at), ..state }
            .ordered_after(inserted.last().or(before));
        // What was observed is not replaced, and nothing is put behind it.
        if row.history_at < after.history_at && known.iter().all(|other| other.history_at != row.history_at) {
            inserted.push(row);
        }
    }
    GapFill { inserted, is_complete: true }
}

/// Returns the row that makes the state unknown from the beginning of a gap on; `None` if no row is needed.
fn unknown_from(before: &ObservedState, after: &ObservedState, gap: ObservationGap) -> Option<ObservedState> {
    let row = ObservedState::new(AgentState::unobserved(), gap.span.0, ObservationSource::History);
    let row = row.ordered_after(Some(before));
    (!before.state.is_unobserved() && row.history_at < after.history_at).then_some(row)
}

/// Returns the rows that were current when the gap began, if there was one, and when it ended; `None` if they are the
/// same or if there is no second one.
fn around(known: &[ObservedState], gap: ObservationGap) -> Option<(Option<&ObservedState>, &ObservedState)> {
    let (from, to) = gap.span;
    let before = known.iter().rfind(|row| row.history_at <= from);
    let after = known.iter().rfind(|row| row.history_at <= to)?;
    (before != Some(after)).then_some((before, after))
}

/// A row with a state and an instant.
struct ReadableRow<'a> {
    entered_at: UtcMicros,
    state: AgentState,
    reason: Option<&'a ReasonCode>,
}

impl<'a> ReadableRow<'a> {
    fn from_row(row: &'a PastState, is_last_attempt: bool) -> Option<Self> {
        let state = row.state.clone().or_else(|| is_last_attempt.then(AgentState::unobserved))?;
        Some(Self { entered_at: row.entered_at?, state, reason: row.reason.as_ref() })
    }
}

/// Returns an agent's rows in order, the newest of each number, and whether all of them can be
/// read. In the last attempt, a row without a state stands for an unknown one.
fn newest_rows(read: &[PastState], is_last_attempt: bool) -> (Vec<ReadableRow<'_>>, bool) {
    let mut by_index: BTreeMap<(i64, i64), &PastState> = BTreeMap::new();
    let mut others = Vec::new();
    for row in read {
        match row.index {
            Some(index) => drop(by_index.insert(index, row)),
            None => others.push(row),
        }
    }
    let rows: Vec<_> =
        by_index.into_values().chain(others).map(|row| ReadableRow::from_row(row, is_last_attempt)).collect();
    let is_readable = rows.iter().all(Option::is_some);
    let mut rows: Vec<ReadableRow<'_>> = rows.into_iter().flatten().collect();
    // Of several rows that begin together, the last one is the state that lasted. The sort keeps their order.
    rows.sort_by_key(|row| row.entered_at);
    rows.dedup_by(|later, earlier| {
        let is_same_instant = later.entered_at == earlier.entered_at;
        if is_same_instant {
            std::mem::swap(later, earlier);
        }
        is_same_instant
    });
    (rows, is_readable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use AgentState::{NotReady, OnContact, Paused, Ready};

    fn at(second: i64) -> UtcMicros {
        UtcMicros::from_micros(second * 1_000_000)
    }

    /// The platform's clock is this far ahead of ours.
    const OFFSET_US: i64 = 2_000_000;

    /// A row that a snapshot showed.
    fn seen(state: AgentState, second: i64) -> ObservedState {
        let row = ObservedState::new(state, at(second), ObservationSource::Snapshot);
        ObservedState { platform_entered_at: Some(at(second).offset(OFFSET_US)), ..row }
    }

    /// A row of the platform's history, by our clock.
    fn row(index: i64, second: i64, state: AgentState) -> PastState {
        let entered_at = Some(at(second).offset(OFFSET_US));
        PastState { agent: AgentId::new("a"), index: Some((1, index)), entered_at, state: Some(state), reason: None }
    }

    const GAP: ObservationGap = ObservationGap {
        span: (UtcMicros::from_micros(100_000_000), UtcMicros::from_micros(500_000_000)),
        is_cut: false,
    };

    fn fill_with(known: &[ObservedState], read: &[PastState], gap: ObservationGap) -> Option<Vec<(i64, AgentState)>> {
        let fill = fill_gap(known, read, gap, OFFSET_US, false);
        let seconds = |row: ObservedState| {
            assert_eq!(row.source, ObservationSource::History);
            (row.history_at.as_micros() / 1_000_000, row.state)
        };
        fill.is_complete.then(|| fill.inserted.into_iter().map(seconds).collect())
    }

    fn fill(known: &[ObservedState], read: &[PastState]) -> Option<Vec<(i64, AgentState)>> {
        fill_with(known, read, GAP)
    }

    #[test]
    fn states_of_the_gap_come_between_the_rows_around_it() {
        let known = [seen(Ready, 50), seen(Ready, 450), seen(Paused, 600)];
        let read =
            [row(1, 50, Ready), row(2, 120, OnContact), row(3, 180, NotReady), row(4, 450, Ready), row(5, 600, Paused)];
        assert_eq!(fill(&known, &read), Some(vec![(120, OnContact), (180, NotReady)]));
        // In any order, and again with what was filled in before.
        let reversed: Vec<_> = read.iter().rev().cloned().collect();
        assert_eq!(fill(&known, &reversed), Some(vec![(120, OnContact), (180, NotReady)]));
        let filled = [&known[..1], &fill_gap(&known, &read, GAP, OFFSET_US, false).inserted, &known[1..]].concat();
        assert_eq!(fill(&filled, &read), Some(Vec::new()), "nothing is inserted twice");
    }

    #[test]
    fn a_row_that_is_filled_in_keeps_its_reason() {
        let known = [seen(Ready, 50), seen(Ready, 450)];
        let lunch = PastState { reason: Some("Lunch".into()), ..row(2, 120, NotReady) };
        let filled = fill_gap(&known, &[row(1, 50, Ready), lunch, row(3, 450, Ready)], GAP, OFFSET_US, false);
        let reasons: Vec<_> = filled.inserted.into_iter().map(|row| (row.state, row.reason)).collect();
        assert_eq!(reasons, [(NotReady, Some("Lunch".into()))]);
    }

    #[test]
    fn a_state_that_lasted_through_the_gap_stands_whatever_the_history_says() {
        let read = [row(1, 120, OnContact), row(2, 180, Ready)];
        assert_eq!(fill(&[seen(Ready, 50)], &read), Some(Vec::new()));
        assert_eq!(fill(&[seen(Ready, 50), seen(Paused, 600)], &read), Some(Vec::new()));
        assert_eq!(fill(&[], &read), Some(Vec::new()), "nobody observed the agent at the end of the gap");
    }

    #[test]
    fn a_history_that_does_not_lead_up_to_what_was_seen_fills_nothing() {
        let known = [seen(Ready, 50), seen(Paused, 450)];
        assert_eq!(fill(&known, &[]), None);
        assert_eq!(fill(&known, &[row(1, 120, OnContact)]), None, "it lags");
        let unreadable = PastState { state: None, ..row(2, 200, Ready) };
        let read = [row(1, 120, OnContact), unreadable, row(3, 450, Paused)];
        assert_eq!(fill(&known, &read), None, "what the unreadable row stands for is unknown");
        let corrected = [&read[..], &[row(2, 200, NotReady)]].concat();
        assert_eq!(fill(&known, &corrected), Some(vec![(120, OnContact), (200, NotReady)]));
    }

    #[test]
    fn after_the_last_attempt_what_the_history_does_not_say_is_unknown() {
        let known = [seen(Ready, 50), seen(Paused, 450)];
        let last_attempt = |known: &[ObservedState], read: &[PastState]| {
            let fill = fill_gap(known, read, GAP, OFFSET_US, true);
            let rows = fill.inserted.iter().map(|row| (row.history_at, row.state.clone()));
            (rows.collect::<Vec<_>>(), fill.is_complete)
        };
        let unknown = AgentState::unobserved();
        assert_eq!(last_attempt(&known, &[row(1, 120, OnContact)]), (vec![(at(100), unknown.clone())], false));
        assert_eq!(last_attempt(&known[..1], &[]), (vec![], true), "the state lasted");
        // Of a row without a state, only its own time is unknown; one without an instant may have begun at any time.
        let no_state = PastState { state: None, ..row(2, 200, Ready) };
        let read = [row(1, 120, OnContact), no_state, row(3, 300, Ready), row(4, 450, Paused)];
        let expected = vec![(at(120), OnContact), (at(200), unknown.clone()), (at(300), Ready)];
        assert_eq!(last_attempt(&known, &read), (expected, true));
        let no_instant = PastState { entered_at: None, ..row(2, 200, Ready) };
        let read = [row(1, 120, OnContact), no_instant, row(4, 450, Paused)];
        assert_eq!(last_attempt(&known, &read), (vec![(at(100), unknown)], false));
    }

    #[test]
    fn a_later_row_of_the_same_number_corrects_the_earlier_one() {
        let known = [seen(Ready, 50), seen(Paused, 450)];
        let read = [row(1, 120, OnContact), row(2, 450, Paused), row(1, 140, NotReady)];
        assert_eq!(fill(&known, &read), Some(vec![(140, NotReady)]));
        let together = [row(1, 120, OnContact), row(2, 120, NotReady), row(3, 450, Paused)];
        assert_eq!(fill(&known, &together), Some(vec![(120, NotReady)]), "a state without duration is left out");
    }

    #[test]
    fn what_was_seen_in_the_gap_stays_and_jitter_is_no_further_state() {
        // A change of ours was accepted in the gap, a second after it took effect.
        let posted = ObservedState::new(Paused, at(201), ObservationSource::Post);
        let known = [seen(Ready, 50), posted, seen(Ready, 450)];
        let read = [row(1, 53, Ready), row(2, 200, Paused), row(3, 300, OnContact), row(4, 450, Ready)];
        assert_eq!(fill(&known, &read), Some(vec![(300, OnContact)]));
    }

    #[test]
    fn an_agent_who_is_no_longer_shown_was_in_the_last_state_until_then() {
        let gone = ObservedState::new(AgentState::unobserved(), at(500), ObservationSource::Snapshot);
        let known = [seen(Ready, 50), gone];
        assert_eq!(fill(&known, &[row(1, 120, Paused), row(2, 505, Ready)]), Some(vec![(120, Paused)]));
        assert_eq!(fill(&known, &[]), None);
    }

    #[test]
    fn the_beginning_of_a_gap_that_is_cut_is_unknown() {
        let gap = ObservationGap { is_cut: true, ..GAP };
        let known = [seen(Ready, 50), seen(Paused, 450)];
        let read = [row(2, 120, OnContact), row(3, 450, Paused)];
        let expected = vec![(100, AgentState::unobserved()), (120, OnContact)];
        assert_eq!(fill_with(&known, &read, gap), Some(expected));
        let filled = [&known[..1], &fill_gap(&known, &read, gap, OFFSET_US, false).inserted, &known[1..]].concat();
        assert_eq!(fill_with(&filled, &read, gap), Some(Vec::new()));
    }
}
