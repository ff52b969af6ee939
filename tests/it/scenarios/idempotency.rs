//! Every POST that changes something may be repeated under its `Idempotency-Key`.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::sim::{Receiver, ReceiverOptions, SimState};

use crate::harness::{HOOK_KEY, Scenario, Setup, agent_ids, schedule, send};

/// What is asked, each under a key of its own.
struct KeyedRequest {
    path: String,
    body: Value,
}

fn all_requests(scenario: &Scenario, event: &Value, waiting: &Value) -> Vec<KeyedRequest> {
    let tenant = &scenario.tenant;
    let asked = |path: &str, body: Value| KeyedRequest { path: path.to_owned(), body };
    let cancel = format!("/api/v1/transitions/{}/cancel?tenant={tenant}", waiting.as_str().expect("an id"));
    let import = format!("/api/v1/schedule-imports?tenant={tenant}&name=new.csv");
    vec![
        asked("/api/v1/transitions", json!({"tenant": tenant, "agents": ["u_0001"], "to": "Paused"})),
        asked(&cancel, Value::Null),
        asked("/api/v1/webhooks/wfm/retry", json!({"tenant": tenant, "event": event})),
        asked("/api/v1/webhooks/wfm/recover", json!({"tenant": tenant, "since": "2026-10-26T00:00:00Z"})),
        asked("/api/v1/webhooks/wfm/test", json!({"tenant": tenant})),
        asked(&import, Value::String(schedule(agent_ids(4), &[("lunch", "12:00", "12:30", false)]))),
        asked("/api/v1/jobs/retention/run", Value::Null),
    ]
}

/// The request under the key number `key`.
fn request(scenario: &Scenario, asked: &KeyedRequest, key: usize) -> RequestBuilder {
    let request = scenario.request(Method::POST, &asked.path).header("Idempotency-Key", format!("key {key}"));
    match &asked.body {
        Value::Null => request,
        Value::String(file) => request.body(file.clone()),
        body => request.json(body),
    }
}

async fn send_all(scenario: &Scenario, all: &[KeyedRequest], key: impl Fn(usize) -> usize) -> Vec<(StatusCode, Value)> {
    let mut answers = Vec::new();
    for (number, asked) in all.iter().enumerate() {
        answers.push(send(request(scenario, asked, key(number))).await);
    }
    answers
}

async fn wait_for_job(scenario: &Scenario) {
    scenario
        .wait_until("the job has run", || async {
            let (_, runs) = scenario.get("/api/v1/jobs/retention/runs").await;
            if runs["runs"][0]["finished_at"].is_string() { Ok(()) } else { Err(runs.to_string()) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_again_under_its_key_is_done_once_also_over_a_kill() {
    let options = ReceiverOptions { keys: vec![HOOK_KEY.to_owned()], ..ReceiverOptions::default() };
    let receiver = Receiver::start(options).await.expect("a receiver");
    let webhooks = format!(
        "[[webhooks]]\nid = \"wfm\"\nurl = {:?}\nsecret = {{ env = \"HOOK\" }}\nallow = [{:?}]\nevents = [\"webhook.test\"]\n",
        receiver.url(),
        receiver.address().to_string(),
    );
    let mut scenario = Scenario::start_team(Setup { webhooks, ..Setup::team(4) }).await;
    let reader = scenario.reader().await;
    let event = json!(scenario.events(&reader).await.first().expect("an event").id);
    scenario.set_agent_state("u_0002", SimState::OnContact);
    scenario
        .wait_until("the contact is seen", || async {
            let rows = reader.latest_states(&scenario.tenant).await.expect("readable");
            let row = rows.iter().find(|row| row.row.agent.as_str() == "u_0002");
            let last = row.map(|row| row.row.state.name().to_owned());
            if last.as_deref() == Some("OnContact") { Ok(()) } else { Err(format!("{last:?}")) }
        })
        .await;
    let waiting = scenario.request_change(&["u_0002"], "Ready").await.remove(0);
    let all = all_requests(&scenario, &event, &waiting["id"]);

    let first = send_all(&scenario, &all, |number| number).await;
    for ((status, body), asked) in first.iter().zip(&all) {
        assert!(status.is_success(), "{}: {body}", asked.path);
    }
    assert_eq!((&first[1].1["status"], &first[4].1["delivered"]), (&json!("cancelled"), &json!(true)), "{first:?}");
    assert_eq!(first[5].1["changed"], true, "{first:?}");
    scenario.wait_for_status(&first[0].1["transitions"][0], "confirmed").await;
    scenario
        .wait_until("the event's arrival is recorded", || async {
            let path = format!("/api/v1/webhooks/wfm/deliveries?tenant={}&status=delivered", scenario.tenant);
            let (_, shown) = scenario.get(&path).await;
            if shown["deliveries"][0]["event"] == event { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    assert_eq!(send_all(&scenario, &all, |number| number).await, first);
    // A run that the kill cuts off is made up for by another.
    wait_for_job(&scenario).await;
    scenario.kill_daemon().await;
    scenario.start_daemon().await;
    scenario.wait_until_observed().await;
    assert_eq!(send_all(&scenario, &all, |number| number).await, first);
    // The last asks the daemon itself, whose keys are not the tenant's.
    let mut reused = send_all(&scenario, &all[..6], |number| (number + 1) % 6).await;
    let other_job = KeyedRequest { path: "/api/v1/jobs/checkpoint/run".to_owned(), body: Value::Null };
    reused.push(send(request(&scenario, &other_job, 6)).await);
    for (status, body) in reused {
        let wanted = (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused"));
        assert_eq!((status, &body["code"]), wanted, "{body}");
    }

    assert_eq!(receiver.counts().received, 2, "the event and the test, once each");
    assert_eq!(scenario.posts_for("u_0001").len(), 1);
    let entries = scenario.audit(&reader).await;
    for action in ["webhook.retried", "webhook.recovered"] {
        assert_eq!(entries.iter().filter(|entry| entry.action == action).count(), 1, "{action}");
    }
    let (_, runs) = scenario.get("/api/v1/jobs/retention/runs").await;
    let by_hand = |run: &&Value| run["asked_by"] == "operator";
    assert_eq!(runs["runs"].as_array().expect("a list").iter().filter(by_hand).count(), 1, "{runs}");
    reader.close().await;
    scenario.assert_nothing_left_over().await;
}
