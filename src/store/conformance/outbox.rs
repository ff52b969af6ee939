//! The outbox: what is written is read back, what becomes due does so in each agent's order, and what has served its time goes.

use super::{Commit, TestDatabase, acme, at, event, on_each_engine, uuid};
use crate::domain::ids::{AgentId, EndpointId, EventId, TenantId};
use crate::domain::webhooks::delivery::{DeliveryStatus, DisableReason, ParkReason};
use crate::domain::webhooks::event::{AgentStateChanged, Details as _, Event, ScheduleImported};
use crate::store::{
    AttemptWrite, Backlog, DeliveryFilter, DeliveryRelease, DeliveryWrite, EndpointWrite, EventPrune, OutboxChange,
    ParkedResend, Store,
};

on_each_engine!(
    an_endpoint_is_read_back_as_it_was_written,
    deliveries_become_due_in_each_agents_order,
    what_was_parked_is_wanted_again,
    lists_are_filtered_and_paged,
    old_events_go_with_all_that_hangs_on_them_and_numbers_go_on,
    whoever_waits_is_told_of_each_tenants_newest_event,
);

fn endpoint_id() -> EndpointId {
    "wfm".into()
}

/// Events 1 to `count`, one a second, of two agents in turn; every fifth is about nobody.
async fn open_with_events(place: &TestDatabase, count: u32) -> Store {
    let store = place.open().await;
    let events = (1..=count).map(|n| Event {
        id: EventId(uuid(u128::from(n))),
        at: at(i64::from(n)),
        data: match agent(n) {
            Some(user_id) => AgentStateChanged { user_id, sequence: n.into(), ..AgentStateChanged::example() }.into(),
            None => ScheduleImported::example().into(),
        },
        ..event(0)
    });
    let added = EndpointWrite::Add { tenant: acme(), endpoint: endpoint_id(), at: at(0), sent_through: 0 };
    let outbox = OutboxChange { endpoints: vec![added], ..OutboxChange::default() };
    store.writer().commit(Commit { events: events.collect(), outbox, ..Commit::default() }).await.expect("commits");
    store
}

fn agent(n: u32) -> Option<AgentId> {
    (!n.is_multiple_of(5)).then(|| AgentId::new(if n.is_multiple_of(2) { "u_even" } else { "u_odd" }))
}

fn row(n: u32, standing: DeliveryStatus) -> DeliveryWrite {
    DeliveryWrite {
        tenant: acme(),
        endpoint: endpoint_id(),
        event_number: u64::from(n),
        agent: agent(n),
        status: standing,
        earlier_attempts: 0,
        settled_at: standing.is_settled().then(|| at(50)),
    }
}

fn attempt(n: u32, number: u32) -> AttemptWrite {
    AttemptWrite {
        tenant: acme(),
        endpoint: endpoint_id(),
        event_number: u64::from(n),
        attempt: number,
        sent_at: at(40),
        latency_ms: 12,
        status_code: Some(503),
        error: Some("503 Service Unavailable".into()),
        response: "try later \u{fffd}".into(),
    }
}

async fn write(store: &Store, outbox: OutboxChange) {
    store.writer().commit(Commit { outbox, ..Commit::default() }).await.expect("commits");
}

async fn write_deliveries(store: &Store, deliveries: Vec<DeliveryWrite>) {
    write(store, OutboxChange { deliveries, ..OutboxChange::default() }).await;
}

async fn due_event_numbers(store: &Store) -> Vec<u64> {
    let due = store.reader().due_deliveries(&acme(), &endpoint_id(), at(100), 100).await.expect("reads");
    due.iter().map(|due| due.event.number).collect()
}

async fn an_endpoint_is_read_back_as_it_was_written(place: TestDatabase) {
    let store = open_with_events(&place, 3).await;
    let again = EndpointWrite::Add { tenant: acme(), endpoint: endpoint_id(), at: at(9), sent_through: 3 };
    let progress = EndpointWrite::Progress {
        tenant: acme(),
        endpoint: endpoint_id(),
        sent_through: 2,
        failing_since: Some(at(7)),
        last_error: Some("refused".into()),
    };
    let disable = |disabled| EndpointWrite::Disable { tenant: acme(), endpoint: endpoint_id(), disabled };
    let endpoints = vec![again, progress, disable(Some((at(8), DisableReason::Gone)))];
    write(&store, OutboxChange { endpoints, ..OutboxChange::default() }).await;
    let stored = store.reader().endpoints(&acme()).await.expect("reads");
    assert_eq!((stored.len(), stored[0].created_at, stored[0].sent_through), (1, at(0), 2), "a known one stays");
    assert_eq!((stored[0].failing_since, stored[0].last_error.as_deref()), (Some(at(7)), Some("refused")));
    assert_eq!(stored[0].disabled, Some((at(8), DisableReason::Gone)));
    write(&store, OutboxChange { endpoints: vec![disable(None)], ..OutboxChange::default() }).await;
    assert_eq!(store.reader().endpoints(&acme()).await.expect("reads")[0].disabled, None);
    assert_eq!(store.reader().endpoints(&TenantId::new("bravo")).await.expect("reads"), []);
    assert_eq!(store.reader().last_event_number(&acme()).await.expect("reads"), 3);
    let backlog = store.reader().backlog(&acme(), &endpoint_id()).await.expect("reads");
    assert_eq!(backlog, Backlog { waiting: 0, parked: 0, unprocessed: 1 });
    store.close().await;
}

