//! Changes: whole or not at all, in order, through groups, cancellations, foreign hands and restarts.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{
    Commit, CommitError, HistoryWrite, TestDatabase, acme, agent_write, at, change, draft, event, on_each_engine, row,
    transition, uuid, verified_length,
};
use crate::clock::ClockReading;
use crate::domain::agents::agent::Agent;
use crate::domain::agents::state::AgentState;
use crate::domain::audit::{Hash, note_hash};
use crate::domain::changes::transition::TransitionStatus;
use crate::domain::ids::{SubjectId, TenantId, TransitionId};
use crate::domain::jobs::job::{JobKey, JobOutcome};
use crate::store::{
    AgentCounters, CallWrite, DirectoryWrite, IdempotencyRow, JobRun, JobState, ListedAgentWrite, NoteWrite,
    OutboxChange, ReadError, RuleMemoryWrite, RuleVersion, StoredAgent, SubscriptionRow, SubscriptionWrite,
    TenantStatus,
};

on_each_engine!(
    a_change_is_read_back_as_it_was_written,
    the_platforms_directory_comes_before_schedules_and_puts_agents_on_the_roster,
    a_refused_change_leaves_nothing_and_the_chain_goes_on,
    a_bad_change_does_not_fail_its_neighbours,
    entries_cannot_be_changed_and_deleted_only_below_a_checkpoint,
    a_writer_that_lost_its_epoch_writes_nothing_more,
    a_change_whose_caller_left_is_stored,
    tenants_do_not_see_each_other,
    a_value_of_another_hand_is_named_by_table_column_and_row,
);

pub(super) fn call(answered: bool) -> CallWrite {
    CallWrite {
        tenant: acme(),
        id: uuid(70),
        kind: "state".into(),
        agent: Some("u_0001".into()),
        transition: Some(TransitionId(uuid(3))),
        attempt: Some(1),
        sent_at: at(20),
        answered_at: answered.then(|| at(21)),
        outcome: answered.then(|| "applied".into()),
        status_code: answered.then_some(202),
        latency_ms: answered.then_some(40),
        error: None,
        steady_us: Some(if answered { 21_000_000 } else { 20_000_000 }),
        host_start: Some(-7),
    }
}

fn rule_memory(held_key: Option<u64>) -> RuleMemoryWrite {
    RuleMemoryWrite {
        tenant: acme(),
        agent: "u_0001".into(),
        rule: "back-from-break".into(),
        last_action: Some((at(3), u64::MAX - 1)),
        held_key,
        left_alone_until: Some(at(4)),
    }
}

pub(super) fn full_change() -> Commit {
    let counters = AgentCounters {
        tenant: acme(),
        agent: "u_0001".into(),
        sequence: 4,
        local_day: "2026-10-26".into(),
        violations: 1,
        not_ready_us: 5,
    };
    let subscription = SubscriptionRow {
        tenant: acme(),
        slice: 0,
        id: "sub-1".into(),
        created: ClockReading { wall: at(1), steady: Some(Duration::from_secs(7)), host_start: Some(-3) },
        polled: Some(ClockReading { wall: at(2), steady: Some(Duration::from_secs(8)), host_start: Some(i64::MAX) }),
        interval_ms: 5000,
        agents_hash: Hash::of(b"agents"),
    };
    Commit {
        agents: vec![agent_write("u_0001", 9)],
        history: vec![HistoryWrite::Enter(row("u_0001", 10, AgentState::Unknown("Mittag".into())))],
        transitions: vec![transition(3, "u_0001", TransitionStatus::Accepted { at: at(21) })],
        calls: vec![call(false), call(true)],
        audit: vec![draft("transition.accepted"), draft("transition.confirmed")],
        notes: vec![NoteWrite {
            tenant: acme(),
            hash: note_hash(&[7; 16], "please"),
            salt: [7; 16],
            text: "please".into(),
        }],
        events: vec![event(1)],
        counters: vec![counters],
        memory: vec![rule_memory(None), rule_memory(Some(u64::MAX))],
        subscriptions: vec![SubscriptionWrite::Set(subscription)],
        idempotency: vec![IdempotencyRow {
            tenant: Some(acme()),
            token: "ops".into(),
            key: "k".into(),
            request_hash: Hash::of(b"r"),
            status: 202,
            response_body: "{}".into(),
            at: at(1),
        }],
        rules: vec![RuleVersion {
            tenant: acme(),
            rule: "back-from-break".into(),
            version: "1".into(),
            body: "…".into(),
            first_in_force_at: at(1),
        }],
        tenant_status: vec![TenantStatus { tenant: acme(), halted_since: Some(at(2)), reason: Some("429s".into()) }],
        audit_heads: Vec::new(),
        audit_prunes: Vec::new(),
        outbox: OutboxChange::default(),
        ..job_rows()
    }
}

