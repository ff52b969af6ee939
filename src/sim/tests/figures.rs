//! Figures of skills and queues, as a client meets them.

use std::collections::BTreeSet;

use super::*;

const SKILL_DATA: &str = "/InContactAPI/services/v18.0/real-time-data/skill-data";
const QUEUES: &str = "/api/v2/queues";
const FIGURES: &str = "/api/v2/reporting/queues/realtime";

fn large_budget_options() -> SimOptions {
    SimOptions { reporting_per_minute: 1000, ..quiet_options() }
}

impl Bench {
    async fn skill_data(&self, token: &str, ids: &str) -> Vec<Value> {
        let (status, body) = send(self.get(&format!("{SKILL_DATA}?skillId={ids}"), token)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["skillData"].as_array().expect("rows").clone()
    }

    async fn queue_figures(&self, token: &str, body: Value) -> (StatusCode, Value) {
        send(self.post(FIGURES, token, &body)).await
    }

    /// Everyone unavailable, but for these.
    fn place_agents(&self, placed: &[(&str, &str)]) {
        for agent in &self.tenants[0].agents {
            let state = placed.iter().find(|(who, _)| *who == agent.as_str()).map_or("unavailable", |(_, state)| state);
            let script = json!({ "agent": agent, "state": state, "hold": true });
            self.simulator.apply_script(&serde_json::from_value(script).expect("a script")).expect("followed");
        }
    }
}

fn sum(rows: &[Value], field: &str) -> u64 {
    rows.iter().map(|row| row[field].as_u64().expect("a count")).sum()
}

#[tokio::test]
async fn figures_count_the_agents_as_they_are_and_are_shown_again_for_a_while() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "").await;
    // Four skills have agents: u_0001 has the first alone, u_0005 the first and the second.
    bench.place_agents(&[
        ("u_0001", "available"),
        ("u_0005", "available"),
        ("u_0002", "on_contact"),
        ("u_0003", "logged_out"),
    ]);
    let rows = bench.skill_data(&token, "1002,1001,1003,1004,77").await;
    let ids: Vec<_> = rows.iter().map(|row| row["skillId"].as_u64().expect("a number")).collect();
    assert_eq!(ids, [1002, 1001, 1003, 1004], "in the order asked, and strangers left out");
    assert_eq!(
        (&rows[1]["skillName"], &rows[1]["agentsAvailable"], &rows[1]["agentsStaffed"]),
        (&json!("Billing"), &json!(2), &json!(4))
    );
    assert_eq!((sum(&rows, "contactsActive"), sum(&rows, "agentsOnContact"), sum(&rows, "agentsInACW")), (1, 1, 0));
    assert_eq!((sum(&rows, "contactsQueued"), sum(&rows, "longestQueueDuration")), (0, 0));
    assert_eq!(rows[0]["serviceLevel"], 1.0);

    bench.place_agents(&[("u_0002", "acw")]);
    bench.clock.advance(Duration::from_secs(19));
    assert_eq!(sum(&bench.skill_data(&token, "1001,1002").await, "contactsActive"), 1, "still from before");
    bench.clock.advance(Duration::from_secs(1));
    let path = "/InContact%20API/services/v18.0/real-time-data/skill-data?skillId=1001,1002".to_owned();
    let rows = send(bench.get(&path, &token)).await.1;
    let rows = rows["skillData"].as_array().expect("rows");
    assert_eq!((sum(rows, "contactsActive"), sum(rows, "agentsInACW")), (0, 1));

    let queues = send(bench.get(QUEUES, &token)).await.1;
    assert_eq!(queues["queues"][0], json!({ "queueId": "q_1001", "name": "Billing" }));
    let (_, one) = bench.queue_figures(&token, json!({ "queueId": "q_1001" })).await;
    let busy = one["queues"][0]["agentsBusy"].clone();
    assert_eq!(
        one["queues"],
        json!([{
            "queueId": "q_1001", "name": "Billing", "agentsLoggedOn": 5, "agentsAvailable": 0, "agentsBusy": busy,
            "callsWaiting": 0, "averageWaitTime": 0, "serviceLevel": 100.0,
        }])
    );
    let (_, two) = bench.queue_figures(&token, json!({ "queueIds": ["q_1002", "q_1001", "q_none"] })).await;
    let rows = two["queues"].as_array().expect("rows");
    assert_eq!((rows.len(), sum(rows, "agentsBusy")), (2, 1));
}

#[tokio::test]
async fn an_idle_skill_is_left_out_now_and_then() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "").await;
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        seen.insert(bench.skill_data(&token, "1005,1001").await.len());
    }
    assert_eq!(seen, BTreeSet::from([1, 2]));
    let everything = bench.queue_figures(&token, json!({ "queueIds": ["q_1005"] })).await.1;
    assert_eq!(everything["queues"][0]["agentsLoggedOn"], 0, "queues are never left out");
}

