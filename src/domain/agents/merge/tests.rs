//! What a sighting means beside what is known, each rule at its very edge.

use super::*;
use crate::domain::ids::TransitionId;

mod feed;

fn at(seconds: i64) -> UtcMicros {
    UtcMicros::from_micros(seconds * 1_000_000)
}

/// A microsecond later.
fn just_after(instant: UtcMicros) -> UtcMicros {
    instant.offset(1)
}

const MAX_DELAY: Duration = SAME_CHANGE_WINDOW;

/// Merges a row into a state that followed nothing.
fn merge_row(current: Option<&ObservedState>, observation: &SnapshotRow, contradictions: u8) -> MergeResult {
    super::merge_snapshot(
        KnownState { current, contradictions, max_delay: MAX_DELAY, clock_now: at(1_000), ..KnownState::default() },
        observation,
    )
}

fn observed_state(state: AgentState, entered_at: i64, source: ObservationSource) -> ObservedState {
    ObservedState::new(state, at(entered_at), source)
}

fn row(state: AgentState, changed_at: i64, generated_at: i64) -> SnapshotRow {
    let changed_at = Some(at(changed_at));
    SnapshotRow {
        state,
        reason: None,
        queue: None,
        changed_at,
        platform_changed_at: changed_at,
        generated_at: at(generated_at),
    }
}

fn entered_at_of(merged: &MergeResult) -> Option<UtcMicros> {
    match merged {
        MergeResult::Changed(observed)
        | MergeResult::TimeCorrected(observed)
        | MergeResult::DetailsChanged(observed) => Some(observed.entered_at),
        MergeResult::Unchanged | MergeResult::Contradiction | MergeResult::Inserted(_) => None,
    }
}

#[test]
fn a_change_is_a_new_state_or_the_same_entered_again() {
    use AgentState::{Paused, Ready};
    let snapshot = observed_state(Paused, 100, ObservationSource::Snapshot);
    for (snapshot_row, expected, case) in [
        (row(Paused, 100, 120), None, "a repeat"),
        (row(Paused, 104, 120), None, "jitter within 5 s"),
        (row(Paused, 90, 120), None, "an older row of the same state"),
        (row(Paused, 106, 120), Some(at(106)), "entered again"),
        (row(Ready, 110, 120), Some(at(110)), "a new state"),
        (row(Ready, 97, 120), Some(at(100).offset(1)), "a new state whose instant jitters below the known one"),
        (row(Ready, 80, 120), None, "an older row of another state"),
        (row(Ready, 200, 120), Some(at(120)), "an instant after the snapshot's own is cut"),
        (row(Paused, 200, 120), None, "and says nothing of the state that is known"),
        (SnapshotRow { changed_at: None, ..row(Paused, 0, 120) }, None, "nor does none"),
    ] {
        let merged = merge_row(Some(&snapshot), &snapshot_row, 0);
        assert_eq!(entered_at_of(&merged), expected, "{case}: {merged:?}");
    }
}

#[test]
fn an_interval_with_a_repeated_instant_is_not_entered_again_however_uncertain_the_clock() {
    use AgentState::Paused;
    let interval =
        ObservedState { platform_entered_at: Some(at(95)), ..observed_state(Paused, 100, ObservationSource::Snapshot) };
    let snapshot_row =
        |platform_second| SnapshotRow { platform_changed_at: Some(at(platform_second)), ..row(Paused, 108, 120) };
    assert_eq!(merge_row(Some(&interval), &snapshot_row(95), 0), MergeResult::Unchanged);
    assert_eq!(
        entered_at_of(&merge_row(Some(&interval), &snapshot_row(103), 0)),
        Some(at(108)),
        "another instant is another stay"
    );
}

#[test]
fn the_first_observation_is_a_change_and_a_missing_instant_is_the_snapshots() {
    let snapshot_row = SnapshotRow { changed_at: None, platform_changed_at: None, ..row(AgentState::Idle, 0, 50) };
    assert_eq!(entered_at_of(&merge_row(None, &snapshot_row, 0)), Some(at(50)));
}

