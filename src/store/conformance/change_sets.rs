//! Bulk changes and skills as the store keeps them.

use super::*;
use crate::domain::adherence::Verdict;
use crate::domain::agents::skill::Skill;
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::{AgainstPlan, Outcome, Previewed};
use crate::domain::ids::ChangeSetId;

on_each_engine!(
    a_set_is_kept_as_shown_and_started_once_with_its_transitions,
    sets_that_were_never_started_are_listed_for_their_maker_and_forgotten,
    retention_lets_go_of_sets_with_their_agents,
    skills_are_kept_whole_per_agent,
);

fn set(n: u128, made: i64) -> ChangeSetRow {
    ChangeSetRow {
        tenant: acme(),
        id: ChangeSetId(uuid(n)),
        made_at: at(made),
        made_by: "anna".into(),
        expires_at: at(made + 600),
        hash: Hash::of(b"shown"),
        undoes: None,
        teams: [Some("blue".into()), None].into(),
        body: "{}".to_owned(),
        started: None,
        cancelled: None,
    }
}

fn shown(agent: &str, outcome: Outcome) -> Previewed {
    Previewed {
        agent: agent.into(),
        state: Some(AgentState::Paused),
        state_reason: Some("LUNCH".into()),
        to: AgentState::Ready,
        reason: None,
        takes_back: Some(TransitionId(uuid(77))),
        outcome,
        why: (outcome == Outcome::BelowFloor).then(|| "Voice".to_owned()),
        skills: if outcome == Outcome::BelowFloor { vec!["4711".into()] } else { Vec::new() },
        against: (outcome != Outcome::UnknownAgent).then(|| AgainstPlan {
            planned: "lunch".into(),
            until: (outcome == Outcome::Change).then(|| at(3600)),
            would_be: Verdict::Out,
        }),
    }
}

async fn write(store: &Store, change_sets: Vec<ChangeSetWrite>, transitions: Vec<Transition>) {
    store.writer().commit(Commit { transitions, change_sets, ..Commit::default() }).await.expect("commits");
}