async fn deliveries_become_due_in_each_agents_order(place: TestDatabase) {
    let store = open_with_events(&place, 9).await;
    let later = DeliveryStatus::Waiting { attempts: 1, next_at: at(200) };
    let mut rows = vec![row(1, later), row(2, DeliveryStatus::Delivered { attempts: 1 })];
    rows.extend([3, 4, 6, 7, 8, 9].map(|n| row(n, DeliveryStatus::Blocked)));
    rows.push(row(5, DeliveryStatus::Waiting { attempts: 2, next_at: at(60) }));
    write_deliveries(&store, rows).await;
    let reader = store.reader();
    assert_eq!(due_event_numbers(&store).await, [5], "the first waits longer, the others behind it");
    assert_eq!(reader.next_due(&acme(), &endpoint_id(), at(100)).await.expect("reads"), Some(at(200)));
    let waiting = reader.waiting_by_agent(&acme(), &endpoint_id()).await.expect("reads");
    assert_eq!(waiting, [(AgentId::new("u_even"), 3), (AgentId::new("u_odd"), 4)]);
    assert_eq!(reader.delivered_after(&acme(), &endpoint_id(), 7).await.expect("reads"), [8, 9]);
    // The odd one's head is delivered, and both agents' next may go.
    let release =
        |agent: &str| DeliveryRelease { tenant: acme(), endpoint: endpoint_id(), agent: agent.into(), at: at(90) };
    let outbox = OutboxChange {
        deliveries: vec![row(1, DeliveryStatus::Delivered { attempts: 2 })],
        attempts: vec![attempt(1, 1), attempt(1, 2)],
        releases: vec![release("u_odd"), release("u_even")],
        ..OutboxChange::default()
    };
    write(&store, outbox).await;
    assert_eq!(due_event_numbers(&store).await, [5, 3, 4]);
    let found = reader.due_deliveries(&acme(), &endpoint_id(), at(60), 100).await.expect("reads");
    assert_eq!((found.len(), found[0].attempts, found[0].event.id), (1, 2, EventId(uuid(5))));
    assert_eq!(
        reader.delivery_attempts(&acme(), &endpoint_id(), 1).await.expect("reads"),
        [attempt(1, 1), attempt(1, 2)]
    );
    store.close().await;
}

async fn what_was_parked_is_wanted_again(place: TestDatabase) {
    let store = open_with_events(&place, 9).await;
    let parked = DeliveryStatus::Parked { attempts: 3, reason: ParkReason::Refused };
    let mut rows: Vec<_> = [1, 2, 3, 4, 5].map(|n| row(n, parked)).into();
    rows.push(row(7, DeliveryStatus::Waiting { attempts: 4, next_at: at(9000) }));
    rows.push(row(8, DeliveryStatus::Delivered { attempts: 1 }));
    write_deliveries(&store, rows).await;
    let reader = store.reader();
    let backlog = reader.backlog(&acme(), &endpoint_id()).await.expect("reads");
    assert_eq!((backlog.waiting, backlog.parked), (1, 5));
    let from_number = reader.first_event_since(&acme(), at(3)).await.expect("reads").expect("there are some");
    let recovery = ParkedResend { tenant: acme(), endpoint: endpoint_id(), from_number, at: at(90) };
    write(&store, OutboxChange { parked_resends: vec![recovery], ..OutboxChange::default() }).await;
    assert_eq!(
        due_event_numbers(&store).await,
        [3, 4, 5],
        "of each agent the first; the odd one's next comes after it"
    );
    let due = reader.due_deliveries(&acme(), &endpoint_id(), at(100), 1).await.expect("reads");
    assert_eq!(
        (due[0].attempts, due[0].earlier_attempts),
        (0, 3),
        "the schedule begins anew, the attempts are counted on"
    );
    let backlog = reader.backlog(&acme(), &endpoint_id()).await.expect("reads");
    assert_eq!((backlog.waiting, backlog.parked), (4, 2), "what is older stays parked");
    let outbox = OutboxChange {
        deliveries: [3, 5].map(|n| row(n, DeliveryStatus::Delivered { attempts: 1 })).into(),
        releases: vec![DeliveryRelease { tenant: acme(), endpoint: endpoint_id(), agent: "u_odd".into(), at: at(91) }],
        ..OutboxChange::default()
    };
    write(&store, outbox).await;
    assert_eq!(
        self::due_event_numbers(&store).await,
        [4, 7],
        "nor does the one that was first before wait until its old time"
    );
    store.close().await;
}

