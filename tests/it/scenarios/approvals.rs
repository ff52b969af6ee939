//! Rules in mode `approve`: what they want waits for a person, who accepts or denies it, or for its time to be over.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::webhooks::event::EventKind;
use shiftkeeper::sim::SimState;

use crate::harness::{Scenario, Setup, send};

const APPROVAL_RULE: &str = r#"
[[rules]]
id = "back"
when = { planned = "work", state = ["NotReady", "Paused"], for = "20s" }
then = { set_state = "Ready", reason = "WORKING" }
mode = "approve"
cooldown = "2m"
"#;

async fn pending_approvals(scenario: &Scenario) -> Vec<Value> {
    let (status, page) = scenario.get(&format!("/api/v1/approvals?tenant={}", scenario.tenant)).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["approvals"].as_array().expect("a list").clone()
}

async fn wait_for_approvals(scenario: &Scenario, agents: usize) -> Vec<Value> {
    scenario
        .wait_until("the rule asks", || async {
            let waiting = pending_approvals(scenario).await;
            if waiting.len() == agents { Ok(waiting) } else { Err(format!("{waiting:?}")) }
        })
        .await
}

async fn decide(scenario: &Scenario, asked: &Value, what: &str, note: Option<&str>) -> (StatusCode, Value) {
    let path = format!("/api/v1/approvals/{}/{what}", asked["transition"].as_str().expect("an id"));
    let body = json!({"tenant": scenario.tenant, "note": note});
    send(scenario.request(Method::POST, &path).json(&body)).await
}

/// The webhook receiver has got one event for each change that waits.
async fn assert_each_was_notified(scenario: &Scenario, first: &Value) {
    let told = scenario.events(&scenario.reader().await).await;
    let told: Vec<Value> = told
        .iter()
        .filter(|event| event.kind == EventKind::ApprovalWaiting)
        .map(|event| serde_json::from_str(&event.body).expect("JSON"))
        .collect();
    assert_eq!(told.len(), 4, "each is told of once: {told:?}");
    let of_first = told.iter().find(|body| body["data"]["userId"] == "u_0001").expect("told of the first");
    let data = &of_first["data"];
    assert_eq!(
        (&of_first["event"], &data["transitionId"]),
        (&json!("APPROVAL_WAITING"), &first["transition"]),
        "{of_first}"
    );
    assert_eq!(
        (&data["ruleId"], &data["because"], &data["expiresAt"]),
        (&json!("back"), &first["because"], &first["expires_at"])
    );
}

