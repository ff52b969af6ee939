//! A change of shifts is offered to agents, who accept or decline it by their links.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Scenario, Setup, agent_ids, schedule, send};

const LUNCH: (&str, &str, &str, bool) = ("lunch", "16:00", "16:30", true);

async fn post(scenario: &Scenario, path: &str, body: &Value) -> (StatusCode, Value) {
    send(scenario.request(Method::POST, path).json(body)).await
}

async fn team_with_lunch() -> Scenario {
    let scenario = Scenario::start_team(Setup::team(4)).await;
    scenario.import(&schedule(agent_ids(4), &[LUNCH])).await;
    scenario
}

fn early_leave(agents: &[&str], places: u32, expires_at: &str) -> Value {
    json!({"tenant": "acme", "agents": agents, "day": "2026-10-26", "places": places, "expires_at": expires_at,
           "edit": {"set_shift": {"end": "2026-10-26T18:00:00Z"}}})
}

async fn make(scenario: &Scenario, body: &Value) -> Value {
    let (status, made) = post(scenario, "/api/v1/schedule-offers", body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made
}

/// The path of an agent's link.
fn link<'a>(made: &'a Value, agent: &str) -> &'a str {
    let links = made["links"].as_array().expect("links");
    links.iter().find(|link| link["agent"] == agent).expect("a link")["path"].as_str().expect("a path")
}

/// What an agent's page says.
async fn page(scenario: &Scenario, path: &str) -> String {
    let answer = reqwest::get(scenario.page_url(path)).await.expect("answers");
    answer.text().await.expect("text")
}

/// Answers on an agent's page and returns what it says then.
async fn answer(scenario: &Scenario, path: &str, answer: &str) -> String {
    let form = scenario.client().post(scenario.page_url(path)).form(&[("answer", answer)]);
    let answered = form.send().await.expect("answers");
    assert_eq!(answered.status(), StatusCode::SEE_OTHER, "on to the page");
    page(scenario, path).await
}

async fn shift_end(scenario: &Scenario, agent: &str) -> Value {
    let span = "from=2026-10-26T00:00:00Z&to=2026-10-27T00:00:00Z";
    let (_, plan) = scenario.get(&format!("/api/v1/agents/{agent}/shifts?tenant=acme&{span}")).await;
    plan["shifts"][0]["end"].clone()
}

