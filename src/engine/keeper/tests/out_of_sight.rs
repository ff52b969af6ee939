//! Agents whom no source shows, and those whom nobody looks at any more: history says that nothing is known, and no more than that.

use super::*;

async fn told_of(desk: &Desk, agent: &str) -> Vec<(AgentState, i64)> {
    told(&desk.history(agent).await).into_iter().map(|(state, micros)| (state, micros / 1_000_000)).collect()
}

async fn changes_told(desk: &Desk) -> usize {
    let events = desk.events().await;
    events.iter().filter(|event| event.kind == EventKind::AgentStateChanged).count()
}

#[tokio::test]
async fn three_snapshots_without_an_agent_make_the_state_unknown_from_the_first_of_them_on() {
    let mut desk = Desk::of(&["u_1", "u_2"]).await;
    let other = || ("u_2", Ready, 0);
    desk.see(10, &[("u_1", NotReady, 0), other()]).await;
    for second in [20, 30] {
        desk.see(second, &[other()]).await;
    }
    assert_eq!(told_of(&desk, "u_1").await, [(NotReady, 0)], "a gap that is shorter is nothing");
    // The same snapshot again is not another one.
    desk.see(30, &[other()]).await;
    assert_eq!(told_of(&desk, "u_1").await, [(NotReady, 0)]);
    desk.see(40, &[other()]).await;
    let gone = [(NotReady, 0), (AgentState::unseen(), 20)];
    assert_eq!(told_of(&desk, "u_1").await, gone);
    assert_eq!(not_ready_s(&desk).await, 20, "time that nobody saw is no not-ready time");
    let events = changes_told(&desk).await;
    for second in [50, 60, 70] {
        desk.see(second, &[other()]).await;
    }
    desk.crash().await;
    for second in [80, 90, 100] {
        desk.see(second, &[other()]).await;
    }
    assert_eq!((told_of(&desk, "u_1").await, changes_told(&desk).await), (gone.to_vec(), events), "it is said once");
    assert_eq!(told_of(&desk, "u_2").await, [(Ready, 0)]);
}

#[tokio::test]
async fn whoever_is_seen_between_two_gaps_was_not_out_of_sight() {
    let mut desk = Desk::of(&["u_1"]).await;
    for second in [10, 20, 30, 40, 50, 60, 70] {
        let rows: &[_] = if second % 30 == 10 { &[("u_1", Ready, 0)] } else { &[] };
        desk.see(second, rows).await;
    }
    assert_eq!(told_of(&desk, "u_1").await, [(Ready, 0)]);
}

#[tokio::test]
async fn no_snapshot_at_all_says_nothing_of_anybody() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(10, &[("u_1", Ready, 0)]).await;
    for second in [20, 30, 3_600] {
        desk.go_to(second);
        desk.pass().await;
    }
    desk.see(3_610, &[("u_1", Ready, 0)]).await;
    assert_eq!(told_of(&desk, "u_1").await, [(Ready, 0)], "an outage is no absence");
}

#[tokio::test]
async fn an_agent_who_comes_back_begins_a_row_and_the_time_between_stays_unknown() {
    for crashes in [false, true] {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(10, &[("u_1", Ready, 0)]).await;
        for second in [20, 30, 40] {
            desk.see(second, &[]).await;
        }
        if crashes {
            desk.crash().await;
        }
        for second in [100, 110] {
            desk.see(second, &[("u_1", Ready, 0)]).await;
        }
        let back = [(Ready, 0), (AgentState::unseen(), 20), (Ready, 100)];
        assert_eq!(told_of(&desk, "u_1").await, back, "the stay that goes on, crashed: {crashes}");
        for second in [120, 130, 140] {
            desk.see(second, &[]).await;
        }
        desk.see(200, &[("u_1", Paused, 150)]).await;
        let rows = told_of(&desk, "u_1").await;
        assert_eq!(rows[3..], [(AgentState::unseen(), 120), (Paused, 150)], "the platform knows since when");
    }
}

