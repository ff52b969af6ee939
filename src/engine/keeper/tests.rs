//! The life of an accepted and of a doubtful change, pass by pass.

mod desk;
mod fed;
mod in_sight;
mod interleavings;
mod out_of_sight;
mod reasons;
mod show;

use std::time::Duration;

use self::desk::{Desk, INTERVAL, TIMEOUT, Told, at};
use super::Arrival;
use super::record::Pass;
use crate::domain::agents::roster::AgentSlot;
use crate::domain::agents::state::AgentState::{self, Idle, NotReady, OnContact, Paused, Ready};
use crate::domain::changes::policy::{PlatformSays, RefusedBy};
use crate::domain::changes::transition::{Status, WaitReason};
use crate::domain::ids::{RuleId, TransitionId};
use crate::domain::webhooks::event::EventKind;
use crate::platform::Failure;
use crate::store::{HistoryRow, StoredEvent};

/// What history tells of an agent, without who did it.
fn told(rows: &[HistoryRow]) -> Vec<(AgentState, i64)> {
    rows.iter().map(|row| (row.state.clone(), row.entered_at.as_micros() - at(0).as_micros())).collect()
}

fn rows_of(rows: &[HistoryRow], id: TransitionId) -> Vec<AgentState> {
    rows.iter().filter(|row| row.transition == Some(id)).map(|row| row.state.clone()).collect()
}

/// The agent's counted not-ready time, in seconds.
async fn not_ready_s(desk: &Desk) -> u64 {
    let counters = desk.store.reader().counters(&"acme".into()).await.expect("readable");
    counters.first().map_or(0, |counters| counters.not_ready_us / 1_000_000)
}

#[tokio::test]
async fn an_estimate_is_settled_after_a_crash_as_without_one() {
    let mut outcomes = Vec::new();
    for crashes in [false, true] {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(99, &[("u_1", NotReady, 98)]).await;
        desk.go_to(100);
        let id = desk.ask_and_accept("u_1", Paused).await;
        if crashes {
            desk.crash().await;
        }
        // The platform's instant jitters to before the state that was left.
        desk.see(110, &[("u_1", Paused, 97)]).await;
        desk.see(200, &[("u_1", Ready, 198)]).await;
        let rows = desk.history("u_1").await;
        assert_eq!(rows_of(&rows, id), [Paused]);
        assert_eq!(told(&rows)[0].0, NotReady, "no change stands before the one that it followed");
        outcomes.push((told(&rows), not_ready_s(&desk).await));
    }
    assert_eq!(outcomes[0], outcomes[1], "without and with a crash");
}

#[tokio::test]
async fn a_disproved_estimate_is_taken_back_after_a_crash_as_without_one() {
    let mut outcomes = Vec::new();
    for crashes in [false, true] {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(50, &[("u_1", NotReady, 0)]).await;
        desk.go_to(100);
        let id = desk.ask_and_accept("u_1", Ready).await;
        if crashes {
            desk.crash().await;
        }
        for second in [110, 120, 130] {
            // Within the jitter of the instant that was seen before.
            desk.see(second, &[("u_1", NotReady, 1)]).await;
        }
        assert_eq!(desk.status(id).await.name(), "unconfirmed");
        desk.see(200, &[("u_1", Ready, 200)]).await;
        outcomes.push((told(&desk.history("u_1").await), not_ready_s(&desk).await));
    }
    assert_eq!(outcomes[0].1, 200, "the stay is counted once");
    assert_eq!(outcomes[0], outcomes[1], "without and with a crash");
}

#[tokio::test]
async fn what_a_person_set_is_known_as_such_until_the_agent_leaves_it_also_after_a_crash() {
    for crashes in [false, true] {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(99, &[("u_1", Ready, 98)]).await;
        desk.go_to(100);
        desk.ask_and_accept("u_1", NotReady).await;
        if crashes {
            desk.crash().await;
        }
        assert!(desk.is_by_person("u_1"), "by the answer, crashes: {crashes}");
        desk.see(110, &[("u_1", NotReady, 101)]).await;
        if crashes {
            desk.crash().await;
        }
        assert!(desk.is_by_person("u_1"), "by the snapshot that settles it, crashes: {crashes}");
        desk.see(120, &[("u_1", Ready, 115)]).await;
        assert!(!desk.is_by_person("u_1"), "the agent went on");
        let by_person: Vec<_> = desk.history("u_1").await.into_iter().map(|row| row.by_person).collect();
        assert_eq!(by_person, [false, true, false]);
    }
}

