//! Each rule of the platform, as a client meets it.

use super::*;

const SHIFT: &str = "/api/v2/schedules/users/u_0001";
const SUBSCRIPTION: &str = "/api/v2/analytics/realtime/subscription";

fn subscription(users: &[&str], interval: u64) -> Value {
    json!({
        "name": "roster",
        "interval": interval,
        "view": { "id": "users", "metrics": ["userId", "agentState", "statusChangedTimestamp"], "filter": { "userId": users } },
    })
}

impl Bench {
    async fn subscribe(&self, token: &str, users: &[&str]) -> String {
        let (status, body) = send(self.post(SUBSCRIPTION, token, &subscription(users, 10_000))).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["subscriptionId"].as_str().expect("an id").to_owned()
    }

    async fn poll(&self, token: &str, id: &str) -> (StatusCode, Value) {
        send(self.get(&format!("{SUBSCRIPTION}/{id}"), token)).await
    }

    fn script(&self, script: Value) {
        self.simulator.apply_script(&serde_json::from_value(script).expect("a script")).expect("followed");
    }
}

#[tokio::test]
async fn the_three_token_styles_give_tokens_that_work_where_they_should() {
    let bench = Bench::new(quiet_options()).await;
    let TenantDescription { client_id, client_secret, .. } = bench.tenants[0].clone();
    let body = bench.token(0, "").await;
    let basic = bench.http.post(format!("{}/oauth/token", bench.base)).basic_auth(&client_id, Some(&client_secret));
    let (_, basic) = send(basic.form(&[("grant_type", "client_credentials"), ("scope", "schedules:view")])).await;
    assert_eq!((&basic["scope"], &basic["expires_in"]), (&json!("schedules:view"), &json!(3600)));
    assert_eq!(basic["token_type"], "Bearer", "as guide 002 writes it");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id.as_str()),
        ("client_secret", client_secret.as_str()),
    ];
    let legacy = bench.http.post(format!("{}/InContactAuthorizationServer/Token", bench.base)).form(&form);
    let (_, legacy) = send(legacy).await;
    assert_eq!(legacy["token_type"], "bearer", "as guide 000 writes it");
    let base = legacy["resource_server_base_uri"].as_str().expect("a base").trim_end_matches('/').to_owned();
    assert!(base.starts_with(&bench.base) && base != bench.base);
    let legacy = legacy["access_token"].as_str().expect("a token").to_owned();
    let basic = basic["access_token"].as_str().expect("a token").to_owned();
    for (token, base, status) in [
        (&body, &bench.base, 200),
        (&basic, &bench.base, 200),
        (&legacy, &base, 200),
        (&legacy, &bench.base, 401),
        (&body, &base, 401),
    ] {
        let found = send(bench.http.get(format!("{base}{SHIFT}")).bearer_auth(token)).await.0;
        assert_eq!(found.as_u16(), status, "{base}");
    }
}