/// What was decided is listed, the newest first and a page at a time.
async fn assert_decisions_are_listed(scenario: &Scenario, approved: &Value, denied: &Value) {
    let page = async |more: &str| {
        let (status, page) =
            scenario.get(&format!("/api/v1/approvals/decided?tenant={}&limit=1{more}", scenario.tenant)).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        (page["decisions"].as_array().expect("a list").clone(), page["next"].as_u64())
    };
    let (newest, next) = page("").await;
    assert_eq!(newest.len(), 1, "{newest:?}");
    let one = &newest[0];
    assert_eq!((&one["transition"], &one["agent"]), (&denied["transition"], &json!("u_0002")));
    assert_eq!(
        (&one["approved"], &one["note"], &one["by"]),
        (&json!(false), &json!("she is in a talk"), &json!("operator"))
    );
    assert_eq!((&one["rule"], &one["to"], &one["status"]), (&json!("back"), &json!("Ready"), &json!("cancelled")));
    assert_eq!((&one["because"], &one["team"]), (&denied["because"], &denied["team"]));
    let (older, next) = page(&format!("&cursor={}", next.expect("there is one more"))).await;
    assert_eq!((&older[0]["transition"], &older[0]["approved"]), (&approved["transition"], &json!(true)), "{older:?}");
    assert_eq!(older[0]["note"], "go on");
    let (nothing, next) = page(&format!("&cursor={}", next.expect("as many as were asked for"))).await;
    assert_eq!((nothing.len(), next), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_lets_a_rules_change_go_or_refuses_it() {
    let mut setup = Setup::team(4);
    setup.speed = 30;
    setup.rules = APPROVAL_RULE;
    setup.tenant_tables =
        "[tenants.policy]\nwait_at_most = \"10m\"\n[tenants.automation]\nleave_alone = \"20m\"\nstale_intervals = 30\n";
    let scenario = Scenario::start_team(setup).await;
    let asked = wait_for_approvals(&scenario, 4).await;
    let of = |agent: &str| asked.iter().find(|one| one["agent"] == agent).expect("it is asked for").clone();
    let first = of("u_0001");
    assert_eq!((&first["rule"], &first["to"], &first["before"]), (&json!("back"), &json!("Ready"), &json!("NotReady")));
    assert!(first["because"].as_str().is_some_and(|because| because.contains("planned work")), "{first}");
    assert!(scenario.posts_for("u_0001").is_empty(), "it waits for a person");
    assert_each_was_notified(&scenario, &first).await;

    let (status, accepted) = decide(&scenario, &first, "accept", Some("go on")).await;
    assert_eq!(status, StatusCode::OK, "{accepted}");
    let id = json!({"id": first["transition"], "agent": "u_0001"});
    let done = scenario.wait_for_status(&id, "confirmed").await;
    assert_eq!((&done["actor"]["id"], &done["explanation"]["approved_by"]["by"]), (&json!("back"), &json!("operator")));
    assert_eq!(scenario.state_of("u_0001"), SimState::Available);
    let (status, again) = decide(&scenario, &first, "accept", None).await;
    assert_eq!((status, &again["code"]), (StatusCode::CONFLICT, &json!("too_late")), "{again}");

    let second = of("u_0002");
    let (status, refused) = decide(&scenario, &second, "deny", Some(" ")).await;
    assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{refused}");
    let (status, denied) = decide(&scenario, &second, "deny", Some("she is in a talk")).await;
    assert_eq!((status, &denied["status"]), (StatusCode::OK, &json!("cancelled")), "{denied}");
    assert_eq!(denied["error"], "called off: denied by person:operator");

    assert_decisions_are_listed(&scenario, &first, &second).await;
    let (_, late) = decide(&scenario, &second, "accept", None).await;
    assert!(late["detail"].as_str().is_some_and(|detail| detail.contains("denied by person:operator")), "{late}");

    // The third agent changes state alone: there is nothing left to decide.
    let third = of("u_0003");
    scenario.set_agent_state("u_0003", SimState::Paused);
    let moved = scenario.wait_for_status(&json!({"id": third["transition"], "agent": "u_0003"}), "cancelled").await;
    assert_eq!(moved["by"], "the agent went from NotReady to Paused meanwhile");
    let (status, late) = decide(&scenario, &third, "accept", None).await;
    assert_eq!((status, &late["code"]), (StatusCode::CONFLICT, &json!("too_late")), "{late}");
    assert!(scenario.posts_for("u_0003").is_empty() && scenario.posts_for("u_0002").is_empty());
    let reader = scenario.reader().await;

    // The rule leaves the second alone, longer than its cooldown; the third it asks about again, until its time is over.
    scenario.let_time_pass(Duration::from_secs(5 * 60)).await;
    let now = pending_approvals(&scenario).await;
    assert!(now.iter().all(|one| one["agent"] != "u_0002"), "{now:?}");
    let again = now.iter().find(|one| one["agent"] == "u_0003").expect("the third is asked about again").clone();
    let id = json!({"id": again["transition"], "agent": "u_0003"});
    scenario.wait_for_status(&id, "expired").await;
    let (status, late) = decide(&scenario, &again, "accept", None).await;
    assert_eq!((status, &late["code"]), (StatusCode::CONFLICT, &json!("too_late")), "{late}");

    let entries = scenario.audit(&reader).await;
    let told = |action: &str| entries.iter().find(|entry| entry.action == action).unwrap_or_else(|| panic!("{action}"));
    let (approved, denied) = (told("transition.approved"), told("transition.denied"));
    assert_eq!((approved.actor.as_str(), &approved.why["rule"]), ("person:operator", &json!("back")), "{approved:?}");
    assert!(approved.note.is_some() && denied.note.is_some() && denied.subject.is_some());
    // The rest may be asked for again and again: nothing of it is left when the rule is gone.
    let mut scenario = scenario;
    scenario.setup.rules = "";
    scenario.reload();
    wait_for_approvals(&scenario, 0).await;
    scenario.assert_nothing_left_over().await;
}
