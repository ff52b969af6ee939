//! The live view: viewers get what history has, over both transports, across restarts, and only for their tenants.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::sim::{AgentScript, SimState};
use shiftkeeper::store::StoredHistory;

use crate::harness::viewer::{TRANSPORTS, Transport, Viewer};
use crate::harness::{OPERATOR, Scenario, Setup, VIEWER, send, start};

/// What a row and a message both say, by the row's id.
type StateRows = BTreeMap<u64, Value>;

fn rows_of_store(rows: &[StoredHistory]) -> StateRows {
    let said = |stored: &StoredHistory| {
        let row = &stored.row;
        json!([row.agent, row.state, row.reason, row.queue, row.entered_at, row.source, row.transition])
    };
    rows.iter().map(|stored| (stored.id, said(stored))).collect()
}

fn rows_of_messages(messages: &[Value]) -> StateRows {
    let said = |agent: &Value| {
        let fields = ["id", "state", "reason", "queue", "entered_at", "source", "transition"];
        Value::Array(fields.map(|field| agent[field].clone()).to_vec())
    };
    let agents = messages.iter().filter(|message| message["type"] == "agent");
    agents.filter_map(|message| Some((message["id"].as_u64()?, said(&message["agent"])))).collect()
}

/// Checks that every row after `after` was sent as it is. (More may have been sent: a row that a later one corrected.)
async fn wait_until_rows_are_sent(scenario: &Scenario, after: u64, watchers: &[&[&Viewer]]) {
    let reader = scenario.reader().await;
    for of_one in watchers {
        scenario
            .wait_until("every row is told", || async {
                let rows = reader.history_after(&scenario.tenant, after, 10_000).await.expect("readable");
                let messages: Vec<_> = of_one.iter().flat_map(|watcher| watcher.messages()).collect();
                let told = rows_of_messages(&messages);
                let missing: Vec<_> =
                    rows_of_store(&rows).into_iter().filter(|(id, row)| told.get(id) != Some(row)).collect();
                if missing.is_empty() && !rows.is_empty() { Ok(()) } else { Err(format!("{missing:?} of {told:?}")) }
            })
            .await;
    }
}

fn shows_state(agent: &str, state: &str) -> impl Fn(&Value) -> bool {
    move |message| message["type"] == "agent" && message["agent"]["id"] == agent && message["agent"]["state"] == state
}

