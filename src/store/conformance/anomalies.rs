//! Anomalies: their last status, that each is stored once, how they are found by time and series, and when they are
//! deleted.

use super::{TestDatabase, acme, at, on_each_engine};
use crate::domain::analytics::anomaly::AnomalyRecord;
use crate::domain::analytics::trend::{AnomalyKind, Baseline};
use crate::domain::ids::AnomalyId;
use crate::domain::time::UtcMicros;
use crate::store::{AnomalyFilter, Commit, PruneSlice, PruneTarget, SeriesProgress};

on_each_engine!(
    an_anomaly_is_told_once_and_stands_as_it_stood_last,
    what_is_over_goes_after_its_time,
    how_far_a_series_was_judged_is_of_what_it_was_then,
);

/// Found at a second, by an id of that instant.
fn record(series: &str, second: i64, ended: Option<i64>) -> AnomalyRecord {
    let millis = u128::from((at(second).as_micros() / 1000).unsigned_abs());
    AnomalyRecord {
        tenant: acme(),
        id: AnomalyId(uuid::Uuid::from_u128((millis << 80) | 7)),
        series: series.into(),
        source: "queue:q_1:service_level".into(),
        kind: AnomalyKind::Drop,
        baseline: Baseline::Season,
        first_bucket_at: at(second - 900),
        last_bucket_at: at(second - 900),
        value: 0.1 + 0.2,
        expected: 1.0 / 3.0,
        score: -1e-300,
        detected_at: at(second),
        last_observed_at: at(second),
        ended_at: ended.map(at),
    }
}

fn no_filter() -> AnomalyFilter {
    AnomalyFilter { from: UtcMicros::EPOCH, to: UtcMicros::MAX, series: None, before: None }
}

async fn an_anomaly_is_told_once_and_stands_as_it_stood_last(place: TestDatabase) {
    let store = place.open().await;
    let (writer, reader) = (store.writer(), store.reader());
    let commit = async |anomalies: Vec<AnomalyRecord>| writer.commit(Commit { anomalies, ..Commit::default() }).await;
    let [first, other, last] =
        [record("voice", 1000, None), record("chat", 2000, Some(2100)), record("voice", 3000, None)];
    let of_other_tenant = AnomalyRecord { tenant: "globex".into(), ..record("voice", 1000, None) };
    commit(vec![first.clone(), other.clone(), of_other_tenant]).await.expect("commits");
    let ended = AnomalyRecord {
        last_bucket_at: at(900),
        last_observed_at: at(1900),
        ended_at: Some(at(2800)),
        ..first.clone()
    };
    commit(vec![ended.clone(), last.clone()]).await.expect("commits");

    let again = AnomalyRecord { id: AnomalyId(uuid::Uuid::from_u128(1)), ..first.clone() };
    assert!(commit(vec![again]).await.is_err(), "the same value of the same series");

    let list = async |filter: &AnomalyFilter, limit| reader.anomalies(&acme(), filter, limit).await.expect("reads");
    assert_eq!(list(&no_filter(), 10).await, [last.clone(), other.clone(), ended.clone()]);
    assert_eq!(list(&no_filter(), 1).await, std::slice::from_ref(&last));
    assert_eq!(list(&AnomalyFilter { before: Some(other.id), ..no_filter() }, 10).await, std::slice::from_ref(&ended));
    assert_eq!(
        list(&AnomalyFilter { series: Some("chat".into()), ..no_filter() }, 10).await,
        std::slice::from_ref(&other)
    );
    assert_eq!(
        list(&AnomalyFilter { from: at(2000), to: at(3000), ..no_filter() }, 10).await,
        std::slice::from_ref(&other)
    );
    assert_eq!(reader.open_anomalies(&acme()).await.expect("reads"), std::slice::from_ref(&last));
    assert_eq!(reader.anomalies_since(&acme(), at(1900)).await.expect("reads"), [ended.clone(), other, last.clone()]);
    assert_eq!(reader.anomalies_since(&acme(), at(2001)).await.expect("reads"), std::slice::from_ref(&last));
    assert_eq!(reader.last_anomaly(&acme(), &"voice".into()).await.expect("reads"), Some(last));
    assert_eq!(reader.last_anomaly(&acme(), &"mail".into()).await.expect("reads"), None);
    store.close().await;
}

async fn what_is_over_goes_after_its_time(place: TestDatabase) {
    let store = place.open().await;
    let anomalies = vec![record("a", 1000, Some(1100)), record("b", 1001, None), record("c", 3000, Some(3100))];
    store.writer().commit(Commit { anomalies, ..Commit::default() }).await.expect("commits");
    let slice = PruneSlice { tenant: Some(acme()), target: PruneTarget::Anomalies, before: at(2000) };
    assert_eq!(store.writer().prune(slice.clone()).await.expect("prunes"), 1);
    assert_eq!(store.writer().prune(slice).await.expect("prunes"), 0);
    let left = store.reader().anomalies(&acme(), &no_filter(), 10).await.expect("reads");
    assert_eq!(left.iter().map(|record| record.series.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    store.close().await;
}

async fn how_far_a_series_was_judged_is_of_what_it_was_then(place: TestDatabase) {
    let store = place.open().await;
    let mark = |tenant: &str, of: &str, second: i64| SeriesProgress {
        tenant: tenant.into(),
        series: "voice".into(),
        source: of.into(),
        through: at(second),
    };
    let through = async |of: &str| store.reader().judged_through(&acme(), &"voice".into(), of).await.expect("reads");
    let commit = async |judged| {
        store.writer().commit(Commit { series_progress: judged, ..Commit::default() }).await.expect("commits")
    };
    assert_eq!(through("a").await, None);
    commit(vec![mark("acme", "a", 1), mark("acme", "a", 2), mark("globex", "a", 3)]).await;
    assert_eq!((through("a").await, through("b").await), (Some(at(2)), None));
    commit(vec![mark("acme", "b", 4)]).await;
    assert_eq!((through("a").await, through("b").await), (None, Some(at(4))));
    store.close().await;
}
