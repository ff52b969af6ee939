//! Copies of a file: whole ones are taken, one without its log is refused by name.

use std::fs;
use std::path::{Path, PathBuf};

use super::{OpenError, ProcessRole, Store, TestDatabase, at, change, verified_length};
use crate::clock::RealTime;
use crate::store::file_state::{FileState, read_file_state};
use crate::store::{RestoreError, back_up, ineffective_settings, inspect, restore, stats};

fn with_suffix(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// A store with two changes, and a plain copy of it in its midst, with its log and without.
async fn copied_while_open(place: &TestDatabase) -> (Store, PathBuf, PathBuf) {
    let store = place.open().await;
    store.writer().commit(change(1)).await.expect("commits");
    let folder = place.folder.path();
    let (whole, torn) = (folder.join("whole.db"), folder.join("torn.db"));
    fs::copy(place.file(), &whole).expect("copied");
    fs::copy(with_suffix(&place.file(), "-wal"), with_suffix(&whole, "-wal")).expect("copied");
    fs::copy(place.file(), &torn).expect("copied");
    (store, whole, torn)
}

#[tokio::test]
async fn a_copy_of_the_main_file_alone_is_refused_by_name_wherever_it_is_opened() {
    let place = TestDatabase::sqlite();
    let (store, whole, torn) = copied_while_open(&place).await;
    store.close().await;
    let other = TestDatabase { url: url(&torn), folder: tempfile::tempdir().expect("a folder") };
    let refused = [
        Store::read(&other.url).await.err(),
        other.try_open(ProcessRole::Daemon).await.err(),
        inspect(&other.url, true).await.err(),
    ];
    for refused in refused {
        let refused = refused.expect("refused");
        assert!(matches!(refused, OpenError::WithoutLog { .. }), "{refused:?}");
        assert!(refused.to_string().contains("torn.db-wal"), "{refused}");
    }
    let reader = Store::read(&url(&whole)).await.expect("with its log it is whole");
    assert_eq!(verified_length(&reader).await, 1);
    reader.close().await;

    // The same file over the one that was closed in order.
    fs::copy(&torn, place.file()).expect("copied");
    assert!(matches!(place.try_open(ProcessRole::Daemon).await.err(), Some(OpenError::WithoutLog { .. })));
}

#[tokio::test]
async fn a_store_that_is_dropped_is_no_copy() {
    let place = TestDatabase::sqlite();
    let store = place.open().await;
    store.writer().commit(change(1)).await.expect("commits");
    drop(store);
    // The engine folds the log in when the last connection is gone.
    while with_suffix(&place.file(), "-wal").exists() {
        RealTime::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert!(matches!(read_file_state(&place.file()).expect("read"), FileState::InUse(_)));
    let store = place.open().await;
    assert_eq!(verified_length(store.reader()).await, 1);
    store.close().await;
    assert_eq!(read_file_state(&place.file()).expect("read"), FileState::Closed);
}

#[tokio::test]
async fn a_copy_of_the_running_store_is_put_in_its_place_and_what_was_there_is_kept() {
    let place = TestDatabase::sqlite();
    let store = place.open().await;
    store.writer().commit(change(1)).await.expect("commits");
    let backup = place.folder.path().join("backup.db");
    store.writer().set_listen("127.0.0.1:8080").await.expect("writes");
    back_up(&place.url, &backup).await.expect("copied");
    assert_eq!(read_file_state(&backup).expect("read"), FileState::Closed);
    store.writer().commit(change(2)).await.expect("commits");
    let held = restore(&place.url, &backup, false, at(0)).await.expect_err("held");
    assert!(matches!(held, RestoreError::Open(OpenError::InUse { .. })), "{held:?}");
    store.close().await;

    let restored = restore(&place.url, &backup, false, at(0)).await.expect("restored");
    assert_eq!((restored.entries, restored.without_log, restored.replaced_files.len()), (1, false, 1));
    let reader = Store::read(&place.url).await.expect("a store");
    let row = reader.daemon().await.expect("reads").expect("a row");
    assert!(row.stopped_at.is_some() && row.listen.is_none(), "nobody has a copy: {row:?}");
    reader.close().await;
    let store = place.open().await;
    assert_eq!(verified_length(store.reader()).await, 1);
    store.close().await;
    let kept = Store::read(&url(&restored.replaced_files[0])).await.expect("kept");
    assert_eq!(verified_length(&kept).await, 2);
    kept.close().await;
}

#[tokio::test]
async fn what_a_crash_left_is_kept_with_its_log() {
    let place = TestDatabase::sqlite();
    let (store, whole, torn) = copied_while_open(&place).await;
    let backup = place.folder.path().join("backup.db");
    back_up(&place.url, &backup).await.expect("copied");
    store.close().await;
    // As after a crash: the main file with a log that is not folded in.
    let restored = restore(&url(&whole), &backup, false, at(0)).await.expect("restored");
    assert_eq!(restored.replaced_files.len(), 2, "{:?}", restored.replaced_files);
    for (path, entries) in [(&whole, 1), (&restored.replaced_files[0], 1)] {
        let reader = Store::read(&url(path)).await.expect("whole");
        assert_eq!(verified_length(&reader).await, entries);
        reader.close().await;
    }
    assert!(
        !with_suffix(&whole, "-wal").exists() || fs::metadata(with_suffix(&whole, "-wal")).expect("read").len() == 0
    );

    // Taken all the same, over itself.
    let refused = restore(&url(&torn), &torn, false, at(0)).await.expect_err("refused");
    assert!(matches!(refused, RestoreError::Open(OpenError::WithoutLog { .. })), "{refused:?}");
    let forced = restore(&url(&torn), &torn, true, at(0)).await.expect("taken");
    assert!(forced.without_log && forced.replaced_files.len() == 1, "{forced:?}");
    let reader = Store::read(&url(&torn)).await.expect("a store");
    assert_eq!(verified_length(&reader).await, 0, "what stood in the log alone is lost");
    reader.close().await;
}

#[tokio::test]
async fn damage_is_found_and_nothing_is_touched() {
    let place = TestDatabase::sqlite();
    let store = place.open().await;
    for n in 1..200 {
        store.writer().commit(change(n)).await.expect("commits");
    }
    let backup = place.folder.path().join("backup.db");
    back_up(&place.url, &backup).await.expect("copied");
    store.close().await;
    let before = fs::read(place.file()).expect("read");
    let mut bytes = fs::read(&backup).expect("read");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&backup, bytes).expect("written");
    let refused = restore(&place.url, &backup, true, at(0)).await.expect_err("damaged");
    assert!(matches!(refused, RestoreError::Damaged { .. }), "{refused:?}");
    assert_eq!(fs::read(place.file()).expect("read"), before);
    fs::write(&backup, b"no database, but a text that is long enough").expect("written");
    assert!(matches!(restore(&place.url, &backup, true, at(0)).await, Err(RestoreError::Damaged { .. })));
    let gone = place.folder.path().join("gone.db");
    assert!(matches!(restore(&place.url, &gone, false, at(0)).await, Err(RestoreError::NoSuchFile { .. })));
    let folder = place.folder.path();
    assert!(matches!(restore(&place.url, folder, false, at(0)).await, Err(RestoreError::IsFolder { .. })));
}

super::on_each_engine!(a_store_is_measured_and_looked_at);

async fn a_store_is_measured_and_looked_at(place: TestDatabase) {
    let store = place.open().await;
    for n in 1..=3 {
        store.writer().commit(change(n)).await.expect("commits");
    }
    let inspection = inspect(&place.url, true).await.expect("looked at");
    assert_eq!(
        (inspection.migrations.0, inspection.damage.len(), inspection.dangling_tables.len()),
        (inspection.migrations.1, 0, 0),
        "{inspection:?}"
    );
    let stats = stats(&place.url).await.expect("counted");
    let table = |name: &str| stats.tables.iter().find(|table| table.name == name).cloned().expect("a table");
    let events = table("events");
    assert_eq!((events.rows, events.tenants.get("acme"), events.oldest), (3, Some(&3), Some(at(5))));
    assert_eq!(table("daemon").rows, 1);
    assert!(events.bytes.is_some_and(|bytes| bytes > 0) && stats.bytes > 0, "{stats:?}");
    store.close().await;
    assert!(ineffective_settings().await.expect("read").is_empty());
}
