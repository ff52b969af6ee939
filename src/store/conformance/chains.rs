//! A chain that somebody with a database tool has been at: where it stops to hold.

use super::{TestDatabase, acme, at, change, draft, on_each_engine};
use crate::domain::audit::head::{HeadClaim, HeadSigningKey, MARK_BYTES, SignedHead};
use crate::domain::audit::{AuditDraft, ChainHead, ChainVerifier};
use crate::domain::ids::TransitionId;
use crate::store::{AuditPrune, ChainTrust, ChainVerdict, Commit, CommitError, PAGE_LIMIT, PRUNED_ACTION, Store};

on_each_engine!(
    a_whole_chain_holds_over_several_pages,
    packed_entries_are_those_of_the_table,
    an_edit_of_a_body_or_of_a_column_beside_it_is_found_at_its_entry,
    a_missing_entry_is_found,
    the_end_of_a_chain_is_held_against_its_newest_head,
    an_entry_that_cannot_be_read_is_the_first_bad_one,
    entries_go_below_a_checkpoint_and_nowhere_else,
    heads_cannot_be_changed_or_taken_back,
    what_was_let_go_without_a_word_is_missed,
);

async fn a_whole_chain_holds_over_several_pages(place: TestDatabase) {
    let store = place.open().await;
    for n in 0..11 {
        let mut commit = change(n);
        commit.audit = std::iter::repeat_n(commit.audit[0].clone(), 100).collect();
        store.writer().commit(commit).await.expect("commits");
    }
    let verdict = store.reader().verify_chain(&acme(), ChainTrust::default()).await.expect("reads");
    assert_eq!(verdict, ChainVerdict { from: 1, entries: 1100, ..ChainVerdict::default() });
    let nobody = store.reader().verify_chain(&"nobody".into(), ChainTrust::default()).await.expect("reads");
    assert_eq!(nobody, ChainVerdict { from: 1, ..ChainVerdict::default() });
    store.close().await;
}

/// The quick way over a chain gives the same as the slow one, on both engines; a chain that holds never needs the slow one.
async fn packed_entries_are_those_of_the_table(place: TestDatabase) {
    let store = place.open().await;
    let why = serde_json::json!({"words": "-5:é\u{1F600}\u{0}\"\\\n:"});
    let audit = vec![
        draft("state.observed"),
        AuditDraft { facts: why, subject: None, transition: None, ..draft("-:1:Größe") },
        AuditDraft { transition: Some(TransitionId(uuid::Uuid::from_u128(7))), ..draft("state.observed") },
    ];
    store.writer().commit(Commit { audit, ..Commit::default() }).await.expect("commits");
    let rows = store.reader().audit_entries(&acme(), 1, PAGE_LIMIT).await.expect("reads");
    let packed = store.reader().packed_entries(&acme(), 1).await.expect("reads").expect("there are entries");
    assert_eq!(packed.count, 2);
    let mut hashes = Vec::new();
    let first = store.reader().audit_entries(&acme(), 0, 1).await.expect("reads").remove(0);
    let mut check = ChainVerifier::starting_at(acme(), ChainHead::default());
    check.verify_links(1, &first.body, &first.hash).expect("holds");
    for (row, entry) in rows.iter().zip(packed.entries()) {
        assert_eq!((entry.seq, entry.body), (row.seq, row.body.as_str()));
        let links = check.verify_links(row.seq, &row.body, &row.hash).expect("holds");
        assert!(entry.matches(&links), "{row:?}");
        hashes.extend_from_slice(&row.hash);
    }
    assert_eq!((packed.entries().count(), hashes.len()), (2, 64));
    assert!(store.reader().hashes_match(&acme(), 1, &hashes).await.expect("reads"));
    assert!(!store.reader().hashes_match(&acme(), 0, &hashes).await.expect("reads"), "of other entries");
    hashes[63] ^= 1;
    assert!(!store.reader().hashes_match(&acme(), 1, &hashes).await.expect("reads"));
    assert!(store.reader().packed_entries(&acme(), 3).await.expect("reads").is_none());
    store.close().await;
}

