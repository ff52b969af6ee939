//! When heads are made, over what, and what leaves.

use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, SeededRandom};
use crate::domain::audit::head::read_heads;
use crate::domain::webhooks::event::EventKind;
use crate::store::{ChainTrust, ProcessIdentity, ProcessRole, Store};

fn acme() -> TenantId {
    "acme".into()
}

fn now() -> UtcMicros {
    UtcMicros::from_micros(1_790_000_000_000_000)
}

async fn open(folder: &Path, clock: &ManualClock) -> Store {
    let url = format!("sqlite://{}", folder.join("keeper.db").display());
    let identity = ProcessIdentity { host: "desk-7".into(), pid: 1, version: "0.1.0".into() };
    Store::open(&url, ProcessRole::Daemon, Arc::new(clock.clone()), &identity).await.expect("opens")
}

fn parts_of(store: &Store, clock: &ManualClock, folder: Option<PathBuf>) -> HeadParts {
    HeadParts {
        writer: store.writer().clone(),
        reader: store.reader().clone(),
        clock: Arc::new(clock.clone()),
        random: Arc::new(SeededRandom::new(7)),
        key: HeadSigningKey::from_seed([7; 32]),
        tenants: Tenants::from_ids([acme(), "bravo".into()]),
        settings: HeadSettings { entries: 10, folder },
        signing_lock: Arc::default(),
    }
}

async fn append(store: &Store, entries: usize) {
    let draft = AuditDraft {
        tenant: acme(),
        at: now(),
        actor: "daemon".into(),
        action: "state.observed",
        subject: None,
        transition: None,
        before: Some("Paused".into()),
        after: None,
        outcome: None,
        facts: serde_json::json!({"planned": "work"}),
        note_hash: None,
    };
    let audit = std::iter::repeat_n(draft, entries).collect();
    store.writer().commit(Commit { audit, ..Commit::default() }).await.expect("commits");
}

/// The heads as a webhook would have brought them.
async fn received(store: &Store) -> Vec<SignedHead> {
    let events = store.reader().events(&acme(), 0, 500).await.expect("reads");
    let bodies = events.iter().filter(|event| event.kind == EventKind::AuditHead).map(|event| event.body.clone());
    read_heads(&bodies.collect::<Vec<_>>().join("\n")).unwrap_or_default()
}

#[tokio::test]
async fn a_head_covers_exactly_the_appended_entries() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), ManualClock::at(now()));
    let store = open(folder.path(), &clock).await;
    let dropped = folder.path().join("heads");
    let parts = parts_of(&store, &clock, Some(dropped.clone()));
    assert_eq!(pass(&parts, 1).await.expect("passes").made, 0, "nothing was appended");
    append(&store, 6).await;
    assert_eq!(pass(&parts, 10).await.expect("passes"), PassResult { made: 0, entries_left: 4 });
    append(&store, 4).await;
    assert_eq!(pass(&parts, 10).await.expect("passes").made, 1);
    assert_eq!(pass(&parts, 1).await.expect("passes").made, 0, "nothing was appended since");
    append(&store, 5000).await;
    assert_eq!(pass(&parts, 1).await.expect("passes").made, 2, "a head marks no more than it may");
    let heads = received(&store).await;
    let spans: Vec<_> = heads.iter().map(|head| (head.claim.previous_seq, head.claim.seq)).collect();
    assert_eq!(spans, [(0, 10), (10, 4106), (4106, 5010)]);
    let stored = store.reader().audit_heads(&acme(), 0, 10).await.expect("reads");
    assert_eq!(stored.into_iter().filter_map(|head| head.signed).collect::<Vec<_>>(), heads);
    let lines = std::fs::read_to_string(dropped.join("acme-2026-09-21.jsonl")).expect("dropped");
    assert_eq!(read_heads(&lines).expect("heads"), heads);
    let (own, other) = (parts.key.public_key(), HeadSigningKey::from_seed([8; 32]).public_key());
    let verify = async |keys: &[_]| {
        let trust = ChainTrust { keys, heads: &heads };
        store.reader().verify_chain(&acme(), trust).await.expect("reads")
    };
    let good = verify(&[other, own]).await;
    assert!(good.is_valid() && good.entries == 5010 && good.heads == 6, "{good:?}");
    let foreign = verify(&[other]).await;
    assert_eq!((foreign.is_valid(), foreign.first_bad, foreign.bad_heads.len()), (false, None, 6));
    store.close().await;
}