fn job_rows() -> Commit {
    Commit {
        jobs: vec![JobState {
            key: JobKey { tenant: None, job: "backup".into() },
            calendar: "30 2 * * * UTC".into(),
            handled_through: at(3),
            notified_at: Some(at(4)),
            notified_message: Some("the disk is full".into()),
        }],
        job_runs: vec![JobRun {
            key: JobKey { tenant: None, job: "backup".into() },
            run: 1,
            due_at: at(3),
            attempt: 2,
            requested_by: Some("ops".into()),
            started_at: at(4),
            finished_at: Some(at(5)),
            outcome: Some(JobOutcome::Failed),
            message: Some("the disk is full".into()),
        }],
        ..Commit::default()
    }
}

async fn a_change_is_read_back_as_it_was_written(place: TestDatabase) {
    let store = place.open().await;
    let written = full_change();
    let done = store.writer().commit(written.clone()).await.expect("commits");
    assert_eq!((done.history, done.audit), (vec![Some(1)], vec![1, 2]));
    let reader = store.reader();
    let agents = reader.agents(&acme()).await.expect("reads");
    assert_eq!((&agents[0].agent, agents[0].subject), (&written.agents[0].agent, written.agents[0].subject));
    assert!(!agents[0].imported);
    let latest = reader.latest_states(&acme()).await.expect("reads");
    assert_eq!(HistoryWrite::Enter(latest[0].row.clone()), written.history[0]);
    let open = reader.open_transitions(&acme()).await.expect("reads");
    assert_eq!((&open[0].transition, open[0].accepted_at), (&written.transitions[0], Some(at(21))));
    assert_eq!(reader.attempts(&acme(), TransitionId(uuid(3))).await.expect("reads"), [call(true)]);
    assert_eq!(reader.audit_of_transition(&acme(), TransitionId(uuid(3))).await.expect("reads").len(), 2);
    assert_eq!(reader.jobs().await.expect("reads"), written.jobs);
    assert_eq!(reader.last_job_runs().await.expect("reads"), written.job_runs);
    let note = reader.note(&acme(), written.notes[0].hash).await.expect("reads");
    assert_eq!(note.as_deref(), Some("please"));
    let events = reader.events(&acme(), 0, 10).await.expect("reads");
    assert_eq!(events[0].body, serde_json::to_string(&written.events[0].body()).expect("JSON"));
    assert_eq!(reader.events(&acme(), events[0].number, 10).await.expect("reads"), []);
    assert_eq!(reader.counters(&acme()).await.expect("reads"), written.counters);
    assert_eq!(reader.automation_memory(&acme()).await.expect("reads"), written.memory[1..], "the last write counts");
    assert_eq!(
        reader.subscriptions(&acme()).await.expect("reads").into_iter().map(SubscriptionWrite::Set).collect::<Vec<_>>(),
        written.subscriptions
    );
    let answer = reader.idempotency_row(Some(&acme()), "ops", "k").await.expect("reads");
    assert_eq!(answer.as_ref(), written.idempotency.first());
    assert_eq!(reader.rule_versions(&acme()).await.expect("reads"), written.rules);
    assert_eq!(reader.tenant_status(&acme()).await.expect("reads"), written.tenant_status[0]);
    assert_eq!(verified_length(reader).await, 2);
    store.close().await;
}

