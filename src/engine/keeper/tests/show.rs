//! What viewers are told of a keeper's commits.

use serde_json::Value;

use super::desk::Desk;
use crate::clock::Clock as _;
use crate::domain::agents::state::AgentState::{NotReady, Paused, Ready};
use crate::engine::keeper::Arrival;
use crate::engine::live::message::{ResetReason, reset_frame};
use crate::engine::live::narrow::{About, Narrow};
use crate::engine::live::{Next, Viewer, Wanted};

fn viewer(desk: &Desk, after: Option<u64>) -> Viewer {
    let wanted = Wanted { tenants: vec![("acme".into(), after)], narrow: Narrow::default() };
    desk.live.viewer(wanted).expect("there is room")
}

fn messages(next: Next) -> Vec<Value> {
    let Next::Frames(frames) = next else { panic!("{next:?}") };
    frames.iter().map(|frame| serde_json::from_slice(&frame.json()).expect("JSON")).collect()
}

/// What the viewer is told while the keeper answers its question for the picture.
async fn look(desk: &mut Desk, viewer: &mut Viewer) -> Vec<Value> {
    let inbox = desk.inbox();
    let mut inbox = inbox.lock().await;
    let mut next = std::pin::pin!(viewer.next());
    loop {
        tokio::select! {
            next = &mut next => return messages(next),
            Some(message) = inbox.recv() => {
                desk.keeper.pass(vec![Arrival::Message(message)]).await.expect("a pass");
            }
        }
    }
}

#[tokio::test]
async fn a_viewer_gets_the_picture_and_then_each_commit_with_the_ids_of_its_rows() {
    let mut desk = Desk::of(&["u_1", "u_2"]).await;
    desk.see(50, &[("u_1", NotReady, 0), ("u_2", Paused, 0)]).await;
    let mut viewer = viewer(&desk, None);
    let picture = look(&mut desk, &mut viewer).await;
    let last = desk.store.reader().last_history_id(&"acme".into()).await.expect("readable");
    assert_eq!((&picture[0]["type"], picture[0]["id"].as_u64()), (&"snapshot".into(), Some(last)));
    assert_eq!(picture[0]["agents"][0]["state"], "NotReady");
    desk.see(60, &[("u_1", Ready, 55), ("u_2", Paused, 0)]).await;
    let told = messages(viewer.next().await);
    assert_eq!(told.len(), 1, "nothing of who stayed: {told:?}");
    assert_eq!((told[0]["id"].as_u64(), &told[0]["agent"]["state"]), (Some(last + 1), &"Ready".into()));
    let stored = desk.store.reader().history_after(&"acme".into(), last, 10).await.expect("readable");
    assert_eq!(stored.iter().map(|stored| stored.id).collect::<Vec<_>>(), [last + 1]);
    desk.go_to(70);
    desk.ask("u_2", Ready).await;
    let told = messages(viewer.next().await);
    let steps: Vec<_> = told.iter().map(|message| &message["transition"]["status"]).collect();
    assert_eq!(steps, ["sending"], "as it stands after the pass: {told:?}");
    assert_eq!((&told[0]["transition"]["agent"], &told[0]["transition"]["open"]), (&"u_2".into(), &true.into()));
}

#[tokio::test]
async fn a_row_that_is_the_latest_again_has_a_new_id_and_is_told() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(50, &[("u_1", NotReady, 0)]).await;
    desk.go_to(100);
    desk.ask_and_accept("u_1", Ready).await;
    let mut viewer = viewer(&desk, None);
    look(&mut desk, &mut viewer).await;
    let last = desk.store.reader().last_history_id(&"acme".into()).await.expect("readable");
    for second in [110, 120, 130] {
        desk.see(second, &[("u_1", NotReady, 0)]).await;
    }
    let stored = desk.store.reader().history_after(&"acme".into(), last, 10).await.expect("readable");
    let rows: Vec<_> = stored.iter().map(|stored| (stored.id, stored.row.state.clone(), stored.left_at)).collect();
    assert_eq!(rows, [(last + 1, NotReady, None)]);
    let told = messages(viewer.next().await);
    let of_agent: Vec<_> = told.iter().filter(|message| message["type"] == "agent").collect();
    assert_eq!(of_agent.len(), 1, "{told:?}");
    assert_eq!((of_agent[0]["id"].as_u64(), &of_agent[0]["agent"]["state"]), (Some(last + 1), &"NotReady".into()));
}

#[tokio::test]
async fn who_comes_back_after_nobody_watched_gets_the_missed_rows_and_the_picture() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(50, &[("u_1", NotReady, 0)]).await;
    let mut first = viewer(&desk, None);
    look(&mut desk, &mut first).await;
    desk.see(60, &[("u_1", Paused, 55)]).await;
    let known = messages(first.next().await)[0]["id"].as_u64().expect("an id");
    drop(first);
    desk.see(70, &[("u_1", Ready, 65)]).await;
    let mut back = viewer(&desk, Some(known));
    let missed = look(&mut desk, &mut back).await;
    assert_eq!(missed.len(), 1, "{missed:?}");
    assert_eq!((missed[0]["id"].as_u64(), &missed[0]["agent"]["state"]), (Some(known + 1), &"Ready".into()));
    assert_eq!(missed[0]["replayed"], true);
    let picture = messages(back.next().await);
    assert_eq!((&picture[0]["type"], &picture[0]["resumed"]), (&"snapshot".into(), &true.into()));
}

#[tokio::test]
async fn a_viewer_who_falls_behind_is_told_so_and_nobody_waits_for_it() {
    let mut desk = Desk::of(&["u_1"]).await;
    desk.see(50, &[("u_1", NotReady, 0)]).await;
    let (mut slow, mut swift) = (viewer(&desk, None), viewer(&desk, None));
    look(&mut desk, &mut slow).await;
    look(&mut desk, &mut swift).await;
    let topic = desk.live.open(&"acme".into());
    for _ in 0..=(1 << 14) {
        topic.publish([(reset_frame(&"acme".into(), ResetReason::TooFarBehind, desk.clock.now()), About::All)]);
        assert_eq!(messages(swift.next().await).len(), 1);
    }
    let Next::End(reason, frame) = slow.next().await else { panic!("it goes on") };
    assert_eq!(reason.name(), "too_slow");
    assert!(String::from_utf8_lossy(&frame.json()).contains("too_slow"));
    assert_eq!((desk.live.viewers().now, desk.live.viewers().too_slow), (2, 1));
    drop(slow);
    assert_eq!(desk.live.viewers().now, 1);
}