#[test]
fn a_snapshot_settles_the_estimate_of_an_accepted_post_whenever_it_took_effect() {
    let mut posted = observed_state(AgentState::Ready, 100, ObservationSource::Post);
    posted.reason = Some("WORKING".into());
    for changed_at in [98, 103, 130] {
        let MergeResult::TimeCorrected(now) = merge_row(Some(&posted), &row(AgentState::Ready, changed_at, 140), 0)
        else {
            panic!("settled at {changed_at}")
        };
        assert_eq!((now.entered_at, now.source), (at(changed_at), ObservationSource::Snapshot));
        assert_eq!(now.reason, posted.reason, "the reason that only we know is kept");
    }
    assert_eq!(
        merge_row(Some(&posted), &row(AgentState::Paused, 50, 110), 0),
        MergeResult::Contradiction,
        "not shown yet"
    );
}

#[test]
fn an_older_row_of_another_state_is_believed_the_third_time() {
    let snapshot = observed_state(AgentState::Ready, 100, ObservationSource::Snapshot);
    let older = row(AgentState::Paused, 50, 130);
    assert_eq!(merge_row(Some(&snapshot), &older, 0), MergeResult::Contradiction);
    assert_eq!(merge_row(Some(&snapshot), &older, 1), MergeResult::Contradiction);
    assert_eq!(entered_at_of(&merge_row(Some(&snapshot), &older, 2)), Some(at(130)));
}

#[test]
fn a_contact_that_began_just_before_an_accepted_post_disproves_it_the_third_time() {
    let posted = observed_state(AgentState::Paused, 100, ObservationSource::Post);
    let contact = row(AgentState::OnContact, 98, 110);
    assert_eq!(merge_row(Some(&posted), &contact, 0), MergeResult::Contradiction, "the change waits for its end");
    assert_eq!(entered_at_of(&merge_row(Some(&posted), &contact, 2)), Some(at(110)));
    assert_eq!(entered_at_of(&merge_row(Some(&posted), &row(AgentState::OnContact, 101, 110), 0)), Some(at(101)));
}

#[test]
fn a_snapshot_from_before_an_accepted_post_does_not_disprove_it() {
    let posted = observed_state(AgentState::Ready, 100, ObservationSource::Post);
    assert_eq!(merge_row(Some(&posted), &row(AgentState::Paused, 50, 99), 2), MergeResult::Contradiction);
}

#[test]
fn a_reason_change_is_known_from_its_acceptance_however_old_the_interval_is() {
    let interval = observed_state(AgentState::Paused, 0, ObservationSource::Snapshot);
    let reason = ObservedState {
        entered_at: at(0),
        history_at: at(100),
        ..observed_state(AgentState::Paused, 100, ObservationSource::Post)
    };
    let merged = |snapshot_row: &SnapshotRow, contradictions| {
        let before = Some(&interval);
        super::merge_snapshot(
            KnownState {
                current: Some(&reason),
                previous: before,
                contradictions,
                max_delay: MAX_DELAY,
                reported_by_feed: false,
                clock_now: at(1_000),
            },
            snapshot_row,
        )
    };
    let departed = merged(&row(AgentState::Ready, 60, 90), 0);
    assert!(
        matches!(departed, MergeResult::Inserted(_)),
        "the agent had left the state, and nobody had seen it: {departed:?}"
    );
    assert_eq!(merged(&row(AgentState::Ready, 60, 90), 2), departed);
    assert_eq!(merged(&row(AgentState::Ready, 60, 110), 0), MergeResult::Contradiction, "not shown yet");
    assert_eq!(entered_at_of(&merged(&row(AgentState::Ready, 60, 110), 2)), Some(at(110)));
    assert_eq!(entered_at_of(&merged(&row(AgentState::Ready, 101, 110), 0)), Some(at(101)));
    assert_eq!(merged(&row(AgentState::Paused, 0, 110), 0), MergeResult::Unchanged, "the stay goes on");
}