#[tokio::test]
async fn a_contact_that_an_accepted_change_waited_for_is_in_history_though_nobody_had_seen_it_then() {
    for (before, expected_s) in [(Ready, 22), (NotReady, 104 + 22)] {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(99, &[("u_1", before.clone(), 0)]).await;
        desk.go_to(107);
        let id = desk.ask_and_accept("u_1", Paused).await;
        for second in [110, 120] {
            desk.see(second, &[("u_1", OnContact, 104)]).await;
            assert_eq!(told(&desk.history("u_1").await).len(), 2, "the change may have ended it");
        }
        desk.see(130, &[("u_1", Paused, 126)]).await;
        assert_eq!(desk.status(id).await.name(), "confirmed");
        let rows = desk.history("u_1").await;
        assert_eq!(told(&rows), [(before.clone(), 0), (OnContact, 104_000_000), (Paused, 126_000_000)]);
        assert_eq!(rows_of(&rows, id), [Paused]);
        desk.see(148, &[("u_1", Ready, 148)]).await;
        assert_eq!(not_ready_s(&desk).await, expected_s, "after {before}");
    }
}

#[tokio::test]
async fn a_row_that_was_doubted_beside_an_accepted_change_is_no_stay_where_it_had_no_time() {
    // It began within the jitter around the change; or it is the stay before.
    for (doubted, took_effect) in [((OnContact, 104), 106), ((Ready, 50), 120)] {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(99, &[("u_1", Ready, 50)]).await;
        desk.go_to(107);
        desk.ask_and_accept("u_1", Paused).await;
        desk.see(110, &[("u_1", doubted.0.clone(), doubted.1)]).await;
        desk.see(130, &[("u_1", Paused, took_effect)]).await;
        assert_eq!(told(&desk.history("u_1").await), [(Ready, 50_000_000), (Paused, took_effect * 1_000_000)]);
    }
}

#[tokio::test]
async fn a_doubt_after_a_crash_is_judged_by_what_the_agent_was_in_before_the_send() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(50, &[("u_1", NotReady, 0)]).await;
    desk.go_to(100);
    let id = desk.ask("u_1", Ready).await.id.expect("an id");
    desk.see(105, &[("u_1", Ready, 101)]).await;
    assert_eq!(desk.status(id).await.name(), "sending");
    desk.crash().await;
    desk.see(150, &[("u_1", OnContact, 104)]).await;
    assert_eq!(desk.status(id).await.name(), "confirmed", "only an agent who was made ready gets a contact");
}

#[tokio::test]
async fn a_change_that_a_row_shows_is_shown_once_also_after_a_crash() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(50, &[("u_1", NotReady, 0)]).await;
    desk.go_to(100);
    let id = desk.ask("u_1", Paused).await.id.expect("an id");
    desk.see(102, &[("u_1", Paused, 101)]).await;
    desk.see(110, &[("u_1", Idle, 109)]).await;
    desk.crash().await;
    desk.see(120, &[("u_1", Paused, 119)]).await;
    assert_eq!(rows_of(&desk.history("u_1").await, id), [Paused], "the second time is the agent's own doing");
}

#[tokio::test]
async fn an_accepted_change_to_the_state_that_was_seen_has_its_row_when_the_agent_had_left_it() {
    // The snapshot after the answer, and the snapshot before it.
    for snapshot_first in [false, true] {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(50, &[("u_1", Paused, 0)]).await;
        desk.go_to(100);
        desk.tell(Told::Accept);
        let id = desk.ask("u_1", Paused).await.id.expect("an id");
        desk.go_to(101);
        if snapshot_first {
            desk.see(101, &[("u_1", Paused, 100)]).await;
            desk.take_answer().await;
        } else {
            desk.take_answer().await;
        }
        desk.see(110, &[("u_1", Paused, 100)]).await;
        assert_eq!(desk.status(id).await.name(), "confirmed");
        let rows = desk.history("u_1").await;
        assert_eq!(told(&rows), [(Paused, 0), (Paused, 100_000_000)], "the snapshot first: {snapshot_first}");
        assert_eq!(rows[1].transition, Some(id), "the snapshot first: {snapshot_first}");
    }
}

