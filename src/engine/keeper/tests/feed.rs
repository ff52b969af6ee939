//! The feed beside the snapshots: what counts as a change, what does not, and what the feed does not settle.

use super::harness::{INTERVAL, KeeperHarness, ScriptedResponse, at};
use super::{CLOCK_CHANGES_US, history_states, not_ready_s, states_set_by};
use crate::domain::agents::agent::ObservationSource;
use crate::domain::agents::roster::AgentRecord;
use crate::domain::agents::state::AgentState::{self, Idle, NotReady, OnContact, Paused, Ready};
use crate::domain::ids::ReasonCode;
use crate::domain::time::UtcMicros;
use crate::domain::webhooks::event::EventKind;

/// What history tells of the agent: state, second, source.
async fn rows(harness: &KeeperHarness) -> Vec<(AgentState, i64, ObservationSource)> {
    let rows = harness.history("u_1").await;
    let second = |instant: UtcMicros| (instant.as_micros() - at(0).as_micros()).div_euclid(1_000_000);
    rows.into_iter().map(|row| (row.state, second(row.entered_at), row.source)).collect()
}

#[tokio::test]
async fn a_change_that_both_show_is_one_row_with_the_platform_s_own_instant() {
    let expected = [(NotReady, 0, ObservationSource::Snapshot), (Ready, 100, ObservationSource::Snapshot)];
    for crashes in [false, true] {
        // The feed first, twice; then the snapshot, whose instant is a little earlier.
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", NotReady, 0)]).await;
        harness.receive_feed(102, &[("u_1", Ready, 0)]).await;
        assert_eq!(rows(&harness).await[1], (Ready, 102, ObservationSource::Feed));
        harness.receive_feed(104, &[("u_1", Ready, 2), ("u_2", Paused, 2)]).await;
        if crashes {
            harness.crash().await;
        }
        harness.observe(110, &[("u_1", Ready, 100)]).await;
        assert_eq!(
            (rows(&harness).await.as_slice(), not_ready_s(&harness).await),
            (&expected[..], 100),
            "crashes: {crashes}"
        );

        // The snapshot first.
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", NotReady, 0)]).await;
        harness.observe(101, &[("u_1", Ready, 100)]).await;
        if crashes {
            harness.crash().await;
        }
        harness.receive_feed(103, &[("u_1", Ready, 0)]).await;
        harness.receive_feed(163, &[("u_1", Ready, 60)]).await;
        assert_eq!(rows(&harness).await, expected, "crashes: {crashes}");
    }
}

#[tokio::test]
async fn a_snapshot_older_than_a_feed_message_undoes_nothing() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    harness.receive_feed(98, &[("u_1", Paused, 0)]).await;
    harness.receive_feed(100, &[("u_1", Ready, 0)]).await;
    let known = rows(&harness).await;
    // Each shows the old state, the last three after the change: then it is believed.
    for (generated, since, expected) in [(96, 0, 3), (97, 95, 3), (99, 98, 3), (110, 0, 3), (120, 0, 3), (130, 0, 4)] {
        harness.observe_late(131, generated, &[("u_1", NotReady, since)]).await;
        let now = rows(&harness).await;
        assert_eq!((now.len(), &now[..3]), (expected, &known[..]), "generated at {generated}");
    }
    assert_eq!(rows(&harness).await[3], (NotReady, 130, ObservationSource::Snapshot), "and what the feed showed stays");
}

#[tokio::test]
async fn the_state_before_that_is_shown_again_within_the_jitter_is_no_change() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(98, &[("u_1", NotReady, 97)]).await;
    harness.receive_feed(100, &[("u_1", Ready, 0)]).await;
    harness.observe_late(101, 99, &[("u_1", NotReady, 97)]).await;
    harness.observe(110, &[("u_1", Ready, 100)]).await;
    assert_eq!(
        rows(&harness).await,
        [(NotReady, 97, ObservationSource::Snapshot), (Ready, 100, ObservationSource::Snapshot)]
    );
}

#[tokio::test]
async fn a_snapshot_from_before_an_accepted_change_does_not_show_the_state_before_as_a_new_one() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(98, &[("u_1", NotReady, 97)]).await;
    harness.advance_to_second(100);
    let id = harness.request_accepted_change("u_1", Ready).await;
    harness.observe_late(101, 99, &[("u_1", NotReady, 97)]).await;
    harness.observe(110, &[("u_1", Ready, 100)]).await;
    assert_eq!(
        rows(&harness).await,
        [(NotReady, 97, ObservationSource::Snapshot), (Ready, 100, ObservationSource::Snapshot)]
    );
    assert_eq!(harness.status(id).await.name(), "confirmed");
}

#[tokio::test]
async fn the_same_state_entered_again_is_a_change_whichever_shows_it() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", Paused, 0)]).await;
    harness.receive_feed(60, &[("u_1", Paused, 1)]).await;
    harness.observe(70, &[("u_1", Paused, 66)]).await;
    let expected = [
        (Paused, 0, ObservationSource::Snapshot),
        (Paused, 59, ObservationSource::Feed),
        (Paused, 66, ObservationSource::Snapshot),
    ];
    assert_eq!(rows(&harness).await, expected, "more than five seconds after the estimate it was entered again");
}

