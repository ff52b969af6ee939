//! Lists, guards and figures over transitions and calls.

use super::{Commit, TestDatabase, acme, agent_write, at, on_each_engine, transition, uuid};
use crate::domain::changes::policy::Violation;
use crate::domain::changes::transition::{Actor, Transition, TransitionStatus, WaitReason};
use crate::domain::ids::TransitionId;
use crate::store::{CallWrite, TransitionFilter};

on_each_engine!(
    a_transition_keeps_what_was_asked_and_when_it_took_effect,
    transitions_are_listed_newest_first_by_filter_and_page,
    what_waits_for_a_person_is_counted_by_team,
    figures_add_up,
    recent_calls_are_those_that_may_hold_a_slot,
);

fn waiting() -> TransitionStatus {
    TransitionStatus::Waiting { why: WaitReason::Budget, until: Some(at(30)) }
}

async fn store_with_transitions(place: &TestDatabase, transitions: Vec<Transition>) -> crate::store::Store {
    let store = place.open().await;
    for one in transitions {
        store.writer().commit(Commit { transitions: vec![one], ..Commit::default() }).await.expect("commits");
    }
    store
}

async fn a_transition_keeps_what_was_asked_and_when_it_took_effect(place: TestDatabase) {
    let steps = [
        waiting(),
        TransitionStatus::Sending { since: at(31) },
        TransitionStatus::Accepted { at: at(32) },
        TransitionStatus::Confirmed { at: at(35) },
    ];
    let store = store_with_transitions(&place, steps.map(|status| transition(1, "a", status)).into()).await;
    let found = store.reader().transition(&acme(), TransitionId(uuid(1))).await.expect("reads").expect("is there");
    assert_eq!(found.transition, transition(1, "a", TransitionStatus::Confirmed { at: at(35) }));
    assert_eq!((found.accepted_at, found.finished_at), (Some(at(32)), Some(at(1_000_000))));
    assert_eq!(store.reader().open_transitions(&acme()).await.expect("reads"), []);
    let automatic = store.reader().automatic_changes(&acme(), at(32)).await.expect("reads");
    assert_eq!((automatic.len(), automatic[0].rule.as_str()), (1, "back-from-break"));
    assert_eq!(store.reader().automatic_changes(&acme(), at(33)).await.expect("reads"), []);
    // Acceptance and confirmation in one change.
    let both = [TransitionStatus::Accepted { at: at(40) }, TransitionStatus::Confirmed { at: at(45) }];
    let transitions = both.map(|status| transition(2, "a", status)).into();
    store.writer().commit(Commit { transitions, ..Commit::default() }).await.expect("commits");
    let found = store.reader().transition(&acme(), TransitionId(uuid(2))).await.expect("reads").expect("is there");
    assert_eq!(found.accepted_at, Some(at(40)));
    store.close().await;
}

async fn what_waits_for_a_person_is_counted_by_team(place: TestDatabase) {
    let pending_approval = || TransitionStatus::Waiting { why: WaitReason::Approval, until: None };
    let all = vec![
        transition(1, "u_1", pending_approval()),
        transition(2, "u_2", pending_approval()),
        transition(3, "nobody", pending_approval()),
        transition(4, "u_1", waiting()),
        transition(5, "u_1", TransitionStatus::Confirmed { at: at(45) }),
    ];
    let store = store_with_transitions(&place, all).await;
    let agents = vec![agent_write("u_1", 7), agent_write("u_2", 8)];
    store.writer().commit(Commit { agents, ..Commit::default() }).await.expect("commits");
    let mut counted = store.reader().pending_approvals(&acme()).await.expect("reads");
    counted.sort();
    assert_eq!(counted, [(None, 1), (Some("blue".into()), 2)]);
    assert_eq!(store.reader().pending_approvals(&"other".into()).await.expect("reads"), []);
    store.close().await;
}

