//! Gaps in observation are filled with what the platform's state history says of them.

use std::sync::Arc;

use jiff::civil::Date;
use tokio::sync::oneshot;

use super::*;
use crate::domain::adherence::AdherenceSettings;
use crate::domain::agents::agent::ObservationSource::{self, History, Snapshot};
use crate::domain::agents::past_states::{ObservationGap, PastState};
use crate::engine::adherence::adherence_days::{AdherenceDaysParts, AdherenceDaysWorker};
use crate::engine::keeper_message::KeeperMessage;
use crate::engine::platform::observation_gap::{GapProgress, GapRequest};

/// The keeper is told what the platform's history says of the time from second 50 to second 500.
async fn fill(harness: &mut KeeperHarness, rows: &[(i64, AgentState)], is_last_attempt: bool) -> GapProgress {
    let gap = ObservationGap { span: (at(50), at(500)), is_cut: false };
    let row = |(index, (second, state)): (i64, &(i64, AgentState))| PastState {
        agent: "u_1".into(),
        index: Some((1, index)),
        entered_at: Some(at(*second)),
        state: Some(state.clone()),
        reason: None,
    };
    let agents = vec![("u_1".into(), (0..).zip(rows).map(row).collect())];
    let (reply, answer) = oneshot::channel();
    let request = GapRequest::Fill { gap, agents, is_last_attempt, reply };
    harness.send_message(KeeperMessage::ObservationGap(request)).await;
    answer.await.expect("answered")
}

async fn close(harness: &mut KeeperHarness, progress: GapProgress) {
    let (reply, answer) = oneshot::channel();
    let request = GapRequest::Close { span: (at(50), at(500)), progress, reply };
    harness.send_message(KeeperMessage::ObservationGap(request)).await;
    answer.await.expect("answered");
}

async fn rows(harness: &KeeperHarness) -> Vec<(AgentState, i64, ObservationSource)> {
    let second = |row: &HistoryRow| (row.entered_at.as_micros() - at(0).as_micros()) / 1_000_000;
    harness.history("u_1").await.into_iter().map(|row| (row.state.clone(), second(&row), row.source)).collect()
}

async fn gaps(harness: &KeeperHarness) -> usize {
    let spans = harness.store.reader().observed_spans(&"acme".into(), (at(0), at(1000))).await.expect("readable");
    crate::domain::adherence::coverage::observation_gaps(&spans).count()
}

/// An agent who was seen until second 50 and again from second 500 on.
async fn harness_after_a_gap(before: AgentState, after: AgentState) -> KeeperHarness {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", before, 0)]).await;
    harness.crash().await;
    harness.observe(500, &[("u_1", after, 400)]).await;
    assert_eq!(gaps(&harness).await, 1);
    harness
}