#[tokio::test]
async fn quick_changes_of_the_feed_are_all_kept_and_a_snapshot_settles_the_last() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    harness.receive_feed(100, &[("u_1", Ready, 0), ("u_1", OnContact, 0)]).await;
    harness.receive_feed(101, &[("u_1", Paused, 0)]).await;
    harness.observe(110, &[("u_1", Paused, 100)]).await;
    let states: Vec<_> = rows(&harness).await.into_iter().map(|(state, _, source)| (state, source)).collect();
    let (fed, seen) = (ObservationSource::Feed, ObservationSource::Snapshot);
    assert_eq!(states, [(NotReady, seen), (Ready, fed), (OnContact, fed), (Paused, seen)]);
    let mut instants: Vec<_> =
        history_states(&harness.history("u_1").await).into_iter().map(|(_, instant)| instant).collect();
    let sorted = instants.clone();
    instants.sort_unstable();
    instants.dedup();
    assert_eq!(instants, sorted, "in order, each with an instant of its own");
}

#[tokio::test]
async fn a_message_that_a_snapshot_has_overtaken_is_old_and_one_that_may_be_waits_until_that_is_clear() {
    // Ready at 99, Paused at 100; the snapshot shows Paused before the feed tells of either.
    let overtaken = async || {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", NotReady, 0)]).await;
        harness.observe_late(102, 101, &[("u_1", Paused, 100)]).await;
        harness.receive_feed(103, &[("u_1", Ready, 0)]).await;
        assert_eq!(rows(&harness).await.len(), 2, "Ready may be from before Paused");
        harness
    };
    let expected = [(NotReady, 0, ObservationSource::Snapshot), (Paused, 100, ObservationSource::Snapshot)];
    let mut harness = overtaken().await;
    harness.receive_feed(104, &[("u_1", Paused, 0)]).await;
    assert_eq!(rows(&harness).await, expected, "the feed comes to Paused after it");
    harness.receive_feed(106, &[("u_1", Idle, 0)]).await;
    assert_eq!(
        rows(&harness).await[2],
        (Idle, 106, ObservationSource::Feed),
        "what the feed tells after that is later"
    );

    let mut harness = overtaken().await;
    harness.observe(105, &[("u_1", Paused, 100)]).await;
    harness.receive_feed(120, &[]).await;
    assert_eq!(rows(&harness).await, expected, "a later snapshot shows Paused all along");

    let mut harness = overtaken().await;
    harness.receive_feed(104, &[("u_1", Idle, 0)]).await;
    let fed = [(Ready, 103, ObservationSource::Feed), (Idle, 104, ObservationSource::Feed)];
    assert_eq!(rows(&harness).await[2..], fed, "the feed goes on from Ready: it was after Paused");

    let mut harness = overtaken().await;
    harness.receive_feed(107, &[("u_1", Ready, 4)]).await;
    assert_eq!(
        rows(&harness).await[2..],
        [(Ready, 103, ObservationSource::Feed)],
        "it is told again, too late to be old"
    );

    let mut harness = overtaken().await;
    harness.advance_to_second(109);
    harness.pass().await;
    assert_eq!(
        rows(&harness).await[2..],
        [(Ready, 103, ObservationSource::Feed)],
        "no message is on its way for so long"
    );
}

#[tokio::test]
async fn a_repeated_message_about_an_ended_interval_is_not_entered_again() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    harness.receive_feed(102, &[("u_1", Ready, 0)]).await;
    // Idle at 103 and Paused at 104; the feed has reported neither.
    harness.observe_late(106, 105, &[("u_1", Paused, 104)]).await;
    harness.receive_feed(107, &[("u_1", Ready, 5), ("u_1", Idle, 3), ("u_1", Paused, 2)]).await;
    let states: Vec<_> = rows(&harness).await.into_iter().map(|(state, ..)| state).collect();
    assert_eq!(states, [NotReady, Ready, Paused]);
}

#[tokio::test]
async fn what_has_waited_here_is_believed_only_where_it_cannot_be_old() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    harness.observe(110, &[("u_1", Paused, 100)]).await;
    harness.receive_buffered_feed(130, 60, &[("u_1", Ready, 0), ("u_1", Paused, 0)]).await;
    assert_eq!(rows(&harness).await.len(), 2, "both are from before the snapshot");
}

#[tokio::test]
async fn the_feed_brings_what_the_platform_does_late_to_its_instant_and_confirms_nothing() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(99, &[("u_1", OnContact, 50)]).await;
    harness.advance_to_second(100);
    let id = harness.request_accepted_change("u_1", Ready).await;
    harness.receive_feed(113, &[("u_1", Ready, 1)]).await;
    assert_eq!(
        rows(&harness).await,
        [(OnContact, 50, ObservationSource::Snapshot), (Ready, 112, ObservationSource::Feed)]
    );
    assert_eq!(harness.status(id).await.name(), "pending", "a message is no confirmation");
    harness.observe(120, &[("u_1", Ready, 111)]).await;
    assert_eq!(harness.status(id).await.name(), "confirmed");
    let history = harness.history("u_1").await;
    assert_eq!((history.len(), states_set_by(&history, id)), (2, vec![Ready]));
}