/// A chain of four entries that nothing guards.
async fn unprotected_chain(place: &TestDatabase) {
    let store = place.open().await;
    for n in 1..=4 {
        store.writer().commit(change(n)).await.expect("commits");
    }
    store.close().await;
    let disarm = if place.url.starts_with("sqlite") {
        "DROP TRIGGER IF EXISTS audit_entries_refuse_update; DROP TRIGGER IF EXISTS audit_entries_refuse_delete"
    } else {
        "ALTER TABLE audit_entries DISABLE TRIGGER USER"
    };
    place.execute_raw(disarm).await.expect("nothing guards any more");
}

/// What the first bad entry is after `forgery`, and why.
async fn first_bad_after(place: &TestDatabase, forgery: &'static str) -> (u64, String) {
    assert_eq!(place.execute_raw(forgery).await.expect("forged"), 1, "{forgery}");
    let store = place.open().await;
    let bad = store
        .reader()
        .verify_chain(&acme(), ChainTrust::default())
        .await
        .expect("reads")
        .first_bad
        .expect("it does not hold");
    store.close().await;
    (bad.seq, bad.reason)
}

/// Undoes what was forged one after the other, so that each is found by itself.
async fn an_edit_of_a_body_or_of_a_column_beside_it_is_found_at_its_entry(place: TestDatabase) {
    unprotected_chain(&place).await;
    for (forgery, undo, reason) in [
        (
            "UPDATE audit_entries SET action = 'state.hidden' WHERE seq = 2",
            "UPDATE audit_entries SET action = 'state.observed' WHERE seq = 2",
            "its column `action` does not say what its body says",
        ),
        (
            "UPDATE audit_entries SET at = at + 1 WHERE seq = 2",
            "UPDATE audit_entries SET at = at - 1 WHERE seq = 2",
            "its column `at` does not say what its body says",
        ),
        (
            "UPDATE audit_entries SET subject = NULL WHERE seq = 2",
            "UPDATE audit_entries SET subject = (SELECT subject FROM audit_entries WHERE seq = 1) WHERE seq = 2",
            "its column `subject` does not say what its body says",
        ),
        (
            "UPDATE audit_entries SET transition = 'none' WHERE seq = 2",
            "UPDATE audit_entries SET transition = (SELECT transition FROM audit_entries WHERE seq = 1) WHERE seq = 2",
            "its column `transition` does not say what its body says",
        ),
        (
            "UPDATE audit_entries SET body = REPLACE(body, 'Paused', 'Ready') WHERE seq = 2",
            "UPDATE audit_entries SET body = REPLACE(body, '\"before\":\"Ready\"', '\"before\":\"Paused\"') WHERE seq = 2",
            "its hash is not that of its body",
        ),
    ] {
        assert_eq!(first_bad_after(&place, forgery).await, (2, reason.to_owned()), "{forgery}");
        place.execute_raw(undo).await.expect("undone");
        let store = place.open().await;
        assert_eq!(
            store.reader().verify_chain(&acme(), ChainTrust::default()).await.expect("reads").first_bad,
            None,
            "{undo}"
        );
        store.close().await;
    }
}

async fn a_missing_entry_is_found(place: TestDatabase) {
    unprotected_chain(&place).await;
    let (seq, reason) = first_bad_after(&place, "DELETE FROM audit_entries WHERE seq = 3").await;
    assert_eq!((seq, reason.as_str()), (3, "entry 3 should follow, entry 4 does"));
}

/// PostgreSQL keeps no text that is not UTF-8; there the hash is no hash.
async fn an_entry_that_cannot_be_read_is_the_first_bad_one(place: TestDatabase) {
    unprotected_chain(&place).await;
    let forgeries = if place.url.starts_with("sqlite") {
        [
            "UPDATE audit_entries SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 3",
            "UPDATE audit_entries SET action = CAST(x'ff' AS TEXT) WHERE seq = 2",
            "UPDATE audit_entries SET subject = CAST(x'ff' AS TEXT) WHERE seq = 1",
        ]
    } else {
        [
            "UPDATE audit_entries SET hash = decode('ff', 'hex') WHERE seq = 3",
            "UPDATE audit_entries SET hash = decode('ff', 'hex') WHERE seq = 2",
            "UPDATE audit_entries SET hash = decode('ff', 'hex') WHERE seq = 1",
        ]
    };
    for (forgery, seq) in forgeries.into_iter().zip([3, 2, 1]) {
        assert_eq!(first_bad_after(&place, forgery).await.0, seq, "{forgery}");
    }
}

