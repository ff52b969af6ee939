//! What the API shows of deliveries and does with them; what the other scenarios about webhooks share.

use std::net::SocketAddr;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::ids::EndpointId;
use shiftkeeper::sim::{Receiver, ReceiverMode, ReceiverOptions};

use crate::harness::{HOOK_KEY, Scenario, Setup, VIEWER, send};

pub async fn receiver(options: ReceiverOptions) -> Receiver {
    let options = ReceiverOptions { keys: vec![HOOK_KEY.to_owned()], ..options };
    Receiver::start(options).await.expect("a receiver")
}

/// An endpoint of the configuration.
pub fn endpoint_config(id: &str, address: SocketAddr, more: &str) -> String {
    format!(
        "[[webhooks]]\nid = {id:?}\nurl = \"http://{address}/hooks\"\nsecret = {{ env = \"HOOK\" }}\n\
         allow = [\"{address}\"]\n{more}\n"
    )
}

pub async fn post(scenario: &Scenario, path: &str, body: Value) -> (StatusCode, Value) {
    send(scenario.request(Method::POST, path).json(&body)).await
}

/// Waits until an endpoint has nothing before it.
pub async fn wait_until_delivered(scenario: &Scenario, id: &str) {
    let reader = scenario.reader().await;
    let id = EndpointId::from(id);
    scenario
        .wait_until(&format!("nothing waits for {id}"), || async {
            let backlog = reader.backlog(&scenario.tenant, &id).await.expect("readable");
            if backlog.waiting + backlog.parked + backlog.unprocessed == 0 {
                Ok(())
            } else {
                Err(format!("{backlog:?}"))
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_lists_deliveries_and_takes_what_people_ask_of_them() {
    let good = receiver(ReceiverOptions::default()).await;
    let setup = Setup {
        webhooks: endpoint_config("wfm", good.address(), "events = [\"agent.state_changed\"]"),
        ..Setup::team(8)
    };
    let scenario = Scenario::start_team(setup).await;
    let tenant = scenario.tenant.to_string();
    wait_until_delivered(&scenario, "wfm").await;
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
    let (status, answered) = post(&scenario, "/api/v1/webhooks/wfm/retry", retry.clone()).await;
    assert_eq!((status, &answered["event"]), (StatusCode::OK, &json!(event)), "{answered}");
    scenario
        .wait_until("it is sent again", || async {
            let (_, shown) = scenario.get(&format!("{path}&event={event}")).await;
            let log = shown["deliveries"][0]["attempt_log"].as_array().map_or(0, Vec::len);
            if log == 2 { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    assert_eq!(good.counts().duplicates, before.duplicates + 1, "under the same id");

    good.set_mode(ReceiverMode::Refuse(500));
    let (status, test) = post(&scenario, "/api/v1/webhooks/wfm/test", json!({"tenant": tenant})).await;
    assert_eq!(
        (status, &test["delivered"], &test["status_code"]),
        (StatusCode::OK, &json!(false), &json!(500)),
        "{test}"
    );

    let (status, problem) = post(&scenario, "/api/v1/webhooks/nobody/test", json!({"tenant": tenant})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("no_such_webhook")));
    let (status, problem) = scenario.get(&format!("{path}&status=lost")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")));
    let refused = scenario.request_as(VIEWER, Method::POST, "/api/v1/webhooks/wfm/retry").json(&retry);
    assert_eq!(send(refused).await.0, StatusCode::FORBIDDEN);
    scenario.assert_nothing_left_over().await;
}