#[tokio::test]
async fn a_change_that_the_feed_shows_before_the_answer_is_the_change_s_own() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(99, &[("u_1", NotReady, 50)]).await;
    harness.advance_to_second(100);
    harness.script_response(ScriptedResponse::Accept);
    let id = harness.request_change("u_1", Ready).await.id.expect("an id");
    harness.receive_feed(101, &[("u_1", Ready, 0)]).await;
    harness.complete_next_change().await;
    harness.observe(110, &[("u_1", Ready, 100)]).await;
    let history = harness.history("u_1").await;
    assert_eq!((history.len(), states_set_by(&history, id)), (2, vec![Ready]));
    assert_eq!(history[1].reason.as_ref().map(ReasonCode::as_str), Some("WORKING"));
}

#[tokio::test]
async fn the_feed_updates_only_the_agents_it_reports() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2"]).await;
    harness.observe(10, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)]).await;
    for second in [20, 40, 60] {
        harness.receive_feed(second, &[("u_1", NotReady, second.unsigned_abs())]).await;
    }
    let observed_at = |agent: &str| harness.keeper.roster.agent(agent).and_then(AgentRecord::last_observed_at);
    assert_eq!((observed_at("u_1"), observed_at("u_2")), (Some(at(60)), Some(at(10))));
    let stale = harness.events().await.iter().filter(|event| event.kind == EventKind::PictureStale).count();
    assert_eq!((stale, harness.readiness_detail().is_some()), (1, true), "the snapshots stand still, and that is told");
    assert!(INTERVAL * 3 < at(60).since(at(10)));
}

#[tokio::test]
async fn messages_before_the_first_snapshot_after_a_start_are_not_measured_by_a_clock_that_was_set() {
    for by_us in [3_600_000_000, -3_600_000_000, 0] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", Paused, 0)]).await;
        harness.set_clock(by_us);
        harness.crash().await;
        harness.receive_feed(60, &[("u_1", Paused, 60)]).await;
        assert_eq!(harness.history("u_1").await.len(), 1, "set by {by_us}: the same stay");
        harness.observe(70, &[("u_1", Paused, 0)]).await;
        assert_eq!((harness.history("u_1").await.len(), harness.state_since("u_1")), (1, 0), "set by {by_us}");
    }
}

#[tokio::test]
async fn a_queue_that_only_the_snapshot_names_is_in_history() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", Ready, 0)]).await;
    harness.receive_feed(100, &[("u_1", OnContact, 0)]).await;
    harness.observe_in_queue(110, "u_1", OnContact, 99, "Billing").await;
    let history = harness.history("u_1").await;
    assert_eq!((history.len(), history[1].queue.as_deref()), (2, Some("Billing")));
}

#[tokio::test]
async fn what_waits_to_be_believed_is_left_to_the_snapshots_when_the_connection_is_lost() {
    for next in [None, Some(Idle)] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(50, &[("u_1", NotReady, 0)]).await;
        // Ready, then Paused, which a snapshot shows before the feed tells of either; what the feed says of Paused is lost.
        harness.observe(101, &[("u_1", Paused, 100)]).await;
        harness.receive_feed(102, &[("u_1", Ready, 0)]).await;
        harness.keeper.link.update_feed(|state| state.losses += 1);
        if let Some(state) = &next {
            harness.receive_feed(104, &[("u_1", state.clone(), 0)]).await;
        }
        harness.advance_to_second(120);
        harness.pass().await;
        let states: Vec<_> = rows(&harness).await.into_iter().map(|(state, ..)| state).collect();
        let expected: Vec<_> = [NotReady, Paused].into_iter().chain(next).collect();
        assert_eq!(states, expected);
    }
}

/// Rows that are a microsecond apart because the clock was set back keep their order when an estimate is removed.
#[tokio::test]
async fn history_stays_in_order_when_an_estimate_is_disproved_after_the_clock_was_set_back() {
    for by_us in CLOCK_CHANGES_US {
        for crashes in [false, true] {
            let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
            harness.observe(10, &[("u_1", NotReady, 0)]).await;
            harness.observe(100, &[("u_1", Paused, 90)]).await;
            harness.set_clock(by_us);
            harness.pass().await;
            harness.receive_feed(120, &[("u_1", Ready, 0)]).await;
            harness.advance_to_second(121);
            harness.request_accepted_change("u_1", NotReady).await;
            for second in [130, 140, 150, 160] {
                harness.observe(second, &[("u_1", Ready, 119)]).await;
            }
            if crashes {
                harness.crash().await;
            }
            harness.observe(180, &[("u_1", NotReady, 170)]).await;
            let states: Vec<_> =
                history_states(&harness.history("u_1").await).into_iter().map(|(state, _)| state).collect();
            assert_eq!(states, [NotReady, Paused, Ready, NotReady], "set by {by_us}, crashes: {crashes}");
        }
    }
}