#[test]
fn a_late_snapshot_shows_what_the_feed_left_out_where_its_place_is_sure() {
    use AgentState::{OnContact, Paused, Ready};
    let (observed, feed_state) = (
        observed_state(Ready, 0, ObservationSource::Snapshot),
        observed_state(OnContact, 100, ObservationSource::Feed),
    );
    let posted = observed_state(OnContact, 100, ObservationSource::Post);
    let reported_before = observed_state(Ready, 50, ObservationSource::Feed);
    for (before, now, snapshot_row, between, why) in [
        (&observed, &feed_state, row(Paused, 60, 90), true, "overtaken by the message"),
        (&observed, &posted, row(Paused, 60, 90), true, "overtaken by an answer to a change of ours"),
        (&observed, &feed_state, row(Paused, 96, 99), false, "the message may be so late"),
        (&observed, &feed_state, row(Paused, 60, 101), false, "a snapshot from after it contradicts it"),
        (&observed, &feed_state, row(Ready, 60, 90), false, "the stay before"),
        (&reported_before, &feed_state, row(Paused, 54, 90), false, "what was told before may be as late"),
        (&reported_before, &feed_state, row(Paused, 56, 90), true, "after what was told before"),
        (
            &observed,
            &observed_state(OnContact, 100, ObservationSource::Snapshot),
            row(Paused, 60, 90),
            false,
            "snapshots come in order",
        ),
    ] {
        let merged = super::merge_snapshot(
            KnownState {
                current: Some(now),
                previous: Some(before),
                reported_by_feed: true,
                contradictions: 0,
                max_delay: MAX_DELAY,
                clock_now: at(1_000),
            },
            &snapshot_row,
        );
        assert_eq!(matches!(merged, MergeResult::Inserted(_)), between, "{why}: {merged:?}");
    }
}

#[test]
fn an_agent_observed_again_begins_an_interval_and_the_gap_stays_unknown() {
    for state in [AgentState::unobserved(), AgentState::off_roster()] {
        let gone = observed_state(state, 200, ObservationSource::Snapshot);
        let MergeResult::Changed(same) = merge_row(Some(&gone), &row(AgentState::Ready, 100, 320), 0) else {
            panic!("seen again")
        };
        assert_eq!(
            (same.entered_at, same.platform_entered_at),
            (at(320), None),
            "the stay from before: from the sight on"
        );
        let MergeResult::Changed(new) = merge_row(Some(&gone), &row(AgentState::Paused, 250, 320), 0) else {
            panic!("seen again")
        };
        assert_eq!((new.entered_at, new.platform_entered_at), (at(250), Some(at(250))), "changed while nobody saw it");
        assert_eq!(
            merge_row(Some(&same), &row(AgentState::Ready, 100, 330), 0),
            MergeResult::Unchanged,
            "the stay goes on"
        );
    }
    assert!(!AgentState::Unknown("coffee".into()).is_unobserved());
}

#[test]
fn another_queue_alone_keeps_the_instant() {
    let snapshot = observed_state(AgentState::Ready, 100, ObservationSource::Snapshot);
    let snapshot_row = SnapshotRow { queue: Some("Support".into()), ..row(AgentState::Ready, 100, 120) };
    let MergeResult::DetailsChanged(observed) = merge_row(Some(&snapshot), &snapshot_row, 0) else {
        panic!("the queue changed")
    };
    assert_eq!((observed.entered_at, observed.queue.as_deref()), (at(100), Some("Support")));
}