#[tokio::test]
async fn an_accepted_change_that_changed_nothing_has_no_row() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(50, &[("u_1", Paused, 0)]).await;
    desk.go_to(100);
    let id = desk.ask_and_accept("u_1", Paused).await;
    desk.see(110, &[("u_1", Paused, 0)]).await;
    assert_eq!(desk.status(id).await.name(), "confirmed");
    let rows = desk.history("u_1").await;
    assert_eq!((told(&rows), rows[0].transition), (vec![(Paused, 0)], None), "the state is the agent's own doing");
}

#[tokio::test]
async fn three_snapshots_without_the_agent_end_what_is_accepted() {
    let mut desk = Desk::of(&["u_1", "u_2"]).await;
    desk.see(50, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)]).await;
    desk.go_to(100);
    let id = desk.ask_and_accept("u_1", Paused).await;
    for (second, expected) in [(105, "accepted"), (106, "accepted"), (107, "unconfirmed")] {
        desk.see(second, &[("u_2", NotReady, 0)]).await;
        assert_eq!(desk.status(id).await.name(), expected, "after the snapshot of second {second}");
    }
}

#[tokio::test]
async fn three_intervals_without_a_snapshot_end_what_is_accepted_and_not_what_is_in_doubt() {
    let mut desk = Desk::of(&["u_1", "u_2"]).await;
    desk.see(50, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)]).await;
    desk.go_to(100);
    let accepted = desk.ask_and_accept("u_1", Paused).await;
    desk.tell(Told::Fail(Failure::Timeout));
    let doubtful = desk.ask("u_2", Paused).await.id.expect("an id");
    desk.take_answer().await;
    let standing = async |desk: &Desk| (desk.status(accepted).await.name(), desk.status(doubtful).await.name());
    // The third interval's snapshot may take the time limit of a request to arrive.
    desk.go_to(135);
    desk.pass().await;
    assert_eq!(standing(&desk).await, ("accepted", "in_doubt"));
    desk.go_to(136);
    desk.pass().await;
    assert_eq!(standing(&desk).await, ("unconfirmed", "in_doubt"), "nobody looked: the doubt waits for sight");
    desk.go_to(100 + 15 + 15 * 60);
    desk.pass().await;
    assert_eq!(standing(&desk).await.1, "in_doubt");
    desk.go_to(100 + 15 + 15 * 60 + 1);
    desk.pass().await;
    assert_eq!(standing(&desk).await.1, "unconfirmed", "and not for ever");
}

#[tokio::test]
async fn three_readable_snapshots_without_the_agent_end_a_doubt() {
    let mut desk = Desk::of(&["u_1", "u_2"]).await;
    desk.see(50, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)]).await;
    desk.go_to(100);
    desk.tell(Told::Fail(Failure::Timeout));
    let id = desk.ask("u_1", Paused).await.id.expect("an id");
    desk.take_answer().await;
    for (second, expected) in [
        (105, "in_doubt"),
        (110, "in_doubt"),
        (115, "in_doubt"),
        (120, "in_doubt"),
        (130, "in_doubt"),
        (140, "unconfirmed"),
    ] {
        desk.see(second, &[("u_2", NotReady, 0)]).await;
        assert_eq!(desk.status(id).await.name(), expected, "after the snapshot of second {second}");
    }
}

