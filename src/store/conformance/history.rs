//! State history against a simple model of it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{AgentId, Commit, HistoryWrite, Reader, TestDatabase, acme, agent_id, at, on_each_engine, row, uuid};
use crate::domain::agents::agent::{Agent, ObservationSource};
use crate::domain::agents::state::AgentState;
use crate::domain::ids::{SubjectId, TenantId};
use crate::domain::schedules::rest::is_resting;
use crate::domain::time::UtcMicros;
use crate::store::{AgentWrite, HistoryRow, Store};

on_each_engine!(
    rows_are_entered_replaced_retimed_and_removed,
    every_source_is_read_as_it_was_written,
    history_is_read_in_pages,
    rests_are_ended_long_and_away_from_contacts,
    time_in_state_is_cut_to_the_span,
    time_in_state_is_of_every_agent,
);

fn enter(agent: &str, seconds: i64, state: AgentState) -> HistoryWrite {
    HistoryWrite::Enter(row(agent, seconds, state))
}

fn retime(agent: &str, from: i64, to: i64) -> HistoryWrite {
    let (from, to, platform_at) = (at(from), at(to), Some(at(to + 100)));
    HistoryWrite::Retime {
        tenant: acme(),
        agent: agent.into(),
        from,
        to,
        platform_at,
        source: ObservationSource::Snapshot,
    }
}

/// The platform did not say it.
fn retime_unknown(agent: &str, from: i64, to: i64) -> HistoryWrite {
    let (tenant, agent) = (acme(), agent.into());
    HistoryWrite::Retime {
        tenant,
        agent,
        from: at(from),
        to: at(to),
        platform_at: None,
        source: ObservationSource::Post,
    }
}

fn remove(agent: &str, seconds: i64) -> HistoryWrite {
    HistoryWrite::Remove { tenant: acme(), agent: agent.into(), entered_at: at(seconds) }
}

async fn write(store: &Store, history: Vec<HistoryWrite>) -> Vec<Option<u64>> {
    store.writer().commit(Commit { history, ..Commit::default() }).await.expect("commits").history
}

/// Start, end and state of each row of an agent, in seconds.
async fn rows_of(reader: &Reader, agent: &str) -> Vec<(i64, Option<i64>, AgentState)> {
    let all = (UtcMicros::from_micros(i64::MIN), UtcMicros::MAX);
    let rows = reader.agent_history(&acme(), &agent_id(agent), all, None, 10_000).await.expect("reads");
    let seconds = |instant: UtcMicros| instant.as_micros() / 1_000_000;
    rows.into_iter().map(|row| (seconds(row.row.entered_at), row.left_at.map(seconds), row.row.state)).collect()
}

async fn rows_are_entered_replaced_retimed_and_removed(place: TestDatabase) {
    use AgentState::{Idle, Paused, Ready};
    let store = place.open().await;
    let reader = store.reader();
    write(&store, vec![enter("a", 10, Ready), enter("b", 10, Ready), enter("a", 20, Paused)]).await;
    assert_eq!(rows_of(reader, "a").await, [(10, Some(20), Ready), (20, None, Paused)]);
    // Late news lies between, a row of the same instant is replaced and gets a new id.
    assert_eq!(write(&store, vec![enter("a", 15, Idle), enter("a", 20, Ready)]).await, [Some(4), Some(5)]);
    assert_eq!(rows_of(reader, "a").await, [(10, Some(15), Ready), (15, Some(20), Idle), (20, None, Ready)]);
    // A better instant; one that nobody has written is reported.
    assert_eq!(write(&store, vec![retime("a", 20, 18), retime("b", 99, 1)]).await, [Some(6), None]);
    assert_eq!(rows_of(reader, "a").await, [(10, Some(15), Ready), (15, Some(18), Idle), (18, None, Ready)]);
    assert_eq!(rows_of(reader, "b").await, [(10, None, Ready)]);
    let by_the_platform = async |agent: &str| {
        let latest = reader.latest_states(&acme()).await.expect("reads").into_iter();
        latest.filter(|row| row.row.agent.as_str() == agent).find_map(|row| row.row.platform_at)
    };
    assert_eq!((by_the_platform("a").await, by_the_platform("b").await), (Some(at(118)), Some(at(110))));
    write(&store, vec![retime_unknown("a", 18, 19)]).await;
    assert_eq!(by_the_platform("a").await, None);
    // What stands there gives way.
    write(&store, vec![retime("a", 19, 15)]).await;
    assert_eq!(rows_of(reader, "a").await, [(10, Some(15), Ready), (15, None, Ready)]);
    write(&store, vec![remove("a", 15), enter("a", 30, Paused), remove("b", 10)]).await;
    assert_eq!(rows_of(reader, "a").await, [(10, Some(30), Ready), (30, None, Paused)]);
    assert_eq!(rows_of(reader, "b").await, []);
    assert_eq!(reader.latest_states(&acme()).await.expect("reads").len(), 1);
    store.close().await;
}