#[test]
fn the_reason_is_the_rows_except_where_our_change_set_it() {
    let with_reason = |reason: &str, changed_at, generated_at| SnapshotRow {
        reason: Some(reason.into()),
        ..row(AgentState::Paused, changed_at, generated_at)
    };
    let first = merge_row(None, &with_reason("Break", 100, 110), 0);
    let MergeResult::Changed(seen) = first else { panic!("{first:?}") };
    assert_eq!(seen.reason, Some("Break".into()));
    assert_eq!(merge_row(Some(&seen), &with_reason("Break", 100, 120), 0), MergeResult::Unchanged);
    let later = merge_row(Some(&seen), &with_reason("Lunch", 200, 210), 0);
    assert!(matches!(&later, MergeResult::Changed(now) if now.reason == Some("Lunch".into())), "{later:?}");

    // A state of which the reason was unknown, such as one that the feed reported.
    let unknown = ObservedState { reason: None, ..seen.clone() };
    let named = merge_row(Some(&unknown), &with_reason("Break", 100, 120), 0);
    assert_eq!(named, MergeResult::DetailsChanged(seen));

    let mut posted = observed_state(AgentState::Paused, 300, ObservationSource::Post);
    posted.reason = Some("BREAK".into());
    let settled = merge_row(Some(&posted), &with_reason("Short break", 302, 310), 0);
    let MergeResult::TimeCorrected(ours) = settled else { panic!("{settled:?}") };
    assert_eq!(ours.reason, posted.reason);
    assert_eq!(merge_row(Some(&ours), &with_reason("Short break", 302, 320), 0), MergeResult::Unchanged);
}

#[test]
fn rows_keep_their_order_where_the_clock_was_set_back() {
    let mut before = observed_state(AgentState::Ready, 100, ObservationSource::Snapshot);
    before.history_at = at(86_500);
    let MergeResult::Changed(next) = merge_row(Some(&before), &row(AgentState::Paused, 120, 130), 0) else {
        panic!("changed")
    };
    assert_eq!((next.entered_at, next.history_at), (at(120), at(86_500).offset(1)));
    let MergeResult::Changed(again) = merge_row(Some(&before), &row(AgentState::Ready, 120, 130), 0) else {
        panic!("again")
    };
    assert_eq!((again.entered_at, again.history_at), (at(120), at(86_500).offset(1)));
}

#[test]
fn an_instant_that_was_not_believed_is_not_kept_as_the_platform_s() {
    let snapshot = observed_state(AgentState::Ready, 100, ObservationSource::Snapshot);
    let MergeResult::Changed(believed) = merge_row(Some(&snapshot), &row(AgentState::Paused, 50, 130), 2) else {
        panic!("believed")
    };
    assert_eq!(believed.platform_entered_at, None);
    let MergeResult::Changed(future) = merge_row(None, &row(AgentState::Paused, 500, 130), 0) else {
        panic!("first seen")
    };
    assert_eq!((future.entered_at, future.platform_entered_at), (at(130), None), "an instant after the snapshot's own");
    let MergeResult::Changed(kept) = merge_row(None, &row(AgentState::Paused, 50, 130), 0) else {
        panic!("first seen")
    };
    assert_eq!(kept.platform_entered_at, Some(at(50)));
}

/// Merges a row into an estimate that followed `previous`.
fn merge_after(previous: &ObservedState, current: &ObservedState, observation: &SnapshotRow) -> MergeResult {
    let known = KnownState {
        current: Some(current),
        previous: Some(previous),
        max_delay: MAX_DELAY,
        clock_now: at(1_000),
        ..KnownState::default()
    };
    super::merge_snapshot(known, observation)
}

fn row_at(state: AgentState, changed_at: UtcMicros, generated_at: UtcMicros) -> SnapshotRow {
    SnapshotRow {
        state,
        reason: None,
        queue: None,
        changed_at: Some(changed_at),
        platform_changed_at: Some(changed_at),
        generated_at,
    }
}

