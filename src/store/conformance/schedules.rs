//! Schedules: staged unseen, switched at once, kept by version.

use super::{
    AgentSchedule, Commit, CommitError, ImportOutcome, OpenError, ProcessRole, Reader, RequiredStaffingChange,
    ScheduleImport, Store, TestDatabase, acme, agent_write, at, change, draft, event, on_each_engine, verified_length,
};
use crate::domain::audit::Hash;
use crate::domain::ids::OfferId;
use crate::domain::schedules::edit::ShiftEdit;
use crate::domain::schedules::offer::{Offer, OfferAnswer, OfferedAgent};
use crate::domain::schedules::schedule::{Activity, Coverage, Shift, ShiftActivity};
use crate::domain::schedules::staffing::{AgentCount, RequiredStaffing};
use crate::domain::time::UtcMicros;
use crate::store::{GoodVersion, OfferWrite, PruneSlice, PruneTarget, ScheduleSourceWrite};

on_each_engine!(
    an_import_replaces_what_it_covers_and_leaves_the_rest,
    the_same_content_again_changes_nothing,
    a_failed_import_changes_nothing,
    an_import_that_is_cut_off_is_not_seen_and_is_cleared,
    required_staff_is_replaced_by_row_read_by_span_and_pruned,
    a_source_keeps_its_last_good_version_and_since_when_it_is_known,
    an_offer_keeps_the_first_answer_of_each_agent_and_the_first_withdrawal,
);

fn shift(start: i64, end: i64) -> Shift {
    let lunch = ShiftActivity { activity: Activity::Lunch, start: at(start + 1), end: at(start + 2), mandatory: true };
    Shift { start: at(start), end: at(end), activities: vec![lunch] }
}

pub(super) fn import(name: &str, agents: &[(&str, &[(i64, i64)])], coverage: (i64, i64)) -> ScheduleImport {
    let agents = agents
        .iter()
        .map(|(id, shifts)| {
            let subject = id.bytes().fold(0, |number, byte| number * 256 + u128::from(byte));
            let write = agent_write(id, subject);
            AgentSchedule {
                agent: write.agent,
                subject: write.subject,
                shifts: shifts.iter().map(|(start, end)| shift(*start, *end)).collect(),
                coverage: Coverage { start: at(coverage.0), end: at(coverage.1) },
                is_covered: true,
                skills: None,
            }
        })
        .collect();
    ScheduleImport {
        tenant: acme(),
        name: name.into(),
        content_hash: Hash::of(name.as_bytes()),
        agents,
        actor: "person:anna".into(),
        with_activation: Commit { audit: vec![draft("schedule.imported")], ..Commit::default() },
    }
}

/// Starts and ends of the shifts of each agent, in seconds.
async fn shifts(reader: &Reader, as_of: Option<u64>) -> Vec<(String, Vec<(i64, i64)>)> {
    let all = (UtcMicros::from_micros(i64::MIN), UtcMicros::MAX);
    let plans = reader.plans(&acme(), all, as_of).await.expect("reads");
    let seconds = |instant: UtcMicros| instant.as_micros() / 1_000_000;
    let spans = |shifts: &[Shift]| shifts.iter().map(|shift| (seconds(shift.start), seconds(shift.end))).collect();
    plans.iter().map(|plan| (plan.agent.to_string(), spans(&plan.shifts))).collect()
}