#[tokio::test]
async fn figures_have_a_budget_of_their_own() {
    let bench = Bench::new(SimOptions { requests_per_minute: 1, reporting_per_minute: 3, ..quiet_options() }).await;
    let token = bench.token(0, "").await;
    let shift = "/api/v2/schedules/users/u_0001";
    assert_eq!(send(bench.get(shift, &token)).await.0, 200);
    assert_eq!(bench.skill_data(&token, "1001").await.len(), 1);
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(send(bench.get(QUEUES, &token)).await.0, 200);
    assert_eq!(bench.queue_figures(&token, json!({ "queueId": "q_1001" })).await.0, 200);
    let response = bench.get(&format!("{SKILL_DATA}?skillId=1001"), &token).send().await.expect("answered");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"50".parse().expect("a value"))
    );
    assert_eq!(send(bench.get(shift, &token)).await.0, 429, "and so has the rest");
    bench.clock.advance(Duration::from_secs(50));
    assert_eq!(bench.skill_data(&token, "1001").await.len(), 1);
    assert_eq!(bench.queue_figures(&token, json!({ "queueId": "q_1001" })).await.0, 429);
}

#[tokio::test]
async fn a_question_about_figures_that_is_wrong_is_refused() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "").await;
    let narrow = bench.token(0, "schedules:view").await;
    let many = |count: usize| (0..count).map(|number| (2000 + number).to_string()).collect::<Vec<_>>();
    for (ids, status) in
        [("", 400), ("1001,x", 400), (many(101).join(",").as_str(), 400), (many(100).join(",").as_str(), 200)]
    {
        assert_eq!(send(bench.get(&format!("{SKILL_DATA}?skillId={ids}"), &token)).await.0, status, "{ids}");
    }
    for (body, status) in [
        (json!({}), 400),
        (json!({ "queueIds": [] }), 400),
        (json!({ "queueId": "q_1001", "queueIds": ["q_1002"] }), 400),
        (json!({ "queueIds": many(101) }), 400),
        (json!({ "queueIds": many(100) }), 200),
        (json!({ "queueId": "q_none" }), 404),
    ] {
        assert_eq!(bench.queue_figures(&token, body.clone()).await.0, status, "{body}");
    }
    assert_eq!(bench.queue_figures(&narrow, json!({ "queueId": "q_1001" })).await.0, 403);
    assert_eq!(send(bench.get(QUEUES, &narrow)).await.0, 200);
    assert_eq!(send(bench.get(QUEUES, "acme.nonsense")).await.0, 401);
}

#[tokio::test]
async fn figures_can_fail_in_every_way() {
    let bench = Bench::new(large_budget_options()).await;
    let token = bench.token(0, "").await;
    let ids = "1001,1002,1003,1004";
    let good = bench.skill_data(&token, ids).await;
    for kind in ["wrong_types", "nonsense"] {
        for on in ["skill_data", "queue_figures"] {
            let fault = format!("{kind}:on={on},count=1");
            bench.simulator.add_fault(fault.parse().expect("a fault")).expect("sound");
        }
        let bad = bench.skill_data(&token, ids).await;
        assert!(good.iter().zip(&bad).all(|(good, bad)| good != bad), "{kind}: {bad:?}");
        assert_eq!(bench.skill_data(&token, ids).await, good);
        let asked = json!({ "queueIds": ["q_1001", "q_1002"] });
        let bad = bench.queue_figures(&token, asked.clone()).await.1;
        assert_ne!(bad, bench.queue_figures(&token, asked).await.1, "{kind}");
    }
    for (fault, status) in [("status:on=queues,code=503,count=1", 503), ("html:on=queues,count=1", 200)] {
        bench.simulator.add_fault(fault.parse().expect("a fault")).expect("sound");
        let (found, body) = send(bench.get(QUEUES, &token)).await;
        assert_eq!((found.as_u16(), body["queues"].is_array()), (status, false));
    }
}

#[tokio::test]
async fn tenants_share_skills_and_not_figures() {
    let bench =
        Bench::new(SimOptions { agents: 60, tenants: 2, reporting_per_minute: 1000, ..SimOptions::default() }).await;
    assert_eq!(bench.tenants[0].skills, bench.tenants[1].skills);
    let (acme, bravo) = (bench.token(0, "").await, bench.token(1, "").await);
    bench.clock.advance(Duration::from_secs(600));
    let (here, there) =
        (bench.skill_data(&acme, "1001,1002,1003").await, bench.skill_data(&bravo, "1001,1002,1003").await);
    assert_ne!(here, there);
}