#[test]
fn an_instant_up_to_five_seconds_after_the_snapshot_is_kept_as_the_platforms() {
    for (changed_at, kept) in [(at(125), true), (just_after(at(125)), false)] {
        let merged = merge_row(None, &row_at(AgentState::Ready, changed_at, at(120)), 0);
        let MergeResult::Changed(observed) = merged else { panic!("first seen") };
        assert_eq!((observed.entered_at, observed.platform_entered_at), (at(120), kept.then_some(changed_at)));
    }
}

#[test]
fn an_interval_that_began_when_the_agent_was_last_observed_is_an_old_one() {
    let gone = observed_state(AgentState::unobserved(), 200, ObservationSource::Snapshot);
    assert_eq!(entered_at_of(&merge_row(Some(&gone), &row(AgentState::Ready, 200, 320), 0)), Some(at(320)));
    let later = row_at(AgentState::Ready, just_after(at(200)), at(320));
    assert_eq!(entered_at_of(&merge_row(Some(&gone), &later, 0)), Some(just_after(at(200))));
}

#[test]
fn what_is_seen_is_later_than_what_lies_ahead_of_our_clock() {
    let ahead = observed_state(AgentState::Ready, 2_000, ObservationSource::Snapshot);
    let MergeResult::Changed(next) = merge_row(Some(&ahead), &row(AgentState::Paused, 900, 950), 0) else {
        panic!("a change")
    };
    assert_eq!((next.entered_at, next.history_at), (at(900), just_after(at(2_000))));
    assert_eq!(merge_row(Some(&ahead), &row(AgentState::Ready, 900, 950), 0), MergeResult::Unchanged);
    // The clock stands at 1,000.
    let now = observed_state(AgentState::Ready, 1_000, ObservationSource::Snapshot);
    assert_eq!(merge_row(Some(&now), &row(AgentState::Paused, 900, 950), 0), MergeResult::Contradiction);
}

#[test]
fn five_seconds_of_jitter_are_no_change_and_a_microsecond_more_is_one() {
    use AgentState::{Paused, Ready};
    let snapshot = observed_state(Paused, 100, ObservationSource::Snapshot);
    assert_eq!(merge_row(Some(&snapshot), &row(Paused, 105, 120), 0), MergeResult::Unchanged);
    let again = just_after(at(105));
    assert_eq!(entered_at_of(&merge_row(Some(&snapshot), &row_at(Paused, again, at(120)), 0)), Some(again));
    assert_eq!(entered_at_of(&merge_row(Some(&snapshot), &row(Ready, 95, 120), 0)), Some(just_after(at(100))));
    let older = row_at(Ready, at(95).offset(-1), at(120));
    assert_eq!(merge_row(Some(&snapshot), &older, 0), MergeResult::Contradiction);
}

#[test]
fn a_row_from_the_very_instant_of_an_acceptance_is_not_newer() {
    let posted = observed_state(AgentState::Paused, 100, ObservationSource::Post);
    assert_eq!(merge_row(Some(&posted), &row(AgentState::OnContact, 100, 110), 0), MergeResult::Contradiction);
    let newer = row_at(AgentState::OnContact, just_after(at(100)), at(110));
    assert_eq!(entered_at_of(&merge_row(Some(&posted), &newer, 0)), Some(just_after(at(100))));
}

#[test]
fn a_contradiction_is_believed_only_of_a_snapshot_from_after_what_is_known() {
    let snapshot = observed_state(AgentState::Ready, 100, ObservationSource::Snapshot);
    assert_eq!(merge_row(Some(&snapshot), &row(AgentState::Paused, 50, 100), 2), MergeResult::Contradiction);
    let after = row_at(AgentState::Paused, at(50), just_after(at(100)));
    assert_eq!(entered_at_of(&merge_row(Some(&snapshot), &after, 2)), Some(just_after(at(100))));
}

