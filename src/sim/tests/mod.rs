//! The simulator over real HTTP on loopback, with a clock that the test moves.

mod agent_behaviour;
mod analytics;
mod feeds;
mod figures;
mod lifecycle;
mod platform_rules;
mod published;
mod wire_faults;

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::domain::time::UtcMicros;

/// A quiet simulator of a few agents, a client, and the clock between them.
struct Bench {
    simulator: Simulator,
    clock: ManualClock,
    http: reqwest::Client,
    base: String,
    tenants: Vec<TenantDescription>,
}

fn start() -> UtcMicros {
    "2026-10-28T14:00:00Z".parse().expect("a valid instant")
}

fn quiet_options() -> SimOptions {
    SimOptions { agents: 8, autonomous_agents: false, ..SimOptions::default() }
}

impl Bench {
    async fn new(options: SimOptions) -> Self {
        let clock = ManualClock::at(start());
        let simulator = Simulator::start(options, Arc::new(clock.clone())).await.expect("starts");
        let Description { base_url, tenants } = simulator.description();
        // A second bench of the process finds the provider installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Self { simulator, clock, http, base: base_url, tenants }
    }

    async fn token(&self, tenant: usize, scope: &str) -> String {
        let TenantDescription { client_id, client_secret, .. } = &self.tenants[tenant];
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id.as_str()),
            ("client_secret", client_secret.as_str()),
            ("scope", scope),
        ];
        let request = self.http.post(format!("{}/oauth2/token", self.base)).form(&form);
        let answer: Value = request.send().await.expect("answered").json().await.expect("JSON");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    fn get(&self, path: &str, token: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).bearer_auth(token)
    }

    fn post(&self, path: &str, token: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).bearer_auth(token).json(body)
    }

    async fn set_state(&self, token: &str, agent: &str, state: &str) -> (StatusCode, Value) {
        let body = json!({ "state": state, "reasonCode": "WORKING" });
        send(self.post(&format!("/api/v2/users/{agent}/state"), token, &body)).await
    }
}

async fn send(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("answered");
    (response.status(), response.json().await.unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_state_change_is_applied_once_and_accounted_for() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.clock.advance(Duration::from_secs(5));
    for _ in 0..2 {
        assert_eq!(bench.set_state(&token, "u_0001", "READY").await.0, StatusCode::OK);
        bench.clock.advance(Duration::from_secs(5));
    }
    let counts = bench.simulator.counts(&"acme".into());
    assert_eq!(counts, TenantCounts { calls: 2, state_posts: 2, applied_changes: 1, throttled: 0 });
    let log = bench.simulator.log(0, 100);
    let change = log.changes.first().expect("a change");
    assert_eq!((change.from, change.to, change.cause), (SimState::Unavailable, SimState::Available, ChangeCause::Api));
    assert_eq!(change.at, start() + Duration::from_secs(5));
    let request = log.requests.iter().find(|request| Some(request.seq) == change.request_seq).expect("its request");
    assert_eq!((request.status, request.agent.clone()), (Some(200), Some("u_0001".into())));
}
