//! Who may open a store, and that a refusal writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{OpenError, ProcessRole, Store, TestDatabase, change, on_each_engine, verified_length};

on_each_engine!(
    a_second_writer_is_refused_by_name_and_readers_are_not,
    where_the_daemon_listens_is_known_until_it_stops,
    a_newer_version_is_refused,
);

/// Names and bytes of what lies in a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries.map(|entry| (entry.file_name().display().to_string(), fs::read(entry.path()).expect("a file"))).collect()
}

async fn a_second_writer_is_refused_by_name_and_readers_are_not(place: TestDatabase) {
    let first = place.open().await;
    first.writer().commit(change(1)).await.expect("commits");
    for role in [ProcessRole::Daemon, ProcessRole::Import] {
        let refused = place.try_open(role).await.expect_err("refused").to_string();
        assert!(refused.contains("desk-7") && refused.contains("4711") && refused.contains("1970-01-12"), "{refused}");
    }
    let reader = Store::read(&place.url).await.expect("a reader may");
    assert_eq!(verified_length(&reader).await, 1);
    first.writer().commit(change(2)).await.expect("the first goes on");
    assert_eq!(verified_length(&reader).await, 2);
    reader.close().await;
    first.close().await;
    let second = place.try_open(ProcessRole::Import).await.expect("free again");
    assert_eq!(second.reader().daemon().await.expect("reads").expect("a row").epoch, 2);
    second.close().await;
}

async fn where_the_daemon_listens_is_known_until_it_stops(place: TestDatabase) {
    let store = place.open().await;
    store.writer().set_listen("127.0.0.1:8080").await.expect("writes");
    let reader = Store::read(&place.url).await.expect("a reader");
    let row = reader.daemon().await.expect("reads").expect("a row");
    assert_eq!((row.listen.as_deref(), row.role, row.stopped_at), (Some("127.0.0.1:8080"), ProcessRole::Daemon, None));
    store.close().await;
    let row = reader.daemon().await.expect("reads").expect("a row");
    assert_eq!((row.listen, row.stopped_at.is_some()), (None, true));
    reader.close().await;
}

async fn a_newer_version_is_refused(place: TestDatabase) {
    place.open().await.close().await;
    let newer = if place.url.starts_with("sqlite") {
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', 1, x'00', 0)"
    } else {
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', true, '\\x00', 0)"
    };
    place.execute_raw(newer).await.expect("a later migration");
    let before = contents(place.folder.path());
    let refusals = [
        place.try_open(ProcessRole::Daemon).await.err(),
        place.try_open(ProcessRole::Import).await.err(),
        Store::read(&place.url).await.err(),
    ];
    for refused in refusals {
        assert!(matches!(refused, Some(OpenError::Newer { found: 99, .. })), "{refused:?}");
    }
    assert_eq!(contents(place.folder.path()), before);
}

#[tokio::test]
async fn a_store_that_is_marked_read_only_is_refused_and_nothing_is_written() {
    let place = TestDatabase::sqlite();
    let store = place.open().await;
    store.writer().commit(change(1)).await.expect("commits");
    store.close().await;
    for marked in [place.file(), place.folder.path().to_owned()] {
        let before = (contents(place.folder.path()), fs::metadata(&marked).expect("is there").permissions());
        let mut permissions = before.1.clone();
        permissions.set_readonly(true);
        fs::set_permissions(&marked, permissions).expect("marks");
        let refused = place.try_open(ProcessRole::Daemon).await;
        fs::set_permissions(&marked, before.1).expect("unmarks");
        assert!(
            matches!(&refused, Err(OpenError::ReadOnly { place }) if Path::new(place) == marked),
            "{:?}",
            refused.err()
        );
        assert_eq!(contents(place.folder.path()), before.0);
    }
    let reader = Store::read(&place.url).await.expect("reads");
    assert_eq!(verified_length(&reader).await, 1);
}

#[tokio::test]
async fn a_reader_makes_no_store() {
    let place = TestDatabase::sqlite();
    assert!(matches!(Store::read(&place.url).await, Err(OpenError::NotFound { .. })));
    assert!(contents(place.folder.path()).is_empty());
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_alone() {
    for (name, bytes) in [("text", b"not a database, but long enough to be one".to_vec()), ("short", b"SQL".to_vec())] {
        let place = TestDatabase::sqlite();
        fs::write(place.file(), &bytes).expect("writes");
        let refused = place.try_open(ProcessRole::Daemon).await.err();
        assert!(matches!(refused, Some(OpenError::Corrupt { .. })), "{name}: {refused:?}");
        assert_eq!(contents(place.folder.path()), [("keeper.db".to_owned(), bytes)].into());
    }
    let place = TestDatabase::sqlite();
    place.execute_raw("CREATE TABLE recipes (name TEXT)").await.expect("another program's");
    let refused = place.try_open(ProcessRole::Daemon).await.err();
    assert!(matches!(refused, Some(OpenError::Corrupt { .. })), "{refused:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_store_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = TestDatabase::sqlite();
    let store = place.open().await;
    for name in ["keeper.db", "keeper.db-wal"] {
        let mode = fs::metadata(place.folder.path().join(name)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    store.close().await;
    assert!(!place.folder.path().join("keeper.db-wal").exists(), "an orderly stop folds the log into the file");
}
