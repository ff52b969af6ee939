//! The whole way of an event: from a change on the platform to a receiver that believes only what is signed.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::ids::EndpointId;
use shiftkeeper::sim::{Conduct, Receiver, ReceiverOptions};

use crate::harness::{HOOK_KEY, Scenario, Setup, VIEWER, agents, answer};

async fn receiver(fail_every: u64) -> Receiver {
    let options = ReceiverOptions { keys: vec![HOOK_KEY.to_owned()], fail_every, ..ReceiverOptions::default() };
    Receiver::start(options).await.expect("a receiver")
}

fn hook(id: &str, receiver: &Receiver, more: &str) -> String {
    format!(
        "[[webhooks]]\nid = {id:?}\nurl = {url:?}\nsecret = {{ env = \"HOOK\" }}\nallow = [{address:?}]\n{more}\n",
        url = receiver.url(),
        address = receiver.address().to_string(),
    )
}

async fn ask(scenario: &Scenario, path: &str, body: Value) -> (StatusCode, Value) {
    answer(scenario.request(Method::POST, path).json(&body)).await
}

/// Waits until an endpoint has nothing before it.
async fn until_nothing_waits(scenario: &Scenario, id: &str) {
    let reader = scenario.reader().await;
    let id = EndpointId::from(id);
    scenario
        .until(&format!("nothing waits for {id}"), || async {
            let backlog = reader.backlog(&scenario.tenant, &id).await.expect("readable");
            if backlog.waiting + backlog.parked + backlog.unread == 0 { Ok(()) } else { Err(format!("{backlog:?}")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_signed_and_in_order_over_kills_beside_an_endpoint_that_never_answers() {
    let (good, silent) = (receiver(5).await, receiver(0).await);
    silent.conduct(Conduct::Silent);
    let setup =
        Setup { webhooks: hook("good", &good, "") + &hook("silent", &silent, "concurrency = 4"), ..Setup::team(20) };
    let mut scenario = Scenario::start_team(setup).await;
    for target in ["Ready", "Paused", "Ready"] {
        let taken = scenario.change(&agents(20), target).await;
        scenario.until_all(&taken, "confirmed").await;
        scenario.kill_daemon().await;
        scenario.start_daemon().await;
    }
    scenario.until_in_sight().await;
    // What failed is tried again at once instead of after its pause.
    let recover = json!({"tenant": scenario.tenant, "since": "2026-10-26T00:00:00Z"});
    for _ in 0..8 {
        let (status, answer) = ask(&scenario, "/api/v1/webhooks/good/recover", recover.clone()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        if answer["waiting"] == 0 {
            break;
        }
        scenario.pass(Duration::from_secs(30)).await;
    }
    until_nothing_waits(&scenario, "good").await;
    let (_, list) = scenario.get(&format!("/api/v1/webhooks?tenant={}", scenario.tenant)).await;
    assert_eq!((&list["webhooks"][0]["id"], &list["webhooks"][0]["parked"]), (&json!("good"), &json!(0)), "{list}");
    let left = |key: &str| list["webhooks"][1][key].as_u64().expect("a count");
    assert!(left("waiting") + left("unread") > 0, "{list}");
    let reader = scenario.reader().await;
    let counts = scenario
        .until("as many have arrived as there are", || async {
            let stored = reader.event_counts(&scenario.tenant).await.expect("readable");
            let (events, counts) = (stored.iter().map(|(_, count)| count).sum::<u64>(), good.counts());
            if counts.distinct == events { Ok(counts) } else { Err(format!("{counts:?} of {events}")) }
        })
        .await;
    reader.close().await;
    assert_eq!((counts.bad_signature, counts.out_of_sequence), (0, 0), "{counts:?}");
    assert!(counts.failed > 0, "{counts:?}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_lists_deliveries_and_takes_what_people_ask_of_them() {
    let good = receiver(0).await;
    let setup = Setup { webhooks: hook("wfm", &good, "events = [\"agent.state_changed\"]"), ..Setup::team(8) };
    let scenario = Scenario::start_team(setup).await;
    let tenant = scenario.tenant.to_string();
    until_nothing_waits(&scenario, "wfm").await;
    let path = format!("/api/v1/webhooks/wfm/deliveries?tenant={tenant}");
    let (status, page) = scenario.get(&format!("{path}&limit=1&status=delivered")).await;
    let one = &page["deliveries"][0];
    assert_eq!(
        (status, &one["status"], &one["kind"]),
        (StatusCode::OK, &json!("delivered"), &json!("agent.state_changed"))
    );
    let (_, next) = scenario.get(&format!("{path}&limit=1&cursor={}", page["next"])).await;
    assert_ne!(next["deliveries"][0]["event"], one["event"], "{next}");
    let event = one["event"].as_str().expect("an id").to_owned();

    let before = good.counts();
    let retry = json!({"tenant": tenant, "event": event});
    let (status, answered) = ask(&scenario, "/api/v1/webhooks/wfm/retry", retry.clone()).await;
    assert_eq!((status, &answered["event"]), (StatusCode::OK, &json!(event)), "{answered}");
    scenario
        .until("it is sent again", || async {
            let (_, shown) = scenario.get(&format!("{path}&event={event}")).await;
            let log = shown["deliveries"][0]["attempt_log"].as_array().map_or(0, Vec::len);
            if log == 2 { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    assert_eq!(good.counts().duplicates, before.duplicates + 1, "under the same id");

    good.conduct(Conduct::Refuses(500));
    let (status, test) = ask(&scenario, "/api/v1/webhooks/wfm/test", json!({"tenant": tenant})).await;
    assert_eq!(
        (status, &test["delivered"], &test["status_code"]),
        (StatusCode::OK, &json!(false), &json!(500)),
        "{test}"
    );

    let (status, problem) = ask(&scenario, "/api/v1/webhooks/nobody/test", json!({"tenant": tenant})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("no_such_webhook")));
    let (status, problem) = scenario.get(&format!("{path}&status=lost")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")));
    let refused = scenario.request_as(VIEWER, Method::POST, "/api/v1/webhooks/wfm/retry").json(&retry);
    assert_eq!(answer(refused).await.0, StatusCode::FORBIDDEN);
    scenario.assert_nothing_left_over().await;
}