#[tokio::test]
async fn a_doubt_is_readable_one_time_limit_and_one_interval_after_the_send() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(50, &[("u_1", NotReady, 0)]).await;
    desk.go_to(100);
    desk.tell(Told::Fail(Failure::Timeout));
    let id = desk.ask("u_1", Paused).await.id.expect("an id");
    // The POST leaves now; that no answer came is known a time limit later.
    tokio::task::yield_now().await;
    desk.go_to(105);
    desk.take_answer().await;
    let expected = at(100) + TIMEOUT + INTERVAL;
    assert_eq!(desk.status(id).await, Status::InDoubt { sent_at: at(100), readable_after: expected });
}

#[tokio::test]
async fn each_subscription_is_as_fresh_as_its_own_snapshots() {
    let mut desk = Desk::of(&["u_1", "u_2", "u_3"]).await;
    let first = || vec!["u_1".into(), "u_2".into()];
    let second = || vec!["u_3".into()];
    let stale = |events: &[StoredEvent]| events.iter().filter(|event| event.kind == EventKind::PictureStale).count();
    for now in [10, 20] {
        desk.see_slice(0, now, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)], first()).await;
        desk.see_slice(1, now, &[("u_3", NotReady, 0)], second()).await;
    }
    for now in [30, 40, 50] {
        desk.see_slice(0, now, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)], first()).await;
    }
    assert_eq!(stale(&desk.events().await), 0, "the second is 30 s old");
    assert!(desk.complaint().is_none());
    desk.see_slice(0, 60, &[("u_1", NotReady, 0), ("u_2", NotReady, 0)], first()).await;
    assert_eq!(stale(&desk.events().await), 1, "the second is 40 s old, whatever the first shows");
    assert!(desk.complaint().is_some_and(|detail| detail.contains("40 s")), "{:?}", desk.complaint());
    desk.see_slice(1, 61, &[("u_3", NotReady, 0)], second()).await;
    assert!(desk.complaint().is_none(), "{:?}", desk.complaint());
    assert_eq!(stale(&desk.events().await), 1);
}

#[tokio::test]
async fn while_automation_is_halted_a_persons_change_waits_and_says_why_and_the_first_in_line_is_the_probe() {
    let mut desk = Desk::of(&["u_1", "u_2", "u_3", "u_4", "u_5"]).await;
    for (second, agent) in [(1, "u_1"), (2, "u_2"), (3, "u_3")] {
        desk.go_to(second);
        for _ in 0..3 {
            desk.tell(Told::Fail(Failure::NotSent { reason: "refused".to_owned() }));
        }
        desk.ask(agent, Paused).await;
    }
    for second in [3, 7, 11] {
        desk.go_to(second);
        desk.pass().await;
        while !desk.keeper.sends.is_empty() {
            desk.take_answer().await;
        }
    }
    let halted = desk.ask("u_4", Paused).await;
    let words = halted.error.as_deref();
    assert_eq!((halted.status.as_str(), words), ("waiting", Some("waits for automation, which is halted, to resume")));
    desk.go_to(42);
    desk.tell(Told::Accept);
    desk.pass().await;
    assert_eq!(desk.keeper.sends.len(), 1, "one probe");
    desk.take_answer().await;
    assert_eq!(desk.history("u_1").await.len(), 1, "the oldest of the most urgent was the probe");
    assert_eq!(desk.keeper.sends.len(), 3, "and the others follow");
}

const HOUR_US: i64 = 3_600_000_000;

/// Settings of the clock, from what an estimate of two clocks may be off by to days.
const SETTINGS_US: [i64; 8] =
    [5_170_000, -5_170_000, 60_000_000, -60_000_000, HOUR_US, -HOUR_US, 24 * HOUR_US, -24 * HOUR_US];