async fn transitions_are_listed_newest_first_by_filter_and_page(place: TestDatabase) {
    let all = (1..=20).map(|n| transition(n, if n % 2 == 0 { "a" } else { "b" }, waiting())).collect();
    let store = store_with_transitions(&place, all).await;
    let list = |filter: TransitionFilter, limit| {
        let reader = store.reader().clone();
        async move {
            let page = reader.transitions(&acme(), &filter, limit).await.expect("reads");
            page.into_iter().map(|row| row.transition.id.0.as_u128()).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(TransitionFilter::default(), 3).await, [20, 19, 18]);
    let before = Some(TransitionId(uuid(18)));
    assert_eq!(list(TransitionFilter { before, ..TransitionFilter::default() }, 2).await, [17, 16]);
    let of_a = TransitionFilter { agent: Some("a".into()), before, ..TransitionFilter::default() };
    assert_eq!(list(of_a.clone(), 2).await, [16, 14]);
    assert_eq!(list(TransitionFilter { status: Some("confirmed".into()), ..of_a.clone() }, 2).await, [0; 0]);
    assert_eq!(list(TransitionFilter { rule: Some("other".into()), ..of_a.clone() }, 2).await, [0; 0]);
    assert_eq!(list(TransitionFilter { from: Some(at(11)), ..of_a.clone() }, 2).await, [0; 0]);
    assert_eq!(list(TransitionFilter { to: Some(at(11)), from: Some(at(10)), ..of_a }, 50).await.len(), 8);
    store.close().await;
}

async fn figures_add_up(place: TestDatabase) {
    let refused = Transition {
        violation: Some(Violation::AgentNotScheduled),
        latency_ms: None,
        ..transition(1, "a", TransitionStatus::Refused { violation: Violation::AgentNotScheduled })
    };
    let person = Transition {
        actor: Actor::Person { id: "anna".into() },
        latency_ms: Some(60),
        ..transition(2, "a", TransitionStatus::Confirmed { at: at(11) })
    };
    let late = Transition { requested_at: at(900), ..transition(4, "a", waiting()) };
    let store = store_with_transitions(&place, vec![refused, person, transition(3, "b", waiting()), late]).await;
    let figures = store.reader().compliance_figures(&acme(), at(0), at(900)).await.expect("reads");
    assert_eq!(figures.total, 3);
    assert_eq!(figures.by_status.values().sum::<u64>(), 3);
    assert_eq!((figures.by_status["refused"], figures.by_status["expired"]), (1, 0));
    assert_eq!(figures.violations, [(Violation::AgentNotScheduled, 1)].into());
    assert_eq!(figures.by_rule["back-from-break"].values().sum::<u64>(), 2);
    assert_eq!(figures.average_latency_ms(), Some(50));
    let none = store.reader().compliance_figures(&acme(), at(2000), at(3000)).await.expect("reads");
    assert_eq!((none.total, none.average_latency_ms()), (0, None));
    store.close().await;
}

async fn recent_calls_are_those_that_may_hold_a_slot(place: TestDatabase) {
    let store = place.open().await;
    let call = |n, sent, answered: Option<i64>| CallWrite {
        tenant: acme(),
        id: uuid(n),
        kind: "snapshot".into(),
        agent: None,
        transition: None,
        attempt: None,
        sent_at: at(sent),
        answered_at: answered.map(at),
        outcome: None,
        status_code: None,
        latency_ms: None,
        error: None,
        steady_us: Some(u64::try_from(answered.unwrap_or(sent)).expect("positive")),
        host_start: None,
    };
    let calls = vec![call(1, 10, Some(11)), call(2, 20, None), call(3, 70, Some(75)), call(4, 80, None)];
    store.writer().commit(Commit { calls, ..Commit::default() }).await.expect("commits");
    let recent = store.reader().recent_calls(&acme(), at(60)).await.expect("reads");
    assert_eq!(recent.iter().map(|call| call.id.as_u128()).collect::<Vec<_>>(), [2, 3, 4]);
    let steady = |span, limit| {
        let reader = store.reader().clone();
        async move {
            let calls = reader.steady_calls(&acme(), span, limit).await.expect("reads");
            calls.iter().map(|call| call.id.as_u128()).collect::<Vec<_>>()
        }
    };
    assert_eq!(steady((12, 79), 10).await, [3, 2], "the newest first, whatever the wall clock says");
    assert_eq!(steady((0, 80), 2).await, [4, 3]);
    store.close().await;
}
