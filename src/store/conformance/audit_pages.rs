//! The audit chain as people read it, a page at a time, and one agent's plan.

use super::{TestDatabase, acme, at, draft, on_each_engine};
use crate::domain::audit::AuditDraft;
use crate::domain::ids::{SubjectId, TenantId};
use crate::store::{AuditFilter, Commit, Store, SubjectAgent};

on_each_engine!(
    pages_go_backwards_and_are_narrowed,
    entries_are_found_by_who_made_them,
    decisions_are_found_among_everything_else,
    an_agent_and_a_subject_are_found
);

async fn open_with_entries(place: &TestDatabase) -> Store {
    let store = place.open().await;
    let audit = (0..60)
        .map(|n| AuditDraft {
            at: at(n),
            action: if n % 3 == 0 { "transition.accepted" } else { "schedule.imported" },
            subject: (n % 2 == 0).then(|| SubjectId(uuid::Uuid::from_u128(7))),
            ..draft("x")
        })
        .collect();
    store.writer().commit(Commit { audit, ..Commit::default() }).await.expect("commits");
    store
}

async fn pages_go_backwards_and_are_narrowed(place: TestDatabase) {
    let store = open_with_entries(&place).await;
    let reader = store.reader();
    let seqs = async |filter: AuditFilter, limit| {
        let page = reader.audit_page(&acme(), &filter, limit).await.expect("reads");
        (page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(seqs(AuditFilter::default(), 3).await, (vec![60, 59, 58], Some(58)));
    let page_before = |before| AuditFilter { before: Some(before), ..AuditFilter::default() };
    assert_eq!(seqs(page_before(58), 3).await, (vec![57, 56, 55], Some(55)));
    assert_eq!(seqs(page_before(3), 3).await, (vec![2, 1], None));
    assert_eq!(seqs(page_before(1), 3).await, (vec![], None));
    let accepted = AuditFilter { action: Some("transition.accepted".into()), ..AuditFilter::default() };
    assert_eq!(seqs(accepted.clone(), 2).await, (vec![58, 55], Some(55)));
    let begins = AuditFilter { action_prefix: Some("transition.".into()), ..AuditFilter::default() };
    assert_eq!(seqs(begins, 2).await, (vec![58, 55], Some(55)));
    let subjects = vec![SubjectId(uuid::Uuid::from_u128(8)), SubjectId(uuid::Uuid::from_u128(7))];
    assert_eq!(seqs(AuditFilter { subjects, ..accepted }, 500).await.0, [55, 49, 43, 37, 31, 25, 19, 13, 7, 1]);
    let span = AuditFilter { from: Some(at(10)), to: Some(at(13)), ..AuditFilter::default() };
    assert_eq!(seqs(span, 500).await, (vec![13, 12, 11], None));
    let nothing = AuditFilter { action: Some("transition".into()), ..AuditFilter::default() };
    assert_eq!(seqs(nothing, 500).await, (vec![], None));
    assert_eq!(reader.audit_page(&"nobody".into(), &AuditFilter::default(), 5).await.expect("reads").entries, []);
    store.close().await;
}

async fn entries_are_found_by_who_made_them(place: TestDatabase) {
    let store = place.open().await;
    let quoted_actor = "person:a\"b";
    let names = [
        "person:ann",
        "person:anna",
        "rule:back",
        quoted_actor,
        "person:a\\",
        "daemon",
        "person:zoë",
        "person:person:ann",
    ];
    let audit = (0..80_u32)
        .map(|n| AuditDraft {
            at: at(i64::from(n)),
            actor: names[n as usize % names.len()].to_owned(),
            action: if n % 3 == 0 { "transition.accepted" } else { "rule.changed" },
            ..draft("x")
        })
        .collect();
    store.writer().commit(Commit { audit, ..Commit::default() }).await.expect("commits");
    let reader = store.reader();
    let seqs_matching = async |filter: AuditFilter, limit| {
        let page = reader.audit_page(&acme(), &filter, limit).await.expect("reads");
        (page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), page.next)
    };
    let by_actor = |actor: &str| AuditFilter { actor: Some(actor.to_owned()), ..AuditFilter::default() };
    for (place, name) in names.iter().enumerate() {
        let all: Vec<u64> = (0..10).rev().map(|round| round * 8 + place as u64 + 1).collect();
        assert_eq!(seqs_matching(by_actor(name), 500).await, (all, None), "{name}");
    }
    assert_eq!(seqs_matching(by_actor("person:an"), 500).await, (vec![], None), "a part of a name is another's");
    assert_eq!(seqs_matching(by_actor("person:ann"), 2).await, (vec![73, 65], Some(65)));
    assert_eq!(
        seqs_matching(AuditFilter { before: Some(65), ..by_actor("person:ann") }, 2).await,
        (vec![57, 49], Some(49))
    );
    let accepted = AuditFilter { action_prefix: Some("transition.".into()), ..by_actor("person:ann") };
    assert_eq!(seqs_matching(accepted, 500).await, (vec![73, 49, 25, 1], None));
    let span = AuditFilter { from: Some(at(8)), to: Some(at(24)), ..by_actor("person:ann") };
    assert_eq!(seqs_matching(span, 500).await, (vec![17, 9], None));
    store.close().await;
}

async fn decisions_are_found_among_everything_else(place: TestDatabase) {
    let store = place.open().await;
    let actions = ["transition.accepted", "transition.approved", "transition.denied", "rule.changed"];
    let drafts = |tenant: &TenantId| {
        let each = |n: usize| AuditDraft { tenant: tenant.clone(), action: actions[n % 4], ..draft("x") };
        (0..12).map(each).collect::<Vec<_>>()
    };
    let audit = [drafts(&acme()), drafts(&"other".into())].concat();
    store.writer().commit(Commit { audit, ..Commit::default() }).await.expect("commits");
    let reader = store.reader();
    let seqs = async |before, limit| {
        let entries = reader.decisions(&acme(), before, limit).await.expect("reads");
        entries.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(None, 500).await, [11, 10, 7, 6, 3, 2]);
    assert_eq!(seqs(None, 2).await, [11, 10]);
    assert_eq!(seqs(Some(10), 2).await, [7, 6]);
    assert_eq!(seqs(Some(2), 2).await, Vec::<u64>::new());
    store.close().await;
}

async fn an_agent_and_a_subject_are_found(place: TestDatabase) {
    let store = place.open().await;
    let agents = vec![super::agent_write("u_1", 7), super::agent_write("u_2", 8)];
    store.writer().commit(Commit { agents, ..Commit::default() }).await.expect("commits");
    let known = store.reader().agents(&acme()).await.expect("reads");
    let stored = known.first().expect("an agent");
    let id = &stored.agent.id;
    assert_eq!(store.reader().agent(&acme(), id).await.expect("reads").as_ref(), Some(stored));
    assert_eq!(store.reader().agent(&acme(), &"nobody".into()).await.expect("reads"), None);
    let subject = stored.subject.to_string();
    let found = store.reader().agent_of_subject(&acme(), &subject).await.expect("reads");
    let name = stored.agent.name.as_deref().map(str::to_owned);
    assert_eq!(found, Some(SubjectAgent { agent: id.clone(), name }));
    assert_eq!(store.reader().agent_of_subject(&acme(), "erased").await.expect("reads"), None);
    store.close().await;
}