#[tokio::test]
async fn a_head_is_not_signed_over_a_chain_that_was_rewritten() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), ManualClock::at(now()));
    let store = open(folder.path(), &clock).await;
    append(&store, 4).await;
    store.close().await;
    let forger = rusqlite::Connection::open(folder.path().join("keeper.db")).expect("opens");
    forger
        .execute_batch(
            "DROP TRIGGER audit_entries_refuse_update; UPDATE audit_entries SET body = REPLACE(body, 'Paused', 'Ready') WHERE seq = 3",
        )
        .expect("forged");
    drop(forger);
    let store = open(folder.path(), &clock).await;
    let refused = pass(&parts_of(&store, &clock, None), 1).await.expect_err("refused").to_string();
    assert!(refused.contains("acme") && refused.contains("entry 3") && refused.contains("audit verify"), "{refused}");
    assert_eq!(received(&store).await, []);
    store.close().await;
}

#[tokio::test]
async fn heads_are_made_on_request_by_count_and_at_the_stop() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), ManualClock::at(now()));
    let store = open(folder.path(), &clock).await;
    let parts = parts_of(&store, &clock, None);
    let soft = CancellationToken::new();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(run(parts.clone(), soft.clone()));
    let reaches = async |seq: u64| {
        while received(&store).await.last().map(|head| head.claim.seq) != Some(seq) {
            tokio::task::yield_now().await;
        }
    };
    append(&store, 12).await;
    reaches(12).await;
    append(&store, 3).await;
    assert_eq!(make_heads(&parts, &acme()).await.expect("makes"), 1);
    assert_eq!(make_heads(&parts, &acme()).await.expect("makes"), 0, "nothing was appended");
    reaches(15).await;
    append(&store, 1).await;
    soft.cancel();
    task.join_next().await.expect("a task").expect("no panic").expect("ends well");
    reaches(16).await;
    store.close().await;
}

#[tokio::test]
async fn entries_below_an_old_head_are_deleted_and_the_rest_verifies() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), ManualClock::at(now()));
    let store = open(folder.path(), &clock).await;
    let parts = parts_of(&store, &clock, None);
    for _ in 0..3 {
        append(&store, 2500).await;
        pass(&parts, 1).await.expect("passes");
        clock.advance(Duration::from_secs(300));
    }
    assert_eq!(prune_entries(&parts, &acme(), now()).await.expect("lets go"), 0, "nothing is so old");
    assert_eq!(prune_entries(&parts, &acme(), now() + Duration::from_secs(301)).await.expect("lets go"), 4999);
    assert_eq!(prune_entries(&parts, &acme(), now() + Duration::from_secs(301)).await.expect("lets go"), 0, "all went");
    let first = store.reader().audit_entries(&acme(), 0, 1).await.expect("reads");
    assert_eq!(first[0].seq, 5000, "the checkpoint's own entry stays");
    pass(&parts, 1).await.expect("passes");
    let (keys, heads) = ([parts.key.public_key()], received(&store).await);
    let verdict = store.reader().verify_chain(&acme(), ChainTrust { keys: &keys, heads: &heads }).await.expect("reads");
    assert!(verdict.is_valid(), "{verdict:?}");
    assert_eq!((verdict.from, verdict.entries), (5000, 2502), "the entry that says what went is among them");
    store.close().await;
}

#[tokio::test]
async fn the_worker_and_the_job_at_once_make_one_head() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), ManualClock::at(now()));
    let store = open(folder.path(), &clock).await;
    let (worker, tenant) = (parts_of(&store, &clock, None), acme());
    let job = worker.clone();
    append(&store, 12).await;
    let (passed, made) = tokio::join!(pass(&worker, 10), make_heads(&job, &tenant));
    assert_eq!(passed.expect("passes").made + made.expect("makes"), 1);
}