async fn a_set_is_kept_as_shown_and_started_once_with_its_transitions(place: Place) {
    let store = place.open().await;
    let (reader, tenant, row) = (store.reader(), acme(), set(1, 100));
    let agents: Vec<Previewed> =
        [("a", Outcome::Change), ("b", Outcome::Change), ("c", Outcome::BelowFloor), ("d", Outcome::Change)]
            .map(|(agent, outcome)| shown(agent, outcome))
            .into();
    write(&store, vec![ChangeSetWrite::Add { set: row.clone(), agents: agents.clone() }], vec![]).await;
    assert_eq!(reader.change_set(&tenant, row.id).await.expect("reads"), Some(row.clone()));
    let stored = reader.change_set_agents(&tenant, row.id).await.expect("reads");
    assert_eq!(stored.iter().map(|one| one.shown.clone()).collect::<Vec<_>>(), agents);
    assert!(stored.iter().all(|one| one.left_out.is_none()));

    let of_set = |n, agent: &str, status| Transition { change_set: Some(row.id), ..transition(n, agent, status) };
    let left_out = vec![LeftOut { place: 3, outcome: Outcome::Stale, why: Some("last seen 2m ago".into()) }];
    let start = ChangeSetWrite::Start { tenant: acme(), id: row.id, at: at(150), by: "ben".into(), left_out };
    let transitions = vec![
        of_set(11, "a", Status::Requested),
        of_set(12, "b", Status::Confirmed { at: at(160) }),
        transition(13, "c", Status::Requested),
    ];
    write(&store, vec![start], transitions).await;
    let started = reader.change_set(&tenant, row.id).await.expect("reads").expect("kept");
    assert_eq!(started.started, Some((at(150), "ben".into())));
    let agents = reader.change_set_agents(&tenant, row.id).await.expect("reads");
    assert_eq!(agents[3].left_out, Some((Outcome::Stale, Some("last seen 2m ago".to_owned()))));
    let its_own = reader.change_set_transitions(&tenant, row.id).await.expect("reads");
    assert_eq!(its_own.iter().map(|one| one.transition.agent.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(its_own[0].transition.change_set, Some(row.id));
    let counts = reader.change_set_counts(&tenant, row.id).await.expect("reads");
    assert_eq!((counts.outcomes[&Outcome::Change], counts.outcomes[&Outcome::BelowFloor], counts.left_out), (3, 1, 1));
    assert_eq!((counts.statuses["requested"], counts.statuses["confirmed"], counts.open), (1, 1, 1));
    assert_eq!(counts.last_finished, Some(at(1_000_000)), "by the writer's clock");

    let cancel = ChangeSetWrite::Cancel { tenant: acme(), id: row.id, at: at(170), by: "anna".into() };
    write(&store, vec![cancel], vec![]).await;
    let cancelled = reader.change_set(&tenant, row.id).await.expect("reads").expect("kept");
    assert_eq!((cancelled.cancelled, cancelled.started.is_some()), (Some((at(170), "anna".into())), true));
    let back = ChangeSetRow { undoes: Some(row.id), ..set(2, 200) };
    let start = ChangeSetWrite::Start { tenant: acme(), id: back.id, at: at(210), by: "anna".into(), left_out: vec![] };
    write(&store, vec![ChangeSetWrite::Add { set: back.clone(), agents: vec![] }], vec![]).await;
    assert_eq!(reader.change_set_undone_by(&tenant, row.id).await.expect("reads"), None, "not started");
    write(&store, vec![start], vec![]).await;
    assert_eq!(reader.change_set_undone_by(&tenant, row.id).await.expect("reads"), Some(back.id));
    store.close().await;
}

async fn sets_that_were_never_started_are_listed_for_their_maker_and_forgotten(place: Place) {
    let store = place.open().await;
    let (reader, tenant) = (store.reader(), acme());
    let add = |n, made| ChangeSetWrite::Add { set: set(n, made), agents: vec![shown("a", Outcome::Change)] };
    write(&store, vec![add(1, 100), add(2, 200), add(3, 5000)], vec![]).await;
    let start = ChangeSetWrite::Start {
        tenant: acme(),
        id: ChangeSetId(uuid(1)),
        at: at(110),
        by: "anna".into(),
        left_out: vec![],
    };
    write(&store, vec![start], vec![]).await;
    let listed = async |who: &str, before: Option<u128>| {
        let before = before.map(|n| ChangeSetId(uuid(n)));
        let rows = reader.change_sets(&tenant, who, at(5100), before, 10).await.expect("reads");
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(listed("anna", None).await, [3, 1].map(|n| ChangeSetId(uuid(n))), "the second is too old");
    assert_eq!(listed("ben", None).await, [ChangeSetId(uuid(1))]);
    assert_eq!(listed("anna", Some(3)).await, [ChangeSetId(uuid(1))]);
    assert_eq!(reader.change_sets_waiting(&tenant, at(5100)).await.expect("reads"), 1);
    let expired = reader.change_sets_expired(&tenant, at(5100)).await.expect("reads");
    assert_eq!(expired, [ChangeSetId(uuid(2))]);
    let forget = expired.into_iter().map(|id| ChangeSetWrite::Forget { tenant: acme(), id }).collect();
    write(&store, forget, vec![]).await;
    assert_eq!(reader.change_set(&tenant, ChangeSetId(uuid(2))).await.expect("reads"), None);
    assert!(reader.change_set_agents(&tenant, ChangeSetId(uuid(2))).await.expect("reads").is_empty());
    store.close().await;
}

async fn retention_lets_go_of_sets_with_their_agents(place: Place) {
    let store = place.open().await;
    let agents: Vec<Previewed> = (0..700).map(|n| shown(&format!("u_{n}"), Outcome::Change)).collect();
    let add = |n, made| ChangeSetWrite::Add { set: set(n, made), agents: agents.clone() };
    write(&store, vec![add(1, 100), add(2, 9000)], vec![]).await;
    let prune = async |what: Pruned| {
        let slice = Slice { tenant: Some(acme()), what, before: at(1000) };
        store.writer().prune(slice).await.expect("prunes")
    };
    assert_eq!(prune(Pruned::ChangeSets).await, 0, "its agents go first");
    let mut gone = Vec::new();
    loop {
        match prune(Pruned::ChangeSetAgents).await {
            0 => break,
            rows => gone.push(rows),
        }
    }
    assert_eq!(gone, [500, 200]);
    assert_eq!(prune(Pruned::ChangeSets).await, 1);
    let kept = store.reader().change_set_agents(&acme(), ChangeSetId(uuid(2))).await.expect("reads");
    assert_eq!(kept.len(), 700);
    store.close().await;
}

async fn skills_are_kept_whole_per_agent(place: Place) {
    let store = place.open().await;
    let commit = |agent: &str, skills: &[&str]| {
        let skills = skills.iter().map(|skill| (*skill).into()).collect();
        Commit {
            agent_skills: vec![AgentSkillsWrite { tenant: acme(), agent: agent.into(), skills }],
            ..Commit::default()
        }
    };
    let voice = Skill { id: "4711".into(), name: Some("Voice".into()), floor: Some(12) };
    for change in [commit("a", &["4711", "12", "12"]), commit("b", &["4711"]), commit("a", &["12"])] {
        store.writer().commit(change).await.expect("commits");
    }
    for floor in [None, Some(12)] {
        let skill = Skill { floor, ..voice.clone() };
        let write = Commit { skills: vec![SkillWrite { tenant: acme(), skill }], ..Commit::default() };
        store.writer().commit(write).await.expect("commits");
    }
    assert_eq!(store.reader().skills(&acme()).await.expect("reads"), [voice]);
    let carried = store.reader().agent_skills(&acme()).await.expect("reads");
    assert_eq!((&*carried["a"], &*carried["b"]), (&["12".into()][..], &["4711".into()][..]));
    store.writer().commit(commit("b", &[])).await.expect("commits");
    assert_eq!(store.reader().agent_skills(&acme()).await.expect("reads").len(), 1);
    store.close().await;
}
