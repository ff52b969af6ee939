//! What a message of the feed means beside what is known.

use super::*;

pub(super) fn feed_observation(state: AgentState, began_at: UtcMicros, received_at: UtcMicros) -> FeedObservation {
    FeedObservation { state, received_at, estimated_start: began_at, buffered_for: Duration::ZERO, connection: 1 }
}

/// Merges a message into a state that followed nothing.
fn merge_message(
    current: Option<&ObservedState>,
    reported_by_feed: bool,
    observation: &FeedObservation,
) -> MergeResult {
    merge_feed(
        KnownState { current, reported_by_feed, max_delay: MAX_DELAY, clock_now: at(1_000), ..KnownState::default() },
        observation,
    )
}

#[test]
fn the_first_message_is_a_change_from_when_it_says_on() {
    let MergeResult::Changed(observed) =
        merge_message(None, false, &feed_observation(AgentState::Idle, at(40), at(50)))
    else {
        panic!("a change")
    };
    assert_eq!(
        (observed.state, observed.entered_at, observed.source),
        (AgentState::Idle, at(40), ObservationSource::Feed)
    );
    assert_eq!((observed.platform_entered_at, observed.history_at), (None, at(40)));
}

#[test]
fn a_message_about_an_unobserved_agent_does_not_fill_the_gap() {
    let gone = observed_state(AgentState::unobserved(), 200, ObservationSource::Snapshot);
    for (began_at, expected) in [(at(150), at(210)), (at(200), at(210)), (just_after(at(200)), just_after(at(200)))] {
        let merged = merge_message(Some(&gone), false, &feed_observation(AgentState::Ready, began_at, at(210)));
        assert_eq!(entered_at_of(&merged), Some(expected), "began at {began_at}");
    }
}

#[test]
fn a_message_of_the_known_state_is_news_only_beyond_what_it_may_be_late_by() {
    let snapshot = observed_state(AgentState::Ready, 100, ObservationSource::Snapshot);
    let late = |seconds_buffered| FeedObservation {
        buffered_for: Duration::from_secs(seconds_buffered),
        ..feed_observation(AgentState::Ready, at(105 + 10), at(200))
    };
    assert_eq!(
        merge_message(Some(&snapshot), true, &feed_observation(AgentState::Ready, at(105), at(200))),
        MergeResult::Unchanged
    );
    let again = just_after(at(105));
    assert_eq!(
        entered_at_of(&merge_message(Some(&snapshot), true, &feed_observation(AgentState::Ready, again, at(200)))),
        Some(again)
    );
    assert_eq!(
        merge_message(Some(&snapshot), true, &late(10)),
        MergeResult::Unchanged,
        "it waited here for ten seconds"
    );
    assert!(matches!(merge_message(Some(&snapshot), true, &late(9)), MergeResult::Changed(_)));
    let posted = observed_state(AgentState::Ready, 100, ObservationSource::Post);
    let merged = merge_message(Some(&posted), false, &feed_observation(AgentState::Ready, again, at(200)));
    assert!(matches!(merged, MergeResult::TimeCorrected(_)) && entered_at_of(&merged) == Some(again), "{merged:?}");
}

#[test]
fn a_message_of_another_state_is_old_news_or_in_doubt_unless_it_surely_came_later() {
    use AgentState::{Paused, Ready};
    let snapshot = observed_state(Ready, 100, ObservationSource::Snapshot);
    let first = Some(just_after(at(100)));
    for (reported_by_feed, message, expected, why) in [
        (false, feed_observation(Paused, at(95), at(200)), first, "sent after the known change began"),
        (false, feed_observation(Paused, at(95).offset(-1), at(200)), None, "earlier than it may be late by"),
        (
            false,
            feed_observation(Paused, at(98), just_after(at(105))),
            first,
            "it was on its way for five seconds at most",
        ),
        (true, feed_observation(Paused, at(98), at(101)), first, "the feed has told of what is known"),
    ] {
        assert_eq!(entered_at_of(&merge_message(Some(&snapshot), reported_by_feed, &message)), expected, "{why}");
    }
    assert_eq!(
        merge_message(Some(&snapshot), false, &feed_observation(Paused, at(98), at(105))),
        MergeResult::Contradiction
    );
    assert_eq!(
        merge_message(Some(&snapshot), true, &feed_observation(Paused, at(95).offset(-1), at(101))),
        MergeResult::Unchanged
    );
    let late = feed_observation(Paused, at(98), at(115));
    let buffered = FeedObservation { buffered_for: Duration::from_secs(10), ..late };
    let merged = merge_message(Some(&snapshot), false, &buffered);
    assert_eq!(merged, MergeResult::Contradiction, "it may have come ten seconds earlier");
}