async fn the_platforms_directory_comes_before_schedules_and_puts_agents_on_the_roster(place: TestDatabase) {
    let store = place.open().await;
    let listed = |id: &str, name: Option<&str>, is_active| ListedAgentWrite {
        agent: Agent { id: id.into(), name: name.map(Into::into), team: Some("green".into()), zone: None },
        subject: SubjectId(uuid(u128::from(id.as_bytes()[id.len() - 1]))),
        is_active,
        user_id: Some(format!("uuid-{id}").into()),
        user_name: None,
    };
    let write = async |is_complete, agents: Vec<ListedAgentWrite>| {
        let directory = vec![DirectoryWrite { tenant: acme(), is_complete, agents }];
        store.writer().commit(Commit { directory, ..Commit::default() }).await.expect("commits");
    };
    let imported = async |id: &str| {
        store
            .writer()
            .commit(Commit { agents: vec![agent_write(id, 900)], ..Commit::default() })
            .await
            .expect("commits");
    };
    let agents = async || {
        let agents = store.reader().agents(&acme()).await.expect("reads");
        let of = |known: &StoredAgent| {
            let name = known.agent.name.as_deref().unwrap_or_default().to_owned();
            (known.agent.id.to_string(), name, known.agent.team.clone().expect("a team").to_string(), known.listed)
        };
        agents.iter().map(of).collect::<Vec<_>>()
    };
    let row = |id: &str, name: &str, team: &str, listed| (id.to_owned(), name.to_owned(), team.to_owned(), listed);
    imported("u_1").await;
    write(true, vec![listed("u_1", None, true), listed("u_2", Some("Bob"), true), listed("u_3", None, false)]).await;
    let known = [row("u_1", "Ida", "green", true), row("u_2", "Bob", "green", true), row("u_3", "", "green", false)];
    assert_eq!(agents().await, known);
    // A schedule fills in what the directory does not say.
    imported("u_2").await;
    imported("u_3").await;
    let known = [row("u_1", "Ida", "green", true), row("u_2", "Bob", "green", true), row("u_3", "Ida", "blue", false)];
    assert_eq!(agents().await, known);
    // Changes leave the others listed; a complete directory does not.
    write(false, vec![listed("u_3", Some("Cy"), true)]).await;
    assert!(agents().await.iter().all(|known| known.3));
    write(true, vec![listed("u_3", Some("Cy"), true)]).await;
    assert_eq!(agents().await.iter().map(|known| known.3).collect::<Vec<_>>(), [false, false, true]);
    let stored = store.reader().agent(&acme(), &"u_3".into()).await.expect("reads").expect("stored");
    assert_eq!((stored.user_id.as_deref(), stored.is_on_roster(), stored.imported), (Some("uuid-u_3"), true, false));
    store.close().await;
}

async fn a_refused_change_leaves_nothing_and_the_chain_goes_on(place: TestDatabase) {
    let store = place.open().await;
    store.writer().commit(change(1)).await.expect("commits");
    let mut bad = change(2);
    bad.events = vec![event(1001)];
    let refused = store.writer().commit(bad).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    assert_eq!(verified_length(store.reader()).await, 1);
    assert_eq!(store.reader().latest_states(&acme()).await.expect("reads").len(), 1);
    let done = store.writer().commit(change(3)).await.expect("commits");
    assert_eq!((done.history, done.audit), (vec![Some(2)], vec![2]), "numbers given back are given out again");
    assert_eq!(verified_length(store.reader()).await, 2);
    store.close().await;
}