async fn lists_are_filtered_and_paged(place: TestDatabase) {
    let store = open_with_events(&place, 9).await;
    let parked = DeliveryStatus::Parked { attempts: 3, reason: ParkReason::Refused };
    let mut rows: Vec<_> = [1, 3, 5, 7].map(|n| row(n, DeliveryStatus::Delivered { attempts: 1 })).into();
    rows.extend([2, 4].map(|n| row(n, parked)));
    rows.extend([6, 8].map(|n| row(n, DeliveryStatus::Blocked)));
    write_deliveries(&store, rows).await;
    let numbers = async |filter: DeliveryFilter, limit| {
        let rows = store.reader().deliveries(&acme(), &endpoint_id(), &filter, limit).await.expect("reads");
        rows.iter().map(|row| row.event_number).collect::<Vec<_>>()
    };
    let all = DeliveryFilter::default();
    assert_eq!(numbers(all.clone(), 3).await, [8, 7, 6]);
    assert_eq!(numbers(DeliveryFilter { before: Some(6), ..all.clone() }, 3).await, [5, 4, 3]);
    assert_eq!(numbers(DeliveryFilter { since: Some(at(6)), ..all.clone() }, 100).await, [8, 7, 6]);
    assert_eq!(numbers(DeliveryFilter { since: Some(at(60)), ..all.clone() }, 100).await, [] as [u64; 0]);
    for (status, expected) in [("waiting", vec![8, 6]), ("parked", vec![4, 2]), ("delivered", vec![7, 5, 3, 1])] {
        assert_eq!(numbers(DeliveryFilter { status: Some(status), ..all.clone() }, 100).await, expected, "{status}");
    }
    let one = &store.reader().deliveries(&acme(), &endpoint_id(), &all, 100).await.expect("reads")[4];
    assert_eq!((one.parked_for, one.settled_at, one.attempts), (Some(ParkReason::Refused), Some(at(50)), 3));
    assert_eq!((one.event, one.at, one.sequence), (EventId(uuid(4)), at(4), Some(4)));
    store.close().await;
}

async fn old_events_go_with_all_that_hangs_on_them_and_numbers_go_on(place: TestDatabase) {
    let store = open_with_events(&place, 9).await;
    let rows = (1..=9).map(|n| row(n, DeliveryStatus::Delivered { attempts: 1 })).collect();
    let attempts = (1..=9).map(|n| attempt(n, 1)).collect();
    write(&store, OutboxChange { deliveries: rows, attempts, ..OutboxChange::default() }).await;
    let reader = store.reader();
    let to_forget = async |before, limit| reader.events_to_delete(&acme(), at(before), limit).await.expect("reads");
    assert_eq!(to_forget(1, 100).await, None);
    assert_eq!(to_forget(5, 2).await, Some(1..=2), "in slices");
    assert_eq!(to_forget(5, 100).await, Some(1..=4));
    assert_eq!(to_forget(500, 100).await, Some(1..=8), "the last one stays");
    let forget = |tenant: TenantId, through| OutboxChange {
        event_prunes: vec![EventPrune { tenant, through }],
        ..OutboxChange::default()
    };
    write(&store, forget("bravo".into(), 9)).await;
    write(&store, forget(acme(), 4)).await;
    let all = DeliveryFilter::default();
    assert_eq!(reader.deliveries(&acme(), &endpoint_id(), &all, 100).await.expect("reads").len(), 5);
    assert_eq!(reader.delivery_attempts(&acme(), &endpoint_id(), 4).await.expect("reads"), []);
    assert_eq!(reader.delivery_attempts(&acme(), &endpoint_id(), 5).await.expect("reads").len(), 1);
    write(&store, forget(acme(), 900)).await;
    assert_eq!(reader.events(&acme(), 0, 100).await.expect("reads").len(), 1);
    store.close().await;
    let store = place.open().await;
    store.writer().commit(Commit { events: vec![event(77)], ..Commit::default() }).await.expect("commits");
    assert_eq!(store.reader().last_event_number(&acme()).await.expect("reads"), 10);
    store.close().await;
}

async fn whoever_waits_is_told_of_each_tenants_newest_event(place: TestDatabase) {
    let store = place.open().await;
    let (mut ours, theirs) = (store.writer().event_numbers(&acme()), store.writer().event_numbers(&"bravo".into()));
    let change = |n| Commit { events: vec![event(n)], ..Commit::default() };
    store.writer().commit(change(1)).await.expect("commits");
    store.writer().commit(change(2)).await.expect("commits");
    assert_eq!(*ours.borrow_and_update(), 2);
    assert!(!theirs.has_changed().expect("the writer lives"));
    let refused = store.writer().commit(change(2)).await;
    assert!(refused.is_err() && !ours.has_changed().expect("the writer lives"), "what is not stored is not told");
    store.close().await;
}