/// The live view that a viewer has after all its messages.
fn assemble_view(messages: &[Value]) -> BTreeMap<String, Value> {
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
async fn viewers_over_both_transports_get_every_row_and_build_the_same_live_view() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let watchers = [
        Viewer::open(&scenario, Transport::Events, VIEWER, "").await,
        Viewer::open(&scenario, Transport::Socket, VIEWER, "").await,
    ];
    for watcher in &watchers {
        assert_eq!(watcher.wait_for_snapshot().await.len(), 8);
    }
    let first: u64 = watchers.each_ref().map(|watcher| watcher.last_id().parse().expect("a number"))[0];
    scenario.set_agent_state("u_0001", SimState::Paused);
    scenario.set_agent_state("u_0002", SimState::Idle);
    let taken = scenario.request_change(&["u_0003", "u_0004"], "Ready").await;
    scenario.wait_for_all(&taken, "confirmed").await;
    for watcher in &watchers {
        watcher.wait_for_message("the agent's own change", shows_state("u_0001", "Paused")).await;
        watcher.wait_for_message("the agent's own change", shows_state("u_0002", "Idle")).await;
        watcher.wait_for_message("a change of ours", shows_state("u_0003", "Ready")).await;
        let ended = |message: &Value| {
            message["type"] == "transition"
                && message["transition"]["id"] == taken[1]["id"]
                && message["transition"]["status"] == "confirmed"
                && message["transition"]["open"] == false
        };
        watcher.wait_for_message("the end of a transition", ended).await;
        // Held not ready the whole afternoon and made ready only now: a verdict that follows.
        watcher.wait_for_message("a verdict", |message| message["agent"]["adherence"]["verdict"] == "in").await;
    }
    wait_until_rows_are_sent(&scenario, first, &[&[&watchers[0]], &[&watchers[1]]]).await;
    let ends: Vec<_> = watchers.iter().flat_map(|watcher| watcher.of_kind("end")).collect();
    assert_eq!(ends, [] as [Value; 0]);
    // Who comes now is shown what the others pieced together.
    for watcher in &watchers {
        scenario
            .wait_until("the pictures are one", || async {
                let newcomer = Viewer::open(&scenario, Transport::Events, VIEWER, "").await;
                newcomer.wait_for_snapshot().await;
                let (seen, known) = (assemble_view(&newcomer.messages()), assemble_view(&watcher.messages()));
                if seen == known { Ok(()) } else { Err(format!("{seen:?}\n{known:?}")) }
            })
            .await;
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_alone_changes_verdicts_and_viewers_hear_of_it() {
    let mut setup = Setup::team(4);
    setup.schedule =
        Some(crate::harness::schedule(crate::harness::agent_ids(4), &[("break", "13:40", "13:50", false)]));
    let scenario = Scenario::start_team(setup).await;
    scenario.set_agent_state("u_0001", SimState::Available);
    let watcher = Viewer::open(&scenario, Transport::Events, VIEWER, "").await;
    watcher.wait_for_snapshot().await;
    let says = |verdict: &'static str, activity: &'static str| {
        move |message: &Value| {
            message["type"] == "adherence"
                && message["agent"] == "u_0001"
                && message["adherence"]["verdict"] == verdict
                && message["planned"]["activity"] == activity
        }
    };
    watcher.wait_for_message("the break begins", says("in", "break")).await;
    watcher.wait_for_message("the tolerance is used up", says("out", "break")).await;
    watcher.wait_for_message("the break is over", says("in", "work")).await;
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_brings_every_viewer_back_without_a_gap() {
    let mut scenario = Scenario::start_team(Setup::team(8)).await;
    let mut before = Vec::new();
    for way in TRANSPORTS {
        let watcher = Viewer::open(&scenario, way, VIEWER, "").await;
        watcher.wait_for_snapshot().await;
        before.push((way, watcher));
    }
    let first: u64 = before[0].1.last_id().parse().expect("a number");
    scenario.set_agent_state("u_0001", SimState::Paused);
    for (_, watcher) in &before {
        watcher.wait_for_message("a change before", shows_state("u_0001", "Paused")).await;
    }
    scenario.stop_daemon().await;
    for (_, watcher) in &before {
        scenario
            .wait_until("the line ends with its reason", || async {
                watcher
                    .end_reason()
                    .filter(|reason| reason == "going_away")
                    .ok_or_else(|| format!("{:?}", watcher.end_reason()))
            })
            .await;
    }
    scenario.start_daemon().await;
    // Changes that are committed while no viewer is there, so that they stand in the store alone.
    scenario.set_agent_state("u_0002", SimState::Idle);
    scenario.set_agent_state("u_0003", SimState::Paused);
    let reader = scenario.reader().await;
    scenario
        .wait_until("the changes are stored", || async {
            let rows = reader.history_after(&scenario.tenant, first, 100).await.expect("readable");
            let seen = |agent: &str| rows.iter().any(|stored| stored.row.agent.as_str() == agent);
            if seen("u_0002") && seen("u_0003") { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .await;
    for (way, watcher) in &before {
        let query = format!("?after={}", watcher.last_id());
        let after = Viewer::open(&scenario, *way, VIEWER, &query).await;
        assert_eq!(after.wait_for_snapshot().await.len(), 8);
        let missed: Vec<_> = after.of_kind("agent").iter().map(|message| message["agent"]["id"].clone()).collect();
        assert!(missed.contains(&json!("u_0002")) && missed.contains(&json!("u_0003")), "{missed:?}");
        assert_eq!(after.of_kind("reset"), [] as [Value; 0]);
        assert_eq!(after.of_kind("snapshot")[0]["resumed"], json!(true));
        scenario.set_agent_state("u_0004", SimState::Idle);
        after.wait_for_message("a change after", shows_state("u_0004", "Idle")).await;
        wait_until_rows_are_sent(&scenario, first, &[&[watcher, &after]]).await;
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_returns_at_once_continues_and_an_unknown_id_is_reset() {
    let scenario = Scenario::start_team(Setup::team(8)).await;
    let stays = Viewer::open(&scenario, Transport::Events, VIEWER, "").await;
    stays.wait_for_snapshot().await;
    scenario.set_agent_state("u_0001", SimState::Paused);
    let known = stays.wait_for_message("a change", shows_state("u_0001", "Paused")).await;
    scenario.set_agent_state("u_0002", SimState::Idle);
    let next = stays.wait_for_message("the next one", shows_state("u_0002", "Idle")).await;
    for way in TRANSPORTS {
        let back = Viewer::open(&scenario, way, VIEWER, &format!("?after={}", known["id"])).await;
        let told = back.wait_for_message("what came after the id", shows_state("u_0002", "Idle")).await;
        assert_eq!(told, next, "the same message");
        assert_eq!(back.of_kind("snapshot"), [] as [Value; 0]);
        let foreign = Viewer::open(&scenario, way, VIEWER, "?tenant=acme&after=999999").await;
        assert_eq!(foreign.wait_for_snapshot().await.len(), 8);
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
        ..Scenario::agent_script(agent)
    };
    for way in TRANSPORTS {
        let both = Viewer::open(&scenario, way, OPERATOR, "").await;
        let own = Viewer::open(&scenario, way, VIEWER, "").await;
        let team = Viewer::open(&scenario, way, OPERATOR, "?tenant=acme&team=Team%201&team=Team%203").await;
        for watcher in [&both, &own, &team] {
            watcher.wait_for_snapshot().await;
        }
        assert_eq!(team.wait_for_snapshot().await.len(), 4);
        // Equal ids at both tenants: each message says whose.
        scenario.set_agent_state("u_0001", SimState::Paused);
        scenario.apply_script(&bravo("u_0001"));
        scenario.set_agent_state("u_0002", SimState::Paused);
        let of = |tenant: &'static str, state: &'static str| {
            move |message: &Value| message["tenant"] == tenant && shows_state("u_0001", state)(message)
        };
        both.wait_for_message("a change at bravo", of("bravo", "Idle")).await;
        both.wait_for_message("a change at acme", of("acme", "Paused")).await;
        own.wait_for_message("a change at acme", of("acme", "Paused")).await;
        team.wait_for_message("a change in the team", shows_state("u_0002", "Paused")).await;
        assert!(own.messages().iter().all(|message| message["tenant"] == "acme" || message["type"] == "heartbeat"));
        assert_eq!(own.of_kind("agent").iter().filter(|message| message["agent"]["state"] == "Idle").count(), 0);
        for message in team.of_kind("agent") {
            assert!(["Team 1", "Team 3"].iter().any(|name| message["agent"]["team"] == *name), "{message}");
        }
        if way == Transport::Events {
            let id = both.last_id();
            assert!(id.contains("acme:") && id.contains(",bravo:"), "{id}");
            let back = Viewer::open(&scenario, way, OPERATOR, &format!("?after={id}")).await;
            assert_eq!(back.of_kind("reset"), [] as [Value; 0]);
        }
        scenario.set_agent_state("u_0001", SimState::Unavailable);
        scenario.set_agent_state("u_0002", SimState::Unavailable);
        scenario.apply_script(&AgentScript { state: Some(SimState::Unavailable), ..bravo("u_0001") });
        both.wait_for_message("all is as before", of("bravo", "NotReady")).await;
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthorised_and_invalid_viewers_are_refused() {
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
        let (found, body) = send(scenario.request_as(token, Method::GET, path)).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{path}: {body}");
    }
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_says_how_old_the_live_view_is() {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    let watcher = Viewer::open(&scenario, Transport::Events, VIEWER, "").await;
    let beat = watcher.wait_for_message("a heartbeat", |message| message["type"] == "heartbeat").await;
    assert_eq!(beat["tenants"][0]["tenant"], "acme");
    assert!(beat["tenants"][0]["age_ms"].as_u64().is_some_and(|age| age < 60_000), "{beat}");
    assert!(beat["at"].as_str().is_some_and(|at| at > start().to_string().as_str()), "{beat}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_takes_the_right_away_ends_the_line() {
    let mut scenario = Scenario::start_team(Setup::team(4)).await;
    let mut watchers = Vec::new();
    for way in TRANSPORTS {
        let (viewer, operator) =
            (Viewer::open(&scenario, way, VIEWER, "").await, Viewer::open(&scenario, way, OPERATOR, "").await);
        viewer.wait_for_snapshot().await;
        operator.wait_for_snapshot().await;
        watchers.push((viewer, operator));
    }
    scenario.setup.viewer_may = "import";
    scenario.reload();
    for (viewer, _) in &watchers {
        scenario
            .wait_until("the line ends", || async {
                viewer
                    .end_reason()
                    .filter(|reason| reason == "not_permitted")
                    .ok_or_else(|| format!("{:?}", viewer.end_reason()))
            })
            .await;
    }
    scenario.set_agent_state("u_0001", SimState::Paused);
    for (_, operator) in &watchers {
        operator.wait_for_message("the other token's line goes on", shows_state("u_0001", "Paused")).await;
    }
    scenario.assert_nothing_left_over().await;
}