async fn every_source_is_read_as_it_was_written(place: TestDatabase) {
    use ObservationSource::{Feed, History, Post, Snapshot};
    let store = place.open().await;
    let sources = [Snapshot, Feed, Post, History];
    let rows = (0..)
        .zip(sources)
        .map(|(second, source)| HistoryWrite::Enter(HistoryRow { source, ..row("a", second, AgentState::Ready) }));
    write(&store, rows.collect()).await;
    let all = (at(0), at(100));
    let rows = store.reader().agent_history(&acme(), &agent_id("a"), all, None, 10).await.expect("reads");
    assert_eq!(rows.into_iter().map(|row| row.row.source).collect::<Vec<_>>(), sources);
    store.close().await;
}

async fn history_is_read_in_pages(place: TestDatabase) {
    let store = place.open().await;
    let steps = (0..30).flat_map(|n| [enter("a", n * 10, AgentState::Ready), enter("b", n * 10 + 5, AgentState::Idle)]);
    write(&store, steps.collect()).await;
    let span = (at(100), at(200));
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let cursor = after.as_ref().map(|(agent, at)| (agent, *at));
        let page = store.reader().history(&acme(), span, cursor, 7).await.expect("reads");
        let Some(last) = page.last() else { break };
        after = Some((last.row.agent.clone(), last.row.entered_at));
        seen.extend(page);
    }
    assert_eq!(seen.len(), 10 + 11, "a's row of 90 ends where the span begins, b's of 95 reaches into it");
    assert!(seen.iter().all(|row| row.row.entered_at < at(200) && row.left_at.is_some_and(|left| left > at(100))));
    let newest = store.reader().history_after(&acme(), 55, 100).await.expect("reads");
    assert_eq!(newest.iter().map(|row| row.id).collect::<Vec<_>>(), [56, 57, 58, 59, 60]);
    store.close().await;
}

async fn rests_are_ended_long_and_away_from_contacts(place: TestDatabase) {
    let store = place.open().await;
    let names = AgentState::KNOWN.into_iter().chain([AgentState::Unknown("Coffee".into())]);
    let mut steps = Vec::new();
    let mut expected_rests = Vec::new();
    for (agent, state) in (0..).map(|n| format!("u_{n}")).zip(names) {
        let ready_or_other = if state == AgentState::Ready { AgentState::OnContact } else { AgentState::Ready };
        steps.push(enter(&agent, 0, state.clone()));
        steps.push(enter(&agent, 1000, ready_or_other.clone()));
        steps.push(enter(&agent, 2000, state.clone()));
        steps.push(enter(&agent, 2300, ready_or_other.clone()));
        steps.push(enter(&agent, 2600, state.clone()));
        steps.push(enter(&agent, 2899, ready_or_other));
        steps.push(enter(&agent, 3000, state.clone()));
        if is_resting(&state) {
            expected_rests.push((AgentId::new(agent.as_str()), vec![(at(2000), at(2300))]));
        }
    }
    write(&store, steps).await;
    let rests = store.reader().rest_periods(&acme(), at(500), Duration::from_secs(300)).await.expect("reads");
    assert_eq!(rests, expected_rests, "none from before the span, none too short, none that goes on, no other state");
    store.close().await;
}

