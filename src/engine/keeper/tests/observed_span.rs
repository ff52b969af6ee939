//! The spans in which the roster was observed are stored, also across crashes.

use super::*;
use crate::domain::time::UtcMicros;

async fn spans(harness: &KeeperHarness) -> Vec<(i64, i64)> {
    let second = |instant: UtcMicros| (instant.as_micros() - at(0).as_micros()) / 1_000_000;
    let spans = harness.store.reader().observed_spans(&"acme".into(), (at(0), at(100_000))).await.expect("readable");
    spans.into_iter().map(|(from, to)| (second(from), second(to))).collect()
}

#[tokio::test]
async fn observation_continues_within_three_intervals_and_is_stored_with_each_change_and_each_half_minute() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.pass().await;
    assert_eq!(spans(&harness).await, [], "nobody was seen yet");
    for (second, stored_until) in [(10, 10), (20, 10), (39, 10), (40, 40), (50, 40)] {
        harness.observe(second, &[("u_1", Ready, 0)]).await;
        assert_eq!(spans(&harness).await, [(10, stored_until)], "at {second}");
    }
    harness.observe(55, &[("u_1", Paused, 54)]).await;
    assert_eq!(spans(&harness).await, [(10, 55)], "with the change that it showed");
    harness.crash().await;
    harness.observe(85, &[("u_1", Paused, 54)]).await;
    assert_eq!(spans(&harness).await, [(10, 85)], "a start that is quick leaves no gap");
    harness.crash().await;
    harness.observe(116, &[("u_1", Ready, 100)]).await;
    assert_eq!(spans(&harness).await, [(10, 85), (116, 116)], "one second more does");
}

#[tokio::test]
async fn a_roster_without_changes_is_observed_all_the_time() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    // Not in step with what is kept each half minute.
    for second in (10..=390).step_by(13) {
        harness.observe(second, &[("u_1", Ready, 0)]).await;
    }
    assert_eq!(spans(&harness).await.len(), 1, "{:?}", spans(&harness).await);
    harness.observe(600, &[("u_1", Ready, 0)]).await;
    assert_eq!(spans(&harness).await, [(10, 387), (600, 600)], "what was seen last is kept when another begins");
}

#[tokio::test]
async fn the_roster_is_observed_once_every_agent_was_observed() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(10, &[("u_1", Ready, 0)]).await;
    for second in [20, 30, 40] {
        harness.observe(second, &[]).await;
    }
    // An agent that the platform does not show is unobserved in history; the roster was observed nevertheless.
    assert_eq!(spans(&harness).await, [(10, 40)]);
}