#[test]
fn a_row_is_newer_than_a_message_if_the_message_may_be_that_late() {
    use AgentState::{OnContact, Paused, Ready};
    let feed_state = observed_state(OnContact, 100, ObservationSource::Feed);
    let (interval, recent) = (
        observed_state(Ready, 90, ObservationSource::Snapshot),
        observed_state(Paused, 97, ObservationSource::Snapshot),
    );
    let first = Some(just_after(at(100)));
    for (before, snapshot_row, expected, why) in [
        (&interval, row(Paused, 95, 101), first, "five seconds are within the message's way"),
        (&interval, row_at(Paused, at(95).offset(-1), at(101)), None, "more are not"),
        (&interval, row(Paused, 96, 100), None, "the snapshot is not from after the message"),
        (&interval, row(Ready, 95, 101), None, "the stay before, jittering"),
        (&interval, row_at(Ready, just_after(at(95)), at(101)), first, "the state before, entered again"),
        (&recent, row(Paused, 100, 102), None, "the stay before, up to the very instant"),
        (
            &recent,
            row_at(Paused, just_after(at(100)), at(102)),
            first,
            "after the message's instant it is newer in any case",
        ),
    ] {
        assert_eq!(entered_at_of(&merge_after(before, &feed_state, &snapshot_row)), expected, "{why}");
    }
}

#[test]
fn an_interval_in_between_lies_clearly_after_one_and_before_the_other() {
    use AgentState::{OnContact, Paused, Ready};
    let feed_state = observed_state(OnContact, 100, ObservationSource::Feed);
    let (reported, gone) = (
        observed_state(Ready, 50, ObservationSource::Feed),
        observed_state(AgentState::unobserved(), 0, ObservationSource::Snapshot),
    );
    let observed = |second| observed_state(Ready, second, ObservationSource::Snapshot);
    let without_instant = SnapshotRow { changed_at: None, ..row(Paused, 0, 90) };
    for (before, snapshot_row, between, why) in [
        (&observed(64), row(Paused, 60, 90), true, "a snapshot's instant may jitter by less than five seconds"),
        (&observed(65), row(Paused, 60, 90), false, "and not by five"),
        (&reported, row(Paused, 55, 90), false, "what was told may be five seconds late"),
        (&reported, row_at(Paused, just_after(at(55)), at(90)), true, "and not more"),
        (&observed(0), row(Paused, 95, 99), false, "the message may be late by as much"),
        (&observed(0), row_at(Paused, at(95).offset(-1), at(99)), true, "and not by more"),
        (&observed(0), row(Paused, 60, 100), false, "a snapshot from the very instant of the message"),
        (&observed(0), without_instant, false, "without an instant of its own"),
        (&observed(0), row(Paused, 95, 90), false, "with an instant that cannot be"),
        (&gone, row(Paused, 60, 90), false, "after a time out of sight"),
    ] {
        let merged = merge_after(before, &feed_state, &snapshot_row);
        assert_eq!(matches!(merged, MergeResult::Inserted(_)), between, "{why}: {merged:?}");
    }
}

#[test]
fn a_doubted_row_comes_between_once_a_better_instant_leaves_it_the_room() {
    use AgentState::{OnContact, Paused, Ready};
    let (before, posted) =
        (observed_state(Ready, 0, ObservationSource::Snapshot), observed_state(Paused, 100, ObservationSource::Post));
    let contact = row(OnContact, 98, 110);
    let max_delay = Duration::from_secs(60);
    let known_now = KnownState {
        current: Some(&posted),
        previous: Some(&before),
        max_delay,
        clock_now: at(1_000),
        ..KnownState::default()
    };
    assert_eq!(
        super::merge_snapshot(known_now, &contact),
        MergeResult::Contradiction,
        "the change waits for the contact's end"
    );
    let recover_at =
        |second, source| recover_intermediate_state(known_now, &observed_state(Paused, second, source), &contact);
    let inserted = recover_at(130, ObservationSource::Snapshot).expect("the contact was there");
    assert_eq!((inserted.state, inserted.entered_at), (OnContact, at(98)));
    assert_eq!(recover_at(104, ObservationSource::Snapshot), None, "the row was made after it");
    assert_eq!(recover_at(130, ObservationSource::Feed), None, "an estimate may be a minute late");
    assert!(recover_at(159, ObservationSource::Feed).is_some(), "and not more");
    assert_eq!(recover_intermediate_state(KnownState { current: None, ..known_now }, &posted, &contact), None);
    let placed_late = ObservedState { history_at: at(130), ..observed_state(Paused, 104, ObservationSource::Snapshot) };
    assert!(
        recover_intermediate_state(known_now, &placed_late, &contact).is_some(),
        "history has the change from 130 on"
    );
    let ahead =
        |second| ObservedState { history_at: at(2_000), ..observed_state(Paused, second, ObservationSource::Post) };
    let set_back = KnownState { current: Some(&ahead(100)), max_delay: MAX_DELAY, ..known_now };
    assert!(
        recover_intermediate_state(set_back, &ahead(130), &contact).is_some(),
        "rows ahead of the clock say nothing of when"
    );
}