async fn a_bad_change_does_not_fail_its_neighbours(place: TestDatabase) {
    let store = place.open().await;
    let mut bad = change(500);
    bad.events = vec![event(1001)];
    let mut changes: Vec<Commit> = (1..60).map(change).collect();
    changes.insert(30, bad);
    let mut tasks = tokio::task::JoinSet::new();
    for (index, change) in changes.into_iter().enumerate() {
        let writer = store.writer().clone();
        tasks.spawn(async move { (index, writer.commit(change).await) });
    }
    for (index, result) in tasks.join_all().await {
        assert_eq!(result.is_err(), index == 30, "change {index}: {result:?}");
    }
    assert_eq!(verified_length(store.reader()).await, 59);
    assert_eq!(store.reader().event_counts(&acme()).await.expect("reads")[0].1, 59);
    store.close().await;
}

async fn entries_cannot_be_changed_and_deleted_only_below_a_checkpoint(place: TestDatabase) {
    let store = place.open().await;
    for n in 1..=3 {
        store.writer().commit(change(n)).await.expect("commits");
    }
    store.close().await;
    for forbidden in [
        "UPDATE audit_entries SET action = 'x' WHERE seq = 2",
        "DELETE FROM audit_entries WHERE seq = 1",
        "DELETE FROM audit_entries",
    ] {
        let error = place.execute_raw(forbidden).await.expect_err("refused").to_string();
        assert!(error.contains("audit entries"), "{forbidden}: {error}");
    }
    let hash = if place.url.starts_with("sqlite") {
        "INSERT INTO audit_heads (tenant, seq, hash, at, signature, prunes_below) VALUES ('acme', 3, x'00', 1, x'00', 1)"
    } else {
        "INSERT INTO audit_heads (tenant, seq, hash, at, signature, prunes_below) VALUES ('acme', 3, '\\x00', 1, '\\x00', 1)"
    };
    place.execute_raw(hash).await.expect("a checkpoint");
    place.execute_raw("DELETE FROM audit_entries WHERE seq < 3").await.expect("below the checkpoint");
    place.execute_raw("DELETE FROM audit_entries WHERE seq = 3").await.expect_err("the checkpoint's own entry stays");
    let store = place.open().await;
    assert_eq!(store.writer().commit(change(9)).await.expect("commits").audit, [4]);
    store.close().await;
}

async fn a_writer_that_lost_its_epoch_writes_nothing_more(place: TestDatabase) {
    const RESTORE_EPOCH: &str = "INSERT INTO daemon (only_row, epoch, role, host, pid, started_at, version) \
         VALUES (1, 1, 'daemon', 'desk-7', 1, 1, '1') ON CONFLICT (only_row) DO UPDATE SET epoch = 1";
    let store = place.open().await;
    // The first change after a start or a failure asks for the epoch by itself; later ones bring it along with their statements,
    // which are few or many.
    let many = || Commit { events: (100..130).map(event).collect(), ..change(2) };
    let mut kept = 0;
    for (taken, theirs) in [("UPDATE daemon SET epoch = 2", 2), ("DELETE FROM daemon", 0)] {
        for (knows_the_tenant, next) in [(false, change(2)), (true, change(2)), (true, many())] {
            if knows_the_tenant {
                kept += 1;
                store.writer().commit(change(10 + kept)).await.expect("commits");
            }
            place.execute_raw(taken).await.expect("another daemon");
            let lost = store.writer().commit(next).await;
            assert!(matches!(lost, Err(CommitError::LostEpoch { ours: 1, theirs: now }) if now == theirs), "{lost:?}");
            assert_eq!(verified_length(store.reader()).await, u64::from(kept), "{taken}");
            place.execute_raw(RESTORE_EPOCH).await.expect("as before");
        }
    }
    store.close().await;
}