#[tokio::test]
async fn a_stay_is_one_row_and_as_long_as_before_when_the_clock_is_set() {
    for (by_us, seen) in SETTINGS_US.into_iter().flat_map(|by_us| [(by_us, true), (by_us, false)]) {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(50, &[("u_1", Paused, 0)]).await;
        desk.see(110, &[("u_1", NotReady, 100)]).await;
        desk.set_clock(by_us);
        // With the daemon running, and while none ran.
        if seen {
            desk.pass().await;
            assert_eq!(desk.since("u_1"), 100, "set by {by_us}, before any sight");
        } else {
            desk.crash().await;
        }
        desk.see(120, &[("u_1", NotReady, 100)]).await;
        assert_eq!(desk.since("u_1"), 100, "set by {by_us}, seen: {seen}");
        assert_eq!(desk.history("u_1").await.len(), 2, "set by {by_us}, seen: {seen}");
        desk.crash().await;
        desk.see(130, &[("u_1", NotReady, 100)]).await;
        assert_eq!(desk.since("u_1"), 100, "set by {by_us}, seen: {seen}, after another crash");
        desk.see(140, &[("u_1", Paused, 135)]).await;
        assert_eq!(desk.since("u_1"), 135, "set by {by_us}, seen: {seen}");
        desk.see(150, &[("u_1", Paused, 145)]).await;
        assert_eq!(desk.since("u_1"), 145, "set by {by_us}, seen: {seen}: entered again");
        let states: Vec<_> = told(&desk.history("u_1").await).into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, [Paused, NotReady, Paused, Paused], "set by {by_us}, seen: {seen}");
    }
}

/// What is seen wins within three snapshots, whatever the clock was set to.
#[tokio::test]
async fn an_accepted_change_that_waits_when_the_clock_is_set_holds_no_later_sight_back() {
    use AgentState::{NotReady, OnContact, Paused, Ready};
    for by_us in SETTINGS_US {
        for crashes in [false, true] {
            let mut desk = Desk::of(&["u_1"]).await;
            desk.see(10, &[("u_1", NotReady, 0)]).await;
            desk.see(20, &[("u_1", Paused, 15)]).await;
            desk.go_to(22);
            desk.ask_and_accept("u_1", Ready).await;
            desk.set_clock(by_us);
            if crashes {
                desk.crash().await;
            } else {
                desk.pass().await;
            }
            desk.see(30, &[("u_1", Paused, 15)]).await;
            for (second, state, since) in [(40, OnContact, 32), (50, NotReady, 45), (60, Paused, 55)] {
                desk.see(second, &[("u_1", state.clone(), since)]).await;
                let now = desk.keeper.roster.agent("u_1").and_then(|slot| slot.observed()).expect("seen");
                assert_eq!(now.state, state, "set by {by_us}, crashes: {crashes}, at {second}");
            }
        }
    }
}

#[tokio::test]
async fn an_accepted_change_that_never_comes_is_disproved_whatever_the_clock_is_set_to() {
    use AgentState::{NotReady, Paused, Ready};
    for by_us in SETTINGS_US {
        for crashes in [false, true] {
            let mut desk = Desk::of(&["u_1"]).await;
            desk.see(10, &[("u_1", NotReady, 0)]).await;
            desk.see(20, &[("u_1", Paused, 15)]).await;
            desk.go_to(22);
            desk.ask_and_accept("u_1", Ready).await;
            desk.set_clock(by_us);
            if crashes {
                desk.crash().await;
            }
            for second in [30, 40, 50] {
                desk.see(second, &[("u_1", Paused, 15)]).await;
            }
            let now = desk.keeper.roster.agent("u_1").and_then(|slot| slot.observed()).expect("seen");
            assert_eq!(now.state, Paused, "set by {by_us}, crashes: {crashes}");
        }
    }
}

#[tokio::test]
async fn the_platform_s_clock_that_was_set_before_a_start_moves_no_stay() {
    // Calls of this start of the host reach back no further.
    for by_us in SETTINGS_US.into_iter().filter(|by_us| by_us.abs() <= HOUR_US) {
        let mut desk = Desk::of(&["u_1", "u_2", "u_3"]).await;
        desk.see(50, &[("u_1", Paused, 0), ("u_2", Paused, 0), ("u_3", NotReady, 0)]).await;
        // A call by which our own clock can be told.
        desk.ask_and_accept("u_3", Paused).await;
        desk.see(5095, &[("u_1", NotReady, 5090), ("u_2", NotReady, 5091), ("u_3", Paused, 50)]).await;
        desk.hear_feed(5100, &[("u_2", Ready, 0)]).await;
        desk.set_platform_clock(by_us);
        desk.crash().await;
        desk.see(5120, &[("u_1", Ready, 5110), ("u_2", Ready, 5099), ("u_3", Paused, 50)]).await;
        let since = ["u_1", "u_2", "u_3"].map(|agent| desk.since(agent));
        assert_eq!(since, [5110, 5099, 50], "set by {by_us}");
        for (agent, count, began) in [("u_1", 3, 5090), ("u_2", 3, 5091), ("u_3", 2, 50)] {
            let rows = told(&desk.history(agent).await);
            assert_eq!((rows.len(), rows[1].1), (count, began * 1_000_000), "{agent}, set by {by_us}: {rows:?}");
        }
    }
}