const KEY: [u8; 32] = [7; 32];

async fn append(store: &Store, entries: usize) {
    let audit = std::iter::repeat_n(draft("state.observed"), entries).collect();
    store.writer().commit(Commit { audit, ..Commit::default() }).await.expect("commits");
}

/// Signs what was appended since the last head.
async fn sign(store: &Store) -> SignedHead {
    let after = store.reader().last_audit_head(&acme()).await.expect("reads").map_or(0, |head| head.seq);
    let entries = store.reader().audit_entries(&acme(), after, PAGE_LIMIT).await.expect("reads");
    let head = store.reader().chain_head(&acme()).await.expect("reads");
    let key = HeadSigningKey::from_seed(KEY);
    let marks = entries.iter().flat_map(|entry| entry.hash[..MARK_BYTES].to_vec()).collect();
    let claim = HeadClaim {
        tenant: acme(),
        seq: head.seq,
        previous_seq: after,
        hash: head.hash,
        at: at(9),
        marks,
        key: key.public_key(),
    };
    let signed = SignedHead::sign(claim, &key).expect("signs");
    store.writer().commit(Commit { audit_heads: vec![signed.clone()], ..Commit::default() }).await.expect("commits");
    signed
}

fn prune(checkpoint: u64, below: u64) -> Commit {
    let prune_entry = AuditDraft { facts: serde_json::json!({ "below": checkpoint }), ..draft(PRUNED_ACTION) };
    Commit {
        audit: if below == 0 { vec![prune_entry] } else { Vec::new() },
        audit_prunes: vec![AuditPrune { tenant: acme(), checkpoint, below }],
        ..Commit::default()
    }
}

async fn entries_go_below_a_checkpoint_and_nowhere_else(place: TestDatabase) {
    let store = place.open().await;
    let mut heads = Vec::new();
    for _ in 0..3 {
        append(&store, 40).await;
        heads.push(sign(&store).await);
    }
    for (checkpoint, below) in [(80, 81 + 1), (79, 2), (40, 42), (1, 2)] {
        let refused = store.writer().commit(prune(checkpoint, below)).await;
        assert!(matches!(refused, Err(CommitError::Refused(_))), "{checkpoint}, {below}: {refused:?}");
    }
    assert_eq!(store.reader().audit_checkpoint(&acme()).await.expect("reads"), None, "nothing of it stays");
    let keys = [HeadSigningKey::from_seed(KEY).public_key()];
    for (below, from, left) in [(0, 1, 121), (30, 30, 92), (80, 80, 42)] {
        store.writer().commit(prune(80, below)).await.expect("goes");
        let trust = ChainTrust { keys: &keys, heads: &heads };
        let verdict = store.reader().verify_chain(&acme(), trust).await.expect("reads");
        assert!(verdict.is_valid(), "{below}: {verdict:?}");
        assert_eq!((verdict.from, verdict.entries), (from, left), "{below}");
    }
    assert_eq!(store.reader().audit_heads(&acme(), 0, 10).await.expect("reads").len(), 2);
    store.close().await;
    for statement in [
        "DELETE FROM audit_entries WHERE seq = 80",
        "DELETE FROM audit_entries WHERE seq = 81",
        "UPDATE audit_entries SET seq = 1 WHERE seq = 80",
    ] {
        assert!(place.execute_raw(statement).await.is_err(), "{statement}");
    }
}