async fn a_change_whose_caller_left_is_stored(place: TestDatabase) {
    let store = place.open().await;
    let writer = store.writer().clone();
    {
        let mut left = std::pin::pin!(writer.commit(change(1)));
        std::future::poll_fn(|context| {
            let _ = left.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    let done = store.writer().commit(change(2)).await.expect("commits");
    assert_eq!(done.audit, [2], "the change before it is in the chain");
    assert_eq!(verified_length(store.reader()).await, 2);
    store.close().await;
    assert!(matches!(writer.commit(change(3)).await, Err(CommitError::Closed)));
}

async fn tenants_do_not_see_each_other(place: TestDatabase) {
    let store = place.open().await;
    let mut other = full_change();
    store.writer().commit(full_change()).await.expect("commits");
    let bravo = || TenantId::from("bravo");
    other.agents[0].tenant = bravo();
    other.transitions[0].tenant = bravo();
    other.events[0].tenant = bravo();
    other.counters[0].tenant = bravo();
    other.idempotency[0].tenant = Some(bravo());
    for draft in &mut other.audit {
        draft.tenant = bravo();
    }
    for step in &mut other.history {
        if let HistoryWrite::Enter(row) = step {
            row.tenant = bravo();
        }
    }
    let done = store.writer().commit(other).await.expect("the same ids are another tenant's");
    assert_eq!((done.history, done.audit), (vec![Some(1)], vec![1, 2]));
    assert_eq!(store.reader().agents(&acme()).await.expect("reads").len(), 1);
    assert_eq!(store.reader().audited_tenants().await.expect("reads"), ["acme".into(), "bravo".into()]);
    assert_eq!(verified_length(store.reader()).await, 2);
    store.close().await;
}

async fn a_value_of_another_hand_is_named_by_table_column_and_row(place: TestDatabase) {
    let store = place.open().await;
    store.writer().commit(full_change()).await.expect("commits");
    place.execute_raw("UPDATE transitions SET priority = 'soonish'").await.expect("another hand");
    let error = store.reader().open_transitions(&acme()).await.expect_err("not known");
    assert!(matches!(&error, ReadError::Decode { table: "transitions", column: "priority", .. }), "{error:?}");
    assert!(error.to_string().contains(&uuid(3).to_string()), "{error}");
    store.close().await;
}

#[tokio::test]
async fn a_full_store_refuses_changes_and_recovers_when_there_is_space() {
    let place = TestDatabase::sqlite();
    let store = place.open().await;
    store.writer().commit(change(1)).await.expect("commits");
    store.writer().set("PRAGMA max_page_count = 1").await;
    let mut large = change(2);
    large.notes.push(NoteWrite { tenant: acme(), hash: Hash::of(b"n"), salt: [0; 16], text: "x".repeat(100_000) });
    let refused = store.writer().commit(large.clone()).await;
    assert!(matches!(refused, Err(CommitError::Full)), "{refused:?}");
    let trouble = store.writer().failure();
    assert!(matches!(trouble.borrow().commit, Some(CommitError::Full)), "{trouble:?}");
    store.writer().set("PRAGMA max_page_count = 1000000").await;
    let before = store.reader().daemon().await.expect("readable");
    store.writer().probe().await.expect("writes");
    assert!(trouble.borrow().commit.is_none(), "{trouble:?}");
    assert_eq!(store.reader().daemon().await.expect("readable"), before, "a probe leaves everything as it is");
    assert_eq!(store.writer().commit(large).await.expect("commits").audit, [2]);
    assert_eq!(verified_length(store.reader()).await, 2);
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_changes_are_the_same_after_a_restart(groups in prop::collection::vec(prop::collection::vec((0_u32..40, any::<bool>()), 1..12), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let place = TestDatabase::sqlite();
            let mut stored = 0;
            let mut before = Vec::new();
            for group in groups {
                let store = place.open().await;
                assert_eq!(store.reader().latest_states(&acme()).await.expect("reads"), before);
                let mut tasks = tokio::task::JoinSet::new();
                for (n, entry) in group {
                    let writer = Arc::new(store.writer().clone());
                    let mut one = change(n);
                    if !entry { one.audit.clear(); }
                    let entries = one.audit.len() as u64;
                    tasks.spawn(async move { writer.commit(one).await.map_or(0, |_| entries) });
                }
                stored += tasks.join_all().await.into_iter().sum::<u64>();
                before = store.reader().latest_states(&acme()).await.expect("reads");
                assert_eq!(verified_length(store.reader()).await, stored);
                store.close().await;
            }
        });
    }
}