#[test]
fn a_row_settles_an_estimate_of_its_state_unless_it_shows_an_earlier_interval() {
    use AgentState::{Paused, Ready};
    let feed_state = observed_state(Ready, 100, ObservationSource::Feed);
    let (other, same) =
        (observed_state(Paused, 95, ObservationSource::Feed), observed_state(Ready, 95, ObservationSource::Snapshot));
    for (before, snapshot_row, corrected_at, why) in [
        (&other, row(Ready, 105, 120), Some(at(105)), "five seconds later is the same stay"),
        (&other, row(Ready, 90, 120), Some(at(90)), "as early as the one before may be late"),
        (&other, row_at(Ready, at(90).offset(-1), at(120)), None, "earlier than that it is another stay"),
        (&other, row(Ready, 93, 95), Some(at(93)), "a snapshot from the instant of the one before"),
        (&other, row_at(Ready, at(93), at(95).offset(-1)), None, "a snapshot from before it"),
        (&same, row(Ready, 100, 120), None, "the stay before was in the same state"),
        (&same, row_at(Ready, just_after(at(100)), at(120)), Some(just_after(at(100))), "and this is not it"),
    ] {
        let merged = merge_after(before, &feed_state, &snapshot_row);
        assert_eq!(entered_at_of(&merged), corrected_at, "{why}");
        assert!(matches!(merged, MergeResult::TimeCorrected(_) | MergeResult::Unchanged), "{why}: {merged:?}");
    }
    let again = merge_after(&other, &feed_state, &row_at(Ready, just_after(at(105)), at(120)));
    assert!(matches!(again, MergeResult::Changed(_)), "entered again: {again:?}");
}

#[test]
fn what_settles_a_change_of_ours_keeps_what_only_we_know_of_it() {
    let posted = ObservedState {
        reason: Some("WORKING".into()),
        transition: Some(TransitionId(uuid::Uuid::nil())),
        requested_by_person: true,
        ..observed_state(AgentState::Ready, 100, ObservationSource::Post)
    };
    let ours = |observed: &ObservedState| (observed.reason.clone(), observed.transition, observed.requested_by_person);
    let known_now =
        KnownState { current: Some(&posted), max_delay: MAX_DELAY, clock_now: at(1_000), ..KnownState::default() };
    let by_row = super::merge_snapshot(known_now, &row(AgentState::Ready, 130, 140));
    let by_message = merge_feed(known_now, &feed::feed_observation(AgentState::Ready, at(130), at(131)));
    for merged in [by_row, by_message] {
        let MergeResult::TimeCorrected(settled) = merged else { panic!("settled: {merged:?}") };
        assert_eq!((ours(&settled), settled.entered_at), (ours(&posted), at(130)));
    }
    let without_instant = SnapshotRow { changed_at: None, ..row(AgentState::Ready, 0, 140) };
    assert_eq!(
        super::merge_snapshot(known_now, &without_instant),
        MergeResult::Unchanged,
        "no instant, nothing to settle it with"
    );
}