async fn offer_of(scenario: &Scenario, made: &Value) -> Value {
    let id = made["offer"]["id"].as_str().expect("an id");
    scenario.get(&format!("/api/v1/schedule-offers/{id}?tenant=acme")).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_agents_who_accept_get_the_places_and_their_shifts_alone_change() {
    let scenario = team_with_lunch().await;
    let before = shift_end(&scenario, "u_0001").await;
    let made =
        make(&scenario, &early_leave(&["u_0001", "u_0002", "u_0003", "u_0004"], 2, "2026-10-26T17:00:00Z")).await;
    let paths = ["u_0001", "u_0002", "u_0003", "u_0004"].map(|agent| link(&made, agent).to_owned());
    assert!(page(&scenario, &paths[0]).await.contains("2 of 2 places are free"));
    assert_eq!(shift_end(&scenario, "u_0001").await, before, "an offer changes nothing");

    assert!(answer(&scenario, &paths[2], "decline").await.contains("You declined this offer"));
    assert!(answer(&scenario, &paths[0], "accept").await.contains("You accepted this offer"));
    assert!(answer(&scenario, &paths[0], "decline").await.contains("You accepted this offer"), "one answer counts");
    // The last place: both answer at once.
    let both = tokio::join!(answer(&scenario, &paths[1], "accept"), answer(&scenario, &paths[3], "accept"));
    let said = [both.0, both.1];
    assert_eq!(said.iter().filter(|text| text.contains("You accepted this offer")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|text| text.contains("have taken all places")).count(), 1, "{said:?}");

    let offer = offer_of(&scenario, &made).await;
    let counts = [&offer["status"], &offer["accepted"], &offer["declined"], &offer["places"]];
    assert_eq!(counts, [&json!("filled"), &json!(2), &json!(1), &json!(2)], "{offer}");
    for agent in offer["agents"].as_array().expect("agents") {
        let id = agent["agent"].as_str().expect("an id");
        let expected = if agent["answer"] == "accepted" { json!("2026-10-26T18:00:00Z") } else { before.clone() };
        assert_eq!(shift_end(&scenario, id).await, expected, "{agent}");
    }
    let version = &offer["agents"][0]["version"];
    let (_, versions) = scenario.get("/api/v1/schedule-versions?tenant=acme").await;
    let of_first = versions["versions"].as_array().expect("versions").iter().find(|one| one["version"] == *version);
    let name = &of_first.expect("the version of the acceptance")["name"];
    assert_eq!(name, "accepted offer: shift times changed on 2026-10-26");

    let undo = format!("/api/v1/schedule-versions/{version}/undo");
    let (_, check) = post(&scenario, &format!("{undo}/check"), &json!({"tenant": "acme"})).await;
    let (status, undone) = post(&scenario, &undo, &json!({"tenant": "acme", "hash": check["hash"]})).await;
    assert_eq!(status, StatusCode::OK, "{undone}");
    assert_eq!(shift_end(&scenario, "u_0001").await, before);

    let chain = scenario.get("/api/v1/audit?tenant=acme&action=offer.&limit=20").await.1;
    let actions: Vec<_> =
        chain["entries"].as_array().expect("entries").iter().filter_map(|entry| entry["action"].as_str()).collect();
    let count = |action| actions.iter().filter(|one| **one == action).count();
    assert_eq!((count("offer.made"), count("offer.accepted"), count("offer.declined")), (4, 2, 1), "{chain}");
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_was_withdrawn_has_expired_or_does_not_fit_changes_nothing() {
    let scenario = team_with_lunch().await;
    let before = shift_end(&scenario, "u_0001").await;
    let made = make(&scenario, &early_leave(&["u_0001", "u_0002"], 2, "2026-10-26T17:00:00Z")).await;
    let id = made["offer"]["id"].as_str().expect("an id");
    let first = link(&made, "u_0001").to_owned();
    // The schedule is changed meanwhile, so that nothing is left to change.
    let edit = json!({"tenant": "acme", "agents": ["u_0002"], "day": "2026-10-26",
                      "edit": {"set_shift": {"end": "2026-10-26T18:00:00Z"}}});
    let (_, check) = post(&scenario, "/api/v1/schedule-edits/check", &edit).await;
    let mut applied = edit.clone();
    applied["hash"] = check["hash"].clone();
    assert_eq!(post(&scenario, "/api/v1/schedule-edits", &applied).await.0, StatusCode::OK);
    let second = link(&made, "u_0002").to_owned();
    assert!(answer(&scenario, &second, "accept").await.contains("does not fit it any more: nothing would change"));

    let withdraw = format!("/api/v1/schedule-offers/{id}/withdraw");
    let (status, withdrawn) = post(&scenario, &withdraw, &json!({"tenant": "acme"})).await;
    assert_eq!((status, &withdrawn["status"]), (StatusCode::OK, &json!("withdrawn")), "{withdrawn}");
    assert!(answer(&scenario, &first, "accept").await.contains("This offer was withdrawn"));
    assert_eq!(shift_end(&scenario, "u_0001").await, before);

    let soon = scenario.clock.now() + std::time::Duration::from_secs(5);
    let made = make(&scenario, &early_leave(&["u_0001"], 1, &soon.to_string())).await;
    let path = link(&made, "u_0001").to_owned();
    scenario
        .wait_until("the offer has expired", || async {
            let offer = offer_of(&scenario, &made).await;
            if offer["status"] == "expired" { Ok(()) } else { Err(offer.to_string()) }
        })
        .await;
    assert!(answer(&scenario, &path, "accept").await.contains("The time to answer was over"));
    assert_eq!(shift_end(&scenario, "u_0001").await, before);
    let unknown = reqwest::get(scenario.page_url("/offer/nothing")).await.expect("answers");
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert!(unknown.text().await.expect("text").contains("This link does not work"));
    scenario.assert_nothing_left_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_needs_an_agent_whom_it_fits_places_and_a_time_to_answer() {
    let scenario = team_with_lunch().await;
    let refused = async |body: Value| {
        let (status, problem) = post(&scenario, "/api/v1/schedule-offers", &body).await;
        (status, problem["code"].as_str().unwrap_or_default().to_owned())
    };
    let bad = (StatusCode::BAD_REQUEST, "bad_request".to_owned());
    assert_eq!(refused(early_leave(&["u_0001"], 0, "2026-10-26T17:00:00Z")).await, bad, "no places");
    assert_eq!(refused(early_leave(&["u_0001"], 1, "2026-10-25T17:00:00Z")).await, bad, "over already");
    assert_eq!(refused(early_leave(&["u_0001"], 1, "2026-10-28T17:00:00Z")).await, bad, "later than the day");
    let mut no_shift = early_leave(&["u_0001"], 1, "2026-11-20T17:00:00Z");
    no_shift["day"] = json!("2026-11-20");
    assert_eq!(refused(no_shift).await, (StatusCode::CONFLICT, "nothing_changes".to_owned()));
    let unknown = early_leave(&["u_9999"], 1, "2026-10-26T17:00:00Z");
    assert_eq!(refused(unknown).await, (StatusCode::NOT_FOUND, "no_such_agent".to_owned()));
    let (_, listed) = scenario.get("/api/v1/schedule-offers?tenant=acme").await;
    assert_eq!(listed["offers"], json!([]), "nothing is kept of what was refused");
    scenario.assert_nothing_left_over().await;
}

const EARLY_LEAVE: &str = "[[rules]]\nid = \"early-leave\"\nmode = \"approve\"\n\
    when = { planned = \"work\", staffing = { net = { at_least = 2 }, ahead = \"1h\" } }\n\
    then = { offer = { move_end = { by_minutes = -60 } }, places = 1, open_for = \"6h\" }\n";

/// Two agents required in each hour of the day.
fn two_required() -> String {
    let rows = (0..24).map(|hour| format!("2026-10-26,{hour:02}:00-{:02}:00,Support,2\n", hour + 1));
    format!("date,interval,queue,required\n{}", rows.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_proposes_an_offer_while_there_are_more_agents_than_required_and_a_person_approves_it() {
    let scenario = Scenario::start_team(Setup { rules: EARLY_LEAVE, ..Setup::team(4) }).await;
    scenario.import(&schedule(agent_ids(4), &[LUNCH])).await;
    let before = shift_end(&scenario, "u_0001").await;
    let (status, staffing) = send(
        scenario
            .request(Method::POST, "/api/v1/staffing-imports?tenant=acme&name=required.csv&zone=UTC")
            .body(two_required()),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{staffing}");
    let offers = async || scenario.get("/api/v1/schedule-offers?tenant=acme").await.1;
    scenario
        .wait_until("the rule has proposed an offer", || async {
            let found = offers().await;
            if found["offers"].as_array().is_some_and(|found| !found.is_empty()) {
                Ok(())
            } else {
                Err(found.to_string())
            }
        })
        .await;
    let found = offers().await;
    let offer = &found["offers"][0];
    let facts = [&offer["status"], &offer["made_by"], &offer["approved_by"], &offer["places"], &offer["edit"]];
    let edit = json!({"move_end": {"by_minutes": -60}});
    assert_eq!(facts, [&json!("proposed"), &json!("rule:early-leave"), &Value::Null, &json!(1), &edit]);
    assert_eq!(offer["agents"].as_array().map(Vec::len), Some(4), "{offer}");

    let approve = format!("/api/v1/schedule-offers/{}/approve", offer["id"].as_str().expect("an id"));
    let (status, made) = post(&scenario, &approve, &json!({"tenant": "acme"})).await;
    assert_eq!((status, &made["offer"]["status"]), (StatusCode::OK, &json!("open")), "{made}");
    let (status, again) = post(&scenario, &approve, &json!({"tenant": "acme"})).await;
    assert_eq!((status, &again["code"]), (StatusCode::CONFLICT, &json!("offer_not_proposed")), "{again}");
    assert_eq!(shift_end(&scenario, "u_0001").await, before, "an offer changes nothing");
    assert!(answer(&scenario, link(&made, "u_0001"), "accept").await.contains("You accepted this offer"));
    let early: jiff::Timestamp = before.as_str().expect("an instant").parse().expect("an instant");
    let early = early - jiff::SignedDuration::from_mins(60);
    assert_eq!(shift_end(&scenario, "u_0001").await, json!(early.to_string()));

    let chain = scenario.get("/api/v1/audit?tenant=acme&action=offer.&limit=20").await.1;
    let entries = chain["entries"].as_array().expect("entries");
    let count = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((count("offer.proposed"), count("offer.made"), count("offer.accepted")), (4, 4, 1), "{chain}");
    let found = offers().await;
    assert_eq!(found["offers"].as_array().map(Vec::len), Some(1), "each agent is proposed once: {found}");
    scenario.assert_nothing_left_over().await;
}
