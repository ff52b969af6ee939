//! What a keeper publishes to viewers about its commits.

use serde_json::Value;

use super::harness::KeeperHarness;
use crate::clock::Clock as _;
use crate::domain::agents::state::AgentState::{NotReady, Paused, Ready};
use crate::engine::keeper::arrival::Arrival;
use crate::engine::live::filter::{MessageSubject, ViewerFilter};
use crate::engine::live::message::{ResetReason, reset_frame};
use crate::engine::live::{Viewer, ViewerOutput, ViewerRequest};

fn viewer(harness: &KeeperHarness, after: Option<u64>) -> Viewer {
    let request = ViewerRequest { tenants: vec![("acme".into(), after)], filter: ViewerFilter::default() };
    harness.live.add_viewer(request).expect("there is room")
}

fn messages(next: ViewerOutput) -> Vec<Value> {
    let ViewerOutput::Frames(frames) = next else { panic!("{next:?}") };
    frames.iter().map(|frame| serde_json::from_slice(&frame.json()).expect("JSON")).collect()
}

/// The messages of a viewer while the keeper answers its request for the live view.
async fn read_messages(harness: &mut KeeperHarness, viewer: &mut Viewer) -> Vec<Value> {
    let inbox = harness.inbox();
    let mut inbox = inbox.lock().await;
    let mut next = std::pin::pin!(viewer.next());
    loop {
        tokio::select! {
            next = &mut next => return messages(next),
            Some(message) = inbox.recv() => {
                harness.keeper.run_pass(vec![Arrival::Message(message)]).await.expect("a pass");
            }
        }
    }
}

#[tokio::test]
async fn a_viewer_gets_the_live_view_and_then_each_commit_with_its_row_ids() {
    let mut harness = KeeperHarness::with_agents(&["u_1", "u_2"]).await;
    harness.observe(50, &[("u_1", NotReady, 0), ("u_2", Paused, 0)]).await;
    let mut viewer = viewer(&harness, None);
    let snapshot = read_messages(&mut harness, &mut viewer).await;
    let last = harness.store.reader().last_history_id(&"acme".into()).await.expect("readable");
    assert_eq!((&snapshot[0]["type"], snapshot[0]["id"].as_u64()), (&"snapshot".into(), Some(last)));
    assert_eq!(snapshot[0]["agents"][0]["state"], "NotReady");
    harness.observe(60, &[("u_1", Ready, 55), ("u_2", Paused, 0)]).await;
    let updates = messages(viewer.next().await);
    assert_eq!(updates.len(), 1, "nothing of who stayed: {updates:?}");
    assert_eq!((updates[0]["id"].as_u64(), &updates[0]["agent"]["state"]), (Some(last + 1), &"Ready".into()));
    let stored = harness.store.reader().history_after(&"acme".into(), last, 10).await.expect("readable");
    assert_eq!(stored.iter().map(|stored| stored.id).collect::<Vec<_>>(), [last + 1]);
    harness.advance_to_second(70);
    harness.request_change("u_2", Ready).await;
    let updates = messages(viewer.next().await);
    let steps: Vec<_> = updates.iter().map(|message| &message["transition"]["status"]).collect();
    assert_eq!(steps, ["sending"], "as it stands after the pass: {updates:?}");
    assert_eq!((&updates[0]["transition"]["agent"], &updates[0]["transition"]["open"]), (&"u_2".into(), &true.into()));
}

#[tokio::test]
async fn a_row_that_is_the_latest_again_has_a_new_id_and_is_published() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    harness.advance_to_second(100);
    harness.request_accepted_change("u_1", Ready).await;
    let mut viewer = viewer(&harness, None);
    read_messages(&mut harness, &mut viewer).await;
    let last = harness.store.reader().last_history_id(&"acme".into()).await.expect("readable");
    for second in [110, 120, 130] {
        harness.observe(second, &[("u_1", NotReady, 0)]).await;
    }
    let stored = harness.store.reader().history_after(&"acme".into(), last, 10).await.expect("readable");
    let rows: Vec<_> = stored.iter().map(|stored| (stored.id, stored.row.state.clone(), stored.left_at)).collect();
    assert_eq!(rows, [(last + 1, NotReady, None)]);
    let updates = messages(viewer.next().await);
    let of_agent: Vec<_> = updates.iter().filter(|message| message["type"] == "agent").collect();
    assert_eq!(of_agent.len(), 1, "{updates:?}");
    assert_eq!((of_agent[0]["id"].as_u64(), &of_agent[0]["agent"]["state"]), (Some(last + 1), &"NotReady".into()));
}

#[tokio::test]
async fn a_returning_viewer_gets_the_missed_rows_and_the_live_view() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    let mut first = viewer(&harness, None);
    read_messages(&mut harness, &mut first).await;
    harness.observe(60, &[("u_1", Paused, 55)]).await;
    let last_id = messages(first.next().await)[0]["id"].as_u64().expect("an id");
    drop(first);
    harness.observe(70, &[("u_1", Ready, 65)]).await;
    let mut returning_viewer = viewer(&harness, Some(last_id));
    let missed = read_messages(&mut harness, &mut returning_viewer).await;
    assert_eq!(missed.len(), 1, "{missed:?}");
    assert_eq!((missed[0]["id"].as_u64(), &missed[0]["agent"]["state"]), (Some(last_id + 1), &"Ready".into()));
    assert_eq!(missed[0]["replayed"], true);
    let snapshot = messages(returning_viewer.next().await);
    assert_eq!((&snapshot[0]["type"], &snapshot[0]["resumed"]), (&"snapshot".into(), &true.into()));
}

#[tokio::test]
async fn a_viewer_that_falls_behind_is_ended_without_delaying_others() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", NotReady, 0)]).await;
    let (mut slow, mut fast) = (viewer(&harness, None), viewer(&harness, None));
    read_messages(&mut harness, &mut slow).await;
    read_messages(&mut harness, &mut fast).await;
    let topic = harness.live.open(&"acme".into());
    for _ in 0..=(1 << 14) {
        topic.publish([(
            reset_frame(&"acme".into(), ResetReason::TooFarBehind, harness.clock.now()),
            MessageSubject::All,
        )]);
        assert_eq!(messages(fast.next().await).len(), 1);
    }
    let ViewerOutput::End(reason, frame) = slow.next().await else { panic!("it goes on") };
    assert_eq!(reason.name(), "too_slow");
    assert!(String::from_utf8_lossy(&frame.json()).contains("too_slow"));
    assert_eq!((harness.live.viewer_counts().current, harness.live.viewer_counts().too_slow), (2, 1));
    drop(slow);
    assert_eq!(harness.live.viewer_counts().current, 1);
}
