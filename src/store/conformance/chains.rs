//! A chain that somebody with a database tool has been at: where it stops to hold.

use super::{Place, acme, change, on_each_engine};
use crate::store::ChainVerdict;

on_each_engine!(
    a_whole_chain_holds_over_several_pages,
    an_edit_of_a_body_or_of_a_column_beside_it_is_found_at_its_entry,
    a_missing_entry_is_found,
);

async fn a_whole_chain_holds_over_several_pages(place: Place) {
    let store = place.open().await;
    for n in 0..11 {
        let mut commit = change(n);
        commit.audit = std::iter::repeat_n(commit.audit[0].clone(), 100).collect();
        store.writer().commit(commit).await.expect("commits");
    }
    let verdict = store.reader().verify_chain(&acme()).await.expect("reads");
    assert_eq!(verdict, ChainVerdict { entries: 1100, first_bad: None });
    let nobody = store.reader().verify_chain(&"nobody".into()).await.expect("reads");
    assert_eq!(nobody, ChainVerdict { entries: 0, first_bad: None });
    store.close().await;
}

/// A chain of four entries that nothing guards.
async fn unguarded(place: &Place) {
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
    place.by_hand(disarm).await.expect("nothing guards any more");
}

/// What the first bad entry is after `forgery`, and why.
async fn after(place: &Place, forgery: &'static str) -> (u64, String) {
    assert_eq!(place.by_hand(forgery).await.expect("forged"), 1, "{forgery}");
    let store = place.open().await;
    let bad = store.reader().verify_chain(&acme()).await.expect("reads").first_bad.expect("it does not hold");
    store.close().await;
    (bad.seq, bad.reason)
}

/// Undoes what was forged one after the other, so that each is found by itself.
async fn an_edit_of_a_body_or_of_a_column_beside_it_is_found_at_its_entry(place: Place) {
    unguarded(&place).await;
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
        assert_eq!(after(&place, forgery).await, (2, reason.to_owned()), "{forgery}");
        place.by_hand(undo).await.expect("undone");
        let store = place.open().await;
        assert_eq!(store.reader().verify_chain(&acme()).await.expect("reads").first_bad, None, "{undo}");
        store.close().await;
    }
}

async fn a_missing_entry_is_found(place: Place) {
    unguarded(&place).await;
    let (seq, reason) = after(&place, "DELETE FROM audit_entries WHERE seq = 3").await;
    assert_eq!((seq, reason.as_str()), (3, "entry 3 should follow, entry 4 does"));
}