#[tokio::test]
async fn a_token_request_that_is_wrong_is_refused() {
    let bench = Bench::new(SimOptions { tenants: 2, ..quiet_options() }).await;
    let TenantDescription { client_id, client_secret, .. } = bench.tenants[0].clone();
    let id = client_id.as_str();
    let secret = client_secret.as_str();
    for (grant, id, secret, tenant, scope, status, error) in [
        ("client_credentials", id, "wrong", "", "", 401, "invalid_client"),
        ("client_credentials", "nobody", secret, "", "", 401, "invalid_client"),
        ("client_credentials", id, secret, "bravo", "", 401, "invalid_client"),
        ("password", id, secret, "", "", 400, "unsupported_grant_type"),
        ("client_credentials", id, secret, "", "moon:view", 400, "invalid_scope"),
    ] {
        let mut form = vec![("grant_type", grant), ("client_id", id), ("client_secret", secret), ("scope", scope)];
        form.extend((!tenant.is_empty()).then_some(("tenant_id", tenant)));
        let (found, body) = send(bench.http.post(format!("{}/oauth2/token", bench.base)).form(&form)).await;
        assert_eq!((found.as_u16(), &body["error"]), (status, &json!(error)));
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_scopes_its_tenant_and_its_hour() {
    let bench = Bench::new(SimOptions { tenants: 2, ..quiet_options() }).await;
    let (status, _) = send(bench.http.get(format!("{}{SHIFT}", bench.base))).await;
    assert_eq!(status, 401);
    let narrow = bench.token(0, "breaks:view").await;
    assert_eq!(send(bench.get(SHIFT, &narrow)).await.0, 403);
    let (acme, bravo) = (bench.token(0, "").await, bench.token(1, "").await);
    let id = bench.subscribe(&acme, &["u_0001"]).await;
    assert_eq!(bench.poll(&bravo, &id).await.0, 404);
    assert_eq!(bench.poll(&acme, &id).await.0, 200);
    bench.clock.advance(Duration::from_secs(3599));
    assert_eq!(send(bench.get(SHIFT, &acme)).await.0, 200);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(send(bench.get(SHIFT, &acme)).await.0, 401);
}

#[tokio::test]
async fn shift_and_break_say_what_the_calendar_says() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let tenant = &bench.tenants[0];
    let (on_break, off) = (tenant.break_user.clone().expect("one"), tenant.off_user.clone().expect("one"));
    for (agent, shift, rest) in
        [("u_0001", "ACTIVE", false), (on_break.as_str(), "ACTIVE", true), (off.as_str(), "INACTIVE", false)]
    {
        let found = send(bench.get(&format!("/api/v2/schedules/users/{agent}"), &token)).await.1;
        assert_eq!(found["status"], shift, "{agent}");
        let found = send(bench.get(&format!("/api/v2/breaks/users/{agent}/status"), &token)).await.1;
        assert_eq!(found["mandatoryBreakRequired"], rest, "{agent}");
    }
    for path in ["/api/v2/schedules/users/u_9999", "/api/v2/breaks/users/u_9999/status"] {
        assert_eq!(send(bench.get(path, &token)).await.0, 404);
    }
}

#[tokio::test]
async fn a_state_change_against_policy_is_a_conflict_that_names_it() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let (on_break, off) = (bench.tenants[0].break_user.clone(), bench.tenants[0].off_user.clone());
    let (on_break, off) = (on_break.expect("one"), off.expect("one"));
    bench.script(json!({ "agent": "u_0002", "state": "logged_out" }));
    bench.script(json!({ "agent": "u_0003", "scheduled": false }));
    bench.script(json!({ "agent": "u_0004", "scheduled": true, "mandatory_break": true }));
    bench.script(json!({ "agent": "u_0002", "scheduled": true, "mandatory_break": false }));
    for (agent, state, code) in [
        (on_break.as_str(), "READY", "MANDATORY_BREAK_VIOLATION"),
        (off.as_str(), "READY", "AGENT_NOT_SCHEDULED"),
        ("u_0002", "READY", "AGENT_LOGGED_OUT"),
        ("u_0002", "PAUSED", "AGENT_LOGGED_OUT"),
        ("u_0003", "READY", "AGENT_NOT_SCHEDULED"),
        ("u_0004", "READY", "MANDATORY_BREAK_VIOLATION"),
    ] {
        let (status, body) = bench.set_state(&token, agent, state).await;
        assert_eq!((status.as_u16(), &body["error"]["code"]), (409, &json!(code)), "{agent} {state}");
    }
    assert_eq!(bench.set_state(&token, on_break.as_str(), "PAUSED").await.0, 200);
    assert_eq!(bench.set_state(&token, off.as_str(), "IDLE").await.0, 200);
    assert_eq!(bench.set_state(&token, "u_9999", "READY").await.0, 404);
}