#[tokio::test]
async fn an_agent_whom_the_platform_never_shows_is_unknown_and_not_nothing() {
    let mut desk = Desk::of(&["u_1", "nobody"]).await;
    for second in [10, 20, 30, 40] {
        desk.see(second, &[("u_1", Ready, 0)]).await;
    }
    assert_eq!(told_of(&desk, "nobody").await, [(AgentState::unseen(), 10)]);
}

#[tokio::test]
async fn what_another_source_shows_ends_the_absence_and_older_snapshots_say_nothing_against_it() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(10, &[("u_1", NotReady, 0)]).await;
    for second in [20, 30] {
        desk.see(second, &[]).await;
    }
    desk.go_to(35);
    desk.ask_and_accept("u_1", Paused).await;
    desk.see(40, &[]).await;
    assert_eq!(told_of(&desk, "u_1").await, [(NotReady, 0), (Paused, 35)], "the answer showed the agent");
    for second in [50, 60] {
        desk.see(second, &[]).await;
    }
    assert_eq!(told_of(&desk, "u_1").await[2..], [(AgentState::unseen(), 40)]);
    desk.ask_and_accept("u_1", Ready).await;
    assert_eq!(told_of(&desk, "u_1").await[3..], [(Ready, 60)], "and ends it");
}

#[tokio::test]
async fn who_leaves_the_roster_is_closed_in_history_and_reopened_by_the_first_sight_after_the_return() {
    // By a reload, and while no daemon runs.
    for reloads in [true, false] {
        let mut desk = Desk::of(&["u_1", "u_2"]).await;
        let other = || ("u_2", Ready, 0);
        desk.see(10, &[("u_1", Ready, 0), other()]).await;
        desk.go_to(20);
        desk.list(&["u_2"], reloads).await;
        if !reloads {
            desk.crash().await;
        }
        desk.pass().await;
        let left = [(Ready, 0), (AgentState::off_roster(), 20)];
        assert_eq!(told_of(&desk, "u_1").await, left, "by a reload: {reloads}");
        let page = desk.store.reader().audit_entries(&"acme".into(), 0, 100).await.expect("readable");
        assert_eq!(page.iter().filter(|entry| entry.body.contains("agent.left_roster")).count(), 1);
        let events = changes_told(&desk).await;
        desk.crash().await;
        desk.pass().await;
        assert_eq!((told_of(&desk, "u_1").await, changes_told(&desk).await), (left.to_vec(), events), "once");

        desk.list(&["u_1", "u_2"], true).await;
        desk.see(300, &[("u_1", Ready, 0), other()]).await;
        assert_eq!(told_of(&desk, "u_1").await[2..], [(Ready, 300)], "by a reload: {reloads}");
        assert_eq!(told_of(&desk, "u_2").await, [(Ready, 0)]);
    }
}

#[tokio::test]
async fn the_first_snapshot_after_a_start_is_held_against_the_store_and_replays_nothing() {
    let mut desk = Desk::of(&["u_1", "u_2"]).await;
    let rows = [("u_1", Ready, 0), ("u_2", Paused, 5)];
    desk.see(10, &rows).await;
    let (before, events) = (desk.history("u_1").await, desk.events().await.len());
    // A crash; and the same snapshot, which the platform may serve again.
    for second in [10, 20] {
        desk.crash().await;
        desk.see(second, &rows).await;
    }
    assert_eq!((desk.history("u_1").await, desk.events().await.len()), (before, events));
    desk.crash().await;
    desk.see(3_600, &[("u_1", Idle, 1_000), ("u_2", Paused, 5)]).await;
    assert_eq!(told_of(&desk, "u_1").await, [(Ready, 0), (Idle, 1_000)], "what changed meanwhile is one row");
    assert_eq!(told_of(&desk, "u_2").await, [(Paused, 5)]);
    assert_eq!(desk.events().await.len(), events + 1);
}