async fn an_import_replaces_what_it_covers_and_leaves_the_rest(place: TestDatabase) {
    let store = place.open().await;
    let week = import("week", &[("a", &[(10, 20), (110, 120), (190, 230)]), ("b", &[(10, 20)])], (0, 200));
    let done = store.writer().import(week).await.expect("imports");
    assert_eq!(done, ImportOutcome::Activated { version: 1, agents: 2, shifts: 4 });
    let one = async |agent: &str| {
        store.reader().plan_of_agent(&acme(), &agent.into(), (at(15), at(115))).await.expect("reads")
    };
    let all = store.reader().plans(&acme(), (at(15), at(115)), None).await.expect("reads");
    assert_eq!(one("a").await.as_ref(), all.first());
    assert_eq!(one("nobody").await, None);
    // The next week begins at 200; the shift that reaches over from the last night gives way where the new one lies on it.
    let next = import("next", &[("a", &[(105, 115), (220, 250)])], (100, 300));
    assert_eq!(
        store.writer().import(next).await.expect("imports"),
        ImportOutcome::Activated { version: 2, agents: 1, shifts: 2 }
    );
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let old = vec![(a.clone(), vec![(10, 20), (110, 120), (190, 230)]), (b.clone(), vec![(10, 20)])];
    let new = vec![(a, vec![(10, 20), (105, 115), (220, 250)]), (b, vec![(10, 20)])];
    assert_eq!(shifts(store.reader(), Some(1)).await, old);
    assert_eq!(shifts(store.reader(), None).await, new);
    let plans = store.reader().plans(&acme(), (at(100), at(120)), None).await.expect("reads");
    assert_eq!(plans[0].shifts, [shift(105, 115)]);
    assert_eq!(plans[0].coverage.len(), 2, "both spans speak for this time");
    let versions = store.reader().schedule_versions(&acme(), None, 10).await.expect("reads");
    assert_eq!(versions.iter().map(|version| (version.version, version.shifts)).collect::<Vec<_>>(), [(2, 2), (1, 4)]);
    assert_eq!(store.reader().schedule_version_at(&acme(), at(999_999)).await.expect("reads"), None);
    let agents = store.reader().agents(&acme()).await.expect("reads");
    assert!(agents.len() == 2 && agents.iter().all(|agent| agent.imported));
    assert_eq!(verified_length(store.reader()).await, 2);
    store.close().await;
}

async fn the_same_content_again_changes_nothing(place: TestDatabase) {
    let store = place.open().await;
    let blue = || import("blue", &[("a", &[(10, 20)])], (0, 100));
    let red = || import("red", &[("b", &[(10, 20)])], (0, 100));
    let over = || import("over", &[("a", &[(60, 70)])], (50, 100));
    for (one, expected) in [(blue(), 1), (red(), 2)] {
        assert_eq!(
            store.writer().import(one).await.expect("imports"),
            ImportOutcome::Activated { version: expected, agents: 1, shifts: 1 }
        );
    }
    for (one, expected) in [(blue(), 1), (red(), 2), (blue(), 1)] {
        assert_eq!(store.writer().import(one).await.expect("imports"), ImportOutcome::Unchanged { version: expected });
    }
    store.writer().import(over()).await.expect("imports");
    assert_eq!(
        store.writer().import(blue()).await.expect("imports"),
        ImportOutcome::Activated { version: 4, agents: 1, shifts: 1 },
        "something was laid over it, so that it is news again"
    );
    assert_eq!(shifts(store.reader(), None).await[0].1, [(10, 20)]);
    store.close().await;
}

async fn a_failed_import_changes_nothing(place: TestDatabase) {
    let store = place.open().await;
    store.writer().commit(change(1)).await.expect("commits");
    store.writer().import(import("week", &[("a", &[(10, 20)])], (0, 100))).await.expect("imports");
    let before = shifts(store.reader(), None).await;
    let mut bad = import("bad", &[("a", &[(30, 40)])], (0, 100));
    bad.with_activation.events = vec![event(1001)];
    assert!(matches!(store.writer().import(bad).await, Err(CommitError::Refused(_))));
    assert_eq!(shifts(store.reader(), None).await, before);
    assert_eq!(
        store.writer().import(import("good", &[("a", &[(50, 60)])], (0, 100))).await.expect("imports"),
        ImportOutcome::Activated { version: 2, agents: 1, shifts: 1 }
    );
    assert_eq!(shifts(store.reader(), None).await, [("a".to_owned(), vec![(50, 60)])]);
    store.close().await;
}