async fn time_in_state_is_cut_to_the_span(place: TestDatabase) {
    // Long ago and today, with names that can be read from text and those that cannot.
    for (base, odd) in [(0, "Mittag"), (1_790_000_000, "Mittag"), (1_790_000_000, "2nd line"), (1_790_000_000, "a,7")] {
        let tenant = TenantId::new(format!("{base} {odd}"));
        let store = place.open().await;
        let enter = |agent: &str, after: i64, state: AgentState| match enter(agent, base + after, state) {
            HistoryWrite::Enter(row) => HistoryWrite::Enter(HistoryRow { tenant: tenant.clone(), ..row }),
            HistoryWrite::Retime { .. } | HistoryWrite::Remove { .. } => unreachable!("an entry"),
        };
        let steps = vec![
            enter("a", 0, AgentState::Ready),
            enter("a", 100, AgentState::Paused),
            enter("a", 150, AgentState::Unknown(odd.into())),
            enter("b", 120, AgentState::OnContact),
            enter("c", 500, AgentState::Ready),
        ];
        write(&store, steps).await;
        let times = store.reader().time_in_state(&tenant, at(base + 50), at(base + 200)).await.expect("reads");
        let seconds = |agent: usize, state: &AgentState| times[agent].micros_in(state) / 1_000_000;
        assert_eq!(times.iter().map(|time| time.agent.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(seconds(0, &AgentState::Ready), 50);
        assert_eq!(seconds(0, &AgentState::Paused), 50);
        assert_eq!(seconds(0, &AgentState::Unknown("any".into())), 50);
        assert_eq!(seconds(1, &AgentState::OnContact), 80);
        assert_eq!(times[2].micros, [0; 8]);
        assert_eq!(store.reader().time_in_state(&tenant, at(9), at(9)).await.expect("reads"), []);
        store.close().await;
    }
}

/// Whatever share of the agents has a subject, by which the parts are cut.
async fn time_in_state_is_of_every_agent(place: TestDatabase) {
    let store = place.open().await;
    let names: Vec<String> = (0..150).map(|n| format!("u_{n:03}")).collect();
    for (n, name) in names.iter().enumerate() {
        let agents = if n.is_multiple_of(5) {
            vec![AgentWrite {
                tenant: acme(),
                agent: Agent { id: name.as_str().into(), name: None, team: None, zone: None },
                subject: SubjectId(uuid(n as u128)),
            }]
        } else {
            Vec::new()
        };
        let history = vec![enter(name, 1_790_000_000, AgentState::Ready)];
        store.writer().commit(Commit { agents, history, ..Commit::default() }).await.expect("commits");
        if n % 30 == 1 || n + 1 == names.len() {
            let (from, to) = (at(1_790_000_000), at(1_790_000_001 + i64::try_from(n).expect("small")));
            let times = store.reader().time_in_state(&acme(), from, to).await.expect("reads");
            let found: Vec<&str> = times.iter().map(|time| time.agent.as_str()).collect();
            assert_eq!(found, names[..=n].iter().map(String::as_str).collect::<Vec<_>>());
            assert!(times.iter().all(|time| time.micros_in(&AgentState::Ready) == 1_000_000 * (n as u64 + 1)));
        }
    }
    store.close().await;
}

#[derive(Clone, Debug)]
enum Step {
    Enter(usize, i64, usize),
    Retime(usize, i64, i64),
    Remove(usize, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let (agent, second) = (0_usize..3, 0_i64..15);
    prop_oneof![
        4 => (agent.clone(), second.clone(), 0_usize..7).prop_map(|(agent, at, state)| Step::Enter(agent, at, state)),
        1 => (agent.clone(), second.clone(), second.clone()).prop_map(|(agent, from, to)| Step::Retime(agent, from, to)),
        1 => (agent, second).prop_map(|(agent, at)| Step::Remove(agent, at)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_steps_leave_what_a_plain_map_leaves(changes in prop::collection::vec(prop::collection::vec(step(), 1..8), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let place = TestDatabase::sqlite();
            let store = place.open().await;
            let names = ["a", "b", "c"];
            let mut model: [BTreeMap<i64, AgentState>; 3] = Default::default();
            for steps in changes {
                let mut history = Vec::new();
                for step in steps {
                    match step {
                        Step::Enter(agent, at, state) => {
                            let state = AgentState::KNOWN[state].clone();
                            history.push(enter(names[agent], at, state.clone()));
                            model[agent].insert(at, state);
                        }
                        Step::Retime(agent, from, to) => {
                            history.push(retime(names[agent], from, to));
                            if let Some(state) = model[agent].remove(&from) {
                                model[agent].insert(to, state);
                            }
                        }
                        Step::Remove(agent, at) => {
                            history.push(remove(names[agent], at));
                            model[agent].remove(&at);
                        }
                    }
                }
                write(&store, history).await;
            }
            for (name, rows) in names.into_iter().zip(model) {
                let ends = rows.keys().skip(1).copied().map(Some).chain([None]);
                let expected: Vec<_> = rows.iter().zip(ends).map(|((at, state), end)| (*at, end, state.clone())).collect();
                assert_eq!(rows_of(store.reader(), name).await, expected);
            }
            store.close().await;
        });
    }
}