#[tokio::test]
async fn an_estimate_is_settled_when_the_clock_was_set() {
    for (by_us, seen) in SETTINGS_US.into_iter().flat_map(|by_us| [(by_us, true), (by_us, false)]) {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(99, &[("u_1", NotReady, 90)]).await;
        desk.go_to(100);
        let id = desk.ask_and_accept("u_1", Paused).await;
        desk.set_clock(by_us);
        if seen {
            desk.pass().await;
        } else {
            desk.crash().await;
        }
        desk.see(110, &[("u_1", Paused, 101)]).await;
        assert_eq!(desk.status(id).await.name(), "confirmed", "set by {by_us}, seen: {seen}");
        assert_eq!(desk.since("u_1"), 101, "set by {by_us}, seen: {seen}");
        let rows = desk.history("u_1").await;
        assert_eq!((rows.len(), rows_of(&rows, id)), (2, vec![Paused]), "set by {by_us}, seen: {seen}");
    }
}

#[tokio::test]
async fn a_change_while_no_daemon_ran_is_seen_whatever_the_clock_was_set_to() {
    for by_us in SETTINGS_US {
        for (state, since) in [(Ready, 115), (NotReady, 115)] {
            let mut desk = Desk::of(&["u_1"]).await;
            desk.see(50, &[("u_1", Paused, 0)]).await;
            desk.see(110, &[("u_1", NotReady, 100)]).await;
            desk.set_clock(by_us);
            desk.crash().await;
            desk.see(120, &[("u_1", state.clone(), since)]).await;
            assert_eq!(desk.since("u_1"), since, "{state}, set by {by_us}");
            assert_eq!(desk.history("u_1").await.len(), 3, "{state}, set by {by_us}");
        }
    }
}

#[tokio::test]
async fn a_slot_is_free_a_minute_after_the_answer_however_late_the_keeper_takes_it_in() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(99, &[("u_1", NotReady, 90)]).await;
    desk.go_to(100);
    desk.tell(Told::Accept);
    desk.ask("u_1", Paused).await;
    let answer = desk.keeper.sends.join_next().await.expect("a POST is under way").expect("no panic");
    desk.go_to(130);
    desk.keeper.pass(vec![Arrival::Answer(answer)]).await.expect("a pass");
    let used = |second| desk.keeper.link.budget().used(Duration::from_secs(second));
    assert_eq!((used(159), used(160)), (1, 0));
}

#[tokio::test]
async fn what_automation_remembers_moves_with_the_clock_that_was_set_while_no_daemon_ran() {
    let rule = RuleId::new("back");
    for (by_us, seen) in SETTINGS_US.into_iter().flat_map(|by_us| [(by_us, true), (by_us, false)]) {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(50, &[("u_1", Paused, 0)]).await;
        let index = desk.keeper.roster.find("u_1").expect("known");
        desk.keeper.roster.note_act(index, &rule, 7, false, at(50));
        let mut pass = Pass::new(at(50));
        pass.remember(index, &rule);
        desk.keeper.commit(&mut pass).await.expect("commits");
        desk.go_to(60);
        desk.set_clock(by_us);
        if seen {
            desk.pass().await;
        }
        for second in [70, 80] {
            desk.crash().await;
            desk.see(second, &[("u_1", Paused, 0)]).await;
            let memory = desk.keeper.roster.agent("u_1").and_then(AgentSlot::memory).expect("remembered");
            let acted_at = memory.last_acted(&rule).expect("acted").at;
            assert_eq!(acted_at, at(50).offset(by_us), "set by {by_us}, seen: {seen}, crash before {second}");
        }
    }
}

