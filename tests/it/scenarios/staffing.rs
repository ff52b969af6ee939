//! Required agents are imported, compared with those planned and present, and a change that leaves too few says so.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shiftkeeper::domain::access::rights::Role;
use shiftkeeper::sim::SimState;

use super::reports::token;
use crate::harness::{Scenario, Setup, VIEWER, agent_ids, schedule, send};

const LUNCH: (&str, &str, &str, bool) = ("lunch", "16:00", "16:30", true);

const REQUIRED: &str = "date,interval,queue,required\n\
    2026-10-26,13:30-13:45,Support,5\n\
    2026-10-26,16:30-17:00,Support,2\n\
    2026-10-26,16:30-17:00,Sales,1.5\n";

const QUEUES: &str = "[tenants.staffing]\nteam_queues = { \"Team 0\" = [\"Support\"] }\n";

/// Four agents, one in each team, with lunch at 16:00.
async fn team_with_lunch() -> Scenario {
    let usual = Setup::team(4);
    let setup = Setup { tenant_tables: concat_tables(usual.tenant_tables), ..usual };
    let scenario = Scenario::start_team(setup).await;
    scenario.import(&schedule(agent_ids(4), &[LUNCH])).await;
    scenario
}

fn concat_tables(usual: &'static str) -> &'static str {
    Box::leak(format!("{usual}{QUEUES}").into_boxed_str())
}

async fn import(scenario: &Scenario, csv: &str) -> (StatusCode, Value) {
    let path = "/api/v1/staffing-imports?tenant=acme&name=required.csv&zone=UTC";
    send(scenario.request(Method::POST, path).body(csv.to_owned())).await
}

async fn staffing(scenario: &Scenario, more: &str) -> Value {
    let (status, day) = scenario.get(&format!("/api/v1/staffing?tenant=acme&day=2026-10-26{more}")).await;
    assert_eq!(status, StatusCode::OK, "{day}");
    day
}

/// The quarter hour that starts then.
fn at(day: &Value, time: &str) -> Value {
    let start = format!("2026-10-26T{time}:00Z");
    let intervals = day["intervals"].as_array().expect("intervals");
    intervals.iter().find(|one| one["start"] == start.as_str()).cloned().expect("the quarter hour")
}

#[tokio::test(flavor = "multi_thread")]
async fn required_agents_are_imported_and_compared() {
    let scenario = team_with_lunch().await;
    let before = staffing(&scenario, "").await;
    assert_eq!((&before["queues"], &at(&before, "16:30")["net"]), (&json!([]), &Value::Null), "{before}");

    let (status, refused) = import(&scenario, &REQUIRED.replace("1.5", "one")).await;
    assert_eq!((status, &refused["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("schedule_refused")), "{refused}");
    let fault = &refused["complaints"][0];
    assert_eq!((&fault["line"], &fault["column"], &fault["value"]), (&json!(4), &json!("required"), &json!("one")));
    assert_eq!(staffing(&scenario, "").await["queues"], json!([]), "nothing of it is stored");

    let (status, imported) = import(&scenario, REQUIRED).await;
    assert_eq!(status, StatusCode::OK, "{imported}");
    assert_eq!((&imported["changed"], &imported["queues"], &imported["rows"]), (&json!(true), &json!(2), &json!(3)));
    assert_eq!(import(&scenario, REQUIRED).await.1["changed"], false);
    let chain = scenario.get("/api/v1/audit?tenant=acme&action=staffing.").await.1;
    assert_eq!(chain["entries"].as_array().map(Vec::len), Some(1), "{chain}");

    for agent in agent_ids(4) {
        scenario.set_agent_state(&agent, SimState::Available);
    }
    let day = scenario
        .wait_until("agents are present", || async {
            let day = staffing(&scenario, "").await;
            if at(&day, "13:30")["present"].as_f64().is_some_and(|present| present > 0.0) {
                Ok(day)
            } else {
                Err(day.to_string())
            }
        })
        .await;
    assert_eq!((&day["queues"], &day["agents"]), (&json!(["Sales", "Support"]), &json!(4)), "{day}");
    assert_eq!(day["intervals"].as_array().map(Vec::len), Some(96));
    let (now, lunch, after) = (at(&day, "13:30"), at(&day, "16:00"), at(&day, "16:30"));
    assert_eq!((&now["required"], &now["status"]), (&json!(5.0), &json!("short")), "{now}");
    let of = |key: &str| now[key].as_f64().expect("a number");
    assert!(of("present") + of("unknown") <= 4.01, "{now}");
    assert_eq!((&lunch["planned"], &lunch["required"], &lunch["present"]), (&json!(0.0), &Value::Null, &Value::Null));
    let expected = [json!(4.0), json!(3.5), json!(0.5), json!("met")];
    assert_eq!(["planned", "required", "net", "status"].map(|key| after[key].clone()), expected, "{after}");

    // A team is compared with its own queues.
    let own = staffing(&scenario, "&team=Team%200").await;
    assert_eq!((&own["agents"], &own["queues"]), (&json!(1), &json!(["Support"])), "{own}");
    assert_eq!(at(&own, "16:30")["net"], -1.0);
    let other = staffing(&scenario, "&team=Team%201").await;
    let why = other["not_compared"].as_str().unwrap_or_default();
    assert!(why.contains("Team 1") && why.contains("team_queues"), "{other}");
    assert_eq!((&at(&other, "16:30")["planned"], &at(&other, "16:30")["required"]), (&json!(1.0), &Value::Null));

    // A file replaces its queues on its days.
    let (_, replaced) = import(&scenario, "start,minutes,queue,required\n2026-10-26T16:45Z,15,Support,4\n").await;
    assert_eq!(replaced["changed"], true, "{replaced}");
    let day = staffing(&scenario, "").await;
    let required = ["13:30", "16:30", "16:45"].map(|time| at(&day, time)["required"].clone());
    assert_eq!(required, [Value::Null, json!(1.5), json!(5.5)]);

    let path = "/api/v1/staffing-imports?tenant=acme&name=required.csv&zone=UTC";
    let (status, _) = send(scenario.request_as(VIEWER, Method::POST, path).body(REQUIRED)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = send(scenario.request_as(VIEWER, Method::GET, "/api/v1/staffing?tenant=acme")).await;
    assert_eq!(status, StatusCode::OK);
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_limited_to_teams_gets_the_staffing_of_these_and_imports_none() {
    let scenario = team_with_lunch().await;
    import(&scenario, REQUIRED).await;
    let (one, two) = (
        token(&scenario, "one", Role::Analyst, &["Team 0"]).await,
        token(&scenario, "two", Role::Analyst, &["Team 0", "Team 1"]).await,
    );
    let get = async |token: &str, more: &str| {
        let path = format!("/api/v1/staffing?tenant=acme&day=2026-10-26{more}");
        send(scenario.request_as(token, Method::GET, &path)).await.1
    };
    let own = get(&one, "").await;
    assert_eq!(
        (&own["agents"], &own["queues"], &at(&own, "16:30")["net"]),
        (&json!(1), &json!(["Support"]), &json!(-1.0))
    );
    let both = get(&two, "").await;
    assert_eq!((&both["agents"], &both["queues"]), (&json!(2), &json!([])), "{both}");
    assert!(both["not_compared"].as_str().is_some_and(|why| why.contains("Team 1")), "{both}");
    let other = get(&one, "&team=Team%202").await;
    assert_eq!((&other["agents"], &other["queues"]), (&json!(0), &json!([])), "{other}");
    let path = "/api/v1/staffing-imports?tenant=acme&name=required.csv&zone=UTC";
    let (status, _) = send(scenario.request_as(&one, Method::POST, path).body(REQUIRED)).await;
    assert!(status == StatusCode::FORBIDDEN || status == StatusCode::NOT_FOUND, "{status}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_leaves_too_few_agents_names_the_quarter_hours() {
    let scenario = team_with_lunch().await;
    import(&scenario, REQUIRED).await;
    let check = async |agents: Value, by_minutes: i64| {
        let edit = json!({"move": {"activity": "lunch", "by_minutes": by_minutes}});
        let body = json!({"tenant": "acme", "agents": agents, "day": "2026-10-26", "edit": edit});
        let path = "/api/v1/schedule-edits/check";
        let (status, check) = send(scenario.request(Method::POST, path).json(&body)).await;
        assert_eq!(status, StatusCode::OK, "{check}");
        check["shortfalls"].clone()
    };
    let shortfall = |start: &str, end: &str, team: Value, required: f64, before: f64, after: f64| {
        json!({"start": format!("2026-10-26T{start}:00Z"), "end": format!("2026-10-26T{end}:00Z"), "team": team,
               "skill": null, "required": required, "before": before, "after": after})
    };
    // An agent of a team without queues is missing among all.
    let all = |start, end| shortfall(start, end, Value::Null, 3.5, 0.5, -0.5);
    assert_eq!(check(json!(["u_0002"]), 30).await, json!([all("16:30", "16:45"), all("16:45", "17:00")]));
    // An agent of a team with queues is missing there.
    let own = |start, end| shortfall(start, end, json!("Team 0"), 2.0, -1.0, -2.0);
    assert_eq!(check(json!(["u_0001"]), 30).await, json!([own("16:30", "16:45"), own("16:45", "17:00")]));
    assert_eq!(check(json!(["u_0002"]), 60).await, json!([]), "nobody is required then");
    scenario.assert_nothing_left_over().await;
}