#[tokio::test]
async fn every_answer_is_dated_by_the_clock_of_the_simulator() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.clock.advance(Duration::from_secs(3000));
    for path in [SHIFT, "/nowhere", "/_sim/faults"] {
        let response = bench.get(path, &token).send().await.expect("answered");
        assert_eq!(response.headers()["date"], "Wed, 28 Oct 2026 14:50:00 GMT", "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_wrong_is_refused() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let state = "/api/v2/users/u_0001/state";
    let bodies = [
        (state, json!({ "state": "SLEEPING", "reasonCode": "X" })),
        (state, json!({ "state": "READY", "reasonCode": " " })),
        (state, json!({ "state": "READY", "reasonCode": 7 })),
        (state, json!({ "state": 7, "reasonCode": "X" })),
        (SUBSCRIPTION, subscription(&["u_0001"], 9_999)),
        (SUBSCRIPTION, subscription(&[], 10_000)),
        (
            SUBSCRIPTION,
            json!({ "name": "n", "interval": 10_000, "view": { "id": "moons", "filter": { "userId": ["u"] } } }),
        ),
    ];
    for (path, body) in bodies {
        assert_eq!(send(bench.post(path, &token, &body)).await.0, 400, "{body}");
    }
    let broken = bench.http.post(format!("{}{state}", bench.base)).bearer_auth(&token).body("{\"state\":");
    assert_eq!(send(broken).await.0, 400);
    let huge = bench.http.post(format!("{}{state}", bench.base)).bearer_auth(&token).body(vec![b' '; 1024 * 1024 + 1]);
    assert_eq!(send(huge).await.0, 413);
}

#[tokio::test]
async fn a_state_change_without_a_reason_gets_the_default_of_its_state() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.script(json!({ "agent": "u_0001", "scheduled": true, "mandatory_break": false }));
    for (state, reason) in [("READY", "WORKING"), ("NOT_READY", "BREAK"), ("PAUSED", "ADHOC"), ("IDLE", "SYSTEM_IDLE")]
    {
        for body in [json!({ "state": state }), json!({ "state": state, "reasonCode": null })] {
            let (status, accepted) = send(bench.post("/api/v2/users/u_0001/state", &token, &body)).await;
            assert_eq!((status.as_u16(), &accepted["reasonCode"]), (200, &json!(reason)), "{body}");
        }
    }
}

#[tokio::test]
async fn a_subscription_without_a_filter_shows_everybody_and_ends_in_an_oversize_snapshot() {
    let bench = Bench::new(SimOptions { agents: 3000, autonomous_agents: false, ..SimOptions::default() }).await;
    let token = bench.token(0, "").await;
    let everybody = bench.tenants[0].agents.len();
    for view in [json!({ "id": "users" }), json!({ "id": "users", "filter": {} })] {
        let body = json!({ "name": "n", "interval": 10_000, "view": view });
        let (status, made) = send(bench.post(SUBSCRIPTION, &token, &body)).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let id = made["subscriptionId"].as_str().expect("an id");
        let snapshot = bench.get(&format!("{SUBSCRIPTION}/{id}"), &token).send().await.expect("answered");
        let bytes = snapshot.bytes().await.expect("a body");
        let rows: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(rows["data"].as_array().expect("rows").len(), everybody);
        assert!(bytes.len() > 500_000, "{} bytes, while guide 004 warns of 500 KB", bytes.len());
    }
}

#[tokio::test]
async fn the_budget_holds_over_any_minute_and_per_tenant() {
    let bench = Bench::new(SimOptions { tenants: 2, requests_per_minute: 3, ..quiet_options() }).await;
    let (acme, bravo) = (bench.token(0, "").await, bench.token(1, "").await);
    for _ in 0..3 {
        bench.clock.advance(Duration::from_secs(10));
        assert_eq!(send(bench.get(SHIFT, &acme)).await.0, 200);
    }
    let response = bench.get(SHIFT, &acme).send().await.expect("answered");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "40");
    assert_eq!(send(bench.get(SHIFT, &bravo)).await.0, 200);
    bench.clock.advance(Duration::from_millis(39_999));
    assert_eq!(send(bench.get(SHIFT, &acme)).await.0, 429);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(send(bench.get(SHIFT, &acme)).await.0, 200);
    assert_eq!(bench.simulator.counts(&"acme".into()).throttled, 2);
    assert_eq!(bench.simulator.counts(&"bravo".into()).calls, 1);
}

