//! Agents that no source shows, and those that are no longer observed: history says that their state is unknown.

use super::*;

async fn history_in_seconds(harness: &KeeperHarness, agent: &str) -> Vec<(AgentState, i64)> {
    history_states(&harness.history(agent).await)
        .into_iter()
        .map(|(state, micros)| (state, micros / 1_000_000))
        .collect()
}

async fn count_change_events(harness: &KeeperHarness) -> usize {
    let events = harness.events().await;
    events.iter().filter(|event| event.kind == EventKind::AgentStateChanged).count()
}

#[tokio::test]
async fn three_snapshots_without_an_agent_make_the_state_unknown_from_the_first_of_them_on() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2"]).await;
    let other = || ("u_2", Ready, 0);
    harness.observe(10, &[("u_1", NotReady, 0), other()]).await;
    for second in [20, 30] {
        harness.observe(second, &[other()]).await;
    }
    assert_eq!(history_in_seconds(&harness, "u_1").await, [(NotReady, 0)], "a gap that is shorter is nothing");
    // The same snapshot again is not another one.
    harness.observe(30, &[other()]).await;
    assert_eq!(history_in_seconds(&harness, "u_1").await, [(NotReady, 0)]);
    harness.observe(40, &[other()]).await;
    let gone = [(NotReady, 0), (AgentState::unobserved(), 20)];
    assert_eq!(history_in_seconds(&harness, "u_1").await, gone);
    assert_eq!(not_ready_s(&harness).await, 20, "time that nobody saw is no not-ready time");
    let events = count_change_events(&harness).await;
    for second in [50, 60, 70] {
        harness.observe(second, &[other()]).await;
    }
    harness.crash().await;
    for second in [80, 90, 100] {
        harness.observe(second, &[other()]).await;
    }
    assert_eq!(
        (history_in_seconds(&harness, "u_1").await, count_change_events(&harness).await),
        (gone.to_vec(), events),
        "it is said once"
    );
    assert_eq!(history_in_seconds(&harness, "u_2").await, [(Ready, 0)]);
}

#[tokio::test]
async fn an_agent_observed_between_two_gaps_was_not_unobserved() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    for second in [10, 20, 30, 40, 50, 60, 70] {
        let rows: &[_] = if second % 30 == 10 { &[("u_1", Ready, 0)] } else { &[] };
        harness.observe(second, rows).await;
    }
    assert_eq!(history_in_seconds(&harness, "u_1").await, [(Ready, 0)]);
}

#[tokio::test]
async fn no_snapshot_at_all_says_nothing_of_anybody() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(10, &[("u_1", Ready, 0)]).await;
    for second in [20, 30, 3_600] {
        harness.advance_to_second(second);
        harness.pass().await;
    }
    harness.observe(3_610, &[("u_1", Ready, 0)]).await;
    assert_eq!(history_in_seconds(&harness, "u_1").await, [(Ready, 0)], "an outage is no absence");
}

#[tokio::test]
async fn an_agent_who_comes_back_begins_a_row_and_the_time_between_stays_unknown() {
    for crashes in [false, true] {
        let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
        harness.observe(10, &[("u_1", Ready, 0)]).await;
        for second in [20, 30, 40] {
            harness.observe(second, &[]).await;
        }
        if crashes {
            harness.crash().await;
        }
        for second in [100, 110] {
            harness.observe(second, &[("u_1", Ready, 0)]).await;
        }
        let back = [(Ready, 0), (AgentState::unobserved(), 20), (Ready, 100)];
        assert_eq!(history_in_seconds(&harness, "u_1").await, back, "the stay that goes on, crashed: {crashes}");
        for second in [120, 130, 140] {
            harness.observe(second, &[]).await;
        }
        harness.observe(200, &[("u_1", Paused, 150)]).await;
        let rows = history_in_seconds(&harness, "u_1").await;
        assert_eq!(rows[3..], [(AgentState::unobserved(), 120), (Paused, 150)], "the platform knows since when");
    }
}