#[tokio::test]
async fn a_change_that_is_accepted_before_the_first_sight_after_a_setting_is_no_riddle() {
    for (by_us, crashes) in SETTINGS_US.into_iter().flat_map(|by_us| [(by_us, false), (by_us, true)]) {
        let mut desk = Desk::of(&["u_1"]).await;
        desk.see(50, &[("u_1", Paused, 0)]).await;
        desk.see(110, &[("u_1", NotReady, 100)]).await;
        desk.set_clock(by_us);
        desk.crash().await;
        desk.go_to(115);
        let id = desk.ask_and_accept("u_1", Ready).await;
        if crashes {
            desk.crash().await;
        }
        desk.see(116, &[("u_1", NotReady, 100)]).await;
        desk.see(126, &[("u_1", Ready, 115)]).await;
        assert_eq!(desk.since("u_1"), 115, "set by {by_us}, crashes: {crashes}");
        let rows = desk.history("u_1").await;
        let states: Vec<_> = told(&rows).into_iter().map(|(state, _)| state).collect();
        assert_eq!(
            (states, rows_of(&rows, id)),
            (vec![Paused, NotReady, Ready], vec![Ready]),
            "set by {by_us}, {crashes}"
        );
    }
}

#[tokio::test]
async fn while_the_platform_cannot_be_asked_a_change_waits_until_its_deadline() {
    let open_until = Failure::CircuitOpen { until: at(40) };
    let failures = [
        Failure::Unauthorized,
        Failure::TokenRefused { status: 401, excerpt: "invalid_client".to_owned() },
        Failure::Forbidden { scope: None },
        open_until,
        Failure::NotSent { reason: "refused".to_owned() },
    ];
    let agents = ["u_1", "u_2", "u_3", "u_4", "u_5"];
    let mut desk = Desk::of(&agents).await;
    let mut asked = Vec::new();
    for (agent, failure) in agents.into_iter().zip(failures) {
        desk.forget_what_the_platform_said(agent);
        let taken = desk.ask(agent, Ready).await;
        assert_eq!(taken.status, "waiting", "{taken:?}");
        desk.hear(agent, Err(failure.clone())).await;
        let id = taken.id.expect("an id");
        let waits = Status::Waiting { why: WaitReason::PlatformAnswer, until: None };
        assert_eq!(desk.status(id).await, waits, "after {failure:?}");
        asked.push(id);
    }
    // The credentials are mended.
    desk.go_to(60);
    desk.tell(Told::Accept);
    desk.hear("u_2", Ok(PlatformSays { scheduled: Some(true), break_required: Some(false) })).await;
    desk.take_answer().await;
    assert_eq!(desk.status(asked[1]).await.name(), "accepted");
    // Of one that the platform does not know nothing is to be expected.
    desk.hear("u_5", Err(Failure::NotFound)).await;
    assert_eq!(desk.status(asked[4]).await.name(), "failed");
    desk.go_to(36_002);
    desk.pass().await;
    for id in [asked[0], asked[2], asked[3]] {
        let expected = Status::Expired { waiting_for: Some(WaitReason::PlatformAnswer) };
        assert_eq!(desk.status(id).await, expected);
    }
}

#[tokio::test]
async fn a_refusal_says_whose_word_it_rests_on() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.forget_what_the_platform_said("u_1");
    let first = desk.ask("u_1", Ready).await;
    assert_eq!((first.status.as_str(), first.refused_by), ("waiting", None));
    desk.hear("u_1", Ok(PlatformSays { scheduled: Some(false), break_required: None })).await;
    let stored = desk.store.reader().transition(&"acme".into(), first.id.expect("an id")).await;
    let stored = stored.expect("readable").expect("stored").transition;
    assert_eq!(stored.refused_by(), Some(RefusedBy::Platform));
    assert_eq!(stored.explanation["asked_by"], "anna", "what was known stays");
    let again = desk.ask("u_1", Ready).await;
    assert_eq!((again.status.as_str(), again.refused_by), ("refused", Some(RefusedBy::Platform)));
}
