//! The live picture: what viewers are told is what history holds, over either way, over restarts, for their tenants alone.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::sim::{AgentScript, SimState};
use shiftkeeper::store::StoredHistory;

use crate::harness::watcher::{WAYS, Watcher, Way};
use crate::harness::{OPERATOR, Scenario, Setup, VIEWER, answer, start};

/// What a row and a message both say, by the row's id.
type Rows = BTreeMap<u64, Value>;

fn of_store(rows: &[StoredHistory]) -> Rows {
    let said = |stored: &StoredHistory| {
        let row = &stored.row;
        json!([row.agent, row.state, row.reason, row.queue, row.entered_at, row.source, row.transition])
    };
    rows.iter().map(|stored| (stored.id, said(stored))).collect()
}

fn of_messages(messages: &[Value]) -> Rows {
    let said = |agent: &Value| {
        let fields = ["id", "state", "reason", "queue", "entered_at", "source", "transition"];
        Value::Array(fields.map(|field| agent[field].clone()).to_vec())
    };
    let agents = messages.iter().filter(|message| message["type"] == "agent");
    agents.filter_map(|message| Some((message["id"].as_u64()?, said(&message["agent"])))).collect()
}

/// Checks that every row after `after` was told as it stands. (More may have been told: a row that a later one corrected.)
async fn until_all_rows_are_told(scenario: &Scenario, after: u64, watchers: &[&[&Watcher]]) {
    let reader = scenario.reader().await;
    for of_one in watchers {
        scenario
            .until("every row is told", || async {
                let rows = reader.history_after(&scenario.tenant, after, 10_000).await.expect("readable");
                let messages: Vec<_> = of_one.iter().flat_map(|watcher| watcher.messages()).collect();
                let told = of_messages(&messages);
                let missing: Vec<_> =
                    of_store(&rows).into_iter().filter(|(id, row)| told.get(id) != Some(row)).collect();
                if missing.is_empty() && !rows.is_empty() { Ok(()) } else { Err(format!("{missing:?} of {told:?}")) }
            })
            .await;
    }
}

fn knows(agent: &str, state: &str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == "agent" && message["agent"]["id"] == agent && message["agent"]["state"] == state
}