#[tokio::test]
async fn an_agent_that_the_platform_never_shows_has_an_unknown_state() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "nobody"]).await;
    for second in [10, 20, 30, 40] {
        harness.observe(second, &[("u_1", Ready, 0)]).await;
    }
    assert_eq!(history_in_seconds(&harness, "nobody").await, [(AgentState::unobserved(), 10)]);
}

#[tokio::test]
async fn what_another_source_shows_ends_the_absence_and_older_snapshots_say_nothing_against_it() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(10, &[("u_1", NotReady, 0)]).await;
    for second in [20, 30] {
        harness.observe(second, &[]).await;
    }
    harness.advance_to_second(35);
    harness.request_accepted_change("u_1", Paused).await;
    harness.observe(40, &[]).await;
    assert_eq!(history_in_seconds(&harness, "u_1").await, [(NotReady, 0), (Paused, 35)], "the answer showed the agent");
    for second in [50, 60] {
        harness.observe(second, &[]).await;
    }
    assert_eq!(history_in_seconds(&harness, "u_1").await[2..], [(AgentState::unobserved(), 40)]);
    harness.request_accepted_change("u_1", Ready).await;
    assert_eq!(history_in_seconds(&harness, "u_1").await[3..], [(Ready, 60)], "and ends it");
}

#[tokio::test]
async fn leaving_the_roster_ends_the_history_until_the_first_observation_after_the_return() {
    // By a reload, and while no daemon runs.
    for reloads in [true, false] {
        let mut harness = KeeperHarness::with_agents(&["u_1", "u_2"]).await;
        let other = || ("u_2", Ready, 0);
        harness.observe(10, &[("u_1", Ready, 0), other()]).await;
        harness.advance_to_second(20);
        harness.configure_agents(&["u_2"], reloads).await;
        if !reloads {
            harness.crash().await;
        }
        harness.pass().await;
        let left = [(Ready, 0), (AgentState::off_roster(), 20)];
        assert_eq!(history_in_seconds(&harness, "u_1").await, left, "by a reload: {reloads}");
        let page = harness.store.reader().audit_entries(&"acme".into(), 0, 100).await.expect("readable");
        assert_eq!(page.iter().filter(|entry| entry.body.contains("agent.left_roster")).count(), 1);
        let events = count_change_events(&harness).await;
        harness.crash().await;
        harness.pass().await;
        assert_eq!(
            (history_in_seconds(&harness, "u_1").await, count_change_events(&harness).await),
            (left.to_vec(), events),
            "once"
        );

        harness.configure_agents(&["u_1", "u_2"], true).await;
        harness.observe(300, &[("u_1", Ready, 0), other()]).await;
        assert_eq!(history_in_seconds(&harness, "u_1").await[2..], [(Ready, 300)], "by a reload: {reloads}");
        assert_eq!(history_in_seconds(&harness, "u_2").await, [(Ready, 0)]);
    }
}

#[tokio::test]
async fn the_first_snapshot_after_a_start_is_compared_with_the_store_and_repeats_nothing() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2"]).await;
    let rows = [("u_1", Ready, 0), ("u_2", Paused, 5)];
    harness.observe(10, &rows).await;
    let (before, events) = (harness.history("u_1").await, harness.events().await.len());
    // A crash; and the same snapshot, which the platform may serve again.
    for second in [10, 20] {
        harness.crash().await;
        harness.observe(second, &rows).await;
    }
    assert_eq!((harness.history("u_1").await, harness.events().await.len()), (before, events));
    harness.crash().await;
    harness.observe(3_600, &[("u_1", Idle, 1_000), ("u_2", Paused, 5)]).await;
    assert_eq!(
        history_in_seconds(&harness, "u_1").await,
        [(Ready, 0), (Idle, 1_000)],
        "what changed meanwhile is one row"
    );
    assert_eq!(history_in_seconds(&harness, "u_2").await, [(Paused, 5)]);
    assert_eq!(harness.events().await.len(), events + 1);
}