async fn the_end_of_a_chain_is_held_against_its_newest_head(place: TestDatabase) {
    let store = place.open().await;
    let keys = [HeadSigningKey::from_seed(KEY).public_key()];
    let empty = store.reader().verify_tail(&acme(), &keys).await.expect("reads");
    assert!(empty.is_valid() && empty.entries == 0, "{empty:?}");
    append(&store, 3).await;
    let headless = store.reader().verify_tail(&acme(), &keys).await.expect("reads");
    assert!(headless.is_valid() && (headless.from, headless.entries) == (1, 3), "{headless:?}");
    sign(&store).await;
    append(&store, 4).await;
    sign(&store).await;
    append(&store, 2).await;
    let tail = store.reader().verify_tail(&acme(), &keys).await.expect("reads");
    assert!(tail.is_valid() && (tail.from, tail.entries, tail.heads) == (4, 6, 1), "{tail:?}");
    let foreign =
        store.reader().verify_tail(&acme(), &[HeadSigningKey::from_seed([9; 32]).public_key()]).await.expect("reads");
    assert_eq!((foreign.is_valid(), foreign.bad_heads.len()), (false, 1), "{foreign:?}");
    store.writer().commit(prune(7, 0)).await.expect("marked");
    store.writer().commit(prune(7, 7)).await.expect("goes");
    let pruned = store.reader().verify_tail(&acme(), &keys).await.expect("reads");
    assert!(pruned.is_valid() && (pruned.from, pruned.entries) == (7, 4), "{pruned:?}");
    store.close().await;
    unprotected_chain(&place).await;
    // Four more stand there, without a head.
    for (forgery, entry) in [
        ("UPDATE audit_entries SET action = 'nothing' WHERE seq = 12", 12),
        ("UPDATE audit_entries SET body = REPLACE(body, 'acme', 'acne') WHERE seq = 9", 9),
        ("DELETE FROM audit_entries WHERE seq = 7", 7),
    ] {
        assert_eq!(place.execute_raw(forgery).await.expect("forged"), 1, "{forgery}");
        let store = place.open().await;
        let bad = store.reader().verify_tail(&acme(), &keys).await.expect("reads").first_bad;
        assert_eq!(bad.as_ref().map(|bad| bad.seq), Some(entry), "{forgery}: {bad:?}");
        store.close().await;
    }
    place.execute_raw("DELETE FROM audit_entries").await.expect("forged");
    let store = place.open().await;
    let bad = store.reader().verify_tail(&acme(), &keys).await.expect("reads").first_bad.expect("found");
    assert!(bad.reason.contains("a head of"), "{bad:?}");
    store.close().await;
}

async fn heads_cannot_be_changed_or_taken_back(place: TestDatabase) {
    let store = place.open().await;
    append(&store, 5).await;
    sign(&store).await;
    store.close().await;
    for statement in [
        "UPDATE audit_heads SET at = at + 1",
        "UPDATE audit_heads SET seq = 4, prunes_below = 1",
        "UPDATE audit_heads SET hash = signature, prunes_below = 1",
        "DELETE FROM audit_heads",
        "DELETE FROM audit_entries",
    ] {
        assert!(place.execute_raw(statement).await.is_err(), "{statement}");
    }
    assert_eq!(place.execute_raw("UPDATE audit_heads SET prunes_below = 1").await.expect("may be marked"), 1);
    assert!(place.execute_raw("UPDATE audit_heads SET prunes_below = 0").await.is_err(), "a mark is not taken back");
}

/// Somebody who marks a head as checkpoint and deletes below it is let by the triggers; the chain knows nothing of it.
async fn what_was_let_go_without_a_word_is_missed(place: TestDatabase) {
    let store = place.open().await;
    append(&store, 8).await;
    sign(&store).await;
    append(&store, 8).await;
    store.close().await;
    place.execute_raw("UPDATE audit_heads SET prunes_below = 1").await.expect("marked");
    place.execute_raw("DELETE FROM audit_entries WHERE seq < 8").await.expect("deleted");
    let store = place.open().await;
    let bad = store.reader().verify_chain(&acme(), ChainTrust::default()).await.expect("reads").first_bad;
    let bad = bad.expect("found");
    assert!(bad.seq == 7 && bad.reason.contains(PRUNED_ACTION), "{bad:?}");
    store.close().await;
}
