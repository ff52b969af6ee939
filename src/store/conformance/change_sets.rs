//! Bulk changes and skills as the store keeps them.

use super::*;
use crate::domain::adherence::Verdict;
use crate::domain::agents::skill::Skill;
use crate::domain::audit::Hash;
use crate::domain::changes::change_set::{PlanComparison, PreviewOutcome, PreviewedAgent};
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

fn previewed(agent: &str, outcome: PreviewOutcome) -> PreviewedAgent {
    PreviewedAgent {
        agent: agent.into(),
        state: Some(AgentState::Paused),
        state_reason: Some("LUNCH".into()),
        target: AgentState::Ready,
        reason: None,
        undoes_transition: Some(TransitionId(uuid(77))),
        outcome,
        detail: (outcome == PreviewOutcome::BelowFloor).then(|| "Voice".to_owned()),
        skills: if outcome == PreviewOutcome::BelowFloor { vec!["4711".into()] } else { Vec::new() },
        plan_comparison: (outcome != PreviewOutcome::UnknownAgent).then(|| PlanComparison {
            planned: "lunch".into(),
            until: (outcome == PreviewOutcome::Change).then(|| at(3600)),
            resulting_verdict: Verdict::Out,
        }),
    }
}

async fn commit_sets(store: &Store, change_sets: Vec<ChangeSetWrite>, transitions: Vec<Transition>) {
    store.writer().commit(Commit { transitions, change_sets, ..Commit::default() }).await.expect("commits");
}