/// Opens again once the dropped store's task has released the lock.
async fn reopen(place: &TestDatabase) -> Store {
    for _ in 0..10_000 {
        match place.try_open(ProcessRole::Daemon).await {
            Ok(store) => return store,
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the lock was never let go");
}

async fn an_import_that_is_cut_off_is_not_seen_and_is_cleared(place: TestDatabase) {
    let store = place.open().await;
    store.writer().import(import("week", &[("a", &[(10, 20)])], (0, 100_000))).await.expect("imports");
    let before = shifts(store.reader(), None).await;
    let many: Vec<(i64, i64)> = (0..2000).map(|n| (n * 10, n * 10 + 5)).collect();
    let names: Vec<String> = (0..10).map(|n| format!("u{n}")).collect();
    let mut agents: Vec<(&str, &[(i64, i64)])> = names.iter().map(|name| (name.as_str(), &many[..])).collect();
    agents.insert(0, ("a", &many[1..]));
    let large = import("large", &agents, (0, 100_000));
    let writer = store.writer().clone();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move { writer.import(large).await });
    // Cut it off as soon as something of it is staged.
    let staged = || async {
        let plans = store.reader().plans(&acme(), (at(0), at(100_000)), Some(2)).await.expect("reads");
        plans.iter().any(|plan| plan.shifts.len() > 1)
    };
    while !staged().await {}
    assert_eq!(shifts(store.reader(), None).await, before, "what is staged is not seen");
    drop(store);
    let store = reopen(&place).await;
    assert_eq!(shifts(store.reader(), None).await, before);
    assert_eq!(shifts(store.reader(), Some(2)).await, before, "nothing of version 2 is left");
    assert!(matches!(task.join_next().await, Some(Ok(Err(CommitError::Closed)))));
    store.close().await;
}

async fn required_staff_is_replaced_by_row_read_by_span_and_pruned(place: TestDatabase) {
    let row = |queue: &str, minute: i64, minutes, agents| RequiredStaffing {
        start: at(minute * 60),
        minutes,
        queue: queue.into(),
        agents: AgentCount::from_thousandths(agents),
    };
    let change = |removed: &[RequiredStaffing], added: &[RequiredStaffing]| Commit {
        required_staffing: vec![RequiredStaffingChange {
            tenant: acme(),
            removed: removed.to_vec(),
            added: added.to_vec(),
        }],
        ..Commit::default()
    };
    let store = place.open().await;
    let (hour, quarter, other) = (row("Sales", 0, 60, 500), row("Sales", 60, 15, 1500), row("Support", 0, 15, 0));
    let all = [hour.clone(), quarter.clone(), other.clone()];
    store.writer().commit(change(&[], &all)).await.expect("commits");
    let read = async |from: i64, to: i64| {
        store.reader().required_staffing(&acme(), (at(from * 60), at(to * 60))).await.expect("reads")
    };
    assert_eq!(read(0, 75).await, all);
    assert_eq!(read(15, 60).await, std::slice::from_ref(&hour), "an hour that began before");
    assert_eq!(read(60, 75).await, std::slice::from_ref(&quarter));
    let more = row("Sales", 0, 15, 2000);
    store.writer().commit(change(&[hour], std::slice::from_ref(&more))).await.expect("commits");
    assert_eq!(read(0, 75).await, [more, quarter.clone(), other]);
    let slice = PruneSlice { tenant: Some(acme()), target: PruneTarget::RequiredStaffing, before: at(60 * 60) };
    assert_eq!(store.writer().prune(slice).await.expect("prunes"), 2);
    assert_eq!(read(0, 75).await, [quarter]);
    store.close().await;
}

async fn a_source_keeps_its_last_good_version_and_since_when_it_is_known(place: TestDatabase) {
    let store = place.open().await;
    let write = async |seconds: i64, good: Option<&GoodVersion>| {
        let write = ScheduleSourceWrite { tenant: acme(), source: "wfm".into(), at: at(seconds), good: good.cloned() };
        let commit = Commit { schedule_sources: vec![write], ..Commit::default() };
        store.writer().commit(commit).await.expect("commits");
    };
    let read = async || {
        let mut all = store.reader().schedule_sources(&acme()).await.expect("reads");
        assert_eq!(all.len(), 1, "{all:?}");
        let only = all.remove(0);
        (only.since, only.good)
    };
    write(1, None).await;
    assert_eq!(read().await, (at(1), None));
    let tagged = GoodVersion {
        version: 3,
        etag: Some("\"a\"".to_owned()),
        last_modified: None,
        content: Hash::of(b"content"),
        settings: Hash::of(b"settings"),
    };
    write(5, Some(&tagged)).await;
    write(6, None).await;
    assert_eq!(read().await, (at(1), Some((at(5), tagged.clone()))), "nothing is forgotten");
    let dated = GoodVersion { version: 4, etag: None, last_modified: Some("yesterday".to_owned()), ..tagged };
    write(9, Some(&dated)).await;
    assert_eq!(read().await, (at(1), Some((at(9), dated))), "the whole version is replaced");
    store.close().await;
}

fn proposed_offer(id: OfferId) -> Offer {
    let agent = |agent: &str| OfferedAgent { agent: agent.into(), name: None, team: None, answer: None };
    Offer {
        id,
        tenant: acme(),
        day: jiff::civil::date(2026, 10, 26),
        edit: ShiftEdit::Move { activity: Activity::Break, start: None, by_minutes: 30 },
        places: 1,
        expires_at: at(100),
        made_at: at(10),
        made_by: "rule:leave-early".into(),
        approved: None,
        withdrawn: None,
        agents: vec![agent("u_1"), agent("u_2"), agent("u_3"), agent("u_4")],
    }
}

async fn an_offer_keeps_the_first_answer_of_each_agent_and_the_first_withdrawal(place: TestDatabase) {
    let store = place.open().await;
    let write = async |offers: Vec<OfferWrite>| store.writer().commit(Commit { offers, ..Commit::default() }).await;
    let id = OfferId(uuid::Uuid::from_u128(7));
    let mut made = proposed_offer(id);
    write(vec![OfferWrite::Make(made.clone())]).await.expect("commits");
    assert!(write(vec![OfferWrite::Make(made.clone())]).await.is_err(), "the id is stored");
    assert_eq!(store.reader().offer(&acme(), id).await.expect("reads"), Some(made.clone()));
    let approve = |seconds, links: &[(&str, &str)]| OfferWrite::Approve {
        tenant: acme(),
        offer: id,
        at: at(seconds),
        by: "person:floor".into(),
        links: links.iter().map(|(agent, link)| ((*agent).into(), Hash::of(link.as_bytes()))).collect(),
    };
    write(vec![approve(15, &[("u_1", "one"), ("u_2", "two"), ("u_3", "three")])]).await.expect("commits");
    write(vec![approve(16, &[])]).await.expect("commits");
    assert!(write(vec![approve(17, &[("u_3", "one")])]).await.is_err(), "the link is stored");
    made.approved = Some((at(15), "person:floor".into()));
    made.agents.pop();
    assert_eq!(store.reader().offer(&acme(), id).await.expect("reads"), Some(made.clone()));
    assert_eq!(store.reader().offer(&"other".into(), id).await.expect("reads"), None);
    let of_link = async |link: &str| store.reader().offer_of_link(&Hash::of(link.as_bytes())).await.expect("reads");
    assert_eq!(of_link("two").await, Some((made.clone(), "u_2".into())));
    assert_eq!(of_link("four").await, None);

    let answer = |agent: &str, seconds, accepted_as| OfferWrite::Answer {
        tenant: acme(),
        offer: id,
        agent: agent.into(),
        answer: OfferAnswer { at: at(seconds), accepted_as },
    };
    let withdraw =
        |seconds, by: &str| OfferWrite::Withdraw { tenant: acme(), offer: id, at: at(seconds), by: by.into() };
    write(vec![answer("u_1", 20, Some(4)), answer("u_2", 21, None)]).await.expect("commits");
    write(vec![answer("u_1", 22, None), answer("u_2", 23, Some(5))]).await.expect("commits");
    write(vec![withdraw(30, "person:floor")]).await.expect("commits");
    write(vec![withdraw(31, "person:other")]).await.expect("commits");
    let mut expected = made;
    expected.agents[0].answer = Some(OfferAnswer { at: at(20), accepted_as: Some(4) });
    expected.agents[1].answer = Some(OfferAnswer { at: at(21), accepted_as: None });
    expected.withdrawn = Some((at(30), "person:floor".into()));
    assert_eq!(store.reader().offers(&acme(), None, 10).await.expect("reads"), [expected]);
    assert_eq!(store.reader().offers(&acme(), Some(id), 10).await.expect("reads"), []);

    let prune = async |seconds| {
        let slice = PruneSlice { tenant: Some(acme()), target: PruneTarget::Offers, before: at(seconds) };
        store.writer().prune(slice).await.expect("prunes")
    };
    assert_eq!((prune(100).await, prune(101).await), (0, 1));
    assert_eq!(of_link("one").await, None);
    store.close().await;
}