/// The picture that a viewer has after all it was told.
fn pieced_together(messages: &[Value]) -> BTreeMap<String, Value> {
    let mut agents = BTreeMap::new();
    for message in messages {
        match message["type"].as_str().expect("a type") {
            "snapshot" => {
                if message["part"] == 1 {
                    agents.clear();
                }
                for agent in message["agents"].as_array().expect("agents") {
                    agents.insert(agent["id"].as_str().expect("an id").to_owned(), agent.clone());
                }
            }
            "agent" => {
                let agent = &message["agent"];
                agents.insert(agent["id"].as_str().expect("an id").to_owned(), agent.clone());
            }
            "adherence" => {
                let id = message["agent"].as_str().expect("an id");
                let agent = agents.get_mut(id).expect("a known agent");
                agent["adherence"] = message["adherence"].clone();
                agent["planned"] = message["planned"].clone();
            }
            "transition" => {
                let change = &message["transition"];
                let agent = agents.get_mut(change["agent"].as_str().expect("an id")).expect("a known agent");
                if change["open"] == true {
                    agent["open"] = change.clone();
                } else if agent["open"]["id"] == change["id"] {
                    agent["open"] = Value::Null;
                }
            }
            _ => {}
        }
    }
    for agent in agents.values_mut() {
        // These go on without a message.
        agent["seen_at"] = Value::Null;
        agent["age_ms"] = Value::Null;
    }
    agents
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_over_both_ways_are_told_every_row_and_piece_the_same_picture_together() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let watchers = [
        Watcher::open(&scenario, Way::Events, VIEWER, "").await,
        Watcher::open(&scenario, Way::Socket, VIEWER, "").await,
    ];
    for watcher in &watchers {
        assert_eq!(watcher.picture().await.len(), 8);
    }
    let first: u64 = watchers.each_ref().map(|watcher| watcher.last_id().parse().expect("a number"))[0];
    scenario.put("u_0001", SimState::Paused);
    scenario.put("u_0002", SimState::Idle);
    let taken = scenario.change(&["u_0003", "u_0004"], "Ready").await;
    scenario.until_all(&taken, "confirmed").await;
    for watcher in &watchers {
        watcher.until("the agent's own change", knows("u_0001", "Paused")).await;
        watcher.until("the agent's own change", knows("u_0002", "Idle")).await;
        watcher.until("a change of ours", knows("u_0003", "Ready")).await;
        let ended = |message: &Value| {
            message["type"] == "transition"
                && message["transition"]["id"] == taken[1]["id"]
                && message["transition"]["status"] == "confirmed"
                && message["transition"]["open"] == false
        };
        watcher.until("the end of a transition", ended).await;
        // Held not ready the whole afternoon and made ready only now: a verdict that follows.
        watcher.until("a verdict", |message| message["agent"]["adherence"]["verdict"] == "in").await;
    }
    until_all_rows_are_told(&scenario, first, &[&[&watchers[0]], &[&watchers[1]]]).await;
    let ends: Vec<_> = watchers.iter().flat_map(|watcher| watcher.of_kind("end")).collect();
    assert_eq!(ends, [] as [Value; 0]);
    // Who comes now is shown what the others pieced together.
    for watcher in &watchers {
        scenario
            .until("the pictures are one", || async {
                let newcomer = Watcher::open(&scenario, Way::Events, VIEWER, "").await;
                newcomer.picture().await;
                let (seen, known) = (pieced_together(&newcomer.messages()), pieced_together(&watcher.messages()));
                if seen == known { Ok(()) } else { Err(format!("{seen:?}\n{known:?}")) }
            })
            .await;
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_alone_changes_verdicts_and_viewers_hear_of_it() {
    let mut setup = Setup::team(4);
    setup.schedule = Some(crate::harness::schedule(crate::harness::agents(4), &[("break", "13:40", "13:50", false)]));
    let scenario = Scenario::start_team(setup).await;
    scenario.put("u_0001", SimState::Available);
    let watcher = Watcher::open(&scenario, Way::Events, VIEWER, "").await;
    watcher.picture().await;
    let says = |verdict: &'static str, activity: &'static str| {
        move |message: &Value| {
            message["type"] == "adherence"
                && message["agent"] == "u_0001"
                && message["adherence"]["verdict"] == verdict
                && message["planned"]["activity"] == activity
        }
    };
    watcher.until("the break begins", says("in", "break")).await;
    watcher.until("the tolerance is used up", says("out", "break")).await;
    watcher.until("the break is over", says("in", "work")).await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_brings_every_viewer_back_without_a_gap() {
    let mut scenario = Scenario::start_team(Setup::team(8)).await;
    let mut before = Vec::new();
    for way in WAYS {
        let watcher = Watcher::open(&scenario, way, VIEWER, "").await;
        watcher.picture().await;
        before.push((way, watcher));
    }
    let first: u64 = before[0].1.last_id().parse().expect("a number");
    scenario.put("u_0001", SimState::Paused);
    for (_, watcher) in &before {
        watcher.until("a change before", knows("u_0001", "Paused")).await;
    }
    scenario.stop_daemon().await;
    for (_, watcher) in &before {
        scenario
            .until("the line ends with its reason", || async {
                watcher.end().filter(|reason| reason == "going_away").ok_or_else(|| format!("{:?}", watcher.end()))
            })
            .await;
    }
    scenario.start_daemon().await;
    // Changes that are committed while no viewer is there, so that they stand in the store alone.
    scenario.put("u_0002", SimState::Idle);
    scenario.put("u_0003", SimState::Paused);
    let reader = scenario.reader().await;
    scenario
        .until("the changes are stored", || async {
            let rows = reader.history_after(&scenario.tenant, first, 100).await.expect("readable");
            let seen = |agent: &str| rows.iter().any(|stored| stored.row.agent.as_str() == agent);
            if seen("u_0002") && seen("u_0003") { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
    for (way, watcher) in &before {
        let query = format!("?after={}", watcher.last_id());
        let after = Watcher::open(&scenario, *way, VIEWER, &query).await;
        assert_eq!(after.picture().await.len(), 8);
        let missed: Vec<_> = after.of_kind("agent").iter().map(|message| message["agent"]["id"].clone()).collect();
        assert!(missed.contains(&json!("u_0002")) && missed.contains(&json!("u_0003")), "{missed:?}");
        assert_eq!(after.of_kind("reset"), [] as [Value; 0]);
        assert_eq!(after.of_kind("snapshot")[0]["resumed"], json!(true));
        scenario.put("u_0004", SimState::Idle);
        after.until("a change after", knows("u_0004", "Idle")).await;
        until_all_rows_are_told(&scenario, first, &[&[watcher, &after]]).await;
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_at_once_reads_on_without_a_new_picture_and_a_foreign_id_is_reset() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let stays = Watcher::open(&scenario, Way::Events, VIEWER, "").await;
    stays.picture().await;
    scenario.put("u_0001", SimState::Paused);
    let known = stays.until("a change", knows("u_0001", "Paused")).await;
    scenario.put("u_0002", SimState::Idle);
    let next = stays.until("the next one", knows("u_0002", "Idle")).await;
    for way in WAYS {
        let back = Watcher::open(&scenario, way, VIEWER, &format!("?after={}", known["id"])).await;
        let told = back.until("what came after the id", knows("u_0002", "Idle")).await;
        assert_eq!(told, next, "the same message");
        assert_eq!(back.of_kind("snapshot"), [] as [Value; 0]);
        let foreign = Watcher::open(&scenario, way, VIEWER, "?tenant=acme&after=999999").await;
        assert_eq!(foreign.picture().await.len(), 8);
        assert_eq!(foreign.messages()[0]["type"], "reset");
        assert_eq!(foreign.messages()[0]["reason"], "unknown_id");
        assert_eq!(foreign.of_kind("snapshot")[0]["resumed"], json!(false));
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_its_tenants_alone_and_of_them_what_it_asked_for() {
    let mut setup = Setup::team(8);
    setup.sim.tenants = 2;
    let scenario = Scenario::start_team(setup).await;
    let bravo = |agent: &str| AgentScript {
        tenant: Some("bravo".into()),
        state: Some(SimState::Idle),
        hold: Some(true),
        ..Scenario::script_of(agent)
    };
    for way in WAYS {
        let both = Watcher::open(&scenario, way, OPERATOR, "").await;
        let own = Watcher::open(&scenario, way, VIEWER, "").await;
        let team = Watcher::open(&scenario, way, OPERATOR, "?tenant=acme&team=Team%201&team=Team%203").await;
        for watcher in [&both, &own, &team] {
            watcher.picture().await;
        }
        assert_eq!(team.picture().await.len(), 4);
        // Equal ids at both tenants: each message says whose.
        scenario.put("u_0001", SimState::Paused);
        scenario.script(&bravo("u_0001"));
        scenario.put("u_0002", SimState::Paused);
        let of = |tenant: &'static str, state: &'static str| {
            move |message: &Value| message["tenant"] == tenant && knows("u_0001", state)(message)
        };
        both.until("a change at bravo", of("bravo", "Idle")).await;
        both.until("a change at acme", of("acme", "Paused")).await;
        own.until("a change at acme", of("acme", "Paused")).await;
        team.until("a change in the team", knows("u_0002", "Paused")).await;
        assert!(own.messages().iter().all(|message| message["tenant"] == "acme" || message["type"] == "heartbeat"));
        assert_eq!(own.of_kind("agent").iter().filter(|message| message["agent"]["state"] == "Idle").count(), 0);
        for message in team.of_kind("agent") {
            assert!(["Team 1", "Team 3"].iter().any(|name| message["agent"]["team"] == *name), "{message}");
        }
        if way == Way::Events {
            let id = both.last_id();
            assert!(id.contains("acme:") && id.contains(",bravo:"), "{id}");
            let back = Watcher::open(&scenario, way, OPERATOR, &format!("?after={id}")).await;
            assert_eq!(back.of_kind("reset"), [] as [Value; 0]);
        }
        scenario.put("u_0001", SimState::Unavailable);
        scenario.put("u_0002", SimState::Unavailable);
        scenario.script(&AgentScript { state: Some(SimState::Unavailable), ..bravo("u_0001") });
        both.until("all is as before", of("bravo", "NotReady")).await;
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_or_asks_for_what_is_not_there_is_refused() {
    let mut setup = Setup::default();
    setup.sim.tenants = 2;
    let scenario = Scenario::start(setup).await;
    for (path, token, status, code) in [
        ("/live/events", "wrong-token-wrong-token", StatusCode::UNAUTHORIZED, "unauthorized"),
        ("/live/events?tenant=bravo", VIEWER, StatusCode::NOT_FOUND, "no_such_tenant"),
        ("/live/events?tenant=acme&tenant=bravo", VIEWER, StatusCode::NOT_FOUND, "no_such_tenant"),
        ("/live/events?tenant=acme&after=soon", VIEWER, StatusCode::BAD_REQUEST, "bad_request"),
        ("/live/events?colour=red", VIEWER, StatusCode::BAD_REQUEST, "bad_request"),
        ("/live", VIEWER, StatusCode::UPGRADE_REQUIRED, "not_a_websocket"),
    ] {
        let (found, body) = answer(scenario.request_as(token, Method::GET, path)).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{path}: {body}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_says_how_old_the_picture_is() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let watcher = Watcher::open(&scenario, Way::Events, VIEWER, "").await;
    let beat = watcher.until("a heartbeat", |message| message["type"] == "heartbeat").await;
    assert_eq!(beat["tenants"][0]["tenant"], "acme");
    assert!(beat["tenants"][0]["age_ms"].as_u64().is_some_and(|age| age < 60_000), "{beat}");
    assert!(beat["at"].as_str().is_some_and(|at| at > start().to_string().as_str()), "{beat}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_takes_the_right_away_ends_the_line() {
    let mut scenario = Scenario::start_team(Setup::team(4)).await;
    let mut watchers = Vec::new();
    for way in WAYS {
        let (viewer, operator) =
            (Watcher::open(&scenario, way, VIEWER, "").await, Watcher::open(&scenario, way, OPERATOR, "").await);
        viewer.picture().await;
        operator.picture().await;
        watchers.push((viewer, operator));
    }
    scenario.setup.viewer_may = "import";
    scenario.reload();
    for (viewer, _) in &watchers {
        scenario
            .until("the line ends", || async {
                viewer.end().filter(|reason| reason == "not_permitted").ok_or_else(|| format!("{:?}", viewer.end()))
            })
            .await;
    }
    scenario.put("u_0001", SimState::Paused);
    for (_, operator) in &watchers {
        operator.until("the other token's line goes on", knows("u_0001", "Paused")).await;
    }
    scenario.assert_nothing_left_over().await;
}