async fn a_set_is_kept_as_shown_and_started_once_with_its_transitions(place: TestDatabase) {
    let store = place.open().await;
    let (reader, tenant, row) = (store.reader(), acme(), set(1, 100));
    let agents: Vec<PreviewedAgent> = [
        ("a", PreviewOutcome::Change),
        ("b", PreviewOutcome::Change),
        ("c", PreviewOutcome::BelowFloor),
        ("d", PreviewOutcome::Change),
    ]
    .map(|(agent, outcome)| previewed(agent, outcome))
    .into();
    commit_sets(&store, vec![ChangeSetWrite::Add { set: row.clone(), agents: agents.clone() }], vec![]).await;
    assert_eq!(reader.change_set(&tenant, row.id).await.expect("reads"), Some(row.clone()));
    let stored = reader.change_set_agents(&tenant, row.id).await.expect("reads");
    assert_eq!(stored.iter().map(|one| one.previewed.clone()).collect::<Vec<_>>(), agents);
    assert!(stored.iter().all(|one| one.excluded.is_none()));

    let of_set = |n, agent: &str, status| Transition { change_set: Some(row.id), ..transition(n, agent, status) };
    let left_out =
        vec![ExcludedAgent { position: 3, outcome: PreviewOutcome::Stale, reason: Some("last seen 2m ago".into()) }];
    let start = ChangeSetWrite::Start { tenant: acme(), id: row.id, at: at(150), by: "ben".into(), excluded: left_out };
    let transitions = vec![
        of_set(11, "a", TransitionStatus::Requested),
        of_set(12, "b", TransitionStatus::Confirmed { at: at(160) }),
        transition(13, "c", TransitionStatus::Requested),
    ];
    commit_sets(&store, vec![start], transitions).await;
    let started = reader.change_set(&tenant, row.id).await.expect("reads").expect("kept");
    assert_eq!(started.started, Some((at(150), "ben".into())));
    let agents = reader.change_set_agents(&tenant, row.id).await.expect("reads");
    assert_eq!(agents[3].excluded, Some((PreviewOutcome::Stale, Some("last seen 2m ago".to_owned()))));
    let transitions_of_set = reader.change_set_transitions(&tenant, row.id).await.expect("reads");
    assert_eq!(transitions_of_set.iter().map(|one| one.transition.agent.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(transitions_of_set[0].transition.change_set, Some(row.id));
    let counts = reader.change_set_counts(&tenant, row.id).await.expect("reads");
    assert_eq!(
        (counts.outcomes[&PreviewOutcome::Change], counts.outcomes[&PreviewOutcome::BelowFloor], counts.excluded),
        (3, 1, 1)
    );
    assert_eq!((counts.statuses["requested"], counts.statuses["confirmed"], counts.open), (1, 1, 1));
    assert_eq!(counts.last_finished, Some(at(1_000_000)), "by the writer's clock");

    let cancel = ChangeSetWrite::Cancel { tenant: acme(), id: row.id, at: at(170), by: "anna".into() };
    commit_sets(&store, vec![cancel], vec![]).await;
    let cancelled = reader.change_set(&tenant, row.id).await.expect("reads").expect("kept");
    assert_eq!((cancelled.cancelled, cancelled.started.is_some()), (Some((at(170), "anna".into())), true));
    let back = ChangeSetRow { undoes: Some(row.id), ..set(2, 200) };
    let start = ChangeSetWrite::Start { tenant: acme(), id: back.id, at: at(210), by: "anna".into(), excluded: vec![] };
    commit_sets(&store, vec![ChangeSetWrite::Add { set: back.clone(), agents: vec![] }], vec![]).await;
    assert_eq!(reader.change_set_undone_by(&tenant, row.id).await.expect("reads"), None, "not started");
    commit_sets(&store, vec![start], vec![]).await;
    assert_eq!(reader.change_set_undone_by(&tenant, row.id).await.expect("reads"), Some(back.id));
    store.close().await;
}

async fn sets_that_were_never_started_are_listed_for_their_maker_and_forgotten(place: TestDatabase) {
    let store = place.open().await;
    let (reader, tenant) = (store.reader(), acme());
    let add = |n, made| ChangeSetWrite::Add { set: set(n, made), agents: vec![previewed("a", PreviewOutcome::Change)] };
    commit_sets(&store, vec![add(1, 100), add(2, 200), add(3, 5000)], vec![]).await;
    let start = ChangeSetWrite::Start {
        tenant: acme(),
        id: ChangeSetId(uuid(1)),
        at: at(110),
        by: "anna".into(),
        excluded: vec![],
    };
    commit_sets(&store, vec![start], vec![]).await;
    let listed = async |who: &str, before: Option<u128>| {
        let before = before.map(|n| ChangeSetId(uuid(n)));
        let rows = reader.change_sets(&tenant, who, at(5100), before, 10).await.expect("reads");
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(listed("anna", None).await, [3, 1].map(|n| ChangeSetId(uuid(n))), "the second is too old");
    assert_eq!(listed("ben", None).await, [ChangeSetId(uuid(1))]);
    assert_eq!(listed("anna", Some(3)).await, [ChangeSetId(uuid(1))]);
    assert_eq!(reader.startable_change_sets(&tenant, at(5100)).await.expect("reads"), 1);
    let expired = reader.expired_change_sets(&tenant, at(5100)).await.expect("reads");
    assert_eq!(expired, [ChangeSetId(uuid(2))]);
    let forget = expired.into_iter().map(|id| ChangeSetWrite::Delete { tenant: acme(), id }).collect();
    commit_sets(&store, forget, vec![]).await;
    assert_eq!(reader.change_set(&tenant, ChangeSetId(uuid(2))).await.expect("reads"), None);
    assert!(reader.change_set_agents(&tenant, ChangeSetId(uuid(2))).await.expect("reads").is_empty());
    store.close().await;
}

async fn retention_lets_go_of_sets_with_their_agents(place: TestDatabase) {
    let store = place.open().await;
    let agents: Vec<PreviewedAgent> = (0..700).map(|n| previewed(&format!("u_{n}"), PreviewOutcome::Change)).collect();
    let add = |n, made| ChangeSetWrite::Add { set: set(n, made), agents: agents.clone() };
    commit_sets(&store, vec![add(1, 100), add(2, 9000)], vec![]).await;
    let prune = async |what: PruneTarget| {
        let slice = PruneSlice { tenant: Some(acme()), target: what, before: at(1000) };
        store.writer().prune(slice).await.expect("prunes")
    };
    assert_eq!(prune(PruneTarget::ChangeSets).await, 0, "its agents go first");
    let mut gone = Vec::new();
    loop {
        match prune(PruneTarget::ChangeSetAgents).await {
            0 => break,
            rows => gone.push(rows),
        }
    }
    assert_eq!(gone, [500, 200]);
    assert_eq!(prune(PruneTarget::ChangeSets).await, 1);
    let kept = store.reader().change_set_agents(&acme(), ChangeSetId(uuid(2))).await.expect("reads");
    assert_eq!(kept.len(), 700);
    store.close().await;
}

async fn skills_are_kept_whole_per_agent(place: TestDatabase) {
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
    let stored_skills = store.reader().agent_skills(&acme()).await.expect("reads");
    assert_eq!((&*stored_skills["a"], &*stored_skills["b"]), (&["12".into()][..], &["4711".into()][..]));
    store.writer().commit(commit("b", &[])).await.expect("commits");
    assert_eq!(store.reader().agent_skills(&acme()).await.expect("reads").len(), 1);
    store.close().await;
}