#[tokio::test]
async fn the_states_of_a_gap_are_inserted_once_and_are_no_news() {
    let mut harness = harness_after_a_gap(NotReady, Ready).await;
    assert_eq!(not_ready_s(&harness).await, 400, "as far as anybody saw");
    let (events, since) = (harness.events().await, harness.state_since("u_1"));
    let read = [(0, NotReady), (100, Ready), (200, Paused), (300, OnContact), (400, Ready), (505, Paused)];
    let progress = fill(&mut harness, &read, false).await;
    assert_eq!(progress, GapProgress { rows: 3, agents: 1, incomplete_agents: 0 });
    let expected = [
        (NotReady, 0, Snapshot),
        (Ready, 100, History),
        (Paused, 200, History),
        (OnContact, 300, History),
        (Ready, 400, Snapshot),
    ];
    assert_eq!(rows(&harness).await, expected);
    assert_eq!(not_ready_s(&harness).await, 200);
    assert_eq!((harness.events().await, harness.state_since("u_1")), (events, since));

    for crashes in [false, true] {
        if crashes {
            harness.crash().await;
        }
        let ids = harness.store.reader().last_history_id(&"acme".into()).await.expect("readable");
        assert_eq!(fill(&mut harness, &read, false).await, GapProgress::default());
        assert_eq!(harness.store.reader().last_history_id(&"acme".into()).await.expect("readable"), ids);
    }
    close(&mut harness, progress).await;
    assert_eq!(gaps(&harness).await, 0);
    let audit = harness.store.reader().audit_entries(&"acme".into(), 0, 100).await.expect("readable");
    let told: Vec<_> = audit.iter().filter(|entry| entry.body.contains("history.filled")).collect();
    assert!(told.len() == 1 && told[0].body.contains(r#""rows":3"#), "{told:?}");
    // The live view goes on from what was seen.
    harness.observe(600, &[("u_1", Idle, 590)]).await;
    assert_eq!(rows(&harness).await[4..], [(Ready, 400, Snapshot), (Idle, 590, Snapshot)]);
}

#[tokio::test]
async fn what_the_platform_does_not_say_is_unknown_after_the_last_attempt() {
    let mut harness = harness_after_a_gap(NotReady, Ready).await;
    let before = rows(&harness).await;
    for read in [&[][..], &[(100, Paused)]] {
        let progress = fill(&mut harness, read, false).await;
        assert_eq!((progress.rows, progress.incomplete_agents), (0, 1));
        assert_eq!(rows(&harness).await, before, "it may come yet");
    }
    assert_eq!(fill(&mut harness, &[(100, Paused)], true).await.rows, 1);
    let unknown = (AgentState::unobserved(), 50, History);
    assert_eq!(rows(&harness).await, [before[0].clone(), unknown, before[1].clone()]);
    assert_eq!(not_ready_s(&harness).await, 50);
}

#[tokio::test]
async fn a_state_that_lasted_through_the_gap_is_one_row() {
    let mut harness = KeeperHarness::with_agents(&["u_1"]).await;
    harness.observe(50, &[("u_1", Paused, 0)]).await;
    harness.crash().await;
    harness.observe(500, &[("u_1", Paused, 0)]).await;
    assert_eq!(fill(&mut harness, &[], true).await, GapProgress::default());
    assert_eq!(rows(&harness).await, [(Paused, 0, Snapshot)]);
}

#[tokio::test]
async fn a_rest_in_a_gap_counts_as_one() {
    let mut harness = harness_after_a_gap(Ready, Ready).await;
    let rest = |harness: &KeeperHarness| {
        harness.keeper.roster.agent("u_1").expect("known").last_rest_ended_at().map(|rest| rest.since(at(0)).as_secs())
    };
    assert_eq!(rest(&harness), None);
    fill(&mut harness, &[(60, Paused), (390, OnContact), (400, Ready)], false).await;
    assert_eq!(rest(&harness), Some(390));
}

#[tokio::test]
async fn a_day_of_adherence_that_was_computed_before_is_computed_again_with_the_states_of_the_gap() {
    let mut harness = harness_after_a_gap(NotReady, Ready).await;
    harness.observe(2 * 86_400, &[("u_1", Ready, 400)]).await;
    let mut worker = AdherenceDaysWorker::new(AdherenceDaysParts {
        tenant: "acme".into(),
        clock: Arc::new(harness.clock.clone()),
        writer: harness.store.writer().clone(),
        reader: harness.store.reader().clone(),
        compute_lock: Arc::default(),
    });
    let reader = harness.store.reader().clone();
    let seconds = async |state: AgentState| {
        let days = (Date::constant(2026, 10, 20), Date::constant(2026, 10, 31));
        let days = reader.days_of_agent(&"acme".into(), &"u_1".into(), days).await.expect("readable");
        assert!(!days.is_empty() && days.iter().all(|day| !day.stale), "{days:?}");
        let micros = days.iter().map(|day| day.sums.total_micros_where(|class| class.state() == Some(&state)));
        micros.sum::<u64>() / 1_000_000
    };
    let settings = AdherenceSettings::default();
    worker.update(&settings).await.expect("computed");
    assert_eq!((seconds(NotReady).await, seconds(OnContact).await), (50, 0), "known until the gap");
    let read = [(100, Ready), (200, Paused), (300, OnContact), (400, Ready)];
    let progress = fill(&mut harness, &read, false).await;
    close(&mut harness, progress).await;
    worker.update(&settings).await.expect("computed");
    let found = (seconds(NotReady).await, seconds(Paused).await, seconds(OnContact).await);
    assert_eq!(found, (100, 100, 100));
    let audit = harness.store.reader().audit_entries(&"acme".into(), 0, 100).await.expect("readable");
    assert!(audit.iter().any(|entry| entry.body.contains("rollup.recomputed")), "the sums before are kept");
}
