//! Old rows are deleted in batches; rows that numbers continue from or that others depend on are kept.

use sqlx::{AssertSqlSafe, Row};

use super::changes::{call, full_change};
use super::jobs::{key, run, state};
use super::{Commit, HistoryWrite, TestDatabase, acme, agent_id, at, on_each_engine, row, transition, uuid};
use crate::domain::agents::state::AgentState;
use crate::domain::changes::transition::TransitionStatus;
use crate::domain::jobs::job::JobOutcome;
use crate::domain::time::UtcMicros;
use crate::store::backend::{Access, Backend, close_quietly};
use crate::store::tables::adherence::exceptions;
use crate::store::tables::jobs::retention;
use crate::store::tables::live::figures;
use crate::store::tables::rules;
use crate::store::tables::schedules::offers;
use crate::store::{CallWrite, CommitError, PruneSlice, PruneTarget, Writer};

on_each_engine!(
    calls_and_answers_go_and_the_attempts_of_transitions_stay,
    history_that_ended_goes_and_what_still_holds_stays,
    runs_of_a_job_go_and_its_last_stays,
);

async fn prune(writer: &Writer, what: PruneTarget, before: UtcMicros) -> Result<u64, CommitError> {
    writer.prune(PruneSlice { tenant: Some(acme()), target: what, before }).await
}

async fn calls_and_answers_go_and_the_attempts_of_transitions_stay(place: TestDatabase) {
    let store = place.open().await;
    let mut written = full_change();
    written.calls.push(CallWrite { id: uuid(77), transition: None, attempt: None, ..call(true) });
    store.writer().commit(written).await.expect("commits");
    let writer = store.writer();
    for (what, gone) in [(PruneTarget::OtherCalls, 1), (PruneTarget::IdempotencyKeys, 1)] {
        let other = PruneSlice { tenant: Some("bravo".into()), target: what.clone(), before: at(1000) };
        assert_eq!(writer.prune(other).await.expect("prunes"), 0, "another tenant's time");
        assert_eq!(prune(writer, what.clone(), at(0)).await.expect("prunes"), 0, "{what:?}: an instant before them");
        assert_eq!(prune(writer, what.clone(), at(1000)).await.expect("prunes"), gone, "{what:?}");
        assert_eq!(prune(writer, what.clone(), at(1000)).await.expect("prunes"), 0, "{what:?}: once");
    }
    let left = store.reader().recent_calls(&acme(), at(0)).await.expect("reads");
    assert!(left.iter().all(|call| call.transition.is_some()) && !left.is_empty(), "{left:?}");
    assert_eq!(prune(writer, PruneTarget::Attempts, at(1000)).await.expect("prunes"), left.len() as u64);
    store.close().await;
}

async fn history_that_ended_goes_and_what_still_holds_stays(place: TestDatabase) {
    let store = place.open().await;
    let enter = |agent, seconds, state| HistoryWrite::Enter(row(agent, seconds, state));
    let history = vec![
        enter("u_1", 10, AgentState::Ready),
        enter("u_2", 10, AgentState::Ready),
        enter("u_1", 20, AgentState::Paused),
        enter("u_1", 30, AgentState::Ready),
    ];
    let mut ended = transition(8, "u_1", TransitionStatus::Cancelled { by: "ops".into() });
    ended.requested_at = at(10);
    let open = transition(9, "u_1", TransitionStatus::Requested);
    let transitions = vec![ended, open];
    store.writer().commit(Commit { history, transitions, ..Commit::default() }).await.expect("commits");
    let agent = |id| PruneTarget::History(agent_id(id));
    assert_eq!(prune(store.writer(), agent("u_1"), at(20)).await.expect("prunes"), 0, "it ended at 20, not before");
    assert_eq!(prune(store.writer(), agent("u_1"), at(25)).await.expect("prunes"), 1);
    assert_eq!(prune(store.writer(), agent("u_2"), at(1_000)).await.expect("prunes"), 0, "it still holds");
    let left = store.reader().history(&acme(), (at(0), at(100)), None, 10).await.expect("reads");
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(
        prune(store.writer(), PruneTarget::Transitions, at(2_000_000)).await.expect("prunes"),
        1,
        "the open one stays"
    );
    store.close().await;
}