#[tokio::test]
async fn a_snapshot_is_made_once_an_interval_and_keeps_its_bytes_in_between() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let id = bench.subscribe(&token, &["u_0001", "u_0002", "u_9999"]).await;
    bench.clock.advance(Duration::from_secs(12));
    let text = |response: reqwest::Response| async move { response.text().await.expect("a body") };
    let path = format!("{SUBSCRIPTION}/{id}");
    let first = text(bench.get(&path, &token).send().await.expect("answered")).await;
    bench.script(json!({ "agent": "u_0002", "state": "on_contact" }));
    bench.clock.advance(Duration::from_secs(7));
    let second = text(bench.get(&path, &token).send().await.expect("answered")).await;
    assert_eq!(first, second);
    bench.clock.advance(Duration::from_secs(9));
    let third: Value =
        serde_json::from_str(&text(bench.get(&path, &token).send().await.expect("answered")).await).expect("JSON");
    assert_eq!(third["lastUpdatedTimestamp"], "2026-10-28T14:00:20.000Z");
    let rows = third["data"].as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0],
        json!({ "userId": "u_0001", "agentState": "unavailable", "statusChangedTimestamp": "2026-10-28T14:00:00.000Z" })
    );
    assert_eq!(
        rows[1],
        json!({ "userId": "u_0002", "agentState": "on_contact", "statusChangedTimestamp": "2026-10-28T14:00:12.000Z" })
    );
}

#[tokio::test]
async fn polling_in_step_is_always_served_and_polling_faster_is_not() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    let id = bench.subscribe(&token, &["u_0001"]).await;
    // In step, with arrivals up to eight seconds late.
    let mut late_before = 0;
    for late in [0, 8, 0, 3, 9, 0] {
        bench.clock.advance(Duration::from_secs(10 + late - late_before));
        assert_eq!(bench.poll(&token, &id).await.0, 200, "{late} s late");
        late_before = late;
    }
    let response = bench.get(&format!("{SUBSCRIPTION}/{id}"), &token).send().await.expect("answered");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "9");
    bench.clock.advance(Duration::from_secs(10));
    let mut refused = 0;
    for _ in 0..20 {
        refused += u32::from(bench.poll(&token, &id).await.0 == 429);
        bench.clock.advance(Duration::from_millis(8_000));
    }
    assert!((2..8).contains(&refused), "{refused} of 20 polls at 8 s were refused");
}

#[tokio::test]
async fn a_subscription_dies_a_day_after_its_creation() {
    let bench = Bench::new(SimOptions { token_lifetime: Duration::from_secs(200_000), ..quiet_options() }).await;
    let token = bench.token(0, "").await;
    let id = bench.subscribe(&token, &["u_0001"]).await;
    bench.clock.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(bench.poll(&token, &id).await.0, 200);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.poll(&token, &id).await.0, 404);
    assert_eq!(bench.poll(&token, "sub_none").await.0, 404);
}

#[tokio::test]
async fn a_change_during_a_contact_is_accepted_and_waits() {
    let bench = Bench::new(quiet_options()).await;
    let token = bench.token(0, "").await;
    bench.script(json!({ "agent": "u_0001", "state": "on_contact", "hold": true }));
    assert_eq!(bench.set_state(&token, "u_0001", "PAUSED").await.0, 200);
    let counts = |bench: &Bench| bench.simulator.counts(&"acme".into()).applied_changes;
    assert_eq!(counts(&bench), 0);
    assert_eq!(bench.simulator.world_views()[0].agents[0].pending, Some(SimState::Paused));
    bench.script(json!({ "agent": "u_0001", "state": "acw" }));
    assert_eq!(counts(&bench), 1);
    assert_eq!(bench.simulator.world_views()[0].agents[0].state, SimState::Paused);
}