async fn runs_of_a_job_go_and_its_last_stays(place: TestDatabase) {
    let store = place.open().await;
    let done = Some(JobOutcome::Done);
    let job_runs = vec![run("a", 1, 1, done), run("a", 2, 2, None), run("a", 3, 3, done), run("b", 1, 1, done)];
    store
        .writer()
        .commit(Commit { jobs: vec![state("a", 3), state("b", 1)], job_runs, ..Commit::default() })
        .await
        .expect("commits");
    assert_eq!(store.writer().prune(PruneSlice::of_job_runs(&key("a"), at(100))).await.expect("prunes"), 1);
    let left: Vec<_> =
        store.reader().job_runs(&key("a"), 10).await.expect("reads").into_iter().map(|run| run.run).collect();
    assert_eq!(left, [3, 2], "the last and what has no end");
    assert_eq!(store.writer().prune(PruneSlice::of_job_runs(&key("b"), at(100))).await.expect("prunes"), 0);
    store.close().await;
}

/// A slice keeps the writer as long as it looks: it must find its rows by a key or an index, however many others there are.
#[tokio::test]
async fn no_slice_scans_a_whole_table() {
    let place = TestDatabase::sqlite();
    place.open().await.close().await;
    let backend = Backend::from_url(&place.url).expect("a URL");
    let mut connection = backend.connect(Access::Read).await.expect("connects");
    for (statement, index) in [
        (retention::HISTORY, "state_history USING PRIMARY KEY (tenant=? AND agent=? AND entered_at<?)"),
        (retention::TRANSITIONS, "transitions_by_request"),
        (retention::ATTEMPTS, "platform_calls_by_sending"),
        (retention::OTHER_CALLS, "platform_calls_questions"),
        (retention::CHANGE_SET_AGENTS, "change_sets_by_making (tenant=? AND made_at<?)"),
        (retention::CHANGE_SETS, "change_sets_by_making (tenant=? AND made_at<?)"),
        (retention::JOB_RUNS, "job_runs USING PRIMARY KEY (tenant=? AND job=?"),
        (figures::ROLL_UP_SKILLS, "skill_figures USING PRIMARY KEY (tenant=? AND taken_at<?)"),
        (figures::DELETE_ROLLED_UP_SKILLS, "skill_figures USING PRIMARY KEY (tenant=? AND taken_at<?)"),
        (figures::ROLL_UP_QUEUES, "queue_figures USING PRIMARY KEY (tenant=? AND taken_at<?)"),
        (figures::DELETE_ROLLED_UP_QUEUES, "queue_figures USING PRIMARY KEY (tenant=? AND taken_at<?)"),
        (figures::DELETE_SKILL_QUARTERS, "skill_figures_15m_by_quarter (tenant=? AND quarter_at<?)"),
        (exceptions::DELETE_AGENTS, "exceptions_by_end"),
        (exceptions::DELETE, "exceptions_by_end"),
        (offers::DELETE_AGENTS, "schedule_offers_by_end"),
        (offers::DELETE, "schedule_offers_by_end"),
        (rules::DELETE_FINDINGS, "rule_findings USING PRIMARY KEY (tenant=? AND id<?)"),
        (figures::DELETE_QUEUE_QUARTERS, "queue_figures_15m_by_quarter (tenant=? AND quarter_at<?)"),
    ] {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
        let rows = plan.fetch_all(&mut connection).await.expect("a plan");
        let lines: Vec<String> = rows.iter().map(|row| row.try_get(3).expect("a line")).collect();
        assert!(lines.iter().any(|line| line.contains(index)), "{statement}: {lines:#?}");
        assert!(!lines.iter().any(|line| line.starts_with("SCAN ")), "{statement}: {lines:#?}");
    }
    close_quietly(connection).await;
}
